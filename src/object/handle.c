/* SPDX-License-Identifier: MIT */
/*
 * handle.c - objects named by handles: the public functions, with their fast paths. What happens
 * below the name is in object.c; the protocol's guarantees stand in reference.h.
 */
#include "object/hardened_object.h"
#include "object/reserve.h"
#include "object/shortage.h"

/* ---- resolving ------------------------------------------------------------------------------- */

static bool
names(uint64_t word, handle_t handle)
{
    return (sn_word_mismatch(word, handle) & HANDLE_MATCH_MASK) == 0;
}

/* That, and a free may be fast: the object is not retired (nor unmovable). */
static bool
names_unretired(uint64_t word, handle_t handle)
{
    return (sn_word_mismatch(word, handle) & (HANDLE_MATCH_MASK | SN_WORD_UNMOVABLE)) == 0;
}

/* That, and it is not MOVING. */
static bool
names_unmarked(uint64_t word, handle_t handle)
{
    return (sn_word_mismatch(word, handle) & (HANDLE_MATCH_MASK | SN_WORD_STATE)) == 0;
}

void *
handle_deref_mut(handle_store *store, handle_t handle)
{
    sn_check_call(store, SN_IN_SECTION, handle, NULL);
    uint64_t *reference = sn_store_word(store, handle);
    if (sn_unlikely(!reference))
        return NULL;
    uint64_t word =
        sn_reference_cancel_move(reference, sn_word_of_handle(handle), HANDLE_MATCH_MASK);
    return sn_likely(names(word, handle)) ? sn_store_address(store, sn_word_offset(word)) : NULL;
}

size_t
handle_deref_many(const handle_store *store, const handle_t *handles, const void **objects,
                  size_t n)
{
    sn_check_call_in_signal(store, NULL);
    enum { GROUP = 16 }; /* about as many misses as a core keeps in flight */
    size_t live = 0;
    if (!store || (n > 0 && (!handles || !objects)))
        return 0;
    for (size_t begin = 0; begin < n; begin += GROUP) {
        size_t end = begin + GROUP < n ? begin + GROUP : n;
        for (size_t i = begin; i < end; i++) {
            const uint64_t *reference = sn_store_word(store, handles[i]);
            if (reference)
                __builtin_prefetch(reference);
        }
        for (size_t i = begin; i < end; i++) {
            objects[i] = handle_deref(store, handles[i]);
            __builtin_prefetch(objects[i]);
            live += objects[i] != NULL;
        }
    }
    return live;
}

size_t
handle_size(const handle_store *store, handle_t handle)
{
    sn_check_call(store, SN_IN_SECTION, handle, NULL);
    const uint64_t *reference = sn_store_word(store, handle);
    size_t size;
    if (!reference ||
        !sn_object_read_size(store, reference, sn_word_of_handle(handle), HANDLE_MATCH_MASK, &size))
        return 0;
    return size;
}

/* ---- allocation ------------------------------------------------------------------------------ */

/* Taken from the table, or given back to it. */
#define INDEXES_AT_ONCE (SN_CACHE_INDEXES / 2)

/* A free table entry when the thread has none cached. 0: no memory. */
static uint64_t
try_take_index(handle_store *store, void *unused)
{
    struct sn_thread_cache *cache = sn_cache_self(&store->caches);
    uint64_t entry = 0;
    (void)unused;
    if (!cache->shared && sn_cache_enter(cache)) {
        if (sn_cache_index_count(cache) == 0) {
            cache->indexes_ran_dry = true;
            sn_cache_set_index_count(cache,
                                     sn_table_take(&store->table, cache->indexes, INDEXES_AT_ONCE));
        }
        entry = sn_cache_pop_index(cache);
        sn_cache_leave(cache);
        return entry;
    }
    if (!cache->shared)
        sn_cache_leave(cache);
    return sn_table_take(&store->table, &entry, 1) ? entry : 0;
}

/* The table grows by pages, which stand against max_bytes as slots do. */
static SN_NOINLINE uint64_t
take_index(handle_store *store)
{
    uint64_t entry = try_take_index(store, NULL);
    static const struct sn_need need = {.bytes = SN_PAGE_BYTES,
                                        .page_bytes = SN_PAGE_BYTES,
                                        .class_id = SN_CLASS_NONE,
                                        .index = true};
    if (sn_unlikely(entry == 0))
        return sn_shortage_resolve(store, &need, try_take_index, NULL);
    sn_shortage_end_wait(store, SN_CLASS_NONE, true);
    return entry;
}

