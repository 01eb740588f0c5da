"""The rest of LiteLLM's file: which files are LiteLLM's, the master key, and what has no meaning here."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.config.compile import compile_policy
from counterseal.config.litellm import is_litellm
from counterseal.config.reader import read
from counterseal.core.caller import Caller
from counterseal.core.permit import Allowed, Denial
from tests.config.litellm.reading import MASTER_KEY, SERVER, file, loaded, problems, told, translated


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LITELLM_MASTER_KEY", raising=False)


@pytest.mark.parametrize("key", ["mcp_servers", "guardrails", "litellm_settings", "general_settings", "model_list"])
def test_a_file_with_a_section_of_litellms_is_litellms_unless_it_has_an_issuer(key: str) -> None:
    assert is_litellm(read(f"{key}: {{}}\n"))
    assert not is_litellm(read(f"issuer: https://a.example.com\n{key}: {{}}\n"))
    assert not is_litellm(read("servers: {}\n"))
    assert not is_litellm(read("- a\n"))


def test_it_listens_where_litellm_does_and_on_this_machine_alone() -> None:
    assert (loaded(file()).listen.host, loaded(file()).listen.port) == ("127.0.0.1", 4000)


# ---- the master key ----


def test_the_master_key_is_a_key_of_the_gateway_for_litellms_user() -> None:
    (key,) = loaded(file()).callers.own_keys
    assert (key.name, key.subject, key.key.resolve().reveal()) == ("litellm-master-key", "default_user_id", MASTER_KEY)
    assert MASTER_KEY not in repr(key)


def test_the_master_key_may_be_in_a_variable_named_or_litellms_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-fedcba9876543210")
    named = loaded(file(general_settings={"master_key": "os.environ/MY_KEY"})).callers.own_keys
    assert named[0].key.resolve().reveal() == "sk-fedcba9876543210"
    monkeypatch.setenv("LITELLM_MASTER_KEY", "sk-aaaaaaaaaaaaaaaa")
    own = loaded(file(general_settings={})).callers.own_keys
    assert own[0].key.resolve().reveal() == "sk-aaaaaaaaaaaaaaaa"
    # What the file says wins.
    assert loaded(file()).callers.own_keys[0].key.resolve().reveal() == MASTER_KEY


@pytest.mark.parametrize("settings", [{}, None, {"master_key": None}, {"master_key": ""}])
def test_without_a_master_key_nobody_gets_in_by_that_and_each_start_says_so(settings: Any) -> None:
    """LiteLLM lets everybody in."""
    data = file(general_settings=settings)
    assert loaded(data).callers.own_keys == ()
    assert not loaded(data).callers.anonymous
    lines = told(data, "general_settings" if settings else "the file")
    assert any("LiteLLM would let everybody in" in line for line in lines)


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("sk-1234", "of less than 16 characters, which can be guessed or stands in some example"),
        ("sk-with space in it", "no header carries"),
        ("csk_0123456789abcdef", "begins with `csk_`"),
        (12345, "must be a text"),
    ],
)
def test_a_master_key_that_cannot_be_one_is_refused_without_quoting_it(key: Any, what: str) -> None:
    (problem,) = problems(file(general_settings={"master_key": key}))
    assert "general_settings.master_key: " in problem or "callers.own_keys" not in problem
    assert what in problem
    assert str(key) not in problem


# ---- what is left out ----


def test_every_part_without_a_meaning_is_told_once_with_its_line() -> None:
    data = file(
        model_list=[{"model_name": "gpt", "litellm_params": {"model": "x", "api_key": "sk-secret"}}],
        litellm_settings={"drop_params": True, "mcp_aliases": {}},
        router_settings={"a": 1},
        general_settings={"master_key": MASTER_KEY, "database_url": "postgres://secret"},
    )
    notes = [(note.path, note.place[0]) for note in translated(data).notes if note.kind == "left out"]
    assert [path for path, _ in notes] == [
        "model_list",
        "router_settings",
        "general_settings.database_url",
        "litellm_settings.drop_params",
    ]
    assert all(line > 1 for _, line in notes)
    assert "postgres" not in str(translated(data).notes)
    assert "sk-secret" not in str(translated(data).notes)


@pytest.mark.parametrize(
    ("key", "where", "hint"),
    [
        ("environment_variables", None, "set these variables for the gateway itself"),
        ("mcp_tools", None, "put them into a server"),
        ("enable_jwt_auth", "general_settings", "`callers.issuers`"),
        ("database_url", "general_settings", "LiteLLM's database"),
        ("litellm_key_header_name", "general_settings", "x-litellm-api-key"),
    ],
)
def test_where_there_is_something_to_do_instead_it_is_said(key: str, where: str | None, hint: str) -> None:
    settings = {"master_key": MASTER_KEY, **({key: "x"} if where else {})}
    data = file(general_settings=settings, **({} if where else {key: {"A": "b"}}))
    (line,) = told(data, f"{where}.{key}" if where else key)
    assert hint in line


def test_another_file_is_not_followed_and_could_hold_what_keeps_callers_out() -> None:
    (problem,) = problems(file(include=["other.yaml"]))
    assert ": include: is not followed" in problem


def test_other_guardrails_are_told() -> None:
    data = file()
    data["guardrails"].insert(
        0, {"guardrail_name": "pii", "litellm_params": {"guardrail": "presidio", "mode": "pre_call"}}
    )
    (line,) = told(data, "guardrails[0]")
    assert "does not run here" in line
    assert loaded(data).signer_of("weather").profile == "litellm"


@pytest.mark.parametrize("key", ["allowed_ips", "mcp_allowed_clients", "custom_auth", "admin_only_routes"])
def test_what_keeps_callers_out_and_cannot_be_read_is_an_error_and_no_warning(key: str) -> None:
    data = file(general_settings={"master_key": MASTER_KEY, key: ["10.0.0.1"]})
    (problem,) = problems(data)
    assert f"general_settings.{key}: keeps callers out" in problem


# ---- addresses ----


def test_access_groups_are_names_for_their_servers_and_it_is_told_that_they_permit_nothing() -> None:
    weather, notes = {**SERVER["weather"], "access_groups": ["dev", "ops"]}, {"url": "https://notes.internal"}
    data = file(servers={"weather": weather, "notes": {**notes, "mcp_access_groups": ["dev"]}})
    addresses = loaded(data).litellm
    assert addresses is not None
    assert dict(addresses.groups) == {"dev": ("weather", "notes"), "ops": ("weather",)}
    assert any("access groups, which permit nothing here" in line for line in told(data, "mcp_servers"))


def test_a_server_with_an_alias_keeps_its_name_as_a_further_one() -> None:
    addresses = loaded(file(servers={"my weather": {**SERVER["weather"], "alias": "w"}})).litellm
    assert addresses is not None
    assert dict(addresses.names) == {"my_weather": "w"}
    assert addresses.separator == "-"


def test_the_separator_comes_from_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_TOOL_PREFIX_SEPARATOR", ".")
    addresses = loaded(file()).litellm
    assert addresses is not None
    assert addresses.separator == "."


def test_short_prefixes_of_tools_are_told() -> None:
    (note,) = [
        one for one in translated(file(), LITELLM_USE_SHORT_MCP_TOOL_PREFIX="true").notes if one.kind == "left out"
    ]
    assert "LITELLM_USE_SHORT_MCP_TOOL_PREFIX" in note.what


# ---- the YAML ----


def test_yaml_that_we_refuse_matters_only_where_it_is_read() -> None:
    text = "model_list: [&x {rpm: 6e3, day: 2026-01-01}, *x]\nmcp_servers:\n  a: {url: https://a.internal/mcp}\n"
    assert list(loaded(text).servers) == ["a"]
    (problem,) = problems("mcp_servers:\n  a: &x {url: https://a.internal/mcp}\n")
    assert problem.startswith("2:6: mcp_servers.a: has an anchor")
    (problem,) = problems("mcp_servers:\n  a: {url: https://a}\n  a: {url: https://b}\n")
    assert "is there twice" in problem
    (problem,) = problems("mcp_servers:\n\ta: 1\n")
    assert "a tab" in problem


def test_capabilities_that_are_disabled_are_denied_at_every_server() -> None:
    data = file(general_settings={"master_key": MASTER_KEY, "mcp_disabled_capabilities": ["prompts", "resources"]})
    policy = compile_policy(loaded(data))
    caller = Caller(kind="api_key", client_id="litellm-master-key", subject="default_user_id")
    for method, decision in (("prompts/get", Denial), ("resources/read", Denial), ("tools/call", Allowed)):
        assert isinstance(policy.decide_operation(caller, "weather", method, "x"), decision), method
    open_to_all = compile_policy(loaded(file()))
    assert isinstance(open_to_all.decide_operation(caller, "weather", "prompts/get", "x"), Allowed)


def test_a_merge_key_at_the_top_is_refused_as_it_could_hold_what_keeps_callers_out() -> None:
    text = """\
x: &x
  general_settings: {master_key: sk-0123456789abcdef, allowed_ips: [10.0.0.1]}
<<: *x
mcp_servers:
  weather: {url: "https://weather.internal/mcp"}
"""
    assert any("is a merge key" in problem for problem in problems(text))
    assert loaded(text.replace("<<: *x\n", "")).servers


@pytest.mark.parametrize("mode", ["pre_mcp_call", ["pre_call", "during_mcp_call"], {"default": "pre_mcp_call"}])
def test_another_guardrail_that_decides_about_tool_calls_keeps_the_file_from_being_read(mode: Any) -> None:
    """What it refuses would be let through. One that is about models is left out."""
    data = file()
    other = {"guardrail_name": "g", "litellm_params": {"guardrail": "tool_permission", "mode": "pre_call"}}
    data["guardrails"].append(other)
    assert len(told(data, "guardrails[1]")) == 1
    other["litellm_params"] = {"guardrail": "tool_permission", "mode": mode}
    (problem,) = problems(data)
    assert "guardrails[1]: decides about tool calls, and nothing here does the same" in problem
