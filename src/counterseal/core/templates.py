"""Values of claims that are made for each call: JSON from the configuration with templates in its texts, compiled once.

    {key.metadata.tenant}        a field of the API key
    {claim.department}           a verified claim of the token, or a path to one
    {caller.team}                what identity found out, by the names that rules use (policy.CALLER_FIELDS)
    {call.name}                  server, method or name of the call
    {key.metadata.level:int}     as a number; also `text`, `bool` and `list`
    {claim.department|none}      what to say where there is none

* A text that is one template has the value as it is, a list for a list. In a longer text every value is written out, and must be
  a text, a number, true or false. `{{` and `}}` are braces.
* What is missing, empty or of another type raises Unavailable, unless there is something to say instead: a claim does not vanish.
* A template makes a value and never the name of a claim (I-04), and its value is within its bounds (I-05).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from counterseal.core.bounds import OutOfBounds, bounded
from counterseal.core.call import Call
from counterseal.core.caller import Caller
from counterseal.core.frozen import freeze, thaw
from counterseal.core.names import is_claim_name
from counterseal.core.paths import ABSENT, is_missing, steps_of
from counterseal.core.policy import CALLER_FIELDS
from counterseal.core.sources import KEY_FIELDS, Look, claim_at, key_field

Make = Callable[[Caller, Call], Any]
"""Makes a value for one call. What it returns shares nothing with anything that can be changed. Raises Unavailable."""

_TEMPLATE: Final = re.compile(
    r"(?P<root>[a-z]*)\.(?P<rest>[^{}|]+?)(?::(?P<cast>text|int|bool|list))?(?:\|(?P<default>[^{}]*))?"
)
_TOKENS: Final = re.compile(r"\{\{|\}\}|\{(?P<inside>[^{}]*)\}|[{}]")
_WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,15})")
_METADATA_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CALL_FIELDS: Final[Mapping[str, Callable[[Call], Any]]] = {
    "server": lambda call: call.server,
    "method": lambda call: call.method,
    "name": lambda call: call.name,
}
ROOTS: Final = ("key", "claim", "caller", "call")


class BadTemplate(ValueError):
    """A value is none that the configuration may have. The text says why, and where in the text it is.

    steps: the way to it within the value.
    """

    def __init__(self, what: str, *steps: str | int) -> None:
        super().__init__(what)
        self.steps = steps


class Unavailable(ValueError):
    """The value cannot be made for this call. The text says what it is made of, and holds no value."""


@dataclass(frozen=True, slots=True)
class Value:
    """A compiled value. template: the first template in it, for people; None where it is the same for every call."""

    make: Make
    template: str | None = None


def compile_value(value: Any) -> Value:
    """The value that the configuration has, ready to be made. Raises BadTemplate."""
    if value is None:
        raise BadTemplate("is empty: write a value; a claim is taken away with `remove_claims`")
    compiled = _compile(value, ())
    if isinstance(compiled, Value):
        return compiled
    return Value(_constant(compiled))


def _constant(value: Any) -> Make:
    """What is the same for every call, a new one each time. Raises BadTemplate."""
    try:
        constant = freeze(bounded(value))
    except OutOfBounds as error:
        raise BadTemplate(f"{error}: no claim may be so") from None
    if isinstance(constant, Mapping) or (isinstance(constant, tuple) and any(map(_holds_more, constant))):
        return lambda caller, call: thaw(constant)
    if isinstance(constant, tuple):
        return lambda caller, call: list(constant)
    return lambda caller, call: constant


def _holds_more(value: Any) -> bool:
    return isinstance(value, tuple | Mapping)


def _compile(value: Any, steps: tuple[str | int, ...]) -> Any:
    """A Value where there is a template somewhere in it, else the plain JSON value."""
    if isinstance(value, str):
        return _text(value, steps)
    if isinstance(value, Mapping):
        for name in value:
            if not is_claim_name(name):
                raise BadTemplate(
                    "is no name for a part of a claim: use at most 128 letters, digits and `_:./-`", *steps, name
                )
        parts = {name: _compile(one, (*steps, name)) for name, one in value.items()}
        return _object(parts) if any(isinstance(one, Value) for one in parts.values()) else parts
    if isinstance(value, list | tuple):
        items = [_compile(one, (*steps, index)) for index, one in enumerate(value)]
        return _list(items) if any(isinstance(one, Value) for one in items) else items
    return value


def _object(parts: Mapping[str, Any]) -> Value:
    makers = {name: _maker(one) for name, one in parts.items()}
    return Value(
        lambda caller, call: {name: make(caller, call) for name, make in makers.items()},
        _first_template(parts.values()),
    )


def _list(items: list[Any]) -> Value:
    makers = [_maker(one) for one in items]
    return Value(lambda caller, call: [make(caller, call) for make in makers], _first_template(items))


def _maker(part: Any) -> Make:
    return part.make if isinstance(part, Value) else _constant(part)


def _first_template(parts: Any) -> str | None:
    return next(one.template for one in parts if isinstance(one, Value))


def _text(text: str, steps: tuple[str | int, ...]) -> Any:
    parts: list[str | _Field] = []
    end = 0
    for match in _TOKENS.finditer(text):
        parts.append(text[end : match.start()])
        end = match.end()
        if match[0] in ("{{", "}}"):
            parts.append(match[0][0])
        elif match["inside"] is None:
            raise BadTemplate(
                f"has a `{match[0]}` at character {match.start() + 1} without the other brace: double it to have it as it is",
                *steps,
            )
        else:
            try:
                parts.append(_field(match["inside"]))
            except BadTemplate as error:
                what = f"has a template at character {match.start() + 1} that {error}"
                raise BadTemplate(what, *steps) from None
    parts = [part for part in [*parts, text[end:]] if part != ""]
    if len(parts) == 1 and isinstance(parts[0], _Field):
        return Value(parts[0].value(), text)
    writers = tuple(part.written() for part in parts if isinstance(part, _Field))
    if not writers:
        return "".join(str(part) for part in parts)
    # Of our own making: each value becomes one `%s`, and nothing in a value is looked at again.
    pattern = "".join("%s" if isinstance(part, _Field) else part.replace("%", "%%") for part in parts)
    return Value(_interpolated(pattern, writers), text)


def _interpolated(pattern: str, writers: tuple[Callable[[Caller, Call], str], ...]) -> Make:
    def make(caller: Caller, call: Call) -> str:
        made: str = pattern % tuple([write(caller, call) for write in writers])
        try:
            return bounded(made)  # type: ignore[no-any-return]
        except OutOfBounds as error:
            raise Unavailable(f"it {error}") from None

    return make


@dataclass(frozen=True, slots=True)
class _Field:
    """One template. name: what it asks for, for people. look: finds it, of_call: in the call. default: ABSENT for none."""

    name: str
    look: Callable[[Any], Any]
    of_call: bool
    cast: Callable[[Any], Any] | None
    default: Any

    def value(self) -> Make:
        """Makes the value as it is."""
        name, look, of_call, cast, default = self.name, self.look, self.of_call, self.cast, self.default

        def make(caller: Caller, call: Call) -> Any:
            found = look(call if of_call else caller)
            if (not found or found is ABSENT) and is_missing(found):
                if default is ABSENT:
                    raise Unavailable(f"`{name}` says nothing")
                return thaw(default)
            try:
                return bounded(found if cast is None else cast(found))
            except OutOfBounds as error:
                raise Unavailable(f"`{name}` {error}") from None
            except _OtherType as error:
                raise Unavailable(f"`{name}` is no {error}") from None

        return make

    def written(self) -> Callable[[Caller, Call], str]:
        """Makes the value as a part of a text, which is bounded as a whole."""
        name, look, of_call, cast, make = self.name, self.look, self.of_call, self.cast, self.value()

        def write(caller: Caller, call: Call) -> str:
            found = look(call if of_call else caller)
            if cast is None and type(found) is str and found:
                return found
            value = make(caller, call)
            if type(value) is str:
                return value
            if isinstance(value, list | dict):
                raise Unavailable(f"`{name}` is a list or an object, which no text can hold")
            return json.dumps(value)

        return write


def _field(inside: str) -> _Field:
    match = _TEMPLATE.fullmatch(inside)
    if match is None:
        raise BadTemplate("is none: write `{key.metadata.NAME}`, `{claim.PATH}`, `{caller.FIELD}` or `{call.FIELD}`")
    root, rest = match["root"], match["rest"]
    cast = _CASTS[match["cast"]]
    default: Any = ABSENT
    if match["default"] is not None:
        try:
            default = freeze(bounded(match["default"] if cast is None else cast(match["default"])))
        except (_OtherType, OutOfBounds):
            raise BadTemplate(f"says {match['cast'] or 'a text'} and has something else after `|`") from None
    return _Field(f"{root}.{rest}", _look(root, rest), root == "call", cast, default)


def _look(root: str, rest: str) -> Callable[[Any], Any]:
    match root:
        case "claim":
            return _look_at_claim(rest)
        case "key":
            return _look_at_key(rest)
        case "caller" | "call":
            fields: Mapping[str, Callable[[Any], Any]] = CALLER_FIELDS if root == "caller" else _CALL_FIELDS
            if rest not in fields:
                raise _unknown(root, rest, fields)
            return fields[rest]
    raise BadTemplate(f"begins with none of {', '.join(f'`{one}.`' for one in ROOTS)}")


def _look_at_claim(rest: str) -> Look:
    path = steps_of(rest)
    if not all(path) or not rest.isprintable() or " " in rest:
        raise BadTemplate("has an empty step, white space, or characters that cannot be seen, in its path to a claim")
    if ":" in rest and "://" not in rest:
        raise BadTemplate(f"says after `:` what is no type; there is {', '.join(filter(None, _CASTS))}")
    return claim_at(path)


def _look_at_key(rest: str) -> Look:
    if rest == "id":
        return CALLER_FIELDS["key"]
    kind, dot, name = rest.partition(".")
    if rest not in KEY_FIELDS and not (kind == "metadata" and dot and _METADATA_NAME.fullmatch(name)):
        raise _unknown("key", rest, ("id", *KEY_FIELDS, "metadata.NAME"))
    return key_field(rest)


def _unknown(root: str, rest: str, known: Any) -> BadTemplate:
    return BadTemplate(f"asks for `{root}.{rest}`, which there is not; there is {', '.join(known)}")


class _OtherType(ValueError):
    """The text is the type that it should have been."""


def _as_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise _OtherType("text")
    return value


def _as_int(value: Any) -> Any:
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _OtherType("whole number")
    return value


def _as_bool(value: Any) -> Any:
    if value in ("true", "false") and isinstance(value, str):
        return value == "true"
    if not isinstance(value, bool):
        raise _OtherType("`true` or `false`")
    return value


def _as_list(value: Any) -> Any:
    """A list as it is; a text is one of its items between commas, and none where it is empty."""
    if isinstance(value, list | tuple):
        return value
    if not isinstance(value, str):
        raise _OtherType("list")
    items = [item.strip() for item in value.split(",")] if value else []
    if not all(items):
        raise _OtherType("list of texts between commas")
    return items


_CASTS: Final[Mapping[str | None, Callable[[Any], Any] | None]] = {
    None: None,
    "text": _as_text,
    "int": _as_int,
    "bool": _as_bool,
    "list": _as_list,
}
