"""The composition root: from the configuration to one gateway, built once, torn down in the opposite order.

Nothing is looked up by name after this, nothing is parsed again, and nothing here is a global.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from counterseal import __version__
from counterseal.audit.sink import Sink
from counterseal.audit.sinks import FileSink, MemorySink
from counterseal.clock import Clock, SystemClock
from counterseal.config.compile import compile_policy, names_of, required_scopes, signing_algorithm, spelling_of
from counterseal.config.compile_claims import signer_settings
from counterseal.config.load import load
from counterseal.config.lock import read_lock
from counterseal.config.schema import Configuration
from counterseal.core.call import Call, Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS
from counterseal.core.permit import Allowed, Denial
from counterseal.core.policy import Policy
from counterseal.errors import CannotTell
from counterseal.gateway.admission import Admission
from counterseal.gateway.aggregate.handler import Aggregate, schema_of_all
from counterseal.gateway.batch import BatchHandler, Handler
from counterseal.gateway.forwarded import Forwarded
from counterseal.gateway.hook_wiring import Opened, open_hooks
from counterseal.gateway.identity_wiring import Check, identity_headers, key_header, open_identify
from counterseal.gateway.ids import Ids
from counterseal.gateway.issuer_wiring import published, ring_of
from counterseal.gateway.listing import Listing
from counterseal.gateway.litellm_addresses import LitellmAddresses
from counterseal.gateway.own_calls import OwnCalls
from counterseal.gateway.passthrough import Passthrough
from counterseal.gateway.pin_keeping import PinKeeping
from counterseal.gateway.pins import Pins
from counterseal.gateway.pipeline import Pipeline
from counterseal.gateway.recorder import Recorder
from counterseal.gateway.transports import Server, ServerParts, open_server
from counterseal.httpclient import Client
from counterseal.identity.headers import IdentityHeaders
from counterseal.issuer.mint import Mint
from counterseal.issuer.ring import KeyRing
from counterseal.issuer.signers.dry import DrySigner
from counterseal.servers.http import ServerHttp
from counterseal.servers.session import Sessions
from counterseal.store.open import open_store
from counterseal.store.port import AUDIT_MAC, PAIRWISE, SESSION_SEAL, Store
from counterseal.wire import envelope
from counterseal.wire.aggregate.names import Spelling


@dataclass(frozen=True, slots=True)
class Gateway:
    """One running gateway, as the web room serves it.

    documents: path to JSON text of everything under `/.well-known/`. checks: the parts of `/readyz`. identity_headers: takes out
    what a peer must not send. origins: whose pages may call. forwarded: headers that some server gets by name.
    servers: each server by its name, asked for what is wrong with it; the gateway is ready without it. is_litellm: addresses are
    LiteLLM's. cut_off: tells the records that calls which end before their time do so because the gateway ends.
    """

    issuer: str
    handler: Handler
    documents: Mapping[str, bytes]
    checks: Mapping[str, Check]
    identity_headers: IdentityHeaders
    origins: tuple[str, ...] = ()
    forwarded: tuple[str, ...] = ()
    servers: Mapping[str, Check] = field(default_factory=dict)
    is_litellm: bool = False
    cut_off: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a gateway is made of, for whoever looks at a call beside those that come in."""

    configuration: Configuration
    store: Store
    ring: KeyRing
    sessions: Sessions
    servers: Mapping[str, Server]
    pipeline: Pipeline
    checks: Mapping[str, Check]
    identity_headers: IdentityHeaders
    new_id: Callable[[], str]
    pins: Pins


async def prepare(config: Path) -> None:
    """Find everything that would keep a worker from starting, and make what is made once. Raises ConfigError."""
    async with open_gateway(config, background=False):
        pass


