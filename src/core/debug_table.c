/* SPDX-License-Identifier: MIT */
/* debug_table.c - see debug_table.h. */
#include "core/debug_table.h"

#include <string.h>

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

static void
set_constant(const char *name, uint32_t value)
{
    for (uint32_t i = 0; i < SN_DEBUG_ENTRIES; i++) {
        if (strcmp(table.entry[i].name, name) == 0)
            table.entry[i].offset = value;
    }
}

void
sn_debug_table_show(handle_store **stores)
{
    set_constant("page_bytes", (uint32_t)SN_PAGE_BYTES);
    table.stores = stores;
    table.self = &table;
}
