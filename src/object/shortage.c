/* SPDX-License-Identifier: MIT */
/* shortage.c - see shortage.h. */
#include "object/shortage.h"

#include "base/cancel.h"
#include "core/misuse.h"
#include "core/report.h"
#include "memory/answer.h"
#include "memory/trim.h"
#include "thread/drain.h"
#include "thread/refill.h"

#include <string.h>

/* Refusals between two times that all caches are emptied, when the last times gained nothing. */
#define PASSED_OVER_MAX 1024

/* Requests that a thread has under way by turns, more than are kept: after so many EAGAIN in a row
 * one is told ENOMEM. */
#define IN_A_ROW_MAX 256

_Thread_local struct sn_waits sn_shortage_waits;
/* The thread is inside of a pressure callback. */
static _Thread_local bool under_pressure;

/* ---- what there is --------------------------------------------------------------------------- */

/* Whether a slot of its class would do. Above a limit that was lowered none does: what comes goes
 * back. */
static bool
slot_would_do(const handle_store *store, const struct sn_need *need)
{
    return need->class_id != SN_CLASS_NONE && sn_budget_excess(&store->budget) == 0;
}

/* False: the class has no spans, and nothing to give. The lists of its spans are left out: only
 * emptied_of looks at them. */
static bool
use_of(const handle_store *store, unsigned class_id, struct sn_class_use *use)
{
    if (sn_load_relaxed(&store->heap.of[class_id].spans[SN_MOVABLE]) == 0)
        return false;
    sn_heap_class_sums(&store->heap, class_id, use);
    return true;
}

static uint64_t
emptied_of(const handle_store *store, unsigned class_id, struct sn_class_use *use, uint64_t slots)
{
    if (slots == 0)
        return 0;
    sn_heap_class_lists(&store->heap, class_id, use);
    return sn_answer_emptied(use, slots);
}

/* Slots of a class that a grace period brings back. */
static uint64_t
limbo_slots(const handle_store *store, const struct sn_cache_estimate *estimate, unsigned class_id)
{
    const struct sn_heap_class *hc = &store->heap.of[class_id];
    uint64_t used =
        sn_load_relaxed(&hc->used[SN_MOVABLE]) + sn_load_relaxed(&hc->used[SN_UNMOVABLE]);
    if (estimate->limbo_bytes == 0)
        return 0;
    return sn_at_least_zero(used - estimate->out[class_id] - sn_load_relaxed(&hc->unreclaimable));
}

/* Free slots of the class, with their pages, in spans that the mover or a walk has detached: those
 * there are, since the others give theirs to who asks. */
static uint64_t
detached_slots(const handle_store *store, unsigned class_id)
{
    struct sn_class_use c;
    bool any = use_of(store, class_id, &c) && c.detached > 0;
    return any ? sn_answer_loose(&c) / c.slot_bytes : 0;
}

static uint64_t
own_slots(const handle_store *store, const struct sn_need *need,
          const struct sn_cache_estimate *estimate)
{
    uint64_t slots = need->index ? estimate->indexes : 0;
    if (!slot_would_do(store, need))
        return slots;
    slots += limbo_slots(store, estimate, need->class_id);
    if (!need->unmovable)
        slots += estimate->cached[need->class_id] + detached_slots(store, need->class_id);
    return slots;
}

static uint64_t
table_empty_bytes(const handle_store *store)
{
    return (uint64_t)sn_load_relaxed(&store->table.empty_pages) << SN_PAGE_SHIFT;
}

/* Of spans and of the table. */
static uint64_t
empty_bytes(const handle_store *store)
{
    return sn_load_relaxed(&store->pool.empty_bytes) + table_empty_bytes(store);
}

