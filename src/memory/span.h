/* SPDX-License-Identifier: MIT */
/*
 * span.h - the arena as runs of 64 KiB blocks: descriptors, bitmaps, and the one pool of free runs
 * that all size classes share. Knows nothing of objects. A span is a run in use: either slots of
 * one class or one large object.
 *
 *   state of a run        meaning                                    its fields belong to
 *   SN_SPAN_CLEAN         free, no pages (reads as zero)             the pool's lock
 *   SN_SPAN_DIRTY         free, pages kept for reuse                 the pool's lock
 *   SN_SPAN_PURGING       free, being given back, in no list         the purger
 *   SN_SPAN_OPEN          slots of a class, serves refills           the class's lock
 *   SN_SPAN_CLOSED        slots of a class, belongs to the mover:    the class's lock; state: mover
 *                         no refills, not pooled
 *   SN_SPAN_DETACHED      the same, belongs to a walk or a trim      the class's lock; state: who
 *                                                                    detached it
 *   SN_SPAN_TAKEN         just taken from the pool, or going back    who takes it, or gives it
 *   SN_SPAN_LARGE         one large object                           its owner
 *   SN_SPAN_LOST          never used again                           nobody
 *
 * Free runs of one state that touch are always merged. Block 0 is never used: number 0 means none,
 * offset 0 ends lists.
 */
#ifndef SN_SPAN_H
#define SN_SPAN_H

#include "base/lock.h"
#include "memory/budget.h"
#include "memory/runs.h"
#include "memory/size_class.h"

enum sn_span_state {
    SN_SPAN_NONE = 0, /* inside of a run, or never used */
    SN_SPAN_CLEAN,
    SN_SPAN_DIRTY,
    SN_SPAN_PURGING,
    SN_SPAN_OPEN,
    SN_SPAN_CLOSED,
    SN_SPAN_DETACHED,
    SN_SPAN_TAKEN,
    SN_SPAN_LARGE,
    SN_SPAN_LOST,
};

enum {                        /* flags of a span */
       SN_SPAN_DAMAGED = 1,   /* a header in it failed its check: left alone */
       SN_SPAN_UNMOVABLE = 2, /* holds HANDLE_UNMOVABLE objects: never evacuated */
       SN_SPAN_TRIED = 4,     /* the mover could not empty it in the current pass */
       SN_SPAN_TIGHT = 8,    /* no committed page lies under free slots alone, until one is freed */
       SN_SPAN_GUARDED = 16, /* its last pages are inaccessible: see guard.h */
       SN_SPAN_QUIET = 32,   /* no slot was taken or freed since a trim looked */
       SN_SPAN_EXCESS = 64,  /* slots: pages behind the last one may be committed */
       SN_SPAN_CLAIMED = 64, /* LARGE: somebody works on it without the lock, see memory/large.h */
       SN_SPAN_PUT = 128,    /* the same: its object is gone, who has claimed it gives it back */
       SN_SPAN_ASIDE = 256,  /* pinned, or damaged: in lists that the mover does not look at */
       SN_SPAN_ENDED = 512,  /* LARGE: its object has ended, and is in limbo, or pinned */
};

