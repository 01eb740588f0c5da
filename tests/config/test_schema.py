"""What keys say about each other, and what is not built yet."""

from __future__ import annotations

import json
from typing import Any

import pytest

from counterseal.config.schema import Configuration
from counterseal.core.policy import CALLER_FIELDS
from tests.config.everything import EVERYTHING, changed
from tests.config.writing import Written, accepted, problems, write

ISSUER = "https://gateway.example.com"
IDP = {"name": "corp", "issuer": "https://idp.example.com", "jwks_uri": "https://idp.example.com/jwks"}


def config(**keys: Any) -> dict[str, Any]:
    return {"issuer": ISSUER, **keys}


def load(**keys: Any) -> Configuration:
    return accepted(write(config(**keys)).text)


def refused(**keys: Any) -> tuple[Written, str]:
    written = write(config(**keys))
    (problem,) = problems(written.text)
    return written, problem


def at(written: Written, *steps: str | int) -> str:
    """The beginning of a message about this value."""
    line, column = written.place(steps)
    return f"{line}:{column}: "


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


# callers


def test_c_02_a_gateway_that_nobody_could_call_is_refused() -> None:
    written, problem = refused(callers={"api_keys": False})
    assert problem.startswith(at(written, "callers") + "callers: lets nobody call: set `api_keys: true`")
    for who in ({"api_keys": True}, {"anonymous": True}, {"issuers": [IDP]}):
        load(callers={"api_keys": False} | who)


def test_any_number_of_issuers_is_accepted_and_each_has_defaults() -> None:
    others = [{**IDP, "name": f"corp{n}", "issuer": f"https://idp{n}.example.com"} for n in range(5)]
    issuers = load(callers={"issuers": others}).callers.issuers
    assert len(issuers) == 5
    assert issuers[0].audience is None
    assert issuers[0].algorithms == ("RS256", "ES256")
    assert not issuers[0].allow_insecure_loopback


@pytest.mark.parametrize("key", ["name", "issuer"])
def test_two_issuers_of_one_name_or_address_are_refused(key: str) -> None:
    other = {"name": "other", "issuer": "https://other.example.com", "jwks_uri": IDP["jwks_uri"]}
    load(callers={"issuers": [IDP, other]})
    written, problem = refused(callers={"issuers": [IDP, {**other, key: IDP[key]}]})
    assert problem.startswith(at(written, "callers", "issuers", 1, key) + f"callers.issuers[1].{key}: is ")


def test_our_own_tokens_never_come_back_in() -> None:
    """threats.md invariant 11."""
    written, problem = refused(callers={"issuers": [{**IDP, "issuer": ISSUER}]})
    assert problem.startswith(at(written, "callers", "issuers", 0, "issuer"))
    assert "this gateway itself" in problem
    load(callers={"issuers": [{**IDP, "issuer": f"{ISSUER}/"}]})


@pytest.mark.parametrize("name", ["HS256", "none", "ES256K"])
def test_an_idp_cannot_use_an_algorithm_that_is_not_in_the_table(name: str) -> None:
    load(callers={"issuers": [{**IDP, "algorithms": ["RS512", "PS256", "ES384", "EdDSA"]}]})
    written, problem = refused(callers={"issuers": [{**IDP, "algorithms": ["RS256", name]}]})
    assert problem.startswith(at(written, "callers", "issuers", 0, "algorithms", 1))


@pytest.mark.parametrize("key", ["audience", "algorithms"])
def test_an_empty_list_that_could_mean_all_or_none_is_refused(key: str) -> None:
    assert "empty list" in refused(callers={"issuers": [{**IDP, key: []}]})[1]


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


# policy


def rule(**selection: Any) -> list[Any]:
    return [{"permit": {}}, {"deny": selection}]


@pytest.mark.parametrize("field", sorted(CALLER_FIELDS))
def test_a_rule_may_ask_about_every_field_of_a_caller_with_one_text_or_several(field: str) -> None:
    value = "token" if field == "kind" else "x*"
    for given in (value, [value], [value, "*"]):
        configuration = load(policy=rule(callers={field: given}))
        callers = configuration.policy[1].selection.callers
        assert callers is not None
        assert callers[field] == (tuple(given) if isinstance(given, list) else (given,))


