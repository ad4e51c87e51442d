/* SPDX-License-Identifier: MIT */
/*
 * overflows.c - writes behind the end of an object, and in front of it.
 *
 * Seen failing, with the library broken like this:
 *   canary not looked at; zeros for a canary       overflow_* that write less than a span
 *   ... by the mover; of an update's version       overflow_moved; overflow_update
 *   hardened frees: canary not looked at           overflow_*
 *   handle_store_check ignores canaries            overflow_checked
 *   ... reports them from inside of its walk       overflow_many_checked
 *   no guards; none for spans of slots             overflow_*_runs_on; overflow_span_runs_on
 *   fast paths let into hardened stores            overflow_8, ...
 *   damage of what is freed is not looked for      underflow
 *   ... by free_now                                underflow_free_now
 */
#include "support.h"

#define PAST_END(call, name, size)                                                                 \
    HARDENED_ONLY(ABORTS(call ": store misuse, " name ": the object of " size                      \
                              " bytes was written past its end"))

/* An object of this size, and `count` bytes behind it overwritten with `byte`. */
static handle_t
make_overflown(handle_store *store, size_t size, int byte, size_t count)
{
    char *object;
    handle_t handle = make(store, size, &object);
    about(handle);
    memset(object + size, byte, count);
    return handle;
}

static void
free_now(handle_store *store, handle_t handle)
{
    section_enter();
    handle_free_now(store, handle);
    section_leave();
}

static void
overflow_8(handle_store *store)
{
    handle_free(store, make_overflown(store, 100, 0x41, 8));
}

/* Over whole neighbours. */
static void
overflow_many(handle_store *store)
{
    handle_free(store, make_overflown(store, 100, 0x41, 5000));
}

static void
overflow_large(handle_store *store)
{
    handle_free(store, make_overflown(store, 200000, 0, 1));
}

static void
overflow_resize(handle_store *store)
{
    (void)handle_resize(store, make_overflown(store, 100, 0, 1), 200);
}

/* ---- a string's terminator one byte too far -------------------------------------------------- */

/* With and without room behind. */
static void
overflow_terminator(handle_store *store)
{
    for (size_t size = 1; size < 200; size++) { /* these are in order: their terminator fits */
        char *object;
        handle_t handle = make(store, size, &object);
        object[size - 1] = 0;
        expect(handle_free(store, handle) == 0);
    }
    handle_free(store, make_overflown(store, full_size(store, 100), 0, 1));
}

static void
overflow_terminator_free_now(handle_store *store)
{
    free_now(store, make_overflown(store, 103, 0, 1));
}

static void
overflow_terminator_cell(handle_store *store)
{
    static handle_cell cell;
    section_enter();
    char *object = handle_cell_alloc(store, &cell, 63, 0);
    memset(object, 0, 64);
    handle_cell_free_now(store, &cell);
    section_leave();
    handle_thread_detach(store);
}

/* ---- found by others ------------------------------------------------------------------------- */

static void
overflow_moved(handle_store *store)
{
    static handle_t handles[4000];
    for (unsigned i = 0; i < 4000; i++)
        handles[i] = make(store, 100, NULL);
    for (unsigned i = 0; i < 4000; i++)
        if (i % 10 != 0)
            expect(handle_free(store, handles[i]) == 0);
    for (unsigned i = 0; i < 4000; i += 10)
        stray_address(store, handles[i])[100] = 0;
    handle_store_compact(store, NULL);
}

/* Of a new version; found when it is committed. */
static void
overflow_update(handle_store *store)
{
    handle_t handle = make(store, 40, NULL);
    struct handle_update update;
    about(handle);
    section_enter();
    char *object = handle_update_begin(store, handle, 60, &update);
    memset(object, 0x41, 60);
    object[60] = 0; /* no canary has a 0 */
    (void)handle_update_commit(store, &update);
}

/* handle_store_check counts it, and nothing ends. */
static void
overflow_checked(handle_store *store)
{
    char *object;
    handle_t handle = make(store, 100, &object);
    static handle_cell cell;
    section_enter();
    char *other = handle_cell_alloc(store, &cell, 100, 0);
    section_leave();
    expect(handle_store_check(store, NULL, NULL) == 0);
    char before = object[100];
    object[100] = 0;
    expect(handle_store_check(store, NULL, NULL) == 1);
    other[101] ^= 1;
    expect(handle_store_check(store, NULL, NULL) == 2);
    object[100] = before;
    other[101] ^= 1;
    expect(handle_free(store, handle) == 0);
}

