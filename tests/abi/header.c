/* SPDX-License-Identifier: MIT */
/*
 * header.c - uses every macro and every inline function of sinter/handle.h, as C and as C++, alone
 * or with a flavour's header before or after it (URCU_BEFORE, URCU_AFTER). With WITHOUT_FLAVOUR it
 * calls handle_store_create all the same, which must not compile. Never linked: check.sh
 * compiles it with every compiler, standard and warning there is; what the macros expand to must
 * not warn in the code of an application.
 *
 * Seen failing: HANDLE_NULL as ((handle_t)0) under -Wold-style-cast, the inline functions without
 * their pragma under the same, an int where table_end is compared under -Wconversion.
 */
#ifdef URCU_BEFORE
#include URCU_BEFORE
#endif
#include <sinter/handle.h>
#ifdef URCU_AFTER
#include URCU_AFTER
#endif

/* The flavour's header came first: handle_store_create passes its flavour. */
#if defined(URCU_BEFORE) && !defined(HANDLE_FLAVOR)
#error "handle_store_create does not see which flavour's header was included"
#endif

#ifdef __cplusplus
#define NOTHING nullptr
#else
#define NOTHING NULL
#endif

handle_store *use_create(void);
const void *use_read_path(const handle_store *store, handle_t handle, const handle_cell *cell);
uint64_t use_initialisers(handle_store *store);

handle_store *
use_create(void)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.hugepages = HANDLE_HUGEPAGES_ADVISE;
    options.max_bytes = HANDLE_VERSION_MAJOR + HANDLE_VERSION_MINOR + HANDLE_VERSION_PATCH;
#if defined(URCU_BEFORE) || defined(WITHOUT_FLAVOUR)
    return handle_store_create(&options);
#else
    return handle_store_create_flavor(&options, NOTHING); /* inline, as handle_store_create */
#endif
}

const void *
use_read_path(const handle_store *store, handle_t handle, const handle_cell *cell)
{
    const void *object = handle == HANDLE_NULL ? NOTHING : handle_deref(store, handle);
    return object ? object : handle_cell_deref(store, cell);
}

uint64_t
use_initialisers(handle_store *store)
{
    handle_cell cell = HANDLE_CELL_INIT;
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    struct handle_stats stats = HANDLE_STATS_INIT;
    if (handle_store_stats(store, &stats) != 0 || stats.classes > HANDLE_CLASSES_MAX)
        return 0;
    return cell.word + report.moved_bytes + stats.refused[HANDLE_REFUSED_PINNED] +
           (handle_cell_alloc(store, &cell, 8, HANDLE_ZERO | HANDLE_UNMOVABLE) != NOTHING);
}
