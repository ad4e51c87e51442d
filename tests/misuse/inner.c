/* SPDX-License-Identifier: MIT */
/*
 * inner.c - cells inside objects: by which a writer came without having resolved their parent,
 * where none may lie, below what they would name; and an option `cells` that lies, or calls the
 * store.
 *
 * Seen failing, with the library broken like this:
 *   where a cell lies is not looked at             inner_stale_*, but reading; inner_without_flag,
 *                                                  inner_beside_cells
 *   a size only by the header that names the cell  inner_stale_reading
 *   what it would name is not looked for above it  inner_below_itself_*
 *   an answer is taken whatever it is              inner_lie_*
 *   ... unaligned, or with too many cells          inner_lie_unaligned, inner_lie_too_many
 *   a callback may call                            inner_calls
 *   a lie is not reported                          inner_lie_*, inner_calls
 *   an abort goes on after it                      inner_lie_at_abort
 *   the flag is taken without the option           inner_no_option
 */
#include "support.h"

/* Cells are those words that the first one counts; it is none. */
enum answer_is { RIGHT, OUTSIDE, UNALIGNED, TOO_MANY, CALLS };
static enum answer_is answer_is;
static handle_store *called;

struct node {
    uint64_t cells;
    handle_cell cell[3];
};

static int
visit(void *opaque, const struct handle_object *object)
{
    (void)opaque;
    (void)object;
    return 0;
}

static struct handle_cells
cells_of(void *opaque, const void *object, size_t size)
{
    const struct node *node = object;
    struct handle_cells cells = {offsetof(struct node, cell), node->cells};
    (void)opaque;
    if (answer_is == OUTSIDE)
        cells.offset = size + 8;
    if (answer_is == UNALIGNED)
        cells.offset += 4;
    if (answer_is == TOO_MANY)
        cells.count = size / 8;
    if (answer_is == CALLS)
        (void)handle_store_each(called, visit, NULL);
    return cells;
}

static handle_store *
open_with_cells(void)
{
    struct handle_store_options options = store_options();
    options.cells = cells_of;
    called = handle_store_create(&options);
    expect(called != NULL);
    return called;
}

static handle_t
make_parent(handle_store *store, struct node **node)
{
    void *object;
    section_enter();
    handle_t parent = handle_alloc_object(store, sizeof(struct node), HANDLE_CELLS, &object);
    expect(parent != HANDLE_NULL);
    *node = object;
    (*node)->cells = 2;
    expect(handle_cell_alloc(store, &(*node)->cell[0], 40, 0) != NULL);
    section_leave();
    return parent;
}

/* In a section: a parent whose first cell names an object, by the address that it had before it was
 * resized. */
static struct node *
stale_parent(handle_store *store)
{
    struct node *node;
    handle_t parent = make_parent(store, &node);
    section_enter();
    expect(handle_deref_mut(store, parent) == node);
    expect(handle_resize(store, parent, 3 * sizeof(struct node)) == 0);
    expect(handle_deref(store, parent) != node);
    return node;
}

#define STALE_CASE(name, call)                                                                     \
    static void inner_stale_##name(handle_store *none)                                             \
    {                                                                                              \
        handle_store *store = open_with_cells();                                                   \
        struct node *node = stale_parent(store);                                                   \
        handle_cell other = HANDLE_CELL_INIT, *many = &node->cell[0];                              \
        (void)none, (void)other, (void)many;                                                       \
        (void)(call);                                                                              \
    }

static int
publish(handle_store *store, handle_cell *cell)
{
    struct handle_reserved reserved;
    expect(handle_reserve(store, 40, 0, &reserved) != NULL);
    return handle_cell_publish(store, cell, &reserved, 0);
}

static int
commit(handle_store *store, handle_cell *cell)
{
    struct handle_update update; /* which may begin by an old copy's cell */
    expect(handle_cell_update_begin(store, cell, 40, &update) != NULL);
    return handle_cell_update_commit(store, cell, &update);
}

static int
relocate_to(handle_store *store, handle_cell *to)
{
    handle_cell from = HANDLE_CELL_INIT;
    expect(handle_cell_alloc(store, &from, 40, 0) != NULL);
    return handle_cell_relocate(store, &from, to);
}

