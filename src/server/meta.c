/* SPDX-License-Identifier: MIT */
/*
 * meta.c - the meta commands: mg, ms, md, ma, me, mn. Their flags are words of one letter with an
 * argument behind it. Replies repeat some of them, in the request's order.
 */
#include "server/session.h"

#define BAD_TOKEN   "CLIENT_ERROR bad token in command line format"
#define BAD_FLAG    "CLIENT_ERROR invalid or duplicate flag"
#define LONG_OPAQUE "CLIENT_ERROR opaque token too long"
#define TOKENS_MOST 19u /* words of a line */
#define OPAQUE_MOST 32u

/** What a request's flags say. */
struct meta {
    struct sd_key key;
    char decoded[SD_KEY_MOST];
    bool binary, vivify, value, stale, quiet, has_cas, has_ttl, opaque_too_long, bad;
    char mode;
    struct sd_ttl ttl, vivify_ttl, recache;
    uint32_t flags;
    uint64_t cas, delta, initial;
};

/* ---- flags ----------------------------------------------------------------------------------- */

static const char *
read_ttl(const struct sd_token *token, struct sd_ttl *ttl)
{
    int32_t seconds;
    if (!sd_read_i32(token->text + 1, token->size - 1, &seconds))
        return BAD_TOKEN;
    *ttl = sd_ttl_of(seconds);
    return NULL;
}

static const char *
read_number(const struct sd_token *token, uint64_t *number, const char *complaint)
{
    return sd_read_u64(token->text + 1, token->size - 1, number) ? NULL : complaint;
}

static const char *
decode_key(struct meta *meta)
{
    size_t size = meta->key.size <= SD_KEY_MOST
                      ? sd_base64_read(meta->key.bytes, meta->key.size, meta->decoded)
                      : 0;
    meta->binary = true;
    meta->key = (struct sd_key){meta->decoded, size};
    return size ? NULL : "CLIENT_ERROR error decoding key";
}

static const char *
read_mode(const struct sd_token *token, char *mode)
{
    if (token->size != 2)
        return "CLIENT_ERROR incorrect length for M token";
    *mode = token->text[1];
    return NULL;
}

static const char *
read_flags_number(const struct sd_token *token, struct meta *meta)
{
    if (!sd_read_u32(token->text + 1, token->size - 1, &meta->flags))
        meta->bad = true; /* what else is wrong says it better */
    return NULL;
}

/* NULL, or what is wrong with it. */
static const char *
read_flag(struct meta *meta, const struct sd_token *token)
{
    switch (token->text[0]) {
    case 'b':
        return decode_key(meta);
    case 'N':
        meta->vivify = true;
        return read_ttl(token, &meta->vivify_ttl);
    case 'T':
        meta->has_ttl = true;
        return read_ttl(token, &meta->ttl);
    case 'R':
        return read_ttl(token, &meta->recache);
    case 'v':
        meta->value = true;
        return NULL;
    case 'q':
        meta->quiet = true;
        return NULL;
    case 'I':
        meta->stale = true;
        return NULL;
    case 'F':
        return read_flags_number(token, meta);
    case 'C':
        meta->has_cas = true;
        return read_number(token, &meta->cas, BAD_TOKEN);
    case 'M':
        return read_mode(token, &meta->mode);
    case 'J':
        return read_number(token, &meta->initial, "CLIENT_ERROR invalid numeric initial value");
    case 'D':
        return read_number(token, &meta->delta, "CLIENT_ERROR invalid numeric delta value");
    case 'O':
        meta->opaque_too_long = token->size > OPAQUE_MOST;
        return NULL;
    default:
        return NULL;
    }
}

static bool
is_known(char flag)
{
    return strchr("bNTRlOPLkstcfvhuqFCMJDI", flag) != NULL;
}

/* From word `first` on. The last complaint is the one that is told, but for those that end it. */
static const char *
read_flags(struct meta *meta, const struct sd_line *line, unsigned first)
{
    bool seen[127] = {false};
    const char *wrong = NULL;
    for (unsigned i = first; i < line->count; i++) {
        unsigned char letter = (unsigned char)line->token[i].text[0];
        if (letter >= 127 || seen[letter])
            return "CLIENT_ERROR duplicate flag";
        seen[letter] = true;
        if (!is_known((char)letter))
            return "CLIENT_ERROR invalid flag";
        const char *complaint = read_flag(meta, &line->token[i]);
        wrong = complaint ? complaint : wrong;
    }
    return wrong ? wrong : meta->bad ? SD_BAD_FORMAT : NULL;
}

