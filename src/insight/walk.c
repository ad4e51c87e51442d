/* SPDX-License-Identifier: MIT */
/* walk.c - see walk.h; and handle_store_each, handle_store_used_exact. */
#include "insight/walk.h"

#include <sched.h>

#include "core/misuse.h"
#include "defrag/machine.h"
#include "thread/drain.h"

#define GROUP 64 /* objects per section: visitors run in it, so that it stays short */

/* Whether a slot holds a live object. In a section, and the mover has nothing to do with the slot:
 * else a header might name a word whose memory is gone. One that is just being relocated is found
 * by the cell it leaves, or by looking again, until neither header nor word have changed (G6); only
 * one that goes there and back between the same two accesses, twice, is missed. */
static bool
find(handle_store *store, uint64_t slot, const uint64_t *header_word, struct sn_found *found)
{
    uint64_t last_header = 0, last_word = 0;
    for (;;) {
        /* Acquire: pairs with the release in sn_object_set_owner; R's memory is seen as it was
         * made. */
        uint64_t header = sn_load_acquire(header_word);
        if (!sn_header_has_object(store->secret, header, slot))
            return false;
        uint64_t *reference = sn_header_reference(header);
        sn_hook(SN_HOOK_WALK_HEADER, reference);
        /* Acquire: orders the object's contents before the visitor's reads, and the header of an
         * object that was relocated away before the next look. */
        uint64_t word = sn_load_acquire(reference);
        if (sn_word_names_slot(word, slot)) {
            *found = (struct sn_found){reference, word, slot, header};
            return true;
        }
        if (header == last_header && word == last_word)
            return false;
        last_header = header;
        last_word = word;
    }
}

struct walk {
    handle_store *store;
    int (*visit)(void *opaque, const struct sn_found *found);
    void *opaque;
    uint32_t next, end; /* spans that are ahead */
    uint32_t detached;  /* the span that is being walked, if it holds slots */
    size_t visits;
};

/* ---- one span -------------------------------------------------------------------------------- */

/* Up to GROUP objects of a span, from *slot on, which goes on behind them. c: its class, NULL:
 * large. In a section. */
static unsigned
find_group(const struct walk *walk, uint32_t number, const struct sn_class *c, uint32_t *slot,
           struct sn_found found[GROUP])
{
    handle_store *store = walk->store;
    uint32_t slots = c ? c->slots : 1;
    unsigned count = 0;
    for (; *slot < slots && count < GROUP; ++*slot) {
        uint64_t offset = c ? sn_slot_offset(c, number, *slot) : sn_span_offset(number);
        /* A large object that is freed at once meanwhile leaves its descriptor's word clear; its
         * class must not be asked again, it may be another's by now. */
        const uint64_t *header = c ? sn_store_address(store, offset - SN_HEADER_BYTES)
                                   : &store->pool.spans[number].large_header;
        count += find(store, offset, header, &found[count]);
    }
    return count;
}

/* One section. It ends before the next object when a grace period has begun, which waits for it:
 * *slot is then that object's. */
static int
walk_group(struct walk *walk, uint32_t number, const struct sn_class *c, uint32_t *slot)
{
    struct sn_found found[GROUP];
    struct sn_rcu *rcu = walk->store->rcu;
    int result = 0;
    sn_hook(SN_HOOK_WALK_SECTION, sn_store_address(walk->store, sn_span_offset(number)));
    sn_rcu_read_lock(rcu);
    uint64_t started = sn_rcu_started(rcu);
    unsigned count = find_group(walk, number, c, slot, found);
    for (unsigned i = 0; i < count && result == 0; i++) {
        if (c && i > 0 && sn_rcu_started(rcu) != started) {
            *slot = sn_slot_of(c, number, found[i].slot);
            break;
        }
        walk->visits++;
        result = walk->visit(walk->opaque, &found[i]);
    }
    sn_rcu_read_unlock(rcu);
    return result;
}

static int
walk_span(struct walk *walk, uint32_t number)
{
    const struct sn_class *c =
        walk->detached ? sn_heap_class_of_span(&walk->store->heap, &walk->store->pool.spans[number])
                       : NULL;
    uint32_t slots = c ? c->slots : 1;
    int result = 0;
    for (uint32_t slot = 0; slot < slots && result == 0;)
        result = walk_group(walk, number, c, &slot);
    return result;
}

/* ---- from span to span ----------------------------------------------------------------------- */

