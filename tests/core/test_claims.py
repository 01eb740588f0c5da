"""The claims of a call token are those of docs/call-token.md, each from where it says, and no others."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

import pytest

from counterseal.core.caller import Caller
from counterseal.core.canonical import NotCanonical, arguments_digest
from counterseal.core.claim_operations import ClaimOperations, Named, Valued
from counterseal.core.claims import ClaimTaken, SignerSettings, build_claims, operation
from counterseal.core.methods import METHODS
from counterseal.core.names import RESERVED
from counterseal.core.origins import Origin, Origins
from counterseal.core.pairwise import Pairwise
from counterseal.core.permit import ClaimsRefused
from counterseal.core.profiles import LITELLM
from counterseal.core.requirements import Required
from counterseal.core.templates import compile_value
from tests.core.callers import anonymous, call, key, token

SOURCES: Final = ("sub", "preferred_username", "email", "user_id")
SIGNER: Final = SignerSettings("https://gateway.example.com", "https://weather.internal/mcp", "ES256", 60, SOURCES)
NOW: Final = 1_800_000_000


def claims(caller: Caller, **changes: Any) -> dict[str, Any]:
    asked = call(**{"name": "get_weather", "arguments": {"city": "Oslo"}, **changes})
    return build_claims(caller, asked, SIGNER, now=NOW, jti="J", txn="T")


def test_a_call_token_has_exactly_the_claims_of_the_contract() -> None:
    assert claims(key(fields={"user_id": "alice", "agent_id": "bot"})) == {
        "iss": "https://gateway.example.com",
        "aud": "https://weather.internal/mcp",
        "sub": "alice",
        "client_id": "k123",
        "act": {"sub": "bot"},
        "scope": "mcp:tools/call:get_weather",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 60,
        "jti": "J",
        "txn": "T",
        "authorization_details": [
            {
                "type": "mcp_call",
                "locations": ["https://weather.internal/mcp"],
                "actions": ["tools/call"],
                "identifier": "get_weather",
                "arguments_digest": arguments_digest({"city": "Oslo"}),
            }
        ],
    }


def test_nothing_else_that_a_caller_has_leaves_the_gateway() -> None:
    """I-12, invariant 9: neither other claims, nor metadata, nor reserved ones that the IdP's token has."""
    held = dict.fromkeys(RESERVED - {"sub", "act"}, "forged") | {"groups": ["admins"], "email": "a@b", "nonce": "n"}
    made = claims(token(held, metadata={"cost": "9"}, fields={"team_id": "data"}))
    assert made.keys() == claims(key()).keys() == RESERVED - {"azp", "cnf"}
    assert "forged" not in str(made)
    assert "admins" not in str(made)


def test_every_claim_of_a_call_token_is_reserved() -> None:
    """I-04: a configuration that names one is refused at start."""
    times, who = {"exp", "nbf", "iat"}, {"sub", "act", "client_id", "azp"}
    assert times | who | {"iss", "aud", "jti", "scope", "cnf", "txn", "authorization_details"} == RESERVED
    assert claims(key()).keys() <= RESERVED


def test_claims_are_made_anew_for_each_call() -> None:
    """I-08, I-09: nothing in one call's claims is a part of another's, or of the caller."""
    caller = token(act={"sub": "agent", "act": {"sub": "tool"}})
    one, other = claims(caller), claims(caller)
    one["act"]["sub"] = "forged"
    one["authorization_details"][0]["actions"].append("forged")
    assert other == claims(caller)
    assert caller.act == {"sub": "agent", "act": {"sub": "tool"}}


@pytest.mark.parametrize("ttl", [1, 60, 900])
def test_a_token_begins_now_and_ends_after_its_life(ttl: int) -> None:
    signer = SignerSettings("i", "a", "ES256", ttl, SOURCES)
    made = build_claims(key(), call(name="a"), signer, now=NOW, jti="J", txn="T")
    assert (made["iat"], made["nbf"], made["exp"]) == (NOW, NOW, NOW + ttl)


# ---- the operation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_message_is_bound_to_its_method_and_name(method: str) -> None:
    """S-02, S-07: one scope, one operation; the digest where the method has arguments."""
    named = method in ("tools/call", "prompts/get", "resources/read")
    made = build_claims(key(), call(method, "n" if named else None), SIGNER, now=NOW, jti="J", txn="T")
    (details,) = made["authorization_details"]
    assert details["actions"] == [method]
    assert details.get("identifier") == ("n" if named else None)
    assert ("arguments_digest" in details) is (method in ("tools/call", "prompts/get"))
    assert made["scope"] == ("mcp:tools/call:n" if method == "tools/call" else f"mcp:{method}")


def test_absent_arguments_are_bound_as_none_at_all() -> None:
    absent = operation(call(name="a"), SIGNER)
    assert absent == operation(call(name="a", arguments={}), SIGNER)
    assert absent != operation(call(name="a", arguments={"a": None}), SIGNER)


