/* SPDX-License-Identifier: MIT */
/* doctor.c - see doctor.h. */
#include "insight/doctor.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "base/growing.h"
#include "core/misuse.h"
#include "insight/stats.h"
#include "os/smaps.h"

#define MIB    ((uint64_t)1 << 20)
#define SECOND UINT64_C(1000000000)

/* The bytes, if they are more than a share of what is committed, and not just a little. */
static uint64_t
much(const struct handle_stats *stats, uint64_t bytes, uint64_t share)
{
    return bytes > MIB && bytes > stats->committed / share ? bytes : 0;
}

/* Of what compaction could free. */
static uint64_t
much_recoverable(const struct handle_stats *stats)
{
    return much(stats, stats->recoverable, 20);
}

/* Whether compaction finds objects in this state more often than it moves one of two. */
static bool
is_refused(const struct handle_stats *stats, enum handle_refusal reason)
{
    return stats->refused[reason] * 2 > stats->moved_objects;
}

/* The largest of the causes, when overhead is worth a word at all. */
enum handle_shrink_reason
sn_shrink_reason(const struct handle_stats *stats, bool purge_failed)
{
    bool pinned = is_refused(stats, HANDLE_REFUSED_PINNED);
    const struct {
        uint64_t bytes;
        enum handle_shrink_reason reason;
    } causes[] = {
        {stats->free_slot, pinned ? HANDLE_SHRINK_PINNED : HANDLE_SHRINK_FRAGMENTED},
        {stats->limbo, HANDLE_SHRINK_LIMBO},
        {stats->thread_cache, HANDLE_SHRINK_THREAD_CACHES},
        {stats->empty_span, purge_failed ? HANDLE_SHRINK_PURGE_FAILED : HANDLE_SHRINK_PURGE_DELAY},
        {stats->table, HANDLE_SHRINK_TABLE},
    };
    uint64_t live = stats->requested + stats->rounding + stats->header;
    uint64_t most = 0, sum = 0;
    enum handle_shrink_reason reason = HANDLE_SHRINK_DENSE;
    for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
        sum += causes[i].bytes;
        if (causes[i].bytes > most) {
            most = causes[i].bytes;
            reason = causes[i].reason;
        }
    }
    return sum <= live / 16 ? HANDLE_SHRINK_DENSE : reason;
}

/* ---- compaction ------------------------------------------------------------------------------ */

static uint64_t
stuck_reader(const struct sn_evidence *e)
{
    return e->stats.grace_period_age_ns > SECOND ? much(&e->stats, e->stats.limbo, 100) : 0;
}

static uint64_t
disabled(const struct sn_evidence *e)
{
    return e->stats.idle_reason == HANDLE_IDLE_DISABLED ? much_recoverable(&e->stats) : 0;
}

static uint64_t
held_back(const struct sn_evidence *e)
{
    bool waits = e->stats.idle_reason == HANDLE_IDLE_BELOW_IGNORE ||
                 e->stats.idle_reason == HANDLE_IDLE_BELOW_THRESHOLD;
    return waits && e->stats.recoverable > 2 * MIB ? much_recoverable(&e->stats) : 0;
}

static uint64_t
fork_pause(const struct sn_evidence *e)
{
    return e->stats.idle_reason == HANDLE_IDLE_FORKED ? much_recoverable(&e->stats) : 0;
}

static uint64_t
backoff(const struct sn_evidence *e)
{
    return e->stats.idle_reason == HANDLE_IDLE_BACKOFF ? much_recoverable(&e->stats) : 0;
}

static uint64_t
pinned(const struct sn_evidence *e)
{
    bool blamed = e->stats.pins > 0 && e->stats.shrink_reason == HANDLE_SHRINK_PINNED;
    return blamed ? much(&e->stats, e->stats.free_slot, 16) : 0;
}

static uint64_t
written(const struct sn_evidence *e)
{
    bool blamed = is_refused(&e->stats, HANDLE_REFUSED_WRITTEN);
    return blamed ? much(&e->stats, e->stats.free_slot, 16) : 0;
}

/* ---- free memory that is kept ---------------------------------------------------------------- */

