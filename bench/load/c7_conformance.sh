#!/bin/sh
# SPDX-License-Identifier: MIT
#
# c7_conformance.sh - C7: do clients that are not ours find a memcached in sinterd? Each is tried by
# tests/server/clients.py and its like, which say what they want of it. One line of JSON for
# bench/table.awk: 1 for each that is content, 0 for one that is not; one that is not installed is
# left out, with a note.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
if [ "${1-}" != --sinterd ] || [ $# -ne 2 ]; then
    printf 'usage: bench/load/c7_conformance.sh --sinterd PROGRAM\n' >&2
    exit 2
fi
sinterd=$2
metrics='' notes=''

add()
{
    metrics="$metrics${metrics:+,}{\"name\":\"$1\",\"unit\":\"content\",\"value\":$2,"
    metrics="$metrics\"better\":\"higher\",\"target\":1}"
}

# ask NAME COMMAND...
ask()
{
    name=$1 status=0
    shift
    "$@" >/dev/null 2>&1 || status=$?
    case $status in
    0) add "$name" 1 ;;
    77) notes="$notes${notes:+,}{\"note\":\"$name is not installed\"}" ;;
    *) add "$name" 0 ;;
    esac
}

tests=$root/tests/server
python=/usr/bin/python3 # packages of clients are for the system's
[ -x "$python" ] || python=python3
for client in memccapable pymemcache libmemcached; do
    ask "$client" "$python" "$tests/clients.py" "$sinterd" "$client"
done
ask nutcracker "$python" "$tests/several.py" "$sinterd"
ask haproxy "$python" "$tests/tls.py" "$sinterd"
ask 'conversations as memcached' "$python" "$tests/compare.py" "$sinterd" memcached
ask "the exporter's fields" "$python" "$tests/serve.py" "$sinterd" the_exporter_finds_its_fields
printf '{"question":"C7","title":"clients that are not ours","subject":"sinterd",'
printf '"case":"each by its own test","seed":1,"smoke":false,"metrics":[%s],"notes":[%s]}\n' \
    "$metrics" "$notes"
