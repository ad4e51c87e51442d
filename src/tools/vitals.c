/* SPDX-License-Identifier: MIT */
/* vitals.c - see vitals.h. */
#include "tools/vitals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/class_use.h"
#include "tools/commands.h"
#include "tools/reader_layout.h"

#define SECOND      UINT64_C(1000000000)
#define STRIPES_MAX 256u

/* X(how it is called here, there, bytes that it must have; 0: a constant, or of any size) */
#define VITAL_NAMES(X)                                                                             \
    X(used_entries, "store.table.used_entries", 8)                                                 \
    X(dead_entries, "store.table.dead_entries", 8)                                                 \
    X(retired_entries, "store.retired_entries", 8)                                                 \
    X(index_top, "cache.index_top", 8)                                                             \
    X(indexes, "cache.indexes", 8)                                                                 \
    X(failure_reason, "store.alloc_failure_reason", 4)                                             \
    X(errors, "store.errors_reported", 8)                                                          \
    X(totals, "store.mover.totals", 0)                                                             \
    X(moved_objects, "totals.moved_objects", 8)                                                    \
    X(refused, "totals.refused", 64)                                                               \
    X(large, "store.large.requested", 8)                                                           \
    X(oldest, "store.pool.oldest", 4)                                                              \
    X(since_ns, "span.u.since_ns", 8)                                                              \
    X(purge_failed, "store.pool.last_purge_failed", 4)                                             \
    X(purge_delay_ms, "store.options.purge_delay_ms", 8)                                           \
    X(hugepages, "store.options.hugepages", 4)                                                     \
    X(stripes, "store.heap.pins.stripes", 0)                                                       \
    X(stripe_count, "pin_stripes", 0)                                                              \
    X(stripe_bytes, "sizeof.pin_stripe", 0)                                                        \
    X(held, "pin_stripe.held", 8)                                                                  \
    X(movable, "heap_class.movable", 0)                                                            \
    X(kept, "heap_class.kept", 8)                                                                  \
    X(spans, "heap_class.spans", 8)                                                                \
    X(aside, "heap_class.aside", 4)                                                                \
    X(pages, "heap_class.pages", 16)

struct vital_layout {
#define MEMBER(here, there, bytes) uint32_t here;
    VITAL_NAMES(MEMBER)
#undef MEMBER
};

static const struct reader_name names[] = {
#define NAME(here, there, bytes) {there, bytes},
    VITAL_NAMES(NAME)
#undef NAME
};
#define NAMES_COUNT (sizeof(names) / sizeof(names[0]))
_Static_assert(sizeof(struct vital_layout) == NAMES_COUNT * sizeof(uint32_t), "one for each name");

struct vitals {
    struct reader *reader;
    struct vital_layout at;
};

bool
vitals_open(struct reader *reader, struct vitals **vitals, const char **error)
{
    uint64_t list;
    struct vitals *v = calloc(1, sizeof(*v));
    *error = NULL;
    if (v &&
        reader_table(reader, "SINTERDB", names, NAMES_COUNT, (uint32_t *)&v->at, &list, error)) {
        v->reader = reader;
        if (v->at.stripe_count <= STRIPES_MAX && v->at.movable <= 1) {
            *vitals = v;
            return true;
        }
        *error = "its table of offsets is damaged";
    }
    if (!*error)
        *error = v ? "its table of offsets is not there any more" : "no memory";
    free(v);
    return false;
}

void
vitals_close(struct vitals *vitals)
{
    free(vitals);
}

/* ---- what compaction could free -------------------------------------------------------------- */

