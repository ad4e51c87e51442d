/* SPDX-License-Identifier: MIT */
/*
 * updates.c - updates that never began, are over, or were overtaken.
 *
 * Seen failing, with the library broken like this:
 *   none ever over; another store's taken          update_*_twice; update_of_other_store
 *   commit says EAGAIN for freed objects           update_after_free
 *   ... takes anything for an update; any version  update_not_begun; update_overtaken
 *   resize stays in the slot of a pinned object    update_overtaken
 */
#include "support.h"

/* Of a new object of 40 bytes, which shall have 60; in a section. */
static handle_t
begin(handle_store *store, struct handle_update *update)
{
    handle_t handle = make(store, 40, NULL);
    section_enter();
    expect(handle_update_begin(store, handle, 60, update) != NULL);
    return handle;
}

static void
update_commit_twice(handle_store *store)
{
    struct handle_update update;
    handle_t handle = begin(store, &update);
    expect(handle_update_commit(store, &update) == 0);
    expect(handle_update_commit(store, &update) == -EINVAL);
    expect(handle_size(store, handle) == 60);
    section_leave();
}

static void
update_abort_twice(handle_store *store)
{
    struct handle_update update;
    handle_t handle = begin(store, &update);
    handle_update_abort(store, &update);
    handle_update_abort(store, &update);
    expect(handle_update_commit(store, &update) == -EINVAL);
    expect(handle_size(store, handle) == 40);
    section_leave();
}

static void
update_after_free(handle_store *store)
{
    struct handle_update update;
    handle_t handle = begin(store, &update);
    expect(handle_free(store, handle) == 0);
    expect(handle_update_commit(store, &update) == -ENOENT);
    expect(handle_deref(store, handle) == NULL);
    section_leave();
}

static void
update_not_begun(handle_store *store)
{
    struct handle_update update;
    section_enter();
    memset(&update, 0, sizeof(update));
    expect(handle_update_commit(store, &update) == -EINVAL);
    handle_update_abort(store, &update);
    memset(&update, 0x5a, sizeof(update));
    expect(handle_update_commit(store, &update) == -EINVAL);
    handle_update_abort(store, &update);
    section_leave();
}

static void
update_of_other_store(handle_store *store)
{
    struct handle_update update;
    handle_t handle = begin(store, &update);
    section_leave();
    handle_store *other = open_store();
    section_enter();
    expect(handle_update_commit(other, &update) == -EINVAL);
    handle_update_abort(other, &update);
    expect(handle_update_commit(store, &update) == 0);
    expect(handle_size(store, handle) == 60);
    section_leave();
    close_sound(other);
}

/* By another update, and by resizes. */
static void
update_overtaken(handle_store *store)
{
    struct handle_update first, second;
    handle_t handle = begin(store, &first);
    expect(handle_update_begin(store, handle, 80, &second) != NULL);
    expect(handle_update_commit(store, &second) == 0);
    expect(handle_update_commit(store, &first) == -EAGAIN);
    expect(handle_update_begin(store, handle, 60, &first) != NULL);
    expect(handle_resize(store, handle, 400) == 0);
    expect(handle_update_commit(store, &first) == -EAGAIN);
    expect(handle_size(store, handle) == 400);
    expect(handle_update_begin(store, handle, 60, &first) != NULL);
    expect(handle_resize(store, handle, 396) == 0); /* room for it in the same slot */
    expect(handle_update_commit(store, &first) == -EAGAIN);
    expect(handle_size(store, handle) == 396);
    section_leave();
}

const struct misuse misuse_updates[] = {
    CASE(update_commit_twice, ALWAYS(RETURNS)),
    CASE(update_abort_twice, ALWAYS(RETURNS)),
    CASE(update_after_free, ALWAYS(RETURNS)),
    CASE(update_not_begun, ALWAYS(RETURNS)),
    CASE(update_of_other_store, ALWAYS(RETURNS)),
    CASE(update_overtaken, ALWAYS(RETURNS)),
    CASES_END,
};
