"""The rules for a claims set: who issued it, for whom, when, of which kind, about whom.

`now` is an argument. The boundary is that of RFC 7519 section 4.1.4: at `exp` plus the leeway a token is over. Numbers are
finite and within the years that dates have, and a boolean is not a number (J-14).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from counterseal.jose.jws import Verified
from counterseal.jose.refusal import TokenRefused
from counterseal.jose.spelling import difference

LATEST: Final = 253402300799
"""The last second of the year 9999."""

USUAL_LEEWAY: Final = 30.0
MOST_LEEWAY: Final = 60.0
MOST_AUDIENCES: Final = 10
SUBJECT_LENGTH: Final = 255
_NUMBERS: Final = (int, float)
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRules:
    """What one party asks of the tokens of one issuer.

    issuer: the exact `iss`. audiences: a token must name one of them, exactly. single_audience: `aud` must be that one
    string, not a list. types: the allowed `typ` (RFC 7515 section 4.1.9: case does not count, nor does a prefix
    `application/`); untyped: a token without `typ` passes too. leeway: seconds, at most 60. longest_life: seconds from `iat`
    to `exp`, which makes `iat` required; None sets no limit. subject: `sub` is required. confirmed: the caller of `check`
    has the proof of possession that `cnf` asks for.
    """

    issuer: str
    audiences: tuple[str, ...]
    types: tuple[str, ...]
    single_audience: bool = False
    untyped: bool = False
    leeway: float = USUAL_LEEWAY
    longest_life: float | None = None
    subject: bool = True
    confirmed: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.leeway <= MOST_LEEWAY:
            raise ValueError(f"the leeway must be 0 to {MOST_LEEWAY:g} seconds")
        if not self.issuer or not self.audiences or not all(self.audiences):
            raise ValueError("an issuer and an audience are needed, and neither may be empty")


def check(verified: Verified, rules: ClaimRules, now: float) -> None:
    """Hold a verified token against the rules. now: seconds since the epoch. Raises TokenRefused."""
    claims = verified.claims
    if claims.get("iss") != rules.issuer:
        raise TokenRefused("issuer", difference("iss", claims.get("iss"), rules.issuer))
    _check_type(verified.typ, rules)
    if "events" in claims:
        raise TokenRefused("typ", "a security event (RFC 8417), not an access token")
    check_audience(claims.get("aud"), rules)
    _check_times(claims, rules, now)
    if "sub" in claims or rules.subject:
        _check_subject(claims.get("sub"))
    if "cnf" in claims and not rules.confirmed:
        raise TokenRefused("confirmation", "the token is bound to a key (RFC 7800) and came without the proof")


def is_type(typ: str | None, allowed: str) -> bool:
    """Whether a token's `typ` is that type: case does not count, nor does a prefix `application/`."""
    return typ is not None and _media_type(typ) == _media_type(allowed)


def _check_type(typ: str | None, rules: ClaimRules) -> None:
    if typ is None:
        if not rules.untyped:
            raise TokenRefused("typ", f"the header has no `typ`; {' or '.join(rules.types)} is expected")
        return
    if typ in rules.types:
        return
    kind = _media_type(typ)
    if all(_media_type(allowed) != kind for allowed in rules.types):
        raise TokenRefused("typ", f"`typ` is not {' or '.join(rules.types)}: another kind of token")


def _media_type(typ: str) -> str:
    return typ.lower().removeprefix("application/")


def check_audience(aud: Any, rules: ClaimRules) -> None:
    """Hold the value of `aud` alone against the rules. Raises TokenRefused."""
    if isinstance(aud, str):
        if aud not in rules.audiences:
            raise TokenRefused("audience", _why_not(aud, rules))
        return
    if not isinstance(aud, list):
        raise TokenRefused("audience", "`aud` is missing or neither a string nor a list")
    if rules.single_audience:
        raise TokenRefused("audience", "`aud` is a list; one audience as a string is expected")
    if not 0 < len(aud) <= MOST_AUDIENCES or not all(isinstance(one, str) for one in aud):
        raise TokenRefused("audience", f"`aud` is not a list of 1 to {MOST_AUDIENCES} strings")
    if not set(aud) & set(rules.audiences):
        raise TokenRefused("audience", "`aud` is a list without our audience")


def _why_not(aud: str, rules: ClaimRules) -> str:
    if aud == rules.issuer:
        return "`aud` is the issuer itself, not our audience"
    return difference("aud", aud, rules.audiences[0])


def _check_times(claims: Mapping[str, Any], rules: ClaimRules, now: float) -> None:
    exp, nbf, iat = (_numeric_date(claims, name) for name in ("exp", "nbf", "iat"))
    if exp is None:
        raise TokenRefused("time", "`exp` is missing")
    if nbf is not None and nbf > exp:
        raise TokenRefused("lifetime", "`nbf` is after `exp`")
    if iat is not None and iat > exp:
        raise TokenRefused("lifetime", "`iat` is after `exp`")
    if rules.longest_life is not None:
        if iat is None:
            raise TokenRefused("lifetime", "`iat` is missing, so nobody can tell how long the token lives")
        if exp - iat > rules.longest_life:
            raise TokenRefused("lifetime", f"the token lives longer than {rules.longest_life:g} seconds")
    if now >= exp + rules.leeway:
        raise TokenRefused("expired", "the token is over")
    if nbf is not None and now < nbf - rules.leeway:
        raise TokenRefused("not_yet_valid", "`nbf` is in the future")
    if iat is not None and now < iat - rules.leeway:
        raise TokenRefused("not_yet_valid", "`iat` is in the future")


def _numeric_date(claims: Mapping[str, Any], name: str) -> float | None:
    """RFC 7519 section 2; None where the claim is absent. `null` is not absent."""
    if name not in claims:
        return None
    value = claims[name]
    # A boolean is an int to `isinstance`. The comparison is false for NaN and for the infinities.
    if type(value) not in _NUMBERS or not 0 <= value <= LATEST:
        raise TokenRefused("time", f"`{name}` is not a number of seconds within the years 1970 to 9999")
    date: float = value
    return date


def _check_subject(sub: Any) -> None:
    if not isinstance(sub, str) or not 0 < len(sub) <= SUBJECT_LENGTH:
        raise TokenRefused("subject", f"`sub` is not a string of 1 to {SUBJECT_LENGTH} characters")
    if not sub.isprintable() and any(unicodedata.category(character) in _UNPRINTABLE for character in sub):
        raise TokenRefused("subject", "`sub` has control or format characters")
