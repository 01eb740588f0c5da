"""Who calls at the address of all servers: what each server asks of its callers is asked here, too."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.core.call import Inbound
from counterseal.errors import CallError
from counterseal.identity.challenge import resource
from tests.gateway.aggregate.world import ALL, World, answering, world
from tests.gateway.building import modern, verified
from tests.gateway.test_spoken_for import by_proxy, through
from tests.identity.channels import claims, rules
from tests.servers.permits import read
from tests.support.tokens import token

CALL = {"name": "weather__get_weather", "arguments": {}}
HERE = resource("https://gateway.example.com", "")


def call(name: str = "weather__get_weather", server: str = ALL) -> Inbound:
    return modern("tools/call", {**CALL, "name": name}, server=server)


async def claimed(there: World, inbound: Inbound, server: str = "weather") -> dict[str, Any]:
    await read(await there.reply(inbound))
    return verified(there.servers[server].seen[-1], there.servers[server].url)


async def reason(there: World, inbound: Inbound) -> str:
    calls = there.calls()
    with pytest.raises(CallError) as told:
        await there.reply(inbound)
    assert there.calls() == calls
    return told.value.reason.code


async def test_a_server_that_needs_a_channel_token_needs_one_here() -> None:
    async with world({"notes": answering()}, channel=rules(required=True, audience=HERE)) as there:
        assert await reason(there, call()) == "channel_token_missing"
        assert await reason(there, through(call(), "forged")) == "channel_token_invalid"
        got = await claimed(there, through(call(), token(claims(aud=HERE))))
        assert got["act"] == {"sub": "line-1", "client_id": "app"}
        assert there.entries("intent")[-1]["channel_token"] == "verified"
        other = await claimed(there, through(call("notes__x"), "whatever it holds"), "notes")
        assert other["act"] == {"sub": "agent-7"}


async def test_a_channel_token_is_for_the_address_that_was_called() -> None:
    one = resource("https://gateway.example.com", "weather")
    async with world(channel=rules(audience=None)) as there:
        assert await reason(there, through(call(), token(claims(aud=one)))) == "channel_token_invalid"
        assert await reason(there, through(call("get_weather", "weather"), token(claims(aud=HERE))))
        assert (await claimed(there, through(call(), token(claims(aud=HERE)))))["act"]["sub"] == "line-1"
        direct = through(call("get_weather", "weather"), token(claims(aud=one)))
        assert (await claimed(there, direct))["act"]["sub"] == "line-1"


async def test_a_list_is_asked_of_a_server_as_its_caller_is_there() -> None:
    async with world({"notes": answering()}, channel=rules(required=True, audience=HERE)) as there:
        result = await there.result("tools/list")
        (named,) = result["_meta"]["io.counterseal/unavailable"]
        assert (named["server"], named["reason"]) == ("weather", "channel_token_missing")
        assert there.calls() == {"weather": 0, "notes": 1}
        sent = through(modern("tools/list", {}, server=ALL), token(claims(aud=HERE)))
        assert "_meta" not in (await there.ask(sent))["result"]
        heard = there.servers["weather"].seen[-1]
        assert verified(heard, there.servers["weather"].url)["act"]["sub"] == "line-1"


async def test_identity_headers_count_at_the_server_that_trusts_their_peer() -> None:
    """I-03."""
    async with world({"notes": answering()}, sources=("x-user", "sub"), trusted=["10.0.0.0/8"]) as there:
        named = (b"x-user", b"carol")
        admitted = there.gateway.identity_headers.admitted
        got = await claimed(there, admitted(by_proxy(call(), named)))
        assert got["sub"] == "carol"
        assert (await claimed(there, admitted(by_proxy(call("notes__x"), named)), "notes"))["sub"] != "carol"
        stranger = call()
        stranger = Inbound(stranger.verb, ALL, (*stranger.headers, named), stranger.body, "192.0.2.7")
        assert (await claimed(there, admitted(stranger)))["sub"] != "carol"


async def test_the_challenge_leads_to_the_document_of_this_address() -> None:
    async with world() as there:
        with pytest.raises(CallError) as told:
            await there.reply(modern("tools/list", {}, server=ALL, key=None))
        assert told.value.reason.code == "credential_missing"
        ((name, value),) = told.value.headers
        assert name == b"www-authenticate"
        assert b'/.well-known/oauth-protected-resource/mcp"' in value
