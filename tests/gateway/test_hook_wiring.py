"""From `hooks:` in a file to a gateway that asks them, or a sentence with its place that says why it does not start."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from counterseal.config.load import load_text
from counterseal.errors import CallError, ConfigError
from counterseal.gateway.hook_wiring import try_hooks
from counterseal.gateway.wiring import Gateway, open_gateway, prepare
from tests.contracts.http import until
from tests.gateway.building import modern
from tests.gateway.opening import call, verified, written
from tests.support.hostile import HostileServer, response, whole

MODULE = '''
from counterseal.hooks import Additions, Deny, Pass, Replace

seen = []

class Sundays:
    def __init__(self, days):
        self.days = days
    async def check(self, view):
        return Deny(f"not on {self.days[0]}") if view.headers.get("x-day") == self.days[0] else Pass()

class Shout:
    async def check(self, view):
        arguments = dict(view.call.arguments)
        return Replace({**arguments, "city": arguments["city"].upper()})

class Hangs:
    async def check(self, view):
        import asyncio
        await asyncio.Event().wait()

class Watcher:
    async def see(self, event):
        seen.append(event)

class MakesItself:
    """Notes that it was made."""
    def __init__(self):
        seen.append("made")
    async def claims(self, view):
        return Additions({"made": seen.count("made")})
'''


@pytest.fixture(autouse=True)
def _modules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (folder / "wired_hooks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(folder)
    yield
    sys.modules.pop("wired_hooks", None)


def with_schemas(server: HostileServer, **schemas: Any) -> None:
    """Let the server's list show these tools."""
    plain = server.answer

    def answer(heard: Any, line: Any) -> None:
        if heard.call.get("method") == "tools/list":
            tools = [{"name": name, "inputSchema": schema} for name, schema in schemas.items()]
            line.send(whole(response(heard, {"tools": tools, "resultType": "complete"})))
        else:
            plain(heard, line)

    server.answer = answer


async def refused(gateway: Gateway, **changes: Any) -> CallError:
    with pytest.raises(CallError) as told:
        await call(gateway, **changes)
    return told.value


async def refusal(gateway: Gateway, arguments: dict[str, Any]) -> tuple[str, str]:
    error = await refused(gateway, params={"name": "get_weather", "arguments": arguments})
    return error.reason.code, error.message


async def test_hooks_of_a_configuration_are_asked_in_their_order(folder: Path, server: HostileServer) -> None:
    hooks = [
        {"use": "wired_hooks:Sundays", "headers": ["X-Day"], "with": {"days": ["Sunday"]}},
        {"use": "wired_hooks:Shout", "name": "shout", "tools": ["get_*"]},
        {"use": "wired_hooks:MakesItself", "name": "made"},
        {"use": "wired_hooks:Watcher"},
    ]
    path = written(folder, server, hooks=hooks)
    line = path.read_text().splitlines().index("- headers:") + 1
    async with open_gateway(path) as gateway:
        seen = sys.modules["wired_hooks"].seen
        await call(gateway)
        assert server.seen[0].call["params"]["arguments"] == {"city": "OSLO"}
        assert verified(gateway, server)["made"] == 1
        assert await until(lambda: len(seen) == 2)
        assert seen[0] == "made"
        assert (seen[1].verdict, seen[1].outcome, seen[1].caller.kind) == ("permitted", "answered", "anonymous")
        with pytest.raises(CallError) as told:
            await gateway.handler.handle(modern("tools/call", None, (b"x-day", b"Sunday"), key=None))
        assert told.value.message == "not on Sunday"
        assert told.value.rule == f"hooks[0] wired_hooks:Sundays (counterseal.yaml:{line})"
        assert await until(lambda: len(seen) == 3)
        assert (seen[2].verdict, seen[2].reason, seen[2].rule) == ("refused", "hook_denied", told.value.rule)
    entries = [json.loads(text) for file in (folder / "audit").glob("*") for text in file.read_text().splitlines()]
    intents = [one for one in map(_entry, entries) if one.get("event") == "intent"]
    assert [one["hooks"] for one in intents] == [["shout", "made"]]


