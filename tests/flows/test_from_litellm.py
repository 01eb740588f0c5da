"""The same client program against LiteLLM with its own signer and against Counterseal with the same `config.yaml`: the same
tools, the same results, tokens that the same servers accept. And where LiteLLM lets something through, it is refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
import yaml
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.gateway import COMMAND
from tests.support.litellm import KEY, MASTER_KEY
from tests.support.parties import LITELLM
from tests.support.process import LISTENING, Program, free_port
from tests.support.servers import ServerProcess
from tests.support.tokens import token
from tests.support.whole_idp import DISCOVERY, WholeIdp

pytestmark = [pytest.mark.party("litellm", "fastmcp", "python-client"), pytest.mark.timeout(400)]

AUDIENCE: Final = "mcp"
_UP: Final = re.compile("Application startup complete")

Start = Callable[[Path, int], Program]


def litellm(config: Path, port: int) -> Program:
    command = [str(LITELLM.with_name("litellm")), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "*", "LITELLM_MASTER_KEY": MASTER_KEY}
    program = Program("LiteLLM", [*command, "--telemetry", "False"], quiet, tracebacks=True)
    return _up(program, _UP, 150)


def counterseal(config: Path, port: int) -> Program:
    command = [COMMAND, "serve", "--config", str(config), "--port", str(port)]
    return _up(Program("the gateway", command, {"LITELLM_MASTER_KEY": MASTER_KEY}), LISTENING, 30)


def _up(program: Program, said: re.Pattern[str], seconds: float) -> Program:
    try:
        program.wait_for(said, seconds)
    except AssertionError:
        program.stop()
        raise
    return program


def write(folder: Path, servers: dict[str, str], issuer: str, **params: Any) -> Path:
    """A file as LiteLLM's pages have them. servers: address by name."""
    signer = {"guardrail": "mcp_jwt_signer", "mode": "pre_mcp_call", "default_on": True, "issuer": issuer}
    whole = {
        "model_list": [],
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
        "mcp_servers": {name: {"url": url, "transport": "http", "auth_type": "none"} for name, url in servers.items()},
        "guardrails": [
            {"guardrail_name": "mcp-jwt-signer", "litellm_params": {**signer, "audience": AUDIENCE, **params}}
        ],
    }
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(whole, sort_keys=False))
    return config


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two, in front of servers of its own. servers: by name."""

    url: str
    servers: dict[str, ServerProcess]
    program: Program


@contextmanager
def side(start: Start, folder: Path, port: int, modules: dict[str, str], **params: Any) -> Iterator[Side]:
    """modules: what each server is. Both sides have one address, and so one issuer, one after the other."""
    issuer = f"http://127.0.0.1:{port}"
    told = ("--jwks", f"{issuer}/.well-known/jwks.json", "--issuer", issuer, "--audience", AUDIENCE)
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(
                # FastMCP writes one for each call that a middleware of its own refuses.
                ServerProcess(module, free_port(), *told, tracebacks=module == "litellm_shaped")
            )
            for name, module in modules.items()
        }
        config = write(folder, {name: one.url for name, one in servers.items()}, issuer, **params)
        program = stack.enter_context(start(config, port))
        yield Side(issuer, servers, program)


async def program(url: str, headers: dict[str, str], tool: str, mode: Any = "legacy") -> tuple[list[str], bool, Any]:
    """The client program: its tools, whether the call of one is an error, and what it says."""
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        listed = [one.name for one in (await client.list_tools()).tools]
        result = await client.call_tool(tool, {})
        return listed, result.is_error, result.structured_content or str(result.content)


MODULES: Final = {"tools": "stock_verifier", "others": "stock_verifier", "strict": "litellm_shaped"}
RUNS: Final = [
    ("/mcp", {}, "tools-whoami"),
    ("/mcp/tools", {}, "tools-whoami"),
    ("/mcp/tools", {}, "whoami"),
    ("/tools/mcp", {}, "tools-whoami"),
    ("/mcp/others", {}, "others-whoami"),
    ("/mcp", {"x-mcp-servers": "others"}, "others-whoami"),
    ("/mcp", {"x-mcp-servers": "others,tools"}, "tools-whoami"),
]
STRIPPED: Final = {"x-mcp-auth": "Bearer made-up"}


async def everything(there: Side) -> dict[str, Any]:
    """What the client program finds, at each address and with the key in each header."""
    found: dict[str, Any] = {}
    for path, headers, tool in RUNS:
        found[f"{path} {headers} {tool}"] = await program(there.url + path, {**KEY, **headers}, tool)
    bearer = {"Authorization": f"Bearer {MASTER_KEY}"}
    found["Authorization"] = await program(f"{there.url}/mcp/tools", bearer, "tools-whoami")
    found["modern"] = await program(f"{there.url}/mcp/tools", KEY, "tools-whoami", mode="auto")
    return found


@dataclass(frozen=True, slots=True)
class Found:
    """Of one side. runs: `everything`. stripped, strict: of the two programs that are told apart."""

    runs: dict[str, Any]
    stripped: tuple[list[str], bool, Any]
    strict: tuple[list[str], bool, Any]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Found, Found]:
    """LiteLLM's and ours, of one `config.yaml` at one address."""
    port, found = free_port(), []
    for start in (litellm, counterseal):
        folder = tmp_path_factory.mktemp(start.__name__)
        folder.chmod(0o700)
        with side(start, folder, port, MODULES) as there:
            found.append(asyncio.run(_found(there)))
    return found[0], found[1]


