/* SPDX-License-Identifier: MIT */
/* lifecycle.c - a store is made and destroyed; the one file that knows all others. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/hardened.h"
#include "core/hugepages.h"
#include "core/report.h"
#include "defrag/life.h"
#include "insight/requested.h"
#include "memory/guard.h"
#include "object/shortage.h"
#include "store/fork.h"
#include "store/housekeeping.h"
#include "store/options.h"
#include "store/reclaim.h"
#include "store/settings.h"
#include "thread/drain.h"

_Static_assert(sizeof(struct handle_store) <= HANDLE_TABLE_OFFSET, "the table begins behind it");
_Static_assert(offsetof(struct handle_store, head) == 0, "the inline read path looks there");

const char *
handle_version(void)
{
#define TEXT_OF(x)       #x
#define VERSION(a, b, c) TEXT_OF(a) "." TEXT_OF(b) "." TEXT_OF(c)
    return VERSION(HANDLE_VERSION_MAJOR, HANDLE_VERSION_MINOR, HANDLE_VERSION_PATCH);
}

/* ---- create ---------------------------------------------------------------------------------- */

static void
set_up_ranges(handle_store *store, const struct sn_reservation *r)
{
    store->reservation = *r;
    store->head.arena = (uintptr_t)r->arena;
    store->extent_bytes = store->head.arena + r->arena_max - (uintptr_t)store;
    store->options.arena_bytes = r->arena_max;
    sn_table_init(&store->table, (char *)store + HANDLE_TABLE_OFFSET, r->table_bytes,
                  sn_reservation_classes(r), sn_os_random(), &store->budget);
    sn_table_let_grow(&store->table, r->table_max, &store->head.table_end);
    sn_pool_init(&store->pool, r->arena, (uint32_t)(r->arena_bytes >> SN_BLOCK_SHIFT),
                 (uint32_t)(r->arena_max >> SN_BLOCK_SHIFT), r->lower, sn_reservation_classes(r),
                 &store->budget);
}

/* A name that the kernel takes: see sn_os_name. */
static void
make_label(char *label, const char *name, const char *part)
{
    snprintf(label, SN_OS_NAME_BYTES, "sinter:%s %s", name, part);
    for (char *at = label; *at; at++)
        if (*at < ' ' || *at > '~' || strchr("[]$`\\", *at))
            *at = '_';
}

/* What cores hold of the store, and what its mappings are called. */
static void
set_up_core(handle_store *store)
{
    const struct sn_reservation *r = &store->reservation;
    enum handle_core core = store->options.core;
    store->table.hidden = store->pool.hidden = core == HANDLE_CORE_NONE;
    store->pool.bare = core == HANDLE_CORE_METADATA;
    make_label(store->table_label, store->name, "tables");
    make_label(store->arena_label, store->name, "arena");
    store->table.label = store->table_label;
    store->pool.label = store->arena_label;
    sn_reservation_hide(r, core == HANDLE_CORE_NONE);
    sn_os_name(r->lower, r->metadata_bytes + HANDLE_TABLE_OFFSET + r->table_bytes,
               store->table_label);
    sn_os_name(r->arena, r->arena_bytes, store->arena_label);
}

static void
set_up(handle_store *store, const struct sn_reservation *reservation,
       const struct handle_store_options *options)
{
    store->options = *options;
    snprintf(store->name, sizeof(store->name), "%s", options->name ? options->name : "store");
    store->options.name = store->name;
    static uint64_t stores;
    store->number = __atomic_add_fetch(&stores, 4, __ATOMIC_RELAXED);
    store->secret = sn_header_secret(sn_os_random(), options->cells != NULL);
    store->requested.random = store->secret;
    store->hardened = options->hardened;
    store->alignment = options->alignment;
    set_up_ranges(store, reservation);
    set_up_core(store);
    sn_classes_init(&store->classes, options->alignment,
                    options->hardened ? SN_CANARY_MIN_BYTES : 0);
    store->pool.has_guards = options->hardened;
    sn_hugepages_init(store);
    sn_heap_init(&store->heap, &store->pool, &store->classes);
    sn_pins_init(&store->heap.pins, &store->pool, sn_reservation_pins(reservation),
                 reservation->pins_bytes);
    sn_large_init(&store->large, &store->heap, store->classes.extra);
    sn_housekeeping_init(store);
    sn_mover_init(&store->mover);
    sn_children_init(&store->children);
    sn_lock_init(&store->walk_lock, SN_RANK_WALK);
    sn_lock_init(&store->profile_lock, SN_RANK_PROFILE);
}

