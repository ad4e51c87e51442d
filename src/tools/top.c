/* SPDX-License-Identifier: MIT */
/*
 * top.c - sinter top: one store of a process, again and again: where its memory is, what is done
 * with it, which size classes have free slots. The process is neither asked nor stopped, and may
 * hang.
 * Figures that its threads keep apart may be off by what is under way.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/look.h"

#define CLASSES_SHOWN 8u
#define BAR           40u

struct reading {
    double at; /* seconds */
    uint64_t objects, frees, moved, grace_periods;
    struct breakdown breakdown;
    struct reader_store store;
};

struct top {
    struct reader *reader;
    const char *pid, *name;
    bool batch;
    unsigned long interval_ms, count;
    struct reading now, before;
};

static bool
read_now(struct top *top, const char **error)
{
    struct reading *r = &top->now;
    if (!reader_find(top->reader, top->name, &r->store, error) ||
        !map_count(top->reader, &r->store, READER_SAMPLE, NULL, false, &r->breakdown, error))
        return false;
    r->at = seconds_now();
    r->objects = r->breakdown.sums.objects;
    r->frees = reader_frees(top->reader, &r->store);
    r->moved = r->store.moved_bytes;
    reader_grace_periods(top->reader, &r->store, &r->grace_periods);
    return true;
}

/* A figure that only grows, in a second. */
static double
rate(const struct top *top, uint64_t before, uint64_t now)
{
    double time = top->now.at - top->before.at;
    return time > 0 && now > before ? (double)(now - before) / time : 0;
}

static void
print_bar(const char *name, uint64_t bytes, uint64_t all)
{
    char bar[BAR + 1];
    uint64_t filled = all ? (bytes * BAR + all / 2) / all : 0;
    memset(bar, '.', BAR);
    memset(bar, '#', filled < BAR ? (size_t)filled : BAR);
    bar[BAR] = 0;
    printf("  %-10s %s %5.1f %% %12s\n", name, bar, all ? 100.0 * (double)bytes / (double)all : 0,
           text_of_bytes(bytes));
}

static void
print_steps(const struct sn_map_sums *l)
{
    print_bar("requested", l->requested, l->committed);
    print_bar("rounding", l->rounding, l->committed);
    print_bar("header", l->header, l->committed);
    print_bar("free_slot", l->free_slot, l->committed);
    print_bar("waiting", l->waiting, l->committed);
    print_bar("empty_span", l->empty_span, l->committed);
    print_bar("table", l->table, l->committed);
    print_bar("metadata", l->metadata, l->committed);
}

/* The class that has most free bytes of those not shown yet; READER_CLASSES_MAX: there is none. */
static uint32_t
next_class(const struct breakdown *b, uint32_t classes, const bool *shown)
{
    uint32_t best = READER_CLASSES_MAX;
    for (uint32_t i = 0; i < classes; i++)
        if (!shown[i] && b->of[i].free > 0 &&
            (best == READER_CLASSES_MAX || b->of[i].free > b->of[best].free))
            best = i;
    return best;
}

static void
print_classes(const struct reading *r)
{
    bool shown[READER_CLASSES_MAX] = {false};
    printf("  %10s %10s %12s %12s %12s\n", "slots of", "spans", "objects", "committed", "free");
    for (unsigned n = 0; n < CLASSES_SHOWN; n++) {
        uint32_t i = next_class(&r->breakdown, r->store.classes, shown);
        if (i == READER_CLASSES_MAX)
            return;
        shown[i] = true;
        printf("  %10" PRIu32 " %10" PRIu64 " %12" PRIu64 " %12s %12s\n", r->store.of[i].slot_bytes,
               r->breakdown.of[i].spans, r->breakdown.of[i].live,
               text_of_bytes(r->breakdown.of[i].committed), text_of_bytes(r->breakdown.of[i].free));
    }
}

static void
print_now(const struct top *top)
{
    const struct reading *now = &top->now, *before = &top->before;
    const struct sn_map_sums *l = &now->breakdown.sums;
    uint64_t ignored, age = reader_grace_periods(top->reader, &now->store, &ignored);
    if (!top->batch)
        fputs("\033[H\033[J", stdout);
    printf("process %s, store %s: %" PRIu64 " objects, %s asked for, %s committed", top->pid,
           now->store.name, now->objects, text_of_bytes(l->requested), text_of_bytes(l->committed));
    if (now->store.max_bytes)
        printf(" of %s", text_of_bytes(now->store.max_bytes));
    printf("\nin a second: %.0f allocations, %.0f frees, %s moved, %.1f grace periods\n",
           rate(top, before->objects + before->frees, now->objects + now->frees),
           rate(top, before->frees, now->frees),
           text_of_bytes((uint64_t)rate(top, before->moved, now->moved)),
           rate(top, before->grace_periods, now->grace_periods));
    printf("compaction: %s; grace period under way: ", text_of_idle(now->store.idle));
    if (age)
        printf("%.3f s\n", (double)age / 1e9);
    else
        puts("none");
    print_steps(l);
    print_classes(now);
    putchar('\n');
    fflush(stdout);
}

static bool
has_ended(const struct top *top)
{
    return kill((pid_t)strtol(top->pid, NULL, 10), 0) != 0;
}

static int
watch(struct top *top)
{
    const char *error;
    if (!read_now(top, &error))
        return say("%s", error);
    for (unsigned long shown = 0; top->count == 0 || shown < top->count; shown++) {
        struct timespec pause = {(time_t)(top->interval_ms / 1000),
                                 (long)(top->interval_ms % 1000) * 1000000};
        top->before = top->now;
        nanosleep(&pause, NULL);
        if (!read_now(top, &error))
            return has_ended(top) ? say("process %s has ended", top->pid) : say("%s", error);
        print_now(top);
    }
    return 0;
}

int
command_top(int argc, char **argv)
{
    static struct top top;
    const char *interval = "1000", *count = "0", *error;
    const struct option_value options[] = {{"--store", NULL, &top.name, NULL},
                                           {"--interval", "-i", &interval, NULL},
                                           {"--count", "-n", &count, NULL},
                                           {"--batch", "-b", NULL, &top.batch},
                                           {0}};
    if (!take_options(&argc, argv, options))
        return 2;
    top.interval_ms = strtoul(interval, NULL, 10);
    top.count = strtoul(count, NULL, 10);
    if (argc != 1 || top.interval_ms < 1 || top.interval_ms > 3600000)
        return misused("top: one process, and an interval of 1 to 3600000 ms");
    top.pid = argv[0];
    top.batch |= !isatty(STDOUT_FILENO);
    top.reader = reader_open(top.pid, &error);
    if (!top.reader)
        return say("%s", error);
    int status = reader_is_live(top.reader) ? watch(&top) : misused("top: a core does not change");
    reader_close(top.reader);
    return status;
}
