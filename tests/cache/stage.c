/* SPDX-License-Identifier: MIT */
/*
 * stage.c - a reader that stands between a key's two buckets while its item moves from one to the
 * other: it finds it, whichever way the item goes. Against the cache's own files, built with hooks.
 *
 * Seen failing: without the second look at the home bucket, and with `away` looked at after it:
 * "away to home".
 */
#include "../api/support.h"

#include "cache/move.h"

static sinter_cache *cache;
static uint64_t hash;

/* ---- the stage: threads take turns at numbered points ---------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned point;
static __thread bool on_stage;

static void
reach(unsigned number)
{
    pthread_mutex_lock(&lock);
    point = number > point ? number : point;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void
wait_for(unsigned number)
{
    pthread_mutex_lock(&lock);
    while (point < number)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

/* The reader has looked at the home; the item moves; it goes on. */
void
sc_hook_between_buckets(void)
{
    if (!on_stage || point >= 3)
        return;
    reach(2);
    wait_for(3);
}

/* The mover has changed the shape, and moves when the reader is half way. */
int __real_handle_cell_relocate(handle_store *store, handle_cell *from, handle_cell *to);

int
__wrap_handle_cell_relocate(handle_store *store, handle_cell *from, handle_cell *to)
{
    if (on_stage) {
        reach(1);
        wait_for(2);
    }
    return __real_handle_cell_relocate(store, from, to);
}

/* ---- the actors ------------------------------------------------------------------------------ */

/* Moves the key's item to its other place, whichever that is. Result: whether it was at home. */
static bool
move_item(void)
{
    struct sc_pair pair;
    struct sc_spot spot;
    section_enter();
    sc_pair_lock(cache, sc_place(hash), &pair);
    thread_check(sc_pair_find(cache, &pair, hash, "key", 3, &spot));
    struct sc_bucket *to = spot.bucket == pair.home ? pair.other : pair.home;
    sc_bucket_unlock(to);
    thread_check(sc_move_elsewhere(cache, &spot, spot.bucket));
    sc_bucket_unlock(spot.bucket);
    section_leave();
    return spot.bucket == pair.home;
}

static void
act(void *found, unsigned index)
{
    char value[8];
    on_stage = true;
    if (index == 0) {
        wait_for(1);
        *(int *)found = sinter_cache_get(cache, "key", 3, value, 8, NULL);
        reach(2); /* it may have found it at once */
    } else {
        move_item();
        reach(3);
    }
    on_stage = false;
}

/* A secret under which the key has two buckets. */
static void
open_cache(void)
{
    do {
        if (cache)
            sinter_cache_destroy(cache);
        cache = sinter_cache_create(NULL);
        assert_non_null(cache);
        hash = sc_hash(cache->secret, "key", 3);
    } while (sc_bucket_number(sc_place(hash), SC_BUCKETS_MIN) ==
             sc_bucket_number(sc_other_place(sc_place(hash)), SC_BUCKETS_MIN));
    assert_int_equal(sinter_cache_set(cache, "key", 3, "v", 1, 0, 0), 0);
}

static void
test_reader_between_buckets(void **state)
{
    (void)state;
    int found = -1;
    open_cache();
    assert_true(move_item()); /* away */
    point = 0;
    run_threads(2, act, &found); /* away to home */
    assert_int_equal(found, 0);
    point = 0;
    run_threads(2, act, &found); /* home to away */
    assert_int_equal(found, 0);
    assert_int_equal(sinter_cache_destroy(cache), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reader_between_buckets)};
    thread_enter();
    int failed = cmocka_run_group_tests_name("stage", tests, NULL, NULL);
    thread_leave();
    return failed ? 1 : 0;
}
