/* SPDX-License-Identifier: MIT */
/* pprof.c - see pprof.h. */
#include "insight/pprof.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "os/smaps.h"

/* Numbers of fields in profile.proto. */
enum {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE = 2,
    PROFILE_MAPPING = 3,
    PROFILE_LOCATION = 4,
    PROFILE_FUNCTION = 5,
    PROFILE_STRING = 6,
    PROFILE_DROP_FRAMES = 7,
    PROFILE_TIME_NANOS = 9,
    PROFILE_COMMENT = 13,
    PROFILE_DEFAULT_TYPE = 14,
    TYPE_TYPE = 1,
    TYPE_UNIT = 2,
    SAMPLE_LOCATION = 1,
    SAMPLE_VALUE = 2,
    SAMPLE_LABEL = 3,
    LABEL_KEY = 1,
    LABEL_NUMBER = 3,
    LABEL_UNIT = 4,
    MAPPING_ID = 1,
    MAPPING_BEGIN = 2,
    MAPPING_END = 3,
    MAPPING_OFFSET = 4,
    MAPPING_FILE = 5,
    LOCATION_ID = 1,
    LOCATION_MAPPING = 2,
    LOCATION_ADDRESS = 3,
    LOCATION_LINE = 4,
    LINE_FUNCTION = 1,
    FUNCTION_ID = 1,
    FUNCTION_NAME = 2,
};

/* ---- messages -------------------------------------------------------------------------------- */

/* One that is put together before its length is known: a sample is the longest. */
struct message {
    size_t length;
    unsigned char bytes[1024];
};
#define VARINT_BYTES 10
_Static_assert((SN_PPROF_FRAMES + SN_PPROF_VALUES) * (1 + VARINT_BYTES) + 128 < 1024, "they fit");

static void
put_varint(struct message *m, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        m->bytes[m->length++] = (unsigned char)(value | 128);
    m->bytes[m->length++] = (unsigned char)value;
}

static void
put_number(struct message *m, unsigned field, uint64_t value)
{
    put_varint(m, field << 3);
    put_varint(m, value);
}

static void
put_message(struct message *m, unsigned field, const struct message *inner)
{
    put_varint(m, field << 3 | 2);
    put_varint(m, inner->length);
    memcpy(m->bytes + m->length, inner->bytes, inner->length);
    m->length += inner->length;
}

/* Into the profile itself. */

static void
write_bytes(struct sn_pprof *p, unsigned field, const void *bytes, size_t length)
{
    struct message head = {0};
    put_varint(&head, field << 3 | 2);
    put_varint(&head, length);
    sn_lines_bytes(&p->lines, head.bytes, head.length);
    sn_lines_bytes(&p->lines, bytes, length);
}

static void
write_message(struct sn_pprof *p, unsigned field, const struct message *m)
{
    write_bytes(p, field, m->bytes, m->length);
}

static void
write_number(struct sn_pprof *p, unsigned field, uint64_t value)
{
    struct message m = {0};
    put_number(&m, field, value);
    sn_lines_bytes(&p->lines, m.bytes, m.length);
}

static uint64_t
write_string(struct sn_pprof *p, const char *text)
{
    write_bytes(p, PROFILE_STRING, text, strlen(text));
    return p->strings++;
}

/* ---- begin ----------------------------------------------------------------------------------- */

