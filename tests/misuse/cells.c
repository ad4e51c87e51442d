/* SPDX-License-Identifier: MIT */
/*
 * cells.c - cells that are empty, in use, at a wrong place, or copied.
 *
 * Seen failing, with the library broken like this:
 *   empty cells: set_tag and relocate go on        cell_empty
 *   ... free and free_now say 0                    cell_free_twice
 *   full cells: alloc goes on; relocate            cell_not_empty; _relocate_to_itself
 *   any tag                                        cell_tag_too_large
 *   cells anywhere                                 cell_misaligned, cell_above_limit
 *   other stores' arenas, the own not looked at    cell_in_other_store, _relocate_into; _own_arena
 *   damaged header followed                        cell_copied_free, cell_copied_free_now
 *   copied cell taken for damage                   cell_copied_*
 *   hardened: name not compared when freed         cell_copied_free, _free_now, _retire
 *   left cells: retire takes one again             cell_retire_twice, cell_unlink_twice
 *   ... cancelling a move makes one LIVE           cell_unlink_twice
 *   ... alloc, relocate, unlink put into one       cell_left_not_empty
 *   unlink: cells anywhere; the same one           cell_unlink_into_other_store; _to_itself
 *   ... the object's name not compared             cell_copied_unlink, _relocate
 */
#include "support.h"

/* Every call. */
static void
cell_empty(handle_store *store)
{
    handle_cell cell = HANDLE_CELL_INIT, other = HANDLE_CELL_INIT;
    handle_cell *cells[1] = {&cell};
    struct handle_update update;
    const void *object = store;
    uint32_t tag = 7;
    section_enter();
    expect(handle_cell_deref(store, &cell) == NULL);
    expect(handle_cell_read(store, &cell, &tag) == NULL && tag == 0);
    expect(handle_cell_deref_mut(store, &cell) == NULL);
    expect(handle_cell_deref_many(store, cells, &object, 1) == 0 && object == NULL);
    expect(handle_cell_size(store, &cell) == 0);
    expect(handle_cell_set_tag(store, &cell, 1) == -ENOENT);
    expect(handle_cell_free_many(store, cells, 1) == 0);
    expect(handle_cell_free(store, &cell) == -ENOENT);
    expect(handle_cell_free_now(store, &cell) == -ENOENT);
    expect(handle_cell_resize(store, &cell, 9) == -ENOENT);
    expect(handle_cell_relocate(store, &cell, &other) == -ENOENT);
    expect(handle_cell_unlink(store, &cell, &other) == -ENOENT);
    expect(handle_cell_retire(store, &cell) == -ENOENT);
    expect_errno(handle_cell_pin(store, &cell), ENOENT);
    expect_errno(handle_cell_update_begin(store, &cell, 9, &update), ENOENT);
    section_leave();
    expect(cell.word == 0 && other.word == 0);
}

static void
cell_free_twice(handle_store *store)
{
    handle_cell cell = HANDLE_CELL_INIT;
    section_enter();
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    expect(handle_cell_free(store, &cell) == 0);
    expect(handle_cell_free(store, &cell) == -ENOENT);
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    expect(handle_cell_free_now(store, &cell) == 0);
    expect(handle_cell_free_now(store, &cell) == -ENOENT);
    section_leave();
}

/* As the target of alloc and relocate. */
static void
cell_not_empty(handle_store *store)
{
    handle_cell cell = HANDLE_CELL_INIT, other = HANDLE_CELL_INIT;
    section_enter();
    const void *object = handle_cell_alloc(store, &cell, 40, 0);
    expect(handle_cell_alloc(store, &other, 40, 0) != NULL);
    expect_errno(handle_cell_alloc(store, &cell, 40, 0), EEXIST);
    expect(handle_cell_relocate(store, &other, &cell) == -EEXIST);
    expect(handle_cell_deref(store, &cell) == object);
    expect(handle_cell_free(store, &cell) == 0 && handle_cell_free(store, &other) == 0);
    section_leave();
}

static void
cell_retire_twice(handle_store *store)
{
    handle_cell cell = HANDLE_CELL_INIT;
    section_enter();
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    expect(handle_cell_retire(store, &cell) == 0);
    expect(handle_cell_retire(store, &cell) == -ENOENT);
    expect(handle_cell_free(store, &cell) == -ENOENT);
    expect(handle_cell_free_now(store, &cell) == -ENOENT);
    expect(handle_cell_set_tag(store, &cell, 1) == -ENOENT);
    section_leave();
}

