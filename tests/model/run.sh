#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh - exhausts the models of the move protocol, then shows that each seeded bug is found. What
# a model says, and which bugs it can be built with, stands at its head. Needs spin and gcc; by tcc,
# where that is installed, small searches, whose time is nearly all gcc's, take a fifth of it.
#
# A model is good when its whole state space was searched (exact states, no bitstate hashing) and
# no assertion failed, nobody stood still for ever. A bug is found when an assertion fails.
set -u

usage()
{
    cat <<END
usage: tests/model/run.sh [--full] [--only NAME] [--memory MIB] [--keep DIR] [--help]

  --full        larger state spaces, 10^7 states and more (default: small ones, about a minute)
  --only NAME   one model: move, pin, update, cell, inner, drain, fence, walk, tail,
                each, open, retire, order (default: all)
  --memory MIB  limit of one search, 300 to 1000000; one that needs more fails
                (default: 3000, with --full 8000)
  --keep DIR    build below DIR, which must not exist, and leave it: for a failed run it holds
                the trail, which spin -t -p -k plays back (default: a temporary directory)

Status: 0 all good, 1 a model failed or a bug was not found, 2 it could not run.
END
}

die()
{
    printf 'run.sh: error: %s\n' "$*" >&2
    exit 2
}

# What is exhausted: form, model, sizes. The short form leaves something of everything in.
searches()
{
    cat <<END
short  move      -DREADERS=1 -DWRITERS=1 -DFREERS=1
short  move      -DWRITERS=1 -DRESIZERS=1 -DBATCHES=2
short  move      -DCHURN=2 -DBATCHES=2 -DCANCEL
short  move      -DREADERS=1 -DFREERS=2 -DCHURN=1 -DBATCHES=0
short  pin       -DPINNERS=1 -DFREERS=1 -DREUSE=1
short  pin       -DPINNERS=2 -DFREERS=1 -DREADERS=1 -DBATCHES=0
short  pin       -DWRITE_PINNERS=1 -DRESIZERS=1 -DCANCEL
short  pin       -DPINNERS=1 -DSOLE_FREERS=1 -DREUSE=1
short  update    -DUPDATERS=1 -DREADERS=1 -DCANCEL
short  update    -DUPDATERS=1 -DFREERS=1
short  update    -DUPDATERS=2 -DROUNDS=2 -DSLOTS=3 -DBATCHES=0
short  update    -DUPDATERS=2 -DRESIZERS=1 -DBATCHES=0
short  update    -DUPDATERS=1 -DRESIZERS=1
short  cell      -DOPS=2
short  cell      -DOPS=1 -DBATCHES=2 -DCANCEL
short  cell      -DOPS=1 -DREADERS=1
short  cell      -DOPS=1 -DPINNERS=1
short  cell      -DOPS=1 -DWALKERS=1
short  cell      -DOPS=1 -DWRITERS=1
short  cell      -DPUBLISH -DOPS=2
short  cell      -DPUBLISH -DOPS=1 -DREADERS=1
short  cell      -DUNLINK -DOPS=2
short  cell      -DUNLINK -DBOTH -DOPS=1
short  cell      -DUNLINK -DOPS=1 -DREADERS=1
short  cell      -DUNLINK -DOPS=1 -DWRITERS=1
short  drain     -DOPS=4
short  drain     -DOPS=3 -DDRAINERS=2
short  drain     -DOPS=2 -DWALKS=1
short  drain     -DOPS=3 -DNO_MEMBARRIER
short  fence     -DPINNERS=2
short  fence     -DPINNERS=2 -DPREMADE
short  fence     -DPINNERS=2 -DFENCE -DBUG_60
short  walk      -DOWNERS=2
short  walk      -DHARDENED -DOPS=3 -DWALKS=2
short  walk      -DOWNERS=2 -DLARGE
short  walk      -DOWNERS=2 -DLARGE -DNO_MEMBARRIER
short  walk      -DHARDENED -DNO_MEMBARRIER
short  tail      -DREADERS=1 -DPINNERS=1
short  tail      -DREADERS=2 -DPINNERS=0 -DRESIZES=3
short  each      -DBATCHES=2
short  each      -DWRITERS=1 -DCANCEL
short  drain     -DOPS=2 -DWEAK
short  drain     -DOPS=2 -DWEAK -DNO_MEMBARRIER
short  fence     -DPINNERS=1 -DWEAK
short  fence     -DPINNERS=1 -DWEAK -DPREMADE
short  walk      -DHARDENED -DWEAK
short  walk      -DLARGE -DWEAK -DNO_MEMBARRIER
short  order     -DCALL
short  order     -DCALL -DNO_MEMBARRIER
short  order     -DCALL -DSPARE -DNO_MEMBARRIER
short  order     -DWORK
short  order     -DWORK -DNO_MEMBARRIER
short  order     -DPASS
short  order     -DLIMBO
short  order     -DWAKE
short  order     -DCANARY
full   move      -DREADERS=1 -DWRITERS=1 -DFREERS=1 -DRESIZERS=1
full   move      -DREADERS=1 -DWRITERS=1 -DFREERS=1 -DBATCHES=2 -DCANCEL
full   move      -DREADERS=1 -DFREERS=1 -DCHURN=2
full   move      -DWRITERS=2 -DROUNDS=2 -DFREERS=1 -DBATCHES=2
full   pin       -DPINNERS=2 -DFREERS=1 -DREUSE=1
full   pin       -DPINNERS=1 -DWRITE_PINNERS=1 -DRESIZERS=1 -DBATCHES=2 -DCANCEL
full   pin       -DPINNERS=2 -DSOLE_FREERS=1 -DREUSE=1 -DBATCHES=2
full   pin       -DPINNERS=1 -DREADERS=1 -DFREERS=1 -DREUSE=1
full   update    -DUPDATERS=2
full   update    -DUPDATERS=1 -DRESIZERS=2 -DFREERS=1
full   update    -DUPDATERS=1 -DREADERS=1 -DFREERS=1 -DBATCHES=2
full   update    -DUPDATERS=2 -DROUNDS=2 -DSLOTS=3
full   cell      -DOPS=4
full   cell      -DOPS=3 -DBATCHES=2 -DCANCEL
full   cell      -DOPS=2 -DREADERS=1
full   cell      -DOPS=2 -DPINNERS=1
full   cell      -DOPS=2 -DWALKERS=1
full   cell      -DOPS=2 -DWRITERS=1
full   cell      -DPUBLISH -DOPS=3 -DBATCHES=2
full   cell      -DPUBLISH -DOPS=2 -DREADERS=1
full   cell      -DPUBLISH -DOPS=2 -DPINNERS=1
full   cell      -DPUBLISH -DOPS=1 -DWALKERS=1
full   cell      -DUNLINK -DOPS=3
full   cell      -DUNLINK -DBOTH -DOPS=2
full   cell      -DUNLINK -DPUBLISH -DBOTH -DOPS=1 -DREADERS=1
full   cell      -DUNLINK -DBOTH -DOPS=1 -DWRITERS=1
full   cell      -DUNLINK -DBOTH -DOPS=1 -DPINNERS=1
full   cell      -DUNLINK -DBOTH -DOPS=1 -DREADERS=2
full   cell      -DUNLINK -DOPS=1 -DWALKERS=1
full   cell      -DUNLINK -DOPS=1 -DBATCHES=2 -DCANCEL
full   drain     -DOPS=3 -DWEAK
full   drain     -DOPS=3 -DWEAK -DNO_MEMBARRIER
full   drain     -DOPS=2 -DDRAINERS=2 -DWEAK
full   fence     -DPINNERS=2 -DWEAK
full   walk      -DOPS=1 -DLARGE -DOWNERS=2 -DWEAK
full   order     -DROUNDS=3 -DCALL -DNO_MEMBARRIER
full   order     -DROUNDS=3 -DWORK -DNO_MEMBARRIER
full   drain     -DOPS=2 -DOWNERS=2
full   drain     -DOPS=3 -DWALKS=1 -DDRAINS=2
full   drain     -DOPS=3 -DWALKS=1 -DNO_MEMBARRIER
full   drain     -DOPS=5 -DDRAINERS=2 -DDRAINS=2
full   drain     -DOPS=6 -DDRAINS=3 -DNO_MEMBARRIER
full   fence     -DPINNERS=3
full   tail      -DREADERS=1 -DPINNERS=2 -DRESIZES=3 -DROUNDS=3
short  inner     -DOPS=0 -DPSLOTS=3 -DBATCHES=3 -DWRITERS=1
short  inner     -DOPS=1 -DBATCHES=2 -DGROW -DPSLOTS=3
short  inner     -DOPS=1 -DSLICES -DGROW -DPSLOTS=3
short  inner     -DOPS=1 -DPINNERS=1
short  inner     -DSTILL -DOPS=2 -DWALKERS=1
short  inner     -DNESTED -DUNLINK -DOPS=1
short  inner     -DPLAIN -DOPS=1
short  inner     -DRESERVE -DOPS=1 -DCSLOTS=3
short  retire    -DREADERS=2
short  retire    -DFREERS=1
short  retire    -DRETIRERS=2 -DFREERS=1 -DBATCHES=0
short  open      -DREADERS=2
short  open      -DUSERS=2 -DROUNDS=2
full   open      -DSLOTS=3 -DREADERS=2 -DROUNDS=2
full   each      -DFREERS=1
full   inner     -DOPS=1 -DPSLOTS=3 -DBATCHES=3
full   inner     -DOPS=1 -DWALKERS=1 -DGROW -DPSLOTS=3
full   inner     -DOPS=2 -DFREE_NOW -DGROW -DPSLOTS=3
full   inner     -DOPS=1 -DREADERS=1 -DGROW -DPSLOTS=3
full   inner     -DOPS=1 -DWRITERS=1 -DGROW -DPSLOTS=3
full   inner     -DOPS=1 -DWRITERS=1 -DSLICES
full   inner     -DOPS=1 -DREADERS=1 -DSLICES
full   inner     -DOPS=2 -DGROW -DREPLACE -DPSLOTS=3
full   inner     -DOPS=1 -DCELLS=2 -DREADERS=1
full   inner     -DOPS=1 -DPINNERS=1 -DGROW -DREPLACE -DPSLOTS=3
full   inner     -DOPS=1 -DBATCHES=2 -DREADERS=1
full   inner     -DOPS=1 -DCELLS=2 -DWRITERS=1
full   inner     -DOPS=1 -DBATCHES=2 -DWRITERS=1
full   inner     -DOPS=2 -DREADERS=1
full   inner     -DOPS=2 -DWRITERS=1
full   inner     -DOPS=2 -DPINNERS=1
full   inner     -DOPS=2 -DWALKERS=1 -DGROW
full   inner     -DOPS=2 -DCELLS=2 -DCSLOTS=3 -DGROW
full   inner     -DOPS=1 -DCELLS=2 -DCSLOTS=3 -DWRITERS=1
full   inner     -DSTILL -DOPS=2 -DWRITERS=1
full   inner     -DNESTED -DOPS=1 -DBATCHES=2
full   inner     -DNESTED -DOPS=1 -DWRITERS=1
full   inner     -DNESTED -DOPS=1 -DPINNERS=1
full   inner     -DNESTED -DGROW -DREPLACE -DOPS=1 -DWALKERS=1
full   inner     -DNESTED -DGROW -DOPS=2 -DPSLOTS=5
full   inner     -DNESTED -DUNLINK -DOPS=2
full   inner     -DNESTED -DUNLINK -DOPS=1 -DREADERS=1
full   inner     -DNESTED -DUNLINK -DOPS=1 -DWRITERS=1
full   inner     -DNESTED -DUNLINK -DOPS=1 -DPINNERS=1
full   inner     -DNESTED -DUNLINK -DOPS=1 -DWALKERS=1
full   inner     -DPLAIN -DOPS=1 -DGROW -DPSLOTS=3 -DBATCHES=2
full   inner     -DPLAIN -DOPS=2
full   inner     -DRESERVE -DPLAIN -DOPS=1 -DPSLOTS=3 -DCSLOTS=3
full   inner     -DRESERVE -DOPS=1 -DREADERS=1 -DCSLOTS=3
full   inner     -DRESERVE -DOPS=1 -DWRITERS=1 -DCSLOTS=3
full   retire    -DRETIRERS=2 -DFREERS=2 -DREADERS=1
full   retire    -DREADERS=2 -DFREERS=1 -DBATCHES=2
full   walk      -DOWNERS=2 -DOPS=3
full   walk      -DOWNERS=2 -DHARDENED -DWALKS=2
full   walk      -DOWNERS=2 -DLARGE -DOPS=3 -DWALKS=2
full   walk      -DOWNERS=2 -DOPS=3 -DNO_MEMBARRIER
END
}

