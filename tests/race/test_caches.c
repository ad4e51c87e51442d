/* SPDX-License-Identifier: MIT */
/*
 * test_caches.c - a thread stands between showing itself busy and looking whether it is kept out of
 * its cache, or a drainer between keeping owners out and emptying their caches; and the other side
 * comes by. Neither waits for the other, and no slot has two owners. And a checker that comes by
 * while a span stands between the pool and its class, or beside which a call begins and ends.
 */
#include "race.h"
#include "thread/drain.h"

#define OTHER_BYTES 200 /* another class */

static handle_store *
store_of(const struct actor *actor)
{
    return actor->race->store;
}

static void
ground_with_caches(struct race *race, bool by_cell)
{
    ground_make(race, by_cell);
    use_thread_caches(race);
}

static uint64_t
cached_bytes(struct race *race)
{
    struct handle_stats stats = take_stats(race->store);
    uint64_t bytes = stats.thread_cache;
    return bytes;
}

/* Slots in the calling thread's cache; without a lock, unlike the statistics. */
static unsigned
own_slots(struct race *race)
{
    const struct sn_thread_cache *cache = sn_cache_self(&race->store->caches);
    unsigned count = 0;
    for (unsigned i = 0; i < race->store->classes.count; i++)
        count += sn_cache_count(cache, i);
    return count;
}

/* Leaves free slots of both classes in the thread's cache. */
static void
warm_up(handle_store *store)
{
    handle_t handles[40];
    section_enter();
    for (unsigned i = 0; i < 40; i++) {
        handles[i] = handle_alloc(store, i % 2 ? THING_BYTES : OTHER_BYTES);
        thread_check(handles[i] != HANDLE_NULL);
    }
    for (unsigned i = 0; i < 40; i++)
        thread_check(handle_free_now(store, handles[i]) == 0);
    section_leave();
}

/* ---- the owner is busy ----------------------------------------------------------------------- */

/* Warm, says so, then one allocation, in which it is stopped, and its free. */
static void
body_owner(struct actor *actor)
{
    warm_up(store_of(actor));
    actor_stays(actor);
    actor->handle = handle_alloc(store_of(actor), OTHER_BYTES);
    thread_check(actor->handle != HANDLE_NULL);
    actor_stays(actor);
    section_enter();
    thread_check(handle_free_now(store_of(actor), actor->handle) == 0);
    section_leave();
}

static struct actor *
owner_stands_busy(struct race *race)
{
    struct actor *owner = actor_inside(race, body_owner);
    actor_leave_to(owner, SN_HOOK_CACHE_INSIDE, NULL);
    return owner;
}

static void
owner_ends(struct actor *owner)
{
    actor_go(owner);
    actor_await(owner);
    actor_finish(owner);
}

/*
 * A drainer skips it and does not wait. Fails when it takes the arrays of a busy owner: the slot
 * that the owner pops next would also be free in the heap (its assertion, or the sums at the end).
 */
static void
test_busy_owner_is_skipped(struct race *race)
{
    struct actor *owner = owner_stands_busy(race);
    uint64_t before = cached_bytes(race);
    assert_int_not_equal(before, 0);
    if (FLAVOUR_QSBR) /* where it stands it is online: a purge would wait for it */
        assert_int_equal(sn_caches_drain(&race->store->caches, false, false, NULL), 1);
    else
        assert_int_equal(handle_store_purge(race->store, NULL), 0);
    assert_int_equal(cached_bytes(race), before);
    owner_ends(owner);
    assert_int_equal(cached_bytes(race), 0); /* it gave everything back when it ended */
}

/* What the owner held when a walk kept it out, it holds afterwards: it went past its cache. */
struct walk_past {
    struct race *race;
    struct actor *owner;
    uint64_t before;
    bool done;
};

static int
let_the_owner_go_on(void *opaque, const struct handle_object *object)
{
    struct walk_past *walk = opaque;
    (void)object;
    if (walk->done)
        return 0;
    walk->done = true;
    walk->before = cached_bytes(walk->race);
    actor_go(walk->owner);
    while (sem_wait(&walk->owner->inside) != 0) /* not actor_await: this is a section */
        ;
    assert_int_equal(cached_bytes(walk->race), walk->before);
    return 0;
}

