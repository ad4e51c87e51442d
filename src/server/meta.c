/* SPDX-License-Identifier: MIT */
/*
 * meta.c - the meta commands: mg, ms, md, ma, me, mn. Their flags are words of one letter with an
 * argument behind it. Replies repeat some of them, in the request's order.
 */
#include "server/session.h"

#define BAD_TOKEN   "CLIENT_ERROR bad token in command line format"
#define TOO_LONG    "CLIENT_ERROR options flags too long"
#define WRONG_FLAG  "CLIENT_ERROR invalid or duplicate flag"
#define WORDS_MOST  19u /* words of a line */
#define OPAQUE_MOST 32u

/* ---- flags ----------------------------------------------------------------------------------- */

/** Flags with a number, and what is said where it is none. */
enum { CAS, INITIAL, DELTA, FLAGS, CREATE_TTL, TTL, RECACHE_TTL, NUMBERS };
static const struct {
    char letter;
    bool is_time;
    const char *wrong;
} numbers[NUMBERS] = {
    [CAS] = {'C', false, BAD_TOKEN},
    [INITIAL] = {'J', false, "CLIENT_ERROR invalid numeric initial value"},
    [DELTA] = {'D', false, "CLIENT_ERROR invalid numeric delta value"},
    [FLAGS] = {'F', false, NULL}, /* what else is wrong says it better */
    [CREATE_TTL] = {'N', true, BAD_TOKEN},
    [TTL] = {'T', true, BAD_TOKEN},
    [RECACHE_TTL] = {'R', true, BAD_TOKEN},
};
static const char known[] = "bNTRlOPLkstcfvhuqFCMJDI";

/** What a request's flags say. */
struct meta {
    const struct sd_line *line;
    struct sd_bytes key;
    uint64_t number[NUMBERS];
    bool has[128]; /* by letter */
    bool bad_flags, opaque_too_long;
    bool sized;  /* by its third word, as ms is */
    size_t size; /* of the value */
    char mode;
    char decoded[SD_KEY_MOST]; /* the last: not set to 0 */
};

static struct sd_ttl
ttl_of(const struct meta *meta, unsigned which)
{
    return sd_ttl_of((int32_t)meta->number[which]);
}

/* That it gets, if it is there. */
static struct sd_ttl
new_ttl(const struct meta *meta)
{
    return meta->has['T'] ? ttl_of(meta, TTL) : SD_TTL_KEPT;
}

static const char *
decode_key(struct meta *meta)
{
    size_t size = sd_base64_read(meta->key, meta->decoded);
    meta->has['b'] = true;
    meta->key = (struct sd_bytes){meta->decoded, size};
    return size ? NULL : "CLIENT_ERROR error decoding key";
}

static const char *
read_number(struct meta *meta, unsigned i, struct sd_bytes text)
{
    int32_t seconds = 0;
    bool is_number =
        numbers[i].is_time ? sd_read_i32(text, &seconds) : sd_read_u64(text, &meta->number[i]);
    if (numbers[i].is_time)
        meta->number[i] = (uint64_t)seconds;
    meta->bad_flags = meta->bad_flags || (i == FLAGS && !is_number);
    return is_number ? NULL : numbers[i].wrong;
}

/* NULL, or what is wrong with it. */
static const char *
read_flag(struct meta *meta, struct sd_bytes word)
{
    switch (*word.bytes) {
    case 'b':
        return decode_key(meta);
    case 'M':
        meta->mode = word.bytes[1];
        return word.size == 2 ? NULL : "CLIENT_ERROR incorrect length for M token";
    case 'O':
        meta->opaque_too_long = word.size > OPAQUE_MOST;
        return NULL;
    default:
        for (unsigned i = 0; i < NUMBERS; i++)
            if (numbers[i].letter == *word.bytes)
                return read_number(meta, i, (struct sd_bytes){word.bytes + 1, word.size - 1});
        return NULL;
    }
}

/* From word `first` on. The last complaint is the one that is told, but for those that end it. */
static const char *
read_flags(struct meta *meta, unsigned first)
{
    const char *wrong = NULL;
    for (unsigned i = first; i < meta->line->count; i++) {
        unsigned char letter = (unsigned char)*meta->line->word[i].bytes;
        if (letter >= 127 || meta->has[letter])
            return "CLIENT_ERROR duplicate flag";
        if (!strchr(known, letter))
            return "CLIENT_ERROR invalid flag";
        meta->has[letter] = true;
        const char *complaint = read_flag(meta, meta->line->word[i]);
        wrong = complaint ? complaint : wrong;
    }
    return wrong ? wrong : meta->bad_flags ? SD_BAD_FORMAT : NULL;
}

