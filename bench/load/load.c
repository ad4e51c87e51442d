/* SPDX-License-Identifier: MIT */
/*
 * load.c - the program server_load: does a server give back what was written into it, whatever
 * happens? Several threads, each with its own connections and keys, write, read, append, count,
 * swap, delete and let expire, with many requests in flight, and check every byte that comes back
 * (model.h says by what). Beside them: connections that read and write slowly, clients that are
 * killed with SIGKILL anywhere, counters that all count at (--keeps), a look at the server's
 * resident memory every 20 ms (--pid, --limit-mib). Sizes shift from range to range.
 *
 * It ends after --requests, or --seconds, or with the first thing that is wrong. Status 0: nothing
 * is wrong; 1: something is, see stderr; 2: it could not run.
 */
#include "model.h"
#include "tally.h"
#include "value.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 64u

extern char **environ;

static struct {
    struct engine_options engine;
    uint64_t threads, connections, depth, slow, keys, requests, seconds, kills, seed, port;
    uint64_t pid, limit_mib, range_requests;
    bool keeps, victim;
    const char *ranges;
} load = {.engine = {.address = {.host = "127.0.0.1"}, .prefix = "load:"},
          .threads = 2,
          .connections = 8,
          .depth = 16,
          .slow = 1,
          .keys = 4096,
          .requests = UINT64_MAX,
          .seed = 1,
          .port = 11211,
          .range_requests = 100000,
          .ranges = "16-64,240-256,272-288,640-640,1000-40000"};

static void
print_help(void)
{
    puts(
        "server_load - checks every byte that a cache server gives back\n\n"
        "usage: server_load [--port N | --unix PATH] [options]\n\n"
        "  --host A            address in numbers (127.0.0.1)\n"
        "  --port N            its TCP port (11211)\n"
        "  --unix PATH         a Unix socket instead\n"
        "  --protocol P        text (with gets of several keys) or meta; default text\n"
        "  --threads N         1 to 64 (2), each with\n"
        "  --connections N     1 to 1024 (8), of which\n"
        "  --slow N            send and receive 700 bytes at a time (1)\n"
        "  --depth N           requests in flight on a connection, 1 to 1024 (16)\n"
        "  --keys N            of a thread, 1 to 16777216 (4096)\n"
        "  --requests N        of a thread (no end)\n"
        "  --seconds N         ends after that time (no end)\n"
        "  --ranges LIST       sizes, at most 8 ranges within 16 to 1000000, a shift from one to\n"
        "                      the next after\n"
        "  --range-requests N  requests of a thread (100000)\n"
        "                      (16-64,240-256,272-288,640-640,1000-40000)\n"
        "  --keeps             nothing is evicted: an item that is gone without a reason is wrong\n"
        "  --kills N           so many clients are started, and killed with SIGKILL\n"
        "  --pid N             the server's process: its resident memory every 20 ms, and\n"
        "  --limit-mib N       a sample above is wrong\n"
        "  --prefix TEXT       of keys, 1 to 8 bytes (load:); of a run beside it the first is "
        "another\n"
        "  --seed N            of all random choices (1)\n");
}

static void die(const char *format, const char *what) __attribute__((noreturn));

static void
die(const char *format, const char *what)
{
    fputs("server_load: ", stderr);
    fprintf(stderr, format, what);
    fputc('\n', stderr);
    exit(2);
}

/* ---- options --------------------------------------------------------------------------------- */

static const struct number_option {
    const char *name;
    uint64_t *value, least, most;
} numbers[] = {
    {"port", &load.port, 1, 65535},
    {"threads", &load.threads, 1, THREADS_MAX},
    {"connections", &load.connections, 1, 1024},
    {"slow", &load.slow, 0, 1024},
    {"depth", &load.depth, 1, 1024},
    {"keys", &load.keys, 1, 1 << 24},
    {"requests", &load.requests, 1, UINT64_MAX},
    {"seconds", &load.seconds, 1, 1000000},
    {"range-requests", &load.range_requests, 1, UINT64_MAX},
    {"kills", &load.kills, 1, 1000000},
    {"pid", &load.pid, 1, INT32_MAX},
    {"limit-mib", &load.limit_mib, 1, 1 << 30},
    {"seed", &load.seed, 0, UINT64_MAX},
};

static bool
take_number(const char *name, const char *text)
{
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const struct number_option *o = &numbers[i];
        if (strcmp(name, o->name) != 0)
            continue;
        char *end = NULL;
        errno = 0;
        *o->value = strtoull(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end || errno || *o->value < o->least ||
            *o->value > o->most)
            die("option --%s: out of range or no number; see --help", name);
        return true;
    }
    return false;
}

static void
take_text(const char *name, const char *text)
{
    if (strcmp(name, "host") == 0)
        load.engine.address.host = text;
    else if (strcmp(name, "unix") == 0)
        load.engine.address.unix_path = text;
    else if (strcmp(name, "prefix") == 0)
        load.engine.prefix = text;
    else if (strcmp(name, "ranges") == 0)
        load.ranges = text;
    else if (strcmp(text, "meta") == 0)
        load.engine.protocol = WIRE_META;
    else if (strcmp(text, "text") != 0)
        die("option --protocol: \"%s\" is neither text nor meta", text);
}

