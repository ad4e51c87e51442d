/* SPDX-License-Identifier: MIT */
/*
 * inner.h - cells inside objects (G13 in reference/reference.h). An object that was made with
 * HANDLE_CELLS, the parent of what its cells name, has a mark in its header, and its word is
 * special; where its cells lie the application says, by the option `cells`. Who gives a parent
 * another slot carries its cells, and turns the headers of what they name when it is published.
 *
 *   header of C -> c, in S      S: parent, old slot     R -> S
 *   header of C -> c, in S      D: copy, c' as c        R -> S    carried
 *   header of C -> c, in S      D                       R -> D    published
 *   header of C -> c', in D     D                       R -> D    turned; then S is retired
 */
#ifndef SN_INNER_H
#define SN_INNER_H

#include "core/misuse.h"
#include "object/object.h"

/** Where the cells of an object lie that looks as `object` does, by the option. False: it lies, or
 * has called the store: to be reported, by a caller that holds no lock. */
bool sn_inner_ask(const handle_store *store, const void *object, size_t size,
                  struct handle_cells *cells);
void sn_inner_report(handle_store *store, const char *where, uint64_t slot);

/** Makes the cells of D, a copy that nobody sees, name what those of S do, and cancels the moves of
 * that. In a section, by the mover or the parent's writer. */
void sn_inner_carry(const handle_store *store, uint64_t from, uint64_t to,
                    const struct handle_cells *cells);

/** D is published: the headers of what its cells name come to name these. In the same section. any:
 * whatever they name; by the parent's writer. */
void sn_inner_turn(handle_store *store, uint64_t from, uint64_t to,
                   const struct handle_cells *cells, bool any);

/**
 * The parent in slot `from` becomes what is in slot `to`, filled but for its cells, by its writer:
 * these are empty but for those that are carried, at their offsets. 0; -EBUSY: what the parent has
 * does not fit; -EINVAL: the option lies, which is reported.
 */
int sn_inner_replace(handle_store *store, const char *where, uint64_t from, size_t from_size,
                     uint64_t to, size_t to_size, struct handle_cells *carried);

/**
 * Whether the object that R names may end; in a section. 0: yes, or it is none; -EBUSY: a cell of
 * it names an object; -EINVAL: the option lies, which is reported. but: a cell that counts as
 * empty, or NULL.
 */
int sn_inner_may_end_slow(handle_store *store, const char *where, uint64_t *reference,
                          uint64_t want, uint64_t mask, const uint64_t *but);
static inline int
sn_inner_may_end(handle_store *store, const char *where, uint64_t *reference, uint64_t want,
                 uint64_t mask, const uint64_t *but)
{
    return sn_likely(!store->options.cells)
               ? 0
               : sn_inner_may_end_slow(store, where, reference, want, mask, but);
}

/**
 * Empties the cells of the object that R names, as by handle_cell_free of each, and, of what they
 * name, the cells, and so on: whole trees, in one section, without recursion.
 */
void sn_inner_empty(handle_store *store, uint64_t *reference, uint64_t want, uint64_t mask);
/** The same for one in a slot that nobody sees, in a slow call. Opens a section. False: the option
 * lies about it, which is reported, and nothing was done. */
bool sn_inner_empty_slot(handle_store *store, const char *where, uint64_t slot, size_t size);

/**
 * In stores that check calls, first in each by which a cell changes: one inside the store was
 * reached by its parent as that is now, as far as it can be seen; else the process ends. In a
 * section.
 */
void sn_inner_require(const handle_store *store, const uint64_t *cell);
static inline void
sn_inner_check(const handle_store *store, const uint64_t *cell)
{
    if (sn_checks_entries(store) && sn_unlikely(store->options.cells != NULL) &&
        sn_reference_is_inner(store, cell))
        sn_inner_require(store, cell);
}

/** The same for a cell that is about to name the object of a slot: it does not lie in that, or
 * below it, where nothing would lead to it any more; as far as it looks. */
void sn_inner_require_no_cycle(const handle_store *store, const uint64_t *cell, uint64_t slot);
static inline void
sn_inner_check_no_cycle(const handle_store *store, const uint64_t *cell, uint64_t slot)
{
    if (sn_checks_entries(store) && sn_unlikely(store->options.cells != NULL))
        sn_inner_require_no_cycle(store, cell, slot);
}

#endif
