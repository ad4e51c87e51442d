/* SPDX-License-Identifier: MIT */
/* requested.c - see requested.h. */
#include "insight/requested.h"

#include "thread/drain.h"

#define UNIT_SHIFT 16 /* means and errors are in 2^-16 bytes */

/* Headers looked at in one look, at least and at most: 0.2 and 10 ms where each is a miss. */
#define LOOKS_MIN 1024
#define LOOKS_MAX 65536
/* A piece of a look ends behind the block in which it has looked at so many, or after so many
 * blocks: others wait meanwhile. */
#define PIECE_LOOKS  4096
#define PIECE_BLOCKS 65536
/* Of a class, in any case: to see that its sizes have changed. */
#define LOOKS_OF_CLASS 32
/* A look takes at most a fiftieth of the time. */
#define REST_FACTOR 50
/* After so many ticks a busy store is looked at though little has come or gone: sizes change in
 * place, too. */
#define QUIET_TICKS 8

static uint64_t
square_root(uint64_t of)
{
    uint64_t root = 0;
    for (uint64_t bit = UINT64_C(1) << 31; bit > 0; bit >>= 1) {
        uint64_t more = root | bit;
        if (more * more <= of)
            root = more;
    }
    return root;
}

/* The root of the sum of both squares, and at most a few too large. */
static uint64_t
add_errors(uint64_t a, uint64_t b)
{
    unsigned shift = 0;
    if (a == 0 || b == 0)
        return a + b;
    while ((a | b) >> shift >= UINT64_C(1) << 31)
        shift++;
    a >>= shift;
    b >>= shift;
    return (square_root(a * a + b * b) + 1) << shift;
}

/* How many sizes a class serves: its slack is less. */
static uint64_t
sizes_of(const handle_store *store, unsigned class_id)
{
    size_t largest = sn_class_max_size(&store->classes, class_id);
    return class_id == 0 ? largest + 1 : largest - sn_class_max_size(&store->classes, class_id - 1);
}

/* ---- the estimate ---------------------------------------------------------------------------- */

/* Rounded, as means are: so the sum over some thousand objects, all looked at, is exact. */
static uint64_t
to_bytes(uint64_t units)
{
    return (units + (UINT64_C(1) << (UNIT_SHIFT - 1))) >> UNIT_SHIFT;
}

/* Adds a class. *unknown: the error of what was never looked at. */
static void
add_class(const handle_store *store, unsigned class_id, uint64_t live, struct sn_estimate *sum,
          uint64_t *unknown)
{
    const struct sn_slack *slack = &store->requested.of[class_id];
    uint64_t known = sn_load_relaxed(&slack->known);
    uint64_t new =
        known ? sn_at_least_zero(sn_wrapping_sub(live, sn_load_relaxed(&slack->objects))) : live;
    uint64_t half = (sizes_of(store, class_id) - 1) << (UNIT_SHIFT - 1);
    uint64_t mean = known ? (uint32_t)known - 1 : half;
    sum->bytes += live * sn_class_max_size(&store->classes, class_id) - to_bytes(live * mean);
    sum->error = add_errors(sum->error, live * (known >> 32) >> UNIT_SHIFT);
    *unknown += new *half >> UNIT_SHIFT;
}

struct sn_estimate
sn_requested_estimate(const handle_store *store, const uint64_t *live)
{
    struct sn_estimate sum = {.bytes = sn_load_relaxed(&store->large.requested)};
    uint64_t unknown = 0;
    for (unsigned i = 0; i < store->classes.count; i++) {
        uint64_t objects = sn_at_least_zero(live[i]); /* a free may be seen before its allocation */
        if (objects > 0)
            add_class(store, i, objects, &sum, &unknown);
    }
    sum.error += unknown;
    return sum;
}

/* ---- a look ---------------------------------------------------------------------------------- */

static uint64_t
slots_in_use(const handle_store *store, unsigned class_id)
{
    const struct sn_heap_class *hc = &store->heap.of[class_id];
    if (!sn_heap_class_is_used(&store->heap, class_id))
        return 0;
    return sn_load_relaxed(&hc->used[SN_MOVABLE]) + sn_load_relaxed(&hc->used[SN_UNMOVABLE]);
}

/* Spread of all of a class's slack, in 1/16 byte: as last found, but not less than an eighth of
 * what it may be; that of even sizes when nothing was found yet. */
