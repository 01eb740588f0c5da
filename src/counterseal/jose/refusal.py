"""The one way in which this room says no to a token."""

from __future__ import annotations

from typing import Literal

Code = Literal[
    "malformed",
    "algorithm",
    "key_unknown",
    "signature",
    "issuer",
    "audience",
    "typ",
    "time",
    "expired",
    "not_yet_valid",
    "lifetime",
    "subject",
    "confirmation",
]
"""What is wrong with a token.

malformed: not a compact JWS that every reader understands alike. algorithm: one that is not in the table, or not the key's.
key_unknown: no key of that id, or none that is the only one to fit. signature: it does not verify. issuer, audience, typ,
subject: the claim or header is not what the rules ask for. time: exp, nbf or iat is missing or not a NumericDate. expired,
not_yet_valid: by the clock, leeway included. lifetime: exp, nbf and iat contradict each other or the longest life.
confirmation: the token is bound to a key (`cnf`) whose proof nobody checked.
"""


class TokenRefused(Exception):
    """This token proves nothing.

    code: for programs. detail: for the record and the log, never for the caller (J-30); it says what is wrong in
    words of ours and quotes nothing of the token.
    """

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
