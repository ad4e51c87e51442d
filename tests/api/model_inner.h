/* SPDX-License-Identifier: MIT */
/* model_inner.h - a forest of cells inside objects beside a map of it, see model_inner.c. */
#ifndef MODEL_INNER_H
#define MODEL_INNER_H

#include "model_store.h"

/** The option `cells` of its store. */
struct handle_cells model_inner_cells(void *opaque, const void *object, size_t size);

/** Where decisions are taken from instead of the model's random numbers. */
struct model_choices {
    uint64_t (*below)(uint64_t limit); /* a number below it */
    bool (*are_left)(void);            /* else the forest ends before its last step */
    unsigned nodes;                    /* at most MODEL_INNER_NODES: few make short inputs tell */
};
#define MODEL_INNER_NODES 1500

/** Does `steps` random operations on a forest in the model's store, which is empty, and nobody
 * else's; leaves it so. choices: NULL: random ones. */
void model_inner_run(struct model *model, uint64_t steps, const struct model_choices *choices);

#endif
