/* SPDX-License-Identifier: MIT */
/*
 * test_fork.c - the hooks around fork(): the parent goes on as before; in the child alloc, deref
 * and free work, nothing is compacted, limbo stays, destroy does not wait.
 */
#include "waiting.h"

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OBJECTS 2000

struct forked {
    struct fixture *fixture;
    handle_store *store;
    handle_t handles[OBJECTS];
    handle_cell cells[OBJECTS];
};

static struct forked forked;

static void
populate(struct fixture *fixture)
{
    memset(&forked, 0, sizeof(forked));
    forked.fixture = fixture;
    forked.store = fixture->store;
    for (unsigned i = 0; i < OBJECTS; i++) {
        forked.handles[i] = make_object(forked.store, i, i);
        section_enter();
        fill(handle_cell_alloc(forked.store, &forked.cells[i], i, 0), i, i + OBJECTS);
        section_leave();
    }
}

/* Reads, writes, frees, allocates: as if nothing had happened. */
static void
child_uses_objects(void *arg)
{
    struct forked *f = arg;
    for (unsigned i = 0; i < OBJECTS; i++) {
        section_enter();
        const void *object = handle_deref(f->store, f->handles[i]);
        child_check(object && mismatch(object, i, i) == i);
        object = handle_cell_deref(f->store, &f->cells[i]);
        child_check(object && mismatch(object, i, i + OBJECTS) == i);
        void *mutable = handle_deref_mut(f->store, f->handles[i]);
        child_check(mutable);
        fill(mutable, i, ~i);
        child_check(handle_size(f->store, f->handles[i]) == i);
        if (i % 2)
            child_check(handle_free(f->store, f->handles[i]) == 0);
        else
            child_check(handle_resize(f->store, f->handles[i], i + 50) == 0);
        child_check((i % 3 ? handle_cell_free(f->store, &f->cells[i])
                           : handle_cell_free_now(f->store, &f->cells[i])) == 0);
        section_leave();
    }
    for (unsigned i = 0; i < OBJECTS; i++) {
        void *object = NULL;
        section_enter();
        handle_t handle = handle_alloc_object(f->store, i, HANDLE_ZERO, &object);
        child_check(handle != HANDLE_NULL);
        fill(object, i, 7);
        child_check(mismatch(handle_deref(f->store, handle), i, 7) == i);
        section_leave();
    }
    child_check(handle_store_check(f->store, NULL, NULL) == 0);
    child_check(handle_store_destroy(f->store) == 0);
}

static void
free_in_callback(struct rcu_head *head)
{
    (void)head;
    if (handle_free(forked.store, forked.handles[0]))
        _exit(1);
}

static void
child_uses_callbacks(void *arg)
{
    struct forked *f = arg;
    static struct rcu_head head;
    alarm(300); /* the end of a child that would hang */
    callbacks_resume_in_child();
    call_rcu(&head, free_in_callback);
    wait_begin();
    rcu_barrier();
    wait_end();
    section_enter();
    child_check(handle_deref(f->store, f->handles[0]) == NULL);
    child_check(handle_deref(f->store, f->handles[1]) != NULL);
    section_leave();
    child_check(handle_store_destroy(f->store) == 0);
}

/* All hooks in their order; the child's callbacks run. Fails when a thread of the library holds a
 * lock of the flavour at the fork, or is in its list of readers: the GP there never ends. */
static void
callbacks_in_the_child(void **state)
{
    struct fixture *fixture = *state;
    static struct rcu_head head;
    if (TEST_ASAN) /* as in forks_under_load */
        skip();
    populate(fixture);
    for (unsigned round = 0; round < 5; round++) {
        assert_child_succeeds(fork_stores(&fixture->store, 1, child_uses_callbacks, &forked));
        assert_object(fixture->store, forked.handles[0], 0, 0);
    }
    call_rcu(&head, free_in_callback); /* the parent's go on */
    wait_begin();
    rcu_barrier();
    wait_end();
    section_enter();
    assert_null(handle_deref(fixture->store, forked.handles[0]));
    section_leave();
    for (unsigned i = 0; i < OBJECTS; i++) {
        section_enter();
        assert_int_equal(handle_cell_free(fixture->store, &forked.cells[i]), 0);
        section_leave();
    }
}

