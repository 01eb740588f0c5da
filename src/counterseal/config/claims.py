"""Claims in the configuration of a signer: which sources name the subject, which claims are asked for, and what is done to them.

The names and templates are those of the core, which compiles them here once to tell what is wrong, and again in `compile.py` to
use them. What nobody may touch is refused with its place (I-04).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, StrictStr, field_validator, model_validator

from counterseal.config.addresses import HEADER_NAME
from counterseal.config.part import Part
from counterseal.config.problems import Faults, nearest, wrong
from counterseal.config.values import ClaimPath, at_dots, distinct, frozen, some
from counterseal.core.bounds import OutOfBounds, bounded
from counterseal.core.frozen import freeze
from counterseal.core.methods import METHODS
from counterseal.core.names import is_claim_name, reserved_in
from counterseal.core.paths import Path, steps_of
from counterseal.core.profiles import COUNTERSEAL, PROFILES, Profile
from counterseal.core.requirements import SCALARS
from counterseal.core.scope import decode_name
from counterseal.core.sources import NoSource, Source
from counterseal.core.templates import BadTemplate, compile_value

# names


def _source(value: Any) -> Any:
    """A text, or a list of the steps to a claim."""
    if not isinstance(value, str | tuple):
        raise wrong("must be a text, or a list of the steps to a claim")
    faults = Faults()
    for index, step in enumerate(value):
        if not isinstance(step, str):
            faults.add("must be a text, a step on the way to a claim", index)
    faults.check()
    try:
        source = Source.of(value)
    except NoSource as error:
        raise wrong(str(error)) from None
    if source.asks_only == "header" and not HEADER_NAME.fullmatch(source.header or ""):
        raise wrong("is no name of an HTTP header: use letters, digits and `-`")
    return value


def _free(path: Path) -> Path:
    """A claim that a claim operation may name. What only looks like a reserved one is refused as one."""
    for name in (path[0], ".".join(path)):
        if (reserved := reserved_in(name)) is not None:
            raise wrong(f"names the reserved claim `{reserved}`, which the gateway alone decides: remove it")
    return _asked(path)


def _name(text: str) -> str:
    """The key of a claim operation: a name, or a path with dots."""
    _free(steps_of(text))
    return text


def _asked(path: Path) -> Path:
    """A claim that is only looked at, so a reserved one too."""
    if not all(map(is_claim_name, path)):
        raise wrong("is no name for a claim: use at most 128 letters, digits and `_:./-`")
    return path


EndUserSource = Annotated[Any, AfterValidator(_source)]
ClaimName = Annotated[StrictStr, AfterValidator(_name)]
FreeClaim = Annotated[ClaimPath, AfterValidator(_free)]
FreeClaims = Annotated[tuple[FreeClaim, ...], AfterValidator(distinct)]


# values


def _values(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Each with its templates compiled, to see whether they can be; no claim a part of another one that is no object."""
    faults = Faults()
    for name, value in values.items():
        try:
            compile_value(value)
        except BadTemplate as error:
            faults.add(str(error), name, *error.steps)
        for other in values:
            if (inside := steps_of(other)) != (outer := steps_of(name)) and inside[: len(outer)] == outer:
                faults.add(f"is also to be a part of `{name}`: write both as one, or rename one of them", other)
    faults.check()
    return frozen({name: freeze(value) for name, value in values.items()})


ClaimValues = Annotated[Mapping[ClaimName, Any], AfterValidator(_values)]


# required claims


def _expected(values: tuple[Any, ...]) -> tuple[Any, ...]:
    faults = Faults()
    for index, value in enumerate(values):
        if type(value) not in SCALARS:
            faults.add("must be a text, a whole number, true or false", index)
            continue
        try:
            bounded(value)
        except OutOfBounds as error:
            faults.add(f"{error}: no claim may be so", index)
    faults.check()
    return values


class RequiredClaim(Part):
    """A claim that the caller's credential must have. values: what it may be; None for anything. A text or a list of steps is its
    name alone."""

    name: Annotated[ClaimPath, AfterValidator(_asked)]
    values: Annotated[tuple[Any, ...], AfterValidator(some), AfterValidator(_expected)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, data: Any) -> Any:
        if isinstance(data, dict | RequiredClaim):
            return data
        at_dots(data)
        return {"name": data}

    @field_validator("values", mode="before")
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:
            raise wrong("is empty: list what the claim may be, or leave the key out for anything")
        return value


# scopes


def scope_fault(text: str, profile: Profile) -> str | None:
    """Why no call token of this profile holds this scope; None where one may. A pattern may match anything."""
    if "*" in text:
        return None
    known = {scope for method in METHODS for scope in profile.scope_of(method, "*").split(" ")}
    for scope in known:
        before, found, after = scope.partition("%2A")
        if not found and text == scope:
            return None
        if found and text.startswith(before) and text.endswith(after) and _decodes(text, before, after):
            return None
    return f"is no scope that a call token holds{nearest(text, sorted(known))}"


def _decodes(text: str, before: str, after: str) -> bool:
    try:
        return bool(decode_name(text[len(before) : len(text) - len(after)]))
    except ValueError:
        return False


def profile_of(name: str | None) -> Profile:
    """The profile of this name; None for ours."""
    return COUNTERSEAL if name is None else PROFILES[name]
