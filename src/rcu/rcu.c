/* SPDX-License-Identifier: MIT */
/* rcu.c - see rcu.h. */
#include "rcu/rcu.h"

#include "os/osmem.h"
#include "rcu/grace_period.h"

struct sn_rcu_registry sn_rcu_registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

_Thread_local unsigned sn_rcu_walks;

void
sn_rcu_init_conditions(struct sn_rcu *rcu)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&rcu->wake, &attributes);
    pthread_cond_init(&rcu->done, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

/* Outside a section, and offline: only under QSBR does going online look like one. */
static bool
sees_sections(const struct rcu_flavor_struct *flavor)
{
    flavor->thread_online();
    bool online_shows = flavor->read_ongoing();
    flavor->thread_offline();
    return !online_shows;
}

static struct sn_rcu *
start(const struct rcu_flavor_struct *flavor)
{
    struct sn_rcu *rcu = sn_os_zalloc(sizeof(*rcu));
    if (!rcu)
        return NULL;
    rcu->flavor = flavor;
    rcu->sees_sections = sees_sections(flavor);
    sn_lock_init(&rcu->clients_lock, SN_RANK_CLIENTS);
    sn_lock_init(&rcu->lock, SN_RANK_RCU);
    sn_rcu_init_conditions(rcu);
    int error = sn_os_start_thread(&rcu->thread, sn_gp_thread, rcu, "sinter-gp");
    if (error != 0) {
        sn_os_free(rcu);
        errno = error;
        return NULL;
    }
    pthread_detach(rcu->thread);
    return rcu;
}

struct sn_rcu *
sn_rcu_get(const struct rcu_flavor_struct *flavor)
{
    pthread_mutex_lock(&sn_rcu_registry.lock);
    struct sn_rcu *rcu = sn_rcu_registry.newest;
    while (rcu && (rcu->flavor != flavor || rcu->dead))
        rcu = rcu->next;
    if (!rcu) {
        rcu = start(flavor);
        if (rcu) {
            rcu->next = sn_rcu_registry.newest;
            sn_store_release(&sn_rcu_registry.newest, rcu);
        }
    }
    pthread_mutex_unlock(&sn_rcu_registry.lock);
    return rcu;
}

void
sn_rcu_add_client(struct sn_rcu *rcu, struct sn_rcu_client *client)
{
    sn_lock(&rcu->clients_lock);
    sn_gp_add_locked(rcu, client);
    sn_unlock(&rcu->clients_lock);
}

/* It is not woken any more, nor will be. */
static void
unwake_locked(struct sn_rcu *rcu, struct sn_rcu_client *client)
{
    sn_lock(&rcu->lock);
    sn_store_relaxed(&client->asleep, 0);
    struct sn_rcu_client **link = &rcu->woken;
    while (*link && *link != client)
        link = &(*link)->next_woken;
    if (*link)
        *link = client->next_woken;
    sn_unlock(&rcu->lock);
}

void
sn_rcu_remove_client(struct sn_rcu *rcu, struct sn_rcu_client *client)
{
    sn_lock(&rcu->clients_lock);
    unwake_locked(rcu, client);
    struct sn_rcu_client *before = NULL;
    struct sn_rcu_client **link = &rcu->clients;
    while (*link && *link != client) {
        before = *link;
        link = &before->next;
    }
    if (*link)
        *link = client->next;
    if (rcu->last == client)
        rcu->last = before;
    sn_unlock(&rcu->clients_lock);
}

/* ---- tickets --------------------------------------------------------------------------------- */

uint64_t
sn_rcu_request(struct sn_rcu *rcu)
{
    sn_lock(&rcu->lock);
    uint64_t ticket = sn_load_relaxed(&rcu->started) + 1;
    if (ticket > rcu->requested) {
        rcu->requested = ticket;
        pthread_cond_signal(&rcu->wake);
    }
    sn_unlock(&rcu->lock);
    return ticket;
}

bool
sn_rcu_is_done(const struct sn_rcu *rcu, uint64_t ticket)
{
    /* Acquire: pairs with the release in run_grace_period, see there. */
    return sn_load_acquire(&rcu->completed) >= ticket;
}

/* Sleeps until something is done, or until the time. False: it has come. */
static bool
await_done_locked(struct sn_rcu *rcu, uint64_t deadline_ns)
{
    struct timespec until = sn_os_timespec(deadline_ns);
    if (deadline_ns != SN_NEVER)
        return sn_wait_until(&rcu->done, &rcu->lock, &until);
    sn_wait(&rcu->done, &rcu->lock);
    return true;
}

bool
sn_rcu_wait(struct sn_rcu *rcu, uint64_t ticket, uint64_t deadline_ns)
{
    bool in_time = true;
    sn_lock(&rcu->lock);
    while (!sn_rcu_is_done(rcu, ticket) && in_time)
        in_time = await_done_locked(rcu, deadline_ns);
    sn_unlock(&rcu->lock);
    return sn_rcu_is_done(rcu, ticket);
}

bool
sn_rcu_ignores_section(struct sn_rcu *rcu)
{
    enum { MOMENT_NS = 1000000 };
    return !rcu->dead && sn_rcu_wait(rcu, sn_rcu_request(rcu), sn_os_now_ns() + MOMENT_NS);
}

/* Before a look whether somebody sleeps, after the caller's store of the work: see
 * prepare_deep_sleep. Where membarrier is missing the fence must be here. */
static inline void
order_work(void)
{
    if (sn_unlikely(!sn_os_membarrier_init()))
        sn_fence_seq_cst();
    else
        sn_fence_compiler();
}

/* Or keeps it from falling asleep before the next round. */
static void
wake_locked(struct sn_rcu *rcu, struct sn_rcu_client *client)
{
    /* Release: orders the work before it; pairs with the swap in gather_all. */
    sn_store_release(&client->signalled, 1);
    order_work();
    if (!sn_load_relaxed(&client->asleep))
        return;
    sn_store_relaxed(&client->asleep, 0);
    client->next_woken = rcu->woken;
    rcu->woken = client;
}

/* A round that is over: of the client, or of all. */
static uint64_t
round_over_locked(const struct sn_rcu *rcu, const struct sn_rcu_client *client)
{
    return client ? client->round_over : rcu->cycle_over;
}

bool
sn_rcu_wait_cycle_until(struct sn_rcu *rcu, struct sn_rcu_client *client, uint64_t deadline_ns)
{
    bool in_time = true;
    sn_lock(&rcu->lock);
    uint32_t *waiters = client ? &client->waiters : &(uint32_t){0};
    uint64_t wanted = rcu->cycle_begun + 1;
    ++*waiters, rcu->waiters++;
    while (round_over_locked(rcu, client) < wanted && in_time) {
        /* Each time: a round that had begun, but had not come to the client, may let it sleep. */
        if (client)
            wake_locked(rcu, client);
        rcu->urgent = true;
        pthread_cond_signal(&rcu->wake);
        in_time = await_done_locked(rcu, deadline_ns);
    }
    --*waiters, rcu->waiters--;
    bool over = round_over_locked(rcu, client) >= wanted;
    sn_unlock(&rcu->lock);
    return over;
}

void
sn_rcu_wait_cycle(struct sn_rcu *rcu, struct sn_rcu_client *client)
{
    (void)sn_rcu_wait_cycle_until(rcu, client, SN_NEVER);
}

void
sn_rcu_signal(struct sn_rcu *rcu, bool urgent)
{
    order_work();
    if (!urgent && !sn_load_relaxed(&rcu->deep_sleep))
        return;
    sn_lock(&rcu->lock);
    if (urgent || sn_load_relaxed(&rcu->deep_sleep)) {
        rcu->urgent = true;
        pthread_cond_signal(&rcu->wake);
    }
    sn_unlock(&rcu->lock);
}

void
sn_rcu_signal_client(struct sn_rcu *rcu, struct sn_rcu_client *client, bool urgent)
{
    /* Release: orders the work before it; pairs with the swap in gather_all. */
    sn_store_release(&client->signalled, 1);
    order_work();
    if (sn_unlikely(sn_load_relaxed(&client->asleep))) {
        sn_lock(&rcu->lock);
        wake_locked(rcu, client);
        sn_unlock(&rcu->lock);
    }
    sn_rcu_signal(rcu, urgent);
}

uint64_t
sn_rcu_age_ns(const struct sn_rcu *rcu)
{
    uint64_t begin = sn_load_relaxed(&rcu->started_ns);
    uint64_t now = sn_os_now_ns();
    return begin != 0 && now > begin ? now - begin : 0;
}

/* ---- calls that wait ------------------------------------------------------------------------- */

bool
sn_rcu_leave(const struct rcu_flavor_struct *flavor, bool *was_online)
{
    *was_online = false;
    if (sn_rcu_walks > 0)
        return false;
    if (!flavor->read_ongoing())
        return true;
#if SN_TSAN
    extern void __tsan_release(void *);
    __tsan_release((void *)(uintptr_t)flavor);
#endif
    flavor->thread_offline();
    if (flavor->read_ongoing())
        return false; /* memb, mb, bp: offline means nothing there, it is a section */
    *was_online = true;
    return true;
}

void
sn_rcu_return(const struct rcu_flavor_struct *flavor, bool was_online)
{
    if (was_online)
        flavor->thread_online();
}
