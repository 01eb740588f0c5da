"""What an identity provider says about itself (OpenID Connect Discovery 1.0 section 3, RFC 8414 section 2).

Its `issuer` must be the configured one, to the byte (K-01), and its `jwks_uri` must stay at its own host or one that
the operator lists (K-02). Nothing else of it decides anything.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from counterseal.core import strict_json
from counterseal.core.limits import Limits
from counterseal.identity.egress import NotAllowed, place_of
from counterseal.identity.fetch import FetchFailed
from counterseal.jose.jwk import KeySet, NotAKeySet, read_jwks

_DEPTH: Final = 16
_MEMBERS: Final = 10_000
_ALGORITHM: Final = re.compile(r"[A-Za-z0-9+-]{1,32}")


@dataclass(frozen=True, slots=True)
class Discovery:
    """What we read of it, unchecked. None: absent or not a string. algorithms: those that it announces for what it signs."""

    issuer: str | None
    jwks_uri: str | None
    algorithms: tuple[str, ...]


def read_discovery(body: bytes, limits: Limits) -> Discovery:
    """Raises FetchFailed for what is not one JSON object that every reader understands alike."""
    if len(body) > limits.discovery_bytes:
        raise FetchFailed(f"the discovery document is longer than {limits.discovery_bytes} bytes")
    try:
        document = strict_json.read(body, depth=_DEPTH, members=_MEMBERS)
    except (strict_json.NotStrict, strict_json.TooBig) as error:
        raise FetchFailed(f"the discovery document is not strict JSON: {error}") from None
    if not isinstance(document, dict):
        raise FetchFailed("the discovery document is not a JSON object")
    algorithms = document.get("id_token_signing_alg_values_supported")
    return Discovery(
        issuer=_text(document.get("issuer")),
        jwks_uri=_text(document.get("jwks_uri")),
        algorithms=tuple(filter(_is_algorithm, algorithms)) if isinstance(algorithms, list) else (),
    )


def keys_address(found: Discovery, *, issuer: str, uri: str, hosts: Collection[str] | None) -> str:
    """Where the keys are. uri: where the document was. hosts: others that the operator allows; None where there is no way to
    allow any. Raises FetchFailed."""
    check_issuer(found, issuer)
    return check_address(found, uri, hosts)


def check_issuer(found: Discovery, issuer: str) -> None:
    """K-01. Raises FetchFailed."""
    if found.issuer is None:
        raise FetchFailed("the discovery document has no `issuer`")
    if found.issuer != issuer:
        raise FetchFailed(
            f"the discovery document's `issuer` is {shown(found.issuer)} and differs in {_difference(found.issuer, issuer)}: "
            "configure exactly that, if it is the one you mean"
        )


def check_address(found: Discovery, uri: str, hosts: Collection[str] | None) -> str:
    """K-02: where the keys are, if the document is the issuer's. The rest is as for `keys_address`."""
    if found.jwks_uri is None:
        raise FetchFailed("the discovery document has no `jwks_uri`")
    try:
        home, place = place_of(uri), place_of(found.jwks_uri)
    except NotAllowed as error:
        raise FetchFailed(f"`jwks_uri` of the discovery document: {error}") from None
    if home.tls and not place.tls:
        raise FetchFailed(
            "`jwks_uri` of the discovery document is http: whoever can change these keys on their way can be anybody"
        )
    if place.host not in {home.host, *(host.lower() for host in hosts or ())}:
        remedy = f"add {place.host} to `jwks_hosts`" if hosts is not None else "configure it in place of the document"
        raise FetchFailed(f"`jwks_uri` of the discovery document is at another host: if that is right, {remedy}")
    return found.jwks_uri


def read_keys(body: bytes, limits: Limits) -> KeySet:
    """Its keys. Raises FetchFailed for what is no key set."""
    try:
        return read_jwks(body, limits)
    except NotAKeySet as error:
        raise FetchFailed(f"the key set is none: {error}") from None


def shown(text: str | None) -> str:
    """Somebody else's text for a message: short, in quotes, without a character that a terminal or a log acts on."""
    return "missing" if text is None else ascii(text[:200])


def _difference(one: str, other: str) -> str:
    """How two issuers that are not the same differ, for somebody who sees no difference."""
    if one.rstrip("/") == other.rstrip("/"):
        return "a slash at the end"
    if one.lower() == other.lower():
        return "capital letters"
    if one.partition("://")[2] == other.partition("://")[2]:
        return "what stands before `://`"
    same = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    return f"what stands from character {(min(len(one), len(other)) if same is None else same) + 1} on"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _is_algorithm(value: Any) -> bool:
    return isinstance(value, str) and _ALGORITHM.fullmatch(value) is not None
