/* SPDX-License-Identifier: MIT */
/*
 * dump.c - see dump.h. The file, numbers as the machine has them (and so of one byte order):
 *
 *     head    magic, version, time of day
 *     item    head, key, value (the marks in front)       each begins where the last one ended
 *     end     an item's head with key_size 0: how many items, and above what the next server's cas
 *             numbers have to be
 *     sum     of all bytes before it
 */
#include "server/dump.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION      2u
#define BUFFER_BYTES (512u << 10)
#define SUM_BEGIN    UINT64_C(0xcbf29ce484222325)
#define CAS_MARGIN   (UINT64_C(1) << 38) /* numbers that may be given out after a dump beside it */

struct file_head {
    char magic[8];
    uint32_t version, head_bytes;
    uint64_t time_ms;
};
static const char magic[8] = {'s', 'i', 'n', 't', 'e', 'r', 'd', '\n'};

struct item_head {
    uint64_t expires_ms; /* by the time of day; 0: never. Of the end: see above */
    uint64_t size;       /* of the value. Of the end: how many items */
    uint32_t flags, key_size;
};

/** A file as it is read or written, and the sum of its bytes. */
struct file {
    FILE *stream;
    char *buffer; /* the stream's */
    int error;
    struct sd_server *server;
    uint64_t sum, bytes; /* that are written, or that are left to be read */
    uint64_t flushed;    /* bytes that are written, and not in the buffer */
    uint64_t items, time_ms;
};

static uint64_t
sum_of(uint64_t sum, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return sum;
}

static void
note_error(struct file *file, bool failed)
{
    if (failed && !file->error)
        file->error = errno;
}

static bool
open_file(struct file *file, struct sd_server *server, const char *path, int flags)
{
    *file =
        (struct file){.server = server, .sum = SUM_BEGIN, .time_ms = sd_clock_ms(CLOCK_REALTIME)};
    int fd = open(path, flags | O_CLOEXEC, 0600);
    file->stream = fd < 0 ? NULL : fdopen(fd, flags & O_CREAT ? "w" : "r");
    note_error(file, !file->stream);
    if (!file->stream) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    file->buffer = malloc(BUFFER_BYTES);
    (void)setvbuf(file->stream, file->buffer, _IOFBF, BUFFER_BYTES);
    (void)sd_add(&server->beside, BUFFER_BYTES);
    return true;
}

