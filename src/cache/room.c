/* SPDX-License-Identifier: MIT */
/* room.c - see room.h. */
#include "cache/room.h"

#include "cache/budget.h"
#include "cache/grow.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define STEP_BYTES      (UINT64_C(64) << 10) /* max_bytes follows in such steps */
#define WAIT_LEAST_US   500u
#define WAIT_MOST_US    8000u
#define SHARE_16THS     15u /* of the store, items' when the limit has changed; then it adapts */
#define STEPS_LEAST     64u
#define ITEMS_LEAST     8u /* evicted for a refusal, fewer if they are of more than 4 KiB */
#define TRIES_MOST      1000u
#define SETS_FOR_ASKING 32u /* at the limit, for one question to the budget */

/* ---- the limit ------------------------------------------------------------------------------- */

uint64_t
sc_room_beside(const sinter_cache *cache)
{
    return sizeof(*cache) + SC_BESIDE_BYTES + sc_lines_bytes(&cache->index.buckets) +
           sc_policy_bytes(cache);
}

uint64_t
sc_room_store_most(const sinter_cache *cache, uint64_t limit)
{
    uint64_t beside = sc_align(sc_room_beside(cache), STEP_BYTES) + STEP_BYTES;
    return sc_max(sc_less(limit, beside), SC_STORE_LEAST);
}

/* Of max_bytes, what items can have at best: the store keeps some back, and needs some for itself.
 */
static uint64_t
budget_most(uint64_t store_most)
{
    return store_most - sc_clamp(store_most / 32, UINT64_C(128) << 10, UINT64_C(1) << 20) -
           store_most / 128;
}

void
sc_room_open(sinter_cache *cache, uint64_t limit, uint32_t wait_ms)
{
    pthread_mutex_init(&cache->room.lock, NULL);
    pthread_mutex_init(&cache->room.turn, NULL);
    cache->room.limit = limit;
    cache->room.wait_ms = wait_ms;
    cache->room.store_most = cache->room.max_bytes = sc_room_store_most(cache, limit);
    cache->room.budget = budget_most(cache->room.store_most);
    cache->policy.target = cache->room.budget / 20;
}

/* What max_bytes is to be: a budget's tenant may go on with what it has not given back yet. */
static uint64_t
wanted_max_bytes(const sinter_cache *cache)
{
    return sc_room_store_most(cache,
                              sc_max(sc_load(&cache->room.limit), sc_load(&cache->tenant.granted)));
}

/* Under the room's lock. What is more or less of the store is the items'. */
static void
fit_store(sinter_cache *cache)
{
    char text[24];
    uint64_t max_bytes = wanted_max_bytes(cache);
    uint64_t most = sc_room_store_most(cache, sc_load(&cache->room.limit));
    snprintf(text, sizeof(text), "%" PRIu64, max_bytes);
    if (handle_store_set(cache->store, "max_bytes", text) != 0)
        return;
    uint64_t budget = sc_less(sc_load(&cache->room.budget) + most, cache->room.store_most);
    sc_store(&cache->room.max_bytes, max_bytes);
    sc_store(&cache->room.store_most, most);
    sc_store(&cache->room.budget, sc_clamp(budget, most / 4, budget_most(most)));
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
    sc_store(&cache->room.budget, sc_load(&cache->room.store_most) / 16 * SHARE_16THS);
    pthread_mutex_unlock(&cache->room.lock);
}

void
sc_room_set_limit(sinter_cache *cache, uint64_t limit)
{
    sc_room_allow(cache, limit);
    sc_room_follow(cache);
}

void
sc_room_follow(sinter_cache *cache)
{
    sc_evict(cache, 0, 0, sc_evict_all(cache));
    sc_index_settle(cache);
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
    return budget_most(sc_load(&cache->room.store_most)) / 8 * 7;
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
    budget = sc_load(&cache->room.budget);
    /* Up again, by a 64th of what is set: as much as an ENOMEM took, in one turn of the budget. */
    uint64_t most = budget_most(sc_load(&cache->room.store_most));
    sc_store(&cache->room.budget, sc_min(budget + need / 64, most));
    if (budget + need / 64 > most)
        sc_room_refit(cache); /* index or policy may need less than when max_bytes was set */
    sc_evict(cache, need, 0, steps_for(cache, need));
}

/* EAGAIN says that memory is on its way: the store can hold that much, if not just now. */
static void
lower_budget(sinter_cache *cache, int refusal)
{
    uint64_t budget = sc_load(&cache->room.budget), most = sc_load(&cache->room.store_most);
    uint64_t lower = refusal == -ENOMEM ? sc_min(budget, sc_policy_slots(cache)) / 64 * 63
                                        : budget / 1024 * 1023;
    sc_store(&cache->room.budget, sc_max(lower, most / 4));
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
    uint64_t most = sc_load(&cache->room.wait_most_ns);
    while (whole_ns > most &&
           !__atomic_compare_exchange_n(&cache->room.wait_most_ns, &most, whole_ns, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

/* For as long as this turn, and the whole call, may. False: its time is over. */
static bool
wait_for_memory(sinter_cache *cache, struct sc_try *attempt)
{
    uint64_t now = sc_now_ns(), waited = now - attempt->began_ns;
    uint64_t most = (uint64_t)sc_load(&cache->room.wait_ms) * 1000000u;
    if (waited >= most)
        return false;
    uint64_t turn = sc_min((uint64_t)WAIT_LEAST_US << sc_min(attempt->refusals, 6), WAIT_MOST_US);
    turn = sc_min(turn, (most - waited) / 1000 + 1);
    int rc = handle_store_reclaim_until(cache->store, attempt->need, turn);
    uint64_t after = sc_now_ns();
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

int
sc_room_answer(sinter_cache *cache, struct sc_try *attempt, int refusal)
{
    if (cache->fork_child)
        return -EAGAIN; /* nothing leaves limbo there: it would be evicted for nothing */
    if (attempt->refusals++ == 0) {
        attempt->began_ns = sc_now_ns();
        if (!attempt->nested) /* in a section nothing comes back: that says nothing of the store */
            lower_budget(cache, refusal);
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

int
sc_room_wait_for_turn(sinter_cache *cache, struct sc_try *attempt)
{
    const struct timespec pause = {0, 1000000};
    uint64_t most = (uint64_t)sc_load(&cache->room.wait_ms) * 1000000u;
    int cancel = sc_wait_begin(cache);
    while (!attempt->turn && sc_now_ns() - attempt->began_ns < most) {
        nanosleep(&pause, NULL);
        attempt->turn = pthread_mutex_trylock(&cache->room.turn) == 0;
    }
    sc_wait_end(cache, cancel);
    return attempt->turn ? 0 : -EAGAIN;
}
