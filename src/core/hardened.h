/* SPDX-License-Identifier: MIT */
/*
 * hardened.h - what a hardened store writes into its memory to find out that the application wrote
 * where it must not. Found damage ends the process (misuse.h): going on would be guessing.
 *
 *   canary   the bytes directly behind the last one requested, to the end of that word: 1 to 8
 *            (each request is served with at least one byte more). A function of the slot and the
 *            store's secret; no byte is 0, so that a string's terminator always shows. Looked at
 *            when the object is freed, replaced or moved, and by handle_store_check.
 *   poison   fills a slot from the moment it is free, of a retired one after its GP; looked at when
 *            the slot is taken again, by an allocation or by the mover, and by handle_store_check.
 *            The header then says that the slot is poisoned (check bits 0, as of every free slot);
 *            a slot never used, or of a span formatted anew or trimmed, does not say so and is not
 *            looked at.
 *
 * First for slots whose class is known, inline, as the fast paths need them (hardened_object.h);
 * then for any object. Guard spans are in guard.h, checks at entry in misuse.h.
 */
#ifndef SN_HARDENED_H
#define SN_HARDENED_H

#include <string.h>

#include "core/misuse.h"

/** Bytes that each request is served with beyond what it asks for. */
#define SN_CANARY_MIN_BYTES 1

/** Before a word that is written soon is read: a page that never was would be mapped for reading
 * first, all zeros, and then anew for writing. (T1 had twice the page faults.) Byte `at` of it is
 * `value`, or is to be: that byte is stored where an addition in memory loads first, as arm64's do
 * for the kernel even when they are one instruction. */
static inline void
sn_touch(uint64_t *word, unsigned at, uint8_t value)
{
#if defined(__x86_64__) && !SN_TSAN
    (void)at;
    (void)value;
    sn_owner_add(word, 0);
#else
    sn_store_relaxed((uint8_t *)word + at, value);
#endif
}

/* ---- canaries -------------------------------------------------------------------------------- */

/* Those who read the store from outside are told these two, by halves (debug_table.h). */
#define SN_CANARY_FACTOR UINT64_C(0xff51afd7ed558ccd)
#define SN_CANARY_ONES   UINT64_C(0x0101010101010101)

/* No byte of it is 0. */
static inline uint64_t
sn_canary_of(const handle_store *store, uint64_t slot)
{
    return ((store->secret ^ slot) * SN_CANARY_FACTOR) | SN_CANARY_ONES;
}

/* The word that holds the byte behind the object's last, and which of its bytes are the canary's:
 * from that one to the end. No branch depends on the size. */
static inline uint64_t *
sn_canary_word(const handle_store *store, uint64_t slot, size_t size, uint64_t *mask)
{
    *mask = ~UINT64_C(0) << (8 * (size % 8)); /* little-endian: the first bytes are the low ones */
    return (uint64_t *)sn_store_address(store, slot) + size / 8;
}

static inline void
sn_canary_put(const handle_store *store, uint64_t slot, size_t size)
{
    uint64_t mask, canary = sn_canary_of(store, slot);
    uint64_t *word = sn_canary_word(store, slot, size, &mask);
    sn_touch(word, 7, (uint8_t)(canary >> 56)); /* the last byte is the canary's */
    *word = (*word & ~mask) | (canary & mask);
}

/* The mover and walks look while a writer may write the object's last bytes beside the canary: the
 * race is by design, what is not the canary's is masked out. TSan is told so. */
#if SN_TSAN
uint64_t sn_load_beside_writers(const uint64_t *word);
#else
static inline uint64_t
sn_load_beside_writers(const uint64_t *word)
{
    return sn_load_relaxed(word);
}
#endif

/** room: from the object's begin to the end of what is its own; a damaged header may say any
 * size. */
static inline bool
sn_canary_has(const handle_store *store, uint64_t slot, size_t size, size_t room)
{
    uint64_t mask;
    const uint64_t *word = sn_canary_word(store, slot, size, &mask);
    return sn_likely(size < room) &&
           ((sn_load_beside_writers(word) ^ sn_canary_of(store, slot)) & mask) == 0;
}

/** Ends the process: the object was written past its end. */
SN_NOINLINE _Noreturn void
sn_canary_report(const handle_store *store, size_t size, const uint64_t *reference);

/* ---- poison ---------------------------------------------------------------------------------- */

#define SN_POISON          UINT64_C(0xdededededededede)
#define SN_POISON_BYTE     ((int)(SN_POISON & 0xff))
#define SN_POISONED_HEADER UINT64_C(0xdedededededede00) /* check bits 0: no object */
#define SN_POISON_FEW      64u                          /* bytes */

