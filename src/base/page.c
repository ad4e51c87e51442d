/* SPDX-License-Identifier: MIT */
/* page.c - see page.h. */
#include "base/page.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/hooks.h"

size_t
sn_kernel_page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static bool
is_supported(size_t bytes)
{
    return bytes == (size_t)1 << SN_PAGE_SHIFT_MIN || bytes == (size_t)1 << 14 ||
           bytes == (size_t)1 << SN_PAGE_SHIFT_MAX;
}

#ifdef SN_FIXED_PAGE_SHIFT
bool
sn_page_size_fits(void)
{
    return sn_kernel_page_bytes() == SN_PAGE_BYTES && is_supported(SN_PAGE_BYTES);
}
#else
unsigned sn_page_shift = SN_PAGE_SHIFT_MIN;

/* What a test wants to be a page; else the kernel's. */
static size_t
wanted_bytes(void)
{
    const char *wanted = SN_DEBUG ? getenv(SN_PAGE_VARIABLE) : NULL;
    size_t bytes = wanted ? strtoul(wanted, NULL, 10) : 0;
    return sn_max(bytes, sn_kernel_page_bytes());
}

/* Before the constructors of programs, which may make stores. */
__attribute__((constructor(101))) static void
look_up_page_size(void)
{
    size_t bytes = wanted_bytes();
    if (is_supported(bytes))
        sn_page_shift = (unsigned)__builtin_ctzl(bytes);
}

bool
sn_page_size_fits(void)
{
    return is_supported(sn_kernel_page_bytes());
}
#endif
