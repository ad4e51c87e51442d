/* SPDX-License-Identifier: MIT */
/*
 * inner.c - a grove: a tree, a chain and a queue of cells inside objects (G13). Each has a writer
 * at a time, who holds its lock; readers hold nothing. What a reader must find follows from the
 * shape alone:
 *
 *   tree    number n leads to those of n * FAN + 1 and on; all are always there but every other
 *           leaf. Its writer knows each node's version, so that a lost write shows
 *   chain   numbers rise; multiples of STAY are always there, the others come and go in between
 *   queue   numbers rise by one; what is taken off leads on to the next for who stands there
 *
 * A node is a magic word, its number, its cells, and behind them contents with a stamp.
 *
 * Seen failing:
 *   a parent's copy does not cancel its children's moves  "contents are wrong", "lacks" (debug)
 *   headers are not turned                                violation, "reported without reason"
 *   a resize does not carry cells                         violation, "its root was freed"
 */
#include "torture.h"

#define MAGIC  UINT64_C(0x6e6f646573211257)
#define STAY   16
#define LAST   (12 * STAY) /* of the chain */
#define QUEUE  24          /* in the queue, at most */
#define LEAVES (GROVE_NODES - GROVE_LEAF)

struct node {
    uint64_t magic, number, cells;
    handle_cell cell[];
};

struct handle_cells
grove_cells(void *opaque, const void *object, size_t size)
{
    const struct node *node = object;
    (void)opaque;
    /* Acquire: pairs with the release in fill(), beside which a check may run. */
    if (size < sizeof(*node) || __atomic_load_n(&node->magic, __ATOMIC_ACQUIRE) != MAGIC)
        return (struct handle_cells){0, 0};
    return (struct handle_cells){sizeof(*node), node->cells};
}

static size_t
bytes_of(uint64_t cells, size_t length)
{
    return sizeof(struct node) + cells * sizeof(handle_cell) + length;
}

static void *
stamp_of(const struct node *node)
{
    return (void *)(uintptr_t)&node->cell[node->cells];
}

static uint64_t
name_of(const struct grove *grove, enum key_kind kind, uint64_t number)
{
    return grove->index << 56 | (uint64_t)kind << 48 | (number & ((UINT64_C(1) << 48) - 1));
}

uint64_t
grove_digest(const void *object, size_t size)
{
    const struct node *node = object;
    uint64_t version = 0;
    size_t length = 0;
    if (size < sizeof(*node) + STAMP_BYTES || node->magic != MAGIC)
        return 0;
    const uint64_t *stamp = stamp_of(node);
    (void)stamp_verify(stamp, stamp[1], &version, &length);
    return (stamp[1] ^ version << 20 ^ length << 40) | 1;
}

static size_t
length_for(struct worker *worker, const struct grove *grove)
{
    return grove->most ? STAMP_BYTES + roll(worker, grove->most) : random_length(worker);
}

static void
fill(struct node *node, const struct grove *grove, enum key_kind kind, uint64_t number,
     uint64_t cells, uint64_t version, size_t length)
{
    node->number = number;
    node->cells = cells;
    __atomic_store_n(&node->magic, MAGIC, __ATOMIC_RELEASE);
    stamp_fill(stamp_of(node), name_of(grove, kind, number), version, length);
}

/* It may be just being written, or an older copy. */
static void
verify_once(const struct grove *grove, enum key_kind kind, uint64_t number, const struct node *node)
{
    uint64_t version = 0;
    size_t length = 0;
    if (node->magic != MAGIC || node->number != number)
        finding("node %llu of kind %d: contents are wrong: another one's",
                (unsigned long long)number, (int)kind);
    else if (stamp_verify(stamp_of(node), name_of(grove, kind, number), &version, &length) ==
             STAMP_BAD)
        stamp_finding("contents are wrong", stamp_of(node), name_of(grove, kind, number), version);
}

