/* SPDX-License-Identifier: MIT */
/* report.c - see report.h. */
#include "core/report.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/probes.h"

void
sn_store_error(handle_store *store, const char *format, ...)
{
    char line[SN_ERROR_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    sn_add_relaxed(&store->errors_reported, 1);
    SN_NO_CANCELLATION;
    int saved = errno; /* the call's answer may be in it */
    if (store->options.error)
        store->options.error(store->options.opaque, line);
    else
        fprintf(stderr, "sinter: store %s: %s\n", store->name, line);
    errno = saved;
}

/* Once for each store: it goes on, and fails again. An arena that is as large as it was planned to
 * be is nothing to report. */
static void
report_small(handle_store *store)
{
    uint64_t now = sn_pool_reserved_bytes(&store->pool);
    if (now == store->reservation.arena_max || sn_load_relaxed(&store->small_reported) ||
        __atomic_exchange_n(&store->small_reported, 1, __ATOMIC_RELAXED))
        return;
    sn_store_error(store,
                   "arena_small: the arena of %llu MiB (or its handle table) cannot be extended to "
                   "the planned %llu MiB, since other mappings lie above it or the process has a "
                   "limit; option arena_bytes reserves at creation",
                   (unsigned long long)now >> 20,
                   (unsigned long long)store->reservation.arena_max >> 20);
}

void
sn_store_count_failure(handle_store *store, enum handle_alloc_failure reason)
{
    sn_add_relaxed(&store->alloc_failures, 1);
    sn_store_relaxed(&store->alloc_failure_reason, reason);
    sn_probe(2, limit, store->name, (uint32_t)reason);
}

void
sn_store_note_failure(handle_store *store, uint64_t small)
{
    bool arena = sn_store_small(store) != small;
    sn_store_count_failure(store,
                           arena ? HANDLE_ALLOC_FAILURE_ARENA_SMALL : HANDLE_ALLOC_FAILURE_MEMORY);
    if (arena)
        report_small(store);
}

/* ---- damage ---------------------------------------------------------------------------------- */

void
sn_store_print_damage(handle_store *store, uint64_t slot, const char *where)
{
    sn_store_error(store,
                   "%s: header of the object at offset %#llx is damaged (written past the end of "
                   "the object before it?); its span is left alone from now on",
                   where, (unsigned long long)slot);
}

void
sn_store_report_no_thread_slow(handle_store *store)
{
    if (sn_swap_acq_rel(&store->thread_failed, 0))
        sn_store_error(store, "compaction: no thread could be started; it is tried again");
}
