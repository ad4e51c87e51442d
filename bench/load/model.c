/* SPDX-License-Identifier: MIT */
/*
 * model.c - see model.h. The first half decides what is asked, the second what may be answered.
 */
#include "model.h"
#include "value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS  UINT64_C(1000000000)
#define SLACK_NS   (2 * SECOND_NS) /* servers count seconds by ticks; a tick may come late */
#define TRIES      8
#define GROWN_MOST 65536u /* a text that is longer is set anew */

enum kind { PLAIN, PASSING, TEXT, COUNTER }; /* passing: plain, with a short time to live */

enum state {
    GONE,    /* it must not be there */
    HELD,    /* if it is there it is as the model says */
    UNCLEAR, /* a write to a text was refused: until the next set nothing is known */
};

struct model_item {
    enum state state;
    bool excused;   /* it may be gone although nothing is evicted */
    bool cas_loose; /* it was touched: whether that changes the cas is the server's */
    uint32_t flags, start, size;
    uint32_t next_flags, next_start, next_size; /* the same when all in flight is done */
    uint32_t version;                           /* of the last write that was sent */
    uint64_t number, digits;                    /* counters: what it is, and its length at most */
    uint64_t cas_now;                           /* of what it holds; 0: not known */
    uint64_t cas_seen;                          /* last seen */
    uint64_t lives_ns, dies_ns; /* until the one it must not expire, after the other it must have */
};

static enum kind
kind_of(uint64_t index)
{
    static const enum kind kinds[8] = {PLAIN, PLAIN, TEXT, PLAIN, COUNTER, PLAIN, PASSING, PLAIN};
    return kinds[(index / 64 + index) % 8];
}

static uint64_t
random_below(struct model *model, uint64_t n)
{
    model->random += UINT64_C(0x9e3779b97f4a7c15);
    return value_mix(model->random) % n;
}

void
model_init(struct model *model, struct model_shared *shared, unsigned thread, unsigned connections,
           uint64_t requests, uint64_t seed)
{
    *model = (struct model){.shared = shared,
                            .thread = thread,
                            .connections = connections,
                            .left = requests,
                            .random = value_mix(seed * 1000 + thread)};
    model->item = calloc(shared->keys_each, sizeof(*model->item));
    if (!model->item) {
        fputs("out of memory\n", stderr);
        exit(2);
    }
}

void
model_end(struct model *model)
{
    free(model->item);
}

static uint64_t
first_key(const struct model *model)
{
    return model->thread * model->shared->keys_each;
}

static struct model_item *
item_of(const struct model *model, uint64_t id)
{
    return &model->item[id - first_key(model)];
}

/* ---- what is asked --------------------------------------------------------------------------- */

/* One of the connection's own keys. */
static uint64_t
pick_own(struct model *model, unsigned connection)
{
    uint64_t each = model->shared->keys_each / model->connections;
    return first_key(model) + connection + model->connections * random_below(model, each);
}

/* Its next version, in the range of sizes that is on. */
static uint32_t
new_flags(struct model *model, struct model_item *item, uint64_t id)
{
    const struct model_shared *shared = model->shared;
    uint64_t turn = model->counts.requests / shared->range_ops;
    atomic_store(&shared->issued[id], ++item->version);
    return value_flags(item->version, (unsigned)(turn % shared->ranges));
}

static void
write_piece(struct model *model, struct wire_request *request, enum wire_verb verb)
{
    struct model_item *item = item_of(model, request->id[0]);
    request->verb = verb;
    request->flags = item->next_flags = new_flags(model, item, request->id[0]);
    request->start = item->next_start = VALUE_START;
    request->size = item->next_size = value_size(request->id[0], request->flags);
    if (random_below(model, 16) == 0)
        request->ttl = 1000;
}

