/* SPDX-License-Identifier: MIT */
/* requests.c - memory that a program asks back, or asks about: purge, reclaim, used, detach. */
#include "core/misuse.h"
#include "core/report.h"
#include "defrag/defrag.h"
#include "insight/requested.h"
#include "object/shortage.h"
#include "store/reclaim.h"
#include "thread/drain.h"

int
handle_store_purge(handle_store *store, size_t *released_bytes)
{
    bool was_online;
    int error = sn_begin_waiting(store, &was_online);
    if (error)
        return error;
    size_t released = sn_defrag_purge_all(store);
    if (released_bytes)
        *released_bytes = released;
    sn_rcu_return(store->rcu->flavor, was_online);
    sn_store_report_no_thread(store);
    return 0;
}

/* A thread that has lost the processor inside its cache gets it again, or is stopped: looks for it
 * so often, no longer, before a round is worth it. Result: how often there is still to look. */
static unsigned
await_owners(handle_store *store, uint64_t deadline_ns, unsigned looks)
{
    enum { REST_NS = 1000000 };
    while (looks > 0 && sn_caches_any_inside(&store->caches)) {
        if (sn_os_now_ns() >= deadline_ns)
            break;
        sn_os_sleep_ns(REST_NS);
        looks--;
    }
    return looks;
}

/* A round of the grace-period thread. *whole: with all that was in limbo; a thread that has lost
 * the processor inside its cache keeps its own. False: the time came first. */
static bool
await_round(handle_store *store, uint64_t deadline_ns, bool *whole)
{
    uint32_t skips = sn_load_relaxed(&store->caches.limbo_skips);
    bool in_time = sn_rcu_wait_cycle_until(store->rcu, &store->client, deadline_ns);
    *whole = sn_load_relaxed(&store->caches.limbo_skips) == skips;
    return in_time;
}

/* Limbo, as far as a grace period brings it back. False: the time came first. */
static bool
reclaim_limbo(handle_store *store, size_t bytes, uint64_t deadline_ns)
{
    enum { ROUNDS = 3, LOOKS = 100 }; /* others free meanwhile */
    uint64_t before = sn_caches_limbo(&store->caches);
    bool whole;
    if (before == 0) { /* others have what comes: a round, but a moment of it at most */
        uint64_t moment_ns = sn_min(deadline_ns, sn_os_now_ns() + SN_GP_GATHER_NS);
        (void)await_round(store, moment_ns, &whole);
        return true;
    }
    unsigned looks = LOOKS;
    for (int round = 0; round < ROUNDS;) {
        if (!await_round(store, deadline_ns, &whole))
            return false;
        uint64_t left = sn_caches_limbo(&store->caches);
        if (left == 0 || (before > left && before - left >= bytes))
            break;
        if (!whole && looks > 0)
            looks = await_owners(store, deadline_ns, looks - 1);
        else
            round++;
    }
    return true;
}

/* What else an allocation may have been told to wait for: idle caches, the mover. */
static bool
reclaim_rest(handle_store *store, const struct sn_wait *wait, size_t bytes, uint64_t deadline_ns)
{
    uint64_t lacked = wait->by_pages ? wait->waited.lacked_bytes : 0;
    if (lacked > 0 || wait->cached)
        sn_caches_drain(&store->caches, false, false, NULL);
    if (lacked > 0)
        sn_shortage_request_memory(store, lacked);
    return sn_defrag_finish(store, wait->store != 0, deadline_ns) &&
           (lacked == 0 || sn_mover_wait_relief(store, sn_max(bytes, lacked), deadline_ns));
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
reclaim_memory(handle_store *store, const char *function, size_t bytes, uint64_t deadline_ns)
{
    bool was_online;
    int error = sn_begin_waiting_named(store, function, &was_online);
    if (error)
        return error;
    bool in_time = store->forked || reclaim_until(store, bytes, deadline_ns);
    sn_rcu_return(store->rcu->flavor, was_online);
    sn_store_report_no_thread(store);
    return in_time ? 0 : -ETIMEDOUT;
}

int
handle_store_reclaim(handle_store *store, size_t bytes)
{
    return reclaim_memory(store, __func__, bytes, SN_NEVER);
}

int
handle_store_reclaim_until(handle_store *store, size_t bytes, uint64_t timeout_us)
{
    uint64_t now = sn_os_now_ns();
    uint64_t timeout_ns = sn_min(timeout_us, (SN_NEVER - now) / 1000) * 1000;
    return reclaim_memory(store, __func__, bytes, now + timeout_ns);
}

size_t
handle_store_used(const handle_store *store)
{
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (!store)
        return 0;
    uint64_t live[SN_CLASSES_MAX];
    sn_caches_live(&sn_store_mutable(store)->caches, live);
    return sn_requested_estimate(store, live).bytes;
}

void
handle_thread_detach(handle_store *store)
{
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (!store)
        return;
    sn_caches_detach(&store->caches);
    sn_store_report_no_thread(store);
}
