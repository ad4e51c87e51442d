/* SPDX-License-Identifier: MIT */
/*
 * runner.c - see fault.h. For each scenario and point: a run that counts the calls, then runs in
 * which the n-th of them fails, once, and in which all fail from the n-th on.
 */
#include "fault.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- options --------------------------------------------------------------------------------- */

static int
bad(const char *option, const char *value, const char *range)
{
    fprintf(stderr, "%s: %s is not %s\n", option, value ? value : "nothing", range);
    return 2;
}

static int
take_point(struct arguments *arguments, const char *value)
{
    for (int i = 0; value && i < SN_INJECT_POINTS; i++) {
        if (strcmp(value, fault_point_names[i]) == 0) {
            arguments->point = i;
            return 0;
        }
    }
    fprintf(stderr, "--point: %s is not one of:", value ? value : "nothing");
    for (int i = 0; i < SN_INJECT_POINTS; i++)
        fprintf(stderr, " %s", fault_point_names[i]);
    fprintf(stderr, "\n");
    return 2;
}

static int
take_mode(struct arguments *arguments, const char *value)
{
    static const char *const modes[] = {"once", "ever", "both"};
    for (int i = 0; value && i < 3; i++) {
        if (strcmp(value, modes[i]) == 0) {
            arguments->mode = i;
            return 0;
        }
    }
    return bad("--mode", value, "once, ever or both");
}

static int
take_number(const char *option, const char *value, uint64_t *number)
{
    char *end = NULL;
    errno = 0;
    *number = value && *value != '-' ? strtoull(value, &end, 10) : 0;
    if (!end || end == value || *end || errno)
        return bad(option, value, "a decimal number");
    return 0;
}

int
take_arguments(struct arguments *arguments, int argc, char **argv)
{
    const struct {
        const char *name;
        uint64_t *number;
    } numbers[] = {{"--nth", &arguments->nth},
                   {"--cases", &arguments->cases},
                   {"--seed", &arguments->seed},
                   {"--ops", &arguments->ops}};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        size_t n = 0;
        int error = 0;
        while (n < 4 && strcmp(argv[i], numbers[n].name) != 0)
            n++;
        if (strcmp(argv[i], "--long") == 0) {
            arguments->cases = 0;
            continue;
        }
        if (n < 4)
            error = take_number(argv[i], value, numbers[n].number);
        else if (strcmp(argv[i], "--scenario") == 0)
            arguments->scenario = value;
        else if (strcmp(argv[i], "--point") == 0)
            error = take_point(arguments, value);
        else if (strcmp(argv[i], "--mode") == 0)
            error = take_mode(arguments, value);
        else
            error = bad("option", argv[i],
                        "--scenario, --point, --mode, --nth, --cases, --long, --seed or --ops");
        if (error)
            return error;
        i++;
    }
    return 0;
}

/* ---- one run --------------------------------------------------------------------------------- */

/* What a run leaves for its parent, in shared memory. */
struct outcome {
    uint64_t calls, injected;
    bool seen; /* something answered otherwise than without faults */
};

struct run {
    const struct scenario *scenario;
    const struct arguments *arguments;
    struct plan plan;
    struct outcome *outcome;
    FILE *output; /* of a noisy scenario */
};

static void
in_thread(void *arg, unsigned index)
{
    struct run *run = arg;
    (void)index;
    run->outcome->seen = !run->scenario->run(run->arguments);
}

static _Noreturn void
in_child(struct run *run)
{
    struct balance before;
    if (run->output) {
        dup2(fileno(run->output), STDOUT_FILENO);
        dup2(fileno(run->output), STDERR_FILENO);
    }
    thread_enter();
    balance_read(&before);
    plan_make(&run->plan);
    run_threads(1, in_thread, run);
    plan_disarm();
    run->outcome->calls = plan_calls();
    run->outcome->injected = plan_injected();
    if (!run->outcome->seen) /* a test that ended early leaves things behind */
        balance_check(&before, true);
    thread_leave();
    if (run->outcome->seen && TEST_ASAN)
        _exit(0); /* without LeakSanitizer's look at what a failed test left */
    exit(0);
}

static void
describe(const struct run *run)
{
    const struct plan *plan = &run->plan;
    fprintf(stderr, "--scenario %s --point %s --mode %s --nth %llu --seed %llu --ops %llu",
            run->scenario->name, fault_point_names[plan->point], plan->for_ever ? "ever" : "once",
            (unsigned long long)plan->nth, (unsigned long long)run->arguments->seed,
            (unsigned long long)run->arguments->ops);
}

static void
copy_output(FILE *output)
{
    char buffer[4096];
    size_t length;
    rewind(output);
    while ((length = fread(buffer, 1, sizeof(buffer), output)) > 0)
        fwrite(buffer, 1, length, stderr);
}

