/* SPDX-License-Identifier: MIT */
/*
 * heaps.h - all stores of a process at once, and the words of its memory: what a word names. Of a
 * store are kept the blocks' runs and four bits for each slot, at most 3 % of its size.
 */
#ifndef HEAPS_H
#define HEAPS_H

#include "tools/process.h"
#include "tools/reader.h"

#define HEAPS_MAX 64

/* A mark of a slot: how its object is known, and bits. */
enum {
    MARK_NONE = 0, /* no object */
    MARK_LEAKED,   /* an object, of which nothing is known yet */
    MARK_MAYBE,
    MARK_REACHED,
    MARK_LEVEL = 3,
    MARK_DUE = 4, /* its contents are to be looked at */
    MARK_HELD = 8 /* a leaked object names it */
};

struct heap {
    struct reader_store store;
    uint32_t *run;     /* by block: where its run begins; 0: no span */
    uint8_t *class_of; /* the same: its class, HEAP_LARGE */
    uint64_t *first;   /* by block that begins a run: how many slots lie before it */
    uint64_t slots;
    unsigned char *mark;  /* two to a byte */
    uint64_t *table;      /* a copy of the handle table, of a process; else: */
    const char *table_at; /* in the core, if it is there in one piece */
};
#define HEAP_LARGE 255

struct heaps {
    struct reader *reader;
    const struct target *target;
    struct heap *heap;
    unsigned count;
    bool more; /* there are stores that are not looked at */
};

/** Where an address lies. */
struct heap_place {
    struct heap *heap;
    uint32_t run, slot;
    uint64_t begin; /* address of the slot's object */
    uint64_t mark;  /* number of its mark */
};

/** name: of the only store, or NULL. False: *error says why. Marks of live objects are LEAKED. */
bool heaps_open(struct heaps *heaps, struct reader *reader, const char *name, const char **error);
void heaps_close(struct heaps *heaps);

/** The slot that an address lies in, before or behind its header. */
bool heaps_place(const struct heaps *heaps, uint64_t address, struct heap_place *place);
unsigned heaps_mark(const struct heap *heap, uint64_t number);
void heaps_set_mark(struct heap *heap, uint64_t number, unsigned mark);

/** Requested bytes of the live object there; 0: it has none. */
uint64_t heaps_size(const struct heaps *heaps, const struct heap_place *place);

/** The first word from `from` on that can name an object by its size; `count`: none can. What most
 * words are passed over by. */
size_t heaps_next(const struct heaps *heaps, const uint64_t *words, size_t from, size_t count);
/** How a word at an address (0: a register) names an object: 0, or MARK_MAYBE, MARK_REACHED. */
unsigned
heaps_resolve(const struct heaps *heaps, uint64_t address, uint64_t word, struct heap_place *place);

/** Words in a row; the address of the first, 0: registers of thread `lwp`. */
typedef void
heaps_words(void *opaque, uint64_t address, const uint64_t *words, size_t count, int lwp);
/** Visits all memory that a program may keep names in: registers, and what can be written and is
 * not the stores' own, but for the parts of stacks that are not in use. registers: NULL, or those
 * of all threads of a process, as text. */
void heaps_roots(const struct heaps *heaps, const struct process *process, const char *registers,
                 heaps_words *visit, void *opaque, bool progress);
/** The same of one object's contents. */
void heaps_contents(const struct heaps *heaps, const struct heap_place *place, heaps_words *visit,
                    void *opaque);

#endif
