/* SPDX-License-Identifier: MIT */
/*
 * model_store.h - a store beside a simple reference map: what every object must hold, its size, its
 * tag, who pins it, which versions of it are under way. model_step() does one random operation on
 * both and compares the answers.
 *
 * One model belongs to one thread. Several models may share a store: each knows its own objects
 * only. Shared keys (the first ones) can be read by other threads through model_published.
 */
#ifndef MODEL_STORE_H
#define MODEL_STORE_H

#include "support.h"

#define MODEL_KEYS     3000
#define MODEL_PINS     40
#define MODEL_UPDATES  12
#define MODEL_RESERVED 6
#define MODEL_STALE    256

struct model_object {
    bool live;
    bool by_cell;
    bool written; /* pinned for writing since its pins were last zero */
    unsigned flags;
    handle_t handle;
    handle_cell cells[2]; /* relocate goes from one to the other */
    unsigned at;          /* the one in use */
    uint32_t tag;
    uint64_t birth;       /* counts allocations */
    uint64_t incarnation; /* counts replacements, too: free, resize, commit */
    size_t size;
    unsigned char *bytes; /* what the object must hold; from malloc */
};

/** A pin that is held. While it is current, it shows the object; else the bytes of its end. */
struct model_pin {
    const unsigned char *address; /* NULL: unused entry */
    unsigned key;
    bool current;
    size_t size;
    unsigned char *bytes;
};

/** A version under way. */
struct model_update {
    bool active;
    unsigned key;
    uint64_t birth, incarnation; /* of the object, when the version was begun */
    const void *seen;            /* address of the version that begin pinned */
    bool current;                /* that version is still the object's slot */
    struct handle_update update;
    size_t size;
    unsigned char *bytes;
};

/** A reserved object, filled. */
struct model_reserved {
    bool active;
    unsigned flags;
    struct handle_reserved reserved;
    size_t size;
    unsigned char *bytes;
};

struct model {
    handle_store *store;
    bool alone;           /* no other model uses the store: counts can be compared */
    unsigned shared_keys; /* the first keys: by handle, replaced only, read by others */
    bool limited;         /* max_bytes is set: allocations may fail */
    /* Where faults are injected: may a call answer with this error just now? NULL: none are. */
    bool (*excused)(int error);
    uint64_t seed;
    uint64_t random;
    uint64_t steps;
    const char *doing; /* name of the operation, for the report of a failure */
    struct model_object objects[MODEL_KEYS];
    struct model_pin pins[MODEL_PINS];
    struct model_update updates[MODEL_UPDATES];
    struct model_reserved reserved[MODEL_RESERVED];
    handle_t stale[MODEL_STALE];
    uint64_t *published; /* handles of the shared keys, for readers */
};

/** A check of the model; says seed, step and operation when it fails, and ends the process. */
#define model_check(model, condition)                                                              \
    ((condition) ? (void)0 : model_failed((model), #condition, __FILE__, __LINE__))
_Noreturn void
model_failed(const struct model *model, const char *condition, const char *file, int line);

void model_init(struct model *model, handle_store *store, uint64_t seed);
/** One random operation on a random object. Outside sections. */
void model_step(struct model *model);
/** Compares every object, every pin and the pinned versions. */
void model_verify(struct model *model);
/** Ends pins, updates and reservations. */
void model_release(struct model *model);
/** What store_digest() must give, from the map alone. */
uint64_t model_digest(const struct model *model);
/** Frees all objects and the model's memory. */
void model_end(struct model *model);
size_t model_live_bytes(const struct model *model);
size_t model_live_objects(const struct model *model);
size_t model_versions(const struct model *model); /* updates under way, and their bytes */
size_t model_version_bytes(const struct model *model);
size_t model_held(const struct model *model);     /* pins and updates */
size_t model_reserved(const struct model *model); /* objects */

/** A reader's look at a shared key of another thread's model: whole, or gone. */
void model_read_published(handle_store *store, const uint64_t *published, unsigned key);

/* ---- between the files of the model ---- */

bool model_is_shared(const struct model *model, unsigned key);
size_t model_random_size(struct model *model);
unsigned char *model_random_bytes(struct model *model, size_t size, bool shared);
unsigned char *model_copy_of(struct model *model, const unsigned char *bytes, size_t size);
handle_cell *model_cell_of(struct model_object *object);
/** In a section: the object's address, by either kind of name. */
const void *model_resolve(struct model *model, struct model_object *object);
/** A refusal for want of memory: fails unless the store is at its limit, or it is excused. Outside
 * sections. */
void model_refused(struct model *model, int error);

/** Whether the call worked, or an injected fault is the reason that it did not. */
bool model_worked(struct model *model, int result);
void model_op_compaction(struct model *model, unsigned key);
void model_op_retune(struct model *model, unsigned key);
void model_op_whole_store(struct model *model, unsigned key);

void model_slot_given_up(struct model *model, unsigned key);
const void *model_held_address(const struct model *model, unsigned key);
bool model_has_update(const struct model *model, unsigned key);
void model_verify_holds(struct model *model);
void model_op_pin(struct model *model, unsigned key);
void model_op_pin_mut(struct model *model, unsigned key);
void model_op_unpin(struct model *model, unsigned key);
void model_op_update_begin(struct model *model, unsigned key);
void model_op_update_commit(struct model *model, unsigned key);
void model_op_update_abort(struct model *model, unsigned key);
void model_op_reserve(struct model *model, unsigned key);
void model_op_publish(struct model *model, unsigned key);
void model_op_reserved_abort(struct model *model, unsigned key);

#endif