def test_arguments_are_bound_unless_the_configuration_says_otherwise() -> None:
    unbound = SignerSettings("i", "a", "ES256", 60, SOURCES, bind_arguments=False)
    asked = call(name="a", arguments={"n": 2**53})
    assert "arguments_digest" not in operation(asked, unbound)
    with pytest.raises(NotCanonical):
        operation(asked, SIGNER)


# ---- what the configuration adds to it --------------------------------------------------------------------------------


def configured(**changes: Any) -> SignerSettings:
    return dataclasses.replace(SIGNER, server="weather", **changes)


def made(signer: SignerSettings, caller: Caller, origins: Origins | None = None, **changes: Any) -> dict[str, Any]:
    asked = call(**{"name": "get_weather", "arguments": {"city": "Oslo"}, **changes})
    return build_claims(caller, asked, signer, now=NOW, jti="J", txn="T", origins=origins)


def valued(**values: Any) -> tuple[Valued, ...]:
    return tuple(Valued((name,), compile_value(value), f"set_claims.{name}") for name, value in values.items())


def denied(signer: SignerSettings, caller: Caller) -> tuple[str, str]:
    with pytest.raises(ClaimsRefused) as told:
        made(signer, caller)
    return told.value.denial.reason, told.value.denial.rule


RESIGN: Final = {"mode": "verify_and_resign", "places": {"mode": "signer.mode (c.yaml:3)"}}


@pytest.mark.parametrize("caller", [key(fields={"user_id": "alice"}), anonymous()], ids=lambda caller: caller.kind)
def test_s10_where_a_token_is_needed_its_absence_refuses_whatever_else_there_is(caller: Caller) -> None:
    """FR-5: the mode is configuration, and no key stands in."""
    assert made(configured(), caller)["sub"] in ("alice", "anonymous")
    assert denied(configured(**RESIGN), caller) == ("token_required", "signer.mode (c.yaml:3)")
    assert made(configured(**RESIGN), token())["sub"] == "alice"


def test_s10_a_token_without_the_claims_that_name_the_person_is_refused_too() -> None:
    """Empty claims are no reason to look elsewhere."""
    where = "signer.end_user_claim_sources (c.yaml:4)"
    signer = configured(
        mode="verify_and_resign",
        end_user_claim_sources=("preferred_username",),
        places={"end_user_claim_sources": where},
    )
    nameless = token({"preferred_username": ""})
    assert denied(signer, nameless) == ("claim_unavailable", where)
    assert made(dataclasses.replace(signer, mode="sign"), nameless)["sub"] == "ide"
    assert made(signer, token({"preferred_username": "alice"}))["sub"] == "alice"


def test_fr15_what_is_required_is_asked_before_anything_is_made() -> None:
    required = (Required(("tenant",), ("acme",), "required_claims[0]"), Required(("role",), None, "required_claims[1]"))
    signer = configured(required=required, operations=ClaimOperations(set=valued(x="{claim.missing}")))
    assert denied(signer, token({"tenant": "other"})) == ("required_claim_missing", "required_claims[0]")
    assert denied(signer, token({"tenant": "acme"})) == ("required_claim_missing", "required_claims[1]")
    assert denied(signer, token({"tenant": "acme", "role": 0})) == ("claim_unavailable", "set_claims.x")
    assert made(signer, token({"tenant": "acme", "role": 0, "missing": "m"}))["x"] == "m"


def test_the_operations_follow_each_other_and_what_hooks_add_stands_between() -> None:
    operations = ClaimOperations(
        passed=(Named(("a",)), Named(("b",))),
        added=(*valued(c="added", d="added"),),
        set=valued(e="set", d="set"),
        removed=(Named(("b",)),),
    )
    asked = call(name="t")
    ids: Any = {"now": NOW, "jti": "J", "txn": "T"}
    signer = configured(operations=operations)
    claims = build_claims(token({"a": 1, "b": 2}), asked, signer, **ids, added={"c": "hook", "e": "hook", "f": [1]})
    assert {name: claims[name] for name in "acdef"} == {"a": 1, "c": "hook", "d": "set", "e": "set", "f": [1]}
    assert "b" not in claims
    for name in ("sub", "ISS", "act.sub", "a"):
        with pytest.raises(ClaimTaken):
            build_claims(token({"a": 1}), asked, signer, **ids, added={name: "forged"})


@pytest.mark.parametrize(
    ("caller", "more"),
    [
        (key(fields={"user_id": "alice", "email": "a@x", "end_user_id": "c7"}), {"email": "a@x", "end_user_id": "c7"}),
        (key(fields={"user_id": "alice"}), {}),
        (token({"email": "unverified@x", "end_user_id": "claimed"}), {}),
        (token(fields={"email": "a@x"}), {"email": "a@x"}),
        (anonymous(), {}),
    ],
)
def test_litellms_shape_has_its_own_claims_and_ours(caller: Caller, more: dict[str, Any]) -> None:
    """docs/call-token.md: LiteLLM's shape, still bound to one server, one operation and one use."""
    ours, theirs = made(configured(), caller), made(configured(profile=LITELLM), caller)
    assert theirs == {**ours, "scope": "mcp:tools/call mcp:tools/get_weather:call", **more}
    assert made(configured(profile=LITELLM), caller, method="tools/list", name=None)["scope"] == "mcp:tools/list"


