/* SPDX-License-Identifier: MIT */
/*
 * cell.c - objects named by cells in the application's own structures: the same protocol without
 * table memory. All calls stand in a section, and the caller serialises writers of one cell, so
 * that plain stores suffice where G4 and G6 (reference.h) allow them. The frees are in free.c.
 */
#include <string.h>

#include "object/hardened_object.h"
#include "object/inner.h"
#include "object/reserve.h"

/* Aligned, and from 2^16 to below 2^48. Rotated, what is not a multiple of 8 becomes large. */
static bool
is_cell_number(const handle_cell *cell)
{
    uintptr_t address = (uintptr_t)cell;
    uint64_t eighth = address >> 3 | (uint64_t)address << 61;
    return eighth - SN_CELL_ADDRESS_MIN / 8 < (SN_CELL_ADDRESS_MAX - SN_CELL_ADDRESS_MIN) / 8;
}

/* The same, and not where the store lies or may grow. Also false of what others have mapped there:
 * the slow path accepts that. */
static bool
is_far_address(const handle_store *store, const handle_cell *cell)
{
    return is_cell_number(cell) && (uintptr_t)cell - (uintptr_t)store >= store->extent_bytes;
}

/* Whether a cell lies inside the store, where that may be: what is_far_address leaves to a path of
 * its own. */
static bool
is_inner(const handle_store *store, const handle_cell *cell)
{
    return store->options.cells && is_cell_number(cell) && sn_store_contains(store, cell);
}

/* Whether a cell may lie there: not inside what the store has reserved, but for cells inside
 * objects. */
static bool
is_cell_address(const handle_store *store, const handle_cell *cell)
{
    return is_inner(store, cell) || is_far_address(store, cell) ||
           (is_cell_number(cell) && !sn_store_contains(store, cell) &&
            (uintptr_t)cell - (uintptr_t)store >=
                HANDLE_TABLE_OFFSET + sn_load_relaxed(&store->table.bytes));
}

/* In stores that check calls: a cell that a writer is about to change lies where cells may. */
static void
check_place(const handle_store *store, const handle_cell *cell)
{
    if (!store->options.cells || !sn_store_contains(store, cell)) {
        sn_check_cell_place(store, cell);
        return;
    }
    sn_inner_require(store, &cell->word);
}

/* ---- allocation ------------------------------------------------------------------------------ */

static SN_NOINLINE void *
alloc_slow(handle_store *store, handle_cell *cell, size_t size, unsigned flags)
{
    sn_check_call_named(store, "handle_cell_alloc", SN_IN_SECTION, HANDLE_NULL, cell);
    if (!store || !is_cell_address(store, cell) || !sn_object_flags_fit(store, &flags)) {
        errno = EINVAL;
        return NULL;
    }
    if (sn_checks_entries(store))
        check_place(store, cell);
    if (sn_load_relaxed(&cell->word) != 0) {
        errno = EEXIST;
        return NULL;
    }
    sn_slow_call_begin(&store->caches);
    uint64_t slot = sn_slot_acquire(store, size, flags);
    if (slot) {
        sn_object_set_owner_any(store, slot, size, &cell->word);
        sn_object_note_flags(store, slot, flags);
        sn_profile_see(store, slot, size);
        /* Release: as in the fast path below. */
        sn_store_release(&cell->word, sn_object_word(0, slot, flags));
    }
    sn_slow_call_end(&store->caches);
    return slot ? sn_store_address(store, slot) : NULL;
}

