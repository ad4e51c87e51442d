/* SPDX-License-Identifier: MIT */
/* stats_print.c - see insight/stats_print.h. */
#include "insight/stats_print.h"

#include "core/misuse.h"
#include "insight/json.h"
#include "insight/prometheus.h"
#include "insight/stats.h"
#include "insight/text.h"
#include "insight/walk.h"
#include "os/osmem.h"

int
sn_stats_print(const struct handle_stats *stats, const struct handle_class_stats *classes,
               const char *name, enum handle_stats_format format,
               void (*write)(void *opaque, const char *text, size_t length), void *opaque)
{
    static void (*const print[])(struct printer *) = {
        [HANDLE_STATS_TEXT] = sn_print_text,
        [HANDLE_STATS_JSON] = sn_print_json,
        [HANDLE_STATS_PROMETHEUS] = sn_print_prometheus,
    };
    if (!stats || !classes || !name || !write ||
        (unsigned)format >= sizeof(print) / sizeof(print[0]))
        return -EINVAL;
    struct printer p;
    p.write = write;
    p.opaque = opaque;
    p.format = format;
    p.store = name;
    p.stats = stats;
    p.classes = classes;
    p.size_class = NULL;
    p.used = 0;
    print[format](&p);
    sn_printer_flush(&p);
    return 0;
}

static int
count_requested(handle_store *store, struct handle_stats *stats)
{
    size_t bytes;
    int result = sn_walk_requested(store, &bytes);
    if (result == 0)
        sn_stats_set_requested(stats, bytes);
    return result;
}

int
handle_store_stats_print(handle_store *store, enum handle_stats_format format,
                         void (*write)(void *opaque, const char *text, size_t length), void *opaque)
{
    unsigned of = (unsigned)format & ~(unsigned)HANDLE_STATS_EXACT;
    bool exact = of != (unsigned)format;
    sn_check_call(store, exact ? SN_REGISTERED : SN_ANYWHERE, 0, NULL);
    if (!store || !write || of > HANDLE_STATS_PROMETHEUS)
        return -EINVAL;
    SN_NO_CANCELLATION;
    struct handle_stats stats;
    struct handle_class_stats *classes = sn_os_zalloc(store->classes.count * sizeof(*classes));
    if (!classes)
        return -ENOMEM;
    sn_stats_fill_whole(store, &stats, classes);
    int result = exact ? count_requested(store, &stats) : 0;
    if (result == 0)
        result = sn_stats_print(&stats, classes, store->name, (enum handle_stats_format)of, write,
                                opaque);
    sn_os_free(classes);
    return result;
}
