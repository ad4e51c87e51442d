/* SPDX-License-Identifier: MIT */
/*
 * profile.c - handle_store_profile: what became of the objects that were drawn (core/profile.h), by
 * site and age; and handle_store_census: all objects, by the application's labels.
 *
 * Estimates: an object that was drawn with p counts 1 / p times (Horvitz and Thompson); the
 * variance of a sum over such x / p is estimated by that of x^2 (1 - p) / p^2.
 */
#include "core/profile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/misuse.h"
#include "insight/heap_text.h"
#include "insight/pprof.h"
#include "insight/stats.h"
#include "insight/walk.h"
#include "thread/drain.h"

static double
square_root(double of)
{
    double root = of > 1 ? of : 1;
    for (unsigned i = 0; i < 100; i++) /* Newton; halves at least, until it is near */
        root = (root + of / root) / 2;
    return root;
}

static bool
is_wrong(const handle_store *store, unsigned format, unsigned formats,
         void (*write)(void *, const char *, size_t))
{
    return !store || !write || format >= formats;
}

/* ---- by site --------------------------------------------------------------------------------- */

enum { ALLOC_OBJECTS, ALLOC_SPACE, OBJECTS, SPACE, ROUNDING, SPARSE, PINNED, MOVED, LIMBO };

static const char *const types[] = {"alloc_objects",
                                    "count",
                                    "alloc_space",
                                    "bytes",
                                    "inuse_objects",
                                    "count",
                                    "inuse_space",
                                    "bytes",
                                    "rounding_space",
                                    "bytes",
                                    "sparse_space",
                                    "bytes",
                                    "pinned_space",
                                    "bytes",
                                    "moved_space",
                                    "bytes",
                                    "limbo_space",
                                    "bytes",
                                    NULL};

/* A drawn object that lives, for as many as it stands for. */
struct row {
    uint32_t site, age; /* power of two of seconds, and 1; 0: less than one */
    double value[SN_PPROF_VALUES];
};

struct profile {
    handle_store *store;
    struct sn_pprof pprof;
    struct row *row;
    size_t rows, room;
    double sum, variance; /* of SPACE */
    struct sn_profile_site site;
    uint64_t location[SN_PROFILE_FRAMES];
};
_Static_assert(SN_PROFILE_FRAMES <= SN_PPROF_FRAMES, "a stack fits into a sample");

static bool
make_room(struct profile *profile)
{
    if (profile->rows < profile->room)
        return true;
    size_t room = profile->room * 2 + 1024;
    struct row *more = sn_os_zalloc(room * sizeof(*more));
    if (!more)
        return false;
    if (profile->row)
        memcpy(more, profile->row, profile->rows * sizeof(*more));
    sn_os_free(profile->row);
    profile->row = more;
    profile->room = room;
    return true;
}

static uint32_t
age_of(uint64_t since_ns)
{
    uint64_t seconds = (sn_os_now_ns() - since_ns) / 1000000000;
    return seconds ? 64 - (uint32_t)__builtin_clzll(seconds) : 0;
}

static bool
add_record(struct profile *profile, const struct sn_profile_record *record)
{
    struct sn_profile_object object;
    if (!sn_profile_look(profile->store, record->slot, &object))
        return true;
    if (!make_room(profile))
        return false;
    double w = record->weight, size = (double)object.size;
    struct row *row = &profile->row[profile->rows++];
    *row = (struct row){.site = record->site, .age = age_of(record->since_ns)};
    row->value[OBJECTS] = w;
    row->value[SPACE] = w * size;
    row->value[ROUNDING] = w * (double)object.rounding;
    row->value[SPARSE] = w * object.sparse;
    row->value[PINNED] = w * object.pinned;
    row->value[MOVED] = w * (double)object.slot_bytes * record->moves;
    profile->sum += w * size;
    profile->variance += size * size * w * (w - 1);
    return true;
}

static bool
gather(struct profile *profile)
{
    enum { AT_ONCE = 64 };
    struct sn_profile_record record[AT_ONCE];
    uint32_t at = 0, count;
    while ((count = sn_profile_records(profile->store, &at, record, AT_ONCE)) > 0)
        for (uint32_t i = 0; i < count; i++)
            if (!add_record(profile, &record[i]))
                return false;
    return true;
}

static int
by_site(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->site != y->site)
        return x->site < y->site ? -1 : 1;
    return (x->age > y->age) - (x->age < y->age);
}

static void
write_row(struct profile *profile, const struct row *row)
{
    uint64_t seconds = row->age ? UINT64_C(1) << (row->age - 1) : 0;
    sn_pprof_sample(&profile->pprof, profile->location, profile->site.depth, row->value, "age",
                    seconds, "seconds");
}

/* Rows of one site, of which each age is written once. Result: how many. */
static size_t
write_rows(struct profile *profile, size_t at, uint32_t site)
{
    size_t begin = at;
    while (at < profile->rows && profile->row[at].site == site) {
        struct row sum = profile->row[at++];
        for (; at < profile->rows && by_site(&profile->row[at], &sum) == 0; at++)
            for (unsigned i = 0; i < SN_PPROF_VALUES; i++)
                sum.value[i] += profile->row[at].value[i];
        write_row(profile, &sum);
    }
    return at - begin;
}

