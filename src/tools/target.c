/* SPDX-License-Identifier: MIT */
/* target.c - see target.h. */
#include "tools/target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* A core with more parts than this is not believed. */
#define RANGES_MAX (1u << 20)

__attribute__((format(printf, 2, 3))) static bool
refuse(char *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, TARGET_ERROR_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

static int
by_address(const void *a, const void *b)
{
    uint64_t x = ((const struct target_range *)a)->begin;
    uint64_t y = ((const struct target_range *)b)->begin;
    return (x > y) - (x < y);
}

static bool
add_range(struct target *target, struct target_range range)
{
    if ((target->ranges & (target->ranges + 1)) == 0) { /* it is full: 1, 3, 7, ... */
        size_t room = 2 * (target->ranges + 1);
        struct target_range *more = realloc(target->range, room * sizeof(*more));
        if (!more)
            return false;
        target->range = more;
    }
    target->range[target->ranges++] = range;
    return true;
}

/* ---- a core ---------------------------------------------------------------------------------- */

static bool
is_in_file(const struct target *target, uint64_t at, uint64_t bytes)
{
    return at <= target->file_bytes && bytes <= target->file_bytes - at;
}

/* How many program headers there are: with 65535 and more the first section says it. */
static bool
count_parts(const struct target *target, const Elf64_Ehdr *elf, uint64_t *count)
{
    Elf64_Shdr section;
    *count = elf->e_phnum;
    if (elf->e_phnum != PN_XNUM)
        return true;
    if (!is_in_file(target, elf->e_shoff, sizeof(section)))
        return false;
    memcpy(&section, target->file + elf->e_shoff, sizeof(section));
    *count = section.sh_info;
    return true;
}

static bool
read_part(struct target *target, const char *name, const Elf64_Phdr *part, uint64_t number,
          char *error)
{
    if (part->p_type != PT_LOAD || part->p_filesz == 0)
        return true;
    if (!is_in_file(target, part->p_offset, part->p_filesz))
        return refuse(error,
                      "%s is cut short: its part %" PRIu64 " ends at byte %" PRIu64
                      ", the file has %" PRIu64,
                      name, number, part->p_offset + part->p_filesz, target->file_bytes);
    if (part->p_vaddr + part->p_filesz < part->p_vaddr)
        return refuse(error, "%s is damaged: its part %" PRIu64 " goes beyond all addresses", name,
                      number);
    struct target_range range = {part->p_vaddr, part->p_vaddr + part->p_filesz, part->p_offset,
                                 (part->p_flags & PF_W) != 0};
    return add_range(target, range) || refuse(error, "%s: no memory", name);
}

static bool
read_parts(struct target *target, const char *name, char *error)
{
    Elf64_Ehdr elf;
    uint64_t count;
    if (!is_in_file(target, 0, sizeof(elf)))
        return refuse(error, "%s is no core: it has %" PRIu64 " bytes", name, target->file_bytes);
    memcpy(&elf, target->file, sizeof(elf));
    if (memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0)
        return refuse(error, "%s is no core: it does not begin as an ELF file", name);
    if (elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_ident[EI_DATA] != ELFDATA2LSB)
        return refuse(error, "%s is not of a 64-bit little-endian machine", name);
    if (elf.e_type != ET_CORE)
        return refuse(error, "%s is an ELF file, but no core", name);
    if (elf.e_machine != EM_X86_64 && elf.e_machine != EM_AARCH64)
        return refuse(error, "%s is of a machine that is not known here (%u): x86-64 and arm64 are",
                      name, elf.e_machine);
    target->machine = elf.e_machine;
    if (!count_parts(target, &elf, &count) || count > RANGES_MAX ||
        elf.e_phentsize != sizeof(Elf64_Phdr) ||
        !is_in_file(target, elf.e_phoff, count * sizeof(Elf64_Phdr)))
        return refuse(error, "%s is damaged or cut short: its table of parts is not in it", name);
    for (uint64_t i = 0; i < count; i++) {
        Elf64_Phdr part;
        memcpy(&part, target->file + elf.e_phoff + i * sizeof(part), sizeof(part));
        if (!read_part(target, name, &part, i, error))
            return false;
    }
    return true;
}

static bool
open_core(struct target *target, const char *name, char *error)
{
    struct stat file;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &file) != 0) {
        refuse(error, "%s: %s", name, strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    if (!S_ISREG(file.st_mode) || file.st_size == 0) {
        close(fd);
        return refuse(error, "%s is no core: it is no file, or empty", name);
    }
    target->file_bytes = (uint64_t)file.st_size;
    void *mapped = mmap(NULL, target->file_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED)
        return refuse(error, "%s: %s", name, strerror(errno));
    target->file = mapped;
    return read_parts(target, name, error);
}

/* ---- a process ------------------------------------------------------------------------------- */

static bool
open_process(struct target *target, int pid, char *error)
{
    char path[64], line[8192];
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "r");
    if (!maps && errno == ENOENT)
        return refuse(error, "there is no process %d", pid);
    target->pid = pid;
#if defined(__aarch64__)
    target->machine = EM_AARCH64;
#else
    target->machine = EM_X86_64;
#endif
    while (maps && fgets(line, sizeof(line), maps)) {
        struct target_range range = {0};
        char rights[5];
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &range.begin, &range.end, rights) != 3 ||
            rights[0] != 'r' || strstr(line, "[vvar"))
            continue;
        range.writable = rights[1] == 'w';
        if (!add_range(target, range))
            break;
    }
    if (maps)
        fclose(maps);
    unsigned char byte;
    if (target->ranges > 0 && target_read(target, target->range[0].begin, &byte, 1))
        return true;
    return refuse(error,
                  "process %d: no right to read its memory; that takes the same user and, where "
                  "/proc/sys/kernel/yama/ptrace_scope is not 0, CAP_SYS_PTRACE (sudo)",
                  pid);
}

