/* SPDX-License-Identifier: MIT */
/*
 * look.c - the commands that look at parts of a store: sinter memory, classes, spans, span, ptr,
 * handle, cell, objects, check. A place is a block and a slot of the run that begins there;
 * addresses are printed only where they are asked for.
 */
#include "tools/look.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/reader_layout.h"

/* What a command looks at, and what it was asked for. */
struct look {
    struct reader *reader;
    struct reader_store store;
    const char *name, *class, *page_text; /* options, as text; or NULL */
    bool addresses;
    /* by command */
    uint64_t address, number; /* of what is asked for */
    bool sparse, summarize, by_tag, found;
    uint32_t class_id; /* READER_CLASSES_MAX: all */
    uint64_t page, seen, shown;
    struct {
        uint64_t spans, live, ended, committed, requested, pinned, sparse;
    } of[READER_CLASSES_MAX + 1];
    uint64_t wrong;
};

bool
read_number(const char *text, uint64_t *number)
{
    char *end;
    *number = strtoull(text, &end, 0);
    return end != text && *end == 0;
}

static struct look look_now; /* the program runs one command */

#define COMMON                                                                                     \
    {"--store", NULL, &look_now.name, NULL},                                                       \
    {                                                                                              \
        "--addresses", NULL, NULL, &look_now.addresses                                             \
    }
#define CLASS                                                                                      \
    {                                                                                              \
        "--class", NULL, &look_now.class, NULL                                                     \
    }

/* The class whose slots have so many bytes. */
static bool
find_class(struct look *look)
{
    uint64_t number;
    look->class_id = READER_CLASSES_MAX;
    if (!look->class)
        return true;
    for (uint32_t i = 0; read_number(look->class, &number) && i < look->store.classes; i++)
        if (look->store.of[i].slot_bytes == number)
            look->class_id = i;
    return look->class_id != READER_CLASSES_MAX;
}

static int
open_and_run(struct look *look, const char *target, int (*run)(struct look *look))
{
    const char *error;
    int status = 1;
    look->reader = reader_open(target, &error);
    if (!look->reader || !reader_find(look->reader, look->name, &look->store, &error))
        say("%s", error);
    else if (!find_class(look))
        say("no class has slots of %s bytes: see sinter classes", look->class);
    else
        status = run(look);
    reader_close(look->reader);
    *look = (struct look){0};
    return status;
}

/* A command of a target and, with arguments = 2, a number. */
static int
command(int argc, char **argv, int arguments, const struct option_value *options, const char *usage,
        int (*run)(struct look *look))
{
    if (!take_options(&argc, argv, options))
        return 2;
    if (argc != arguments || (arguments == 2 && !read_number(argv[1], &look_now.number)))
        return misused("%s", usage);
    return open_and_run(&look_now, argv[0], run);
}

/* ---- words ----------------------------------------------------------------------------------- */

static const char *
name_of_class(const struct look *look, const struct reader_run *run)
{
    static char text[64];
    if (run->kind == READER_LARGE)
        return "a large object";
    snprintf(text, sizeof(text), "slots of %" PRIu32 " bytes",
             look->store.of[run->class_id].slot_bytes);
    return text;
}

static void
print_object(const struct look *look, const struct reader_object *object)
{
    printf("%" PRIu64 " bytes", object->size);
    if (object->handle)
        printf(", handle 0x%" PRIx64, object->handle);
    else
        printf(", in a cell, tag %" PRIu64, object->tag);
    if (!object->named)
        fputs(", which does not name it now", stdout);
    if (object->pins)
        printf(", pinned %" PRIu32 " times", object->pins);
    if (look->addresses)
        printf(", at 0x%" PRIx64, object->at);
}

/* ---- memory, classes ------------------------------------------------------------------------- */

