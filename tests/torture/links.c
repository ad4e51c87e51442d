/* SPDX-License-Identifier: MIT */
/*
 * links.c - structures of cells that are taken apart under their readers, who must not notice
 * (G12). Chains: an object's own cell, whose number the tag of each cell that names it says, leads
 * on to the next one; objects are put in between, and taken out, by unlink. Racks: nodes of the
 * application's that are replaced whole; what the new one lacks is retired. Cells and nodes are
 * used for something else a grace period later, by call_rcu.
 *
 * Seen failing:
 *   unlink empties `from`, or retire the cell             "lacks an object"
 *   what unlink replaces is reusable at once              "contents are wrong"
 *   unlink leaves `from` as it was                        "reported without reason"
 */
#include "torture.h"

/* Several objects may have one name, one after the other: no version says which. */
static void
verify(const void *object, uint64_t name)
{
    uint64_t version = 0;
    size_t length = 0;
    if (stamp_verify(object, name, &version, &length) != STAMP_GOOD)
        stamp_finding("contents are wrong", object, name, version);
}

static void
verify_twice(struct worker *worker, const void *object, uint64_t name)
{
    verify(object, name);
    linger(worker, 100);
    verify(object, name);
}

static int
reserve(struct worker *worker, struct heap *heap, uint64_t name, struct handle_reserved *reserved)
{
    size_t length = random_length(worker);
    errno = 0;
    if (!handle_reserve(heap->store, length, 0, reserved))
        return errno;
    stamp_fill(reserved->object, name, roll(worker, 1 << 20), length);
    return 0;
}

/* ---- chains ---------------------------------------------------------------------------------- */

static uint64_t
chain_name(const struct heap *heap, unsigned own)
{
    return object_name(heap, KIND_CHAIN, own);
}

/* The last object of a chain stays; its own cell is empty. */
static unsigned
last_of(unsigned chain)
{
    return CHAINS + chain;
}

void
op_chain_read(struct worker *worker, struct heap *heap)
{
    unsigned chain = (unsigned)roll(worker, CHAINS), at = chain;
    section_enter();
    for (;;) {
        uint32_t own = 0;
        const void *object = handle_cell_read(heap->store, &heap->links[at].cell, &own);
        if (!object || own >= LINKS)
            break;
        verify_twice(worker, object, chain_name(heap, own));
        at = own;
    }
    if (at != last_of(chain))
        finding("chain %u ends before its last object, at link %u", chain, at);
    section_leave();
}

/* LINKS: all are in use. */
static unsigned
take_link(struct worker *worker, struct heap *heap)
{
    for (unsigned i = 0; i < 20; i++) {
        unsigned number = 2 * CHAINS + (unsigned)roll(worker, LINKS - 2 * CHAINS);
        if (try_lock(&heap->links[number].used))
            return number;
    }
    return LINKS;
}

static void
link_is_unused(struct rcu_head *head)
{
    struct link *link = caa_container_of(head, struct link, head);
    flavour_tsan_acquire();
    __atomic_store_n(&link->cell.word, 0, __ATOMIC_RELAXED);
    unlock(&link->used);
}

/* Some steps along the chain. Result: the link that leads to the object; *own: its own. */
static unsigned
walk_chain(struct worker *worker, struct heap *heap, unsigned chain, uint32_t *own)
{
    unsigned at = chain;
    for (uint64_t steps = roll(worker, 40);; steps--) {
        if (!handle_cell_read(heap->store, &heap->links[at].cell, own) || *own >= LINKS) {
            finding("chain %u is broken for its only writer", chain);
            *own = last_of(chain);
            return at;
        }
        if (*own == last_of(chain) || steps == 0)
            return at;
        at = *own;
    }
}

static void
put_between(struct worker *worker, struct heap *heap, unsigned at, unsigned own,
            struct handle_reserved *reserved)
{
    int result = handle_cell_unlink(heap->store, &heap->links[at].cell, &heap->links[own].cell);
    if (result)
        finding("link %u: unlink into a new one: %d", at, result);
    tarry(worker);
    result = handle_cell_publish(heap->store, &heap->links[at].cell, reserved, own);
    if (result)
        finding("link %u: publish where it was unlinked: %d", at, result);
    worker->counters.allocs++;
    worker->counters.relocations++;
}

