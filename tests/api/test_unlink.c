/* SPDX-License-Identifier: MIT */
/*
 * test_unlink.c - cells that are retired or unlinked: those who are in the structure around them
 * find the object to the end of their section; for all else the cells are empty. Lists, chains and
 * trees by cells, which are walked while others unlink.
 *
 * Seen failing: the walks of list and tree when retire empties the cell, those of chains and tree
 * when unlink empties `from`.
 */
#include "walkers.h"

/* ---- one cell -------------------------------------------------------------------------------- */

static void
drain(handle_store *store)
{
    assert_int_equal(handle_store_reclaim(store, SIZE_MAX), 0);
}

/* As the application may, a grace period after the cell was left. Atomic: the mover may look. */
static void
use_again(handle_cell *cell)
{
    grace_period();
    __atomic_store_n(&cell->word, 0, __ATOMIC_RELAXED);
}

static void *
fill_cell(handle_store *store, handle_cell *cell, size_t size, uint64_t seed, uint32_t tag)
{
    void *object = handle_cell_alloc(store, cell, size, 0);
    assert_non_null(object);
    fill(object, size, seed);
    assert_int_equal(handle_cell_set_tag(store, cell, tag), 0);
    return object;
}

/* What only resolves answers as before; who wants more finds an empty cell. */
static void
assert_readers_only(handle_store *store, handle_cell *cell, const void *object, uint32_t tag)
{
    struct handle_update update;
    handle_cell *cells[1] = {cell}, other = HANDLE_CELL_INIT;
    const void *found = NULL;
    uint32_t seen = 0;
    assert_ptr_equal(handle_cell_deref(store, cell), object);
    assert_ptr_equal(handle_cell_read(store, cell, &seen), object);
    assert_int_equal(seen, tag);
    assert_int_equal(handle_cell_tag(cell), tag);
    assert_ptr_equal(handle_cell_match(store, cell, tag), object);
    assert_null(handle_cell_match(store, cell, tag ^ 1));
    assert_int_equal(handle_cell_deref_many(store, cells, &found, 1), 1);
    assert_ptr_equal(found, object);
    assert_int_equal(handle_cell_size(store, cell), 0);
    assert_int_equal(handle_cell_capacity(store, cell), 0);
    assert_null(handle_cell_deref_mut(store, cell));
    assert_int_equal(handle_cell_set_tag(store, cell, tag), -ENOENT);
    assert_int_equal(handle_cell_free(store, cell), -ENOENT);
    assert_int_equal(handle_cell_free_now(store, cell), -ENOENT);
    assert_int_equal(handle_cell_resize(store, cell, 1), -ENOENT);
    assert_int_equal(handle_cell_resize(store, cell, 100000), -ENOENT);
    assert_int_equal(handle_cell_relocate(store, cell, &other), -ENOENT);
    assert_int_equal(handle_cell_unlink(store, cell, &other), -ENOENT);
    assert_int_equal(handle_cell_retire(store, cell), -ENOENT);
    errno = 0;
    assert_null(handle_cell_pin(store, cell));
    assert_int_equal(errno, ENOENT);
    errno = 0;
    assert_null(handle_cell_update_begin(store, cell, 8, &update));
    assert_int_equal(errno, ENOENT);
    assert_true(other.word == 0);
    assert_ptr_equal(handle_cell_deref(store, cell), object);
}

static void
assert_takes_nothing(handle_store *store, handle_cell *cell)
{
    handle_cell other = HANDLE_CELL_INIT;
    const void *before = handle_cell_deref(store, cell);
    errno = 0;
    assert_null(handle_cell_alloc(store, cell, 8, 0));
    assert_int_equal(errno, EEXIST);
    errno = 0;
    assert_null(handle_cell_alloc(store, cell, 70000, 0));
    assert_int_equal(errno, EEXIST);
    (void)fill_cell(store, &other, 8, 1, 1);
    assert_int_equal(handle_cell_relocate(store, &other, cell), -EEXIST);
    assert_int_equal(handle_cell_unlink(store, &other, cell), -EEXIST);
    assert_non_null(handle_cell_deref_mut(store, &other));
    assert_int_equal(handle_cell_free(store, &other), 0);
    assert_ptr_equal(handle_cell_deref(store, cell), before);
}