static int
sum_run(void *opaque, const struct reader_run *run)
{
    struct look *look = opaque;
    uint32_t i = run->kind == READER_LARGE ? READER_CLASSES_MAX : run->class_id;
    if (run->kind != READER_SLOTS && run->kind != READER_LARGE)
        return 0;
    uint64_t used = run->requested + UINT64_C(8) * run->live;
    if (run->kind == READER_SLOTS)
        used = (uint64_t)(run->live + run->ended) * look->store.of[i].slot_bytes;
    look->of[i].spans++;
    look->of[i].live += run->live;
    look->of[i].ended += run->ended;
    look->of[i].committed += run->committed;
    look->of[i].requested += run->requested;
    look->of[i].pinned += run->pinned;
    look->of[i].sparse += run->committed > used ? run->committed - used : 0;
    return 0;
}

static void
print_class(const struct look *look, const char *name, uint32_t i)
{
    printf("%8s %8" PRIu64 " %10" PRIu64 " %10" PRIu64 " %12s %12s %12s %8" PRIu64 "\n", name,
           look->of[i].spans, look->of[i].live, look->of[i].ended,
           text_of_bytes(look->of[i].requested), text_of_bytes(look->of[i].committed),
           text_of_bytes(look->of[i].sparse), look->of[i].pinned);
}

static int
print_classes(struct look *look)
{
    const char *error;
    if (reader_runs(look->reader, &look->store, READER_EXACT, sum_run, NULL, look, &error) != 0)
        return say("%s", error);
    printf("%8s %8s %10s %10s %12s %12s %12s %8s\n", "slot", "spans", "objects", "waiting",
           "requested", "committed", "free", "pinned");
    for (uint32_t i = 0; i < look->store.classes; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%" PRIu32, look->store.of[i].slot_bytes);
        if (look->of[i].spans > 0)
            print_class(look, name, i);
    }
    if (look->of[READER_CLASSES_MAX].spans > 0)
        print_class(look, "large", READER_CLASSES_MAX);
    return 0;
}

int
command_classes(int argc, char **argv)
{
    const struct option_value options[] = {COMMON, {0}};
    return command(argc, argv, 1, options, "classes: one process or core is needed", print_classes);
}

static int
print_memory(struct look *look)
{
    struct breakdown breakdown;
    const char *error;
    const struct reader_store *store = &look->store;
    if (!map_count(look->reader, store, READER_EXACT, NULL, true, &breakdown, &error))
        return say("%s", error);
    print_store(store, &breakdown.sums);
    printf("compaction: %s; %s moved so far\n", text_of_idle(store->idle),
           text_of_bytes(store->moved_bytes));
    printf("limit: %s; handed over and in limbo: %s; allocations refused: %" PRIu64 "\n",
           store->max_bytes ? text_of_bytes(store->max_bytes) : "none",
           text_of_bytes(store->limbo_bytes), store->failures);
    return print_classes(look);
}

int
command_memory(int argc, char **argv)
{
    const struct option_value options[] = {COMMON, {0}};
    return command(argc, argv, 1, options, "memory: one process or core is needed", print_memory);
}

/* ---- spans ----------------------------------------------------------------------------------- */

static void
print_span(const struct look *look, const struct reader_run *run)
{
    printf("block %" PRIu32 ": %" PRIu32 " %s, %s", run->at, run->blocks,
           run->blocks == 1 ? "block" : "blocks", name_of_class(look, run));
    if (run->kind == READER_SLOTS)
        printf(", %" PRIu32 " objects of %" PRIu32 " slots", run->live, run->slots);
    else
        printf(" of %" PRIu64 " bytes", run->requested);
    if (run->ended)
        printf(", %" PRIu32 " waiting", run->ended);
    printf(", %s committed%s%s%s%s", text_of_bytes(run->committed), run->pinned ? ", pinned" : "",
           run->unmovable ? ", unmovable" : "", run->tried ? ", tried in vain" : "",
           run->damaged ? ", damaged" : "");
    if (look->addresses)
        printf(", at 0x%" PRIx64, look->store.arena + ((uint64_t)run->at << 16));
    putchar('\n');
}

static int
list_span(void *opaque, const struct reader_run *run)
{
    struct look *look = opaque;
    bool slots = run->kind == READER_SLOTS;
    if ((!slots && run->kind != READER_LARGE) ||
        (look->class_id != READER_CLASSES_MAX && (!slots || run->class_id != look->class_id)) ||
        (look->sparse && (!slots || run->live * UINT64_C(2) >= run->slots)))
        return 0;
    print_span(look, run);
    return 0;
}

