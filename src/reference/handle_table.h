/* SPDX-License-Identifier: MIT */
/*
 * handle_table.h - the store's array of reference words: which entries are free, which pages of it
 * are needed. A stale handle never names another object, for ever:
 *
 *   - a freed entry carries the next generation; one that has used all is never issued again;
 *   - generations start at a random value per store and count up from there ("distance");
 *   - a page without a live entry goes back to the kernel and reads as zero; its floor keeps the
 *     highest distance any of its entries had reached, and all start there when it is used again.
 *     That gives up generations of the others: a page whose few entries did most of the work stays,
 *     once it has given up an eighth of all. So 2^24 frees use up at most
 *     2.3 indexes for ever, and one where no page goes back.
 *
 * Entries are named by their byte offset in the table ("entry"). A FREE word: the tag of the next
 * generation, and where an offset would be the place in its page of the next free entry of the
 * page, plus 1.
 */
#ifndef SN_HANDLE_TABLE_H
#define SN_HANDLE_TABLE_H

#include "reference/reference.h"

#define SN_TABLE_PAGE_ENTRIES_SHIFT (SN_PAGE_SHIFT - 3)
#define SN_TABLE_PAGE_ENTRIES       ((size_t)1 << SN_TABLE_PAGE_ENTRIES_SHIFT)

enum sn_table_page_state {
    SN_PAGE_FRESH = 0, /* reads as zero, entries start at `floor` */
    SN_PAGE_IN_USE, /* formatted, some entry issued; or none, and it is too worn to be released */
    SN_PAGE_EMPTY,  /* formatted, no entry issued: to be released */
};

struct sn_table_page {
    /* Page number + 1; list by occupancy, or of FRESH pages to reuse. */
    uint64_t next : 28;
    uint64_t prev : 28;
    uint64_t list : 4;
    uint64_t state : 2;
    uint64_t floor : 24;     /* distance at which entries start when the page is formatted */
    uint64_t free_head : 14; /* place + 1 of the first free entry; 0: none */
    uint64_t used : 14;      /* entries issued or cached by threads */
    uint64_t given_up : 12;  /* by releases of the page: SN_TABLE_WEAR_UNIT generations of each */
};
#define SN_TABLE_PLACE_MASK   UINT32_C(0x3fff) /* of the 8192 entries of the largest page */
#define SN_TABLE_WEAR_UNIT    512
#define SN_TABLE_GIVEN_UP_MAX 4095 /* an eighth of all generations */
_Static_assert(sizeof(struct sn_table_page) == 16, "256 descriptors in 4 KiB");

struct sn_table {
    /* immutable after init */
    uint64_t *words;
    uint64_t bytes_max;        /* planned: metadata has room for so many */
    uint64_t *end;             /* the number of entries as the inline read path sees it, or NULL */
    uint32_t first_generation; /* random, of this store */
    uint32_t last_generation;  /* an entry freed with this one is never issued again */
    uint64_t used_up;          /* what its word is then */
    char *groups_end;          /* descriptors of pages lie in groups below, see base/config.h */
    const char *label;         /* for sn_os_name; NULL: none */
    bool hidden;               /* nothing of it is to be in cores */
    struct sn_budget *budget;

    struct sn_lock lock SN_ALIGNED(64);
    /* guarded by lock */
    uint32_t by_use[8]; /* IN_USE pages with a free entry, by eighths of use, emptiest first */
    uint32_t empty;     /* list of EMPTY pages */
    uint32_t fresh;     /* list of FRESH pages that were used before */
    size_t grow_step;   /* bytes by which the table is extended next */
    bool hugepages;     /* what the kernel is told about it */
    uint64_t shown;     /* bytes from its begin on, and their descriptors, are in cores */
    /* written under lock, read by anybody */
    uint64_t bytes; /* that are reserved; beyond there is nothing yet */
    uint64_t small; /* pages refused because the table can not be extended */
    uint32_t high;  /* pages below were used at some time */
    uint64_t committed_bytes;
    uint64_t empty_pages;
    uint64_t used_entries; /* issued or with threads, dead ones included */
    uint64_t dead_entries;
    uint64_t released_bytes;
    uint64_t metadata_bytes;
};

