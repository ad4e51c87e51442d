/* SPDX-License-Identifier: MIT */
/* evacuate.c - see evacuate.h. */
#include "evacuate.h"

#include "hardened.h"

/* Objects moved per section: long enough to make entering it cheap, short for grace periods. */
#define SECTION_OBJECTS 16
#define PREFETCH_AHEAD  8
/* Copied between two looks at the clock, which cost half a small move each. */
#define CLOCK_BYTES 960

bool
sn_batch_init(struct sn_batch *batch)
{
    batch->moves = sn_os_zalloc(SN_BATCH_OBJECTS * sizeof(batch->moves[0]));
    return batch->moves != NULL;
}

void
sn_batch_fini(struct sn_batch *batch)
{
    sn_os_free(batch->moves);
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
    sn_heap_copy_bits(&e->store->heap, span, batch->bits);
}

bool
sn_batch_span_is_marked(const struct sn_evacuation *e, const struct sn_batch *batch)
{
    if (batch->span_count == 0)
        return true;
    return batch->slot_at >= class_of(e, batch->spans[batch->span_count - 1].span)->slots;
}

static void
note_refusal(struct sn_evacuation *e, struct sn_evacuee *evacuee, uint64_t slot,
             enum sn_outcome outcome)
{
    if (outcome == SN_NOTHING_THERE)
        return;
    unsigned reason = outcome - 1;
    unsigned class_id = span_of(e, evacuee->span)->class_id;
    sn_owner_add(&e->store->heap.of[class_id].refused[reason], 1);
    sn_owner_add(&e->totals.refused[reason], 1);
    if (outcome != SN_REFUSED_FREED)
        evacuee->refused = true;
    if (outcome == SN_REFUSED_DAMAGED) {
        if (e->store->hardened)
            sn_hardened_header_fault(e->store, slot, 0, NULL);
        evacuee->damaged = true;
        if (e->damage.count < SN_DAMAGED_NOTES)
            e->damage.slot[e->damage.count++] = slot;
    }
}

/* ---- step 1 ---------------------------------------------------------------------------------- */

static void
mark_slot(struct sn_evacuation *e, struct sn_batch *batch, struct sn_evacuee *evacuee,
          uint64_t slot)
{
    struct sn_move *move = &batch->moves[batch->move_count];
    enum sn_outcome outcome = sn_migrate_mark(e->store, slot, move);
    if (outcome == SN_MOVED) {
        batch->move_count++;
        batch->bytes += class_of(e, evacuee->span)->slot_bytes;
    } else {
        note_refusal(e, evacuee, slot, outcome);
    }
}

/* The next slot that was in use when the span was closed; the class's slot count: no more. */
static uint32_t
next_used(const struct sn_batch *batch, uint32_t from, uint32_t slots)
{
    while (from < slots) {
        uint64_t left = batch->bits[from / 64] >> (from % 64);
        if (left)
            return (uint32_t)sn_min(from + (uint32_t)__builtin_ctzll(left), slots);
        from = (from / 64 + 1) * 64;
    }
    return slots;
}

/* The next slots of the span that were in use, and their headers asked for from memory. */
static uint32_t
next_group(const struct sn_evacuation *e, const struct sn_batch *batch, uint32_t number,
           uint32_t *at, uint64_t slots[SECTION_OBJECTS])
{
    const struct sn_class *c = class_of(e, number);
    uint32_t count = 0;
    while (count < SECTION_OBJECTS && *at < c->slots) {
        slots[count] = sn_slot_offset(c, number, *at);
        __builtin_prefetch(sn_store_address(e->store, slots[count++] - SN_HEADER_BYTES));
        *at = next_used(batch, *at + 1, c->slots);
    }
    return count;
}

/* One group, in a section. Its words are asked for first: each would be a miss waited for. */
static void
mark_group(struct sn_evacuation *e, struct sn_batch *batch, struct sn_evacuee *evacuee,
           const uint64_t *slots, uint32_t count)
{
    sn_rcu_read_lock(e->store->rcu);
    for (uint32_t i = 0; i < count; i++)
        sn_migrate_prefetch(e->store, slots[i]);
    for (uint32_t i = 0; i < count; i++) {
        if (batch->move_count < SN_BATCH_OBJECTS)
            mark_slot(e, batch, evacuee, slots[i]);
        else
            evacuee->refused = true; /* it is another batch's */
    }
    sn_rcu_read_unlock(e->store->rcu);
}

