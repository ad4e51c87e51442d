/* SPDX-License-Identifier: MIT */
/*
 * self.c - a process reads its own store by the table of offsets alone, as others would, and
 * compares with handle_store_each: objects and requested bytes of every run of blocks, exactly; the
 * objects again where headers are read of a sample of the spans only.
 *
 * Seen failing: a map that looks into every span; sizes of one byte less; a wrong member's offset.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flavour.h"
#include "tools/reader.h"

#define OBJECTS 40000
#define BLOCKS  4096

static handle_store *store;
static handle_t handles[OBJECTS];
static uint64_t arena, objects[BLOCKS], bytes[BLOCKS]; /* by block, of handle_store_each */
static enum reader_detail detail;
static unsigned runs, looked_into;

static void
expect(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "self: %s\n", what);
    exit(1);
}

static size_t
size_of(unsigned i)
{
    static const size_t sizes[] = {0, 16, 100, 260, 1000, 5000, 20000};
    return i % 2000 == 1999 ? 100000 + i : sizes[i % 7];
}

static void
fill(void)
{
    for (unsigned i = 0; i < OBJECTS; i++)
        expect((handles[i] = handle_alloc(store, size_of(i))) != HANDLE_NULL, "handle_alloc");
    for (unsigned i = 0; i < OBJECTS; i++)
        if (i % 3 != 0)
            expect(handle_free(store, handles[i]) == 0, "handle_free");
    expect(handle_store_purge(store, NULL) == 0, "handle_store_purge");
}

static int
note(void *opaque, const struct handle_object *object)
{
    (void)opaque;
    uint64_t block = ((uint64_t)(uintptr_t)object->data - arena) >> 16;
    expect(block < BLOCKS, "the store is larger than the test");
    objects[block]++;
    bytes[block] += object->size;
    return 0;
}

static int
compare(void *opaque, const struct reader_run *run)
{
    (void)opaque;
    uint64_t live = 0, requested = 0;
    for (uint32_t block = run->at; block < run->at + run->blocks; block++) {
        live += objects[block];
        requested += bytes[block];
    }
    expect(run->live == live, "another number of objects");
    expect(run->ended == 0, "a slot waits");
    expect(run->no_contents || run->requested == requested, "other sizes");
    expect(!run->no_contents || detail == READER_SAMPLE, "headers were not read");
    runs += run->kind == READER_SLOTS;
    looked_into += run->kind == READER_SLOTS && !run->no_contents;
    return 0;
}

static void
damage(void *opaque, const char *sentence)
{
    (void)opaque;
    expect(false, sentence);
}

static void
read_all(enum reader_detail wanted)
{
    static struct reader_store found;
    const char *error = NULL;
    struct reader *reader = reader_open("self", &error);
    expect(reader != NULL, error);
    expect(reader_find(reader, "self", &found, &error), error);
    detail = wanted;
    runs = looked_into = 0;
    expect(found.arena == arena, "another arena");
    expect(reader_runs(reader, &found, wanted, compare, damage, NULL, &error) == 0, error);
    reader_close(reader);
}

int
main(void)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.name = "self";
    options.defrag.enabled = false;
    rcu_register_thread();
    store = handle_store_create(&options);
    expect(store != NULL, "handle_store_create");
    memcpy(&arena, (const char *)store + offsetof(struct handle_store_head, arena), sizeof(arena));
    fill();
    expect(handle_store_each(store, note, NULL) == 0, "handle_store_each");
    read_all(READER_EXACT);
    expect(looked_into == runs && runs > 100, "not all spans were looked into");
    read_all(READER_SAMPLE);
    expect(looked_into < runs / 2, "the sample is all there is"); /* what a map costs */
    printf("%u spans, as handle_store_each finds them; a map looks into %u\n", runs, looked_into);
    handle_store_destroy(store);
    return 0;
}