static void
read_own(struct model *model, struct wire_request *request)
{
    uint64_t end = first_key(model) + model->shared->keys_each;
    request->verb = WIRE_GET;
    request->with_cas = random_below(model, 4) == 0;
    if (!model->shared->multi || random_below(model, 4) != 0)
        return;
    unsigned most = 1 + (unsigned)random_below(model, WIRE_KEYS_MAX);
    for (uint64_t id = request->id[0] + model->connections; request->keys < most && id < end;
         id += model->connections)
        request->id[request->keys++] = id;
}

/* A plain key of any thread. */
static void
read_others(struct model *model, struct wire_request *request)
{
    const struct model_shared *shared = model->shared;
    uint64_t index = 0;
    for (int i = 0; i < TRIES; i++) {
        index = random_below(model, shared->keys_each);
        if (kind_of(index) == PLAIN)
            break;
    }
    if (kind_of(index) != PLAIN)
        return;
    request->id[0] = random_below(model, shared->threads) * shared->keys_each + index;
    request->verb = WIRE_GET;
    request->from_others = true;
    request->least = atomic_load(&shared->acked[request->id[0]]);
}

static void
compare_and_swap(struct model *model, struct wire_request *request)
{
    const struct model_item *item = item_of(model, request->id[0]);
    if (item->cas_seen == 0) {
        read_own(model, request);
        request->with_cas = true;
        return;
    }
    request->cas = item->cas_seen;
    write_piece(model, request, WIRE_CAS);
}

static void
delete_key(struct model *model, struct wire_request *request)
{
    struct model_item *item = item_of(model, request->id[0]);
    request->verb = WIRE_DELETE;
    request->flags = new_flags(model, item, request->id[0]);
    item->next_size = 0;
}

static void
ask_plain(struct model *model, struct wire_request *request)
{
    uint64_t dice = random_below(model, 100);
    if (dice < 40)
        read_own(model, request);
    else if (dice < 52)
        read_others(model, request);
    else if (dice < 72)
        write_piece(model, request, WIRE_SET);
    else if (dice < 77)
        write_piece(model, request, WIRE_ADD);
    else if (dice < 82)
        write_piece(model, request, WIRE_REPLACE);
    else if (dice < 92)
        compare_and_swap(model, request);
    else if (dice < 96)
        delete_key(model, request);
    else
        request->verb = WIRE_TOUCH, request->ttl = 1000;
}

static void
ask_passing(struct model *model, struct wire_request *request)
{
    uint64_t dice = random_below(model, 100);
    if (dice < 60)
        read_own(model, request);
    else if (dice < 95)
        write_piece(model, request, WIRE_SET), request->ttl = 1 + (uint32_t)random_below(model, 3);
    else
        request->verb = WIRE_TOUCH, request->ttl = 1 + (uint32_t)random_below(model, 3);
}

/* A piece of the stream at one of the text's ends. */
static void
grow(struct model *model, struct wire_request *request, enum wire_verb verb)
{
    struct model_item *item = item_of(model, request->id[0]);
    uint32_t size = (uint32_t)random_below(model, 300);
    if (item->next_size == 0 || item->next_size + size > GROWN_MOST) {
        write_piece(model, request, WIRE_SET);
        return;
    }
    request->verb = verb;
    request->flags = item->next_flags;
    request->size = size;
    request->start =
        verb == WIRE_APPEND ? item->next_start + item->next_size : item->next_start - size;
    if (verb == WIRE_PREPEND)
        item->next_start -= size;
    item->next_size += size;
}

static void
ask_text(struct model *model, struct wire_request *request)
{
    uint64_t dice = random_below(model, 100);
    if (dice < 40)
        read_own(model, request);
    else if (dice < 50)
        write_piece(model, request, WIRE_SET);
    else if (dice < 75)
        grow(model, request, WIRE_APPEND);
    else if (dice < 95)
        grow(model, request, WIRE_PREPEND);
    else
        delete_key(model, request);
}

/* Numbers stay below 2^63: memcached 1.6 looks for a minus sign behind larger ones, and may find
 * one of the next item. */
