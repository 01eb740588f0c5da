#!/bin/sh
# Builds the verifying servers of docs/verify/ that are not in Python, each with the tools of its language and what its own files name.
#
#   sh tests/parties/languages.sh [typescript] [go] [java] [rust]
#
# Safe to run again: what is built stays. Bounded: ten minutes for each language. A language whose tools are not here is passed over
# by name; with CI_PARTIES=required in the environment that is a failure.
set -eu
case ${PYTHON:=python3} in /*) ;; */*) PYTHON=$PWD/$PYTHON ;; esac
cd "$(dirname "$0")"
. ./tools.sh
cd ../../docs/verify

# Each stops at its first failure by itself: within a condition, `set -e` does nothing.
build_typescript() {
    cd typescript || return
    if [ -f node_modules/.installed ] && cmp -s node_modules/.installed package-lock.json; then return; fi
    run_npm ci && cp package-lock.json node_modules/.installed
}

build_go() {
    cd go && go build -o build/weather .
}

build_java() {
    cd java && mvn -q -B -Dstyle.color=never -Dmaven.test.skip=true package
}

build_rust() {
    cd rust || return
    # Cargo.lock has the address of the registry with each package; versions.lock is the same without. Cargo says what it is here.
    if ! cmp -s versions.lock target/versions.lock; then
        rm -f Cargo.lock && mkdir -p target && cargo generate-lockfile --quiet || return
        source=$(grep -m 1 '^source = ' Cargo.lock) || return
        while IFS= read -r line; do
            case $line in checksum*) printf '%s\n' "$source" ;; esac
            printf '%s\n' "$line"
        done <versions.lock >Cargo.lock
    fi
    cargo build --quiet --locked && cp versions.lock target/versions.lock
}

has_tools() {
    case $1 in
        typescript) find_npm ;;
        go) command -v go >/dev/null 2>&1 ;;
        java) command -v mvn >/dev/null 2>&1 ;;
        rust) command -v cargo >/dev/null 2>&1 ;;
    esac
}

for language in ${*:-typescript go java rust}; do
    if ! has_tools "$language"; then
        echo "The server in $language was not built: its tools are not here." >&2
        if [ "${CI_PARTIES:-}" = required ]; then exit 1; fi
    elif ! within 600 "build_$language"; then
        echo "The server in $language could not be built." >&2
        exit 1
    fi
done
