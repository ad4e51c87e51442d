/* SPDX-License-Identifier: MIT */
/*
 * tree.c - the tree; see tree.h.
 *
 * READERS take no lock and write nothing. They look at a node twice: at its version, then at what
 * they want of it, then at its version again. If that is odd or has changed, they begin again. For
 * the second look they resolve the reference again: nodes move, and the address of the first look
 * may be that of a frozen copy, in which nothing changes any more.
 *
 * On the way down the second look at a node comes after the first one at its child. So the child
 * was the right one when its version was read; and whatever changes a child's range of keys changes
 * the child's version.
 *
 * THE WRITER makes versions odd before it writes, and even afterwards. In a split the node is odd
 * until its parent knows the new one; in a join both are odd until the parent has forgotten one.
 * Whoever reads the parent before or after that finds an even child that has its keys, or begins
 * again. A node that was unlinked stays odd, and is retired: readers that are on their way to it
 * still resolve its handle, and see that they have to begin again.
 */
#include "tree.h"

#include <errno.h>
#include <sched.h>

/* ---- readers --------------------------------------------------------------------------------- */

/** A first look at a node. */
struct look {
    node_ref ref;
    const struct node *node;
    uint64_t version;
};

/** False: being written, unlinked, or no node at all. In a section. */
static inline bool
look_at(const struct tree *tree, node_ref ref, struct look *look)
{
    look->ref = ref;
    look->node = node_read(tree->memory, ref);
    if (!look->node)
        return false;
    look->version = __atomic_load_n(&look->node->version, __ATOMIC_ACQUIRE);
    return (look->version & 1) == 0;
}

/** The second look: what was read of the node since the first one was what it held. */
static inline bool
is_unchanged(const struct tree *tree, const struct look *look)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* reads of the node stay in front of this one */
    const struct node *now = node_read(tree->memory, look->ref); /* not look->node: it may move */
    return __atomic_load_n(&now->version, __ATOMIC_RELAXED) == look->version;
}

static inline bool
look_at_root(const struct tree *tree, struct look *look)
{
    node_ref root = __atomic_load_n(&tree->root, __ATOMIC_ACQUIRE);
    return look_at(tree, root, look) && __atomic_load_n(&tree->root, __ATOMIC_ACQUIRE) == root;
}

/** Where the keys of a leaf end; nothing if it is the last one. */
struct bound {
    bool exists;
    struct key_copy key;
};

/** The child for a key. Its bound, if wanted, is the key behind it: lower levels have tighter
 * ones. */
static inline node_ref
child_for(const struct node *node, struct key key, struct bound *bound)
{
    unsigned child = node_find_child(node, key);
    if (bound && child < node_count(node)) {
        bound->exists = true;
        key_keep(&bound->key, node_entry(node, child).key);
    }
    return node_child(node, child);
}

/** One way down. False: begin again. */
static inline bool
find_leaf(const struct tree *tree, struct key key, struct look *leaf, struct bound *bound)
{
    if (!look_at_root(tree, leaf))
        return false;
    while (node_level(leaf->node) > 0) {
        struct look parent = *leaf;
        node_ref child = child_for(parent.node, key, bound);
        if (!NODE_REF_IS_CHECKED && !is_unchanged(tree, &parent))
            return false;
        if (!look_at(tree, child, leaf) || !is_unchanged(tree, &parent))
            return false;
    }
    return true;
}

enum answer { BEGIN_AGAIN, FOUND, NOT_THERE };

static inline enum answer
get_in_section(const struct tree *tree, struct key key, uint64_t *value)
{
    struct look leaf;
    bool found;
    if (!find_leaf(tree, key, &leaf, NULL))
        return BEGIN_AGAIN;
    unsigned i = node_find(leaf.node, key, &found);
    if (found)
        *value = node_entry(leaf.node, i).value;
    if (!is_unchanged(tree, &leaf))
        return BEGIN_AGAIN;
    return found ? FOUND : NOT_THERE;
}