static void
ask_counter(struct model *model, struct wire_request *request)
{
    uint64_t dice = random_below(model, 100);
    if (dice < 25) {
        read_own(model, request);
    } else if (dice < 35) {
        write_piece(model, request, WIRE_SET);
        request->is_number = true;
        request->number = value_mix(request->flags) >> (2 + random_below(model, 62));
    } else {
        request->verb = dice < 70 ? WIRE_INCR : WIRE_DECR;
        request->number = value_mix(model->random) >> (24 + random_below(model, 40));
    }
}

bool
model_next(void *arg, unsigned connection, struct wire_request *request)
{
    struct model *model = arg;
    if (model->left == 0 || atomic_load(&model->shared->failed) ||
        atomic_load(&model->shared->over))
        return false;
    model->left--;
    uint64_t id = pick_own(model, connection);
    *request = (struct wire_request){.verb = WIRE_GET, .keys = 1};
    request->id[0] = id;
    enum kind kind = kind_of(id - first_key(model));
    if (kind == PLAIN)
        ask_plain(model, request);
    else if (kind == PASSING)
        ask_passing(model, request);
    else if (kind == TEXT)
        ask_text(model, request);
    else
        ask_counter(model, request);
    model->counts.requests++;
    return true;
}

/* ---- what may be answered -------------------------------------------------------------------- */

void
model_complain(struct model *model, const struct wire_request *request,
               const struct wire_reply *reply, const char *what)
{
    int size = reply->text_size < 100 ? (int)reply->text_size : 100;
    model->counts.wrong++;
    atomic_store(&model->shared->failed, true);
    fprintf(stderr, "wrong: %s; thread %u, key %llu, request %d, flags %08x, size %u: %.*s\n", what,
            model->thread, (unsigned long long)request->id[0], (int)request->verb, request->flags,
            request->size, size, reply->text);
}

/* An item that must have expired when the request was sent is gone. */
static void
let_expire(struct model *model, struct model_item *item, const struct wire_request *request)
{
    if (item->state == HELD && item->dies_ns != 0 && request->sent_ns > item->dies_ns) {
        item->state = GONE;
        model->counts.expired++;
    }
}

/* The server says it is not there. From now on it must not be. */
static const char *
is_absent(struct model *model, struct model_item *item, uint64_t now_ns)
{
    bool lives =
        item->state == HELD && !item->excused && (item->lives_ns == 0 || now_ns < item->lives_ns);
    item->state = GONE;
    item->next_size = 0;
    return lives && model->shared->keeps ? "it is gone without a reason" : NULL;
}

static const char *
is_present(const struct model_item *item)
{
    return item->state == GONE ? "it must not be there" : NULL;
}

static void
set_life(struct model_item *item, const struct wire_request *request, uint64_t now_ns)
{
    uint64_t ttl = request->ttl * SECOND_NS;
    item->lives_ns = ttl == 0 ? 0 : request->sent_ns + ttl - SECOND_NS;
    item->dies_ns = ttl == 0 ? 0 : now_ns + ttl + SLACK_NS;
}

static void
note_ack(struct model *model, const struct wire_request *request)
{
    atomic_uint *acked = &model->shared->acked[request->id[0]];
    if (atomic_load(acked) < value_version(request->flags))
        atomic_store(acked, value_version(request->flags));
}

static void
hold(struct model *model, struct model_item *item, const struct wire_request *request,
     uint64_t now_ns)
{
    item->state = HELD;
    item->excused = item->cas_loose = false;
    item->flags = request->flags;
    item->start = request->start;
    item->size = request->size;
    item->number = request->number;
    item->digits = 0;
    item->cas_now = 0;
    set_life(item, request, now_ns);
    note_ack(model, request);
    model->counts.stored++;
}