static void
child_makes_a_store(void *arg)
{
    (void)arg;
    alarm(300); /* the end of a child that would hang */
    handle_t handles[100];
    handle_store *store = handle_store_create(NULL);
    child_check(store != NULL);
    for (unsigned i = 0; i < 100; i++)
        child_check((handles[i] = handle_alloc(store, 1000)) != HANDLE_NULL);
    for (unsigned i = 1; i < 100; i++)
        child_check(handle_free(store, handles[i]) == 0);
    child_check(handle_store_compact(store, NULL) == 0);
    child_check(handle_store_destroy(store) == 0);
}

/* Without a store there is no hook to call. Fails when the child takes the parent's grace-period
 * thread for its own: destroy waits for it for ever. */
static void
child_makes_the_next_store(void **state)
{
    (void)state;
    handle_store *store = handle_store_create(NULL);
    assert_non_null(store);
    assert_int_equal(handle_store_destroy(store), 0);
    assert_child_succeeds(fork_stores(NULL, 0, child_makes_a_store, NULL));
    store = handle_store_create(NULL);
    assert_non_null(store);
    assert_int_equal(handle_store_destroy(store), 0);
}

/* ---- a child's handler ----------------------------------------------------------------------- */

static struct {
    handle_store *inherited[2]; /* NULL: nothing is to be done */
    handle_store *made;
} handled;

/* The program's own, as pthread_atfork runs it: the hooks, and then the child's next store. */
static void
handle_child(void)
{
    if (!handled.inherited[0])
        return;
    flavour_after_fork_child();
    handle_store_after_fork_child(handled.inherited[0]);
    handle_store_after_fork_child(handled.inherited[1]);
    handled.made = handle_store_create(NULL);
}

/* Fails when a handler of the library's own runs later, and takes the new store's thread for one of
 * the parent: seen, destroy waits for it for ever. */
static void
a_handler_makes_a_store(void **state)
{
    struct fixture *fixture = *state;
    handle_store *second = handle_store_create(&fixture->options);
    assert_non_null(second);
    handled.inherited[0] = fixture->store;
    handled.inherited[1] = second;
    callbacks_pause();
    handle_store_before_fork(second);
    handle_store_before_fork(fixture->store);
    flavour_before_fork();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(300); /* the end of a child that would hang */
        child_check(handled.made != NULL);
        child_check(handle_store_compact(handled.made, NULL) == 0);
        child_check(handle_store_destroy(handled.made) == 0);
        child_check(handle_store_destroy(second) == 0);
        child_check(handle_store_destroy(fixture->store) == 0);
        _exit(0);
    }
    handled.inherited[0] = NULL;
    flavour_after_fork_parent();
    handle_store_after_fork_parent(fixture->store);
    handle_store_after_fork_parent(second);
    callbacks_resume();
    assert_child_succeeds(pid);
    assert_int_equal(handle_store_destroy(second), 0);
}

static void
child_uses_the_store(void **state)
{
    struct fixture *fixture = *state;
    populate(fixture);
    assert_child_succeeds(fork_stores(&fixture->store, 1, child_uses_objects, &forked));
    for (unsigned i = 0; i < OBJECTS; i++) {
        assert_object(fixture->store, forked.handles[i], i, i);
        section_enter();
        assert_filled(handle_cell_deref(fixture->store, &forked.cells[i]), i, i + OBJECTS);
        assert_int_equal(handle_cell_free(fixture->store, &forked.cells[i]), 0);
        section_leave();
    }
    compact_checked(fixture->store, NULL);
}

static void
child_cannot_compact(void *arg)
{
    struct forked *f = arg;
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    child_check(handle_store_compact(f->store, &report) == -ENOTSUP);
    child_check(handle_defrag_step(f->store, 100, &report) == -ENOTSUP);
    child_check(handle_defrag_start(f->store) == -ENOTSUP);
    child_check(handle_defrag_estimate(f->store, &report) == 0);
    struct handle_stats *stats = calloc(1, sizeof(*stats));
    stats->struct_size = sizeof(*stats);
    child_check(handle_store_stats(f->store, stats) == 0);
    child_check(stats->idle_reason == HANDLE_IDLE_FORKED);
    uint64_t limbo = stats->limbo;
    for (unsigned i = 0; i < 1000; i++) /* nothing leaves limbo, nothing waits for it */
        child_check(handle_free(f->store, f->handles[i]) == 0);
    child_check(handle_store_stats(f->store, stats) == 0);
    child_check(stats->limbo > limbo);
    free(stats);
    child_check(handle_store_destroy(f->store) == 0);
}

