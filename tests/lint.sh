#!/bin/sh
# SPDX-License-Identifier: MIT
#
# lint.sh - what can be checked without running the code. Needs nothing installed but a shell: a
# tool that is not there is left out, with a line that says so (tests/run.sh installs them all).
#
# The rules of clang-format, clang-tidy and cppcheck differ between versions. The versions below are
# those that this tree is clean with; findings of another one are shown, and do not fail.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=tests/packages.sh
. "$root/tests/packages.sh"

llvm_version=14
cppcheck_version=2.10
all_checks='spdx lines readme order symbols waits names shell format tidy analyzer cppcheck'

usage()
{
    cat <<END
usage: tests/lint.sh [--build DIR] [--jobs N] [--without CHECK] [CHECK...]

  --build DIR      where to configure for a compile database (default: build/lint)
  --jobs N         how many files at a time, 1 to 1024 (default: the number of cores)
  --without CHECK  not this one; may be given several times
  --help           this text

CHECK, default all of them:
  spdx      the licence line at the head of every source file
  lines     lines of at most 100 characters
  readme    README.md has at most 150 lines, no page a line of more than 100 characters, measured
            tables aside; the files that pages name and link to exist
  order     which file includes which: only files of its layer and lower ones, see src/README.md
  symbols   which object file uses what of which: only of its layer and lower ones; and no header
            declares what another module's source defines
  waits     waits that are cancellation points, see src/base/cancel.h
  names     functions and files that tests/integer.ignorelist and tests/coverage.md name exist
  shell     shellcheck over the scripts
  format    clang-format over C and C++
  tidy      clang-tidy over src and defrag, without clang's static analyzer
  analyzer  clang's static analyzer over the same: most of the time that all takes
  cppcheck  cppcheck over src and defrag
END
}

# files PATTERN...: the files of the tree, without what .gitignore names.
files()
{
    if git -C "$root" rev-parse --git-dir >/dev/null 2>&1; then
        git -C "$root" ls-files -co --exclude-standard -- "$@" | while IFS= read -r file; do
            [ ! -f "$root/$file" ] || printf '%s\n' "$file"
        done
    else
        for pattern in "$@"; do
            case $pattern in
            */*) set -- -path "./$pattern" ;;
            *) set -- -name "$pattern" ;;
            esac
            (cd "$root" && find . -name '.git' -prune -o -path './build*' -prune -o -type f \
                "$@" -print) | sed 's,^\./,,'
        done | sort -u
    fi
}

c_files()
{
    files '*.c' '*.h' '*.cc' '*.inc'
}

source_files()
{
    c_files
    files '*.sh' '*.cmake' '*.cmake.in' '*.pc.in' '*.map' '*.pml' '*.py' '*.supp' \
        '*.awk' '*.gp' '*.ignorelist' 'CMakeLists.txt' '*/CMakeLists.txt' '.ci/run'
}

# has TOOL: is it here?
has()
{
    command -v "$1" >/dev/null 2>&1 && return 0
    note "$1 is not installed: left out"
    return 1
}

# binding TOOL VERSION: is it the version whose findings count? Looks at --version's first number
# that stands behind the word "version", or at the end of the line.
binding()
{
    found=$("$1" --version | sed -n -E 's/^(.*version |[A-Za-z]+ )([0-9]+(\.[0-9]+)*).*$/\2/p' |
        head -n 1)
    case $found in
    "$2" | "$2".*) return 0 ;;
    esac
    note "$1 is version ${found:-unknown}, the rules were written for $2: findings do not fail"
    return 1
}

# judge TOOL VERSION STATUS: a tool's exit status, as far as its version is binding.
judge()
{
    [ "$3" -ne 0 ] || return 0
    ! binding "$1" "$2"
}

check_spdx()
{
    source_files | while IFS= read -r file; do
        head -n 2 "$root/$file" | grep -q 'SPDX-License-Identifier: MIT' || printf '%s\n' "$file"
    done >"$work/found"
    if [ -s "$work/found" ]; then
        sed 's/$/: no SPDX-License-Identifier: MIT in the first two lines/' "$work/found"
        return 1
    fi
}

check_lines()
{
    source_files | (cd "$root" && LC_ALL=C.UTF-8 xargs grep -nE '^.{101,}$' /dev/null) \
        >"$work/found" || true
    if [ -s "$work/found" ]; then
        sed -E 's/^([^:]*:[0-9]+):.*/\1: longer than 100 characters/' "$work/found"
        return 1
    fi
}

