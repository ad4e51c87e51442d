/* SPDX-License-Identifier: MIT */
/*
 * heap.h - the slots of all size classes. Gives out free slots from the fullest span first, so that
 * churn itself compacts; takes slots back; hands emptied spans to the pool at once. Knows spans and
 * slots, not what lives in them: headers, reference words and grace periods are the callers'
 * business.
 *
 *   slot state  bit in bitmap  header's check bits  may change it
 *   FREE        0              0                    the class's lock
 *   CACHED      1              0                    the thread whose cache holds it, or a drainer
 *   KEPT        1              0                    the class's lock
 *   LIVE        1              not 0                whoever ends its reference word (G4)
 *   RESERVED    1              0                    who reserved it, or the update it is for
 *   RETIRED     1              0 (or a link)        the grace-period thread; last unpin; the mover
 *
 * A slot's header check bits are 0 from before its bit says free until alloc names it.
 *
 * KEPT. From a refusal on, until there is room again, each class keeps one of the movable slots
 * that applications give back (and no other) for their next movable object that finds none
 * elsewhere. The mover, trims and class_use.h see a slot in use; a request that it cannot serve
 * gets its pages (shortage.c). So what was evicted is enough for a movable one of its size, at
 * whichever moments the mover works, takes slots and pages, and empties spans: there is a slot from
 * before the evicted one's grace period has ended, or this is it, and one allocation takes one.
 */
#ifndef SN_HEAP_H
#define SN_HEAP_H

#include "memory/class_use.h"
#include "memory/pins.h"

enum sn_kind { SN_MOVABLE = 0, SN_UNMOVABLE = 1 };
/* Lists of OPEN spans: one for each kind, and one for spans of movable objects that the mover has
 * set aside and does not look at, because an object in them is pinned, or a header damaged. */
enum { SN_ASIDE = 2, SN_SPAN_LISTS };

struct sn_heap_class {
    struct sn_lock lock;
    /* guarded by lock */
    uint32_t list[SN_SPAN_LISTS][SN_OCCUPANCIES]; /* OPEN spans; the first one's prev: the last */
    /* written under lock, read by anybody */
    uint32_t spans_in[SN_SPAN_LISTS][SN_OCCUPANCIES]; /* lengths of the lists */
    uint32_t spans[2];                                /* OPEN, CLOSED and DETACHED */
    uint32_t aside;                                   /* of the movable ones, set aside */
    uint32_t detached;                                /* CLOSED and DETACHED: in no list */
    uint64_t kept;                                    /* slot; 0: none */
    uint64_t used[2];                                 /* slots whose bit is set, but the kept one */
    uint64_t pages[2]; /* committed, of those spans; while one is DETACHED for a trim, what it loses
                          is still among them */
    /* atomic; slots whose object has ended but is pinned, or of versions under way */
    uint64_t unreclaimable;
    /* written by the mover, read by anybody */
    uint64_t moved;
    uint64_t refused[8];
    /* atomic; a slot of the class was asked for. Until then all of this struct is zero, its lock is
     * not initialised, and its page is not touched */
    uint32_t used_before;
} SN_ALIGNED(64);

struct sn_heap {
    struct sn_pool *pool;
    const struct sn_classes *classes;
    /* Called when freed_bytes passes wake_at: compaction may have become worth while. */
    void (*freed)(struct sn_heap *heap);
    /* Called, with locks held up to a class's, when there is much excess (span.h). */
    void (*excess)(struct sn_heap *heap);
    uint64_t wake_at; /* atomic */
    /* atomic; bytes, since creation: slots that became free, and free slots of spans that are no
     * longer set aside. So much more may be worth compacting: a sleeping mover is woken by it */
    uint64_t freed_bytes;
    uint32_t keeps;      /* atomic; not 0: classes keep a slot for the application */
    uint64_t moved_into; /* bytes of pages committed for the mover's destinations; written by it */
    struct sn_pins pins;
    uint32_t squeeze_at;   /* atomic; block that the next squeeze looks at first */
    uint32_t squeeze_seen; /* atomic; blocks that squeezes in a row have looked at in vain */
    uint64_t squeeze_due;  /* atomic; freed_bytes must reach this before squeezes look again */
    /* atomic; a walk under way (walk.h) has these spans ahead of it, the others behind it; end 0:
     * there is no walk. Changed under the mover's lock. */
    uint32_t walk_next, walk_end;
    uint32_t walked;       /* the span that it has detached; 0: none. Under its class's lock */
    struct sn_lock lock;   /* guards what used_before becomes, and the next two */
    uint32_t used_classes; /* atomic; how many classes were ever used, and which */
    uint8_t used_class[SN_CLASSES_MAX];
    struct sn_heap_class of[SN_CLASSES_MAX];
};

