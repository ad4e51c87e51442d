/* SPDX-License-Identifier: MIT */
/* options.c - see options.h. */
#include "server/options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/limit.h"

#define MIB (UINT64_C(1) << 20)

static const char usage[] =
    "usage: sinterd [option...]\n"
    "\n"
    "A cache server with memcached's text and meta protocols, whose limit is of resident memory.\n"
    "\n"
    "  -m, --memory-limit=N      MiB of resident memory of the process, or N% of what there is\n"
    "                              (of the cgroup's limit, else of the machine's); default 64\n"
    "  -l, --listen=ADDRESS      host, host:port or [v6]:port; several by commas, or several -l;\n"
    "                              * for all; default 127.0.0.1 and ::1\n"
    "  -p, --port=N              default 11211; 0: one that is free, which is printed\n"
    "  -s, --unix-socket=PATH    this instead of the network\n"
    "  -a, --unix-mask=MODE      its mode, octal; default 700\n"
    "  -u, --user=NAME           become this user, when started by root\n"
    "  -Y, --auth-file=FILE      lines user:password; clients have to say one of them\n"
    "  -c, --conn-limit=N        connections at a time; default 1024\n"
    "  -t, --threads=N           that serve, 1 to 64; default: processors, at most 4\n"
    "  -I, --max-item-size=N     longest value, bytes or with k or m; 1k to 1024m; default 1m\n"
    "  -b, --listen-backlog=N    default 1024\n"
    "  -A, --enable-shutdown     the command shutdown\n"
    "  -F, --disable-flush-all   no flush_all\n"
    "  -e, --memory-file=FILE    keep the items there over a restart: written at the end and at\n"
    "                              SIGUSR1\n"
    "  -d, --daemon              go into the background\n"
    "  -P, --pidfile=FILE        write the process's number there\n"
    "  -r, --enable-coredumps    let cores be written\n"
    "  -o, --extended=LIST       idle_timeout=SECONDS without a request; stall_timeout=SECONDS\n"
    "                              without getting on, while others wait for its buffers, default\n"
    "                              5; metrics: GET /metrics is answered, for Prometheus; other\n"
    "                              words are named and have no effect\n"
    "  -v, --verbose             say more\n"
    "  -h, --help   -V, --version\n"
    "\n"
    "Accepted without effect: -U (there is no UDP), -B ascii, -C, -D, -f, -k, -L, -n, -R, -W,\n"
    "-X.\n"
    "Not there: -M, -S, -Z.\n";

