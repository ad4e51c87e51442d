/* SPDX-License-Identifier: MIT */
/*
 * session.h - the protocol of one connection, without its socket: bytes in, bytes out. A request is
 * done when all of it is there and its reply has room; until then it is left where it is, and read
 * again from its begin. So a session needs to remember little: what of the input is to be thrown
 * away, and that it is among the keys of a get.
 */
#ifndef SD_SESSION_H
#define SD_SESSION_H

#include "server/item.h"
#include "server/server.h"
#include "server/token.h"

/** Bytes read, which the session may change; from `at` on they are new. */
struct sd_input {
    char *data;
    size_t at, size;
};

/** Where replies go. What does not fit waits in `pending`; then nothing more is added. */
struct sd_output {
    char *data;
    size_t used, room;
    size_t least; /* of the room, in front of a command; at least SD_REPLY_MOST */
    struct sd_buffer pending;
    unsigned flushes; /* up to SD_FLUSHES_MOST, before others have a turn */
    /** Sends what is there; what is not taken becomes pending. */
    void (*flush)(struct sd_output *output);
    /** Makes room for a reply of `bytes`, behind what is there, in `pending`. False: not now. */
    bool (*grow)(struct sd_output *output, size_t bytes);
};

enum sd_verdict {
    SD_DONE,  /* go on */
    SD_MORE,  /* the rest of a request is missing: session->want bytes, if that is known */
    SD_FULL,  /* replies have to be sent first */
    SD_LATER, /* memory is on its way: ask again in a moment */
    SD_YIELD, /* others want their turn */
    SD_CLOSE,
};

struct sd_session {
    struct sd_server *server;
    struct sd_counts *counts; /* the worker's */
    struct sd_pool *pool;     /* the same; the session is its buffers' owner */
    uint64_t skip;            /* bytes of input that nobody wants */
    size_t want;
    unsigned tries;  /* of the request, at memory that was on its way */
    int32_t exptime; /* of gat */
    uint8_t keys;    /* SD_KEYS and what goes with it: among the keys of a get */
    bool skip_line;
    bool trusted; /* authenticated, or nobody asks for it */
};

enum { SD_KEYS = 1, SD_KEYS_CAS = 2, SD_KEYS_TOUCH = 4 };

/** `worker`: its number. */
void sd_session_open(struct sd_session *session, struct sd_server *server, unsigned worker);
/** Does what can be done. Never SD_DONE. */
enum sd_verdict
sd_session_run(struct sd_session *session, struct sd_input *input, struct sd_output *output);

/* ---- for the commands ------------------------------------------------------------------------ */

#define SD_BAD_FORMAT    "CLIENT_ERROR bad command line format"
#define SD_OUT_OF_MEMORY "SERVER_ERROR out of memory"
#define SD_NOT_NUMERIC   "CLIENT_ERROR cannot increment or decrement non-numeric value"

#define SD_REPLY_MOST   2048u /* bytes that there is room for when a command begins */
#define SD_FLUSHES_MOST 16u
#define SD_LINE_MOST    2048u /* bytes of a line without an end that are waited for */

/** A request: its line, and its begin in the input. */
struct sd_request {
    struct sd_session *session;
    struct sd_line line;
    struct sd_input *input;
    struct sd_output *output;
    unsigned kind;    /* the command's */
    bool quiet;       /* noreply */
    bool keeps_input; /* the command has taken what it wanted itself */
};

/** A command's name, how many words its line has, and what of its kind it is. */
struct sd_command {
    const char *name;
    unsigned least, most;
    enum sd_verdict (*run)(struct sd_request *request);
    unsigned kind;
};
#define SD_ANY UINT32_MAX

/** Makes room for so many bytes. Otherwise SD_FULL; SD_LATER: there is no memory for them now. */
enum sd_verdict sd_make_room(struct sd_output *output, size_t bytes);
/** Where the next byte goes. */
static inline char *
sd_output_tail(const struct sd_output *output)
{
    const struct sd_buffer *pending = &output->pending;
    return pending->data ? pending->data + pending->size : output->data + output->used;
}
/** The reply goes on to here. */
static inline void
sd_output_end(struct sd_output *output, const char *end)
{
    size_t bytes = (size_t)(end - sd_output_tail(output));
    *(output->pending.data ? &output->pending.size : &output->used) += bytes;
}
/** Adds bytes for which there is room. */
void sd_put(struct sd_output *output, const char *bytes, size_t size);

/** How an item is shown: a head, whose line's end is its own matter, and the value. */
struct sd_shape {
    size_t head_most; /* bytes */
    bool value;
    char *(*put_head)(char *at, const struct sd_item *item, const void *opaque);
    const void *opaque;
    /** NULL, or what is done to the item once there is room for it as it is. 0; SD_CHANGED: it has
     * got a new cas, which sinter_cache_written knows; -EEXIST: it is another one now; -ENOENT; a
     * refusal: neither done nor shown. */
    int (*change)(struct sd_session *session, struct sd_bytes key, const struct sd_item *item,
                  const void *opaque);
};
#define SD_CHANGED 1
/** Shows an item, which is looked up once. What can be SD_FULL or SD_LATER has shown nothing, and
 * changed nothing. */
enum sd_verdict sd_show(struct sd_session *session, struct sd_output *output, struct sd_bytes key,
                        const struct sd_shape *shape, bool *there);

/** Answers with a line, unless the request is quiet. SD_DONE. */
enum sd_verdict sd_answer(struct sd_request *request, const char *text);
/** A request is quiet if its last word is "noreply". */
bool sd_take_noreply(struct sd_request *request);
/** The value behind the line: NULL, with *verdict, until all of it is there. */
char *sd_take_value(struct sd_request *request, size_t size, enum sd_verdict *verdict);
/** Stores the value behind the line, of a length that a client said. False: *verdict is what the
 * request comes to, and has been answered; else *rc is the outcome, and counted. */
bool sd_store_value(struct sd_request *request, struct sd_store *store, int *rc,
                    enum sd_verdict *verdict);
/** What a writing call that was refused comes to: SD_LATER, or an answer once it took too long. */
enum sd_verdict sd_refused(struct sd_request *request, int rc, const char *text);
static inline bool
sd_is_refusal(int rc)
{
    return rc == -EAGAIN || rc == -ENOMEM || rc == -E2BIG || rc == -ENOBUFS;
}
/** Counts what was looked for, as one of the two. */
#define SD_COUNT_HIT(counts, name, hit)                                                            \
    sd_count((hit) ? &(counts)->name##_hits : &(counts)->name##_misses, 1)
/** Of a get, or a touch, or both. */
void sd_count_get(struct sd_counts *counts, bool touch, bool hit);
void sd_count_delta(struct sd_counts *counts, bool down, bool hit);

/** text.c, meta.c, admin.c, auth.c; a list ends with a NULL name. */
extern const struct sd_command sd_text_commands[], sd_meta_commands[], sd_admin_commands[];
enum sd_verdict
sd_next_key(struct sd_session *session, struct sd_input *input, struct sd_output *output);
enum sd_verdict sd_authenticate(struct sd_request *request);
/** stats.c: "stats"; and the same for Prometheus, by HTTP. */
enum sd_verdict sd_stats(struct sd_request *request);
enum sd_verdict sd_metrics(struct sd_request *request);

#endif
