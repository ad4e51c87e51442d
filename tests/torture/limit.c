/* SPDX-License-Identifier: MIT */
/*
 * limit.c - the torture of a cache at max_bytes (--limit MIB): one store whose live data would take
 * more than it may have, in sizes that shift all the time, with pins, updates, steps, walks, forks
 * whose children stay for a while, and limits lowered and raised.
 *
 * A thread does what handle.h says of a cache at its limit: it evicts on ENOMEM, calls
 * handle_store_reclaim on EAGAIN, and tries again. What is checked:
 *
 *   bound      committed is never above max_bytes (by its peak: at no moment), but while a lowered
 *              limit is being reached; and it is reached while the cache evicts
 *   refusals   EAGAIN comes to an end: not WAITS_MOST times in a row for one request. ENOMEM, too:
 *              before as much was evicted as the request and a quarter of the limit, and what a
 *              lowering that came meanwhile may take
 *   same size  with everybody at rest: after an eviction, one of the same size gets in, after one
 *              reclaim at most
 *   share      bytes of live objects (with header, rounding and handle) in max_bytes, once the
 *              cache is full: while it runs, with a child or without (--running-share); and with
 *              everybody at rest, the cache filled up to a refusal (--rest-share)
 *   contents   each object is what was written to it last
 *
 * No check asks how long something took. --off bound,same-size,child,waits leaves some of them out.
 *
 * Seen failing:
 *   nothing moves while a child lives               "ENOMEM for"; "the live objects take"
 *   ENOMEM although what was evicted is in limbo    "were evicted and"
 *   forced moves are said to bring memory           "EAGAIN 32 times in a row"
 */
#include "torture.h"

#include <inttypes.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB        (UINT64_C(1) << 20)
#define SHARDS     16
#define WAITS_MOST 32
#define EVICTIONS  64   /* for each ENOMEM, at most */
#define PINS       4    /* of a worker */
#define SAMPLE_MS  20   /* between two looks at the statistics */
#define FORK_MS    500  /* from the end of a child to the next fork */
#define LOWER_MS   5000 /* between two lowerings */

/** An object of the cache, or room for one. Even entries have handles, odd ones have cells. */
struct entry {
    handle_cell cell;
    handle_t handle; /* atomic: readers without the lock */
    uint64_t version;
    uint32_t length; /* 0: empty */
};

/** Under its lock, which nobody waits for. */
struct shard {
    unsigned char locked;
    uint32_t used;
};

struct limits limits;

static handle_store *store;
static struct grove grove;
static struct shard shards[SHARDS];
static struct entry *entries; /* SHARDS times per_shard */
static uint64_t per_shard, most;
static uint64_t inserted_bytes; /* atomic: where the sizes are */
static uint64_t stopped;        /* atomic: workers that have stopped the mover */
static unsigned child_lives;    /* atomic */
static unsigned lowered,
    filled; /* atomic: the limit is not `most`; the cache is full since it was */
static unsigned char lowering, forking;
static uint64_t fork_due_ms, lower_due_ms;                /* under these */
static uint64_t share_least = 1000, share_at_rest = 1000; /* main thread: permille */
static struct {
    const void *pinned[PINS];
} pins[WORKERS_MOST + 1];

static struct {
    uint64_t eagain, enomem, evicted, lowerings, samples; /* atomic */
} done;

static void
count(uint64_t *counter, uint64_t by)
{
    __atomic_add_fetch(counter, by, __ATOMIC_RELAXED);
}