static uint64_t
thread_caches(const struct sn_evidence *e)
{
    return much(&e->stats, e->stats.thread_cache, 8);
}

static uint64_t
purge_off(const struct sn_evidence *e)
{
    /* by default what is empty goes back in a fifth of a second */
    bool waits =
        e->stats.shrink_reason == HANDLE_SHRINK_PURGE_DELAY && e->stats.empty_span_age_ns > SECOND;
    return waits ? much(&e->stats, e->stats.empty_span, 8) : 0;
}

static uint64_t
purge_refused(const struct sn_evidence *e)
{
    bool refused = e->stats.shrink_reason == HANDLE_SHRINK_PURGE_FAILED;
    return refused ? much(&e->stats, e->stats.empty_span, 8) : 0;
}

/* More than four times what the handles would need. */
static uint64_t
table(const struct sn_evidence *e)
{
    uint64_t needed = e->stats.objects_by_handle * 8;
    return e->stats.table > 4 * needed ? much(&e->stats, e->stats.table - needed, 10) : 0;
}

static uint64_t
generations(const struct sn_evidence *e)
{
    return much(&e->stats, e->stats.table_entries_dead * 8, 10);
}

static uint64_t
rounding(const struct sn_evidence *e)
{
    bool large = e->stats.rounding > e->stats.requested / 4;
    return large ? much(&e->stats, e->stats.rounding, 20) : 0;
}

/* ---- limits ---------------------------------------------------------------------------------- */

static bool
is_near_limit(const struct handle_stats *stats)
{
    return stats->max_bytes > 0 && stats->committed > stats->max_bytes / 10 * 9;
}

static bool
was_refused(const struct handle_stats *stats, enum handle_alloc_failure reason)
{
    return stats->alloc_failures > 0 && stats->alloc_failure_reason == reason;
}

static uint64_t
limit_near(const struct sn_evidence *e)
{
    bool hit = was_refused(&e->stats, HANDLE_ALLOC_FAILURE_MEMORY);
    return is_near_limit(&e->stats) && !hit ? e->stats.committed : 0;
}

static uint64_t
limit_hit(const struct sn_evidence *e)
{
    bool hit = was_refused(&e->stats, HANDLE_ALLOC_FAILURE_MEMORY);
    return is_near_limit(&e->stats) && hit ? e->stats.committed : 0;
}

static uint64_t
limit_above_group(const struct sn_evidence *e)
{
    bool above = e->group_limit > 0 && e->stats.max_bytes > e->group_limit;
    return above ? e->stats.max_bytes - e->group_limit : 0;
}

static uint64_t
arena_small(const struct sn_evidence *e)
{
    bool lacked = e->stats.alloc_failure_reason == HANDLE_ALLOC_FAILURE_ARENA_SMALL;
    return lacked ? e->stats.reserved : 0;
}

/* There is room enough, in pieces. */
static uint64_t
large_share(const struct sn_evidence *e)
{
    const struct handle_stats *s = &e->stats;
    bool pieces = arena_small(e) > 0 && s->committed < s->reserved / 4 * 3;
    return pieces && s->large > s->requested / 2 ? s->large : 0;
}

/* ---- beside the store ------------------------------------------------------------------------ */

static uint64_t
not_this_store(const struct sn_evidence *e)
{
    int64_t unexplained = e->stats.resident_unexplained;
    uint64_t other = unexplained > 0 ? (uint64_t)unexplained : 0;
    return other > 64 * MIB && other > e->stats.committed / 2 ? other : 0;
}

static uint64_t
huge_pages(const struct sn_evidence *e)
{
    return e->wants_huge ? 0 : much(&e->stats, e->huge, 8);
}

static uint64_t
swapped(const struct sn_evidence *e)
{
    return much(&e->stats, e->swapped, 20);
}

/* Any damage is too much: all of the store is at stake. */
static uint64_t
damage(const struct sn_evidence *e)
{
    return e->stats.refused[HANDLE_REFUSED_DAMAGED] > 0 ? e->stats.committed : 0;
}

static uint64_t
errors(const struct sn_evidence *e)
{
    return e->stats.errors_reported > 0 && damage(e) == 0 ? e->stats.committed : 0;
}