/* ---- both ------------------------------------------------------------------------------------ */

bool
target_open(struct target *target, const char *name, char error[TARGET_ERROR_BYTES])
{
    char *end;
    long pid = strtol(name, &end, 10);
    bool opened;
    *target = (struct target){0};
    if (strcmp(name, "self") == 0)
        opened = open_process(target, (int)getpid(), error);
    else if (*end == 0 && end != name && pid > 0 && pid <= INT32_MAX)
        opened = open_process(target, (int)pid, error);
    else
        opened = open_core(target, name, error);
    if (!opened)
        target_close(target);
    else if (target->ranges > 0)
        qsort(target->range, target->ranges, sizeof(target->range[0]), by_address);
    return opened;
}

void
target_close(struct target *target)
{
    if (target->file)
        munmap((void *)(uintptr_t)target->file, target->file_bytes);
    free(target->range);
    *target = (struct target){0};
}

/* The range that an address lies in. Of ranges that overlap, as only a damaged core has them, one
 * or none is found. */
static const struct target_range *
range_at(const struct target *target, uint64_t address)
{
    size_t low = 0, high = target->ranges;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (target->range[middle].begin <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || target->range[low - 1].end <= address)
        return NULL;
    return &target->range[low - 1];
}

const char *
target_at(const struct target *target, uint64_t address, uint64_t *bytes)
{
    const struct target_range *range = target->file ? range_at(target, address) : NULL;
    *bytes = range ? range->end - address : 0;
    return range ? target->file + range->at + (address - range->begin) : NULL;
}

static bool
read_core(const struct target *target, uint64_t address, char *to, size_t bytes)
{
    while (bytes > 0) {
        const struct target_range *range = range_at(target, address);
        if (!range)
            return false;
        uint64_t here = range->end - address;
        size_t count = here < bytes ? (size_t)here : bytes;
        memcpy(to, target->file + range->at + (address - range->begin), count);
        address += count, to += count, bytes -= count;
    }
    return true;
}

bool
target_read(const struct target *target, uint64_t address, void *to, size_t bytes)
{
    if (target->file)
        return read_core(target, address, to, bytes);
    struct iovec ours = {to, bytes}, theirs = {(void *)(uintptr_t)address, bytes};
    return process_vm_readv(target->pid, &ours, 1, &theirs, 1, 0) == (ssize_t)bytes;
}