static void
write_sites(struct profile *profile)
{
    size_t at = 0;
    for (uint32_t site = 1; sn_profile_site(profile->store, site, &profile->site); site++) {
        double allocated[SN_PPROF_VALUES] = {profile->site.allocs, profile->site.alloc_bytes};
        for (uint32_t i = 0; i < profile->site.depth; i++)
            profile->location[i] = sn_pprof_address(&profile->pprof, profile->site.frame[i]);
        sn_pprof_sample(&profile->pprof, profile->location, profile->site.depth, allocated, NULL, 0,
                        NULL);
        at += write_rows(profile, at, site);
    }
}

/* What no site is known of: it has no objects any more. */
static void
write_limbo(struct profile *profile, const struct handle_stats *stats)
{
    double value[SN_PPROF_VALUES] = {0};
    uint64_t location = sn_pprof_name(&profile->pprof, "[freed, waits for a grace period]");
    value[LIMBO] = (double)stats->limbo;
    if (stats->limbo > 0)
        sn_pprof_sample(&profile->pprof, &location, 1, value, NULL, 0, NULL);
}

static void
write_comment(struct profile *profile, const struct handle_stats *stats)
{
    char text[300];
    const double mib = 1 << 20;
    snprintf(
        text, sizeof(text),
        "inuse_space %.2f MiB, of %zu drawn objects, three standard errors %.2f MiB; the store "
        "says requested %.2f MiB",
        profile->sum / mib, profile->rows, 3 * square_root(profile->variance) / mib,
        (double)stats->requested / mib);
    sn_pprof_comment(&profile->pprof, text);
    uint64_t lost = sn_profile_lost(profile->store);
    snprintf(text, sizeof(text), "%" PRIu64 " objects were drawn and are in no sum: no memory",
             lost);
    if (lost > 0)
        sn_pprof_comment(&profile->pprof, text);
}

/* What allocates, of which a program that is linked to the static library has frames. */
#define OWN_FUNCTIONS "handle_(cell_)?(alloc|alloc_object|alloc_many|publish|resize|resize_reserve)"

/* The rows of one site, of all ages, from *at on. */
static struct sn_heap_counts
count_site(const struct profile *profile, uint32_t site, size_t *at)
{
    struct sn_heap_counts counts = {.allocs = profile->site.allocs,
                                    .alloc_bytes = profile->site.alloc_bytes};
    for (; *at < profile->rows && profile->row[*at].site == site; ++*at) {
        counts.objects += profile->row[*at].value[OBJECTS];
        counts.bytes += profile->row[*at].value[SPACE];
    }
    return counts;
}

/* Adds a site to all of them, or writes it as well. */
static void
pass_sites(struct profile *profile, struct sn_heap_counts *all, bool writes)
{
    size_t at = 0;
    for (uint32_t site = 1; sn_profile_site(profile->store, site, &profile->site); site++) {
        struct sn_heap_counts counts = count_site(profile, site, &at);
        all->objects += counts.objects;
        all->bytes += counts.bytes;
        all->allocs += counts.allocs;
        all->alloc_bytes += counts.alloc_bytes;
        if (writes)
            sn_heap_text_site(&profile->pprof.lines, &counts, profile->site.frame,
                              profile->site.depth);
    }
}

static void
write_heap_text(struct profile *profile)
{
    struct sn_heap_counts all = {0};
    pass_sites(profile, &all, false);
    sn_heap_text_begin(&profile->pprof.lines, &all);
    pass_sites(profile, &all, true);
    sn_heap_text_end(&profile->pprof.lines);
    sn_lines_flush(&profile->pprof.lines);
}

static void
write_profile(struct profile *profile)
{
    struct handle_stats stats;
    sn_stats_fill_whole(profile->store, &stats, NULL);
    sn_pprof_begin(&profile->pprof, types, "inuse_space");
    sn_pprof_mappings(&profile->pprof);
    sn_pprof_drop_frames(&profile->pprof, OWN_FUNCTIONS);
    write_comment(profile, &stats);
    write_sites(profile);
    write_limbo(profile, &stats);
    sn_lines_flush(&profile->pprof.lines);
}

int
handle_store_profile(handle_store *store, enum handle_profile_format format,
                     void (*write)(void *opaque, const char *text, size_t length), void *opaque)
{
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (is_wrong(store, format, HANDLE_PROFILE_FORMATS, write))
        return -EINVAL;
    if (!sn_load_acquire(&store->profile))
        return -ENOENT;
    SN_NO_CANCELLATION;
    struct profile *profile = sn_os_zalloc(sizeof(*profile));
    if (!profile)
        return -ENOMEM;
    profile->store = store;
    profile->pprof.lines.write = write;
    profile->pprof.lines.opaque = opaque;
    (void)sn_caches_drain(&store->caches, false, false, NULL); /* what they keep is no object's */
    bool good = gather(profile);
    if (good && profile->rows > 0)
        qsort(profile->row, profile->rows, sizeof(*profile->row), by_site);
    if (good)
        (format == HANDLE_PROFILE_HEAP_TEXT ? write_heap_text : write_profile)(profile);
    sn_os_free(profile->row);
    sn_os_free(profile);
    return good ? 0 : -ENOMEM;
}

