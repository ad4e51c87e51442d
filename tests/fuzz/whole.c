/* SPDX-License-Identifier: MIT */
/*
 * whole.c - the store as a whole: its life, compaction, options, statistics, walks and checks.
 *
 * Seen failing: a compaction that copies an object without its last words, a walk that leaves out
 * the last span.
 */
#include "engine.h"

uint64_t engine_moved;

/* ---- sections -------------------------------------------------------------------------------- */

void
engine_leave(struct engine *engine)
{
    engine_check_reads(engine);
    section_leave();
}

void
engine_enter(struct engine *engine)
{
    (void)engine;
    section_enter();
}

/* ---- everything compared --------------------------------------------------------------------- */

struct sums {
    uint64_t objects, bytes, names;
};

static uint64_t
name_sum(uint64_t name, uint64_t tag, uint64_t size, uint64_t flags)
{
    uint64_t mixed = (name ^ tag << 40) * UINT64_C(0x9e3779b97f4a7c15) + size * 8 + flags;
    return (mixed ^ mixed >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
}

static int
visit(void *opaque, const struct handle_object *object)
{
    struct sums *sums = opaque;
    uint64_t name = object->cell ? (uintptr_t)object->cell : object->handle, stamp;
    sums->objects++;
    sums->bytes += object->size;
    sums->names += name_sum(name, object->tag, object->size, object->flags);
    if (object->size >= sizeof(stamp)) {
        memcpy(&stamp, object->data, sizeof(stamp));
        fuzz_check(engine_holds_stamp(object->data, object->size, stamp));
    }
    return 0;
}

static struct sums
sums_of_map(const struct engine *engine)
{
    struct sums sums = {0, 0, 0};
    for (unsigned key = 0; key < KEYS; key++) {
        const struct object *o = &engine->objects[key];
        uint64_t name = o->by_cell ? (uintptr_t)&o->cells[o->at] : o->handle;
        if (!o->live)
            continue;
        sums.objects++;
        sums.bytes += o->size;
        sums.names += name_sum(name, o->by_cell ? o->tag : 0, o->size, o->flags & HANDLE_UNMOVABLE);
    }
    return sums;
}

static void
walk(struct engine *engine)
{
    struct sums map = sums_of_map(engine), found = {0, 0, 0};
    fuzz_check(handle_store_each(engine->store, visit, &found) == 0);
    fuzz_check(found.objects == map.objects && found.bytes == map.bytes);
    fuzz_check(found.names == map.names);
}

static void
check(struct engine *engine)
{
    fuzz_check(handle_store_check(engine->store, print_violation, NULL) == 0);
    fuzz_check(engine->error_lines == engine->error_lines_expected);
}

void
engine_verify(struct engine *engine)
{
    engine_release(engine);
    for (unsigned key = 0; key < KEYS; key++)
        engine_compare(engine, key);
    walk(engine);
    fuzz_check(used_exactly(engine->store) == sums_of_map(engine).bytes);
    check(engine);
}

/* ---- compaction ------------------------------------------------------------------------------ */

static void
compaction(struct engine *engine, unsigned which)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    size_t released = 0;
    switch (which % 8) {
    case 0:
        fuzz_check(handle_store_compact(engine->store, &report) == 0);
        break;
    case 1:
        fuzz_check(handle_store_purge(engine->store, &released) == 0);
        break;
    case 2:
        fuzz_check(handle_store_reclaim(engine->store, take_word(engine->source)) == 0);
        break;
    case 3:
        fuzz_check(handle_defrag_start(engine->store) == 0);
        break;
    case 4:
        fuzz_check(handle_defrag_stop(engine->store) == 0);
        break;
    case 5:
        fuzz_check(handle_defrag_estimate(engine->store, &report) == 0);
        break;
    case 6:
        handle_thread_detach(engine->store);
        break;
    default:
        fuzz_check(handle_defrag_step(engine->store, 1 + take_byte(engine->source), &report) == 0);
        break;
    }
}

/* ---- options and statistics ------------------------------------------------------------------ */

