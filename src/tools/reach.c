/* SPDX-License-Identifier: MIT */
/*
 * reach.c - sinter reach: which objects anybody can still name. From registers, stacks, statics and
 * the rest of the memory on, objects are reached by a handle that is live, by their address, by a
 * cell that their header names, or since they are pinned; then what lies in these; the rest is
 * leaked. And sinter find: who names one object.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/heaps.h"
#include "tools/look.h"

#define DUE_MAX 65536u

/* Objects of one kind. */
struct tally {
    uint64_t objects, bytes;
};
enum { LEAKED, MAYBE, REACHED, HELD, TALLIES };

struct reach {
    struct heaps heaps;
    struct process process;
    unsigned cap;                  /* what is found now counts at most as that */
    const struct heap_place *from; /* the object that is looked at */
    /* Objects whose contents are due: as many as there is room for; of more, marks alone. */
    uint64_t due[DUE_MAX];
    size_t count;
    bool overflowed;
    /* the report */
    struct heap *heap;
    struct tally all[TALLIES], of[READER_CLASSES_MAX][TALLIES];
    uint64_t free_slots, free_bytes, ended_slots, ended_bytes, cached_slots, cached_bytes;
    unsigned long list;
    bool addresses;
};

/* ---- who is reached -------------------------------------------------------------------------- */

static void
note(struct reach *reach, const struct heap_place *place, unsigned level)
{
    unsigned mark = heaps_mark(place->heap, place->mark);
    if (mark == MARK_NONE || (mark & MARK_LEVEL) >= level)
        return;
    heaps_set_mark(place->heap, place->mark, level | MARK_DUE | (mark & MARK_HELD));
    if (reach->count < DUE_MAX)
        reach->due[reach->count++] = place->begin;
    else
        reach->overflowed = true;
}

static void
look_at(void *opaque, uint64_t address, const uint64_t *words, size_t count, int lwp)
{
    struct reach *reach = opaque;
    struct heap_place place;
    (void)lwp;
    for (size_t i = 0; (i = heaps_next(&reach->heaps, words, i, count)) < count; i++) {
        unsigned level =
            heaps_resolve(&reach->heaps, address ? address + 8 * i : 0, words[i], &place);
        if (level)
            note(reach, &place, level < reach->cap ? level : reach->cap);
    }
}

static void
look_into(struct reach *reach, const struct heap_place *place)
{
    unsigned mark = heaps_mark(place->heap, place->mark);
    if (!(mark & MARK_DUE))
        return;
    heaps_set_mark(place->heap, place->mark, mark & ~(unsigned)MARK_DUE);
    reach->cap = mark & MARK_LEVEL;
    heaps_contents(&reach->heaps, place, look_at, reach);
}

static void
empty_list(struct reach *reach)
{
    struct heap_place place;
    while (reach->count > 0)
        if (heaps_place(&reach->heaps, reach->due[--reach->count], &place))
            look_into(reach, &place);
}

/* Every object of a store. */
static void
each(struct reach *reach, struct heap *heap,
     void (*visit)(struct reach *reach, const struct heap_place *place))
{
    const struct reader_store *store = &heap->store;
    for (uint32_t run = 1; run < store->high; run++) {
        if (heap->run[run] != run)
            continue;
        bool large = heap->class_of[run] == HEAP_LARGE;
        const struct reader_class *c = &store->of[large ? 0 : heap->class_of[run]];
        struct heap_place place = {heap, run, 0, store->arena + ((uint64_t)run << 16),
                                   heap->first[run]};
        place.begin += large ? 0 : c->lead + UINT64_C(8);
        for (; place.slot < (large ? 1 : c->slots); place.slot++, place.mark++) {
            if (heaps_mark(heap, place.mark) != MARK_NONE)
                visit(reach, &place);
            place.begin += large ? 0 : c->slot_bytes;
        }
    }
}

