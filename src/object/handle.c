/* SPDX-License-Identifier: MIT */
/*
 * handle.c - objects named by handles: resolve, allocate, publish, resize, clear, with their fast
 * paths; frees are in free.c. What happens below the name is in object.c; the protocol's guarantees
 * stand in reference.h.
 */
#include "object/entry.h"
#include "object/hardened_object.h"
#include "object/inner.h"
#include "object/reserve.h"

/* ---- resolving ------------------------------------------------------------------------------- */

static bool
names(uint64_t word, handle_t handle)
{
    return (sn_word_mismatch(word, handle) & HANDLE_MATCH_MASK) == 0;
}

void *
handle_deref_mut(handle_store *store, handle_t handle)
{
    sn_check_call(store, SN_IN_SECTION, handle, NULL);
    uint64_t *reference = sn_store_word(store, handle);
    if (sn_unlikely(!reference))
        return NULL;
    uint64_t word =
        sn_reference_cancel_move(store, reference, sn_word_of_handle(handle), HANDLE_MATCH_MASK);
    return sn_likely(names(word, handle)) ? sn_store_address(store, sn_word_offset(word)) : NULL;
}

size_t
handle_deref_many(const handle_store *store, const handle_t *handles, const void **objects,
                  size_t n)
{
    sn_check_call_in_signal(store, NULL);
    size_t live = 0;
    if (!store || (n > 0 && (!handles || !objects)))
        return 0;
    for (size_t begin = 0; begin < n; begin += SN_OBJECT_GROUP) {
        size_t end = sn_min(n, begin + SN_OBJECT_GROUP);
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
    uint64_t want = sn_word_of_handle(handle), slot;
    size_t size;
    bool live =
        reference && sn_object_read_size(store, reference, want, HANDLE_MATCH_MASK, &size, &slot);
    return live ? size : 0;
}

/* ---- allocation ------------------------------------------------------------------------------ */

/* G9: the object is LIVE from here on. word: without its tag. */
SN_FORCE_INLINE handle_t
publish_word(handle_store *store, uint64_t entry, uint64_t word)
{
    uint64_t *reference = sn_entry_word(store, entry);
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
    uint64_t entry = sn_entry_take(store);
    if (!entry)
        return HANDLE_NULL;
    uint64_t slot = sn_slot_acquire(store, size, flags);
    if (!slot) {
        int error = errno;
        sn_entry_put(store, entry);
        errno = error;
        return HANDLE_NULL;
    }
    sn_object_set_owner_any(store, slot, size, sn_table_word(&store->table, entry));
    sn_object_note_flags(store, slot, flags);
    sn_profile_see(store, slot, size);
    return publish(store, entry, slot, flags, object);
}

/* handle_alloc gives no address, so that it need not be called inside a section. */
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
    if (!store || !sn_object_flags_fit(store, &flags)) {
        errno = EINVAL;
        return HANDLE_NULL;
    }
    sn_slow_call_begin(&store->caches);
    handle_t handle = alloc_by_parts(store, size, flags, object);
    sn_slow_call_end(&store->caches);
    return handle;
}

/* The fast path of hardened stores; in others, the slow path. */
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
    handle_t handle = HANDLE_NULL;
    if (sn_likely(sn_cache_index_count(cache) > 0) &&
        sn_likely(sn_cache_has_slot(cache, class_id)) && !sn_cache_is_drawn(cache, size)) {
        uint64_t slot = sn_hardened_take(store, cache, class_id, size);
        uint64_t entry = sn_cache_pop_index(cache);
        sn_object_set_owner(store, slot, size, sn_entry_word(store, entry));
        handle = publish(store, entry, slot, 0, object);
    }
    sn_cache_leave(cache);
    return sn_likely(handle != HANDLE_NULL) ? handle : alloc_slow(store, size, 0, object);
}

/* The fast path between enter and leave, of a class; small: its sizes are whole in a header. False:
 * nothing was done. */
SN_FORCE_INLINE bool
alloc_inside(handle_store *store, struct sn_thread_cache *cache, size_t size, unsigned class_id,
             bool small, handle_t *handle, void **object)
{
    /* Both or none. */
    uint64_t **top = sn_cache_top(cache, class_id);
    uint64_t slot = (*top)[-1], entry = cache->index_top[-1];
    if (sn_unlikely(slot == 0) || sn_unlikely(entry == 0) || sn_cache_is_drawn(cache, size))
        return false;
    sn_owner_previous(top);
    sn_owner_previous(&cache->index_top);
    sn_object_set_owner(store, slot, small ? size : size & SN_HEADER_SIZE,
                        sn_entry_word(store, entry));
    *handle = publish(store, entry, slot, 0, object);
    return true;
}