bool
tree_get(const struct tree *tree, struct key key, uint64_t *value)
{
    for (;;) {
        rcu_read_lock();
        enum answer answer = get_in_section(tree, key, value);
        rcu_read_unlock();
        if (answer != BEGIN_AGAIN)
            return answer == FOUND;
        sched_yield(); /* the writer is just there */
    }
}

/** A leaf's contents, for the keys from one on. False: begin again. */
static bool
copy_leaf(const struct tree *tree, struct key from, union node_copy *copy, struct bound *bound)
{
    struct look leaf;
    bound->exists = false;
    rcu_read_lock();
    bool good = find_leaf(tree, from, &leaf, bound);
    if (good) {
        memcpy(copy, leaf.node, NODE_BYTES);
        good = is_unchanged(tree, &leaf);
    }
    rcu_read_unlock();
    return good;
}

static int
visit_entries(const struct node *leaf, struct key from,
              int (*visit)(void *opaque, const struct entry *entry), void *opaque)
{
    bool equal;
    int result = 0;
    for (unsigned i = node_find(leaf, from, &equal); i < leaf->count && result == 0; i++) {
        struct entry entry = node_entry(leaf, i);
        result = visit(opaque, &entry);
    }
    return result;
}

/* Leaf by leaf, each found from above by the key where the one before ended: leaves need no links,
 * and a long scan is many short sections. */
int
tree_scan(const struct tree *tree, struct key from,
          int (*visit)(void *opaque, const struct entry *entry), void *opaque)
{
    struct bound bound = {.exists = true};
    int result = 0;
    key_keep(&bound.key, from);
    while (bound.exists && result == 0) {
        union node_copy leaf;
        struct key_copy begin = bound.key;
        while (!copy_leaf(tree, key_of(&begin), &leaf, &bound))
            sched_yield();
        result = visit_entries(&leaf.node, key_of(&begin), visit, opaque);
    }
    return result;
}

/* ---- the writer: versions and nodes ---------------------------------------------------------- */

