/* SPDX-License-Identifier: MIT */
/* evacuate.c - see evacuate.h. */
#include "defrag/evacuate.h"

#include "base/probes.h"
#include "core/hardened.h"

/* Bytes of slots that are copied as one group: a slice overruns its deadline by so much at most, or
 * by one slot. Slots above GROUPED_BYTES go alone: to wait for their cache misses is little beside
 * their copy. */
#define GROUP_BYTES   4096
#define GROUPED_BYTES 512
/* Bytes of a slot that are prefetched before it is copied. */
#define PREFETCH_BYTES 512
/* Groups marked between two looks at the clock: 1 to 2 us of work. */
#define CLOCK_GROUPS 4
/* Slots given back at once. */
#define PUT_SLOTS 64
/* Destinations taken at once. */
#define DESTINATION_BYTES (SN_CACHE_CLASS_BYTES * 4)
/* A batch's list of moves: a mapping of its own, which is there while somebody moves. */
#define MOVES_BYTES (SN_BATCH_OBJECTS * sizeof(struct sn_move))
_Static_assert(MOVES_BYTES % (1 << SN_PAGE_SHIFT_MAX) == 0, "the lists are whole pages");
_Static_assert((1 << SN_PAGE_SHIFT_MIN) % sizeof(struct sn_move) == 0, "no move lies in two");

/*
 * Functions that do nothing but prefetch are inlined by force: gcc (12, say) takes a call of such a
 * function for one without effect, and leaves it out.
 */

bool
sn_batch_begin(struct sn_batch *batch)
{
    if (batch->moves)
        return true;
    batch->moves_max = SN_BATCH_OBJECTS;
    batch->moves = sn_os_reserve(MOVES_BYTES, SN_PAGE_BYTES);
    return batch->moves != NULL;
}

void
sn_batch_rest(handle_store *store, struct sn_batch *batch)
{
    uint64_t bytes = batch->moves_room * sizeof(*batch->moves);
    if (!batch->moves)
        return;
    sn_os_release(batch->moves, MOVES_BYTES);
    batch->moves = NULL;
    batch->moves_room = 0;
    sn_sub_relaxed(&store->batch_bytes, bytes);
    sn_budget_refund(&store->budget, bytes);
}

/* Room for one move more, on a page that is charged now if need be: also above a limit that was
 * lowered, since moves are what brings the store below. False: the list is full, or the limit does
 * not allow it. */
static bool
has_room(handle_store *store, struct sn_batch *batch)
{
    if (sn_likely(batch->move_count < batch->moves_room))
        return true;
    if (batch->move_count < batch->moves_max &&
        sn_budget_charge(&store->budget, SN_PAGE_BYTES, SN_CHARGE_LISTS)) {
        sn_add_relaxed(&store->batch_bytes, SN_PAGE_BYTES);
        batch->moves_room += SN_PAGE_BYTES / sizeof(*batch->moves);
        return true;
    }
    batch->moves_max = batch->move_count;
    return false;
}

static struct sn_span *
span_of(const struct sn_evacuation *e, uint32_t number)
{
    return &e->store->pool.spans[number];
}

static const struct sn_class *
class_of(const struct sn_evacuation *e, uint32_t number)
{
    return sn_heap_class_of_span(&e->store->heap, span_of(e, number));
}

void
sn_batch_add(struct sn_evacuation *e, struct sn_batch *batch, uint32_t span)
{
    batch->spans[batch->span_count++] =
        (struct sn_evacuee){.span = span, .moves = batch->move_count};
    batch->slot_at = 0;
    batch->span_bytes += (uint64_t)class_of(e, span)->pages << SN_PAGE_SHIFT;
    sn_heap_copy_bits(&e->store->heap, span, batch->bits);
    uint32_t slots = class_of(e, span)->slots;
    if (slots % 64 != 0) /* slots that do not exist are never free */
        batch->bits[slots / 64] &= ~(~UINT64_C(0) << slots % 64);
}