@pytest.mark.parametrize(
    ("selection", "steps", "says"),
    [
        ({"callers": {"teem": "x"}}, ("callers", "teem"), "did you mean `team`?"),
        ({"callers": {}}, ("callers",), "leave the key out for everybody"),
        *(({key: None}, (key,), "leave the key out") for key in ("callers", "servers", "tools", "methods")),
        ({"callers": {"team": []}}, ("callers", "team"), "empty list"),
        ({"callers": {"team": 5}}, ("callers", "team"), "a text or a list of texts"),
        ({"callers": {"team": ["a", 5]}}, ("callers", "team", 1), "must be a text"),
        ({"callers": {"team": ""}}, ("callers", "team"), "empty text"),
        ({"callers": {"kind": "apikey"}}, ("callers", "kind"), "api_key, token, anonymous"),
        ({"servers": []}, ("servers",), "empty list"),
        ({"servers": "weather"}, ("servers",), "must be a list"),
        ({"servers": ["wether"]}, ("servers", 0), "did you mean `weather`?"),
        ({"servers": ["weather", "crm"]}, ("servers", 1), "is not the name of a server; there is weather"),
        ({"tools": []}, ("tools",), "empty list"),
        ({"tools": [""]}, ("tools", 0), "empty text"),
        ({"methods": ["tool/call"]}, ("methods", 0), "did you mean `tools/call`?"),
        ({"methods": ["tools/Call"]}, ("methods", 0), "is not a method of MCP"),
        ({"unless": "true"}, ("unless",), "conditions are not built yet"),
        ({"when": "true"}, ("when",), "conditions are not built yet"),
    ],
)
def test_a_rule_that_could_not_mean_what_it_says_is_refused(selection: Any, steps: Any, says: str) -> None:
    servers = {"weather": {"url": "http://w"}}
    written, problem = refused(servers=servers, policy=rule(**selection))
    # An unknown field is told at the field, everything else at its value.
    steps = ("policy", 1, "deny", *steps)
    place = f"{written.keys[steps][0]}:{written.keys[steps][1]}: " if "teem" in steps else at(written, *steps)
    assert problem.startswith(f"{place}policy[1].deny.{steps[3]}")
    assert says in problem


def test_a_rule_of_names_that_exist_is_accepted() -> None:
    load(
        servers={"weather": {"url": "http://w"}},
        policy=rule(
            callers={"team": "x", "kind": ["api_*", "token"]},
            servers=["weather", "crm_*", "*"],
            tools=["get_*", "*"],
            methods=["tools/call", "tasks/*"],
        ),
    )


@pytest.mark.parametrize("both", [{}, {"permit": {}, "deny": {}}, {"permit": None}, {"permit": None, "deny": None}])
def test_a_rule_permits_or_denies(both: Any) -> None:
    written, problem = refused(policy=[{"deny": {}}, both])
    line, column = written.values[("policy", 1)]
    assert problem.startswith(f"{line}:{column}: policy[1]: must have exactly one of `permit` and `deny`")
    load(policy=[{"deny": {}}, {"permit": {}}])


# what is not built yet


LATER: list[tuple[str, Any]] = [
    ("redis", "redis://user:c4n4ry@redis"),
    ("keys.rotate_every", "30d"),
    ("hooks", ["module:Class"]),
    ("audit.required", False),
    ("signer.trust_identity_headers_from", ["10.0.0.0/8"]),
    ("signer.allowed_scopes", ["a"]),
    ("signer.channel_token_header", "X-Other"),
    ("signer.channel_token_discovery_uri", "https://idp.example.com"),
    ("signer.channel_token_jwks_uri", "https://idp.example.com"),
    ("signer.channel_token_audience_in", "x"),
    ("signer.channel_token_required", True),
    ("signer.channel_token_audience", "x"),
    ("signer.channel_token_ttl", "5m"),
    ("signer.debug_header", True),
    ("signer.profile", "litellm"),
    ("signer.subject", "pairwise"),
    ("servers.weather.signer.debug_header", True),
    ("servers.weather.command", ["npx", "-y"]),
    ("servers.weather.spec", "./crm-openapi.yaml"),
    ("servers.weather.transport", "sse"),
    ("servers.weather.transport", "stdio"),
    ("servers.weather.transport", "openapi"),
]


@pytest.mark.parametrize(("path", "value"), LATER, ids=[f"{path}={json.dumps(value)}" for path, value in LATER])
def test_what_is_not_built_yet_is_refused_at_its_place_with_what_to_do(
    path: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANT_KEY", "x")
    steps = tuple(path.split("."))
    written = write(changed(EVERYTHING, steps, value))
    (problem,) = problems(written.text)
    assert problem.startswith(at(written, *steps) + f"{path}: ")
    what, _, remedy = problem.partition(" not built yet: ")
    assert remedy.startswith(("remove it", "remove them", "use ", "write "))
    assert "c4n4ry" not in what + remedy


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("discovery_uri", "https://idp.example.com/.well-known/openid-configuration"),
        ("introspection", {"endpoint": "https://idp.example.com/i", "client_id": "gw", "client_secret": "env:TOKEN"}),
    ],
)
def test_an_issuer_by_discovery_or_introspection_is_not_built_yet(key: str, value: Any) -> None:
    written, problem = refused(callers={"issuers": [{**IDP, key: value}]})
    assert problem.startswith(at(written, "callers", "issuers", 0, key) + f"callers.issuers[0].{key}: ")
    assert "not built yet" in problem
    load(callers={"issuers": [{**IDP, key: None}]})


def test_a_plain_secret_below_a_key_that_is_not_built_yet_is_told_and_not_quoted() -> None:
    introspection = {"endpoint": "https://idp.example.com/i", "client_id": "gw", "client_secret": "c4n4ry"}
    written, problem = refused(callers={"issuers": [{**IDP, "introspection": introspection}]})
    assert problem.startswith(at(written, "callers", "issuers", 0, "introspection", "client_secret"))
    assert "reference" in problem
    assert "c4n4ry" not in problem


def test_a_server_over_another_transport_is_one_problem_and_not_one_for_each_of_its_keys() -> None:
    servers = {"files": {"transport": "stdio", "command": ["npx"], "env": {"A": "b"}}}
    written, problem = refused(servers=servers)
    assert problem.startswith(
        at(written, "servers", "files", "transport") + "servers.files.transport: servers over `stdio`"
    )
