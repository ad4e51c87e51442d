/* SPDX-License-Identifier: MIT */
/*
 * consumer.c - a C program outside the source tree that uses the installed library: header and
 * library are of one version, objects keep their contents over a compaction, and nothing is left.
 * Not a test of the store itself.
 */
#include <urcu.h>

#include <sinter/handle.h>

#include <stdio.h>
#include <string.h>

enum { OBJECTS = 1000, OBJECT_BYTES = 100 };

static int
fail(const char *what)
{
    fprintf(stderr, "consumer.c: %s\n", what);
    return 1;
}

static int
version_matches(void)
{
    char expected[32];
    snprintf(expected, sizeof(expected), "%d.%d.%d", HANDLE_VERSION_MAJOR, HANDLE_VERSION_MINOR,
             HANDLE_VERSION_PATCH);
    return strcmp(expected, handle_version()) == 0;
}

static int
fill(handle_store *store, handle_t *handles)
{
    for (int i = 0; i < OBJECTS; i++) {
        void *object;
        rcu_read_lock();
        handles[i] = handle_alloc_object(store, OBJECT_BYTES, 0, &object);
        if (handles[i] != HANDLE_NULL)
            memset(object, i % 251, OBJECT_BYTES);
        rcu_read_unlock();
        if (handles[i] == HANDLE_NULL)
            return 0;
    }
    return 1;
}

/* Every other object is freed; the rest must read as filled, the freed ones not at all. */
static int
thin_out(handle_store *store, const handle_t *handles)
{
    for (int i = 0; i < OBJECTS; i += 2)
        if (handle_free(store, handles[i]) != 0)
            return 0;
    return handle_store_compact(store, NULL) == 0;
}

static int
contents_match(handle_store *store, const handle_t *handles)
{
    unsigned char expected[OBJECT_BYTES];
    for (int i = 0; i < OBJECTS; i++) {
        memset(expected, i % 251, sizeof(expected));
        rcu_read_lock();
        const void *object = handle_deref(store, handles[i]);
        int good = i % 2 ? object && memcmp(object, expected, sizeof(expected)) == 0 : !object;
        rcu_read_unlock();
        if (!good)
            return 0;
    }
    return 1;
}

static int
use(handle_store *store)
{
    static handle_t handles[OBJECTS];
    if (!fill(store, handles))
        return fail("no memory for a thousand objects");
    if (!thin_out(store, handles))
        return fail("freeing or compacting failed");
    if (!contents_match(store, handles))
        return fail("an object is not what it was filled with");
    size_t used = 0;
    if (handle_store_used_exact(store, &used) != 0 || used != OBJECTS / 2 * OBJECT_BYTES)
        return fail("handle_store_used_exact is not the sum of the live objects");
    if (handle_store_check(store, NULL, NULL) != 0)
        return fail("handle_store_check found violations");
    return 0;
}

int
main(void)
{
    if (!version_matches())
        return fail("header and library are of different versions");
    rcu_register_thread();
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.arena_bytes = 64u << 20;
    handle_store *store = handle_store_create(&options);
    if (!store)
        return fail("no store");
    int result = use(store);
    if (handle_store_destroy(store) != 0)
        result = fail("the store cannot be destroyed");
    rcu_unregister_thread();
    if (result == 0)
        printf("consumer.c: sinter %s works\n", handle_version());
    return result;
}
