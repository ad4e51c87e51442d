/* SPDX-License-Identifier: MIT */
/*
 * test_process.c - stores in processes as they are: threads that are cancelled, tied to a core or
 * ended in rounds, descriptors that are closed, memory that is locked, huge pages.
 */
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- pthread_cancel -------------------------------------------------------------------------- */

struct cancelled {
    handle_store *store;
    unsigned visits, writes, pressures, reports;
    bool went_through;
};

static int
visit_and_test(void *opaque, const struct handle_object *object)
{
    struct cancelled *c = opaque;
    (void)object;
    pthread_testcancel();
    c->visits++;
    return 0;
}

static void
write_and_test(void *opaque, const char *text, size_t length)
{
    struct cancelled *c = opaque;
    (void)text, (void)length;
    pthread_testcancel();
    c->writes++;
}

static void
press_and_test(void *opaque, handle_store *store, size_t bytes)
{
    struct cancelled *c = opaque;
    (void)store, (void)bytes;
    pthread_testcancel();
    c->pressures++;
}

static void
report_and_test(void *opaque, const char *message)
{
    struct cancelled *c = opaque;
    (void)message;
    pthread_testcancel();
    c->reports++;
}

static void
call_what_waits(handle_store *store)
{
    thread_check(handle_store_reclaim(store, SIZE_MAX) == 0);
    thread_check(handle_store_purge(store, NULL) == 0);
    thread_check(handle_store_compact(store, NULL) == 0);
    thread_check(handle_defrag_stop(store) == 0);
    thread_check(handle_defrag_start(store) == 0);
    if (TEST_TSAN) /* it follows no thread that holds as many locks */
        return;
    handle_store_before_fork(store);
    handle_store_after_fork_parent(store);
}

static void
call_what_calls_back(struct cancelled *c)
{
    struct handle_stats *stats = malloc(sizeof(*stats));
    thread_check(stats != NULL);
    *stats = (struct handle_stats)HANDLE_STATS_INIT;
    thread_check(handle_store_stats(c->store, stats) == 0); /* reads a file of the kernel's */
    free(stats);
    thread_check(handle_store_each(c->store, visit_and_test, c) == 0 && c->visits == 1);
    thread_check(handle_store_check(c->store, NULL, NULL) == 0);
    thread_check(handle_store_stats_print(c->store, HANDLE_STATS_TEXT, write_and_test, c) == 0);
    thread_check(c->writes > 0);
    thread_check(handle_alloc(c->store, 32 * MIB) == HANDLE_NULL && c->pressures == 1);
    thread_check(handle_store_set(c->store, "nonsense", "1") == -EINVAL && c->reports == 1);
}

/* Its cancellation is requested before the first call: it is answered at the first cancellation
 * point, wherever that is. */
static void *
cancelled_thread(void *opaque)
{
    struct cancelled *c = opaque;
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.arena_bytes = GIB;
    options.max_bytes = 16 * MIB;
    options.pressure = press_and_test;
    options.error = report_and_test;
    options.opaque = c;
    thread_enter();
    pthread_cancel(pthread_self());
    c->store = handle_store_create(&options);
    thread_check(c->store != NULL);
    thread_check(handle_free(c->store, handle_alloc(c->store, 100)) == 0);
    call_what_waits(c->store);
    thread_check(handle_alloc(c->store, 100) != HANDLE_NULL);
    call_what_calls_back(c);
    handle_thread_detach(c->store);
    thread_check(handle_store_destroy(c->store) == 0);
    thread_leave();
    c->went_through = true;
    pthread_testcancel();
    return NULL;
}

static void
no_call_is_a_cancellation_point(void **state)
{
    struct fixture *fixture = *state;
    static struct cancelled c;
    memset(&c, 0, sizeof(c));
    pthread_t thread;
    void *how = NULL;
    assert_int_equal(pthread_create(&thread, NULL, cancelled_thread, &c), 0);
    wait_begin();
    assert_int_equal(pthread_join(thread, &how), 0);
    wait_end();
    assert_true(how == PTHREAD_CANCELED);
    assert_true(c.went_through);
    /* No lock that the stores share was left taken. */
    assert_int_equal(handle_store_reclaim(fixture->store, SIZE_MAX), 0);
}

