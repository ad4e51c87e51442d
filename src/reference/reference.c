/* SPDX-License-Identifier: MIT */
/*
 * reference.c - the secret of header words, and the exported forms of the inline read path, for
 * callers that cannot inline C. The protocol stands in reference.h.
 */
#define HANDLE_NO_INLINE
#include "reference/reference.h"

/* Whether a change of the check bits by `top` or one more, up or down, is what marks differ by. */
static bool
looks_like_mark(uint64_t top)
{
    static const uint64_t marks[] = {0, SN_HEADER_SAMPLED, SN_HEADER_CELLS, SN_HEADER_MARKS,
                                     SN_HEADER_CELLS - SN_HEADER_SAMPLED};
    for (unsigned i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        uint64_t off = sn_wrapping_sub(top, marks[i]) & SN_HEADER_CHECK_SUM;
        uint64_t less = (top + marks[i]) & SN_HEADER_CHECK_SUM; /* the same, taken away */
        if (off == 0 || off == SN_HEADER_CHECK_SUM || less == 0 || less == SN_HEADER_CHECK_SUM)
            return true;
    }
    return false;
}

/* Whether a changed bit of a body, whichever, changes the check bits, and not by what marks add. It
 * adds the secret shifted to the product, or takes it away: that or one more is what they change
 * by. */
static bool
shows_every_bit(uint64_t secret)
{
    for (unsigned bit = SN_HEADER_SIZE_AT; bit < 64; bit++) {
        if (looks_like_mark(secret << bit >> 57))
            return false;
    }
    return true;
}

/* One of twenty-five odd numbers will do; steps by a constant (Weyl) find one. */
uint64_t
sn_header_secret(uint64_t random, bool cells)
{
    uint64_t secret = (random & ~SN_SECRET_CELLS) | 1 | (cells ? SN_SECRET_CELLS : 0);
    for (unsigned i = 0; i < 10000 && !shows_every_bit(secret); i++)
        secret = sn_wrapping_add(secret, UINT64_C(0x9e3779b97f4a7c14));
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
