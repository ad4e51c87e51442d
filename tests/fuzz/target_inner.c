/* SPDX-License-Identifier: MIT */
/*
 * target_inner.c - fuzz target: sequences of operations on a forest of cells inside objects, beside
 * a map of it (tests/api/model_inner.c): nodes that grow in cells, are moved with all below them,
 * written, resized, replaced, unlinked, freed, and compaction. An input begins with a byte for the
 * store's options.
 *
 * Seen failing, all by the seeds: a copy of a parent without its cells, headers that go on to name
 * the old cells, a parent freed that has children, an update that drops a full cell.
 */
#include "fuzz.h"
#include "model_inner.h"

static struct source *choices_from;

static uint64_t
choose_below(uint64_t limit)
{
    uint64_t value = take_byte(choices_from);
    if (limit > 0x100)
        value |= (uint64_t)take_byte(choices_from) << 8;
    if (limit > 0x10000)
        value |= (uint64_t)take_byte(choices_from) << 16;
    return value % limit;
}

static bool
choices_are_left(void)
{
    return !source_is_empty(choices_from);
}

static void
on_error(void *opaque, const char *message)
{
    (void)opaque;
    fprintf(stderr, "reported without reason: %s\n", message);
    abort();
}

static handle_store *
open_store(struct source *source)
{
    static const uint32_t alignments[] = {8, 8, 16, 64};
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    unsigned byte = take_byte(source);
    options.arena_bytes = 512 * MIB;
    options.alignment = alignments[byte % 4];
    options.hardened = (byte >> 2) % 8 == 7;
    options.cells = model_inner_cells;
    options.defrag.enabled = byte & 0x20;
    options.defrag.ignore_bytes = 0;
    options.purge_delay_ms = byte & 0x40 ? 1 : 200;
    options.error = on_error;
    handle_store *store = handle_store_create(&options);
    fuzz_check(store != NULL);
    return store;
}

void
fuzz_run(struct source *source, uint64_t operations)
{
    static struct model model;
    struct model_choices choices = {choose_below, choices_are_left, MODEL_INNER_NODES};
    handle_store *store = open_store(source);
    choices_from = source;
    if (!source->random)
        choices.nodes = 64;
    model_init(&model, store, 1);
    model_inner_run(&model, operations, &choices);
    fuzz_operations += model.steps;
    fuzz_check(handle_store_used(store) == 0);
    uint64_t moved = take_stats(store).moved_objects;
    fuzz_check(!source->random || operations < 20000 || moved > 0); /* else it was not tested */
    fuzz_check(handle_store_destroy(store) == 0);
}

const uint64_t fuzz_round = 30000;
