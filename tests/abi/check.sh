#!/bin/sh
# SPDX-License-Identifier: MIT
#
# One step of the ABI tests: check.sh STEP, one of those at its end, of the library that
# SINTER_LIBRARY names: sinter or sinter-cache. ctest calls it; the SINTER_* variables that it reads
# are set in CMakeLists.txt.
#
# THE DESCRIPTIONS. Each version (major.minor) of a library has two files here:
#
#   LIBRARY-M.N.abi        what abidw (libabigail) reads from the shared library: functions, symbol
#                          versions, layout of every public type
#   LIBRARY-M.N.interface  what only the header tells, and programs carry compiled in: its text
#                          without comments, with all macros, enumerations and inline functions
#
# The library must agree exactly with those of its own version, so that no change of the interface
# goes unseen; and with every older .abi of the same soname, additions aside.
#
# TO CHANGE THE INTERFACE ON PURPOSE: as long as the version is not released, write the files of
# both libraries anew and commit them with the change:
#
#     cmake --build build/release --target abi_update
#
# After a release its files stay as they are: raise HANDLE_VERSION_MINOR in sinter/handle.h first.
# Until 1.0 that is in the sonames, and names the nodes of src/sinter.map and src/cache/cache.map;
# from then on only HANDLE_VERSION_MAJOR is, which is raised when an old program would no longer
# run.
#
# Of 0.1, whose soname was libsinter.so.0, the .interface is left: the step "refused" builds a
# program with it.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

fail()
{
    printf 'abi: %s\n' "$*" >&2
    exit 1
}

# prefix: of public names; hidden: of those between files; node: of the version script; header:
# what a program includes; headers: that, and what belongs to it; use: a file that uses all of it;
# least: functions that there are surely.
case $SINTER_LIBRARY in
sinter)
    prefix=handle_ hidden=sn_ node=SINTER_ header=handle.h headers='handle.h|stats.h'
    use=header.c least=40
    create=handle_store_create needs=
    ;;
sinter-cache)
    prefix=sinter_cache_ hidden=sc_ node=SINTER_CACHE_ header=cache.h headers=cache.h
    use=header_cache.c least=20
    create=sinter_cache_create needs="libsinter.so.$SINTER_SOVERSION"
    ;;
*) fail "no library is called '$SINTER_LIBRARY'" ;;
esac
soname=lib$SINTER_LIBRARY.so.$SINTER_SOVERSION
described=$here/$SINTER_LIBRARY-$SINTER_VERSION

# ---- names ---------------------------------------------------------------------------------------

# The shared library exports the public names, versioned, all of those that the header declares, and
# nothing else; it needs libc only (the cache the store as well, none an RCU flavour), has its
# soname and stays loaded.
# Seen failing: sn_* among the map's globals and an sn_ function with default visibility; a function
# declared in the header that the library lacks; of the cache: sc_hash by name among the globals;
# without NODELETE.
step_exports()
{
    "$SINTER_READELF" --dyn-syms -W "$SINTER_SHARED" |
        awk '$7 != "UND" && ($5 == "GLOBAL" || $5 == "WEAK") { print $NF }' |
        LC_ALL=C sort >"$SINTER_WORK/exported.txt"
    grep -qxF "$node$SINTER_SOVERSION" "$SINTER_WORK/exported.txt" ||
        fail "the soname's version is no node of the version script"
    if grep -v -e "^${node}[0-9.]*\$" -e "^${prefix}[a-z_]*@@${node}[0-9.]*\$" \
        "$SINTER_WORK/exported.txt"; then
        fail "the names above are exported, and are not public"
    fi

    # HANDLE_NO_INLINE turns the inline read path into declarations: then all functions are there.
    printf '#include <sinter/%s>\n' "$header" |
        "$SINTER_CC" -std=c11 -DHANDLE_NO_INLINE "-I$SINTER_INCLUDE" \
            -isystem "$SINTER_URCU_INCLUDE" -E -P -x c - |
        tr '\n' ' ' | grep -o "$prefix"'[a-z_]* *([^()]*\(([^()]*)[^()]*\)*) *;' |
        sed 's/ *(.*//' | LC_ALL=C sort -u >"$SINTER_WORK/declared.txt"
    [ "$(wc -l <"$SINTER_WORK/declared.txt")" -ge "$least" ] ||
        fail "the header declares too little"
    sed -n "s/^\($prefix.*\)@@$node.*\$/\1/p" "$SINTER_WORK/exported.txt" |
        diff "$SINTER_WORK/declared.txt" - || fail "declared (<) and exported (>) names differ"

    "$SINTER_READELF" -d "$SINTER_SHARED" >"$SINTER_WORK/dynamic.txt"
    grep -qF "soname: [$soname]" "$SINTER_WORK/dynamic.txt" || fail "wrong soname"
    grep -q NODELETE "$SINTER_WORK/dynamic.txt" || fail "the library can be unloaded"
    if grep NEEDED "$SINTER_WORK/dynamic.txt" | grep -v -e '\[libc\.' -e '\[libpthread\.' \
        -e '\[ld-linux' -e "\[${needs:-nothing else}\]"; then
        fail "the library needs more than libc${needs:+ and $needs}"
    fi
}

