#!/bin/sh
# SPDX-License-Identifier: MIT
#
# readers_arm64.sh SINTER EMULATOR STUCK: of the core that qemu-user writes of stuck.c for arm64,
# `sinter readers` names the one thread that holds the grace period, and sees the others outside.
# SINTER, for whichever machine, may be several words, as may EMULATOR, by which STUCK runs.
#
# Seen failing: a thread's number taken from anywhere in its struct.
set -eu

sinter=$1 emulator=$2 stuck=$3
work=$(mktemp -d)
machine=
trap '[ -z "$machine" ] || kill -9 "$machine" 2>/dev/null || true; rm -rf "$work"' EXIT

fail()
{
    printf 'readers_arm64: %s\n' "$*" >&2
    exit 1
}

# await WHAT COMMAND...: until it succeeds, a minute at most.
await()
{
    what=$1 tries=0
    shift
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 1200 ] || fail "$what"
        sleep 0.05
    done
}

mkfifo "$work/in"
: >"$work/out"
(
    # shellcheck disable=SC3045 # the shells of Linux know it
    ulimit -c unlimited 2>/dev/null || true
    cd "$work" || exit
    # shellcheck disable=SC2086 # words
    exec $emulator "$stuck" 4194304
) <"$work/in" >"$work/out" 2>&1 &
machine=$!
exec 3>"$work/in"
await 'the program does not become ready' grep -q ready "$work/out"
# qemu writes the core of what it runs, then it ends by the same signal.
kill -ABRT $machine
wait $machine || true
machine=
core=$(find "$work" -name 'qemu_*.core')
[ -n "$core" ] || {
    echo 'readers_arm64: not looked at: qemu has written no core'
    exit 77
}
# shellcheck disable=SC2086 # words
$sinter readers "$core" --all >"$work/readers" || fail 'it is not read'
cat "$work/readers"
[ "$(grep -c '^thread .*: in a section, .*which it holds' "$work/readers")" -eq 1 ] ||
    fail 'not one thread holds the grace period'
[ "$(grep -c '^thread .*: in no section' "$work/readers")" -eq 3 ] || fail 'not three are outside'
