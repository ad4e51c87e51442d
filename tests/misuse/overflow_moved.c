/* SPDX-License-Identifier: MIT */
/* overflow_moved.c - an overflow found by the mover. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    static handle_t handles[4000];
    for (unsigned i = 0; i < 4000; i++)
        handles[i] = make(store, 100, NULL);
    for (unsigned i = 0; i < 4000; i++)
        if (i % 10 != 0)
            expect(handle_free(store, handles[i]) == 0);
    for (unsigned i = 0; i < 4000; i += 10)
        stray_address(store, handles[i])[100] = 0;
    handle_store_compact(store, NULL);
}

const struct misuse misuse = {
    run,
    HARDENED_ONLY(ABORTS(
        "handle_store_compact: store misuse, handle 0x*: the object of 100 bytes was written past "
        "its end"))};
