/* SPDX-License-Identifier: MIT */
/*
 * t4_production.c - T4: a look-aside cache at a fixed payload limit under object sizes and key
 * popularity from production (bench/data): a request for a key looks it up; a miss stores a value,
 * evicting the least recently used ones until it fits. Measured after warm-up with each data set,
 * and after the requests switch to the next. Each data set starts in a process of its own.
 */
#include "dist.h"
#include "latency.h"
#include "memory.h"
#include "object.h"
#include "report.h"
#include "subject.h"

#include <errno.h>

#ifndef BENCH_DATA_DIR
#define BENCH_DATA_DIR "bench/data"
#endif

#define DATA_SETS      3
#define MEAN_BYTES_MIN 192 /* of any mix of the data sets: bounds the number of items */
#define NONE           UINT32_MAX

static const char *const data_set[DATA_SETS] = {"kvcache_reg", "graph_cache_leader_fbobj",
                                                "graph_cache_leader_assocs"};
static const char *const warm_name[DATA_SETS] = {"kvcache warm", "fbobj warm", "assocs warm"};
static const char *const switch_name[DATA_SETS] = {"kvcache -> fbobj", "fbobj -> assocs",
                                                   "assocs -> kvcache"};
static const char *const peak_name[DATA_SETS] = {
    "highest kvcache -> fbobj", "highest fbobj -> assocs", "highest assocs -> kvcache"};

static uint64_t opt_mib, opt_written, opt_only, opt_latency;
static const char *opt_data = BENCH_DATA_DIR;
static const struct bench_option options[] = {
    {"mib", BENCH_COUNT, &opt_mib, "MiB", 16, 65536, 1024, 16, "Payload limit of the cache"},
    {"written", BENCH_COUNT, &opt_written, "times the limit", 1, 100, 2, 2,
     "What is stored before each measurement"},
    {"start", BENCH_COUNT, &opt_only, "", 0, DATA_SETS, 0, 0,
     "Begin only with data set 1 (kvcache), 2 (fbobj) or 3 (assocs); 0: with each in turn"},
    {"latency", BENCH_CHOICE, &opt_latency, "no|yes", 0, 0, 0, 0,
     "Times each request, which makes it slower"},
    {"data", BENCH_TEXT, &opt_data, "DIR", 0, 0, 0, 0,
     "Where the CSV files are. Default " BENCH_DATA_DIR},
};

struct item {
    uint64_t key;
    ref_t ref;
    uint32_t size;
    uint32_t chain; /* next in the bucket, or next free item */
    uint32_t older, newer;
};

struct store {
    struct item *item;
    uint32_t *bucket;
    uint32_t items, buckets; /* buckets: a power of two */
    uint32_t free;           /* first free item */
    uint32_t oldest, newest, used;
    uint64_t bytes, limit;
};

struct result {
    double warm, warm_floor, after, after_floor, peak;
    double hit_percent[2];
    double seconds;
    uint64_t requests, cpu_ns, compaction_ns;
    struct latency latency;
};

/* ---- the cache ------------------------------------------------------------------------------- */

static void
store_init(struct store *store, uint64_t limit)
{
    uint32_t items = (uint32_t)(limit / MEAN_BYTES_MIN), buckets = 1;
    while (buckets < items)
        buckets *= 2;
    *store = (struct store){.item = memory_map((size_t)items * sizeof(struct item)),
                            .bucket = memory_map((size_t)buckets * sizeof(uint32_t)),
                            .items = items,
                            .buckets = buckets,
                            .oldest = NONE,
                            .newest = NONE,
                            .limit = limit};
    memset(store->bucket, 0xff, (size_t)buckets * sizeof(uint32_t)); /* NONE */
    for (uint32_t i = 0; i < items; i++)
        store->item[i].chain = i + 1 < items ? i + 1 : NONE;
}

static uint32_t *
bucket_of(struct store *store, uint64_t key)
{
    return &store->bucket[bench_mix(key) & (store->buckets - 1)];
}

static uint32_t
find(struct store *store, uint64_t key)
{
    uint32_t at = *bucket_of(store, key);
    while (at != NONE && store->item[at].key != key)
        at = store->item[at].chain;
    return at;
}

