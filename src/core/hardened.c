/* SPDX-License-Identifier: MIT */
/* hardened.c - see hardened.h. */
#include "core/hardened.h"

/* Bytes from the object's begin to the end of what is its own. */
static size_t
room_of(const handle_store *store, uint64_t slot)
{
    unsigned class_id = sn_load_relaxed(&store->pool.class_of[sn_block_of(slot)]);
    if (class_id < SN_CLASSES_MAX)
        return sn_class_payload(&store->classes.of[class_id]);
    return (size_t)store->pool.spans[sn_block_of(slot)].free << SN_PAGE_SHIFT;
}

/* ---- canaries -------------------------------------------------------------------------------- */

#if SN_TSAN
__attribute__((no_sanitize("thread"), noinline)) uint64_t
sn_load_beside_writers(const uint64_t *word)
{
    return *(const volatile uint64_t *)word;
}
#endif

void
sn_canary_report(const handle_store *store, size_t size, const uint64_t *reference)
{
    sn_misuse(store, reference, "the object of %zu bytes was written past its end", size);
}

void
sn_canary_write(handle_store *store, uint64_t slot, size_t size)
{
    sn_canary_put(store, slot, size);
}

bool
sn_canary_is_whole(const handle_store *store, uint64_t slot, size_t size)
{
    return sn_canary_has(store, slot, size, room_of(store, slot));
}

void
sn_canary_require(const handle_store *store, uint64_t slot, size_t size, const uint64_t *reference)
{
    if (sn_unlikely(!sn_canary_is_whole(store, slot, size)))
        sn_canary_report(store, size, reference);
}

void
sn_canary_check(const handle_store *store, uint64_t slot, size_t size, const uint64_t *reference)
{
    if (sn_likely(sn_canary_is_whole(store, slot, size)))
        return;
    /* What overwrote the canary comes before the look at R: a writer may have cancelled the move
     * and freed the object at once. Pairs with the fence in sn_poison_put. */
    sn_fence_acquire();
    uint64_t word = sn_load_relaxed(reference);
    if (sn_word_is_moving(word) && sn_word_offset(word) == slot)
        sn_canary_report(store, size, reference);
}

/* ---- poison ---------------------------------------------------------------------------------- */

/* A large object's pages go to the pool, and may be given to anybody: they are not poisoned. */
static bool
is_large(const handle_store *store, uint64_t slot)
{
    return sn_load_relaxed(&store->pool.class_of[sn_block_of(slot)]) >= SN_CLASSES_MAX;
}

void
sn_poison_write(handle_store *store, uint64_t slot)
{
    if (!is_large(store, slot))
        sn_poison_put(sn_store_address(store, slot), room_of(store, slot));
}

bool
sn_poison_is_whole(const handle_store *store, uint64_t slot)
{
    const uint64_t *data = sn_store_address(store, slot);
    if (is_large(store, slot) || sn_load_relaxed(data - 1) != SN_POISONED_HEADER)
        return true;
    /* A trim may have taken the pages meanwhile: it clears the header first. */
    return sn_poison_has(data, room_of(store, slot)) ||
           sn_load_acquire(data - 1) != SN_POISONED_HEADER;
}

void
sn_poison_report(const handle_store *store, uint64_t slot)
{
    const unsigned char *data = sn_store_address(store, slot);
    size_t at = 0;
    while (data[at] == (unsigned char)SN_POISON)
        at++;
    sn_misuse(store, NULL,
              "memory at offset %#llx was written at byte %zu after its object was freed or moved",
              (unsigned long long)slot, at);
}

void
sn_poison_check(const handle_store *store, uint64_t slot)
{
    if (!is_large(store, slot))
        sn_poison_require(store, slot, room_of(store, slot));
}

/* ---- headers --------------------------------------------------------------------------------- */

void
sn_hardened_header_report(const handle_store *store, uint64_t slot, uint64_t header,
                          const uint64_t *reference)
{
    bool by_cell = reference && !sn_table_owns(&store->table, reference);
    if (by_cell && sn_header_is_sound(store->secret, header, slot))
        sn_misuse(store, reference, "another cell names the object: was the cell copied?");
    if (by_cell && sn_header_is_clear(header))
        sn_misuse(store, reference,
                  "the object was freed by another cell (was the cell copied?), or its header is "
                  "damaged");
    sn_misuse(
        store, reference,
        "the header of the object at offset %#llx is damaged: written in front of it, or past "
        "the end of its neighbour",
        (unsigned long long)slot);
}