static void
verify(struct worker *worker, const struct grove *grove, enum key_kind kind, uint64_t number,
       const struct node *node)
{
    verify_once(grove, kind, number, node);
    linger(worker, 200);
    verify_once(grove, kind, number, node);
}

static void
must(int result, const char *what)
{
    if (result)
        finding("grove: %s: %d", what, result);
}

/* A call was refused memory: outside sections. */
static void
refused(struct worker *worker, const struct grove *grove, int error)
{
    if (error == 0)
        return;
    if (!grove->limited && !limits_in_use)
        finding("grove: refused without a limit: %s", strerror(error));
    worker->counters.refused++;
    if (error == EAGAIN && handle_store_reclaim(grove->store, 1 << 16))
        finding("grove: reclaim failed");
}

/* Outside sections. NULL: it was refused. */
static struct node *
reserve(struct worker *worker, const struct grove *grove, uint64_t cells, size_t length,
        struct handle_reserved *reserved)
{
    unsigned flags = cells > 0 || roll(worker, 2) ? HANDLE_CELLS : 0;
    errno = 0;
    struct node *node = handle_reserve(grove->store, bytes_of(cells, length), flags, reserved);
    if (!node)
        refused(worker, grove, errno);
    return node;
}

/* ---- what is done with any node -------------------------------------------------------------- */

/* By the cell's writer, in a section: a new version. Result: 0, or an error. */
static int
replace(const struct grove *grove, enum key_kind kind, handle_cell *cell, uint64_t version,
        size_t length)
{
    struct handle_update update;
    const struct node *old = handle_cell_deref(grove->store, cell);
    uint64_t number = old->number, cells = old->cells;
    errno = 0;
    struct node *node =
        handle_cell_update_begin(grove->store, cell, bytes_of(cells, length), &update);
    if (!node)
        return errno;
    fill(node, grove, kind, number, cells, version, length);
    must(handle_cell_update_commit(grove->store, cell, &update), "commit without a rival");
    return 0;
}

/* The same: another size, never below what is stamped. Result: 0, or an error. */
static int
resize(struct worker *worker, const struct grove *grove, handle_cell *cell)
{
    const struct node *node = handle_cell_deref(grove->store, cell);
    uint64_t version;
    size_t length = 0;
    if (stamp_verify(stamp_of(node), ((const uint64_t *)stamp_of(node))[1], &version, &length) !=
        STAMP_GOOD)
        finding("grove: a node is torn for its only writer");
    int result = handle_cell_resize(grove->store, cell,
                                    bytes_of(node->cells, length + roll(worker, length)));
    if (result != 0 && result != -ENOMEM && result != -EAGAIN)
        must(result, "resize");
    worker->counters.resizes++;
    return -result;
}

/* ---- the tree -------------------------------------------------------------------------------- */

static uint64_t
cells_at(uint64_t number)
{
    return number < GROVE_LEAF ? GROVE_FAN : 0;
}

static bool
is_permanent(uint64_t number)
{
    return number < GROVE_LEAF || number % 2 == 0;
}

/* The way to a node from the root: which cell at each level. Result: how many. */
static unsigned
way_to(uint64_t number, unsigned way[GROVE_LEVELS])
{
    unsigned levels = 0;
    for (uint64_t n = number; n > 0; n = (n - 1) / GROVE_FAN)
        levels++;
    for (unsigned at = levels; at > 0; number = (number - 1) / GROVE_FAN)
        way[--at] = (unsigned)((number - 1) % GROVE_FAN);
    return levels;
}

/* By a reader, sometimes held by a pin over the end of the section. */
static const void *
look_at_node(struct worker *worker, const struct grove *grove, const handle_cell *cell,
             uint64_t number)
{
    const struct node *node = handle_cell_deref(grove->store, cell);
    if (!node) {
        if (is_permanent(number))
            finding("tree lacks node %llu", (unsigned long long)number);
        return NULL;
    }
    verify(worker, grove, KIND_NODE, number, node);
    if (roll(worker, 100) > 0)
        return node;
    const void *pinned = handle_cell_pin(grove->store, (handle_cell *)(uintptr_t)cell);
    if (pinned) {
        verify(worker, grove, KIND_NODE, number, pinned);
        handle_unpin(grove->store, pinned);
    }
    return node;
}