static void
look_into_rest(struct reach *reach, const struct heap_place *place)
{
    look_into(reach, place);
    empty_list(reach);
}

static void
follow(struct reach *reach)
{
    empty_list(reach);
    while (reach->overflowed) {
        reach->overflowed = false;
        for (unsigned i = 0; i < reach->heaps.count; i++)
            each(reach, &reach->heaps.heap[i], look_into_rest);
    }
}

/* Whether a run is still what its marks were laid out for: of a process it may have become another
 * one since. */
static bool
has_marks(const struct heap *heap, const struct reader_run *run)
{
    bool large = run->kind == READER_LARGE;
    return (run->kind == READER_SLOTS || large) && heap->run[run->at] == run->at &&
           heap->class_of[run->at] == (large ? HEAP_LARGE : run->class_id);
}

/* Pinned objects: somebody has their address, wherever. */
static int
note_pinned(void *opaque, const struct reader_run *run)
{
    struct reach *reach = opaque;
    if (!has_marks(reach->heap, run))
        return 0;
    uint32_t slots = run->kind == READER_LARGE ? 1 : run->slots;
    uint64_t first = run->pinned ? reach->heap->first[run->at] : 0;
    for (uint32_t i = 0; run->pinned && i < slots; i++) {
        if (!reader_is_live_slot(run, i) ||
            reader_pins(reach->heaps.reader, &reach->heap->store, run->at, i) == 0)
            continue;
        struct reader_object object;
        reader_object(reach->heaps.reader, &reach->heap->store, run, i, &object);
        struct heap_place place = {reach->heap, run->at, i, object.at, first + i};
        note(reach, &place, MARK_REACHED);
    }
    return 0;
}

/* ---- held by leaked -------------------------------------------------------------------------- */

static void
note_held(void *opaque, uint64_t address, const uint64_t *words, size_t count, int lwp)
{
    struct reach *reach = opaque;
    struct heap_place place;
    (void)lwp;
    for (size_t i = 0; (i = heaps_next(&reach->heaps, words, i, count)) < count; i++) {
        if (!heaps_resolve(&reach->heaps, address + 8 * i, words[i], &place) ||
            place.begin == reach->from->begin)
            continue;
        unsigned mark = heaps_mark(place.heap, place.mark);
        if ((mark & MARK_LEVEL) == MARK_LEAKED)
            heaps_set_mark(place.heap, place.mark, mark | MARK_HELD);
    }
}

static void
hold(struct reach *reach, const struct heap_place *place)
{
    reach->from = place;
    if ((heaps_mark(place->heap, place->mark) & MARK_LEVEL) == MARK_LEAKED)
        heaps_contents(&reach->heaps, place, note_held, reach);
}

/* ---- the report ------------------------------------------------------------------------------ */

/* The first bytes, as far as they are text. */
static void
print_contents(const struct reach *reach, const struct reader_object *object)
{
    unsigned char bytes[24];
    size_t count = object->size < sizeof(bytes) ? (size_t)object->size : sizeof(bytes);
    if (!reader_memory(reach->heaps.reader, object->at, bytes, count))
        return;
    fputs(", \"", stdout);
    for (size_t i = 0; i < count; i++)
        putchar(isprint(bytes[i]) && bytes[i] != '"' ? bytes[i] : '.');
    putchar('"');
}

static void
list_one(struct reach *reach, const struct reader_run *run, uint32_t i,
         const struct reader_object *object, unsigned mark)
{
    if (reach->list == 0)
        return;
    reach->list--;
    printf("  %s: block %" PRIu32 " slot %" PRIu32 ", %" PRIu64 " bytes",
           mark & MARK_HELD ? "leaked, held by leaked" : "leaked", run->at, i, object->size);
    if (object->handle)
        printf(", handle 0x%" PRIx64, object->handle);
    if (reach->addresses)
        printf(", at 0x%" PRIx64, object->at);
    print_contents(reach, object);
    putchar('\n');
}

