/* SPDX-License-Identifier: MIT */
/* target.h - the memory of a process, or of its core, by address. */
#ifndef TARGET_H
#define TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A range of its addresses. Of a core, what the file has of it. */
struct target_range {
    uint64_t begin, end;
    uint64_t at; /* in the file */
    bool writable;
};

struct target {
    int pid;          /* 0: a core */
    unsigned machine; /* EM_X86_64 or EM_AARCH64 */
    const char *file; /* a core's, mapped */
    uint64_t file_bytes;
    struct target_range *range; /* by address */
    size_t ranges;
};

#define TARGET_ERROR_BYTES 512
/** As reader_open. False: `error` says why. */
bool target_open(struct target *target, const char *name, char error[TARGET_ERROR_BYTES]);
void target_close(struct target *target);
/** False: not all of it is there. */
bool target_read(const struct target *target, uint64_t address, void *to, size_t bytes);
/** What a core has from an address on, up to the end of that range: *bytes. NULL: it is not there,
 * or this is a process. */
const char *target_at(const struct target *target, uint64_t address, uint64_t *bytes);

#endif
