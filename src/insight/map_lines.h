/* SPDX-License-Identifier: MIT */
/*
 * map_lines.h - the lines of a heap map ("sinter.map", version 1), of numbers that the caller has:
 * the library of its own store, the program sinter of another process. Pure: numbers in, text out.
 *
 * The first line says what the others mean, one is of each run of blocks that has pages, the last
 * has the sums. A line is JSON; of a file that is cut off the rest is good. No address is in it.
 *
 *   pages   a character for each 4 KiB, whatever pages the kernel has: "." is with the kernel; 0 to
 *           f: the share of its bytes that live objects have; "w": most of what is taken waits
 *           (thread caches, limbo)
 *   why     letters: the span has pinned objects (p), unmovable ones (u), the mover has tried it in
 *           vain (t), a header in it is damaged (d)
 */
#ifndef SN_MAP_LINES_H
#define SN_MAP_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Text on its way out, in pieces of at most SN_LINES_BYTES. */
#define SN_LINES_BYTES 4096
struct sn_lines {
    void (*write)(void *opaque, const char *text, size_t length);
    void *opaque;
    size_t used;
    char text[SN_LINES_BYTES];
};
void sn_lines_put(struct sn_lines *lines, const char *text);
void sn_lines_bytes(struct sn_lines *lines, const void *bytes, size_t length);
/** `before`, then the number. */
void sn_lines_number(struct sn_lines *lines, const char *before, uint64_t number);
void sn_lines_flush(struct sn_lines *lines);

struct sn_map_class {
    uint32_t size;                           /* the largest that it serves */
    uint32_t slot_bytes, slots, pages, lead; /* pages: of 4 KiB */
};

enum sn_map_kind { SN_MAP_SLOTS, SN_MAP_LARGE, SN_MAP_EMPTY, SN_MAP_CLEAN, SN_MAP_OTHER };
enum { SN_MAP_PINNED = 1, SN_MAP_UNMOVABLE = 2, SN_MAP_TRIED = 4, SN_MAP_DAMAGED = 8 };

struct sn_map_run {
    uint32_t at, blocks;
    enum sn_map_kind kind;
    unsigned why; /* enum above */
    /* SLOTS */
    uint32_t class_id;
    const struct sn_map_class *class;
    uint32_t live, waiting; /* slots */
    const uint64_t *bits;   /* of slots: not free */
    const uint64_t *waits;  /* of them those without an object; NULL: there are none */
    /* LARGE, and where it is known SLOTS; 0: not said. A large object that has ended has none */
    uint64_t requested;
};

struct sn_map_sums {
    uint64_t requested, rounding, header, free_slot, waiting, empty_span, table, metadata;
    uint64_t committed, objects, objects_large;
    uint64_t resident; /* of the arena; UINT64_MAX: not known */
};

/** of: what was looked at. Characters of the name that JSON does not take become "_". */
void sn_map_head(struct sn_lines *lines, const char *store, const char *of, uint32_t blocks);
/** Each of its classes, then the head's end. */
void sn_map_class(struct sn_lines *lines, const struct sn_map_class *c, bool first);
void sn_map_end_head(struct sn_lines *lines);

/** Bits of a block's pages, of page_bytes (4096 to 65536), as those of pieces of 4 KiB. */
uint16_t sn_map_pieces(uint16_t dirty, uint32_t page_bytes);

/** A run: its begin, all of its blocks in turn, its end. dirty: which pieces of 4 KiB of the block
 * are committed. */
void sn_map_begin_run(struct sn_lines *lines, const struct sn_map_run *run);
void
sn_map_block(struct sn_lines *lines, const struct sn_map_run *run, uint32_t block, uint16_t dirty);
void sn_map_end_run(struct sn_lines *lines);

/** The steps of the memory breakdown, as members of an object that has members before them. */
void sn_map_steps(struct sn_lines *lines, const struct sn_map_sums *sums);

/** The last line, up to what the caller adds before he ends it by "}\n". */
void sn_map_begin_tail(struct sn_lines *lines, const struct sn_map_sums *sums);

#endif
