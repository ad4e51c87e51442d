/* SPDX-License-Identifier: MIT */
/*
 * machine.c - small machines: a limit on address space or on private memory, transparent huge pages
 * in each mode, no overcommit, a memory cgroup. What the machine at hand does not allow is skipped
 * with a line that says why.
 *
 *     fault_machine address_space|data_segment|hugepages|overcommit|cgroup
 *
 * Exit status: 0; 1 with a finding (said on stderr); 2 for bad arguments; 77 when skipped.
 *
 * Seen failing: an arena that takes half of the limit, hugepages "never" that asks for huge pages
 * all the same, a budget that allows three times max_bytes.
 */
#include "model_store.h"

#include <inttypes.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIPPED 77

static int
skip_for(const char *why)
{
    printf("skipped: %s\n", why);
    return SKIPPED;
}

/* ---- what all of them do with a store -------------------------------------------------------- */

/* A random sequence against the map, a digest around a compaction, an orderly end. */
static void
exercise(handle_store *store, unsigned steps)
{
    static struct model model;
    model_init(&model, store, random_seed("machine"));
    model.alone = true;
    for (unsigned i = 0; i < steps; i++)
        model_step(&model);
    model_verify(&model);
    uint64_t digest = store_digest(store);
    thread_check(digest == model_digest(&model));
    thread_check(handle_store_compact(store, NULL) == 0);
    thread_check(store_digest(store) == digest);
    thread_check(handle_store_check(store, print_violation, NULL) == 0);
    model_release(&model);
    model_end(&model);
    thread_check(handle_store_used(store) == 0);
}

static uint64_t
option_number(handle_store *store, const char *name)
{
    char text[32];
    thread_check(handle_store_get(store, name, text, sizeof(text)) == 0);
    return strtoull(text, NULL, 10);
}

/* Runs body in a process of its own, which may set limits. */
static int
in_child(void (*body)(uint64_t), uint64_t argument)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    thread_check(child >= 0);
    if (child == 0) {
        thread_enter();
        body(argument);
        thread_leave();
        exit(0);
    }
    thread_check(waitpid(child, &status, 0) == child);
    return status == 0 ? 0 : 1;
}

/* ---- address space --------------------------------------------------------------------------- */

static void
set_limit(int resource, uint64_t bytes)
{
    struct rlimit limit = {bytes, bytes};
    thread_check(setrlimit(resource, &limit) == 0);
}

/* By default the store, its table being half as large as the arena, takes no more than a quarter
 * and leaves the rest to the program; an arena that is asked for is had, or refused. */
static void
under_limit(int resource, uint64_t bytes)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    set_limit(resource, bytes);
    handle_store *store = handle_store_create(NULL);
    thread_check(store != NULL);
    uint64_t arena = option_number(store, "arena_bytes");
    thread_check(arena * 3 / 2 <= bytes / 4 && arena * 8 > bytes);
    size_t rest = bytes / 4 * 3 - 256 * MIB;
    void *own = mmap(NULL, rest, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    thread_check(own != MAP_FAILED);
    thread_check(munmap(own, rest) == 0);
    exercise(store, 3000);
    options.arena_bytes = 2 * bytes;
    errno = 0;
    thread_check(!handle_store_create(&options) && errno == ENOMEM);
    thread_check(handle_store_destroy(store) == 0);
    options.arena_bytes = bytes / 4;
    store = handle_store_create(&options);
    thread_check(store && option_number(store, "arena_bytes") == bytes / 4);
    thread_check(handle_store_destroy(store) == 0);
}

/* Below what halving goes down to, create says ENOMEM, for whatever part it was that failed. */
static void
below_limit(int resource, uint64_t bytes)
{
    set_limit(resource, bytes);
    errno = 0;
    thread_check(!handle_store_create(NULL));
    thread_check(errno == ENOMEM);
}

static void
small_address_space(uint64_t bytes)
{
    under_limit(RLIMIT_AS, bytes);
}

static void
too_small_address_space(uint64_t bytes)
{
    below_limit(RLIMIT_AS, bytes);
}

static void
small_data_segment(uint64_t bytes)
{
    under_limit(RLIMIT_DATA, bytes);
}

