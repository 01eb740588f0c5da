"""Headers of a caller's go on by name: each to its server, once, beside the call token, and nothing in their shadow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from counterseal.core.limits import LIMITS
from counterseal.errors import BadCall, CallError
from counterseal.gateway.forwarded import Forwarded
from counterseal.gateway.wiring import Gateway, open_gateway
from tests.gateway.building import legacy, modern, posted
from tests.gateway.opening import PORT, call, verified, written
from tests.servers.permits import read
from tests.support.gateway import configuration
from tests.support.hostile import HostileServer, response, whole
from tests.support.old_server import OldServer
from tests.support.sse_server import SseServer

TENANT = (b"x-tenant-id", b"acme")
NAMED = {"forward_headers": ["X-Tenant-Id", "X-Case"]}
TOOL = {"name": "get_weather", "arguments": {"city": "Oslo"}}

# ---- what one value may be ------------------------------------------------------------------------------------------

FORWARDED = Forwarded(("X-Tenant-Id", "X-Case"), b"x-channel-token", None, LIMITS.forward_header_bytes)


def sent(*headers: tuple[bytes, bytes], key: bytes | None = b"key-of-alice") -> tuple[tuple[str, str], ...]:
    return FORWARDED.headers(modern("tools/list", None, *headers, key=key))


def told(*headers: tuple[bytes, bytes]) -> str:
    with pytest.raises(BadCall) as refused:
        sent(*headers)
    assert refused.value.reason.status == 400
    assert "key-of-alice" not in refused.value.message
    return refused.value.reason.code


def test_what_was_sent_is_written_as_the_configuration_spells_it() -> None:
    assert sent() == ()
    assert sent((b"x-case", b" 7 b\t"), TENANT, (b"x-other", b"1")) == (("X-Tenant-Id", "acme"), ("X-Case", "7 b"))


@pytest.mark.parametrize("value", [b"", b" ", b"a\xe9", b"a\tb", b"a\x7f", b"a\xa0", b"a\x00"])
def test_h_06_what_is_not_one_line_of_printable_ascii_goes_nowhere(value: bytes) -> None:
    assert told((b"x-tenant-id", value)) == "bad_header"


def test_h_06_twice_is_once_too_often_also_where_both_say_the_same() -> None:
    assert told(TENANT, TENANT) == "bad_header"


def test_i_01_an_underscore_is_no_second_way() -> None:
    for name in (b"x_tenant_id", b"x-tenant_id"):
        assert told((name, b"acme")) == "bad_header"
        assert told(TENANT, (name, b"other")) == "bad_header"
    assert sent(TENANT, (b"x_other_id", b"1")) == (("X-Tenant-Id", "acme"),)


def test_a_value_is_as_long_as_it_may_be_and_no_longer() -> None:
    most = LIMITS.forward_header_bytes
    assert sent((b"x-tenant-id", b"a" * most)) == (("X-Tenant-Id", "a" * most),)
    assert told((b"x-tenant-id", b"a" * (most + 1))) == "bad_header"


@pytest.mark.parametrize("value", [b"key-of-alice", b"Bearer key-of-alice", b"csk_other", b"of-the-channel"])
def test_what_counts_here_never_goes_on(value: bytes) -> None:
    channel = (b"x-channel-token", b"Bearer of-the-channel")
    assert told((b"x-tenant-id", value), channel) == "passthrough_refused"
    assert sent((b"x-tenant-id", b"other"), channel) == (("X-Tenant-Id", "other"),)


# ---- through a whole gateway ----------------------------------------------------------------------------------------


def entries(folder: Path, event: str) -> list[dict[str, Any]]:
    lines = [line for path in sorted((folder / "audit").glob("*")) for line in path.read_text().splitlines()]
    return [entry for entry in map(json.loads, lines) if entry.get("event") == event]


async def asked(gateway: Gateway, *headers: tuple[bytes, bytes], server: str = "weather", **changes: Any) -> Any:
    inbound = modern("tools/call", {**TOOL, **changes}, *headers, key=None, server=server)
    return json.loads(await read(await gateway.handler.handle(inbound)))


async def test_a_named_header_goes_on_beside_the_call_token_and_is_not_in_it(
    folder: Path, server: HostileServer
) -> None:
    async with open_gateway(written(folder, server, NAMED)) as gateway:
        await asked(gateway, TENANT, (b"x-unnamed", b"1"))
        heard = server.seen[-1]
        assert heard.all("x-tenant-id") == ["acme"]
        assert not {"x-unnamed", "x-case"} & heard.names
        assert "acme" not in json.dumps(verified(gateway, server))
        await call(gateway, params=TOOL)
        assert "x-tenant-id" not in server.seen[-1].names
        assert verified(gateway, server)["sub"] == "anonymous"
    first, second = entries(folder, "intent")
    assert first["forwarded"] == ["X-Tenant-Id"]
    assert "forwarded" not in second
    assert "acme" not in "".join(path.read_text() for path in (folder / "audit").glob("*"))


async def test_to_a_server_that_names_none_none_goes(folder: Path, server: HostileServer) -> None:
    async with open_gateway(written(folder, server)) as gateway:
        await asked(gateway, TENANT)
        assert "x-tenant-id" not in server.seen[-1].names


async def test_one_that_could_be_read_in_two_ways_makes_no_call(folder: Path, server: HostileServer) -> None:
    bad = [((TENANT, TENANT), "bad_header"), (((b"x_case", b"1"),), "bad_header")]
    bad += [(((b"x-case", b"\xff"),), "bad_header"), (((b"x-case", b"csk_abc"),), "passthrough_refused")]
    async with open_gateway(written(folder, server, NAMED)) as gateway:
        for headers, code in bad:
            with pytest.raises(CallError) as refused:
                await asked(gateway, *headers)
            assert (refused.value.reason.code, refused.value.reason.status) == (code, 400)
        assert server.calls == 0
        await asked(gateway, TENANT)
        assert server.calls == 1
    assert [entry["reason"] for entry in entries(folder, "refusal")] == [code for _, code in bad]


async def test_in_a_session_each_message_has_what_came_with_it(folder: Path, server: HostileServer) -> None:
    async with open_gateway(written(folder, server, NAMED)) as gateway:
        await read(await gateway.handler.handle(legacy("initialize", TENANT, key=None)))
        assert server.seen[-1].all("x-tenant-id") == ["acme"]


async def test_no_hook_and_no_caller_write_the_same_header(
    folder: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server could not tell what a hook of ours knows from what the caller says."""
    monkeypatch.setenv("TENANT", "ours")
    for name, headers, status in (("X-Tenant-Id", (TENANT,), 503), ("X-Tenant-Id", (), 503), ("X-Ours", (TENANT,), 0)):
        hook = {"use": "static_headers", "with": {"headers": {name: "env:TENANT"}}}
        async with open_gateway(written(folder, server, NAMED, hooks=[hook])) as gateway:
            calls = server.calls
            if status:
                with pytest.raises(CallError) as refused:
                    await asked(gateway, *headers)
                assert refused.value.reason.code == "hook_failed"
                assert server.calls == calls
            else:
                await asked(gateway, *headers)
                heard = server.seen[-1]
                assert (heard.all("x-tenant-id"), heard.all("x-ours")) == (["acme"], ["ours"])


