/* SPDX-License-Identifier: MIT */
/*
 * exported.c - see exported.h. Apart from the tests, which use the inline versions.
 */
#define HANDLE_NO_INLINE
#include <sinter/handle.h>

#include "exported.h"

const void *
exported_deref(const struct handle_store *store, uint64_t handle)
{
    return handle_deref(store, handle);
}

uint32_t
exported_cell_tag(const void *cell)
{
    return handle_cell_tag(cell);
}

const void *
exported_cell_match(const struct handle_store *store, const void *cell, uint32_t tag)
{
    return handle_cell_match(store, cell, tag);
}

const void *
exported_cell_deref(const struct handle_store *store, const void *cell)
{
    return handle_cell_deref(store, cell);
}