static int
start(handle_store *store, const struct rcu_flavor_struct *flavor)
{
    store->rcu = sn_rcu_get(flavor);
    if (!store->rcu)
        return -errno;
    sn_reclaim_init(store, store->options.max_bytes);
    sn_caches_init(&store->caches, &store->heap, store, store->hardened);
    size_t own_bytes = sizeof(*store) - sizeof(store->caches.fallback_cache); /* that is a cache */
    store->base_metadata_bytes = sn_round_up(own_bytes, SN_PAGE_BYTES) +
                                 sn_reclaim_bytes(&store->reclaim) + sn_defrag_metadata_bytes();
    sn_budget_charge(&store->budget, store->base_metadata_bytes, SN_CHARGE_ALWAYS);
    if (!sn_profile_configure(store))
        return -ENOMEM;
    /* From here on nothing fails: tear_down does not take the client back. */
    sn_defrag_create(store);
    sn_rcu_add_client(store->rcu, &store->client);
    sn_settings_apply(store);
    sn_misuse_register(store);
    return 0;
}

/* Frees what start made. Threads that are just exiting let go under the registry's lock, and may
 * free slots and wake the mover until then. */
static void
tear_down(handle_store *store)
{
    sn_misuse_unregister(store);
    if (store->caches.fallback) {
        sn_caches_destroy(&store->caches);
        sn_reclaim_end(store);
    }
    if (store->defrag)
        sn_defrag_destroy(store);
    sn_mover_destroy(&store->mover);
    sn_children_destroy(&store->children);
    sn_requested_give_up(store);
    sn_profile_destroy(store);
    sn_guard_end(&store->pool);
    if (store->magic == SN_STORE_LIVE && sn_checks_entries(store)) {
        sn_misuse_leave_tombstone(store);
    } else {
        uint32_t place = store->reservation.place;
        sn_store_release_ranges(store, 0);
        sn_place_put(place);
    }
}

/* With the options checked, offline. NULL: errno is set. */
static handle_store *
create(const struct handle_store_options *options, const struct rcu_flavor_struct *flavor)
{
    struct sn_reservation reservation;
    if (!sn_reservation_make(&reservation, options->arena_bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    if (!sn_reservation_is_nameable(&reservation)) { /* x86-64 has such addresses on demand only */
        sn_reservation_release(&reservation, 0, reservation.table_bytes, reservation.arena_bytes);
        sn_place_put(reservation.place);
        errno = ENOTSUP;
        return NULL;
    }
    handle_store *store = (handle_store *)(void *)sn_reservation_store(&reservation);
    set_up(store, &reservation, options);
    int error = start(store, flavor);
    if (error) {
        tear_down(store);
        errno = -error;
        return NULL;
    }
    return store;
}

/* Whether the program's inline functions read the words that this library writes. */
static int
check_version(uint32_t header_major, uint32_t header_minor)
{
    static const struct handle_store_options unknown = HANDLE_STORE_OPTIONS_INIT;
    if (header_major == HANDLE_VERSION_MAJOR && header_minor == HANDLE_VERSION_MINOR)
        return 0;
    return sn_options_refuse(&unknown,
                             "version: the program was compiled with sinter/handle.h %" PRIu32
                             ".%" PRIu32 " and is linked with the library %s: compile it anew",
                             header_major, header_minor, handle_version());
}

handle_store *
handle_store_create_version(const struct handle_store_options *options,
                            const struct rcu_flavor_struct *flavor, uint32_t header_major,
                            uint32_t header_minor)
{
    struct handle_store_options checked;
    handle_store *store = NULL;
    bool was_online = false;
    int error = check_version(header_major, header_minor);
    if (error) {
        errno = -error;
        return NULL;
    }
    error = sn_options_read(&checked, options);
    if (!error && !flavor)
        error = sn_options_refuse(&checked, "flavor: NULL, and not a flavour of liburcu");
    if (!error)
        error = sn_fork_watch_error();
    if (!error && !sn_page_size_fits())
        error = -ENOTSUP;
    if (!error && !sn_rcu_leave(flavor, &was_online))
        error = -EDEADLK;
    if (error)
        errno = -error;
    else
        store = create(&checked, flavor);
    if (flavor)
        sn_rcu_return(flavor, was_online);
    return store;
}

/* ---- destroy --------------------------------------------------------------------------------- */

/* What others than the forking thread had reserved is lost to a child, which is no mistake. */
static void
report_reserved(handle_store *store)
{
    struct sn_cache_sums sums;
    sn_caches_sum(&store->caches, &sums);
    if (sums.reserved > 0 && !store->forked)
        sn_store_error(store,
                       "handle_store_destroy: %llu reserved objects were neither published nor "
                       "aborted",
                       (unsigned long long)sums.reserved);
}

int
handle_store_destroy(handle_store *store)
{
    bool was_online;
    int error = sn_begin_waiting(store, &was_online);
    if (error)
        return error;
    const struct rcu_flavor_struct *flavor = store->rcu->flavor;
    if (sn_pins_held(&store->heap.pins) != 0) {
        error = -EBUSY;
    } else {
        sn_defrag_end(store);
        if (!store->forked) {
            sn_rcu_wait_cycle(store->rcu, &store->client);
            sn_rcu_remove_client(store->rcu, &store->client);
        }
        report_reserved(store);
        sn_store_report_no_thread(store);
        tear_down(store);
    }
    sn_rcu_return(flavor, was_online);
    return error;
}