# What the static library adds to a program's names: public ones with default visibility, sn_* and
# sc_* hidden (a shared library linked from it does not export them).
# Seen failing: a function with neither prefix nor "static"; an sn_ function with default
# visibility.
step_archive()
{
    "$SINTER_READELF" -sW "$SINTER_STATIC" |
        awk '$7 != "UND" && ($5 == "GLOBAL" || $5 == "WEAK") { print $6, $8 }' |
        LC_ALL=C sort -u >"$SINTER_WORK/archive.txt"
    [ "$(grep -c " $prefix" "$SINTER_WORK/archive.txt")" -ge "$least" ] ||
        fail "no archive to look at"
    # The names of sys/sdt.h: what counts the tracers of a probe (src/base/probes.h), and its base.
    if grep -v -e "^DEFAULT ${prefix}[a-z_]*\$" -e "^HIDDEN ${hidden}[a-z0-9_]*\$" \
        -e '^HIDDEN sinter_[a-z_]*_semaphore$' \
        -e '^HIDDEN otel_memory_[a-z_]*_semaphore$' -e '^HIDDEN _\.stapsdt\.base$' \
        "$SINTER_WORK/archive.txt"; then
        fail "the names above are global in the archive: neither public nor hidden $hidden names"
    fi
}

# ---- code ----------------------------------------------------------------------------------------

