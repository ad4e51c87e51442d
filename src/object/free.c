/* SPDX-License-Identifier: MIT */
/*
 * free.c - the four frees, of objects named by handles and by cells, after a grace period and at
 * once. They are written once; the fast path is compiled for each kind, of hardened stores and of
 * others. What happens below the name is in object.c; the guarantees stand in reference.h.
 */
#include "object/entry.h"
#include "object/hardened_object.h"
#include "object/inner.h"

enum kind { FREE, FREE_NOW, CELL_FREE, CELL_FREE_NOW };

static const struct {
    const char *function;
    enum sn_place place;
} about[] = {
    [FREE] = {"handle_free", SN_REGISTERED},
    [FREE_NOW] = {"handle_free_now", SN_IN_SECTION},
    [CELL_FREE] = {"handle_cell_free", SN_IN_SECTION},
    [CELL_FREE_NOW] = {"handle_cell_free_now", SN_IN_SECTION},
};

static inline bool
is_by_cell(enum kind kind)
{
    return kind >= CELL_FREE;
}

/* The slot may be used again at once, unless somebody else may look at it. */
static inline bool
is_at_once(enum kind kind)
{
    return kind == FREE_NOW || kind == CELL_FREE_NOW;
}

/* R as the cell it is; NULL: it is an entry of the table. */
static inline const handle_cell *
cell_of(const uint64_t *reference, enum kind kind)
{
    return is_by_cell(kind) ? sn_container_of(reference, const handle_cell, word) : NULL;
}

/* ---- the slow path --------------------------------------------------------------------------- */

static bool
is_named(uint64_t word, handle_t handle, enum kind kind)
{
    return is_by_cell(kind) ? !sn_word_is_freed(word)
                            : (sn_word_mismatch(word, handle) & HANDLE_MATCH_MASK) == 0;
}

/* What the word becomes. Of a retired object only the name ends: its slot is in a list, which needs
 * it. */
static uint64_t
ended_word(uint64_t word, enum kind kind)
{
    if (is_by_cell(kind))
        return 0;
    return sn_word_is_retired(word) ? sn_table_void_word(word) : sn_table_free_word(word);
}

/* Ends the word by CAS (G4). Result: the word that ended, 0 when somebody else was first, or there
 * is no object. *was_moving: it was found MOVING, so that the mover may still read the slot. */
static uint64_t
end_by_cas(uint64_t *reference, handle_t handle, enum kind kind, bool *was_moving)
{
    /* Acquire: the header is read after it, by the winner. */
    uint64_t word = sn_load_acquire(reference);
    *was_moving = sn_word_is_moving(word);
    sn_hook(SN_HOOK_FREE_LOADED, reference);
    while (is_named(word, handle, kind)) {
        if (sn_cas_acq_rel(reference, &word, ended_word(word, kind))) {
            *was_moving |= sn_word_is_moving(word);
            return word;
        }
    }
    return 0;
}

/* Whether the object may end: not if it has cells that name others (G13). */
static int
may_end(handle_store *store, uint64_t *reference, handle_t handle, enum kind kind)
{
    if (sn_likely(!store->options.cells))
        return 0;
    uint64_t want = is_by_cell(kind) ? SN_WANT_OBJECT : sn_word_of_handle(handle);
    uint64_t mask = is_by_cell(kind) ? SN_MASK_OBJECT : HANDLE_MATCH_MASK;
    sn_rcu_read_lock(store->rcu);
    int result = sn_inner_may_end_slow(store, about[kind].function, reference, want, mask, NULL);
    sn_rcu_read_unlock(store->rcu);
    return result;
}

/* Whether somebody may just turn the header of what a cell named (G13): a child, or, where guards
 * make that more than a look in vain, what was one before it was relocated. */
static bool
may_be_turned(const handle_store *store, const uint64_t *reference, enum kind kind)
{
    return is_by_cell(kind) &&
           ((store->hardened && store->options.cells) || sn_reference_is_inner(store, reference));
}

/* Whether a slot may be used again at once, by the word that has ended. Not a parent's, since
 * others may look at its cells, nor that of a child, whose header may just be turned. */
static bool
may_reuse(const handle_store *store, const uint64_t *reference, uint64_t word, bool was_moving,
          enum kind kind)
{
    bool parent = (word & SN_WORD_SPECIAL) && store->options.cells;
    return is_at_once(kind) && !was_moving && !parent && !may_be_turned(store, reference, kind);
}

static void
check(const handle_store *store, const uint64_t *reference, handle_t handle, enum kind kind)
{
    sn_check_entry(store, about[kind].function, about[kind].place, handle,
                   cell_of(reference, kind));
    if (is_by_cell(kind))
        sn_inner_check(store, reference);
}

