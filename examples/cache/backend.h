/* SPDX-License-Identifier: MIT */
/*
 * backend.h - where the cache keeps its values: one interface, so that malloc and Sinter run under
 * the same cache and the same rules. One backend is open at a time in a process.
 *
 * The rules are those of RCU: a value that was unlinked may still be read until every section that
 * was open then has ended. So a value leaves in two steps: retire() when its node is unlinked,
 * inside the section, and reclaim() a grace period later, from a call_rcu callback.
 */
#ifndef CACHE_BACKEND_H
#define CACHE_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <urcu.h>

#include <sinter/handle.h>

/** What a node of the hash table holds of its value. All zero: no value. */
union value_name {
    void *pointer;    /* malloc */
    handle_cell cell; /* Sinter: the reference itself lies here */
    handle_t handle;  /* Sinter: the reference lies in the store's table */
};

/** What a backend can tell of its work since it was opened. */
struct backend_facts {
    bool known;              /* false: this backend counts nothing of the following */
    uint64_t moved_bytes;    /* by compaction */
    uint64_t emptied_bytes;  /* spans emptied by compaction */
    uint64_t returned_bytes; /* pages given back to the kernel */
    uint64_t compaction_ns;  /* CPU time of compaction */
};

struct backend {
    const char *name;
    /** Makes the store. compact: with background compaction. False with a line on stderr. */
    bool (*open)(bool compact);
    /** Makes a value, gives its memory for filling. Inside a section. NULL with errno. */
    void *(*create)(union value_name *name, size_t size);
    /** The value for reading; NULL when it was retired. Inside a section, and valid there. */
    const void *(*read)(const union value_name *name);
    /** The value for writing, as read. The caller holds the key's lock. */
    void *(*write)(union value_name *name);
    /** Whether the value, if it is not retired, is as long as it was asked for. In a section. */
    bool (*has_size)(const union value_name *name, size_t size);
    /** Ends the value; readers keep it. Inside the section that unlinked it. False: it was gone. */
    bool (*retire)(union value_name *name);
    /** A grace period after retire. */
    void (*reclaim)(union value_name *name);
    void (*facts)(struct backend_facts *facts);
    /** Looks through the store's own structures: the number of things that are wrong. */
    int (*check)(void);
    /** After the last value has gone. False, with a line on stderr: something was left. */
    bool (*close)(void);
};

extern const struct backend backend_malloc;
extern const struct backend backend_sinter_cells;
extern const struct backend backend_sinter_handles;

#endif
