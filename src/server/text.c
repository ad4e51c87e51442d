/* SPDX-License-Identifier: MIT */
/* text.c - the classic commands on items. Answers are memcached 1.6.18's, word for word. */
#include "server/session.h"

#define BAD_EXPTIME "CLIENT_ERROR invalid exptime argument"

/* ---- get, gets, gat, gats -------------------------------------------------------------------- */

#define HEAD_MOST (6 + SD_KEY_MOST + 1 + 10 + 1 + 20 + 1 + 20 + 2) /* VALUE key flags size cas */

/** What a get's answer needs beside the item. */
struct head {
    struct sd_bytes key;
    bool with_cas;
};

static char *
put_head(char *at, const struct sd_item *item, const void *opaque)
{
    const struct head *head = opaque;
    at = sd_put_bytes(sd_put_text(at, "VALUE "), head->key.bytes, head->key.size);
    at = sd_put_u64(sd_put_text(at, " "), item->view.info.flags);
    at = sd_put_u64(sd_put_text(at, " "), item->size);
    if (head->with_cas)
        at = sd_put_u64(sd_put_text(at, " "), item->view.info.cas);
    return sd_put_text(at, "\r\n");
}

static int
touch_shown(struct sd_session *session, struct sd_bytes key, const struct sd_item *item,
            const void *opaque)
{
    (void)item;
    (void)opaque;
    return sd_item_touch(session->server->cache, key, sd_ttl_of(session->exptime));
}

static enum sd_verdict
get_key(struct sd_session *session, struct sd_output *output, struct sd_bytes key)
{
    struct head head = {key, session->keys & SD_KEYS_CAS};
    bool touch = session->keys & SD_KEYS_TOUCH, hit;
    struct sd_shape shape = {HEAD_MOST, true, put_head, &head, touch ? touch_shown : NULL};
    enum sd_verdict verdict = sd_show(session, output, key, &shape, &hit);
    if (verdict != SD_DONE)
        return verdict;
    session->tries = 0;
    sd_count_get(session->counts, touch, hit);
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
        enum sd_verdict verdict = get_key(session, output, (struct sd_bytes){at, size});
        if (verdict != SD_DONE)
            return verdict;
        input->at += size;
        return SD_DONE;
    }
    input->at += (size_t)(stop - at) + 1;
    session->keys = 0;
    sd_put(output, "END\r\n", 5);
    return SD_DONE;
}

/* The keys of a line that is whole are looked at before any of them is answered. */
static enum sd_verdict
begin_keys(struct sd_request *request, unsigned first, unsigned keys)
{
    struct sd_line *line = &request->line;
    struct sd_input *input = request->input;
    char *begin = input->data + input->at, *end = begin + line->text;
    char *keys_at = line->count > first ? begin + (line->word[first].bytes - begin) : end;
    size_t size = 0;
    for (char *at = keys_at; at < end; at++) {
        size = *at == ' ' ? 0 : size + 1;
        if (size > SD_KEY_MOST)
            return sd_answer(request, SD_BAD_FORMAT);
    }
    memset(end, ' ', line->bytes - line->text - 1); /* what stands behind a NUL is not looked at */
    input->at += (size_t)(keys_at - begin);
    request->keeps_input = true;
    request->session->keys = (uint8_t)(SD_KEYS | keys);
    return SD_DONE;
}

static enum sd_verdict
command_get(struct sd_request *request)
{
    return begin_keys(request, 1, request->kind);
}

static enum sd_verdict
command_gat(struct sd_request *request)
{
    if (!sd_read_i32(request->line.word[1], &request->session->exptime))
        return sd_answer(request, BAD_EXPTIME);
    return begin_keys(request, 2, SD_KEYS_TOUCH | request->kind);
}

/* ---- set and its like ------------------------------------------------------------------------ */

static const char *
outcome(const struct sd_store *store, int rc)
{
    if (rc == 0)
        return "STORED";
    if (store->mode != SD_CAS)
        return "NOT_STORED";
    return rc == -EEXIST ? "EXISTS" : "NOT_FOUND";
}