@asynccontextmanager
async def open_gateway(
    config: Path, *, background: bool = True, clock: Clock | None = None, alone: bool = True
) -> AsyncIterator[Gateway]:
    """A gateway for as long as the block lasts. Raises ConfigError for what its operator has to mend.

    background: also begin with what goes on beside calls and needs the network. clock: None for the machine's. alone: there is no
    other worker of this gateway.
    """
    configuration = load(config)
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        parts = await open_parts(configuration, clock, stack, background=background)
        aggregate = Aggregate(
            parts.pipeline,
            parts.sessions,
            clock,
            LIMITS,
            parts.new_id,
            {"name": "counterseal", "version": __version__},
            unkept=parts.pipeline.passthrough.keys() | parts.pipeline.forwarded.keys(),
            alone=alone,
            spelling=spelling_of(configuration),
            held=lambda server: parts.pins.servers[server].held,
        )
        stack.push_async_callback(aggregate.close)
        yield Gateway(
            issuer=configuration.issuer,
            handler=_handler(configuration, aggregate, parts.sessions),
            is_litellm=configuration.litellm is not None,
            cut_off=parts.pipeline.recorder.cut_off,
            documents=published(configuration, parts.ring, required_scopes(configuration)),
            checks=parts.checks,
            identity_headers=parts.identity_headers,
            servers={name: partial(_healthy, name, server, parts.pins) for name, server in parts.servers.items()},
            origins=configuration.listen.origins,
            forwarded=tuple(name for one in configuration.servers.values() for name in one.forward_headers),
        )


async def open_parts(
    configuration: Configuration,
    clock: Clock,
    stack: AsyncExitStack,
    *,
    background: bool,
    dry: bool = False,
    with_hooks: bool = True,
    asked: Callable[[str], None] | None = None,
) -> Parts:
    """Everything that a gateway is made of. stack: closes it. Raises ConfigError.

    background: as `open_gateway`. dry: nothing is recorded or sent, and no token is signed that could be used. with_hooks: call
    gates and claim sources. asked: is told the label of each that is called.
    """
    store = await open_store(configuration.store)
    stack.push_async_callback(store.close)
    await store.bind_issuer(configuration.issuer)
    ring = await ring_of(configuration, store, clock)
    if dry:
        ring = KeyRing.of(map(DrySigner, ring.signers))
    sink = MemorySink() if dry else await _open_sink(configuration, clock, stack)
    new_id = Ids().new
    sessions = Sessions(await store.secret(SESSION_SEAL), clock, LIMITS)
    policy = compile_policy(configuration)
    client = Client()
    stack.push_async_callback(client.close)
    http = ServerHttp(client, LIMITS)
    recorder: Recorder
    pipeline: Pipeline  # made below, from the servers that these calls are for
    own_calls = OwnCalls(lambda: recorder, lambda caller, call, *, again: pipeline.permit(caller, call, again=again))
    servers: dict[str, Server] = {}
    listing = Listing(servers, own_calls, new_id, LIMITS)
    pins = Pins(configuration, read_lock(configuration.folder), clock, LIMITS, partial(_post, sink), new_id, listing)
    await _keep_pins(pins, store, stack, background=background and not dry)
    server_parts = ServerParts(
        configuration, http, sessions, partial(_may, policy, pins), own_calls, LIMITS, new_id, clock
    )
    servers |= {name: open_server(server_parts, name) for name in configuration.servers}
    stack.push_async_callback(_close, servers)
    stack.push_async_callback(pins.close)
    hooks = open_hooks(configuration, clock, servers, stack, asked) if with_hooks else Opened(None, None)
    recorder = Recorder(sink, clock, await store.secret(AUDIT_MAC), new_id, hooks.observe)
    headers = identity_headers(configuration)
    pairwise_key = await store.secret(PAIRWISE)
    checks: dict[str, Check] = {"keys": lambda: None, "audit": sink.healthy}
    pipeline = Pipeline(
        identify=await open_identify(
            configuration, store, clock, stack, checks, headers=headers, background=background
        ),
        admission=Admission(LIMITS),
        decode=partial(_decode, policy, sessions, servers, spelling_of(configuration)),
        policy=policy,
        signers={
            name: signer_settings(
                configuration,
                name,
                algorithm=signing_algorithm(configuration, name, first_algorithm=ring.signers[0].algorithm),
                pairwise_key=pairwise_key,
            )
            for name in configuration.servers
        },
        mint=Mint(ring, LIMITS),
        servers={} if dry else servers,
        recorder=recorder,
        clock=clock,
        new_id=new_id,
        resume=sessions.handles.resume,
        hooks=hooks.calls,
        passthrough=_passthrough(configuration),
        forwarded=_forwarded(configuration),
        pins=pins.remembered if dry else pins.denial,
    )
    for settings in pipeline.signers.values():
        ring.signer(settings.algorithm)
    return Parts(configuration, store, ring, sessions, servers, pipeline, checks, headers, new_id, pins)


