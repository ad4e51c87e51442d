/* SPDX-License-Identifier: MIT */
/*
 * support.h - what the tests of the cache share: a cache for each test, with a clock that the test
 * sets; keys and values that can be recognised. Nothing here looks behind cache.h.
 */
#ifndef TEST_CACHE_SUPPORT_H
#define TEST_CACHE_SUPPORT_H

#include "../api/support.h"

#include <sinter/cache.h>

struct fixture_cache {
    sinter_cache *cache;
    struct sinter_cache_options options;
    uint64_t now_ms; /* atomic: the cache's clock, if the test asks for it */
    unsigned errors;
    char error[256];                     /* the last line */
    unsigned told[SINTER_CACHE_REASONS]; /* atomic: by the callback */
    char told_key[SINTER_CACHE_KEY_MAX + 1];
    uint64_t told_bytes;
};

/** Defaults of the tests: 8 MiB, the fixture's callbacks. */
void cache_options(struct fixture_cache *fixture);
void cache_open(struct fixture_cache *fixture);
int cache_setup(void **state);
int cache_teardown(void **state);
#define CACHE_TEST(function) cmocka_unit_test_setup_teardown(function, cache_setup, cache_teardown)

/** Sets the clock's hook; to be called before items with a time to live are made. */
uint64_t fixture_clock(void *opaque);

/** set, get and the like with strings. */
int set_text(sinter_cache *cache, const char *key, const char *value);
int set_ttl(sinter_cache *cache, const char *key, const char *value, uint64_t ttl_ms);
#define assert_text(cache, key, value) assert_int_equal(compare_text(cache, key, value), 0)
/** 0: the key has this value; else an errno, or 1: another value. */
int compare_text(sinter_cache *cache, const char *key, const char *value);
int lookup(sinter_cache *cache, const char *key);

/** A key of 20 bytes, and a value that follows from it and a version. */
void make_key(char key[21], uint64_t number);
int set_number(sinter_cache *cache, uint64_t number, size_t size, uint64_t version);
/** Whether the number's value is one that set_number wrote; ENOENT: it is not there. */
int check_number(sinter_cache *cache, uint64_t number);

/** A moment for threads of the library and grace periods. */
void rest(void);

struct sinter_cache_stats cache_stats(sinter_cache *cache);
/** A visitor that counts the items, in a uint64_t. */
int count_item(void *opaque, const struct sinter_cache_view *item);
/** What stats say of items has to add up; the store has to be sound. */
void assert_sound(sinter_cache *cache);

int group_create(void);
int group_items(void);
int group_expiry(void);
int group_large(void);
int group_limit(void);
int group_budget(void);
int group_crowd(void);
int group_insight(void);
int group_fork(void);
int group_callbacks(void);

#endif
