/* SPDX-License-Identifier: MIT */
/*
 * sinter/stats.h - the statistics of a store: their figures, how they are read, printed, compared,
 * and what they say is the matter. Part of sinter/handle.h, which includes it; how the texts are to
 * be read, and from where each call may be made, is said there.
 */
#ifndef SINTER_STATS_H
#define SINTER_STATS_H

#include <sinter/handle.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Histogram of durations. Bucket 0 counts those below 1 microsecond, bucket i those from 2^(i-1) to
 * below 2^i microseconds, bucket 23 all from 2^22 microseconds (4.2 s) on.
 */
struct handle_histogram {
    uint64_t count;  /**< of durations: the sum of all buckets */
    uint64_t sum_ns; /**< of durations, nanoseconds */
    uint64_t max_ns; /**< the longest, nanoseconds */
    uint64_t bucket[24];
};

/** One size class. */
struct handle_class_stats {
    uint64_t object_bytes; /**< largest request this class serves */
    uint64_t slot_bytes;   /**< what one object takes, header included */
    uint64_t span_bytes;   /**< resident bytes of one full span */
    uint64_t span_slots;
    uint64_t live;   /**< live objects */
    uint64_t free;   /**< free slots in this class's spans; thread caches and limbo not counted */
    uint64_t cached; /**< free slots in thread caches */
    uint64_t limbo;  /**< freed slots that wait for a grace period */
    uint64_t spans;  /**< spans of this class */
    uint64_t spans_full;   /**< of them without a free slot */
    uint64_t occupancy[8]; /**< spans with a free slot, by eighths of occupancy, sparsest first */
    uint64_t recoverable_bytes; /**< by a perfect compaction */
    uint64_t moved;             /**< objects moved so far */
    uint64_t refused[8];        /**< objects left in place so far, by enum handle_refusal */
};
#define HANDLE_CLASSES_MAX 256

/**
 * Statistics. The memory breakdown (the "ladder") adds up exactly when no other thread is at work:
 *   requested + rounding + header + free_slot + thread_cache + limbo + empty_span + table
 *     + metadata = committed
 */