static SN_NOINLINE void
put_index(handle_store *store, struct sn_thread_cache *cache, uint64_t entry)
{
    bool kept = false;
    if (!cache->shared) {
        if (sn_cache_enter(cache)) {
            if (!sn_cache_has_room_for_index(cache) &&
                !sn_cache_grow_indexes(&store->caches, cache)) {
                uint32_t kept_count = sn_cache_index_count(cache) - INDEXES_AT_ONCE;
                sn_cache_set_index_count(cache, kept_count);
                sn_table_put(&store->table, cache->indexes + kept_count, INDEXES_AT_ONCE);
            }
            sn_cache_push_index(cache, entry);
            kept = true;
        }
        sn_cache_leave(cache);
    }
    if (!kept)
        sn_table_put(&store->table, &entry, 1);
}

/* sn_table_word, and its inverse: the table lies at a constant distance from the store. */
static inline uint64_t *
word_at(handle_store *store, uint64_t entry)
{
    return (uint64_t *)(void *)((char *)store + HANDLE_TABLE_OFFSET + entry);
}

static inline uint64_t
offset_of(const handle_store *store, const uint64_t *reference)
{
    return (uint64_t)((const char *)reference - (const char *)store) - HANDLE_TABLE_OFFSET;
}

/* G9: the object is LIVE from here on. word: without its tag. */
SN_FORCE_INLINE handle_t
publish_word(handle_store *store, uint64_t entry, uint64_t word)
{
    uint64_t *reference = word_at(store, entry);
    uint64_t tag = sn_load_relaxed(reference); /* in a free word that was taken is nothing else */
    /* Release: orders header (and zeroed contents) before the word; pairs with deref's acquire. */
    sn_store_release(reference, tag + word);
    return sn_table_handle_at(entry, tag);
}

SN_FORCE_INLINE handle_t
publish(handle_store *store, uint64_t entry, uint64_t slot, unsigned flags, void **object)
{
    handle_t handle = publish_word(store, entry, sn_object_word(0, slot, flags));
    if (object)
        *object = sn_store_address(store, slot);
    return handle;
}

static handle_t
alloc_by_parts(handle_store *store, size_t size, unsigned flags, void **object)
{
    uint64_t entry = take_index(store);
    if (!entry)
        return HANDLE_NULL;
    uint64_t slot = sn_slot_acquire(store, size, flags);
    if (!slot) {
        int error = errno;
        put_index(store, sn_cache_self(&store->caches), entry);
        errno = error;
        return HANDLE_NULL;
    }
    sn_object_set_owner_any(store, slot, size, sn_table_word(&store->table, entry));
    return publish(store, entry, slot, flags, object);
}

/* handle_alloc asks for less: nothing is filled in the caller's section. */
static inline void
check_alloc(const handle_store *store, unsigned flags, void **object)
{
    bool plain = !object && flags == 0;
    if (store && sn_checks_entries(store))
        sn_check_entry_inline(store, plain ? "handle_alloc" : "handle_alloc_object",
                              plain ? SN_REGISTERED : SN_IN_SECTION, HANDLE_NULL, NULL);
}

static SN_NOINLINE handle_t
alloc_slow(handle_store *store, size_t size, unsigned flags, void **object)
{
    if (object || flags != 0)
        sn_check_call_named(store, "handle_alloc_object", SN_IN_SECTION, HANDLE_NULL, NULL);
    else
        sn_check_call_named(store, "handle_alloc", SN_REGISTERED, HANDLE_NULL, NULL);
    if (object)
        *object = NULL;
    if (!store || (flags & ~(unsigned)(HANDLE_ZERO | HANDLE_UNMOVABLE))) {
        errno = EINVAL;
        return HANDLE_NULL;
    }
    sn_slow_call_begin(&store->caches);
    handle_t handle = alloc_by_parts(store, size, flags, object);
    sn_slow_call_end(&store->caches);
    return handle;
}

/* The fast path of hardened stores; where there is none, the slow path. */
static SN_OUTLINE handle_t
alloc_hardened(handle_store *store, size_t size, void **object)
{
    if (sn_unlikely(!store->hardened))
        return alloc_slow(store, size, 0, object);
    check_alloc(store, 0, object);
    unsigned class_id = sn_class_for(&store->classes, size + SN_CANARY_MIN_BYTES);
    struct sn_thread_cache *cache = sn_cache_try_enter_hardened(&store->caches, store);
    if (sn_unlikely(!cache))
        return alloc_slow(store, size, 0, object);
    uint64_t slot;
    handle_t handle = HANDLE_NULL;
    if (sn_likely(sn_cache_index_count(cache) > 0) &&
        sn_likely((slot = sn_hardened_take(store, cache, class_id, size)) != 0)) {
        uint64_t entry = sn_cache_pop_index(cache);
        sn_object_set_owner(store, slot, size, word_at(store, entry));
        handle = publish(store, entry, slot, 0, object);
    }
    sn_cache_leave(cache);
    return sn_likely(handle != HANDLE_NULL) ? handle : alloc_slow(store, size, 0, object);
}

