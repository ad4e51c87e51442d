/* SPDX-License-Identifier: MIT */
/*
 * test_handle_table.c - entries and their generations: none is issued twice, not after its page was
 * released, not after its generations are used up; which page gives next; what is charged. The
 * whole of it stands for one sentence: a stale handle never names another object.
 */
#include "unit.h"

#define PAGES   24
#define ENTRIES (uint32_t)(PAGES * SN_TABLE_PAGE_ENTRIES)
#define MOST    (PAGES << (SN_PAGE_SHIFT_MAX - 3)) /* of them, with the largest pages */

struct setup {
    struct sn_table table;
    struct sn_budget budget;
    char *words, *metadata;
    uint64_t at[MOST]; /* what take gave */
};

static struct setup *
make_with(uint64_t random)
{
    struct setup *setup = calloc(1, sizeof(*setup));
    uint64_t bytes = PAGES * SN_PAGE_BYTES;
    assert_non_null(setup);
    setup->words = sn_os_reserve(bytes, SN_PAGE_BYTES);
    setup->metadata = sn_os_reserve(sn_table_groups_bytes(bytes), SN_PAGE_BYTES);
    sn_table_init(&setup->table, setup->words, bytes,
                  setup->metadata + sn_table_groups_bytes(bytes), random, &setup->budget);
    return setup;
}

static void
end_setup(struct setup *setup)
{
    fail_none();
    sn_os_release(setup->words, PAGES * SN_PAGE_BYTES);
    sn_os_release(setup->metadata, sn_table_groups_bytes(PAGES * SN_PAGE_BYTES));
    free(setup);
}

static int
make(void **state)
{
    *state = make_with(UINT64_C(0x123456789abcdef0));
    return 0;
}

static int
end(void **state)
{
    end_setup(*state);
    return 0;
}

#define TABLE_TEST(function) cmocka_unit_test_setup_teardown(function, make, end)

static uint64_t
word_at(const struct setup *setup, uint64_t at)
{
    return *sn_table_word(&setup->table, at);
}

static uint64_t
generation_at(const struct setup *setup, uint64_t at)
{
    return sn_word_generation(word_at(setup, at));
}

static uint64_t
differs(uint64_t word, handle_t handle)
{
    return sn_word_mismatch(word, handle) & HANDLE_MATCH_MASK;
}

/* The word of an object that an entry names: that of a free one, which has its tag. */
static uint64_t
live_word(uint64_t free_word)
{
    return free_word | sn_word_of_offset(4096) | SN_WORD_LIVE;
}

/* Takes entries until there are `count`, or no more. */
static uint32_t
take_many(struct setup *setup, uint64_t *at, uint32_t count)
{
    uint32_t taken = 0;
    while (taken < count) {
        uint32_t got = sn_table_take(&setup->table, at + taken, count - taken);
        if (got == 0)
            break;
        taken += got;
    }
    return taken;
}

/* What alloc and free do to a word; false: the entry is dead now. */
static bool
use_once(struct setup *setup, uint64_t at)
{
    uint64_t *word = sn_table_word(&setup->table, at);
    *word = live_word(*word);
    bool dead = sn_table_is_used_up(&setup->table, *word);
    *word = sn_table_free_word(*word);
    return !dead;
}

/* ---- entries --------------------------------------------------------------------------------- */

static void
test_every_entry_once_but_the_first(void **state)
{
    struct setup *setup = *state;
    static bool seen[MOST];
    memset(seen, 0, sizeof(seen));
    uint32_t taken = take_many(setup, setup->at, ENTRIES);
    assert_int_equal(taken, ENTRIES - 1);
    for (uint32_t i = 0; i < taken; i++) {
        assert_int_equal(setup->at[i] % 8, 0);
        assert_in_range(setup->at[i], 8, ENTRIES * 8 - 8); /* entry 0 is HANDLE_NULL's */
        assert_false(seen[setup->at[i] / 8]);
        seen[setup->at[i] / 8] = true;
        assert_int_equal(generation_at(setup, setup->at[i]), setup->table.first_generation);
        assert_false(sn_word_has_object(word_at(setup, setup->at[i])));
    }
    assert_int_equal(word_at(setup, 0), 0);
    assert_int_equal(sn_table_take(&setup->table, setup->at, 1), 0);
    assert_int_equal(setup->table.high, PAGES);
}

