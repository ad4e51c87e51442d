#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh - the long form of the fault tests: every n-th call of every kind, until a run in which no
# call failed any more, over the tour, random sequences and the interface tests.
#
#     tests/fault/run.sh [--build DIR] [--flavour NAME] [--seeds N]
#
#   --build DIR     the build tree (default: build, below the repository)
#   --flavour NAME  memb, mb, qsbr or bp (default: all that were built)
#   --seeds N       random sequences for each flavour, 1 to 1000 (default 3); printed
#
# Exit status: 0; 1 when a run had findings; 2 for bad arguments or when nothing was built.

set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/options.sh
. "$root/tests/options.sh"
build=$root/build
flavours="memb mb qsbr bp"
seeds=3

head_as_help "$@"
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || bad "$1" nothing "a value"
    case $1 in
    --build) build=$2 ;;
    --flavour)
        need_flavour "$1" "$2"
        flavours=$2
        ;;
    --seeds)
        case $2 in
        '' | *[!0-9]* | 0 | ?????*) bad "$1" "$2" "a number from 1 to 1000" ;;
        esac
        seeds=$2
        ;;
    *) bad option "$1" "one of those at the head of run.sh" ;;
    esac
    shift 2
done

ran=0
failed=0

# run PROGRAM OPTION...
run()
{
    ran=$((ran + 1))
    "$@" || failed=$((failed + 1))
}

for flavour in $flavours; do
    fault=$build/tests/fault/fault_$flavour
    corpus=$build/tests/fault/fault_corpus_$flavour
    if [ ! -x "$fault" ] || [ ! -x "$corpus" ]; then
        continue
    fi
    run "$fault" --scenario tour --long --seed 1
    for _ in $(seq "$seeds"); do
        run "$fault" --scenario sequence --long
    done
    run "$corpus" --long
done
[ $ran -gt 0 ] || bad --build "$build" "a build tree with the fault tests"
echo "run.sh: $ran programs, $failed with findings"
[ $failed -eq 0 ]
