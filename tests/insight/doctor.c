/* SPDX-License-Identifier: MIT */
/*
 * doctor.c - each rule of handle_store_doctor is provoked by a store that has what it speaks of,
 * and nothing else is found of that store but what is true as well; the remedy that it names is
 * applied, and it is found no more. What this machine cannot be brought to (swap, 2^24 frees of
 * each of many handles) is provoked by statistics that say so. A rule without a case fails; a store
 * that is well has no finding. What is read of the process from outside (tools/vitals.h) says the
 * same each time.
 *
 * doctor at CODE: only provokes that case, and writes what is found, again for each character that
 * it reads, until its input ends (doctor.sh).
 *
 * Seen failing: outside, without the refusals, or without pins.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hooks.h"
#include "flavour.h"
#include "insight/doctor.h"
#include "tools/vitals.h"

#define COUNT 40000
#define SIZE  200

static handle_store *store;
static handle_t handles[600000];
static const void *addresses[COUNT];
static unsigned count;
static char *other;
static bool leaves; /* atomic */
static pthread_t reader;
static const char *wanted, *also; /* found beside it, with spaces between them */
static unsigned found, others;
static char other_code[64];

static void
expect(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "doctor: %s: %s (of others %u: %s)\n", wanted ? wanted : "a store that is well",
            what, others, other_code);
    exit(1);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void
note(void *opaque, const struct handle_finding *finding)
{
    (void)opaque;
    expect(finding->bytes > 0 && finding->text && finding->remedy, "a finding is not whole");
    if (wanted && strcmp(finding->code, wanted) == 0) {
        found++;
    } else if (!also || !strstr(also, finding->code)) {
        others++;
        snprintf(other_code, sizeof(other_code), "%s", finding->code);
    }
}

/* As `sinter doctor` of this process. */
static void
ask_outside(void)
{
    static struct reader_store read;
    struct sn_evidence evidence;
    struct vitals *vitals = NULL;
    const char *error = NULL;
    struct reader *self = reader_open("self", &error);
    bool good = self && vitals_open(self, &vitals, &error) && reader_first(self, &read, &error) &&
                vitals_read(vitals, &read, &evidence, &error);
    expect(good, error);
    (void)sn_doctor(&evidence, note, NULL);
    vitals_close(vitals);
    reader_close(self);
}

static void
ask_inside(void)
{
    found = others = 0;
    other_code[0] = 0;
    expect(handle_store_doctor(store, note, NULL) >= 0, "there is no answer");
}

static bool
is_found(void)
{
    return found == 1 && others == 0;
}

/* Whether it is found, and nothing that is not so; from outside, too. What changes between the two
 * looks is asked for again. */
static bool
ask(void)
{
    ask_inside();
    if (!is_found())
        return false;
    found = others = 0;
    ask_outside();
    return is_found();
}

static bool
is_gone(void)
{
    ask_inside();
    ask_outside();
    return found == 0;
}

static void (*each_try)(void);

/* What comes by itself has a minute. */
static void
await(bool (*holds)(void), const char *what)
{
    unsigned tries = 0;
    for (;;) {
        if (each_try)
            each_try();
        if (holds())
            return;
        expect(tries++ < 6000, what);
        usleep(10000);
    }
}

/* ---- stores ---------------------------------------------------------------------------------- */

static void
open_store(struct handle_store_options options)
{
    store = handle_store_create(&options);
    expect(store != NULL, "handle_store_create");
    count = 0;
}

static void
set(const char *option, const char *value)
{
    expect(handle_store_set(store, option, value) == 0, "handle_store_set");
}

static void
open_with(const char *option, const char *value)
{
    open_store((struct handle_store_options)HANDLE_STORE_OPTIONS_INIT);
    set(option, value);
}

static void
fill(unsigned more, size_t size)
{
    for (unsigned i = 0; i < more; i++) {
        handle_t handle = handle_alloc(store, size);
        if (handle == HANDLE_NULL)
            return;
        handles[count++] = handle;
    }
}

/* Frees all but one of so many. */
static void
thin_out(unsigned keep)
{
    for (unsigned i = 0; i < count; i++)
        if (i % keep != 0)
            (void)handle_free(store, handles[i]);
}

static void
sparse(void)
{
    fill(COUNT, SIZE);
    thin_out(4);
    handle_store_reclaim(store, SIZE_MAX);
}

/* ---- cases ----------------------------------------------------------------------------------- */

static void *
read_on(void *unused)
{
    (void)unused;
    rcu_register_thread();
    rcu_read_lock();
    while (!__atomic_load_n(&leaves, __ATOMIC_ACQUIRE))
        usleep(1000);
    rcu_read_unlock();
    rcu_unregister_thread();
    return NULL;
}

