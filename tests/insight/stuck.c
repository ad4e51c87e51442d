/* SPDX-License-Identifier: MIT */
/*
 * stuck.c - a program whose limbo grows since one thread does not leave its section (under QSBR: is
 * not quiescent), for sinter readers: stuck [BYTES of its arena]. Of its four threads one stands in
 * slow_report, which was entered before the grace period that is under way; the others are outside.
 * It says "ready", and ends when its input does.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "flavour.h"

static handle_store *store;
static handle_t handles[100];
static pthread_barrier_t barrier;

static void
fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Not a tail call: the caller stays on the stack. */
__attribute__((noinline)) int
slow_report(int seconds)
{
    rcu_read_lock();
    pthread_barrier_wait(&barrier);
    while (sleep((unsigned)seconds) > 0)
        continue;
    rcu_read_unlock();
    return seconds + 1;
}

static void *
be_stuck(void *nothing)
{
    rcu_register_thread();
    if (slow_report(3600) == 0)
        return &barrier;
    rcu_unregister_thread();
    return nothing;
}

static void *
be_outside(void *nothing)
{
    rcu_register_thread();
    rcu_read_lock();
    rcu_read_unlock();
    rcu_thread_offline();
    pthread_barrier_wait(&barrier);
    sleep(3600);
    return nothing;
}

int
main(int argc, char **argv)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    struct handle_stats stats = HANDLE_STATS_INIT;
    pthread_t threads[3];
    char line[8];
    options.name = "stuck";
    options.arena_bytes = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    rcu_register_thread();
    store = handle_store_create(&options);
    if (!store)
        fail("handle_store_create");
    for (unsigned i = 0; i < 100; i++)
        handles[i] = handle_alloc(store, 20000);
    pthread_barrier_init(&barrier, NULL, 4);
    pthread_create(&threads[0], NULL, be_outside, NULL);
    pthread_create(&threads[1], NULL, be_stuck, NULL);
    pthread_create(&threads[2], NULL, be_outside, NULL);
    rcu_thread_offline();
    pthread_barrier_wait(&barrier);
    rcu_thread_online();
    for (unsigned i = 0; i < 100; i++)
        handle_free(store, handles[i]);
    rcu_thread_offline();
    do {
        usleep(1000);
        handle_store_stats(store, &stats);
    } while (stats.grace_period_age_ns == 0);
    usleep(100000); /* most likely its phase has turned; readers.sh looks until it has */
    printf("ready\n");
    fflush(stdout);
    return read(STDIN_FILENO, line, sizeof(line)) < 0;
}
