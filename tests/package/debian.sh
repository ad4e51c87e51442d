#!/bin/sh
# SPDX-License-Identifier: MIT
#
# One step of the test of debian/: debian.sh STEP, one of those at its end, which build on each
# other. ctest calls it; the SINTER_* variables it reads are set in CMakeLists.txt. Status 77: what
# the step needs is not there.
#
#   build    the source archive holds what git knows, and packages are made of it, with no git
#   lintian  nothing is found, down to "pedantic" and "experimental"
#   root     in a Debian 12 with nothing else: packages of an earlier version are installed and
#            upgraded, consumers are built against them, and purging leaves nothing. mmdebstrap
#            makes it, from SINTER_MIRROR; or it is in SINTER_ROOT_TAR, as mmdebstrap writes it
#
# Seen failing: a directory of the build that the archive did not leave out; a function that is
# missing in the symbols file; files left after a purge.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
source=$SINTER_WORK/sinter-$SINTER_VERSION
root=$SINTER_WORK/root
mirror=${SINTER_MIRROR:-http://deb.debian.org/debian}
lintian_version=2.116

fail()
{
    printf 'package: %s\n' "$*" >&2
    exit 1
}

# needs COMMAND...: or the step is skipped.
needs()
{
    for command in "$@"; do
        command -v "$command" >/dev/null 2>&1 || {
            printf 'package: not run here: there is no %s\n' "$command"
            exit 77
        }
    done
}

run()
{
    printf '+ %s\n' "$*"
    "$@"
}

# ---- build ---------------------------------------------------------------------------------------

archive_is_whole()
{
    git -C "$SINTER_SOURCE" rev-parse --git-dir >/dev/null 2>&1 || return 0
    git -C "$SINTER_SOURCE" ls-files -co --exclude-standard | while IFS= read -r file; do
        [ ! -f "$SINTER_SOURCE/$file" ] || printf '%s\n' "$file"
    done | LC_ALL=C sort >"$SINTER_WORK/known"
    (cd "$source" && find . ! -type d) | sed 's,^\./,,' | LC_ALL=C sort |
        diff "$SINTER_WORK/known" - || fail 'what git knows (<) and the archive (>) differ'
}

# A function that is not in debian/*.symbols is an error here: copy the line that is shown.
step_build()
{
    rm -rf "${SINTER_WORK:?}"
    mkdir -p "$SINTER_WORK"
    run "$SINTER_CPACK" --config "$SINTER_BUILD/CPackSourceConfig.cmake" -B "$SINTER_WORK"
    tar -C "$SINTER_WORK" -xf "$SINTER_WORK/sinter-$SINTER_VERSION.tar.gz"
    archive_is_whole
    needs dpkg-buildpackage dh cmake make pkg-config
    cd "$source"
    [ "$(dpkg-parsechangelog -S Version)" = "$SINTER_VERSION" ] ||
        fail "debian/changelog does not begin with version $SINTER_VERSION"
    DPKG_GENSYMBOLS_CHECK_LEVEL=4 DEB_BUILD_OPTIONS="nocheck terse parallel=$(nproc)" \
        run dpkg-buildpackage -us -uc -d
}

# ---- lintian -------------------------------------------------------------------------------------

step_lintian()
{
    needs lintian
    cd "$SINTER_WORK"
    status=0
    run lintian --allow-root --display-info --pedantic --display-experimental \
        --fail-on error,warning,info,pedantic,experimental sinter_"$SINTER_VERSION"_*.changes ||
        status=$?
    case $(lintian --version) in
    *" v$lintian_version"*) return $status ;;
    esac
    echo "the overrides were written for lintian $lintian_version: findings do not fail"
}

# ---- root ----------------------------------------------------------------------------------------

# inside COMMAND: by a shell in the bare system. Mounts end with it.
inside()
{
    printf '+ %s\n' "$1"
    # shellcheck disable=SC2016 # $0 and $1 are the inner shell's
    unshare --mount --propagation private sh -c '
        mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" || exit 77
        exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
            DEBIAN_FRONTEND=noninteractive sh -euc "$1" </dev/null' "$root" "$1"
}

# as_earlier DEB: the same package as of version VERSION~1, with a file that this one has not.
as_earlier()
{
    rm -rf "$SINTER_WORK/deb"
    dpkg-deb -R "$1" "$SINTER_WORK/deb"
    name=$(dpkg-deb -f "$1" Package)
    sed -i -E "s/^(Version: .*)/\1~1/; s/(libsinter[^ ]* \(>?= [0-9.]*)/\1~1/g" \
        "$SINTER_WORK/deb/DEBIAN/control"
    echo earlier >"$SINTER_WORK/deb/usr/share/doc/$name/earlier"
    dpkg-deb --root-owner-group -b "$SINTER_WORK/deb" "$root/earlier" >/dev/null
}

