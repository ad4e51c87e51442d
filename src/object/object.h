/* SPDX-License-Identifier: MIT */
/*
 * object.h - an object's life below its name: a slot is taken, named, replaced, retired or reused.
 * Handles and cells differ in where the reference word lies (handle.c, cell.c) and how it ends
 * (free.c); everything else is here, once.
 */
#ifndef SN_OBJECT_H
#define SN_OBJECT_H

#include "core/profile.h"

/** What calls for many objects work on in one go, inside the thread's cache: about as many misses
 * as a core keeps in flight. */
#define SN_OBJECT_GROUP 16

/** Value of the word of a new object. */
static inline uint64_t
sn_object_word(uint64_t tag, uint64_t slot, unsigned flags)
{
    /* A sum of what does not overlap: one instruction adds three. */
    return sn_word_of_tag(tag) + sn_word_of_offset(slot) +
           (flags & (HANDLE_UNMOVABLE | HANDLE_CELLS) ? SN_WORD_SPECIAL : 0) + SN_WORD_LIVE;
}

/** Whether an allocation may ask for these flags; those that follow from them are added. */
static inline bool
sn_object_flags_fit(const handle_store *store, unsigned *flags)
{
    if (sn_likely((*flags & ~(unsigned)(HANDLE_ZERO | HANDLE_UNMOVABLE)) == 0))
        return true;
    bool cells = (*flags & ~(unsigned)HANDLE_ZERO) == HANDLE_CELLS && store->options.cells;
    *flags |= HANDLE_ZERO;
    return cells;
}

/** Matches any word that names an object, whatever its tag. */
#define SN_WANT_OBJECT SN_WORD_LIVE
#define SN_MASK_OBJECT SN_WORD_LIVE

/** A flag of the library's own for sn_slot_acquire: the object has grown, and may grow on. */
#define SN_OBJECT_GROWS (1u << 31)

/** Class of the object at an offset, or SN_CLASS_LARGE. */
static inline unsigned
sn_object_class(const handle_store *store, uint64_t slot)
{
    return sn_load_relaxed(&store->pool.class_of[sn_block_of(slot)]);
}

/**
 * Takes a slot for `size` bytes by the slow path: refill, large, unmovable, limits. Counts it as
 * allocated. The header is clear. 0 with errno ENOMEM, EAGAIN or EINVAL.
 */
SN_NOINLINE uint64_t sn_slot_acquire(handle_store *store, size_t size, unsigned flags);

/** Undoes sn_slot_acquire for a slot that nobody has seen; clears the header. */
SN_NOINLINE void sn_slot_abandon(handle_store *store, uint64_t slot, size_t size);

/** The same where others may still look at its cells, by the headers of what these named. */
void sn_slot_retire_unseen(handle_store *store, uint64_t slot, size_t size);

/** Header word of a slot of a class. (sn_header_of finds that of a large object, too.) */
static inline uint64_t *
sn_object_header(const handle_store *store, uint64_t slot)
{
    return sn_store_address(store, slot - SN_HEADER_BYTES);
}

/** Writes the header of an object in a slot of a class: it names R (before R names the slot). size:
 * the low bits of the object's. */
static inline void
sn_object_set_owner(handle_store *store, uint64_t slot, size_t size, const uint64_t *reference)
{
    sn_assert(size <= SN_HEADER_SIZE);
    /* Release: pairs with the acquire of who follows headers (mover, walk); R's memory, a cell's
     * structure, say, is seen as it was made. R's own release store orders the rest. */
    uint64_t header = sn_header_make(store->secret, reference, size, slot);
    __asm__("" : "+r"(header)); /* where it goes is found afterwards: a register less in publish */
    sn_store_release(sn_object_header(store, slot), header);
}

/** Whether the object of a slot has cells, by its header; false, too, if it has ended. */
static inline bool
sn_object_has_cells(const handle_store *store, uint64_t slot, uint64_t header)
{
    return sn_unlikely(store->options.cells != NULL) &&
           sn_header_has_object(store->secret, header, slot) &&
           sn_marks_cells(sn_header_marks(store->secret, header, slot));
}

/** Flags of the object that a word names, and its header does. */
static inline unsigned
sn_object_flags(const handle_store *store, uint64_t word, uint64_t header)
{
    if (sn_object_has_cells(store, sn_word_offset(word), header))
        return HANDLE_CELLS;
    return word & SN_WORD_SPECIAL ? HANDLE_UNMOVABLE : 0;
}

/** A word that is MOVING, with the move cancelled. In a section in which it was loaded. */
static inline uint64_t
sn_object_as_live(const handle_store *store, uint64_t word)
{
    uint64_t slot = sn_word_offset(word), live = sn_word_as_live(word);
    if (sn_likely(!store->options.cells))
        return live;
    /* Of an object that has ended since, any: the word has changed. */
    uint64_t header = sn_load_relaxed(sn_header_of(&store->pool, slot));
    return sn_object_has_cells(store, slot, header) ? live | SN_WORD_SPECIAL : live;
}

