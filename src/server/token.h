/* SPDX-License-Identifier: MIT */
/*
 * token.h - a request's line: words between spaces, and what stands in them. It reads as
 * memcached 1.6.18 does, odd cases included: a line ends at a NUL, words are separated by spaces
 * only, numbers may have signs and white space around them, 32-bit ones lose what is above.
 */
#ifndef SD_TOKEN_H
#define SD_TOKEN_H

#include "server/base.h"

#define SD_WORDS_MOST 23u /* of a line that are looked at */

struct sd_line {
    struct sd_bytes word[SD_WORDS_MOST];
    unsigned count;
    size_t bytes; /* of the line, its end included */
    size_t text;  /* without its end, and without what stands behind a NUL */
    bool cut;     /* there are more words */
};

/** Splits the line at `data`, whose newline is at `end`. */
void sd_line_read(struct sd_line *line, const char *data, const char *end);

/** An empty one, which is no number, where there is none. */
static inline struct sd_bytes
sd_word(const struct sd_line *line, unsigned i)
{
    return i < line->count ? line->word[i] : (struct sd_bytes){"", 0};
}

/* False: no number, or above 64 bits; then it is 0. Behind the bytes there is white space. */
bool sd_read_u64(struct sd_bytes text, uint64_t *number);
bool sd_read_u32(struct sd_bytes text, uint32_t *number);
bool sd_read_i32(struct sd_bytes text, int32_t *number);
/** A value's length. */
bool sd_read_size(struct sd_bytes text, size_t *size);

/** Copies; a string's 0 is not wanted. Result: behind it. */
static inline char *
sd_put_bytes(char *at, const char *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

static inline char *
sd_put_text(char *at, const char *text)
{
    return sd_put_bytes(at, text, strlen(text));
}

/** Writes a number, without a 0 behind it; up to 20 bytes. Result: behind it. */
char *sd_put_u64(char *at, uint64_t number);

/** Decodes to `to`, which may be where the text is. Bytes; 0: it is no base64. */
size_t sd_base64_read(struct sd_bytes text, char *to);
/** Result: behind it. */
char *sd_base64_put(char *at, struct sd_bytes bytes);

#endif
