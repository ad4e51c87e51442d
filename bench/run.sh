#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh - measures the questions of bench/ for Sinter and its peers and prints a table for each. It
# installs what is missing, builds in build/bench (Release), and runs the programs of one question
# in turn, so that all subjects see the same machine. What each question asks stands at the head of
# its program; the tables are made by table.awk. Where a benchmark does much beside allocating, it
# also runs over no allocator ("driver alone"): the column "driver" has the share of each subject's
# time that is the benchmark's own.
#
# Status: 0 all ran (targets met or not; a peer that was killed is shown as such), 1 a program
# failed, 2 it could not run.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=tests/packages.sh
. "$root/tests/packages.sh"

questions='T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 B1 B2 B3 B4 B5'
questions="$questions S1 S1b S2 S3 S4 S5 S6 S7 S8 S9 S10 S11 P L1 L2 L3"
questions="$questions X1 X2 X3 X3b X4 X5 C1 C3 C4 C7"

usage()
{
    cat <<END
usage: bench/run.sh [--only LIST] [--runs N] [--smoke] [--json FILE] [--build-dir DIR]
                    [--peers LIST] [--pictures DIR] [--readme FILE] [--mib N] [--no-install]
                    [--help]

  --only LIST      only these questions, separated by commas (default: all)
  --runs N         repetitions, 1 to 100; figures are medians (default: 5 for speed; for memory 3
                   where a run is short, else 1)
  --smoke          small sizes and one run, less than a minute: checks that all works
  --json FILE      keep the results: one JSON line for each run; "failed" says why one has none
  --build-dir DIR  programs of a build that is there already; nothing is built
  --peers LIST     only these of glibc, jemalloc, tcmalloc, mimalloc (default: all that are there;
                   with --smoke jemalloc and glibc)
  --pictures DIR   only T1 (one thread), T2 and C1, one run each, recorded: resident memory over
                   the run, all subjects together, drawn into DIR (t1_rss.png, t1_rss.svg, ...);
                   of C1 also the newest keys that are found (c1_servers.png, c1_servers.svg)
  --readme FILE    write the tables of the questions that ran into FILE, too (bench/README.md), each
                   between its lines "<!-- begin Q -->" and "<!-- end Q -->", with the command, the
                   commit and the machine
  --mib N          payload of B5's caches, 16 to 65536 MiB (default 256)
  --no-install     install nothing (as SINTER_NO_INSTALL=1); peers that are missing are left out
  --help           this text

Questions: $questions
P, X1, X3 and X3b compare with each peer inside one process, in turns: for a machine that others
use, too. C1, C3, C4 and C7 ask servers through sockets: sinterd, and memcached and Redis where they
are installed (Debian: memcached, redis-server), in turn in every round; --peers does not matter
there.
END
}

# ---- what is asked -------------------------------------------------------------------------------

