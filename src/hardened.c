/* SPDX-License-Identifier: MIT */
/* hardened.c - see hardened.h. */
#include "hardened.h"

#include <string.h>

#define POISON          UINT64_C(0xdededededededede)
#define POISONED_HEADER UINT64_C(0xdedededededede00) /* check bits 0: no object */

/* Bytes from the object's begin to the end of what is its own. */
static size_t
room_of(const handle_store *store, uint64_t slot)
{
    unsigned class_id = sn_load_relaxed(&store->pool.class_of[sn_block_of(slot)]);
    if (class_id < SN_CLASSES_MAX)
        return sn_class_payload(&store->classes.of[class_id]);
    return (size_t)store->pool.spans[sn_block_of(slot)].free << SN_PAGE_SHIFT;
}

/* ---- canaries -------------------------------------------------------------------------------- */

/* No byte of it is 0. */
static inline uint64_t
canary_of(const handle_store *store, uint64_t slot)
{
    return ((store->secret ^ slot) * UINT64_C(0xff51afd7ed558ccd)) | UINT64_C(0x0101010101010101);
}

/* The word that holds the byte behind the object's last, and which of its bytes are the canary's:
 * from that one to the end. No branch depends on the size. */
static inline uint64_t *
canary_word(const handle_store *store, uint64_t slot, size_t size, uint64_t *mask)
{
    *mask = ~UINT64_C(0) << (8 * (size % 8)); /* little-endian: the first bytes are the low ones */
    return (uint64_t *)sn_store_address(store, slot) + size / 8;
}

static inline void
put_canary(const handle_store *store, uint64_t slot, size_t size)
{
    uint64_t mask;
    uint64_t *word = canary_word(store, slot, size, &mask);
    *word = (*word & ~mask) | (canary_of(store, slot) & mask);
}

/* The mover and walks look while a writer may write the object's last bytes beside the canary: the
 * race is by design, what is not the canary's is masked out. TSan is told so. */
#if SN_TSAN
__attribute__((no_sanitize("thread"), noinline)) static uint64_t
load_beside_writers(const uint64_t *word)
{
    return *(const volatile uint64_t *)word;
}
#else
static inline uint64_t
load_beside_writers(const uint64_t *word)
{
    return sn_load_relaxed(word);
}
#endif

/* room: a damaged header may say any size. */
static inline bool
has_canary(const handle_store *store, uint64_t slot, size_t size, size_t room)
{
    uint64_t mask;
    const uint64_t *word = canary_word(store, slot, size, &mask);
    return sn_likely(size < room) &&
           ((load_beside_writers(word) ^ canary_of(store, slot)) & mask) == 0;
}

static SN_NOINLINE _Noreturn void
written_past_its_end(const handle_store *store, size_t size, const uint64_t *reference)
{
    sn_misuse(store, reference, "the object of %zu bytes was written past its end", size);
}

void
sn_canary_write(handle_store *store, uint64_t slot, size_t size)
{
    put_canary(store, slot, size);
}

bool
sn_canary_is_whole(const handle_store *store, uint64_t slot, size_t size)
{
    return has_canary(store, slot, size, room_of(store, slot));
}

void
sn_canary_check(const handle_store *store, uint64_t slot, size_t size, const uint64_t *reference)
{
    if (sn_unlikely(!sn_canary_is_whole(store, slot, size)))
        written_past_its_end(store, size, reference);
}

/* ---- poison ---------------------------------------------------------------------------------- */

/*
 * Both work in blocks of four steps. The last steps of a slot lie where they end with it, over the
 * ones before, so that slots of similar size take the same branches.
 */
typedef uint64_t step __attribute__((vector_size(16), aligned(8), may_alias));
#define BLOCK_BYTES (4 * sizeof(step))

static const step poison = {POISON, POISON};

/* Where the steps of a slot's last block begin. bytes: 16 to 64 more than `from`. */
static inline void
last_block(size_t from, size_t bytes, size_t at[4])
{
    size_t last = bytes - sizeof(step);
    for (size_t i = 0; i < 4; i++)
        at[i] = sn_min(from + i * sizeof(step), last);
}

static inline void
put_poison(uint64_t *data, size_t bytes)
{
    char *begin = (char *)data;
    size_t from = 0, at[4];
    sn_store_relaxed(&data[-1], POISONED_HEADER);
    data[0] = POISON;
    if (sn_unlikely(bytes == sizeof(*data)))
        return;
    for (; from + BLOCK_BYTES < bytes; from += BLOCK_BYTES) {
        for (size_t i = 0; i < 4; i++)
            *(step *)(void *)(begin + from + i * sizeof(step)) = poison;
    }
    last_block(from, bytes, at);
    for (size_t i = 0; i < 4; i++)
        *(step *)(void *)(begin + at[i]) = poison;
}

static inline step
difference(const char *at)
{
    return *(const step *)(const void *)at ^ poison;
}

static inline bool
has_poison(const uint64_t *data, size_t bytes)
{
    const char *begin = (const char *)data;
    size_t from = 0, at[4];
    if (sn_unlikely(bytes == sizeof(*data)))
        return data[0] == POISON;
    step wrong = {0, 0};
    for (; from + BLOCK_BYTES < bytes; from += BLOCK_BYTES) {
        const char *block = begin + from;
        wrong |= difference(block) | difference(block + 16) | difference(block + 32) |
                 difference(block + 48);
    }
    last_block(from, bytes, at);
    wrong |= difference(begin + at[0]) | difference(begin + at[1]) | difference(begin + at[2]) |
             difference(begin + at[3]);
    return (wrong[0] | wrong[1]) == 0;
}

/* A large object's pages go to the pool, and may be given to anybody: they are not poisoned. */
static bool
is_large(const handle_store *store, uint64_t slot)
{
    return sn_load_relaxed(&store->pool.class_of[sn_block_of(slot)]) >= SN_CLASSES_MAX;
}

void
sn_poison_write(handle_store *store, uint64_t slot)
{
    if (!is_large(store, slot))
        put_poison(sn_store_address(store, slot), room_of(store, slot));
}

bool
sn_poison_is_whole(const handle_store *store, uint64_t slot)
{
    const uint64_t *data = sn_store_address(store, slot);
    if (is_large(store, slot) || sn_load_relaxed(data - 1) != POISONED_HEADER)
        return true;
    /* A trim may have taken the pages meanwhile: it clears the header first. */
    return has_poison(data, room_of(store, slot)) || sn_load_acquire(data - 1) != POISONED_HEADER;
}

static SN_NOINLINE _Noreturn void
written_after_free(const handle_store *store, uint64_t slot)
{
    const unsigned char *data = sn_store_address(store, slot);
    size_t at = 0;
    while (data[at] == (unsigned char)POISON)
        at++;
    sn_misuse(store, NULL,
              "memory at offset %#llx was written at byte %zu after its object was freed or moved",
              (unsigned long long)slot, at);
}

void
sn_poison_check(const handle_store *store, uint64_t slot)
{
    if (sn_unlikely(!sn_poison_is_whole(store, slot)))
        written_after_free(store, slot);
}

/* ---- headers --------------------------------------------------------------------------------- */

void
sn_hardened_header_fault(const handle_store *store, uint64_t slot, uint64_t header,
                         const uint64_t *reference)
{
    if (reference && sn_header_is_sound(store->secret, header, slot) &&
        !sn_table_owns(&store->table, reference))
        sn_misuse(store, reference, "another cell names the object: was the cell copied?");
    sn_misuse(
        store, reference,
        "the header of the object at offset %#llx is damaged: written in front of it, or past "
        "the end of its neighbour",
        (unsigned long long)slot);
}