/* The fast path of hardened stores; in others, the slow path. */
static SN_OUTLINE void *
alloc_hardened(handle_store *store, handle_cell *cell, size_t size)
{
    if (sn_unlikely(!store->hardened))
        return alloc_slow(store, cell, size, 0);
    sn_check_entry_inline(store, "handle_cell_alloc", SN_IN_SECTION, HANDLE_NULL, cell);
    sn_check_cell_place(store, cell);
    unsigned class_id = sn_class_for(&store->classes, size + SN_CANARY_MIN_BYTES);
    struct sn_thread_cache *cache = sn_cache_try_enter_hardened(&store->caches, store);
    if (sn_unlikely(!cache))
        return alloc_slow(store, cell, size, 0);
    uint64_t slot = 0;
    if (sn_likely(sn_cache_has_slot(cache, class_id)) && !sn_cache_is_drawn(cache, size)) {
        slot = sn_hardened_take(store, cache, class_id, size);
        sn_object_set_owner(store, slot, size, &cell->word);
        /* Release: as in the plain fast path. */
        sn_store_release(&cell->word, sn_object_word(0, slot, 0));
    }
    sn_cache_leave(cache);
    return sn_likely(slot != 0) ? sn_store_address(store, slot) : alloc_slow(store, cell, size, 0);
}

/* Whether the fast paths may fill the cell. */
static bool
is_fit_for_alloc(const handle_store *store, const handle_cell *cell)
{
    return sn_likely(is_far_address(store, cell)) && sn_likely(sn_load_relaxed(&cell->word) == 0);
}

/* The fast path between enter and leave, of a class; small: its sizes are whole in a header. flags:
 * 0 or HANDLE_CELLS. False: nothing was done. */
SN_FORCE_INLINE bool
alloc_inside(handle_store *store, struct sn_thread_cache *cache, handle_cell *cell, size_t size,
             unsigned class_id, bool small, unsigned flags, void **object)
{
    uint64_t **top = sn_cache_top(cache, class_id), slot = (*top)[-1];
    if (sn_unlikely(slot == 0) || sn_cache_is_drawn(cache, size))
        return false;
    sn_owner_previous(top);
    sn_object_set_owner(store, slot, small ? size : size & SN_HEADER_SIZE, &cell->word);
    if (flags & HANDLE_CELLS) {
        memset(sn_store_address(store, slot), 0, size);
        sn_object_note_flags(store, slot, flags);
    }
    /* Release: orders the header before the word; pairs with deref's acquire (G9). */
    sn_store_release(&cell->word, sn_object_word(0, slot, flags));
    *object = sn_store_address(store, slot);
    return true;
}

/* The fast path. */
SN_FORCE_INLINE void *
alloc_of_class(handle_store *store, handle_cell *cell, size_t size, unsigned class_id, bool small,
               unsigned flags)
{
    if (SN_DEBUG)
        check_place(store, cell);
    struct sn_thread_cache *cache = sn_cache_try_enter(&store->caches, store);
    if (sn_unlikely(!cache))
        return small ? alloc_hardened(store, cell, size) : alloc_slow(store, cell, size, flags);
    void *object;
    if (!alloc_inside(store, cache, cell, size, class_id, small, flags, &object)) {
        sn_cache_leave(cache);
        return alloc_slow(store, cell, size, flags);
    }
    sn_cache_leave(cache);
    return object;
}

/* In a cell inside an object. */
static SN_NOINLINE void *
alloc_inner(handle_store *store, handle_cell *cell, size_t size)
{
    if (!store || !is_inner(store, cell) || sn_load_relaxed(&cell->word) != 0)
        return alloc_slow(store, cell, size, 0);
    return alloc_of_class(store, cell, size, sn_class_for(&store->classes, size), false, 0);
}

/* An object that has cells, small as those in the table of classes. */
static SN_NOINLINE void *
alloc_parent(handle_store *store, handle_cell *cell, size_t size)
{
    if (!store || !store->options.cells || size > SN_SMALL_MAX_BYTES ||
        !(is_far_address(store, cell) || is_inner(store, cell)) ||
        sn_load_relaxed(&cell->word) != 0)
        return alloc_slow(store, cell, size, HANDLE_CELLS);
    return alloc_of_class(store, cell, size, sn_class_for(&store->classes, size), false,
                          HANDLE_CELLS);
}

static SN_OUTLINE void *
alloc_medium(handle_store *store, handle_cell *cell, size_t size, unsigned flags)
{
    if (flags == HANDLE_CELLS)
        return alloc_parent(store, cell, size);
    if (!store || !sn_class_is_medium(&store->classes, size, flags) ||
        !is_fit_for_alloc(store, cell))
        return alloc_slow(store, cell, size, flags);
    return alloc_of_class(store, cell, size, sn_class_for(&store->classes, size), false, 0);
}

