/* SPDX-License-Identifier: MIT */
/* misuse.c - see misuse.h. */
#include "core/misuse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/debug_table.h"

/* Destroyed stores whose first pages, those of the struct, are kept: so many, the oldest goes.
 */
#define TOMBSTONES      64
#define NO_BINS_BYTES   (SN_ARENA_MAX_BYTES >> SN_BLOCK_SHIFT)
#define TOMBSTONE_BYTES sn_round_up(sizeof(struct handle_store), SN_PAGE_BYTES)

/* Address that a destroyed store resolves cells against: with any offset added no user address, on
 * x86-64 with 48 or 57 bits and on aarch64. Whoever follows it gets a fault, and not other data. */
#define NOWHERE UINT64_C(0xff80000000000000)

_Thread_local struct sn_call sn_call;

/* Guards the list of stores and the tombstones. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static handle_store *stores;
static handle_store *tombstone[TOMBSTONES];
static unsigned tombstones;
/* All arenas lie in between; only ever widened, read without the lock. */
static uint64_t arenas_begin = UINT64_MAX, arenas_end;

/* Where frees of a destroyed store's cells look for their block: nothing but zeros. No thread has a
 * cache of that store, so they take the slow path from there. */
static uint8_t *no_bins;

static const uint64_t no_marker = 1;
uint64_t *sn_process_marker;

/* ---- the line -------------------------------------------------------------------------------- */

/* The handle whose object this table word names, or named until just now. */
static handle_t
handle_of(const handle_store *store, const uint64_t *reference)
{
    uint64_t word = sn_load_relaxed(reference);
    if (!sn_word_has_object(word)) /* ended: it carries the next generation */
        word = sn_table_ended_word(word);
    return sn_table_handle(&store->table, reference, word);
}

static struct sn_call
call_about(const handle_store *store, const uint64_t *reference)
{
    struct sn_call about = sn_call;
    if (!about.function)
        about.function = "in the background";
    if (!reference || about.handle || about.cell)
        return about;
    if (sn_table_owns(&store->table, reference))
        about.handle = handle_of(store, reference);
    else
        about.cell = (const handle_cell *)(const void *)reference;
    return about;
}

void
sn_misuse(const handle_store *store, const uint64_t *reference, const char *format, ...)
{
    char reason[SN_ERROR_LINE_BYTES / 2], line[SN_ERROR_LINE_BYTES];
    bool lives = store->magic == SN_STORE_LIVE;
    struct sn_call about = lives ? call_about(store, reference) : sn_call;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    char name[32] = "a cell"; /* no address is printed */
    if (!about.cell)
        snprintf(name, sizeof(name), "handle %#llx", (unsigned long long)about.handle);
    snprintf(line, sizeof(line), "%s: store %s, %s: %s", about.function, store->name, name, reason);
    if (lives) {
        sn_add_relaxed(&sn_store_mutable(store)->errors_reported, 1);
        if (store->options.error)
            store->options.error(store->options.opaque, line);
    }
    fprintf(stderr, "sinter: %s\n", line);
    abort();
}

/* ---- entry checks ---------------------------------------------------------------------------- */

void
sn_misuse_wrong_store(const handle_store *store)
{
    if (store->magic == SN_STORE_LIVE)
        sn_misuse(store, NULL, "this process was forked without handle_store_before_fork");
    if (store->magic == SN_STORE_GONE)
        sn_misuse(store, NULL, "the store was destroyed");
    fprintf(stderr, "sinter: %s: store ?, handle %#llx: not a store\n", sn_call.function,
            (unsigned long long)sn_call.handle);
    abort();
}

void
sn_misuse_wrong_place(const handle_store *store)
{
    sn_misuse(store, NULL, "%s",
              store->rcu->sees_sections
                  ? "called outside a read-side section"
                  : "called by a thread that is not registered, or is offline");
}

/* A flavour that sees sections does not say whether it knows the thread. But no grace period that
 * begins in a section of a registered thread ends before the section does: so now and then, at
 * first at the thread's first call, one is asked for, and given a moment to end. Where a test
 * stages something nobody is to ask for grace periods. */
static void
doubt_registration(const handle_store *store)
{
    static _Thread_local uint32_t calls;
    uint32_t call = ++calls;
    bool turn = (call & (call - 1)) == 0 && (call & UINT32_C(0x11111111)) != 0; /* powers of 16 */
    if (sn_likely(!turn) || store->forked || sn_hooks_are_set())
        return;
    if (sn_rcu_ignores_section(store->rcu))
        sn_misuse(store, NULL,
                  "called by a thread that is not registered: a grace period began and ended while "
                  "it was inside its section");
}

