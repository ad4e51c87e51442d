/* SPDX-License-Identifier: MIT */
/*
 * wire.c - see wire.h. Nothing is printed by printf on the way: it would cost more than the servers
 * do, and a bench asks what those cost.
 */
#include "wire.h"
#include "value.h"

#include <string.h>

/* ---- requests -------------------------------------------------------------------------------- */

static char *
put_bytes(char *to, const char *text, size_t size)
{
    memcpy(to, text, size);
    return to + size;
}

static char *
put(char *to, const char *text)
{
    return put_bytes(to, text, strlen(text));
}

static char *
put_number(char *to, uint64_t number)
{
    char digits[20];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    return put_bytes(to, digits + at, sizeof(digits) - at);
}

static size_t
digits_of(uint64_t number)
{
    char text[20];
    return (size_t)(put_number(text, number) - text);
}

void
wire_key(const char *prefix, uint64_t id, char *to)
{
    size_t length = strlen(prefix);
    memcpy(to, prefix, length);
    for (size_t at = WIRE_KEY_SIZE; at > length; id /= 10)
        to[--at] = (char)('0' + id % 10);
}

static char *
put_key(char *to, const char *prefix, uint64_t id)
{
    wire_key(prefix, id, to);
    return to + WIRE_KEY_SIZE;
}

static bool
has_value(enum wire_verb verb)
{
    return verb <= WIRE_CAS;
}

static uint32_t
size_written(const struct wire_request *request)
{
    return request->is_number ? (uint32_t)digits_of(request->number) : request->size;
}

static char *
put_value(char *to, const struct wire_request *request)
{
    if (request->is_number)
        return put(put_number(to, request->number), "\r\n");
    value_fill(to, request->id[0], request->flags, request->start, request->size);
    return put(to + request->size, "\r\n");
}

size_t
wire_room(const struct wire_request *request)
{
    return 128 + (size_t)request->keys * (WIRE_KEY_SIZE + 1) +
           (has_value(request->verb) ? size_written(request) : 0);
}

static char *
put_word_and_number(char *to, const char *word, uint64_t number)
{
    return put_number(put(to, word), number);
}

static char *
encode_text(const char *prefix, const struct wire_request *request, char *to)
{
    static const char *const name[] = {
        [WIRE_SET] = "set ",       [WIRE_ADD] = "add ",         [WIRE_REPLACE] = "replace ",
        [WIRE_APPEND] = "append ", [WIRE_PREPEND] = "prepend ", [WIRE_CAS] = "cas ",
        [WIRE_GET] = "get",        [WIRE_DELETE] = "delete ",   [WIRE_TOUCH] = "touch ",
        [WIRE_INCR] = "incr ",     [WIRE_DECR] = "decr "};
    to = put(to, request->with_cas ? "gets" : name[request->verb]);
    if (request->verb == WIRE_GET) {
        for (unsigned i = 0; i < request->keys; i++)
            to = put_key(put(to, " "), prefix, request->id[i]);
        return put(to, "\r\n");
    }
    to = put_key(to, prefix, request->id[0]);
    if (request->verb == WIRE_INCR || request->verb == WIRE_DECR)
        return put(put_word_and_number(to, " ", request->number), "\r\n");
    if (request->verb == WIRE_TOUCH)
        return put(put_word_and_number(to, " ", request->ttl), "\r\n");
    if (!has_value(request->verb))
        return put(to, "\r\n");
    to = put_word_and_number(to, " ", request->flags);
    to = put_word_and_number(to, " ", request->ttl);
    to = put_word_and_number(to, " ", size_written(request));
    if (request->verb == WIRE_CAS)
        to = put_word_and_number(to, " ", request->cas);
    return put_value(put(to, "\r\n"), request);
}

