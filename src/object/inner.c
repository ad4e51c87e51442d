/* SPDX-License-Identifier: MIT */
/* inner.c - see object/inner.h. */
#include "object/inner.h"

#include "base/cancel.h"
#include "core/report.h"

/* ---- where the cells lie --------------------------------------------------------------------- */

static bool
are_inside(const struct handle_cells *cells, size_t size)
{
    return cells->offset % sizeof(uint64_t) == 0 && cells->offset <= size &&
           cells->count <= (size - cells->offset) / sizeof(uint64_t);
}

bool
sn_inner_ask(const handle_store *store, const void *object, size_t size, struct handle_cells *cells)
{
    SN_NO_CANCELLATION;
    enum sn_asking before = sn_asking;
    sn_asking = SN_ASKING;
    sn_rcu_walks++; /* what waits is refused */
    *cells = store->options.cells(store->options.opaque, object, size);
    sn_rcu_walks--;
    bool quiet = sn_asking == SN_ASKING;
    sn_asking = before;
    return quiet && are_inside(cells, size);
}

void
sn_inner_report(handle_store *store, const char *where, uint64_t slot)
{
    sn_store_error(store,
                   "%s: option cells: what it said of the object at offset %#llx lies outside of "
                   "it, or is not aligned, or it has called the store; the object stays as it is",
                   where, (unsigned long long)slot);
}

static uint64_t *
first_cell(const handle_store *store, uint64_t slot, const struct handle_cells *cells)
{
    return sn_store_address(store, slot + cells->offset);
}

static bool
is_full(uint64_t word)
{
    return !sn_word_is_freed(word);
}

/* Whether no cell names an object; `but` counts as empty. */
static bool
are_empty(const handle_store *store, uint64_t slot, const struct handle_cells *cells,
          const uint64_t *but)
{
    const uint64_t *cell = first_cell(store, slot, cells);
    for (size_t i = 0; i < cells->count; i++) {
        if (is_full(sn_load_relaxed(&cell[i])) && &cell[i] != but)
            return false;
    }
    return true;
}

/* ---- carry ----------------------------------------------------------------------------------- */

/* What the cell names, LIVE until the section ends: a pending move is cancelled. */
static uint64_t
cancel_move(const handle_store *store, uint64_t *cell)
{
    uint64_t word = sn_load_acquire(cell);
    while (sn_word_is_moving(word)) {
        uint64_t live = sn_object_as_live(store, word);
        if (sn_cas_acq_rel(cell, &word, live))
            return live;
    }
    return word;
}

void
sn_inner_carry(const handle_store *store, uint64_t from, uint64_t to,
               const struct handle_cells *cells)
{
    uint64_t *old = first_cell(store, from, cells), *new = first_cell(store, to, cells);
    for (size_t i = 0; i < cells->count; i++) {
        sn_hook(SN_HOOK_CARRY, &old[i]);
        sn_store_relaxed(&new[i], cancel_move(store, &old[i]));
    }
}

/* ---- turn ------------------------------------------------------------------------------------ */

/* Whether a child's header is to be turned: it names the old cell, or, for a writer (NULL), any
 * inside an object. */
static bool
is_to_turn(const handle_store *store, uint64_t header, uint64_t slot, const uint64_t *old)
{
    if (old)
        return sn_object_is_owned_by(store, slot, header, old);
    return sn_header_has_object(store->secret, header, slot) &&
           sn_reference_is_inner(store, sn_header_reference(header));
}

/* Any other header is left alone: the child has ended, or was relocated, or turned. Others, who do
 * not know of the turn, change only its size, once for each time round. */
static void
turn_header(handle_store *store, uint64_t slot, const uint64_t *old, const uint64_t *new)
{
    uint64_t *header = sn_header_of(&store->pool, slot);
    /* Acquire: its name is seen as it was made. */
    uint64_t seen = sn_load_acquire(header);
    while (is_to_turn(store, seen, slot, old)) {
        uint64_t made = sn_header_make(store->secret, new, sn_header_size(seen), slot);
        uint64_t marks = sn_header_marks(store->secret, seen, slot);
        sn_hook(SN_HOOK_TURN, header);
        if (sn_cas_acq_rel(header, &seen, sn_header_with_mark(made, marks)))
            return;
    }
}

static void
turn_child(handle_store *store, uint64_t slot, const uint64_t *old, const uint64_t *new)
{
    bool large = sn_object_class(store, slot) == SN_CLASS_LARGE;
    if (large) /* its header changes together with its size and pages, under this lock */
        sn_lock(&store->pool.lock);
    turn_header(store, slot, old, new);
    if (large)
        sn_unlock(&store->pool.lock);
}

void
sn_inner_turn(handle_store *store, uint64_t from, uint64_t to, const struct handle_cells *cells,
              bool any)
{
    const uint64_t *old = first_cell(store, from, cells), *new = first_cell(store, to, cells);
    for (size_t i = 0; i < cells->count; i++) {
        uint64_t word = sn_load_acquire(&old[i]);
        if (is_full(word))
            turn_child(store, sn_word_offset(word), any ? NULL : &old[i], &new[i]);
    }
}

