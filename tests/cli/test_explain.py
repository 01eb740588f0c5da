"""`counterseal explain`: for people and for scripts. What it finds out is held in tests/gateway/test_explaining.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from counterseal.cli.apikey import apikey
from counterseal.cli.explain import explain

CONFIG = """\
issuer: http://127.0.0.1:8460
store: sqlite:counterseal.db
keys: {algorithms: [ES256]}
callers: {anonymous: true}
signer: {set_claims: {tenant: "{key.metadata.tenant|none}", plan: gold}}
servers: {weather: {url: "http://127.0.0.1:8000/mcp"}}
policy:
  - deny: {tools: ["delete_*"]}
  - permit: {callers: {team: data}, servers: [weather], tools: ["get_*"]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tmp_path.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counterseal.yaml").write_text(CONFIG)
    return tmp_path


def key(*more: str) -> str:
    """The id of a new key of team data."""
    made = CliRunner().invoke(apikey, ["create", "--subject", "alice", "--team", "data", *more, "--json"])
    id: str = json.loads(made.stdout)["id"]
    return id


def run(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(explain, arguments, input=input)


def test_a_permitted_call_is_explained_line_by_line(folder: Path) -> None:
    result = run("--as", f"key:{key()}", "weather", "tools/call", "get_a", "--args", '{"city": "Oslo"}')
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "permitted  by policy[1] (counterseal.yaml:9)"
    assert "<- field sub of the API key, signer.end_user_claim_sources (default)" in result.stdout
    assert "<- template {key.metadata.tenant|none}, signer.set_claims.tenant (counterseal.yaml:5)" in result.stdout
    assert "<- signer.set_claims.plan (counterseal.yaml:5)" in result.stdout
    assert "Bearer <call token>" in result.stdout
    assert "without policy[1] (counterseal.yaml:9): denied" in result.stdout
    assert "Nothing was sent to the server." in result.stdout
    assert "eyJ" not in result.output
    assert "\x1b" not in result.output


def test_a_denied_call_names_the_nearest_rule_and_what_it_asks(folder: Path) -> None:
    result = run("--as", "anonymous", "weather", "tools/call", "get_a")
    assert result.exit_code == 1
    assert "403 policy_denied" in result.stdout
    assert "policy[1] (counterseal.yaml:9): it permits callers with team 'data' (this one has none)" in result.stdout


def test_for_programs(folder: Path) -> None:
    document = json.loads(run("--as", f"key:{key()}", "weather", "tools/call", "get_a", "--json").stdout)
    assert (document["permitted"], document["rule"]) == (True, "policy[1] (counterseal.yaml:9)")
    claims = {one["claim"]: one for one in document["claims"]}
    assert claims["plan"]["value"] == "gold"
    assert claims["plan"]["origin"]["kind"] == "configuration"
    assert {"name": "Authorization", "value": "Bearer <call token>"} in document["headers"]
    denied = json.loads(run("--as", "anonymous", "weather", "tools/call", "get_a", "--json").stdout)
    assert (denied["permitted"], denied["refused"]["reason"], denied["claims"]) == (False, "policy_denied", [])


def test_headers_that_the_server_gets_by_name_are_shown_as_they_would_go_on(folder: Path) -> None:
    named = CONFIG.replace('8000/mcp"', '8000/mcp", forward_headers: [X-Tenant-Id, X-Case]')
    (folder / "counterseal.yaml").write_text(named)
    asked = ("--as", f"key:{key()}", "--header", "x-tenant-id=acme", "weather", "tools/call", "get_a")
    result = run(*asked)
    assert result.exit_code == 0, result.output
    assert ["X-Tenant-Id", "acme"] in [line.split() for line in result.stdout.splitlines()]
    assert "the header X-Case: it would go on to the server" in result.stdout
    document = json.loads(run(*asked, "--json").stdout)
    assert {"name": "X-Tenant-Id", "value": "acme"} in document["headers"]
    assert document["headers_not_sent"] == ["X-Case"]
    twice = run(*asked[:4], "--header", "X-Tenant-Id=other", *asked[4:])
    assert twice.exit_code == 1
    assert "400 bad_header" in twice.stdout


def test_a_revoked_key_is_said_to_be_and_explained_all_the_same(folder: Path) -> None:
    id = key()
    assert CliRunner().invoke(apikey, ["revoke", id]).exit_code == 0
    result = run("--as", f"key:{id}", "weather", "tools/call", "get_a")
    assert result.exit_code == 1
    first, second, *_ = result.stdout.splitlines()
    assert first == f"refused    401 credential_invalid: API key {id} was revoked"
    assert second == "otherwise  permitted by policy[1] (counterseal.yaml:9)"


def test_what_somebody_else_wrote_commands_no_terminal(folder: Path) -> None:
    for metadata, code in (("tenant=t\u202e1", (0, 1)), ("tenant=\x1b[31mred\x7f", (0, 1)), ("tenant=t1", (0,))):
        result = run("--as", f"key:{key('--metadata', metadata)}", "weather", "tools/call", "get_\x1b]0;x\x7f")
        assert result.exit_code in code
        assert result.output.isascii()
        assert not {"\x1b", "\x7f"} & set(result.output)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("wether", "tools/list"), "did you mean `weather`?"),
        (("weather", "tools/lst"), "did you mean `tools/list`?"),
        (("weather", "tools/call"), "write it behind the method"),
        (("weather", "tools/list", "get_a"), "leave 'get_a' out"),
        (("weather", "tools/list", "--args", "{}"), "leave --args out"),
        (("weather", "tools/call", "get_a", "--args", "{city: Oslo}"), "--args is not JSON"),
        (("weather", "tools/call", "get_a", "--args", "[]"), "not a JSON object"),
        (("weather", "tools/list", "--peer", "proxy"), "--peer is an IP address"),
        (("weather", "tools/list", "--header", "Authorization=x"), "no identity header"),
        (("weather", "tools/list", "--header", "X-User"), "NAME=VALUE"),
    ],
)
def test_wrong_usage_is_2_and_says_what_would_be_right(folder: Path, arguments: tuple[str, ...], remedy: str) -> None:
    result = run("--as", "anonymous", *arguments)
    assert result.exit_code == 2
    assert remedy in result.stderr
    assert run("--as", "anonymous", "weather", "tools/list").exit_code in (0, 1)