# Compaction, the deref_many functions and the reclaim of limbo are fast because they ask for lines
# ahead. No result shows when the compiler leaves that out, and gcc does (12, say): it takes a call
# of a function that only prefetches for one without effect.
# Seen failing: prefetch_slot without SN_FORCE_INLINE; without the prefetch in handle_deref_many.
step_prefetches()
{
    "$SINTER_OBJDUMP" -d --no-show-raw-insn "$SINTER_STATIC" >"$SINTER_WORK/text.txt"
    while read -r object least; do
        found=$(awk -v object="$object" '
            / file format / { ours = $1 == object ":" }
            ours && $2 ~ /^prefetch/ { count++ }
            END { print count + 0 }' "$SINTER_WORK/text.txt")
        [ "$found" -ge "$least" ] ||
            fail "$object has $found prefetches, its source at least $least"
    done <<END
evacuate.c.o 7
handle.c.o 2
cell.c.o 2
reclaim.c.o 1
END
}

# ---- descriptions --------------------------------------------------------------------------------

# print_interface: the header's own text as the preprocessor leaves it: a macro a line, else a line
# for each statement, whatever the layout of the source. The patch version is no interface.
print_interface()
{
    printf '#include <sinter/%s>\n' "$header" |
        "$SINTER_CC" -std=c11 "-I$SINTER_INCLUDE" -isystem "$SINTER_URCU_INCLUDE" -E -dD -x c - |
        awk -v headers="/sinter/($headers)\"" '
            function flush()
            {
                if (text != "")
                    print text
                text = ""
            }
            /^# [0-9]+ "/ { ours = $0 ~ headers; next }
            !ours || /^#define HANDLE_VERSION_PATCH/ { next }
            /^#/ { flush(); print; next }
            { text = text " " $0 }
            END { flush() }' |
        sed -E -e '/^#/!s/[[:space:]]+/ /g' -e '/^#/!s/ ?([][(){};,*&|!=<>+-]) ?/\1/g' \
            -e '/^#/!s/([;{}])/\1\n/g' |
        sed -e 's/^ *//' -e 's/ *$//' -e '/^$/d'
}

# print_abi: of types those that the public header defines, without source lines; files by their
# names below the repository.
print_abi()
{
    "$SINTER_ABIDW" --headers-dir "$SINTER_INCLUDE/sinter" --drop-private-types \
        --drop-undefined-syms --no-show-locs --no-corpus-path --no-comp-dir-path --no-elf-needed \
        --type-id-style hash "$SINTER_SHARED" |
        sed -E "s,path='[^']*/(include|src|defrag)/,path='\1/,"
}

# update_hint WHAT
update_hint()
{
    fail "$1 of version $SINTER_VERSION has changed. On purpose? See the head of tests/abi/check.sh"
}

# Seen failing: another HANDLE_OFFSET_SHIFT; another test of the word in handle_cell_deref. Neither
# shows in the other description.
step_interface()
{
    print_interface >"$SINTER_WORK/interface.txt"
    diff -u "$described.interface" "$SINTER_WORK/interface.txt" ||
        update_hint 'the interface'
}

needs_debug_information()
{
    "$SINTER_READELF" -SW "$SINTER_SHARED" | grep -qF .debug_info && return 0
    echo "abi: left out: the library was built without debug information"
    exit 77
}

# agrees_exactly DESCRIPTION: nothing was added, removed or changed.
agrees_exactly()
{
    "$SINTER_ABIDIFF" "$1" "$SINTER_WORK/now.abi"
}

# agrees_older DESCRIPTION: what it describes is still there and as it was.
agrees_older()
{
    "$SINTER_ABIDIFF" --no-added-syms "$1" "$SINTER_WORK/now.abi"
}

# Seen failing: see step_breakages; and a member of handle_class_stats made 32 bits wide.
step_description()
{
    needs_debug_information
    print_abi >"$SINTER_WORK/now.abi"
    agrees_exactly "$described.abi" || update_hint 'the ABI'
    for older in "$here/$SINTER_LIBRARY"-[0-9]*.abi; do
        [ "$older" != "$described.abi" ] || continue
        grep -q "soname='$soname'" "$older" || continue
        agrees_older "$older" || fail "programs built for $(basename "$older") would break"
    done
}

# seed NAME SED-SCRIPT: a description of a library that the present one differs from in one point.
seed()
{
    sed -E "$2" "$SINTER_WORK/now.abi" >"$SINTER_WORK/$1.abi"
    if cmp -s "$SINTER_WORK/now.abi" "$SINTER_WORK/$1.abi"; then
        fail "the breakage '$1' changes nothing: mend its pattern"
    fi
}

# expect good|bad exactly|older NAME
expect()
{
    result=good
    "agrees_$2" "$SINTER_WORK/$3.abi" >"$SINTER_WORK/$3.log" 2>&1 || result=bad
    [ "$result" = "$1" ] || {
        cat "$SINTER_WORK/$3.log"
        fail "$3, compared $2: $result, expected $1"
    }
    printf '%s, compared %s: %s\n' "$3" "$2" "$result"
}

# The comparison itself can fail: descriptions with a seeded difference must be told apart.
step_breakages()
{
    needs_debug_information
    print_abi >"$SINTER_WORK/now.abi"
    cp "$SINTER_WORK/now.abi" "$SINTER_WORK/same.abi"
    seed removed 's/handle_free_now/handle_free_once/g'
    seed added "/<elf-symbol name='handle_free_now'/d
        /<function-decl name='handle_free_now'/,/<\/function-decl>/d"
    seed member "/<class-decl name='handle_object'/s/size-in-bits='[0-9]+'/size-in-bits='64'/"
    seed enumerator "/enumerator name='HANDLE_STATS_JSON'/s/value='1'/value='7'/"
    expect good exactly same
    expect good older same
    expect bad exactly removed
    expect bad older removed
    expect bad exactly added
    expect good older added
    expect bad exactly member
    expect bad older member
    expect bad exactly enumerator
    expect bad older enumerator
}

step_update()
{
    needs_debug_information
    print_abi >"$described.abi"
    print_interface >"$described.interface"
}

# ---- the header ----------------------------------------------------------------------------------

warnings='-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-qual -Wcast-align
    -Wundef -Wredundant-decls -Werror'
warnings_c='-Wstrict-prototypes -Wmissing-prototypes -Wbad-function-cast'
warnings_cxx='-Wold-style-cast -Wzero-as-null-pointer-constant -Woverloaded-virtual'

# header_compiles COMPILER LANGUAGE STANDARD [FLAG...]
header_compiles()
{
    compiler=$1 language=$2 standard=$3
    shift 3
    own=$warnings_c
    [ "$language" = c ] || own=$warnings_cxx
    # shellcheck disable=SC2086 # the warnings are words
    "$compiler" -x "$language" "-std=$standard" $warnings $own "$@" "-I$SINTER_INCLUDE" \
        -isystem "$SINTER_URCU_INCLUDE" -fsyntax-only "$here/$use" ||
        fail "the header does not compile alone: $compiler -std=$standard $*"
    compiled=$((compiled + 1))
}

# header_says_why COMPILER LANGUAGE STANDARD: create without a flavour's header. The message comes
# when code is made, not from -fsyntax-only.
header_says_why()
{
    if "$1" -x "$2" "-std=$3" -O1 -DWITHOUT_FLAVOUR "-I$SINTER_INCLUDE" \
        -isystem "$SINTER_URCU_INCLUDE" -c -o /dev/null "$here/$use" 2>"$SINTER_WORK/why.txt"; then
        fail "$create compiles without a flavour: $1 -std=$3"
    fi
    grep -q "include the header of one liburcu flavour.* <sinter/$header>" "$SINTER_WORK/why.txt" ||
        fail "$create without a flavour: $1 -std=$3 does not say what to do"
    [ "$(grep -c 'error:' "$SINTER_WORK/why.txt")" -eq 1 ] ||
        fail "$create without a flavour: $1 -std=$3 says more: $(cat "$SINTER_WORK/why.txt")"
    "$1" -x "$2" "-std=$3" -O1 -include urcu.h -DWITHOUT_FLAVOUR "-I$SINTER_INCLUDE" \
        -isystem "$SINTER_URCU_INCLUDE" -c -o /dev/null "$here/$use" ||
        fail "$create with a flavour: $1 -std=$3"
}

# With the names that have no flavour in them, and with those that have.
flavours='urcu.h urcu-qsbr.h urcu-bp.h
    urcu/urcu-memb.h urcu/urcu-mb.h urcu/urcu-qsbr.h urcu/urcu-bp.h'

# The header is the only one of a file, or comes before or after a flavour's: in every language that
# it is meant for, with every compiler that is here.
step_header()
{
    compiled=0
    for compiler in gcc g++ clang clang++; do
        command -v "$compiler" >/dev/null || {
            printf '%s is not here: left out\n' "$compiler"
            continue
        }
        case $compiler in
        *++) standards='c++17 c++20' language=c++ ;;
        *) standards='c11 c17' language=c ;;
        esac
        for standard in $standards; do
            header_compiles "$compiler" "$language" "$standard"
            header_compiles "$compiler" "$language" "$standard" -DHANDLE_NO_INLINE
            for flavour in $flavours; do
                header_compiles "$compiler" "$language" "$standard" "-DURCU_AFTER=<$flavour>"
                header_compiles "$compiler" "$language" "$standard" "-DURCU_BEFORE=<$flavour>"
            done
            header_compiles "$compiler" "$language" "$standard" -DRCU_MB "-DURCU_BEFORE=<urcu.h>"
            header_says_why "$compiler" "$language" "$standard"
        done
    done
    [ $compiled -gt 0 ] || fail "no compiler found"
    printf 'the header compiles in %d ways\n' $compiled
}