static void
retired_resolves_until_the_section_ends(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell cell;
    for (size_t i = 0; i < test_sizes_count; i++) {
        size_t size = test_sizes[i];
        use_again(&cell);
        section_enter();
        const void *object = fill_cell(fixture->store, &cell, size, i, 0xabcdef);
        assert_int_equal(handle_cell_retire(fixture->store, &cell), 0);
        assert_readers_only(fixture->store, &cell, object, 0xabcdef);
        assert_takes_nothing(fixture->store, &cell);
        for (unsigned k = 0; k < 20; k++)
            make_object(fixture->store, size % 5000, ~i); /* not in its place */
        assert_filled(handle_cell_deref(fixture->store, &cell), size, i);
        section_leave();
        assert_int_equal(handle_store_clear(fixture->store), 0);
    }
    drain(fixture->store);
    assert_used(fixture->store, 0);
    struct handle_stats stats = take_stats(fixture->store);
    assert_int_equal(stats.objects, 0);
    assert_int_equal(stats.objects_by_cell, 0);
    assert_int_equal(stats.limbo, 0);
}

static void
unlinked_into_an_empty_cell(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell from, to;
    for (size_t i = 0; i < test_sizes_count; i++) {
        size_t size = test_sizes[i];
        use_again(&from);
        use_again(&to);
        section_enter();
        const void *object = fill_cell(fixture->store, &from, size, i, 0x123456);
        assert_int_equal(handle_cell_unlink(fixture->store, &from, &to), 0);
        assert_readers_only(fixture->store, &from, object, 0x123456);
        assert_takes_nothing(fixture->store, &from);
        assert_ptr_equal(handle_cell_deref_mut(fixture->store, &to), object);
        assert_int_equal(handle_cell_tag(&to), 0x123456);
        assert_int_equal(handle_cell_size(fixture->store, &to), size);
        section_leave();
        compact_checked(fixture->store, NULL);
        section_enter();
        assert_filled(handle_cell_deref(fixture->store, &to), size, i);
        assert_int_equal(handle_cell_resize(fixture->store, &to, size / 2), 0);
        assert_filled(handle_cell_deref(fixture->store, &to), size / 2, i);
        assert_int_equal(handle_cell_free(fixture->store, &to), 0);
        section_leave();
    }
    drain(fixture->store);
    assert_used(fixture->store, 0);
}

/* What `to` named is freed; what ends by `to` afterwards stays for those who came by `from`. */
static void
unlinked_in_the_place_of_another(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell from, to;
    for (size_t i = 0; i < test_sizes_count; i++) {
        size_t size = test_sizes[i], other = test_sizes[test_sizes_count - 1 - i];
        use_again(&from);
        use_again(&to);
        section_enter();
        const void *object = fill_cell(fixture->store, &from, size, i, 7);
        const void *gone = fill_cell(fixture->store, &to, other, ~i, 9);
        assert_int_equal(handle_cell_unlink(fixture->store, &from, &to), 0);
        assert_used(fixture->store, size);
        assert_filled(gone, other, ~i);
        assert_int_equal(handle_cell_tag(&to), 7);
        assert_ptr_equal(handle_cell_deref(fixture->store, &to), object);
        assert_int_equal(handle_cell_free(fixture->store, &to), 0);
        for (unsigned k = 0; k < 20; k++)
            make_object(fixture->store, size % 5000, ~i);
        assert_filled(handle_cell_deref(fixture->store, &from), size, i);
        assert_readers_only(fixture->store, &from, object, 7);
        section_leave();
        assert_int_equal(handle_store_clear(fixture->store), 0);
        assert_clean(fixture->store);
    }
    drain(fixture->store);
    assert_used(fixture->store, 0);
}