static void
parse(int argc, char **argv)
{
    static const struct option options[] = {{"host", 1, 0, 0},
                                            {"port", 1, 0, 0},
                                            {"unix", 1, 0, 0},
                                            {"protocol", 1, 0, 0},
                                            {"threads", 1, 0, 0},
                                            {"connections", 1, 0, 0},
                                            {"slow", 1, 0, 0},
                                            {"depth", 1, 0, 0},
                                            {"keys", 1, 0, 0},
                                            {"requests", 1, 0, 0},
                                            {"seconds", 1, 0, 0},
                                            {"ranges", 1, 0, 0},
                                            {"range-requests", 1, 0, 0},
                                            {"kills", 1, 0, 0},
                                            {"pid", 1, 0, 0},
                                            {"limit-mib", 1, 0, 0},
                                            {"prefix", 1, 0, 0},
                                            {"seed", 1, 0, 0},
                                            {"keeps", 0, 0, 'k'},
                                            {"victim", 0, 0, 'v'},
                                            {"help", 0, 0, 'h'},
                                            {0, 0, 0, 0}};
    int c, which = 0;
    while ((c = getopt_long(argc, argv, "", options, &which)) != -1) {
        if (c == 'h') {
            print_help();
            exit(0);
        }
        if (c == '?')
            die("see %s", "--help");
        if (c == 'k')
            load.keeps = true;
        else if (c == 'v')
            load.victim = true;
        else if (!take_number(options[which].name, optarg))
            take_text(options[which].name, optarg);
    }
    if (optind < argc)
        die("what is \"%s\"? See --help", argv[optind]);
}

static unsigned
parse_ranges(const char *text)
{
    unsigned count = 0;
    for (const char *at = text; *at && count < VALUE_RANGES_MAX; count++) {
        struct value_range *range = &value_ranges[count];
        int used = 0;
        if (sscanf(at, "%" SCNu32 "-%" SCNu32 "%n", &range->least, &range->most, &used) != 2 ||
            range->least < 16 || range->most < range->least || range->most > 1000000 ||
            (at[used] != ',' && at[used] != '\0'))
            die("option --ranges: \"%s\" is no list of sizes", text);
        at += used + (at[used] == ',');
    }
    if (count == 0)
        die("option --ranges: \"%s\" is empty", text);
    return count;
}

static void
settle(void)
{
    if (strlen(load.engine.prefix) < 1 || strlen(load.engine.prefix) > 8)
        die("option --prefix: \"%s\" is not of 1 to 8 bytes", load.engine.prefix);
    if (load.slow > load.connections)
        load.slow = load.connections;
    load.engine.address.port = (unsigned)load.port;
    load.engine.connections = (unsigned)load.connections;
    load.engine.depth = (unsigned)load.depth;
    load.engine.slow = (unsigned)load.slow;
    load.keys = (load.keys + load.connections - 1) / load.connections * load.connections;
    value_seed = load.seed;
}

/* ---- threads --------------------------------------------------------------------------------- */

static struct model_shared shared;

struct worker {
    pthread_t thread;
    struct model model;
    const char *failure;
};

static void *
work(void *arg)
{
    struct worker *w = arg;
    const struct engine_source source = {.arg = &w->model, .next = model_next, .done = model_done};
    struct engine *engine = engine_open(&load.engine);
    if (!engine) {
        w->failure = strerror(errno);
        return NULL;
    }
    w->failure = engine_run(engine, &source);
    engine_close(engine);
    return NULL;
}

static void
sleep_ms(uint64_t ms)
{
    struct timespec rest = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&rest, NULL);
}

struct watch {
    uint64_t samples, most; /* in pages of 4 KiB */
};

/* Ends when the workers have; looks at the clock for --seconds, too. */
static void *
watch_server(void *arg)
{
    struct watch *watch = arg;
    uint64_t end = engine_now_ns() + load.seconds * UINT64_C(1000000000);
    while (!atomic_load(&shared.over) && !atomic_load(&shared.failed)) {
        if (load.pid) {
            uint64_t resident = engine_resident((int)load.pid) >> 12;
            watch->samples++;
            watch->most = resident > watch->most ? resident : watch->most;
        }
        if (load.seconds && engine_now_ns() >= end)
            atomic_store(&shared.over, true);
        sleep_ms(20);
    }
    return NULL;
}

/* ---- clients that are killed ----------------------------------------------------------------- */

struct killer {
    uint64_t killed;
    char **argv;
    const char *failure;
};

/* This program again, with keys of its own: beside it another run may have the same idea, whose
 * prefix begins with another letter. */