static void
test_words_and_handles(void **state)
{
    struct setup *setup = *state;
    uint64_t at;
    assert_int_equal(sn_table_take(&setup->table, &at, 1), 1);
    uint64_t *word = sn_table_word(&setup->table, at);
    *word = live_word(*word);
    handle_t handle = sn_table_handle(&setup->table, word, *word);
    assert_int_equal(sn_table_at(handle), at);
    assert_int_equal(handle & SN_TAG_MASK, setup->table.first_generation);
    assert_int_equal(sn_table_at(HANDLE_NULL), 0); /* where nothing ever matches */
    assert_true(sn_table_at(UINT64_MAX) >= setup->table.bytes);
    assert_int_equal(differs(*word, handle), 0);
    assert_int_equal(differs(*word | SN_WORD_MOVING, handle), 0);
    assert_true(sn_table_owns(&setup->table, word));
    assert_true(sn_table_owns(&setup->table, sn_table_word(&setup->table, ENTRIES * 8 - 8)));
    assert_false(sn_table_owns(&setup->table, sn_table_word(&setup->table, ENTRIES * 8)));
    assert_false(sn_table_owns(&setup->table, &at));
    assert_true(use_once(setup, at));
    assert_int_equal(sn_table_handle(&setup->table, word, sn_table_ended_word(*word)), handle);
    assert_int_not_equal(differs(*word, handle), 0); /* stale */
    *word = live_word(*word);
    assert_int_not_equal(differs(*word, handle), 0); /* and for ever */
}

static void
test_entries_come_from_the_fullest_page(void **state)
{
    needs_pages_of_4_kib();
    struct setup *setup = *state;
    uint32_t count = take_many(setup, setup->at, 4 * SN_TABLE_PAGE_ENTRIES - 1);
    static const uint32_t freed[4] = {300, 100, 500, 200};
    for (uint32_t i = 0; i < count; i++) {
        uint64_t page = setup->at[i] >> SN_PAGE_SHIFT;
        uint64_t place = setup->at[i] % SN_PAGE_BYTES / 8;
        if (place >= 1 && place <= freed[page])
            sn_table_put(&setup->table, &setup->at[i], 1);
    }
    static const uint32_t order[4] = {1, 3, 0, 2};
    for (unsigned k = 0; k < 4; k++) {
        for (uint32_t i = 0; i < freed[order[k]]; i++) {
            uint64_t at;
            assert_int_equal(sn_table_take(&setup->table, &at, 1), 1);
            assert_int_equal(at >> SN_PAGE_SHIFT, order[k]);
        }
    }
    assert_int_equal(setup->table.high, 4); /* no page was begun while others had room */
}

/* ---- generations ----------------------------------------------------------------------------- */

static void
check_exhaustion(uint64_t random)
{
    struct setup *setup = make_with(random);
    uint64_t at;
    assert_int_equal(sn_table_take(&setup->table, &at, 1), 1);
    assert_int_equal(generation_at(setup, at), random & SN_TAG_MASK);
    /* Every generation but one is used; after the last the entry must not come back. */
    for (uint64_t distance = 1; distance < SN_TAG_MASK; distance++) {
        assert_true(use_once(setup, at));
        if (generation_at(setup, at) != ((random + distance) & SN_TAG_MASK))
            fail_msg("distance %llu", (unsigned long long)distance);
    }
    assert_false(use_once(setup, at));
    assert_false(sn_word_has_object(word_at(setup, at)));
    sn_table_note_dead(&setup->table);
    assert_int_equal(setup->table.dead_entries, 1);
    end_setup(setup);
}

static void
test_generations_are_used_up_once(void **state)
{
    (void)state;
    check_exhaustion(0x800000);
    if (slow_run())
        return;
    check_exhaustion(0);
    check_exhaustion(SN_TAG_MASK);
}

