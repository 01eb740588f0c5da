"""Claims in the configuration: what may be named, what each value may be, and what is told with its place where it may not."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.config.claims import scope_fault
from counterseal.config.reader import path_text
from counterseal.config.signer import Signer
from counterseal.core.methods import METHODS
from counterseal.core.names import RESERVED
from counterseal.core.profiles import COUNTERSEAL, LITELLM
from tests.config.writing import load
from tests.config.writing import refused as refused_keys

OPERATIONS = ("optional_claims", "add_claims", "set_claims", "remove_claims")
PROXY = {"trust_identity_headers_from": ["10.0.0.5"]}


def accepted(**keys: Any) -> Signer:
    return load(signer=keys, servers={"w": {"url": "http://w"}}).signer_of("w")


def refused(key: str, value: Any, *steps: str | int) -> str:
    """The one problem, told at this value or at something in it."""
    written, problem = refused_keys(signer={key: value})
    place = ("signer", key, *steps)
    found, path, _ = problem.split(": ", 2)
    assert path.startswith(path_text(place))
    if path == path_text(place):  # the writer knows no place of a list in a list
        known = [where[place] for where in (written.values, written.keys) if place in where]
        assert not known or found in [f"{line}:{column}" for line, column in known]
    return problem


def naming(operation: str, name: Any) -> Any:
    return {name: "x"} if operation in ("add_claims", "set_claims") else [name]


def step(operation: str, name: Any) -> str | int:
    return name if operation in ("add_claims", "set_claims") else 0


# ---- names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", sorted(RESERVED))
def test_s9_i_04_a_reserved_claim_in_a_claim_operation_is_refused_at_its_place(name: str, operation: str) -> None:
    """Also `remove_claims: [exp]` and `set_claims: {act: text}`, of which LiteLLM's signer crashes at each call."""
    wide = f"\uff49{name[1:]}" if name[0] == "i" else name
    for variant in (name, name.upper(), name.title(), f"{name} ", f" {name}", f"{name}.x", f"{name.upper()}.x.y", wide):
        problem = refused(operation, naming(operation, variant), step(operation, variant))
        assert f"names the reserved claim `{name}`, which the gateway alone decides: remove it" in problem
    accepted(**{operation: naming(operation, f"x.{name}")})


@pytest.mark.parametrize("operation", ["optional_claims", "remove_claims"])
def test_s9_a_list_of_steps_reaches_no_reserved_claim_either(operation: str) -> None:
    for path in (["act", "sub"], ["ACT"], ["act.sub"]):
        assert "names the reserved claim `act`" in refused(operation, [path], 0)
    assert getattr(accepted(**{operation: [["x", "act"], ["a.b"]]}), operation) == (("x", "act"), ("a.b",))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", ["", "a b", "tenant\n", "ten\u202eant", "a" * 129, "größe", "{claim.x}", "a..b", ".a"])
def test_i_04_a_claim_name_of_other_characters_is_refused(name: str, operation: str) -> None:
    problem = refused(operation, naming(operation, name), step(operation, name))
    assert "no name for a claim" in problem or "has an empty step" in problem


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", ["tenant", "https://example.com/tenant", "a.b", "subject", "expires", "a" * 128])
def test_i_04_a_claim_name_that_is_free_is_accepted(name: str, operation: str) -> None:
    accepted(**{operation: naming(operation, name)})
    accepted(**{operation: type(naming(operation, name))()})


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_required_claims_are_only_looked_at_so_reserved_ones_may_be_asked_for(name: str) -> None:
    (claim,) = accepted(required_claims=[name]).required_claims
    assert (claim.name, claim.values) == ((name,), None)


@pytest.mark.parametrize("key", ["optional_claims", "required_claims", "remove_claims"])
def test_a_claim_is_named_once(key: str) -> None:
    assert "is in this list already" in refused(key, ["a", "b.c", ["b", "c"]], 2)


