/* SPDX-License-Identifier: MIT */
/* debug.h - caches, to those who read them from outside: see debug.c. */
#ifndef SC_DEBUG_H
#define SC_DEBUG_H

#include <sinter/cache.h>

/** Shows the list of caches to them; under its lock. */
void sc_debug_show(sinter_cache **caches);

#endif
