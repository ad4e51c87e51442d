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
#include <time.h>
#include <unistd.h>

#define VERSION      1u
#define BUFFER_BYTES (512u << 10)        /* a multiple of the sum's words */
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
    int fd, error;
    char *buffer;
    size_t at, size; /* of the buffer */
    uint64_t sum, bytes;
    /* of a dump */
    struct sd_server *server;
    uint64_t items, cas, time_ms;
};

static uint64_t
time_of_day_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Of whole buffers, but for the last one. */
static uint64_t
sum_of(uint64_t sum, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, bytes + i, sd_min(size - i, sizeof(word)));
        sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        sum ^= sum >> 32;
    }
    return sum;
}

static bool
open_file(struct file *file, struct sd_server *server, const char *path, int flags)
{
    *file = (struct file){.server = server, .time_ms = time_of_day_ms()};
    file->fd = open(path, flags | O_CLOEXEC, 0600);
    file->buffer = file->fd < 0 ? NULL : malloc(BUFFER_BYTES);
    file->error = file->buffer ? 0 : errno;
    if (file->buffer)
        (void)sd_add(&server->beside, BUFFER_BYTES);
    return file->buffer != NULL;
}

static void
close_file(struct file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->buffer)
        sd_sub(&file->server->beside, BUFFER_BYTES);
    free(file->buffer);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void
write_all(struct file *file, const char *bytes, size_t size)
{
    while (size > 0 && !file->error) {
        ssize_t some = write(file->fd, bytes, size);
        if (some < 0 && errno != EINTR)
            file->error = errno;
        if (some > 0) {
            bytes += some;
            size -= (size_t)some;
        }
    }
}

static void
write_buffer(struct file *file)
{
    file->sum = sum_of(file->sum, file->buffer, file->size);
    write_all(file, file->buffer, file->size);
    file->bytes += file->size;
    sd_store(&file->server->dump.bytes, file->bytes);
    file->size = 0;
}

static void
put(struct file *file, const void *bytes, size_t size)
{
    const char *from = bytes;
    while (size > 0) {
        size_t some = sd_min(size, BUFFER_BYTES - file->size);
        memcpy(file->buffer + file->size, from, some);
        file->size += some;
        from += some;
        size -= some;
        if (file->size == BUFFER_BYTES)
            write_buffer(file);
    }
}

static int
put_item(void *opaque, const struct sinter_cache_view *item)
{
    struct file *file = opaque;
    struct sinter_cache_view view = *item;
    struct item_head head = {.size = view.info.size, .flags = view.info.flags};
    head.key_size = (uint32_t)view.key_size;
    head.expires_ms = view.info.ttl_ms ? file->time_ms + view.info.ttl_ms : 0;
    put(file, &head, sizeof(head));
    put(file, view.key, view.key_size);
    do
        put(file, view.data, view.data_size);
    while (view.data_size < view.info.size && sinter_cache_next(file->server->cache, &view));
    file->items++;
    sd_store(&file->server->dump.items, file->items);
    return -file->error;
}

/* Most is written here, outside of sections: by halves of the buffer, as whole words. */
static int
between(void *opaque)
{
    struct file *file = opaque;
    size_t whole = file->size / sizeof(uint64_t) * sizeof(uint64_t), rest = file->size - whole;
    if (whole < BUFFER_BYTES / 2)
        return 0;
    file->size = whole;
    char left[sizeof(uint64_t)];
    memcpy(left, file->buffer + whole, rest);
    write_buffer(file);
    memcpy(file->buffer, left, rest);
    file->size = rest;
    file->time_ms = time_of_day_ms(); /* times to live are as of now */
    return -file->error;
}

/* Numbers also of items that have gone. */
static uint64_t
last_cas(const struct sd_server *server)
{
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    (void)sinter_cache_stats(server->cache, &stats);
    return stats.last_cas;
}

static void
put_end(struct file *file)
{
    uint64_t margin = file->server->workers ? CAS_MARGIN : 0;
    struct item_head end = {.size = file->items, .expires_ms = last_cas(file->server) + margin};
    put(file, &end, sizeof(end));
    write_buffer(file);
    write_all(file, (const char *)&file->sum, sizeof(file->sum));
    if (!file->error && fsync(file->fd) != 0)
        file->error = errno;
}

static void
write_items(struct file *file)
{
    struct file_head head = {.version = VERSION, .head_bytes = sizeof(head)};
    memcpy(head.magic, magic, sizeof(magic));
    head.time_ms = file->time_ms;
    put(file, &head, sizeof(head));
    (void)sinter_cache_walk_pausing(file->server->cache, put_item, between, file);
    put_end(file);
}

static bool
complain(const char *what, const char *path, const char *why)
{
    fprintf(stderr, "sinterd: %s %s: %s\n", what, path, why);
    return false;
}