# ---- sources of the subject ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "sub",
        "user_id",
        "X-9",
        "claim:email",
        "claim:realm.profile.name",
        "realm_access.name",
        "https://example.com/user",
        "token:sub",
        "key:metadata.unix.name",
        "key:end_user_id",
        "litellm:team_id",
        ["https://example.com/user"],
    ],
)
def test_a_source_is_a_name_a_path_or_has_a_prefix(source: Any) -> None:
    expected = tuple(source) if isinstance(source, list) else source
    assert accepted(end_user_claim_sources=[source]).end_user_claim_sources == (expected,)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("", "has an empty name"),
        ("e mail", "white space"),
        ("claim:", "has an empty name"),
        ("a..b", "has an empty name or step"),
        ("cliam:email", "has a prefix that there is not; there is `claim:`"),
        ("key:role", "is no field of an API key"),
        ("key:metadata.", "is no field of an API key"),
        ("litellm:key_alias", "is no field of an API key"),
        ("header:x user", "white space"),
        ("header:x:user", "is no name of an HTTP header"),
        ([], "has an empty name"),
        (["a", ""], "has an empty name or step"),
        (5, "must be a text, or a list"),
    ],
)
def test_a_source_that_means_nothing_is_refused(source: Any, says: str) -> None:
    assert says in refused("end_user_claim_sources", [source], 0)


# ---- values -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["add_claims", "set_claims"])
@pytest.mark.parametrize(
    "value",
    ["x", "", 7, -7, 0.5, True, False, [], {}, ["a", {"b": None}], {"a": {"b": ["{claim.x}"]}}, "{call.name|-}"],
)
def test_a_value_is_any_json(value: Any, operation: str) -> None:
    held = getattr(accepted(**{operation: {"a": value}}), operation)["a"]
    assert held == value or isinstance(value, list | dict)
    assert not isinstance(held, list | dict)


@pytest.mark.parametrize(
    ("value", "steps", "says"),
    [
        (None, (), "is empty: write a value"),
        ("{key.role}", (), "has a template at character 1 that asks for `key.role`, which there is not"),
        ("x {caller.role}", (), "has a template at character 3 that asks for `caller.role`"),
        ("{claim.level:number}", (), "says after `:` what is no type"),
        ("{key.metadata.level:int|x}", (), "says int and has something else after `|`"),
        ("{", (), "without the other brace"),
        ({"b": {"c": "{x}"}}, ("b", "c"), "has a template at character 1 that is none"),
        (["a", "{x}"], (1,), "has a template at character 1 that is none"),
        ({"b": {"{claim.x}": 1}}, ("b", "{claim.x}"), "is no name for a part of a claim"),
        ("a\nb", (), "nobody sees: no claim may be so"),
        ("x" * 4097, (), "4096 bytes: no claim may be so"),
        ([1] * 257, (), "256 members"),
        (2**53 + 1, (), "2^53"),
    ],
)
@pytest.mark.parametrize("operation", ["add_claims", "set_claims"])
def test_a_value_that_cannot_be_is_told_at_its_place(
    value: Any, steps: tuple[str | int, ...], says: str, operation: str
) -> None:
    assert says in refused(operation, {"first": 1, "tenant": value}, "tenant", *steps)


def test_no_message_quotes_a_value() -> None:
    """What stands there may be a credential in the wrong key."""
    assert "c4n4ry" not in refused("set_claims", {"a": "c4n4ry {"}, "a")


@pytest.mark.parametrize("operation", ["add_claims", "set_claims"])
def test_a_claim_and_a_part_of_it_are_not_both_written(operation: str) -> None:
    problem = refused(operation, {"app": {"a": 1}, "app.tenant": 1}, "app.tenant")
    assert "is also to be a part of `app`" in problem
    accepted(**{operation: {"app.a": 1, "app.b": 2, "apps": 3}})


def test_what_add_claims_makes_no_object_is_none_for_set_claims() -> None:
    _, problem = refused_keys(
        servers={"w": {"url": "http://w", "signer": {"add_claims": {"app": "x"}, "set_claims": {"app.tenant": 1}}}}
    )
    assert "has `app.tenant`, and `add_claims` has `app`, which is no object" in problem
    for value in ({"a": 1}, "{claim.app}"):
        accepted(add_claims={"app": value}, set_claims={"app.tenant": 1})


