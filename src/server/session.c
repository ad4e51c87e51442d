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

static size_t
room_left(const struct sd_output *output)
{
    const struct sd_buffer *pending = &output->pending;
    return pending->data ? pending->room - pending->size : output->room - output->used;
}

enum sd_verdict
sd_make_room(struct sd_output *output, size_t bytes)
{
    if (room_left(output) >= bytes)
        return SD_DONE;
    if (output->pending.data) /* made for a smaller one */
        return SD_FULL;
    if (bytes > output->room)
        return output->grow(output, bytes) ? SD_DONE : SD_LATER;
    output->flush(output);
    return output->pending.data ? SD_FULL : SD_DONE;
}

void
sd_put(struct sd_output *output, const char *bytes, size_t size)
{
    sd_output_end(output, sd_put_bytes(sd_output_tail(output), bytes, size));
}

enum sd_verdict
sd_answer(struct sd_request *request, const char *text)
{
    char *at = sd_output_tail(request->output);
    if (!request->quiet)
        sd_output_end(request->output, sd_put_text(sd_put_text(at, text), "\r\n"));
    return SD_DONE;
}

/* ---- items ----------------------------------------------------------------------------------- */

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

/* Once. SD_YIELD: it has to be looked at again. */
static enum sd_verdict
show_once(struct sd_session *session, struct sd_output *output, struct sd_bytes key,
          const struct sd_shape *shape, bool *there)
{
    char *begin = sd_output_tail(output);
    struct sd_item item;
    size_t bytes = 0, head = 0, need = 0, room = room_left(output);
    sd_section_enter();
    *there = sd_item_look(session->server->cache, key, &item);
    if (*there)
        need = shape->head_most + (shape->value ? item.size + 2 : 0);
    if (*there && need <= room)
        head = put_item(session->server->cache, begin, shape, &item, &bytes);
    sd_section_leave();
    if (need > room) {
        enum sd_verdict verdict = sd_make_room(output, need);
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
    sd_output_end(output, begin + (*there ? bytes : 0));
    return SD_DONE;
}

/* Room is made outside of sections; then the item may be another one. */
enum sd_verdict
sd_show(struct sd_session *session, struct sd_output *output, struct sd_bytes key,
        const struct sd_shape *shape, bool *there)
{
    enum sd_verdict verdict;
    do
        verdict = show_once(session, output, key, shape, there);
    while (verdict == SD_YIELD);
    return verdict;
}

/* ---- what commands have in common ------------------------------------------------------------ */

bool
sd_take_noreply(struct sd_request *request)
{
    request->quiet = sd_is(request->line.word[request->line.count - 1], "noreply");
    return request->quiet;
}

char *
sd_take_value(struct sd_request *request, size_t size, enum sd_verdict *verdict)
{
    const struct sd_input *input = request->input;
    size_t line = request->line.bytes, whole = line + size + 2;
    bool is_there = input->size - input->at >= whole;
    *verdict = is_there ? SD_DONE : SD_MORE;
    request->session->want = is_there ? 0 : whole;
    request->line.bytes = is_there ? whole : line;
    return is_there ? input->data + input->at + line : NULL;
}

enum sd_verdict
sd_refused(struct sd_request *request, int rc, const char *text)
{
    struct sd_session *session = request->session;
    if (rc == -ENOBUFS)
        return SD_LATER;
    if (rc == -EAGAIN && ++session->tries < TRIES_MOST) {
        sd_count(&session->counts->memory_waits, 1);
        return SD_LATER;
    }
    sd_count(&session->counts->store_no_memory, 1);
    return sd_answer(request, text);
}

/* Of a value that is refused: an old one must not stay instead. */
static void
forget(const struct sd_session *session, const struct sd_store *store)
{
    if (store->replaces)
        (void)sinter_cache_delete(session->server->cache, store->key.bytes, store->key.size, 0);
}

static void
count_store(struct sd_counts *counts, const struct sd_store *store, int rc)
{
    sd_count(&counts->cmd_set, 1);
    if (store->mode == SD_CAS && rc == -EEXIST)
        sd_count(&counts->cas_badval, 1);
    else if (store->mode == SD_CAS)
        SD_COUNT_HIT(counts, cas, rc == 0);
}

bool
sd_store_value(struct sd_request *request, struct sd_store *store, int *rc,
               enum sd_verdict *verdict)
{
    struct sd_session *session = request->session;
    if (store->size > session->server->settings.value_most) {
        sd_count(&session->counts->store_too_large, 1);
        forget(session, store);
        session->skip = store->size + 2;
        *verdict = sd_answer(request, "SERVER_ERROR object too large for cache");
        return false;
    }
    store->value = sd_take_value(request, store->size, verdict);
    if (!store->value)
        return false;
    if (memcmp(store->value + store->size, "\r\n", 2) != 0) {
        *verdict = sd_answer(request, "CLIENT_ERROR bad data chunk");
        return false;
    }
    *rc = sd_item_store(session, store);
    if (sd_is_refusal(*rc)) {
        *verdict = sd_refused(request, *rc, SD_OUT_OF_MEMORY " storing object");
        if (*verdict != SD_LATER)
            forget(session, store);
        return false;
    }
    count_store(session->counts, store, *rc);
    return true;
}

void
sd_count_get(struct sd_counts *counts, bool touch, bool hit)
{
    sd_count(touch ? &counts->cmd_touch : &counts->cmd_get, 1);
    if (touch)
        SD_COUNT_HIT(counts, touch, hit);
    else
        SD_COUNT_HIT(counts, get, hit);
}

void
sd_count_delta(struct sd_counts *counts, bool down, bool hit)
{
    if (down)
        SD_COUNT_HIT(counts, decr, hit);
    else
        SD_COUNT_HIT(counts, incr, hit);
}

/* ---- one request ----------------------------------------------------------------------------- */

static const struct sd_command *
find(const struct sd_command *command, struct sd_bytes name)
{
    for (; command->name; command++)
        if (command->name[0] == name.bytes[0] && command->name[1] == name.bytes[1] &&
            strncmp(command->name, name.bytes, name.size) == 0 && !command->name[name.size])
            return command;
    return NULL;
}

static enum sd_verdict
dispatch(struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    if (line->count == 0)
        return sd_answer(request, "ERROR");
    struct sd_bytes name = sd_word(line, 0), last = sd_word(line, line->count - 1);
    const struct sd_command *command =
        find(*name.bytes == 'm' ? sd_meta_commands : sd_text_commands, name);
    if (!command)
        command = find(sd_admin_commands, name);
    if (command && line->count >= command->least && line->count <= command->most) {
        request->kind = command->kind;
        return command->run(request);
    }
    if (!command && last.size >= 5 && memcmp(last.bytes, "HTTP/", 5) == 0)
        return sd_metrics(request);
    return sd_answer(request, "ERROR");
}

static enum sd_verdict
run_line(struct sd_session *session, struct sd_input *input, struct sd_output *output,
         const char *end)
{
    struct sd_request request = {.session = session, .input = input, .output = output};
    sd_line_read(&request.line, input->data + input->at, end);
    enum sd_verdict verdict = session->trusted ? dispatch(&request) : sd_authenticate(&request);
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
    const char *begin = input->data + input->at, *at = begin;
    while (at - begin <= SPACES_MOST && *at == ' ')
        at++;
    size_t get = memcmp(at, "get ", 4) == 0 ? 4 : memcmp(at, "gets ", 5) == 0 ? 5 : 0;
    if (at - begin > SPACES_MOST || !get || !session->trusted)
        return SD_CLOSE;
    session->keys = SD_KEYS | (get == 5 ? SD_KEYS_CAS : 0);
    input->at += (size_t)(at - begin) + get;
    return SD_DONE;
}

/* The newline of the line that begins there; NULL: it is not there yet. */
static const char *
end_of_line(const struct sd_input *input)
{
    size_t size = input->size - input->at;
    return size ? memchr(input->data + input->at, '\n', size) : NULL;
}

static enum sd_verdict
run_command(struct sd_session *session, struct sd_input *input, struct sd_output *output)
{
    const char *end = end_of_line(input);
    if (end)
        return run_line(session, input, output, end);
    return input->size - input->at > SD_LINE_MOST ? begin_endless_get(session, input) : SD_MORE;
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
    const char *end = end_of_line(input);
    input->at = end ? (size_t)(end - input->data) + 1 : input->size;
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
    if (sd_make_room(output, sd_most(output->least, SD_REPLY_MOST)) != SD_DONE)
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
        verdict = output->pending.data ? SD_FULL : step(session, input, output);
    } while (verdict == SD_DONE);
    return verdict;
}
