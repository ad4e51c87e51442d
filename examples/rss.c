/* SPDX-License-Identifier: MIT */
/*
 * rss.c - a cache whose resident memory does not fall: the sizes of its entries shift, and somebody
 * has turned compaction off. With the argument "wait" it stops before and after that is put right,
 * for those who want to look on with the program sinter (examples/README.md).
 */
#include <urcu.h>

#include <sinter/handle.h>

#include "expect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_BYTES ((size_t)32 << 20)
#define ENTRIES     1000000u

static handle_t entries[ENTRIES];
static size_t sizes[ENTRIES];
static size_t count, used;
static unsigned seed = 7;

/** Entries of sizes from low to high come, and others go. */
static void
shift(handle_store *store, size_t low, size_t high)
{
    for (size_t bytes = 0; bytes < CACHE_BYTES;) {
        size_t size = low + (size_t)rand_r(&seed) % (high - low + 1);
        while (used + size > CACHE_BYTES) {
            size_t victim = (size_t)rand_r(&seed) % count;
            expect(handle_free(store, entries[victim]) == 0);
            used -= sizes[victim];
            entries[victim] = entries[--count];
            sizes[victim] = sizes[count];
        }
        entries[count] = handle_alloc(store, size);
        expect(entries[count] != HANDLE_NULL);
        sizes[count++] = size;
        used += size;
        bytes += size;
    }
}

static void
write_text(void *file, const char *text, size_t length)
{
    fwrite(text, 1, length, file);
}

/** Statistics for `sinter doctor` and `sinter diff`. */
static void
write_statistics(handle_store *store, const char *path)
{
    FILE *file = fopen(path, "w");
    expect(file != NULL);
    expect(handle_store_stats_print(store, HANDLE_STATS_JSON, write_text, file) == 0);
    fclose(file);
}

static void
look_on(handle_store *store, bool waits, const char *path)
{
    if (!waits)
        return;
    write_statistics(store, path);
    printf("%s is written; press Enter\n", path);
    (void)getchar();
}

static uint64_t
committed(handle_store *store)
{
    struct handle_stats stats = HANDLE_STATS_INIT;
    expect(handle_store_stats(store, &stats) == 0);
    return stats.committed;
}

int
main(int argc, char **argv)
{
    bool waits = argc > 1 && strcmp(argv[1], "wait") == 0;
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.name = "sessions";
    options.defrag.enabled = false;
    rcu_register_thread();
    handle_store *store = handle_store_create(&options);
    expect(store != NULL);
    shift(store, 240, 256);
    shift(store, 40, 64);
    shift(store, 270, 288);
    expect(handle_store_reclaim(store, SIZE_MAX) == 0);
    uint64_t before = committed(store);
    look_on(store, waits, "before.json");
    expect(handle_store_set(store, "defrag.enabled", "yes") == 0);
    expect(handle_store_compact(store, NULL) == 0); /* not to wait for the thread that it has now */
    expect(handle_store_purge(store, NULL) == 0);
    printf("%zu bytes of entries: %llu were committed, %llu are\n", used,
           (unsigned long long)before, (unsigned long long)committed(store));
    expect(committed(store) < before - before / 4);
    look_on(store, waits, "after.json");
    expect(handle_store_destroy(store) == 0);
    rcu_unregister_thread();
    return 0;
}
