/* SPDX-License-Identifier: MIT */
/*
 * threads.c - threads and read-side critical sections. Four threads share 10,000 account objects:
 * two count deposits in them, two read, and meanwhile the store compacts again and again, so that
 * the accounts move under all of them. In the end not one deposit is missing.
 *
 * What to take from it: every thread registers; an address lives in a section; readers use
 * handle_deref, writers handle_deref_mut; what is shared between writers of one object (here a
 * counter) is the application's to serialise (here by atomic addition).
 */
#include <urcu.h>

#include <sinter/handle.h>

#include "expect.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ACCOUNTS  10000u
#define NEIGHBORS 7 /* objects beside each account that go away, so that the accounts lie sparse */
#define DEPOSITS  2000000u
#define ROUNDS    20 /* compactions; each scatters new neighbours first */

struct account {
    uint64_t number;
    uint64_t deposits; /* relaxed atomics */
    char history[80];
};

static handle_store *store;
static handle_t accounts[ACCOUNTS];
static bool writers_done;

/** xorshift: a thread's random numbers. */
static uint32_t
next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void *
deposit(void *seed)
{
    uint32_t state = (uint32_t)(uintptr_t)seed;
    rcu_register_thread();
    for (uint32_t i = 0; i < DEPOSITS; i++) {
        rcu_read_lock();
        struct account *account = handle_deref_mut(store, accounts[next_random(&state) % ACCOUNTS]);
        if (expect(account != NULL))
            __atomic_fetch_add(&account->deposits, 1, __ATOMIC_RELAXED);
        rcu_read_unlock();
    }
    rcu_unregister_thread();
    return NULL;
}

/** Deposits never become fewer, whether an account moves or not. */
static void *
audit(void *seed)
{
    static _Thread_local uint64_t seen[ACCOUNTS];
    uint32_t state = (uint32_t)(uintptr_t)seed;
    rcu_register_thread();
    while (!__atomic_load_n(&writers_done, __ATOMIC_ACQUIRE)) {
        uint32_t i = next_random(&state) % ACCOUNTS;
        rcu_read_lock();
        const struct account *account = handle_deref(store, accounts[i]);
        if (expect(account != NULL) && expect(account->number == i)) {
            uint64_t now = __atomic_load_n(&account->deposits, __ATOMIC_RELAXED);
            expect(now >= seen[i]);
            seen[i] = now;
        }
        rcu_read_unlock();
    }
    rcu_unregister_thread();
    return NULL;
}

/** An account among neighbours. */
static void
open_account(uint32_t i, handle_t *neighbours)
{
    void *object;
    rcu_read_lock();
    accounts[i] = handle_alloc_object(store, sizeof(struct account), HANDLE_ZERO, &object);
    if (expect(object != NULL))
        ((struct account *)object)->number = i;
    rcu_read_unlock();
    for (int j = 0; j < NEIGHBORS; j++)
        neighbours[i * NEIGHBORS + j] = handle_alloc(store, sizeof(struct account));
}

static void
open_accounts(void)
{
    handle_t *neighbours = calloc(ACCOUNTS * NEIGHBORS, sizeof(*neighbours));
    if (!expect(neighbours != NULL))
        exit(expect_status());
    for (uint32_t i = 0; i < ACCOUNTS; i++)
        open_account(i, neighbours);
    for (uint32_t i = 0; i < ACCOUNTS * NEIGHBORS; i++)
        expect(handle_free(store, neighbours[i]) == 0);
    free(neighbours);
}

/** Makes the spans sparse once more: objects come, and most of them go again. */
static void
scatter(handle_t *filler, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        handle_free(store, filler[i]); /* of the round before; -ENOENT for HANDLE_NULL */
    for (uint32_t i = 0; i < count; i++)
        filler[i] = handle_alloc(store, sizeof(struct account));
    for (uint32_t i = 0; i < count; i++) {
        if (i % 8)
            expect(handle_free(store, filler[i]) == 0);
    }
}

/** Compacts while the others work. Gives the number of objects moved. */
static uint64_t
compact_meanwhile(void)
{
    static handle_t filler[8 * ACCOUNTS];
    uint64_t moved = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
        expect(handle_store_compact(store, &report) == 0);
        moved += report.moved_objects;
        scatter(filler, 8 * ACCOUNTS);
    }
    return moved;
}

static uint64_t
sum_deposits(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        rcu_read_lock();
        const struct account *account = handle_deref(store, accounts[i]);
        if (expect(account != NULL))
            sum += account->deposits;
        rcu_read_unlock();
    }
    return sum;
}

int
main(void)
{
    pthread_t threads[4];
    void *(*const work[4])(void *) = {deposit, deposit, audit, audit};
    rcu_register_thread();
    store = handle_store_create(NULL);
    if (!store) {
        perror("handle_store_create");
        return 1;
    }
    open_accounts();
    for (uintptr_t i = 0; i < 4; i++) {
        if (!expect(pthread_create(&threads[i], NULL, work[i], (void *)(i + 1)) == 0))
            return expect_status();
    }
    uint64_t moved = compact_meanwhile();
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    __atomic_store_n(&writers_done, true, __ATOMIC_RELEASE);
    pthread_join(threads[2], NULL);
    pthread_join(threads[3], NULL);
    printf("%" PRIu64 " deposits, %" PRIu64 " objects moved meanwhile\n", sum_deposits(), moved);
    expect(sum_deposits() == 2 * (uint64_t)DEPOSITS);
    expect(moved > 0);
    expect(handle_store_check(store, expect_violation, NULL) == 0);
    expect(handle_store_destroy(store) == 0);
    rcu_unregister_thread();
    return expect_status();
}