bool
sn_batch_span_is_marked(const struct sn_evacuation *e, const struct sn_batch *batch)
{
    if (batch->span_count == 0 || batch->spans[batch->span_count - 1].let_go)
        return true;
    return batch->slot_at >= class_of(e, batch->spans[batch->span_count - 1].span)->slots;
}

bool
sn_evacuation_may_write(struct sn_evacuation *e, const void *address, size_t bytes)
{
    struct sn_mover *mover = &e->store->mover;
    if (sn_likely(!e->shared))
        return true;
    uint64_t copied = sn_os_shared_bytes(e->pagemap, address, bytes);
    if (copied > 0 && !e->may_copy_all && !sn_mover_may_copy(e->store, copied)) {
        sn_owner_add(&mover->totals.fork_refused_bytes, copied);
        return false;
    }
    sn_owner_add(&mover->fork_copied_bytes, copied);
    sn_owner_add(&mover->totals.fork_copied_bytes, copied);
    return true;
}

/* The word that a slot's header names. */
static bool
may_write_word(struct sn_evacuation *e, uint64_t slot)
{
    uint64_t header = sn_load_relaxed(sn_object_header(e->store, slot));
    /* The headers of what its cells name may lie on any number of pages. */
    if (sn_object_has_cells(e->store, slot, header) && !e->may_copy_all)
        return false;
    return sn_header_is_clear(header) ||
           sn_evacuation_may_write(e, sn_header_reference(header), sizeof(uint64_t));
}

static bool
may_write_slot(struct sn_evacuation *e, uint64_t slot, uint32_t bytes)
{
    return sn_likely(!e->shared) ||
           sn_evacuation_may_write(e, sn_object_header(e->store, slot), bytes);
}

static void
note_refusal(struct sn_evacuation *e, struct sn_evacuee *evacuee, uint64_t slot,
             enum sn_outcome outcome)
{
    if (outcome == SN_NOTHING_THERE)
        return;
    bool lie = outcome == SN_REFUSED_LIE;
    unsigned reason = lie ? (unsigned)HANDLE_REFUSED_DAMAGED : outcome - 1u;
    unsigned class_id = span_of(e, evacuee->span)->class_id;
    sn_owner_add(&e->store->heap.of[class_id].refused[reason], 1);
    sn_owner_add(&e->store->mover.totals.refused[reason], 1);
    sn_probe(2, refused, e->store->name, reason);
    if (outcome != SN_REFUSED_FREED)
        evacuee->refused = true;
    if (lie) {
        evacuee->damaged = true;
        e->damage.lie = slot;
    }
    if (outcome == SN_REFUSED_DAMAGED) {
        if (e->store->hardened)
            sn_hardened_header_report(e->store, slot, 0, NULL);
        evacuee->damaged = true;
        if (e->damage.count < SN_DAMAGED_NOTES)
            e->damage.slot[e->damage.count++] = slot;
    }
}

/* ---- step 1 ---------------------------------------------------------------------------------- */

/* Slots of one span that are marked together. */
struct group {
    uint32_t begin, count;
    uint64_t slot[SN_GROUP_OBJECTS];
};

/* The next slots, from *at on, that were in use when the span was closed; their headers are
 * prefetched. count 0: the span is through. */
static void
next_group(const struct sn_evacuation *e, const struct sn_batch *batch, uint32_t number,
           uint32_t *at, struct group *group)
{
    const struct sn_class *c = class_of(e, number);
    uint64_t first = sn_slot_offset(c, number, 0), slot_bytes = c->slot_bytes;
    uint32_t words = (c->slots + 63) / 64, next = *at, count = 0;
    group->begin = next;
    for (uint32_t word = next / 64; word < words && count < SN_GROUP_OBJECTS; word++) {
        uint64_t left = batch->bits[word] & ~UINT64_C(0) << next % 64;
        for (; left && count < SN_GROUP_OBJECTS; left &= left - 1) {
            next = word * 64 + (uint32_t)__builtin_ctzll(left);
            group->slot[count] = first + next * slot_bytes;
            __builtin_prefetch(sn_object_header(e->store, group->slot[count++]));
            next++;
        }
        if (!left)
            next = (word + 1) * 64;
    }
    *at = next;
    group->count = count;
}

