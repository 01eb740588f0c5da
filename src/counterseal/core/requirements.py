"""What a server asks of its callers' credentials beyond the policy: a token, and claims in it (docs/errors.md).

A claim that is missing, null or empty is missing; `false` and `0` are there (I-07). For an API key, which is no token,
the fields of the key and its metadata are what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from counterseal.core.caller import Caller
from counterseal.core.paths import ABSENT, Path, is_missing, written
from counterseal.core.permit import ClaimsRefused
from counterseal.core.sources import Look, said

Mode = Literal["sign", "verify_and_resign"]
"""sign: whoever the gateway lets in is signed for. verify_and_resign: a call needs a token of an identity provider, which alone
says who the subject is."""

SCALARS: Final = frozenset([str, bool, int])
"""What an expected value may be. `true` is not 1, and a text is not a number."""

_KINDS: Final = {"api_key": "an API key", "token": "a token", "anonymous": "no credential"}


@dataclass(frozen=True, slots=True)
class Required:
    """A claim that a caller's credential must have. values: one of which it must be, or have among its items, of the same type;
    None for any. where: the key of the configuration and its place."""

    path: Path
    values: Sequence[Any] | None = None
    where: str = ""
    _look: Look = field(init=False, repr=False, compare=False)
    _wanted: frozenset[tuple[type, Any]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_look", said(self.path))
        object.__setattr__(self, "_wanted", frozenset((type(one), one) for one in self.values or ()))

    def met(self, caller: Caller) -> bool:
        """Whether the credential says it."""
        value = self._look(caller)
        if value is ABSENT or (not value and is_missing(value)):
            return False
        if self.values is None:
            return True
        kind = type(value)
        if kind is list or kind is tuple:
            return any(type(one) in SCALARS and (type(one), one) in self._wanted for one in value)
        return kind in SCALARS and (kind, value) in self._wanted


def token_required(caller: Caller, server: str, where: str) -> ClaimsRefused:
    """The refusal of a caller without a token. It is never guessed from the claims that happen to be there."""
    what = (
        f"calls to {server!r} need an access token of an identity provider, and this caller has {_KINDS[caller.kind]}"
    )
    return ClaimsRefused("token_required", what, where)


def claims_missing(caller: Caller, missing: Sequence[Required]) -> ClaimsRefused:
    """The refusal of a caller who does not meet these. It names all of them, and where they should come from."""
    names = ", ".join(
        f"`{written(one.path)}`{'' if one.values is None else ' (of an expected value)'}" for one in missing
    )
    match caller.kind:
        case "token":
            where = f"the access token lacks them: they must come from {caller.issuer}"
        case "api_key":
            where = "the API key lacks them: they must be among its fields or its metadata"
        case "anonymous":
            where = "an anonymous caller has none: they must come from an access token or an API key"
    return ClaimsRefused("required_claim_missing", f"the call needs the claims {names}; {where}", missing[0].where)