/* Pages that come back with limbo and what idle threads cache, with the mover's help or without. */
static void
add_pages(handle_store *store, const struct sn_cache_estimate *estimate, struct sn_coming *coming)
{
    struct sn_gain sum = {0};
    uint64_t small = 0, emptied = 0;
    for (unsigned i = 0; i < store->classes.count; i++) {
        struct sn_class_use c;
        uint64_t limbo = limbo_slots(store, estimate, i);
        uint64_t back = limbo + estimate->idle[i];
        small += limbo * store->classes.of[i].slot_bytes;
        if (!use_of(store, i, &c))
            continue;
        emptied += emptied_of(store, i, &c, back);
        sn_gain_add(&sum, &c, back);
    }
    uint64_t large = sn_at_least_zero(sn_wrapping_sub(estimate->limbo_bytes, small));
    uint64_t gain = sn_mover_gain(store, &sum);
    coming->all_bytes = sn_load_relaxed(&store->pool.arena_committed) +
                        sn_load_relaxed(&store->table.committed_bytes);
    /* With what comes goes what is empty already, and was not enough to be given back for this. */
    uint64_t empty = empty_bytes(store);
    coming->emptied_bytes = emptied + large > 0 ? emptied + large + empty : 0;
    coming->gained_bytes = gain > 0 ? gain + large + empty : 0;
}

static uint64_t
lacks_pages(const handle_store *store, const struct sn_need *need)
{
    return sn_budget_lacks(&store->budget, need->page_bytes, SN_CHARGE_APPLICATION);
}

/* What must be given back before the pages pass the limit; or, if that is not what lacks, all, and
 * the addresses of a run. */
static uint64_t
lacks_of(const handle_store *store, const struct sn_need *need)
{
    uint64_t lacks = lacks_pages(store, need);
    return lacks > 0 ? lacks : sn_max(need->page_bytes, need->run_bytes);
}

/* Whether a run is on its way that may be long enough: an ended object's, of which more blocks than
 * have pages are free then, and what is beside it. */
static bool
run_comes(handle_store *store, const struct sn_need *need)
{
    return need->run_bytes > 0 && lacks_pages(store, need) == 0 &&
           sn_large_coming_bytes(&store->large) >= need->run_bytes;
}

/* What a class can give at most: free slots, and the one that it keeps. */
static uint64_t
loose_or_kept(const handle_store *store, unsigned class_id)
{
    struct sn_class_use c;
    if (!use_of(store, class_id, &c))
        return 0;
    bool keeps = sn_load_relaxed(&store->heap.of[class_id].kept) != 0;
    return sn_answer_loose(&c) + (keeps ? c.slot_bytes : 0);
}

/* Whether all that is not live is less than what pages lack: nothing is to be gathered, and nothing
 * comes. The mover, too, gains no more than what is free. */
static bool
is_hopeless(handle_store *store, const struct sn_need *need)
{
    uint64_t lacks = lacks_of(store, need);
    if (slot_would_do(store, need) || need->index || run_comes(store, need))
        return false; /* a single one is enough */
    uint64_t most = empty_bytes(store) + sn_load_relaxed(&store->pool.excess_bytes) +
                    sn_caches_reclaimable_max(&store->caches);
    for (unsigned i = 0; i < store->classes.count && most < lacks; i++)
        most += loose_or_kept(store, i);
    return most < lacks;
}

/* ---- gathering ------------------------------------------------------------------------------- */

static bool
gather_own(handle_store *store, const struct sn_need *need)
{
    if (!slot_would_do(store, need) || need->unmovable)
        return false;
    if (sn_caches_hold_class(&store->caches, need->class_id) &&
        sn_caches_drain_class(&store->caches, need->class_id) > 0)
        return true;
    return detached_slots(store, need->class_id) > 0 && sn_mover_open_class(store, need->class_id);
}

static bool
gather_index(handle_store *store, const struct sn_need *need)
{
    if (!need->index || !sn_caches_hold_indexes(&store->caches))
        return false;
    sn_caches_drain(&store->caches, false, false, NULL);
    return true;
}