struct handle_stats {
    size_t
        struct_size; /**< sizeof of the caller's struct; what of it is not known stays as it is */
    /* the memory breakdown, bytes */
    /** asked for by live objects: an estimate, but for large ones, see handle_store_used */
    uint64_t requested;
    /** Class rounding and alignment of live objects, large objects' page rounding */
    uint64_t rounding;
    uint64_t header; /**< header words of live objects */
    /**
     * Pages of spans in use that free slots and tails lie on: pages that were not used yet, or went
     * back, are not committed
     */
    uint64_t free_slot;
    uint64_t thread_cache; /**< free slots held by threads */
    uint64_t limbo;        /**< freed, waiting for a grace period or for the last unpin */
    uint64_t empty_span;   /**< empty spans whose pages are kept for reuse */
    uint64_t table;        /**< handle table pages */
    uint64_t metadata;     /**< span descriptors, bitmaps, caches, pins, the store itself */
    uint64_t committed;    /**< sum of all above */
    /* beside the memory breakdown, bytes */
    uint64_t released; /**< given back to the kernel, all together, since creation */
    uint64_t reserved; /**< address range, committed or not */
    uint64_t resident; /**< of the process, read from the kernel when the statistics are */
    /** resident - committed: other stores, the program itself, the C library */
    int64_t resident_unexplained;
    uint64_t committed_peak;
    uint64_t max_bytes;
    uint64_t large; /**< part of requested in large objects */
    /** three standard errors of requested (and of rounding); 0: nothing was left to chance */
    uint64_t requested_error;
    /* objects */
    uint64_t objects; /**< live, reserved ones included */
    uint64_t objects_by_handle;
    uint64_t objects_by_cell;
    uint64_t objects_large;
    uint64_t allocs;             /**< since creation */
    uint64_t frees;              /**< since creation */
    uint64_t alloc_failures;     /**< answered with ENOMEM */
    uint64_t alloc_retries;      /**< answered with EAGAIN */
    uint64_t pins;               /**< held now, updates included */
    uint64_t objects_reserved;   /**< part of objects: neither published nor aborted yet */
    uint64_t table_entries_dead; /**< indexes whose generations are used up */
    /* compaction */
    uint64_t recoverable; /**< bytes that a perfect compaction would free */
    uint64_t moved_objects;
    uint64_t moved_bytes;
    uint64_t compaction_released; /**< bytes of the spans emptied by moves */
    /** moved_bytes * 1000 / compaction_released; 0 before the first release */
    uint64_t moved_per_released_permille;
    uint64_t compaction_cpu_ns;
    uint64_t passes;
    uint64_t fork_copied_bytes;  /**< pages shared with a forked child that compaction wrote to */
    uint64_t fork_refused_bytes; /**< pages that it would have, beyond defrag.fork_copy_bytes */
    uint64_t refused[8];         /**< by enum handle_refusal */
    uint64_t errors_reported;    /**< lines given to the error callback */
    uint32_t idle_reason;        /**< enum handle_idle_reason */
    uint32_t shrink_reason;      /**< enum handle_shrink_reason */
    /* time */
    struct handle_histogram slice; /**< of the mover */
    /** Of the flavour's grace-period thread, all stores together */
    struct handle_histogram grace_period;
    /** Age of the oldest unfinished grace period; 0: none under way */
    uint64_t grace_period_age_ns;
    uint64_t grace_periods;
    /* threads */
    uint64_t threads; /**< with a cache in this store */
    uint64_t purge_failures;
    uint32_t classes;              /**< size classes; their figures: handle_store_class_stats */
    uint32_t alloc_failure_reason; /**< enum handle_alloc_failure */
    /** For how long the oldest part of empty_span has been empty; 0: none is */
    uint64_t empty_span_age_ns;
    /* huge pages made of dense parts of the arena (HANDLE_HUGEPAGES_DENSE) */
    uint64_t hugepage;          /**< bytes of committed in them, as far as the kernel keeps them */
    uint64_t hugepages_made;    /**< since creation */
    uint64_t hugepages_undone;  /**< since creation, as memory of them went back to the kernel */
    uint64_t hugepages_refused; /**< by the kernel, since creation */
    uint32_t dense_reason;      /**< enum handle_dense_reason */
};
/* clang-format off */
#ifdef __cplusplus
static inline struct handle_stats
handle_stats_init_(void)
{
    struct handle_stats stats = handle_stats();
    stats.struct_size = sizeof(stats);
    return stats;
}
#define HANDLE_STATS_INIT handle_stats_init_()
#else
#define HANDLE_STATS_INIT {.struct_size = sizeof(struct handle_stats)}
#endif
/* clang-format on */

/** Formats of handle_store_stats_print. */
enum handle_stats_format {
    HANDLE_STATS_TEXT = 0,
    HANDLE_STATS_JSON = 1,
    HANDLE_STATS_PROMETHEUS = 2,
    HANDLE_STATS_EXACT = 0x100, /**< or'ed to one of them: `requested` is counted for it */
};

/** How much a finding matters. */
enum handle_severity {
    HANDLE_FINDING_NOTE = 0, /**< worth knowing */
    HANDLE_FINDING_WARN = 1, /**< costs memory, or soon will */
    HANDLE_FINDING_ACT = 2,  /**< nothing gets better by itself */
};

/** What handle_store_doctor finds. Its texts live as long as the library. */
struct handle_finding {
    const char *code; /**< a word for programs, which stays as it is: "stuck_reader" */
    enum handle_severity severity;
    uint32_t reserved;
    uint64_t bytes;     /**< at stake; more than 0 */
    const char *text;   /**< what is the matter, in a sentence */
    const char *remedy; /**< what helps, in a sentence */
    const char *option; /**< an option that helps, as for handle_store_set; NULL: none */
    const char *value;  /**< what to set it to; NULL: that depends */
};

/* ---- calls ----------------------------------------------------------------------------------- */

/**
 * Fills *stats from counters; does not look at objects. All figures are exact when no other thread
 * is at work, but requested and rounding, see handle_store_used.
 *
 *   stats    begun as HANDLE_STATS_INIT
 *   errors   EINVAL: NULL, or a struct_size that no version has
 */
HANDLE_API int handle_store_stats(handle_store *store, struct handle_stats *stats);

