/* SPDX-License-Identifier: MIT */
/* move.h - items that move from one cell to another, with their marks. All in a section. */
#ifndef SC_MOVE_H
#define SC_MOVE_H

#include "cache/index.h"

/** To a free cell; both buckets are locked. flip: SC_AWAY, if it is the other one of its two; else
 * 0. False: the object is damaged; it stays. */
bool sc_move_item(sinter_cache *cache, const struct sc_spot *from, struct sc_bucket *to,
                  unsigned cell, uint32_t flip);

/** From a locked bucket to the other one of its two, if that has a free cell and nobody at work. */
bool sc_move_elsewhere(sinter_cache *cache, const struct sc_spot *from);

/** Makes a cell free in a locked bucket or pair, by moving an item elsewhere, if need be one that
 * another has to move for. */
bool sc_bucket_make_cell(sinter_cache *cache, struct sc_bucket *bucket, struct sc_spot *spot);
bool sc_pair_make_cell(sinter_cache *cache, const struct sc_pair *pair, struct sc_spot *spot);

#endif
