"""A process that a test starts, waits for and ends by its id; what it wrote is kept, and a traceback in it fails the test."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
LISTENING: Final = re.compile(r"listening on (http://\S+)")
HANGS: Final = 120
"""Seconds after which something does not come any more, however slow the machine is."""


_FIRST_PORT: Final = 20_000
_BLOCK: Final = 500
_BLOCKS: Final = 24
"""Up to port 32,000: below those that the system gives to connections."""


class _OwnPorts:
    """A block of ports that no other process of tests on this machine uses, whatever run it belongs to: so nobody takes a port
    before the program that it was chosen for. Whoever holds the first port of a block has the block, until he ends."""

    def __init__(self) -> None:
        first = secrets.randbelow(_BLOCKS)
        for block in range(first, first + _BLOCKS):
            start = _FIRST_PORT + block % _BLOCKS * _BLOCK
            self._held = socket.socket()
            try:
                self._held.bind(("127.0.0.1", start))
            except OSError:
                self._held.close()
                continue
            self._ports = itertools.cycle(range(start + 1, start + _BLOCK))
            return
        raise AssertionError(f"all {_BLOCKS} blocks of ports are taken: that many tests run here")

    def free(self) -> int:
        for port in itertools.islice(self._ports, _BLOCK):
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
        raise AssertionError(f"{_BLOCK} ports of 127.0.0.1 are in use")


_own_ports: Final = functools.cache(_OwnPorts)


def free_port() -> int:
    """A loopback port that nobody listens on now, and nobody else is given."""
    return _own_ports().free()


class Program:
    """One running process. `with` ends it; ending it raises AssertionError if it wrote a traceback.

    name: what failures call it. command: argument list. environment: added to this process's own. tracebacks: may be written, by
    a program of somebody else's that does so. Standard output and standard error are read together, by a thread, so the process
    never waits for a reader.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        tracebacks: bool = False,
    ) -> None:
        self.name = name
        self._tracebacks = tracebacks
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            list(command),
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, name=f"output of {name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    @property
    def output(self) -> str:
        """Everything written so far."""
        with self._changed:
            return "".join(self._lines)

    def wait_for(self, pattern: re.Pattern[str], seconds: float = HANGS) -> re.Match[str]:
        """The first line that matches, already written or to come. AssertionError if the process ends or the time is over."""
        deadline = time.monotonic() + seconds
        read = 0
        with self._changed:
            while True:
                for line in self._lines[read:]:
                    if found := pattern.search(line):
                        return found
                read = len(self._lines)
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "ended" if self._ended else f"was silent for {seconds:.0f} s"
                    raise AssertionError(f"{self.name} {why} before {pattern.pattern!r}:\n{''.join(self._lines)}")
                self._changed.wait(left)

    def stop(self, seconds: float = HANGS) -> str:
        """Ends the process (SIGTERM, after the deadline SIGKILL) and returns what it wrote."""
        self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"{self.name} did not end within {seconds:.0f} s:\n{self.output}") from None
        finally:
            self._reader.join(seconds)
            if self._process.stdout is not None:
                self._process.stdout.close()
        wrote = "Traceback (most recent call last)" in self.output
        assert self._tracebacks or not wrote, f"{self.name} wrote a traceback:\n{self.output}"
        return self.output

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
