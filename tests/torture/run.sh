#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh - the long form of the torture: each flavour and build of the library in turn.
#
#     tests/torture/run.sh [--build DIR] [--flavour NAME] [--library shared|debug] [--seconds N]
#                          [--limit MIB] ...
#
#   --build DIR      the build tree (default: build, below the repository)
#   --flavour NAME   memb, mb, qsbr or bp (default: all that were built)
#   --library NAME   shared or debug (default: both)
#   --seconds N      of each run, 1 to 604800 (default 60)
#   --limit MIB      a cache at max_bytes instead (limit.c), 4 to 65536; with it --running-share P,
#                    --rest-share P (percent of the limit that live objects take at least), and
#                    --off bound,same-size,child,waits (checks to leave out) go to the binaries
#
# Further options go to the binaries: --seed N, --threads N, --mix LIST, --audit-ms N
#
# Exit status: 0; 1 when a run had findings; 2 for bad arguments or when nothing was built.

set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/options.sh
. "$root/tests/options.sh"
build=$root/build
flavours="memb mb qsbr bp"
libraries="shared debug"
seconds=60

options=
head_as_help "$@"
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || bad "$1" nothing "a value"
    case $1 in
    --build) build=$2 ;;
    --flavour)
        need_flavour "$1" "$2"
        flavours=$2
        ;;
    --library)
        case $2 in
        shared | debug) libraries=$2 ;;
        *) bad "$1" "$2" "shared or debug" ;;
        esac
        ;;
    --seconds) seconds=$2 ;;
    --limit) options="$1 $2 $options" ;; # the binaries want it first
    --seed | --threads | --mix | --audit-ms | --running-share | --rest-share | --off)
        options="$options $1 $2"
        ;;
    *) bad option "$1" "one of those at the head of run.sh" ;;
    esac
    shift 2
done

ran=0
failed=0
for flavour in $flavours; do
    for library in $libraries; do
        binary=$build/tests/torture/torture_${flavour}_$library
        [ -x "$binary" ] || continue
        ran=$((ran + 1))
        # shellcheck disable=SC2086 # the options are words
        "$binary" $options --seconds "$seconds"
        status=$?
        [ $status -eq 2 ] && exit 2
        if [ $status -ne 0 ]; then
            failed=$((failed + 1))
            echo "run.sh: $binary ended with status $status"
        fi
    done
done
[ $ran -gt 0 ] || bad --build "$build" "a build tree with torture binaries"
echo "run.sh: $ran runs, $failed with findings"
[ $failed -eq 0 ]
