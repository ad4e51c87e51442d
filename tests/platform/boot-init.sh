#!/bin/sh
# SPDX-License-Identifier: MIT
#
# boot-init.sh - the first process of the system that arm64.sh --boot boots: runs what lies in /bin,
# one program after the other, prints a line of each and a sum, and turns the machine off. It is
# judged by the sum. /groups has the groups of the interface's tests; part and parts, in the
# environment, say which of several machines this one is, and so what is left to the others.
#
# Seconds are the machine's: its clock counts its instructions, so that they mean the same however
# busy the machine below is.
set -u

busybox=/bin/busybox
passed=0
failed=0
number=0
part=${part:-0}
parts=${parts:-1}

# run PROGRAM [ARGUMENT...]: the hour only ends what hangs.
run()
{
    number=$((number + 1))
    [ $((number % parts)) -eq "$part" ] || return 0
    program=$1 status=0 began=$($busybox date +%s)
    shift
    $busybox timeout 3600 "/bin/$program" "$@" >/tmp/out 2>&1 || status=$?
    seconds=$(($($busybox date +%s) - began))
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
        printf 'boot: passed: %s (%d s)\n' "$program${1:+ $*}" $seconds
        case $program in
        addresses | torture_*) $busybox sed 's/^/boot:     /' /tmp/out ;;
        esac
    else
        failed=$((failed + 1))
        printf 'boot: FAILED (%d): %s (%d s)\n' $status "$program${1:+ $*}" $seconds
        $busybox tail -n 30 /tmp/out
    fi
}

# run_all PREFIX: every program whose name begins so.
run_all()
{
    for path in /bin/"$1"*; do
        run "${path##*/}"
    done
}

$busybox mount -t proc none /proc
$busybox mount -t sysfs none /sys
$busybox mount -t devtmpfs none /dev
$busybox mount -t tmpfs none /tmp
$busybox mkdir -p /dev/shm
export PATH=/bin
cd /tmp || exit
printf 'boot: %s\n' "$($busybox uname -srm)"

run addresses
run_all race_
run_all example_
run_all unit_
for group in $($busybox cat /groups); do
    run api_memb_shared "$group"
done
run torture_memb_shared --seconds 60

printf 'boot: %d passed, %d failed\n' $passed $failed
$busybox sync
$busybox poweroff -f
