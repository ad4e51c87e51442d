/* SPDX-License-Identifier: MIT */
/* exposition.c - see exposition.h. One function per kind of line. */
#include "exposition.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned
exposition_character(const char *s)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char lead = (unsigned char)*s;
    unsigned n = lead < 0x80       ? 1
                 : lead >> 5 == 6  ? 2
                 : lead >> 4 == 14 ? 3
                 : lead >> 3 == 30 ? 4
                                   : 0;
    uint32_t point = n < 2 ? lead : lead & (0x7fu >> n);
    for (unsigned i = 1; i < n; i++) {
        if (((unsigned char)s[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | ((unsigned char)s[i] & 0x3f);
    }
    bool surrogate = point >= 0xd800 && point < 0xe000;
    return n == 0 || point < least[n] || point > 0x10ffff || surrogate ? 0 : n;
}

struct metric {
    char name[96];
    char type[16];
    bool typed, inf, sum, count;
    double last, le;
};

static size_t
name_length(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
    return isdigit((unsigned char)*text) ? 0 : n;
}

/* Length of {name="value",...}; 0: it is not well formed. *le: the value of the label of that name,
 * NULL without one. */
static size_t
labels_length(const char *text, const char **le)
{
    size_t at = 1;
    *le = NULL;
    for (;;) {
        size_t n = name_length(text + at);
        if (text[0] != '{' || n == 0 || text[at + n] != '=' || text[at + n + 1] != '"')
            return 0;
        if (n == 2 && strncmp(text + at, "le", n) == 0)
            *le = text + at + n + 2;
        for (at += n + 2; text[at] != '"';) {
            if (text[at] == '\\' && (text[at + 1] == '\0' || !strchr("\\\"n", text[at + 1])))
                return 0;
            unsigned length = text[at] == '\\' ? 2 : exposition_character(text + at);
            if (length == 0 || text[at] == '\n' || text[at] == '\0')
                return 0;
            at += length;
        }
        at++;
        if (text[at] == '}')
            return at + 1;
        if (text[at++] != ',')
            return 0;
    }
}

/* One line of a histogram; part is what follows the metric's name, bound the label le. */
static const char *
histogram_fault(struct metric *m, const char *part, const char *bound, double value)
{
    if (strncmp(part, "_sum{", 5) == 0) {
        m->sum = true;
        return value < 0 ? "negative sum" : NULL;
    }
    if (strncmp(part, "_count{", 7) == 0) {
        m->count = true;
        return m->inf && value == m->last ? NULL : "the count is not that of +Inf";
    }
    if (strncmp(part, "_bucket{", 8) != 0 || !bound)
        return "a sample that is no part of a histogram";
    double le = strtod(bound, NULL);
    if (m->inf || le <= m->le)
        return "bounds do not rise";
    if (value < m->last)
        return "buckets are not cumulative";
    m->le = le;
    m->last = value;
    m->inf = isinf(le);
    return NULL;
}

static const char *
sample_fault(struct metric *m, const char *line)
{
    const char *le;
    size_t n = name_length(line), base = strlen(m->name), labels = labels_length(line + n, &le);
    if (!m->typed || n < base || strncmp(line, m->name, base) != 0)
        return "a sample of a metric without HELP and TYPE above it";
    if (labels == 0 || line[n + labels] != ' ')
        return "malformed labels";
    char *end = NULL;
    double value = strtod(line + n + labels + 1, &end);
    if (end == line + n + labels + 1 || *end != '\n')
        return "malformed value";
    if (strcmp(m->type, "histogram") == 0)
        return histogram_fault(m, line + base, le, value);
    if (strcmp(m->type, "counter") == 0 && !(value >= 0))
        return "a counter below 0";
    return n == base ? NULL : "a sample of another metric";
}

static const char *
type_fault(const struct metric *m)
{
    size_t length = strlen(m->name);
    bool total = length > 6 && strcmp(m->name + length - 6, "_total") == 0;
    bool counter = strcmp(m->type, "counter") == 0, histogram = strcmp(m->type, "histogram") == 0;
    if (!counter && !histogram && strcmp(m->type, "gauge") != 0)
        return "unknown type";
    if (total != counter)
        return "_total and counter go together";
    if (histogram && strcmp(m->name + length - 8, "_seconds") != 0)
        return "a histogram that is not in seconds";
    return strstr(m->name, "_ns") || strstr(m->name, "_permille") ? "no base unit" : NULL;
}

/* Whether an earlier line of text begins with the same `length` bytes. */
static bool
repeated(const char *text, const char *line, size_t length)
{
    /* Not strchr: AddressSanitizer's looks for the end of the whole text each time. */
    for (; text < line; text = (const char *)memchr(text, '\n', (size_t)(line - text)) + 1)
        if (strncmp(text, line, length) == 0)
            return true;
    return false;
}

static const char *
line_fault(struct metric *m, const char *text, const char *line)
{
    char name[96];
    if (strncmp(line, "# HELP ", 7) == 0) {
        if (strcmp(m->type, "histogram") == 0 && !(m->inf && m->sum && m->count))
            return "a histogram without +Inf, count or sum";
        memset(m, 0, sizeof(*m));
        if (sscanf(line, "# HELP %95s %*[^\n]", m->name) != 1 || name_length(m->name) == 0)
            return "malformed HELP";
        return repeated(text, line, 7 + strlen(m->name) + 1) ? "HELP twice" : NULL;
    }
    if (strncmp(line, "# TYPE ", 7) == 0) {
        if (m->typed || sscanf(line, "# TYPE %95s %15s\n", name, m->type) != 2 ||
            strcmp(name, m->name) != 0)
            return "TYPE does not follow its HELP";
        m->typed = true;
        return type_fault(m);
    }
    size_t key = strcspn(line, "\n");
    while (key > 0 && line[key] != ' ')
        key--;
    return repeated(text, line, key + 1) ? "a series twice" : sample_fault(m, line);
}

const char *
exposition_fault(const char *text, const char **where)
{
    struct metric metric;
    memset(&metric, 0, sizeof(metric));
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        *where = line;
        if (!strchr(line, '\n'))
            return "no newline at the end";
        const char *fault = line_fault(&metric, text, line);
        if (fault)
            return fault;
    }
    bool open =
        strcmp(metric.type, "histogram") == 0 && !(metric.inf && metric.sum && metric.count);
    return open ? "a histogram without +Inf, count or sum" : NULL;
}