@pytest.mark.parametrize(
    ("caller", "remedy"),
    [
        ("alice", "`key:ID`, `token:FILE`"),
        ("key:", "`key:ID`, `token:FILE`"),
        ("csk_c4n4ry_x", "rotate a key that was one"),
        ("key:csk_c4n4ry_x", "rotate a key that was one"),
        ("token:missing.txt", "it names a file, never a token"),
        ("token:-", "holds no token"),
    ],
)
def test_a_credential_is_no_argument(folder: Path, caller: str, remedy: str) -> None:
    result = run("--as", caller, "weather", "tools/list", input="")
    assert result.exit_code == 2
    assert remedy in result.stderr
    assert "c4n4ry" not in result.output


def test_a_token_comes_from_standard_input_and_what_is_wrong_with_it_is_told(folder: Path) -> None:
    result = run("--as", "token:-", "weather", "tools/list", input="not-one-of-ours\n")
    assert result.exit_code == 1
    assert "401 credential_invalid" in result.stdout
    assert "because    no authenticator knows this kind of credential" in result.stdout
    assert "not-one-of-ours" not in result.output
    offline = run("--as", "token:-", "--offline", "weather", "tools/list", input="x")
    assert offline.exit_code == 2
    assert "has to be fetched" in offline.stderr
    assert run("--as", "anonymous", "--offline", "weather", "tools/list").exit_code == 1


def test_help_has_an_example() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "counterseal explain --as key:" in result.output


def test_a_key_that_the_operator_brings_is_named_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOT_KEY", "sk-0123456789abcdef")
    own = "callers: {anonymous: true, own_keys: [{name: root, key: env:ROOT_KEY, subject: alice}]}"
    text = CONFIG.replace("callers: {anonymous: true}", own).replace("team: data", "key: root")
    (folder / "counterseal.yaml").write_text(text)
    result = run("--as", "key:root", "weather", "tools/call", "get_a")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[:2] == [
        "permitted  by policy[1] (counterseal.yaml:9)",
        "caller     API key root, subject alice",
    ]
    assert "sk-0123456789abcdef" not in result.output
    assert run("--as", "key:other", "weather", "tools/call", "get_a").exit_code == 1