/* cmocka turns a crash into a failed test, which could be taken for one that missed its memory. */
static bool
has_crashed(FILE *output)
{
    char line[1024];
    rewind(output);
    while (fgets(line, sizeof(line), output))
        if (strstr(line, "failed with exception") || strstr(line, "violation: "))
            return true;
    return false;
}

static bool
judge(const struct run *run, int status)
{
    unsigned point = 1u << run->plan.point;
    const char *what = NULL;
    if (status != 0)
        what = "ended badly";
    else if (run->output && has_crashed(run->output))
        what = "crashed, or violated an invariant";
    else if (run->outcome->seen && run->outcome->injected == 0)
        what = "failed without a fault";
    else if (run->outcome->seen && run->scenario->unseen & point)
        what = "failed for a fault that must not be seen";
    if (!what)
        return true;
    fprintf(stderr, "%s (status %#x): ", what, (unsigned)status);
    describe(run);
    fprintf(stderr, "\n");
    if (run->output)
        copy_output(run->output);
    return false;
}

/* False: the run had findings; they are printed. */
static bool
run_one(struct run *run)
{
    int status = 0;
    fflush(stdout);
    memset(run->outcome, 0, sizeof(*run->outcome));
    run->output = run->scenario->noisy ? tmpfile() : NULL;
    fault_check(run->output || !run->scenario->noisy);
    pid_t child = fork();
    fault_check(child >= 0);
    if (child == 0)
        in_child(run);
    fault_check(waitpid(child, &status, 0) == child);
    bool good = judge(run, status);
    if (run->output)
        fclose(run->output);
    return good;
}

/* ---- all runs -------------------------------------------------------------------------------- */

struct tally {
    uint64_t runs, injected, findings;
};

static uint64_t
run_nth(struct run *run, uint64_t nth, struct tally *tally)
{
    run->plan.nth = nth;
    tally->findings += !run_one(run);
    tally->runs++;
    tally->injected += run->outcome->injected;
    return run->outcome->injected;
}

/* The first half of the cases one by one, the others spread evenly up to the last call. */
static uint64_t
nth_of_case(uint64_t i, uint64_t cases, uint64_t calls)
{
    uint64_t first = cases / 2;
    if (calls <= cases || i < first || cases - first == 1)
        return i + 1;
    return first + 1 + (i - first) * (calls - first - 1) / (cases - first - 1);
}

static void
run_mode(struct run *run, uint64_t calls, struct tally *tally)
{
    uint64_t cases = run->arguments->cases;
    if (run->arguments->nth) {
        run_nth(run, run->arguments->nth, tally);
    } else if (cases == 0) {
        uint64_t findings = tally->findings;
        for (uint64_t nth = 1; run_nth(run, nth, tally) > 0 || tally->findings > findings; nth++)
            findings = tally->findings;
    } else {
        for (uint64_t i = 0; i < cases && i < calls; i++)
            run_nth(run, nth_of_case(i, cases, calls), tally);
    }
}

static uint64_t
run_point(struct run *run, int point)
{
    int mode = run->arguments->mode;
    struct tally tally = {0, 0, 0};
    run->plan = (struct plan){(enum sn_inject_point)point, 0, false};
    run_nth(run, 0, &tally);
    uint64_t calls = run->outcome->calls;
    for (int ever = 0; ever < 2; ever++) {
        run->plan.for_ever = ever;
        if (mode == 2 || mode == ever)
            run_mode(run, calls, &tally);
    }
    printf("%s, %s: %llu calls; %llu runs with %llu faults, %llu with findings\n",
           run->scenario->name, fault_point_names[point], (unsigned long long)calls,
           (unsigned long long)tally.runs, (unsigned long long)tally.injected,
           (unsigned long long)tally.findings);
    /* a point that the tour does not reach is not tested at all */
    fault_check(calls > 0 || !run->scenario->everywhere);
    return tally.findings;
}

int
run_scenarios(const struct scenario *scenarios, const struct arguments *arguments)
{
    struct run run = {.arguments = arguments};
    uint64_t findings = 0, ran = 0;
    run.outcome =
        mmap(NULL, sizeof(*run.outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fault_check(run.outcome != MAP_FAILED);
    for (; scenarios->name; scenarios++) {
        if (arguments->scenario && strcmp(arguments->scenario, scenarios->name) != 0)
            continue;
        run.scenario = scenarios;
        ran++;
        for (int point = 0; point < SN_INJECT_POINTS; point++)
            if (arguments->point == SN_INJECT_POINTS || arguments->point == point)
                findings += run_point(&run, point);
    }
    if (ran == 0)
        return bad("--scenario", arguments->scenario, "the name of a scenario");
    return findings ? 1 : 0;
}