/* ---- what is told of it holds no lock -------------------------------------------------------- */

#define MANY 100 /* more than one walk has room for */

static handle_store *reporting;
static unsigned reports, visits;

static int
count_visit(void *opaque, const struct handle_object *object)
{
    (void)opaque;
    (void)object;
    visits++;
    return 0;
}

static void
use_the_store(void *opaque, const char *violation)
{
    (void)opaque;
    (void)violation;
    reports++;
    expect(handle_store_each(reporting, count_visit, NULL) == 0);
    expect(handle_store_reclaim(reporting, SIZE_MAX) == 0);
}

/* Each is told of once, by a callback that may do what waits. Seen failing when the walk that finds
 * them calls it: it holds a lock, and EBUSY and EDEADLK are the answers. */
static void
overflow_many_checked(handle_store *store)
{
    handle_t handles[MANY];
    char *objects[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        handles[i] = make(store, 100, &objects[i]);
        objects[i][100] ^= 1;
    }
    reporting = store;
    expect(handle_store_check(store, use_the_store, NULL) == MANY);
    expect(reports == MANY);
    expect(visits >= MANY * MANY);
    for (unsigned i = 0; i < MANY; i++) {
        objects[i][100] ^= 1;
        expect(handle_free(store, handles[i]) == 0);
    }
}

/* ---- writes that run on meet a guard --------------------------------------------------------- */

static void
overflow_large_runs_on(handle_store *store)
{
    char *object;
    make(store, 65536 - 1, &object);
    memset(object, 0, 65536);
    object[65536] = 0;
}

static void
overflow_span_runs_on(handle_store *store)
{
    char *object;
    make(store, 100, &object);
    for (size_t i = 0; i < 2 * 65536; i++)
        ((volatile char *)object)[i] = 0;
}

/* ---- in front of the object: its header is found damaged, in every store --------------------- */

static handle_t
make_underflown(handle_store *store)
{
    char *object;
    handle_t handle = make(store, 100, &object);
    about(handle);
    memset(object - 8, 0x41, 8);
    return handle;
}

static void
underflow(handle_store *store)
{
    handle_free(store, make_underflown(store));
    expect(handle_store_purge(store, NULL) == 0);
    handle_thread_detach(store);
}

static void
underflow_free_now(handle_store *store)
{
    free_now(store, make_underflown(store));
}

#define HEADER_FOUND "free: header of the object at offset * is damaged*"
#define HEADER(call)                                                                               \
    call ": store misuse, handle @: the header of the object at offset * "                         \
         "is damaged: written in front of it*"

const struct misuse misuse_overflows[] = {
    CASE(overflow_8, PAST_END("handle_free", "handle @", "100")),
    CASE(overflow_many, PAST_END("handle_free", "handle @", "100")),
    CASE(overflow_large, PAST_END("handle_free", "handle @", "200000")),
    CASE(overflow_resize, PAST_END("handle_resize", "handle @", "100")),
    CASE(overflow_terminator, PAST_END("handle_free", "handle @", "*")),
    CASE(overflow_terminator_free_now, PAST_END("handle_free_now", "handle @", "103")),
    CASE(overflow_terminator_cell, PAST_END("handle_cell_free_now", "a cell", "63")),
    CASE(overflow_moved, PAST_END("handle_store_compact", "handle 0x*", "100")),
    CASE(overflow_update, PAST_END("handle_update_commit", "handle @", "60")),
    CASE(overflow_checked, HARDENED_ONLY(RETURNS)),
    CASE(overflow_many_checked, HARDENED_ONLY(RETURNS)),
    CASE(overflow_large_runs_on, HARDENED_ONLY(FAULTS)),
    CASE(overflow_span_runs_on, HARDENED_ONLY(FAULTS)),
    /* A thread's first free takes a slow path, which looks at the header in any store. */
    CASE_OPEN(underflow, HARDENED_ABORTS(HEADER_FOUND, HEADER("handle_free"))),
    CASE_OPEN(underflow_free_now,
              HARDENED_FINDS_OTHERS_MAY(HEADER_FOUND, ABORTS(HEADER("handle_free_now")))),
    CASES_END,
};
