/* SPDX-License-Identifier: MIT */
/* policy.c - ghosts, the ring's target, the hand's judgement; see policy.h. */
#include "cache/policy.h"

#define GHOSTS       32u /* of a line */
#define GHOSTS_STEER 12u /* the newest of them move the target */
#define STEER_KEYS   4u  /* one key in so many steers, for the others too: a miss is to be cheap */
#define STEPS_MOST   32u /* of one charge, when main's ghosts come back oftener than the ring's */
#define RING_LEAST   5u  /* percent of the budget */
#define RING_MOST    90u

static uint64_t
mean_charge(const sinter_cache *cache)
{
    uint64_t items = sc_load(&cache->policy.items);
    return items ? sc_max(sc_load(&cache->policy.used) / items, 1) : 1;
}

/* ---- ghosts ---------------------------------------------------------------------------------- */

/* Bit 0: the origin. Never 0, which is no ghost. */
static uint16_t
ghost_of(uint64_t hash, enum sc_origin origin)
{
    uint16_t bits = (uint16_t)(hash >> 32 & 0x7fff);
    return (uint16_t)((bits ? bits : 1) << 1 | (origin == SC_OF_MAIN));
}

static uint64_t *
ghosts_of(const sinter_cache *cache, uint64_t hash)
{
    /* Acquire, as in sc_bucket_at. */
    uint64_t count = sc_load_acquire(&cache->index.shape) & SC_SHAPE_COUNT;
    uint64_t bucket = sc_bucket_number(sc_place(hash), count);
    return sc_line(&cache->policy.ghosts, bucket / 4);
}

void
sc_policy_expect(const sinter_cache *cache, uint64_t hash)
{
    __builtin_prefetch(sc_bucket_at(cache, sc_place(hash)), 1);
    __builtin_prefetch(ghosts_of(cache, hash), 1);
    __builtin_prefetch(sc_bucket_at(cache, sc_other_place(sc_place(hash))), 1);
}

/* Nobody locks a line: a race loses a ghost, or doubles one. */
void
sc_ghost_put(sinter_cache *cache, uint64_t hash, enum sc_origin origin)
{
    uint64_t *line = ghosts_of(cache, hash);
    uint64_t carry = ghost_of(hash, origin);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t word = sc_load(&line[i]);
        sc_store(&line[i], word << 16 | carry);
        carry = word >> 48;
    }
}

/* Whether one of the four ghosts of a word is this one, whoever has left it: then 16 bits in a row
 * are 0 once the origins are left out. */
static bool
word_may_have(uint64_t word, uint16_t wanted)
{
    const uint64_t ones = UINT64_C(0x0001000100010001);
    uint64_t rest = (word | ones) ^ (wanted | 1u) * ones;
    return (rest - ones) & ~rest & ones << 15;
}

/* Where a key's ghost is among the newest of its line, 0 the first; `count`: it is not there. */
static inline unsigned
find_ghost(const uint64_t *line, uint64_t hash, unsigned count)
{
    uint16_t wanted = ghost_of(hash, SC_OF_MAIN);
    for (unsigned i = 0; i < count / 4; i++) {
        uint64_t word = sc_load(&line[i]);
        for (unsigned k = 0; sc_unlikely(word_may_have(word, wanted)) && k < 4; k++) {
            if (((word >> 16 * k & 0xffff) | 1) == wanted)
                return 4 * i + k;
        }
    }
    return count;
}

static enum sc_origin
origin_at(const uint64_t *line, unsigned place)
{
    return sc_load(&line[place / 4]) >> place % 4 * 16 & 1 ? SC_OF_MAIN : SC_OF_RING;
}

static void
set_ghost(uint64_t *line, unsigned place, uint64_t ghost)
{
    unsigned shift = place % 4 * 16;
    uint64_t others = sc_load(&line[place / 4]) & ~(UINT64_C(0xffff) << shift);
    sc_store(&line[place / 4], others | ghost << shift);
}

/* ---- the ring's share ------------------------------------------------------------------------ */

