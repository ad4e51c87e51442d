/* SPDX-License-Identifier: MIT */
/*
 * map_count.c - goes over a store's runs: sums up where its memory is, and writes the lines of a
 * map (src/insight/map_lines.h).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/commands.h"

struct count {
    const struct reader_store *store;
    struct breakdown *breakdown;
    FILE *write;
    struct sn_lines lines;
    struct { /* of a class: objects whose sizes are known, and of which they are not */
        uint64_t known, requested, unknown;
    } of[READER_CLASSES_MAX];
    bool progress;
    uint32_t told; /* percent */
    uint64_t arena;
    char damage[8][200];
    unsigned damages;
};

/* ---- sums ------------------------------------------------------------------------------------ */

static void
add_slots(struct count *count, const struct reader_run *run)
{
    const struct reader_class *c = &count->store->of[run->class_id];
    struct sn_map_sums *l = &count->breakdown->sums;
    uint64_t live = (uint64_t)run->live * c->slot_bytes,
             ended = (uint64_t)run->ended * c->slot_bytes;
    l->objects += run->live;
    l->header += (uint64_t)run->live * 8;
    l->waiting += ended;
    uint64_t free = run->committed > live + ended ? run->committed - live - ended : 0;
    l->free_slot += free;
    count->breakdown->of[run->class_id].spans++;
    count->breakdown->of[run->class_id].live += run->live;
    count->breakdown->of[run->class_id].committed += run->committed;
    count->breakdown->of[run->class_id].free += free;
    if (run->no_contents) {
        count->of[run->class_id].unknown += run->live;
    } else {
        count->of[run->class_id].known += run->live;
        count->of[run->class_id].requested += run->requested;
    }
}

/* What the objects of a class have asked for: the others as those whose sizes are known; where none
 * is, as if they had asked for the whole slots. */
static void
add_class(struct count *count, uint32_t class_id)
{
    const struct reader_class *c = &count->store->of[class_id];
    uint64_t known = count->of[class_id].known, unknown = count->of[class_id].unknown;
    double mean = known ? (double)count->of[class_id].requested / (double)known : c->slot_bytes - 8;
    uint64_t requested = count->of[class_id].requested + (uint64_t)(mean * (double)unknown + 0.5);
    count->breakdown->sums.requested += requested;
    count->breakdown->sums.rounding +=
        (known + unknown) * (c->slot_bytes - UINT64_C(8)) - requested;
}

static void
add_large(struct count *count, const struct reader_run *run)
{
    struct sn_map_sums *l = &count->breakdown->sums;
    uint64_t page = count->store->page_bytes;
    uint64_t pages = (run->requested + page - 1) / page * page;
    if (!run->live) {
        l->waiting += run->committed;
        return;
    }
    l->objects++;
    l->objects_large++;
    l->requested += run->requested;
    l->rounding += pages - run->requested;
    l->free_slot += run->committed > pages ? run->committed - pages : 0;
}