/*
 * The owner has shown itself busy, a walk begins, the owner looks and finds itself kept out. Fails
 * when it does not look: it would use its arrays under the walk.
 */
static void
test_walk_keeps_a_busy_owner_out(struct race *race)
{
    struct walk_past walk = {.race = race};
    walk.owner = owner_stands_busy(race);
    assert_int_equal(handle_store_each(race->store, let_the_owner_go_on, &walk), 0);
    assert_true(walk.done);
    actor_leave(walk.owner);
    actor_join(walk.owner);
}

/* ---- a drainer at work ----------------------------------------------------------------------- */

static void
body_drain(struct actor *actor)
{
    actor->result = (int)sn_caches_drain(&store_of(actor)->caches, false, false, NULL);
}

/* Meanwhile the owner allocates and frees, by every call, without its cache. */
static void
test_owner_goes_past_its_cache(struct race *race)
{
    handle_cell cell = HANDLE_CELL_INIT;
    warm_up(race->store);
    struct actor *drainer = actor_stands(race, body_drain, SN_HOOK_CACHE_DRAIN, NULL);
    unsigned before = own_slots(race);
    assert_int_not_equal(before, 0);
    section_enter();
    handle_t a = handle_alloc(race->store, OTHER_BYTES);
    handle_t b = handle_alloc(race->store, OTHER_BYTES);
    assert_true(a != HANDLE_NULL && b != HANDLE_NULL && a != b);
    assert_non_null(handle_cell_alloc(race->store, &cell, OTHER_BYTES, 0));
    assert_int_equal(handle_free_now(race->store, a), 0);
    assert_int_equal(handle_free(race->store, b), 0);
    assert_int_equal(handle_cell_free_now(race->store, &cell), 0);
    section_leave();
    assert_int_equal(own_slots(race), before);
    actor_finish(drainer);
    assert_int_equal(drainer->result, 0);
    assert_int_equal(own_slots(race), 0);
    thing_make(race, 5000); /* and it goes on */
}

/* A thread that meets the store for the first time while a drainer is at work. */
static void
body_newcomer(struct actor *actor)
{
    actor->handle = handle_alloc(store_of(actor), OTHER_BYTES);
    section_enter();
    actor->result = handle_free_now(store_of(actor), actor->handle);
    section_leave();
}

static void
test_newcomer_during_a_take(struct race *race)
{
    warm_up(race->store);
    struct actor *drainer = actor_stands(race, body_drain, SN_HOOK_CACHE_DRAIN, NULL);
    struct actor *newcomer = actor_start(race, body_newcomer); /* may have to wait for it */
    actor_go(drainer);
    actor_join(newcomer);
    actor_join(drainer);
    assert_int_equal(newcomer->result, 0);
}

/* ---- cached slots of a span that is evacuated ------------------------------------------------ */

/* Frees one of the kept into its cache, then stands busy in a call on another class. */
static void
body_hold_a_slot(struct actor *actor)
{
    warm_up(store_of(actor));
    actor_stays(actor);
    section_enter();
    thread_check(handle_free_now(store_of(actor), actor->race->things[60].handle) == 0);
    section_leave();
    actor_stays(actor);
    actor->handle = handle_alloc(store_of(actor), OTHER_BYTES);
    section_enter();
    thread_check(handle_free_now(store_of(actor), actor->handle) == 0);
    section_leave();
}

static struct actor *
slot_is_held(struct race *race)
{
    struct actor *holder = actor_inside(race, body_hold_a_slot);
    sn_lock(&race->store->caches.lock); /* locked out, it would free to the heap */
    actor_leave(holder);
    actor_await(holder);
    sn_unlock(&race->store->caches.lock);
    thing_is_gone(&race->things[60]);
    actor_leave_to(holder, SN_HOOK_CACHE_INSIDE, NULL);
    return holder;
}

