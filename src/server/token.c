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
    while (at < end && line->count < SD_WORDS_MOST) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        const char *stop = space ? space : end;
        if (stop != at)
            line->word[line->count++] = (struct sd_bytes){at, (size_t)(stop - at)};
        at = space ? stop + 1 : end;
    }
    line->cut = at < end;
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* As memcached reads them: strtoull's digits, and white space behind them. */
static bool
read_number(struct sd_bytes text, bool is_signed, uint64_t *number)
{
    char copy[1056], *end; /* a value that counts has up to 1024 */
    *number = 0;
    if (text.size >= sizeof(copy))
        return false;
    memcpy(copy, text.bytes, text.size);
    copy[text.size] = 0;
    errno = 0;
    uint64_t value =
        is_signed ? (uint64_t)strtoll(copy, &end, 10) : (uint64_t)strtoull(copy, &end, 10);
    if (errno || end == copy || (*end && !isspace((unsigned char)*end)) ||
        (!is_signed && value > INT64_MAX && memchr(copy, '-', text.size)))
        return false;
    *number = value;
    return true;
}

bool
sd_read_u64(struct sd_bytes text, uint64_t *number)
{
    return read_number(text, false, number);
}

bool
sd_read_u32(struct sd_bytes text, uint32_t *number)
{
    uint64_t wide;
    bool is_number = read_number(text, false, &wide);
    *number = (uint32_t)(wide & UINT32_MAX);
    return is_number;
}

bool
sd_read_i32(struct sd_bytes text, int32_t *number)
{
    uint64_t wide;
    bool is_number = read_number(text, true, &wide);
    *number = (int32_t)(int64_t)wide; /* what is above is lost, as there */
    return is_number;
}

bool
sd_read_size(struct sd_bytes text, size_t *size)
{
    int32_t number;
    bool is_size = sd_read_i32(text, &number) && number >= 0 && number <= INT32_MAX - 2;
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
digits_in(struct sd_bytes text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += digit_of(text.bytes[i]) >= 0;
    return count;
}

/* Three bytes from four digits, fewer where they are padded, which ends it. */
size_t
sd_base64_read(struct sd_bytes text, char *to)
{
    uint32_t word = 0;
    unsigned count = 0, padding = 0;
    char *begin = to;
    if (digits_in(text) % 4)
        return 0;
    for (size_t i = 0; i < text.size && (count % 4 || !padding); i++) {
        int digit = digit_of(text.bytes[i]);
        if (digit < 0)
            continue;
        word = word << 6 | (uint32_t)digit;
        padding += text.bytes[i] == '=';
        if (++count % 4 == 0)
            for (unsigned j = 0; j + padding < 3; j++)
                *to++ = (char)(word >> (16 - 8 * j) & 255);
    }
    return padding <= 2 ? (size_t)(to - begin) : 0;
}

char *
sd_base64_put(char *at, struct sd_bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = sd_min(bytes.size - i, 3);
        uint32_t word = 0;
        for (size_t j = 0; j < 3; j++)
            word = word << 8 | (j < left ? (uint8_t)bytes.bytes[i + j] : 0);
        memset(at, '=', 4);
        for (size_t j = 0; j <= left; j++)
            at[j] = alphabet[word >> (18 - 6 * j) & 63];
        at += 4;
    }
    return at;
}
