"""From the configuration to what the core decides and signs with."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterseal.config.compile import compile_policy, signing_algorithm, static_headers, warnings
from counterseal.config.load import load_text
from counterseal.config.schema import Configuration
from counterseal.config.secret import Unresolved
from counterseal.core.caller import Caller
from counterseal.core.permit import Allowed, Denial

ISSUER = "issuer: https://gateway.example.com\n"


def configuration(text: str) -> Configuration:
    return load_text(ISSUER + text, "counterseal.yaml", Path("/nowhere"))


WEATHER = """\
servers:
  weather: {url: http://127.0.0.1:8000/mcp}
  files: {url: http://files/mcp, signer: {allowed_tools: [read_*]}}
  closed: {url: http://closed/mcp, signer: {allowed_tools: []}}
policy:
  - permit: {callers: {team: [data, "sci*"], kind: api_key}, servers: [weather], tools: ["get_*"], methods: ["tools/*"]}
  - permit: {callers: {team: ops}}
  - deny: {tools: ["delete_*"]}
"""


def key(team: str) -> Caller:
    return Caller(kind="api_key", client_id="k1", subject="alice", fields={"team_id": team})


@pytest.mark.parametrize(
    ("team", "server", "tool", "rule"),
    [
        ("data", "weather", "get_forecast", "policy[0] (counterseal.yaml:7)"),
        ("science", "weather", "get_forecast", "policy[0] (counterseal.yaml:7)"),
        ("ops", "weather", "get_forecast", "policy[1] (counterseal.yaml:8)"),
        ("ops", "files", "read_file", "policy[1] (counterseal.yaml:8)"),
    ],
)
def test_a_permit_names_the_rule_and_its_line(team: str, server: str, tool: str, rule: str) -> None:
    policy = compile_policy(configuration(WEATHER))
    assert policy.decide_operation(key(team), server, "tools/call", tool) == Allowed(rule)


@pytest.mark.parametrize(
    ("team", "server", "tool", "rule"),
    [
        ("data", "weather", "set_forecast", "default"),
        ("data", "files", "get_forecast", "servers.files.signer.allowed_tools"),
        ("sales", "weather", "get_forecast", "default"),
        ("ops", "weather", "delete_all", "policy[2] (counterseal.yaml:9)"),
        ("ops", "files", "write_file", "servers.files.signer.allowed_tools"),
        ("ops", "closed", "read_file", "servers.closed.signer.allowed_tools"),
    ],
)
def test_a_denial_names_the_rule_and_its_line(team: str, server: str, tool: str, rule: str) -> None:
    denial = compile_policy(configuration(WEATHER)).decide_operation(key(team), server, "tools/call", tool)
    assert isinstance(denial, Denial)
    assert denial.rule == rule


def test_s_09_allowed_tools_that_are_left_out_restrict_nothing_and_none_at_all_allow_nothing() -> None:
    allowed = compile_policy(configuration(WEATHER)).allowed_tools
    assert set(allowed) == {"files", "closed"}
    assert allowed["files"].texts == ("read_*",)
    assert not allowed["closed"].match("read_file")


def test_p_05_no_policy_denies_everything() -> None:
    policy = compile_policy(configuration("servers: {weather: {url: http://w}}\n"))
    assert isinstance(policy.decide_operation(key("ops"), "weather", "tools/list", None), Denial)


def test_the_first_algorithm_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "x")
    server = "servers: {w: {url: http://w}}\n"
    assert signing_algorithm(configuration(server + "keys: {algorithms: [Ed25519, RS256]}\n"), "w") == "Ed25519"
    brought = configuration(server + "keys: {source: env:KEY}\n")
    assert signing_algorithm(brought, "w", first_algorithm="ES256") == "ES256"
    named = configuration(server + "keys: {source: env:KEY, algorithms: [Ed25519]}\n")
    assert signing_algorithm(named, "w", first_algorithm="ES256") == "Ed25519"
    own = configuration("servers: {w: {url: http://w, signer: {algorithm: ES256}}}\n")
    assert signing_algorithm(own, "w") == "ES256"
    with pytest.raises(KeyError):
        signing_algorithm(own, "other")


def test_allowed_scopes_are_compiled_for_the_shape_of_the_servers_tokens() -> None:
    compiled = compile_policy(
        configuration(
            "signer: {allowed_scopes: ['mcp:tools/list', 'mcp:tools/*:call', 'mcp:tools/call*']}\n"
            "servers:\n"
            "  ours: {url: http://a}\n"
            "  theirs: {url: http://b, signer: {profile: litellm}}\n"
            "  any: {url: http://c, signer: {allowed_scopes: null}}\n"
        )
    ).allowed_scopes
    assert set(compiled) == {"ours", "theirs"}
    for scopes in compiled.values():
        assert scopes.refused("tools/call", "x") is None
        assert scopes.refused("resources/read", "x") == "mcp:resources/read"
    assert compiled["theirs"].scope_of("tools/call", "x") == "mcp:tools/call mcp:tools/x:call"


def test_static_headers_are_resolved_and_one_that_the_token_replaces_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CRM_KEY", "c4n4ry")
    compiled = configuration(
        "signer: {on_conflict: replace}\n"
        "servers: {w: {url: http://w, headers: {authorization: env:CRM_KEY, X-Key: env:CRM_KEY}}}\n"
    )
    headers = static_headers(compiled, "w")
    assert [(name, secret.reveal()) for name, secret in headers] == [("X-Key", "c4n4ry")]
    assert "c4n4ry" not in repr(headers)
    monkeypatch.delenv("CRM_KEY")
    with pytest.raises(Unresolved):
        static_headers(compiled, "w")


QUIET = "servers: {w: {url: http://w}}\npolicy: [{permit: {servers: [w]}}]\n"


def corp(keys: str) -> str:
    return QUIET + f"callers: {{issuers: [{{name: corp, issuer: https://idp, jwks_uri: https://idp/k, {keys}}}]}}\n"


def trusting(network: str) -> str:
    signer = f"{{trust_identity_headers_from: ['{network}']}}"
    return f"servers: {{w: {{url: http://w, signer: {signer}}}}}\npolicy: [{{permit: {{servers: [w]}}}}]\n"


ASKED = "introspection: {endpoint: https://idp/i, client_id: gw, client_secret: env:X, require_audience: "


@pytest.mark.parametrize(
    ("risky", "says", "safe"),
    [
        (
            corp("require_email_verified: false"),
            "require_email_verified is false",
            corp("require_email_verified: true"),
        ),
        (
            corp("require_email_verified: false, claims: {email: upn}"),
            "require_email_verified is false",
            corp("require_email_verified: false, claims: {email: null}"),
        ),
        (corp(ASKED + "false}"), "require_audience is false", corp(ASKED + "true}")),
        (corp("allow_networks: [10.0.0.0/8]"), "10.0.0.0/8", corp("allow_networks: [10.20.0.0/16, 192.168.1.0/24]")),
        (corp("allow_networks: ['fd00::/8']"), "fd00::/8", corp("allow_networks: ['fd00:1:2::/48']")),
        (trusting("10.0.0.0/8"), "trust_identity_headers_from has 10.0.0.0/8", trusting("10.0.0.5")),
        (trusting("fd00::/16"), "trust_identity_headers_from has fd00::/16", trusting("fd00::/64")),
    ],
)
def test_c_02_what_takes_somebodys_word_for_more_than_it_may_be_worth_is_a_warning(
    risky: str, says: str, safe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X", "c4n4ry")
    (warning,) = warnings(configuration(risky), {})
    assert says in warning
    assert not list(warnings(configuration(safe), {}))


@pytest.mark.parametrize(
    ("text", "environment", "says"),
    [
        (
            QUIET,
            {"MCP_JWT_SIGNING_KEY": "c4n4ry"},
            "MCP_JWT_SIGNING_KEY is set but keys.source is store, so it is not used",
        ),
        (QUIET + "store: 'memory:'\n", {}, "end with the process"),
        (QUIET + "keys: {algorithms: [ES256, ML-DSA-44]}\n", {}, "has ML-DSA-44, which is experimental"),
        (QUIET + "callers: {anonymous: true}\n", {}, "callers.anonymous is true"),
        ("policy: [{permit: {tools: [x]}}]\n", {}, "servers is empty"),
        ("servers: {w: {url: http://w}}\n", {}, "every call is denied"),
        ("servers: {w: {url: http://w}}\npolicy: [{deny: {}}]\n", {}, "every call is denied"),
        (
            "servers: {w: {url: http://w}}\npolicy:\n  - permit: {}\n",
            {},
            "policy[0] (counterseal.yaml:4) permits every call to every caller",
        ),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(text: str, environment: dict[str, str], says: str) -> None:
    (warning,) = warnings(configuration(text), environment)
    assert says in warning
    assert "c4n4ry" not in warning


def test_a_configuration_that_is_meant_has_no_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_JWT_SIGNING_KEY", "x")
    environment = {"MCP_JWT_SIGNING_KEY": "x"}
    assert not list(warnings(configuration(QUIET), {}))
    assert not list(warnings(configuration(QUIET + "keys: {source: env:MCP_JWT_SIGNING_KEY}\n"), environment))
