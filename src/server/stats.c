/* SPDX-License-Identifier: MIT */
/*
 * stats.c - "stats" and its like. Names are memcached's where there is something of the kind here;
 * what tools look for and cannot be here is 0. What nobody else has is in "stats sinter".
 */
#include "server/stats.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define LINE_MOST 4300u /* bytes; the longest have a path */

/* ---- text ------------------------------------------------------------------------------------ */

static bool
reserve(struct sd_text *text, size_t more)
{
    if (text->failed || text->room - text->size >= more)
        return !text->failed;
    size_t room = 2 * text->room + more;
    char *data = realloc(text->data, room);
    text->failed = data == NULL;
    if (data) {
        text->data = data;
        text->room = room;
    }
    return data != NULL;
}

static void __attribute__((format(printf, 2, 0)))
add_formatted(struct sd_text *text, const char *format, va_list arguments)
{
    if (!reserve(text, LINE_MOST))
        return;
    int size = vsnprintf(text->data + text->size, LINE_MOST - 2, format, arguments);
    text->size += size < 0 ? 0 : sd_min((size_t)size, LINE_MOST - 3);
}

static void __attribute__((format(printf, 2, 3))) add(struct sd_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_formatted(text, format, arguments);
    va_end(arguments);
}

void
sd_stat(struct sd_text *text, const char *name, const char *format, ...)
{
    va_list arguments;
    add(text, "STAT %s ", name);
    va_start(arguments, format);
    add_formatted(text, format, arguments);
    va_end(arguments);
    add(text, "\r\n");
}

void
sd_stat_u64(struct sd_text *text, const char *name, uint64_t value)
{
    add(text, "STAT %s %llu\r\n", name, (unsigned long long)value);
}

static enum sd_verdict
send_now(struct sd_output *output, const struct sd_text *text)
{
    if (text->size <= output->room) {
        if (!sd_output_room(output, text->size))
            return SD_FULL;
        sd_put(output, text->data, text->size);
        return SD_DONE;
    }
    if (!output->grow(output, text->size))
        return SD_LATER;
    memcpy(output->pending.data + output->pending.size, text->data, text->size);
    output->pending.size += text->size;
    return SD_DONE;
}

enum sd_verdict
sd_send_text(struct sd_session *session, struct sd_request *request, struct sd_text *text)
{
    if (text->failed)
        return sd_answer(session, request, "SERVER_ERROR out of memory writing stats");
    enum sd_verdict verdict = send_now(request->output, text);
    free(text->data);
    return verdict;
}

/* ---- stats ----------------------------------------------------------------------------------- */

/* Of words between spaces: what is not here, and tools look for. */
static void
add_zeros(struct sd_text *text, const char *prefix, const char *names)
{
    for (size_t size; *names; names += size + (names[size] == ' ')) {
        size = strcspn(names, " ");
        add(text, "STAT %s%.*s 0\r\n", prefix, (int)size, names);
    }
}

static void
add_process(const struct sd_server *server, struct sd_text *text)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    sd_stat(text, "pid", "%ld", (long)getpid());
    sd_stat_u64(text, "uptime", (sd_now_ms() - server->began_ms) / 1000 + 2);
    sd_stat(text, "time", "%lld", (long long)time(NULL));
    sd_stat(text, "version", "%s", SD_VERSION);
    sd_stat(text, "pointer_size", "%zu", 8 * sizeof(void *));
    sd_stat(text, "rusage_user", "%ld.%06ld", (long)usage.ru_utime.tv_sec,
            (long)usage.ru_utime.tv_usec);
    sd_stat(text, "rusage_system", "%ld.%06ld", (long)usage.ru_stime.tv_sec,
            (long)usage.ru_stime.tv_usec);
}

static void
add_connections(const struct sd_server *server, struct sd_text *text)
{
    const struct sd_conn_counts *conns = &server->conns;
    sd_stat_u64(text, "max_connections", server->settings.connections);
    sd_stat_u64(text, "curr_connections", sd_load(&conns->current));
    sd_stat_u64(text, "total_connections", sd_load(&conns->total));
    sd_stat_u64(text, "rejected_connections", sd_load(&conns->rejected));
    sd_stat_u64(text, "connection_structures", sd_load(&conns->current));
    sd_stat_u64(text, "response_obj_oom", 0);
    sd_stat_u64(text, "read_buf_bytes", sd_pools_used(server));
    sd_stat_u64(text, "read_buf_oom", sd_load(&server->beyond.refusals));
    sd_stat_u64(text, "accepting_conns", sd_load(&conns->accepting));
    sd_stat_u64(text, "listen_disabled_num", sd_load(&conns->listen_disabled));
    sd_stat_u64(text, "time_in_listen_disabled_us", sd_load(&conns->listen_disabled_us));
    sd_stat_u64(text, "threads", server->settings.threads);
}