/** One per block, 64 bytes; for a run the one of its first block speaks. */
struct sn_span {
    uint32_t next, prev; /* list of the class by occupancy, or of free runs of one length */
    uint32_t head; /* atomic; every block of a span in use, last block of a free run: the first */
    uint32_t blocks;
    uint8_t state; /* atomic */
    uint8_t class_id;
    uint8_t list;   /* occupancy list it is in; LARGE: enum sn_large_list */
    uint8_t bins;   /* slots freed here may go to threads' bins; guarded as pins are */
    uint16_t dirty; /* of this very block: which of its pages are committed. Written by the
                       run's owner (above) under the pool's lock, too; so either may read */
    uint8_t hint;   /* no free slot in bitmap words before this one */
    uint8_t region; /* of the first block of a region: enum sn_region, see memory/dense.h; guarded
                       by the pool's lock */
    union {
        struct {
            uint32_t free; /* free slots; LARGE: pages in use */
            union {
                uint16_t pages;    /* slots of a class: how many pages are committed */
                uint32_t reserved; /* LARGE: blocks kept for a capacity, or 0; atomic */
            };
        };
        uint32_t child[2]; /* free runs: see memory/runs.h */
    };
    uint32_t pins;         /* atomic; first line of its pinned slots, 0: none; see memory/pins.h */
    uint16_t flags;        /* enum above */
    uint16_t excess;       /* pages by which the pool's excess_bytes counts it, see there */
    uint64_t large_header; /* LARGE: the object's header word (its slot has none); atomic */
    union {
        uint64_t large_size; /* LARGE: bytes requested */
        uint64_t since_ns;   /* DIRTY: free since */
        struct {
            uint32_t next, prev; /* slots, while excess is not 0: list of the pool */
        } excess;
    } u;
    union {
        struct {
            uint32_t pass;   /* OPEN: the mover's pass in which TRIED was set */
            uint32_t zeroed; /* TAKEN: its pages were clean */
        } use;
        struct {
            uint32_t next, prev; /* DIRTY: list by age */
        } age;
        struct {
            uint32_t held;  /* LARGE: pages in use, or seen by readers */
            uint32_t floor; /* most pages in use since the grace period began */
        } large;
    } v;
};
_Static_assert(sizeof(struct sn_span) == 64, "one cache line");

/* Excess below this does not call for a trim of its own: the periodic one finds it. */
#define SN_EXCESS_MIN_BYTES (UINT64_C(2) << 20)

#define SN_BITMAP_LINES 8 /* 8 * 512 bits cover 4096 slots of 16 bytes in a block */
#define SN_LINE_WORDS   8
#define SN_LINE_SLOTS   (SN_LINE_WORDS * 64)

/** State of 2 MiB of the arena; see memory/dense.h. */
enum sn_region { SN_REGION_PAGES, SN_REGION_SEEN, SN_REGION_DUE, SN_REGION_HUGE, SN_REGIONS };

struct sn_pool {
    /* immutable after init */
    char *arena;
    uint32_t blocks; /* of the largest arena planned: metadata has room for so many */
    struct sn_span *spans;
    /* Bitmaps lie in groups (base/config.h) below this, 4 KiB for each line: classes of large slots
     * touch line 0 only, so that bitmaps stay dense. */
    char *groups_end;
    uint8_t *class_of; /* per block: class of its slots, SN_CLASS_LARGE or SN_CLASS_NONE */
    /* Per block: the class whose bin in a thread's cache takes a slot that is freed here;
     * SN_CLASS_NONE: the free takes the slow path. A fast free reads nothing else of a span: one
     * byte for each block, so that the line is often in the processor's cache. */
    uint8_t *bin_class;
    struct sn_budget *budget;
    bool has_guards;   /* hardened store */
    bool hidden;       /* nothing of the store is to be in cores */
    bool bare;         /* the arena is not to be in cores; metadata is */
    const char *label; /* of the arena, for sn_os_name; NULL: none */

    uint32_t guards, guard_turn; /* atomic; see guard.c */

    /* guarded by lock */
    struct sn_lock lock SN_ALIGNED(64);
    struct sn_runs runs[2];              /* free ones: CLEAN, DIRTY */
    uint32_t oldest, youngest;           /* DIRTY runs by age */
    uint32_t line_high[SN_BITMAP_LINES]; /* blocks below this may have used the line */
    uint32_t shown;                      /* blocks below this, and their metadata, are in cores */
    uint32_t purging;                    /* runs in that state */
    size_t grow_step;                    /* bytes by which the arena is extended next */
    bool hugepages;                      /* what the kernel is told about the arena */
    uint32_t excess;                     /* list of spans of slots that have some, see below */
    uint64_t purges;                     /* that have ended */
    pthread_cond_t purged;               /* one more has; or a collapse */
    bool plain;                          /* the kernel was told nothing about huge pages */
    uint32_t trimming;   /* blocks of spans in use whose pages are being given back */
    uint32_t collapsing; /* first block of the region that is being collapsed; 0: none */
    uint32_t due_at;     /* where the next search for one that is due begins */

