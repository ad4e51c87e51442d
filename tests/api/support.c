/* SPDX-License-Identifier: MIT */
/*
 * support.c - the helpers of support.h. Not a test by itself; main.c runs the groups.
 */
#include "support.h"

#include <sys/wait.h>
#include <time.h>

__thread unsigned section_depth;

#if TEST_TSAN
/* liburcu is not instrumented: what it does with its own memory (rcu_barrier, for one) looks like
 * races. Callbacks that it runs are looked at all the same. */
const char *__tsan_default_suppressions(void);

const char *
__tsan_default_suppressions(void)
{
    return "called_from_lib:" FLAVOUR_LIBRARY "\n";
}
#endif

/* ---- the fixture ----------------------------------------------------------------------------- */

void
fixture_error(void *opaque, const char *message)
{
    struct fixture *fixture = opaque;
    struct error_log *log = &fixture->errors;
    pthread_mutex_lock(&log->lock);
    size_t used = strlen(log->text);
    snprintf(log->text + used, sizeof(log->text) - used, "%s\n", message);
    log->lines++;
    pthread_mutex_unlock(&log->lock);
}

unsigned
errors_count(struct fixture *fixture)
{
    pthread_mutex_lock(&fixture->errors.lock);
    unsigned lines = fixture->errors.lines;
    pthread_mutex_unlock(&fixture->errors.lock);
    return lines;
}

bool
errors_contain(struct fixture *fixture, const char *text)
{
    pthread_mutex_lock(&fixture->errors.lock);
    bool found = strstr(fixture->errors.text, text) != NULL;
    pthread_mutex_unlock(&fixture->errors.lock);
    return found;
}

void
errors_reset(struct fixture *fixture)
{
    pthread_mutex_lock(&fixture->errors.lock);
    fixture->errors.lines = 0;
    fixture->errors.text[0] = '\0';
    pthread_mutex_unlock(&fixture->errors.lock);
}

void
fixture_options(struct fixture *fixture, struct handle_store_options *options)
{
    *options = (struct handle_store_options)HANDLE_STORE_OPTIONS_INIT;
    options->arena_bytes = TEST_ARENA_BYTES;
    options->error = fixture_error;
    options->opaque = fixture;
}

int
fixture_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (!fixture)
        return -1;
    pthread_mutex_init(&fixture->errors.lock, NULL);
    fixture_options(fixture, &fixture->options);
    fixture->store = handle_store_create(&fixture->options);
    if (!fixture->store) {
        free(fixture);
        return -1;
    }
    *state = fixture;
    return 0;
}

void
fixture_reopen(struct fixture *fixture)
{
    assert_int_equal(handle_store_destroy(fixture->store), 0);
    fixture->store = handle_store_create(&fixture->options);
    assert_non_null(fixture->store);
}

void
print_violation(void *opaque, const char *violation)
{
    (void)opaque;
    print_error("violation: %s\n", violation);
}

/* A test that failed may have left sections open: close them first, or the store's grace periods
 * would wait for ever. */
int
fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    int failed = 0;
    while (section_depth)
        section_leave();
    if (fixture->store && !fixture->errors_expected) {
        failed |= handle_store_check(fixture->store, print_violation, NULL) != 0;
        if (errors_count(fixture))
            print_error("reported without reason: %s", fixture->errors.text);
        failed |= errors_count(fixture) != 0;
    }
    if (fixture->store && handle_store_destroy(fixture->store)) {
        print_error("the store could not be destroyed\n");
        return -1; /* the log must outlive the store: the fixture stays */
    }
    pthread_mutex_destroy(&fixture->errors.lock);
    free(fixture);
    return failed ? -1 : 0;
}

/* ---- contents -------------------------------------------------------------------------------- */

static uint64_t
mix(uint64_t value)
{
    value ^= value >> 32;
    value *= UINT64_C(0xd6e8feb86659fd93);
    value ^= value >> 32;
    value *= UINT64_C(0xd6e8feb86659fd93);
    return value ^ value >> 32;
}

/* Word i of the contents of seed; no two words of one object are likely to be alike. */
static uint64_t
pattern(uint64_t seed, size_t i)
{
    return mix(seed * UINT64_C(0x9e3779b97f4a7c15) + i + 1);
}