static void
no_compaction_in_the_child(void **state)
{
    struct fixture *fixture = *state;
    populate(fixture);
    assert_child_succeeds(fork_stores(&fixture->store, 1, child_cannot_compact, &forked));
    compact_checked(fixture->store, NULL); /* the parent can */
    section_enter();
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_int_equal(handle_cell_free(fixture->store, &forked.cells[i]), 0);
    section_leave();
}

/* Destroy keeps its answers in the child: pinned is pinned. */
static void
child_destroys_pinned(void *arg)
{
    struct forked *f = arg;
    child_check(handle_store_destroy(f->store) == -EBUSY);
    section_enter();
    const void *object = handle_deref(f->store, f->handles[9]);
    section_leave();
    child_check(object && mismatch(object, 9, 9) == 9);
    handle_unpin(f->store, object);
    child_check(handle_store_destroy(f->store) == 0);
}

static void
pins_are_inherited(void **state)
{
    struct fixture *fixture = *state;
    populate(fixture);
    section_enter();
    const void *pinned = handle_pin(fixture->store, forked.handles[9]);
    assert_non_null(pinned);
    section_leave();
    assert_child_succeeds(fork_stores(&fixture->store, 1, child_destroys_pinned, &forked));
    assert_filled(pinned, 9, 9);
    handle_unpin(fixture->store, pinned);
    section_enter();
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_int_equal(handle_cell_free(fixture->store, &forked.cells[i]), 0);
    section_leave();
}

/* ---- whose pages they are -------------------------------------------------------------------- */

struct heirs {
    handle_store *store;
    int told[2], order[2]; /* pipes: from both heirs, to the grandchild */
};

static bool
byte_comes(int fd)
{
    char byte;
    return read(fd, &byte, 1) == 1;
}

static void
destroy_and_tell(struct heirs *heirs)
{
    child_check(handle_store_destroy(heirs->store) == 0);
    child_check(write(heirs->told[1], "", 1) == 1);
}

static void
grandchild(void *arg)
{
    struct heirs *heirs = arg;
    child_check(byte_comes(heirs->order[0]));
    destroy_and_tell(heirs);
    child_check(!byte_comes(heirs->order[0]));
}

/* It and its own child destroy the store, that one when it is told to; both live on until `order`
 * is closed. */
static void
child_has_a_child(void *arg)
{
    struct heirs *heirs = arg;
    alarm(300);
    close(heirs->order[1]);
    pid_t pid = fork_without_callbacks(&heirs->store, 1, grandchild, heirs);
    destroy_and_tell(heirs);
    int status = 1;
    child_check(waitpid(pid, &status, 0) == pid && status == 0);
}

static bool
rests_for_a_child(handle_store *store)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    assert_int_equal(handle_defrag_step(store, 1000, &report), 0);
    return report.idle_reason == HANDLE_IDLE_FORKED;
}

static bool
heir_tells(const struct heirs *heirs)
{
    wait_begin();
    bool told = byte_comes(heirs->told[0]);
    wait_end();
    return told;
}

/* The parent compacts again when no descendant has the pages any more, though all live on. Fails
 * when a child that destroys the store keeps an end of the pipe, or when its own child keeps none:
 * seen with each. */
static void
destroyed_in_all_children(void **state)
{
    struct fixture *fixture = *state;
    struct heirs heirs = {.store = fixture->store};
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    assert_int_equal(pipe(heirs.told) | pipe(heirs.order), 0);
    assert_false(rests_for_a_child(fixture->store));
    pid_t pid = fork_stores(&fixture->store, 1, child_has_a_child, &heirs);
    assert_true(heir_tells(&heirs));
    assert_true(rests_for_a_child(fixture->store)); /* the grandchild has the pages */
    assert_int_equal(write(heirs.order[1], "", 1), 1);
    assert_true(heir_tells(&heirs));
    assert_false(rests_for_a_child(fixture->store));
    close(heirs.order[1]);
    assert_child_succeeds(pid);
    close(heirs.order[0]);
    close(heirs.told[0]);
    close(heirs.told[1]);
}

/* ---- at max_bytes while a child lives -------------------------------------------------------- */

#define CACHED      80000
#define CACHE_LIMIT (16 * MIB)