/*
 * The owner does not come out of its cache: the span's objects are moved all the same, compaction
 * ends, and the span is left to the owner. Fails when compaction waits for the slot.
 */
static void
test_compaction_ends_without_a_cached_slot(struct race *race)
{
    if (FLAVOUR_QSBR)
        skip(); /* the owner stands online: no grace period, no compaction */
    struct actor *holder = slot_is_held(race);
    struct actor *mover = actor_start(race, body_compact);
    actor_join(mover);
    assert_int_equal(mover->report.moved_objects, KEPT - 1);
    assert_int_equal(mover->report.spans_evacuated, 0);
    actor_go(holder);
    actor_join(holder);
}

/* The owner comes out while the span waits for its slot: the mover takes it back and is done. */
static void
test_compaction_waits_for_a_cached_slot(struct race *race)
{
    if (FLAVOUR_QSBR)
        skip();
    struct actor *holder = slot_is_held(race);
    struct actor *mover = stand(race, body_compact, SN_HOOK_BEFORE_RECLAIM);
    actor_go(holder);
    actor_join(holder); /* it ends, and its cache goes back */
    actor_finish(mover);
    assert_int_equal(mover->report.moved_objects, KEPT - 1);
    assert_int_equal(mover->report.spans_evacuated, 1);
}

/* An idle owner's slots of the span are drained when the batch begins. */
static void
body_idle_holder(struct actor *actor)
{
    actor_stays(actor);
    section_enter();
    thread_check(handle_free_now(store_of(actor), actor->race->things[60].handle) == 0);
    section_leave();
    actor_stays(actor);
}

static void
test_slots_of_an_idle_owner(struct race *race)
{
    struct actor *holder = actor_inside(race, body_idle_holder);
    struct actor *mover = stand(race, body_compact, SN_HOOK_AFTER_MARK);
    actor_leave(holder); /* it frees into its cache while the span is closed */
    actor_await(holder);
    thing_is_gone(&race->things[60]);
    actor_finish(mover);
    assert_int_equal(mover->report.moved_objects, KEPT - 1);
    assert_int_equal(mover->report.spans_evacuated, 1);
    actor_finish(holder);
}

/* ---- a span is being made -------------------------------------------------------------------- */

/* Blocks never used before read as class 0 until their span is made. Seen failing: the checker took
 * such a block for a span of class 0 without free slots, beside an empty bitmap. */
static void
test_check_beside_a_span_in_the_making(struct race *race)
{
    struct sn_pool *pool = &race->store->pool;
    bool zero;
    uint8_t old_class;
    uint32_t high = pool->high;
    uint32_t number;
    do /* what others gave back is taken first */
        number = sn_pool_take(pool, 1, SN_BLOCK_PAGES, SN_CHARGE_APPLICATION, &zero, &old_class);
    while (number != 0 && number < high);
    assert_int_not_equal(number, 0);
    assert_int_equal(sn_span_state(&pool->spans[number]), SN_SPAN_TAKEN);
    assert_int_equal(pool->class_of[number], 0);
    assert_int_equal(handle_store_check(race->store, print_violation, NULL), 0);
    for (uint32_t block = 1; block < pool->high; block++) {
        if (sn_span_state(&pool->spans[block]) == SN_SPAN_TAKEN)
            sn_pool_put(pool, block, sn_os_now_ns());
    }
}

/* ---- a call begins and ends beside a checker ------------------------------------------------- */

/* Grows an object, in which it is stopped, and frees it. */
static void
body_grow(struct actor *actor)
{
    actor->handle = handle_alloc(store_of(actor), OTHER_BYTES);
    actor_stays(actor);
    actor->result = handle_resize(store_of(actor), actor->handle, 2 * OTHER_BYTES);
    actor_stays(actor);
    thread_check(handle_free(store_of(actor), actor->handle) == 0);
}

#define TURNS 5 /* sums, anybody inside?, walk, sums, anybody inside? */

/* The director checks; each time that it keeps owners out of their caches is a turn. */
static struct beside {
    void (*stages)(enum sn_hook_point point, const void *object);
    struct actor *actor;
    struct stage *copied;
    pthread_t checker;
    unsigned turn, begin, end;
} beside;

