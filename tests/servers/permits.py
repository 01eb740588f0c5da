"""Permits as values, and a server room to send them with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from counterseal.core.call import Call, Era, Session, Shape
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS, Limits
from counterseal.core.methods import END_SESSION, METHODS, MODERN, REPLY, STREAM
from counterseal.core.operation import operation_of
from counterseal.core.permit import Allowed, Permit
from counterseal.core.reply import Reply
from counterseal.httpclient import Client
from counterseal.servers.http import ServerHttp
from counterseal.servers.session import Sessions
from counterseal.servers.streamable_http import Decide, Destination, StreamableHttp
from tests.support.hostile import HostileServer
from tests.support.tokens import NOW, FixedClock

ALICE: Final = Caller(kind="token", client_id="ide", issuer="https://idp", subject="alice")
SESSION: Final = Session("server-1", "2025-11-25", "sealed-1")
OUR_ID: Final = "our-own-id"
TOKEN: Final = "the.call.token"
PARAMS: Final[dict[str, dict[str, Any]]] = {
    "tools/call": {"name": "get_weather", "arguments": {"city": "Oslo"}},
    "prompts/get": {"name": "greet", "arguments": {"who": "you"}},
    "resources/read": {"uri": "file:///a b"},
    "resources/subscribe": {"uri": "file:///a"},
    "resources/unsubscribe": {"uri": "file:///a"},
    "tasks/get": {"taskId": "t-1"},
    "tasks/update": {"taskId": "t-1", "inputResponses": {}},
    "tasks/cancel": {"taskId": "t-1"},
    "completion/complete": {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": "y"}},
    "initialize": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}},
}
"""What each method needs to be called with."""


def call(
    method: str = "tools/call",
    params: dict[str, Any] | None = None,
    *,
    era: Era = Era.MODERN,
    id: str | int = 1,
    session: Session | None = None,
    **changes: Any,
) -> Call:
    """One decoded call of an era, as the wire room makes it. A pseudo method makes what it stands for."""
    values: dict[str, Any] = {"server": "weather", "era": era, "method": method, "session": session}
    values["revision"] = MODERN if era is Era.MODERN else session.revision if session else "2025-11-25"
    if method in (STREAM, END_SESSION):
        values["shape"] = Shape.STREAM if method == STREAM else Shape.END
    elif method == REPLY:
        values |= {"shape": Shape.REPLY, "message": {"jsonrpc": "2.0", "id": "of-the-server", "result": {}}}
    else:
        message = {"jsonrpc": "2.0", "method": method, "params": params or PARAMS.get(method, {})}
        notifies = method.startswith("notifications/")
        asked = operation_of(message)
        values |= {"shape": Shape.NOTIFICATION if notifies else Shape.REQUEST, "name": asked.name}
        values |= {"arguments": asked.arguments, "message": message}
        if not notifies:
            values |= {"id": id, "message": {"jsonrpc": "2.0", "id": id, "method": method, "params": message["params"]}}
    return Call(**{**values, **changes})


def permit(asked: Call | None = None, *, caller: Caller = ALICE, **changes: Any) -> Permit:
    """The permit for a call; changes are `call`'s."""
    asked = asked or call(**changes)
    bound: dict[str, Any] = {"actions": [asked.method]}
    if asked.name is not None:
        bound["identifier"] = asked.name
    return Permit(
        caller=caller,
        call=asked,
        allowed=Allowed("policy[0]"),
        claims={"jti": OUR_ID, "iat": NOW, "authorization_details": [bound]},
        kid="kid",
        algorithm="ES256",
        token=TOKEN,
    )


def rows(era: Era) -> list[str]:
    """Every method of an era that is in the table."""
    return [name for name, row in METHODS.items() if (row.modern if era is Era.MODERN else row.legacy)]


def everything(_caller: Caller, _call: Call, _method: str, _name: str, _item: object) -> bool:
    return True


@asynccontextmanager
async def sending(
    server: HostileServer,
    *,
    limits: Limits = LIMITS,
    header: str = "Authorization",
    static: tuple[tuple[str, str], ...] = (),
    decide: Decide = everything,
) -> AsyncIterator[StreamableHttp]:
    """The server room in front of a server."""
    client = Client()
    destination = Destination("weather", server.url, header, static, "counterseal/test")
    sessions = Sessions(bytes(32), FixedClock(), limits)
    try:
        yield StreamableHttp(destination, ServerHttp(client, limits), sessions, decide, limits)
    finally:
        await client.close()


async def read(reply: Reply) -> bytes:
    """The body to its end. Raises what the stream raises."""
    if isinstance(reply.body, bytes):
        return reply.body
    try:
        return b"".join([chunk async for chunk in reply.body])
    finally:
        await reply.body.aclose()
