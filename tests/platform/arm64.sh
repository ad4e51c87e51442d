#!/bin/sh
# SPDX-License-Identifier: MIT
#
# arm64.sh - builds the library and its tests for arm64 and runs a part of them by qemu-user:
# arm64.sh BUILD JOBS. liburcu and cmocka for arm64 are unpacked below BUILD by an apt of its own,
# so that the machine's packages stay as they are. tests/run.sh --only arm64 calls it.
#
# What qemu-user does not show: addresses above 2^47 (it keeps below), memory order (the host's).
#
# Status: 0 passed, 1 a test failed or did not compile, 77 something is missing: the reason is
# printed.
set -eu

build=$1
jobs=$2
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$build/root

# Unit tests but those that ask for the time or the machine, staged races, the interface's tests.
programs='unit_(page|size_class|budget|span|pins|heap|large|thread_cache|handle_table|reference'
programs="$programs|hardened|options)|race_(mover|mutator|cells|sections|refusals)_memb"
programs="$programs|api_memb_shared"
groups='create|alloc|handles|resize|update|pins|cells|retire|limits|compaction|walk|damage'

skip()
{
    printf 'arm64: not tested: %s\n' "$*"
    exit 77
}

# arm_apt COMMAND...: apt-get for arm64 alone, with lists and packages of its own.
arm_apt()
{
    apt-get -o Dir::State="$build/apt" -o Dir::State::status="$build/apt/status" \
        -o Dir::Cache="$build/apt" -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
        -o APT::Sandbox::User=root -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::Etc::SourceList="$build/apt/sources" "$@"
}

unpack_packages()
{
    mkdir -p "$build/apt/lists/partial" "$build/apt/archives/partial" "$build/debs"
    : >"$build/apt/status"
    # shellcheck disable=SC1091 # of the system
    printf 'deb http://deb.debian.org/debian %s main\n' "$(. /etc/os-release && echo \
        "${VERSION_CODENAME:-stable}")" >"$build/apt/sources"
    arm_apt update && cd "$build/debs" &&
        arm_apt download liburcu-dev liburcu8 libcmocka-dev libcmocka0 || return 1
    for package in *.deb; do
        dpkg-deb -x "$package" "$root"
    done
}

for tool in aarch64-linux-gnu-gcc qemu-aarch64-static apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || skip "no $tool here"
done
mkdir -p "$build"
build=$(CDPATH='' cd -- "$build" && pwd) root=$build/root
[ -f "$root/usr/include/cmocka.h" ] || (unpack_packages) >"$build/packages.log" 2>&1 ||
    skip "liburcu and cmocka for arm64 cannot be had: $(tail -n 1 "$build/packages.log")"

cmake -S "$here/../.." -B "$build" --toolchain "$here/arm64.cmake" -DSINTER_ARM64_ROOT="$root" \
    -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSINTER_TESTS=ON \
    -DCMAKE_COMPILE_WARNING_AS_ERROR=ON >"$build/configure.log"
# shellcheck disable=SC2046 # targets are words
cmake --build "$build" --parallel "$jobs" --target $(cmake --build "$build" --target help |
    sed -n 's/^[. ]*\([a-z_]*\)\(: phony\)*.*$/\1/p' | grep -xE "$programs" | sort -u)
ctest --test-dir "$build" --parallel "$jobs" --output-on-failure --no-tests=error \
    -R "^(($programs)|api_memb_shared[.]($groups))\$"
