"""Channel tokens and identity headers in whole calls: what the server's token says and the record says, and what neither may."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS
from counterseal.errors import CallError
from tests.gateway.building import ALICE, Built, built, legacy, modern, verified
from tests.identity.channels import claims, rules
from tests.identity.issuers import HeldKeys
from tests.servers.permits import read
from tests.support.hostile import HostileServer
from tests.support.tokens import NOW, jwks, token

CHANNEL = {"sub": "line-1", "client_id": "app"}
PROXY = "10.0.0.5"


def through(inbound: Inbound, *tokens: str) -> Inbound:
    """The request with channel tokens."""
    sent = tuple((b"x-channel-token", one.encode()) for one in tokens)
    return Inbound(inbound.verb, inbound.server, (*inbound.headers, *sent), inbound.body, inbound.peer)


def by_proxy(inbound: Inbound, *more: tuple[bytes, bytes]) -> Inbound:
    """The request as a trusted proxy sends it."""
    return Inbound(inbound.verb, inbound.server, (*inbound.headers, *more), inbound.body, PROXY)


async def made(gateway: Built, inbound: Inbound) -> dict[str, Any]:
    """The claims that the server gets."""
    await read(await gateway.handler.handle(inbound))
    return verified(gateway.server.seen[-1], gateway.server.url)


async def refused(gateway: Built, inbound: Inbound) -> str:
    """The reason of a refusal that made no call and left one record."""
    calls, entries = gateway.server.calls, len(gateway.entries)
    with pytest.raises(CallError) as told:
        await read(await gateway.handler.handle(inbound))
    assert gateway.server.calls == calls
    assert [entry["event"] for entry in gateway.entries[entries:]] == ["refusal"]
    assert gateway.entries[-1]["reason"] == told.value.reason.code
    return told.value.reason.code


def speaks_as(gateway: Built, **changes: Any) -> None:
    """From now on, Alice's credential is that of a token with these."""
    caller = Caller(kind="token", client_id="ide", issuer="https://idp", subject="alice", claims={"sub": "alice"})
    gateway.known._callers = {b"key-of-alice": dataclasses.replace(caller, **changes)}


async def test_a_verified_channel_is_the_outermost_actor(server: HostileServer) -> None:
    """docs/call-token.md."""
    async with built(server, channel=rules()) as gateway:
        assert (await made(gateway, modern()))["act"] == {"sub": "agent-7"}
        got = await made(gateway, through(modern(), token(claims())))
        assert (got["act"], got["sub"], got["client_id"]) == (CHANNEL, "alice", "k-alice")
        speaks_as(gateway, act={"sub": "a", "act": {"sub": "b"}})
        got = await made(gateway, through(modern(), token(claims())))
        assert got["act"] == {**CHANNEL, "act": {"sub": "a", "act": {"sub": "b"}}}
        (intent,) = [entry for entry in gateway.entries if entry["event"] == "intent"][-1:]
        assert (intent["act"], intent["channel_token"]) == (got["act"], "verified")


@pytest.mark.parametrize("sent", ["forged", token(claims()), token(claims(sub="admin"))])
async def test_s7_with_nobody_to_verify_it_a_channel_token_changes_nothing_but_the_record(
    server: HostileServer, sent: str
) -> None:
    async with built(server, channel=rules(trusted=None)) as gateway:
        plain, got = await made(gateway, modern()), await made(gateway, through(modern(), sent))
        assert got["act"] == plain["act"] == {"sub": "agent-7"}
        intents = [entry["channel_token"] for entry in gateway.entries if entry["event"] == "intent"]
        assert intents == [None, "ignored"]


@pytest.mark.parametrize("method", ["tools/call", "tools/list", "server/discover"])
@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ([], "channel_token_missing"),
        ([token(claims(exp=NOW - 60, iat=NOW - 99, nbf=NOW - 99))], "channel_token_invalid"),
        ([token(claims(aud="https://elsewhere"))], "channel_token_invalid"),
        ([token(claims())] * 2, "bad_header"),
    ],
)
async def test_i_11_each_bad_channel_token_is_refused_before_any_method(
    server: HostileServer, method: str, sent: list[str], reason: str
) -> None:
    async with built(server, channel=rules(required=True)) as gateway:
        assert await refused(gateway, through(modern(method), *sent)) == reason
        entry = gateway.entries[-1]
        assert (entry["caller"]["client_id"], entry["channel_token"]) == ("k-alice", None)
        await made(gateway, through(modern(method), token(claims())))


async def test_k_08_where_the_channels_keys_cannot_be_had_it_is_503(server: HostileServer) -> None:
    keys = HeldKeys(None)
    async with built(server, channel=rules(keys=keys)) as gateway:
        assert await refused(gateway, through(modern(), token(claims()))) == "identity_unavailable"
        await made(gateway, modern())
        keys.change(jwks("ES256"))
        await made(gateway, through(modern(), token(claims())))


