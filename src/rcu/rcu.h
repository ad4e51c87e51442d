/* SPDX-License-Identifier: MIT */
/*
 * rcu.h - a flavour of RCU: sections, grace periods (GP), and what is asked of the flavour's one
 * grace-period thread (grace_period.h), shared by all stores of the process. Outside of this folder
 * a flavour is only asked whether the thread is in a section, and drivers of the mover register or
 * go online with it (defrag/defrag.c).
 *
 * Why a thread of our own and not call_rcu: liburcu 0.13's call_rcu worker polls every 10 ms and
 * ends the process when it cannot start. Ours sleeps until somebody needs a GP, gathers what all
 * stores have in limbo, waits for one GP, and reclaims it.
 *
 * Only the members of struct rcu_flavor_struct that liburcu 0.13 has are read; the polling members
 * came later without a change of soname.
 */
#ifndef SN_RCU_H
#define SN_RCU_H

#include <stdbool.h> /* for urcu/flavor.h: its versions since 0.14 use bool and do not include it */
#include <urcu/flavor.h>

#include "base/atomic.h"
#include "base/lock.h"
#include <sinter/handle.h>

#define SN_NEVER UINT64_MAX

/**
 * What a store offers the grace-period thread. One that has nothing to do is asleep, and not even
 * looked at, however many there are. All four are called by that thread only, under the
 * clients' lock and no other.
 */
struct sn_rcu_client {
    struct sn_rcu_client *next;
    /** Takes over everything retired so far. True: there is something to reclaim after a GP. */
    bool (*gather)(struct sn_rcu_client *client);
    /** A GP has passed since gather: makes what it took over reusable, no more at once than takes
     * some milliseconds, since others wait meanwhile. True: there is more; until there is not,
     * gather is not called. */
    bool (*reclaim)(struct sn_rcu_client *client);
    /** Idle caches, pages whose purge delay is over; no more at once than takes about a
     * millisecond, since grace periods wait meanwhile. Result: when to call again: now_ns or
     * before, there is more to be done; SN_NEVER: only after something happens that signals. */
    uint64_t (*housekeep)(struct sn_rcu_client *client, uint64_t now_ns);
    /** Whether anything was done since the last housekeep, asked after a membarrier. */
    bool (*is_active)(struct sn_rcu_client *client);
    /* the thread's */
    uint64_t due_ns; /* housekeep's answer in this round; 0: it was not asked. Behind: now */
    uint64_t round;  /* in which it was asked to gather last */
    bool behind;     /* not all that it gathered then is reclaimed */
    bool keep;       /* it does not go to sleep */
    /* In no list: whoever makes work for it wakes it, and so puts it among the woken. Atomic; 1 is
     * stored by the thread, 0 by anybody under the flavour's lock. */
    uint32_t asleep;
    uint32_t signalled; /* atomic; since the round began: it does not go to sleep */
    /* guarded by the flavour's lock */
    struct sn_rcu_client *next_woken;
    uint64_t round_over; /* what was retired before that round is reclaimed */
    uint32_t waiters;    /* for such a round */
};

struct sn_rcu {
    /* immutable after start */
    const struct rcu_flavor_struct *flavor;
    bool sees_sections; /* read_ongoing() says whether a section is open; QSBR: whether online */
    pthread_t thread;
    struct sn_rcu *next; /* see sn_rcu_registry */

    struct sn_lock clients_lock;
    struct sn_rcu_client *clients; /* guarded by clients_lock, as is the end of the list */
    struct sn_rcu_client *last;

    /* guarded by lock */
    struct sn_lock lock;
    struct sn_rcu_client *woken; /* they go back into the list of clients */
    pthread_cond_t wake;         /* to the thread: there is work */
    pthread_cond_t done;         /* a GP, a fork is over; the thread is aside; one has parted */
    uint64_t requested;          /* highest ticket handed out */
    uint64_t cycle_begun, cycle_over; /* rounds of gather, GP, reclaim */
    uint32_t waiters;                 /* for one of them */
    bool urgent;
    uint32_t forks;  /* being prepared or under way: no round begins, nobody joins */
    uint32_t joined; /* threads between sn_rcu_join and sn_rcu_part */
    bool aside;      /* the thread waits for their end */