/* Two words at any address. */
typedef uint64_t sn_pair __attribute__((vector_size(16), aligned(1), may_alias));

/** Fills a multiple of 8 bytes, SN_POISON_FEW at most: by stores that overlap, since a loop or a
 * call would take longer than all of them. */
static inline void
sn_poison_few(char *data, size_t bytes)
{
    const sn_pair poison = {SN_POISON, SN_POISON};
    if (bytes >= 32) {
        *(sn_pair *)(data + 16) = poison;
        *(sn_pair *)(data + bytes - 32) = poison;
    }
    if (bytes >= 16) {
        *(sn_pair *)data = poison;
        *(sn_pair *)(data + bytes - 16) = poison;
    } else if (bytes > 0) {
        *(uint64_t *)(void *)data = SN_POISON;
    }
}

/** Whether they are as they were filled; at least 8. */
static inline bool
sn_poison_has_few(const char *data, size_t bytes)
{
    const sn_pair poison = {SN_POISON, SN_POISON};
    if (bytes < 16)
        return *(const uint64_t *)(const void *)data == SN_POISON;
    sn_pair other = *(const sn_pair *)data ^ poison;
    other |= *(const sn_pair *)(data + bytes - 16) ^ poison;
    if (bytes >= 32) {
        other |= *(const sn_pair *)(data + 16) ^ poison;
        other |= *(const sn_pair *)(data + bytes - 32) ^ poison;
    }
    return (other[0] | other[1]) == 0;
}

/** Fills a slot's payload, after it has marked that in the header. Of many bytes the C library
 * makes the widest stores that the processor has, and the widest comparisons in sn_poison_has. */
static inline void
sn_poison_put(uint64_t *data, size_t bytes)
{
    /* Release: the object has ended for whoever finds its header clear. */
    sn_store_release(&data[-1], SN_POISONED_HEADER);
    /* ... or its canary overwritten; pairs with the fence in sn_canary_check. */
    sn_fence_release();
    if (bytes <= SN_POISON_FEW)
        sn_poison_few((char *)data, bytes);
    else
        memset(data, SN_POISON_BYTE, bytes);
}

/** Whether the payload is filled so. Of many words: each is like the one before it, and the first
 * is right. bytes: a multiple of 8, not 0. */
static inline bool
sn_poison_has(const uint64_t *data, size_t bytes)
{
    if (bytes <= SN_POISON_FEW)
        return sn_poison_has_few((const char *)data, bytes);
    return data[0] == SN_POISON && memcmp(data, data + 1, bytes - sizeof(*data)) == 0;
}

/** Ends the process: the slot was written since its free. */
SN_NOINLINE _Noreturn void sn_poison_report(const handle_store *store, uint64_t slot);

/** The same when a slot of a class, just taken, was. bytes: its payload. */
static inline void
sn_poison_require(const handle_store *store, uint64_t slot, size_t bytes)
{
    uint64_t *data = sn_store_address(store, slot);
    sn_touch(&data[-1], 0, 0); /* the header of a free slot is clear */
    if (sn_likely(data[-1] == SN_POISONED_HEADER) && sn_unlikely(!sn_poison_has(data, bytes)))
        sn_poison_report(store, slot);
}

/* ---- for any object -------------------------------------------------------------------------- */

bool sn_canary_is_whole(const handle_store *store, uint64_t slot, size_t size);
/** Ends the process when the canary of an object that has ended, or never was one, is not whole.
 * reference: the word that names the object, or NULL. */
void
sn_canary_require(const handle_store *store, uint64_t slot, size_t size, const uint64_t *reference);
/** The same for the object that R names, by the mover, beside its writers: not if R has changed
 * meanwhile, since then the slot may be poisoned. */
void
sn_canary_check(const handle_store *store, uint64_t slot, size_t size, const uint64_t *reference);
void sn_canary_write(handle_store *store, uint64_t slot, size_t size);

/** Fills a slot that is about to become free, and marks it in its header. */
void sn_poison_write(handle_store *store, uint64_t slot);
bool sn_poison_is_whole(const handle_store *store, uint64_t slot);
/** Ends the process when a slot just taken was written since its free. */
void sn_poison_check(const handle_store *store, uint64_t slot);

/** The header of a live object failed its check, or names another word than the object's. */
SN_NOINLINE _Noreturn void sn_hardened_header_report(const handle_store *store, uint64_t slot,
                                                     uint64_t header, const uint64_t *reference);

#endif