async def _found(there: Side) -> Found:
    stripped = await program(f"{there.url}/mcp/tools", {**KEY, **STRIPPED}, "tools-whoami")
    strict = await program(f"{there.url}/mcp/strict", KEY, "strict-whoami")
    return Found(await everything(there), stripped, strict)


def test_the_tools_are_the_same_at_every_address(both: tuple[Found, Found]) -> None:
    theirs, ours = both
    for run, (tools, _, _) in theirs.runs.items():
        assert sorted(ours.runs[run][0]) == sorted(tools), run
    assert sorted(ours.runs["/mcp {} tools-whoami"][0]) == [
        "others-whoami",
        "strict-other",
        "strict-whoami",
        "tools-whoami",
    ]


def test_the_results_are_the_same_and_the_same_servers_accept_the_tokens(both: tuple[Found, Found]) -> None:
    """The tool answers with the claims of the token that its server accepted."""
    theirs, ours = both
    for run, (_, is_error, claims) in theirs.runs.items():
        assert (ours.runs[run][1], is_error) == (False, False), (run, ours.runs[run], claims)
        mine = ours.runs[run][2]
        for name in ("iss", "aud", "sub", "scope"):
            assert mine[name] == claims[name], (run, name)
        assert mine["exp"] - mine["iat"] == claims["exp"] - claims["iat"] == 300


def test_what_differs_is_that_our_token_is_for_one_call(both: tuple[Found, Found]) -> None:
    theirs, ours = (one.runs["/mcp/tools {} tools-whoami"][2] for one in both)
    assert set(ours) - set(theirs) == {"jti", "txn", "client_id", "authorization_details"}
    assert set(theirs) <= set(ours)
    assert (theirs["act"], ours["act"]) == ({"sub": "litellm-proxy"}, {"sub": ours["iss"]})


def test_a_header_of_the_caller_takes_the_token_away_there_and_not_here(both: tuple[Found, Found]) -> None:
    theirs, ours = both
    assert theirs.stripped[:2] == ([], True), "LiteLLM's server got a token"
    assert ours.stripped[:2] == (["tools-whoami"], False)
    assert ours.stripped[2]["sub"] == "default_user_id"


def test_a_server_that_asks_for_the_scope_of_each_operation_is_served_here(both: tuple[Found, Found]) -> None:
    """LiteLLM lists tools with the token of the call, after the tool has run."""
    theirs, ours = both
    assert theirs.strict[1]
    assert "lacks mcp:tools/list" in str(theirs.strict[2])
    assert ours.strict[1] is False
    assert ours.strict[2]["scope"] == "mcp:tools/call mcp:tools/whoami:call"


# ---- verify and re-sign ----


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any], int, int]:
    """What comes of each credential with LiteLLM and with ours; and how many requests a server saw of what we refused."""
    port, found, calls = free_port(), [], []
    with WholeIdp() as idp:
        params = {
            "access_token_discovery_uri": idp.origin + DISCOVERY,
            "verify_audience": "app",
            "end_user_claim_sources": ["token:sub"],
        }
        for start in (litellm, counterseal):
            folder = tmp_path_factory.mktemp(f"{start.__name__}-idp")
            folder.chmod(0o700)
            with side(start, folder, port, {"tools": "stock_verifier"}, **params) as there:
                before = len(there.servers["tools"].seen())
                refused = asyncio.run(_credentials(there, _bad(idp)))
                calls.append(len(there.servers["tools"].seen()) - before)
                found.append(refused | asyncio.run(_credentials(there, {"good": {**KEY, **_bearer(idp)}})))
    return found[0], found[1], calls[0], calls[1]


def _bearer(idp: WholeIdp, **changes: Any) -> dict[str, str]:
    claims = {
        "iss": idp.origin,
        "aud": "app",
        "sub": "alice",
        "client_id": "ide",
        "scope": "x",
        "iat": 1,
        "exp": 4102444800,
    }
    return {"Authorization": f"Bearer {token({**claims, **changes})}"}


def _bad(idp: WholeIdp) -> dict[str, dict[str, str]]:
    return {
        "a key alone": KEY,
        "an opaque token": {**KEY, "Authorization": "Bearer opaque-token"},
        "another issuer": {**KEY, **_bearer(idp, iss="https://other.example.com")},
        "another audience": {**KEY, **_bearer(idp, aud="somebody-else")},
        "a token alone": _bearer(idp),
    }


async def _credentials(there: Side, sent: dict[str, dict[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, headers in sent.items():
        try:
            _, is_error, said = await program(f"{there.url}/mcp/tools", headers, "tools-whoami")
            found[name] = "an error" if is_error else said["sub"]
        except BaseException:  # of which kind is the client's affair: a group, an HTTP error, an MCP error
            found[name] = "refused"
    return found


def test_who_sends_a_key_and_a_token_is_who_the_token_says_on_both_sides(
    verified: tuple[dict[str, Any], dict[str, Any], int, int],
) -> None:
    assert verified[0]["good"] == verified[1]["good"] == "alice"


def test_what_litellm_signs_for_unverified_is_refused_here(
    verified: tuple[dict[str, Any], dict[str, Any], int, int],
) -> None:
    theirs, ours, _, calls = verified
    assert theirs["a key alone"].startswith("apikey:")
    assert theirs["an opaque token"].startswith("apikey:")
    assert theirs["another issuer"] == "alice"
    assert {name: what for name, what in ours.items() if name != "good"} == dict.fromkeys(_names(), "refused")
    assert calls == 0, "a server was called"


def _names() -> tuple[str, ...]:
    return ("a key alone", "an opaque token", "another issuer", "another audience", "a token alone")