/* A dead entry keeps its page: what would be released knows nothing of it. */
static void
test_dead_entry_keeps_its_page(void **state)
{
    struct setup *setup = *state;
    uint32_t count = take_many(setup, setup->at, 2 * SN_TABLE_PAGE_ENTRIES - 1);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (setup->at[i] == SN_PAGE_BYTES + 80)
            kept++; /* as release_index does with a dead one: nothing */
        else
            sn_table_put(&setup->table, &setup->at[i], 1);
    }
    assert_int_equal(kept, 1);
    assert_int_equal(sn_table_purge(&setup->table, UINT32_MAX), 0); /* page 0 holds entry 0 */
    count = take_many(setup, setup->at, ENTRIES);
    for (uint32_t i = 0; i < count; i++)
        assert_int_not_equal(setup->at[i], SN_PAGE_BYTES + 80);
    assert_int_equal(count, ENTRIES - 2);
}

/* ---- released pages -------------------------------------------------------------------------- */

static void
test_released_page_keeps_its_floor(void **state)
{
    struct setup *setup = *state;
    uint32_t count = take_many(setup, setup->at, 3 * SN_TABLE_PAGE_ENTRIES - 1);
    handle_t stale[5];
    uint64_t lucky = SN_PAGE_BYTES + 8 * 77; /* the most used entry of page 1 */
    for (unsigned i = 0; i < 5; i++) {
        uint64_t word = live_word(word_at(setup, lucky));
        stale[i] = sn_table_handle(&setup->table, sn_table_word(&setup->table, lucky), word);
        assert_true(use_once(setup, lucky));
    }
    for (uint32_t i = 0; i < count; i++) {
        if (setup->at[i] != lucky)
            use_once(setup, setup->at[i]);
    }
    sn_table_put(&setup->table, setup->at, count);
    assert_int_equal(setup->table.empty_pages, 2);
    uint64_t committed = setup->budget.committed;
    assert_int_equal(sn_table_purge(&setup->table, UINT32_MAX), 2 * SN_PAGE_BYTES);
    assert_int_equal(setup->budget.committed, committed - 2 * SN_PAGE_BYTES);
    assert_int_equal(setup->table.committed_bytes, SN_PAGE_BYTES);
    for (uint64_t at = SN_PAGE_BYTES; at < 3 * SN_PAGE_BYTES; at += 8)
        assert_int_equal(word_at(setup, at), 0);
    for (unsigned i = 0; i < 5; i++) /* a reader's look at a page that is gone */
        assert_int_not_equal(differs(word_at(setup, lucky), stale[i]), 0);
    count = take_many(setup, setup->at, 3 * SN_TABLE_PAGE_ENTRIES - 1);
    assert_int_equal(setup->table.high, 3); /* the released pages came first */
    for (uint32_t i = 0; i < count; i++) {
        uint64_t distance =
            (generation_at(setup, setup->at[i]) - setup->table.first_generation) & SN_TAG_MASK;
        assert_true(distance >= (setup->at[i] >> SN_PAGE_SHIFT == 1 ? 5 : 1));
    }
}

/* As so many allocations and frees. False: the entry is dead now. */
static bool
use_often(struct setup *setup, uint64_t at, uint64_t times)
{
    uint64_t *word = sn_table_word(&setup->table, at);
    uint64_t left = (setup->table.last_generation - sn_word_generation(*word)) & SN_TAG_MASK;
    *word = sn_word_of_generation(sn_word_generation(*word) + sn_min(times - 1, left));
    return use_once(setup, at);
}

