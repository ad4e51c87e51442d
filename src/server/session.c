/* SPDX-License-Identifier: MIT */
/* session.c - see session.h. */
#include "server/session.h"

#define TRIES_MOST  500u /* of one request; each waits for some milliseconds */
#define SPACES_MOST 100u /* in front of a get without an end */

void
sd_session_open(struct sd_session *session, struct sd_server *server, unsigned worker)
{
    *session = (struct sd_session){.server = server,
                                   .counts = &server->counts[worker],
                                   .pool = &server->pools[worker],
                                   .trusted = server->auth == NULL};
}

/* ---- replies --------------------------------------------------------------------------------- */

bool
sd_output_room(struct sd_output *output, size_t bytes)
{
    if (output->pending.data)
        return false;
    if (output->room - output->used >= bytes)
        return true;
    output->flush(output);
    return !output->pending.data && output->room - output->used >= bytes;
}

void
sd_put(struct sd_output *output, const char *bytes, size_t size)
{
    memcpy(sd_output_tail(output), bytes, size);
    sd_output_advance(output, size);
}

enum sd_verdict
sd_complain(struct sd_session *session, struct sd_request *request, const char *text)
{
    (void)session;
    sd_put(request->output, text, strlen(text));
    sd_put(request->output, "\r\n", 2);
    return SD_DONE;
}

enum sd_verdict
sd_answer(struct sd_session *session, struct sd_request *request, const char *text)
{
    return session->quiet ? SD_DONE : sd_complain(session, request, text);
}

/* ---- items ----------------------------------------------------------------------------------- */

static size_t
room_for(const struct sd_shape *shape, const struct sd_item *item)
{
    return shape->head_most + (shape->value ? item->size + 2 : 0);
}

/* In a section. Result: bytes of the head; *bytes: of all. */
static size_t
put_item(sinter_cache *cache, char *begin, const struct sd_shape *shape, struct sd_item *item,
         size_t *bytes)
{
    char *value = shape->put_head(begin, item, shape->opaque), *end = value;
    if (shape->value)
        end = sd_put_bytes(sd_item_copy(cache, item, value), "\r\n", 2);
    *bytes = (size_t)(end - begin);
    return (size_t)(value - begin);
}

/* The item was changed, and has a new cas. */
static void
put_head_again(char *begin, size_t head_bytes, const struct sd_shape *shape, struct sd_item *item,
               size_t *bytes)
{
    char head[SD_REPLY_MOST];
    item->view.info.cas = sinter_cache_written();
    size_t size = (size_t)(shape->put_head(head, item, shape->opaque) - head);
    memmove(begin + size, begin + head_bytes, *bytes - head_bytes);
    memcpy(begin, head, size);
    *bytes += size - head_bytes;
}

static enum sd_verdict
make_room(struct sd_output *output, size_t bytes)
{
    if (sd_output_left(output) >= bytes)
        return SD_DONE;
    if (output->pending.data) /* made for a smaller one */
        return SD_FULL;
    if (bytes > output->room)
        return output->grow(output, bytes) ? SD_DONE : SD_LATER;
    return sd_output_room(output, bytes) ? SD_DONE : SD_FULL;
}

/* Once. SD_YIELD: it has to be looked at again. */
static enum sd_verdict
show_once(struct sd_session *session, struct sd_output *output, struct sd_key key,
          const struct sd_shape *shape, bool *there)
{
    char *begin = sd_output_tail(output);
    struct sd_item item;
    size_t bytes = 0, head = 0;
    rcu_read_lock();
    *there = sd_item_look(session->server->cache, key, &item);
    size_t need = *there ? room_for(shape, &item) : 0;
    bool fits = need <= sd_output_left(output);
    if (*there && fits)
        head = put_item(session->server->cache, begin, shape, &item, &bytes);
    rcu_read_unlock();
    if (!fits) {
        enum sd_verdict verdict = make_room(output, need);
        return verdict == SD_DONE ? SD_YIELD : verdict;
    }
    int rc = *there && shape->change ? shape->change(session, key, &item, shape->opaque) : 0;
    if (rc == -EEXIST)
        return SD_YIELD;
    if (sd_is_refusal(rc))
        return rc == -ENOBUFS || ++session->tries < TRIES_MOST ? SD_LATER : SD_CLOSE;
    if (rc == SD_CHANGED)
        put_head_again(begin, head, shape, &item, &bytes);
    *there = *there && rc >= 0;
    sd_output_advance(output, *there ? bytes : 0);
    return SD_DONE;
}

/* Room is made outside of sections; then the item may be another one. */
enum sd_verdict
sd_show(struct sd_session *session, struct sd_output *output, struct sd_key key,
        const struct sd_shape *shape, bool *there)
{
    enum sd_verdict verdict;
    do
        verdict = show_once(session, output, key, shape, there);
    while (verdict == SD_YIELD);
    return verdict;
}

void
sd_count_store(struct sd_session *session, const struct sd_store *store, int rc)
{
    struct sd_counts *counts = session->counts;
    uint64_t *count = rc == 0         ? &counts->cas_hits
                      : rc == -EEXIST ? &counts->cas_badval
                                      : &counts->cas_misses;
    sd_count(&counts->cmd_set, 1);
    if (store->mode == SD_CAS)
        sd_count(count, 1);
}

/* ---- what commands have in common ------------------------------------------------------------ */

