/* SPDX-License-Identifier: MIT */
/*
 * test_secrecy.c - no address of memory is ever printed: whoever reads the logs or the metrics of a
 * program must not learn where anything lies. Every number in every text that a store gives away
 * (errors, statistics in all formats, violations), read as decimal and as hexadecimal, is compared
 * with the mappings of the process.
 *
 * Seen failing: unpin's error line with the address (%p); a store's address as a figure.
 */
#include "support.h"

#include <ctype.h>

#define OBJECTS  400
#define MAPPINGS 4096

struct reader {
    struct {
        uint64_t begin, end;
    } mapping[MAPPINGS];
    unsigned mappings;
    unsigned texts, numbers;
    char number[32]; /* digits gathered so far: a piece of text may end inside of one */
    size_t digits;
};

/* Mappings below 4 GiB (a program at a fixed address) are left out: byte counts are numbers too. */
static void
read_mappings(struct reader *reader)
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    reader->mappings = 0;
    while (fgets(line, sizeof(line), maps) && reader->mappings < MAPPINGS) {
        char *dash;
        uint64_t begin = strtoull(line, &dash, 16);
        if (begin < 4 * GIB || *dash != '-')
            continue;
        reader->mapping[reader->mappings].begin = begin;
        reader->mapping[reader->mappings++].end = strtoull(dash + 1, NULL, 16);
    }
    fclose(maps);
    assert_true(reader->mappings > 3);
}

static bool
is_address(const struct reader *reader, uint64_t value)
{
    for (unsigned i = 0; i < reader->mappings; i++) {
        if (value >= reader->mapping[i].begin && value < reader->mapping[i].end)
            return true;
    }
    return false;
}

/* A number has ended. */
static void
judge(struct reader *reader)
{
    reader->number[reader->digits] = 0;
    if (reader->digits > 0) {
        reader->numbers++;
        if (is_address(reader, strtoull(reader->number, NULL, 10)) ||
            is_address(reader, strtoull(reader->number, NULL, 16)))
            fail_msg("an address is printed: %s", reader->number);
    }
    reader->digits = 0;
}

static void
read_piece(void *opaque, const char *text, size_t length)
{
    struct reader *reader = opaque;
    for (size_t i = 0; i < length; i++) {
        bool digit = isxdigit((unsigned char)text[i]);
        if (!digit || reader->digits == sizeof(reader->number) - 1)
            judge(reader);
        if (digit)
            reader->number[reader->digits++] = text[i];
    }
}

static void
read_line(void *opaque, const char *text)
{
    struct reader *reader = opaque;
    read_piece(reader, text, strlen(text));
    judge(reader);
    reader->texts++;
}

/* Writes one byte behind an object: the check bits of the next one's header. */
static handle_t
damage_one(handle_store *store)
{
    static unsigned char *address[OBJECTS];
    static handle_t handle[OBJECTS];
    const struct handle_class_stats *c = class_stats_of(store);
    while (c->object_bytes < 240)
        c++;
    size_t size = c->object_bytes, slot = c->slot_bytes;
    section_enter();
    for (unsigned i = 0; i < OBJECTS; i++) {
        void *object;
        handle[i] = handle_alloc_object(store, size, 0, &object);
        assert_int_not_equal(handle[i], HANDLE_NULL);
        address[i] = object;
    }
    section_leave();
    for (unsigned i = 0; i < OBJECTS; i++) {
        for (unsigned next = 0; next < OBJECTS; next++) {
            if (address[next] != address[i] + slot)
                continue;
            damage_byte(&address[i][size]);
            return handle[next];
        }
    }
    fail_msg("no two objects lie side by side");
    return HANDLE_NULL;
}

static void
nothing_printed_is_an_address(void **state)
{
    (void)state;
    static struct reader reader;
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    int here;
    memset(&reader, 0, sizeof(reader));
    options.arena_bytes = TEST_ARENA_BYTES;
    options.error = read_line;
    options.opaque = &reader;
    options.defrag.enabled = false;
    handle_store *store = handle_store_create(&options);
    assert_non_null(store);
    read_mappings(&reader);
    assert_true(is_address(&reader, (uintptr_t)store) && is_address(&reader, (uintptr_t)&here));

    handle_t victim = damage_one(store);
    read_mappings(&reader);
    assert_int_equal(handle_store_set(store, "max_bytes", "1"), -EINVAL);
    handle_unpin(store, &here);
    assert_true(handle_store_check(store, read_line, &reader) > 0);
    assert_int_equal(handle_store_compact(store, NULL), 0);
    section_enter();
    assert_int_equal(handle_size(store, victim), 0);
    assert_int_equal(handle_resize(store, victim, 100), -EINVAL);
    assert_int_equal(handle_free(store, victim), 0);
    section_leave();
    (void)take_stats(store);        /* finishes the free: only then it looks at the header */
    assert_true(reader.texts >= 7); /* one for each of the above */
    for (int format = HANDLE_STATS_TEXT; format <= HANDLE_STATS_PROMETHEUS; format++) {
        unsigned before = reader.numbers;
        assert_int_equal(
            handle_store_stats_print(store, (enum handle_stats_format)format, read_piece, &reader),
            0);
        judge(&reader);
        assert_true(reader.numbers > before + 50);
    }
    assert_int_equal(handle_store_destroy(store), 0);
}

int
group_secrecy(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_printed_is_an_address),
    };
    return cmocka_run_group_tests_name("secrecy", tests, NULL, NULL);
}