static void
read_tree(struct worker *worker, const struct grove *grove)
{
    uint64_t number = 0;
    section_enter();
    const struct node *node = handle_deref(grove->store, grove->tree);
    verify(worker, grove, KIND_NODE, 0, node);
    while (node && number < GROVE_LEAF) {
        unsigned i = (unsigned)roll(worker, GROVE_FAN);
        number = number * GROVE_FAN + 1 + i;
        node = look_at_node(worker, grove, &node->cell[i], number);
        worker->counters.derefs++;
    }
    section_leave();
}

/* In a section, by the writer: the cell that names a node, all above it resolved. */
static handle_cell *
cell_to(const struct grove *grove, uint64_t number)
{
    unsigned way[GROVE_LEVELS], levels = way_to(number, way);
    struct node *node = handle_deref_mut(grove->store, grove->tree);
    for (unsigned at = 0; at + 1 < levels; at++)
        node = handle_cell_deref_mut(grove->store, &node->cell[way[at]]);
    return &node->cell[way[levels - 1]];
}

/* What the writer finds is what it has left. */
static void
verify_kept(const struct grove *grove, uint64_t number, const struct node *node)
{
    const struct kept *kept = &grove->kept[number];
    if ((node != NULL) != (kept->version != 0))
        finding("tree: node %llu is%s there for its writer", (unsigned long long)number,
                node ? "" : " not");
    else if (node && !stamp_is(stamp_of(node), name_of(grove, KIND_NODE, number), kept->version,
                               kept->length))
        stamp_finding("not what its writer has left", stamp_of(node),
                      name_of(grove, KIND_NODE, number), kept->version);
}

static void
note(struct grove *grove, uint64_t number, size_t length)
{
    grove->kept[number] = (struct kept){grove->versions, length};
}

static void
write_node(struct grove *grove, handle_cell *cell, uint64_t number)
{
    struct node *node = handle_cell_deref_mut(grove->store, cell);
    size_t length = grove->kept[number].length;
    stamp_rewrite(stamp_of(node), name_of(grove, KIND_NODE, number), ++grove->versions, length);
    note(grove, number, length);
}

static int
replace_node(struct worker *worker, struct grove *grove, handle_cell *cell, uint64_t number)
{
    size_t length = length_for(worker, grove);
    int error = replace(grove, KIND_NODE, cell, ++grove->versions, length);
    if (error == 0)
        note(grove, number, length);
    worker->counters.updates++;
    return error;
}

/* One that must stay, since it leads to others; or a leaf, which may go. */
static void
end_node(struct worker *worker, struct grove *grove, handle_cell *cell, uint64_t number)
{
    if (number < GROVE_LEAF) {
        int result = roll(worker, 2) ? handle_cell_free(grove->store, cell)
                                     : handle_cell_retire(grove->store, cell);
        if (result != -EBUSY)
            finding("tree: node %llu has children, and its end: %d", (unsigned long long)number,
                    result);
        return;
    }
    if (is_permanent(number))
        return;
    must(handle_cell_free(grove->store, cell), "free of a leaf");
    grove->kept[number].version = 0;
    worker->counters.frees++;
}

/* To a cell outside, and back: only of those that readers may miss. */
static void
relocate_leaf(struct worker *worker, struct grove *grove, handle_cell *cell, uint64_t number)
{
    handle_cell *outside = &worker->cells[0];
    if (number < GROVE_LEAF || is_permanent(number))
        return;
    must(handle_cell_relocate(grove->store, cell, outside), "relocate out of an object");
    tarry(worker);
    must(handle_cell_relocate(grove->store, outside, cell), "relocate into an object");
    worker->counters.relocations += 2;
}

