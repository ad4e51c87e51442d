/* SPDX-License-Identifier: MIT */
/*
 * exported.h - handle_deref and handle_cell_deref as a language without the inline versions sees
 * them: the exported functions, called from a file that defines HANDLE_NO_INLINE.
 */
#ifndef TEST_EXPORTED_H
#define TEST_EXPORTED_H

#include <stdint.h>

struct handle_store;

const void *exported_deref(const struct handle_store *store, uint64_t handle);
uint32_t exported_cell_tag(const void *cell);
const void *exported_cell_match(const struct handle_store *store, const void *cell, uint32_t tag);
const void *exported_cell_deref(const struct handle_store *store, const void *cell);

#endif
