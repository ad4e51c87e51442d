/* SPDX-License-Identifier: MIT */
/*
 * map_count.c - goes over a store's runs: sums up where its memory is, and writes the lines of a
 * map ("sinter.map", version 1): the first says what the others mean, one for each run of blocks
 * that has pages, the last the sums. A line is JSON; of a file that is cut off the rest is good.
 *
 *   pages   a character for each page: "." is with the kernel; 0 to f: the share of its bytes that
 *           live objects have; "w": most of what is taken of it waits (thread caches, limbo)
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/commands.h"

#define PAGE 4096u

struct count {
    const struct reader_store *store;
    struct breakdown *breakdown;
    FILE *write;
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
    struct breakdown *l = count->breakdown;
    uint64_t live = (uint64_t)run->live * c->slot_bytes, header = (uint64_t)run->live * 8;
    uint64_t ended = (uint64_t)run->ended * c->slot_bytes;
    uint64_t requested = run->no_contents ? live - header : run->requested;
    l->objects += run->live;
    l->header += header;
    l->requested += requested;
    l->rounding += live - header - requested;
    l->waiting += ended;
    l->free_slot += run->committed > live + ended ? run->committed - live - ended : 0;
}

static void
add_large(struct count *count, const struct reader_run *run)
{
    struct breakdown *l = count->breakdown;
    uint64_t pages = (run->requested + PAGE - 1) / PAGE * PAGE;
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
        count->breakdown->empty_span += run->committed;
    else
        count->breakdown->free_slot += run->committed;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void
write_head(const struct count *count, const char *of)
{
    const struct reader_store *s = count->store;
    fprintf(count->write,
            "{\"format\":\"sinter.map\",\"version\":1,\"store\":\"%s\",\"of\":\"%s\",\"time\":%lld,"
            "\"page_bytes\":4096,\"block_bytes\":65536,\"blocks\":%" PRIu32 ",\"classes\":[",
            s->name, of, (long long)time(NULL), s->high);
    for (uint32_t i = 0; i < s->classes; i++)
        fprintf(count->write, "%s[%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%" PRIu32 "]", i ? "," : "",
                s->of[i].payload - s->extra, s->of[i].slot_bytes, s->of[i].slots, s->of[i].pages);
    fputs("]}\n", count->write);
}

/* Bytes of each page that slots of one state have. */
static void
add_shares(const struct reader_run *run, const struct reader_class *c, uint8_t state,
           uint32_t *share)
{
    for (uint32_t i = 0; i < run->slots; i++) {
        uint32_t from = c->lead + i * c->slot_bytes, to = from + c->slot_bytes;
        while (run->slot[i] == state && from < to) {
            uint32_t end = (from / PAGE + 1) * PAGE < to ? (from / PAGE + 1) * PAGE : to;
            share[from / PAGE] += end - from;
            from = end;
        }
    }
}

static char
character_of(uint32_t live, uint32_t ended)
{
    if (ended > live)
        return 'w';
    uint32_t step = live == 0 ? 0 : 1 + (live - 1) * 15 / PAGE;
    return "0123456789abcdef"[step > 15 ? 15 : step];
}

static void
write_pages(const struct count *count, const struct reader_run *run)
{
    uint32_t live[READER_BLOCK_PAGES * 8] = {0}, ended[READER_BLOCK_PAGES * 8] = {0};
    bool slots = run->kind == READER_SLOTS;
    if (slots) {
        add_shares(run, &count->store->of[run->class_id], READER_LIVE, live);
        add_shares(run, &count->store->of[run->class_id], READER_ENDED, ended);
    }
    for (uint32_t page = 0; page < run->blocks * READER_BLOCK_PAGES; page++) {
        uint64_t at = (uint64_t)page * PAGE;
        uint32_t l = slots ? live[page] : run->live && at < run->requested ? PAGE : 0;
        uint32_t e = slots ? ended[page] : run->kind == READER_LARGE && !run->live ? PAGE : 0;
        bool there = run->dirty[page / READER_BLOCK_PAGES] >> page % READER_BLOCK_PAGES & 1;
        fputc(there ? character_of(l, e) : '.', count->write);
    }
}

static void
write_run(const struct count *count, const struct reader_run *run)
{
    static const char *const kinds[] = {"slots", "large", "empty", "clean", "other"};
    if (run->committed == 0)
        return;
    fprintf(count->write, "{\"at\":%" PRIu32 ",\"blocks\":%" PRIu32 ",\"state\":\"%s\"", run->at,
            run->blocks, kinds[run->kind]);
    if (run->kind == READER_SLOTS)
        fprintf(count->write,
                ",\"class\":%" PRIu32 ",\"live\":%" PRIu32 ",\"waiting\":%" PRIu32
                ",\"slots\":%" PRIu32,
                run->class_id, run->live, run->ended, run->slots);
    if (run->requested)
        fprintf(count->write, ",\"requested\":%" PRIu64, run->requested);
    if (run->pinned || run->unmovable || run->damaged || run->tried)
        fprintf(count->write, ",\"why\":\"%s%s%s%s\"", run->pinned ? "p" : "",
                run->unmovable ? "u" : "", run->tried ? "t" : "", run->damaged ? "d" : "");
    fputs(",\"pages\":\"", count->write);
    write_pages(count, run);
    fputs("\"}\n", count->write);
}

static void
write_tail(const struct count *count)
{
    const struct breakdown *l = count->breakdown;
    fprintf(count->write,
            "{\"stats\":{\"requested\":%" PRIu64 ",\"rounding\":%" PRIu64 ",\"header\":%" PRIu64
            ",\"free_slot\":%" PRIu64 ",\"waiting\":%" PRIu64 ",\"empty_span\":%" PRIu64
            ",\"table\":%" PRIu64 ",\"metadata\":%" PRIu64 ",\"committed\":%" PRIu64
            ",\"objects\":%" PRIu64 ",\"objects_large\":%" PRIu64,
            l->requested, l->rounding, l->header, l->free_slot, l->waiting, l->empty_span, l->table,
            l->metadata, l->committed, l->objects, l->objects_large);
    if (l->resident != UINT64_MAX)
        fprintf(count->write, ",\"resident_arena\":%" PRIu64, l->resident);
    fputs("}", count->write);
    for (unsigned i = 0; i < count->damages && i < 8; i++)
        fprintf(count->write, "%s\"%s\"", i ? "," : ",\"damage\":[", count->damage[i]);
    fputs(count->damages ? "]}\n" : "}\n", count->write);
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
    struct breakdown *l = count->breakdown;
    const struct reader_store *s = count->store;
    uint64_t rest = count->arena + s->table_committed;
    l->table = s->table_committed;
    l->metadata = s->committed > rest ? s->committed - rest : 0;
    l->committed = rest + l->metadata;
    l->resident = reader_resident(reader, s);
    l->damaged = count->damages;
}

bool
map_count(struct reader *reader, const struct reader_store *store, FILE *write, bool progress,
          struct breakdown *breakdown, const char **error)
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
    bool good = reader_runs(reader, store, visit, note_damage, count, error) == 0;
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
