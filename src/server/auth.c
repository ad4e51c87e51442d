/* SPDX-License-Identifier: MIT */
/* auth.c - see auth.h. */
#include "server/auth.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/session.h"

#define ENTRIES_MOST 8u /* as memcached's */
#define WORD_MOST    255u
#define ENTRY_MOST   (2 * WORD_MOST + 1) /* user:password */

struct sd_auth {
    unsigned count;
    char entry[ENTRIES_MOST][ENTRY_MOST + 1];
};

static const char *
read_entry(struct sd_auth *auth, const char *line)
{
    size_t user = strcspn(line, ":"), password = line[user] ? strlen(line + user + 1) : 0;
    if (auth->count == ENTRIES_MOST)
        return "has more than 8 lines";
    if (user == 0 || user > WORD_MOST || password == 0 || password > WORD_MOST)
        return "has a line that is not user:password, of at most 255 bytes each";
    memcpy(auth->entry[auth->count++], line, user + 1 + password);
    return NULL;
}

static const char *
read_file(struct sd_auth *auth, FILE *file)
{
    char line[2 * WORD_MOST + 8];
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\r\n")] = 0;
        const char *wrong = *line ? read_entry(auth, line) : NULL;
        if (wrong)
            return wrong;
    }
    return ferror(file) ? "cannot be read" : auth->count ? NULL : "has no line";
}

struct sd_auth *
sd_auth_open(const char *path)
{
    struct sd_auth *auth = calloc(1, sizeof(*auth));
    FILE *file = fopen(path, "re");
    const char *wrong = !auth ? "needs memory" : !file ? strerror(errno) : read_file(auth, file);
    if (file)
        fclose(file);
    if (!wrong)
        return auth;
    sd_complain("-Y %s: %s", path, wrong);
    free(auth);
    return NULL;
}

void
sd_auth_close(struct sd_auth *auth)
{
    if (auth)
        explicit_bzero(auth, sizeof(*auth));
    free(auth);
}

/* All bytes of the longest entry are looked at, whatever was found. */
static unsigned
differs(const char *entry, const char *given)
{
    volatile unsigned differs = 0;
    for (size_t i = 0; i <= ENTRY_MOST; i++)
        differs |= (unsigned)(unsigned char)entry[i] ^ (unsigned)(unsigned char)given[i];
    return differs;
}

bool
sd_auth_check(const struct sd_auth *auth, struct sd_bytes user, struct sd_bytes password)
{
    char given[ENTRY_MOST + 1] = "", *at = given;
    unsigned found = 0;
    if (user.size > WORD_MOST || password.size > WORD_MOST || memchr(user.bytes, ':', user.size))
        return false;
    at = sd_put_text(sd_put_bytes(at, user.bytes, user.size), ":");
    sd_put_bytes(at, password.bytes, password.size);
    for (unsigned i = 0; i < auth->count; i++)
        found |= differs(auth->entry[i], given) == 0;
    explicit_bzero(given, sizeof(given));
    return found != 0;
}

/* ---- the command ----------------------------------------------------------------------------- */

static enum sd_verdict
check(struct sd_request *request, const char *value, size_t size)
{
    struct sd_session *session = request->session;
    struct sd_line words;
    sd_line_read(&words, value, value + size); /* not a line: what stands at its end is not used */
    if (words.count < 2)
        return sd_answer(request, "CLIENT_ERROR bad authentication token format");
    session->trusted = sd_auth_check(session->server->auth, words.word[0], words.word[1]);
    sd_count(&session->counts->auth_cmds, 1);
    sd_count(&session->counts->auth_errors, !session->trusted);
    return sd_answer(request, session->trusted ? "STORED" : "CLIENT_ERROR authentication failure");
}

enum sd_verdict
sd_authenticate(struct sd_request *request)
{
    const struct sd_line *line = &request->line;
    enum sd_verdict verdict;
    uint32_t size = 0;
    if (!sd_is(sd_word(line, 0), "set") || !sd_read_u32(sd_word(line, 4), &size))
        return sd_answer(request, "CLIENT_ERROR unauthenticated");
    if (size > 2 * WORD_MOST + 64)
        return SD_CLOSE;
    char *value = sd_take_value(request, size, &verdict);
    if (!value)
        return verdict;
    if (memcmp(value + size, "\r\n", 2) != 0)
        return sd_answer(request, "CLIENT_ERROR bad command line termination");
    return check(request, value, size);
}
