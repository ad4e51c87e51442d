/* SPDX-License-Identifier: MIT */
/*
 * main.c - a concurrent look-aside cache on Sinter and liburcu, beside the same cache on malloc:
 * what the same payload costs in resident memory while value sizes shift. Starts itself once per
 * subject, so that each begins with a fresh address space and a clean baseline, and puts the table
 * together.
 *
 *     cache --help
 *
 * Where to read on: cache.c (the cache, and how RCU, hash table and cells go together),
 * backend_sinter.c (the calls of Sinter), subject.c (threads and measurements).
 */
#include "options.h"
#include "report.h"
#include "subject.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct subject subjects[] = {
    {"malloc", "malloc", .preload = false, .sinter = false, .compact = false},
    {"jemalloc", "jemalloc", .preload = true, .sinter = false, .compact = false},
    {"sinter-off", "Sinter off", .preload = false, .sinter = true, .compact = false},
    {"sinter-on", "Sinter on", .preload = false, .sinter = true, .compact = true},
};
#define SUBJECTS (sizeof(subjects) / sizeof(subjects[0]))

/* Defined by jemalloc where it is preloaded. */
extern int mallctl(const char *, void *, size_t *, void *, size_t) __attribute__((weak));

/* ---- finding jemalloc ------------------------------------------------------------------------ */

/* AddressSanitizer brings a malloc of its own, and wants to be the first library loaded. */
#if defined(__SANITIZE_ADDRESS__)
#define MALLOC_IS_TAKEN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MALLOC_IS_TAKEN 1
#endif
#endif
#ifndef MALLOC_IS_TAKEN
#define MALLOC_IS_TAKEN 0
#endif

/** The path behind "=>" in a line of ldconfig -p about libjemalloc; false for other lines. */
static bool
path_in_line(const char *line, char *path, size_t size)
{
    const char *arrow = strstr(line, "=> ");
    if (!strstr(line, "libjemalloc.so.2") || !arrow)
        return false;
    snprintf(path, size, "%s", arrow + 3);
    path[strcspn(path, "\n")] = '\0';
    return access(path, R_OK) == 0;
}

static const char *
why_no_jemalloc(void)
{
    return MALLOC_IS_TAKEN ? "this is a build with AddressSanitizer"
                           : "not installed (Debian: apt-get install libjemalloc2)";
}

static bool
find_jemalloc(char *path, size_t size)
{
    static const char *const usual[] = {"/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
                                        "/usr/lib/aarch64-linux-gnu/libjemalloc.so.2"};
    char line[1024];
    bool found = false;
    if (MALLOC_IS_TAKEN)
        return false;
    FILE *list = popen("PATH=\"$PATH:/sbin:/usr/sbin\" ldconfig -p 2>/dev/null", "r");
    while (list && fgets(line, sizeof(line), list)) {
        if (!found)
            found = path_in_line(line, path, size);
    }
    if (list)
        pclose(list);
    for (size_t i = 0; !found && i < sizeof(usual) / sizeof(usual[0]); i++) {
        snprintf(path, size, "%s", usual[i]);
        found = access(path, R_OK) == 0;
    }
    return found;
}

/* ---- a subject's process --------------------------------------------------------------------- */

static const struct subject *
find_subject(const char *name, size_t length)
{
    for (size_t i = 0; i < SUBJECTS; i++) {
        if (strlen(subjects[i].name) == length && memcmp(subjects[i].name, name, length) == 0)
            return &subjects[i];
    }
    fprintf(stderr, "--subjects: \"%.*s\" is none of malloc, jemalloc, sinter-off, sinter-on\n",
            (int)length, name);
    return NULL;
}

static int
be_worker(const struct options *options, const struct workload_plan *plan)
{
    const struct subject *subject = find_subject(options->worker, strlen(options->worker));
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* do not outlive the process that reads the records */
    if (subject && subject->preload && !mallctl) {
        fprintf(stderr, "jemalloc: preloading it had no effect\n");
        subject = NULL;
    }
    return subject && subject_run(subject, options, plan) ? EXIT_SUCCESS : EXIT_FAILURE;
}

/** In the child: becomes this program again, as a worker. Does not return. */
static void
exec_worker(const struct subject *subject, int argc, char **argv, int report_fd)
{
    char fd[16], preload[4096];
    char **arguments = calloc((size_t)argc + 5, sizeof(*arguments));
    if (arguments) {
        memcpy(arguments, argv, (size_t)argc * sizeof(*argv));
        snprintf(fd, sizeof(fd), "%d", report_fd);
        arguments[argc] = "--worker";
        arguments[argc + 1] = (char *)subject->name;
        arguments[argc + 2] = "--report-fd";
        arguments[argc + 3] = fd;
        if (subject->preload && find_jemalloc(preload, sizeof(preload)))
            setenv("LD_PRELOAD", preload, 1);
        execv("/proc/self/exe", arguments);
    }
    fprintf(stderr, "exec: %s\n", strerror(errno));
    _exit(127);
}

