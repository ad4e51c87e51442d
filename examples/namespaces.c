/* SPDX-License-Identifier: MIT */
/*
 * namespaces.c - several stores in one process: sessions, pages and thumbnails, each with a name, a
 * limit and statistics of its own, printed in the text format that Prometheus scrapes. Then one is
 * emptied and one ended, and the others do not notice.
 *
 * What to take from it: stores share nothing but the grace-period thread; options are per store; a
 * handle belongs to its store.
 */
#include <urcu.h>

#include <sinter/handle.h>

#include "expect.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SPACES      3u
#define OBJECTS_MAX 20000u

struct space {
    const char *name;
    size_t object_bytes;
    uint32_t objects;
    uint64_t max_bytes;
    handle_store *store;
    handle_t object[OBJECTS_MAX];
};

static struct space spaces[SPACES] = {
    {.name = "sessions", .object_bytes = 180, .objects = 20000},
    {.name = "pages", .object_bytes = 6000, .objects = 3000, .max_bytes = UINT64_C(64) << 20},
    {.name = "thumbnails", .object_bytes = 40000, .objects = 200},
};

/* ---- text in memory, as an HTTP handler would collect it ------------------------------------- */

struct text {
    char *bytes;
    size_t length, capacity;
};

static void
collect(void *opaque, const char *piece, size_t length)
{
    struct text *text = opaque;
    if (text->length + length + 1 > text->capacity) {
        size_t capacity = (text->length + length + 1) * 2;
        char *grown = realloc(text->bytes, capacity);
        if (!expect(grown != NULL))
            exit(expect_status());
        text->bytes = grown;
        text->capacity = capacity;
    }
    memcpy(text->bytes + text->length, piece, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

/** Number of lines that are samples (not comments) and carry this store's name. */
static unsigned
count_samples(const char *bytes, const char *name)
{
    char label[64];
    unsigned samples = 0;
    int label_length = snprintf(label, sizeof(label), "\"%s\"", name);
    for (const char *line = bytes; *line;) {
        size_t length = strcspn(line, "\n");
        samples += *line != '#' && memmem(line, length, label, (size_t)label_length) != NULL;
        line += length + (line[length] == '\n');
    }
    return samples;
}

/** Prints one store's statistics and looks whether they speak of it, and of no other. */
static void
scrape(const struct space *space)
{
    struct text text = {NULL, 0, 0};
    expect(handle_store_stats_print(space->store, HANDLE_STATS_PROMETHEUS, collect, &text) == 0);
    if (expect(text.bytes != NULL))
        fwrite(text.bytes, 1, text.length, stdout);
    for (unsigned i = 0; text.bytes && i < SPACES; i++) {
        unsigned samples = count_samples(text.bytes, spaces[i].name);
        expect(&spaces[i] == space ? samples > 0 : samples == 0);
    }
    free(text.bytes);
}

/* ---- the spaces ------------------------------------------------------------------------------ */

static void
open_space(struct space *space)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.name = space->name;
    options.max_bytes = space->max_bytes;
    space->store = handle_store_create(&options);
    if (!space->store) {
        perror(space->name);
        exit(1);
    }
    for (uint32_t i = 0; i < space->objects; i++) {
        void *object;
        rcu_read_lock();
        space->object[i] = handle_alloc_object(space->store, space->object_bytes, 0, &object);
        if (expect(object != NULL))
            memcpy(object, &i, sizeof(i));
        rcu_read_unlock();
    }
}

/** Every object of the space is there, and its statistics count these objects and no others. */
static void
look_through(const struct space *space)
{
    struct handle_stats stats = HANDLE_STATS_INIT;
    for (uint32_t i = 0; i < space->objects; i++) {
        rcu_read_lock();
        const void *object = handle_deref(space->store, space->object[i]);
        expect(object && memcmp(object, &i, sizeof(i)) == 0);
        rcu_read_unlock();
    }
    expect(handle_store_stats(space->store, &stats) == 0);
    expect(stats.objects == space->objects);
    expect(stats.max_bytes == space->max_bytes);
    size_t used = 0; /* counted: that of the statistics is an estimate */
    expect(handle_store_used_exact(space->store, &used) == 0);
    expect(used == space->objects * space->object_bytes);
}

/** Frees all objects at once; their handles are stale from now on. */
static void
empty_space(struct space *space)
{
    expect(handle_store_clear(space->store) == 0);
    expect(handle_store_used(space->store) == 0);
    for (uint32_t i = 0; i < space->objects; i++) {
        rcu_read_lock();
        expect(handle_deref(space->store, space->object[i]) == NULL);
        rcu_read_unlock();
    }
    space->objects = 0;
}

int
main(void)
{
    struct space *sessions = &spaces[0], *pages = &spaces[1], *thumbnails = &spaces[2];
    rcu_register_thread();
    for (unsigned i = 0; i < SPACES; i++)
        open_space(&spaces[i]);
    for (unsigned i = 0; i < SPACES; i++)
        look_through(&spaces[i]);
    for (unsigned i = 0; i < SPACES; i++)
        scrape(&spaces[i]);
    empty_space(sessions);
    expect(handle_store_destroy(pages->store) == 0);
    look_through(sessions);
    look_through(thumbnails);
    expect(handle_store_destroy(sessions->store) == 0);
    expect(handle_store_destroy(thumbnails->store) == 0);
    rcu_unregister_thread();
    return expect_status();
}