# A line each: question, program, whose (all: peers too; own: handles and cells; cells: alone;
# handles: without cells, peers too; peers: only those, each with Sinter in one process; servers),
# runs, whether it is part of --smoke, arguments.
jobs_table()
{
    [ -z "$pictures" ] || {
        printf '%s\n' 'T1 t1_shift all 1 yes' 'T2 t2_redis all 1 yes' 'C1 c1_shift servers 1 yes'
        return 0
    }
    cat <<END
T1 t1_shift all 1 yes
T1 t1_shift all 1 no --threads 4
T1 t1_shift all 1 yes --free gp
T2 t2_redis all 3 yes
T3 t3_ramcloud all 1 yes
T4 t4_production all 1 yes
T5 t5_limit own 1 yes
T5 t5_limit own 1 no --free now
T6 t6_stagnation own 3 yes
T6 t6_stagnation own 3 no --mode compact
T6 t6_stagnation own 3 no --mode steps
T7 t7_idle all 3 yes
T7 t7_idle own 3 no --free gp
T8 t8_stuck own 1 yes
T9 t9_waves all 3 yes
T9 t9_waves all 1 no --order sequential
T10 t10_threads all 3 yes
T10 t10_threads all 1 no --sizes uniform
B1 b1_limits own 1 yes
B2 b2_refused own 1 yes
B3 b3_neighbour own 1 yes
B4 b4_pins own 1 yes
B5 tuning own 1 yes
S1 s1_pair all 5 yes
S1b s1b_lifo all 5 yes
S2 s2_grace all 5 yes
S3 s3_replace all 5 yes
S4 s4_chase all 5 yes
S5 instructions own 1 yes
S6 s6_threads all 5 yes
S7 s7_many_threads all 1 yes
S8 s8_compaction own 5 yes
S9 s9_scale all 5 yes
S9 s9_stores own 3 yes
S10 s10_medium all 5 yes
S11 s11_resize all 5 yes
P paired peers 1 yes
P1 p1_profile own 1 yes
P2 p2_map own 1 yes
L1 l1_reader own 5 yes
L2 l2_writer own 5 yes
L3 l3_step own 5 yes
X1 x1_lookup peers 1 yes
X2 x2_deleted all 3 yes
X3 x3_chains peers 1 yes
X3b x3b_lru peers 1 yes
X4 x4_walks handles 3 yes
X5 x5_inner cells 1 yes
C1 c1_shift servers 1 yes --read none
C1 c1_shift servers 1 no --read once
C3 c3_requests servers 5 yes --protocol text
C3 c3_requests servers 5 no --protocol meta
C4 c1_shift servers 9 no --question C4
C7 conformance own 1 yes
END
}

# in_list WORD LIST: is it one of the words, separated by commas or blanks?
in_list()
{
    case ",$(printf '%s' "$2" | tr ' ' ,)," in
    *",$1,"*) return 0 ;;
    esac
    return 1
}

# ---- peers ---------------------------------------------------------------------------------------

peer_library()
{
    case $1 in
    jemalloc) echo libjemalloc.so.2 ;;
    tcmalloc) echo libtcmalloc_minimal.so.4 ;;
    mimalloc) echo libmimalloc.so.2 ;;
    esac
}

# present PEER: glibc always is.
present()
{
    [ "$1" = glibc ] ||
        PATH=$PATH:/sbin:/usr/sbin ldconfig -p | grep -q "^[[:space:]]*$(peer_library "$1") "
}

find_peers()
{
    peers=
    for peer in $wanted_peers; do
        if present "$peer"; then
            peers="$peers $peer"
        else
            note "$peer is not installed: left out"
        fi
    done
}

# ---- running -------------------------------------------------------------------------------------

# run_failed STATUS COMMAND: says so, on stderr and among the results. A peer that the kernel kills
# for lack of memory is no failure of this script's (but pictures would lack its curve).
run_failed()
{
    signal=
    if [ "$1" -gt 128 ] && signal=$(kill -l "$1" 2>/dev/null); then
        reason="ended by SIG$signal"
        [ "$signal" != KILL ] || reason='killed by SIGKILL: out of memory?'
    else
        reason="failed with status $1"
    fi
    printf '%s: %s\n' "$2" "$reason" >&2
    tail -n 20 "$work/log" >&2
    if [ "$kind" != malloc ] || [ "$signal" != KILL ] || [ -n "$pictures" ]; then
        failed=1
    fi
    # The case is known by an earlier subject's result.
    text=$(sed -n 's/.*"case":"\([^"]*\)".*/\1/p' "$work/result")
    true_if_smoke=${smoke:+true}
    printf '{"question":"%s","subject":"%s","case":"%s","seed":%s,"smoke":%s,"failed":"%s",' \
        "$question" "$label" "${text:-$2}" "$run" "${true_if_smoke:-false}" "$reason" >>"$results"
    printf '"metrics":[],"notes":[]}\n' >>"$results"
}

