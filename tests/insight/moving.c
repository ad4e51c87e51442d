/* SPDX-License-Identifier: MIT */
/*
 * moving.c - a program that stands in the middle of a move, for sinter reach: moving WHERE. Each of
 * its objects is reached, by a cell or by a cell inside another one; the mover has just written a
 * copy's header (copied), published a parent's copy (published), or is about to turn the header of
 * the child (turned). Says how many there are, and waits for the end of its input:
 *
 *   ready reached=COUNT maybe=0 leaked=0 held_by_leaked=0
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hooks.h"
#include "flavour.h"

#define COUNT 20000u
#define KEEP  4u /* one of so many */

struct parent {
    handle_cell child;
    char text[100];
};

static handle_store *store;
static handle_cell cells[COUNT];
static enum sn_hook_point stops_at;

static void
expect(bool holds, const char *what)
{
    if (holds)
        return;
    perror(what);
    exit(1);
}

static struct handle_cells
cells_of(void *opaque, const void *object, size_t size)
{
    (void)opaque, (void)object, (void)size;
    return (struct handle_cells){offsetof(struct parent, child), 1};
}

static void
stop(enum sn_hook_point point, const void *object)
{
    (void)object;
    if (point != stops_at)
        return;
    printf("ready reached=%u maybe=0 leaked=0 held_by_leaked=0\n", COUNT / KEEP * 2);
    fflush(stdout);
    while (getchar() != EOF)
        continue;
    _exit(0);
}

static void
fill(void)
{
    for (unsigned i = 0; i < COUNT; i++) {
        rcu_read_lock();
        struct parent *parent =
            handle_cell_alloc(store, &cells[i], sizeof(*parent), HANDLE_CELLS | HANDLE_ZERO);
        expect(parent != NULL, "handle_cell_alloc");
        expect(i % KEEP != 0 || handle_cell_alloc(store, &parent->child, 50, 0), "of a child");
        rcu_read_unlock();
    }
    for (unsigned i = 0; i < COUNT; i++) {
        rcu_read_lock();
        expect(i % KEEP == 0 || handle_cell_free(store, &cells[i]) == 0, "handle_cell_free");
        rcu_read_unlock();
    }
    expect(handle_store_reclaim(store, SIZE_MAX) == 0, "handle_store_reclaim");
}

int
main(int argc, char **argv)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    const char *where = argc > 1 ? argv[1] : "";
    stops_at = strcmp(where, "copied") == 0      ? SN_HOOK_BEFORE_PUBLISH
               : strcmp(where, "published") == 0 ? SN_HOOK_AFTER_PUBLISH
                                                 : SN_HOOK_TURN;
    options.name = "moving";
    options.defrag.enabled = false;
    options.cells = cells_of;
    rcu_register_thread();
    store = handle_store_create(&options);
    expect(store != NULL, "handle_store_create");
    fill();
    __atomic_store_n(&sn_hook_fn, stop, __ATOMIC_RELEASE);
    (void)handle_store_compact(store, NULL);
    return 1; /* nothing was moved */
}