static char *
encode_meta_set(const struct wire_request *request, char *to)
{
    static const char *const mode[] = {
        [WIRE_SET] = "",       [WIRE_ADD] = " ME",     [WIRE_REPLACE] = " MR",
        [WIRE_APPEND] = " MA", [WIRE_PREPEND] = " MP", [WIRE_CAS] = " C"};
    to = put_word_and_number(to, " ", size_written(request));
    to = put_word_and_number(to, " T", request->ttl);
    to = put_word_and_number(to, " F", request->flags);
    to = put(to, mode[request->verb]);
    if (request->verb == WIRE_CAS)
        to = put_number(to, request->cas);
    return put_value(put(to, "\r\n"), request);
}

static char *
encode_meta(const char *prefix, const struct wire_request *request, char *to)
{
    enum wire_verb verb = request->verb;
    to = put(to, has_value(verb)                          ? "ms "
                 : verb == WIRE_DELETE                    ? "md "
                 : verb == WIRE_GET || verb == WIRE_TOUCH ? "mg "
                                                          : "ma ");
    to = put_key(to, prefix, request->id[0]);
    if (has_value(verb))
        return encode_meta_set(request, to);
    if (verb == WIRE_GET)
        to = put(to, request->with_cas ? " v f k c" : " v f k");
    else if (verb == WIRE_TOUCH)
        to = put_word_and_number(to, " T", request->ttl);
    else if (verb != WIRE_DELETE)
        to = put_word_and_number(to, verb == WIRE_INCR ? " v D" : " v MD D", request->number);
    return put(to, "\r\n");
}

static char *
put_bulk(char *to, size_t size)
{
    return put(put_word_and_number(to, "$", size), "\r\n");
}

static char *
encode_resp(const char *prefix, const struct wire_request *request, char *to)
{
    bool set = request->verb == WIRE_SET;
    to = put(to, set                         ? "*3\r\n$3\r\nSET\r\n"
                 : request->verb == WIRE_GET ? "*2\r\n$3\r\nGET\r\n"
                                             : "*2\r\n$3\r\nDEL\r\n");
    to = put(put_key(put_bulk(to, WIRE_KEY_SIZE), prefix, request->id[0]), "\r\n");
    return set ? put_value(put_bulk(to, size_written(request)), request) : to;
}

size_t
wire_encode(enum wire_protocol protocol, const char *prefix, const struct wire_request *request,
            char *to)
{
    char *end = protocol == WIRE_TEXT   ? encode_text(prefix, request, to)
                : protocol == WIRE_META ? encode_meta(prefix, request, to)
                                        : encode_resp(prefix, request, to);
    return (size_t)(end - to);
}

/* ---- replies: a cursor that goes over the bytes, and remembers if something did not fit ------ */

struct cursor {
    const char *at, *end;
    bool short_of; /* more bytes are needed */
    bool bad;
};

static bool
is_next(const struct cursor *c, const char *text)
{
    size_t size = strlen(text);
    return (size_t)(c->end - c->at) >= size && memcmp(c->at, text, size) == 0;
}

static bool
skip(struct cursor *c, const char *text)
{
    if (!is_next(c, text))
        return false;
    c->at += strlen(text);
    return true;
}

static void
expect(struct cursor *c, const char *text)
{
    if (!skip(c, text))
        c->bad = true;
}

static uint64_t
take_number(struct cursor *c)
{
    uint64_t number = 0;
    const char *begin = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        number = number * 10 + (uint64_t)(*c->at++ - '0');
    if (c->at == begin || c->at - begin > 20)
        c->bad = true;
    return number;
}

static void
expect_key(struct cursor *c, const char *prefix, uint64_t id)
{
    char key[WIRE_KEY_SIZE];
    wire_key(prefix, id, key);
    if ((size_t)(c->end - c->at) < sizeof(key) || memcmp(c->at, key, sizeof(key)) != 0)
        c->bad = true;
    else
        c->at += sizeof(key);
}

/* The value behind its line, and the end of line behind it. */
static void
take_data(struct cursor *c, struct wire_found *found)
{
    if ((size_t)(c->end - c->at) < found->size + 2) {
        c->short_of = true;
        return;
    }
    found->data = c->at;
    c->at += found->size;
    expect(c, "\r\n");
}