/* ---- a request ------------------------------------------------------------------------------- */

/** What commands' lines have of their own. */
struct form {
    enum sd_verdict (*run)(struct sd_request *request, struct meta *meta);
    unsigned first;    /* word of the flags */
    const char *modes; /* letters of the flag M; NULL: it is not looked at */
    const char *wrong_mode, *too_long, *wrong_flag; /* what is said; the last: or NULL */
};

static const char *
read_key(struct meta *meta, const struct sd_line *line)
{
    memset(meta, 0, offsetof(struct meta, decoded));
    meta->line = line;
    meta->number[DELTA] = 1;
    meta->key = line->word[1];
    return meta->key.size > SD_KEY_MOST ? SD_BAD_FORMAT : NULL;
}

/* NULL, or what is wrong with it. */
static const char *
read_request(struct meta *meta, const struct sd_line *line, const struct form *form)
{
    if (read_key(meta, line))
        return SD_BAD_FORMAT;
    if (line->count > WORDS_MOST)
        return form->too_long;
    meta->sized = form->first == 3 && sd_read_size(sd_word(line, 2), &meta->size);
    if (form->first == 3 && !meta->sized)
        return SD_BAD_FORMAT;
    const char *wrong = read_flags(meta, form->first);
    if (wrong)
        return form->wrong_flag ? form->wrong_flag : wrong;
    if (meta->mode && form->modes && !strchr(form->modes, meta->mode))
        return form->wrong_mode;
    return meta->opaque_too_long ? "CLIENT_ERROR opaque token too long" : NULL;
}

/* ---- replies --------------------------------------------------------------------------------- */

/** What a reply may show beside the opaque and the key. */
struct values {
    const char *letters; /* those that are shown */
    uint64_t size, cas, ttl_ms;
    uint32_t flags;
    bool created, binary;
};

static char *
put_key(char *at, struct sd_bytes key, bool binary)
{
    return binary ? sd_base64_put(at, key) : sd_put_bytes(at, key.bytes, key.size);
}

static char *
put_value(char *at, char letter, const struct values *values, uint64_t ttl_ms)
{
    /* l: nobody notes the time of a hit, since a reader writes nothing */
    uint64_t number = letter == 's'   ? values->size
                      : letter == 'c' ? values->cas
                      : letter == 'f' ? values->flags
                      : letter == 't' ? sd_ttl_seconds(ttl_ms)
                                      : letter == 'h' && !values->created;
    *at++ = letter;
    return letter == 't' && number == 0 ? sd_put_text(at, "-1") : sd_put_u64(at, number);
}

/* In the request's order; a time to live that it sets shows in what follows. */
static char *
put_flags(char *at, const struct meta *meta, const struct values *values)
{
    uint64_t ttl_ms = values->ttl_ms;
    for (unsigned i = 2; i < meta->line->count; i++) {
        struct sd_bytes word = meta->line->word[i];
        char letter = *word.bytes;
        if (letter == 'T' || (letter == 'N' && values->created))
            ttl_ms = ttl_of(meta, letter == 'T' ? TTL : CREATE_TTL).ms;
        if (letter != 'O' && letter != 'k' && !strchr(values->letters, letter))
            continue;
        *at++ = ' ';
        if (letter == 'O') {
            at = sd_put_bytes(at, word.bytes, word.size);
        } else if (letter == 'k') {
            *at++ = 'k';
            at = put_key(at, meta->key, values->binary);
            at = sd_put_text(at, values->binary ? " b" : "");
        } else {
            at = put_value(at, letter, values, ttl_ms);
        }
    }
    return at;
}

static char *
put_code(char *at, const struct meta *meta, size_t value_size)
{
    return meta->has['v'] ? sd_put_u64(sd_put_text(at, "VA "), value_size) : sd_put_text(at, "HD");
}

static enum sd_verdict
answer(struct sd_request *request, const struct meta *meta, const char *code,
       const struct values *values)
{
    char *at = sd_put_text(sd_output_tail(request->output), code);
    at = put_flags(at, meta, values);
    sd_output_end(request->output, sd_put_text(at, "\r\n"));
    return SD_DONE;
}