static void
close_file(struct file *file)
{
    if (!file->stream)
        return;
    note_error(file, fclose(file->stream) != 0);
    free(file->buffer);
    sd_sub(&file->server->beside, BUFFER_BYTES);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void
put(struct file *file, const void *bytes, size_t size)
{
    file->sum = sum_of(file->sum, bytes, size);
    file->bytes += size;
    note_error(file, fwrite(bytes, 1, size, file->stream) != size);
}

static int
put_item(void *opaque, const struct sinter_cache_view *item)
{
    struct file *file = opaque;
    struct sinter_cache_view view = *item;
    struct item_head head = {
        .expires_ms = view.info.ttl_ms ? file->time_ms + view.info.ttl_ms : 0,
        .size = view.info.size,
        .flags = view.info.flags,
        .key_size = (uint32_t)view.key_size,
    };
    put(file, &head, sizeof(head));
    put(file, view.key, view.key_size);
    do
        put(file, view.data, view.data_size);
    while (view.data_size < view.info.size && sinter_cache_next(file->server->cache, &view));
    sd_store(&file->server->dump.items, ++file->items);
    return -file->error;
}

/* Most is written here, outside of sections. */
static int
between(void *opaque)
{
    struct file *file = opaque;
    if (file->bytes - file->flushed < BUFFER_BYTES / 2)
        return 0;
    note_error(file, fflush(file->stream) != 0);
    file->flushed = file->bytes;
    sd_store(&file->server->dump.bytes, file->bytes);
    file->time_ms = sd_clock_ms(CLOCK_REALTIME); /* times to live are as of now */
    return -file->error;
}

static void
write_items(struct file *file)
{
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    struct file_head head = {
        .version = VERSION, .head_bytes = sizeof(head), .time_ms = file->time_ms};
    memcpy(head.magic, magic, sizeof(magic));
    put(file, &head, sizeof(head));
    (void)sinter_cache_walk_pausing(file->server->cache, put_item, between, file);
    (void)sinter_cache_stats(file->server->cache, &stats); /* its last number, gone items' too */
    struct item_head end = {
        .size = file->items,
        .expires_ms = stats.last_cas + (file->server->workers ? CAS_MARGIN : 0),
    };
    put(file, &end, sizeof(end));
    uint64_t sum = file->sum;
    put(file, &sum, sizeof(sum));
    sd_store(&file->server->dump.bytes, file->bytes);
    note_error(file, fflush(file->stream) != 0 || fsync(fileno(file->stream)) != 0);
}

bool
sd_dump_write(struct sd_server *server)
{
    const char *path = server->settings.dump_file;
    char aside[4096];
    struct file file;
    if ((size_t)snprintf(aside, sizeof(aside), "%s.new", path) >= sizeof(aside))
        return sd_complain("no dump to %s: %s", path, strerror(ENAMETOOLONG));
    unlink(aside);
    if (open_file(&file, server, aside, O_WRONLY | O_CREAT | O_EXCL))
        write_items(&file);
    close_file(&file);
    note_error(&file, !file.error && rename(aside, path) != 0);
    sd_store(&server->dump.failed, file.error != 0);
    if (!file.error)
        return true;
    unlink(aside);
    return sd_complain("no dump to %s: %s", path, strerror(file.error));
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool
get(struct file *file, void *to, size_t size)
{
    if (size > file->bytes || fread(to, 1, size, file->stream) != size)
        return false;
    file->bytes -= size;
    file->sum = sum_of(file->sum, to, size);
    return true;
}

static const char *
read_head(struct file *file)
{
    struct file_head head;
    struct stat status;
    file->sum = SUM_BEGIN;
    rewind(file->stream);
    file->bytes = fstat(fileno(file->stream), &status) == 0 ? (uint64_t)status.st_size : 0;
    if (!get(file, &head, sizeof(head)))
        return "it is cut";
    if (memcmp(head.magic, magic, sizeof(magic)) != 0)
        return "it is no dump";
    if (head.version != VERSION || head.head_bytes != sizeof(head))
        return "it is of another version";
    file->time_ms = sd_most(file->time_ms, head.time_ms); /* a clock that was set back */
    return NULL;
}

/* What has expired, and what the cache has no place for, is left out. */
static void
load_item(struct sd_server *server, const struct item_head *head, const char *key,
          const char *value, uint64_t now_ms)
{
    bool over = head->expires_ms && head->expires_ms <= now_ms;
    uint64_t ttl_ms = head->expires_ms ? head->expires_ms - now_ms : 0;
    if (!over && sinter_cache_set(server->cache, key, head->key_size, value, head->size,
                                  head->flags, ttl_ms) == 0)
        (void)sd_add(&server->dump.loaded, 1);
}

/* `loads`: the file was checked before, and items go to the cache. Of a value that is too long for
 * this server nothing is kept. */
static bool
read_item(struct file *file, const struct item_head *head, bool loads)
{
    char key[SINTER_CACHE_KEY_MAX], *value;
    size_t most = sd_min(head->size, file->server->settings.value_most + 1);
    if (head->key_size > sizeof(key) || head->size == 0 || !(value = malloc(most)))
        return false;
    bool is_read = get(file, key, head->key_size);
    for (uint64_t left = head->size; left > 0 && is_read; left -= sd_min(left, most))
        is_read = get(file, value, sd_min(left, most));
    if (is_read && loads && head->size == most)
        load_item(file->server, head, key, value, file->time_ms);
    free(value);
    return is_read;
}

/* NULL, or what is wrong. */
static const char *
read_items(struct file *file, bool loads, uint64_t *cas)
{
    struct item_head head;
    uint64_t sum, own;
    const char *wrong = read_head(file);
    if (wrong)
        return wrong;
    for (file->items = 0;; file->items++) {
        if (!get(file, &head, sizeof(head)))
            return "it is cut";
        if (head.key_size == 0)
            break;
        if (!read_item(file, &head, loads))
            return "it is damaged";
    }
    own = file->sum;
    *cas = head.expires_ms;
    bool right = head.size == file->items && get(file, &sum, sizeof(sum)) && sum == own;
    return right && file->bytes == 0 ? NULL : "it is damaged";
}

/* A file is used once: after a crash its items would be there as they were,
 * also those that were deleted since. */
static const char *
load(struct file *file, const char *path)
{
    char text[24];
    uint64_t cas;
    const char *wrong = read_items(file, false, &cas);
    if (wrong)
        return wrong;
    if (unlink(path) != 0)
        return "it cannot be taken away";
    snprintf(text, sizeof(text), "%llu", (unsigned long long)cas);
    (void)sinter_cache_configure(file->server->cache, "cas_above", text);
    return read_items(file, true, &cas);
}

void
sd_dump_load(struct sd_server *server)
{
    const char *path = server->settings.dump_file;
    struct file file;
    const char *wrong =
        open_file(&file, server, path, O_RDONLY) ? load(&file, path) : strerror(file.error);
    close_file(&file);
    if (!wrong || file.error == ENOENT)
        return;
    (void)sinter_cache_clear(server->cache);
    server->dump.loaded = 0;
    server->dump.refused = true;
    sd_complain("nothing is taken from %s: %s", path, wrong);
}

/* ---- beside the server ----------------------------------------------------------------------- */

static void *
run(void *opaque)
{
    struct sd_server *server = opaque;
    rcu_register_thread();
    (void)sd_dump_write(server);
    rcu_unregister_thread();
    sd_store(&server->dump.running, false);
    return NULL;
}

void
sd_dump_join(struct sd_server *server)
{
    if (server->dump.started)
        pthread_join(server->dump.thread, NULL);
    server->dump.started = false;
}

void
sd_dump_begin(struct sd_server *server)
{
    if (!server->settings.dump_file || sd_load(&server->dump.running))
        return;
    sd_dump_join(server);
    sd_store(&server->dump.running, true);
    server->dump.started = pthread_create(&server->dump.thread, NULL, run, server) == 0;
    if (!server->dump.started)
        sd_store(&server->dump.running, false);
}