void
fill(void *object, size_t size, uint64_t seed)
{
    unsigned char *bytes = object;
    size_t at = 0;
    for (; at + 8 <= size; at += 8) {
        uint64_t word = pattern(seed, at / 8);
        memcpy(bytes + at, &word, 8);
    }
    uint64_t last = pattern(seed, at / 8);
    if (at < size)
        memcpy(bytes + at, &last, size - at);
}

size_t
mismatch(const void *object, size_t size, uint64_t seed)
{
    const unsigned char *bytes = object;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = pattern(seed, at / 8);
        size_t n = size - at < 8 ? size - at : 8;
        if (memcmp(bytes + at, &word, n) == 0)
            continue;
        for (size_t i = 0; i < n; i++)
            if (bytes[at + i] != ((const unsigned char *)&word)[i])
                return at + i;
    }
    return size;
}

handle_t
make_object(handle_store *store, size_t size, uint64_t seed)
{
    void *object = NULL;
    section_enter();
    handle_t handle = handle_alloc_object(store, size, 0, &object);
    if (handle != HANDLE_NULL)
        fill(object, size, seed);
    section_leave();
    assert_int_not_equal(handle, HANDLE_NULL);
    return handle;
}

void
assert_object(handle_store *store, handle_t handle, size_t size, uint64_t seed)
{
    section_enter();
    const void *object = handle_deref(store, handle);
    assert_non_null(object);
    assert_int_equal(handle_size(store, handle), size);
    assert_filled(object, size, seed);
    section_leave();
}

/* ---- digest and check ------------------------------------------------------------------------ */

static uint64_t
hash_bytes(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t hash = mix(size + 1);
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + at, size - at < 8 ? size - at : 8);
        hash = mix(hash ^ word) + hash * 3;
    }
    return hash;
}

uint64_t
object_digest(const struct handle_object *object)
{
    uint64_t name = object->handle ? object->handle : (uint64_t)(uintptr_t)object->cell;
    uint64_t hash = hash_bytes(object->data, object->size);
    return mix(hash + mix(name) + mix(object->tag * 4 + object->flags));
}

/* A sum, so that the order of the walk, which is by address, does not matter. */
static int
add_to_digest(void *opaque, const struct handle_object *object)
{
    uint64_t *sum = opaque;
    *sum += object_digest(object);
    return 0;
}

uint64_t
store_digest(handle_store *store)
{
    uint64_t sum = 0;
    assert_int_equal(handle_store_each(store, add_to_digest, &sum), 0);
    return sum;
}

void
assert_clean(handle_store *store)
{
    assert_int_equal(handle_store_check(store, print_violation, NULL), 0);
}

void
compact_checked(handle_store *store, struct handle_defrag_report *report)
{
    uint64_t before = store_digest(store);
    assert_int_equal(handle_store_compact(store, report), 0);
    assert_true(store_digest(store) == before);
    assert_clean(store);
}

void
settle(handle_store *store)
{
    assert_int_equal(handle_defrag_stop(store), 0);
    /* Twice: the first waits for the limbo there is, which the mover may just have added to. */
    assert_int_equal(handle_store_purge(store, NULL), 0);
    assert_int_equal(handle_store_purge(store, NULL), 0);
}

struct handle_stats
take_stats(handle_store *store)
{
    struct handle_stats stats = HANDLE_STATS_INIT;
    assert_int_equal(handle_store_stats(store, &stats), 0);
    return stats;
}

const struct handle_class_stats *
class_stats_of(handle_store *store)
{
    static struct handle_class_stats classes[HANDLE_CLASSES_MAX];
    assert_true(handle_store_class_stats(store, classes, sizeof(classes[0]), HANDLE_CLASSES_MAX) >
                0);
    return classes;
}

size_t
used_exactly(handle_store *store)
{
    size_t bytes = SIZE_MAX;
    assert_int_equal(handle_store_used_exact(store, &bytes), 0);
    return bytes;
}

void
set_option(handle_store *store, const char *name, const char *value)
{
    assert_int_equal(handle_store_set(store, name, value), 0);
}

/* ---- threads --------------------------------------------------------------------------------- */

struct thread_start {
    void (*body)(void *arg, unsigned index);
    void *arg;
    unsigned index;
};