static void
add_counts(const struct sd_server *server, struct sd_text *text)
{
    struct sd_counts sum;
    sd_counts_sum(server, &sum);
#define ADD(name) sd_stat_u64(text, #name, sum.name - sd_load(&server->since.name));
    SD_COUNTS(ADD)
#undef ADD
}

static const char not_here[] =
    "get_flushed slabs_moved lru_crawler_running lru_crawler_starts malloc_fails "
    "log_watchers slab_global_page_pool expired_unfetched evicted_unfetched "
    "evicted_active crawler_items_checked lrutail_reflocked moves_to_cold moves_to_warm "
    "moves_within_lru direct_reclaims hash_is_expanding lru_maintainer_juggles";

static void
add_cache(const struct sd_server *server, struct sd_text *text)
{
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    if (sinter_cache_stats(server->cache, &stats) != 0)
        return;
    unsigned power = 0;
    while (power < 63 && (stats.buckets * 7) >> (power + 1))
        power++;
    sd_stat_u64(text, "limit_maxbytes", sd_load(&server->settings.memory));
    sd_stat_u64(text, "hash_power_level", power);
    sd_stat_u64(text, "hash_bytes", stats.index_bytes);
    sd_stat_u64(text, "bytes", stats.used_bytes);
    sd_stat_u64(text, "curr_items", stats.items);
    sd_stat_u64(text, "total_items", stats.sets);
    sd_stat_u64(text, "get_expired", stats.expired);
    sd_stat_u64(text, "evictions", stats.evicted + stats.crowded);
    sd_stat_u64(text, "reclaimed", stats.expired);
    sd_stat_u64(text, "crawler_reclaimed", stats.expired);
}

static void
add_general(const struct sd_server *server, struct sd_text *text)
{
    add_process(server, text);
    add_connections(server, text);
    add_counts(server, text);
    add_cache(server, text);
    add_zeros(text, "", not_here);
}

/* ---- stats settings -------------------------------------------------------------------------- */

static const char *
yes(bool value)
{
    return value ? "yes" : "no";
}

static void
add_settings(const struct sd_server *server, struct sd_text *text)
{
    const struct sd_settings *settings = &server->settings;
    sd_stat_u64(text, "maxbytes", sd_load(&settings->memory));
    sd_stat_u64(text, "maxconns", settings->connections);
    sd_stat(text, "tcpport", "%d", settings->unix_path ? 0 : settings->port);
    sd_stat_u64(text, "udpport", 0);
    sd_stat(text, "inter", "%s", settings->listens ? settings->listen[0] : "127.0.0.1");
    sd_stat_u64(text, "verbosity", sd_load(&settings->verbose));
    sd_stat(text, "evictions", "on");
    sd_stat(text, "domain_socket", "%s", settings->unix_path ? settings->unix_path : "NULL");
    sd_stat(text, "umask", "%o", settings->unix_mode);
    sd_stat(text, "shutdown_command", "%s", yes(settings->may_shut_down));
    sd_stat_u64(text, "num_threads", settings->threads);
    sd_stat(text, "detail_enabled", "no");
    sd_stat(text, "cas_enabled", "yes");
    sd_stat_u64(text, "tcp_backlog", settings->backlog);
    sd_stat(text, "binding_protocol", "ascii");
    sd_stat(text, "auth_enabled_sasl", "no");
    sd_stat(text, "auth_enabled_ascii", "%s", settings->auth_file ? settings->auth_file : "no");
    sd_stat_u64(text, "item_size_max", settings->value_most);
    sd_stat(text, "maxconns_fast", "yes");
    sd_stat(text, "flush_enabled", "%s", yes(settings->may_flush));
    sd_stat(text, "dump_enabled", "%s", yes(settings->may_dump));
    sd_stat(text, "lru_crawler", "yes");
    sd_stat_u64(text, "lru_crawler_sleep", 0);
    sd_stat_u64(text, "lru_crawler_tocrawl", 0);
    sd_stat(text, "lru_maintainer_thread", "no");
    sd_stat_u64(text, "idle_timeout", settings->idle_seconds);
    sd_stat(text, "memory_file", "%s", settings->dump_file ? settings->dump_file : "(null)");
}

