"""`mcp_servers`: every key in both shapes, what has no counterpart, and secrets that stand in the file."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.config.compile import compile_policy, static_headers, warnings
from counterseal.config.litellm import text
from counterseal.config.schema import Configuration
from counterseal.core.call import Call, Era, Shape
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS
from counterseal.core.permit import Allowed, Denial
from tests.config.litellm.reading import file, line_of, loaded, problems, told, translated

URL = "https://weather.internal/mcp"


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "t0ken")
    monkeypatch.setenv("PAIR", "alice:secret")


def one(**entry: Any) -> Configuration:
    """A configuration with one server, `weather`."""
    return loaded(file(servers={"weather": {"url": URL, **entry}}))


def headers(configuration: Configuration, name: str = "weather") -> dict[str, str]:
    return {header: secret.reveal() for header, secret in static_headers(configuration, name)}


def decided(configuration: Configuration, tool: str, server: str = "weather") -> Allowed | Denial:
    caller = Caller(kind="api_key", client_id="litellm-master-key", subject="default_user_id")
    call = Call(
        server=server, era=Era.MODERN, revision="2026-07-28", shape=Shape.REQUEST, method="tools/call", name=tool
    )
    return compile_policy(configuration).decide(caller, call)


@pytest.mark.parametrize(
    ("transport", "native"), [(None, "streamable_http"), ("http", "streamable_http"), ("sse", "sse")]
)
def test_a_server_has_its_address_and_transport(transport: str | None, native: str) -> None:
    server = one(**({} if transport is None else {"transport": transport})).servers["weather"]
    assert (server.url, server.transport) == (URL, native)


def test_a_list_of_servers_means_the_same_as_a_mapping() -> None:
    entry = {"url": URL, "auth_type": "api_key", "auth_value": "os.environ/TOKEN"}
    listed = loaded(
        file(servers=[{"server_name": "weather", **entry}, {"name": "notes", "url": "https://notes.internal"}])
    )
    mapped = loaded(file(servers={"weather": entry, "notes": {"url": "https://notes.internal"}}))
    assert listed.servers == mapped.servers
    assert problems(file(servers=[entry]))[0].endswith("mcp_servers[0]: has no name: add `server_name`")


@pytest.mark.parametrize(
    ("auth", "value", "header", "sent"),
    [
        ("api_key", "os.environ/TOKEN", "X-API-Key", "t0ken"),
        ("bearer_token", "os.environ/TOKEN", "Authorization", "Bearer t0ken"),
        ("bearer_token", "Bearer abc", "Authorization", "Bearer abc"),
        ("token", "os.environ/TOKEN", "Authorization", "token t0ken"),
        ("basic", "os.environ/PAIR", "Authorization", "Basic YWxpY2U6c2VjcmV0"),
        ("basic", "Basic YWxpY2U6c2VjcmV0", "Authorization", "Basic YWxpY2U6c2VjcmV0"),
        ("basic", "Basic alice:secret", "Authorization", "Basic YWxpY2U6c2VjcmV0"),
        ("authorization", "Custom xyz", "Authorization", "Custom xyz"),
    ],
)
def test_a_credential_is_sent_as_litellm_sends_it(auth: str, value: str, header: str, sent: str) -> None:
    assert headers(one(auth_type=auth, auth_value=value)) == {header: sent}
    assert headers(one(auth_type=auth, authentication_token=value, auth_value="other")) == {header: sent}
    assert headers(one(auth_type=auth, auth_value=value, upstream_token_header="X-Up")) == {"X-Up": sent}


def test_without_an_auth_type_no_credential_is_sent_as_with_litellm() -> None:
    assert headers(one(auth_type="none")) == headers(one()) == {}
    assert headers(one(auth_value="x")) == {}
    (line,) = told(file(servers={"weather": {"url": URL, "auth_value": "x"}}), "mcp_servers.weather.auth_value")
    assert "without an `auth_type`" in line


def test_static_headers_are_sent_and_win_over_the_credential() -> None:
    assert headers(one(static_headers={"X-Env": "os.environ/TOKEN", "X-Team": "data"})) == {
        "X-Env": "t0ken",
        "X-Team": "data",
    }
    both = one(auth_type="api_key", auth_value="a", static_headers={"x-api-key": "b"})
    assert headers(both) == {"x-api-key": "b"}


@pytest.mark.parametrize(
    "entry",
    [
        {"auth_type": "bearer_token", "auth_value": "os.environ/TOKEN"},
        {"static_headers": {"authorization": "os.environ/TOKEN"}},
    ],
)
def test_beside_a_credential_of_its_own_a_server_gets_the_call_token_in_another_header(entry: dict[str, Any]) -> None:
    """LiteLLM drops the token: the server's own credential has its place."""
    assert one(**entry).signer_of("weather").header == "X-Call-Token"
    assert one().signer_of("weather").header == "Authorization"
    data = file(servers={"weather": {"url": URL, **entry}})
    (key,) = [key for key in ("auth_value", "static_headers") if key in entry]
    about = f"mcp_servers.weather.{key}" + (".authorization" if key == "static_headers" else "")
    assert any("LiteLLM would send no token beside it" in line for line in told(data, about))


