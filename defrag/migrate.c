/* SPDX-License-Identifier: MIT */
/* migrate.c - see migrate.h. */
#include "defrag/migrate.h"

#include <string.h>

#include "base/probes.h"
#include "core/hardened.h"
#include "core/profile.h"

/*
 * Copies an object whose writers may cancel the move and write while we read: what we copied is
 * then thrown away, since publish fails (G3). The race is by design; TSan is told so.
 */
#if SN_TSAN
__attribute__((no_sanitize("thread"), noinline)) static void
copy_object(void *to, const void *from, size_t bytes)
{
    volatile uint64_t *t = to;
    const volatile uint64_t *f = from;
    for (size_t i = 0; i < bytes / 8; i++)
        t[i] = f[i];
}
#else
static void
copy_object(void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
}
#endif

/* Whether S's header names R now; *header gets it. */
static bool
still_named(handle_store *store, uint64_t slot, const uint64_t *reference, uint64_t *header)
{
    *header = sn_load_acquire(sn_object_header(store, slot));
    return sn_object_is_owned_by(store, slot, *header, reference);
}

/* Whether the slot is pinned; few spans have any pin. */
static bool
is_pinned(handle_store *store, const struct sn_span *span, uint64_t slot)
{
    return sn_unlikely(sn_pins_any(span)) && sn_object_pins(store, slot) != 0;
}

enum sn_outcome
sn_migrate_mark(handle_store *store, const struct sn_span *span, uint64_t slot,
                struct sn_move *move)
{
    /* Acquire: pairs with the release in sn_object_set_owner; R's memory is seen as it was made. */
    uint64_t header = sn_load_acquire(sn_object_header(store, slot));
    if (sn_header_is_clear(header))
        return SN_NOTHING_THERE;
    if (sn_unlikely(!sn_header_is_sound(store->secret, header, slot)))
        return SN_REFUSED_DAMAGED;
    uint64_t *reference = sn_header_reference(header);
    /* Relaxed: only compared and CASed; contents are read after the grace period. */
    uint64_t word = sn_load_relaxed(reference);
    if ((word & SN_WORD_STATE) != SN_WORD_LIVE || sn_word_offset(word) != slot)
        return SN_NOTHING_THERE; /* being made or ended just now */
    if (sn_unlikely(word & SN_WORD_SPECIAL) && !sn_object_has_cells(store, slot, header))
        return SN_REFUSED_UNMOVABLE;
    if (sn_unlikely(is_pinned(store, span, slot)))
        return SN_REFUSED_PINNED;
    if (!sn_cas_acq_rel(reference, &word, sn_word_as_moving(word)))
        return SN_NOTHING_THERE;
    *move = (struct sn_move){.reference = reference, .slot = slot};
    sn_hook(SN_HOOK_AFTER_MARK, sn_store_address(store, slot));
    return SN_MOVED;
}

void
sn_migrate_cancel(handle_store *store, const struct sn_move *move)
{
    uint64_t header;
    if (!still_named(store, move->slot, move->reference, &header))
        return;
    uint64_t word = sn_load_relaxed(move->reference);
    while (sn_word_is_moving(word) && sn_word_offset(word) == move->slot) {
        if (sn_cas_acq_rel(move->reference, &word, sn_object_as_live(store, word)))
            return;
    }
}

/* Step 3. On success *word is (MOVING, S) and *header names R. */
static enum sn_outcome
check(handle_store *store, const struct sn_span *span, const struct sn_move *move, uint64_t *word,
      uint64_t *header)
{
    if (!still_named(store, move->slot, move->reference, header)) {
        /* Without touching R: its memory may be gone. Another cell names it: turned, relocated. */
        bool there = sn_header_has_object(store->secret, *header, move->slot);
        return there ? SN_REFUSED_WRITTEN : SN_REFUSED_FREED;
    }
    /* Acquire: pairs with the release of whoever wrote the object under this word. */
    *word = sn_load_acquire(move->reference);
    if (!sn_word_is_moving(*word) || sn_word_offset(*word) != move->slot)
        return sn_word_is_freed(*word) ? SN_REFUSED_FREED : SN_REFUSED_WRITTEN;
    /* A pinner that saw LIVE raised the count in a section that step 2 waited for; one that saw
     * MOVING cancelled the move. */
    if (sn_unlikely(is_pinned(store, span, move->slot))) {
        sn_migrate_cancel(store, move);
        return SN_REFUSED_PINNED;
    }
    return SN_MOVED;
}

/* What became of R between step 3 and publish. */
static enum sn_outcome
why_not(const handle_store *store, const struct sn_move *move, uint64_t expected, uint64_t seen)
{
    bool freed = sn_word_is_freed(seen);
    if (sn_table_owns(&store->table, move->reference))
        freed = freed || sn_word_tag(seen) != sn_word_tag(expected); /* issued again */
    return freed ? SN_REFUSED_FREED : SN_REFUSED_WRITTEN;
}

