/* SPDX-License-Identifier: MIT */
/*
 * torture.c - readers and writers of a cache whose index grows and shrinks, whose limit changes,
 * and which is walked and cleared, all at once. What is checked, by counts and contents, never by
 * time:
 *
 *   contents  each value is one that was written to its key, whole
 *   order     a key's version, as one thread reads it, never goes back
 *   stable    (--stable: nothing is evicted or cleared) what is never deleted is found, once it
 *             was there, while the index grows and shrinks
 *   limit     at no sample is more held than the highest limit
 *   shared    (--shared 1: the limit is a budget's that changes, with another tenant that is full)
 *             at no sample do both hold more than its highest limit
 *   sums      in the end all adds up, and the store is sound
 *
 *     cache_torture_memb [--seconds N] [--seed N] [--stable 1] [--shared 1]
 */
#include "support.h"

#include <inttypes.h>
#include <time.h>

#define KEYS        20000u
#define READERS     2u
#define WRITERS     2u
#define LIMIT_MOST  (16 * MIB)
#define LARGE_EVERY 500u

static struct fixture_cache fixture;
static uint64_t seed, operations; /* atomic */
static uint64_t version_of[KEYS]; /* each by its writer; atomic: the last one written */
static unsigned stop;             /* atomic */
static time_t seconds = 2;
static bool stable;
static sinter_cache_budget *budget; /* --shared */
static struct fixture_cache other;  /* its other tenant, of the control thread */
static uint64_t missed;             /* atomic */