static void *
thread_main(void *opaque)
{
    struct thread_start *start = opaque;
    thread_enter();
    start->body(start->arg, start->index);
    thread_leave();
    return NULL;
}

void
run_threads(unsigned n, void (*body)(void *arg, unsigned index), void *arg)
{
    pthread_t threads[64];
    struct thread_start starts[64];
    assert_in_range(n, 1, 64);
    for (unsigned i = 0; i < n; i++) {
        starts[i] = (struct thread_start){body, arg, i};
        assert_int_equal(pthread_create(&threads[i], NULL, thread_main, &starts[i]), 0);
    }
    wait_begin();
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    wait_end();
}

_Noreturn void
thread_check_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: in a thread: %s does not hold\n", file, line, condition);
    abort();
}

/* ---- random numbers -------------------------------------------------------------------------- */

uint64_t
random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

uint64_t
random_below(uint64_t *state, uint64_t bound)
{
    return (random_next(state) >> 16) % bound;
}

uint64_t
random_seed(const char *test)
{
    const char *given = getenv("TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed =
        given ? strtoull(given, NULL, 0) : mix((uint64_t)now.tv_nsec + (uint64_t)now.tv_sec);
    if (seed == 0)
        seed = 1;
    print_message("%s: TEST_SEED=%llu\n", test, (unsigned long long)seed);
    return seed;
}

const size_t test_sizes[] = {
    0,
    1,
    7,
    8,
    9,
    15,
    16,
    17,
    31,
    32,
    33,
    63,
    64,
    65,
    127,
    128,
    129,
    255,
    256,
    257,
    503,
    504,
    505,
    511,
    512,
    513,
    528,
    1000,
    1023,
    1024,
    1025,
    2039,
    2040,
    2041,
    2047,
    2048,
    2049,
    4087,
    4088,
    4095,
    4096,
    4097,
    8191,
    8192,
    8193,
    12345,
    16 * KIB - 1,
    16 * KIB,
    16 * KIB + 1,
    32 * KIB,
    65535,
    65536,
    65537,
    100000,
    128 * KIB,
    256 * KIB + 1,
    MIB - 1,
    MIB,
    MIB + 1,
};
const size_t test_sizes_count = sizeof(test_sizes) / sizeof(test_sizes[0]);

bool
slow_run(void)
{
    const char *preload = getenv("LD_PRELOAD"); /* valgrind puts its own there */
    return TEST_TSAN || TEST_ASAN || (preload && strstr(preload, "vgpreload"));
}

unsigned
scaled(unsigned rounds)
{
    return slow_run() ? (rounds + 9) / 10 : rounds;
}

size_t
page_bytes(void)
{
    const char *wanted = getenv("SINTER_DEBUG_PAGE_BYTES");
    size_t kernels = (size_t)sysconf(_SC_PAGESIZE), bytes = wanted ? strtoul(wanted, NULL, 10) : 0;
    return bytes > kernels ? bytes : kernels;
}

/* ---- forked children ------------------------------------------------------------------------- */

pid_t
fork_without_callbacks(handle_store **stores, unsigned n, void (*child)(void *arg), void *arg)
{
    for (unsigned i = 0; i < n; i++)
        handle_store_before_fork(stores[i]);
    flavour_before_fork();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        flavour_after_fork_child();
        for (unsigned i = 0; i < n; i++)
            handle_store_after_fork_child(stores[i]);
        child(arg);
        _exit(0);
    }
    flavour_after_fork_parent();
    for (unsigned i = 0; i < n; i++)
        handle_store_after_fork_parent(stores[i]);
    return pid;
}

pid_t
fork_stores(handle_store **stores, unsigned n, void (*child)(void *arg), void *arg)
{
    callbacks_pause();
    pid_t pid = fork_without_callbacks(stores, n, child, arg);
    callbacks_resume();
    return pid;
}

void
assert_child_succeeds(pid_t pid)
{
    int status = 0;
    assert_true(pid > 0);
    wait_begin();
    pid_t waited = waitpid(pid, &status, 0);
    wait_end();
    assert_int_equal(waited, pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        print_error("child: status %x, line %d + n * 251\n", (unsigned)status,
                    WEXITSTATUS(status) - 1);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
