/* SPDX-License-Identifier: MIT */
/*
 * check.c - handle_store_check: every invariant of the store's structures, structure by structure.
 * May run beside everything else: what only holds at rest is looked at twice, and counted as a
 * violation only when the second look shows the same.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/hardened.h"
#include "core/report.h"
#include "insight/stats.h"
#include "insight/walk.h"
#include "object/inner.h"
#include "thread/drain.h"

struct check {
    handle_store *store;
    void (*report)(void *opaque, const char *violation);
    void *opaque;
    int violations;
};

__attribute__((format(printf, 2, 3))) static void
violation(struct check *check, const char *format, ...)
{
    char line[SN_ERROR_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    check->violations++;
    SN_NO_CANCELLATION;
    if (check->report)
        check->report(check->opaque, line);
}

/* ---- spans and bitmaps ----------------------------------------------------------------------- */

struct span_defect {
    const char *what;
    uint64_t have, want;
};

static uint32_t
count_free_bits(const struct sn_pool *pool, uint32_t number, uint32_t slots)
{
    uint32_t free = 0;
    for (uint32_t word = 0; word < (slots + 63) / 64; word++)
        free += (uint32_t)__builtin_popcountll(~*sn_span_bits(pool, number, word));
    return free;
}

/* First free slot whose header still names an object, or that was written to since its free (told
 * of hardened stores only); slots when there is none. */
static uint32_t
find_bad_free_slot(const handle_store *store, const struct sn_class *c, uint32_t number,
                   const char **what)
{
    for (uint32_t slot = 0; slot < c->slots; slot++) {
        if (*sn_span_bits(&store->pool, number, slot / 64) >> (slot % 64) & 1)
            continue;
        uint64_t offset = sn_slot_offset(c, number, slot);
        const uint64_t *header = sn_store_address(store, offset - SN_HEADER_BYTES);
        if (!sn_header_is_clear(sn_load_relaxed(header)))
            *what = "free slot whose header names an object";
        else if (store->hardened && !sn_poison_is_whole(store, offset))
            *what = "free slot that was written after its object was freed or moved";
        else
            continue;
        return slot;
    }
    return c->slots;
}

/* The first slot in use on a page that is not committed; slots when there is none. */
static uint32_t
find_uncharged_slot(const struct sn_pool *pool, const struct sn_class *c, uint32_t number)
{
    uint32_t slot = 0;
    for (; slot < c->slots; slot++) {
        uint32_t at = c->lead + slot * c->slot_bytes;
        uint32_t end = ((at + c->slot_bytes - 1) >> SN_PAGE_SHIFT) + 1;
        if ((*sn_span_bits(pool, number, slot / 64) >> (slot % 64) & 1) &&
            sn_pool_missing_pages(pool, number, at >> SN_PAGE_SHIFT, end) > 0)
            break;
    }
    return slot;
}

/* What a span has committed. A trim writes that without the class's lock, in a span that it has
 * detached. */
static struct span_defect
check_pages_locked(const handle_store *store, const struct sn_class *c, uint32_t number)
{
    const struct sn_span *span = &store->pool.spans[number];
    if (sn_span_state(span) == SN_SPAN_DETACHED)
        return (struct span_defect){NULL, 0, 0};
    uint32_t pages = c->pages - sn_pool_missing_pages(&store->pool, number, 0, c->pages);
    if (pages != span->pages)
        return (struct span_defect){"count of committed pages", span->pages, pages};
    uint32_t slot = find_uncharged_slot(&store->pool, c, number);
    return slot < c->slots
               ? (struct span_defect){"slot in use on a page that is not committed", slot, c->slots}
               : (struct span_defect){NULL, 0, 0};
}