static void
add(struct tally *tally, uint64_t bytes)
{
    tally->objects++;
    tally->bytes += bytes;
}

/* Whether its name names another object: this is a copy that a move, a resize or an update is about
 * to publish. */
static bool
is_copy(const struct reach *reach, const struct reader_object *object)
{
    const struct reader *reader = reach->heaps.reader;
    const struct reader_store *store = &reach->heap->store;
    struct heap_place place;
    uint64_t word = 0;
    if (object->named || !reader_memory(reader, object->name, &word, sizeof(word)))
        return false;
    uint64_t offset = reader_cell_offset(reader, word);
    return offset != 0 && offset < (uint64_t)store->high << 16 &&
           heaps_place(&reach->heaps, store->arena + offset, &place) &&
           place.begin == store->arena + offset && heaps_mark(place.heap, place.mark) != MARK_NONE;
}

static uint64_t
slot_bytes(const struct reach *reach, const struct reader_run *run)
{
    return run->kind == READER_LARGE ? run->committed
                                     : reach->heap->store.of[run->class_id].slot_bytes;
}

static void
count_object(struct reach *reach, const struct reader_run *run, uint32_t i)
{
    struct reader_object object;
    reader_object(reach->heaps.reader, &reach->heap->store, run, i, &object);
    if (is_copy(reach, &object)) {
        reach->ended_slots++;
        reach->ended_bytes += slot_bytes(reach, run);
        return;
    }
    unsigned mark = heaps_mark(reach->heap, reach->heap->first[run->at] + i);
    unsigned level = mark & MARK_LEVEL;
    if (level == MARK_NONE) /* it has come since */
        return;
    struct tally *of =
        reach->of[run->kind == READER_LARGE ? reach->heap->store.classes : run->class_id];
    add(&reach->all[level - MARK_LEAKED], object.size);
    add(&of[level - MARK_LEAKED], object.size);
    if (level != MARK_LEAKED)
        return;
    if (mark & MARK_HELD) {
        add(&reach->all[HELD], object.size);
        add(&of[HELD], object.size);
    }
    list_one(reach, run, i, &object, mark);
}

static int
count_run(void *opaque, const struct reader_run *run)
{
    struct reach *reach = opaque;
    bool large = run->kind == READER_LARGE;
    if (!has_marks(reach->heap, run))
        return 0;
    for (uint32_t i = 0; i < (large ? 1 : run->slots); i++)
        if (reader_is_live_slot(run, i))
            count_object(reach, run, i);
    uint64_t bytes = slot_bytes(reach, run);
    reach->ended_slots += run->ended;
    reach->ended_bytes += run->ended * bytes;
    if (!large) {
        reach->free_slots += run->slots - run->live - run->ended;
        reach->free_bytes += (run->slots - run->live - run->ended) * bytes;
    }
    return 0;
}

static void
print_row(const char *name, const struct tally *tally, const char *what)
{
    printf("  %-16s %10" PRIu64 " %12s  %s\n", name, tally->objects, text_of_bytes(tally->bytes),
           what);
}

static void
print_classes(const struct reach *reach)
{
    const struct reader_store *store = &reach->heap->store;
    bool any = false;
    for (uint32_t i = 0; i <= store->classes; i++) {
        const struct tally *of = reach->of[i];
        char name[32] = "large";
        if (of[LEAKED].objects + of[MAYBE].objects == 0)
            continue;
        if (!any)
            puts("  of slots of         leaked        bytes      maybe        bytes");
        any = true;
        if (i < store->classes)
            snprintf(name, sizeof(name), "%" PRIu32, store->of[i].slot_bytes);
        printf("  %-16s %10" PRIu64 " %12s %10" PRIu64 " %12s\n", name, of[LEAKED].objects,
               text_of_bytes(of[LEAKED].bytes), of[MAYBE].objects, text_of_bytes(of[MAYBE].bytes));
    }
}

