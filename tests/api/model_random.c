/* SPDX-License-Identifier: MIT */
/*
 * model_random.c - random sequences of all operations against a reference map (model_store.h):
 * first by one thread beside the background mover, then by several threads that own their keys,
 * with readers of the shared ones; then a forest of cells inside objects (model_inner.h). After
 * every phase the whole store is checked, and a digest of all contents is compared around a
 * compaction.
 *
 *     model_memb_shared [--seed N] [--ops N] [--phases N] [--threads N]
 *                       [--only single|threads|inner]
 *
 * The operations follow from the seed alone, so a failure is replayed by giving the printed seed;
 * what the mover does meanwhile does not. Exit status: 0; 2 for bad arguments; a failure aborts.
 */
#include "model_inner.h"

#if SN_DEBUG
#include "base/hooks.h"
#endif

struct arguments {
    uint64_t seed;    /* 0: from TEST_SEED or the clock */
    uint64_t ops;     /* per phase, over all threads */
    uint64_t phases;  /* of each variant */
    uint64_t threads; /* owners; as many readers beside them */
    const char *only;
};

struct number_option {
    const char *name;
    uint64_t *value;
    uint64_t least, most;
};

static int
bad_argument(const char *name, const char *value, const char *range)
{
    fprintf(stderr, "%s: %s is not %s\n", name, value ? value : "nothing", range);
    return 2;
}

static int
take_number(const struct number_option *option, const char *text)
{
    char *end = NULL, range[80];
    errno = 0;
    unsigned long long value = text && *text != '-' ? strtoull(text, &end, 0) : 0;
    if (end && end != text && *end == '\0' && errno == 0 && value >= option->least &&
        value <= option->most) {
        *option->value = value;
        return 0;
    }
    snprintf(range, sizeof(range), "a number from %llu to %llu", (unsigned long long)option->least,
             (unsigned long long)option->most);
    return bad_argument(option->name, text, range);
}

static int
take_arguments(struct arguments *arguments, int argc, char **argv)
{
    const struct number_option options[] = {
        {"--seed", &arguments->seed, 1, UINT64_MAX},
        {"--ops", &arguments->ops, 1, UINT64_C(1000000000000)},
        {"--phases", &arguments->phases, 1, 1000000},
        {"--threads", &arguments->threads, 1, 16},
    };
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        size_t o = 0;
        while (o < 4 && strcmp(argv[i], options[o].name) != 0)
            o++;
        if (o < 4) {
            if (take_number(&options[o], value))
                return 2;
        } else if (strcmp(argv[i], "--only") != 0) {
            return bad_argument("option", argv[i], "--seed, --ops, --phases, --threads or --only");
        } else if (!value || (strcmp(value, "single") != 0 && strcmp(value, "threads") != 0 &&
                              strcmp(value, "inner") != 0)) {
            return bad_argument("--only", value, "single, threads or inner");
        } else {
            arguments->only = value;
        }
    }
    return 0;
}

/* ---- the store ------------------------------------------------------------------------------- */

static void
on_error(void *opaque, const char *message)
{
    (void)opaque;
    fprintf(stderr, "reported without reason: %s\n", message);
    abort();
}

static void
on_violation(void *opaque, const char *violation)
{
    (void)opaque;
    fprintf(stderr, "violation: %s\n", violation);
}

static handle_store *
open_store(uint64_t seed, bool inner)
{
    static const uint32_t alignments[] = {8, 8, 16, 64};
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.name = "model";
    options.arena_bytes = TEST_ARENA_BYTES;
    options.alignment = alignments[seed % 4];
    options.hardened = seed / 4 % 4 == 0;
    options.error = on_error;
    options.cells = inner ? model_inner_cells : NULL;
    options.defrag.ignore_bytes = 0;
    options.purge_delay_ms = 1;
    handle_store *store = handle_store_create(&options);
    thread_check(store != NULL);
    return store;
}

/* The same contents before and after a compaction, no violation. All threads are at rest. */
static void
check_phase(handle_store *store)
{
    uint64_t before = store_digest(store);
    thread_check(handle_store_compact(store, NULL) == 0);
    thread_check(store_digest(store) == before);
    thread_check(handle_store_check(store, on_violation, NULL) == 0);
}

/* A sequence may be too short to leave anything sparse: this does, so that something is moved. */
static void
move_something(handle_store *store)
{
    enum { OBJECTS = 512, KEPT_EACH = 8 }; /* several of the longest spans */
    handle_t handles[OBJECTS];
    thread_check(handle_store_set(store, "max_bytes", "0") == 0);
    for (unsigned i = 0; i < OBJECTS; i++) {
        handles[i] = handle_alloc(store, 4000);
        thread_check(handles[i] != HANDLE_NULL);
    }
    for (unsigned i = 0; i < OBJECTS; i++)
        thread_check(i % KEPT_EACH == 0 || handle_free(store, handles[i]) == 0);
    check_phase(store);
    for (unsigned i = 0; i < OBJECTS; i += KEPT_EACH)
        thread_check(handle_free(store, handles[i]) == 0);
}