# dropped_in COUNT MEANT COMPILER LANGUAGE STANDARD: so many results that dropped.c drops warn,
# where MEANT stands in front of those that may be dropped on purpose.
dropped_in()
{
    count=$1 meant=$2
    shift 2
    "$1" -x "$2" "-std=$3" "-DMEANT=$meant" "-I$SINTER_INCLUDE" -c -o /dev/null "$here/dropped.c" \
        2>"$SINTER_WORK/dropped.txt" || fail "$*: $(cat "$SINTER_WORK/dropped.txt")"
    warned=$(grep -c 'warning: .*unused-\(result\|value\)' "$SINTER_WORK/dropped.txt" || :)
    [ "$warned" -eq "$count" ] ||
        fail "$*, '$meant': $warned warnings, not $count: $(cat "$SINTER_WORK/dropped.txt")"
}

# Seen failing: without HANDLE_MUST_USE at handle_pin; without HANDLE_CHECK at handle_resize; with
# HANDLE_CHECK at handle_free.
step_dropped()
{
    must=$(grep -c '^    MUST_USE' "$here/dropped.c")
    all=$((must + $(grep -c '^    MEANT' "$here/dropped.c")))
    for compiler in gcc g++ clang clang++; do
        command -v "$compiler" >/dev/null || continue
        case $compiler in
        *++) how='c++ c++17' here_all=$all ;;
        gcc) how='c c11' here_all=$must ;; # takes no (void) for an answer
        *) how='c c11' here_all=$all ;;
        esac
        # shellcheck disable=SC2086 # two words
        dropped_in "$here_all" '' "$compiler" $how
        # shellcheck disable=SC2086
        dropped_in "$must" '(void)' "$compiler" $how
        printf '%s: %d dropped results warn, %d of them always\n' "$compiler" "$here_all" "$must"
    done
}