static pid_t
start_victim(const struct killer *killer)
{
    char *arguments[64];
    char prefix[16];
    unsigned count = 0;
    pid_t pid = -1;
    for (char **at = killer->argv; *at && count < 58; at++)
        arguments[count++] = *at;
    snprintf(prefix, sizeof(prefix), "%c%u:", load.engine.prefix[0], (unsigned)killer->killed);
    arguments[count++] = "--victim";
    arguments[count++] = "--prefix";
    arguments[count++] = prefix;
    arguments[count] = NULL;
    return posix_spawn(&pid, "/proc/self/exe", NULL, NULL, arguments, environ) == 0 ? pid : -1;
}

static void *
kill_clients(void *arg)
{
    struct killer *killer = arg;
    uint64_t random = load.seed;
    while (killer->killed < load.kills && !atomic_load(&shared.failed)) {
        int status = 0;
        pid_t pid = start_victim(killer);
        random = value_mix(random + killer->killed + 1);
        sleep_ms(5 + random % 100);
        if (pid < 0 || kill(pid, SIGKILL) != 0 || waitpid(pid, &status, 0) != pid ||
            (WIFEXITED(status) && WEXITSTATUS(status) != 0)) {
            killer->failure = "a client that was to be killed ended by itself";
            atomic_store(&shared.failed, true);
        }
        killer->killed++;
    }
    return NULL;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void
start(pthread_t *thread, void *(*run)(void *), void *arg)
{
    if (pthread_create(thread, NULL, run, arg) != 0)
        die("no %s", "thread");
}

static void
prepare(void)
{
    shared.keys_each = load.keys;
    shared.threads = (unsigned)load.threads;
    shared.keeps = load.keeps;
    shared.multi = load.engine.protocol == WIRE_TEXT;
    shared.ranges = parse_ranges(load.ranges);
    shared.range_ops = load.range_requests;
    shared.issued = calloc(load.keys * load.threads, sizeof(*shared.issued));
    shared.acked = calloc(load.keys * load.threads, sizeof(*shared.acked));
    if (!shared.issued || !shared.acked)
        die("out of %s", "memory");
}

static void
add(struct model_counts *sum, const struct model_counts *counts)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)counts;
    for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
        to[i] += from[i];
}

static int
print_result(const struct model_counts *sum, const struct watch *watch, const struct killer *killer,
             uint64_t lost)
{
    printf("requests %" PRIu64 ", stored %" PRIu64 ", hits %" PRIu64
           " (%.1f MiB checked), misses %" PRIu64 ", expired %" PRIu64 ", refused %" PRIu64
           ", not stored %" PRIu64 ", cas too late %" PRIu64 ", killed %" PRIu64 "\n",
           sum->requests, sum->stored, sum->hits, (double)sum->read_bytes / 1048576, sum->misses,
           sum->expired, sum->refused, sum->not_stored, sum->cas_lost + lost, killer->killed);
    if (load.pid)
        printf("resident memory: highest of %" PRIu64 " samples %.1f MiB\n", watch->samples,
               (double)watch->most / 256);
    bool above = load.limit_mib && watch->most > load.limit_mib * 256;
    if (above)
        fprintf(stderr, "wrong: above the limit of %" PRIu64 " MiB\n", load.limit_mib);
    printf("wrong: %" PRIu64 "\n", sum->wrong + above);
    return sum->wrong + above != 0;
}

static const char *
join_workers(struct worker *worker, struct model_counts *sum)
{
    const char *failure = NULL;
    for (unsigned i = 0; i < load.threads; i++) {
        pthread_join(worker[i].thread, NULL);
        failure = failure ? failure : worker[i].failure;
        add(sum, &worker[i].model.counts);
        model_end(&worker[i].model);
    }
    return failure;
}

static int
run(char **argv)
{
    static struct worker worker[THREADS_MAX];
    struct watch watch = {0};
    struct killer killer = {.argv = argv};
    struct model_counts sum = {0};
    pthread_t watcher, killing;
    uint64_t lost = 0;
    if (load.keeps && !load.victim && (killer.failure = tally_run(&load.engine, 4, 500, &lost)))
        sum.wrong++;
    for (unsigned i = 0; i < load.threads; i++) {
        model_init(&worker[i].model, &shared, i, load.engine.connections, load.requests, load.seed);
        start(&worker[i].thread, work, &worker[i]);
    }
    start(&watcher, watch_server, &watch);
    if (!load.victim && load.kills)
        start(&killing, kill_clients, &killer);
    const char *failure = join_workers(worker, &sum);
    if (!load.victim && load.kills)
        pthread_join(killing, NULL);
    atomic_store(&shared.over, true);
    pthread_join(watcher, NULL);
    failure = failure ? failure : killer.failure;
    if (failure)
        fprintf(stderr, "wrong: %s\n", failure);
    sum.wrong += failure != NULL && sum.wrong == 0;
    return print_result(&sum, &watch, &killer, lost);
}

int
main(int argc, char **argv)
{
    parse(argc, argv);
    settle();
    prepare();
    return run(argv);
}
