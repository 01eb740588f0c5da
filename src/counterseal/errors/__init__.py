"""The few exceptions, and the closed table of reasons (`reasons.py`) of which those that end a call carry a row.

    CountersealError                whose fault
    ├── ConfigError                 the operator's: a start-up error, never seen by a caller
    └── CallError                   holds a Reason, so the web room can answer without asking what happened
        ├── Unauthenticated         the caller's: no credential, or one that proves nothing (401)
        ├── BadCall                 the caller's: the message or its headers are not what the protocol says (4xx)
        ├── ServerError             the server's: it failed, lied or was too slow (502, 504)
        └── CannotTell              ours: something we need to decide, sign or record is out of reach (503)

A denial by policy is a value (`core.permit.Denial`), not an exception: nothing went wrong.

`message` is for the caller and never holds a credential, a key, or which of several checks a token failed.
`detail` is for the record and for the log.

Owns every way in which a call can be refused. Imports no other room.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from counterseal.errors.reasons import REASONS, Reason

__all__ = [
    "REASONS",
    "BadCall",
    "CallError",
    "CannotTell",
    "ConfigError",
    "CountersealError",
    "Reason",
    "ServerError",
    "Unauthenticated",
]


class CountersealError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigError(CountersealError):
    """The configuration or its surroundings keep the gateway from starting.

    Each problem is one line, `file:line:column: path: what is wrong and how to mend it` where a file is at fault.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CallError(CountersealError):
    """A call ends here with a row of the table.

    message: what the caller reads. detail: what only the record and the log get. data: more members for JSON-RPC
    `error.data`, where the protocol asks for them. id: the JSON-RPC id to answer to, as far as it is known. headers: HTTP
    headers of the answer. record: the id of the record that tells of it, once there is one. caller: who was found to be calling
    before, and rule: what said no, for the record.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        detail: str | None = None,
        data: Mapping[str, Any] | None = None,
        id: str | int | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.reason = REASONS[code]
        self.message = message
        self.detail = detail
        self.data = data or {}
        self.id = id
        self.headers = headers
        self.record: str | None = None
        self.caller: Any = None
        self.rule: str | None = None


class Unauthenticated(CallError):
    """401: no credential (`credential_missing`) or a bad one (`credential_invalid`)."""


class BadCall(CallError):
    """4xx: the message, its headers or its address are not what the protocol says."""


class ServerError(CallError):
    """502 or 504: the server failed. Nothing of its answer reaches the caller."""


class CannotTell(CallError):
    """503: fail closed. Never a 401, never a pass."""
