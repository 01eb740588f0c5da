"""How a verification ends when it does not succeed.

NotVerified                 let nothing through
├── VerificationError       the token is bad (401) or good for another call than this one (403)
└── CannotVerify            we cannot tell, because something that we need is out of reach (503)
"""

from __future__ import annotations

from typing import Final, Literal

from counterseal.errors import CountersealError
from counterseal.jose.refusal import Code as TokenCode

Code = TokenCode | Literal["claim", "scope", "operation", "arguments", "actor", "replayed", "unavailable"]
"""Why. Those of jose/refusal.py; and claim: one that every call token has is missing. scope: not the operation's.
operation: `authorization_details` are not for this method and name here. arguments: they are for other arguments.
actor: the chain in `act` is none, or too deep. replayed: the token was used before. unavailable: CannotVerify."""

_OTHER_CALL: Final = frozenset({"scope", "operation", "arguments"})
_SAY_NOTHING: Final = frozenset({"malformed", "algorithm", "key_unknown", "signature", "issuer"})


class NotVerified(CountersealError):
    """Base of both. code: for programs. message: for the server's log, without any text of the token. status: HTTP."""

    def __init__(self, code: Code, message: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class VerificationError(NotVerified):
    """The token does not vouch for this call. status: 403 where it is good for another call, else 401."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(code, message, 403 if code in _OTHER_CALL else 401)

    @property
    def public(self) -> tuple[str, str]:
        """Code and text for whoever sent the token. Until the signature holds, all refusals look the same (J-30)."""
        if self.code in _SAY_NOTHING:
            return "invalid_token", "the call token is not valid here"
        return self.code, self.message


class CannotVerify(NotVerified):
    """Keys or the single-use store are out of reach. Never a pass, and never a 401: the token may be perfectly good."""

    def __init__(self, message: str) -> None:
        super().__init__("unavailable", message, 503)