STALE_CASE(alloc, handle_cell_alloc(store, &node->cell[1], 40, 0))
STALE_CASE(publish, publish(store, &node->cell[1]))
STALE_CASE(free, handle_cell_free(store, &node->cell[0]))
STALE_CASE(free_now, handle_cell_free_now(store, &node->cell[0]))
STALE_CASE(free_many, handle_cell_free_many(store, &many, 1))
STALE_CASE(set_tag, handle_cell_set_tag(store, &node->cell[0], 1))
STALE_CASE(resize, handle_cell_resize(store, &node->cell[0], 50))
STALE_CASE(resize_reserve, handle_cell_resize_reserve(store, &node->cell[0], 50, 100))
STALE_CASE(retire, handle_cell_retire(store, &node->cell[0]))
STALE_CASE(relocate, handle_cell_relocate(store, &node->cell[0], &other))
STALE_CASE(relocate_to, relocate_to(store, &node->cell[1]))
STALE_CASE(unlink, handle_cell_unlink(store, &node->cell[0], &other))
STALE_CASE(commit, commit(store, &node->cell[0]))

/* What an old copy is good for. */
static void
inner_stale_reading(handle_store *none)
{
    handle_store *store = open_with_cells();
    struct node *node = stale_parent(store);
    (void)none;
    const void *object = handle_cell_deref(store, &node->cell[0]);
    expect(object != NULL);
    expect(handle_cell_deref_mut(store, &node->cell[0]) == object);
    expect(handle_cell_size(store, &node->cell[0]) == 40);
    expect(handle_cell_pin(store, &node->cell[0]) == object);
    handle_unpin(store, object);
}

/* ---- where cells may not lie ----------------------------------------------------------------- */

static void
inner_without_flag(handle_store *none)
{
    handle_store *store = open_with_cells();
    void *object;
    (void)none;
    section_enter();
    expect(handle_alloc_object(store, sizeof(struct node), HANDLE_ZERO, &object) != HANDLE_NULL);
    struct node *node = object;
    (void)handle_cell_alloc(store, &node->cell[0], 40, 0);
}

static void
inner_beside_cells(handle_store *none)
{
    handle_store *store = open_with_cells();
    struct node *node;
    handle_t parent = make_parent(store, &node);
    (void)none;
    section_enter();
    node = handle_deref_mut(store, parent);
    (void)handle_cell_alloc(store, &node->cell[2], 40, 0);
}

/* In a section: the upper one of two parents, by `upper`; cell 1 of the lower one is empty. */
static struct node *
two_levels(handle_store *store, handle_cell *upper)
{
    struct node *one = handle_cell_alloc(store, upper, sizeof(*one), HANDLE_CELLS);
    expect(one != NULL);
    one->cells = 2;
    struct node *two = handle_cell_alloc(store, &one->cell[0], sizeof(*two), HANDLE_CELLS);
    expect(two != NULL);
    two->cells = 2;
    return two;
}

static void
inner_below_itself_relocate(handle_store *none)
{
    handle_store *store = open_with_cells();
    static handle_cell upper;
    (void)none;
    section_enter();
    (void)handle_cell_relocate(store, &upper, &two_levels(store, &upper)->cell[1]);
}

static void
inner_below_itself_unlink(handle_store *none)
{
    handle_store *store = open_with_cells();
    static handle_cell upper;
    (void)none;
    section_enter();
    (void)handle_cell_unlink(store, &upper, &two_levels(store, &upper)->cell[1]);
}

static void
inner_below_itself_publish(handle_store *none)
{
    handle_store *store = open_with_cells();
    struct handle_reserved reserved;
    (void)none;
    struct node *node = handle_reserve(store, sizeof(*node), HANDLE_CELLS, &reserved);
    expect(node != NULL);
    node->cells = 2;
    section_enter();
    (void)handle_cell_publish(store, &node->cell[0], &reserved, 0);
}

/* ---- an option that lies --------------------------------------------------------------------- */

static void
free_by_lie(enum answer_is lie)
{
    handle_store *store = open_with_cells();
    struct node *node;
    handle_t parent = make_parent(store, &node);
    answer_is = lie;
    expect(handle_free(store, parent) == -EINVAL);
    section_enter();
    expect(handle_deref(store, parent) == node);
    expect(handle_cell_deref(store, &node->cell[0]) != NULL);
    section_leave();
}

static void
inner_lie_outside(handle_store *none)
{
    (void)none;
    free_by_lie(OUTSIDE);
}

static void
inner_lie_unaligned(handle_store *none)
{
    (void)none;
    free_by_lie(UNALIGNED);
}

static void
inner_lie_too_many(handle_store *none)
{
    (void)none;
    free_by_lie(TOO_MANY);
}

static void
inner_calls(handle_store *none)
{
    (void)none;
    free_by_lie(CALLS);
}

