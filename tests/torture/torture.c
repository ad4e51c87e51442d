/* SPDX-License-Identifier: MIT */
/*
 * torture.c - everything at once, for a while: arguments, threads that come and go, the
 * grace-period clock, the report. The operations and what they verify are in the other files (see
 * torture.h).
 *
 *     torture_memb_shared [--seconds N] [--seed N] [--threads N] [--mix LIST] [--audit-ms N]
 *                         [--limit MIB [--running-share P] [--rest-share P] [--off LIST]]
 *
 * With --limit, which comes first, it is another torture: a cache at max_bytes (limit.c).
 * LIST is "all", or names with weights: read=40,write=5,fork=1 (then exactly these). With the
 * library's debug build, threads are delayed at the protocol's hook points and compaction moves
 * although nothing is fragmented. Exit status: 0, 1 after any finding, 2 for bad arguments.
 *
 * Seen failing: a fork element that never forks ("never did its thing").
 */
#include "torture.h"

#include <inttypes.h>
#include <sched.h>
#include <time.h>

#if SN_DEBUG
#include "base/hooks.h"
#endif

__thread unsigned section_depth;

#if TEST_TSAN
/* liburcu is not instrumented: what it does with its own memory (rcu_barrier, for one) looks like
 * races. Callbacks that it runs are looked at all the same. */
const char *__tsan_default_suppressions(void);

const char *
__tsan_default_suppressions(void)
{
    return "called_from_lib:" FLAVOUR_LIBRARY "\n";
}
#endif

/* Weights that keep readers in the majority and let every element happen often in a few seconds.
 * Forks: op_fork keeps most of them from happening. */
static struct element everything[] = {
    {"read", 3000, op_read},
    {"constant", 300, op_read_constant},
    {"many", 200, op_read_many},
    {"free_many", 10, op_free_many},
    {"stale", 100, op_stale},
    {"write", 400, op_write},
    {"update", 300, op_update},
    {"resize", 150, op_resize},
    {"alloc", 400, op_alloc},
    {"free", 250, op_free},
    {"private", 300, op_private},
    {"pin", 100, op_pin},
    {"pin_mut", 50, op_pin_mut},
    {"hold", 60, op_hold_update},
    {"release", 150, op_release},
    {"race", 100, op_race},
    {"cell_read", 1000, op_cell_read},
    {"cell_change", 500, op_cell_change},
    {"cell_write", 200, op_cell_write},
    {"cell_pin", 30, op_cell_pin},
    {"cell_private", 50, op_cell_private},
    {"grow", 2, op_grow},
    {"chain_read", 150, op_chain_read},
    {"chain_change", 250, op_chain_change},
    {"rack_read", 200, op_rack_read},
    {"rack_change", 100, op_rack_change},
    {"inner_read", 300, op_inner_read},
    {"inner_change", 300, op_inner_change},
    {"tune", 5, op_tune},
    {"toggle", 2, op_toggle},
    {"compact", 2, op_compact},
    {"step", 20, op_step},
    {"purge", 1, op_purge},
    {"stats", 2, op_stats},
    {"walk", 1, op_walk},
    {"limit", 1, op_limit},
    {"detach", 3, op_detach},
    {"fork", 5, op_fork},
};

static uint64_t everything_close(struct worker *worker);
static void everything_verdict(uint64_t moved);

static const struct mode mode_everything = {
    .elements = everything,
    .count = sizeof(everything) / sizeof(everything[0]),
    .open = heaps_open,
    .release = release_holds,
    .audit = audit,
    .close = everything_close,
    .verdict = everything_verdict,
};
static const struct mode *mode = &mode_everything;

static struct arguments {
    uint64_t seconds, seed, threads, audit_ms;
} arguments = {4, 0, 6, 1000};

/* ---- shared state: atomic -------------------------------------------------------------------- */

static uint64_t found;
static uint64_t grace_periods;
static unsigned stopping, pausing, resting;
static struct worker workers[WORKERS_MOST + 1]; /* the last one is the main thread's */
static struct counters totals;                  /* main thread */

void
finding(const char *format, ...)
{
    va_list list;
    char text[400];
    uint64_t number = __atomic_add_fetch(&found, 1, __ATOMIC_RELAXED);
    if (number > 40)
        return;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    fprintf(stderr, "FINDING %" PRIu64 ": %s\n", number, text);
}

