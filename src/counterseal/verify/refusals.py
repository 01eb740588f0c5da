"""What a server says when it lets no call through: the same status, code, reason and challenge from every adapter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from counterseal.core.operation import Operation
from counterseal.core.profiles import Profile
from counterseal.errors import REASONS
from counterseal.verify.errors import NotVerified, VerificationError

_BEARER: Final = re.compile(rb"bearer ([A-Za-z0-9._~+/=-]+)", re.IGNORECASE)
_BARE: Final = re.compile(rb"[A-Za-z0-9._~+/=-]+")
_OWN_CODE: Final = 50
"""Our JSON-RPC codes are the HTTP status times 100 plus this, so outside the reserved range."""
_SCOPE_LENGTH: Final = 512
"""A longer scope is left out of the challenge: the name in it is as long as the caller made it."""
_RETRY_SECONDS: Final = 5


class Refused(Exception):
    """No call. status: HTTP. rpc: the JSON-RPC error code. reason: for programs. message: for whoever sent the token.

    challenge: the auth-params of `WWW-Authenticate: Bearer` (RFC 6750 section 3), None where there is no such header. headers:
    the others, names in lower case.
    """

    def __init__(
        self,
        status: int,
        rpc: int,
        reason: str,
        message: str,
        *,
        challenge: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.rpc = rpc
        self.reason = reason
        self.message = message
        self.challenge = challenge
        self.headers = tuple(headers)

    def all_headers(self, resource_metadata: str | None = None) -> list[tuple[str, str]]:
        """The challenge included. resource_metadata: the address of the RFC 9728 document, where the server has one."""
        if self.challenge is None:
            return list(self.headers)
        named = f'resource_metadata="{resource_metadata}"' if resource_metadata else ""
        challenge = ", ".join(part for part in (self.challenge, named) if part)
        return [*self.headers, ("www-authenticate", f"Bearer {challenge}".strip())]


def by_table(
    code: str, message: str, *, challenge: str | None = None, headers: Sequence[tuple[str, str]] = ()
) -> Refused:
    """With the status and the code that the table of reasons has for it."""
    row = REASONS[code]
    return Refused(row.status, row.rpc, code, message, challenge=challenge, headers=headers)


def refusal_of(error: NotVerified, operation: Operation | None, profile: Profile) -> Refused:
    """operation: what was asked for, to name the scope that it needs by this profile; None where nobody knows."""
    rpc = error.status * 100 + _OWN_CODE
    if not isinstance(error, VerificationError):
        message = "the call token cannot be verified now"
        return Refused(error.status, rpc, error.code, message, headers=[("retry-after", str(_RETRY_SECONDS))])
    reason, message = error.public
    challenge = 'error="invalid_token"'
    if error.status == 403:
        scope = "" if operation is None else profile.scope_of(operation.method, operation.name)
        named = f', scope="{scope}"' if 0 < len(scope) <= _SCOPE_LENGTH else ""
        challenge = f'error="insufficient_scope"{named}'
    return Refused(error.status, rpc, reason, message, challenge=challenge)


def missing_token(how: str) -> Refused:
    """how: by which way one should have come."""
    return by_table("credential_missing", f"no call token: {how}", challenge="")


def bearer_token(values: Sequence[bytes]) -> bytes:
    """The one token of the one Authorization header (RFC 6750 section 2.1; query and body are never looked at).

    values: of all such headers. Raises Refused.
    """
    if len(values) > 1:
        raise by_table("ambiguous_credentials", "more than one Authorization header")
    if not values or values[0][:7].lower() != b"bearer ":
        raise missing_token("send it as a bearer token")
    match = _BEARER.fullmatch(values[0])
    if match is None:
        text = "the Authorization header is not `Bearer`, one space and one token"
        raise by_table("credential_invalid", text, challenge='error="invalid_token"')
    return match[1]


def bare_token(name: bytes, values: Sequence[bytes]) -> bytes:
    """The one token of a header that holds nothing else. name: of the header. values: of all such headers. Raises Refused."""
    shown = name.decode("ascii")
    if len(values) > 1:
        raise by_table("ambiguous_credentials", f"more than one {shown} header")
    if not values or not values[0]:
        raise missing_token(f"send it in the header {shown}")
    if _BARE.fullmatch(values[0]) is None:
        raise by_table("credential_invalid", f"the header {shown} is not one token", challenge='error="invalid_token"')
    return values[0]