/* Something there is pinned, the thread is locked out of its cache or the cache is full, the object
 * is large, special, retired, or being moved, its span is closed, its entry is used up. */
static SN_NOINLINE int
free_slow(handle_store *store, uint64_t *reference, handle_t handle, enum kind kind)
{
    bool was_moving;
    if (sn_checks_entries(store))
        check(store, reference, handle, kind);
    int result = may_end(store, reference, handle, kind);
    if (sn_unlikely(result != 0))
        return result;
    sn_slow_call_begin(&store->caches);
    uint64_t word = end_by_cas(reference, handle, kind, &was_moving);
    if (sn_likely(word != 0) && !sn_word_is_retired(word)) {
        if (may_reuse(store, reference, word, was_moving, kind))
            sn_object_reuse(store, sn_word_offset(word), reference);
        else
            sn_object_retire(store, sn_word_offset(word), reference);
        if (!is_by_cell(kind))
            sn_entry_release(store, reference, word);
    }
    sn_slow_call_end(&store->caches);
    return sn_likely(word != 0) ? 0 : -ENOENT;
}

/* A free of what can be no handle of this store, or of no store. */
static SN_NOINLINE int
free_nothing(const handle_store *store, handle_t handle, enum kind kind)
{
    sn_check_call_named(store, about[kind].function, SN_REGISTERED, handle, NULL);
    return store ? -ENOENT : -EINVAL;
}

/* ---- the fast path --------------------------------------------------------------------------- */

/* Whether the fast path frees by a word: it names the object, which is not special, retired or
 * MOVING (a plain store could not end it; and its header says whether it is special). A cell's word
 * that names nothing is 0, which lies in no bin's block: there is no room for it. */
SN_FORCE_INLINE bool
is_fit(uint64_t word, handle_t handle, enum kind kind)
{
    const uint64_t zero = SN_WORD_KIND ^ SN_WORD_LIVE;
    if (is_by_cell(kind))
        return (word & zero) == 0;
    return (sn_word_mismatch(word, handle) & (HANDLE_MATCH_MASK | zero)) == 0;
}

/* Between enter and leave: whether the thread keeps the slot, and the entry. */
SN_FORCE_INLINE bool
has_room(handle_store *store, struct sn_thread_cache *cache, uint64_t word, unsigned class_id,
         enum kind kind)
{
    if (!is_by_cell(kind) && (sn_unlikely(!sn_cache_has_room_for_index(cache)) ||
                              sn_unlikely(sn_table_is_used_up(&store->table, word))))
        return false;
    return is_at_once(kind) ? sn_cache_has_room(cache, class_id) : sn_cache_retires(cache);
}

/* Ends the word. False: it has changed since it was loaded. */
SN_FORCE_INLINE bool
end_word(uint64_t *reference, uint64_t word, enum kind kind)
{
    if (kind == FREE) /* acquire-release, as in end_by_cas (G4) */
        return sn_likely(sn_cas_acq_rel(reference, &word, sn_table_free_word(word)));
    /* A plain store (G4): LIVE was loaded in the caller's section. Should the mover have marked R
     * in between, its grace period waits for this section, and it then finds the header of S not
     * naming R, or R not MOVING. */
    sn_store_relaxed(reference, is_by_cell(kind) ? 0 : sn_table_free_word(word));
    return true;
}

/* Ends the object, whose word has ended, in a store that is not hardened. */
SN_FORCE_INLINE void
end_object(handle_store *store, struct sn_thread_cache *cache, uint64_t slot, unsigned class_id,
           enum kind kind)
{
    /* In no section: until the CAS the object may have moved, or been resized, even there and back;
     * from now on its slot stays what it is. That it is still one of a class, the word says: none
     * begins a block, as large objects do. */
    if (kind == FREE)
        class_id = sn_object_class(store, slot);
    if (is_at_once(kind))
        sn_object_reuse_fast(store, cache, class_id, slot);
    else
        sn_object_retire_fast(store, cache, class_id, slot);
}

/* Between enter and leave: the fast path, by a word that is fit. False: nothing was done. */
SN_FORCE_INLINE bool
free_inside(handle_store *store, struct sn_thread_cache *cache, uint64_t *reference, uint64_t word,
            uint64_t slot, unsigned class_id, enum kind kind, bool hardened)
{
    if (sn_unlikely(!has_room(store, cache, word, class_id, kind) ||
                    !end_word(reference, word, kind)))
        return false;
    if (!hardened)
        end_object(store, cache, slot, class_id, kind);
    else if (is_at_once(kind))
        sn_hardened_reuse(store, cache, class_id, slot, reference);
    else
        sn_hardened_retire(store, cache, slot, reference);
    if (!is_by_cell(kind))
        sn_cache_push_index(cache, sn_entry_of(store, reference));
    return true;
}

