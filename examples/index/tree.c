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
 *
 * Versions are numbers of writes, of all nodes together, so no two nodes ever have the same. A
 * reference by cell may lead to another child at the second look, which that tells.
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
    if (NODE_REF_IS_PLACE && !now)
        return false;
    return __atomic_load_n(&now->version, __ATOMIC_RELAXED) == look->version;
}

static inline bool
look_at_root(const struct tree *tree, struct look *look)
{
    node_ref root = node_root_ref(&tree->root);
    if (!look_at(tree, root, look))
        return false;
    /* By its place: the second look sees whether it is the root. */
    return NODE_REF_IS_PLACE || node_root_ref(&tree->root) == root;
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
    node_expect_child(node);
    unsigned child = node_find_child(node, key);
    if (bound && child < node_count(node)) {
        bound->exists = true;
        key_keep(&bound->key, node_entry(node, child).key);
    }
    return node_child_ref(node, child);
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
    tree->writes += 2;
    __atomic_store_n(&node->version, tree->writes - 1, __ATOMIC_RELAXED);
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
    for (unsigned level = 0; level <= tree->height; level++) {
        if (tree->spares & 1u << level)
            continue;
        int error = node_set_aside(tree->memory, level, &tree->spare[level]);
        if (error)
            return error;
        tree->spares |= 1u << level;
    }
    return 0;
}

/** A new node of one's own: that of its level which was set aside. To be linked from there. */
static struct node *
new_node(struct tree *tree, unsigned level)
{
    struct node *node = node_aside(tree->memory, &tree->spare[level]);
    tree->spares &= ~(1u << level);
    tree->writes += 2;
    node->version = tree->writes;
    node_clear(node, level, 0);
    tree->nodes++;
    return node;
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
    node_ref ref = node_root_ref(&tree->root);
    for (path->depth = 0;; path->depth++) {
        const struct node *node = node_read(tree->memory, ref);
        path->ref[path->depth] = ref;
        if (node->level == 0)
            return node;
        path->child[path->depth] = node_find_child(node, key);
        ref = node_child_ref(node, path->child[path->depth]);
    }
}

/* ---- putting in ------------------------------------------------------------------------------ */

static void add(struct tree *tree, const struct path *path, unsigned depth, struct entry entry);

/** There is room. In an inner node: the new child is that of the level below. */
static void
insert(struct tree *tree, struct node *node, struct entry entry)
{
    if (node->level > 0)
        entry.value = node_link(tree->memory, node, &tree->spare[node->level - 1]);
    node_insert(node, entry.key, entry.value);
}

/** The root was split: it and its new neighbour come under a new one. */
static void
raise_root(struct tree *tree, unsigned level, struct key separator)
{
    struct node *top = new_node(tree, level);
    node_set_child(top, 0, node_link_root(tree->memory, &tree->root, top));
    insert(tree, top, (struct entry){separator, 0});
    node_set_root(tree->memory, &tree->root, &tree->spare[level]);
    tree->height++;
}

/** The node is full, and odd until its parent knows its neighbour. */
static void
split_and_add(struct tree *tree, const struct path *path, unsigned depth, struct node *node,
              struct entry entry)
{
    struct key_copy separator;
    struct node *right = new_node(tree, node->level);
    node_split(node, right, &separator);
    node_pass_children(tree->memory, node, right, right);
    bool to_right = key_compare(entry.key, key_of(&separator)) >= 0;
    insert(tree, to_right ? right : node, entry);
    if (depth > 0)
        add(tree, path, depth - 1, (struct entry){key_of(&separator), 0});
    else
        raise_root(tree, node->level + 1u, key_of(&separator));
}

/** Puts a new entry into the node at this depth. */
static void
add(struct tree *tree, const struct path *path, unsigned depth, struct entry entry)
{
    struct node *node = write_begin(tree, path->ref[depth]);
    if (node_has_room(node, entry.key.length))
        insert(tree, node, entry);
    else
        split_and_add(tree, path, depth, node, entry);
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
        add(tree, &path, path.depth, (struct entry){key, value});
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

/** A root with one child makes room for it. */
static void
lower_root(struct tree *tree)
{
    node_ref old = node_root_ref(&tree->root);
    const struct node *root = node_read(tree->memory, old);
    if (root->level == 0 || root->count > 0)
        return;
    node_lower_root(tree->memory, &tree->root, write_begin(tree, old)); /* and no end */
    tree->height--;
    tree->nodes--;
}

/** Makes child i of a parent and the one behind it one, if both exist and fit. First the second
 * gets out of reach, then it is retired. */
static bool
join_children(struct tree *tree, node_ref parent_ref, unsigned i)
{
    const struct node *parent = node_read(tree->memory, parent_ref);
    if (i >= parent->count)
        return false;
    node_ref left_ref = node_child_ref(parent, i), right_ref = node_child_ref(parent, i + 1);
    struct key separator = node_entry(parent, i).key;
    if (!node_can_join(node_read(tree->memory, left_ref), node_read(tree->memory, right_ref),
                       separator))
        return false;
    struct node *left = write_begin(tree, left_ref);
    struct node *right = write_begin(tree, right_ref); /* and no end */
    struct node *writable = write_begin(tree, parent_ref);
    uint64_t gone = node_child(writable, i + 1);
    node_pass_children(tree->memory, right, left, right);
    node_join(left, right, separator);
    node_erase(writable, i);
    write_end(writable);
    write_end(left);
    node_retire(tree->memory, writable, gone);
    tree->nodes--;
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
    for (unsigned level = 0; level <= HEIGHT_MAX; level++)
        if (tree->spares & 1u << level)
            node_drop(tree->memory, &tree->spare[level]);
    pthread_mutex_destroy(&tree->writing);
}

int
tree_open(struct tree *tree, node_memory *memory)
{
    *tree = (struct tree){.memory = memory};
    pthread_mutex_init(&tree->writing, NULL);
    int error = take_spares(tree);
    if (error) {
        tree_close(tree);
        return error;
    }
    rcu_read_lock();
    new_node(tree, 0);
    node_set_root(memory, &tree->root, &tree->spare[0]);
    tree->height = 1;
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
        check_below(tree, node_child_ref(node, i), level - 1, i > 0 ? &before : low,
                    i < node->count ? &behind : high, sums);
    }
}

unsigned
tree_check(struct tree *tree)
{
    struct sums sums = {0};
    pthread_mutex_lock(&tree->writing);
    rcu_read_lock();
    check_below(tree, node_root_ref(&tree->root), tree->height - 1, NULL, NULL, &sums);
    rcu_read_unlock();
    sums.errors += sums.entries != tree->entries;
    sums.errors += sums.nodes != tree->nodes;
    pthread_mutex_unlock(&tree->writing);
    return sums.errors;
}
