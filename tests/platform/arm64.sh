#!/bin/sh
# SPDX-License-Identifier: MIT
#
# arm64.sh - builds the library and its tests for arm64 and runs a part of them:
#
#   arm64.sh BUILD JOBS         by qemu-user; tests/run.sh --only platforms calls it
#   arm64.sh BUILD JOBS --boot  in Debian's own arm64 kernel, booted by qemu-system-aarch64 with a
#                               system of nothing but the tests (boot-init.sh is its first process):
#                               examples, unit tests, the interface's, staged races, a minute of
#                               torture; JOBS machines, four at most. They print to BUILD/boot.*.log
#
# Of packages it needs gcc- and g++-aarch64-linux-gnu and qemu-user-static, for --boot
# qemu-system-arm and cpio. What tests need of arm64 (liburcu, cmocka, for --boot the kernel and
# busybox) is unpacked below BUILD by an apt of its own, so that the machine's packages stay as they
# are.
#
# What qemu-user does not show: addresses above 2^47 (it keeps below), memory order (the host's).
# The kernel does show addresses, and what it answers to madvise and membarrier; memory order is the
# host's there, too: for that see weak.inc in tests/model.
#
# Status: 0 passed, 1 a test failed or did not compile, 2 wrong arguments, 77 something is missing:
# the reason is printed.
set -eu

case $#:${3-} in
2: | 3:--boot) ;;
*)
    echo 'usage: arm64.sh BUILD JOBS [--boot]' >&2
    exit 2
    ;;
esac
build=$1
jobs=$2
boot=${3-}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=tests/platform/own_apt.sh
. "$here/own_apt.sh"

# Unit tests but those that ask for the time or the machine, staged races, the interface's tests.
# With --boot, which takes ten times as long, without what needs many instructions and asks nothing
# of the kernel.
programs='unit_(page|size_class|span|pins|heap|large|thread_cache|reference|hardened|options)'
races='race_(mover|mutator|cells|inner|sections|refusals)_memb'
groups='create|handles|many|update|reserve|retire|pins|cells|unlink|inner|compaction|walk|damage'
booted="$programs|unit_osmem|$races|api_memb_shared|torture_memb_shared"
booted="$booted|example_(hello|update_pin|limits|namespaces)"
programs="$programs|unit_(budget|handle_table)|$races|api_memb_shared"

skip()
{
    printf 'arm64: not tested: %s\n' "$*"
    exit 77
}

# arm_apt COMMAND...: own_apt for arm64 alone.
arm_apt()
{
    own_apt -o APT::Architecture=arm64 -o APT::Architectures=arm64 "$@"
}

# unpack PACKAGE...: below $root.
unpack()
{
    mkdir -p "$build/debs"
    begin_own_apt deb
    arm_apt update && rm -f "$build/debs"/*.deb && cd "$build/debs" && arm_apt download "$@" ||
        return 1
    for package in *.deb; do
        dpkg-deb -x "$package" "$root" || return 1
    done
}

# want FILE PACKAGE...: FILE, a pattern, is in one of them.
want()
{
    # shellcheck disable=SC2086,SC2144 # one pattern, one file
    [ -e "$root"/$1 ] || (
        shift
        unpack "$@"
    ) >"$build/packages.log" 2>&1 ||
        skip "packages for arm64 cannot be had: $(tail -n 1 "$build/packages.log")"
}

# The package of the kernel: linux-image-cloud-arm64 names the one of the day.
kernel_package()
{
    arm_apt -s install --no-install-recommends linux-image-cloud-arm64 2>/dev/null |
        sed -n 's/^Inst \(linux-image-[0-9][^ ]*\) .*/\1/p' | head -n 1
}

# The first system: busybox, the C library, liburcu and cmocka, and what was built.
make_initramfs()
{
    tree=$build/initramfs
    rm -rf "$tree"
    mkdir -p "$tree/bin" "$tree/lib" "$tree/proc" "$tree/sys" "$tree/dev" "$tree/tmp"
    cp "$root/bin/busybox" "$here/boot-init.sh" "$tree/bin"
    chmod 755 "$tree/bin/boot-init.sh"
    echo "$groups" | tr '|' ' ' >"$tree/groups"
    ln -s bin/boot-init.sh "$tree/init"
    ln -s busybox "$tree/bin/sh"
    aarch64-linux-gnu-gcc -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror \
        "-I$here/../../include" -isystem "$root/usr/include" \
        -isystem "$root/usr/include/aarch64-linux-gnu" -o "$tree/bin/addresses" \
        "$here/addresses.c" "-L$build" "-L$root/usr/lib/aarch64-linux-gnu" -lsinter -lurcu \
        "-Wl,-rpath-link,$root/usr/lib/aarch64-linux-gnu"
    find "$build" -path "$tree" -prune -o -type f -perm -u+x -print |
        grep -E "/($booted)\$" | while IFS= read -r program; do
        cp "$program" "$tree/bin"
    done
    for library in ld-linux-aarch64.so.1 libc.so.6 libm.so.6 libgcc_s.so.1; do
        cp -L "/usr/aarch64-linux-gnu/lib/$library" "$tree/lib"
    done
    cp -L "$root"/usr/lib/aarch64-linux-gnu/lib*.so.[0-9] "$build"/lib*.so.[0-9]*.[0-9]* "$tree/lib"
    aarch64-linux-gnu-strip "$tree"/bin/[!b]* "$tree"/lib/lib*.so.* 2>/dev/null || true
    (cd "$tree" && find . | cpio --quiet -o -H newc) >"$build/initramfs.cpio"
}

