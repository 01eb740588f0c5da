"""What the gateway itself has to say to a server is decided, signed and recorded like every call."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from counterseal.core.call import Era
from counterseal.core.policy import Policy, Rule
from counterseal.errors import BadCall, ServerError
from counterseal.gateway.own_calls import PEER, OwnCalls
from counterseal.servers.conversation import own_call
from counterseal.wire import duplex
from tests.gateway.building import ALICE, built
from tests.support.hostile import HostileServer

CALL = own_call("weather", Era.LEGACY, duplex.notification("notifications/initialized"))


async def test_it_has_a_token_and_a_record_of_its_own_in_the_name_of_the_caller(server: HostileServer) -> None:
    async with built(server) as gateway:
        own = OwnCalls(lambda: gateway.pipeline.recorder, gateway.pipeline.permit)
        async with own(ALICE, CALL) as permit:
            assert gateway.events() == ["intent"]  # durable before anything leaves
            assert permit.caller == ALICE
            assert permit.claims["scope"] == "mcp:notifications/initialized"
        async with own(ALICE, CALL) as other:
            assert other.token != permit.token
        intent, outcome = gateway.entries[:2]
        assert (intent["peer"], intent["method"], intent["jti"]) == (PEER, CALL.method, permit.claims["jti"])
        assert (outcome["event"], outcome["outcome"], outcome["record"]) == ("outcome", "answered", intent["record"])


async def test_what_policy_denies_the_caller_it_denies_the_gateway_in_his_name(server: HostileServer) -> None:
    policy = Policy(rules=(), allowed_tools={})
    async with built(server, policy=policy) as gateway:
        own = OwnCalls(lambda: gateway.pipeline.recorder, gateway.pipeline.permit)
        with pytest.raises(BadCall) as refused:
            async with own(ALICE, CALL):
                raise AssertionError("no permit was made")
        assert refused.value.reason.code == "policy_denied"
        assert gateway.events() == ["refusal"]
    permitting = Policy(rules=(Rule("all", permits=True),), allowed_tools={})
    async with (
        built(server, policy=permitting) as gateway,
        OwnCalls(lambda: gateway.pipeline.recorder, gateway.pipeline.permit)(ALICE, CALL),
    ):
        assert gateway.events() == ["intent"]


async def test_how_it_ends_is_recorded(server: HostileServer) -> None:
    async with built(server) as gateway:
        own = OwnCalls(lambda: gateway.pipeline.recorder, gateway.pipeline.permit)
        with pytest.raises(ServerError):
            async with own(ALICE, CALL):
                raise ServerError("server_unreachable", "gone", detail="it closed")
        with pytest.raises(asyncio.CancelledError):
            async with own(ALICE, CALL):
                raise asyncio.CancelledError
        outcomes = [entry for entry in gateway.entries if entry["event"] == "outcome"]
        assert [(entry["outcome"], entry["reason"]) for entry in outcomes] == [
            ("failed", "server_unreachable"),
            ("aborted", "caller_left"),
        ]


async def test_a_call_that_is_made_once_more_is_the_same_transaction_with_another_token(server: HostileServer) -> None:
    async with built(server) as gateway:
        own = OwnCalls(lambda: gateway.pipeline.recorder, gateway.pipeline.permit)
        async with own(ALICE, CALL) as first, own(ALICE, CALL, first) as again, own(ALICE, CALL) as other:
            assert again.claims["txn"] == first.claims["txn"] != other.claims["txn"]
            assert len({first.claims["jti"], again.claims["jti"], other.claims["jti"]}) == 3
            assert again.more == ()


async def test_what_the_caller_brought_for_the_server_goes_along_once_more(server: HostileServer) -> None:
    brought = ("Authorization", "Bearer of-the-server")
    async with built(server) as gateway:
        own = OwnCalls(lambda: gateway.pipeline.recorder, gateway.pipeline.permit)
        async with own(ALICE, CALL) as made:
            first = replace(made, more=(brought, ("x-other", "token")), passes_on=True)
            named = replace(made, forwarded=(("X-Tenant-Id", "acme"),))
        async with own(ALICE, CALL, first) as again:
            assert (again.more, again.passes_on, again.forwarded) == ((brought,), True, ())
        async with own(ALICE, CALL, named) as again, own(ALICE, CALL) as other:
            assert (again.more, again.forwarded, other.forwarded) == ((), (("X-Tenant-Id", "acme"),), ())
