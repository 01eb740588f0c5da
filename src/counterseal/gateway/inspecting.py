"""Asking each configured server what it is and has at this moment: `counterseal servers check` and `counterseal servers lock`.

* A server is asked as calls ask it: over the same transport, with a call token and a record for each request. The caller is the
  gateway itself, which may do nothing but shake hands and list; `sub` of its tokens is `counterseal`.
* All are asked side by side, and each is given up in time: one that hangs hides no other.
* Nothing is pinned by it, and no tool is called.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final

from msgspec.structs import replace as changed

from counterseal import __version__
from counterseal.clock import Clock
from counterseal.config.schema import Configuration
from counterseal.core.call import Call, Era, Session, Shape
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS, Limits
from counterseal.core.methods import END_SESSION, LEGACY, MODERN
from counterseal.core.patterns import Patterns
from counterseal.core.policy import Rule
from counterseal.core.reply import Reply
from counterseal.errors import CallError, ServerError
from counterseal.gateway.by_hand import check_keys_are_shared
from counterseal.gateway.ids import Ids
from counterseal.gateway.judged import Judged, Line
from counterseal.gateway.listing import Listing, response_of, whole
from counterseal.gateway.own_calls import OwnCalls
from counterseal.gateway.recorder import Denied
from counterseal.gateway.transports import Server, ServerParts, destination, open_server
from counterseal.gateway.unsigned import Unsigned
from counterseal.gateway.wiring import Parts, open_parts
from counterseal.httpclient import Client
from counterseal.servers.conversation import own_call
from counterseal.servers.http import ServerHttp
from counterseal.wire import bridge
from counterseal.wire.envelope import CAPABILITIES, VERSION

GATEWAY: Final = Caller(kind="api_key", client_id="gateway", subject="counterseal", fields={"user_id": "counterseal"})
"""Who asks. No API key has this id."""

_CLIENT: Final = ("counterseal", __version__)
_MAY: Final = (
    "server/discover",
    "initialize",
    "notifications/initialized",
    "notifications/cancelled",
    "tools/list",
    "io.counterseal/*",
)
_OVER: Final = frozenset({"server_refused", "server_unreachable", "server_timeout"})
"""After these a handshake in another revision says nothing new."""
_OWN_ANSWER: Final = "answered by the gateway"
_SECONDS: Final = 10.0
_LONGEST: Final = 800
_NAMED: Final = 12
"""Capabilities and revisions that a line names."""


@dataclass(slots=True)
class Inspected:
    """What was found of one server. definitions: the JSON text of each of its tools, by name."""

    name: str
    lines: list[Line] = field(default_factory=list)
    definitions: dict[str, bytes] = field(default_factory=dict)

    @property
    def judged(self) -> Judged:
        """The same as a judgement."""
        return Judged("server", self.name, tuple(self.lines))


async def inspect(
    configuration: Configuration, names: Sequence[str], clock: Clock, *, limits: Limits = LIMITS
) -> tuple[Inspected, ...]:
    """Ask the servers of these names, which are configured. Raises ConfigError."""
    check_keys_are_shared(configuration)
    patient = replace(
        limits,
        server_idle_seconds=min(_SECONDS, limits.server_idle_seconds),
        server_total_seconds=min(3 * _SECONDS, limits.server_total_seconds),
        process_start_seconds=min(3 * _SECONDS, limits.process_start_seconds),
    )
    async with AsyncExitStack() as stack:
        parts = await open_parts(configuration, clock, stack, background=False)
        client = Client()
        stack.push_async_callback(client.close)
        asking = _Asking(parts, ServerHttp(client, patient), patient)
        stack.push_async_callback(asking.close)
        return tuple(await asyncio.gather(*(asking.ask(name) for name in names)))


class _Asking:
    def __init__(self, parts: Parts, http: ServerHttp, limits: Limits) -> None:
        self._parts = parts
        self._http = http
        self._limits = limits
        self._new_id = Ids().new
        self._found = {name: Inspected(name) for name in parts.configuration.servers}
        policy = replace(
            parts.pipeline.policy,
            rules=(Rule("the gateway's own check", permits=True, methods=Patterns.of(_MAY)),),
            allowed_tools={},
        )
        pipeline = replace(parts.pipeline, policy=policy, pins=None)
        self._countersign = OwnCalls(lambda: pipeline.recorder, pipeline.permit)
        server_parts = ServerParts(
            parts.configuration,
            http,
            parts.sessions,
            self._see,
            self._countersign,
            limits,
            self._new_id,
            parts.pipeline.clock,
        )
        self._servers: dict[str, Server] = {
            name: open_server(server_parts, name) for name in parts.configuration.servers
        }
        self._destination = {
            name: destination(server_parts, name)
            for name, server in parts.configuration.servers.items()
            if server.url is not None
        }
        self._listing = Listing(self._servers, self._countersign, self._new_id, limits)

    async def close(self) -> None:
        await asyncio.gather(*(server.close() for server in self._servers.values()))

    async def ask(self, name: str) -> Inspected:
        """All that there is to find out about one server."""
        found = self._found[name]
        transport = self._parts.configuration.servers[name].transport
        if transport == "openapi":
            found.lines.append(await self._unsigned(name).base())
            if found.judged.level == "problem":
                return found
        await self._signed(name, found)
        if found.judged.level != "problem":
            found.lines += await self._without_token(name, transport, found)
        if (waiting := self._parts.pins.healthy(name)) is not None:
            found.lines.append(Line("warning", "pins", waiting))
        return found

    def _see(self, _: Caller, call: Call, use: str, name: str, item: bytes | memoryview) -> bool:
        if use == "tools/call":
            self._found[call.server].definitions[name] = bytes(item)
        return True

    # ---- with a token ----

    async def _signed(self, name: str, found: Inspected) -> None:
        now = asyncio.get_running_loop().time
        started = now()
        modern, why = await self._try(_discovery(name))
        # For an HTTP API the gateway is the server; for others its own answer says that the server has another era.
        hosted = self._parts.configuration.servers[name].transport == "openapi"
        own = modern is not None and not hosted and _OWN_ANSWER in (modern[0].note or "")
        is_modern = modern is not None and not own and "result" in modern[1]
        if isinstance(why, Denied) or _told(why) in _OVER:
            found.lines.append(self._problem(name, why))
            return
        legacy, why_legacy = None, None
        if not is_modern:
            legacy, why_legacy = await self._try(_handshake(name))
        shaken = legacy if legacy is not None and "result" in legacy[1] else None
        took = round((now() - started) * 1000)
        if not is_modern and shaken is None:
            answered = (legacy or modern or (None, {}))[1]
            found.lines.append(self._problem(name, why_legacy or why, answered))
            return
        result = modern[1]["result"] if is_modern and modern is not None else shaken[1]["result"] if shaken else {}
        if not any(line.about == "reach" for line in found.lines):
            found.lines.append(Line("ok", "reach", f"it answers, in {took} ms", {"milliseconds": took}))
        self._describe(found, result, is_modern, shaken)
        call = _of_session(self._parts, name, shaken) if shaken is not None and not is_modern else _discovery(name)
        if shaken is not None and not is_modern:
            await self._try_notification(name, call)
        await self._list(name, found, call, result)
        if call.session is not None:
            await self._try(_end(call))

    def _describe(
        self, found: Inspected, result: dict[str, Any], is_modern: bool, shaken: tuple[Reply, dict[str, Any]] | None
    ) -> None:
        revisions = [str(one) for one in result.get("supportedVersions", [])] if is_modern else []
        if shaken is not None and isinstance(negotiated := shaken[1]["result"].get("protocolVersion"), str):
            revisions.append(negotiated)
        eras = ["modern"] * is_modern + ["legacy"] * (shaken is not None and not is_modern)
        text = ", ".join(dict.fromkeys(revisions[:_NAMED]))
        found.lines.append(
            Line("ok", "revision", shown(f"{text} ({eras[0]})"), {"era": eras[0], "revisions": revisions})
        )
        capabilities = result.get("capabilities")
        names = sorted(map(str, capabilities)) if isinstance(capabilities, dict) else []
        found.lines.append(
            Line("ok", "offers", shown(", ".join(names[:_NAMED]) or "nothing that it names"), {"capabilities": names})
        )

    async def _list(self, name: str, found: Inspected, call: Call, result: dict[str, Any]) -> None:
        if "tools" not in (result.get("capabilities") or {}):
            found.lines.append(Line("note", "tools", "it says that it has none", {"tools": 0}))
            return
        try:
            async for page in self._listing.pages(GATEWAY, call):
                if "error" in page:
                    what = str(page["error"].get("message", ""))
                    found.lines.append(
                        Line("problem", "tools", shown(f"it refuses `tools/list`: {what}") + ": mend the server")
                    )
                    return
        except CallError as error:
            found.lines.append(self._problem(name, error))
            return
        count = len(found.definitions)
        found.lines.append(Line("ok", "tools", f"{count} tool{'' if count == 1 else 's'}", {"tools": count}))

    async def _try(self, call: Call) -> tuple[tuple[Reply, dict[str, Any]] | None, CallError | None]:
        """What came back, or why nothing did."""
        try:
            async with self._countersign(GATEWAY, call) as permit:
                reply = await self._servers[call.server].send(permit)
                body = await whole(reply)
                if call.shape is not Shape.REQUEST:
                    return (reply, {}), None
                return (reply, response_of(reply, body, self._limits)), None
        except CallError as error:
            return None, error

    async def _try_notification(self, name: str, call: Call) -> None:
        message = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        await self._try(
            changed(call, method="notifications/initialized", shape=Shape.NOTIFICATION, message=message, id=None)
        )

    def _problem(self, name: str, error: CallError | None, answered: dict[str, Any] | None = None) -> Line:
        configuration = self._parts.configuration
        server, signer = configuration.servers[name], configuration.signer_of(name)
        code = _told(error)
        detail = "" if error is None else error.detail or error.message
        if isinstance(error, Denied):
            return Line("problem", "token", shown(f"no token can be made to ask it with: {error.message}"))
        if code == "server_refused":
            audience = signer.audience or server.audience(name)
            what = (
                f"it refuses the gateway's call token ({detail}): let it accept the issuer {configuration.issuer}, the audience "
                f"{audience} and the keys of {configuration.issuer.rstrip('/')}/.well-known/jwks.json"
            )
            return Line("problem", "token", shown(what))
        place = f"servers.{name}.{'command' if server.url is None else 'url'}"
        where = configuration.place_of(place, f"servers.{name}")
        if code in ("server_unreachable", "server_timeout", "server_failing"):
            what = f"{server.place}: {detail}: start it, or mend {place} ({where})"
            return Line("problem", "reach", shown(what), {"reason": code})
        if error is None and answered:
            said = str(answered.get("error", {}).get("message", "no result"))
            return Line("problem", "revision", shown(f"it takes neither `server/discover` nor `initialize`: {said}"))
        what = f"{server.place}: {detail or 'no answer'}: see whether {place} ({where}) is that of an MCP server"
        return Line("problem", "answer", shown(what), {"reason": code})

    # ---- without one ----

    def _unsigned(self, name: str) -> Unsigned:
        return Unsigned(self._destination[name], self._http, self._limits, _CLIENT)

    async def _without_token(self, name: str, transport: str, found: Inspected) -> list[Line]:
        if transport == "stdio":
            sends = self._parts.configuration.servers[name].send_token
            what = "it gets call tokens" if sends else "it gets no call tokens"
            return [Line("note", "unsigned", f"{what}; nobody but the gateway can speak to its program")]
        if transport == "openapi":
            return [Line("note", "unsigned", "not tried: any operation of an API may have an effect")]
        unsigned = self._unsigned(name)
        era = next(line.facts["era"] for line in found.lines if line.about == "revision")
        tries: dict[str, Callable[[], Awaitable[Line]]] = {"modern": unsigned.modern, "legacy": unsigned.legacy}
        return [await (unsigned.event_stream if transport == "sse" else tries[era])()]


def shown(text: str) -> str:
    """Printable ASCII, and not too much of it: others wrote some of it."""
    return json.dumps(text[:_LONGEST])[1:-1].replace("\x7f", "\\u007f").replace('\\"', '"')


def _told(error: CallError | None) -> str | None:
    return error.reason.code if isinstance(error, ServerError) else None


def _discovery(server: str) -> Call:
    params = {"_meta": {VERSION: MODERN, CAPABILITIES: {}}}
    message = {"jsonrpc": "2.0", "id": "check", "method": "server/discover", "params": params}
    return changed(own_call(server, Era.MODERN, message), id="check")


def _handshake(server: str) -> Call:
    message = {**bridge.initialize(LEGACY[-1], *_CLIENT), "id": "check"}
    return changed(own_call(server, Era.LEGACY, message), id="check")


def _of_session(parts: Parts, server: str, shaken: tuple[Reply, dict[str, Any]]) -> Call:
    """A call in the session that a handshake opened, where it did."""
    reply, response = shaken
    call = changed(_handshake(server), revision=str(response["result"].get("protocolVersion", LEGACY[-1])))
    sealed = dict(reply.headers).get(b"mcp-session-id")
    session: Session | None = None if sealed is None else parts.sessions.open(GATEWAY, server, sealed.decode())
    return changed(call, session=session)


def _end(call: Call) -> Call:
    return changed(call, method=END_SESSION, shape=Shape.END, message=None, id=None)
