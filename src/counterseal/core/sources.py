"""On whose behalf a call is made: the sources of `sub`, in the order of the configuration, compiled once.

* The first that is a text and not empty wins. A number, a list or an object names nobody and is passed over.
* A bare name is tried as a verified claim, then as an identity header of a trusted peer, then as a field of the API key. A prefix
  pins one of them: `claim:`, `header:`, `key:`, and LiteLLM's `token:` for a claim and `litellm:` for a field.
* `sub` and `email` of a token are what its issuer's claim paths say. No path leads to an e-mail address that its issuer doesn't
  vouch for (I-13).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, Self

from counterseal.core.caller import Caller
from counterseal.core.names import is_reserved, is_seen
from counterseal.core.origins import Kind
from counterseal.core.paths import ABSENT, Path, at, steps_of, written

KEY_FIELDS: Final = ("user_id", "email", "team_id", "org_id", "agent_id", "end_user_id")
"""What an API key may say of its holder, besides `metadata.NAME`."""
LITELLM_FIELDS: Final = ("user_id", "email", "end_user_id", "team_id")
"""What `litellm:` may name."""
PREFIXES: Final = ("claim", "header", "key", "token", "litellm")

_METADATA: Final = "metadata."


Look = Callable[[Caller], Any]
"""Finds what a caller's credential says; ABSENT where it says nothing."""


def claim_at(path: Path) -> Look:
    """Looks for a verified claim of a token. No other credential has any."""
    if path == ("sub",):
        return lambda caller: caller.subject if caller.kind == "token" else ABSENT
    if path == ("email",):
        return lambda caller: caller.fields.get("email", ABSENT) if caller.kind == "token" else ABSENT
    if path[-1] == "email":
        return partial(_vouched_for, path)
    if len(path) > 1:
        return lambda caller: at(caller.claims, path) if caller.kind == "token" else ABSENT
    name = path[0]
    return lambda caller: caller.claims.get(name, ABSENT) if caller.kind == "token" else ABSENT


def _vouched_for(path: Path, caller: Caller) -> Any:
    value = at(caller.claims, path) if caller.kind == "token" else ABSENT
    return value if value == caller.email else ABSENT


def key_field(name: str) -> Look:
    """Looks for a field of an API key, or for `metadata.NAME`. No other credential has any."""
    if name.startswith(_METADATA):
        inside = name.removeprefix(_METADATA)
        return lambda caller: caller.metadata.get(inside, ABSENT) if caller.kind == "api_key" else ABSENT
    return lambda caller: caller.fields.get(name, ABSENT) if caller.kind == "api_key" else ABSENT


def said(path: Path) -> Look:
    """Looks for what a credential says under a name: a claim of a token; of an API key a field, or else its metadata."""
    of_token, of_key, name = claim_at(path), key_field(written(path)), written(path)

    def look(caller: Caller) -> Any:
        if caller.kind != "api_key":
            return of_token(caller)
        value = of_key(caller)
        return caller.metadata.get(name, ABSENT) if value is ABSENT else value

    return look


def kind_of(caller: Caller) -> Kind:
    """What its credential says is of this kind."""
    return "key" if caller.kind == "api_key" else "claim"


class NoSource(ValueError):
    """A text names no source. The text says why, and what would."""