static int
change_node(struct worker *worker, struct grove *grove, handle_cell *cell, uint64_t number)
{
    switch (roll(worker, 8)) {
    case 0:
        return replace_node(worker, grove, cell, number);
    case 1:
        return resize(worker, grove, cell);
    case 2:
        end_node(worker, grove, cell, number);
        return 0;
    case 3:
        relocate_leaf(worker, grove, cell, number);
        return 0;
    case 4:
        must(handle_cell_set_tag(grove->store, cell, (uint32_t)roll(worker, 1 << 24)), "set_tag");
        return 0;
    default:
        write_node(grove, cell, number);
        return 0;
    }
}

/* In the place of a leaf, or of none. */
static void
put_leaf(struct worker *worker, struct grove *grove, uint64_t number)
{
    struct handle_reserved reserved;
    size_t length = length_for(worker, grove);
    struct node *node = reserve(worker, grove, 0, length, &reserved);
    if (!node)
        return;
    fill(node, grove, KIND_NODE, number, 0, ++grove->versions, length);
    section_enter();
    must(handle_cell_publish(grove->store, cell_to(grove, number), &reserved, 7), "publish");
    section_leave();
    note(grove, number, length);
    worker->counters.allocs++;
}

/* The root has a handle. */
static int
change_root(struct worker *worker, struct grove *grove)
{
    const struct node *root = handle_deref_mut(grove->store, grove->tree);
    size_t length = grove->kept[0].length;
    verify_kept(grove, 0, root);
    int result = handle_resize(grove->store, grove->tree,
                               bytes_of(GROVE_FAN, length + roll(worker, length)));
    worker->counters.resizes++;
    if (result != 0 && result != -ENOMEM && result != -EAGAIN)
        must(result, "resize of the root");
    if (handle_free(grove->store, grove->tree) != -EBUSY)
        finding("tree: its root was freed");
    return -result;
}

/* A leaf, or any but the root. */
static void
change_tree(struct worker *worker, struct grove *grove)
{
    uint64_t number =
        roll(worker, 2) ? GROVE_LEAF + roll(worker, LEAVES) : 1 + roll(worker, GROVE_NODES - 1);
    if (number >= GROVE_LEAF && (grove->kept[number].version == 0 || roll(worker, 6) == 0)) {
        put_leaf(worker, grove, number);
        return;
    }
    section_enter();
    int error;
    if (roll(worker, 20) == 0) {
        error = change_root(worker, grove);
    } else {
        handle_cell *cell = cell_to(grove, number);
        verify_kept(grove, number, handle_cell_deref_mut(grove->store, cell));
        linger(worker, 100);
        error = change_node(worker, grove, cell, number);
    }
    tarry(worker);
    section_leave();
    refused(worker, grove, error);
}

/* ---- the chain ------------------------------------------------------------------------------- */

static void
read_chain(struct worker *worker, const struct grove *grove)
{
    uint64_t last = 0, staying = 0;
    section_enter();
    const struct node *node = handle_deref(grove->store, grove->chain);
    while ((node = handle_cell_deref(grove->store, &node->cell[0])) != NULL) {
        verify_once(grove, KIND_LINK, node->number, node);
        if (node->number <= last)
            finding("chain: %llu behind %llu", (unsigned long long)node->number,
                    (unsigned long long)last);
        last = node->number;
        staying += last % STAY == 0;
        linger(worker, 2000);
    }
    if (staying != LAST / STAY)
        finding("chain lacks %llu links", (unsigned long long)(LAST / STAY - staying));
    section_leave();
}

/* In a section: the cell in front of which all numbers are less. */
static handle_cell *
cell_before(const struct grove *grove, uint64_t number, struct node **next)
{
    struct node *node = handle_deref_mut(grove->store, grove->chain);
    for (;;) {
        handle_cell *cell = &node->cell[0];
        node = handle_cell_deref_mut(grove->store, cell);
        if (!node) {
            finding("chain ends for its writer before %llu", (unsigned long long)number);
            *next = NULL;
            return NULL;
        }
        if (node->number >= number) {
            *next = node;
            return cell;
        }
    }
}

