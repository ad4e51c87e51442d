/* SPDX-License-Identifier: MIT */
/*
 * destroyed.c - calls on a store that was destroyed, or is none.
 *
 * Seen failing, with the library broken like this:
 *   no tombstone; not told from a live store       destroyed_*
 *   ... that still resolves cells; handles         destroyed_cell_deref; destroyed_deref, _free
 *   not a store taken for a destroyed one          not_a_store
 */
#include "support.h"

#pragma GCC diagnostic ignored "-Wunused-result" /* calls that do not return */

/* Every row: the case, the function, its arguments, what the line names. */
#define DESTROYED(X)                                                                               \
    X(destroyed_alloc, handle_alloc, (store, 40), "handle 0")                                      \
    X(destroyed_free, handle_free, (store, handle), "handle @")                                    \
    X(destroyed_free_now, handle_free_now, (in_section(store), handle), "handle @")                \
    X(destroyed_cell_free_now, handle_cell_free_now, (in_section(store), &cell), "a cell")         \
    X(destroyed_stats, handle_store_used, (store), "handle 0")                                     \
    X(destroyed_twice, handle_store_destroy, (store), "handle 0")

#define CALL(name, function, arguments, named)                                                     \
    static void name(handle_store *store)                                                          \
    {                                                                                              \
        handle_t handle = destroy_with_objects(store);                                             \
        about(handle);                                                                             \
        function arguments;                                                                        \
    }

#define ROW(name, function, arguments, named)                                                      \
    CASE(name, CHECKED(DIES(#function ": store misuse, " named ": the store was destroyed"))),

static handle_cell cell;

/* Both name an object at that time. */
static handle_t
destroy_with_objects(handle_store *store)
{
    handle_t handle = make(store, 40, NULL);
    section_enter();
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    section_leave();
    expect(handle_store_destroy(store) == 0);
    return handle;
}

static handle_store *
in_section(handle_store *store)
{
    section_enter();
    return store;
}

DESTROYED(CALL)

/* Finds nothing. */
static void
destroyed_deref(handle_store *store)
{
    handle_t handle = destroy_with_objects(store);
    section_enter();
    expect(handle_deref(store, handle) == NULL);
    section_leave();
}

/* What it gives cannot be read. */
static void
destroyed_cell_deref(handle_store *store)
{
    destroy_with_objects(store);
    section_enter();
    const volatile char *object = handle_cell_deref(store, &cell);
    (void)object[0];
}

static void
not_a_store(handle_store *store)
{
    static _Alignas(64) uint64_t something[4096];
    store = (handle_store *)(void *)something;
    (void)!handle_alloc(store, 40);
}

const struct misuse misuse_destroyed[] = {
    CASE_OPEN(destroyed_deref, CHECKED(RETURNS)),
    CASE_OPEN(destroyed_cell_deref, CHECKED(FAULTS)),
    CASE_NO_STORE(not_a_store, NO_PROMISE, NO_PROMISE,
                  DIES("handle_alloc: store ?, handle 0: not a store")),
    DESTROYED(ROW) CASES_END,
};
