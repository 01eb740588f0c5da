"""`counterseal serve`: the gateway, in one process or in several that share one socket."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import click
import uvicorn

from counterseal.cli import options
from counterseal.config.compile import warnings
from counterseal.config.load import load
from counterseal.config.schema import Configuration
from counterseal.errors import ConfigError
from counterseal.gateway.wiring import prepare
from counterseal.web.app import worker
from counterseal.web.protocol import CeilingProtocol

GRACE_SECONDS: Final = 10
"""What calls in flight get when the gateway ends."""
_LAST_WORDS_SECONDS: Final = 2
"""What those that are cut off get then, to be recorded and answered."""


@click.command()
@options.config
@click.option("--host", help="Listen here instead of at `listen.host`.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Listen here instead of at `listen.port`; 0 picks a free port."
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that share the socket."
)
@click.option("--watch", is_flag=True, help="Read the configuration again when it changes. Not built yet.")
def serve(config: Path, host: str | None, port: int | None, workers: int, watch: bool) -> None:
    """Run the gateway.

    \b
    Examples:
      counterseal serve
      counterseal serve --config prod.yaml --workers 4
    """
    if watch:
        raise click.UsageError("`--watch` is not built yet: restart to read the configuration again.")
    configuration = load(config)
    if workers > 1 and configuration.store.startswith("memory"):
        raise ConfigError(
            f"{config}: store: `memory:` is for one process, and {workers} workers would each make keys of their own; "
            "use `sqlite:counterseal.db` or `--workers 1`"
        )
    if workers > 1:
        _check_workers(config, configuration, workers)
    _log_to_stderr()
    for warning in warnings(configuration, os.environ):
        logging.getLogger("counterseal").warning("%s", warning)
    if workers > 1:
        # What can be wrong is found here, once, and keys are made before any worker could make its own.
        asyncio.run(prepare(config))
    bound = _bind(host or configuration.listen.host, configuration.listen.port if port is None else port)
    try:
        if workers == 1:
            _run(config, partial(_say_listening, bound), [bound], alone=True)
        else:
            _supervise(config, bound, workers)
    finally:
        bound.close()


def _check_workers(config: Path, configuration: Configuration, workers: int) -> None:
    """A session that lives in one worker would be lost at every call that another one gets. Raises ConfigError."""
    bound = [name for name, server in configuration.servers.items() if server.in_one_worker]
    if bound:
        raise ConfigError(
            f"{config}: servers.{bound[0]}: sessions of a server over `sse`, or over `stdio` with `isolation: caller`, live in "
            f"one worker, and with {workers} workers a caller would lose his: use `--workers 1`, or `isolation: shared`"
        )


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends pieces at once only on a socket that says that it is TCP; else each waits for the last one's acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise ConfigError(_taken(f"{host}:{port}", error.strerror)) from None
    bound.set_inheritable(True)
    return bound


def _taken(place: str, why: str | None = None) -> str:
    why = why or os.strerror(errno.EADDRINUSE)
    return f"cannot listen on {place}: {why}; end what listens there, or choose another with --port"


def _place(host: str, port: int) -> str:
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def _say_listening(bound: socket.socket) -> None:
    print(f"listening on http://{_place(*bound.getsockname()[:2])}", file=sys.stderr, flush=True)


class Server(uvicorn.Server):
    """Says when it accepts connections, and not before."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # One listening socket gives uvloop one new connection a turn of the loop, and under load a turn is long: several
        # handles of the same socket give it several.
        places = [_place(*one.getsockname()[:2]) for one in sockets or ()]
        await super().startup(
            sockets and [handle for one in sockets for handle in (one, *(one.dup() for _ in range(15)))]
        )
        for place, one in zip(places, sockets or (), strict=True):
            # Several may bind a port that nobody listens on yet, and the first to listen has it. uvloop closes the sockets of
            # the others, and says nothing.
            if one.fileno() < 0:
                logging.getLogger("counterseal").error("%s", _taken(place))
                await self.lifespan.shutdown()
                sys.exit(1)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Calls in flight get their time. Then we end them, and not uvicorn: so it is known that their callers have not left."""
        over = asyncio.get_running_loop().call_later(GRACE_SECONDS, self._cut_off)
        try:
            await super().shutdown(sockets)
        finally:
            over.cancel()
        # A second signal is the end of the time. What is under way must be over before the loop ends, or nobody records it.
        self._cut_off()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_LAST_WORDS_SECONDS)

    def _cut_off(self) -> None:
        self.config.loaded_app.cut_off()
        calls = self.server_state.tasks
        if calls:
            logging.getLogger("counterseal").warning("%d calls in flight are cut off: the gateway ends", len(calls))
        for call in calls:
            call.cancel()


def uvicorn_config(config: Path, *, alone: bool = True) -> uvicorn.Config:
    """How the gateway's HTTP server is set up, for `serve` and for the demo. alone: there is no other worker."""
    return uvicorn.Config(
        partial(worker, config, alone=alone),
        factory=True,
        http=CeilingProtocol,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        ws="none",
        lifespan="on",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # the peer is the peer: nobody names another one by a header (I-03)
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_SECONDS + _LAST_WORDS_SECONDS,
    )