/* ---- by the parent's writer ------------------------------------------------------------------ */

/* What two layouts have in common. */
static struct handle_cells
overlap(const struct handle_cells *a, const struct handle_cells *b)
{
    size_t begin = sn_max(a->offset, b->offset);
    size_t a_end = a->offset + a->count * sizeof(uint64_t);
    size_t end = sn_min(a_end, b->offset + b->count * sizeof(uint64_t));
    return (struct handle_cells){begin, begin < end ? (end - begin) / sizeof(uint64_t) : 0};
}

/* Whether the cells of a slot are empty that lie outside of `kept`. */
static bool
rest_is_empty(const handle_store *store, uint64_t slot, const struct handle_cells *cells,
              const struct handle_cells *kept)
{
    for (size_t i = 0; i < cells->count; i++) {
        size_t at = cells->offset + i * sizeof(uint64_t);
        bool stays = sn_wrapping_sub(at, kept->offset) < kept->count * sizeof(uint64_t);
        const uint64_t *cell = sn_store_address(store, slot + at);
        if (!stays && is_full(sn_load_relaxed(cell)))
            return false;
    }
    return true;
}

int
sn_inner_replace(handle_store *store, const char *where, uint64_t from, size_t from_size,
                 uint64_t to, size_t to_size, struct handle_cells *carried)
{
    struct handle_cells old, new;
    if (!sn_inner_ask(store, sn_store_address(store, from), from_size, &old) ||
        !sn_inner_ask(store, sn_store_address(store, to), to_size, &new)) {
        sn_inner_report(store, where, from);
        return -EINVAL;
    }
    *carried = overlap(&old, &new);
    if (!rest_is_empty(store, from, &old, carried))
        return -EBUSY;
    uint64_t *cell = first_cell(store, to, &new);
    for (size_t i = 0; i < new.count; i++)
        sn_store_relaxed(&cell[i], 0);
    sn_inner_carry(store, from, to, carried);
    return 0;
}

/* Whether a word names a parent that has not ended. */
static bool
find_parent(const handle_store *store, uint64_t word, uint64_t want, uint64_t mask, uint64_t *slot,
            uint64_t *header)
{
    *slot = sn_word_offset(word);
    if (((word ^ want) & mask) != 0 || sn_word_is_freed(word))
        return false;
    *header = sn_load_acquire(sn_header_of(&store->pool, *slot));
    return sn_object_has_cells(store, *slot, *header);
}

/* The parent that R names. A header is clear from the moment on that its object was moved (step 5),
 * resized or replaced: such a one is believed only if R still names the slot. */
static bool
look_for_parent(const handle_store *store, uint64_t *reference, uint64_t want, uint64_t mask,
                uint64_t *slot, uint64_t *header)
{
    uint64_t word = sn_load_acquire(reference), seen;
    do {
        seen = word;
        sn_hook(SN_HOOK_PARENT_LOADED, reference);
        if (find_parent(store, seen, want, mask, slot, header))
            return true;
        word = sn_load_acquire(reference);
    } while (word != seen);
    return false;
}

int
sn_inner_may_end_slow(handle_store *store, const char *where, uint64_t *reference, uint64_t want,
                      uint64_t mask, const uint64_t *but)
{
    struct handle_cells cells;
    uint64_t slot, header;
    if (!look_for_parent(store, reference, want, mask, &slot, &header))
        return 0;
    uint64_t word = sn_reference_cancel_move(store, reference, want, mask);
    if (!find_parent(store, word, want, mask, &slot, &header))
        return 0;
    if (!sn_inner_ask(store, sn_store_address(store, slot), sn_object_size(store, slot, header),
                      &cells)) {
        sn_inner_report(store, where, slot);
        return -EINVAL;
    }
    return are_empty(store, slot, &cells, but) ? 0 : -EBUSY;
}

/* ---- whole trees ----------------------------------------------------------------------------- */

/*
 * A parent whose word has ended waits in a list, linked by its header, which is clear but for that
 * and its size (as of those retired): nobody else looks at it, and its cells stay readable, since
 * its slot is not retired before they are empty. A list links by offsets of slots.
 */

static void
push(handle_store *store, uint64_t *list, uint64_t slot, size_t size)
{
    sn_store_release(sn_header_of(&store->pool, slot), sn_header_make_retired(size, *list));
    *list = slot;
}

/* Frees what a cell names; if it has cells itself, it comes to the list. */
static void
empty_cell(handle_store *store, uint64_t *cell, uint64_t *list)
{
    uint64_t word = sn_load_acquire(cell);
    while (is_full(word) && !sn_cas_acq_rel(cell, &word, 0))
        ;
    if (!is_full(word))
        return;
    uint64_t slot = sn_word_offset(word);
    uint64_t header = sn_load_acquire(sn_header_of(&store->pool, slot));
    bool parent = sn_object_has_cells(store, slot, header);
    size_t size = sn_object_size(store, slot, header);
    if (!parent) {
        sn_object_retire(store, slot, cell);
        return;
    }
    sn_object_end(store, slot, cell);
    push(store, list, slot, size);
}

