/* SPDX-License-Identifier: MIT */
/*
 * update.c - a new version of an object, made in private and published by one CAS. The version seen
 * at begin is pinned until commit or abort (G5), so its slot can neither move nor be used again:
 * that R still names it proves that nothing was committed in between.
 */
#include "core/hardened.h"
#include "object/inner.h"

/* What struct handle_update keeps, opaque to the caller. */
struct update {
    void *object;
    uint64_t reference; /* address of R */
    uint64_t old_slot;
    uint64_t slot;
    uint64_t size;
    uint64_t want;    /* what R must match, as far as mask_of says */
    uint64_t changes; /* relocations of the object when it was pinned */
    uint64_t active;  /* the store's address while under way */
};
_Static_assert(sizeof(struct update) == sizeof(struct handle_update), "same layout");

static void *
begin_version(handle_store *store, uint64_t *reference, uint64_t want, uint64_t mask, size_t size,
              struct handle_update *public_update)
{
    struct update *update = (struct update *)(void *)public_update;
    *update = (struct update){0};
    uint64_t word, old_slot;
    uint32_t changes;
    for (;;) {
        word = sn_reference_cancel_move(store, reference, want, mask);
        if (((word ^ want) & mask) != 0) {
            errno = ENOENT;
            return NULL;
        }
        old_slot = sn_word_offset(word);
        if (!sn_object_pin(store, old_slot, 0, &changes))
            return NULL;
        if (sn_reference_names_still(reference, want, mask, old_slot))
            break;
        (void)sn_object_unpin(store, old_slot); /* freed, or replaced: look again */
    }
    uint64_t header = sn_load_relaxed(sn_header_of(&store->pool, old_slot));
    unsigned flags = sn_object_flags(store, word, header);
    uint64_t slot = sn_slot_acquire_uncommitted(store, size, flags);
    if (!slot) {
        int error = errno;
        (void)sn_object_unpin(store, old_slot);
        errno = error;
        return NULL;
    }
    if (store->hardened)
        sn_canary_write(store, slot, size);
    *update = (struct update){.object = sn_store_address(store, slot),
                              .reference = (uintptr_t)reference,
                              .old_slot = old_slot,
                              .slot = slot,
                              .size = size,
                              .want = want,
                              .changes = changes,
                              .active = (uintptr_t)store};
    return update->object;
}

/* An update that did not begin is over: nobody takes what its memory held before for one. */
static void *
refuse(struct handle_update *update, int error)
{
    if (update)
        *(struct update *)(void *)update = (struct update){0};
    errno = error;
    return NULL;
}

static void *
begin(handle_store *store, uint64_t *reference, uint64_t want, uint64_t mask, size_t size,
      struct handle_update *update)
{
    sn_slow_call_begin(&store->caches);
    void *object = begin_version(store, reference, want, mask, size, update);
    sn_slow_call_end(&store->caches);
    return object;
}

void *
handle_update_begin(handle_store *store, handle_t handle, size_t size, struct handle_update *update)
{
    sn_check_call(store, SN_IN_SECTION, handle, NULL);
    uint64_t at = sn_table_at(handle);
    if (!store || !update)
        return refuse(update, EINVAL);
    if (at >= sn_load_relaxed(&store->table.bytes))
        return refuse(update, ENOENT);
    return begin(store, sn_table_word(&store->table, at), sn_word_of_handle(handle),
                 HANDLE_MATCH_MASK, size, update);
}

void *
handle_cell_update_begin(handle_store *store, handle_cell *cell, size_t size,
                         struct handle_update *update)
{
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, cell);
    if (!store || !cell || !update)
        return refuse(update, EINVAL);
    return begin(store, &cell->word, SN_WORD_LIVE, SN_WORD_LIVE, size, update);
}

/* The version under way, or NULL: none, or another store's. */
static struct update *
active(const handle_store *store, struct handle_update *public_update)
{
    struct update *update = (struct update *)(void *)public_update;
    return store && update && update->active == (uintptr_t)store ? update : NULL;
}

/* Ends the update: the version is published next, or dropped. */
static void
end_version(handle_store *store, struct update *update)
{
    update->active = 0;
    if (store->hardened)
        sn_canary_require(store, update->slot, update->size,
                          (const uint64_t *)(uintptr_t)update->reference);
}

/* What R must match: a handle's word with generation, a cell's in having an object. */
static uint64_t
mask_of(const handle_store *store, const struct update *update)
{
    return sn_table_owns(&store->table, (const uint64_t *)(uintptr_t)update->reference)
               ? HANDLE_MATCH_MASK
               : SN_WORD_LIVE;
}

/* Whether the object has gone to another cell since begin, and may have come back. Commits and
 * relocations of a cell are serialised. */