/* The fast path in the thread's cache, which was entered; leaves it. */
SN_FORCE_INLINE int
free_in_cache(handle_store *store, struct sn_thread_cache *cache, uint64_t *reference,
              handle_t handle, uint64_t word, uint64_t slot, unsigned class_id, enum kind kind,
              bool hardened)
{
    bool freed = free_inside(store, cache, reference, word, slot, class_id, kind, hardened);
    sn_cache_leave(cache);
    return sn_likely(freed) ? 0 : free_slow(store, reference, handle, kind);
}

/* The fast path of hardened stores, once the word was loaded and found fit; in others, the slow
 * one. Of a handle's object it gets the word, of a cell's the slot, which is all of the
 * word that is needed any more. */
SN_FORCE_INLINE int
free_hardened(handle_store *store, uint64_t *reference, handle_t handle, uint64_t word_or_slot,
              enum kind kind)
{
    if (sn_unlikely(!store->hardened))
        return free_slow(store, reference, handle, kind);
    sn_check_entry_inline(store, about[kind].function, about[kind].place, handle,
                          cell_of(reference, kind));
    if (is_by_cell(kind))
        sn_inner_check(store, reference);
    struct sn_thread_cache *cache = sn_cache_try_enter_hardened(&store->caches, store);
    if (sn_unlikely(!cache))
        return free_slow(store, reference, handle, kind);
    uint64_t slot = is_by_cell(kind) ? word_or_slot : sn_word_offset(word_or_slot);
    return free_in_cache(store, cache, reference, handle, word_or_slot, slot,
                         sn_object_bin(store, slot), kind, true);
}

static SN_OUTLINE int
handle_free_hardened(handle_store *store, uint64_t *reference, handle_t handle, uint64_t word)
{
    return free_hardened(store, reference, handle, word, FREE);
}

static SN_OUTLINE int
handle_free_now_hardened(handle_store *store, uint64_t *reference, handle_t handle, uint64_t word)
{
    return free_hardened(store, reference, handle, word, FREE_NOW);
}

static SN_OUTLINE int
cell_free_hardened(handle_store *store, uint64_t *reference, uint64_t slot)
{
    return free_hardened(store, reference, HANDLE_NULL, slot, CELL_FREE);
}

static SN_OUTLINE int
cell_free_now_hardened(handle_store *store, uint64_t *reference, uint64_t slot)
{
    /* Who turns a header looks at it although its object may have ended (G13), or was relocated
     * before; memory that is used again may be a guard's. */
    if (sn_unlikely(store->options.cells && sn_object_bin(store, slot) != SN_CLASS_NONE))
        return free_hardened(store, reference, HANDLE_NULL, slot, CELL_FREE);
    return free_hardened(store, reference, HANDLE_NULL, slot, CELL_FREE_NOW);
}

SN_FORCE_INLINE int
free_in_hardened(handle_store *store, uint64_t *reference, handle_t handle, uint64_t word,
                 uint64_t slot, enum kind kind)
{
    switch (kind) {
    case FREE:
        return handle_free_hardened(store, reference, handle, word);
    case FREE_NOW:
        return handle_free_now_hardened(store, reference, handle, word);
    case CELL_FREE:
        return cell_free_hardened(store, reference, slot);
    default:
        return cell_free_now_hardened(store, reference, slot);
    }
}

/* ---- the public functions -------------------------------------------------------------------- */

/* What the fast path goes by: the word, its slot and the class of its bin. False: it cannot. */
SN_FORCE_INLINE bool
load_fit(const handle_store *store, const uint64_t *reference, handle_t handle, enum kind kind,
         uint64_t *word, uint64_t *slot, unsigned *class_id)
{
    /* Acquire where a plain store ends the word; else the CAS is one. */
    *word = kind == FREE ? sn_load_relaxed(reference) : sn_load_acquire(reference);
    *slot = sn_word_offset(*word);
    *class_id = sn_object_bin(store, *slot);
    sn_hook(SN_HOOK_FREE_LOADED, reference);
    return sn_likely(is_fit(*word, handle, kind) &&
                     (is_at_once(kind) || *class_id != SN_CLASS_NONE));
}

SN_FORCE_INLINE int
free_named(handle_store *store, uint64_t *reference, handle_t handle, enum kind kind)
{
    uint64_t word, slot;
    unsigned class_id;
    if (!load_fit(store, reference, handle, kind, &word, &slot, &class_id))
        return free_slow(store, reference, handle, kind);
    struct sn_thread_cache *cache = sn_cache_try_enter(&store->caches, store);
    if (sn_unlikely(!cache))
        return free_in_hardened(store, reference, handle, word, slot, kind);
    return free_in_cache(store, cache, reference, handle, word, slot, class_id, kind, false);
}

