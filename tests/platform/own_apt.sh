# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# shellcheck disable=SC2154 # build is the sourcing script's
#
# own_apt.sh - for other scripts to source: apt-get with lists and packages of its own below
# $build/apt, so that nothing of the system's changes.

# begin_own_apt TYPE: deb or deb-src, of the release that runs here.
begin_own_apt()
{
    mkdir -p "$build/apt/lists/partial" "$build/apt/archives/partial"
    : >"$build/apt/status"
    # shellcheck disable=SC1091 # of the system
    printf '%s http://deb.debian.org/debian %s main\n' "$1" "$(. /etc/os-release && echo \
        "${VERSION_CODENAME:-stable}")" >"$build/apt/sources"
}

# own_apt ARGUMENT...: as apt-get.
own_apt()
{
    apt-get -o Dir::State="$build/apt" -o Dir::State::status="$build/apt/status" \
        -o Dir::Cache="$build/apt" -o APT::Sandbox::User=root -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::Etc::SourceList="$build/apt/sources" "$@"
}
