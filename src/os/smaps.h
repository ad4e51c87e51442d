/* SPDX-License-Identifier: MIT */
/*
 * smaps.h - what the kernel writes about a process' memory: how much of a range of addresses is in
 * huge pages, how much is swapped out, and what the process' control group may have.
 */
#ifndef SN_SMAPS_H
#define SN_SMAPS_H

#include <stdint.h>

/** Of a line of /proc/PID/maps and smaps, its end included: a path, and what stands before it. */
#define SN_MAPS_LINE_BYTES 4400

struct sn_smaps {
    uint64_t huge, swapped; /* bytes */
};

/** Adds up the mappings that have a part between two addresses, from a file as /proc/PID/smaps. All
 * is 0 where it cannot be read. Reads all of it: some milliseconds where there are thousands. */
struct sn_smaps sn_smaps_read(const char *path, uint64_t begin, uint64_t end);

/** The least memory limit of a process' control group and those above it, from a file as
 * /proc/PID/cgroup, where the hierarchies are mounted below `root` (/sys/fs/cgroup): of version 2,
 * or the controller "memory" of version 1. 0: there is none, or it cannot be read. */
uint64_t sn_group_limit(const char *path, const char *root);

#endif
