/* SPDX-License-Identifier: MIT */
/*
 * reserves.c - reservations that never began, are over, of another store, or never ended; what is
 * written past the end of an object that nobody sees yet.
 *
 * Seen failing, with the library broken like this:
 *   none ever over                                 reserve_published_twice, _aborted_after_publish
 *   another store's taken                          reserve_of_other_store
 *   destroy does not look                          reserve_left_at_destroy
 *   no canary until it is named                    reserve_overflow_published, _aborted
 *   any cell                                       reserve_into_bad_cells
 */
#include "support.h"

static void
reserve_published_twice(handle_store *store)
{
    struct handle_reserved reserved;
    handle_cell cell = HANDLE_CELL_INIT, other = HANDLE_CELL_INIT;
    section_enter();
    expect(handle_reserve(store, 40, 0, &reserved) != NULL);
    expect(handle_cell_publish(store, &cell, &reserved, 1) == 0);
    expect(handle_cell_publish(store, &other, &reserved, 1) == -EINVAL);
    expect(handle_cell_publish(store, &cell, &reserved, 1) == -EINVAL);
    expect_errno(handle_publish(store, &reserved), EINVAL);
    expect(other.word == 0 && handle_cell_size(store, &cell) == 40);
    expect(handle_cell_free(store, &cell) == 0);
    expect(handle_reserve(store, 40, 0, &reserved) != NULL);
    expect(handle_publish(store, &reserved) != HANDLE_NULL);
    expect_errno(handle_publish(store, &reserved), EINVAL);
    section_leave();
}

static void
reserve_aborted_after_publish(handle_store *store)
{
    struct handle_reserved reserved;
    expect(handle_reserve(store, 40, 0, &reserved) != NULL);
    handle_t handle = handle_publish(store, &reserved);
    handle_reserved_abort(store, &reserved);
    section_enter();
    expect(handle_size(store, handle) == 40);
    section_leave();
}

static void
reserve_published_after_abort(handle_store *store)
{
    struct handle_reserved reserved;
    expect(handle_reserve(store, 40, 0, &reserved) != NULL);
    handle_reserved_abort(store, &reserved);
    handle_reserved_abort(store, &reserved);
    expect_errno(handle_publish(store, &reserved), EINVAL);
    expect(handle_store_used(store) == 0);
}

static void
reserve_not_begun(handle_store *store)
{
    struct handle_reserved reserved;
    handle_cell cell = HANDLE_CELL_INIT;
    section_enter();
    for (int byte = 0; byte < 256; byte += 15) {
        memset(&reserved, byte, sizeof(reserved));
        expect(handle_cell_publish(store, &cell, &reserved, 1) == -EINVAL);
        expect_errno(handle_publish(store, &reserved), EINVAL);
        handle_reserved_abort(store, &reserved);
    }
    expect(handle_cell_publish(store, &cell, NULL, 1) == -EINVAL);
    expect_errno(handle_publish(store, NULL), EINVAL);
    handle_reserved_abort(store, NULL);
    expect_errno(handle_reserve(store, 40, 0, NULL), EINVAL);
    expect_errno(handle_reserve(store, 40, 4, &reserved), EINVAL);
    expect_errno(handle_reserve(store, SIZE_MAX, 0, &reserved), EINVAL);
    expect_errno(handle_publish(store, &reserved), EINVAL);
    section_leave();
    expect(cell.word == 0);
}

static void
reserve_without_store(handle_store *store)
{
    struct handle_reserved reserved;
    handle_cell cell = HANDLE_CELL_INIT;
    expect_errno(handle_reserve(store, 40, 0, &reserved), EINVAL);
    expect_errno(handle_publish(store, &reserved), EINVAL);
    expect(handle_cell_publish(store, &cell, &reserved, 0) == -EINVAL);
    handle_reserved_abort(store, &reserved);
}

static void
reserve_of_other_store(handle_store *store)
{
    struct handle_reserved reserved;
    handle_cell cell = HANDLE_CELL_INIT;
    handle_store *other = open_store();
    expect(handle_reserve(store, 40, 0, &reserved) != NULL);
    section_enter();
    expect(handle_cell_publish(other, &cell, &reserved, 1) == -EINVAL);
    expect_errno(handle_publish(other, &reserved), EINVAL);
    handle_reserved_abort(other, &reserved);
    expect(handle_cell_publish(store, &cell, &reserved, 1) == 0);
    expect(handle_cell_free(store, &cell) == 0);
    section_leave();
    close_sound(other);
}

static void
reserve_into_bad_cells(handle_store *store)
{
    struct handle_reserved reserved;
    static uint64_t room[2];
    handle_cell cell = HANDLE_CELL_INIT;
    char *object;
    make(store, 64, &object);
    section_enter();
    expect(handle_reserve(store, 40, 0, &reserved) != NULL);
    memset(object, 0, 64);
    handle_cell *inside = (handle_cell *)(void *)(object + 8);
    expect(handle_cell_publish(store, inside, &reserved, 1) == -EINVAL);
    handle_cell *askew = (handle_cell *)((uintptr_t)room + 4);
    expect(handle_cell_publish(store, askew, &reserved, 1) == -EINVAL);
    expect(handle_cell_publish(store, NULL, &reserved, 1) == -EINVAL);
    for (unsigned bit = 48; bit < 64; bit++) {
        handle_cell *high = (handle_cell *)(uintptr_t)(UINT64_C(1) << bit);
        expect(handle_cell_publish(store, high, &reserved, 1) == -EINVAL);
    }
    expect(handle_cell_publish(store, &cell, &reserved, 0x1000000) == -EINVAL);
    expect(handle_cell_publish(store, &cell, &reserved, 0xffffff) == 0);
    expect(handle_cell_free(store, &cell) == 0);
    section_leave();
    expect(room[0] == 0 && room[1] == 0 && inside->word == 0);
}

