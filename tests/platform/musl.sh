#!/bin/sh
# SPDX-License-Identifier: MIT
#
# musl.sh - builds the library and its tests with musl instead of glibc, and runs a part of them:
# musl.sh BUILD JOBS. liburcu and cmocka are built with musl-gcc below BUILD, from the sources that
# Debian has; an apt of its own gets them, so that the machine's lists stay as they are.
# tests/run.sh --only platforms calls it.
#
# Seen failing: with the kinds of mutex and the cache's size that only glibc knows; without a C++
# compiler, which musl has none of, while tests/api did not ask whether there is one.
#
# Status: 0 passed, 1 a test failed or something did not compile, 77 something is missing: the
# reason is printed.
set -eu

build=$1
jobs=$2
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=tests/platform/own_apt.sh
. "$here/own_apt.sh"

# The libraries and programs that can be built; unit tests and the interface's, with one flavour.
parts='sinter_cache|sinter_program|sinterd'
programs='unit_[a-z_]*|api_memb_shared'
other_flavours='unit_rcu_(mb|qsbr|bp)'

skip()
{
    printf 'musl: not tested: %s\n' "$*"
    exit 77
}

get_sources()
{
    mkdir -p "$build/liburcu" "$build/cmocka"
    begin_own_apt deb-src
    own_apt update && cd "$build/apt" && own_apt source --download-only liburcu cmocka || return 1
    for package in liburcu cmocka; do
        rm -f "$package"_*.asc
        tar -C "$build/$package" --strip-components 1 -xf "$package"_*.orig.tar.* || return 1
    done
}

# The kernel's headers, without glibc's beside them.
link_kernel_headers()
{
    mkdir -p "$build/kernel"
    for directory in linux asm-generic asm; do
        found=$(echo '#include <'$directory/types.h'>' | cc -E -M -x c - | tr ' ' '\n' |
            sed -n "s,/types.h\$,,;/\\/$directory\$/p" | head -n 1)
        ln -sfn "$found" "$build/kernel/$directory"
    done
}

build_liburcu()
{
    cd "$build/liburcu" &&
        ./configure --quiet --prefix="$root" CC="$compiler" CFLAGS="-O2 -isystem $build/kernel" &&
        make -j "$jobs" SUBDIRS='include src' install
}

build_cmocka()
{
    cmake -S "$build/cmocka" -B "$build/cmocka/build" -DCMAKE_C_COMPILER="$compiler" \
        -DCMAKE_INSTALL_PREFIX="$root" -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_BUILD_TYPE=Release \
        -DWITH_EXAMPLES=OFF && cmake --build "$build/cmocka/build" --target install
}

compiler=$(command -v musl-gcc) || skip 'no musl-gcc here'
command -v apt-get >/dev/null || skip 'no apt-get here'
mkdir -p "$build"
build=$(CDPATH='' cd -- "$build" && pwd)
root=$build/root
[ -f "$root/include/cmocka.h" ] || {
    (get_sources) >"$build/sources.log" 2>&1 ||
        skip "the sources of liburcu and cmocka cannot be had: $(tail -n 1 "$build/sources.log")"
    link_kernel_headers
    (build_liburcu && build_cmocka) >"$build/packages.log" 2>&1 || {
        printf 'musl: liburcu or cmocka cannot be built: see %s\n' "$build/packages.log" >&2
        exit 1
    }
}

export PKG_CONFIG_LIBDIR="$root/lib/pkgconfig" LD_LIBRARY_PATH="$root/lib"
cmake -S "$here/../.." -B "$build/sinter" -DCMAKE_C_COMPILER="$compiler" -DCMAKE_CXX_COMPILER=OFF \
    -DCMAKE_C_FLAGS="-isystem $build/kernel" -DSINTER_URCU_INCLUDE_DIR="$root/include" \
    -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSINTER_TESTS=ON -DSINTER_TOOLS=ON -DSINTER_SERVER=ON \
    -DCMAKE_COMPILE_WARNING_AS_ERROR=ON >"$build/configure.log"
# shellcheck disable=SC2046 # targets are words
cmake --build "$build/sinter" --parallel "$jobs" --target $(
    cmake --build "$build/sinter" --target help |
        sed -n 's/^[. ]*\([a-z_]*\)\(: phony\)*.*$/\1/p' | grep -xE "$parts|$programs" |
        grep -vxE "$other_flavours" | sort -u)
ctest --test-dir "$build/sinter" --parallel "$jobs" --output-on-failure --no-tests=error \
    -LE '^(long|more)$' -R "^($programs)([.]|\$)" -E "^$other_flavours\$"