# The code of the manual's paragraph about the limit is that of an example, which ctest runs.
# Seen failing: another condition in one of them; without the lines in the manual.
step_manual()
{
    sed -n '/begin: as in handle.h/,/ end /{ /begin: as/d; / end /d; s/^ *//; p; }' \
        "$SINTER_EXAMPLES/at_limit.c" >"$SINTER_WORK/example.txt"
    sed -n '/^ \*       handle_t entry;$/,/^ \*$/{ /^ \*$/d; s/^ \* *//; p; }' \
        "$SINTER_INCLUDE/sinter/handle.h" >"$SINTER_WORK/manual.txt"
    [ "$(wc -l <"$SINTER_WORK/manual.txt")" -ge 10 ] || fail "the manual has not the ten lines"
    diff "$SINTER_WORK/example.txt" "$SINTER_WORK/manual.txt" ||
        fail "the manual's lines about the limit (>) differ from examples/at_limit.c (<)"
}

# ---- programs of other versions ------------------------------------------------------------------

# expect_refused TEXT COMMAND...: it fails, and says so.
expect_refused()
{
    text=$1
    shift
    if "$@" >"$SINTER_WORK/refused.txt" 2>&1; then
        fail "not refused: $*"
    fi
    grep -qF -e "$text" "$SINTER_WORK/refused.txt" || {
        cat "$SINTER_WORK/refused.txt"
        fail "refused for another reason than '$text': $*"
    }
    grep -F -e "$text" "$SINTER_WORK/refused.txt"
}

# build_program NAME HEADER ARGUMENT...: program.c with that header.
build_program()
{
    name=$1 header=$2
    shift 2
    "$SINTER_CC" -std=c11 -Wall -Werror "-DHEADER=\"$header\"" "-I$SINTER_INCLUDE" \
        "$here/program.c" -o "$SINTER_WORK/$name" "$@"
}

# A program built with the header of 0.1, against a library that has no more than its names: it runs
# with that one.
old_program()
{
    old=$SINTER_WORK/old
    mkdir -p "$old"
    printf 'void *handle_store_create_flavor(void);\n%s\n' \
        'void *handle_store_create_flavor(void) { return 0; }' >"$old/library.c"
    printf 'SINTER_0.1 { global: handle_*; local: *; };\n' >"$old/library.map"
    "$SINTER_CC" -shared -fPIC -Wl,-soname,libsinter.so.0 -Wl,--version-script="$old/library.map" \
        "$old/library.c" -o "$old/libsinter.so.0"
    build_program old_program "$here/sinter-0.1.interface" "$old/libsinter.so.0"
    LD_LIBRARY_PATH=$old "$SINTER_WORK/old_program" >/dev/null 2>&1 ||
        fail "the old program does not run with the old library"
}

