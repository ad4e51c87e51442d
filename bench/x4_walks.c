/* SPDX-License-Identifier: MIT */
/*
 * x4_walks.c - X4: does a reader that follows links come to the end, while what it follows is
 * unlinked and freed? A reader walks through a list from one end to the other, without a lock; a
 * writer goes along the list, takes out every eighth node and puts in another one. By handles
 * nodes are retired, by pointers freed through call_rcu, and both read in sections; no walk may
 * break. For comparison handle_free in the place of handle_retire: there a walk breaks when the
 * node that it goes on to has been freed since its link was read.
 */
#include "report.h"
#include "subject.h"

#include <string.h>

static uint64_t opt_nodes, opt_walks;
static const struct bench_option options[] = {
    {"nodes", BENCH_COUNT, &opt_nodes, "", 100, 10000000, 20000, 2000, "Nodes in the list"},
    {"walks", BENCH_COUNT, &opt_walks, "", 1, 1000000, 300, 20,
     "Walks, at least, and until as many nodes were replaced"},
};

#define STAMP UINT64_C(0x5eed0fa11ce5)

#if SUBJECT_IS_STORE

typedef handle_t link_t;
struct node {
    link_t next;
    uint64_t stamp;
    char payload[104];
};

static const struct node *
node_read(link_t link)
{
    return handle_deref(subject_store, link);
}

static struct node *
node_write(link_t link)
{
    return handle_deref_mut(subject_store, link);
}

static struct node *
node_new(link_t *link)
{
    void *made;
    *link = handle_alloc_object(subject_store, sizeof(struct node), HANDLE_ZERO, &made);
    return made;
}

static void
node_gone(link_t link, bool at_once)
{
    int error = at_once ? handle_free(subject_store, link) : handle_retire(subject_store, link);
    if (error)
        subject_failed(at_once ? "handle_free" : "handle_retire", error);
}

#else

typedef struct node *link_t;
struct node {
    link_t next;
    uint64_t stamp;
    char payload[104];
    struct rcu_head head;
};

static const struct node *
node_read(link_t link)
{
    return link;
}

static struct node *
node_write(link_t link)
{
    return link;
}

static struct node *
node_new(link_t *link)
{
    return *link = calloc(1, sizeof(struct node));
}

static void
node_free_rcu(struct rcu_head *head)
{
    free(caa_container_of(head, struct node, head));
}

static void
node_gone(link_t link, bool at_once)
{
    (void)at_once;
    call_rcu(&link->head, node_free_rcu);
}

#endif

struct run {
    link_t first;
    bool at_once; /* handle_free in the place of handle_retire */
    bool walked;  /* atomic: the reader is through */
    uint64_t walks, broken, visited, walk_ns;
    uint64_t replaced; /* relaxed atomic */
    uint64_t replace_ns;
};

/* ---- the writer */

static link_t
make_node(link_t next)
{
    link_t link;
    struct node *made = node_new(&link);
    if (!made)
        bench_fatal("no memory for a node");
    made->next = next;
    made->stamp = STAMP;
    return link;
}

/* The node behind this one is unlinked, and another one put in its place. */
static void
replace_next(struct run *run, link_t before)
{
    struct node *node = node_write(before);
    link_t gone = node->next;
    __atomic_store_n(&node->next, make_node(node_read(gone)->next), __ATOMIC_RELEASE);
    node_gone(gone, run->at_once);
    __atomic_store_n(&run->replaced, run->replaced + 1, __ATOMIC_RELAXED);
}

/* Some steps along the list, and back to its begin. */
static link_t
replace_some(struct run *run, link_t at)
{
    section_enter();
    for (unsigned step = 0; step < 64; step++) {
        link_t next = node_read(at)->next;
        if (!next || !node_read(next)->next) {
            at = run->first;
            break;
        }
        if (step % 8 == 0)
            replace_next(run, at);
        at = node_read(at)->next;
    }
    section_leave();
    return at;
}

static void
keep_replacing(struct run *run)
{
    link_t at = run->first;
    uint64_t start = bench_cpu_ns();
    while (!__atomic_load_n(&run->walked, __ATOMIC_ACQUIRE))
        at = replace_some(run, at);
    run->replace_ns = bench_cpu_ns() - start;
}

/* ---- the reader */

/* One walk, in a section of its own. */
static void
walk(struct run *run)
{
    link_t link = run->first;
    run->walks++;
    section_enter();
    while (link) {
        const struct node *node = node_read(link);
        if (!node) {
            run->broken++;
            break;
        }
        if (node->stamp != STAMP)
            bench_fatal("what a walk met is no node");
        run->visited++;
        link = __atomic_load_n(&node->next, __ATOMIC_ACQUIRE);
    }
    section_leave();
}

static void
member(void *arg, unsigned number)
{
    struct run *run = arg;
    if (number == 0) {
        keep_replacing(run);
        return;
    }
    uint64_t start = bench_cpu_ns();
    while (run->walks < opt_walks || __atomic_load_n(&run->replaced, __ATOMIC_RELAXED) < opt_nodes)
        walk(run);
    run->walk_ns = bench_cpu_ns() - start;
    __atomic_store_n(&run->walked, true, __ATOMIC_RELEASE);
}

/* ---- the question */

static struct run
walk_through(struct team *team, link_t first, bool at_once)
{
    struct run run = {.first = first, .at_once = at_once};
    team_run(team, member, &run);
    if (!run.at_once && run.broken == 0 && run.visited != run.walks * opt_nodes)
        bench_fatal("walks met %llu nodes", (unsigned long long)run.visited);
    return run;
}

static link_t
make_list(void)
{
    link_t first = (link_t)0;
    for (uint64_t i = 0; i < opt_nodes; i++) {
        section_enter();
        first = make_node(first);
        section_leave();
    }
    return first;
}

int
main(int argc, char **argv)
{
    bench_parse(argc, argv, "walks through a list that is being changed (X4)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    report_begin("X4", "walks through a list that is being changed", subject_label());
    report_case("%u nodes, at least %u walks beside a writer", (unsigned)opt_nodes,
                (unsigned)opt_walks);
    subject_open();
    struct team *team = team_start(2, true);
    link_t first = make_list();
    struct run run = walk_through(team, first, false);
    report_at_most("walks that broke", "", (double)run.broken, NAN, 0);
    report_value("walk, a node", "ns", (double)run.walk_ns / (double)run.visited);
    report_value("unlink and put in", "ns", (double)run.replace_ns / (double)run.replaced);
#if SUBJECT_IS_STORE
    run = walk_through(team, first, true);
    report_value("walks that broke with handle_free", "", (double)run.broken);
#endif
    team_stop(team);
    report_end();
    subject_settle();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