/* cas has its number behind the length. */
static enum sd_verdict
command_set(struct sd_request *request)
{
    const struct sd_bytes *word = request->line.word;
    enum sd_mode mode = request->kind;
    struct sd_store store = {.key = word[1], .mode = mode, .replaces = mode == SD_SET};
    enum sd_verdict verdict;
    int32_t seconds;
    int rc;
    sd_take_noreply(request);
    if (store.key.size > SD_KEY_MOST || !sd_read_u32(word[2], &store.flags) ||
        !sd_read_i32(word[3], &seconds) || !sd_read_size(word[4], &store.size) ||
        (mode == SD_CAS && !sd_read_u64(word[5], &store.cas)))
        return sd_answer(request, SD_BAD_FORMAT);
    store.ttl = sd_ttl_of(seconds);
    if (!sd_store_value(request, &store, &rc, &verdict))
        return verdict;
    return sd_answer(request, outcome(&store, rc));
}

/* ---- delete, incr, decr, touch --------------------------------------------------------------- */

static bool
delete_is_well_formed(struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    if (line->count < 3)
        return true;
    bool hold = sd_is(line->word[2], "0"), quiet = sd_take_noreply(request);
    return line->count == 3 ? hold || quiet : hold && quiet;
}

static enum sd_verdict
command_delete(struct sd_request *request)
{
    struct sd_bytes key = request->line.word[1];
    if (!delete_is_well_formed(request))
        return sd_answer(request, SD_BAD_FORMAT ".  Usage: delete <key> [noreply]");
    if (key.size > SD_KEY_MOST)
        return sd_answer(request, SD_BAD_FORMAT);
    bool hit = sinter_cache_delete(request->session->server->cache, key.bytes, key.size, 0) == 0;
    SD_COUNT_HIT(request->session->counts, delete, hit);
    return sd_answer(request, hit ? "DELETED" : "NOT_FOUND");
}

static enum sd_verdict
command_incr(struct sd_request *request)
{
    struct sd_session *session = request->session;
    struct sd_delta delta = {.down = request->kind};
    struct sd_bytes key = request->line.word[1];
    char number[24];
    sd_take_noreply(request);
    if (key.size > SD_KEY_MOST)
        return sd_answer(request, SD_BAD_FORMAT);
    if (!sd_read_u64(request->line.word[2], &delta.by))
        return sd_answer(request, "CLIENT_ERROR invalid numeric delta argument");
    int rc = sd_item_add(session->server->cache, key, &delta);
    if (sd_is_refusal(rc))
        return sd_refused(request, rc, SD_OUT_OF_MEMORY);
    if (rc == -EDOM)
        return sd_answer(request, SD_NOT_NUMERIC);
    sd_count_delta(session->counts, delta.down, rc == 0);
    *sd_put_u64(number, delta.result) = 0;
    return sd_answer(request, rc == 0 ? number : "NOT_FOUND");
}

static enum sd_verdict
command_touch(struct sd_request *request)
{
    struct sd_session *session = request->session;
    struct sd_bytes key = request->line.word[1];
    int32_t exptime;
    sd_take_noreply(request);
    if (key.size > SD_KEY_MOST)
        return sd_answer(request, SD_BAD_FORMAT);
    if (!sd_read_i32(request->line.word[2], &exptime))
        return sd_answer(request, BAD_EXPTIME);
    int rc = sd_item_touch(session->server->cache, key, sd_ttl_of(exptime));
    if (sd_is_refusal(rc))
        return sd_refused(request, rc, SD_OUT_OF_MEMORY " storing object");
    sd_count_get(session->counts, true, rc == 0);
    return sd_answer(request, rc == 0 ? "TOUCHED" : "NOT_FOUND");
}

const struct sd_command sd_text_commands[] = {
    {"get", 2, SD_ANY, command_get, 0},
    {"set", 5, 6, command_set, SD_SET},
    {"gets", 2, SD_ANY, command_get, SD_KEYS_CAS},
    {"delete", 2, 4, command_delete, 0},
    {"incr", 3, 4, command_incr, false},
    {"decr", 3, 4, command_incr, true},
    {"add", 5, 6, command_set, SD_ADD},
    {"replace", 5, 6, command_set, SD_REPLACE},
    {"append", 5, 6, command_set, SD_APPEND},
    {"prepend", 5, 6, command_set, SD_PREPEND},
    {"cas", 6, 7, command_set, SD_CAS},
    {"touch", 3, 4, command_touch, 0},
    {"gat", 2, SD_ANY, command_gat, 0},
    {"gats", 2, SD_ANY, command_gat, SD_KEYS_CAS},
    {"bget", 2, SD_ANY, command_get, 0},
    {NULL, 0, 0, NULL, 0},
};
