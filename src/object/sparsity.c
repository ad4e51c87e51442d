/* SPDX-License-Identifier: MIT */
/* sparsity.c - which objects lie where compaction would have to move them away. */
#include "core/misuse.h"
#include "object/object.h"

/* What is retired is on its way: nothing is left to evict. */
static uint32_t
sparsity(const handle_store *store, const uint64_t *reference, uint64_t want, uint64_t mask)
{
    uint64_t word = sn_load_acquire(reference);
    if (((word ^ want) & mask) != 0 || sn_word_is_retired(word))
        return 0;
    return sn_heap_sparsity(&store->heap, sn_word_offset(word));
}

uint32_t
handle_sparsity(const handle_store *store, handle_t handle)
{
    sn_check_call(store, SN_IN_SECTION, handle, NULL);
    const uint64_t *reference = sn_store_word(store, handle);
    return reference ? sparsity(store, reference, sn_word_of_handle(handle), HANDLE_MATCH_MASK) : 0;
}

uint32_t
handle_cell_sparsity(const handle_store *store, const handle_cell *cell)
{
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, cell);
    return store && cell ? sparsity(store, &cell->word, SN_WORD_LIVE, SN_WORD_LIVE) : 0;
}
