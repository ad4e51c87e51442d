/* SPDX-License-Identifier: MIT */
/*
 * admin.c - commands on the server. What sets memcached's slabs and LRU is checked as there, and
 * has no effect: tools send it.
 */
#include <signal.h>
#include <stdio.h>

#include "server/limit.h"
#include "server/stats.h"

static bool
word_is(const struct sd_line *line, unsigned i, const char *word)
{
    return i < line->count && sd_token_is(&line->token[i], word, strlen(word));
}

static bool
read_u32_at(const struct sd_line *line, unsigned i, uint32_t *number)
{
    *number = 0;
    return i < line->count && sd_read_u32(line->token[i].text, line->token[i].size, number);
}

/* ---- flush_all ------------------------------------------------------------------------------- */

static void
flush(struct sd_server *server, int32_t seconds)
{
    struct sd_ttl ttl = sd_ttl_of(seconds);
    if (ttl.ms && !ttl.over) {
        sd_store(&server->flush_at_ms, sd_now_ms() + ttl.ms);
        return;
    }
    sd_store(&server->flush_at_ms, 0);
    sd_server_flush(server);
}

static enum sd_verdict
command_flush_all(struct sd_session *session, struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    int32_t seconds = 0;
    bool quiet = sd_take_noreply(session, request);
    sd_count(&session->counts->cmd_flush, 1);
    if (!session->server->settings.may_flush)
        return sd_answer(session, request, "CLIENT_ERROR flush_all not allowed");
    if (line->count != (quiet ? 2 : 1) &&
        !sd_read_i32(line->token[1].text, line->token[1].size, &seconds))
        return sd_answer(session, request, "CLIENT_ERROR invalid exptime argument");
    flush(session->server, seconds);
    return sd_answer(session, request, "OK");
}

/* ---- version, verbosity, quit, shutdown ------------------------------------------------------ */

static enum sd_verdict
command_version(struct sd_session *session, struct sd_request *request)
{
    return sd_answer(session, request, "VERSION " SD_VERSION);
}

static enum sd_verdict
command_verbosity(struct sd_session *session, struct sd_request *request)
{
    uint32_t level;
    sd_take_noreply(session, request);
    if (!read_u32_at(&request->line, 1, &level))
        return sd_answer(session, request, SD_BAD_FORMAT);
    sd_store(&session->server->settings.verbose, level > 2 ? 2 : level);
    return sd_answer(session, request, "OK");
}

static enum sd_verdict
command_quit(struct sd_session *session, struct sd_request *request)
{
    (void)session;
    (void)request;
    return SD_CLOSE;
}

static enum sd_verdict
command_shutdown(struct sd_session *session, struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    if (!session->server->settings.may_shut_down)
        return sd_answer(session, request, "ERROR: shutdown not enabled");
    if (line->count != 1 && !(line->count == 2 && word_is(line, 1, "graceful")))
        return sd_answer(session, request, "CLIENT_ERROR invalid shutdown mode");
    sd_store(&session->server->stop, true);
    sd_server_wake(session->server);
    return SD_CLOSE;
}

/* ---- the limit ------------------------------------------------------------------------------- */

static enum sd_verdict
command_cache_memlimit(struct sd_session *session, struct sd_request *request)
{
    uint32_t mib;
    sd_take_noreply(session, request);
    if (!read_u32_at(&request->line, 1, &mib))
        return sd_answer(session, request, "ERROR");
    if (mib < 8)
        return sd_answer(session, request,
                         "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m");
    if (mib > 1000000000)
        return sd_answer(session, request,
                         "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes");
    if (!sd_limit_change(session->server, (uint64_t)mib << 20))
        return sd_answer(session, request,
                         "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust");
    return sd_answer(session, request, "OK");
}

/* ---- what has no effect ---------------------------------------------------------------------- */

static enum sd_verdict
automove(struct sd_session *session, struct sd_request *request)
{
    uint32_t level;
    sd_take_noreply(session, request);
    if (word_is(&request->line, 2, "ratio"))
        return sd_answer(session, request, request->line.count > 3 ? "OK" : "ERROR");
    if (!read_u32_at(&request->line, 2, &level))
        return sd_answer(session, request, SD_BAD_FORMAT);
    return sd_answer(session, request, level <= 2 ? "OK" : "ERROR");
}

