/* SPDX-License-Identifier: MIT */
/* options.c - see options.h. */
#include "server/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/limit.h"

#define MIB (UINT64_C(1) << 20)

/** An option. `take` gets its argument, or NULL, and the place `at` in the settings. */
struct row {
    char letter;
    const char *name;
    const char *argument; /* its name; NULL: there is none */
    bool (*take)(const struct row *row, char *value, void *to);
    size_t at;
    uint64_t least, most;
    const char *text; /* of -h; or why it is refused; NULL: it has no effect */
};

/* ---- values ---------------------------------------------------------------------------------- */

/* Decimal digits, and behind them at most one of `units`. *unit: it, or 0. */
static bool
read_with_unit(const char *text, const char *units, uint64_t *number, char *unit)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    *unit = *end;
    return errno == 0 && (*end == 0 || (strchr(units, *end) && end[1] == 0));
}

static bool
take_number(const struct row *row, char *value, void *to)
{
    uint64_t number;
    char unit;
    if (!read_with_unit(value, "", &number, &unit) || number < row->least || number > row->most)
        return sd_complain("-%c%s %s: it has to be a number from %llu to %llu", row->letter,
                           row->letter == 'o' ? row->name : "", value,
                           (unsigned long long)row->least, (unsigned long long)row->most);
    *(unsigned *)to = (unsigned)number;
    return true;
}

static bool
take_memory(const struct row *row, char *value, void *to)
{
    uint64_t number, *bytes = to;
    char percent;
    if (!read_with_unit(value, "%", &number, &percent) || number < row->least ||
        number > (percent ? 90 : row->most))
        return sd_complain("-m %s: MiB, from 1 to 1048576, or a percentage, 1%% to 90%%", value);
    *bytes = percent ? sd_limit_percent((unsigned)number) : number * MIB;
    return *bytes || sd_complain("-m %s: %s", value, strerror(errno));
}

static bool
take_size(const struct row *row, char *value, void *to)
{
    uint64_t number;
    char unit;
    bool is_read = read_with_unit(value, "kKmM", &number, &unit) && number <= row->most;
    if (is_read && unit)
        number *= unit == 'k' || unit == 'K' ? 1024 : MIB;
    if (!is_read || number < row->least || number > row->most)
        return sd_complain("-I %s: from 1k to 1024m", value);
    *(uint64_t *)to = number;
    return true;
}

static bool
take_mode(const struct row *row, char *value, void *to)
{
    char *end;
    unsigned long number = strtoul(value, &end, 8);
    if (*value < '0' || *value > '7' || *end || number > row->most)
        return sd_complain("-a %s: octal, up to 777", value);
    *(unsigned *)to = (unsigned)number;
    return true;
}

static bool
take_text(const struct row *row, char *value, void *to)
{
    *(const char **)to = value;
    return *value || sd_complain("-%c needs a value", row->letter);
}

static bool
take_flag(const struct row *row, char *value, void *to)
{
    (void)value;
    *(bool *)to = row->most;
    return true;
}

static bool
take_verbose(const struct row *row, char *value, void *to)
{
    (void)row;
    (void)value;
    ++*(unsigned *)to;
    return true;
}

