/* SPDX-License-Identifier: MIT */
/*
 * budget.h - the account of committed bytes of a store, and its limit (max_bytes). Whoever is about
 * to touch pages for the first time charges them here; whoever gave pages back refunds them.
 */
#ifndef SN_BUDGET_H
#define SN_BUDGET_H

#include "atomic.h"
#include "config.h"

struct sn_budget {
    uint64_t committed; /* atomic */
    uint64_t peak;      /* atomic; highest value of committed */
    uint64_t max_bytes; /* option; 0: none */
};

/** Who charges: the mover may use what is kept back for it, bookkeeping is never refused. */
enum sn_charge { SN_CHARGE_APPLICATION, SN_CHARGE_MOVER, SN_CHARGE_ALWAYS };

/** False: the limit does not allow it, nothing was charged. */
static inline bool
sn_budget_charge(struct sn_budget *budget, uint64_t bytes, enum sn_charge who)
{
    uint64_t now = __atomic_add_fetch(&budget->committed, bytes, __ATOMIC_RELAXED);
    uint64_t max = sn_load_relaxed(&budget->max_bytes);
    uint64_t kept_back = who == SN_CHARGE_APPLICATION ? SN_RESERVE_BYTES : 0;
    if (sn_unlikely(max != 0 && who != SN_CHARGE_ALWAYS && now + kept_back > max)) {
        sn_sub_relaxed(&budget->committed, bytes);
        return false;
    }
    if (now > sn_load_relaxed(&budget->peak))
        sn_store_relaxed(&budget->peak, now);
    return true;
}

static inline void
sn_budget_refund(struct sn_budget *budget, uint64_t bytes)
{
    sn_sub_relaxed(&budget->committed, bytes);
}

#endif