static void
add_run(struct count *count, const struct reader_run *run)
{
    count->arena += run->committed;
    if (run->kind == READER_SLOTS)
        add_slots(count, run);
    else if (run->kind == READER_LARGE)
        add_large(count, run);
    else if (run->kind == READER_EMPTY)
        count->breakdown->sums.empty_span += run->committed;
    else
        count->breakdown->sums.free_slot += run->committed;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void
to_file(void *file, const char *text, size_t length)
{
    fwrite(text, 1, length, file);
}

static struct sn_map_class
class_of(const struct reader_store *store, uint32_t class_id)
{
    const struct reader_class *c = &store->of[class_id];
    return (struct sn_map_class){c->payload - store->extra, c->slot_bytes, c->slots, c->pages,
                                 c->lead};
}

static void
write_head(struct count *count, const char *of)
{
    const struct reader_store *s = count->store;
    count->lines = (struct sn_lines){.write = to_file, .opaque = count->write};
    sn_map_head(&count->lines, s->name, of, s->high);
    for (uint32_t i = 0; i < s->classes; i++) {
        struct sn_map_class class = class_of(s, i);
        sn_map_class(&count->lines, &class, i == 0);
    }
    sn_map_end_head(&count->lines);
}

static void
write_run(struct count *count, const struct reader_run *run)
{
    static const enum sn_map_kind kinds[] = {[READER_SLOTS] = SN_MAP_SLOTS,
                                             [READER_LARGE] = SN_MAP_LARGE,
                                             [READER_EMPTY] = SN_MAP_EMPTY,
                                             [READER_CLEAN] = SN_MAP_CLEAN,
                                             [READER_OTHER] = SN_MAP_OTHER};
    struct sn_map_run line = {
        run->at,           run->blocks,           kinds[run->kind],
        .live = run->live, .waiting = run->ended, .requested = run->requested};
    struct sn_map_class class;
    if (run->committed == 0)
        return;
    line.why = (run->pinned ? SN_MAP_PINNED : 0u) | (run->unmovable ? SN_MAP_UNMOVABLE : 0u) |
               (run->tried ? SN_MAP_TRIED : 0u) | (run->damaged ? SN_MAP_DAMAGED : 0u);
    if (run->kind == READER_SLOTS) {
        class = class_of(count->store, run->class_id);
        line.class_id = run->class_id;
        line.class = &class;
        line.bits = run->bits;
        line.waits = run->ended ? run->waits : NULL;
    }
    sn_map_begin_run(&count->lines, &line);
    for (uint32_t i = 0; i < run->blocks; i++)
        sn_map_block(&count->lines, &line, i, run->dirty[i]);
    sn_map_end_run(&count->lines);
}

static void
write_tail(struct count *count)
{
    sn_map_begin_tail(&count->lines, &count->breakdown->sums);
    for (unsigned i = 0; i < count->damages && i < 8; i++) {
        sn_lines_put(&count->lines, i ? ",\"" : ",\"damage\":[\"");
        sn_lines_put(&count->lines, count->damage[i]);
        sn_lines_put(&count->lines, "\"");
    }
    sn_lines_put(&count->lines, count->damages ? "]}\n" : "}\n");
    sn_lines_flush(&count->lines);
}

void
write_steps(FILE *to, const struct breakdown *breakdown)
{
    struct sn_lines lines = {.write = to_file, .opaque = to};
    sn_map_steps(&lines, &breakdown->sums);
    sn_lines_flush(&lines);
}

/* ---- the walk -------------------------------------------------------------------------------- */

static void
tell_progress(struct count *count, uint32_t block)
{
    uint32_t percent = (uint32_t)((uint64_t)block * 100 / (count->store->high + 1));
    if (!count->progress || percent < count->told + 5)
        return;
    count->told = percent;
    fprintf(stderr, "\rreading store %s: %" PRIu32 " %%", count->store->name, percent);
}

static int
visit(void *opaque, const struct reader_run *run)
{
    struct count *count = opaque;
    add_run(count, run);
    if (count->write)
        write_run(count, run);
    tell_progress(count, run->at);
    return 0;
}

static void
note_damage(void *opaque, const char *sentence)
{
    struct count *count = opaque;
    if (count->damages < 8)
        snprintf(count->damage[count->damages], sizeof(count->damage[0]), "%s", sentence);
    count->damages++;
}

static void
end_sums(struct count *count, struct reader *reader)
{
    struct sn_map_sums *l = &count->breakdown->sums;
    const struct reader_store *s = count->store;
    uint64_t rest = count->arena + s->table_committed;
    for (uint32_t i = 0; i < s->classes; i++)
        add_class(count, i);
    l->table = s->table_committed;
    l->metadata = s->committed > rest ? s->committed - rest : 0;
    l->committed = rest + l->metadata;
    l->resident = reader_resident(reader, s);
    count->breakdown->damaged = count->damages;
}

bool
map_count(struct reader *reader, const struct reader_store *store, enum reader_detail detail,
          FILE *write, bool progress, struct breakdown *breakdown, const char **error)
{
    struct count *count = calloc(1, sizeof(*count));
    *breakdown = (struct breakdown){0};
    *error = count ? NULL : "no memory";
    if (!count)
        return false;
    *count = (struct count){.store = store, .breakdown = breakdown, .write = write};
    count->progress = progress && store->high > 4096 && isatty(STDERR_FILENO);
    if (write)
        write_head(count, reader_is_live(reader) ? "process" : "core");
    bool good = reader_runs(reader, store, detail, visit, note_damage, count, error) == 0;
    if (good)
        end_sums(count, reader);
    if (good && write)
        write_tail(count);
    if (count->told)
        fputs("\r\033[K", stderr);
    for (unsigned i = 0; good && i < count->damages && i < 8; i++)
        say("store %s: %s", store->name, count->damage[i]);
    free(count);
    return good;
}