def _entry(line: dict[str, Any]) -> dict[str, Any]:
    return line.get("entry", line)  # type: ignore[no-any-return]


async def test_without_hooks_nothing_is_asked_and_nobody_is_told(folder: Path, server: HostileServer) -> None:
    async with open_gateway(written(folder, server)) as gateway:
        pipeline: Any = gateway.handler._pipeline._pipeline  # type: ignore[attr-defined]
        assert pipeline.hooks is None
        assert pipeline.recorder._observe is None
    async with open_gateway(written(folder, server, hooks=[{"use": "wired_hooks:Watcher"}])) as gateway:
        pipeline = gateway.handler._pipeline._pipeline  # type: ignore[attr-defined]
        assert pipeline.hooks is None
        assert pipeline.recorder._observe is not None


async def test_p_01_a_hook_has_the_time_limit_of_its_entry(folder: Path, server: HostileServer) -> None:
    async with open_gateway(written(folder, server, hooks=[{"use": "wired_hooks:Hangs"}])) as gateway:
        error = await refused(gateway)
        assert (error.reason.code, error.detail) == ("hook_failed", "it gave no answer within 1 s")
        assert server.calls == 0


async def test_a_gateway_with_observers_that_was_closed_leaves_nothing_running(
    folder: Path, server: HostileServer
) -> None:
    before = asyncio.all_tasks()
    async with open_gateway(written(folder, server, hooks=[{"use": "wired_hooks:Watcher"}])) as gateway:
        await call(gateway)
    assert asyncio.all_tasks() == before
    assert len(sys.modules["wired_hooks"].seen) == 1, "what waited was told before the end"


# ---- the hooks that come with it --------------------------------------------------------------------------------------


async def test_m_16_arguments_are_held_against_what_the_servers_list_showed(
    folder: Path, server: HostileServer
) -> None:
    city = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 9}}, "required": ["city"]}
    with_schemas(server, get_weather=city, get_more={"$ref": "http://127.0.0.1:1/x"})
    async with open_gateway(written(folder, server, hooks=[{"use": "argument_schema"}])) as gateway:
        assert await refusal(gateway, {"city": "Oslo"}) == (
            "hook_denied",
            "no list has shown this tool yet, so its arguments cannot be checked: send `tools/list` first",
        )
        await call(gateway, method="tools/list")
        calls = server.calls
        assert await refusal(gateway, {"city": 5}) == (
            "hook_denied",
            "the arguments are not what the tool's inputSchema asks for: /city breaks the rule `type`",
        )
        assert (await refused(gateway, params={"name": "get_more"})).reason.code == "hook_denied"
        assert server.calls == calls
        await call(gateway, params={"name": "get_weather", "arguments": {"city": "Oslo"}})
        assert server.calls == calls + 1


async def test_arguments_of_tools_that_no_list_has_shown_pass_where_that_is_said(
    folder: Path, server: HostileServer
) -> None:
    hooks = [{"use": "argument_schema", "with": {"unknown": "allow"}}]
    async with open_gateway(written(folder, server, hooks=hooks)) as gateway:
        await call(gateway)
        assert server.calls == 1


async def test_p_03_arguments_are_held_against_the_schema_after_another_gate_replaced_them(
    folder: Path, server: HostileServer
) -> None:
    with_schemas(server, get_weather={"properties": {"city": {"pattern": "^[A-Z]+$"}}})
    schema = {"use": "argument_schema"}
    shout = {"use": "wired_hooks:Shout", "tools": ["*"]}
    async with open_gateway(written(folder, server, hooks=[shout, schema])) as gateway:
        await call(gateway, method="tools/list")
        await call(gateway)
        assert server.seen[-1].call["params"]["arguments"] == {"city": "OSLO"}
    async with open_gateway(written(folder, server, hooks=[schema, shout])) as gateway:
        await call(gateway, method="tools/list")
        assert (await refused(gateway)).reason.code == "hook_denied"