# Where each bug shows: model, number, sizes.
bugs()
{
    cat <<END
move      1   -DWRITERS=1
move      2   -DREADERS=1
move      3   -DWRITERS=1
move      6   -DWRITERS=1
move      7   -DWRITERS=1 -DBATCHES=2
move      10  -DCHURN=1
move      11  -DCHURN=1
move      12  -DRESIZERS=1 -DFREERS=1 -DBATCHES=0
move      13  -DRESIZERS=1 -DREADERS=1
move      14  -DWRITERS=1
move      15  -DFREERS=1 -DREADERS=1 -DCHURN=1 -DBATCHES=0
pin       5   -DPINNERS=1
pin       20  -DPINNERS=1
pin       21  -DPINNERS=1 -DFREERS=1 -DBATCHES=0
pin       22  -DPINNERS=2 -DFREERS=1 -DBATCHES=0
pin       23  -DPINNERS=1 -DFREERS=1 -DBATCHES=0
pin       24  -DPINNERS=2 -DFREERS=1 -DBATCHES=0
pin       25  -DWRITE_PINNERS=1 -DBATCHES=0
pin       26  -DWRITE_PINNERS=1 -DRESIZERS=1 -DBATCHES=0
pin       27  -DPINNERS=1 -DSOLE_FREERS=1 -DBATCHES=0
pin       28  -DPINNERS=1 -DFREERS=1 -DREADERS=1 -DBATCHES=0
update    30  -DUPDATERS=2 -DROUNDS=2 -DSLOTS=3 -DBATCHES=0
update    31  -DUPDATERS=1 -DFREERS=1 -DBATCHES=0
update    32  -DUPDATERS=2 -DBATCHES=0
update    33  -DUPDATERS=1 -DFREERS=1 -DBATCHES=0
update    34  -DUPDATERS=1 -DRESIZERS=1 -DBATCHES=0
cell      4   -DOPS=1
cell      8   -DOPS=1 -DWALKERS=1
cell      9   -DOPS=1
cell      40  -DOPS=1
cell      41  -DOPS=1
cell      42  -DOPS=1
cell      43  -DOPS=3
cell      44  -DOPS=1
cell      45  -DOPS=1 -DPINNERS=1
cell      46  -DOPS=3
cell      47  -DOPS=1
cell      48  -DOPS=1 -DWALKERS=1
cell      49  -DOPS=1 -DWALKERS=1
cell      90  -DOPS=1 -DWRITERS=1
cell      91  -DOPS=1 -DWRITERS=1
cell      92  -DOPS=1 -DWALKERS=1
cell      93  -DOPS=1 -DWALKERS=1
cell      94  -DOPS=4 -DBATCHES=0
cell      95  -DPUBLISH -DOPS=1
cell      96  -DPUBLISH -DOPS=1 -DWALKERS=1
cell      97  -DPUBLISH -DOPS=1 -DREADERS=1
cell      98  -DPUBLISH -DOPS=1 -DREADERS=1
cell      99  -DOPS=1
cell      140 -DUNLINK -DOPS=1 -DWRITERS=1
cell      141 -DUNLINK -DBOTH -DOPS=1 -DREADERS=1
cell      142 -DUNLINK -DOPS=1 -DREADERS=1
cell      143 -DUNLINK -DOPS=1 -DREADERS=1
cell      144 -DUNLINK -DOPS=1
cell      145 -DUNLINK -DOPS=1 -DPINNERS=1
cell      146 -DUNLINK -DOPS=1 -DWRITERS=1
cell      147 -DUNLINK -DOPS=1
cell      148 -DUNLINK -DOPS=1 -DREADERS=1
cell      149 -DUNLINK -DOPS=1
inner     150 -DOPS=0 -DWRITERS=1
inner     151 -DOPS=1 -DREADERS=1
inner     152 -DOPS=1
inner     153 -DOPS=1
inner     155 -DOPS=1
inner     156 -DOPS=1
inner     157 -DOPS=1
inner     158 -DOPS=1 -DPINNERS=1
inner     159 -DOPS=1
inner     160 -DGROW -DOPS=1
inner     161 -DOPS=1
inner     162 -DSTILL -DOPS=1 -DWRITERS=1
inner     163 -DOPS=0 -DWRITERS=1
inner     164 -DGROW -DPSLOTS=3 -DOPS=1
inner     165 -DNESTED -DUNLINK -DOPS=1 -DREADERS=1
inner     166 -DPLAIN -DOPS=1
inner     167 -DRESERVE -DOPS=1
inner     168 -DRESERVE -DOPS=1 -DCSLOTS=3
inner     169 -DRESERVE -DOPS=1
drain     50  -DOPS=3
drain     51  -DOPS=3
drain     52  -DOPS=3
drain     53  -DOPS=3 -DDRAINERS=2
drain     54  -DOPS=3
drain     55  -DOPS=3
drain     56  -DOPS=3
drain     57  -DOPS=2 -DWALKS=1
drain     50  -DOPS=3 -DWEAK
drain     58  -DOPS=3 -DWEAK
drain     59  -DOPS=3 -DWEAK
fence     60  -DPINNERS=1
fence     61  -DPINNERS=1
fence     63  -DPINNERS=2 -DPREMADE
fence     60  -DPINNERS=1 -DWEAK
fence     64  -DPINNERS=1 -DWEAK
walk      80  -DHARDENED
walk      81  -DHARDENED
walk      82  -DOWNERS=2 -DLARGE
walk      83  -DHARDENED
walk      84  -DOWNERS=2
walk      85  -DOWNERS=1
walk      86  -DOWNERS=2 -DLARGE
walk      87  -DOWNERS=2 -DLARGE
walk      88  -DOWNERS=2 -DLARGE -DNO_MEMBARRIER
walk      80  -DHARDENED -DWEAK
tail      100 -DPINNERS=0
tail      101 -DREADERS=0
tail      102 -DPINNERS=0
tail      103 -DREADERS=0 -DPINNERS=0
tail      104 -DREADERS=0
tail      105 -DPINNERS=0 -DRESIZES=3
each      110 -DBATCHES=1
each      111 -DBATCHES=1
each      112 -DBATCHES=1
each      113 -DBATCHES=1
each      114 -DBATCHES=1
each      115 -DBATCHES=1
retire    130 -DBATCHES=0
retire    131 -DBATCHES=0
retire    132 -DFREERS=1 -DBATCHES=0
retire    133 -DBATCHES=0
retire    134
open      120 -DUSERS=1
open      121 -DUSERS=1
open      122 -DUSERS=1
open      123 -DUSERS=2
open      124 -DUSERS=1
order     170 -DCALL -DNO_MEMBARRIER
order     170 -DCALL -DSPARE -DNO_MEMBARRIER
order     171 -DCALL -DNO_MEMBARRIER
order     171 -DCALL -DSPARE -DNO_MEMBARRIER
order     172 -DWORK
order     173 -DWORK
order     174 -DWORK -DNO_MEMBARRIER
order     175 -DWORK
order     176 -DPASS
order     177 -DPASS
order     178 -DLIMBO
order     179 -DLIMBO
order     180 -DWAKE
order     181 -DWAKE
order     182 -DCANARY
order     183 -DCANARY
END
}

