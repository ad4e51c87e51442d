/* SPDX-License-Identifier: MIT */
/* doctor.c - see doctor.h. Pure: struct in, findings out. */
#include "insight/doctor.h"

#include <errno.h>
#include <stddef.h>

#include "base/growing.h"

#define MIB ((uint64_t)1 << 20)

/* The bytes, if they are more than a share of what is committed, and not just a little. */
static uint64_t
much(const struct handle_stats *stats, uint64_t bytes, uint64_t share)
{
    return bytes > MIB && bytes > stats->committed / share ? bytes : 0;
}

/* ---- the rules ------------------------------------------------------------------------------- */

static uint64_t
stuck_reader(const struct handle_stats *stats)
{
    const uint64_t second = 1000000000;
    return stats->grace_period_age_ns > second ? much(stats, stats->limbo, 100) : 0;
}

static uint64_t
disabled(const struct handle_stats *stats)
{
    return stats->idle_reason == HANDLE_IDLE_DISABLED ? much(stats, stats->recoverable, 20) : 0;
}

static uint64_t
held_back(const struct handle_stats *stats)
{
    bool waits = stats->idle_reason == HANDLE_IDLE_BELOW_IGNORE ||
                 stats->idle_reason == HANDLE_IDLE_BELOW_THRESHOLD;
    return waits && stats->recoverable > 2 * MIB ? much(stats, stats->recoverable, 20) : 0;
}

static uint64_t
pinned(const struct handle_stats *stats)
{
    bool blamed = stats->pins > 0 && stats->shrink_reason == HANDLE_SHRINK_PINNED;
    return blamed ? much(stats, stats->free_slot, 16) : 0;
}

static uint64_t
purge_off(const struct handle_stats *stats)
{
    const uint64_t second = 1000000000; /* by default what is empty goes back in a fifth of it */
    bool waits =
        stats->shrink_reason == HANDLE_SHRINK_PURGE_DELAY && stats->empty_span_age_ns > second;
    return waits ? much(stats, stats->empty_span, 8) : 0;
}

/* More than four times what the handles would need. */
static uint64_t
table(const struct handle_stats *stats)
{
    uint64_t needed = stats->objects_by_handle * 8;
    return stats->table > 4 * needed ? much(stats, stats->table - needed, 10) : 0;
}

static uint64_t
limit_near(const struct handle_stats *stats)
{
    bool near = stats->max_bytes > 0 && stats->committed > stats->max_bytes / 10 * 9;
    return near ? stats->committed : 0;
}

static uint64_t
arena_small(const struct handle_stats *stats)
{
    bool lacked = stats->alloc_failure_reason == HANDLE_ALLOC_FAILURE_ARENA_SMALL;
    return lacked ? stats->reserved : 0;
}

static uint64_t
rounding(const struct handle_stats *stats)
{
    return stats->rounding > stats->requested / 4 ? much(stats, stats->rounding, 20) : 0;
}

static uint64_t
not_this_store(const struct handle_stats *stats)
{
    uint64_t other = stats->resident_unexplained > 0 ? (uint64_t)stats->resident_unexplained : 0;
    return other > 64 * MIB && other > stats->committed / 2 ? other : 0;
}

const struct sn_rule sn_rules[] = {
    {"stuck_reader", HANDLE_FINDING_ACT, stuck_reader,
     "A thread has been in one read-side section for more than a second: nothing that was freed "
     "meanwhile can be used again.",
     "Find the thread (sinter readers PID) and let it leave its section; under QSBR, "
     "let it announce quiescent states, or go offline before what blocks.",
     NULL, NULL},
    {"disabled", HANDLE_FINDING_ACT, disabled,
     "Compaction is turned off, and a part of the memory is free slots that it would give back.",
     "Turn it on, or call handle_store_compact or handle_defrag_step.", "defrag.enabled", "yes"},
    {"held_back", HANDLE_FINDING_WARN, held_back,
     "Compaction could give memory back, and is told to leave so much alone.",
     "Lower defrag.ignore_bytes, and defrag.threshold_lower_percent if it is not 1.",
     "defrag.ignore_bytes", "1M"},
    {"pinned", HANDLE_FINDING_WARN, pinned,
     "Compaction finds pinned objects in the spans that it would empty.",
     "Unpin what is not in use, and keep what stays pinned for long in objects of their own size, "
     "or large.",
     NULL, NULL},
    {"purge_off", HANDLE_FINDING_ACT, purge_off,
     "Empty spans are kept: their pages wait longer than they need to, or never go back.",
     "Lower purge_delay_ms, or call handle_store_purge.", "purge_delay_ms", "200"},
    {"table", HANDLE_FINDING_WARN, table,
     "Few handles that have survived many others keep pages of the handle table.",
     "Free the survivors, or name objects that live long by cells, which need no table.", NULL,
     NULL},
    {"limit_near", HANDLE_FINDING_WARN, limit_near,
     "More than nine tenths of max_bytes are committed: allocations will be refused, or wait.",
     "Evict something, or raise max_bytes.", "max_bytes", NULL},
    {"arena_small", HANDLE_FINDING_ACT, arena_small,
     "The last allocation that failed found no address space in the arena.",
     "Reserve more when the store is made, or use several stores.", "arena_bytes", NULL},
    {"rounding", HANDLE_FINDING_NOTE, rounding,
     "Objects are so short that a large part of their slots is rounding.",
     "Ask for multiples of 8 bytes, or keep several of them in one object.", NULL, NULL},
    {"not_this_store", HANDLE_FINDING_NOTE, not_this_store,
     "Most of what is resident in the process is not in this store.",
     "Look at the other stores, at malloc (malloc_info), and at /proc/PID/smaps.", NULL, NULL},
    {NULL, HANDLE_FINDING_NOTE, NULL, NULL, NULL, NULL, NULL},
};

/* ---- asking ---------------------------------------------------------------------------------- */

int
handle_stats_doctor(const struct handle_stats *stats,
                    void (*finding)(void *opaque, const struct handle_finding *finding),
                    void *opaque)
{
    struct handle_stats ours = HANDLE_STATS_INIT; /* what an earlier version lacks is 0 */
    int count = 0;
    if (!stats || !finding || !sn_growing_may_be(stats->struct_size))
        return -EINVAL;
    sn_growing_read(&ours, stats, sizeof(ours));
    for (const struct sn_rule *rule = sn_rules; rule->code; rule++) {
        uint64_t bytes = rule->stake(&ours);
        struct handle_finding found = {rule->code,   rule->severity, 0,          bytes, rule->text,
                                       rule->remedy, rule->option,   rule->value};
        if (bytes == 0)
            continue;
        finding(opaque, &found);
        count++;
    }
    return count;
}
