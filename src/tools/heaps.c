/* SPDX-License-Identifier: MIT */
/* heaps.c - see heaps.h. */
#include "tools/heaps.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/reader_layout.h"

#define PIECE ((size_t)1 << 20)

/* ---- the stores ------------------------------------------------------------------------------ */

unsigned
heaps_mark(const struct heap *heap, uint64_t number)
{
    return heap->mark[number / 2] >> (number % 2 * 4) & 15u;
}

void
heaps_set_mark(struct heap *heap, uint64_t number, unsigned mark)
{
    unsigned shift = (unsigned)(number % 2 * 4);
    heap->mark[number / 2] =
        (unsigned char)((heap->mark[number / 2] & ~(15u << shift)) | mark << shift);
}

/* One run: its blocks, and marks for its slots. */
static int
note_run(void *opaque, const struct reader_run *run)
{
    struct heap *heap = opaque;
    bool large = run->kind == READER_LARGE;
    uint32_t slots = large ? 1 : run->slots;
    if (run->kind != READER_SLOTS && !large)
        return 0;
    for (uint32_t i = run->at; i < run->at + run->blocks; i++) {
        heap->run[i] = run->at;
        heap->class_of[i] = large ? HEAP_LARGE : (uint8_t)run->class_id;
    }
    heap->first[run->at] = heap->slots;
    unsigned char *more = realloc(heap->mark, (heap->slots + slots) / 2 + 1);
    if (!more)
        return -1;
    heap->mark = more;
    for (uint32_t i = 0; i < slots; i++)
        heaps_set_mark(heap, heap->slots + i,
                       reader_is_live_slot(run, i) ? MARK_LEAKED : MARK_NONE);
    heap->slots += slots;
    return 0;
}

/* The handle table: where it is, or a copy. */
static bool
find_table(struct heaps *heaps, struct heap *heap)
{
    uint64_t bytes = heap->store.entries * 8, there;
    heap->table_at = target_at(heaps->target, heap->store.table, &there);
    if (heap->table_at && there >= bytes)
        return true;
    heap->table_at = NULL;
    heap->table = malloc(bytes + 8);
    return heap->table && target_read(heaps->target, heap->store.table, heap->table, bytes);
}

static bool
open_heap(struct heaps *heaps, struct heap *heap, const char **error)
{
    size_t blocks = heap->store.high + UINT64_C(1);
    heap->run = calloc(blocks, sizeof(heap->run[0]));
    heap->class_of = calloc(blocks, 1);
    heap->first = calloc(blocks, sizeof(heap->first[0]));
    heap->mark = calloc(1, 1);
    if (!heap->run || !heap->class_of || !heap->first || !heap->mark)
        return reader_refuse(error, "no memory");
    if (!find_table(heaps, heap))
        return reader_refuse(error, "store %s: its handle table is not all there",
                             heap->store.name);
    *error = "no memory";
    return reader_runs(heaps->reader, &heap->store, READER_EXACT, note_run, NULL, heap, error) == 0;
}

bool
heaps_open(struct heaps *heaps, struct reader *reader, const char *name, const char **error)
{
    static struct reader_store store;
    *heaps = (struct heaps){.reader = reader, .target = &reader->target};
    heaps->heap = calloc(HEAPS_MAX, sizeof(heaps->heap[0]));
    *error = heaps->heap ? NULL : "no memory";
    bool found = heaps->heap && (name ? reader_find(reader, name, &store, error)
                                      : reader_first(reader, &store, error));
    while (found && heaps->count < HEAPS_MAX) {
        struct heap *heap = &heaps->heap[heaps->count++];
        heap->store = store;
        if (!open_heap(heaps, heap, error))
            return false;
        found = !name && reader_next(reader, &store, error);
    }
    heaps->more = found;
    if (heaps->count == 0 && !*error)
        *error = "it has no store now";
    return !*error;
}

void
heaps_close(struct heaps *heaps)
{
    for (unsigned i = 0; i < heaps->count; i++) {
        free(heaps->heap[i].run);
        free(heaps->heap[i].class_of);
        free(heaps->heap[i].first);
        free(heaps->heap[i].mark);
        free(heaps->heap[i].table);
    }
    free(heaps->heap);
}

/* ---- what a word names ----------------------------------------------------------------------- */

static bool
place_in(struct heap *heap, uint64_t offset, struct heap_place *place)
{
    const struct reader_store *store = &heap->store;
    uint32_t block = (uint32_t)(offset >> 16), run = heap->run[block];
    if (run == 0)
        return false;
    *place =
        (struct heap_place){heap, run, 0, store->arena + ((uint64_t)run << 16), heap->first[run]};
    if (heap->class_of[run] == HEAP_LARGE)
        return true;
    const struct reader_class *c = &store->of[heap->class_of[run]];
    uint64_t inside = offset - ((uint64_t)run << 16) - c->lead;
    if (inside >= (uint64_t)c->slots * c->slot_bytes)
        return false;
    place->slot = (uint32_t)inside / c->slot_bytes;
    place->begin += c->lead + (uint64_t)place->slot * c->slot_bytes + 8;
    place->mark += place->slot;
    return true;
}

