/* SPDX-License-Identifier: MIT */
/*
 * pieces.c - runs the C code of examples/README.md, which check.sh puts into pieces.inc: a cache of
 * buckets is filled far beyond max_bytes, with items of one size and then of another; a block is
 * read, and pinned while it is evicted; a node of a list is unlinked and retired; a version is
 * looked at twice; a reader goes down a tree while pages are written; links come into a chain, and
 * go from its front, its middle and its end.
 *
 * Seen failing with: an item published with tag 0; a sweep that frees nothing, or items that
 * were used; a node that is freed at once; a version that is not compared; a page's first look
 * taken for the second; a block's key that is not looked at; a reservation that is not aborted.
 */
#include "pieces.inc"

#include <stdio.h>
#include <stdlib.h>

#define MAX_BYTES  (UINT64_C(4) << 20)
#define BUCKETS    4096u
#define ITEMS      30000u
#define EXPECT(it) expect(it, #it, __LINE__)

static int bad;

static void
expect(int good, const char *what, int line)
{
    if (good)
        return;
    printf("pieces.c:%d: not so: %s\n", line, what);
    bad = 1;
}

static struct handle_cells
cells_of_link(void *opaque, const void *object, size_t size)
{
    (void)opaque;
    (void)object;
    (void)size;
    return (struct handle_cells){offsetof(struct link, next), 1};
}

static handle_store *
new_store(void)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.max_bytes = MAX_BYTES;
    options.cells = cells_of_link;
    return handle_store_create(&options);
}

/* An empty cell of a bucket, or the one whose item is given up for the new one. */
static unsigned
cell_for(const handle_store *store, const struct bucket *b, unsigned item)
{
    unsigned found = item % CELLS;
    rcu_read_lock();
    for (unsigned i = 0; i < CELLS; i++) {
        if (!handle_cell_deref(store, &b->cell[i]))
            found = i;
    }
    rcu_read_unlock();
    return found;
}

static int
put_item(handle_store *store, unsigned item, size_t size)
{
    char bytes[1024];
    struct bucket *b = &table[item * 2654435761u % buckets];
    memset(bytes, (int)(item % 251), sizeof(bytes));
    return put(store, b, cell_for(store, b, item), bytes, size, item % 251);
}

/* Every item in the table is whole and has its tag. Result: how many there are. */
static size_t
count_items(const handle_store *store)
{
    size_t count = 0;
    rcu_read_lock();
    for (size_t at = 0; at < buckets * CELLS; at++) {
        uint32_t tag;
        const handle_cell *cell = &table[at / CELLS].cell[at % CELLS];
        const char *item = handle_cell_read(store, cell, &tag);
        if (!item)
            continue;
        size_t size = handle_cell_size(store, cell);
        count++;
        EXPECT((unsigned char)item[0] == tag && item[0] == item[size - 1]);
    }
    rcu_read_unlock();
    return count;
}

static void
fill(handle_store *store, size_t size)
{
    for (unsigned item = 0; item < ITEMS; item++)
        EXPECT(put_item(store, item, size) == 0);
    EXPECT(count_items(store) * size >= MAX_BYTES / 2);
    EXPECT(count_items(store) < ITEMS);
}

/* An item that was used three times outlasts three rounds of the hand, and no more. */
static void
use_and_sweep(handle_store *store)
{
    struct bucket *b = &table[0];
    for (int round = 0; round < 4; round++)
        sweep(store, b);
    EXPECT(put(store, b, 0, "item", 5, 7) == 0);
    for (int hit = 0; hit < 5; hit++)
        touch(b, 0);
    for (int round = 0; round < 3; round++)
        EXPECT(sweep(store, b) == 0);
    EXPECT(sweep(store, b) == 5);
}

static void
run_cache(void)
{
    handle_store *store = new_store();
    buckets = BUCKETS;
    table = calloc(buckets, sizeof(*table));
    if (!store || !table)
        abort();
    for (size_t i = 0; i < buckets; i++)
        pthread_mutex_init(&table[i].lock, NULL);
    fill(store, 240);
    fill(store, 1000);
    use_and_sweep(store);
    EXPECT(handle_store_check(store, NULL, NULL) == 0);
    EXPECT(handle_store_destroy(store) == 0);
    free(table);
}

static handle_t
new_node(handle_store *store, handle_t next, uint64_t value)
{
    void *object;
    handle_t handle = handle_alloc_object(store, sizeof(struct node), HANDLE_ZERO, &object);
    if (!object)
        abort();
    ((struct node *)object)->next = next;
    ((struct node *)object)->value = value;
    return handle;
}

static void
run_traps(void)
{
    handle_store *store = new_store();
    uint64_t value = 0;
    rcu_read_lock();
    handle_t last = new_node(store, HANDLE_NULL, 3), middle = new_node(store, last, 7);
    handle_t first = new_node(store, middle, 1);
    EXPECT(read_value(store, middle, &value) && value == 7);
    ((struct node *)handle_deref_mut(store, middle))->version = 1; /* being written */
    EXPECT(!read_value(store, middle, &value));
    EXPECT(remove_next(store, first) == 0);
    const struct node *node = handle_deref(store, middle);
    EXPECT(node && node->next == last); /* a section that is open still resolves it */
    EXPECT(read_value(store, first, &value));
    EXPECT(((const struct node *)handle_deref(store, first))->next == last);
    rcu_read_unlock();
    handle_store_reclaim(store, SIZE_MAX);
    rcu_read_lock();
    EXPECT(handle_deref(store, middle) == NULL);
    rcu_read_unlock();
    EXPECT(handle_store_destroy(store) == 0);
}