static bool
complain(const char *format, ...)
{
    va_list arguments;
    fputs("sinterd: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return false;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Decimal digits alone. */
static bool
read_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && *end == 0 && *number >= least && *number <= most;
}

static bool
take_number(const char *option, const char *text, uint64_t least, uint64_t most, unsigned *to)
{
    uint64_t number;
    if (!read_number(text, least, most, &number))
        return complain("-%s %s: it has to be a number from %llu to %llu", option, text,
                        (unsigned long long)least, (unsigned long long)most);
    *to = (unsigned)number;
    return true;
}

static bool
take_percent(const char *text, uint64_t *bytes)
{
    char digits[8] = "";
    uint64_t percent;
    size_t size = strlen(text) - 1;
    if (size < sizeof(digits))
        snprintf(digits, sizeof(digits), "%.*s", (int)size, text);
    if (!read_number(digits, 1, 90, &percent))
        return complain("-m %s: from 1%% to 90%%", text);
    *bytes = sd_limit_percent((unsigned)percent);
    return *bytes || complain("-m %s: %s", text, strerror(errno));
}

static bool
take_memory(const char *text, uint64_t *bytes)
{
    uint64_t mib;
    if (*text && text[strlen(text) - 1] == '%')
        return take_percent(text, bytes);
    if (!read_number(text, 1, UINT64_C(1) << 20, &mib))
        return complain("-m %s: MiB, from 1 to 1048576, or a percentage like 50%%", text);
    *bytes = mib * MIB;
    return true;
}

static bool
take_size(const char *text, uint64_t *bytes)
{
    char digits[24] = "";
    size_t size = strlen(text);
    char unit = *(size ? text + size - 1 : text);
    uint64_t scale = unit == 'k' || unit == 'K' ? 1024 : unit == 'm' || unit == 'M' ? MIB : 1;
    if (size > 0 && size < sizeof(digits))
        memcpy(digits, text, size - (scale > 1));
    if (!read_number(digits, 1, 1024 * MIB, bytes) || *bytes * scale < 1024 ||
        *bytes * scale > 1024 * MIB)
        return complain("-I %s: from 1k to 1024m", text);
    *bytes *= scale;
    return true;
}

static bool
take_mode(const char *text, unsigned *mode)
{
    char *end;
    unsigned long number = strtoul(text, &end, 8);
    if (*text < '0' || *text > '7' || *end || number > 0777)
        return complain("-a %s: octal, up to 777", text);
    *mode = (unsigned)number;
    return true;
}

static bool
take_listen(struct sd_settings *settings, char *list)
{
    for (char *save, *word = strtok_r(list, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        if (settings->listens == SD_LISTENERS_MOST)
            return complain("-l: at most %u addresses", SD_LISTENERS_MOST);
        settings->listen[settings->listens++] = word;
    }
    return true;
}

static bool
take_extended(struct sd_settings *settings, char *list)
{
    for (char *save, *word = strtok_r(list, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        char *value = strchr(word, '=');
        if (value)
            *value++ = 0;
        bool stall = strcmp(word, "stall_timeout") == 0;
        if (stall || strcmp(word, "idle_timeout") == 0) {
            if (!take_number(stall ? "o stall_timeout" : "o idle_timeout",
                             value ? value : "(nothing)", stall, 86400,
                             stall ? &settings->stall_seconds : &settings->idle_seconds))
                return false;
        } else if (strcmp(word, "metrics") == 0) {
            settings->metrics = true;
        } else {
            complain("-o %s has no effect here", word);
        }
    }
    return true;
}

static bool
take_protocol(const char *name)
{
    return strcmp(name, "ascii") == 0 || strcmp(name, "auto") == 0 ||
           strcmp(name, "auto-negotiate") == 0 ||
           complain("-B %s: the text protocol is the only one", name);
}

static bool
is_missing(int option)
{
    switch (option) {
    case 'M':
        return complain("-M: items are always evicted for new ones; start it without -M");
    case 'S':
        return complain("-S: there is no SASL; -Y FILE asks clients for a password");
    default:
        return complain("-Z: there is no TLS; put a terminator in front");
    }
}

/* ---- the line -------------------------------------------------------------------------------- */

static const struct option long_options[] = {
    {"memory-limit", 1, NULL, 'm'},
    {"listen", 1, NULL, 'l'},
    {"port", 1, NULL, 'p'},
    {"unix-socket", 1, NULL, 's'},
    {"unix-mask", 1, NULL, 'a'},
    {"user", 1, NULL, 'u'},
    {"auth-file", 1, NULL, 'Y'},
    {"conn-limit", 1, NULL, 'c'},
    {"threads", 1, NULL, 't'},
    {"max-item-size", 1, NULL, 'I'},
    {"listen-backlog", 1, NULL, 'b'},
    {"enable-shutdown", 0, NULL, 'A'},
    {"disable-flush-all", 0, NULL, 'F'},
    {"disable-dumping", 0, NULL, 'X'},
    {"daemon", 0, NULL, 'd'},
    {"pidfile", 1, NULL, 'P'},
    {"enable-coredumps", 0, NULL, 'r'},
    {"extended", 1, NULL, 'o'},
    {"verbose", 0, NULL, 'v'},
    {"help", 0, NULL, 'h'},
    {"version", 0, NULL, 'V'},
    {"udp-port", 1, NULL, 'U'},
    {"protocol", 1, NULL, 'B'},
    {"disable-cas", 0, NULL, 'C'},
    {"disable-evictions", 0, NULL, 'M'},
    {"enable-sasl", 0, NULL, 'S'},
    {"enable-ssl", 0, NULL, 'Z'},
    {"slab-growth-factor", 1, NULL, 'f'},
    {"slab-min-size", 1, NULL, 'n'},
    {"lock-memory", 0, NULL, 'k'},
    {"enable-largepages", 0, NULL, 'L'},
    {"max-reqs-per-event", 1, NULL, 'R'},
    {"disable-watch", 0, NULL, 'W'},
    {"memory-file", 1, NULL, 'e'},
    {NULL, 0, NULL, 0},
};

static bool
take_value(struct sd_settings *settings, int option, char *value)
{
    unsigned number = 0;
    switch (option) {
    case 'm':
        return take_memory(value, &settings->memory);
    case 'I':
        return take_size(value, &settings->value_most);
    case 'l':
        return take_listen(settings, value);
    case 'o':
        return take_extended(settings, value);
    case 'p':
        return take_number("p", value, 0, 65535, &number) && (settings->port = (int)number, true);
    case 'a':
        return take_mode(value, &settings->unix_mode);
    case 'c':
        return take_number("c", value, 1, 1000000, &settings->connections);
    case 't':
        return take_number("t", value, 1, 64, &settings->threads);
    case 'b':
        return take_number("b", value, 1, 65535, &settings->backlog);
    case 'U':
        return take_number("U", value, 0, 65535, &number) &&
               (number == 0 || !complain("-U %u: there is no UDP; nothing is opened", number));
    case 'B':
        return take_protocol(value);
    default:
        return true;
    }
}

static bool
take_text(struct sd_settings *settings, int option, const char *value)
{
    const char **to = option == 's'   ? &settings->unix_path
                      : option == 'u' ? &settings->user
                      : option == 'Y' ? &settings->auth_file
                      : option == 'e' ? &settings->dump_file
                                      : &settings->pid_file;
    if (!*value)
        return complain("-%c needs a value", option);
    *to = value;
    return true;
}

static void
take_flag(struct sd_settings *settings, int option)
{
    settings->may_shut_down = settings->may_shut_down || option == 'A';
    settings->may_flush = settings->may_flush && option != 'F';
    settings->may_dump = settings->may_dump && option != 'X';
    settings->background = settings->background || option == 'd';
    settings->cores = settings->cores || option == 'r';
    settings->verbose += option == 'v';
}

static bool
take(struct sd_settings *settings, int option, char *value)
{
    if (strchr("MSZ", option))
        return is_missing(option);
    if (strchr("suYPe", option))
        return take_text(settings, option, value);
    if (value)
        return take_value(settings, option, value);
    take_flag(settings, option);
    return true;
}

static unsigned
processors(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > 4 ? 4 : (unsigned)count;
}

static void
set_defaults(struct sd_settings *settings)
{
    *settings = (struct sd_settings){
        .memory = 64 * MIB,
        .value_most = MIB,
        .port = 11211,
        .unix_mode = 0700,
        .threads = processors(),
        .connections = 1024,
        .backlog = 1024,
        .stall_seconds = 5,
        .may_flush = true,
        .may_dump = true,
    };
}

enum sd_start
sd_options_read(struct sd_settings *settings, int argc, char **argv)
{
    static const char letters[] = ":m:l:p:s:a:u:Y:c:t:I:b:e:AFXdP:ro:vhViU:B:CD:MSZf:n:kLR:W";
    int option;
    set_defaults(settings);
    opterr = 0;
    while ((option = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
        if (option == 'h' || option == 'V' || option == 'i') {
            fputs(option == 'h' ? usage : "sinterd " SD_VERSION "\n", stdout);
            return SD_START_DONE;
        }
        if (option == '?' || option == ':') {
            complain("%s: %s (see sinterd -h)", argv[optind - 1],
                     option == ':' ? "it needs a value" : "there is no such option");
            return SD_START_WRONG;
        }
        if (!take(settings, option, optarg))
            return SD_START_WRONG;
    }
    if (optind < argc) {
        complain("%s: it is no option (see sinterd -h)", argv[optind]);
        return SD_START_WRONG;
    }
    return SD_START_SERVE;
}