static int
print_spans(struct look *look)
{
    const char *error;
    if (reader_runs(look->reader, &look->store, READER_EXACT, list_span, NULL, look, &error) != 0)
        return say("%s", error);
    return 0;
}

int
command_spans(int argc, char **argv)
{
    const struct option_value options[] = {
        COMMON, CLASS, {"--sparse", NULL, NULL, &look_now.sparse}, {0}};
    return command(argc, argv, 1, options, "spans: one process or core is needed", print_spans);
}

/* Its slots as a line: "." free, "#" an object, "P" a pinned one, "w" waits. */
static int
draw_span(void *opaque, const struct reader_run *run)
{
    struct look *look = opaque;
    if (run->kind != READER_SLOTS && run->kind != READER_LARGE) {
        printf("block %" PRIu32 ": %" PRIu32 " free %s, %s committed\n", run->at, run->blocks,
               run->blocks == 1 ? "block" : "blocks", text_of_bytes(run->committed));
        return 0;
    }
    print_span(look, run);
    for (uint32_t i = 0; run->kind == READER_SLOTS && i < run->slots; i++) {
        bool live = reader_is_live_slot(run, i), taken = run->bits[i / 64] >> (i % 64) & 1;
        bool pinned = live && run->pinned && reader_pins(look->reader, &look->store, run->at, i);
        if (i % 64 == 0)
            printf("%s%6" PRIu32 "  ", i ? "\n" : "", i);
        putchar(pinned ? 'P' : live ? '#' : taken ? 'w' : '.');
    }
    if (run->kind == READER_SLOTS)
        putchar('\n');
    return 0;
}

/* A number of a block, or an address. */
static uint32_t
block_of(const struct look *look, uint64_t number)
{
    uint64_t offset = number - look->store.arena;
    return (uint32_t)(offset < (uint64_t)look->store.high << 16 ? offset >> 16
                      : number < look->store.high               ? number
                                                                : 0);
}

/* Runs `visit` on the run with the block that is asked for. */
static int
look_at_block(struct look *look, uint32_t block,
              int (*visit)(void *opaque, const struct reader_run *run))
{
    const char *error = NULL;
    if (reader_run_at(look->reader, &look->store, block, visit, look, &error) < 0)
        return say("%s", error);
    return 0;
}

static int
print_one_span(struct look *look)
{
    return look_at_block(look, block_of(look, look->number), draw_span);
}

int
command_span(int argc, char **argv)
{
    const struct option_value options[] = {COMMON, {0}};
    return command(argc, argv, 2, options,
                   "span: a process or core, and a block's number or an address are needed",
                   print_one_span);
}

/* ---- ptr, handle, cell ----------------------------------------------------------------------- */

static void
print_place(const struct look *look, const struct reader_run *run, uint32_t i)
{
    printf("store %s, block %" PRIu32 ", slot %" PRIu32 ", %s", look->store.name, run->at, i,
           name_of_class(look, run));
}

/* What the address look->address lies in. */
static int
explain_address(void *opaque, const struct reader_run *run)
{
    struct look *look = opaque;
    uint64_t inside = look->address - look->store.arena - ((uint64_t)run->at << 16);
    struct reader_object object;
    uint32_t i = 0;
    look->found = true;
    if (run->kind != READER_SLOTS && run->kind != READER_LARGE) {
        printf("store %s, block %" PRIu32 ": a free run\n", look->store.name, run->at);
        return 0;
    }
    if (run->kind == READER_SLOTS) {
        const struct reader_class *c = &look->store.of[run->class_id];
        i = (uint32_t)((inside - c->lead) / c->slot_bytes);
        if (inside < c->lead || i >= run->slots) {
            printf("store %s, block %" PRIu32 ": between slots\n", look->store.name, run->at);
            return 0;
        }
    }
    print_place(look, run, i);
    if (!reader_is_live_slot(run, i)) {
        bool taken = run->kind == READER_LARGE || run->bits[i / 64] >> (i % 64) & 1;
        puts(taken ? ": no object; cached by a thread, or in limbo" : ": a free slot");
        return 0;
    }
    reader_object(look->reader, &look->store, run, i, &object);
    fputs(": an object of ", stdout);
    print_object(look, &object);
    if (look->address < object.at)
        puts("; the address is in its header");
    else if (look->address - object.at > object.size)
        puts("; the address is behind its end");
    else
        printf("; the address is its byte %" PRIu64 "\n", look->address - object.at);
    return 0;
}

