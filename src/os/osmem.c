/* SPDX-License-Identifier: MIT */
/* osmem.c - see osmem.h. */

/* CMakeLists.txt refuses these machines, with the reasons; this is for who builds without it. */
#if __SIZEOF_POINTER__ != 8
#error "sinter needs 64-bit Linux"
#elif __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "sinter needs a little-endian machine"
#elif defined(__powerpc__)
#error "sinter does not support POWER"
#endif

#include "os/osmem.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/cancel.h"
#include "base/hooks.h"

static bool membarrier_works; /* atomic */

bool
sn_os_is_resident(void *page)
{
    unsigned char resident = 0;
    return mincore(page, 1, &resident) == 0 && (resident & 1); /* one byte, so one page */
}

/* Whether the process locks whatever it maps (mlockall with MCL_FUTURE): a fresh page is resident
 * before it is touched then. */
static bool
locks_what_it_maps(void)
{
    void *page =
        mmap(NULL, SN_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return false;
    bool locks = sn_os_is_resident(page);
    munmap(page, SN_PAGE_BYTES);
    return locks;
}

/*
 * Address space without pages. A process that locks whatever it maps would get all of them at once:
 * there it is mapped without access, locked as pages are touched, and only then made accessible.
 * at: where it should lie, if nothing else lies there. NULL: it could not be had.
 */
static char *
map_empty(void *at, size_t bytes)
{
    const int access = PROT_READ | PROT_WRITE;
    bool locks = locks_what_it_maps();
    char *raw = mmap(at, bytes, locks ? PROT_NONE : access,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    if (locks && (mlock2(raw, bytes, MLOCK_ONFAULT) != 0 || mprotect(raw, bytes, access) != 0)) {
        munmap(raw, bytes);
        errno = ENOMEM;
        return NULL;
    }
    return raw;
}

void *
sn_os_reserve_plain(size_t bytes, size_t align)
{
    if (sn_inject(SN_INJECT_MMAP)) {
        errno = ENOMEM;
        return NULL;
    }
    if (bytes > SIZE_MAX - align - SN_PAGE_BYTES) { /* and the kernel's own rounding */
        errno = ENOMEM;
        return NULL;
    }
    size_t with_slack = bytes + align;
    char *raw = map_empty(NULL, with_slack);
    if (!raw) {
        errno = ENOMEM; /* whatever the kernel calls it: there is no such address space */
        return NULL;
    }
    char *base = (char *)sn_round_up((uintptr_t)raw, align);
    if (base > raw)
        munmap(raw, (size_t)(base - raw));
    size_t behind = (size_t)(raw + with_slack - (base + bytes));
    if (behind > 0)
        munmap(base + bytes, behind);
    return base;
}

/* Huge pages only where the store asks for them: elsewhere one write would take 2 MiB, and count as
 * a page. */
void *
sn_os_reserve(size_t bytes, size_t align)
{
    char *base = sn_os_reserve_plain(bytes, align);
    if (base)
        sn_os_hugepages(base, bytes, false);
    return base;
}

bool
sn_os_reserve_at(void *address, size_t bytes)
{
    if (sn_inject(SN_INJECT_MMAP)) {
        errno = ENOMEM;
        return false;
    }
    /* A hint, not MAP_FIXED_NOREPLACE: ThreadSanitizer makes an address that it does not allow a
     * NULL, and would map the first page. */
    void *got = map_empty(address, bytes);
    if (got == address)
        return true;
    if (got) {
        munmap(got, bytes);
        errno = EEXIST;
    }
    return false;
}

size_t
sn_os_extend(void *end, size_t least, size_t most, size_t *step)
{
    size_t bytes = sn_max(sn_min(*step, most), least);
    while (least <= most) {
        if (sn_os_reserve_at(end, bytes)) {
            *step = bytes * 2;
            return bytes;
        }
        if (bytes == least)
            break;
        bytes = sn_max((bytes / 2) & ~(SN_BLOCK_BYTES - 1), least);
    }
    *step = least;
    return 0;
}

/* The beginning of a file of the kernel's; empty when it cannot be read. */
static void
read_text(const char *path, char *text, size_t size)
{
    SN_NO_CANCELLATION;
    int fd = sn_inject(SN_INJECT_STATM) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = 0;
}

/* The first number that a file of /proc has behind `key`; 0: none. */
static uint64_t
read_number(const char *path, const char *key)
{
    char text[4096];
    read_text(path, text, sizeof(text));
    const char *found = strstr(text, key);
    return found ? strtoull(found + strlen(key), NULL, 10) : 0;
}

uint64_t
sn_os_address_limit(void)
{
    const uint64_t never = 2; /* of vm.overcommit_memory: reserved is as good as committed */
    struct rlimit all, private;
    uint64_t bytes = UINT64_MAX;
    if (getrlimit(RLIMIT_AS, &all) == 0 && getrlimit(RLIMIT_DATA, &private) == 0)
        bytes = sn_min(all.rlim_cur, private.rlim_cur); /* RLIM_INFINITY is the highest number */
    if (read_number("/proc/sys/vm/overcommit_memory", "") == never) {
        uint64_t kib = read_number("/proc/meminfo", "CommitLimit:");
        bytes = sn_min(bytes, kib > 0 ? kib << 10 : UINT64_MAX);
    }
    return bytes;
}

void
sn_os_release(void *address, size_t bytes)
{
    munmap(address, bytes);
}

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18 */
#endif

/* Whether the kernel does what it is asked for, no less and no more, also where its pages are as
 * large as the library's: whole pages, or what it refuses here, too. */
__attribute__((unused)) static bool
is_whole_pages(const void *address, size_t bytes)
{
    uintptr_t at = (uintptr_t)address;
    return (at | bytes) % SN_PAGE_BYTES == 0 || at % sn_kernel_page_bytes() != 0;
}

/* Locked pages go back all the same, where the kernel can do it; they stay locked when they are
 * touched again. Result and errno as madvise. */
static int
discard_one(void *address, size_t bytes)
{
    sn_assert(is_whole_pages(address, bytes));
    int result = madvise(address, bytes, MADV_DONTNEED);
    if (sn_unlikely(result != 0) && errno == EINVAL)
        result = madvise(address, bytes, MADV_DONTNEED_LOCKED);
    return result;
}

bool
sn_os_discard(void *address, size_t bytes)
{
    if (sn_inject(SN_INJECT_MADVISE)) {
        errno = ENOMEM;
        return false;
    }
    return discard_one(address, bytes) == 0;
}

void
sn_os_discard_between(void *from, void *to)
{
    uintptr_t begin = sn_round_up((uintptr_t)from, SN_PAGE_BYTES);
    uintptr_t end = (uintptr_t)to & ~(SN_PAGE_BYTES - 1);
    if (begin < end)
        (void)sn_os_discard((char *)from + (begin - (uintptr_t)from), end - begin);
}

/* Stands for the calling process where a system call wants a descriptor of one (PIDFD_SELF_THREAD).
 * Linux before 6.15 answers EBADF. */
#define PIDFD_OF_SELF (-10000)

/* Bytes given back by one call, in whole ranges from the first on. A kernel that has no such call,
 * or does not let us, is not asked again. */
static size_t
discard_at_once(const struct iovec *ranges, size_t count)
{
#ifdef __NR_process_madvise
    static bool refused; /* atomic */
    int saved = errno;
    for (size_t i = 0; SN_DEBUG && i < count; i++)
        sn_assert(is_whole_pages(ranges[i].iov_base, ranges[i].iov_len));
    if (sn_inject(SN_INJECT_PROCESS_MADVISE) || sn_load_relaxed(&refused))
        return 0;
    long bytes = syscall(__NR_process_madvise, PIDFD_OF_SELF, ranges, count, MADV_DONTNEED, 0);
    if (bytes > 0)
        return (size_t)bytes;
    if (bytes < 0 && (errno == EBADF || errno == ENOSYS || errno == EPERM))
        sn_store_relaxed(&refused, true);
    errno = saved;
#else
    (void)ranges, (void)count;
#endif
    return 0;
}

size_t
sn_os_discard_many(const struct iovec *ranges, size_t count)
{
    size_t allowed = 0, done = 0;
    while (allowed < count && !sn_inject(SN_INJECT_MADVISE))
        allowed++;
    size_t bytes = allowed > 1 ? discard_at_once(ranges, allowed) : 0;
    for (; done < allowed && bytes >= ranges[done].iov_len; done++)
        bytes -= ranges[done].iov_len;
    while (done < allowed && discard_one(ranges[done].iov_base, ranges[done].iov_len) == 0)
        done++;
    if (done == allowed && allowed < count)
        errno = ENOMEM;
    return done;
}

void
sn_os_hugepages(void *address, size_t bytes, bool want)
{
    if (!sn_inject(SN_INJECT_MADVISE))
        (void)madvise(address, bytes, want ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

enum sn_thp
sn_os_thp_of(const char *mode, const char *size)
{
    if (strtoull(size, NULL, 10) != SN_HUGE_PAGE_BYTES || !strchr(mode, '['))
        return SN_THP_NONE;
    return strstr(mode, "[always]") ? SN_THP_ALWAYS : SN_THP_ON_DEMAND;
}

enum sn_thp
sn_os_thp(void)
{
    char size[32], mode[64];
    read_text("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", size, sizeof(size));
    read_text("/sys/kernel/mm/transparent_hugepage/enabled", mode, sizeof(mode));
    return sn_os_thp_of(mode, size);
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

bool
sn_os_collapse(void *address)
{
    if (sn_inject(SN_INJECT_MADVISE)) {
        errno = ENOMEM;
        return false;
    }
    return madvise(address, SN_HUGE_PAGE_BYTES, MADV_COLLAPSE) == 0;
}

/* MADV_DONTNEED of a part unmaps that, and keeps the memory until it is short. MADV_FREE of a part
 * splits the huge page. The kernel does not do it for locked pages, nor while a forked child shares
 * them. */
void
sn_os_split(void *page)
{
    if (!sn_inject(SN_INJECT_MADVISE))
        (void)madvise(page, SN_PAGE_BYTES, MADV_FREE);
}

void
sn_os_show_in_core(void *address, size_t bytes, bool show)
{
    uintptr_t at = (uintptr_t)address, page = SN_PAGE_BYTES;
    uintptr_t begin = show ? at & ~(page - 1) : sn_round_up(at, page);
    uintptr_t end = show ? sn_round_up(at + bytes, page) : (at + bytes) & ~(page - 1);
    if (begin < end)
        (void)madvise((char *)address - at + begin, end - begin,
                      show ? MADV_DODUMP : MADV_DONTDUMP);
}

#ifndef PR_SET_VMA
#define PR_SET_VMA           0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

void
sn_os_name(void *address, size_t bytes, const char *name)
{
    (void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, address, bytes, name);
}

bool
sn_os_protect(void *address, size_t bytes, bool accessible)
{
    if (sn_inject(SN_INJECT_MPROTECT)) {
        errno = ENOMEM;
        return false;
    }
    sn_assert(is_whole_pages(address, bytes));
    return mprotect(address, bytes, accessible ? PROT_READ | PROT_WRITE : PROT_NONE) == 0;
}

uint64_t *
sn_os_wiped_on_fork(void)
{
    if (sn_inject(SN_INJECT_WIPE))
        return NULL;
    void *page =
        mmap(NULL, SN_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    if (madvise(page, SN_PAGE_BYTES, MADV_WIPEONFORK) == 0)
        return page;
    munmap(page, SN_PAGE_BYTES);
    return NULL;
}

void *
sn_os_zalloc(size_t bytes)
{
    if (sn_inject(SN_INJECT_MALLOC)) {
        errno = ENOMEM;
        return NULL;
    }
    return calloc(1, bytes);
}

void
sn_os_free(void *address)
{
    free(address);
}

uint64_t
sn_os_physical_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    return pages > 0 ? (uint64_t)pages * sn_kernel_page_bytes() : (uint64_t)1 << 30;
}

uint64_t
sn_os_resident_bytes(void)
{
    SN_NO_CANCELLATION;
    char text[128];
    int fd = sn_inject(SN_INJECT_STATM) ? -1 : open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (got <= 0)
        return 0;
    text[got] = 0;
    const char *second = strchr(text, ' ');
    return second ? strtoull(second + 1, NULL, 10) * sn_kernel_page_bytes() : 0;
}

int
sn_os_open_pagemap(void)
{
    return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

/* An entry of pagemap: the page is there, and no other process has it (Linux 4.2). */
#define PAGE_PRESENT   (UINT64_C(1) << 63)
#define PAGE_EXCLUSIVE (UINT64_C(1) << 56)

uint64_t
sn_os_shared_bytes(int pagemap, const void *address, size_t bytes)
{
    enum { AT_ONCE = 64 };
    uint64_t entry[AT_ONCE], page_bytes = sn_kernel_page_bytes(), shared = 0;
    uint64_t page = (uintptr_t)address / page_bytes;
    uint64_t end = ((uintptr_t)address + bytes + page_bytes - 1) / page_bytes;
    while (page < end) {
        size_t count = sn_min(end - page, AT_ONCE);
        size_t wanted = count * sizeof(entry[0]);
        if (pagemap < 0 ||
            pread(pagemap, entry, wanted, (off_t)(page * sizeof(entry[0]))) != (ssize_t)wanted)
            return shared + (end - page) * page_bytes;
        for (size_t i = 0; i < count; i++)
            shared += (entry[i] & (PAGE_PRESENT | PAGE_EXCLUSIVE)) == PAGE_PRESENT ? page_bytes : 0;
        page += count;
    }
    return shared;
}

size_t
sn_os_l2_bytes(void)
{
    long bytes = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE /* not of musl */
    bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return bytes > 0 ? (size_t)bytes : SN_L2_DEFAULT_BYTES;
}

static uint64_t
clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t
sn_os_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t
sn_os_thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

struct timespec
sn_os_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
                             .tv_nsec = (long)(ns % 1000000000u)};
}

void
sn_os_sleep_ns(uint64_t ns)
{
    SN_NO_CANCELLATION;
    struct timespec time = sn_os_timespec(ns);
    nanosleep(&time, NULL);
}

uint64_t
sn_os_random(void)
{
    SN_NO_CANCELLATION;
    uint64_t value;
    if (sn_inject(SN_INJECT_RANDOM) ||
        getrandom(&value, sizeof(value), GRND_NONBLOCK) != (ssize_t)sizeof(value))
        value = (sn_os_now_ns() ^ (uintptr_t)&value) * UINT64_C(0x9e3779b97f4a7c15);
    return value;
}

/* The cores that the process's first thread could use when the library was loaded: what an
 * administrator gave the process. A thread that makes a store may be tied to one core by then. */
#define CORES_MAX 8192
static unsigned long allowed_cores[CORES_MAX / (8 * sizeof(unsigned long))];
static size_t allowed_cores_bytes; /* 0: the kernel did not say */

__attribute__((constructor)) static void
look_up_cores(void)
{
    long bytes = syscall(__NR_sched_getaffinity, getpid(), sizeof(allowed_cores), allowed_cores);
    allowed_cores_bytes = bytes > 0 ? (size_t)bytes : 0;
}

/* What a thread inherits from the one that made it is undone, as far as the kernel lets us. */
static void
schedule_normally(pthread_t thread)
{
    if (allowed_cores_bytes > 0)
        (void)pthread_setaffinity_np(thread, allowed_cores_bytes, (void *)allowed_cores);
    (void)pthread_setschedparam(thread, SCHED_OTHER, &(struct sched_param){0});
}

/* A stack that no huge page fits into, and that costs little where the process locks its memory.
 * Where a program's thread-local variables do not fit into it, the default one. */
static int
create_thread(pthread_t *thread, void *(*run)(void *argument), void *argument)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, SN_STACK_BYTES);
    int error = pthread_create(thread, &attributes, run, argument);
    pthread_attr_destroy(&attributes);
    if (error == EINVAL)
        error = pthread_create(thread, NULL, run, argument);
    return error ? EAGAIN : 0; /* whichever call of its own the C library was refused */
}

int
sn_os_start_thread(pthread_t *thread, void *(*run)(void *argument), void *argument,
                   const char *name)
{
    sigset_t all, before;
    if (sn_inject(SN_INJECT_THREAD))
        return EAGAIN;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = create_thread(thread, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return error;
    schedule_normally(*thread);
    char most[16]; /* what the kernel has room for */
    snprintf(most, sizeof(most), "%s", name);
    pthread_setname_np(*thread, most);
    return 0;
}

static long
membarrier_call(int command)
{
    return syscall(__NR_membarrier, command, 0, 0);
}

static void
membarrier_register(void)
{
    if (sn_inject(SN_INJECT_MEMBARRIER))
        return;
    long have = membarrier_call(MEMBARRIER_CMD_QUERY);
    if (have < 0 || !(have & MEMBARRIER_CMD_PRIVATE_EXPEDITED))
        return;
    bool works = !sn_inject(SN_INJECT_MEMBARRIER) &&
                 membarrier_call(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
    sn_store_relaxed(&membarrier_works, works);
}

bool
sn_os_membarrier_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, membarrier_register);
    return sn_load_relaxed(&membarrier_works);
}

static bool
membarrier_done(int command)
{
    return !sn_inject(SN_INJECT_BARRIER) && membarrier_call(command) == 0;
}

bool
sn_os_membarrier(void)
{
    int saved = errno;
    sn_fence_seq_cst();
    /* The second takes milliseconds, but neither memory nor a registration. */
    bool done = !sn_load_relaxed(&membarrier_works) ||
                membarrier_done(MEMBARRIER_CMD_PRIVATE_EXPEDITED) ||
                membarrier_done(MEMBARRIER_CMD_GLOBAL);
    errno = saved;
    return done;
}