static void
print_text(const struct reach *reach)
{
    struct tally cached = {reach->cached_slots, reach->cached_bytes};
    struct tally limbo = {reach->ended_slots - reach->cached_slots,
                          reach->ended_bytes - reach->cached_bytes};
    struct tally nothing = {reach->free_slots, reach->free_bytes};
    print_row("reached", &reach->all[REACHED],
              "somebody has their handle, address or cell, or pin");
    print_row("maybe", &reach->all[MAYBE], "only an address inside of them is known");
    print_row("leaked", &reach->all[LEAKED], "nobody can name them");
    print_row("  held by leaked", &reach->all[HELD], "of these: leaked objects name them");
    print_row("limbo", &limbo, "slots: freed, wait for the end of sections or pins");
    print_row("cached", &cached, "slots: free, kept by threads");
    print_row("free", &nothing, "slots");
    print_classes(reach);
}

static void
print_json(const struct reach *reach, bool first)
{
    static const char *const names[] = {"leaked", "maybe", "reached", "held_by_leaked"};
    printf("%s\n {\"store\":\"%s\"", first ? "[" : ",", reach->heap->store.name);
    for (unsigned i = 0; i < TALLIES; i++)
        printf(",\"%s\":%" PRIu64 ",\"%s_bytes\":%" PRIu64, names[i], reach->all[i].objects,
               names[i], reach->all[i].bytes);
    printf(",\"limbo\":%" PRIu64 ",\"cached\":%" PRIu64 ",\"free\":%" PRIu64 "}",
           reach->ended_slots - reach->cached_slots, reach->cached_slots, reach->free_slots);
}

static bool
report(struct reach *reach, unsigned number, bool json, const char **error)
{
    uint64_t cached[READER_CLASSES_MAX] = {0};
    reach->heap = &reach->heaps.heap[number];
    const struct reader_store *store = &reach->heap->store;
    memset(reach->all, 0, sizeof(reach->all));
    memset(reach->of, 0, sizeof(reach->of));
    reach->free_slots = reach->free_bytes = reach->ended_slots = reach->ended_bytes = 0;
    reach->cached_slots = reach->cached_bytes = 0;
    if (!json)
        printf("store %s:           objects        bytes\n", store->name);
    if (reader_runs(reach->heaps.reader, store, READER_EXACT, count_run, NULL, reach, error) != 0)
        return false;
    reader_cached(reach->heaps.reader, store, cached);
    for (uint32_t i = 0; i < store->classes; i++) {
        reach->cached_slots += cached[i];
        reach->cached_bytes += cached[i] * store->of[i].slot_bytes;
    }
    if (reach->cached_slots > reach->ended_slots || reach->cached_bytes > reach->ended_bytes) {
        reach->cached_slots = reach->ended_slots; /* it goes on */
        reach->cached_bytes = reach->ended_bytes;
    }
    if (json)
        print_json(reach, number == 0);
    else
        print_text(reach);
    return true;
}

static bool
classify(struct reach *reach, const char *registers, const char **error)
{
    reach->cap = MARK_REACHED;
    for (unsigned i = 0; i < reach->heaps.count; i++) {
        reach->heap = &reach->heaps.heap[i];
        if (reader_runs(reach->heaps.reader, &reach->heap->store, READER_PINNED, note_pinned, NULL,
                        reach, error) != 0)
            return false;
    }
    heaps_roots(&reach->heaps, &reach->process, registers, look_at, reach, true);
    follow(reach);
    for (unsigned i = 0; i < reach->heaps.count; i++)
        each(reach, &reach->heaps.heap[i], hold);
    return true;
}

