/* SPDX-License-Identifier: MIT */
/*
 * stats.c - "stats" and its like. Names are memcached's where there is something of the kind here;
 * what tools look for and cannot be here is 0. What nobody else has is in "stats sinter", by the
 * names that the libraries print for Prometheus; for which there is the whole text, by HTTP.
 */
#include "server/stats.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define HTTP_MOST       8192u      /* bytes of a request's head */
#define CACHEDUMP_BYTES (2u << 20) /* after which no item is added, as memcached's */

/* ---- lines ----------------------------------------------------------------------------------- */

struct figure {
    const char *name;
    uint64_t value;
};

/* Up to one without a name. */
static void
put_figures(FILE *text, const char *prefix, const struct figure *figures)
{
    for (; figures->name; figures++)
        fprintf(text, "STAT %s%s %llu\r\n", prefix, figures->name,
                (unsigned long long)figures->value);
}
#define PUT(text, prefix, ...)                                                                     \
    put_figures(text, prefix, (const struct figure[]){__VA_ARGS__, {NULL, 0}})

static void
put_text(FILE *text, const char *name, const char *value)
{
    fprintf(text, "STAT %s %s\r\n", name, value);
}

/* Of words between spaces: what is not here, and tools look for. */
static void
put_zeros(FILE *text, const char *prefix, const char *names)
{
    for (size_t size; *names; names += size + (names[size] == ' ')) {
        size = strcspn(names, " ");
        fprintf(text, "STAT %s%.*s 0\r\n", prefix, (int)size, names);
    }
}

typedef void sd_stats_writer(const struct sd_request *request, FILE *text);

/* Answers with what is written, and `end` behind it. */
static enum sd_verdict
send_written(struct sd_request *request, sd_stats_writer *write, const char *end)
{
    char *bytes = NULL;
    size_t size = 0;
    FILE *text = open_memstream(&bytes, &size);
    if (text) {
        write(request, text);
        fputs(end, text);
    }
    bool written = text && fclose(text) == 0;
    enum sd_verdict verdict = written ? sd_make_room(request->output, size)
                                      : sd_answer(request, SD_OUT_OF_MEMORY " writing stats");
    if (written && verdict == SD_DONE)
        sd_put(request->output, bytes, size);
    free(bytes);
    return verdict;
}

static const struct sd_server *
server_of(const struct sd_request *request)
{
    return request->session->server;
}

/* ---- stats ----------------------------------------------------------------------------------- */

static const char not_here[] =
    "get_flushed slabs_moved lru_crawler_running lru_crawler_starts malloc_fails "
    "log_watchers slab_global_page_pool expired_unfetched evicted_unfetched "
    "evicted_active crawler_items_checked lrutail_reflocked moves_to_cold moves_to_warm "
    "moves_within_lru direct_reclaims hash_is_expanding lru_maintainer_juggles";

static void
put_process(const struct sd_server *server, FILE *text)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    PUT(text, "", {"pid", (uint64_t)getpid()},
        {"uptime", (sd_now_ms() - server->began_ms) / 1000 + 2}, {"time", (uint64_t)time(NULL)},
        {"pointer_size", 8 * sizeof(void *)});
    put_text(text, "version", SD_VERSION);
    fprintf(text, "STAT rusage_user %ld.%06ld\r\nSTAT rusage_system %ld.%06ld\r\n",
            (long)usage.ru_utime.tv_sec, (long)usage.ru_utime.tv_usec, (long)usage.ru_stime.tv_sec,
            (long)usage.ru_stime.tv_usec);
}

static void
put_cache(const struct sd_server *server, FILE *text)
{
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    unsigned power = 0;
    (void)sinter_cache_stats(server->cache, &stats);
    while (power < 63 && (stats.buckets * 7) >> (power + 1))
        power++;
    PUT(text, "", {"limit_maxbytes", sd_load(&server->settings.memory)},
        {"hash_power_level", power}, {"hash_bytes", stats.index_bytes}, {"bytes", stats.used_bytes},
        {"curr_items", stats.items}, {"total_items", stats.sets}, {"get_expired", stats.expired},
        {"evictions", stats.evicted + stats.crowded}, {"reclaimed", stats.expired},
        {"crawler_reclaimed", stats.expired});
}