enum look { NOTHING_HERE, FOUND, LOOK_AGAIN };

/*
 * Looks whether a block begins a span that is to be walked. One of slots is detached, so that
 * nobody pools it, takes from it, or moves anything into it or out of it. LOOK_AGAIN: it is being
 * trimmed, and soon free again.
 */
static enum look
look_at_locked(struct walk *walk, uint32_t number)
{
    handle_store *store = walk->store;
    const struct sn_span *span = &store->pool.spans[number];
    uint8_t class_id = sn_load_relaxed(&store->pool.class_of[number]);
    if (class_id == SN_CLASS_LARGE)
        return sn_span_state(span) == SN_SPAN_LARGE ? FOUND : NOTHING_HERE;
    if (class_id >= SN_CLASSES_MAX)
        return NOTHING_HERE;
    if (sn_span_state(span) == SN_SPAN_CLOSED)
        sn_defrag_let_go_span_locked(store, number);
    if (sn_heap_detach(&store->heap, number)) {
        walk->detached = number;
        return FOUND;
    }
    uint8_t state = sn_span_state(span); /* OPEN: was DETACHED when we tried */
    return state == SN_SPAN_DETACHED || state == SN_SPAN_OPEN ? LOOK_AGAIN : NOTHING_HERE;
}

static void
leave_span_locked(struct walk *walk)
{
    handle_store *store = walk->store;
    /* Else the visitor forked, this is the child, and its hooks have reopened the span. */
    if (walk->detached && sn_span_state(&store->pool.spans[walk->detached]) == SN_SPAN_DETACHED)
        sn_heap_reopen(&store->heap, walk->detached, 0, 0);
    walk->detached = 0;
}

/* Goes on to the next span; 0: there is none. Between two spans the mover may work. */
static uint32_t
next_span(struct walk *walk)
{
    handle_store *store = walk->store;
    uint32_t found = 0;
    sn_lock(&store->mover.lock);
    leave_span_locked(walk);
    while (walk->next < walk->end && !found) {
        enum look look = look_at_locked(walk, walk->next);
        if (look == LOOK_AGAIN) {
            sn_unlock(&store->mover.lock);
            sched_yield();
            sn_lock(&store->mover.lock);
            continue;
        }
        found = look == FOUND ? walk->next : 0;
        walk->next++;
        sn_store_relaxed(&store->heap.walk_next, walk->next);
    }
    sn_unlock(&store->mover.lock);
    return found;
}

/* Where the walk begins and ends. What is taken later at a higher address holds nothing that lives
 * throughout, but for what the mover moves there from behind the walk. */
static void
set_out(struct walk *walk, uint32_t from)
{
    struct sn_heap *heap = &walk->store->heap;
    sn_lock(&walk->store->mover.lock);
    walk->next = from;
    walk->end = sn_load_relaxed(&walk->store->pool.high);
    sn_store_relaxed(&heap->walk_next, walk->next);
    sn_store_relaxed(&heap->walk_end, walk->end);
    sn_unlock(&walk->store->mover.lock);
}

/* One walk at a time: a second one waits. But no visitor waits for a walk, its own or that of
 * another store, whose visitor may wait for this one. Result: 0 or an error. */
static int
begin_walk(handle_store *store)
{
    sn_note_call();
    if (sn_asking != SN_NOT_ASKING)
        return -EBUSY;
    if (sn_rcu_walks == 0)
        sn_lock(&store->walk_lock);
    else if (!sn_try_lock(&store->walk_lock))
        return -EBUSY;
    if (!sn_caches_lock_out(&store->caches)) {
        sn_unlock(&store->walk_lock);
        return -EAGAIN;
    }
    sn_store_relaxed(&store->walker, (uintptr_t)pthread_self());
    sn_rcu_walks++;
    return 0;
}

static void
end_walk(struct walk *walk)
{
    handle_store *store = walk->store;
    sn_rcu_walks--;
    sn_lock(&store->mover.lock);
    leave_span_locked(walk);
    /* Else the visitor forked, and this is the child: its hooks have ended the walk. */
    bool ours = sn_load_relaxed(&store->walker) == (uintptr_t)pthread_self();
    if (ours)
        sn_store_relaxed(&store->heap.walk_end, 0);
    sn_unlock(&store->mover.lock);
    if (!ours)
        return;
    sn_mover_walked(store);
    sn_caches_let_in(&store->caches);
    sn_store_relaxed(&store->walker, 0);
    sn_unlock(&store->walk_lock);
}