static enum sd_verdict
command_slabs(struct sd_session *session, struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    uint32_t number;
    if (line->count == 4 && word_is(line, 1, "reassign"))
        return sd_answer(
            session, request,
            read_u32_at(line, 2, &number) && read_u32_at(line, 3, &number) ? "OK" : SD_BAD_FORMAT);
    if (line->count >= 3 && word_is(line, 1, "automove"))
        return automove(session, request);
    return sd_answer(session, request, "ERROR");
}

static enum sd_verdict
command_lru(struct sd_session *session, struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    uint32_t hot, warm;
    sd_take_noreply(session, request);
    if (word_is(line, 1, "tune") && line->count >= 6) {
        if (!read_u32_at(line, 2, &hot) || !read_u32_at(line, 3, &warm))
            return sd_answer(session, request, "ERROR");
        return sd_answer(session, request,
                         hot + warm > 80 ? "ERROR hot and warm pcts must not exceed 80" : "OK");
    }
    if (word_is(line, 1, "mode") && (word_is(line, 2, "flat") || word_is(line, 2, "segmented")))
        return sd_answer(session, request, "OK");
    if (word_is(line, 1, "temp_ttl") && read_u32_at(line, 2, &hot))
        return sd_answer(session, request, "OK");
    return sd_answer(session, request, "ERROR");
}

static enum sd_verdict
tune_crawler(struct sd_session *session, struct sd_request *request)
{
    uint32_t number;
    bool sleep = word_is(&request->line, 1, "sleep");
    if (!read_u32_at(&request->line, 2, &number))
        return sd_answer(session, request, SD_BAD_FORMAT);
    if (sleep && number > 1000000)
        return sd_answer(session, request, "CLIENT_ERROR sleep must be one second or less");
    return sd_answer(session, request, "OK");
}

static enum sd_verdict
command_lru_crawler(struct sd_session *session, struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    bool dump = word_is(line, 1, "metadump");
    if (line->count == 3 && (word_is(line, 1, "sleep") || word_is(line, 1, "tocrawl")))
        return tune_crawler(session, request);
    if (line->count == 3 && word_is(line, 1, "crawl"))
        return sd_answer(session, request, "OK");
    if (line->count == 3 && dump)
        return sd_answer(session, request, "ERROR metadump not allowed");
    if (line->count == 2 && (word_is(line, 1, "enable") || word_is(line, 1, "disable")))
        return sd_answer(session, request, "OK");
    return sd_answer(session, request, "ERROR");
}

static enum sd_verdict
command_watch(struct sd_session *session, struct sd_request *request)
{
    sd_take_noreply(session, request);
    return sd_answer(session, request, "CLIENT_ERROR watch commands not allowed");
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    unsigned least, most; /* words of the line */
    sd_command run;
} commands[] = {
    {"stats", 1, UINT32_MAX, sd_command_stats},
    {"version", 1, UINT32_MAX, command_version},
    {"flush_all", 1, 3, command_flush_all},
    {"verbosity", 2, 3, command_verbosity},
    {"quit", 1, UINT32_MAX, command_quit},
    {"shutdown", 1, UINT32_MAX, command_shutdown},
    {"cache_memlimit", 2, 3, command_cache_memlimit},
    {"slabs", 1, UINT32_MAX, command_slabs},
    {"lru", 2, UINT32_MAX, command_lru},
    {"lru_crawler", 1, UINT32_MAX, command_lru_crawler},
    {"watch", 1, UINT32_MAX, command_watch},
};

sd_command
sd_find_admin(const struct sd_line *line, bool *fits)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (sd_token_is(&line->token[0], commands[i].name, strlen(commands[i].name))) {
            *fits = line->count >= commands[i].least && line->count <= commands[i].most;
            return *fits ? commands[i].run : NULL;
        }
    return NULL;
}