static void
take_out(struct worker *worker, struct heap *heap, unsigned at, unsigned own)
{
    struct link *link = &heap->links[own];
    int result = handle_cell_unlink(heap->store, &link->cell, &heap->links[at].cell);
    if (result)
        finding("link %u: unlink: %d", own, result);
    tarry(worker);
    if (!handle_cell_deref(heap->store, &link->cell))
        finding("link %u: unlinked in this section, it leads nowhere", own);
    worker->counters.frees++;
    worker->counters.relocations++;
    flavour_tsan_release();
    call_rcu(&link->head, link_is_unused);
}

static void
grow_chain(struct worker *worker, struct heap *heap, unsigned chain, unsigned new_link,
           struct handle_reserved *reserved)
{
    uint32_t own;
    section_enter();
    put_between(worker, heap, walk_chain(worker, heap, chain, &own), new_link, reserved);
    section_leave();
}

static void
shrink_chain(struct worker *worker, struct heap *heap, unsigned chain)
{
    uint32_t own;
    section_enter();
    unsigned at = walk_chain(worker, heap, chain, &own);
    if (own != last_of(chain))
        take_out(worker, heap, at, own);
    section_leave();
}

void
op_chain_change(struct worker *worker, struct heap *heap)
{
    struct handle_reserved reserved;
    unsigned chain = (unsigned)roll(worker, CHAINS), new_link;
    int error = 0;
    if (!try_lock(&heap->chain_locked[chain]))
        return;
    if (roll(worker, 2) || (new_link = take_link(worker, heap)) == LINKS) {
        shrink_chain(worker, heap, chain);
    } else {
        error = reserve(worker, heap, chain_name(heap, new_link), &reserved);
        if (error)
            unlock(&heap->links[new_link].used);
        else
            grow_chain(worker, heap, chain, new_link, &reserved);
    }
    unlock(&heap->chain_locked[chain]);
    if (error)
        allocation_refused(worker, heap, error);
}

/* ---- racks ----------------------------------------------------------------------------------- */

static uint64_t
rack_name(const struct heap *heap, unsigned rack, unsigned at)
{
    return object_name(heap, KIND_RACK, rack * RACK_CELLS + at);
}

static void
free_rack(struct rcu_head *head)
{
    struct rack *rack = caa_container_of(head, struct rack, head);
    flavour_tsan_acquire();
    memset(rack->cell, 0xee, sizeof(rack->cell));
    free(rack);
}

void
op_rack_read(struct worker *worker, struct heap *heap)
{
    unsigned number = (unsigned)roll(worker, RACKS);
    section_enter();
    struct rack *rack = __atomic_load_n(&heap->racks[number], __ATOMIC_ACQUIRE);
    for (unsigned at = 0; at < RACK_CELLS; at++) {
        if (!(rack->present >> at & 1))
            continue;
        const void *object = handle_cell_deref(heap->store, &rack->cell[at]);
        if (object)
            verify_twice(worker, object, rack_name(heap, number, at));
        else
            finding("rack %u lacks an object at %u", number, at);
    }
    section_leave();
}

static void
must(int result, unsigned rack, const char *what)
{
    if (result)
        finding("rack %u: %s: %d", rack, what, result);
}

/* One cell of the new rack; what `reserved` has gets there if it is for this one: alone, or, for
 * the time until the old one's object takes its place. */
static void
make_cell(struct worker *worker, struct heap *heap, unsigned number, unsigned at, struct rack *next,
          struct handle_reserved *reserved)
{
    struct rack *old = heap->racks[number];
    bool present = old->present >> at & 1;
    if (reserved)
        must(handle_cell_publish(heap->store, &next->cell[at], reserved, 0), number, "publish");
    if (present && (reserved || roll(worker, 6) > 0))
        must(handle_cell_unlink(heap->store, &old->cell[at], &next->cell[at]), number, "unlink");
    else if (!reserved)
        return;
    next->present |= 1u << at;
}

/* It is out of reach: whoever is there still finds all that it had. */
static void
leave_rack(struct heap *heap, unsigned number, struct rack *old, const struct rack *next)
{
    for (unsigned at = 0; at < RACK_CELLS; at++) {
        if (!(old->present >> at & 1))
            continue;
        if (!(next->present >> at & 1))
            must(handle_cell_retire(heap->store, &old->cell[at]), number, "retire");
        if (!handle_cell_deref(heap->store, &old->cell[at]))
            finding("rack %u: left in this section, it lacks an object at %u", number, at);
    }
    flavour_tsan_release();
    call_rcu(&old->head, free_rack);
}

