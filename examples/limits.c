/* SPDX-License-Identifier: MIT */
/*
 * limits.c - a store with a memory limit, kept full. max_bytes bounds everything the store has
 * backed by pages, headers and table included. At the limit an allocation
 *
 *   1. asks the application, by the pressure callback, which may free something;
 *   2. fails with EAGAIN where memory is on its way (freed objects that wait for their grace
 *      period, compaction): handle_store_reclaim waits for it, then try again;
 *   3. fails with ENOMEM where nothing is on its way: the application has to give something up.
 *
 * The program keeps notes in a ring, and gives up the oldest. Their size changes half way, which in
 * a store that cannot compact would leave the memory in the wrong size class.
 */
#include <urcu.h>

#include <sinter/handle.h>

#include "expect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES  (UINT64_C(16) << 20)
#define NOTES      100000u /* written per size */
#define SMALL      240u
#define LARGE      492u
#define RING       (1u << 20)
#define RELIEF     (64u << 10) /* bytes given up under pressure: many at once save waiting */
#define PATIENCE   1000 /* attempts to get one note stored before the example calls itself stuck */
#define FULL_SHARE 0.80 /* of max_bytes that the notes take in the end, at least */

/** The notes, oldest first. */
static handle_t ring[RING];
static size_t oldest, newest;
static uint64_t by_pressure, by_enomem, waits;

static bool
give_up_oldest(handle_store *store)
{
    if (oldest == newest)
        return false;
    return expect(handle_free(store, ring[oldest++ % RING]) == 0);
}

/** Pressure: frees a batch. Called by the allocation that found no room, with no lock held. */
static void
relieve(void *opaque, handle_store *store, size_t bytes)
{
    size_t freed = 0;
    (void)opaque;
    while ((freed < bytes || freed < RELIEF) && give_up_oldest(store)) {
        by_pressure++;
        freed += SMALL;
    }
}

/** Stores one note, whatever it takes. */
static bool
write_note(handle_store *store, uint32_t number, size_t size)
{
    for (int attempt = 0; attempt < PATIENCE; attempt++) {
        void *object;
        rcu_read_lock();
        handle_t note = handle_alloc_object(store, size, 0, &object);
        int error = errno; /* of this call; the section's end may change it */
        if (object)
            memset(object, (int)(number % 251), size);
        rcu_read_unlock();
        if (note != HANDLE_NULL) {
            ring[newest++ % RING] = note;
            return true;
        }
        if (error == EAGAIN) {
            waits++;
            expect(handle_store_reclaim(store, size) == 0); /* outside of sections: it waits */
        } else if (expect(error == ENOMEM)) {
            by_enomem++;
            give_up_oldest(store);
        }
    }
    return expect(!"a note could be stored");
}

/** Every note in the ring is as it was written. */
static void
read_notes(handle_store *store, uint32_t first_number)
{
    for (size_t i = oldest; i < newest; i++) {
        rcu_read_lock();
        const unsigned char *note = handle_deref(store, ring[i % RING]);
        size_t size = handle_size(store, ring[i % RING]);
        unsigned char byte = (unsigned char)((first_number + i) % 251);
        if (expect(note != NULL && size > 0))
            expect(note[0] == byte && note[size - 1] == byte);
        rcu_read_unlock();
    }
}

static void
write_notes(handle_store *store, uint32_t first_number, size_t size)
{
    for (uint32_t i = 0; i < NOTES; i++) {
        if (!write_note(store, first_number + i, size))
            exit(expect_status());
    }
}

static void
show(handle_store *store, size_t size)
{
    struct handle_stats stats = HANDLE_STATS_INIT;
    expect(handle_store_stats(store, &stats) == 0);
    printf("%zu-byte notes: %zu kept, %.1f MiB of %.1f committed (peak %.1f, limit %.1f)\n", size,
           newest - oldest, (double)handle_store_used(store) / (1 << 20),
           (double)stats.committed / (1 << 20), (double)stats.committed_peak / (1 << 20),
           (double)stats.max_bytes / (1 << 20));
    expect(stats.committed_peak <= MAX_BYTES);
    expect((double)handle_store_used(store) >= FULL_SHARE * (double)MAX_BYTES);
}

/** A wrong value is refused with a text; nothing changes. */
static void
keep_complaint(void *opaque, const char *message)
{
    (void)opaque;
    printf("refused: %s\n", message);
}

int
main(void)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    char limit[32];
    options.name = "notes";
    options.max_bytes = MAX_BYTES;
    options.pressure = relieve;
    options.error = keep_complaint;
    rcu_register_thread();
    handle_store *store = handle_store_create(&options);
    if (!store) {
        perror("handle_store_create");
        return 1;
    }
    write_notes(store, 0, SMALL);
    show(store, SMALL);
    write_notes(store, NOTES, LARGE);
    show(store, LARGE);
    read_notes(store, 0);
    printf("given up under pressure: %" PRIu64 ", on ENOMEM: %" PRIu64 "; waits on EAGAIN: %" PRIu64
           "\n",
           by_pressure, by_enomem, waits);
    expect(by_pressure + by_enomem > 0);
    expect(handle_store_set(store, "max_bytes", "1M") == -EINVAL); /* below the least */
    expect(handle_store_get(store, "max_bytes", limit, sizeof(limit)) == 0);
    expect(strcmp(limit, "16777216") == 0 || strcmp(limit, "16M") == 0);
    expect(handle_store_destroy(store) == 0);
    rcu_unregister_thread();
    return expect_status();
}
