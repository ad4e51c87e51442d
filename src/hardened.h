/* SPDX-License-Identifier: MIT */
/*
 * hardened.h - what a hardened store writes into its memory to find out that the application wrote
 * where it must not. Found damage ends the process (misuse.h): going on would be guessing.
 *
 *   canary   the bytes directly behind the last one requested, to the end of that word: 1 to 8
 *            (each request is served with at least one byte more). A function of the slot and the
 *            store's secret; no byte is 0, so that a string's terminator always shows. Looked at
 *            when the object ends, is replaced or moved, and by handle_store_check.
 *   poison   fills a slot from the moment it is free; looked at when the slot is taken again, by an
 *            allocation or by the mover, and by handle_store_check. The header then says that the
 *            slot is poisoned (check bits 0, as of every free slot); a slot never used, or of a
 *            span formatted anew or trimmed, does not say so and is not looked at.
 *
 * Guard spans are in guard.h, checks at entry in misuse.h.
 */
#ifndef SN_HARDENED_H
#define SN_HARDENED_H

#include "misuse.h"

/** Bytes that each request is served with beyond what it asks for. */
#define SN_CANARY_MIN_BYTES 1

void sn_canary_write(handle_store *store, uint64_t slot, size_t size);
bool sn_canary_is_whole(const handle_store *store, uint64_t slot, size_t size);
/** Ends the process when it is not whole. reference: the word that names the object, or NULL. */
void
sn_canary_check(const handle_store *store, uint64_t slot, size_t size, const uint64_t *reference);

/** Fills a slot that is about to become free, and marks it in its header. */
void sn_poison_write(handle_store *store, uint64_t slot);
bool sn_poison_is_whole(const handle_store *store, uint64_t slot);
/** Ends the process when a slot just taken was written since its free. */
void sn_poison_check(const handle_store *store, uint64_t slot);

/** The header of a live object failed its check, or names another word than the object's. */
SN_NOINLINE _Noreturn void sn_hardened_header_fault(const handle_store *store, uint64_t slot,
                                                    uint64_t header, const uint64_t *reference);

#endif
