"""What a hook gave back, checked before anything is made of it. What fits is copied, so that a hook that keeps its own and
changes it later changes nothing (P-01); what doesn't fit is `NotAcceptable`, and the call is refused.

Arguments are what a caller could have sent: the types of a JSON reader, within its ceilings, with a canonical form. Claims have
names that are not reserved and values within the ceilings of a token. Headers are none that the gateway writes itself, and none
that two readers could split (P-04).
"""

from __future__ import annotations

import inspect
import math
import re
from types import MappingProxyType
from typing import Any, Final

from counterseal.core.canonical import NotCanonical, arguments_digest
from counterseal.core.limits import Limits
from counterseal.core.names import is_claim_name, reserved_in
from counterseal.hooks.protocols import Additions, Answer, Deny, Headers, Pass, Replace
from counterseal.wire.headers import is_own

MESSAGE_LENGTH: Final = 500
_SAFE_INTEGER: Final = 2**53 - 1
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


class NotAcceptable(ValueError):
    """The text says why, and quotes no value."""


def answer(given: Any, limits: Limits) -> Answer:
    """What a gate answered. Raises NotAcceptable."""
    kind = type(given)
    if kind is Pass:
        return Pass(headers(given.headers, limits))
    if kind is Replace:
        return Replace(arguments(given.arguments, limits), headers(given.headers, limits))
    if kind is Deny:
        return Deny(_message(given.message))
    raise _wrong_type(given, "a Pass, a Deny or a Replace")


def additions(given: Any, limits: Limits) -> Additions:
    """What a claim source answered. Raises NotAcceptable."""
    if type(given) is not Additions:
        raise _wrong_type(given, "an Additions")
    return Additions(claims(given.claims, limits), headers(given.headers, limits))


def nothing(given: Any) -> None:
    """What an observer answered. Raises NotAcceptable."""
    if given is not None:
        raise _wrong_type(given, "None")


def _wrong_type(given: Any, wanted: str) -> NotAcceptable:
    if inspect.iscoroutine(given):
        given.close()
    return NotAcceptable(f"it gave back {type(given).__name__:.80} and not {wanted}")


def _message(text: Any) -> str:
    if type(text) is not str or not 0 < len(text) <= MESSAGE_LENGTH or not text.isprintable():
        # It is a denial all the same.
        return "the call is denied"
    return text


def arguments(given: Any, limits: Limits) -> dict[str, Any]:
    """Arguments as a JSON reader makes them, sharing nothing with what was given. Raises NotAcceptable."""
    copy = _Copy(limits.json_depth, limits.json_members, limits.body_bytes, limits.body_bytes)
    copied: dict[str, Any] = copy.mapping(given, "the arguments")
    try:
        arguments_digest(copied)
    except NotCanonical as error:
        raise NotAcceptable(f"the arguments have no one meaning: {error}") from None
    return copied


def claims(given: Any, limits: Limits) -> dict[str, Any]:
    """Claims with their values, sharing nothing with what was given. Raises NotAcceptable."""
    copy = _Copy(
        limits.token_json_depth - 1, limits.hook_claim_members, limits.call_token_bytes, limits.token_string_bytes
    )
    copied: dict[str, Any] = copy.mapping(given, "the claims")
    for name in copied:
        if reserved_in(name) is not None:
            raise NotAcceptable("it adds a reserved claim, which the gateway alone decides")
        if not is_claim_name(name):
            raise NotAcceptable("it adds a claim whose name is not of at most 128 letters, digits and `_:./-`")
    return copied


def headers(given: Any, limits: Limits) -> Headers:
    """Headers, checked one by one and all together. Raises NotAcceptable."""
    if type(given) not in (tuple, list):
        raise NotAcceptable("its headers are not a tuple of pairs")
    if len(given) > limits.hook_header_count:
        raise NotAcceptable(f"it adds more than {limits.hook_header_count} headers")
    found: dict[str, tuple[str, str]] = {}
    for pair in given:
        if type(pair) not in (tuple, list) or len(pair) != 2 or not all(type(one) is str for one in pair):
            raise NotAcceptable("its headers are not a tuple of pairs of texts")
        name, value = pair
        if (fault := header_fault(name, value, limits)) is not None:
            raise NotAcceptable(fault)
        if name.lower() in found:
            raise NotAcceptable(f"it adds the header {name} twice")
        found[name.lower()] = (name, value)
    return tuple(found.values())


def header_fault(name: str, value: str, limits: Limits) -> str | None:
    """Why no hook may add this header; None where one may, unless the server has a header of this name already."""
    if not _TOKEN.fullmatch(name):
        return "it adds a header whose name is no name of a header"
    if name.lower() == "authorization" or is_own(name.lower()):
        return f"it adds the header {name}, which the gateway alone writes"
    if len(value) > limits.hook_header_bytes:
        return f"it adds the header {name} with more than {limits.hook_header_bytes} bytes"
    if not _VALUE.fullmatch(value):
        return f"it adds the header {name} with a value that is not one line of printable ASCII"
    return None


class _Copy:
    """Copies a JSON value, while it stays within its ceilings. Objects and arrays may be read-only. size: bytes of all its texts,
    longest: bytes of one."""

    def __init__(self, depth: int, members: int, size: int, longest: int) -> None:
        self._depth = depth
        self._members = members
        self._size = size
        self._longest = longest

    def mapping(self, given: Any, what: str) -> Any:
        if type(given) not in (dict, MappingProxyType):
            raise NotAcceptable(f"{what} are {type(given).__name__:.80} and not a dict")
        return self._value(given, 1)

    def _value(self, given: Any, level: int) -> Any:
        kind = type(given)
        if given is None or kind is bool:
            return given
        if kind is str:
            return self._text(given)
        if kind is int:
            if not -_SAFE_INTEGER <= given <= _SAFE_INTEGER:
                raise NotAcceptable("it holds a whole number beyond 2^53")
            return given
        if kind is float:
            if not math.isfinite(given):
                raise NotAcceptable("it holds a number that JSON does not have")
            return given
        if level > self._depth:
            raise NotAcceptable("it is nested too deep")
        if kind is dict or kind is MappingProxyType:
            return {self._name(name): self._value(one, level + 1) for name, one in self._counted(given.items())}
        if kind is list or kind is tuple:
            return [self._value(one, level + 1) for one in self._counted(given)]
        raise NotAcceptable(f"it holds {kind.__name__:.80}, which JSON does not have")

    def _counted(self, items: Any) -> Any:
        for one in items:
            self._members -= 1
            if self._members < 0:
                raise NotAcceptable("it holds too many members")
            yield one

    def _name(self, name: Any) -> str:
        if type(name) is not str:
            raise NotAcceptable("it holds an object with a name that is not a text")
        return self._text(name)

    def _text(self, text: str) -> str:
        size = len(text)
        if not text.isascii() and size <= self._longest:
            try:
                size = len(text.encode())
            except UnicodeEncodeError:
                raise NotAcceptable("it holds a text that is not Unicode") from None
        self._size -= size
        if self._size < 0 or size > self._longest:
            raise NotAcceptable("it holds too much text")
        return text
