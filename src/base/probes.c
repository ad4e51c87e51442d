/* SPDX-License-Identifier: MIT */
/* probes.c - see probes.h. */
#include "base/probes.h"

#if SN_PROBES
#define DEFINE_SEMAPHORE(name)                                                                     \
    unsigned short sinter_##name##_semaphore __attribute__((section(".probes"))) = 0;
SN_PROBE_NAMES(DEFINE_SEMAPHORE)
#else
typedef int sn_no_probes; /* no file is empty in C */
#endif
