"""What each claim of a token means, in a few words for people. The token commands and the demo show the same words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from counterseal.jose.algorithms import EXPERIMENTAL

WORDS: Final[Mapping[str, str]] = {
    "iss": "who signed: the gateway",
    "aud": "for whom: this one server and no other",
    "sub": "the subject: on whose behalf the call is made",
    "client_id": "the caller's API key or OAuth client",
    "azp": "the OAuth client that the token was issued to",
    "act": "the actor: who acts for the subject, outermost first",
    "scope": "the one operation that it allows",
    "iat": "when it was signed",
    "nbf": "not good before",
    "exp": "not good from then on",
    "jti": "its own id: good for one use",
    "txn": "the transaction: the same over retries of one call",
    "req_wl": "the workload that asked for it",
    "tctx": "what the transaction is about: server, method, name, digest of the arguments",
    "rctx": "who asked for it: the kind of caller, and the issuer that vouches for it",
    "authorization_details": "the call it is bound to: server, method, name, digest of the arguments",
    "cnf": "the key that whoever presents it must prove to hold",
    "email": "the subject's e-mail address",
    "email_verified": "whether the issuer has verified that address",
    "name": "the subject's name",
    "preferred_username": "the name the subject goes by",
    "auth_time": "when the subject logged in",
    "nonce": "ties it to one login",
    "acr": "how strongly the subject logged in",
    "amr": "by which means the subject logged in",
    "sid": "the login session",
    "groups": "groups of the subject",
    "roles": "roles of the subject",
}

OTHER: Final = "not one that Counterseal gives a meaning"


def word(claim: str) -> str:
    """A few words on a claim, in lower case and without a full stop."""
    return WORDS.get(claim, OTHER)


_HEADER_WORDS: Final[Mapping[str, str]] = {
    "alg": "how it was signed",
    "typ": "what kind of token it is: at+jwt is an access token (RFC 9068)",
    "kid": "which key of the issuer's JWKS signed it",
}


def header_words(header: Mapping[str, Any]) -> Mapping[str, str]:
    """The same for each parameter of a token's header."""
    if is_experimental(header):
        return {**_HEADER_WORDS, "alg": "how it was signed: experimental, almost no verifier knows it"}
    return _HEADER_WORDS


def is_experimental(header: Mapping[str, Any]) -> bool:
    """Whether a header names an algorithm that is experimental here."""
    return isinstance(header.get("alg"), str) and header["alg"] in EXPERIMENTAL


TIMES: Final = frozenset({"iat", "nbf", "exp", "auth_time"})


def is_time(claim: str, value: Any) -> bool:
    """Whether a claim's value is a number of seconds since 1970."""
    return claim in TIMES and isinstance(value, int | float) and not isinstance(value, bool)
