"""A stdio server for tests: `python tests/support/stdio_program.py [OPTIONS]` does what tests.support.scripted says.

--legacy: without revision 2026-07-28. --revision R: what it negotiates at most. --heard FILE: writes every message that it hears
into the file, a line each. --say TEXT: a line on standard error at its start. --print TEXT: a line on standard output.
--fork FILE: starts a child that ignores SIGTERM, and writes both process numbers into the file. --deaf: ignores SIGTERM and the
end of its input. --exit N: ends at once.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.scripted import Script, line

CHILD = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--revision", "--heard", "--say", "--print", "--fork", "--exit"):
        parser.add_argument(name)
    for name in ("--legacy", "--deaf"):
        parser.add_argument(name, action="store_true")
    options = parser.parse_args()
    if options.exit is not None:
        sys.exit(int(options.exit))
    if options.say is not None:
        print(options.say, file=sys.stderr, flush=True)
    if options.print is not None:
        print(options.print, flush=True)
    if options.deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.fork is not None:
        child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert child.stdout is not None
        child.stdout.readline()
        Path(options.fork).write_text(f"{os.getpid()} {child.pid}")
    script = Script(modern=not options.legacy, **({"revision": options.revision} if options.revision else {}))
    lock = threading.Lock()

    def say(said: Mapping[str, Any] | bytes) -> None:
        with lock:
            sys.stdout.buffer.write(line(said) + b"\n")
            sys.stdout.buffer.flush()

    for text in sys.stdin.buffer:
        if options.heard is not None:
            with open(options.heard, "ab") as file:
                file.write(text)
        script.handle(json.loads(text), say, lambda: os._exit(3))
    if options.deaf:
        threading.Event().wait(600)


if __name__ == "__main__":
    main()
