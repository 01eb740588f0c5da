"""Processes that write records for a test. A module of its own, so that they load nothing else."""

from __future__ import annotations

import asyncio
import resource
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from counterseal.audit.sinks import FileSink
from counterseal.clock import SystemClock
from counterseal.errors import CannotTell

ISSUER = "https://gateway.example.com"


def write_many(folder: str, process: int, count: int, tasks: int) -> None:
    """Write `count` intents by `tasks` tasks, and their outcomes."""

    async def run() -> None:
        sink = FileSink(Path(folder), clock=SystemClock(), issuer=ISSUER)
        await sink.start()

        async def call(task: int) -> None:
            for number in range(task, count, tasks):
                record = f"rec_{process}_{number}"
                await sink.write(
                    {"event": "intent", "record": record, "name": "long " * 2000 if number % 97 == 0 else "n"}
                )
                sink.post({"event": "outcome", "record": record})

        await asyncio.gather(*(call(task) for task in range(tasks)))
        await sink.close()

    asyncio.run(run())


def write_for_ever(folder: str, told: Connection) -> None:
    """Write intents and tell of each one that is durable, until killed."""

    async def run() -> None:
        sink = FileSink(Path(folder), clock=SystemClock(), issuer=ISSUER)
        await sink.start()

        async def call(task: int) -> None:
            number = 0
            while True:
                record = f"rec_{task}_{number}"
                await sink.write({"event": "intent", "record": record})
                told.send(record)
                number += 1

        await asyncio.gather(*(call(task) for task in range(8)))

    asyncio.run(run())


def overflow(folder: str, room: int, count: int) -> None:
    """Post outcomes in one batch that does not fit into `room` bytes; then make room for the rest."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    async def run() -> None:
        sink = FileSink(Path(folder), clock=SystemClock(), issuer=ISSUER, retry_seconds=1.0)
        await sink.start()
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        for number in range(count):
            sink.post({"event": "outcome", "record": f"rec_{number}"})
        while sink.healthy() is None:
            await asyncio.sleep(0.001)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        while sink.healthy() is not None:
            await asyncio.sleep(0.001)
        await sink.close()

    asyncio.run(run())


def fill_the_disk(folder: str, room: int) -> tuple[list[str], list[str], str | None]:
    """Write into files that cannot grow beyond `room` bytes until that fails; then make room and write on.

    Gives the records that were acknowledged, those that were refused, and what `healthy` said meanwhile.
    """
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    async def run() -> tuple[list[str], list[str], str | None]:
        sink = FileSink(Path(folder), clock=SystemClock(), issuer=ISSUER, retry_seconds=1.0)
        await sink.start()
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        done: list[str] = []
        refused: list[str] = []
        while not refused:
            record = f"rec_{len(done)}"
            try:
                await sink.write({"event": "intent", "record": record, "padding": "x" * 100})
                done.append(record)
            except CannotTell:
                refused.append(record)
        said = sink.healthy()
        sink.post({"event": "outcome", "record": "rec_0"})
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        while sink.healthy() is not None:
            await asyncio.sleep(0.01)
        await sink.write({"event": "intent", "record": "rec_after"})
        done.append("rec_after")
        await sink.close()
        return done, refused, said

    return asyncio.run(run())
