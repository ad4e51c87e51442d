/* SPDX-License-Identifier: MIT */
/*
 * engine.h - one store beside a reference map, driven by bytes: each operation does the same to
 * both and compares the answers. Made to be fast: an object's contents follow from a stamp, so the
 * map holds no copies. (The interface tests have a map that does: tests/api/model_store.h.)
 *
 * Operations stand in a section, which one of them ends and begins anew.
 */
#ifndef TEST_FUZZ_ENGINE_H
#define TEST_FUZZ_ENGINE_H

#include "fuzz.h"

#define KEYS     2048
#define PINS     16
#define UPDATES  8
#define RESERVED 4
#define READS    4
#define STALE    64

struct object {
    bool live;
    bool by_cell;
    bool written; /* pinned for writing since its pins were last zero */
    uint8_t at;   /* the cell in use */
    uint8_t flags;
    uint32_t size;
    uint32_t tag;
    handle_t handle;
    handle_cell cells[2]; /* relocate goes from one to the other */
    uint64_t stamp;
    uint64_t birth;       /* counts allocations */
    uint64_t incarnation; /* counts replacements, too: free, resize, commit */
};

struct pin {
    const void *address; /* NULL: unused */
    uint16_t key;
    bool current;   /* the object is still in this slot */
    uint32_t size;  /* when it left */
    uint64_t stamp; /* when it left */
};

struct version {
    struct handle_update update;
    uint16_t key;
    bool active;
    bool current; /* the version that begin saw is still the object's slot */
    uint32_t size;
    uint64_t stamp;
    uint64_t birth, incarnation; /* of the object when the version was begun */
};

/** An object that is reserved, and filled. */
struct reservation {
    struct handle_reserved reserved;
    bool active;
    uint8_t flags;
    uint32_t size;
    uint64_t stamp;
};

/** What a reader of this section has resolved: it stays as it is until the section ends (G2). */
struct read {
    const void *address; /* NULL: unused */
    uint16_t key;
    uint32_t size;
    uint64_t stamp;
};

struct engine {
    handle_store *store;
    struct source *source;
    bool limited; /* max_bytes is set: calls may answer ENOMEM and EAGAIN */
    unsigned error_lines, error_lines_expected;
    uint64_t stamps; /* last one given */
    unsigned next_read, next_stale;
    unsigned pins_held, versions_active, reservations_active;
    struct object objects[KEYS];
    struct pin pins[PINS];
    struct version versions[UPDATES];
    struct reservation reservations[RESERVED];
    struct read reads[READS];
    handle_t stale[STALE];
};

/** Makes a store, its options from the source. Outside a section. */
void engine_open(struct engine *engine, struct source *source);
/** Ends holds, checks everything, destroys the store. Outside a section. */
void engine_close(struct engine *engine);
/** Objects that the stores of all engines moved. */
extern uint64_t engine_moved;
/** One operation, between engine_enter and engine_leave. */
void engine_step(struct engine *engine);

/** Ends the section: what was read in it must be there up to this moment. */
void engine_leave(struct engine *engine);
void engine_enter(struct engine *engine);

/* ---- between the files of the engine --------------------------------------------------------- */

/** A refusal for want of memory: fails unless the store has a limit. */
void engine_refused(struct engine *engine, int error);

const void *engine_resolve(struct engine *engine, struct object *object);
void *engine_resolve_mut(struct engine *engine, struct object *object);
uint32_t engine_size(struct engine *engine);
uint64_t engine_stamp(struct engine *engine);
void engine_fill(void *memory, size_t from, size_t size, uint64_t stamp);
bool engine_holds_stamp(const void *memory, size_t size, uint64_t stamp);
void engine_compare(struct engine *engine, unsigned key);
void engine_free(struct engine *engine, unsigned key, bool now);
/** A new object, of untagged name. */
void engine_born(struct object *object, uint32_t size, uint64_t stamp);

static inline handle_cell *
cell_of(struct object *object)
{
    return &object->cells[object->at];
}

/* holds.c */
/** The object leaves its slot: who holds it keeps what it was. */
void engine_left_slot(struct engine *engine, unsigned key);
/** The slot's contents or the slot itself change under its readers. */
void engine_forget_reads(struct engine *engine, unsigned key);
void engine_note_read(struct engine *engine, unsigned key, const void *address);
void engine_check_reads(struct engine *engine);
bool engine_has_version(const struct engine *engine, unsigned key);
void engine_pin(struct engine *engine, unsigned key, bool writing);
void engine_unpin(struct engine *engine, unsigned i);
void engine_update_begin(struct engine *engine, unsigned key);
void engine_update_end(struct engine *engine, unsigned i, bool commit);
void engine_reserve(struct engine *engine, unsigned i);
void engine_publish(struct engine *engine, unsigned key, unsigned i);
void engine_abort(struct engine *engine, unsigned i);
void engine_release(struct engine *engine);

/* whole.c */
/** Compaction, options, statistics, walks, checks: by the next byte. */
void engine_whole_store(struct engine *engine);
/** Contents of every object, and of the store by a walk. Ends pins and versions. */
void engine_verify(struct engine *engine);

#endif
