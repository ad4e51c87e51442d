/* SPDX-License-Identifier: MIT */
/*
 * handles.c - handles that name no object of the store, or none any more.
 *
 * Seen failing, with the library broken like this:
 *   deref_mut compares no generation               handle_stale, handle_forged
 *   frees compare none                             free_now_twice, handle_stale
 *   a free leaves the generation as it is          handle_stale, free_now_twice
 *   index not bounded: deref_mut, pin, update      handle_forged
 *   one first generation for all stores            handle_foreign
 *   clear frees nothing                            handle_cleared
 *   every free wins                                free_twice, free_both_ways
 */
#include "support.h"

/* Every call. */
static void
answers_stale(handle_store *store, handle_t handle)
{
    struct handle_update update;
    const void *object = store;
    section_enter();
    expect(handle_deref(store, handle) == NULL);
    expect(handle_deref_mut(store, handle) == NULL);
    expect(handle_deref_many(store, &handle, &object, 1) == 0 && object == NULL);
    expect(handle_size(store, handle) == 0);
    expect(handle_free_many(store, &handle, 1) == 0);
    expect(handle_free(store, handle) == -ENOENT);
    expect(handle_free_now(store, handle) == -ENOENT);
    expect(handle_resize(store, handle, 10) == -ENOENT);
    expect_errno(handle_pin(store, handle), ENOENT);
    expect_errno(handle_pin_mut(store, handle), ENOENT);
    expect_errno(handle_update_begin(store, handle, 10, &update), ENOENT);
    expect(handle_update_commit(store, &update) == -EINVAL);
    section_leave();
}

/* Freed; before and after its entry is used again. */
static void
handle_stale(handle_store *store)
{
    handle_t handle = make(store, 40, NULL);
    expect(handle_free(store, handle) == 0);
    answers_stale(store, handle);
    for (unsigned i = 0; i < 2000; i++)
        make(store, 40, NULL);
    answers_stale(store, handle);
}

static void
handle_cleared(handle_store *store)
{
    handle_t handle = make(store, 40, NULL), large = make(store, 200000, NULL);
    expect(handle_store_clear(store) == 0);
    answers_stale(store, handle);
    answers_stale(store, large);
    expect(handle_store_used(store) == 0);
}

/* Another store's, at the same places of its table. */
static void
handle_foreign(handle_store *store)
{
    handle_store *other = open_store();
    handle_t handles[100];
    for (unsigned i = 0; i < 100; i++) {
        handles[i] = make(other, 40, NULL);
        make(store, 40, NULL);
    }
    for (unsigned i = 0; i < 100; i++)
        answers_stale(store, handles[i]);
    for (unsigned i = 0; i < 100; i++)
        expect(handle_free(other, handles[i]) == 0);
    close_sound(other);
}

/* Never issued. */
static void
handle_forged(handle_store *store)
{
    handle_t handle = make(store, 40, NULL);
    answers_stale(store, HANDLE_NULL);
    answers_stale(store, UINT64_MAX);
    answers_stale(store, UINT64_MAX - 1);
    for (unsigned bit = 0; bit < 64; bit++) /* another generation, or another entry */
        answers_stale(store, handle ^ UINT64_C(1) << bit);
    answers_stale(store, handle + (UINT64_C(100) << 24));    /* an entry not in use */
    answers_stale(store, handle | UINT64_C(0xffffff) << 40); /* beyond the table */
    for (uint64_t i = 1; i < 1000; i++) {
        uint64_t any = i * UINT64_C(0x9e3779b97f4a7c15);
        answers_stale(store, any);
        answers_stale(store, any & UINT64_C(0x3ffffffff)); /* entry 0 and its neighbours */
    }
    expect(handle_free(store, handle) == 0);
}

/* ---- freed again ----------------------------------------------------------------------------- */

static void
free_twice(handle_store *store)
{
    handle_t handle = make(store, 40, NULL), neighbour = make(store, 40, NULL);
    expect(handle_free(store, handle) == 0);
    expect(handle_free(store, handle) == -ENOENT);
    expect(handle_free(store, neighbour) == 0);
}

/* The second time also when the slot has a new object. */
static void
free_now_twice(handle_store *store)
{
    char *before, *after;
    handle_t handle = make(store, 40, &before);
    section_enter();
    expect(handle_free_now(store, handle) == 0);
    expect(handle_free_now(store, handle) == -ENOENT);
    handle_t next = make(store, 40, &after);
    expect(after == before);
    expect(handle_free_now(store, handle) == -ENOENT);
    expect(handle_deref(store, next) == after);
    section_leave();
}

static void
free_both_ways(handle_store *store)
{
    handle_t handle = make(store, 40, NULL), other = make(store, 100000, NULL);
    section_enter();
    expect(handle_free_now(store, handle) == 0);
    expect(handle_free(store, handle) == -ENOENT);
    expect(handle_free(store, other) == 0);
    expect(handle_free_now(store, other) == -ENOENT);
    section_leave();
}

const struct misuse misuse_handles[] = {
    CASE(handle_stale, ALWAYS(RETURNS)),   CASE(handle_cleared, ALWAYS(RETURNS)),
    CASE(handle_foreign, ALWAYS(RETURNS)), CASE(handle_forged, ALWAYS(RETURNS)),
    CASE(free_twice, ALWAYS(RETURNS)),     CASE(free_now_twice, ALWAYS(RETURNS)),
    CASE(free_both_ways, ALWAYS(RETURNS)), CASES_END,
};
