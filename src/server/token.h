/* SPDX-License-Identifier: MIT */
/*
 * token.h - a request's line: words between spaces, and what stands in them. It reads as
 * memcached 1.6.18 does, odd cases included: a line ends at a NUL, words are separated by spaces
 * only, numbers may have signs and white space around them, 32-bit ones lose what is above.
 */
#ifndef SD_TOKEN_H
#define SD_TOKEN_H

#include "server/base.h"

#define SD_TOKENS_MOST 23u /* of a line that are looked at */

struct sd_token {
    const char *text;
    size_t size;
};

struct sd_line {
    struct sd_token token[SD_TOKENS_MOST];
    unsigned count;
    size_t bytes; /* of the line, its end included */
    size_t text;  /* without its end, and without what stands behind a NUL */
    bool cut;     /* there are more words */
};

/** Splits the line at `data`, whose newline is at `end`. */
void sd_line_read(struct sd_line *line, const char *data, const char *end);

static inline bool
sd_token_is(const struct sd_token *token, const char *word, size_t size)
{
    return token->size == size && memcmp(token->text, word, size) == 0;
}

/** Compares with a literal. */
#define SD_IS(token, word) sd_token_is((token), (word), sizeof(word) - 1)

/* False: no number, or above 64 bits. `text` need not end in a 0; behind it there is white space.
 */
bool sd_read_u64(const char *text, size_t size, uint64_t *number);
bool sd_read_u32(const char *text, size_t size, uint32_t *number);
bool sd_read_i32(const char *text, size_t size, int32_t *number);

/** A value's length. */
bool sd_read_size(const struct sd_token *token, size_t *size);

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

/** Decodes `size` bytes to `to`, which may be `text`. 0: it is no base64. */
size_t sd_base64_read(const char *text, size_t size, char *to);
/** Result: behind it. */
char *sd_base64_put(char *at, const char *bytes, size_t size);

#endif
