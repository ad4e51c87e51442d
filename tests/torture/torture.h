/* SPDX-License-Identifier: MIT */
/*
 * torture.h - what the parts of the torture share. Several stores hold objects with stamped
 * contents; many threads do a random mix of all operations on them; every read is verified. What is
 * wrong is a finding: printed, counted, and the run fails.
 *
 *     torture.c   arguments, threads that come and go, the grace-period clock, the report
 *     stamp.c     contents that say what they are, seqlock for writing in place, ages
 *     keys.c      objects by handle: readers, writers, allocators, pinners
 *     race.c      handles that everybody frees, resizes and updates at once
 *     tables.c    objects by cell, in tables that grow under their readers
 *     links.c     objects by cell, in chains and nodes that are unlinked under their readers
 *     inner.c     a tree, a chain and a queue of cells inside objects
 *     control.c   options, compaction, statistics, limits, forks
 *     audit.c     all threads at rest: everything is compared with what the keys say
 *     limit.c     in the place of all that: a cache at max_bytes (--limit)
 *
 * A key's writers hold its lock (try-lock: whoever does not get it does something else); readers
 * hold nothing.
 */
#ifndef TORTURE_H
#define TORTURE_H

#include "flavour.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define STORES        4
#define KEYS          1024 /* by handle, per store */
#define CONSTANTS     256  /* never written, only moved */
#define RACES         64
#define CELLS         512
#define CHAINS        4
#define LINKS         256 /* cells of chains: their heads, the last objects', the others' */
#define RACKS         16
#define RACK_CELLS    6
#define AGES          4
#define HOLDS         6
#define RING          32
#define PRIVATE_CELLS 8
#define WORKERS_MOST  64

/* ---- keys ---- */

/** One object, or its absence. */
struct key {
    /* atomic, read by everybody */
    uint64_t handle;           /* HANDLE_NULL: absent; for cells not used */
    uint64_t state;            /* version << 1 | present; grows with every change */
    uint64_t stale;            /* a handle that was freed: stale for ever */
    uint64_t superseded[RING]; /* of version v, at v % RING: v << 24 | generation of its end */
    unsigned char locked;
    /* Cells: held beside `locked` by whoever replaces the object or writes it, alone by who only
     * writes it: such writers run beside a relocation. */
    unsigned char written;
    /* under the lock */
    bool written_pin;     /* pinned for writing at least once in this incarnation */
    uint64_t incarnation; /* counts alloc, free, resize, commit */
    size_t length;        /* of the stamped contents */
    size_t size;          /* as allocated: not below length */
    struct table *table;  /* cells: the one that has this key's cell */
};

enum key_kind {
    KIND_KEY = 1,
    KIND_CONSTANT,
    KIND_RACE,
    KIND_CELL,
    KIND_CHAIN,
    KIND_RACK,
    KIND_NODE,
    KIND_LINK,
    KIND_ITEM,
    KIND_PRIVATE
};

struct table {
    struct rcu_head head;
    struct table *next; /* atomic; where the objects go while this one is left */
    handle_cell cells[CELLS];
};

/** The cell of an object in a chain, which leads on from it. */
struct link {
    struct rcu_head head;
    handle_cell cell;
    unsigned char used;
};

/** A node that is never changed, but replaced by another one. */
struct rack {
    struct rcu_head head;
    unsigned present; /* a bit for each cell */
    handle_cell cell[RACK_CELLS];
};

/* Of a grove's tree: levels below the root, cells of a node, all nodes, the first leaf. */
#define GROVE_LEVELS 3
#define GROVE_FAN    3
#define GROVE_NODES  40
#define GROVE_LEAF   13

/** Cells inside objects; under the locks but for what never changes. */
struct grove {
    handle_store *store;
    uint64_t index;
    size_t most;  /* longest contents, without the stamp; 0: as random_length says */
    bool limited; /* refusals are right at any time */
    handle_t tree, chain, queue;
    unsigned char tree_locked, chain_locked, queue_locked;
    uint64_t versions, pushed, popped;
    struct kept {
        uint64_t version; /* 0: it is not there */
        size_t length;
    } kept[GROVE_NODES];
};

struct heap {
    handle_store *store;
    unsigned index;
    struct key keys[KEYS];
    handle_t constants[CONSTANTS];
    uint64_t races[RACES];     /* atomic: the handle everybody is after */
    uint64_t race_ends[RACES]; /* atomic: objects that were freed there */
    struct key cells[CELLS];
    struct table *table; /* atomic */
    unsigned relocated;  /* atomic: the cell that goes to another table just now */
    unsigned char growing, limited;
    struct link links[LINKS];
    struct rack *racks[RACKS]; /* atomic */
    unsigned char chain_locked[CHAINS], rack_locked[RACKS];
    struct grove grove;
};

extern struct heap heaps[STORES];