static bool
explain_metadata(const struct look *look, uint64_t address)
{
    const struct reader_store *s = &look->store;
    if (address - s->arena < (uint64_t)s->limit << 16)
        printf("store %s: in its arena, never used\n", s->name);
    else if (address - s->table < s->table_bytes)
        printf("store %s: word %" PRIu64 " of its handle table\n", s->name,
               (address - s->table) / 8);
    else if (address - s->lower < s->table - s->lower)
        printf("store %s: its metadata\n", s->name);
    else
        return false;
    return true;
}

/* In the first store that has it. */
static bool
explain_in_store(struct look *look, uint64_t address)
{
    uint64_t offset = address - look->store.arena;
    look->address = address;
    if (offset < (uint64_t)look->store.high << 16 && offset >= 65536)
        look_at_block(look, (uint32_t)(offset >> 16), explain_address);
    return look->found || explain_metadata(look, address);
}

static bool
explain_handle(struct look *look, uint64_t handle)
{
    uint64_t offset, generations;
    if (reader_handle(look->reader, &look->store, handle, &offset, &generations) !=
            READER_HANDLE_LIVE ||
        offset >= (uint64_t)look->store.high << 16)
        return false;
    printf("handle 0x%" PRIx64 " is live: ", handle);
    return explain_in_store(look, look->store.arena + offset);
}

static bool
explain_stale(struct look *look, uint64_t handle)
{
    uint64_t offset, generations;
    if (reader_handle(look->reader, &look->store, handle, &offset, &generations) !=
        READER_HANDLE_STALE)
        return false;
    printf("handle 0x%" PRIx64 " is stale: its object was freed; its entry of store %s is "
           "%" PRIu64 " %s further\n",
           handle, look->store.name, generations, generations == 1 ? "generation" : "generations");
    return true;
}

/* A cell that lies at an address. */
static bool
explain_cell(struct look *look, uint64_t address)
{
    uint64_t word = 0;
    if (!reader_memory(look->reader, address, &word, sizeof(word))) {
        puts("there is no memory");
        return true;
    }
    uint64_t offset = reader_cell_offset(look->reader, word);
    if (offset == 0) {
        puts("the cell is empty");
        return true;
    }
    if (offset >= (uint64_t)look->store.high << 16)
        return false;
    fputs("the cell names: ", stdout);
    return explain_in_store(look, look->store.arena + offset);
}

/* Asks each store in turn. */
static bool
ask_stores(struct look *look, bool (*explain)(struct look *look, uint64_t number))
{
    const char *error = NULL;
    bool found = reader_find(look->reader, look->name, &look->store, &error);
    while (found) {
        look->found = false;
        if (explain(look, look->number))
            return true;
        found = !look->name && reader_next(look->reader, &look->store, &error);
    }
    return false;
}

static int
explain_ptr(struct look *look)
{
    return ask_stores(look, explain_in_store) ? 0 : say("the address lies in no store");
}

static int
explain_any_handle(struct look *look)
{
    bool known = ask_stores(look, explain_handle) || ask_stores(look, explain_stale);
    return known ? 0 : say("no store has issued this handle");
}

static int
explain_any_cell(struct look *look)
{
    return ask_stores(look, explain_cell) ? 0 : say("what lies there is no cell of a store");
}

int
command_ptr(int argc, char **argv)
{
    const struct option_value options[] = {COMMON, {0}};
    return command(argc, argv, 2, options, "ptr: a process or core, and an address are needed",
                   explain_ptr);
}

