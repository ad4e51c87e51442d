/* SPDX-License-Identifier: MIT */
/*
 * control.c - everything that is done to a store as a whole while others use it: options,
 * compaction on, off, forced and stepped, purge and reclaim, statistics, walks, limits, detach,
 * forks.
 *
 * Seen failing:
 *   the table's pages not charged                         "stats: 0, committed"
 *   max_bytes ignored                                     "as many as the limit"
 *   objects are moved across a walk                       "walk: constant 2 was met 2 times"
 */
#include "torture.h"

#include <sched.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FORK_EACH_MS 1000

bool limits_in_use;

static void
set(struct heap *heap, const char *name, const char *value)
{
    int result = handle_store_set(heap->store, name, value);
    if (result)
        finding("set %s to %s: %d", name, value, result);
}

static void
ignore_text(void *opaque, const char *text, size_t length)
{
    (void)opaque;
    (void)text;
    (void)length;
}

void
op_tune(struct worker *worker, struct heap *heap)
{
    /* min and lower stay below the least max and upper: no pair is refused, in any order */
    static const char *const settings[][5] = {
        {"purge_delay_ms", "0", "-1", "1", "200"},
        {"hugepages", "never", "advise", "always", "dense"},
        {"thread_cache_bytes", "0", "1K", "256K", "4M"},
        {"thread_cache_total_bytes", "0", "64K", "16M", "1G"},
        {"defrag.enabled", "yes", "no", "yes", "yes"},
        {"defrag.ignore_bytes", "0", "64K", "1M", "0"},
        {"defrag.threshold_lower_percent", "0", "1", "0", "1"},
        {"defrag.threshold_upper_percent", "1", "5", "12", "100"},
        {"defrag.cpu_min_percent", "1", "5", "10", "20"},
        {"defrag.cpu_max_percent", "20", "50", "100", "100"},
        {"defrag.slice_us", "50", "100", "500", "2000"},
        {"defrag.pause_while_forked", "yes", "no", "yes", "no"},
        {"profile.enabled", "yes", "no", "yes", "yes"},
        {"profile.sample_bytes", "64", "4K", "0", "1M"},
    };
    char value[64];
    size_t i = roll(worker, sizeof(settings) / sizeof(settings[0]));
    set(heap, settings[i][0], settings[i][1 + roll(worker, 4)]);
    if (handle_store_get(heap->store, settings[i][0], value, sizeof(value)))
        finding("get %s failed", settings[i][0]);
    int result = handle_store_profile(heap->store, HANDLE_PROFILE_PPROF, ignore_text, NULL);
    if (result && result != -ENOENT && result != -ENOMEM)
        finding("handle_store_profile: %d", result);
}

void
op_toggle(struct worker *worker, struct heap *heap)
{
    bool start = roll(worker, 3);
    int result = start ? handle_defrag_start(heap->store) : handle_defrag_stop(heap->store);
    if (result && !(start && result == -EAGAIN))
        finding("defrag %s: %d", start ? "start" : "stop", result);
}

void
op_compact(struct worker *worker, struct heap *heap)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    int result = roll(worker, 3) ? handle_store_compact(heap->store, &report)
                                 : handle_defrag_estimate(heap->store, &report);
    worker->counters.compactions++;
    if (result || report.live_bytes > report.span_bytes)
        finding("compact: %d, %llu live of %llu", result, (unsigned long long)report.live_bytes,
                (unsigned long long)report.span_bytes);
}

void
op_step(struct worker *worker, struct heap *heap)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    bool inside = roll(worker, 8) == 0; /* allowed, but cannot get far */
    if (inside)
        section_enter();
    int result = handle_defrag_step(heap->store, 1 + (uint32_t)roll(worker, 1000), &report);
    if (inside)
        section_leave();
    worker->counters.steps++;
    worker->counters.steps_busy += report.busy;
    if (result)
        finding("step: %d", result);
}

void
op_purge(struct worker *worker, struct heap *heap)
{
    size_t released = 0;
    int result = roll(worker, 2) ? handle_store_purge(heap->store, &released)
                                 : handle_store_reclaim(heap->store, roll(worker, 1 << 20));
    if (result)
        finding("purge or reclaim: %d", result);
}