static void
cell_unlink_twice(handle_store *store)
{
    handle_cell from = HANDLE_CELL_INIT, to = HANDLE_CELL_INIT;
    section_enter();
    expect(handle_cell_alloc(store, &from, 40, 0) != NULL);
    expect(handle_cell_unlink(store, &from, &to) == 0);
    expect(handle_cell_unlink(store, &from, &to) == -ENOENT);
    expect(handle_cell_relocate(store, &from, &to) == -EEXIST);
    expect(handle_cell_retire(store, &from) == -ENOENT);
    expect(handle_cell_deref_mut(store, &from) == NULL);
    expect(handle_cell_size(store, &to) == 40 && handle_cell_free(store, &to) == 0);
    section_leave();
}

/* As the target of alloc, relocate and unlink, by who still stands there. */
static void
cell_left_not_empty(handle_store *store)
{
    handle_cell cell = HANDLE_CELL_INIT, other = HANDLE_CELL_INIT;
    section_enter();
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    expect(handle_cell_alloc(store, &other, 40, 0) != NULL);
    expect(handle_cell_retire(store, &cell) == 0);
    expect_errno(handle_cell_alloc(store, &cell, 40, 0), EEXIST);
    expect(handle_cell_relocate(store, &other, &cell) == -EEXIST);
    expect(handle_cell_unlink(store, &other, &cell) == -EEXIST);
    expect(handle_cell_free(store, &other) == 0);
    section_leave();
}

static void
cell_unlink_to_itself(handle_store *store)
{
    handle_cell cell = HANDLE_CELL_INIT;
    section_enter();
    const void *object = handle_cell_alloc(store, &cell, 40, 0);
    expect(handle_cell_unlink(store, &cell, &cell) == -EINVAL);
    expect(handle_cell_deref_mut(store, &cell) == object);
    expect(handle_cell_free(store, &cell) == 0);
    section_leave();
}

static void
cell_relocate_to_itself(handle_store *store)
{
    handle_cell cell = HANDLE_CELL_INIT;
    section_enter();
    const void *object = handle_cell_alloc(store, &cell, 40, 0);
    expect(handle_cell_relocate(store, &cell, &cell) == -EEXIST);
    expect(handle_cell_deref(store, &cell) == object);
    expect(handle_cell_free(store, &cell) == 0);
    section_leave();
}

/* More than 24 bits. */
static void
cell_tag_too_large(handle_store *store)
{
    handle_cell cell = HANDLE_CELL_INIT;
    uint32_t tag;
    section_enter();
    const void *object = handle_cell_alloc(store, &cell, 40, 0);
    expect(handle_cell_set_tag(store, &cell, 0x1000000) == -EINVAL);
    expect(handle_cell_set_tag(store, &cell, UINT32_MAX) == -EINVAL);
    expect(handle_cell_read(store, &cell, &tag) == object && tag == 0);
    expect(handle_cell_free(store, &cell) == 0);
    section_leave();
}

/* ---- where cells must not lie ---------------------------------------------------------------- */

static void
refuse_place(handle_store *store, handle_cell *place)
{
    handle_cell cell = HANDLE_CELL_INIT;
    section_enter();
    expect_errno(handle_cell_alloc(store, place, 40, 0), EINVAL);
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    expect(handle_cell_relocate(store, &cell, place) == -EINVAL);
    expect(handle_cell_free(store, &cell) == 0);
    section_leave();
}

/* Above 2^48. */
static void
cell_above_limit(handle_store *store)
{
    for (unsigned bit = 48; bit < 64; bit++)
        refuse_place(store, (handle_cell *)(uintptr_t)(UINT64_C(1) << bit));
}

/* Not at a multiple of 8. */
static void
cell_misaligned(handle_store *store)
{
    static uint64_t room[2];
    for (unsigned by = 1; by < 8; by++)
        refuse_place(store, (handle_cell *)((uintptr_t)room + by));
    expect(room[0] == 0 && room[1] == 0);
}

static handle_cell *
cell_in_object(handle_store *store)
{
    char *object;
    make(store, 64, &object);
    memset(object, 0, 64);
    return (handle_cell *)(void *)(object + 8);
}

static void
cell_in_own_arena(handle_store *store)
{
    refuse_place(store, cell_in_object(store));
}

static handle_cell *
cell_around(void)
{
    struct handle_store_options options = store_options();
    options.name = "around";
    return cell_in_object(handle_store_create(&options));
}

/* Inside an object of another store, which may move it. */
static void
cell_in_other_store(handle_store *store)
{
    handle_cell *inside = cell_around();
    section_enter();
    (void)handle_cell_alloc(store, inside, 40, 0);
}

static void
cell_relocate_into_other_store(handle_store *store)
{
    handle_cell cell = HANDLE_CELL_INIT, *inside = cell_around();
    section_enter();
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    (void)handle_cell_relocate(store, &cell, inside);
}