static void
lru_unlink(struct store *store, uint32_t at)
{
    struct item *item = &store->item[at];
    *(item->older == NONE ? &store->oldest : &store->item[item->older].newer) = item->newer;
    *(item->newer == NONE ? &store->newest : &store->item[item->newer].older) = item->older;
}

static void
lru_link(struct store *store, uint32_t at)
{
    struct item *item = &store->item[at];
    item->older = store->newest;
    item->newer = NONE;
    *(store->newest == NONE ? &store->oldest : &store->item[store->newest].newer) = at;
    store->newest = at;
}

static void
check_item(const struct item *item)
{
    const void *object = subject_read(&item->ref);
    if (!object || !subject_verdict(object_intact(object, item->key, item->size)))
        bench_fatal("the value of key %llu has wrong contents", (unsigned long long)item->key);
}

static void
evict_oldest(struct store *store)
{
    uint32_t at = store->oldest;
    if (at == NONE)
        bench_fatal("nothing left to evict");
    struct item *item = &store->item[at];
    check_item(item);
    subject_free(&item->ref, FREE_NOW);
    lru_unlink(store, at);
    uint32_t *link = bucket_of(store, item->key);
    while (*link != at)
        link = &store->item[*link].chain;
    *link = item->chain;
    item->chain = store->free;
    store->free = at;
    __atomic_store_n(&store->bytes, store->bytes - item->size, __ATOMIC_RELAXED);
    item->size = 0;
    store->used--;
}

static void
insert(struct store *store, uint64_t key, uint32_t size)
{
    while (store->bytes + size > store->limit || store->free == NONE)
        evict_oldest(store);
    uint32_t at = store->free;
    struct item *item = &store->item[at];
    store->free = item->chain;
    void *object = subject_alloc(&item->ref, size, FREE_NOW);
    if (!object)
        subject_failed("allocation", errno);
    object_fill(object, key, size);
    item->key = key;
    item->size = size;
    item->chain = *bucket_of(store, key);
    *bucket_of(store, key) = at;
    lru_link(store, at);
    __atomic_store_n(&store->bytes, store->bytes + size, __ATOMIC_RELAXED);
    store->used++;
}

/* A hit reads the value's first bytes; all of them are checked when it is evicted. */
static void
hit(struct store *store, uint32_t at)
{
    const struct item *item = &store->item[at];
    const void *object = subject_read(&item->ref);
    uint64_t stamp = object_stamp(item->key, item->size);
    size_t head = item->size < sizeof(stamp) ? item->size : sizeof(stamp);
    if (!object || !subject_verdict(memcmp(object, &stamp, head) == 0))
        bench_fatal("the value of key %llu is not its own", (unsigned long long)item->key);
    lru_unlink(store, at);
    lru_link(store, at);
}

/* ---- the load -------------------------------------------------------------------------------- */

static uint64_t
store_bytes(void *arg)
{
    return __atomic_load_n(&((struct store *)arg)->bytes, __ATOMIC_RELAXED);
}

/* The share of hits, in percent. The data set's number makes its keys its own. */
static double
run_requests(struct store *store, unsigned set, struct rng *rng, struct result *result)
{
    static struct dist sizes, popularity;
    uint64_t fresh = 0, hits = 0, count = 0;
    dist_load(&sizes, opt_data, data_set[set], "sizes");
    dist_load(&popularity, opt_data, data_set[set], "popularity");
    for (uint64_t written = 0; written < opt_written * store->limit; count++) {
        uint64_t key = (uint64_t)set << 60 | dist_key(&popularity, rng, &fresh);
        uint64_t begin = opt_latency ? bench_now_ns() : 0;
        subject_enter();
        uint32_t at = find(store, key);
        if (at != NONE) {
            hit(store, at);
            hits++;
        } else {
            uint32_t size = dist_size(&sizes, bench_mix(key ^ bench.seed));
            insert(store, key, size);
            written += size;
        }
        subject_leave();
        if (opt_latency)
            latency_add(&result->latency, bench_now_ns() - begin);
    }
    result->requests += count;
    return 100.0 * (double)hits / (double)count;
}

/* Sizes at a moment of the run; what they need is computed later, from the store's class table. */
struct sample {
    uint32_t size[1u << 16];
    uint32_t count;
};

