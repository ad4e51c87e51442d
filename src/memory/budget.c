/* SPDX-License-Identifier: MIT */
/* budget.c - see budget.h. */
#include "memory/budget.h"

_Thread_local uint64_t sn_budget_credit;

bool
sn_budget_pay_by_credit(struct sn_budget *budget, uint64_t bytes)
{
    if (sn_budget_credit < bytes)
        return false;
    sn_budget_credit -= bytes;
    sn_sub_relaxed(&budget->prepared, bytes);
    return true;
}