uint64_t
findings(void)
{
    return __atomic_load_n(&found, __ATOMIC_RELAXED);
}

uint64_t
generation(void)
{
    return __atomic_load_n(&grace_periods, __ATOMIC_ACQUIRE);
}

uint64_t
roll(struct worker *worker, uint64_t bound)
{
    uint64_t x = worker->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    worker->random = x;
    return (x * UINT64_C(0x2545f4914f6cdd1d) >> 20) % bound;
}

static void
sleep_us(uint64_t us)
{
    nanosleep(&(struct timespec){(time_t)(us / 1000000), (long)(us % 1000000 * 1000)}, NULL);
}

void
dawdle(struct worker *worker)
{
    uint64_t chance = roll(worker, 300);
    if (chance == 0)
        sleep_us(roll(worker, 500));
    else if (chance < 12)
        sched_yield();
}

void
linger(struct worker *worker, unsigned odds)
{
    if (roll(worker, odds) == 0)
        sleep_us(roll(worker, 8) ? 20 + roll(worker, 400) : roll(worker, 3000));
    else
        dawdle(worker);
}

void
tarry(struct worker *worker)
{
    if (roll(worker, 64) == 0)
        sleep_us(roll(worker, 20000));
}

/* ---- the clock ------------------------------------------------------------------------------- */

static pthread_mutex_t clock_lock = PTHREAD_MUTEX_INITIALIZER; /* held in a grace period */

void
clock_stop(void)
{
    wait_begin();
    pthread_mutex_lock(&clock_lock);
    wait_end();
}

void
clock_go(void)
{
    pthread_mutex_unlock(&clock_lock);
}

/* The generation grows after a full grace period only: see note_age() for what follows from it. */
static void *
clock_main(void *unused)
{
    thread_enter();
    while (!__atomic_load_n(&stopping, __ATOMIC_ACQUIRE)) {
        clock_stop();
        grace_period();
        clock_go();
        __atomic_add_fetch(&grace_periods, 1, __ATOMIC_RELEASE);
        wait_begin();
        sleep_us(100);
        wait_end();
    }
    thread_leave();
    return unused;
}

/* ---- hook points, debug builds only ---------------------------------------------------------- */

#if SN_DEBUG
static __thread uint64_t hook_random;

/* Whoever passes a hook point is delayed now and then, with whatever locks are held there. */
static void
delay_at_hook(enum sn_hook_point point, const void *object)
{
    if (hook_random == 0)
        hook_random = (uint64_t)(uintptr_t)&hook_random ^ arguments.seed;
    hook_random = hook_random * UINT64_C(6364136223846793005) + (uint64_t)point +
                  (uint64_t)(uintptr_t)object + UINT64_C(1442695040888963407);
    uint64_t chance = hook_random >> 50;
    /* Sections that begin between a grace period's end and its being known are those that a missing
     * grace period elsewhere would hurt: make the gap wide. */
    if (point == SN_HOOK_GP_END && chance < 4096)
        sleep_us(100 + chance / 10);
    else if (point == SN_HOOK_RELOCATE && chance < 1600) /* `to` may be marked meanwhile */
        sleep_us(chance / 2);
    else if (chance < 4)
        sleep_us(chance * 60);
    else if (chance < 200)
        sched_yield();
}

static void
install_hooks(void)
{
    sn_debug_force_moves = true;
    __atomic_store_n(&sn_hook_fn, delay_at_hook, __ATOMIC_RELEASE);
}
#else
static void
install_hooks(void)
{
}
#endif

/* ---- workers --------------------------------------------------------------------------------- */

static void
one_operation(struct worker *worker)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < mode->count; i++)
        sum += mode->elements[i].weight;
    uint64_t choice = roll(worker, sum);
    size_t i = 0;
    for (; choice >= mode->elements[i].weight; i++)
        choice -= mode->elements[i].weight;
    mode->elements[i].run(worker, &heaps[roll(worker, STORES)]);
    worker->counters.operations++;
    quiesce();
}