/* The fast path, of a class; small: its sizes are whole in a header. */
SN_FORCE_INLINE handle_t
alloc_of_class(handle_store *store, size_t size, unsigned class_id, bool small, void **object)
{
    struct sn_thread_cache *cache = sn_cache_try_enter(&store->caches, store);
    if (sn_unlikely(!cache))
        return small ? alloc_hardened(store, size, object) : alloc_slow(store, size, 0, object);
    /* Both or none. */
    uint64_t **top = sn_cache_top(cache, class_id), *slots = *top, *indexes = cache->index_top;
    uint64_t slot = slots[-1], entry = indexes[-1];
    if (sn_unlikely(slot == 0) || sn_unlikely(entry == 0)) {
        sn_cache_leave(cache);
        return alloc_slow(store, size, 0, object);
    }
    sn_store_relaxed(top, slots - 1);
    sn_store_relaxed(&cache->index_top, indexes - 1);
    sn_object_set_owner(store, slot, small ? size : size & SN_HEADER_SIZE, word_at(store, entry));
    handle_t handle = publish(store, entry, slot, 0, object);
    sn_cache_leave(cache);
    return handle;
}

static SN_OUTLINE handle_t
alloc_medium(handle_store *store, size_t size, unsigned flags, void **object)
{
    if (!store || !sn_class_is_medium(&store->classes, size, flags))
        return alloc_slow(store, size, flags, object);
    return alloc_of_class(store, size, sn_class_for(&store->classes, size), false, object);
}

handle_t
handle_alloc_object(handle_store *store, size_t size, unsigned flags, void **object)
{
    if (SN_DEBUG)
        check_alloc(store, flags, object);
    if (sn_unlikely(!sn_class_is_in_table(size, flags)))
        return alloc_medium(store, size, flags, object);
    if (sn_unlikely(!store))
        return alloc_slow(store, size, flags, object);
    return alloc_of_class(store, size, sn_class_by_table(&store->classes, size), true, object);
}

handle_t
handle_alloc(handle_store *store, size_t size)
{
    return handle_alloc_object(store, size, 0, NULL);
}

/* ---- publish --------------------------------------------------------------------------------- */

static SN_NOINLINE handle_t
publish_slow(handle_store *store, struct sn_reserved *reserved)
{
    sn_check_call_named(store, "handle_publish", SN_REGISTERED, HANDLE_NULL, NULL);
    if (!sn_reserved_is(store, reserved)) {
        errno = EINVAL;
        return HANDLE_NULL;
    }
    handle_t handle = HANDLE_NULL;
    sn_slow_call_begin(&store->caches);
    uint64_t entry = take_index(store);
    if (entry) {
        sn_reserved_publish_slow(store, reserved, sn_table_word(&store->table, entry));
        handle = publish_word(store, entry, reserved->word);
    }
    sn_slow_call_end(&store->caches);
    return handle;
}

handle_t
handle_publish(handle_store *store, struct handle_reserved *public_reserved)
{
    sn_check_call_debug(store, SN_REGISTERED, HANDLE_NULL, NULL);
    struct sn_reserved *reserved = sn_reserved(public_reserved);
    if (!sn_reserved_has_class(store, reserved))
        return publish_slow(store, reserved);
    struct sn_thread_cache *cache = sn_cache_try_enter(&store->caches, store);
    if (sn_unlikely(!cache))
        return publish_slow(store, reserved);
    uint64_t entry = sn_cache_pop_index(cache);
    if (sn_unlikely(entry == 0)) {
        sn_cache_leave(cache);
        return publish_slow(store, reserved);
    }
    sn_reserved_publish(store, cache, reserved, word_at(store, entry));
    handle_t handle = publish_word(store, entry, reserved->word);
    sn_cache_leave(cache);
    return handle;
}

/* ---- free ------------------------------------------------------------------------------------ */

/* Ends the word by CAS (G4). Result: the word that ended, 0 when somebody else was first. */
static uint64_t
end_by_cas(uint64_t *reference, handle_t handle)
{
    /* Acquire: the header is read after it, by the winner. */
    uint64_t word = sn_load_acquire(reference);
    sn_hook(SN_HOOK_FREE_LOADED, reference);
    while (names(word, handle)) {
        /* Of a retired object only the name ends here: the slot is in a list, which needs it. */
        uint64_t want =
            sn_word_is_retired(word) ? sn_table_void_word(word) : sn_table_free_word(word);
        if (sn_cas_acq_rel(reference, &word, want))
            return word;
    }
    return 0;
}

