/* SPDX-License-Identifier: MIT */
/*
 * probes.h - points that tracers can attach to (USDT: bpftrace, perf, SystemTap, gdb), of the
 * provider "sinter", where SN_PROBES is 1 (build option SINTER_PROBES). None is on a fast path.
 * While nobody is attached a point costs a load and a compare, and its arguments are not computed.
 * No argument is an address: places are offsets in the arena, or numbers of blocks.
 *
 *   grace_period  ns                                  a flavour's grace period is over
 *   pass_begin    store, recoverable bytes            the mover begins a pass
 *   pass_end      store, bytes moved, gained, CPU ns  (ns: of all passes so far)
 *   moved         store, slot bytes, objects, bytes   some objects of one class were moved
 *   move          store, from, to                     one of them was
 *   refused       store, reason                       one was not: enum handle_refused
 *   span_new      arena, block, blocks                a span begins
 *   span_empty    arena, block, bytes                 it has ended; so many are kept
 *   purge         arena, bytes, refused               pages went to the kernel; or it refused some
 *   limit         store, reason                       an allocation failed: its reason
 *
 * store: its name. arena: the name of its mapping, or NULL.
 *
 * And two of the provider "otel_memory", as OpenTelemetry's profilers know them, of objects that
 * are drawn while a profile is enabled (core/profile.h):
 *
 *   alloc         object, bytes, weighted bytes       the last: of all objects that it stands for
 *   free          object                              it is found gone, or is not followed any more
 *
 * object: a number that no other object has or had, and that is no address, since objects move.
 * A free does not look whether its object was drawn: that it is gone is found a while later, when
 * others are drawn.
 */
#ifndef SN_PROBES_H
#define SN_PROBES_H

#include "base/base.h"

#ifndef SN_PROBES
#define SN_PROBES 0
#endif

/* X(name) */
#define SN_PROBE_NAMES(X)                                                                          \
    X(grace_period)                                                                                \
    X(pass_begin)                                                                                  \
    X(pass_end)                                                                                    \
    X(moved)                                                                                       \
    X(move)                                                                                        \
    X(refused)                                                                                     \
    X(span_new)                                                                                    \
    X(span_empty)                                                                                  \
    X(purge)                                                                                       \
    X(limit)

#if SN_PROBES
#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>

/* Tracers count themselves there. */
#define SN_PROBE_SEMAPHORE(name)                                                                   \
    extern unsigned short sinter_##name##_semaphore __attribute__((visibility("hidden")));
SN_PROBE_NAMES(SN_PROBE_SEMAPHORE)
extern unsigned short otel_memory_alloc_semaphore __attribute__((visibility("hidden")));
extern unsigned short otel_memory_free_semaphore __attribute__((visibility("hidden")));

#define sn_probe_of(provider, count, name, ...)                                                    \
    do {                                                                                           \
        if (sn_unlikely(*(volatile unsigned short *)&provider##_##name##_semaphore))               \
            STAP_PROBE##count(provider, name, __VA_ARGS__);                                        \
    } while (0)
#else
#define sn_probe_of(provider, count, name, ...) ((void)0)
#endif
#define sn_probe(count, name, ...) sn_probe_of(sinter, count, name, __VA_ARGS__)

#endif
