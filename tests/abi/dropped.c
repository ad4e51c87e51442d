/* SPDX-License-Identifier: MIT */
/*
 * dropped.c - results that are dropped. check.sh compiles it, as C and as C++, and counts the
 * warnings: of each MUST_USE, and of each MEANT unless that is (void) and the compiler takes it.
 */
#include <sinter/handle.h>

#define MUST_USE

void use(handle_store *store, handle_t handle, handle_cell *cell, struct handle_reserved *reserved,
         struct handle_update *update);

void
use(handle_store *store, handle_t handle, handle_cell *cell, struct handle_reserved *reserved,
    struct handle_update *update)
{
    /* Nothing else leads to what was made. */
    MUST_USE handle_alloc(store, 10);
    MUST_USE handle_alloc_object(store, 10, 0, 0);
    MUST_USE handle_publish(store, reserved);
    MUST_USE handle_pin(store, handle);
    MUST_USE handle_pin_mut(store, handle);
    MUST_USE handle_cell_pin(store, cell);
    MUST_USE handle_store_create_flavor(0, 0);
    /* Nothing else says that it failed. */
    MEANT handle_resize(store, handle, 20);
    MEANT handle_resize_reserve(store, handle, 20, 80000);
    MEANT handle_update_begin(store, handle, 20, update);
    MEANT handle_update_commit(store, update);
    MEANT handle_reserve(store, 10, 0, reserved);
    MEANT handle_cell_publish(store, cell, reserved, 0);
    MEANT handle_cell_alloc(store, cell, 10, 0);
    MEANT handle_cell_resize(store, cell, 20);
    MEANT handle_cell_resize_reserve(store, cell, 20, 80000);
    MEANT handle_cell_relocate(store, cell, cell);
    MEANT handle_cell_unlink(store, cell, cell);
    MEANT handle_cell_update_begin(store, cell, 20, update);
    MEANT handle_cell_update_commit(store, cell, update);
    MEANT handle_cell_set_tag(store, cell, 1);
    MEANT handle_store_set(store, "max_bytes", "0");
    MEANT handle_store_prepare(store, 100);
    MEANT handle_store_used_exact(store, 0);
    MEANT handle_alloc_many(store, 0, 0, 0, 0, 0);
    MEANT handle_cell_alloc_many(store, 0, 0, 0, 0, 0);
    /* May be dropped: of several one comes first, and it is called again. */
    handle_free(store, handle);
    handle_cell_free(store, cell);
    handle_store_reclaim(store, 100);
    handle_store_destroy(store);
}