static void
reserve_into_cell_in_other_store(handle_store *store)
{
    struct handle_reserved reserved;
    handle_store *other = open_store();
    char *object;
    make(other, 64, &object);
    memset(object, 0, 64);
    expect(handle_reserve(store, 40, 0, &reserved) != NULL);
    section_enter();
    (void)handle_cell_publish(store, (handle_cell *)(void *)object, &reserved, 1);
    section_leave();
}

/* In the place of an object of another store: found in the header, where it is looked for. */
static void
reserve_over_other_stores_object(handle_store *store)
{
    struct handle_reserved reserved;
    static handle_cell cell;
    handle_store *other = open_store();
    make(store, 40, NULL);
    section_enter();
    expect(handle_cell_alloc(other, &cell, 40, 0) != NULL);
    expect(handle_reserve(store, 40, 0, &reserved) != NULL);
    (void)handle_cell_publish(store, &cell, &reserved, 1);
    section_leave();
    (void)handle_store_check(store, NULL, NULL);
}

static void
publish_outside_of_section(handle_store *store)
{
    struct handle_reserved reserved;
    static handle_cell cell;
    expect(handle_reserve(store, 40, 0, &reserved) != NULL);
    (void)handle_cell_publish(store, &cell, &reserved, 1);
}

/* Everything else may stand anywhere. */
static void
reserve_outside_of_section(handle_store *store)
{
    struct handle_reserved reserved;
    expect(handle_reserve(store, 40, 0, &reserved) != NULL);
    expect(handle_publish(store, &reserved) != HANDLE_NULL);
    expect(handle_reserve(store, 40, 0, &reserved) != NULL);
    handle_reserved_abort(store, &reserved);
}

static void
reserve_left_at_destroy(handle_store *store)
{
    struct handle_reserved reserved[2];
    expect(handle_reserve(store, 40, 0, &reserved[0]) != NULL);
    expect(handle_reserve(store, 100000, 0, &reserved[1]) != NULL);
    expect(handle_store_check(store, NULL, NULL) == 0);
    expect(handle_store_destroy(store) == 0);
}

static void
write_past_end(handle_store *store, struct handle_reserved *reserved)
{
    expect(handle_reserve(store, 40, 0, reserved) != NULL);
    memset(reserved->object, 0x11, 40);
    ((char *)reserved->object)[40] = 0; /* no canary has a 0 */
}

static void
reserve_overflow_published(handle_store *store)
{
    struct handle_reserved reserved;
    write_past_end(store, &reserved);
    (void)!handle_publish(store, &reserved);
}

static void
reserve_overflow_published_in_cell(handle_store *store)
{
    struct handle_reserved reserved;
    static handle_cell cell;
    write_past_end(store, &reserved);
    section_enter();
    (void)handle_cell_publish(store, &cell, &reserved, 1);
    section_leave();
}

static void
reserve_overflow_aborted(handle_store *store)
{
    struct handle_reserved reserved;
    write_past_end(store, &reserved);
    handle_reserved_abort(store, &reserved);
}

#define IN_CELL  "handle_cell_publish: store misuse, a cell: "
#define PAST_END "the object of 40 bytes was written past its end"

const struct misuse misuse_reserves[] = {
    CASE(reserve_published_twice, ALWAYS(RETURNS)),
    CASE(reserve_aborted_after_publish, ALWAYS(RETURNS)),
    CASE(reserve_published_after_abort, ALWAYS(RETURNS)),
    CASE(reserve_not_begun, ALWAYS(RETURNS)),
    CASE_NO_STORE(reserve_without_store, ALWAYS(RETURNS)),
    CASE(reserve_of_other_store, ALWAYS(RETURNS)),
    CASE(reserve_into_bad_cells, ALWAYS(RETURNS)),
    CASE_OPEN(reserve_into_cell_in_other_store,
              CHECKED(ABORTS(IN_CELL "the cell lies inside an object of store misuse"))),
    CASE_OPEN(reserve_over_other_stores_object,
              HARDENED_ONLY(ABORTS(IN_CELL "another cell names the object: was the cell copied?"))),
    CASE_OPEN(publish_outside_of_section,
              CHECKED(ABORTS(IN_CELL "called outside a read-side section"))),
    CASE(reserve_outside_of_section, ALWAYS(RETURNS)),
    CASE_OPEN(reserve_left_at_destroy,
              ALWAYS(REPORTS("handle_store_destroy: 2 reserved objects were neither published nor "
                             "aborted"))),
    CASE_OPEN(reserve_overflow_published,
              HARDENED_ONLY(ABORTS("handle_publish: store misuse, handle 0: " PAST_END))),
    CASE_OPEN(reserve_overflow_published_in_cell, HARDENED_ONLY(ABORTS(IN_CELL PAST_END))),
    CASE_OPEN(reserve_overflow_aborted,
              HARDENED_ONLY(ABORTS("handle_reserved_abort: store misuse, handle 0: " PAST_END))),
    CASES_END,
};