static void
make_stuck_reader(void)
{
    open_store((struct handle_store_options)HANDLE_STORE_OPTIONS_INIT);
    fill(COUNT, SIZE);
    pthread_create(&reader, NULL, read_on, NULL);
    usleep(10000);
    thin_out(COUNT);
}

static void
let_reader_leave(void)
{
    __atomic_store_n(&leaves, true, __ATOMIC_RELEASE);
    pthread_join(reader, NULL);
}

static void
make_disabled(void)
{
    open_with("defrag.enabled", "no");
    sparse();
}

static void
enable(void)
{
    set("defrag.enabled", "yes");
}

static void
make_held_back(void)
{
    open_with("defrag.ignore_bytes", "1G");
    sparse();
}

static void
ignore_less(void)
{
    set("defrag.ignore_bytes", "1M");
}

static void
pin_some(void)
{
    for (unsigned i = 0; i < count; i += 64) {
        rcu_read_lock();
        addresses[i] = handle_pin(store, handles[i]);
        expect(addresses[i] != NULL, "handle_pin");
        rcu_read_unlock();
    }
}

/* Every object that survives is pinned, so that no span can be emptied. */
static void
make_pinned(void)
{
    open_with("defrag.enabled", "no");
    fill(COUNT, SIZE);
    pin_some();
    thin_out(64);
    handle_store_reclaim(store, SIZE_MAX);
    (void)handle_store_compact(store, NULL);
}

static void
unpin(void)
{
    each_try = NULL;
    for (unsigned i = 0; i < count; i += 64)
        handle_unpin(store, addresses[i]);
    (void)handle_store_compact(store, NULL);
}

static void
make_purge_off(void)
{
    open_with("purge_delay_ms", "-1");
    fill(COUNT, SIZE);
    thin_out(COUNT);
    handle_store_reclaim(store, SIZE_MAX);
}

static void
purge_later(void)
{
    set("purge_delay_ms", "200");
}

static void
make_table(void)
{
    open_store((struct handle_store_options)HANDLE_STORE_OPTIONS_INIT);
    fill(600000, 8);
    thin_out(512);
    handle_store_reclaim(store, SIZE_MAX);
    (void)handle_store_compact(store, NULL);
    (void)handle_store_purge(store, NULL);
}

static void
free_survivors(void)
{
    for (unsigned i = 0; i < count; i += 512)
        (void)handle_free(store, handles[i]);
    (void)handle_store_purge(store, NULL);
}

static uint64_t
committed(void)
{
    static struct handle_stats stats;
    stats = (struct handle_stats)HANDLE_STATS_INIT;
    expect(handle_store_stats(store, &stats) == 0, "there are no statistics");
    return stats.committed;
}

static void
make_limit_near(void)
{
    open_with("max_bytes", "64M");
    while (committed() <= ((uint64_t)60 << 20))
        fill(1000, SIZE);
}

static void
raise_limit_far(void)
{
    set("max_bytes", "1G");
}

static void
make_limit_hit(void)
{
    open_with("max_bytes", "8M");
    fill(COUNT * 2, SIZE);
}

static void
raise_limit(void)
{
    set("max_bytes", "64M");
}

static void
fill_arena(uint64_t bytes)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.arena_bytes = bytes;
    open_store(options);
    fill(COUNT, SIZE);
}

static void
make_arena_small(void)
{
    fill_arena((uint64_t)1 << 20);
}

static void
reserve_more(void)
{
    handle_store_destroy(store);
    fill_arena((uint64_t)64 << 20);
}

static void
make_rounding(void)
{
    open_store((struct handle_store_options)HANDLE_STORE_OPTIONS_INIT);
    fill(600000, 1);
}

static void
ask_for_multiples(void)
{
    thin_out(600000);
    (void)handle_free(store, handles[0]);
    handle_store_reclaim(store, SIZE_MAX);
    count = 0;
    fill(600000, 8);
}

static void
make_not_this_store(void)
{
    open_store((struct handle_store_options)HANDLE_STORE_OPTIONS_INIT);
    other = malloc((size_t)100 << 20);
    expect(other != NULL, "malloc");
    memset(other, 1, (size_t)100 << 20);
}

static void
free_other(void)
{
    free(other);
}

/* ---- of compaction */

static pid_t child;

static void
make_fork_pause(void)
{
    open_store((struct handle_store_options)HANDLE_STORE_OPTIONS_INIT);
    fill(COUNT, SIZE);
    handle_store_before_fork(store);
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    handle_store_after_fork_parent(store);
    expect(child > 0, "fork");
    thin_out(4);
    handle_store_reclaim(store, SIZE_MAX);
}