/* What replies repeat although there is no item. */
static enum sd_verdict
echo(struct sd_request *request, const struct meta *meta, const char *code)
{
    return answer(request, meta, code, &(struct values){.letters = "", .binary = meta->has['b']});
}

/* ---- mg -------------------------------------------------------------------------------------- */

/** What mg's answer needs beside the item. */
struct shown {
    const struct meta *meta;
    bool created; /* by this request */
};

/* The value was told to be missing, or stale: one client is told to write it anew. */
static bool
wins(const struct shown *shown, const struct sd_item *item)
{
    struct sd_ttl recache = ttl_of(shown->meta, RECACHE_TTL);
    uint64_t left = item->view.info.ttl_ms;
    if (shown->created || (item->marks & SD_SENT))
        return shown->created;
    return (item->marks & SD_STALE) || (left && left < recache.ms && !recache.over);
}

/* `value` is writable in front, too. */
static int
create(struct sd_session *session, const struct meta *meta, char *value, size_t size,
       unsigned marks)
{
    struct sd_store store = {
        .key = meta->key,
        .mode = SD_ADD,
        .value = value,
        .size = size,
        .ttl = ttl_of(meta, marks && meta->has['T'] ? TTL : CREATE_TTL),
        .marks = marks | (meta->has['b'] ? SD_BINARY : 0),
    };
    return sd_item_store(session, &store);
}

/* In one step: somebody else must not win it, nor nobody. */
static int
change(struct sd_session *session, struct sd_bytes key, const struct sd_item *item,
       const void *opaque)
{
    const struct shown *shown = opaque;
    struct sd_store mark = {.key = key,
                            .mode = SD_MARK,
                            .cas = item->view.info.cas,
                            .marks = SD_SENT,
                            .ttl = new_ttl(shown->meta)};
    if (shown->created)
        return 0;
    if (wins(shown, item)) {
        int rc = sd_item_store(session, &mark);
        return rc == 0 ? SD_CHANGED : rc;
    }
    return shown->meta->has['T'] ? sd_item_touch(session->server->cache, key, mark.ttl) : 0;
}

static char *
put_head(char *at, const struct sd_item *item, const void *opaque)
{
    const struct shown *shown = opaque;
    unsigned marks = shown->created ? 0 : item->marks;
    struct values values = {.letters = "stcflh",
                            .size = item->size,
                            .cas = item->view.info.cas,
                            .ttl_ms = shown->created ? 0 : item->view.info.ttl_ms,
                            .flags = item->view.info.flags,
                            .created = shown->created,
                            .binary = item->marks & SD_BINARY};
    at = put_flags(put_code(at, shown->meta, item->size), shown->meta, &values);
    at = sd_put_text(at, marks & SD_SENT ? " Z" : "");
    at = sd_put_text(at, marks & SD_STALE ? " X" : "");
    return sd_put_text(at, wins(shown, item) ? " W\r\n" : "\r\n");
}

/* What was created to be over at once is shown this once. */
static enum sd_verdict
show_over(struct sd_request *request, const struct shown *shown)
{
    struct sd_item item = {.marks = shown->meta->has['b'] ? SD_BINARY : 0};
    item.view.info.cas = sinter_cache_written();
    char *at = put_head(sd_output_tail(request->output), &item, shown);
    sd_output_end(request->output, sd_put_text(at, shown->meta->has['v'] ? "\r\n" : ""));
    return SD_DONE;
}

static enum sd_verdict
run_mg(struct sd_request *request, struct meta *meta)
{
    struct sd_session *session = request->session;
    struct shown shown = {meta, false};
    struct sd_shape shape = {SD_REPLY_MOST, meta->has['v'], put_head, &shown, change};
    bool there;
    char empty[2] = "";
    for (;;) {
        enum sd_verdict verdict = sd_show(session, request->output, meta->key, &shape, &there);
        if (verdict != SD_DONE)
            return verdict;
        if (there || !meta->has['N'] || shown.created)
            break;
        int rc = create(session, meta, empty + 1, 0, SD_SENT);
        if (sd_is_refusal(rc))
            return sd_refused(request, rc, SD_OUT_OF_MEMORY " storing object");
        shown.created = rc == 0;
    }
    sd_count_get(session->counts, meta->has['T'] && there, there);
    if (shown.created && !there)
        return show_over(request, &shown);
    return there || meta->has['q'] ? SD_DONE : echo(request, meta, "EN");
}

/* ---- ms -------------------------------------------------------------------------------------- */