# What stands between the lines "begin" and "end" in bench/README.md a program has written.
long_lines()
{
    LC_ALL=C.UTF-8 awk '
        /^<!-- begin [A-Za-z0-9]+ -->$/ { written = 1 }
        /^<!-- end [A-Za-z0-9]+ -->$/ { written = 0 }
        !written && length($0) > 100 { print FILENAME ":" FNR ": longer than 100 characters" }' "$@"
}

# Files that a page names between backquotes, by what their names end with, and those that it links
# to, one a line; of a command that runs one model the model. "|" stands for a path that counts from
# the page's folder.
named_files()
{
    # shellcheck disable=SC2016 # the backquotes are the page's
    grep -oE '`[A-Za-z0-9_./-]+\.(c|h|hpp|sh|md|awk|map|ignorelist)`' "$1" | tr -d '`'
    grep -oE '\]\([^)#:]+[)#]' "$1" | sed -E 's/^..(.*).$/|\1/'
    grep -oE 'tests/model/run\.sh --only [a-z]+' "$1" | sed 's,.* ,tests/model/,; s,$,.pml,'
}

check_readme()
{
    status=0
    files '*' >"$work/files"
    lines=$(wc -l <"$root/README.md")
    if [ "$lines" -gt 150 ]; then
        echo "README.md: $lines lines; it has at most 150, what is more belongs to another page"
        status=1
    fi
    grep -E '(^|/)README\.md$' "$work/files" | grep -v '^bench/data/' >"$work/pages"
    while IFS= read -r page; do
        (cd "$root" && long_lines "$page")
        named_files "$root/$page" | sort -u | while IFS= read -r name; do
            case $name in
            '|'*) [ -e "$root/$(dirname "$page")/${name#|}" ] ;;
            *) grep -qE "(^|/)$(printf '%s' "$name" | sed 's/\./\\./g')\$" "$work/files" ;;
            esac || echo "$page: there is no ${name#|}"
        done
    done <"$work/pages" >"$work/found"
    cat "$work/found"
    [ ! -s "$work/found" ] || status=1
    return $status
}

# The layers stand in src/README.md, lowest first: lines that begin with a folder and two spaces.
layers()
{
    sed -nE 's,^(src/[a-z]+|defrag)  .*,\1,p' "$root/src/README.md"
}

library_files()
{
    files 'src/*.[ch]' 'defrag/*.[ch]'
}

# A file includes only files of its own folder and of those above it in the list, and names them
# from src, or from the root: "thread/limbo.h", "memory/policy.h". Public headers are in brackets.
check_order()
{
    layers >"$work/layers"
    library_files >"$work/files"
    (
        cd "$root"
        xargs grep -nE '^ *# *include +"' /dev/null <"$work/files" || true
    ) | awk -v layers="$work/layers" -v files="$work/files" '
        function folder(path)
        {
            sub(/\/[^\/]*$/, "", path)
            return path
        }
        function complain(text)
        {
            print text
            bad = 1
        }
        BEGIN {
            while ((getline path < layers) > 0)
                layer[path] = ++n
            while ((getline path < files) > 0) {
                known[path] = 1
                if (!(folder(path) in layer))
                    complain(path ": its folder is not in the list of layers in src/README.md")
            }
        }
        {
            split($0, part, ":")
            target = $0
            sub(/^[^"]*"/, "", target)
            sub(/".*$/, "", target)
            if (("src/" target) in known)
                target = "src/" target
            where = part[1] ":" part[2] ": includes " target
            if (!(target in known))
                complain(where ", which names no file of src (folder/name.h) or defrag")
            else if (folder(part[1]) ~ /^src\/(cache|server)$/ && folder(target) != folder(part[1]))
                complain(where "; " folder(part[1]) " is built on the public headers")
            else if (layer[folder(target)] > layer[folder(part[1])])
                complain(where ", which is in a higher layer")
        }
        END { exit bad }'
}

# symbols_of defined|used: "symbol file" of each that the library's sources define, or use of
# others.
symbols_of()
{
    while IFS= read -r file; do
        case $file in
        src/cache/*) object=src/cache/CMakeFiles/sinter_cache_objects.dir/${file##*/}.o ;;
        *) object=CMakeFiles/sinter_objects.dir/$file.o ;;
        esac
        nm "$build/$object" | awk -v file="$file" -v want="$1" '
            want == "used" && $1 == "U" { print $2, file }
            want == "defined" && $2 ~ /^[A-TV-Z]$/ { print $3, file }'
    done <"$work/sources"
}

