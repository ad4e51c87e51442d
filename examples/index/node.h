/* SPDX-License-Identifier: MIT */
/*
 * node.h - a node of the tree: a page of entries in the order of their keys. Pure: it knows neither
 * the store nor threads, and names other nodes by numbers that it does not look at.
 *
 *     | version ... first | at[0] at[1] ... ->      <- ... entry | entry | entry | places |
 *
 * Entries fill the page from its end; at[] says where each begins, by key. An entry is the key's
 * length (a byte), the key, and a value of 8 bytes: what the user stored, in a leaf; else the child
 * with the keys from this one on. The child with the keys in front of them all is `first`.
 *
 * Where a child is named by what has to stay at one place of the page while entries come and go in
 * front of it (a cell), inner nodes end with NODE_PLACES such places of 8 bytes each, for whoever
 * names nodes, and the value of an entry is the number of one, in one byte.
 *
 * node_entry, node_find and node_child bear a page that is being written while they read it: they
 * stay inside, and give nonsense. Whoever calls them without a lock looks at the version afterwards
 * (tree.c).
 */
#ifndef EXAMPLE_INDEX_NODE_H
#define EXAMPLE_INDEX_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A test may have smaller ones, which are split and joined more often. */
#ifndef NODE_BYTES
/** A slot of the store is the object and 8 bytes: 1 KiB together. handle_good_size tells. */
#define NODE_BYTES 1016u
#define KEY_MAX    64u
#endif

#ifndef NODE_PLACES
#define NODE_PLACES 0u /* at most 255 */
#endif

struct node {
    uint64_t version; /**< odd: being written, or unlinked for good. For readers without a lock */
    uint16_t level;   /**< 0: a leaf; constant from before the node is linked */
    uint16_t count;   /**< entries */
    uint16_t low;     /**< where the lowest of them begins */
    uint16_t dead;    /**< bytes from there on that belong to entries no more */
    uint64_t first;   /**< the child in front of the first key; 0 in a leaf */
    uint16_t at[];
};

#define NODE_COUNT_MAX ((NODE_BYTES - (unsigned)sizeof(struct node)) / (unsigned)sizeof(uint16_t))
#define PLACES_BEGIN   (NODE_BYTES - NODE_PLACES * 8u)
#define ENTRY_LEAST    9u /* an empty key, in a leaf */

/* What is split in two halves has room for one more entry in each. */
_Static_assert((PLACES_BEGIN - sizeof(struct node)) / 2 >=
                   2 * (ENTRY_LEAST + KEY_MAX + sizeof(uint16_t)),
               "nodes are too small for keys of KEY_MAX");

/** A node of one's own, outside of the store. */
union node_copy {
    struct node node;
    unsigned char bytes[NODE_BYTES];
};

/** Somebody's key. */
struct key {
    const unsigned char *bytes;
    unsigned length; /* 0 to KEY_MAX */
};

/** A key of one's own. */
struct key_copy {
    unsigned length;
    unsigned char bytes[KEY_MAX];
};

struct entry {
    struct key key;
    uint64_t value;
};

static inline struct key
key_of(const struct key_copy *copy)
{
    return (struct key){copy->bytes, copy->length};
}

static inline void
key_keep(struct key_copy *copy, struct key key)
{
    copy->length = key.length < KEY_MAX ? key.length : KEY_MAX;
    memcpy(copy->bytes, key.bytes, copy->length);
}

/** Less than, equal to, or greater than 0, as memcmp. */
static inline int
key_compare(struct key a, struct key b)
{
    int order = memcmp(a.bytes, b.bytes, a.length < b.length ? a.length : b.length);
    return order ? order : (int)a.length - (int)b.length;
}

/* ---- reading; also while somebody writes ----------------------------------------------------- */

static inline unsigned
node_level(const struct node *node)
{
    return __atomic_load_n(&node->level, __ATOMIC_RELAXED);
}

static inline unsigned
node_count(const struct node *node)
{
    unsigned count = __atomic_load_n(&node->count, __ATOMIC_RELAXED);
    return count < NODE_COUNT_MAX ? count : NODE_COUNT_MAX;
}

/** Bytes of an entry's value. */
static inline unsigned
node_value_bytes(const struct node *node)
{
    return NODE_PLACES > 0 && node_level(node) > 0 ? 1 : 8;
}

/** The entry number i, 0 to NODE_COUNT_MAX - 1. */
static inline struct entry
node_entry(const struct node *node, unsigned i)
{
    struct entry entry;
    unsigned at = __atomic_load_n(&node->at[i], __ATOMIC_RELAXED);
    at = at < NODE_BYTES - ENTRY_LEAST ? at : NODE_BYTES - ENTRY_LEAST;
    const unsigned char *bytes = (const unsigned char *)node + at;
    unsigned length = __atomic_load_n(bytes, __ATOMIC_RELAXED),
             room = NODE_BYTES - ENTRY_LEAST - at;
    entry.key = (struct key){bytes + 1, length < room ? length : room};
    if (node_value_bytes(node) == 1)
        entry.value = entry.key.bytes[entry.key.length];
    else
        memcpy(&entry.value, entry.key.bytes + entry.key.length, sizeof(entry.value));
    return entry;
}

/** Number of the first entry whose key is not below this one; *equal: it is this one. */
static inline unsigned
node_find(const struct node *node, struct key key, bool *equal)
{
    unsigned low = 0, high = node_count(node);
    while (low < high) {
        unsigned middle = (low + high) / 2;
        int order = key_compare(node_entry(node, middle).key, key);
        if (order == 0) {
            *equal = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *equal = false;
    return low;
}

/** Child number i of an inner node, 0 to count. */
static inline uint64_t
node_child(const struct node *node, unsigned i)
{
    return i == 0 ? __atomic_load_n(&node->first, __ATOMIC_RELAXED) : node_entry(node, i - 1).value;
}

/** Number of the child that has this key. */
static inline unsigned
node_find_child(const struct node *node, struct key key)
{
    bool equal;
    unsigned i = node_find(node, key, &equal);
    return i + equal;
}

/* ---- for who has the node for itself --------------------------------------------------------- */

void node_clear(struct node *node, unsigned level, uint64_t first);

/** Whether an entry with a key of this length fits, and another child. */
bool node_has_room(const struct node *node, unsigned key_length);

/** Puts an entry in its place. There is room, and none with this key. */
void node_insert(struct node *node, struct key key, uint64_t value);

void node_set(struct node *node, unsigned i, uint64_t value);

/** Gives child number i of an inner node, 0 to count, another number. */
void node_set_child(struct node *node, unsigned i, uint64_t child);

void node_erase(struct node *node, unsigned i);

/**
 * Moves the upper half of the entries to `right`, which is empty and of the same level. Keys from
 * the separator on belong there from now on.
 */
void node_split(struct node *node, struct node *right, struct key_copy *separator);

/** A node that could share another's page. */
bool node_is_sparse(const struct node *node);

/** Whether all entries of both fit into one; the separator stands between them in their parent. */
bool node_can_join(const struct node *left, const struct node *right, struct key separator);

/** Copies all entries of `right` behind those of `left`. */
void node_join(struct node *left, const struct node *right, struct key separator);

#endif
