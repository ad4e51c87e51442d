/* SPDX-License-Identifier: MIT */
/* stats_fields.c - see stats_fields.h. A new member of a struct is one line here. */
#include "insight/stats_fields.h"

#include <string.h>

/* ---- the figures ----------------------------------------------------------------------------- */

/* clang-format off */
#define OF_STORE(section, kind, name, help) \
    {#name, kind, section, offsetof(struct handle_stats, name), help}
#define OF_CLASS(section, kind, name, help) \
    {#name, kind, section, offsetof(struct handle_class_stats, name), help}

const struct field sn_store_fields[] = {
    OF_STORE(MEMORY, BYTES, requested, "asked for by live objects"),
    OF_STORE(MEMORY, BYTES, rounding, "class rounding, alignment, page rounding of live objects"),
    OF_STORE(MEMORY, BYTES, header, "header words of live objects"),
    OF_STORE(MEMORY, BYTES, free_slot, "free slots and tails of spans in use"),
    OF_STORE(MEMORY, BYTES, thread_cache, "free slots held by threads"),
    OF_STORE(MEMORY, BYTES, limbo, "freed, waiting for a grace period or the last unpin"),
    OF_STORE(MEMORY, BYTES, empty_span, "empty spans whose pages are kept for reuse"),
    OF_STORE(MEMORY, BYTES, table, "pages of the handle table"),
    OF_STORE(MEMORY, BYTES, metadata, "span descriptors, bitmaps, caches, pins, the store itself"),
    OF_STORE(MEMORY, BYTES, committed, "backed by pages: the sum of the above"),
    OF_STORE(BESIDE, BYTES, requested_error, "requested may be off by so much; 0: it is exact"),
    OF_STORE(BESIDE, BYTES_TOTAL, released, "given back to the kernel since creation"),
    OF_STORE(BESIDE, BYTES, reserved, "address range, committed or not"),
    OF_STORE(BESIDE, BYTES, resident, "resident in the process, all stores and all else"),
    OF_STORE(BESIDE, BYTES_SIGNED, resident_unexplained, "resident less committed; may be below 0"),
    OF_STORE(BESIDE, BYTES, committed_peak, "highest committed so far"),
    OF_STORE(BESIDE, BYTES, max_bytes, "limit on committed; 0: none"),
    OF_STORE(BESIDE, BYTES, large, "part of requested in large objects"),
    OF_STORE(BESIDE, BYTES, hugepage, "of committed, in huge pages made of dense parts"),
    {"rounding_ratio", RATIO, RATIOS, 0, "slots of live objects / requested"},
    {"spans_ratio", RATIO, RATIOS, 1, "spans in use / slots of live objects: fragmentation"},
    {"retained_ratio", RATIO, RATIOS, 2, "committed / spans in use: kept spans, table, metadata"},
    {"process_ratio", RATIO, RATIOS, 3, "resident / committed: what is not this store's"},
    OF_STORE(OBJECTS, COUNT, objects, "live objects, reserved ones included"),
    OF_STORE(OBJECTS, COUNT, objects_by_handle, "live objects named by handles"),
    OF_STORE(OBJECTS, COUNT, objects_by_cell, "live objects named by cells"),
    OF_STORE(OBJECTS, COUNT, objects_large, "live large objects"),
    OF_STORE(OBJECTS, COUNT_TOTAL, allocs, "objects allocated"),
    OF_STORE(OBJECTS, COUNT_TOTAL, frees, "objects freed"),
    OF_STORE(OBJECTS, COUNT_TOTAL, alloc_failures, "allocations answered with ENOMEM"),
    OF_STORE(OBJECTS, FAILURE, alloc_failure_reason, "what the last of these lacked"),
    OF_STORE(OBJECTS, COUNT_TOTAL, alloc_retries, "allocations answered with EAGAIN"),
    OF_STORE(OBJECTS, COUNT, pins, "pins held, updates included"),
    OF_STORE(OBJECTS, COUNT, objects_reserved, "reserved, neither published nor aborted yet"),
    OF_STORE(OBJECTS, COUNT, table_entries_dead, "indexes whose generations are used up"),
    OF_STORE(COMPACTION, BYTES, recoverable, "what a perfect compaction would free"),
    OF_STORE(COMPACTION, COUNT_TOTAL, moved_objects, "objects moved"),
    OF_STORE(COMPACTION, BYTES_TOTAL, moved_bytes, "bytes moved"),
    OF_STORE(COMPACTION, BYTES_TOTAL, compaction_released, "bytes of the spans emptied by moves"),
    OF_STORE(COMPACTION, PERMILLE, moved_per_released_permille,
             "bytes moved / bytes released by it; 0: none released yet"),
    OF_STORE(COMPACTION, NS_TOTAL, compaction_cpu_ns, "time spent compacting, without waits"),
    OF_STORE(COMPACTION, COUNT_TOTAL, passes, "passes of compaction"),
    OF_STORE(COMPACTION, BYTES_TOTAL, fork_copied_bytes,
             "pages shared with a forked child that compaction wrote to"),
    OF_STORE(COMPACTION, BYTES_TOTAL, fork_refused_bytes,
             "such pages left alone, beyond defrag.fork_copy_bytes"),
    OF_STORE(COMPACTION, REFUSED, refused, "objects left in place, by reason"),
    OF_STORE(COMPACTION, IDLE, idle_reason, "why compaction is not moving just now"),
    OF_STORE(COMPACTION, SHRINK, shrink_reason, "largest cause of memory above the live bytes"),
    OF_STORE(TIME, TIMES, slice, "slices of the mover"),
    OF_STORE(TIME, TIMES, grace_period, "grace periods of the flavour, all stores together"),
    {"slice_max_ns", NS, TIME, offsetof(struct handle_stats, slice.max_ns), "longest slice"},
    {"grace_period_max_ns", NS, TIME, offsetof(struct handle_stats, grace_period.max_ns),
     "longest grace period of the flavour"},
    OF_STORE(TIME, NS, grace_period_age_ns, "age of the oldest unfinished grace period; 0: none"),
    OF_STORE(TIME, NS, empty_span_age_ns, "for how long the oldest empty span has been kept"),
    OF_STORE(TIME, COUNT_TOTAL, grace_periods, "grace periods completed"),
    OF_STORE(OTHER, COUNT_TOTAL, errors_reported, "lines given to the error callback"),
    OF_STORE(OTHER, COUNT, threads, "threads with a cache in this store"),
    OF_STORE(OTHER, COUNT_TOTAL, purge_failures, "refusals of the kernel to take pages back"),
    OF_STORE(OTHER, COUNT_TOTAL, hugepages_made, "dense parts of 2 MiB made huge pages"),
    OF_STORE(OTHER, COUNT_TOTAL, hugepages_undone, "of these, made pages again"),
    OF_STORE(OTHER, COUNT_TOTAL, hugepages_refused, "refusals of the kernel to make one"),
    OF_STORE(OTHER, DENSE, dense_reason, "what becomes of hugepages=dense"),
    OF_STORE(OTHER, COUNT_32, classes, "size classes, used or not"),
    {NULL, KINDS, SECTIONS, 0, NULL},
};

const struct field sn_class_fields[] = {
    OF_CLASS(CLASS_KEY, BYTES, object_bytes, "largest request of the class"),
    OF_CLASS(CLASS_LAYOUT, BYTES, slot_bytes, "what one object takes, header included"),
    OF_CLASS(CLASS_LAYOUT, BYTES, span_bytes, "resident in one full span"),
    OF_CLASS(CLASS_LAYOUT, COUNT, span_slots, "slots of a span"),
    OF_CLASS(CLASS_SPANS, COUNT, live, "live objects of the class"),
    OF_CLASS(CLASS_SPANS, COUNT, free, "free slots, without thread caches and limbo"),
    OF_CLASS(CLASS_SLOTS, COUNT, cached, "free slots in thread caches"),
    OF_CLASS(CLASS_SLOTS, COUNT, limbo, "freed slots that wait for a grace period"),
    OF_CLASS(CLASS_SPANS, COUNT, spans, "spans of the class"),
    OF_CLASS(CLASS_SPANS, COUNT, spans_full, "spans without a free slot"),
    OF_CLASS(CLASS_SLOTS, OCCUPANCY, occupancy, "spans with a free slot, by eighths of occupancy"),
    OF_CLASS(CLASS_SLOTS, BYTES, recoverable_bytes, "what a perfect compaction would free"),
    OF_CLASS(CLASS_MOVES, COUNT_TOTAL, moved, "objects moved"),
    OF_CLASS(CLASS_MOVES, REFUSED, refused, "objects left in place, by reason"),
    {NULL, KINDS, SECTIONS, 0, NULL},
};
/* clang-format on */

/* ---- reasons --------------------------------------------------------------------------------- */

/* clang-format off */
static const struct reason idle_reasons[HANDLE_IDLE_REASONS] = {
    [HANDLE_IDLE_RUNNING] = {"running", "it is moving objects"},
    [HANDLE_IDLE_DISABLED] = {"disabled", "defrag.enabled is no, or the thread was stopped"},
    [HANDLE_IDLE_BELOW_IGNORE] = {"below_ignore", "waste below defrag.ignore_bytes"},
    [HANDLE_IDLE_BELOW_THRESHOLD] =
        {"below_threshold", "waste below defrag.threshold_lower_percent"},
    [HANDLE_IDLE_BACKOFF] = {"backoff", "the last passes released next to nothing: pausing"},
    [HANDLE_IDLE_GRACE_PERIOD] = {"grace_period", "waiting for a grace period: see its age"},
    [HANDLE_IDLE_FORKED] = {"forked", "a forked child shares the pages, or this is the child"},
};

static const struct reason shrink_reasons[HANDLE_SHRINK_REASONS] = {
    [HANDLE_SHRINK_DENSE] = {"dense", "nothing notable"},
    [HANDLE_SHRINK_FRAGMENTED] = {"fragmented", "free slots in live spans: see idle_reason"},
    [HANDLE_SHRINK_PINNED] = {"pinned", "free slots in live spans that pinned objects keep"},
    [HANDLE_SHRINK_LIMBO] = {"limbo", "freed bytes wait for a grace period: see its age"},
    [HANDLE_SHRINK_THREAD_CACHES] = {"thread_caches", "free slots cached by threads"},
    [HANDLE_SHRINK_PURGE_DELAY] = {"purge_delay", "empty spans are kept: see purge_delay_ms"},
    [HANDLE_SHRINK_PURGE_FAILED] = {"purge_failed", "the kernel refused to take pages back"},
    [HANDLE_SHRINK_TABLE] = {"table", "pages of the handle table kept by surviving handles"},
};

static const struct reason failures[HANDLE_ALLOC_FAILURES] = {
    [HANDLE_ALLOC_FAILURE_NONE] = {"none", "there was none"},
    [HANDLE_ALLOC_FAILURE_MEMORY] = {"memory", "memory: max_bytes, or the kernel refused"},
    [HANDLE_ALLOC_FAILURE_ARENA_SMALL] =
        {"arena_small", "address space: the arena has no long enough run: see arena_bytes"},
};

static const struct reason dense_reasons[HANDLE_DENSE_REASONS] = {
    [HANDLE_DENSE_WORKING] = {"working", "full parts of the arena become huge pages"},
    [HANDLE_DENSE_OFF] = {"off", "hugepages is not dense"},
    [HANDLE_DENSE_SMALL] = {"small", "less than 64 MiB of objects"},
    [HANDLE_DENSE_DISABLED] = {"disabled", "defrag.enabled is no"},
    [HANDLE_DENSE_REFUSED] = {"refused", "the kernel refused the last one: tried again"},
    [HANDLE_DENSE_FLAGGED] =
        {"flagged", "the store was made with another value of hugepages, or is hardened"},
    [HANDLE_DENSE_ALWAYS] = {"always", "the kernel's own mode is always"},
    [HANDLE_DENSE_UNSUPPORTED] = {"unsupported", "this machine, or its kernel, cannot do it"},
};

static const struct reason refusals[HANDLE_REFUSED_REASONS] = {
    [HANDLE_REFUSED_PINNED] = {"pinned", "pinned"},
    [HANDLE_REFUSED_WRITTEN] = {"written", "a writer resolved it meanwhile: tried again later"},
    [HANDLE_REFUSED_FREED] = {"freed", "freed meanwhile"},
    [HANDLE_REFUSED_NO_ROOM] = {"no_room", "no memory for a destination"},
    [HANDLE_REFUSED_UNMOVABLE] = {"unmovable", "unmovable, in a span of movable objects"},
    [HANDLE_REFUSED_DAMAGED] = {"damaged", "its header is damaged: its span is left alone"},
};
/* clang-format on */

static const struct reason eighths[] = {
    {"1", "1/8"}, {"2", "2/8"}, {"3", "3/8"}, {"4", "4/8"},
    {"5", "5/8"}, {"6", "6/8"}, {"7", "7/8"}, {"8", "8/8"},
};

/** See struct kind_facts. */
const struct kind_facts sn_kinds[KINDS] = {
    [BYTES] = {"_bytes", "_bytes", "gauge", NULL, NULL, 0},
    [BYTES_SIGNED] = {"_bytes", "_bytes", "gauge", NULL, NULL, 0},
    [BYTES_TOTAL] = {"_bytes", "_bytes_total", "counter", NULL, NULL, 0},
    [COUNT] = {"", "", "gauge", NULL, NULL, 0},
    [COUNT_32] = {"", "", "gauge", NULL, NULL, 0},
    [COUNT_TOTAL] = {"", "_total", "counter", NULL, NULL, 0},
    [NS] = {"_ns", "_seconds", "gauge", NULL, NULL, 0},
    [NS_TOTAL] = {"_ns", "_seconds_total", "counter", NULL, NULL, 0},
    [PERMILLE] = {"_permille", "_ratio", "gauge", NULL, NULL, 0},
    [RATIO] = {"", "", "gauge", NULL, NULL, 0},
    [TIMES] = {"", "_seconds", "histogram", NULL, NULL, 0},
    [IDLE] = {"", "", "gauge", "reason", idle_reasons, HANDLE_IDLE_REASONS},
    [SHRINK] = {"", "", "gauge", "reason", shrink_reasons, HANDLE_SHRINK_REASONS},
    [FAILURE] = {"", "", "gauge", "reason", failures, HANDLE_ALLOC_FAILURES},
    [DENSE] = {"", "", "gauge", "reason", dense_reasons, HANDLE_DENSE_REASONS},
    [REFUSED] = {"", "_total", "counter", "reason", refusals, HANDLE_REFUSED_REASONS},
    [OCCUPANCY] = {"", "", "gauge", "eighth", eighths, 8},
};

static bool
is_half(enum kind kind)
{
    return kind == COUNT_32 || kind == IDLE || kind == SHRINK || kind == FAILURE || kind == DENSE;
}

uint64_t
sn_field_number(const struct field *f, const void *base, unsigned i)
{
    uint32_t half;
    uint64_t whole;
    if (is_half(f->kind)) {
        memcpy(&half, (const char *)base + f->offset, sizeof(half));
        return half;
    }
    memcpy(&whole, (const char *)base + f->offset + i * sizeof(whole), sizeof(whole));
    return whole;
}

void
sn_field_set_number(const struct field *f, void *base, uint64_t number)
{
    uint32_t half = (uint32_t)number;
    if (is_half(f->kind))
        memcpy((char *)base + f->offset, &half, sizeof(half));
    else
        memcpy((char *)base + f->offset, &number, sizeof(number));
}

const struct reason *
sn_reason_of(enum kind kind, uint64_t number)
{
    static const struct reason unknown = {"unknown", "unknown"};
    return number < sn_kinds[kind].count ? &sn_kinds[kind].reasons[number] : &unknown;
}

const char *
sn_idle_reason_text(uint32_t reason)
{
    return sn_reason_of(IDLE, reason)->text;
}

const char *
sn_shrink_reason_text(uint32_t reason)
{
    return sn_reason_of(SHRINK, reason)->text;
}

const char *
sn_alloc_failure_text(uint32_t reason)
{
    return sn_reason_of(FAILURE, reason)->text;
}

const char *
sn_dense_reason_text(uint32_t reason)
{
    return sn_reason_of(DENSE, reason)->text;
}

const char *
sn_refusal_text(uint32_t refusal)
{
    return sn_reason_of(REFUSED, refusal)->text;
}