static uint64_t
spread(const handle_store *store, unsigned class_id, uint64_t slots)
{
    const struct sn_slack *slack = &store->requested.of[class_id];
    uint64_t sizes = sizes_of(store, class_id);
    return slots * sn_max(slack->known ? slack->deviation : sizes * 5, sizes * 2);
}

/* Looks that make three standard errors 0.4 % of all bytes: (3 / 0.004 * spread / bytes)^2. */
static uint64_t
looks_wanted(uint64_t spread_of_all, uint64_t bytes)
{
    uint64_t root = spread_of_all * 47 / sn_max(bytes, 1) + 1;
    return sn_min(sn_max(root * root, LOOKS_MIN), LOOKS_MAX);
}

/* Weyl's sequence, its bits mixed. */
static uint64_t
draw(handle_store *store)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    store->requested.random = sn_wrapping_add(store->requested.random, odd);
    return (store->requested.random ^ store->requested.random >> 32) * odd;
}

static void
plan(handle_store *store, struct sn_looks *looks)
{
    uint64_t all = 0, bytes = 0;
    for (unsigned i = 0; i < store->classes.count; i++) {
        looks[i].slots = slots_in_use(store, i);
        all += spread(store, i, looks[i].slots);
        bytes += looks[i].slots * sn_class_max_size(&store->classes, i);
    }
    uint64_t each = all / looks_wanted(all, bytes) + 1;
    for (unsigned i = 0; i < store->classes.count; i++) {
        uint64_t slots = looks[i].slots;
        uint64_t want = spread(store, i, slots) / each + LOOKS_OF_CLASS;
        looks[i].rate = want < slots ? (want << 32) / slots : UINT64_C(1) << 32;
        looks[i].due = draw(store) >> 32; /* where it begins is chance */
    }
}

static void
look_at_slot(const handle_store *store, unsigned class_id, uint64_t slot, struct sn_looks *looks)
{
    uint64_t header = sn_load_relaxed((uint64_t *)sn_store_address(store, slot - SN_HEADER_BYTES));
    if (!sn_header_has_object(store->secret, header, slot))
        return; /* in a thread's cache, say */
    uint64_t largest = sn_class_max_size(&store->classes, class_id);
    uint64_t slack = sn_min(sn_header_slack(header, largest), sizes_of(store, class_id) - 1);
    looks->count++;
    looks->slack += slack;
    looks->square += slack * slack;
}

/* `count` of the slots from begin on, one by chance from each of as many parts: at even distances
 * sizes that come by turns would all be the same one. Under the class's lock, so that the span
 * stays one of the class, and its pages what they are. */
static void
look_at_slots_locked(handle_store *store, unsigned class_id, uint32_t number, uint64_t begin,
                     uint64_t slots, uint64_t count, struct sn_looks *looks)
{
    const struct sn_class *c = &store->classes.of[class_id];
    uint64_t step = count > 0 ? (slots << 20) / count : 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = i * step + ((draw(store) >> 32) * step >> 32); /* below (i + 1) * step */
        uint32_t slot = (uint32_t)(begin + (at >> 20));
        if (*sn_span_bits(&store->pool, number, slot / 64) >> (slot % 64) & 1)
            look_at_slot(store, class_id, sn_slot_offset(c, number, slot), looks);
    }
}

/* A block of a class: in its part of the span's slots as many looks as are due. Result: their
 * number. */
static uint64_t
look_at_block(handle_store *store, unsigned class_id, uint32_t block, struct sn_looks *looks)
{
    const struct sn_class *c = &store->classes.of[class_id];
    bool all = looks->rate >> 32 != 0;
    uint64_t count = 0;
    looks->due += looks->rate * c->slots / c->blocks;
    if (!all && looks->due >> 32 == 0)
        return 0;
    sn_lock(&store->heap.of[class_id].lock);
    uint32_t number = sn_span_head(&store->pool.spans[block]), part = block - number;
    if (part < c->blocks && sn_heap_is_of_class_locked(&store->heap, number, class_id)) {
        uint64_t begin = c->slots * part / c->blocks;
        uint64_t slots = c->slots * (part + 1) / c->blocks - begin;
        count = all ? slots : sn_min(looks->due >> 32, slots);
        look_at_slots_locked(store, class_id, number, begin, slots, count, looks);
    }
    sn_unlock(&store->heap.of[class_id].lock);
    looks->due &= UINT32_MAX;
    return count;
}