/* The headers of a group have come from memory: prefetches the reference words that they name. */
SN_FORCE_INLINE void
prefetch_words(const struct sn_evacuation *e, const struct group *group)
{
    for (uint32_t i = 0; i < group->count; i++)
        sn_migrate_prefetch(e->store, group->slot[i]);
}

static void
mark_group(struct sn_evacuation *e, struct sn_batch *batch, struct sn_evacuee *evacuee,
           const struct group *group)
{
    const struct sn_span *span = span_of(e, evacuee->span);
    uint32_t begin = batch->move_count;
    sn_rcu_read_lock(e->store->rcu);
    for (uint32_t i = 0; i < group->count; i++) {
        if (sn_unlikely(!has_room(e->store, batch))) {
            evacuee->refused = true; /* what is left of the span is for another batch */
            break;
        }
        if (sn_unlikely(e->shared) && !may_write_word(e, group->slot[i])) {
            evacuee->refused = true;
            continue;
        }
        enum sn_outcome outcome =
            sn_migrate_mark(e->store, span, group->slot[i], &batch->moves[batch->move_count]);
        if (sn_likely(outcome == SN_MOVED))
            batch->move_count++;
        else
            note_refusal(e, evacuee, group->slot[i], outcome);
    }
    sn_rcu_read_unlock(e->store->rcu);
    batch->bytes += (uint64_t)(batch->move_count - begin) * class_of(e, evacuee->span)->slot_bytes;
}

/* Three groups are under way: one is marked, the words of the next and the headers of the one after
 * it come from memory. */
bool
sn_batch_mark(struct sn_evacuation *e, struct sn_batch *batch, uint64_t deadline_ns)
{
    struct sn_evacuee *evacuee = &batch->spans[batch->span_count - 1];
    uint32_t slots = class_of(e, evacuee->span)->slots;
    uint32_t at = batch->slot_at, rounds = 0;
    struct group groups[3], *group = &groups[0], *next = &groups[1], *after = &groups[2];
    next_group(e, batch, evacuee->span, &at, group);
    next_group(e, batch, evacuee->span, &at, next);
    prefetch_words(e, group);
    while (group->count > 0) {
        struct group *done = group;
        next_group(e, batch, evacuee->span, &at, after);
        prefetch_words(e, next);
        mark_group(e, batch, evacuee, group);
        group = next;
        next = after;
        after = done;
        if (batch->move_count == batch->moves_max ||
            (++rounds % CLOCK_GROUPS == 0 && sn_os_now_ns() >= deadline_ns))
            break;
    }
    bool through = group->count == 0 || batch->move_count == batch->moves_max;
    evacuee->refused |= group->count > 0 && through;
    evacuee->moves = batch->move_count;
    batch->slot_at = through ? slots : group->begin;
    return through;
}

/* ---- giving spans up ------------------------------------------------------------------------- */

static void
count_emptied(struct sn_evacuation *e, uint32_t spans, uint64_t bytes)
{
    sn_owner_add(&e->store->mover.totals.spans_emptied, spans);
    sn_owner_add(&e->store->mover.totals.released_bytes, bytes);
}

void
sn_evacuation_reopen(struct sn_evacuation *e, uint32_t number, unsigned flags)
{
    uint64_t bytes = (uint64_t)span_of(e, number)->pages << SN_PAGE_SHIFT;
    if (sn_heap_reopen(&e->store->heap, number, (uint16_t)flags, e->pass))
        count_emptied(e, 1, bytes);
}