@dataclass(frozen=True, slots=True)
class Source:
    """One source. claim, header, key: what it asks for; None where it doesn't ask there. of_token: and of a token."""

    claim: Path | None = None
    header: str | None = None
    key: str | None = None
    of_token: bool = False
    _claim: Look = field(init=False, repr=False, compare=False)
    _key: Look = field(init=False, repr=False, compare=False)
    _path: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_claim", _nothing if self.claim is None else claim_at(self.claim))
        object.__setattr__(self, "_path", written(self.claim or ()))
        object.__setattr__(self, "_key", _nothing if self.key is None else key_field(self.key))

    @classmethod
    def of(cls, text: str | Path) -> Self:
        """The source that a text means; a list of steps is the path of a claim. Raises NoSource."""
        if not isinstance(text, str):
            return cls(claim=_checked(text))
        prefix, colon, rest = text.partition(":")
        match prefix if colon else None:
            case "claim" | "token":
                return cls(claim=_checked(steps_of(rest)))
            case "header":
                return cls(header=_checked((rest,))[0])
            case "key":
                return cls(key=_known(rest, KEY_FIELDS))
            case "litellm":
                return cls(key=_known(rest, LITELLM_FIELDS), of_token=True)
        if colon and not rest.startswith("//"):
            raise NoSource(f"has a prefix that there is not; there is {', '.join(f'`{one}:`' for one in PREFIXES)}")
        path = _checked(steps_of(text))
        return cls(claim=path, header=None if colon or len(path) > 1 else text, key=text, of_token=True)

    @property
    def asks_only(self) -> Literal["claim", "header", "key"] | None:
        """What a prefix pins it to; None for a bare name."""
        asked = [name for name in ("claim", "header", "key") if getattr(self, name) is not None]
        return asked[0] if len(asked) == 1 else None  # type: ignore[return-value]

    def find(self, caller: Caller) -> Subject | None:
        """Whom it names; None where it names nobody."""
        value = self._claim(caller)
        if isinstance(value, str) and value:
            return value, "claim", self._path
        if self.of_token and caller.kind == "token" and (field := caller.fields.get(self.key or "")):
            return field, "claim", self.key or ""
        if self.header is not None and (sent := caller.headers.get(self.header)):
            return sent, "header", self.header
        value = self._key(caller)
        return (value, "key", self.key or "") if isinstance(value, str) and value else None


def _nothing(caller: Caller) -> Any:
    return ABSENT


def _checked(path: Path) -> Path:
    if not all(path) or not path:
        raise NoSource("has an empty name or step: write the name of a claim, such as `email`, or a path to one, `a.b`")
    if not all(step.isprintable() and " " not in step for step in path):
        raise NoSource("is no name for a claim: it holds white space, or characters that cannot be seen")
    return path


def _known(name: str, fields: tuple[str, ...]) -> str:
    if name in fields or (fields is KEY_FIELDS and len(name) > len(_METADATA) and name.startswith(_METADATA)):
        return name
    close = difflib.get_close_matches(name, fields, n=1)
    meant = f"did you mean `{close[0]}`?" if close else f"there is {', '.join(fields)}"
    more = "" if close or fields is not KEY_FIELDS else ", and `metadata.NAME`"
    raise NoSource(f"is no field of an API key; {meant}{more}")


class UnfitSubject(ValueError):
    """What would be the subject must not be one. The text says why, without it."""


class NoSubject(ValueError):
    """No source names anybody, where one has to."""


Subject = tuple[str, Kind, str]
"""On whose behalf, and kind and detail of who says so (origins.Origin)."""


@dataclass(frozen=True, slots=True)
class Sources:
    """All sources of one server, in their order. of_a_person: without one that names somebody, there is no subject."""

    sources: tuple[Source, ...]
    of_a_person: bool = False

    @classmethod
    def of(cls, sources: Iterable[str | Path], *, of_a_person: bool = False) -> Self:
        """Raises NoSource."""
        return cls(tuple(map(Source.of, sources)), of_a_person)

    def subject(self, caller: Caller) -> Subject:
        """The subject of a caller. With no source left, the client itself is it, named by a random id that is never derived from
        a credential. Raises UnfitSubject, NoSubject."""
        for source in self.sources:
            found = source.find(caller)
            if found is not None:
                _check(found[0], is_theirs=found[1] != "key")
                return found
        if self.of_a_person:
            raise NoSubject("no source names anybody")
        if caller.kind == "anonymous":
            return "anonymous", "caller", "anonymous"
        if caller.kind == "api_key":
            return f"apikey:{caller.client_id}", "caller", "the API key's id"
        _check(caller.client_id, is_theirs=True)
        return caller.client_id, "caller", "the token's client"


def subject(caller: Caller, sources: Iterable[str | Path]) -> str:
    """The name alone, by sources that are not compiled yet."""
    return Sources.of(sources).subject(caller)[0]


def _check(name: str, *, is_theirs: bool) -> None:
    """What a provider or a proxy says must not pass for a caller that the gateway itself names, and nobody's name holds anything
    that a reader could not see (J-19, I-05)."""
    if is_theirs and is_reserved(name):
        raise UnfitSubject("the subject has a form that the gateway keeps for itself")
    if not is_seen(name):
        raise UnfitSubject("the subject is too long or holds characters that nobody sees")