/** Pins are the caller's to initialise; the memory is all zero. */
void sn_heap_init(struct sn_heap *heap, struct sn_pool *pool, const struct sn_classes *classes);

/** Whether the class was ever used: else it has no spans, and its lock must not be taken. */
static inline bool
sn_heap_class_is_used(const struct sn_heap *heap, unsigned class_id)
{
    /* Acquire: the lock is seen as it was made; pairs with the release in begin_class. */
    return sn_load_acquire(&heap->of[class_id].used_before) != 0;
}

/** How many classes were ever used; which: used_class, up to there. */
static inline unsigned
sn_heap_used_classes(const struct sn_heap *heap)
{
    /* Acquire: their numbers are seen; pairs with the release in begin_class. */
    return sn_load_acquire(&heap->used_classes);
}

/** Whether a block begins a span of the class, under its lock. Blocks other than of OPEN, CLOSED
 * and DETACHED spans are in the pool, large, or just taken by another class, which has not said so
 * yet: class_of is 0 then. */
static inline bool
sn_heap_is_of_class_locked(const struct sn_heap *heap, uint32_t number, unsigned class_id)
{
    const struct sn_span *span = &heap->pool->spans[number];
    enum sn_span_state state = sn_span_state(span);
    return (state == SN_SPAN_OPEN || state == SN_SPAN_CLOSED || state == SN_SPAN_DETACHED) &&
           sn_load_relaxed(&heap->pool->class_of[number]) == class_id &&
           sn_span_head(span) == number;
}

/** Around a fork: the locks of all classes that are used, and that by which others become so. */
void sn_heap_lock_all(struct sn_heap *heap);
void sn_heap_unlock_all(struct sn_heap *heap);

/**
 * Takes up to `want` free slots of a class; the fullest spans give first. slots[] gets the objects'
 * arena offsets, so that taking from its end goes up in address. Result: how many; 0: max_bytes
 * or the arena does not allow a new span. (When an application asks for several, to fill a thread's
 * cache, nothing is given back to the kernel to stay below max_bytes; when it asks for one, pages
 * are.)
 */
uint32_t sn_heap_take(struct sn_heap *heap, unsigned class_id, enum sn_kind kind,
                      enum sn_charge who, uint32_t want, uint64_t *slots);

/** Which side of the walk under way a span lies on. */
enum sn_side {
    SN_NO_WALK,
    SN_AHEAD,  /* yet to be walked */
    SN_BEHIND, /* walked, being walked, or taken since the walk began at an end beyond its own */
};

static inline enum sn_side
sn_heap_side(const struct sn_heap *heap, uint32_t number)
{
    uint32_t end = sn_load_relaxed(&heap->walk_end);
    if (sn_likely(end == 0))
        return SN_NO_WALK;
    return number >= sn_load_relaxed(&heap->walk_next) && number < end ? SN_AHEAD : SN_BEHIND;
}

/**
 * sn_heap_take for movable objects that leave a span, under the mover's lock. Beside a walk only
 * spans on that span's side give slots, as far as a short search finds some, and no new one is
 * made.
 */