/* ---- all of them ----------------------------------------------------------------------------- */

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
    {"fork_pause", HANDLE_FINDING_NOTE, fork_pause,
     "Compaction pauses while a forked child shares the pages (or this is the child): each page "
     "that compaction writes to would be copied.",
     "Wait for the child to end, or to call exec; or let compaction copy.",
     "defrag.pause_while_forked", "no"},
    {"backoff", HANDLE_FINDING_WARN, backoff,
     "The last passes of compaction have released next to nothing, so that it pauses for a while.",
     "See in `refused` what it leaves in place, and by sparse_space of a profile (profile.enabled, "
     "handle_store_profile) of which call sites that is, and let it go; it goes on when enough was "
     "freed, or call handle_store_compact.",
     NULL, NULL},
    {"pinned", HANDLE_FINDING_WARN, pinned,
     "Compaction finds pinned objects in the spans that it would empty.",
     "Unpin what is not in use, and keep what stays pinned for long in objects of their own size, "
     "or large. Which call sites they are of says pinned_space of a profile (profile.enabled, "
     "handle_store_profile).",
     NULL, NULL},
    {"written", HANDLE_FINDING_WARN, written,
     "Compaction gives most moves up, since writers resolve the objects meanwhile.",
     "Use handle_deref_mut only where something is written, and keep what is written all the time "
     "in objects of their own size; or let handle_store_compact run while writers rest.",
     NULL, NULL},
    {"thread_caches", HANDLE_FINDING_WARN, thread_caches,
     "Threads keep many free slots for themselves.",
     "Lower thread_cache_bytes, or thread_cache_total_bytes; a thread that will be idle for long "
     "may call handle_thread_detach.",
     "thread_cache_bytes", "256K"},
    {"purge_off", HANDLE_FINDING_ACT, purge_off,
     "Empty spans are kept: their pages wait longer than they need to, or never go back.",
     "Lower purge_delay_ms, or call handle_store_purge.", "purge_delay_ms", "200"},
    {"purge_refused", HANDLE_FINDING_ACT, purge_refused,
     "The kernel has refused to take the pages of empty spans back.",
     "Look for what locks or seals the process' memory (mlock before Linux 5.18, a seccomp filter "
     "on madvise), undo it, and call handle_store_purge.",
     NULL, NULL},
    {"table", HANDLE_FINDING_WARN, table,
     "Few handles that have survived many others keep pages of the handle table.",
     "Free the survivors, or name objects that live long by cells, which need no table.", NULL,
     NULL},
    {"generations", HANDLE_FINDING_NOTE, generations,
     "Indexes of the handle table have been used up: each takes 8 bytes that nothing gives back.",
     "Name objects that come and go often by cells; a new store has none.", NULL, NULL},
    {"limit_near", HANDLE_FINDING_WARN, limit_near,
     "More than nine tenths of max_bytes are committed: allocations will be refused, or wait.",
     "Evict something, or raise max_bytes.", "max_bytes", NULL},
    {"limit_hit", HANDLE_FINDING_WARN, limit_hit,
     "Allocations have been refused at max_bytes, and more than nine tenths of it are committed.",
     "Evict something (a cache that is full is as it should be), or raise max_bytes.", "max_bytes",
     NULL},
    {"limit_above_group", HANDLE_FINDING_WARN, limit_above_group,
     "max_bytes is above what the control group of the process may have: the kernel ends it before "
     "the store refuses anything.",
     "Lower max_bytes below memory.max of the group, less what is not the store's.", "max_bytes",
     NULL},
    {"arena_small", HANDLE_FINDING_ACT, arena_small,
     "The last allocation that failed found no address space in the arena.",
     "Reserve more when the store is made, or use several stores.", "arena_bytes", NULL},
    {"large_share", HANDLE_FINDING_WARN, large_share,
     "Address space lies free between large objects, which are not moved, and in no run long "
     "enough.",
     "Keep what is large in pieces of at most 64 KiB, which compaction moves, or reserve more.",
     "arena_bytes", NULL},
    {"rounding", HANDLE_FINDING_NOTE, rounding,
     "Objects are so short that a large part of their slots is rounding.",
     "Ask for multiples of 8 bytes, or keep several of them in one object.", NULL, NULL},
    {"not_this_store", HANDLE_FINDING_NOTE, not_this_store,
     "Most of what is resident in the process is not in this store.",
     "Look at the other stores, at malloc (malloc_info), and at /proc/PID/smaps.", NULL, NULL},
    {"huge_pages", HANDLE_FINDING_NOTE, huge_pages,
     "Memory of the store lies in huge pages, although the option hugepages is never: it becomes "
     "resident, and goes back, in steps of 2 MiB.",
     "Make the store with hugepages=never, and let nothing else in the process advise huge pages.",
     "hugepages", "never"},
    {"swapped", HANDLE_FINDING_WARN, swapped,
     "The kernel has swapped a part of the store out: what is moved or read comes back from there.",
     "Give the process more memory, or lower max_bytes.", "max_bytes", NULL},
    {"damage", HANDLE_FINDING_ACT, damage,
     "Compaction has met damaged headers: something writes past the end of an object, or to one "
     "that was freed, or the option cells answers wrongly.",
     "See what handle_store_check (sinter check) finds, and run the program with a store made "
     "with `hardened`, which ends it where that is written.",
     "hardened", "yes"},
    {"errors", HANDLE_FINDING_WARN, errors, "The store has reported errors.",
     "Read the lines that it has given to the error callback, or to standard error.", NULL, NULL},
    {NULL, HANDLE_FINDING_NOTE, NULL, NULL, NULL, NULL, NULL},
};

