/* SPDX-License-Identifier: MIT */
/*
 * test_inner.c - cells inside objects: trees and chains keep their shape through compaction,
 * resize, update and relocate; what still leads to others does not end; an option `cells` that
 * lies, or calls the store, is reported and leaves the object where it is.
 */
#include "support.h"

/* An object with `kids` cells; value says which it is. */
struct node {
    uint32_t kids;
    uint32_t value;
    handle_cell kid[];
};

#define NODE_BYTES(kids) (sizeof(struct node) + (kids) * sizeof(handle_cell))

static void
drain(handle_store *store)
{
    assert_int_equal(handle_store_reclaim(store, SIZE_MAX), 0);
}

static enum { RIGHT, OUTSIDE, UNALIGNED, TOO_MANY, HUGE, WALKS, FREES, ANSWERS } answer = RIGHT;
static handle_store *called; /* by the callback, where it calls */
static unsigned asked;

static int
stop_visit(void *opaque, const struct handle_object *object)
{
    (void)opaque;
    (void)object;
    return 1;
}

static struct handle_cells
cells_of(void *opaque, const void *object, size_t size)
{
    struct node node;
    (void)opaque;
    memcpy(&node, object, sizeof(node));
    __atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED);
    struct handle_cells cells = {sizeof(node), node.kids};
    switch (__atomic_load_n(&answer, __ATOMIC_RELAXED)) {
    case OUTSIDE:
        cells.offset = size + 8;
        break;
    case UNALIGNED:
        cells.offset = 4;
        break;
    case TOO_MANY:
        cells.count = (size - sizeof(node)) / 8 + 1;
        break;
    case HUGE:
        cells.count = SIZE_MAX / 8 + 2;
        break;
    case WALKS:
        (void)handle_store_each(called, stop_visit, NULL);
        break;
    case FREES:
        (void)handle_resize(called, HANDLE_NULL + 1, 8);
        break;
    default:
        break;
    }
    return cells;
}

static int
inner_setup(void **state)
{
    int result = fixture_setup(state);
    struct fixture *fixture = *state;
    answer = RIGHT;
    asked = 0;
    fixture->options.cells = cells_of;
    fixture_reopen(fixture);
    called = fixture->store;
    return result;
}

#define INNER_TEST(function)                                                                       \
    cmocka_unit_test_setup_teardown(function, inner_setup, fixture_teardown)

static void
init_node(struct node *node, uint32_t kids, uint32_t value)
{
    assert_non_null(node);
    node->kids = kids;
    node->value = value;
}

static handle_t
make_root(handle_store *store, uint32_t kids, uint32_t value)
{
    void *object;
    section_enter();
    handle_t root = handle_alloc_object(store, NODE_BYTES(kids), HANDLE_CELLS, &object);
    init_node(object, kids, value);
    section_leave();
    return root;
}

/* In a section. */
static struct node *
make_kid(handle_store *store, handle_cell *cell, uint32_t kids, uint32_t value)
{
    struct node *node = handle_cell_alloc(store, cell, NODE_BYTES(kids), HANDLE_CELLS);
    init_node(node, kids, value);
    return node;
}

static const struct node *
kid_of(handle_store *store, const struct node *node, uint32_t i)
{
    return handle_cell_deref(store, &node->kid[i]);
}

/* Cell i of the root, for its writer. */
static handle_cell *
cell_of(handle_store *store, handle_t root, uint32_t i)
{
    struct node *node = handle_deref_mut(store, root);
    assert_non_null(node);
    return &node->kid[i];
}

/* ---- shapes ---------------------------------------------------------------------------------- */

#define FAN 3

/* A tree of `depth` levels below the node, numbered as a heap is. */
static void
grow_tree(handle_store *store, struct node *node, unsigned depth)
{
    for (uint32_t i = 0; i < node->kids; i++) {
        uint32_t value = node->value * FAN + 1 + i;
        grow_tree(store, make_kid(store, &node->kid[i], depth > 1 ? FAN : 0, value),
                  depth > 1 ? depth - 1 : 0);
        /* Holes, which the compaction then closes. */
        handle_cell hole = HANDLE_CELL_INIT;
        assert_non_null(handle_cell_alloc(store, &hole, NODE_BYTES(FAN), 0));
        assert_int_equal(handle_cell_free(store, &hole), 0);
    }
}

