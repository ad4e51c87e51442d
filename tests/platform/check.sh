#!/bin/sh
# SPDX-License-Identifier: MIT
#
# One step of the platform tests: check.sh STEP, one of those at its end. ctest calls it; the
# SINTER_* variables that it reads are set in CMakeLists.txt. Status 77: what the step needs is not
# there.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

fail()
{
    printf 'platform: %s\n' "$*" >&2
    exit 1
}

skip()
{
    printf 'platform: not tested: %s\n' "$*"
    exit 77
}

# compile FILE FLAG...: with the stubs of liburcu's headers in the place of the installed ones.
compile()
{
    file=$1
    shift
    "$SINTER_CC" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -isystem "$here" \
        "-I$SINTER_SOURCE/include" "-I$SINTER_SOURCE/src" "-I$SINTER_SOURCE" "$@" "$file"
}

# Every file of the libraries, with urcu/flavor.h as liburcu has it since 0.14: it uses bool, and
# does not include <stdbool.h>. (The server uses all of a flavour, which no stub has: see --urcu of
# tests/run.sh.)
# Seen failing: without <stdbool.h> in src/rcu/rcu.h.
step_library()
{
    count=0
    find "$SINTER_SOURCE/src" "$SINTER_SOURCE/defrag" -name '*.c' ! -path '*/src/server/*' \
        >"$SINTER_WORK/files"
    while IFS= read -r file; do
        compile "$file" -DSN_DEBUG=0 || fail "$file does not compile with a newer liburcu's headers"
        count=$((count + 1))
    done <"$SINTER_WORK/files"
    [ $count -gt 20 ] || fail "only $count files found"
    printf '%d files compile\n' $count
}

# handle_store_create after the header of one flavour that defines no URCU_API_MAP.
# Seen failing: handle_store_create only #ifdef URCU_API_MAP.
step_header()
{
    compile "$SINTER_SOURCE/tests/abi/header.c" '-DURCU_BEFORE=<urcu/urcu-memb.h>' ||
        fail "no handle_store_create after <urcu/urcu-memb.h>"
}

# The library for one size of page alone (SINTER_PAGE_BYTES in CMake). Seen failing: with a
# definition of what only the other build declares.
step_pages()
{
    for shift in 12 16; do
        for file in "$SINTER_SOURCE"/src/base/*.c "$SINTER_SOURCE"/src/memory/*.c \
            "$SINTER_SOURCE"/src/os/osmem.c "$SINTER_SOURCE"/src/reference/*.c; do
            compile "$file" -DSN_DEBUG=1 "-DSN_FIXED_PAGE_SHIFT=$shift" ||
                fail "$file does not compile for pages of 2^$shift bytes alone"
        done
    done
}

# refuses TARGET SENTENCE: configuring for that machine ends with the sentence; compiling without
# CMake ends with its first part. clang makes code for all of them, and no C library of theirs is
# needed.
refuses()
{
    log=$SINTER_WORK/refused_$1
    rm -rf "$log"
    mkdir -p "$log"
    ! "$SINTER_CMAKE" -S "$SINTER_SOURCE" -B "$log" -DCMAKE_SYSTEM_NAME=Linux \
        -DCMAKE_SYSTEM_PROCESSOR="${1%%-*}" -DCMAKE_C_COMPILER=clang \
        -DCMAKE_C_COMPILER_TARGET="$1" -DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY \
        -DSINTER_URCU_INCLUDE_DIR="$here" >"$log/configure.txt" 2>&1 ||
        fail "configuring for $1 is no error"
    # CMake breaks lines.
    tr -s ' \n' ' ' <"$log/configure.txt" | grep -qF "$2" ||
        fail "configuring for $1 does not say '$2': $(cat "$log/configure.txt")"
    ! clang --target="$1" -ffreestanding -fsyntax-only "$SINTER_SOURCE/src/os/osmem.c" \
        2>"$log/compile.txt" || fail "osmem.c compiles for $1"
    grep -qF "error: \"${2%%:*}\"" "$log/compile.txt" ||
        fail "osmem.c for $1 does not say '${2%%:*}': $(cat "$log/compile.txt")"
}

# Machines that the library does not work on are refused, with one sentence.
# Seen failing: without each of the conditions of CMakeLists.txt and osmem.c.
step_refused()
{
    command -v clang >/dev/null || skip 'there is no clang'
    for target in i386-linux-gnu x86_64-linux-gnux32; do
        refuses $target 'sinter needs 64-bit Linux'
    done
    refuses s390x-linux-gnu 'sinter needs a little-endian machine: hardened stores'
    refuses powerpc64le-linux-gnu 'sinter does not support POWER: '
}

mkdir -p "$SINTER_WORK"
steps='library header pages refused'
case " $steps " in
*" ${1:-none} "*) "step_$1" ;;
*) fail "unknown step '${1-}': one of $steps" ;;
esac
