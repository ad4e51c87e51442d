/* SPDX-License-Identifier: MIT */
/* support.c - see support.h. */
#include "support.h"

#include <fnmatch.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

__thread unsigned section_depth;
enum mode mode;

/* The tables: CMake knows the files of this flavour. */
#define X(subject) extern const struct misuse misuse_##subject[];
MISUSE_SUBJECTS
#undef X
#define X(subject) {#subject, misuse_##subject},
static const struct subject {
    const char *name;
    const struct misuse *cases;
} subjects[] = {MISUSE_SUBJECTS};

/* What the process under test leaves for its judge. */
struct seen {
    unsigned lines;
    char line[512]; /* the callback's first */
    uint64_t name;
    bool finished; /* the case returned */
};
static struct seen *seen;

static const char *const mode_names[MODES] = {"plain", "hardened", "debug"};

/* Sanitizers leave signals to us. */
#if TEST_ASAN
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
    return "handle_segv=0:handle_abort=0:detect_leaks=0";
}
#endif
#if TEST_TSAN
const char *__tsan_default_options(void);
const char *
__tsan_default_options(void)
{
    return "handle_segv=0:handle_abort=0";
}
#endif

/* ---- for the cases --------------------------------------------------------------------------- */

void
expect_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
    fflush(NULL);
    _exit(1);
}

static void
note_line(void *opaque, const char *line)
{
    (void)opaque;
    if (seen->lines++ == 0)
        snprintf(seen->line, sizeof(seen->line), "%s", line);
}

struct handle_store_options
store_options(void)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.name = "misuse";
    options.hardened = mode == HARDENED;
    options.arena_bytes = UINT64_C(1) << 30;
    options.error = note_line;
    options.defrag.enabled = false;
    return options;
}

handle_store *
open_store(void)
{
    struct handle_store_options options = store_options();
    handle_store *store = handle_store_create(&options);
    expect(store != NULL);
    return store;
}

handle_t
make(handle_store *store, size_t size, char **address)
{
    void *object;
    section_enter();
    handle_t handle = handle_alloc_object(store, size, 0, &object);
    expect(handle != HANDLE_NULL);
    memset(object, 0x11, size);
    section_leave();
    if (address)
        *address = object;
    return handle;
}

char *
stray_address(handle_store *store, handle_t handle)
{
    section_enter();
    char *address = handle_deref_mut(store, handle);
    section_leave();
    expect(address != NULL);
    return address;
}

size_t
full_size(handle_store *store, size_t size)
{
    static struct handle_class_stats classes[HANDLE_CLASSES_MAX];
    unsigned c = 0;
    expect(handle_store_class_stats(store, classes, sizeof(classes[0]), HANDLE_CLASSES_MAX) > 0);
    while (classes[c].object_bytes < size)
        c++;
    return classes[c].object_bytes;
}

static void
print_violation(void *opaque, const char *violation)
{
    (void)opaque;
    fprintf(stderr, "%s\n", violation);
}

void
close_sound(handle_store *store)
{
    char *object;
    handle_t handle = make(store, 100, &object);
    section_enter();
    expect(handle_deref(store, handle) == object);
    expect(handle_size(store, handle) == 100);
    expect(handle_free_now(store, handle) == 0);
    section_leave();
    expect(handle_store_check(store, print_violation, NULL) == 0);
    expect(handle_store_compact(store, NULL) == 0);
    expect(handle_store_destroy(store) == 0);
}

void
about(uint64_t name)
{
    seen->name = name;
}

void
go_on_in_child(void)
{
    fflush(NULL);
    pid_t child = fork();
    expect(child >= 0);
    if (child == 0)
        return;
    int status;
    expect(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status))
        raise(WTERMSIG(status));
    _exit(WEXITSTATUS(status));
}

/* ---- the judge ------------------------------------------------------------------------------- */

static void
run_with_store(const struct misuse *misuse)
{
    enum answer_kind kind = misuse->answer[mode].kind;
    handle_store *store = misuse->care == NO_STORE ? NULL : open_store();
    misuse->run(store);
    if (misuse->care == OPENED_SOUND && (kind == RETURN || kind == REPORT))
        close_sound(store);
}

static _Noreturn void
be_tested(const struct misuse *misuse, int error_pipe)
{
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    dup2(error_pipe, STDERR_FILENO);
    thread_enter();
    run_with_store(misuse);
    seen->finished = true;
    fflush(NULL);
    _exit(0);
}

