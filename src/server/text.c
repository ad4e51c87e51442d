/* SPDX-License-Identifier: MIT */
/* text.c - the classic commands on items. Answers are memcached 1.6.18's, word for word. */
#include "server/session.h"

#define OUT_OF_MEMORY "SERVER_ERROR out of memory storing object"

static struct sd_key
key_of(const struct sd_request *request)
{
    const struct sd_token *token = &request->line.token[1];
    return (struct sd_key){token->text, token->size};
}

/* ---- get, gets, gat, gats -------------------------------------------------------------------- */

#define HEAD_MOST (6 + SD_KEY_MOST + 1 + 10 + 1 + 20 + 1 + 20 + 2) /* VALUE key flags size cas */

/** What a get's answer needs beside the item. */
struct head {
    struct sd_key key;
    bool with_cas;
};

static char *
put_head(char *at, const struct sd_item *item, const void *opaque)
{
    const struct head *head = opaque;
    at = sd_put_bytes(at, "VALUE ", 6);
    at = sd_put_bytes(at, head->key.bytes, head->key.size);
    *at++ = ' ';
    at = sd_put_u64(at, item->view.info.flags);
    *at++ = ' ';
    at = sd_put_u64(at, item->size);
    if (head->with_cas) {
        *at++ = ' ';
        at = sd_put_u64(at, item->view.info.cas);
    }
    return sd_put_bytes(at, "\r\n", 2);
}

static int
touch_shown(struct sd_session *session, struct sd_key key, const struct sd_item *item,
            const void *opaque)
{
    (void)item;
    (void)opaque;
    return sd_item_touch(session->server->cache, key, sd_ttl_of(session->exptime));
}

static void
count_get(struct sd_session *session, bool hit)
{
    struct sd_counts *counts = session->counts;
    if (session->keys & SD_KEYS_TOUCH) {
        sd_count(&counts->cmd_touch, 1);
        sd_count(hit ? &counts->touch_hits : &counts->touch_misses, 1);
    } else {
        sd_count(&counts->cmd_get, 1);
        sd_count(hit ? &counts->get_hits : &counts->get_misses, 1);
    }
}

static enum sd_verdict
get_key(struct sd_session *session, struct sd_output *output, struct sd_key key)
{
    struct head head = {key, session->keys & SD_KEYS_CAS};
    bool touch = session->keys & SD_KEYS_TOUCH, hit;
    struct sd_shape shape = {HEAD_MOST, true, put_head, &head, touch ? touch_shown : NULL};
    enum sd_verdict verdict = sd_show(session, output, key, &shape, &hit);
    if (verdict != SD_DONE)
        return verdict;
    session->tries = 0;
    count_get(session, hit);
    return SD_DONE;
}

static enum sd_verdict
end_keys(struct sd_session *session, struct sd_output *output)
{
    session->keys = 0;
    sd_put(output, "END\r\n", 5);
    return SD_DONE;
}

/* The end of the key at `at`: a space or a newline; NULL: it is not there yet. */
static char *
end_of_key(char *at, char *end)
{
    for (; at < end; at++)
        if (*at == ' ' || *at == '\n')
            return at;
    return NULL;
}

enum sd_verdict
sd_next_key(struct sd_session *session, struct sd_input *input, struct sd_output *output)
{
    char *at = input->data + input->at, *end = input->data + input->size;
    while (at < end && *at == ' ')
        at++;
    input->at = (size_t)(at - input->data);
    char *stop = end_of_key(at, end);
    if (!stop && end - at <= (ptrdiff_t)SD_KEY_MOST + 1)
        return SD_MORE;
    size_t size = stop ? (size_t)(stop - at) : (size_t)(end - at);
    bool last = stop && *stop == '\n';
    if (last && size && stop[-1] == '\r')
        size--;
    if (size > SD_KEY_MOST) { /* only of a line that came in pieces */
        session->keys = 0;
        session->skip_line = true;
        sd_put(output, SD_BAD_FORMAT "\r\n", sizeof(SD_BAD_FORMAT "\r\n") - 1);
        return SD_DONE;
    }
    if (size) {
        enum sd_verdict verdict = get_key(session, output, (struct sd_key){at, size});
        if (verdict != SD_DONE)
            return verdict;
        input->at += size;
        return SD_DONE;
    }
    input->at += (size_t)(stop - at) + 1;
    return end_keys(session, output);
}

