"""A good token for this call, and the same token for any other."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.core.call import Call, Era, Shape
from counterseal.core.caller import Caller
from counterseal.core.claims import SignerSettings, build_claims
from counterseal.core.operation import Operation
from counterseal.verify.call import check_arguments, check_operation, check_shape
from counterseal.verify.errors import VerificationError
from tests.support.tokens import ABSENT, AUDIENCE, ISSUER, NOW, call_claims, digest

CITY = {"city": "Oslo"}
CALL = Operation("tools/call", "get_weather", CITY)


def check(claims: dict[str, Any], operation: Operation = CALL, *, require_arguments: bool = True) -> None:
    check_shape(claims)
    check_arguments(check_operation(claims, operation, AUDIENCE), operation, required=require_arguments)


def refused(claims: dict[str, Any], operation: Operation = CALL, *, require_arguments: bool = True) -> tuple[str, int]:
    with pytest.raises(VerificationError) as caught:
        check(claims, operation, require_arguments=require_arguments)
    return caught.value.code, caught.value.status


def test_a_token_is_good_for_its_own_call() -> None:
    check(call_claims(arguments=CITY))


@pytest.mark.parametrize("bind", [True, False])
@pytest.mark.parametrize(
    ("method", "name", "arguments"),
    [
        ("tools/call", "get_weather", CITY),
        ("tools/call", "a b:c/ü", None),
        ("tools/list", None, None),
        ("resources/read", "file:///a", None),
        ("prompts/get", "greet", {"who": "you"}),
        ("completion/complete", "greet", None),
        ("io.counterseal/stream", None, None),
    ],
)
def test_what_the_gateway_claims_is_what_is_checked_here(
    method: str, name: str | None, arguments: Any, bind: bool
) -> None:
    """The two sides meet: claims from the gateway's own code pass, for every kind of method."""
    caller = Caller(kind="api_key", client_id="k1", fields={"user_id": "alice"})
    signer = SignerSettings(ISSUER, AUDIENCE, "ES256", 60, ("user_id",), bind_arguments=bind)
    call = Call(
        server="s", era=Era.MODERN, revision="x", shape=Shape.REQUEST, method=method, name=name, arguments=arguments
    )
    claims = build_claims(caller, call, signer, now=NOW, jti="j", txn="t")
    check(claims, Operation(method, name, arguments), require_arguments=bind)


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (Operation("tools/call", "delete_all", CITY), "scope"),
        (Operation("tools/call", "get_weather:x", CITY), "scope"),
        (Operation("tools/call", "Get_weather", CITY), "scope"),
        (Operation("tools/call", None, CITY), "scope"),
        (Operation("tools/list"), "scope"),
        (Operation("prompts/get", "get_weather", CITY), "scope"),
        (Operation("tools/call", "get_weather", {"city": "Bergen"}), "arguments"),
        (Operation("tools/call", "get_weather", {"city": "Oslo", "x": 1}), "arguments"),
        (Operation("tools/call", "get_weather", {}), "arguments"),
        (Operation("tools/call", "get_weather", None), "arguments"),
        (Operation("tools/call", "get_weather", {"n": 2**60}), "arguments"),
        (Operation("tools/call", "\ud800", CITY), "operation"),
    ],
)
def test_a_token_is_good_for_no_other_call(operation: Operation, code: str) -> None:
    """403: the token is sound, and for another call."""
    claims = call_claims(arguments=CITY)
    check(claims)
    assert refused(claims, operation) == (code, 403)


def test_methods_of_one_scope_shape_are_told_apart_by_name() -> None:
    """A resource has no name in its scope, so `identifier` must tell."""
    claims = call_claims("resources/read", "file:///a")
    check(claims, Operation("resources/read", "file:///a"))
    assert refused(claims, Operation("resources/read", "file:///b")) == ("operation", 403)
    assert refused(claims, Operation("resources/read")) == ("operation", 403)


@pytest.mark.parametrize(
    "scope",
    [
        *("", "mcp:tools/call", "mcp:tools/list", "mcp:tools/call:*", "mcp:tools/call:get_weather mcp:tools/list"),
        *("mcp:tools/call:get_weather ", "MCP:tools/call:get_weather", ["mcp:tools/call:get_weather"], None, ABSENT),
    ],
)
def test_the_scope_is_the_operations_and_no_more(scope: Any) -> None:
    assert refused(call_claims(arguments=CITY, scope=scope)) == ("scope", 403)


