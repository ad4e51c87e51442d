/* SPDX-License-Identifier: MIT */
/*
 * model_whole.c - the model's operations on the store as a whole: compaction, options, statistics,
 * and what the map says of all objects together. Those on one object are in model_store.c.
 */
#include "model_store.h"

/* ---- operations ------------------------------------------------------------------------------ */

void
model_op_compaction(struct model *model, unsigned key)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    size_t released = 0;
    switch (key % 16) {
    case 0:
        model_check(model, handle_store_compact(model->store, &report) == 0);
        break;
    case 1:
        model_check(model, handle_store_purge(model->store, &released) == 0);
        break;
    case 2:
        model_check(model, handle_store_reclaim(model->store, key * 100) == 0);
        break;
    case 3:
        model_check(model, model_worked(model, handle_defrag_start(model->store)));
        break;
    case 4:
        model_check(model, handle_defrag_stop(model->store) == 0);
        break;
    case 5:
        model_check(model, handle_defrag_estimate(model->store, &report) == 0);
        break;
    case 6:
        handle_thread_detach(model->store);
        break;
    default:
        model_check(model, handle_defrag_step(model->store, 1 + key, &report) == 0);
        break;
    }
}

void
model_op_retune(struct model *model, unsigned key)
{
    static const char *const settings[][2] = {
        {"purge_delay_ms", "0"},
        {"purge_delay_ms", "-1"},
        {"purge_delay_ms", "5"},
        {"thread_cache_bytes", "0"},
        {"thread_cache_bytes", "4K"},
        {"thread_cache_bytes", "256K"},
        {"defrag.slice_us", "50"},
        {"defrag.slice_us", "500"},
        {"defrag.ignore_bytes", "0"},
        {"defrag.ignore_bytes", "1M"},
        {"defrag.enabled", "no"},
        {"defrag.enabled", "yes"},
        {"defrag.cpu_max_percent", "100"},
        {"defrag.cpu_max_percent", "50"},
        {"hugepages", "advise"},
        {"hugepages", "never"},
        {"max_bytes", "0"},
        {"max_bytes", "8M"},
    };
    size_t n = sizeof(settings) / sizeof(settings[0]) - (model->alone ? 0 : 2), i = key % n;
    model_check(
        model, model_worked(model, handle_store_set(model->store, settings[i][0], settings[i][1])));
    if (i >= 16)
        model->limited = i == 17;
}

static int
count_object(void *opaque, const struct handle_object *object)
{
    size_t *sums = opaque;
    sums[0]++;
    sums[1] += object->size;
    return 0;
}

void
model_op_whole_store(struct model *model, unsigned key)
{
    struct handle_stats *stats = calloc(1, sizeof(*stats));
    size_t sums[2] = {0, 0};
    model_check(model, stats != NULL);
    stats->struct_size = sizeof(*stats);
    model_check(model, handle_store_stats(model->store, stats) == 0);
    if (key % 8 == 0)
        model_check(model,
                    model_worked(model, handle_store_check(model->store, print_violation, NULL)));
    if (key % 8 == 1)
        model_check(model,
                    model_worked(model, handle_store_each(model->store, count_object, sums)));
    if (model->alone) {
        /* versions under way are in both counts or in none */
        size_t objects = stats->objects - model_reserved(model);
        size_t under_way = objects == model_live_objects(model) ? 0 : 1;
        model_check(model, stats->objects_reserved == model_reserved(model));
        model_check(model,
                    objects == model_live_objects(model) + under_way * model_versions(model));
        size_t used = 0;
        int counted = key % 8 == 2 ? handle_store_used_exact(model->store, &used) : 0;
        model_check(model, model_worked(model, counted));
        model_check(model, used == 0 || used == model_live_bytes(model) ||
                               used == model_live_bytes(model) + model_version_bytes(model));
        model_check(model, stats->pins == model_held(model));
        model_check(model, sums[0] == 0 || (sums[0] == model_live_objects(model) &&
                                            sums[1] == model_live_bytes(model)));
    }
    free(stats);
}

/* ---- sums over the map ----------------------------------------------------------------------- */

size_t
model_live_bytes(const struct model *model)
{
    size_t bytes = 0;
    for (unsigned key = 0; key < MODEL_KEYS; key++)
        bytes += model->objects[key].live ? model->objects[key].size : 0;
    return bytes;
}

size_t
model_live_objects(const struct model *model)
{
    size_t objects = 0;
    for (unsigned key = 0; key < MODEL_KEYS; key++)
        objects += model->objects[key].live;
    return objects;
}

uint64_t
model_digest(const struct model *model)
{
    uint64_t sum = 0;
    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        const struct model_object *o = &model->objects[key];
        struct handle_object object = {
            .handle = o->by_cell ? HANDLE_NULL : o->handle,
            .cell = o->by_cell ? &o->cells[o->at] : NULL,
            .data = o->bytes,
            .size = o->size,
            .tag = o->by_cell ? o->tag : 0,
            .flags = o->flags & HANDLE_UNMOVABLE,
        };
        sum += o->live ? object_digest(&object) : 0;
    }
    return sum;
}