static void
growth_begins(void)
{
    actor_leave(beside.actor);
    stage_wait(beside.copied);
}

static void
growth_ends(void)
{
    stage_go(beside.copied);
    actor_await(beside.actor);
}

static void
on_turn(enum sn_hook_point point, const void *object)
{
    beside.stages(point, object);
    if (point != SN_HOOK_CACHE_DRAIN || !pthread_equal(pthread_self(), beside.checker))
        return;
    beside.turn++;
    if (beside.turn == beside.begin)
        growth_begins();
    if (beside.turn == beside.end)
        growth_ends();
}

/* The call lasts from the checker's turn `begin` to its turn `end`; the last may not come. */
static void
check_beside_growth(struct race *race, unsigned begin, unsigned end)
{
    beside = (struct beside){sn_hook_fn, NULL, NULL, pthread_self(), 0, begin, end};
    beside.actor = actor_start(race, body_grow);
    actor_await(beside.actor);
    beside.copied = stage_arm(race, SN_HOOK_RESIZE_COPIED, NULL);
    __atomic_store_n(&sn_hook_fn, on_turn, __ATOMIC_RELEASE);
    assert_int_equal(handle_store_check(race->store, print_violation, NULL), 0);
    __atomic_store_n(&sn_hook_fn, beside.stages, __ATOMIC_RELEASE);
    if (beside.turn < begin) /* not found at rest: no second sums were taken */
        growth_begins();
    if (beside.turn < end)
        growth_ends();
    actor_leave(beside.actor);
    actor_join(beside.actor);
    assert_int_equal(beside.actor->result, 0);
    __atomic_store_n(&beside.copied->state, 0, __ATOMIC_RELEASE); /* both may be used again */
    memset(beside.actor, 0, offsetof(struct actor, inside));
}

/*
 * The new slot is counted, the word not yet changed: a walk finds one object less than the counters
 * say. Fails when the checker looks whether anybody is inside a call only before it takes the sums
 * and after it has taken them again: seen, for a call that begins between and ends before.
 */
static void
test_check_beside_growth(struct race *race)
{
    for (unsigned begin = 1; begin < TURNS; begin++)
        for (unsigned end = begin; end <= TURNS; end++)
            check_beside_growth(race, begin, end);
}

/* ---- a checker where guards are raised ------------------------------------------------------- */

static void
body_check(struct actor *actor)
{
    actor->result = handle_store_check(actor->object, print_violation, NULL);
}

/* Three objects of a size at a time, by handle and by cell; now: freed for reuse at once. */
static void
use_and_free(handle_store *store, size_t size, bool now)
{
    handle_t handles[3];
    handle_cell cells[3] = {HANDLE_CELL_INIT, HANDLE_CELL_INIT, HANDLE_CELL_INIT};
    section_enter();
    for (unsigned i = 0; i < 3; i++) {
        handles[i] = handle_alloc(store, size);
        assert_int_equal(handle_size(store, handles[i]), size);
        assert_non_null(handle_cell_alloc(store, &cells[i], size, 0));
        assert_int_equal(handle_cell_size(store, &cells[i]), size);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal((now ? handle_free_now : handle_free)(store, handles[i]), 0);
        assert_int_equal((now ? handle_cell_free_now : handle_cell_free)(store, &cells[i]), 0);
    }
    section_leave();
}

/* Calls that take the slow path when `rounds` rounds of objects of a size come and go. */
static uint64_t
slow_calls(handle_store *store, size_t size, unsigned rounds)
{
    const struct sn_thread_cache *cache = sn_cache_self(&store->caches);
    unsigned class_id = sn_class_for(&store->classes, size);
    uint64_t live = cache->live_slow[class_id], frees = cache->frees_slow;
    for (unsigned round = 0; round < rounds; round++)
        use_and_free(store, size, true);
    use_and_free(store, size, false);
    /* An object's two calls may take different paths, so this difference may be negative. */
    int64_t more = (int64_t)(cache->live_slow[class_id] - live);
    return (uint64_t)(more < 0 ? -more : more) + cache->frees_slow - frees;
}

