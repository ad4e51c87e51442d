/* SPDX-License-Identifier: MIT */
/* plan.c - see fault.h. The fault hook is called by any thread, with whatever locks are held. */
#include "fault.h"

const char *const fault_point_names[SN_INJECT_POINTS] = {
    [SN_INJECT_MMAP] = "mmap",
    [SN_INJECT_MADVISE] = "madvise",
    [SN_INJECT_THREAD] = "thread",
    [SN_INJECT_MEMBARRIER] = "membarrier",
    [SN_INJECT_MALLOC] = "malloc",
    [SN_INJECT_PIPE] = "pipe",
    [SN_INJECT_KEY] = "key",
    [SN_INJECT_RANDOM] = "random",
    [SN_INJECT_STATM] = "statm",
    [SN_INJECT_MPROTECT] = "mprotect",
    [SN_INJECT_PROCESS_MADVISE] = "process_madvise",
    [SN_INJECT_BARRIER] = "barrier",
    [SN_INJECT_WIPE] = "wipe",
};

static struct plan current;
static bool armed;
static uint64_t calls, injected, marked;

static int
fault(enum sn_inject_point point)
{
    if (point != current.point || !__atomic_load_n(&armed, __ATOMIC_ACQUIRE))
        return 0;
    uint64_t call = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    if (current.nth == 0 || (current.for_ever ? call < current.nth : call != current.nth))
        return 0;
    __atomic_add_fetch(&injected, 1, __ATOMIC_RELAXED);
    return 1;
}

void
plan_make(const struct plan *plan)
{
    current = *plan;
    __atomic_store_n(&sn_inject_fn, fault, __ATOMIC_RELEASE);
}

void
plan_arm(void)
{
    __atomic_store_n(&armed, true, __ATOMIC_RELEASE);
}

void
plan_disarm(void)
{
    __atomic_store_n(&armed, false, __ATOMIC_RELEASE);
}

uint64_t
plan_calls(void)
{
    return __atomic_load_n(&calls, __ATOMIC_RELAXED);
}

uint64_t
plan_injected(void)
{
    return __atomic_load_n(&injected, __ATOMIC_RELAXED);
}

void
plan_mark(void)
{
    marked = plan_injected();
}

/* What handle.h documents. Faults that are left out have no error: the library does without. */
bool
plan_excuses(int error)
{
    if (plan_injected() == marked)
        return false;
    switch (current.point) {
    case SN_INJECT_MMAP:
    case SN_INJECT_MALLOC:
        return error == ENOMEM;
    case SN_INJECT_THREAD:
    case SN_INJECT_BARRIER:
        return error == EAGAIN;
    default:
        return false;
    }
}

_Noreturn void
fault_failed(const char *condition, const char *file, int line)
{
    plan_disarm();
    fprintf(stderr, "%s:%d: %s does not hold\n", file, line, condition);
    abort();
}