static void
take_sample(const struct store *store, struct sample *sample)
{
    struct rng rng = rng_stream(99);
    sample->count = 0;
    for (unsigned i = 0; i < BENCH_COUNTOF(sample->size); i++) {
        const struct item *item = &store->item[rng_below(&rng, store->items)];
        if (item->size > 0)
            sample->size[sample->count++] = item->size;
    }
}

static double
floor_of(const struct sample *sample)
{
    uint64_t payload = 0, packed = 0;
    for (uint32_t i = 0; i < sample->count; i++) {
        payload += sample->size[i];
        packed += subject_unit(sample->size[i], FREE_NOW) + subject_reference_bytes();
    }
    return (double)packed / (double)payload;
}

static double
rss_per_live(struct store *store, uint64_t baseline)
{
    return (double)(memory_resident() - baseline) / (double)store->bytes;
}

static void
verify_all(struct store *store)
{
    for (uint32_t at = store->oldest; at != NONE; at = store->item[at].newer) {
        subject_enter();
        check_item(&store->item[at]);
        subject_leave();
    }
}

static void
run_from(unsigned set, void *arg)
{
    static struct sample warm, after;
    struct result *result = arg;
    struct store store;
    struct rng rng = rng_stream(set);
    store_init(&store, opt_mib * BENCH_MIB);
    uint64_t baseline = memory_resident();
    subject_open();
    uint64_t start = bench_now_ns(), cpu = bench_cpu_ns();
    result->hit_percent[0] = run_requests(&store, set, &rng, result);
    result->warm = rss_per_live(&store, baseline);
    take_sample(&store, &warm);
    struct sampler *sampler = sampler_start(baseline, store_bytes, &store, 10);
    result->hit_percent[1] = run_requests(&store, (set + 1) % DATA_SETS, &rng, result);
    result->after = rss_per_live(&store, baseline);
    result->seconds = (double)(bench_now_ns() - start) * 1e-9;
    result->cpu_ns = bench_cpu_ns() - cpu;
    result->peak = sampler_peak(sampler).ratio;
    sampler_stop(sampler);
    take_sample(&store, &after);
    result->warm_floor = floor_of(&warm);
    result->after_floor = floor_of(&after);
    result->compaction_ns = subject_compaction_ns();
    verify_all(&store);
    bench_progress("%s: RSS/live %.3f, after the switch %.3f; hits %.1f and %.1f %%; %u objects",
                   data_set[set], result->warm, result->after, result->hit_percent[0],
                   result->hit_percent[1], store.used);
    subject_close();
}

int
main(int argc, char **argv)
{
    static struct latency latency;
    double seconds = 0, requests = 0, cpu_ns = 0, compaction_ns = 0;
    bench_parse(argc, argv, "resident memory of a cache under production sizes (T4)", options,
                BENCH_COUNTOF(options));
    report_begin("T4", "production sizes", subject_label());
    report_case("%u MiB, %u times that stored before each figure", (unsigned)opt_mib,
                (unsigned)opt_written);
    for (unsigned set = 0; set < DATA_SETS; set++) {
        struct result result;
        if (opt_only != 0 && opt_only != set + 1)
            continue;
        bench_in_child(run_from, set, &result, sizeof(result));
        double target = subject_pick(1.07, 1.10);
        report_at_most(warm_name[set], "RSS/live", result.warm, result.warm_floor, target);
        report_at_most(switch_name[set], "RSS/live", result.after, result.after_floor, target);
        report_value(peak_name[set], "RSS/live", result.peak);
        seconds += result.seconds;
        cpu_ns += (double)result.cpu_ns;
        compaction_ns += (double)result.compaction_ns;
        latency_merge(&latency, &result.latency);
        requests += (double)result.requests;
    }
    struct report_metric rate =
        metric_of("rate", "Mreq/s", REPORT_HIGHER, requests / seconds * 1e-6);
    if (SUBJECT_IS_STORE) {
        rate.ratio_to = "jemalloc";
        rate.ratio_target = subject_pick(1.0, 0.85);
    }
    report_add(rate);
    report_value("CPU of a request", "ns", cpu_ns / requests);
    if (SUBJECT_IS_STORE)
        report_value("CPU of all compaction", "% of theirs", 100 * compaction_ns / cpu_ns);
    if (opt_latency)
        latency_report(&latency, "a request, p99.9", "a request, max");
    report_end();
    return 0;
}
