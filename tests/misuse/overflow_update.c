/* SPDX-License-Identifier: MIT */
/* overflow_update.c - an overflow of a new version, found when it is committed. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    struct handle_update update;
    about(handle);
    section_enter();
    char *object = handle_update_begin(store, handle, 60, &update);
    memset(object, 0x41, 60);
    object[60] = 0; /* no canary has a 0 */
    handle_update_commit(store, &update);
}

const struct misuse misuse = {
    run, HARDENED_ONLY(ABORTS("handle_update_commit: store misuse, handle @: the object of 60 "
                              "bytes was written past its end"))};
