/* SPDX-License-Identifier: MIT */
/* profile.c - see profile.h. */
#include "core/profile.h"

#include <string.h>

#include "base/probes.h"
#include "os/stack.h"
#include "thread/drain.h"

#define BUCKETS       16384u /* a power of two, of records and of sites */
#define CHUNK_RECORDS 1024u
#define CHUNK_SITES   64u
#define LOOKS         4u
#define NEVER         (INT64_MAX / 2)

struct sn_profile {
    uint64_t store_number;
    /* guarded by the store's profile_lock */
    uint32_t records, sites; /* in use at some time, from 1 on */
    uint32_t hand;           /* the record that was last looked at for one that can go */
    uint32_t free;           /* list of records; 0: none */
    uint32_t used;           /* records that are not free */
    uint64_t changed;        /* draws when `coarser` last changed */
    uint32_t record_bucket[BUCKETS], site_bucket[BUCKETS];
    struct sn_profile_record *record_chunk[SN_PROFILE_RECORDS_MAX / CHUNK_RECORDS];
    struct sn_profile_site *site_chunk[SN_PROFILE_SITES_MAX / CHUNK_SITES];
    /* atomic */
    uint64_t coarser; /* the mean is so many times larger, for want of room */
    uint64_t random;  /* for what goes when the table is full */
    uint64_t draws;
    uint64_t lost; /* for want of memory or room for sites */
};

/* ---- chance ---------------------------------------------------------------------------------- */

/* Without libm. ln x for 1 <= x < 2, by the series of the inverse hyperbolic tangent. */
static double
log_of(double x)
{
    double y = (x - 1) / (x + 1), power = y, sum = 0;
    for (unsigned i = 1; i < 20; i += 2) {
        sum += power / i;
        power *= y * y;
    }
    return 2 * sum;
}

double
sn_profile_exponential(uint64_t random)
{
    const double log_2 = 0.6931471805599453;
    random |= 1; /* not 0 */
    unsigned zeros = (unsigned)__builtin_clzll(random);
    double mantissa = (double)(random << zeros >> 1) / (double)(INT64_C(1) << 62); /* 1 to 2 */
    double of_uniform = log_of(mantissa < 2 ? mantissa : 1.9999999) - (zeros + 1) * log_2;
    return -of_uniform;
}

double
sn_profile_probability(double x)
{
    if (x > 40)
        return 1;
    unsigned halvings = 0;
    while (x > 0.01) {
        x /= 2;
        halvings++;
    }
    double p = x * (1 - x / 2 * (1 - x / 3 * (1 - x / 4)));
    for (; halvings > 0; halvings--) /* 1 - q^2 of 1 - q */
        p = p * (2 - p);
    return p;
}

