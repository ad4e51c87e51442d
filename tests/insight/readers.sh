#!/bin/sh
# SPDX-License-Identifier: MIT
#
# readers.sh SINTER STUCK: sinter readers names the one thread of stuck.c that holds the grace
# period, and where it stands, of a process and of its core. Exit status 77: what is needed is
# missing.
set -eu

sinter=$1 program=$2
# shellcheck source=tests/insight/hoard.sh
. "${0%/*}/hoard.sh"

# names TARGET
names()
{
    "$sinter" readers "$1" >"$work/readers"
    cat "$work/readers"
    [ "$(grep -c '^thread .*: \(in a section\|online\)' "$work/readers")" -eq 1 ] ||
        fail 'not one thread stands in a section'
    grep -q '^thread .*which it holds, in .* < slow_report < be_stuck' "$work/readers" ||
        fail 'it is not the one in slow_report'
    grep -q '^3 of 4 registered threads in no section, or offline$' "$work/readers" ||
        fail 'not all others are seen outside'
    grep -q '^a grace period ' "$work/readers" || fail 'no grace period is seen'
    ! grep -q '0x' "$work/readers" || fail 'an address is printed'
}

# await_holder: the phase turns soon after the grace period has begun; it has a minute.
await_holder()
{
    looks=0
    until "$sinter" readers "$hoard" | grep -q 'which it holds'; do
        looks=$((looks + 1))
        [ $looks -lt 600 ] || fail 'nobody holds the grace period'
        sleep 0.1
    done
}

[ "$(uname -m)" = x86_64 ] || skip "where threads keep their state is known of x86-64 only"
# shellcheck disable=SC2119 # the program takes no arguments
start
must_be_readable
await_holder
names "$hoard"
[ "$("$sinter" readers "$hoard" --all | grep -c '^thread ')" -eq 4 ] || fail 'not all are listed'
take
names "$core"
stop