bool
sn_batch_mark(struct sn_evacuation *e, struct sn_batch *batch, uint64_t deadline_ns)
{
    struct sn_evacuee *evacuee = &batch->spans[batch->span_count - 1];
    const struct sn_class *c = class_of(e, evacuee->span);
    uint64_t slots[2][SECTION_OBJECTS];
    unsigned now = 0;
    /* slot_at is where the group behind the one in hand begins. */
    uint32_t at = next_used(batch, batch->slot_at, c->slots);
    uint32_t begin = at;
    uint32_t count = next_group(e, batch, evacuee->span, &at, slots[now]);
    while (count > 0) {
        begin = at;
        uint32_t ahead = next_group(e, batch, evacuee->span, &at, slots[now ^ 1]);
        mark_group(e, batch, evacuee, slots[now], count);
        count = ahead;
        now ^= 1;
        if (batch->move_count == SN_BATCH_OBJECTS || sn_os_now_ns() >= deadline_ns)
            break;
    }
    bool through = count == 0 || batch->move_count == SN_BATCH_OBJECTS;
    evacuee->refused |= count > 0 && through;
    evacuee->moves = batch->move_count;
    batch->slot_at = through ? c->slots : begin;
    return through;
}

/* ---- steps 3 to 5 ---------------------------------------------------------------------------- */

static void
give_back_destinations(struct sn_evacuation *e, struct sn_batch *batch)
{
    if (batch->to_count > 0)
        sn_heap_put(&e->store->heap, batch->to_class, batch->to, batch->to_count);
    batch->to_count = 0;
}

/* A free slot of the class, from the fullest open spans. 0: no room. */
static uint64_t
take_destination(struct sn_evacuation *e, struct sn_batch *batch, unsigned class_id)
{
    if (batch->to_count > 0 && batch->to_class != class_id)
        give_back_destinations(e, batch);
    if (batch->to_count == 0) {
        uint64_t wanted = SN_CACHE_CLASS_BYTES * 4 / e->store->classes.of[class_id].slot_bytes;
        batch->to_class = class_id;
        batch->to_count =
            sn_heap_take(&e->store->heap, class_id, SN_MOVABLE, SN_CHARGE_MOVER,
                         (uint32_t)sn_min(sn_max(wanted, 1), SN_DESTINATIONS), batch->to);
    }
    return batch->to_count > 0 ? batch->to[--batch->to_count] : 0;
}

static void
move_one(struct sn_evacuation *e, struct sn_batch *batch, struct sn_evacuee *evacuee)
{
    struct sn_move *move = &batch->moves[batch->move_at++];
    unsigned class_id = span_of(e, evacuee->span)->class_id;
    struct sn_heap_class *hc = &e->store->heap.of[class_id];
    uint64_t slot_bytes = e->store->classes.of[class_id].slot_bytes;
    uint64_t to = take_destination(e, batch, class_id);
    enum sn_outcome outcome = SN_REFUSED_NO_ROOM;
    if (to)
        outcome = sn_migrate_move(e->store, move, to);
    else
        sn_migrate_call_off(e->store, move);
    if (outcome == SN_MOVED) {
        sn_add_relaxed(&e->store->caches.limbo_bytes, slot_bytes);
        sn_owner_add(&hc->moved, 1);
        sn_owner_add(&e->totals.moved_objects, 1);
        sn_owner_add(&e->totals.moved_bytes, slot_bytes);
        return;
    }
    if (to)
        batch->to[batch->to_count++] = to;
    note_refusal(e, evacuee, move->slot, outcome);
    move->slot = 0;
}

static void
prefetch_move(const struct sn_evacuation *e, const struct sn_batch *batch, uint32_t at)
{
    if (at >= batch->move_count)
        return;
    const struct sn_move *move = &batch->moves[at];
    const char *from = sn_store_address(e->store, move->slot - SN_HEADER_BYTES);
    __builtin_prefetch(move->reference, 1);
    for (unsigned line = 0; line < 4; line++) /* from there on the processor sees the pattern */
        __builtin_prefetch(from + (size_t)64 * line);
    if (batch->to_count < PREFETCH_AHEAD)
        return;
    /* The publishing CAS waits until the copy has been written: so its lines are fetched too. */
    uint64_t slot = batch->to[batch->to_count - PREFETCH_AHEAD];
    const char *to = sn_store_address(e->store, slot - SN_HEADER_BYTES);
    for (unsigned line = 0; line < 4; line++)
        __builtin_prefetch(to + (size_t)64 * line, 1);
}