static void
unlink_that_fails_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell empty = HANDLE_CELL_INIT, full = HANDLE_CELL_INIT;
    handle_cell *askew = (handle_cell *)((uintptr_t)&empty + 4);
    section_enter();
    const void *object = fill_cell(fixture->store, &full, 40, 1, 5);
    assert_int_equal(handle_cell_unlink(fixture->store, &empty, &full), -ENOENT);
    assert_int_equal(handle_cell_unlink(fixture->store, &full, &full), -EINVAL);
    assert_int_equal(handle_cell_unlink(fixture->store, &full, askew), -EINVAL);
    assert_int_equal(handle_cell_unlink(fixture->store, &full, NULL), -EINVAL);
    assert_int_equal(handle_cell_unlink(fixture->store, NULL, &full), -EINVAL);
    assert_int_equal(handle_cell_retire(fixture->store, &empty), -ENOENT);
    assert_int_equal(handle_cell_retire(fixture->store, NULL), -EINVAL);
    assert_ptr_equal(handle_cell_deref_mut(fixture->store, &full), object);
    assert_int_equal(handle_cell_free(fixture->store, &full), 0);
    section_leave();
    assert_true(empty.word == 0 && full.word == 0);
}

/* Between two others: readers of the cell find the second, then the new one. */
static void
publish_in_an_unlinked_cell(void **state)
{
    struct fixture *fixture = *state;
    static const size_t sizes[] = {40, 3000, 100000};
    static handle_cell link, own;
    for (unsigned i = 0; i < 3; i++) {
        struct handle_reserved reserved;
        use_again(&link);
        use_again(&own);
        section_enter();
        const void *second = fill_cell(fixture->store, &link, 50, 2, 2);
        fill(handle_reserve(fixture->store, sizes[i], 0, &reserved), sizes[i], 1);
        assert_int_equal(handle_cell_unlink(fixture->store, &link, &own), 0);
        assert_ptr_equal(handle_cell_deref(fixture->store, &link), second);
        assert_int_equal(handle_cell_publish(fixture->store, &link, &reserved, 1), 0);
        assert_ptr_equal(handle_cell_deref_mut(fixture->store, &own), second);
        assert_int_equal(handle_cell_size(fixture->store, &link), sizes[i]);
        section_leave();
        compact_checked(fixture->store, NULL);
        section_enter();
        assert_filled(handle_cell_deref(fixture->store, &link), sizes[i], 1);
        assert_filled(handle_cell_deref(fixture->store, &own), 50, 2);
        assert_int_equal(handle_cell_free(fixture->store, &link), 0);
        assert_int_equal(handle_cell_free(fixture->store, &own), 0);
        section_leave();
    }
    drain(fixture->store);
    assert_used(fixture->store, 0);
}

static void
pins_and_updates_begun_before(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell from, to;
    for (unsigned retire = 0; retire < 2; retire++) {
        struct handle_update of_from, of_to;
        use_again(&from);
        use_again(&to);
        section_enter();
        (void)fill_cell(fixture->store, &from, 100, 1, 0);
        (void)fill_cell(fixture->store, &to, 200, 2, 0);
        const void *pinned = handle_cell_pin(fixture->store, &from);
        const void *replaced = handle_cell_pin(fixture->store, &to);
        assert_non_null(handle_cell_update_begin(fixture->store, &from, 8, &of_from));
        assert_non_null(handle_cell_update_begin(fixture->store, &to, 8, &of_to));
        assert_int_equal(retire ? handle_cell_retire(fixture->store, &from)
                                : handle_cell_unlink(fixture->store, &from, &to),
                         0);
        section_leave();
        drain(fixture->store);
        section_enter();
        assert_int_equal(handle_update_commit(fixture->store, &of_from), -ENOENT);
        assert_int_equal(handle_update_commit(fixture->store, &of_to), retire ? 0 : -EAGAIN);
        section_leave();
        compact_checked(fixture->store, NULL);
        assert_filled(pinned, 100, 1);
        assert_filled(replaced, 200, 2);
        handle_unpin(fixture->store, pinned);
        handle_unpin(fixture->store, replaced);
        section_enter();
        assert_int_equal(handle_cell_free(fixture->store, &to), 0);
        section_leave();
    }
    drain(fixture->store);
    assert_used(fixture->store, 0);
    assert_clean(fixture->store);
}

