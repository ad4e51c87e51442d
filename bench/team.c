/* SPDX-License-Identifier: MIT */
/*
 * team.c - threads that live through a whole benchmark and run one function at a time; see bench.h.
 */
#include "bench.h"
#include "section.h"

#include <stdlib.h>
#include <string.h>

struct team {
    /* constant */
    unsigned members;
    bool own_threads;
    struct member {
        struct team *team;
        unsigned number;
        pthread_t thread;
    } * member;
    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t round;    /* counts the runs; a member works once per round */
    unsigned finished; /* members done with this round */
    bool stop;
    void (*fn)(void *, unsigned);
    void *arg;
};

/* Waits for the round after `seen`; false when the team ends. */
static bool
await_round(struct team *team, uint64_t seen)
{
    section_offline();
    pthread_mutex_lock(&team->lock);
    while (team->round == seen && !team->stop)
        pthread_cond_wait(&team->changed, &team->lock);
    bool go_on = !team->stop;
    pthread_mutex_unlock(&team->lock);
    section_online();
    return go_on;
}

static void
report_finished(struct team *team)
{
    section_offline();
    pthread_mutex_lock(&team->lock);
    team->finished++;
    pthread_cond_broadcast(&team->changed);
    pthread_mutex_unlock(&team->lock);
    section_online();
}

static void *
member_main(void *arg)
{
    struct member *self = arg;
    struct team *team = self->team;
    rcu_register_thread();
    for (uint64_t seen = 0; await_round(team, seen); seen++) {
        team->fn(team->arg, self->number);
        report_finished(team);
    }
    rcu_unregister_thread();
    return NULL;
}

struct team *
team_start(unsigned members, bool own_threads)
{
    struct team *team = calloc(1, sizeof(*team));
    struct member *member = calloc(members, sizeof(*member));
    if (!team || !member)
        bench_fatal("no memory for %u threads", members);
    *team = (struct team){
        .members = members, .own_threads = own_threads || members > 1, .member = member};
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->changed, NULL);
    for (unsigned i = 0; team->own_threads && i < members; i++) {
        member[i] = (struct member){.team = team, .number = i};
        int error = pthread_create(&member[i].thread, NULL, member_main, &member[i]);
        if (error)
            bench_fatal("thread %u of %u: %s", i + 1, members, strerror(error));
    }
    return team;
}

void
team_begin(struct team *team, void (*fn)(void *arg, unsigned member), void *arg)
{
    pthread_mutex_lock(&team->lock);
    team->fn = fn;
    team->arg = arg;
    team->finished = 0;
    team->round++;
    pthread_cond_broadcast(&team->changed);
    pthread_mutex_unlock(&team->lock);
}

void
team_wait(struct team *team)
{
    section_offline();
    pthread_mutex_lock(&team->lock);
    while (team->finished < team->members)
        pthread_cond_wait(&team->changed, &team->lock);
    pthread_mutex_unlock(&team->lock);
    section_online();
}

void
team_run(struct team *team, void (*fn)(void *arg, unsigned member), void *arg)
{
    if (!team->own_threads) {
        fn(arg, 0);
        return;
    }
    team_begin(team, fn, arg);
    team_wait(team);
}

void
team_stop(struct team *team)
{
    if (team->own_threads) {
        section_offline();
        pthread_mutex_lock(&team->lock);
        team->stop = true;
        pthread_cond_broadcast(&team->changed);
        pthread_mutex_unlock(&team->lock);
        for (unsigned i = 0; i < team->members; i++)
            pthread_join(team->member[i].thread, NULL);
        section_online();
    }
    pthread_cond_destroy(&team->changed);
    pthread_mutex_destroy(&team->lock);
    free(team->member);
    free(team);
}
