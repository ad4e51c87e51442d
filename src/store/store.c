/* SPDX-License-Identifier: MIT */
/*
 * store.c - the life of a store, and what the flavour's grace-period thread does for it: gather
 * limbo, reclaim it after the grace period, keep house (idle caches, purge).
 */
#include "core/store.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hardened.h"
#include "memory/guard.h"
#include "object/shortage.h"
#include "store/reclaim.h"

_Static_assert(sizeof(struct handle_store) <= HANDLE_TABLE_OFFSET, "the table begins behind it");
_Static_assert(offsetof(struct handle_store, head) == 0, "the inline read path looks there");

const char *
handle_version(void)
{
#define TEXT_OF(x)       #x
#define VERSION(a, b, c) TEXT_OF(a) "." TEXT_OF(b) "." TEXT_OF(c)
    return VERSION(HANDLE_VERSION_MAJOR, HANDLE_VERSION_MINOR, HANDLE_VERSION_PATCH);
}

void
sn_store_error(handle_store *store, const char *format, ...)
{
    char line[SN_ERROR_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    sn_add_relaxed(&store->errors_reported, 1);
    SN_NO_CANCELLATION;
    int saved = errno; /* the call's answer may be in it */
    if (store->options.error)
        store->options.error(store->options.opaque, line);
    else
        fprintf(stderr, "sinter: store %s: %s\n", store->name, line);
    errno = saved;
}

/* Once for each store: it goes on, and fails again. An arena that is as large as it was planned to
 * be is nothing to report. */
static void
report_small(handle_store *store)
{
    uint64_t now = sn_pool_reserved_bytes(&store->pool);
    if (now == store->reservation.arena_max || sn_load_relaxed(&store->small_reported) ||
        __atomic_exchange_n(&store->small_reported, 1, __ATOMIC_RELAXED))
        return;
    sn_store_error(store,
                   "arena_small: the arena of %llu MiB (or its handle table) cannot be extended to "
                   "the planned %llu MiB, since other mappings lie above it or the process has a "
                   "limit; option arena_bytes reserves at creation",
                   (unsigned long long)now >> 20,
                   (unsigned long long)store->reservation.arena_max >> 20);
}

void
sn_store_count_failure(handle_store *store, enum handle_alloc_failure reason)
{
    sn_add_relaxed(&store->alloc_failures, 1);
    sn_store_relaxed(&store->alloc_failure_reason, reason);
}

void
sn_store_note_failure(handle_store *store, uint64_t small)
{
    bool arena = sn_store_small(store) != small;
    sn_store_count_failure(store,
                           arena ? HANDLE_ALLOC_FAILURE_ARENA_SMALL : HANDLE_ALLOC_FAILURE_MEMORY);
    if (arena)
        report_small(store);
}

/* ---- the grace-period thread's part ---------------------------------------------------------- */

static handle_store *
store_of(struct sn_rcu_client *client)
{
    return (handle_store *)(void *)((char *)client - offsetof(struct handle_store, client));
}

static bool
gather(struct sn_rcu_client *client)
{
    handle_store *store = store_of(client);
    bool any = sn_reclaim_gather(store);
    if (any)
        sn_defrag_watch(store);
    return any;
}

static bool
reclaim(struct sn_rcu_client *client)
{
    return sn_reclaim_give_back(store_of(client));
}

size_t
sn_store_purge_due(handle_store *store, uint64_t now_ns, size_t max_bytes, uint64_t *next_ns)
{
    int64_t delay_ms = sn_load_relaxed(&store->options.purge_delay_ms);
    uint64_t empty = sn_load_relaxed(&store->pool.empty_bytes);
    *next_ns = SN_NEVER;
    if (delay_ms < 0 || empty == 0)
        return 0;
    uint64_t delay_ns = (uint64_t)delay_ms * 1000000;
    if (empty > sn_load_relaxed(&store->pool.arena_committed) / 200)
        delay_ns /= 4; /* more than a reserve for reuse: sizes are shifting */
    uint64_t since;
    uint64_t before = now_ns > delay_ns ? now_ns - delay_ns : 0;
    size_t released = sn_pool_purge(&store->pool, before, max_bytes, &since);
    /* What the kernel has just refused is not asked for again in a hurry. */
    bool failed = sn_load_relaxed(&store->pool.last_purge_failed);
    if (since <= before && !failed)
        *next_ns = now_ns; /* max_bytes came first */
    else if (since != SN_POOL_NONE_LEFT)
        *next_ns = sn_max(since + delay_ns, now_ns + (failed ? SN_HOUSEKEEPING_NS : 1000000));
    return released;
}

/* Whether a trim of a store at rest is to come: something was freed since the last; or that was
 * refused some pages, and not yet too often. */
static bool
wants_trim(const handle_store *store)
{
    enum { TRIES = 5 }; /* the last after 1.6 * (1 + 2 + 4 + 8) s */
    return sn_load_relaxed(&store->options.purge_delay_ms) >= 0 &&
           (sn_load_relaxed(&store->heap.freed_bytes) != store->trimmed_freed ||
            (store->trims_refused > 0 && store->trims_refused < TRIES));
}

/*
 * Pages under free slots go back, span by span: of a store at rest all of them, once for each rest;
 * of a busy one those of spans in which nothing has changed between two such looks. What the mover
 * can not empty, objects that are unmovable or pinned, then costs pages and not spans. A busy store
 * that asked for huge pages is left alone: single pages would split them. What the kernel refuses
 * is asked for again, less and less often.
 */
static void
begin_trim(handle_store *store, bool busy)
{
    enum { TICKS = 8 }; /* 1.6 s: in a second look after so long again they go back */
    unsigned ticks = busy || store->trims_refused > 0 ? TICKS : 1;
    bool huge = sn_load_relaxed(&store->options.hugepages) != HANDLE_HUGEPAGES_NEVER;
    if (sn_load_relaxed(&store->options.purge_delay_ms) < 0 || store->trim_at > 0 ||
        (busy ? huge : !wants_trim(store)))
        return;
    if (store->trims_refused > 0)
        ticks <<= sn_min(store->trims_refused - 1, 6);
    if (++store->trim_ticks < ticks)
        return;
    store->trim_ticks = 0;
    store->trim_quiet = busy;
    if (!busy)
        store->trimmed_freed = sn_load_relaxed(&store->heap.freed_bytes);
    store->trim_refusals = sn_load_relaxed(&store->pool.purge_failures);
    store->trim_at = 1;
}

static void
end_trim(handle_store *store)
{
    bool refused = sn_load_relaxed(&store->pool.purge_failures) != store->trim_refusals;
    store->trims_refused = refused ? store->trims_refused + 1 : 0;
    store->trim_at = 0;
}

static size_t
trim_span(handle_store *store, uint32_t number)
{
    unsigned class_id = sn_load_relaxed(&store->pool.class_of[number]);
    const struct sn_span *span = &store->pool.spans[number];
    if (class_id >= SN_CLASSES_MAX || sn_span_state(span) != SN_SPAN_OPEN ||
        !sn_span_is_loose(&store->classes.of[class_id], span))
        return 0;
    return store->trim_quiet ? sn_heap_trim_quiet(&store->heap, number)
                             : sn_heap_trim(&store->heap, number);
}

/* A piece of the trim under way. */
static void
trim_some(handle_store *store)
{
    enum { LOOKS = 4096 };
    uint32_t high = sn_load_relaxed(&store->pool.high);
    size_t bytes = 0;
    sn_caches_begin_work(&store->caches);
    for (unsigned looks = 0; store->trim_at < high && looks < LOOKS && bytes < SN_PURGE_PIECE_BYTES;
         looks++)
        bytes += trim_span(store, store->trim_at++);
    sn_caches_end_work(&store->caches);
    if (store->trim_at >= high)
        end_trim(store);
}

/* The same between two slices of the mover: a span that is just being trimmed would be left out of
 * its plan. False: a slice is under way. */
static bool
try_trim_some(handle_store *store)
{
    if (!store->defrag || !sn_try_lock(sn_defrag_lock(store)))
        return false;
    trim_some(store);
    sn_unlock(sn_defrag_lock(store));
    return true;
}

static bool
trims_excess(const handle_store *store)
{
    return sn_load_relaxed(&store->options.purge_delay_ms) >= 0 &&
           sn_load_relaxed(&store->options.hugepages) == HANDLE_HUGEPAGES_NEVER;
}

/* Pages behind all that is used of their spans: at each tick, and at once when they are many. */
static void
trim_excess_some(handle_store *store, uint64_t now_ns)
{
    bool much = trims_excess(store) && sn_pool_has_much_excess(&store->pool);
    if (!(store->excess_due || much) || now_ns < store->excess_ns)
        return;
    sn_caches_begin_work(&store->caches);
    size_t slots = sn_heap_trim_excess(&store->heap, SN_PURGE_PIECE_BYTES);
    size_t large = sn_large_trim(&store->large, SN_PURGE_PIECE_BYTES);
    sn_caches_end_work(&store->caches);
    store->excess_due = sn_max(slots, large) >= SN_PURGE_PIECE_BYTES;
    if (sn_pool_has_much_excess(&store->pool) && slots + large == 0)
        store->excess_ns = now_ns + SN_HOUSEKEEPING_NS;
}

static void
purge_table_some(handle_store *store)
{
    enum { PAGES = 1024 }; /* each is a call of its own */
    size_t released = sn_table_purge(&store->table, PAGES);
    store->table_due = released == PAGES * SN_PAGE_BYTES;
}

/* What idle threads keep, and what is to be given back then. Result: when to look next; 0: when
 * something happens. */
static uint64_t
tick(handle_store *store, uint64_t now_ns)
{
    bool active, purges = sn_load_relaxed(&store->options.purge_delay_ms) >= 0;
    sn_caches_take_slots(&store->caches, false, true, &active);
    sn_reclaim_tails(store);
    store->excess_due |= trims_excess(store) || (purges && !active);
    store->table_due = purges && sn_load_relaxed(&store->table.empty_pages) > 0;
    begin_trim(store, active);
    if (!active)
        sn_pins_purge(&store->heap.pins);
    bool more = store->table_due || store->trim_at > 0 || wants_trim(store) ||
                sn_large_has_work(&store->large, purges);
    return active || more ? now_ns + SN_HOUSEKEEPING_NS : 0;
}

static uint64_t
housekeep(struct sn_rcu_client *client, uint64_t now_ns)
{
    handle_store *store = store_of(client);
    store->seen_puts = sn_load_relaxed(&store->pool.puts);
    uint64_t due, tend = sn_defrag_tend(store, now_ns);
    (void)sn_store_purge_due(store, now_ns, SN_PURGE_PIECE_BYTES, &due);
    due = sn_min(due, tend);
    if (now_ns >= store->next_tick_ns)
        store->next_tick_ns = tick(store, now_ns);
    if (store->table_due)
        purge_table_some(store);
    trim_excess_some(store, now_ns);
    if (store->trim_at > 0 && !try_trim_some(store)) {
        store->next_tick_ns =
            now_ns + UINT64_C(2) * SN_HOUSEKEEPING_NS; /* a sleep that a nudge ends */
        return sn_min(due, store->next_tick_ns);
    }
    if (store->table_due || store->excess_due || store->trim_at > 0)
        return now_ns;
    return store->next_tick_ns ? sn_min(due, store->next_tick_ns) : due;
}

static bool
stirred(struct sn_rcu_client *client)
{
    handle_store *store = store_of(client);
    return sn_caches_stirred(&store->caches) || sn_large_has_tails(&store->large) ||
           sn_load_relaxed(&store->pool.puts) != store->seen_puts;
}

static void
on_retired(struct sn_caches *caches, bool urgent)
{
    handle_store *store =
        (handle_store *)(void *)((char *)caches - offsetof(struct handle_store, caches));
    sn_store_nudge(store, urgent);
}

static void
on_indexes(struct sn_caches *caches, uint64_t *indexes, uint32_t count)
{
    handle_store *store =
        (handle_store *)(void *)((char *)caches - offsetof(struct handle_store, caches));
    sn_table_put(&store->table, indexes, count);
}

static void
on_excess(struct sn_heap *heap)
{
    handle_store *store =
        (handle_store *)(void *)((char *)heap - offsetof(struct handle_store, heap));
    if (trims_excess(store))
        sn_store_nudge(store, true);
}

static void
on_freed(struct sn_heap *heap)
{
    sn_defrag_wake((handle_store *)(void *)((char *)heap - offsetof(struct handle_store, heap)));
}

/* ---- create ---------------------------------------------------------------------------------- */

/* The first version ended here. What came later was appended, by members of eight bytes. */
#define OLDEST_OPTIONS_BYTES offsetof(struct handle_store_options, defrag.fork_copy_bytes)

/* The caller's options, whatever the version of the struct it was built with. */
static int
read_options(struct handle_store_options *to, const struct handle_store_options *from)
{
    *to = (struct handle_store_options)HANDLE_STORE_OPTIONS_INIT;
    if (!from)
        return 0;
    size_t size = from->struct_size;
    if (size < OLDEST_OPTIONS_BYTES || size % sizeof(uint64_t) != 0) /* where is its callback? */
        return sn_options_refuse(to,
                                 "options: struct_size is %zu, no version's: they begin as "
                                 "HANDLE_STORE_OPTIONS_INIT",
                                 size);
    const char *all = (const char *)from;
    for (size_t at = sizeof(*to); at < size; at++) {
        if (all[at] != 0)
            return sn_options_refuse(from, "options: one is set that this version does not know");
    }
    memcpy(to, from, sn_min(size, sizeof(*to)));
    to->struct_size = sizeof(*to);
    return sn_options_check(to);
}

static void
set_up_ranges(handle_store *store, const struct sn_reservation *r)
{
    store->reservation = *r;
    store->head.arena = (uintptr_t)r->arena;
    store->extent_bytes = store->head.arena + r->arena_max - (uintptr_t)store;
    store->options.arena_bytes = r->arena_max;
    sn_table_init(&store->table, (char *)store + HANDLE_TABLE_OFFSET, r->table_bytes,
                  sn_reservation_classes(r), sn_os_random(), &store->budget);
    sn_table_let_grow(&store->table, r->table_max, &store->head.table_end);
    sn_pool_init(&store->pool, r->arena, (uint32_t)(r->arena_bytes >> SN_BLOCK_SHIFT),
                 (uint32_t)(r->arena_max >> SN_BLOCK_SHIFT), r->lower, sn_reservation_classes(r),
                 &store->budget);
}

/* A name that the kernel takes: see sn_os_name. */
static void
make_label(char *label, const char *name, const char *part)
{
    snprintf(label, SN_OS_NAME_BYTES, "sinter:%s %s", name, part);
    for (char *at = label; *at; at++)
        if (*at < ' ' || *at > '~' || strchr("[]$`\\", *at))
            *at = '_';
}

/* What cores hold of the store, and what its mappings are called. */
static void
set_up_core(handle_store *store)
{
    const struct sn_reservation *r = &store->reservation;
    enum handle_core core = store->options.core;
    store->table.hidden = store->pool.hidden = core == HANDLE_CORE_NONE;
    store->pool.bare = core == HANDLE_CORE_METADATA;
    make_label(store->table_label, store->name, "tables");
    make_label(store->arena_label, store->name, "arena");
    store->table.label = store->table_label;
    store->pool.label = store->arena_label;
    sn_reservation_hide(r, core == HANDLE_CORE_NONE);
    sn_os_name(r->lower, r->metadata_bytes + HANDLE_TABLE_OFFSET + r->table_bytes,
               store->table_label);
    sn_os_name(r->arena, r->arena_bytes, store->arena_label);
}

static void
set_up(handle_store *store, const struct sn_reservation *reservation,
       const struct handle_store_options *options)
{
    store->options = *options;
    snprintf(store->name, sizeof(store->name), "%s", options->name ? options->name : "store");
    store->options.name = store->name;
    store->secret = sn_header_secret(sn_os_random());
    store->hardened = options->hardened;
    store->alignment = options->alignment;
    set_up_ranges(store, reservation);
    set_up_core(store);
    sn_classes_init(&store->classes, options->alignment,
                    options->hardened ? SN_CANARY_MIN_BYTES : 0);
    store->pool.has_guards = options->hardened;
    sn_heap_init(&store->heap, &store->pool, &store->classes);
    sn_pins_init(&store->heap.pins, &store->pool, sn_reservation_pins(reservation),
                 reservation->pins_bytes);
    sn_large_init(&store->large, &store->heap, store->classes.extra);
    store->heap.freed = on_freed;
    store->heap.excess = on_excess;
    store->caches.put_indexes = on_indexes;
    store->caches.retired = on_retired;
    store->caches.settle = sn_object_settle;
    store->caches.noted_bytes = sn_object_noted_bytes;
    sn_lock_init(&store->walk_lock, SN_RANK_WALK);
    store->client = (struct sn_rcu_client){
        .gather = gather, .reclaim = reclaim, .housekeep = housekeep, .stirred = stirred};
}

static int
start(handle_store *store, const struct rcu_flavor_struct *flavor)
{
    store->rcu = sn_rcu_get(flavor);
    if (!store->rcu)
        return -errno;
    sn_reclaim_init(store, store->options.max_bytes);
    sn_caches_init(&store->caches, &store->heap, store, store->hardened);
    size_t own_bytes = sizeof(*store) - sizeof(store->caches.spares); /* that counts as a cache */
    store->base_metadata_bytes = sn_round_up(own_bytes, SN_PAGE_BYTES) +
                                 sn_reclaim_bytes(&store->reclaim) + sn_defrag_metadata_bytes();
    sn_budget_charge(&store->budget, store->base_metadata_bytes, SN_CHARGE_ALWAYS);
    sn_defrag_create(store);
    sn_rcu_add_client(store->rcu, &store->client);
    sn_options_apply(store);
    sn_misuse_enroll(store);
    return 0;
}

/* Frees what start made. Threads that are just exiting let go under the registry's lock, and may
 * free slots and wake the mover until then. */
static void
tear_down(handle_store *store)
{
    sn_misuse_withdraw(store);
    if (store->caches.spare)
        sn_caches_destroy(&store->caches);
    if (store->defrag)
        sn_defrag_destroy(store);
    sn_fork_destroy(store);
    sn_guard_end(&store->pool);
    if (store->magic == SN_STORE_LIVE && sn_checks_entries(store)) {
        sn_misuse_leave_tombstone(store);
    } else {
        uint32_t place = store->reservation.place;
        sn_store_release_ranges(store, 0);
        sn_place_put(place);
    }
}

/* With the options checked, offline. NULL: errno is set. */
static handle_store *
create(const struct handle_store_options *options, const struct rcu_flavor_struct *flavor)
{
    struct sn_reservation reservation;
    if (!sn_reservation_make(&reservation, options->arena_bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    if (!sn_reservation_is_nameable(&reservation)) { /* x86-64 has such addresses on demand only */
        sn_reservation_release(&reservation, 0, reservation.table_bytes, reservation.arena_bytes);
        sn_place_put(reservation.place);
        errno = ENOTSUP;
        return NULL;
    }
    handle_store *store = (handle_store *)(void *)sn_reservation_store(&reservation);
    set_up(store, &reservation, options);
    int error = start(store, flavor);
    if (error) {
        tear_down(store);
        errno = -error;
        return NULL;
    }
    return store;
}

/* Whether the program's inline functions read the words that this library writes. */
static int
check_version(uint32_t header_major, uint32_t header_minor)
{
    static const struct handle_store_options unknown = HANDLE_STORE_OPTIONS_INIT;
    if (header_major == HANDLE_VERSION_MAJOR && header_minor == HANDLE_VERSION_MINOR)
        return 0;
    return sn_options_refuse(&unknown,
                             "version: the program was compiled with sinter/handle.h %" PRIu32
                             ".%" PRIu32 " and is linked with the library %s: compile it anew",
                             header_major, header_minor, handle_version());
}

handle_store *
handle_store_create_version(const struct handle_store_options *options,
                            const struct rcu_flavor_struct *flavor, uint32_t header_major,
                            uint32_t header_minor)
{
    struct handle_store_options checked;
    handle_store *store = NULL;
    bool was_online = false;
    int error = check_version(header_major, header_minor);
    if (error) {
        errno = -error;
        return NULL;
    }
    error = read_options(&checked, options);
    if (!error && !flavor)
        error = sn_options_refuse(&checked, "flavor: NULL, and not a flavour of liburcu");
    if (!error)
        error = sn_fork_watch_error();
    if (!error && !sn_os_page_size_fits())
        error = -ENOTSUP;
    if (!error && !sn_rcu_leave(flavor, &was_online))
        error = -EDEADLK;
    if (error)
        errno = -error;
    else
        store = create(&checked, flavor);
    if (flavor)
        sn_rcu_return(flavor, was_online);
    return store;
}

/* ---- destroy --------------------------------------------------------------------------------- */

int
handle_store_destroy(handle_store *store)
{
    bool was_online;
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (!store)
        return -EINVAL;
    if (!sn_rcu_leave(store->rcu->flavor, &was_online))
        return -EDEADLK;
    const struct rcu_flavor_struct *flavor = store->rcu->flavor;
    int result = 0;
    if (sn_pins_held(&store->heap.pins) != 0) {
        result = -EBUSY;
    } else {
        sn_defrag_end(store);
        if (!store->forked) {
            sn_rcu_wait_cycle(store->rcu, &store->client);
            sn_rcu_remove_client(store->rcu, &store->client);
        }
        (void)sn_store_limbo(store); /* finishes frees that threads have noted */
        sn_store_report_noted(store);
        tear_down(store);
    }
    sn_rcu_return(flavor, was_online);
    return result;
}

/* ---- memory by request ----------------------------------------------------------------------- */

int
handle_store_purge(handle_store *store, size_t *released_bytes)
{
    bool was_online;
    uint64_t next;
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (!store)
        return -EINVAL;
    if (!sn_rcu_leave(store->rcu->flavor, &was_online))
        return -EDEADLK;
    uint64_t before = sn_store_released_bytes(store);
    if (!store->forked)
        sn_rcu_wait_cycle(store->rcu, &store->client);
    (void)sn_defrag_settle(store, false, SN_NEVER);
    sn_caches_take_slots(&store->caches, false, false, NULL);
    sn_pool_purge(&store->pool, UINT64_MAX, 0, &next);
    (void)sn_large_trim(&store->large, SIZE_MAX);
    sn_table_purge(&store->table, UINT32_MAX);
    (void)sn_pool_await_purges(&store->pool);
    if (sn_table_discard_unused(&store->table)) {
        sn_pool_discard_unused(&store->pool);
        sn_pins_discard_unused(&store->heap.pins);
    }
    sn_pins_purge(&store->heap.pins);
    if (released_bytes)
        *released_bytes = sn_store_released_bytes(store) - before;
    sn_rcu_return(store->rcu->flavor, was_online);
    sn_store_report_noted(store);
    return 0;
}

uint64_t
sn_store_limbo(handle_store *store)
{
    struct sn_cache_sums sums;
    sn_caches_sum(&store->caches, &sums);
    return sums.limbo_bytes - sums.held_bytes;
}

/* Limbo, as far as a grace period brings it back. False: the time came first. */
static bool
reclaim_limbo(handle_store *store, size_t bytes, uint64_t deadline_ns)
{
    enum { ROUNDS = 3 }; /* a thread inside its cache may keep its list for a round */
    uint64_t before = sn_store_limbo(store);
    if (before == 0) { /* then others have what comes: a round, unless it waits for readers */
        uint64_t moment_ns = sn_min(deadline_ns, sn_os_now_ns() + SN_GP_GATHER_NS);
        (void)sn_rcu_wait_cycle_until(store->rcu, &store->client, moment_ns);
        return true;
    }
    for (int round = 0; round < ROUNDS; round++) {
        if (!sn_rcu_wait_cycle_until(store->rcu, &store->client, deadline_ns))
            return false;
        uint64_t left = sn_store_limbo(store);
        if (left == 0 || (before > left && before - left >= bytes))
            break;
    }
    return true;
}

/* What else an allocation may have been told to wait for: idle caches, the mover. */
static bool
reclaim_rest(handle_store *store, const struct sn_wait *wait, size_t bytes, uint64_t deadline_ns)
{
    uint64_t lacked = wait->by_pages ? wait->waited.lacked_bytes : 0;
    if (lacked > 0 || wait->cached)
        sn_caches_take_slots(&store->caches, false, false, NULL);
    if (lacked > 0)
        sn_shortage_press(store, lacked);
    return sn_defrag_settle(store, wait->store != NULL, deadline_ns) &&
           (lacked == 0 || sn_defrag_wait_relief(store, sn_max(bytes, lacked), deadline_ns));
}

/* Until what the thread waits for has come. False: the time came first. */
static bool
reclaim_until(handle_store *store, size_t bytes, uint64_t deadline_ns)
{
    enum { ROUNDS = 4 }; /* others may take what comes, the mover, too, which brings it back */
    struct sn_wait wait = sn_shortage_begin_wait(store);
    bool come = false, waits_for_slot = sn_shortage_waits_for_slot(&wait);
    for (int round = 0; round < ROUNDS && !come; round++) {
        if (!reclaim_limbo(store, bytes, deadline_ns))
            return false;
        come = waits_for_slot && sn_shortage_secure(store, &wait);
        if (!come && !reclaim_rest(store, &wait, bytes, deadline_ns))
            return false;
        come = come || !waits_for_slot || sn_shortage_secure(store, &wait);
    }
    sn_shortage_note_waited(store);
    return true;
}

static int
reclaim_memory(handle_store *store, size_t bytes, uint64_t deadline_ns)
{
    bool was_online;
    if (!store)
        return -EINVAL;
    if (!sn_rcu_leave(store->rcu->flavor, &was_online))
        return -EDEADLK;
    bool in_time = store->forked || reclaim_until(store, bytes, deadline_ns);
    sn_rcu_return(store->rcu->flavor, was_online);
    sn_store_report_noted(store);
    return in_time ? 0 : -ETIMEDOUT;
}

int
handle_store_reclaim(handle_store *store, size_t bytes)
{
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    return reclaim_memory(store, bytes, SN_NEVER);
}

int
handle_store_reclaim_until(handle_store *store, size_t bytes, uint64_t timeout_us)
{
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    uint64_t now = sn_os_now_ns();
    uint64_t timeout_ns = sn_min(timeout_us, (SN_NEVER - now) / 1000) * 1000;
    return reclaim_memory(store, bytes, now + timeout_ns);
}

size_t
handle_store_used(const handle_store *store)
{
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    return store ? sn_caches_requested(&sn_store_mutable(store)->caches) : 0;
}

void
handle_thread_detach(handle_store *store)
{
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (!store)
        return;
    sn_caches_detach(&store->caches);
    sn_store_report_noted(store);
}
