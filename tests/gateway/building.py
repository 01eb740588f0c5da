"""A whole pipeline of the real rooms, put together by hand: no configuration, a sink in memory, a server that counts."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from typing import Any, Final

import jwt

from counterseal.audit.sinks import MemorySink
from counterseal.core.call import Call, Era, Inbound, Shape
from counterseal.core.caller import Caller
from counterseal.core.claims import SignerSettings
from counterseal.core.limits import LIMITS, Limits
from counterseal.core.methods import END_SESSION, EXTENSION_TASKS, METHODS, MODERN, REPLY, STREAM
from counterseal.core.permit import Allowed
from counterseal.core.policy import Policy, Rule
from counterseal.errors import CallError, Unauthenticated
from counterseal.gateway.admission import Admission
from counterseal.gateway.aggregate.handler import Aggregate, schema_of_all
from counterseal.gateway.batch import BatchHandler
from counterseal.gateway.litellm_addresses import LitellmAddresses
from counterseal.gateway.pipeline import Pipeline
from counterseal.gateway.recorder import Recorder
from counterseal.hooks.observing import Observe
from counterseal.hooks.runner import Hook
from counterseal.httpclient import Client
from counterseal.identity.channel import ChannelRules, Channels
from counterseal.identity.credentials import REFUSED
from counterseal.identity.headers import IdentityHeaders, IdentitySources
from counterseal.identity.identify import Identify
from counterseal.issuer.mint import Mint
from counterseal.issuer.ring import KeyRing
from counterseal.issuer.signers.local import LocalSigner
from counterseal.servers.handles import Handles
from counterseal.servers.http import ServerHttp
from counterseal.servers.session import Sessions
from counterseal.servers.streamable_http import Destination, StreamableHttp
from counterseal.wire import envelope
from counterseal.wire.aggregate.names import OURS, Spelling
from counterseal.wire.envelope import CAPABILITIES
from tests.hooks.making import hooks as put_together
from tests.servers.permits import PARAMS
from tests.support.hostile import SESSION, Heard, HostileServer
from tests.support.tokens import FixedClock, private_key

ISSUER: Final = "https://gateway.example.com"
SEAL: Final = bytes(range(32))
ALICE: Final = Caller(
    kind="api_key", client_id="k-alice", subject="alice", fields={"user_id": "alice", "agent_id": "agent-7"}
)
BOB: Final = Caller(kind="api_key", client_id="k-bob", subject="bob", fields={"user_id": "bob"})
CALLERS: Final[Mapping[bytes, Caller]] = {b"key-of-alice": ALICE, b"key-of-bob": BOB}
PERMIT_ALL: Final = Policy((Rule("policy[0]", permits=True),), {})
DENY_ALL: Final = Policy((Rule("policy[0]", permits=False), Rule("policy[1]", permits=True)), {})
FOLLOWS_TASKS: Final = {"extensions": {EXTENSION_TASKS: {}}}
META: Final[dict[str, Any]] = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Known:
    """An authenticator that knows callers by what they send."""

    def __init__(self, callers: Mapping[bytes, Caller] = CALLERS) -> None:
        self._callers = callers
        self.error: CallError | None = None

    async def authenticate(self, presented: bytes, inbound: Inbound) -> Caller | None:
        if self.error is not None:
            raise self.error
        if presented not in self._callers:
            raise Unauthenticated("credential_invalid", REFUSED, detail="nobody has this key")
        return self._callers[presented]


@dataclass(frozen=True, slots=True)
class Built:
    """One gateway and what can be seen of it."""

    handler: BatchHandler | LitellmAddresses
    pipeline: Pipeline
    sink: MemorySink
    server: HostileServer
    sessions: Sessions
    known: Known
    clock: FixedClock
    identity_headers: IdentityHeaders

    @property
    def entries(self) -> list[dict[str, Any]]:
        return self.sink.entries

    def events(self) -> list[str]:
        return [entry["event"] for entry in self.entries]

    def sealed(self, caller: Caller = ALICE, revision: str = "2025-11-25", server: str = "weather") -> bytes:
        """A session id that this caller has."""
        return self.sessions.seal(caller, server, SESSION, revision).sealed.encode()


@asynccontextmanager
async def built(
    server: HostileServer,
    *,
    policy: Policy = PERMIT_ALL,
    limits: Limits = LIMITS,
    anonymous: bool = False,
    others: Mapping[str, Destination] | None = None,
    litellm: Mapping[str, tuple[str, ...]] | None = None,
    header: str = "Authorization",
    static: Sequence[tuple[str, str]] = (),
    bind_arguments: bool = True,
    scopes: Sequence[str] = (),
    sources: tuple[str, ...] = ("sub", "user_id"),
    channel: ChannelRules | None = None,
    trusted: Sequence[str] = (),
    hooks: Sequence[Hook] = (),
    observe: Observe | None = None,
    alone: bool = True,
) -> AsyncIterator[Built]:
    """others: more servers by name. static, header: of the server `weather`. scopes: those that a token needs. channel: how
    `weather` takes channel tokens. trusted: networks whose headers may name a subject there, by the names in sources. hooks:
    gates and claim sources; observe: whom each call's end is told to. alone: as `Aggregate` takes it. litellm: LiteLLM's
    addresses, with these names."""
    clock, sink, known = FixedClock(), MemorySink(), Known()
    ring = KeyRing.of([LocalSigner(private_key("ES256"), "ES256")])
    sessions = Sessions(SEAL, clock, limits)
    client = Client()
    http = ServerHttp(client, limits)
    destinations = {"weather": Destination("weather", server.url, header, static, "counterseal/test"), **(others or {})}

    def may(caller: Caller, call: Call, method: str, item: str, _: object) -> bool:
        return call.whole or isinstance(policy.decide_operation(caller, call.server, method, item), Allowed)

    servers = {name: StreamableHttp(one, http, sessions, may, limits) for name, one in destinations.items()}
    spelling = OURS if litellm is None else Spelling("-", tuple(servers))

    def decode(inbound: Inbound, caller: Caller) -> Any:
        room = servers.get(inbound.server)
        opens = partial(sessions.open, caller, inbound.server)
        schema = room.schema if room is not None else partial(schema_of_all, servers, spelling=spelling)
        return envelope.decode(inbound, limits, opens, schema)

    numbers = itertools.count()
    headers = IdentityHeaders({"weather": IdentitySources(sources, tuple(map(ip_network, trusted)))})
    pipeline = Pipeline(
        identify=Identify(
            [known],
            anonymous=anonymous,
            issuer=ISSUER,
            scopes=scopes,
            channels=Channels({} if channel is None else {"weather": channel}, ISSUER, clock, limits),
            headers=headers,
        ),
        admission=Admission(limits),
        decode=decode,
        policy=policy,
        signers={
            name: SignerSettings(ISSUER, one.url, "ES256", 60, sources, bind_arguments)
            for name, one in destinations.items()
        },
        mint=Mint(ring, limits),
        servers=servers,
        resume=sessions.handles.resume,
        recorder=Recorder(sink, clock, bytes(32), lambda: f"r{next(numbers)}", observe),
        clock=clock,
        new_id=lambda: f"id-{next(numbers)}",
        hooks=put_together(
            *hooks,
            mirrors=lambda server, tool: servers[server].schema(tool),
            taken={
                name: {one.header.lower(), *(each.lower() for each, _ in one.static)}
                for name, one in destinations.items()
            },
            limits=limits,
        )
        if hooks
        else None,
    )
    aggregate = Aggregate(
        pipeline,
        sessions,
        clock,
        limits,
        lambda: f"own-{next(numbers)}",
        {"name": "counterseal", "version": "1"},
        spelling=spelling,
        alone=alone,
    )
    handler: Any = BatchHandler(aggregate, sessions.open, limits)
    if litellm is not None:
        handler = LitellmAddresses(aggregate, sessions.open, limits, litellm)
    try:
        yield Built(handler, pipeline, sink, server, sessions, known, clock, headers)
    finally:
        await aggregate.close()
        await client.close()


def modern(
    method: str = "tools/call",
    params: dict[str, Any] | None = None,
    *more: tuple[bytes, bytes],
    id: Any = 1,
    key: bytes | None = b"key-of-alice",
    server: str = "weather",
) -> Inbound:
    """One request of revision 2026-07-28. key: None sends none."""
    params = PARAMS.get(method, {}) if params is None else params
    if params.get("taskId") == "t-1":
        params = {**params, "taskId": task(server)}
    meta = META | ({CAPABILITIES: FOLLOWS_TASKS} if method.startswith("tasks/") and "taskId" in params else {})
    message = {"jsonrpc": "2.0", "id": id, "method": method, "params": {**params, "_meta": meta}}
    row = METHODS.get(method)
    headers = [(b"mcp-protocol-version", MODERN.encode()), (b"mcp-method", method.encode())]
    if row is not None and row.name_field is not None:
        headers.append((b"mcp-name", str(params[row.name_field]).encode()))
    return posted(message, *headers, *more, key=key, server=server)


def task(server: str = "weather", caller: Caller = ALICE, tool: str = "get_weather", identity: str = "t-1") -> str:
    """What a caller has for a task that a tool made for him."""
    made = Call(server=server, era=Era.MODERN, revision=MODERN, shape=Shape.REQUEST, method="tools/call", name=tool)
    return Handles(SEAL, FixedClock(), LIMITS).seal_task(caller, made, identity)


def posted(
    message: Any, *more: tuple[bytes, bytes], key: bytes | None = b"key-of-alice", server: str = "weather"
) -> Inbound:
    """A POST of any JSON, or of bytes."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    headers = [(b"content-type", b"application/json"), (b"accept", b"application/json, text/event-stream")]
    return Inbound("POST", server, (*headers, *_key(key), *more), body, "192.0.2.7")