/* A cache that evicts at random. */
struct cache {
    handle_store *store;
    handle_t handles[CACHED];
    unsigned n;
    uint64_t random;
};

static void
evict_some(struct cache *cache)
{
    for (unsigned i = 0; i < 16 && cache->n > 0; i++) {
        uint64_t at = random_below(&cache->random, cache->n);
        assert_int_equal(handle_free(cache->store, cache->handles[at]), 0);
        cache->handles[at] = cache->handles[--cache->n];
    }
}

/* One more object, whatever must go for it. */
static void
insert(struct cache *cache, size_t size)
{
    handle_t handle;
    for (unsigned tries = 0; !(handle = handle_alloc(cache->store, size)); tries++) {
        assert_true(tries < 10000);
        if (errno == EAGAIN)
            assert_int_equal(handle_store_reclaim(cache->store, size), 0);
        else
            evict_some(cache);
    }
    assert_true(cache->n < CACHED);
    cache->handles[cache->n++] = handle;
}

static int child_waits[2];

static void
child_holds_the_pages(void *arg)
{
    char byte;
    (void)arg;
    close(child_waits[1]);
    (void)!read(child_waits[0], &byte, 1); /* until the parent closes its end */
}

/* Fills the cache, forks, lets the sizes shift. Result: the lowest share of the limit that lives
 * meanwhile, in percent; stats before and after the shift. */
static uint64_t
shift_beside_a_child(struct fixture *fixture, struct handle_stats stats[2])
{
    static struct cache cache;
    uint64_t lowest = 100;
    fixture->options.max_bytes = CACHE_LIMIT;
    fixture_reopen(fixture);
    cache = (struct cache){.store = fixture->store, .random = 17};
    while (handle_store_used(cache.store) < CACHE_LIMIT * 8 / 10)
        insert(&cache, 240);
    assert_int_equal(pipe(child_waits), 0);
    pid_t pid = fork_stores(&fixture->store, 1, child_holds_the_pages, NULL);
    close(child_waits[0]);
    while (!rests_for_a_child(fixture->store)) /* what was under way is over */
        assert_int_equal(handle_store_reclaim(fixture->store, SIZE_MAX), 0);
    stats[0] = take_stats(fixture->store);
    for (unsigned i = 0; i < 50000; i++) {
        insert(&cache, 330);
        if (i % 64 == 0)
            lowest = lowest < handle_store_used(cache.store) * 100 / CACHE_LIMIT
                         ? lowest
                         : handle_store_used(cache.store) * 100 / CACHE_LIMIT;
    }
    stats[1] = take_stats(fixture->store);
    close(child_waits[1]);
    assert_child_succeeds(pid);
    assert_clean(fixture->store);
    return lowest;
}

/* Sizes shift, so that memory is free in the wrong class only, and a child lives: compaction works
 * all the same, and counts what it copies. Seen failing: with compaction pausing for the child,
 * down to 7 % live. */
static void
shift_at_the_limit_beside_a_child(void **state)
{
    struct handle_stats stats[2];
    assert_true(shift_beside_a_child(*state, stats) >= 60);
    assert_true(stats[1].moved_objects > stats[0].moved_objects);
    assert_true(stats[1].fork_copied_bytes <= CACHE_LIMIT / 10);
}

/* The budget holds to the byte, and when it is used up, what has been written to since the fork is
 * still moved. Seen failing, both: what destinations and words cost was counted and copied all the
 * same; and then nothing moved any more, 26 percent lived. */
static void
copies_within_a_small_budget(void **state)
{
    enum { BUDGET = 70000 };
    struct fixture *fixture = *state;
    struct handle_stats stats[2];
    fixture->options.defrag.fork_copy_bytes = BUDGET;
    uint64_t lowest = shift_beside_a_child(fixture, stats);
    assert_in_range(stats[1].fork_copied_bytes, 1, BUDGET);
    assert_true(lowest >= 60);
    assert_true(stats[1].fork_refused_bytes > 0);
}

/* 0: it pauses whatever the need. */
static void
no_copies_for_a_child(void **state)
{
    struct fixture *fixture = *state;
    struct handle_stats stats[2];
    fixture->options.defrag.fork_copy_bytes = 0;
    (void)shift_beside_a_child(fixture, stats);
    assert_int_equal(stats[1].moved_objects, stats[0].moved_objects);
    assert_int_equal(stats[1].fork_copied_bytes, 0);
}