SN_FORCE_INLINE int
free_handle(handle_store *store, handle_t handle, enum kind kind)
{
    uint64_t *reference = sn_store_word(store, handle);
    if (sn_unlikely(!reference))
        return free_nothing(store, handle, kind);
    return free_named(store, reference, handle, kind);
}

SN_FORCE_INLINE int
free_cell(handle_store *store, handle_cell *cell, enum kind kind)
{
    if (sn_unlikely(!store || !cell))
        return -EINVAL;
    if (SN_DEBUG)
        sn_inner_check(store, &cell->word);
    return free_named(store, &cell->word, HANDLE_NULL, kind);
}

int
handle_free(handle_store *store, handle_t handle)
{
    sn_check_call_debug(store, SN_REGISTERED, handle, NULL);
    return free_handle(store, handle, FREE);
}

int
handle_free_now(handle_store *store, handle_t handle)
{
    sn_check_call_debug(store, SN_IN_SECTION, handle, NULL);
    return free_handle(store, handle, FREE_NOW);
}

int
handle_cell_free(handle_store *store, handle_cell *cell)
{
    sn_check_call_debug(store, SN_IN_SECTION, HANDLE_NULL, cell);
    return free_cell(store, cell, CELL_FREE);
}

int
handle_cell_free_now(handle_store *store, handle_cell *cell)
{
    sn_check_call_debug(store, SN_IN_SECTION, HANDLE_NULL, cell);
    return free_cell(store, cell, CELL_FREE_NOW);
}

/* ---- many at once ---------------------------------------------------------------------------- */

/* Between enter and leave. False: nothing was done. */
SN_FORCE_INLINE bool
free_one_inside(handle_store *store, struct sn_thread_cache *cache, uint64_t *reference,
                handle_t handle, enum kind kind)
{
    uint64_t word, slot;
    unsigned class_id;
    if (SN_DEBUG && is_by_cell(kind) && reference)
        sn_inner_check(store, reference);
    return sn_likely(reference != NULL) &&
           load_fit(store, reference, handle, kind, &word, &slot, &class_id) &&
           free_inside(store, cache, reference, word, slot, class_id, kind, false);
}

/* What the i-th of many names: handles, or cells. */
SN_FORCE_INLINE uint64_t *
reference_of(const handle_store *store, const void *many, size_t i, enum kind kind)
{
    if (kind == FREE)
        return sn_store_word(store, ((const handle_t *)many)[i]);
    handle_cell *cell = ((handle_cell *const *)many)[i];
    return cell ? &cell->word : NULL;
}

SN_FORCE_INLINE handle_t
handle_of(const void *many, size_t i, enum kind kind)
{
    return kind == FREE ? ((const handle_t *)many)[i] : HANDLE_NULL;
}

/* By the fast path, in their order, until it gives up. Result: how many. */
SN_FORCE_INLINE size_t
free_group(handle_store *store, const void *many, size_t from, size_t to, enum kind kind)
{
    struct sn_thread_cache *cache = sn_cache_try_enter(&store->caches, store);
    if (sn_unlikely(!cache))
        return 0;
    for (size_t i = from; i < to; i++)
        __builtin_prefetch(reference_of(store, many, i, kind), 1);
    size_t at = from;
    while (at < to && free_one_inside(store, cache, reference_of(store, many, at, kind),
                                      handle_of(many, at, kind), kind))
        at++;
    sn_cache_leave(cache);
    return at - from;
}

SN_FORCE_INLINE size_t
free_many(handle_store *store, const void *many, size_t n, enum kind kind)
{
    size_t freed = 0;
    for (size_t at = 0; at < n;) {
        size_t end = at + sn_min(n - at, SN_OBJECT_GROUP);
        size_t fast = free_group(store, many, at, end, kind);
        freed += fast;
        at += fast;
        if (at == end)
            continue;
        freed += (kind == FREE ? handle_free(store, ((const handle_t *)many)[at])
                               : handle_cell_free(store, ((handle_cell *const *)many)[at])) == 0;
        at++;
    }
    return freed;
}

size_t
handle_free_many(handle_store *store, const handle_t *handles, size_t n)
{
    sn_check_call(store, SN_REGISTERED, HANDLE_NULL, NULL);
    return store && handles ? free_many(store, handles, n, FREE) : 0;
}

size_t
handle_cell_free_many(handle_store *store, handle_cell *const *cells, size_t n)
{
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, NULL);
    return store && cells ? free_many(store, cells, n, CELL_FREE) : 0;
}
