/* SPDX-License-Identifier: MIT */
/*
 * pins.h - which slots are pinned now, and how often (G5 in reference.h). Knows spans and numbers
 * of slots, not what lives in them.
 *
 * A pinned slot has a word. The words of five neighbours share a line; the lines of a span are a
 * digital search tree (Knuth, TAOCP 3, 6.3) by the number of the group: its pairs of bits, from the
 * lowest on, say which of four ways to go, so that no search is longer than six lines. It hangs on
 * the span's descriptor, and a line goes when its last word does. Lines lie in pages of the store's
 * reservation, which are charged when the first line there is used, and given back when none is
 * left.
 *
 *   page      head | line 1 | line 2 | ... | line 63                    64 bytes each
 *   line      four subtrees, which five slots, how many are pinned; five words
 *   word      63      34 33     32      31   0
 *             changes    FREED  WRITTEN count
 *
 * A span belongs to a stripe by its number. The stripe's lock guards the span's lines and words and
 * what bin_class says of its blocks; that a span has no pins at all is also read without it.
 */
#ifndef SN_PINS_H
#define SN_PINS_H

#include "memory/span.h"

#define SN_PIN_COUNT      UINT64_C(0xffffffff)
#define SN_PIN_WRITTEN    (UINT64_C(1) << 32) /* pinned for writing since the count was last 0 */
#define SN_PIN_FREED      (UINT64_C(1) << 33) /* the object has ended: the last unpin retires it */
#define SN_PIN_CHANGES_AT 34                  /* relocations since the count was last 0 */

#define SN_PIN_LINE_SHIFT 6
#define SN_PIN_LINE_BYTES (1u << SN_PIN_LINE_SHIFT)
#define SN_PIN_LINE_SLOTS 5
#define SN_PIN_PAGE_LINES (SN_PAGE_BYTES / SN_PIN_LINE_BYTES - 1) /* beside the head */
#define SN_PIN_STRIPES    16
#define SN_PIN_WAYS       4

struct sn_pin_line {
    uint32_t
        below[SN_PIN_WAYS]; /* lines; 0: none. Of a free line the first: the next in its page */
    uint16_t group;
    uint16_t used; /* words that are not 0 */
    uint64_t word[SN_PIN_LINE_SLOTS];
};
_Static_assert(sizeof(struct sn_pin_line) == SN_PIN_LINE_BYTES, "lines tile a page");

struct sn_pin_stripe {
    struct sn_lock lock;
    /* guarded by lock */
    uint32_t open; /* list of pages that have a free line; 0: none */
    /* written under lock, read by anybody */
    uint64_t held; /* pins, each as often as it was made */
} SN_ALIGNED(64);

struct sn_pins {
    /* immutable after init */
    struct sn_pool *pool;
    char *base;
    uint32_t first_page;     /* that holds lines; page_bits lie before it */
    uint32_t pages;          /* that hold lines, or may */
    uint64_t bytes;          /* atomic; committed */
    uint64_t released_bytes; /* atomic; since creation */
    uint64_t small;          /* atomic; pins refused since all pages are in use */
    /* guarded by lock */
    struct sn_lock lock;
    uint64_t *page_bits;  /* of pages from first_page on; 1: in use */
    uint32_t lowest_word; /* no free page in words before this one */
    uint32_t bit_pages;   /* pages of page_bits that are charged */
    uint32_t high;        /* of those that may hold lines, so many were used at some time */
    uint32_t shown;       /* of them, so many are in cores */
    struct sn_pin_stripe stripes[SN_PIN_STRIPES];
};

/** Address space for the pins of an arena: whole pages. */
size_t sn_pins_bytes(uint64_t arena_bytes);
/** base: that many bytes, zero, not committed. */
void sn_pins_init(struct sn_pins *pins, struct sn_pool *pool, char *base, size_t bytes);

/**
 * One pin more on a slot of the span that begins at block `number`. flags: SN_PIN_WRITTEN or 0.
 * *changes: relocations of the slot so far. False: the limit refused a page, or there is none (then
 * `small` has grown).
 */
bool sn_pins_raise(struct sn_pins *pins, uint32_t number, uint32_t slot, uint64_t flags,
                   uint32_t *changes);

/** What an unpin was. */
enum sn_unpin {
    SN_UNPIN_NOTHING = 0,  /* the slot was not pinned */
    SN_UNPIN_DONE = 1,     /* bit, in each of the others */
    SN_UNPIN_RETIRE = 2,   /* bit: the last of an ended object, whose slot the caller retires */
    SN_UNPIN_COME_BACK = 4 /* bit: the last of a span that the mover has set aside */
};
/** One pin less. Result: bits of sn_unpin. The span may end with it, unless the slot is to be
 * retired. */
unsigned sn_pins_lower(struct sn_pins *pins, uint32_t number, uint32_t slot);

/** The slot's object has ended. True: nobody pins it; else the last unpin says RETIRE. */
bool sn_pins_end_object(struct sn_pins *pins, uint32_t number, uint32_t slot);

/** The word of a slot; 0: it is not pinned. */
uint64_t sn_pins_look(struct sn_pins *pins, uint32_t number, uint32_t slot);

/** The object of a slot, if it is pinned, is about to be named by another cell. */
void sn_pins_note_change(struct sn_pins *pins, uint32_t number, uint32_t slot);

/** Keeps the span's slots as they are, pinned or not, until sn_unlock of the result. */
struct sn_lock *sn_pins_lock(struct sn_pins *pins, uint32_t number);
uint64_t sn_pins_look_locked(struct sn_pins *pins, uint32_t number, uint32_t slot);

/** Whether a span has pins; a guess where the caller does not keep them away. */
static inline bool
sn_pins_any(const struct sn_span *span)
{
    /* Acquire: pairs with the release in add_line; orders nothing that a lock does not. */
    return sn_load_acquire(&span->pins) != 0;
}

/**
 * Says whether slots freed in the span may go to threads' bins; they do while nothing there is
 * pinned. By the holder of the class's lock.
 */
void sn_pins_set_bins(struct sn_pins *pins, uint32_t number, bool bins);

/** Sets SN_SPAN_ASIDE, if the span has pins, so that its last unpin says COME_BACK. By the holder
 * of the class's lock. */
bool sn_pins_set_aside(struct sn_pins *pins, uint32_t number);

/** Pins held now. */
uint64_t sn_pins_held(const struct sn_pins *pins);

/** Gives back the pages that are kept for the next pin, and those of page_bits that say nothing. */
void sn_pins_purge(struct sn_pins *pins);

/** For processes that lock what they have mapped: pages that were never used go back. See
 * sn_table_discard_unused, which says if it is so. */
void sn_pins_discard_unused(struct sn_pins *pins);

/** For fork: all locks, in their order. */
void sn_pins_for_each_lock(struct sn_pins *pins, int (*operation)(pthread_mutex_t *));

#endif
