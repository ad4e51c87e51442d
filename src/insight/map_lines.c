/* SPDX-License-Identifier: MIT */
/* map_lines.c - see map_lines.h. */
#include "insight/map_lines.h"

#include <string.h>
#include <time.h>

#define PAGE        4096u
#define BLOCK_PAGES 16u

/* ---- text ------------------------------------------------------------------------------------ */

void
sn_lines_flush(struct sn_lines *lines)
{
    if (lines->used > 0)
        lines->write(lines->opaque, lines->text, lines->used);
    lines->used = 0;
}

static void
put_character(struct sn_lines *lines, char character)
{
    if (lines->used == sizeof(lines->text))
        sn_lines_flush(lines);
    lines->text[lines->used++] = character;
}

void
sn_lines_put(struct sn_lines *lines, const char *text)
{
    sn_lines_bytes(lines, text, strlen(text));
}

void
sn_lines_bytes(struct sn_lines *lines, const void *bytes, size_t left)
{
    const char *text = bytes;
    for (size_t n; left > 0; text += n, left -= n) {
        if (lines->used == sizeof(lines->text))
            sn_lines_flush(lines);
        n = sizeof(lines->text) - lines->used < left ? sizeof(lines->text) - lines->used : left;
        memcpy(lines->text + lines->used, text, n);
        lines->used += n;
    }
}

void
sn_lines_number(struct sn_lines *lines, const char *before, uint64_t number)
{
    char digits[24], *at = digits + sizeof(digits) - 1;
    *at = 0;
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    sn_lines_put(lines, before);
    sn_lines_put(lines, at);
}

/* ---- the first line -------------------------------------------------------------------------- */

static void
put_name(struct sn_lines *lines, const char *name)
{
    for (; *name; name++) {
        bool plain = (unsigned char)*name >= ' ' && *name != 127 && *name != '"' && *name != '\\';
        put_character(lines, (char)(plain ? *name : '_'));
    }
}

void
sn_map_head(struct sn_lines *lines, const char *store, const char *of, uint32_t blocks)
{
    sn_lines_put(lines, "{\"format\":\"sinter.map\",\"version\":1,\"store\":\"");
    put_name(lines, store);
    sn_lines_put(lines, "\",\"of\":\"");
    sn_lines_put(lines, of);
    sn_lines_number(lines, "\",\"time\":", (uint64_t)time(NULL));
    sn_lines_number(lines, ",\"page_bytes\":4096,\"block_bytes\":65536,\"blocks\":", blocks);
    sn_lines_put(lines, ",\"classes\":[");
}

void
sn_map_class(struct sn_lines *lines, const struct sn_map_class *c, bool first)
{
    sn_lines_number(lines, first ? "[" : ",[", c->size);
    sn_lines_number(lines, ",", c->slot_bytes);
    sn_lines_number(lines, ",", c->slots);
    sn_lines_number(lines, ",", c->pages);
    sn_lines_put(lines, "]");
}

void
sn_map_end_head(struct sn_lines *lines)
{
    sn_lines_put(lines, "]}\n");
}

/* ---- runs ------------------------------------------------------------------------------------ */

static uint64_t
bit_of(const uint64_t *bits, uint32_t slot)
{
    return bits[slot / 64] >> (slot % 64) & 1;
}

/* How many of slots [begin, end). */
static uint32_t
count_bits(const uint64_t *bits, uint32_t begin, uint32_t end)
{
    uint32_t count = 0;
    for (uint32_t to; begin < end; begin = to) {
        to = (begin / 64 + 1) * 64 < end ? (begin / 64 + 1) * 64 : end;
        uint64_t mask = UINT64_MAX >> (64 - (to - begin)) << begin % 64;
        uint64_t set = bits[begin / 64] & mask; /* mostly none or all: popcount is a call */
        count += set == mask ? to - begin : set ? (uint32_t)__builtin_popcountll(set) : 0;
    }
    return count;
}

/* Bytes of a page that slots have whose bits are set. */
static uint32_t
share_of(const uint64_t *bits, const struct sn_map_class *c, uint32_t page)
{
    uint32_t begin = page * PAGE, end = begin + PAGE;
    if (begin >= c->lead + c->slots * c->slot_bytes)
        return 0;
    uint32_t first = begin > c->lead ? (begin - c->lead) / c->slot_bytes : 0;
    uint32_t last = (end - 1 - c->lead) / c->slot_bytes;
    last = last < c->slots ? last : c->slots - 1;
    uint32_t from = c->lead + first * c->slot_bytes, to = c->lead + (last + 1) * c->slot_bytes;
    uint32_t share = count_bits(bits, first, last + 1) * c->slot_bytes;
    if (from < begin && bit_of(bits, first)) /* what lies on the pages beside it */
        share -= begin - from;
    if (to > end && bit_of(bits, last))
        share -= to - end;
    return share;
}