/* ---- the library's threads ------------------------------------------------------------------- */

/* By the kernel's call: musl leaves the functions out, which POSIX means for a whole process. */
static int
schedule_as(int policy, int priority)
{
    struct sched_param parameters = {.sched_priority = priority};
    return (int)syscall(SYS_sched_setscheduler, 0, policy, &parameters);
}

/* Asserts that each thread of the library may use `cores` cores and is scheduled normally. Result:
 * how many there are. */
static unsigned
look_at_threads(int cores)
{
    unsigned found = 0;
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks)
        skip(); /* no /proc */
    for (struct dirent *entry; (entry = readdir(tasks));) {
        char path[64], name[32] = "";
        snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file)
            continue;
        char *got = fgets(name, sizeof(name), file);
        fclose(file);
        if (!got || (strncmp(name, "sinter-", 7) != 0 && strncmp(name, "sn-", 3) != 0))
            continue;
        cpu_set_t set;
        int id = atoi(entry->d_name);
        assert_int_equal(sched_getaffinity(id, sizeof(set), &set), 0);
        assert_int_equal(CPU_COUNT(&set), cores);
        assert_int_equal(syscall(SYS_sched_getscheduler, id), SCHED_OTHER);
        found++;
    }
    closedir(tasks);
    return found;
}

/* Its maker is tied to one core and does not run as others do; the library's threads are free. */
static void
threads_do_not_inherit(void **state)
{
    (void)state;
    cpu_set_t all, one;
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.arena_bytes = GIB;
    assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    if (schedule_as(SCHED_FIFO, 1) != 0)
        assert_int_equal(schedule_as(SCHED_BATCH, 0), 0);
    handle_store *store = handle_store_create(&options);
    assert_int_equal(schedule_as(SCHED_OTHER, 0), 0);
    assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
    assert_non_null(store);
    assert_true(look_at_threads(CPU_COUNT(&all)) > 0);
    assert_int_equal(handle_store_destroy(store), 0);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

enum { SOCKETS = 8 };

static void
open_sockets(int sockets[SOCKETS])
{
    for (int i = 0; i < SOCKETS; i++)
        sockets[i] = socket(AF_UNIX, SOCK_STREAM, 0);
}

static bool
are_open(const int sockets[SOCKETS])
{
    for (int i = 0; i < SOCKETS; i++)
        if (fcntl(sockets[i], F_GETFD) < 0)
            return false;
    return true;
}

/* As daemons do. */
static void
close_others(void)
{
    for (int fd = 3; fd < 256; fd++)
        close(fd);
}

static pid_t
fork_with_hooks(handle_store *store)
{
    callbacks_pause();
    handle_store_before_fork(store);
    flavour_before_fork();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        flavour_after_fork_child();
        handle_store_after_fork_child(store);
        callbacks_resume_in_child(); /* it may fork, too */
        return 0;
    }
    flavour_after_fork_parent();
    handle_store_after_fork_parent(store);
    callbacks_resume();
    return pid;
}

static void
child_closes_all(handle_store *store)
{
    int sockets[SOCKETS];
    close_others();
    open_sockets(sockets);
    bool destroyed = handle_store_destroy(store) == 0;
    _exit(destroyed && are_open(sockets) ? 0 : 1);
}

static void
a_child_may_close_all_descriptors(void **state)
{
    struct fixture *fixture = *state;
    int status = -1;
    pid_t pid = fork_with_hooks(fixture->store);
    if (pid == 0)
        child_closes_all(fixture->store);
    wait_begin();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    wait_end();
    assert_int_equal(status, 0);
}

