/* SPDX-License-Identifier: MIT */
/*
 * update_pin.c - two ways to hold on to an object for longer than a section.
 *
 *   update   a new version is prepared at leisure, outside of any section, and published in one
 *            step: readers see the old page or the new one, never a mixture. When two prepare a
 *            version at once, one commit wins and the other is told -EAGAIN.
 *   pin      an address that stays valid across slow I/O (here a pipe that drains slowly), although
 *            the store compacts and the object is even freed meanwhile.
 *
 * What to take from it: which calls stand inside a section and which need none, and that a pin and
 * an update both have an end. Pins hinder compaction: for I/O, not for convenience.
 */
#include <urcu.h>

#include <sinter/handle.h>

#include "expect.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES 8000u
#define EDITIONS   200u
#define CHUNK      500u /* bytes that the slow reader of the pipe takes at a time */
#define CROWD      4000u

static handle_store *store;
static handle_t page;
static bool editor_done;

static void
sleep_us(long us)
{
    struct timespec length = {0, us * 1000};
    nanosleep(&length, NULL);
}

/* ---- update ---------------------------------------------------------------------------------- */

/** Every byte of an edition is the same; a page with two different bytes would be a mixture. */
static void
write_edition(void *object, unsigned edition)
{
    memset(object, (int)('a' + edition % 26), PAGE_BYTES);
}

static bool
is_one_edition(const char *text)
{
    return memcmp(text, text + 1, PAGE_BYTES - 1) == 0;
}

static void *
read_editions(void *reads)
{
    rcu_register_thread();
    while (!__atomic_load_n(&editor_done, __ATOMIC_ACQUIRE)) {
        rcu_read_lock();
        const char *text = handle_deref(store, page);
        if (expect(text != NULL))
            expect(is_one_edition(text));
        rcu_read_unlock();
        ++*(uint64_t *)reads;
    }
    rcu_unregister_thread();
    return NULL;
}

/** A new version of the page: nobody sees it yet. */
static bool
begin(struct handle_update *update)
{
    rcu_read_lock();
    void *draft = handle_update_begin(store, page, PAGE_BYTES, update);
    rcu_read_unlock();
    return expect(draft != NULL) && expect(draft == update->object);
}

static int
commit(struct handle_update *update)
{
    rcu_read_lock();
    int result = handle_update_commit(store, update);
    rcu_read_unlock();
    return result;
}

static void
publish_edition(unsigned edition)
{
    struct handle_update update;
    if (!begin(&update))
        return;
    write_edition(update.object, edition); /* outside of a section: may take as long as it likes */
    if (edition % 10 == 0)
        sleep_us(1000);
    expect(commit(&update) == 0);
}

/** Two drafts of the same version: the second commit must not undo the first. */
static void
publish_two_at_once(void)
{
    struct handle_update first, second;
    if (!begin(&first) || !begin(&second))
        return;
    write_edition(first.object, 0);
    write_edition(second.object, 1);
    expect(commit(&first) == 0);
    expect(commit(&second) == -EAGAIN);
    rcu_read_lock();
    const char *text = handle_deref(store, page);
    expect(text && text[0] == 'a' && is_one_edition(text));
    rcu_read_unlock();
}

static void
change_ones_mind(void)
{
    struct handle_update update;
    if (!begin(&update))
        return;
    write_edition(update.object, 25);
    handle_update_abort(store, &update);
    rcu_read_lock();
    const char *text = handle_deref(store, page);
    expect(text && text[0] == 'a');
    rcu_read_unlock();
}

static void
show_update(void)
{
    pthread_t reader;
    uint64_t reads = 0;
    if (!expect(pthread_create(&reader, NULL, read_editions, &reads) == 0))
        return;
    for (unsigned edition = 1; edition <= EDITIONS; edition++)
        publish_edition(edition);
    publish_two_at_once();
    __atomic_store_n(&editor_done, true, __ATOMIC_RELEASE);
    pthread_join(reader, NULL);
    change_ones_mind();
    printf("%u editions, read %" PRIu64 " times meanwhile\n", EDITIONS, reads);
}

/* ---- pin ------------------------------------------------------------------------------------- */

/** The slow end of the pipe: counts the bytes, and those that are not as they should be. */
struct receiver {
    int fd;
    char expected;
    size_t received, wrong;
};

static void *
receive_slowly(void *argument)
{
    struct receiver *receiver = argument;
    char chunk[CHUNK];
    ssize_t got;
    while ((got = read(receiver->fd, chunk, sizeof(chunk))) > 0) {
        for (ssize_t i = 0; i < got; i++)
            receiver->wrong += chunk[i] != receiver->expected;
        receiver->received += (size_t)got;
        sleep_us(2000);
    }
    return NULL;
}

/** Objects beside the page come and go, so that compaction has a reason to move it. */
static void
leave_holes(void)
{
    static handle_t crowd[CROWD];
    for (unsigned i = 0; i < CROWD; i++)
        expect((crowd[i] = handle_alloc(store, PAGE_BYTES)) != HANDLE_NULL);
    for (unsigned i = 0; i < CROWD; i++) {
        if (i % 8)
            expect(handle_free(store, crowd[i]) == 0);
    }
}

/** Sends the pinned bytes piecemeal; no section is open while write() blocks. */
static void
send_pinned(const char *text, int fd)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    for (size_t sent = 0; sent < PAGE_BYTES; sent += CHUNK) {
        expect(write(fd, text + sent, CHUNK) == CHUNK);
        if (sent == 2 * CHUNK) {
            expect(handle_defrag_stop(store) == 0); /* so that it is this call that moves */
            leave_holes();
            expect(handle_store_compact(store, &report) == 0);
        }
        if (sent == 4 * CHUNK)
            expect(handle_free(store, page) == 0);
    }
    printf("%" PRIu64 " objects moved and the page freed, while its bytes were being sent\n",
           report.moved_objects);
    expect(report.moved_objects > 0);
}

static void
show_pin(void)
{
    int ends[2];
    pthread_t thread;
    if (!expect(pipe(ends) == 0))
        return;
    fcntl(ends[1], F_SETPIPE_SZ, 4096); /* less than the page: write() will block */
    struct receiver receiver = {.fd = ends[0]};
    rcu_read_lock();
    const char *text = handle_pin(store, page);
    rcu_read_unlock();
    if (!expect(text != NULL))
        return;
    receiver.expected = text[0];
    if (!expect(pthread_create(&thread, NULL, receive_slowly, &receiver) == 0))
        return;
    send_pinned(text, ends[1]);
    expect(is_one_edition(text)); /* freed, but pinned: still here */
    expect(handle_store_destroy(store) == -EBUSY);
    handle_unpin(store, text); /* now its memory goes */
    close(ends[1]);
    pthread_join(thread, NULL);
    close(ends[0]);
    expect(receiver.received == PAGE_BYTES && receiver.wrong == 0);
}

int
main(void)
{
    void *object;
    rcu_register_thread();
    store = handle_store_create(NULL);
    if (!store) {
        perror("handle_store_create");
        return 1;
    }
    rcu_read_lock();
    page = handle_alloc_object(store, PAGE_BYTES, 0, &object);
    if (expect(object != NULL))
        write_edition(object, 0);
    rcu_read_unlock();
    show_update();
    show_pin();
    expect(handle_store_check(store, expect_violation, NULL) == 0);
    expect(handle_store_destroy(store) == 0);
    rcu_unregister_thread();
    return expect_status();
}