static uint64_t
counted(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* ---- statistics ------------------------------------------------------------------------------ */

struct look {
    uint64_t committed, peak, live;
};

static struct look
look(void)
{
    struct handle_stats stats = HANDLE_STATS_INIT;
    if (handle_store_stats(store, &stats))
        finding("limit: statistics refused");
    return (struct look){stats.committed, stats.committed_peak,
                         stats.requested + stats.rounding + stats.header +
                             8 * stats.objects_by_handle};
}

static void
check_bound(const struct look *now)
{
    static unsigned char said;
    if (now->peak > most && !limits.off[LIMIT_BOUND] && try_lock(&said))
        finding("limit: %" PRIu64 " bytes were committed, %" PRIu64
                " of them now; max_bytes %" PRIu64,
                now->peak, now->committed, most);
}

/* ---- entries --------------------------------------------------------------------------------- */

static struct entry *
entry_of(unsigned shard, uint64_t index)
{
    return &entries[shard * per_shard + index];
}

static uint64_t
name_of(const struct entry *entry)
{
    return UINT64_C(0xca) << 48 | (uint64_t)(entry - entries);
}

static bool
by_cell(const struct entry *entry)
{
    return (entry - entries) & 1;
}

/* From a random place on: an entry that is used, or one that is not. NULL: there is none. */
static struct entry *
find(struct worker *worker, unsigned shard, bool used)
{
    uint64_t at = roll(worker, per_shard);
    for (uint64_t i = 0; i < per_shard; i++) {
        struct entry *entry = entry_of(shard, (at + i) % per_shard);
        if ((entry->length > 0) == used)
            return entry;
    }
    return NULL;
}

/* Sizes that shift whenever as much as the limit was written. */
static size_t
random_size(struct worker *worker)
{
    static const uint32_t range[][2] = {{200, 232}, {300, 340}, {64, 128}, {640, 640}, {272, 288}};
    uint64_t phase = counted(&inserted_bytes) / most % 7;
    if (phase < 5)
        return range[phase][0] + roll(worker, range[phase][1] - range[phase][0] + 1);
    size_t octave = (size_t)64 << roll(worker, phase == 5 ? 5 : 8);
    return octave + roll(worker, octave);
}

static void
drop(struct entry *entry, unsigned shard)
{
    entry->length = 0;
    shards[shard].used--;
    section_enter();
    int result =
        by_cell(entry) ? handle_cell_free(store, &entry->cell) : handle_free(store, entry->handle);
    section_leave();
    if (result)
        finding("limit: an eviction: %s", strerror(-result));
    __atomic_store_n(&entry->handle, HANDLE_NULL, __ATOMIC_RELEASE);
}

/* Result: the bytes that were evicted; 0 when there is nothing to evict. Holds the shard's lock. */
static uint64_t
evict(struct worker *worker, unsigned shard)
{
    struct entry *entry = shards[shard].used ? find(worker, shard, true) : NULL;
    uint64_t bytes = entry ? entry->length : 0;
    if (entry)
        drop(entry, shard);
    count(&done.evicted, entry != NULL);
    return bytes;
}

/* The caller's shard first; it may be empty. */
static uint64_t
evict_somewhere(struct worker *worker, unsigned own)
{
    uint64_t bytes = evict(worker, own);
    for (unsigned i = 1; bytes == 0 && i < SHARDS; i++) {
        unsigned shard = (own + i) % SHARDS;
        if (!try_lock(&shards[shard].locked))
            continue;
        bytes = evict(worker, shard);
        unlock(&shards[shard].locked);
    }
    return bytes;
}

/* ---- refusals -------------------------------------------------------------------------------- */

/** What one request has cost so far. */
struct effort {
    size_t size;
    unsigned waits;   /* EAGAIN in a row */
    uint64_t evicted; /* bytes */
    bool lowered;     /* the limit was, meanwhile: one thread may have to evict it all */
};

static uint64_t
evictions_most(const struct effort *effort)
{
    return effort->size + most / 4 + (effort->lowered ? most : 0);
}

static bool
child_excuses(void)
{
    return limits.off[LIMIT_CHILD] && __atomic_load_n(&child_lives, __ATOMIC_SEQ_CST);
}

static bool make_room(struct worker *worker, unsigned shard, struct effort *effort);

static bool
wait_for_memory(struct worker *worker, unsigned shard, struct effort *effort)
{
    count(&done.eagain, 1);
    if (handle_store_reclaim(store, effort->size))
        finding("limit: reclaim failed");
    if (++effort->waits <= WAITS_MOST)
        return true;
    if (limits.off[LIMIT_WAITS])
        return make_room(worker, shard, effort);
    finding("limit: EAGAIN %u times in a row for %zu bytes", WAITS_MOST, effort->size);
    return false;
}

static bool
make_room(struct worker *worker, unsigned shard, struct effort *effort)
{
    uint64_t before = effort->evicted;
    count(&done.enomem, 1);
    effort->waits = 0;
    effort->lowered |= __atomic_load_n(&lowered, __ATOMIC_SEQ_CST) != 0;
    for (unsigned i = 1 + (unsigned)roll(worker, EVICTIONS); i > 0; i--)
        effort->evicted += evict_somewhere(worker, shard);
    if (effort->evicted <= evictions_most(effort) || child_excuses())
        return effort->evicted > before;
    finding("limit: ENOMEM for %zu bytes after %" PRIu64 " were evicted for it", effort->size,
            effort->evicted);
    return false;
}

/* After a refusal, outside sections. True: try again. */
static bool
relieve(struct worker *worker, unsigned shard, struct effort *effort, int error)
{
    worker->counters.refused++;
    if (error == EAGAIN)
        return wait_for_memory(worker, shard, effort);
    if (error == ENOMEM)
        return make_room(worker, shard, effort);
    finding("limit: refused by %s", strerror(error));
    return false;
}

/* ---- what the cache does --------------------------------------------------------------------- */

/* One try. Result: 0, or the error. */
static int
try_insert(struct worker *worker, unsigned shard, struct entry *entry, size_t size)
{
    void *object = NULL;
    handle_t handle = HANDLE_NULL;
    section_enter();
    errno = 0;
    if (by_cell(entry))
        object = handle_cell_alloc(store, &entry->cell, size, 0);
    else
        handle = handle_alloc_object(store, size, 0, &object);
    int error = object ? 0 : errno;
    if (object)
        stamp_fill(object, name_of(entry), ++entry->version, size);
    section_leave();
    if (error)
        return error;
    __atomic_store_n(&entry->handle, handle, __ATOMIC_RELEASE);
    entry->length = (uint32_t)size;
    shards[shard].used++;
    count(&inserted_bytes, size);
    worker->counters.allocs++;
    return 0;
}

static struct entry *
empty_entry(struct worker *worker, unsigned shard)
{
    if (shards[shard].used == per_shard)
        (void)evict(worker, shard);
    return find(worker, shard, false);
}

/* Holds the shard's lock. True: it is in. */
static bool
insert(struct worker *worker, unsigned shard, size_t size)
{
    struct effort effort = {.size = size};
    struct entry *entry = empty_entry(worker, shard);
    int error;
    while ((error = try_insert(worker, shard, entry, size)) != 0)
        if (!relieve(worker, shard, &effort, error))
            return false;
    return true;
}

/* A shard that is locked now. SHARDS: none was free. */
static unsigned
lock_shard(struct worker *worker)
{
    unsigned shard = (unsigned)roll(worker, SHARDS);
    for (unsigned i = 0; i < SHARDS; i++, shard = (shard + 1) % SHARDS)
        if (try_lock(&shards[shard].locked))
            return shard;
    return SHARDS;
}

static void
unlock_shard(unsigned shard)
{
    unlock(&shards[shard].locked);
}

static void
op_insert(struct worker *worker, struct heap *heap)
{
    (void)heap;
    unsigned shard = lock_shard(worker);
    if (shard == SHARDS)
        return;
    for (unsigned i = 0; i < 32; i++)
        (void)insert(worker, shard, random_size(worker));
    unlock_shard(shard);
}

static const void *
address_of(struct entry *entry)
{
    return by_cell(entry) ? handle_cell_deref(store, &entry->cell)
                          : handle_deref(store, entry->handle);
}

/* Whoever holds the lock knows exactly what is there. */
static void
verify(struct worker *worker, struct entry *entry)
{
    section_enter();
    const void *object = address_of(entry);
    worker->counters.derefs++;
    if (!object)
        finding("limit: entry %" PRIu64 " is not there", name_of(entry));
    else if (!stamp_is(object, name_of(entry), entry->version, entry->length))
        stamp_finding("limit: contents", object, name_of(entry), entry->version);
    section_leave();
}

static void
op_get(struct worker *worker, struct heap *heap)
{
    (void)heap;
    unsigned shard = lock_shard(worker);
    if (shard == SHARDS)
        return;
    for (unsigned i = 0; i < 16 && shards[shard].used; i++)
        verify(worker, find(worker, shard, true));
    unlock_shard(shard);
}

/* Without a lock: there or not, but never another object, and whole until the section ends. */
static void
op_peek(struct worker *worker, struct heap *heap)
{
    (void)heap;
    for (unsigned i = 0; i < 32; i++) {
        struct entry *entry = &entries[roll(worker, SHARDS * per_shard / 2) * 2];
        uint64_t version = 0;
        size_t length = 0;
        section_enter();
        const void *object = handle_deref(store, __atomic_load_n(&entry->handle, __ATOMIC_ACQUIRE));
        if (object)
            linger(worker, 64);
        if (object && stamp_verify(object, name_of(entry), &version, &length) != STAMP_GOOD)
            stamp_finding("limit: a reader's object", object, name_of(entry), 0);
        section_leave();
    }
}

/* One try of an update that replaces the entry's object by one of this size. */
static int
try_overwrite(struct entry *entry, size_t size)
{
    struct handle_update update;
    section_enter();
    errno = 0;
    void *object = by_cell(entry) ? handle_cell_update_begin(store, &entry->cell, size, &update)
                                  : handle_update_begin(store, entry->handle, size, &update);
    int error = object ? 0 : errno;
    if (object) {
        stamp_fill(object, name_of(entry), entry->version + 1, size);
        error = -handle_update_commit(store, &update);
    }
    section_leave();
    if (error)
        return error;
    entry->version++;
    entry->length = (uint32_t)size;
    return 0;
}

/* Evicting may take the entry itself: then there is nothing to overwrite any more. */
static void
op_overwrite(struct worker *worker, struct heap *heap)
{
    (void)heap;
    unsigned shard = lock_shard(worker);
    struct entry *entry = shard < SHARDS ? find(worker, shard, true) : NULL;
    if (entry) {
        struct effort effort = {.size = random_size(worker)};
        int error;
        while (entry->length > 0 && (error = try_overwrite(entry, effort.size)) != 0)
            if (!relieve(worker, shard, &effort, error))
                break;
        worker->counters.updates++;
    }
    if (shard < SHARDS)
        unlock_shard(shard);
}

static void
release_pins(struct worker *worker)
{
    for (unsigned i = 0; i < PINS; i++) {
        if (pins[worker->index].pinned[i])
            handle_unpin(store, pins[worker->index].pinned[i]);
        pins[worker->index].pinned[i] = NULL;
    }
}

/* Pins stay for some operations; what is pinned may be evicted meanwhile. */
static void
op_pin_entry(struct worker *worker, struct heap *heap)
{
    (void)heap;
    const void **pinned = &pins[worker->index].pinned[roll(worker, PINS)];
    unsigned shard = *pinned ? SHARDS : lock_shard(worker);
    if (*pinned)
        handle_unpin(store, *pinned);
    *pinned = NULL;
    struct entry *entry = shard < SHARDS ? find(worker, shard, true) : NULL;
    if (entry) {
        section_enter();
        *pinned = by_cell(entry) ? handle_cell_pin(store, &entry->cell)
                                 : handle_pin(store, entry->handle);
        section_leave();
        worker->counters.pins += *pinned != NULL;
    }
    if (shard < SHARDS)
        unlock_shard(shard);
}

static int
slow_visit(void *opaque, const struct handle_object *object)
{
    uint64_t *left = opaque;
    (void)object;
    if (*left % 256 == 0)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    return --*left == 0 ? 77 : 0;
}

static void
op_slow_walk(struct worker *worker, struct heap *heap)
{
    (void)heap;
    uint64_t left = 1 + roll(worker, 50000);
    int result = handle_store_each(store, slow_visit, &left);
    if (result != (left ? 0 : 77))
        finding("limit: walk: %d", result);
}

static void
op_some_steps(struct worker *worker, struct heap *heap)
{
    (void)heap;
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    int result = handle_defrag_step(store, 1 + (uint32_t)roll(worker, 2000), &report);
    worker->counters.steps++;
    worker->counters.steps_busy += report.busy;
    if (result)
        finding("limit: step: %d", result);
}

static void
op_some_tuning(struct worker *worker, struct heap *heap)
{
    static const char *const settings[][3] = {
        {"defrag.slice_us", "100", "1000"},
        {"defrag.cpu_max_percent", "20", "100"},
        {"thread_cache_bytes", "4K", "256K"},
        {"purge_delay_ms", "0", "1000"},
    };
    size_t i = roll(worker, sizeof(settings) / sizeof(settings[0]));
    (void)heap;
    if (handle_store_set(store, settings[i][0], settings[i][1 + roll(worker, 2)]))
        finding("limit: set %s failed", settings[i][0]);
}

/* For a moment only: an event loop without the thread is what the steps are for. Nothing is moved
 * meanwhile. */
static void
op_stop_for_a_moment(struct worker *worker, struct heap *heap)
{
    (void)heap;
    count(&stopped, 1);
    if (roll(worker, 2) ? handle_defrag_stop(store)
                        : handle_store_set(store, "defrag.enabled", "no"))
        finding("limit: stop failed");
    for (uint64_t i = roll(worker, 4); i > 0; i--)
        op_some_steps(worker, heap);
    if (handle_defrag_start(store))
        finding("limit: start failed");
    __atomic_store_n(&filled, 0, __ATOMIC_SEQ_CST);
    count(&stopped, UINT64_MAX);
}

static void
op_detach_here(struct worker *worker, struct heap *heap)
{
    (void)worker;
    (void)heap;
    handle_thread_detach(store);
}

static void
op_purge_here(struct worker *worker, struct heap *heap)
{
    (void)worker;
    (void)heap;
    if (handle_store_purge(store, NULL))
        finding("limit: purge failed");
}

/* ---- lowering the limit ---------------------------------------------------------------------- */

static void
set_bytes(const char *name, int64_t bytes)
{
    char value[32];
    snprintf(value, sizeof(value), "%" PRId64, bytes);
    if (handle_store_set(store, name, value))
        finding("limit: %s %s refused", name, value);
}

/* Inserts, which evict on refusals, until no more than `limit` is committed. Bounded by what is
 * evicted: everything, twice. */
static void
reach(struct worker *worker, uint64_t limit)
{
    struct look now = {.committed = UINT64_MAX};
    uint64_t evicted = counted(&done.evicted), objects = SHARDS * per_shard;
    for (unsigned i = 0; counted(&done.evicted) - evicted < 2 * objects && i < 100000; i++) {
        now = look();
        if (now.committed <= limit || findings())
            return;
        op_insert(worker, NULL);
    }
    finding("limit: lowered to %" PRIu64 ", and %" PRIu64 " bytes stay committed", limit,
            now.committed);
}

static void
lower_once(struct worker *worker)
{
    uint64_t limit = most * (50 + roll(worker, 50)) / 100;
    __atomic_store_n(&lowered, 1, __ATOMIC_SEQ_CST);
    set_bytes("max_bytes", (int64_t)limit);
    reach(worker, limit);
    for (unsigned i = 0; i < 4; i++) {
        op_insert(worker, NULL);
        struct look now = look();
        if (now.committed > limit && !findings())
            finding("limit: %" PRIu64 " bytes committed again, lowered to %" PRIu64, now.committed,
                    limit);
    }
    __atomic_store_n(&filled, 0, __ATOMIC_SEQ_CST);
    set_bytes("max_bytes", (int64_t)most);
    __atomic_store_n(&lowered, 0, __ATOMIC_SEQ_CST);
    count(&done.lowerings, 1);
}

/* Seldom: while it is lowered nothing else is looked at. */
static void
op_lower(struct worker *worker, struct heap *heap)
{
    (void)heap;
    if (!try_lock(&lowering))
        return;
    if (now_ms() >= lower_due_ms) {
        lower_once(worker);
        lower_due_ms = now_ms() + LOWER_MS;
    }
    unlock(&lowering);
}

/* ---- forks ----------------------------------------------------------------------------------- */

static int stay[2]; /* a pipe: the child stays until its writing end is closed; under forking */

/* Looks at what nobody was changing at the fork, and stays, so that pages are shared. */
static int
child_stays(struct worker *worker)
{
    char byte;
    close(stay[1]);
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        if (shards[shard].locked || shards[shard].used == 0)
            continue;
        for (unsigned i = 0; i < 100; i++)
            verify(worker, find(worker, shard, true));
    }
    while (read(stay[0], &byte, 1) < 0 && errno == EINTR)
        continue;
    return findings() != 0;
}

