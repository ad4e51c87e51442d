/* SPDX-License-Identifier: MIT */
/* entry.c - see object/entry.h. */
#include "object/entry.h"

#include "object/shortage.h"
#include "thread/refill.h"

/* Entries taken from the table at once, or given back to it. */
#define ENTRIES_AT_ONCE (SN_CACHE_INDEXES / 2)

/* One attempt. 0: no memory. */
static uint64_t
try_take(handle_store *store, void *unused)
{
    struct sn_thread_cache *cache = sn_cache_self(&store->caches);
    uint64_t entry = 0;
    (void)unused;
    if (!cache->shared && sn_cache_enter(cache)) {
        if (sn_cache_index_count(cache) == 0) {
            cache->indexes_ran_dry = true;
            sn_cache_set_index_count(cache,
                                     sn_table_take(&store->table, cache->indexes, ENTRIES_AT_ONCE));
        }
        entry = sn_cache_pop_index(cache);
        sn_cache_leave(cache);
        return entry;
    }
    if (!cache->shared)
        sn_cache_leave(cache);
    return sn_table_take(&store->table, &entry, 1) ? entry : 0;
}

static SN_NOINLINE uint64_t
resolve(handle_store *store)
{
    const struct sn_need need = {.bytes = SN_PAGE_BYTES,
                                 .page_bytes = SN_PAGE_BYTES,
                                 .class_id = SN_CLASS_NONE,
                                 .index = true};
    return sn_shortage_resolve(store, &need, try_take, NULL);
}

uint64_t
sn_entry_take(handle_store *store)
{
    uint64_t entry = try_take(store, NULL);
    if (sn_unlikely(entry == 0))
        return resolve(store);
    sn_shortage_end_wait(store, SN_CLASS_NONE, true);
    return entry;
}

void
sn_entry_put(handle_store *store, uint64_t entry)
{
    struct sn_thread_cache *cache = sn_cache_self(&store->caches);
    bool kept = false;
    if (!cache->shared) {
        if (sn_cache_enter(cache)) {
            if (!sn_cache_has_room_for_index(cache) &&
                !sn_cache_grow_indexes(&store->caches, cache)) {
                uint32_t kept_count = sn_cache_index_count(cache) - ENTRIES_AT_ONCE;
                sn_cache_set_index_count(cache, kept_count);
                sn_table_put(&store->table, cache->indexes + kept_count, ENTRIES_AT_ONCE);
            }
            sn_cache_push_index(cache, entry);
            kept = true;
        }
        sn_cache_leave(cache);
    }
    if (!kept)
        sn_table_put(&store->table, &entry, 1);
}

void
sn_entry_release(handle_store *store, const uint64_t *reference, uint64_t word)
{
    if (sn_unlikely(sn_table_is_used_up(&store->table, word)))
        sn_table_note_dead(&store->table);
    else
        sn_entry_put(store, sn_entry_of(store, reference));
}