/*
 * Objects of every slot class are allocated and freed by the fast paths, once the thread's bin
 * holds as many as are used at a time. A bin may be drained meanwhile, and a walk keeps owners out:
 * then once more. Fails where larger ones take the slow path.
 */
static void
test_all_slot_classes_take_the_fast_path(struct race *race)
{
    enum { FEW = 8, TURNS_MAX = 20 };
    static const size_t sizes[] = {64, 2041, 3000, 6000, 9000, 12000};
    handle_store *store = race->store;
    set_option(store, "thread_cache_bytes", "1M");
    for (unsigned i = 0; i < 6; i++) {
        uint64_t slow = slow_calls(store, sizes[i], 40);
        for (unsigned turn = 0; turn < TURNS_MAX && slow > FEW; turn++)
            slow = slow_calls(store, sizes[i], 40);
        assert_in_range(slow, 0, FEW);
        assert_int_equal(handle_store_check(store, print_violation, NULL), 0);
    }
}

/*
 * Handles that come and go in bursts: in the end a thread keeps the entries of a burst, and nothing
 * goes to the table or comes from it. Fails when no more than those of one refill are kept.
 */
static void
test_indexes_of_bursts(struct race *race)
{
    enum { BURST = 900, BURSTS_MAX = 1000 };
    static handle_t handles[BURST];
    handle_store *store = race->store;
    const struct sn_thread_cache *cache = sn_cache_self(&store->caches);
    unsigned bursts = 0; /* now and then what an idle thread keeps is drained */
    for (; bursts < BURSTS_MAX && sn_cache_index_count(cache) < BURST; bursts++) {
        section_enter();
        for (unsigned i = 0; i < BURST; i++)
            handles[i] = handle_alloc(store, 24);
        for (unsigned i = 0; i < BURST; i++)
            assert_int_equal(handle_free_now(store, handles[i]), 0);
        section_leave();
    }
    assert_in_range(bursts, 1, BURSTS_MAX - 1);
    assert_int_equal(handle_store_check(store, print_violation, NULL), 0);
    handle_thread_detach(store);
    assert_int_equal(handle_store_check(store, print_violation, NULL), 0);
}

/* A class whose spans have more than one block. */
static const struct sn_class *
class_of_long_spans(const handle_store *store)
{
    const struct sn_class *c = store->classes.of;
    while (c->blocks < 2 || c->slots > 100)
        c++;
    assert_true(c < store->classes.of + store->classes.count);
    return c;
}

/* Fills one span; result: of its objects the one that begins in its second block. */
static unsigned
fill_first_span(handle_store *store, const struct sn_class *c, handle_t *handles)
{
    unsigned second = c->slots;
    uint32_t first = 0;
    for (unsigned i = 0; i < c->slots; i++) {
        handles[i] = handle_alloc(store, sn_class_payload(c) - store->classes.extra);
        section_enter();
        const void *object = handle_deref(store, handles[i]);
        section_leave();
        uint32_t block = sn_block_of(sn_store_offset(store, object) - SN_HEADER_BYTES);
        first = i == 0 ? block : first;
        if (block == first + 1)
            second = i;
    }
    assert_in_range(second, 0, c->slots - 1);
    return second;
}

/*
 * The checker is about to look at a header; its object is freed at once, and what was its span
 * becomes a large object with inaccessible pages behind it. Seen failing: SIGSEGV in the checker.
 */