static void
put_general(const struct sd_request *request, FILE *text)
{
    const struct sd_server *server = server_of(request);
    const struct sd_conn_counts *conns = &server->conns;
    struct sd_counts sum;
    sd_counts_sum(server, &sum);
    put_process(server, text);
    PUT(text, "", {"max_connections", server->settings.connections},
        {"curr_connections", sd_load(&conns->current)},
        {"total_connections", sd_load(&conns->total)},
        {"rejected_connections", sd_load(&conns->rejected)},
        {"connection_structures", sd_load(&conns->current)}, {"response_obj_oom", 0},
        {"read_buf_bytes", sd_pools_used(server)},
        {"read_buf_oom", sd_load(&server->beyond.refusals)},
        {"accepting_conns", sd_load(&conns->accepting)},
        {"listen_disabled_num", sd_load(&conns->listen_disabled)},
        {"time_in_listen_disabled_us", sd_load(&conns->listen_disabled_us)},
        {"threads", server->settings.threads});
#define COUNT(name) {#name, sum.name - sd_load(&server->since.name)},
    put_figures(text, "", (const struct figure[]){SD_COUNTS(COUNT){NULL, 0}});
#undef COUNT
    put_cache(server, text);
    put_zeros(text, "", not_here);
}

/* ---- stats settings -------------------------------------------------------------------------- */

static const char *
yes(bool value)
{
    return value ? "yes" : "no";
}

static const char *
path(const char *path, const char *none)
{
    return path ? path : none;
}

static void
put_settings(const struct sd_request *request, FILE *text)
{
    const struct sd_settings *settings = &server_of(request)->settings;
    const struct {
        const char *name, *value;
    } words[] = {
        {"inter", settings->listens ? settings->listen[0] : "127.0.0.1"},
        {"evictions", "on"},
        {"domain_socket", path(settings->unix_path, "NULL")},
        {"shutdown_command", yes(settings->may_shut_down)},
        {"detail_enabled", "no"},
        {"cas_enabled", "yes"},
        {"binding_protocol", "ascii"},
        {"auth_enabled_sasl", "no"},
        {"auth_enabled_ascii", path(settings->auth_file, "no")},
        {"maxconns_fast", "yes"},
        {"flush_enabled", yes(settings->may_flush)},
        {"dump_enabled", yes(settings->may_dump)},
        {"lru_crawler", "yes"},
        {"lru_maintainer_thread", "no"},
        {"memory_file", path(settings->dump_file, "(null)")},
    };
    PUT(text, "", {"maxbytes", sd_load(&settings->memory)}, {"maxconns", settings->connections},
        {"tcpport", settings->unix_path ? 0 : settings->port}, {"udpport", 0},
        {"verbosity", sd_load(&settings->verbose)}, {"num_threads", settings->threads},
        {"tcp_backlog", settings->backlog}, {"item_size_max", settings->value_most},
        {"lru_crawler_sleep", 0}, {"lru_crawler_tocrawl", 0},
        {"idle_timeout", settings->idle_seconds});
    fprintf(text, "STAT umask %o\r\n", settings->unix_mode);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        put_text(text, words[i].name, words[i].value);
}

/* ---- stats items, slabs, cachedump ----------------------------------------------------------- */

#define CLASSES_MOST 63 /* memcached has no more, and tools ask for these alone */

/** What clients see as a class: some of the store's sizes of slots, which are neighbours. */
struct class
{
    uint64_t slot_bytes; /* of the largest */
    uint64_t spans, slots, live, free;
    uint64_t live_bytes;
};

