/* SPDX-License-Identifier: MIT */
/*
 * frees.c - very many frees in one section, while nothing can be had: the arrays that threads keep
 * limbo in are refused, by a fault or by max_bytes, from the first one on or in the midst. A free
 * needs no memory: each succeeds, what readers hold stays whole, the store keeps to its limit, and
 * a grace period later all of it is there again.
 *
 * Seen failing: an array that is taken whatever max_bytes says (committed above the limit), slots
 * that are linked as if there were an array (SIGSEGV), linked slots that are not handed over (limbo
 * that does not end).
 */
#include "fault.h"

#define OBJECT_BYTES 40
#define FREES_AN_OP  40
#define ALLOC_EVERY  50 /* frees: allocations, on their slow path, are what asks for arrays */
#define READ_EVERY   1000

struct ground {
    handle_store *store;
    handle_t *handles, *made; /* made meanwhile */
    handle_cell *cells;       /* every second object's, if it has no handle */
    size_t n, count, refused;
};

static handle_store *
open_store(void)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.name = "frees";
    options.arena_bytes = 1 * GIB;
    handle_store *store = handle_store_create(&options);
    fault_check(store != NULL);
    fault_check(handle_defrag_stop(store) == 0);
    return store;
}

static void
fill_ground(struct ground *ground)
{
    for (size_t i = 0; i < ground->n; i++) {
        void *object;
        section_enter();
        if (i % 2)
            object = handle_cell_alloc(ground->store, &ground->cells[i], OBJECT_BYTES, 0);
        else
            ground->handles[i] = handle_alloc_object(ground->store, OBJECT_BYTES, 0, &object);
        fault_check(object != NULL);
        fill(object, OBJECT_BYTES, i);
        section_leave();
    }
}

static struct handle_stats
stats_of(handle_store *store)
{
    struct handle_stats stats = HANDLE_STATS_INIT;
    fault_check(handle_store_stats(store, &stats) == 0);
    return stats;
}

/* An allocation that may be refused; one that is not must keep to the limit. */
static void
make_one(struct ground *ground, bool limited)
{
    plan_mark();
    errno = 0;
    handle_t made = handle_alloc(ground->store, OBJECT_BYTES);
    if (made != HANDLE_NULL)
        ground->made[ground->count++] = made;
    else
        fault_check(plan_excuses(errno) || (limited && (errno == ENOMEM || errno == EAGAIN)));
    ground->refused += made == HANDLE_NULL;
}

static void
free_one(struct ground *ground, size_t i)
{
    if (i % 2)
        fault_check(handle_cell_free(ground->store, &ground->cells[i]) == 0);
    else
        fault_check(handle_free(ground->store, ground->handles[i]) == 0);
}

/* In one section, which has looked at some of them before. */
static void
free_all(struct ground *ground, uint64_t max_bytes)
{
    section_enter();
    for (size_t begin = 0; begin < ground->n; begin += READ_EVERY) {
        const void *seen = handle_deref(ground->store, ground->handles[begin]);
        fault_check(seen != NULL);
        for (size_t i = begin; i < begin + READ_EVERY && i < ground->n; i++) {
            free_one(ground, i);
            if (i % ALLOC_EVERY == 0)
                make_one(ground, max_bytes > 0);
        }
        fault_check(mismatch(seen, OBJECT_BYTES, begin) == OBJECT_BYTES);
        fault_check(max_bytes == 0 || stats_of(ground->store).committed <= max_bytes);
    }
    section_leave();
}

/* All is there again, and nothing else. */
static void
recovered(struct ground *ground)
{
    fault_check(handle_store_set(ground->store, "max_bytes", "0") == 0);
    fault_check(handle_store_reclaim(ground->store, SIZE_MAX) == 0);
    struct handle_stats stats = stats_of(ground->store);
    fault_check(stats.limbo == 0 && stats.objects == ground->count);
    fault_check(handle_free_many(ground->store, ground->made, ground->count) == ground->count);
    fault_check(handle_store_check(ground->store, print_violation, NULL) == 0);
    fill_ground(ground);
    fault_check(stats_of(ground->store).objects == ground->n);
    fault_check(handle_store_clear(ground->store) == 0);
}

/* room: what the limit leaves, for arrays too, in all. */
static bool
run(size_t n, bool limited, uint64_t room)
{
    struct ground ground = {open_store(),
                            calloc(n, sizeof(handle_t)),
                            calloc(n, sizeof(handle_t)),
                            calloc(n, sizeof(handle_cell)),
                            n,
                            0,
                            0};
    fault_check(ground.handles && ground.made && ground.cells);
    fill_ground(&ground);
    uint64_t max_bytes = limited ? stats_of(ground.store).committed + room : 0;
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)max_bytes);
    fault_check(handle_store_set(ground.store, "max_bytes", text) == 0);
    plan_arm();
    free_all(&ground, max_bytes);
    plan_disarm();
    recovered(&ground);
    fault_check(handle_store_destroy(ground.store) == 0);
    free(ground.handles);
    free(ground.made);
    free(ground.cells);
    return ground.refused == 0;
}

bool
frees(const struct arguments *arguments)
{
    size_t n = arguments->ops * FREES_AN_OP;
    run(n, true, 0);
    run(n, true, 256 * KIB);
    return run(n, false, 0);
}
