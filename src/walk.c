/* SPDX-License-Identifier: MIT */
/* walk.c - see walk.h; and handle_store_each. */
#include "walk.h"

#include <sched.h>

#include "misuse.h"

#define GROUP 64 /* objects per section: visitors run in it, so that it stays short */

/* Whether a slot holds a live object. In a section, under the mover's lock: only its holder may
 * follow a header to its word. One that is just being relocated is found by the cell it leaves, or
 * by looking again, until neither header nor word have changed (G6); only one that goes there and
 * back between the same two accesses, twice, is missed. */
static bool
find_locked(handle_store *store, uint64_t slot, const uint64_t *header_word, struct sn_found *found)
{
    uint64_t last_header = 0, last_word = 0;
    for (;;) {
        /* Acquire: pairs with the release in sn_object_name; R's memory is seen as it was made. */
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
};

/* Finds up to GROUP objects of a span from *slot on, visits them. c: its class, NULL: large. */
static int
walk_group(const struct walk *walk, uint32_t number, const struct sn_class *c, uint32_t *slot)
{
    struct sn_found found[GROUP];
    uint32_t slots = c ? c->slots : 1;
    unsigned count = 0;
    int result = 0;
    sn_rcu_read_lock(walk->store->rcu);
    sn_lock(sn_defrag_lock(walk->store));
    for (; *slot < slots && count < GROUP; ++*slot) {
        uint64_t offset = c ? sn_slot_offset(c, number, *slot) : sn_span_offset(number);
        /* A large object that is freed at once meanwhile leaves its descriptor's word clear; its
         * class must not be asked again, it may be another's by now. */
        const uint64_t *header = c ? sn_store_address(walk->store, offset - SN_HEADER_BYTES)
                                   : &walk->store->pool.spans[number].large_header;
        count += find_locked(walk->store, offset, header, &found[count]);
    }
    sn_unlock(sn_defrag_lock(walk->store));
    for (unsigned i = 0; i < count && result == 0; i++)
        result = walk->visit(walk->opaque, &found[i]);
    sn_rcu_read_unlock(walk->store->rcu);
    return result;
}

static int
walk_span(const struct walk *walk, uint32_t number, const struct sn_class *c)
{
    uint32_t slots = c ? c->slots : 1;
    int result = 0;
    for (uint32_t slot = 0; slot < slots && result == 0;)
        result = walk_group(walk, number, c, &slot);
    return result;
}

/* Holds a span of slots, so that nobody pools it. One that the mover has closed stays so: the mover
 * is paused. One that is being trimmed is soon free again. False: there is none. */
static bool
hold_span(const struct walk *walk, uint32_t number, bool *held)
{
    struct sn_pool *pool = &walk->store->pool;
    for (;;) {
        if (sn_load_relaxed(&pool->class_of[number]) >= SN_CLASSES_MAX)
            return false;
        *held = sn_heap_hold(&walk->store->heap, number);
        uint8_t state = sn_span_state(&pool->spans[number]);
        if (*held || state == SN_SPAN_CLOSED)
            return true;
        if (state != SN_SPAN_HELD && state != SN_SPAN_OPEN) /* OPEN: was HELD when we tried */
            return false;
        sched_yield();
    }
}

static int
walk_block(const struct walk *walk, uint32_t number)
{
    struct sn_pool *pool = &walk->store->pool;
    struct sn_span *span = &pool->spans[number];
    bool held;
    if (sn_load_relaxed(&pool->class_of[number]) == SN_CLASS_LARGE)
        return sn_span_state(span) == SN_SPAN_LARGE ? walk_span(walk, number, NULL) : 0;
    if (!hold_span(walk, number, &held))
        return 0;
    int result = walk_span(walk, number, &walk->store->classes.of[span->class_id]);
    /* Else the visitor forked, this is the child, and its hooks have reopened the span. */
    if (held && sn_span_state(span) == SN_SPAN_HELD)
        sn_heap_reopen(&walk->store->heap, number, 0, 0);
    return result;
}

static void
leave_walk(handle_store *store)
{
    sn_defrag_resume(store);
    sn_store_relaxed(&store->walker, 0);
    sn_unlock(&store->walk_lock);
}

/* One walk at a time: a second one waits. But no visitor waits for a walk, its own or that of
 * another store, whose visitor may wait for this one. Result: 0 or an error. */
static int
begin_walk(handle_store *store)
{
    if (sn_rcu_walks == 0)
        sn_lock(&store->walk_lock);
    else if (!sn_try_lock(&store->walk_lock))
        return -EBUSY;
    sn_store_relaxed(&store->walker, (uintptr_t)pthread_self());
    sn_rcu_walks++;
    sn_defrag_pause(store);
    if (sn_caches_hold(&store->caches))
        return 0;
    sn_rcu_walks--;
    leave_walk(store);
    return -EAGAIN;
}

static void
end_walk(handle_store *store)
{
    sn_rcu_walks--;
    if (sn_load_relaxed(&store->walker) != (uintptr_t)pthread_self())
        return; /* the visitor forked, and this is the child: its hooks have ended the walk */
    sn_caches_let_go(&store->caches);
    leave_walk(store);
}

int
sn_walk(handle_store *store, int (*visit)(void *opaque, const struct sn_found *found), void *opaque)
{
    SN_NO_CANCELLATION;
    struct walk walk = {store, visit, opaque};
    int result = begin_walk(store);
    if (result != 0)
        return result;
    uint32_t high = sn_load_relaxed(&store->pool.high);
    for (uint32_t number = 1; number < high && result == 0; number++)
        result = walk_block(&walk, number);
    end_walk(store);
    return result;
}

/* ---- handle_store_each ----------------------------------------------------------------------- */

struct each {
    handle_store *store;
    int (*visit)(void *opaque, const struct handle_object *object);
    void *opaque;
};

static int
show(void *opaque, const struct sn_found *found)
{
    const struct each *each = opaque;
    bool handle = sn_table_owns(&each->store->table, found->reference);
    struct handle_object object = {
        .handle = handle ? sn_table_handle(&each->store->table, found->reference, found->word)
                         : HANDLE_NULL,
        .cell = handle ? NULL : (const handle_cell *)(const void *)found->reference,
        .data = sn_store_address(each->store, found->slot),
        .size = sn_object_size(each->store, found->slot, found->header),
        .tag = handle ? 0 : (uint32_t)sn_word_tag(found->word),
        .flags = sn_object_flags(found->word)};
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
