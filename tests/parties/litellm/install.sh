#!/bin/sh
# Makes an environment of LiteLLM's own, `.litellm/`, exactly as requirements.txt names it: by hash, about a minute.
#
#     sh tests/parties/litellm/install.sh              # the newest release
#     sh tests/parties/litellm/install.sh 1.109.3      # an older one, of releases.txt, in `.litellm-1.109.3/`
#
# LiteLLM and Counterseal's own tests need other versions of the same packages, so they do not share one. Safe to run again: it does
# nothing where the environment is that of the lock file. Bounded: it ends after ten minutes. PYTHON names the interpreter.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
wanted=$(mktemp)
trap 'rm -f "$wanted"' EXIT
if [ $# -eq 0 ]; then
    environment="$root/.litellm"
    cp "$here/requirements.txt" "$wanted"
else
    environment="$root/.litellm-$1"
    # The same packages, and another LiteLLM among them.
    awk '/^[a-z]/ {skip = /^litellm==/} !skip' "$here/requirements.txt" > "$wanted"
    awk -v one="litellm==$1" '/^[a-z]/ {take = ($1 == one)} take' "$here/releases.txt" > "$wanted.one"
    [ -s "$wanted.one" ] || { rm -f "$wanted.one"; echo "tests/parties/litellm/releases.txt has no litellm==$1" >&2; exit 1; }
    cat "$wanted.one" >> "$wanted"
    rm -f "$wanted.one"
fi

if [ -f "$environment/.installed" ] && cmp -s "$environment/.installed" "$wanted"; then
    exit 0
fi

rm -rf "$environment"
"${PYTHON:-python3}" -m venv "$environment"
# The time limit is a loop here, because `timeout` is not on every machine.
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement "$wanted" &
install=$!
( i=0; while [ $i -lt 600 ] && kill -0 $install 2>/dev/null; do i=$((i + 1)); sleep 1; done; kill $install 2>/dev/null ) &
if ! wait $install; then
    echo "pip could not install the packages of tests/parties/litellm/requirements.txt." >&2
    exit 1
fi
cp "$wanted" "$environment/.installed"
