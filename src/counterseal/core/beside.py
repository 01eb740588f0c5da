"""What goes to a server beside the call token, where the configuration asks for it: more tokens, of other audiences.

Pure, like the claims: nothing here is signed. A second token has what the call token has, by the same code, but for audience,
life and `jti`; so a claim that is in one of them is in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from counterseal.core import txn_token
from counterseal.core.call import Call
from counterseal.core.caller import Caller
from counterseal.core.claims import SignerSettings, build_claims
from counterseal.core.profiles import LITELLM
from counterseal.core.value import Value

CHANNEL_HEADER: Final = "x-mcp-channel-token"


class Unsigned(Value, frozen=True):
    """One more token before it is signed. header: where it goes. scheme: what stands before it there. typ: of its JOSE header."""

    header: str
    scheme: str
    typ: str
    claims: Mapping[str, Any]


def tokens_beside(
    caller: Caller,
    call: Call,
    signer: SignerSettings,
    claims: Mapping[str, Any],
    *,
    new_id: Callable[[], str],
    added: Mapping[str, Any],
) -> Iterator[Unsigned]:
    """The tokens beside a call token, each with a `jti` of its own and the same `txn`. claims: of the call token. new_id: gives a
    `jti`. added: claims of claim sources. Raises as `build_claims` does."""
    if signer.channel is not None:
        second = build_claims(
            caller, call, signer.channel, now=claims["iat"], jti=new_id(), txn=claims["txn"], added=added
        )
        # LiteLLM sends `Bearer` here too, and its servers take it off.
        scheme = "Bearer " if signer.profile is LITELLM else ""
        yield Unsigned(CHANNEL_HEADER, scheme, signer.profile.typ, second)
    if signer.txn_token is not None:
        yield Unsigned(txn_token.HEADER, "", txn_token.TYP, signer.txn_token.claims(caller, call, claims, jti=new_id()))
