"""The kinds of value that keys take: how each is written, what is refused, and the remedy."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BeforeValidator, StrictInt, StrictStr

from counterseal.config.problems import Faults, nearest, wrong
from counterseal.core.methods import METHODS
from counterseal.core.paths import steps_of
from counterseal.core.policy import CALLER_FIELDS
from counterseal.jose.algorithms import ESTABLISHED, EXPERIMENTAL, SIGNING
from counterseal.jose.claims import MOST_LEEWAY

V = TypeVar("V")

MAX_TTL_SECONDS: Final = 900


def one_of(names: Iterable[str]) -> AfterValidator:
    names = tuple(names)

    def check(value: str) -> str:
        if value not in names:
            raise wrong(f"must be one of {', '.join(names)}")
        return value

    return AfterValidator(check)


def some(values: tuple[V, ...]) -> tuple[V, ...]:
    """Not an empty list, which could be taken for all and for none."""
    if not values:
        raise wrong("is an empty list, which nothing can match: name something, or leave the key out")
    return values


def distinct(values: tuple[V, ...]) -> tuple[V, ...]:
    faults = Faults()
    for index, value in enumerate(values):
        if value in values[:index]:
            faults.add("is in this list already: remove it here", index)
    faults.check()
    return values


def frozen(values: Mapping[str, V]) -> Mapping[str, V]:
    return MappingProxyType(dict(values))


# texts and names


def _printable(text: str) -> str:
    if not text:
        raise wrong("is an empty text: write a value, or leave the key out")
    if not text.isprintable() or text != text.strip():
        raise wrong("begins or ends with white space, or holds characters that cannot be seen: remove them")
    return text


def _pattern(text: str) -> str:
    if not unicodedata.is_normalized("NFC", text):
        raise wrong("is not in Unicode normal form C, so it would match no name: write it with composed characters")
    return text


# Without `__` and a `_` at the end, `{server}__{tool}` can be taken apart in one way only (S-04).
_SERVER_NAME: Final = re.compile(r"(?=.{1,63}$)[A-Za-z0-9](?:_?[A-Za-z0-9-])*")


def _server_name(text: str) -> str:
    if not _SERVER_NAME.fullmatch(text):
        raise wrong(
            "is no name for a server: use at most 63 letters, digits, `-` and single `_`, with a letter or digit first; "
            "`__` separates server and tool"
        )
    return text


def _method(text: str) -> str:
    if "*" not in text and text not in METHODS:
        raise wrong(f"is not a method of MCP{nearest(text, METHODS)}")
    return text


def _caller_field(text: str) -> str:
    if text not in CALLER_FIELDS:
        raise wrong(f"is not something that a rule can ask about a caller{nearest(text, CALLER_FIELDS)}")
    return text


NO_DEFAULT: Final = (
    "is experimental and no default, because almost no verifier knows it: {remedy}, and name it as `signer.algorithm` of the "
    "servers that can verify it"
)
"""Why an experimental algorithm cannot be that of every server."""


def _usual_first(algorithms: tuple[str, ...]) -> tuple[str, ...]:
    faults = Faults()
    if algorithms[0] in EXPERIMENTAL:
        faults.add(NO_DEFAULT.format(remedy="put RS256 or ES256 before it"), 0)
    faults.check()
    return algorithms


def _one_or_more(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, tuple):
        raise wrong("must be a text or a list of texts")
    return value


Text = Annotated[StrictStr, AfterValidator(_printable)]
Line = Annotated[StrictStr, AfterValidator(lambda text: _printable(text) if text else text)]
Pattern = Annotated[Text, AfterValidator(_pattern)]
Patterns = Annotated[tuple[Pattern, ...], AfterValidator(some)]
CallerPatterns = Annotated[Patterns, BeforeValidator(_one_or_more)]
CallerField = Annotated[StrictStr, AfterValidator(_caller_field)]
MethodPatterns = Annotated[tuple[Annotated[Pattern, AfterValidator(_method)], ...], AfterValidator(some)]
ServerName = Annotated[StrictStr, AfterValidator(_server_name)]
SigningAlgorithm = Annotated[StrictStr, one_of(SIGNING)]
SigningAlgorithms = Annotated[
    tuple[SigningAlgorithm, ...], AfterValidator(some), AfterValidator(distinct), AfterValidator(_usual_first)
]
VerifyingAlgorithm = Annotated[StrictStr, one_of(ESTABLISHED)]


# numbers

_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(value: Any) -> Any:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        return int(match[1]) * _UNITS[match[2]]
    if type(value) is not int:
        hint = "without quotes, " if isinstance(value, str) and value.isdigit() else ""
        raise wrong(f"must be a whole number of seconds, {hint}or a duration such as 90s, 5m, 12h or 30d")
    return value


def _ttl(value: int) -> int:
    if not 0 < value <= MAX_TTL_SECONDS:
        raise wrong(
            f"must be more than 0 and at most {MAX_TTL_SECONDS} seconds: a call token is for one call that is made now"
        )
    return value


def _leeway(value: int) -> int:
    if not 0 <= value <= MOST_LEEWAY:
        raise wrong(f"must be 0 to {MOST_LEEWAY:g} seconds: clocks that differ by more want to be mended")
    return value


def _life(value: int) -> int:
    if value <= 0:
        raise wrong("must be more than 0 seconds; leave the key out for any life")
    return value


def _port(value: int) -> int:
    if not 0 <= value <= 65535:
        raise wrong("must be a port from 1 to 65535, or 0 for any that is free")
    return value


Duration = Annotated[StrictInt, BeforeValidator(_seconds)]
Ttl = Annotated[Duration, AfterValidator(_ttl)]
Leeway = Annotated[Duration, AfterValidator(_leeway)]
Life = Annotated[Duration, AfterValidator(_life)]
Port = Annotated[StrictInt, AfterValidator(_port)]


# claims

_SCOPE_TOKEN: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}")
_MEDIA_TYPE: Final = re.compile(r"(?:application/)?[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}", re.IGNORECASE)
_NO_ACCESS_TOKENS: Final = frozenset(
    [
        "logout+jwt",
        "secevent+jwt",
        "dpop+jwt",
        "id_token",
        "token-introspection+jwt",
        "client-authentication+jwt",
        "kb+jwt",
    ]
)


def at_dots(value: Any) -> Any:
    """A text is taken apart at its dots; a list has the steps as they are, for a name with a dot in it."""
    if isinstance(value, str):
        return steps_of(value)
    if not isinstance(value, tuple):
        raise wrong(
            "must be the name of a claim, a path with dots (`realm_access.roles`), or a list of the path's steps"
        )
    return value


def _claim_path(steps: tuple[str, ...]) -> tuple[str, ...]:
    if not steps or not all(step and step.isprintable() for step in steps):
        raise wrong("has an empty step, or characters that cannot be seen: write each step of the path to the claim")
    return steps


def _scope_token(text: str) -> str:
    if not _SCOPE_TOKEN.fullmatch(text):
        raise wrong("is no scope (RFC 6749 section 3.3): one scope an item, without spaces, quotes and backslashes")
    return text


def _token_type(text: str) -> str:
    if not _MEDIA_TYPE.fullmatch(text):
        raise wrong("is no type of a token: write what its header has as `typ`, such as `at+jwt`")
    if text.lower().removeprefix("application/") in _NO_ACCESS_TOKENS:
        raise wrong("is a type that says that the token is no access token: remove it")
    return text


ClaimPath = Annotated[tuple[StrictStr, ...], BeforeValidator(at_dots), AfterValidator(_claim_path)]
ScopeToken = Annotated[StrictStr, AfterValidator(_scope_token)]
TokenType = Annotated[StrictStr, AfterValidator(_token_type)]
