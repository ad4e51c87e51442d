/* SPDX-License-Identifier: MIT */
/* whole.c - see whole.h: clocks, and the gate that forks close. */
#include "cache/whole.h"

#include "cache/fork.h"

__thread const struct sc_shown *sc_shown;

uint64_t
sc_clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t
sc_now_ms(const sinter_cache *cache)
{
    return cache->clock_ms ? cache->clock_ms(cache->opaque)
                           : sc_clock_ns(CLOCK_MONOTONIC) / 1000000u;
}

int
sc_wait_begin(const sinter_cache *cache)
{
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    sc_tsan_release(cache->flavor);
    cache->flavor->thread_offline();
    return cancel;
}

void
sc_wait_end(const sinter_cache *cache, int cancel)
{
    cache->flavor->thread_online();
    sc_tsan_acquire(cache->flavor);
    pthread_setcancelstate(cancel, NULL);
}

void
sc_lock_offline(const sinter_cache *cache, pthread_mutex_t *mutex)
{
    int cancel = sc_wait_begin(cache);
    pthread_mutex_lock(mutex);
    sc_wait_end(cache, cancel);
}

void
sc_pause(const sinter_cache *cache)
{
    const struct timespec pause = {0, 1000000};
    int cancel = sc_wait_begin(cache);
    nanosleep(&pause, NULL);
    sc_wait_end(cache, cancel);
}

bool
sc_enter_writing(sinter_cache *cache, bool nested)
{
    for (;;) {
        sc_enter(cache);
        /* In the section: a fork that this does not see yet waits for the section's end. */
        if (sc_likely(!sc_load_acquire(&sc_fork_under_way)))
            return true;
        sc_leave(cache);
        if (nested)
            return false;
        sc_fork_hold(cache);
        sc_fork_let();
    }
}