/* Pages that emptying all caches gives back at most; *loose: those that lie under free slots. */
static uint64_t
cached_page_bytes(handle_store *store, uint64_t *loose)
{
    struct sn_cache_estimate estimate;
    uint64_t bytes = 0;
    *loose = 0;
    sn_caches_estimate(&store->caches, &estimate);
    for (unsigned i = 0; i < store->classes.count; i++) {
        struct sn_class_use c;
        if (!use_of(store, i, &c))
            continue;
        bytes += emptied_of(store, i, &c, estimate.cached[i]);
        *loose += sn_answer_loose(&c);
    }
    return bytes;
}

/* Caches are emptied again and again beside threads that fill them: after times without gain it is
 * done for one refusal of 2, 4, 8... */
static bool
is_passed_over(handle_store *store)
{
    uint32_t left = sn_load_relaxed(&store->shortage.pass_over);
    if (left > 0)
        sn_store_relaxed(&store->shortage.pass_over, left - 1);
    return left > 0;
}

static void
note_gain(handle_store *store, bool gained)
{
    uint32_t last = sn_load_relaxed(&store->shortage.last_pass_over);
    uint32_t next = gained ? 0 : (uint32_t)sn_min(last * 2 + 1, PASSED_OVER_MAX);
    sn_store_relaxed(&store->shortage.last_pass_over, next);
    sn_store_relaxed(&store->shortage.pass_over, next);
}

/* False: the pages do not pass the limit, whatever was given back. */
static bool
make_room(handle_store *store, const struct sn_need *need)
{
    /* A round gives back what it finds in so much; and others take some of it. */
    uint64_t lacks = 1, rounds = 4 + lacks_of(store, need) / SN_BLOCK_BYTES;
    for (; lacks > 0 && rounds > 0; rounds--) {
        lacks = lacks_pages(store, need);
        if (lacks > 0 && !sn_heap_make_room(&store->heap, lacks))
            break;
    }
    return lacks == 0;
}

/* Pages behind what is used of their runs. */
static bool
trim_excess(handle_store *store)
{
    return sn_load_relaxed(&store->pool.excess_bytes) > 0 &&
           sn_large_trim(&store->large, SIZE_MAX, true) +
                   sn_heap_trim_excess(&store->heap, SIZE_MAX) >
               0;
}

/* What classes keep for movable objects is free again, but for a request that it serves itself. */
static void
end_kept(handle_store *store, const struct sn_need *need)
{
    bool own = slot_would_do(store, need) && !need->unmovable;
    (void)sn_heap_end_kept(&store->heap, own ? need->class_id : SN_CLASS_NONE);
}

/* Empty spans and table pages, pages under free slots, and what caches keep from being such. False:
 * it is not enough. */
static bool
gather_pages(handle_store *store, const struct sn_need *need)
{
    bool trimmed = trim_excess(store);
    end_kept(store, need);
    uint64_t lacks = lacks_of(store, need), loose;
    uint64_t tables = table_empty_bytes(store);
    uint64_t empty = sn_load_relaxed(&store->pool.empty_bytes) + tables;
    if (empty < lacks && is_passed_over(store))
        return trimmed;
    uint64_t cached = cached_page_bytes(store, &loose);
    if (cached + loose + empty < lacks)
        return trimmed;
    if (empty < lacks && cached > 0) {
        sn_caches_drain(&store->caches, false, false, NULL);
        end_kept(store, need);
    }
    if (tables > 0)
        sn_table_purge(&store->table, UINT32_MAX);
    bool gained = make_room(store, need);
    if (empty < lacks)
        note_gain(store, gained);
    return gained || trimmed;
}

/* Whether memory was gathered that may serve the request. */
static bool
gather(handle_store *store, const struct sn_need *need)
{
    return !is_hopeless(store, need) &&
           (gather_index(store, need) || gather_own(store, need) || gather_pages(store, need));
}

/* ---- answering ------------------------------------------------------------------------------- */