static void
open_span(struct sn_evacuation *e, struct sn_evacuee *evacuee, unsigned flags)
{
    evacuee->let_go = true;
    sn_evacuation_reopen(e, evacuee->span, flags | (evacuee->damaged ? SN_SPAN_DAMAGED : 0u));
}

static uint32_t
first_move(const struct sn_batch *batch, uint32_t span_at)
{
    return span_at == 0 ? 0 : batch->spans[span_at - 1].moves;
}

static void
let_go(struct sn_evacuation *e, struct sn_batch *batch, uint32_t span_at)
{
    struct sn_evacuee *evacuee = &batch->spans[span_at];
    uint32_t begin = (uint32_t)sn_max(first_move(batch, span_at), batch->move_at);
    sn_rcu_read_lock(e->store->rcu);
    for (uint32_t at = begin; at < evacuee->moves; at++) {
        if (batch->moves[at].slot != 0)
            sn_migrate_cancel(e->store, &batch->moves[at]);
        batch->moves[at].slot = 0;
    }
    sn_rcu_read_unlock(e->store->rcu);
    open_span(e, evacuee, SN_SPAN_TRIED);
}

/* ---- steps 3 to 5 ---------------------------------------------------------------------------- */

static void
give_back_destinations(struct sn_evacuation *e, struct sn_batch *batch)
{
    if (batch->to_count > 0)
        (void)sn_heap_put_moved(&e->store->heap, batch->to_class, batch->to, batch->to_count);
    batch->to_count = 0;
}

/* A destination that was not used after all. */
static void
return_destination(struct sn_evacuation *e, struct sn_batch *batch, unsigned class_id, uint64_t to)
{
    if (batch->to_class == class_id && batch->to_count < SN_DESTINATIONS)
        batch->to[batch->to_count++] = to;
    else
        (void)sn_heap_put_moved(&e->store->heap, class_id, &to, 1);
}

static void
take_destinations(struct sn_evacuation *e, struct sn_batch *batch, uint32_t number, uint32_t wanted)
{
    uint64_t many = DESTINATION_BYTES / class_of(e, number)->slot_bytes;
    many = sn_min(sn_max(many, wanted), SN_DESTINATIONS - batch->to_count);
    batch->to_count +=
        sn_heap_take_beside(&e->store->heap, number, (uint32_t)many, batch->to + batch->to_count);
}

/* No free slot is left for the objects of a span: opens the batch's last span of that class, on the
 * same side of a walk, so that its free slots serve. False: there is none behind those that are
 * being moved. */
static bool
give_up_last(struct sn_evacuation *e, struct sn_batch *batch, uint32_t number)
{
    const struct sn_heap *heap = &e->store->heap;
    for (uint32_t i = batch->span_count - 1; i > batch->span_at; i--) {
        uint32_t other = batch->spans[i].span;
        if (batch->spans[i].let_go || class_of(e, other) != class_of(e, number) ||
            sn_heap_side(heap, other) != sn_heap_side(heap, number))
            continue;
        let_go(e, batch, i);
        return true;
    }
    return false;
}

/* Fills batch->to with at least `wanted` free slots for the objects of a span, from the fullest
 * open spans; with fewer where there is no room. */
static void
stock_destinations(struct sn_evacuation *e, struct sn_batch *batch, uint32_t number,
                   uint32_t wanted)
{
    unsigned class_id = span_of(e, number)->class_id;
    enum sn_side side = sn_heap_side(&e->store->heap, number);
    if (batch->to_class != class_id || batch->to_side != side)
        give_back_destinations(e, batch);
    batch->to_class = class_id;
    batch->to_side = side;
    if (batch->to_count < wanted)
        take_destinations(e, batch, number, wanted);
    while (sn_unlikely(batch->to_count == 0) && give_up_last(e, batch, number))
        take_destinations(e, batch, number, wanted);
}