# measure PROGRAM SUBJECT ARGUMENT...: one run. A peer that the linker did not take would show as
# another subject in the result.
measure()
{
    program=$1 subject=$2
    shift 2
    preload='' kind=malloc label=$subject
    case $subject in
    handles) kind=handle ;;
    cells) kind=cell ;;
    'driver alone') kind=none ;;
    glibc | 'glibc arenas=2') ;;
    *) preload=$(peer_library "$subject") ;;
    esac
    printf '    %s, %s %s\n' "$program" "$subject" "$*" >&2
    if [ "$subject" = 'glibc arenas=2' ]; then
        MALLOC_ARENA_MAX=2 "$programs/${program}_$kind" --json "$@" >"$work/line" 2>"$work/log"
    elif [ -n "$preload" ]; then
        LD_PRELOAD=$preload "$programs/${program}_$kind" --json "$@" >"$work/line" 2>"$work/log"
    else
        "$programs/${program}_$kind" --json "$@" >"$work/line" 2>"$work/log"
    fi || {
        run_failed $? "${program}_$kind $*"
        return 0
    }
    grep -q "\"subject\":\"$label\"" "$work/line" || die "$program did not run with $label"
    cat "$work/line" >>"$results"
    cp "$work/line" "$work/result"
}

# subjects_of PROGRAM WHOSE: a line each.
subjects_of()
{
    case $2 in
    peers) ;;
    handles) echo handles ;;
    cells) echo cells ;;
    *) printf '%s\n' cells handles ;;
    esac
    case $2 in
    own | cells) return 0 ;;
    esac
    for peer in $peers; do
        printf '%s\n' "$peer"
        if [ "$1$peer" = t10_threadsglibc ]; then
            echo 'glibc arenas=2'
        fi
    done
    # What part of the time is the benchmark's own? Where there is much beside the allocator's.
    if [ -x "$programs/$1_none" ] && [ -z "$pictures" ]; then
        echo 'driver alone'
    fi
}

# run_job PROGRAM WHOSE RUNS ARGUMENT...: all subjects once, then again.
run_job()
{
    program=$1 whose=$2 job_runs=$3
    shift 3
    run=1
    : >"$work/result"
    while [ "$run" -le "$job_runs" ]; do
        # The list is a file: measure may end the script, which a pipe would hide.
        subjects_of "$program" "$whose" >"$work/subjects"
        while IFS= read -r subject <&3; do
            measure "$program" "$subject" "$@" --seed "$run" ${smoke:+--smoke} \
                ${pictures:+"--series=$work/series/$question-$subject"}
        done 3<"$work/subjects"
        run=$((run + 1))
    done
}

# ---- servers -------------------------------------------------------------------------------------

# Peers are not installed here: their packages start services.

find_servers()
{
    PATH=$PATH:/usr/sbin
    servers=sinterd
    for server in memcached redis; do
        if command -v "$server" >/dev/null 2>&1 || command -v "$server-server" >/dev/null 2>&1; then
            servers="$servers $server"
        else
            note "$server is not installed: left out (Debian: memcached, redis-server)"
        fi
    done
}

# servers_of PROGRAM PROTOCOL: what is asked; Redis has one protocol.
servers_of()
{
    for server in $servers; do
        [ "$server/$2" = redis/meta ] || echo "$server"
    done
    [ "$1/$2" != c3_requests/text ] || echo null
}

# run_servers PROGRAM RUNS ARGUMENT...: all servers once, then again.
run_servers()
{
    program=$1 job_runs=$2 kind=malloc
    shift 2
    run=1
    : >"$work/result"
    while [ "$run" -le "$job_runs" ]; do
        for server in $(servers_of "$program" "${2-}"); do
            label=$server
            printf '    %s, %s %s\n' "$program" "$server" "$*" >&2
            "$programs/$program" --json --server "$server" \
                --sinterd "$build_dir/src/server/sinterd" "$@" --seed "$run" ${smoke:+--smoke} \
                ${pictures:+"--series=$work/series/$question-$server"} \
                >"$work/line" 2>"$work/log" || {
                run_failed $? "$program $server $*"
                failed=1
                continue
            }
            cat "$work/line" >>"$results"
        done
        run=$((run + 1))
    done
}

