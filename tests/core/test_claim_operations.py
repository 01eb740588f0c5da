"""What the configuration does to claims: in its order, in its place, and never to a reserved one."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.core.caller import Caller
from counterseal.core.claim_operations import ClaimOperations, Named, Valued
from counterseal.core.names import RESERVED
from counterseal.core.origins import Origin, Origins
from counterseal.core.paths import steps_of
from counterseal.core.permit import ClaimsRefused
from counterseal.core.templates import compile_value
from tests.core.callers import anonymous, call, key, token


def operations(
    passed: tuple[str, ...] = (), added: Any = None, changed: Any = None, removed: tuple[str, ...] = ()
) -> ClaimOperations:
    def named(key: str, names: tuple[str, ...]) -> tuple[Named, ...]:
        return tuple(Named(steps_of(name), f"{key}[{index}]") for index, name in enumerate(names))

    def valued(key: str, values: dict[str, Any]) -> tuple[Valued, ...]:
        return tuple(Valued(steps_of(name), compile_value(one), f"{key}.{name}") for name, one in values.items())

    return ClaimOperations(
        named("optional_claims", passed),
        valued("add_claims", added or {}),
        valued("set_claims", changed or {}),
        named("remove_claims", removed),
    )


def done(to: ClaimOperations, caller: Caller, claims: dict[str, Any] | None = None) -> dict[str, Any]:
    made = {} if claims is None else claims
    origins = Origins()
    to.pass_on(made, caller, origins)
    to.apply(made, caller, call(name="get_weather"), origins)
    again: dict[str, Any] = {}
    if claims is None:
        to.pass_on(again, caller, None)
        to.apply(again, caller, call(name="get_weather"), None)
        assert again == made
    return made


def refused(to: ClaimOperations, caller: Caller, claims: dict[str, Any] | None = None) -> tuple[str, str]:
    with pytest.raises(ClaimsRefused) as told:
        done(to, caller, claims)
    assert told.value.denial.reason == "claim_unavailable"
    return told.value.denial.message, told.value.denial.rule


def test_the_order_is_pass_on_add_set_remove() -> None:
    caller = token({"a": "passed", "b": "passed", "c": "passed"})
    to = operations(("a", "b", "c"), {"a": "added", "d": "added", "e": "added"}, {"b": "set", "d": "set"}, ("c", "e"))
    assert done(to, caller) == {"a": "passed", "b": "set", "d": "set"}


def test_what_is_added_is_added_only_where_there_is_nothing() -> None:
    to = operations(added={"a": 1, "b": 2, "o.x": 3, "o.y": 4})
    assert done(to, key(), {"a": None, "o": {"x": False}}) == {"a": None, "b": 2, "o": {"x": False, "y": 4}}


def test_paths_lead_into_objects() -> None:
    to = operations(
        ("realm.roles",),
        {"app.tenant": "acme"},
        {"app.level": 1, "https://example.com/x": True},
        ("realm.roles", "q.r"),
    )
    caller = token({"realm": {"roles": ["a"], "secret": "s"}})
    assert done(to, caller) == {"realm": {}, "app": {"tenant": "acme", "level": 1}, "https://example.com/x": True}


def test_i_09_nothing_that_is_passed_on_or_set_is_shared() -> None:
    to = operations(("realm",), changed={"realm.x": "{call.name}", "tags": ["a"], "roles": "{claim.realm.roles}"})
    caller = token({"realm": {"roles": ["a"]}})
    one, other = done(to, caller), done(to, caller)
    assert one == {"realm": {"roles": ["a"], "x": "get_weather"}, "tags": ["a"], "roles": ["a"]}
    one["tags"].append("forged")
    one["roles"].append("forged")
    one["realm"]["roles"].append("forged")
    assert other == done(to, caller)
    assert caller.claims["realm"] == {"roles": ["a"]}


@pytest.mark.parametrize("value", [None, "", [], {}])
def test_i_07_what_is_empty_is_not_passed_on(value: Any) -> None:
    to = operations(("a", "o.b", "c"))
    assert done(to, token({"a": value, "o": {"b": value}, "c": 0})) == {"c": 0}


def test_what_an_api_key_says_is_passed_on_too() -> None:
    to = operations(("tenant", "team_id", "email", "x"))
    caller = key(fields={"team_id": "data", "email": "a@x", "user_id": "alice"}, metadata={"tenant": "acme", "y": "1"})
    assert done(to, caller) == {"tenant": "acme", "team_id": "data", "email": "a@x"}
    assert done(to, anonymous()) == {}


def test_i_13_an_address_is_passed_on_if_its_issuer_vouches_for_it() -> None:
    to = operations(("email", "email_verified"))
    held = {"email": "a@x", "email_verified": False}
    assert done(to, token(held)) == {"email_verified": False}
    assert done(to, token({**held, "email_verified": True}, fields={"email": "a@x"})) == {
        "email": "a@x",
        "email_verified": True,
    }


def test_what_is_passed_on_writes_over_nothing() -> None:
    to = operations(("a", "o.b", "t.x"))
    caller = token({"a": 1, "o": {"b": 2}, "t": {"x": 3}})
    assert done(to, caller, {"a": "mine", "o": {"b": "mine"}, "t": {"y": 1}}) == {
        "a": "mine",
        "o": {"b": "mine"},
        "t": {"y": 1, "x": 3},
    }


def test_a_value_that_cannot_be_made_refuses_the_call_and_names_claim_source_and_place() -> None:
    for kind, to in {
        "add_claims": operations(added={"app.tenant": "{key.metadata.tenant}"}),
        "set_claims": operations(changed={"app.tenant": "{key.metadata.tenant}"}),
    }.items():
        message, rule = refused(to, key())
        assert message == "the claim `app.tenant` of the call token cannot be made: `key.metadata.tenant` says nothing"
        assert rule == f"{kind}.app.tenant"
        assert done(to, key(metadata={"tenant": "acme"})) == {"app": {"tenant": "acme"}}


def test_what_is_not_needed_is_not_made() -> None:
    """A claim that is there already is not added, so nobody asks where its value would come from."""
    assert done(operations(added={"a": "{claim.x}"}), key(), {"a": 1}) == {"a": 1}


@pytest.mark.parametrize("held", ["text", 1, ["list"], None])
def test_a_claim_in_the_way_is_no_object(held: Any) -> None:
    for to in (operations(added={"a.b": 1}), operations(changed={"a.b": 1}), operations(("a.b",))):
        message, _ = refused(to, token({"a": {"b": 1}}), {"a": held})
        assert "`a` is there and is no object" in message


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "x" * 4097, [1] * 257, 2**60])
def test_i_05_what_is_passed_on_is_bounded(value: Any) -> None:
    message, rule = refused(operations(("a",)), token({"a": value}))
    assert message.startswith("the claim `a` of the call token cannot be made: what the caller's credential says has ")
    assert rule == "optional_claims[0]"
    assert "Cookie" not in message
    assert done(operations(("a",)), token({"a": "fits"})) == {"a": "fits"}


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_s9_no_operation_can_be_made_for_a_reserved_claim(name: str) -> None:
    """As well as the configuration's own check, for whoever makes one without it."""
    for path in ((name,), (name.upper(),), (name, "x"), (f"{name} ",)):
        with pytest.raises(ValueError, match="nobody may touch"):
            Named(path)
        with pytest.raises(ValueError, match="nobody may touch"):
            Valued(path, compile_value(1))
    Named((f"x_{name}",))
    Named(("x", name))


@pytest.mark.parametrize("path", [(), ("",), ("a", "")])
def test_a_path_has_steps(path: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="nobody may touch"):
        Named(path)


def test_each_claim_has_the_origin_of_the_operation_that_wrote_it_last() -> None:
    to = operations(("a", "b"), {"b": 1, "c": "{caller.kind}", "d": 1}, {"a": "{call.name}", "o.x": 1}, ("d",))
    origins, claims = Origins(), {}
    to.pass_on(claims, token({"a": 1, "b": 2}), origins)
    to.apply(claims, token({"a": 1, "b": 2}), call(name="t"), origins)
    assert claims == {"a": "t", "b": 2, "c": "token", "o": {"x": 1}}
    assert origins == {
        ("a",): Origin("template", "{call.name}", "set_claims.a"),
        ("b",): Origin("claim", "b", "optional_claims[1]"),
        ("c",): Origin("template", "{caller.kind}", "add_claims.c"),
        ("o", "x"): Origin("configuration", "", "set_claims.o.x"),
    }
    of_key, claims = Origins(), {}
    to.pass_on(claims, key(metadata={"a": "1"}), of_key)
    assert of_key == {("a",): Origin("key", "a", "optional_claims[0]")}