def test_a_program_is_started_with_its_arguments_and_variables() -> None:
    server = loaded(
        file(
            servers={"files": {"transport": "stdio", "command": "sh", "args": ["-c", "cat"], "env": {"LEVEL": "debug"}}}
        )
    ).servers["files"]
    assert server.command is not None
    assert server.command[0].endswith("/sh")
    assert server.command[1:] == ("-c", "cat")
    assert dict(server.env) == {"LEVEL": "debug"}
    (problem,) = problems(file(servers={"files": {"transport": "stdio"}}))
    assert "mcp_servers.files: has no `command`" in problem


@pytest.mark.parametrize(
    "args",
    [
        ["--api-key", "abc"],
        ["--token=abc"],
        ["os.environ/TOKEN"],
        ["-y", "server", "--github-token", "os.environ/TOKEN"],
        ["-y", "server-postgres", "postgresql://admin:hunter2@db/prod"],
        ["https://x.example/sse?key=abc"],
        ["-y", "mcp-remote", "https://x.example/sse", "--header", "Authorization: Bearer abc"],
        ["--header", "X-Api-Key:abc"],
        ["run", "-i", "-e", "GITHUB_PERSONAL_ACCESS_TOKEN=abc", "ghcr.io/github/github-mcp-server"],
        ["run", "-eDB_PASSWORD=abc", "image"],
        ["sk-live-12345678"],
        ["--config", "ghp_abcdef"],
        ["0123456789abcdef0123456789abcdef"],
        ["--header", "x: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"],
        ["--env=X=os.environ/TOKEN"],
    ],
)
def test_a_program_with_a_secret_among_its_arguments_is_left_out(args: list[str]) -> None:
    data = file(servers={"a": {"transport": "stdio", "command": "sh", "args": args}, "b": {"url": URL}})
    assert list(loaded(data).servers) == ["b"]
    (line,) = told(data, "mcp_servers.a.args")
    assert "every account of a machine can read arguments: " not in line
    assert "holds a secret" in line


@pytest.mark.parametrize(
    "args",
    [
        ["-y", "@scope/server-token-counter", "--port", "1"],
        ["-y", "mcp-remote", "https://x.example/sse", "--header", "Authorization:${AUTH_HEADER}"],
        ["--header", "Authorization: Bearer ${TOKEN}"],
        [
            "run",
            "-i",
            "-e",
            "GITHUB_PERSONAL_ACCESS_TOKEN",
            "-v",
            "/auth:/auth",
            "ghcr.io/github/github-mcp-server:1.2",
        ],
        ["AUTH_FILE=/etc/auth.json", "postgresql://db/prod", "--db", "/srv/a.db"],
        ["git+https://github.com/org/mcp-server-2024-v1.git", "org/auth-server:latest"],
    ],
)
def test_a_program_without_one_is_there(args: list[str]) -> None:
    assert list(loaded(file(servers={"a": {"transport": "stdio", "command": "sh", "args": args}})).servers) == ["a"]


def test_a_document_makes_a_server_of_an_http_api() -> None:
    server = one(spec_path="./crm.json", url="https://crm.internal").servers["weather"]
    assert (server.transport, server.spec, server.url) == ("openapi", "/nowhere/crm.json", "https://crm.internal")