static bool
was_relocated(handle_store *store, const struct update *update)
{
    return sn_object_pins(store, update->old_slot) >> SN_PIN_CHANGES_AT != update->changes;
}

/* The version is over, and will be no object. */
static int
drop_version(handle_store *store, const struct update *update, int result)
{
    sn_object_drop_uncommitted(store, update->slot);
    (void)sn_object_unpin(store, update->old_slot);
    return result;
}

/* The version gets its header, and, where the object has cells, these as they are now. */
static int
take_over(handle_store *store, const struct update *update, uint64_t header,
          const uint64_t *reference, struct handle_cells *cells)
{
    int result = 0;
    unsigned flags =
        sn_object_has_cells(store, update->old_slot, header) ? (unsigned)HANDLE_CELLS : 0u;
    if (flags != 0)
        result = sn_inner_replace(store, "update_commit", update->old_slot,
                                  sn_object_size(store, update->old_slot, header), update->slot,
                                  update->size, cells);
    sn_object_set_owner_any(store, update->slot, update->size, reference);
    sn_object_note_flags(store, update->slot, flags);
    return result;
}

static int
commit(handle_store *store, struct update *update, uint64_t *reference)
{
    uint64_t old_slot = update->old_slot;
    uint64_t mask = mask_of(store, update);
    bool freed = was_relocated(store, update);
    struct handle_cells cells = {0, 0};
    end_version(store, update);
    /* What is not sound has ended, or is damaged: then the commit fails, or the mark is nothing. */
    uint64_t header = sn_load_relaxed(sn_header_of(&store->pool, old_slot));
    int result = take_over(store, update, header, reference, &cells);
    if (sn_unlikely(result != 0))
        return drop_version(store, update, result);
    uint64_t handed_on = sn_header_has_object(store->secret, header, old_slot)
                             ? sn_object_hand_on_mark(store, header, old_slot, update->slot)
                             : 0;
    sn_hook(SN_HOOK_COMMIT_HEADER, sn_store_address(store, update->slot));

    uint64_t word = sn_load_acquire(reference);
    /* A mark or a tag change meanwhile is no conflict: try again with what is seen. */
    while (!freed && ((word ^ update->want) & mask) == 0 && sn_word_offset(word) == old_slot &&
           !sn_word_is_retired(word)) {
        /* Release: orders the new version's contents and header before the word (G2). */
        uint64_t special = sn_object_has_cells(store, old_slot, header) ? SN_WORD_SPECIAL : 0;
        if (sn_cas_acq_rel(reference, &word, sn_word_at(word, update->slot) | special)) {
            sn_inner_turn(store, old_slot, update->slot, &cells, true);
            sn_object_mark_went(store, old_slot, update->slot, handed_on);
            sn_object_count_committed(store, update->slot, update->size);
            sn_object_retire(store, old_slot, reference);
            (void)sn_object_unpin(store, old_slot);
            return 0;
        }
    }
    freed |= ((word ^ update->want) & mask) != 0 || sn_word_is_retired(word);
    return drop_version(store, update, freed ? -ENOENT : -EAGAIN);
}

int
handle_update_commit(handle_store *store, struct handle_update *public_update)
{
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, NULL);
    struct update *update = active(store, public_update);
    uint64_t *reference = update ? (uint64_t *)(uintptr_t)update->reference : NULL;
    if (!update || sn_reference_is_inner(store, reference))
        return -EINVAL; /* where the cell lies now its parent says, and the caller */
    sn_slow_call_begin(&store->caches);
    int result = commit(store, update, reference);
    sn_slow_call_end(&store->caches);
    return result;
}

int
handle_cell_update_commit(handle_store *store, handle_cell *cell,
                          struct handle_update *public_update)
{
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, cell);
    struct update *update = active(store, public_update);
    if (!update || !cell)
        return -EINVAL;
    const uint64_t *begun = (const uint64_t *)(uintptr_t)update->reference;
    bool inner = sn_reference_is_inner(store, begun) && sn_reference_is_inner(store, &cell->word);
    if (&cell->word != begun && !inner)
        return -EINVAL;
    sn_inner_check(store, &cell->word);
    sn_slow_call_begin(&store->caches);
    int result = commit(store, update, &cell->word);
    sn_slow_call_end(&store->caches);
    return result;
}

void
handle_update_abort(handle_store *store, struct handle_update *public_update)
{
    sn_check_call(store, SN_REGISTERED, HANDLE_NULL, NULL);
    struct update *update = active(store, public_update);
    if (!update)
        return;
    sn_slow_call_begin(&store->caches);
    end_version(store, update);
    sn_object_drop_uncommitted(store, update->slot);
    (void)sn_object_unpin(store, update->old_slot);
    sn_slow_call_end(&store->caches);
}
