/* SPDX-License-Identifier: MIT */
/*
 * reservation.h - the address space of a store: two ranges, both of which can grow upwards.
 *
 *   [spans ... | pins | ... groups | classes | the store, 1 MiB | handle table ... ] [arena ... ]
 *
 * Metadata is reserved for the largest arena planned, about 2 % of it, in such an order that what
 * is used of it, and so is in cores, is two ranges, and one more once anything was pinned; table
 * and arena begin small and are extended in place by their owners, so that no address ever changes.
 * With arena_bytes given, or where no place with room above it is to be had, everything is reserved
 * at once, as one range.
 */
#ifndef SN_RESERVATION_H
#define SN_RESERVATION_H

#include "memory/pins.h"
#include "os/place.h"
#include "reference/handle_table.h"

struct sn_reservation {
    char *lower; /* begin of the first range */
    char *arena;
    size_t spans_bytes, pins_bytes, groups_bytes, classes_bytes;
    size_t metadata_bytes; /* of all four, up to the store */
    uint64_t table_bytes, table_max;
    uint64_t arena_bytes, arena_max;
    uint32_t place;
};

/** Reserves for an arena of so many bytes, 0: of the default size. False: errno is set. */
bool sn_reservation_make(struct sn_reservation *r, uint64_t arena_bytes);

/** Where the struct lies. */
static inline char *
sn_reservation_store(const struct sn_reservation *r)
{
    return r->lower + r->metadata_bytes;
}

/** Where the pins lie. */
static inline char *
sn_reservation_pins(const struct sn_reservation *r)
{
    return r->lower + r->spans_bytes;
}

/** Where a byte for each block lies, and the groups end. */
static inline char *
sn_reservation_classes(const struct sn_reservation *r)
{
    return sn_reservation_store(r) - r->classes_bytes;
}

/** Whether headers can hold the address of every word of the table, now and as it grows. */
static inline bool
sn_reservation_is_nameable(const struct sn_reservation *r)
{
    uint64_t begin = (uint64_t)(uintptr_t)r->lower + r->metadata_bytes + HANDLE_TABLE_OFFSET;
    return begin <= SN_CELL_ADDRESS_MAX && r->table_max <= SN_CELL_ADDRESS_MAX - begin;
}

/** Keeps all of it out of cores, or all but the store and the classes: table and pool show what is
 * used of the rest. */
void sn_reservation_hide(const struct sn_reservation *r, bool all);

/** Gives all of it back but the first `keep` bytes of the store; table and arena have grown to
 * these lengths. The place stays taken. */
void sn_reservation_release(const struct sn_reservation *r, size_t keep, uint64_t table_bytes,
                            uint64_t arena_bytes);

#endif
