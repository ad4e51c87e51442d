/* SPDX-License-Identifier: MIT */
/*
 * answer.h - what an allocation is told that max_bytes has refused: EAGAIN if waiting helps, ENOMEM
 * if it does not. The rule stands here and nowhere else; pure functions of numbers, no lock, no
 * clock, no memory.
 *
 * Waiting helps when what comes by itself is enough for the request:
 *
 *   a slot of its class      that waits for its grace period, is cached by a thread, or is free in
 *                            a span that the mover or a walk has detached: one is enough
 *   pages of other classes   of spans that become empty: by slots that come back, or when the mover
 *                            evacuates others; they must make up for what the limit lacks
 *
 * What is pinned, or belongs to an update under way, does not come however long one waits. Numbers
 * that only bound what comes are taken at their best, and what comes may go to others. So a request
 * that has waited in vain is told ENOMEM once, whatever seems to come: then its thread frees
 * something itself, and nobody waits for ever. It has waited in vain if as much must be given back
 * as before, and the mover has gained nothing in a whole pass since it was told to wait, during
 * which nothing was unpinned; or if it has waited many times.
 */
#ifndef SN_ANSWER_H
#define SN_ANSWER_H

#include "memory/class_use.h"

#include <stdbool.h>
#include <stdint.h>

/** Committed bytes of free slots, without the spans' tails. */
uint64_t sn_answer_loose(const struct sn_class_use *c);

/** Bytes of pages under no slot in use, at most, once so many used slots are free and nothing is
 * moved: whole spans, or pages of spans that stay. */
uint64_t sn_answer_emptied(const struct sn_class_use *c, uint64_t slots);

/** What comes to a request that was refused. */
struct sn_coming {
    uint64_t own_slots;     /* of its class */
    uint64_t all_bytes;     /* pages that could be given back if nothing lived */
    uint64_t emptied_bytes; /* of these, without the mover; at most */
    uint64_t gained_bytes;  /* with it: 0 when it does not work, or has found nothing to gain */
};

enum sn_answer { SN_ANSWER_ENOMEM, SN_ANSWER_EAGAIN };

/** How a request that is refused once more has waited, each time for what it was told. */
struct sn_waited {
    uint64_t lacked_bytes; /* before it waited; 0: it has not */
    unsigned times;
    bool hopeful; /* the mover has gained something meanwhile, or something was unpinned under it */
};
#define SN_ANSWER_WAITS_MAX 16

/** lacks_bytes: what must be given back before the request's pages pass the limit. */
enum sn_answer
sn_answer(uint64_t lacks_bytes, const struct sn_waited *waited, const struct sn_coming *coming);

/** Whether it is told ENOMEM without regard to what comes: the waiting was in vain. */
bool sn_answer_is_in_vain(uint64_t lacks_bytes, const struct sn_waited *waited);

#endif
