/* SPDX-License-Identifier: MIT */
/*
 * readers.c - sinter readers: which threads stand in a read-side section, or under QSBR are online,
 * and which of them the grace period under way waits for. Liburcu keeps a struct for each thread
 * that is registered, in a list; these are found by their shape, since neither symbols nor debug
 * information need be there:
 *
 *   0            ctr: memb, mb, bp: nesting, above it the phase; QSBR: 0: offline
 *   one line on  node, in a list; then pthread_self(), of QSBR behind a word
 */
#include <elf.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/look.h"
#include "tools/process.h"
#include "tools/reader_layout.h"

#define PIECE      ((size_t)1 << 20)
#define STEP       UINT64_C(32) /* at such addresses nodes lie */
#define NESTING    UINT64_C(0xffffffff)
#define PHASE      (UINT64_C(1) << 32)
#define FOUND_MAX  4096u
#define STORES_MAX 64u

struct registered {
    uint64_t ctr;
    int lwp; /* 0: not known */
    bool qsbr, holds, holds_known;
};

struct readers {
    struct reader *reader;
    const struct target *target;
    struct process process;
    struct registered found[FOUND_MAX];
    unsigned count;
    struct {
        uint64_t ctr;
        bool known;
    } of_qsbr, of_others; /* the flavour's counter */
    bool waits;           /* a grace period is under way */
    bool all;
    bool anywhere; /* a thread's number may lie anywhere in its struct */
};

/* ---- the structs ----------------------------------------------------------------------------- */

static uint64_t
word_at(const struct readers *readers, uint64_t address)
{
    uint64_t word = 0;
    target_read(readers->target, address, &word, sizeof(word));
    return word;
}

/* The line that liburcu aligns to. */
static uint64_t
node_at(const struct readers *readers)
{
    return readers->target->machine == EM_X86_64 ? 128 : 64;
}

#define ARM64_TID_AT 208u /* in the struct of a thread, of glibc */

static bool
is_lwp(const struct readers *readers, uint32_t number)
{
    bool is = false;
    for (size_t i = 0; i < readers->process.threads; i++)
        is |= number != 0 && number == (uint32_t)readers->process.thread[i].lwp;
    return is;
}

/* By the struct of a thread of the C library. */
static int
lwp_in_struct(const struct readers *readers, uint64_t self)
{
    uint32_t words[256];
    if (!target_read(readers->target, self, words, sizeof(words)))
        return 0;
    if (readers->target->machine == EM_AARCH64 && !readers->anywhere)
        return is_lwp(readers, words[ARM64_TID_AT / 4]) ? (int)words[ARM64_TID_AT / 4] : 0;
    for (unsigned k = 0; k < sizeof(words) / sizeof(words[0]); k++)
        if (is_lwp(readers, words[k]))
            return (int)words[k];
    return 0;
}

/* Of an x86-64 core the registers say it. */
static int
lwp_of(const struct readers *readers, uint64_t self)
{
    for (size_t i = 0; i < readers->process.threads; i++)
        if (readers->process.thread[i].tls == self)
            return readers->process.thread[i].lwp;
    bool said = readers->target->file && readers->target->machine == EM_X86_64;
    return said ? 0 : lwp_in_struct(readers, self);
}

/* Whether it is pthread_self() of a thread: on x86-64 that begins with its own address. */
static bool
is_thread(const struct readers *readers, uint64_t self)
{
    if (self == 0 || self % 64 != 0)
        return false;
    for (size_t i = 0; i < readers->process.threads; i++)
        if (readers->process.thread[i].tls == self)
            return true;
    if (readers->target->machine != EM_X86_64)
        return lwp_of(readers, self) != 0;
    return !readers->target->file && word_at(readers, self) == self;
}