/** From here on readers of the node begin again. Result: the node, for writing. */
static struct node *
write_begin(struct tree *tree, node_ref ref)
{
    struct node *node = node_write(tree->memory, ref);
    __atomic_store_n(&node->version, node->version + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* writes to the node stay behind this one */
    return node;
}

static void
write_end(struct node *node)
{
    __atomic_store_n(&node->version, node->version + 1, __ATOMIC_RELEASE);
}

/** Sets nodes aside: each level may be split once, and a new root may come on top. May wait: with
 * the lock, which readers never take, but in no section. */
static int
take_spares(struct tree *tree)
{
    while (tree->spares < tree->height + 1) {
        int error = node_alloc(tree->memory, &tree->spare[tree->spares]);
        if (error)
            return error;
        tree->spares++;
    }
    return 0;
}

/** A new node of one's own, from those that were set aside. */
static struct node *
new_node(struct tree *tree, unsigned level, node_ref first, node_ref *ref)
{
    *ref = tree->spare[--tree->spares];
    struct node *node = node_write(tree->memory, *ref);
    node->version = 0;
    node_clear(node, level, first);
    tree->nodes++;
    return node;
}

static void
set_root(struct tree *tree, node_ref root, unsigned height)
{
    __atomic_store_n(&tree->root, root, __ATOMIC_RELEASE);
    tree->height = height;
}

/** The way from the root down to a leaf, as the writer goes: nobody changes it meanwhile. */
struct path {
    unsigned depth; /* of the leaf; the root's is 0 */
    node_ref ref[HEIGHT_MAX];
    unsigned child[HEIGHT_MAX]; /* number of the child that was taken */
};

static const struct node *
find_path(const struct tree *tree, struct key key, struct path *path)
{
    node_ref ref = tree->root;
    for (path->depth = 0;; path->depth++) {
        const struct node *node = node_read(tree->memory, ref);
        path->ref[path->depth] = ref;
        if (node->level == 0)
            return node;
        path->child[path->depth] = node_find_child(node, key);
        ref = node_child(node, path->child[path->depth]);
    }
}

/* ---- putting in ------------------------------------------------------------------------------ */

static void
add(struct tree *tree, const struct path *path, unsigned depth, struct key key, uint64_t value);

/** A node was split: its new neighbour goes into the parent, or both under a new root. */
static void
add_neighbour(struct tree *tree, const struct path *path, unsigned depth, unsigned level,
              struct key separator, node_ref right)
{
    node_ref root;
    if (depth > 0) {
        add(tree, path, depth - 1, separator, right);
        return;
    }
    struct node *top = new_node(tree, level + 1, path->ref[0], &root);
    node_insert(top, separator, right);
    set_root(tree, root, tree->height + 1);
}

/** The node is full, and odd until its parent knows its neighbour. */
static void
split_and_add(struct tree *tree, const struct path *path, unsigned depth, struct node *node,
              struct entry entry)
{
    struct key_copy separator;
    node_ref right_ref;
    struct node *right = new_node(tree, node->level, 0, &right_ref);
    node_split(node, right, &separator);
    bool to_right = key_compare(entry.key, key_of(&separator)) >= 0;
    node_insert(to_right ? right : node, entry.key, entry.value);
    add_neighbour(tree, path, depth, node->level, key_of(&separator), right_ref);
}

/** Puts a new entry into the node at this depth. */
static void
add(struct tree *tree, const struct path *path, unsigned depth, struct key key, uint64_t value)
{
    struct node *node = write_begin(tree, path->ref[depth]);
    if (node_has_room(node, key.length))
        node_insert(node, key, value);
    else
        split_and_add(tree, path, depth, node, (struct entry){key, value});
    write_end(node);
}

static void
put_locked(struct tree *tree, struct key key, uint64_t value)
{
    struct path path;
    bool found;
    unsigned i = node_find(find_path(tree, key, &path), key, &found);
    if (found) {
        struct node *leaf = write_begin(tree, path.ref[path.depth]);
        node_set(leaf, i, value);
        write_end(leaf);
    } else {
        add(tree, &path, path.depth, key, value);
        tree->entries++;
    }
}

int
tree_put(struct tree *tree, struct key key, uint64_t value)
{
    if (key.length > KEY_MAX)
        return -EINVAL;
    pthread_mutex_lock(&tree->writing);
    int error = tree->height < HEIGHT_MAX ? take_spares(tree) : -ENOSPC;
    if (!error) {
        rcu_read_lock();
        put_locked(tree, key, value);
        rcu_read_unlock();
    }
    pthread_mutex_unlock(&tree->writing);
    return error;
}

/* ---- taking out ------------------------------------------------------------------------------ */

/** First out of reach, then retired. */
static void
retire(struct tree *tree, node_ref ref)
{
    tree->nodes--;
    node_retire(tree->memory, ref);
}

/** A root with one child makes room for it. */
static void
lower_root(struct tree *tree)
{
    node_ref old = tree->root;
    const struct node *root = node_read(tree->memory, old);
    if (root->level == 0 || root->count > 0)
        return;
    const struct node *gone = write_begin(tree, old); /* and no end */
    set_root(tree, gone->first, tree->height - 1);
    retire(tree, old);
}

/** Makes child i of a parent and the one behind it one, if both exist and fit. */
static bool
join_children(struct tree *tree, node_ref parent_ref, unsigned i)
{
    const struct node *parent = node_read(tree->memory, parent_ref);
    if (i >= parent->count)
        return false;
    node_ref left_ref = node_child(parent, i), right_ref = node_child(parent, i + 1);
    struct key separator = node_entry(parent, i).key;
    if (!node_can_join(node_read(tree->memory, left_ref), node_read(tree->memory, right_ref),
                       separator))
        return false;
    struct node *left = write_begin(tree, left_ref);
    struct node *right = write_begin(tree, right_ref); /* and no end */
    struct node *writable = write_begin(tree, parent_ref);
    node_join(left, right, separator);
    node_erase(writable, i);
    write_end(writable);
    write_end(left);
    retire(tree, right_ref);
    return true;
}

/** An entry has gone from the node at this depth: it may share a neighbour's page. */
static void
shrink(struct tree *tree, const struct path *path, unsigned depth)
{
    for (; depth > 0; depth--) {
        node_ref parent = path->ref[depth - 1];
        unsigned i = path->child[depth - 1];
        if (!node_is_sparse(node_read(tree->memory, path->ref[depth])))
            return;
        if (!join_children(tree, parent, i) && !(i > 0 && join_children(tree, parent, i - 1)))
            return;
    }
    lower_root(tree);
}

static int
remove_locked(struct tree *tree, struct key key)
{
    struct path path;
    bool found;
    unsigned i = node_find(find_path(tree, key, &path), key, &found);
    if (!found)
        return -ENOENT;
    struct node *leaf = write_begin(tree, path.ref[path.depth]);
    node_erase(leaf, i);
    write_end(leaf);
    tree->entries--;
    shrink(tree, &path, path.depth);
    return 0;
}

int
tree_remove(struct tree *tree, struct key key)
{
    pthread_mutex_lock(&tree->writing);
    rcu_read_lock();
    int error = remove_locked(tree, key);
    rcu_read_unlock();
    pthread_mutex_unlock(&tree->writing);
    return error;
}

/* ---- life ------------------------------------------------------------------------------------ */

void
tree_close(struct tree *tree)
{
    while (tree->spares > 0)
        node_drop(tree->memory, tree->spare[--tree->spares]);
    pthread_mutex_destroy(&tree->writing);
}

int
tree_open(struct tree *tree, node_memory *memory)
{
    node_ref root;
    *tree = (struct tree){.memory = memory};
    pthread_mutex_init(&tree->writing, NULL);
    int error = take_spares(tree);
    if (error) {
        tree_close(tree);
        return error;
    }
    rcu_read_lock();
    new_node(tree, 0, 0, &root);
    set_root(tree, root, 1);
    rcu_read_unlock();
    return 0;
}

/* ---- the checker ----------------------------------------------------------------------------- */

/** What the nodes add up to. */
struct sums {
    size_t entries, nodes;
    unsigned errors;
};

/** One node: even, and its keys in order, not below low (if there is one), and below high. */
static void
check_node(const struct node *node, const struct key *low, const struct key *high,
           struct sums *sums)
{
    sums->nodes++;
    sums->errors += node->version & 1;
    for (unsigned i = 0; i < node->count; i++) {
        struct key key = node_entry(node, i).key;
        if (i > 0)
            sums->errors += key_compare(node_entry(node, i - 1).key, key) >= 0;
        else if (low)
            sums->errors += key_compare(*low, key) > 0;
        if (high)
            sums->errors += key_compare(key, *high) >= 0;
    }
    if (node->level == 0)
        sums->entries += node->count;
}

static void
check_below(const struct tree *tree, node_ref ref, unsigned level, const struct key *low,
            const struct key *high, struct sums *sums)
{
    const struct node *node = node_read(tree->memory, ref);
    if (!node || node->level != level) {
        sums->errors++;
        return;
    }
    check_node(node, low, high, sums);
    for (unsigned i = 0; level > 0 && i <= node->count; i++) {
        struct key before = node_entry(node, i > 0 ? i - 1 : 0).key;
        struct key behind = node_entry(node, i < node->count ? i : 0).key;
        check_below(tree, node_child(node, i), level - 1, i > 0 ? &before : low,
                    i < node->count ? &behind : high, sums);
    }
}

unsigned
tree_check(struct tree *tree)
{
    struct sums sums = {0};
    pthread_mutex_lock(&tree->writing);
    rcu_read_lock();
    check_below(tree, tree->root, tree->height - 1, NULL, NULL, &sums);
    rcu_read_unlock();
    sums.errors += sums.entries != tree->entries;
    sums.errors += sums.nodes != tree->nodes;
    pthread_mutex_unlock(&tree->writing);
    return sums.errors;
}