/* The fast path. */
SN_FORCE_INLINE handle_t
alloc_of_class(handle_store *store, size_t size, unsigned class_id, bool small, void **object)
{
    struct sn_thread_cache *cache = sn_cache_try_enter(&store->caches, store);
    if (sn_unlikely(!cache))
        return small ? alloc_hardened(store, size, object) : alloc_slow(store, size, 0, object);
    handle_t handle;
    if (!alloc_inside(store, cache, size, class_id, small, &handle, object)) {
        sn_cache_leave(cache);
        return alloc_slow(store, size, 0, object);
    }
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

/* ---- many at once ---------------------------------------------------------------------------- */

/* By the fast path, in their order, until it gives up. Result: how many. */
static size_t
alloc_group(handle_store *store, const size_t *sizes, handle_t *handles, void **objects, size_t n)
{
    size_t largest = sn_classes_max_size(&store->classes), made = 0;
    struct sn_thread_cache *cache = sn_cache_try_enter(&store->caches, store);
    if (sn_unlikely(!cache))
        return 0;
    while (made < n && sizes[made] <= largest &&
           alloc_inside(store, cache, sizes[made], sn_class_for(&store->classes, sizes[made]),
                        false, &handles[made], objects ? &objects[made] : NULL))
        made++;
    sn_cache_leave(cache);
    return made;
}

size_t
handle_alloc_many(handle_store *store, const size_t *sizes, unsigned flags, handle_t *handles,
                  void **objects, size_t n)
{
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, NULL);
    if (!store || (n > 0 && (!sizes || !handles))) {
        errno = EINVAL;
        return 0;
    }
    size_t made = 0;
    while (made < n) {
        void **object = objects ? &objects[made] : NULL;
        size_t group = sn_min(n - made, SN_OBJECT_GROUP);
        size_t fast =
            flags == 0 ? alloc_group(store, sizes + made, handles + made, object, group) : 0;
        made += fast;
        if (fast > 0)
            continue;
        handles[made] = handle_alloc_object(store, sizes[made], flags, object);
        if (handles[made] == HANDLE_NULL)
            break;
        made++;
    }
    for (size_t i = made; i < n; i++) {
        handles[i] = HANDLE_NULL;
        if (objects)
            objects[i] = NULL;
    }
    return made;
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
    uint64_t entry = sn_entry_take(store);
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
    sn_reserved_publish(store, cache, reserved, sn_entry_word(store, entry));
    handle_t handle = publish_word(store, entry, reserved->word);
    sn_cache_leave(cache);
    return handle;
}

/* ---- resize and clear ------------------------------------------------------------------------ */

static int
resize(handle_store *store, handle_t handle, const struct sn_resize *to)
{
    uint64_t *reference = sn_store_word(store, handle);
    if (!reference)
        return store ? -ENOENT : -EINVAL;
    sn_rcu_read_lock(store->rcu);
    int result =
        sn_object_resize(store, reference, sn_word_of_handle(handle), HANDLE_MATCH_MASK, to);
    sn_rcu_read_unlock(store->rcu);
    sn_object_give_way(store); /* inside the section it did not yield */
    return result;
}

int
handle_resize(handle_store *store, handle_t handle, size_t size)
{
    sn_check_call(store, SN_REGISTERED, handle, NULL);
    return resize(store, handle, &(struct sn_resize){.size = size});
}

int
handle_resize_reserve(handle_store *store, handle_t handle, size_t size, size_t capacity)
{
    sn_check_call(store, SN_REGISTERED, handle, NULL);
    return resize(store, handle, &(struct sn_resize){size, sn_max(capacity, 1)});
}

/* Frees it; one that has cells with all that these lead to. */
static void
clear_one(handle_store *store, handle_t handle)
{
    if (sn_likely(handle_free(store, handle) != -EBUSY))
        return;
    sn_rcu_read_lock(store->rcu);
    sn_inner_empty(store, sn_store_word(store, handle), sn_word_of_handle(handle),
                   HANDLE_MATCH_MASK);
    sn_rcu_read_unlock(store->rcu);
    (void)handle_free(store, handle);
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
            clear_one(store,
                      sn_table_handle(&store->table, sn_table_word(&store->table, entry), word));
    }
    return 0;
}