static void
too_small_data_segment(uint64_t bytes)
{
    below_limit(RLIMIT_DATA, bytes);
}

static int
limit_sizes(void (*small)(uint64_t), void (*too_small)(uint64_t))
{
    if (slow_run())
        return skip_for("a sanitizer needs more address space than the limits leave");
    int failed = 0;
    for (uint64_t bytes = 1 * GIB; bytes <= 64 * GIB; bytes *= 4)
        failed |= in_child(small, bytes);
    return failed | in_child(too_small, 4 * MIB);
}

static int
address_space(void)
{
    return limit_sizes(small_address_space, too_small_address_space);
}

/* Private writable memory, reserved or not, counts: the kernel refuses an arena as it does without
 * overcommit. */
static int
data_segment(void)
{
    return limit_sizes(small_data_segment, too_small_data_segment);
}

/* ---- transparent huge pages ------------------------------------------------------------------ */

/* The kernel's flags of the mapping at an address ("hg": MADV_HUGEPAGE, "nh": MADV_NOHUGEPAGE). */
static bool
mapping_has_flag(const void *address, const char *flag)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[1024];
    bool inside = false, found = false;
    thread_check(file != NULL);
    while (fgets(line, sizeof(line), file)) {
        uintptr_t begin, end;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2)
            inside = (uintptr_t)address >= begin && (uintptr_t)address < end;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line + 8, flag) != NULL;
    }
    fclose(file);
    return found;
}

/* Of a store made with "dense": whether its arena is left to the kernel. */
static bool
is_plain(handle_store *store)
{
    struct handle_stats stats = HANDLE_STATS_INIT;
    thread_check(handle_store_stats(store, &stats) == 0);
    return stats.dense_reason == HANDLE_DENSE_SMALL;
}

static void
with_hugepages(uint64_t mode)
{
    static const char *const names[] = {"never", "advise", "always", "dense"};
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    char name[16];
    options.arena_bytes = GIB;
    options.hugepages = (enum handle_hugepages)mode;
    handle_store *store = handle_store_create(&options);
    thread_check(store != NULL);
    thread_check(handle_store_get(store, "hugepages", name, sizeof(name)) == 0);
    thread_check(strcmp(name, names[mode]) == 0);
    handle_t handle = handle_alloc(store, 100);
    section_enter();
    const void *object = handle_deref(store, handle);
    const void *table = (const char *)store + HANDLE_TABLE_OFFSET;
    section_leave();
    thread_check(mapping_has_flag(object, " hg") == (mode == 1 || mode == 2));
    thread_check(mapping_has_flag(object, " nh") == (mode == 0 || (mode == 3 && !is_plain(store))));
    thread_check(mapping_has_flag(table, " hg") == (mode == 2));
    thread_check(handle_free(store, handle) == 0);
    exercise(store, 10000);
    thread_check(handle_store_destroy(store) == 0);
}

static int
hugepages(void)
{
    if (access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) != 0)
        return skip_for("this kernel has no transparent huge pages");
    int failed = 0;
    for (uint64_t mode = 0; mode < 4; mode++)
        failed |= in_child(with_hugepages, mode);
    return failed;
}

/* ---- overcommit ------------------------------------------------------------------------------ */

static int
read_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    size_t length = file ? fread(text, 1, size - 1, file) : 0;
    if (file)
        fclose(file);
    text[length] = '\0';
    return length > 0 ? 0 : -1;
}

/* Under mode 2 address space counts, MAP_NORESERVE or not: the default arena must fit. */
static void
without_overcommit(uint64_t unused)
{
    (void)unused;
    handle_store *store = handle_store_create(NULL);
    thread_check(store != NULL);
    exercise(store, 10000);
    thread_check(handle_store_destroy(store) == 0);
}

static int
overcommit(void)
{
    char mode[16];
    if (read_file("/proc/sys/vm/overcommit_memory", mode, sizeof(mode)) != 0)
        return skip_for("vm.overcommit_memory cannot be read");
    if (mode[0] != '2')
        return skip_for("vm.overcommit_memory is not 2 here (data_segment does the like)");
    return in_child(without_overcommit, 0);
}