static void
cell_unlink_into_other_store(handle_store *store)
{
    handle_cell cell = HANDLE_CELL_INIT, *inside = cell_around();
    section_enter();
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    (void)handle_cell_unlink(store, &cell, inside);
}

/* ---- copied by memcpy ------------------------------------------------------------------------ */

/* In a section. */
static handle_cell *
enter_with_copy(handle_store *store)
{
    static handle_cell cell, copy;
    section_enter();
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    memcpy(&copy, &cell, sizeof(cell));
    return &copy;
}

static void
cell_copied_free(handle_store *store)
{
    expect(handle_cell_free(store, enter_with_copy(store)) == 0);
    section_leave();
}

static void
cell_copied_free_now(handle_store *store)
{
    expect(handle_cell_free_now(store, enter_with_copy(store)) == 0);
    section_leave();
}

/* Both; in other stores than hardened ones that is not found, and does harm. */
static void
cell_copied_free_both(handle_store *store)
{
    handle_cell cell = HANDLE_CELL_INIT, copy;
    if (mode != HARDENED)
        return;
    section_enter();
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    memcpy(&copy, &cell, sizeof(cell));
    expect(handle_cell_free(store, &cell) == 0);
    handle_cell_free(store, &copy);
}

static void
cell_copied_retire(handle_store *store)
{
    (void)handle_cell_retire(store, enter_with_copy(store));
    section_leave();
}

static void
cell_copied_unlink(handle_store *store)
{
    static handle_cell target;
    expect(handle_cell_unlink(store, enter_with_copy(store), &target) == -EINVAL);
    section_leave();
}

static void
cell_copied_relocate(handle_store *store)
{
    static handle_cell target;
    expect(handle_cell_relocate(store, enter_with_copy(store), &target) == -EINVAL);
    section_leave();
}

const struct misuse misuse_cells[] = {
    CASE(cell_empty, ALWAYS(RETURNS)),
    CASE(cell_free_twice, ALWAYS(RETURNS)),
    CASE(cell_not_empty, ALWAYS(RETURNS)),
    CASE(cell_relocate_to_itself, ALWAYS(RETURNS)),
    CASE(cell_unlink_to_itself, ALWAYS(RETURNS)),
    CASE(cell_retire_twice, ALWAYS(RETURNS)),
    CASE(cell_unlink_twice, ALWAYS(RETURNS)),
    CASE(cell_left_not_empty, ALWAYS(RETURNS)),
    CASE(cell_tag_too_large, ALWAYS(RETURNS)),
    CASE(cell_above_limit, ALWAYS(RETURNS)),
    CASE(cell_misaligned, ALWAYS(RETURNS)),
    CASE(cell_in_own_arena, ALWAYS(RETURNS)),
    CASE(cell_in_other_store, CHECKED(ABORTS("handle_cell_alloc: store misuse, a cell: "
                                             "the cell lies inside an object of store around"))),
    CASE(cell_relocate_into_other_store,
         CHECKED(ABORTS("handle_cell_relocate: store misuse, a cell: "
                        "the cell lies inside an object of store around"))),
    CASE(cell_unlink_into_other_store,
         CHECKED(ABORTS("handle_cell_unlink: store misuse, a cell: "
                        "the cell lies inside an object of store around"))),
    CASE_OPEN(
        cell_copied_free,
        HARDENED_ABORTS("free: header of the object at offset * is damaged*",
                        "handle_cell_free: store misuse, a cell: another cell names the object*"
                        "was the cell copied?*")),
    CASE_OPEN(cell_copied_free_now,
              HARDENED_FINDS(ABORTS(
                  "handle_cell_free_now: store misuse, a cell: another cell names the object*"
                  "was the cell copied?*"))),
    CASE_OPEN(cell_copied_free_both,
              HARDENED_FINDS(ABORTS("handle_cell_free: store misuse, a cell: the object was freed "
                                    "by another cell (was the cell copied?)*"))),
    CASE_OPEN(
        cell_copied_retire,
        HARDENED_ABORTS("free: header of the object at offset * is damaged*",
                        "handle_cell_retire: store misuse, a cell: another cell names the object*"
                        "was the cell copied?*")),
    CASE_OPEN(
        cell_copied_unlink,
        HARDENED_ABORTS("relocate: header of the object at offset * is damaged*",
                        "handle_cell_unlink: store misuse, a cell: another cell names the object: "
                        "was the cell copied?")),
    CASE_OPEN(cell_copied_relocate,
              HARDENED_ABORTS(
                  "relocate: header of the object at offset * is damaged*",
                  "handle_cell_relocate: store misuse, a cell: another cell names the object: "
                  "was the cell copied?")),
    CASES_END,
};
