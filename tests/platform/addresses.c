/* SPDX-License-Identifier: MIT */
/*
 * addresses.c - where the kernel puts a store and its cells, and that all of it works there: the
 * objects are walked, moved and checked. Run by boot-init.sh, where addresses of 48 bits are the
 * rule: it fails if the kernel places a store below 2^47, for then nothing was shown. Prints
 * addresses, which the library itself never does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <urcu.h>

#include <sinter/handle.h>

#define OBJECTS 40000u

static handle_t handle[OBJECTS];
static handle_cell static_cell;

static void
say(const char *what, const void *address)
{
    printf("%-12s 0x%llx\n", what, (unsigned long long)(uintptr_t)address);
}

static void
require(int so, const char *what)
{
    if (so)
        return;
    printf("not so: %s\n", what);
    exit(1);
}

/* An object that the cell names is found by it. */
static void
try_cell(handle_store *store, const char *where, handle_cell *cell)
{
    say(where, cell);
    memset(cell, 0, sizeof(*cell));
    rcu_read_lock();
    char *object = handle_cell_alloc(store, cell, 100, 0);
    require(object != NULL, "a cell is taken wherever it lies");
    strcpy(object, where);
    require(strcmp(handle_cell_deref(store, cell), where) == 0, "it names its object");
    rcu_read_unlock();
}

/* Seven of eight are freed, so that spans can be given up. */
static void
fill(handle_store *store)
{
    for (unsigned i = 0; i < OBJECTS; i++) {
        rcu_read_lock();
        void *object;
        handle[i] = handle_alloc_object(store, 64, 0, &object);
        require(object != NULL, "there is room");
        memcpy(object, &i, sizeof(i));
        rcu_read_unlock();
    }
    for (unsigned i = 0; i < OBJECTS; i++) {
        if (i % 8 != 0)
            require(handle_free(store, handle[i]) == 0, "a free succeeds");
    }
}

static const void *
read_all(handle_store *store)
{
    const void *last = NULL;
    rcu_read_lock();
    for (unsigned i = 0; i < OBJECTS; i += 8) {
        unsigned found = OBJECTS;
        last = handle_deref(store, handle[i]);
        require(last != NULL, "a handle names its object");
        memcpy(&found, last, sizeof(found));
        require(found == i, "with its contents");
    }
    rcu_read_unlock();
    return last;
}

/* arena_bytes: 0, and the store begins small, at a place that the library chooses for it to grow;
 * or its size, and the kernel places it. Result: where an object of it lay. */
static const void *
try_store(uint64_t arena_bytes)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    handle_cell stack_cell, *heap_cell = malloc(sizeof(*heap_cell));
    handle_cell *mapped_cell =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    options.arena_bytes = arena_bytes;
    handle_store *store = handle_store_create(&options);
    require(store && heap_cell && mapped_cell != MAP_FAILED, "a store is made");
    fill(store);
    const void *object = read_all(store);
    say(arena_bytes ? "fixed store" : "store", object);
    try_cell(store, "static cell", &static_cell);
    try_cell(store, "heap cell", heap_cell);
    try_cell(store, "mapped cell", mapped_cell);
    try_cell(store, "stack cell", &stack_cell);
    require(handle_store_compact(store, &report) == 0, "compaction succeeds");
    printf("%-12s %llu objects\n", "moved", (unsigned long long)report.moved_objects);
    require(report.moved_objects > 0, "objects are moved");
    (void)read_all(store);
    require(handle_store_check(store, NULL, NULL) == 0, "the check finds nothing");
    require(handle_store_destroy(store) == 0, "the store ends");
    free(heap_cell);
    munmap(mapped_cell, 4096);
    return object;
}

int
main(void)
{
    rcu_register_thread();
    (void)try_store(0);
    const void *object = try_store(UINT64_C(1) << 30);
    rcu_unregister_thread();
    require(((uintptr_t)object >> 47) != 0, "the kernel places stores above 2^47");
    return 0;
}