/* Result: how many there are. */
static int
read_classes(const struct sd_request *request, struct class classes[CLASSES_MOST])
{
    struct handle_class_stats *all = calloc(HANDLE_CLASSES_MAX, sizeof(*all));
    handle_store *store = sinter_cache_store(server_of(request)->cache);
    int count = all ? handle_store_class_stats(store, all, sizeof(*all), HANDLE_CLASSES_MAX) : 0;
    int each = 1 + (count - 1) / CLASSES_MOST;
    memset(classes, 0, CLASSES_MOST * sizeof(*classes));
    for (int i = 0; i < count; i++) {
        struct class *class = &classes[i / each];
        class->slot_bytes = all[i].slot_bytes;
        class->spans += all[i].spans;
        class->slots += all[i].spans * all[i].span_slots;
        class->live += all[i].live;
        class->free += all[i].free;
        class->live_bytes += all[i].live * all[i].slot_bytes;
    }
    free(all);
    return count > 0 ? 1 + (count - 1) / each : 0;
}

static const char item_zeros[] =
    "number_warm number_cold age_hot age_warm age evicted evicted_nonzero evicted_time "
    "outofmemory tailrepairs reclaimed expired_unfetched evicted_unfetched "
    "evicted_active crawler_reclaimed crawler_items_checked lrutail_reflocked "
    "moves_to_cold moves_to_warm moves_within_lru direct_reclaims hits_to_hot "
    "hits_to_warm hits_to_cold hits_to_temp";

static void
put_items(const struct sd_request *request, FILE *text)
{
    char prefix[24];
    struct class classes[CLASSES_MOST];
    int count = read_classes(request, classes);
    for (int i = 0; i < count; i++) {
        uint64_t live = classes[i].live;
        if (!live)
            continue;
        snprintf(prefix, sizeof(prefix), "items:%d:", i + 1);
        PUT(text, prefix, {"number", live}, {"number_hot", live},
            {"mem_requested", classes[i].live_bytes});
        put_zeros(text, prefix, item_zeros);
    }
}

static const char slab_zeros[] =
    "free_chunks_end get_hits cmd_set delete_hits incr_hits decr_hits cas_hits "
    "cas_badval touch_hits";

static void
put_slabs(const struct sd_request *request, FILE *text)
{
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    char prefix[24];
    unsigned active = 0;
    struct class classes[CLASSES_MOST];
    int count = read_classes(request, classes);
    for (int i = 0; i < count; i++) {
        const struct class *class = &classes[i];
        if (!class->spans)
            continue;
        active++;
        snprintf(prefix, sizeof(prefix), "%d:", i + 1);
        PUT(text, prefix, {"chunk_size", class->slot_bytes},
            {"chunks_per_page", class->slots / class->spans}, {"total_pages", class->spans},
            {"total_chunks", class->slots}, {"used_chunks", class->live},
            {"free_chunks", class->free}, {"mem_requested", class->live_bytes});
        put_zeros(text, prefix, slab_zeros);
    }
    (void)sinter_cache_stats(server_of(request)->cache, &stats);
    PUT(text, "", {"active_slabs", active}, {"total_malloced", stats.store_bytes});
}

/** What "stats cachedump" shows: items that take more bytes than `above` and up to `most`. */
struct shown {
    FILE *text;
    uint64_t above, most;
    uint32_t left; /* 0: as many as there is room for */
};

/* Keys that came in base64 are not shown. */
static int
put_item(void *opaque, const struct sinter_cache_view *item)
{
    struct shown *shown = opaque;
    const struct sinter_cache_info *info = &item->info;
    /* The library's: 12 bytes of item, 8 of header, 4 each for expiry and flags. */
    size_t head = 20 + (info->ttl_ms ? 4 : 0) + (info->flags ? 4 : 0);
    size_t bytes = head + item->key_size + info->size;
    if (bytes <= shown->above || bytes > shown->most || *(const char *)item->data & SD_BINARY)
        return 0;
    fprintf(shown->text, "ITEM %.*s [%zu b; %llu s]\r\n", (int)item->key_size,
            (const char *)item->key, (size_t)info->size - 1,
            info->ttl_ms ? (unsigned long long)time(NULL) + sd_ttl_seconds(info->ttl_ms) : 0);
    return --shown->left == 0 || ftell(shown->text) > (long)CACHEDUMP_BYTES;
}

