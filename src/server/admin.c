/* SPDX-License-Identifier: MIT */
/*
 * admin.c - commands on the server. What sets memcached's slabs and LRU is checked as there, and
 * has no effect: tools send it.
 */
#include "server/limit.h"
#include "server/session.h"

static bool
word_is(const struct sd_line *line, unsigned i, const char *word)
{
    return sd_is(sd_word(line, i), word);
}

static bool
number_at(const struct sd_line *line, unsigned i, uint32_t *number)
{
    return sd_read_u32(sd_word(line, i), number);
}

/* ---- flush_all, version, verbosity, quit, shutdown ------------------------------------------- */

static enum sd_verdict
command_flush_all(struct sd_request *request)
{
    struct sd_server *server = request->session->server;
    int32_t seconds = 0;
    bool quiet = sd_take_noreply(request);
    sd_count(&request->session->counts->cmd_flush, 1);
    if (!server->settings.may_flush)
        return sd_answer(request, "CLIENT_ERROR flush_all not allowed");
    if (request->line.count != (quiet ? 2 : 1) &&
        !sd_read_i32(sd_word(&request->line, 1), &seconds))
        return sd_answer(request, "CLIENT_ERROR invalid exptime argument");
    struct sd_ttl ttl = sd_ttl_of(seconds);
    bool later = ttl.ms && !ttl.over;
    sd_store(&server->flush_at_ms, later ? sd_now_ms() + ttl.ms : 0);
    if (!later)
        (void)sinter_cache_clear(server->cache);
    return sd_answer(request, "OK");
}

static enum sd_verdict
command_version(struct sd_request *request)
{
    return sd_answer(request, "VERSION " SD_VERSION);
}

static enum sd_verdict
command_verbosity(struct sd_request *request)
{
    uint32_t level;
    sd_take_noreply(request);
    if (!number_at(&request->line, 1, &level))
        return sd_answer(request, SD_BAD_FORMAT);
    sd_store(&request->session->server->settings.verbose, level > 2 ? 2 : level);
    return sd_answer(request, "OK");
}

static enum sd_verdict
command_quit(struct sd_request *request)
{
    (void)request;
    return SD_CLOSE;
}

static enum sd_verdict
command_shutdown(struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    struct sd_server *server = request->session->server;
    if (!server->settings.may_shut_down)
        return sd_answer(request, "ERROR: shutdown not enabled");
    if (line->count != 1 && !(line->count == 2 && word_is(line, 1, "graceful")))
        return sd_answer(request, "CLIENT_ERROR invalid shutdown mode");
    sd_store(&server->stop, true);
    sd_server_wake(server);
    return SD_CLOSE;
}

/* ---- the limit ------------------------------------------------------------------------------- */

static enum sd_verdict
command_cache_memlimit(struct sd_request *request)
{
    uint32_t mib;
    sd_take_noreply(request);
    if (!number_at(&request->line, 1, &mib))
        return sd_answer(request, "ERROR");
    if (mib < 8)
        return sd_answer(request, "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m");
    if (mib > 1000000000)
        return sd_answer(request, "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes");
    bool done = sd_limit_change(request->session->server, (uint64_t)mib << 20);
    return sd_answer(request,
                     done ? "OK" : "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust");
}

/* ---- what has no effect ---------------------------------------------------------------------- */

static enum sd_verdict
command_slabs(struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    uint32_t from, to;
    if (line->count == 4 && word_is(line, 1, "reassign"))
        return sd_answer(
            request, number_at(line, 2, &from) && number_at(line, 3, &to) ? "OK" : SD_BAD_FORMAT);
    if (line->count < 3 || !word_is(line, 1, "automove"))
        return sd_answer(request, "ERROR");
    sd_take_noreply(request);
    if (word_is(line, 2, "ratio"))
        return sd_answer(request, line->count > 3 ? "OK" : "ERROR");
    if (!number_at(line, 2, &to))
        return sd_answer(request, SD_BAD_FORMAT);
    return sd_answer(request, to <= 2 ? "OK" : "ERROR");
}

static enum sd_verdict
command_lru(struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    uint32_t hot, warm;
    sd_take_noreply(request);
    bool tunes = word_is(line, 1, "tune") && line->count >= 6 && number_at(line, 2, &hot) &&
                 number_at(line, 3, &warm);
    if (tunes && hot + warm > 80)
        return sd_answer(request, "ERROR hot and warm pcts must not exceed 80");
    bool known =
        tunes || (word_is(line, 1, "temp_ttl") && number_at(line, 2, &hot)) ||
        (word_is(line, 1, "mode") && (word_is(line, 2, "flat") || word_is(line, 2, "segmented")));
    return sd_answer(request, known ? "OK" : "ERROR");
}

static enum sd_verdict
command_lru_crawler(struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    bool sleep = word_is(line, 1, "sleep");
    uint32_t number;
    if (line->count == 2 && (word_is(line, 1, "enable") || word_is(line, 1, "disable")))
        return sd_answer(request, "OK");
    if (line->count != 3)
        return sd_answer(request, "ERROR");
    if (word_is(line, 1, "metadump"))
        return sd_answer(request, "ERROR metadump not allowed");
    if (!sleep && !word_is(line, 1, "tocrawl"))
        return sd_answer(request, word_is(line, 1, "crawl") ? "OK" : "ERROR");
    if (!number_at(line, 2, &number))
        return sd_answer(request, SD_BAD_FORMAT);
    return sd_answer(request, sleep && number > 1000000
                                  ? "CLIENT_ERROR sleep must be one second or less"
                                  : "OK");
}

static enum sd_verdict
command_watch(struct sd_request *request)
{
    sd_take_noreply(request);
    return sd_answer(request, "CLIENT_ERROR watch commands not allowed");
}

const struct sd_command sd_admin_commands[] = {
    {"stats", 1, SD_ANY, sd_stats, 0},
    {"version", 1, SD_ANY, command_version, 0},
    {"flush_all", 1, 3, command_flush_all, 0},
    {"verbosity", 2, 3, command_verbosity, 0},
    {"quit", 1, SD_ANY, command_quit, 0},
    {"shutdown", 1, SD_ANY, command_shutdown, 0},
    {"cache_memlimit", 2, 3, command_cache_memlimit, 0},
    {"slabs", 1, SD_ANY, command_slabs, 0},
    {"lru", 2, SD_ANY, command_lru, 0},
    {"lru_crawler", 1, SD_ANY, command_lru_crawler, 0},
    {"watch", 1, SD_ANY, command_watch, 0},
    {NULL, 0, 0, NULL, 0},
};