/* The keys of a line that is whole are looked at before any of them is answered. */
static enum sd_verdict
begin_keys(struct sd_session *session, struct sd_request *request, unsigned first, uint8_t keys)
{
    struct sd_line *line = &request->line;
    struct sd_input *input = request->input;
    char *begin = input->data + input->at, *end = begin + line->text;
    char *keys_at = line->count > first ? begin + (line->token[first].text - begin) : end;
    size_t size = 0;
    for (char *at = keys_at; at < end; at++) {
        size = *at == ' ' ? 0 : size + 1;
        if (size > SD_KEY_MOST)
            return sd_answer(session, request, SD_BAD_FORMAT);
    }
    memset(end, ' ', line->bytes - line->text - 1); /* what stands behind a NUL is not looked at */
    input->at += (size_t)(keys_at - begin);
    request->keeps_input = true;
    session->keys = SD_KEYS | keys;
    return SD_DONE;
}

static enum sd_verdict
command_get(struct sd_session *session, struct sd_request *request)
{
    return begin_keys(session, request, 1, 0);
}

static enum sd_verdict
command_gets(struct sd_session *session, struct sd_request *request)
{
    return begin_keys(session, request, 1, SD_KEYS_CAS);
}

static enum sd_verdict
get_and_touch(struct sd_session *session, struct sd_request *request, uint8_t keys)
{
    const struct sd_token *seconds = &request->line.token[1];
    if (!sd_read_i32(seconds->text, seconds->size, &session->exptime))
        return sd_answer(session, request, "CLIENT_ERROR invalid exptime argument");
    return begin_keys(session, request, 2, SD_KEYS_TOUCH | keys);
}

static enum sd_verdict
command_gat(struct sd_session *session, struct sd_request *request)
{
    return get_and_touch(session, request, 0);
}

static enum sd_verdict
command_gats(struct sd_session *session, struct sd_request *request)
{
    return get_and_touch(session, request, SD_KEYS_CAS);
}

/* ---- set and its like ------------------------------------------------------------------------ */

/* Of a value that is refused: an old one must not stay instead. */
static void
forget(struct sd_session *session, const struct sd_store *store)
{
    if (store->mode == SD_SET)
        (void)sinter_cache_delete(session->server->cache, store->key.bytes, store->key.size, 0);
}

static enum sd_verdict
too_large(struct sd_session *session, struct sd_request *request, const struct sd_store *store)
{
    sd_count(&session->counts->store_too_large, 1);
    forget(session, store);
    session->skip = store->size + 2;
    return sd_answer(session, request, "SERVER_ERROR object too large for cache");
}

static const char *
outcome(const struct sd_store *store, int rc)
{
    if (rc == 0)
        return "STORED";
    if (store->mode != SD_CAS)
        return "NOT_STORED";
    return rc == -EEXIST ? "EXISTS" : "NOT_FOUND";
}

static enum sd_verdict
store_value(struct sd_session *session, struct sd_request *request, struct sd_store *store)
{
    struct sd_server *server = session->server;
    enum sd_verdict verdict;
    if (store->size > server->settings.value_most)
        return too_large(session, request, store);
    store->value = sd_take_value(session, request, store->size, &verdict);
    if (!store->value)
        return verdict;
    if (memcmp(store->value + store->size, "\r\n", 2) != 0)
        return sd_answer(session, request, "CLIENT_ERROR bad data chunk");
    int rc = sd_item_store(session, store);
    if (sd_is_refusal(rc)) {
        verdict = sd_refused(session, request, rc, OUT_OF_MEMORY);
        if (verdict != SD_LATER)
            forget(session, store);
        return verdict;
    }
    sd_count_store(session, store, rc);
    return sd_answer(session, request, outcome(store, rc));
}

/* cas has its number behind the length. */
static enum sd_verdict
update(struct sd_session *session, struct sd_request *request, enum sd_mode mode)
{
    const struct sd_token *token = request->line.token;
    struct sd_store store = {.key = key_of(request), .mode = mode};
    int32_t seconds, size;
    sd_take_noreply(session, request);
    if (store.key.size > SD_KEY_MOST || !sd_read_u32(token[2].text, token[2].size, &store.flags) ||
        !sd_read_i32(token[3].text, token[3].size, &seconds) ||
        !sd_read_i32(token[4].text, token[4].size, &size) ||
        (mode == SD_CAS && !sd_read_u64(token[5].text, token[5].size, &store.cas)) || size < 0 ||
        size > INT32_MAX - 2)
        return sd_answer(session, request, SD_BAD_FORMAT);
    store.size = (size_t)size;
    store.ttl = sd_ttl_of(seconds);
    return store_value(session, request, &store);
}

#define UPDATE(name, mode)                                                                         \
    static enum sd_verdict command_##name(struct sd_session *session, struct sd_request *request)  \
    {                                                                                              \
        return update(session, request, mode);                                                     \
    }
UPDATE(set, SD_SET)
UPDATE(add, SD_ADD)
UPDATE(replace, SD_REPLACE)
UPDATE(append, SD_APPEND)
UPDATE(prepend, SD_PREPEND)
UPDATE(cas, SD_CAS)

/* ---- delete, incr, decr, touch --------------------------------------------------------------- */