    /* written under lock, read by anybody */
    uint32_t limit;           /* blocks that are reserved; beyond there is nothing yet */
    uint32_t high;            /* blocks below this were used at some time */
    uint64_t arena_committed; /* bytes */
    uint64_t empty_bytes;     /* of them in DIRTY and PURGING runs */
    uint64_t excess_bytes;    /* of them behind what their span uses: committed already when its
                                 run was taken; of spans that wait for a trim */
    uint64_t metadata_bytes;  /* pages of descriptors and bitmaps that were used at some time */
    uint64_t released_bytes;  /* since creation */
    uint64_t purge_failures;
    uint64_t small; /* runs refused because the arena cannot be extended so far */
    uint64_t puts;  /* spans given back: tells whether there is something new to purge */
    uint32_t last_purge_failed;
    uint32_t dense_reason;        /* enum handle_dense_reason: WORKING, or why it never can */
    uint32_t collapse_refusals;   /* in a row */
    uint64_t regions[SN_REGIONS]; /* in each state; of PAGES only the change, modulo 2^64 */
    uint64_t collapses, collapses_undone, collapses_refused; /* since creation */
    bool has_rooms; /* perhaps large spans have blocks that they do not use; guarded by lock */
};

/* The state is read without the lock that guards it where a wrong guess does no harm. */
#define sn_span_state(span)            sn_load_acquire(&(span)->state)
#define sn_span_set_state(span, value) sn_store_release(&(span)->state, (uint8_t)(value))

/*
 * So are a block's head and class, by who follows a reference word whose object may end meanwhile.
 * Release: written for a run's next life, after the objects of its last one have ended. Acquire:
 * who reads that value then sees their words ended, and does not believe what it has read.
 */
#define sn_span_head(block)            sn_load_acquire(&(block)->head)
#define sn_span_set_head(block, first) sn_store_release(&(block)->head, (first))

/** Bytes of the metadata of an arena, in whole pages: of the descriptors; of the groups; of what is
 * a byte for each block. */
size_t sn_pool_spans_bytes(uint32_t blocks);
size_t sn_pool_groups_bytes(uint32_t blocks);
size_t sn_pool_classes_bytes(uint32_t blocks);
/** limit: blocks of the arena that are reserved; the pool extends it in place, up to `blocks`, when
 * no run is long enough. spans: the descriptors; classes: its bytes, the groups end there. */
void sn_pool_init(struct sn_pool *pool, char *arena, uint32_t limit, uint32_t blocks, char *spans,
                  char *classes, struct sn_budget *budget);

/** Whether the arena, now and as it grows, asks for huge pages (sn_os_hugepages). As long as it is
 * plain, and does not, the kernel is told nothing. */
void sn_pool_set_hugepages(struct sn_pool *pool, bool want);

/** Bytes of the arena that are reserved. */
static inline uint64_t
sn_pool_reserved_bytes(const struct sn_pool *pool)
{
    return (uint64_t)sn_load_relaxed(&pool->limit) << SN_BLOCK_SHIFT;
}

/**
 * Takes a run of `blocks` blocks whose first `pages` pages will be used; dirty runs first, lowest
 * waste. Others of its pages may be committed: they stay so until a trim. Result: its first block,
 * 0 when max_bytes or the arena does not allow it. *zero: its pages read as zero. *old_class:
 * class whose cleared slots fill the whole run, or SN_CLASS_NONE.
 */
uint32_t sn_pool_take(struct sn_pool *pool, uint32_t blocks, uint32_t pages, enum sn_charge who,
                      bool *zero, uint8_t *old_class);