/* At an audit: holds nothing, rests until it is over. */
static void
rest(struct worker *worker)
{
    mode->release(worker);
    wait_begin();
    __atomic_add_fetch(&resting, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&pausing, __ATOMIC_ACQUIRE))
        sleep_us(500);
    __atomic_sub_fetch(&resting, 1, __ATOMIC_ACQ_REL);
    wait_end();
}

/* A life of some thousand operations; then the thread exits, caches and all, and another comes. */
static void *
worker_main(void *opaque)
{
    struct worker *worker = opaque;
    uint64_t life = 500 + roll(worker, 20000);
    thread_enter();
    while (life-- && !__atomic_load_n(&stopping, __ATOMIC_ACQUIRE)) {
        one_operation(worker);
        if (__atomic_load_n(&pausing, __ATOMIC_ACQUIRE))
            rest(worker);
    }
    mode->release(worker);
    thread_leave();
    __atomic_store_n(&worker->state, WORKER_ENDED, __ATOMIC_RELEASE);
    return NULL;
}

static void
add_counters(const struct counters *from)
{
    const uint64_t *source = (const uint64_t *)from;
    uint64_t *sum = (uint64_t *)&totals;
    for (size_t i = 0; i < sizeof(totals) / sizeof(*sum); i++)
        sum[i] += source[i];
}

static void
start_worker(struct worker *worker)
{
    memset(&worker->counters, 0, sizeof(worker->counters));
    __atomic_store_n(&worker->state, WORKER_RUNS, __ATOMIC_RELEASE);
    if (pthread_create(&worker->thread, NULL, worker_main, worker)) {
        finding("a thread could not be started");
        __atomic_store_n(&worker->state, WORKER_FREE, __ATOMIC_RELEASE);
    }
}

/* Joins those that have ended. Offline. Result: how many run. */
static unsigned
collect(void)
{
    unsigned running = 0;
    for (unsigned i = 0; i < arguments.threads; i++) {
        struct worker *worker = &workers[i];
        unsigned state = __atomic_load_n(&worker->state, __ATOMIC_ACQUIRE);
        running += state == WORKER_RUNS;
        if (state != WORKER_ENDED)
            continue;
        pthread_join(worker->thread, NULL);
        add_counters(&worker->counters);
        __atomic_store_n(&worker->state, WORKER_FREE, __ATOMIC_RELEASE);
    }
    return running;
}

static void
audit_at_rest(void)
{
    wait_begin();
    __atomic_store_n(&pausing, 1, __ATOMIC_RELEASE);
    while (collect() != __atomic_load_n(&resting, __ATOMIC_ACQUIRE))
        sleep_us(500);
    wait_end();
    mode->audit(&workers[WORKERS_MOST]);
    __atomic_store_n(&pausing, 0, __ATOMIC_RELEASE);
    wait_begin();
    while (__atomic_load_n(&resting, __ATOMIC_ACQUIRE))
        sleep_us(200);
    wait_end();
}

uint64_t
now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
run(void)
{
    uint64_t end = now_ms() + arguments.seconds * 1000, audit_due = now_ms() + arguments.audit_ms;
    while (now_ms() < end) {
        wait_begin();
        collect();
        for (unsigned i = 0; i < arguments.threads; i++)
            if (__atomic_load_n(&workers[i].state, __ATOMIC_ACQUIRE) == WORKER_FREE)
                start_worker(&workers[i]);
        if (mode->sample)
            mode->sample();
        sleep_us(5000);
        wait_end();
        if (now_ms() < audit_due)
            continue;
        audit_at_rest();
        audit_due = now_ms() + arguments.audit_ms;
    }
    wait_begin();
    __atomic_store_n(&stopping, 1, __ATOMIC_RELEASE);
    while (collect())
        sleep_us(1000);
    wait_end();
    mode->audit(&workers[WORKERS_MOST]);
}

static struct element *
find_element(const char *name, size_t length)
{
    for (size_t i = 0; i < mode->count; i++)
        if (strlen(mode->elements[i].name) == length &&
            strncmp(mode->elements[i].name, name, length) == 0)
            return &mode->elements[i];
    return NULL;
}

/* Everything in the mix, once: so that what a run must have done does not depend on its speed. */
static void
tour(struct worker *worker)
{
    for (size_t i = 0; i < mode->count; i++)
        for (unsigned h = 0; mode->elements[i].weight > 0 && h < STORES; h++)
            mode->elements[i].run(worker, &heaps[h]);
    mode->release(worker);
}

