/* SPDX-License-Identifier: MIT */
/* lock.c - see lock.h. */
#include "base/lock.h"

#if SN_DEBUG
_Thread_local unsigned sn_lock_held[SN_RANK_MAX];
#endif

void
sn_lock_init(struct sn_lock *lock, enum sn_lock_rank rank)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
#ifdef __GLIBC__
    /* Critical sections are a few hundred nanoseconds: spinning a little beats sleeping. (musl's
     * mutexes always do.) */
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
    pthread_mutex_init(&lock->mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    lock->rank = rank;
}

void
sn_lock_destroy(struct sn_lock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
}