void
sn_pprof_begin(struct sn_pprof *p, const char *const *types, const char *default_type)
{
    struct timespec now;
    write_string(p, ""); /* number 0 */
    for (; types[(size_t)2 * p->values]; p->values++) {
        struct message m = {0};
        put_number(&m, TYPE_TYPE, write_string(p, types[(size_t)2 * p->values]));
        put_number(&m, TYPE_UNIT, write_string(p, types[(size_t)2 * p->values + 1]));
        write_message(p, PROFILE_SAMPLE_TYPE, &m);
    }
    write_number(p, PROFILE_DEFAULT_TYPE, write_string(p, default_type));
    clock_gettime(CLOCK_REALTIME, &now);
    write_number(p, PROFILE_TIME_NANOS, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
}

void
sn_pprof_comment(struct sn_pprof *p, const char *text)
{
    write_number(p, PROFILE_COMMENT, write_string(p, text));
}

void
sn_pprof_drop_frames(struct sn_pprof *p, const char *expression)
{
    write_number(p, PROFILE_DROP_FRAMES, write_string(p, expression));
}

/* ---- mappings -------------------------------------------------------------------------------- */

static void
add_mapping(struct sn_pprof *p, uint64_t begin, uint64_t end, uint64_t offset, const char *file)
{
    struct message m = {0};
    p->mapping[p->mappings++] = (struct sn_pprof_mapping){begin, end};
    put_number(&m, MAPPING_ID, p->mappings);
    put_number(&m, MAPPING_BEGIN, begin);
    put_number(&m, MAPPING_END, end);
    put_number(&m, MAPPING_OFFSET, offset);
    put_number(&m, MAPPING_FILE, write_string(p, file));
    write_message(p, PROFILE_MAPPING, &m);
}

void
sn_pprof_mappings(struct sn_pprof *p)
{
    char line[SN_MAPS_LINE_BYTES], rights[5];
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && p->mappings < SN_PPROF_MAPPINGS && fgets(line, sizeof(line), maps)) {
        uint64_t begin, end, offset;
        int at = 0;
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %n", &begin, &end, rights,
                   &offset, &at) == 4 &&
            rights[2] == 'x' && at > 0)
            add_mapping(p, begin, end, offset, line + at);
    }
    if (maps)
        fclose(maps);
}

/* ---- locations ------------------------------------------------------------------------------- */

uint64_t
sn_pprof_address(struct sn_pprof *p, const void *return_address)
{
    struct message m = {0};
    uint64_t address = (uint64_t)(uintptr_t)return_address - 1; /* in the call */
    put_number(&m, LOCATION_ID, ++p->locations);
    for (unsigned i = 0; i < p->mappings; i++)
        if (address >= p->mapping[i].begin && address < p->mapping[i].end)
            put_number(&m, LOCATION_MAPPING, i + 1);
    put_number(&m, LOCATION_ADDRESS, address);
    write_message(p, PROFILE_LOCATION, &m);
    return p->locations;
}

uint64_t
sn_pprof_name(struct sn_pprof *p, const char *name)
{
    struct message function = {0}, line = {0}, m = {0};
    put_number(&function, FUNCTION_ID, ++p->functions);
    put_number(&function, FUNCTION_NAME, write_string(p, name));
    write_message(p, PROFILE_FUNCTION, &function);
    put_number(&line, LINE_FUNCTION, p->functions);
    put_number(&m, LOCATION_ID, ++p->locations);
    put_message(&m, LOCATION_LINE, &line);
    write_message(p, PROFILE_LOCATION, &m);
    return p->locations;
}

/* ---- samples --------------------------------------------------------------------------------- */

void
sn_pprof_sample(struct sn_pprof *p, const uint64_t *location, unsigned depth, const double *value,
                const char *label, uint64_t number, const char *unit)
{
    struct message m = {0};
    for (unsigned i = 0; i < depth && i < SN_PPROF_FRAMES; i++)
        put_number(&m, SAMPLE_LOCATION, location[i]);
    for (unsigned i = 0; i < p->values; i++)
        put_number(&m, SAMPLE_VALUE, (uint64_t)(value[i] + 0.5));
    if (label) {
        struct message l = {0};
        put_number(&l, LABEL_KEY, write_string(p, label));
        put_number(&l, LABEL_NUMBER, number);
        put_number(&l, LABEL_UNIT, write_string(p, unit));
        put_message(&m, SAMPLE_LABEL, &l);
    }
    write_message(p, PROFILE_SAMPLE, &m);
}
