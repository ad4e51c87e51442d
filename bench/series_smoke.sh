#!/bin/sh
# SPDX-License-Identifier: MIT
#
# series_smoke.sh - run by ctest: are the series that a benchmark records sound, and are pictures
# drawn from them? Small sizes; only form is judged. Status 0: all is well, 1: something is not,
# 2: it could not run.
#
# Seen failing with: the phase not counted in samples; seconds counted from a phase's begin; the
# phase left out of samples; samples before the first phase; no payload; the result of write() not
# looked at (series). A subject left out; no names of phases; none of subjects; no payload; a sample
# that is cut short (pictures).
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
case ${1-} in
series | pictures) [ $# -ge 2 ] ;;
*) false ;;
esac || {
    printf 'usage: bench/series_smoke.sh series PROGRAM... | pictures BUILD_DIR\n' >&2
    exit 2
}
what=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 2' HUP INT TERM
bad=0

wrong()
{
    printf 'not so: %s\n' "$*" >&2
    bad=1
}

# check_lines FILE: samples of four numbers, in order of time, in named phases that all have some.
check_lines()
{
    awk '
        function wrong(text)
        {
            print FILENAME ": line " NR ": " text > "/dev/stderr"
            bad = 1
        }
        NR == 1 {
            if ($0 != "# seconds resident_mib payload_mib phase")
                wrong("not the names of the columns")
            next
        }
        /^# phase/ {
            if (phase && !samples)
                wrong("no samples in phase " phase)
            if ($3 != ++phase ":" || $4 == "")
                wrong("not the name of phase " phase)
            samples = 0
            next
        }
        NF != 4 || $0 !~ /^[0-9]+\.[0-9]+ [0-9]+\.[0-9]+ [0-9]+\.[0-9]+ [0-9]+$/ {
            wrong("not a sample")
            next
        }
        $1 < time { wrong("earlier than the line before") }
        !phase || $4 != phase { wrong("of another phase") }
        { time = $1; resident = $2; payload = $3; samples++ }
        END {
            if (phase < 2 || !samples)
                wrong("the series stops in phase " phase)
            if (resident < payload / 2 || payload < 1)
                wrong("at the end " resident " MiB resident and " payload " MiB of payload")
            exit bad
        }' "$1" || bad=1
}

# check_series PROGRAM
check_series()
{
    "$1" --smoke --series "$work/series" >"$work/out" 2>&1 || wrong "$1 runs with --series"
    check_lines "$work/series"
    if "$1" --smoke --series /dev/full >"$work/out" 2>&1; then
        wrong "$1 fails when the series cannot be written"
    fi
    grep -q 'option --series: cannot write "/dev/full": No space left on device' "$work/out" ||
        wrong "$1 says that /dev/full cannot be written: $(cat "$work/out")"
    if "$1" --smoke --series "$work/none/series" >"$work/out" 2>&1; then
        wrong "$1 fails when the series cannot be created"
    fi
    grep -q 'option --series: cannot create ".*/none/series": No such file' "$work/out" ||
        wrong "$1 says that the file cannot be created: $(cat "$work/out")"
}

# check_svg FILE TEXT...: as many curves as there are subjects beside the payload and the ends of
# phases, and these texts.
check_svg()
{
    file=$1
    shift
    curves=$(grep -c '<g id="gnuplot_plot_' "$file") || true
    [ "$curves" -eq 6 ] || wrong "${file##*/} has 6 plots; it has $curves"
    for text in 'Sinter, cells' 'Sinter, handles' 'glibc malloc' "$@" idle; do
        grep -q "$text" "$file" || wrong "${file##*/} shows '$text'"
    done
}

check_pictures()
{
    SINTER_NO_INSTALL=1 "$root/bench/run.sh" --smoke --peers glibc --build-dir "$1" \
        --pictures "$work/pictures" || exit $?
    check_svg "$work/pictures/t1_rss.svg" '240-256 bytes' '16-64 bytes' '640 bytes'
    check_svg "$work/pictures/t2_rss.svg" '240 bytes' '492 bytes'
    for picture in "$work"/pictures/t1_rss.png "$work"/pictures/t2_rss.png; do
        head -c 4 "$picture" | grep -q PNG || wrong "${picture##*/} is a PNG"
        [ "$(wc -c <"$picture")" -gt 10000 ] || wrong "something is drawn in ${picture##*/}"
    done
}

if [ "$what" = pictures ]; then
    check_pictures "$1"
else
    for program in "$@"; do
        check_series "$program"
    done
fi
exit "$bad"