    /* written by the thread, read by anybody */
    uint64_t started;    /* GPs begun */
    uint64_t completed;  /* GPs over: ticket t is served when completed >= t */
    uint64_t started_ns; /* begin of the GP under way; 0: none */
    uint32_t deep_sleep; /* no tick wakes the thread: whoever makes work must signal */
    struct handle_histogram durations;
    bool behind; /* the thread's: a client is, which the next round goes on with */
    bool dead;   /* this is a forked child: there is no thread */
};

/** All flavours in use, newest first. The list is a handful long and only grows; a forked child
 * keeps its parent's entries, marked dead. */
struct sn_rcu_registry {
    pthread_mutex_t lock;
    struct sn_rcu *newest; /* changed under the lock; walked without it */
};
extern struct sn_rcu_registry sn_rcu_registry;

/** Of a new instance, and in a forked child. */
void sn_rcu_init_conditions(struct sn_rcu *rcu);

/** The flavour's instance; starts the thread at the first call. The caller is outside a section,
 * and offline. NULL, errno EAGAIN or ENOMEM. */
struct sn_rcu *sn_rcu_get(const struct rcu_flavor_struct *flavor);

void sn_rcu_add_client(struct sn_rcu *rcu, struct sn_rcu_client *client);
/** Afterwards the thread is not inside the client and will not be again. Caller is offline. */
void sn_rcu_remove_client(struct sn_rcu *rcu, struct sn_rcu_client *client);

/** A ticket for a GP that starts after this call. Does not wait. */
uint64_t sn_rcu_request(struct sn_rcu *rcu);
/** Whether it is over; acquire: what happened before the GP's end is seen. */
bool sn_rcu_is_done(const struct sn_rcu *rcu, uint64_t ticket);
/** How many GPs have begun: one that begins later waits for a section that is open now. */
static inline uint64_t
sn_rcu_started(const struct sn_rcu *rcu)
{
    return sn_load_relaxed(&rcu->started);
}
/** Waits until the ticket's GP is over, at most until deadline_ns. False: the time came first. The
 * caller is offline and holds no lock. */
bool sn_rcu_wait(struct sn_rcu *rcu, uint64_t ticket, uint64_t deadline_ns);

/** Whether a grace period begins and ends, in a millisecond, while the calling thread stays in its
 * section: then the flavour does not know the thread. */
bool sn_rcu_ignores_section(struct sn_rcu *rcu);

/** Waits for one whole round of gather, GP and reclaim that begins after this call; what this
 * client had in limbo at the call is reclaimed then (NULL: that of those awake, or begun with). The
 * caller is offline and holds no lock. */
void sn_rcu_wait_cycle(struct sn_rcu *rcu, struct sn_rcu_client *client);
/** The same, at most until deadline_ns. False: the time came first. */
bool
sn_rcu_wait_cycle_until(struct sn_rcu *rcu, struct sn_rcu_client *client, uint64_t deadline_ns);

/** There is limbo to reclaim soon (urgent: now). Cheap when the thread is awake anyway. */
void sn_rcu_signal(struct sn_rcu *rcu, bool urgent);
/** The same of one client, which may be asleep. */
void sn_rcu_signal_client(struct sn_rcu *rcu, struct sn_rcu_client *client, bool urgent);

/** Age of the GP under way, 0 when there is none. */
uint64_t sn_rcu_age_ns(const struct sn_rcu *rcu);

/** Walks that the calling thread has under way. Its visitors stand in a section, whether the
 * flavour shows it or not, and the walk keeps other walks waiting: so they wait for nothing, of
 * whichever store. */
extern _Thread_local unsigned sn_rcu_walks;

/**
 * For calls that wait: goes offline if the thread looks as if inside a section. False: it still is
 * (a real section: waiting would deadlock). QSBR shows no sections, only online readers.
 */
bool sn_rcu_leave(const struct rcu_flavor_struct *flavor, bool *was_online);
void sn_rcu_return(const struct rcu_flavor_struct *flavor, bool was_online);

static inline void
sn_rcu_read_lock(const struct sn_rcu *rcu)
{
    rcu->flavor->read_lock();
#if SN_TSAN
    extern void __tsan_acquire(void *);
    __tsan_acquire((void *)(uintptr_t)rcu->flavor);
#endif
}

static inline void
sn_rcu_read_unlock(const struct sn_rcu *rcu)
{
#if SN_TSAN
    extern void __tsan_release(void *);
    __tsan_release((void *)(uintptr_t)rcu->flavor);
#endif
    rcu->flavor->read_unlock();
}

#endif
