/* SPDX-License-Identifier: MIT */
/* token.c - see token.h. */
#include "server/token.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

void
sd_line_read(struct sd_line *line, const char *data, const char *end)
{
    line->bytes = (size_t)(end - data) + 1;
    if (end - data > 1 && end[-1] == '\r')
        end--;
    line->text = strnlen(data, (size_t)(end - data));
    line->count = 0;
    const char *at = data;
    end = data + line->text;
    while (at < end && line->count < SD_TOKENS_MOST) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        const char *stop = space ? space : end;
        if (stop != at)
            line->token[line->count++] = (struct sd_token){at, (size_t)(stop - at)};
        at = space ? stop + 1 : end;
    }
    line->cut = at < end;
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* As memcached reads them: strtoull's digits, and white space behind them. */
static bool
read_number(const char *text, size_t size, bool is_signed, uint64_t *number)
{
    char copy[1056], *end; /* a value that counts has up to 1024 */
    *number = 0;
    if (size >= sizeof(copy))
        return false;
    memcpy(copy, text, size);
    copy[size] = 0;
    errno = 0;
    uint64_t value =
        is_signed ? (uint64_t)strtoll(copy, &end, 10) : (uint64_t)strtoull(copy, &end, 10);
    bool is_number = errno == 0 && end != copy && (*end == 0 || isspace((unsigned char)*end));
    *number = is_number ? value : 0;
    return is_number;
}

bool
sd_read_u64(const char *text, size_t size, uint64_t *number)
{
    bool is_number = read_number(text, size, false, number) &&
                     (*number <= INT64_MAX || !memchr(text, '-', size));
    *number = is_number ? *number : 0;
    return is_number;
}

bool
sd_read_u32(const char *text, size_t size, uint32_t *number)
{
    uint64_t wide;
    bool is_number = sd_read_u64(text, size, &wide);
    *number = (uint32_t)(wide & UINT32_MAX);
    return is_number;
}

bool
sd_read_i32(const char *text, size_t size, int32_t *number)
{
    uint64_t wide;
    bool is_number = read_number(text, size, true, &wide);
    uint32_t low = (uint32_t)wide;
    memcpy(number, &low, sizeof(low));
    return is_number;
}

bool
sd_read_size(const struct sd_token *token, size_t *size)
{
    int32_t number;
    bool is_size =
        sd_read_i32(token->text, token->size, &number) && number >= 0 && number <= INT32_MAX - 2;
    *size = is_size ? (size_t)number : 0;
    return is_size;
}

char *
sd_put_u64(char *at, uint64_t number)
{
    char digits[20];
    unsigned count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

/* ---- base64 ---------------------------------------------------------------------------------- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* -1: of another alphabet, which is passed over. */
static int
digit_of(char c)
{
    const char *at = c ? strchr(alphabet, c) : NULL;
    return c == '=' ? 0 : at ? (int)(at - alphabet) : -1;
}

static size_t
digits_in(const char *text, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += digit_of(text[i]) >= 0;
    return count;
}

/* Three bytes from the next four digits, fewer where they are padded. False: padded too much. */
static bool
read_group(const char **text, char **to, unsigned *padding)
{
    uint32_t word = 0;
    for (unsigned count = 0; count < 4; ++*text) {
        int digit = digit_of(**text);
        if (digit < 0)
            continue;
        *padding += **text == '=';
        word = word << 6 | (uint32_t)digit;
        count++;
    }
    if (*padding > 2)
        return false;
    for (unsigned i = 0; i < 3 - *padding; i++)
        *(*to)++ = (char)(word >> (16 - 8 * i) & 255);
    return true;
}

size_t
sd_base64_read(const char *text, size_t size, char *to)
{
    size_t count = digits_in(text, size);
    unsigned padding = 0;
    char *begin = to;
    if (count % 4)
        return 0;
    for (; count > 0 && padding == 0; count -= 4)
        if (!read_group(&text, &to, &padding))
            return 0;
    return (size_t)(to - begin);
}

char *
sd_base64_put(char *at, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i += 3) {
        size_t left = sd_min(size - i, 3);
        uint32_t word = 0;
        for (size_t j = 0; j < 3; j++)
            word = word << 8 | (j < left ? (uint8_t)bytes[i + j] : 0);
        memset(at, '=', 4);
        for (size_t j = 0; j <= left; j++)
            at[j] = alphabet[word >> (18 - 6 * j) & 63];
        at += 4;
    }
    return at;
}
