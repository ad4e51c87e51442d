/* SPDX-License-Identifier: MIT */
/*
 * reader.h - reads the stores of a process from outside: of its core, or while it runs, without
 * stopping it; by the table of offsets that the library carries (src/core/debug_table.h), and
 * nothing else of it. What it reads may be damaged, or change meanwhile: no number is believed
 * before it has been held against what is around it, no loop is longer than the arena.
 *
 * What cannot be read is said in one sentence, *error, which is kept until the next call.
 */
#ifndef READER_H
#define READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader;

/** target: the number of a process, "self", or a core's path. NULL: *error says why. */
struct reader *reader_open(const char *target, const char **error);
void reader_close(struct reader *reader);
/** Whether it is a process that runs. */
bool reader_is_live(const struct reader *reader);

#define READER_CLASSES_MAX 256
#define READER_BLOCK_PAGES 16

struct reader_class {
    uint32_t slot_bytes, slots, blocks, pages, lead, payload; /* pages: of 4 KiB */
};

struct reader_store {
    uint64_t at;
    char name[32];
    bool hardened;
    uint64_t arena, secret;
    uint32_t page_bytes;
    uint32_t blocks, limit, high; /* of the arena: planned, reserved, used at some time */
    uint64_t max_bytes, committed;
    uint64_t table_committed;
    uint32_t extra; /* bytes of each slot that are no object's */
    uint32_t classes;
    struct reader_class of[READER_CLASSES_MAX];
    uint64_t spans, groups_end;
    uint64_t lower;          /* metadata lies from here to `at`; then the table, then the arena */
    uint64_t table_bytes;    /* reserved */
    uint64_t table, entries; /* address of the handle table; how many were used at some time */
    uint64_t pins, rcu;
    uint64_t limbo_bytes, moved_bytes, failures;
    uint32_t idle; /* enum handle_idle_reason */
};

/** The first store, or the one behind `store`; false: there is none, or (*error) it cannot be
 * read. */
bool reader_first(struct reader *reader, struct reader_store *store, const char **error);
bool reader_next(struct reader *reader, struct reader_store *store, const char **error);
/** The one of that name; NULL: the first. */
bool reader_find(struct reader *reader, const char *name, struct reader_store *store,
                 const char **error);

enum reader_kind { READER_SLOTS, READER_LARGE, READER_EMPTY, READER_CLEAN, READER_OTHER };

/** A run of blocks. */
struct reader_run {
    uint32_t at, blocks;
    enum reader_kind kind;
    uint32_t class_id;
    bool pinned, unmovable, damaged, tried;
    bool no_contents;     /* headers were not read: `live` counts the ended ones, too */
    uint32_t live, ended; /* objects; slots that threads cache, or that are in limbo */
    uint32_t slots;
    uint64_t requested;    /* bytes, of live objects; 0 where headers were not read */
    uint64_t committed;    /* bytes */
    const uint16_t *dirty; /* by block: which pieces of 4 KiB are committed */
    const uint64_t *bits;  /* of slots: not free */
    const uint64_t *waits; /* of them the ended ones */
    const char *contents;  /* of slots, by bytes from the run's begin; NULL: were not read */
    uint64_t header;       /* of a large object */
};

/** How often the headers of a span are read, which costs more than all else. */
enum reader_detail {
    READER_EXACT,  /* always: sizes are known */
    READER_PINNED, /* of spans with pinned objects */
    READER_SAMPLE, /* of every class some, and all where slots may wait: of the others all live */
};

/** Visits the runs by block; a result other than 0 ends it. damage: NULL, or gets a sentence for
 * what is not as it can be; such a block is passed over. Result: the visitor's, 0, or -1: *error
 * says why. */
int reader_runs(struct reader *reader, const struct reader_store *store, enum reader_detail detail,
                int (*visit)(void *opaque, const struct reader_run *run),
                void (*damage)(void *opaque, const char *sentence), void *opaque,
                const char **error);

/** The same of the one run that has a block; it is read exactly. */
int reader_run_at(struct reader *reader, const struct reader_store *store, uint32_t block,
                  int (*visit)(void *opaque, const struct reader_run *run), void *opaque,
                  const char **error);

/** A live object. */
struct reader_object {
    uint64_t at;       /* address */
    uint64_t size;     /* bytes asked for */
    uint64_t name;     /* address of the word that names it, as its header says */
    uint64_t handle;   /* 0: a cell names it */
    uint64_t tag;      /* of its cell */
    bool named;        /* that word does name it; else it changes just now, or is damaged */
    bool has_contents; /* they can be read */
    uint32_t pins;
};

/** Whether slot i of a run (0 of a large one) has a live object. */
bool reader_is_live_slot(const struct reader_run *run, uint32_t i);
/** Whether the header of a slot that has no object is as it has to be. */
bool reader_is_clear(const struct reader *reader, const struct reader_store *store,
                     const struct reader_run *run, uint32_t i);
/** Reads it; of a slot the run has its contents. */
void reader_object(const struct reader *reader, const struct reader_store *store,
                   const struct reader_run *run, uint32_t i, struct reader_object *object);
/** Whether the bytes behind an object are as its hardened store has left them; of a store that is
 * not, or where they cannot be read, they are. Of a process the object may change meanwhile. */
bool reader_canary_is_whole(const struct reader *reader, const struct reader_store *store,
                            const struct reader_object *object);
/** Free slots that threads keep, by class: adds them up. */
void reader_cached(const struct reader *reader, const struct reader_store *store, uint64_t *slots);
/** Sums up, over all threads, how many words lie on a stack that each keeps: from what the member
 * of its cache at `base` points to, to what the one at `top` does. */
uint64_t reader_stacked(const struct reader *reader, const struct reader_store *store, uint32_t top,
                        uint32_t base);
/** Frees so far. */
uint64_t reader_frees(const struct reader *reader, const struct reader_store *store);
/** *completed: grace periods of the store's flavour. Result: for how long the one under way has
 * been; 0: none is; of a core 1: so long is not known. */
uint64_t reader_grace_periods(const struct reader *reader, const struct reader_store *store,
                              uint64_t *completed);
/** How often the slot of a span is pinned. */
uint32_t reader_pins(const struct reader *reader, const struct reader_store *store, uint32_t block,
                     uint32_t slot);
/** Memory by address. False: not all of it is there. */
bool reader_memory(const struct reader *reader, uint64_t address, void *to, size_t bytes);

/** What a handle speaks of. */
enum reader_handle_state { READER_HANDLE_LIVE, READER_HANDLE_STALE, READER_HANDLE_FOREIGN };
/** LIVE: *offset is its object's, in the arena. STALE: *generations have gone by since. */
enum reader_handle_state reader_handle(const struct reader *reader,
                                       const struct reader_store *store, uint64_t handle,
                                       uint64_t *offset, uint64_t *generations);
/** The object that a cell's word names, as offset in the arena; 0: none. */
uint64_t reader_cell_offset(const struct reader *reader, uint64_t word);

/** Bytes of the arena that the kernel holds in memory; UINT64_MAX: it does not say. */
uint64_t reader_resident(struct reader *reader, const struct reader_store *store);

#endif