static void
put_between(struct worker *worker, struct grove *grove, handle_cell *cell, struct node *node,
            struct handle_reserved *reserved)
{
    must(handle_cell_unlink(grove->store, cell, &node->cell[0]), "unlink into a new link");
    tarry(worker);
    must(handle_cell_publish(grove->store, cell, reserved, 3), "publish of a link");
    worker->counters.allocs++;
}

static void
take_out(struct worker *worker, struct grove *grove, handle_cell *cell, struct node *link)
{
    must(handle_cell_unlink(grove->store, &link->cell[0], cell), "unlink");
    tarry(worker);
    if (!handle_cell_deref(grove->store, &link->cell[0]))
        finding("chain: unlinked in this section, %llu leads nowhere",
                (unsigned long long)link->number);
    worker->counters.frees++;
}

/* Another size or version of a link that stays, or one that comes or goes. */
static void
change_chain(struct worker *worker, struct grove *grove)
{
    struct handle_reserved reserved;
    uint64_t number = 1 + roll(worker, LAST);
    size_t length = length_for(worker, grove);
    int error = 0;
    struct node *next, *node = NULL;
    if (number % STAY != 0) {
        node = reserve(worker, grove, 1, length, &reserved);
        if (!node)
            return;
        fill(node, grove, KIND_LINK, number, 1, 1, length);
    }
    section_enter();
    handle_cell *cell = cell_before(grove, number, &next);
    if (!next)
        error = 0;
    else if (!node && roll(worker, 2))
        error = resize(worker, grove, cell);
    else if (!node)
        error = replace(grove, KIND_LINK, cell, 1 + roll(worker, 1000), length);
    else if (next->number == number)
        take_out(worker, grove, cell, next);
    else
        put_between(worker, grove, cell, node, &reserved);
    section_leave();
    if (node)
        handle_reserved_abort(grove->store, &reserved); /* one that was published is left alone */
    refused(worker, grove, error);
}

/* ---- the queue ------------------------------------------------------------------------------- */

static void
read_queue(struct worker *worker, const struct grove *grove)
{
    uint64_t last = 0;
    section_enter();
    const struct node *node = handle_deref(grove->store, grove->queue);
    while ((node = handle_cell_deref(grove->store, &node->cell[0])) != NULL) {
        verify_once(grove, KIND_ITEM, node->number, node);
        if (last != 0 && node->number != last + 1)
            finding("queue: %llu behind %llu", (unsigned long long)node->number,
                    (unsigned long long)last);
        last = node->number;
        linger(worker, 1000);
    }
    section_leave();
}

static void
push(struct worker *worker, struct grove *grove)
{
    struct handle_reserved reserved;
    size_t length = length_for(worker, grove);
    struct node *item = reserve(worker, grove, 1, length, &reserved);
    if (!item)
        return;
    fill(item, grove, KIND_ITEM, grove->pushed + 1, 1, 1, length);
    section_enter();
    struct node *node = handle_deref_mut(grove->store, grove->queue), *next;
    while ((next = handle_cell_deref_mut(grove->store, &node->cell[0])) != NULL)
        node = next;
    must(handle_cell_publish(grove->store, &node->cell[0], &reserved, 1), "publish in a queue");
    section_leave();
    grove->pushed++;
    worker->counters.allocs++;
}

static void
pop(struct worker *worker, struct grove *grove)
{
    section_enter();
    struct node *head = handle_deref_mut(grove->store, grove->queue);
    struct node *item = handle_cell_deref_mut(grove->store, &head->cell[0]);
    if (item && item->number != grove->popped + 1)
        finding("queue: %llu comes off in the place of %llu", (unsigned long long)item->number,
                (unsigned long long)grove->popped + 1);
    if (!item)
        finding("queue: it is empty, and %llu were put in",
                (unsigned long long)(grove->pushed - grove->popped));
    else if (handle_cell_deref(grove->store, &item->cell[0]))
        must(handle_cell_unlink(grove->store, &item->cell[0], &head->cell[0]), "unlink the first");
    else
        must(handle_cell_free(grove->store, &head->cell[0]), "free of the last");
    tarry(worker);
    section_leave();
    grove->popped++;
    worker->counters.frees++;
}

