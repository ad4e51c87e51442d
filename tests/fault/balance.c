/* SPDX-License-Identifier: MIT */
/*
 * balance.c - see fault.h. The program is linked with --wrap for the functions below, so that every
 * call of the library goes through here.
 */
#include "fault.h"

#include <dirent.h>
#include <time.h>

#include "core/misuse.h"

void *__real_sn_os_zalloc(size_t bytes);
void *__wrap_sn_os_zalloc(size_t bytes);
void __real_sn_os_free(void *address);
void __wrap_sn_os_free(void *address);
void *__real_sn_os_reserve(size_t bytes, size_t align);
void *__wrap_sn_os_reserve(size_t bytes, size_t align);
void *__real_sn_os_reserve_plain(size_t bytes, size_t align);
void *__wrap_sn_os_reserve_plain(size_t bytes, size_t align);
bool __real_sn_os_reserve_at(void *address, size_t bytes);
bool __wrap_sn_os_reserve_at(void *address, size_t bytes);
size_t __real_sn_os_extend(void *end, size_t least, size_t most, size_t *step);
size_t __wrap_sn_os_extend(void *end, size_t least, size_t most, size_t *step);
void __real_sn_os_release(void *address, size_t bytes);
void __wrap_sn_os_release(void *address, size_t bytes);
int __real_handle_store_check(handle_store *, void (*)(void *, const char *), void *);
int __wrap_handle_store_check(handle_store *, void (*)(void *, const char *), void *);

static long blocks, range_bytes, violations;

static void
count(long *counter, long by)
{
    __atomic_add_fetch(counter, by, __ATOMIC_RELAXED);
}

void *
__wrap_sn_os_zalloc(size_t bytes)
{
    void *address = __real_sn_os_zalloc(bytes);
    count(&blocks, address != NULL);
    return address;
}

void
__wrap_sn_os_free(void *address)
{
    count(&blocks, address ? -1 : 0);
    __real_sn_os_free(address);
}

void *
__wrap_sn_os_reserve(size_t bytes, size_t align)
{
    void *address = __real_sn_os_reserve(bytes, align);
    count(&range_bytes, address ? (long)bytes : 0);
    return address;
}

void *
__wrap_sn_os_reserve_plain(size_t bytes, size_t align)
{
    void *address = __real_sn_os_reserve_plain(bytes, align);
    count(&range_bytes, address ? (long)bytes : 0);
    return address;
}

bool
__wrap_sn_os_reserve_at(void *address, size_t bytes)
{
    bool reserved = __real_sn_os_reserve_at(address, bytes);
    count(&range_bytes, reserved ? (long)bytes : 0);
    return reserved;
}

size_t
__wrap_sn_os_extend(void *end, size_t least, size_t most, size_t *step)
{
    size_t bytes = __real_sn_os_extend(end, least, most, step);
    count(&range_bytes, (long)bytes);
    return bytes;
}

void
__wrap_sn_os_release(void *address, size_t bytes)
{
    count(&range_bytes, -(long)bytes);
    __real_sn_os_release(address, bytes);
}

int
__wrap_handle_store_check(handle_store *store, void (*report)(void *, const char *), void *opaque)
{
    int found = __real_handle_store_check(store, report, opaque);
    count(&violations, found > 0 ? found : 0);
    return found;
}

/* Entries of a directory of the process, without the descriptor that reads it. */
static long
count_entries(const char *path)
{
    long entries = 0;
    DIR *directory = opendir(path);
    fault_check(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        entries += entry->d_name[0] != '.';
    closedir(directory);
    return entries;
}

void
balance_read(struct balance *balance)
{
    balance->blocks = __atomic_load_n(&blocks, __ATOMIC_RELAXED);
    balance->range_bytes =
        __atomic_load_n(&range_bytes, __ATOMIC_RELAXED) - (long)sn_misuse_kept_bytes();
    balance->violations = __atomic_load_n(&violations, __ATOMIC_RELAXED);
    balance->files = count_entries("/proc/self/fd");
    balance->threads = count_entries("/proc/self/task");
}

void
balance_check(const struct balance *before, bool gp_thread)
{
    struct balance now;
    balance_read(&now);
    /* a joined thread leaves the kernel's list a moment later */
    for (unsigned turn = 0; now.threads > before->threads + gp_thread && turn < 10000; turn++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        balance_read(&now);
    }
    if (now.blocks != before->blocks + gp_thread || now.range_bytes != before->range_bytes ||
        now.files != before->files || now.threads > before->threads + gp_thread)
        fprintf(
            stderr,
            "taken and not given back: %ld blocks, %ld bytes of ranges, %ld files, %ld threads\n",
            now.blocks - before->blocks - gp_thread, now.range_bytes - before->range_bytes,
            now.files - before->files, now.threads - before->threads - gp_thread);
    fault_check(now.blocks == before->blocks + gp_thread);
    fault_check(now.range_bytes == before->range_bytes);
    fault_check(now.files == before->files);
    fault_check(now.threads <= before->threads + gp_thread);
    fault_check(now.violations == before->violations);
}