/* ---- stats items, slabs ---------------------------------------------------------------------- */

/* A class here is one of the store's sizes of slots. */
static uint32_t
read_classes(const struct sd_server *server, struct handle_class_stats **classes)
{
    *classes = calloc(HANDLE_CLASSES_MAX, sizeof(**classes));
    if (!*classes)
        return 0;
    int count = handle_store_class_stats(sinter_cache_store(server->cache), *classes,
                                         sizeof(**classes), HANDLE_CLASSES_MAX);
    return count < 0 ? 0 : (uint32_t)count;
}

static void
add_of_class(struct sd_text *text, const char *prefix, uint32_t class, const char *name,
             uint64_t value)
{
    add(text, "STAT %s%u:%s %llu\r\n", prefix, class + 1, name, (unsigned long long)value);
}

static const char item_zeros[] =
    "number_warm number_cold age_hot age_warm age evicted evicted_nonzero evicted_time "
    "outofmemory tailrepairs reclaimed expired_unfetched evicted_unfetched "
    "evicted_active crawler_reclaimed crawler_items_checked lrutail_reflocked "
    "moves_to_cold moves_to_warm moves_within_lru direct_reclaims hits_to_hot "
    "hits_to_warm hits_to_cold hits_to_temp";

static void
add_items_class(struct sd_text *text, uint32_t i, const struct handle_class_stats *class)
{
    char prefix[24];
    add_of_class(text, "items:", i, "number", class->live);
    add_of_class(text, "items:", i, "number_hot", class->live);
    add_of_class(text, "items:", i, "mem_requested", class->live * class->slot_bytes);
    snprintf(prefix, sizeof(prefix), "items:%u:", i + 1);
    add_zeros(text, prefix, item_zeros);
}

static void
add_items(const struct sd_server *server, struct sd_text *text)
{
    struct handle_class_stats *classes;
    uint32_t count = read_classes(server, &classes);
    for (uint32_t i = 0; i < count; i++)
        if (classes[i].live)
            add_items_class(text, i, &classes[i]);
    free(classes);
}

static const char slab_zeros[] =
    "free_chunks_end get_hits cmd_set delete_hits incr_hits decr_hits cas_hits "
    "cas_badval touch_hits";

static void
add_slabs_class(struct sd_text *text, uint32_t i, const struct handle_class_stats *class)
{
    char prefix[24];
    add_of_class(text, "", i, "chunk_size", class->slot_bytes);
    add_of_class(text, "", i, "chunks_per_page", class->span_slots);
    add_of_class(text, "", i, "total_pages", class->spans);
    add_of_class(text, "", i, "total_chunks", class->spans * class->span_slots);
    add_of_class(text, "", i, "used_chunks", class->live);
    add_of_class(text, "", i, "free_chunks", class->free);
    add_of_class(text, "", i, "mem_requested", class->live * class->slot_bytes);
    snprintf(prefix, sizeof(prefix), "%u:", i + 1);
    add_zeros(text, prefix, slab_zeros);
}

static void
add_slabs(const struct sd_server *server, struct sd_text *text)
{
    struct handle_class_stats *classes;
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    uint32_t count = read_classes(server, &classes), active = 0;
    for (uint32_t i = 0; i < count; i++)
        if (classes[i].spans) {
            add_slabs_class(text, i, &classes[i]);
            active++;
        }
    free(classes);
    (void)sinter_cache_stats(server->cache, &stats);
    sd_stat_u64(text, "active_slabs", active);
    sd_stat_u64(text, "total_malloced", stats.store_bytes);
}

/* ---- stats sinter ---------------------------------------------------------------------------- */

static void
add_limits(const struct sd_server *server, struct sd_text *text, handle_store *of)
{
    struct handle_stats store = HANDLE_STATS_INIT;
    (void)handle_store_stats(of, &store);
    sd_stat_u64(text, "memory_limit", sd_load(&server->settings.memory));
    sd_stat_u64(text, "resident", store.resident);
    sd_stat_u64(text, "idle_reason", store.idle_reason);
    sd_stat_u64(text, "shrink_reason", store.shrink_reason);
    sd_stat_u64(text, "cache_limit", sd_load(&server->cache_limit));
    sd_stat_u64(text, "own_most", sd_load(&server->own_most));
    sd_stat_u64(text, "buffers", sd_pools_used(server));
    sd_stat_u64(text, "buffers_limit", sd_load(&server->pools[0].most) * server->settings.threads);
}