static inline uint64_t
object_name(const struct heap *heap, enum key_kind kind, unsigned index)
{
    return (uint64_t)heap->index << 56 | (uint64_t)kind << 48 | index;
}

static inline bool
try_lock(unsigned char *lock)
{
    return !__atomic_test_and_set(lock, __ATOMIC_ACQUIRE);
}

static inline void
unlock(unsigned char *lock)
{
    __atomic_clear(lock, __ATOMIC_RELEASE);
}

/* ---- workers ---- */

/** A pin or a version that a worker keeps over several operations. */
struct hold {
    struct heap *heap;
    const void *pinned; /* NULL: an update, or an unused entry */
    uint64_t name;
    bool updating;
    struct key *key;
    uint64_t handle, incarnation;
    size_t size;
    struct handle_update update;
};

struct counters {
    uint64_t operations, derefs, torn, ages[AGES], ages_unknown;
    uint64_t pins, updates, conflicts, resizes, races_won, races_lost, relocations, allocs, frees;
    uint64_t refused; /* at the limit */
    uint64_t forks, compactions, steps, steps_busy, audits;
};

enum worker_state { WORKER_FREE, WORKER_RUNS, WORKER_ENDED };

struct worker {
    unsigned index;
    unsigned state; /* atomic enum worker_state */
    pthread_t thread;
    uint64_t random;
    struct counters counters;
    struct hold holds[HOLDS];
    handle_cell cells[PRIVATE_CELLS]; /* empty between operations */
};

uint64_t roll(struct worker *worker, uint64_t bound);
/** Yields or sleeps, now and then; also inside sections, to make grace periods long. */
void dawdle(struct worker *worker);
/** Between resolving an object and using it, one time in `odds`: for about as long as a batch of
 * moves takes. This is where a grace period that was left out shows. */
void linger(struct worker *worker, unsigned odds);
/** Seldom, for about as long as a batch takes from mark to publication on a busy machine. */
void tarry(struct worker *worker);

__attribute__((format(printf, 1, 2))) void finding(const char *format, ...);
uint64_t findings(void);
/** Generation: grows by one after each grace period of the clock thread. */
uint64_t generation(void);
/** Keeps the clock thread out of grace periods. Outside sections. */
void clock_stop(void);
void clock_go(void);
uint64_t now_ms(void);

/* ---- the mix ---- */

struct element {
    const char *name;
    unsigned weight; /* default */
    void (*run)(struct worker *worker, struct heap *heap);
};

/** What a run is made of. */
struct mode {
    struct element *elements;
    size_t count;
    void (*open)(struct worker *worker, uint64_t seed);
    void (*release)(struct worker *worker); /**< ends what the worker holds; outside sections */
    void (*sample)(void); /**< NULL, or called by the main thread again and again; offline */
    void (*audit)(struct worker *worker);     /**< all workers at rest */
    uint64_t (*close)(struct worker *worker); /**< result: objects that were moved */
    void (*verdict)(uint64_t moved); /**< what must have happened; prints the mode's own figures */
};
extern const struct mode mode_limit;

/** For mode_limit. Shares: percent of the limit that live objects must take at least. */
struct limits {
    uint64_t mib; /**< 0: another mode */
    uint64_t running_share, rest_share;
    bool off[4]; /**< by enum limit_check */
};
/** Checks that can be left out (--off), for code that is not there yet. */
enum limit_check {
    LIMIT_BOUND,     /**< committed is never above max_bytes */
    LIMIT_SAME_SIZE, /**< an eviction makes room for one of its size */
    LIMIT_CHILD,     /**< the share, and room for what was evicted, while a child lives */
    LIMIT_WAITS,     /**< EAGAIN comes to an end */
};
extern struct limits limits;

