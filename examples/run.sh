#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh - shows what the library is for, from a fresh clone on a machine with nothing but git and a
# shell: installs what is missing (and says what and why), builds in build/examples, and runs a
# cache whose values change their sizes over libsinter-cache, and over malloc and jemalloc. Not a
# test run: that is tests/run.sh.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=tests/packages.sh
. "$root/tests/packages.sh"
build=$root/build/examples

usage()
{
    cat <<END
usage: examples/run.sh [--no-install] [--jobs N] [--limit MIB]
       examples/run.sh [--no-install] [--jobs N] --servers [--full | --limit MIB]
       examples/run.sh [--no-install] [--jobs N] --store [OPTION...]

Runs a cache that may hold 64 MiB while the sizes of its values shift, over libsinter-cache, and
over malloc and jemalloc, and prints whether each keeps its limit, what it holds within it, and how
fast it is. With --servers: memcached, Redis and sinterd side by side, through sockets, each told to
take 64 MiB while sizes shift: what it takes, and what it still has. With --store: a concurrent
cache under sizes derived from production and under shifts,
over malloc, jemalloc and the store (defragmenter off and on), and how much memory each needs for
the same payload. Each takes less than two minutes on two cores, besides installing and building
(--full: about six), and --store about 1 GiB of memory.

  --limit MIB   8 to 1024, with --servers from 16 (default 64)
  --servers     the second form
  --full        of it with 256 MiB
  --store       the third form
  --no-install  install nothing; what is missing makes the build fail, or is left out
  --jobs N      compile with N processes, 1 to 1024 (default: the number of cores)
  --help        this text
  OPTION        everything behind --store goes to that cache; its options, with their ranges and
                defaults: examples/run.sh --store --help

Installed where missing, by apt-get:
  gcc libc6-dev cmake pkg-config, make or ninja-build    to build
  liburcu-dev                                            the RCU under the library and the cache
  libjemalloc2                                           to compare with; left out if not to be had
Not installed, since their packages start services; left out where they are missing:
  memcached redis-server                                 for --servers
END
}

jobs=$(nproc 2>/dev/null || echo 1)
program=example_shift
server=
limit=64
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h)
        usage
        exit 0
        ;;
    --no-install) SINTER_NO_INSTALL=1 ;;
    --jobs)
        [ $# -ge 2 ] || die '--jobs needs a number from 1 to 1024'
        jobs=$2
        shift
        ;;
    --limit)
        [ $# -ge 2 ] || die '--limit needs a number from 8 to 1024'
        limit=$2
        shift
        ;;
    --servers)
        program=example_servers
        server=sinterd
        ;;
    --full) limit=256 ;;
    --store)
        program=example_cache
        shift
        break
        ;;
    *) die "unknown option '$1' (see --help)" ;;
    esac
    shift
done
check_jobs "$jobs"

step 'Packages'
need_build_tools
need_packages 'the RCU under the library and the cache' liburcu-dev
if [ -n "$server" ]; then
    for package in memcached redis-server; do
        [ -x "/usr/bin/$package" ] || command -v "$package" >/dev/null 2>&1 ||
            note "$package is not installed: left out (apt-get install $package)"
    done
else
    want_packages 'to compare with' libjemalloc2
fi
note 'All there'

step "Building in ${build#"$root"/}"
cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSINTER_EXAMPLES=ON \
    "-DSINTER_SERVER=$([ -n "$server" ] && echo ON || echo OFF)" --log-level=STATUS
# shellcheck disable=SC2086 # none, or one word
cmake --build "$build" --parallel "$jobs" --target "$program" $server

step 'Running the cache'
if [ -n "$server" ]; then
    set -- --sinterd "$build/src/server/sinterd"
fi
[ "$program" = example_cache ] || set -- "$@" --limit "$limit"
exec "$build/examples/$program" "$@"