static void
let_copy(void)
{
    set("defrag.pause_while_forked", "no");
    await(is_gone, "it is still found when compaction may copy");
    kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
}

static void begin_backoff(void);

/* Compaction by itself finds pinned objects wherever it begins. */
static void
make_backoff(void)
{
    each_try = begin_backoff;
    open_store((struct handle_store_options)HANDLE_STORE_OPTIONS_INIT);
    fill(COUNT, SIZE);
    pin_some();
    thin_out(64);
    handle_store_reclaim(store, SIZE_MAX);
}

/* It pauses twice, briefly; then what it has tried in vain does not count any more. Who has missed
 * that begins anew. */
static void
begin_backoff(void)
{
    static unsigned tries;
    if (++tries % 100 != 0)
        return;
    unpin();
    handle_store_destroy(store);
    make_backoff();
}

/* Objects begin with their handles; the mover has just marked one. */
static void
write_to_it(enum sn_hook_point point, const void *object)
{
    handle_t handle;
    if (point != SN_HOOK_AFTER_MARK)
        return;
    memcpy(&handle, object, sizeof(handle));
    rcu_read_lock();
    (void)handle_deref_mut(store, handle);
    rcu_read_unlock();
}

static void
make_written(void)
{
    open_with("defrag.enabled", "no");
    fill(COUNT, SIZE);
    for (unsigned i = 0; i < count; i++) {
        rcu_read_lock();
        memcpy(handle_deref_mut(store, handles[i]), &handles[i], sizeof(handles[i]));
        rcu_read_unlock();
    }
    thin_out(4);
    handle_store_reclaim(store, SIZE_MAX);
    __atomic_store_n(&sn_hook_fn, write_to_it, __ATOMIC_RELEASE);
    (void)handle_store_compact(store, NULL);
    __atomic_store_n(&sn_hook_fn, NULL, __ATOMIC_RELEASE);
}

static void
compact_while_writers_rest(void)
{
    (void)handle_store_compact(store, NULL);
}

/* ---- of free memory that is kept */

/* As a thread that is busy, with objects of all sizes. */
static void
use_all_sizes(void)
{
    static struct handle_class_stats classes[HANDLE_CLASSES_MAX];
    int n = handle_store_class_stats(store, classes, sizeof(classes[0]), HANDLE_CLASSES_MAX);
    for (int i = 0; i < n; i++) {
        count = 0;
        fill(64, classes[i].object_bytes);
        rcu_read_lock();
        for (unsigned k = 0; k < count; k++)
            (void)handle_free_now(store, handles[k]);
        rcu_read_unlock();
    }
}

static void
make_thread_caches(void)
{
    open_with("thread_cache_bytes", "64M");
    each_try = use_all_sizes;
}

static void
keep_less(void)
{
    set("thread_cache_bytes", "256K");
}

static int
refuse_madvise(enum sn_inject_point point)
{
    return point == SN_INJECT_MADVISE;
}

static void
make_purge_refused(void)
{
    open_with("purge_delay_ms", "0");
    fill(COUNT, SIZE);
    __atomic_store_n(&sn_inject_fn, refuse_madvise, __ATOMIC_RELEASE);
    thin_out(COUNT);
    handle_store_reclaim(store, SIZE_MAX);
    (void)handle_store_purge(store, NULL);
}

static void
let_purge(void)
{
    __atomic_store_n(&sn_inject_fn, NULL, __ATOMIC_RELEASE);
    (void)handle_store_purge(store, NULL);
}

/* ---- of limits */

static void
open_arena(uint64_t bytes)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.arena_bytes = bytes;
    open_store(options);
}

/* Every second of so many large ones goes, and what is as large as ten finds no room. */
static void
make_large_share(void)
{
    open_arena((uint64_t)64 << 20);
    fill(COUNT, (size_t)100 << 10);
    for (unsigned i = 0; i < count; i += 2)
        (void)handle_free(store, handles[i]);
    handle_store_reclaim(store, SIZE_MAX);
    expect(handle_alloc(store, (size_t)1 << 20) == HANDLE_NULL, "there is room");
}

static void
keep_pieces(void)
{
    handle_store_destroy(store);
    open_arena((uint64_t)64 << 20);
    fill(1000, (size_t)50 << 10);
    for (unsigned i = 0; i < count; i += 2)
        (void)handle_free(store, handles[i]);
    (void)handle_store_compact(store, NULL);
    expect(handle_alloc(store, (size_t)1 << 20) != HANDLE_NULL, "there is no room");
}

/* ---- of what is wrong */