static void
release_index(handle_store *store, const uint64_t *reference, uint64_t word)
{
    if (sn_unlikely(sn_table_is_used_up(&store->table, word)))
        sn_table_note_dead(&store->table);
    else
        put_index(store, sn_cache_self(&store->caches), sn_table_offset(&store->table, reference));
}

/* A free of what can be no handle of this store, or of no store. */
static SN_NOINLINE int
free_nothing(const handle_store *store, const char *function, handle_t handle)
{
    sn_check_call_named(store, function, SN_REGISTERED, handle, NULL);
    return store ? -ENOENT : -EINVAL;
}

/* The slow path: something there is pinned, the thread kept out of its cache, the object large. */
static SN_NOINLINE int
free_slow(handle_store *store, uint64_t *reference, handle_t handle)
{
    sn_check_call_named(store, "handle_free", SN_REGISTERED, handle, NULL);
    sn_slow_call_begin(&store->caches);
    uint64_t word = end_by_cas(reference, handle);
    if (sn_likely(word != 0) && !sn_word_is_retired(word)) {
        sn_object_retire(store, sn_word_offset(word), reference);
        release_index(store, reference, word);
    }
    sn_slow_call_end(&store->caches);
    return sn_likely(word != 0) ? 0 : -ENOENT;
}

/* Between enter and leave, for both frees: whether the thread keeps the table entry and the word
 * can be ended. */
static inline bool
ends_fast(handle_store *store, const struct sn_thread_cache *cache, uint64_t word)
{
    return sn_likely(sn_cache_has_room_for_index(cache)) &&
           sn_likely(!sn_table_is_used_up(&store->table, word));
}

/* The same for handle_free, and ends it: by CAS, acquire-release (G4), as in end_by_cas. */
static inline bool
end_shared(handle_store *store, const struct sn_thread_cache *cache, uint64_t *reference,
           uint64_t word)
{
    return ends_fast(store, cache, word) && sn_cache_retires(&store->caches, cache) &&
           sn_likely(sn_cas_acq_rel(reference, &word, sn_table_free_word(word)));
}

/* The fast path of hardened stores, once the word was loaded and found fit for one; where there is
 * none, the slow one. */
static SN_OUTLINE int
free_hardened(handle_store *store, uint64_t *reference, handle_t handle, uint64_t word)
{
    struct sn_thread_cache *cache =
        sn_hardened_begin_free(store, "handle_free", SN_REGISTERED, handle, NULL);
    if (sn_unlikely(!cache))
        return free_slow(store, reference, handle);
    bool ended = end_shared(store, cache, reference, word);
    if (sn_likely(ended)) {
        sn_hardened_retire(store, cache, sn_word_offset(word), reference);
        sn_cache_push_index(cache, offset_of(store, reference));
    }
    sn_cache_leave(cache);
    return sn_likely(ended) ? 0 : free_slow(store, reference, handle);
}

int
handle_free(handle_store *store, handle_t handle)
{
    sn_check_call_debug(store, SN_REGISTERED, handle, NULL);
    uint64_t *reference = sn_store_word(store, handle);
    if (sn_unlikely(!reference))
        return free_nothing(store, __func__, handle);
    uint64_t word = sn_load_relaxed(reference);
    uint64_t slot = sn_word_offset(word);
    sn_hook(SN_HOOK_FREE_LOADED, reference);
    if (sn_unlikely(!names_unretired(word, handle) || sn_object_bin(store, slot) == SN_CLASS_NONE))
        return free_slow(store, reference, handle);

    struct sn_thread_cache *cache = sn_cache_try_enter(&store->caches, store);
    if (sn_unlikely(!cache))
        return free_hardened(store, reference, handle, word);
    if (sn_unlikely(!end_shared(store, cache, reference, word))) {
        sn_cache_leave(cache);
        return free_slow(store, reference, handle);
    }
    /* In no section: until the CAS the object may have moved, or been resized, even there and back;
     * from now on its slot stays what it is. That it is still one of a class, the word says: none
     * begins a block, as large objects do. */
    sn_object_retire_fast(store, cache, sn_object_class(store, slot), slot);
    sn_cache_push_index(cache, offset_of(store, reference));
    sn_cache_leave(cache);
    return 0;
}