static uint64_t
draw_random(uint64_t *state)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    if (*state == 0)
        *state = sn_os_random() | 1;
    *state = sn_wrapping_add(*state, odd);
    uint64_t mixed = (*state ^ *state >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void *
charge_chunk(handle_store *store, size_t bytes)
{
    if (!sn_budget_charge(&store->budget, bytes, SN_CHARGE_APPLICATION))
        return NULL;
    void *chunk = sn_os_zalloc(bytes);
    if (chunk)
        sn_add_relaxed(&store->profile_bytes, bytes);
    else
        sn_budget_refund(&store->budget, bytes);
    return chunk;
}

/* Whoever sums up meanwhile finds it charged and not yet counted, or the other way. */
static void *
make_chunk(handle_store *store, size_t bytes)
{
    sn_caches_begin_work(&store->caches);
    void *chunk = charge_chunk(store, bytes);
    sn_caches_end_work(&store->caches);
    return chunk;
}

static struct sn_profile_record *
record_at(const struct sn_profile *p, uint32_t number)
{
    return &p->record_chunk[number / CHUNK_RECORDS][number % CHUNK_RECORDS];
}

static struct sn_profile_site *
site_at(const struct sn_profile *p, uint32_t number)
{
    return &p->site_chunk[number / CHUNK_SITES][number % CHUNK_SITES];
}

static uint32_t *
bucket_of(struct sn_profile *p, uint64_t slot)
{
    return &p->record_bucket[slot * UINT64_C(0x9e3779b97f4a7c15) >> 50];
}

static uint32_t
find_locked(struct sn_profile *p, uint64_t slot)
{
    uint32_t number = *bucket_of(p, slot);
    while (number && record_at(p, number)->slot != slot)
        number = record_at(p, number)->next;
    return number;
}

static void
insert_locked(struct sn_profile *p, uint32_t number, uint64_t slot)
{
    record_at(p, number)->slot = slot;
    record_at(p, number)->next = *bucket_of(p, slot);
    *bucket_of(p, slot) = number;
}

static void
remove_locked(struct sn_profile *p, uint32_t number)
{
    uint32_t *link = bucket_of(p, record_at(p, number)->slot);
    while (*link != number)
        link = &record_at(p, *link)->next;
    *link = record_at(p, number)->next;
    record_at(p, number)->slot = 0;
}

/* What tracers know a drawn object by: no address of user space, and no other store's. */
static uint64_t
identity_of(const struct sn_profile *p, uint64_t number)
{
    return UINT64_C(1) << 63 | p->store_number << 40 | number;
}

static void
free_locked(struct sn_profile *p, uint32_t number)
{
    sn_probe_of(otel_memory, 1, free, identity_of(p, record_at(p, number)->number));
    remove_locked(p, number);
    record_at(p, number)->next = p->free;
    p->free = number;
    p->used--;
}

/* A new object comes to the slot: what there is speaks of one that is gone. */
static void
forget_locked(struct sn_profile *p, uint64_t slot)
{
    uint32_t number = find_locked(p, slot);
    if (number)
        free_locked(p, number);
}

/* Drops those of the next records in turn that speak of nobody: so many for each that is made, that
 * not much more than a quarter of the table does. */
static void
drop_some_locked(handle_store *store)
{
    struct sn_profile *p = store->profile;
    struct sn_profile_object object;
    for (unsigned looks = 0; looks < LOOKS && p->records > 0; looks++) {
        p->hand = p->hand % p->records + 1;
        uint64_t slot = record_at(p, p->hand)->slot;
        if (slot != 0 && !sn_profile_look(store, slot, &object))
            free_locked(p, p->hand);
    }
}

/* The table is full of what lives: about every second one goes, the others count twice. By chance:
 * free records are given out again in order, so that those of even numbers would all be young. */
static void
thin_locked(struct sn_profile *p)
{
    for (uint32_t i = 1; i <= p->records; i++) {
        struct sn_profile_record *record = record_at(p, i);
        if (record->slot != 0 && draw_random(&p->random) >> 63)
            free_locked(p, i);
        else
            record->weight *= 2;
    }
    sn_store_relaxed(&p->coarser, p->coarser * 2);
    p->changed = p->draws;
}

/* Where there is room again, and has been for a while, objects are drawn as often again. */
static void
refine_locked(struct sn_profile *p)
{
    if (p->coarser == 1 || p->used > SN_PROFILE_RECORDS_MAX / 4 ||
        p->draws - p->changed < SN_PROFILE_RECORDS_MAX / 8)
        return;
    sn_store_relaxed(&p->coarser, p->coarser / 2);
    p->changed = p->draws;
}

/* A free record; 0: no memory. */
static uint32_t
take_record_locked(handle_store *store)
{
    struct sn_profile *p = store->profile;
    drop_some_locked(store);
    refine_locked(p);
    if (!p->free && p->records + 1 == SN_PROFILE_RECORDS_MAX)
        thin_locked(p);
    uint32_t number = p->free;
    if (number) {
        p->free = record_at(p, number)->next;
        p->used++;
        return number;
    }
    struct sn_profile_record **chunk = &p->record_chunk[(p->records + 1) / CHUNK_RECORDS];
    if (!*chunk)
        *chunk = make_chunk(store, CHUNK_RECORDS * sizeof(**chunk));
    p->used += *chunk != NULL;
    return *chunk ? ++p->records : 0;
}

static uint64_t
hash_of(void *const *frame, uint32_t depth)
{
    uint64_t hash = depth;
    for (uint32_t i = 0; i < depth; i++)
        hash = (hash ^ (uintptr_t)frame[i]) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

/* The number of a stack's site. 0: no room. */
static uint32_t
find_site_locked(handle_store *store, void *const *frame, uint32_t depth)
{
    struct sn_profile *p = store->profile;
    uint64_t hash = hash_of(frame, depth);
    uint32_t *bucket = &p->site_bucket[hash % BUCKETS], number = *bucket;
    for (; number; number = site_at(p, number)->next)
        if (site_at(p, number)->hash == hash)
            return number;
    if (p->sites + 1 == SN_PROFILE_SITES_MAX)
        return 0;
    struct sn_profile_site **chunk = &p->site_chunk[(p->sites + 1) / CHUNK_SITES];
    if (!*chunk)
        *chunk = make_chunk(store, CHUNK_SITES * sizeof(**chunk));
    if (!*chunk)
        return 0;
    number = ++p->sites;
    *site_at(p, number) = (struct sn_profile_site){.hash = hash, .next = *bucket, .depth = depth};
    memcpy(site_at(p, number)->frame, frame, depth * sizeof(*frame));
    *bucket = number;
    return number;
}

/* ---- drawing --------------------------------------------------------------------------------- */

static uint64_t
mean_of(const handle_store *store)
{
    uint64_t wanted = sn_load_relaxed(&store->options.profile.sample_bytes);
    uint64_t committed = sn_load_relaxed(&store->pool.arena_committed);
    if (wanted == 0)
        wanted = sn_min(sn_max(committed / SN_PROFILE_SAMPLES, SN_PROFILE_MEAN_MIN),
                        SN_PROFILE_MEAN_MAX);
    return wanted * sn_load_relaxed(&store->profile->coarser);
}

/* How far it is to the next one. */
static void
draw_next(const handle_store *store, struct sn_thread_cache *cache)
{
    cache->draw_epoch = sn_load_relaxed(&store->profile_epoch);
    cache->draw_in = NEVER;
    if (!sn_load_relaxed(&store->options.profile.enabled) || !sn_load_acquire(&store->profile))
        return;
    cache->draw_mean = mean_of(store);
    cache->draw_in = (int64_t)((double)cache->draw_mean *
                               sn_profile_exponential(draw_random(&cache->draw_random)));
}

/* Marks the header, too, if `marks`: under the lock, as else the record would speak of nobody. */
static void
make_record(handle_store *store, uint64_t slot, size_t size, double weight, bool marks)
{
    void *frame[SN_PROFILE_FRAMES];
    struct sn_profile *p = store->profile;
    uint64_t *header = sn_header_of(&store->pool, slot);
    uint32_t depth = sn_stack_take(frame, SN_PROFILE_FRAMES);
    uint64_t identity = 0;
    sn_lock(&store->profile_lock);
    uint32_t site = find_site_locked(store, frame, depth);
    forget_locked(p, slot);
    uint32_t number = site ? take_record_locked(store) : 0;
    if (number) {
        *record_at(p, number) = (struct sn_profile_record){
            .since_ns = sn_os_now_ns(), .weight = weight, .site = site, .number = p->draws + 1};
        sn_store_relaxed(&p->draws, p->draws + 1);
        identity = identity_of(p, p->draws);
        insert_locked(p, number, slot);
        site_at(p, site)->allocs += weight;
        site_at(p, site)->alloc_bytes += weight * (double)size;
        /* Release: as in sn_object_set_owner. Nobody else looks at it before it is published. */
        if (marks)
            sn_store_release(header,
                             sn_header_with_mark(sn_load_relaxed(header), SN_HEADER_SAMPLED));
    } else {
        sn_add_relaxed(&p->lost, 1);
    }
    sn_unlock(&store->profile_lock);
    if (number)
        sn_probe_of(otel_memory, 3, alloc, identity, size, (uint64_t)(weight * (double)size + 0.5));
    (void)identity; /* where there are no probes */
}

void
sn_profile_keep(handle_store *store, uint64_t slot, size_t size, double weight)
{
    make_record(store, slot, size, weight, true);
}

void
sn_profile_keep_marked(handle_store *store, uint64_t slot, size_t size, double weight)
{
    make_record(store, slot, size, weight, false);
}

double
sn_profile_draw(handle_store *store, size_t size)
{
    struct sn_thread_cache *cache = sn_cache_self(&store->caches);
    if (cache->shared) /* others use it, too: what has no cache of its own is not drawn */
        return 0;
    bool changed = cache->draw_epoch != sn_load_relaxed(&store->profile_epoch);
    if (cache->draw_in >= 0 && !changed) /* the fast path had another reason to fail */
        cache->draw_in -= (int64_t)size;
    if (sn_likely(cache->draw_in >= 0) && !changed)
        return 0;
    uint64_t mean = cache->draw_mean;
    draw_next(store, cache);
    if (changed || cache->draw_in == NEVER || size == 0)
        return 0;
    return 1 / sn_profile_probability((double)size / (double)mean);
}

uint64_t
sn_profile_draws(const handle_store *store)
{
    const struct sn_profile *p = sn_load_acquire(&store->profile);
    return p ? sn_load_relaxed(&p->draws) : 0;
}

void
sn_profile_moved(handle_store *store, uint64_t from, uint64_t to, uint64_t before, bool by_mover)
{
    struct sn_profile *p = sn_load_acquire(&store->profile);
    if (!p)
        return;
    sn_lock(&store->profile_lock);
    uint32_t number = find_locked(p, from), other = find_locked(p, to);
    if (other && record_at(p, other)->number > before) {
        forget_locked(p, from); /* it has ended there meanwhile, and the next one was drawn */
        number = 0;
    } else if (other) {
        free_locked(p, other); /* also if the table was thinned of this one's record */
    }
    if (number) {
        remove_locked(p, number);
        record_at(p, number)->moves += by_mover;
        insert_locked(p, number, to);
    }
    sn_unlock(&store->profile_lock);
}

/* ---- looking --------------------------------------------------------------------------------- */

uint32_t
sn_profile_records(handle_store *store, uint32_t *at, struct sn_profile_record *to, uint32_t max)
{
    struct sn_profile *p = sn_load_acquire(&store->profile);
    uint32_t count = 0;
    if (!p)
        return 0;
    sn_lock(&store->profile_lock);
    for (*at += *at == 0; *at <= p->records && count < max; ++*at)
        if (record_at(p, *at)->slot != 0)
            to[count++] = *record_at(p, *at);
    sn_unlock(&store->profile_lock);
    return count;
}

bool
sn_profile_site(handle_store *store, uint32_t number, struct sn_profile_site *to)
{
    struct sn_profile *p = sn_load_acquire(&store->profile);
    if (!p)
        return false;
    sn_lock(&store->profile_lock);
    bool found = number >= 1 && number <= p->sites;
    if (found)
        *to = *site_at(p, number);
    sn_unlock(&store->profile_lock);
    return found;
}

static bool
is_wanted(const handle_store *store, uint64_t header, uint64_t slot, bool marked)
{
    return sn_header_has_object(store->secret, header, slot) &&
           (!marked || sn_marks_sampled(sn_header_marks(store->secret, header, slot)));
}

static bool
look_at_large(handle_store *store, uint64_t slot, bool marked, struct sn_profile_object *object)
{
    struct sn_pool *pool = &store->pool;
    const struct sn_span *span = &pool->spans[sn_block_of(slot)];
    sn_lock(&pool->lock);
    bool found = sn_span_state(span) == SN_SPAN_LARGE &&
                 slot == sn_span_offset(sn_block_of(slot)) &&
                 is_wanted(store, sn_load_relaxed(&span->large_header), slot, marked);
    uint64_t size = sn_load_relaxed(&span->u.large_size), pages = sn_load_relaxed(&span->free);
    sn_unlock(&pool->lock);
    if (!found)
        return false;
    *object = (struct sn_profile_object){.size = size, .slot_bytes = pages << SN_PAGE_SHIFT};
    object->rounding = object->slot_bytes - sn_min(size, object->slot_bytes);
    if (sn_pins_look(&store->heap.pins, sn_block_of(slot), 0) != 0)
        object->pinned = (double)object->slot_bytes;
    return true;
}

/* How many slots of a span are pinned; at least 1. */
static double
count_pinned_locked(handle_store *store, uint32_t number, uint32_t slots)
{
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < slots; slot++)
        count += (*sn_span_bits(&store->pool, number, slot / 64) >> slot % 64 & 1) &&
                 sn_pins_look(&store->heap.pins, number, slot) != 0;
    return (double)sn_max(count, 1);
}

/* Under the class's lock: the span stays what it is. */
static bool
look_in_span_locked(handle_store *store, unsigned class_id, uint64_t slot, bool marked,
                    struct sn_profile_object *object)
{
    const struct sn_class *c = &store->classes.of[class_id];
    const struct sn_span *span = sn_span_at(&store->pool, slot);
    uint32_t number = sn_span_number(&store->pool, span);
    if (!sn_heap_is_of_class_locked(&store->heap, number, class_id) ||
        slot < sn_slot_offset(c, number, 0))
        return false;
    uint32_t at = sn_slot_of(c, number, slot);
    if (at >= c->slots || sn_slot_offset(c, number, at) != slot ||
        !(*sn_span_bits(&store->pool, number, at / 64) >> at % 64 & 1))
        return false;
    uint64_t header = sn_load_relaxed(sn_header_of(&store->pool, slot));
    if (!is_wanted(store, header, slot, marked))
        return false;
    uint64_t largest = sn_class_max_size(&store->classes, class_id);
    uint64_t size = largest - sn_min(sn_header_slack(header, largest), largest);
    uint64_t used = c->slots - sn_min(span->free, c->slots - 1), taken = used * c->slot_bytes;
    uint64_t committed = (uint64_t)span->pages << SN_PAGE_SHIFT;
    double spare = committed > taken ? (double)(committed - taken) : 0;
    *object = (struct sn_profile_object){.size = size,
                                         .slot_bytes = c->slot_bytes,
                                         .rounding = c->slot_bytes - SN_HEADER_BYTES - size,
                                         .sparse = spare / (double)used};
    if (sn_pins_any(span) && sn_pins_look(&store->heap.pins, number, at) != 0)
        object->pinned =
            (double)c->slot_bytes + spare / count_pinned_locked(store, number, c->slots);
    return true;
}

static bool
look(handle_store *store, uint64_t slot, bool marked, struct sn_profile_object *object)
{
    unsigned class_id = sn_load_relaxed(&store->pool.class_of[sn_block_of(slot)]);
    if (class_id == SN_CLASS_LARGE)
        return look_at_large(store, slot, marked, object);
    if (class_id >= SN_CLASSES_MAX || !sn_heap_class_is_used(&store->heap, class_id))
        return false;
    sn_lock(&store->heap.of[class_id].lock);
    bool found = look_in_span_locked(store, class_id, slot, marked, object);
    sn_unlock(&store->heap.of[class_id].lock);
    return found;
}

bool
sn_profile_look(handle_store *store, uint64_t slot, struct sn_profile_object *object)
{
    return look(store, slot, true, object);
}

bool
sn_profile_look_any(handle_store *store, uint64_t slot, struct sn_profile_object *object)
{
    return look(store, slot, false, object);
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool
make(handle_store *store)
{
    struct sn_profile *p = make_chunk(store, sn_round_up(sizeof(*p), SN_PAGE_BYTES));
    if (!p)
        return false;
    p->coarser = 1;
    p->store_number = store->number;
    sn_stack_prepare();
    /* Release: who finds it finds it as it was made. */
    sn_store_release(&store->profile, p);
    return true;
}

bool
sn_profile_configure(handle_store *store)
{
    if (sn_load_relaxed(&store->options.profile.enabled) && !store->profile && !make(store))
        return false;
    sn_add_relaxed(&store->profile_epoch, 1);
    return true;
}

void
sn_profile_destroy(handle_store *store)
{
    struct sn_profile *p = store->profile;
    if (!p)
        return;
    for (uint32_t i = 0; i < SN_PROFILE_RECORDS_MAX / CHUNK_RECORDS; i++)
        sn_os_free(p->record_chunk[i]);
    for (uint32_t i = 0; i < SN_PROFILE_SITES_MAX / CHUNK_SITES; i++)
        sn_os_free(p->site_chunk[i]);
    sn_os_free(p);
    store->profile = NULL;
}

uint64_t
sn_profile_lost(const handle_store *store)
{
    const struct sn_profile *p = sn_load_acquire(&store->profile);
    return p ? sn_load_relaxed(&p->lost) : 0;
}