/* Under the class's lock, so that nothing is reported from there. */
static struct span_defect
check_span_locked(handle_store *store, const struct sn_class *c, uint32_t number)
{
    const struct sn_span *span = &store->pool.spans[number];
    uint32_t bits = count_free_bits(&store->pool, number, c->slots);
    if (bits != span->free)
        return (struct span_defect){"free count against bitmap", span->free, bits};
    if (span->free == c->slots && sn_span_state(span) == SN_SPAN_OPEN)
        return (struct span_defect){"empty span not in the pool", 0, 0};
    /* Compared without a division: list * slots <= used * SN_FULL < (list + 1) * slots. */
    uint64_t eighths = (uint64_t)(c->slots - span->free) * SN_FULL;
    bool listed = eighths >= (uint64_t)span->list * c->slots &&
                  eighths < ((uint64_t)span->list + 1) * c->slots;
    if (sn_span_state(span) == SN_SPAN_OPEN && !listed)
        return (struct span_defect){"occupancy list", span->list, eighths};
    for (uint32_t word = 0; word < span->hint; word++) {
        if (~*sn_span_bits(&store->pool, number, word) != 0)
            return (struct span_defect){"free slot before the hint", word, span->hint};
    }
    struct span_defect defect = check_pages_locked(store, c, number);
    if (!defect.what)
        defect.have = find_bad_free_slot(store, c, number, &defect.what);
    return defect;
}

static void
check_class(struct check *check, unsigned class_id)
{
    handle_store *store = check->store;
    const struct sn_class *c = &store->classes.of[class_id];
    struct sn_heap_class *hc = &store->heap.of[class_id];
    struct span_defect defect = {NULL, 0, 0};
    uint32_t at = 0;
    uint64_t used = 0, spans = 0;
    if (!sn_heap_class_is_used(&store->heap, class_id))
        return;
    sn_lock(&hc->lock); /* no span joins or leaves the class */
    uint32_t high = sn_load_relaxed(&store->pool.high);
    uint64_t used_said = hc->used[0] + hc->used[1] + (hc->kept != 0);
    uint64_t spans_said = hc->spans[0] + hc->spans[1];
    for (uint32_t number = 1; number < high && !defect.what; number++) {
        if (!sn_heap_is_of_class_locked(&store->heap, number, class_id))
            continue;
        at = number;
        spans++;
        used += c->slots - store->pool.spans[number].free;
        defect = check_span_locked(store, c, number);
    }
    sn_unlock(&hc->lock);
    if (defect.what)
        violation(check, "span %u of class %u: %s: %llu against %llu", at, class_id, defect.what,
                  (unsigned long long)defect.have, (unsigned long long)defect.want);
    else if (used != used_said || spans != spans_said)
        violation(check, "class %u: %llu slots in %llu spans, counters say %llu in %llu", class_id,
                  (unsigned long long)used, (unsigned long long)spans,
                  (unsigned long long)used_said, (unsigned long long)spans_said);
}

/* ---- words against headers ------------------------------------------------------------------- */

/* What is wrong with the slot that a word names; NULL: nothing. */
static const char *
defect_of_word(handle_store *store, const uint64_t *reference, uint64_t word)
{
    uint64_t slot = sn_word_offset(word);
    if (sn_block_of(slot) >= sn_load_relaxed(&store->pool.high))
        return "names memory never used";
    /* Acquire, as the head's: a value of the block's next life comes with the end of R's. */
    unsigned class_id = sn_load_acquire(&store->pool.class_of[sn_block_of(slot)]);
    if (class_id == SN_CLASS_NONE)
        return "names a slot in no span";
    if (class_id < SN_CLASSES_MAX) {
        const struct sn_class *c = &store->classes.of[class_id];
        uint32_t number = sn_span_number(&store->pool, sn_span_at(&store->pool, slot));
        uint64_t first = sn_slot_offset(c, number, 0);
        if (slot < first || (slot - first) % c->slot_bytes != 0 ||
            (slot - first) / c->slot_bytes >= c->slots)
            return "names no slot's beginning";
    }
    const uint64_t *header_word = sn_header_of(&store->pool, slot);
    sn_hook(SN_HOOK_CHECK_HEADER, reference);
    /* Acquire: pairs with the release by which an end overwrites the header; the second look at R
     * then sees its end. */
    uint64_t header = sn_load_acquire(header_word);
    if (!sn_object_is_owned_by(store, slot, header, reference))
        return "names a slot whose header does not name it";
    return NULL;
}