static void
require(const char *name, uint64_t count)
{
    if (find_element(name, strlen(name))->weight > 0 && count == 0)
        finding("%s is in the mix, and never did its thing", name);
}

/* What tour() is certain to have done, if it can be done at all. */
static void
everything_verdict(uint64_t moved)
{
    if (moved == 0 || totals.derefs == 0)
        finding("nothing was moved or nothing was read: the run has tested nothing");
    require("grow", totals.relocations);
    require("limit", totals.refused);
    require("compact", totals.compactions);
    require("step", totals.steps);
    if (!TEST_ASAN && !TEST_TSAN)
        require("fork", totals.forks);
}

/* ---- report ---------------------------------------------------------------------------------- */

static uint64_t
everything_close(struct worker *worker)
{
    uint64_t moved = 0;
    struct handle_stats stats = HANDLE_STATS_INIT;
    for (unsigned h = 0; h < STORES; h++) {
        handle_store_stats(heaps[h].store, &stats);
        moved += stats.moved_objects;
    }
    heaps_close(worker);
    return moved;
}

static void
report(uint64_t moved)
{
    const struct counters *t = &totals;
    printf("%s: %" PRIu64 " migrations, %" PRIu64 " derefs, %" PRIu64 " findings\n", FLAVOUR_NAME,
           moved, t->derefs, findings());
    printf("  ages in grace periods: %" PRIu64 " / %" PRIu64 " / %" PRIu64 " / %" PRIu64
           " or more, %" PRIu64 " unknown; %" PRIu64 " torn looks\n",
           t->ages[0], t->ages[1], t->ages[2], t->ages[3], t->ages_unknown, t->torn);
    printf("  %" PRIu64 " operations, %" PRIu64 " allocs, %" PRIu64 " frees, %" PRIu64
           " updates (%" PRIu64 " conflicts), %" PRIu64 " resizes, %" PRIu64 " pins\n",
           t->operations, t->allocs, t->frees, t->updates, t->conflicts, t->resizes, t->pins);
    printf("  raced frees: %" PRIu64 " won, %" PRIu64 " lost; %" PRIu64 " relocations, %" PRIu64
           " refused at the limit\n",
           t->races_won, t->races_lost, t->relocations, t->refused);
    printf("  %" PRIu64 " compactions, %" PRIu64 " steps (%" PRIu64 " busy), %" PRIu64
           " forks, %" PRIu64 " audits, %" PRIu64 " grace periods\n",
           t->compactions, t->steps, t->steps_busy, t->forks, t->audits, generation());
}

/* ---- arguments ------------------------------------------------------------------------------- */

static int
bad_argument(const char *name, const char *value, const char *range)
{
    fprintf(stderr, "%s: %s is not %s\n", name, value ? value : "nothing", range);
    return 2;
}

static int
take_number(uint64_t *number, const char *name, const char *text, uint64_t least, uint64_t most)
{
    char *end = NULL, range[80];
    errno = 0;
    uint64_t value = text && *text != '-' ? strtoull(text, &end, 0) : 0;
    if (end && end != text && *end == '\0' && errno == 0 && value >= least && value <= most) {
        *number = value;
        return 0;
    }
    snprintf(range, sizeof(range), "a number from %" PRIu64 " to %" PRIu64, least, most);
    return bad_argument(name, text, range);
}

/* name=weight, separated by commas; what is not named has weight 0. */
static int
take_mix(const char *list)
{
    if (list && strcmp(list, "all") == 0)
        return 0;
    for (size_t i = 0; i < mode->count; i++)
        mode->elements[i].weight = 0;
    unsigned sum = 0;
    while (list && *list) {
        size_t length = strcspn(list, "=");
        struct element *element = find_element(list, length);
        char *end = NULL;
        unsigned long weight = list[length] == '=' ? strtoul(list + length + 1, &end, 10) : 0;
        if (!element || !end || end == list + length + 1 || (*end && *end != ',') || weight > 10000)
            return bad_argument("--mix", list, "a list of name=weight, weights from 0 to 10000");
        element->weight = (unsigned)weight;
        sum += element->weight;
        list = *end ? end + 1 : end;
    }
    return sum ? 0 : bad_argument("--mix", list, "a list with a weight above 0");
}

