#!/bin/sh
# SPDX-License-Identifier: MIT
#
# handle_hpp.sh - sinter/handle.hpp under the compiler: clean at its strictest warnings in every
# standard that it has, and the cases of handle_hpp_refused.cc are refused. Run by ctest.
#
# Seen failing: without the deleted overload for a section that is a temporary (case 1); with
# cell's copy allowed (case 5).
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
source=$here/handle_hpp_refused.cc
status=0

# compile STANDARD FLAG...
compile()
{
    standard=$1
    shift
    "$SINTER_CXX" "-std=$standard" "-I$SINTER_INCLUDE" -fsyntax-only "$@" "$source" 2>/dev/null
}

strict='-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wold-style-cast -Wshadow
    -Wnon-virtual-dtor -Woverloaded-virtual -Werror'
for standard in c++17 c++20 c++2b; do
    printf 'int main() {}\n' |
        "$SINTER_CXX" "-std=$standard" -fsyntax-only -x c++ - 2>/dev/null || continue
    # shellcheck disable=SC2086 # the flags are words
    if ! compile "$standard" $strict; then
        echo "handle_hpp: not clean as $standard"
        status=1
    fi
done

case=1
while grep -q "REFUSED == $case\\b" "$source"; do
    if compile c++17 "-DREFUSED=$case"; then
        echo "handle_hpp: case $case compiles"
        status=1
    fi
    case=$((case + 1))
done
[ "$case" -gt 12 ] || status=1
exit $status