bool
sn_batch_move(struct sn_evacuation *e, struct sn_batch *batch, uint64_t deadline_ns)
{
    bool in_time = true;
    uint64_t copied = 0;
    while (batch->move_at < batch->move_count && in_time) {
        sn_rcu_read_lock(e->store->rcu);
        for (unsigned i = 0; i < SECTION_OBJECTS && batch->move_at < batch->move_count && in_time;
             i++) {
            while (batch->spans[batch->span_at].moves <= batch->move_at)
                batch->span_at++;
            prefetch_move(e, batch, batch->move_at + PREFETCH_AHEAD);
            move_one(e, batch, &batch->spans[batch->span_at]);
            copied += class_of(e, batch->spans[batch->span_at].span)->slot_bytes;
            if (copied >= CLOCK_BYTES) { /* a slice overruns by so many bytes at most */
                in_time = sn_os_now_ns() < deadline_ns;
                copied = 0;
            }
        }
        sn_rcu_read_unlock(e->store->rcu);
        in_time = in_time && sn_os_now_ns() < deadline_ns;
    }
    give_back_destinations(e, batch);
    return batch->move_at == batch->move_count;
}

void
sn_batch_call_off(struct sn_evacuation *e, struct sn_batch *batch)
{
    sn_rcu_read_lock(e->store->rcu);
    for (uint32_t at = batch->move_at; at < batch->move_count; at++) {
        sn_migrate_call_off(e->store, &batch->moves[at]);
        batch->moves[at].slot = 0;
    }
    sn_rcu_read_unlock(e->store->rcu);
    for (uint32_t i = 0; i < batch->span_count; i++)
        batch->spans[i].refused |= batch->spans[i].moves > batch->move_at;
    batch->move_at = batch->move_count;
    give_back_destinations(e, batch);
}

/* ---- step 6 ---------------------------------------------------------------------------------- */

/* Gives a span's moved slots back to its bitmap. */
static void
reclaim_moves(struct sn_evacuation *e, struct sn_batch *batch, uint32_t begin, uint32_t end,
              unsigned class_id)
{
    uint64_t slots[SN_DESTINATIONS];
    uint32_t count = 0;
    uint64_t total = 0;
    for (uint32_t at = begin; at < end; at++) {
        if (batch->moves[at].slot == 0)
            continue;
        if (sn_unlikely(e->store->hardened))
            sn_poison_write(e->store, batch->moves[at].slot);
        slots[count++] = batch->moves[at].slot;
        if (count == SN_DESTINATIONS) {
            sn_heap_put(&e->store->heap, class_id, slots, count);
            total += count;
            count = 0;
        }
    }
    if (count > 0)
        sn_heap_put(&e->store->heap, class_id, slots, count);
    total += count;
    sn_sub_relaxed(&e->store->caches.limbo_bytes,
                   total * e->store->classes.of[class_id].slot_bytes);
}

static void
settle_span(struct sn_evacuation *e, const struct sn_evacuee *evacuee, uint32_t *linger,
            uint32_t *linger_count, uint32_t linger_max)
{
    struct sn_heap *heap = &e->store->heap;
    const struct sn_class *c = class_of(e, evacuee->span);
    bool waits = !evacuee->refused && !sn_heap_is_empty(heap, evacuee->span);
    if (waits && *linger_count < linger_max) {
        linger[(*linger_count)++] = evacuee->span;
        return;
    }
    uint8_t flags = (uint8_t)((evacuee->refused ? SN_SPAN_TRIED : 0) |
                              (evacuee->damaged ? SN_SPAN_DAMAGED : 0));
    if (sn_heap_reopen(heap, evacuee->span, flags, e->pass)) {
        sn_owner_add(&e->totals.spans_emptied, 1);
        sn_owner_add(&e->totals.released_bytes, (uint64_t)c->pages << SN_PAGE_SHIFT);
    }
}

bool
sn_batch_reclaim(struct sn_evacuation *e, struct sn_batch *batch, uint64_t deadline_ns,
                 uint32_t *linger, uint32_t *linger_count, uint32_t linger_max)
{
    for (bool in_time = true; batch->span_at < batch->span_count && in_time; batch->span_at++) {
        const struct sn_evacuee *evacuee = &batch->spans[batch->span_at];
        uint32_t begin = batch->span_at == 0 ? 0 : batch->spans[batch->span_at - 1].moves;
        unsigned class_id = span_of(e, evacuee->span)->class_id;
        sn_hook(SN_HOOK_BEFORE_RECLAIM, sn_store_address(e->store, sn_span_offset(evacuee->span)));
        reclaim_moves(e, batch, begin, evacuee->moves, class_id);
        settle_span(e, evacuee, linger, linger_count, linger_max);
        in_time = sn_os_now_ns() < deadline_ns;
    }
    return batch->span_at == batch->span_count;
}
