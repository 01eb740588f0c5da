"""`forward_headers`: the headers of callers that one server gets, by name, and those that none ever gets.

A name is refused where a server, or whoever stands before one, takes such a header for more than the caller's word: for a
credential, for who calls, for where the request comes from, for how it is framed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, StrictStr

from counterseal.config.problems import Faults, wrong
from counterseal.config.signer import Signer, plain
from counterseal.core.limits import LIMITS
from counterseal.hooks.view import CREDENTIALS
from counterseal.wire.headers import is_own
from counterseal.wire.meanings import has_meaning

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,126}[A-Za-z0-9])?")

# LiteLLM reads `x-mcp-{server}-{header}` as a credential for a server, and these as what they say.
_LITELLM: Final = re.compile(r"x-mcp-(?:auth|servers|[a-z0-9]+-.+)")
_WHO: Final = (
    "cf-access-",
    "remote-",
    "tailscale-user-",
    "x-amzn-oidc-",
    "x-auth-request-",
    "x-authenticated-",
    "x-authentik-",
    "x-forwarded-",
    "x-goog-authenticated-user-",
    "x-goog-iap-",
    "x-ms-client-principal",
    "x-ms-token-",
    "x-remote-",
    "x-webauth-",
)
_WHERE: Final = frozenset(
    [
        "cf-connecting-ip",
        "client-ip",
        "fastly-client-ip",
        "forwarded",
        "true-client-ip",
        "via",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-envoy-external-address",
        "x-original-forwarded-for",
        "x-real-ip",
    ]
)
_REQUEST: Final = frozenset(
    [
        "authentication-info",
        "cache-control",
        "date",
        "max-forwards",
        "pragma",
        "range",
        "www-authenticate",
    ]
)
_REQUEST_FAMILIES: Final = ("access-control-", "if-", "x-accel-")

_IS_CREDENTIAL: Final = (
    "carries a credential for this gateway, which no server gets: remove it; for a credential that the server itself gave the "
    "caller write `passthrough`"
)
_SAYS_WHO: Final = (
    "is taken by servers for who calls or from where, and a caller could write anything there: remove it, and let the server "
    "read the call token"
)
_IS_LITELLMS: Final = (
    "is read by LiteLLM as a credential for a server, or as a choice of servers: remove it; for a credential that the server "
    "itself gave the caller write `passthrough`"
)
_IS_REQUEST: Final = "routes, frames or changes the request, which the gateway writes itself: remove it"


def fault_of(name: str) -> str | None:
    """Why no server can get a header of this name from a caller, and what to do instead; None where one can."""
    if "_" in name:
        return "has an underscore, which many take for `-`, so that it could be read as another header: write `-`, and send that"
    if not _NAME.fullmatch(name):
        return "is no exact name of a header: use letters, digits and `-`, at most 128"
    lower = name.lower()
    if lower in CREDENTIALS or lower.startswith("proxy-auth"):
        return _IS_CREDENTIAL
    if _LITELLM.fullmatch(lower):
        return _IS_LITELLMS
    if lower in _WHERE or lower.startswith(_WHO):
        return _SAYS_WHO
    if is_own(lower) or has_meaning(lower) or lower in _REQUEST or lower.startswith(_REQUEST_FAMILIES):
        return _IS_REQUEST
    return None


def _name(text: str) -> str:
    if (fault := fault_of(text)) is not None:
        raise wrong(fault)
    return text


def _few_and_once(names: tuple[str, ...]) -> tuple[str, ...]:
    faults, seen = Faults(), set[str]()
    for index, name in enumerate(names):
        if name.lower() in seen:
            faults.add("is in this list already: remove it here", index)
        seen.add(name.lower())
    if len(names) > LIMITS.forward_header_count:
        faults.add(f"are more than {LIMITS.forward_header_count} headers: name fewer")
    faults.check()
    return names


ForwardHeaders = Annotated[tuple[Annotated[StrictStr, AfterValidator(_name)], ...], AfterValidator(_few_and_once)]


def conflicts(
    names: Iterable[str], static: Iterable[str], signers: Mapping[str, Signer], passed: Mapping[str, str]
) -> Iterator[tuple[int, str]]:
    """Those that are something else in this configuration, by their position, and why. static: the server's own headers.
    signers: of every server. passed: where each server's own credential comes in (`passthrough`), by the server."""
    taken: dict[str, str] = {}
    for server, header in passed.items():
        taken[plain(header)] = f"carries a credential for the server `{server}` (`passthrough`): use another header"
    for signer in signers.values():
        taken[plain(signer.header)] = (
            "is where a call token goes, so that one could be taken for the other: use another header"
        )
        taken[plain(signer.channel_token_header)] = (
            "is where channel tokens come in, which no server gets: use another header"
        )
        for source in signer.identity_headers:
            taken[plain(source)] = (
                "may name the subject by `end_user_claim_sources`: remove it in one of the two; the server reads the subject "
                "in the call token"
            )
    for header in static:
        taken[plain(header)] = "is one of the server's own `headers`: keep one of them"
    for index, name in enumerate(names):
        if plain(name) in taken:
            yield index, taken[plain(name)]