static void
put_cachedump(const struct sd_request *request, FILE *text)
{
    struct shown shown = {.text = text};
    struct class classes[CLASSES_MOST];
    uint32_t id, count = (uint32_t)read_classes(request, classes);
    (void)sd_read_u32(request->line.word[2], &id);
    (void)sd_read_u32(request->line.word[3], &shown.left);
    if (id == 0 || id > count)
        return;
    shown.above = id > 1 ? classes[id - 2].slot_bytes : 0;
    shown.most = id < count ? classes[id - 1].slot_bytes : UINT64_MAX;
    (void)sinter_cache_walk(server_of(request)->cache, put_item, &shown);
}

static enum sd_verdict
cachedump(struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    uint32_t class, limit;
    if (!server_of(request)->settings.may_dump)
        return sd_answer(request, "CLIENT_ERROR stats cachedump not allowed");
    if (line->count < 4)
        return sd_answer(request, "CLIENT_ERROR bad command line");
    if (!sd_read_u32(line->word[2], &class) || !sd_read_u32(line->word[3], &limit))
        return sd_answer(request, SD_BAD_FORMAT);
    if (class > CLASSES_MOST)
        return sd_answer(request, "CLIENT_ERROR Illegal slab id");
    return send_written(request, put_cachedump, "END\r\n");
}

/* ---- stats sinter, metrics ------------------------------------------------------------------- */

static void
put_piece(void *opaque, const char *bytes, size_t size)
{
    (void)fwrite(bytes, 1, size, opaque);
}

/* What the libraries print. */
static void
print_metrics(const struct sd_server *server, FILE *text)
{
    (void)sinter_cache_print(server->cache, HANDLE_STATS_PROMETHEUS, put_piece, text);
    (void)handle_store_stats_print(sinter_cache_store(server->cache), HANDLE_STATS_PROMETHEUS,
                                   put_piece, text);
}

