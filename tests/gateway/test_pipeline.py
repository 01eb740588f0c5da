"""The order of a call, from outside: what is decided on is what is sent, and what cannot be recorded does not happen."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import threading
from typing import Any

import jwt
import msgspec
import pytest

from counterseal.core.call import Era, Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS
from counterseal.core.methods import METHODS
from counterseal.core.patterns import Patterns
from counterseal.core.permit import Denial, Permit
from counterseal.core.policy import Policy, Rule
from counterseal.errors import BadCall, CallError, CannotTell, Unauthenticated
from tests.contracts.http import until
from tests.gateway.building import (
    ALICE,
    BOB,
    CELLS,
    DENY_ALL,
    IDS,
    Built,
    built,
    legacy,
    modern,
    posted,
    request_of,
    verified,
)
from tests.servers.permits import call, read
from tests.support.hostile import HostileServer
from tests.support.tokens import NOW, digest


async def refused(gateway: Built, inbound: Inbound) -> CallError:
    """The refusal; it made no call to the server and left one record, whose id it holds."""
    before, calls = len(gateway.entries), gateway.server.calls
    with pytest.raises(CallError) as told:
        await read(await gateway.handler.handle(inbound))
    (entry,) = gateway.entries[before:]
    assert (entry["event"], entry["reason"]) == ("refusal", told.value.reason.code)
    assert entry["record"] == told.value.record
    assert gateway.server.calls == calls, "the server was called"
    return told.value


# ---- every method of every era ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
async def test_s18_every_message_to_a_server_carries_a_token_for_exactly_that_operation(
    server: HostileServer, cell: tuple[Era, str]
) -> None:
    """G4: the table of methods, not a list of this test's."""
    _, method = cell
    async with built(server) as gateway:
        inbound = request_of(cell, gateway)
        await read(await gateway.handler.handle(inbound))
        (heard,) = server.seen
        claims = verified(heard, server.url)
        params = heard.call["params"] if heard.body and "method" in heard.call else {}
        name = params.get(METHODS[method].name_field or "") or params.get("ref", {}).get("name")
        bound: dict[str, Any] = {"type": "mcp_call", "locations": [server.url], "actions": [method]}
        if name is not None:
            bound["identifier"] = name
        if METHODS[method].arguments:
            bound["arguments_digest"] = digest(params.get("arguments", {}))
        assert claims["authorization_details"] == [bound]
        assert claims["scope"] == (f"mcp:tools/call:{name}" if method == "tools/call" else f"mcp:{method}")
        assert (claims["sub"], claims["client_id"], claims["act"]) == ("alice", "k-alice", {"sub": "agent-7"})
        assert (claims["iat"], claims["nbf"], claims["exp"]) == (NOW, NOW, NOW + 60)
        assert gateway.events() == ["intent", "outcome"]
        intent, outcome = gateway.entries
        assert (intent["method"], intent["name"], intent["jti"]) == (method, name, claims["jti"])
        assert (outcome["outcome"], outcome["record"]) == ("answered", intent["record"])


def test_the_inventory_is_the_table_of_methods() -> None:
    assert {method for _, method in CELLS} == set(METHODS)
    assert len(CELLS) >= 30


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
async def test_p_02_where_the_policy_denies_all_no_method_gets_through(
    server: HostileServer, cell: tuple[Era, str]
) -> None:
    async with built(server, policy=DENY_ALL) as gateway:
        error = await refused(gateway, request_of(cell, gateway))
        assert error.reason.code == "policy_denied"
        assert gateway.entries[0]["rule"] == "policy[0]"


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
async def test_c_04_where_the_policy_says_nothing_no_method_gets_through(
    server: HostileServer, cell: tuple[Era, str]
) -> None:
    async with built(server, policy=Policy((), {})) as gateway:
        assert (await refused(gateway, request_of(cell, gateway))).reason.code == "policy_denied"
        assert gateway.entries[0]["rule"] == "default"


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
async def test_every_method_needs_a_credential(server: HostileServer, cell: tuple[Era, str]) -> None:
    async with built(server) as gateway:
        assert (await refused(gateway, request_of(cell, gateway, key=None))).reason.code == "credential_missing"
        assert (await refused(gateway, request_of(cell, gateway, key=b"made-up"))).reason.code == "credential_invalid"


@pytest.mark.parametrize("cell", CELLS, ids=IDS)
async def test_u_01_without_a_record_there_is_no_effect(server: HostileServer, cell: tuple[Era, str]) -> None:
    """Invariant 7."""
    async with built(server) as gateway:
        gateway.sink.problem = "the disk is full"
        with pytest.raises(CannotTell) as told:
            await gateway.handler.handle(request_of(cell, gateway))
        assert (told.value.reason.code, told.value.reason.status) == ("audit_unavailable", 503)
        assert told.value.record
        assert (server.calls, gateway.entries) == (0, [])
        gateway.sink.problem = None
        await read(await gateway.handler.handle(request_of(cell, gateway)))
        assert server.calls == 1