/* From a span on, until `max` objects were visited at the end of a span. *from: the next one, or
 * that in which a visitor ended the walk; 0: there is none. */
static int
walk_from(handle_store *store, uint32_t *from, size_t max,
          int (*visit)(void *opaque, const struct sn_found *found), void *opaque)
{
    SN_NO_CANCELLATION;
    struct walk walk = {.store = store, .visit = visit, .opaque = opaque};
    uint32_t number = 0;
    int result = begin_walk(store);
    if (result != 0)
        return result;
    set_out(&walk, *from);
    while (result == 0 && walk.visits < max && (number = next_span(&walk)) != 0)
        result = walk_span(&walk, number);
    *from = result != 0 || number == 0 ? number : walk.next;
    end_walk(&walk);
    return result;
}

int
sn_walk(handle_store *store, int (*visit)(void *opaque, const struct sn_found *found), void *opaque)
{
    uint32_t from = 1;
    return walk_from(store, &from, SIZE_MAX, visit, opaque);
}

/* ---- handle_store_each ----------------------------------------------------------------------- */

struct each {
    handle_store *store;
    int (*visit)(void *opaque, const struct handle_object *object);
    void *opaque;
};

/* One that is just being retired, or unlinked, has lost the flag in its word. */
static unsigned
flags_of(const handle_store *store, const struct sn_found *found)
{
    if (sn_likely(!sn_word_is_retired(found->word)))
        return sn_object_flags(store, found->word, found->header);
    const struct sn_span *span = &store->pool.spans[sn_block_of(found->slot)];
    return sn_load_relaxed(&span->flags) & SN_SPAN_UNMOVABLE ? HANDLE_UNMOVABLE : 0;
}

void
sn_found_show(handle_store *store, const struct sn_found *found, struct handle_object *object)
{
    bool handle = sn_table_owns(&store->table, found->reference);
    *object = (struct handle_object){
        .handle =
            handle ? sn_table_handle(&store->table, found->reference, found->word) : HANDLE_NULL,
        .cell = handle ? NULL : (const handle_cell *)(const void *)found->reference,
        .data = sn_store_address(store, found->slot),
        .size = sn_object_size(store, found->slot, found->header),
        .tag = handle ? 0 : (uint32_t)sn_word_tag(found->word),
        .flags = flags_of(store, found)};
}

static int
show(void *opaque, const struct sn_found *found)
{
    const struct each *each = opaque;
    struct handle_object object;
    sn_found_show(each->store, found, &object);
    return each->visit(each->opaque, &object);
}

int
handle_store_each(handle_store *store, int (*visit)(void *opaque, const struct handle_object *),
                  void *opaque)
{
    struct each each = {store, visit, opaque};
    sn_check_call(store, SN_REGISTERED, 0, NULL);
    if (!store || !visit)
        return -EINVAL;
    return sn_walk(store, show, &each);
}

int
handle_store_each_from(handle_store *store, uint64_t *cursor, size_t max,
                       int (*visit)(void *opaque, const struct handle_object *), void *opaque)
{
    struct each each = {store, visit, opaque};
    sn_check_call(store, SN_REGISTERED, 0, NULL);
    if (!store || !cursor || !visit || max == 0 || *cursor > UINT32_MAX)
        return -EINVAL;
    uint32_t from = *cursor == 0 ? 1 : (uint32_t)*cursor;
    int result = walk_from(store, &from, max, show, &each);
    *cursor = from; /* where it was, if the walk did not begin */
    return result;
}

/* ---- handle_store_used_exact ----------------------------------------------------------------- */

struct sum {
    const handle_store *store;
    size_t bytes;
};

static int
add_size(void *opaque, const struct sn_found *found)
{
    struct sum *sum = opaque;
    sum->bytes += sn_object_size(sum->store, found->slot, found->header);
    return 0;
}

int
sn_walk_requested(handle_store *store, size_t *bytes)
{
    struct sum sum = {store, 0};
    int result = sn_walk(store, add_size, &sum);
    if (result == 0)
        *bytes = sum.bytes;
    return result;
}

int
handle_store_used_exact(handle_store *store, size_t *bytes)
{
    sn_check_call(store, SN_REGISTERED, 0, NULL);
    if (!store || !bytes)
        return -EINVAL;
    return sn_walk_requested(store, bytes);
}
