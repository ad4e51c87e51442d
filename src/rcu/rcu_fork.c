/* SPDX-License-Identifier: MIT */
/* rcu_fork.c - see rcu/rcu_fork.h. */
#include "rcu/rcu_fork.h"

/*
 * One thread at a time prepares a fork, from its first store's before_fork to its last one's
 * after_fork. All flavours' threads are put aside at first, before any store is held: a GP may wait
 * for a reader that waits for a store, also for one of another flavour.
 */
static struct {
    pthread_mutex_t lock; /* the owner holds it, the registry's and those of all clients */
    uintptr_t owner;      /* atomic */
    unsigned depth;       /* stores; the owner's */
} preparation = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Where the calling thread has joined the readers: in a callback it may fork all the same. */
static _Thread_local const struct sn_rcu *joined_to;

void
sn_rcu_join(struct sn_rcu *rcu)
{
    sn_lock(&rcu->lock);
    while (rcu->forks > 0)
        sn_wait(&rcu->done, &rcu->lock);
    rcu->joined++;
    sn_unlock(&rcu->lock);
    joined_to = rcu;
}

void
sn_rcu_part(struct sn_rcu *rcu)
{
    joined_to = NULL;
    sn_lock(&rcu->lock);
    rcu->joined--;
    if (rcu->forks > 0)
        pthread_cond_broadcast(&rcu->done);
    sn_unlock(&rcu->lock);
}

static bool
is_preparing(void)
{
    return sn_load_relaxed(&preparation.owner) == (uintptr_t)pthread_self();
}

/*
 * Goes offline in all flavours of the list, since a preparation waits for those of all stores. Bit
 * i of *online: the thread was online in the i-th (no process has 64). False: it is inside a
 * section of one of them.
 */
static bool
leave_all(const struct sn_rcu *newest, uint64_t *online)
{
    bool outside = true, was_online;
    uint64_t bit = 1;
    *online = 0;
    for (const struct sn_rcu *rcu = newest; rcu; rcu = rcu->next) {
        if (rcu->dead)
            continue;
        outside &= sn_rcu_leave(rcu->flavor, &was_online);
        *online |= was_online ? bit : 0;
        bit <<= 1;
    }
    return outside;
}

static void
return_to_all(const struct sn_rcu *newest, uint64_t online)
{
    for (const struct sn_rcu *rcu = newest; rcu; rcu = rcu->next) {
        if (rcu->dead)
            continue;
        sn_rcu_return(rcu->flavor, online & 1);
        online >>= 1;
    }
}

/* Acquire: an entry is seen as sn_rcu_get made it. */
static const struct sn_rcu *
newest_flavour(void)
{
    return sn_load_acquire(&sn_rcu_registry.newest);
}

bool
sn_rcu_is_outside(void)
{
    uint64_t online;
    if (is_preparing())
        return true;
    const struct sn_rcu *newest = newest_flavour();
    bool outside = leave_all(newest, &online);
    return_to_all(newest, online);
    return outside;
}

/* Who has joined waits for no grace period: a caller inside a section waits for that, too. */
static void
put_aside(struct sn_rcu *rcu, bool wait)
{
    sn_lock(&rcu->lock);
    rcu->forks++;
    pthread_cond_signal(&rcu->wake);
    while (!rcu->dead && ((wait && !rcu->aside) || rcu->joined > (joined_to == rcu)))
        sn_wait(&rcu->done, &rcu->lock);
    sn_unlock(&rcu->lock);
}

/* False: a flavour was added that the caller has not left. */
static bool
prepare(const struct sn_rcu *newest, bool wait)
{
    pthread_mutex_lock(&preparation.lock);
    pthread_mutex_lock(&sn_rcu_registry.lock);
    if (sn_rcu_registry.newest != newest) {
        pthread_mutex_unlock(&sn_rcu_registry.lock);
        pthread_mutex_unlock(&preparation.lock);
        return false;
    }
    for (struct sn_rcu *rcu = sn_rcu_registry.newest; rcu; rcu = rcu->next)
        put_aside(rcu, wait);
    for (struct sn_rcu *rcu = sn_rcu_registry.newest; rcu; rcu = rcu->next)
        pthread_mutex_lock(&rcu->clients_lock.mutex);
    sn_store_relaxed(&preparation.owner, (uintptr_t)pthread_self());
    return true;
}

void
sn_rcu_before_fork(bool wait)
{
    for (bool prepared = is_preparing(); !prepared;) {
        uint64_t online;
        const struct sn_rcu *newest = newest_flavour();
        (void)leave_all(newest, &online);
        prepared = prepare(newest, wait);
        return_to_all(newest, online);
    }
    preparation.depth++;
}

void
sn_rcu_after_fork(void)
{
    if (--preparation.depth > 0)
        return;
    sn_store_relaxed(&preparation.owner, 0);
    for (struct sn_rcu *rcu = sn_rcu_registry.newest; rcu; rcu = rcu->next) {
        pthread_mutex_unlock(&rcu->clients_lock.mutex);
        sn_lock(&rcu->lock);
        rcu->forks--;
        pthread_cond_signal(&rcu->wake);
        pthread_cond_broadcast(&rcu->done);
        sn_unlock(&rcu->lock);
    }
    pthread_mutex_unlock(&sn_rcu_registry.lock);
    pthread_mutex_unlock(&preparation.lock);
}

void
sn_rcu_begin_child(void)
{
    /* A lock that the forking thread does not hold itself may have been another's. */
    bool prepared = is_preparing();
    for (struct sn_rcu *rcu = sn_rcu_registry.newest; rcu; rcu = rcu->next) {
        sn_lock_init(&rcu->lock, SN_RANK_RCU);
        sn_rcu_init_conditions(rcu);
        rcu->dead = true;
        rcu->joined = joined_to == rcu;
        rcu->clients = NULL; /* nobody asks them any more, and they end without being removed */
        rcu->woken = NULL;
        rcu->last = NULL;
        sn_store_relaxed(&rcu->started_ns, 0);
        if (!prepared) {
            sn_lock_init(&rcu->clients_lock, SN_RANK_CLIENTS);
            rcu->forks = 0;
        }
    }
    if (!prepared) {
        pthread_mutex_init(&sn_rcu_registry.lock, NULL);
        pthread_mutex_init(&preparation.lock, NULL);
        sn_store_relaxed(&preparation.owner, 0);
        preparation.depth = 0;
    }
}
