/* SPDX-License-Identifier: MIT */
/*
 * model_inner.c - a forest of cells inside objects beside a map of it: which node is named by which
 * cell of which other, what each holds, its size and tag. model_inner_run() does random operations
 * on both, whole subtrees moved from place to place among them, and compares the answers; now and
 * then everything.
 */
#include "model_inner.h"

enum { CELLS_MOST = 4, NOWHERE = -1, SEASON = 5000 };

/* In the store. */
struct body {
    uint64_t node, cells;
    handle_cell cell[];
};

struct node {
    bool live;
    int parent;  /* NOWHERE: it has a handle */
    unsigned at; /* the parent's cell */
    unsigned cells;
    int kid[CELLS_MOST];
    size_t length; /* of the pattern behind the cells */
    uint64_t seed;
    uint32_t tag;
    handle_t handle;
};

struct forest {
    struct model *model; /* for its store, its random numbers, and reports */
    const struct model_choices *choices;
    unsigned count; /* of nodes */
    struct node nodes[MODEL_INNER_NODES];
};

struct handle_cells
model_inner_cells(void *opaque, const void *object, size_t size)
{
    const struct body *body = object;
    (void)opaque;
    return (struct handle_cells){sizeof(*body), size < sizeof(*body) ? 0 : (size_t)body->cells};
}

static uint64_t
roll(struct forest *f, uint64_t below)
{
    return f->choices ? f->choices->below(below) : random_below(&f->model->random, below);
}

static size_t
size_of(unsigned cells, size_t length)
{
    return sizeof(struct body) + cells * sizeof(handle_cell) + length;
}

/* Mostly of one class, so that compaction has something to do. */
static size_t
random_length(struct forest *f)
{
    uint64_t kind = roll(f, 100);
    return kind < 80 ? 900 + roll(f, 16) : roll(f, kind < 98 ? 5000 : 200000);
}

static unsigned char *
pattern_of(struct body *body, unsigned cells)
{
    return (unsigned char *)&body->cell[cells];
}

static void
fill_body(struct body *body, int number, const struct node *node)
{
    body->node = (uint64_t)number;
    body->cells = node->cells;
    fill(pattern_of(body, node->cells), node->length, node->seed);
}

/* ---- from the root down ---------------------------------------------------------------------- */

/* In a section: a node for its writer, all above it resolved; cell: the one that names it. */
static struct body *
resolve(struct forest *f, int number, handle_cell **cell)
{
    const struct node *node = &f->nodes[number];
    if (cell)
        *cell = NULL;
    if (node->parent == NOWHERE)
        return handle_deref_mut(f->model->store, node->handle);
    struct body *parent = resolve(f, node->parent, NULL);
    model_check(f->model, parent != NULL);
    if (cell)
        *cell = &parent->cell[node->at];
    return handle_cell_deref_mut(f->model->store, &parent->cell[node->at]);
}

static void
compare_node(struct forest *f, int number)
{
    const struct node *node = &f->nodes[number];
    handle_cell *cell;
    section_enter();
    struct body *found = resolve(f, number, &cell);
    model_check(f->model, found != NULL && found->node == (uint64_t)number);
    size_t size =
        cell ? handle_cell_size(f->model->store, cell) : handle_size(f->model->store, node->handle);
    model_check(f->model, size == size_of(node->cells, node->length));
    model_check(f->model,
                mismatch(pattern_of(found, node->cells), node->length, node->seed) == node->length);
    model_check(f->model, !cell || handle_cell_tag(cell) == node->tag);
    for (unsigned i = 0; i < node->cells; i++)
        model_check(f->model, (handle_cell_deref(f->model->store, &found->cell[i]) != NULL) ==
                                  (node->kid[i] != NOWHERE));
    section_leave();
}

/* ---- the map --------------------------------------------------------------------------------- */

static int
some_node(struct forest *f, bool live)
{
    unsigned from = (unsigned)roll(f, f->count);
    for (unsigned i = 0; i < 50; i++) {
        unsigned number = (from + i) % f->count;
        if (f->nodes[number].live == live)
            return (int)number;
    }
    return NOWHERE;
}

/* A parent with an empty cell. NOWHERE: none was found. */
static int
some_place(struct forest *f, unsigned *at)
{
    unsigned from = (unsigned)roll(f, f->count);
    *at = (unsigned)roll(f, CELLS_MOST);
    for (unsigned i = 0; i < 50; i++) {
        unsigned number = (from + i) % f->count;
        const struct node *node = &f->nodes[number];
        if (node->live && *at < node->cells && node->kid[*at] == NOWHERE)
            return (int)number;
    }
    return NOWHERE;
}