void op_read(struct worker *worker, struct heap *heap);
void op_read_constant(struct worker *worker, struct heap *heap);
void op_read_many(struct worker *worker, struct heap *heap);
void op_free_many(struct worker *worker, struct heap *heap);
void op_stale(struct worker *worker, struct heap *heap);
void op_write(struct worker *worker, struct heap *heap);
void op_update(struct worker *worker, struct heap *heap);
void op_resize(struct worker *worker, struct heap *heap);
void op_alloc(struct worker *worker, struct heap *heap);
void op_free(struct worker *worker, struct heap *heap);
void op_private(struct worker *worker, struct heap *heap);
void op_pin(struct worker *worker, struct heap *heap);
void op_pin_mut(struct worker *worker, struct heap *heap);
void op_hold_update(struct worker *worker, struct heap *heap);
void op_release(struct worker *worker, struct heap *heap);
void op_race(struct worker *worker, struct heap *heap);
void op_cell_read(struct worker *worker, struct heap *heap);
void op_cell_change(struct worker *worker, struct heap *heap);
void op_cell_write(struct worker *worker, struct heap *heap);
void op_cell_pin(struct worker *worker, struct heap *heap);
void op_cell_private(struct worker *worker, struct heap *heap);
void op_grow(struct worker *worker, struct heap *heap);
void op_chain_read(struct worker *worker, struct heap *heap);
void op_chain_change(struct worker *worker, struct heap *heap);
void op_rack_read(struct worker *worker, struct heap *heap);
void op_rack_change(struct worker *worker, struct heap *heap);
void op_inner_read(struct worker *worker, struct heap *heap);
void op_inner_change(struct worker *worker, struct heap *heap);
void op_tune(struct worker *worker, struct heap *heap);
void op_toggle(struct worker *worker, struct heap *heap);
void op_compact(struct worker *worker, struct heap *heap);
void op_step(struct worker *worker, struct heap *heap);
void op_purge(struct worker *worker, struct heap *heap);
void op_stats(struct worker *worker, struct heap *heap);
void op_walk(struct worker *worker, struct heap *heap);
void op_limit(struct worker *worker, struct heap *heap);
void op_detach(struct worker *worker, struct heap *heap);
void op_fork(struct worker *worker, struct heap *heap);

/** Forks with the stores held, as handle.h says; the child exits with what `child` returns. */
pid_t fork_stores(struct worker *worker, handle_store *const *stores, unsigned number,
                  int (*child)(struct worker *worker));

/** Ends all pins and versions that the worker holds. Outside sections. */
void release_holds(struct worker *worker);
/** Pins that one worker left for another to end. */
void release_mailbox(struct worker *worker);
/** An allocation was refused: fine at the limit, else a finding. Outside sections. */
void allocation_refused(struct worker *worker, struct heap *heap, int error);
/** Set once the mix has the limit element: refusals are possible at any time. */
extern bool limits_in_use;

/* ---- stamps ---- */

#define STAMP_BYTES 40

/** What a look at an object says. */
enum verdict { STAMP_GOOD, STAMP_TORN /* is being written */, STAMP_BAD };

/** Fills memory that nobody else sees. */
void stamp_fill(void *object, uint64_t name, uint64_t version, size_t length);
/** Rewrites in place, under readers; by the holder of the key's lock. */
void stamp_rewrite(void *object, uint64_t name, uint64_t version, size_t length);
/** Verifies what the object says of itself; *version, *length as stamped when GOOD. */
enum verdict stamp_verify(const void *object, uint64_t name, uint64_t *version, size_t *length);
/** Whether it is whole and exactly this, where nobody writes it meanwhile. */
bool stamp_is(const void *object, uint64_t name, uint64_t version, size_t length);
/** A finding that shows the object's stamp. */
void stamp_finding(const char *what, const void *object, uint64_t name, uint64_t expected);
/** Verifies an object that `state` said was there before it was resolved; notes its age. In the
 * section that resolved it. */
void key_verify(struct worker *worker, struct key *key, uint64_t name, uint64_t state,
                const void *object);
/** The key's object is about to be freed: readers that miss it from now on are right. */
void key_leave(struct key *key);
/** The key's version has been replaced by the next one (or by absence), which readers see by
 * now. */
void key_advance(struct key *key, bool present);

static inline uint64_t
key_version(const struct key *key)
{
    return __atomic_load_n(&key->state, __ATOMIC_ACQUIRE) >> 1;
}

static inline bool
key_present(const struct key *key)
{
    return __atomic_load_n(&key->state, __ATOMIC_ACQUIRE) & 1;
}

size_t random_length(struct worker *worker);

/* ---- set-up, audit, end ---- */

/** What an audit has found. */
struct sums {
    uint64_t objects, by_cell, bytes;
};

void links_open(struct worker *worker, struct heap *heap);
void links_audit(struct heap *heap, struct sums *sums);
void links_close(struct heap *heap);

/** The option `cells` of stores that have a grove. */
struct handle_cells grove_cells(void *opaque, const void *object, size_t size);
/** Plants it in a store of its own or another's; `most` and `limited` are set before. */
void grove_open(struct worker *worker, struct grove *grove, handle_store *store, uint64_t index);
void grove_read(struct worker *worker, struct grove *grove);
void grove_change(struct worker *worker, struct grove *grove);
/** All workers at rest: everything against everything; adds what there is. */
void grove_audit(struct worker *worker, struct grove *grove, struct sums *sums);
void grove_in_child(struct worker *worker, struct grove *grove);
/** What of an object of a grove does not change when it is moved; 0: it is another's. */
uint64_t grove_digest(const void *object, size_t size);

void heaps_open(struct worker *worker, uint64_t seed);
void heaps_close(struct worker *worker);
/** Everything against everything, all workers at rest: contents, counts, digest around a
 * compaction, invariants. */
void audit(struct worker *worker);

#endif
