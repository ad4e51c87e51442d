/* SPDX-License-Identifier: MIT */
/*
 * test_rcu.c - a flavour's grace-period thread: tickets, rounds of gather, grace period and
 * reclaim, and the signal that must not be lost however deeply the thread sleeps. Compiled once per
 * flavour. The clients are the test's own; no store is made.
 */
#include "unit.h"

#include <semaphore.h>

#include "base/histogram.h"
#include "rcu/rcu_fork.h"

/* ---- a client -------------------------------------------------------------------------------- */

#define IN_PIECES  (SN_NEVER - 1)
#define FOR_WAITER (SN_NEVER - 2)
#define SIGNALLED  (SN_NEVER - 3)

struct client {
    struct sn_rcu_client link; /* first */
    struct sn_rcu *rcu;
    unsigned work;     /* atomic: retired, not yet gathered */
    unsigned gathered; /* the thread's */
    unsigned done;     /* atomic: reclaimed */
    unsigned gathers;  /* atomic */
    uint64_t gp_at_gather;
    unsigned pieces; /* atomic: of what was gathered, reclaimed so far */
    bool endless;    /* atomic: there are more, whatever is reclaimed */
    bool too_early;  /* atomic: reclaim without a grace period since gather */
    uint64_t due_ns; /* housekeep's answer, from now on; SN_NEVER; IN_PIECES, ... */
};

static bool
gather(struct sn_rcu_client *link)
{
    struct client *client = (struct client *)(void *)link;
    __atomic_fetch_add(&client->gathers, 1, __ATOMIC_RELAXED);
    client->gathered = __atomic_exchange_n(&client->work, 0, __ATOMIC_ACQ_REL);
    client->gp_at_gather = __atomic_load_n(&client->rcu->completed, __ATOMIC_RELAXED);
    return client->gathered > 0;
}

static bool
reclaim(struct sn_rcu_client *link)
{
    struct client *client = (struct client *)(void *)link;
    if (client->gathered > 0 &&
        __atomic_load_n(&client->rcu->completed, __ATOMIC_RELAXED) <= client->gp_at_gather)
        __atomic_store_n(&client->too_early, true, __ATOMIC_RELAXED);
    __atomic_fetch_add(&client->pieces, client->gathered > 0, __ATOMIC_RELAXED);
    if (client->gathered > 0 && __atomic_load_n(&client->endless, __ATOMIC_ACQUIRE))
        return true;
    __atomic_fetch_add(&client->done, client->gathered, __ATOMIC_RELEASE);
    client->gathered = 0;
    return false;
}

/* Work in pieces without end, so far; the 1000th asks for a grace period. */
static struct {
    unsigned pieces;    /* atomic */
    unsigned at_ticket; /* atomic: pieces when the grace period was over; 0: not yet */
    uint64_t ticket;
} piecework;

static uint64_t
housekeep_in_pieces(const struct client *client, uint64_t now_ns)
{
    unsigned piece = __atomic_add_fetch(&piecework.pieces, 1, __ATOMIC_RELAXED);
    if (piece == 1000)
        piecework.ticket = sn_rcu_request(client->rcu);
    if (piece > 1000 && sn_rcu_is_done(client->rcu, piecework.ticket)) {
        __atomic_store_n(&piecework.at_ticket, piece, __ATOMIC_RELEASE);
        return SN_NEVER;
    }
    return now_ns;
}

/* Nothing is left to be done, and meanwhile somebody waits for the next round. */
static unsigned keeping_house; /* atomic */

static uint64_t
housekeep_for_waiter(struct client *client)
{
    bool waits = false;
    __atomic_store_n(&client->due_ns, SN_NEVER, __ATOMIC_RELAXED);
    __atomic_store_n(&keeping_house, 1, __ATOMIC_RELEASE);
    while (!waits) {
        nap();
        sn_lock(&client->rcu->lock);
        waits = client->rcu->urgent;
        sn_unlock(&client->rcu->lock);
    }
    return SN_NEVER;
}

static uint64_t
housekeep(struct sn_rcu_client *link, uint64_t now_ns)
{
    struct client *client = (struct client *)(void *)link;
    uint64_t due = __atomic_load_n(&client->due_ns, __ATOMIC_RELAXED);
    if (due == IN_PIECES)
        return housekeep_in_pieces(client, now_ns);
    if (due == FOR_WAITER)
        return housekeep_for_waiter(client);
    if (due == SIGNALLED) { /* once: somebody does, whom it has not seen */
        __atomic_store_n(&client->due_ns, SN_NEVER, __ATOMIC_RELAXED);
        sn_rcu_signal_client(client->rcu, link, false);
        return SN_NEVER;
    }
    return due == SN_NEVER ? SN_NEVER : now_ns + due;
}