/* Objects of one span that are copied and then published together, and where to. */
struct flight {
    struct sn_evacuee *evacuee;
    unsigned class_id;
    uint32_t slot_bytes;
    uint32_t begin, count;               /* in the batch's moves */
    struct sn_copy of[SN_GROUP_OBJECTS]; /* to 0: no room, or it was used or given back */
};

/* The flight that begins with move `at`; count 0: there are no more. */
static void
plan_flight(struct sn_evacuation *e, struct sn_batch *batch, uint32_t at, struct flight *flight)
{
    for (; batch->span_at < batch->span_count; batch->span_at++) {
        const struct sn_evacuee *evacuee = &batch->spans[batch->span_at];
        if (evacuee->moves > at && !evacuee->let_go)
            break;
        at = (uint32_t)sn_max(at, evacuee->moves);
    }
    flight->begin = at;
    flight->count = 0;
    if (at >= batch->move_count)
        return;
    flight->evacuee = &batch->spans[batch->span_at];
    flight->class_id = span_of(e, flight->evacuee->span)->class_id;
    flight->slot_bytes = e->store->classes.of[flight->class_id].slot_bytes;
    uint64_t fit = flight->slot_bytes <= GROUPED_BYTES ? GROUP_BYTES / flight->slot_bytes : 1;
    fit = sn_min(fit, SN_GROUP_OBJECTS);
    flight->count = (uint32_t)sn_min(fit, flight->evacuee->moves - at);
    stock_destinations(e, batch, flight->evacuee->span, flight->count);
    for (uint32_t i = 0; i < flight->count; i++)
        flight->of[i].to = batch->to_count > 0 ? batch->to[--batch->to_count] : 0;
}

static void
cancel_flight(struct sn_evacuation *e, struct sn_batch *batch, const struct flight *flight)
{
    for (uint32_t i = flight->count; i > 0; i--) {
        if (flight->of[i - 1].to)
            return_destination(e, batch, flight->class_id, flight->of[i - 1].to);
    }
}

/* Prefetches the cache lines of a slot; of a long one the first: the processor's own prefetcher
 * goes on from there. */
SN_FORCE_INLINE void
prefetch_slot(const handle_store *store, uint64_t slot, uint64_t slot_bytes, bool to_write)
{
    const char *at = (const char *)sn_object_header(store, slot);
    const char *last = at + sn_min(slot_bytes, PREFETCH_BYTES) - 1;
    for (; at < last; at += 64) {
        if (to_write)
            __builtin_prefetch(at, 1);
        else
            __builtin_prefetch(at);
    }
    if (to_write)
        __builtin_prefetch(last, 1);
    else
        __builtin_prefetch(last);
}

/* Prefetches what the move of object i of a flight will touch. */
SN_FORCE_INLINE void
prefetch_move(const struct sn_evacuation *e, const struct sn_batch *batch,
              const struct flight *flight, uint32_t i)
{
    const struct sn_move *move = &batch->moves[flight->begin + i];
    if (flight->begin + i + SN_GROUP_OBJECTS < batch->move_count)
        __builtin_prefetch(move[SN_GROUP_OBJECTS].reference, 1);
    prefetch_slot(e->store, move->slot, flight->slot_bytes, false);
    if (flight->of[i].to)
        prefetch_slot(e->store, flight->of[i].to, flight->slot_bytes, true);
}

static void
refuse(struct sn_evacuation *e, struct sn_batch *batch, struct flight *flight, uint32_t i,
       enum sn_outcome outcome)
{
    struct sn_move *move = &batch->moves[flight->begin + i];
    note_refusal(e, flight->evacuee, move->slot, outcome);
    move->slot = 0;
    if (flight->of[i].to)
        return_destination(e, batch, flight->class_id, flight->of[i].to);
    flight->of[i].to = 0;
}