static bool
has_kids(const struct node *node)
{
    for (unsigned i = 0; i < node->cells; i++)
        if (node->kid[i] != NOWHERE)
            return true;
    return false;
}

static bool
is_below(const struct forest *f, int number, int above)
{
    for (; number != NOWHERE; number = f->nodes[number].parent)
        if (number == above)
            return true;
    return false;
}

static unsigned
depth_of(const struct forest *f, int number)
{
    unsigned depth = 0;
    for (; number != NOWHERE; number = f->nodes[number].parent)
        depth++;
    return depth;
}

static void
hang(struct forest *f, int number, int parent, unsigned at)
{
    f->nodes[number].parent = parent;
    f->nodes[number].at = at;
    if (parent != NOWHERE)
        f->nodes[parent].kid[at] = number;
}

static void
unhang(struct forest *f, int number)
{
    const struct node *node = &f->nodes[number];
    if (node->parent != NOWHERE)
        f->nodes[node->parent].kid[node->at] = NOWHERE;
}

static void
prepare(struct forest *f, int number)
{
    struct node *node = &f->nodes[number];
    *node = (struct node){.parent = NOWHERE, .cells = (unsigned)roll(f, CELLS_MOST + 1)};
    node->length = random_length(f);
    node->seed = random_next(&f->model->random);
    for (unsigned i = 0; i < CELLS_MOST; i++)
        node->kid[i] = NOWHERE;
}

/* ---- operations ------------------------------------------------------------------------------ */

static void
op_plant(struct forest *f)
{
    int number = some_node(f, false);
    void *object = NULL;
    if (number == NOWHERE)
        return;
    prepare(f, number);
    struct node *node = &f->nodes[number];
    section_enter();
    errno = 0;
    node->handle = handle_alloc_object(f->model->store, size_of(node->cells, node->length),
                                       HANDLE_CELLS, &object);
    int error = errno;
    node->live = object != NULL;
    if (object)
        fill_body(object, number, node);
    section_leave();
    if (!object)
        model_refused(f->model, error);
}

static void
op_grow(struct forest *f)
{
    unsigned at;
    int number = some_node(f, false), parent = some_place(f, &at);
    if (number == NOWHERE || parent == NOWHERE || depth_of(f, parent) > 30)
        return;
    prepare(f, number);
    struct node *node = &f->nodes[number];
    section_enter();
    struct body *above = resolve(f, parent, NULL);
    errno = 0;
    struct body *body = handle_cell_alloc(f->model->store, &above->cell[at],
                                          size_of(node->cells, node->length), HANDLE_CELLS);
    int error = errno;
    node->live = body != NULL;
    if (body) {
        fill_body(body, number, node);
        hang(f, number, parent, at);
    }
    section_leave();
    if (!body)
        model_refused(f->model, error);
}

/* In an empty cell, or in the place of a node that leads to no other. */
static void
op_publish(struct forest *f)
{
    struct handle_reserved reserved;
    int number = some_node(f, false), old = some_node(f, true);
    if (number == NOWHERE || old == NOWHERE || f->nodes[old].parent == NOWHERE)
        return;
    prepare(f, number);
    struct node *node = &f->nodes[number], *before = &f->nodes[old];
    errno = 0;
    struct body *body = handle_reserve(f->model->store, size_of(node->cells, node->length),
                                       HANDLE_CELLS, &reserved);
    if (!body) {
        model_refused(f->model, errno);
        return;
    }
    fill_body(body, number, node);
    handle_cell *cell;
    section_enter();
    (void)resolve(f, old, &cell);
    int result = handle_cell_publish(f->model->store, cell, &reserved, 77);
    section_leave();
    model_check(f->model, result == (has_kids(before) ? -EBUSY : 0));
    if (result != 0) {
        handle_reserved_abort(f->model->store, &reserved);
        return;
    }
    node->live = true;
    node->tag = 77;
    before->live = false;
    hang(f, number, before->parent, before->at);
}

/* By a cell not by retire: it could not be filled again. */
static int
end_in_store(struct forest *f, const struct node *node, handle_cell *cell)
{
    handle_store *store = f->model->store;
    uint64_t how = roll(f, 3);
    if (cell)
        return how == 0 ? handle_cell_free_now(store, cell) : handle_cell_free(store, cell);
    return how == 0   ? handle_free_now(store, node->handle)
           : how == 1 ? handle_retire(store, node->handle)
                      : handle_free(store, node->handle);
}

