#!/bin/sh
# SPDX-License-Identifier: MIT
#
# handle_hpp.sh SOURCE - a header for C++ under the compiler: clean at its strictest warnings in
# every standard that it has, and each REFUSED case of SOURCE is refused. Run by ctest.
#
# Seen failing, handle_hpp_refused.cc: without the deleted overload for a section that is a
# temporary (cases 1 and 13); with cell's copy allowed (case 5); where what has cells need not say
# so (case 17). cache_hpp_refused.cc: -Wshadow where a function has the name of a struct.
set -eu

source=$1
name=$(basename "$source" _refused.cc)
status=0

# compile STANDARD FLAG...
compile()
{
    standard=$1
    shift
    "$SINTER_CXX" "-std=$standard" "-I$SINTER_INCLUDE" -fsyntax-only "$@" "$source" 2>/dev/null
}

strict='-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wold-style-cast -Wshadow
    -Wcast-qual -Wcast-align -Wundef -Wredundant-decls -Wzero-as-null-pointer-constant
    -Wnon-virtual-dtor -Woverloaded-virtual -Werror'
for standard in c++17 c++20 c++2b; do
    printf 'int main() {}\n' |
        "$SINTER_CXX" "-std=$standard" -fsyntax-only -x c++ - 2>/dev/null || continue
    # shellcheck disable=SC2086 # the flags are words
    if ! compile "$standard" $strict; then
        echo "$name: not clean as $standard"
        status=1
    fi
done

case=1
while grep -q "REFUSED == $case\\b" "$source"; do
    if compile c++17 "-DREFUSED=$case"; then
        echo "$name: case $case compiles"
        status=1
    fi
    case=$((case + 1))
done
cases=$(grep -c 'REFUSED ==' "$source")
if [ "$case" -ne $((cases + 1)) ]; then
    echo "$name: case $case is not there, and $cases cases are"
    status=1
fi
exit $status
