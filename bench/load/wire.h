/* SPDX-License-Identifier: MIT */
/*
 * wire.h - requests and replies as bytes, in memcached's text and meta protocols, and in Redis'
 * (RESP; set, get and delete only). It knows no sockets. A reply is taken apart strictly: what is
 * not exactly an answer to the request is WIRE_WRONG.
 */
#ifndef BENCH_LOAD_WIRE_H
#define BENCH_LOAD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_KEYS_MAX 16u /* of one get, text only */
#define WIRE_KEY_SIZE 20u /* of every key: a prefix of at most 9 bytes, and the number */

enum wire_protocol { WIRE_TEXT, WIRE_META, WIRE_RESP };

enum wire_verb {
    WIRE_SET,
    WIRE_ADD,
    WIRE_REPLACE,
    WIRE_APPEND,
    WIRE_PREPEND,
    WIRE_CAS,
    WIRE_GET,
    WIRE_DELETE,
    WIRE_TOUCH,
    WIRE_INCR,
    WIRE_DECR,
};

struct wire_request {
    enum wire_verb verb;
    bool with_cas;  /* of a get: gets */
    bool is_number; /* what is written is `number` in decimal, not a piece of the stream */
    bool
        from_others; /* a get of another thread's key; `least` is the oldest version there may be */
    unsigned keys;
    uint32_t flags, start, size; /* the piece that is written */
    uint32_t ttl;                /* seconds; 0: none */
    uint32_t least;
    uint64_t number; /* to write, or to add or subtract */
    uint64_t cas;
    uint64_t sent_ns;
    uint64_t id[WIRE_KEYS_MAX];
};

enum wire_outcome {
    WIRE_STORED,
    WIRE_NOT_STORED,
    WIRE_EXISTS,
    WIRE_NOT_FOUND,
    WIRE_DONE,    /* deleted, touched */
    WIRE_NUMBER,  /* of incr and decr */
    WIRE_VALUES,  /* of a get: found[i] for each key */
    WIRE_REFUSED, /* SERVER_ERROR, or -OOM */
    WIRE_WRONG,
};

struct wire_found {
    const char *data; /* NULL: a miss */
    size_t size;
    uint32_t flags; /* text and meta */
    uint64_t cas;   /* gets */
};

struct wire_reply {
    enum wire_outcome outcome;
    uint64_t number;
    const char *text; /* what came, for messages */
    size_t text_size;
    struct wire_found found[WIRE_KEYS_MAX];
};

/** Bytes that a request takes at most. */
size_t wire_room(const struct wire_request *request);

/** Writes it at `to`; the bytes written. prefix: of the keys. */
size_t wire_encode(enum wire_protocol protocol, const char *prefix,
                   const struct wire_request *request, char *to);

/**
 * Takes the reply at `at` apart. The bytes it has; 0: it is not all there yet. On WIRE_WRONG the
 * rest of the connection cannot be told apart any more.
 */
size_t wire_decode(enum wire_protocol protocol, const char *prefix,
                   const struct wire_request *request, const char *at, size_t size,
                   struct wire_reply *reply);

/** The key of a number: WIRE_KEY_SIZE bytes. */
void wire_key(const char *prefix, uint64_t id, char *to);

#endif
