/* SPDX-License-Identifier: MIT */
/*
 * reference.c - the exported forms of the inline read path, for callers that cannot inline C, and
 * the transitions of pin words. The protocol stands in reference.h.
 */
#define HANDLE_NO_INLINE
#include "reference.h"

const void *
handle_deref(const handle_store *store, handle_t handle)
{
    const struct handle_store_head *head = (const void *)store;
    uint64_t entry = (handle >> 1 | handle << 63) & HANDLE_ENTRY_MASK;
    if ((int64_t)entry >= HANDLE_TABLE_END(head))
        return NULL;
    const char *table = (const char *)(const void *)store + HANDLE_TABLE_OFFSET;
    /* Acquire: as in handle.h (G1). */
    uint64_t word = sn_load_acquire((const uint64_t *)(const void *)(table + (entry << 3)));
    if (((word ^ handle) & HANDLE_MATCH_MASK) != 0)
        return NULL;
    return (const void *)(head->arena + sn_word_offset(word));
}

const void *
handle_cell_deref(const handle_store *store, const handle_cell *cell)
{
    const struct handle_store_head *head = (const void *)store;
    uint64_t word = sn_load_acquire(&cell->word);
    return sn_word_has_object(word) ? (const void *)(head->arena + sn_word_offset(word)) : NULL;
}

uint32_t *
sn_pin_word(const struct sn_heap *heap, uint64_t offset)
{
    struct sn_span *span = sn_span_at(heap->pool, offset);
    /* Acquire: pairs with the CAS in sn_heap_pins. */
    uint32_t *pins = sn_load_acquire(&span->pins);
    if (sn_likely(pins == NULL))
        return NULL;
    if (sn_span_state(span) == SN_SPAN_LARGE)
        return pins;
    const struct sn_class *c = sn_heap_class_of_span(heap, span);
    return &pins[sn_slot_of(c, sn_span_number(heap->pool, span), offset)];
}

bool
sn_pin_end_object(uint32_t *pin)
{
    uint32_t seen = sn_load_relaxed(pin);
    uint32_t want;
    /* Acquire-release: orders the end of the object (its word's CAS) before FREED, so that an
     * unpin that sees FREED may retire; and what unpinners did before a retirement here. */
    do
        want = seen | SN_PIN_FREED | ((seen & SN_PIN_COUNT) == 0 ? SN_PIN_GONE : 0);
    while (!sn_cas_acq_rel(pin, &seen, want));
    return (want & SN_PIN_GONE) != 0;
}

int
sn_pin_lower(uint32_t *pin)
{
    uint32_t seen = sn_load_relaxed(pin);
    uint32_t want;
    /* Acquire-release: orders the pinner's accesses to the object before the slot's retirement by
     * whoever brings the count to 0. */
    do {
        if ((seen & SN_PIN_COUNT) == 0)
            return -EINVAL;
        want = seen - 1;
        if ((want & SN_PIN_COUNT) == 0) {
            want &= ~SN_PIN_WRITTEN;
            if (want & SN_PIN_FREED)
                want |= SN_PIN_GONE;
        }
    } while (!sn_cas_acq_rel(pin, &seen, want));
    return (want & SN_PIN_GONE) && !(seen & SN_PIN_GONE);
}
