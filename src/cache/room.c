/* SPDX-License-Identifier: MIT */
/* room.c - see room.h. */
#include "cache/room.h"

#include "cache/budget.h"
#include "cache/grow.h"
#include "cache/share.h"
#include "cache/sweep.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define STEP_BYTES      (UINT64_C(64) << 10) /* max_bytes follows in such steps */
#define WAIT_LEAST_US   500u
#define WAIT_MOST_US    8000u
#define LOOKS           64u /* questions to the store while as many bytes are set as items have */
#define STEPS_LEAST     64u
#define ITEMS_LEAST     8u /* evicted for a refusal, fewer if they are of more than 4 KiB */
#define TRIES_MOST      1000u
#define SETS_FOR_ASKING 32u /* at the limit, for one question to the budget */

/* ---- the limit ------------------------------------------------------------------------------- */

static uint64_t
fixed_bytes(const sinter_cache *cache)
{
    return sizeof(*cache) + SC_BESIDE_BYTES;
}

uint64_t
sc_room_beside(const sinter_cache *cache)
{
    return fixed_bytes(cache) + sc_lines_bytes(&cache->index.buckets) + sc_policy_bytes(cache);
}

uint64_t
sc_room_store_most(const sinter_cache *cache, uint64_t limit)
{
    uint64_t beside = sc_align(sc_room_beside(cache), STEP_BYTES) + STEP_BYTES;
    return sc_max(sc_less(limit, beside), SC_STORE_LEAST);
}

void
sc_room_open(sinter_cache *cache, uint64_t limit, uint32_t wait_ms)
{
    pthread_mutex_init(&cache->room.lock, NULL);
    pthread_mutex_init(&cache->room.turn, NULL);
    cache->room.limit = limit;
    cache->room.wait_ms = wait_ms;
    cache->room.store_most = cache->room.max_bytes = sc_room_store_most(cache, limit);
    cache->room.reserve = sc_share_least_reserve(cache->room.store_most);
    cache->room.budget = cache->room.store_most - cache->room.reserve;
    cache->policy.target = cache->room.budget / 20;
}

/* What max_bytes is to be: a budget's tenant may go on with what it has not given back yet. */
static uint64_t
wanted_max_bytes(const sinter_cache *cache)
{
    return sc_room_store_most(cache,
                              sc_max(sc_load(&cache->room.limit), sc_load(&cache->tenant.granted)));
}

/* Under the room's lock: what the items get, by what the store says now. */
static void
share_out(sinter_cache *cache)
{
    struct handle_stats store = HANDLE_STATS_INIT;
    if (handle_store_stats(cache->store, &store) != 0)
        return;
    struct sc_share share = {
        .limit = sc_load(&cache->room.limit),
        .fixed = fixed_bytes(cache) + 2 * STEP_BYTES,
        .slots = sc_policy_slots(cache),
        .beside =
            sc_index_bytes_for(sc_load(&cache->policy.items)) + sc_load(&cache->policy.ring.bytes),
        .store_own = store.metadata + store.table + store.thread_cache +
                     sc_less(store.free_slot, store.recoverable),
        .reserve = cache->room.reserve,
    };
    sc_store(&cache->room.budget, sc_share_of_items(&share));
}

/* The same once in so many bytes that are set at the limit, or that had to wait; with the reserve
 * that these ask for. */
static void
share_out_anew(sinter_cache *cache)
{
    struct sc_room *room = &cache->room;
    uint64_t set = sc_load(&room->set_bytes), waited = sc_load(&room->waited_bytes);
    uint64_t budget = sc_load(&room->budget);
    if ((set < budget / LOOKS && waited < budget / LOOKS / 16) ||
        pthread_mutex_trylock(&room->lock) != 0)
        return;
    room->reserve = sc_share_next_reserve(room->reserve, room->store_most, set, waited);
    sc_store(&room->set_bytes, 0);
    sc_store(&room->waited_bytes, 0);
    share_out(cache);
    pthread_mutex_unlock(&room->lock);
}

/* Under the room's lock. */
static void
fit_store(sinter_cache *cache)
{
    char text[24];
    uint64_t max_bytes = wanted_max_bytes(cache);
    snprintf(text, sizeof(text), "%" PRIu64, max_bytes);
    if (handle_store_set(cache->store, "max_bytes", text) != 0)
        return;
    sc_store(&cache->room.max_bytes, max_bytes);
    sc_store(&cache->room.store_most, sc_room_store_most(cache, sc_load(&cache->room.limit)));
    share_out(cache);
}

void
sc_room_refit(sinter_cache *cache)
{
    if (sc_likely(wanted_max_bytes(cache) == sc_load(&cache->room.max_bytes)) ||
        pthread_mutex_trylock(&cache->room.lock) != 0)
        return;
    fit_store(cache);
    pthread_mutex_unlock(&cache->room.lock);
}

void
sc_room_allow(sinter_cache *cache, uint64_t limit)
{
    pthread_mutex_lock(&cache->room.lock);
    sc_store(&cache->room.limit, limit);
    fit_store(cache);
    pthread_mutex_unlock(&cache->room.lock);
}

void
sc_room_follow(sinter_cache *cache)
{
    sc_evict(cache, 0, 0, sc_evict_all(cache));
    sc_index_settle(cache);
    if (sc_index_has_spare(cache))
        sc_sweep_wake(cache); /* it gives their pages back */
}

