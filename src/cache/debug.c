/* SPDX-License-Identifier: MIT */
/* debug.c - see debug.h. */
#include "cache/debug.h"

#define MEMBER(of, type, member)                                                                   \
    {#of "." #member, offsetof(type, member), sizeof(((type *)0)->member)},
#define CONSTANT(name, value) {name, (uint32_t)(value), 0},

static struct sc_debug_table table __attribute__((section(".sinter_debug"), used)) = {
    .cookie = {'S', 'I', 'N', 'T', 'E', 'R', 'C', 'A'},
    .version = SC_DEBUG_VERSION,
    .entries = SC_DEBUG_ENTRIES,
    .bytes = sizeof(table),
    .entry_bytes = sizeof(struct sc_debug_entry),
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): of a pointer its own size is meant */
    .entry = {SC_DEBUG_MEMBERS(MEMBER) SC_DEBUG_CONSTANTS(CONSTANT)},
};

void
sc_debug_show(sinter_cache **caches)
{
    table.caches = caches;
    table.self = &table;
}