/** Starts a subject's process; *from is where its records come out. -1: it could not be started. */
static pid_t
start_worker(const struct subject *subject, int argc, char **argv, FILE **from)
{
    int ends[2];
    if (pipe(ends) != 0)
        return -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        exec_worker(subject, argc, argv, ends[1]);
    }
    close(ends[1]);
    *from = pid > 0 ? fdopen(ends[0], "r") : NULL;
    if (!*from)
        close(ends[0]);
    return pid;
}

/* ---- the main process ------------------------------------------------------------------------ */

static bool
run_subject(struct report *report, const struct subject *subject, int argc, char **argv)
{
    FILE *from = NULL;
    struct record record;
    int status = 0;
    report->subject[report->subjects++] = (struct report_subject){
        .title = subject->title, .sinter = subject->sinter, .compact = subject->compact};
    pid_t pid = start_worker(subject, argc, argv, &from);
    if (pid < 0) {
        fprintf(stderr, "%s: could not be started: %s\n", subject->title, strerror(errno));
        return false;
    }
    while (from && fread(&record, sizeof(record), 1, from) == 1)
        report_take(report, &record);
    if (from)
        fclose(from);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    uint32_t rows = report->subject[report->subjects - 1].rows;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && rows == report->plan->phases + 1)
        return true;
    if (WIFSIGNALED(status))
        fprintf(stderr, "%s: ended by signal %d\n", subject->title, WTERMSIG(status));
    fprintf(stderr, "%s: FAILED\n", subject->title);
    return false;
}

/** Which subjects to run: those of --subjects, or all, less jemalloc where it is missing. */
static bool
choose_subjects(const struct options *options, const struct subject **chosen, uint32_t *count)
{
    char path[4096];
    bool jemalloc = find_jemalloc(path, sizeof(path));
    *count = 0;
    for (size_t i = 0; !options->subjects && i < SUBJECTS; i++) {
        if (!subjects[i].preload || jemalloc)
            chosen[(*count)++] = &subjects[i];
        else
            printf("jemalloc: left out, %s\n", why_no_jemalloc());
    }
    for (const char *rest = options->subjects; rest; rest = strchr(rest, ',')) {
        rest += *rest == ',';
        const struct subject *subject = find_subject(rest, strcspn(rest, ","));
        if (!subject || *count == REPORT_SUBJECTS_MAX)
            return false;
        if (subject->preload && !jemalloc) {
            fprintf(stderr, "--subjects: jemalloc: %s\n", why_no_jemalloc());
            return false;
        }
        chosen[(*count)++] = subject;
    }
    return true;
}

static int
conduct(const struct options *options, const struct workload_plan *plan, int argc, char **argv)
{
    static struct report report;
    const struct subject *chosen[REPORT_SUBJECTS_MAX];
    uint32_t count;
    bool good = true;
    if (!choose_subjects(options, chosen, &count))
        return 2;
    report.plan = plan;
    report.limit_bytes = options->limit_bytes;
    report.handles = strcmp(options->names, "handles") == 0;
    report.tty = isatty(STDOUT_FILENO);
    printf("seed %llu; objects of Sinter named by %s; %llu readers, %llu writers\n",
           (unsigned long long)options->seed, options->names, (unsigned long long)options->readers,
           (unsigned long long)options->writers);
    for (uint32_t i = 0; i < count; i++)
        good = run_subject(&report, chosen[i], argc, argv) && good;
    report_table(&report);
    good = report_compaction_helped(&report) && good;
    if (!good)
        printf("FAILED: see the lines on stderr.\n");
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
    struct options options;
    struct workload_plan plan;
    switch (options_parse(&options, argc, argv)) {
    case OPTIONS_HELP:
        options_help(argv[0]);
        return EXIT_SUCCESS;
    case OPTIONS_WRONG:
        return 2;
    case OPTIONS_RUN:
        break;
    }
    if (!workload_plan_load(&plan, options.phases, options.data, options.limit_bytes))
        return 2;
    int status = options.worker ? be_worker(&options, &plan) : conduct(&options, &plan, argc, argv);
    workload_plan_free(&plan);
    return status;
}
