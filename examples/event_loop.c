/* SPDX-License-Identifier: MIT */
/*
 * event_loop.c - a server of one thread: an event loop (libuv, or libevent where that is what is
 * there), the QSBR flavour of liburcu, and compaction done by the loop itself, without the
 * background thread. One timer stands for the requests, another gives handle_defrag_step half a
 * millisecond now and then.
 *
 * What to take from it: under QSBR a thread is inside a section from one quiescent state to the
 * next, so the loop goes offline while it sleeps in the kernel, and is online only within a
 * callback. A step never waits: what has to pass between two stages of compaction, a grace period,
 * passes while the loop sleeps.
 */
#include <urcu-qsbr.h>

#include <sinter/handle.h>

#include "expect.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS     60000u
#define PER_REQUEST  50u  /* sessions looked up in one callback */
#define STEP_US      500u /* budget of one step of compaction */
#define REQUEST_MS   1
#define STEP_MS      2
#define STEPS_MAX    100000u /* against an endless loop; far more than are needed */
#define QUIET_STEPS  20u     /* steps in a row without work left: done */
#define DENSE_PERMIL 50u     /* recoverable bytes that may be left in the end, of the live spans */

struct session {
    uint64_t number;
    char state[200];
};

struct server {
    handle_store *store;
    handle_t sessions[SESSIONS];
    uint64_t requests, steps, quiet_steps, moved, released;
};

static void loop_stop(void);

/* ---- what the server does -------------------------------------------------------------------- */

/** A few look-ups; one session in eight is still there. */
static void
serve(struct server *server)
{
    for (uint32_t i = 0; i < PER_REQUEST; i++) {
        uint32_t number = (uint32_t)(server->requests * PER_REQUEST + i) * 7919u % SESSIONS;
        const struct session *session = handle_deref(server->store, server->sessions[number]);
        expect((session != NULL) == (number % 8 == 0));
        if (session)
            expect(session->number == number);
    }
    server->requests++;
}

/** A step of compaction; ends the loop when for some time there was nothing more to do. */
static void
compact_a_little(struct server *server)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    expect(handle_defrag_step(server->store, STEP_US, &report) == 0);
    expect(!report.busy); /* nobody else compacts here */
    server->steps++;
    server->moved += report.moved_objects;
    server->released += report.released_bytes;
    server->quiet_steps = report.more ? 0 : server->quiet_steps + 1;
    if (server->quiet_steps == QUIET_STEPS || !expect(server->steps < STEPS_MAX))
        loop_stop();
}

/** Every callback of the loop goes through here: online, the work, offline again. */
static void
callback(struct server *server, void (*work)(struct server *))
{
    rcu_thread_online();
    work(server);
    rcu_quiescent_state(); /* no address is held from here on */
    rcu_thread_offline();
}

/* ---- the loop: two timers -------------------------------------------------------------------- */

#ifdef EXAMPLE_LIBUV
#include <uv.h>

static void
on_request(uv_timer_t *timer)
{
    callback(timer->data, serve);
}

static void
on_step(uv_timer_t *timer)
{
    callback(timer->data, compact_a_little);
}

static void
loop_stop(void)
{
    uv_stop(uv_default_loop());
}

static void
loop_run(struct server *server)
{
    uv_loop_t *loop = uv_default_loop();
    uv_timer_t requests = {.data = server}, steps = {.data = server};
    expect(uv_timer_init(loop, &requests) == 0 && uv_timer_init(loop, &steps) == 0);
    expect(uv_timer_start(&requests, on_request, REQUEST_MS, REQUEST_MS) == 0);
    expect(uv_timer_start(&steps, on_step, STEP_MS, STEP_MS) == 0);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&requests, NULL);
    uv_close((uv_handle_t *)&steps, NULL);
    uv_run(loop, UV_RUN_DEFAULT); /* lets the handles close */
    expect(uv_loop_close(loop) == 0);
}
#else
#include <event2/event.h>

static struct event_base *base;

static void
on_request(evutil_socket_t fd, short what, void *server)
{
    (void)fd;
    (void)what;
    callback(server, serve);
}

static void
on_step(evutil_socket_t fd, short what, void *server)
{
    (void)fd;
    (void)what;
    callback(server, compact_a_little);
}

static void
loop_stop(void)
{
    event_base_loopbreak(base);
}

static void
loop_run(struct server *server)
{
    const struct timeval request_time = {0, REQUEST_MS * 1000}, step_time = {0, STEP_MS * 1000};
    base = event_base_new();
    if (!expect(base != NULL))
        return;
    struct event *requests = event_new(base, -1, EV_PERSIST, on_request, server);
    struct event *steps = event_new(base, -1, EV_PERSIST, on_step, server);
    if (expect(requests && steps)) {
        event_add(requests, &request_time);
        event_add(steps, &step_time);
        event_base_dispatch(base);
        event_free(requests);
        event_free(steps);
    }
    event_base_free(base);
}
#endif

/* ---- before and after ------------------------------------------------------------------------ */

static handle_store *
store_without_thread(void)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.name = "sessions";
    options.defrag.enabled = false; /* no background thread: the loop does it */
    return handle_store_create(&options);
}

/** Seven sessions of eight end, all over the memory: the spans are there, nearly empty. */
static void
fill_and_scatter(struct server *server)
{
    for (uint32_t i = 0; i < SESSIONS; i++) {
        void *object;
        server->sessions[i] =
            handle_alloc_object(server->store, sizeof(struct session), HANDLE_ZERO, &object);
        if (expect(object != NULL))
            ((struct session *)object)->number = i;
    }
    for (uint32_t i = 0; i < SESSIONS; i++) {
        if (i % 8)
            expect(handle_free(server->store, server->sessions[i]) == 0);
    }
    rcu_quiescent_state();
}

static struct handle_defrag_report
estimate(const struct server *server)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    expect(handle_defrag_estimate(server->store, &report) == 0);
    return report;
}

int
main(void)
{
    static struct server server;
    rcu_register_thread();
    server.store = store_without_thread();
    if (!server.store) {
        perror("handle_store_create");
        return 1;
    }
    fill_and_scatter(&server);
    expect(handle_store_reclaim(server.store, SIZE_MAX) ==
           0); /* limbo, so that `before` is whole */
    struct handle_defrag_report before = estimate(&server);
    rcu_thread_offline();
    loop_run(&server);
    rcu_thread_online();
    struct handle_defrag_report after = estimate(&server);
    printf("%" PRIu64 " requests served beside %" PRIu64 " steps: %" PRIu64 " sessions moved, "
           "%.1f MiB of spans before, %.1f after\n",
           server.requests, server.steps, server.moved, (double)before.span_bytes / (1 << 20),
           (double)after.span_bytes / (1 << 20));
    expect(server.requests > 0 && server.moved > 0 && server.released > 0);
    expect(after.span_bytes < before.span_bytes / 4);
    expect(after.recoverable_bytes <= after.span_bytes / 1000 * DENSE_PERMIL);
    expect(handle_store_check(server.store, expect_violation, NULL) == 0);
    expect(handle_store_destroy(server.store) == 0);
    rcu_unregister_thread();
    return expect_status();
}