/* ---- what was set aside ---------------------------------------------------------------------- */

#define STEPPED 30000

/* A step has moved something, and has not come to the batch's end. */
static void
step_into_a_batch(handle_store *store)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    for (unsigned steps = 0; steps < 60000; steps++) {
        assert_int_equal(handle_defrag_step(store, 50, &report), 0);
        if (report.moved_objects > 0)
            break;
        nap(); /* a grace period passes */
    }
    assert_true(report.moved_objects > 0 && report.more);
}

/* What a step has begun before a fork is finished by a reclaim or a purge beside the child: no page
 * is copied for it, or counted if it may be. Seen failing: the rest of the batch was moved, and
 * nothing counted. */
static void
begun_before_the_fork(struct fixture *fixture, int64_t copy_bytes)
{
    static handle_t handles[STEPPED];
    fixture->options.defrag.enabled = false;
    fixture->options.defrag.fork_copy_bytes = copy_bytes;
    fixture->options.defrag.ignore_bytes = 0;
    fixture->options.defrag.threshold_lower_percent = 0;
    fixture_reopen(fixture);
    for (unsigned i = 0; i < STEPPED; i++)
        handles[i] = make_object(fixture->store, 200, i);
    for (unsigned i = 0; i < STEPPED; i++) {
        if (i % 3)
            assert_int_equal(handle_free(fixture->store, handles[i]), 0);
    }
    assert_int_equal(handle_store_purge(fixture->store, NULL), 0);
    step_into_a_batch(fixture->store);
    assert_int_equal(pipe(child_waits), 0);
    pid_t pid = fork_stores(&fixture->store, 1, child_holds_the_pages, NULL);
    close(child_waits[0]);
    struct handle_stats before = take_stats(fixture->store);
    assert_int_equal(handle_store_reclaim(fixture->store, 1000), 0);
    assert_int_equal(handle_store_purge(fixture->store, NULL), 0);
    struct handle_stats after = take_stats(fixture->store);
    close(child_waits[1]);
    assert_child_succeeds(pid);
    uint64_t moved = after.moved_objects - before.moved_objects;
    assert_true(moved == 0 || after.fork_copied_bytes > 0);
    assert_true(after.fork_copied_bytes <= (uint64_t)copy_bytes);
    if (copy_bytes == 0)
        assert_int_equal(moved, 0);
    for (unsigned i = 0; i < STEPPED; i += 3)
        assert_object(fixture->store, handles[i], 200, i);
}

static void
steps_before_a_fork(void **state)
{
    begun_before_the_fork(*state, 0);
    begun_before_the_fork(*state, MIB);
}

/* Sparse objects in all of a store, which compaction leaves alone until it is asked. */
static void
fill_sparsely(handle_store *store)
{
    static handle_t handles[CACHED];
    unsigned n = 0;
    while (n < CACHED && (handles[n] = handle_alloc(store, 1000)) != HANDLE_NULL)
        n++;
    for (unsigned i = 0; i < n; i++) {
        if (i % 4)
            assert_int_equal(handle_free(store, handles[i]), 0);
    }
    assert_int_equal(handle_store_reclaim(store, SIZE_MAX), 0);
}

/* Nobody waits for compaction that a child keeps from working. Seen failing: until the mover had
 * looked for children itself, EAGAIN. */
static void
refused_beside_a_child(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.max_bytes = CACHE_LIMIT;
    fixture->options.defrag.fork_copy_bytes = 0;
    fixture->options.defrag.ignore_bytes = GIB;
    fixture_reopen(fixture);
    fill_sparsely(fixture->store);
    assert_int_equal(pipe(child_waits), 0);
    pid_t pid = fork_stores(&fixture->store, 1, child_holds_the_pages, NULL);
    close(child_waits[0]);
    errno = 0;
    handle_t handle = handle_alloc(fixture->store, CACHE_LIMIT / 2);
    int error = errno;
    close(child_waits[1]);
    assert_child_succeeds(pid);
    assert_int_equal(handle, HANDLE_NULL);
    assert_int_equal(error, ENOMEM);
}

struct preparer {
    handle_store *store;
    unsigned state; /* atomic: 1 it has prepared, 2 it may end */
};