/** The header of a new object with HANDLE_CELLS says so. Before R names it. */
static inline void
sn_object_note_flags(handle_store *store, uint64_t slot, unsigned flags)
{
    uint64_t *header = sn_header_of(&store->pool, slot);
    if (flags & HANDLE_CELLS) /* release: as in sn_object_set_owner */
        sn_store_release(header, sn_header_with_mark(sn_load_relaxed(header), SN_HEADER_CELLS));
}

/** Whether R is a cell inside an object (G13). */
static inline bool
sn_reference_is_inner(const handle_store *store, const uint64_t *reference)
{
    return sn_store_contains(store, reference);
}

/** The object of a sound header goes to another slot, whose header is written, and not published:
 * it gets the profile's mark. Result: 0, or there is one: for sn_object_mark_went, when it is
 * published. */
uint64_t sn_object_hand_on_mark(handle_store *store, uint64_t header, uint64_t from, uint64_t to);

static inline void
sn_object_mark_went(handle_store *store, uint64_t from, uint64_t to, uint64_t handed_on)
{
    if (sn_unlikely(handed_on != 0))
        sn_profile_moved(store, from, to, handed_on - 1, false);
}

/** sn_object_set_owner for any slot, with what hardened mode writes. */
void
sn_object_set_owner_any(handle_store *store, uint64_t slot, size_t size, const uint64_t *reference);

/** Requested size by a header that names R; never more than the slot holds, whatever has passed the
 * check by chance. */
static inline size_t
sn_object_size(const handle_store *store, uint64_t slot, uint64_t header)
{
    unsigned class_id = sn_object_class(store, slot);
    if (sn_likely(class_id < SN_CLASSES_MAX)) {
        uint64_t largest = sn_class_max_size(&store->classes, class_id);
        uint64_t slack = sn_header_slack(header, largest);
        return slack <= largest ? largest - slack : largest;
    }
    return sn_load_relaxed(&store->pool.spans[sn_block_of(slot)].u.large_size);
}

/** Whether a header read from the slot names R. */
static inline bool
sn_object_is_owned_by(const handle_store *store, uint64_t slot, uint64_t header,
                      const uint64_t *reference)
{
    return sn_header_names(store->secret, header, reference, slot);
}

/** Whether a header read from the slot, by R, names it; also by an older place of R's (G13). */
SN_NOINLINE bool sn_object_has_older_name(const handle_store *store, uint64_t slot, uint64_t header,
                                          const uint64_t *reference);
static inline bool
sn_object_is_named_by(const handle_store *store, uint64_t slot, uint64_t header,
                      const uint64_t *reference)
{
    return sn_likely(sn_object_is_owned_by(store, slot, header, reference)) ||
           sn_object_has_older_name(store, slot, header, reference);
}

/** Class whose bin takes the slot when it is freed; SN_CLASS_NONE: the free takes the slow path. */
static inline unsigned
sn_object_bin(const handle_store *store, uint64_t slot)
{
    return sn_load_relaxed(&store->pool.bin_class[sn_block_of(slot)]);
}

/**
 * Fast frees, between enter and leave: ends the object of a slot that may go into a bin (there is
 * room) or to limbo (sn_cache_retires); its word has ended. Neither reads the object: its header is
 * cleared by a store, which need not wait for the line to come from memory.
 */
static inline void
sn_object_reuse_fast(const handle_store *store, struct sn_thread_cache *cache, unsigned class_id,
                     uint64_t slot)
{
    /* Release: whoever sees it clear also sees that the word has ended; as in end_header. */
    sn_store_release(sn_object_header(store, slot), 0);
    sn_cache_push_room(cache, class_id, slot);
    sn_owner_inc(&cache->frees);
}

static inline void
sn_object_retire_fast(const handle_store *store, struct sn_thread_cache *cache, unsigned class_id,
                      uint64_t slot)
{
    sn_cache_retire_next(cache, class_id, slot, sn_object_header(store, slot));
}

/**
 * The object's word was ended by the caller (CAS, or the cell's owner): clears the header, counts,
 * retires the slot; a pinned slot is left to its last unpin.
 */
void sn_object_retire(handle_store *store, uint64_t slot, const uint64_t *reference);

/** The two halves of it: the header, then the slot. */
void sn_object_end(handle_store *store, uint64_t slot, const uint64_t *reference);
void sn_object_leave(handle_store *store, uint64_t slot);

/**
 * After retiring: where much is in limbo, a thread in no section lets others run first, above all
 * the readers that the grace period waits for. It does not wait: what readers keep is not bounded.
 */
void sn_object_give_way(handle_store *store);

/**
 * The object's word is RETIRED, by the caller: clears the header but for the size, counts it as
 * freed, and the slot with the limbo. Result: the low bits of its size.
 */
uint64_t sn_object_begin_retired(handle_store *store, uint64_t slot, const uint64_t *reference);
/** A grace period later, the word has ended: the slot goes to limbo, or is left to its pinners. */
void sn_object_end_retired(handle_store *store, uint64_t slot);

