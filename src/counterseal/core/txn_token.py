"""The claims of a Txn-Token (draft-ietf-oauth-transaction-tokens): what a call is about, for the servers of one trust domain.

It goes beside the call token, in a header of its own, and is none: its audience is a trust domain and no server, its type is
another, and whoever takes it for a credential is wrong. It holds nothing of what the caller proved itself with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from counterseal.core.call import Call
from counterseal.core.caller import Caller

TYP: Final = "txntoken+jwt"
HEADER: Final = "Txn-Token"


@dataclass(frozen=True, slots=True)
class TxnToken:
    """How those of one server are made. audience: the trust domain. req_wl: the workload that asks for it: the gateway."""

    audience: str
    ttl_seconds: int
    req_wl: str

    def claims(self, caller: Caller, call: Call, of: Mapping[str, Any], jti: str) -> dict[str, Any]:
        """The claims set beside a call token. of: that token's claims: the same subject, scope, transaction and time."""
        bound = of["authorization_details"][0]
        tctx = {"server": call.server, "method": call.method}
        tctx |= {to: bound[name] for to, name in _BOUND if name in bound}
        rctx: dict[str, str] = {"caller": caller.kind}
        if caller.issuer is not None:
            rctx["issuer"] = caller.issuer
        return {
            "iss": of["iss"],
            "aud": self.audience,
            "sub": of["sub"],
            "scope": of["scope"],
            "iat": of["iat"],
            "exp": of["iat"] + self.ttl_seconds,
            "jti": jti,
            "txn": of["txn"],
            "req_wl": self.req_wl,
            "tctx": tctx,
            "rctx": rctx,
        }


_BOUND: Final = (("name", "identifier"), ("arguments_digest", "arguments_digest"))