void
sn_check_entry(const handle_store *store, const char *function, enum sn_place place,
               handle_t handle, const handle_cell *cell)
{
    sn_check_entry_inline(store, function, place, handle, cell);
    if (place == SN_IN_SECTION && store->rcu->sees_sections)
        doubt_registration(store);
}

void
sn_check_entry_in_signal(const handle_store *store, const char *function, const handle_cell *cell)
{
    struct sn_call interrupted = sn_call;
    sn_check_entry_inline(store, function, SN_IN_SECTION, HANDLE_NULL, cell);
    sn_call = interrupted;
}

/* ---- cells ----------------------------------------------------------------------------------- */

/* Copies the name of the store whose arena holds the cell. */
static bool
find_store_around(const handle_cell *cell, char name[32])
{
    bool found = false;
    pthread_mutex_lock(&lock);
    for (const handle_store *store = stores; store && !found; store = store->next_store) {
        found = sn_store_contains(store, cell);
        if (found)
            memcpy(name, store->name, sizeof(store->name));
    }
    pthread_mutex_unlock(&lock);
    return found;
}

void
sn_check_cell_place(const handle_store *store, const handle_cell *cell)
{
    char name[32];
    uint64_t address = (uintptr_t)cell;
    if (address < sn_load_relaxed(&arenas_begin) || address >= sn_load_relaxed(&arenas_end) ||
        !find_store_around(cell, name))
        return;
    sn_call.cell = cell;
    sn_misuse(store, NULL, "the cell lies inside an object of store %s", name);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

/* Under the lock. The marker reads as zero in a forked child until a store is made or adopted. */
static uint64_t
mark_process_locked(void)
{
    if (!sn_process_marker)
        sn_process_marker = sn_os_wiped_on_fork();
    if (!sn_process_marker)
        sn_process_marker = (uint64_t *)(uintptr_t)&no_marker; /* forks are not told */
    if (*sn_process_marker == 0)
        sn_store_relaxed(sn_process_marker, sn_os_random() | 1);
    return *sn_process_marker;
}

void
sn_misuse_register(handle_store *store)
{
    uint64_t end = store->head.arena + store->reservation.arena_max; /* if it grows so far */
    pthread_mutex_lock(&lock);
    store->born = mark_process_locked();
    sn_debug_table_show(&stores);
    store->next_store = stores;
    store->store_link = &stores;
    if (stores)
        stores->store_link = &store->next_store;
    stores = store;
    sn_store_relaxed(&arenas_begin, sn_min(arenas_begin, store->head.arena));
    sn_store_relaxed(&arenas_end, sn_max(arenas_end, end));
    pthread_mutex_unlock(&lock);
    store->magic = SN_STORE_LIVE;
}

void
sn_misuse_unregister(handle_store *store)
{
    pthread_mutex_lock(&lock);
    if (store->store_link) {
        *store->store_link = store->next_store;
        if (store->next_store)
            store->next_store->store_link = store->store_link;
    }
    pthread_mutex_unlock(&lock);
}

void
sn_misuse_begin_child(void)
{
    pthread_mutex_init(&lock, NULL);
}

void
sn_misuse_after_fork_child(handle_store *store)
{
    store->born = mark_process_locked();
}

void
sn_misuse_leave_tombstone(handle_store *store)
{
    char name[sizeof(store->name)];
    memcpy(name, store->name, sizeof(name));
    uint32_t place = store->reservation.place;
    sn_store_release_ranges(store, TOMBSTONE_BYTES);
    memset((void *)store, 0, sizeof(*store));
    (void)sn_os_discard(store, TOMBSTONE_BYTES); /* one page of it is touched again */
    store->head.table_end = 0;                   /* every handle is beyond it */
    store->head.arena = NOWHERE;
    store->hardened = true; /* its calls are checked, whichever path they take */
    memcpy(store->name, name, sizeof(name));
    store->reservation.place = place;
    store->magic = SN_STORE_GONE;
    pthread_mutex_lock(&lock);
    if (!no_bins)
        no_bins = sn_os_reserve(NO_BINS_BYTES, SN_PAGE_BYTES);
    store->pool.bin_class = no_bins;
    handle_store *oldest = tombstone[tombstones % TOMBSTONES];
    tombstone[tombstones++ % TOMBSTONES] = store;
    pthread_mutex_unlock(&lock);
    if (oldest) {
        uint32_t freed = oldest->reservation.place;
        sn_os_release(oldest, TOMBSTONE_BYTES);
        sn_place_put(freed);
    }
}

size_t
sn_misuse_kept_bytes(void)
{
    pthread_mutex_lock(&lock);
    size_t stones = tombstones < TOMBSTONES ? tombstones : TOMBSTONES;
    size_t bytes = stones * TOMBSTONE_BYTES + (no_bins ? NO_BINS_BYTES : 0);
    pthread_mutex_unlock(&lock);
    return bytes;
}
