#!/bin/sh
# SPDX-License-Identifier: MIT
#
# boot-init.sh - the first process of the system that arm64.sh --boot boots: runs what lies in /bin,
# one program after the other, prints a line of each and a sum, and turns the machine off. It is
# judged by the sum.
set -u

busybox=/bin/busybox
passed=0
failed=0

# run SECONDS PROGRAM [ARGUMENT...]: the seconds only end what hangs.
run()
{
    seconds=$1 program=$2 status=0
    shift 2
    $busybox timeout "$seconds" "/bin/$program" "$@" >/tmp/out 2>&1 || status=$?
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
        printf 'boot: passed: %s\n' "$program $*"
    else
        failed=$((failed + 1))
        printf 'boot: FAILED (%d): %s\n' $status "$program $*"
        $busybox tail -n 30 /tmp/out
    fi
}

$busybox mount -t proc none /proc
$busybox mount -t sysfs none /sys
$busybox mount -t devtmpfs none /dev
$busybox mount -t tmpfs none /tmp
$busybox mkdir -p /dev/shm
export PATH=/bin
cd /tmp || exit
printf 'boot: %s\n' "$($busybox uname -srm)"

run 300 addresses
$busybox sed 's/^/boot:     /' /tmp/out
for program in /bin/unit_*; do
    run 900 "${program##*/}"
done
for program in /bin/example_*; do
    run 900 "${program##*/}"
done
run 1800 torture_memb_shared --seconds 60
for group in create alloc handles resize update pins cells retire limits compaction walk damage; do
    run 900 api_memb_shared $group
done

printf 'boot: %d passed, %d failed\n' $passed $failed
$busybox sync
$busybox poweroff -f