static const char modes_of_ms[] = "SREAP";

static enum sd_mode
mode_of_ms(const struct meta *meta)
{
    static const enum sd_mode modes[] = {SD_SET, SD_REPLACE, SD_ADD, SD_APPEND, SD_PREPEND};
    enum sd_mode mode = meta->mode ? modes[strchr(modes_of_ms, meta->mode) - modes_of_ms] : SD_SET;
    return meta->has['C'] && (mode == SD_SET || mode == SD_REPLACE) ? SD_CAS : mode;
}

static const char *
code_of(const struct sd_store *store, int rc)
{
    if (rc == 0)
        return "HD";
    if (rc == -EEXIST && store->mode != SD_ADD)
        return "EX";
    return store->mode == SD_CAS ? "NF" : "NS";
}

static enum sd_verdict
run_ms(struct sd_request *request, struct meta *meta)
{
    struct sd_store store = {
        .key = meta->key,
        .mode = mode_of_ms(meta),
        .size = meta->size,
        .flags = (uint32_t)meta->number[FLAGS],
        .ttl = ttl_of(meta, TTL),
        .cas = meta->number[CAS],
        .marks = meta->has['b'] ? SD_BINARY : 0,
        .replaces = true,
        .may_be_stale = meta->has['I'],
    };
    enum sd_verdict verdict;
    int rc;
    if (!sd_store_value(request, &store, &rc, &verdict))
        return verdict;
    if (rc == 0 && meta->has['q'])
        return SD_DONE;
    return answer(request, meta, code_of(&store, rc),
                  &(struct values){.letters = "c",
                                   .cas = rc == 0 ? sinter_cache_written() : 0,
                                   .binary = meta->has['b']});
}

/* ---- md -------------------------------------------------------------------------------------- */

static int
delete_or_mark(struct sd_session *session, const struct meta *meta)
{
    sinter_cache *cache = session->server->cache;
    struct sd_store mark = {.key = meta->key,
                            .mode = SD_MARK,
                            .cas = meta->number[CAS],
                            .marks = SD_STALE,
                            .unmarks = SD_SENT,
                            .ttl = new_ttl(meta)};
    if (meta->has['C'] && mark.cas == 0)
        return sd_item_other_cas(cache, meta->key);
    if (meta->has['I'])
        return sd_item_store(session, &mark);
    return sinter_cache_delete(cache, meta->key.bytes, meta->key.size, mark.cas);
}

static enum sd_verdict
run_md(struct sd_request *request, struct meta *meta)
{
    int rc = delete_or_mark(request->session, meta);
    if (sd_is_refusal(rc))
        return sd_refused(request, rc, SD_OUT_OF_MEMORY);
    if (rc != 0 || !meta->has['I'])
        SD_COUNT_HIT(request->session->counts, delete, rc == 0);
    if (rc == 0 && meta->has['q'])
        return SD_DONE;
    return echo(request, meta, rc == 0 ? "HD" : rc == -EEXIST ? "EX" : "NF");
}

/* ---- ma -------------------------------------------------------------------------------------- */

/* -EEXIST: of another cas; -ESTALE: created by somebody else meanwhile. */
static int
add_number_once(struct sd_session *session, const struct meta *meta, struct sd_delta *delta,
                bool *created)
{
    char text[24];
    int rc = sd_item_add(session->server->cache, meta->key, delta);
    *created = rc == -ENOENT && meta->has['N'];
    if (!*created)
        return rc;
    delta->result = meta->number[INITIAL];
    delta->ttl_ms = 0;
    rc = create(session, meta, text + 1, (size_t)(sd_put_u64(text + 1, delta->result) - text - 1),
                0);
    return rc == -EEXIST ? -ESTALE : rc;
}

static enum sd_verdict
answer_sum(struct sd_request *request, const struct meta *meta, const struct sd_delta *delta,
           bool created)
{
    struct values values = {.letters = "ct",
                            .cas = sinter_cache_written(),
                            .ttl_ms = delta->ttl_ms,
                            .created = created,
                            .binary = meta->has['b']};
    char digits[24], *at = sd_output_tail(request->output);
    size_t size = (size_t)(sd_put_u64(digits, delta->result) - digits);
    if (meta->has['q'] && !created)
        return SD_DONE;
    at = sd_put_text(put_flags(put_code(at, meta, size), meta, &values), "\r\n");
    if (meta->has['v'])
        at = sd_put_text(sd_put_bytes(at, digits, size), "\r\n");
    sd_output_end(request->output, at);
    return SD_DONE;
}

