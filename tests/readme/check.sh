#!/bin/sh
# SPDX-License-Identifier: MIT
#
# check.sh - the C code of the READMEs. README.md's is a program: it is compiled, linked with the
# library and liburcu as README says, and run. That of examples/README.md is pieces of one file, in
# the order of the page, which pieces.c runs. ctest calls it; the SINTER_* variables that it reads
# are set in CMakeLists.txt.
#
# Seen failing with: an argument too many in README.md's program; "hello" not printed; a name
# misspelt, and an unused parameter, in a piece of examples/README.md.
set -eu

fail()
{
    printf 'readme: %s\n' "$*" >&2
    exit 1
}

# code FILE: what stands between ```c and ```, its lines numbered as in the page.
code()
{
    awk -v page="$1" '
        /^```c$/ { printf "#line %d \"%s\"\n", NR + 1, page; inside = 1; found = 1; next }
        /^```/ { inside = 0 }
        inside { print }
        END { exit !found }' "$SINTER_SOURCE/$1" || fail "$1 has no code"
}

# compile ARGUMENT...: by the compiler's defaults, its warnings errors.
compile()
{
    "$SINTER_CC" -Wall -Wextra -Werror "-I$SINTER_SOURCE/include" "$@"
}

mkdir -p "$SINTER_WORK"
cd "$SINTER_WORK"

code README.md >hello.c
libraries=$(dirname "$SINTER_SHARED")
# link FILE PROGRAM
link()
{
    # shellcheck disable=SC2046 # pkg-config's words are arguments
    compile "-I$SINTER_WORK" "$1" -o "$2" "-L$libraries" "-Wl,-rpath,$libraries" -lsinter \
        $(pkg-config --cflags --libs liburcu)
}

link hello.c hello
[ "$(./hello)" = hello ] || fail 'the quick start of README.md does not print hello'

code examples/README.md >pieces.inc
link "$SINTER_SOURCE/tests/readme/pieces.c" pieces
./pieces || fail 'the code of examples/README.md does not do what pieces.c expects'
echo 'the code of README.md and examples/README.md is good'