async def test_who_may_act_is_held_to_in_a_whole_call(server: HostileServer) -> None:
    async with built(server, channel=rules()) as gateway:
        speaks_as(gateway, may_act={"sub": "line-1", "iss": "https://channels.example.com"})
        assert (await made(gateway, through(modern(), token(claims()))))["act"] == CHANNEL
        assert await refused(gateway, through(modern(), token(claims(sub="line-2")))) == "actor_refused"
        assert await refused(gateway, modern()) == "actor_refused"
        assert gateway.entries[-1]["caller"]["subject"] == "alice"


async def test_m_09_a_session_belongs_to_the_channel_that_it_was_opened_through(server: HostileServer) -> None:
    async with built(server, channel=rules()) as gateway:
        one, other = token(claims()), token(claims(sub="line-2"))
        speaks_as(gateway)
        caller = await gateway.pipeline.identify(through(modern(), one))
        session = gateway.sealed(caller)
        await read(await gateway.handler.handle(through(legacy(session=session), one)))
        assert await refused(gateway, through(legacy(session=session), other)) == "session_unknown"
        assert await refused(gateway, legacy(session=session)) == "session_unknown"


async def test_whom_a_trusted_proxy_names_is_the_subject(server: HostileServer) -> None:
    async with built(server, sources=("x-user",), trusted=("10.0.0.0/24",)) as gateway:
        got = await made(gateway, by_proxy(modern(), (b"x-user", b"carol")))
        assert (got["sub"], got["client_id"], got["act"]) == ("carol", "k-alice", {"sub": "agent-7"})
        assert (await made(gateway, by_proxy(modern())))["sub"] == "apikey:k-alice"
        stranger = modern()
        sent = Inbound("POST", "weather", (*stranger.headers, (b"x-user", b"carol")), stranger.body, stranger.peer)
        assert (await made(gateway, sent))["sub"] == "apikey:k-alice"
        assert await refused(gateway, by_proxy(modern(), (b"x-user", b"carol,dave"))) == "bad_header"


async def test_a_verified_claim_beats_a_header_and_a_header_beats_the_keys_field(server: HostileServer) -> None:
    async with built(server, sources=("user_id",), trusted=("10.0.0.0/24",)) as gateway:
        named = (b"user_id", b"carol")
        assert (await made(gateway, by_proxy(modern(), named)))["sub"] == "carol"
        assert (await made(gateway, by_proxy(modern())))["sub"] == "alice"
        speaks_as(gateway, claims={"sub": "alice", "user_id": "verified"})
        assert (await made(gateway, by_proxy(modern(), named)))["sub"] == "verified"


async def test_m_09_a_session_belongs_to_whom_the_proxy_named(server: HostileServer) -> None:
    async with built(server, sources=("x-user",), trusted=("10.0.0.0/24",)) as gateway:
        carol, dave = (b"x-user", b"carol"), (b"x-user", b"dave")
        caller = await gateway.pipeline.identify(by_proxy(modern(), carol))
        session = gateway.sealed(caller)
        await read(await gateway.handler.handle(by_proxy(legacy(session=session), carol)))
        for other in ((dave,), ()):
            assert await refused(gateway, by_proxy(legacy(session=session), *other)) == "session_unknown"


async def test_each_person_behind_a_proxy_and_each_channel_has_calls_of_its_own(server: HostileServer) -> None:
    limits = dataclasses.replace(LIMITS, calls_per_caller=1)
    async with built(server, sources=("x-user",), trusted=("10.0.0.0/24",), channel=rules(), limits=limits) as gateway:
        lines = [token(claims(sub=f"line-{number}")) for number in range(2)]
        people = [(b"x-user", name) for name in (b"carol", b"dave")]
        callers = [
            await gateway.pipeline.identify(by_proxy(through(modern(), line), who)) for line in lines for who in people
        ]
        for caller in (*callers, ALICE):
            gateway.pipeline.admission.enter(caller)
        for caller in (*callers, ALICE):
            with pytest.raises(CallError):
                gateway.pipeline.admission.enter(caller)


async def test_i_14_a_subject_that_mixes_alphabets_is_flagged_in_the_record(server: HostileServer) -> None:
    async with built(server) as gateway:
        for name, flagged in (("admin", None), ("\N{CYRILLIC SMALL LETTER A}dmin", ["CYRILLIC", "LATIN"])):
            speaks_as(gateway, subject=name)
            assert (await made(gateway, modern()))["sub"] == name
            (intent,) = [entry for entry in gateway.entries if entry["event"] == "intent"][-1:]
            assert intent["mixed_scripts"] == flagged