@pytest.mark.parametrize(
    "details",
    [
        {"type": "mcp"},
        {"type": ABSENT},
        {"locations": []},
        {"locations": [AUDIENCE, "https://files.example.com/mcp"]},
        {"locations": [AUDIENCE + "/"]},
        {"locations": AUDIENCE},
        {"locations": ABSENT},
        {"actions": []},
        {"actions": ["tools/call", "tools/list"]},
        {"actions": ["tools/list"]},
        {"actions": "tools/call"},
        {"actions": ABSENT},
        {"identifier": "delete_all"},
        {"identifier": ["get_weather"]},
        {"identifier": None},
        {"identifier": ABSENT},
        {"datatypes": ["only-this"]},
    ],
)
def test_the_details_are_exactly_of_this_call(details: dict[str, Any]) -> None:
    """RFC 9396: also a member that we don't know refuses, because it may narrow what is allowed."""
    assert refused(call_claims(arguments=CITY, details=details)) == ("operation", 403)


@pytest.mark.parametrize("details", [None, [], {}, "x", [None], [[]], ABSENT])
def test_the_details_are_one_object(details: Any) -> None:
    assert refused(call_claims(arguments=CITY, authorization_details=details)) == ("operation", 403)
    twice = call_claims(arguments=CITY)["authorization_details"] * 2
    assert refused(call_claims(arguments=CITY, authorization_details=twice)) == ("operation", 403)


def test_a_method_without_a_name_takes_no_identifier() -> None:
    check(call_claims("tools/list", None), Operation("tools/list"))
    assert (
        refused(call_claims("tools/list", None, details={"identifier": "x"}), Operation("tools/list"))[0] == "operation"
    )
    assert (
        refused(call_claims("tools/list", None, details={"identifier": None}), Operation("tools/list"))[0]
        == "operation"
    )


def test_arguments_must_be_bound_unless_that_is_switched_off() -> None:
    unbound = call_claims(arguments=CITY, details={"arguments_digest": ABSENT})
    assert refused(unbound) == ("arguments", 403)
    check(unbound, require_arguments=False)


@pytest.mark.parametrize(
    "value", [None, "", "sha-256:", 1, [digest(CITY)], digest(CITY) + "=", digest(CITY)[8:], digest(CITY).upper()]
)
def test_a_digest_that_is_there_is_always_checked(value: Any) -> None:
    wrong = call_claims(arguments=CITY, details={"arguments_digest": value})
    assert refused(wrong) == ("arguments", 403)
    assert refused(wrong, require_arguments=False) == ("arguments", 403)


def test_absent_and_empty_arguments_are_the_same() -> None:
    check(call_claims(), Operation("tools/call", "get_weather", None))
    check(call_claims(), Operation("tools/call", "get_weather", {}))


def test_the_order_of_members_does_not_matter_and_their_kind_does() -> None:
    claims = call_claims(arguments={"a": 1, "b": [True, None, "é"]})
    check(claims, Operation("tools/call", "get_weather", {"b": [True, None, "é"], "a": 1}))
    check(claims, Operation("tools/call", "get_weather", {"b": [True, None, "é"], "a": 1.0}))
    for other in (
        {"a": "1", "b": [True, None, "é"]},
        {"a": 1, "b": [1, None, "é"]},
        {"a": 1, "b": [True, None, "e\u0301"]},
    ):
        assert refused(claims, Operation("tools/call", "get_weather", other))[0] == "arguments"


def test_a_method_without_arguments_takes_no_digest() -> None:
    claims = call_claims("tools/list", None, details={"arguments_digest": digest({})})
    assert refused(claims, Operation("tools/list")) == ("arguments", 403)


@pytest.mark.parametrize("claim", ["client_id", "jti", "txn"])
@pytest.mark.parametrize("value", [None, "", 1, ["a"], "a" * 256, ABSENT])
def test_what_every_call_token_has_must_be_there(claim: str, value: Any) -> None:
    check(call_claims(arguments=CITY, **{claim: "a" * 255}))
    assert refused(call_claims(arguments=CITY, **{claim: value})) == ("claim", 401)


def chain(depth: int) -> dict[str, Any]:
    act: dict[str, Any] = {"sub": "a0"}
    for level in range(1, depth):
        act = {"sub": f"a{level}", "act": act}
    return act


def test_actor_chains_end_at_four() -> None:
    """J-32: n and n + 1, and far more."""
    check(call_claims(arguments=CITY, act=chain(4)))
    for depth in (5, 15, 1000):
        assert refused(call_claims(arguments=CITY, act=chain(depth))) == ("actor", 401)


@pytest.mark.parametrize(
    "act", [None, "agent", [], {}, {"sub": 1}, {"sub": "a", "act": "b"}, {"sub": "a", "act": {}}, ABSENT]
)
def test_an_actor_is_an_object_that_names_one(act: Any) -> None:
    """J-32."""
    check(call_claims(arguments=CITY, act={"client_id": "a"}))
    assert refused(call_claims(arguments=CITY, act=act)) == ("actor", 401)
