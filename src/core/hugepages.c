/* SPDX-License-Identifier: MIT */
/* hugepages.c - see hugepages.h. */
#include "core/hugepages.h"

#include "os/osmem.h"

/* Where the kernel uses huge pages of itself, a plain arena would get them everywhere. Guards of
 * hardened stores split mappings, and huge pages. */
static enum handle_dense_reason
what_can_become(const handle_store *store)
{
    if (store->options.hugepages != HANDLE_HUGEPAGES_DENSE || store->hardened)
        return HANDLE_DENSE_FLAGGED;
    switch (sn_os_thp()) {
    case SN_THP_ON_DEMAND:
        return HANDLE_DENSE_WORKING;
    case SN_THP_ALWAYS:
        return HANDLE_DENSE_ALWAYS;
    default:
        return HANDLE_DENSE_UNSUPPORTED;
    }
}

void
sn_hugepages_init(handle_store *store)
{
    enum handle_dense_reason reason = what_can_become(store);
    store->pool.dense_reason = reason;
    store->pool.plain = reason == HANDLE_DENSE_WORKING;
}

enum handle_dense_reason
sn_hugepages_reason(handle_store *store)
{
    const struct sn_pool *pool = &store->pool;
    enum handle_dense_reason reason = sn_load_relaxed(&pool->dense_reason);
    if (sn_load_relaxed(&store->options.hugepages) != HANDLE_HUGEPAGES_DENSE)
        return HANDLE_DENSE_OFF;
    if (reason != HANDLE_DENSE_WORKING)
        return reason;
    if (!sn_load_relaxed(&store->options.defrag.enabled))
        return HANDLE_DENSE_DISABLED;
    if (sn_load_relaxed(&pool->arena_committed) < SN_DENSE_MIN_BYTES)
        return HANDLE_DENSE_SMALL;
    return sn_load_relaxed(&pool->collapse_refusals) > 0 ? HANDLE_DENSE_REFUSED
                                                         : HANDLE_DENSE_WORKING;
}
