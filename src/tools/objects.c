/* SPDX-License-Identifier: MIT */
/* objects.c - of the reader: one object, and the words that name it. See reader.h. */
#include <string.h>
#include <time.h>

#include "tools/reader_layout.h"

#define GENERATIONS UINT64_C(0xffffff)

bool
reader_memory(const struct reader *reader, uint64_t address, void *to, size_t bytes)
{
    return target_read(&reader->target, address, to, bytes);
}

/* ---- grace periods --------------------------------------------------------------------------- */

uint64_t
reader_grace_periods(const struct reader *reader, const struct reader_store *store,
                     uint64_t *completed)
{
    bool good = true;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    uint64_t started = reader_number(reader, store->rcu + reader->at.rcu_started_ns, 8, &good);
    *completed = reader_number(reader, store->rcu + reader->at.rcu_completed, 8, &good);
    if (!good || started == 0)
        return 0;
    return reader_is_live(reader) && now_ns > started ? now_ns - started : 1;
}

/* ---- pins ------------------------------------------------------------------------------------ */

/* The lines of a span are a tree, see src/memory/pins.h; no search is longer than this. */
#define PIN_LINES_MAX 8

uint32_t
reader_pins(const struct reader *reader, const struct reader_store *store, uint32_t block,
            uint32_t slot)
{
    const struct layout *at = &reader->at;
    uint32_t group = slot / at->pin_slots, digits = group;
    bool good = true;
    uint64_t span = store->spans + (uint64_t)block * at->sizeof_span;
    uint64_t line = reader_number(reader, span + at->span_pins, 4, &good);
    for (unsigned i = 0; good && line != 0 && i < PIN_LINES_MAX; i++, digits >>= 2) {
        uint64_t address = store->pins + line * at->pin_bytes;
        if (reader_number(reader, address + at->pin_group, 2, &good) == group)
            return (uint32_t)reader_number(
                reader, address + at->pin_word + UINT64_C(8) * (slot % at->pin_slots), 8, &good);
        line =
            reader_number(reader, address + at->pin_below + UINT64_C(4) * (digits % 4), 4, &good);
    }
    return 0;
}

/* ---- words ----------------------------------------------------------------------------------- */

uint64_t
reader_cell_offset(const struct reader *reader, uint64_t word)
{
    return word & reader->at.word_object ? word >> reader->at.word_offset << 3 : 0;
}

enum reader_handle_state
reader_handle(const struct reader *reader, const struct reader_store *store, uint64_t handle,
              uint64_t *offset, uint64_t *generations)
{
    const struct layout *at = &reader->at;
    uint64_t index = handle >> at->handle_index, word = 0;
    *offset = *generations = 0;
    if (index >= store->entries || !reader_memory(reader, store->table + index * 8, &word, 8) ||
        word == 0)
        return READER_HANDLE_FOREIGN;
    uint32_t differs = ((uint32_t)word + 8 * (uint32_t)handle + at->word_object) & at->word_match;
    if (differs == 0) {
        *offset = word >> at->word_offset << 3;
        return READER_HANDLE_LIVE;
    }
    *generations = ((~word >> at->word_tag) - handle) & GENERATIONS;
    return *generations != 0 && *generations <= GENERATIONS / 2 ? READER_HANDLE_STALE
                                                                : READER_HANDLE_FOREIGN;
}

/* ---- an object ------------------------------------------------------------------------------- */

bool
reader_is_live_slot(const struct reader_run *run, uint32_t i)
{
    if (run->kind == READER_LARGE)
        return run->live && i == 0;
    return run->kind == READER_SLOTS && i < run->slots && run->bits[i / 64] >> (i % 64) & 1 &&
           !(run->waits[i / 64] >> (i % 64) & 1);
}

/* As in the library. */
uint64_t
reader_size_of(const struct layout *at, const struct reader_store *store,
               const struct reader_class *c, uint64_t header)
{
    uint64_t largest = c->payload - store->extra;
    uint64_t slack = (largest - (header >> at->header_size_at)) & at->header_size;
    return slack <= largest ? largest - slack : 0;
}

/* The header of a slot, which the run has. */
static uint64_t
header_of(const struct reader_store *store, const struct reader_run *run, uint32_t i)
{
    const struct reader_class *c = &store->of[run->class_id];
    uint64_t header;
    memcpy(&header, run->contents + c->lead + (uint64_t)i * c->slot_bytes, sizeof(header));
    return header;
}

bool
reader_is_clear(const struct reader *reader, const struct reader_store *store,
                const struct reader_run *run, uint32_t i)
{
    return !run->contents || (header_of(store, run, i) & reader->at.header_check) == 0;
}

static void
read_name(const struct reader *reader, const struct reader_store *store, uint64_t header,
          struct reader_object *object)
{
    const struct layout *at = &reader->at;
    uint64_t word = 0;
    object->name = header >> at->header_name << 3;
    reader_memory(reader, object->name, &word, 8);
    object->named = reader_cell_offset(reader, word) == object->at - store->arena;
    object->tag = word >> at->word_tag & GENERATIONS;
    if (object->name >= store->table && (object->name - store->table) / 8 < store->entries)
        object->handle =
            (object->name - store->table) / 8 << at->handle_index | (~object->tag & GENERATIONS);
}

void
reader_object(const struct reader *reader, const struct reader_store *store,
              const struct reader_run *run, uint32_t i, struct reader_object *object)
{
    uint64_t begin = store->arena + ((uint64_t)run->at << 16), header = run->header;
    *object = (struct reader_object){.at = begin, .size = run->requested};
    if (run->kind == READER_SLOTS) {
        const struct reader_class *c = &store->of[run->class_id];
        header = run->contents ? header_of(store, run, i) : 0;
        object->at = begin + c->lead + (uint64_t)i * c->slot_bytes + 8;
        object->size = reader_size_of(&reader->at, store, c, header);
    }
    char byte;
    object->has_contents = object->size == 0 || reader_memory(reader, object->at, &byte, 1);
    read_name(reader, store, header, object);
    if (run->pinned)
        object->pins = reader_pins(reader, store, run->at, i);
}

/* As in src/core/hardened.h: from the byte behind the last one to the end of its word. */
bool
reader_canary_is_whole(const struct reader *reader, const struct reader_store *store,
                       const struct reader_object *object)
{
    uint64_t word, mask = ~UINT64_C(0) << (8 * (object->size % 8));
    const struct layout *at = &reader->at;
    uint64_t factor = (uint64_t)at->canary_factor_high << 32 | at->canary_factor_low;
    uint64_t ones = (uint64_t)at->canary_ones_high << 32 | at->canary_ones_low;
    uint64_t canary = ((store->secret ^ (object->at - store->arena)) * factor) | ones;
    return !store->hardened || !object->named ||
           !reader_memory(reader, object->at + object->size / 8 * 8, &word, sizeof(word)) ||
           ((word ^ canary) & mask) == 0;
}
