/* SPDX-License-Identifier: MIT */
/* capacity.c - sizes that cost nothing more: what a slot serves beyond what was asked for. */
#include "core/misuse.h"
#include "object/object.h"

size_t
handle_good_size(const handle_store *store, size_t size)
{
    sn_check_call(store, SN_ANYWHERE, HANDLE_NULL, NULL);
    if (!store || size > (uint64_t)store->pool.blocks << SN_BLOCK_SHIFT)
        return 0;
    size_t extra = store->classes.extra;
    if (size > sn_classes_max_size(&store->classes))
        return sn_round_up(size + extra, SN_PAGE_BYTES) - extra;
    return sn_class_max_size(&store->classes, sn_class_for(&store->classes, size + extra));
}

/* What a resize keeps where it is; in a hardened store none does. */
static size_t
capacity(const handle_store *store, struct sn_name name)
{
    size_t size;
    uint64_t slot;
    if (!name.reference ||
        !sn_object_read_size(store, name.reference, name.want, name.mask, &size, &slot))
        return 0;
    if (store->hardened)
        return size;
    unsigned class_id = sn_object_class(store, slot);
    if (class_id < SN_CLASSES_MAX)
        return sn_class_max_size(&store->classes, class_id);
    size_t reserved = class_id == SN_CLASS_LARGE ? sn_large_capacity(&store->large, slot) : 0;
    return sn_max(sn_max(sn_object_slot_bytes(store, slot), size), reserved);
}

size_t
handle_capacity(const handle_store *store, handle_t handle)
{
    sn_check_call(store, SN_IN_SECTION, handle, NULL);
    return capacity(store, sn_name_of_handle(store, handle));
}

size_t
handle_cell_capacity(const handle_store *store, const handle_cell *cell)
{
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, cell);
    return capacity(store, sn_name_of_cell(store, cell));
}
