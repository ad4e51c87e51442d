/* SPDX-License-Identifier: MIT */
/* step_budget.c - no budget, and more than a second. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    expect(handle_defrag_step(store, 0, NULL) == -EINVAL);
    expect(handle_defrag_step(store, 1000001, NULL) == -EINVAL);
    expect(handle_defrag_step(store, UINT32_MAX, NULL) == -EINVAL);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
