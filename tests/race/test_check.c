/* SPDX-License-Identifier: MIT */
/*
 * test_check.c - handle_store_check finds what is wrong: each structure is put out of order behind
 * its back, is named by what it reports, and is put right again. Each case fails when its
 * comparison is taken out of check.c.
 */
#include "race.h"

#include "core/profile.h"

static char said[512];

static struct race *race_of_check;
static pthread_t who_checks;
static int violations_meanwhile, checks_meanwhile;

static void
note_first(void *opaque, const char *violation)
{
    (void)opaque;
    if (!said[0])
        snprintf(said, sizeof(said), "%s", violation);
}

/* `text` is in what is said first. Sums are compared only where nobody is at work, and that may be
 * the grace-period thread, at its housekeeping: then once more. */
static void
finds(struct race *race, const char *text)
{
    int violations = 0;
    said[0] = 0;
    for (unsigned turns = 0; turns < 1000 && violations == 0; turns++)
        violations = handle_store_check(race->store, note_first, NULL);
    if (violations <= 0 || !strstr(said, text))
        fail_msg("%d violations, '%s' instead of '%s'", violations, said, text);
}

static void
finds_nothing(struct race *race)
{
    assert_int_equal(handle_store_check(race->store, print_violation, NULL), 0);
}

#define BREAK(place, value, text)                                                                  \
    do {                                                                                           \
        __typeof__(place) before_ = (place);                                                       \
        (place) = (__typeof__(place))(value);                                                      \
        finds(race, text);                                                                         \
        (place) = before_;                                                                         \
        finds_nothing(race);                                                                       \
    } while (0)

static struct sn_span *
target_span(struct race *race)
{
    return sn_span_at(&race->store->pool, sn_store_offset(race->store, race->from));
}

static void
test_spans(struct race *race)
{
    if (TEST_TSAN)
        skip(); /* behind the back of locks, too */
    struct sn_span *span = target_span(race);
    struct sn_heap_class *hc = &race->store->heap.of[span->class_id];
    uint32_t number = sn_span_number(&race->store->pool, span);
    BREAK(span->free, span->free + 1, "free count against bitmap");
    BREAK(span->list, span->list + 1, "occupancy list");
    BREAK(span->hint, 1, "free slot before the hint");
    BREAK(span->pages, span->pages + 1, "count of committed pages");
    uint16_t dirty = span->dirty, pages = span->pages;
    span->dirty = 0;
    span->pages = 0;
    finds(race, "slot in use on a page that is not committed");
    span->dirty = dirty;
    span->pages = pages;
    BREAK(hc->used[0], hc->used[0] + 1, "counters say");
    BREAK(hc->spans[0], hc->spans[0] + 1, "counters say");
    /* A slot in use is said to be free: sums and bits agree, its header does not. */
    uint64_t *bits = sn_span_bits(&race->store->pool, number, 0);
    uint64_t bit = *bits & -*bits;
    *bits &= ~bit;
    span->free++;
    finds(race, "free slot whose header names an object");
    *bits |= bit;
    span->free--;
    finds_nothing(race);
}

/* A block that belongs to no span any more. */
static uint64_t
hole_offset(struct race *race)
{
    void *object;
    section_enter();
    handle_t large = handle_alloc_object(race->store, 2 * SN_SLOT_MAX_BYTES, 0, &object);
    assert_true(large != HANDLE_NULL);
    uint64_t offset = sn_store_offset(race->store, object);
    assert_int_equal(handle_free_now(race->store, large), 0);
    section_leave();
    return offset;
}

static void
test_words(struct race *race)
{
    if (TEST_TSAN)
        skip(); /* behind the back of locks, too */
    uint64_t *word = thing_reference(race, race->target);
    uint64_t right = *word;
    uint64_t unused = (uint64_t)race->store->pool.high << SN_BLOCK_SHIFT;
    BREAK(*word, sn_word_at(right, unused + 8), "names memory never used");
    BREAK(*word, sn_word_at(right, hole_offset(race) + 8), "names a slot in no span");
    BREAK(*word, sn_word_at(right, sn_word_offset(right) + 8), "names no slot's beginning");
    BREAK(*word, *thing_reference(race, &race->things[5]), "whose header does not name it");
}

