/* SPDX-License-Identifier: MIT */
/* write_after_free_now.c - a write through an address kept over free_now, found at the next use. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    char *object;
    make(store, 100, NULL); /* its span stays, whoever takes the slot back meanwhile */
    handle_t handle = make(store, 100, &object);
    about(handle);
    section_enter();
    expect(handle_free_now(store, handle) == 0);
    object[17] = 0x11;
    void *made;
    for (unsigned i = 0; i < 100; i++) /* ... the slot is found again */
        handle_alloc_object(store, 100, 0, &made);
}

const struct misuse misuse = {
    run, HARDENED_ONLY(ABORTS("handle_alloc_object: store misuse, handle 0: memory at offset 0x* "
                              "was written at byte 17 after its object was freed "
                              "or moved"))};
