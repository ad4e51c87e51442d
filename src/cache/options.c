/* SPDX-License-Identifier: MIT */
/* options.c - see options.h; and sinter_cache_configure. */
#include "cache/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/** Gives a line to whoever hears of errors. */
struct listener {
    void (*error)(void *, const char *);
    void *opaque;
};

static int
complain(struct listener listener, const char *line)
{
    if (listener.error)
        listener.error(listener.opaque, line);
    else
        fprintf(stderr, "sinter-cache: %s\n", line);
    return -EINVAL;
}

/** Options that are numbers; those before CONFIGURABLE can be changed later. */
enum number {
    LIMIT_BYTES,
    LIMIT_PERCENT,
    WAIT_MS,
    SWEEP_PERCENT,
    CAS_ABOVE, /* of those to be changed later alone */
    CONFIGURABLE,
    FAVOUR,
    WEIGHT
};
static const struct {
    const char *name;
    uint64_t least, most;
} ranges[] = {[LIMIT_BYTES] = {"limit_bytes", SC_LIMIT_LEAST, SC_LIMIT_MOST},
              [LIMIT_PERCENT] = {"limit_percent", 1, SC_PERCENT_MOST},
              [WAIT_MS] = {"wait_ms", 0, 60000},
              [SWEEP_PERCENT] = {"sweep_percent", 1, 50},
              [CAS_ABOVE] = {"cas_above", 0, UINT64_C(1) << (SC_CAS_BITS - 1)},
              [FAVOUR] = {"favour", 0, 1},
              [WEIGHT] = {"weight", 1, 1000}};

static int
check_range(struct listener listener, enum number option, uint64_t value)
{
    char line[160];
    uint64_t least = ranges[option].least, most = ranges[option].most;
    if (value >= least && value <= most)
        return 0;
    snprintf(line, sizeof(line), "option %s: %" PRIu64 " is not from %" PRIu64 " to %" PRIu64,
             ranges[option].name, value, least, most);
    return complain(listener, line);
}

/* ---- the memory that there is ---------------------------------------------------------------- */

/* A number in a file; UINT64_MAX: "max", or no such file. */
static uint64_t
read_number(const char *path)
{
    char text[32] = "";
    FILE *file = fopen(path, "re");
    if (!file)
        return UINT64_MAX;
    bool read = fgets(text, sizeof(text), file);
    fclose(file);
    return read && text[0] >= '0' && text[0] <= '9' ? strtoull(text, NULL, 10) : UINT64_MAX;
}

/* The least limit of a group and of those above it. Cuts the path short. */
static uint64_t
least_limit(const char *root, char *group, const char *file)
{
    uint64_t least = UINT64_MAX;
    char path[600];
    for (;;) {
        snprintf(path, sizeof(path), "%s%s/%s", root, group, file);
        least = sc_min(least, read_number(path));
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

static uint64_t
limit_of_cgroup(void)
{
    char line[512];
    uint64_t least = UINT64_MAX;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        char *memory = strstr(line, ":memory:");
        if (strncmp(line, "0::", 3) == 0)
            least = sc_min(least, least_limit("/sys/fs/cgroup", line + 3, "memory.max"));
        else if (memory)
            least = sc_min(
                least, least_limit("/sys/fs/cgroup/memory", memory + 8, "memory.limit_in_bytes"));
    }
    if (file)
        fclose(file);
    return least;
}

/* Bytes, within the range of limits; the least of them if nobody knows how much memory there is. */
uint64_t
sc_limit_of_percent(uint32_t percent)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t memory = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
    uint64_t bytes = sc_min(memory, limit_of_cgroup()) / 100 * percent;
    return sc_clamp(bytes, SC_LIMIT_LEAST, SC_LIMIT_MOST);
}

/* ---- at creation ----------------------------------------------------------------------------- */

static const struct sinter_cache_options defaults = SINTER_CACHE_OPTIONS_INIT;

static int
check_name(struct listener listener, const char *name)
{
    size_t length = name ? strnlen(name, 25) : 0;
    return length >= 1 && length <= 24
               ? 0
               : complain(listener, "option name: it has to have 1 to 24 bytes");
}

/* The first version ended here. What comes later is appended, by members of eight bytes. */
#define OLDEST_OPTIONS_BYTES (offsetof(struct sinter_cache_options, opaque) + sizeof(void *))

static bool
is_some_version(size_t struct_size)
{
    return struct_size >= OLDEST_OPTIONS_BYTES && struct_size % sizeof(uint64_t) == 0;
}