uint32_t sn_heap_take_beside(struct sn_heap *heap, uint32_t number, uint32_t want, uint64_t *slots);

/** A slot for a movable object, for the application; 0: there is none. */
static inline uint64_t
sn_heap_take_one(struct sn_heap *heap, unsigned class_id)
{
    uint64_t slot;
    return sn_heap_take(heap, class_id, SN_MOVABLE, SN_CHARGE_APPLICATION, 1, &slot) ? slot : 0;
}

/** Gives slots of one class back; their headers are clear. Neighbours of one span should follow one
 * another. At the limit one of them may be kept. */
void sn_heap_put(struct sn_heap *heap, unsigned class_id, const uint64_t *slots, uint32_t count);
/** The same by the mover, of what it has moved away, or taken and not used: none is kept. Result:
 * spans that have gone to the pool by it. */
uint32_t
sn_heap_put_moved(struct sn_heap *heap, unsigned class_id, const uint64_t *slots, uint32_t count);

/** Gives back what all classes but one keep; but: SN_CLASS_NONE for all. True: there was some. */
bool sn_heap_end_kept(struct sn_heap *heap, unsigned but);

/**
 * Gives `count` slots of a CLOSED span back, if they are all that is left in it; their headers are
 * clear. False: others are: nothing was done.
 */
bool sn_heap_put_rest(struct sn_heap *heap, uint32_t number, uint32_t count);

/** A run for a span of the application's whose first `pages` pages will be used, in hardened stores
 * with a guard behind them; 0 when there is none. *zero: its pages read as zero. */
uint32_t sn_heap_take_run(struct sn_heap *heap, uint32_t blocks, uint32_t pages, bool *zero);
/** A span's run goes back to the pool. */
void sn_heap_put_run(struct sn_heap *heap, uint32_t number);

/**
 * Closes the sparsest OPEN span of movable objects that was not tried in this pass: no refill takes
 * from it until sn_heap_reopen. Damaged spans, and spans with pins that were tried once, are set
 * aside when they are met, so that none is looked at for ever. Result: its number, 0: none among
 * the first few that were looked at.
 */
uint32_t sn_heap_close_sparsest(struct sn_heap *heap, unsigned class_id, uint32_t pass,
                                unsigned max_occupancy);
/** Detaches one given span, for a walk over its headers. False: it is not OPEN. */
bool sn_heap_detach(struct sn_heap *heap, uint32_t number);
#define SN_BITMAP_WORDS (SN_BITMAP_LINES * SN_LINE_WORDS)
_Static_assert(SN_BITMAP_WORDS <= UINT8_MAX + 1, "a span's hint is a uint8_t");
/** Detaches a span that is loose (below), for a trim, and copies its bitmap. False: it is not loose
 * or not OPEN; or it is not QUIET and has to be: it is from here on. */
bool sn_heap_detach_loose(struct sn_heap *heap, uint32_t number, bool quiet,
                          uint64_t bits[SN_BITMAP_WORDS]);
/** Detaches a span that may have excess (span.h); its flag is cleared. False: it is not OPEN, or
 * has none. */
bool sn_heap_detach_excess(struct sn_heap *heap, uint32_t number);
/** The kernel has refused pages of a span detached for a trim: it is loose, and tried again. */
void sn_heap_note_refused(struct sn_heap *heap, uint32_t number);
/** Ends a span's closed or detached state. True: it was empty, and went to the pool. False: it is
 * OPEN again, with these flags set, and `pass` noted if TRIED is among them. */
bool sn_heap_reopen(struct sn_heap *heap, uint32_t number, uint16_t flags, uint32_t pass);
/** Asks the grace-period thread for sn_heap_trim_excess, if there is much excess. */
void sn_heap_note_excess(struct sn_heap *heap);

/** The last pin of a span that was set aside has ended: it goes back to the lists of the mover. */
void sn_heap_come_back(struct sn_heap *heap, uint32_t number);

/** A header in a slot's span failed its check: the span is never evacuated any more. */
void sn_heap_note_damage(struct sn_heap *heap, uint64_t offset);

