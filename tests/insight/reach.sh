#!/bin/sh
# SPDX-License-Identifier: MIT
#
# reach.sh SINTER REACH STATIC STEP: sinter reach on cores of reach.c, in which every object is
# known in one way, or in none: it finds exactly what the program says of itself. With moving.c in
# the place of REACH: the same in the middle of a move. Exit status 77: what is needed is missing.
#
# Seen failing: a copy that is not published counted as an object; cells taken for the header's only
# where that names them, in the middle of a move; words inside objects not taken for cells.
set -eu

sinter=$1 program=$2 static=$3 step=$4
# shellcheck source=tests/insight/hoard.sh
. "${0%/*}/hoard.sh"

# agrees FILE [FIGURE...]: each figure is what the program has said.
agrees()
{
    file=$1
    shift
    [ $# -gt 0 ] || set -- reached maybe leaked held_by_leaked limbo
    for figure in "$@"; do
        is=$(sed -n 's/.*"'"$figure"'":\([0-9]*\).*/\1/p' "$file")
        said=$(sed 's/.*ready.* '"$figure"'=\([0-9]*\).*/\1/
            s/.*ready '"$figure"'=\([0-9]*\).*/\1/' "$work/out")
        [ "$is" = "$said" ] ||
            fail "$figure: sinter reads $is, the program says $said: $(cat "$work/out" "$file")"
    done
}

exactly()
{
    start "$@"
    take
    stop
    "$sinter" reach "$core" --json >"$work/reach"
    agrees "$work/reach"
}

case $step in
exact) exactly plain ;;
hardened)
    exactly hardened
    "$sinter" check "$core" >"$work/list" || fail "a whole core is damaged: $(cat "$work/list")"
    # One byte past the end of an object.
    start hardened
    must_be_readable
    "$sinter" objects "$hoard" --addresses >"$work/list"
    object=$(sed -n 's/^block.*: \([0-9]*\) bytes.*, at \(0x[0-9a-f]*\)$/\1 \2/p' "$work/list" |
        head -n 1)
    printf '\0' | dd of="/proc/$hoard/mem" bs=1 conv=notrunc \
        seek=$((${object#* } + ${object% *})) 2>"$work/said" ||
        skip 'no right to write to a process'
    ! "$sinter" check "$hoard" >"$work/list" || fail 'what is written past an object is not found'
    grep -q "past its object's end" "$work/list" || fail "it says: $(cat "$work/list")"
    stop
    ;;
moving)
    # One object is under way when the core is taken: nothing is lost, nothing is counted twice.
    for at in copied published turned; do
        start $at
        take
        stop
        "$sinter" reach "$core" --json >"$work/reach"
        agrees "$work/reach" reached maybe leaked held_by_leaked
        rm -f "$core"
    done
    ;;
kernel)
    kernel_must_write_cores
    start plain
    kill -SEGV "$hoard"
    take_from_kernel
    "$sinter" reach "$core" --json >"$work/reach"
    agrees "$work/reach"
    ;;
stripped)
    strip -o "$work/stripped" "$static" 2>/dev/null || skip 'strip is not installed'
    program=$work/stripped
    exactly plain
    ;;
live)
    start plain
    must_be_readable
    # It goes on to read() only: what is not seen is its registers.
    "$sinter" reach "$hoard" --json >"$work/reach"
    leaked=$(sed -n 's/.*"leaked":\([0-9]*\).*/\1/p' "$work/reach")
    said=$(sed 's/.* leaked=\([0-9]*\).*/\1/' "$work/out")
    case $((leaked - said)) in
    [0-2]) ;;
    *) fail "of a process: leaked $leaked, the program says $said" ;;
    esac
    stop
    ;;
list)
    start plain
    take
    stop
    "$sinter" reach "$core" --list 1000 >"$work/list"
    [ "$(grep -c '^  leaked[:,]' "$work/list")" -eq 104 ] || fail "it lists: $(cat "$work/list")"
    ! grep -q 'at 0x' "$work/list" || fail 'an address is printed unasked'
    "$sinter" reach "$core" --list 1 --addresses | grep -q ', at 0x' || fail 'no address is printed'
    leaked=$(sed -n 's/^  leaked: .* handle \(0x[0-9a-f]*\),.*/\1/p' "$work/list" | head -n 1)
    "$sinter" find "$core" "$leaked" | grep -q '^nobody has' || fail 'a leaked object is named'
    "$sinter" handle "$core" "$leaked" | grep -q 'is live: ' || fail 'its handle is not live'
    held=$(sed -n 's/^  leaked, held by.* handle \(0x[0-9a-f]*\),.*/\1/p' "$work/list" |
        head -n 1)
    "$sinter" find "$core" "$held" | grep -q '^in the object of block ' ||
        fail 'who holds it is not found'
    # By tags each is counted once.
    all=$("$sinter" stores "$core" --store reach --json | sed -n 's/.*"objects":\([0-9]*\).*/\1/p')
    "$sinter" objects "$core" --store reach --by-tag >"$work/list"
    [ "$(awk 'NR > 2 { sum += $2 } END { print sum }' "$work/list")" -eq "$all" ] ||
        fail "of $all objects: $(cat "$work/list")"
    truncate -s 1048576 "$core"
    if "$sinter" reach "$core" >"$work/list" 2>"$work/said"; then
        fail 'a core that is cut short was read'
    fi
    grep -q 'is cut short' "$work/said" || fail "it says: $(cat "$work/said")"
    ;;
*) fail "no such step: $step" ;;
esac
