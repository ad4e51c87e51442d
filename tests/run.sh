#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh - builds the library in the ways that must work and runs the tests, from a fresh clone on a
# machine with nothing but git and a shell: what is missing is installed first (packages.sh). What a
# single stage does can be had by hand too: every build and choice of tests is a preset of
# CMakePresets.json.
#
# All stages run, also after one has failed; the one with the most tests comes last, and ctest's
# closing lines are what the output of a good run ends with. Status: 0 all good, 1 a stage failed, 2
# it could not run.
#
# WHERE A TEST BELONGS. Everything is in --all. What is short is in a stage of --ci, too. Each of
# those has a budget (budget(), below), in minutes on two cores that do nothing else; a change that
# would take a stage beyond it labels a test "more" instead, which leaves it to --all. Over a budget
# is a warning and no failure: no time makes a verdict.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=tests/packages.sh
. "$root/tests/packages.sh"
cd "$root"

# The stages of each kind of run, in this order.
quick_stages='quick'
ci_stages='lint asan tsan models interface platforms insight quick'
all_stages='lint debug valgrind asan tsan integer clang main'
known_stages="${all_stages% main} coverage models interface platforms packages insight quick main"

# budget STAGE: minutes that it may take in a run with --ci, on two otherwise idle cores.
budget()
{
    case $1 in
    lint) echo 3 ;;
    asan) echo 5 ;;
    tsan) echo 6 ;;
    models) echo 2 ;;
    interface) echo 1 ;;
    platforms) echo 2 ;;
    insight) echo 2 ;;
    quick) echo 6 ;;
    esac
}

usage()
{
    cat <<END
usage: tests/run.sh [--all | --ci] [--only STAGE] [--urcu PREFIX] [--jobs N] [--no-install]

  (nothing)      the stage "quick": one optimised build, all short tests
  --ci           what holds of every commit: the stages with a budget
  --all          everything but the tests labelled "long"
  --only STAGE   only this stage; may be given several times. With --ci: its form in --ci
  --urcu PREFIX  the stage "platforms" also builds against the liburcu installed there, and runs
                 the stage quick's tests of the library with it
  --jobs N       compile and test with N processes, 1 to 1024 (default: the number of cores)
  --no-install   install nothing; what is missing makes its stage fail, or is left out by the build
  --help         this text

Stages in the order in which they run; minutes on two idle cores, building included; "ci" is the
budget in a run with --ci.

  stage      --ci --all  what
  lint        3    3     format, clang-tidy, cppcheck, layers, scripts (tests/lint.sh)
  debug       -    8     gcc, not optimised: tests and examples
  valgrind    -    4     memcheck over the tests labelled "valgrind", in the debug build
  asan        5   10     gcc with AddressSanitizer and UndefinedBehaviorSanitizer: tests, examples
  tsan        6   10     clang with ThreadSanitizer: the tests
  integer     -    9     clang, stops where an integer wraps or loses bits unasked: the tests
  clang       -    8     clang, warnings are errors: tests and examples
  models      2    *     the protocol's models, and the ABI against its description
  interface   1    *     the public header, in every language and with every flavour
  platforms   2    *     newer headers of liburcu, larger pages, compilers, musl, arm64; the
                         installed package
  packages    -    *     packages of debian/: built, and used in a bare Debian 12
  insight     2    *     cores and what reads them, by the tools themselves
  quick       6    *     gcc, optimised: the other short tests, examples, benchmarks' smoke mode,
                         instructions of the fast paths (tests/instructions)
  main        -   14     gcc, optimised: what is marked * and all tests labelled "more"
  coverage    -    -     by --only: src and defrag by the tests, 95 % of lines, 90 % of branches

In a run with --ci asan and tsan take two flavours of liburcu, memb and qsbr, and leave out what is
labelled "more". Tests labelled "long" run by hand: ctest --test-dir build/release -L '^long\$'
END
}

# ---- packages ------------------------------------------------------------------------------------