static bool
is_line_there(struct cursor *c)
{
    c->short_of = memchr(c->at, '\n', (size_t)(c->end - c->at)) == NULL;
    return !c->short_of;
}

/* Which of the keys from `next` on the line is about; request->keys: none. */
static unsigned
key_of_line(const struct cursor *c, const char *prefix, const struct wire_request *request,
            unsigned next)
{
    for (; next < request->keys; next++) {
        struct cursor probe = *c;
        expect_key(&probe, prefix, request->id[next]);
        if (!probe.bad)
            break;
    }
    return next;
}

static void
decode_values_text(struct cursor *c, const char *prefix, const struct wire_request *request,
                   struct wire_reply *reply)
{
    for (unsigned next = 0; is_line_there(c) && !c->bad && !skip(c, "END\r\n"); next++) {
        expect(c, "VALUE ");
        next = key_of_line(c, prefix, request, next);
        if (c->bad || next == request->keys) {
            c->bad = true;
            return;
        }
        struct wire_found *found = &reply->found[next];
        c->at += WIRE_KEY_SIZE;
        expect(c, " ");
        found->flags = (uint32_t)take_number(c);
        expect(c, " ");
        found->size = take_number(c);
        if (request->with_cas) {
            expect(c, " ");
            found->cas = take_number(c);
        }
        expect(c, "\r\n");
        if (!c->bad)
            take_data(c, found);
        if (c->short_of)
            return;
    }
}

static void
decode_values_meta(struct cursor *c, const char *prefix, const struct wire_request *request,
                   struct wire_reply *reply)
{
    struct wire_found *found = &reply->found[0];
    if (!is_line_there(c) || skip(c, "EN\r\n"))
        return;
    if (skip(c, "EN k")) { /* memcached 1.6.18 names the key of a miss */
        expect_key(c, prefix, request->id[0]);
        expect(c, "\r\n");
        return;
    }
    expect(c, "VA ");
    found->size = take_number(c);
    expect(c, " f");
    found->flags = (uint32_t)take_number(c);
    expect(c, " k");
    expect_key(c, prefix, request->id[0]);
    if (request->with_cas) {
        expect(c, " c");
        found->cas = take_number(c);
    }
    expect(c, "\r\n");
    if (!c->bad)
        take_data(c, found);
}

static void
decode_values_resp(struct cursor *c, const struct wire_request *request, struct wire_reply *reply)
{
    if (!is_line_there(c) || skip(c, "$-1\r\n"))
        return;
    expect(c, "$");
    reply->found[0].size = take_number(c);
    reply->found[0].flags = request->flags;
    expect(c, "\r\n");
    if (!c->bad)
        take_data(c, &reply->found[0]);
}

static void
decode_number(struct cursor *c, enum wire_protocol protocol, struct wire_reply *reply)
{
    uint64_t size = 0;
    if (protocol == WIRE_META) {
        expect(c, "VA ");
        size = take_number(c);
        expect(c, "\r\n");
    }
    if (c->bad || !is_line_there(c))
        return;
    const char *begin = c->at;
    reply->number = take_number(c);
    if (protocol == WIRE_META && (uint64_t)(c->at - begin) != size)
        c->bad = true;
    expect(c, "\r\n");
    reply->outcome = WIRE_NUMBER;
}

