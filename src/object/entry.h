/* SPDX-License-Identifier: MIT */
/*
 * entry.h - free entries of the handle table, taken and given back by way of the thread's cache.
 */
#ifndef SN_ENTRY_H
#define SN_ENTRY_H

#include "core/store.h"

/** The word of an entry, and its inverse: the table lies at a constant distance from the store. */
static inline uint64_t *
sn_entry_word(handle_store *store, uint64_t entry)
{
    return (uint64_t *)(void *)((char *)store + HANDLE_TABLE_OFFSET + entry);
}

static inline uint64_t
sn_entry_of(const handle_store *store, const uint64_t *reference)
{
    return (uint64_t)((const char *)reference - (const char *)store) - HANDLE_TABLE_OFFSET;
}

/** A free entry, on slow paths; 0: no memory, errno as of an allocation. The table grows by pages,
 * which stand against max_bytes as slots do. */
SN_NOINLINE uint64_t sn_entry_take(handle_store *store);

/** Gives back an entry that names nothing. */
SN_NOINLINE void sn_entry_put(handle_store *store, uint64_t entry);

/** Gives back the entry of an object that was freed, whose word was this; or counts it, if it must
 * not be issued again. */
void sn_entry_release(handle_store *store, const uint64_t *reference, uint64_t word);

#endif