/** Whether all slots of a closed span are free. */
bool sn_heap_is_empty(struct sn_heap *heap, uint32_t number);

/** Copies a closed span's bitmap: from here on its bits only become 0. */
void sn_heap_copy_bits(struct sn_heap *heap, uint32_t number, uint64_t bits[SN_BITMAP_WORDS]);

/**
 * How sparse the span of an object is, which the caller has resolved in its section: the share of
 * slots that are free, in percent; 0: the mover would not empty it. An estimate, without locks.
 */
uint32_t sn_heap_sparsity(const struct sn_heap *heap, uint64_t offset);

/** The class's spans of movable objects, as numbers; beside others at work an estimate. */
struct sn_class_use sn_heap_class_use(const struct sn_heap *heap, unsigned class_id);
/** The same in two parts: the lengths of the lists (spans_in), and all but these. */
void sn_heap_class_lists(const struct sn_heap *heap, unsigned class_id, struct sn_class_use *use);
static inline void
sn_heap_class_sums(const struct sn_heap *heap, unsigned class_id, struct sn_class_use *use)
{
    const struct sn_heap_class *hc = &heap->of[class_id];
    const struct sn_class *of = &heap->classes->of[class_id];
    use->slots = of->slots;
    use->slot_bytes = of->slot_bytes;
    use->span_bytes = (uint64_t)of->pages << SN_PAGE_SHIFT;
    use->committed = sn_load_relaxed(&hc->pages[SN_MOVABLE]) << SN_PAGE_SHIFT;
    use->used = sn_load_relaxed(&hc->used[SN_MOVABLE]) + (sn_load_relaxed(&hc->kept) != 0);
    use->spans = sn_load_relaxed(&hc->spans[SN_MOVABLE]);
    use->aside = sn_load_relaxed(&hc->aside);
    use->detached = sn_load_relaxed(&hc->detached);
}

static inline const struct sn_class *
sn_heap_class_of_span(const struct sn_heap *heap, const struct sn_span *span)
{
    return &heap->classes->of[span->class_id];
}

/** Whether committed pages may lie under no slot in use of a span: an estimate from its
 * descriptor, also without its class's lock. */
static inline bool
sn_span_is_loose(const struct sn_class *c, const struct sn_span *span)
{
    uint64_t free_bytes = (uint64_t)sn_load_relaxed(&span->free) * c->slot_bytes;
    uint64_t all = (uint64_t)c->slots * c->slot_bytes;
    uint64_t committed = (uint64_t)sn_load_relaxed(&span->pages) << SN_PAGE_SHIFT;
    uint16_t flags = sn_load_relaxed(&span->flags);
    return !(flags & SN_SPAN_TIGHT) &&
           ((flags & SN_SPAN_EXCESS) || committed + free_bytes >= all + SN_PAGE_BYTES);
}

/** The header word of the object at an offset: in front of it, or in a large span's descriptor. */
static inline uint64_t *
sn_header_of(const struct sn_pool *pool, uint64_t offset)
{
    if (sn_likely(sn_load_relaxed(&pool->class_of[sn_block_of(offset)]) != SN_CLASS_LARGE))
        return (uint64_t *)(void *)(pool->arena + offset - SN_HEADER_BYTES);
    return &pool->spans[sn_block_of(offset)].large_header;
}

/** Arena offset of a slot's object. */
static inline uint64_t
sn_slot_offset(const struct sn_class *c, uint32_t number, uint32_t slot)
{
    return sn_span_offset(number) + c->lead + SN_HEADER_BYTES + (uint64_t)slot * c->slot_bytes;
}

/** The slot whose object lies at an offset; the offset is exact. */
static inline uint32_t
sn_slot_of(const struct sn_class *c, uint32_t number, uint64_t offset)
{
    return sn_slot_index(c, offset - SN_HEADER_BYTES - c->lead - sn_span_offset(number));
}

#endif