/* Steps 3 and 4. */
static void
copy_flight(struct sn_evacuation *e, struct sn_batch *batch, struct flight *flight,
            const struct flight *next)
{
    const struct sn_span *span = span_of(e, flight->evacuee->span);
    for (uint32_t i = 0; i < flight->count; i++) {
        struct sn_move *move = &batch->moves[flight->begin + i];
        enum sn_outcome outcome = SN_REFUSED_NO_ROOM;
        if (i < next->count)
            prefetch_move(e, batch, next, i);
        if (flight->of[i].to && may_write_slot(e, flight->of[i].to, flight->slot_bytes))
            outcome = sn_migrate_copy(e->store, span, move, &flight->of[i]);
        else
            sn_migrate_cancel(e->store, move);
        if (sn_unlikely(outcome != SN_MOVED))
            refuse(e, batch, flight, i, outcome);
    }
    for (uint32_t i = flight->count; i < next->count; i++)
        prefetch_move(e, batch, next, i);
}

static void
count_moves(struct sn_evacuation *e, unsigned class_id, uint64_t objects)
{
    uint64_t bytes = objects * e->store->classes.of[class_id].slot_bytes;
    sn_add_relaxed(&e->store->caches.limbo_bytes, bytes);
    sn_owner_add(&e->store->heap.of[class_id].moved, objects);
    sn_owner_add(&e->store->mover.totals.moved_objects, objects);
    sn_owner_add(&e->store->mover.totals.moved_bytes, bytes);
    sn_probe(4, moved, e->store->name, e->store->classes.of[class_id].slot_bytes, objects, bytes);
}

/* Step 5. */
static void
publish_flight(struct sn_evacuation *e, struct sn_batch *batch, struct flight *flight)
{
    uint32_t moved = 0;
    for (uint32_t i = 0; i < flight->count; i++) {
        if (sn_unlikely(flight->of[i].to == 0))
            continue;
        enum sn_outcome outcome =
            sn_migrate_publish(e->store, &batch->moves[flight->begin + i], &flight->of[i]);
        if (sn_likely(outcome == SN_MOVED)) {
            flight->of[i].to = 0;
            moved++;
        } else {
            refuse(e, batch, flight, i, outcome);
        }
    }
    flight->evacuee->moved += moved;
    count_moves(e, flight->class_id, moved);
}

/*
 * Steps 3 to 5 for a flight, in one section, while the memory of the next is on its way. The CAS of
 * step 5 waits until everything stored before it has reached the cache, and nothing behind it
 * begins meanwhile: after each copy that is a miss waited for; after all copies of a flight the
 * misses were waited for together.
 */
bool
sn_batch_move(struct sn_evacuation *e, struct sn_batch *batch, uint64_t deadline_ns)
{
    struct flight flights[2] = {{.begin = batch->move_at}, {.begin = batch->move_at}};
    struct flight *flight = &flights[0], *next = &flights[1];
    plan_flight(e, batch, batch->move_at, flight);
    for (uint32_t i = 0; i < flight->count; i++)
        prefetch_move(e, batch, flight, i);
    while (flight->count > 0) {
        struct flight *done = flight;
        plan_flight(e, batch, flight->begin + flight->count, next);
        sn_rcu_read_lock(e->store->rcu);
        copy_flight(e, batch, flight, next);
        publish_flight(e, batch, flight);
        sn_rcu_read_unlock(e->store->rcu);
        flight = next;
        next = done;
        if (sn_os_now_ns() >= deadline_ns)
            break;
    }
    batch->move_at = flight->begin;
    cancel_flight(e, batch, flight);
    give_back_destinations(e, batch);
    return batch->move_at == batch->move_count;
}

bool
sn_batch_let_go_span(struct sn_evacuation *e, struct sn_batch *batch, uint32_t number)
{
    for (uint32_t i = 0; i < batch->span_count; i++) {
        if (batch->spans[i].span != number || batch->spans[i].let_go)
            continue;
        let_go(e, batch, i);
        return true;
    }
    return false;
}