static void *
prepare_and_stay(void *arg)
{
    struct preparer *preparer = arg;
    thread_enter();
    thread_check(handle_store_prepare(preparer->store, 10 * MIB) == 0);
    __atomic_store_n(&preparer->state, 1, __ATOMIC_RELEASE);
    wait_begin();
    while (__atomic_load_n(&preparer->state, __ATOMIC_ACQUIRE) != 2)
        usleep(1000);
    wait_end();
    thread_leave();
    return NULL;
}

/* 16 MiB less what the forking thread has set aside, which serves itself. */
static void
child_has_all(void *arg)
{
    unsigned n = 0;
    handle_store *store = arg;
    while (handle_alloc(store, 1000) != HANDLE_NULL)
        n++;
    child_check(errno == ENOMEM && n > 13000);
    child_check(handle_store_check(store, NULL, NULL) == 0);
}

/* What another thread has set aside is nobody's in the child. Seen failing: it was lost there. */
static void
prepared_by_threads_that_are_gone(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;
    fixture->options.max_bytes = 16 * MIB;
    fixture_reopen(fixture);
    struct preparer preparer = {.store = fixture->store};
    assert_int_equal(handle_store_prepare(fixture->store, MIB), 0);
    assert_int_equal(pthread_create(&thread, NULL, prepare_and_stay, &preparer), 0);
    wait_begin();
    while (__atomic_load_n(&preparer.state, __ATOMIC_ACQUIRE) != 1)
        usleep(1000);
    wait_end();
    assert_child_succeeds(fork_stores(&fixture->store, 1, child_has_all, fixture->store));
    __atomic_store_n(&preparer.state, 2, __ATOMIC_RELEASE);
    wait_begin();
    assert_int_equal(pthread_join(thread, NULL), 0);
    wait_end();
    assert_clean(fixture->store);
}

/* ---- a thread that is cancelled while a child lives ------------------------------------------ */

static void *
compact_when_cancelled(void *store)
{
    thread_enter();
    pthread_cancel(pthread_self());
    thread_check(handle_store_compact(store, NULL) == 0); /* looks which pages the child has, too */
    thread_check(handle_store_purge(store, NULL) == 0);
    thread_leave();
    pthread_testcancel();
    return NULL;
}

/* Seen failing: the compaction ended at the opening of the kernel's page map, with the mover's lock
 * taken, and the next one waited for ever. */
static void
cancelled_beside_a_child(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;
    for (unsigned i = 0; i < 5000; i++) {
        handle_t handle = make_object(fixture->store, 200, i);
        if (i % 4 != 0)
            assert_int_equal(handle_free(fixture->store, handle), 0);
    }
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    assert_int_equal(pipe(child_waits), 0);
    pid_t pid = fork_stores(&fixture->store, 1, child_holds_the_pages, NULL);
    close(child_waits[0]);
    assert_true(rests_for_a_child(fixture->store));
    assert_int_equal(pthread_create(&thread, NULL, compact_when_cancelled, fixture->store), 0);
    wait_begin();
    assert_int_equal(pthread_join(thread, NULL), 0);
    wait_end();
    assert_int_equal(handle_store_compact(fixture->store, NULL), 0);
    close(child_waits[1]);
    assert_child_succeeds(pid);
}

/* ---- forks beside threads at work ------------------------------------------------------------ */

struct busy {
    handle_store *stores[2];
    handle_t kept[2][500]; /* not written, only moved */
    unsigned stop;
};

static void
child_reads_kept(void *arg)
{
    struct busy *busy = arg;
    for (unsigned s = 0; s < 2; s++) {
        for (unsigned i = 0; i < 500; i++) {
            section_enter();
            const void *object = handle_deref(busy->stores[s], busy->kept[s][i]);
            child_check(object && mismatch(object, 300, i) == 300);
            handle_t handle = handle_alloc(busy->stores[s], i);
            /* What was in limbo stays there (G10): a store that was full is full for good. */
            child_check(handle != HANDLE_NULL || errno == ENOMEM);
            if (handle != HANDLE_NULL)
                child_check(handle_free_now(busy->stores[s], handle) == 0);
            section_leave();
        }
        child_check(handle_store_check(busy->stores[s], print_violation, NULL) == 0);
        child_check(handle_store_destroy(busy->stores[s]) == 0);
    }
}