static void
retune(struct engine *engine, unsigned which)
{
    static const char *const settings[][2] = {
        {"purge_delay_ms", "0"},
        {"purge_delay_ms", "-1"},
        {"purge_delay_ms", "3"},
        {"thread_cache_bytes", "0"},
        {"thread_cache_bytes", "1K"},
        {"thread_cache_bytes", "256K"},
        {"thread_cache_total_bytes", "0"},
        {"thread_cache_total_bytes", "16M"},
        {"defrag.ignore_bytes", "0"},
        {"defrag.ignore_bytes", "1M"},
        {"defrag.slice_us", "50"},
        {"defrag.slice_us", "2000"},
        {"defrag.cpu_max_percent", "100"},
        {"defrag.cpu_max_percent", "50"},
        {"defrag.enabled", "no"},
        {"defrag.enabled", "yes"},
        {"max_bytes", "0"},
        {"max_bytes", "4M"},
    };
    size_t i = which % (sizeof(settings) / sizeof(settings[0]));
    char value[32];
    fuzz_check(handle_store_set(engine->store, settings[i][0], settings[i][1]) == 0);
    fuzz_check(handle_store_get(engine->store, settings[i][0], value, sizeof(value)) == 0);
    if (i >= 16)
        engine->limited = i == 17;
}

static void
count_text(void *opaque, const char *text, size_t length)
{
    (void)text;
    *(size_t *)opaque += length;
}

static void
statistics(struct engine *engine, unsigned which)
{
    static struct handle_stats stats;
    size_t length = 0;
    stats.struct_size = sizeof(stats);
    fuzz_check(handle_store_stats(engine->store, &stats) == 0);
    fuzz_check(stats.pins == engine->pins_held + engine->versions_active);
    fuzz_check(stats.objects_reserved == engine->reservations_active);
    fuzz_check(stats.objects == sums_of_map(engine).objects + stats.objects_reserved);
    fuzz_check(stats.objects_by_handle + stats.objects_by_cell + stats.objects_reserved ==
               stats.objects);
    enum handle_stats_format format = (enum handle_stats_format)(which % 3);
    fuzz_check(handle_store_stats_print(engine->store, format, count_text, &length) == 0);
    fuzz_check(length > 100);
}

/* Every handle's object goes, cells stay. */
static void
clear(struct engine *engine)
{
    fuzz_check(handle_store_clear(engine->store) == 0);
    for (unsigned key = 0; key < KEYS; key++) {
        struct object *object = &engine->objects[key];
        if (!object->live || object->by_cell)
            continue;
        engine_left_slot(engine, key);
        object->live = false;
        engine->stale[engine->next_stale++ % STALE] = object->handle;
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static void
on_error(void *opaque, const char *message)
{
    struct engine *engine = opaque;
    fprintf(stderr, "reported: %s\n", message);
    engine->error_lines++;
}

void
engine_open(struct engine *engine, struct source *source)
{
    static const uint32_t alignments[] = {8, 8, 16, 64};
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    unsigned byte = take_byte(source);
    memset(engine, 0, sizeof(*engine));
    engine->source = source;
    options.arena_bytes = 64 * MIB;
    options.alignment = alignments[byte % 4];
    options.hardened = (byte >> 2) % 8 == 7;
    options.defrag.enabled = byte & 0x20;
    options.defrag.ignore_bytes = 0;
    options.purge_delay_ms = byte & 0x40 ? 1 : 200;
    options.error = on_error;
    options.opaque = engine;
    engine->store = handle_store_create(&options);
    fuzz_check(engine->store != NULL);
}

void
engine_close(struct engine *engine)
{
    engine_enter(engine);
    engine_verify(engine);
    engine_leave(engine);
    fuzz_check(handle_store_compact(engine->store, NULL) == 0);
    engine_enter(engine);
    engine_verify(engine);
    for (unsigned key = 0; key < KEYS; key++)
        engine_free(engine, key, key % 2);
    fuzz_check(handle_store_used(engine->store) == 0);
    check(engine);
    engine_leave(engine);
    struct handle_stats stats = take_stats(engine->store);
    engine_moved += stats.moved_objects;
    fuzz_check(handle_store_destroy(engine->store) == 0);
}

/* Cells of the old store are all empty, and its handles are not used again. */
static void
start_anew(struct engine *engine)
{
    engine_leave(engine);
    engine_close(engine);
    engine_open(engine, engine->source);
    engine_enter(engine);
}

void
engine_whole_store(struct engine *engine)
{
    unsigned byte = take_byte(engine->source), kind = byte >> 5;
    if (kind == 0) {
        engine_verify(engine);
    } else if (kind == 1) {
        walk(engine);
    } else if (kind == 2 && byte % 8 == 0) {
        start_anew(engine);
    } else if (kind == 2 && byte % 8 == 1) {
        clear(engine);
    } else if (kind == 3) {
        statistics(engine, byte);
    } else { /* what waits, or may, stands outside sections */
        engine_leave(engine);
        if (kind == 4)
            retune(engine, byte % 32);
        else
            compaction(engine, byte);
        engine_enter(engine);
    }
}
