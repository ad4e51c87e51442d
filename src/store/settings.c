/* SPDX-License-Identifier: MIT */
/* settings.c - see settings.h; and options by name. */
#include "store/settings.h"

#include <string.h>

#include "core/hugepages.h"
#include "core/misuse.h"
#include "core/profile.h"
#include "defrag/life.h"
#include "store/options.h"
#include "thread/drain.h"

#define AT(member) offsetof(struct handle_store_options, member)

static pthread_mutex_t set_lock = PTHREAD_MUTEX_INITIALIZER;

void
sn_settings_begin_child(void)
{
    pthread_mutex_init(&set_lock, NULL);
}

/* Options that are kept in another form, too: that form follows the present values. */

static void
apply_bounds(handle_store *store)
{
    const struct handle_store_options *values = &store->options;
    sn_store_relaxed(&store->budget.max_bytes, sn_load_relaxed(&values->max_bytes));
    sn_caches_set_bounds(&store->caches, sn_load_relaxed(&values->thread_cache_bytes),
                         sn_load_relaxed(&values->thread_cache_total_bytes),
                         sn_load_relaxed(&values->max_bytes));
}

static void
apply_hugepages(handle_store *store)
{
    enum handle_hugepages mode = sn_load_relaxed(&store->options.hugepages);
    sn_pool_set_hugepages(&store->pool, sn_hugepages_are_asked_for(store));
    sn_table_set_hugepages(&store->table, mode == HANDLE_HUGEPAGES_ALWAYS);
}

static bool
is_bound(const struct sn_option *option)
{
    return option->at == AT(max_bytes) || option->at == AT(thread_cache_bytes) ||
           option->at == AT(thread_cache_total_bytes);
}

/* Under the lock: what is in force is what is shown. Other options are looked at where they are
 * used. */
static void
apply_locked(handle_store *store, const struct sn_option *option)
{
    if (is_bound(option))
        apply_bounds(store);
    else if (option->at == AT(hugepages))
        apply_hugepages(store);
}

/* One at a time, so that pairs of options stay in order, and each is applied as it is set. The old
 * value comes back on refusal. */
static int
set_checked(handle_store *store, const struct sn_option *option, int64_t number)
{
    struct handle_store_options *values = &store->options;
    pthread_mutex_lock(&set_lock);
    int64_t before = sn_option_number(values, option);
    sn_option_set(values, option, number);
    struct handle_store_options pairs = {.error = values->error, .opaque = values->opaque};
    sn_options_copy_pairs(&pairs, values);
    bool in_order = pairs.defrag.threshold_lower_percent <= pairs.defrag.threshold_upper_percent &&
                    pairs.defrag.cpu_min_percent <= pairs.defrag.cpu_max_percent;
    if (in_order)
        apply_locked(store, option);
    else
        sn_option_set(values, option, before);
    pthread_mutex_unlock(&set_lock);
    return in_order ? 0 : sn_options_check_pairs(&pairs, option);
}

/* defrag.enabled has become yes or no. Without a thread it does not stay yes. */
static int
enable(handle_store *store)
{
    int error = sn_defrag_configure(store);
    if (error) {
        sn_store_relaxed(&store->options.defrag.enabled, false);
        (void)sn_options_refuse(&store->options,
                                "option defrag.enabled: yes: the store is being destroyed");
    }
    return error;
}

static bool
is_of_profile(const struct sn_option *option)
{
    return option->at == AT(profile.enabled) || option->at == AT(profile.sample_bytes);
}

/* Empties all caches, also of an owner who has lost the processor inside of his: as soon as he is
 * out, unless he is stopped. */
static void
drain_all(handle_store *store)
{
    enum { LOOKS = 100, REST_NS = 1000000 };
    for (unsigned looks = LOOKS; looks > 0; looks--) {
        if (sn_caches_drain(&store->caches, false, false, NULL) == 0)
            return;
        sn_os_sleep_ns(REST_NS);
    }
}

/* Without memory it does not stay yes. Threads look at what is in force when they next fill their
 * caches, which are empty from here on. */
static int
profile(handle_store *store)
{
    pthread_mutex_lock(&set_lock);
    bool done = sn_profile_configure(store);
    if (!done)
        sn_store_relaxed(&store->options.profile.enabled, false);
    pthread_mutex_unlock(&set_lock);
    drain_all(store);
    return done ? 0 : -ENOMEM;
}

static void
tell_threads(handle_store *store)
{
    sn_store_signal(store, true);
    sn_mover_wake(store);
}

int
handle_store_set(handle_store *store, const char *name, const char *value)
{
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (!store || !name || !value)
        return -EINVAL;
    struct handle_store_options *values = &store->options;
    const struct sn_option *option = sn_option_find(name);
    int64_t number;
    if (!option)
        return sn_options_refuse(values, "option %s: unknown; '%s' was not set", name, value);
    if (option->at_creation)
        return sn_options_refuse(values, "option %s: '%s': only at creation", name, value);
    int error = sn_option_parse(values, option, value, &number);
    if (!error)
        error = sn_option_check(values, option, number);
    if (!error)
        error = set_checked(store, option, number);
    if (error)
        return error;
    tell_threads(store);
    if (is_bound(option))
        sn_caches_drain(&store->caches, false, false, NULL);
    if (is_of_profile(option))
        return profile(store);
    return option->at == AT(defrag.enabled) ? enable(store) : 0;
}

int
handle_store_get(handle_store *store, const char *name, char *value, size_t size)
{
    char text[32];
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    const struct sn_option *option = sn_option_find(name);
    if (!store || !option || !value)
        return -EINVAL;
    int length = sn_option_print(&store->options, option, text, sizeof(text));
    if ((size_t)length >= size)
        return -ENOSPC;
    memcpy(value, text, (size_t)length + 1);
    return 0;
}

void
sn_settings_apply(handle_store *store)
{
    apply_bounds(store);
    apply_hugepages(store);
    tell_threads(store);
}
