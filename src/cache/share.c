/* SPDX-License-Identifier: MIT */
/* share.c - see share.h. */
#include "cache/share.h"

#include "cache/base.h"

#define LEAST_PART 4u /* items get at least so much of it, whatever is said: figures may be odd */

#define MOST_PART 16u /* reserve of a store */
#define GROWS     256u
#define SHRINKS   2048u
#define MAY_WAIT  4096u

uint64_t
sc_share_least_reserve(uint64_t store_bytes)
{
    return sc_clamp(store_bytes / 32, UINT64_C(128) << 10, UINT64_C(1) << 20);
}

uint64_t
sc_share_next_reserve(uint64_t reserve, uint64_t store_bytes, uint64_t set_bytes,
                      uint64_t waited_bytes)
{
    uint64_t least = sc_share_least_reserve(store_bytes);
    uint64_t next = waited_bytes > set_bytes / MAY_WAIT ? reserve + store_bytes / GROWS
                                                        : sc_less(reserve, store_bytes / SHRINKS);
    return sc_clamp(next, least, sc_max(least, store_bytes / MOST_PART));
}

uint64_t
sc_share_of_items(const struct sc_share *share)
{
    uint64_t all = sc_less(share->limit, share->fixed);
    uint64_t room = sc_less(all, share->reserve + share->store_own);
    double slots = (double)share->slots, beside = (double)share->beside;
    if (share->slots)
        room = (uint64_t)((double)room * (slots / (slots + beside)));
    return sc_max(room, all / LEAST_PART);
}
