#!/bin/sh
# SPDX-License-Identifier: MIT
#
# s5_instructions.sh - S5: how many instructions does a hot deref take beyond the object's load?
# Counts by callgrind what s5_deref executes for N and for 2 N reads; the difference over N is one
# read with its loop. What a read through a pointer does not need is the deref.
set -eu

reads=500 # thousand

usage()
{
    cat <<END
usage: bench/s5_instructions.sh [--json] --programs DIR

  --programs DIR  where s5_deref_malloc, s5_deref_handle and s5_deref_cell are
  --json          JSON lines, as bench/run.sh wants them, instead of a table
  --help          this text
END
}

die()
{
    printf '%s: error: %s\n' "${0##*/}" "$*" >&2
    exit 2
}

# count SUBJECT THOUSAND: instructions of the whole program.
count()
{
    out=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$programs/s5_deref_$1" \
        --reads "$2" --json 2>&1) || die "s5_deref_$1 fails under valgrind: $out"
    number=$(printf '%s\n' "$out" | sed -n 's/.*Collected : *\([0-9]*\).*/\1/p')
    [ -n "$number" ] || die "valgrind does not say how many instructions s5_deref_$1 took"
    printf '%s\n' "$number"
}

# per_read SUBJECT: instructions of one read and its loop. A store's background threads take a few
# thousand more or less from run to run: hence one decimal.
per_read()
{
    few=$(count "$1" "$reads")
    many=$(count "$1" $((2 * reads)))
    echo "$few $many" | awk -v n="$reads" '{ printf "%.1f\n", ($2 - $1) / (n * 1000) }'
}

json_line()
{
    printf '{"question":"S5","title":"instructions of a hot deref","subject":"%s",' "$1"
    printf '"case":"callgrind, %s000 reads","seed":0,"smoke":false,"metrics":[' "$reads"
    printf '{"name":"beyond the load","unit":"instructions","value":%s,' "$2"
    printf '"better":"lower","target":%s},' "$3"
    printf '{"name":"read and loop","unit":"instructions","value":%s,' "$4"
    printf '"better":"lower"}],"notes":[]}\n'
}

# line SUBJECT LABEL TARGET
line()
{
    all=$(per_read "$1")
    extra=$(echo "$all $pointer" | awk '{ printf "%.1f", $1 - $2 }')
    if [ "$json" = yes ]; then
        json_line "$2" "$extra" "$3" "$all"
    else
        echo "$extra $3" | awk -v label="$2" -v all="$all" '{
            printf "%-8s %5.1f instructions beyond the load, <= %d: %s (%.1f with load and loop)\n",
                label, $1, $2, $1 <= $2 ? "ok" : "MISSED", all }'
    fi
}

json=no
programs=
while [ $# -gt 0 ]; do
    case $1 in
    --json) json=yes ;;
    --programs)
        [ $# -gt 1 ] || die 'option --programs needs a directory'
        programs=$2
        shift
        ;;
    --help)
        usage
        exit 0
        ;;
    *) die "unknown option \"$1\"; see --help" ;;
    esac
    shift
done
[ -n "$programs" ] || die 'option --programs is missing; see --help'
[ -x "$programs/s5_deref_malloc" ] || die "option --programs: no s5_deref_malloc in \"$programs\""
command -v valgrind >/dev/null 2>&1 || die 'valgrind is not installed'

pointer=$(per_read malloc)
line cell cells 3
line handle handles 10