/* Empties all cells of an object. False: the option lies about it, which is reported. */
static bool
empty_all(handle_store *store, const char *where, uint64_t slot, size_t size, uint64_t *list)
{
    struct handle_cells cells;
    if (!sn_inner_ask(store, sn_store_address(store, slot), size, &cells)) {
        sn_inner_report(store, where, slot);
        return false;
    }
    uint64_t *cell = first_cell(store, slot, &cells);
    for (size_t i = 0; i < cells.count; i++)
        empty_cell(store, &cell[i], list);
    return true;
}

/* False: the option lies about the first object, and nothing was done. */
static bool
empty_tree(handle_store *store, const char *where, uint64_t slot, size_t size)
{
    uint64_t list = 0;
    if (!empty_all(store, where, slot, size, &list))
        return false;
    while (list != 0) {
        slot = list;
        uint64_t header = sn_load_relaxed(sn_header_of(&store->pool, slot));
        list = sn_header_retired_next(header);
        /* If not, what its cells name is out of reach and lives on, and its slot stays, too: they
         * are in headers. */
        if (empty_all(store, where, slot, sn_object_size(store, slot, header), &list))
            sn_object_leave(store, slot);
    }
    return true;
}

void
sn_inner_empty(handle_store *store, uint64_t *reference, uint64_t want, uint64_t mask)
{
    uint64_t slot, header;
    uint64_t word = sn_reference_cancel_move(store, reference, want, mask);
    if (!find_parent(store, word, want, mask, &slot, &header))
        return;
    sn_slow_call_begin(&store->caches);
    (void)empty_tree(store, "handle_store_clear", slot, sn_object_size(store, slot, header));
    sn_slow_call_end(&store->caches);
}

bool
sn_inner_empty_slot(handle_store *store, const char *where, uint64_t slot, size_t size)
{
    sn_rcu_read_lock(store->rcu);
    bool emptied = empty_tree(store, where, slot, size);
    sn_rcu_read_unlock(store->rcu);
    return emptied;
}

/* ---- where a cell may lie -------------------------------------------------------------------- */

/* The object around an address of the arena: its slot; 0: there is none. */
static uint64_t
slot_around(const handle_store *store, uint64_t offset)
{
    unsigned class_id = sn_object_class(store, offset);
    uint32_t number = sn_span_number(&store->pool, sn_span_at(&store->pool, offset));
    if (class_id == SN_CLASS_LARGE)
        return sn_span_offset(number);
    if (class_id >= SN_CLASSES_MAX)
        return 0;
    const struct sn_class *c = &store->classes.of[class_id];
    uint64_t first = sn_span_offset(number) + c->lead;
    if (offset < first || (offset - first) / c->slot_bytes >= c->slots)
        return 0;
    return sn_slot_offset(c, number, (uint32_t)((offset - first) / c->slot_bytes));
}

/* What is wrong with the place of a cell inside the store; NULL: nothing that can be seen. */
static const char *
defect_of(const handle_store *store, const uint64_t *cell)
{
    struct handle_cells cells;
    uint64_t offset = sn_store_offset(store, cell), slot = slot_around(store, offset);
    uint64_t header = slot ? sn_load_acquire(sn_header_of(&store->pool, slot)) : 0;
    if (header == SN_HEADER_RESERVED)
        return NULL; /* its size is not known here */
    if (!sn_header_has_object(store->secret, header, slot))
        return "the cell lies in memory that no object has (any more): its parent was moved or "
               "freed, and is to be resolved by deref_mut in this section";
    if (!sn_object_has_cells(store, slot, header))
        return "the cell lies inside an object that was made without HANDLE_CELLS";
    if (!sn_inner_ask(store, sn_store_address(store, slot), sn_object_size(store, slot, header),
                      &cells) ||
        sn_wrapping_sub(offset, slot + cells.offset) >= cells.count * sizeof(uint64_t))
        return "the cell lies where its object has none, by the option cells";
    uint64_t word = sn_load_acquire(sn_header_reference(header));
    if (sn_word_has_object(word) && sn_word_offset(word) != slot)
        return "the cell lies in a frozen copy of its object: resolve that by deref_mut in this "
               "section";
    return NULL;
}

void
sn_inner_require(const handle_store *store, const uint64_t *cell)
{
    const char *defect = defect_of(store, cell);
    if (sn_unlikely(defect != NULL))
        sn_misuse(store, NULL, "%s", defect);
}

void
sn_inner_require_no_cycle(const handle_store *store, const uint64_t *cell, uint64_t slot)
{
    enum { LEVELS = 64 }; /* a long queue must not make each call look at all of it */
    for (unsigned level = 0; level < LEVELS && sn_reference_is_inner(store, cell); level++) {
        uint64_t around = slot_around(store, sn_store_offset(store, cell));
        if (around != 0 && around == slot)
            sn_misuse(store, NULL,
                      "the cell lies inside the object that it would name, or below it: nothing "
                      "would lead there any more");
        uint64_t header = around ? sn_load_acquire(sn_header_of(&store->pool, around)) : 0;
        if (!sn_header_has_object(store->secret, header, around))
            return;
        cell = sn_header_reference(header);
    }
}
