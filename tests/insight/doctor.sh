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

# says TARGET: the codes that the program has said.
says()
{
    "$sinter" doctor "$1" --json >"$work/doctor"
    is=$(sed -n 's/.*"code":"\([a-z_]*\)".*/ \1/p' "$work/doctor" | tr -d '\n')
    said=$(sed 's/^ready//' "$work/out")
    [ "$is" = "$said" ] || fail "of $1 the doctor says$is, the program says$said"
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
    says "$hoard"
    take
    says "$core"
    "$sinter" doctor "$core" | grep -q '^(of a core: ' || fail 'what is not known is not said'
    stop
    rm -f "$core"
done
