/* SPDX-License-Identifier: MIT */
/* write_after_move.c - a write through an address kept over a section, after the object moved. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
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
        handle_alloc(store, 100);
}

const struct misuse misuse = {
    run, HARDENED_ONLY(ABORTS("handle_alloc: store misuse, handle 0: memory at offset 0x* was "
                              "written at byte 33 after its object was freed "
                              "or moved"))};