async def _open_sink(configuration: Configuration, clock: Clock, stack: AsyncExitStack) -> FileSink:
    sink = FileSink(
        configuration.audit.folder, fsync=configuration.audit.fsync, clock=clock, issuer=configuration.issuer
    )
    stack.push_async_callback(sink.close)
    await sink.start()
    return sink


def _healthy(name: str, server: Server, pins: Pins) -> str | None:
    return "; ".join(problem for problem in (server.healthy(), pins.healthy(name)) if problem) or None


async def _close(servers: Mapping[str, Server]) -> None:
    """End what the servers run on, all at once."""
    await asyncio.gather(*(server.close() for server in servers.values()))


def _passthrough(configuration: Configuration) -> dict[str, Passthrough]:
    return {
        name: Passthrough(
            server.passthrough.header.lower().encode(),
            configuration.signer_of(name).channel_token_header.lower().encode(),
            key_header(configuration),
        )
        for name, server in configuration.servers.items()
        if server.passthrough is not None
    }


def _forwarded(configuration: Configuration) -> dict[str, Forwarded]:
    return {
        name: Forwarded(
            server.forward_headers,
            configuration.signer_of(name).channel_token_header.lower().encode(),
            key_header(configuration),
            LIMITS.forward_header_bytes,
        )
        for name, server in configuration.servers.items()
        if server.forward_headers
    }


def _handler(configuration: Configuration, aggregate: Aggregate, sessions: Sessions) -> Handler:
    if configuration.litellm is None:
        return BatchHandler(aggregate, sessions.open, LIMITS)
    return LitellmAddresses(aggregate, sessions.open, LIMITS, names_of(configuration))


async def _keep_pins(pins: Pins, store: Store, stack: AsyncExitStack, *, background: bool) -> None:
    """What was approved is known before the first call."""
    keeping = PinKeeping(store, pins.servers)
    await keeping.refresh()
    if background:
        stack.push_async_callback(keeping.close)
        keeping.start()


def _post(sink: Sink, entry: dict[str, Any]) -> None:
    """For what leaves a record and is no call."""
    try:
        sink.post(entry)
    except CannotTell as error:
        logging.getLogger("counterseal.gateway").warning("a %s was not recorded: %s", entry["event"], error.detail)


def _may(
    policy: Policy, pins: Pins, caller: Caller, call: Call, method: str, name: str, item: bytes | memoryview
) -> bool:
    """The decision that filters lists: the same one as for calls, and whether a tool is the one that was approved.

    A whole list is one for the gateway itself, which decides about what it shows of it.
    """
    approved = method != "tools/call" or pins.vet(caller, call.server, name, item)
    return approved and (call.whole or isinstance(policy.decide_operation(caller, call.server, method, name), Allowed))


def _decode(
    policy: Policy,
    sessions: Sessions,
    servers: Mapping[str, Server],
    spelling: Spelling,
    inbound: Inbound,
    caller: Caller,
) -> Call:
    server = servers.get(inbound.server)
    return envelope.decode(
        inbound,
        LIMITS,
        partial(sessions.open, caller, inbound.server),
        partial(schema_of_all, servers, spelling=spelling)
        if server is None
        else partial(_schema, policy, caller, inbound.server, server),
    )


def _schema(policy: Policy, caller: Caller, name: str, server: Server, tool: str) -> Any:
    """What a tool mirrors into headers. Not to a caller who may not call it: a refusal for a header would tell him of a tool that
    others see (M-17), and the decision, which comes next, denies the call."""
    mirrored = server.schema(tool)
    if mirrored and isinstance(policy.decide_operation(caller, name, "tools/call", tool), Denial):
        return None
    return mirrored