static bool
is_wait_for(const struct sn_wait *wait, const struct sn_need *need)
{
    return wait->class_id == need->class_id && wait->page_bytes == need->page_bytes &&
           wait->run_bytes == need->run_bytes && wait->unmovable == need->unmovable &&
           wait->index == need->index;
}

/* What the thread was told when it was refused this before; SN_WAITS: nothing. */
static unsigned
find_wait(const handle_store *store, const struct sn_need *need)
{
    unsigned i = 0;
    while (i < SN_WAITS && !(sn_shortage_waits.of[i].store == store->number &&
                             is_wait_for(&sn_shortage_waits.of[i], need)))
        i++;
    return i;
}

static void
drop_wait(unsigned i)
{
    struct sn_wait *of = sn_shortage_waits.of;
    memmove(of + i, of + i + 1, (SN_WAITS - 1 - i) * sizeof(*of));
    of[SN_WAITS - 1] = (struct sn_wait){0};
}

void
sn_shortage_drop_wait(const handle_store *store, unsigned class_id, bool index)
{
    for (unsigned n = SN_WAITS; n > 0; n--) {
        const struct sn_wait *wait = &sn_shortage_waits.of[n - 1];
        if (wait->store == store->number && wait->class_id == class_id && wait->index == index)
            drop_wait(n - 1);
    }
    sn_shortage_waits.in_a_row = 0;
}

/* How the thread has waited for this request, which it was told to do. */
static struct sn_waited
waited_for(handle_store *store, const struct sn_wait *wait)
{
    const struct sn_thread_cache *cache = sn_cache_self(&store->caches);
    /* What it has freed since may be enough. (In the fallback cache others count, too.) */
    if (!wait->over || !(cache->shared || wait->frees == sn_cache_frees(cache)))
        return (struct sn_waited){0};
    struct sn_waited waited = wait->waited;
    waited.hopeful = sn_at_least_zero(sn_mover_gained(store) - wait->gained) > 0 ||
                     sn_mover_undecided(&store->mover) != wait->undecided;
    return waited;
}

/* The thread is told to wait. */
static void
note_wait(handle_store *store, const struct sn_need *need, const struct sn_wait *told)
{
    if (told->by_pages)
        sn_store_relaxed(&store->shortage.told, told->waited.lacked_bytes);
    if (told->cached)
        sn_store_relaxed(&store->shortage.told_cached, 1);
    struct sn_wait *of = sn_shortage_waits.of;
    unsigned i = (unsigned)sn_min(find_wait(store, need), SN_WAITS - 1);
    memmove(of + 1, of, i * sizeof(*of));
    of[0] = *told;
    of[0].store = store->number;
    of[0].page_bytes = need->page_bytes;
    of[0].run_bytes = need->run_bytes;
    of[0].frees = sn_cache_frees(sn_cache_self(&store->caches));
    of[0].gained = sn_mover_gained(store);
    of[0].undecided = sn_mover_undecided(&store->mover);
    of[0].class_id = need->class_id;
    of[0].unmovable = need->unmovable;
    of[0].index = need->index;
    sn_shortage_waits.in_a_row++;
}

/* The store's latest; NULL: there is none. */
static struct sn_wait *
latest_wait(const handle_store *store)
{
    for (unsigned i = 0; i < SN_WAITS; i++) {
        if (sn_shortage_waits.of[i].store == store->number)
            return &sn_shortage_waits.of[i];
    }
    return NULL;
}

struct sn_wait
sn_shortage_begin_wait(handle_store *store)
{
    const struct sn_wait *wait = latest_wait(store);
    if (wait)
        return *wait;
    uint64_t told = sn_swap_acq_rel(&store->shortage.told, 0);
    bool cached = sn_swap_acq_rel(&store->shortage.told_cached, 0) != 0;
    return (struct sn_wait){.store = told > 0 || cached ? store->number : 0,
                            .waited = {.lacked_bytes = told},
                            .class_id = SN_CLASS_NONE,
                            .by_pages = told > 0,
                            .cached = cached};
}

