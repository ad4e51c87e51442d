/* SPDX-License-Identifier: MIT */
/* size_too_large.c - sizes that no arena holds, up to those that overflow. */
#include "support.h"

static void
run(void)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 7, SIZE_MAX / 2, (UINT64_C(1) << 30) + 1};
    handle_store *store = open_store();
    handle_t handle = make(store, 50, NULL);
    handle_cell cell = HANDLE_CELL_INIT;
    struct handle_update update;
    void *object;
    section_enter();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        expect_errno(handle_alloc(store, sizes[i]), EINVAL);
        expect_errno(handle_alloc_object(store, sizes[i], HANDLE_ZERO, &object), EINVAL);
        expect(object == NULL);
        expect_errno(handle_cell_alloc(store, &cell, sizes[i], 0), EINVAL);
        expect(cell.word == 0);
        expect(handle_resize(store, handle, sizes[i]) == -EINVAL);
        expect_errno(handle_update_begin(store, handle, sizes[i], &update), EINVAL);
    }
    expect(handle_size(store, handle) == 50);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