static void
test_tables_and_sums(struct race *race)
{
    if (TEST_TSAN)
        skip(); /* behind the back of locks, too */
    uint32_t page = (uint32_t)(sn_table_at(race->target->handle) >> SN_PAGE_SHIFT);
    struct sn_table_page *table_page = sn_table_page(&race->store->table, page);
    struct sn_pool *pool = &race->store->pool;
    table_page->used++; /* a bit-field */
    finds(race, "used entries");
    table_page->used--;
    BREAK(pool->arena_committed, pool->arena_committed + SN_PAGE_BYTES, "the counter says");
    BREAK(race->store->budget.committed, race->store->budget.committed + 1, "the budget says");
    uint64_t *large = &race->store->large.objects;
    BREAK(*large, *large + 1, "a walk finds");
}

static int
check_meanwhile(enum sn_inject_point point)
{
    static _Thread_local bool inside;
    if (point != SN_INJECT_MALLOC || inside || !pthread_equal(pthread_self(), who_checks))
        return 0;
    inside = true;
    violations_meanwhile += handle_store_check(race_of_check->store, print_violation, NULL);
    checks_meanwhile++;
    inside = false;
    return 0;
}

/* A check that comes while the profile's table is being made, charged and not yet counted. Seen
 * failing: "bytes committed, the budget says" more. */
static void
test_profile_begins(struct race *race)
{
    race_of_check = race;
    who_checks = pthread_self(); /* others may hold locks */
    __atomic_store_n(&sn_inject_fn, check_meanwhile, __ATOMIC_RELEASE);
    int result = handle_store_set(race->store, "profile.enabled", "yes");
    __atomic_store_n(&sn_inject_fn, NULL, __ATOMIC_RELEASE);
    assert_int_equal(result, 0);
    assert_true(checks_meanwhile > 0);
    assert_int_equal(violations_meanwhile, 0);
    finds_nothing(race);
}

static uint64_t
slot_of(struct race *race, handle_t handle)
{
    return sn_word_offset(*sn_table_word(&race->store->table, sn_table_at(handle)));
}

static bool
has_record(struct race *race, uint64_t slot)
{
    struct sn_profile_record record[16];
    uint32_t at = 0, count = sn_profile_records(race->store, &at, record, 16);
    assert_true(count < 16);
    while (count > 0 && record[count - 1].slot != slot)
        count--;
    return count > 0;
}

/* An object that the table was thinned of moves to where a record speaks of one that is gone: it
 * is not to speak of this one. Seen failing: it did, half as many objects again in a store that was
 * compacted after its table had been thinned. */
static void
test_record_of_one_that_is_gone(struct race *race)
{
    handle_t handle[3];
    set_option(race->store, "profile.sample_bytes", "64");
    set_option(race->store, "profile.enabled", "yes");
    for (unsigned i = 0; i < 3; i++) /* the first one looks what is in force */
        assert_true((handle[i] = handle_alloc(race->store, THING_BYTES)) != HANDLE_NULL);
    uint64_t gone = slot_of(race, handle[1]), from = slot_of(race, handle[2]);
    assert_true(has_record(race, gone) && has_record(race, from));
    uint64_t draws = sn_profile_draws(race->store);
    sn_profile_moved(race->store, from, slot_of(race, handle[0]), draws, false); /* has none */
    assert_int_equal(handle_free(race->store, handle[1]), 0);
    sn_profile_moved(race->store, from, gone, draws, true);
    assert_false(has_record(race, gone));
    assert_int_equal(handle_free(race->store, handle[0]), 0);
    assert_int_equal(handle_free(race->store, handle[2]), 0);
}

static void
body_check(struct actor *actor)
{
    actor->result = handle_store_check(actor->race->store, print_violation, NULL);
}

