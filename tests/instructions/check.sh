#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check.sh - does the fast path of a public call take more instructions than it did? Counts by
# callgrind what counted.c does, and compares with the file of this compiler in this directory,
# COMPILER-VERSION-MACHINE.txt. A call that takes over 3 % more fails; the count is exact to about 1
# % (where a pinned object lies is chance), and before it fails it is taken twice more, the lowest
# of the three.
#
# Status: 0 no call takes more, 1 one does, 77 there is nothing to compare with: the reason is
# printed.
#
# TO WRITE THE COUNTS ANEW, after a change that makes a call dearer on purpose, or cheaper, so that
# the gain is not lost unseen, with the compiler in use:
#
#     cmake --build build/release --target instructions_update
#
# The counts are of the flags -O2 -g -DNDEBUG (the preset "release"). Calls that copy or compare
# memory are not among those counted: how they do it depends on the processor. Locks are the libc's,
# hence its version.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tolerance=3 # percent

# What CMakeLists.txt sets.
program=$SINTER_COUNTED
compiler=$SINTER_COMPILER
flags=$SINTER_FLAGS
work=$SINTER_WORK

file=$here/$compiler-$(uname -m).txt
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null || echo another libc)
stamp="# $flags; $libc"

skip()
{
    printf 'instructions: not compared: %s\n' "$*"
    exit 77
}

fail()
{
    printf 'instructions: %s\n' "$*" >&2
    exit 1
}

# count FILE: a line for each call, its name and its instructions. What is inlined from the header
# has lines of its own, of the same function.
count()
{
    LD_BIND_NOW=1 valgrind --tool=callgrind --callgrind-out-file="$work/out" \
        --collect-atstart=no --toggle-collect='measured_*' "$program" >"$work/log" 2>&1 ||
        fail "counted fails under valgrind: $(tail -n 5 "$work/log")"
    calls=$(sed -n 's/^\([0-9]*\) calls of each$/\1/p' "$work/log")
    callgrind_annotate --inclusive=yes --threshold=100 --tree=none "$work/out" |
        sed -n 's/^ *\([0-9,]*\) .*:measured_\([a-z0-9_]*\) .*/\1 \2/p' | tr -d , |
        awk -v calls="$calls" '
            { sum[$2] += $1 }
            END { for (name in sum) printf "%s %.1f\n", name, sum[name] / calls }' |
        LC_ALL=C sort >"$1"
    [ "$(wc -l <"$1")" -ge 25 ] || fail "only these calls were counted: $(cat "$1")"
}

# keep_lowest FILE OTHER: into FILE.
keep_lowest()
{
    LC_ALL=C join "$1" "$2" | awk '{ print $1, ($2 < $3 ? $2 : $3) }' >"$work/lowest"
    mv "$work/lowest" "$1"
}

# compare: prints a table; status 1 if a call takes more than it may, or is in one list only.
compare()
{
    grep -v '^#' "$file" | LC_ALL=C sort >"$work/wanted"
    LC_ALL=C join -a 1 -a 2 -e - -o 0,1.2,2.2 "$work/wanted" "$work/counts" |
        awk -v tolerance=$tolerance '
            $2 == "-" || $3 == "-" {
                printf "%-22s %10s %10s  in one list only\n", $1, $2, $3
                bad = 1
                next
            }
            {
                change = 100 * ($3 - $2) / $2
                verdict = change > tolerance ? "MORE" : change < -tolerance ? "less" : ""
                printf "%-22s %10.1f %10.1f  %+6.1f %%  %s\n", $1, $2, $3, change, verdict
                bad += verdict == "MORE"
                less += verdict == "less"
            }
            END {
                if (less > 0)
                    printf "%d take less than the file says: write the counts anew\n", less
                exit bad > 0
            }'
}

# bound: a cache's insert and overwrite take at most 1.1 times what a free and an alloc by cell take
# in the same run.
bound()
{
    awk '
        { of[$1] = $2 }
        END {
            most = 1.1 * of["cell_free_alloc"]
            bad = !(of["cell_insert"] <= most && of["cell_overwrite"] <= most)
            if (bad)
                printf "cell_insert %.1f, cell_overwrite %.1f: more than %.1f\n",
                    of["cell_insert"], of["cell_overwrite"], most
            exit bad
        }' "$work/counts"
}

check()
{
    [ -f "$file" ] || skip "there are no counts of $compiler on $(uname -m) (${file##*/})"
    [ "$(head -n 1 "$file")" = "$stamp" ] ||
        skip "the counts of $compiler are of \"$(head -n 1 "$file")\", this is \"$stamp\""
    count "$work/counts"
    if ! compare >"$work/table"; then
        for again in 2 3; do
            count "$work/counts.$again"
            keep_lowest "$work/counts" "$work/counts.$again"
        done
    fi
    printf '%-22s %10s %10s\n' 'instructions of' 'kept' 'counted'
    bound || fail "publish takes more than 1.1 times free and alloc"
    compare || fail "a call takes over $tolerance % more than ${file##*/} says (MORE)"
}

# The median of three, call by call.
update()
{
    for each in 1 2 3; do
        count "$work/counts.$each"
    done
    {
        printf '%s\n' "$stamp"
        cat "$work/counts.1" "$work/counts.2" "$work/counts.3" | LC_ALL=C sort -k1,1 -k2,2n |
            awk 'NR % 3 == 2'
    } >"$file"
    printf 'instructions: %s written\n' "${file##*/}"
}

command -v valgrind >/dev/null 2>&1 || skip 'valgrind is not installed'
command -v callgrind_annotate >/dev/null 2>&1 || skip 'callgrind_annotate is not installed'
mkdir -p "$work"
case ${1-} in
check) check ;;
update) update ;;
*)
    printf 'usage: check.sh check | update; by ctest and the target instructions_update\n' >&2
    exit 2
    ;;
esac