bool
sn_shortage_secure(handle_store *store, const struct sn_wait *wait)
{
    uint64_t slot = sn_heap_take_one(&store->heap, wait->class_id);
    if (slot)
        sn_cache_flush(&store->caches, sn_cache_self(&store->caches), wait->class_id, slot);
    return slot != 0;
}

void
sn_shortage_note_waited(const handle_store *store)
{
    struct sn_wait *wait = latest_wait(store);
    if (!wait)
        return;
    wait->waited.times += !wait->over;
    wait->over = true;
}

/* What comes to the request: slots of its class or, when it has waited for these in vain, and there
 * are none, pages. */
static struct sn_coming
look_for_more(handle_store *store, const struct sn_need *need, const struct sn_wait *last,
              const struct sn_waited *waited, uint64_t lacks, struct sn_wait *told)
{
    struct sn_cache_estimate estimate;
    struct sn_coming coming = {0};
    sn_caches_estimate(&store->caches, &estimate);
    bool in_vain = !last->by_pages && sn_answer_is_in_vain(lacks, waited);
    if (!in_vain)
        coming.own_slots = own_slots(store, need, &estimate);
    told->by_pages = coming.own_slots == 0;
    if (told->by_pages)
        add_pages(store, &estimate, &coming);
    if (run_comes(store, need))
        coming.all_bytes = coming.emptied_bytes = UINT64_MAX;
    told->cached = (need->class_id != SN_CLASS_NONE && estimate.cached[need->class_id] > 0) ||
                   (need->index && estimate.indexes > 0);
    if (estimate.limbo_bytes > 0)
        sn_store_signal(store, true);
    return coming;
}

/* Asks for what comes. False: nothing that helps. */
static bool
ask_for_more(handle_store *store, const struct sn_need *need)
{
    if (store->forked)
        return false; /* G10: nothing leaves limbo, and nobody moves */
    sn_hook(SN_HOOK_SHORTAGE, store);
    if (is_hopeless(store, need) || sn_shortage_waits.in_a_row >= IN_A_ROW_MAX)
        return false;
    static const struct sn_wait none;
    uint64_t lacks = lacks_of(store, need);
    unsigned i = find_wait(store, need);
    const struct sn_wait *last = i < SN_WAITS ? &sn_shortage_waits.of[i] : &none;
    struct sn_waited waited = waited_for(store, last);
    struct sn_wait told = {.waited = {.lacked_bytes = lacks, .times = waited.times}};
    struct sn_coming coming = look_for_more(store, need, last, &waited, lacks, &told);
    if (told.by_pages && !last->by_pages && waited.times < SN_ANSWER_WAITS_MAX)
        waited.lacked_bytes = 0; /* for pages it has not waited */
    if (sn_answer(lacks, &waited, &coming) == SN_ANSWER_ENOMEM)
        return false;
    if (coming.gained_bytes >= lacks)
        sn_mover_request_memory(store);
    note_wait(store, need, &told);
    return true;
}

void
sn_shortage_request_memory(handle_store *store, uint64_t lacks_bytes)
{
    struct sn_gain gain = {0};
    for (unsigned i = 0; i < store->classes.count; i++) {
        struct sn_class_use c;
        if (use_of(store, i, &c))
            sn_gain_add(&gain, &c, 0);
    }
    if (sn_mover_gain(store, &gain) >= lacks_bytes)
        sn_mover_request_memory(store);
}

static uint64_t
gather_and_try(handle_store *store, const struct sn_need *need,
               uint64_t (*attempt)(handle_store *, void *), void *opaque)
{
    enum { ROUNDS = 3 }; /* others may take what was gathered; each round looks elsewhere, too */
    uint64_t found = 0;
    for (int round = 0; !found && round < ROUNDS && gather(store, need); round++)
        found = attempt(store, opaque);
    return found;
}