/* What live objects must take at least, in percent of a limit that is that small: at rest, and
 * while it runs. */
static void
set_shares(void)
{
    static const uint64_t table[][3] = {
        {8, 50, 35}, {16, 65, 45}, {32, 75, 60}, {64, 80, 60}, {UINT64_MAX, 85, 60}};
    size_t i = 0;
    while (limits.mib >= table[i][0])
        i++;
    limits.rest_share = table[i][1];
    limits.running_share = table[i][2];
}

static int
take_limit(const char *name, const char *value)
{
    if (take_number(&limits.mib, name, value, 4, 65536))
        return 2;
    mode = &mode_limit;
    set_shares();
    return 0;
}

static int
take_off(const char *list)
{
    static const char *const names[] = {"bound", "same-size", "child",
                                        "waits"}; /* enum limit_check */
    while (list && *list) {
        size_t length = strcspn(list, ","), i = 0;
        while (i < 4 && (strlen(names[i]) != length || strncmp(names[i], list, length) != 0))
            i++;
        if (i == 4)
            return bad_argument("--off", list, "a list of bound, same-size, child, waits");
        limits.off[i] = true;
        list += length + (list[length] == ',');
    }
    return 0;
}

static int
take_argument(const char *name, const char *value)
{
    if (strcmp(name, "--limit") == 0)
        return take_limit(name, value);
    if (strcmp(name, "--running-share") == 0)
        return take_number(&limits.running_share, name, value, 0, 100);
    if (strcmp(name, "--rest-share") == 0)
        return take_number(&limits.rest_share, name, value, 0, 100);
    if (strcmp(name, "--off") == 0)
        return take_off(value);
    if (strcmp(name, "--seconds") == 0)
        return take_number(&arguments.seconds, name, value, 1, 604800);
    if (strcmp(name, "--seed") == 0)
        return take_number(&arguments.seed, name, value, 1, UINT64_MAX);
    if (strcmp(name, "--threads") == 0)
        return take_number(&arguments.threads, name, value, 1, WORKERS_MOST);
    if (strcmp(name, "--audit-ms") == 0)
        return take_number(&arguments.audit_ms, name, value, 10, 3600000);
    if (strcmp(name, "--mix") == 0)
        return take_mix(value);
    fprintf(stderr,
            "%s: no such option; --limit (first), --running-share, --rest-share, --off, "
            "--seconds, --seed, --threads, --mix, --audit-ms. Elements:",
            name);
    for (size_t i = 0; i < mode->count; i++)
        fprintf(stderr, " %s", mode->elements[i].name);
    fprintf(stderr, "\n");
    return 2;
}

static void
seed_workers(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (arguments.seed == 0)
        arguments.seed =
            (uint64_t)now.tv_nsec * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)now.tv_sec;
    for (unsigned i = 0; i <= WORKERS_MOST; i++) {
        workers[i].index = i;
        workers[i].random = (arguments.seed + i) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    }
    limits_in_use = mode == &mode_everything && find_element("limit", 5)->weight > 0;
    printf("%s: --seed %" PRIu64 " --seconds %" PRIu64 " --threads %" PRIu64 "\n", FLAVOUR_NAME,
           arguments.seed, arguments.seconds, arguments.threads);
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    pthread_t clock;
    for (int i = 1; i < argc; i += 2)
        if (take_argument(argv[i], i + 1 < argc ? argv[i + 1] : NULL))
            return 2;
    seed_workers();
    install_hooks();
    thread_enter();
    if (!get_default_call_rcu_data()) /* before the first fork, see handle.h */
        return 1;
    mode->open(&workers[WORKERS_MOST], arguments.seed);
    if (pthread_create(&clock, NULL, clock_main, NULL)) {
        fprintf(stderr, "the clock thread could not be started\n");
        return 1;
    }
    tour(&workers[WORKERS_MOST]);
    run();
    wait_begin();
    pthread_join(clock, NULL);
    wait_end();
    uint64_t moved = mode->close(&workers[WORKERS_MOST]);
    add_counters(&workers[WORKERS_MOST].counters);
    thread_leave();
    mode->verdict(moved);
    report(moved);
    return findings() ? 1 : 0;
}