static const char *
read_key(struct meta *meta, const struct sd_line *line)
{
    *meta = (struct meta){.delta = 1};
    meta->key = (struct sd_key){line->token[1].text, line->token[1].size};
    return meta->key.size > SD_KEY_MOST ? SD_BAD_FORMAT : NULL;
}

/* ---- replies --------------------------------------------------------------------------------- */

/** A reply's line, as it is put where it goes. */
struct reply {
    char *at;
};

static void
add_text(struct reply *reply, const char *text, size_t size)
{
    memcpy(reply->at, text, size);
    reply->at += size;
}

static void
begin_reply(struct sd_request *request, struct reply *reply, const char *code)
{
    reply->at = sd_output_tail(request->output);
    add_text(reply, code, 2);
}

static void
add_flag(struct reply *reply, char flag)
{
    *reply->at++ = ' ';
    *reply->at++ = flag;
}

static void
add_number(struct reply *reply, char flag, uint64_t number)
{
    add_flag(reply, flag);
    reply->at = sd_put_u64(reply->at, number);
}

static void
add_key(struct reply *reply, struct sd_key key, bool binary)
{
    add_flag(reply, 'k');
    if (!binary) {
        add_text(reply, key.bytes, key.size);
        return;
    }
    reply->at = sd_base64_put(reply->at, key.bytes, key.size);
    add_text(reply, " b", 2);
}

/** What a reply may show beside the opaque and the key. */
struct values {
    const char *letters; /* those that are shown */
    uint64_t size, cas, ttl_ms;
    uint32_t flags;
    bool created, binary;
};

static void
add_value(struct reply *reply, char letter, const struct values *values)
{
    /* l: nobody notes the time of a hit, since a reader writes nothing */
    uint64_t number = letter == 's'   ? values->size
                      : letter == 'c' ? values->cas
                      : letter == 'f' ? values->flags
                      : letter == 't' ? sd_ttl_seconds(values->ttl_ms)
                                      : letter == 'h' && !values->created;
    if (letter == 't' && number == 0)
        add_text(reply, " t-1", 4);
    else
        add_number(reply, letter, number);
}

/* In the request's order; a time to live that it sets shows in what follows. */
static void
add_flags(struct reply *reply, const struct meta *meta, const struct sd_line *line,
          struct values values)
{
    for (unsigned i = 2; i < line->count; i++) {
        const struct sd_token *token = &line->token[i];
        char letter = token->text[0];
        if (letter == 'O') {
            *reply->at++ = ' ';
            add_text(reply, token->text, token->size);
        } else if (letter == 'k') {
            add_key(reply, meta->key, values.binary);
        } else if (letter == 'T') {
            values.ttl_ms = meta->ttl.ms;
        } else if (letter == 'N' && values.created) {
            values.ttl_ms = meta->vivify_ttl.ms;
        } else if (strchr(values.letters, letter)) {
            add_value(reply, letter, &values);
        }
    }
}

/* What replies repeat although there is no item. */
static void
add_echo(struct reply *reply, const struct meta *meta, const struct sd_line *line)
{
    add_flags(reply, meta, line, (struct values){.letters = "", .binary = meta->binary});
}

static enum sd_verdict
send_reply(struct sd_request *request, struct reply *reply)
{
    add_text(reply, "\r\n", 2);
    sd_output_advance(request->output, (size_t)(reply->at - sd_output_tail(request->output)));
    return SD_DONE;
}

static enum sd_verdict
refused(struct sd_session *session, struct sd_request *request, int rc, const char *text)
{
    session->quiet = false;
    return sd_refused(session, request, rc, text);
}

/* ---- mg -------------------------------------------------------------------------------------- */

/** What mg's answer needs beside the item. */
struct shown {
    const struct meta *meta;
    const struct sd_line *line;
    bool created; /* by this request */
};

/* The value was told to be missing, or stale: one client is told to write it anew. */
static bool
wins(const struct shown *shown, const struct sd_item *item)
{
    const struct meta *meta = shown->meta;
    uint64_t left = item->view.info.ttl_ms;
    if (shown->created || (item->marks & SD_SENT))
        return shown->created;
    return (item->marks & SD_STALE) || (left && left < meta->recache.ms && !meta->recache.over);
}