/* As sn_heap_class_sums has it. */
static struct sn_class_use
class_use(const struct vitals *vitals, const struct reader_store *store, uint32_t class_id,
          bool *good)
{
    const struct reader *reader = vitals->reader;
    const struct layout *at = &reader->at;
    const struct vital_layout *v = &vitals->at;
    const struct reader_class *c = &store->of[class_id];
    uint64_t of = store->at + at->heap_of + (uint64_t)class_id * at->sizeof_heap_class;
    uint64_t used = of + at->heap_class_used + UINT64_C(8) * v->movable;
    uint64_t pages = of + v->pages + UINT64_C(8) * v->movable;
    uint64_t spans = of + v->spans + UINT64_C(4) * v->movable;
    return (struct sn_class_use){.slots = c->slots,
                                 .slot_bytes = c->slot_bytes,
                                 .span_bytes = c->pages * UINT64_C(4096),
                                 .committed =
                                     reader_number(reader, pages, 8, good) * store->page_bytes,
                                 .used = reader_number(reader, used, 8, good) +
                                         (reader_number(reader, of + v->kept, 8, good) != 0),
                                 .spans = (uint32_t)reader_number(reader, spans, 4, good),
                                 .aside = (uint32_t)reader_number(reader, of + v->aside, 4, good)};
}

static uint64_t
recoverable(const struct vitals *vitals, const struct reader_store *store, bool *good)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < store->classes; i++) {
        struct sn_class_use use = class_use(vitals, store, i, good);
        sum += sn_excess_bytes(&use, 0);
    }
    return sum;
}

/* ---- figures --------------------------------------------------------------------------------- */

static uint64_t
pins(const struct vitals *vitals, const struct reader_store *store, bool *good)
{
    uint64_t sum = 0;
    const struct vital_layout *v = &vitals->at;
    for (uint32_t i = 0; i < v->stripe_count; i++)
        sum += reader_number(vitals->reader,
                             store->at + v->stripes + (uint64_t)i * v->stripe_bytes + v->held, 8,
                             good);
    return sum;
}

/* As the steps of handle_store_stats; what only threads know is which of the slots that wait they
 * cache. */
static void
fill_steps(const struct vitals *vitals, const struct reader_store *store,
           const struct sn_map_sums *sums, struct handle_stats *stats)
{
    uint64_t cached[READER_CLASSES_MAX] = {0};
    reader_cached(vitals->reader, store, cached);
    for (uint32_t i = 0; i < store->classes; i++)
        stats->thread_cache += cached[i] * store->of[i].slot_bytes;
    if (stats->thread_cache > sums->waiting)
        stats->thread_cache = sums->waiting;
    stats->limbo = sums->waiting - stats->thread_cache;
    stats->requested = sums->requested;
    stats->rounding = sums->rounding;
    stats->header = sums->header;
    stats->free_slot = sums->free_slot;
    stats->empty_span = sums->empty_span;
    stats->table = sums->table;
    stats->metadata = sums->metadata;
    stats->committed = sums->committed;
    stats->objects = sums->objects;
    stats->objects_large = sums->objects_large;
}

static void
fill_objects(const struct vitals *vitals, const struct reader_store *store,
             struct handle_stats *stats, bool *good)
{
    const struct reader *reader = vitals->reader;
    const struct vital_layout *v = &vitals->at;
    uint64_t used = reader_number(reader, store->at + v->used_entries, 8, good);
    uint64_t dead = reader_number(reader, store->at + v->dead_entries, 8, good);
    uint64_t others = reader_stacked(reader, store, v->index_top, v->indexes) + dead +
                      reader_number(reader, store->at + v->retired_entries, 8, good);
    stats->objects_by_handle = used > others ? used - others : 0;
    stats->table_entries_dead = dead;
    stats->large = reader_number(reader, store->at + v->large, 8, good);
    stats->pins = pins(vitals, store, good);
    stats->alloc_failures = store->failures;
    stats->alloc_failure_reason =
        (uint32_t)reader_number(reader, store->at + v->failure_reason, 4, good);
    stats->errors_reported = reader_number(reader, store->at + v->errors, 8, good);
    stats->max_bytes = store->max_bytes;
    stats->reserved =
        store->table - store->lower + store->table_bytes + ((uint64_t)store->limit << 16);
}