static void
add_dump(const struct sd_server *server, struct sd_text *text)
{
    const struct sd_dump *dump = &server->dump;
    sd_stat_u64(text, "dump_running", sd_load(&dump->running));
    sd_stat_u64(text, "dump_items", sd_load(&dump->items));
    sd_stat_u64(text, "dump_bytes", sd_load(&dump->bytes));
    sd_stat_u64(text, "dump_failed", sd_load(&dump->failed));
    sd_stat_u64(text, "dump_loaded", sd_load(&dump->loaded));
    sd_stat_u64(text, "dump_refused", dump->refused);
}

static void
keep_metrics(void *opaque, const char *bytes, size_t size)
{
    struct sd_text *text = opaque;
    if (!reserve(text, size + 1))
        return;
    memcpy(text->data + text->size, bytes, size);
    text->data[text->size + size] = 0;
    text->size += size;
}

/* Those of the whole: of the labels only the first, the name, which is this program's. */
static void
add_metrics(struct sd_text *text, const struct sd_text *metrics)
{
    for (char *save, *line = strtok_r(metrics->data, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        char *label = strchr(line, '{'), *value = strrchr(line, ' ');
        if (*line != '#' && label && value && !memchr(label, ',', (size_t)(value - label)))
            add(text, "STAT %.*s%s\r\n", (int)(label - line), line, value);
    }
}

/* As the libraries print them for Prometheus, so that they have one name everywhere. */
static void
add_sinter(const struct sd_server *server, struct sd_text *text)
{
    handle_store *store = sinter_cache_store(server->cache);
    struct sd_text metrics = {.size = 0};
    add_limits(server, text, store);
    add_dump(server, text);
    if (sinter_cache_print(server->cache, HANDLE_STATS_PROMETHEUS, keep_metrics, &metrics) == 0 &&
        handle_store_stats_print(store, HANDLE_STATS_PROMETHEUS, keep_metrics, &metrics) == 0 &&
        !metrics.failed)
        add_metrics(text, &metrics);
    free(metrics.data);
}

/* ---- the command ----------------------------------------------------------------------------- */

static void
add_sizes(const struct sd_server *server, struct sd_text *text)
{
    (void)server;
    sd_stat(text, "sizes_status", "disabled");
}

static const struct {
    const char *name;
    void (*write)(const struct sd_server *server, struct sd_text *text);
} kinds[] = {
    {"settings", add_settings}, {"items", add_items},   {"slabs", add_slabs},
    {"conns", sd_stat_conns},   {"sinter", add_sinter}, {"sizes", add_sizes},
};

static enum sd_verdict
reset(struct sd_session *session, struct sd_request *request)
{
    struct sd_counts sum, *since = &session->server->since;
    sd_counts_sum(session->server, &sum);
#define STORE(name) sd_store(&since->name, sum.name);
    SD_COUNTS(STORE)
#undef STORE
    return sd_answer(session, request, "RESET");
}

/* Nothing is noted by prefix. */
static enum sd_verdict
detail(struct sd_session *session, struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    const struct sd_token *what = &line->token[2];
    if (line->count > 2 && (SD_IS(what, "on") || SD_IS(what, "off")))
        return sd_answer(session, request, "OK");
    if (line->count > 2 && SD_IS(what, "dump"))
        return sd_answer(session, request, "END");
    return sd_answer(session, request, "CLIENT_ERROR usage: stats detail on|off|dump");
}

static enum sd_verdict
send_kind(struct sd_session *session, struct sd_request *request,
          void (*write)(const struct sd_server *server, struct sd_text *text))
{
    struct sd_text text = {.size = 0};
    write(session->server, &text);
    add(&text, "END\r\n");
    return sd_send_text(session, request, &text);
}

enum sd_verdict
sd_command_stats(struct sd_session *session, struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    const struct sd_token *kind = &line->token[1];
    if (line->count < 2)
        return send_kind(session, request, add_general);
    if (SD_IS(kind, "reset"))
        return reset(session, request);
    if (SD_IS(kind, "detail"))
        return detail(session, request);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (sd_token_is(kind, kinds[i].name, strlen(kinds[i].name)))
            return send_kind(session, request, kinds[i].write);
    return sd_answer(session, request, "ERROR");
}