/* Bursts of one handle, and a purge after each: 64 * 2^24 frees. */
static void
test_bursts_do_not_use_up_pages(void **state)
{
    enum { CACHED = 64, BURSTS = 1024, FREES = 1 << 20 };
    const uint32_t live = (uint32_t)SN_TABLE_PAGE_ENTRIES - 1;
    struct setup *setup = *state;
    uint32_t dead = 0;
    assert_int_equal(take_many(setup, setup->at, live), live); /* page 0 is full */
    for (unsigned burst = 0; burst < BURSTS; burst++) {
        uint32_t count = sn_table_take(&setup->table, setup->at, CACHED);
        assert_int_equal(count, CACHED);
        bool lives = use_often(setup, setup->at[count - 1], FREES);
        dead += !lives;
        sn_table_put(&setup->table, setup->at, lives ? count : count - 1);
        sn_table_purge(&setup->table, UINT32_MAX);
    }
    assert_true(dead <= 64 * 3);
    assert_true(setup->table.high <= 2);
}

/* A page whose entries are used evenly goes back each time. */
static void
test_even_pages_go_back(void **state)
{
    enum { ROUNDS = 3000 };
    struct setup *setup = *state;
    uint32_t count = take_many(setup, setup->at, 2 * SN_TABLE_PAGE_ENTRIES - 1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < count; i++)
            (void)use_often(setup, setup->at[i], 1000 + i % 500);
        sn_table_put(&setup->table, setup->at, count);
        assert_int_equal(sn_table_purge(&setup->table, UINT32_MAX), SN_PAGE_BYTES);
        count = take_many(setup, setup->at, 2 * SN_TABLE_PAGE_ENTRIES - 1);
    }
    assert_int_equal(sn_table_page(&setup->table, 1)->given_up, 0);
}

static void
test_purge_is_bounded(void **state)
{
    struct setup *setup = *state;
    uint32_t count = take_many(setup, setup->at, ENTRIES);
    sn_table_put(&setup->table, setup->at, count);
    assert_int_equal(setup->table.empty_pages, PAGES - 1);
    assert_int_equal(sn_table_purge(&setup->table, 4), 4 * SN_PAGE_BYTES);
    assert_int_equal(setup->table.empty_pages, PAGES - 5);
    /* Empty pages are of use before released ones: they cost no new page. */
    uint64_t released = setup->table.committed_bytes;
    assert_int_equal(take_many(setup, setup->at, (PAGES - 4) * SN_TABLE_PAGE_ENTRIES - 1),
                     (PAGES - 4) * SN_TABLE_PAGE_ENTRIES - 1);
    assert_int_equal(setup->table.committed_bytes, released);
    assert_int_equal(setup->table.empty_pages, 0);
}

static void
test_failing_madvise(void **state)
{
    struct setup *setup = *state;
    uint32_t count = take_many(setup, setup->at, 3 * SN_TABLE_PAGE_ENTRIES - 1);
    sn_table_put(&setup->table, setup->at, count);
    uint64_t committed = setup->budget.committed;
    fail_next(SN_INJECT_MADVISE, 1, 1);
    assert_int_equal(sn_table_purge(&setup->table, UINT32_MAX), SN_PAGE_BYTES);
    assert_int_equal(fail_none(), 1);
    assert_int_equal(setup->table.empty_pages, 1);
    assert_int_equal(setup->budget.committed, committed - SN_PAGE_BYTES);
    assert_int_equal(sn_table_purge(&setup->table, UINT32_MAX), SN_PAGE_BYTES);
    assert_int_equal(take_many(setup, setup->at, ENTRIES), ENTRIES - 1);
}

static void
test_at_the_limit(void **state)
{
    struct setup *setup = *state;
    uint32_t count = take_many(setup, setup->at, 2 * SN_TABLE_PAGE_ENTRIES - 1);
    setup->budget.max_bytes = setup->budget.committed + SN_RESERVE_MIN_BYTES;
    uint64_t at;
    assert_int_equal(sn_table_take(&setup->table, &at, 1), 0);
    assert_int_equal(setup->table.high, 2);
    sn_table_put(&setup->table, setup->at, 1);
    assert_int_equal(sn_table_take(&setup->table, &at, 1), 1);
    assert_int_equal(at, setup->at[0]);
    /* A released page is charged again. */
    sn_table_put(&setup->table, setup->at, count);
    assert_int_equal(sn_table_purge(&setup->table, UINT32_MAX), SN_PAGE_BYTES);
    assert_int_equal(take_many(setup, setup->at, count), count);
    assert_int_equal(setup->budget.committed + SN_RESERVE_MIN_BYTES, setup->budget.max_bytes);
}