static void
op_end(struct forest *f)
{
    int number = some_node(f, true);
    if (number == NOWHERE)
        return;
    struct node *node = &f->nodes[number];
    int expected = has_kids(node) ? -EBUSY : 0;
    handle_cell *cell;
    section_enter();
    model_check(f->model, resolve(f, number, &cell) != NULL);
    int result = end_in_store(f, node, cell);
    section_leave();
    model_check(f->model, result == expected);
    if (result == 0) {
        unhang(f, number);
        node->live = false;
    }
}

static void
op_write(struct forest *f)
{
    int number = some_node(f, true);
    if (number == NOWHERE)
        return;
    struct node *node = &f->nodes[number];
    node->seed = random_next(&f->model->random);
    section_enter();
    fill_body(resolve(f, number, NULL), number, node);
    section_leave();
}

static void
op_set_tag(struct forest *f)
{
    int number = some_node(f, true);
    if (number == NOWHERE || f->nodes[number].parent == NOWHERE)
        return;
    handle_cell *cell;
    f->nodes[number].tag = (uint32_t)roll(f, 1 << 24);
    section_enter();
    (void)resolve(f, number, &cell);
    model_check(f->model, handle_cell_set_tag(f->model->store, cell, f->nodes[number].tag) == 0);
    section_leave();
}

/* The cells stay, in number and place; what is added is zero, and gets the pattern. */
static void
op_resize(struct forest *f)
{
    int number = some_node(f, true);
    if (number == NOWHERE)
        return;
    struct node *node = &f->nodes[number];
    size_t length = random_length(f);
    handle_cell *cell;
    section_enter();
    (void)resolve(f, number, &cell);
    size_t size = size_of(node->cells, length);
    int result = cell ? handle_cell_resize(f->model->store, cell, size)
                      : handle_resize(f->model->store, node->handle, size);
    if (result == 0) {
        struct body *body = resolve(f, number, NULL);
        size_t kept = length < node->length ? length : node->length;
        unsigned char *pattern = pattern_of(body, node->cells);
        model_check(f->model, mismatch(pattern, kept, node->seed) == kept);
        for (size_t i = kept; i < length; i++)
            model_check(f->model, pattern[i] == 0);
        node->length = length;
        fill(pattern, length, node->seed);
    }
    section_leave();
    if (result != 0)
        model_refused(f->model, -result);
}

/* Another version, with more or fewer cells. */
static int
commit(struct forest *f, int number, const struct node *next, int *begun)
{
    struct node *node = &f->nodes[number];
    handle_store *store = f->model->store;
    struct handle_update update;
    handle_cell *cell;
    (void)resolve(f, number, &cell);
    size_t size = size_of(next->cells, next->length);
    errno = 0;
    struct body *body = cell ? handle_cell_update_begin(store, cell, size, &update)
                             : handle_update_begin(store, node->handle, size, &update);
    *begun = body ? 0 : errno;
    if (!body)
        return 0;
    fill_body(body, number, next);
    return cell ? handle_cell_update_commit(store, cell, &update)
                : handle_update_commit(store, &update);
}

static void
op_update(struct forest *f)
{
    int number = some_node(f, true), begun;
    if (number == NOWHERE)
        return;
    struct node *node = &f->nodes[number], next = *node;
    bool lacks = false;
    next.cells = (unsigned)roll(f, CELLS_MOST + 1);
    next.length = random_length(f);
    next.seed = random_next(&f->model->random);
    for (unsigned i = next.cells; i < node->cells; i++)
        lacks |= node->kid[i] != NOWHERE;
    section_enter();
    int result = commit(f, number, &next, &begun);
    section_leave();
    if (begun != 0) {
        model_refused(f->model, begun);
        return;
    }
    model_check(f->model, result == (lacks ? -EBUSY : 0));
    if (result == 0)
        *node = next;
}

/* With all that is below it. */
static void
op_relocate(struct forest *f)
{
    unsigned at;
    int number = some_node(f, true), parent = some_place(f, &at);
    if (number == NOWHERE || parent == NOWHERE || is_below(f, parent, number) ||
        f->nodes[number].parent == NOWHERE || depth_of(f, parent) > 30)
        return;
    handle_cell *from;
    section_enter();
    (void)resolve(f, number, &from);
    handle_cell *to = &resolve(f, parent, NULL)->cell[at];
    model_check(f->model, handle_cell_relocate(f->model->store, from, to) == 0);
    section_leave();
    unhang(f, number);
    hang(f, number, parent, at);
}

