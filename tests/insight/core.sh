#!/bin/sh
# SPDX-License-Identifier: MIT
#
# core.sh PROGRAM STEP: cores of a process with a store (hoard.c), taken by the real tools. What
# counts is a core's apparent size, since what collects cores reads them through a pipe: it must be
# below twice what is resident and 64 MiB. Exit status 77: what is needed is missing; the reason is
# printed.
set -eu

program=$1 step=$2
# shellcheck source=tests/insight/hoard.sh
. "${0%/*}/hoard.sh"

# bounded FILE: its apparent size is.
bounded()
{
    size=$(stat -c %s "$1")
    printf '%s: %d MiB, resident %d MiB\n' "${1##*/}" $((size >> 20)) $((rss >> 20))
    [ "$size" -lt $((2 * rss + 67108864)) ] || fail "$1 has $size bytes, $rss are resident"
}

has_contents()
{
    grep -qaF 'an object of the hoard' "$1"
}

case $step in
full)
    start 50000 full
    take
    bounded "$core"
    has_contents "$core" || fail 'no object is in the core'
    rm -f "$core"
    echo grow >&3
    await 2
    take
    bounded "$core"
    stop
    ;;
arena)
    start 20000 full arena
    take
    bounded "$core"
    has_contents "$core" || fail 'no object is in the core'
    stop
    ;;
metadata)
    start 50000 metadata
    echo grow >&3
    await 2
    take
    bounded "$core"
    ! has_contents "$core" || fail 'the contents of an object are in the core'
    [ "$(stat -c %s "$core")" -lt "$rss" ] || fail 'the core is not small'
    stop
    ;;
kernel)
    kernel_must_write_cores
    start 50000 full
    echo crash >&3
    take_from_kernel
    bounded "$core"
    has_contents "$core" || fail 'no object is in the core'
    ;;
names)
    start 1000 full
    grep -q 'sinter:hoard arena' "/proc/$hoard/smaps" ||
        skip 'the kernel has no names of anonymous mappings (CONFIG_ANON_VMA_NAME)'
    grep -q 'sinter:hoard tables' "/proc/$hoard/smaps" || fail 'the tables have no name'
    stop
    ;;
*) fail "no such step: $step" ;;
esac
