"""`guardrail: mcp_jwt_signer`: every parameter, released or first proposed, and where LiteLLM is too lenient."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.config.compile import compile_policy
from counterseal.core.call import Call, Era, Shape
from counterseal.core.caller import Caller
from counterseal.core.permit import Allowed
from tests.config.litellm.reading import ISSUER, file, line_of, loaded, problems, signer_of, told, translated

AT = "guardrails[0].litellm_params"
DISCOVERY = "https://idp.example.com/.well-known/openid-configuration"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "MCP_JWT_SIGNING_KEY",
        "MCP_JWT_ISSUER",
        "MCP_JWT_AUDIENCE",
        "MCP_JWT_TTL_SECONDS",
        "LITELLM_EXTERNAL_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("LITELLM_MASTER_KEY", raising=False)


# ---- what becomes of each parameter ----


@pytest.mark.parametrize(
    ("params", "key", "value"),
    [
        ({"audience": "tools"}, "audience", "tools"),
        ({}, "audience", "mcp"),
        ({"ttl_seconds": 120}, "ttl_seconds", 120),
        ({"ttl_seconds": "120"}, "ttl_seconds", 120),
        ({}, "ttl_seconds", 300),
        ({}, "end_user_claim_sources", ("token:sub", "litellm:user_id")),
        ({"end_user_claim_sources": []}, "end_user_claim_sources", ("token:sub", "litellm:user_id")),
        (
            {
                "end_user_claim_sources": [
                    "token:preferred_username",
                    "litellm:email",
                    "litellm:end_user_id",
                    "litellm:team_id",
                ]
            },
            "end_user_claim_sources",
            ("token:preferred_username", "litellm:email", "litellm:end_user_id", "litellm:team_id"),
        ),
        ({"end_user_claim_sources": ["token:realm.name"]}, "end_user_claim_sources", (("realm.name",),)),
        ({"required_claims": ["sub", "realm.tenant"]}, "required_claims", [("sub",), ("realm.tenant",)]),
        ({"optional_claims": ["groups", "a.b"]}, "optional_claims", (("groups",), ("a.b",))),
        ({"remove_claims": ["email", "a.b"]}, "remove_claims", (("email",), ("a.b",))),
        ({"add_claims": {"deployment_id": "prod-001"}}, "add_claims", {"deployment_id": "prod-001"}),
        (
            {"set_claims": {"env": "production", "level": 3, "on": True}},
            "set_claims",
            {"env": "production", "level": 3, "on": True},
        ),
        ({"channel_token_audience": "bedrock"}, "channel_token_audience", "bedrock"),
        ({"channel_token_audience": "bedrock", "channel_token_ttl": 30}, "channel_token_ttl", 30),
        ({"channel_token_audience": "bedrock", "ttl_seconds": 90}, "channel_token_ttl", 90),
        ({"debug_headers": True}, "debug_header", True),
        ({"debug_header": True}, "debug_header", True),
        ({}, "debug_header", False),
        ({"allowed_tools": ["get_forecast"]}, "allowed_tools", ("get_forecast",)),
        ({"optional_params": {"audience": "nested"}, "audience": "outer"}, "audience", "nested"),
        ({}, "profile", "litellm"),
        ({}, "mode", "sign"),
        ({"access_token_discovery_uri": DISCOVERY}, "mode", "verify_and_resign"),
        (
            {
                "channel_token_discovery_uri": DISCOVERY,
                "channel_token_header": "X-Through",
                "channel_token_required": True,
            },
            "channel_token_header",
            "X-Through",
        ),
        ({"channel_token_discovery_uri": DISCOVERY, "channel_token_required": True}, "channel_token_required", True),
        (
            {
                "channel_token_jwks_uri": "https://idp.example.com/keys",
                "channel_token_issuer": "https://idp.example.com",
            },
            "channel_token_jwks_uri",
            "https://idp.example.com/keys",
        ),
    ],
)
def test_a_parameter_means_what_it_means_to_litellm(params: dict[str, Any], key: str, value: Any) -> None:
    found = getattr(signer_of(params), key)
    if key == "required_claims":
        found = [one.name for one in found]
    assert (dict(found) if key in ("add_claims", "set_claims") else found) == value


def test_the_issuer_is_that_of_the_whole_gateway() -> None:
    assert loaded(file()).issuer == ISSUER


def test_with_a_discovery_uri_tokens_of_its_issuer_are_verified_for_the_audience() -> None:
    data = file(
        {
            "access_token_discovery_uri": DISCOVERY,
            "verify_issuer": "https://other.example.com",
            "verify_audience": "api://app",
        }
    )
    callers = loaded(data).callers
    (issuer,) = callers.issuers
    assert (issuer.discovery_uri, issuer.issuer, issuer.audience) == (
        DISCOVERY,
        "https://other.example.com",
        ("api://app",),
    )
    assert callers.tokens_need_key
    assert callers.key_header == "x-litellm-api-key"


def test_without_a_master_key_the_token_alone_is_the_credential() -> None:
    data = file({"access_token_discovery_uri": DISCOVERY}, general_settings={})
    assert not loaded(data).callers.tokens_need_key


def test_an_idp_on_this_machine_may_be_http() -> None:
    data = file({"access_token_discovery_uri": "http://127.0.0.1:9000/.well-known/openid-configuration"})
    assert loaded(data).callers.issuers[0].allow_insecure_loopback


def test_braces_in_a_claim_are_no_template() -> None:
    settings = signer_of({"set_claims": {"pattern": "{claim.sub}", "deep": {"of": ["{x}"]}}}).set_claims
    assert settings["pattern"] == "{{claim.sub}}"
    assert settings["deep"]["of"] == ("{{x}}",)


# ---- variables ----


@pytest.mark.parametrize(
    ("variables", "issuer"),
    [
        (
            {"MCP_JWT_ISSUER": "https://a.example.com", "LITELLM_EXTERNAL_URL": "https://b.example.com"},
            "https://a.example.com",
        ),
        ({"LITELLM_EXTERNAL_URL": "https://b.example.com"}, "https://b.example.com"),
        ({"MCP_JWT_ISSUER": "", "LITELLM_EXTERNAL_URL": "https://b.example.com"}, "https://b.example.com"),
        ({}, "http://127.0.0.1:4000"),
    ],
)
def test_the_issuer_comes_from_the_variables_in_litellms_order(variables: dict[str, str], issuer: str) -> None:
    data = file({"issuer": None})
    assert translated(data, **variables).document.data["issuer"] == issuer
    assert translated(file(), **variables).document.data["issuer"] == ISSUER


def test_each_start_says_that_there_is_no_issuer_and_where_one_would_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MCP_JWT_ISSUER", "LITELLM_EXTERNAL_URL"):
        monkeypatch.delenv(variable, raising=False)
    there = told(file({"issuer": None}), "guardrails[0].litellm_params.issuer")
    assert [line.partition(": ")[0] for line in there] == ["is not set"]
    nowhere = [line for line in told(file(guardrails=[]), "the file") if "the issuer `litellm`" in line]
    assert [line.partition(": ")[0] for line in nowhere] == ["has no `issuer`"]


def test_audience_and_life_come_from_the_variables_where_the_file_says_nothing() -> None:
    made = translated(file(), MCP_JWT_AUDIENCE="tools", MCP_JWT_TTL_SECONDS="45").document.data["signer"]
    assert (made["audience"], made["ttl_seconds"]) == ("tools", 45)
    made = translated(
        file({"audience": "x", "ttl_seconds": 5}), MCP_JWT_AUDIENCE="tools", MCP_JWT_TTL_SECONDS="45"
    ).document.data["signer"]
    assert (made["audience"], made["ttl_seconds"]) == ("x", 5)


@pytest.mark.parametrize("value", ["0", "-5", "soon", "1.5"])
def test_a_life_of_nothing_in_the_variable_is_an_error(value: str) -> None:
    (problem,) = translated(file(), MCP_JWT_TTL_SECONDS=value).document.problems
    assert "MCP_JWT_TTL_SECONDS" in problem.what
    assert value not in problem.what or value == "0"


def test_the_signing_key_comes_from_the_variable_or_is_made_once() -> None:
    assert translated(file(), MCP_JWT_SIGNING_KEY="pem").document.data["keys"] == {"source": "env:MCP_JWT_SIGNING_KEY"}
    assert translated(file()).document.data["keys"] == {"source": "store", "algorithms": ("RS256",)}


def test_a_parameter_may_be_in_a_variable() -> None:
    data = file({"audience": "os.environ/AUDIENCE", "set_claims": {"env": "os.environ/STAGE"}})
    made = translated(data, AUDIENCE="tools", STAGE="prod").document.data["signer"]
    assert (made["audience"], made["set_claims"]) == ("tools", {"env": "prod"})
    found = translated(data, AUDIENCE="tools").document.problems
    assert [(one.path, one.what) for one in found] == [
        (f"{AT}.set_claims.env", "names the environment variable STAGE, which is not set: set it")
    ]


# ---- where LiteLLM would let something through: what is done here, and the line at each start ----


@pytest.mark.parametrize(
    ("params", "about", "line", "key", "value"),
    [
        ({"ttl_seconds": 315360000}, "ttl_seconds", "is more than 900 seconds", "ttl_seconds", 900),
        (
            {"channel_token_audience": "b", "channel_token_ttl": 99999},
            "channel_token_ttl",
            "is more than 900 seconds",
            "channel_token_ttl",
            900,
        ),
        (
            {"set_claims": {"sub": "root", "env": "prod"}},
            "set_claims.sub",
            "names `sub`",
            "set_claims",
            {"env": "prod"},
        ),
        (
            {"set_claims": {"act": "text", "env": "prod"}},
            "set_claims.act",
            "names `act`",
            "set_claims",
            {"env": "prod"},
        ),
        ({"add_claims": {"iss": "https://evil.example.com"}}, "add_claims.iss", "names `iss`", "add_claims", {}),
        ({"remove_claims": ["exp", "nbf", "email"]}, "remove_claims[0]", "names `exp`", "remove_claims", (("email",),)),
        (
            {"optional_claims": ["client_id", "groups"]},
            "optional_claims[0]",
            "names `client_id`",
            "optional_claims",
            (("groups",),),
        ),
        (
            {"end_user_claim_sources": ["x-user-id", "token:sub"]},
            "end_user_claim_sources[0]",
            "is a bare name, which may be a header of the caller's",
            "trust_identity_headers_from",
            (),
        ),
        (
            {"channel_token_header": "X-Channel-Token"},
            "channel_token_header",
            "has channel tokens that nobody verifies",
            "channel_token_required",
            False,
        ),
        (
            {"access_token_discovery_uri": DISCOVERY},
            "access_token_discovery_uri",
            "LiteLLM signs for API keys",
            "mode",
            "verify_and_resign",
        ),
        (
            {"access_token_discovery_uri": DISCOVERY},
            "access_token_discovery_uri",
            "has no `verify_issuer`",
            "mode",
            "verify_and_resign",
        ),
        (
            {"access_token_discovery_uri": DISCOVERY},
            "access_token_discovery_uri",
            "has no `verify_audience`",
            "mode",
            "verify_and_resign",
        ),
        (
            {
                "access_token_discovery_uri": DISCOVERY,
                "token_introspection_endpoint": "https://idp.example.com/introspect",
            },
            "token_introspection_endpoint",
            "here opaque tokens are refused",
            "mode",
            "verify_and_resign",
        ),
        ({"default_on": False}, "default_on", "here every call is signed", "profile", "litellm"),
        (
            {"allowed_scopes": ["mcp:tools/call"]},
            "allowed_scopes",
            "here a token has the scope of its one operation",
            "profile",
            "litellm",
        ),
    ],
)
def test_what_litellm_lets_through_is_refused_and_each_start_says_so(
    params: dict[str, Any], about: str, line: str, key: str, value: Any
) -> None:
    data = file(params)
    assert any(line in one for one in told(data, f"{AT}.{about}")), told(data, f"{AT}.{about}")
    found = getattr(signer_of(params), key)
    assert (dict(found) if key in ("add_claims", "set_claims") else found) == value


def test_nothing_is_told_of_a_file_in_which_litellm_is_as_strict() -> None:
    params = {
        "audience": "mcp",
        "ttl_seconds": 60,
        "end_user_claim_sources": ["token:sub"],
        "add_claims": {"a": 1},
        "remove_claims": ["email"],
    }
    notes = translated(file(params, general_settings={"master_key": "os.environ/KEY"})).notes
    assert notes == ()


@pytest.mark.parametrize(
    ("params", "about", "line"),
    [
        (
            {"end_user_claim_sources": ["litellm:org_id", "token:sub"]},
            "end_user_claim_sources[0]",
            "is no source that LiteLLM knows",
        ),
        (
            {"end_user_claim_sources": ["header:x-user", "token:sub"]},
            "end_user_claim_sources[0]",
            "is no source that LiteLLM knows",
        ),
        ({"timeout": 5}, "timeout", "is no parameter of this guardrail here"),
        ({"verify_audience": "a"}, "verify_audience", "without `access_token_discovery_uri` none is"),
        ({"set_claims": {"a.b": 1}}, "set_claims", None),
        ({"allowed_tools": ["get_*"]}, "allowed_tools[0]", "has a `*`"),
        (
            {"allowed_scopes": ["mcp:tools/call", "custom:read"]},
            "allowed_scopes",
            "has `custom:read`, and no call token holds it",
        ),
    ],
)
def test_what_cannot_be_is_left_out_and_told(params: dict[str, Any], about: str, line: str | None) -> None:
    lines = told(file(params), f"{AT}.{about}")
    if line is None:
        (line,) = told(file(params), f'{AT}.{about}."a.b"')
        assert "has a dot in the name of the claim" in line
    else:
        assert any(line in one for one in lines), lines


@pytest.mark.parametrize(
    ("params", "path", "what"),
    [
        ({"mode": "pre_call"}, "mode", "must be `pre_mcp_call`"),
        ({"mode": ["pre_mcp_call"]}, "mode", "must be `pre_mcp_call`"),
        ({"ttl_seconds": 0}, "ttl_seconds", "must be a whole number of seconds, and more than 0"),
        ({"ttl_seconds": -1}, "ttl_seconds", "more than 0"),
        ({"ttl_seconds": "soon"}, "ttl_seconds", "must be a whole number"),
        ({"channel_token_audience": "b", "channel_token_ttl": 0}, "channel_token_ttl", "more than 0"),
        ({"channel_token_audience": "b", "channel_token_ttl": -5}, "channel_token_ttl", "more than 0"),
        ({"issuer": "litellm"}, "issuer", "must be an absolute address"),
        ({"issuer": "https://gateway.example.com/"}, "issuer", "ends with a slash"),
        ({"issuer": 5}, "issuer", "must be a text"),
        ({"audience": ["a"]}, "audience", "must be a text"),
        ({"add_claims": ["a"]}, "add_claims", "must be a mapping"),
        ({"optional_claims": "groups"}, "optional_claims", "must be a list"),
        ({"debug_headers": "yes please"}, "debug_headers", "must be true or false"),
        ({"channel_token_required": True}, "channel_token_required", "nobody could verify"),
        (
            {"access_token_discovery_uri": "http://idp.example.com/.well-known/openid-configuration"},
            "access_token_discovery_uri",
            "must be an https address",
        ),
        (
            {"access_token_discovery_uri": "https://idp.example.com/discovery"},
            "access_token_discovery_uri",
            "add `verify_issuer`",
        ),
    ],
)
def test_what_is_wrong_is_told_at_litellms_line_with_litellms_key(params: dict[str, Any], path: str, what: str) -> None:
    data = file(params)
    key = path if path in params else next(iter(params))
    (problem, *_) = problems(data)
    assert problem.startswith(f"{line_of(data, f' {key}:')}:"), problem
    assert f": {AT}.{path}: " in problem, problem
    assert what in problem


def test_a_second_token_for_a_servers_own_audience_is_refused_at_the_server() -> None:
    (problem,) = problems(file({"channel_token_audience": "mcp"}))
    assert ": mcp_servers.weather: its `signer.channel_token_audience` has the audience of the server" in problem


def test_two_signers_are_one_too_many() -> None:
    data = file()
    data["guardrails"] += file()["guardrails"]
    (problem,) = problems(data)
    assert ": guardrails[1]: is the second `mcp_jwt_signer`" in problem


def test_a_signer_without_a_name_is_refused_as_litellm_does() -> None:
    data = file()
    del data["guardrails"][0]["guardrail_name"]
    (problem,) = problems(data)
    assert ": guardrails[0]: has no `guardrail_name`" in problem


def test_without_a_signer_every_call_is_signed_nevertheless() -> None:
    data = file(guardrails=[], general_settings={"master_key": "sk-0123456789abcdef"})
    (line,) = told(data, "the file")[:1]
    assert "LiteLLM would sign nothing" in line
    assert loaded(data).signer_of("weather").profile == "litellm"


# ---- which operations `allowed_scopes` leaves ----


def may(params: dict[str, Any], method: str, name: str | None = None) -> bool:
    policy = compile_policy(loaded(file(params)))
    caller = Caller(kind="api_key", client_id="litellm-master-key", subject="default_user_id")
    call = Call(server="weather", era=Era.MODERN, revision="2026-07-28", shape=Shape.REQUEST, method=method, name=name)
    return isinstance(policy.decide(caller, call), Allowed)


@pytest.mark.parametrize(
    ("scopes", "lists", "get", "put"),
    [
        (None, True, True, True),
        (["mcp:tools/call", "mcp:tools/list"], True, True, True),
        (["mcp:tools/list"], True, False, False),
        (["mcp:tools/call"], False, True, True),
        (["mcp:tools/call", "mcp:tools/get:call"], False, True, False),
        (["mcp:tools/get:call", "mcp:tools/list"], True, True, False),
        ([], False, False, False),
    ],
)
def test_an_operation_without_its_scope_in_the_list_is_refused(
    scopes: list[str] | None, lists: bool, get: bool, put: bool
) -> None:
    params = {} if scopes is None else {"allowed_scopes": scopes}
    assert (may(params, "tools/list"), may(params, "tools/call", "get"), may(params, "tools/call", "put")) == (
        lists,
        get,
        put,
    )
    # LiteLLM sends these without a token, whatever the list says.
    assert may(params, "resources/read", "file:///a")
    assert may(params, "initialize")


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("access_token_discovery_url", "access_token_discovery_uri"),
        ("verify_isuer", "verify_issuer"),
        ("required_claim", "required_claims"),
        ("chanel_token_required", "channel_token_required"),
    ],
)
def test_a_misspelt_parameter_keeps_the_file_from_being_read(misspelt: str, meant: str) -> None:
    """It would switch off what it was meant to switch on."""
    (problem,) = problems(file({misspelt: "https://x"}))
    assert problem.endswith(f"{AT}.{misspelt}: is no parameter of this guardrail; did you mean `{meant}`?")
    assert told(file({"timeout": 5}), f"{AT}.timeout") != []