/*
 * A slice of the mover begins after the first look at who is inside and ends before the second; in
 * between its destinations count as used. All its objects are written to: it moves nothing, and
 * changes no sum but that of what it was refused. Fails when that is not compared: seen, "bytes in
 * free slots, spans add up to" less.
 */
static void
test_slice_that_moves_nothing(struct race *race)
{
    static const unsigned kept[KEPT] = {5, TARGET, 40, 60};
    struct actor *mover = actor_stands(race, body_compact, SN_HOOK_AFTER_MARK,
                                       thing_address(race, &race->things[60]));
    /* The grace period is over before the checker begins, which is online. */
    struct stage *period = stage_arm(race, SN_HOOK_GP_END, NULL);
    actor_go(mover);
    stage_wait(period);
    struct stage *before = stage_arm(race, SN_HOOK_CHECK_SUMS, &race->store->caches);
    struct actor *checker = actor_start(race, body_check);
    stage_wait(before);
    struct stage *copy =
        stage_arm(race, SN_HOOK_BEFORE_COPY, thing_address(race, &race->things[5]));
    stage_go(period);
    stage_wait(copy); /* destinations are taken */
    for (unsigned i = 0; i < KEPT; i++)
        thing_write(race, &race->things[kept[i]], 1000 + i);
    struct stage *after = stage_arm(race, SN_HOOK_CHECK_SUMS, &race->store->pool);
    stage_go(before);
    stage_wait(after);
    struct stage *next = stage_arm(race, SN_HOOK_GP_START, NULL); /* no other slice follows */
    stage_go(copy);
    stage_wait(next);
    stage_go(after);
    actor_join(checker);
    stage_go(next);
    actor_join(mover);
    assert_int_equal(checker->result, 0);
    assert_int_equal(refused(race, HANDLE_REFUSED_WRITTEN), KEPT);
}

static struct {
    handle_store *store;
    void (*stages)(enum sn_hook_point point, const void *object);
    pthread_t checker;
    unsigned sums;
} between;

/* Before the checker reads the budget for the first time a page has been charged that is not yet
 * counted; before the second time it is. */
static void
on_sums(enum sn_hook_point point, const void *object)
{
    between.stages(point, object);
    if (point != SN_HOOK_CHECK_SUMS || object != &between.store->pool ||
        !pthread_equal(pthread_self(), between.checker))
        return;
    if (++between.sums == 1)
        sn_add_relaxed(&between.store->budget.committed, SN_PAGE_BYTES);
    else if (between.sums == 2)
        sn_sub_relaxed(&between.store->budget.committed, SN_PAGE_BYTES);
}

/* A count and the budget are changed one after the other, now and then by who is inside nothing: a
 * pin takes a page, the mover lets a batch go. Fails when sums that do not agree are not looked at
 * again. */
static void
test_sums_between_two_steps(struct race *race)
{
    between.store = race->store;
    between.stages = sn_hook_fn;
    between.checker = pthread_self();
    between.sums = 0;
    __atomic_store_n(&sn_hook_fn, on_sums, __ATOMIC_RELEASE);
    int violations = handle_store_check(race->store, print_violation, NULL);
    __atomic_store_n(&sn_hook_fn, between.stages, __ATOMIC_RELEASE);
    if (between.sums == 1) /* not at rest, so that nothing was compared */
        sn_sub_relaxed(&race->store->budget.committed, SN_PAGE_BYTES);
    assert_int_equal(violations, 0);
}

static const struct CMUnitTest tests[] = {
    BY_HANDLE(test_spans),
    BY_HANDLE(test_words),
    BY_HANDLE(test_tables_and_sums),
    BY_HANDLE(test_slice_that_moves_nothing),
    BY_HANDLE(test_profile_begins),
    BY_HANDLE(test_record_of_one_that_is_gone),
    BY_HANDLE(test_sums_between_two_steps),
};

RACE_MAIN("check", tests)
