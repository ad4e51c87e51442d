/* SPDX-License-Identifier: MIT */
/*
 * caller.c - a program that was compiled with an earlier header (OLDER: structs that grow lack
 * their last members), or with a later one (NEWER: each has a member more, `later`), and is linked
 * with this version's library. Exit status 0: it is served as the manual says.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-memb.h>

#include <sinter/handle.h>

#define expect(x)                                                                                  \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "caller.c:%d: %s\n", __LINE__, #x);                                    \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define MARK UINT64_C(0x6b72616d)

/* Structs that the library fills, and what it must not touch. */
static struct {
    struct handle_defrag_report report;
    uint64_t behind_report;
    struct handle_stats stats;
    uint64_t behind_stats;
} filled = {.report = HANDLE_DEFRAG_REPORT_INIT,
            .behind_report = MARK,
            .stats = HANDLE_STATS_INIT,
            .behind_stats = MARK};

static unsigned lines;

static void
count_line(void *opaque, const char *line)
{
    (void)opaque;
    lines += strstr(line, "this version does not know") != NULL;
}

static handle_store *
make_store(void)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.error = count_line;
    options.purge_delay_ms = 17;
#ifdef NEWER
    options.later = MARK;
    errno = 0;
    expect(handle_store_create_flavor(&options, &urcu_memb_flavor) == NULL);
    expect(errno == EINVAL && lines == 1);
    options.later = 0;
#endif
    return handle_store_create_flavor(&options, &urcu_memb_flavor);
}

static void
check_options(handle_store *store)
{
    char value[32];
    expect(handle_store_get(store, "purge_delay_ms", value, sizeof(value)) == 0);
    expect(strcmp(value, "17") == 0);
    expect(handle_store_get(store, "core", value, sizeof(value)) == 0);
    expect(strcmp(value, "full") == 0);
}

static void
check_filled(handle_store *store)
{
#ifdef NEWER
    filled.report.later = filled.stats.later = MARK;
#endif
    expect(handle_alloc(store, 100) != HANDLE_NULL);
    expect(handle_defrag_estimate(store, &filled.report) == 0);
    expect(handle_store_stats(store, &filled.stats) == 0);
    expect(filled.report.struct_size == sizeof(filled.report) && filled.report.live_bytes > 0);
    expect(filled.stats.struct_size == sizeof(filled.stats) && filled.stats.objects == 1);
#ifdef NEWER
    expect(filled.report.later == MARK && filled.stats.later == MARK);
#endif
    expect(filled.behind_report == MARK && filled.behind_stats == MARK);
}

/* An array whose elements have another size than the library's: each is filled at its own place. */
static void
check_classes(handle_store *store)
{
    static struct handle_class_stats classes[HANDLE_CLASSES_MAX + 1];
    memset(classes, 0xff, sizeof(classes));
    int count = handle_store_class_stats(store, classes, sizeof(classes[0]), HANDLE_CLASSES_MAX);
    expect(count > 64 && count <= HANDLE_CLASSES_MAX);
    for (int i = 1; i < count; i++)
        expect(classes[i].object_bytes > classes[i - 1].object_bytes);
    expect(classes[count].object_bytes == UINT64_MAX);
}

int
main(void)
{
    urcu_memb_register_thread();
    handle_store *store = make_store();
    expect(store != NULL);
    check_options(store);
    check_filled(store);
    check_classes(store);
    expect(handle_store_destroy(store) == 0);
    urcu_memb_unregister_thread();
    return 0;
}
