/* SPDX-License-Identifier: MIT */
/* test_insight.c - walks, statistics and their texts, the callback. */
#include "support.h"

#include "../api/json.h"

/* ---- walk ------------------------------------------------------------------------------------ */

static int
mark_item(void *opaque, const struct sinter_cache_view *item)
{
    unsigned char *seen = opaque;
    uint64_t number;
    memcpy(&number, item->data, sizeof(number));
    seen[number]++;
    return 0;
}

static int
stop_at_ten(void *opaque, const struct sinter_cache_view *item)
{
    (void)item;
    return ++*(unsigned *)opaque == 10 ? 77 : 0;
}

static void
test_walk(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    unsigned char seen[3000] = {0};
    unsigned visits = 0;
    for (uint64_t i = 0; i < 3000; i++)
        set_number(cache, i, 10, 1);
    assert_int_equal(sinter_cache_walk(cache, mark_item, seen), 0);
    for (unsigned i = 0; i < 3000; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(sinter_cache_walk(cache, stop_at_ten, &visits), 77);
    assert_int_equal(visits, 10);
}

struct pausing {
    sinter_cache *cache;
    unsigned visits, pauses;
};

static int
count_visit(void *opaque, const struct sinter_cache_view *item)
{
    struct pausing *walk = opaque;
    (void)item;
    walk->visits++;
    return 0;
}

/* Outside of sections: it may wait until what readers might see has gone. */
static int
delete_one(void *opaque)
{
    struct pausing *walk = opaque;
    uint64_t number = 3000 + walk->pauses++ % 10;
    set_number(walk->cache, number, 10, 1);
    assert_int_not_equal(handle_store_reclaim(sinter_cache_store(walk->cache), 1), -EDEADLK);
    return walk->pauses == 100 ? 78 : 0;
}

static void
test_walk_pausing(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    struct pausing walk = {.cache = cache};
    for (uint64_t i = 0; i < 3000; i++)
        set_number(cache, i, 10, 1);
    assert_int_equal(sinter_cache_walk_pausing(cache, count_visit, delete_one, &walk), 78);
    assert_int_equal(walk.pauses, 100);
    assert_true(walk.visits > 0 && walk.visits <= 700);
    assert_int_equal(sinter_cache_walk_pausing(cache, count_visit, NULL, &walk), -EINVAL);
}

static void
test_cas_above(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    set_number(cache, 1, 10, 1);
    uint64_t before = sinter_cache_written();
    assert_true(before > 0 && before < 1000000);
    assert_int_equal(sinter_cache_configure(cache, "cas_above", "1000000"), 0);
    set_number(cache, 1, 10, 1);
    assert_int_equal(sinter_cache_written(), 1000001);
    assert_int_equal(sinter_cache_configure(cache, "cas_above", "10"), 0);
    set_number(cache, 1, 10, 1);
    assert_int_equal(sinter_cache_written(), 1000002);
}

struct busy_walk {
    sinter_cache *cache;
    unsigned char seen[3000];
    uint64_t next;
};

/* The visitor writes, so that the index grows, and deletes what it made: nothing is missed. */
static int
visit_and_write(void *opaque, const struct sinter_cache_view *item)
{
    struct busy_walk *walk = opaque;
    char key[21];
    uint64_t number;
    memcpy(&number, item->data, sizeof(number));
    if (number < 3000)
        walk->seen[number] = 1;
    if (walk->next < 20000)
        set_number(walk->cache, walk->next, 10, 1);
    make_key(key, walk->next++ - 1500);
    sinter_cache_delete(walk->cache, key, 20, 0);
    return walk->next > 40000;
}

static void
test_walk_beside_writes(void **state)
{
    unsigned missed = 0;
    struct busy_walk walk = {.cache = ((struct fixture_cache *)*state)->cache, .next = 5000};
    for (uint64_t i = 0; i < 3000; i++)
        set_number(walk.cache, i, 10, 1);
    assert_int_equal(sinter_cache_walk(walk.cache, visit_and_write, &walk), 0);
    for (unsigned i = 0; i < 3000; i++)
        missed += walk.seen[i] != 1;
    assert_true(missed <= cache_stats(walk.cache).crowded);
    assert_true(cache_stats(walk.cache).crowded < 15);
    assert_sound(walk.cache);
}

/* ---- the callback ---------------------------------------------------------------------------- */

/* Calls back in every way. */
static void
note_told(void *opaque, const struct sinter_cache_view *item, enum sinter_cache_reason reason)
{
    struct fixture_cache *fixture = opaque;
    char key[SINTER_CACHE_KEY_MAX + 1], value[300] = "";
    memcpy(key, item->key, item->key_size);
    fixture->told[reason]++;
    fixture->told_bytes += item->info.size;
    if (fixture->told[reason] % 16)
        return;
    if (sinter_cache_get(fixture->cache, key, item->key_size, NULL, 0, NULL) != -ENOENT)
        fixture->errors++;
    sinter_cache_set(fixture->cache, "from the callback", 17, value, sizeof(value), 0, 0);
    sinter_cache_delete(fixture->cache, "from the callback", 17, 0);
    if (FLAVOUR_SEES_SECTIONS && sinter_cache_destroy(fixture->cache) != -EDEADLK)
        fixture->errors++;
}

static void
test_callback(void **state)
{
    struct fixture_cache *fixture = *state;
    assert_int_equal(sinter_cache_destroy(fixture->cache), 0);
    fixture->options.evicted = note_told;
    cache_open(fixture);
    for (uint64_t i = 0; i < (slow_run() ? 14000 : 20000); i++)
        assert_int_equal(set_number(fixture->cache, i, i % 500 ? 500 : 100000, 1), 0);
    struct sinter_cache_stats stats = cache_stats(fixture->cache);
    assert_true(stats.evicted > 1000);
    assert_true(fixture->told[SINTER_CACHE_EVICTED] <= stats.evicted);
    assert_true(fixture->told[SINTER_CACHE_EVICTED] * 2 >= stats.evicted);
    assert_int_equal(fixture->errors, 0);
    assert_sound(fixture->cache);
}

/* ---- texts ----------------------------------------------------------------------------------- */

struct text {
    char of[16384];
    size_t length;
};

static void
collect(void *opaque, const char *piece, size_t length)
{
    struct text *text = opaque;
    assert_true(length >= 1 && length <= 512 && text->length + length < sizeof(text->of));
    memcpy(text->of + text->length, piece, length);
    text->length += length;
    text->of[text->length] = '\0';
}

static void
test_print(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    static struct text text;
    for (uint64_t i = 0; i < 100; i++)
        set_number(cache, i, 10, 1);
    check_number(cache, 1);
    check_number(cache, 1000);
    text.length = 0;
    assert_int_equal(sinter_cache_print(cache, HANDLE_STATS_TEXT, collect, &text), 0);
    assert_non_null(strstr(text.of, "cache cache\n"));
    text.length = 0;
    assert_int_equal(sinter_cache_print(cache, HANDLE_STATS_JSON, collect, &text), 0);
    assert_non_null(strstr(text.of, "{\"name\":\"cache\",\"limit_bytes\":8388608,"));
    assert_non_null(strstr(text.of, "\"items\":100,"));
    assert_non_null(strstr(text.of, "\"hits\":1,\"misses\":1,"));
    assert_int_equal(text.of[text.length - 2], '}');
    text.length = 0;
    assert_int_equal(sinter_cache_print(cache, HANDLE_STATS_PROMETHEUS, collect, &text), 0);
    assert_non_null(strstr(text.of, "# TYPE sinter_cache_hits_total counter\n"
                                    "sinter_cache_hits_total{cache=\"cache\"} 1\n"));
    assert_non_null(strstr(text.of, "# TYPE sinter_cache_wait_seconds_total counter\n"));
    assert_non_null(strstr(text.of, "sinter_cache_wait_max_seconds{cache=\"cache\"} 0.0000"));
    assert_int_equal(sinter_cache_print(cache, (enum handle_stats_format)3, collect, &text),
                     -EINVAL);
}

/* A name that a format could not have. Seen failing: bytes that are no UTF-8 in JSON. */
/* ---- census and doctor ----------------------------------------------------------------------- */

static struct {
    char text[1 << 16];
    size_t length;
    unsigned small, large;
} census;

static void
collect_census(void *opaque, const char *text, size_t length)
{
    (void)opaque;
    assert_true(census.length + length <= sizeof(census.text));
    memcpy(census.text + census.length, text, length);
    census.length += length;
}

static const char *
kind_of(void *opaque, const struct sinter_cache_view *item)
{
    assert_ptr_equal(opaque, &census);
    assert_int_equal(item->key_size, 20);
    assert_true(item->data ? item->data_size == item->info.size : item->info.size > 60000);
    *(item->data ? &census.small : &census.large) += 1;
    return item->data ? "small ones" : NULL;
}

static bool
census_has(const char *kind)
{
    return memmem(census.text, census.length, kind, strlen(kind)) != NULL;
}

static void
test_census(void **state)
{
    static char value[200000];
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    char key[21];
    for (uint64_t i = 0; i < 3000; i++)
        set_number(cache, i, 10, 1);
    make_key(key, 3000);
    assert_int_equal(sinter_cache_set(cache, key, 20, value, sizeof(value), 0, 0), 0);
    census.length = census.small = census.large = 0;
    assert_int_equal(
        sinter_cache_census(NULL, NULL, NULL, HANDLE_PROFILE_PPROF, collect_census, NULL), -EINVAL);
    assert_int_equal(
        sinter_cache_census(cache, kind_of, &census, HANDLE_PROFILE_PPROF, collect_census, NULL),
        0);
    assert_int_equal(census.small, 3000);
    assert_int_equal(census.large, 1);
    assert_true(census_has("small ones") && census_has("items"));
    assert_true(census_has("pieces of large values"));
}

static void
count_limit(void *opaque, const struct handle_finding *finding)
{
    *(unsigned *)opaque +=
        strcmp(finding->code, "limit_near") == 0 || strcmp(finding->code, "limit_hit") == 0;
}

/* Of the store alone the doctor says that its limit is near, or was hit. */
static void
test_doctor_of_a_full_cache(void **state)
{
    static char value[2000];
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    unsigned near = 0;
    for (uint64_t i = 0; near == 0; i++) {
        char key[21];
        struct handle_stats stats = HANDLE_STATS_INIT;
        make_key(key, i);
        assert_int_equal(sinter_cache_set(cache, key, 20, value, sizeof(value), 0, 0), 0);
        assert_int_equal(handle_store_stats(sinter_cache_store(cache), &stats), 0);
        assert_true(handle_stats_doctor(&stats, count_limit, &near) >= 0);
        assert_true(i < 1000000);
    }
    near = 0;
    assert_true(sinter_cache_doctor(cache, count_limit, &near) >= 0);
    assert_int_equal(near, 0);
    assert_int_equal(sinter_cache_doctor(cache, NULL, NULL), -EINVAL);
    assert_int_equal(sinter_cache_doctor(NULL, count_limit, &near), -EINVAL);
}

static void
test_print_names(void **state)
{
    struct sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
    static struct text text;
    (void)state;
    options.name = "k\xc3\xa4se\xff\"\\\n\x7f!";
    sinter_cache *cache = sinter_cache_create_flavor(&options, &rcu_flavor);
    assert_non_null(cache);
    for (int format = HANDLE_STATS_TEXT; format <= HANDLE_STATS_PROMETHEUS; format++) {
        text.length = 0;
        assert_int_equal(
            sinter_cache_print(cache, (enum handle_stats_format)format, collect, &text), 0);
        assert_non_null(strstr(text.of, "k__se_____!"));
    }
    assert_int_equal(sinter_cache_destroy(cache), 0);
}

/* An item's cost: what is beside key, value and the process. */
static void
test_bytes_an_item(void **state)
{
    struct fixture_cache *fixture = *state;
    sinter_cache *cache = fixture->cache;
    assert_int_equal(sinter_cache_configure(cache, "limit_bytes", "256M"), 0);
    uint64_t before = cache_stats(cache).held_bytes, count = slow_run() ? 50000 : 200000;
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(set_number(cache, i, 16, 0), 0); /* value 32 */
    struct sinter_cache_stats stats = cache_stats(cache);
    assert_int_equal(stats.items + stats.crowded, count);
    assert_true((stats.held_bytes - before) / count <= 92);
}

/* ---- counts ---------------------------------------------------------------------------------- */

#define COUNTERS 40u /* more threads than own a stripe of the counts */

static void
miss_often(void *opaque, unsigned index)
{
    (void)index;
    for (unsigned i = 0; i < 1000; i++)
        thread_check(lookup(opaque, "absent") == -ENOENT);
}

/* No count is lost, whether a thread has a stripe, shares one, or comes after one that ended. */
static void
test_threads_come_and_go(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    for (unsigned round = 0; round < 4; round++)
        run_threads(COUNTERS, miss_often, cache);
    assert_int_equal(cache_stats(cache).misses, 4 * COUNTERS * 1000);
}

int
group_insight(void)
{
    const struct CMUnitTest tests[] = {
        CACHE_TEST(test_walk),
        CACHE_TEST(test_walk_pausing),
        CACHE_TEST(test_cas_above),
        CACHE_TEST(test_walk_beside_writes),
        CACHE_TEST(test_callback),
        CACHE_TEST(test_print),
        CACHE_TEST(test_census),
        CACHE_TEST(test_doctor_of_a_full_cache),
        CACHE_TEST(test_print_names),
        CACHE_TEST(test_bytes_an_item),
        CACHE_TEST(test_threads_come_and_go),
    };
    return cmocka_run_group_tests_name("insight", tests, NULL, NULL);
}