static void
check_word(struct check *check, const uint64_t *reference)
{
    enum { LOOKS = 3 };
    const char *defect = NULL;
    uint64_t word = 0;
    for (int look = 0; look < LOOKS; look++) {
        sn_rcu_read_lock(check->store->rcu);
        word = sn_load_acquire(reference);
        bool whole = sn_word_has_object(word) && !sn_word_is_retired(word);
        defect = whole ? defect_of_word(check->store, reference, word) : NULL;
        bool same = sn_load_acquire(reference) == word;
        sn_rcu_read_unlock(check->store->rcu);
        if (!defect || same)
            break;
    }
    if (defect)
        violation(check, "reference word with tag %#llx and offset %#llx %s",
                  (unsigned long long)sn_word_tag(word), (unsigned long long)sn_word_offset(word),
                  defect);
}

/* Where there are guards, headers are read only while owners are locked out of their caches, so
 * that free_now retires, too: else a header's pages may be inaccessible by then. */
static void
check_table_words(struct check *check)
{
    uint64_t end = (uint64_t)sn_load_relaxed(&check->store->table.high) << SN_PAGE_SHIFT;
    if (check->store->pool.has_guards && !sn_caches_lock_out(&check->store->caches))
        return;
    for (uint64_t at = 0; at < end; at += 8) {
        const uint64_t *reference = sn_table_word(&check->store->table, at);
        if (sn_word_has_object(sn_load_relaxed(reference)))
            check_word(check, reference);
    }
    if (check->store->pool.has_guards)
        sn_caches_let_in(&check->store->caches);
}

struct count {
    handle_store *store;
    uint64_t found;
    uint64_t bad_cells;  /* cells that name what does not name them */
    uint64_t bad_parent; /* a slot that has one */
    uint32_t bad, told;  /* objects written past their end; of which have been reported */
    uint32_t noted;
    struct {
        uint64_t slot;
        size_t size;
    } note[32];
};

/* Whether a slot's header is that of an object that some word names: so it is, too, where another
 * cell is just being given the object, and is filled already (G6). In a section. */
static bool
is_named(const handle_store *store, uint64_t slot, uint64_t header)
{
    return sn_header_has_object(store->secret, header, slot) &&
           sn_word_names_slot(sn_load_acquire(sn_header_reference(header)), slot);
}

/* Whether a cell of a found object names a slot whose header does not name it. One that changes
 * meanwhile, or lies in an object that does, is left alone. */
static bool
is_bad_cell(const handle_store *store, const struct sn_found *found, const uint64_t *cell)
{
    enum { LOOKS = 3 };
    const uint64_t *parent = sn_header_of(&store->pool, found->slot);
    for (int look = 0; look < LOOKS; look++) {
        uint64_t word = sn_load_acquire(cell), slot = sn_word_offset(word);
        if (sn_word_is_freed(word))
            return false;
        uint64_t header = sn_load_acquire(sn_header_of(&store->pool, slot));
        if (sn_object_is_named_by(store, slot, header, cell) || is_named(store, slot, header))
            return false;
        /* A frozen copy's cell stays; its header is clear by then. */
        bool there = sn_header_has_object(store->secret, sn_load_acquire(parent), found->slot);
        if (sn_load_acquire(cell) == word && there)
            return true;
    }
    return false;
}

static void
count_bad_cells(struct count *count, const struct sn_found *found, size_t size)
{
    const handle_store *store = count->store;
    struct handle_cells cells;
    const char *object = sn_store_address(store, found->slot);
    if (!sn_object_has_cells(store, found->slot, found->header) ||
        !sn_inner_ask(store, object, size, &cells))
        return;
    const uint64_t *cell = (const uint64_t *)(const void *)(object + cells.offset);
    for (size_t i = 0; i < cells.count; i++) {
        if (!is_bad_cell(store, found, &cell[i]))
            continue;
        count->bad_cells++;
        count->bad_parent = found->slot;
    }
}