static bool
delete_is_well_formed(struct sd_session *session, const struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    if (line->count < 3)
        return true;
    bool hold = SD_IS(&line->token[2], "0"), quiet = sd_take_noreply(session, request);
    return line->count == 3 ? hold || quiet : hold && quiet;
}

static enum sd_verdict
command_delete(struct sd_session *session, struct sd_request *request)
{
    struct sd_key key = key_of(request);
    if (!delete_is_well_formed(session, request))
        return sd_answer(session, request, SD_BAD_FORMAT ".  Usage: delete <key> [noreply]");
    if (key.size > SD_KEY_MOST)
        return sd_answer(session, request, SD_BAD_FORMAT);
    bool hit = sinter_cache_delete(session->server->cache, key.bytes, key.size, 0) == 0;
    sd_count(hit ? &session->counts->delete_hits : &session->counts->delete_misses, 1);
    return sd_answer(session, request, hit ? "DELETED" : "NOT_FOUND");
}

static void
count_delta(struct sd_session *session, bool down, bool hit)
{
    struct sd_counts *counts = session->counts;
    if (down)
        sd_count(hit ? &counts->decr_hits : &counts->decr_misses, 1);
    else
        sd_count(hit ? &counts->incr_hits : &counts->incr_misses, 1);
}

static enum sd_verdict
add_delta(struct sd_session *session, struct sd_request *request, bool down)
{
    const struct sd_token *by = &request->line.token[2];
    struct sd_delta delta = {.down = down};
    struct sd_key key = key_of(request);
    char number[24];
    sd_take_noreply(session, request);
    if (key.size > SD_KEY_MOST)
        return sd_answer(session, request, SD_BAD_FORMAT);
    if (!sd_read_u64(by->text, by->size, &delta.by))
        return sd_answer(session, request, "CLIENT_ERROR invalid numeric delta argument");
    int rc = sd_item_add(session->server->cache, key, &delta);
    if (sd_is_refusal(rc))
        return sd_refused(session, request, rc, "SERVER_ERROR out of memory");
    if (rc == -EDOM)
        return sd_answer(session, request,
                         "CLIENT_ERROR cannot increment or decrement non-numeric value");
    count_delta(session, down, rc == 0);
    *sd_put_u64(number, delta.result) = 0;
    return sd_answer(session, request, rc == 0 ? number : "NOT_FOUND");
}

static enum sd_verdict
command_incr(struct sd_session *session, struct sd_request *request)
{
    return add_delta(session, request, false);
}

static enum sd_verdict
command_decr(struct sd_session *session, struct sd_request *request)
{
    return add_delta(session, request, true);
}

static enum sd_verdict
command_touch(struct sd_session *session, struct sd_request *request)
{
    const struct sd_token *seconds = &request->line.token[2];
    struct sd_key key = key_of(request);
    int32_t exptime;
    sd_take_noreply(session, request);
    if (key.size > SD_KEY_MOST)
        return sd_answer(session, request, SD_BAD_FORMAT);
    if (!sd_read_i32(seconds->text, seconds->size, &exptime))
        return sd_answer(session, request, "CLIENT_ERROR invalid exptime argument");
    int rc = sd_item_touch(session->server->cache, key, sd_ttl_of(exptime));
    if (sd_is_refusal(rc))
        return sd_refused(session, request, rc, OUT_OF_MEMORY);
    sd_count(&session->counts->cmd_touch, 1);
    sd_count(rc == 0 ? &session->counts->touch_hits : &session->counts->touch_misses, 1);
    return sd_answer(session, request, rc == 0 ? "TOUCHED" : "NOT_FOUND");
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    unsigned size, least, most; /* of the name; words of the line */
    sd_command run;
} commands[] = {
#define COMMAND(name, least, most)                                                                 \
    {                                                                                              \
#name, sizeof(#name) - 1, least, most, command_##name                                      \
    }
    COMMAND(get, 2, UINT32_MAX),
    COMMAND(set, 5, 6),
    COMMAND(gets, 2, UINT32_MAX),
    COMMAND(delete, 2, 4),
    COMMAND(incr, 3, 4),
    COMMAND(decr, 3, 4),
    COMMAND(add, 5, 6),
    COMMAND(replace, 5, 6),
    COMMAND(append, 5, 6),
    COMMAND(prepend, 5, 6),
    COMMAND(cas, 6, 7),
    COMMAND(touch, 3, 4),
    COMMAND(gat, 2, UINT32_MAX),
    COMMAND(gats, 2, UINT32_MAX),
    {"bget", 4, 2, UINT32_MAX, command_get},
};

sd_command
sd_find_text(const struct sd_line *line, bool *fits)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (sd_token_is(&line->token[0], commands[i].name, commands[i].size)) {
            *fits = line->count >= commands[i].least && line->count <= commands[i].most;
            return *fits ? commands[i].run : NULL;
        }
    return NULL;
}
