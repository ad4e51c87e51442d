#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh - builds the library in every way that must work and runs the tests, from a fresh clone on
# a machine with nothing but git and a shell: what is missing is installed first (packages.sh).
# What a single stage does can be had by hand too: every build is a preset of CMakePresets.json.
#
# All stages run, also after one has failed; the main one comes last, so that its ctest summary is
# what the output of a good run ends with. Status: 0 all good, 1 a stage failed, 2 it could not run.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=tests/packages.sh
. "$root/tests/packages.sh"
cd "$root"

# What a plain run does, in this order.
default_stages='lint debug valgrind asan tsan integer clang main'
all_stages="$default_stages coverage"

usage()
{
    cat <<END
usage: tests/run.sh [--quick] [--only STAGE] [--jobs N] [--no-install] [--help]

  --quick       only the stage "main"
  --only STAGE  only this stage; may be given several times
  --jobs N      compile and test with N processes, 1 to 1024 (default: the number of cores)
  --no-install  install nothing; what is missing makes its stage fail, or is left out by the build
  --help        this text

Stages, in the order in which they run:
  lint      format, clang-tidy, cppcheck, layers, scripts (tests/lint.sh)
  debug     gcc, not optimised: tests and examples
  valgrind  memcheck over the tests labelled "valgrind", in the debug build
  asan      gcc with AddressSanitizer and UndefinedBehaviorSanitizer: tests and examples
  tsan      clang with ThreadSanitizer: the tests
  integer   clang, stops where an integer wraps or loses bits unasked: the tests
  clang     clang, warnings are errors: tests and examples
  main      gcc, optimised: tests, package, models, examples, benchmarks in their smoke mode
  coverage  by --only: src and defrag by the tests, at least 95 % of lines, 90 % of branches

Tests labelled "long" are left out of all of them: ctest --test-dir build/release -L '^long\$'
END
}

# ---- packages ------------------------------------------------------------------------------------

# Every stage builds with gcc, C++ included: the package is tested from C++ too.
packages_base()
{
    need_build_tools
    need_packages 'to build' g++=g++ liburcu-dev libcmocka-dev
}

packages_lint()
{
    need_packages 'to check the sources' clang-format=clang-format clang-tidy=clang-tidy \
        cppcheck=cppcheck shellcheck=shellcheck
}

packages_valgrind()
{
    need_packages 'to run tests under memcheck' valgrind=valgrind
}

packages_clang()
{
    need_packages 'to build with a second compiler' clang=clang
}

# clang's sanitizer runtimes are a package of their own, or part of clang, as the system has it.
packages_tsan()
{
    packages_clang
    if ! printf 'int main(void) { return 0; }\n' |
        clang -fsanitize=thread -x c - -o /dev/null >/dev/null 2>&1; then
        need_packages 'for the sanitizers of clang' libclang-rt-dev
    fi
}

packages_integer()
{
    packages_tsan
}

# Without these the build leaves some tests, peers or examples out, and says so.
packages_main()
{
    want_packages 'to check the models of the protocol' spin=spin
    want_packages 'to compare the ABI with its description' abigail-tools=abidw
    want_packages 'for benchmarks that count instructions' valgrind=valgrind
    want_packages 'as peers in the benchmarks' libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4
    want_packages 'for examples inside event loops' libuv1-dev libevent-dev
    want_packages 'to draw pictures of benchmarks' gnuplot-nox=gnuplot
}

packages_coverage()
{
    need_packages 'to count covered lines' gcovr=gcovr
}

packages_debug()
{
    :
}

packages_asan()
{
    :
}

# ---- stages --------------------------------------------------------------------------------------

# build PRESET [CMAKE ARGUMENT...]: in build/PRESET. Warnings are errors everywhere.
build()
{
    preset=$1
    shift
    note "Configuring and building build/$preset"
    cmake --preset "$preset" -DCMAKE_COMPILE_WARNING_AS_ERROR=ON --log-level=STATUS "$@" &&
        cmake --build --preset "$preset" --parallel "$jobs"
}

# run_tests PRESET: the tests that its test preset names. What a failed one said last is kept, for
# the end of the run: the stages that follow say much.
run_tests()
{
    note "Testing build/$1"
    $launcher ctest --preset "$1" --parallel "$jobs" && return
    log=build/$1/Testing/Temporary
    sed -n 's/^[0-9]*://p' "$log/LastTestsFailed.log" 2>/dev/null | while read -r test; do
        printf '\n==> Failed in build/%s: %s\n' "$1" "$test"
        sed -n "\\|^[0-9/]* Testing: $test\$|,\\|^<end of output>|p" "$log/LastTest.log" |
            tail -n 60
    done >>"$failures"
    return 1
}

stage_lint()
{
    tests/lint.sh --jobs "$jobs"
}

stage_debug()
{
    build debug -DSINTER_BENCH=OFF && run_tests debug
}