bool
sd_take_noreply(struct sd_session *session, const struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    session->quiet = SD_IS(&line->token[line->count - 1], "noreply");
    return session->quiet;
}

char *
sd_take_value(struct sd_session *session, struct sd_request *request, size_t size,
              enum sd_verdict *verdict)
{
    struct sd_input *input = request->input;
    size_t whole = request->line.bytes + size + 2;
    if (input->size - input->at < whole) {
        session->want = whole;
        *verdict = SD_MORE;
        return NULL;
    }
    char *value = input->data + input->at + request->line.bytes;
    request->line.bytes = whole;
    *verdict = SD_DONE;
    return value;
}

enum sd_verdict
sd_refused(struct sd_session *session, struct sd_request *request, int rc, const char *text)
{
    if (rc == -ENOBUFS)
        return SD_LATER;
    if (rc == -EAGAIN && ++session->tries < TRIES_MOST) {
        sd_count(&session->counts->memory_waits, 1);
        return SD_LATER;
    }
    sd_count(&session->counts->store_no_memory, 1);
    return sd_answer(session, request, text);
}

/* ---- one request ----------------------------------------------------------------------------- */

static enum sd_verdict
unknown(struct sd_session *session, struct sd_request *request)
{
    const struct sd_token *last = &request->line.token[request->line.count - 1];
    if (last->size >= 5 && memcmp(last->text, "HTTP/", 5) == 0)
        return SD_CLOSE;
    return sd_answer(session, request, "ERROR");
}

static enum sd_verdict
dispatch(struct sd_session *session, struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    bool fits = true;
    if (line->count < 1 || line->token[0].size < 2)
        return sd_answer(session, request, "ERROR");
    sd_command command = sd_find_text(line, &fits);
    if (!command && fits)
        command = sd_find_meta(line);
    if (!command && fits)
        command = sd_find_admin(line, &fits);
    if (!fits)
        return sd_answer(session, request, "ERROR");
    return command ? command(session, request) : unknown(session, request);
}

static enum sd_verdict
run_line(struct sd_session *session, struct sd_input *input, struct sd_output *output,
         const char *end)
{
    struct sd_request request = {.input = input, .output = output};
    sd_line_read(&request.line, input->data + input->at, end);
    session->quiet = false;
    enum sd_verdict verdict =
        session->trusted ? dispatch(session, &request) : sd_authenticate(session, &request);
    if (verdict != SD_DONE && verdict != SD_CLOSE)
        return verdict;
    if (!request.keeps_input)
        input->at += request.line.bytes;
    session->tries = 0;
    return verdict;
}

/* A line so long has to be a get: its keys are looked up as they come. */
static enum sd_verdict
begin_endless_get(struct sd_session *session, struct sd_input *input)
{
    const char *begin = input->data + input->at, *end = input->data + input->size, *at = begin;
    while (at < end && *at == ' ')
        at++;
    bool get = end - at > 4 && memcmp(at, "get ", 4) == 0;
    bool gets = end - at > 5 && memcmp(at, "gets ", 5) == 0;
    if (at - begin > SPACES_MOST || !(get || gets) || !session->trusted)
        return SD_CLOSE;
    session->quiet = false;
    session->keys = SD_KEYS | (gets ? SD_KEYS_CAS : 0);
    input->at += (size_t)(at - begin) + (gets ? 5 : 4);
    return SD_DONE;
}

static enum sd_verdict
run_command(struct sd_session *session, struct sd_input *input, struct sd_output *output)
{
    size_t size = input->size - input->at;
    const char *begin = input->data + input->at;
    const char *end = size ? memchr(begin, '\n', size) : NULL;
    if (end)
        return run_line(session, input, output, end);
    return size > SD_LINE_MOST ? begin_endless_get(session, input) : SD_MORE;
}

/* ---- what is thrown away --------------------------------------------------------------------- */

static enum sd_verdict
skip_bytes(struct sd_session *session, struct sd_input *input)
{
    uint64_t some = sd_min(session->skip, input->size - input->at);
    session->skip -= some;
    input->at += some;
    return session->skip ? SD_MORE : SD_DONE;
}

static enum sd_verdict
skip_line(struct sd_session *session, struct sd_input *input)
{
    const char *begin = input->data + input->at;
    size_t size = input->size - input->at;
    const char *end = size ? memchr(begin, '\n', size) : NULL;
    input->at += end ? (size_t)(end - begin) + 1 : size;
    session->skip_line = end == NULL;
    return end ? SD_DONE : SD_MORE;
}

static enum sd_verdict
step(struct sd_session *session, struct sd_input *input, struct sd_output *output)
{
    if (session->skip)
        return skip_bytes(session, input);
    if (session->skip_line)
        return skip_line(session, input);
    if (!sd_output_room(output, sd_most(output->least, SD_REPLY_MOST)))
        return SD_FULL;
    if (output->flushes >= SD_FLUSHES_MOST)
        return SD_YIELD;
    return session->keys ? sd_next_key(session, input, output)
                         : run_command(session, input, output);
}

enum sd_verdict
sd_session_run(struct sd_session *session, struct sd_input *input, struct sd_output *output)
{
    enum sd_verdict verdict;
    session->want = 0;
    do {
        if (output->pending.data)
            return SD_FULL;
        verdict = step(session, input, output);
    } while (verdict == SD_DONE);
    return verdict;
}
