# shellcheck shell=sh
# SPDX-License-Identifier: MIT
#
# options.sh - sourced by run.sh scripts whose head is their help: what they say of their options.
#
#   head_as_help "$@"                  with --help: prints the head of the script, and ends it
#   need_flavour --flavour "$2"        ends the script unless the value names a flavour
#   bad --seeds "$2" 'a number'        ends it, with status 2: the value is not a number

bad()
{
    echo "run.sh: $1: $2 is not $3" >&2
    exit 2
}

head_as_help()
{
    if [ "${1-}" = --help ]; then
        sed -n '/^# run\.sh/,/^$/{ s/^# \{0,1\}//; p; }' "$0"
        exit 0
    fi
}

need_flavour()
{
    case $2 in
    memb | mb | qsbr | bp) ;;
    *) bad "$1" "$2" "memb, mb, qsbr or bp" ;;
    esac
}
