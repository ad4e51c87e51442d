/* SPDX-License-Identifier: MIT */
/* talk.c - see talk.h. */
#include "talk.h"

#include <stdio.h>
#include <stdlib.h>

#define must(condition) ((condition) ? (void)0 : give_up(#condition, __LINE__))

static _Noreturn void
give_up(const char *condition, int line)
{
    fprintf(stderr, "talk.c:%d: not so: %s\n", line, condition);
    abort();
}

static uint64_t
clock_of(void *opaque)
{
    (void)opaque;
    return 1000000;
}

void
talk_open(struct sd_server *server, uint64_t memory)
{
    struct sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
    *server = (struct sd_server){.settings = {.memory = memory, .value_most = 1 << 20}};
    server->settings.threads = 1;
    server->settings.may_flush = true;
    server->counts = calloc(1, sizeof(*server->counts));
    server->pools = calloc(1, sizeof(*server->pools));
    must(server->counts && server->pools);
    server->beyond.most = 16 << 20;
    server->pools->beyond = &server->beyond;
    options.limit_bytes = memory;
    options.clock_ms = clock_of;
    server->cache = sinter_cache_create(&options);
    must(server->cache);
}

void
talk_close(struct sd_server *server)
{
    must(server->pools->used == 0 && server->beside == 0);
    must(sinter_cache_destroy(server->cache) == 0);
    free(server->counts);
    free(server->pools);
}

/* ---- out ------------------------------------------------------------------------------------- */

struct mouth {
    struct sd_output output;
    struct sd_server *server;
    const struct talk_way *way;
    struct talk *answer;
    bool refused;
};

static void
say(struct talk *answer, const char *bytes, size_t size)
{
    if (answer->size + size > answer->room) {
        answer->room = 2 * (answer->size + size);
        answer->text = realloc(answer->text, answer->room);
        must(answer->text);
    }
    if (size)
        memcpy(answer->text + answer->size, bytes, size);
    answer->size += size;
}

static void
flush(struct sd_output *output)
{
    struct mouth *mouth = (struct mouth *)output;
    size_t taken = mouth->way->taken ? sd_min(mouth->way->taken, output->used) : output->used;
    output->flushes++;
    say(mouth->answer, output->data, taken);
    struct sd_bytes left = {output->data + taken, output->used - taken};
    must(!output->pending.data);
    if (left.size)
        must(sd_buffer_keep(&output->pending, mouth->server->pools, mouth, left, 0));
    output->used = 0;
}

static bool
grow(struct sd_output *output, size_t bytes)
{
    struct mouth *mouth = (struct mouth *)output;
    mouth->refused = mouth->way->grow_refused && !mouth->refused;
    if (mouth->refused)
        return false;
    must(!output->pending.data);
    must(sd_buffer_borrow(&output->pending, mouth->server->pools, mouth, output->used + bytes) ==
         0);
    if (output->used)
        memcpy(output->pending.data, output->data, output->used);
    output->pending.size = output->used;
    output->used = 0;
    return true;
}

static void
drain(struct mouth *mouth)
{
    struct sd_buffer *pending = &mouth->output.pending;
    if (mouth->output.used)
        flush(&mouth->output);
    if (!pending->data)
        return;
    say(mouth->answer, pending->data, pending->size);
    sd_buffer_close(pending, mouth->server->pools, mouth);
}

/* ---- in -------------------------------------------------------------------------------------- */

/* Everything that can be done with the input; bytes that are left stay in front. */
static enum sd_verdict
run(struct sd_session *session, struct mouth *mouth, struct sd_input *input)
{
    enum sd_verdict verdict;
    do {
        mouth->output.flushes = 0;
        verdict = sd_session_run(session, input, &mouth->output);
        drain(mouth);
    } while (verdict != SD_MORE && verdict != SD_CLOSE);
    memmove(input->data, input->data + input->at, input->size - input->at);
    input->size -= input->at;
    input->at = 0;
    return verdict;
}

void
talk(struct sd_server *server, const struct talk_way *way, const char *bytes, size_t size,
     struct talk *answer)
{
    struct mouth mouth = {.server = server, .way = way, .answer = answer};
    struct sd_input input = {.data = malloc(size + 1)};
    struct sd_session session;
    size_t at = 0, piece = way->first ? way->first : way->piece ? way->piece : size;
    *answer = (struct talk){.text = NULL};
    mouth.output = (struct sd_output){.data = malloc(way->room), .room = way->room};
    mouth.output.flush = flush;
    mouth.output.grow = grow;
    must(input.data && mouth.output.data);
    sd_session_open(&session, server, 0);
    while (at < size && !answer->closed) {
        size_t some = sd_min(piece, size - at);
        memcpy(input.data + input.size, bytes + at, some);
        input.size += some;
        at += some;
        answer->closed = run(&session, &mouth, &input) == SD_CLOSE;
        piece = way->piece ? way->piece : size;
    }
    free(input.data);
    free(mouth.output.data);
}
