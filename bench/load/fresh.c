/* SPDX-License-Identifier: MIT */
/*
 * fresh.c - see fresh.h.
 */
#include "fresh.h"

#include <stdio.h>

static struct fresh_part *
last_part(struct fresh *fresh)
{
    return &fresh->part[fresh->parts - 1];
}

void
fresh_begin(struct fresh *fresh, unsigned range)
{
    uint64_t first = fresh->parts ? last_part(fresh)->end : 0;
    fresh->part[fresh->parts++] = (struct fresh_part){.first = first, .end = first, .range = range};
}

static unsigned
range_of(const struct fresh *fresh, uint64_t id)
{
    unsigned i = fresh->parts - 1;
    while (i > 0 && id < fresh->part[i].first)
        i--;
    return fresh->part[i].range;
}

static uint64_t
bytes_of(const struct fresh *fresh, uint64_t id)
{
    return WIRE_KEY_SIZE + value_size(id, value_flags(1, range_of(fresh, id)));
}

/* ---- writing --------------------------------------------------------------------------------- */

static bool
next_write(void *arg, unsigned connection, struct wire_request *request)
{
    struct fresh *fresh = arg;
    struct fresh_part *part = last_part(fresh);
    (void)connection;
    if (part->end == fresh->end || fresh->bytes_left == 0)
        return false;
    request->verb = WIRE_SET;
    request->keys = 1;
    request->is_number = request->with_cas = false;
    request->id[0] = part->end++;
    request->flags = value_flags(1, part->range);
    request->ttl = 0;
    request->start = VALUE_START;
    request->size = value_size(request->id[0], request->flags);
    uint64_t bytes = WIRE_KEY_SIZE + request->size;
    part->bytes += bytes;
    fresh->bytes_left -= fresh->bytes_left < bytes ? fresh->bytes_left : bytes;
    return true;
}

static void
done_write(void *arg, unsigned connection, const struct wire_request *request,
           const struct wire_reply *reply, uint64_t now_ns)
{
    struct fresh *fresh = arg;
    (void)connection;
    (void)request;
    (void)now_ns;
    fresh->refused += reply->outcome == WIRE_REFUSED;
}

bool
fresh_write(struct fresh *fresh, uint64_t count, uint64_t bytes, const char **failure)
{
    const struct engine_source source = {.arg = fresh, .next = next_write, .done = done_write};
    fresh->end = count ? last_part(fresh)->end + count : UINT64_MAX;
    fresh->bytes_left = count ? UINT64_MAX : bytes;
    *failure = engine_run(fresh->engine, &source);
    return *failure == NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

static uint64_t
random_key(struct fresh *fresh)
{
    fresh->random += UINT64_C(0x9e3779b97f4a7c15);
    return fresh->next + value_mix(fresh->random) % (fresh->end - fresh->next);
}

static bool
next_read(void *arg, unsigned connection, struct wire_request *request)
{
    struct fresh *fresh = arg;
    (void)connection;
    if (fresh->reads_left == 0)
        return false;
    fresh->reads_left--;
    request->verb = WIRE_GET;
    request->keys = 1;
    request->is_number = request->with_cas = false;
    request->id[0] = fresh->in_order ? fresh->next++ : random_key(fresh);
    request->flags = value_flags(1, range_of(fresh, request->id[0]));
    return true;
}

static void
done_read(void *arg, unsigned connection, const struct wire_request *request,
          const struct wire_reply *reply, uint64_t now_ns)
{
    struct fresh *fresh = arg;
    const struct wire_found *found = &reply->found[0];
    uint64_t id = request->id[0];
    (void)connection;
    (void)now_ns;
    fresh->hits += found->data != NULL;
    fresh->misses += found->data == NULL;
    if (!found->data || fresh->unchecked)
        return;
    uint32_t size = value_size(id, request->flags);
    if (found->flags != request->flags || found->size != size ||
        !value_is(found->data, id, request->flags, VALUE_START, size))
        fresh->wrong++;
}

static bool
read_keys(struct fresh *fresh, uint64_t first, uint64_t end, uint64_t reads, const char **failure)
{
    const struct engine_source source = {.arg = fresh, .next = next_read, .done = done_read};
    fresh->next = first;
    fresh->end = end;
    fresh->reads_left = end > first ? reads : 0;
    *failure = engine_run(fresh->engine, &source);
    if (!*failure && fresh->wrong)
        *failure = "a value that is not its key's";
    return *failure == NULL;
}

bool
fresh_read_each(struct fresh *fresh, uint64_t first, uint64_t end, const char **failure)
{
    fresh->in_order = true;
    bool good = read_keys(fresh, first, end, end - first, failure);
    fresh->in_order = false;
    return good;
}

bool
fresh_read(struct fresh *fresh, uint64_t first, uint64_t end, uint64_t reads, double *share,
           const char **failure)
{
    uint64_t hits = fresh->hits, misses = fresh->misses;
    bool good = read_keys(fresh, first, end, reads, failure);
    uint64_t asked = fresh->hits - hits + fresh->misses - misses;
    *share = asked ? (double)(fresh->hits - hits) / (double)asked : 0;
    return good;
}

uint64_t
fresh_newest(const struct fresh *fresh, uint64_t bytes)
{
    uint64_t id = fresh->part[fresh->parts - 1].end, sum = 0;
    while (id > 0 && sum < bytes)
        sum += bytes_of(fresh, --id);
    return id;
}

bool
fresh_held(struct fresh *fresh, uint64_t reads, double *bytes, const char **failure)
{
    *bytes = 0;
    for (unsigned i = 0; i < fresh->parts; i++) {
        const struct fresh_part *part = &fresh->part[i];
        double share;
        if (!fresh_read(fresh, part->first, part->end, reads, &share, failure))
            return false;
        *bytes += share * (double)part->bytes;
    }
    return true;
}
