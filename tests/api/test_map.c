/* SPDX-License-Identifier: MIT */
/*
 * test_map.c - handle_store_map: what it says of each span against a walk over all objects; slots
 * that wait; and that headers, whose lines are most of what could be read, are left alone where
 * nothing waits.
 */
#include "support.h"

#include <stdio.h>

#define OBJECTS    6000
#define BLOCKS_MAX 4096

static handle_t handles[OBJECTS];

/* ---- the text -------------------------------------------------------------------------------- */

static struct text {
    char of[1 << 21];
    size_t length;
} text;

static void
collect(void *opaque, const char *piece, size_t length)
{
    struct text *to = opaque;
    assert_in_range(length, 1, 4096);
    assert_true(to->length + length < sizeof(to->of));
    memcpy(to->of + to->length, piece, length);
    to->of[to->length += length] = 0;
}

static void
draw(handle_store *store)
{
    text.length = 0;
    assert_int_equal(handle_store_map(store, collect, &text), 0);
    assert_true(text.of[text.length - 1] == '\n');
    static const char begin[] = "{\"format\":\"sinter.map\",\"version\":1,\"store\":\"";
    assert_memory_equal(text.of, begin, sizeof(begin) - 1);
}

/* The number behind a name in a line; 0: it has none. */
static unsigned long
number(const char *line, const char *name)
{
    char key[32];
    const char *end = strchr(line, '\n');
    snprintf(key, sizeof(key), "\"%s\":", name);
    const char *found = strstr(line, key);
    return found && found < end ? strtoul(found + strlen(key), NULL, 10) : 0;
}

static const char *
next_line(const char *line)
{
    return strchr(line, '\n') + 1;
}

static const char *
last_line(void)
{
    return strstr(text.of, "{\"stats\":");
}

/* Sum over all runs. */
static unsigned long
sum(const char *name)
{
    unsigned long of_all = 0;
    for (const char *line = next_line(text.of); line < last_line(); line = next_line(line))
        of_all += number(line, name);
    return of_all;
}

/* ---- against a walk -------------------------------------------------------------------------- */

static struct seen {
    uint64_t arena;
    unsigned in_block[BLOCKS_MAX];
    bool page[BLOCKS_MAX * 16]; /* a live object has bytes in it */
    unsigned large;
} seen;

static int
note(void *opaque, const struct handle_object *object)
{
    (void)opaque;
    uint64_t offset = (uint64_t)(uintptr_t)object->data - seen.arena;
    assert_true(offset >> 16 < BLOCKS_MAX);
    seen.in_block[offset >> 16]++;
    for (uint64_t at = offset; at < offset + object->size; at += 4096)
        seen.page[at >> 12] = true;
    return 0;
}

static void
walk(handle_store *store)
{
    memset(&seen, 0, sizeof(seen));
    memcpy(&seen.arena, (const char *)store + offsetof(struct handle_store_head, arena), 8);
    assert_int_equal(handle_store_each(store, note, NULL), 0);
}

static void
compare_run(const char *line)
{
    unsigned long at = number(line, "at"), blocks = number(line, "blocks");
    const char *pages = strstr(line, "\"pages\":\"") + strlen("\"pages\":\"");
    bool slots = strstr(line, "\"state\":\"slots\"") && number(line, "slots") > 0;
    unsigned live = 0;
    assert_true(at > 0 && at + blocks <= BLOCKS_MAX);
    for (unsigned long block = at; block < at + blocks; block++) {
        live += seen.in_block[block];
        seen.in_block[block] = 0;
    }
    if (slots)
        assert_int_equal(number(line, "live"), live);
    else
        seen.large += live;
    for (unsigned long page = 0; page < blocks * 16; page++) {
        assert_non_null(strchr(".0123456789abcdefw", pages[page]));
        if (seen.page[at * 16 + page])
            assert_true(pages[page] != '.' && pages[page] != '0' && pages[page] != 'w');
    }
    assert_true(pages[blocks * 16] == '"');
}