/* The parent does it, in a child of its own so that this process keeps its descriptors. */
static void
child_is_a_parent_that_closes_all(handle_store *store)
{
    int sockets[SOCKETS];
    pid_t pid = fork_with_hooks(store);
    if (pid == 0)
        _exit(0);
    close_others();
    open_sockets(sockets);
    bool ended = waitpid(pid, NULL, 0) == pid;
    if (fork_with_hooks(store) == 0) /* looks which children live */
        _exit(0);
    bool destroyed = handle_store_destroy(store) == 0;
    _exit(ended && destroyed && are_open(sockets) ? 0 : 1);
}

static void
a_parent_may_close_all_descriptors(void **state)
{
    struct fixture *fixture = *state;
    int status = -1;
    pid_t pid = fork_with_hooks(fixture->store);
    if (pid == 0)
        child_is_a_parent_that_closes_all(fixture->store);
    wait_begin();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    wait_end();
    assert_int_equal(status, 0);
}

/* ---- two stores ------------------------------------------------------------------------------ */

struct crossing {
    handle_store *stores[2];
    pthread_barrier_t both;
    int inner[2];
};

struct crossing_visit {
    struct crossing *crossing;
    unsigned index;
};

static int
visit_nothing(void *opaque, const struct handle_object *object)
{
    (void)opaque, (void)object;
    return 0;
}

static int
walk_the_other(void *opaque, const struct handle_object *object)
{
    struct crossing_visit *visit = opaque;
    struct crossing *c = visit->crossing;
    (void)object;
    pthread_barrier_wait(&c->both); /* both walks are under way */
    c->inner[visit->index] = handle_store_each(c->stores[!visit->index], visit_nothing, NULL);
    pthread_barrier_wait(&c->both);
    return 0;
}

static int
walk_the_resting(void *opaque, const struct handle_object *object)
{
    struct crossing_visit *visit = opaque;
    (void)object;
    visit->crossing->inner[0] = handle_store_each(visit->crossing->stores[1], visit_nothing, NULL);
    return 0;
}

static void
walk_mine(void *arg, unsigned index)
{
    struct crossing *c = arg;
    struct crossing_visit visit = {c, index};
    thread_check(handle_store_each(c->stores[index], walk_the_other, &visit) == 0);
}

static void
visitors_do_not_wait_for_walks(void **state)
{
    struct fixture *fixture = *state;
    struct crossing c = {.stores = {fixture->store, handle_store_create(&fixture->options)}};
    assert_non_null(c.stores[1]);
    for (unsigned i = 0; i < 2; i++)
        make_object(c.stores[i], 10, i);
    pthread_barrier_init(&c.both, NULL, 2);
    run_threads(2, walk_mine, &c);
    pthread_barrier_destroy(&c.both);
    assert_int_equal(c.inner[0], -EBUSY);
    assert_int_equal(c.inner[1], -EBUSY);
    struct crossing_visit visit = {&c, 0}; /* where nobody walks the other store, a visitor may */
    assert_int_equal(handle_store_each(c.stores[0], walk_the_resting, &visit), 0);
    assert_int_equal(c.inner[0], 0);
    assert_int_equal(handle_store_destroy(c.stores[1]), 0);
}

/* ---- errno ----------------------------------------------------------------------------------- */

static void
report_and_set_errno(void *opaque, const char *message)
{
    fixture_error(opaque, message);
    errno = EBADF;
}

/* Over the header behind it, at which housekeeping may look meanwhile. */
static void
write_past(uint64_t *object)
{
    for (unsigned i = 0; i < 8; i++)
        __atomic_store_n(&object[i], UINT64_C(0x5555555555555555), __ATOMIC_RELAXED);
}

