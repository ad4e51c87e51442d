/* SPDX-License-Identifier: MIT */
/*
 * sections.c - calls that need a read-side section and have none, and calls that wait in one.
 *
 * Seen failing, with the library broken like this:
 *   sections not looked at                         no_section_*, unregistered_thread
 *   fast paths let into hardened stores            no_section_free_now
 *   registration not doubted                       unregistered_in_section
 *   create, stop and reclaim go on in a section    wait_in_section; reclaim: wait_in_visit
 *   a refused walk says 0; is not refused          walk_in_visit
 */
#include "support.h"

#pragma GCC diagnostic ignored "-Wunused-result" /* calls that do not return */

/* Every row: the case, the function, its arguments, what the line names. */
#define NO_SECTION(X)                                                                              \
    X(alloc_object, handle_alloc_object, (store, 40, 0, &address), "handle 0")                     \
    X(alloc_many, handle_alloc_many, (store, (size_t[]){40}, 0, (handle_t[1]){0}, &address, 1),    \
      "handle 0")                                                                                  \
    X(deref_mut, handle_deref_mut, (store, made(store)), "handle @")                               \
    X(deref_many, handle_deref_many, (store, (handle_t[]){made(store)}, &object, 1), "handle 0")   \
    X(size, handle_size, (store, made(store)), "handle @")                                         \
    X(sparsity, handle_sparsity, (store, made(store)), "handle @")                                 \
    X(free_now, handle_free_now, (store, made(store)), "handle @")                                 \
    X(pin, handle_pin, (store, made(store)), "handle @")                                           \
    X(update, handle_update_begin, (store, made(store), 9, &update), "handle @")                   \
    X(cell_alloc, handle_cell_alloc, (store, &cell, 40, 0), "a cell")                              \
    X(cell_resize_reserve, handle_cell_resize_reserve, (store, &cell, 40, 80000), "a cell")        \
    X(cell_free, handle_cell_free, (store, &cell), "a cell")                                       \
    X(cell_free_now, handle_cell_free_now, (store, &cell), "a cell")                               \
    X(cell_alloc_many, handle_cell_alloc_many,                                                     \
      (store, (handle_cell *[]){&cell}, (size_t[]){40}, 0, NULL, 1), "handle 0")                   \
    X(cell_free_many, handle_cell_free_many, (store, (handle_cell *[]){&cell}, 1), "handle 0")     \
    X(cell_tag, handle_cell_set_tag, (store, &cell, 1), "a cell")

#define CALL(name, function, arguments, named)                                                     \
    static void no_section_##name(handle_store *store)                                             \
    {                                                                                              \
        (void)function arguments;                                                                  \
    }

#define ROW(name, function, arguments, named)                                                      \
    CASE(no_section_##name, CHECKED(ABORTS(#function ": store misuse, " named                      \
                                                     ": called outside a read-side section"))),

static handle_cell cell;
static struct handle_update update;
static const void *object;
static void *address;

static handle_t
made(handle_store *store)
{
    handle_t handle = make(store, 40, NULL);
    about(handle);
    return handle;
}

NO_SECTION(CALL)

/* ---- threads that liburcu does not know ------------------------------------------------------ */

static void
run_unregistered(void *(*use)(void *store), handle_store *store)
{
    pthread_t thread;
    about(41);
    expect(pthread_create(&thread, NULL, use, store) == 0);
    pthread_join(thread, NULL);
}

static void *
use_once(void *store)
{
    handle_deref_mut(store, 41);
    return NULL;
}

/* It opened no section. */
static void
unregistered_thread(handle_store *store)
{
    run_unregistered(use_once, store);
}

#define CALLS (1 << 24) /* those in which a grace period is asked for: seven of them */

static void *
use_in_section(void *store)
{
    rcu_read_lock();
    for (int i = 0; i < CALLS; i++)
        handle_deref_mut(store, 41);
    rcu_read_unlock();
    return NULL;
}

/* In what it takes for a section. */
static void
unregistered_in_section(handle_store *store)
{
    run_unregistered(use_in_section, store);
}

/* ---- calls that wait ------------------------------------------------------------------------- */

static void
wait_in_section(handle_store *store)
{
    section_enter();
    struct handle_store_options options = store_options();
    expect_errno(handle_store_create(&options), EDEADLK);
    expect(handle_store_destroy(store) == -EDEADLK);
    expect(handle_store_compact(store, NULL) == -EDEADLK);
    expect(handle_store_purge(store, NULL) == -EDEADLK);
    expect(handle_store_reclaim(store, 1) == -EDEADLK);
    expect(handle_defrag_stop(store) == -EDEADLK);
    section_leave();
}

static int
visit_and_wait(void *opaque, const struct handle_object *object)
{
    handle_store *store = opaque;
    expect(object->size == 40);
    expect(handle_store_compact(store, NULL) == -EDEADLK);
    expect(handle_store_reclaim(store, 1) == -EDEADLK);
    expect(handle_store_destroy(store) == -EDEADLK);
    return 17;
}

static void
wait_in_visit(handle_store *store)
{
    make(store, 40, NULL);
    expect(handle_store_each(store, visit_and_wait, store) == 17);
}

static int
visit_and_walk(void *opaque, const struct handle_object *object)
{
    (void)object;
    return handle_store_each(opaque, visit_and_walk, opaque);
}

static int
visit_and_count(void *opaque, const struct handle_object *object)
{
    size_t used;
    (void)object;
    return handle_store_used_exact(opaque, &used);
}

static void
walk_in_visit(handle_store *store)
{
    make(store, 40, NULL);
    expect(handle_store_each(store, visit_and_walk, store) == -EBUSY);
    expect(handle_store_each(store, visit_and_count, store) == -EBUSY);
}

const struct misuse misuse_sections[] = {
    CASE(unregistered_thread, CHECKED(ABORTS("handle_deref_mut: store misuse, handle @: "
                                             "called outside a read-side section"))),
    CASE(unregistered_in_section, CHECKED(ABORTS("handle_deref_mut: store misuse, handle @: "
                                                 "called by a thread that is not registered: *"))),
    CASE(wait_in_section, ALWAYS(RETURNS)),
    CASE(wait_in_visit, ALWAYS(RETURNS)),
    CASE(walk_in_visit, ALWAYS(RETURNS)),
    NO_SECTION(ROW) CASES_END,
};