/**
 * Fills an array with the figures of the store's size classes, smallest first, from counters. A
 * store has the same classes all its life.
 *
 *   classes        array of `room` elements; may be NULL if room is 0
 *   element_bytes  sizeof(struct handle_class_stats); another version's is as good
 *   room           elements there are: HANDLE_CLASSES_MAX are always enough (56 KiB: rather
 *                  static or allocated than on a stack); of a smaller array all are filled
 *   result         how many classes there are, as `classes` of struct handle_stats
 *   errors         EINVAL: NULL, or element_bytes that no version has
 */
HANDLE_API int handle_store_class_stats(handle_store *store, struct handle_class_stats *classes,
                                        size_t element_bytes, uint32_t room);

/**
 * Prints the statistics. No address of memory is ever printed.
 *
 *   format   HANDLE_STATS_TEXT is for people, and may change; HANDLE_STATS_JSON is one object: the
 *            members of struct handle_stats by name, class_stats: those of the classes in use;
 *            HANDLE_STATS_PROMETHEUS is the text exposition format in base units (bytes, seconds,
 *            ratios). Any of them with HANDLE_STATS_EXACT (format | HANDLE_STATS_EXACT):
 *            `requested`, and with it `rounding`, are counted as by handle_store_used_exact, which
 *            takes as long
 *   write    called with no lock held, with pieces of text of 1 to 512 bytes, not ended by 0, in
 *            order; must not be NULL
 *   opaque   its first argument
 *   errors   EINVAL: an unknown format, NULL; ENOMEM: for the figures of the classes; exact: EBUSY,
 *            EAGAIN as handle_store_each. Nothing was written then
 *
 * Prometheus, several stores. Each call gives a whole exposition of one store: HELP and TYPE once
 * for each metric, every sample with the label store="NAME". Two of them must not be put one after
 * the other into one answer (a metric may have one HELP and one group of lines): serve each store
 * at a path of its own, as a target of its own. Give the stores different names, or their series
 * fall together. Histograms have cumulative buckets; le is the bucket's bound (see
 * struct handle_histogram) in seconds.
 */
HANDLE_API int
handle_store_stats_print(handle_store *store, enum handle_stats_format format,
                         void (*write)(void *opaque, const char *text, size_t length),
                         void *opaque);

/**
 * Says what is the matter with a store, and what helps: a reader that is stuck, options that hold
 * compaction back, pins, a limit that is near. Looks at the statistics, and at what the kernel says
 * of the store's memory and of the process' control group. A store that is well has no finding.
 *
 *   finding  called for each, with what is the matter, no lock held; valid during the call
 *   opaque   its first argument
 *   result   the number of findings
 *   errors   EINVAL: NULL
 *   blocking reads /proc/self/smaps, which takes some milliseconds where a process has thousands of
 *            mappings. Where the kernel does not let it, what is to be seen there is not found
 */
HANDLE_API int
handle_store_doctor(handle_store *store,
                    void (*finding)(void *opaque, const struct handle_finding *finding),
                    void *opaque);

/**
 * The same by statistics alone, of any store at any time. Pure: looks at *stats only. It finds
 * neither huge pages, nor what is swapped out, nor a limit above the control group's.
 *
 *   stats    as handle_store_stats fills it
 *   finding  called for each, with what is the matter; valid during the call
 *   opaque   its first argument
 *   result   the number of findings
 *   errors   EINVAL: NULL, or a struct_size that no version has
 */
HANDLE_API int
handle_stats_doctor(const struct handle_stats *stats,
                    void (*finding)(void *opaque, const struct handle_finding *finding),
                    void *opaque);

/**
 * Prints what has changed between two statistics of one store. Pure.
 *
 *   before, after  as handle_store_stats fills them
 *   format   HANDLE_STATS_TEXT: the figures that differ, and a sentence. HANDLE_STATS_JSON: one
 *            object of the figures that differ, after less before; empty when none does
 *   write, opaque  as in handle_store_stats_print; pieces of at most 256 bytes
 *   errors   EINVAL: NULL, a struct_size that no version has, or another format
 */
HANDLE_API int handle_stats_diff(const struct handle_stats *before,
                                 const struct handle_stats *after, enum handle_stats_format format,
                                 void (*write)(void *opaque, const char *text, size_t length),
                                 void *opaque);

#ifdef __cplusplus
}
#endif

#endif