void *
handle_cell_alloc(handle_store *store, handle_cell *cell, size_t size, unsigned flags)
{
    sn_check_call_debug(store, SN_IN_SECTION, HANDLE_NULL, cell);
    if (sn_unlikely(!sn_class_is_in_table(size, flags)))
        return alloc_medium(store, cell, size, flags);
    if (sn_unlikely(!store) || !is_fit_for_alloc(store, cell))
        return alloc_inner(store, cell, size);
    return alloc_of_class(store, cell, size, sn_class_by_table(&store->classes, size), true, 0);
}

/* ---- many at once ---------------------------------------------------------------------------- */

/* By the fast path, in their order, until it gives up. Result: how many. */
static size_t
alloc_group(handle_store *store, handle_cell *const *cells, const size_t *sizes, void **objects,
            size_t n)
{
    size_t largest = sn_classes_max_size(&store->classes), made = 0;
    struct sn_thread_cache *cache = sn_cache_try_enter(&store->caches, store);
    if (sn_unlikely(!cache))
        return 0;
    for (; made < n && sizes[made] <= largest && is_fit_for_alloc(store, cells[made]); made++) {
        if (SN_DEBUG)
            sn_check_cell_place(store, cells[made]);
        void *object;
        if (!alloc_inside(store, cache, cells[made], sizes[made],
                          sn_class_for(&store->classes, sizes[made]), false, 0, &object))
            break;
        if (objects)
            objects[made] = object;
    }
    sn_cache_leave(cache);
    return made;
}

size_t
handle_cell_alloc_many(handle_store *store, handle_cell *const *cells, const size_t *sizes,
                       unsigned flags, void **objects, size_t n)
{
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, NULL);
    if (!store || (n > 0 && (!cells || !sizes))) {
        errno = EINVAL;
        return 0;
    }
    size_t made = 0;
    while (made < n) {
        size_t group = sn_min(n - made, SN_OBJECT_GROUP);
        size_t fast = flags == 0 ? alloc_group(store, cells + made, sizes + made,
                                               objects ? objects + made : NULL, group)
                                 : 0;
        made += fast;
        if (fast > 0)
            continue;
        void *object = handle_cell_alloc(store, cells[made], sizes[made], flags);
        if (!object)
            break;
        if (objects)
            objects[made] = object;
        made++;
    }
    for (size_t i = made; objects && i < n; i++)
        objects[i] = NULL;
    return made;
}

/* ---- resolving ------------------------------------------------------------------------------- */

const void *
handle_cell_read(const handle_store *store, const handle_cell *cell, uint32_t *tag)
{
    sn_check_call_in_signal(store, cell);
    uint64_t word = sn_load_acquire(&cell->word);
    bool live = sn_word_has_object(word);
    if (tag)
        *tag = live ? (uint32_t)sn_word_tag(word) : 0;
    return live ? sn_store_address(store, sn_word_offset(word)) : NULL;
}

void *
handle_cell_deref_mut(handle_store *store, handle_cell *cell)
{
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, cell);
    if (sn_unlikely(!store || !cell))
        return NULL;
    uint64_t word = sn_reference_cancel_move(store, &cell->word, SN_WANT_OBJECT, SN_MASK_OBJECT);
    return sn_likely(sn_word_has_object(word)) ? sn_store_address(store, sn_word_offset(word))
                                               : NULL;
}

size_t
handle_cell_deref_many(const handle_store *store, handle_cell *const *cells, const void **objects,
                       size_t n)
{
    sn_check_call_in_signal(store, NULL);
    size_t live = 0;
    if (!store || (n > 0 && (!cells || !objects)))
        return 0;
    for (size_t begin = 0; begin < n; begin += SN_OBJECT_GROUP) {
        size_t end = sn_min(n, begin + SN_OBJECT_GROUP);
        for (size_t i = begin; i < end; i++)
            __builtin_prefetch(cells[i]);
        for (size_t i = begin; i < end; i++) {
            objects[i] = handle_cell_deref(store, cells[i]);
            __builtin_prefetch(objects[i]);
            live += objects[i] != NULL;
        }
    }
    return live;
}