static void
change_queue(struct worker *worker, struct grove *grove)
{
    uint64_t length = grove->pushed - grove->popped;
    if (length == 0 || (length < QUEUE && roll(worker, 2)))
        push(worker, grove);
    else
        pop(worker, grove);
}

/* ---- trees of one worker --------------------------------------------------------------------- */

/* In a section. False: it was refused. */
static bool
grow_private(struct worker *worker, const struct grove *grove, struct node *node, unsigned levels)
{
    for (unsigned i = 0; i < node->cells; i++) {
        uint64_t cells = levels > 1 ? 1 + roll(worker, GROVE_FAN) : 0;
        struct node *kid = handle_cell_alloc(grove->store, &node->cell[i],
                                             bytes_of(cells, STAMP_BYTES), HANDLE_CELLS);
        if (!kid)
            return false;
        fill(kid, grove, KIND_PRIVATE, i, cells, 1, STAMP_BYTES);
        if (cells > 0 && !grow_private(worker, grove, kid, levels - 1))
            return false;
    }
    return true;
}

/* It is aborted with all that is in it, and compaction may run meanwhile. */
static void
grow_and_abort(struct worker *worker, const struct grove *grove)
{
    struct handle_reserved reserved;
    struct node *node = reserve(worker, grove, GROVE_FAN, STAMP_BYTES, &reserved);
    if (!node)
        return;
    fill(node, grove, KIND_PRIVATE, 0, GROVE_FAN, 1, STAMP_BYTES);
    section_enter();
    errno = 0;
    int error = grow_private(worker, grove, node, 2) ? 0 : errno;
    section_leave();
    linger(worker, 3);
    section_enter();
    for (unsigned i = 0; i < GROVE_FAN; i++) {
        const struct node *kid = handle_cell_deref(grove->store, &node->cell[i]);
        if (kid)
            verify_once(grove, KIND_PRIVATE, i, kid);
    }
    section_leave();
    handle_reserved_abort(grove->store, &reserved);
    refused(worker, grove, error);
}

/* ---- the elements ---------------------------------------------------------------------------- */

void
grove_read(struct worker *worker, struct grove *grove)
{
    switch (roll(worker, 4)) {
    case 0:
        read_chain(worker, grove);
        break;
    case 1:
        read_queue(worker, grove);
        break;
    default:
        read_tree(worker, grove);
    }
}

static void
change_locked(struct worker *worker, struct grove *grove, unsigned char *lock,
              void (*change)(struct worker *worker, struct grove *grove))
{
    if (!try_lock(lock))
        return;
    change(worker, grove);
    unlock(lock);
}

void
grove_change(struct worker *worker, struct grove *grove)
{
    switch (roll(worker, 8)) {
    case 0:
        change_locked(worker, grove, &grove->chain_locked, change_chain);
        break;
    case 1:
    case 2:
        change_locked(worker, grove, &grove->queue_locked, change_queue);
        break;
    case 3:
        grow_and_abort(worker, grove);
        break;
    default:
        change_locked(worker, grove, &grove->tree_locked, change_tree);
    }
}

void
op_inner_read(struct worker *worker, struct heap *heap)
{
    grove_read(worker, &heap->grove);
}

void
op_inner_change(struct worker *worker, struct heap *heap)
{
    grove_change(worker, &heap->grove);
}

/* ---- set-up, audit --------------------------------------------------------------------------- */