bool
heaps_place(const struct heaps *heaps, uint64_t address, struct heap_place *place)
{
    for (unsigned i = 0; i < heaps->count; i++) {
        uint64_t offset = address - heaps->heap[i].store.arena;
        if (offset < (uint64_t)heaps->heap[i].store.high << 16)
            return place_in(&heaps->heap[i], offset, place);
    }
    return false;
}

static uint64_t
header_at(const struct heaps *heaps, const struct heap_place *place)
{
    const struct layout *at = &heaps->reader->at;
    const struct reader_store *store = &place->heap->store;
    uint64_t header = 0, address = place->begin - 8;
    if (place->heap->class_of[place->run] == HEAP_LARGE)
        address = store->spans + (uint64_t)place->run * at->sizeof_span + at->span_header;
    target_read(heaps->target, address, &header, sizeof(header));
    return header;
}

uint64_t
heaps_size(const struct heaps *heaps, const struct heap_place *place)
{
    const struct layout *at = &heaps->reader->at;
    const struct reader_store *store = &place->heap->store;
    uint32_t class_id = place->heap->class_of[place->run];
    uint64_t size = 0;
    if (heaps_mark(place->heap, place->mark) == MARK_NONE)
        return 0;
    if (class_id != HEAP_LARGE)
        return reader_size_of(at, store, &store->of[class_id], header_at(heaps, place));
    uint64_t span = store->spans + (uint64_t)place->run * at->sizeof_span;
    target_read(heaps->target, span + at->span_size, &size, sizeof(size));
    uint64_t most = ((uint64_t)store->high - place->run) << 16;
    return size < most ? size : most;
}

static uint64_t
table_word(const struct heap *heap, uint64_t index)
{
    uint64_t word;
    memcpy(&word, heap->table_at ? heap->table_at + index * 8 : (const char *)&heap->table[index],
           sizeof(word));
    return word;
}

/* As in the inline handle_deref. */
static bool
is_handle(const struct heaps *heaps, struct heap *heap, uint64_t word, struct heap_place *place)
{
    const struct layout *at = &heaps->reader->at;
    uint64_t index = word >> at->handle_index;
    if (index >= heap->store.entries)
        return false;
    uint64_t entry = table_word(heap, index);
    uint32_t differs = ((uint32_t)entry + 8 * (uint32_t)word + at->word_object) & at->word_match;
    uint64_t offset = entry >> at->word_offset << 3;
    return differs == 0 && offset < (uint64_t)heap->store.high << 16 &&
           place_in(heap, offset, place) && place->begin == heap->store.arena + offset;
}

/* Whether an address in an object is the place of a cell that its header still names where the
 * object was before: a parent that is being moved, between publish and turn (G13). */
static bool
is_carried(struct heap *heap, uint64_t address, uint64_t named)
{
    const struct reader_store *store = &heap->store;
    uint64_t end = (uint64_t)store->high << 16;
    struct heap_place here, old;
    return address - store->arena < end && named - store->arena < end &&
           place_in(heap, address - store->arena, &here) &&
           place_in(heap, named - store->arena, &old) &&
           address - here.begin == named - old.begin && heaps_mark(heap, here.mark) != MARK_NONE &&
           heaps_mark(heap, old.mark) == MARK_NONE;
}

/* Whether it is a cell, which the header of the object that it names names. */
static bool
is_cell(const struct heaps *heaps, struct heap *heap, uint64_t address, uint64_t word,
        struct heap_place *place)
{
    uint64_t offset = reader_cell_offset(heaps->reader, word);
    if (offset == 0 || offset >= (uint64_t)heap->store.high << 16 ||
        !place_in(heap, offset, place) || place->begin != heap->store.arena + offset ||
        heaps_mark(heap, place->mark) == MARK_NONE)
        return false;
    uint64_t named = header_at(heaps, place) >> heaps->reader->at.header_name << 3;
    return named == address || is_carried(heap, address, named);
}

static unsigned
is_address(const struct heaps *heaps, struct heap *heap, uint64_t word, struct heap_place *place)
{
    uint64_t offset = word - heap->store.arena;
    if (offset >= (uint64_t)heap->store.high << 16 || !place_in(heap, offset, place) ||
        word < place->begin)
        return 0;
    if (word == place->begin)
        return MARK_REACHED;
    return word - place->begin < heaps_size(heaps, place) ? MARK_MAYBE : 0;
}

/* Of one store, whose limits stay in registers. */
static size_t
next_of_heap(const struct layout *at, const struct reader_store *store, const uint64_t *words,
             size_t from, size_t count)
{
    uint64_t arena = store->arena, end = (uint64_t)store->high << 16, has = at->word_object;
    bool all = store->entries > UINT64_MAX >> at->handle_index; /* it is damaged */
    uint64_t handles = all ? UINT64_MAX : store->entries << at->handle_index;
    unsigned shift = at->word_offset;
    for (; from < count; from++) {
        uint64_t word = words[from];
        if (word - arena < end || word - 1 < handles ||
            ((word & has) != 0 && word >> shift << 3 < end))
            break;
    }
    return from;
}