/* The child's standard error, and how it ended. */
static int
run_child(const struct misuse *misuse, char *text, size_t size)
{
    int ends[2], status;
    size_t length = 0;
    ssize_t got;
    expect(pipe(ends) == 0);
    fflush(NULL);
    pid_t child = fork();
    expect(child >= 0);
    if (child == 0)
        be_tested(misuse, ends[1]);
    close(ends[1]);
    while (length + 1 < size && (got = read(ends[0], text + length, size - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
    close(ends[0]);
    expect(waitpid(child, &status, 0) == child);
    return status;
}

/* The pattern with @ replaced. */
static void
fill_in(const char *pattern, char *to, size_t size)
{
    const char *at = strchr(pattern, '@');
    if (at)
        snprintf(to, size, "%.*s%#llx%s", (int)(at - pattern), pattern,
                 (unsigned long long)seen->name, at + 1);
    else
        snprintf(to, size, "%s", pattern);
}

static const char *
wrong_end(const struct answer *answer, int status)
{
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (answer->kind == ABORT || answer->kind == DEATH)
        return signal == SIGABRT ? NULL : "no abort";
    if (answer->kind == FAULT)
        return signal == SIGSEGV ? NULL : "no fault";
    return signal == 0 && WEXITSTATUS(status) == 0 && seen->finished ? NULL : "not to its end";
}

/* "sinter: ", the line and its end; nothing else. */
static bool
is_only_line(const char *text, const char *line)
{
    size_t length = strlen(line);
    return strncmp(text, "sinter: ", 8) == 0 && strncmp(text + 8, line, length) == 0 &&
           strcmp(text + 8 + length, "\n") == 0;
}

/* What is on standard error, less what must stand around a line. */
static const char *
line_of(char *text)
{
    size_t length = strlen(text);
    if (length < 9 || strncmp(text, "sinter: ", 8) != 0 || text[length - 1] != '\n')
        return "";
    text[length - 1] = '\0';
    return text + 8;
}

static bool
is_count_promised(enum answer_kind kind, unsigned lines)
{
    if (kind == MAY_REPORT)
        return lines <= 1;
    return lines == (kind == ABORT || kind == REPORT);
}

static const char *
wrong_text(const struct answer *answer, char *text)
{
    char pattern[512];
    if (answer->kind != ABORT && answer->kind != DEATH && text[0] != '\0')
        return "text on standard error";
    if (!is_count_promised(answer->kind, seen->lines))
        return "not as many lines reported";
    if (answer->kind == ABORT && !is_only_line(text, seen->line))
        return "standard error has another text";
    if (!answer->line || (answer->kind == MAY_REPORT && seen->lines == 0))
        return NULL;
    fill_in(answer->line, pattern, sizeof(pattern));
    const char *line = answer->kind == DEATH ? line_of(text) : seen->line;
    return fnmatch(pattern, line, 0) == 0 ? NULL : "another line";
}

static void
tell(const struct misuse *misuse, const char *wrong, int status, const char *text)
{
    const char *line = misuse->answer[mode].line;
    printf("%s, %s: %s\n", misuse->name, mode_names[mode], wrong ? wrong : "as promised");
    if (wrong)
        printf("  expected: %s\n  reported (%u): %s\n  status %#x, standard error:\n%s\n",
               line ? line : "-", seen->lines, seen->line, (unsigned)status, text);
}

static bool
judge(const struct misuse *misuse)
{
    static char text[65536];
    const struct answer *answer = &misuse->answer[mode];
    if (answer->kind == NOT_PROMISED)
        return true;
    memset(seen, 0, sizeof(*seen));
    int status = run_child(misuse, text, sizeof(text));
    const char *wrong = wrong_end(answer, status);
    if (!wrong)
        wrong = wrong_text(answer, text);
    tell(misuse, wrong, status, text);
    return !wrong;
}

/* Counts the cases that were run, and those that failed. */
static void
judge_subject(const struct subject *subject, const char *wanted, bool debug, unsigned count[2])
{
    bool all = strcmp(wanted, subject->name) == 0;
    for (const struct misuse *misuse = subject->cases; misuse->name; misuse++) {
        if (!all && strcmp(wanted, misuse->name) != 0)
            continue;
        bool good = true;
        for (mode = debug ? DEBUG : PLAIN; mode <= (debug ? DEBUG : HARDENED); mode++)
            good &= judge(misuse);
        count[0]++;
        count[1] += !good;
    }
}

/* Arguments: "shared" or "debug", the library this is linked with; then a subject or a case. */
int
main(int argc, char **argv)
{
    unsigned count[2] = {0, 0};
    seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (seen == MAP_FAILED || argc != 3)
        return 2;
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
        judge_subject(&subjects[i], argv[2], strcmp(argv[1], "debug") == 0, count);
    printf("%u of %u cases failed\n", count[1], count[0]);
    return count[0] > 0 && count[1] == 0 ? 0 : 1;
}