@pytest.mark.parametrize(
    ("entry", "key", "why"),
    [
        ({"auth_type": "oauth2", "client_id": "x"}, "auth_type", "gets no tokens for servers"),
        ({"auth_type": "aws_sigv4"}, "auth_type", "gets no tokens for servers"),
        ({"auth_type": "oauth2_token_exchange"}, "auth_type", "gets no tokens for servers"),
        ({"auth_type": "s3cret"}, "auth_type", "is no kind of credential that LiteLLM has"),
        ({"available_on_public_internet": False}, "available_on_public_internet", "keeps callers of other networks"),
        ({"spec_path": "https://crm.internal/openapi.json"}, "spec_path", "no document is fetched"),
        (
            {"spec_path": "./crm.json", "disallowed_tools": ["x"]},
            "disallowed_tools",
            "names tools as LiteLLM calls operations",
        ),
        (
            {"spec_path": "./crm.json", "allowed_params": {"x": ["y"]}},
            "allowed_params",
            "names tools as LiteLLM calls operations",
        ),
    ],
)
def test_a_server_that_would_be_more_open_or_cannot_be_reached_is_left_out_as_a_whole(
    entry: dict[str, Any], key: str, why: str
) -> None:
    data = file(servers={"weather": {"url": URL, **entry}, "notes": {"url": "https://notes.internal"}})
    assert list(loaded(data).servers) == ["notes"]
    (line,) = told(data, f"mcp_servers.weather.{key}")
    assert why in line
    assert line.endswith("the server is left out")
    assert "s3cret" not in line


# ---- tools ----


def test_only_tools_that_are_allowed_can_be_called_by_either_of_their_names() -> None:
    configuration = one(allowed_tools=["get", "weather-list"])
    assert isinstance(decided(configuration, "get"), Allowed)
    assert isinstance(decided(configuration, "list"), Allowed)
    assert isinstance(decided(configuration, "put"), Denial)
    assert isinstance(decided(one(), "put"), Allowed)


def test_an_empty_list_of_allowed_tools_is_none_and_is_told() -> None:
    """LiteLLM takes it for all of them."""
    assert isinstance(decided(one(allowed_tools=[]), "get"), Denial)
    (line,) = told(file(servers={"weather": {"url": URL, "allowed_tools": []}}), "mcp_servers.weather.allowed_tools")
    assert "which LiteLLM takes for all tools" in line


def test_tools_that_are_disallowed_are_denied_and_the_denial_names_litellms_line() -> None:
    data = file(servers={"weather": {"url": URL, "disallowed_tools": ["put", "weather-delete"]}})
    configuration = loaded(data)
    denied = decided(configuration, "put")
    assert isinstance(denied, Denial)
    assert denied.rule == f"policy[0] (config.yaml:{line_of(data, 'disallowed_tools')})"
    assert isinstance(decided(configuration, "delete"), Denial)
    assert isinstance(decided(configuration, "get"), Allowed)


def test_tools_whose_parameters_are_restricted_are_denied() -> None:
    """What restricts them is not read, so nobody may call them."""
    data = file(servers={"weather": {"url": URL, "allowed_params": {"get": ["city"]}}})
    assert isinstance(decided(loaded(data), "get"), Denial)
    assert isinstance(decided(loaded(data), "list"), Allowed)
    (line,) = told(data, "mcp_servers.weather.allowed_params")
    assert "these tools are denied" in line