/* Makes a mean and an error of what was found. To the variance one object is added, as far from the
 * mean as can be: for those that the sample may have missed. */
static void
conclude(handle_store *store, unsigned class_id, const struct sn_looks *looks)
{
    struct sn_slack *slack = &store->requested.of[class_id];
    if (looks->count == 0) {
        sn_store_relaxed(&slack->known, 0);
        return;
    }
    uint64_t n = looks->count, sizes = sizes_of(store, class_id);
    uint64_t mean = ((looks->slack << UNIT_SHIFT) + n / 2) / n;
    uint64_t squares = looks->square - looks->slack * looks->slack / n;
    uint64_t variance = (squares + (sizes - 1) * (sizes - 1)) * 256 / n;
    uint64_t error = square_root((variance * 9 << 24) / n);
    bool all = looks->rate >> 32 != 0;
    slack->deviation = (uint32_t)square_root(variance);
    sn_store_relaxed(&slack->objects, looks->slots);
    sn_store_relaxed(&slack->known, (all ? 0 : error << 32) | (mean + 1));
}

/* Without memory for the plan there is no look now. */
static void
begin_look(handle_store *store)
{
    struct sn_looks *looks = sn_os_zalloc(store->classes.count * sizeof(*looks));
    if (!looks)
        return;
    plan(store, looks);
    store->requested.looks = looks;
    store->requested.end = sn_load_relaxed(&store->pool.high);
    store->requested.at = 1;
    store->requested.spent_ns = 0;
}

/* look_at_block, if the block is one of a class in use; else 0. */
static uint64_t
look_at_any_block(handle_store *store, uint32_t block)
{
    unsigned class_id = sn_load_relaxed(&store->pool.class_of[block]);
    if (class_id >= store->classes.count || !sn_heap_class_is_used(&store->heap, class_id))
        return 0;
    return look_at_block(store, class_id, block, &store->requested.looks[class_id]);
}

static void
end_look(handle_store *store)
{
    for (unsigned i = 0; i < store->classes.count; i++)
        if (store->requested.looks[i].slots > 0)
            conclude(store, i, &store->requested.looks[i]);
    sn_requested_give_up(store);
}

void
sn_requested_give_up(handle_store *store)
{
    sn_os_free(store->requested.looks);
    store->requested.looks = NULL;
}

void
sn_requested_look_some(handle_store *store)
{
    struct sn_requested *requested = &store->requested;
    uint64_t begin_ns = sn_os_now_ns(), looks = 0;
    uint32_t end = (uint32_t)sn_min(requested->end, (uint64_t)requested->at + PIECE_BLOCKS);
    for (; requested->at < end && looks < PIECE_LOOKS; requested->at++)
        looks += look_at_any_block(store, requested->at);
    if (requested->at >= requested->end)
        end_look(store);
    uint64_t now_ns = sn_os_now_ns();
    requested->spent_ns += now_ns - begin_ns;
    requested->next_ns = now_ns + requested->spent_ns * REST_FACTOR;
}

unsigned
sn_requested_look(handle_store *store)
{
    unsigned pieces = 0;
    begin_look(store);
    for (; sn_requested_is_looking(store); pieces++)
        sn_requested_look_some(store);
    return pieces;
}

/* ---- when to look ---------------------------------------------------------------------------- */

/* Whether a 32nd of the objects has come or gone since the last look. */
static bool
has_changed(handle_store *store, uint64_t frees, uint64_t used)
{
    const struct sn_requested *requested = &store->requested;
    uint64_t freed = sn_wrapping_sub(frees, requested->frees);
    uint64_t grown = sn_at_least_zero(sn_wrapping_sub(used, requested->used));
    return freed + grown > used / 32;
}

void
sn_requested_tend(handle_store *store, bool active, uint64_t now_ns)
{
    struct sn_requested *requested = &store->requested;
    uint64_t used = 0, frees = sn_caches_frees(&store->caches);
    for (unsigned i = 0; i < store->classes.count; i++)
        used += slots_in_use(store, i);
    bool comes_to_rest = !active && !requested->rests;
    requested->rests = !active;
    requested->ticks++;
    if (sn_requested_is_looking(store) ||
        (!comes_to_rest &&
         (now_ns < requested->next_ns ||
          !(has_changed(store, frees, used) || (active && requested->ticks >= QUIET_TICKS)))))
        return;
    requested->frees = frees;
    requested->used = used;
    requested->ticks = 0;
    begin_look(store);
}