/* Counts, and looks behind each object of a hardened store. Not 0: there is no room for a note. */
static int
count_visit(void *opaque, const struct sn_found *found)
{
    struct count *count = opaque;
    const uint32_t room = sizeof(count->note) / sizeof(count->note[0]);
    handle_store *store = count->store;
    size_t size = sn_object_size(store, found->slot, found->header);
    count->found++;
    count_bad_cells(count, found, size);
    if (!store->hardened || sn_canary_is_whole(store, found->slot, size) ||
        ++count->bad <= count->told)
        return 0;
    if (count->noted == room)
        return 1;
    count->note[count->noted].slot = found->slot;
    count->note[count->noted++].size = size;
    return 0;
}

static void
report_noted(struct check *check, struct count *count)
{
    for (uint32_t i = 0; i < count->noted; i++)
        violation(check, "object at offset %#llx (%zu bytes) was written past its end",
                  (unsigned long long)count->note[i].slot, count->note[i].size);
    count->told += count->noted;
}

/* Result: how many objects there are; `otherwise`, if the walk is not to be had. What is found is
 * reported after the walk, which holds a lock; where that is too much, one more begins. */
static uint64_t
count_objects(struct check *check, uint64_t otherwise)
{
    struct count count = {.store = check->store};
    int result;
    do {
        count.found = count.bad = count.noted = 0;
        count.bad_cells = 0;
        result = sn_walk(check->store, count_visit, &count);
        report_noted(check, &count);
    } while (result > 0);
    if (count.bad_cells > 0)
        violation(check,
                  "%llu cells name objects whose headers do not name them, one of them in "
                  "the object at offset %#llx",
                  (unsigned long long)count.bad_cells, (unsigned long long)count.bad_parent);
    return result == 0 ? count.found : otherwise;
}

/* ---- the table's pages ----------------------------------------------------------------------- */

static void
check_table_page(struct check *check, uint32_t number)
{
    struct sn_table *table = &check->store->table;
    uint32_t free = 0, used = 0;
    bool looped = false;
    sn_lock(&table->lock);
    const struct sn_table_page *page = sn_table_page(table, number);
    bool formatted = page->state != SN_PAGE_FRESH;
    for (uint32_t place = page->free_head; formatted && place != 0 && !looped; free++) {
        uint64_t at = ((uint64_t)number << SN_PAGE_SHIFT) + (uint64_t)(place - 1) * 8;
        uint64_t link = sn_load_relaxed(sn_table_word(table, at)) >> SN_WORD_BITS;
        place = (uint32_t)(link & SN_TABLE_PLACE_MASK);
        looped = free > SN_TABLE_PAGE_ENTRIES;
    }
    used = page->used;
    sn_unlock(&table->lock);
    if (formatted && free + used != SN_TABLE_PAGE_ENTRIES)
        violation(check, "table page %u: %u free and %u used entries", number, free, used);
}

/* ---- the pool -------------------------------------------------------------------------------- */

static void
check_pool(struct check *check)
{
    struct sn_pool *pool = &check->store->pool;
    uint64_t committed = 0;
    uint32_t bad = 0;
    sn_lock(&pool->lock);
    for (uint32_t number = 1; number < pool->high; number++) {
        const struct sn_span *block = &pool->spans[number];
        committed += (uint64_t)sn_block_dirty_pages(block) << SN_PAGE_SHIFT;
        bad = sn_span_state(block) == SN_SPAN_CLEAN && block->dirty != 0 ? number : bad;
    }
    uint64_t said = pool->arena_committed;
    sn_unlock(&pool->lock);
    if (bad)
        violation(check, "block %u begins a clean run and has committed pages", bad);
    if (committed != said)
        violation(check, "pool: blocks add up to %llu committed bytes, the counter says %llu",
                  (unsigned long long)committed, (unsigned long long)said);
}

/* ---- the memory breakdown -------------------------------------------------------------------- */

/* Whether nothing has changed between the two. Refused moves count, too: a slice that moves nothing
 * takes slots, and gives them back. */
