/* SPDX-License-Identifier: MIT */
/*
 * child.c - runs a part of a benchmark in a process of its own; see bench.h.
 */
#include "bench.h"
#include "memory.h"
#include "section.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void
run_child(void (*run)(unsigned which, void *result), unsigned which, void *result)
{
    rcu_register_thread();
    run(which, result);
    rcu_unregister_thread();
    fflush(NULL);
    _exit(0);
}

void
bench_in_child(void (*run)(unsigned which, void *result), unsigned which, void *result, size_t size)
{
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        bench_fatal("memory for a part's result: %s", strerror(errno));
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        bench_fatal("fork: %s", strerror(errno));
    if (child == 0)
        run_child(run, which, shared);
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            bench_fatal("waitpid: %s", strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        bench_fatal("part %u failed", which);
    memcpy(result, shared, size);
    munmap(shared, size);
}