static void
test_check_beside_guards(struct race *race)
{
    struct handle_store_options options = race->fixture->options;
    handle_t handles[100];
    options.hardened = true;
    options.arena_bytes = (size_t)1 << 20;
    options.thread_cache_bytes = 0;
    handle_store *store = handle_store_create(&options);
    assert_non_null(store);
    const struct sn_class *c = class_of_long_spans(store);
    unsigned second = fill_first_span(store, c, handles);
    uint64_t *word = sn_table_word(&store->table, sn_table_at(handles[second]));
    struct stage *stage = stage_arm(race, SN_HOOK_CHECK_HEADER, word);
    struct actor *checker = actor_new(race, body_check);
    checker->object = store;
    actor_run(checker);
    stage_wait(stage);
    section_enter();
    for (unsigned i = 0; i < c->slots; i++)
        assert_int_equal(handle_free_now(store, handles[i]), 0);
    section_leave();
    handle_t large = handle_alloc(store, SN_BLOCK_BYTES - 8); /* a canary and a guard behind it */
    assert_int_not_equal(large, HANDLE_NULL);
    stage_go(stage);
    actor_join(checker);
    assert_int_equal(checker->result, 0);
    assert_int_equal(handle_store_destroy(store), 0);
}

/* ---- what was evicted ------------------------------------------------------------------------ */

enum { EVICT_MOST = 20000 };

/* A store of its own, full, beside a race's. */
struct full {
    handle_store *store;
    unsigned class_id;
    unsigned n; /* handles */
    handle_t handles[EVICT_MOST];
    uint64_t to[EVICT_MOST]; /* what the mover has taken */
    uint32_t taken;
};

static void
full_make(struct full *full, struct race *race)
{
    struct handle_store_options options = race->fixture->options;
    options.max_bytes = 16 * MIB;
    options.thread_cache_bytes = 0;
    options.purge_delay_ms = -1; /* nobody gives pages back meanwhile */
    *full = (struct full){.store = handle_store_create(&options)};
    assert_non_null(full->store);
    full->class_id = sn_class_for(&full->store->classes, THING_BYTES);
    for (errno = 0; full->n < EVICT_MOST; errno = 0) {
        full->handles[full->n] = handle_alloc(full->store, THING_BYTES);
        if (full->handles[full->n] != HANDLE_NULL)
            full->n++;
        else if (errno == ENOMEM)
            return;
        else
            assert_int_equal(handle_store_reclaim(full->store, SIZE_MAX), 0);
    }
    fail();
}

/* The mover takes all that it may: spans that it closes, then each slot as a destination, and all
 * pages that are left. */
static void
mover_takes_all(struct full *full)
{
    struct sn_heap *heap = &full->store->heap;
    uint32_t more;
    while (sn_heap_close_sparsest(heap, full->class_id, 1, SN_FULL - 1))
        continue;
    while ((more = sn_heap_take(heap, full->class_id, SN_MOVABLE, SN_CHARGE_MOVER, 1,
                                full->to + full->taken)) != 0)
        full->taken += more;
}

static void
full_end(struct full *full)
{
    sn_heap_put(&full->store->heap, full->class_id, full->to, full->taken);
    assert_int_equal(handle_store_destroy(full->store), 0);
}

/*
 * Between a reclaim and the allocation that it was for the mover takes all: what has come is the
 * application's. Seen failing: where the budgets of caches allowed no bin it was back in the heap,
 * and EAGAIN after one eviction and one reclaim.
 */
static void
test_mover_takes_what_was_waited_for(struct race *race)
{
    static struct full full;
    full_make(&full, race);
    section_enter(); /* it stays in limbo */
    assert_int_equal(handle_free(full.store, full.handles[0]), 0);
    errno = 0;
    while (full.n < EVICT_MOST &&
           (full.handles[full.n] = handle_alloc(full.store, THING_BYTES)) != HANDLE_NULL)
        full.n++; /* pages that were given back since */
    assert_int_equal(errno, EAGAIN);
    section_leave();
    assert_int_equal(handle_store_reclaim(full.store, THING_BYTES), 0);
    mover_takes_all(&full);
    assert_int_not_equal(handle_alloc(full.store, THING_BYTES), HANDLE_NULL);
    full_end(&full);
}

/*
 * The mover takes all between the end of the grace period and the first try already. Seen failing:
 * it took the slot that was evicted, and the try found none, nor anything to wait for.
 */