/** sn_pool_take for callers that hold a lock: gives no pages back to make room. 0: let the lock go,
 * call sn_pool_make_room for *lacks bytes, and try again. */
uint32_t sn_pool_try_take(struct sn_pool *pool, uint32_t blocks, uint32_t pages, enum sn_charge who,
                          bool *zero, uint8_t *old_class, uint64_t *lacks);

/** sn_pool_try_take for a large object that gets more blocks than it needs, to grow into: only
 * where such a run is free, the arena is not extended for it. */
uint32_t sn_pool_try_take_there(struct sn_pool *pool, uint32_t blocks, uint32_t pages, bool *zero);

/** sn_pool_try_take for a span of slots: only its metadata is charged now. Pages are charged when
 * the first slot on them is taken (sn_pool_commit); those of the run that are committed stay so. */
uint32_t sn_pool_try_take_slots(struct sn_pool *pool, uint32_t blocks, const struct sn_class *c,
                                enum sn_charge who, bool *zero, uint8_t *old_class,
                                uint64_t *lacks);

/**
 * Gives pages of dirty runs back to the kernel until `bytes` bytes are released (UINT64_MAX: all
 * there are, so that clean runs grow together, and blocks that large spans do not use), and waits
 * for those that others are giving back just now: they stand against the limit and are nobody's.
 * The caller holds no lock of a class. False: nothing was to be had, or not so much: then nothing
 * was given back.
 */
bool sn_pool_make_room(struct sn_pool *pool, uint64_t bytes);
/** Attempts to make room before giving up: other threads keep taking what was released. */
#define SN_POOL_ROUNDS 4

enum sn_extended {
    SN_EXTENDED,
    SN_EXTEND_REFUSED, /* by max_bytes: *lacks bytes must become free first */
    SN_EXTEND_BLOCKED, /* what is behind it is not free */
};
/** Makes a large span's run at least `blocks` blocks long, by free ones behind it, and charges its
 * first `pages` pages. */
enum sn_extended sn_pool_extend_locked(struct sn_pool *pool, uint32_t first, uint32_t blocks,
                                       uint32_t pages, uint64_t *lacks);
/** Shortens a span's run to its first `blocks` blocks; the rest becomes a free run. */
void sn_pool_cut_locked(struct sn_pool *pool, uint32_t first, uint32_t blocks, uint64_t now_ns);

/** Gives a span's run back: dirty, waiting for reuse or purge. */
void sn_pool_put(struct sn_pool *pool, uint32_t first, uint64_t now_ns);
/** For a span whose guard the kernel did not lift: it is never used again, its pages stay
 * committed. */
void sn_pool_abandon(struct sn_pool *pool, uint32_t first);

/**
 * Gives pages of dirty runs back to the kernel: those free since before_ns or earlier, oldest
 * first, at most max_bytes (rounded down to blocks, at least one; 0: no bound). *next_ns: since
 * when the oldest left is free, SN_POOL_NONE_LEFT for none. Result: bytes released.
 */
size_t sn_pool_purge(struct sn_pool *pool, uint64_t before_ns, size_t max_bytes, uint64_t *next_ns);
#define SN_POOL_NONE_LEFT UINT64_MAX

/** Waits for the purges of others that are under way. False: there are none. */
bool sn_pool_await_purges(struct sn_pool *pool);

/** Whether a page of a span is committed. */
static inline bool
sn_pool_page_is_committed(const struct sn_pool *pool, uint32_t first, uint32_t page)
{
    return pool->spans[first + (page >> SN_BLOCK_PAGES_SHIFT)].dirty >>
               (page & (SN_BLOCK_PAGES - 1)) &
           1;
}

/** For processes that lock what they have mapped: pages of clean runs, and of descriptors and
 * bitmaps that were never used, go back. See sn_table_discard_unused, which says if it is so. */
void sn_pool_discard_unused(struct sn_pool *pool);

