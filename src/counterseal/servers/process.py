"""One child process and its pipes: started in a session of its own, ended with all that it has started itself.

Its standard input and output carry lines, its standard error goes to the log. The end is MCP's: its input is closed, then the
whole group gets SIGTERM, then SIGKILL, with a grace in between, so that no child of a child outlives the gateway. A process that
leaves its group (`setsid`) escapes that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from counterseal.core.limits import Limits
from counterseal.errors import ServerError
from counterseal.servers.link import Hears, fresh, timed_out, unreachable
from counterseal.wire.lines import Lines, Overlong

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_LOOK_SECONDS: Final = 0.02
_LAST_WORDS_SECONDS: Final = 0.2
"""Between a pipe's end and the end of the process that it comes from, or the other way round."""


class Process(asyncio.SubprocessProtocol):
    """hears: gets the lines of its output. log: gets the bytes of its standard error."""

    def __init__(self, hears: Hears, log: Callable[[bytes], None], limits: Limits) -> None:
        self._hears = hears
        self._log = log
        self._limits = limits
        self._lines = Lines(limits.server_answer_bytes)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.SubprocessTransport | None = None
        self._writing = asyncio.Lock()
        self._room = asyncio.Event()
        self._room.set()
        self._exited = asyncio.Event()
        self._gone: ServerError | None = None
        self._ending: asyncio.Task[None] | None = None

    async def start(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        """Raises ServerError where it cannot be started."""
        try:
            await self._loop.subprocess_exec(
                lambda: self,
                *command,
                env=dict(environment),
                cwd=str(folder),
                start_new_session=True,
            )
        except OSError as error:
            raise unreachable(f"its program cannot be started: {error.strerror or type(error).__name__}") from None

    @property
    def pid(self) -> int:
        return -1 if self._transport is None else self._transport.get_pid()

    async def write(self, line: bytes) -> None:
        """One line, without its end. Raises ServerError, also where the process has not read for too long."""
        async with self._writing:
            try:
                async with asyncio.timeout(self._limits.server_idle_seconds):
                    await self._room.wait()
            except TimeoutError:
                self._lose(timed_out("it does not read its standard input"))
            if self._gone is not None:
                raise fresh(self._gone)
            self._pipe(_STDIN).write(line + b"\n")

    async def end(self) -> None:
        """End it, and wait for that."""
        self._gone = self._gone or unreachable("its process was ended")
        self._room.set()
        if self._ending is None:
            self._ending = self._loop.create_task(self._end())
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        if self._transport is None:
            return
        grace = self._limits.process_grace_seconds
        with contextlib.suppress(Exception):
            self._pipe(_STDIN).close()
        if not await self._empty(grace / 2):
            self._signal(signal.SIGTERM)
            if not await self._empty(grace):
                self._signal(signal.SIGKILL)
                await self._empty(grace)
        self._transport.close()

    async def _empty(self, seconds: float) -> bool:
        """Whether nothing of the group is left, after so many seconds at most."""
        until = self._loop.time() + seconds
        while not self._exited.is_set() or self._signal(0):
            if self._loop.time() >= until:
                return False
            await asyncio.sleep(_LOOK_SECONDS)
        return True

    def _signal(self, number: int) -> bool:
        """To the whole group; whether there is one. Its number is that of the process, and nobody else's while one is left."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def _pipe(self, number: int) -> asyncio.WriteTransport:
        assert self._transport is not None
        return cast(asyncio.WriteTransport, self._transport.get_pipe_transport(number))

    def _lose(self, error: ServerError) -> None:
        if self._gone is None:
            self._gone = error
            self._room.set()
            self._hears.broken(error)

    def _lose_soon(self, what: str) -> None:
        def lose() -> None:
            code = None if self._transport is None else self._transport.get_returncode()
            self._lose(unreachable(what if code is None else f"its process ended with {_said(code)}"))

        self._loop.call_later(_LAST_WORDS_SECONDS, lose)

    # ---- what the transport says ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)  # uvloop's does not say that it is one

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        chunk = cast(bytes, data)
        if fd == _STDERR:
            self._log(chunk)
            return
        for line in self._lines.feed(chunk):
            if isinstance(line, Overlong):
                self._hears.overlong(line.start)
            else:
                self._hears.received(line)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == _STDERR:
            self._log(b"\n")
        else:
            self._lose_soon(f"its process closed its standard {'input' if fd == _STDIN else 'output'}")

    def process_exited(self) -> None:
        self._exited.set()
        self._lose_soon("its process ended")

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()


def _said(code: int) -> str:
    """The end of a process in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def environment(inherited: Mapping[str, str], added: Mapping[str, Any]) -> dict[str, str]:
    """What a process gets: of the gateway's own variables only those that say where it is, and what the configuration adds."""
    kept = {name: value for name, value in inherited.items() if name in _INHERITED or name.startswith("LC_")}
    return kept | {name: str(value) for name, value in added.items()}


_INHERITED: Final = frozenset({"HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER"})
"""Nothing that could hold a credential or make a program load something: those are written into `env`, each by its name."""
