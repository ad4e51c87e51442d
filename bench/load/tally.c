/* SPDX-License-Identifier: MIT */
/*
 * tally.c - see tally.h.
 */
#include "tally.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BY_CAS      UINT64_C(99999999990) /* key numbers that no model uses */
#define BY_INCR     UINT64_C(99999999991)
#define STEP        3u
#define THREADS_MAX 64u

struct counter {
    const struct engine_options *options;
    pthread_t thread;
    uint64_t rounds, turn;
    uint64_t number, cas; /* of BY_CAS as last seen */
    uint64_t sum;         /* of BY_INCR as last seen */
    uint64_t won, lost, added;
    const char *failure;
};

static bool
next(void *arg, unsigned connection, struct wire_request *request)
{
    struct counter *c = arg;
    (void)connection;
    if (c->turn == 3 * c->rounds)
        return false;
    *request = (struct wire_request){.keys = 1, .id = {BY_CAS}, .is_number = true};
    switch (c->turn++ % 3) {
    case 0:
        request->verb = WIRE_GET;
        request->with_cas = true;
        break;
    case 1:
        request->verb = WIRE_CAS;
        request->cas = c->cas;
        request->number = c->number + 1;
        break;
    default:
        request->verb = WIRE_INCR;
        request->id[0] = BY_INCR;
        request->number = STEP;
    }
    return true;
}

/* The number that a value is. */
static uint64_t
number_of(const struct wire_found *found)
{
    char text[24] = "";
    memcpy(text, found->data, found->size < sizeof(text) ? found->size : sizeof(text) - 1);
    return strtoull(text, NULL, 10);
}

static void
seen(struct counter *c, uint64_t *last, uint64_t number)
{
    if (number < *last)
        c->failure = "a counter went back";
    *last = number;
}

static void
done(void *arg, unsigned connection, const struct wire_request *request,
     const struct wire_reply *reply, uint64_t now_ns)
{
    struct counter *c = arg;
    (void)connection;
    (void)now_ns;
    if (reply->outcome == WIRE_VALUES && reply->found[0].data) {
        seen(c, &c->number, number_of(&reply->found[0]));
        c->cas = reply->found[0].cas;
    } else if (reply->outcome == WIRE_NUMBER) {
        seen(c, &c->sum, reply->number);
        c->added += STEP;
    } else if (reply->outcome == WIRE_STORED && request->verb == WIRE_CAS) {
        c->won++;
    } else if (reply->outcome == WIRE_EXISTS) {
        c->lost++;
    } else {
        c->failure = "an answer that is not possible";
    }
}

static void *
count(void *arg)
{
    struct counter *c = arg;
    const struct engine_source source = {.arg = c, .next = next, .done = done};
    struct engine *engine = engine_open(c->options);
    if (!engine) {
        c->failure = "no connection";
        return NULL;
    }
    const char *failure = engine_run(engine, &source);
    c->failure = failure ? failure : c->failure;
    engine_close(engine);
    return NULL;
}

/* ---- before and after ------------------------------------------------------------------------ */

/* Sets both keys to 0, then, in a second call, reads them. */
struct frame {
    bool reads;
    unsigned turn;
    uint64_t number[2];
};

static bool
next_of_frame(void *arg, unsigned connection, struct wire_request *request)
{
    struct frame *frame = arg;
    (void)connection;
    if (frame->turn == 2)
        return false;
    *request = (struct wire_request){.verb = frame->reads ? WIRE_GET : WIRE_SET,
                                     .keys = 1,
                                     .id = {frame->turn++ == 0 ? BY_CAS : BY_INCR},
                                     .is_number = true};
    return true;
}

static void
done_of_frame(void *arg, unsigned connection, const struct wire_request *request,
              const struct wire_reply *reply, uint64_t now_ns)
{
    struct frame *frame = arg;
    (void)connection;
    (void)now_ns;
    if (frame->reads && reply->found[0].data)
        frame->number[request->id[0] == BY_INCR] = number_of(&reply->found[0]);
}

static const char *
run_frame(const struct engine_options *options, struct frame *frame)
{
    const struct engine_source source = {
        .arg = frame, .next = next_of_frame, .done = done_of_frame};
    struct engine *engine = engine_open(options);
    if (!engine)
        return "no connection";
    frame->turn = 0;
    const char *failure = engine_run(engine, &source);
    engine_close(engine);
    return failure;
}

static const char *
judge(const struct counter *counter, unsigned connections, const struct frame *frame,
      uint64_t *lost)
{
    uint64_t won = 0, added = 0;
    for (unsigned i = 0; i < connections; i++) {
        if (counter[i].failure)
            return counter[i].failure;
        won += counter[i].won;
        added += counter[i].added;
        *lost += counter[i].lost;
    }
    if (frame->number[0] != won)
        return "a cas was lost, or counted twice";
    return frame->number[1] == added ? NULL : "an incr was lost, or counted twice";
}

const char *
tally_run(const struct engine_options *options, unsigned connections, uint64_t rounds,
          uint64_t *lost)
{
    struct counter counter[THREADS_MAX] = {0};
    struct engine_options one = *options;
    struct frame frame = {.reads = false};
    one.connections = one.depth = 1;
    one.slow = 0;
    *lost = 0;
    const char *failure = run_frame(&one, &frame);
    if (failure)
        return failure;
    for (unsigned i = 0; i < connections; i++) {
        counter[i].options = &one;
        counter[i].rounds = rounds;
        if (pthread_create(&counter[i].thread, NULL, count, &counter[i]) != 0)
            return "no thread";
    }
    for (unsigned i = 0; i < connections; i++)
        pthread_join(counter[i].thread, NULL);
    frame.reads = true;
    failure = run_frame(&one, &frame);
    return failure ? failure : judge(counter, connections, &frame, lost);
}
