"""Servers over stdio: a program that the gateway starts when the first call comes, and ends when it ends itself.

What is started is what the configuration says, resolved once at start: nothing that a caller sends reaches the command, its
arguments or its environment (M-28). The call token travels in `_meta` where the server wants it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.permit import Permit
from counterseal.servers.link import Hears
from counterseal.servers.process import Process
from counterseal.servers.stderr import StderrLog
from counterseal.wire import duplex, jsonrpc


@dataclass(frozen=True, slots=True)
class Program:
    """What is started. command: the program by its path, and its arguments. secrets: what of the environment nobody may see."""

    server: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    secrets: frozenset[str] = field(repr=False)
    send_token: bool


class StdioLink:
    """One running program."""

    def __init__(self, process: Process, *, send_token: bool) -> None:
        self._process = process
        self._send_token = send_token

    async def write(self, permit: Permit, message: Mapping[str, Any]) -> None:
        sent = duplex.with_token(message, permit.token) if self._send_token else message
        await self._process.write(jsonrpc.write(sent))

    async def reply(self, message: Mapping[str, Any]) -> None:
        await self._process.write(jsonrpc.write(message))

    async def end(self) -> None:
        await self._process.end()


class StartProgram:
    """Starts the program of one server, anew for each conversation."""

    def __init__(self, program: Program, limits: Limits) -> None:
        self._program = program
        self._limits = limits

    async def __call__(self, caller: Caller, hears: Hears) -> StdioLink:
        """Raises ServerError."""
        program = self._program
        log = StderrLog(program.server, program.secrets, asyncio.get_running_loop().time)
        process = Process(hears, log.feed, self._limits)
        try:
            await process.start(program.command, program.environment, program.folder)
        except BaseException:
            await process.end()
            raise
        return StdioLink(process, send_token=program.send_token)
