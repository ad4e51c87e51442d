/* SPDX-License-Identifier: MIT */
/*
 * backend_sinter.c - values in a Sinter store, named by cells in the nodes of the hash table, or by
 * handles. Nothing is left for reclaim(): a value's memory waits for its grace period inside the
 * store, and the node, where the cell lies, waits for the same grace period in the cache.
 */
#include "backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static handle_store *store;

static bool
open_store(bool compact)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.name = "cache";
    options.defrag.enabled = compact;
    store = handle_store_create(&options);
    if (!store)
        fprintf(stderr, "handle_store_create: %s\n", strerror(errno));
    return store != NULL;
}

/* ---- named by cells -------------------------------------------------------------------------- */

static void *
cell_create(union value_name *name, size_t size)
{
    return handle_cell_alloc(store, &name->cell, size, 0);
}

static const void *
cell_read(const union value_name *name)
{
    return handle_cell_deref(store, &name->cell);
}

static void *
cell_write(union value_name *name)
{
    return handle_cell_deref_mut(store, &name->cell);
}

/** A retired value answers with size 0: that is no fault, so look whether it is still there. */
static bool
cell_has_size(const union value_name *name, size_t size)
{
    return handle_cell_size(store, &name->cell) == size || !handle_cell_deref(store, &name->cell);
}

static bool
cell_retire(union value_name *name)
{
    return handle_cell_free(store, &name->cell) == 0;
}

/* ---- named by handles ------------------------------------------------------------------------ */

static void *
by_handle_create(union value_name *name, size_t size)
{
    void *object;
    name->handle = handle_alloc_object(store, size, 0, &object);
    return object;
}

static const void *
by_handle_read(const union value_name *name)
{
    return handle_deref(store, name->handle);
}

static void *
by_handle_write(union value_name *name)
{
    return handle_deref_mut(store, name->handle);
}

static bool
by_handle_has_size(const union value_name *name, size_t size)
{
    return handle_size(store, name->handle) == size || !handle_deref(store, name->handle);
}

static bool
by_handle_retire(union value_name *name)
{
    return handle_free(store, name->handle) == 0; /* the handle is stale from now on */
}

/* ---- both ------------------------------------------------------------------------------------ */

static void
nothing_to_reclaim(union value_name *name)
{
    memset(name, 0, sizeof(*name));
}

static void
facts(struct backend_facts *facts)
{
    struct handle_stats stats = HANDLE_STATS_INIT;
    *facts = (struct backend_facts){.known = handle_store_stats(store, &stats) == 0};
    facts->moved_bytes = stats.moved_bytes;
    facts->emptied_bytes = stats.compaction_released;
    facts->returned_bytes = stats.released;
    facts->compaction_ns = stats.compaction_cpu_ns;
}

static void
print_violation(void *opaque, const char *violation)
{
    (void)opaque;
    fprintf(stderr, "store check: %s\n", violation);
}

static int
check(void)
{
    return handle_store_check(store, print_violation, NULL);
}

static bool
close_store(void)
{
    size_t left = handle_store_used(store);
    int error = handle_store_destroy(store);
    if (left)
        fprintf(stderr, "store: %zu bytes were never freed\n", left);
    if (error)
        fprintf(stderr, "handle_store_destroy: %s\n", strerror(-error));
    return !left && !error;
}

const struct backend backend_sinter_cells = {
    .name = "sinter, cells",
    .open = open_store,
    .create = cell_create,
    .read = cell_read,
    .write = cell_write,
    .has_size = cell_has_size,
    .retire = cell_retire,
    .reclaim = nothing_to_reclaim,
    .facts = facts,
    .check = check,
    .close = close_store,
};

const struct backend backend_sinter_handles = {
    .name = "sinter, handles",
    .open = open_store,
    .create = by_handle_create,
    .read = by_handle_read,
    .write = by_handle_write,
    .has_size = by_handle_has_size,
    .retire = by_handle_retire,
    .reclaim = nothing_to_reclaim,
    .facts = facts,
    .check = check,
    .close = close_store,
};