void
sn_batch_let_go(struct sn_evacuation *e, struct sn_batch *batch, unsigned class_id)
{
    for (uint32_t i = 0; i < batch->span_count; i++) {
        const struct sn_evacuee *evacuee = &batch->spans[i];
        if (!evacuee->let_go &&
            (class_id == SN_CLASS_NONE || span_of(e, evacuee->span)->class_id == class_id))
            let_go(e, batch, i);
    }
}

/* ---- step 6 ---------------------------------------------------------------------------------- */

/* Gives a span's moved slots back to its bitmap, one by one. */
static void
put_moves(struct sn_evacuation *e, struct sn_batch *batch, uint32_t begin, uint32_t end,
          unsigned class_id)
{
    uint64_t slots[PUT_SLOTS];
    uint32_t count = 0, emptied = 0; /* emptied: only a span that was let go, and is OPEN again */
    for (uint32_t at = begin; at < end; at++) {
        if (batch->moves[at].slot == 0)
            continue;
        if (sn_unlikely(e->store->hardened))
            sn_poison_write(e->store, batch->moves[at].slot);
        slots[count++] = batch->moves[at].slot;
        if (count == PUT_SLOTS) {
            emptied += sn_heap_put_moved(&e->store->heap, class_id, slots, count);
            count = 0;
        }
    }
    if (count > 0)
        emptied += sn_heap_put_moved(&e->store->heap, class_id, slots, count);
    uint64_t span_bytes = (uint64_t)e->store->classes.of[class_id].pages << SN_PAGE_SHIFT;
    count_emptied(e, emptied, emptied * span_bytes);
}

/* Gives a span's moved slots back: all at once if nothing else is left in it, else one by one. */
static void
reclaim_moves(struct sn_evacuation *e, struct sn_batch *batch, const struct sn_evacuee *evacuee,
              uint32_t begin)
{
    if (evacuee->moved == 0)
        return; /* one that was let go may be another's span by now */
    unsigned class_id = span_of(e, evacuee->span)->class_id;
    if (sn_unlikely(e->store->hardened) || /* each slot is poisoned */
        evacuee->let_go || !sn_heap_put_rest(&e->store->heap, evacuee->span, evacuee->moved))
        put_moves(e, batch, begin, evacuee->moves, class_id);
    sn_sub_relaxed(&e->store->caches.limbo_bytes,
                   (uint64_t)evacuee->moved * e->store->classes.of[class_id].slot_bytes);
}

static void
finish_span(struct sn_evacuation *e, struct sn_evacuee *evacuee, uint32_t *draining_spans,
            uint32_t *draining_span_count, uint32_t draining_spans_max)
{
    bool waits = !evacuee->refused && !sn_heap_is_empty(&e->store->heap, evacuee->span);
    if (!waits || *draining_span_count == draining_spans_max) {
        open_span(e, evacuee, evacuee->refused ? SN_SPAN_TRIED : 0u);
        return;
    }
    draining_spans[(*draining_span_count)++] = evacuee->span;
    evacuee->let_go = true;
}

bool
sn_batch_reclaim(struct sn_evacuation *e, struct sn_batch *batch, uint64_t deadline_ns,
                 uint32_t *draining_spans, uint32_t *draining_span_count,
                 uint32_t draining_spans_max)
{
    for (bool in_time = true; batch->span_at < batch->span_count && in_time; batch->span_at++) {
        struct sn_evacuee *evacuee = &batch->spans[batch->span_at];
        uint32_t begin = first_move(batch, batch->span_at);
        sn_hook(SN_HOOK_BEFORE_RECLAIM, sn_store_address(e->store, sn_span_offset(evacuee->span)));
        reclaim_moves(e, batch, evacuee, begin);
        if (!evacuee->let_go)
            finish_span(e, evacuee, draining_spans, draining_span_count, draining_spans_max);
        in_time = sn_os_now_ns() < deadline_ns;
    }
    return batch->span_at == batch->span_count;
}
