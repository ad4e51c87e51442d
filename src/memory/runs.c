/* SPDX-License-Identifier: MIT */
/* runs.c - see memory/runs.h. */
#include "memory/runs.h"

#include "memory/span.h"

/* Atomic: who guesses at a span without a lock (sn_span_is_loose) may by then find a run there. */
static void
set_link(uint32_t *link, uint32_t to)
{
    sn_store_relaxed(link, to);
}

/* The child that a length belongs to, on the given level. */
static unsigned
side_of(uint32_t blocks, unsigned level)
{
    return blocks >> (SN_RUNS_BITS - 1 - level) & 1;
}

/* ---- lists of one length --------------------------------------------------------------------- */

/* Second in the list, where the first is in a tree and stays there. */
static void
link_behind(struct sn_span *spans, uint32_t head, uint32_t first)
{
    spans[first].prev = head;
    spans[first].next = spans[head].next;
    if (spans[first].next)
        spans[spans[first].next].prev = first;
    spans[head].next = first;
}

static void
unlink_inner(struct sn_span *spans, uint32_t first)
{
    spans[spans[first].prev].next = spans[first].next;
    if (spans[first].next)
        spans[spans[first].next].prev = spans[first].prev;
}

static void
list_insert(struct sn_runs *runs, struct sn_span *spans, uint32_t first)
{
    unsigned at = spans[first].blocks - 1;
    spans[first].prev = 0;
    spans[first].next = runs->list[at];
    if (spans[first].next)
        spans[spans[first].next].prev = first;
    runs->list[at] = first;
    runs->used |= UINT32_C(1) << at;
}

static void
list_remove(struct sn_runs *runs, struct sn_span *spans, uint32_t first)
{
    unsigned at = spans[first].blocks - 1;
    if (spans[first].prev) {
        unlink_inner(spans, first);
        return;
    }
    runs->list[at] = spans[first].next;
    if (spans[first].next)
        spans[spans[first].next].prev = 0;
    else
        runs->used &= ~(UINT32_C(1) << at);
}

/* ---- the tree -------------------------------------------------------------------------------- */

static void
tree_insert(struct sn_runs *runs, struct sn_span *spans, uint32_t first)
{
    uint32_t blocks = spans[first].blocks;
    uint32_t *link = &runs->root;
    for (unsigned level = 0; *link; level++) {
        if (spans[*link].blocks == blocks) {
            link_behind(spans, *link, first);
            return;
        }
        link = &spans[*link].child[side_of(blocks, level)];
    }
    set_link(link, first);
    spans[first].prev = spans[first].next = 0;
    set_link(&spans[first].child[0], 0);
    set_link(&spans[first].child[1], 0);
}

/* Where the tree names a run that is in it. */
static uint32_t *
link_to(struct sn_runs *runs, struct sn_span *spans, uint32_t first)
{
    uint32_t *link = &runs->root;
    for (unsigned level = 0; *link != first; level++)
        link = &spans[*link].child[side_of(spans[first].blocks, level)];
    return link;
}

/* Takes some leaf out of the subtree below a link, the root itself if it has no child. */
static uint32_t
take_leaf(struct sn_span *spans, uint32_t *link)
{
    for (;;) {
        uint32_t *child = spans[*link].child;
        if (!child[0] && !child[1])
            break;
        link = &child[child[0] ? 0 : 1];
    }
    uint32_t leaf = *link;
    set_link(link, 0);
    return leaf;
}

static void
tree_remove(struct sn_runs *runs, struct sn_span *spans, uint32_t first)
{
    if (spans[first].prev) {
        unlink_inner(spans, first);
        return;
    }
    uint32_t *link = link_to(runs, spans, first);
    uint32_t heir = spans[first].next;
    if (heir)
        spans[heir].prev = 0;
    else
        heir = take_leaf(spans, link);
    if (heir == first)
        return; /* was a leaf itself */
    set_link(&spans[heir].child[0], spans[first].child[0]);
    set_link(&spans[heir].child[1], spans[first].child[1]);
    set_link(link, heir);
}

/* The shorter of two that are long enough; 0: none. */
static uint32_t
shorter(const struct sn_span *spans, uint32_t best, uint32_t at, uint32_t blocks)
{
    if (spans[at].blocks < blocks)
        return best;
    return best && spans[best].blocks <= spans[at].blocks ? best : at;
}

/*
 * Down along the bits of the length; what lies to the right of that way is longer, and of several
 * such subtrees the last one is the shortest. Its shortest run is on its leftmost way.
 */
static uint32_t
tree_find(struct sn_runs *runs, const struct sn_span *spans, uint32_t blocks)
{
    uint32_t best = 0, longer = 0;
    uint32_t at = runs->root;
    for (unsigned level = 0; at && spans[at].blocks != blocks; level++) {
        const uint32_t *child = spans[at].child;
        unsigned side = side_of(blocks, level);
        runs->looked_at++;
        best = shorter(spans, best, at, blocks);
        longer = side == 0 && child[1] ? child[1] : longer;
        at = child[side];
    }
    if (at)
        return at;
    for (at = longer; at; at = spans[at].child[spans[at].child[0] ? 0 : 1]) {
        runs->looked_at++;
        best = shorter(spans, best, at, blocks);
    }
    return best;
}

/* ---- both ------------------------------------------------------------------------------------ */

void
sn_runs_insert(struct sn_runs *runs, struct sn_span *spans, uint32_t first)
{
    if (spans[first].blocks <= SN_RUNS_LISTS)
        list_insert(runs, spans, first);
    else
        tree_insert(runs, spans, first);
}

void
sn_runs_remove(struct sn_runs *runs, struct sn_span *spans, uint32_t first)
{
    if (spans[first].blocks <= SN_RUNS_LISTS)
        list_remove(runs, spans, first);
    else
        tree_remove(runs, spans, first);
}

uint32_t
sn_runs_find(struct sn_runs *runs, const struct sn_span *spans, uint32_t blocks)
{
    uint32_t enough = blocks <= SN_RUNS_LISTS ? runs->used >> (blocks - 1) << (blocks - 1) : 0;
    if (enough) {
        runs->looked_at++;
        return runs->list[__builtin_ctz(enough)];
    }
    uint32_t best = tree_find(runs, spans, blocks);
    /* The second of its list is taken out without a search in the tree. */
    return best && spans[best].next ? spans[best].next : best;
}