static unsigned
check_tree(handle_store *store, const struct node *node, uint32_t value)
{
    unsigned count = 1;
    assert_non_null(node);
    assert_int_equal(node->value, value);
    for (uint32_t i = 0; i < node->kids; i++) {
        count += check_tree(store, kid_of(store, node, i), value * FAN + 1 + i);
        size_t size = handle_cell_size(store, &node->kid[i]);
        assert_true(size >= NODE_BYTES(kid_of(store, node, i)->kids));
    }
    return count;
}

static unsigned
check_root(handle_store *store, handle_t root)
{
    section_enter();
    unsigned count = check_tree(store, handle_deref(store, root), 0);
    section_leave();
    return count;
}

static void
pad(handle_store *store, handle_t *pads, unsigned n, size_t size)
{
    for (unsigned i = 0; i < n; i++)
        pads[i] = make_object(store, size, i);
}

static void
unpad(handle_store *store, const handle_t *pads, unsigned n, unsigned step)
{
    for (unsigned i = 0; i < n; i++) {
        if (i % step != 0)
            (void)handle_free(store, pads[i]);
    }
}

static void
trees_keep_their_shape(void **state)
{
    enum { TREES = 40, DEPTH = 4, PADS = 4000 };
    struct fixture *fixture = *state;
    static handle_t pads[PADS], root[TREES];
    pad(fixture->store, pads, PADS, NODE_BYTES(FAN));
    for (unsigned i = 0; i < TREES; i++) {
        root[i] = make_root(fixture->store, FAN, 0);
        section_enter();
        grow_tree(fixture->store, handle_deref_mut(fixture->store, root[i]), DEPTH);
        section_leave();
    }
    unpad(fixture->store, pads, PADS, 97);
    for (unsigned i = 1; i < TREES; i++) {
        if (i % 4 != 0) {
            assert_int_equal(handle_free(fixture->store, root[i]), -EBUSY);
        }
    }
    for (unsigned round = 0; round < 3; round++) {
        struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
        assert_int_equal(handle_store_compact(fixture->store, &report), 0);
        assert_clean(fixture->store);
        assert_true(round > 0 || report.moved_objects > 0);
        for (unsigned i = 0; i < TREES; i++)
            assert_int_equal(check_root(fixture->store, root[i]), 121);
    }
    assert_true(asked > 0);
    assert_int_equal(handle_store_clear(fixture->store), 0);
    drain(fixture->store);
    assert_used(fixture->store, 0);
    assert_clean(fixture->store);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void
what_leads_to_others_does_not_end(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    handle_t root = make_root(store, 2, 1);
    handle_cell outside = HANDLE_CELL_INIT;
    section_enter();
    struct node *kid = make_kid(store, cell_of(store, root, 1), 1, 2);
    make_kid(store, &kid->kid[0], 0, 3);
    assert_int_equal(handle_free(store, root), -EBUSY);
    assert_int_equal(handle_free_now(store, root), -EBUSY);
    assert_int_equal(handle_retire(store, root), -EBUSY);
    handle_cell *cell = cell_of(store, root, 1);
    assert_int_equal(handle_cell_free(store, cell), -EBUSY);
    assert_int_equal(handle_cell_free_now(store, cell), -EBUSY);
    assert_int_equal(handle_cell_retire(store, cell), -EBUSY);
    struct handle_reserved reserved;
    assert_non_null(handle_reserve(store, 10, 0, &reserved));
    assert_int_equal(handle_cell_publish(store, cell, &reserved, 0), -EBUSY);
    handle_reserved_abort(store, &reserved);
    assert_non_null(handle_cell_alloc(store, &outside, 10, 0));
    assert_int_equal(handle_cell_unlink(store, &outside, cell), -EBUSY);
    assert_int_equal(handle_cell_free_many(store, &cell, 1), 0);
    assert_int_equal(handle_free_many(store, &root, 1), 0);
    kid = handle_cell_deref_mut(store, cell);
    assert_int_equal(handle_cell_free_now(store, &kid->kid[0]), 0);
    assert_int_equal(handle_cell_free_now(store, cell), 0);
    assert_int_equal(handle_cell_free(store, &outside), 0);
    assert_int_equal(handle_free_now(store, root), 0);
    section_leave();
    drain(store);
    assert_used(store, 0);
}

/* The chain: what `next` of a node names comes into its place. */
static void
chains_are_unlinked(void **state)
{
    enum { LINKS = 50 };
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    handle_cell head = HANDLE_CELL_INIT;
    section_enter();
    handle_cell *at = &head;
    for (uint32_t i = 0; i < LINKS; i++)
        at = &make_kid(store, at, 1, i)->kid[0];
    section_leave();
    section_enter();
    const struct node *reader = handle_cell_deref(store, &head);
    for (uint32_t i = 0; i < LINKS / 2; i++) { /* every other one goes, from the first on */
        at = &head;
        for (uint32_t k = 0; k < i; k++)
            at = &((struct node *)handle_cell_deref_mut(store, at))->kid[0];
        struct node *node = handle_cell_deref_mut(store, at);
        assert_int_equal(node->value, 2 * i);
        assert_int_equal(handle_cell_unlink(store, &node->kid[0], at), 0);
    }
    for (uint32_t i = 0; i < 2; i++) { /* who stood on the first goes on */
        assert_int_equal(reader->value, i);
        reader = kid_of(store, reader, 0);
    }
    const struct node *node = handle_cell_deref(store, &head);
    for (uint32_t i = 0; i < LINKS / 2; i++) {
        assert_int_equal(node->value, 2 * i + 1);
        node = kid_of(store, node, 0);
    }
    assert_null(node);
    for (at = &head; handle_cell_deref(store, at);) {
        node = handle_cell_deref_mut(store, at);
        if (node->kid[0].word == 0)
            break;
        assert_int_equal(handle_cell_unlink(store, (handle_cell *)(uintptr_t)&node->kid[0], at), 0);
    }
    assert_int_equal(handle_cell_free(store, &head), 0);
    section_leave();
    drain(store);
    assert_used(store, 0);
}

/* ---- changes --------------------------------------------------------------------------------- */

static void
assert_kids(handle_store *store, handle_t root, uint32_t kids, uint32_t full)
{
    section_enter();
    const struct node *node = handle_deref(store, root);
    assert_int_equal(node->kids, kids);
    for (uint32_t i = 0; i < kids; i++) {
        const struct node *kid = kid_of(store, node, i);
        assert_true(i < full ? kid && kid->value == 100 + i : !kid);
    }
    section_leave();
    assert_clean(store);
}

static void
parents_are_resized(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    handle_t root = make_root(store, 2, 0);
    section_enter();
    for (uint32_t i = 0; i < 2; i++)
        make_kid(store, cell_of(store, root, i), 0, 100 + i);
    section_leave();
    for (uint32_t kids = 3; kids < 12000; kids = kids * 2 + 1) {
        section_enter();
        assert_int_equal(handle_resize(store, root, NODE_BYTES(kids)), 0);
        struct node *node = handle_deref_mut(store, root);
        node->kids = kids;
        make_kid(store, &node->kid[2], 0, 102);
        assert_int_equal(handle_cell_free(store, &node->kid[2]), 0);
        section_leave();
        assert_kids(store, root, kids, 2);
    }
    section_enter();
    make_kid(store, cell_of(store, root, 2), 0, 102);
    section_leave();
    /* By what it says of its new size it has more cells than fit: nothing has changed. */
    fixture->errors_expected = true;
    assert_int_equal(handle_resize(store, root, NODE_BYTES(2)), -EINVAL);
    assert_true(errors_contain(fixture, "resize: option cells"));
    section_enter();
    struct node *node = handle_deref_mut(store, root);
    node->kids = 3;
    assert_int_equal(handle_resize(store, root, NODE_BYTES(3)), 0);
    section_leave();
    assert_kids(store, root, 3, 3);
    assert_int_equal(handle_store_clear(store), 0);
}

static void
parents_are_replaced(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    struct handle_update update;
    handle_t root = make_root(store, 3, 0);
    section_enter();
    make_kid(store, cell_of(store, root, 0), 0, 100);
    struct node *version = handle_update_begin(store, root, NODE_BYTES(5), &update);
    assert_non_null(version);
    memset(version, 0xff, NODE_BYTES(5));
    init_node(version, 5, 7);
    make_kid(store, cell_of(store, root, 1), 0, 101); /* since then */
    assert_int_equal(handle_update_commit(store, &update), 0);
    section_leave();
    assert_kids(store, root, 5, 2);
    section_enter();
    version = handle_update_begin(store, root, NODE_BYTES(1), &update);
    assert_non_null(version);
    init_node(version, 1, 7);
    assert_int_equal(handle_update_commit(store, &update), -EBUSY);
    section_leave();
    assert_kids(store, root, 5, 2);
    assert_int_equal(handle_store_clear(store), 0);
}

static void
kids_are_changed(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    handle_cell outside = HANDLE_CELL_INIT;
    handle_t root = make_root(store, 2, 0);
    struct handle_update update;
    section_enter();
    handle_cell *cell = cell_of(store, root, 0);
    make_kid(store, cell, 0, 100);
    assert_int_equal(handle_cell_set_tag(store, cell, 77), 0);
    assert_int_equal(handle_cell_tag(cell), 77);
    for (size_t size = NODE_BYTES(0); size < 200000; size += size / 3) {
        assert_int_equal(handle_cell_resize(store, cell, size), 0);
        assert_int_equal(handle_cell_size(store, cell), size);
    }
    assert_int_equal(handle_cell_relocate(store, cell, &outside), 0);
    assert_null(handle_cell_deref(store, cell));
    assert_int_equal(handle_cell_relocate(store, &outside, cell_of(store, root, 1)), 0);
    cell = cell_of(store, root, 1);
    assert_int_equal(handle_cell_relocate(store, cell, cell_of(store, root, 0)), 0);
    cell = cell_of(store, root, 0);
    assert_int_equal(handle_cell_tag(cell), 77);
    struct node *version = handle_cell_update_begin(store, cell, NODE_BYTES(0), &update);
    assert_non_null(version);
    init_node(version, 0, 100);
    assert_int_equal(handle_update_commit(store, &update), -EINVAL);
    section_leave();
    section_enter(); /* the object has moved meanwhile */
    assert_int_equal(handle_resize(store, root, NODE_BYTES(20)), 0);
    assert_int_equal(handle_cell_update_commit(store, &outside, &update), -EINVAL);
    assert_int_equal(handle_cell_update_commit(store, cell_of(store, root, 0), &update), 0);
    section_leave();
    assert_kids(store, root, 2, 1);
    section_enter();
    const void *pinned = handle_cell_pin(store, cell_of(store, root, 0));
    assert_non_null(pinned);
    assert_int_equal(handle_cell_free(store, cell_of(store, root, 0)), 0);
    section_leave();
    handle_unpin(store, pinned);
    assert_kids(store, root, 2, 0);
    assert_int_equal(handle_free(store, root), 0);
}

static void
reserved_parents(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    struct handle_reserved reserved;
    init_node(handle_reserve(store, NODE_BYTES(1), HANDLE_CELLS, &reserved), 1, 0);
    handle_t root = handle_publish(store, &reserved);
    assert_true(root != HANDLE_NULL);
    init_node(handle_reserve(store, NODE_BYTES(1), HANDLE_CELLS, &reserved), 1, 100);
    section_enter();
    assert_int_equal(handle_cell_publish(store, cell_of(store, root, 0), &reserved, 5), 0);
    struct node *kid = handle_cell_deref_mut(store, cell_of(store, root, 0));
    make_kid(store, &kid->kid[0], 0, 200);
    assert_int_equal(handle_cell_free(store, cell_of(store, root, 0)), -EBUSY);
    section_leave();
    assert_kids(store, root, 1, 1);
    assert_int_equal(handle_store_clear(store), 0);
    drain(store);
    assert_used(store, 0);
}

/* What their cells name is freed; who looks at such a cell by the header of what it named still
 * may, to the end of its section. */
static void
reserved_parents_that_are_aborted(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    struct handle_reserved reserved, others[8];
    section_enter();
    struct node *root = handle_reserve(store, NODE_BYTES(1), HANDLE_CELLS, &reserved);
    init_node(root, 1, 0);
    make_kid(store, &make_kid(store, &root->kid[0], 1, 100)->kid[0], 0, 200);
    assert_int_equal(take_stats(store).objects, 3); /* it is one of them */
    handle_reserved_abort(store, &reserved);
    assert_int_equal(take_stats(store).objects, 0);
    for (unsigned i = 0; i < 8; i++)
        assert_ptr_not_equal(handle_reserve(store, NODE_BYTES(1), 0, &others[i]), root);
    section_leave();
    for (unsigned i = 0; i < 8; i++)
        handle_reserved_abort(store, &others[i]);
    drain(store);
    assert_used(store, 0);
    assert_clean(store);
}

/* The mover may still look at the header of what was a child: where memory that is used again may
 * be a guard's, free_now keeps the slot for a grace period. */
static void
kids_that_left_are_freed_now_hardened(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.hardened = true;
    fixture_reopen(fixture);
    handle_store *store = fixture->store;
    handle_t root = make_root(store, 1, 0);
    handle_cell outside = HANDLE_CELL_INIT, others[8] = {HANDLE_CELL_INIT};
    section_enter();
    struct node *kid = handle_cell_alloc(store, cell_of(store, root, 0), NODE_BYTES(0), 0);
    init_node(kid, 0, 1);
    assert_int_equal(handle_cell_relocate(store, cell_of(store, root, 0), &outside), 0);
    assert_int_equal(handle_cell_free_now(store, &outside), 0);
    for (unsigned i = 0; i < 8; i++)
        assert_ptr_not_equal(handle_cell_alloc(store, &others[i], NODE_BYTES(0), 0), kid);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(handle_cell_free(store, &others[i]), 0);
    assert_non_null(handle_cell_alloc(store, cell_of(store, root, 0), 200000, 0)); /* a large one */
    assert_int_equal(handle_cell_free_now(store, cell_of(store, root, 0)), 0);
    assert_int_equal(handle_free(store, root), 0);
    section_leave();
    drain(store);
    assert_used(store, 0);
    assert_clean(store);
}

/* ---- whole trees ----------------------------------------------------------------------------- */

static void
clear_takes_long_chains(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    const uint32_t links = scaled(100000);
    handle_t root = make_root(store, 1, 0);
    section_enter();
    handle_cell *at = cell_of(store, root, 0);
    for (uint32_t i = 0; i < links; i++)
        at = &make_kid(store, at, 1, i)->kid[0];
    section_leave();
    assert_int_equal(take_stats(store).objects, links + 1);
    assert_int_equal(handle_store_clear(store), 0);
    assert_int_equal(take_stats(store).objects, 0);
    drain(store);
    assert_used(store, 0);
    assert_clean(store);
}

static int
find_one(void *opaque, const struct handle_object *object)
{
    const struct node *node = object->data;
    const handle_cell **cell = opaque;
    if (node->value == 1)
        *cell = object->cell;
    return 0;
}

/* Nothing leads to it any more but a walk. Stores that check calls find shorter ones. */
static void
cycle_of_parents(void **state)
{
    enum { CYCLE = 70 };
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    handle_cell outside = HANDLE_CELL_INIT, *found = NULL;
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    static handle_t pads[3000];
    pad(store, pads, 1500, NODE_BYTES(1));
    section_enter();
    struct node *one = make_kid(store, &outside, 1, 1), *last = one;
    for (uint32_t i = 1; i < CYCLE; i++)
        last = make_kid(store, &last->kid[0], 1, i + 1);
    assert_int_equal(handle_cell_relocate(store, &outside, &last->kid[0]), 0);
    section_leave();
    pad(store, pads + 1500, 1500, NODE_BYTES(1));
    unpad(store, pads, 3000, 50);
    assert_int_equal(handle_store_compact(store, &report), 0);
    assert_clean(store);
    assert_int_equal(handle_store_each(store, find_one, &found), 0);
    assert_non_null(found);
    section_enter(); /* nobody moves it: no compaction is under way */
    assert_int_equal(handle_cell_relocate(store, found, &outside), 0);
    one = handle_cell_deref_mut(store, &outside);
    assert_int_equal(one->value, 1);
    for (uint32_t i = 1; i < CYCLE; i++) {
        assert_int_equal(kid_of(store, one, 0)->value, i + 1);
        assert_int_equal(handle_cell_unlink(store, &one->kid[0], &outside), 0);
        one = handle_cell_deref_mut(store, &outside);
    }
    assert_int_equal(handle_cell_free(store, &outside), 0);
    section_leave();
    assert_int_equal(handle_store_clear(store), 0);
    drain(store);
    assert_used(store, 0);
}

/* ---- bad input ------------------------------------------------------------------------------- */

static void
flags_that_do_not_fit(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    void *object;
    struct handle_reserved reserved;
    handle_cell cell = HANDLE_CELL_INIT;
    section_enter();
    errno = 0;
    assert_true(handle_alloc_object(store, 64, HANDLE_CELLS | HANDLE_UNMOVABLE, &object) == 0);
    assert_int_equal(errno, EINVAL);
    section_leave();
    fixture->options.cells = NULL;
    fixture_reopen(fixture);
    store = fixture->store;
    section_enter();
    assert_true(handle_alloc_object(store, 64, HANDLE_CELLS, &object) == 0);
    assert_null(handle_cell_alloc(store, &cell, 64, HANDLE_CELLS));
    assert_null(handle_reserve(store, 64, HANDLE_CELLS, &reserved));
    assert_int_equal(errno, EINVAL);
    section_leave();
}

enum { LIARS = 60, PADS_EACH = 40 };

/* Sparse: compaction has to move most of them. */
static void
make_liars(handle_store *store, handle_t root[LIARS])
{
    static handle_t pads[PADS_EACH * LIARS];
    for (unsigned i = 0; i < LIARS; i++) {
        pad(store, pads + i * PADS_EACH, PADS_EACH, NODE_BYTES(2));
        root[i] = make_root(store, 2, 0);
        section_enter();
        make_kid(store, cell_of(store, root[i], 0), 0, 100);
        section_leave();
    }
    unpad(store, pads, PADS_EACH * LIARS, PADS_EACH * LIARS);
}

static void
addresses_of(handle_store *store, const handle_t root[LIARS], const void *address[LIARS])
{
    section_enter();
    for (unsigned i = 0; i < LIARS; i++)
        address[i] = handle_deref(store, root[i]);
    section_leave();
}

/* Compaction leaves them where they are, and says so; no call ends or resizes one. */
static void
assert_stay(struct fixture *fixture, const handle_t root[LIARS])
{
    handle_store *store = fixture->store;
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    const void *before[LIARS], *after[LIARS];
    addresses_of(store, root, before);
    errors_reset(fixture);
    assert_int_equal(handle_store_compact(store, &report), 0);
    assert_true(errors_contain(fixture, "compaction: option cells"));
    assert_true(report.refused[HANDLE_REFUSED_DAMAGED] > 0);
    errors_reset(fixture);
    assert_int_equal(handle_free(store, root[0]), -EINVAL);
    assert_true(errors_contain(fixture, "handle_free: option cells"));
    assert_int_equal(handle_resize(store, root[0], NODE_BYTES(4)), -EINVAL);
    addresses_of(store, root, after);
    assert_memory_equal(before, after, sizeof(before));
}

static void
check_liars(struct fixture *fixture)
{
    handle_t root[LIARS];
    fixture->errors_expected = true;
    for (int how = OUTSIDE; how < ANSWERS; how++) {
        make_liars(fixture->store, root);
        __atomic_store_n(&answer, how, __ATOMIC_RELAXED);
        assert_stay(fixture, root);
        __atomic_store_n(&answer, RIGHT, __ATOMIC_RELAXED);
        for (unsigned i = 0; i < LIARS; i++)
            assert_kids(fixture->store, root[i], 2, 1);
        assert_int_equal(handle_store_clear(fixture->store), 0);
        drain(fixture->store);
        assert_used(fixture->store, 0);
    }
    assert_clean(fixture->store);
}

static void
liars_stay_where_they_are(void **state)
{
    check_liars(*state);
}

/* Slots that were to get the copies are free, and poisoned, as before. */
static void
liars_stay_where_they_are_hardened(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.hardened = true;
    fixture_reopen(fixture);
    called = fixture->store;
    check_liars(fixture);
}

/* ---- with several threads -------------------------------------------------------------------- */

/*
 * A tree whose shape is always the same, under readers, while a writer gives its nodes other sizes,
 * versions and slots, and replaces leaves; and a chain in which every other link is always there,
 * while the others come and go. A third thread compacts. One lock for each: the writer's.
 */
enum { LEVELS = 4, LINKS_STAY = 40, SPARE_PADS = 2000 };

struct garden {
    handle_store *store;
    handle_t root, head; /* of the tree, of the chain */
    pthread_mutex_t lock;
    unsigned rounds;
    bool over; /* atomic */
};

static void
read_path(struct garden *garden, uint64_t *random)
{
    section_enter();
    const struct node *node = handle_deref(garden->store, garden->root);
    uint32_t value = 0;
    for (unsigned level = 0;; level++) {
        thread_check(node && node->value == value);
        if (level == LEVELS)
            break;
        uint32_t i = (uint32_t)random_below(random, FAN);
        thread_check(node->kids == FAN);
        value = value * FAN + 1 + i;
        node = kid_of(garden->store, node, i);
    }
    section_leave();
}

static void
read_chain(struct garden *garden)
{
    uint32_t staying = 0, last = 0;
    section_enter();
    const struct node *node = handle_deref(garden->store, garden->head);
    while ((node = kid_of(garden->store, node, 0)) != NULL) {
        thread_check(node->value > last);
        last = node->value;
        staying += node->value % 2 == 0;
    }
    thread_check(staying == LINKS_STAY);
    section_leave();
}

/* The cell of a random node, all on the way to it resolved for writing; *level: its own. */
static handle_cell *
cell_on_path(struct garden *garden, uint64_t *random, unsigned *level)
{
    struct node *node = handle_deref_mut(garden->store, garden->root);
    *level = 1 + (unsigned)random_below(random, LEVELS);
    for (unsigned at = 1;; at++) {
        handle_cell *cell = &node->kid[random_below(random, FAN)];
        node = handle_cell_deref_mut(garden->store, cell);
        thread_check(node != NULL);
        if (at == *level)
            return cell;
    }
}

static void
commit_node(struct garden *garden, handle_cell *cell, size_t size)
{
    struct handle_update update;
    struct node *version = handle_cell_update_begin(garden->store, cell, size, &update);
    if (!version)
        return;
    memcpy(version, handle_cell_deref(garden->store, cell), sizeof(*version));
    thread_check(handle_cell_update_commit(garden->store, cell, &update) == 0);
}

static void
replace_leaf(struct garden *garden, handle_cell *cell, size_t size)
{
    struct handle_reserved reserved;
    struct node *leaf = handle_reserve(garden->store, size, HANDLE_CELLS, &reserved);
    if (!leaf)
        return;
    leaf->value = ((const struct node *)handle_cell_deref(garden->store, cell))->value;
    thread_check(handle_cell_publish(garden->store, cell, &reserved, 0) == 0);
}

static void
change_tree(struct garden *garden, uint64_t *random)
{
    unsigned level;
    section_enter();
    pthread_mutex_lock(&garden->lock);
    handle_cell *cell = cell_on_path(garden, random, &level);
    size_t size = NODE_BYTES(level < LEVELS ? FAN : 0) + random_below(random, 100);
    switch (random_below(random, 4)) {
    case 0:
        if (level == LEVELS)
            replace_leaf(garden, cell, size);
        else
            thread_check(handle_cell_free(garden->store, cell) == -EBUSY);
        break;
    case 1:
        commit_node(garden, cell, size);
        break;
    case 2:
        thread_check(handle_cell_set_tag(garden->store, cell, (uint32_t)size) == 0);
        break;
    default:
        (void)handle_cell_resize(garden->store, cell, size);
        break;
    }
    pthread_mutex_unlock(&garden->lock);
    section_leave();
}

/* Takes out the link that stands before a random one that stays, or puts one there. */
static void
change_chain(struct garden *garden, uint64_t *random)
{
    uint32_t stays = 2 * (1 + (uint32_t)random_below(random, LINKS_STAY));
    struct handle_reserved reserved;
    struct node *link = handle_reserve(garden->store, NODE_BYTES(1) + random_below(random, 90),
                                       HANDLE_CELLS, &reserved);
    section_enter();
    pthread_mutex_lock(&garden->lock);
    struct node *node = handle_deref_mut(garden->store, garden->head);
    handle_cell *cell = &node->kid[0];
    for (;;) {
        node = handle_cell_deref_mut(garden->store, cell);
        thread_check(node != NULL);
        if (node->value >= stays - 1)
            break;
        cell = &node->kid[0];
    }
    if (node->value == stays - 1) {
        thread_check(handle_cell_unlink(garden->store, &node->kid[0], cell) == 0);
    } else if (link) {
        link->kids = 1;
        link->value = stays - 1;
        thread_check(handle_cell_unlink(garden->store, cell, &link->kid[0]) == 0);
        thread_check(handle_cell_publish(garden->store, cell, &reserved, 0) == 0);
    }
    pthread_mutex_unlock(&garden->lock);
    section_leave();
    handle_reserved_abort(garden->store, &reserved); /* one that was published is left alone */
}

static void
plant(struct garden *garden)
{
    handle_store *store = garden->store;
    garden->root = make_root(store, FAN, 0);
    garden->head = make_root(store, 1, 0);
    section_enter();
    grow_tree(store, handle_deref_mut(store, garden->root), LEVELS);
    handle_cell *cell = cell_of(store, garden->head, 0);
    for (uint32_t i = 1; i <= LINKS_STAY; i++)
        cell = &make_kid(store, cell, 1, 2 * i)->kid[0];
    section_leave();
}

/* Objects of the sizes of nodes come and go around them. */
static void
sow(struct garden *garden, handle_t *pads, uint64_t *random)
{
    for (unsigned i = 0; i < 20; i++) {
        handle_t *pad = &pads[random_below(random, SPARE_PADS)];
        (void)handle_free(garden->store, *pad);
        *pad = handle_alloc(garden->store, NODE_BYTES(FAN) + random_below(random, 100));
    }
}

static void
garden_body(void *opaque, unsigned index)
{
    struct garden *garden = opaque;
    uint64_t random = 77 + index;
    static handle_t pads[SPARE_PADS];
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    for (unsigned round = 0;
         index == 0 ? round < garden->rounds : !__atomic_load_n(&garden->over, __ATOMIC_RELAXED);
         round++) {
        if (index == 0) {
            change_tree(garden, &random);
            change_chain(garden, &random);
        } else if (index == 1) {
            sow(garden, pads, &random);
            thread_check(handle_store_compact(garden->store, &report) == 0);
        } else {
            read_path(garden, &random);
            read_chain(garden);
        }
        quiesce();
    }
    __atomic_store_n(&garden->over, true, __ATOMIC_RELAXED);
}

static void
read_while_others_change(void **state)
{
    struct fixture *fixture = *state;
    struct garden garden = {.store = fixture->store, .rounds = scaled(20000)};
    pthread_mutex_init(&garden.lock, NULL);
    plant(&garden);
    run_threads(4, garden_body, &garden);
    pthread_mutex_destroy(&garden.lock);
    assert_clean(fixture->store);
    assert_int_equal(check_root(fixture->store, garden.root), 121);
    assert_int_equal(handle_store_clear(fixture->store), 0);
    drain(fixture->store);
    assert_used(fixture->store, 0);
}

static void
read_while_others_change_hardened(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.hardened = true;
    fixture_reopen(fixture);
    read_while_others_change(state);
}

int
group_inner_threads(void)
{
    static const struct CMUnitTest tests[] = {
        INNER_TEST(read_while_others_change),
        INNER_TEST(read_while_others_change_hardened),
    };
    return cmocka_run_group_tests_name("inner_threads " FLAVOUR_NAME, tests, NULL, NULL);
}

int
group_inner(void)
{
    static const struct CMUnitTest tests[] = {
        INNER_TEST(trees_keep_their_shape),
        INNER_TEST(what_leads_to_others_does_not_end),
        INNER_TEST(chains_are_unlinked),
        INNER_TEST(parents_are_resized),
        INNER_TEST(parents_are_replaced),
        INNER_TEST(kids_are_changed),
        INNER_TEST(reserved_parents),
        INNER_TEST(reserved_parents_that_are_aborted),
        INNER_TEST(kids_that_left_are_freed_now_hardened),
        INNER_TEST(clear_takes_long_chains),
        INNER_TEST(cycle_of_parents),
        INNER_TEST(flags_that_do_not_fit),
        INNER_TEST(liars_stay_where_they_are),
        INNER_TEST(liars_stay_where_they_are_hardened),
    };
    return cmocka_run_group_tests_name("inner " FLAVOUR_NAME, tests, NULL, NULL);
}