/* An only child comes into its parent's place, which goes. */
static void
op_unlink(struct forest *f)
{
    int number = some_node(f, true);
    if (number == NOWHERE || f->nodes[number].parent == NOWHERE)
        return;
    int parent = f->nodes[number].parent;
    struct node *above = &f->nodes[parent];
    if (above->parent == NOWHERE)
        return;
    handle_cell *from, *to;
    section_enter();
    (void)resolve(f, number, &from);
    (void)resolve(f, parent, &to);
    above->kid[f->nodes[number].at] = NOWHERE;
    int expected = has_kids(above) ? -EBUSY : 0;
    above->kid[f->nodes[number].at] = number;
    int result = handle_cell_unlink(f->model->store, from, to);
    section_leave();
    model_check(f->model, result == expected);
    if (result != 0)
        return;
    hang(f, number, above->parent, above->at);
    above->live = false;
}

/* A reserved tree that is given up. */
static void
op_abort(struct forest *f)
{
    struct handle_reserved reserved;
    errno = 0;
    struct body *body = handle_reserve(f->model->store, size_of(2, 50), HANDLE_CELLS, &reserved);
    if (!body) {
        model_refused(f->model, errno);
        return;
    }
    body->cells = 2;
    section_enter();
    body = handle_cell_alloc(f->model->store, &body->cell[0], size_of(1, 50), HANDLE_CELLS);
    if (body) {
        body->cells = 1;
        (void)handle_cell_alloc(f->model->store, &body->cell[0], 3000, 0);
    }
    section_leave();
    handle_reserved_abort(f->model->store, &reserved);
}

static void
op_whole(struct forest *f)
{
    static const unsigned key[] = {0, 1, 2, 7, 100, 207};
    if (roll(f, 4))
        model_op_compaction(f->model, key[roll(f, 6)]);
    else
        model_check(f->model, handle_store_check(f->model->store, print_violation, NULL) == 0);
}

static void
op_clear(struct forest *f)
{
    if (roll(f, 40) > 0)
        return;
    model_check(f->model, handle_store_clear(f->model->store) == 0);
    model_check(f->model, take_stats(f->model->store).objects == 0);
    for (unsigned i = 0; i < f->count; i++)
        f->nodes[i].live = false;
}

static const struct {
    const char *name;
    unsigned weight;
    void (*run)(struct forest *f);
} operations[] = {
    {"plant", 10, op_plant},   {"grow", 120, op_grow},    {"inner publish", 30, op_publish},
    {"end", 60, op_end},       {"write", 40, op_write},   {"set_tag", 20, op_set_tag},
    {"resize", 30, op_resize}, {"update", 30, op_update}, {"relocate", 40, op_relocate},
    {"unlink", 20, op_unlink}, {"abort", 5, op_abort},    {"whole", 8, op_whole},
    {"clear", 1, op_clear},
};

static void
step(struct forest *f)
{
    uint64_t sum = 0;
    size_t i = 0;
    for (size_t k = 0; k < sizeof(operations) / sizeof(operations[0]); k++)
        sum += operations[k].weight;
    uint64_t choice = roll(f, sum);
    for (; choice >= operations[i].weight; i++)
        choice -= operations[i].weight;
    f->model->doing = operations[i].name;
    f->model->steps++;
    /* Every other season more goes than comes, which leaves holes. */
    bool winter = f->model->steps / SEASON % 2 == 1;
    (winter && operations[i].run == op_grow && roll(f, 4) ? op_end : operations[i].run)(f);
    f->model->doing = NULL;
}

/* Every node, and that there are no others. */
static void
verify(struct forest *f)
{
    uint64_t live = 0, bytes = 0;
    for (int number = 0; number < (int)f->count; number++) {
        const struct node *node = &f->nodes[number];
        if (!node->live)
            continue;
        compare_node(f, number);
        live++;
        bytes += size_of(node->cells, node->length);
    }
    model_check(f->model, take_stats(f->model->store).objects == live);
    model_check(f->model, used_exactly(f->model->store) == bytes);
    model_check(f->model, handle_store_check(f->model->store, print_violation, NULL) == 0);
}

void
model_inner_run(struct model *model, uint64_t steps, const struct model_choices *choices)
{
    static struct forest f;
    f = (struct forest){.model = model, .choices = choices, .count = MODEL_INNER_NODES};
    if (choices)
        f.count = choices->nodes;
    for (uint64_t i = 0; i < steps && (!choices || choices->are_left()); i++) {
        step(&f);
        if (i % 1000 == 999)
            verify(&f);
    }
    verify(&f);
    model_check(model, handle_store_clear(model->store) == 0);
}
