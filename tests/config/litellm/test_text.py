"""What `counterseal migrate` prints: it is read again to the same gateway, and makes the same tokens for the same calls."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from counterseal.config.compile import compile_policy, signing_algorithm, static_headers
from counterseal.config.compile_claims import signer_settings
from counterseal.config.litellm import text, translate
from counterseal.config.load import load_text
from counterseal.config.reader import read
from counterseal.config.schema import Configuration
from counterseal.core.beside import tokens_beside
from counterseal.core.call import Call, Era, Shape
from counterseal.core.caller import Caller
from counterseal.core.claims import build_claims
from counterseal.core.permit import ClaimsRefused
from counterseal.errors import ConfigError
from tests.config.litellm.reading import MASTER_KEY, file

HERE = Path("/nowhere")

# ---- generated files ----

words = st.from_regex(r"[a-z][a-z0-9_]{0,8}[a-z0-9]", fullmatch=True).filter(lambda word: "__" not in word)
anything = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
secrets = st.from_regex(r"[!-~]([ -~]{0,20}[!-~])?", fullmatch=True).filter(
    lambda one: "${" not in one and "os.environ/" not in one
)
names = st.one_of(words, st.sampled_from(["groups", "tenant", "realm.roles", "https://example.com/plan", "sub", "exp"]))
values = st.recursive(
    st.one_of(
        st.booleans(), st.integers(-(2**53), 2**53), anything, st.sampled_from(["{claim.x}", "on", "null", "1e3", "-"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(words, inner, max_size=2)),
    max_leaves=4,
)
sources = st.one_of(
    words.map("token:{}".format),
    st.sampled_from(
        ["token:sub", "token:a.b", "litellm:user_id", "litellm:email", "litellm:team_id", "litellm:org_id", "email"]
    ),
)
signers = st.fixed_dictionaries(
    {"issuer": st.just("https://gateway.example.com")},
    optional={
        "audience": words,
        "ttl_seconds": st.integers(1, 5000),
        "end_user_claim_sources": st.lists(sources, max_size=3),
        "add_claims": st.dictionaries(names, values, max_size=3),
        "set_claims": st.dictionaries(names, values, max_size=3),
        "remove_claims": st.lists(names, max_size=2),
        "optional_claims": st.lists(names, max_size=2),
        "required_claims": st.lists(st.sampled_from(["sub", "tenant"]), max_size=1),
        "channel_token_audience": words.map("channel-{}".format),
        "debug_headers": st.booleans(),
        "allowed_tools": st.lists(words, max_size=2),
        "allowed_scopes": st.lists(
            st.sampled_from(["mcp:tools/call", "mcp:tools/list", "mcp:tools/get:call", "x"]), max_size=3
        ),
        "access_token_discovery_uri": st.just("https://idp.example.com/.well-known/openid-configuration"),
        "verify_audience": anything.filter(lambda one: one.isprintable() and one == one.strip()),
    },
)
http_servers = st.fixed_dictionaries(
    {"url": words.map("https://{}.example.com/mcp".format)},
    optional={
        "transport": st.sampled_from(["http", "sse"]),
        "auth_type": st.sampled_from(["none", "api_key", "bearer_token", "basic", "authorization", "token", "oauth2"]),
        "auth_value": secrets,
        "static_headers": st.dictionaries(words.map("X-{}".format), secrets, max_size=2),
        "allowed_tools": st.lists(words, max_size=2),
        "disallowed_tools": st.lists(words, max_size=2),
        "description": anything.map(lambda one: "".join(filter(str.isprintable, one))),
        "extra_headers": st.lists(
            st.one_of(
                words.map("X-{}".format),
                words,
                st.sampled_from(["Authorization", "x-tenant-id", "X-Tenant-Id", "x-mcp-a"]),
            ),
            max_size=3,
        ),
    },
)
programs = st.fixed_dictionaries(
    {"transport": st.just("stdio"), "command": st.just("sh"), "args": st.lists(words, max_size=2)},
    optional={
        "env": st.dictionaries(words, anything.filter(lambda one: "\0" not in one and "${" not in one), max_size=2)
    },
)
files = st.builds(
    lambda params, servers: file(params, servers),
    signers,
    st.dictionaries(words, st.one_of(http_servers, programs), min_size=1, max_size=3),
)

# ---- callers and calls ----

CALLERS = [
    Caller(
        kind="api_key",
        client_id="litellm-master-key",
        subject="default_user_id",
        fields={"sub": "default_user_id", "user_id": "default_user_id"},
    ),
    Caller(
        kind="token",
        client_id="ide",
        issuer="https://idp.example.com",
        subject="alice",
        claims={"sub": "alice", "tenant": "acme", "groups": ["a"], "realm.roles": "x", "a.b": "dotted"},
        fields={"user_id": "alice", "team_id": "data", "email": "alice@example.com"},
    ),
]  # fmt: skip
CALLS = [
    ("tools/list", None, None),
    ("tools/call", "get", {"city": "Oslo"}),
    ("tools/call", "a.b", {}),
    ("resources/read", "x:y", None),
]


def fields(configuration: Configuration) -> dict[str, Any]:
    return {name: getattr(configuration, name) for name in Configuration.model_fields}


def behaviour(configuration: Configuration) -> list[Any]:
    """What it decides and signs, for each caller, server and call."""
    policy = compile_policy(configuration)
    found: list[Any] = []
    for server in configuration.servers:
        algorithm = signing_algorithm(configuration, server)
        signer = signer_settings(configuration, server, algorithm=algorithm, pairwise_key=b"0" * 32)
        found.append({name: secret.reveal() for name, secret in static_headers(configuration, server)})
        found.append(configuration.servers[server].forward_headers)
        for caller in CALLERS:
            for method, name, arguments in CALLS:
                call = Call(
                    server=server,
                    era=Era.MODERN,
                    revision="2026-07-28",
                    shape=Shape.REQUEST,
                    method=method,
                    name=name,
                    arguments=arguments,
                )
                found.append(type(policy.decide(caller, call)))
                try:
                    claims = build_claims(caller, call, signer, now=1, jti="j", txn="t")
                    found.append(claims)
                    found += [
                        (one.header, one.scheme, one.claims)
                        for one in tokens_beside(caller, call, signer, claims, new_id=lambda: "k", added={})
                    ]
                except ClaimsRefused as refused:
                    found.append(refused.denial.reason)
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files)
def test_the_migrated_file_and_the_original_are_the_same_gateway(data: Mapping[str, Any]) -> None:
    original = yaml.dump(data, Dumper=_NoAliases, sort_keys=False, allow_unicode=True)
    translated = translate(read(original), {})
    try:
        first = load_text(original, "config.yaml", HERE)
    except ConfigError:
        event("refused")  # by both, because both are the same document
        return
    event("accepted")
    printed = text.written(translated, "config.yaml")
    # What an operator does who reads "To do before this file is used".
    variables = {reference.removeprefix("env:"): secret.reveal() for reference, secret in translated.held.items()}
    with mock.patch.dict(os.environ, variables):
        second = load_text(printed, "counterseal.yaml", HERE)
        assert fields(second) == fields(first)
        assert behaviour(second) == behaviour(first)
        for one, other in zip(second.callers.own_keys, first.callers.own_keys, strict=True):
            assert one.key.resolve().reveal() == other.key.resolve().reveal() == MASTER_KEY
    longer = [one.reveal() for one in translated.held.values() if len(one.reveal()) > 8]
    assert not any(secret in printed for secret in longer)


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(anything, values, max_size=4))
def test_any_value_is_written_so_that_it_is_read_again(claims: dict[str, Any]) -> None:
    plain = {name: value for name, value in claims.items() if name.isprintable()}
    translated = translate(read("mcp_servers: {}\n"), {})
    translated.document.data["signer"]["set_claims"] = _tuples(plain)
    again = read(text.written(translated, "config.yaml"))
    assert list(again.problems) == []
    assert again.data["signer"]["set_claims"] == _tuples(plain)


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(child) for key, child in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


# ---- what people read ----


def written(data: Any, **environment: str) -> str:
    return text.written(translate(read(yaml.safe_dump(data, sort_keys=False)), environment), "config.yaml")


def test_each_value_says_what_it_comes_from() -> None:
    lines = written(file({"audience": "tools"}), MCP_JWT_TTL_SECONDS="45").splitlines()
    assert _comment(lines, "  audience: tools") == "guardrails[0].litellm_params.audience"
    assert _comment(lines, "  ttl_seconds: 45") == "from MCP_JWT_TTL_SECONDS"
    assert _comment(lines, '    url: "https://weather.internal/mcp"') == "mcp_servers.weather.url"


def test_what_is_to_do_is_said_first_then_what_is_safer_then_what_is_left_out() -> None:
    told = written(file({"ttl_seconds": 3600, "timeout": 5}))
    heads = [line for line in told.splitlines() if line.startswith("# ") and line.endswith(":")]
    assert [head.partition(":")[0].strip("# ") for head in heads] == [
        "To do before this file is used",
        "Safer now",
        "Left out",
    ]
    assert "litellm_params.ttl_seconds: is more than 900 seconds" in told.replace("\n#  ", "")
    assert all(len(line) <= 118 for line in told.splitlines() if line.startswith("#"))


@pytest.mark.parametrize(
    "value", ["on", "null", "1", "1.5", "~", "a: b", "# c", "é", "\x85", "\u200b", "'", '"', "- a", "{x}"]
)
def test_a_text_stays_a_text(value: str) -> None:
    again = read(written(file({"set_claims": {"x": value}})))
    assert again.problems == []
    assert again.data["signer"]["set_claims"] == {"x": value.replace("{", "{{").replace("}", "}}")}


def _comment(lines: list[str], beginning: str) -> str:
    (line,) = (line for line in lines if line.startswith(beginning))
    return line.partition("# ")[2]
