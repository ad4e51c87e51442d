/* SPDX-License-Identifier: MIT */
/*
 * sequence.c - a random sequence of all operations under the plan's faults. The map of the model
 * says what every object must hold: after each operation that a fault hit, the whole store is
 * compared with it. Then the faults end, and the store must be as good as new.
 *
 * Seen failing: a purge that counts pages as given back although madvise failed (memory breakdown),
 * a defragmenter whose batches are not freed when its thread cannot start (blocks not given back),
 * set of defrag.enabled that stays on without a thread.
 */
#include "fault.h"

#include "model_store.h"

static void
on_error(void *opaque, const char *message)
{
    (void)opaque;
    /* the one line that a missing thread has */
    if (!strstr(message, "no thread could be started"))
        fprintf(stderr, "reported: %s\n", message);
    fault_check(strstr(message, "no thread could be started") != NULL);
}

static handle_store *
open_store(uint64_t seed)
{
    static const uint32_t alignments[] = {8, 8, 16, 64};
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.name = "fault";
    options.arena_bytes = 1 * GIB;
    options.alignment = alignments[seed % 4];
    options.hardened = seed / 4 % 4 == 0;
    options.error = on_error;
    options.defrag.ignore_bytes = 0;
    options.purge_delay_ms = (int64_t)(seed / 16 % 3); /* 0: at once, so that madvise is called */
    return handle_store_create(&options);
}

/* Without faults: the store is sound, and holds what the map says. */
static void
compare(struct model *model)
{
    plan_disarm();
    model_verify(model);
    fault_check(handle_store_check(model->store, print_violation, NULL) == 0);
    fault_check(store_digest(model->store) == model_digest(model));
    plan_arm();
}

/* A create that fails says why, and the next one works. */
static handle_store *
open_in_spite(uint64_t seed)
{
    plan_mark();
    plan_arm();
    errno = 0;
    handle_store *store = open_store(seed);
    if (!store) {
        fault_check(plan_excuses(errno));
        plan_disarm();
        store = open_store(seed);
        fault_check(store != NULL);
        plan_arm();
    }
    return store;
}

/* After the first faults, and then after some of them, where every call is hit. */
static bool
worth_comparing(uint64_t hit)
{
    return hit <= 4 || hit % 32 == 0;
}

static void
under_faults(struct model *model, uint64_t ops)
{
    uint64_t hits = 0;
    model->excused = plan_excuses;
    for (uint64_t i = 0; i < ops; i++) {
        plan_mark();
        uint64_t before = plan_injected();
        model_step(model);
        if (plan_injected() != before && worth_comparing(++hits))
            compare(model);
    }
    compare(model);
}

/* No fault is left in the store: everything works, and compaction loses nothing. */
static void
recovered(struct model *model, uint64_t ops)
{
    plan_disarm();
    model->excused = NULL;
    fault_check(handle_store_set(model->store, "max_bytes", "0") == 0);
    model->limited = false;
    fault_check(handle_defrag_start(model->store) == 0);
    for (uint64_t i = 0; i < ops; i++)
        model_step(model);
    uint64_t before = store_digest(model->store);
    fault_check(handle_store_compact(model->store, NULL) == 0);
    fault_check(store_digest(model->store) == before && model_digest(model) == before);
    model_verify(model);
    model_release(model);
    fault_check(used_exactly(model->store) == model_live_bytes(model));
    fault_check(handle_store_check(model->store, print_violation, NULL) == 0);
}

bool
sequence(const struct arguments *arguments)
{
    static struct model model;
    handle_store *store = open_in_spite(arguments->seed);
    model_init(&model, store, arguments->seed);
    model.alone = true;
    under_faults(&model, arguments->ops);
    recovered(&model, arguments->ops / 4);
    model_end(&model);
    fault_check(handle_store_used(store) == 0);
    fault_check(handle_store_destroy(store) == 0);
    return true;
}
