#!/bin/sh
# SPDX-License-Identifier: MIT
#
# gdb.sh SINTER SCRIPT REACH STATIC LIBRARY STEP: the commands of sinter-gdb.py in a real gdb, on a
# process and on a core; what they print is what the program sinter prints. Exit status 77: what is
# needed is missing.
# shellcheck disable=SC2016 # dollars in quotes are gdb's
set -eu

sinter=$1 script=$2 program=$3 static=$4 library=$5 step=$6
# shellcheck source=tests/insight/hoard.sh
. "${0%/*}/hoard.sh"

command -v gdb >/dev/null 2>&1 || skip 'gdb is not installed'
gdb -batch -nx -ex 'python print(7)' 2>/dev/null | grep -q '^7$' || skip 'this gdb has no Python'
SINTER=$sinter
export SINTER

# in_gdb ARGUMENT...: of gdb, and commands; gdb's own words are left out.
in_gdb()
{
    gdb -batch -nx -iex 'set debuginfod enabled off' -iex 'set print thread-events off' "$@" \
        >"$work/gdb" 2>"$work/gdb.said" || true
    ! grep -q 'ptrace: Operation not permitted' "$work/gdb.said" ||
        skip 'no right to trace a process'
}

has()
{
    grep -q "$1" "$work/gdb" ||
        fail "gdb has no '$1': $(cat "$work/gdb" "$work/gdb.said")"
}

# same COMMANDS TARGET GDB-ARGUMENT...: every line of the program stands in gdb's output.
same()
{
    commands=$1 of=$2
    shift 2
    : >"$work/program"
    for command in $commands; do
        "$sinter" "$command" "$of" --addresses >>"$work/program" 2>/dev/null ||
            "$sinter" "$command" "$of" >>"$work/program"
        set -- "$@" -ex "sinter $command"
    done
    in_gdb "$@"
    grep -Fxv -f "$work/gdb" "$work/program" >"$work/lacks" || true
    [ ! -s "$work/lacks" ] ||
        fail "not in gdb: $(cat "$work/lacks" "$work/gdb" "$work/gdb.said")"
}

case $step in
core)
    # Without symbols, statically linked.
    strip -o "$work/stripped" "$static" 2>/dev/null || skip 'strip is not installed'
    program=$work/stripped
    start plain
    take
    stop
    same 'stores memory classes spans objects check reach readers' "$core" "$program" "$core" \
        -ex "source $script"
    block=$("$sinter" spans "$core" | sed -n 's/^block \([0-9]*\):.*/\1/p' | head -n 1)
    in_gdb "$program" "$core" -ex "source $script" -ex "sinter span $block" \
        -ex "sinter handle 1" -ex "sinter ptr 0"
    has "^block $block: "
    grep -q 'no store has issued this handle' "$work/gdb.said" || fail 'a wrong handle is taken'
    grep -q 'the address lies in no store' "$work/gdb.said" || fail 'a wrong address is taken'
    ;;
live)
    start plain
    same 'stores classes' "$hoard" -p "$hoard" -ex "source $script"
    # With debug information: expressions, printers, the function.
    in_gdb -p "$hoard" -ex "source $script" -ex 'sinter handle kept[3]' -ex 'print kept[3]' \
        -ex 'sinter cell &cells[5]' -ex 'print cells[5]' -ex 'sinter find kept[3]' \
        -ex 'sinter ptr (char *)$sinter_object(kept[3]) + 5' -ex 'print kept[3] - kept[3]' \
        -ex 'sinter reach' -ex 'sinter readers'
    has '^handle 0x[0-9a-f]* is live: store reach, block '
    has '^\$1 = 0x[0-9a-f]*: is live: store reach, block '
    has '^the cell names: store reach, .* in a cell'
    has '^\$2 = 0x[0-9a-f]*: names: store reach'
    has '^in kept, at byte 24, at 0x'
    has '; the address is its byte 5$'
    has '^thread [0-9]* is gdb.s thread 1: wait_with < main'
    # Stopped, with its registers: exact.
    for figure in reached maybe leaked; do
        said=$(sed 's/.*ready.* '$figure'=\([0-9]*\).*/\1/; s/.*ready '$figure'=\([0-9]*\).*/\1/' \
            "$work/out")
        has "^  $figure  *$said "
    done
    stop
    ;;
load)
    # As it is installed: beside the path of the library, and loaded with it.
    real=$(readlink -f "$library")
    mkdir -p "$work/auto-load${real%/*}"
    cp "$script" "$work/auto-load$real-gdb.py"
    start plain
    take
    stop
    in_gdb -iex "set auto-load scripts-directory $work/auto-load" \
        -iex "add-auto-load-safe-path $work/auto-load" "$program" "$core" -ex 'sinter stores' \
        -ex 'help sinter'
    has '^store reach: '
    has '^sinter reach -- Which objects can be reached'
    ;;
*) fail "no such step: $step" ;;
esac