/* The slow path: the same, or a move is pending. */
static SN_NOINLINE int
free_now_slow(handle_store *store, uint64_t *reference, handle_t handle)
{
    sn_check_call_named(store, "handle_free_now", SN_IN_SECTION, handle, NULL);
    uint64_t seen = sn_load_acquire(reference);
    sn_slow_call_begin(&store->caches);
    uint64_t word = end_by_cas(reference, handle);
    if (word == 0 || sn_word_is_retired(word)) {
        sn_slow_call_end(&store->caches);
        return word == 0 ? -ENOENT : 0;
    }
    /* Found MOVING: the mover may still read the slot, so it is retired (G4). */
    if (sn_word_is_moving(word) || sn_word_is_moving(seen))
        sn_object_retire(store, sn_word_offset(word), reference);
    else
        sn_object_reuse(store, sn_word_offset(word), reference);
    release_index(store, reference, word);
    sn_slow_call_end(&store->caches);
    return 0;
}

static SN_OUTLINE int
free_now_hardened(handle_store *store, uint64_t *reference, handle_t handle, uint64_t word)
{
    struct sn_thread_cache *cache =
        sn_hardened_begin_free(store, "handle_free_now", SN_IN_SECTION, handle, NULL);
    if (sn_unlikely(!cache))
        return free_now_slow(store, reference, handle);
    if (sn_unlikely(!ends_fast(store, cache, word) ||
                    !sn_hardened_has_room(store, cache, sn_word_offset(word)))) {
        sn_cache_leave(cache);
        return free_now_slow(store, reference, handle);
    }
    sn_store_relaxed(reference, sn_table_free_word(word)); /* G4, as in handle_free_now */
    sn_hardened_reuse(store, cache, sn_word_offset(word), reference);
    sn_cache_push_index(cache, offset_of(store, reference));
    sn_cache_leave(cache);
    return 0;
}

int
handle_free_now(handle_store *store, handle_t handle)
{
    sn_check_call_debug(store, SN_IN_SECTION, handle, NULL);
    uint64_t *reference = sn_store_word(store, handle);
    if (sn_unlikely(!reference))
        return free_nothing(store, __func__, handle);
    uint64_t word = sn_load_acquire(reference);
    uint64_t slot = sn_word_offset(word);
    unsigned class_id = sn_object_bin(store, slot);
    sn_hook(SN_HOOK_FREE_LOADED, reference);
    if (sn_unlikely(!names_unmarked(word, handle)))
        return free_now_slow(store, reference, handle);

    struct sn_thread_cache *cache = sn_cache_try_enter(&store->caches, store);
    if (sn_unlikely(!cache))
        return free_now_hardened(store, reference, handle, word);
    if (sn_unlikely(!ends_fast(store, cache, word) || !sn_cache_has_room(cache, class_id))) {
        sn_cache_leave(cache);
        return free_now_slow(store, reference, handle);
    }
    /* Plain stores (G4): LIVE was loaded in the caller's section. Should the mover have marked R in
     * between, its grace period waits for this section, and it then finds the header of S not
     * naming R, or R not MOVING. */
    sn_store_relaxed(reference, sn_table_free_word(word));
    sn_object_reuse_fast(store, cache, class_id, slot);
    sn_cache_push_index(cache, offset_of(store, reference));
    sn_cache_leave(cache);
    return 0;
}

/* ---- resize and clear ------------------------------------------------------------------------ */

int
handle_resize(handle_store *store, handle_t handle, size_t size)
{
    sn_check_call(store, SN_REGISTERED, handle, NULL);
    uint64_t *reference = sn_store_word(store, handle);
    if (!reference)
        return store ? -ENOENT : -EINVAL;
    sn_rcu_read_lock(store->rcu);
    int result =
        sn_object_resize(store, reference, sn_word_of_handle(handle), HANDLE_MATCH_MASK, size);
    sn_rcu_read_unlock(store->rcu);
    sn_object_give_way(store); /* now it may */
    return result;
}

int
handle_store_clear(handle_store *store)
{
    sn_check_call(store, SN_REGISTERED, HANDLE_NULL, NULL);
    if (!store)
        return -EINVAL;
    uint64_t end = (uint64_t)sn_load_relaxed(&store->table.high) << SN_PAGE_SHIFT;
    for (uint64_t entry = 0; entry < end; entry += 8) {
        uint64_t word = sn_load_relaxed(sn_table_word(&store->table, entry));
        if (sn_word_has_object(word))
            (void)handle_free(
                store, sn_table_handle(&store->table, sn_table_word(&store->table, entry), word));
    }
    return 0;
}
