/* SPDX-License-Identifier: MIT */
/*
 * pprof.h - writes profile.proto (github.com/google/pprof, proto/profile.proto), uncompressed, as
 * its readers take it. Fields of one kind may stand anywhere, so each is written when it is known.
 */
#ifndef SN_PPROF_H
#define SN_PPROF_H

#include "insight/map_lines.h"

#define SN_PPROF_VALUES   9
#define SN_PPROF_FRAMES   32
#define SN_PPROF_MAPPINGS 512

struct sn_pprof {
    struct sn_lines lines;
    uint64_t strings, locations, functions;
    unsigned values; /* of each sample */
    unsigned mappings;
    struct sn_pprof_mapping {
        uint64_t begin, end;
    } mapping[SN_PPROF_MAPPINGS];
};

/** types: name and unit in turn, NULL behind the last; the one of default_type is shown first. */
void sn_pprof_begin(struct sn_pprof *p, const char *const *types, const char *default_type);
/** Which files are mapped where, for locations by address. */
void sn_pprof_mappings(struct sn_pprof *p);
/** A location; result: its number. Of code by a return address, or of a name. */
uint64_t sn_pprof_address(struct sn_pprof *p, const void *return_address);
uint64_t sn_pprof_name(struct sn_pprof *p, const char *name);
/** A sample, innermost location first; label: NULL, or that of a number of units. */
void sn_pprof_sample(struct sn_pprof *p, const uint64_t *location, unsigned depth,
                     const double *value, const char *label, uint64_t number, const char *unit);
void sn_pprof_comment(struct sn_pprof *p, const char *text);
/** Frames whose functions match are left out, and what they have called. */
void sn_pprof_drop_frames(struct sn_pprof *p, const char *expression);

#endif