/* Frees of damaged objects are reported by an allocation that fails: it still says why. */
static void
a_report_leaves_errno(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.error = report_and_set_errno;
    fixture->options.max_bytes = 4 * MIB;
    fixture->options.defrag.enabled = false;
    fixture->errors_expected = true;
    fixture_reopen(fixture);
    for (unsigned round = 0; round < 20; round++) {
        handle_t first = handle_alloc(fixture->store, 24),
                 second = handle_alloc(fixture->store, 24);
        section_enter();
        write_past(handle_deref_mut(fixture->store, first));
        assert_int_equal(handle_free(fixture->store, second), 0);
        section_leave();
        errno = 0;
        assert_true(handle_alloc(fixture->store, 16 * MIB) == HANDLE_NULL);
        assert_true(errno == ENOMEM || errno == EAGAIN);
    }
    assert_true(errors_count(fixture) > 0);
}

/* ---- the end of a thread --------------------------------------------------------------------- */

struct ending {
    handle_store *store;
    pthread_key_t key;
    unsigned rounds;
};

/* As C libraries' own do: comes again for as many rounds as there are. */
static void
use_once_more(void *opaque)
{
    struct ending *e = opaque;
    thread_enter(); /* run_threads has left */
    handle_t handle = handle_alloc(e->store, 100);
    thread_check(handle != HANDLE_NULL && handle_free(e->store, handle) == 0);
    thread_leave();
    e->rounds++;
    pthread_setspecific(e->key, e);
}

static void
end_in_rounds(void *arg, unsigned index)
{
    struct ending *e = arg;
    (void)index;
    handle_t handle = handle_alloc(e->store, 100); /* the library's destructor is made first */
    thread_check(handle != HANDLE_NULL && handle_free(e->store, handle) == 0);
    pthread_setspecific(e->key, e);
}

static void
destructors_leave_no_cache(void **state)
{
    if (TEST_TSAN) { /* it has left the thread by the last round of destructors */
        print_message("left out: ThreadSanitizer does not follow the last destructors\n");
        skip();
    }
    struct fixture *fixture = *state;
    static struct ending ending;
    memset(&ending, 0, sizeof(ending));
    ending.store = fixture->store;
    handle_t handle = make_object(fixture->store, 100, 1);
    assert_int_equal(pthread_key_create(&ending.key, use_once_more), 0);
    struct handle_stats before = take_stats(fixture->store);
    run_threads(1, end_in_rounds, &ending);
    struct handle_stats after = take_stats(fixture->store);
    assert_true(ending.rounds > 1);
    assert_true(after.threads <= before.threads);
    pthread_key_delete(ending.key);
    assert_int_equal(handle_free(fixture->store, handle), 0);
}

/* ---- huge pages ------------------------------------------------------------------------------ */

/* Whether the kernel has this flag for the mapping of an address; it skips where there is none. */
static bool
has_flag(const void *address, const char *flag)
{
    bool here = false, found = false, has = false;
    char line[512];
    FILE *smaps = fopen("/proc/self/smaps", "r");
    if (!smaps)
        skip(); /* no /proc */
    while (fgets(line, sizeof(line), smaps)) {
        unsigned long long begin, end;
        if (sscanf(line, "%llx-%llx ", &begin, &end) == 2) {
            here = (uintptr_t)address >= begin && (uintptr_t)address < end;
        } else if (here && strncmp(line, "VmFlags:", 8) == 0) {
            found = true;
            has = strstr(line, flag) != NULL;
        }
    }
    fclose(smaps);
    if (!found)
        skip();
    return has;
}

/* Where the kernel uses huge pages always, one write into a table would take 2 MiB. */
static void
no_huge_page_unasked(void **state)
{
    struct fixture *fixture = *state;
    const char *store = (const char *)fixture->store;
    section_enter();
    handle_t handle = make_object(fixture->store, 100, 1);
    const void *object = handle_deref(fixture->store, handle);
    section_leave();
    set_option(fixture->store, "hugepages", "always");
    if (!has_flag(object, " hg"))
        skip(); /* a kernel without huge pages */
    assert_true(has_flag(store + HANDLE_TABLE_OFFSET, " hg"));
    assert_true(has_flag(store, " nh"));
    set_option(fixture->store, "hugepages", "never");
    assert_true(has_flag(object, " nh"));
    assert_true(has_flag(store + HANDLE_TABLE_OFFSET, " nh"));
}

