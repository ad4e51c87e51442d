/* SPDX-License-Identifier: MIT */
/*
 * lock.h - mutexes with a rank. A thread takes locks in rising rank only; debug builds check it. No
 * lock is held across a grace period (G8), and while a callback of the application runs none but
 * SN_RANK_WALK around visitors; the option `cells`, which may call nothing, is asked under the
 * mover's.
 *
 * Outside of the order stand two mutexes of src/rcu, which come before all others: a fork's
 * preparation holds its own and that of the list of flavours while it waits for grace periods. Who
 * waits for them is offline and in no section: calls that wait, and other forks.
 */
#ifndef SN_LOCK_H
#define SN_LOCK_H

#include <pthread.h>

#include "base/base.h"
#include "base/cancel.h"

/* The lock order, outermost first. */
enum sn_lock_rank {
    SN_RANK_WALK = 1,  /* one walk over a store at a time; held around visitors */
    SN_RANK_REGISTRY,  /* thread registry: thread exit against store destroy */
    SN_RANK_CLIENTS,   /* a flavour's list of stores; held while one is gathered or reclaimed */
    SN_RANK_MOVER,     /* a store's mover: state machine, one batch at a time */
    SN_RANK_PROFILE,   /* a store's profile */
    SN_RANK_CACHES,    /* a store's list of thread caches; drainers */
    SN_RANK_HEAP,      /* which size classes were used */
    SN_RANK_CLASS,     /* a size class: its spans' bitmaps and lists */
    SN_RANK_PINS,      /* a stripe of a store's pins */
    SN_RANK_PIN_PAGES, /* the pages that they lie in */
    SN_RANK_POOL,      /* a store's blocks */
    SN_RANK_TABLE,     /* a store's handle table pages */
    SN_RANK_RCU,       /* a flavour's grace-period thread */
    SN_RANK_WAKE,      /* a defragmenter's sleep */
    SN_RANK_FORK,      /* fork watchers of a store */
    SN_RANK_PLACE,     /* where stores lie in the address space */
    SN_RANK_MAX
};

struct sn_lock {
    pthread_mutex_t mutex;
    enum sn_lock_rank rank;
};

#if SN_DEBUG
extern _Thread_local unsigned sn_lock_held[SN_RANK_MAX];
#endif

void sn_lock_init(struct sn_lock *lock, enum sn_lock_rank rank);
void sn_lock_destroy(struct sn_lock *lock);

static inline void
sn_lock_check_order(const struct sn_lock *lock)
{
#if SN_DEBUG
    for (unsigned rank = lock->rank; rank < SN_RANK_MAX; rank++)
        sn_assert(sn_lock_held[rank] == 0);
#else
    (void)lock;
#endif
}

static inline void
sn_lock_note(const struct sn_lock *lock, int by)
{
#if SN_DEBUG
    sn_lock_held[lock->rank] += (unsigned)by;
#else
    (void)lock;
    (void)by;
#endif
}

static inline void
sn_lock(struct sn_lock *lock)
{
    sn_lock_check_order(lock);
    pthread_mutex_lock(&lock->mutex);
    sn_lock_note(lock, 1);
}

static inline bool
sn_try_lock(struct sn_lock *lock)
{
    if (pthread_mutex_trylock(&lock->mutex) != 0)
        return false;
    sn_lock_note(lock, 1);
    return true;
}

static inline void
sn_unlock(struct sn_lock *lock)
{
    sn_lock_note(lock, -1);
    pthread_mutex_unlock(&lock->mutex);
}

/** Waits until the condition is signalled; the lock is held again afterwards. Like all that waits
 * here it is no cancellation point. */
static inline void
sn_wait(pthread_cond_t *condition, struct sn_lock *lock)
{
    SN_NO_CANCELLATION;
    pthread_cond_wait(condition, &lock->mutex);
}

/** The same, at most until a time of the condition's clock. False: the time has come. */
static inline bool
sn_wait_until(pthread_cond_t *condition, struct sn_lock *lock, const struct timespec *until)
{
    SN_NO_CANCELLATION;
    return pthread_cond_timedwait(condition, &lock->mutex, until) != ETIMEDOUT;
}

/** For functions whose name ends in _locked: some lock of this rank is held by the caller. */
static inline void
sn_assert_locked(const struct sn_lock *lock)
{
#if SN_DEBUG
    sn_assert(sn_lock_held[lock->rank] > 0);
#else
    (void)lock;
#endif
}

#endif
