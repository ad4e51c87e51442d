/* SPDX-License-Identifier: MIT */
/* insight.c - what the store's census and doctor say, in a cache's words. */
#include "cache/leave.h"

/* ---- census ---------------------------------------------------------------------------------- */

struct census {
    const sinter_cache *cache;
    const char *(*label)(void *opaque, const struct sinter_cache_view *item);
    void *opaque;
};

/* An item lies in an object that a cell of the index names; the pieces of a value have handles. */
static const char *
label_of(void *opaque, const struct handle_object *object)
{
    const struct census *census = opaque;
    const struct sc_item *item = object->data;
    struct sinter_cache_view view = {0};
    if (!object->cell)
        return "pieces of large values";
    sc_info(census->cache, item, &view.info);
    view.key = sc_item_key(item);
    view.key_size = sc_item_key_size(item);
    if (!sc_item_in_pieces(item)) { /* else the pieces may be going */
        view.data = sc_item_value(item);
        view.data_size = view.info.size;
    }
    const char *label = census->label ? census->label(census->opaque, &view) : NULL;
    return label ? label : "items";
}

int
sinter_cache_census(sinter_cache *cache,
                    const char *(*label)(void *opaque, const struct sinter_cache_view *item),
                    void *label_opaque, enum handle_profile_format format,
                    void (*write)(void *opaque, const char *text, size_t length), void *opaque)
{
    struct census census = {cache, label, label_opaque};
    if (!cache)
        return -EINVAL;
    return handle_store_census(cache->store, label_of, &census, format, write, opaque);
}

/* ---- doctor ---------------------------------------------------------------------------------- */

struct doctor {
    void (*finding)(void *opaque, const struct handle_finding *finding);
    void *opaque;
    int count;
};

/* A cache that is full is as it should be: it makes room itself. */
static void
tell(void *opaque, const struct handle_finding *finding)
{
    struct doctor *doctor = opaque;
    if (strcmp(finding->code, "limit_near") == 0 || strcmp(finding->code, "limit_hit") == 0)
        return;
    doctor->finding(doctor->opaque, finding);
    doctor->count++;
}

int
sinter_cache_doctor(sinter_cache *cache,
                    void (*finding)(void *opaque, const struct handle_finding *finding),
                    void *opaque)
{
    struct doctor doctor = {finding, opaque, 0};
    if (!cache || !finding)
        return -EINVAL;
    int result = handle_store_doctor(cache->store, tell, &doctor);
    return result < 0 ? result : doctor.count;
}
