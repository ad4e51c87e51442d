#!/bin/sh
# SPDX-License-Identifier: MIT
#
# doctor.sh SINTER DOCTOR STEP: of doctor.c, which has provoked a finding and waits, `sinter doctor`
# says the same, while it runs and of its core. Exit status 77: what is needed is missing.
#
# Seen failing: without the refusals; without pins; a core's grace period taken for a short one.
set -eu

sinter=$1 program=$2 step=$3
# shellcheck source=tests/insight/hoard.sh
. "${0%/*}/hoard.sh"

# doctor TARGET: the codes that it finds there, as "$is".
doctor()
{
    "$sinter" doctor "$1" --json >"$work/doctor" || fail "of $1 the doctor says nothing"
    is=$(sed -n 's/.*"code":"\([a-z_]*\)".*/ \1/p' "$work/doctor" | tr -d '\n')
}

# ask: the codes that the program finds now, as "$said".
ask()
{
    echo >&3
    answers=$((answers + 1))
    await "$answers"
    said=$(tail -n 1 "$work/out" | sed 's/^ready//')
}

# agree: the doctor and the program say the same; what changes between the two looks has a minute.
agree()
{
    answers=1 looks=0
    ask
    doctor "$hoard"
    while [ "$is" != "$said" ]; do
        looks=$((looks + 1))
        [ $looks -lt 600 ] || fail "the doctor says$is, the program says$said"
        sleep 0.1
        ask
        doctor "$hoard"
    done
}

case $step in
few) codes=pinned ;;
more) codes='stuck_reader disabled held_back purge_off table
    limit_near limit_hit arena_small large_share rounding damage errors' ;;
*) fail "no such step: $step" ;;
esac
for code in $codes; do
    start at "$code"
    must_be_readable
    agree
    take
    doctor "$core"
    [ "$is" = "$said" ] || fail "of the core the doctor says$is, of the process it said$said"
    "$sinter" doctor "$core" | grep -q '^(of a core: ' || fail 'what is not known is not said'
    stop
    rm -f "$core"
done
