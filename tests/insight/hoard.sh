# shellcheck shell=sh disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
#
# hoard.sh - sourced by the tests here: starts hoard.c ("$program"), talks with it, and takes its
# core. $work is a directory that goes when the test ends.

work=$(mktemp -d)
hoard=
trap 'exec 3>&-; [ -z "$hoard" ] || kill "$hoard" 2>/dev/null || true; rm -rf "$work"' EXIT

fail()
{
    printf 'insight: %s\n' "$*" >&2
    exit 1
}

skip()
{
    printf 'insight: not looked at: %s\n' "$*"
    exit 77
}

# start ARGUMENT...: a hoard, which has said that it is ready.
start()
{
    rm -f "$work/in" "$work/out"
    mkfifo "$work/in"
    : >"$work/out"
    (
        # shellcheck disable=SC3045 # the shells of Linux know it
        ulimit -c unlimited 2>/dev/null || true
        cd "$work" || exit
        # Else gcore writes the 64 MiB that glibc reserves for each thread that calls malloc.
        MALLOC_ARENA_MAX=1 exec "$program" "$@"
    ) <"$work/in" >"$work/out" &
    hoard=$!
    exec 3>"$work/in"
    await 1
}

# await LINES: so many from it.
await()
{
    tries=0
    while [ "$(wc -l <"$work/out")" -lt "$1" ]; do
        tries=$((tries + 1))
        [ $tries -lt 1200 ] || fail 'the program does not become ready'
        kill -0 "$hoard" 2>/dev/null || fail 'the program has ended'
        sleep 0.05
    done
    rss=$(tail -n 1 "$work/out" | sed 's/.* *rss=\([0-9]*\).*/\1/')
}

stop()
{
    exec 3>&-
    wait "$hoard" || true
    hoard=
}

# readable PID: whether sinter may read the memory of a process, which a kernel with
# yama/ptrace_scope allows to its parents, or to nobody.
readable()
{
    "$sinter" stores "$1" >/dev/null 2>"$work/said" || ! grep -q 'no right to read' "$work/said"
}

# must_be_readable: the hoard is, or the test is skipped.
must_be_readable()
{
    readable "$hoard" || skip 'no right to read the memory of a process (yama/ptrace_scope)'
}

# take: its core, by gcore, as "$core".
take()
{
    command -v gcore >/dev/null 2>&1 || skip 'gcore (gdb) is not installed'
    gcore -o "$work/gcore" "$hoard" >"$work/gcore.log" 2>&1 || {
        ! grep -q 'ptrace: Operation not permitted' "$work/gcore.log" ||
            skip 'no right to trace a process'
        cat "$work/gcore.log" >&2
        fail 'gcore failed'
    }
    core=$work/gcore.$hoard
}

# The kernel writes cores to files where a process is.
kernel_must_write_cores()
{
    case $(cat /proc/sys/kernel/core_pattern) in
    '|'* | */*) skip 'the kernel gives cores to a program' ;;
    esac
    [ "$(sh -c 'ulimit -c unlimited 2>/dev/null && ulimit -c')" = unlimited ] ||
        skip 'no core is allowed here'
}

# take_from_kernel: the core of a program that has been ended by a signal, as "$core".
take_from_kernel()
{
    wait "$hoard" 2>/dev/null || true
    hoard=
    core=$(find "$work" -maxdepth 1 -name 'core*' | head -n 1)
    [ -n "$core" ] || skip 'the kernel has written no core'
}