def _run(config: Path, ready: Callable[[], object], sockets: list[socket.socket], *, alone: bool) -> None:
    server = Server(uvicorn_config(config, alone=alone), ready)
    signal.signal(signal.SIGHUP, _hangup)
    # A call leaves nothing behind that refers to itself, so the collector has little to find; it should not look at every
    # object of the process each few hundred calls.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    try:
        server.run(sockets=sockets)
    except SystemExit:  # uvicorn's own, with a code of its own, or that of `Server`
        raise ConfigError("the gateway did not start; the lines above say why") from None
    except KeyboardInterrupt:
        pass  # uvicorn raises it once everything has ended; with several workers it is the end, too, and no failure


def _hangup(number: int, frame: object) -> None:
    logging.getLogger("counterseal").warning(
        "SIGHUP: reading the configuration again is not built yet; restart instead"
    )


def _worker(config: Path, started: threading.Semaphore, bound: socket.socket) -> None:
    """One worker process."""
    # It has been held back since before this process began, so that Ctrl-C, which goes to all processes, ends no import with a
    # traceback. Who started us ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    _log_to_stderr()
    try:
        _run(config, started.release, [bound], alone=False)
    except ConfigError:
        sys.exit(1)


def _supervise(config: Path, bound: socket.socket, workers: int) -> None:
    """Keep so many workers running; one that dies is replaced (H-14). Ends them all at SIGINT or SIGTERM."""
    spawn = multiprocessing.get_context("spawn")  # no key, pool or random state crosses into a worker (Y-02)
    started = spawn.Semaphore(0)
    ending = threading.Event()

    def end(*_: object) -> None:
        ending.set()

    signal.signal(signal.SIGHUP, _hangup)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)

    def start() -> multiprocessing.process.BaseProcess:
        process = spawn.Process(target=_worker, args=(config, started, bound))
        held = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        return process

    processes = [start() for _ in range(workers)]
    said = False
    waiting = workers
    try:
        while not ending.wait(0.2):
            while waiting and started.acquire(block=False):
                waiting -= 1
            if not waiting and not said:
                _say_listening(bound)
                said = True
            for index, process in enumerate(processes):
                if process.is_alive():
                    continue
                if ending.is_set():
                    break  # the same signal ended it
                if not said:
                    raise ConfigError("a worker did not start; the lines above say why")
                logging.getLogger("counterseal").error(
                    "a worker ended with code %s; starting another", process.exitcode
                )
                processes[index] = start()
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(GRACE_SECONDS + _LAST_WORDS_SECONDS + 3)
            if process.is_alive():
                process.kill()


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
