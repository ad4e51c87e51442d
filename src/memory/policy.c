/* SPDX-License-Identifier: MIT */
/* policy.c - see policy.h. */
#include "memory/policy.h"

#define PAUSE_FIRST_NS UINT64_C(100000000)
#define PAUSE_LAST_NS  UINT64_C(60000000000)
#define CREDIT_NS      UINT64_C(20000000)
/* At rest thresholds are so many times lower. */
#define REST_PART 4
/* Empty spans up to this share of what is committed are a reserve; more go so many times sooner. */
#define RESERVE_SHARE 200
#define RESERVE_HASTE 4

/* Objects in the `excess` emptiest spans, taking each occupancy's middle. */
static uint64_t
objects_to_move(const struct sn_class_use *c, uint32_t excess)
{
    uint64_t objects = 0;
    for (unsigned i = 0; i < SN_FULL && excess > 0; i++) {
        uint32_t spans = c->spans_in[i] < excess ? c->spans_in[i] : excess;
        objects += (uint64_t)spans * c->slots * (UINT64_C(2) * i + 1) / (UINT64_C(2) * SN_FULL);
        excess -= spans;
    }
    return objects;
}

void
sn_policy_add(struct sn_policy_sum *sum, const struct sn_class_use *c)
{
    uint32_t excess = sn_gain_add(&sum->gain, c, 0);
    uint64_t objects = objects_to_move(c, excess);
    sum->live_bytes += c->used * c->slot_bytes;
    sum->recoverable_spans += excess;
    sum->move_objects += objects;
    sum->move_bytes += objects * c->slot_bytes;
}

enum handle_idle_reason
sn_policy_decide(const struct sn_policy_sum *sum, const struct sn_policy_limits *limits)
{
    if (sum->gain.excess_bytes == 0 || sum->gain.excess_bytes <= limits->ignore_bytes)
        return HANDLE_IDLE_BELOW_IGNORE;
    if (sum->gain.excess_bytes * 100 <= sum->gain.committed * limits->lower_percent)
        return HANDLE_IDLE_BELOW_THRESHOLD;
    return HANDLE_IDLE_RUNNING;
}

uint32_t
sn_policy_effort(const struct sn_policy_sum *sum, const struct sn_policy_limits *limits)
{
    uint64_t low = sum->gain.committed * limits->lower_percent;
    uint64_t high = sum->gain.committed * limits->upper_percent;
    uint64_t at = sum->gain.excess_bytes * 100;
    uint32_t range = limits->cpu_max_percent - limits->cpu_min_percent;
    if (at >= high || high <= low)
        return limits->cpu_max_percent;
    if (at <= low)
        return limits->cpu_min_percent;
    return limits->cpu_min_percent + (uint32_t)((at - low) * range / (high - low));
}

uint64_t
sn_policy_share_ns(uint64_t work_ns, uint32_t effort_percent)
{
    return effort_percent >= 100 ? work_ns : work_ns * 100 / effort_percent;
}

uint64_t
sn_policy_due_ns(uint64_t due_ns, uint64_t begin_ns, uint64_t work_ns, uint32_t effort_percent)
{
    uint64_t from = begin_ns > CREDIT_NS ? begin_ns - CREDIT_NS : 0;
    if (due_ns > from)
        from = due_ns < begin_ns ? due_ns : begin_ns;
    return from + sn_policy_share_ns(work_ns, effort_percent);
}

int
sn_policy_pick(const struct sn_class_use *classes, const uint32_t *quota, uint32_t count)
{
    int best = -1;
    uint64_t best_cost = UINT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        if (quota[i] == 0)
            continue;
        unsigned sparsest = 0;
        while (sparsest < SN_FULL && classes[i].spans_in[sparsest] == 0)
            sparsest++;
        if (sparsest == SN_FULL)
            continue;
        /* Least occupied first, since fewest bytes are moved for each byte released; among equals
         * the larger slot, whose bytes cost less to move. */
        uint64_t cost = (uint64_t)sparsest << 32 | (UINT32_MAX - classes[i].slot_bytes);
        if (cost < best_cost) {
            best_cost = cost;
            best = (int)i;
        }
    }
    return best;
}

uint64_t
sn_policy_pause_ns(uint64_t last_pause_ns, uint64_t moved_bytes, uint64_t released_bytes)
{
    if (released_bytes > 0 && released_bytes >= moved_bytes / 100)
        return 0;
    if (last_pause_ns == 0)
        return PAUSE_FIRST_NS;
    return last_pause_ns * 2 < PAUSE_LAST_NS ? last_pause_ns * 2 : PAUSE_LAST_NS;
}

uint64_t
sn_policy_notice_bytes(uint64_t live_bytes, uint64_t ignore_bytes)
{
    uint64_t share = live_bytes / 200;
    uint64_t least = ignore_bytes / 2 > 65536 ? ignore_bytes / 2 : 65536;
    return share > least ? share : least;
}

struct sn_policy_limits
sn_policy_at_rest(struct sn_policy_limits limits)
{
    limits.ignore_bytes /= REST_PART;
    limits.lower_percent /= REST_PART;
    return limits;
}

uint64_t
sn_policy_purge_delay_ns(uint64_t delay_ms, uint64_t empty_bytes, uint64_t committed_bytes)
{
    uint64_t delay_ns = delay_ms * 1000000;
    return empty_bytes > committed_bytes / RESERVE_SHARE ? delay_ns / RESERVE_HASTE : delay_ns;
}

uint32_t
sn_policy_bin_cap(const struct sn_class *c, uint32_t cap, bool bursts)
{
    uint32_t first = c->slot_bytes > SN_CACHE_ONE_BYTES ? 1 : 2;
    uint64_t bound = c->cache_slots, twice = cap == 0 ? first : UINT64_C(2) * cap;
    if (bursts)
        bound = sn_max(bound, sn_min(SN_CACHE_BURST_BYTES / c->slot_bytes, SN_CACHE_BURST_SLOTS));
    return cap >= bound ? cap : (uint32_t)sn_min(twice, bound);
}

uint64_t
sn_policy_thread_bytes(uint64_t thread_bytes, uint64_t total_bytes, uint32_t threads)
{
    uint64_t share = total_bytes / 2 / sn_max(threads, 1);
    return sn_min(thread_bytes, sn_max(share, thread_bytes / 4));
}
