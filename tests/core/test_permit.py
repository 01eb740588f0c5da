"""A permit is for one call, and its token for the same one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from counterseal.core.call import Call
from counterseal.core.claims import SignerSettings, build_claims
from counterseal.core.permit import Allowed, Permit
from tests.core.callers import call, key

SIGNER = SignerSettings("https://gateway", "https://server", "ES256", 60, ("sub",))


def permit(asked: Call, signed: Call) -> Permit:
    claims = build_claims(key(), signed, SIGNER, now=1, jti="j", txn="t")
    return Permit(
        caller=key(), call=asked, allowed=Allowed("policy[0]"), claims=claims, kid="k", algorithm="ES256", token="h.p.s"
    )


@pytest.mark.parametrize(
    ("method", "name"),
    [("tools/call", "get_weather"), ("tools/list", None), ("resources/read", "file:///a"), ("ping", None)],
)
def test_a_permit_holds_the_token_of_its_own_call(method: str, name: str | None) -> None:
    assert permit(call(method, name), call(method, name)).token == "h.p.s"


@pytest.mark.parametrize(
    ("asked", "signed"),
    [
        (("tools/call", "get_weather"), ("tools/call", "delete_all")),
        (("tools/call", "get_weather"), ("tools/call", "Get_weather")),
        (("tools/call", "get_weather"), ("prompts/get", "get_weather")),
        (("tools/call", "get_weather"), ("tools/list", None)),
        (("tools/list", None), ("tools/call", "get_weather")),
        (("resources/read", "file:///a"), ("resources/read", "file:///b")),
        (("resources/read", "file:///a"), ("resources/subscribe", "file:///a")),
        (("ping", None), ("tools/list", None)),
    ],
)
def test_a_token_for_another_operation_makes_no_permit(asked: tuple[str, Any], signed: tuple[str, Any]) -> None:
    """S-07, invariant 6."""
    permit(call(*asked), call(*asked))
    with pytest.raises(ValueError, match="another operation"):
        permit(call(*asked), call(*signed))


@pytest.mark.parametrize("claims", [{}, {"authorization_details": []}, {"authorization_details": [{}]}])
def test_a_token_for_no_operation_makes_no_permit(claims: dict[str, Any]) -> None:
    with pytest.raises((ValueError, LookupError)):
        Permit(
            caller=key(), call=call(), allowed=Allowed("r"), claims=claims, kid="k", algorithm="ES256", token="h.p.s"
        )


def test_a_permit_shows_no_token_and_stays_as_it_is() -> None:
    made = permit(call(name="a"), call(name="a"))
    assert "h.p.s" not in repr(made)
    with pytest.raises(AttributeError):
        made.token = "other"  # type: ignore[misc]
    with pytest.raises(ValueError, match="another operation"):
        msgspec.structs.replace(made, call=call(name="b"))


def test_a_token_beside_the_call_token_is_of_the_same_call_and_another_token() -> None:
    made = permit(call(name="a"), call(name="a"))
    msgspec.structs.replace(made, others=({"txn": "t", "jti": "j2"},))
    for other in ({"txn": "t2", "jti": "j2"}, {"txn": "t", "jti": "j"}):
        with pytest.raises(ValueError, match="of another call, or the same one again"):
            msgspec.structs.replace(made, others=(other,))


def test_a_permit_shows_no_header_that_goes_beside_the_call_token() -> None:
    made = msgspec.structs.replace(permit(call(name="a"), call(name="a")), more=(("Txn-Token", "h2.p2.s2"),))
    assert "h2.p2.s2" not in repr(made)


def test_s16_what_goes_beside_the_call_token_is_there_for_every_kind_of_server_and_no_hook_replaces_it() -> None:
    made = permit(call(name="a"), call(name="a"))
    made = msgspec.structs.replace(made, more=(("Txn-Token", "ours"),), headers=(("txn-token", "x"), ("X-B", "b")))
    assert made.beside([("X-A", "a")]) == [("X-A", "a"), ("Txn-Token", "ours"), ("X-B", "b")]
