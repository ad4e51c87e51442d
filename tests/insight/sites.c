/* SPDX-License-Identifier: MIT */
/*
 * sites.c - a program whose memory is profiled: sites FILE CENSUS TEXT LATER. Its call sites, by
 * the names of their functions, allocate what is known of each; what it says of them is what
 * `go tool pprof` must find in FILE, within three standard errors:
 *
 *   site_NAME objects=COUNT bytes=REQUESTED rounding=BYTES pinned=COUNT
 *   all objects=COUNT bytes=REQUESTED rounding=BYTES free_slot=BYTES moved=BYTES
 *
 * Then one site allocates, and frees three of four, and another one frees all it had: LATER is the
 * profile after that, and what it says is
 *
 *   later grown=BYTES gone=BYTES free_slot=BYTES
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flavour.h"

#define COUNT 60000

static handle_store *store;

static void
fail(const char *what)
{
    perror(what);
    exit(1);
}

static handle_t
make(size_t size)
{
    handle_t handle = handle_alloc(store, size);
    if (handle == HANDLE_NULL)
        fail("handle_alloc");
    return handle;
}

/* ---- sites ----------------------------------------------------------------------------------- */

#define SITE __attribute__((noinline, noclone))

static handle_t dense[COUNT], sparse[COUNT], moved[COUNT], pinned[COUNT / 16], gone[COUNT];
static handle_t later[COUNT];
static const void *address[COUNT / 16];
static handle_cell cells[COUNT];

/* After the call, so that it is no tail call, and its frame is there. */
#define STAYS __asm__ volatile("" : : : "memory")

SITE void
site_dense(unsigned i)
{
    dense[i] = make(100);
    STAYS;
}

SITE void
site_sparse(unsigned i)
{
    sparse[i] = make(200);
    STAYS;
}

SITE void
site_moved(unsigned i)
{
    moved[i] = make(300);
    STAYS;
}

SITE void
site_pinned(unsigned i)
{
    pinned[i] = make(500);
    STAYS;
}

SITE void
site_gone(unsigned i)
{
    gone[i] = make(700);
    STAYS;
}

SITE void
site_later(unsigned i)
{
    later[i] = make(400);
    STAYS;
}

SITE void
site_cells(unsigned i)
{
    if (!handle_cell_alloc(store, &cells[i], 150 + i % 10, 0))
        fail("handle_cell_alloc");
    STAYS;
}

static void
drop(handle_t handle)
{
    if (handle_free(store, handle) != 0)
        fail("handle_free");
}

/* Three of four go; what is compacted moves. */
static void
thin_out(const handle_t *handles)
{
    for (unsigned i = 0; i < COUNT; i++)
        if (i % 4 != 0)
            drop(handles[i]);
}

static void
fill(void)
{
    for (unsigned i = 0; i < COUNT; i++) {
        rcu_read_lock();
        site_dense(i);
        site_moved(i);
        site_gone(i);
        site_cells(i);
        if (i % 16 == 0)
            site_pinned(i / 16);
        rcu_read_unlock();
    }
    thin_out(moved);
    for (unsigned i = 0; i < COUNT; i++)
        drop(gone[i]);
    if (handle_store_compact(store, NULL) != 0)
        fail("handle_store_compact");
    for (unsigned i = 0; i < COUNT; i++)
        site_sparse(i);
    thin_out(sparse);
    for (unsigned i = 0; i < COUNT / 16; i++) {
        rcu_read_lock();
        address[i] = handle_pin(store, pinned[i]);
        rcu_read_unlock();
    }
    if (handle_store_reclaim(store, SIZE_MAX) != 0)
        fail("handle_store_reclaim");
}

static void
change(void)
{
    for (unsigned i = 0; i < COUNT; i++)
        site_later(i);
    thin_out(later);
    for (unsigned i = 0; i < COUNT; i += 4)
        drop(moved[i]);
    if (handle_store_reclaim(store, SIZE_MAX) != 0)
        fail("handle_store_reclaim");
}

/* ---- what it says ---------------------------------------------------------------------------- */

static void
write_to(void *file, const char *text, size_t length)
{
    if (fwrite(text, 1, length, file) != length)
        fail("fwrite");
}

static const char *
kind_of(void *opaque, const struct handle_object *object)
{
    (void)opaque;
    return object->cell ? "in a cell" : object->size == 200 ? "sparse ones" : "others";
}

static FILE *
open_file(const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file)
        fail(path);
    return file;
}

static void
write_profile(const char *path, enum handle_profile_format format)
{
    FILE *file = open_file(path);
    if (handle_store_profile(store, format, write_to, file) != 0)
        fail("handle_store_profile");
    fclose(file);
}

static void
write_census(const char *path)
{
    FILE *file = open_file(path);
    if (handle_store_census(store, kind_of, NULL, HANDLE_PROFILE_PPROF, write_to, file) != 0)
        fail("handle_store_census");
    if (handle_store_census(store, kind_of, NULL, HANDLE_PROFILE_HEAP_TEXT, write_to, file) == 0)
        fail("a census as heap text");
    fclose(file);
}

static void
say_all(void)
{
    struct handle_stats stats = HANDLE_STATS_INIT;
    if (handle_store_stats(store, &stats) != 0)
        fail("handle_store_stats");
    /* The two are estimates; their sum is exact, and so is what a walk counts. */
    size_t requested = 0;
    if (handle_store_used_exact(store, &requested) != 0)
        fail("handle_store_used_exact");
    printf("all objects=%llu bytes=%zu rounding=%llu free_slot=%llu moved=%llu\n",
           (unsigned long long)stats.objects, requested,
           (unsigned long long)(stats.requested + stats.rounding - requested),
           (unsigned long long)stats.free_slot, (unsigned long long)stats.moved_bytes);
}

static uint64_t
free_slot(void)
{
    struct handle_stats stats = HANDLE_STATS_INIT;
    if (handle_store_stats(store, &stats) != 0)
        fail("handle_store_stats");
    return stats.free_slot;
}

static void
say(const char *site, unsigned objects, unsigned bytes)
{
    printf("site_%s objects=%u bytes=%u\n", site, objects, objects * bytes);
}

int
main(int argc, char **argv)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    if (argc != 5)
        return 2;
    options.name = "sites";
    options.defrag.enabled = false;
    options.profile.enabled = true;
    rcu_register_thread();
    store = handle_store_create(&options);
    if (!store)
        fail("handle_store_create");
    fill();
    write_profile(argv[1], HANDLE_PROFILE_PPROF);
    write_census(argv[2]);
    write_profile(argv[3], HANDLE_PROFILE_HEAP_TEXT);
    say_all();
    say("dense", COUNT, 100);
    say("sparse", COUNT / 4, 200);
    say("moved", COUNT / 4, 300);
    say("pinned", COUNT / 16, 500);
    say("gone", 0, 700);
    printf("site_cells objects=%u bytes=%u\n", COUNT, COUNT / 10 * 1545);
    uint64_t before = free_slot();
    change();
    write_profile(argv[4], HANDLE_PROFILE_PPROF);
    printf("later grown=%u gone=%u free_slot=%llu\n", COUNT / 4 * 400, COUNT / 4 * 300,
           (unsigned long long)(free_slot() - before));
    return 0;
}