size_t
handle_cell_size(const handle_store *store, const handle_cell *cell)
{
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, cell);
    uint64_t slot;
    size_t size;
    bool live =
        store && cell &&
        sn_object_read_size(store, &cell->word, SN_WANT_OBJECT, SN_MASK_OBJECT, &size, &slot);
    return live ? size : 0;
}

int
handle_cell_set_tag(handle_store *store, handle_cell *cell, uint32_t tag24)
{
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, cell);
    if (!store || !cell || tag24 > SN_TAG_MASK)
        return -EINVAL;
    sn_inner_check(store, &cell->word);
    /* Acquire: nothing is read through it, but a later deref by this caller goes on from it. */
    uint64_t word = sn_load_acquire(&cell->word);
    uint64_t want;
    do {
        if (sn_word_is_freed(word))
            return -ENOENT;
        uint64_t live = sn_word_is_moving(word) ? sn_object_as_live(store, word) : word;
        want = (live & ~SN_WORD_TAG) | sn_word_of_tag(tag24);
    } while (!sn_cas_acq_rel(&cell->word, &word, want)); /* G7: leaves LIVE */
    return 0;
}

/* ---- publish --------------------------------------------------------------------------------- */

/* The cell names the new object in the place of what it named, if anything; by CAS, whatever the
 * mover does (G4). Result: the word that ended. */
static uint64_t
replace(handle_cell *cell, uint64_t want)
{
    uint64_t word = sn_load_acquire(&cell->word);
    sn_hook(SN_HOOK_PUBLISH_SLOW, &cell->word);
    while (!sn_cas_acq_rel(&cell->word, &word, want))
        ;
    return word;
}

static SN_NOINLINE int
publish_slow(handle_store *store, handle_cell *cell, struct sn_reserved *reserved, uint32_t tag24)
{
    sn_check_call_named(store, "handle_cell_publish", SN_IN_SECTION, HANDLE_NULL, cell);
    if (!sn_reserved_is(store, reserved) || tag24 > SN_TAG_MASK || !is_cell_address(store, cell))
        return -EINVAL;
    if (sn_checks_entries(store))
        check_place(store, cell);
    sn_inner_check_no_cycle(store, &cell->word, reserved->slot);
    int result =
        sn_inner_may_end(store, "cell_publish", &cell->word, SN_WANT_OBJECT, SN_MASK_OBJECT, NULL);
    if (sn_unlikely(result != 0))
        return result;
    sn_slow_call_begin(&store->caches);
    sn_reserved_publish_slow(store, reserved, &cell->word);
    uint64_t word = replace(cell, reserved->word + sn_word_of_tag(tag24));
    if (!sn_word_is_freed(word))
        sn_object_retire(store, sn_word_offset(word), &cell->word);
    sn_slow_call_end(&store->caches);
    return 0;
}

/* The fast path. word: the cell's, 0, or LIVE and of an object of the class, which it replaces. */
SN_FORCE_INLINE int
publish_fast(handle_store *store, handle_cell *cell, struct sn_reserved *reserved, uint32_t tag24,
             uint64_t word, unsigned class_id)
{
    struct sn_thread_cache *cache = sn_cache_try_enter(&store->caches, store);
    if (sn_unlikely(!cache))
        return publish_slow(store, cell, reserved, tag24);
    if (word != 0 && sn_unlikely(!sn_cache_retires(cache))) {
        sn_cache_leave(cache);
        return publish_slow(store, cell, reserved, tag24);
    }
    sn_reserved_publish(store, cache, reserved, &cell->word);
    /* Release: orders contents and header before the word; pairs with deref's acquire (G9). A plain
     * store: G4, as in free.c. */
    sn_store_release(&cell->word, reserved->word + sn_word_of_tag(tag24));
    if (word != 0)
        sn_object_retire_fast(store, cache, class_id, sn_word_offset(word));
    sn_cache_leave(cache);
    return 0;
}