int
sinter_cache_options_init(struct sinter_cache_options *options, size_t struct_size)
{
    if (!options || !is_some_version(struct_size))
        return -EINVAL;
    memset(options, 0, struct_size);
    memcpy(options, &defaults, sc_min(struct_size, sizeof(defaults)));
    options->struct_size = struct_size;
    return 0;
}

/* The struct of a caller, whose version may be another one. */
static int
copy_options(struct sinter_cache_options *options, const struct sinter_cache_options *given)
{
    size_t size = given->struct_size;
    const char *all = (const char *)given;
    if (!is_some_version(size)) /* where is its callback? */
        return complain((struct listener){NULL, NULL},
                        "struct_size: begin with SINTER_CACHE_OPTIONS_INIT");
    for (size_t at = sizeof(*options); at < size; at++) {
        if (all[at] != 0)
            return complain((struct listener){given->error, given->opaque},
                            "options: one is set that this version does not know");
    }
    memcpy(options, given, sc_min(size, sizeof(*options)));
    return 0;
}

int
sc_options_read(const struct sinter_cache_options *given, struct sinter_cache_options *options,
                uint64_t *limit)
{
    *options = defaults;
    int rc = given ? copy_options(options, given) : 0;
    if (rc != 0)
        return rc;
    struct listener listener = {options->error, options->opaque};
    rc = check_name(listener, options->name);
    if (rc == 0 && options->limit_percent)
        rc = check_range(listener, LIMIT_PERCENT, options->limit_percent);
    else if (rc == 0)
        rc = check_range(listener, LIMIT_BYTES, options->limit_bytes);
    const uint64_t rest[] = {[WAIT_MS] = options->wait_ms,
                             [SWEEP_PERCENT] = options->sweep_percent,
                             [FAVOUR] = options->favour,
                             [WEIGHT] = options->weight};
    for (enum number i = WAIT_MS; i <= WEIGHT && rc == 0; i++)
        rc = i == CONFIGURABLE ? 0 : check_range(listener, i, rest[i]);
    *limit =
        options->limit_percent ? sc_limit_of_percent(options->limit_percent) : options->limit_bytes;
    return rc;
}

/* ---- later ----------------------------------------------------------------------------------- */

/* A decimal number with an optional K, M, G or T. */
static bool
parse(const char *text, uint64_t *value)
{
    static const char suffixes[] = "KMGT";
    char *end;
    errno = 0;
    if (*text < '0' || *text > '9')
        return false;
    *value = strtoull(text, &end, 10);
    if (errno || !*end)
        return !errno;
    const char *suffix = strchr(suffixes, *end);
    return suffix && !end[1] &&
           !__builtin_mul_overflow(*value, UINT64_C(1024) << 10 * (suffix - suffixes), value);
}

static int
set_favour(sinter_cache *cache, struct listener listener, const char *value)
{
    bool bytes = strcmp(value, "bytes") == 0;
    if (!bytes && strcmp(value, "requests") != 0)
        return complain(listener, "option favour: it is requests or bytes");
    sc_store(&cache->policy.favour_bytes, bytes);
    return 0;
}

static int
set_number(sinter_cache *cache, struct listener listener, const char *name, uint64_t number)
{
    enum number i = 0;
    while (i < CONFIGURABLE && strcmp(name, ranges[i].name) != 0)
        i++;
    if (i == CONFIGURABLE)
        return complain(listener, "configure: no such option, or it is for creation only");
    if (i <= LIMIT_PERCENT && cache->tenant.budget)
        return complain(listener, "configure: the limit is shared; see sinter_cache_budget_limit");
    int rc = check_range(listener, i, number);
    if (rc != 0)
        return rc;
    if (i <= LIMIT_PERCENT) {
        sc_room_allow(cache, i == LIMIT_PERCENT ? sc_limit_of_percent((uint32_t)number) : number);
        sc_room_follow(cache);
    } else if (i == CAS_ABOVE)
        sc_raise(&cache->cas, number);
    else
        sc_store(i == WAIT_MS ? &cache->room.wait_ms : &cache->sweep.percent, (uint32_t)number);
    return 0;
}

int
sinter_cache_configure(sinter_cache *cache, const char *name, const char *value)
{
    uint64_t number;
    if (!cache || !name || !value)
        return -EINVAL;
    struct listener listener = {cache->error, cache->opaque};
    if (strcmp(name, "favour") == 0)
        return set_favour(cache, listener, value);
    if (!parse(value, &number))
        return complain(listener, "configure: the value is no number");
    return set_number(cache, listener, name, number);
}
