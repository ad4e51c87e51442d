#!/bin/sh
# SPDX-License-Identifier: MIT
#
# profile.sh SITES GO: what `go tool pprof` reads of a profile is what the program (sites.c) knows
# of itself: each site's objects and bytes within six standard errors,
# what is sparse, pinned and moved at the site that it is of, and the sums beside the store's. Of
# the census, which is exact, every number. The heap profile as text says the same to the tools of
# gperftools and jemalloc, where they are installed. Exit status 77: there is no go.
#
# Seen failing: a mover that does not hand the mark on; records that are not told of a move; a
# weight of 1 for each drawn object; LATER written before the change.
set -eu

program=$1 go=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail()
{
    printf 'profile: %s\n' "$*" >&2
    cat "$work/said" >&2
    exit 1
}

[ -x "$go" ] || {
    echo 'insight: not looked at: there is no go'
    exit 77
}

"$program" "$work/profile" "$work/census" "$work/text" "$work/later" >"$work/said"

# pprof FILE SAMPLE_TYPE: "name value" of each function, in units of the sample.
pprof()
{
    HOME=$work GOFLAGS=-mod=mod "$go" tool pprof -top -nodecount=1000 -nodefraction=0 -unit=B \
        -sample_index="$2" "$program" "$1" 2>"$work/errors" |
        sed '1,/flat%/d' | awk '{ print $6 $7 $8, $1 + 0 }'
}

# value FILE SAMPLE_TYPE NAME
value()
{
    pprof "$1" "$2" | awk -v name="$3" '$1 == name { sum += $2 } END { printf "%d\n", sum }'
}

# said WHAT FIGURE: by the program.
said()
{
    sed -n "s/^$1 .*$2=\([0-9]*\).*/\1/p" "$work/said"
}

# near IS EXPECTED PERCENT WHAT
near()
{
    awk -v is="$1" -v expected="$2" -v percent="$3" 'BEGIN {
        d = is - expected
        exit !((d < 0 ? -d : d) <= expected * percent / 100)
    }' || fail "$4: pprof says $1, it is $2 (within $3 %)"
}

for site in dense sparse moved pinned cells; do
    bytes=$(said "site_$site" bytes)
    # One in 4 KiB: of n drawn the error is 1 / sqrt(n).
    percent=$(awk -v bytes="$bytes" 'BEGIN { print 600 / sqrt(bytes / 4096) }')
    near "$(value "$work/profile" inuse_space site_$site)" "$bytes" "$percent" "$site, bytes"
    near "$(value "$work/profile" inuse_objects site_$site)" "$(said "site_$site" objects)" \
        "$percent" "$site, objects"
done
[ "$(value "$work/profile" inuse_space site_gone)" -eq 0 ] || fail 'what is gone is in use'
near "$(value "$work/profile" alloc_space site_gone)" 42000000 7 'allocated and gone'
near "$(value "$work/profile" sparse_space site_sparse)" "$(said all free_slot)" 24 'sparse'
near "$(value "$work/profile" moved_space site_moved)" "$(said all moved)" 20 'moved'
near "$(value "$work/profile" pinned_space site_pinned)" 2100000 32 'pinned'
[ "$(value "$work/profile" pinned_space site_dense)" -eq 0 ] || fail 'dense ones are pinned'

for type in rounding_space limbo_space; do
    pprof "$work/profile" $type >"$work/list" || fail "pprof does not read $type"
done
near "$(awk '/^site_/ { sum += $2 } END { print sum + 0 }' <<END
$(pprof "$work/profile" rounding_space)
END
)" "$(said all rounding)" 20 'rounding'
HOME=$work "$go" tool pprof -tags "$program" "$work/profile" 2>/dev/null | grep -q 'age' ||
    fail 'there are no ages'
HOME=$work "$go" tool pprof -comments "$work/profile" 2>/dev/null |
    grep -q 'the store says requested 23' || fail 'the comment does not say the sum'

[ "$(value "$work/census" objects 'sparseones')" -eq "$(said site_sparse objects)" ] ||
    fail 'the census counts other objects'
[ "$(value "$work/census" space 'inacell')" -eq "$(said site_cells bytes)" ] ||
    fail 'the census counts other bytes'
near "$(value "$work/census" sparse_space 'sparseones')" "$(said all free_slot)" 2 'sparse, census'

# The same sites as text, by each tool that reads it.
# text_value TOOL NAME: bytes in use of the site and of what it calls.
text_value()
{
    "$1" --text --show_bytes --inuse_space "$program" "$work/text" 2>"$work/errors" |
        awk -v name="site_$2" '$NF == name { print $4 + 0 }'
}

agree=pprof
for tool in jeprof google-pprof; do
    command -v $tool >/dev/null 2>&1 || {
        echo "profile: $tool is not installed: left out"
        continue
    }
    for site in dense sparse moved pinned cells; do
        near "$(text_value $tool $site)" "$(value "$work/profile" inuse_space site_$site)" 1 \
            "$tool, $site"
    done
    agree="$agree, $tool"
done
for site in dense sparse; do
    near "$(value "$work/text" inuse_space site_$site)" \
        "$(value "$work/profile" inuse_space site_$site)" 1 "go tool pprof of the text, $site"
done
# Which sites have grown between two profiles, and which hold the spans that have become sparse.
for type in inuse_space sparse_space; do
    HOME=$work GOFLAGS=-mod=mod "$go" tool pprof -top -nodecount=1000 -nodefraction=0 -unit=B \
        -sample_index=$type -diff_base="$work/profile" "$program" "$work/later" \
        2>"$work/errors" | sed '1,/flat%/d' >"$work/$type"
done

# grown SAMPLE_TYPE NAME
grown()
{
    awk -v name="site_$2" '$6 == name { sum += $1 + 0 } END { printf "%d\n", sum }' "$work/$1"
}

near "$(grown inuse_space later)" "$(said later grown)" 16 'grown, bytes'
near "$((0 - $(grown inuse_space moved)))" "$(said later gone)" 20 'gone, bytes'
near "$(grown sparse_space later)" "$(said later free_slot)" 24 'grown, sparse'
for site in dense sparse pinned cells; do
    for type in inuse_space sparse_space; do
        change=$(grown $type $site)
        [ "${change#-}" -lt 120000 ] || fail "$type of $site: it has changed by $change"
    done
done
echo "$agree and the program agree"
