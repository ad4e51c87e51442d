/* SPDX-License-Identifier: MIT */
/* walkers.c - see walkers.h. */
#include "walkers.h"

static void
change(struct walkers *walkers)
{
    uint64_t random = 1;
    for (unsigned i = 0; i < walkers->changes; i++) {
        section_enter();
        walkers->change(walkers->walked, &random);
        section_leave();
        if (walkers->collect)
            walkers->collect(walkers->walked);
    }
    __atomic_store_n(&walkers->ended, 1, __ATOMIC_RELEASE);
}

static void
walk(struct walkers *walkers)
{
    section_enter();
    walkers->read(walkers->walked);
    section_leave();
}

/* Thread 0 changes, 1 and 2 read, 3 moves objects. */
static void
walk_or_change(void *arg, unsigned index)
{
    struct walkers *walkers = arg;
    if (index == 0)
        change(walkers);
    while (!__atomic_load_n(&walkers->ended, __ATOMIC_ACQUIRE)) {
        if (index == 3)
            thread_check(handle_store_compact(walkers->store, NULL) == 0);
        else
            walk(walkers);
    }
}

void
run_walkers(struct walkers *walkers)
{
    run_threads(4, walk_or_change, walkers);
}