static void
hear(void *opaque, const char *line)
{
    (void)opaque;
    (void)line;
}

static void
open_that_reports(void)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.error = hear;
    open_store(options);
}

static void
make_errors(void)
{
    open_that_reports();
    fill(COUNT, SIZE);
    rcu_read_lock();
    handle_unpin(store, handle_deref(store, handles[0]));
    rcu_read_unlock();
}

/* In every span, so that compaction meets one wherever it begins. */
static void
make_damage(void)
{
    open_that_reports();
    set("defrag.enabled", "no");
    fill(COUNT, SIZE);
    for (unsigned i = 0; i < count; i += 64) {
        rcu_read_lock();
        memset((char *)handle_deref_mut(store, handles[i]) - 8, 0x5a, 8);
        rcu_read_unlock();
    }
    thin_out(4);
    (void)handle_store_compact(store, NULL);
}

static void
begin_anew(void)
{
    handle_store_destroy(store);
    open_that_reports();
    fill(COUNT, SIZE);
}

static const struct {
    const char *code;
    void (*provoke)(void);
    void (*remedy)(void);
    const char *also; /* what is true of that store as well */
} cases[] = {
    {"stuck_reader", make_stuck_reader, let_reader_leave, NULL},
    {"disabled", make_disabled, enable, NULL},
    {"held_back", make_held_back, ignore_less, NULL},
    {"fork_pause", make_fork_pause, let_copy, NULL},
    {"backoff", make_backoff, unpin, "pinned"},
    {"pinned", make_pinned, unpin, "disabled"},
    {"written", make_written, compact_while_writers_rest, "disabled"},
    {"thread_caches", make_thread_caches, keep_less, NULL},
    {"purge_off", make_purge_off, purge_later, NULL},
    {"purge_refused", make_purge_refused, let_purge, NULL},
    {"table", make_table, free_survivors, NULL},
    {"limit_near", make_limit_near, raise_limit_far, NULL},
    {"limit_hit", make_limit_hit, raise_limit, NULL},
    {"arena_small", make_arena_small, reserve_more, NULL},
    {"large_share", make_large_share, keep_pieces, "arena_small"},
    {"rounding", make_rounding, ask_for_multiples, NULL},
    {"not_this_store", make_not_this_store, free_other, NULL},
    {"damage", make_damage, begin_anew, "disabled"},
    {"errors", make_errors, begin_anew, NULL},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static void
run(size_t i)
{
    wanted = cases[i].code;
    also = cases[i].also;
    cases[i].provoke();
    await(ask, "it is not found, or more is");
    cases[i].remedy();
    await(is_gone, "it is still found when its remedy was applied");
    also = NULL;
    each_try = NULL;
    handle_store_destroy(store);
}

/* ---- what this machine need not show --------------------------------------------------------- */

static void
be_swapped(struct sn_evidence *e, bool is)
{
    e->swapped = is ? e->stats.committed / 4 : 0;
}

static void
be_huge(struct sn_evidence *e, bool is)
{
    e->huge = e->stats.committed / 2;
    e->wants_huge = !is;
}

static void
be_above_group(struct sn_evidence *e, bool is)
{
    e->group_limit = e->stats.committed * 2;
    e->stats.max_bytes = is ? e->group_limit + 1 : e->group_limit;
}

/* An entry that was freed 2^24 times is used up, and keeps its 8 bytes. */
static void
use_generations_up(struct sn_evidence *e, bool is)
{
    e->stats.table_entries_dead = is ? e->stats.committed / 32 : 0;
}

static const struct {
    const char *code;
    void (*make)(struct sn_evidence *e, bool is);
} facts[] = {
    {"swapped", be_swapped},
    {"huge_pages", be_huge},
    {"limit_above_group", be_above_group},
    {"generations", use_generations_up},
};
#define FACTS (sizeof(facts) / sizeof(facts[0]))

static void
see(size_t i, bool is)
{
    struct sn_evidence evidence = {.stats = HANDLE_STATS_INIT};
    evidence.stats.requested = evidence.stats.committed = UINT64_C(100) << 20;
    wanted = facts[i].code;
    found = others = 0;
    facts[i].make(&evidence, is);
    (void)sn_doctor(&evidence, note, NULL);
    expect(found == is && others == 0, is ? "it is not found, or more is" : "it is still found");
}

/* Whether the kernel, asked for them, has made any. */
static bool
is_huge(void)
{
    char *begin = NULL;
    struct sn_evidence evidence = {.stats = HANDLE_STATS_INIT};
    rcu_read_lock();
    begin = (char *)(uintptr_t)handle_deref(store, handles[0]);
    rcu_read_unlock();
    sn_evidence_ask_kernel(&evidence, "self", (uint64_t)(uintptr_t)begin,
                           (uint64_t)(uintptr_t)begin + 1);
    return evidence.huge > committed() / 4;
}

static void
real_huge_pages(void)
{
    wanted = "huge_pages";
    open_with("hugepages", "advise");
    fill(200000, SIZE);
    if (is_huge()) {
        set("hugepages", "never");
        await(ask, "what was made before is not found");
        handle_store_destroy(store);
        open_with("hugepages", "never");
        fill(200000, SIZE);
        expect(is_gone(), "a store that never had them has some");
    } else {
        puts("huge pages: the kernel gives none, seen by statistics alone");
    }
    handle_store_destroy(store);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool
is_in_a_table(const char *code)
{
    for (size_t i = 0; i < CASES; i++)
        if (strcmp(cases[i].code, code) == 0)
            return true;
    for (size_t i = 0; i < FACTS; i++)
        if (strcmp(facts[i].code, code) == 0)
            return true;
    return false;
}

static void
every_rule_has_a_case(void)
{
    for (const struct sn_rule *rule = sn_rules; rule->code; rule++) {
        wanted = rule->code;
        expect(is_in_a_table(rule->code), "no case provokes it");
    }
}

static void
note_purge_off(void *found, const struct handle_finding *finding)
{
    *(bool *)found |= strcmp(finding->code, "purge_off") == 0;
}

/* What is empty is kept for a moment by every store that works; only for long it is a finding. */
static void
a_moment_is_no_finding(void)
{
    struct handle_stats stats = HANDLE_STATS_INIT;
    bool told = false;
    wanted = "purge_off";
    stats.requested = stats.committed = UINT64_C(100) << 20;
    stats.empty_span = UINT64_C(50) << 20;
    stats.shrink_reason = HANDLE_SHRINK_PURGE_DELAY;
    stats.empty_span_age_ns = 200000000;
    expect(handle_stats_doctor(&stats, note_purge_off, &told) >= 0 && !told,
           "what has been empty for 200 ms is a finding");
    stats.empty_span_age_ns = 2000000000;
    expect(handle_stats_doctor(&stats, note_purge_off, &told) > 0 && told,
           "what has been empty for 2 s is none");
}

static bool
has_none(void)
{
    ask_inside();
    ask_outside();
    return others == 0;
}

static void
well_has_none(void)
{
    wanted = NULL;
    open_store((struct handle_store_options)HANDLE_STORE_OPTIONS_INIT);
    fill(COUNT, SIZE);
    await(has_none, "it has a finding");
    handle_store_destroy(store);
}

/* Sizes shift, so that compaction has to work; it does. */
static void
shifted_has_none(void)
{
    static const size_t sizes[] = {248, 52, 280, 640};
    unsigned at = 0;
    wanted = NULL;
    open_store((struct handle_store_options)HANDLE_STORE_OPTIONS_INIT);
    fill(COUNT, sizes[0]);
    for (unsigned phase = 1; phase < 4; phase++)
        for (unsigned i = 0; i < COUNT; i++) {
            at = (at * 1103515245 + 12345) % COUNT;
            (void)handle_free(store, handles[at]);
            handles[at] = handle_alloc(store, sizes[phase]);
        }
    await(has_none, "it has a finding after its sizes have shifted");
    handle_store_destroy(store);
}

static void
print_code(void *opaque, const struct handle_finding *finding)
{
    (void)opaque;
    printf(" %s", finding->code);
}

/* For doctor.sh. */
static int
wait_at(const char *code)
{
    for (size_t i = 0; i < CASES; i++) {
        if (strcmp(cases[i].code, code) != 0)
            continue;
        wanted = code;
        also = cases[i].also;
        cases[i].provoke();
        await(ask, "it is not found, or more is");
        do {
            fputs("ready", stdout);
            (void)handle_store_doctor(store, print_code, NULL);
            putchar('\n');
            fflush(stdout);
        } while (getchar() != EOF);
        _exit(0);
    }
    return 2;
}

int
main(int argc, char **argv)
{
    rcu_register_thread();
    if (argc == 3)
        return wait_at(argv[2]);
    every_rule_has_a_case();
    a_moment_is_no_finding();
    well_has_none();
    shifted_has_none();
    for (size_t i = 0; i < CASES; i++)
        run(i);
    for (size_t i = 0; i < 2 * FACTS; i++)
        see(i / 2, i % 2 == 0);
    real_huge_pages();
    printf("%zu rules provoked, and gone by their remedies\n", CASES + FACTS);
    return 0;
}