static void
steer(sinter_cache *cache, enum sc_origin origin)
{
    struct sc_policy *policy = &cache->policy;
    uint64_t budget = sc_load(&cache->room.budget), target = sc_load(&policy->target);
    uint64_t step = STEER_KEYS * mean_charge(cache);
    if (origin == SC_OF_RING)
        target += step;
    else
        target = sc_less(
            target, step * sc_clamp(sc_load(&policy->left_ring) / (sc_load(&policy->left_main) + 1),
                                    1, STEPS_MOST));
    sc_store(&policy->target,
             sc_clamp(target, budget / 100 * RING_LEAST, budget / 100 * RING_MOST));
}

/* The ghost goes behind those that steer: another miss of its key does not steer again, and a set
 * still finds it. */
void
sc_policy_missed(sinter_cache *cache, uint64_t hash)
{
    if (hash >> 52 & (STEER_KEYS - 1))
        return;
    uint64_t *line = ghosts_of(cache, hash);
    unsigned place = find_ghost(line, hash, GHOSTS_STEER);
    if (sc_likely(place == GHOSTS_STEER))
        return;
    enum sc_origin origin = origin_at(line, place);
    set_ghost(line, place, 0);
    set_ghost(line, GHOSTS_STEER, ghost_of(hash, origin));
    steer(cache, origin);
}

bool
sc_policy_admit(sinter_cache *cache, uint64_t hash)
{
    uint64_t *line = ghosts_of(cache, hash);
    unsigned place = find_ghost(line, hash, GHOSTS);
    if (sc_likely(place == GHOSTS))
        return false;
    enum sc_origin origin = origin_at(line, place);
    set_ghost(line, place, 0);
    sc_count(cache, SC_GHOST_HITS);
    return origin == SC_OF_RING; /* what main threw out has to be hit again */
}

bool
sc_policy_ring_is_next(const sinter_cache *cache)
{
    uint64_t ring = sc_load(&cache->policy.ring_used);
    return ring > sc_load(&cache->policy.target) || ring >= sc_load(&cache->policy.used);
}

/* ---- sums ------------------------------------------------------------------------------------ */

void
sc_policy_change(sinter_cache *cache, int64_t items, int64_t charge, bool in_main)
{
    sc_add(&cache->policy.used, (uint64_t)charge);
    if (items)
        sc_add(&cache->policy.items, (uint64_t)items);
    if (!in_main)
        sc_add(&cache->policy.ring_used, (uint64_t)charge);
}

void
sc_policy_left(sinter_cache *cache, enum sc_origin origin)
{
    struct sc_policy *policy = &cache->policy;
    sc_add(origin == SC_OF_RING ? &policy->left_ring : &policy->left_main, 1);
    uint64_t ring = sc_load(&policy->left_ring), main = sc_load(&policy->left_main);
    if (ring + main > 2 * sc_load(&policy->items)) {
        sc_store(&policy->left_ring, ring / 2);
        sc_store(&policy->left_main, main / 2);
    }
}

/* ---- the hand -------------------------------------------------------------------------------- */

static uint32_t
lot(void)
{
    static __thread uint32_t state;
    if (!state)
        state = (uint32_t)(uintptr_t)&state | 1;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state & 0xffff;
}

/* A small item is spared by lot, and then keeps its hits, too: the hand takes it with the chance of
 * the root of its share of the mean charge, at least an eighth. */
static bool
spared(uint64_t charge, uint64_t mean)
{
    /* roots of (i + 1/2) / 16, times 65536 */
    static const uint16_t root[16] = {11585, 20066, 25905, 30652, 34755, 38423, 41770, 44869,
                                      47766, 50497, 53088, 55557, 57922, 60194, 62384, 64500};
    return charge < mean && lot() > root[charge * 16 / mean];
}

bool
sc_policy_hand_takes(sinter_cache *cache, struct sc_bucket *bucket, unsigned cell, uint64_t charge)
{
    bool by_size = !sc_load(&cache->policy.favour_bytes);
    uint64_t mean = mean_charge(cache);
    unsigned heat = sc_bucket_heat(bucket, cell);
    if (by_size && spared(charge, mean))
        return false;
    if (heat)
        sc_bucket_set_heat(bucket, cell, heat - (by_size && heat > 1 && charge > 2 * mean ? 2 : 1));
    return heat == 0;
}