/* Lines that are whole answers, and for which verbs: bits by number of the verb. */
static const struct answer {
    enum wire_protocol protocol;
    const char *line;
    unsigned verbs;
    enum wire_outcome outcome;
} answers[] = {
#define STORES    0x3fu
#define BIT(verb) (1u << (verb))
    {WIRE_TEXT, "STORED\r\n", STORES, WIRE_STORED},
    {WIRE_TEXT, "NOT_STORED\r\n", STORES & ~(BIT(WIRE_SET) | BIT(WIRE_CAS)), WIRE_NOT_STORED},
    {WIRE_TEXT, "EXISTS\r\n", BIT(WIRE_CAS), WIRE_EXISTS},
    {WIRE_TEXT, "NOT_FOUND\r\n",
     BIT(WIRE_CAS) | BIT(WIRE_DELETE) | BIT(WIRE_TOUCH) | BIT(WIRE_INCR) | BIT(WIRE_DECR),
     WIRE_NOT_FOUND},
    {WIRE_TEXT, "DELETED\r\n", BIT(WIRE_DELETE), WIRE_DONE},
    {WIRE_TEXT, "TOUCHED\r\n", BIT(WIRE_TOUCH), WIRE_DONE},
    {WIRE_META, "HD\r\n", STORES, WIRE_STORED},
    {WIRE_META, "NS\r\n", STORES & ~BIT(WIRE_CAS), WIRE_NOT_STORED},
    {WIRE_META, "EX\r\n", BIT(WIRE_CAS), WIRE_EXISTS},
    {WIRE_META, "NF\r\n", BIT(WIRE_CAS) | BIT(WIRE_DELETE) | BIT(WIRE_INCR) | BIT(WIRE_DECR),
     WIRE_NOT_FOUND},
    {WIRE_META, "EN\r\n", BIT(WIRE_TOUCH), WIRE_NOT_FOUND},
    {WIRE_META, "HD\r\n", BIT(WIRE_DELETE) | BIT(WIRE_TOUCH), WIRE_DONE},
    {WIRE_RESP, "+OK\r\n", BIT(WIRE_SET), WIRE_STORED},
    {WIRE_RESP, ":1\r\n", BIT(WIRE_DELETE), WIRE_DONE},
    {WIRE_RESP, ":0\r\n", BIT(WIRE_DELETE), WIRE_NOT_FOUND},
#undef BIT
#undef STORES
};

static void
decode_line(struct cursor *c, enum wire_protocol protocol, const struct wire_request *request,
            struct wire_reply *reply)
{
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        if (answers[i].protocol == protocol && answers[i].verbs >> request->verb & 1 &&
            skip(c, answers[i].line)) {
            reply->outcome = answers[i].outcome;
            return;
        }
    if (request->verb == WIRE_INCR || request->verb == WIRE_DECR)
        decode_number(c, protocol, reply);
    else
        c->bad = true;
}

static void
decode_values(struct cursor *c, enum wire_protocol protocol, const char *prefix,
              const struct wire_request *request, struct wire_reply *reply)
{
    reply->outcome = WIRE_VALUES;
    if (protocol == WIRE_TEXT)
        decode_values_text(c, prefix, request, reply);
    else if (protocol == WIRE_META)
        decode_values_meta(c, prefix, request, reply);
    else
        decode_values_resp(c, request, reply);
}

static bool
decode_refusal(struct cursor *c, struct wire_reply *reply)
{
    if (!is_next(c, "SERVER_ERROR ") && !is_next(c, "-OOM "))
        return false;
    const char *nl = memchr(c->at, '\n', (size_t)(c->end - c->at));
    c->at = nl + 1;
    reply->outcome = WIRE_REFUSED;
    return true;
}

size_t
wire_decode(enum wire_protocol protocol, const char *prefix, const struct wire_request *request,
            const char *at, size_t size, struct wire_reply *reply)
{
    struct cursor c = {.at = at, .end = at + size};
    if (!is_line_there(&c))
        return 0;
    reply->outcome = WIRE_WRONG;
    for (unsigned i = 0; i < request->keys; i++)
        reply->found[i] = (struct wire_found){0};
    if (!decode_refusal(&c, reply)) {
        if (request->verb == WIRE_GET)
            decode_values(&c, protocol, prefix, request, reply);
        else
            decode_line(&c, protocol, request, reply);
    }
    if (c.bad)
        reply->outcome = WIRE_WRONG;
    else if (c.short_of)
        return 0;
    reply->text = at;
    reply->text_size = c.bad ? size : (size_t)(c.at - at);
    return reply->text_size;
}