# compile: a large search repays the time that gcc's optimiser takes, a small one not even gcc's.
compile()
{
    set -- -w -DSAFETY -DCOLLAPSE -DVECTORSZ=512 "-DMEMLIM=$memory" -o pan pan.c
    if [ $optimise = yes ]; then
        gcc -O2 "$@"
    else
        tcc "$@" || gcc -O0 "$@"
    fi
}

# search NAME MODEL ARGUMENT...: builds the verifier in a directory of its own and runs it; what it
# said is in $said. ARGUMENT: what spin is to define.
search()
{
    dir=$work/$1
    said=$dir/said
    model=$2
    shift 2
    mkdir "$dir" || exit 2
    (
        cd "$dir" || exit 2
        spin -a "$@" "$here/$model.pml" >said 2>&1 || exit 2
        compile >said 2>&1 || exit 2
        ./pan -m100000 -w20 >said 2>&1
        true
    ) || {
        printf 'run.sh: error: %s %s does not build:\n' "$model" "$*" >&2
        cat "$said" >&2
        failed=$((failed + 1))
        return 1
    }
    states=$(awk '/states, stored/ { printf "%.0f", $1; exit }' "$said")
    [ -n "$keep" ] || rm -f "$dir"/pan*
}

# Whether the search went to the end without an error.
exhausted()
{
    grep -q 'errors: 0$' "$said" && grep -q 'Full statespace search' "$said" &&
        ! grep -qE 'not completed|too small|out of memory|reached -DMEMLIM|interrupted' "$said"
}

