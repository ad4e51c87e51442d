/* SPDX-License-Identifier: MIT */
/* stack.c - see stack.h. By the C library's backtrace, which needs no more than it has; where there
 * is none, stacks are empty. */
#include "os/stack.h"

#include <string.h>

#include "base/base.h"

#ifdef __GLIBC__
#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <sys/auxv.h>

#define OWN_FRAMES 16

/* Where the shared library lies; both 0: it is a part of the program. */
static uintptr_t own_begin, own_end;

static bool
lies_in(const struct dl_phdr_info *info, uintptr_t address)
{
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type == PT_LOAD && address >= begin &&
            address - begin < info->dlpi_phdr[i].p_memsz)
            return true;
    }
    return false;
}

static int
find_own(struct dl_phdr_info *info, size_t bytes, void *unused)
{
    (void)bytes;
    (void)unused;
    if (!lies_in(info, (uintptr_t)sn_stack_prepare))
        return 0;
    if (lies_in(info, getauxval(AT_PHDR))) /* the program's own headers */
        return 1;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type != PT_LOAD || !(info->dlpi_phdr[i].p_flags & PF_X))
            continue;
        own_begin = begin;
        own_end = begin + info->dlpi_phdr[i].p_memsz;
    }
    return 1;
}

static void
prepare(void)
{
    void *frame[2];
    (void)backtrace(frame, 2); /* loads libgcc_s */
    (void)dl_iterate_phdr(find_own, NULL);
}

void
sn_stack_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, prepare);
}

uint32_t
sn_stack_take(void **frame, uint32_t max)
{
    void *all[64];
    uint32_t count = (uint32_t)backtrace(all, 64), first = 1; /* this function */
    while (first < count && first < OWN_FRAMES && (uintptr_t)all[first] >= own_begin &&
           (uintptr_t)all[first] < own_end)
        first++;
    count = (uint32_t)sn_min(count - sn_min(first, count), max);
    memcpy(frame, all + first, count * sizeof(*frame));
    return count;
}

#else

void
sn_stack_prepare(void)
{
}

uint32_t
sn_stack_take(void **frame, uint32_t max)
{
    (void)frame;
    (void)max;
    return 0;
}

#endif
