/* SPDX-License-Identifier: MIT */
/*
 * at_limit.c - what a cache at its limit does, in ten lines: on EAGAIN it waits, on ENOMEM it
 * evicts, and then it tries again. handle.h has the same ten lines.
 *
 * The cache evicts its oldest entry. Twice in its life it is asked for entries of another size,
 * which need memory that entries of the sizes before have been evicted from.
 */
#include <urcu.h>

#include <sinter/handle.h>

#include "expect.h"

#include <errno.h>
#include <string.h>

#define MAX_BYTES (UINT64_C(8) << 20)
#define ENTRIES   60000u /* of each size */
#define RING      (1u << 20)

static handle_t ring[RING]; /* oldest first */
static size_t oldest, newest;

/** Room for an entry, outside of sections. HANDLE_NULL: not even an empty cache has it. */
static handle_t
alloc_at_limit(handle_store *store, size_t size)
{
    /* begin: as in handle.h */
    handle_t entry;
    while ((entry = handle_alloc(store, size)) == HANDLE_NULL) {
        if (errno == EAGAIN)
            handle_store_reclaim(store, size); // it is on its way: wait for it
        else if (errno == ENOMEM && oldest < newest)
            handle_free(store, ring[oldest++ % RING]); // it is not: evict
        else
            return HANDLE_NULL;
    }
    return entry;
    /* end */
}

static void
fill_entry(handle_store *store, handle_t entry, size_t size)
{
    rcu_read_lock();
    void *object = handle_deref_mut(store, entry);
    if (expect(object != NULL))
        memset(object, (int)(size % 251), size);
    rcu_read_unlock();
}

static void
insert_entries(handle_store *store, size_t size)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        handle_t entry = alloc_at_limit(store, size);
        if (!expect(entry != HANDLE_NULL))
            return;
        fill_entry(store, entry, size);
        ring[newest++ % RING] = entry;
    }
    printf("%zu bytes each: %zu entries are kept, %.1f of %.1f MiB\n", size, newest - oldest,
           (double)handle_store_used(store) / (1 << 20), (double)MAX_BYTES / (1 << 20));
    expect(handle_store_used(store) >= MAX_BYTES / 2);
}

int
main(void)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.max_bytes = MAX_BYTES;
    rcu_register_thread();
    handle_store *store = handle_store_create(&options);
    if (!store) {
        perror("handle_store_create");
        return 1;
    }
    insert_entries(store, 240);
    insert_entries(store, 1000);
    insert_entries(store, 100);
    /* More than the store may have: everything is evicted, and the answer is no. */
    expect(alloc_at_limit(store, MAX_BYTES) == HANDLE_NULL);
    expect(errno == ENOMEM && oldest == newest);
    expect(handle_store_destroy(store) == 0);
    rcu_unregister_thread();
    return expect_status();
}