static void
insert_much(struct worker *worker, uint64_t bytes)
{
    uint64_t target = counted(&inserted_bytes) + bytes;
    for (unsigned i = 0; i < 10000 && counted(&inserted_bytes) < target && !findings(); i++)
        op_insert(worker, NULL);
}

/* While the child stays the sizes shift, and the mover has its budget of copies. */
static void
fork_once(struct worker *worker)
{
    int status = 0;
    if (pipe(stay))
        return;
    __atomic_store_n(&child_lives, 1, __ATOMIC_SEQ_CST);
    pid_t pid = fork_stores(worker, &store, 1, child_stays);
    close(stay[0]);
    if (pid > 0)
        insert_much(worker, most);
    close(stay[1]);
    wait_begin();
    pid_t waited = pid > 0 ? waitpid(pid, &status, 0) : pid;
    wait_end();
    if (limits.off[LIMIT_CHILD]) /* what it did to the share goes by */
        __atomic_store_n(&filled, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&child_lives, 0, __ATOMIC_SEQ_CST);
    worker->counters.forks += pid > 0;
    if (waited != pid || status)
        finding("limit: forked child: status %x", (unsigned)status);
}

static void
op_fork_here(struct worker *worker, struct heap *heap)
{
    (void)heap;
    if (TEST_ASAN || TEST_TSAN || findings() || !try_lock(&forking))
        return;
    if (now_ms() >= fork_due_ms) {
        fork_once(worker);
        fork_due_ms = now_ms() + FORK_MS;
    }
    unlock(&forking);
}

