/* SPDX-License-Identifier: MIT */
/*
 * size_class.h - which slot size serves a request, and how slots lie in spans. Pure tables, made
 * once per store from its alignment; nothing changes afterwards.
 *
 * A slot is a header word followed by the object. Slot sizes: steps of 8 bytes to 512, 32 per
 * doubling to 2 KiB, 16 per doubling to 64 KiB. A store that moves its objects can afford fine
 * classes: a sparse class costs half a span, not a leak. (32 up to 2 KiB and not only to 1 KiB:
 * these 16 classes more make RAMCloud's workload W6 end with 95.5 % of its memory live instead of
 * 94.97.)
 *
 * Waste bound: a request of s bytes gets a slot of at most s + 8 + 7 bytes to 512, of at most
 * (s + 8) * 33/32 + 1 to 2 KiB and (s + 8) * 17/16 + 1 above (alignment 8); held by a unit test
 * over every size.
 */
#ifndef SN_SIZE_CLASS_H
#define SN_SIZE_CLASS_H

#include "base/config.h"

/** Class number of page runs: no slot class. */
#define SN_CLASS_LARGE 255
/** Block map entry of a block that belongs to no span. */
#define SN_CLASS_NONE 254

/** Requests up to here find their class by one table look-up. Above, slots are multiples of 64. */
#define SN_SMALL_MAX_BYTES 2040

struct sn_class {
    uint32_t slot_bytes;
    uint32_t slots;  /* per span */
    uint32_t blocks; /* per span */
    uint32_t pages;  /* of a span that slots touch; the rest of its last block stays untouched */
    uint32_t lead;   /* bytes before the first slot, so that objects are aligned */
    uint32_t reciprocal;  /* ceil(2^32 / (slot_bytes / 8)): divides exact multiples */
    uint32_t cache_slots; /* a thread caches at most so many */
    uint32_t payload;     /* of a slot: what is behind the header */
};
_Static_assert(sizeof(struct sn_class) == 32, "indexed by a shift");

/** Sizes that one class serves, at most: a slot larger than the next smaller one by a sixteenth of
 * the power of two below it. Held by a unit test, whatever the alignment. */
#define SN_SIZES_OF_A_CLASS_MAX (SN_SLOT_MAX_BYTES / 2 / 16)

struct sn_classes {
    uint32_t count;
    uint32_t extra; /* bytes added to every request (hardened mode's canary, at least) */
    struct sn_class of[SN_CLASSES_MAX];
    uint8_t by_8[SN_SMALL_MAX_BYTES / 8 + 1];  /* small requests, in units of 8 bytes */
    uint8_t by_64[SN_SLOT_MAX_BYTES / 64 + 1]; /* slot need of the others, in units of 64 */
};

/** alignment: 8, 16 or 64. extra: at most 8. */
void sn_classes_init(struct sn_classes *classes, uint32_t alignment, uint32_t extra);

/** Largest request that a slot class serves. */
static inline size_t
sn_classes_max_size(const struct sn_classes *classes)
{
    return SN_SLOT_MAX_BYTES - SN_HEADER_BYTES - classes->extra;
}

/** Whether a request without flags has its class in the table. */
static inline bool
sn_class_is_in_table(size_t size, unsigned flags)
{
    return sn_likely(flags == 0) && sn_likely(size <= SN_SMALL_MAX_BYTES);
}

/** Whether a request without flags has a slot class that is not in the table. */
static inline bool
sn_class_is_medium(const struct sn_classes *classes, size_t size, unsigned flags)
{
    return size > SN_SMALL_MAX_BYTES && size <= sn_classes_max_size(classes) && flags == 0;
}

static inline unsigned
sn_class_by_table(const struct sn_classes *classes, size_t size)
{
    return classes->by_8[(size + 7) / 8];
}

/** The class for a request of at most sn_classes_max_size() bytes; where there is something extra,
 * the caller adds it. */
static inline unsigned
sn_class_for(const struct sn_classes *classes, size_t size)
{
    if (sn_likely(size <= SN_SMALL_MAX_BYTES))
        return sn_class_by_table(classes, size);
    return classes->by_64[(size + SN_HEADER_BYTES + 63) / 64];
}

/** Largest request that a class serves. */
static inline size_t
sn_class_max_size(const struct sn_classes *classes, unsigned class_id)
{
    return classes->of[class_id].payload - classes->extra;
}

/** Bytes of payload that a slot of the class has room for (canary included). */
static inline size_t
sn_class_payload(const struct sn_class *c)
{
    return c->payload;
}

/**
 * Index of the slot that begins `distance` bytes after a span's first slot; the distance must be a
 * multiple of the slot size. Exact, since d8 * 2^32 / slot8 is a whole number of 2^32 plus less
 * than 2^16.
 */
static inline uint32_t
sn_slot_index(const struct sn_class *c, uint64_t distance)
{
    return (uint32_t)(((distance >> 3) * c->reciprocal) >> 32);
}

#endif
