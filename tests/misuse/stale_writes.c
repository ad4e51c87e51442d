/* SPDX-License-Identifier: MIT */
/*
 * stale_writes.c - writes through an address that was kept too long: its slot's poison is gone.
 *
 * Seen failing, with the library broken like this:
 *   poison not looked at                           write_after_*
 *   no poison after a GP; a move; an abort         write_after_free; write_after_move; _abort
 *   hardened frees: nothing poisoned at once       write_after_free_now, _cell_free
 *   handle_store_check ignores poison              write_after_free_checked
 */
#include "support.h"

/* Over a grace period. The object is freed; its span stays. */
static char *
keep_address(handle_store *store)
{
    char *object;
    handle_t handle = make(store, 100, &object);
    about(handle);
    make(store, 100, NULL);
    expect(handle_free(store, handle) == 0);
    expect(handle_store_reclaim(store, SIZE_MAX) == 0);
    return object;
}

static void
write_after_free(handle_store *store)
{
    keep_address(store)[99] = 0x11;
    for (unsigned i = 0; i < 1000; i++)
        (void)!handle_alloc(store, 100);
}

/* handle_store_check counts it, and nothing ends. */
static void
write_after_free_checked(handle_store *store)
{
    char *object = keep_address(store);
    expect(handle_store_check(store, NULL, NULL) == 0);
    object[50] ^= 1;
    expect(handle_store_check(store, NULL, NULL) == 1);
    object[50] ^= 1;
}

/* Found at the next use. */
static void
write_after_free_now(handle_store *store)
{
    char *object;
    make(store, 100, NULL); /* its span stays, whoever takes the slot back meanwhile */
    handle_t handle = make(store, 100, &object);
    section_enter();
    expect(handle_free_now(store, handle) == 0);
    object[17] = 0x11;
    void *made;
    for (unsigned i = 0; i < 100; i++) /* ... the slot is found again */
        (void)!handle_alloc_object(store, 100, 0, &made);
}

static void
write_after_cell_free(handle_store *store)
{
    static handle_cell cell, cells[100];
    make(store, 100, NULL); /* its span stays, whoever takes the slot back meanwhile */
    section_enter();
    char *object = handle_cell_alloc(store, &cell, 100, 0);
    expect(handle_cell_free_now(store, &cell) == 0);
    object[0] = 0x11;
    for (unsigned i = 0; i < 100; i++) /* ... the slot is found again */
        (void)handle_cell_alloc(store, &cells[i], 100, 0);
}

/* To a version after its update was aborted. */
static void
write_after_abort(handle_store *store)
{
    handle_t handle = make(store, 40, NULL);
    struct handle_update update;
    section_enter();
    char *object = handle_update_begin(store, handle, 200, &update);
    handle_update_abort(store, &update);
    object[7] = 0x11;
    (void)!handle_alloc(store, 200);
}

/* Over a section, after which the object moved. */
static void
write_after_move(handle_store *store)
{
    static handle_t handles[8000];
    static char *address[8000];
    for (unsigned i = 0; i < 8000; i++)
        handles[i] = make(store, 100, &address[i]);
    for (unsigned i = 0; i < 8000; i++)
        if (i % 8 != 0)
            expect(handle_free(store, handles[i]) == 0);
    section_enter(); /* pins keep their spans, whose other objects move */
    for (unsigned i = 0; i < 8000; i += 400)
        expect(handle_pin(store, handles[i]) != NULL);
    section_leave();
    expect(handle_store_compact(store, NULL) == 0);
    for (unsigned i = 0; i < 8000; i += 8)
        if (stray_address(store, handles[i]) != address[i])
            address[i][33] = 0x11; /* the pages that went back to the kernel take it, unseen */
    for (unsigned i = 0; i < 8000; i++)
        (void)!handle_alloc(store, 100);
}

#define WRITTEN(call, name, byte)                                                                  \
    HARDENED_ONLY(ABORTS(call ": store misuse, " name ": memory at offset 0x* was written at "     \
                              "byte " byte " after its object was freed or moved"))

const struct misuse misuse_stale_writes[] = {
    CASE(write_after_free, WRITTEN("handle_alloc", "handle 0", "99")),
    CASE(write_after_free_checked, HARDENED_ONLY(RETURNS)),
    CASE(write_after_free_now, WRITTEN("handle_alloc_object", "handle 0", "17")),
    CASE(write_after_cell_free, WRITTEN("handle_cell_alloc", "a cell", "0")),
    CASE(write_after_abort, WRITTEN("handle_alloc", "handle 0", "7")),
    CASE(write_after_move, WRITTEN("handle_alloc", "handle 0", "33")),
    CASES_END,
};
