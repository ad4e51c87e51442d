/* SPDX-License-Identifier: MIT */
/* hello.c - one object from birth to end: allocate, let it be moved, read, free. */
#include <urcu.h>

#include <sinter/handle.h>

#include <stdio.h>
#include <string.h>

int
main(void)
{
    rcu_register_thread();
    handle_store *store = handle_store_create(NULL);
    if (!store) {
        perror("handle_store_create");
        return 1;
    }

    rcu_read_lock(); /* addresses are valid inside a read-side critical section ... */
    void *object;
    handle_t greeting = handle_alloc_object(store, 6, 0, &object);
    if (object)
        memcpy(object, "hello", 6);
    rcu_read_unlock(); /* ... and only there: keep the handle, not the address */

    handle_store_compact(store, NULL); /* objects may move; handles go on naming them */

    rcu_read_lock();
    const char *text = handle_deref(store, greeting);
    int good = text && strcmp(text, "hello") == 0;
    puts(text ? text : "no object");
    handle_free(store, greeting); /* readers keep the object until their sections end ... */
    good = good && strcmp(text, "hello") == 0;
    good = good && !handle_deref(store, greeting); /* ... and nobody finds it any more */
    rcu_read_unlock();

    handle_store_destroy(store);
    rcu_unregister_thread();
    return good ? 0 : 1;
}