# files_there: all files, but those that are apt's and dpkg's own notes, and what a test made.
files_there()
{
    (cd "$root" && find . \( -path ./proc -o -path ./dev -o -path ./var/cache \
        -o -path ./var/log -o -path ./var/lib/apt -o -path ./var/lib/dpkg -o -path ./tmp \
        -o -path ./etc/ld.so.cache -o -path ./run \) -prune -o -print | LC_ALL=C sort)
}

# bare_system: Debian 12 with what builds programs, and none of our packages.
bare_system()
{
    [ "$(id -u)" = 0 ] || {
        echo 'package: not run here: a bare system needs root'
        exit 77
    }
    needs unshare chroot
    rm -rf "$root"
    mkdir -p "$root"
    if [ "${SINTER_ROOT_TAR:-}" ]; then
        run tar -C "$root" -xf "$SINTER_ROOT_TAR"
    else
        needs mmdebstrap
        run mmdebstrap --variant=minbase bookworm "$root" "$mirror" || {
            echo "package: not run here: no Debian 12 can be had from $mirror"
            exit 77
        }
    fi
    inside 'apt-get update -qq'
    mkdir -p "$root/earlier" "$root/now" "$root/consumer" "$root/var/lib/private"
    cp "$here"/consumer/* "$root/consumer"
    for deb in "$SINTER_WORK"/*.deb; do
        case $deb in *-dbgsym_*) continue ;; esac
        cp "$deb" "$root/now"
        as_earlier "$deb"
    done
}

programs='sinter-tools sinterd'
libraries='libsinter0.2 libsinter-cache0.2'
developments='libsinter-dev libsinter-cache-dev'

# install DIRECTORY PACKAGE...: of the files there, and what they need.
install()
{
    directory=$1
    shift
    files=
    for package in "$@"; do
        files="$files ./${package}_*"
    done
    inside "cd /$directory; apt-get install -qq --no-install-recommends $files"
}

# purged WHAT PACKAGE...: they go, and what came with them; then the files are those in WHAT.
purged()
{
    before=$1
    shift
    inside "apt-get purge -qq $* && apt-get autopurge -qq"
    files_there | diff "$before" - || fail 'the files above (>) are left by a purge'
}

# versions_are VERSION: of all packages that are there.
versions_are()
{
    # shellcheck disable=SC2016 # dpkg-query's own
    inside 'dpkg-query -W -f "\${Package} \${Version}\n" "*sinter*"' | grep -v '^+' \
        >"$SINTER_WORK/versions"
    cat "$SINTER_WORK/versions"
    ! grep -v " $1\$" "$SINTER_WORK/versions" || fail "these are not of version $1"
}

step_root()
{
    needs dpkg-deb
    bare_system
    files_there >"$SINTER_WORK/bare"
    # shellcheck disable=SC2086 # lists
    {
        install earlier $libraries $programs
        versions_are "$SINTER_VERSION~1"
        install now $libraries $programs
        versions_are "$SINTER_VERSION"
        [ -z "$(find "$root/usr/share/doc" -name earlier)" ] || fail 'an upgrade leaves files'
        inside 'sinter completion | head -n 1; sinterd -h | head -n 1'
        inside 'mkdir /var/lib/private/sinterd; ln -s private/sinterd /var/lib/sinterd
            echo kept by the service >/var/lib/sinterd/dump'
        purged "$SINTER_WORK/bare" $libraries $programs
        inside 'apt-get install -qq --no-install-recommends gcc g++ libc6-dev make cmake pkg-config'
        files_there >"$SINTER_WORK/bare"
        install now $libraries $developments
        consume
        purged "$SINTER_WORK/bare" $libraries $developments
    }
    ! inside 'cut -d: -f1 /etc/passwd' | grep -x sinterd || fail 'a user is left by a purge'
}

# The consumers of the package tests, by CMake and by pkg-config, in C and C++.
# shellcheck disable=SC2016 # $(...) is for the shell inside
consume()
{
    inside 'cmake -S consumer -B build >/dev/null && cmake --build build >/dev/null &&
        ctest --test-dir build --output-on-failure --no-tests=error'
    inside 'cc -Wall -Werror consumer/consumer.c \
        $(pkg-config --cflags --libs sinter liburcu) -o c && ./c && ldd c | grep sinter'
    inside 'c++ -Wall -Werror consumer/cache.cc \
        $(pkg-config --cflags --libs sinter-cache liburcu-bp) -o cc && ./cc && ldd cc | grep sinter'
    rm -rf "$root/build" "$root/c" "$root/cc"
}

steps='build lintian root'
case " $steps " in
*" ${1:-none} "*) "step_$1" ;;
*) fail "unknown step '${1-}': one of $steps" ;;
esac
