/* SPDX-License-Identifier: MIT */
/* probes.c - see probes.h. */
#include "base/probes.h"

#if SN_PROBES
#define IN_PROBES              __attribute__((section(".probes")))
#define DEFINE_SEMAPHORE(name) unsigned short sinter_##name##_semaphore IN_PROBES = 0;
SN_PROBE_NAMES(DEFINE_SEMAPHORE)
unsigned short otel_memory_alloc_semaphore IN_PROBES = 0;
unsigned short otel_memory_free_semaphore IN_PROBES = 0;
#else
typedef int sn_no_probes; /* no file is empty in C */
#endif