static uint32_t
dense_reason(struct fixture *fixture)
{
    struct handle_stats stats = take_stats(fixture->store);
    assert_int_equal(stats.hugepage, 0);
    return stats.dense_reason;
}

/* Why no huge page is made of dense parts: by the option, by how the store was made. */
static void
dense_says_why(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(dense_reason(fixture), HANDLE_DENSE_OFF);
    set_option(fixture->store, "hugepages", "dense");
    assert_int_equal(dense_reason(fixture), HANDLE_DENSE_FLAGGED);
    fixture->options.hugepages = HANDLE_HUGEPAGES_DENSE;
    fixture->options.hardened = true;
    fixture_reopen(fixture);
    assert_int_equal(dense_reason(fixture), HANDLE_DENSE_FLAGGED);
    fixture->options.hardened = false;
    fixture_reopen(fixture);
    uint32_t reason = dense_reason(fixture);
    if (reason == HANDLE_DENSE_ALWAYS || reason == HANDLE_DENSE_UNSUPPORTED)
        skip();
    set_option(fixture->store, "defrag.enabled", "yes");
    assert_int_equal(dense_reason(fixture), HANDLE_DENSE_SMALL);
    set_option(fixture->store, "hugepages", "never");
    assert_int_equal(dense_reason(fixture), HANDLE_DENSE_OFF);
    set_option(fixture->store, "hugepages", "dense");
    assert_int_equal(dense_reason(fixture), HANDLE_DENSE_SMALL);
    set_option(fixture->store, "defrag.enabled", "no");
    assert_int_equal(dense_reason(fixture), HANDLE_DENSE_DISABLED);
    set_option(fixture->store, "hugepages", "advise");
    set_option(fixture->store, "hugepages", "dense");
    assert_int_equal(dense_reason(fixture), HANDLE_DENSE_FLAGGED);
}

/* ---- locked memory --------------------------------------------------------------------------- */

enum { LOCKED_OK = 0, LOCKED_CANNOT = 77 };

static uint64_t
resident_bytes(void)
{
    unsigned long long size = 0, pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (!statm || fscanf(statm, "%llu %llu", &size, &pages) != 2)
        _exit(LOCKED_CANNOT);
    fclose(statm);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

#define locked_check(condition)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("not so: %s\n", #condition);                                               \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* Fills 32 MiB and gives them back: resident follows, locked or not. */
static void
fill_and_purge(handle_store *store, uint64_t before)
{
    enum { OBJECTS = 2048, BYTES = 16000 };
    static handle_t handles[OBJECTS];
    struct handle_stats stats = HANDLE_STATS_INIT;
    for (unsigned i = 0; i < OBJECTS; i++) {
        handles[i] = handle_alloc(store, BYTES);
        section_enter();
        void *object = handle_deref_mut(store, handles[i]);
        locked_check(object != NULL);
        memset(object, 1, BYTES);
        section_leave();
    }
    uint64_t full = resident_bytes();
    locked_check(full >= before + (uint64_t)OBJECTS * BYTES);
    for (unsigned i = 0; i < OBJECTS; i++)
        locked_check(handle_free(store, handles[i]) == 0);
    locked_check(handle_store_purge(store, NULL) == 0);
    locked_check(handle_store_stats(store, &stats) == 0);
    if (stats.purge_failures > 0)
        _exit(LOCKED_CANNOT); /* Linux before 5.18 */
    locked_check(resident_bytes() <= before + stats.committed + 8 * MIB);
}

/* In a process of its own, since locking is for good and for all. */
static _Noreturn void
locked_process(void)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    struct handle_stats stats = HANDLE_STATS_INIT;
    options.arena_bytes = 256 * MIB;
    options.defrag.enabled = false;
    if (mlockall(MCL_FUTURE) != 0)
        _exit(LOCKED_CANNOT);
    uint64_t before = resident_bytes();
    handle_store *store = handle_store_create(&options);
    if (!store && errno == ENOMEM)
        _exit(LOCKED_CANNOT); /* RLIMIT_MEMLOCK counts addresses */
    locked_check(store != NULL);
    locked_check(handle_alloc(store, 100) != HANDLE_NULL);
    locked_check(handle_store_stats(store, &stats) == 0);
    locked_check(resident_bytes() <= before + stats.committed + 8 * MIB); /* and two stacks */
    fill_and_purge(store, before);
    locked_check(handle_store_destroy(store) == 0);
    _exit(LOCKED_OK);
}