static SN_OUTLINE int
publish_in_empty(handle_store *store, handle_cell *cell, struct sn_reserved *reserved,
                 uint32_t tag24, uint64_t word)
{
    if (word != 0 || !(is_far_address(store, cell) || is_inner(store, cell)))
        return publish_slow(store, cell, reserved, tag24);
    if (SN_DEBUG)
        check_place(store, cell);
    return publish_fast(store, cell, reserved, tag24, 0, SN_CLASS_NONE);
}

/* Whether a cell lies inside an object was checked when it was filled first. */
int
handle_cell_publish(handle_store *store, handle_cell *cell, struct handle_reserved *public_reserved,
                    uint32_t tag24)
{
    sn_check_call_debug(store, SN_IN_SECTION, HANDLE_NULL, cell);
    struct sn_reserved *reserved = sn_reserved(public_reserved);
    if (!sn_reserved_has_class(store, reserved) || sn_unlikely(tag24 > SN_TAG_MASK) ||
        sn_unlikely(!is_cell_number(cell)))
        return publish_slow(store, cell, reserved, tag24);
    uint64_t word = sn_load_acquire(&cell->word);
    sn_hook(SN_HOOK_PUBLISH_LOADED, &cell->word);
    unsigned class_id = sn_object_bin(store, sn_word_offset(word));
    if ((word & (SN_WORD_KIND ^ SN_WORD_LIVE)) != 0 || class_id == SN_CLASS_NONE)
        return publish_in_empty(store, cell, reserved, tag24, word);
    if (word == 0)
        __builtin_unreachable(); /* it lies in no bin's block */
    return publish_fast(store, cell, reserved, tag24, word, class_id);
}

/* ---- resize and relocate --------------------------------------------------------------------- */

int
handle_cell_resize(handle_store *store, handle_cell *cell, size_t size)
{
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, cell);
    if (!store || !cell)
        return -EINVAL;
    sn_inner_check(store, &cell->word);
    const struct sn_resize to = {.size = size};
    return sn_object_resize(store, &cell->word, SN_WANT_OBJECT, SN_MASK_OBJECT, &to);
}

int
handle_cell_resize_reserve(handle_store *store, handle_cell *cell, size_t size, size_t capacity)
{
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, cell);
    if (!store || !cell)
        return -EINVAL;
    sn_inner_check(store, &cell->word);
    const struct sn_resize to = {size, sn_max(capacity, 1)};
    return sn_object_resize(store, &cell->word, SN_WANT_OBJECT, SN_MASK_OBJECT, &to);
}

/* The name that an object has by a cell, on its way to another one. */
struct name {
    uint64_t word, slot, header;
};

/* The word of a cell is LIVE until the section ends: a pending move is cancelled, a mark from here
 * on waits for this section (G6). */
static int
take_name(handle_store *store, handle_cell *from, struct name *name)
{
    sn_inner_check(store, &from->word);
    name->word = sn_reference_cancel_move(store, &from->word, SN_WANT_OBJECT, SN_MASK_OBJECT);
    if (!sn_word_has_object(name->word))
        return -ENOENT;
    name->slot = sn_word_offset(name->word);
    name->header = sn_load_relaxed(sn_header_of(&store->pool, name->slot));
    if (sn_object_is_named_by(store, name->slot, name->header, &from->word))
        return 0;
    if (store->hardened)
        sn_hardened_header_report(store, name->slot, name->header, &from->word);
    sn_object_report_damage(store, name->slot, "relocate");
    return -EINVAL;
}

/* `to` names the object by now. `from` becomes `left`, which no mark and no writer takes for LIVE;
 * then the header names `to`. So at any moment it names a cell that names the slot (G6). */