/* Tries with what the thread has prepared (handle_store_prepare). */
static uint64_t
try_prepared(handle_store *store, uint64_t (*attempt)(handle_store *, void *), void *opaque)
{
    struct sn_thread_cache *cache = sn_cache_self(&store->caches);
    if (sn_likely(cache->prepared == 0))
        return 0;
    sn_budget_credit = cache->prepared;
    uint64_t found = attempt(store, opaque);
    cache->prepared = sn_budget_credit;
    sn_budget_credit = 0;
    return found;
}

/* Asks the application. An allocation that its callback makes does not ask again. False: it was not
 * asked. */
static bool
ask_application(handle_store *store, size_t bytes)
{
    if (sn_load_relaxed(&store->budget.max_bytes) == 0 || !store->options.pressure ||
        under_pressure)
        return false;
    SN_NO_CANCELLATION;
    under_pressure = true;
    store->options.pressure(store->options.opaque, store, bytes);
    under_pressure = false;
    return true;
}

uint64_t
sn_shortage_resolve(handle_store *store, const struct sn_need *need,
                    uint64_t (*attempt)(handle_store *, void *), void *opaque)
{
    uint64_t small = sn_store_small(store);
    if (sn_load_relaxed(&store->budget.max_bytes) > 0)
        sn_store_relaxed(&store->heap.keeps, 1);
    uint64_t found = try_prepared(store, attempt, opaque);
    if (!found)
        found = gather_and_try(store, need, attempt, opaque);
    if (!found && ask_application(store, need->bytes)) {
        found = attempt(store, opaque);
        if (!found)
            found = gather_and_try(store, need, attempt, opaque);
    }
    bool comes = !found && ask_for_more(store, need);
    if (!found && !comes) /* what was on its way may have come since the last attempt */
        found = attempt(store, opaque);
    if (comes)
        sn_add_relaxed(&store->alloc_retries, 1);
    else if (!found)
        sn_store_note_failure(store, small);
    if (!comes)
        sn_shortage_end_wait(store, need->class_id, need->index);
    if (!found)
        errno = comes ? EAGAIN : ENOMEM;
    return found;
}

/* ---- memory asked for ahead ------------------------------------------------------------------ */

static uint64_t
try_charge(handle_store *store, void *bytes)
{
    return sn_budget_charge(&store->budget, *(uint64_t *)bytes, SN_CHARGE_APPLICATION);
}

static int
prepare(handle_store *store, size_t bytes)
{
    struct sn_thread_cache *cache = sn_cache_self(&store->caches);
    if (cache->shared)
        return -ENOMEM;
    sn_cache_end_prepared(&store->caches, cache);
    if (bytes == 0 || sn_load_relaxed(&store->budget.max_bytes) == 0)
        return 0;
    /* Pages that the first object of a size touches, and metadata of its span and its handle. */
    uint64_t charge = sn_round_up(bytes + bytes / 16, SN_PAGE_BYTES) + SN_BLOCK_BYTES;
    struct sn_need need = {.bytes = bytes, .page_bytes = charge, .class_id = SN_CLASS_NONE};
    bool charged =
        try_charge(store, &charge) || sn_shortage_resolve(store, &need, try_charge, &charge);
    sn_cache_end_prepared(&store->caches, cache); /* by the pressure callback */
    if (!charged)
        return -errno;
    cache->prepared = charge;
    sn_add_relaxed(&store->budget.prepared, charge);
    return 0;
}

int
handle_store_prepare(handle_store *store, size_t bytes)
{
    sn_check_call(store, SN_REGISTERED, 0, NULL);
    if (!store || bytes > SN_ARENA_MAX_BYTES)
        return -EINVAL;
    sn_slow_call_begin(&store->caches); /* a detach in the callback keeps the thread's cache */
    int result = prepare(store, bytes);
    sn_slow_call_end(&store->caches);
    return result;
}
