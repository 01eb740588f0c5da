"""What the configuration does to the claims of a call token: pass on, add, set, remove, in this order (docs/call-token.md).

* `required_claims` and `optional_claims` pass on what the caller's credential says, never over a claim that is there.
* `add_claims` writes what is not there yet, `set_claims` whatever is there, `remove_claims` takes away.
* No reserved claim is touched, whatever the configuration says.
* What cannot be made refuses the call, and says of which claim it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from counterseal.core.bounds import OutOfBounds, bounded
from counterseal.core.call import Call
from counterseal.core.caller import Caller
from counterseal.core.names import reserved_in
from counterseal.core.origins import Kind, Origin, Origins
from counterseal.core.paths import ABSENT, NoObject, Path, drop, has, is_missing, put, written
from counterseal.core.permit import ClaimsRefused
from counterseal.core.sources import Look, kind_of, said
from counterseal.core.templates import Make, Unavailable, Value


@dataclass(frozen=True, slots=True)
class Named:
    """A claim that the configuration names. where: the key that does, and its place. Raises ValueError for a reserved one."""

    path: Path
    where: str = ""
    name: str | None = field(init=False, repr=False, compare=False)
    look: Look = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _alone(self.path))
        object.__setattr__(self, "look", said(self.path))


@dataclass(frozen=True, slots=True)
class Valued:
    """One with a value."""

    path: Path
    value: Value
    where: str = ""
    name: str | None = field(init=False, repr=False, compare=False)
    make: Make = field(init=False, repr=False, compare=False)
    origin: Origin = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _alone(self.path))
        object.__setattr__(self, "make", self.value.make)
        kind: Kind = "configuration" if self.value.template is None else "template"
        object.__setattr__(self, "origin", Origin(kind, self.value.template or "", self.where))


def _alone(path: Path) -> str | None:
    """The name of a claim that is in no object, which is written without looking for its place. Raises ValueError."""
    if not path or not all(path) or reserved_in(path[0]) is not None:
        raise ValueError(f"nobody may touch the claim {written(path)!r}")
    return path[0] if len(path) == 1 else None


@dataclass(frozen=True, slots=True)
class ClaimOperations:
    """All of one server."""

    passed: Sequence[Named] = ()
    added: Sequence[Valued] = ()
    set: Sequence[Valued] = ()
    removed: Sequence[Named] = ()

    def pass_on(self, claims: dict[str, Any], caller: Caller, origins: Origins | None) -> None:
        """Copy what the caller's credential says. Raises ClaimsRefused."""
        for one in self.passed:
            name, value = one.name, one.look(caller)
            if value is ABSENT or (not value and is_missing(value)):
                continue
            if has(claims, one.path) if name is None else name in claims:
                continue
            try:
                if name is None:
                    put(claims, one.path, bounded(value))
                else:
                    claims[name] = bounded(value)
            except OutOfBounds as error:
                raise _refused(one, f"what the caller's credential says {error}") from None
            except NoObject as error:
                raise _refused(one, f"`{error}` is there and is no object") from None
            if origins is not None:
                origins.put(one.path, Origin(kind_of(caller), written(one.path), one.where))

    def apply(self, claims: dict[str, Any], caller: Caller, call: Call, origins: Origins | None) -> None:
        """Add, set, remove. Raises ClaimsRefused."""
        if self.added:
            _write(claims, self.added, caller, call, origins, over=False)
        if self.set:
            _write(claims, self.set, caller, call, origins, over=True)
        for gone in self.removed:
            drop(claims, gone.path)
            if origins is not None:
                origins.drop(gone.path)


NO_OPERATIONS: Final = ClaimOperations()


def _write(
    claims: dict[str, Any], valued: Sequence[Valued], caller: Caller, call: Call, origins: Origins | None, *, over: bool
) -> None:
    """over: also what is there already."""
    for one in valued:
        name = one.name
        if not over and (has(claims, one.path) if name is None else name in claims):
            continue
        try:
            if name is None:
                put(claims, one.path, one.make(caller, call))
            else:
                claims[name] = one.make(caller, call)
        except Unavailable as error:
            raise _refused(one, str(error)) from None
        except NoObject as error:
            raise _refused(one, f"`{error}` is there and is no object") from None
        if origins is not None:
            origins.put(one.path, one.origin)


def _refused(one: Named | Valued, why: str) -> ClaimsRefused:
    return ClaimsRefused(
        "claim_unavailable", f"the claim `{written(one.path)}` of the call token cannot be made: {why}", one.where
    )
