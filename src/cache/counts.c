/* SPDX-License-Identifier: MIT */
/* counts.c - see counts.h. */
#include "cache/counts.h"

static unsigned threads; /* that have counted; atomic */
static __thread unsigned my_number;

unsigned
sc_my_stripe(void)
{
    if (sc_unlikely(!my_number))
        my_number = 1 + sc_fetch_add(&threads, 1) % SC_STRIPES;
    return my_number - 1;
}

uint64_t
sc_counted(const struct sc_stripe *stripes, enum sc_count what)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < SC_STRIPES; i++)
        sum += sc_load(&stripes[i].count[what]);
    return sum;
}