static void
pass_name(handle_store *store, handle_cell *from, const handle_cell *to, const struct name *name,
          uint64_t left)
{
    uint64_t marks = sn_header_marks(store->secret, name->header, name->slot);
    uint64_t size = sn_header_size(name->header);
    uint64_t made = sn_header_make(store->secret, &to->word, size, name->slot);
    sn_hook(SN_HOOK_RELOCATE_TO, sn_store_address(store, name->slot));
    /* Release: whoever finds `from` so because of this finds `to` filled. */
    sn_store_release(&from->word, left);
    sn_hook(SN_HOOK_RELOCATE_GOING, sn_store_address(store, name->slot));
    /* Release: whoever finds `to` in the header, and may mark it, finds it filled; and who enters a
     * section after that finds the object by `from` no more, or for reading only (G3, G12). */
    sn_store_release(sn_header_of(&store->pool, name->slot), sn_header_with_mark(made, marks));
    sn_hook(SN_HOOK_RELOCATE, sn_store_address(store, name->slot));
}

int
handle_cell_relocate(handle_store *store, handle_cell *from, handle_cell *to)
{
    struct name name;
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, from);
    if (!store || !from || !is_cell_address(store, to))
        return -EINVAL;
    if (sn_checks_entries(store))
        check_place(store, to);
    if (sn_load_relaxed(&to->word) != 0)
        return -EEXIST;
    int result = take_name(store, from, &name);
    if (result != 0)
        return result;
    sn_inner_check_no_cycle(store, &to->word, name.slot);
    sn_object_note_relocation(store, name.slot);
    /* Release: as alloc's, what was written into the object comes before it. */
    sn_store_release(&to->word, name.word);
    pass_name(store, from, to, &name, sn_word_as_going(name.word));
    /* Release: a walk that finds `from` empty because of this finds `to` in the header. */
    sn_store_release(&from->word, 0);
    return 0;
}

/* ---- ends for writers, not for readers (G12) ------------------------------------------------- */

/* The cell names its object for readers only, by CAS, whatever the mover does (G4). Result: the
 * word before. */
static uint64_t
end_for_writers(handle_cell *cell)
{
    uint64_t word = sn_load_acquire(&cell->word);
    sn_hook(SN_HOOK_FREE_LOADED, &cell->word);
    while (!sn_word_is_freed(word) && !sn_cas_acq_rel(&cell->word, &word, sn_word_as_retired(word)))
        ;
    return word;
}

int
handle_cell_retire(handle_store *store, handle_cell *cell)
{
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, cell);
    if (!store || !cell)
        return -EINVAL;
    sn_inner_check(store, &cell->word);
    int result =
        sn_inner_may_end(store, "cell_retire", &cell->word, SN_WANT_OBJECT, SN_MASK_OBJECT, NULL);
    if (sn_unlikely(result != 0))
        return result;
    sn_slow_call_begin(&store->caches);
    uint64_t word = end_for_writers(cell);
    bool live = !sn_word_is_freed(word);
    if (live)
        sn_object_retire(store, sn_word_offset(word), &cell->word);
    sn_slow_call_end(&store->caches);
    return live ? 0 : -ENOENT;
}

/* Result: the word that `to` had. */
static uint64_t
unlink_to(handle_store *store, handle_cell *from, handle_cell *to, const struct name *name)
{
    sn_object_note_relocation(store, name->slot);
    uint64_t before = replace(to, name->word);
    pass_name(store, from, to, name, sn_word_as_retired(name->word));
    return before;
}

int
handle_cell_unlink(handle_store *store, handle_cell *from, handle_cell *to)
{
    struct name name;
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, from);
    if (!store || !from || from == to || !is_cell_address(store, to))
        return -EINVAL;
    if (sn_checks_entries(store))
        check_place(store, to);
    if (sn_word_is_retired(sn_load_relaxed(&to->word)))
        return -EEXIST;
    int result = take_name(store, from, &name);
    if (result == 0)
        result = sn_inner_may_end(store, "cell_unlink", &to->word, SN_WANT_OBJECT, SN_MASK_OBJECT,
                                  &from->word);
    if (result != 0)
        return result;
    sn_inner_check_no_cycle(store, &to->word, name.slot);
    sn_slow_call_begin(&store->caches);
    uint64_t before = unlink_to(store, from, to, &name);
    if (sn_word_has_object(before))
        sn_object_retire(store, sn_word_offset(before), &to->word);
    sn_slow_call_end(&store->caches);
    return 0;
}