static bool
stopped(void)
{
    return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static size_t
size_of(uint64_t number, uint64_t version)
{
    uint64_t mixed = (number * 31 + version) * UINT64_C(0x9e3779b97f4a7c15) >> 40;
    return number % LARGE_EVERY == 0 ? 60000 + mixed % 100000 : mixed % 700;
}

/* ---- readers --------------------------------------------------------------------------------- */

/* The version that is there, 0: none. */
static uint64_t
read_whole(uint64_t number, const struct sinter_cache_view *view)
{
    static __thread unsigned char copy[200000];
    struct sinter_cache_view piece = *view;
    uint64_t head[2];
    size_t at = 0;
    do {
        thread_check(at + piece.data_size <= sizeof(copy));
        memcpy(copy + at, piece.data, piece.data_size);
        at += piece.data_size;
    } while (sinter_cache_next(fixture.cache, &piece));
    thread_check(at == view->info.size && at >= 16);
    memcpy(head, copy, 16);
    thread_check(head[0] == number);
    thread_check(at == 16 + size_of(number, head[1]));
    thread_check(mismatch(copy + 16, at - 16, number ^ head[1]) == at - 16);
    return head[1];
}

static void
read_on(unsigned index)
{
    static __thread uint64_t seen[KEYS];
    uint64_t state = seed + index + 100;
    while (!stopped()) {
        char key[21];
        struct sinter_cache_view view;
        uint64_t number = random_below(&state, KEYS);
        make_key(key, number);
        section_enter();
        if (sinter_cache_look(fixture.cache, key, 20, &view) == 0) {
            uint64_t version = read_whole(number, &view);
            thread_check(version >= seen[number]);
            seen[number] = version;
        } else if (seen[number] && number % 8 == 0) {
            __atomic_fetch_add(&missed, 1, __ATOMIC_RELAXED);
        }
        section_leave();
        __atomic_fetch_add(&operations, 1, __ATOMIC_RELAXED);
    }
}

/* ---- writers --------------------------------------------------------------------------------- */

static void
print(void *opaque, const char *text, size_t length)
{
    (void)opaque;
    fwrite(text, 1, length, stderr);
}

/* Says what there was of memory. */
static void
refused(uint64_t number, int rc)
{
    fprintf(stderr, "key %" PRIu64 " is refused with %d\n", number, rc);
    sinter_cache_print(fixture.cache, HANDLE_STATS_TEXT, print, NULL);
    handle_store_stats_print(sinter_cache_store(fixture.cache), HANDLE_STATS_TEXT, print, NULL);
    thread_check(rc == 0 || rc == -EAGAIN);
}

static void
write_number(uint64_t number)
{
    uint64_t version = version_of[number] + 1;
    int rc = set_number(fixture.cache, number, size_of(number, version), version);
    if (rc != 0 && rc != -EAGAIN)
        refused(number, rc);
    if (rc == 0)
        version_of[number] = version;
}

static void
delete_number(uint64_t number)
{
    char key[21];
    make_key(key, number);
    int rc = sinter_cache_delete(fixture.cache, key, 20, 0);
    thread_check(rc == 0 || rc == -ENOENT);
    quiesce();
}

/* Each writer has its own keys; in turns they become many and few, so that the index follows. */
static void
write_on(unsigned index)
{
    uint64_t state = seed + index + 200;
    for (uint64_t n = 0; !stopped(); n++) {
        uint64_t number = random_below(&state, KEYS / WRITERS) * WRITERS + index;
        if (n / 20000 % 2 && number % 8)
            delete_number(number);
        else
            write_number(number);
        __atomic_fetch_add(&operations, 1, __ATOMIC_RELAXED);
    }
}

/* ---- the rest -------------------------------------------------------------------------------- */

static int
visit(void *opaque, const struct sinter_cache_view *view)
{
    uint64_t number;
    memcpy(&number, view->data, sizeof(number));
    thread_check(number < KEYS && read_whole(number, view) > 0);
    ++*(uint64_t *)opaque;
    return stopped();
}

static void
look_at_sums(void)
{
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    thread_check(sinter_cache_stats(fixture.cache, &stats) == 0);
    uint64_t held = stats.held_bytes;
    /* The other one second: only this thread makes it grow. */
    if (budget) {
        thread_check(sinter_cache_stats(other.cache, &stats) == 0);
        held += stats.held_bytes;
    }
    thread_check(held <= (stable ? 4 : budget ? 2 : 1) * LIMIT_MOST);
}

/* Its limit, or the budget's. */
static void
change_limit(uint64_t which)
{
    static const char *const limits[] = {"8M", "16M", "11M", "9M"};
    static const uint64_t shared[] = {16, 32, 20, 24};
    if (budget)
        thread_check(sinter_cache_budget_limit(budget, shared[which] * MIB, 0) == 0);
    else
        thread_check(sinter_cache_configure(fixture.cache, "limit_bytes", limits[which]) == 0);
}

static void
write_to_other(uint64_t *state)
{
    for (unsigned i = 0; budget && i < 200; i++) {
        int rc = set_number(other.cache, random_below(state, 100000), 300, 1);
        thread_check(rc == 0 || rc == -EAGAIN);
    }
}

static void
control(void)
{
    uint64_t state = seed + 300, visited = 0;
    while (!stopped()) {
        uint64_t before = __atomic_load_n(&operations, __ATOMIC_RELAXED);
        while (!stopped() && __atomic_load_n(&operations, __ATOMIC_RELAXED) < before + 2000) {
            wait_begin();
            sched_yield();
            wait_end();
        }
        look_at_sums();
        write_to_other(&state);
        switch (random_below(&state, 16) + (stable ? 3 : 0)) {
        case 0:
            sinter_cache_clear(fixture.cache);
            break;
        case 1:
        case 2:
            change_limit(random_below(&state, 4));
            break;
        case 3:
            sinter_cache_walk(fixture.cache, visit, &visited);
            break;
        case 4:
            sinter_cache_sweep(fixture.cache, 1000);
            break;
        default:
            break;
        }
        quiesce();
    }
}

static void
wait_and_stop(void)
{
    wait_begin();
    struct timespec left = {.tv_sec = seconds};
    while (nanosleep(&left, &left) != 0)
        ;
    wait_end();
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
}

static void
body(void *opaque, unsigned index)
{
    (void)opaque;
    if (index == 0)
        wait_and_stop();
    else if (index == 1)
        control();
    else if (index < 2 + READERS)
        read_on(index - 2);
    else
        write_on(index - 2 - READERS);
}

static void
open_shared(void)
{
    budget = sinter_cache_budget_create(2 * LIMIT_MOST, 0);
    cache_options(&other);
    other.options.budget = fixture.options.budget = budget;
    other.options.wait_ms = 60000;
    other.cache = sinter_cache_create_flavor(&other.options, &rcu_flavor);
    thread_check(other.cache != NULL);
}

int
main(int argc, char **argv)
{
    bool shared = false;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            seconds = (time_t)strtol(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--stable") == 0)
            stable = argv[i + 1][0] == '1';
        if (strcmp(argv[i], "--shared") == 0)
            shared = argv[i + 1][0] == '1';
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
    }
    if (!seed)
        seed = random_seed("cache_torture");
    thread_enter();
    cache_options(&fixture);
    fixture.options.clock_ms = NULL;
    fixture.options.wait_ms = 60000;
    if (stable)
        fixture.options.limit_bytes = 4 * LIMIT_MOST;
    if (shared)
        open_shared();
    fixture.cache = sinter_cache_create_flavor(&fixture.options, &rcu_flavor);
    if (!fixture.cache) {
        perror("create");
        return 1;
    }
    run_threads(2 + READERS + WRITERS, body, NULL);
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    sinter_cache_stats(fixture.cache, &stats);
    printf("%" PRIu64 " operations, %" PRIu64 " evicted, %" PRIu64 " splits, %" PRIu64
           " merges, %" PRIu64 " waits, the longest %.1f ms\n",
           operations, stats.evicted, stats.splits, stats.merges, stats.waits,
           (double)stats.wait_max_ns / 1e6);
    thread_check(stats.items == stats.inserted - stats.deleted - stats.evicted - stats.crowded -
                                    stats.expired - stats.cleared);
    /* On a loaded machine so much may wait for grace periods that something has to go. */
    thread_check(!stable || stats.evicted || missed <= READERS * stats.crowded);
    thread_check(handle_store_check(sinter_cache_store(fixture.cache), print_violation, NULL) == 0);
    sinter_cache_clear(fixture.cache);
    sinter_cache_stats(fixture.cache, &stats);
    thread_check(stats.items == 0 && stats.used_bytes == 0 && stats.payload_bytes == 0 &&
                 stats.ring_bytes == 0);
    thread_check(sinter_cache_destroy(fixture.cache) == 0);
    thread_check(!budget || (sinter_cache_destroy(other.cache) == 0 &&
                             sinter_cache_budget_destroy(budget) == 0));
    thread_leave();
    return 0;
}