static struct node *
must_make(const struct grove *grove, handle_cell *cell, handle_t *handle, uint64_t cells,
          size_t length)
{
    void *object = NULL;
    size_t size = bytes_of(cells, length);
    if (cell)
        object = handle_cell_alloc(grove->store, cell, size, HANDLE_CELLS);
    else
        *handle = handle_alloc_object(grove->store, size, HANDLE_CELLS, &object);
    if (!object) {
        finding("grove: it could not be planted: %s", strerror(errno));
        exit(1);
    }
    return object;
}

static void
plant_tree(struct worker *worker, struct grove *grove)
{
    for (uint64_t number = 0; number < GROVE_NODES; number++) {
        size_t length = length_for(worker, grove);
        section_enter();
        struct node *node = must_make(grove, number ? cell_to(grove, number) : NULL, &grove->tree,
                                      cells_at(number), length);
        fill(node, grove, KIND_NODE, number, cells_at(number), ++grove->versions, length);
        section_leave();
        note(grove, number, length);
    }
}

void
grove_open(struct worker *worker, struct grove *grove, handle_store *store, uint64_t index)
{
    grove->store = store;
    grove->index = index;
    plant_tree(worker, grove);
    section_enter();
    fill(must_make(grove, NULL, &grove->queue, 1, STAMP_BYTES), grove, KIND_ITEM, 0, 1, 1,
         STAMP_BYTES);
    struct node *node = must_make(grove, NULL, &grove->chain, 1, STAMP_BYTES);
    fill(node, grove, KIND_LINK, 0, 1, 1, STAMP_BYTES);
    for (uint64_t number = STAY; number <= LAST; number += STAY) {
        node = must_make(grove, &node->cell[0], NULL, 1, STAMP_BYTES);
        fill(node, grove, KIND_LINK, number, 1, 1, STAMP_BYTES);
    }
    section_leave();
}

static void
add_handle(const struct grove *grove, handle_t handle, struct sums *sums)
{
    sums->objects++;
    sums->bytes += handle_size(grove->store, handle);
}

static void
add_cell(const struct grove *grove, const handle_cell *cell, struct sums *sums)
{
    sums->objects++;
    sums->by_cell++;
    sums->bytes += handle_cell_size(grove->store, cell);
}

static void
audit_row(const struct grove *grove, handle_t head, enum key_kind kind, struct sums *sums)
{
    const struct node *node = handle_deref(grove->store, head), *next;
    add_handle(grove, head, sums);
    while ((next = handle_cell_deref(grove->store, &node->cell[0])) != NULL) {
        verify_once(grove, kind, next->number, next);
        add_cell(grove, &node->cell[0], sums);
        node = next;
    }
}

/* With everybody at rest, in any process. */
void
grove_audit(struct worker *worker, struct grove *grove, struct sums *sums)
{
    section_enter();
    verify_kept(grove, 0, handle_deref(grove->store, grove->tree));
    add_handle(grove, grove->tree, sums);
    for (uint64_t number = 1; number < GROVE_NODES; number++) {
        handle_cell *cell = cell_to(grove, number);
        const struct node *node = handle_cell_deref(grove->store, cell);
        verify_kept(grove, number, node);
        if (node)
            add_cell(grove, cell, sums);
    }
    audit_row(grove, grove->chain, KIND_LINK, sums);
    audit_row(grove, grove->queue, KIND_ITEM, sums);
    section_leave();
    read_chain(worker, grove);
}

/* In a forked child: what nobody was changing is whole, and goes on. */
void
grove_in_child(struct worker *worker, struct grove *grove)
{
    if (try_lock(&grove->tree_locked)) {
        section_enter();
        for (uint64_t number = 1; number < GROVE_NODES; number++)
            verify_kept(grove, number, handle_cell_deref_mut(grove->store, cell_to(grove, number)));
        section_leave();
        for (unsigned i = 0; i < 20; i++)
            change_tree(worker, grove);
    }
    if (try_lock(&grove->queue_locked))
        change_queue(worker, grove);
    if (try_lock(&grove->chain_locked))
        read_chain(worker, grove);
}
