"""How a value is refused: what is wrong with it, and how to mend it.

A message never quotes the value it is about: the place is enough to find it, and what stands there may be a credential that
was put into the wrong key.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import AfterValidator, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

V = TypeVar("V")


def wrong(what: str) -> PydanticCustomError:
    """What is wrong with a value and how to mend it."""
    return PydanticCustomError("wrong", what)


class Faults:
    """What is wrong in several places of one value at once."""

    def __init__(self) -> None:
        self._found: list[InitErrorDetails] = []

    def add(self, what: str, *steps: str | int) -> None:
        self._found.append(InitErrorDetails(type=wrong(what), loc=steps, input=None))

    def check(self) -> None:
        """Raises if there are any."""
        if self._found:
            raise ValidationError.from_exception_data("configuration", self._found)


def later(what: str, *off: Any) -> AfterValidator:
    """For a key that is not built yet and may only have a value in `off`, with which it does nothing.

    what: says that it is not built yet, and the remedy.
    """

    def refuse(value: V) -> V:
        if not any(type(value) is type(one) and value == one for one in off):
            raise wrong(what)
        return value

    return AfterValidator(refuse)


def misspelt(name: str, known: Iterable[str]) -> bool:
    """Whether it is so close to one of these that `nearest` takes it for that."""
    return bool(difflib.get_close_matches(name, list(known), n=1))


def nearest(name: str, known: Iterable[str]) -> str:
    """A closing half sentence: what was meant, or what there is."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean `{close[0]}`?"
    return f"; there is {', '.join(known)}" if known else "; there is none"