/* After SERVER_ERROR: the old value, or none. */
static void
be_refused(struct model *model, struct model_item *item, const struct wire_request *request)
{
    model->counts.refused++;
    item->excused = true;
    if (kind_of(request->id[0] - first_key(model)) == TEXT)
        item->state = UNCLEAR;
}

static const char *
check_number(struct model_item *item, const struct wire_found *found)
{
    char text[24];
    size_t digits = (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)item->number);
    item->digits = item->digits > digits ? item->digits : digits;
    if (found->size < digits || found->size > item->digits ||
        memcmp(found->data, text, digits) != 0)
        return "another number";
    for (size_t i = digits; i < found->size; i++)
        if (found->data[i] != ' ')
            return "another number";
    return NULL;
}

static const char *
check_cas(struct model_item *item, const struct wire_found *found)
{
    bool changed = item->cas_now == 0;
    if (!changed && found->cas != item->cas_now && !item->cas_loose)
        return "another cas, and nothing was written";
    if (changed && found->cas <= item->cas_seen && !item->cas_loose)
        return "a cas that is not above the last one";
    item->cas_now = item->cas_seen = found->cas;
    item->cas_loose = false;
    return NULL;
}

static const char *
check_found(struct model_item *item, uint64_t id, bool is_number, const struct wire_found *found)
{
    if (item->state != HELD)
        return is_present(item);
    if (found->flags != item->flags)
        return "other flags";
    if (is_number)
        return check_number(item, found);
    if (found->size != item->size)
        return "another size";
    return value_is(found->data, id, item->flags, item->start, item->size) ? NULL : "other bytes";
}

static const char *
read_key(struct model *model, const struct wire_request *request, uint64_t id,
         const struct wire_found *found, uint64_t now_ns)
{
    struct model_item *item = item_of(model, id);
    let_expire(model, item, request);
    if (!found->data) {
        model->counts.misses++;
        return is_absent(model, item, now_ns);
    }
    model->counts.hits++;
    model->counts.read_bytes += found->size;
    bool is_number = kind_of(id - first_key(model)) == COUNTER;
    const char *what = check_found(item, id, is_number, found);
    return what || !request->with_cas ? what : check_cas(item, found);
}

/* What another thread wrote: any version from the last one acknowledged when the get was sent. */
static const char *
read_foreign(struct model *model, const struct wire_request *request,
             const struct wire_found *found)
{
    uint64_t id = request->id[0];
    if (!found->data) {
        model->counts.misses++;
        return NULL;
    }
    model->counts.hits++;
    model->counts.read_bytes += found->size;
    uint32_t version = value_version(found->flags);
    if (version < request->least)
        return "older than what was acknowledged";
    if (version > atomic_load(&model->shared->issued[id]))
        return "a version that was never sent";
    uint32_t size = value_size(id, found->flags);
    if (found->size != size)
        return "another size";
    return value_is(found->data, id, found->flags, VALUE_START, size) ? NULL : "other bytes";
}

static const char *
done_get(struct model *model, const struct wire_request *request, const struct wire_reply *reply,
         uint64_t now_ns)
{
    if (request->from_others)
        return read_foreign(model, request, &reply->found[0]);
    const char *what = NULL;
    for (unsigned i = 0; i < request->keys && !what; i++)
        what = read_key(model, request, request->id[i], &reply->found[i], now_ns);
    return what;
}

/* set, add, replace and cas: all of the value. */
static const char *
done_write(struct model *model, struct model_item *item, const struct wire_request *request,
           const struct wire_reply *reply, uint64_t now_ns)
{
    const char *what = NULL;
    bool stored = reply->outcome == WIRE_STORED;
    if (request->verb == WIRE_ADD)
        what = stored ? is_absent(model, item, now_ns) : is_present(item);
    else if (request->verb == WIRE_REPLACE)
        what = stored ? is_present(item) : is_absent(model, item, now_ns);
    else if (request->verb == WIRE_CAS && reply->outcome == WIRE_NOT_FOUND)
        what = is_absent(model, item, now_ns);
    else if (request->verb == WIRE_CAS)
        what = is_present(item);
    if (request->verb == WIRE_CAS && !what && !item->cas_loose && item->state == HELD &&
        reply->outcome != WIRE_NOT_FOUND && stored != (item->cas_now == request->cas))
        what = stored ? "an old cas was taken" : "the right cas was not taken";
    model->counts.cas_lost += reply->outcome == WIRE_EXISTS;
    model->counts.not_stored += reply->outcome == WIRE_NOT_STORED;
    if (stored)
        hold(model, item, request, now_ns);
    return what;
}

