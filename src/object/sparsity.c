/* SPDX-License-Identifier: MIT */
/* sparsity.c - which objects lie where compaction would have to move them away. */
#include "core/misuse.h"
#include "object/object.h"

/* What is retired is on its way: nothing is left to evict. */
static uint32_t
sparsity(const handle_store *store, struct sn_name name)
{
    if (!name.reference)
        return 0;
    uint64_t word = sn_load_acquire(name.reference);
    if (((word ^ name.want) & name.mask) != 0 || sn_word_is_retired(word))
        return 0;
    return sn_heap_sparsity(&store->heap, sn_word_offset(word));
}

uint32_t
handle_sparsity(const handle_store *store, handle_t handle)
{
    sn_check_call(store, SN_IN_SECTION, handle, NULL);
    return sparsity(store, sn_name_of_handle(store, handle));
}

uint32_t
handle_cell_sparsity(const handle_store *store, const handle_cell *cell)
{
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, cell);
    return sparsity(store, sn_name_of_cell(store, cell));
}