found()
{
    grep -q 'errors: 1$' "$said" && grep -q 'assertion violated' "$said"
}

complain()
{
    printf 'FAILED: %s\n' "$1"
    grep -E '^pan:|^error|errors:|invalid end state' "$said" | sed 's/^/        /'
    failed=$((failed + 1))
}

form=short
only=
memory=
keep=
while [ $# -gt 0 ]; do
    case $1 in
    --help)
        usage
        exit 0
        ;;
    --full) form=full ;;
    --only | --memory | --keep)
        [ $# -ge 2 ] || die "option $1 needs a value"
        case $1 in
        --only) only=$2 ;;
        --memory) memory=$2 ;;
        --keep) keep=$2 ;;
        esac
        shift
        ;;
    *) die "unknown option '$1' (see --help)" ;;
    esac
    shift
done
case $only in
'' | move | pin | update | cell | inner | drain | fence | walk | tail | each | open) ;;
retire | order) ;;
*)
    die "--only '$only': one of move, pin, update, cell, inner, drain, fence, walk," \
        "tail, each, open, retire, order is needed"
    ;;
esac
case $memory in
'') if [ $form = full ]; then memory=8000; else memory=3000; fi ;;
*[!0-9]* | ????????*) die "--memory '$memory': a number from 300 to 1000000 (MiB) is needed" ;;
esac
if [ "$memory" -lt 300 ] || [ "$memory" -gt 1000000 ]; then
    die "--memory '$memory': a number from 300 to 1000000 (MiB) is needed"