static bool
take_listen(const struct row *row, char *value, void *to)
{
    struct sd_settings *settings = to;
    char *save;
    (void)row;
    for (char *word = strtok_r(value, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        if (settings->listens == SD_LISTENERS_MOST)
            return sd_complain("-l: at most %u addresses", SD_LISTENERS_MOST);
        settings->listen[settings->listens++] = word;
    }
    return true;
}

#define OF(member) offsetof(struct sd_settings, member)

static const struct row extended[] = {
    {'o', " idle_timeout", "SECONDS", take_number, OF(idle_seconds), 0, 86400, NULL},
    {'o', " stall_timeout", "SECONDS", take_number, OF(stall_seconds), 1, 86400, NULL},
    {'o', " metrics", NULL, take_flag, OF(metrics), 0, true, NULL},
};

enum { EXTENDED = sizeof(extended) / sizeof(extended[0]) };

static bool
take_extended(const struct row *row, char *list, void *to)
{
    char nothing[] = "(nothing)", *save;
    (void)row;
    for (char *word = strtok_r(list, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        char *name = strsep(&word, "=");
        const struct row *found = extended;
        while (found < extended + EXTENDED && strcmp(found->name + 1, name) != 0)
            found++;
        if (found == extended + EXTENDED)
            sd_complain("-o %s has no effect here", name);
        else if (word && !found->argument)
            return sd_complain("-o %s: it takes no value", name);
        else if (!found->take(found, word ? word : nothing, (char *)to + found->at))
            return false;
    }
    return true;
}

static bool
take_udp(const struct row *row, char *value, void *to)
{
    unsigned number = 0;
    (void)to;
    if (!take_number(row, value, &number))
        return false;
    if (number)
        sd_complain("-U %u: there is no UDP; nothing is opened", number);
    return true;
}

static bool
take_protocol(const struct row *row, char *value, void *to)
{
    (void)row;
    (void)to;
    return strcmp(value, "ascii") == 0 || strcmp(value, "auto") == 0 ||
           strcmp(value, "auto-negotiate") == 0 ||
           sd_complain("-B %s: the text protocol is the only one", value);
}

static bool
refuse(const struct row *row, char *value, void *to)
{
    (void)value;
    (void)to;
    return sd_complain("-%c: %s", row->letter, row->text);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define MORE "\n                              "

static const struct row rows[] = {
    {'m', "memory-limit", "N", take_memory, OF(memory), 1, 1u << 20,
     "MiB of resident memory of the process, or N% of what there is" MORE
     "(of the cgroup's limit, else of the machine's); default 64"},
    {'l', "listen", "ADDRESS", take_listen, 0, 0, 0,
     "host, host:port or [v6]:port; several by commas, or several -l;" MORE
     "* for all; default 127.0.0.1 and ::1"},
    {'p', "port", "N", take_number, OF(port), 0, 65535,
     "default 11211; 0: one that is free, which is printed"},
    {'s', "unix-socket", "PATH", take_text, OF(unix_path), 0, 0, "this instead of the network"},
    {'a', "unix-mask", "MODE", take_mode, OF(unix_mode), 0, 0777, "its mode, octal; default 700"},
    {'u', "user", "NAME", take_text, OF(user), 0, 0, "become this user, when started by root"},
    {'Y', "auth-file", "FILE", take_text, OF(auth_file), 0, 0,
     "lines user:password; clients have to say one of them"},
    {'c', "conn-limit", "N", take_number, OF(connections), 1, 1000000,
     "connections at a time, 1 to 1000000; default 1024"},
    {'t', "threads", "N", take_number, OF(threads), 1, 64,
     "that serve, 1 to 64; default: processors, at most 4"},
    {'I', "max-item-size", "N", take_size, OF(value_most), 1024, 1024 * MIB,
     "longest value, bytes or with k or m; 1k to 1024m; default 1m"},
    {'b', "listen-backlog", "N", take_number, OF(backlog), 1, 65535,
     "connections that wait to be accepted, 1 to 65535; default 1024"},
    {'A', "enable-shutdown", NULL, take_flag, OF(may_shut_down), 0, true, "the command shutdown"},
    {'F', "disable-flush-all", NULL, take_flag, OF(may_flush), 0, false, "no flush_all"},
    {'X', "disable-dumping", NULL, take_flag, OF(may_dump), 0, false, "no stats cachedump"},
    {'e', "memory-file", "FILE", take_text, OF(dump_file), 0, 0,
     "keep the items there over a restart: written at the end and at" MORE "SIGUSR1"},
    {'d', "daemon", NULL, take_flag, OF(background), 0, true, "go into the background"},
    {'P', "pidfile", "FILE", take_text, OF(pid_file), 0, 0, "write the process's number there"},
    {'r', "enable-coredumps", NULL, take_flag, OF(cores), 0, true, "let cores be written"},
    {'o', "extended", "LIST", take_extended, 0, 0, 0,
     "idle_timeout=SECONDS without a byte in or out, 0 to 86400," MORE
     "default 0: never; stall_timeout=SECONDS without getting on," MORE
     "while others wait for its buffers, 1 to 86400, default 5;" MORE
     "metrics: GET /metrics is answered, for Prometheus; other" MORE
     "words are named and have no effect"},
    {'v', "verbose", NULL, take_verbose, OF(verbose), 0, 0, "say more"},
    {'h', "help", NULL, NULL, 0, 0, 0, "this"},
    {'V', "version", NULL, NULL, 0, 0, 0, "sinterd's"},
    {'i', "license", NULL, NULL, 0, 0, 0, NULL},
    {'U', "udp-port", "N", take_udp, 0, 0, 65535, NULL},
    {'B', "protocol", "NAME", take_protocol, 0, 0, 0, NULL},
    {'M', "disable-evictions", NULL, refuse, 0, 0, 0,
     "items are always evicted for new ones; start it without -M"},
    {'S', "enable-sasl", NULL, refuse, 0, 0, 0,
     "there is no SASL; -Y FILE asks clients for a password"},
    {'Z', "enable-ssl", NULL, refuse, 0, 0, 0, "there is no TLS; put a terminator in front"},
    {'C', "disable-cas", NULL, NULL, 0, 0, 0, NULL},
    {'D', "prefix-delimiter", "C", NULL, 0, 0, 0, NULL},
    {'f', "slab-growth-factor", "N", NULL, 0, 0, 0, NULL},
    {'n', "slab-min-size", "N", NULL, 0, 0, 0, NULL},
    {'k', "lock-memory", NULL, NULL, 0, 0, 0, NULL},
    {'L', "enable-largepages", NULL, NULL, 0, 0, 0, NULL},
    {'R', "max-reqs-per-event", "N", NULL, 0, 0, 0, NULL},
    {'W', "disable-watch", NULL, NULL, 0, 0, 0, NULL},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static void
show_usage(void)
{
    puts("usage: sinterd [option...]\n\nA cache server with memcached's text and meta protocols, "
         "whose limit is of resident memory.\n");
    for (const struct row *row = rows; row < rows + ROWS; row++) {
        if (!row->text || row->take == refuse)
            continue;
        const char *argument = row->argument ? row->argument : "";
        int width =
            printf("  -%c, --%s%s%s", row->letter, row->name, *argument ? "=" : "", argument);
        printf("%*s%s\n", 28 - width, "", row->text);
    }
    puts(
        "\nAccepted without effect: -U (there is no UDP), -B ascii, -C, -D, -f, -k, -L, -n, -R, -W."
        "\nNot there: -M, -S, -Z.");
}

/* NULL: there is none. */
static const struct row *
row_of(int letter)
{
    for (const struct row *row = rows; row < rows + ROWS; row++)
        if (row->letter == letter)
            return row;
    return NULL;
}

/* The next option as getopt_long has it. */
static int
next_option(int argc, char **argv)
{
    char letters[2 * ROWS + 2] = ":", *at = letters + 1;
    struct option names[ROWS + 1] = {{NULL, 0, NULL, 0}};
    for (size_t i = 0; i < ROWS; i++) {
        names[i] = (struct option){rows[i].name, rows[i].argument != NULL, NULL, rows[i].letter};
        *at++ = rows[i].letter;
        if (rows[i].argument)
            *at++ = ':';
    }
    return getopt_long(argc, argv, letters, names, NULL);
}

static void
set_defaults(struct sd_settings *settings)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    *settings = (struct sd_settings){
        .memory = 64 * MIB,
        .value_most = MIB,
        .port = 11211,
        .unix_mode = 0700,
        .threads = processors < 1   ? 1
                   : processors > 4 ? 4
                                    : (unsigned)processors,
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
    int option;
    set_defaults(settings);
    opterr = 0;
    while ((option = next_option(argc, argv)) != -1) {
        const struct row *row = row_of(option);
        if (!row)
            sd_complain("%s: %s (see sinterd -h)", argv[optind - 1],
                        option == ':' ? "it needs a value" : "there is no such option");
        if (option == 'h')
            show_usage();
        if (option == 'V' || option == 'i')
            puts("sinterd " SD_VERSION);
        if (option == 'h' || option == 'V' || option == 'i')
            return SD_START_DONE;
        if (!row || (row->take && !row->take(row, optarg, (char *)settings + row->at)))
            return SD_START_WRONG;
    }
    if (optind == argc)
        return SD_START_SERVE;
    sd_complain("%s: it is no option (see sinterd -h)", argv[optind]);
    return SD_START_WRONG;
}