static void
unmovable_objects(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell from, to;
    section_enter();
    const void *object = handle_cell_alloc(fixture->store, &from, 64, HANDLE_UNMOVABLE);
    assert_int_equal(handle_cell_unlink(fixture->store, &from, &to), 0);
    assert_readers_only(fixture->store, &from, object, 0);
    assert_int_equal(handle_cell_retire(fixture->store, &to), 0);
    assert_readers_only(fixture->store, &to, object, 0);
    section_leave();
    drain(fixture->store);
    assert_used(fixture->store, 0);
}

/* ---- memory that is given back a grace period later ------------------------------------------ */

/* What its owner has put out of reach; no call_rcu, so that it ends with the test. */
struct garbage {
    void *memory[256];
    size_t bytes[256];
    unsigned count;
};

/* Outside of sections. */
static void
collect(struct garbage *garbage)
{
    grace_period();
    for (unsigned i = 0; i < garbage->count; i++) {
        memset(garbage->memory[i], 0xee, garbage->bytes[i]);
        free(garbage->memory[i]);
    }
    garbage->count = 0;
}

static void
throw_away(struct garbage *garbage, void *memory, size_t bytes)
{
    thread_check(garbage->count < 256);
    garbage->memory[garbage->count] = memory;
    garbage->bytes[garbage->count++] = bytes;
}

static void *
make_node(size_t bytes)
{
    void *node = calloc(1, bytes);
    thread_check(node != NULL);
    return node;
}

/* ---- walked while others unlink -------------------------------------------------------------- */

#define KEYS       64
#define CHAINS     4
#define STAYS(key) ((key) / CHAINS % 2 == 1) /* half of the keys are there all the time */

/* An object: its key says what it must be; in a chain, which cell leads on from it. */
struct item {
    uint64_t key;
    handle_cell *next;
    char filler[100];
};

struct walked {
    handle_store *store;
    struct garbage garbage;
    struct node *list;
    handle_cell chains[CHAINS];
    struct inner *tree;
};

static void *
load(void *const *link)
{
    return __atomic_load_n(link, __ATOMIC_ACQUIRE);
}

static void
set_link(void **link, void *to)
{
    __atomic_store_n(link, to, __ATOMIC_RELEASE);
}
#define LOAD(link)         load((void *const *)(link))
#define SET_LINK(link, to) set_link((void **)(link), to)

static const struct item *
check_item(const struct item *item)
{
    thread_check(item != NULL);
    thread_check(mismatch(item->filler, sizeof(item->filler), item->key) == sizeof(item->filler));
    return item;
}

static struct item *
reserve_item(struct walked *walked, uint64_t key, struct handle_reserved *reserved)
{
    struct item *item = handle_reserve(walked->store, sizeof(*item), 0, reserved);
    thread_check(item != NULL);
    *item = (struct item){.key = key};
    fill(item->filler, sizeof(item->filler), key);
    return item;
}

static void
publish_item(struct walked *walked, uint64_t key, handle_cell *cell)
{
    struct handle_reserved reserved;
    (void)reserve_item(walked, key, &reserved);
    thread_check(handle_cell_publish(walked->store, cell, &reserved, 0) == 0);
}

static void
collect_some(struct walked *walked)
{
    if (walked->garbage.count > 200)
        collect(&walked->garbage);
}

/* The keys that stay. */
static void
begin_with(struct walked *walked, void (*add)(struct walked *walked, uint64_t key))
{
    section_enter();
    for (uint64_t key = 0; key < KEYS; key++)
        if (STAYS(key))
            add(walked, key);
    section_leave();
}

static void
check_walks(struct walked *walked, void (*read)(struct walked *walked),
            void (*change)(struct walked *walked, uint64_t *random))
{
    run_walkers(&(struct walkers){.store = walked->store,
                                  .walked = walked,
                                  .read = read,
                                  .change = change,
                                  .collect = collect_some,
                                  .changes = scaled(10000)});
    collect(&walked->garbage);
    drain(walked->store);
    assert_clean(walked->store);
    section_enter();
    read(walked);
    section_leave();
}