fi
for tool in spin gcc awk; do
    command -v $tool >/dev/null 2>&1 || die "$tool is not installed"
done

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
if [ -n "$keep" ]; then
    mkdir "$keep" || die "--keep '$keep': cannot be made, or exists"
    work=$(CDPATH='' cd -- "$keep" && pwd)
else
    work=$(mktemp -d) || exit 2
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
fi
failed=0
count=0
if [ $form = full ]; then optimise=yes; else optimise=no; fi
searches >"$work/searches"
bugs >"$work/bugs"
: >"$work/totals"

while read -r its_form model sizes; do
    [ "$its_form" = $form ] || continue
    [ "${only:-$model}" = "$model" ] || continue
    count=$((count + 1))
    # shellcheck disable=SC2086 # the sizes are words
    search "search$count" "$model" $sizes </dev/null || continue
    if exhausted; then
        printf 'good   %-9s %10s states  %s\n' "$model" "$states" "$sizes"
        printf '%s %s\n' "$model" "$states" >>"$work/totals"
    else
        complain "$model $sizes: errors, or the search did not end"
    fi
done <"$work/searches"

optimise=no
while read -r model bug sizes; do
    [ "${only:-$model}" = "$model" ] || continue
    count=$((count + 1))
    # shellcheck disable=SC2086 # the sizes are words
    search "bug$bug-$count" "$model" "-DBUG_$bug" $sizes </dev/null || continue
    if found; then
        printf 'found  %-9s %10s states  BUG_%s %s\n' "$model" "$states" "$bug" "$sizes"
    else
        complain "$model BUG_$bug $sizes: the bug was not found"
    fi
done <"$work/bugs"

awk '{ sum[$1] += $2; all += $2 }
     END { for (model in sum) printf "%-9s %10.0f states\n", model, sum[model] | "sort"
           close("sort"); printf "%-9s %10.0f states, no errors in them\n", "all", all }' \
    "$work/totals"
if [ $failed -gt 0 ]; then
    printf '%d of %d searches failed\n' $failed $count
    exit 1
fi
printf 'all %d searches as they should be\n' $count
