"""What claim sources of hooks add to the claims of a call token, and what they cannot."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.core.claims import ClaimTaken, SignerSettings, build_claims
from counterseal.core.names import RESERVED, is_claim_name
from tests.core.callers import call, token

OURS = ("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "act", "scope", "client_id", "txn", "authorization_details")


def with_added(**added: Any) -> dict[str, Any]:
    signer = SignerSettings("https://gateway", "https://server", "ES256", 60, ("sub",))
    return build_claims(token(), call(name="a"), signer, now=100, jti="J", txn="T", added=added)


def test_claims_are_added_behind_ours() -> None:
    claims = with_added(department="R&D", limits={"daily": 7})
    assert list(claims) == [*list(with_added()), "department", "limits"]
    assert {name: claims[name] for name in with_added()} == with_added()


@pytest.mark.parametrize("name", sorted({*OURS, *RESERVED, "SUB", "act.sub", " iss", "\uff53\uff55\uff42"}))
def test_p_04_no_claim_of_ours_is_added_or_replaced(name: str) -> None:
    with pytest.raises(ClaimTaken) as told:
        with_added(department="R&D", **{name: "mallory"})
    assert told.value.name == name
    assert "mallory" not in str(told.value)


@given(st.dictionaries(st.text(max_size=12) | st.sampled_from(sorted(RESERVED)), st.none() | st.text(), max_size=4))
def test_p_04_whatever_is_added_reserved_claims_are_what_they_were(added: dict[str, Any]) -> None:
    try:
        claims = with_added(**added)
    except ClaimTaken:
        return
    assert {name: claims[name] for name in OURS} == with_added()
    assert claims.keys() == {*OURS, *added}


def test_a_claims_name_is_plain() -> None:
    assert is_claim_name("https://example.com/a.b-c_d")
    assert not any(map(is_claim_name, ("", "a b", "\u00e9", "x" * 129)))
