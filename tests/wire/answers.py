"""Readers of one server's answer, and messages that a server might send."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from msgspec import Raw

from counterseal.core.call import Call, Era, Shape
from counterseal.core.methods import LEGACY, MODERN, STREAM
from counterseal.wire.answer import Answer, NotAnAnswer, Visible

SENT: Final = "0123456789abcdef"
"""The id that a modern request goes out under."""

LISTS: Final = [
    ("tools/list", "tools", "tools/call", "name"),
    ("prompts/list", "prompts", "prompts/get", "name"),
    ("resources/list", "resources", "resources/read", "uri"),
    ("resources/templates/list", "resourceTemplates", "resources/read", "uriTemplate"),
]


def everything(use: str, name: str, item: Raw) -> bool:
    return True


def only(*names: str) -> Visible:
    return lambda use, name, item: name in names


def answer(method: str = "tools/call", *, visible: Visible = everything, id: str | int = 7) -> Answer:
    """Reads the answer to one request of revision 2026-07-28."""
    call = Call(server="s", era=Era.MODERN, revision=MODERN, shape=Shape.REQUEST, method=method, id=id)
    return Answer(call, SENT, visible)


def legacy(method: str = "tools/call", *, id: str | int = 7, visible: Visible = everything) -> Answer:
    """Reads the answer to one request with a session, whose id goes to the server as it is."""
    call = Call(server="s", era=Era.LEGACY, revision=LEGACY[-1], shape=Shape.REQUEST, method=method, id=id)
    return Answer(call, id, visible)


def stream(*, last_event_id: str | None = None, visible: Visible = everything) -> Answer:
    """Reads what comes on a `GET`."""
    call = Call(
        server="s",
        era=Era.LEGACY,
        revision=LEGACY[-1],
        shape=Shape.STREAM,
        method=STREAM,
        last_event_id=last_event_id,
    )
    return Answer(call, None, visible)


def text(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}, ensure_ascii=False).encode()


def result(value: Any, id: Any = SENT) -> bytes:
    return text(id=id, result=value)


def refuses(reader: Answer, message: bytes) -> None:
    with pytest.raises(NotAnAnswer) as refused:
        reader.message(message)
    assert "secret" not in str(refused.value)