static int
create(struct sd_session *session, const struct meta *meta)
{
    char empty[2] = "";
    struct sd_store store = {
        .key = meta->key,
        .mode = SD_ADD,
        .value = empty + 1,
        .ttl = meta->has_ttl ? meta->ttl : meta->vivify_ttl,
        .marks = SD_SENT | (meta->binary ? SD_BINARY : 0),
    };
    return sd_item_store(session, &store);
}

/* In one step: somebody else must not win it, nor nobody. */
static int
change(struct sd_session *session, struct sd_key key, const struct sd_item *item,
       const void *opaque)
{
    const struct shown *shown = opaque;
    const struct sd_ttl *ttl = shown->meta->has_ttl ? &shown->meta->ttl : NULL;
    if (shown->created)
        return 0;
    if (wins(shown, item)) {
        int rc = sd_item_mark(session, key, item->view.info.cas, SD_SENT, 0, ttl);
        return rc == 0 ? SD_CHANGED : rc;
    }
    return ttl ? sd_item_touch(session->server->cache, key, *ttl) : 0;
}

static void
add_item(struct reply *reply, const struct shown *shown, const struct sd_item *item)
{
    unsigned marks = shown->created ? 0 : item->marks;
    add_flags(reply, shown->meta, shown->line,
              (struct values){.letters = "stcflh",
                              .size = item->size,
                              .cas = item->view.info.cas,
                              .ttl_ms = shown->created ? 0 : item->view.info.ttl_ms,
                              .flags = item->view.info.flags,
                              .created = shown->created,
                              .binary = item->marks & SD_BINARY});
    if (marks & SD_SENT)
        add_flag(reply, 'Z');
    if (marks & SD_STALE)
        add_flag(reply, 'X');
    if (wins(shown, item))
        add_flag(reply, 'W');
}

static char *
put_head(char *at, const struct sd_item *item, const void *opaque)
{
    const struct shown *shown = opaque;
    struct reply reply = {at};
    add_text(&reply, shown->meta->value ? "VA " : "HD", shown->meta->value ? 3 : 2);
    if (shown->meta->value)
        reply.at = sd_put_u64(reply.at, item->size);
    add_item(&reply, shown, item);
    add_text(&reply, "\r\n", 2);
    return reply.at;
}

static void
count_get(struct sd_session *session, const struct meta *meta, bool hit)
{
    struct sd_counts *counts = session->counts;
    if (meta->has_ttl && hit) {
        sd_count(&counts->cmd_touch, 1);
        sd_count(&counts->touch_hits, 1);
        return;
    }
    sd_count(&counts->cmd_get, 1);
    sd_count(hit ? &counts->get_hits : &counts->get_misses, 1);
}

static enum sd_verdict
miss(struct sd_request *request, const struct meta *meta)
{
    struct reply reply;
    if (meta->quiet)
        return SD_DONE;
    begin_reply(request, &reply, "EN");
    add_echo(&reply, meta, &request->line);
    return send_reply(request, &reply);
}

/* SD_LATER with *rc: what refused it. */
static enum sd_verdict
show(struct sd_session *session, struct sd_request *request, const struct meta *meta, bool *there,
     int *rc)
{
    struct shown shown = {meta, &request->line, false};
    struct sd_shape shape = {SD_REPLY_MOST, meta->value, put_head, &shown, change};
    enum sd_verdict verdict;
    do {
        verdict = sd_show(session, request->output, meta->key, &shape, there);
        *rc = 0;
        if (verdict != SD_DONE || *there || !meta->vivify || shown.created)
            return verdict;
        *rc = create(session, meta);
        shown.created = *rc == 0;
    } while (!sd_is_refusal(*rc));
    return SD_LATER;
}

static const char *
read_mg(struct meta *meta, const struct sd_line *line)
{
    const char *wrong = read_key(meta, line);
    if (!wrong && line->count > TOKENS_MOST)
        wrong = "CLIENT_ERROR options flags are too long";
    if (!wrong)
        wrong = read_flags(meta, line, 2);
    return wrong ? wrong : meta->opaque_too_long ? LONG_OPAQUE : NULL;
}

