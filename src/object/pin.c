/* SPDX-License-Identifier: MIT */
/* pin.c - holding an object in place beyond a section (G5 in reference.h). */
#include "core/misuse.h"
#include "core/report.h"
#include "object/object.h"

/* Pins what R names, in a section. NULL with errno ENOENT, or as of an allocation. */
static void *
pin_reference(handle_store *store, uint64_t *reference, uint64_t want, uint64_t mask, bool write)
{
    for (;;) {
        uint64_t word = sn_reference_cancel_move(store, reference, want, mask);
        if (((word ^ want) & mask) != 0) {
            errno = ENOENT;
            return NULL;
        }
        uint64_t slot = sn_word_offset(word);
        uint32_t changes;
        if (!sn_object_pin(store, slot, write ? SN_PIN_WRITTEN : 0, &changes))
            return NULL;
        /* The second look: a free that came first may have retired the slot; a mark after the count
         * was raised is harmless, the mover sees the count after its grace period. */
        if (sn_reference_names_still(reference, want, mask, slot))
            return sn_store_address(store, slot);
        (void)sn_object_unpin(store, slot);
    }
}

static void *
pin_handle(handle_store *store, handle_t handle, bool write)
{
    uint64_t at = sn_table_at(handle);
    if (!store || at >= sn_load_relaxed(&store->table.bytes)) {
        errno = store ? ENOENT : EINVAL;
        return NULL;
    }
    return pin_reference(store, sn_table_word(&store->table, at), sn_word_of_handle(handle),
                         HANDLE_MATCH_MASK, write);
}

const void *
handle_pin(handle_store *store, handle_t handle)
{
    sn_check_call(store, SN_IN_SECTION, handle, NULL);
    return pin_handle(store, handle, false);
}

void *
handle_pin_mut(handle_store *store, handle_t handle)
{
    sn_check_call(store, SN_IN_SECTION, handle, NULL);
    return pin_handle(store, handle, true);
}

const void *
handle_cell_pin(handle_store *store, handle_cell *cell)
{
    sn_check_call(store, SN_IN_SECTION, HANDLE_NULL, cell);
    if (!store || !cell) {
        errno = EINVAL;
        return NULL;
    }
    return pin_reference(store, &cell->word, SN_WORD_LIVE, SN_WORD_LIVE, false);
}

void
handle_unpin(handle_store *store, const void *object)
{
    sn_check_call(store, SN_REGISTERED, HANDLE_NULL, NULL);
    if (!store)
        return;
    if (sn_likely(sn_object_unpin_address(store, object)))
        return;
    if (store->hardened)
        sn_misuse(store, NULL, "not pinned: the address is not one a pin gave");
    sn_store_error(store, "handle_unpin: not pinned: the address is not one a pin gave");
}