# The loader refuses a program that was built with an older header, even where somebody gives the
# new library the old one's name; the linker or create refuses to mix them statically.
# Seen failing: soname libsinter.so.0; node SINTER_0.1; create without a look at the version.
step_refused()
{
    LC_ALL=C
    export LC_ALL
    old_program
    new=$SINTER_WORK/new
    rm -rf "$new"
    mkdir -p "$new"
    ln -s "$SINTER_SHARED" "$new/libsinter.so.$SINTER_SOVERSION"
    expect_refused 'libsinter.so.0: cannot open shared object file' \
        env LD_LIBRARY_PATH="$new" "$SINTER_WORK/old_program"
    ln -s "$SINTER_SHARED" "$new/libsinter.so.0"
    expect_refused "version \`SINTER_0.1' not found" \
        env LD_LIBRARY_PATH="$new" "$SINTER_WORK/old_program"
    expect_refused handle_store_create_flavor \
        build_program old_static "$here/sinter-0.1.interface" "$SINTER_STATIC" -lpthread

    sed -E 's/^(#define HANDLE_VERSION_MINOR).*/\1 255/' "$SINTER_INCLUDE/sinter/handle.h" \
        >"$SINTER_WORK/other_version.h"
    build_program other_version "$SINTER_WORK/other_version.h" "$SINTER_STATIC" -lpthread
    expect_refused ".255 and is linked with the library $SINTER_VERSION" \
        "$SINTER_WORK/other_version"
    build_program same_version "$SINTER_INCLUDE/sinter/handle.h" "$SINTER_STATIC" -lpthread
    expect_refused 'flavor: NULL' "$SINTER_WORK/same_version"
}

mkdir -p "$SINTER_WORK"
# build_caller NAME SED-SCRIPT: caller.c with the header that the script makes of this one.
build_caller()
{
    name=$1
    mkdir -p "$SINTER_WORK/$name/sinter"
    for part in handle stats; do
        sed -E "$2" "$SINTER_INCLUDE/sinter/$part.h" >"$SINTER_WORK/$name/sinter/$part.h"
    done
    "$SINTER_CC" -std=c11 -D_GNU_SOURCE -Wall -Werror "-D$name" -I"$SINTER_WORK/$name" \
        -isystem "$SINTER_URCU_INCLUDE" "$here/caller.c" -o "$SINTER_WORK/$name/caller" \
        "$SINTER_SHARED" -lurcu-memb
}

# Structs that begin with struct_size may grow: a program with fewer members, and one with more.
# Seen failing: handle_store_create that asks for the whole struct; handle_store_stats that fills
# more than the caller has, or that refuses a longer one; elements of classes at the library's size.
step_growth()
{
    build_caller OLDER '
        /^struct handle_store_options \{/,/^\};/{
            / (core|reserved);/d
        }
        s/\.core = HANDLE_CORE_FULL\}/}/
        /options\.core = /d
        /^struct handle_defrag_report \{/,/^\};/{
            / (idle_reason|reserved);/d
        }
        /^struct handle_class_stats \{/,/^\};/{
            / refused\[8\];/d
        }
        /^struct handle_stats \{/,/^\};/{
            / (classes|alloc_failure_reason);/d
        }'
    build_caller NEWER '
        /^struct handle_(store_options|defrag_report|class_stats|stats) \{/,/^\};/{
            s/^\};/    uint64_t later;\n};/
        }'
    for name in OLDER NEWER; do
        [ "$(diff -r "$SINTER_INCLUDE/sinter" "$SINTER_WORK/$name/sinter" |
            grep -c '^[<>]')" -ge 4 ] || fail "$name: the header has not become another"
        LD_LIBRARY_PATH=${SINTER_SHARED%/*} "$SINTER_WORK/$name/caller" ||
            fail "a program whose structs are $name is not served"
    done
}

steps='exports archive prefetches interface description breakages header dropped manual refused'
steps="$steps growth update"
case " $steps " in
*" ${1:-none} "*) "step_$1" ;;
*) fail "unknown step '${1-}': one of $steps" ;;
esac