@pytest.mark.parametrize("cell", sorted(CELLS, key=str), ids=sorted(map(str, CELLS)))
async def test_a_server_that_nobody_configured_is_404_for_every_method(
    server: HostileServer, cell: tuple[Era, str]
) -> None:
    async with built(server) as gateway:
        era, method = cell
        inbound = request_of(cell, gateway, server="nowhere")
        if era is Era.LEGACY and method != "initialize":
            inbound = legacy(method, session=gateway.sealed(server="nowhere"), server="nowhere")
        error = await refused(gateway, inbound)
        assert (error.reason.code, error.reason.status) == ("server_unknown", 404)


# ---- the token and the call -------------------------------------------------------------------------------------------


async def test_each_call_has_ids_of_its_own(server: HostileServer) -> None:
    async with built(server) as gateway:
        for _ in range(3):
            await gateway.handler.handle(modern())
        claims = [verified(heard, server.url) for heard in server.seen]
        ids = [claim[name] for claim in claims for name in ("jti", "txn")]
        assert len(set(ids)) == 6
        assert len({entry["record"] for entry in gateway.entries}) == 3


async def test_m_27_the_digest_is_of_the_arguments_as_they_are_sent(server: HostileServer) -> None:
    arguments = {"n": 1.0, "e": 1e2, "s": "ü\u2028", "b": [True, None], "z": -0.0}
    async with built(server) as gateway:
        await gateway.handler.handle(modern(params={"name": "get_weather", "arguments": arguments}))
        (heard,) = server.seen
        bound = verified(heard, server.url)["authorization_details"][0]["arguments_digest"]
        assert bound == digest(heard.call["params"]["arguments"]) == digest(arguments)


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 10**30])
async def test_m_27_a_number_that_others_would_read_differently_is_refused(server: HostileServer, number: int) -> None:
    async with built(server) as gateway:
        error = await refused(gateway, modern(params={"name": "get_weather", "arguments": {"n": number}}))
        assert error.reason.code == "invalid_params"
        await gateway.handler.handle(modern(params={"name": "get_weather", "arguments": {"n": 2**53 - 1}}))
        assert server.calls == 1


@pytest.mark.parametrize("bind", [True, False])
@pytest.mark.parametrize("number", [2**63, 2**64, 10**400])
async def test_a_number_of_any_size_anywhere_is_no_defect(server: HostileServer, bind: bool, number: int) -> None:
    async with built(server, bind_arguments=bind) as gateway:
        for inbound in (
            modern("resources/read", {"uri": "file:///a", "n": number}),
            modern("tools/list", {"cursor": number}),
            modern(params={"name": "get_weather", "arguments": {"n": number}}),
        ):
            told = (await asyncio.gather(gateway.handler.handle(inbound), return_exceptions=True))[0]
            if isinstance(told, BadCall):
                assert told.reason.status == 400
            else:
                assert not isinstance(told, BaseException)
                assert str(number).encode() in server.seen[-1].body


async def test_s_01_a_tool_name_never_makes_a_second_scope(server: HostileServer) -> None:
    async with built(server) as gateway:
        for name in ("a b", 'a"b', "a\\b", "x mcp:tools/call:y", "*", "../a", "ünï"):
            inbound = modern(params={"name": name}, id=2)
            headers = [(key, value) for key, value in inbound.headers if key != b"mcp-name"]
            encoded = b"=?base64?" + base64.b64encode(name.encode()) + b"?="
            inbound = msgspec.structs.replace(inbound, headers=(*headers, (b"mcp-name", encoded)), _by_name=None)
            await gateway.handler.handle(inbound)
            assert len(verified(server.seen[-1], server.url)["scope"].split()) == 1


async def test_the_token_is_for_the_server_and_no_other_one_takes_it(server: HostileServer) -> None:
    """J-21."""
    async with built(server) as gateway:
        await gateway.handler.handle(modern())
        with pytest.raises(jwt.InvalidAudienceError):
            verified(server.seen[0], "https://files.example.com/mcp")


async def test_a_token_that_would_be_too_large_is_not_sent(server: HostileServer) -> None:
    async with built(server) as gateway:
        error = await refused(gateway, modern(params={"name": "(" * 2000}))
        assert error.reason.code == "call_token_too_large"
        await gateway.handler.handle(modern(params={"name": "(" * 800}))
        assert server.calls == 1


# ---- permit() ---------------------------------------------------------------------------------------------------------


async def test_a_permit_is_for_the_operation_that_was_decided_on(server: HostileServer) -> None:
    """Invariant 6."""
    async with built(server) as gateway:
        verdict = await gateway.pipeline.permit(ALICE, call())
        assert isinstance(verdict, Permit)
        for other in (call(params={"name": "delete_all"}), call("tools/list"), call("prompts/get")):
            with pytest.raises(ValueError, match="another operation"):
                msgspec.structs.replace(verdict, call=other)