def test_the_operations_work_on_litellms_claims_as_on_any() -> None:
    caller = key(fields={"email": "a@x", "end_user_id": "c7"})
    operations = ClaimOperations(set=valued(email="{call.name}"), removed=(Named(("end_user_id",)),))
    claims = made(configured(profile=LITELLM, operations=operations), caller)
    assert claims["email"] == "get_weather"
    assert "end_user_id" not in claims


@pytest.mark.parametrize("value", ["a\nb", "x" * 4097])
def test_i_05_a_field_of_a_key_is_bounded_like_any_value(value: str) -> None:
    signer = configured(profile=LITELLM, end_user_claim_sources=("user_id",), places={"profile": "signer.profile"})
    assert denied(signer, key(fields={"email": value})) == ("claim_unavailable", "signer.profile")
    made(signer, key(fields={"email": "a@x"}))


# ---- pairwise subjects ------------------------------------------------------------------------------------------------

PAIRWISE: Final = Pairwise(bytes(32), "weather")


@pytest.mark.parametrize(
    ("caller", "sub", "client_id"),
    [
        (key(fields={"user_id": "alice"}), (SIGNER.issuer, "alice"), (SIGNER.issuer, "k123")),
        (key(), (SIGNER.issuer, "apikey:k123"), (SIGNER.issuer, "k123")),
        (token(), ("https://idp", "alice"), None),
        (token(client_id="alice"), ("https://idp", "alice"), ("https://idp", "alice")),
        (token({"preferred_username": "a7", "sub": ""}), ("https://idp", "a7"), None),
        (token({"sub": ""}, headers={"sub": "bob"}), ("https://idp", "bob"), None),
    ],
)
def test_a_pairwise_token_names_nobody_that_another_server_knows(caller: Caller, sub: Any, client_id: Any) -> None:
    claims = made(configured(pairwise=PAIRWISE), caller)
    assert claims["sub"] == PAIRWISE(*sub)
    assert claims["client_id"] == ("ide" if client_id is None else PAIRWISE(*client_id))
    other = made(configured(pairwise=Pairwise(bytes(32), "files")), caller)
    assert other["sub"] != claims["sub"]
    for name in ("alice", "k123", "bob", "a7"):
        assert f'"{name}' not in json.dumps(claims)


def test_nobody_has_no_pseudonym() -> None:
    assert made(configured(pairwise=PAIRWISE), anonymous())["sub"] == "anonymous"


def test_i_08_a_pseudonym_is_stable_for_a_person_and_no_other() -> None:
    signer = configured(pairwise=PAIRWISE)
    subs = [made(signer, token({"sub": name}))["sub"] for name in ("alice", "bob", "alice")]
    assert subs[0] == subs[2] != subs[1]
    assert made(signer, token(issuer="https://other"))["sub"] != subs[0]


def test_i_08_claims_are_those_of_the_token_that_was_sent() -> None:
    """Two tokens of one subject with other roles, in turn: nothing of one is kept for the other."""
    signer = configured(operations=ClaimOperations(passed=(Named(("roles",)),), set=valued(copy="{claim.roles}")))
    admin, reader = token({"roles": ["admin"]}), token({"roles": ["reader"]})
    for _ in range(50):
        for caller, roles in ((admin, ["admin"]), (reader, ["reader"])):
            claims = made(signer, caller)
            assert claims["roles"] == claims["copy"] == roles


# ---- origins ----------------------------------------------------------------------------------------------------------


def test_every_claim_has_an_origin_with_the_place_in_the_configuration() -> None:
    places = {
        name: f"signer.{name} (c.yaml)" for name in ("audience", "end_user_claim_sources", "ttl_seconds", "profile")
    }
    signer = configured(
        profile=LITELLM, places=places, operations=ClaimOperations(set=valued(tenant="{key.metadata.tenant}"))
    )
    origins = Origins()
    caller = key(fields={"email": "a@x", "team_id": "data"}, metadata={"tenant": "acme"})
    claims = made(signer, caller, origins)
    assert {path[0] for path in origins} == set(claims)
    assert origins["sub",] == Origin("key", "email", places["end_user_claim_sources"])
    assert origins["aud",] == Origin("configuration", "audience", places["audience"])
    assert origins["act",] == Origin("key", "team_id")
    assert origins["exp",] == Origin("gateway", "now and ttl_seconds", places["ttl_seconds"])
    assert origins["email",] == Origin("key", "email", places["profile"])
    assert origins["tenant",] == Origin("template", "{key.metadata.tenant}", "set_claims.tenant")


def test_an_origin_says_that_a_subject_is_pairwise_and_not_whose_it_is() -> None:
    origins = Origins()
    made(configured(pairwise=PAIRWISE), token(), origins)
    assert origins["sub",] == Origin("claim", "sub, pairwise")
    assert "alice" not in str(origins)
