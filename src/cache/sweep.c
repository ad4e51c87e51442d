/* SPDX-License-Identifier: MIT */
/* sweep.c - see sweep.h. */
#include "cache/sweep.h"

#include "cache/budget.h"
#include "cache/grow.h"
#include "cache/room.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

#define SLICE_BUCKETS 512u
#define IDLE_MS       1000u           /* between two looks while items expire */
#define OWES_MS       20u             /* while a budget waits for pages of its store */
#define ASLEEP_MS     10000u          /* while there is nothing, and nobody has woken it */
#define ROUND_MS      UINT64_C(60000) /* a round over all buckets takes at least so long */

/* ---- one slice ------------------------------------------------------------------------------- */

static uint64_t
sweep_bucket(sinter_cache *cache, uint64_t number)
{
    struct sc_left left;
    /* Whether it has anything that expires is seen without its lock. */
    if (!(sc_load(&sc_bucket(cache, number)->state) & SC_EXPIRES_ANY))
        return 0;
    sc_left_none(&left, 0);
    uint64_t gone = sc_evict_bucket(cache, number, SC_NOBODY, &left);
    sc_tell(cache, &left);
    return gone;
}

/* By the owner of `slow`. */
static uint64_t
sweep_slice(sinter_cache *cache, uint64_t buckets)
{
    uint64_t gone = 0;
    if (!sc_enter_writing(cache, sc_in_section(cache)))
        return 0;
    for (; buckets > 0; buckets--) {
        if (cache->sweep.hand >= sc_buckets(cache))
            cache->sweep.hand = 0;
        gone += sweep_bucket(cache, cache->sweep.hand++);
        sc_index_fit(cache);
    }
    sc_leave(cache);
    return gone;
}

int64_t
sinter_cache_sweep(sinter_cache *cache, uint64_t buckets)
{
    if (!cache || buckets < 1 || buckets > UINT64_C(1) << 32)
        return -EINVAL;
    uint64_t gone = 0;
    if (pthread_mutex_trylock(&cache->slow) != 0)
        return 0;
    buckets = sc_min(buckets, sc_buckets(cache));
    for (uint64_t n; buckets > 0; buckets -= n) {
        n = sc_min(buckets, SLICE_BUCKETS);
        gone += sweep_slice(cache, n);
    }
    pthread_mutex_unlock(&cache->slow);
    return (int64_t)gone;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static bool
has_work(const sinter_cache *cache)
{
    return sc_load(&cache->sweep.expiring) || sc_index_has_spare(cache) || sc_budget_owes(cache);
}

/* The thread is registered with the flavour only while it has `slow`, which a fork takes first:
 * liburcu's list of a child has nobody in it who is not there. */
static void
work_registered(sinter_cache *cache)
{
    pthread_mutex_lock(&cache->slow);
    cache->flavor->register_thread();
    sc_tsan_acquire(cache->flavor);
    if (sc_index_has_spare(cache))
        sc_index_release(cache);
    if (sc_budget_owes(cache))
        sc_budget_give_back(cache);
    if (sc_load(&cache->sweep.expiring))
        sweep_slice(cache, SLICE_BUCKETS);
    sc_tsan_release(cache->flavor);
    cache->flavor->unregister_thread();
    pthread_mutex_unlock(&cache->slow);
}

/* Result: ms to sleep after it. */
static uint64_t
work(sinter_cache *cache)
{
    uint64_t begin = sc_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    if (has_work(cache))
        work_registered(cache);
    sc_room_refit(cache);
    if (!has_work(cache))
        return ASLEEP_MS;
    if (sc_budget_owes(cache))
        return OWES_MS;
    uint64_t took_ms = (sc_clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin) / 1000000u + 1;
    uint64_t slices = sc_buckets(cache) / SLICE_BUCKETS + 1;
    return sc_clamp(took_ms * 100 / sc_load(&cache->sweep.percent),
                    sc_min(ROUND_MS / slices, IDLE_MS), 10 * ROUND_MS);
}

/* Under the lock. Until it is woken, or for so long. */
static void
sleep_until_woken(sinter_cache *cache, uint64_t ms)
{
    uint64_t end = sc_clock_ns(CLOCK_MONOTONIC) + ms * 1000000;
    struct timespec until = {(time_t)(end / 1000000000u), (long)(end % 1000000000u)};
    sc_store(&cache->sweep.asleep, !has_work(cache));
    while (!cache->sweep.stop && !cache->sweep.wanted) {
        if (pthread_cond_timedwait(&cache->sweep.wake, &cache->sweep.lock, &until) == ETIMEDOUT)
            break;
    }
    cache->sweep.wanted = false;
    sc_store(&cache->sweep.asleep, false);
}

static void *
run(void *opaque)
{
    sinter_cache *cache = opaque;
    pthread_mutex_lock(&cache->sweep.lock);
    for (uint64_t ms = IDLE_MS; !cache->sweep.stop;) {
        sleep_until_woken(cache, ms);
        pthread_mutex_unlock(&cache->sweep.lock);
        ms = work(cache);
        pthread_mutex_lock(&cache->sweep.lock);
    }
    pthread_mutex_unlock(&cache->sweep.lock);
    return NULL;
}

static int
start_thread(sinter_cache *cache)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 512u << 10);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&cache->sweep.thread, &attributes, run, cache);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -error;
}

int
sc_sweep_open(sinter_cache *cache, uint32_t percent)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&cache->sweep.lock, NULL);
    pthread_cond_init(&cache->sweep.wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    cache->sweep.percent = percent;
    return start_thread(cache);
}

void
sc_sweep_close(sinter_cache *cache)
{
    if (cache->fork_child)
        return;
    pthread_mutex_lock(&cache->sweep.lock);
    cache->sweep.stop = true;
    pthread_cond_signal(&cache->sweep.wake);
    pthread_mutex_unlock(&cache->sweep.lock);
    int cancel = sc_wait_begin(cache); /* it may wait for a grace period */
    pthread_join(cache->sweep.thread, NULL);
    sc_wait_end(cache, cancel);
}

void
sc_sweep_wake(sinter_cache *cache)
{
    pthread_mutex_lock(&cache->sweep.lock);
    cache->sweep.wanted = true;
    pthread_cond_signal(&cache->sweep.wake);
    pthread_mutex_unlock(&cache->sweep.lock);
}
