/* SPDX-License-Identifier: MIT */
/* model_inner.h - a forest of cells inside objects beside a map of it, see model_inner.c. */
#ifndef MODEL_INNER_H
#define MODEL_INNER_H

#include "model_store.h"

/** The option `cells` of its store. */
struct handle_cells model_inner_cells(void *opaque, const void *object, size_t size);

/** Does `steps` random operations on a forest in the model's store, which is empty, and nobody
 * else's; leaves it so. */
void model_inner_run(struct model *model, uint64_t steps);

#endif