/* ---- shares ---------------------------------------------------------------------------------- */

/* The limit is as it was, the mover may work, and no child excuses anything. */
static bool
share_counts(void)
{
    return !__atomic_load_n(&lowered, __ATOMIC_SEQ_CST) && counted(&stopped) == 0 &&
           !child_excuses();
}

/* Once enough is live, it stays enough. */
static void
check_share(const struct look *now)
{
    uint64_t share = now->live * 1000 / most, floor = 10 * limits.running_share;
    if (share >= floor)
        __atomic_store_n(&filled, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&filled, __ATOMIC_SEQ_CST))
        return;
    count(&done.samples, 1);
    if (share < floor && share_least >= floor)
        finding("limit: the live objects take %" PRIu64 ".%" PRIu64 " %% of the limit, %" PRIu64
                " bytes are committed",
                share / 10, share % 10, now->committed);
    share_least = share < share_least ? share : share_least;
}

/* By the main thread, all the time. */
static void
limit_sample(void)
{
    static uint64_t due_ms;
    if (now_ms() < due_ms)
        return;
    due_ms = now_ms() + SAMPLE_MS;
    bool counts = share_counts();
    struct look now = look();
    check_bound(&now);
    if (counts && share_counts())
        check_share(&now);
}

/* ---- everybody at rest ----------------------------------------------------------------------- */

