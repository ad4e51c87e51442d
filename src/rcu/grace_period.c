/* SPDX-License-Identifier: MIT */
/* grace_period.c - see rcu/grace_period.h. */
#include "rcu/grace_period.h"

#include "base/histogram.h"
#include "base/hooks.h"
#include "base/probes.h"
#include "os/osmem.h"

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

void
sn_gp_add_locked(struct sn_rcu *rcu, struct sn_rcu_client *client)
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
        sn_gp_add_locked(rcu, woken);
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
    /* Orders the start of this GP against ticket requests: one that comes before it gets this
     * number at most, and is served by this GP; one that comes later gets a later number (all under
     * the lock). */
    sn_lock(&rcu->lock);
    uint64_t number = sn_load_relaxed(&rcu->started) + 1;
    sn_store_relaxed(&rcu->started, number);
    sn_unlock(&rcu->lock);

    sn_hook(SN_HOOK_GP_START, NULL);
    rcu->flavor->update_synchronize_rcu();
    gp_annotate_end(rcu);
    sn_hook(SN_HOOK_GP_END, NULL);

    uint64_t took_ns = sn_os_now_ns() - begin;
    sn_histogram_add(&rcu->durations, took_ns);
    sn_probe(1, grace_period, took_ns);
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
 * for them; a child that found them taken could never register a thread or wait for a GP. Lets the
 * flavour's lock go while it waits.
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
void *
sn_gp_thread(void *argument)
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