int
command_handle(int argc, char **argv)
{
    const struct option_value options[] = {COMMON, {0}};
    return command(argc, argv, 2, options, "handle: a process or core, and a handle are needed",
                   explain_any_handle);
}

int
command_cell(int argc, char **argv)
{
    const struct option_value options[] = {COMMON, {0}};
    return command(argc, argv, 2, options,
                   "cell: a process or core, and the address of a cell are needed",
                   explain_any_cell);
}

/* ---- objects --------------------------------------------------------------------------------- */

#define PAGE_OBJECTS 50u

static int
list_objects(void *opaque, const struct reader_run *run)
{
    struct look *look = opaque;
    bool large = run->kind == READER_LARGE;
    if ((!large && run->kind != READER_SLOTS) ||
        (look->class_id != READER_CLASSES_MAX && (large || run->class_id != look->class_id)))
        return 0;
    for (uint32_t i = 0; i < (large ? 1 : run->slots); i++) {
        struct reader_object object;
        if (!reader_is_live_slot(run, i) || (!large && !run->contents) ||
            look->seen++ / PAGE_OBJECTS != look->page)
            continue;
        reader_object(look->reader, &look->store, run, i, &object);
        printf("block %" PRIu32 " slot %" PRIu32 ": ", run->at, i);
        print_object(look, &object);
        putchar('\n');
        look->shown++;
    }
    return look->seen / PAGE_OBJECTS > look->page;
}

/* ---- by tag */

#define TAGS 65536u /* a power of two; of more tags the rest is counted together */

struct tag {
    uint64_t count, bytes;
    uint32_t tag;
};
static struct tag tags[TAGS + 2]; /* the last two: other tags; those that have a handle */

static struct tag *
find_tag(const struct reader_object *object)
{
    if (object->handle)
        return &tags[TAGS + 1];
    uint32_t at = (uint32_t)((object->tag * 2654435769u >> 16) % TAGS);
    for (unsigned tries = 0; tries < 64; tries++, at = (at + 1) % TAGS)
        if (tags[at].count == 0 || tags[at].tag == object->tag)
            return &tags[at];
    return &tags[TAGS];
}

static int
count_tags(void *opaque, const struct reader_run *run)
{
    struct look *look = opaque;
    bool large = run->kind == READER_LARGE;
    for (uint32_t i = 0; i < (large ? 1 : run->contents ? run->slots : 0); i++) {
        struct reader_object object;
        if (!reader_is_live_slot(run, i))
            continue;
        reader_object(look->reader, &look->store, run, i, &object);
        struct tag *tag = find_tag(&object);
        tag->tag = (uint32_t)object.tag;
        tag->count++;
        tag->bytes += object.size;
    }
    return 0;
}

