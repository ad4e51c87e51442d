/* SPDX-License-Identifier: MIT */
/*
 * osmem.h - the one file that asks the kernel: for address space, for pages back, for the time, for
 * threads, for barriers in others. Nothing here knows what the memory is for.
 */
#ifndef SN_OSMEM_H
#define SN_OSMEM_H

#include <pthread.h>
#include <sys/uio.h>
#include <time.h>

#include "base/config.h"

/** Address space, readable and writable, zero, not committed, aligned to `align` (a power of two,
 * at least a page); without huge pages until sn_os_hugepages says otherwise, and not resident even
 * where the process locks all it maps. NULL with errno ENOMEM. */
void *sn_os_reserve(size_t bytes, size_t align);
/** The same, but what the kernel does of itself about huge pages stays as it is. */
void *sn_os_reserve_plain(size_t bytes, size_t align);
void sn_os_release(void *address, size_t bytes);

/** sn_os_reserve_plain at an address of the caller's, in whole pages. False: errno is ENOMEM, or
 * something else if other addresses may do, since something lies there. */
bool sn_os_reserve_at(void *address, size_t bytes);

/**
 * More of a range that ends at `end`, in place, as by sn_os_reserve_at: *step bytes at most, and
 * halved down to `least` where others lie above; `most` is the bound of all. *step: what to try
 * next time. Result: how many bytes more, 0: not even the least.
 */
size_t sn_os_extend(void *end, size_t least, size_t most, size_t *step);

/** Address space that the process may have: the lowest of RLIMIT_AS, RLIMIT_DATA and, where the
 * kernel overcommits nothing, its commit limit. UINT64_MAX: no limit is known. */
uint64_t sn_os_address_limit(void);

/** Gives whole pages back, locked ones too (Linux 5.18); they read as zero afterwards. False (errno
 * set): the kernel refused; they count as not given back, though some may read as zero. */
bool sn_os_discard(void *address, size_t bytes);

/** The same for the whole pages between two addresses, as far as the kernel lets us. */
void sn_os_discard_between(void *from, void *to);
/** Whether a page is in memory; false where the kernel does not say. */
bool sn_os_is_resident(void *page);

/**
 * sn_os_discard for several ranges: in one system call where the kernel takes that, which also
 * spares the TLB flush, and with other threads the interrupt, per range. Result: how many were
 * given back, from the first on; if not all (errno set), the next one may have lost some of its
 * pages, and the others nothing.
 */
size_t sn_os_discard_many(const struct iovec *ranges, size_t count);

/** Tells the kernel whether to use transparent huge pages here; a hint, failure is ignored. */
void sn_os_hugepages(void *address, size_t bytes, bool want);

/* Transparent huge pages as the library uses them. Where they have another size it uses none. */
#define SN_HUGE_PAGE_BYTES ((size_t)2 << 20)

enum sn_thp {
    SN_THP_NONE,      /* no such pages here, or not of that size, or the kernel does not say */
    SN_THP_ON_DEMAND, /* the kernel uses them where it is asked to, or only where it is forced to */
    SN_THP_ALWAYS,    /* the kernel uses them wherever it is not kept from it */
};
/** What the kernel does of itself; and by what it says: "always [madvise] never", and bytes. */
enum sn_thp sn_os_thp(void);
enum sn_thp sn_os_thp_of(const char *mode, const char *size);
/** Makes an aligned range of that size a huge page, whatever the kernel does of itself (Linux 6.1):
 * in a mapping that sn_os_hugepages has not spoken of. Pages that were not there become zero. False
 * (errno set): the kernel refused, contents are as before. EINVAL: it always will. */
bool sn_os_collapse(void *address);
/** Makes pages again of the huge page that this page lies in, which is to be given back: else the
 * kernel keeps what is given back of it until memory is short. What the page holds may be lost. A
 * hint: failure is ignored. */
void sn_os_split(void *page);

/** Whether pages are to be in cores, all that the range touches, or not to be, those that lie in it
 * wholly; a hint, failure is ignored. */
void sn_os_show_in_core(void *address, size_t bytes, bool show);
/** What pmap and /proc/PID/smaps call the range (Linux 5.17); a hint. At most SN_OS_NAME_BYTES, of
 * printable characters without any of []$`\ */
void sn_os_name(void *address, size_t bytes, const char *name);
#define SN_OS_NAME_BYTES 64

/** Whether whole pages can be touched at all. False (errno set): nothing changed. */
bool sn_os_protect(void *address, size_t bytes, bool accessible);
/** A word, 0, that is 0 again in a forked child. NULL when the kernel cannot do it. */
uint64_t *sn_os_wiped_on_fork(void);

/** The library's own small structures: zeroed. NULL with errno ENOMEM. */
void *sn_os_zalloc(size_t bytes);
void sn_os_free(void *address);

uint64_t sn_os_physical_bytes(void);
/** Resident bytes of the process; 0 when the kernel does not say. */
uint64_t sn_os_resident_bytes(void);
/** For sn_os_shared_bytes, until closed with close(). -1: the kernel does not say. */
int sn_os_open_pagemap(void);
/** Bytes of the range's pages that another process shares, so that writing to them copies them; all
 * of them, when the kernel does not say. */
uint64_t sn_os_shared_bytes(int pagemap, const void *address, size_t bytes);
size_t sn_os_l2_bytes(void);
uint64_t sn_os_now_ns(void);
/** The same time, as waits want it. */
struct timespec sn_os_timespec(uint64_t ns);
/** Sleeps for that time, or until a signal. */
void sn_os_sleep_ns(uint64_t ns);
/** CPU time that the calling thread has used. */
uint64_t sn_os_thread_cpu_ns(void);
uint64_t sn_os_random(void);

/** Starts a thread of the library: all signals are blocked in it; it runs as SCHED_OTHER on all
 * cores of the process, whatever the caller does. The name is cut to fit. Result: 0 or EAGAIN. */
int sn_os_start_thread(pthread_t *thread, void *(*run)(void *argument), void *argument,
                       const char *name);

/** Asks once per process whether the kernel has private expedited membarriers. */
bool sn_os_membarrier_init(void);
/** A full fence in every running thread of the process, as if each had executed one between two of
 * its instructions. Only after sn_os_membarrier_init() said true; else a fence here alone. False:
 * the kernel refused it (no memory; a seccomp filter set since): nothing is known of others. */
bool sn_os_membarrier(void);

#endif
