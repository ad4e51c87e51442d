/* SPDX-License-Identifier: MIT */
/*
 * target_server.c - fuzz target: a conversation with a session of sinterd, twice: whole, and in
 * pieces, with a slow reader. Both have to be answered alike, but for numbers (of cas) and for
 * statistics. The first byte says how the pieces are.
 */
#include "fuzz.h"

#include <ctype.h>

#include "talk.h"

#include "server/limit.h"

#define LINE_MOST 2000u /* longer ones are read otherwise where they come in pieces */

static struct sd_server server;
static bool is_open;

static void
start_over(void)
{
    if (!is_open)
        talk_open(&server, 64 * MIB);
    is_open = true;
    server.settings.may_shut_down = true;
    server.own_most = 0;
    fuzz_check(sd_limit_change(&server, 64 * MIB));
    fuzz_check(sinter_cache_clear(server.cache) == 0);
    fuzz_check(server.pools->used == 0);
}

/* Without what differs from time to time. */
static size_t
strip(char *text, size_t size)
{
    size_t kept = 0;
    for (size_t i = 0; i < size;) {
        const char *end = memchr(text + i, '\n', size - i);
        size_t line = end ? (size_t)(end - text) - i + 1 : size - i;
        bool statistic = line > 5 && memcmp(text + i, "STAT ", 5) == 0;
        for (size_t j = i; j < i + line && !statistic; j++)
            if (!isdigit((unsigned char)text[j]))
                text[kept++] = text[j];
            else if (kept == 0 || text[kept - 1] != '#')
                text[kept++] = '#';
        i += line;
    }
    return kept;
}

static bool
has_long_line(const char *bytes, size_t size)
{
    size_t line = 0, longest = 0;
    for (size_t i = 0; i < size; i++) {
        line = bytes[i] == '\n' ? 0 : line + 1;
        longest = line > longest ? line : longest;
    }
    return longest > LINE_MOST;
}

static void
converse(const struct talk_way *way, const char *bytes, size_t size, struct talk *answer)
{
    start_over();
    talk(&server, way, bytes, size, answer);
    answer->size = strip(answer->text, answer->size);
    fuzz_check(server.pools->used == 0);
}

static void
run(const char *bytes, size_t size, unsigned how)
{
    static const size_t pieces[] = {1, 2, 3, 7, 16, 100, 1000, 0};
    struct talk_way whole = {.room = 1 << 16};
    struct talk_way parts = {
        .piece = pieces[how % 8],
        .room = SD_REPLY_MOST << (how / 8 % 4),
        .taken = how / 32 % 4 * 5,
        .grow_refused = how / 128,
    };
    struct talk one, other;
    converse(&whole, bytes, size, &one);
    converse(&parts, bytes, size, &other);
    if (!has_long_line(bytes, size)) {
        fuzz_check(one.closed == other.closed && one.size == other.size);
        fuzz_check(one.size == 0 || memcmp(one.text, other.text, one.size) == 0);
    }
    free(one.text);
    free(other.text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_begin();
    if (size > 0)
        run((const char *)data + 1, size - 1, data[0]);
    return 0;
}

/* ---- random conversations -------------------------------------------------------------------- */

static const char *const words[] = {
    "get",
    "gets",
    "gat",
    "gats",
    "set",
    "add",
    "replace",
    "append",
    "cas",
    "prepend",
    "delete",
    "incr",
    "decr",
    "mg",
    "ms",
    "md",
    "ma",
    "me",
    "mn",
    "touch",
    "flush_all",
    "stats",
    "version",
    "verbosity",
    "slabs",
    "lru",
    "lru_crawler",
    "cache_memlimit",
    "shutdown",
    "quit",
    "watch",
    "bget",
    "a",
    "b",
    "c",
    "YQ==",
    "noreply",
    "0",
    "1",
    "2",
    "3",
    "-1",
    "100",
    "v",
    "t",
    "k",
    "q",
    "s",
    "c",
    "f",
    "h",
    "l",
    "I",
    "b",
    "N30",
    "T0",
    "T30",
    "R100",
    "MA",
    "MP",
    "ME",
    "MR",
    "MS",
    "MI",
    "MD",
    "F7",
    "C1",
    "J13",
    "D2",
    "Oabc",
    "items",
    "slabs",
    "conns",
    "sinter",
    "reset",
    "x\0y",
    "\r",
    "",
    "99999999999999999999",
    "4294967297",
};

const uint64_t fuzz_round = 200;

/* One line, and what may be its value. */
static size_t
random_line(uint64_t *random, char *to)
{
    size_t size = 0;
    for (uint64_t count = 1 + random_below(random, 7); count > 0; count--)
        size += (size_t)sprintf(to + size, "%s ",
                                words[random_below(random, sizeof(words) / sizeof(words[0]))]);
    size += (size_t)sprintf(to + size, random_below(random, 8) ? "\r\n" : "\n");
    if (random_below(random, 2))
        size += (size_t)sprintf(to + size, "%.*s\r\n", (int)random_below(random, 4), "123");
    if (random_below(random, 8) == 0)
        to[random_below(random, size)] = (char)random_next(random);
    return size;
}

void
fuzz_random(uint64_t seed, uint64_t operations)
{
    static char bytes[16384];
    uint64_t end = fuzz_operations + operations;
    fuzz_begin();
    while (fuzz_operations < end) {
        size_t size = 0;
        for (uint64_t lines = 1 + random_below(&seed, 20); lines > 0; lines--) {
            size += random_line(&seed, bytes + size);
            fuzz_operations++;
        }
        run(bytes, size, (unsigned)random_below(&seed, 256));
    }
}
