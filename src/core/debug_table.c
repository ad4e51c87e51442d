/* SPDX-License-Identifier: MIT */
/* debug_table.c - see debug_table.h. */
#include "core/debug_table.h"

#define MEMBER(of, type, member)                                                                   \
    {#of "." #member, offsetof(type, member), sizeof(((type *)0)->member)},
#define CONSTANT(name, value) {name, (uint32_t)(value), 0},

static struct sn_debug_table table __attribute__((section(".sinter_debug"), used)) = {
    .cookie = {'S', 'I', 'N', 'T', 'E', 'R', 'D', 'B'},
    .version = SN_DEBUG_VERSION,
    .entries = SN_DEBUG_ENTRIES,
    .bytes = sizeof(table),
    .entry_bytes = sizeof(struct sn_debug_entry),
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): of a pointer its own size is meant */
    .entry = {SN_DEBUG_MEMBERS(MEMBER) SN_DEBUG_CONSTANTS(CONSTANT)},
};

void
sn_debug_table_show(handle_store **stores)
{
    table.stores = stores;
    table.self = &table;
}