static int
read_block(uint64_t key, void *data, uint32_t size)
{
    memset(data, (int)key, size);
    return key == 13 ? -EIO : 0;
}

/* A pinned block outlasts its cell; one that could not be read is nowhere. */
static void
run_blocks(void)
{
    static struct bucket b = {.lock = PTHREAD_MUTEX_INITIALIZER};
    handle_store *store = new_store();
    struct handle_stats stats = HANDLE_STATS_INIT;
    EXPECT(read_into(store, &b, 0, 13, 5000, 1, read_block) == -EIO);
    EXPECT(acquire(store, &b, 0, 13, 1) == NULL);
    EXPECT(read_into(store, &b, 0, 5, 5000, 1, read_block) == 0);
    EXPECT(acquire(store, &b, 0, 6, 1) == NULL); /* its tag is the same, its key is not */
    const struct block *block = acquire(store, &b, 0, 5, 1);
    for (int round = 0; round < 4; round++)
        sweep(store, &b);
    EXPECT(acquire(store, &b, 0, 5, 1) == NULL);
    EXPECT(block && block->size == 5000 && block->data[0] == 5 && block->data[4999] == 5);
    EXPECT(handle_store_destroy(store) == -EBUSY);
    handle_unpin(store, block);
    EXPECT(handle_store_stats(store, &stats) == 0 && stats.objects == 0 && stats.pins == 0);
    EXPECT(handle_store_destroy(store) == 0);
}

/* A page with one child for all keys, in a place that is set aside. */
static void
make_page(handle_store *store, handle_t page, handle_t child)
{
    struct page *made = handle_deref_mut(store, page);
    *made = (struct page){.border = 10, .child = {child, child}};
}

/* What a first look saw is good until somebody writes, whether the page moves or not. */
static void
run_index(void)
{
    handle_store *store = new_store();
    handle_t spare[2];
    unsigned spares = 0;
    struct look root, at;
    EXPECT(set_aside(store, spare, &spares, 2) == 0 && spares == 2);
    rcu_read_lock();
    make_page(store, spare[0], HANDLE_NULL);
    make_page(store, spare[1], spare[0]);
    EXPECT(look_at(store, spare[1], &root));
    EXPECT(handle_resize(store, spare[1], 2 * sizeof(struct page)) == 0); /* another address */
    EXPECT(is_unchanged(store, &root));
    at = root;
    EXPECT(go_down(store, &at, 7) && at.handle == spare[0]);
    EXPECT(!go_down(store, &at, 7)); /* no page there */
    struct page *page = write_begin(store, spare[1]);
    EXPECT(!look_at(store, spare[1], &at));
    write_end(page);
    at = root;
    EXPECT(!is_unchanged(store, &root) && !go_down(store, &at, 7));
    EXPECT(look_at(store, spare[1], &root) && is_unchanged(store, &root));
    rcu_read_unlock();
    EXPECT(set_aside(store, spare, &spares, 2) == 0);
    EXPECT(handle_store_destroy(store) == 0);
}

/* Keys of the chain's links from the front, as digits of one number. */
static unsigned long
keys_of(const handle_store *store, const handle_cell *first)
{
    unsigned long keys = 0;
    const struct link *item = handle_cell_deref(store, first);
    for (; item; item = handle_cell_deref(store, &item->next))
        keys = keys * 10 + item->key;
    return keys;
}

static void
run_chain(void)
{
    static handle_cell first;
    handle_store *store = new_store();
    for (unsigned key = 1; key <= 5; key++) {
        struct handle_reserved made;
        struct link *item = handle_reserve(store, sizeof(*item), HANDLE_CELLS, &made);
        item->key = key;
        rcu_read_lock();
        EXPECT(put_in_front(store, &first, &made) == 0);
        rcu_read_unlock();
    }
    rcu_read_lock();
    const struct link *middle = handle_cell_deref(store, &first);
    middle = handle_cell_deref(store, &middle->next);
    EXPECT(keys_of(store, &first) == 54321);
    EXPECT(take_out(store, &first, 4) == 0 && keys_of(store, &first) == 5321);
    EXPECT(keys_of(store, &middle->next) == 321); /* who stands there goes on */
    EXPECT(take_out(store, &first, 5) == 0 && keys_of(store, &first) == 321);
    EXPECT(take_out(store, &first, 1) == 0 && keys_of(store, &first) == 32);
    EXPECT(take_out(store, &first, 1) == -ENOENT);
    EXPECT(take_out(store, &first, 3) == 0 && take_out(store, &first, 2) == 0);
    EXPECT(keys_of(store, &first) == 0);
    rcu_read_unlock();
    EXPECT(handle_store_check(store, NULL, NULL) == 0 && handle_store_destroy(store) == 0);
}

int
main(void)
{
    rcu_register_thread();
    run_chain();
    run_cache();
    run_blocks();
    run_traps();
    run_index();
    rcu_unregister_thread();
    return bad;
}