/* ---- a random sequence ----------------------------------------------------------------------- */

struct model {
    struct setup *setup;
    uint64_t random;
    uint64_t held[MOST];
    uint32_t held_count;
    uint32_t next_distance[MOST]; /* lowest that may still be issued */
    bool taken[MOST];
};

static void
model_take(struct model *model)
{
    const struct sn_table *table = &model->setup->table;
    uint64_t at[64];
    uint32_t got =
        sn_table_take(&model->setup->table, at, 1 + (uint32_t)random_below(&model->random, 64));
    for (uint32_t i = 0; i < got; i++) {
        uint64_t entry = at[i] / 8;
        uint64_t distance =
            (generation_at(model->setup, at[i]) - table->first_generation) & SN_TAG_MASK;
        assert_false(model->taken[entry]);
        assert_true(distance >= model->next_distance[entry]);
        model->taken[entry] = true;
        model->next_distance[entry] = (uint32_t)distance;
        model->held[model->held_count++] = at[i];
    }
}

static void
model_put(struct model *model)
{
    uint32_t count = (uint32_t)random_below(&model->random, 64);
    for (; count > 0 && model->held_count > 0; count--) {
        uint32_t k = (uint32_t)random_below(&model->random, model->held_count);
        uint64_t at = model->held[k];
        model->taken[at / 8] = false;
        if (random_below(&model->random, 4) != 0) { /* else it was only cached */
            assert_true(use_once(model->setup, at));
            model->next_distance[at / 8]++;
        }
        sn_table_put(&model->setup->table, &at, 1);
        model->held[k] = model->held[--model->held_count];
    }
}

static void
model_sums(const struct model *model)
{
    const struct sn_table *table = &model->setup->table;
    uint32_t used = 0, empty = 0, resident = 0;
    for (uint32_t page = 0; page < table->high; page++) {
        const struct sn_table_page *seen = sn_table_page(table, page);
        used += seen->state == SN_PAGE_FRESH ? 0 : seen->used;
        empty += seen->state == SN_PAGE_EMPTY;
        resident += seen->state != SN_PAGE_FRESH;
    }
    assert_int_equal(used, model->held_count + 1); /* entry 0 counts as used */
    assert_int_equal(empty, table->empty_pages);
    assert_int_equal(resident * SN_PAGE_BYTES, table->committed_bytes);
    assert_int_equal(model->setup->budget.committed,
                     table->committed_bytes + table->metadata_bytes);
}

static void
test_random_sequence(void **state)
{
    static struct model model;
    model = (struct model){.setup = *state, .random = random_seed("test_random_sequence")};
    for (unsigned i = 0; i < scaled(30000); i++) {
        uint64_t dice = random_below(&model.random, 100);
        bool grow = i / 1000 % 2 == 0;
        if (dice < (grow ? 60 : 35))
            model_take(&model);
        else if (dice < 98)
            model_put(&model);
        else
            sn_table_purge(&model.setup->table, (uint32_t)random_below(&model.random, 4));
        if (i % 16 == 0 && model.setup->table.high > 0)
            model_sums(&model);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TABLE_TEST(test_every_entry_once_but_the_first),
        TABLE_TEST(test_words_and_handles),
        TABLE_TEST(test_entries_come_from_the_fullest_page),
        cmocka_unit_test(test_generations_are_used_up_once),
        TABLE_TEST(test_dead_entry_keeps_its_page),
        TABLE_TEST(test_released_page_keeps_its_floor),
        TABLE_TEST(test_bursts_do_not_use_up_pages),
        TABLE_TEST(test_even_pages_go_back),
        TABLE_TEST(test_purge_is_bounded),
        TABLE_TEST(test_failing_madvise),
        TABLE_TEST(test_at_the_limit),
        TABLE_TEST(test_random_sequence),
    };
    return cmocka_run_group_tests_name("handle_table", tests, NULL, NULL);
}