size_t
heaps_next(const struct heaps *heaps, const uint64_t *words, size_t from, size_t count)
{
    for (unsigned i = 0; i < heaps->count; i++)
        count = next_of_heap(&heaps->reader->at, &heaps->heap[i].store, words, from, count);
    return count;
}

unsigned
heaps_resolve(const struct heaps *heaps, uint64_t address, uint64_t word, struct heap_place *place)
{
    for (unsigned i = 0; word != 0 && i < heaps->count; i++) {
        struct heap *heap = &heaps->heap[i];
        unsigned level = is_address(heaps, heap, word, place);
        if (level == 0 && (is_handle(heaps, heap, word, place) ||
                           (address && is_cell(heaps, heap, address, word, place))))
            level = MARK_REACHED;
        if (level != 0 && heaps_mark(heap, place->mark) != MARK_NONE)
            return level;
    }
    return 0;
}

/* ---- words ----------------------------------------------------------------------------------- */

static void
visit_range(const struct heaps *heaps, uint64_t begin, uint64_t end, heaps_words *visit,
            void *opaque)
{
    static uint64_t piece[PIECE / 8];
    begin = (begin + 7) & ~UINT64_C(7);
    for (uint64_t at = begin; at < end && end - at >= 8; at += PIECE) {
        size_t bytes = (size_t)(end - at < PIECE ? (end - at) & ~UINT64_C(7) : PIECE);
        if (target_read(heaps->target, at, piece, bytes))
            visit(opaque, at, piece, bytes / 8, 0);
    }
}

/* The end of the store's part, or of the free part of a stack, that an address lies in; 0: none. */
static uint64_t
end_of_hole(const struct heaps *heaps, const struct process *process,
            const struct target_range *range, uint64_t address)
{
    for (unsigned i = 0; i < heaps->count; i++) {
        const struct reader_store *s = &heaps->heap[i].store;
        if (address >= s->lower && address < s->table + s->table_bytes)
            return s->table + s->table_bytes;
        if (address >= s->arena && address - s->arena < (uint64_t)s->limit << 16)
            return s->arena + ((uint64_t)s->limit << 16);
    }
    uint64_t low = 0; /* below what a stack pointer points to, and its red zone */
    for (size_t i = 0; i < process->threads; i++) {
        uint64_t sp = process->thread[i].stopped ? process->thread[i].sp - 128 : 0;
        if (sp > range->begin && sp < range->end && (low == 0 || sp < low))
            low = sp;
    }
    return low > address ? low : 0;
}

/* Where the next hole begins. */
static uint64_t
begin_of_hole(const struct heaps *heaps, uint64_t address, uint64_t end)
{
    for (unsigned i = 0; i < heaps->count; i++) {
        const struct reader_store *s = &heaps->heap[i].store;
        if (s->lower > address && s->lower < end)
            end = s->lower;
        if (s->arena > address && s->arena < end)
            end = s->arena;
    }
    return end;
}

static void
visit_registers(const struct process *process, const char *text, heaps_words *visit, void *opaque)
{
    for (size_t i = 0; i < process->threads; i++)
        visit(opaque, 0, process->thread[i].reg, process->thread[i].registers,
              process->thread[i].lwp);
    for (char *end; text && *text; text = *end ? end + 1 : end) {
        uint64_t word = strtoull(text, &end, 0);
        if (end == text)
            return;
        visit(opaque, 0, &word, 1, 0);
    }
}

void
heaps_roots(const struct heaps *heaps, const struct process *process, const char *registers,
            heaps_words *visit, void *opaque, bool progress)
{
    progress = progress && isatty(STDERR_FILENO);
    visit_registers(process, registers, visit, opaque);
    for (size_t i = 0; i < heaps->target->ranges; i++) {
        const struct target_range *range = &heaps->target->range[i];
        for (uint64_t at = range->begin, end; range->writable && at < range->end; at = end) {
            end = end_of_hole(heaps, process, range, at);
            if (end != 0)
                continue;
            end = begin_of_hole(heaps, at, range->end);
            visit_range(heaps, at, end, visit, opaque);
        }
        if (progress)
            fprintf(stderr, "\rreading memory: %zu %%", (i + 1) * 100 / heaps->target->ranges);
    }
    if (progress)
        fputs("\r\033[K", stderr);
}

void
heaps_contents(const struct heaps *heaps, const struct heap_place *place, heaps_words *visit,
               void *opaque)
{
    uint64_t bytes, size = heaps_size(heaps, place), there;
    const char *at = target_at(heaps->target, place->begin, &there);
    static uint64_t buffer[8192];
    if (at && there >= size && (uintptr_t)at % 8 == 0) {
        visit(opaque, place->begin, (const uint64_t *)(const void *)at, size / 8, 0);
        return;
    }
    for (uint64_t done = 0; done + 8 <= size; done += bytes) {
        bytes = size - done < sizeof(buffer) ? (size - done) & ~UINT64_C(7) : sizeof(buffer);
        if (target_read(heaps->target, place->begin + done, buffer, bytes))
            visit(opaque, place->begin + done, buffer, bytes / 8, 0);
    }
}
