# shellcheck shell=sh
# SPDX-License-Identifier: MIT
#
# packages.sh - sourced by the run.sh scripts (POSIX sh): progress lines, and the installation of
# packages that are missing, by apt-get. It runs nothing by itself.
#
#   . "$root/tests/packages.sh"
#   step 'Building'                                  a heading
#   note 'with clang'                                a line below it
#   die 'no such file: x'                            an error; ends the script with status 2
#   need_packages 'to build' cmake liburcu-dev       installs what is missing, or ends the script
#   want_packages 'for peers' libuv1-dev             installs what can be had; the rest is no error
#   need_build_tools                                 what every build with CMake needs
#   choose_generator                                 CMake uses ninja where it is installed
#   check_jobs "$jobs"                               the value of --jobs, or the end
#
# A package may be written as package=command: it counts as present when the command can be found,
# however it came there. SINTER_NO_INSTALL=1 turns installation off: nothing is looked for then, and
# the build says what it misses.

step()
{
    printf '\n==> %s\n' "$*"
}

note()
{
    printf '    %s\n' "$*"
}

die()
{
    printf '%s: error: %s\n' "${0##*/}" "$*" >&2
    exit 2
}

check_jobs()
{
    case $1 in
    '' | *[!0-9]* | ?????*) die "--jobs '$1': a number from 1 to 1024 is needed" ;;
    esac
    if [ "$1" -lt 1 ] || [ "$1" -gt 1024 ]; then
        die "--jobs '$1': a number from 1 to 1024 is needed"
    fi
}

# packages_has PACKAGE[=COMMAND]
packages_has()
{
    case $1 in
    *=*) command -v "${1#*=}" >/dev/null 2>&1 && return 0 ;;
    esac
    dpkg-query -W -f '${db:Status-Status}\n' "${1%%=*}" 2>/dev/null | grep -qx installed
}

# packages_missing PACKAGE...: prints those that are not there, without "=command".
packages_missing()
{
    for packages_item in "$@"; do
        packages_has "$packages_item" || printf '%s ' "${packages_item%%=*}"
    done
}

# packages_as_root COMMAND...: never asks for a password where nobody can answer.
packages_as_root()
{
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

# packages_apt ARGUMENT...: shows errors only.
packages_apt()
{
    packages_as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null >/dev/null
}

# packages_can_install: says why not.
packages_can_install()
{
    if ! command -v apt-get >/dev/null 2>&1; then
        packages_why='there is no apt-get here'
    elif [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null 2>&1; then
        packages_why='that needs root, or sudo'
    else
        return 0
    fi
    return 1
}

# packages_install PACKAGE...: updates the package lists before the first installation. A source
# that cannot be read is not the end: the package may come from another.
packages_install()
{
    packages_can_install || return 1
    packages_why='apt-get failed, see above'
    if [ -z "${packages_updated-}" ]; then
        note 'Updating the package lists (apt-get update)'
        packages_apt update || note 'apt-get update failed; going on with the lists there are'
        packages_updated=1
    fi
    packages_apt install --no-install-recommends "$@"
}

need_packages()
{
    packages_reason=$1
    shift
    [ "${SINTER_NO_INSTALL:-0}" = 0 ] || return 0
    packages_list=$(packages_missing "$@")
    [ -n "$packages_list" ] || return 0
    note "Installing, $packages_reason: ${packages_list% }"
    # The list is to be split.
    # shellcheck disable=SC2086
    packages_install $packages_list ||
        die "cannot install ${packages_list% } ($packages_reason): $packages_why. Install them" \
            "(or what your system calls them) and set SINTER_NO_INSTALL=1"
}

# choose_generator: CMake itself takes make, also where only ninja is installed. A build directory
# that was configured before keeps its own.
choose_generator()
{
    if [ -z "${CMAKE_GENERATOR-}" ] && command -v ninja >/dev/null 2>&1; then
        CMAKE_GENERATOR=Ninja
        export CMAKE_GENERATOR
    fi
}

need_build_tools()
{
    need_packages 'to build' gcc=gcc libc6-dev cmake=cmake pkg-config=pkg-config
    if ! command -v ninja >/dev/null 2>&1 && ! command -v make >/dev/null 2>&1; then
        need_packages 'to build' ninja-build
    fi
    choose_generator
}

want_packages()
{
    packages_reason=$1
    shift
    [ "${SINTER_NO_INSTALL:-0}" = 0 ] || return 0
    packages_list=$(packages_missing "$@")
    [ -n "$packages_list" ] || return 0
    note "Installing, $packages_reason: ${packages_list% }"
    # One that cannot be had must not keep the others away: then each by itself.
    # shellcheck disable=SC2086
    packages_install $packages_list 2>/dev/null && return 0
    for packages_item in $packages_list; do
        packages_install "$packages_item" ||
            note "Going on without $packages_item ($packages_reason): $packages_why"
    done
}