/* ---- a list by pointers: each node is the application's, and has a cell ---------------------- */

struct node {
    struct node *next;
    uint64_t key;
    handle_cell item;
};

static void
toggle_in_list(struct walked *walked, uint64_t key)
{
    struct node **link = &walked->list;
    while (*link && (*link)->key < key)
        link = &(*link)->next;
    struct node *node = *link;
    if (node && node->key == key) {
        SET_LINK(link, node->next);
        thread_check(handle_cell_retire(walked->store, &node->item) == 0);
        throw_away(&walked->garbage, node, sizeof(*node));
        return;
    }
    node = make_node(sizeof(*node));
    node->key = key;
    node->next = *link;
    publish_item(walked, key, &node->item);
    SET_LINK(link, node);
}

static void
change_list(struct walked *walked, uint64_t *random)
{
    uint64_t key = 1 + random_below(random, KEYS);
    if (!STAYS(key))
        toggle_in_list(walked, key);
}

static void
read_list(struct walked *walked)
{
    uint64_t last = 0;
    unsigned stay = 0;
    for (struct node *at = LOAD(&walked->list); at; at = LOAD(&at->next)) {
        const struct item *item = check_item(handle_cell_deref(walked->store, &at->item));
        thread_check(item->key > last && item->key == at->key);
        last = item->key;
        stay += STAYS(last);
    }
    thread_check(stay == KEYS / 2);
}

static void
list_walked_while_others_unlink(void **state)
{
    struct fixture *fixture = *state;
    struct walked walked = {.store = fixture->store};
    begin_with(&walked, toggle_in_list);
    check_walks(&walked, read_list, change_list);
    while (walked.list) {
        struct node *node = walked.list;
        walked.list = node->next;
        section_enter();
        assert_int_equal(handle_cell_free(fixture->store, &node->item), 0);
        section_leave();
        grace_period();
        free(node);
    }
}

/* ---- chains of a hash table, by cells: each object says which cell leads on from it ---------- */

/* The successor, if there is one, takes its place in the cell that led to it. */
static void
remove_from_chain(struct walked *walked, handle_cell *link, handle_cell *next)
{
    int result = handle_cell_unlink(walked->store, next, link);
    if (result == -ENOENT)
        result = handle_cell_free(walked->store, link);
    thread_check(result == 0);
    throw_away(&walked->garbage, next, sizeof(*next));
}

/* The new one's own cell names what the link named, before the link names the new one. */
static void
add_to_chain(struct walked *walked, handle_cell *link, uint64_t key)
{
    struct handle_reserved reserved;
    struct item *item = reserve_item(walked, key, &reserved);
    item->next = make_node(sizeof(*item->next));
    int result = handle_cell_unlink(walked->store, link, item->next);
    thread_check(result == 0 || result == -ENOENT);
    thread_check(handle_cell_publish(walked->store, link, &reserved, 0) == 0);
}

static void
toggle_in_chain(struct walked *walked, uint64_t key)
{
    handle_cell *link = &walked->chains[key % CHAINS];
    const struct item *item;
    while ((item = handle_cell_deref(walked->store, link)) != NULL && item->key < key)
        link = item->next;
    if (item && item->key == key)
        remove_from_chain(walked, link, item->next);
    else
        add_to_chain(walked, link, key);
}

static void
change_chains(struct walked *walked, uint64_t *random)
{
    uint64_t key = 1 + random_below(random, KEYS);
    if (!STAYS(key))
        toggle_in_chain(walked, key);
}

static void
read_chains(struct walked *walked)
{
    unsigned stay = 0;
    for (unsigned chain = 0; chain < CHAINS; chain++) {
        const struct item *item;
        uint64_t last = 0;
        handle_cell *at = &walked->chains[chain];
        while ((item = handle_cell_deref(walked->store, at)) != NULL) {
            check_item(item);
            thread_check(item->key > last && item->key % CHAINS == chain);
            last = item->key;
            stay += STAYS(last);
            at = item->next;
        }
    }
    thread_check(stay == KEYS / 2);
}