async def test_a_subject_that_is_found_unfit_is_a_401_with_a_challenge_like_any_other(server: HostileServer) -> None:
    """J-19, J-30: the same text and the same header as where the credential was looked at."""
    async with built(server, scopes=("mcp",)) as gateway:
        with pytest.raises(Unauthenticated) as usual:
            await gateway.pipeline.identify(modern(key=b"made-up"))
        token = Caller(kind="token", client_id="ide", issuer="https://idp", subject="x")
        unfit = dataclasses.replace(token, subject="apikey:k-alice")
        with pytest.raises(Unauthenticated) as told:
            await gateway.pipeline.permit(unfit, call())
        assert (told.value.message, told.value.headers) == (usual.value.message, usual.value.headers)
        assert b'error="invalid_token"' in told.value.headers[0][1]
        fit = dataclasses.replace(token, claims={"sub": "apikey-k-alice"})
        assert isinstance(await gateway.pipeline.permit(fit, call()), Permit)


async def test_a_denial_makes_no_token(server: HostileServer) -> None:
    async with built(server, policy=DENY_ALL) as gateway:
        verdict = await gateway.pipeline.permit(ALICE, call())
        assert isinstance(verdict, Denial)


async def test_the_policy_decides_on_the_body_and_not_on_the_headers(server: HostileServer) -> None:
    """M-02: a header that says otherwise is a refusal of its own."""
    only = Policy((Rule("policy[0]", permits=True, tools=Patterns.of(["get_*"])),), {})
    async with built(server, policy=only) as gateway:
        inbound = modern(params={"name": "delete_all"})
        assert (await refused(gateway, inbound)).reason.code == "policy_denied"
        headers = tuple((name, b"get_weather" if name == b"mcp-name" else value) for name, value in inbound.headers)
        lying = msgspec.structs.replace(inbound, headers=headers, _by_name=None)
        assert (await refused(gateway, lying)).reason.code == "header_mismatch"
        old = legacy(session=gateway.sealed())
        sneaky = msgspec.structs.replace(old, body=old.body.replace(b"get_weather", b"delete_all"))
        assert (await refused(gateway, sneaky)).reason.code == "policy_denied"
        await gateway.handler.handle(old)
        assert server.calls == 1


@pytest.mark.parametrize("revision", ["2025-03-26", "2025-06-18", "2025-11-25"])
async def test_m_02_a_call_stays_in_its_era(server: HostileServer, revision: str) -> None:
    mixed = modern()
    headers = tuple(
        (name, revision.encode() if name == b"mcp-protocol-version" else value) for name, value in mixed.headers
    )
    async with built(server) as gateway:
        error = await refused(gateway, msgspec.structs.replace(mixed, headers=headers, _by_name=None))
        assert error.reason.code == "header_mismatch"
        without_version = posted(json.loads(legacy().body), (b"mcp-protocol-version", b"2026-07-28"))
        assert (await refused(gateway, without_version)).reason.status == 400


# ---- who --------------------------------------------------------------------------------------------------------------


async def test_m_09_another_callers_session_reaches_nobody(server: HostileServer) -> None:
    async with built(server) as gateway:
        for cell in CELLS:
            if cell[0] is Era.LEGACY and cell[1] != "initialize":
                stolen = legacy(cell[1], session=gateway.sealed(BOB))
                assert (await refused(gateway, stolen)).reason.code == "session_unknown"
        await gateway.handler.handle(legacy(session=gateway.sealed(BOB), key=b"key-of-bob"))
        assert server.calls == 1


async def test_what_cannot_be_told_is_503_and_no_call(server: HostileServer) -> None:
    async with built(server, anonymous=True) as gateway:
        gateway.known.error = CannotTell("store_unavailable", "the store cannot be read")
        assert (await refused(gateway, modern())).reason.status == 503


async def test_anonymous_is_recorded_as_what_it_is(server: HostileServer) -> None:
    async with built(server, anonymous=True) as gateway:
        await gateway.handler.handle(modern(key=None))
        assert verified(server.seen[0], server.url)["sub"] == "anonymous"
        assert gateway.entries[0]["caller"]["kind"] == "anonymous"
        with pytest.raises(Unauthenticated):
            await gateway.handler.handle(modern(key=b"made-up"))


# ---- how many ---------------------------------------------------------------------------------------------------------


async def test_one_caller_does_not_get_all_of_a_worker(server: HostileServer) -> None:
    gate = threading.Event()
    plain = server.answer

    def slow(heard: Any, line: Any) -> None:
        gate.wait(60)
        plain(heard, line)

    server.answer = slow
    async with built(server, limits=dataclasses.replace(LIMITS, calls_per_caller=3)) as gateway:
        calls = [asyncio.ensure_future(gateway.handler.handle(modern())) for _ in range(3)]
        assert await until(lambda: server.calls == 3)
        with pytest.raises(BadCall) as told:
            await gateway.handler.handle(modern())
        assert (told.value.reason.code, told.value.reason.status) == ("too_many", 429)
        other = asyncio.ensure_future(gateway.handler.handle(modern(key=b"key-of-bob")))
        assert await until(lambda: server.calls == 4)
        gate.set()
        await asyncio.gather(*calls, other)
        await gateway.handler.handle(modern())
        assert server.calls == 5
