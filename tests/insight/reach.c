/* SPDX-License-Identifier: MIT */
/*
 * reach.c - a program with known leaks, for sinter reach: reach [hardened]. Of each way in which an
 * object can be known there are some objects that are known in that way only; it says how many, and
 * waits for the end of its input:
 *
 *   ready reached=COUNT maybe=COUNT leaked=COUNT held_by_leaked=COUNT limbo=COUNT
 */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flavour.h"

#define MANY  1000u
#define CELLS 100u
#define ROOTS 20u
#define RINGS 10u

static handle_store *store;
static handle_t kept[MANY];          /* by a handle in a variable */
static void *volatile addresses[10]; /* by an address */
static char *volatile insides[7];    /* by an address inside of it */
static handle_cell cells[CELLS];     /* by a cell */
static handle_cell roots[ROOTS];     /* by cells inside objects, from one of these on */
static pthread_t other;
static pthread_barrier_t barrier;

static void
fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Nothing that was on the stack below the caller stays. */
__attribute__((noinline)) static void
wipe_stack(void)
{
    char space[16384];
    memset(space, 0, sizeof(space));
    __asm__ volatile("" : : "r"(space) : "memory");
}

__attribute__((noinline)) static handle_t
make(size_t size, void **object)
{
    void *at;
    rcu_read_lock();
    handle_t handle = handle_alloc_object(store, size, HANDLE_ZERO, &at);
    if (handle == HANDLE_NULL)
        fail("handle_alloc_object");
    rcu_read_unlock();
    if (object)
        *object = at;
    return handle;
}

__attribute__((noinline)) static void
make_kept(void)
{
    for (unsigned i = 0; i < MANY; i++)
        kept[i] = make(40 + i % 300, NULL);
}

/* Each leaked object of the first kind names one more; then a ring of three. */
__attribute__((noinline)) static void
leak(void)
{
    void *object;
    handle_t ring[3];
    for (unsigned i = 0; i < 30; i++) {
        make(100, &object);
        *(handle_t *)object = make(200, NULL);
    }
    for (unsigned i = 0; i < 20; i++)
        make(50, NULL);
    void *at[3];
    for (unsigned i = 0; i < 3; i++)
        ring[i] = make(64, &at[i]);
    for (unsigned i = 0; i < 3; i++)
        *(handle_t *)at[i] = ring[(i + 1) % 3];
    make(300000, NULL); /* a large one */
}

/* A chain that begins with a kept object; an address in the last one. */
__attribute__((noinline)) static void
chain(void)
{
    void *object;
    for (unsigned i = 0; i < 40; i++) {
        handle_t first = make(80, &object);
        *(handle_t *)object = make(90, &object);
        *(handle_t *)object = make(250000, &object);
        void *last;
        make(70, &last);
        *(void **)object = last;
        rcu_read_lock();
        *(handle_t *)handle_deref_mut(store, kept[i]) = first;
        rcu_read_unlock();
    }
}

__attribute__((noinline)) static void
by_address(void)
{
    for (unsigned i = 0; i < 10; i++) {
        void *object;
        make(120, &object);
        addresses[i] = object;
    }
    for (unsigned i = 0; i < 7; i++) {
        void *object;
        make(130, &object);
        insides[i] = (char *)object + 64;
        *(handle_t *)object = make(140, NULL); /* held by what may be reached */
    }
}

__attribute__((noinline)) static void
by_cells(void)
{
    for (unsigned i = 0; i < CELLS; i++) {
        rcu_read_lock();
        if (!handle_cell_alloc(store, &cells[i], 48, 0))
            fail("handle_cell_alloc");
        rcu_read_unlock();
    }
}

struct parent {
    handle_cell child;
    handle_t parent;
};

static struct handle_cells
cells_of(void *opaque, const void *object, size_t size)
{
    (void)opaque, (void)object, (void)size;
    return (struct handle_cells){offsetof(struct parent, child), 1};
}

