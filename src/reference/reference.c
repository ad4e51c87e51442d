/* SPDX-License-Identifier: MIT */
/*
 * reference.c - the secret of header words, and the exported forms of the inline read path, for
 * callers that cannot inline C. The protocol stands in reference.h.
 */
#define HANDLE_NO_INLINE
#include "reference/reference.h"

/* Whether a changed bit of a body, whichever, changes the check bits, and not by what the mark
 * adds. It adds the secret shifted to the product, or takes it away: that or one more is what they
 * change by. */
static bool
shows_every_bit(uint64_t secret)
{
    for (unsigned bit = SN_HEADER_SIZE_AT; bit < 64; bit++) {
        uint64_t top = secret << bit >> 57;
        uint64_t less = 127 - top; /* the same, taken away */
        if (top == 0 || less == 0 || top == SN_HEADER_SAMPLED || top + 1 == SN_HEADER_SAMPLED ||
            less == SN_HEADER_SAMPLED || less + 1 == SN_HEADER_SAMPLED)
            return false;
    }
    return true;
}

/* Two of five odd numbers will do; steps by a constant (Weyl) find one. */
uint64_t
sn_header_secret(uint64_t random)
{
    uint64_t secret = random | 1;
    for (unsigned i = 0; i < 1000 && !shows_every_bit(secret); i++)
        secret = sn_wrapping_add(secret, UINT64_C(0x9e3779b97f4a7c16));
    return secret;
}

const void *
handle_deref(const handle_store *store, handle_t handle)
{
    const struct handle_store_head *head = (const void *)store;
    uint64_t index = handle >> HANDLE_INDEX_SHIFT;
    if (index >= HANDLE_TABLE_END(head))
        return NULL;
    const char *table = (const char *)(const void *)store + HANDLE_TABLE_OFFSET;
    /* Acquire: as in handle.h (G1). */
    uint64_t word = sn_load_acquire((const uint64_t *)(const void *)table + index);
    if ((sn_word_mismatch(word, handle) & HANDLE_MATCH_MASK) != 0)
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

uint32_t
handle_cell_tag(const handle_cell *cell)
{
    uint64_t word = sn_load_acquire(&cell->word);
    return sn_word_has_object(word) ? (uint32_t)sn_word_tag(word) : 0;
}

const void *
handle_cell_match(const handle_store *store, const handle_cell *cell, uint32_t tag24)
{
    const struct handle_store_head *head = (const void *)store;
    uint64_t word = sn_load_acquire(&cell->word);
    bool matches = sn_word_has_object(word) && sn_word_tag(word) == tag24;
    return matches ? (const void *)(head->arena + sn_word_offset(word)) : NULL;
}