# A header declares outside of functions and structs. A name there that no source defines, as that
# of a type or of a static function, does not matter.
check_symbols()
{
    has nm || return 0
    compile_database || return 1
    cmake --build "$build" --target sinter_objects sinter_cache_objects -j "$jobs" \
        >"$work/make" 2>&1 || {
        tail -n 30 "$work/make"
        return 1
    }
    layers >"$work/layers"
    library_files | grep -v -e '^src/tools/' -e '^src/server/' >"$work/of_libraries"
    grep '\.c$' "$work/of_libraries" >"$work/sources"
    grep '\.h$' "$work/of_libraries" >"$work/headers"
    symbols_of defined >"$work/defined"
    symbols_of used >"$work/used"
    (
        cd "$root"
        xargs grep -n '' /dev/null <"$work/headers"
    ) | awk -v layers="$work/layers" -v defined="$work/defined" -v used="$work/used" '
        function folder(path)
        {
            sub(/\/[^\/]*$/, "", path)
            return path
        }
        function stem(path)
        {
            sub(/\.[ch]$/, "", path)
            return path
        }
        function complain(text)
        {
            print text
            bad = 1
        }
        BEGIN {
            while ((getline path < layers) > 0)
                layer[path] = ++n
            while ((getline < defined) > 0)
                home[$1] = $2
            while ((getline < used) > 0)
                if ($1 in home && layer[folder(home[$1])] > layer[folder($2)])
                    complain($2 ": uses " $1 " of " home[$1] ", which is in a higher layer")
        }
        {
            split($0, part, ":")
            line = substr($0, length(part[1] part[2]) + 3)
            if (part[2] == 1)
                depth = comment = 0
            if (line ~ /^ *#/)
                line = ""
            gsub(/\/\*([^*]|\*[^\/])*\*\//, "", line)
            if (comment && line !~ /\*\//)
                next
            if (comment) {
                sub(/^.*\*\//, "", line)
                comment = 0
            }
            if (line ~ /\/\*/) {
                sub(/\/\*.*$/, "", line)
                comment = 1
            }
            for (; match(line, /[{}]|[A-Za-z_][A-Za-z_0-9]*/); line = rest) {
                word = substr(line, RSTART, RLENGTH)
                rest = substr(line, RSTART + RLENGTH)
                if (word == "{")
                    depth++
                else if (word == "}")
                    depth--
                else if (depth == 0 && word in home && stem(home[word]) != stem(part[1]))
                    complain(part[1] ":" part[2] ": declares " word " of " home[word])
            }
        }
        END { exit bad }'
}

# src/cache waits with cancellation disabled (sc_wait_begin), or in a thread of its own.
check_waits()
{
    if library_files | grep -v -e '^src/base/lock\.h$' -e '^src/tools/' -e '^src/cache/' |
        (cd "$root" && xargs grep -nE '(pthread_cond_[a-z]*wait|nanosleep|usleep) *\(' /dev/null) |
        grep -v '^src/os/osmem\.c:.*nanosleep'; then
        echo 'cancellation points; sn_wait, sn_wait_until and sn_os_sleep_ns are none'
        return 1
    fi
}

# Prints those of a list's names, one a line, that no file in $work/files has or is called.
missing_names()
{
    while IFS= read -r name; do
        case $name in
        *.[ch]) grep -qE "(^|/)$name\$" "$work/files" ;;
        *) (cd "$root" && xargs cat <"$work/files" | grep -wF -e "$name" >/dev/null) ;;
        esac || printf '%s\n' "$1: there is no $name"
    done
}

check_names()
{
    library_files >"$work/files"
    sed -n 's/^fun://p' "$root/tests/integer.ignorelist" |
        missing_names tests/integer.ignorelist >"$work/found"
    files 'tests/*.c' >>"$work/files"
    # In coverage.md a name stands alone between backquotes; what has other characters is a path, a
    # command or a pattern.
    # shellcheck disable=SC2016
    grep -oE '`[A-Za-z0-9_.]+`' "$root/tests/coverage.md" | tr -d '`' | sort -u |
        missing_names tests/coverage.md >>"$work/found"
    cat "$work/found"
    [ ! -s "$work/found" ]
}

check_shell()
{
    has shellcheck || return 0
    files '*.sh' '.ci/run' | (cd "$root" && xargs shellcheck -x -P "$root")
}

check_format()
{
    has clang-format || return 0
    status=0
    c_files | grep -v '\.inc$' |
        (cd "$root" && xargs clang-format --dry-run -Werror) 2>"$work/found" || status=$?
    sed -n 's/^\([^:]*:[0-9]*\):[0-9]*: error: code should.*/\1/p' "$work/found" | uniq |
        sed 's/$/: not as clang-format puts it/'
    # What it says besides: an option it does not know, a file it cannot read.
    grep -vE '(error: code should|^ *\^|^[^:]*$)' "$work/found" | grep ' error: \|^error' || true
    judge clang-format $llvm_version $status
}

# compile_database: the compiler's arguments for each file of src and defrag.
compile_database()
{
    [ -z "${database-}" ] || return 0
    choose_generator
    cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
        -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DSINTER_TOOLS=ON -DSINTER_SERVER=ON \
        >"$work/cmake" 2>&1 || {
        cat "$work/cmake"
        return 1
    }
    cmake --build "$build" --target sinter_map_page >"$work/cmake" 2>&1 || {
        cat "$work/cmake"
        return 1
    }
    database=$build/compile_commands.json
}

# run_tidy CHECKS: of those that .clang-tidy names the ones that CHECKS leaves.
run_tidy()
{
    has clang-tidy || return 0
    compile_database || return 1
    status=0
    library_files | grep '\.c$' |
        (cd "$root" && xargs -n 1 -P "$jobs" clang-tidy --quiet -p "$build" "--checks=$1") \
            >"$work/tidy" 2>"$work/tidy.err" || status=$?
    # One line for each finding; a header's findings come once for each file that includes it.
    if [ $status -ne 0 ]; then
        grep -hE '(error|warning): ' "$work/tidy" | LC_ALL=C sort -u | sed "s,^$root/,," ||
            cat "$work/tidy.err"
    fi
    judge clang-tidy $llvm_version $status
}

check_tidy()
{
    run_tidy '-clang-analyzer-*'
}

# What .clang-tidy leaves out of it, with commas between.
analyzer_exceptions()
{
    sed -nE 's/^ +(-clang-analyzer-[A-Za-z.]+),?$/\1/p' "$root/.clang-tidy" | paste -sd , -
}

check_analyzer()
{
    run_tidy "-*,clang-analyzer-*,$(analyzer_exceptions)"
}

# Without a cppcheck configuration of its own the tool takes every #if both ways; the compile
# database and the compiler's macros keep it to what is built.
check_cppcheck()
{
    has cppcheck || return 0
    compile_database || return 1
    status=0
    cppcheck --quiet --enable=warning,performance,portability --error-exitcode=1 --inline-suppr \
        --project="$database" -j "$jobs" -D__GNUC__=12 -D__x86_64__=1 -D__linux__=1 \
        -D__SIZEOF_POINTER__=8 -D__BYTE_ORDER__=1234 -D__ORDER_LITTLE_ENDIAN__=1234 \
        -i "$build/src/tools/map_page.c" --suppress=missingIncludeSystem || status=$?
    judge cppcheck $cppcheck_version $status
}

# need_check NAME: there is one of this name.
need_check()
{
    case " $all_checks " in
    *" $1 "*) ;;
    *) die "unknown check '$1': one of $all_checks" ;;
    esac
}

jobs=$(nproc 2>/dev/null || echo 1)
build=$root/build/lint
checks=
without=
while [ $# -gt 0 ]; do
    case $1 in
    --help)
        usage
        exit 0
        ;;
    --build | --jobs | --without)
        [ $# -ge 2 ] || die "option $1 needs a value"
        case $1 in
        --without)
            need_check "$2"
            without="$without $2"
            ;;
        --build) build=$2 ;;
        --jobs) jobs=$2 ;;
        esac
        shift
        ;;
    -*) die "unknown option '$1' (see --help)" ;;
    *)
        need_check "$1"
        checks="$checks $1"
        ;;
    esac
    shift
done
check_jobs "$jobs"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

failed=
for check in ${checks:-$all_checks}; do
    case " $without " in
    *" $check "*) continue ;;
    esac
    note "lint: $check"
    "check_$check" || failed="$failed $check"
done
[ -z "$failed" ] || {
    printf 'lint.sh: failed:%s\n' "$failed" >&2
    exit 1
}
