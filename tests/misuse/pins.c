/* SPDX-License-Identifier: MIT */
/*
 * pins.c - unpins of what no pin gave, and calls that a pin forbids.
 *
 * Seen failing, with the library broken like this:
 *   unpin goes on; says nothing                    unpin_*
 *   destroy looks at no pins                       destroy_pinned, destroy_updating
 *   resize looks at no pins                        resize_pinned
 */
#include "support.h"

/* Every row: the case, and the address that is unpinned beside an object of 300 bytes. */
#define UNPINS(X)                                                                                  \
    X(unpin_null, NULL)                                                                            \
    X(unpin_never_pinned, object)                                                                  \
    X(unpin_inside_object, object + 8)                                                             \
    X(unpin_outside, (char *)&handle)                                                              \
    X(unpin_unused_arena, object + (64 << 20))                                                     \
    X(unpin_twice, pinned_before(store, handle))

#define CALL(name, address)                                                                        \
    static void name(handle_store *store)                                                          \
    {                                                                                              \
        char *object;                                                                              \
        handle_t handle = make(store, 300, &object);                                               \
        handle_unpin(store, address);                                                              \
        expect(handle_free(store, handle) == 0);                                                   \
    }

#define NOT_PINNED "not pinned: the address is not one a pin gave"
#define ROW(name, address)                                                                         \
    CASE(name, HARDENED_ABORTS("handle_unpin: " NOT_PINNED,                                        \
                               "handle_unpin: store misuse, handle 0: " NOT_PINNED)),

static const void *
pinned_before(handle_store *store, handle_t handle)
{
    section_enter();
    const void *object = handle_pin(store, handle);
    expect(object == handle_deref(store, handle));
    section_leave();
    handle_unpin(store, object);
    return object;
}

UNPINS(CALL)

static void
destroy_pinned(handle_store *store)
{
    handle_t handle = make(store, 300, NULL);
    section_enter();
    const void *object = handle_pin(store, handle);
    section_leave();
    expect(handle_store_destroy(store) == -EBUSY);
    handle_unpin(store, object);
}

/* While an update is under way. */
static void
destroy_updating(handle_store *store)
{
    handle_t handle = make(store, 300, NULL);
    struct handle_update update;
    section_enter();
    expect(handle_update_begin(store, handle, 100, &update) != NULL);
    section_leave();
    expect(handle_store_destroy(store) == -EBUSY);
    handle_update_abort(store, &update);
}

/* A size changed under somebody who writes. */
static void
resize_pinned(handle_store *store)
{
    handle_t handle = make(store, 40, NULL);
    section_enter();
    void *object = handle_pin_mut(store, handle);
    expect(object != NULL);
    expect(handle_resize(store, handle, 500) == -EBUSY);
    expect(handle_size(store, handle) == 40);
    handle_unpin(store, object);
    expect(handle_resize(store, handle, 500) == 0);
    section_leave();
}

const struct misuse misuse_pins[] = {
    CASE(destroy_pinned, ALWAYS(RETURNS)),
    CASE(destroy_updating, ALWAYS(RETURNS)),
    CASE(resize_pinned, ALWAYS(RETURNS)),
    UNPINS(ROW) CASES_END,
};