static void
work(void *arg, unsigned index)
{
    struct busy *busy = arg;
    handle_t own[200] = {0};
    uint64_t random = index + 5;
    while (!__atomic_load_n(&busy->stop, __ATOMIC_ACQUIRE)) {
        unsigned k = (unsigned)random_below(&random, 200);
        handle_store *store = busy->stores[k % 2];
        thread_check(own[k] == HANDLE_NULL || handle_free(store, own[k]) == 0);
        errno = 0;
        own[k] = handle_alloc(store, random_below(&random, 600));
        thread_check(own[k] != HANDLE_NULL || errno == EAGAIN);
        quiesce();
        if (own[k] == HANDLE_NULL) /* frees are ahead of the grace periods, which a fork stops */
            thread_check(handle_store_reclaim(store, 1000) == 0);
    }
    for (unsigned k = 0; k < 200; k++)
        thread_check(own[k] == HANDLE_NULL || handle_free(busy->stores[k % 2], own[k]) == 0);
}

static void
fork_or_work(void *arg, unsigned index)
{
    struct busy *busy = arg;
    if (index) {
        work(arg, index);
        return;
    }
    for (unsigned i = 0; i < 10; i++) {
        int status = 0;
        pid_t pid = fork_stores(busy->stores, 2, child_reads_kept, busy);
        thread_check(pid > 0);
        wait_begin();
        thread_check(waitpid(pid, &status, 0) == pid);
        wait_end();
        if (status)
            fprintf(stderr, "child %u: status %x\n", i, (unsigned)status);
        thread_check(status == 0);
        wait_begin();
        nanosleep(&(struct timespec){0, 2000000}, NULL);
        wait_end();
    }
    __atomic_store_n(&busy->stop, 1, __ATOMIC_RELEASE);
}

/* Two stores, both moving, two threads allocating and freeing: the child finds every lock free and
 * every structure whole. Fails when before_fork leaves a lock to another thread. */
static void
forks_under_load(void **state)
{
    struct fixture *fixture = *state;
    if (TEST_ASAN) /* gcc 12's holds a lock of malloc across a fork: the child waits for ever */
        skip();
    static struct busy busy;
    memset(&busy, 0, sizeof(busy));
    busy.stores[0] = fixture->store;
    busy.stores[1] = handle_store_create(&fixture->options);
    assert_non_null(busy.stores[1]);
    for (unsigned s = 0; s < 2; s++) {
        set_option(busy.stores[s], "defrag.ignore_bytes", "0");
        set_option(busy.stores[s], "max_bytes", "64M");
        set_option(busy.stores[s], "defrag.pause_while_forked", s ? "yes" : "no");
        for (unsigned i = 0; i < 500; i++)
            busy.kept[s][i] = make_object(busy.stores[s], 300, i);
    }
    run_threads(3, fork_or_work, &busy);
    for (unsigned s = 0; s < 2; s++)
        for (unsigned i = 0; i < 500; i++)
            assert_object(busy.stores[s], busy.kept[s][i], 300, i);
    assert_clean(busy.stores[1]);
    assert_int_equal(handle_store_destroy(busy.stores[1]), 0);
}

int
group_fork(void)
{
    /* ThreadSanitizer (LLVM 14) fails a check of its own after a fork beside other threads, and
     * then waits for itself for ever. The other builds run these tests. */
    if (TEST_TSAN) {
        print_message("fork: left out under ThreadSanitizer\n");
        return 0;
    }
    if (pthread_atfork(NULL, NULL, handle_child)) /* before this process has its first store */
        return 1;
    const struct CMUnitTest tests[] = {
        STORE_TEST(child_uses_the_store),
        STORE_TEST(no_compaction_in_the_child),
        STORE_TEST(callbacks_in_the_child),
        STORE_TEST(pins_are_inherited),
        STORE_TEST(destroyed_in_all_children),
        cmocka_unit_test(child_makes_the_next_store),
        STORE_TEST(a_handler_makes_a_store),
        STORE_TEST(forks_under_load),
        STORE_TEST(shift_at_the_limit_beside_a_child),
        STORE_TEST(no_copies_for_a_child),
        STORE_TEST(steps_before_a_fork),
        STORE_TEST(refused_beside_a_child),
        STORE_TEST(copies_within_a_small_budget),
        STORE_TEST(cancelled_beside_a_child),
        STORE_TEST(prepared_by_threads_that_are_gone),
    };
    return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