static int
reach_all(struct reach *reach, const char *registers, bool json)
{
    const char *error = NULL;
    bool good = classify(reach, registers, &error);
    for (unsigned i = 0; good && i < reach->heaps.count; i++)
        good = report(reach, i, json, &error);
    if (json && good)
        puts("\n]");
    if (good && reach->heaps.more)
        return say("of more than %d stores only these were looked at", HEAPS_MAX);
    return good ? 0 : say("%s", error);
}

/* False: *error says why. Both are to be closed all the same. */
static bool
open_both(struct heaps *heaps, struct process *process, const char *target, const char *name,
          const char **error)
{
    struct reader *reader = reader_open(target, error);
    if (!reader || !heaps_open(heaps, reader, name, error))
        return false;
    *error = "it has no threads that can be read";
    return process_read(heaps->target, process);
}

static void
close_both(struct heaps *heaps, struct process *process)
{
    process_close(process);
    heaps_close(heaps);
    reader_close(heaps->reader);
}

int
command_reach(int argc, char **argv)
{
    const char *name = NULL, *list = "0", *registers = NULL, *error = "no memory";
    bool json = false, addresses = false;
    const struct option_value options[] = {
        {"--store", NULL, &name, NULL},          {"--list", NULL, &list, NULL},
        {"--registers", NULL, &registers, NULL}, {"--json", NULL, NULL, &json},
        {"--addresses", NULL, NULL, &addresses}, {0}};
    if (!take_options(&argc, argv, options))
        return 2;
    if (argc != 1)
        return misused("reach: one core or process is needed");
    struct reach *reach = calloc(1, sizeof(*reach));
    int status = 1;
    if (reach && open_both(&reach->heaps, &reach->process, argv[0], name, &error)) {
        reach->list = strtoul(list, NULL, 10);
        reach->addresses = addresses;
        status = reach_all(reach, registers, json);
    } else {
        say("%s", error);
    }
    if (reach)
        close_both(&reach->heaps, &reach->process);
    free(reach);
    return status;
}

/* ---- find ------------------------------------------------------------------------------------ */

struct find {
    struct heaps heaps;
    struct process process;
    struct heap_place wanted;
    uint64_t found;
    const struct heap_place *in; /* the object that is looked at */
    bool addresses;
};

/* Whose stack an address lies in, or NULL: where a range that it lies in begins below. */
static const struct process_thread *
thread_of(const struct find *find, uint64_t address)
{
    const struct process_thread *best = NULL;
    for (size_t i = 0; i < find->process.threads; i++) {
        const struct process_thread *thread = &find->process.thread[i];
        uint64_t above = address + 128 - thread->sp;
        if (thread->stopped && above < UINT64_C(8) << 20 && (!best || thread->sp > best->sp))
            best = thread;
    }
    return best;
}

static bool
is_same_range(const struct find *find, uint64_t a, uint64_t b)
{
    for (size_t i = 0; i < find->heaps.target->ranges; i++) {
        const struct target_range *range = &find->heaps.target->range[i];
        if (a >= range->begin && a < range->end)
            return b >= range->begin && b < range->end;
    }
    return false;
}

static void
print_memory(const struct find *find, uint64_t address)
{
    uint64_t begin;
    const struct process_thread *thread = thread_of(find, address);
    const struct process_module *module = process_module_at(&find->process, address);
    const char *name = process_symbol(&find->process, address, &begin);
    if (thread && is_same_range(find, thread->sp, address))
        printf("on the stack of thread %d, %" PRIu64 " bytes above its end", thread->lwp,
               address - thread->sp);
    else if (name)
        printf("in %s, at byte %" PRIu64, name, address - begin);
    else
        printf("in memory %s", module ? "of a file that is mapped" : "that is no variable's");
}