static void
look_at_node(struct readers *readers, uint64_t node, const uint64_t *words)
{
    bool qsbr = false;
    if (words[0] == 0 || words[1] == 0 || (words[0] | words[1]) % 8 != 0 || words[0] == node ||
        (words[2] % 64 != 0 && words[3] % 64 != 0))
        return;
    if (word_at(readers, words[0] + 8) != node || word_at(readers, words[1]) != node)
        return;
    if (!is_thread(readers, words[2])) {
        qsbr = is_thread(readers, words[3]);
        if (!qsbr)
            return;
    }
    int lwp = lwp_of(readers, words[qsbr ? 3 : 2]);
    if (lwp == 0 || readers->count == FOUND_MAX)
        return;
    readers->found[readers->count++] = (struct registered){
        .ctr = word_at(readers, node - node_at(readers)), .lwp = lwp, .qsbr = qsbr};
}

static void
look_at_range(struct readers *readers, uint64_t begin, uint64_t end)
{
    static uint64_t piece[PIECE / 8 + 4];
    for (uint64_t at = begin & ~(STEP - 1); at < end; at += PIECE) {
        size_t bytes = (size_t)(end - at < PIECE ? end - at : PIECE);
        size_t more = end - at > PIECE ? 32 : 0; /* of the node that begins at its end */
        if (!target_read(readers->target, at, piece, bytes + more))
            continue;
        for (size_t i = 0; i + 4 <= (bytes + more) / 8 && i < bytes / 8; i += STEP / 8)
            look_at_node(readers, at + i * 8, &piece[i]);
    }
}

/* What stores have reserved is passed over. */
static bool
is_of_store(const struct reader_store *stores, unsigned count, const struct target_range *range)
{
    for (unsigned i = 0; i < count; i++)
        if ((range->begin >= stores[i].arena &&
             range->end <= stores[i].arena + ((uint64_t)stores[i].limit << 16)) ||
            (range->begin >= stores[i].lower &&
             range->end <= stores[i].table + stores[i].table_bytes))
            return true;
    return false;
}

static void
find_registered(struct readers *readers, const struct reader_store *stores, unsigned count)
{
    for (size_t i = 0; i < readers->target->ranges; i++) {
        const struct target_range *range = &readers->target->range[i];
        if (range->writable && !is_of_store(stores, count, range))
            look_at_range(readers, range->begin, range->end);
    }
}

/* ---- grace periods --------------------------------------------------------------------------- */

/* The counters of flavours, where a symbol says where they are; of memb, mb, bp only if there is
 * one of them. */
static void
find_counters(struct readers *readers)
{
    static const char *const others[] = {"urcu_memb_gp", "urcu_mb_gp", "urcu_bp_gp"};
    unsigned count = 0;
    uint64_t at = process_address(&readers->process, "urcu_qsbr_gp");
    readers->of_qsbr.known = at != 0;
    readers->of_qsbr.ctr = word_at(readers, at);
    for (unsigned i = 0; i < 3; i++) {
        at = process_address(&readers->process, others[i]);
        if (at == 0)
            continue;
        readers->of_others.ctr = word_at(readers, at);
        count++;
    }
    readers->of_others.known = count == 1;
}

static bool
is_inside(const struct registered *r)
{
    return r->qsbr ? r->ctr != 0 : (r->ctr & NESTING) != 0;
}

static void
find_holders(struct readers *readers)
{
    unsigned inside = 0;
    for (unsigned i = 0; i < readers->count; i++)
        inside += is_inside(&readers->found[i]);
    for (unsigned i = 0; i < readers->count; i++) {
        struct registered *r = &readers->found[i];
        r->holds_known = r->qsbr ? readers->of_qsbr.known : readers->of_others.known;
        r->holds = r->qsbr ? r->ctr != readers->of_qsbr.ctr
                           : ((r->ctr ^ readers->of_others.ctr) & PHASE) != 0;
        if (!r->holds_known && inside == 1)
            r->holds_known = r->holds = true;
    }
}