async def test_headers_and_claims_come_from_the_files_and_variables_that_are_named(
    folder: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANT", "north")
    (folder / "key").write_text("k-123\n")
    (folder / "claims.json").write_text('{"anonymous": {"department": "none"}, "alice": {"department": "R&D"}}')
    (folder / "claims.json").chmod(0o600)
    hooks = [
        {"use": "static_headers", "with": {"headers": {"X-Tenant": "env:TENANT", "X-Key": "file:key"}}},
        {"use": "claims_from_file", "with": {"file": "claims.json", "by": "client_id"}},
    ]
    async with open_gateway(written(folder, server, hooks=hooks)) as gateway:
        await call(gateway)
        heard = server.seen[0]
        assert (heard.all("x-tenant"), heard.all("x-key")) == (["north"], ["k-123"])
        assert "department" not in verified(gateway, server), "an anonymous caller has no API key"


async def test_p_04_the_header_of_the_token_and_the_servers_own_are_taken(
    folder: Path, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANT", "north")
    entry = {"signer": {"header": "X-Call-Token"}, "headers": {"X-Server-Key": "env:TENANT"}}
    for name in ("x-call-token", "x-server-key"):
        hooks = [{"use": "static_headers", "with": {"headers": {name: "env:TENANT"}}}]
        async with open_gateway(written(folder, server, entry, hooks=hooks)) as gateway:
            error = await refused(gateway)
            assert (error.reason.code, error.detail) == (
                "hook_failed",
                f"it adds the header {name}, which the request has already",
            )
    assert server.calls == 0


# ---- what keeps a gateway from starting -------------------------------------------------------------------------------

BAD = """\
issuer: https://gateway.example.com
servers: {weather: {url: "http://127.0.0.1:8000/mcp"}}
hooks:
  - use: wired_hooks:Gone
  - {use: argument_schema, with: {unknwon: allow}}
  - use: wired_hooks:Sundays
    name: sundays
  - use: wired_hooks:Shout
  - use: static_headers
    with:
      headers:
        X-Tenant: c4n4ry
"""


def problems(text: str, folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as told:
        try_hooks(load_text(text, "counterseal.yaml", folder))
    return list(told.value.problems)


def test_c_01_every_bad_entry_is_told_with_its_place_and_remedy(folder: Path) -> None:
    assert problems(BAD, folder) == [
        "counterseal.yaml:4:10: hooks[0].use: names a class that is not there: `wired_hooks` has no `Gone`",
        "counterseal.yaml:5:44: hooks[1].with.unknwon: is an unknown key; did you mean `unknown`?",
        "counterseal.yaml:6:5: hooks[2].with: lacks `days`, which this hook needs: add it",
        "counterseal.yaml:10:5: hooks[4].with: is refused by the hook: must be a reference to a secret, not the secret itself: "
        "write `env:NAME` for an environment variable or `file:PATH` for a file, and put the secret there",
    ]


async def test_p_05_a_hook_that_cannot_be_loaded_keeps_the_gateway_from_starting(
    folder: Path, server: HostileServer
) -> None:
    """Never a silent bypass: also where the supervisor looks before it starts workers."""
    for use in ("wired_hooks:Gone", "gone", "gone:Gate"):
        path = written(folder, server, hooks=[{"use": use}])
        with pytest.raises(ConfigError, match=r"hooks\[0\]\.use: "):
            await prepare(path)
        with pytest.raises(ConfigError, match=r"hooks\[0\]\.use: "):
            async with open_gateway(path):
                pass
    await prepare(written(folder, server, hooks=[{"use": "wired_hooks:Shout"}]))


def test_a_good_entry_is_tried_without_a_gateway(folder: Path) -> None:
    good = "issuer: https://gateway.example.com\nhooks: [{use: argument_schema}, {use: 'wired_hooks:MakesItself'}]\n"
    try_hooks(load_text(good, "counterseal.yaml", folder))
    assert sys.modules["wired_hooks"].seen == ["made"]
