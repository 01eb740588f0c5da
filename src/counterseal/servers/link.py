"""What a conversation needs of a duplex: somebody who writes to the server, and whom what it says is handed to.

A link is one process, or one event stream with its posts. It knows nothing of calls: `conversation` tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from counterseal.core.call import Call
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.permit import Permit
from counterseal.errors import CallError, ServerError

E = TypeVar("E", bound=CallError)


class Hears(Protocol):
    """What a link hands on. None of these raises."""

    def received(self, text: bytes) -> None:
        """One message of the server."""
        ...

    def overlong(self, start: bytes) -> None:
        """A message over the ceiling was thrown away. start: its first bytes."""
        ...

    def broken(self, error: ServerError) -> None:
        """Nothing more will come. May be told more than once."""
        ...


class Link(Protocol):
    """One duplex to a server. `write` and `end` may be called from many tasks."""

    async def write(self, permit: Permit, message: Mapping[str, Any]) -> None:
        """Send what a permit is for. Raises ServerError; SessionGone where the server no longer knows the session."""
        ...

    async def reply(self, message: Mapping[str, Any]) -> None:
        """Send the gateway's own answer to a request of the server. Raises CallError."""
        ...

    async def end(self) -> None:
        """End it now, with everything that belongs to it. Harmless after that."""
        ...


class Connect(Protocol):
    """Opens links to one server."""

    async def __call__(self, caller: Caller, hears: Hears) -> Link:
        """A new link, for a conversation that this caller begins. Raises CallError."""
        ...


class Countersign(Protocol):
    """Makes permits for what the gateway itself has to say to a server, in the name of the caller who makes it necessary.

    Decided, signed and recorded as a call of that caller: the record ends with the block. again: the permit that the same call
    had before, where it is tried once more. Raises CallError.
    """

    def __call__(
        self, caller: Caller, call: Call, again: Permit | None = None
    ) -> AbstractAsyncContextManager[Permit]: ...


class SessionGone(ServerError):
    """The server does not know the session any more."""

    def __init__(self) -> None:
        super().__init__(
            "server_unreachable", "the server has ended the session", detail="the server answered 404 to a message"
        )


def fresh(error: E) -> E:
    """The same error for one more call: an error carries the id and the record of the call that it ended."""
    copy = type(error).__new__(type(error))
    copy.__dict__.update(error.__dict__)
    copy.args = error.args
    copy.id = copy.record = copy.caller = None
    return copy


def stream_seconds(permit: Permit, limits: Limits) -> float:
    """How long a stream may last: to its ceiling, and never past the credential that opened it."""
    longest = limits.server_stream_seconds
    expires = permit.caller.expires
    return longest if expires is None else max(0.001, min(longest, expires - permit.claims["iat"]))


def unreachable(detail: str) -> ServerError:
    return ServerError("server_unreachable", "the server cannot be reached, or broke its answer off", detail=detail)


def timed_out(detail: str) -> ServerError:
    return ServerError("server_timeout", "the server did not answer in time", detail=detail)


def invalid(detail: str) -> ServerError:
    return ServerError("server_answer_invalid", "the server's answer is not valid", detail=detail)


def too_large(detail: str) -> ServerError:
    return ServerError("server_answer_too_large", "the server's answer is too large", detail=detail)


def refused(status: int) -> ServerError:
    """Of a status that is not an answer. What to do about a token, about an address and about the server differs."""
    what = "refused the call"
    if status in (401, 403, 407):
        what = "refused the call token"
    elif 300 <= status < 400:
        what = "sent the call elsewhere, where it does not go"
    return ServerError("server_refused", f"the server {what}", detail=f"the server answered {status}")