/* Of each flavour once. */
static void
print_grace_periods(struct readers *readers, const struct reader_store *stores, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        bool again = false;
        uint64_t completed, age = reader_grace_periods(readers->reader, &stores[i], &completed);
        for (unsigned k = 0; k < i; k++)
            again |= stores[k].rcu == stores[i].rcu;
        readers->waits |= age > 0;
        if (age == 0 || again)
            continue;
        if (reader_is_live(readers->reader))
            printf("a grace period has been waiting for %.3f s\n", (double)age / 1e9);
        else
            puts("a grace period was waiting");
    }
}

/* ---- the report ------------------------------------------------------------------------------ */

static const struct process_thread *
thread_of(const struct readers *readers, int lwp)
{
    for (size_t i = 0; i < readers->process.threads; i++)
        if (readers->process.thread[i].lwp == lwp)
            return &readers->process.thread[i];
    return NULL;
}

static void
print_registered(const struct readers *readers, const struct registered *r)
{
    const struct process_thread *thread = thread_of(readers, r->lwp);
    char where[1024] = "";
    printf("thread %d", r->lwp);
    if (thread && thread->name[0])
        printf(" (%s)", thread->name);
    if (!is_inside(r))
        fputs(r->qsbr ? ": offline" : ": in no section", stdout);
    else if (r->qsbr)
        fputs(": online", stdout);
    else
        printf(": in a section, nesting %" PRIu64, r->ctr & NESTING);
    if (is_inside(r) && readers->waits && r->holds_known)
        fputs(r->holds  ? r->qsbr ? ", not quiescent since before that grace period, which it holds"
                                  : ", since before that grace period, which it holds"
              : r->qsbr ? ", quiescent since"
                        : ", which began later",
              stdout);
    if (is_inside(r) && thread)
        process_where(&readers->process, thread, where, sizeof(where));
    printf("%s%s\n", where[0] ? ", in " : "", where);
}

static int
print_readers(struct readers *readers, const struct reader_store *stores, unsigned count)
{
    unsigned outside = 0;
    print_grace_periods(readers, stores, count);
    find_registered(readers, stores, count);
    if (readers->count == 0 && !readers->target->file &&
        readers->target->machine == EM_AARCH64) { /* of another C library */
        readers->anywhere = true;
        find_registered(readers, stores, count);
    }
    find_counters(readers);
    find_holders(readers);
    for (unsigned i = 0; i < readers->count; i++) {
        if (is_inside(&readers->found[i]) || readers->all)
            print_registered(readers, &readers->found[i]);
        outside += !is_inside(&readers->found[i]);
    }
    printf("%u of %u registered threads in no section, or offline\n", outside, readers->count);
    for (unsigned i = 0; i < count; i++)
        if (stores[i].limbo_bytes)
            printf("store %s: %s handed over to limbo\n", stores[i].name,
                   text_of_bytes(stores[i].limbo_bytes));
    return 0;
}

int
command_readers(int argc, char **argv)
{
    const char *error = NULL;
    bool all = false;
    const struct option_value options[] = {{"--all", NULL, NULL, &all}, {0}};
    if (!take_options(&argc, argv, options))
        return 2;
    if (argc != 1)
        return misused("readers: one process or core is needed");
    struct reader *reader = reader_open(argv[0], &error);
    struct readers *readers = reader ? calloc(1, sizeof(*readers)) : NULL;
    struct reader_store *stores = reader ? calloc(STORES_MAX, sizeof(*stores)) : NULL;
    int status = 1;
    unsigned count = 0;
    bool found = readers && stores && reader_first(reader, &stores[0], &error);
    while (found && ++count < STORES_MAX) {
        stores[count] = stores[count - 1];
        found = reader_next(reader, &stores[count], &error);
    }
    if (count > 0 && !error) {
        readers->reader = reader;
        readers->target = &reader->target;
        readers->all = all;
        process_read(readers->target, &readers->process);
        status = print_readers(readers, stores, count);
        process_close(&readers->process);
    } else {
        say("%s", error ? error : "it has no store now");
    }
    free(stores);
    free(readers);
    reader_close(reader);
    return status;
}
