/* SPDX-License-Identifier: MIT */
/* rcu.c - see rcu.h. */
#include "rcu/rcu.h"

#include "base/histogram.h"
#include "base/hooks.h"
#include "os/osmem.h"

/* All flavours in use, newest first. The list is a handful long and only grows; a forked child
 * keeps its parent's entries, marked dead. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sn_rcu *registry; /* changed under the lock; walked without it */

_Thread_local unsigned sn_rcu_walks;

static void
init_conditions(struct sn_rcu *rcu)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&rcu->wake, &attributes);
    pthread_cond_init(&rcu->done, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void
gp_annotate_end(const struct sn_rcu *rcu)
{
#if SN_TSAN
    extern void __tsan_acquire(void *);
    extern void __tsan_release(void *);
    /* liburcu's barriers are invisible to TSan: sections that ended before the GP happened before
     * what follows, and sections that begin later see it. Readers annotate their side. */
    __tsan_acquire((void *)(uintptr_t)rcu->flavor);
    __tsan_release((void *)(uintptr_t)rcu->flavor);
#else
    (void)rcu;
#endif
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void
insert_locked(struct sn_rcu *rcu, struct sn_rcu_client *client)
{
    client->next = rcu->clients;
    rcu->clients = client;
    if (!rcu->last)
        rcu->last = client;
}

static void
take_woken_locked(struct sn_rcu *rcu)
{
    sn_lock(&rcu->lock);
    struct sn_rcu_client *woken = rcu->woken;
    rcu->woken = NULL;
    sn_unlock(&rcu->lock);
    for (; woken; woken = woken->next_woken)
        insert_locked(rcu, woken);
}

static bool
gather_all(struct sn_rcu *rcu)
{
    bool any = false;
    sn_lock(&rcu->clients_lock);
    take_woken_locked(rcu);
    for (struct sn_rcu_client *c = rcu->clients; c; c = c->next) {
        c->due_ns = 0;
        if (c->behind)
            continue;
        c->round = rcu->cycle_begun; /* which nobody else writes */
        /* Acquire: what it was signalled for is seen now; else the mark stands for a round
         * more. */
        (void)sn_swap_acq_rel(&c->signalled, 0);
        any |= c->gather(c);
    }
    sn_unlock(&rcu->clients_lock);
    return any;
}

/* A piece of what each client has gathered. True: there is more, and all who wait for a round wait
 * for that: no fork, and nobody for the limbo of another client. */
static bool
reclaim_some(struct sn_rcu *rcu)
{
    uint32_t patient = 0;
    sn_lock(&rcu->clients_lock);
    for (struct sn_rcu_client *c = rcu->clients; c; c = c->next)
        c->behind = c->reclaim(c);
    sn_lock(&rcu->lock);
    rcu->behind = false;
    for (const struct sn_rcu_client *c = rcu->clients; c; c = c->next) {
        rcu->behind |= c->behind;
        patient += c->behind ? c->waiters : 0;
    }
    bool wanted = rcu->forks > 0 || rcu->waiters > patient;
    sn_unlock(&rcu->lock);
    sn_unlock(&rcu->clients_lock);
    return rcu->behind && !wanted;
}

/* Whether somebody waits for this thread: for a grace period, or to fork. */
static bool
is_wanted(struct sn_rcu *rcu)
{
    sn_lock(&rcu->lock);
    bool wanted =
        rcu->urgent || rcu->forks > 0 || rcu->requested > sn_load_relaxed(&rcu->completed);
    sn_unlock(&rcu->lock);
    return wanted;
}

/* The first client of the list goes to its end. */
static void
rotate_locked(struct sn_rcu *rcu)
{
    struct sn_rcu_client *first = rcu->clients;
    rcu->last->next = first;
    rcu->last = first;
    rcu->clients = first->next;
    first->next = NULL;
}

/* One bounded piece of each client's work, as far as nobody waits for us; the next call goes on
 * with the client behind. */
static uint64_t
housekeep_some(struct sn_rcu *rcu)
{
    uint64_t due = SN_NEVER;
    uint64_t now = sn_os_now_ns();
    sn_lock(&rcu->clients_lock);
    const struct sn_rcu_client *end = rcu->last;
    bool all = end == NULL, wanted = false;
    while (!all && !wanted) {
        struct sn_rcu_client *client = rcu->clients;
        uint64_t next = client->housekeep(client, now);
        client->due_ns = client->behind ? now : next;
        due = sn_min(due, client->due_ns);
        rotate_locked(rcu);
        all = client == end;
        wanted = !all && is_wanted(rcu);
    }
    sn_unlock(&rcu->clients_lock);
    return all ? due : now;
}

/* Piece by piece until nothing is left to be done at once, or something else is: a grace period, or
 * to gather at until_ns. */
static uint64_t
keep_house(struct sn_rcu *rcu, uint64_t until_ns)
{
    uint64_t due, now;
    do {
        due = housekeep_some(rcu);
        now = sn_os_now_ns();
    } while (due <= now && now < until_ns && !is_wanted(rcu));
    return sn_min(due, until_ns);
}

/* Those that stay awake stay; who was woken meanwhile is in the other list. */
static void
drop_sleepers_locked(struct sn_rcu *rcu)
{
    struct sn_rcu_client **link = &rcu->clients;
    rcu->last = NULL;
    sn_lock(&rcu->lock);
    for (struct sn_rcu_client *c = *link; c; c = c->next) {
        bool woken = c->due_ns == SN_NEVER && !sn_load_relaxed(&c->asleep);
        if (woken || !c->keep)
            continue;
        sn_store_relaxed(&c->asleep, 0);
        *link = c;
        link = &c->next;
        rcu->last = c;
    }
    *link = NULL;
    sn_unlock(&rcu->lock);
}

/*
 * Clients that wait for nothing go to sleep: they say so first, and look once more then. Whoever
 * makes work stores that first and looks whether the client sleeps then; the membarrier stands for
 * the fence on their side, as in prepare_deep_sleep.
 */
static void
let_sleep(struct sn_rcu *rcu)
{
    bool any = false;
    sn_lock(&rcu->clients_lock);
    for (struct sn_rcu_client *c = rcu->clients; c; c = c->next) {
        c->keep = c->due_ns != SN_NEVER;
        any |= !c->keep;
        if (!c->keep)
            sn_store_relaxed(&c->asleep, 1);
    }
    bool known = any && sn_os_membarrier();
    for (struct sn_rcu_client *c = rcu->clients; any && c; c = c->next)
        c->keep = c->keep || !known || sn_load_relaxed(&c->signalled) || c->is_active(c);
    if (any)
        drop_sleepers_locked(rcu);
    sn_unlock(&rcu->clients_lock);
}

static bool
anything_is_active(struct sn_rcu *rcu)
{
    sn_lock(&rcu->lock);
    bool any = rcu->woken != NULL;
    sn_unlock(&rcu->lock);
    sn_lock(&rcu->clients_lock);
    for (struct sn_rcu_client *c = rcu->clients; c && !any; c = c->next)
        any = sn_load_relaxed(&c->signalled) || c->is_active(c);
    sn_unlock(&rcu->clients_lock);
    return any;
}

static void
run_grace_period(struct sn_rcu *rcu)
{
    uint64_t begin = sn_os_now_ns();
    sn_store_relaxed(&rcu->started_ns, begin);
    /* Orders the start of this GP against ticket requests: a request that does not see it gets
     * this number + 1 or later (both under the lock). */
    sn_lock(&rcu->lock);
    uint64_t number = sn_load_relaxed(&rcu->started) + 1;
    sn_store_relaxed(&rcu->started, number);
    sn_unlock(&rcu->lock);

    sn_hook(SN_HOOK_GP_START, NULL);
    rcu->flavor->update_synchronize_rcu();
    gp_annotate_end(rcu);
    sn_hook(SN_HOOK_GP_END, NULL);

    sn_histogram_add(&rcu->durations, sn_os_now_ns() - begin);
    sn_store_relaxed(&rcu->started_ns, 0);
    sn_lock(&rcu->lock);
    /* Release: orders the GP before whoever sees its number; pairs with sn_rcu_is_done. Without
     * it a mover could copy what a section that the GP waited for still wrote. */
    sn_store_release(&rcu->completed, number);
    pthread_cond_broadcast(&rcu->done);
    sn_unlock(&rcu->lock);
}

/*
 * A fork is near. In a GP this thread would hold locks of liburcu, and only bp has hooks that wait
 * for them; a child that found them taken could never register a thread or wait for a GP. Under the
 * lock.
 */
static void
let_forks_pass(struct sn_rcu *rcu)
{
    rcu->aside = true;
    pthread_cond_broadcast(&rcu->done);
    while (rcu->forks > 0)
        sn_wait(&rcu->wake, &rcu->lock);
    rcu->aside = false;
}

/* Sleeps until due_ns or until there is work. Result: whether a GP is asked for by ticket. */
static bool
sleep_until(struct sn_rcu *rcu, uint64_t due_ns)
{
    bool due = false;
    sn_lock(&rcu->lock);
    while (rcu->forks > 0 ||
           (rcu->requested <= sn_load_relaxed(&rcu->completed) && !rcu->urgent && !due)) {
        if (rcu->forks > 0) {
            let_forks_pass(rcu);
        } else if (due_ns == SN_NEVER) {
            sn_wait(&rcu->wake, &rcu->lock);
        } else {
            struct timespec until = sn_os_timespec(due_ns);
            due = !sn_wait_until(&rcu->wake, &rcu->lock, &until);
        }
    }
    rcu->urgent = false;
    rcu->cycle_begun++;
    bool asked = rcu->requested > sn_load_relaxed(&rcu->completed);
    sn_store_relaxed(&rcu->deep_sleep, 0);
    sn_unlock(&rcu->lock);
    return asked;
}

/*
 * Before sleeping longer than a tick: announce it, then look once more. Whoever makes work stores
 * that first and looks at deep_sleep then; the membarrier stands for the fence on their side, so
 * that either they see the announcement or we see their work.
 */
static uint64_t
prepare_deep_sleep(struct sn_rcu *rcu, uint64_t due_ns)
{
    sn_store_relaxed(&rcu->deep_sleep, 1);
    if (sn_os_membarrier() && !anything_is_active(rcu))
        return due_ns;
    sn_store_relaxed(&rcu->deep_sleep, 0);
    return sn_min(due_ns, sn_os_now_ns() + SN_HOUSEKEEPING_NS);
}

static void
end_cycle(struct sn_rcu *rcu)
{
    sn_lock(&rcu->clients_lock);
    sn_lock(&rcu->lock);
    for (struct sn_rcu_client *c = rcu->clients; c; c = c->next)
        c->round_over = c->behind ? c->round_over : c->round;
    rcu->cycle_over = rcu->cycle_begun;
    pthread_cond_broadcast(&rcu->done);
    sn_unlock(&rcu->lock);
    sn_unlock(&rcu->clients_lock);
}

/* It opens no section, and is not registered: who waits for readers need not be one. A thread of a
 * forked child may get the stack of this one, and with it what the flavour's list of readers held
 * there, which only bp's hooks clear: two entries in one place make every GP last for ever. */
static void *
gp_thread(void *argument)
{
    struct sn_rcu *rcu = argument;
    uint64_t due = SN_NEVER;
    for (;;) {
        bool asked = sleep_until(rcu, due);
        bool gathered = gather_all(rcu);
        if (asked || gathered)
            run_grace_period(rcu);
        while ((gathered || rcu->behind) && reclaim_some(rcu))
            ;
        end_cycle(rcu);
        due = keep_house(rcu, rcu->behind ? 0
                              : gathered  ? sn_os_now_ns() + SN_GP_GATHER_NS
                                          : SN_NEVER);
        let_sleep(rcu);
        if (due > sn_os_now_ns() + SN_HOUSEKEEPING_NS)
            due = prepare_deep_sleep(rcu, due);
    }
    return NULL;
}

/* ---- fork ------------------------------------------------------------------------------------ */

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
    return sn_load_acquire(&registry);
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
    pthread_mutex_lock(&registry_lock);
    if (registry != newest) {
        pthread_mutex_unlock(&registry_lock);
        pthread_mutex_unlock(&preparation.lock);
        return false;
    }
    for (struct sn_rcu *rcu = registry; rcu; rcu = rcu->next)
        put_aside(rcu, wait);
    for (struct sn_rcu *rcu = registry; rcu; rcu = rcu->next)
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
    for (struct sn_rcu *rcu = registry; rcu; rcu = rcu->next) {
        pthread_mutex_unlock(&rcu->clients_lock.mutex);
        sn_lock(&rcu->lock);
        rcu->forks--;
        pthread_cond_signal(&rcu->wake);
        pthread_cond_broadcast(&rcu->done);
        sn_unlock(&rcu->lock);
    }
    pthread_mutex_unlock(&registry_lock);
    pthread_mutex_unlock(&preparation.lock);
}

void
sn_rcu_begin_child(void)
{
    /* A lock that the forking thread does not hold itself may have been another's. */
    bool prepared = is_preparing();
    for (struct sn_rcu *rcu = registry; rcu; rcu = rcu->next) {
        sn_lock_init(&rcu->lock, SN_RANK_RCU);
        init_conditions(rcu);
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
        pthread_mutex_init(&registry_lock, NULL);
        pthread_mutex_init(&preparation.lock, NULL);
        sn_store_relaxed(&preparation.owner, 0);
        preparation.depth = 0;
    }
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
    init_conditions(rcu);
    int error = sn_os_start_thread(&rcu->thread, gp_thread, rcu, "sinter-gp");
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
    pthread_mutex_lock(&registry_lock);
    struct sn_rcu *rcu = registry;
    while (rcu && (rcu->flavor != flavor || rcu->dead))
        rcu = rcu->next;
    if (!rcu) {
        rcu = start(flavor);
        if (rcu) {
            rcu->next = registry;
            sn_store_release(&registry, rcu);
        }
    }
    pthread_mutex_unlock(&registry_lock);
    return rcu;
}

void
sn_rcu_add_client(struct sn_rcu *rcu, struct sn_rcu_client *client)
{
    sn_lock(&rcu->clients_lock);
    insert_locked(rcu, client);
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
