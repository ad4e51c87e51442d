/* SPDX-License-Identifier: MIT */
/*
 * json.c - see json.h. Recursive descent, one function per rule of the grammar.
 */
#include "json.h"

#include <stdlib.h>
#include <string.h>

#define DEEPEST 64

struct cursor {
    const char *text;
    size_t at;
    unsigned depth;
};

static bool value(struct cursor *in);

static void
spaces(struct cursor *in)
{
    while (in->text[in->at] && strchr(" \t\r\n", in->text[in->at]))
        in->at++;
}

static bool
take(struct cursor *in, char expected)
{
    if (in->text[in->at] != expected)
        return false;
    in->at++;
    return true;
}

static bool
word(struct cursor *in, const char *expected)
{
    size_t length = strlen(expected);
    if (strncmp(in->text + in->at, expected, length) != 0)
        return false;
    in->at += length;
    return true;
}

static bool
digits(struct cursor *in)
{
    size_t from = in->at;
    while (in->text[in->at] >= '0' && in->text[in->at] <= '9')
        in->at++;
    return in->at > from;
}

static bool
number(struct cursor *in)
{
    take(in, '-');
    if (!take(in, '0') && !digits(in))
        return false;
    if (take(in, '.') && !digits(in))
        return false;
    if (take(in, 'e') || take(in, 'E')) {
        if (!take(in, '+'))
            take(in, '-');
        return digits(in);
    }
    return true;
}

static bool
escape(struct cursor *in)
{
    if (take(in, 'u')) {
        for (unsigned i = 0; i < 4; i++, in->at++)
            if (!in->text[in->at] || !strchr("0123456789abcdefABCDEF", in->text[in->at]))
                return false;
        return true;
    }
    if (!in->text[in->at] || !strchr("\"\\/bfnrt", in->text[in->at]))
        return false;
    in->at++;
    return true;
}

static bool
string(struct cursor *in)
{
    if (!take(in, '"'))
        return false;
    while (!take(in, '"')) {
        if ((unsigned char)in->text[in->at] < 0x20) /* the end of the text, too */
            return false;
        if (take(in, '\\')) {
            if (!escape(in))
                return false;
        } else {
            in->at++;
        }
    }
    return true;
}

static bool
member(struct cursor *in, bool named)
{
    spaces(in);
    if (named) {
        if (!string(in))
            return false;
        spaces(in);
        if (!take(in, ':'))
            return false;
    }
    return value(in);
}

/* An object (named) or an array, behind its opening bracket. */
static bool
members(struct cursor *in, bool named)
{
    char end = named ? '}' : ']';
    spaces(in);
    if (take(in, end))
        return true;
    if (++in->depth > DEEPEST)
        return false;
    do {
        if (!member(in, named))
            return false;
        spaces(in);
    } while (take(in, ','));
    in->depth--;
    return take(in, end);
}

static bool
value(struct cursor *in)
{
    spaces(in);
    if (take(in, '{'))
        return members(in, true);
    if (take(in, '['))
        return members(in, false);
    if (in->text[in->at] == '"')
        return string(in);
    return word(in, "true") || word(in, "false") || word(in, "null") || number(in);
}

bool
json_valid(const char *text, size_t *at)
{
    struct cursor in = {text, 0, 0};
    bool valid = value(&in);
    spaces(&in);
    *at = in.at;
    return valid && text[in.at] == '\0';
}

/* The text behind `"key":`, or NULL. */
static const char *
behind_key(const char *text, const char *key)
{
    size_t length = strlen(key);
    for (const char *found = strstr(text, key); found; found = strstr(found + 1, key)) {
        if (found == text || found[-1] != '"' || found[length] != '"')
            continue;
        const char *next = found + length + 1;
        next += strspn(next, " \t\r\n");
        if (*next == ':')
            return next + 1;
    }
    return NULL;
}

unsigned
json_key_count(const char *text, const char *key)
{
    unsigned count = 0;
    for (const char *at = behind_key(text, key); at; at = behind_key(at, key))
        count++;
    return count;
}

bool
json_number(const char *text, const char *key, unsigned long long *value)
{
    const char *at = behind_key(text, key);
    if (!at)
        return false;
    char *end = NULL;
    *value = strtoull(at, &end, 10);
    return end != at;
}
