"""What a server took, written down, so that it can be held against what the gateway minted: `counterseal audit reconcile`.

    verifier = Verifier(issuer=..., audience=..., receipts=FileReceipts("receipts/"))

A verdict about a token that the gateway's key signed is written before anybody hears of it, good or bad. Where it cannot be
written nobody can tell what this server did, so no call passes: 503. Of tokens without such a signature there is no receipt:
nobody knows what they say, and whoever sends them would fill the disk.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from counterseal.core.receipt import Receipt
from counterseal.verify.errors import CannotVerify


class Receipts(Protocol):
    """A place for receipts."""

    def write(self, receipt: Receipt) -> Future[None] | None:
        """Returns, or its future ends, once the receipt is where it outlives this process.

        It is called on the event loop: a place that has to wait answers at once with a Future, and waits in a thread of its own.
        Whatever it raises means that nobody can tell: 503, and never a pass.
        """
        ...


def create(path: Path) -> int:
    """A new file for its owner only. Raises OSError, also if there is one of this name."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)


class FileReceipts:
    """Lines of JSON in `<UTC start>-<random>.jsonl` files of one folder; each process writes one of its own, and a new one after
    anything went wrong. A line is durable once the operating system has it. most_waiting: receipts that wait for the disk; one
    more fails at once.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, most_waiting: int = 4096, open_file: Callable[[Path], int] = create
    ) -> None:
        self._folder = Path(folder)
        self._open_file = open_file
        self._most_waiting = most_waiting
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._descriptor: int | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="counterseal-receipts")
        self._room = threading.BoundedSemaphore(self._most_waiting)

    def write(self, receipt: Receipt) -> Future[None]:
        """See `Receipts`."""
        if self._process != os.getpid():
            self._begin()  # a fork has no thread of its parent's, and a file of its own
        if not self._room.acquire(blocking=False):
            raise CannotVerify("too many receipts wait for the disk")
        try:
            answer = self._thread.submit(self._append, receipt)
        except BaseException:
            self._room.release()
            raise
        answer.add_done_callback(lambda _: self._room.release())
        return answer

    def close(self) -> None:
        """Write what waits, and end. Nothing can be written after that."""
        self._thread.shutdown()
        self._drop()

    def _append(self, receipt: Receipt) -> None:
        """In the thread. A file that a write failed on is never touched again: what is behind its last whole line is unknown."""
        if self._descriptor is None:
            self._descriptor = self._open(receipt.time)
        text = memoryview(receipt.line())
        try:
            while text:
                text = text[os.write(self._descriptor, text) :]
        except OSError:
            self._drop()
            raise

    def _open(self, time: float) -> int:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        start = datetime.fromtimestamp(time, UTC).strftime("%Y%m%dT%H%M%S")
        return self._open_file(self._folder / f"{start}-{secrets.token_hex(8)}.jsonl")

    def _drop(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):  # it is given up because something failed already
                os.close(descriptor)
