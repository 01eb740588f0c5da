"""`counterseal token`: for people and for scripts."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from counterseal.cli.claim_words import OTHER, WORDS, word
from counterseal.cli.keys import keys as keys_command
from counterseal.cli.token import token as command
from counterseal.core.names import RESERVED
from tests.support.jwks_server import JwksServer
from tests.support.tokens import AUDIENCE, ISSUER, call_claims, encode, jwks, needs_ml_dsa, token

CITY = {"city": "Oslo"}


def run(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(command, arguments, input=input)


def fresh(algorithm: str = "ES256", **changes: Any) -> str:
    now = int(time.time())
    return token(call_claims(arguments=CITY, iat=now, nbf=now, exp=now + 60, **changes), algorithm)


@pytest.fixture
def keys(tmp_path: Path) -> str:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(jwks("ES256")))
    return str(file)


def verify(presented: str, keys: str, *more: str, input: str | None = None) -> Result:
    settings = ("--jwks", keys, "--issuer", ISSUER, "--audience", AUDIENCE)
    return run("verify", presented, *settings, *more, input=input)


CALL = ("--method", "tools/call", "--name", "get_weather", "--args", json.dumps(CITY))


# ---- inspect ----


def test_inspect_shows_every_claim_with_a_word_and_says_that_nothing_was_verified() -> None:
    result = run("inspect", fresh(custom="x"))
    assert result.exit_code == 0
    assert result.output.count("NOT VERIFIED") == 2
    for claim in call_claims():
        assert WORDS[claim] in result.output
    assert OTHER in result.output
    assert "UTC" in result.output
    assert "from now" in result.output


def test_inspect_believes_nothing_and_so_shows_anything_well_formed() -> None:
    header, payload, _ = fresh().split(".")
    assert run("inspect", f"{header}.{payload}.AAAA").exit_code == 0
    unsigned = encode(b'{"alg":"none","jku":"https://evil.example"}')
    result = run("inspect", f"{unsigned}.{payload}.")
    assert result.exit_code == 0
    assert "https://evil.example" in result.output


def test_inspect_for_programs() -> None:
    result = run("inspect", "--json", fresh())
    document = json.loads(result.output)
    assert document["verified"] is False
    assert "NOT VERIFIED" in document["note"]
    assert document["header"]["alg"] == "ES256"
    assert document["claims"]["sub"] == "alice"
    assert document["times"]["exp"].endswith("from now)")


@needs_ml_dsa
def test_an_experimental_signature_is_marked(tmp_path: Path) -> None:
    presented = fresh("ML-DSA-44")
    assert "how it was signed: experimental, almost no verifier knows it" in run("inspect", presented).output
    assert json.loads(run("inspect", "--json", presented).output)["experimental"] is True
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(jwks("ES256", "ML-DSA-44")))
    result = verify(presented, str(file), *CALL)
    assert result.exit_code == 0
    assert "Its signature is experimental: ML-DSA-44." in result.output
    assert json.loads(verify(presented, str(file), *CALL, "--json").output)["experimental"] is True
    for usual in (run("inspect", fresh()), verify(fresh(), str(file), *CALL)):
        assert usual.exit_code == 0
        assert "experimental" not in usual.output
    assert json.loads(run("inspect", "--json", fresh()).output)["experimental"] is False
    assert json.loads(verify(fresh(), str(file), *CALL, "--json").output)["experimental"] is False


def test_a_token_may_come_from_standard_input() -> None:
    assert "alice" in run("inspect", "-", input=fresh() + "\n").output


def test_hostile_text_is_shown_as_text() -> None:
    """A terminal takes no commands from a token."""
    claims: Mapping[str, Any] = {
        "sub": "a\u001b[2J\u202eb",
        "\u001b[31m": 1,
        "exp": 10**400,
        "iat": -(10**20),
        "nbf": True,
    }
    result = run("inspect", token(claims))
    assert result.exit_code == 0
    assert "\u001b" not in result.output
    assert "\u202e" not in result.output
    assert "no such time" in result.output


@pytest.mark.parametrize("presented", ["", "abc", "a.b.c", "a.b", "x" * 9000, token(b'{"a":1,"a":2}'), token(b"[]")])
def test_what_is_no_token_is_said_to_be_none(presented: str) -> None:
    result = run("inspect", "-", input=presented)
    assert result.exit_code == 1
    assert "This is not a token" in result.output


# ---- verify ----


def test_verify_holds_a_token_against_a_call(keys: str) -> None:
    presented = fresh()
    for _ in range(2):  # a look uses nothing up
        result = verify(presented, keys, *CALL)
        assert result.exit_code == 0, result.output
    assert "operation, arguments" in result.output
    assert "not checked" not in result.output


def test_verify_takes_litellms_shape_where_that_is_said(keys: str) -> None:
    changes = {"scope": "mcp:tools/call mcp:tools/get_weather:call"}
    claims = call_claims(
        arguments=CITY, iat=int(time.time()), nbf=int(time.time()), exp=int(time.time()) + 60, **changes
    )
    presented = token(claims, header={"typ": "JWT"})
    assert verify(presented, keys, *CALL, "--profile", "litellm").exit_code == 0
    assert verify(presented, keys, *CALL).exit_code == 1
    assert verify(presented, keys, *CALL, "--profile", "seed").exit_code == 2


def test_verify_without_a_method_says_what_it_did_not_check(keys: str) -> None:
    result = verify("-", keys, input=fresh())
    assert result.exit_code == 0
    assert "The operation was not checked" in result.output


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "https://files.example.com/mcp"}, "audience"),
        ({"iss": "https://other.example"}, "issuer"),
        ({"exp": 1000, "iat": 990, "nbf": 990}, "expired"),
        ({"scope": "mcp:tools/list"}, "scope"),
        ({"act": None}, "actor"),
    ],
)
def test_verify_exits_with_1_and_the_reason(keys: str, changes: dict[str, Any], reason: str) -> None:
    now = int(time.time())
    presented = token(call_claims(arguments=CITY, **{"iat": now, "nbf": now, "exp": now + 60, **changes}))
    result = verify(presented, keys, *CALL)
    assert result.exit_code == 1
    assert f"Not verified: {reason}:" in result.output
    document = json.loads(verify(presented, keys, *CALL, "--json").output)
    assert (document["verified"], document["reason"]) == (False, reason)
    assert document["message"]


def test_other_arguments_are_another_call(keys: str) -> None:
    result = verify(fresh(), keys, "--method", "tools/call", "--name", "get_weather", "--args", '{"city":"Bergen"}')
    assert result.exit_code == 1
    assert "arguments" in result.output


def test_verify_for_programs(keys: str) -> None:
    document = json.loads(verify(fresh(), keys, *CALL, "--json").output)
    assert document["verified"] is True
    assert document["claims"]["sub"] == "alice"


def test_verify_fetches_keys_from_an_address() -> None:
    with JwksServer(jwks("ES256")) as server:
        assert verify(fresh(), server.url, *CALL).exit_code == 0
        server.fail(500)
        result = verify(fresh(), server.url, *CALL)
        assert result.exit_code == 1
        assert "unavailable" in result.output


@pytest.mark.parametrize(
    "more",
    [
        ("--name", "x"),
        ("--args", "{}"),
        ("--method", "tools/call", "--name", "x", "--args", "[]"),
        ("--method", "tools/call", "--name", "x", "--args", "{"),
        ("--method", "tools/call", "--name", "x", "--args", '{"a":1,"a":2}'),
        ("--unknown",),
    ],
)
def test_wrong_usage_exits_with_2(keys: str, more: tuple[str, ...]) -> None:
    result = verify(fresh(), keys, *more)
    assert result.exit_code == 2


@pytest.mark.parametrize("place", ["missing.json", "http://gateway.example.com/jwks", "ftp://x/y"])
def test_a_place_that_has_no_keys_exits_with_2(place: str) -> None:
    result = verify(fresh(), place, *CALL)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


# ---- the rest ----


def mint(folder: Path, *arguments: str) -> Result:
    (folder / "counterseal.yaml").write_text(
        f"{{issuer: {ISSUER!r}, store: 'sqlite:{folder}/c.db', keys: {{algorithms: [ES256]}}, callers: {{anonymous: true}}, "
        f"servers: {{weather: {{url: {AUDIENCE!r}}}}}, policy: [{{permit: {{tools: ['get_*']}}}}]}}"
    )
    return run("mint", "--as", "anonymous", *arguments, "--config", str(folder / "counterseal.yaml"))


def test_a_token_minted_by_hand_is_alone_on_standard_output_and_verifies(tmp_path: Path) -> None:
    result = mint(tmp_path, "weather", "tools/call", "get_weather", "--args", json.dumps(CITY))
    assert result.exit_code == 0
    assert "Whoever has this token" in result.stderr
    (presented,) = result.stdout.splitlines()
    assert presented not in result.stderr
    config = str(tmp_path / "counterseal.yaml")
    published = CliRunner().invoke(keys_command, ["jwks", "--config", config])
    (tmp_path / "jwks.json").write_text(published.stdout)
    assert verify(presented, str(tmp_path / "jwks.json"), *CALL).exit_code == 0
    document = json.loads(mint(tmp_path, "weather", "tools/list", "--ttl", "9", "--json").stdout)
    assert (document["minted"], document["claims"]["exp"] - document["claims"]["iat"]) == (True, 9)
    assert document["record"].startswith("rec_")


def test_what_is_refused_is_not_minted(tmp_path: Path) -> None:
    result = mint(tmp_path, "weather", "tools/call", "delete_all")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "403 policy_denied" in result.stderr
    document = json.loads(mint(tmp_path, "weather", "tools/call", "delete_all", "--json").stdout)
    assert (document["minted"], document["reason"], "token" in document) == (False, "policy_denied", False)
    assert mint(tmp_path, "weather", "tools/list", "--ttl", "901").exit_code == 2


@pytest.mark.parametrize("arguments", [(), ("inspect",), ("verify",), ("mint",)])
def test_every_command_has_help_with_an_example(arguments: tuple[str, ...]) -> None:
    result = run(*arguments, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert "counterseal token " in result.output


def test_every_claim_that_the_gateway_sets_has_a_word() -> None:
    for claim in RESERVED:
        assert word(claim) != OTHER
