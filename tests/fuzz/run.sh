#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh - the long form of the fuzz tests: random sequences of operations against a reference map,
# option strings, statistics; and libFuzzer where the build has it (clang).
#
#     tests/fuzz/run.sh [--build DIR] [--seconds N | --ops N] [--libfuzzer N] [--seed N]
#
#   --build DIR    the build tree (default: build, below the repository); an optimised one for speed
#   --ops N        operations of random sequences on the release library, and a tenth of that on the
#                  one with assertions (default 1000000000: some minutes)
#   --seconds N    so long instead, on each of the two
#   --libfuzzer N  seconds for each libFuzzer program, 0 to leave them out (default 60); what they
#                  find new is kept in the build tree
#   --seed N       of the random sequences (default: from the clock; printed)
#
# Exit status: 0; 1 with findings; 2 for bad arguments or when nothing was built.

set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build
seeds=$root/tests/fuzz/seeds
ops=1000000000
seconds=
libfuzzer=60
seed=

bad()
{
    echo "run.sh: $1: $2 is not $3" >&2
    exit 2
}

# number OPTION VALUE
number()
{
    case $2 in
    '' | *[!0-9]* | ????????????????*) bad "$1" "$2" "a decimal number of at most 15 digits" ;;
    esac
}

while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || bad "$1" nothing "a value"
    case $1 in
    --build) build=$2 ;;
    --ops | --seconds | --libfuzzer | --seed) number "$1" "$2" ;;
    *) bad option "$1" "one of those at the head of run.sh" ;;
    esac
    case $1 in
    --ops) ops=$2 ;;
    --seconds) seconds=$2 ;;
    --libfuzzer) libfuzzer=$2 ;;
    --seed) seed="--seed $2" ;;
    esac
    shift 2
done

programs=$build/tests/fuzz
[ -x "$programs/fuzz_ops_static" ] || bad --build "$build" "a build tree with the fuzz tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0

# run PROGRAM ARGUMENT...: its output shown and kept, its failure counted.
run()
{
    echo "== $*"
    {
        "$@" 2>&1
        echo "status $?"
    } | tee -a "$log" | grep -v '^status 0$'
    tail -n 1 "$log" | grep -q '^status 0$' || failed=$((failed + 1))
}

# extent OPS: how much of a target, by the options.
extent()
{
    if [ -n "$seconds" ]; then
        echo "--seconds $seconds"
    else
        echo "--ops $1"
    fi
}

# shellcheck disable=SC2046,SC2086 # the options are words
{
    run "$programs/fuzz_ops_static" $(extent "$ops") $seed "$seeds/ops"
    run "$programs/fuzz_ops_debug" $(extent $((ops / 10 + 1))) $seed "$seeds/ops"
    run "$programs/fuzz_options_debug" $(extent $((ops / 1000 + 1))) $seed "$seeds/options"
    run "$programs/fuzz_stats_debug" $(extent $((ops / 100000 + 1))) $seed "$seeds/stats"
}
for target in ops options stats; do
    program=$programs/libfuzzer_$target
    if [ ! -x "$program" ] || [ "$libfuzzer" -eq 0 ]; then
        continue
    fi
    mkdir -p "$programs/corpus_$target"
    run "$program" -max_total_time="$libfuzzer" -max_len=4096 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$programs/" "$programs/corpus_$target" "$seeds/$target"
done
sed -n 's/^\([0-9]*\) random operations in.*/\1/p' "$log" |
    awk '{ sum += $1 } END { printf "run.sh: %.0f random operations in total\n", sum }'
echo "run.sh: $failed programs with findings"
[ $failed -eq 0 ]
