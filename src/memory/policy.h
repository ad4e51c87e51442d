/* SPDX-License-Identifier: MIT */
/*
 * policy.h - what to compact, when, and how hard: pure functions, numbers in and a plan out. No
 * lock, no clock, no memory, nothing of the mechanism.
 *
 * The plan. A class with L occupied slots at n per span needs ceil(L / n) spans. Keep the fullest,
 * evacuate the rest, emptiest first; those that cannot be emptied are kept anyway. Comparing with
 * an average instead finds nothing when every span is half full, and then runs for ever. At a limit
 * a class that has no span too many, but free slots on many pages, has its sparsest one evacuated,
 * too: into dense pages (sn_loose_bytes).
 */
#ifndef SN_POLICY_H
#define SN_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "memory/class_use.h"
#include "memory/size_class.h"
#include <sinter/handle.h>

/** What a full compaction of some classes amounts to. */
struct sn_policy_sum {
    uint64_t live_bytes; /* occupied slots */
    struct sn_gain gain; /* its excess: what is committed beyond the spans that it takes */
    uint64_t recoverable_spans;
    uint64_t move_objects; /* estimate */
    uint64_t move_bytes;
};

/** Adds a class to the sum. */
void sn_policy_add(struct sn_policy_sum *sum, const struct sn_class_use *c);

/** The thresholds of the options. */
struct sn_policy_limits {
    uint64_t ignore_bytes;
    uint32_t lower_percent, upper_percent;
    uint32_t cpu_min_percent, cpu_max_percent;
};

/** Lower thresholds, for one pass when a store has come to rest: what was not worth compacting
 * under load would stay for long. */
struct sn_policy_limits sn_policy_at_rest(struct sn_policy_limits limits);

/** RUNNING when compaction should work, else BELOW_IGNORE or BELOW_THRESHOLD. */
enum handle_idle_reason
sn_policy_decide(const struct sn_policy_sum *sum, const struct sn_policy_limits *limits);

/** Share of one core to use, in percent: linear between the thresholds. */
uint32_t sn_policy_effort(const struct sn_policy_sum *sum, const struct sn_policy_limits *limits);

/** Time that work of `work_ns` takes with the rest that belongs to it, to keep to the effort. */
uint64_t sn_policy_share_ns(uint64_t work_ns, uint32_t effort_percent);

/**
 * The schedule: when the next slice is due, after one that began at `begin_ns`, was due at `due_ns`
 * and worked for `work_ns` of processor time. What was lost since it was due (waiting for grace
 * periods or for a processor, oversleeping) counts as rest and is made up for, up to 20 ms: without
 * that a mover that shares its processor never gets its share.
 */
uint64_t
sn_policy_due_ns(uint64_t due_ns, uint64_t begin_ns, uint64_t work_ns, uint32_t effort_percent);

/**
 * Which class gives its sparsest span next: the one that releases most per byte moved. -1: none has
 * both a quota and a sparse span.
 */
int sn_policy_pick(const struct sn_class_use *classes, const uint32_t *quota, uint32_t count);

/** Pause after a pass that moved and released so much: 0, or twice the last (100 ms to 60 s). */
uint64_t sn_policy_pause_ns(uint64_t last_pause_ns, uint64_t moved_bytes, uint64_t released_bytes);

/** Freed bytes after which a pause ends early, or an idle mover looks again. */
uint64_t sn_policy_notice_bytes(uint64_t live_bytes, uint64_t ignore_bytes);

/** How long empty spans of `empty_bytes` together wait for reuse before they are purged: less than
 * the option says when they are more than a reserve, since sizes are shifting. */
uint64_t
sn_policy_purge_delay_ns(uint64_t delay_ms, uint64_t empty_bytes, uint64_t committed_bytes);

/** Slots that a thread's bin of a class may keep when one of `cap` has run dry or overflowed: twice
 * as many, up to the class's bound. bursts: it does both in turn, and may keep what a burst
 * takes. */
uint32_t sn_policy_bin_cap(const struct sn_class *c, uint32_t cap, bool bursts);

/** Bytes that one thread's bins may keep: an even share of half of total_bytes, at most
 * thread_bytes, at least a quarter of it. */
uint64_t sn_policy_thread_bytes(uint64_t thread_bytes, uint64_t total_bytes, uint32_t threads);

#endif