run_instructions()
{
    if ! command -v valgrind >/dev/null 2>&1; then
        note 'S5 left out: valgrind is not installed'
        return 0
    fi
    note 's5_instructions.sh'
    "$root/bench/s5_instructions.sh" --programs "$programs" --json >"$work/line" || {
        failed=1
        return 0
    }
    cat "$work/line" >>"$results"
}

run_tuning()
{
    note 'b5_tuning.sh'
    "$root/bench/b5_tuning.sh" --programs "$programs" ${smoke:+--smoke} ${mib:+--mib "$mib"} \
        --json "$work/lines" >"$work/tuning" || {
        failed=1
        return 0
    }
    cat "$work/lines" >>"$results"
}

run_conformance()
{
    note 'c7_conformance.sh'
    "$root/bench/load/c7_conformance.sh" --sinterd "$build_dir/src/server/sinterd" \
        >"$work/line" || {
        failed=1
        return 0
    }
    cat "$work/line" >>"$results"
}

# Does one of the questions ask servers?
wants_servers()
{
    in_list C1 "$only" || in_list C3 "$only" || in_list C4 "$only" || in_list C7 "$only"
}

run_all()
{
    jobs_table >"$work/jobs"
    # shellcheck disable=SC2086 # arguments are words
    while read -r question program whose usual in_smoke arguments <&4; do
        in_list "$question" "$only" || continue
        [ -z "$smoke" ] || [ "$in_smoke" = yes ] || continue
        step "$question $program $arguments"
        if [ "$program" = instructions ]; then
            run_instructions
        elif [ "$program" = tuning ]; then
            run_tuning
        elif [ "$program" = conformance ]; then
            run_conformance
        elif [ "$whose" = servers ]; then
            run_servers "$program" "${runs:-$usual}" $arguments
        else
            run_job "$program" "$whose" "${runs:-$usual}" $arguments
        fi
    done 4<"$work/jobs"
}

build()
{
    step 'Building'
    need_build_tools
    need_packages 'to build' liburcu-dev
    if ! { cmake -S "$root" -B "$build_dir" -DCMAKE_BUILD_TYPE=Release -DSINTER_BENCH=ON \
        -DSINTER_SERVER=ON &&
        cmake --build "$build_dir" --parallel; } >"$work/log" 2>&1; then
        tail -n 40 "$work/log" >&2
        die "the build in $build_dir failed"
    fi
}

prepare_pictures()
{
    in_list T1 "$only" || in_list T2 "$only" || in_list C1 "$only" ||
        die 'option --pictures: only T1, T2 and C1 have some'
    need_packages 'to draw' gnuplot-nox=gnuplot
    command -v gnuplot >/dev/null 2>&1 || die 'gnuplot is not installed (Debian: gnuplot-nox)'
    mkdir -p "$pictures" || die "option --pictures: cannot make \"$pictures\""
    mkdir "$work/series"
    runs=1
}

# The line above each table of a page.
readme_heading()
{
    # A page of figures that was written just now changes nothing of what is measured.
    if commit=$(git -C "$root" describe --always 2>/dev/null); then
        git -C "$root" diff --quiet HEAD -- . ':!bench/README.md' || commit=$commit-dirty
    else
        commit=unknown
    fi
    cpu=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
    # shellcheck disable=SC2016 # the page's backquotes
    printf 'Printed by `bench/run.sh%s` at commit %s on %s, %s cores of %s%s:\n' "$command" \
        "$commit" "$(date +%Y-%m-%d)" "$(nproc)" "${cpu:-an unknown processor}" \
        "${smoke:+, sizes of a smoke test, which say nothing}"
}

