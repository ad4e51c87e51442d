#!/bin/sh
# SPDX-License-Identifier: MIT
#
# probes.sh LIBRARY HOARD SITES: the probes of src/base/probes.h are in the library, and stop a real
# gdb with their arguments where it says. Exit status 77: what is needed is missing.
#
# Seen failing: no probe otel_memory:free; one of alloc with the size in the place of the weight.
set -eu

library=$1 program=$2 sites=$3
# shellcheck source=tests/insight/hoard.sh
. "${0%/*}/hoard.sh"

readelf -n "$library" 2>/dev/null | grep -q 'Provider: sinter' ||
    skip 'the library has no probes (SINTER_PROBES)'
# Each has the semaphore by which it costs nothing.
readelf -n "$library" | awk '/Provider: sinter/ { ours = 1 } /Name:/ && ours { name = $2 }
    /Semaphore:/ && ours { print name, $NF; ours = 0 }' | LC_ALL=C sort -u >"$work/probes"
for name in grace_period limit move moved pass_begin pass_end purge refused span_empty span_new; do
    grep -q "^$name 0x0*[1-9a-f]" "$work/probes" || fail "no probe $name: $(cat "$work/probes")"
done
[ "$(wc -l <"$work/probes")" -eq 10 ] || fail "other probes than those known: $(cat "$work/probes")"

readelf -n "$library" | awk '/Provider: otel_memory/ { ours = 1 } /Name:/ && ours { print $2
    ours = 0 }' | LC_ALL=C sort -u | tr '\n' ' ' | grep -qx 'alloc free ' ||
    fail 'the library lacks probes of the provider otel_memory'

command -v gdb >/dev/null 2>&1 || skip 'gdb is not installed'
start 20000 full
# shellcheck disable=SC2016 # the variables are gdb's
timeout 120 gdb -batch -nx -iex 'set debuginfod enabled off' -p "$hoard" \
    -ex 'info probes stap sinter' \
    -ex 'tbreak -probe-stap sinter:pass_begin' -ex "shell echo compact >$work/in" -ex continue \
    -ex 'printf "at pass_begin: %d %s %d\n", $_probe_argc, (char *)$_probe_arg0, $_probe_arg1 > 0' \
    -ex 'tbreak -probe-stap sinter:moved' -ex continue \
    -ex 'set $all = $_probe_arg1 * $_probe_arg2' \
    -ex 'printf "at moved: %d %s %d\n", $_probe_argc, (char *)$_probe_arg0, $all == $_probe_arg3' \
    -ex 'tbreak -probe-stap sinter:pass_end' -ex continue \
    -ex 'printf "at pass_end: %d %s %d\n", $_probe_argc, (char *)$_probe_arg0, $_probe_arg1 > 0' \
    -ex 'tbreak -probe-stap sinter:purge' -ex continue \
    -ex 'printf "at purge: %d %s %d\n", $_probe_argc, (char *)$_probe_arg0, $_probe_arg1 >= 4096' \
    >"$work/gdb" 2>&1 || true
! grep -q 'ptrace: Operation not permitted' "$work/gdb" || skip 'no right to trace a process'
for line in 'at pass_begin: 2 hoard 1' 'at moved: 4 hoard 1' 'at pass_end: 4 hoard 1' \
    'at purge: 3 sinter:hoard arena 1'; do
    grep -qx "$line" "$work/gdb" || fail "gdb does not say '$line': $(cat "$work/gdb")"
done
await 2
stop

# What is drawn, as OpenTelemetry's profilers see it: the object is no address; 100 bytes stand for
# more. Some of what is gone is found when others are drawn.
# shellcheck disable=SC2016 # the variables are gdb's
timeout 120 gdb -batch -nx -iex 'set debuginfod enabled off' -iex 'set breakpoint pending on' \
    -ex 'break main' -ex run -ex 'tbreak -probe-stap otel_memory:alloc' -ex continue \
    -ex 'set $more = $_probe_arg2 > $_probe_arg1' \
    -ex 'printf "alloc: %d %d %d\n", $_probe_argc, (long)$_probe_arg0 < 0, $more' \
    -ex 'tbreak -probe-stap otel_memory:free' -ex continue \
    -ex 'printf "free: %d %d\n", $_probe_argc, (long)$_probe_arg0 < 0' -ex kill \
    --args "$sites" /dev/null /dev/null /dev/null /dev/null >"$work/gdb" 2>&1 || true
for line in 'alloc: 3 1 1' 'free: 1 1'; do
    grep -qx "$line" "$work/gdb" || fail "gdb does not say '$line': $(cat "$work/gdb")"
done
