#!/bin/sh
# SPDX-License-Identifier: MIT
#
# One step of the package tests: check.sh STEP, one of those at its end. ctest calls it; the
# SINTER_* variables it reads are set in CMakeLists.txt.
# "install" comes first: the others look at, or build against, the directory it fills.
set -eu

prefix=$SINTER_WORK/moved/prefix
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

fail()
{
    printf 'package: %s\n' "$*" >&2
    exit 1
}

# run COMMAND...: shows the command, so that a failure can be repeated by hand.
run()
{
    printf '+ %s\n' "$*"
    "$@"
}

# install_into PREFIX [COMPONENT]
install_into()
{
    run "$SINTER_CMAKE" --install "$SINTER_BUILD" --config "$SINTER_CONFIG" --prefix "$1" \
        ${2:+--component "$2"}
}

# files_of DIRECTORY: what lies in it, sorted, without directories.
files_of()
{
    (cd "$1" && find . ! -type d | LC_ALL=C sort)
}

# The installation is moved after it was made: nothing in it may know the place it was made for.
step_install()
{
    rm -rf "$SINTER_WORK/made" "$SINTER_WORK/moved"
    install_into "$SINTER_WORK/made/prefix"
    mv "$SINTER_WORK/made" "$SINTER_WORK/moved"
    if grep -rIlF -e "$SINTER_WORK" -e "$SINTER_BUILD" -e "$SINTER_SOURCE" "$prefix"; then
        fail "the files above name a directory of the build"
    fi
}

# "runtime" is what programs need to run, "development" what they need to be built; together they
# are everything but the programs, and nothing is in both. Each program is a component of its own.
step_components()
{
    for component in runtime development tools server; do
        rm -rf "${SINTER_WORK:?}/$component"
        mkdir -p "$SINTER_WORK/$component"
        install_into "$SINTER_WORK/$component" "$component"
        files_of "$SINTER_WORK/$component" >"$SINTER_WORK/$component.txt"
    done
    for lib in libsinter libsinter-cache; do
        printf '%s\n' "./$SINTER_LIBDIR/$lib.so.$SINTER_SOVERSION" \
            "./$SINTER_LIBDIR/$lib.so.$SINTER_VERSION"
    done | LC_ALL=C sort |
        diff - "$SINTER_WORK/runtime.txt" || fail "the runtime component is not the two libraries"
    files_of "$prefix" >"$SINTER_WORK/all.txt"
    # Below gdb's directory stands the library's own path.
    for list in tools all; do
        sed 's|\(/gdb/auto-load/\).*/\(libsinter.so\)|\1...\2|' "$SINTER_WORK/$list.txt" |
            LC_ALL=C sort -o "$SINTER_WORK/$list.txt"
    done
    printf '%s\n' ./bin/sinter "./share/gdb/auto-load/...libsinter.so.$SINTER_VERSION-gdb.py" \
        ./share/man/man1/sinter.1 ./share/sinter/sinter-gdb.py \
        ./share/sinter/sinter.rules.yml | diff - "$SINTER_WORK/tools.txt" ||
        fail "the component of tools is not the program, its manual, gdb's commands, the alerts"
    LC_ALL=C sort "$SINTER_WORK/runtime.txt" "$SINTER_WORK/development.txt" \
        "$SINTER_WORK/tools.txt" "$SINTER_WORK/server.txt" |
        diff - "$SINTER_WORK/all.txt" || fail "the components are not the whole installation"
}

# cmake_consumer DIRECTORY ARGUMENT...: configures, builds and tests consumer/ in DIRECTORY.
cmake_consumer()
{
    directory=$SINTER_WORK/$1
    shift
    rm -rf "$directory"
    run "$SINTER_CMAKE" -S "$here/consumer" -B "$directory" -G "$SINTER_GENERATOR" \
        -DCMAKE_C_COMPILER="$SINTER_CC" -DCMAKE_BUILD_TYPE=RelWithDebInfo "$@"
    run "$SINTER_CMAKE" --build "$directory" --config RelWithDebInfo
    run "$SINTER_CTEST" --test-dir "$directory" -C RelWithDebInfo --output-on-failure \
        --no-tests=error
}