static void
count_bytes(void *opaque, const char *text, size_t length)
{
    (void)text;
    *(size_t *)opaque += length;
}

void
op_stats(struct worker *worker, struct heap *heap)
{
    static const enum handle_stats_format formats[] = {HANDLE_STATS_TEXT, HANDLE_STATS_JSON,
                                                       HANDLE_STATS_PROMETHEUS};
    struct handle_stats stats = HANDLE_STATS_INIT;
    size_t printed = 0;
    int result = handle_store_stats(heap->store, &stats);
    if (result || stats.committed > stats.committed_peak || stats.committed == 0)
        finding("stats: %d, committed %llu, peak %llu", result, (unsigned long long)stats.committed,
                (unsigned long long)stats.committed_peak);
    result = handle_store_stats_print(heap->store, formats[roll(worker, 3)], count_bytes, &printed);
    if (result || printed < 100 || handle_store_used(heap->store) == 0)
        finding("stats_print: %d, %zu bytes", result, printed);
}

/* A walk: how many objects it goes on for, and how often it has met each constant, which lives
 * throughout and is moved only. */
struct tour {
    uint64_t left;
    const struct heap *heap;
    uint16_t at[4 * CONSTANTS]; /* constants by handle, hashed: 1 + number, 0: none */
    uint16_t met[CONSTANTS];
};

static uint16_t *
place_of(struct tour *tour, handle_t handle)
{
    unsigned at = (unsigned)((handle * UINT64_C(0x9e3779b97f4a7c15)) >> 32) % (4 * CONSTANTS);
    while (tour->at[at] != 0 && tour->heap->constants[tour->at[at] - 1] != handle)
        at = (at + 1) % (4 * CONSTANTS);
    return &tour->at[at];
}

static void
tour_begin(struct tour *tour, const struct heap *heap, uint64_t objects)
{
    *tour = (struct tour){.left = objects, .heap = heap};
    for (unsigned i = 0; i < CONSTANTS; i++)
        *place_of(tour, heap->constants[i]) = (uint16_t)(i + 1);
}

static void
tour_verify(const struct tour *tour)
{
    for (unsigned i = 0; i < CONSTANTS; i++)
        if (tour->met[i] != 1)
            finding("walk: constant %u was met %u times", i, tour->met[i]);
}

static int
count_visit(void *opaque, const struct handle_object *object)
{
    struct tour *tour = opaque;
    if (object->size > 1 << 20 || (object->handle == HANDLE_NULL) != (object->cell != NULL))
        finding("walk: an object of %zu bytes", object->size);
    uint16_t number = object->handle ? *place_of(tour, object->handle) : 0;
    if (number != 0)
        tour->met[number - 1]++;
    return --tour->left == 0 ? 77 : 0;
}

static void
on_violation(void *opaque, const char *violation)
{
    (void)opaque;
    finding("violation: %s", violation);
}

/* A walk to the end or to somewhere, or the checker, beside everything else. */
void
op_walk(struct worker *worker, struct heap *heap)
{
    struct tour tour;
    if (roll(worker, 2)) {
        handle_store_check(heap->store, on_violation, NULL);
        return;
    }
    tour_begin(&tour, heap, roll(worker, 2) ? UINT64_MAX : 1 + roll(worker, 4 * KEYS));
    int result = handle_store_each(heap->store, count_visit, &tour);
    if (result != (tour.left ? 0 : 77))
        finding("walk: %d", result);
    if (result == 0)
        tour_verify(&tour);
}

/* ---- limits ---------------------------------------------------------------------------------- */

void
allocation_refused(struct worker *worker, struct heap *heap, int error)
{
    if (!limits_in_use || (error != ENOMEM && error != EAGAIN)) {
        finding("an allocation was refused without a limit: %s", strerror(error));
        return;
    }
    worker->counters.refused++;
    if (error == EAGAIN && handle_store_reclaim(heap->store, 1 << 16))
        finding("reclaim failed");
}

/* An object of as many bytes as the store may have in all. */
static void
exceed(struct worker *worker, struct heap *heap, uint64_t limit)
{
    errno = 0;
    handle_t handle = handle_alloc(heap->store, limit);
    worker->counters.refused += handle == HANDLE_NULL;
    if (handle != HANDLE_NULL || errno != ENOMEM)
        finding("an object of %llu bytes, as many as the limit: %s", (unsigned long long)limit,
                strerror(errno));
    if (handle != HANDLE_NULL)
        (void)handle_free(heap->store, handle);
}