/* In a section, to its end. for_cell: where what is reserved belongs. */
static void
replace_rack(struct worker *worker, struct heap *heap, unsigned number, unsigned for_cell,
             struct handle_reserved *reserved)
{
    struct rack *old = heap->racks[number], *next = calloc(1, sizeof(*next));
    if (!next)
        return handle_reserved_abort(heap->store, reserved);
    for (unsigned at = 0; at < RACK_CELLS; at++)
        make_cell(worker, heap, number, at, next, at == for_cell ? reserved : NULL);
    tarry(worker);
    __atomic_store_n(&heap->racks[number], next, __ATOMIC_RELEASE);
    leave_rack(heap, number, old, next);
    worker->counters.relocations += RACK_CELLS;
}

void
op_rack_change(struct worker *worker, struct heap *heap)
{
    struct handle_reserved reserved;
    unsigned number = (unsigned)roll(worker, RACKS), at = (unsigned)roll(worker, RACK_CELLS);
    if (!try_lock(&heap->rack_locked[number]))
        return;
    int error = reserve(worker, heap, rack_name(heap, number, at), &reserved);
    if (!error) {
        section_enter();
        replace_rack(worker, heap, number, at, &reserved);
        section_leave();
    }
    unlock(&heap->rack_locked[number]);
    if (error)
        allocation_refused(worker, heap, error);
}

/* ---- set-up, audit, end ---------------------------------------------------------------------- */

static void
open_chain(struct worker *worker, struct heap *heap, unsigned chain)
{
    struct handle_reserved reserved;
    unsigned own = last_of(chain);
    int error = reserve(worker, heap, chain_name(heap, own), &reserved);
    section_enter();
    if (error || handle_cell_publish(heap->store, &heap->links[chain].cell, &reserved, own))
        finding("chain %u could not be begun: %d", chain, error);
    section_leave();
}

void
links_open(struct worker *worker, struct heap *heap)
{
    for (unsigned chain = 0; chain < CHAINS; chain++)
        open_chain(worker, heap, chain);
    for (unsigned number = 0; number < RACKS; number++) {
        heap->racks[number] = calloc(1, sizeof(struct rack));
        if (!heap->racks[number]) {
            finding("rack %u could not be made", number);
            exit(1);
        }
    }
}

static void
audit_cell(struct heap *heap, const handle_cell *cell, uint64_t name, struct sums *sums)
{
    section_enter();
    const void *object = handle_cell_deref(heap->store, cell);
    if (object) {
        verify(object, name);
        sums->objects++;
        sums->by_cell++;
        sums->bytes += handle_cell_size(heap->store, cell);
    } else {
        finding("audit: %llx is not there", (unsigned long long)name);
    }
    section_leave();
}

void
links_audit(struct heap *heap, struct sums *sums)
{
    for (unsigned chain = 0; chain < CHAINS; chain++) {
        unsigned at = chain;
        while (at != last_of(chain)) {
            uint32_t own = handle_cell_tag(&heap->links[at].cell);
            audit_cell(heap, &heap->links[at].cell, chain_name(heap, own), sums);
            at = own < LINKS ? own : last_of(chain);
        }
    }
    for (unsigned number = 0; number < RACKS; number++)
        for (unsigned at = 0; at < RACK_CELLS; at++)
            if (heap->racks[number]->present >> at & 1)
                audit_cell(heap, &heap->racks[number]->cell[at], rack_name(heap, number, at), sums);
}

/* No callback is pending: links that are not in use are empty. */
void
links_close(struct heap *heap)
{
    section_enter();
    for (unsigned i = 0; i < LINKS; i++)
        (void)handle_cell_free(heap->store, &heap->links[i].cell);
    for (unsigned number = 0; number < RACKS; number++)
        for (unsigned at = 0; at < RACK_CELLS; at++)
            (void)handle_cell_free(heap->store, &heap->racks[number]->cell[at]);
    section_leave();
    grace_period();
    for (unsigned number = 0; number < RACKS; number++)
        free(heap->racks[number]);
}
