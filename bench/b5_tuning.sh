#!/bin/sh
# SPDX-License-Identifier: MIT
#
# b5_tuning.sh - B5: what do the mover's two main options buy, and cost? Runs T1 (sizes shift) and
# T4 (production sizes) with compaction from 1, 5, 10 and 25 % of waste on (both thresholds), with
# at most 10, 50 and 100 % of a core, and prints for each: RSS/live at the end of the phases or data
# sets (their mean, and the highest), the highest at any moment, the processor time of compaction by
# that of the threads that use the cache, and how long one of their operations takes beside it: a
# put with its evictions (T1), a request (T4), at the 99.9th percentile and the longest. On a busy
# machine the latter two are the scheduler's.
set -eu

usage()
{
    cat <<END
usage: bench/b5_tuning.sh --programs DIR [--smoke] [--json FILE] [--mib N] [--subjects LIST]

  --programs DIR   where t1_shift_cell, t4_production_cell and those of handles are
  --smoke          two thresholds and small caches, a few seconds: checks that all works
  --json FILE      one JSON line for each row there, too
  --mib N          payload limit of the caches, 16 to 65536 MiB (default 256)
  --subjects LIST  of cell and handle, separated by commas (default: both)
  --help           this text
END
}

die()
{
    printf '%s: error: %s\n' "${0##*/}" "$*" >&2
    exit 2
}

programs=
smoke=
json=
mib=256
subjects='cell handle'
while [ $# -gt 0 ]; do
    case $1 in
    --smoke) smoke=--smoke ;;
    --programs | --json | --mib | --subjects)
        [ -n "${2-}" ] || die "option $1 needs a value; see --help"
        case $1 in
        --programs) programs=$2 ;;
        --json) json=$2 ;;
        --mib) mib=$2 ;;
        --subjects) subjects=$(printf '%s' "$2" | tr , ' ') ;;
        esac
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
[ -x "$programs/t1_shift_cell" ] || die "option --programs: no t1_shift_cell in \"$programs\""
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 2' HUP INT TERM

# row SUBJECT PROGRAM WORKLOAD THRESHOLD CPU ARGUMENT...: one run; a line of the table on stdout.
row()
{
    subject=$1 program=$2 workload=$3 threshold=$4 cpu=$5
    shift 5
    "$programs/${program}_$subject" --json --latency yes \
        --set "defrag.threshold_upper_percent=$threshold" \
        --set "defrag.threshold_lower_percent=$threshold" \
        --set "defrag.cpu_max_percent=$cpu" "$@" $smoke >"$work/line" 2>"$work/log" || {
        tail -n 5 "$work/log" >&2
        die "${program}_$subject failed"
    }
    awk -v subject="${subject}s" -v workload="$workload" -v threshold="$threshold" -v cpu="$cpu" \
        -v json="$json" '
        function add(name, unit, value)
        {
            metrics = metrics (metrics == "" ? "" : ",") sprintf( \
                "{\"name\":\"%s\",\"unit\":\"%s\",\"value\":%s,\"better\":\"lower\"}", name, unit,
                value)
        }
        {
            n = split(substr($0, index($0, "\"metrics\":[")), part, "},{")
            for (i = 1; i <= n; i++) {
                name = part[i]
                sub(/.*"name":"/, "", name)
                sub(/".*/, "", name)
                value = part[i]
                sub(/.*"value":/, "", value)
                sub(/[^-+0-9.e].*/, "", value)
                if (part[i] ~ /"unit":"RSS\/live"/ && name ~ /^highest/)
                    peak = value > peak ? value : peak
                else if (part[i] ~ /"unit":"RSS\/live"/ && name != "after idling") {
                    sum += value
                    count++
                    most = value > most ? value : most
                } else if (name == "CPU of all compaction")
                    compaction = value
                else if (name ~ /p99.9$/)
                    tail = value
                else if (name ~ /^an? [a-z]+, max$/)
                    longest = value
            }
        }
        END {
            printf "%-8s %-4s %9d %% %7d %% %9.3f %9.3f %9.3f %10.2f %% %9.1f us %9.1f ms\n",
                subject, workload, threshold, cpu, sum / count, most, peak, compaction, tail,
                longest / 1000
            if (json == "")
                exit
            add("RSS/live, mean", "RSS/live", sum / count)
            add("RSS/live, highest at an end", "RSS/live", most)
            add("RSS/live, highest", "RSS/live", peak)
            add("CPU of compaction", "%", compaction)
            add("an operation, p99.9", "us", tail)
            add("an operation, max", "us", longest)
            printf "{\"question\":\"B5\",\"title\":\"tuning\",\"subject\":\"%s\",", subject >>json
            printf "\"case\":\"%s, threshold %d %%, at most %d %% of a core\",", workload,
                threshold, cpu >>json
            printf "\"seed\":1,\"smoke\":false,\"metrics\":[%s],\"notes\":[]}\n", metrics >>json
        }' "$work/line"
}

thresholds='1 5 10 25'
cpus='10 50 100'
sizes="--mib $mib"
if [ -n "$smoke" ]; then
    thresholds='1 25'
    cpus=50
    sizes=
fi
[ -z "$json" ] || : >"$json"
printf 'B5 tuning: T1 (sizes shift) and T4 (production sizes)\n'
printf '%-8s %-4s %11s %9s %9s %9s %9s %12s %12s %12s\n' subject load threshold 'cpu max' \
    RSS/live 'its most' highest 'compaction' 'p99.9' longest
for subject in $subjects; do
    for threshold in $thresholds; do
        for cpu in $cpus; do
            # shellcheck disable=SC2086 # arguments are words
            row "$subject" t1_shift T1 "$threshold" "$cpu" $sizes
            # shellcheck disable=SC2086
            row "$subject" t4_production T4 "$threshold" "$cpu" $sizes --start 2
        done
    done
done