@pytest.mark.parametrize(("separator", "written"), [(None, "my_server-{}"), ("__", "my_server__{}")])
def test_what_is_denied_is_denied_by_each_name_that_litellm_knows(
    separator: str | None, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if separator is not None:
        monkeypatch.setenv("MCP_TOOL_PREFIX_SEPARATOR", separator)
    for key, value in (
        ("disallowed_tools", [written.format("put")]),
        ("allowed_params", {written.format("put"): ["city"]}),
    ):
        configuration = loaded(file(servers={"my server": {"url": URL, "alias": "mine", key: value}}))
        assert isinstance(decided(configuration, "put", "mine"), Denial)
        assert isinstance(decided(configuration, "get", "mine"), Allowed)


def test_the_tools_of_a_server_are_those_that_each_of_litellms_lists_names() -> None:
    """The signer's list is for all servers, and one of a server's own opens nothing that it leaves out."""
    both = loaded(
        file({"allowed_tools": ["get", "list"]}, servers={"weather": {"url": URL, "allowed_tools": ["get", "delete"]}})
    )
    assert isinstance(decided(both, "get"), Allowed)
    assert isinstance(decided(both, "list"), Denial)
    assert isinstance(decided(both, "delete"), Denial)


def test_pinned_tools_are_all_that_there_are() -> None:
    """LiteLLM refuses what they do not name."""
    data = file(servers={"weather": {"url": URL, "pinned_tools": {"weather-get": {}, "list": {}, "*": {}}}})
    configuration = loaded(data)
    assert isinstance(decided(configuration, "get"), Allowed)
    assert isinstance(decided(configuration, "list"), Allowed)
    assert isinstance(decided(configuration, "put"), Denial)
    assert told(data, "mcp_servers.weather.pinned_tools") != []
    assert isinstance(decided(one(pinned_tools={}), "put"), Allowed)
    fewer = one(pinned_tools={"get": {}, "list": {}}, allowed_tools=["list"])
    assert isinstance(decided(fewer, "list"), Allowed)
    assert isinstance(decided(fewer, "get"), Denial)


@pytest.mark.parametrize(
    ("misspelt", "value"),
    [("disalowed_tools", ["delete"]), ("allowed_tool", ["get"]), ("available_on_public_intranet", False)],
)
def test_a_misspelt_key_that_would_keep_somebody_out_keeps_the_file_from_being_read(misspelt: str, value: Any) -> None:
    (problem,) = problems(file(servers={"weather": {"url": URL, misspelt: value}}))
    assert f"mcp_servers.weather.{misspelt}: is no key of a server" in problem
    assert "did you mean" in problem


# ---- names ----


def test_an_alias_is_the_name_whether_it_stands_at_the_server_or_in_the_settings() -> None:
    assert list(one(alias="w").servers) == ["w"]
    data = file(litellm_settings={"mcp_aliases": {"w": "weather", "second": "weather"}})
    assert list(loaded(data).servers) == ["w"]
    assert list(loaded(file(servers={"my server": {"url": URL}})).servers) == ["my_server"]


def test_two_servers_of_one_name_and_a_name_that_cannot_be_are_refused() -> None:
    data = file(servers={"a": {"url": URL}, "b": {"url": "https://b.internal", "alias": "a"}})
    assert problems(data)[0].endswith("mcp_servers.b: has the name `a` of another server: give it another `alias`")
    (problem,) = problems(file(servers={"a__b": {"url": URL}}))
    assert "mcp_servers.a__b: is no name for a server" in problem


# ---- what is left out ----


@pytest.mark.parametrize(
    ("entry", "about", "why"),
    [
        ({"timeout": 5}, "timeout", "has no meaning here"),
        ({"allow_sampling": True}, "allow_sampling", "has no meaning here"),
        ({"tranport": "sse"}, "tranport", "did you mean `transport`?"),
        ({"static_headers": {"X-A": "${USER_TOKEN}"}}, "static_headers.X-A", "holds `${...}`"),
    ],
)
def test_what_has_no_counterpart_is_left_out_and_told(entry: dict[str, Any], about: str, why: str) -> None:
    data = file(servers={"weather": {"url": URL, **entry}})
    (line,) = told(data, f"mcp_servers.weather.{about}")
    assert why in line
    assert headers(loaded(data)) == {}


def test_headers_of_the_callers_go_on_by_name() -> None:
    data = file(servers={"weather": {"url": URL, "extra_headers": ["X-Trace", "x-mcp-trace", "x-TRACE"]}})
    assert loaded(data).servers["weather"].forward_headers == ("X-Trace", "x-mcp-trace")
    assert "forward_headers: [X-Trace, x-mcp-trace]" in text.written(translated(data), "config.yaml")
    assert told(data, "mcp_servers.weather.extra_headers") == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Authorization", "for a credential that the server itself gave the caller write `passthrough`"),
        ("x-litellm-api-key", "carries a credential for this gateway"),
        ("cookie", "carries a credential for this gateway"),
        ("x-mcp-github-authorization", "is read by LiteLLM as a credential for a server"),
        ("X-Forwarded-User", "let the server read the call token"),
        ("Host", "which the gateway writes itself: remove it"),
        ("custom_key", "write `-`, and send that"),
        ("x-a", "is a header that the server gets from here"),
        ("x-call-token", "is a header that the server gets from here"),
        ("x-agent-token", "is where channel tokens come in"),
    ],
)
def test_a_header_that_no_server_gets_of_a_caller_is_left_out_with_what_to_do(name: str, why: str) -> None:
    entry = {"url": URL, "static_headers": {"X-A": "os.environ/TOKEN"}, "extra_headers": ["X-Trace", name]}
    channel = {"channel_token_header": "X-Agent-Token", "channel_token_jwks_uri": "https://idp.example.com/keys"}
    params = {**channel, "channel_token_issuer": "https://idp.example.com"}
    data = file(params, servers={"weather": entry})
    (line,) = told(data, "mcp_servers.weather.extra_headers[1]")
    assert why in line
    assert loaded(data).servers["weather"].forward_headers == ("X-Trace",)


