"""Secrets, and the references that stand for them in the configuration.

A secret never stands in the file itself. What a reference leads to is a `Secret`, which can only be read by asking for it: no
repr, format, pickle, copy or JSON of it holds the value (C-03).
"""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_BYTES: Final = 64 * 1024
_SCHEMES: Final = ("Bearer", "Basic", "token")
"""What may stand before a reference where a header is written: `Bearer env:NAME`."""

PLAIN_VALUE: Final = (
    "must be a reference to a secret, not the secret itself: write `env:NAME` for an environment variable or `file:PATH` for a "
    "file, and put the secret there"
)


class Unresolved(ValueError):
    """A reference leads to nothing that can be used. The text says how to mend it and never holds the secret."""


class Secret:
    """A value that shows itself to nobody but `reveal`."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """The value itself, for the one place that needs it."""
        return self.__value

    def __repr__(self) -> str:
        return "***"

    def __format__(self, format_spec: str) -> str:
        return "***"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is neither pickled nor copied")


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is. place: the name of an environment variable, or the absolute path of a file.

    scheme: what the secret is a credential of, where the reference is to a header's value; empty for a secret that is the whole
    value. held: the secret itself, of a LiteLLM file that has it in it; `place` is then the variable that it should be in.
    """

    kind: Literal["env", "file"]
    place: str
    scheme: str = ""
    held: Any = field(default=None, repr=False, compare=False)  # a Secret, which pydantic must not look into

    @classmethod
    def parse(cls, text: str, folder: Path) -> SecretReference:
        """`env:NAME` or `file:PATH`, relative to folder. Raises Unresolved for anything else, which may be a secret that was
        pasted here and is therefore not quoted."""
        kind, _, place = text.partition(":")
        if kind == "env":
            if not _NAME.fullmatch(place):
                raise Unresolved("must name an environment variable after `env:`, of letters, digits and underscores")
            return cls("env", place)
        if kind == "file" and place:
            if place.startswith("//") and not place.startswith("///"):
                raise Unresolved("must name a path after `file:`, without `//`")
            return cls("file", str(folder / place))
        raise Unresolved(PLAIN_VALUE)

    @classmethod
    def parse_header(cls, text: str, folder: Path) -> SecretReference:
        """A reference to the whole value of a header, or a scheme and a reference to the credential: `Bearer env:NAME`. For
        `Basic` the secret is `user:password`. Raises Unresolved."""
        scheme, space, rest = text.partition(" ")
        if space and scheme in _SCHEMES and rest.startswith(("env:", "file:")):
            return replace(cls.parse(rest, folder), scheme=scheme)
        return cls.parse(text, folder)

    def resolve(self) -> Secret:
        """The secret as it is now; the last line break of a file is not part of it. Raises Unresolved."""
        if self.held is not None:
            value = self.held.reveal()
        else:
            value = self._from_environment() if self.kind == "env" else self._from_file()
        if not value:
            raise Unresolved(f"{self._say()} is empty: put the secret there")
        return Secret(_in_scheme(self.scheme, value) if self.scheme else value)

    def _from_environment(self) -> str:
        value = os.environ.get(self.place)
        if value is None:
            raise Unresolved(f"{self._say()} is not set: set it, or write `file:PATH` for a file that holds the secret")
        return value

    def _from_file(self) -> str:
        path = Path(self.place)
        if not path.is_file():
            raise Unresolved(f"{self._say()} is not there or not a regular file: make it, or name another")
        try:
            with path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise Unresolved(
                f"{self._say()} cannot be read ({error.strerror}): let the gateway's account read it, or name another"
            ) from None
        if len(content) > _MOST_BYTES:
            raise Unresolved(
                f"{self._say()} holds more than {_MOST_BYTES} bytes: name the file that holds the secret alone"
            )
        try:
            return content.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise Unresolved(f"{self._say()} is not UTF-8 text: put the secret there as text") from None

    def _say(self) -> str:
        return f"the environment variable {self.place}" if self.kind == "env" else f"the file {self.place}"


def _in_scheme(scheme: str, value: str) -> str:
    """The value of a header. A credential that has its scheme before it already does not get it twice; one of `Basic` is encoded
    unless it stands behind its scheme and is (RFC 7617 section 2)."""
    before, _, rest = value.partition(" ")
    credential = rest.strip() if rest and before.lower() == scheme.lower() else value
    if scheme == "Basic" and (credential is value or not _is_base64(credential)):
        credential = base64.b64encode(credential.encode()).decode()
    return f"{scheme} {credential}"


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True