/* Below a root a chain of a parent, of a large one, and of an object without cells. */
__attribute__((noinline)) static void
by_inner_cells(void)
{
    for (unsigned i = 0; i < ROOTS; i++) {
        rcu_read_lock();
        struct parent *first = handle_cell_alloc(store, &roots[i], 60, HANDLE_CELLS | HANDLE_ZERO);
        struct parent *large =
            first ? handle_cell_alloc(store, &first->child, 260000, HANDLE_CELLS | HANDLE_ZERO)
                  : NULL;
        if (!large || !handle_cell_alloc(store, &large->child, 72, 0))
            fail("handle_cell_alloc");
        rcu_read_unlock();
    }
}

/* A parent of which nobody knows but its child, by a handle. */
__attribute__((noinline)) static void
leak_rings(void)
{
    for (unsigned i = 0; i < RINGS; i++) {
        void *at;
        rcu_read_lock();
        handle_t handle = handle_alloc_object(store, 64, HANDLE_ZERO | HANDLE_CELLS, &at);
        if (handle == HANDLE_NULL)
            fail("handle_alloc_object");
        struct parent *parent = handle_deref_mut(store, handle);
        struct parent *child = handle_cell_alloc(store, &parent->child, 88, HANDLE_ZERO);
        if (!child)
            fail("handle_cell_alloc");
        child->parent = handle;
        rcu_read_unlock();
    }
}

/* Nobody has their handles but their pins. */
__attribute__((noinline)) static void
by_pins(void)
{
    for (unsigned i = 0; i < 5; i++) {
        handle_t handle = make(160, NULL);
        rcu_read_lock();
        if (!handle_pin(store, handle))
            fail("handle_pin");
        rcu_read_unlock();
    }
}

/* Freed in a section that goes on: they stay in limbo. */
__attribute__((noinline)) static void
free_some(void)
{
    for (unsigned i = 0; i < 25; i++)
        if (handle_free(store, make(2000, NULL)) != 0)
            fail("handle_free");
}

/* Keeps one handle in a register, and in none of memory. */
__attribute__((noinline)) static void
wait_with(handle_t handle)
{
#if defined(__x86_64__)
    /* read(0, &word, 8); the handle in r15 */
    uint64_t word;
    long result;
    register handle_t in __asm__("r15") = handle;
    __asm__ volatile("" : "+r"(in));
    __asm__ volatile("syscall"
                     : "=a"(result), "+r"(in)
                     : "0"(0L), "D"((long)STDIN_FILENO), "S"(&word), "d"(8L)
                     : "rcx", "r11", "memory");
#else
    (void)handle;
#endif
}

__attribute__((noinline)) static void
hold_on_stack(handle_t handle)
{
    volatile handle_t on_stack[2] = {handle, 0};
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* which nobody comes to */
    on_stack[1] = on_stack[0];
}

static void *
run_other(void *nothing)
{
    rcu_register_thread();
    hold_on_stack(make(170, NULL));
    return nothing;
}

__attribute__((noinline)) static void
fill(void)
{
    make_kept();
    chain();
    by_address();
    by_cells();
    by_inner_cells();
    by_pins();
    leak();
    leak_rings();
}

__attribute__((noinline)) static void
say_ready(void)
{
#if defined(__x86_64__)
    unsigned in_register = 1;
#else
    unsigned in_register = 0;
#endif
    /* the chains: 80, 90, 250000 and 70 bytes each */
    printf("ready reached=%u maybe=%u leaked=%u held_by_leaked=%u limbo=%u\n",
           MANY + 40 * 4 + 10 + CELLS + 3 * ROOTS + 5 + 1 + in_register, 7u + 7u,
           30u * 2 + 20 + 3 + 1 + 2 * RINGS, 30u + 3 + 2 * RINGS, 25u);
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.name = "reach";
    options.defrag.enabled = false;
    options.cells = cells_of;
    options.hardened = argc > 1 && strcmp(argv[1], "hardened") == 0;
    setvbuf(stdout, NULL, _IOLBF, 512);
    rcu_register_thread();
    store = handle_store_create(&options);
    if (!store)
        fail("handle_store_create");
    pthread_barrier_init(&barrier, NULL, 2);
    if (pthread_create(&other, NULL, run_other, NULL) != 0)
        fail("pthread_create");
    pthread_barrier_wait(&barrier);
    fill();
    rcu_read_lock();
    free_some();
    say_ready();
    wipe_stack();
    wait_with(make(180, NULL));
    _exit(0);
}