# refuses_version VERSION: find_package asks for another minor version than the installed one.
refuses_version()
{
    log=$SINTER_WORK/other_version.log
    rm -rf "$SINTER_WORK/other_version"
    if "$SINTER_CMAKE" -S "$here/consumer" -B "$SINTER_WORK/other_version" \
        -G "$SINTER_GENERATOR" -DCMAKE_C_COMPILER="$SINTER_CC" -DCMAKE_PREFIX_PATH="$prefix" \
        -DCONSUMER_VERSION="$1" >"$log" 2>&1; then
        fail "find_package(sinter $1) accepts version $SINTER_VERSION"
    fi
    grep -q "requested version \"$1\"" "$log" ||
        fail "find_package(sinter $1) failed for another reason: see $log"
}

step_find_package()
{
    cmake_consumer find_package -DCMAKE_PREFIX_PATH="$prefix" \
        -DCONSUMER_VERSION="$SINTER_VERSION"
    grep -q "^sinter_DIR:PATH=$prefix/" "$SINTER_WORK/find_package/CMakeCache.txt" ||
        fail "find_package took another sinter than the one just installed"
    refuses_version 99.0
    refuses_version 0.1
}

# As part of another project's source tree: its targets have the same names, and neither its tests
# nor its install rules show.
step_embedded()
{
    cmake_consumer embedded -DCONSUMER_SOURCE="$SINTER_SOURCE"
    if "$SINTER_CTEST" --test-dir "$SINTER_WORK/embedded" -N | grep 'Test *#' | grep -v consumer_
    then
        fail "the tests above come with the embedded library"
    fi
    rm -rf "$SINTER_WORK/embedded_prefix"
    "$SINTER_CMAKE" --install "$SINTER_WORK/embedded" --prefix "$SINTER_WORK/embedded_prefix"
    if [ -e "$SINTER_WORK/embedded_prefix" ]; then
        files_of "$SINTER_WORK/embedded_prefix"
        fail "the files above are installed with a project that only embeds the library"
    fi
}

# Configured without any option, as README.md says: the library alone.
# Seen failing: SINTER_TESTS on by default.
step_plain()
{
    rm -rf "$SINTER_WORK/plain"
    run "$SINTER_CMAKE" -S "$SINTER_SOURCE" -B "$SINTER_WORK/plain" -G "$SINTER_GENERATOR" \
        -DCMAKE_C_COMPILER="$SINTER_CC"
    for part in tests bench examples; do
        [ ! -d "$SINTER_WORK/plain/$part" ] || fail "$part/ is built without being asked for"
    done
}

# pkg_config_consumer MODULE FLAVOUR COMPILER SOURCE NAME LIBS: builds SOURCE, says which shared
# libraries it needs, and runs it: what it is linked with finds what that needs.
# Seen failing: without the cache's INSTALL_RPATH, the store was not found.
pkg_config_consumer()
{
    # The flags are lists: they are to be split.
    # shellcheck disable=SC2046,SC2086
    run "$3" -Wall -Wextra -Werror -O2 $("$SINTER_PKG_CONFIG" --cflags "$1" "$2") "$4" \
        -o "$SINTER_WORK/$5" -Wl,--as-needed $6 $("$SINTER_PKG_CONFIG" --libs "$2") \
        "-Wl,-rpath,$prefix/$SINTER_LIBDIR"
    "$SINTER_READELF" -d "$SINTER_WORK/$5" | grep NEEDED >"$SINTER_WORK/$5.needed"
    run "$SINTER_WORK/$5"
}

