/* SPDX-License-Identifier: MIT */
/* reservation.c - see reservation.h. */
#include "core/reservation.h"

#include "os/osmem.h"

/* What a store begins with; the table is half as long. */
#define FIRST_ARENA_BYTES SN_ARENA_STEP_BYTES
/* Places that are looked at: others lie where a store wants to begin only by chance. */
#define PLACES_TRIED 8

/* One entry for each smallest slot: the table is never what runs out first. */
static uint64_t
table_for(uint64_t arena_bytes)
{
    return sn_round_up(arena_bytes / SN_SLOT_MIN_BYTES * 8, SN_PAGE_BYTES);
}

/* How large the arena may be where all of a store must fit into `bytes`. */
static uint64_t
arena_within(uint64_t bytes)
{
    const uint64_t fixed = 4 * SN_HUGE_PAGE_BYTES; /* the struct, and what alignment loses */
    uint64_t arena = bytes > fixed ? (bytes - fixed) / 8 * 5 : 0; /* 1 + 1/2 + 1/50 of it */
    return sn_max(arena & ~(uint64_t)(SN_BLOCK_BYTES - 1), SN_ARENA_LEAST_BYTES);
}

static void
plan(struct sn_reservation *r, uint64_t arena_max, uint64_t arena_bytes)
{
    r->arena_max = sn_round_up(arena_max, SN_BLOCK_BYTES);
    r->arena_bytes = sn_round_up(sn_min(arena_bytes, arena_max), SN_BLOCK_BYTES);
    r->table_max = /* the arena behind it is aligned */
        sn_round_up(HANDLE_TABLE_OFFSET + table_for(r->arena_max), SN_HUGE_PAGE_BYTES) -
        HANDLE_TABLE_OFFSET;
    r->table_bytes = r->arena_bytes < r->arena_max ? table_for(r->arena_bytes) : r->table_max;
    uint32_t blocks = (uint32_t)(r->arena_max >> SN_BLOCK_SHIFT);
    r->spans_bytes = sn_pool_spans_bytes(blocks);
    r->pins_bytes = sn_pins_bytes(r->arena_max);
    r->groups_bytes = sn_max(sn_pool_groups_bytes(blocks), sn_table_groups_bytes(r->table_max));
    r->classes_bytes = sn_pool_classes_bytes(blocks);
    r->metadata_bytes = sn_round_up(
        r->spans_bytes + r->pins_bytes + r->groups_bytes + r->classes_bytes, SN_HUGE_PAGE_BYTES);
    r->place = SN_PLACE_NONE;
}

/* From the begin to the end of a table of that length. */
static size_t
lower_bytes(const struct sn_reservation *r, uint64_t table_bytes)
{
    return r->metadata_bytes + HANDLE_TABLE_OFFSET + table_bytes;
}

/* ---- a place to grow in ---------------------------------------------------------------------- */

static bool
reserve_at(struct sn_reservation *r, const struct sn_room *room)
{
    r->lower = room->base;
    r->arena = room->base + sn_room_second(room, lower_bytes(r, r->table_max));
    if (!sn_os_reserve_at(r->lower, lower_bytes(r, r->table_bytes)))
        return false;
    if (sn_os_reserve_at(r->arena, r->arena_bytes))
        return true;
    int saved = errno;
    sn_os_release(r->lower, lower_bytes(r, r->table_bytes));
    errno = saved;
    return false;
}

static bool
reserve_to_grow(struct sn_reservation *r, uint64_t arena_max)
{
    static bool one_was_good, none_is; /* atomic; the second: the process has no such addresses */
    struct sn_room room;
    int tried = 0;
    for (; tried < PLACES_TRIED && !sn_load_relaxed(&none_is) && sn_place_take(&room); tried++) {
        plan(r, sn_min(arena_max, arena_within(room.bytes)), FIRST_ARENA_BYTES);
        if (reserve_at(r, &room)) {
            r->place = room.number;
            sn_store_relaxed(&one_was_good, true);
            return true;
        }
        if (errno == ENOMEM) { /* no address is better than another */
            sn_place_put(room.number);
            return false;
        }
        sn_place_block(room.number);
    }
    if (tried == PLACES_TRIED && !sn_load_relaxed(&one_was_good))
        sn_store_relaxed(&none_is, true);
    return false;
}

/* ---- all at once ----------------------------------------------------------------------------- */

static bool
reserve_whole(struct sn_reservation *r, uint64_t arena_bytes)
{
    plan(r, arena_bytes, arena_bytes);
    r->lower =
        sn_os_reserve_plain(lower_bytes(r, r->table_max) + r->arena_bytes, SN_HUGE_PAGE_BYTES);
    r->arena = r->lower + lower_bytes(r, r->table_max);
    return r->lower != NULL;
}

static bool
reserve_what_fits(struct sn_reservation *r, uint64_t arena_bytes)
{
    while (!reserve_whole(r, arena_bytes)) {
        if (arena_bytes / 2 < SN_ARENA_LEAST_BYTES)
            return false;
        arena_bytes /= 2;
    }
    return true;
}

/* ---- both ------------------------------------------------------------------------------------ */

static bool
reserve_default(struct sn_reservation *r)
{
    uint64_t physical = sn_os_physical_bytes();
    uint64_t most = sn_min(sn_max(4 * physical, SN_ARENA_DEFAULT_MIN_BYTES), SN_ARENA_MAX_BYTES);
    uint64_t limit = arena_within(sn_os_address_limit() / 4);
    return reserve_to_grow(r, sn_min(most, limit)) ||
           reserve_what_fits(r, sn_min(sn_min(physical, most), limit));
}

bool
sn_reservation_make(struct sn_reservation *r, uint64_t arena_bytes)
{
    bool made = arena_bytes ? reserve_whole(r, arena_bytes) : reserve_default(r);
    if (made) /* tables, bitmaps and struct: a huge page would be memory that nobody uses */
        sn_os_hugepages(r->lower, lower_bytes(r, r->table_bytes), false);
    return made;
}

void
sn_reservation_hide(const struct sn_reservation *r, bool all)
{
    char *store = sn_reservation_store(r);
    size_t shown = HANDLE_TABLE_OFFSET + sn_min(r->table_bytes, SN_ARENA_STEP_BYTES / 2);
    size_t end = HANDLE_TABLE_OFFSET + r->table_bytes;
    sn_os_show_in_core(r->lower, r->metadata_bytes - (all ? 0 : r->classes_bytes), false);
    if (all)
        sn_os_show_in_core(store, shown, false);
    sn_os_show_in_core(store + shown, end - shown, false);
    sn_os_show_in_core(r->arena, r->arena_bytes, false);
}

void
sn_reservation_release(const struct sn_reservation *r, size_t keep, uint64_t table_bytes,
                       uint64_t arena_bytes)
{
    char *store = sn_reservation_store(r);
    if (keep == 0) {
        sn_os_release(r->lower, lower_bytes(r, table_bytes));
    } else {
        sn_os_release(r->lower, r->metadata_bytes);
        sn_os_release(store + keep, HANDLE_TABLE_OFFSET + table_bytes - keep);
    }
    sn_os_release(r->arena, arena_bytes);
}