/* ---- by label -------------------------------------------------------------------------------- */

#define KINDS       8192u /* a power of two */
#define KINDS_FULL  4000u
#define LABEL_BYTES 64

enum { KIND_OBJECTS, KIND_SPACE, KIND_ROUNDING, KIND_SPARSE, KIND_PINNED, KIND_UNMOVABLE };

static const char *const kind_types[] = {
    "objects",         "count",        "space", "bytes",        "rounding_space",
    "bytes",           "sparse_space", "bytes", "pinned_space", "bytes",
    "unmovable_space", "bytes",        NULL};

struct kind {
    char label[LABEL_BYTES];
    double value[SN_PPROF_VALUES];
};

struct census {
    handle_store *store;
    const char *(*label)(void *opaque, const struct handle_object *object);
    void *opaque;
    struct sn_pprof pprof;
    unsigned kinds;
    struct kind kind[KINDS];
};

/* The kind of that label, or where it can be. */
static struct kind *
look_up(struct census *census, const char *label)
{
    uint64_t hash = 0;
    size_t length = strnlen(label, LABEL_BYTES - 1);
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)label[i]) * UINT64_C(0x100000001b3);
    struct kind *kind;
    do
        kind = &census->kind[(hash ^ hash >> 32) % KINDS];
    while (hash++,
           kind->value[KIND_OBJECTS] > 0 && strncmp(kind->label, label, LABEL_BYTES - 1) != 0);
    return kind;
}

static struct kind *
find_kind(struct census *census, const char *label)
{
    struct kind *kind = look_up(census, label);
    if (kind->value[KIND_OBJECTS] == 0 && census->kinds >= KINDS_FULL) {
        label = "(other)";
        kind = look_up(census, label);
    }
    if (kind->value[KIND_OBJECTS] == 0) {
        census->kinds++;
        snprintf(kind->label, LABEL_BYTES, "%s", label);
    }
    return kind;
}

static const char *
label_of(struct census *census, const struct handle_object *object, char text[LABEL_BYTES])
{
    const char *label = census->label ? census->label(census->opaque, object) : NULL;
    if (label)
        return label;
    unsigned class_id =
        sn_object_class(census->store, sn_store_offset(census->store, object->data));
    if (class_id < SN_CLASSES_MAX)
        snprintf(text, LABEL_BYTES, "objects to %zu bytes",
                 sn_class_max_size(&census->store->classes, class_id));
    else
        snprintf(text, LABEL_BYTES, "large objects");
    return text;
}

static int
count_object(void *opaque, const struct sn_found *found)
{
    struct census *census = opaque;
    struct sn_profile_object object;
    struct handle_object shown;
    char text[LABEL_BYTES];
    if (!sn_profile_look_any(census->store, found->slot, &object))
        return 0; /* it has just ended */
    sn_found_show(census->store, found, &shown);
    struct kind *kind = find_kind(census, label_of(census, &shown, text));
    kind->value[KIND_OBJECTS]++;
    kind->value[KIND_SPACE] += (double)object.size;
    kind->value[KIND_ROUNDING] += (double)object.rounding;
    kind->value[KIND_SPARSE] += object.sparse;
    kind->value[KIND_PINNED] += object.pinned;
    if (shown.flags & HANDLE_UNMOVABLE)
        kind->value[KIND_UNMOVABLE] += (double)object.slot_bytes;
    return 0;
}

static void
write_census(struct census *census)
{
    sn_pprof_begin(&census->pprof, kind_types, "space");
    for (unsigned i = 0; i < KINDS; i++) {
        const struct kind *kind = &census->kind[i];
        if (kind->value[KIND_OBJECTS] == 0)
            continue;
        uint64_t location = sn_pprof_name(&census->pprof, kind->label);
        sn_pprof_sample(&census->pprof, &location, 1, kind->value, NULL, 0, NULL);
    }
    sn_lines_flush(&census->pprof.lines);
}

int
handle_store_census(handle_store *store,
                    const char *(*label)(void *opaque, const struct handle_object *object),
                    void *label_opaque, enum handle_profile_format format,
                    void (*write)(void *opaque, const char *text, size_t length), void *opaque)
{
    sn_check_call(store, SN_REGISTERED, 0, NULL);
    if (is_wrong(store, format, HANDLE_PROFILE_PPROF + 1, write))
        return -EINVAL;
    SN_NO_CANCELLATION;
    struct census *census = sn_os_zalloc(sizeof(*census));
    if (!census)
        return -ENOMEM;
    census->store = store;
    census->label = label;
    census->opaque = label_opaque;
    census->pprof.lines.write = write;
    census->pprof.lines.opaque = opaque;
    (void)sn_caches_drain(&store->caches, false, false, NULL);
    int result = sn_walk(store, count_object, census);
    if (result == 0)
        write_census(census);
    sn_os_free(census);
    return result;
}
