#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ./go demo            set up what is missing, build, and run `muster demo`
# ./go test [--with PART,PART] [PRESET]
#                      the same, and run all tests of a preset: release (default), debug, clang, asan, tsan, fuzz; --with
#                      installs what tests of hosts and postgres need and are skipped without
# ./go build [PRESET]  the same without running anything
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
    sed -n '3,7s/^# //p' "$0" >&2
    exit 2
}

# Sets up and builds: PRESET [TARGET...]
build() {
    local preset=$1 folder=build/$1 fresh=() for_tests=()
    shift
    if (($# == 0)); then
        for_tests=(--for-tests)
    fi
    scripts/setup "${for_tests[@]}" "${with[@]}" "$preset"
    # A build folder that was made elsewhere (the checkout was copied or moved) can't be used.
    if [[ -f $folder/CMakeCache.txt ]] &&
        ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$(pwd -P)" "$folder/CMakeCache.txt"; then
        fresh=(--fresh)
    fi
    # Configured by `go demo`, it may not have found what the tests need: looking again takes two seconds.
    if [[ ! -f $folder/build.ninja || ${#fresh[@]} -gt 0 || ${#for_tests[@]} -gt 0 ]]; then
        # The presets that name no compiler are meant for g++; CXX overrides it.
        CXX=${CXX:-g++} cmake --preset "$preset" "${fresh[@]}"
    fi
    cmake --build --preset "$preset" ${1:+--target "$@"}
}

with=()
if [[ ${1:-} == test && ${2:-} == --with && $# -ge 3 ]]; then
    with=(--with "$3")
    set -- test "${@:4}"
fi
(($# >= 1 && $# <= 2)) || usage
preset=${2:-release}
case $1 in
demo)
    (($# == 1)) || usage
    build release muster_command
    exec build/release/bin/muster demo
    ;;
build)
    build "$preset"
    ;;
test)
    build "$preset"
    exec ctest --preset "$preset"
    ;;
*)
    usage
    ;;
esac
