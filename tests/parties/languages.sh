#!/bin/sh
# Builds the verifying servers of docs/verify/ that are not in Python, each with the tools of its language and what its own files name.
#
#   sh tests/parties/languages.sh [typescript] [go] [java]
#
# Safe to run again: what is built stays. Bounded: ten minutes for each language. A language whose tools are not here is passed over
# by name; with CI_PARTIES=required in the environment that is a failure.
set -eu
case ${PYTHON:=python3} in /*) ;; */*) PYTHON=$PWD/$PYTHON ;; esac
cd "$(dirname "$0")"
. ./tools.sh
cd ../../docs/verify

typescript() {
    cd typescript
    if [ -f node_modules/.installed ] && cmp -s node_modules/.installed package-lock.json; then return; fi
    run_npm ci
    cp package-lock.json node_modules/.installed
}

go() {
    cd go
    command go build -o build/weather .
}

java() {
    cd java
    mvn -q -B -Dmaven.test.skip=true package
}

has_tools() {
    case $1 in
        typescript) find_npm ;;
        go) command -v go >/dev/null 2>&1 ;;
        java) command -v mvn >/dev/null 2>&1 ;;
    esac
}

for language in ${*:-typescript go java}; do
    if ! has_tools "$language"; then
        echo "The server in $language was not built: its tools are not here." >&2
        if [ "${CI_PARTIES:-}" = required ]; then exit 1; fi
    elif ! within 600 "$language"; then
        echo "The server in $language could not be built." >&2
        exit 1
    fi
done