static void
print_hit(struct find *find, uint64_t address, int lwp, unsigned level)
{
    fputs(level == MARK_MAYBE ? "an address inside of it: " : "", stdout);
    if (find->in)
        printf("in the object of block %" PRIu32 " slot %" PRIu32 " of store %s, at byte %" PRIu64,
               find->in->run, find->in->slot, find->in->heap->store.name,
               address - find->in->begin);
    else if (address)
        print_memory(find, address);
    else
        printf("in a register of thread %d", lwp);
    if (find->addresses && address)
        printf(", at 0x%" PRIx64, address);
    putchar('\n');
    find->found++;
}

static void
match(void *opaque, uint64_t address, const uint64_t *words, size_t count, int lwp)
{
    struct find *find = opaque;
    struct heap_place place;
    for (size_t i = 0; (i = heaps_next(&find->heaps, words, i, count)) < count; i++) {
        uint64_t at = address ? address + 8 * i : 0;
        unsigned level = heaps_resolve(&find->heaps, at, words[i], &place);
        if (level && place.begin == find->wanted.begin)
            print_hit(find, at, lwp, level);
    }
}

/* In the contents of objects: those of live ones. */
static void
match_objects(struct find *find, struct heap *heap)
{
    const struct reader_store *store = &heap->store;
    struct heap_place place;
    for (uint32_t run = 1; run < store->high; run++) {
        if (heap->run[run] != run)
            continue;
        bool large = heap->class_of[run] == HEAP_LARGE;
        const struct reader_class *c = &store->of[large ? 0 : heap->class_of[run]];
        uint64_t begin = store->arena + ((uint64_t)run << 16) + (large ? 0 : c->lead + UINT64_C(8));
        for (uint32_t i = 0; i < (large ? 1 : c->slots); i++, begin += c->slot_bytes) {
            if (!heaps_place(&find->heaps, begin, &place) ||
                heaps_mark(heap, place.mark) == MARK_NONE || place.begin == find->wanted.begin)
                continue;
            find->in = &place;
            heaps_contents(&find->heaps, &place, match, find);
        }
    }
    find->in = NULL;
}

/* What is asked for: a handle, or an address in an object. */
static bool
find_wanted(struct find *find, uint64_t word)
{
    return heaps_resolve(&find->heaps, 0, word, &find->wanted) != 0;
}

static int
find_all(struct find *find, uint64_t word, const char *registers)
{
    if (!find_wanted(find, word))
        return say("this is neither a live handle nor an address in a live object");
    printf("object of block %" PRIu32 " slot %" PRIu32 " of store %s, %" PRIu64 " bytes\n",
           find->wanted.run, find->wanted.slot, find->wanted.heap->store.name,
           heaps_size(&find->heaps, &find->wanted));
    uint32_t pins = reader_pins(find->heaps.reader, &find->wanted.heap->store, find->wanted.run,
                                find->wanted.slot);
    if (pins)
        printf("pinned, %" PRIu32 " times\n", pins);
    heaps_roots(&find->heaps, &find->process, registers, match, find, true);
    for (unsigned i = 0; i < find->heaps.count; i++)
        match_objects(find, &find->heaps.heap[i]);
    if (find->found == 0)
        puts("nobody has its handle or address");
    return 0;
}

int
command_find(int argc, char **argv)
{
    const char *name = NULL, *registers = NULL, *error = "no memory";
    bool addresses = false;
    const struct option_value options[] = {{"--store", NULL, &name, NULL},
                                           {"--registers", NULL, &registers, NULL},
                                           {"--addresses", NULL, NULL, &addresses},
                                           {0}};
    uint64_t word;
    if (!take_options(&argc, argv, options))
        return 2;
    if (argc != 2 || !read_number(argv[1], &word))
        return misused("find: a core or process, and a handle or address are needed");
    struct find *find = calloc(1, sizeof(*find));
    int status = 1;
    if (find && open_both(&find->heaps, &find->process, argv[0], name, &error)) {
        find->addresses = addresses;
        status = find_all(find, word, registers);
    } else {
        say("%s", error);
    }
    if (find)
        close_both(&find->heaps, &find->process);
    free(find);
    return status;
}