/* Until something had to be evicted. */
static void
fill_up(struct worker *worker)
{
    uint64_t enomem = counted(&done.enomem);
    for (uint64_t i = 0; i < 4 * most / 64 && counted(&done.enomem) == enomem; i++)
        (void)insert(worker, (unsigned)(i % SHARDS), random_size(worker));
}

/* One thread, nothing pinned: an evicted object makes room for one of its size. */
static void
replace_by_same_size(struct worker *worker)
{
    unsigned shard = (unsigned)roll(worker, SHARDS);
    struct entry *entry = shards[shard].used ? find(worker, shard, true) : NULL;
    if (!entry)
        return;
    size_t size = entry->length;
    drop(entry, shard);
    int error = try_insert(worker, shard, entry, size);
    if (error == EAGAIN) {
        if (handle_store_reclaim(store, size))
            finding("limit: reclaim failed");
        error = try_insert(worker, shard, entry, size);
    }
    if (error && !limits.off[LIMIT_SAME_SIZE])
        finding("limit: at rest, %zu bytes were evicted and %zu do not fit: %s", size, size,
                strerror(error));
}

static void
on_violation(void *opaque, const char *violation)
{
    (void)opaque;
    finding("violation: %s", violation);
}

static void
verify_all(struct worker *worker)
{
    for (uint64_t i = 0; i < SHARDS * per_shard; i++)
        if (entries[i].length > 0)
            verify(worker, &entries[i]);
}

