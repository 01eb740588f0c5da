"""What a server notes down of one call token: that it took it, or why it did not. Written by `verify`, read by `audit reconcile`.

A receipt is of a token that the gateway's key signed, and of nothing else: of any other nobody knows what it says. It holds no
credential.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Self

from counterseal.core import strict_json
from counterseal.core.value import Value

VERSION: Final = 1
_MOST: Final = 2048
"""Characters of a text of the token. A longer one is cut: our own have none."""
_TEXTS: Final = ("iss", "aud", "sub", "jti", "txn")
_DEPTH: Final = 4
_MEMBERS: Final = 32


class NoReceipt(ValueError):
    """The line is none. The text says why, without anything of it."""


class Receipt(Value, frozen=True, kw_only=True):
    """time: seconds since the epoch. server: the audience of who verified. reason: why it was refused, a code of the verifier;
    None where it was taken. method, name: of the call; None where only the token was looked at. The others: claims, None where
    the token has none or no text."""

    time: float
    server: str
    reason: str | None
    method: str | None = None
    name: str | None = None
    iss: str | None = None
    aud: str | None = None
    sub: str | None = None
    jti: str | None = None
    txn: str | None = None

    @classmethod
    def of(
        cls,
        claims: Mapping[str, Any],
        *,
        time: float,
        server: str,
        reason: str | None,
        method: str | None,
        name: str | None,
    ) -> Self:
        """claims: under a signature that holds."""
        texts = {key: _text(claims.get(key)) for key in _TEXTS}
        return cls(time=time, server=server, reason=reason, method=_text(method), name=_text(name), **texts)

    def line(self) -> bytes:
        """One line of JSON in ASCII, with its end."""
        members = {name: getattr(self, name) for name in self.__struct_fields__}
        return json.dumps({"v": VERSION, **members}, separators=(",", ":")).encode("ascii") + b"\n"


def read(line: bytes) -> Receipt:
    """One line, without its end. Raises NoReceipt."""
    try:
        found = strict_json.read(line, depth=_DEPTH, members=_MEMBERS)
    except (strict_json.NotStrict, strict_json.TooBig):
        raise NoReceipt("not one JSON object") from None
    if not isinstance(found, dict) or found.pop("v", None) != VERSION:
        raise NoReceipt(f"not a receipt of version {VERSION}")
    if found.keys() != set(Receipt.__struct_fields__):
        raise NoReceipt("not the members of a receipt")
    time, server = found["time"], found["server"]
    if isinstance(time, bool) or not isinstance(time, int | float) or not isinstance(server, str):
        raise NoReceipt("`time` is no number, or `server` no text")
    if not all(value is None or isinstance(value, str) for name, value in found.items() if name != "time"):
        raise NoReceipt("a member is no text")
    return Receipt(**found)


def is_torn(rest: bytes) -> bool:
    """Whether a last line without its end is what an interrupted write leaves: the beginning of a receipt."""
    start = f'{{"v":{VERSION},"time":'.encode()
    return rest.startswith(start[: len(rest)])


def _text(value: Any) -> str | None:
    """What no reader refuses: half a surrogate pair, which a server may have been handed as a name, is `?`."""
    return value[:_MOST].encode(errors="replace").decode() if isinstance(value, str) else None
