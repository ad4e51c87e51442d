/* SPDX-License-Identifier: MIT */
/*
 * housekeeping.c - what the flavour's grace-period thread does for a store: gathers limbo, reclaims
 * it after the grace period, and keeps house (idle caches, trims, purges, dense parts, estimates,
 * the mover's start); and what wakes it.
 */
#include "store/housekeeping.h"

#include "core/hugepages.h"
#include "core/purge.h"
#include "defrag/life.h"
#include "insight/requested.h"
#include "memory/dense.h"
#include "memory/trim.h"
#include "store/reclaim.h"
#include "thread/drain.h"

static handle_store *
store_of(struct sn_rcu_client *client)
{
    return sn_container_of(client, handle_store, client);
}

static bool
gather(struct sn_rcu_client *client)
{
    handle_store *store = store_of(client);
    bool any = sn_reclaim_gather(store);
    if (any)
        sn_defrag_purge_during_gp(store);
    return any;
}

static bool
reclaim(struct sn_rcu_client *client)
{
    return sn_reclaim_give_back(store_of(client));
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
 * cannot empty, objects that are unmovable or pinned, then costs pages and not spans. A busy store
 * that asked for huge pages is left alone: single pages would split them. What the kernel refuses
 * is asked for again, less and less often.
 */
static void
begin_trim(handle_store *store, bool busy)
{
    enum { TICKS = 8 }; /* 1.6 s; after so long again what has not changed goes back */
    unsigned ticks = busy || store->trims_refused > 0 ? TICKS : 1;
    bool huge = sn_hugepages_are_asked_for(store);
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

/* A piece of the trim under way. False: it has come to a span whose pages are becoming a huge page,
 * for which it would wait. */
static bool
trim_some(handle_store *store)
{
    enum { LOOKS = 4096 };
    uint32_t high = sn_load_relaxed(&store->pool.high);
    size_t bytes = 0;
    bool waits = false;
    sn_caches_begin_work(&store->caches);
    for (unsigned looks = 0; store->trim_at < high && looks < LOOKS && bytes < SN_PURGE_PIECE_BYTES;
         looks++) {
        waits = sn_dense_is_collapsing(&store->pool, store->trim_at);
        if (waits)
            break;
        bytes += trim_span(store, store->trim_at++);
    }
    sn_caches_end_work(&store->caches);
    if (store->trim_at >= high)
        end_trim(store);
    return !waits;
}

/* The same between two slices of the mover: a span that is just being trimmed would be left out of
 * its plan. False: a slice is under way, or a collapse. */
static bool
try_trim_some(handle_store *store)
{
    if (!sn_try_lock(&store->mover.lock))
        return false;
    bool done = trim_some(store);
    sn_unlock(&store->mover.lock);
    return done;
}

/* Whether single pages go back also while the store is busy: they would split huge pages. Whole
 * blocks always do, as by a purge. */
static bool
trims_pages(const handle_store *store)
{
    return sn_load_relaxed(&store->options.purge_delay_ms) >= 0 &&
           !sn_hugepages_are_asked_for(store);
}

/* Pages behind all that is used of their spans: at each tick, and at once when they are many. */
static void
trim_excess_some(handle_store *store, uint64_t now_ns)
{
    bool much = trims_pages(store) && sn_pool_has_much_excess(&store->pool);
    if (!(store->excess_due || much) || now_ns < store->excess_ns)
        return;
    sn_caches_begin_work(&store->caches);
    size_t slots =
        store->excess_pages ? sn_heap_trim_excess(&store->heap, SN_PURGE_PIECE_BYTES) : 0;
    size_t large = sn_large_trim(&store->large, SN_PURGE_PIECE_BYTES, store->excess_pages);
    sn_caches_end_work(&store->caches);
    store->excess_due = sn_max(slots, large) >= SN_PURGE_PIECE_BYTES;
    if (sn_pool_has_much_excess(&store->pool) && slots + large == 0)
        store->excess_ns = now_ns + SN_HOUSEKEEPING_NS;
}

static void
purge_table_some(handle_store *store)
{
    enum { PAGES = 1024 }; /* each is a call of its own */
    sn_caches_begin_work(&store->caches);
    size_t released = sn_table_purge(&store->table, PAGES);
    sn_caches_end_work(&store->caches);
    store->table_due = released == PAGES * SN_PAGE_BYTES;
}

static void
purge_pins(handle_store *store)
{
    sn_caches_begin_work(&store->caches);
    sn_pins_purge(&store->heap.pins);
    sn_caches_end_work(&store->caches);
}

/* Where there is room again no class keeps a slot for applications: so much of it that the mover
 * does not take it all. */
static void
end_keeping(handle_store *store)
{
    uint64_t room = sn_budget_reserve(sn_load_relaxed(&store->budget.max_bytes));
    if (sn_budget_lacks(&store->budget, room, SN_CHARGE_APPLICATION) > 0)
        return;
    sn_store_relaxed(&store->heap.keeps, 0);
    (void)sn_heap_end_kept(&store->heap, SN_CLASS_NONE);
}

/* Looks for dense parts of the arena, at all of them in turn, a piece at each tick. True: a round
 * has begun or goes on. Two rounds begin so far apart at least; where the kernel refuses, more. */
static bool
look_for_dense_some(handle_store *store)
{
    enum { TICKS = 8, LOOKS = 512 }; /* 1.6 s; 1 GiB */
    unsigned refusals = sn_load_relaxed(&store->pool.collapse_refusals);
    if (store->dense_at == 0 && ++store->dense_ticks < (unsigned)TICKS << sn_min(refusals, 6))
        return false;
    store->dense_ticks = 0;
    store->dense_at = sn_dense_look(&store->heap, store->dense_at, LOOKS);
    return true;
}

/* Whether parts are due that a forked child shares, so that a collapse would copy them: they stay
 * due until it has gone. */
static bool
dense_awaits_child(handle_store *store)
{
    return sn_dense_has_due(&store->pool) && sn_mover_shares_pages(store);
}

/* What was dense in two looks the mover's thread makes huge pages. Result: whether there is more to
 * do now: a store that has come to rest is looked at in two rounds more, and does not try for ever.
 * *awaits_child: when a child has gone. */
static bool
tend_dense(handle_store *store, bool active, bool *awaits_child)
{
    enum { TRIES = 5, ROUNDS = 2 };
    const struct sn_pool *pool = &store->pool;
    *awaits_child = false;
    if (!sn_hugepages_are_made(store))
        return false;
    bool looked = look_for_dense_some(store);
    if (active)
        store->dense_rounds = ROUNDS;
    else if (looked && store->dense_at == 0 && store->dense_rounds > 0)
        store->dense_rounds--;
    *awaits_child = dense_awaits_child(store);
    bool due = !*awaits_child && sn_dense_has_due(pool);
    unsigned refusals = sn_load_relaxed(&pool->collapse_refusals);
    if (due && (looked || refusals == 0))
        sn_mover_wake_for_dense(store);
    return store->dense_at > 0 || store->dense_rounds > 0 ||
           ((due || sn_dense_has_seen(pool)) && refusals < TRIES);
}

/* What idle threads keep, and what is to be given back then. Result: when to look next; 0: when
 * something happens. */
static uint64_t
tick(handle_store *store, uint64_t now_ns)
{
    const uint64_t child_ns = UINT64_C(8) * SN_HOUSEKEEPING_NS; /* nobody says that it has gone */
    bool active, awaits_child, purges = sn_load_relaxed(&store->options.purge_delay_ms) >= 0;
    sn_caches_drain(&store->caches, false, true, &active);
    end_keeping(store);
    sn_reclaim_tails(store);
    store->excess_due |= purges;
    store->excess_pages = trims_pages(store) || !active;
    store->table_due = purges && sn_load_relaxed(&store->table.empty_pages) > 0;
    begin_trim(store, active);
    sn_requested_tend(store, active, now_ns);
    if (!active)
        purge_pins(store);
    bool more = tend_dense(store, active, &awaits_child) || store->table_due ||
                store->trim_at > 0 || wants_trim(store) || sn_requested_is_looking(store) ||
                sn_large_has_work(&store->large, purges);
    if (active || more)
        return now_ns + SN_HOUSEKEEPING_NS;
    return awaits_child ? now_ns + child_ns : 0;
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
    if (sn_requested_is_looking(store))
        sn_requested_look_some(store);
    if (store->trim_at > 0 && !try_trim_some(store)) {
        store->next_tick_ns =
            now_ns + UINT64_C(2) * SN_HOUSEKEEPING_NS; /* or when it is signalled */
        return sn_min(due, store->next_tick_ns);
    }
    if (store->table_due || store->excess_due || store->trim_at > 0 ||
        sn_requested_is_looking(store))
        return now_ns;
    return store->next_tick_ns ? sn_min(due, store->next_tick_ns) : due;
}

static bool
is_active(struct sn_rcu_client *client)
{
    handle_store *store = store_of(client);
    return sn_caches_are_active(&store->caches) || sn_large_has_tails(&store->large) ||
           sn_load_relaxed(&store->retired) != 0 ||
           sn_load_relaxed(&store->pool.puts) != store->seen_puts;
}

static void
on_retired(struct sn_caches *caches, bool urgent)
{
    handle_store *store = sn_container_of(caches, handle_store, caches);
    sn_store_signal(store, urgent);
}

static void
on_indexes(struct sn_caches *caches, uint64_t *indexes, uint32_t count)
{
    handle_store *store = sn_container_of(caches, handle_store, caches);
    sn_table_put(&store->table, indexes, count);
}

static void
on_excess(struct sn_heap *heap)
{
    handle_store *store = sn_container_of(heap, handle_store, heap);
    if (trims_pages(store))
        sn_store_signal(store, true);
}

static void
on_freed(struct sn_heap *heap)
{
    sn_mover_wake(sn_container_of(heap, handle_store, heap));
}

void
sn_housekeeping_init(handle_store *store)
{
    store->heap.freed = on_freed;
    store->heap.excess = on_excess;
    store->caches.put_indexes = on_indexes;
    store->caches.retired = on_retired;
    store->client = (struct sn_rcu_client){
        .gather = gather, .reclaim = reclaim, .housekeep = housekeep, .is_active = is_active};
}