static void
limit_audit(struct worker *worker)
{
    struct sums sums = {0, 0, 0};
    verify_all(worker);
    grove_audit(worker, &grove, &sums);
    (void)handle_store_check(store, on_violation, NULL);
    if (handle_defrag_start(store))
        finding("limit: start failed");
    fill_up(worker);
    struct look now = look();
    uint64_t share = now.live * 1000 / most;
    check_bound(&now);
    if (share < 10 * limits.rest_share && share_at_rest >= 10 * limits.rest_share)
        finding("limit: at rest the live objects take %" PRIu64 ".%" PRIu64 " %% of the limit",
                share / 10, share % 10);
    share_at_rest = share < share_at_rest ? share : share_at_rest;
    for (unsigned i = 0; i < 64 && !findings(); i++)
        replace_by_same_size(worker);
    worker->counters.audits++;
}

/* ---- begin and end --------------------------------------------------------------------------- */

static void
on_error(void *opaque, const char *message)
{
    (void)opaque;
    finding("reported without reason: %s", message);
}

static void
limit_open(struct worker *worker, uint64_t seed)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    most = limits.mib * MIB;
    options.name = "limit";
    options.max_bytes = most;
    options.hardened = seed % 4 == 0;
    options.error = on_error;
    options.cells = grove_cells;
    options.defrag.cpu_max_percent = 100;
    per_shard = most / 80 / SHARDS & ~UINT64_C(1);
    entries = calloc(SHARDS * per_shard, sizeof(*entries));
    store = handle_store_create(&options);
    if (!store || !entries) {
        finding("the store at its limit could not be made: %s", strerror(errno));
        exit(1);
    }
    grove.most = 500;
    grove.limited = true;
    grove_open(worker, &grove, store, STORES);
}

