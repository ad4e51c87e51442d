/* SPDX-License-Identifier: MIT */
/*
 * x3b_lru.c - X3b: what does a list cost whose links lie in movable objects? A million objects of
 * 120 bytes are in one list, and random ones are moved to its front, as an LRU does at each hit: by
 * handles in a store, and by pointers with the peer's malloc, in one process, in turns (rounds.h).
 * Each time four objects are written to: the one, its neighbours, and the one that was in front.
 */
#include "memory.h"
#include "peer.h"
#include "report.h"
#include "rounds.h"
#include "subject.h"

#include <string.h>

static uint64_t opt_objects, opt_rounds, opt_moves;
static const struct bench_option options[] = {
    {"objects", BENCH_COUNT, &opt_objects, "thousand", 1, 100000, 1000, 20, "Objects in the list"},
    {"rounds", BENCH_COUNT, &opt_rounds, "", 3, ROUNDS_MAX, 31, 3, "Rounds"},
    {"moves", BENCH_COUNT, &opt_moves, "thousand", 1, 100000, 20, 1,
     "Moves to the front in a turn"},
};

#define PAYLOAD 104

/* ---- by pointers */

struct linked {
    struct linked *before, *behind;
    char payload[PAYLOAD];
};
static struct linked **pointers, *front;

static void
push_pointer(uint32_t i)
{
    struct linked *made = malloc(sizeof(*made));
    if (!made)
        bench_fatal("no memory for object %u", i);
    *made = (struct linked){.behind = front};
    if (front)
        front->before = made;
    front = pointers[i] = made;
}

static void
unlink_pointer(struct linked *object)
{
    object->before->behind = object->behind;
    if (object->behind)
        object->behind->before = object->before;
}

static void
move_pointer(uint32_t i)
{
    struct linked *object = pointers[i];
    if (object == front)
        return;
    unlink_pointer(object);
    object->before = NULL;
    object->behind = front;
    front->before = object;
    front = object;
}

/* ---- by handles */

struct named {
    handle_t before, behind;
    char payload[PAYLOAD];
};
static handle_t *handles, first;

static struct named *
to_write(handle_t handle)
{
    return handle_deref_mut(subject_store, handle);
}

static void
push_handle(uint32_t i)
{
    void *made;
    subject_enter();
    handles[i] = handle_alloc_object(subject_store, sizeof(struct named), HANDLE_ZERO, &made);
    if (!made)
        bench_fatal("no memory for object %u", i);
    ((struct named *)made)->behind = first;
    if (first != HANDLE_NULL)
        to_write(first)->before = handles[i];
    first = handles[i];
    subject_leave();
}

static void
link_in_front(handle_t handle, struct named *object)
{
    object->before = HANDLE_NULL;
    object->behind = first;
    to_write(first)->before = handle;
    first = handle;
}

static void
move_handle(uint32_t i)
{
    handle_t handle = handles[i];
    if (handle == first)
        return;
    subject_enter();
    struct named *object = to_write(handle);
    to_write(object->before)->behind = object->behind;
    if (object->behind != HANDLE_NULL)
        to_write(object->behind)->before = object->before;
    link_in_front(handle, object);
    subject_leave();
}

/* ---- turns */

typedef void operation(uint32_t i);
static operation *const move[] = {move_pointer, move_handle};
#define SUBJECTS BENCH_COUNTOF(move)

static double
turn_ns(operation *move_one, uint64_t seed)
{
    struct rng rng = rng_stream(seed);
    uint64_t start = bench_cpu_ns();
    for (uint64_t i = 0; i < opt_moves * 1000; i++)
        move_one(rng_below(&rng, (uint32_t)(opt_objects * 1000)));
    return (double)(bench_cpu_ns() - start) / (double)(opt_moves * 1000);
}

/* Both lists have all objects, from either end. */
static void
check_lists(void)
{
    uint64_t linked = 0, named = 0;
    for (struct linked *at = front; at; at = at->behind)
        linked++;
    subject_enter();
    for (handle_t at = first; at != HANDLE_NULL; named++)
        at = ((const struct named *)handle_deref(subject_store, at))->behind;
    subject_leave();
    if (linked != opt_objects * 1000 || named != linked)
        bench_fatal("the lists have %llu and %llu objects", (unsigned long long)linked,
                    (unsigned long long)named);
}

static void
make_lists(void)
{
    uint32_t count = (uint32_t)(opt_objects * 1000);
    pointers = memory_map(count * sizeof(*pointers));
    handles = memory_map(count * sizeof(*handles));
    for (uint32_t i = 0; i < count; i++) {
        push_pointer(i);
        push_handle(i);
    }
}

static void
compare(void)
{
    static struct rounds rounds;
    for (unsigned s = 0; s < SUBJECTS; s++)
        turn_ns(move[s], SUBJECTS * ROUNDS_MAX + s);
    for (unsigned i = 0; i < opt_rounds; i++) {
        for (unsigned step = 0; step < SUBJECTS; step++) {
            unsigned s = (step + i) % SUBJECTS;
            rounds.ns[s][i] = turn_ns(move[s], i * SUBJECTS + s); /* other objects */
        }
        rounds.count++;
    }
    double target = rounds_target_beside("jemalloc", 4);
    double ratio = rounds_report_ratio("to the front", "handles", &rounds, 1, target);
    double ns = rounds_report_peer("to the front", &rounds);
    bench_progress("%s %.1f ns, handles %.2f x", peer_label(), ns, ratio);
}

int
main(int argc, char **argv)
{
    bench_parse(argc, argv, "a list with links in movable objects (X3b)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    report_begin("X3b", "to the front of a list, by handles and by pointers", peer_label());
    report_case("%u000 objects of %zu bytes; thread CPU time, median of %u rounds' ratios",
                (unsigned)opt_objects, sizeof(struct named), (unsigned)opt_rounds);
    subject_open();
    make_lists();
    compare();
    check_lists();
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
