#!/bin/sh
# SPDX-License-Identifier: MIT
#
# compilers.sh - the library with every compiler that is here, in every standard that it may be
# compiled in: compilers.sh SOURCE WORK [--short]. Warnings are errors. ctest calls it.
#
#   C          each source of the libraries and programs, as C11 (its debug form, too), C17, C23
#   C++        both headers, as C++17, C++20, C++23
#   -O3 -flto  libsinter.so, and a program with the whole library in it, which is run
#
# --short: the system's gcc only, with C23 and C++23, since builds do the rest.
#
# Compilers are looked for by their names in Debian, with and without a version. What is not here is
# said, and left out; status 77: there is none. 1: one fails.
#
# Seen failing: two constants in one && of a static assertion (clang 16); [[nodiscard]] behind
# another attribute of a function (C23); a conversion in handle.hpp that loses bits.
set -eu

source=$1
work=$2
form=${3-}
versions_gcc='11 12 13 14 15'
versions_clang='13 14 15 16 17 18 19 20 21'
standards='c11 c17 c2x' standards_cxx='c++17 c++20 c++2b'
warnings='-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror'
warnings_cxx='-Wall -Wextra -Wpedantic -Wconversion -Wold-style-cast -Wshadow -Werror'
defines='-D_GNU_SOURCE -D_LGPL_SOURCE -DSN_PROBES=0'
missing=
tried=0

fail()
{
    printf 'compilers: %s\n' "$*" >&2
    exit 1
}

# in_c COMPILER STANDARD [FLAG...]: no code is made, that is cheap.
in_c()
{
    compiler=$1 standard=$2
    shift 2
    # shellcheck disable=SC2046,SC2086 # file names and flags are words
    "$compiler" "-std=$standard" $warnings $defines "$@" "-I$source/include" "-I$source/src" \
        "-I$source" -fsyntax-only $(cat "$work/sources") || fail "$compiler -std=$standard $*"
}

# in_cxx COMPILER STANDARD. What the headers refuse is in these files, too, but not asked for.
in_cxx()
{
    # shellcheck disable=SC2086
    "$1" "-std=$2" $warnings_cxx "-I$source/include" -fsyntax-only \
        "$source/tests/api/handle_hpp_refused.cc" "$source/tests/cache/cache_hpp_refused.cc" ||
        fail "$1 -std=$2"
}

# optimises COMPILER: whether its linker takes what it makes with -flto.
optimises()
{
    printf 'int main(void) { return 0; }\n' |
        "$1" -O3 -flto -x c - -o "$work/optimised" 2>"$work/log" && "$work/optimised"
}

# with_lto COMPILER: objects once, for both. Two files may have one name.
with_lto()
{
    lto=-flto
    [ "${1#gcc}" = "$1" ] || lto=-flto=1 # else it says that it has no helpers
    rm -rf "$work/objects"
    for folder in "$source"/src/*/ "$source/defrag/"; do
        case $folder in */cache/ | */tools/ | */server/ | */manual/) continue ;; esac
        mkdir -p "$work/objects/$(basename "$folder")"
        # shellcheck disable=SC2086
        (cd "$work/objects/$(basename "$folder")" &&
            "$1" -std=c11 -O3 $lto -fPIC -ftls-model=initial-exec -fvisibility=hidden $warnings \
                $defines -DSN_DEBUG=0 "-I$source/include" "-I$source/src" "-I$source" \
                -c "$folder"*.c) || fail "$1 -O3 -flto"
    done
    "$1" -O3 $lto -Werror -shared "-Wl,--version-script=$source/src/sinter.map" \
        -Wl,-z,defs "$work"/objects/*/*.o -pthread -o "$work/libsinter.so" ||
        fail "$1 -O3 -flto: libsinter.so"
    "$1" -std=c11 -O3 $lto -Wall -Wextra -Werror -D_LGPL_SOURCE "-I$source/include" \
        "$source/tests/package/consumer/consumer.c" "$work"/objects/*/*.o -pthread -lurcu \
        -o "$work/consumer" || fail "$1 -O3 -flto: a program"
    "$work/consumer" || fail "$1 -O3 -flto: the program fails"
}

# with COMPILER COMPILER-OF-C++
with()
{
    command -v "$1" >/dev/null || {
        missing="$missing $1"
        return 0
    }
    tried=$((tried + 1))
    printf '%s\n' "$("$1" --version | head -n 1)"
    for standard in $standards; do
        in_c "$1" "$standard" -DSN_DEBUG=0
    done
    if ! command -v "$2" >/dev/null; then
        missing="$missing $2"
    elif ! echo '#include <vector>' | "$2" -x c++ -fsyntax-only - 2>/dev/null; then
        missing="$missing $2's-library"
    else
        for standard in $standards_cxx; do
            in_cxx "$2" "$standard"
        done
    fi
    [ ! "$form" ] || return 0
    in_c "$1" c11 -DSN_DEBUG=1
    if optimises "$1"; then
        with_lto "$1"
    else
        printf 'compilers: not linked: %s -flto: %s\n' "$1" "$(head -n 1 "$work/log")"
    fi
}

mkdir -p "$work"
find "$source/src" "$source/defrag" -name '*.c' | LC_ALL=C sort >"$work/sources"
[ "$(wc -l <"$work/sources")" -gt 100 ] || fail 'too few sources found'
[ ! "$form" ] || standards=c2x standards_cxx=c++2b
with gcc g++
if [ ! "$form" ]; then
    with clang clang++
    for version in $versions_gcc; do
        with "gcc-$version" "g++-$version"
    done
    for version in $versions_clang; do
        with "clang-$version" "clang++-$version"
    done
fi
[ -z "$missing" ] || printf 'compilers: not here: %s\n' "${missing# }"
[ $tried -gt 0 ] || exit 77
printf '%d compilers\n' $tried