/* The reservation goes on: what its cells name would be out of reach. */
static void
inner_lie_at_abort(handle_store *none)
{
    handle_store *store = open_with_cells();
    struct handle_reserved reserved;
    (void)none;
    struct node *node = handle_reserve(store, sizeof(*node), HANDLE_CELLS, &reserved);
    expect(node != NULL);
    node->cells = 1;
    section_enter();
    expect(handle_cell_alloc(store, &node->cell[0], 40, 0) != NULL);
    section_leave();
    answer_is = OUTSIDE;
    handle_reserved_abort(store, &reserved);
    answer_is = RIGHT;
    section_enter();
    expect(handle_cell_size(store, &node->cell[0]) == 40);
    section_leave();
    handle_reserved_abort(store, &reserved);
    expect(handle_store_used(store) == 0);
}

/* A store that has no such option. */
static void
inner_no_option(handle_store *store)
{
    handle_cell cell = HANDLE_CELL_INIT;
    struct handle_reserved reserved;
    section_enter();
    expect_errno(handle_alloc_object(store, 40, HANDLE_CELLS, NULL), EINVAL);
    expect_errno(handle_cell_alloc(store, &cell, 40, HANDLE_CELLS), EINVAL);
    expect_errno(handle_reserve(store, 40, HANDLE_CELLS, &reserved), EINVAL);
    section_leave();
}

#define STALE(function)                                                                            \
    CHECKED(ABORTS(function ": store misuse, a cell: the cell lies in memory that no object "      \
                            "has*"))
#define BELOW(function)                                                                            \
    CHECKED(ABORTS(function ": store misuse, a cell: the cell lies inside the object that it "     \
                            "would name, or below it*"))
#define LIES(function)                                                                             \
    ALWAYS(REPORTS(function ": option cells: what it said of the object at offset * lies outside " \
                            "of it, or is not aligned, or it has called the store*"))

const struct misuse misuse_inner[] = {
    CASE_NO_STORE(inner_stale_alloc, STALE("handle_cell_alloc")),
    CASE_NO_STORE(inner_stale_publish, STALE("handle_cell_publish")),
    CASE_NO_STORE(inner_stale_free, STALE("handle_cell_free")),
    CASE_NO_STORE(inner_stale_free_now, STALE("handle_cell_free*")),
    CASE_NO_STORE(inner_stale_free_many,
                  CHECKED(ABORTS("handle_cell_free*: *the cell lies in memory that no object*"))),
    CASE_NO_STORE(inner_stale_set_tag, STALE("handle_cell_set_tag")),
    CASE_NO_STORE(inner_stale_resize, STALE("handle_cell_resize")),
    CASE_NO_STORE(inner_stale_resize_reserve, STALE("handle_cell_resize_reserve")),
    CASE_NO_STORE(inner_stale_retire, STALE("handle_cell_retire")),
    CASE_NO_STORE(inner_stale_relocate, STALE("handle_cell_relocate")),
    CASE_NO_STORE(inner_stale_relocate_to,
                  CHECKED(ABORTS("handle_cell_relocate: *the cell lies in memory that no*"))),
    CASE_NO_STORE(inner_stale_unlink, STALE("handle_cell_unlink")),
    CASE_NO_STORE(inner_stale_commit, STALE("handle_cell_update_commit")),
    CASE_NO_STORE(inner_stale_reading, ALWAYS(RETURNS)),
    CASE_NO_STORE(inner_without_flag,
                  CHECKED(ABORTS("handle_cell_alloc: store misuse, a cell: the cell lies inside an "
                                 "object that was made without HANDLE_CELLS"))),
    CASE_NO_STORE(inner_beside_cells,
                  CHECKED(ABORTS("handle_cell_alloc: store misuse, a cell: the cell lies where its "
                                 "object has none, by the option cells"))),
    CASE_NO_STORE(inner_below_itself_relocate, BELOW("handle_cell_relocate")),
    CASE_NO_STORE(inner_below_itself_unlink, BELOW("handle_cell_unlink")),
    CASE_NO_STORE(inner_below_itself_publish, BELOW("handle_cell_publish")),
    CASE_NO_STORE(inner_lie_outside, LIES("handle_free")),
    CASE_NO_STORE(inner_lie_unaligned, LIES("handle_free")),
    CASE_NO_STORE(inner_lie_too_many, LIES("handle_free")),
    CASE_NO_STORE(inner_calls, LIES("handle_free")),
    CASE_NO_STORE(inner_lie_at_abort, LIES("handle_reserved_abort")),
    CASE(inner_no_option, ALWAYS(RETURNS)),
    CASES_END,
};
