/* SPDX-License-Identifier: MIT */
/* retire.c - see object/retire.h. */
#include "object/retire.h"

#include "core/misuse.h"
#include "core/report.h"
#include "object/inner.h"

/* ---- begin ----------------------------------------------------------------------------------- */

static void
push(handle_store *store, uint64_t *reference, uint64_t slot, uint64_t size)
{
    uint64_t *header = sn_header_of(&store->pool, slot);
    uint64_t top = sn_load_relaxed(&store->retired);
    sn_add_relaxed(&store->retired_entries, 1);
    /* Release: orders the links before the list's publication; pairs with the acquire in
     * sn_retired_take. */
    do
        sn_store_relaxed(header, sn_header_make_retired(size, top));
    while (!__atomic_compare_exchange_n(&store->retired, &top,
                                        sn_table_offset(&store->table, reference), true,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    sn_hook(SN_HOOK_RETIRE_LISTED, reference);
}

/* Whether the word matches, and has not been retired: then it is, by one CAS (G4). */
static bool
retire_word(uint64_t *reference, handle_t handle, uint64_t *word)
{
    /* Acquire: the header is read after it, by the winner. */
    *word = sn_load_acquire(reference);
    while ((sn_word_mismatch(*word, handle) & HANDLE_MATCH_MASK) == 0 &&
           !sn_word_is_retired(*word)) {
        if (sn_cas_acq_rel(reference, word, sn_word_as_retired(*word)))
            return true;
    }
    return false;
}

static int
retire(handle_store *store, uint64_t *reference, handle_t handle)
{
    uint64_t word;
    sn_rcu_read_lock(store->rcu);
    int refused = sn_inner_may_end(store, "retire", reference, sn_word_of_handle(handle),
                                   HANDLE_MATCH_MASK, NULL);
    sn_rcu_read_unlock(store->rcu);
    if (sn_unlikely(refused != 0))
        return refused;
    if (!retire_word(reference, handle, &word))
        return -ENOENT;
    uint64_t slot = sn_word_offset(word);
    sn_hook(SN_HOOK_RETIRE_WORD, reference);
    push(store, reference, slot, sn_object_begin_retired(store, slot, reference));
    uint64_t urgent = sn_load_relaxed(&store->caches.urgent_bytes);
    store->caches.retired(&store->caches, sn_load_relaxed(&store->caches.limbo_bytes) >= urgent);
    return 0;
}

int
handle_retire(handle_store *store, handle_t handle)
{
    sn_check_call(store, SN_REGISTERED, handle, NULL);
    uint64_t *reference = sn_store_word(store, handle);
    if (!reference)
        return store ? -ENOENT : -EINVAL;
    sn_slow_call_begin(&store->caches);
    int result = retire(store, reference, handle);
    sn_slow_call_end(&store->caches);
    sn_object_give_way(store);
    return result;
}

/* ---- end: by the grace-period thread --------------------------------------------------------- */

uint64_t
sn_retired_take(handle_store *store)
{
    /* Acquire: pairs with the release in push. */
    return sn_load_relaxed(&store->retired)
               ? __atomic_exchange_n(&store->retired, 0, __ATOMIC_ACQUIRE)
               : 0;
}

/* The entry's word ends, if a free has not voided it: what it is from now on. */
static uint64_t
end_word(uint64_t *reference, uint64_t word)
{
    if (sn_word_is_retired(word) && sn_cas_acq_rel(reference, &word, sn_table_free_word(word)))
        return sn_table_free_word(word);
    sn_store_relaxed(reference, word & SN_WORD_TAG); /* nobody changes one that is void */
    return word & SN_WORD_TAG;
}

static void
release_entry(handle_store *store, uint64_t entry, uint64_t free_word)
{
    if (free_word == store->table.used_up)
        sn_table_note_dead(&store->table);
    else
        sn_table_put(&store->table, &entry, 1);
    sn_sub_relaxed(&store->retired_entries, 1);
}

/* Result: the next one. */
static uint64_t
end_one(handle_store *store, uint64_t entry)
{
    uint64_t *reference = sn_table_word(&store->table, entry);
    uint64_t word = sn_load_acquire(reference);
    uint64_t slot = sn_word_offset(word);
    uint64_t next = sn_header_retired_next(sn_load_relaxed(sn_header_of(&store->pool, slot)));
    uint64_t free_word = end_word(reference, word);
    sn_object_end_retired(store, slot);
    release_entry(store, entry, free_word);
    return next;
}

bool
sn_retired_end(handle_store *store, uint64_t *list)
{
    enum { PIECE = 2048 };
    for (unsigned i = 0; i < PIECE && *list != 0; i++)
        *list = end_one(store, *list);
    return *list != 0;
}