static bool
is_active(struct sn_rcu_client *link)
{
    struct client *client = (struct client *)(void *)link;
    return __atomic_load_n(&client->work, __ATOMIC_RELAXED) > 0;
}

/* Static: the thread may look at a client until it was removed, also after a test that failed. */
static struct client clients[3];

static struct client *
client_add(struct sn_rcu *rcu, unsigned index)
{
    struct client *client = &clients[index];
    *client = (struct client){
        .rcu = rcu,
        .due_ns = SN_NEVER,
        .link = {
            .gather = gather, .reclaim = reclaim, .housekeep = housekeep, .is_active = is_active}};
    sn_rcu_add_client(rcu, &client->link);
    return client;
}

static void
client_remove(struct client *client)
{
    wait_begin();
    sn_rcu_remove_client(client->rcu, &client->link);
    wait_end();
}

static int
remove_clients(void **state)
{
    (void)state;
    bool too_early = false;
    for (unsigned i = 0; i < 3; i++) {
        if (clients[i].rcu)
            client_remove(&clients[i]);
        too_early |= clients[i].too_early;
    }
    memset(clients, 0, sizeof(clients));
    return too_early ? -1 : 0;
}

static unsigned
done_by(const struct client *client)
{
    return __atomic_load_n(&client->done, __ATOMIC_ACQUIRE);
}

static struct sn_rcu *
get(void)
{
    struct sn_rcu *rcu = sn_rcu_get(&rcu_flavor);
    assert_non_null(rcu);
    return rcu;
}

static bool
wait_for(struct sn_rcu *rcu, uint64_t ticket)
{
    wait_begin();
    bool done = sn_rcu_wait(rcu, ticket, SN_NEVER);
    wait_end();
    return done;
}

static void
wait_cycle(struct client *client)
{
    wait_begin();
    sn_rcu_wait_cycle(client->rcu, &client->link);
    wait_end();
}

/* ---- a reader that stays in its section ------------------------------------------------------ */

struct reader {
    pthread_t thread;
    sem_t inside, go;
};

static void *
read_until_told(void *opaque)
{
    struct reader *reader = opaque;
    thread_enter();
    section_enter();
    sem_post(&reader->inside);
    sem_wait(&reader->go);
    section_leave();
    thread_leave();
    return NULL;
}

static void
reader_start(struct reader *reader)
{
    sem_init(&reader->inside, 0, 0);
    sem_init(&reader->go, 0, 0);
    assert_int_equal(pthread_create(&reader->thread, NULL, read_until_told, reader), 0);
    wait_begin();
    sem_wait(&reader->inside);
    wait_end();
}

static void
reader_end(struct reader *reader)
{
    sem_post(&reader->go);
    wait_begin();
    pthread_join(reader->thread, NULL);
    wait_end();
    sem_destroy(&reader->inside);
    sem_destroy(&reader->go);
}

/* ---- tickets --------------------------------------------------------------------------------- */

static void
test_one_instance_per_flavour(void **state)
{
    (void)state;
    assert_ptr_equal(get(), get());
}

/* A copy of the flavour is another flavour to the library: its thread is started anew. */
static void
test_thread_that_cannot_start(void **state)
{
    (void)state;
    static struct rcu_flavor_struct copy;
    memcpy(&copy, &rcu_flavor, sizeof(copy));
    fail_next(SN_INJECT_THREAD, 0, 1);
    errno = 0;
    assert_null(sn_rcu_get(&copy));
    assert_int_equal(errno, EAGAIN);
    fail_next(SN_INJECT_MALLOC, 0, 1);
    assert_null(sn_rcu_get(&copy));
    assert_int_equal(errno, ENOMEM);
    fail_none();
    struct sn_rcu *rcu = sn_rcu_get(&copy);
    assert_non_null(rcu);
    assert_ptr_not_equal(rcu, get());
    assert_true(wait_for(rcu, sn_rcu_request(rcu)));
}

static void
test_tickets(void **state)
{
    (void)state;
    struct sn_rcu *rcu = get();
    uint64_t before = 0;
    for (unsigned i = 0; i < 50; i++) {
        uint64_t ticket = sn_rcu_request(rcu);
        assert_true(ticket > before);
        assert_true(wait_for(rcu, ticket));
        assert_true(sn_rcu_is_done(rcu, ticket));
        assert_false(sn_rcu_is_done(rcu, ticket + 1));
        before = ticket;
    }
    assert_true(rcu->durations.count >= 50);
}

