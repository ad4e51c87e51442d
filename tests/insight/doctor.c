/* SPDX-License-Identifier: MIT */
/*
 * doctor.c - each rule of handle_stats_doctor is provoked by a store that has what it speaks of;
 * the remedy that it names is applied, and it is found no more. A rule without a case fails; a
 * store that is well has no finding.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flavour.h"
#include "insight/doctor.h"

#define COUNT 40000
#define SIZE  200

static handle_store *store;
static handle_t handles[600000];
static const void *addresses[COUNT];
static unsigned count;
static char *other;
static bool leaves; /* atomic */
static pthread_t reader;
static const char *wanted;
static unsigned found, others;

static void
expect(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "doctor: %s: %s\n", wanted ? wanted : "a store that is well", what);
    exit(1);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void
note(void *opaque, const struct handle_finding *finding)
{
    (void)opaque;
    expect(finding->bytes > 0 && finding->text && finding->remedy, "a finding is not whole");
    if (wanted && strcmp(finding->code, wanted) == 0)
        found++;
    else
        others++;
}

static bool
ask(void)
{
    static struct handle_stats stats;
    stats = (struct handle_stats)HANDLE_STATS_INIT;
    found = others = 0;
    expect(handle_store_stats(store, &stats) == 0, "there are no statistics");
    int result = handle_stats_doctor(&stats, note, NULL);
    expect(result == (int)(found + others), "the result is not the number of findings");
    return found == 1;
}

/* What comes by itself has a minute. */
static void
await(bool is, const char *what)
{
    for (unsigned tries = 0; ask() != is; tries++) {
        expect(tries < 6000, what);
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
open_with(const char *option, const char *value)
{
    open_store((struct handle_store_options)HANDLE_STORE_OPTIONS_INIT);
    expect(handle_store_set(store, option, value) == 0, "handle_store_set");
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
    expect(handle_store_set(store, "defrag.enabled", "yes") == 0, "handle_store_set");
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
    expect(handle_store_set(store, "defrag.ignore_bytes", "1M") == 0, "handle_store_set");
}

/* Every object that survives is pinned, so that no span can be emptied. */
static void
make_pinned(void)
{
    open_with("defrag.enabled", "no");
    fill(COUNT, SIZE);
    for (unsigned i = 0; i < count; i += 64) {
        rcu_read_lock();
        addresses[i] = handle_pin(store, handles[i]);
        expect(addresses[i] != NULL, "handle_pin");
        rcu_read_unlock();
    }
    thin_out(64);
    handle_store_reclaim(store, SIZE_MAX);
    (void)handle_store_compact(store, NULL);
}

static void
unpin(void)
{
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
    expect(handle_store_set(store, "purge_delay_ms", "200") == 0, "handle_store_set");
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

static void
make_limit_near(void)
{
    open_with("max_bytes", "8M");
    fill(COUNT * 2, SIZE);
}

static void
raise_limit(void)
{
    expect(handle_store_set(store, "max_bytes", "64M") == 0, "handle_store_set");
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

static const struct {
    const char *code;
    void (*provoke)(void);
    void (*remedy)(void);
} cases[] = {
    {"stuck_reader", make_stuck_reader, let_reader_leave},
    {"disabled", make_disabled, enable},
    {"held_back", make_held_back, ignore_less},
    {"pinned", make_pinned, unpin},
    {"purge_off", make_purge_off, purge_later},
    {"table", make_table, free_survivors},
    {"limit_near", make_limit_near, raise_limit},
    {"arena_small", make_arena_small, reserve_more},
    {"rounding", make_rounding, ask_for_multiples},
    {"not_this_store", make_not_this_store, free_other},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static void
run(size_t i)
{
    wanted = cases[i].code;
    cases[i].provoke();
    await(true, "it is not found");
    cases[i].remedy();
    await(false, "it is still found when its remedy was applied");
    handle_store_destroy(store);
}

static void
every_rule_has_a_case(void)
{
    for (const struct sn_rule *rule = sn_rules; rule->code; rule++) {
        size_t i = 0;
        while (i < CASES && strcmp(cases[i].code, rule->code) != 0)
            i++;
        wanted = rule->code;
        expect(i < CASES, "no case provokes it");
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

static void
well_has_none(void)
{
    wanted = NULL;
    open_store((struct handle_store_options)HANDLE_STORE_OPTIONS_INIT);
    fill(COUNT, SIZE);
    (void)ask();
    expect(others == 0, "it has a finding");
    handle_store_destroy(store);
}

int
main(void)
{
    rcu_register_thread();
    every_rule_has_a_case();
    a_moment_is_no_finding();
    well_has_none();
    for (size_t i = 0; i < CASES; i++)
        run(i);
    printf("%zu rules provoked, and gone by their remedies\n", CASES);
    return 0;
}
