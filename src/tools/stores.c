/* SPDX-License-Identifier: MIT */
/* stores.c - sinter stores: the stores of a process or core, and where their memory is; sinter
 * record: the same of one store, again and again. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sinter/handle.h>

#include "tools/commands.h"

/* ---- stores ---------------------------------------------------------------------------------- */

static void
print_step(const char *name, uint64_t bytes, uint64_t all, const char *what)
{
    printf("  %-10s %12s %5.1f %%  %s\n", name, text_of_bytes(bytes),
           all ? 100.0 * (double)bytes / (double)all : 0, what);
}

const char *
text_of_idle(uint32_t reason)
{
    static const char *const texts[HANDLE_IDLE_REASONS] = {
        [HANDLE_IDLE_RUNNING] = "moving",
        [HANDLE_IDLE_DISABLED] = "idle, it is disabled",
        [HANDLE_IDLE_BELOW_IGNORE] = "idle, too few bytes to gain (defrag.ignore_bytes)",
        [HANDLE_IDLE_BELOW_THRESHOLD] = "idle, too little to gain (defrag.threshold_lower_percent)",
        [HANDLE_IDLE_BACKOFF] = "idle, the last passes gained too little",
        [HANDLE_IDLE_GRACE_PERIOD] = "it waits for a grace period: see sinter readers",
        [HANDLE_IDLE_FORKED] = "idle, a forked child shares the pages",
    };
    return reason < HANDLE_IDLE_REASONS && texts[reason] ? texts[reason] : "idle";
}

void
print_store(const struct reader_store *store, const struct sn_map_sums *l)
{
    printf("store %s: %" PRIu64 " objects, %s asked for, %s committed", store->name, l->objects,
           text_of_bytes(l->requested), text_of_bytes(l->committed));
    if (l->requested)
        printf(" (%.2f times)", (double)l->committed / (double)l->requested);
    printf("%s\n", store->hardened ? ", hardened" : "");
    print_step("requested", l->requested, l->committed, "asked for by live objects");
    print_step("rounding", l->rounding, l->committed, "size classes and alignment");
    print_step("header", l->header, l->committed, "header words");
    print_step("free_slot", l->free_slot, l->committed, "free slots in spans that are in use");
    print_step("waiting", l->waiting, l->committed, "free slots that threads cache, and limbo");
    print_step("empty_span", l->empty_span, l->committed, "empty spans, not given back yet");
    print_step("table", l->table, l->committed, "handle table");
    print_step("metadata", l->metadata, l->committed, "descriptors, bitmaps, caches, the store");
}

static void
print_json(const struct reader_store *store, const struct breakdown *l, bool first)
{
    printf("%s\n {\"store\":\"%s\",\"hardened\":%s,\"max_bytes\":%" PRIu64 ",\"objects\":%" PRIu64
           ",\"objects_large\":%" PRIu64,
           first ? "[" : ",", store->name, store->hardened ? "true" : "false", store->max_bytes,
           l->sums.objects, l->sums.objects_large);
    write_steps(stdout, l);
    printf(",\"committed\":%" PRIu64 ",\"damaged\":%" PRIu64 "}", l->sums.committed, l->damaged);
}

static int
print_stores(struct reader *reader, const char *name, bool json)
{
    static struct reader_store store;
    const char *error = NULL;
    struct breakdown breakdown;
    bool first = true, found = name ? reader_find(reader, name, &store, &error)
                                    : reader_first(reader, &store, &error);
    while (found && map_count(reader, &store, READER_EXACT, NULL, true, &breakdown, &error)) {
        if (json)
            print_json(&store, &breakdown, first);
        else
            print_store(&store, &breakdown.sums);
        first = false;
        found = !name && reader_next(reader, &store, &error);
    }
    if (json)
        puts(first ? "[]" : "\n]");
    if (first && !error)
        return say("it has no store now");
    return error ? say("%s", error) : 0;
}

int
command_stores(int argc, char **argv)
{
    const char *name = NULL, *error;
    bool json = false;
    const struct option_value options[] = {
        {"--store", NULL, &name, NULL}, {"--json", NULL, NULL, &json}, {0}};
    if (!take_options(&argc, argv, options))
        return 2;
    if (argc != 1)
        return misused("stores: one process or core is needed");
    struct reader *reader = reader_open(argv[0], &error);
    if (!reader)
        return say("%s", error);
    int status = print_stores(reader, name, json);
    reader_close(reader);
    return status;
}

/* ---- record ---------------------------------------------------------------------------------- */

uint64_t
resident_of(const char *pid)
{
    char path[64];
    unsigned long long size, resident = 0;
    snprintf(path, sizeof(path), "/proc/%.20s/statm", pid);
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool
record_one(struct reader *reader, const char *pid, const char *name, double since, FILE *to)
{
    static struct reader_store store;
    struct breakdown l;
    const char *error;
    if (!reader_find(reader, name, &store, &error) ||
        !map_count(reader, &store, READER_EXACT, NULL, false, &l, &error))
        return false;
    fprintf(to, "{\"t\":%.3f", seconds_now() - since);
    write_steps(to, &l);
    fprintf(to, ",\"rss\":%" PRIu64 "}\n", resident_of(pid));
    return fflush(to) == 0;
}

static int
record(struct reader *reader, const char *pid, const char *name, unsigned long interval_ms,
       unsigned long count, FILE *to)
{
    double since = seconds_now();
    unsigned long done = 0;
    while ((count == 0 || done < count) && record_one(reader, pid, name, since, to)) {
        done++;
        struct timespec pause = {(time_t)(interval_ms / 1000),
                                 (long)(interval_ms % 1000) * 1000000};
        if (done != count)
            nanosleep(&pause, NULL);
    }
    return done > 0 ? 0 : say("process %s: its store could not be read", pid);
}

int
command_record(int argc, char **argv)
{
    const char *name = NULL, *interval = "200", *count = "0", *path = "-", *error;
    const struct option_value options[] = {{"--store", NULL, &name, NULL},
                                           {"--interval", "-i", &interval, NULL},
                                           {"--count", "-n", &count, NULL},
                                           {"--output", "-o", &path, NULL},
                                           {0}};
    if (!take_options(&argc, argv, options))
        return 2;
    unsigned long ms = strtoul(interval, NULL, 10);
    if (argc != 1 || ms < 1 || ms > 3600000)
        return misused("record: one process, and an interval of 1 to 3600000 ms");
    struct reader *reader = reader_open(argv[0], &error);
    if (!reader)
        return say("%s", error);
    FILE *to = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    int status = to ? record(reader, argv[0], name, ms, strtoul(count, NULL, 10), to)
                    : say("%s cannot be written", path);
    if (to && to != stdout)
        fclose(to);
    reader_close(reader);
    return status;
}