# pkg_config_module MODULE FLAVOUR SOURCE: C and C++, shared and static.
pkg_config_module()
{
    [ "$("$SINTER_PKG_CONFIG" --modversion "$1")" = "$SINTER_VERSION" ] ||
        fail "$1.pc does not say version $SINTER_VERSION"
    shared=$("$SINTER_PKG_CONFIG" --libs "$1")
    static=$("$SINTER_PKG_CONFIG" --static --libs "$1" |
        sed -E 's/-l(sinter(-cache)?)( |$)/-l:lib\1.a\3/g')
    for language in c cc; do
        compiler=$SINTER_CC
        if [ $language = cc ]; then
            compiler=$(command -v c++ || command -v g++ || command -v clang++) || {
                echo "no C++ compiler here: C++ consumers left out"
                continue
            }
        fi
        name=$1_$language
        pkg_config_consumer "$1" "$2" "$compiler" "$here/consumer/$3.$language" "${name}_shared" \
            "$shared"
        grep -q "\[lib$1.so.$SINTER_SOVERSION\]" "$SINTER_WORK/${name}_shared.needed" ||
            fail "a program linked by pkg-config --libs $1 does not use the shared library"
        pkg_config_consumer "$1" "$2" "$compiler" "$here/consumer/$3.$language" "${name}_static" \
            "$static"
        if grep libsinter "$SINTER_WORK/${name}_static.needed"; then
            fail "a program linked with the static library needs the shared one"
        fi
    done
}

# Seen failing: the cache's file without its requirement of the store's.
step_pkg_config()
{
    PKG_CONFIG_PATH=$prefix/$SINTER_LIBDIR/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
    export PKG_CONFIG_PATH
    pkg_config_module sinter liburcu consumer
    pkg_config_module sinter-cache liburcu-bp cache
}

# What is installed of headers: those, and no other, each of which compiles by itself.
# Seen failing: without cache.hpp.
step_headers()
{
    (cd "$prefix/$SINTER_INCLUDEDIR" && find . -type f | LC_ALL=C sort) >"$SINTER_WORK/headers.txt"
    printf './sinter/%s\n' cache.h cache.hpp handle.h handle.hpp stats.h |
        diff - "$SINTER_WORK/headers.txt" || fail "expected (<) and installed (>) headers differ"
}

# Every exported function has a manual page, pages are clean, and pages.py finds a function without
# a comment. Status 77: there is no mandoc.
# Seen failing: a comment that was taken away; a page without a title.
step_manual()
{
    pages=$prefix/share/man
    [ -n "${SINTER_PYTHON-}" ] || { echo 'no python3 here: no manual of the libraries'; exit 77; }
    grep -hoE '^ (handle|sinter_cache)_[a-z_]+' "$SINTER_SOURCE"/debian/*.symbols |
        while read -r name; do
            [ -f "$pages/man3/$name.3" ] || printf '%s has no manual page\n' "$name"
        done >"$SINTER_WORK/without"
    cat "$SINTER_WORK/without"
    [ ! -s "$SINTER_WORK/without" ] || fail "the functions above are not in the manual"
    mkdir -p "$SINTER_WORK/headers"
    cp "$SINTER_SOURCE"/include/sinter/*.h "$SINTER_WORK/headers"
    sed -i 's,^/\*\* The library.s version.*,,' "$SINTER_WORK/headers/handle.h"
    if (cd "$SINTER_WORK/headers" && "$SINTER_PYTHON" "$SINTER_SOURCE/src/manual/pages.py" \
        "$SINTER_WORK/pages" 1 2026 handle.h stats.h cache.h) >"$SINTER_WORK/uncommented"; then
        fail "a function without a comment is no error"
    fi
    [ "$(cat "$SINTER_WORK/uncommented")" = 'handle_version has no comment' ] ||
        fail "pages.py failed for another reason"
    command -v mandoc >/dev/null 2>&1 || { echo 'there is no mandoc'; exit 77; }
    # Lines of pages written by hand are as long as all others here.
    find "$pages" -name '*.[1-8]' ! -exec grep -q '^\.so' {} \; -exec mandoc -Tlint {} + |
        grep -v 'STYLE: input text line longer than 80 bytes' >"$SINTER_WORK/mandoc" || true
    cat "$SINTER_WORK/mandoc"
    [ ! -s "$SINTER_WORK/mandoc" ] || fail "mandoc finds the above"
}

steps='install components headers manual find_package pkg_config embedded plain'
case " $steps " in
*" ${1:-none} "*) "step_$1" ;;
*) fail "unknown step '${1-}': one of $steps" ;;
esac
