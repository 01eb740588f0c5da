"""The claims that a server asks for besides those of every call token: that they are there, and what they say.

A path is a text with dots (`tenant.tier`), or a tuple of its steps where a name has a dot. A text with `://` in it is one name
(RFC 7519 section 4.2). A claim that is null, or an empty text, list or object, says nothing and is not there (I-07).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from counterseal.core import paths
from counterseal.verify.errors import VerificationError

Path = str | tuple[str, ...]

_PLAIN: Final = (str, int, float, bool)


class RequiredClaims:
    """Compiled once. required: paths that must be there; as a mapping, each with the value that it must have, or a list, tuple or
    set of values of which it must be one; None takes any. Where the claim is a list, one of its members must be the value.

    Raises ValueError for what is no path and no plain value.
    """

    def __init__(self, required: Collection[Path] | Mapping[Path, Any]) -> None:
        if isinstance(required, str):
            raise ValueError("required_claims is a list of paths or a mapping, not one text")
        expected = required if isinstance(required, Mapping) else dict.fromkeys(required)
        self._rows = tuple((_steps(path), _allowed(value)) for path, value in expected.items())

    def check(self, claims: Mapping[str, Any]) -> None:
        """Raises VerificationError `claim`, with the path and without the value."""
        for steps, allowed in self._rows:
            found = paths.at(claims, steps)
            if paths.is_missing(found):
                raise VerificationError("claim", f"`{paths.written(steps)}` is missing, and this server asks for it")
            if allowed is not None:
                said = found if isinstance(found, list) else [found]
                if not any(_same(one, value) for one in said for value in allowed):
                    raise VerificationError("claim", f"`{paths.written(steps)}` is not what this server asks for")


def _steps(path: Path) -> paths.Path:
    steps = paths.steps_of(path) if isinstance(path, str) else path
    if not isinstance(steps, tuple) or not steps or not all(isinstance(step, str) and step for step in steps):
        raise ValueError(f"{path!r} is not the path of a claim: a text with dots, or a tuple of names")
    return steps


def _allowed(value: Any) -> tuple[Any, ...] | None:
    if value is None:
        return None
    values = tuple(value) if isinstance(value, list | tuple | set | frozenset) else (value,)
    if not values or not all(isinstance(one, _PLAIN) for one in values):
        raise ValueError("what a claim must be is a text, a number, a boolean, or a list of one or more of these")
    return values


def _same(said: Any, value: Any) -> bool:
    """1 is not True, and "1" is neither."""
    return isinstance(said, bool) == isinstance(value, bool) and bool(said == value)
