/* SPDX-License-Identifier: MIT */
/*
 * walkers.h - two threads walk through a structure of objects, again and again, while one thread
 * changes it and one moves objects.
 */
#ifndef TEST_WALKERS_H
#define TEST_WALKERS_H

#include "support.h"

struct walked; /* the structure: each file has its own */

struct walkers {
    handle_store *store;
    struct walked *walked;
    void (*read)(struct walked *walked);                     /* in a section */
    void (*change)(struct walked *walked, uint64_t *random); /* in a section */
    void (*collect)(struct walked *walked);                  /* between changes; or NULL */
    unsigned changes;
    unsigned ended; /* atomic */
};

/** Until all changes are made. */
void run_walkers(struct walkers *walkers);

#endif