# Every stage builds with gcc, C++ included: the package is tested from C++ too.
packages_base()
{
    need_build_tools
    need_packages 'to build' g++=g++ liburcu-dev libcmocka-dev
    want_packages 'for probes, and to look at them' systemtap-sdt-dev gdb=gdb \
        prometheus=promtool
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
packages_models()
{
    want_packages 'to check the models of the protocol' spin=spin tcc=tcc
    want_packages 'to compare the ABI with its description' abigail-tools=abidw
}

packages_interface()
{
    want_packages 'to compile the header with a second compiler' clang=clang
}

# A server to compare with, and clients.
packages_server()
{
    want_packages 'to talk to sinterd' memcached=memcached libmemcached-tools=memccapable \
        python3-pymemcache nutcracker=/usr/sbin/nutcracker haproxy=/usr/sbin/haproxy \
        openssl=openssl devscripts=hardening-check
}

packages_quick()
{
    want_packages 'to count instructions' valgrind=valgrind
    packages_server
    want_packages 'as peers in the benchmarks' libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4
    want_packages 'for examples inside event loops' libuv1-dev libevent-dev
    want_packages 'to draw pictures of benchmarks' gnuplot-nox=gnuplot
}

packages_insight()
{
    want_packages 'to take cores' gdb=gcore
    want_packages 'to look at pages' chromium=chromium
}

packages_main()
{
    packages_packages
    packages_insight
    packages_models
    packages_interface
    packages_quick
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

packages_platforms()
{
    want_packages 'to make packages' debhelper=dh lintian=lintian
    want_packages 'to make and check manual pages' python3=python3 mandoc=mandoc
    [ "$form" ] ||
        want_packages 'to build and test for arm64' gcc-aarch64-linux-gnu=aarch64-linux-gnu-gcc \
            g++-aarch64-linux-gnu=aarch64-linux-gnu-g++ qemu-user-static=qemu-aarch64-static
    [ "$form" ] || want_packages 'to build with musl, and a newer compiler' musl-tools=musl-gcc \
        clang-19=clang-19 llvm-19-linker-tools
}

packages_packages()
{
    packages_platforms
    want_packages 'to use packages in a bare system' mmdebstrap=mmdebstrap
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

# run_ctest ARGUMENT...: shows the progress; the closing lines wait in $work/closing until the
# stage's own line is printed.
run_ctest()
{
    {
        status=0
        $launcher ctest "$@" --parallel "$jobs" 2>&1 || status=$?
        echo $status >"$work/status"
    } | {
        closing=
        while IFS= read -r line; do
            case $line in
            *'% tests passed, '*) closing=1 ;;
            esac
            if [ "$closing" ]; then
                printf '%s\n' "$line" >>"$work/closing"
            else
                printf '%s\n' "$line"
            fi
        done
    }
    return "$(cat "$work/status")"
}

# run_tests BUILD [PRESET]: the tests that the test preset names (default: the build's). What a
# failed one said last is kept, for the end of the run: the stages that follow say much.
run_tests()
{
    note "Testing build/$1"
    log=build/$1/Testing/Temporary
    passed=yes
    run_ctest --preset "${2:-$1}" || passed=no
    # ctest counts what was skipped; this is why.
    sed -n 's/^\([a-z]*: not [a-z ]*: .*\)/    skipped: \1/p' "$log/LastTest.log" \
        >>"$work/closing" 2>/dev/null || true
    [ $passed = no ] || return 0
    sed -n 's/^[0-9]*://p' "$log/LastTestsFailed.log" 2>/dev/null | while read -r test; do
        printf '\n==> Failed in build/%s: %s\n' "$1" "$test"
        sed -n "\\|^[0-9/]* Testing: $test\$|,\\|^<end of output>|p" "$log/LastTest.log" |
            tail -n 60
    done >>"$work/failures"
    return 1
}

stage_lint()
{
    # With --ci without clang's static analyzer, which takes most of the time.
    tests/lint.sh --jobs "$jobs" ${form:+--without analyzer}
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
    build asan && run_tests asan "asan$form"
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
    run_tests tsan "tsan$form"
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

stage_quick()
{
    build release && run_tests release quick
}

stage_models()
{
    build release && run_tests release models
}

stage_interface()
{
    build release && run_tests release interface
}

stage_insight()
{
    build release && run_tests release insight
}

# What a newer liburcu has changed in its headers is compiled against stubs of them; with --urcu a
# real one is built against, too. Each part runs, also after another has failed.
stage_platforms()
{
    build release || return 1
    all=good
    run_tests release "platforms$form" || all=FAILED
    [ "$form" ] || elsewhere arm64 'cross build, tests by qemu-user' || all=FAILED
    [ "$form" ] || elsewhere musl 'built with musl-gcc, tests' || all=FAILED
    [ -z "$urcu" ] || stage_urcu || all=FAILED
    [ $all = good ]
}

stage_packages()
{
    build release && run_tests release packages
}

# elsewhere NAME WHAT: by tests/platform/NAME.sh. Not in --ci: such a build alone takes as long as
# the rest of the stage.
elsewhere()
{
    status=0
    note "$1: $2"
    "tests/platform/$1.sh" "build/$1" "$jobs" || status=$?
    [ $status -eq 0 ] || [ $status -eq 77 ]
}

stage_urcu()
{
    PKG_CONFIG_PATH=$(pc_directory "$urcu"):${PKG_CONFIG_PATH-}
    LD_LIBRARY_PATH=$(dirname "${PKG_CONFIG_PATH%%:*}"):${LD_LIBRARY_PATH-}
    export PKG_CONFIG_PATH LD_LIBRARY_PATH
    note "liburcu $(pkg-config --modversion liburcu) of $urcu"
    build urcu --fresh -DSINTER_URCU_INCLUDE_DIR="$urcu/include" && run_tests urcu
}

# pc_directory PREFIX: where the liburcu that is installed there has its liburcu.pc.
pc_directory()
{
    for found in "$1"/lib/pkgconfig "$1"/lib64/pkgconfig "$1"/lib/*/pkgconfig; do
        [ ! -f "$found/liburcu.pc" ] || break
    done
    printf '%s\n' "$found"
}

# Only the library's own objects are looked at. hooks.h is left out: its functions stand at two
# places, for debug and release builds, which gcovr 5 cannot merge.
stage_coverage()
{
    build coverage || return 1
    find build/coverage -name '*.gcda' -exec rm -f {} +
    run_tests coverage || return 1
    gcovr --root . --filter src/ --filter defrag/ --exclude src/base/hooks.h \
        --exclude-throw-branches --exclude-branches-by-pattern '.*sn_assert.*' --print-summary \
        --fail-under-line 95 --fail-under-branch 90 build/coverage/CMakeFiles
}

# ---- options -------------------------------------------------------------------------------------

jobs=$(nproc 2>/dev/null || echo 1)
stages=
default_stages=$quick_stages
form=
urcu=
while [ $# -gt 0 ]; do
    case $1 in
    --help)
        usage
        exit 0
        ;;
    --all) default_stages=$all_stages form= ;;
    --ci) default_stages=$ci_stages form=-short ;;
    --no-install) SINTER_NO_INSTALL=1 ;;
    --only)
        [ $# -ge 2 ] || die "--only needs a stage: one of $known_stages"
        case " $known_stages " in
        *" $2 "*) stages="$stages $2" ;;
        *) die "--only '$2': no such stage, one of $known_stages" ;;
        esac
        shift
        ;;
    --urcu)
        [ $# -ge 2 ] || die '--urcu needs the prefix that a liburcu is installed in'
        urcu=$2
        [ -f "$urcu/include/urcu/flavor.h" ] || die "--urcu '$urcu': no include/urcu/flavor.h there"
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
check_jobs "$jobs"

# ---- the run -------------------------------------------------------------------------------------

# wanted STAGE: is it among those asked for?
wanted()
{
    case " ${stages:-$default_stages} " in
    *" $1 "*) return 0 ;;
    esac
    return 1
}

# take_cpu: sets cpu to the seconds that all that was run has taken so far. Not for a subshell,
# which would count its own.
take_cpu()
{
    times >"$work/times"
    cpu=$(sed -n '2s/[ms]/ /gp' "$work/times" |
        awk '{ printf "%d\n", 60 * $1 + $2 + 60 * $3 + $4 }')
}

# run_stage STAGE: and a line about it for the table.
run_stage()
{
    : >"$work/closing"
    take_cpu
    began=$(date +%s) cpu_began=$cpu minutes=
    [ -z "$form" ] || minutes=$(budget "$1")
    result=good
    # In a subshell: a stage changes nothing for those after it.
    if ! ("stage_$1"); then
        result=FAILED
        failed="$failed $1"
    fi
    seconds=$(($(date +%s) - began))
    line=$(printf '%-10s %-6s %5d s' "$1" "$result" $seconds)
    [ -z "$minutes" ] || line="$line of $(printf '%3d' $((60 * minutes)))"
    take_cpu
    line="$line (CPU $((cpu - cpu_began)) s)"
    [ -z "$minutes" ] || [ $seconds -le $((60 * minutes)) ] ||
        line="$line OVER ITS BUDGET of $minutes min (a warning only)"
    printf '%s\n' "$line" >>"$work/table"
    note "$line"
    [ "$result" = good ] || note "alone: tests/run.sh --only $1"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step 'Packages'
packages_base
chosen=
for stage in $known_stages; do
    ! wanted "$stage" || chosen="$chosen $stage"
done
for stage in $chosen; do
    "packages_$stage"
done

failed=
launcher=
# shellcheck disable=SC2086 # the stages are words
set -- $chosen
count=$# number=0
for stage in "$@"; do
    number=$((number + 1))
    step "Stage $stage ($number of $count)"
    run_stage "$stage"
    [ $number -eq $count ] || cat "$work/closing"
done

cat "$work/failures" 2>/dev/null || true
if [ "$count" -gt 1 ]; then
    step 'Stages'
    sed 's/^/    /' "$work/table"
fi
cat "$work/closing"
[ -z "$failed" ] || {
    printf 'run.sh: failed:%s\n' "$failed" >&2
    exit 1
}
