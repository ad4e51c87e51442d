/* SPDX-License-Identifier: MIT */
/*
 * budget.h - the account of committed bytes of a store, and its limit (max_bytes). Whoever is about
 * to touch pages for the first time charges them here; whoever gave pages back refunds them.
 */
#ifndef SN_BUDGET_H
#define SN_BUDGET_H

#include "base/atomic.h"
#include "base/config.h"

struct sn_budget {
    uint64_t committed; /* atomic; what is prepared included */
    uint64_t prepared;  /* atomic; charged by threads for allocations to come */
    uint64_t peak;      /* atomic; highest value of committed */
    uint64_t max_bytes; /* option; 0: none */
};

/** Who charges, and up to where. */
enum sn_charge {
    SN_CHARGE_APPLICATION, /* max_bytes less what is kept back for the mover */
    SN_CHARGE_MOVER,       /* max_bytes */
    SN_CHARGE_LISTS,       /* the mover's lists: max_bytes; above one that was lowered, the peak */
    SN_CHARGE_ALWAYS,      /* bookkeeping: never refused */
};

/** What is kept back for the mover below a limit. */
static inline uint64_t
sn_budget_reserve(uint64_t max_bytes)
{
    return sn_min(sn_max(max_bytes / SN_RESERVE_SHARE, SN_RESERVE_MIN_BYTES), SN_RESERVE_MAX_BYTES);
}

/** What must stay uncharged below max_bytes. */
static inline uint64_t
sn_budget_kept_back(uint64_t max_bytes, enum sn_charge who)
{
    return who == SN_CHARGE_APPLICATION ? sn_budget_reserve(max_bytes) : 0;
}

/** How much may be committed in all, with so much committed now. */
static inline uint64_t
sn_budget_bound(const struct sn_budget *budget, uint64_t committed, uint64_t max,
                enum sn_charge who)
{
    if (max == 0 || who == SN_CHARGE_ALWAYS)
        return UINT64_MAX;
    if (who == SN_CHARGE_LISTS && committed > max)
        return sn_max(max, sn_load_relaxed(&budget->peak));
    return max;
}

/** What the calling thread may charge beyond the limit, since handle_store_prepare has charged it
 * already; 0 but for the time of an attempt to allocate (object/shortage.c). */
extern _Thread_local uint64_t sn_budget_credit;

/** Pays a charge that the limit has refused out of that credit. False: it is not enough. */
bool sn_budget_pay_by_credit(struct sn_budget *budget, uint64_t bytes);

/**
 * False: the limit does not allow it, nothing was charged. A charge that is refused is never seen
 * by others: small ones beside it are not refused for its sake, and it is no peak.
 */
static inline bool
sn_budget_charge(struct sn_budget *budget, uint64_t bytes, enum sn_charge who)
{
    uint64_t max = sn_load_relaxed(&budget->max_bytes);
    uint64_t before = sn_load_relaxed(&budget->committed);
    /* Relaxed throughout: an account, it orders nothing. */
    do {
        if (sn_unlikely(before + bytes + sn_budget_kept_back(max, who) >
                        sn_budget_bound(budget, before, max, who)))
            return who == SN_CHARGE_APPLICATION && sn_budget_pay_by_credit(budget, bytes);
    } while (!__atomic_compare_exchange_n(&budget->committed, &before, before + bytes, true,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    uint64_t peak = sn_load_relaxed(&budget->peak);
    while (before + bytes > peak &&
           !__atomic_compare_exchange_n(&budget->peak, &peak, before + bytes, true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return true;
}

/** What must be refunded before this charge passes; 0: it would pass now. */
static inline uint64_t
sn_budget_lacks(const struct sn_budget *budget, uint64_t bytes, enum sn_charge who)
{
    uint64_t max = sn_load_relaxed(&budget->max_bytes);
    uint64_t need = sn_load_relaxed(&budget->committed) + bytes + sn_budget_kept_back(max, who);
    return max != 0 && who != SN_CHARGE_ALWAYS && need > max ? need - max : 0;
}

/** Bytes committed above a limit that was lowered; 0 otherwise. */
static inline uint64_t
sn_budget_excess(const struct sn_budget *budget)
{
    uint64_t max = sn_load_relaxed(&budget->max_bytes);
    uint64_t committed = sn_load_relaxed(&budget->committed);
    return max != 0 && committed > max ? committed - max : 0;
}

static inline void
sn_budget_refund(struct sn_budget *budget, uint64_t bytes)
{
    sn_sub_relaxed(&budget->committed, bytes);
}

#endif
