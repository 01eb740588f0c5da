"""A Txn-Token says what the call token says, for a trust domain, and holds nothing that is a credential."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.core.canonical import arguments_digest
from counterseal.core.claims import SignerSettings, build_claims
from counterseal.core.txn_token import TxnToken
from tests.core.callers import anonymous, call, key, token

SIGNER = SignerSettings("https://gateway", "https://server", "ES256", 300, ("sub", "user_id"))
TXN = TxnToken("trust.example", 30, "gateway-1")


def made(caller: Any, **asked: Any) -> dict[str, Any]:
    one = call(**asked)
    of = build_claims(caller, one, SIGNER, now=100, jti="J", txn="T")
    return TXN.claims(caller, one, of, "J2")


def test_it_has_every_claim_that_the_draft_requires_and_the_context_of_the_call() -> None:
    claims = made(token({"groups": ["a"], "email": "a@example.com"}), name="get", arguments={"city": "Oslo"})
    assert claims == {
        "iss": "https://gateway",
        "aud": "trust.example",
        "sub": "alice",
        "scope": "mcp:tools/call:get",
        "iat": 100,
        "exp": 130,
        "jti": "J2",
        "txn": "T",
        "req_wl": "gateway-1",
        "tctx": {
            "server": "weather",
            "method": "tools/call",
            "name": "get",
            "arguments_digest": arguments_digest({"city": "Oslo"}),
        },
        "rctx": {"caller": "token", "issuer": "https://idp"},
    }


@pytest.mark.parametrize(("caller", "kind"), [(key(fields={"user_id": "bob"}), "api_key"), (anonymous(), "anonymous")])
def test_whom_nobody_vouches_for_has_no_issuer(caller: Any, kind: str) -> None:
    claims = made(caller, method="tools/list")
    assert claims["rctx"] == {"caller": kind}
    assert claims["tctx"] == {"server": "weather", "method": "tools/list"}
