/* SPDX-License-Identifier: MIT */
/* not_a_store.c - something else where a store is wanted. */
#include "support.h"

static void
run(void)
{
    static _Alignas(64) uint64_t something[4096];
    handle_alloc((handle_store *)(void *)something, 40);
}

const struct misuse misuse = {
    run, {NO_PROMISE, NO_PROMISE, DIES("handle_alloc: store ?, handle 0: not a store")}};
