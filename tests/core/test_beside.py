"""The second token has what the call token has, but for whom and for how long it is."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from hypothesis import given

from counterseal.core.beside import tokens_beside
from counterseal.core.caller import Caller
from counterseal.core.claims import SignerSettings, build_claims
from counterseal.core.permit import ClaimsRefused
from counterseal.core.profiles import LITELLM
from counterseal.core.sources import UnfitSubject
from counterseal.core.txn_token import TxnToken
from tests.core.callers import call, token
from tests.core.test_claims_properties import NOW, _cases, _signers, _tools, callers

SIGNER = SignerSettings("https://gateway", "https://server", "ES256", 60, ("sub",))
CHANNEL = replace(SIGNER, audience="urn:channel", ttl_seconds=5)


def beside(signer: SignerSettings, caller: Any = None, added: Any = None) -> tuple[dict[str, Any], list[Any]]:
    caller, asked, added = caller or token(), call(name="t"), added or {}
    claims = build_claims(caller, asked, signer, now=NOW, jti="J", txn="T", added=added)
    ids = itertools.count()
    new_id = lambda: f"id-{next(ids)}"  # noqa: E731
    return claims, [*tokens_beside(caller, asked, signer, claims, new_id=new_id, added=added)]


def test_there_is_no_other_token_unless_somebody_asks_for_one() -> None:
    """FR-14."""
    assert beside(SIGNER)[1] == []
    (one,) = beside(replace(SIGNER, channel=CHANNEL))[1]
    assert (one.header, one.scheme, one.typ) == ("x-mcp-channel-token", "", "at+jwt")


def test_each_has_an_id_of_its_own_and_all_have_the_transaction() -> None:
    claims, others = beside(replace(SIGNER, channel=CHANNEL, txn_token=TxnToken("domain", 9, "gw")))
    assert [one.claims["jti"] for one in others] == ["id-0", "id-1"]
    assert {one.claims["txn"] for one in others} == {claims["txn"]}
    assert [(one.header, one.typ) for one in others][1] == ("Txn-Token", "txntoken+jwt")


def test_litellms_servers_get_it_as_litellm_sends_it() -> None:
    litellm = replace(SIGNER, profile=LITELLM)
    (one,) = beside(replace(litellm, channel=replace(litellm, audience="urn:channel")))[1]
    assert (one.scheme, one.typ) == ("Bearer ", "JWT")


def test_claims_of_hooks_are_in_both() -> None:
    claims, (one,) = beside(replace(SIGNER, channel=CHANNEL), added={"tenant": "acme"})
    assert claims["tenant"] == one.claims["tenant"] == "acme"


@_cases
@given(callers(), _signers, _tools)
def test_fr_14_the_second_token_differs_in_what_it_is_for_alone(
    caller: Caller, signer: SignerSettings, tool: str
) -> None:
    signer = replace(signer, channel=replace(signer, audience="urn:channel", ttl_seconds=7))
    asked = call(name=tool, arguments={"city": "Oslo"})
    try:
        claims = build_claims(caller, asked, signer, now=NOW, jti="J", txn="T")
    except (ClaimsRefused, UnfitSubject):
        return
    (one,) = tokens_beside(caller, asked, signer, claims, new_id=lambda: "J2", added={})
    bound = {**claims["authorization_details"][0], "locations": ["urn:channel"]}
    for_it = {"aud": "urn:channel", "exp": NOW + 7, "jti": "J2", "authorization_details": [bound]}
    assert one.claims == {**claims, **for_it}