static bool
at_rest(const struct handle_stats *a, const struct handle_stats *b)
{
    return memcmp(a->refused, b->refused, sizeof(a->refused)) == 0 && a->allocs == b->allocs &&
           a->frees == b->frees && a->committed == b->committed && a->limbo == b->limbo &&
           a->moved_objects == b->moved_objects && a->thread_cache == b->thread_cache &&
           a->empty_span == b->empty_span && a->objects_reserved == b->objects_reserved;
}

/** Figures that the store counts, and what they add up to. */
struct sums {
    uint64_t free_slot, committed; /* as counted */
    uint64_t in_spans, in_budget;  /* as added up, and charged */
    uint64_t live, found;          /* as counted, and met by a walk */
    bool rest;
};

/* Nobody is inside while they are taken, so that no bin is half changed, and nobody afterwards: all
 * that they count is done, and what begins later changes them, or is seen inside at the second
 * look. */
static void
take_sums(struct check *check, struct sums *sums, bool walks)
{
    handle_store *store = check->store;
    struct handle_stats stats[2];
    sums->rest = sn_stats_fill(store, &stats[0], NULL) == 0 && sn_stats_at_rest(store);
    sn_hook(SN_HOOK_CHECK_SUMS, &store->caches);
    sums->in_spans = sn_stats_count_free(store);
    sn_hook(SN_HOOK_CHECK_SUMS, &store->pool);
    sums->in_budget =
        sn_load_relaxed(&store->budget.committed) - sn_load_relaxed(&store->budget.prepared);
    sums->free_slot = stats[0].free_slot;
    sums->committed = stats[0].committed;
    sums->live = stats[0].objects - stats[0].objects_reserved;
    sums->found = sums->live; /* a visitor cannot walk, its caller does */
    if (walks)
        sums->found = count_objects(check, sums->live);
    sums->rest = sums->rest && sn_stats_fill(store, &stats[1], NULL) == 0 &&
                 sn_stats_at_rest(store) && at_rest(&stats[0], &stats[1]);
}

static bool
sums_are_wrong(const struct sums *sums)
{
    return sums->rest && (sums->free_slot != sums->in_spans || sums->committed != sums->in_budget);
}

/*
 * Only a store at rest shows its sums; otherwise there is nothing to say. A count and what it is a
 * part of change one after the other, now and then outside of what makes a store busy (a page of
 * pins goes back, the mover's batch): what is wrong stays so, and is looked at again.
 */
static void
check_breakdown(struct check *check)
{
    enum { LOOKS = 10, PAUSE_NS = 5000000 };
    struct sums first, sums;
    take_sums(check, &first, true);
    sums = first;
    for (unsigned looks = 1; looks < LOOKS && sums_are_wrong(&sums); looks++) {
        sn_os_sleep_ns(PAUSE_NS);
        take_sums(check, &sums, false);
    }
    if (sums_are_wrong(&sums) && sums.free_slot != sums.in_spans)
        violation(check, "memory breakdown: %llu bytes in free slots, spans add up to %llu",
                  (unsigned long long)sums.free_slot, (unsigned long long)sums.in_spans);
    if (sums_are_wrong(&sums) && sums.committed != sums.in_budget)
        violation(check, "memory breakdown: %llu bytes committed, the budget says %llu",
                  (unsigned long long)sums.committed, (unsigned long long)sums.in_budget);
    if (first.rest && first.found != first.live)
        violation(check, "a walk finds %llu objects, counters say %llu",
                  (unsigned long long)first.found, (unsigned long long)first.live);
}

int
handle_store_check(handle_store *store, void (*report)(void *opaque, const char *violation),
                   void *opaque)
{
    struct check check = {.store = store, .report = report, .opaque = opaque};
    sn_check_call(store, SN_REGISTERED, 0, NULL);
    if (!store)
        return -EINVAL;
    for (unsigned i = 0; i < store->classes.count; i++)
        check_class(&check, i);
    check_table_words(&check);
    for (uint32_t page = 0; page < sn_load_relaxed(&store->table.high); page++)
        check_table_page(&check, page);
    check_pool(&check);
    check_breakdown(&check);
    sn_store_report_no_thread(store);
    return check.violations;
}