static void
fill_compaction(const struct vitals *vitals, const struct reader_store *store,
                struct handle_stats *stats, bool *good)
{
    const struct reader *reader = vitals->reader;
    const struct vital_layout *v = &vitals->at;
    uint64_t totals = store->at + v->totals;
    stats->recoverable = recoverable(vitals, store, good);
    stats->moved_bytes = store->moved_bytes;
    stats->moved_objects = reader_number(reader, totals + v->moved_objects, 8, good);
    *good =
        target_read(&reader->target, totals + v->refused, stats->refused, sizeof(stats->refused)) &&
        *good;
    stats->idle_reason = store->idle;
}

/* ---- times ----------------------------------------------------------------------------------- */

/* For how long the oldest run whose pages are kept has been empty. */
static uint64_t
empty_age_ns(const struct vitals *vitals, const struct reader_store *store, bool *good)
{
    const struct reader *reader = vitals->reader;
    const struct vital_layout *v = &vitals->at;
    uint32_t oldest = (uint32_t)reader_number(reader, store->at + v->oldest, 4, good);
    int64_t delay_ms = (int64_t)reader_number(reader, store->at + v->purge_delay_ms, 8, good);
    if (oldest == 0 || oldest >= store->high)
        return 0;
    if (!reader_is_live(reader))
        return delay_ms < 0 || delay_ms > 1000 ? SECOND + 1 : 1;
    uint64_t span = store->spans + (uint64_t)oldest * reader->at.sizeof_span;
    uint64_t since = reader_number(reader, span + v->since_ns, 8, good);
    uint64_t now = (uint64_t)(seconds_now() * 1e9);
    /* Of a run that was taken meanwhile the word has another meaning. */
    bool same = (uint32_t)reader_number(reader, store->at + v->oldest, 4, good) == oldest;
    return same && now > since ? now - since : 0;
}

static uint64_t
grace_period_age_ns(const struct vitals *vitals, const struct reader_store *store,
                    const struct handle_stats *stats)
{
    uint64_t completed, age = reader_grace_periods(vitals->reader, store, &completed);
    if (age == 0 || reader_is_live(vitals->reader))
        return age;
    return stats->limbo > stats->committed / 4 ? SECOND + 1 : 1;
}

static void
fill_times(const struct vitals *vitals, const struct reader_store *store,
           struct handle_stats *stats, bool *good)
{
    stats->grace_period_age_ns = grace_period_age_ns(vitals, store, stats);
    stats->empty_span_age_ns = empty_age_ns(vitals, store, good);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* What the kernel says; of a core it is gone. */
static void
ask_kernel(const struct vitals *vitals, const struct reader_store *store,
           struct sn_evidence *evidence)
{
    char process[16];
    if (!reader_is_live(vitals->reader))
        return;
    snprintf(process, sizeof(process), "%d", vitals->reader->target.pid);
    sn_evidence_ask_kernel(evidence, process, store->lower,
                           store->arena + ((uint64_t)store->limit << 16));
    evidence->stats.resident = resident_of(process);
    evidence->stats.resident_unexplained =
        (int64_t)(evidence->stats.resident - evidence->stats.committed);
}

bool
vitals_read(const struct vitals *vitals, const struct reader_store *store,
            struct sn_evidence *evidence, const char **error)
{
    struct breakdown breakdown;
    struct handle_stats *stats = &evidence->stats;
    bool good = true;
    *evidence = (struct sn_evidence){.stats = HANDLE_STATS_INIT};
    if (!map_count(vitals->reader, store, READER_SAMPLE, NULL, true, &breakdown, error))
        return false;
    fill_steps(vitals, store, &breakdown.sums, stats);
    fill_objects(vitals, store, stats, &good);
    fill_compaction(vitals, store, stats, &good);
    fill_times(vitals, store, stats, &good);
    uint64_t failed = reader_number(vitals->reader, store->at + vitals->at.purge_failed, 4, &good);
    stats->shrink_reason = (uint32_t)sn_shrink_reason(stats, failed != 0);
    evidence->wants_huge = reader_number(vitals->reader, store->at + vitals->at.hugepages, 4,
                                         &good) != HANDLE_HUGEPAGES_NEVER;
    if (!good)
        return reader_refuse(error, "store %s: not all of its struct is there", store->name);
    ask_kernel(vitals, store, evidence);
    return true;
}