/* ---- asking ---------------------------------------------------------------------------------- */

int
sn_doctor(const struct sn_evidence *evidence,
          void (*finding)(void *opaque, const struct handle_finding *finding), void *opaque)
{
    int count = 0;
    for (const struct sn_rule *rule = sn_rules; rule->code; rule++) {
        uint64_t bytes = rule->stake(evidence);
        struct handle_finding found = {rule->code,   rule->severity, 0,          bytes, rule->text,
                                       rule->remedy, rule->option,   rule->value};
        if (bytes == 0)
            continue;
        finding(opaque, &found);
        count++;
    }
    return count;
}

int
handle_stats_doctor(const struct handle_stats *stats,
                    void (*finding)(void *opaque, const struct handle_finding *finding),
                    void *opaque)
{
    struct sn_evidence evidence = {.stats = HANDLE_STATS_INIT};
    if (!stats || !finding || !sn_growing_may_be(stats->struct_size))
        return -EINVAL;
    sn_growing_read(&evidence.stats, stats, sizeof(evidence.stats)); /* an earlier version: 0 */
    return sn_doctor(&evidence, finding, opaque);
}

void
sn_evidence_ask_kernel(struct sn_evidence *evidence, const char *process, uint64_t begin,
                       uint64_t end)
{
    char smaps_path[64], group_path[64];
    snprintf(smaps_path, sizeof(smaps_path), "/proc/%.32s/smaps", process);
    snprintf(group_path, sizeof(group_path), "/proc/%.32s/cgroup", process);
    struct sn_smaps smaps = sn_smaps_read(smaps_path, begin, end);
    evidence->huge = smaps.huge;
    evidence->swapped = smaps.swapped;
    evidence->group_limit = sn_group_limit(group_path, "/sys/fs/cgroup");
}

int
handle_store_doctor(handle_store *store,
                    void (*finding)(void *opaque, const struct handle_finding *finding),
                    void *opaque)
{
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    struct sn_evidence evidence = {0};
    if (!store || !finding)
        return -EINVAL;
    SN_NO_CANCELLATION;
    sn_stats_fill_whole(store, &evidence.stats, NULL);
    const struct sn_reservation *r = &store->reservation;
    sn_evidence_ask_kernel(&evidence, "self", (uint64_t)(uintptr_t)r->lower,
                           (uint64_t)(uintptr_t)r->arena + sn_pool_reserved_bytes(&store->pool));
    evidence.wants_huge = sn_load_relaxed(&store->options.hugepages) != HANDLE_HUGEPAGES_NEVER;
    return sn_doctor(&evidence, finding, opaque);
}