def _key(key: bytes | None) -> list[tuple[bytes, bytes]]:
    return [] if key is None else [(b"authorization", b"Bearer " + key)]


def legacy(
    method: str = "tools/call",
    *more: tuple[bytes, bytes],
    session: bytes | None = None,
    id: Any = 1,
    key: bytes | None = b"key-of-alice",
    server: str = "weather",
) -> Inbound:
    """One request of revision 2025-11-25, or of the session's; a pseudo method makes what it stands for."""
    headers = [*more]
    if session is not None:
        headers.append((b"mcp-session-id", session))
    if method in (STREAM, END_SESSION):
        verb = "GET" if method == STREAM else "DELETE"
        return Inbound(verb, server, ((b"accept", b"text/event-stream"), *_key(key), *headers), b"", "192.0.2.7")
    if method == REPLY:
        return posted({"jsonrpc": "2.0", "id": "of-the-server", "result": {}}, *headers, key=key, server=server)
    message = {"jsonrpc": "2.0", "id": id, "method": method, "params": PARAMS.get(method, {})}
    if method.startswith("notifications/"):
        del message["id"]
    return posted(message, *headers, key=key, server=server)


def inventory() -> list[tuple[Era, str]]:
    """Every method of every era that reaches a server: what revision 2026-07-28 drops is left out."""
    cells = [(Era.MODERN, name) for name, row in METHODS.items() if row.modern]
    return cells + [(Era.LEGACY, name) for name, row in METHODS.items() if row.legacy]


CELLS: Final = inventory()
IDS: Final = [f"{era.value} {method}" for era, method in CELLS]


def request_of(cell: tuple[Era, str], gateway: Built, **changes: Any) -> Inbound:
    """The request for a cell of the inventory."""
    era, method = cell
    if era is Era.MODERN:
        return modern(method, **changes)
    return legacy(method, session=None if method == "initialize" else gateway.sealed(), **changes)


def verified(heard: Heard, audience: str, header: str = "authorization") -> dict[str, Any]:
    """The claims of a request's call token, as a server with another library verifies it. The clock stands still here, so the
    times are for other tests."""
    (value,) = heard.all(header)
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    key = private_key("ES256").public_key()
    token = value.removeprefix("Bearer ")
    claims: dict[str, Any] = jwt.decode(token, key, ["ES256"], options, audience=audience, issuer=ISSUER)  # type: ignore[arg-type]
    return claims