static void
test_mover_takes_what_was_evicted(struct race *race)
{
    static struct full full;
    full_make(&full, race);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(handle_free(full.store, full.handles[i]), 0);
        wait_begin();
        bool cycled = sn_rcu_wait_cycle_until(full.store->rcu, &full.store->client, SN_NEVER);
        wait_end();
        assert_true(cycled);
        mover_takes_all(&full);
        assert_int_not_equal(handle_alloc(full.store, THING_BYTES), HANDLE_NULL);
    }
    full_end(&full);
}

/* ---- a million frees in one section ---------------------------------------------------------- */

/* Of the calls for memory that the million's section makes, the n-th and all behind it fail. */
static uint64_t asked, asked_last, refused_from;

static int
refuse_memory(enum sn_inject_point point)
{
    return point == SN_INJECT_MALLOC && __atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED) >=
                                            __atomic_load_n(&refused_from, __ATOMIC_RELAXED);
}

static void
refuse_memory_from(uint64_t nth)
{
    asked_last = __atomic_exchange_n(&asked, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&refused_from, nth, __ATOMIC_RELAXED);
    __atomic_store_n(&sn_inject_fn, nth > 0 ? refuse_memory : NULL, __ATOMIC_RELEASE);
}

#define MILLION  1000000
#define AT_TIMES 5000 /* frees, then a few allocations: they see to chunks */

static handle_cell million[MILLION];

static void
alloc_cells(handle_store *store, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        thread_check(handle_cell_alloc(store, &million[i], 8, 0) != NULL);
}

static void
free_cells(handle_store *store, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        thread_check(handle_cell_free(store, &million[i]) == 0);
}

/* All are freed in one section, no free fails, and nothing of it is reclaimed before its end. */
static void
free_million(handle_store *store, uint64_t nth)
{
    section_enter();
    alloc_cells(store, 0, MILLION);
    refuse_memory_from(nth);
    for (size_t end = AT_TIMES; end <= MILLION; end += AT_TIMES) {
        free_cells(store, end - AT_TIMES, end);
        alloc_cells(store, 0, 64);
        free_cells(store, 0, 64);
    }
    refuse_memory_from(0);
    assert_true(take_stats(store).limbo >= MILLION * UINT64_C(16));
    section_leave();
    assert_int_equal(handle_store_reclaim(store, SIZE_MAX), 0);
    struct handle_stats stats = take_stats(store);
    assert_int_equal(stats.limbo, 0);
    assert_int_equal(stats.objects, 0);
    assert_int_equal(handle_store_check(store, print_violation, NULL), 0);
}

/* A free needs no memory: none of the calls for it fails, all do, or those from some point on. */
static void
test_million_frees_without_memory(void **state)
{
    static const uint64_t from[] = {UINT64_MAX, 1, 2, 20};
    handle_store *store = ((struct race *)*state)->store;
    set_option(store, "thread_cache_bytes", "1M");
    for (unsigned i = 0; i < 4; i++) {
        free_million(store, from[i]);
        assert_true(asked_last >= sn_min(from[i], 20));
    }
}

#define WITH_CACHES(function) BY_HANDLE_ON(ground_with_caches, function)

static const struct CMUnitTest tests[] = {
    WITH_CACHES(test_busy_owner_is_skipped),
    WITH_CACHES(test_walk_keeps_a_busy_owner_out),
    WITH_CACHES(test_owner_goes_past_its_cache),
    WITH_CACHES(test_newcomer_during_a_take),
    WITH_CACHES(test_compaction_ends_without_a_cached_slot),
    WITH_CACHES(test_compaction_waits_for_a_cached_slot),
    WITH_CACHES(test_slots_of_an_idle_owner),
    BY_HANDLE(test_check_beside_a_span_in_the_making),
    BY_HANDLE(test_check_beside_growth),
    BY_HANDLE(test_check_beside_guards),
    BY_HANDLE(test_mover_takes_what_was_waited_for),
    BY_HANDLE(test_mover_takes_what_was_evicted),
    WITH_CACHES(test_all_slot_classes_take_the_fast_path),
    WITH_CACHES(test_indexes_of_bursts),
    RACE_TEST(test_million_frees_without_memory),
};

RACE_MAIN("caches", tests)
