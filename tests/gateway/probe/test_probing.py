"""What a probe sends and signs, and what it says where nothing can be told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from counterseal.clock import SystemClock
from counterseal.config.load import load
from counterseal.core.operation import Operation
from counterseal.errors import ConfigError
from counterseal.gateway.probe.aim import NotProbed, Wanted
from counterseal.gateway.probe.forge import SUBJECT
from counterseal.gateway.probe.probing import Report, probe
from counterseal.gateway.wiring import open_gateway
from tests.gateway.opening import ISSUER, document, written
from tests.support.servers import Recorded, RecordingServer

HARMLESS = {"server/discover", "tools/list", "prompts/list", "resources/list", "ping"}
HANDSHAKE = {"initialize", "notifications/initialized"}
WEATHER = Operation("tools/call", "get_weather", {"city": "Oslo"})


async def answer(request: Recorded) -> dict[str, Any]:
    if request.call["method"] == "initialize":
        return {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
    return {"resultType": "complete", "content": []}


async def probed(path: Path, server: str = "weather", **more: Any) -> Report:
    return await probe(load(path), Wanted(server=server, **more), SystemClock())


def mints(folder: Path) -> list[dict[str, Any]]:
    lines = [line for path in sorted((folder / "audit").iterdir()) for line in path.read_text().splitlines()]
    return [entry for entry in map(json.loads, lines) if "record" in entry]


async def test_a_server_that_asks_for_nothing_takes_everything_for_one_reason(tmp_path: Path) -> None:
    async with RecordingServer(answer) as server:
        report = await probed(written(tmp_path, server, keys=_KEYS))
    assert [part.name for part in report.spoken] == ["MCP 2026-07-28", "MCP with a session"]
    for part in report.parts:
        verdicts = {one.attack.id: one.verdict for one in part.results}
        assert verdicts.pop("other_arguments") == "skipped"
        assert verdicts.pop("oversize") == "refused"  # by the HTTP server itself
        assert set(verdicts.values()) == {"accepted"}
        assert [one.attack.id for one in part.results if one.verdict == "accepted" and one.because is None] == ["none"]


async def test_without_a_tool_nothing_is_asked_that_has_an_effect(tmp_path: Path) -> None:
    async with RecordingServer(answer) as server:
        await probed(written(tmp_path, server, keys=_KEYS))
    assert {request.call["method"] for request in server.seen if request.call} <= HARMLESS | HANDSHAKE
    assert {request.http for request in server.seen} <= {"POST", "GET", "DELETE"}


async def test_with_a_tool_no_other_tool_is_called(tmp_path: Path) -> None:
    async with RecordingServer(answer) as server:
        await probed(written(tmp_path, server, keys=_KEYS), operation=WEATHER)
    calls = [
        request.call["params"] for request in server.seen if request.call and request.call["method"] == "tools/call"
    ]
    assert len(calls) > 40
    assert {(one["name"], one["arguments"]["city"]) for one in calls} == {("get_weather", "Oslo")}


async def test_each_token_that_the_gateways_key_signed_is_in_the_records_and_good_nowhere_else(tmp_path: Path) -> None:
    async with RecordingServer(answer) as server:
        path = written(tmp_path, server, keys=_KEYS)
        report = await probed(path, operation=WEATHER)
        async with open_gateway(path, background=False) as gateway:
            keys = jwt.PyJWKSet.from_dict(document(gateway, "jwks.json"))
    signed = [claims for request in server.seen if (claims := _signed(request, keys)) is not None]
    recorded = {entry["jti"]: entry for entry in mints(tmp_path)}
    assert {claims["jti"] for claims in signed} <= recorded.keys()
    assert len(recorded) == report.signed == len(mints(tmp_path))
    assert {(entry["event"], entry["peer"], entry["caller"]) for entry in recorded.values()} == {
        ("mint", "probe", None)
    }
    assert {"probe[good]", "probe[expired]", "probe[replayed]"} <= {entry["rule"] for entry in recorded.values()}
    aud = {claims["aud"] for claims in signed}
    assert aud == {server.url, f"{server.url}/counterseal-probe", "urn:counterseal:probe:no-such-server"}
    assert {claims["sub"] for claims in signed} == {SUBJECT}
    assert max(claims["exp"] - claims["iat"] for claims in signed) <= 30
    text = "".join(file.read_text() for file in (tmp_path / "audit").iterdir())
    for request in server.seen:
        assert not request.token or request.token not in text


async def test_arguments_that_a_tool_wants_in_headers_are_there(tmp_path: Path) -> None:
    """x-mcp-header of revision 2026-07-28: without the header such a server refuses the good call too."""
    schema = {"type": "object", "properties": {"city": {"type": "string", "x-mcp-header": "City"}}}

    async def listing(request: Recorded) -> dict[str, Any]:
        tools = [{"name": "get_weather", "inputSchema": schema}]
        return {**await answer(request), **({"tools": tools} if request.call["method"] == "tools/list" else {})}

    async with RecordingServer(listing) as server:
        await probed(written(tmp_path, server, keys=_KEYS), operation=WEATHER)
    calls = [one for one in server.seen if one.call and one.call["method"] == "tools/call"]
    modern = [one for one in calls if "mcp-method" in one.headers]
    assert {one.headers["mcp-param-city"] for one in modern} == {"Oslo"}


async def test_where_the_token_stands_alone_there_is_no_scheme_to_play_with(tmp_path: Path) -> None:
    async with RecordingServer(answer) as server:
        path = written(tmp_path, server, {"signer": {"header": "X-Call-Token"}}, keys=_KEYS)
        report = await probed(path)
    verdicts = {one.attack.id: one.verdict for one in report.parts[0].results}
    assert (verdicts["scheme"], verdicts["two_headers"]) == ("skipped", "accepted")
    assert any(one.headers.get("x-call-token", "").count(".") == 2 for one in server.seen)
    assert not any("authorization" in one.headers for one in server.seen)


@pytest.mark.parametrize(
    ("signer", "scope"),
    [
        ({"profile": "litellm"}, "mcp:tools/call mcp:tools/get_weather:call"),
        ({"subject": "pairwise"}, "mcp:tools/call:get_weather"),
        ({"required_claims": ["email"]}, "mcp:tools/call:get_weather"),
        ({"set_claims": {"tenant": "{key.metadata.tenant}"}}, "mcp:tools/call:get_weather"),
        ({"end_user_claim_sources": ["claim:email"]}, "mcp:tools/call:get_weather"),
    ],
)
async def test_however_a_server_wants_its_tokens_a_probe_can_make_them(
    tmp_path: Path, signer: dict[str, Any], scope: str
) -> None:
    async with RecordingServer(answer) as server:
        report = await probed(written(tmp_path, server, {"signer": signer}, keys=_KEYS), operation=WEATHER)
    assert len(report.spoken) == 2
    calls = [one for one in server.seen if one.call and one.call["method"] == "tools/call"]
    first = jwt.decode(calls[0].token, options={"verify_signature": False})
    assert (first["scope"], first["sub"]) == (scope, SUBJECT)


async def test_arguments_that_no_token_binds_are_not_tried(tmp_path: Path) -> None:
    async with RecordingServer(answer) as server:
        path = written(tmp_path, server, {"signer": {"bind_arguments": False}}, keys=_KEYS)
        report = await probed(path, operation=WEATHER)
    (one,) = [one for one in report.parts[0].results if one.attack.id == "other_arguments"]
    assert (one.verdict, "bind_arguments" in one.said) == ("skipped", True)


async def test_claims_that_the_server_asks_for_are_added(tmp_path: Path) -> None:
    async with RecordingServer(answer) as server:
        await probed(written(tmp_path, server, keys=_KEYS), claims={"email": "probe@example.com"})
    first = jwt.decode(server.seen[0].token, options={"verify_signature": False})
    assert (first["email"], first["iss"]) == ("probe@example.com", ISSUER)


async def test_a_server_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    async with RecordingServer(answer) as server:
        path = written(tmp_path, server, keys=_KEYS)
        assert (await probed(path)).spoken
    report = await probed(path)
    assert not report.spoken
    assert not report.accepted
    assert report.cannot_tell
    assert all("no connection" in (part.problem or "") for part in report.parts)


async def test_a_server_that_stops_to_take_good_tokens_leaves_it_open_why(tmp_path: Path) -> None:
    async def tired(request: Recorded) -> dict[str, Any]:
        if len(server.seen) > 20:
            raise RuntimeError("too many")
        return await answer(request)

    async with RecordingServer(tired) as server:
        report = await probed(written(tmp_path, server, keys=_KEYS))
    assert report.cannot_tell
    assert report.spoken[0].problem == "the good token at the end was not taken: HTTP 500"


async def test_what_cannot_be_probed_says_why(tmp_path: Path) -> None:
    async with RecordingServer(answer) as server:
        assert (await probed(written(tmp_path, server, keys=_KEYS))).spoken
    path = written(tmp_path, server, {"transport": "stdio", "command": ["/bin/cat"], "url": None}, keys=_KEYS)
    with pytest.raises(NotProbed, match="send_token: true"):
        await probed(path)


async def test_keys_that_no_server_knows_attack_nothing(tmp_path: Path) -> None:
    async with RecordingServer(answer) as server:
        with pytest.raises(ConfigError, match="sqlite:PATH"):
            await probed(written(tmp_path, server, store="memory:", keys=_KEYS))
        assert server.seen == []


_KEYS = {"source": "store", "algorithms": ["ES256"]}


def _signed(request: Recorded, keys: jwt.PyJWKSet) -> dict[str, Any] | None:
    """The claims of the token in a request, if the gateway's key signed it."""
    options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
    try:
        claims: dict[str, Any] = jwt.decode(request.token, keys.keys[0], ["ES256"], options=options)
    except jwt.PyJWTError:
        return None
    return claims
