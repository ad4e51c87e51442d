/* SPDX-License-Identifier: MIT */
/* cell_tag_too_large.c - a tag of more than 24 bits. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_cell cell = HANDLE_CELL_INIT;
    uint32_t tag;
    section_enter();
    const void *object = handle_cell_alloc(store, &cell, 40, 0);
    expect(handle_cell_set_tag(store, &cell, 0x1000000) == -EINVAL);
    expect(handle_cell_set_tag(store, &cell, UINT32_MAX) == -EINVAL);
    expect(handle_cell_read(store, &cell, &tag) == object && tag == 0);
    expect(handle_cell_free(store, &cell) == 0);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
