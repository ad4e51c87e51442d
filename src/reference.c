/* SPDX-License-Identifier: MIT */
/*
 * reference.c - the exported forms of the inline read path, for callers that cannot inline C. The
 * protocol stands in reference.h.
 */
#define HANDLE_NO_INLINE
#include "reference.h"

const void *
handle_deref(const handle_store *store, handle_t handle)
{
    const struct handle_store_head *head = (const void *)store;
    uint64_t entry = (handle >> 1 | handle << 63) & HANDLE_ENTRY_MASK;
    if ((int64_t)entry >= HANDLE_TABLE_END(head))
        return NULL;
    const char *table = (const char *)(const void *)store + HANDLE_TABLE_OFFSET;
    /* Acquire: as in handle.h (G1). */
    uint64_t word = sn_load_acquire((const uint64_t *)(const void *)(table + (entry << 3)));
    if (((word ^ handle) & HANDLE_MATCH_MASK) != 0)
        return NULL;
    return (const void *)(head->arena + sn_word_offset(word));
}

const void *
handle_cell_deref(const handle_store *store, const handle_cell *cell)
{
    const struct handle_store_head *head = (const void *)store;
    uint64_t word = sn_load_acquire(&cell->word);
    return sn_word_has_object(word) ? (const void *)(head->arena + sn_word_offset(word)) : NULL;
}