/* A copy that will not be published: its slot is free as before. */
static void
throw_away(handle_store *store, uint64_t to)
{
    sn_store_release(sn_object_header(store, to), 0);
    if (sn_unlikely(store->hardened))
        sn_poison_write(store, to);
}

/* What a parent's copy needs. The bytes that the option looks at are the copy's, which nobody
 * writes: so it answers of what will be published. What it saw may be torn, if a writer was at it:
 * then the move is cancelled. */
static enum sn_outcome
copy_cells(handle_store *store, const struct sn_move *move, size_t size, struct sn_copy *copy)
{
    copy->special = SN_WORD_SPECIAL;
    if (sn_likely(sn_inner_ask(store, sn_store_address(store, copy->to), size, &copy->cells))) {
        sn_inner_carry(store, move->slot, copy->to, &copy->cells);
        return SN_MOVED;
    }
    bool moving = sn_load_acquire(move->reference) == copy->word;
    throw_away(store, copy->to);
    sn_migrate_cancel(store, move);
    return moving ? SN_REFUSED_LIE : SN_REFUSED_WRITTEN;
}

enum sn_outcome
sn_migrate_copy(handle_store *store, const struct sn_span *span, const struct sn_move *move,
                struct sn_copy *copy)
{
    uint64_t header, to = copy->to;
    void *source = sn_store_address(store, move->slot);
    enum sn_outcome outcome = check(store, span, move, &copy->word, &header);
    if (outcome != SN_MOVED)
        return outcome;
    sn_hook(SN_HOOK_BEFORE_COPY, source);
    size_t largest = sn_class_max_size(&store->classes, span->class_id);
    size_t slack = sn_header_slack(header, largest);
    if (sn_unlikely(slack > largest)) { /* damaged, and passed the check by chance */
        sn_migrate_cancel(store, move);
        return SN_REFUSED_DAMAGED;
    }
    size_t size = largest - slack;
    if (sn_unlikely(store->hardened)) {
        sn_canary_check(store, move->slot, size, move->reference);
        sn_poison_check(store, to);
    }
    copy_object(sn_store_address(store, to), source, sn_round_up(size + store->classes.extra, 8));
    if (sn_unlikely(store->hardened))
        sn_canary_write(store, to, size); /* each slot has its own */
    uint64_t made = sn_header_make(store->secret, move->reference, sn_header_size(header), to);
    uint64_t marks = sn_header_marks(store->secret, header, move->slot);
    copy->special = 0;
    if (sn_unlikely(sn_marks_cells(marks))) {
        outcome = copy_cells(store, move, size, copy);
        if (outcome != SN_MOVED)
            return outcome;
    }
    /* Release: as in sn_object_set_owner; the checker may follow it. */
    sn_store_release(sn_object_header(store, to), sn_header_with_mark(made, marks));
    sn_hook(SN_HOOK_AFTER_COPY, source);
    return SN_MOVED;
}

enum sn_outcome
sn_migrate_publish(handle_store *store, const struct sn_move *move, const struct sn_copy *copy)
{
    uint64_t to = copy->to;
    sn_hook(SN_HOOK_BEFORE_PUBLISH, sn_store_address(store, move->slot));
    uint64_t seen = copy->word;
    /* As it was in step 3, or, if the object ended since, clear. */
    uint64_t header = sn_load_relaxed(sn_object_header(store, move->slot));
    bool drawn = !sn_header_is_clear(header) &&
                 sn_unlikely(sn_marks_sampled(sn_header_marks(store->secret, header, move->slot)));
    uint64_t draws = drawn ? sn_profile_draws(store) : 0;
    /* Release: orders contents and header of D before the word; pairs with deref's acquire. A
     * cancel, a free or a replacement since step 3 makes it fail. */
    if (!sn_cas_acq_rel(move->reference, &seen, sn_word_at(copy->word, to) | copy->special)) {
        throw_away(store, to);
        return why_not(store, move, copy->word, seen);
    }
    if (drawn)
        sn_profile_moved(store, move->slot, to, draws, true);
    /* S names nobody from here on; readers that found it keep it until the GP of step 6. Release:
     * whoever finds the header clear also finds R changed. */
    sn_store_release(sn_object_header(store, move->slot), 0);
    if (sn_unlikely(copy->special))
        sn_inner_turn(store, move->slot, to, &copy->cells, false);
    sn_probe(3, move, store->name, move->slot, to);
    sn_hook(SN_HOOK_AFTER_PUBLISH, sn_store_address(store, move->slot));
    return SN_MOVED;
}