/* Those of the whole: of the labels only the first, the name, which is this program's. */
static void
put_metrics(const struct sd_server *server, FILE *text)
{
    char *bytes = NULL, *save;
    size_t size = 0;
    FILE *metrics = open_memstream(&bytes, &size);
    if (!metrics)
        return;
    print_metrics(server, metrics);
    if (fclose(metrics) == 0)
        for (char *line = strtok_r(bytes, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
            char *label = strchr(line, '{'), *value = strrchr(line, ' ');
            if (*line != '#' && label && value && !memchr(label, ',', (size_t)(value - label)))
                fprintf(text, "STAT %.*s%s\r\n", (int)(label - line), line, value);
        }
    free(bytes);
}

static void
put_sinter(const struct sd_request *request, FILE *text)
{
    const struct sd_server *server = server_of(request);
    const struct sd_dump *dump = &server->dump;
    struct handle_stats store = HANDLE_STATS_INIT;
    (void)handle_store_stats(sinter_cache_store(server->cache), &store);
    PUT(text, "", {"memory_limit", sd_load(&server->settings.memory)}, {"resident", store.resident},
        {"idle_reason", store.idle_reason}, {"shrink_reason", store.shrink_reason},
        {"cache_limit", sd_load(&server->cache_limit)}, {"own_most", sd_load(&server->own_most)},
        {"buffers", sd_pools_used(server)},
        {"buffers_limit", sd_load(&server->beyond.most) * server->settings.threads},
        {"dump_running", sd_load(&dump->running)}, {"dump_items", sd_load(&dump->items)},
        {"dump_bytes", sd_load(&dump->bytes)}, {"dump_failed", sd_load(&dump->failed)},
        {"dump_loaded", sd_load(&dump->loaded)}, {"dump_refused", dump->refused});
    put_metrics(server, text);
}

static void
put_http(const struct sd_request *request, FILE *text)
{
    const struct sd_server *server = server_of(request);
    struct sd_counts sum;
    sd_counts_sum(server, &sum);
    fputs("HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\n", text);
#define GAUGE(name, help, value)                                                                   \
    fprintf(text,                                                                                  \
            "# HELP sinterd_" name " " help "\n# TYPE sinterd_" name " gauge\n"                    \
            "sinterd_" name " %llu\n",                                                             \
            (unsigned long long)(value))
    GAUGE("memory_limit_bytes", "What resident memory is kept below.",
          sd_load(&server->settings.memory));
    GAUGE("buffer_bytes", "What connections' buffers take of it.", sd_pools_used(server));
    GAUGE("connections", "At present.", sd_load(&server->conns.current));
#undef GAUGE
    fputs("# HELP sinterd_stats_total Counters of the command stats, by their names there.\n"
          "# TYPE sinterd_stats_total counter\n",
          text);
#define COUNT(name)                                                                                \
    fprintf(text, "sinterd_stats_total{name=\"" #name "\"} %llu\n", (unsigned long long)sum.name);
    SD_COUNTS(COUNT)
#undef COUNT
    print_metrics(server, text);
}

/* One request; whoever sends another word than GET /metrics is no client of ours. */
enum sd_verdict
sd_metrics(struct sd_request *request)
{
    const struct sd_input *input = request->input;
    const struct sd_line *line = &request->line;
    const char *begin = input->data + input->at;
    size_t size = input->size - input->at;
    bool asked =
        line->count == 3 && sd_is(line->word[0], "GET") && sd_is(line->word[1], "/metrics");
    const char *end = memmem(begin, size, "\r\n\r\n", 4);
    if (!asked || !server_of(request)->settings.metrics || (!end && size > HTTP_MOST))
        return SD_CLOSE;
    if (!end)
        return SD_MORE;
    enum sd_verdict verdict = send_written(request, put_http, "");
    request->line.bytes = (size_t)(end - begin) + 4;
    return verdict == SD_DONE ? SD_CLOSE : verdict;
}

/* ---- the command ----------------------------------------------------------------------------- */

static const struct {
    const char *name;
    sd_stats_writer *write;
} kinds[] = {
    {"settings", put_settings}, {"items", put_items},   {"slabs", put_slabs},
    {"conns", sd_stat_conns},   {"sinter", put_sinter},
};

static enum sd_verdict
reset(struct sd_request *request)
{
    struct sd_server *server = request->session->server;
    struct sd_counts sum;
    sd_counts_sum(server, &sum);
#define STORE(name) sd_store(&server->since.name, sum.name);
    SD_COUNTS(STORE)
#undef STORE
    return sd_answer(request, "RESET");
}

/* Nothing is noted by prefix. */
static enum sd_verdict
detail(struct sd_request *request)
{
    struct sd_bytes what = sd_word(&request->line, 2);
    if (sd_is(what, "on") || sd_is(what, "off"))
        return sd_answer(request, "OK");
    if (sd_is(what, "dump"))
        return sd_answer(request, "END");
    return sd_answer(request, "CLIENT_ERROR usage: stats detail on|off|dump");
}

enum sd_verdict
sd_stats(struct sd_request *request)
{
    struct sd_bytes kind = sd_word(&request->line, 1);
    if (request->line.count < 2)
        return send_written(request, put_general, "END\r\n");
    if (sd_is(kind, "reset"))
        return reset(request);
    if (sd_is(kind, "detail"))
        return detail(request);
    if (sd_is(kind, "cachedump"))
        return cachedump(request);
    if (sd_is(kind, "sizes"))
        return sd_answer(request, "STAT sizes_status disabled\r\nEND");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (sd_is(kind, kinds[i].name))
            return send_written(request, kinds[i].write, "END\r\n");
    return sd_answer(request, "ERROR");
}