static void
compare(handle_store *store)
{
    draw(store);
    walk(store);
    unsigned long at = 0;
    for (const char *line = next_line(text.of); line < last_line(); line = next_line(line)) {
        assert_true(number(line, "at") > at);
        at = number(line, "at");
        compare_run(line);
    }
    for (unsigned block = 0; block < BLOCKS_MAX; block++)
        assert_int_equal(seen.in_block[block], 0); /* what lives is in a run of the map */
    assert_int_equal(seen.large, number(last_line(), "objects_large"));
}

/* ---- tests ----------------------------------------------------------------------------------- */

static size_t
size_of(unsigned i)
{
    static const size_t sizes[] = {1, 30, 100, 260, 1000, 5000, 20000};
    return i % 1000 == 999 ? 70000 + 1000 * (size_t)i : sizes[i % 7];
}

static void
populate(handle_store *store)
{
    assert_int_equal(handle_defrag_stop(store), 0);
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_true((handles[i] = handle_alloc(store, size_of(i))) != HANDLE_NULL);
}

/* Three of four objects of some sizes go, and what was in limbo. */
static void
thin_out(handle_store *store)
{
    for (unsigned i = 0; i < OBJECTS; i++)
        if (i % 7 < 5 && i % 4 != 0)
            assert_int_equal(handle_free(store, handles[i]), 0);
    assert_int_equal(handle_store_reclaim(store, SIZE_MAX), 0);
}

static void
map_says_what_lives(void **state)
{
    struct fixture *fixture = *state;
    compare(fixture->store);
    populate(fixture->store);
    compare(fixture->store);
    thin_out(fixture->store);
    compare(fixture->store);
    assert_int_equal(sum("live") + number(last_line(), "objects_large"),
                     number(last_line(), "objects"));
    assert_int_equal(sum("waiting"), 0);
    assert_int_equal(handle_store_map(NULL, collect, &text), -EINVAL);
    assert_int_equal(handle_store_map(fixture->store, NULL, NULL), -EINVAL);
}

static void
map_says_what_waits(void **state)
{
    struct fixture *fixture = *state;
    populate(fixture->store);
    section_enter();
    for (unsigned i = 0; i < 2100; i++)
        if (i % 7 == 2)
            assert_int_equal(handle_free(fixture->store, handles[i]), 0);
    draw(fixture->store);
    section_leave();
    assert_int_equal(sum("waiting"), 300);
    assert_int_equal(sum("live") + number(last_line(), "objects_large"), OBJECTS - 300);
    assert_non_null(strchr(strstr(text.of, "\"waiting\":300"), 'w'));
}

static void
map_says_why(void **state)
{
    struct fixture *fixture = *state;
    populate(fixture->store);
    section_enter();
    const void *pinned = handle_pin(fixture->store, handles[3]);
    assert_true(handle_alloc_object(fixture->store, 100, HANDLE_UNMOVABLE, NULL) != HANDLE_NULL);
    section_leave();
    draw(fixture->store);
    handle_unpin(fixture->store, pinned);
    assert_non_null(strstr(text.of, "\"why\":\"p\""));
    assert_non_null(strstr(text.of, "\"why\":\"u\""));
}

/* A header is cleared behind the library's back: who reads it takes its slot for one that waits. */
static void
map_reads_no_header_in_vain(void **state)
{
    struct fixture *fixture = *state;
    populate(fixture->store);
    thin_out(fixture->store);
    section_enter();
    const char *object = handle_deref(fixture->store, handles[4]);
    uint64_t *header = (uint64_t *)(void *)(uintptr_t)(object - 8);
    uint64_t saved = __atomic_load_n(header, __ATOMIC_RELAXED);
    __atomic_store_n(header, 0, __ATOMIC_RELAXED);
    draw(fixture->store);
    __atomic_store_n(header, saved, __ATOMIC_RELAXED);
    section_leave();
    assert_int_equal(sum("waiting"), 0);
}

int
group_map(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(map_says_what_lives),
        STORE_TEST(map_says_what_waits),
        STORE_TEST(map_says_why),
        STORE_TEST(map_reads_no_header_in_vain),
    };
    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