/* The same, but it locks what it has when there is a store. */
static _Noreturn void
late_locked_process(void)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    struct handle_stats stats = HANDLE_STATS_INIT;
    options.arena_bytes = 256 * MIB;
    options.defrag.enabled = false;
    if (mlockall(MCL_CURRENT) != 0 || munlockall() != 0)
        _exit(LOCKED_CANNOT);
    uint64_t before = resident_bytes(); /* all of the program's own */
    handle_store *store = handle_store_create(&options);
    locked_check(store != NULL);
    handle_t handle = make_object(store, 5000, 5);
    if (mlockall(MCL_CURRENT) != 0)
        _exit(LOCKED_CANNOT);
    locked_check(resident_bytes() > before + options.arena_bytes); /* what is being mended */
    locked_check(handle_store_purge(store, NULL) == 0);
    locked_check(handle_store_stats(store, &stats) == 0);
    /* The struct's range, a stack. Seen failing while descriptors of blocks that were never used,
     * and the room for pins, stayed: 2 % of the arena. */
    locked_check(resident_bytes() <= before + stats.committed + 3 * MIB);
    section_enter();
    const void *object = handle_deref(store, handle);
    locked_check(object && mismatch(object, 5000, 5) == 5000);
    section_leave();
    fill_and_purge(store, before);
    locked_check(handle_store_check(store, print_violation, NULL) == 0);
    locked_check(handle_store_destroy(store) == 0);
    _exit(LOCKED_OK);
}

static void
in_a_process_of_its_own(void (*body)(void))
{
    int status = -1;
    if (slow_run())
        skip(); /* what the tool maps would be locked, too */
    fflush(NULL);
    pid_t pid = fork(); /* no store of this process is used there */
    if (pid == 0)
        body();
    wait_begin();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    wait_end();
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == LOCKED_CANNOT) {
        print_message("memory can not be locked here, or not be given back when it is\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), LOCKED_OK);
}

static void
locked_memory_is_what_is_used(void **state)
{
    (void)state;
    in_a_process_of_its_own(locked_process);
}

static void
purge_gives_back_what_was_locked_later(void **state)
{
    (void)state;
    in_a_process_of_its_own(late_locked_process);
}

/* ---- all of them ----------------------------------------------------------------------------- */

int
group_process(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_inherit),
        STORE_TEST(no_call_is_a_cancellation_point),
        STORE_TEST(visitors_do_not_wait_for_walks),
        STORE_TEST(a_report_leaves_errno),
        STORE_TEST(destructors_leave_no_cache),
        STORE_TEST(no_huge_page_unasked),
        STORE_TEST(dense_says_why),
    };
    const struct CMUnitTest forking[] = {
        cmocka_unit_test(locked_memory_is_what_is_used),
        cmocka_unit_test(purge_gives_back_what_was_locked_later),
        STORE_TEST(a_child_may_close_all_descriptors),
        STORE_TEST(a_parent_may_close_all_descriptors),
    };
    int failed = cmocka_run_group_tests_name("process", tests, NULL, NULL);
    if (TEST_TSAN) /* as in group_fork */
        return failed;
    return failed + cmocka_run_group_tests_name("process, forking", forking, NULL, NULL);
}
