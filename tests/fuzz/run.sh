#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh - the long form of the fuzz tests: random sequences of operations against a reference map,
# of stores, of cells inside objects and of caches, option strings, statistics, conversations with
# sinterd; libFuzzer where the build has it (clang); and AFL++ (Debian's afl++, installed where that
# is possible), for which the programs are built once more.
#
#     tests/fuzz/run.sh [--build DIR] [--seconds N | --ops N] [--libfuzzer N] [--afl N] [--seed N]
#
#   --build DIR    the build tree (default: build, below the repository); an optimised one for speed
#   --ops N        operations of random sequences on the release library, and a tenth of that on the
#                  one with assertions (default 1000000000: some minutes)
#   --seconds N    so long instead, on each of the two
#   --libfuzzer N  seconds for each libFuzzer program, 0 to leave them out (default 60); what they
#                  find new is kept in the build tree
#   --afl N        seconds for each program under afl-fuzz, 0 to leave them out (default 60); built
#                  and kept in the directory "afl" of the build tree, where a later run goes on
#   --seed N       of the random sequences (default: from the clock; printed)
#
# Exit status: 0; 1 with findings; 2 for bad arguments or when nothing was built.

set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/options.sh
. "$root/tests/options.sh"
build=$root/build
seeds=$root/tests/fuzz/seeds
# shellcheck source=tests/packages.sh
. "$root/tests/packages.sh"
ops=1000000000
seconds=
libfuzzer=60
afl=60
seed=

# number OPTION VALUE
number()
{
    case $2 in
    '' | *[!0-9]* | ????????????????*) bad "$1" "$2" "a decimal number of at most 15 digits" ;;
    esac
}

head_as_help "$@"
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || bad "$1" nothing "a value"
    case $1 in
    --build) build=$2 ;;
    --ops | --seconds | --libfuzzer | --afl | --seed) number "$1" "$2" ;;
    *) bad option "$1" "one of those at the head of run.sh" ;;
    esac
    case $1 in
    --ops) ops=$2 ;;
    --seconds) seconds=$2 ;;
    --libfuzzer) libfuzzer=$2 ;;
    --afl) afl=$2 ;;
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

# ---- AFL++ ---------------------------------------------------------------------------------------

tree=$build/afl

# afl_build: the libFuzzer programs, by AFL++'s compiler: library and programs instrumented by it,
# ASan and UBSan, and AFL++'s driver, which runs many inputs in one process.
afl_build()
{
    choose_generator
    AFL_QUIET=1
    export AFL_QUIET
    cmake -S "$root" -B "$tree" -DCMAKE_C_COMPILER=afl-clang-fast -DCMAKE_BUILD_TYPE=None \
        -DCMAKE_COMPILE_WARNING_AS_ERROR=ON -DSINTER_TESTS=ON -DSINTER_SERVER=ON &&
        cmake --build "$tree" --parallel "$(nproc)" \
            --target libfuzzer_ops libfuzzer_inner libfuzzer_options libfuzzer_stats \
            libfuzzer_cache libfuzzer_server
}

# afl_stat TARGET NAME: a figure of afl-fuzz's; 0 when it never got so far.
afl_stat()
{
    sed -n "s/^$2 *: *\([0-9]*\).*/\1/p" "$tree/$1/default/fuzzer_stats" 2>/dev/null | grep . ||
        echo 0
}

# afl_replay TARGET: every seed, once.
afl_replay()
{
    "$tree/tests/fuzz/libfuzzer_$1" "$seeds/$1"/* >"$tree/$1.log" 2>&1 || {
        tail -n 60 "$tree/$1.log"
        return 1
    }
}

# afl_fuzz TARGET: the seeds by themselves, since afl-fuzz leaves out one that crashes; then
# afl-fuzz, on any machine: it asks for no settings of the kernel's. Memory has no limit, for stores
# and ASan reserve addresses. No input takes 20 s, also on a busy machine.
#
# Seen failing: (size + 6) / 8 for (size + 7) / 8 where a request finds its class; by the seeds,
# and by afl-fuzz after 21 s.
afl_fuzz()
{
    program=$tree/tests/fuzz/libfuzzer_$1
    run afl_replay "$1"
    echo "== afl-fuzz, $afl s: $program"
    before=$(afl_stat "$1" execs_done)
    AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_UI=1 AFL_NO_AFFINITY=1 \
        AFL_SKIP_CRASHES=1 AFL_AUTORESUME=1 AFL_FORKSRV_INIT_TMOUT=60000 \
        afl-fuzz -i "$seeds/$1" -o "$tree/$1" -V "$afl" -t 20000 -m none -G 4096 -- "$program" \
        >"$tree/$1.log" 2>&1 || {
        tail -n 20 "$tree/$1.log"
        failed=$((failed + 1))
        return
    }
    after=$(afl_stat "$1" execs_done)
    echo "$1: $((after - before)) executions; $(afl_stat "$1" corpus_count) inputs kept," \
        "$(afl_stat "$1" edges_found) edges"
    found=$(find "$tree/$1/default/crashes" "$tree/$1/default/hangs" -name 'id:*')
    [ -z "$found" ] || {
        printf 'run.sh: crashes and hangs, replayed by %s FILE:\n%s\n' "$program" "$found"
        failed=$((failed + 1))
    }
}

afl_programs()
{
    want_packages 'to fuzz by AFL++, too' afl++=afl-fuzz
    if ! command -v afl-fuzz >/dev/null 2>&1 || ! command -v afl-clang-fast >/dev/null 2>&1; then
        echo "run.sh: afl-fuzz or afl-clang-fast not found: AFL++ left out"
        return
    fi
    run afl_build
    for target in ops inner options stats cache server; do
        [ ! -x "$tree/tests/fuzz/libfuzzer_$target" ] || afl_fuzz $target
    done
}

# ---- the run -------------------------------------------------------------------------------------

# shellcheck disable=SC2046,SC2086 # the options are words
{
    run "$programs/fuzz_ops_static" $(extent "$ops") $seed "$seeds/ops"
    run "$programs/fuzz_ops_debug" $(extent $((ops / 10 + 1))) $seed "$seeds/ops"
    run "$programs/fuzz_inner_static" $(extent $((ops / 100 + 1))) $seed "$seeds/inner"
    run "$programs/fuzz_inner_debug" $(extent $((ops / 1000 + 1))) $seed "$seeds/inner"
    run "$programs/fuzz_options_debug" $(extent $((ops / 1000 + 1))) $seed "$seeds/options"
    run "$programs/fuzz_stats_debug" $(extent $((ops / 100000 + 1))) $seed "$seeds/stats"
    run "$programs/fuzz_cache_debug" $(extent $((ops / 1000 + 1))) $seed "$seeds/cache"
    [ ! -x "$programs/fuzz_server_debug" ] ||
        run "$programs/fuzz_server_debug" $(extent $((ops / 10000 + 1))) $seed "$seeds/server"
}
for target in ops inner options stats cache server; do
    program=$programs/libfuzzer_$target
    if [ ! -x "$program" ] || [ "$libfuzzer" -eq 0 ]; then
        continue
    fi
    mkdir -p "$programs/corpus_$target"
    run "$program" -max_total_time="$libfuzzer" -max_len=4096 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$programs/" "$programs/corpus_$target" "$seeds/$target"
done
[ "$afl" -eq 0 ] || afl_programs
sed -n 's/^\([0-9]*\) random operations in.*/\1/p' "$log" |
    awk '{ sum += $1 } END { printf "run.sh: %.0f random operations in total\n", sum }'
echo "run.sh: $failed programs with findings"
[ $failed -eq 0 ]