static uint64_t
limit_close(struct worker *worker)
{
    struct handle_stats stats = HANDLE_STATS_INIT;
    handle_store_stats(store, &stats);
    uint64_t moved = stats.moved_objects;
    for (unsigned shard = 0; shard < SHARDS; shard++)
        while (shards[shard].used)
            (void)evict(worker, shard);
    int result = handle_store_destroy(store);
    if (result)
        finding("limit: destroy: %s", strerror(-result));
    free(entries);
    return moved;
}

static void
limit_verdict(uint64_t moved)
{
    bool looked = counted(&done.samples) > 0 || share_at_rest < 1000;
    if (moved == 0 || counted(&done.enomem) == 0 || !looked)
        finding("limit: nothing was moved, refused or looked at: the run has tested nothing");
    printf("  limit %" PRIu64 " MiB: live share at least %" PRIu64 " permille running (%" PRIu64
           " samples), %" PRIu64 " at rest\n",
           limits.mib, share_least, counted(&done.samples), share_at_rest);
    printf("  %" PRIu64 " ENOMEM, %" PRIu64 " EAGAIN, %" PRIu64 " evictions, %" PRIu64
           " limits lowered\n",
           counted(&done.enomem), counted(&done.eagain), counted(&done.evicted),
           counted(&done.lowerings));
}

/* ---- cells inside objects -------------------------------------------------------------------- */

static void
op_grove_read(struct worker *worker, struct heap *heap)
{
    (void)heap;
    grove_read(worker, &grove);
}

static void
op_grove_change(struct worker *worker, struct heap *heap)
{
    (void)heap;
    grove_change(worker, &grove);
}

static struct element limit_elements[] = {
    {"insert", 3000, op_insert},
    {"get", 1000, op_get},
    {"peek", 1000, op_peek},
    {"overwrite", 600, op_overwrite},
    {"pin", 200, op_pin_entry},
    {"step", 40, op_some_steps},
    {"walk", 1, op_slow_walk},
    {"tune", 5, op_some_tuning},
    {"detach", 3, op_detach_here},
    {"stop", 2, op_stop_for_a_moment},
    {"purge", 1, op_purge_here},
    {"lower", 1, op_lower},
    {"fork", 50, op_fork_here},
    {"inner_read", 200, op_grove_read},
    {"inner_change", 200, op_grove_change},
};

const struct mode mode_limit = {
    .elements = limit_elements,
    .count = sizeof(limit_elements) / sizeof(limit_elements[0]),
    .open = limit_open,
    .release = release_pins,
    .sample = limit_sample,
    .audit = limit_audit,
    .close = limit_close,
    .verdict = limit_verdict,
};
