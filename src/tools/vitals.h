/* SPDX-License-Identifier: MIT */
/* vitals.h - what the rules of the doctor look at (insight/doctor.h), of a store that is read from
 * outside. */
#ifndef VITALS_H
#define VITALS_H

#include "insight/doctor.h"
#include "tools/reader.h"

/** What is read beside the stores: where it lies, found once for all of them. */
struct vitals;

/** False: *error says why, and there is nothing to close. */
bool vitals_open(struct reader *reader, struct vitals **vitals, const char **error);
void vitals_close(struct vitals *vitals);

/**
 * Of a process all that handle_store_doctor looks at in it. A core says neither what is resident,
 * swapped or in huge pages, nor how long something has lasted: a grace period under way is taken
 * for a long one if a quarter of the memory waits for it, empty spans for long kept if
 * purge_delay_ms is more than a second, or never. False: *error says why.
 */
bool vitals_read(const struct vitals *vitals, const struct reader_store *store,
                 struct sn_evidence *evidence, const char **error);

#endif
