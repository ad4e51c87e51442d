/* SPDX-License-Identifier: MIT */
/*
 * machine.h - the state machine of defrag.h, for those who drive it. All under the mover's lock.
 */
#ifndef SN_MACHINE_H
#define SN_MACHINE_H

#include "defrag/defrag.h"

/** What an advance came to. */
enum sn_advance {
    SN_ADVANCE_MORE,    /* the deadline ended it */
    SN_ADVANCE_WAIT,    /* a grace period is needed: *ticket */
    SN_ADVANCE_NOTHING, /* there is nothing to do: idle_reason says why */
};

/** Works until the deadline, or until it would have to wait. Under the mover's lock. */
enum sn_advance
sn_defrag_advance_locked(struct sn_defrag *d, uint64_t deadline_ns, uint64_t *ticket);

/** Gives up the batch under way and opens its spans; what drains goes on. */
void sn_defrag_cancel_locked(struct sn_defrag *d);

/** Opens the closed spans of the classes that are wanted. */
void sn_defrag_open_wanted_locked(struct sn_defrag *d);

/** Adds up what compacting the store fully would mean. */
void sn_defrag_survey(const handle_store *store, struct sn_policy_sum *sum,
                      struct sn_class_use classes[SN_CLASSES_MAX]);

/** Plans nothing more: what is under way is finished by the advances that follow. */
void sn_defrag_end_plan_locked(struct sn_defrag *d);

/** A walk wants a span that is CLOSED: the moves out of it are given up, and it is opened. */
void sn_defrag_let_go_span_locked(handle_store *store, uint32_t number);

#endif