# end_machines STATUS: of a script that is told to end.
end_machines()
{
    # shellcheck disable=SC2086 # processes
    kill $machines 2>/dev/null || true
    exit "$1"
}

# start_machine PART: it has two processors, which take turns on one of this machine. Their clock is
# the count of their instructions, 32 ns each, and skips what both would sleep: so no time in there
# depends on the load out here. What the kernel does not know of its arguments is in the environment
# of the first process.
start_machine()
{
    log=$build/boot.$1.log
    : >"$log"
    timeout --foreground 14400 qemu-system-aarch64 -M virt -cpu neoverse-n1 \
        -accel tcg,thread=single -icount shift=5,sleep=off -rtc clock=vm -smp 2 -m 2048 \
        -nographic -no-reboot -nic none \
        -append "console=ttyAMA0 panic=-1 mitigations=off part=$1 parts=$parts" \
        -kernel "$(find "$root/boot" -name 'vmlinuz-*' | sort | tail -n 1)" \
        -initrd "$build/initramfs.cpio" </dev/null >"$log" 2>&1 &
    machines="$machines $!"
    tail -n +1 -f --pid=$! "$log" | sed -un 's/\r$//; /^boot: /p' &
}

# As many machines as there are jobs, 4 at most, each with its part of the programs. The shell sees
# to signals only while it waits for a job.
run_boot()
{
    make_initramfs
    parts=$((jobs < 4 ? jobs : 4)) part=0 machines=
    rm -f "$build"/boot.*.log
    printf 'arm64: booting; what is printed is in %s\n' "$build/boot.*.log"
    trap 'end_machines 130' INT
    trap 'end_machines 143' TERM
    while [ $part -lt $parts ]; do
        start_machine $part
        part=$((part + 1))
    done
    wait
    trap - INT TERM
    sed -n 's/\r$//; s/^boot: \([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$build"/boot.*.log |
        awk -v parts=$parts '{ passed += $1; failed += $2; machines++ }
            END { printf "arm64: %d passed, %d failed, %d of %d machines to their ends\n",
                passed, failed, machines, parts
                exit !(passed > 0 && failed == 0 && machines == parts) }'
}

# The program sinter, as built here, reads a core of arm64.
read_core()
{
    emulator="qemu-aarch64-static -L /usr/aarch64-linux-gnu"
    emulator="$emulator -E LD_LIBRARY_PATH=$root/usr/lib/aarch64-linux-gnu:$build"
    status=0
    sh "$here/../insight/readers_arm64.sh" "$emulator $build/src/tools/sinter" "$emulator" \
        "$build/tests/insight/insight_stuck_memb" || status=$?
    [ $status -eq 0 ] || [ $status -eq 77 ]
}

for tool in aarch64-linux-gnu-gcc aarch64-linux-gnu-g++ apt-get dpkg-deb \
    ${boot:+qemu-system-aarch64 cpio timeout} ${boot:-qemu-aarch64-static}; do
    [ "$tool" = --boot ] || command -v "$tool" >/dev/null || skip "no $tool here"
done
mkdir -p "$build"
build=$(CDPATH='' cd -- "$build" && pwd) root=$build/root
want usr/include/cmocka.h liburcu-dev liburcu8 libcmocka-dev libcmocka0
if [ "$boot" ]; then
    want bin/busybox busybox-static
    set -- "$root"/boot/vmlinuz-*
    [ -e "$1" ] || want 'boot/vmlinuz-*' "$(kernel_package)"
    programs=$booted
else
    programs="$programs|sinter_program|insight_stuck_memb" # for read_core
fi

cmake -S "$here/../.." -B "$build" --toolchain "$here/arm64.cmake" -DSINTER_ARM64_ROOT="$root" \
    -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSINTER_TESTS=ON -DSINTER_TOOLS=ON \
    ${boot:+-DSINTER_EXAMPLES=ON} -DCMAKE_COMPILE_WARNING_AS_ERROR=ON >"$build/configure.log"
# shellcheck disable=SC2046 # targets are words
cmake --build "$build" --parallel "$jobs" --target $(cmake --build "$build" --target help |
    sed -n 's/^[. ]*\([a-z_]*\)\(: phony\)*.*$/\1/p' | grep -xE "$programs" | sort -u)
if [ "$boot" ]; then
    run_boot
else
    ctest --test-dir "$build" --parallel "$jobs" --output-on-failure --no-tests=error \
        -R "^(($programs)|api_memb_shared[.]($groups|alloc|resize|limits))\$"
    read_core
fi
