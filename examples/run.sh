#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh - shows what the library is for, from a fresh clone on a machine with nothing but git and a
# shell: installs what is missing (and says what and why), builds in build/examples, and runs the
# cache of examples/cache over malloc, jemalloc and Sinter. Not a test run: that is tests/run.sh.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=tests/packages.sh
. "$root/tests/packages.sh"
build=$root/build/examples

usage()
{
    cat <<END
usage: examples/run.sh [--no-install] [--jobs N] [OPTION...]

Runs a concurrent cache under production-derived value sizes and under size shifts, over malloc,
jemalloc and Sinter (defragmenter off and on), and prints how much memory each needs for the same
payload. Takes less than two minutes on two cores, and about 1 GiB of memory, besides installing and
building.

  --no-install  install nothing; what is missing makes the build fail, or is left out
  --jobs N      compile with N processes, 1 to 1024 (default: the number of cores)
  --help        this text
  OPTION        everything from the first other argument on goes to the cache; its options, with
                their ranges and defaults: examples/run.sh -- --help

Installed where missing, by apt-get:
  gcc libc6-dev cmake pkg-config, make or ninja-build    to build
  liburcu-dev                                            the RCU under the library and the cache
  libjemalloc2                                           to compare with; left out if not to be had
END
}

jobs=$(nproc 2>/dev/null || echo 1)
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
    --)
        shift
        break
        ;;
    *) break ;;
    esac
    shift
done
case $jobs in
'' | *[!0-9]* | ?????*) die "--jobs '$jobs': a number from 1 to 1024 is needed" ;;
esac
if [ "$jobs" -lt 1 ] || [ "$jobs" -gt 1024 ]; then
    die "--jobs '$jobs': a number from 1 to 1024 is needed"
fi

step 'Packages'
need_build_tools
need_packages 'the RCU under the library and the cache' liburcu-dev
want_packages 'to compare with' libjemalloc2
note 'All there'

step "Building in ${build#"$root"/}"
cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSINTER_EXAMPLES=ON \
    --log-level=STATUS
cmake --build "$build" --parallel "$jobs" --target example_cache

step 'Running the cache'
exec "$build/examples/example_cache" "$@"
