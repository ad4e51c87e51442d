#!/bin/sh
# SPDX-License-Identifier: MIT
#
# One step of the platform tests: check.sh library|header|pages. ctest calls it; the SINTER_*
# variables that it reads are set in CMakeLists.txt.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

fail()
{
    printf 'platform: %s\n' "$*" >&2
    exit 1
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

mkdir -p "$SINTER_WORK"
case ${1:-none} in
library | header | pages) "step_$1" ;;
*) fail "unknown step '${1-}': library, header or pages" ;;
esac
