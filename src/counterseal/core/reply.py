"""What goes back to the caller."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar, Protocol

from counterseal.core.value import Value

Headers = tuple[tuple[bytes, bytes], ...]


class Stream(Protocol):
    """A body that arrives in pieces.

    Iterating it raises errors.CallError where the server fails after its headers. `is_error`: whether the response was a
    JSON-RPC error, None as long as there was none. `aclose` ends the server's request at once.
    """

    @property
    def is_error(self) -> bool | None: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


class Reply(Value, frozen=True):
    """One HTTP answer. body: all of it, or a stream of server-sent events. is_error: for a whole body, whether it is a
    JSON-RPC error. note: what only the record gets to know."""

    UNSHOWN: ClassVar = frozenset({"headers", "body"})

    status: int
    headers: Headers
    body: bytes | Stream
    is_error: bool | None = None
    note: str | None = None