bool
sc_room_for_index(sinter_cache *cache, uint64_t buckets)
{
    if (buckets <= sc_load(&cache->index.buckets.touched))
        return true;
    if (sc_room_beside(cache) + 3 * STEP_BYTES + SC_STORE_LEAST > sc_load(&cache->room.limit))
        return false;
    sc_room_refit(cache);
    return true;
}

uint64_t
sc_room_most(const sinter_cache *cache)
{
    uint64_t store = sc_load(&cache->room.store_most);
    return (store - sc_share_least_reserve(store)) / 8 * 7;
}

/* ---- making room ----------------------------------------------------------------------------- */

static void
ask_for_more(sinter_cache *cache)
{
    if (!cache->tenant.budget || sc_fetch_add(&cache->tenant.asks, 1) % SETS_FOR_ASKING != 0 ||
        !sc_enter_writing(cache, sc_in_section(cache)))
        return;
    sc_budget_ask(cache);
    sc_leave(cache);
}

/* What one call does to make room, so that none takes long, whatever the others left undone: a few
 * steps for each item whose place it takes. */
static uint64_t
steps_for(const sinter_cache *cache, uint64_t need)
{
    uint64_t items = need * sc_load(&cache->policy.items) / (sc_load(&cache->policy.used) + 1);
    return STEPS_LEAST + 8 * items;
}

void
sc_room_make(sinter_cache *cache, uint64_t need)
{
    uint64_t budget = sc_load(&cache->room.budget);
    if (sc_unlikely(sc_shown != NULL))
        need += sc_told_need(cache); /* the room of the callback's caller is not this call's */
    if (sc_likely(sc_policy_slots(cache) + need <= budget) || cache->fork_child)
        return;
    ask_for_more(cache);
    sc_add(&cache->room.set_bytes, need);
    share_out_anew(cache);
    sc_evict(cache, need, 0, steps_for(cache, need));
}

static uint64_t
evict_for_refusal(sinter_cache *cache, uint64_t need)
{
    uint64_t mean = sc_policy_slots(cache) / (sc_load(&cache->policy.items) + 1) + 1;
    uint64_t least = sc_clamp(ITEMS_LEAST * UINT64_C(4096) / mean, 1, ITEMS_LEAST);
    return sc_evict(cache, need, least, 16 * steps_for(cache, need));
}

static void
note_wait(sinter_cache *cache, uint64_t whole_ns, uint64_t this_ns)
{
    sc_count(cache, SC_WAITS);
    sc_count_by(cache->counts, SC_WAIT_NS, this_ns);
    sc_raise(&cache->room.wait_most_ns, whole_ns);
}

uint64_t
sc_room_time_left(const sinter_cache *cache, const struct sc_try *attempt)
{
    uint64_t most = (uint64_t)sc_load(&cache->room.wait_ms) * 1000000u;
    return sc_less(most, sc_clock_ns(CLOCK_MONOTONIC) - attempt->began_ns);
}

/* For as long as this turn, and the whole call, may. False: its time is over. */
static bool
wait_for_memory(sinter_cache *cache, struct sc_try *attempt)
{
    uint64_t now = sc_clock_ns(CLOCK_MONOTONIC), left = sc_room_time_left(cache, attempt);
    if (!left)
        return false;
    uint64_t turn = sc_min((uint64_t)WAIT_LEAST_US << sc_min(attempt->refusals, 6), WAIT_MOST_US);
    turn = sc_min(turn, left / 1000 + 1);
    int rc = handle_store_reclaim_until(cache->store, attempt->need, turn);
    uint64_t after = sc_clock_ns(CLOCK_MONOTONIC);
    note_wait(cache, after - attempt->began_ns, after - now);
    return rc != -EDEADLK;
}

/* Nothing is left that could go, or that others may give back. */
static bool
none_left(const sinter_cache *cache, const struct sc_try *attempt)
{
    return !sc_load(&cache->policy.items) && !sc_budget_owes(cache) &&
           sc_load(&cache->room.making) <= attempt->large;
}

/* A call's first. In a section nothing comes back, and beyond the budget there is more than there
 * should be: that says nothing of the reserve. */
static void
note_refusal(sinter_cache *cache, const struct sc_try *attempt)
{
    if (attempt->nested || sc_policy_slots(cache) > sc_load(&cache->room.budget))
        return;
    sc_add(&cache->room.waited_bytes, attempt->need);
    ask_for_more(cache);
    share_out_anew(cache);
}

int
sc_room_answer(sinter_cache *cache, struct sc_try *attempt, int refusal)
{
    if (cache->fork_child)
        return -EAGAIN; /* nothing leaves limbo there: it would be evicted for nothing */
    if (attempt->refusals++ == 0) {
        attempt->began_ns = sc_clock_ns(CLOCK_MONOTONIC);
        note_refusal(cache, attempt);
    }
    uint64_t gone = 0;
    if (refusal == -ENOMEM || attempt->refusals % 4 == 0)
        gone = evict_for_refusal(cache, attempt->need);
    if (attempt->nested)
        return attempt->refusals < 3 && gone ? 0 : -EAGAIN;
    if (attempt->refusals > TRIES_MOST || !wait_for_memory(cache, attempt))
        return refusal == -ENOMEM && none_left(cache, attempt) ? -ENOMEM : -EAGAIN;
    return 0;
}
