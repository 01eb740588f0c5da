"""Our guardrail in a real LiteLLM: its tool calls reach a verifying server with our tokens, and what is refused reaches
none."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.litellm import KEY, LiteLLM, guardrail
from tests.support.process import HANGS, ROOT, free_port
from tests.support.servers import ServerProcess
from tests.support.tokens import private_key, token
from tests.support.whole_idp import WholeIdp

pytestmark = [pytest.mark.party("litellm", "fastmcp", "python-client"), pytest.mark.timeout(400)]

SAID = re.compile(r"(\S+) for (\S+) by (\S+), token (\S+)")
CUSTOM_AUTH = """
from litellm.proxy._types import UserAPIKeyAuth


async def let_in(request, api_key):
    name = api_key.removeprefix("sk-")
    return UserAPIKeyAuth(api_key=api_key, user_id=name, team_id="data", end_user_id="made-up", metadata={"tenant": "t-" + name})
"""


@dataclass(frozen=True, slots=True)
class Setup:
    """LiteLLM with our guardrail, the server behind it, an identity provider, and the folder of the records."""

    litellm: LiteLLM
    server: ServerProcess
    idp: WholeIdp
    audit: Path

    def token(self, subject: str, **changes: Any) -> str:
        """An access token for whoever calls LiteLLM."""
        now = int(time.time())
        claims = {"iss": self.idp.origin, "aud": "litellm", "sub": subject, "iat": now, "exp": now + 300, "scope": "x"}
        return token({**claims, **changes}, header={"typ": "at+jwt"}, key=private_key("ES256"))

    def headers(self, bearer: str | None) -> dict[str, str]:
        return {**KEY, **({} if bearer is None else {"Authorization": f"Bearer {bearer}"})}

    async def call(self, headers: dict[str, str], tool: str = "get_weather", city: str = "Oslo") -> tuple[bool, str]:
        """By the official client. Whether it is an error, and what it says."""
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(self.litellm.at("weather"), http_client=http)) as client,
        ):
            result = await client.call_tool(tool, {"city": city})
            return result.is_error, str(getattr(result.content[0], "text", ""))

    async def rest(self, http: httpx2.AsyncClient, headers: dict[str, str], city: str = "Oslo") -> httpx2.Response:
        """By LiteLLM's own REST address, where refusals have a status."""
        call = {"server_id": "weather", "name": "get_weather", "arguments": {"city": city}}
        return await http.post(f"{self.litellm.url}/mcp-rest/tools/call", headers=headers, json=call)

    def calls(self) -> list[dict[str, Any]]:
        """Calls of tools that reached the server."""
        return [entry for entry in self.server.seen() if entry["method"] == "tools/call"]

    def records(self) -> list[dict[str, Any]]:
        lines = [line for file in sorted(self.audit.iterdir()) for line in file.read_text().splitlines(keepends=True)]
        return [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may be under way

    async def ended(self, jti: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The intent of a token and what was written of its end, once there is something."""
        deadline = time.monotonic() + HANGS
        while True:
            records = self.records()
            (intent,) = (one for one in records if one.get("jti") == jti)
            ends = [one for one in records if one["event"] == "outcome" and one["record"] == intent["record"]]
            if ends or time.monotonic() > deadline:
                return intent, ends
            await asyncio.sleep(0.02)


def setup(folder: Path, server_arguments: tuple[str, ...] = (), **more: Any) -> Iterator[Setup]:
    """more: `signer`, `callers` and `policy` of our configuration, `parameters` of the guardrail, `entry` of LiteLLM's server,
    `litellm` of LiteLLM."""
    folder.chmod(0o700)
    port, server_port = free_port(), free_port()
    url, issuer = f"http://127.0.0.1:{server_port}/mcp", f"http://127.0.0.1:{port}/counterseal"
    config = folder / "counterseal.yaml"
    with WholeIdp() as idp:
        policy = [{"deny": {"tools": ["delete_*"]}}, {"permit": {"servers": ["weather"]}}]
        whole = {
            "issuer": issuer,
            "store": f"sqlite:{folder}/counterseal.db",
            "callers": {"issuers": [idp.entry(audience=["litellm"])]},
            "servers": {"weather": {"url": url, "signer": more.get("signer", {})}},
            "policy": policy,
            "audit": {"sink": f"file:{folder}/audit"},
        }
        config.write_text(yaml.safe_dump(whole))
        told = ("--issuer", issuer, "--audience", url, *server_arguments)
        with (
            ServerProcess("behind_litellm", server_port, *told) as server,
            LiteLLM(
                folder,
                {"weather": {"url": url, **more.get("entry", {})}},
                [guardrail(config, **more.get("parameters", {}))],
                port=port,
                **more.get("litellm", {}),
            ) as litellm,
        ):
            yield Setup(litellm, server, idp, folder / "audit")


@pytest.fixture(scope="module")
def with_tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    yield from setup(tmp_path_factory.mktemp("tokens"))


async def test_a_call_reaches_the_server_with_our_token_for_whom_the_idp_names(with_tokens: Setup) -> None:
    error, text = await with_tokens.call(with_tokens.headers(with_tokens.token("alice", client_id="ide")), "claims")
    assert not error, text
    said = json.loads(text)
    assert said["sub"] == "alice"
    assert said["client_id"] == "ide"
    assert said["iss"] == f"{with_tokens.litellm.url}/counterseal"
    assert said["aud"] == with_tokens.server.url
    assert said["scope"] == "mcp:tools/call:claims"
    assert said["authorization_details"][0]["identifier"] == "claims"


@pytest.mark.parametrize("bad", ["none", "expired", "another audience", "opaque", "of another issuer"])
async def test_a_wrong_or_missing_token_is_refused_and_the_server_sees_no_call(with_tokens: Setup, bad: str) -> None:
    bearer = {
        "none": None,
        "expired": with_tokens.token("alice", iat=1, exp=2),
        "another audience": with_tokens.token("alice", aud="https://elsewhere.example.com"),
        "opaque": "opaque",
        "of another issuer": with_tokens.token("alice", iss="https://elsewhere.example.com"),
    }[bad]
    before = len(with_tokens.calls())
    error, text = await with_tokens.call(with_tokens.headers(bearer))
    assert error
    assert "credential" in text
    async with httpx2.AsyncClient(timeout=60) as http:
        refused = await with_tokens.rest(http, with_tokens.headers(bearer))
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert len(with_tokens.calls()) == before
        good = await with_tokens.rest(http, with_tokens.headers(with_tokens.token("alice")))  # the twin
    assert good.status_code == 200
    assert len(with_tokens.calls()) == before + 1


async def test_what_the_policy_denies_is_refused_with_the_id_of_its_record(with_tokens: Setup) -> None:
    before = len(with_tokens.calls())
    error, text = await with_tokens.call(with_tokens.headers(with_tokens.token("alice")), "delete_all")
    assert error
    assert "denied by the policy" in text
    assert len(with_tokens.calls()) == before


async def test_concurrent_calls_keep_their_callers_apart(with_tokens: Setup) -> None:
    async with httpx2.AsyncClient(timeout=60) as http:

        async def one(number: int) -> None:
            headers = with_tokens.headers(with_tokens.token(f"user{number}"))
            answer = await with_tokens.rest(http, headers, f"city{number}")
            found = SAID.match(answer.json()["content"][0]["text"])
            assert found is not None
            assert found.groups()[:2] == (f"city{number}", f"user{number}")
            used.append(found[4])

        used: list[str] = []
        await asyncio.gather(*map(one, range(16)))
    assert len(set(used)) == 16


async def test_an_intent_is_written_before_and_an_outcome_after_as_litellm_tells_it(with_tokens: Setup) -> None:
    error, text = await with_tokens.call(with_tokens.headers(with_tokens.token("recorded", client_id="ide")))
    assert not error
    found = SAID.match(text)
    assert found is not None
    intent, ends = await with_tokens.ended(found[4])
    assert (intent["event"], intent["peer"], intent["caller"]["subject"]) == ("intent", "litellm", "recorded")
    assert [(one["outcome"], one["status"]) for one in ends] == [("answered", 200)]


async def test_the_keys_are_served_below_the_issuer_and_litellms_own_address_is_left_alone(with_tokens: Setup) -> None:
    status, body = with_tokens.litellm.get("/counterseal/.well-known/jwks.json")
    assert status == 200
    assert {key["alg"] for key in json.loads(body)["keys"]} >= {"ES256"}
    status, body = with_tokens.litellm.get("/counterseal/.well-known/openid-configuration")
    assert json.loads(body)["issuer"] == f"{with_tokens.litellm.url}/counterseal"
    assert with_tokens.litellm.get("/.well-known/jwks.json") == (200, b'{"keys":[]}')


async def test_a_client_cannot_take_the_token_away_and_have_its_call_made(with_tokens: Setup) -> None:
    """LiteLLM drops our header where its client sends a credential for the server, so the server is the one that refuses."""
    before = len([entry for entry in with_tokens.calls() if entry["status"] == 200])
    headers = with_tokens.headers(with_tokens.token("alice"))
    for taken in ({"x-mcp-auth": "Bearer x"}, {"x-mcp-weather-authorization": "Bearer x"}):
        error, _ = await with_tokens.call({**headers, **taken})
        assert error
        last = [one for one in with_tokens.records() if one["event"] == "intent"][-1]
        _, ends = await with_tokens.ended(last["jti"])
        assert [one["outcome"] for one in ends] == ["error"]
    assert len([entry for entry in with_tokens.calls() if entry["status"] == 200]) == before
    error, _ = await with_tokens.call(headers)
    assert not error


async def test_one_call_is_six_requests_with_the_same_token_as_the_page_says(with_tokens: Setup) -> None:
    """So a server may ask for a token on `tools/call` alone. If this fails, docs/litellm-guardrail.md is out of date."""
    told = ["initialize", "notifications/initialized", "GET", "tools/call", "tools/list", "DELETE"]
    before = len(with_tokens.server.seen())
    async with httpx2.AsyncClient(timeout=60) as http:
        answer = await with_tokens.rest(http, with_tokens.headers(with_tokens.token("alice")))
    assert answer.status_code == 200
    (called,) = (one["token"] for one in with_tokens.server.seen()[before:] if one["method"] == "tools/call")
    deadline = time.monotonic() + HANGS
    while True:
        made = [one["method"] or one["http"] for one in with_tokens.server.seen() if one["token"] == called]
        if len(made) >= len(told) or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.02)
    assert sorted(made) == sorted(told)
    page = (ROOT / "docs" / "litellm-guardrail.md").read_text()
    assert ", ".join(f"`{one}`" for one in told) in page


async def test_another_header_cannot_be_taken_away_and_litellm_has_a_credential_of_its_own(tmp_path: Path) -> None:
    """The strictest setting that LiteLLM can live with: whatever is not LiteLLM is refused, and every tool call needs our
    token."""
    own = {"static_headers": {"Authorization": "Bearer of-litellm"}}
    signer = {"header": "X-Call-Token"}
    arguments = ("--header", "X-Call-Token", "--secret", "of-litellm")
    litellm = {"modules": {"letting_in": CUSTOM_AUTH}, "custom_auth": "letting_in.let_in"}
    parameters = {"counterseal_callers": "tokens_or_litellm"}
    for made in setup(tmp_path, arguments, entry=own, signer=signer, litellm=litellm, parameters=parameters):
        headers = {"x-litellm-api-key": "Bearer sk-carol"}
        error, text = await made.call({**headers, "Authorization": f"Bearer {made.token('alice')}"})
        assert (error, text.startswith("Oslo for alice by ")) == (False, True), text
        before = len(
            [entry for entry in made.server.seen() if entry["method"] == "tools/call" and entry["status"] == 200]
        )
        async with httpx2.AsyncClient(timeout=60) as http:
            straight = await http.post(made.server.url, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert straight.status_code == 401
        error, text = await made.call(headers, "claims")  # by LiteLLM's word
        said = json.loads(text)
        assert (said["sub"], said["act"]) == ("carol", {"sub": "data"})
        assert said["client_id"].startswith("litellm:")
        assert "sk-carol" not in text
        assert "made-up" not in text  # what a client says of an end user is not believed unless it is asked for
        error, text = await made.call(
            {**headers, "Authorization": "Bearer bad.bad.bad"}
        )  # a bad token never falls back to it
        assert error
        assert "not accepted" in text
        calls = [entry for entry in made.server.seen() if entry["method"] == "tools/call" and entry["status"] == 200]
        assert len(calls) == before + 1


def test_litellm_does_not_start_with_a_guardrail_that_cannot_sign(tmp_path: Path) -> None:
    """It would start without one, were it a ValueError."""
    tmp_path.chmod(0o700)
    config = tmp_path / "counterseal.yaml"
    config.write_text(
        "issuer: http://127.0.0.1:1/counterseal\nservers: {weather: {url: 'http://127.0.0.1:1/mcp', ulr: x}}\n"
    )
    with pytest.raises(AssertionError, match=r"counterseal.yaml:2:\d+: servers.weather.ulr"):
        LiteLLM(tmp_path, {"weather": {"url": "http://127.0.0.1:1/mcp"}}, [guardrail(config)])