def test_a_program_gets_no_header_and_one_too_many_is_told() -> None:
    data = file(servers={"files": {"transport": "stdio", "command": "sh", "extra_headers": ["X-Trace"]}})
    (line,) = told(data, "mcp_servers.files.extra_headers[0]")
    assert "a program has none" in line
    names = [f"X-H-{number}" for number in range(LIMITS.forward_header_count + 1)]
    data = file(servers={"weather": {"url": URL, "extra_headers": names}})
    (line,) = told(data, f"mcp_servers.weather.extra_headers[{len(names) - 1}]")
    assert "is one header too many" in line
    assert loaded(data).servers["weather"].forward_headers == tuple(names[:-1])


def test_nothing_of_a_callers_headers_gets_into_a_programs_environment() -> None:
    data = file(servers={"files": {"transport": "stdio", "command": "sh", "env": {"KEY": "${X-Key}"}}})
    assert dict(loaded(data).servers["files"].env) == {}
    (line,) = told(data, "mcp_servers.files.env.KEY")
    assert "nothing of a caller reaches a program" in line


@pytest.mark.parametrize(
    ("servers", "path", "what"),
    [
        ({"a": {}}, "mcp_servers.a", "has no `url`"),
        ({"a": {"url": 5}}, "mcp_servers.a.url", "has no `url`"),
        ({"a": {"url": "weather"}}, "mcp_servers.a.url", "must be an absolute address"),
        ({"a": {"url": URL, "transport": "websocket"}}, "mcp_servers.a.transport", "must be `http`, `sse` or `stdio`"),
        ({"a": {"url": URL, "auth_type": "api_key", "auth_value": 5}}, "mcp_servers.a.auth_value", "must be a text"),
        (
            {"a": {"url": URL, "auth_type": "api_key", "auth_value": "os.environ/NOT_SET"}},
            "mcp_servers.a.auth_value",
            "is not set",
        ),
        (
            {"a": {"url": URL, "auth_type": "api_key", "auth_value": "os.environ/NOT SET"}},
            "mcp_servers.a.auth_value",
            "must name an environment variable",
        ),
        (
            {"a": {"url": URL, "static_headers": {"Host": "x"}}},
            "mcp_servers.a.static_headers.Host",
            "routes or frames the request",
        ),
        ({"a": "text"}, "mcp_servers.a", "must be a mapping"),
        ("text", "mcp_servers", "must be a mapping"),
    ],
)
def test_what_is_wrong_is_told_with_litellms_key(servers: Any, path: str, what: str) -> None:
    found = [problem.partition(": ")[2] for problem in problems(file(servers=servers))]
    assert any(one.startswith(f"{path}: ") and what in one for one in found), found


# ---- secrets ----