bool
sd_dump_write(struct sd_server *server)
{
    const char *path = server->settings.dump_file;
    char aside[4096];
    struct file file;
    if ((size_t)snprintf(aside, sizeof(aside), "%s.new", path) >= sizeof(aside))
        return complain("no dump to", path, strerror(ENAMETOOLONG));
    unlink(aside);
    if (open_file(&file, server, aside, O_WRONLY | O_CREAT | O_EXCL))
        write_items(&file);
    close_file(&file);
    if (!file.error && rename(aside, path) != 0)
        file.error = errno;
    sd_store(&server->dump.failed, file.error != 0);
    if (!file.error)
        return true;
    unlink(aside);
    return complain("no dump to", path, strerror(file.error));
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The last 8 bytes of the file, its sum, are not read as any others. */
static void
fill(struct file *file)
{
    file->at = file->size = 0;
    while (file->size < BUFFER_BYTES && file->bytes > 0 && !file->error) {
        ssize_t some = read(file->fd, file->buffer + file->size,
                            sd_min(BUFFER_BYTES - file->size, file->bytes));
        if (some == 0 || (some < 0 && errno != EINTR))
            file->error = some ? errno : EPIPE;
        if (some > 0) {
            file->size += (size_t)some;
            file->bytes -= (uint64_t)some;
        }
    }
    file->sum = sum_of(file->sum, file->buffer, file->size);
}

/* NULL for bytes that are passed over. */
static bool
get(struct file *file, void *to, size_t size)
{
    char *at = to;
    while (size > 0) {
        if (file->at == file->size)
            fill(file);
        size_t some = sd_min(size, file->size - file->at);
        if (some == 0)
            return false;
        if (at) {
            memcpy(at, file->buffer + file->at, some);
            at += some;
        }
        file->at += some;
        size -= some;
    }
    return true;
}

static const char *
read_head(struct file *file)
{
    struct file_head head;
    off_t size = lseek(file->fd, 0, SEEK_END);
    file->sum = file->at = file->size = 0;
    file->bytes = size > (off_t)sizeof(file->sum) ? (uint64_t)size - sizeof(file->sum) : 0;
    if (lseek(file->fd, 0, SEEK_SET) != 0 || !get(file, &head, sizeof(head)))
        return "it is cut";
    if (memcmp(head.magic, magic, sizeof(magic)) != 0)
        return "it is no dump";
    if (head.version != VERSION || head.head_bytes != sizeof(head))
        return "it is of another version";
    file->time_ms = sd_most(file->time_ms, head.time_ms); /* a clock that was set back */
    return NULL;
}

static bool
sum_is_right(struct file *file)
{
    uint64_t sum;
    return file->bytes == 0 && file->at == file->size &&
           read(file->fd, &sum, sizeof(sum)) == (ssize_t)sizeof(sum) && sum == file->sum;
}

/* Calls `take` (which reads key and value) for each item. NULL, or what is wrong. */
static const char *
read_items(struct file *file, bool (*take)(struct file *file, const struct item_head *head))
{
    struct item_head head;
    const char *wrong = read_head(file);
    for (file->items = 0; !wrong; file->items++) {
        if (!get(file, &head, sizeof(head)))
            return "it is cut";
        if (head.key_size == 0)
            break;
        if (head.key_size > SINTER_CACHE_KEY_MAX || head.size == 0 ||
            head.size > file->bytes + file->size || !take(file, &head))
            return "it is damaged";
    }
    file->cas = wrong ? 0 : head.expires_ms;
    return wrong ? wrong : head.size != file->items || !sum_is_right(file) ? "it is damaged" : NULL;
}

static bool
pass_over(struct file *file, const struct item_head *head)
{
    return get(file, NULL, head->key_size) && get(file, NULL, head->size);
}

/* What has expired, and what the cache has no place for, is left out. */
static bool
load_item(struct file *file, const struct item_head *head)
{
    char key[SINTER_CACHE_KEY_MAX];
    struct sd_buffer value;
    struct sd_server *server = file->server;
    bool over = head->expires_ms && head->expires_ms <= file->time_ms;
    if (over || head->size - 1 > server->settings.value_most)
        return pass_over(file, head);
    if (!sd_buffer_open(&value, head->size))
        return false;
    bool is_read = get(file, key, head->key_size) && get(file, value.data, head->size);
    uint64_t ttl_ms = head->expires_ms ? head->expires_ms - file->time_ms : 0;
    if (is_read && sinter_cache_set(server->cache, key, head->key_size, value.data, head->size,
                                    head->flags, ttl_ms) == 0)
        (void)sd_add(&server->dump.loaded, 1);
    sd_buffer_free(&value);
    return is_read;
}

static void
keep_cas(struct sd_server *server, uint64_t cas)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)cas);
    (void)sinter_cache_configure(server->cache, "cas_above", text);
}

/* A file is used once: after a crash its items would be there as they were, also those that were
 * deleted since. */
static const char *
load(struct file *file, const char *path)
{
    const char *wrong = read_items(file, pass_over);
    if (wrong)
        return wrong;
    if (unlink(path) != 0)
        return "it cannot be taken away";
    keep_cas(file->server, file->cas);
    return read_items(file, load_item);
}

void
sd_dump_load(struct sd_server *server)
{
    const char *path = server->settings.dump_file;
    struct file file;
    bool is_open = open_file(&file, server, path, O_RDONLY);
    const char *wrong = is_open                ? load(&file, path)
                        : file.error == ENOENT ? NULL
                                               : strerror(file.error);
    close_file(&file);
    if (!wrong)
        return;
    (void)sinter_cache_clear(server->cache);
    server->dump.loaded = 0;
    server->dump.refused = true;
    complain("nothing is taken from", path, wrong);
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
