/* SPDX-License-Identifier: MIT */
/*
 * flavor.h - a stand-in for the header of that name of liburcu 0.14 and later, for compiling only:
 * what the library needs of it, in the order that it has there; and what broke the library: a
 * member of type bool, without <stdbool.h>.
 */
#ifndef _URCU_FLAVOR_H
#define _URCU_FLAVOR_H

struct rcu_head;
struct urcu_atfork;

struct stub_poll_state {
    unsigned long state;
};

struct rcu_flavor_struct {
    void (*read_lock)(void);
    void (*read_unlock)(void);
    int (*read_ongoing)(void);
    void (*read_quiescent_state)(void);
    void (*update_call_rcu)(struct rcu_head *head, void (*function)(struct rcu_head *head));
    void (*update_synchronize_rcu)(void);
    void (*update_defer_rcu)(void (*function)(void *argument), void *argument);
    void (*thread_offline)(void);
    void (*thread_online)(void);
    void (*register_thread)(void);
    void (*unregister_thread)(void);
    void (*barrier)(void);
    void (*register_rculfhash_atfork)(struct urcu_atfork *hooks);
    void (*unregister_rculfhash_atfork)(struct urcu_atfork *hooks);
    struct stub_poll_state (*update_start_poll_synchronize_rcu)(void);
    bool (*update_poll_state_synchronize_rcu)(struct stub_poll_state state);
};

#endif