# ---- required claims ----------------------------------------------------------------------------------------------------


def test_a_required_claim_is_a_name_a_path_or_has_values() -> None:
    keys = ["tenant", "realm.role", ["https://example.com/x"], {"name": "plan", "values": ["free", 1, True]}]
    found = [(one.name, one.values) for one in accepted(required_claims=keys).required_claims]
    assert found == [
        (("tenant",), None),
        (("realm", "role"), None),
        (("https://example.com/x",), None),
        (("plan",), ("free", 1, True)),
    ]


@pytest.mark.parametrize(
    ("claim", "steps", "says"),
    [
        (5, (0,), "must be the name of a claim"),
        ("", (0,), "has an empty step"),
        ("a b", (0,), "no name for a claim"),
        ({"values": ["a"]}, (0,), "is missing: add it"),
        ({"name": "a", "values": []}, (0, "values"), "is an empty list"),
        ({"name": "a", "values": None}, (0, "values"), "is empty: list what the claim may be"),
        ({"name": "a", "values": [["x"]]}, (0, "values", 0), "must be a text, a whole number, true or false"),
        ({"name": "a", "values": ["a", 0.5]}, (0, "values", 1), "must be a text, a whole number, true or false"),
        ({"name": "a", "values": ["a\nb"]}, (0, "values", 0), "no claim may be so"),
    ],
)
def test_a_required_claim_that_means_nothing_is_refused(claim: Any, steps: tuple[str | int, ...], says: str) -> None:
    assert says in refused("required_claims", [claim], *steps)


def test_c_01_an_unknown_key_of_a_required_claim_is_told() -> None:
    _, problem = refused_keys(signer={"required_claims": [{"name": "a", "value": ["x"]}]})
    assert "signer.required_claims[0].value: is an unknown key; did you mean `values`?" in problem


# ---- scopes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [COUNTERSEAL, LITELLM], ids=lambda profile: profile.name)
def test_every_scope_that_a_token_may_hold_may_be_allowed(profile: Any) -> None:
    for method in METHODS:
        for scope in profile.scope_of(method, "get weather").split(" "):
            assert scope_fault(scope, profile) is None
    for pattern in ("*", "mcp:*", "mcp:tools/call:get_*", "anything*"):
        assert scope_fault(pattern, profile) is None


@pytest.mark.parametrize(
    ("scope", "profile"),
    [
        ("mcp:tools/lists", COUNTERSEAL),
        ("tools/list", COUNTERSEAL),
        ("mcp:tools/call", COUNTERSEAL),
        ("mcp:tools/call:", COUNTERSEAL),
        ("mcp:tools/call:%7a", COUNTERSEAL),
        ("mcp:tools/call:a/b", COUNTERSEAL),
        ("mcp:tools/get_weather:call", COUNTERSEAL),
        ("mcp:tools/call:get_weather", LITELLM),
        ("mcp:tools/:call", LITELLM),
        ("read", LITELLM),
    ],
)
def test_a_scope_that_no_token_holds_is_refused(scope: str, profile: Any) -> None:
    assert "is no scope that a call token holds; did you mean" in (scope_fault(scope, profile) or "") or "there is" in (
        scope_fault(scope, profile) or ""
    )
    keys = {"allowed_scopes": ["mcp:*", scope]} | ({"profile": "litellm"} if profile is LITELLM else {})
    _, problem = refused_keys(servers={"w": {"url": "http://w", "signer": keys}})
    assert f"has `{scope}`, which is no scope" in problem


@pytest.mark.parametrize(
    ("value", "says"),
    [([], "is an empty list"), (["a b"], "is no scope"), (['a"b'], "is no scope"), ([""], "is no scope")],
)
def test_s_09_no_scope_at_all_is_no_configuration(value: Any, says: str) -> None:
    assert says in refused("allowed_scopes", value, *([0] if value else []))
    assert accepted(allowed_scopes=None).allowed_scopes is None