static void
free_chain(handle_store *store, handle_cell *head)
{
    struct garbage garbage = {.count = 0};
    const struct item *item;
    section_enter();
    while ((item = handle_cell_deref(store, head)) != NULL) {
        handle_cell *next = item->next;
        if (handle_cell_unlink(store, next, head) == -ENOENT)
            assert_int_equal(handle_cell_free(store, head), 0);
        throw_away(&garbage, next, sizeof(*next));
    }
    section_leave();
    collect(&garbage);
}

static void
chains_walked_while_others_unlink(void **state)
{
    struct fixture *fixture = *state;
    static struct walked walked;
    memset(&walked, 0, sizeof(walked));
    walked.store = fixture->store;
    begin_with(&walked, toggle_in_chain);
    check_walks(&walked, read_chains, change_chains);
    for (unsigned chain = 0; chain < CHAINS; chain++)
        free_chain(fixture->store, &walked.chains[chain]);
    drain(fixture->store);
    assert_used(fixture->store, 0);
}

/* ---- a tree of two levels: its nodes are replaced whole -------------------------------------- */

#define WIDTH 16

struct leaf {
    unsigned count;
    uint64_t key[WIDTH];
    handle_cell item[WIDTH];
};

struct inner {
    unsigned count;
    struct leaf *leaf[WIDTH];
};

static void
read_tree(struct walked *walked)
{
    const struct inner *inner = LOAD(&walked->tree);
    uint64_t last = 0;
    unsigned stay = 0;
    for (unsigned i = 0; i < inner->count; i++) {
        const struct leaf *leaf = inner->leaf[i];
        for (unsigned k = 0; k < leaf->count; k++) {
            const struct item *item = check_item(handle_cell_deref(walked->store, &leaf->item[k]));
            thread_check(item->key == leaf->key[k] && item->key > last);
            last = item->key;
            stay += STAYS(last);
        }
    }
    thread_check(stay == KEYS / 2);
}

/* The new leaf takes the last place; the cell's object with it. */
static void
carry(struct walked *walked, struct leaf *from, unsigned index, struct leaf *to)
{
    to->key[to->count] = from->key[index];
    thread_check(handle_cell_unlink(walked->store, &from->item[index], &to->item[to->count]) == 0);
    to->count++;
}

static void
carry_all(struct walked *walked, struct leaf *from, unsigned begin, unsigned end, struct leaf *to)
{
    for (unsigned i = begin; i < end; i++)
        carry(walked, from, i, to);
}

/* `old` leaves from `at` on are out of reach, the new ones in their place: by one store. */
static void
replace_leaves(struct walked *walked, unsigned at, unsigned old, struct leaf *const *leaf,
               unsigned count)
{
    struct inner *inner = walked->tree, *next = make_node(sizeof(*next));
    memcpy(next->leaf, inner->leaf, at * sizeof(*leaf));
    memcpy(next->leaf + at, leaf, count * sizeof(*leaf));
    memcpy(next->leaf + at + count, inner->leaf + at + old,
           (inner->count - at - old) * sizeof(*leaf));
    next->count = inner->count - old + count;
    SET_LINK(&walked->tree, next);
    for (unsigned i = 0; i < old; i++)
        throw_away(&walked->garbage, inner->leaf[at + i], sizeof(**leaf));
    throw_away(&walked->garbage, inner, sizeof(*inner));
}

static void
split(struct walked *walked, unsigned at)
{
    struct leaf *old = walked->tree->leaf[at];
    struct leaf *new_leaf[2] = {make_node(sizeof(*old)), make_node(sizeof(*old))};
    carry_all(walked, old, 0, old->count / 2, new_leaf[0]);
    carry_all(walked, old, old->count / 2, old->count, new_leaf[1]);
    replace_leaves(walked, at, 1, new_leaf, 2);
}

static void
merge(struct walked *walked, unsigned at)
{
    struct leaf *const *old = &walked->tree->leaf[at];
    struct leaf *new_leaf = make_node(sizeof(*new_leaf));
    carry_all(walked, old[0], 0, old[0]->count, new_leaf);
    carry_all(walked, old[1], 0, old[1]->count, new_leaf);
    replace_leaves(walked, at, 2, &new_leaf, 1);
}

