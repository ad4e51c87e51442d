#!/bin/sh
# SPDX-License-Identifier: MIT
#
# top.sh SINTER HOARD: sinter top sees what a process holds and does, without its help, also while
# it is stopped. Exit status 77: what is needed is missing.
set -eu

sinter=$1 program=$2
# shellcheck source=tests/insight/hoard.sh
. "${0%/*}/hoard.sh"

start 20000 full
must_be_readable
objects=$(sed 's/.*objects=\([0-9]*\).*/\1/' "$work/out")
"$sinter" top "$hoard" -b -i 10 -n 2 >"$work/top"
[ "$(grep -c "^process $hoard, store hoard: $objects objects, " "$work/top")" -eq 2 ] ||
    fail "not two readings: $(cat "$work/top")"
grep -q '^in a second: 0 allocations, 0 frees, ' "$work/top" || fail "at rest: $(cat "$work/top")"
grep -q '^compaction: idle, it is disabled; ' "$work/top" || fail "idle: $(cat "$work/top")"
grep -q '^  free_slot  ##*\.\.* ' "$work/top" || fail "no bar: $(cat "$work/top")"
! grep -q '0x' "$work/top" || fail 'an address is printed'

# until_top WORDS: until it says so.
until_top()
{
    tries=0
    until grep -q "$1" "$work/top"; do
        tries=$((tries + 1))
        [ $tries -lt 1200 ] || fail "top does not say '$1': $(tail -n 20 "$work/top")"
        sleep 0.05
    done
}

# What is done after its first reading is seen, whenever that is.
"$sinter" top "$hoard" -b -i 50 >"$work/top" &
top=$!
until_top '^in a second: '
echo 'churn 200000' >&3
until_top '^in a second: [1-9][0-9]* allocations, [1-9][0-9]* frees'
kill $top
await 2
# It need not run.
kill -STOP "$hoard"
"$sinter" top "$hoard" -b -i 10 -n 1 | grep -q "store hoard: $objects objects" ||
    fail 'a process that is stopped is not read'
kill -CONT "$hoard"
stop
if "$sinter" top 2147483646 -b -n 1 2>"$work/said"; then
    fail 'a process that is not there is read'
fi
grep -q 'there is no process' "$work/said" || fail "it says: $(cat "$work/said")"
