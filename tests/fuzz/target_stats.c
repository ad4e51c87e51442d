/* SPDX-License-Identifier: MIT */
/*
 * target_stats.c - fuzz target: statistics with any numbers and a store's name of any bytes,
 * printed in each format and read again by strict readers. An input is: length of the name, the
 * name, number of classes, then pairs of a word's place in the struct (two bytes) and its value
 * (eight).
 *
 * Seen failing: a name whose quote is not escaped in JSON. (That the readers say no to what is
 * wrong is shown in tests/unit/test_stats_print.c and tests/api/test_print.c.)
 */
#include "fuzz.h"

#include "exposition.h"
#include "insight/stats_fields.h"
#include "insight/stats_print.h"
#include "json.h"

#define NAME_BYTES   40
#define CLASSES_MOST 6 /* the reader of the exposition format compares every two lines */

struct text {
    char *bytes;
    size_t length, room;
};

static void
append(void *opaque, const char *piece, size_t length)
{
    struct text *text = opaque;
    fuzz_check(length > 0 && length <= SN_PRINT_PIECE_BYTES);
    while (text->length + length + 1 > text->room) {
        text->room = text->room ? 2 * text->room : 1 << 16;
        text->bytes = realloc(text->bytes, text->room);
        fuzz_check(text->bytes != NULL);
    }
    memcpy(text->bytes + text->length, piece, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

/* ---- the input ------------------------------------------------------------------------------- */

/* What the library keeps in order itself: the buckets add up to the count, classes differ. */
static void
put_in_order(struct handle_histogram *histogram)
{
    histogram->count = 0;
    for (unsigned i = 0; i < 24; i++)
        histogram->count += histogram->bucket[i] &= (UINT64_C(1) << 48) - 1;
}

/* The store's figures and, behind them, those of its classes. */
struct figures {
    struct handle_stats store;
    struct handle_class_stats classes[HANDLE_CLASSES_MAX];
};

static void
read_figures(struct source *source, struct figures *figures)
{
    size_t words = offsetof(struct figures, classes[CLASSES_MOST]) / sizeof(uint64_t);
    memset(figures, 0, sizeof(*figures));
    uint32_t classes = take_byte(source) % (CLASSES_MOST + 1);
    while (!source_is_empty(source)) {
        size_t at = take_word(source) % words;
        uint64_t value = 0;
        for (unsigned byte = 0; byte < 8; byte++)
            value |= (uint64_t)take_byte(source) << (8 * byte);
        memcpy((char *)figures + at * sizeof(value), &value, sizeof(value));
    }
    figures->store.struct_size = sizeof(figures->store);
    figures->store.classes = classes;
    for (uint32_t i = 0; i < classes; i++)
        figures->classes[i].object_bytes = 8 * (i + 1);
    put_in_order(&figures->store.slice);
    put_in_order(&figures->store.grace_period);
}

/* ---- the readers ----------------------------------------------------------------------------- */

static bool
is_one_number(const struct field *field)
{
    return field->kind == BYTES || field->kind == BYTES_TOTAL || field->kind == COUNT ||
           field->kind == COUNT_TOTAL || field->kind == NS || field->kind == NS_TOTAL;
}

/* Every plain figure of the store stands in JSON under its name, exactly. */
static void
read_json(const char *text, const struct handle_stats *stats)
{
    size_t at = 0;
    fuzz_check(json_valid(text, &at));
    for (const struct field *field = sn_store_fields; field->name; field++) {
        unsigned long long found = 0;
        uint64_t value;
        if (!is_one_number(field))
            continue;
        memcpy(&value, (const char *)stats + field->offset, sizeof(value));
        fuzz_check(json_number(text, field->name, &found) && found == value);
    }
}

static void
read_exposition(const char *text)
{
    const char *where = text, *fault = exposition_fault(text, &where);
    if (fault)
        fprintf(stderr, "%s: %.*s\n", fault, (int)strcspn(where, "\n"), where);
    fuzz_check(fault == NULL);
}

/* Lines that a terminal can show. */
static void
read_text(const char *text)
{
    for (; *text; text++)
        fuzz_check(*text == '\n' || ((unsigned char)*text >= 0x20 && *text != 0x7f));
}

const uint64_t fuzz_round = 100;

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct figures figures;
    struct source source = {.at = data, .end = data + size};
    char name[NAME_BYTES + 1] = "";
    unsigned length = take_byte(&source) % NAME_BYTES;
    for (unsigned i = 0; i < length; i++)
        name[i] = (char)take_byte(&source);
    read_figures(&source, &figures);
    for (unsigned format = HANDLE_STATS_TEXT; format <= HANDLE_STATS_PROMETHEUS; format++) {
        struct text text = {NULL, 0, 0};
        fuzz_check(sn_stats_print(&figures.store, figures.classes, name,
                                  (enum handle_stats_format)format, append, &text) == 0);
        fuzz_check(strlen(text.bytes) == text.length && text.bytes[text.length - 1] == '\n');
        if (format == HANDLE_STATS_JSON)
            read_json(text.bytes, &figures.store);
        else if (format == HANDLE_STATS_PROMETHEUS)
            read_exposition(text.bytes);
        else
            read_text(text.bytes);
        free(text.bytes);
    }
    fuzz_operations++;
    return 0;
}

void
fuzz_random(uint64_t seed, uint64_t operations)
{
    uint8_t input[4096];
    for (uint64_t i = 0; i < operations; i++) {
        size_t size = random_below(&seed, sizeof(input));
        for (size_t at = 0; at < size; at++)
            input[at] = random_below(&seed, 4) ? (uint8_t)random_next(&seed)
                                               : (uint8_t) "\"\\\n\xff{},"[random_below(&seed, 7)];
        LLVMFuzzerTestOneInput(input, size);
    }
}
