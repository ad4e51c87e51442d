#!/bin/sh
# SPDX-License-Identifier: MIT
#
# draw.sh - draws resident memory over the run, all subjects in one picture, from the series that
# t1_shift and t2_redis record with --series (memory.h says what is in them); and C1's servers, from
# those of c1_shift (its head says what is in them; described in servers.gp). bench/run.sh
# --pictures records them and calls this. The picture itself is described in plot.gp.
#
# The subjects' phases take different times; each phase is drawn as wide as any other, so that the
# same place is the same work. A point is the highest of its samples: no peak is thinned away.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
points=90 # of a line, in each phase

usage()
{
    cat <<END
usage: bench/draw.sh --series DIR --to DIR

  --series DIR  where the series are: T1-cells, T1-jemalloc, T2-cells, ...; a question without
                any is left out
  --to DIR      where t1_rss.png, t1_rss.svg, t2_rss.png, t2_rss.svg, c1_servers.png and
                c1_servers.svg are put
  --help        this text
END
}

die()
{
    printf '%s: error: %s\n' "${0##*/}" "$*" >&2
    exit 2
}

# thin SERIES: x, resident, payload. A line that is no sample ends the script.
thin()
{
    awk -v points="$points" -v file="$1" '
        /^#/ { next }
        NF != 4 || $4 < phases || $1 < time[n] {
            print file ": line " NR " is no sample" > "/dev/stderr"
            exit bad = 1
        }
        {
            time[++n] = $1; resident[n] = $2; payload[n] = $3; phase[n] = phases = $4
            if (!(phases in from))
                from[phases] = $1
            to[phases] = $1
        }
        function flush_point()
        {
            if (point != "")
                printf "%.4f %.2f %.2f\n", x, high, high_payload
        }
        END {
            if (bad || !n)
                exit 1
            for (i = 1; i <= n; i++) {
                p = phase[i]
                long = to[p] > from[p] ? to[p] - from[p] : 1
                at = (time[i] - from[p]) / long
                new = p " " int(at * points)
                if (new != point || resident[i] > high) {
                    if (new != point)
                        flush_point()
                    x = p - 1 + at; high = resident[i]; high_payload = payload[i]
                }
                point = new
            }
            flush_point()
        }' "$1"
}

# phases SERIES: middle, end and name of each.
phases()
{
    sed -n 's/^# phase \([0-9]*\): \(.*\)$/\1 \2/p' "$1" |
        while read -r number name; do
            printf '%s.5 %s "%s"\n' "$((number - 1))" "$number" "$name"
        done
}

# name_of SUBJECT: line type in plot.gp, and what people call it.
name_of()
{
    case $1 in
    cells) echo '1 Sinter, cells' ;;
    handles) echo '2 Sinter, handles' ;;
    glibc) echo '3 glibc malloc' ;;
    jemalloc) echo '4 jemalloc' ;;
    tcmalloc) echo '5 tcmalloc' ;;
    mimalloc) echo '6 mimalloc' ;;
    esac
}

# labels: commands for gnuplot: a label for each subject where its line ends, moved up where two
# would overlap.
labels()
{
    for subject in $subjects; do
        printf '%s ' "$(tail -n 1 "$work/$subject" | cut -d ' ' -f 2,3)"
        name_of "$subject"
    done | LC_ALL=C sort -n | awk -v apart="$(highest)" '
        {
            y = NR > 1 && $1 < low + apart / 17 ? low + apart / 17 : $1
            low = y
            ratio = $1 / $2
            type = $3
            $1 = $2 = $3 = ""
            sub(/^ +/, "")
            printf "set label \"%s %.2f×\" at last * 1.01, %.1f", $0, ratio, y
            printf " left textcolor linetype %d\n", type
        }'
}

highest()
{
    for subject in $subjects; do
        cat "$work/$subject"
    done | awk '$2 > high { high = $2 } END { print high }'
}

# draw QUESTION TITLE: both pictures of a question; the title is followed by the payload.
draw()
{
    subjects=
    for subject in mimalloc tcmalloc glibc jemalloc handles cells; do
        [ -f "$series/$1-$subject" ] || continue
        thin "$series/$1-$subject" >"$work/$subject" || die "$1-$subject cannot be drawn"
        phases "$series/$1-$subject" >"$work/phases"
        subjects="$subjects $subject"
    done
    [ -n "$subjects" ] || return 0
    labels >"$work/labels"
    payload=$(tail -n 1 "$work/${subjects##* }" | awk '{ printf "%.0f", $3 }')
    for kind in png svg; do
        picture=$to/$(printf '%s' "$1" | tr T t)_rss.$kind
        gnuplot -e "picture = '$picture'; dir = '$work'; subjects = '${subjects# }'" \
            -e "heading = '$2: $payload MiB of live objects (grey)'" \
            "$root/bench/plot.gp" || die "gnuplot could not draw $picture"
        printf '    %s\n' "$picture"
    done
}

series=
to=
while [ $# -gt 0 ]; do
    case $1 in
    --help)
        usage
        exit 0
        ;;
    --series | --to)
        [ $# -gt 1 ] || die "option $1 needs a directory"
        case $1 in
        --series) series=$2 ;;
        --to) to=$2 ;;
        esac
        shift
        ;;
    *) die "unknown option \"$1\"; see --help" ;;
    esac
    shift
done
[ -d "$series" ] || die "option --series: no directory \"$series\""
[ -n "$to" ] || die 'option --to is missing; see --help'
command -v gnuplot >/dev/null 2>&1 || die 'gnuplot is not installed (Debian: gnuplot-nox)'
mkdir -p "$to" || die "option --to: cannot make \"$to\""
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 2' HUP INT TERM

# draw_servers: C1, whose two pictures have another form.
draw_servers()
{
    servers=
    for server in redis memcached sinterd; do
        [ ! -f "$series/C1-$server" ] || servers="$servers C1-$server"
    done
    [ -n "$servers" ] || return 0
    for kind in png svg; do
        gnuplot -e "picture = '$to/c1_servers.$kind'; dir = '$series'" \
            -e "servers = '${servers# }'" "$root/bench/servers.gp" ||
            die "gnuplot could not draw $to/c1_servers.$kind"
        printf '    %s\n' "$to/c1_servers.$kind"
    done
}

draw T1 'T1, a cache whose object sizes shift'
draw T2 'T2, small objects replaced by larger ones'
draw_servers
