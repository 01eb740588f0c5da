"""What a call needs that goes to a streamable HTTP server in the other era, and what the server says in return."""

from __future__ import annotations

from typing import Protocol

from counterseal.core.call import Call
from counterseal.core.value import Value
from counterseal.servers.http import Response


class Crossing(Protocol):
    """One call on its way through the other era."""

    @property
    def call(self) -> Call:
        """The call as the server gets it, in its own era."""
        ...

    @property
    def over(self) -> bool:
        """Whether its caller has cancelled it, so that it ends without a response."""
        ...

    def heard(self, text: bytes) -> bytes | None:
        """A message of the server's stream before it is read as part of the answer; None where it goes no further. Raises
        NotAnAnswer."""
        ...

    async def resume(self, last_event_id: str) -> Response | None:
        """The rest of a stream that the server closed before the response, to be asked for it again; None where there is no such
        thing. Raises CallError."""
        ...

    def finish(self, message: bytes) -> bytes:
        """The response in the words of the caller's era. Raises NotAnAnswer, CallError for what the caller has no words for."""
        ...

    def status(self, message: bytes) -> int:
        """The HTTP status of a response that is sent whole."""
        ...

    def end(self, *, answered: bool) -> None:
        """Nothing more of the answer is wanted, or comes. May be told more than once."""
        ...


class Refusal(Value, frozen=True):
    """An answer whose status is not 2xx. body: its text where it is JSON and was read."""

    status: int
    body: bytes | None


class Told(Value, frozen=True):
    """The response to a request of the gateway's own. session_id: as the server's header has it, which nobody checked."""

    message: bytes
    session_id: str | None