static enum sd_verdict
command_mg(struct sd_session *session, struct sd_request *request)
{
    struct meta meta;
    bool there;
    int rc;
    const char *wrong = read_mg(&meta, &request->line);
    if (wrong)
        return sd_complain(session, request, wrong);
    enum sd_verdict verdict = show(session, request, &meta, &there, &rc);
    if (verdict == SD_LATER && rc)
        return refused(session, request, rc, "SERVER_ERROR out of memory storing object");
    if (verdict != SD_DONE)
        return verdict;
    count_get(session, &meta, there);
    return there ? SD_DONE : miss(request, &meta);
}

/* ---- ms -------------------------------------------------------------------------------------- */

static bool
mode_of_ms(const struct meta *meta, enum sd_mode *mode)
{
    switch (meta->mode) {
    case 0:
    case 'S':
        *mode = meta->has_cas ? SD_CAS : SD_SET;
        return true;
    case 'R':
        *mode = meta->has_cas ? SD_CAS : SD_REPLACE;
        return true;
    case 'E':
        *mode = SD_ADD;
        return true;
    case 'A':
        *mode = SD_APPEND;
        return true;
    case 'P':
        *mode = SD_PREPEND;
        return true;
    default:
        return false;
    }
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
answer_ms(struct sd_request *request, const struct meta *meta, const char *code, bool stored)
{
    struct values values = {.letters = "c", .binary = meta->binary};
    struct reply reply;
    if (stored && meta->quiet)
        return SD_DONE;
    values.cas = stored ? sinter_cache_written() : 0;
    begin_reply(request, &reply, code);
    add_flags(&reply, meta, &request->line, values);
    return send_reply(request, &reply);
}

/* Of a value that is refused: an old one must not stay instead. */
static void
forget(struct sd_session *session, const struct meta *meta)
{
    (void)sinter_cache_delete(session->server->cache, meta->key.bytes, meta->key.size, 0);
}

static enum sd_verdict
refuse_value(struct sd_session *session, struct sd_request *request, size_t size, const char *text)
{
    session->skip = size + 2;
    return sd_complain(session, request, text);
}

static enum sd_verdict
store_value(struct sd_session *session, struct sd_request *request, const struct meta *meta,
            struct sd_store *store)
{
    struct sd_server *server = session->server;
    enum sd_verdict verdict;
    if (store->size > server->settings.value_most) {
        sd_count(&session->counts->store_too_large, 1);
        forget(session, meta);
        return refuse_value(session, request, store->size,
                            "SERVER_ERROR object too large for cache");
    }
    store->value = sd_take_value(session, request, store->size, &verdict);
    if (!store->value)
        return verdict;
    if (memcmp(store->value + store->size, "\r\n", 2) != 0)
        return sd_complain(session, request, "CLIENT_ERROR bad data chunk");
    int rc = sd_item_store(session, store);
    if (sd_is_refusal(rc)) {
        verdict = refused(session, request, rc, "SERVER_ERROR out of memory storing object");
        if (verdict != SD_LATER)
            forget(session, meta);
        return verdict;
    }
    sd_count_store(session, store, rc);
    return answer_ms(request, meta, code_of(store, rc), rc == 0);
}

static enum sd_verdict
command_ms(struct sd_session *session, struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    struct meta meta;
    int32_t size = -1;
    const char *wrong = read_key(&meta, line);
    if (wrong || line->count < 3)
        return sd_complain(session, request, SD_BAD_FORMAT);
    if (line->count > TOKENS_MOST)
        return sd_complain(session, request, "CLIENT_ERROR options flags too long");
    if (!sd_read_i32(line->token[2].text, line->token[2].size, &size) || size < 0 ||
        size > INT32_MAX - 2)
        return sd_complain(session, request, SD_BAD_FORMAT);
    struct sd_store item = {.size = (size_t)size};
    wrong = read_flags(&meta, line, 3);
    if (!wrong && !mode_of_ms(&meta, &item.mode))
        wrong = "CLIENT_ERROR invalid mode for ms M token";
    else if (!wrong && meta.opaque_too_long)
        wrong = LONG_OPAQUE;
    if (wrong)
        return refuse_value(session, request, item.size, wrong);
    item.key = meta.key;
    item.flags = meta.flags;
    item.ttl = meta.ttl;
    item.cas = meta.cas;
    item.may_be_stale = meta.stale;
    item.marks = meta.binary ? SD_BINARY : 0;
    return store_value(session, request, &meta, &item);
}

/* ---- md -------------------------------------------------------------------------------------- */

/* What md and ma have in common. */
static const char *
read_short(struct meta *meta, const struct sd_line *line)
{
    const char *wrong = read_key(meta, line);
    if (!wrong && line->count > TOKENS_MOST)
        return "CLIENT_ERROR options flags too long";
    if (!wrong && read_flags(meta, line, 2))
        return BAD_FLAG;
    return wrong;
}

static int
delete_or_mark(struct sd_session *session, const struct meta *meta)
{
    struct sd_server *server = session->server;
    if (meta->has_cas && meta->cas == 0) { /* no item has it */
        int rc = sinter_cache_get(server->cache, meta->key.bytes, meta->key.size, NULL, 0, NULL);
        return rc == -ENOSPC ? -EEXIST : rc;
    }
    if (meta->stale)
        return sd_item_mark(session, meta->key, meta->cas, SD_STALE, SD_SENT,
                            meta->has_ttl ? &meta->ttl : NULL);
    return sinter_cache_delete(server->cache, meta->key.bytes, meta->key.size, meta->cas);
}

static enum sd_verdict
command_md(struct sd_session *session, struct sd_request *request)
{
    struct meta meta;
    struct reply reply;
    const char *wrong = read_short(&meta, &request->line);
    if (!wrong && meta.opaque_too_long)
        wrong = LONG_OPAQUE;
    if (wrong)
        return sd_complain(session, request, wrong);
    int rc = delete_or_mark(session, &meta);
    if (sd_is_refusal(rc))
        return refused(session, request, rc, "SERVER_ERROR out of memory");
    if (rc != 0)
        sd_count(&session->counts->delete_misses, 1);
    else if (!meta.stale)
        sd_count(&session->counts->delete_hits, 1);
    if (rc == 0 && meta.quiet)
        return SD_DONE;
    begin_reply(request, &reply, rc == 0 ? "HD" : rc == -EEXIST ? "EX" : "NF");
    add_echo(&reply, &meta, &request->line);
    return send_reply(request, &reply);
}

/* ---- ma -------------------------------------------------------------------------------------- */

/** The number that ma answers with. */
struct sum {
    uint64_t number, cas, ttl_ms;
    bool created;
};

static int
create_number(struct sd_session *session, const struct meta *meta, struct sum *sum)
{
    char text[24];
    struct sd_store store = {
        .key = meta->key,
        .mode = SD_ADD,
        .value = text + 1,
        .ttl = meta->vivify_ttl,
        .marks = meta->binary ? SD_BINARY : 0,
    };
    store.size = (size_t)(sd_put_u64(text + 1, meta->initial) - text - 1);
    int rc = sd_item_store(session, &store);
    *sum = (struct sum){meta->initial, sinter_cache_written(), 0, true};
    return rc;
}

/* -EEXIST: of another cas; -ESTALE: created by somebody else meanwhile. */
static int
add_number_once(struct sd_session *session, const struct meta *meta, bool down, struct sum *sum)
{
    struct sd_delta delta = {.by = meta->delta, .cas = meta->cas, .down = down};
    int rc = sd_item_add(session->server->cache, meta->key, &delta);
    *sum = (struct sum){delta.result, sinter_cache_written(), delta.ttl_ms, false};
    if (rc != -ENOENT || !meta->vivify)
        return rc;
    rc = create_number(session, meta, sum);
    return rc == -EEXIST ? -ESTALE : rc;
}

static int
sum_up(struct sd_session *session, const struct meta *meta, bool down, struct sum *sum)
{
    int rc;
    do
        rc = add_number_once(session, meta, down, sum);
    while (rc == -ESTALE);
    if (rc == 0 && meta->has_ttl)
        (void)sd_item_touch(session->server->cache, meta->key, meta->ttl);
    return rc;
}

static bool
mode_of_ma(char mode, bool *down)
{
    *down = mode == 'D' || mode == '-';
    return *down || mode == 0 || mode == 'I' || mode == '+';
}

static enum sd_verdict
answer_sum(struct sd_request *request, const struct meta *meta, const struct sum *sum)
{
    struct reply reply;
    char digits[24], *end = sd_put_u64(digits, sum->number);
    if (meta->quiet && !sum->created)
        return SD_DONE;
    begin_reply(request, &reply, meta->value ? "VA" : "HD");
    if (meta->value) {
        *reply.at++ = ' ';
        reply.at = sd_put_u64(reply.at, (uint64_t)(end - digits));
    }
    add_flags(&reply, meta, &request->line,
              (struct values){.letters = "ct",
                              .cas = sum->cas,
                              .ttl_ms = sum->ttl_ms,
                              .created = sum->created,
                              .binary = meta->binary});
    if (meta->value) {
        add_text(&reply, "\r\n", 2);
        add_text(&reply, digits, (size_t)(end - digits));
    }
    return send_reply(request, &reply);
}

static enum sd_verdict
command_ma(struct sd_session *session, struct sd_request *request)
{
    struct sd_counts *counts = session->counts;
    struct meta meta;
    struct reply reply;
    struct sum sum;
    bool down;
    const char *wrong = read_short(&meta, &request->line);
    if (!wrong && !mode_of_ma(meta.mode, &down))
        wrong = "CLIENT_ERROR invalid mode for ma M token";
    else if (!wrong && meta.opaque_too_long)
        wrong = LONG_OPAQUE;
    if (wrong)
        return sd_complain(session, request, wrong);
    int rc = sum_up(session, &meta, down, &sum);
    if (sd_is_refusal(rc))
        return refused(session, request, rc, "SERVER_ERROR out of memory");
    if (rc == -EDOM)
        return sd_complain(session, request,
                           "CLIENT_ERROR cannot increment or decrement non-numeric value");
    if (rc == 0 && !sum.created)
        sd_count(down ? &counts->decr_hits : &counts->incr_hits, 1);
    else if (rc == -ENOENT)
        sd_count(down ? &counts->decr_misses : &counts->incr_misses, 1);
    if (rc == 0)
        return answer_sum(request, &meta, &sum);
    begin_reply(request, &reply, rc == -EEXIST ? "EX" : "NF");
    add_echo(&reply, &meta, &request->line);
    return send_reply(request, &reply);
}

/* ---- me, mn ---------------------------------------------------------------------------------- */

static void
describe(struct reply *reply, const struct sd_item *item)
{
    uint64_t ttl_ms = item->view.info.ttl_ms;
    add_text(reply, " exp=", 5);
    if (ttl_ms)
        reply->at = sd_put_u64(reply->at, sd_ttl_seconds(ttl_ms));
    else
        add_text(reply, "-1", 2);
    add_text(reply, " la=0 cas=", 10);
    reply->at = sd_put_u64(reply->at, item->view.info.cas);
    add_text(reply, " fetch=no cls=1 size=", 21);
    reply->at = sd_put_u64(reply->at, item->size + item->view.key_size);
}

static enum sd_verdict
command_me(struct sd_session *session, struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    struct meta meta;
    struct reply reply;
    struct sd_item item;
    if (line->count < 2 || read_key(&meta, line))
        return sd_answer(session, request, SD_BAD_FORMAT);
    if (line->count > 2 && SD_IS(&line->token[2], "b") && decode_key(&meta))
        return sd_answer(session, request, SD_BAD_FORMAT);
    sd_count(&session->counts->cmd_meta, 1);
    rcu_read_lock();
    bool there = sd_item_look(session->server->cache, meta.key, &item);
    if (there) { /* the line has room */
        begin_reply(request, &reply, "ME");
        *reply.at++ = ' ';
        if (item.marks & SD_BINARY)
            reply.at = sd_base64_put(reply.at, meta.key.bytes, meta.key.size);
        else
            add_text(&reply, meta.key.bytes, meta.key.size);
        describe(&reply, &item);
    }
    rcu_read_unlock();
    return there ? send_reply(request, &reply) : sd_answer(session, request, "EN");
}

static enum sd_verdict
command_mn(struct sd_session *session, struct sd_request *request)
{
    return sd_answer(session, request, "MN");
}

static enum sd_verdict
no_key(struct sd_session *session, struct sd_request *request)
{
    return sd_answer(session, request, "ERROR");
}

sd_command
sd_find_meta(const struct sd_line *line)
{
    const struct sd_token *name = &line->token[0];
    if (name->size != 2 || name->text[0] != 'm')
        return NULL;
    switch (name->text[1]) {
    case 'n':
        return command_mn;
    case 'e':
        return command_me;
    default:
        break;
    }
    if (line->count < 2)
        return no_key;
    switch (name->text[1]) {
    case 'g':
        return command_mg;
    case 's':
        return command_ms;
    case 'd':
        return command_md;
    case 'a':
        return command_ma;
    default:
        return no_key;
    }
}