static int
by_bytes(const void *a, const void *b)
{
    const struct tag *x = a, *y = b;
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

static void
print_tag(const char *name, const struct tag *tag)
{
    if (tag->count > 0)
        printf("  %-12s %10" PRIu64 " %12s\n", name, tag->count, text_of_bytes(tag->bytes));
}

static int
print_tags(struct look *look)
{
    enum { SHOWN = 50 };
    const char *error;
    char name[16];
    if (reader_runs(look->reader, &look->store, READER_EXACT, count_tags, NULL, look, &error) < 0)
        return say("%s", error);
    qsort(tags, TAGS, sizeof(tags[0]), by_bytes);
    printf("store %s: of cells by tag\n  tag             objects        bytes\n", look->store.name);
    for (unsigned i = 0; i < SHOWN; i++) {
        snprintf(name, sizeof(name), "%" PRIu32, tags[i].tag);
        print_tag(name, &tags[i]);
    }
    for (unsigned i = SHOWN; i < TAGS; i++) {
        tags[TAGS].count += tags[i].count;
        tags[TAGS].bytes += tags[i].bytes;
    }
    print_tag("other tags", &tags[TAGS]);
    print_tag("handles", &tags[TAGS + 1]);
    return 0;
}

static int
print_objects(struct look *look)
{
    const char *error;
    if (look->by_tag)
        return print_tags(look);
    if (look->summarize)
        return print_classes(look);
    if (look->page_text && !read_number(look->page_text, &look->page))
        return misused("objects: --page needs a number");
    int result =
        reader_runs(look->reader, &look->store, READER_EXACT, list_objects, NULL, look, &error);
    if (result < 0)
        return say("%s", error);
    if (look->shown == 0)
        return say("there is no such page");
    if (result > 0)
        printf("more: --page %" PRIu64 "\n", look->page + 1);
    return 0;
}

int
command_objects(int argc, char **argv)
{
    const struct option_value options[] = {COMMON,
                                           CLASS,
                                           {"--page", NULL, &look_now.page_text, NULL},
                                           {"--summarize", NULL, NULL, &look_now.summarize},
                                           {"--by-tag", NULL, NULL, &look_now.by_tag},
                                           {0}};
    return command(argc, argv, 1, options, "objects: one process or core is needed", print_objects);
}

/* ---- check ----------------------------------------------------------------------------------- */

static void
tell_wrong(void *opaque, const char *sentence)
{
    struct look *look = opaque;
    if (look->wrong++ < 20)
        printf("%s\n", sentence);
}

static void
tell_wrong_slot(struct look *look, const struct reader_run *run, uint32_t i, const char *what)
{
    char sentence[160];
    snprintf(sentence, sizeof(sentence), "block %" PRIu32 " slot %" PRIu32 ": %s", run->at, i,
             what);
    tell_wrong(look, sentence);
}

/* What is behind a whole one was not written to. Of a process the object is looked at again: it may
 * have been freed, or moved, since its run was read. */
static void
check_object(struct look *look, const struct reader_run *run, uint32_t i)
{
    struct reader_object object, again;
    reader_object(look->reader, &look->store, run, i, &object);
    look->seen++;
    look->shown += !object.named;
    if (reader_canary_is_whole(look->reader, &look->store, &object))
        return;
    reader_object(look->reader, &look->store, run, i, &again);
    if (again.named)
        tell_wrong_slot(look, run, i, "something was written past its object's end");
}

/* A slot that is taken and has no object has a clear header; an object's header names a word that
 * names it, but for those that are moved, or change their name, just now. */
static int
check_run(void *opaque, const struct reader_run *run)
{
    struct look *look = opaque;
    bool large = run->kind == READER_LARGE;
    for (uint32_t i = 0; i < (large ? run->live : run->contents ? run->slots : 0); i++) {
        if (reader_is_live_slot(run, i))
            check_object(look, run, i);
        else if (!large && run->waits[i / 64] >> (i % 64) & 1 &&
                 !reader_is_clear(look->reader, &look->store, run, i))
            tell_wrong_slot(look, run, i, "its header word is damaged");
    }
    return 0;
}

/* Every entry of the table that has an object names a live one. */
static void
check_table(struct look *look)
{
    uint64_t words[512], dangling = 0;
    for (uint64_t i = 0; i < look->store.entries; i += 512) {
        if (!reader_memory(look->reader, look->store.table + i * 8, words, sizeof(words)))
            continue;
        for (unsigned k = 0; k < 512; k++) {
            uint64_t offset = reader_cell_offset(look->reader, words[k]);
            dangling += offset != 0 && offset >= (uint64_t)look->store.high << 16;
        }
    }
    char sentence[96];
    snprintf(sentence, sizeof(sentence), "%" PRIu64 " entries of the table name nothing", dangling);
    if (dangling)
        tell_wrong(look, sentence);
}

static int
print_check(struct look *look)
{
    const char *error;
    if (reader_runs(look->reader, &look->store, READER_EXACT, check_run, tell_wrong, look, &error) <
        0)
        return say("%s", error);
    check_table(look);
    printf("store %s: %" PRIu64 " objects, ", look->store.name, look->seen);
    if (look->shown)
        printf("%" PRIu64 " of them not named now (being moved or freed; else damage), ",
               look->shown);
    printf("%" PRIu64 " damaged\n", look->wrong);
    return look->wrong > 0;
}

int
command_check(int argc, char **argv)
{
    const struct option_value options[] = {COMMON, {0}};
    return command(argc, argv, 1, options, "check: one process or core is needed", print_check);
}
