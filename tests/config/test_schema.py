"""What keys say about each other, and what is not built yet."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.config.everything import EVERYTHING, changed
from tests.config.writing import ISSUER, at, load, problems, refused, write


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "Bearer t-123")


def test_c_04_a_minimal_configuration_serves_nothing() -> None:
    minimal = load()
    assert not minimal.servers
    assert not minimal.policy
    assert not minimal.callers.anonymous
    assert not minimal.callers.issuers
    assert minimal.audit.required
    assert minimal.listen.host == "127.0.0.1"


# keys


def test_keys_are_made_for_two_algorithms_unless_told_otherwise() -> None:
    assert load().keys.algorithms == ("RS256", "ES256")
    assert load(keys={"algorithms": ["Ed25519"]}).keys.algorithms == ("Ed25519",)


def test_keys_that_the_operator_brings_say_themselves_what_they_are_for() -> None:
    assert load(keys={"source": "env:TOKEN"}).keys.algorithms is None
    assert load(keys={"source": "env:TOKEN", "algorithms": ["ES256"]}).keys.algorithms == ("ES256",)


@pytest.mark.parametrize("name", ["HS256", "none", "RS384", "PS256", "rs256", "ES256K"])
def test_an_algorithm_that_we_cannot_sign_with_is_refused(name: str) -> None:
    written, problem = refused(keys={"algorithms": ["RS256", name]})
    assert problem.startswith(at(written, "keys", "algorithms", 1))
    assert "must be one of RS256, ES256, Ed25519, EdDSA" in problem


def test_an_algorithm_that_is_listed_twice_is_refused_at_its_second_place() -> None:
    written, problem = refused(keys={"algorithms": ["RS256", "ES256", "RS256"]})
    assert (
        problem == at(written, "keys", "algorithms", 2) + "keys.algorithms[2]: is in this list already: remove it here"
    )
    load(keys={"algorithms": ["RS256", "ES256", "Ed25519"]})


def test_one_algorithm_under_two_names_is_refused() -> None:
    written, problem = refused(keys={"algorithms": ["Ed25519", "EdDSA"]})
    assert problem.startswith(at(written, "keys", "algorithms") + "keys.algorithms: has Ed25519 and EdDSA")
    load(keys={"algorithms": ["EdDSA"]})


def test_an_experimental_algorithm_is_never_the_default() -> None:
    keys = {"algorithms": ["ES256", "ML-DSA-44"]}
    assert load(keys=keys).keys.algorithms == ("ES256", "ML-DSA-44")
    for algorithms in (["ML-DSA-44"], ["ML-DSA-44", "ES256"]):
        written, problem = refused(keys={"algorithms": algorithms})
        assert problem.startswith(at(written, "keys", "algorithms", 0) + "keys.algorithms[0]: is experimental")
        assert "put RS256 or ES256 before it" in problem
    weather = {"url": "http://w", "signer": {"algorithm": "ML-DSA-44"}}
    assert load(keys=keys, servers={"w": weather}).signer_of("w").algorithm == "ML-DSA-44"
    written, problem = refused(keys=keys, signer={"algorithm": "ML-DSA-44"})
    assert problem.startswith(at(written, "signer", "algorithm") + "signer.algorithm: is experimental")
    assert "leave it out here" in problem


def test_an_experimental_algorithm_has_a_key_only_where_it_is_named() -> None:
    assert "ML-DSA-44" not in (load().keys.algorithms or ())
    _, problem = refused(servers={"w": {"url": "http://w", "signer": {"algorithm": "ML-DSA-44"}}})
    assert "add it to `keys.algorithms`" in problem


def test_no_algorithm_at_all_is_refused() -> None:
    assert "empty list" in refused(keys={"algorithms": []})[1]


@pytest.mark.parametrize("place", ["signer", "server"])
def test_a_signer_needs_a_key_of_its_algorithm(place: str) -> None:
    def keys(algorithm: str) -> dict[str, Any]:
        signer = {"signer": {"algorithm": algorithm}}
        server = {"url": "http://w"} | (signer if place == "server" else {})
        return {"keys": {"algorithms": ["RS256"]}, "servers": {"w": server}} | (signer if place == "signer" else {})

    load(**keys("RS256"))
    written, problem = refused(**keys("ES256"))
    steps = ("signer", "algorithm") if place == "signer" else ("servers", "w", "signer", "algorithm")
    assert problem.startswith(at(written, *steps))
    assert "add it to `keys.algorithms`, or use one of RS256" in problem


def test_a_signer_may_name_any_algorithm_where_only_the_keys_know_which_there_are() -> None:
    load(keys={"source": "env:TOKEN"}, signer={"algorithm": "EdDSA"})


# signer and servers


def test_a_server_lays_its_own_signer_over_the_defaults_key_by_key() -> None:
    configuration = load(
        signer={"ttl_seconds": 30, "allowed_tools": ["a"], "header": "X-Token"},
        servers={
            "plain": {"url": "http://plain"},
            "own": {
                "url": "http://own",
                "signer": {"ttl_seconds": "2m", "allowed_tools": ["*"], "bind_arguments": False},
            },
        },
    )
    assert configuration.signer_of("plain") == configuration.signer
    own = configuration.signer_of("own")
    assert (own.ttl_seconds, own.allowed_tools, own.header, own.bind_arguments) == (120, ("*",), "X-Token", False)
    assert configuration.signer_of("own") is own
    with pytest.raises(KeyError):
        configuration.signer_of("other")


def test_s_09_no_tool_and_any_tool_are_told_apart_and_null_is_neither() -> None:
    assert load().signer.allowed_tools is None
    assert load(signer={"allowed_tools": []}).signer.allowed_tools == ()
    for signer in (
        {"signer": {"allowed_tools": None}},
        {"servers": {"w": {"url": "http://w", "signer": {"allowed_tools": None}}}},
    ):
        _, problem = refused(**signer)
        assert "write `[]` for no tool, or leave the key out" in problem


def test_s_09_a_default_of_no_tool_is_not_widened_by_a_server_that_says_nothing() -> None:
    configuration = load(signer={"allowed_tools": []}, servers={"w": {"url": "http://w", "signer": {"ttl_seconds": 5}}})
    assert configuration.signer_of("w").allowed_tools == ()


def conflict(header: str, on_conflict: str | None) -> dict[str, Any]:
    signer = {"header": "Authorization"} | ({"on_conflict": on_conflict} if on_conflict else {})
    return {"signer": signer, "servers": {"w": {"url": "http://w", "headers": {header: "env:TOKEN"}}}}


@pytest.mark.parametrize("header", ["Authorization", "authorization", "AUTHORIZATION"])
@pytest.mark.parametrize(
    ("on_conflict", "says"),
    [
        (None, "on_conflict: replace"),
        ("error", "on_conflict: replace"),
        ("keep", "a call without a token never leaves"),
    ],
)
def test_two_credentials_for_one_header_are_refused(header: str, on_conflict: str | None, says: str) -> None:
    written, problem = refused(**conflict(header, on_conflict))
    assert problem.startswith(at(written, "servers", "w", "headers", header))
    assert says in problem
    load(**conflict("X-Other", on_conflict))
    load(**conflict(header, "replace"))


def test_one_header_in_two_cases_is_refused() -> None:
    headers = {"X-Key": "env:TOKEN", "x-key": "env:TOKEN"}
    written, problem = refused(servers={"w": {"url": "http://w", "headers": headers}})
    assert problem.startswith(at(written, "servers", "w", "headers", "x-key"))
    load(servers={"w": {"url": "http://w", "headers": {"X-Key": "env:TOKEN", "x-key2": "env:TOKEN"}}})


@pytest.mark.parametrize(
    ("first", "second", "default"),
    [
        ({"url": "http://a"}, {"url": "http://a"}, None),
        ({"url": "http://a", "signer": {"audience": "x"}}, {"url": "http://b", "signer": {"audience": "x"}}, None),
        ({"url": "http://a"}, {"url": "http://b", "signer": {"audience": "http://a"}}, None),
        ({"url": "http://a"}, {"url": "http://b"}, "x"),
    ],
)
def test_two_servers_with_one_audience_are_refused(first: Any, second: Any, default: str | None) -> None:
    written, problem = refused(signer={"audience": default}, servers={"one": first, "two": second})
    assert problem.startswith(at(written, "servers", "two") + "servers.two: has the same audience as `one`")
    second = {**second, "signer": {"audience": "its own"}}
    load(signer={"audience": default}, servers={"one": first, "two": second})


def test_two_addresses_of_one_url_may_have_audiences_of_their_own() -> None:
    load(servers={"one": {"url": "http://a"}, "two": {"url": "http://a", "signer": {"audience": "two"}}})


def test_c_01_two_servers_of_one_name_are_told_with_both_places() -> None:
    text = f"issuer: {ISSUER}\nservers:\n  w: {{url: http://a}}\n  w: {{url: http://b}}\n"
    assert problems(text) == ["4:3: servers.w: is there twice, first in line 3, column 3: keep one of them"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("Bearer c4n4ry", "write `env:NAME`"),
        ("c4n4ry", "write `env:NAME`"),
        ("env:GONE", "GONE is not set"),
        ("env:EMPTY", "EMPTY is empty"),
        ("env:BROKEN", "no header can carry"),
        ("file:gone", "is not there"),
    ],
)
def test_c_03_a_static_credential_is_a_reference_that_leads_somewhere(
    value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, secret in (("EMPTY", ""), ("BROKEN", "c4n4ry\r\nX-Other: 1")):
        monkeypatch.setenv(name, secret)
    monkeypatch.delenv("GONE", raising=False)
    written, problem = refused(servers={"w": {"url": "http://w", "headers": {"X-Key": value}}})
    assert problem.startswith(at(written, "servers", "w", "headers", "X-Key") + "servers.w.headers.X-Key: ")
    assert says in problem
    assert "c4n4ry" not in problem


def test_c_03_no_dump_of_a_configuration_holds_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "c4n4ry")
    configuration = load(
        keys={"source": "env:TOKEN"}, servers={"w": {"url": "http://w", "headers": {"X-Key": "env:TOKEN"}}}
    )
    as_json = configuration.model_dump_json(fallback=dict, warnings=False)
    dumps = (repr(configuration), str(configuration), str(configuration.model_dump(warnings=False)), as_json)
    assert all("c4n4ry" not in dump for dump in dumps)
    assert configuration.servers["w"].headers["X-Key"].resolve().reveal() == "c4n4ry"


# what is not built yet


LATER: list[tuple[str, Any]] = [
    ("redis", "redis://user:c4n4ry@redis"),
    ("keys.rotate_every", "30d"),
    ("audit.required", False),
]


@pytest.mark.parametrize(("path", "value"), LATER, ids=[f"{path}={json.dumps(value)}" for path, value in LATER])
def test_what_is_not_built_yet_is_refused_at_its_place_with_what_to_do(
    path: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANT_KEY", "x")
    monkeypatch.setenv("ROOT_KEY", "sk-0123456789abcdef")
    steps = tuple(path.split("."))
    written = write(changed(EVERYTHING, steps, value))
    (problem,) = problems(written.text)
    assert problem.startswith(at(written, *steps) + f"{path}: ")
    what, _, remedy = problem.partition(" not built yet: ")
    assert remedy.startswith(("remove it", "remove them", "use ", "write "))
    assert "c4n4ry" not in what + remedy