/* After the last phase: nothing is left, neither in the map nor in the store. */
static void
close_store(handle_store *store, const char *variant)
{
    move_something(store);
    thread_check(handle_store_used(store) == 0);
    thread_check(handle_store_purge(store, NULL) == 0);
    uint64_t moved = take_stats(store).moved_objects;
    printf("%s: %llu objects moved\n", variant, (unsigned long long)moved);
    thread_check(moved > 0); /* else nothing was tested */
    thread_check(handle_store_destroy(store) == 0);
}

/* ---- one thread ------------------------------------------------------------------------------ */

static void
single_threaded(const struct arguments *arguments)
{
    static struct model model;
    handle_store *store = open_store(arguments->seed, false);
    model_init(&model, store, arguments->seed);
    model.alone = true;
    for (uint64_t phase = 0; phase < arguments->phases; phase++) {
        for (uint64_t i = 0; i < arguments->ops; i++)
            model_step(&model);
        model_verify(&model);
        check_phase(store);
        model_verify(&model);
        model_release(&model); /* now the sums are exact */
        thread_check(used_exactly(store) == model_live_bytes(&model));
    }
    model_end(&model);
    close_store(store, "one thread");
}

static void
inner(const struct arguments *arguments)
{
    static struct model model;
    handle_store *store = open_store(arguments->seed, true);
    model_init(&model, store, arguments->seed);
    model_inner_run(&model, arguments->ops, NULL);
    close_store(store, "cells inside objects");
}

/* ---- several threads ------------------------------------------------------------------------- */

#define OWNERS_MOST 16
#define SHARED_KEYS 60

struct crowd {
    unsigned owners;
    uint64_t ops; /* of each owner in this phase */
    unsigned running;
    handle_store *store;
    struct model *models;
    uint64_t published[OWNERS_MOST][SHARED_KEYS];
};

static void
read_while_others_run(struct crowd *crowd, unsigned index)
{
    uint64_t random = index + 1;
    while (__atomic_load_n(&crowd->running, __ATOMIC_ACQUIRE)) {
        unsigned owner = (unsigned)random_below(&random, crowd->owners);
        model_read_published(crowd->store, crowd->published[owner],
                             (unsigned)random_below(&random, SHARED_KEYS));
    }
}

static void
own_or_read(void *arg, unsigned index)
{
    struct crowd *crowd = arg;
    if (index >= crowd->owners) {
        read_while_others_run(crowd, index);
        return;
    }
    for (uint64_t i = 0; i < crowd->ops; i++)
        model_step(&crowd->models[index]);
    model_verify(&crowd->models[index]);
    __atomic_sub_fetch(&crowd->running, 1, __ATOMIC_RELEASE);
}

static void
open_crowd(struct crowd *crowd, const struct arguments *arguments)
{
    memset(crowd, 0, sizeof(*crowd));
    crowd->owners = (unsigned)arguments->threads;
    crowd->ops = arguments->ops / arguments->threads + 1;
    crowd->store = open_store(arguments->seed, false);
    crowd->models = calloc(crowd->owners, sizeof(struct model));
    thread_check(crowd->models != NULL);
    for (unsigned i = 0; i < crowd->owners; i++) {
        model_init(&crowd->models[i], crowd->store, arguments->seed * 31 + i + 1);
        crowd->models[i].shared_keys = SHARED_KEYS;
        crowd->models[i].published = crowd->published[i];
    }
}

static void
several_threads(const struct arguments *arguments)
{
    static struct crowd crowd;
    open_crowd(&crowd, arguments);
    for (uint64_t phase = 0; phase < arguments->phases; phase++) {
        size_t live = 0;
        crowd.running = crowd.owners;
        run_threads(2 * crowd.owners, own_or_read, &crowd);
        check_phase(crowd.store);
        for (unsigned i = 0; i < crowd.owners; i++) {
            model_verify(&crowd.models[i]);
            model_release(&crowd.models[i]);
            live += model_live_bytes(&crowd.models[i]);
        }
        struct handle_stats stats = take_stats(crowd.store);
        thread_check(used_exactly(crowd.store) == live && stats.pins == 0);
    }
    for (unsigned i = 0; i < crowd.owners; i++)
        model_end(&crowd.models[i]);
    free(crowd.models);
    close_store(crowd.store, "several threads");
}

int
main(int argc, char **argv)
{
    struct arguments arguments = {0, slow_run() ? 4000 : 30000, 5, 2, NULL};
    if (take_arguments(&arguments, argc, argv))
        return 2;
    if (arguments.seed == 0)
        arguments.seed = random_seed("model_random");
    printf("%s: --seed %llu --ops %llu --phases %llu --threads %llu\n", argv[0],
           (unsigned long long)arguments.seed, (unsigned long long)arguments.ops,
           (unsigned long long)arguments.phases, (unsigned long long)arguments.threads);
#if SN_DEBUG
    sn_debug_force_moves = arguments.seed / 16 % 2; /* moves although nothing is fragmented */
#endif
    thread_enter();
    if (!arguments.only || strcmp(arguments.only, "single") == 0)
        single_threaded(&arguments);
    if (!arguments.only || strcmp(arguments.only, "threads") == 0)
        several_threads(&arguments);
    if (!arguments.only || strcmp(arguments.only, "inner") == 0)
        inner(&arguments);
    thread_leave();
    return 0;
}