/* For a moment there is a limit, just above, at or below what is committed. */
void
op_limit(struct worker *worker, struct heap *heap)
{
    char value[32];
    struct handle_stats stats = HANDLE_STATS_INIT;
    if (!try_lock(&heap->limited))
        return;
    handle_store_stats(heap->store, &stats);
    uint64_t limit = stats.committed * (80 + roll(worker, 40)) / 100;
    limit = limit < 4 << 20 ? 4 << 20 : limit;
    snprintf(value, sizeof(value), "%llu", (unsigned long long)limit);
    set(heap, "max_bytes", value);
    exceed(worker, heap, limit);
    for (unsigned i = 0; i < 50; i++) {
        op_alloc(worker, heap);
        op_update(worker, heap);
    }
    set(heap, "max_bytes", "0");
    unlock(&heap->limited);
}

void
op_detach(struct worker *worker, struct heap *heap)
{
    (void)worker;
    handle_thread_detach(heap->store);
}

/* ---- forks ----------------------------------------------------------------------------------- */

/* Only what no thread was writing at the moment of the fork can be verified in the child. The exit
 * status says which check failed. */
static int
child_of_fork(struct worker *worker)
{
    for (unsigned h = 0; h < STORES; h++) {
        struct heap *heap = &heaps[h];
        set(heap, "max_bytes", "0"); /* op_limit may have been at work */
        for (unsigned i = 0; i < CONSTANTS; i++) {
            uint64_t version = 0, name = object_name(heap, KIND_CONSTANT, i);
            size_t length = 0;
            section_enter();
            const void *object = handle_deref(heap->store, heap->constants[i]);
            if (!object || stamp_verify(object, name, &version, &length) != STAMP_GOOD)
                return 1;
            section_leave();
        }
        op_private(worker, heap);
        grove_in_child(worker, &heap->grove);
        if (findings())
            return 2;
        if (handle_free(heap->store, heap->constants[0]) ||
            handle_free(heap->store, heap->constants[0]) != -ENOENT)
            return 3;
        if (handle_store_compact(heap->store, NULL) != -ENOTSUP)
            return 4;
        int result = handle_store_destroy(heap->store); /* others' pins may be held */
        if (result && result != -EBUSY)
            return 5;
    }
    return 0;
}

pid_t
fork_stores(struct worker *worker, handle_store *const *stores, unsigned number,
            int (*child)(struct worker *worker))
{
    clock_stop(); /* bp's hook waits for its grace period, and that for readers */
    callbacks_pause();
    for (unsigned i = 0; i < number; i++)
        handle_store_before_fork(stores[i]);
    flavour_before_fork();
    pid_t pid = fork();
    if (pid == 0) {
        flavour_after_fork_child();
        for (unsigned i = 0; i < number; i++)
            handle_store_after_fork_child(stores[i]);
        _exit(child(worker));
    }
    flavour_after_fork_parent();
    for (unsigned i = 0; i < number; i++)
        handle_store_after_fork_parent(stores[i]);
    callbacks_resume();
    clock_go();
    return pid;
}

/* At most one in a second: nothing moves while the child lives. The sanitizers' own threads and
 * locks do not outlive a fork beside other threads. */
void
op_fork(struct worker *worker, struct heap *heap)
{
    static unsigned char forking;
    static uint64_t due_ms;
    handle_store *stores[STORES];
    int status = 0;
    (void)heap;
    for (unsigned h = 0; h < STORES; h++)
        stores[h] = heaps[h].store;
    if (TEST_ASAN || TEST_TSAN || findings() || !try_lock(&forking))
        return;
    if (now_ms() < due_ms) {
        unlock(&forking);
        return;
    }
    pid_t pid = fork_stores(worker, stores, STORES, child_of_fork);
    if (pid > 0) {
        wait_begin();
        pid_t waited = waitpid(pid, &status, 0);
        wait_end();
        worker->counters.forks++;
        if (waited != pid || status)
            finding("forked child: status %x", (unsigned)status);
    }
    due_ms = now_ms() + FORK_EACH_MS;
    unlock(&forking);
}