write_readme()
{
    awk -v markdown=1 -f "$root/bench/table.awk" "$results" >"$work/markdown"
    awk -v heading="$(readme_heading)" -f "$root/bench/readme.awk" "$work/markdown" "$readme" \
        >"$work/page" || die "option --readme: \"$readme\" is left as it was"
    cat "$work/page" >"$readme"
}

# ---- options -------------------------------------------------------------------------------------

only=$questions
mib=
readme=
command=
runs=
smoke=
json=
pictures=
build_dir=
all_peers='jemalloc tcmalloc mimalloc glibc'
wanted_peers=

check_words()
{
    for word in $(printf '%s' "$2" | tr , ' '); do
        in_list "$word" "$3" || die "option $1: \"$word\" is none of: $3"
    done
    [ -n "$(printf '%s' "$2" | tr -d ', ')" ] || die "option $1: the list is empty; known are: $3"
}

check_runs()
{
    case $1 in
    '' | *[!0-9]* | ????*) die "option --runs: \"$1\" is not a number from 1 to 100" ;;
    esac
    if [ "$1" -lt 1 ] || [ "$1" -gt 100 ]; then
        die "option --runs: $1 is not from 1 to 100"
    fi
}

while [ $# -gt 0 ]; do
    case $1 in
    --only | --runs | --peers | --mib) command="$command $1 ${2-}" ;;
    --smoke) command="$command $1" ;;
    esac
    case $1 in
    --smoke) smoke=yes ;;
    --no-install) export SINTER_NO_INSTALL=1 ;;
    --help)
        usage
        exit 0
        ;;
    --only | --runs | --json | --build-dir | --peers | --pictures | --readme | --mib)
        [ -n "${2-}" ] || die "option $1 needs a value; see --help"
        case $1 in
        --only)
            check_words "$1" "$2" "$questions"
            only=$2
            ;;
        --runs)
            check_runs "$2"
            runs=$2
            ;;
        --json) json=$2 ;;
        --pictures) pictures=$2 ;;
        --build-dir) build_dir=$2 ;;
        --mib) mib=$2 ;;
        --readme) [ -w "$2" ] || die "option --readme: cannot write \"$2\"" && readme=$2 ;;
        --peers)
            check_words "$1" "$2" "$all_peers"
            wanted_peers=$(printf '%s' "$2" | tr , ' ')
            ;;
        esac
        shift
        ;;
    *) die "unknown option \"$1\"; see --help" ;;
    esac
    shift
done

[ -z "$smoke" ] || runs=1
if [ -z "$wanted_peers" ]; then
    wanted_peers=${smoke:+jemalloc glibc}
    wanted_peers=${wanted_peers:-$all_peers}
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 2' HUP INT TERM
results=${json:-$work/results}
: >"$results" || die "option --json: cannot write \"$results\""
failed=0

want_packages 'as peers in the benchmarks' libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4
if [ -n "$pictures" ]; then
    prepare_pictures
elif in_list S5 "$only"; then
    want_packages 'to count instructions' valgrind=valgrind
fi
if wants_servers; then
    find_servers
fi
if [ -z "$build_dir" ]; then
    build_dir=$root/build/bench
    build
fi
programs=$build_dir/bench
[ -x "$programs/t1_shift_malloc" ] || die "option --build-dir: no benchmarks in \"$build_dir\""
if wants_servers && [ ! -x "$build_dir/src/server/sinterd" ]; then
    die "C1, C3, C4 and C7 need sinterd, which \"$build_dir\" lacks (-DSINTER_SERVER=ON)"
fi
find_peers
run_all
if [ -s "$work/tuning" ]; then
    printf '\n'
    cat "$work/tuning"
fi
if [ -s "$results" ]; then
    awk -f "$root/bench/table.awk" "$results"
fi
if [ "$failed" != 0 ]; then
    printf '%s: a benchmark failed, see above\n' "${0##*/}" >&2
    exit 1
fi
[ -z "$readme" ] || write_readme
if [ -n "$pictures" ]; then
    step 'Drawing'
    "$root/bench/draw.sh" --series "$work/series" --to "$pictures"
fi
