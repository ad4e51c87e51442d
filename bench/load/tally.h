/* SPDX-License-Identifier: MIT */
/*
 * tally.h - several connections count at the same two keys: one by incr, the other by gets and cas.
 * At the end each key must have exactly what was acknowledged. For servers that evict nothing.
 */
#ifndef BENCH_LOAD_TALLY_H
#define BENCH_LOAD_TALLY_H

#include "engine.h"

/**
 * connections: 1 to 64, each in a thread of its own. rounds: of a gets, a cas and an incr, each.
 * NULL: all is right; else what is not. *lost: cas that came too late.
 */
const char *tally_run(const struct engine_options *options, unsigned connections, uint64_t rounds,
                      uint64_t *lost);

#endif