# ctest runs each test under memcheck. A test whose program is a script is not what this is for. Of
# the flavours, which differ in liburcu's code, one with sections and QSBR are enough here.
stage_valgrind()
{
    build debug -DSINTER_BENCH=OFF || return 1
    note 'Testing build/debug under memcheck'
    logs=build/debug/Testing/Temporary
    rm -f $logs/MemoryChecker.*
    ctest --test-dir build/debug -T memcheck --no-tests=error --parallel "$jobs" \
        --label-regex '^valgrind$' --label-exclude '^long$' --exclude-regex '_(mb|bp)(_|$)' \
        --output-on-failure \
        --overwrite "MemoryCheckCommand=$(command -v valgrind)" \
        --overwrite "MemoryCheckCommandOptions=--error-exitcode=99 --quiet --leak-check=full \
--show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite" >build/debug/memcheck.log \
        2>&1 || {
        cat build/debug/memcheck.log
        cat $logs/MemoryChecker.* 2>/dev/null || true
        return 1
    }
    sed -n '/MemCheck #/p; /tests passed/p; /Total Test time/p' build/debug/memcheck.log
}

stage_asan()
{
    build asan && run_tests asan
}

# ThreadSanitizer wants its shadow memory where a far randomised address space may have something
# else. Not every container lets a process turn the randomisation off.
stage_tsan()
{
    build tsan || return 1
    machine=$(uname -m)
    if setarch "$machine" -R true 2>/dev/null; then
        launcher="setarch $machine -R"
    fi
    run_tests tsan
}

# tests/integer.ignorelist names the functions that may wrap.
stage_integer()
{
    build clang-integer && run_tests clang-integer
}

stage_clang()
{
    build clang-release && run_tests clang-release
}

stage_main()
{
    build release && run_tests release
}

# Only the library's own objects are looked at. hooks.h is left out: its functions stand at two
# places, for debug and release builds, which gcovr 5 cannot merge.
stage_coverage()
{
    build coverage || return 1
    find build/coverage -name '*.gcda' -exec rm -f {} +
    run_tests coverage || return 1
    gcovr --root . --filter src/ --filter defrag/ --exclude src/hooks.h \
        --exclude-throw-branches --exclude-branches-by-pattern '.*sn_assert.*' --print-summary \
        --fail-under-line 95 --fail-under-branch 90 build/coverage/CMakeFiles
}

# ---- options -------------------------------------------------------------------------------------

jobs=$(nproc 2>/dev/null || echo 1)
stages=
while [ $# -gt 0 ]; do
    case $1 in
    --help)
        usage
        exit 0
        ;;
    --quick) stages="$stages main" ;;
    --no-install) SINTER_NO_INSTALL=1 ;;
    --only)
        [ $# -ge 2 ] || die "--only needs a stage: one of $all_stages"
        case " $all_stages " in
        *" $2 "*) stages="$stages $2" ;;
        *) die "--only '$2': no such stage, one of $all_stages" ;;
        esac
        shift
        ;;
    --jobs)
        [ $# -ge 2 ] || die '--jobs needs a number from 1 to 1024'
        jobs=$2
        shift
        ;;
    *) die "unknown option '$1' (see --help)" ;;
    esac
    shift
done
case $jobs in
'' | *[!0-9]* | ?????*) die "--jobs '$jobs': a number from 1 to 1024 is needed" ;;
esac
if [ "$jobs" -lt 1 ] || [ "$jobs" -gt 1024 ]; then
    die "--jobs '$jobs': a number from 1 to 1024 is needed"
fi

# ---- the run -------------------------------------------------------------------------------------

# wanted STAGE: is it among those asked for?
wanted()
{
    case " ${stages:-$default_stages} " in
    *" $1 "*) return 0 ;;
    esac
    return 1
}

step 'Packages'
packages_base
for stage in $all_stages; do
    ! wanted "$stage" || "packages_$stage"
done

failed=
launcher=
failures=$(mktemp)
trap 'rm -f "$failures"' EXIT
for stage in lint debug valgrind asan tsan integer clang coverage main; do
    wanted "$stage" || continue
    step "Stage $stage"
    began=$(date +%s)
    # In a subshell: a stage changes nothing for those after it.
    if ("stage_$stage"); then
        # The summary of the main stage's tests is the last thing a good run prints.
        [ "$stage" = main ] || note "Stage $stage: good, $(($(date +%s) - began)) s"
    else
        failed="$failed $stage"
        note "Stage $stage: FAILED, $(($(date +%s) - began)) s; alone: tests/run.sh --only $stage"
    fi
    [ -z "$failed" ] || note "Failed so far:$failed"
done

[ -z "$failed" ] || {
    cat "$failures"
    printf 'run.sh: failed:%s\n' "$failed" >&2
    exit 1
}
