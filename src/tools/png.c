/* SPDX-License-Identifier: MIT */
/* png.c - sinter map --png: the map alone, of 16 colours, from its lines. What it holds is stored,
 * not compressed, so that no library is needed. */
#include <stdlib.h>
#include <string.h>

#include "tools/commands.h"

#define PAGES      16u /* of a block, four by four */
#define BLOCKS_MAX (1u << 22)

enum { GROUND, KERNEL, WAITING, LARGE, EMPTY, HATCH, SHADES };

/* As the page's colours by day; shades of what lives on a page from SHADES on. */
static const unsigned char palette[16][3] = {
    {241, 239, 235}, {255, 255, 255}, {230, 173, 46},  {125, 31, 46},
    {231, 233, 235}, {17, 21, 26},    {201, 205, 209}, {199, 188, 191},
    {196, 172, 172}, {194, 155, 154}, {191, 138, 136}, {189, 122, 117},
    {186, 105, 99},  {184, 88, 80},   {181, 72, 62},   {179, 55, 43}};

struct tile {
    unsigned char page[PAGES];
    bool pinned;
};

struct picture {
    struct tile *tile; /* of each block */
    size_t blocks;
    size_t columns, rows;      /* of tiles */
    unsigned page_side, side;  /* pixels of a page, and of a tile with the line beside it */
    uint32_t crc, sum, sum_of; /* of the chunk, and of what is stored (Adler) */
    FILE *to;
};

/* ---- lines ----------------------------------------------------------------------------------- */

static unsigned char
color_of(char character, const char *state)
{
    const char *digits = "0123456789abcdef", *at = strchr(digits, character);
    if (character == '.')
        return KERNEL;
    if (!at || !*at)
        return WAITING;
    if (strncmp(state, "empty", 5) == 0)
        return EMPTY;
    if (strncmp(state, "large", 5) == 0 && character == 'f')
        return LARGE;
    return (unsigned char)(SHADES + (at - digits) * 9 / 15);
}

static bool
reach(struct picture *p, size_t blocks)
{
    if (blocks <= p->blocks)
        return true;
    struct tile *more = realloc(p->tile, blocks * sizeof(*more));
    if (!more)
        return false;
    p->tile = more;
    for (; p->blocks < blocks; p->blocks++) {
        p->tile[p->blocks].pinned = false;
        memset(p->tile[p->blocks].page, KERNEL, PAGES);
    }
    return true;
}

/* A line that is no run's is passed over. */
static bool
read_run(struct picture *p, const char *line)
{
    unsigned at, blocks;
    char state[8] = "";
    const char *pages = strstr(line, "\"pages\":\""), *why = strstr(line, "\"why\":\"");
    if (sscanf(line, "{\"at\":%u,\"blocks\":%u,\"state\":\"%5s", &at, &blocks, state) != 3 ||
        !pages)
        return true;
    if (at > BLOCKS_MAX || blocks > BLOCKS_MAX - at || !reach(p, (size_t)at + blocks))
        return false;
    pages += sizeof("\"pages\":\"") - 1;
    bool pinned = why && why[7] == 'p';
    for (size_t i = 0; i < (size_t)blocks * PAGES && pages[i] && pages[i] != '"'; i++) {
        p->tile[at + i / PAGES].page[i % PAGES] = color_of(pages[i], state);
        p->tile[at + i / PAGES].pinned = pinned;
    }
    return true;
}

static bool
read_map(struct picture *p, FILE *lines)
{
    char *line = NULL;
    size_t room = 0;
    bool good = reach(p, 1);
    while (good && getline(&line, &room, lines) > 0)
        good = read_run(p, line);
    free(line);
    return good;
}

/* ---- the file -------------------------------------------------------------------------------- */

static void
put(struct picture *p, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        p->crc ^= ((const unsigned char *)bytes)[i];
        for (int bit = 0; bit < 8; bit++)
            p->crc = p->crc >> 1 ^ (p->crc & 1 ? UINT32_C(0xedb88320) : 0);
    }
    fwrite(bytes, 1, count, p->to);
}

static void
put_number(struct picture *p, uint32_t number)
{
    const unsigned char bytes[] = {(unsigned char)(number >> 24), (unsigned char)(number >> 16),
                                   (unsigned char)(number >> 8), (unsigned char)number};
    put(p, bytes, 4);
}

static void
begin_chunk(struct picture *p, const char *type, size_t length)
{
    put_number(p, (uint32_t)length);
    p->crc = UINT32_MAX;
    put(p, type, 4);
}

static unsigned
pixel(const struct picture *p, size_t x, size_t y)
{
    size_t block = y / p->side * p->columns + x / p->side;
    unsigned across = x % p->side, down = y % p->side, last = p->side - 1;
    if (across == last || down == last || x / p->side >= p->columns || block >= p->blocks)
        return GROUND;
    if (p->tile[block].pinned && across + down == last - 1)
        return HATCH;
    return p->tile[block].page[down / p->page_side * 4 + across / p->page_side];
}

/* A line of pixels: a stored block of its own, which holds at most 65535 bytes. */
static void
put_line(struct picture *p, unsigned char *line, size_t bytes, size_t y, bool last)
{
    const unsigned char head[] = {last, (unsigned char)bytes, (unsigned char)(bytes >> 8),
                                  (unsigned char)~bytes, (unsigned char)(~bytes >> 8)};
    line[0] = 0; /* no filter */
    for (size_t i = 1; i < bytes; i++)
        line[i] = (unsigned char)(pixel(p, 2 * i - 2, y) << 4 | pixel(p, 2 * i - 1, y));
    for (size_t i = 0; i < bytes; i++) {
        p->sum = (p->sum + line[i]) % 65521;
        p->sum_of = (p->sum_of + p->sum) % 65521;
    }
    put(p, head, sizeof(head));
    put(p, line, bytes);
}

static void
put_picture(struct picture *p, unsigned char *line, size_t bytes)
{
    size_t height = p->rows * p->side;
    fwrite("\x89PNG\r\n\x1a\n", 1, 8, p->to);
    begin_chunk(p, "IHDR", 13);
    put_number(p, (uint32_t)(2 * bytes - 2));
    put_number(p, (uint32_t)height);
    put(p, "\4\3\0\0", 5); /* 4 bits a pixel, of the palette */
    put_number(p, ~p->crc);
    begin_chunk(p, "PLTE", sizeof(palette));
    put(p, palette, sizeof(palette));
    put_number(p, ~p->crc);
    begin_chunk(p, "IDAT", 2 + height * (bytes + 5) + 4);
    put(p, "\x78\1", 2);
    for (size_t y = 0; y < height; y++)
        put_line(p, line, bytes, y, y + 1 == height);
    put_number(p, p->sum_of << 16 | p->sum);
    put_number(p, ~p->crc);
    begin_chunk(p, "IEND", 0);
    put_number(p, ~p->crc);
}

bool
write_png(FILE *lines, FILE *to)
{
    struct picture p = {.to = to, .sum = 1, .columns = 1};
    bool good = read_map(&p, lines);
    p.page_side = p.blocks > 1 << 16 ? 1 : 3;
    p.side = 4 * p.page_side + 1;
    while (p.columns * p.columns < p.blocks)
        p.columns++;
    p.rows = (p.blocks + p.columns - 1) / p.columns;
    size_t bytes = (p.columns * p.side + 1) / 2 + 1;
    unsigned char *line = good ? malloc(bytes) : NULL;
    if (line)
        put_picture(&p, line, bytes);
    else
        say("the map is too large for a picture");
    free(line);
    free(p.tile);
    return line != NULL;
}
