#!/bin/sh
# SPDX-License-Identifier: MIT
#
# readme_smoke.sh - run by ctest: does run.sh put its tables into a page, and leave the rest of it
# alone? Small sizes; only form is judged. Status 0: all is well, 1: something is not, 2: it could
# not run.
#
# Seen failing with: tables printed behind the line "end"; what stood between the lines kept; the
# page of a question that has no place in it written all the same.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
[ $# -eq 1 ] || {
    printf 'usage: bench/readme_smoke.sh BUILD_DIR\n' >&2
    exit 2
}
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 2' HUP INT TERM
bad=0

wrong()
{
    printf 'not so: %s\n' "$*" >&2
    bad=1
}

# run QUESTIONS STATUS
run()
{
    status=0
    SINTER_NO_INSTALL=1 "$root/bench/run.sh" --smoke --only "$1" --peers glibc \
        --build-dir "$build" --readme "$work/page" >"$work/out" 2>"$work/err" || status=$?
    [ "$status" -eq "$2" ] || {
        cat "$work/err" >&2
        wrong "run.sh --only $1 ends with $2; it ended with $status"
    }
}

cat >"$work/page" <<END
before
<!-- begin S1 -->
old figures of S1
<!-- end S1 -->
between
<!-- begin S3 -->
old figures of S3
<!-- end S3 -->
behind
END
cp "$work/page" "$work/before"
run S1b 2
cmp -s "$work/page" "$work/before" || wrong 'a page without a place for the question stays'

run S1 0
outside='/^<!-- begin S1/,/^<!-- end S1/!p'
sed -n "$outside" "$work/before" >"$work/outside"
sed -n "$outside" "$work/page" | cmp -s - "$work/outside" || wrong 'what stands outside stays'
sed -n '/^<!-- begin S1/,/^<!-- end S1/p' "$work/page" >"$work/table"
grep -q '^Printed by `bench/run.sh --smoke --only S1' "$work/table" || wrong 'the command is named'
grep -q '^| .* | cells | handles | glibc | target |$' "$work/table" || wrong 'a column a subject'
grep -Eq '^\| 64 B, ns( \| \*{0,2}[0-9.]+\*{0,2}){3} \|' "$work/table" || wrong 'figures in rows'
if grep -q 'old figures' "$work/table"; then
    wrong 'the old figures go'
fi
exit "$bad"