/** As sn_object_retire, but the slot is reusable at once if nobody pins it. */
SN_NOINLINE void sn_object_reuse(handle_store *store, uint64_t slot, const uint64_t *reference);

/**
 * After a grace period, for a retired slot: whether it may be reclaimed. A first pin of its span
 * may have raced with the free, each not seeing the other; all such pinners were in sections that
 * the GP waited for, so that the count is seen now, and the last unpin retires the slot again (G5).
 */
bool sn_object_is_unpinned(handle_store *store, uint64_t slot);

/** Ends one pin of a slot; the last one of an ended object retires it. False: was not pinned. */
bool sn_object_unpin(handle_store *store, uint64_t slot);
/** The same by any address; one where no object can lie was not pinned. */
bool sn_object_unpin_address(handle_store *store, const void *object);

/**
 * Raises the slot's pin count. flags: SN_PIN_WRITTEN or 0. *changes: relocations since it was first
 * pinned. False: no memory for it, errno as of an allocation.
 */
bool sn_object_pin(handle_store *store, uint64_t slot, uint64_t flags, uint32_t *changes);

/** The slot's pin word; 0: it is not pinned. */
uint64_t sn_object_pins(handle_store *store, uint64_t slot);

/** Another cell is about to name the slot's object: updates that are under way will see it. */
void sn_object_note_relocation(handle_store *store, uint64_t slot);

/** Slot bytes of an object, header included. */
size_t sn_object_slot_bytes(const handle_store *store, uint64_t slot);

/** sn_slot_acquire for a version under way: no object yet, it counts with the limbo. */
uint64_t sn_slot_acquire_uncommitted(handle_store *store, size_t size, unsigned flags);
/** It is an object now. */
void sn_object_count_committed(handle_store *store, uint64_t slot, size_t size);
/** It will be none; clears the header. */
void sn_object_drop_uncommitted(handle_store *store, uint64_t slot);

/** Cancels the move of R, which was loaded as `word`, MOVING or RETIRED. Else as the next. */
SN_NOINLINE uint64_t sn_reference_unmark(const handle_store *store, uint64_t *reference,
                                         uint64_t word, uint64_t want, uint64_t mask);

/**
 * Loads R and cancels a pending move. Result: the word, LIVE; or whatever does not match
 * (want ^ word) & mask, untouched. One that is RETIRED matches nothing that has an object.
 */
static inline uint64_t
sn_reference_cancel_move(const handle_store *store, uint64_t *reference, uint64_t want,
                         uint64_t mask)
{
    /* Acquire: orders the object's contents after the word; pairs with publication. */
    uint64_t word = sn_load_acquire(reference);
    sn_hook(SN_HOOK_MUT_LOADED, reference);
    return sn_likely(!sn_word_is_marked(word))
               ? word
               : sn_reference_unmark(store, reference, word, want, mask);
}

/** A cell that was retired or unlinked. mask: which bits of R must match, as above. */
static inline bool
sn_reference_is_left_cell(uint64_t word, uint64_t mask)
{
    return sn_word_is_retired(word) && mask == SN_WORD_LIVE;
}

/** The second look of a pin: R names the slot. A retired handle's does: its end sees the count
 * (G11); a cell that is left does not. */
static inline bool
sn_reference_names_still(const uint64_t *reference, uint64_t want, uint64_t mask, uint64_t slot)
{
    uint64_t word = sn_load_acquire(reference);
    return ((word ^ want) & mask) == 0 && sn_word_offset(word) == slot &&
           !sn_reference_is_left_cell(word, mask);
}

/** What a handle, or a cell, names: R, and which bits of its word must be what, as above. R is
 * NULL: nothing. */
struct sn_name {
    const uint64_t *reference;
    uint64_t want, mask;
};

static inline struct sn_name
sn_name_of_handle(const handle_store *store, handle_t handle)
{
    return (struct sn_name){sn_store_word(store, handle), sn_word_of_handle(handle),
                            HANDLE_MATCH_MASK};
}

static inline struct sn_name
sn_name_of_cell(const handle_store *store, const handle_cell *cell)
{
    return (struct sn_name){store && cell ? &cell->word : NULL, SN_WORD_LIVE, SN_WORD_LIVE};
}

/** What a resize asks for. */
struct sn_resize {
    size_t size;
    size_t capacity; /* less than the size: none; 0: as it is */
};

/** Resize, of handle and cell alike; in a section. want and mask as above. */
int sn_object_resize(handle_store *store, uint64_t *reference, uint64_t want, uint64_t mask,
                     const struct sn_resize *to);

/** Size, of handle and cell alike (G2), and the slot that has it; in a section. False: no such
 * object. */
bool sn_object_read_size(const handle_store *store, const uint64_t *reference, uint64_t want,
                         uint64_t mask, size_t *size, uint64_t *slot);

void sn_object_report_damage(handle_store *store, uint64_t slot, const char *where);

#endif
