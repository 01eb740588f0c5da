"""A call that an operator asks about, made into the request that a caller would have sent.

Who calls and what is called is then found out by the code that finds it out for everybody: this only writes the request.

* An API key is named by its id, and stands for whoever would send it. Whether it may still be used is told apart, so that the
  rest can be told as well.
* A token is verified like any other.
* Without a `peer`, the request comes from nowhere, which no network holds: no identity header counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.methods import END_SESSION, EXTENSION_TASKS, LEGACY, METHODS, MODERN, REPLY, STREAM
from counterseal.errors import Unauthenticated
from counterseal.gateway.wiring import Parts
from counterseal.identity.api_key import caller_of
from counterseal.identity.credentials import REFUSED
from counterseal.identity.own_keys import holder_of
from counterseal.wire import headers as wire_headers
from counterseal.wire import jsonrpc
from counterseal.wire.envelope import CAPABILITIES, VERSION
from counterseal.wire.rounds import TASKS

NOWHERE: Final = "by hand"
"""The peer in the record of what nobody sent."""

_MEDIA: Final = ((b"content-type", b"application/json"), (b"accept", b"application/json, text/event-stream"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """key: the id of an API key. token: an access token. Neither: nobody, who is anonymous. method: a row of core/methods.py.

    name: where the method names something. arguments: where it has any. headers: identity headers, and those that the server gets
    by name. channel: a channel token.
    """

    key: str | None = None
    token: str | None = field(default=None, repr=False)
    server: str
    method: str
    name: str | None = None
    arguments: Mapping[str, Any] | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    peer: str | None = None
    channel: str | None = field(default=None, repr=False)


def request(asked: Asked, parts: Parts) -> Inbound:
    """The request, with those of its headers that its peer may send. Raises KeyError for a server that is not configured."""
    row = METHODS[asked.method]
    verb = {STREAM: "GET", END_SESSION: "DELETE"}.get(asked.method, "POST")
    headers: list[tuple[bytes, bytes]] = [*_MEDIA]
    if asked.token is not None:
        headers.append((b"authorization", b"Bearer " + asked.token.encode()))
    if asked.channel is not None:
        name = parts.configuration.signer_of(asked.server).channel_token_header
        headers.append((name.lower().encode(), asked.channel.encode()))
    headers += [(name.lower().encode(), value.encode()) for name, value in asked.headers]
    if row.modern:
        headers += [(b"mcp-protocol-version", MODERN.encode()), (b"mcp-method", asked.method.encode())]
        if row.name_field is not None and asked.name is not None:
            headers.append((b"mcp-name", wire_headers.encode_value(asked.name).encode()))
    elif asked.method != "initialize":
        headers.append((b"mcp-protocol-version", LEGACY[-1].encode()))
    body = jsonrpc.write(_message(asked)) if verb == "POST" else b""
    return parts.identity_headers.admitted(Inbound(verb, asked.server, tuple(headers), body, asked.peer or NOWHERE))


def in_session(inbound: Inbound, caller: Caller, parts: Parts) -> Inbound:
    """The request in a session of this caller, where it needs one to mean anything."""
    if inbound.verb != "DELETE":
        return inbound
    sealed = parts.sessions.seal(caller, inbound.server, "none", LEGACY[-1]).sealed
    headers = (*inbound.headers, (b"mcp-session-id", sealed.encode()))
    return Inbound(inbound.verb, inbound.server, headers, inbound.body, inbound.peer)


async def caller_asked(asked: Asked, inbound: Inbound, parts: Parts, now: float) -> tuple[Caller, str | None]:
    """Who calls, and why such a caller is refused all the same; None where nothing is wrong. now: seconds since the epoch.

    Raises CallError as `Identify` does: Unauthenticated too for an id that no key has.
    """
    identify = parts.pipeline.identify
    if asked.key is None:
        return await identify(inbound), None
    own = next((one for one in parts.configuration.callers.own_keys if one.name == asked.key), None)
    if own is not None:
        return await identify.spoken_for(holder_of(own.name, own.subject), inbound), None
    _, rows = await parts.store.api_keys()
    row = next((row for row in rows if row.id == asked.key), None)
    if row is None:
        kept = " (`memory:` keeps them in the process that serves)" if parts.configuration.store == "memory:" else ""
        raise Unauthenticated(
            "credential_invalid", REFUSED, detail=f"the store has no API key with the id {asked.key!r}{kept}"
        )
    problem = None
    if not parts.configuration.callers.api_keys:
        problem = "`callers.api_keys` is false, so no API key is accepted"
    elif row.revoked is not None:
        problem = f"API key {row.id} was revoked"
    elif not row.in_force(now):
        problem = f"API key {row.id} has expired"
    return await identify.spoken_for(caller_of(row), inbound), problem


def _message(asked: Asked) -> dict[str, Any]:
    row = METHODS[asked.method]
    if asked.method == REPLY:
        return {"jsonrpc": "2.0", "id": 1, "result": {}}
    params: dict[str, Any] = {}
    if asked.method == "completion/complete":
        of_a_resource = "://" in (asked.name or "")
        params["ref"] = {"type": "ref/resource", "uri": asked.name} if of_a_resource else _prompt(asked.name)
        params["argument"] = {"name": "", "value": ""}
    elif row.name_field is not None:
        params[row.name_field] = asked.name
    if asked.arguments is not None:
        params["arguments"] = asked.arguments
    if asked.method == "initialize":
        params |= {"protocolVersion": LEGACY[-1], "capabilities": {}}
    if row.modern:
        able: dict[str, Any] = {"extensions": {EXTENSION_TASKS: {}}} if asked.method in TASKS else {}
        params["_meta"] = {VERSION: MODERN, CAPABILITIES: able}
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": asked.method, "params": params}
    if row.notification:
        del message["id"]
    return message


def _prompt(name: str | None) -> dict[str, Any]:
    return {"type": "ref/prompt", "name": name}
