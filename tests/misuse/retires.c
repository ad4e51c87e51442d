/* SPDX-License-Identifier: MIT */
/*
 * retires.c - objects that are retired twice, changed after it, or damaged before it.
 *
 * Seen failing, with the library broken like this:
 *   a retired word matches another retire          retire_twice
 *   cancelling makes a retired word LIVE           retire_then_change
 *   the header is not looked at                    retire_of_overwritten
 *   handles of no entry taken                      retire_of_nothing
 *   generations not compared                       retire_of_other_store
 */
#include "support.h"

static void
retire_twice(handle_store *store)
{
    handle_t handle = make(store, 40, NULL);
    expect(handle_retire(store, handle) == 0);
    expect(handle_retire(store, handle) == -ENOENT);
    expect(handle_store_reclaim(store, SIZE_MAX) == 0);
    expect(handle_retire(store, handle) == -ENOENT);
    expect(handle_free(store, handle) == -ENOENT);
}

static void
retire_then_free_twice(handle_store *store)
{
    handle_t handle = make(store, 40, NULL);
    section_enter();
    expect(handle_retire(store, handle) == 0);
    expect(handle_free_now(store, handle) == 0);
    expect(handle_free_now(store, handle) == -ENOENT);
    expect(handle_free(store, handle) == -ENOENT);
    expect(handle_retire(store, handle) == -ENOENT);
    expect(handle_deref(store, handle) == NULL);
    section_leave();
}

static void
retire_then_change(handle_store *store)
{
    struct handle_update update;
    handle_t handle = make(store, 40, NULL);
    section_enter();
    expect(handle_retire(store, handle) == 0);
    expect(handle_deref_mut(store, handle) == NULL);
    expect(handle_resize(store, handle, 39) == -ENOENT);
    expect_errno(handle_pin(store, handle), ENOENT);
    expect_errno(handle_pin_mut(store, handle), ENOENT);
    expect_errno(handle_update_begin(store, handle, 9, &update), ENOENT);
    expect(handle_deref(store, handle) != NULL && handle_size(store, handle) == 40);
    section_leave();
}

static void
retire_of_nothing(handle_store *store)
{
    expect(handle_retire(store, HANDLE_NULL) == -ENOENT);
    expect(handle_retire(store, UINT64_MAX) == -ENOENT);
    expect(handle_retire(NULL, 1) == -EINVAL);
}

static void
retire_of_other_store(handle_store *store)
{
    handle_store *other = open_store();
    handle_t handle = make(other, 40, NULL), own = make(store, 40, NULL);
    expect(handle >> 24 == own >> 24); /* the same place in the table */
    expect(handle_retire(store, handle) == -ENOENT);
    expect(handle_free(store, own) == 0);
    expect(handle_retire(other, handle) == 0);
    close_sound(other);
}

/* Over its header. */
static void
retire_of_overwritten(handle_store *store)
{
    handle_t handle = make(store, 40, NULL);
    char *address = stray_address(store, handle);
    memset(address - 8, 0x11, 8);
    about(handle);
    (void)handle_retire(store, handle);
}

const struct misuse misuse_retires[] = {
    CASE(retire_twice, ALWAYS(RETURNS)),
    CASE(retire_then_free_twice, ALWAYS(RETURNS)),
    CASE(retire_then_change, ALWAYS(RETURNS)),
    CASE(retire_of_nothing, ALWAYS(RETURNS)),
    CASE(retire_of_other_store, ALWAYS(RETURNS)),
    CASE_OPEN(retire_of_overwritten,
              HARDENED_ONLY(ABORTS("handle_retire: store misuse, handle @: the header of the "
                                   "object at offset 0x* is damaged: *"))),
    CASES_END,
};