/** Since when the oldest of the runs whose pages are kept is free; 0: there is none. */
static inline uint64_t
sn_pool_oldest_ns_locked(const struct sn_pool *pool)
{
    return pool->oldest ? pool->spans[pool->oldest].u.since_ns : 0;
}

/** Pages of a block that are committed. */
static inline uint32_t
sn_block_dirty_pages(const struct sn_span *block)
{
    return (uint32_t)__builtin_popcount(block->dirty);
}

/**
 * Gives pages [from, to) of a span that belongs to the caller back to the kernel, where committed;
 * they read as zero afterwards. Result: bytes.
 */
size_t sn_pool_trim(struct sn_pool *pool, uint32_t first, uint32_t from, uint32_t to);

/** From here on so many pages of a span are excess, or 0; the caller has listed it, if it is large.
 * The pool's lock is held. */
void sn_pool_count_excess_locked(struct sn_pool *pool, uint32_t first, uint32_t pages);
/** Lists a span of slots that has so many, more than 0. */
void sn_pool_list_excess(struct sn_pool *pool, uint32_t first, uint32_t pages);
/** Out of the list, if it is in it. */
void sn_pool_unlist_excess(struct sn_pool *pool, uint32_t first);
/** Takes one out of the list; 0: it is empty. */
uint32_t sn_pool_next_excess(struct sn_pool *pool);

/** Whether excess is more than 1/128 of what is committed, and more than a minimum: then it is
 * worth a trim. */
static inline bool
sn_pool_has_much_excess(const struct sn_pool *pool)
{
    uint64_t committed = sn_load_relaxed(&pool->arena_committed);
    return sn_load_relaxed(&pool->excess_bytes) > sn_max(committed / 128, SN_EXCESS_MIN_BYTES);
}

/** How many of pages [from, to) of a span are not committed. By the span's owner. */
uint32_t
sn_pool_missing_pages(const struct sn_pool *pool, uint32_t first, uint32_t from, uint32_t to);
/** Charges those of pages [from, to) that are not committed, before they are touched. By the span's
 * owner. False: max_bytes refuses; nothing changed. */
bool sn_pool_commit(struct sn_pool *pool, uint32_t first, uint32_t from, uint32_t to,
                    enum sn_charge who);

/** In a forked child: runs that other threads were purging are free again. */
void sn_pool_after_fork_child(struct sn_pool *pool);

static inline uint32_t
sn_block_of(uint64_t offset)
{
    return (uint32_t)(offset >> SN_BLOCK_SHIFT);
}

/** The span that an offset inside a run in use belongs to. */
static inline struct sn_span *
sn_span_at(const struct sn_pool *pool, uint64_t offset)
{
    return &pool->spans[sn_span_head(&pool->spans[sn_block_of(offset)])];
}

static inline uint32_t
sn_span_number(const struct sn_pool *pool, const struct sn_span *span)
{
    return (uint32_t)(span - pool->spans);
}

/** Blocks of a large span's run that are not cut off: of pages in use or seen, of its capacity. */
static inline uint32_t
sn_span_kept_blocks(const struct sn_span *span)
{
    uint32_t held = span->v.large.held + (uint32_t)SN_BLOCK_PAGES - 1;
    return (uint32_t)sn_max(held >> SN_BLOCK_PAGES_SHIFT, span->reserved);
}

static inline uint64_t
sn_span_offset(uint32_t number)
{
    return (uint64_t)number << SN_BLOCK_SHIFT;
}

/** Bitmap word `word` of a span; bit 1: the slot is not free. */
static inline uint64_t *
sn_span_bits(const struct sn_pool *pool, uint32_t number, uint32_t word)
{
    char *group = pool->groups_end - ((size_t)number / SN_GROUP_BLOCKS + 1) * SN_GROUP_BYTES;
    char *line = group + (size_t)word / SN_LINE_WORDS * SN_GROUP_LINE_BYTES;
    return (uint64_t *)(void *)line + number % SN_GROUP_BLOCKS * SN_LINE_WORDS +
           word % SN_LINE_WORDS;
}

#endif