/* The leaf without the key, or with it. What the new leaf lacks is retired when the old one is out
 * of reach. */
static void
toggle_in_leaf(struct walked *walked, unsigned at, uint64_t key)
{
    struct leaf *old = walked->tree->leaf[at], *new_leaf = make_node(sizeof(*old));
    unsigned i = 0;
    for (; i < old->count && old->key[i] < key; i++)
        carry(walked, old, i, new_leaf);
    bool found = i < old->count && old->key[i] == key;
    if (!found) {
        new_leaf->key[new_leaf->count] = key;
        publish_item(walked, key, &new_leaf->item[new_leaf->count++]);
    }
    carry_all(walked, old, i + found, old->count, new_leaf);
    replace_leaves(walked, at, 1, &new_leaf, 1);
    if (found)
        thread_check(handle_cell_retire(walked->store, &old->item[i]) == 0);
}

static void
change_tree(struct walked *walked, uint64_t *random)
{
    struct inner *inner = walked->tree;
    uint64_t key = 1 + random_below(random, KEYS);
    unsigned at = 0;
    while (at + 1 < inner->count && inner->leaf[at + 1]->key[0] <= key)
        at++;
    unsigned both =
        at + 1 < inner->count ? inner->leaf[at]->count + inner->leaf[at + 1]->count : 99;
    if (inner->leaf[at]->count > WIDTH - 4 && inner->count < WIDTH)
        split(walked, at);
    else if (both < WIDTH - 4 && random_below(random, 2))
        merge(walked, at);
    else if (!STAYS(key))
        toggle_in_leaf(walked, at, key);
}

/* Leaves of four keys. */
static void
plant(struct walked *walked, uint64_t key)
{
    struct inner *inner = walked->tree;
    struct leaf **leaf = &inner->leaf[key / 8];
    if (!*leaf) {
        *leaf = make_node(sizeof(**leaf));
        inner->count++;
    }
    (*leaf)->key[(*leaf)->count] = key;
    publish_item(walked, key, &(*leaf)->item[(*leaf)->count++]);
}

static void
fell(struct walked *walked)
{
    struct inner *inner = walked->tree;
    section_enter();
    for (unsigned i = 0; i < inner->count; i++)
        for (unsigned k = 0; k < inner->leaf[i]->count; k++)
            assert_int_equal(handle_cell_free(walked->store, &inner->leaf[i]->item[k]), 0);
    section_leave();
    grace_period();
    for (unsigned i = 0; i < inner->count; i++)
        free(inner->leaf[i]);
    free(inner);
}

static void
tree_walked_while_others_unlink(void **state)
{
    struct fixture *fixture = *state;
    struct walked walked = {.store = fixture->store};
    walked.tree = make_node(sizeof(*walked.tree));
    begin_with(&walked, plant);
    check_walks(&walked, read_tree, change_tree);
    fell(&walked);
    drain(fixture->store);
    assert_used(fixture->store, 0);
}

int
group_unlink(void)
{
    static const struct CMUnitTest tests[] = {
        STORE_TEST(retired_resolves_until_the_section_ends),
        STORE_TEST(unlinked_into_an_empty_cell),
        STORE_TEST(unlinked_in_the_place_of_another),
        STORE_TEST(unlink_that_fails_changes_nothing),
        STORE_TEST(publish_in_an_unlinked_cell),
        STORE_TEST(pins_and_updates_begun_before),
        STORE_TEST(unmovable_objects),
    };
    return cmocka_run_group_tests_name("unlink " FLAVOUR_NAME, tests, NULL, NULL);
}

int
group_unlink_threads(void)
{
    static const struct CMUnitTest tests[] = {
        STORE_TEST(list_walked_while_others_unlink),
        STORE_TEST(chains_walked_while_others_unlink),
        STORE_TEST(tree_walked_while_others_unlink),
    };
    return cmocka_run_group_tests_name("unlink_threads " FLAVOUR_NAME, tests, NULL, NULL);
}
