/* SPDX-License-Identifier: MIT */
/*
 * place.h - where in the address space stores lie that take it as they grow. The process has a
 * range of user addresses for them, of which the i-th store gets the part that begins at i with its
 * bits reversed: few stores lie far apart, and n of them have an n-th of the range each above them.
 * Nothing is reserved here: a place is a suggestion, and who finds something there says so.
 */
#ifndef SN_PLACE_H
#define SN_PLACE_H

#include "base/config.h"

#define SN_PLACE_NONE UINT32_MAX

struct sn_room {
    char *base;      /* 2 MiB aligned */
    uint64_t bytes;  /* up to the next place of those taken before */
    uint64_t second; /* how far behind a place a second range begins, see sn_room_second */
    uint32_t number;
};

/* Places are so far apart at least. */
#define SN_PLACE_STEP_BYTES ((uint64_t)4 << 30)
/* How long a second range may be at first without another one in its way. */
#define SN_ROOM_SECOND_BYTES ((uint64_t)64 << 20)

/**
 * Offset at which a store begins its second range when the first may grow to `first` bytes. In the
 * unused room of one store others have their places. So that these do not all begin where something
 * lies, second ranges begin between two places, and each size of room has a distance of its own.
 */
static inline uint64_t
sn_room_second(const struct sn_room *room, uint64_t first)
{
    uint64_t beyond = first > room->second ? first - room->second : 0;
    return sn_round_up(beyond, SN_PLACE_STEP_BYTES) + room->second;
}

/** The lowest place that is not taken. False: there is none. */
bool sn_place_take(struct sn_room *room);
/** Something else lies there: it is not given out again before some place has been put back. */
void sn_place_block(uint32_t number);
/** Nothing lies there any more. SN_PLACE_NONE is allowed. */
void sn_place_put(uint32_t number);
/** In every forked child: another thread may have held the lock. */
void sn_place_begin_child(void);

#endif
