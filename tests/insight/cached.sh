#!/bin/sh
# SPDX-License-Identifier: MIT
#
# cached.sh SINTER CACHED DAMAGE: sinter cache and sinter item on cached.c and its core say what it
# says of itself; damaged cores of it crash nothing. Exit status 77: what is needed is missing.
set -eu

sinter=$1 program=$2 damage=$3
# shellcheck source=tests/insight/hoard.sh
. "${0%/*}/hoard.sh"

has()
{
    grep -q "$1" "$work/text" || fail "it has no '$1': $(cat "$work/text")"
}

# item TARGET KEY WORDS
item()
{
    "$sinter" item "$1" "$2" >"$work/text" || fail "no item $2"
    has "^cache cached: \"$2\": $3"
}

# agrees TARGET
agrees()
{
    "$sinter" cache "$1" >"$work/text"
    has "^cache cached: $(said items) items, .* limit 8.0 MiB$"
    has "^  $(said gets) gets, "
    has "; evicted $(said evicted), expired 0$"
    has '^  eviction begins at .* in the ring of new items'
    has '^  [0-9]* spans are more than half free, .* are kept by [0-9]* items '
    item "$1" flags '11 bytes, in '
    item "$1" expires '12 bytes, in .*, expires$'
    item "$1" large '200000 bytes in pieces, in '
    item "$1" key:29999 '1490 bytes, in \(main\|the ring\), heat [0-3], cas '
    ! "$sinter" item "$1" key:nothing >"$work/text" 2>&1 || fail 'what is not there is found'
    has 'no cache has an item with this key'
}

said()
{
    sed 's/.* '"$1"'=\([0-9]*\).*/\1/' "$work/out"
}

# shellcheck disable=SC2119 # the program takes no arguments
start
must_be_readable
agrees "$hoard"
take
agrees "$core"
stop
"$damage" "$core" 100 cached || fail "see above"