static void
test_ticket_waits_for_an_open_section(void **state)
{
    (void)state;
    struct sn_rcu *rcu = get();
    struct reader reader;
    reader_start(&reader);
    uint64_t ticket = sn_rcu_request(rcu);
    await(sn_rcu_age_ns(rcu) > 0);
    wait_begin();
    assert_false(sn_rcu_wait(rcu, ticket, sn_os_now_ns() + 20000000));
    wait_end();
    assert_false(sn_rcu_is_done(rcu, ticket));
    uint64_t age = sn_rcu_age_ns(rcu);
    assert_true(age >= 10000000); /* the statistics name the stuck reader */
    /* A ticket taken now needs a grace period that has not begun. */
    assert_true(sn_rcu_request(rcu) > ticket);
    reader_end(&reader);
    assert_true(wait_for(rcu, ticket));
    assert_true(wait_for(rcu, ticket + 1));
    await(sn_rcu_age_ns(rcu) == 0);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void
test_cycle_takes_what_was_there(void **state)
{
    (void)state;
    struct client *client = client_add(get(), 0);
    for (unsigned i = 1; i <= scaled(300); i++) {
        __atomic_fetch_add(&client->work, 1, __ATOMIC_RELEASE);
        wait_cycle(client);
        assert_int_equal(done_by(client), i);
    }
}

static void
test_reclaim_waits_for_sections(void **state)
{
    (void)state;
    struct client *client = client_add(get(), 0);
    struct reader reader;
    wait_cycle(client);
    reader_start(&reader);
    __atomic_fetch_add(&client->work, 1, __ATOMIC_RELEASE);
    sn_rcu_signal_client(client->rcu, &client->link, true);
    await(sn_rcu_age_ns(client->rcu) > 0);
    for (unsigned i = 0; i < 20; i++) {
        nap();
        assert_int_equal(done_by(client), 0);
    }
    reader_end(&reader);
    await(done_by(client) == 1);
}

/* Seen failing with a wait that only wakes who sleeps: the client fell asleep just then, and the
 * round went by without it. */
static void
test_round_looks_at_a_client_that_falls_asleep(void **state)
{
    (void)state;
    __atomic_store_n(&keeping_house, 0, __ATOMIC_RELAXED);
    struct client *client = client_add(get(), 0);
    __atomic_store_n(&client->due_ns, FOR_WAITER, __ATOMIC_RELAXED);
    sn_rcu_signal_client(client->rcu, &client->link, true);
    await(__atomic_load_n(&keeping_house, __ATOMIC_ACQUIRE));
    unsigned gathers = __atomic_load_n(&client->gathers, __ATOMIC_RELAXED);
    wait_cycle(client);
    assert_int_equal(__atomic_load_n(&client->gathers, __ATOMIC_RELAXED), gathers + 1);
}

static void *
wait_for_round(void *argument)
{
    struct client *client = argument;
    sn_rcu_wait_cycle(client->rcu, &client->link);
    return NULL;
}

static uint32_t
waiters_of(struct sn_rcu *rcu)
{
    sn_lock(&rcu->lock);
    uint32_t waiters = rcu->waiters;
    sn_unlock(&rcu->lock);
    return waiters;
}

static bool
has_begun(struct sn_rcu *rcu)
{
    sn_lock(&rcu->lock);
    bool begun = rcu->cycle_begun > rcu->cycle_over;
    sn_unlock(&rcu->lock);
    return begun;
}

/*
 * Takes the clients' lock when a round has begun, so that it gets no further. The thread wants the
 * lock after a round, too, to keep house: then it is let pass, and asked for another round.
 */
static void
lock_in_round(struct sn_rcu *rcu)
{
    enum { TRIES = 600, NAPS = 100 };
    for (unsigned tries = 0; tries < TRIES; tries++) {
        sn_lock(&rcu->clients_lock);
        sn_rcu_signal(rcu, true);
        for (unsigned naps = 0; naps < NAPS; naps++) {
            if (has_begun(rcu))
                return;
            nap();
        }
        sn_unlock(&rcu->clients_lock);
        nap();
    }
    fail_msg("no round has begun");
}

/* Who waits while a round has begun, but has not come to the client, waits for the next one. Seen
 * failing with a wait that wakes the client once: the round took the mark, and let it sleep. */
static void
test_wait_between_a_round_and_its_gather(void **state)
{
    (void)state;
    pthread_t waiter;
    struct client *client = client_add(get(), 0);
    wait_cycle(client);
    lock_in_round(client->rcu);
    assert_int_equal(pthread_create(&waiter, NULL, wait_for_round, client), 0);
    await(waiters_of(client->rcu) > 0);
    sn_unlock(&client->rcu->clients_lock);
    wait_begin();
    pthread_join(waiter, NULL);
    wait_end();
}

/* One client has more to reclaim than can be waited for: who waits for another one's limbo gets it
 * between two pieces, and who waits for this one's when the last is done; nothing more is gathered
 * of it meanwhile. Seen failing: the other one's round came when all was reclaimed. */
static void
test_reclaims_in_pieces(void **state)
{
    (void)state;
    struct client *much = client_add(get(), 0), *little = client_add(get(), 1);
    __atomic_store_n(&much->endless, true, __ATOMIC_RELEASE);
    __atomic_fetch_add(&much->work, 1, __ATOMIC_RELEASE);
    sn_rcu_signal_client(get(), &much->link, true);
    await(__atomic_load_n(&much->pieces, __ATOMIC_RELAXED) > 100); /* nobody waits for anything */
    unsigned gathers = __atomic_load_n(&much->gathers, __ATOMIC_RELAXED);
    __atomic_fetch_add(&much->work, 1, __ATOMIC_RELEASE);
    __atomic_fetch_add(&little->work, 1, __ATOMIC_RELEASE);
    wait_cycle(little);
    assert_int_equal(done_by(little), 1);
    assert_int_equal(done_by(much), 0);
    assert_int_equal(__atomic_load_n(&much->gathers, __ATOMIC_RELAXED), gathers);
    wait_begin();
    assert_false(sn_rcu_wait_cycle_until(get(), &much->link, sn_os_now_ns()));
    sn_rcu_before_fork(true); /* a fork is let in, too */
    sn_rcu_after_fork();
    wait_end();
    __atomic_store_n(&much->endless, false, __ATOMIC_RELEASE);
    wait_cycle(much);
    assert_int_equal(done_by(much), 2);
}

static void
test_clients_come_and_go(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        client_add(get(), i);
    client_remove(&clients[1]);
    client_remove(&clients[1]); /* it is not there: nothing happens */
    unsigned gathers = clients[1].gathers;
    for (unsigned i = 0; i < 3; i++)
        __atomic_fetch_add(&clients[i].work, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < 3; i++)
        sn_rcu_signal_client(get(), &clients[i].link, false);
    wait_cycle(&clients[0]);
    assert_int_equal(done_by(&clients[0]), 1);
    assert_int_equal(done_by(&clients[1]), 0);
    assert_int_equal(done_by(&clients[2]), 1);
    assert_int_equal(clients[1].gathers, gathers); /* not even asked */
}

/* ---- sleep and signal ----------------------------------------------------------------------- */

static bool
sleeps_deeply(const struct sn_rcu *rcu)
{
    return __atomic_load_n(&rcu->deep_sleep, __ATOMIC_RELAXED) != 0;
}

/* Whatever the signal is for. Seen failing with a thread that looks only for what is active before
 * a deep sleep: it kept the client awake, and slept for ever. */
static void
test_signal_while_it_falls_asleep(void **state)
{
    (void)state;
    struct client *client = client_add(get(), 0);
    wait_cycle(client);
    await(sn_load_relaxed(&client->link.asleep) && sleeps_deeply(client->rcu));
    unsigned gathers = __atomic_load_n(&client->gathers, __ATOMIC_RELAXED);
    __atomic_store_n(&client->due_ns, SIGNALLED, __ATOMIC_RELAXED);
    sn_rcu_signal_client(client->rcu, &client->link, true);
    await(__atomic_load_n(&client->gathers, __ATOMIC_RELAXED) >= gathers + 2);
}

/* Who sleeps for a tick has seen the work, and would come back to it: there is no need to wait for
 * that. Who sleeps deeply and has not seen it never comes back. */
static bool
done_or_hurried(struct client *client, unsigned count)
{
    if (done_by(client) == count)
        return true;
    if (!sleeps_deeply(client->rcu))
        sn_rcu_signal_client(client->rcu, &client->link, true);
    return false;
}

/*
 * Work is made at a random moment around the thread's falling asleep, which an empty round comes
 * before: either it sees the work, or the maker sees that it sleeps. Waiting here would hang if
 * both could miss each other.
 */
static void
test_signal_is_not_lost(void **state)
{
    (void)state;
    struct client *client = client_add(get(), 0);
    uint64_t random = random_seed("test_signal_is_not_lost");
    unsigned from_sleep = 0;
    for (unsigned i = 1; i <= scaled(2000); i++) { /* each waits for a turn of the thread */
        unsigned gathers = __atomic_load_n(&client->gathers, __ATOMIC_RELAXED);
        sn_rcu_signal_client(client->rcu, &client->link, true);
        /* No sleep: what comes next takes the thread microseconds, unless it has no processor. */
        for (unsigned looks = 1; __atomic_load_n(&client->gathers, __ATOMIC_RELAXED) == gathers;
             looks++) {
            quiesce();
            if (looks % 1000 == 0)
                sched_yield();
        }
        for (uint64_t spins = random_below(&random, 20000); spins > 0; spins--)
            __atomic_signal_fence(__ATOMIC_SEQ_CST);
        if (i % 32 == 0)
            await(sleeps_deeply(client->rcu));
        from_sleep += sleeps_deeply(client->rcu);
        __atomic_fetch_add(&client->work, 1, __ATOMIC_RELAXED);
        sn_rcu_signal_client(client->rcu, &client->link, i % 16 == 0);
        for (unsigned turns = 0; turns < 200 && done_by(client) < i; turns++) {
            quiesce();
            sched_yield();
        }
        await(done_or_hurried(client, i));
    }
    assert_true(from_sleep > 0);
}

/* Housekeeping that is due in an hour is no reason not to hear of work before. */
static void
test_signal_before_a_distant_date(void **state)
{
    (void)state;
    struct client *client = client_add(get(), 0);
    wait_cycle(client);
    __atomic_store_n(&client->due_ns, UINT64_C(3600000000000), __ATOMIC_RELAXED);
    for (unsigned i = 1; i <= 3; i++) {
        for (unsigned k = 0; k < 20; k++) /* let it fall asleep again */
            nap();
        __atomic_fetch_add(&client->work, 1, __ATOMIC_RELEASE);
        sn_rcu_signal_client(client->rcu, &client->link, false);
        await(done_by(client) == i);
    }
}

/* Between two pieces of its own work the thread looks whether a grace period is wanted, and every
 * client has its turn. Seen failing with housekeeping to the end. */
static void
test_housekeeping_in_pieces(void **state)
{
    (void)state;
    struct sn_rcu *rcu = get();
    struct client *client = client_add(rcu, 0);
    struct client *other = client_add(rcu, 1);
    __atomic_store_n(&client->due_ns, IN_PIECES, __ATOMIC_RELAXED);
    sn_rcu_signal_client(rcu, &client->link, true);
    await(__atomic_load_n(&piecework.at_ticket, __ATOMIC_ACQUIRE) != 0);
    assert_true(piecework.at_ticket <= 1002);
    __atomic_store_n(&other->work, 1, __ATOMIC_RELEASE);
    sn_rcu_signal_client(rcu, &other->link, true);
    await(done_by(other) == 1);
}

/* However often the thread has something to do for one client, others that have nothing are not
 * looked at. Seen failing with one list of all clients. */
static void
test_quiet_clients_are_left_alone(void **state)
{
    (void)state;
    struct client *client = client_add(get(), 0);
    struct client *quiet = client_add(get(), 1);
    wait_cycle(quiet);
    await(__atomic_load_n(&quiet->link.asleep, __ATOMIC_RELAXED) != 0);
    unsigned gathers = __atomic_load_n(&quiet->gathers, __ATOMIC_RELAXED);
    for (unsigned i = 1; i <= 100; i++) {
        __atomic_fetch_add(&client->work, 1, __ATOMIC_RELEASE);
        wait_cycle(client);
    }
    assert_int_equal(done_by(client), 100);
    assert_int_equal(__atomic_load_n(&quiet->gathers, __ATOMIC_RELAXED), gathers);
    __atomic_fetch_add(&quiet->work, 1, __ATOMIC_RELEASE);
    sn_rcu_signal_client(quiet->rcu, &quiet->link, false);
    await(done_by(quiet) == 1);
}

static void
test_idle_thread_sleeps(void **state)
{
    (void)state;
    struct client *client = client_add(get(), 0);
    wait_cycle(client);
    await(sleeps_deeply(client->rcu));
    unsigned gathers = __atomic_load_n(&client->gathers, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 50; i++)
        nap();
    assert_int_equal(__atomic_load_n(&client->gathers, __ATOMIC_RELAXED), gathers);
    sn_rcu_signal_client(client->rcu, &client->link, true);
    await(__atomic_load_n(&client->gathers, __ATOMIC_RELAXED) > gathers);
}

/* ---- calls that wait, and fork --------------------------------------------------------------- */

static void
test_leave_and_return(void **state)
{
    (void)state;
    bool was_online = false;
    assert_true(sn_rcu_leave(&rcu_flavor, &was_online));
    assert_int_equal(was_online, FLAVOUR_QSBR);
    assert_false(rcu_flavor.read_ongoing());
    sn_rcu_return(&rcu_flavor, was_online);
    assert_int_equal(rcu_flavor.read_ongoing() != 0, FLAVOUR_QSBR);
    section_enter();
    bool left = sn_rcu_leave(&rcu_flavor, &was_online);
    assert_int_equal(left, FLAVOUR_QSBR); /* the others see the section */
    sn_rcu_return(&rcu_flavor, was_online);
    section_leave();
}

static void
test_fork_keeps_the_thread_out(void **state)
{
    (void)state;
    struct client *client = client_add(get(), 0);
    sn_rcu_before_fork(true);
    sn_rcu_before_fork(true); /* a second store's */
    unsigned gathers = __atomic_load_n(&client->gathers, __ATOMIC_RELAXED);
    sn_rcu_signal_client(client->rcu, &client->link, true);
    for (unsigned i = 0; i < 20; i++)
        nap();
    sn_rcu_after_fork();
    for (unsigned i = 0; i < 20; i++)
        nap();
    assert_int_equal(__atomic_load_n(&client->gathers, __ATOMIC_RELAXED), gathers);
    sn_rcu_after_fork();
    await(__atomic_load_n(&client->gathers, __ATOMIC_RELAXED) > gathers);
}

/* ---- histograms ------------------------------------------------------------------------------ */

static void
test_histogram(void **state)
{
    (void)state;
    static const struct {
        uint64_t ns;
        unsigned bucket;
    } table[] = {
        {0, 0},
        {999, 0},
        {1000, 1},
        {1999, 1},
        {2000, 2},
        {3999, 2},
        {4000, 3},
        {1023999, 10},
        {1024000, 11},
        {UINT64_C(4194303999), 22},
        {UINT64_C(4194304000), 23},
        {UINT64_MAX, 23},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct handle_histogram histogram = {0};
        sn_histogram_add(&histogram, table[i].ns);
        assert_int_equal(histogram.bucket[table[i].bucket], 1);
        assert_int_equal(histogram.count, 1);
        assert_int_equal(histogram.sum_ns, table[i].ns);
        assert_int_equal(histogram.max_ns, table[i].ns);
        sn_histogram_add(&histogram, 5);
        assert_int_equal(histogram.count, 2);
        assert_int_equal(histogram.max_ns, table[i].ns > 5 ? table[i].ns : 5);
    }
}

#define CLIENT_TEST(function) cmocka_unit_test_teardown(function, remove_clients)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_instance_per_flavour),
        cmocka_unit_test(test_thread_that_cannot_start),
        cmocka_unit_test(test_tickets),
        cmocka_unit_test(test_ticket_waits_for_an_open_section),
        CLIENT_TEST(test_cycle_takes_what_was_there),
        CLIENT_TEST(test_reclaim_waits_for_sections),
        CLIENT_TEST(test_round_looks_at_a_client_that_falls_asleep),
        CLIENT_TEST(test_wait_between_a_round_and_its_gather),
        CLIENT_TEST(test_reclaims_in_pieces),
        CLIENT_TEST(test_signal_while_it_falls_asleep),
        CLIENT_TEST(test_clients_come_and_go),
        CLIENT_TEST(test_signal_is_not_lost),
        CLIENT_TEST(test_signal_before_a_distant_date),
        CLIENT_TEST(test_housekeeping_in_pieces),
        CLIENT_TEST(test_quiet_clients_are_left_alone),
        CLIENT_TEST(test_idle_thread_sleeps),
        cmocka_unit_test(test_leave_and_return),
        CLIENT_TEST(test_fork_keeps_the_thread_out),
        cmocka_unit_test(test_histogram),
    };
    thread_enter();
    int failed = cmocka_run_group_tests_name("rcu " FLAVOUR_NAME, tests, NULL, NULL);
    thread_leave();
    return failed;
}
