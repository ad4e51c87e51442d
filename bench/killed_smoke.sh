#!/bin/sh
# SPDX-License-Identifier: MIT
#
# killed_smoke.sh - run by ctest: does run.sh say that a program was killed, and go on? Stand-ins of
# S1's programs kill themselves. Status 0: all is well, 1: something is not, 2: it could not run.
#
# Seen failing with: no line for a failed run; the line not shown by table.awk, or in a table of its
# own; a killed peer taken for a failure; killed cells not; the signal taken for a status.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
[ $# -eq 1 ] || {
    printf 'usage: bench/killed_smoke.sh BUILD_DIR\n' >&2
    exit 2
}
programs=$1/bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 2' HUP INT TERM
bad=0

wrong()
{
    printf 'not so: %s\n' "$*" >&2
    bad=1
}

# has FILE PATTERN TIMES
has()
{
    times=$(grep -cE "$2" "$work/$1") || true
    [ "$times" -eq "$3" ] || wrong "$1 has $3 lines like '$2'; it has $times"
}

# check KIND SUBJECT STATUS COMMAND: the program of this kind runs COMMAND; run.sh ends with STATUS.
check()
{
    rm -rf "$work/bench"
    mkdir "$work/bench"
    ln -s "$programs"/t1_shift_malloc "$programs"/s[13]_* "$work/bench/"
    rm "$work/bench/s1_pair_$1"
    printf '#!/bin/sh\n%s\n' "$4" >"$work/bench/s1_pair_$1"
    chmod +x "$work/bench/s1_pair_$1"
    status=0
    SINTER_NO_INSTALL=1 "$root/bench/run.sh" --smoke --only S1,S3 --peers glibc \
        --build-dir "$work" --json "$work/json" >"$work/out" 2>"$work/err" || status=$?
    [ "$status" -eq "$3" ] || wrong "run.sh ends with $3 when $2 run '$4'; it ended with $status"
    has json '^\{"question":"S[13]",.*"metrics":\[.*\],"notes":\[.*\]\}$' 6
    has json "^\{\"question\":\"S1\",\"subject\":\"$2\",.*\"failed\":\"[^\"]+\",\"metrics\":\[\]" 1
    has out '^  64 B .* ns ' 1 # the table goes on
    has out '^S3 random replace: ' 1 # and so do the questions
}

check malloc glibc 0 'kill -9 $$'
has err '^s1_pair_malloc --seed 1 --smoke: killed by SIGKILL: out of memory\?$' 1
has out '^  killed by SIGKILL: out of memory\? +glibc +1 run$' 1
has out '^S1 pair: ' 1
has out '^S1 ' 1
check cell cells 1 'kill -9 $$'
has out '^  killed by SIGKILL: out of memory\? +cells +1 run$' 1
check malloc glibc 1 'kill -TERM $$'
has out '^  ended by SIGTERM +glibc +1 run$' 1
check handle handles 1 'exit 255'
has out '^  failed with status 255 +handles +1 run$' 1
exit "$bad"