# ---- at the address of all servers ----------------------------------------------------------------------------------


@pytest.fixture
def other() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


def both(folder: Path, server: HostileServer, other: HostileServer) -> Path:
    path = folder / "counterseal.yaml"
    servers = {
        "weather": {"url": server.url, "forward_headers": ["X-Tenant-Id"]},
        "notes": {"url": other.url, "forward_headers": ["X-Case"]},
    }
    changes = {"callers": {"api_keys": False, "anonymous": True}, "keys": {"source": "store", "algorithms": ["ES256"]}}
    path.write_text(yaml.safe_dump(configuration(PORT, folder, servers, **changes)))
    return path


def lists(server: HostileServer, *, ttl: int = 60_000) -> None:
    def answer(heard: Any, line: Any) -> None:
        tools = [{"name": "get_weather", "inputSchema": {"type": "object"}}]
        more = {"tools": tools, "ttlMs": ttl, "cacheScope": "public", "resultType": "complete"}
        line.send(whole(response(heard, more)))

    server.answer = answer


async def test_at_the_address_of_all_servers_each_gets_its_own_and_no_other(
    folder: Path, server: HostileServer, other: HostileServer
) -> None:
    sent = (TENANT, (b"x-case", b"7"))
    async with open_gateway(both(folder, server, other)) as gateway:
        await asked(gateway, *sent, server="", name="weather__get_weather")
        assert (server.seen[-1].all("x-tenant-id"), server.seen[-1].all("x-case")) == (["acme"], [])
        await asked(gateway, *sent, server="", name="notes__get_weather")
        assert (other.seen[-1].all("x-tenant-id"), other.seen[-1].all("x-case")) == ([], ["7"])
        assert (server.calls, other.calls) == (1, 1)
        with pytest.raises(CallError) as refused:
            await asked(gateway, TENANT, TENANT, server="", name="weather__get_weather")
        assert refused.value.reason.code == "bad_header"
        assert (server.calls, other.calls) == (1, 1)
        await asked(gateway, TENANT, TENANT, server="", name="notes__get_weather")  # which gets nothing of it
        assert (server.calls, other.calls) == (1, 2)