static char
character_of(uint32_t taken, uint32_t waiting)
{
    uint32_t live = taken - waiting;
    if (waiting > live)
        return 'w';
    uint32_t step = live == 0 ? 0 : 1 + (live - 1) * 15 / PAGE;
    return "0123456789abcdef"[step > 15 ? 15 : step];
}

static char
character_at(const struct sn_map_run *run, uint32_t page)
{
    if (run->kind == SN_MAP_SLOTS)
        return character_of(share_of(run->bits, run->class, page),
                            run->waits ? share_of(run->waits, run->class, page) : 0);
    if (run->kind == SN_MAP_LARGE && !run->live)
        return 'w';
    return character_of(
        run->kind == SN_MAP_LARGE && (uint64_t)page * PAGE < run->requested ? PAGE : 0, 0);
}

void
sn_map_begin_run(struct sn_lines *lines, const struct sn_map_run *run)
{
    static const char *const kinds[] = {"slots", "large", "empty", "clean", "other"};
    sn_lines_number(lines, "{\"at\":", run->at);
    sn_lines_number(lines, ",\"blocks\":", run->blocks);
    sn_lines_put(lines, ",\"state\":\"");
    sn_lines_put(lines, kinds[run->kind]);
    sn_lines_put(lines, "\"");
    if (run->kind == SN_MAP_SLOTS) {
        sn_lines_number(lines, ",\"class\":", run->class_id);
        sn_lines_number(lines, ",\"live\":", run->live);
        sn_lines_number(lines, ",\"waiting\":", run->waiting);
        sn_lines_number(lines, ",\"slots\":", run->class->slots);
    }
    if (run->requested)
        sn_lines_number(lines, ",\"requested\":", run->requested);
    if (run->why) {
        sn_lines_put(lines, ",\"why\":\"");
        for (unsigned i = 0; i < 4; i++)
            if (run->why >> i & 1)
                put_character(lines, "putd"[i]);
        sn_lines_put(lines, "\"");
    }
    sn_lines_put(lines, ",\"pages\":\"");
}

uint16_t
sn_map_pieces(uint16_t dirty, uint32_t page_bytes)
{
    uint32_t each = page_bytes / PAGE, pieces = 0;
    for (uint32_t i = 0; i < BLOCK_PAGES; i++)
        pieces |= (dirty >> i / each & 1u) << i;
    return (uint16_t)pieces;
}

void
sn_map_block(struct sn_lines *lines, const struct sn_map_run *run, uint32_t block, uint16_t dirty)
{
    for (uint32_t i = 0; i < BLOCK_PAGES; i++)
        put_character(lines,
                      (char)(dirty >> i & 1 ? character_at(run, block * BLOCK_PAGES + i) : '.'));
}

void
sn_map_end_run(struct sn_lines *lines)
{
    sn_lines_put(lines, "\"}\n");
}

/* ---- the last line --------------------------------------------------------------------------- */

void
sn_map_steps(struct sn_lines *lines, const struct sn_map_sums *sums)
{
    sn_lines_number(lines, ",\"requested\":", sums->requested);
    sn_lines_number(lines, ",\"rounding\":", sums->rounding);
    sn_lines_number(lines, ",\"header\":", sums->header);
    sn_lines_number(lines, ",\"free_slot\":", sums->free_slot);
    sn_lines_number(lines, ",\"waiting\":", sums->waiting);
    sn_lines_number(lines, ",\"empty_span\":", sums->empty_span);
    sn_lines_number(lines, ",\"table\":", sums->table);
    sn_lines_number(lines, ",\"metadata\":", sums->metadata);
}

void
sn_map_begin_tail(struct sn_lines *lines, const struct sn_map_sums *sums)
{
    sn_lines_number(lines, "{\"stats\":{\"committed\":", sums->committed);
    sn_map_steps(lines, sums);
    sn_lines_number(lines, ",\"objects\":", sums->objects);
    sn_lines_number(lines, ",\"objects_large\":", sums->objects_large);
    if (sums->resident != UINT64_MAX)
        sn_lines_number(lines, ",\"resident_arena\":", sums->resident);
    sn_lines_put(lines, "}");
}