size_t sn_table_groups_bytes(uint64_t table_bytes);
void sn_table_init(struct sn_table *table, char *words, uint64_t bytes, char *groups_end,
                   uint64_t random, struct sn_budget *budget);
/** The table may be extended in place up to bytes_max; *end says what the inline read path sees. */
void sn_table_let_grow(struct sn_table *table, uint64_t bytes_max, uint64_t *end);
/** What sn_os_hugepages is to say of it, now and as it grows. */
void sn_table_set_hugepages(struct sn_table *table, bool want);

/** Takes up to `want` free entries from the fullest pages. Result: how many; 0: max_bytes. */
uint32_t sn_table_take(struct sn_table *table, uint64_t *entries, uint32_t want);
/** Gives free entries back (their words are FREE). */
void sn_table_put(struct sn_table *table, const uint64_t *entries, uint32_t count);
/** An entry whose generations are used up is never given back; counts it. */
void sn_table_note_dead(struct sn_table *table);
/** Releases at most max_pages pages without an issued entry. Result: bytes. */
size_t sn_table_purge(struct sn_table *table, uint32_t max_pages);

/**
 * What was never used goes back, where it is resident all the same: a process that locks what it
 * has mapped (mlockall, MCL_CURRENT) gets every page of it. False: it is not so.
 */
bool sn_table_discard_unused(struct sn_table *table);

/** The descriptor of a page. */
static inline struct sn_table_page *
sn_table_page(const struct sn_table *table, uint32_t number)
{
    char *group = table->groups_end - ((size_t)number / SN_GROUP_TABLE_PAGES + 1) * SN_GROUP_BYTES;
    return (struct sn_table_page *)(void *)(group + SN_GROUP_TABLE_AT) +
           number % SN_GROUP_TABLE_PAGES;
}

static inline uint64_t *
sn_table_word(const struct sn_table *table, uint64_t entry)
{
    return (uint64_t *)(void *)((char *)table->words + entry);
}

/** Where in the table a word lies. */
static inline uint64_t
sn_table_offset(const struct sn_table *table, const uint64_t *reference)
{
    return (uint64_t)((const char *)reference - (const char *)table->words);
}

/** Whether an address is a word of the table (else: a cell). */
static inline bool
sn_table_owns(const struct sn_table *table, const uint64_t *reference)
{
    return (uintptr_t)reference - (uintptr_t)table->words < sn_load_relaxed(&table->bytes);
}

/** The handle of the entry there. tag: what its word has of it, and nothing else. */
static inline handle_t
sn_table_handle_at(uint64_t entry, uint64_t tag)
{
    /* Sums of what does not overlap, and one shift: an instruction less than a mask. */
    return ((entry << HANDLE_INDEX_SHIFT) + (SN_WORD_TAG - tag)) >> SN_TAG_SHIFT;
}

static inline handle_t
sn_table_handle(const struct sn_table *table, const uint64_t *reference, uint64_t word)
{
    return sn_table_handle_at(sn_table_offset(table, reference), word & SN_WORD_TAG);
}

/** The table offset of the entry that a handle names; not below table->bytes: there is none. */
static inline uint64_t
sn_table_at(handle_t handle)
{
    return handle >> HANDLE_INDEX_SHIFT << 3;
}

/** The word of a freed entry whose object had this word: the next generation. */
static inline uint64_t
sn_table_free_word(uint64_t word)
{
    return (word - sn_word_of_tag(1)) & SN_WORD_TAG; /* the complement of one more */
}

/** The word of an entry whose object was freed after it was retired: no handle of this generation
 * names it any more, and the slot is still there for the list of retired objects. */
static inline uint64_t
sn_table_void_word(uint64_t word)
{
    return (word & ~(SN_WORD_TAG | SN_WORD_KIND)) | sn_table_free_word(word) | SN_WORD_VOID;
}

/** The tag of the object that a freed entry with this word had. */
static inline uint64_t
sn_table_ended_word(uint64_t free_word)
{
    return (free_word + sn_word_of_tag(1)) & SN_WORD_TAG;
}

/** Whether the entry whose object had this word must not be issued again. */
static inline bool
sn_table_is_used_up(const struct sn_table *table, uint64_t word)
{
    return sn_table_free_word(word) == table->used_up;
}

#endif