def test_a_secret_in_the_file_is_used_and_stands_nowhere_in_what_it_becomes() -> None:
    data = file(
        servers={
            "weather": {
                "url": "https://actions.zapier.example.com/mcp/sk-ak-1234/sse",
                "auth_type": "bearer_token",
                "auth_value": "hunter2-hunter2",
                "static_headers": {"X-Other": "swordfish"},
            },
            "files": {
                "transport": "stdio",
                "command": "sh",
                "env": {"GITHUB_TOKEN": "ghp_abc", "DB": "postgres://u:pw@h/d"},
            },
        }
    )
    configuration = loaded(data)
    assert headers(configuration) == {"Authorization": "Bearer hunter2-hunter2", "X-Other": "swordfish"}
    assert configuration.servers["weather"].url == "https://actions.zapier.example.com/mcp/sk-ak-1234/sse"
    assert configuration.servers["weather"].place == "env:WEATHER_URL"
    shown = f"{translated(data)!r}{configuration!r}{configuration.servers['weather'].headers!r}"
    for secret in ("hunter2", "swordfish", "ghp_abc", ":pw@"):
        assert secret not in shown
    assert [note.path for note in translated(data).notes if note.kind == "secret"] == [
        "general_settings.master_key",
        "mcp_servers.weather.url",
        "mcp_servers.weather.auth_value",
        "mcp_servers.weather.static_headers.X-Other",
        "mcp_servers.files.env.GITHUB_TOKEN",
        "mcp_servers.files.env.DB",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://mcp.zapier.example/api/mcp/s/MjM0NTY3ODkwYWJjZGVmZw==/mcp",
        "https://x.example/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln/sse",
        "https://x.example/mcp;key=hunter",
        "https://x.example/AbCdEfGhIjKlMnOpQrStUv/mcp",
    ],
)
def test_an_address_that_is_a_secret_stands_nowhere_either(url: str) -> None:
    data = file(servers={"weather": {"url": url}})
    assert loaded(data).servers["weather"].url == url
    assert loaded(data).servers["weather"].place == "env:WEATHER_URL"
    assert url not in repr(translated(data))


@pytest.mark.parametrize("key", ["auth_value", "static_headers"])
def test_a_variable_inside_of_other_text_is_refused_as_nobody_fills_it_in(key: str) -> None:
    """LiteLLM sends the name of the variable, which everybody knows who has seen the file."""
    value = "Bearer os.environ/TOKEN"
    entry = {"auth_type": "authorization", key: value} if key == "auth_value" else {key: {"Authorization": value}}
    (problem,) = problems(file(servers={"weather": {"url": URL, **entry}}))
    assert "has `os.environ/` inside of other text" in problem
    entry = (
        {"auth_type": "authorization", key: "os.environ/TOKEN"}
        if key == "auth_value"
        else {key: {"Authorization": "os.environ/TOKEN"}}
    )
    assert headers(one(**entry)) == {"Authorization": "t0ken"}


def test_two_secrets_never_get_one_variable() -> None:
    data = file(
        servers={
            "a": {"url": URL, "static_headers": {"X-Key": "one", "X_Key": "two"}},
            "b": {"url": "https://b.internal", "static_headers": {"X-A": "os.environ/A_X_KEY"}},
        }
    )
    made = translated(data, A_X_KEY="three").document.data["servers"]
    assert made["a"]["headers"] == {"X-Key": "env:A_X_KEY_2", "X_Key": "env:A_X_KEY_3"}
    assert made["b"]["headers"] == {"X-A": "env:A_X_KEY"}


def test_an_address_in_a_variable_stays_in_it() -> None:
    made = translated(file(servers={"a": {"url": "os.environ/ADDRESS"}}), ADDRESS=URL).document.data["servers"]["a"]
    assert made["url"] == "env:ADDRESS"


# ---- one audience ----


def test_servers_may_have_one_audience_as_with_litellm_and_each_start_warns() -> None:
    data = file({"audience": "mcp"}, servers={"a": {"url": URL}, "b": {"url": "https://b.internal"}})
    configuration = loaded(data)
    assert {configuration.signer_of(name).audience for name in "ab"} == {"mcp"}
    assert any(line.startswith("servers a, b have one audience, `mcp`") for line in warnings(configuration, {}))
    assert not any("have one audience" in line for line in warnings(loaded(file()), {}))