static const char *
done_grow(struct model *model, struct model_item *item, const struct wire_request *request,
          const struct wire_reply *reply, uint64_t now_ns)
{
    if (reply->outcome != WIRE_STORED)
        return is_absent(model, item, now_ns);
    if (item->state == GONE)
        return is_present(item);
    if (request->verb == WIRE_PREPEND)
        item->start = request->start;
    item->size += request->size;
    item->cas_now = 0;
    return NULL;
}

static const char *
done_delete(struct model *model, struct model_item *item, const struct wire_request *request,
            const struct wire_reply *reply, uint64_t now_ns)
{
    const char *what =
        reply->outcome == WIRE_DONE ? is_present(item) : is_absent(model, item, now_ns);
    item->state = GONE;
    note_ack(model, request);
    return what;
}

static const char *
done_touch(struct model *model, struct model_item *item, const struct wire_request *request,
           const struct wire_reply *reply, uint64_t now_ns)
{
    if (reply->outcome == WIRE_NOT_FOUND)
        return is_absent(model, item, now_ns);
    set_life(item, request, now_ns);
    item->cas_loose = true;
    return is_present(item);
}

static const char *
done_count(struct model *model, struct model_item *item, const struct wire_request *request,
           const struct wire_reply *reply, uint64_t now_ns)
{
    char text[24];
    if (reply->outcome == WIRE_NOT_FOUND)
        return is_absent(model, item, now_ns);
    if (item->state != HELD)
        return is_present(item);
    uint64_t digits =
        (uint64_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)item->number);
    item->digits = item->digits > digits ? item->digits : digits;
    if (request->verb == WIRE_INCR)
        item->number += request->number;
    else
        item->number -= item->number < request->number ? item->number : request->number;
    item->cas_now = 0;
    return reply->number == item->number ? NULL : "another number";
}

static const char *
done_own(struct model *model, const struct wire_request *request, const struct wire_reply *reply,
         uint64_t now_ns)
{
    struct model_item *item = item_of(model, request->id[0]);
    let_expire(model, item, request);
    switch (request->verb) {
    case WIRE_APPEND:
    case WIRE_PREPEND:
        return done_grow(model, item, request, reply, now_ns);
    case WIRE_DELETE:
        return done_delete(model, item, request, reply, now_ns);
    case WIRE_TOUCH:
        return done_touch(model, item, request, reply, now_ns);
    case WIRE_INCR:
    case WIRE_DECR:
        return done_count(model, item, request, reply, now_ns);
    default:
        return done_write(model, item, request, reply, now_ns);
    }
}

void
model_done(void *arg, unsigned connection, const struct wire_request *request,
           const struct wire_reply *reply, uint64_t now_ns)
{
    struct model *model = arg;
    const char *what = NULL;
    (void)connection;
    if (reply->outcome == WIRE_WRONG)
        what = "no answer to the request";
    else if (reply->outcome == WIRE_REFUSED && request->verb != WIRE_GET)
        be_refused(model, item_of(model, request->id[0]), request);
    else if (reply->outcome == WIRE_REFUSED)
        model->counts.refused++;
    else if (request->verb == WIRE_GET)
        what = done_get(model, request, reply, now_ns);
    else
        what = done_own(model, request, reply, now_ns);
    if (what)
        model_complain(model, request, reply, what);
}
