/* SPDX-License-Identifier: MIT */
/* support.c - see support.h. */
#include "support.h"

#include <inttypes.h>
#include <unistd.h>

/* ---- the fixture ----------------------------------------------------------------------------- */

static void
note_error(void *opaque, const char *message)
{
    struct fixture_cache *fixture = opaque;
    fixture->errors++;
    snprintf(fixture->error, sizeof(fixture->error), "%s", message);
}

uint64_t
fixture_clock(void *opaque)
{
    return __atomic_load_n(&((struct fixture_cache *)opaque)->now_ms, __ATOMIC_RELAXED);
}

void
cache_options(struct fixture_cache *fixture)
{
    fixture->options = (struct sinter_cache_options)SINTER_CACHE_OPTIONS_INIT;
    fixture->options.limit_bytes = 8 * MIB;
    fixture->options.wait_ms = 60000; /* the machine may be loaded */
    fixture->options.error = note_error;
    fixture->options.clock_ms = fixture_clock;
    fixture->options.opaque = fixture;
    fixture->now_ms = 1000;
}

void
cache_open(struct fixture_cache *fixture)
{
    fixture->cache = sinter_cache_create_flavor(&fixture->options, &rcu_flavor);
    assert_non_null(fixture->cache);
}

int
cache_setup(void **state)
{
    struct fixture_cache *fixture = calloc(1, sizeof(*fixture));
    *state = fixture;
    cache_options(fixture);
    cache_open(fixture);
    return 0;
}

int
cache_teardown(void **state)
{
    struct fixture_cache *fixture = *state;
    int rc = 0;
    while (section_depth)
        section_leave();
    if (fixture->cache)
        rc = sinter_cache_destroy(fixture->cache);
    free(fixture);
    return rc;
}

/* ---- texts ----------------------------------------------------------------------------------- */

int
set_text(sinter_cache *cache, const char *key, const char *value)
{
    return sinter_cache_set(cache, key, strlen(key), value, strlen(value), 0, 0);
}

int
set_ttl(sinter_cache *cache, const char *key, const char *value, uint64_t ttl_ms)
{
    return sinter_cache_set(cache, key, strlen(key), value, strlen(value), 0, ttl_ms);
}

int
compare_text(sinter_cache *cache, const char *key, const char *value)
{
    char text[512];
    struct sinter_cache_info info;
    int rc = sinter_cache_get(cache, key, strlen(key), text, sizeof(text), &info);
    if (rc != 0)
        return rc;
    return info.size == strlen(value) && memcmp(text, value, info.size) == 0 ? 0 : 1;
}

int
lookup(sinter_cache *cache, const char *key)
{
    char text[512];
    return sinter_cache_get(cache, key, strlen(key), text, sizeof(text), NULL);
}

/* ---- numbers --------------------------------------------------------------------------------- */

void
make_key(char key[21], uint64_t number)
{
    snprintf(key, 21, "key:%016" PRIx64, number * UINT64_C(0xd6e8feb86659fd93));
}

/* number, version, then bytes that follow from both */
int
set_number(sinter_cache *cache, uint64_t number, size_t size, uint64_t version)
{
    char key[21];
    uint64_t head[2] = {number, version};
    char *value = malloc(size + 16);
    if (!value)
        return -ENOMEM;
    memcpy(value, head, 16);
    fill(value + 16, size, number ^ version);
    make_key(key, number);
    int rc = sinter_cache_set(cache, key, 20, value, size + 16, (uint32_t)version, 0);
    free(value);
    if (!section_depth)
        quiesce();
    return rc;
}

int
check_number(sinter_cache *cache, uint64_t number)
{
    char key[21];
    uint64_t head[2];
    struct sinter_cache_info info;
    make_key(key, number);
    char *value = sinter_cache_get_copy(cache, key, 20, &info);
    if (!value)
        return -errno;
    memcpy(head, value, 16);
    bool good = info.size >= 16 && head[0] == number && info.flags == (uint32_t)head[1] &&
                mismatch(value + 16, info.size - 16, number ^ head[1]) == info.size - 16;
    free(value);
    return good ? 0 : 1;
}

void
rest(void)
{
    wait_begin();
    usleep(1000);
    wait_end();
}

/* ---- sums ------------------------------------------------------------------------------------ */

struct sinter_cache_stats
cache_stats(sinter_cache *cache)
{
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    assert_int_equal(sinter_cache_stats(cache, &stats), 0);
    return stats;
}

int
count_item(void *opaque, const struct sinter_cache_view *item)
{
    (void)item;
    ++*(uint64_t *)opaque;
    return 0;
}

static int
add_item(void *opaque, const struct sinter_cache_view *item)
{
    uint64_t *sums = opaque;
    sums[0]++;
    sums[1] += item->key_size + item->info.size;
    return 0;
}

void
assert_sound(sinter_cache *cache)
{
    uint64_t sums[2];
    struct sinter_cache_stats stats;
    /* The cache's thread may make a bucket, and then an item is shown twice. */
    do {
        sums[0] = sums[1] = 0;
        stats = cache_stats(cache);
        assert_int_equal(sinter_cache_walk(cache, add_item, sums), 0);
    } while (stats.buckets != cache_stats(cache).buckets);
    assert_int_equal(stats.gets, stats.hits + stats.misses);
    assert_int_equal(stats.items, stats.inserted - stats.deleted - stats.evicted - stats.crowded -
                                      stats.expired - stats.cleared);
    assert_true(stats.ring_bytes <= stats.used_bytes + 16 * stats.items);
    assert_true(sums[0] <= stats.items); /* expired ones are not shown */
    assert_true(sums[1] <= stats.payload_bytes);
    if (!stats.expired && sums[0] == stats.items)
        assert_int_equal(sums[1], stats.payload_bytes);
    assert_int_equal(handle_store_check(sinter_cache_store(cache), print_violation, NULL), 0);
}
