#!/bin/sh
# SPDX-License-Identifier: MIT
#
# memcached_t.sh - memcached's own protocol tests (its t/*.t, in Perl) with sinterd as the server.
# For who has a checkout of memcached, best of tag 1.6.18; nothing of it is part of this tree. Each
# test starts "memcached-debug" with the arguments it likes: a scratch folder gets one that is
# sinterd.
#
#     tests/server/memcached_t.sh SINTERD CHECKOUT [NAME...]     all, or some: cas, metaget ...
#
# Status 0: all passed but those that are named below, with their reasons; 1: another one failed; 2:
# it could not run. About three minutes, more where others use the machine: a test that hangs is
# ended after 15 (chunked-items alone takes 7 s of CPU in its client).
set -eu

die()
{
    printf '%s: error: %s\n' "${0##*/}" "$*" >&2
    exit 2
}

# Files that cannot pass, and why. src/server/README.md shows them.
exceptions()
{
    cat <<END
00-startup       wants -C to be in stats settings, and -B auto, -B binary
64bit            starts with -M
binary           the binary protocol
binary-extstore  the binary protocol, storage on disk
binary-sasl      the binary protocol
chunked-extstore storage on disk
conn-limits      limits of reply objects, which are not here
dash-M           starts with -M
dyn-maxbytes     which of the items go is for its LRU to say
error-extstore   storage on disk
expirations      moves the clock by debugtime, a command of its debug build
extstore         storage on disk
extstore-buckets storage on disk
extstore-jbod    storage on disk
flush-all        starts with -C, and finds no cas then
issue_14         pages of slabs
issue_163        which of the items go is for its LRU to say
issue_183        which of the items go is for its LRU to say
issue_22         which of the items go is for its LRU to say
issue_29         chunks of slabs
issue_42         chunks of slabs
issue_50         starts with -B binary
issue_61         counts yields by -R
issue_67         looks for UDP ports
line-lengths     looks at its own documentation
lru              its LRU
lru-crawler      its LRU
lru-maintainer   its LRU
metaget          the meta flags h, l and t of items that were not asked for yet (README)
proxy            its proxy
restart          its own form of the file of -e
slabhang         slabs
slabs_reassign   slabs
slabs-reassign2  slabs
slabs-reassign-chunked slabs
ssl_cert_refresh TLS
ssl_ports        TLS
ssl_proto_version TLS
ssl_session_resumption TLS
ssl_settings     TLS
ssl_verify_modes TLS
stats            counts the lines of stats, and stats detail
stats-conns      states of connections by its own names
stats-detail     stats detail
udp              UDP
watcher          watch
watcher_connid   watch
END
}

[ $# -ge 2 ] || die 'usage: tests/server/memcached_t.sh SINTERD CHECKOUT [NAME...]'
sinterd=$(CDPATH='' cd -- "$(dirname -- "$1")" && pwd)/${1##*/}
checkout=$2
shift 2
[ -x "$sinterd" ] || die "\"$sinterd\" is no program"
[ -f "$checkout/t/lib/MemcachedTest.pm" ] || die "there is no t/ in \"$checkout\""
command -v perl >/dev/null 2>&1 || die 'perl is not installed'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 2' HUP INT TERM
cp -r "$checkout/t" "$work/t"
printf '#!/bin/sh\nexec "%s" "$@"\n' "$sinterd" >"$work/memcached-debug"
# It ends what it starts after so many seconds; here that is done for the whole test.
printf '#!/bin/sh\nshift\nexec "$@"\n' >"$work/timedrun"
chmod +x "$work/memcached-debug" "$work/timedrun"
cd "$work"

reason_of()
{
    exceptions | sed -n "s/^$1  *//p"
}

passed=0 left_out=0 failed=0
run()
{
    reason=$(reason_of "$1")
    if [ -n "$reason" ] && [ -z "$asked" ]; then
        printf '%-24s left out: %s\n' "$1" "$reason"
        left_out=$((left_out + 1))
    elif timeout -k 5 900 perl "t/$1.t" >out 2>err </dev/null; then
        printf '%-24s passed\n' "$1"
        passed=$((passed + 1))
    else
        printf '%-24s FAILED\n' "$1"
        grep -h -A 4 '^not ok\|Failed to' out err | head -n 12
        failed=$((failed + 1))
    fi
}

asked=$*
[ $# -gt 0 ] || set -- t/*.t
for name in "$@"; do
    name=${name#t/}
    run "${name%.t}"
done
printf '%d passed, %d left out, %d failed\n' "$passed" "$left_out" "$failed"
[ "$failed" -eq 0 ]