async def test_a_list_of_all_is_asked_with_each_servers_own_and_kept_for_nobody(
    folder: Path, server: HostileServer, other: HostileServer
) -> None:
    lists(server)
    lists(other)
    async with open_gateway(both(folder, server, other)) as gateway:
        for tenant in (b"acme", b"initech"):
            inbound = modern("tools/list", {}, (TENANT[0], tenant), (b"x-case", b"7"), key=None, server="")
            await read(await gateway.handler.handle(inbound))
            assert (server.seen[-1].all("x-tenant-id"), server.seen[-1].all("x-case")) == ([tenant.decode()], [])
            assert (other.seen[-1].all("x-tenant-id"), other.seen[-1].all("x-case")) == ([], ["7"])
        inbound = modern("tools/list", {}, TENANT, TENANT, key=None, server="")
        calls = server.calls, other.calls
        message = json.loads(await read(await gateway.handler.handle(inbound)))
        (named,) = message["result"]["_meta"]["io.counterseal/unavailable"]
        assert (named["server"], named["reason"]) == ("weather", "bad_header")
        assert (server.calls, other.calls) == (calls[0], calls[1] + 1)


async def test_in_a_legacy_session_with_all_servers_too(
    folder: Path, server: HostileServer, other: HostileServer
) -> None:
    async with open_gateway(both(folder, server, other)) as gateway:
        reply = await gateway.handler.handle(legacy("initialize", TENANT, (b"x-case", b"7"), key=None, server=""))
        await read(reply)
        opened = [heard for heard in server.seen if heard.call.get("method") == "initialize"]
        assert [heard.all("x-tenant-id") for heard in opened] == [["acme"]]
        session = dict(reply.headers)[b"mcp-session-id"]
        params = {"name": "weather__get_weather", "arguments": {}}
        message = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
        sent = ((b"x-tenant-id", b"initech"), (b"x-case", b"7"), (b"mcp-session-id", session))
        inbound = posted(message, *sent, key=None, server="")
        await read(await gateway.handler.handle(inbound))
        heard = server.seen[-1]
        assert heard.call["method"] == "tools/call"
        assert (heard.all("x-tenant-id"), heard.all("x-case")) == (["initech"], [])


# ---- other ways to a server -----------------------------------------------------------------------------------------


async def test_a_call_that_is_made_once_more_in_the_other_era_has_what_it_had(folder: Path) -> None:
    with OldServer() as old:
        async with open_gateway(written(folder, old, NAMED)) as gateway:
            for tenant in (b"acme", b"initech"):
                await asked(gateway, (TENANT[0], tenant))
                assert old.heard_of("tools/call")[-1].all("x-tenant-id") == [tenant.decode()]
            # What is the gateway's own belongs to no call of his.
            assert [heard.all("x-tenant-id") for heard in old.heard_of("initialize")[-1:]] == [[]]
            calls = old.calls
            with pytest.raises(CallError):
                await asked(gateway, TENANT, TENANT)
            assert old.calls == calls


async def test_over_http_and_sse_it_goes_with_the_post_of_the_call(folder: Path) -> None:
    with SseServer() as server:
        async with open_gateway(written(folder, server, {"transport": "sse", **NAMED})) as gateway:
            await asked(gateway, TENANT)
            heard = server.seen[-1]
            assert (heard.verb, heard.call["method"], heard.all("x-tenant-id")) == ("POST", "tools/call", ["acme"])
            assert server.seen[0].verb == "GET"
            assert "x-tenant-id" not in server.seen[0].names
            calls = server.calls
            with pytest.raises(CallError):
                await asked(gateway, TENANT, TENANT)
            assert server.calls == calls