static enum sd_verdict
run_ma(struct sd_request *request, struct meta *meta)
{
    struct sd_session *session = request->session;
    struct sd_delta delta = {.by = meta->number[DELTA],
                             .cas = meta->number[CAS],
                             .down = meta->mode == 'D' || meta->mode == '-'};
    bool created;
    int rc;
    do
        rc = add_number_once(session, meta, &delta, &created);
    while (rc == -ESTALE);
    if (rc == 0 && meta->has['T'])
        (void)sd_item_touch(session->server->cache, meta->key, ttl_of(meta, TTL));
    if (!created && (rc == 0 || rc == -ENOENT))
        sd_count_delta(session->counts, delta.down, rc == 0);
    if (sd_is_refusal(rc))
        return sd_refused(request, rc, SD_OUT_OF_MEMORY);
    if (rc == -EDOM)
        return sd_answer(request, SD_NOT_NUMERIC);
    if (rc == 0)
        return answer_sum(request, meta, &delta, created);
    return echo(request, meta, rc == -EEXIST ? "EX" : "NF");
}

/* ---- me, mn ---------------------------------------------------------------------------------- */

/* As memcached 1.6.18 has it: -1, or less than that by the time to live; its item's head counts. */
static char *
describe(char *at, const struct sd_item *item)
{
    const struct sinter_cache_info *info = &item->view.info;
    size_t head = 48 + 8 + 1 + 2 + (info->flags ? 4 : 0);
    uint64_t left = info->ttl_ms ? sd_ttl_seconds(info->ttl_ms) : 1;
    at = sd_put_u64(sd_put_text(at, " exp=-"), left);
    at = sd_put_u64(sd_put_text(at, " la=0 cas="), info->cas);
    at = sd_put_text(at, " fetch=no cls=1 size=");
    return sd_put_text(sd_put_u64(at, head + item->view.key_size + item->size), "\r\n");
}

static enum sd_verdict
command_me(struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    struct meta meta;
    struct sd_item item;
    char *at = sd_output_tail(request->output); /* there is room for it */
    if (line->count < 2 || read_key(&meta, line) ||
        (sd_is(sd_word(line, 2), "b") && decode_key(&meta)))
        return sd_answer(request, SD_BAD_FORMAT);
    sd_count(&request->session->counts->cmd_meta, 1);
    sd_section_enter();
    bool there = sd_item_look(request->session->server->cache, meta.key, &item);
    if (there) {
        at = put_key(sd_put_text(at, "ME "), meta.key, item.marks & SD_BINARY);
        at = describe(at, &item);
    }
    sd_section_leave();
    if (!there)
        return sd_answer(request, "EN");
    sd_output_end(request->output, at);
    return SD_DONE;
}

static enum sd_verdict
command_mn(struct sd_request *request)
{
    return sd_answer(request, "MN");
}

/* ---- the commands ---------------------------------------------------------------------------- */

enum { MG, MS, MD, MA };
static const struct form forms[] = {
    [MG] = {run_mg, 2, NULL, NULL, "CLIENT_ERROR options flags are too long", NULL},
    [MS] = {run_ms, 3, modes_of_ms, "CLIENT_ERROR invalid mode for ms M token", TOO_LONG, NULL},
    [MD] = {run_md, 2, NULL, NULL, TOO_LONG, WRONG_FLAG},
    [MA] = {run_ma, 2, "I+D-", "CLIENT_ERROR invalid mode for ma M token", TOO_LONG, WRONG_FLAG},
};

static enum sd_verdict
command_meta(struct sd_request *request)
{
    const struct form *form = &forms[request->kind];
    struct meta meta;
    const char *wrong = read_request(&meta, &request->line, form);
    if (!wrong)
        return form->run(request, &meta);
    if (meta.sized)
        request->session->skip = meta.size + 2;
    return sd_answer(request, wrong);
}

const struct sd_command sd_meta_commands[] = {
    {"mg", 2, SD_ANY, command_meta, MG},
    {"ms", 2, SD_ANY, command_meta, MS},
    {"md", 2, SD_ANY, command_meta, MD},
    {"ma", 2, SD_ANY, command_meta, MA},
    {"me", 1, SD_ANY, command_me, 0},
    {"mn", 1, SD_ANY, command_mn, 0},
    {NULL, 0, 0, NULL, 0},
};