/* ---- cgroup ---------------------------------------------------------------------------------- */

#define CGROUP_BYTES (96 * MIB)

/* A group of our own below the one we are in the root of, in either version of the interface. */
struct group {
    char path[256];
    const char *limit, *peak;
};

static int
write_file(const char *directory, const char *name, const char *text)
{
    char path[320];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    if (!file)
        return -1;
    int failed = fputs(text, file) < 0;
    return fclose(file) != 0 || failed ? -1 : 0;
}

static bool
make_group(struct group *group)
{
    static const char *const places[][3] = {
        {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"},
        {"/sys/fs/cgroup", "memory.max", "memory.peak"},
    };
    char bytes[32];
    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)CGROUP_BYTES);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(group->path, sizeof(group->path), "%s/sinter-fault-%d", places[i][0],
                 (int)getpid());
        group->limit = places[i][1];
        group->peak = places[i][2];
        if (mkdir(group->path, 0755) != 0)
            continue;
        if (write_file(group->path, group->limit, bytes) == 0)
            return true;
        rmdir(group->path);
    }
    return false;
}

/* Fills to the limit and churns there; EAGAIN and ENOMEM are the answers, not the kernel's. */
static void
churn_at_the_limit(handle_store *store)
{
    enum { MOST = 400000 };
    static handle_t handles[MOST];
    uint64_t random = 7;
    unsigned refusals = 0;
    for (unsigned i = 0; i < 3 * MOST; i++) {
        unsigned k = (unsigned)random_below(&random, MOST);
        handle_free(store, handles[k]);
        errno = 0;
        handles[k] = handle_alloc(store, 100 + (i >> 19) * 300);
        section_enter();
        void *object = handle_deref_mut(store, handles[k]);
        if (object)
            memset(object, (int)k, 100);
        section_leave();
        if (object)
            continue;
        refusals++;
        thread_check(errno == ENOMEM || errno == EAGAIN);
        for (unsigned victim = 0; victim < MOST && errno == ENOMEM; victim += 4)
            handle_free(store, handles[(k + victim) % MOST]);
        thread_check(handle_store_reclaim(store, MIB) == 0);
    }
    thread_check(refusals > 0);
    thread_check(handle_store_check(store, print_violation, NULL) == 0);
}

static struct group group;

static void
in_group(uint64_t max_bytes)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    if (write_file(group.path, "cgroup.procs", "0") != 0)
        _exit(SKIPPED);
    options.max_bytes = max_bytes;
    handle_store *store = handle_store_create(&options);
    thread_check(store != NULL);
    churn_at_the_limit(store);
    thread_check(handle_store_clear(store) == 0 && handle_store_reclaim(store, SIZE_MAX) == 0);
    exercise(store, 3000);
    thread_check(handle_store_destroy(store) == 0);
}

static int
cgroup(void)
{
    char peak[64], path[320];
    if (slow_run())
        return skip_for("a sanitizer's memory counts, too");
    if (!make_group(&group))
        return skip_for("no memory cgroup can be made here");
    int failed = in_child(in_group, CGROUP_BYTES * 2 / 3);
    snprintf(path, sizeof(path), "%s/%s", group.path, group.peak);
    if (read_file(path, peak, sizeof(peak)) == 0) {
        uint64_t bytes = strtoull(peak, NULL, 10);
        printf("peak %llu of %llu bytes\n", (unsigned long long)bytes,
               (unsigned long long)CGROUP_BYTES);
        failed |= bytes > CGROUP_BYTES * 5 / 6 || bytes < CGROUP_BYTES / 2;
    }
    rmdir(group.path);
    return failed;
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } tests[] = {{"address_space", address_space},
                 {"data_segment", data_segment},
                 {"hugepages", hugepages},
                 {"overcommit", overcommit},
                 {"cgroup", cgroup}};
    for (size_t i = 0; argc == 2 && i < sizeof(tests) / sizeof(tests[0]); i++)
        if (strcmp(argv[1], tests[i].name) == 0)
            return tests[i].run();
    fprintf(stderr, "usage: %s address_space|data_segment|hugepages|overcommit|cgroup\n", argv[0]);
    return 2;
}
