/* SPDX-License-Identifier: MIT */
/*
 * node.c - entries come and go in one page, or in two; see node.h.
 */
#include "node.h"

/** Where entries end. */
static unsigned
end_of(const struct node *node)
{
    return node->level > 0 ? PLACES_BEGIN : NODE_BYTES;
}

/** Bytes for entries and at[]. */
static unsigned
room_of(const struct node *node)
{
    return end_of(node) - (unsigned)sizeof(*node);
}

/** Bytes of an entry in the page, its place in at[] included. */
static unsigned
entry_bytes(const struct node *node, unsigned key_length)
{
    return 1 + key_length + node_value_bytes(node) + (unsigned)sizeof(uint16_t);
}

/** Bytes between at[] and the lowest entry. */
static unsigned
gap_of(const struct node *node)
{
    unsigned end = (unsigned)(sizeof(*node) + node->count * sizeof(node->at[0]));
    return node->low - end;
}

/** Bytes that the entries need. */
static unsigned
used_bytes(const struct node *node)
{
    return room_of(node) - gap_of(node) - node->dead;
}

void
node_clear(struct node *node, unsigned level, uint64_t first)
{
    __atomic_store_n(&node->level, (uint16_t)level, __ATOMIC_RELAXED);
    __atomic_store_n(&node->count, 0, __ATOMIC_RELAXED);
    node->low = (uint16_t)end_of(node);
    node->dead = 0;
    __atomic_store_n(&node->first, first, __ATOMIC_RELAXED);
}

static void
write_value(const struct node *node, unsigned char *at, uint64_t value)
{
    if (node_value_bytes(node) == 1)
        *at = (unsigned char)value;
    else
        memcpy(at, &value, sizeof(value));
}

/** Writes an entry below the others. Where it begins. */
static uint16_t
write_entry(struct node *node, struct key key, uint64_t value)
{
    node->low = (uint16_t)(node->low - (1 + key.length + node_value_bytes(node)));
    unsigned char *bytes = (unsigned char *)node + node->low;
    bytes[0] = (unsigned char)key.length;
    memcpy(bytes + 1, key.bytes, key.length);
    write_value(node, bytes + 1 + key.length, value);
    return node->low;
}

/** In front of entry i, where its key belongs. There is a gap that is wide enough. */
static void
insert_at(struct node *node, unsigned i, struct key key, uint64_t value)
{
    memmove(&node->at[i + 1], &node->at[i], (node->count - i) * sizeof(node->at[0]));
    node->at[i] = write_entry(node, key, value);
    __atomic_store_n(&node->count, (uint16_t)(node->count + 1), __ATOMIC_RELAXED);
}

static void
append(struct node *node, struct key key, uint64_t value)
{
    insert_at(node, node->count, key, value);
}

/** Behind its own, entries from..to-1 of another node. */
static void
append_range(struct node *node, const struct node *other, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        struct entry entry = node_entry(other, i);
        append(node, entry.key, entry.value);
    }
}

/** Takes the bytes of erased entries back. */
static void
squeeze(struct node *node)
{
    union node_copy old;
    memcpy(&old, node, NODE_BYTES);
    node_clear(node, old.node.level, old.node.first);
    append_range(node, &old.node, 0, old.node.count);
}

/** Whether a node can have so many children. */
static bool
has_places(const struct node *node, unsigned children)
{
    return NODE_PLACES == 0 || node->level == 0 || children <= NODE_PLACES;
}

bool
node_has_room(const struct node *node, unsigned key_length)
{
    return used_bytes(node) + entry_bytes(node, key_length) <= room_of(node) &&
           has_places(node, node->count + 2u);
}

void
node_insert(struct node *node, struct key key, uint64_t value)
{
    bool equal;
    if (gap_of(node) < entry_bytes(node, key.length))
        squeeze(node);
    insert_at(node, node_find(node, key, &equal), key, value);
}

void
node_set(struct node *node, unsigned i, uint64_t value)
{
    unsigned char *bytes = (unsigned char *)node + node->at[i];
    write_value(node, bytes + 1 + bytes[0], value);
}

void
node_set_child(struct node *node, unsigned i, uint64_t child)
{
    if (i == 0)
        __atomic_store_n(&node->first, child, __ATOMIC_RELAXED);
    else
        node_set(node, i - 1, child);
}

void
node_erase(struct node *node, unsigned i)
{
    unsigned bytes = 1 + node_entry(node, i).key.length + node_value_bytes(node);
    node->dead = (uint16_t)(node->dead + bytes);
    __atomic_store_n(&node->count, (uint16_t)(node->count - 1), __ATOMIC_RELAXED);
    memmove(&node->at[i], &node->at[i + 1], (node->count - i) * sizeof(node->at[0]));
}

/** The shortest key that is above `below`, and not above `key`. */
static void
make_separator(struct key_copy *separator, struct key below, struct key key)
{
    unsigned same = 0;
    while (same < below.length && below.bytes[same] == key.bytes[same])
        same++;
    key_keep(separator, (struct key){key.bytes, same + 1});
}

/** Number of the entry at the half of the bytes; one is in front of it, and one behind. */
static unsigned
half_of(const struct node *node)
{
    unsigned i = 0;
    for (unsigned bytes = 0; bytes < used_bytes(node) / 2; i++)
        bytes += entry_bytes(node, node_entry(node, i).key.length);
    return i < 1 ? 1 : i < node->count - 1u ? i : node->count - 2u;
}

/* A leaf's middle entry goes to the right; an inner node's goes up, and its child to the right. */
void
node_split(struct node *node, struct node *right, struct key_copy *separator)
{
    union node_copy old;
    memcpy(&old, node, NODE_BYTES);
    unsigned middle = half_of(&old.node), inner = old.node.level > 0;
    struct entry entry = node_entry(&old.node, middle);
    if (inner)
        key_keep(separator, entry.key);
    else
        make_separator(separator, node_entry(&old.node, middle - 1).key, entry.key);
    node_clear(right, old.node.level, inner ? entry.value : 0);
    append_range(right, &old.node, middle + inner, old.node.count);
    node_clear(node, old.node.level, old.node.first);
    append_range(node, &old.node, 0, middle);
}

/* Well below the half that a split leaves: what was split is not joined at once. */
bool
node_is_sparse(const struct node *node)
{
    return used_bytes(node) < room_of(node) / 3;
}

bool
node_can_join(const struct node *left, const struct node *right, struct key separator)
{
    unsigned between = left->level > 0 ? entry_bytes(left, separator.length) : 0;
    return used_bytes(left) + between + used_bytes(right) <= room_of(left) &&
           has_places(left, left->count + right->count + 2u);
}

/* The first child of an inner node has no key there: the separator is its key. */
void
node_join(struct node *left, const struct node *right, struct key separator)
{
    squeeze(left);
    if (left->level > 0)
        append(left, separator, right->first);
    append_range(left, right, 0, right->count);
}
