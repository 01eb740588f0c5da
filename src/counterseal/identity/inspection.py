"""What an identity provider says when it is asked just now, beside everything that is kept of it: for an operator who wants to
know whether it and the gateway understand each other.

Nothing here raises because of a provider: what is wrong is a finding. Its texts are its own: a terminal must not act on them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Final, Literal

from counterseal.clock import Clock
from counterseal.core.limits import Limits
from counterseal.identity.discovery import Discovery, check_address, check_issuer, read_discovery, read_keys
from counterseal.identity.fetch import Document, Fetch, FetchFailed, why
from counterseal.identity.introspection import Endpoint, question, read_answer, say
from counterseal.jose.jwk import PRIVATE, SYMMETRIC, KeySet

NONE_USABLE: Final = "no key of the key set can be used"

Step = Literal["discovery", "issuer", "jwks_uri", "keys"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a provider's keys are looked for. Exactly one of discovery_uri and jwks_uri is given. jwks_hosts: where keys may be,
    beside the host of the discovery document; None where there is no way to allow others."""

    issuer: str
    discovery_uri: str | None
    jwks_uri: str | None
    jwks_hosts: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Answered:
    """How an answer came. max_age: as it says; None where it doesn't. ahead: seconds by which the clock of whoever answered is
    ahead of ours, negative for behind, 0 where they may agree; None where the answer does not tell."""

    max_age: int | None = None
    ahead: float | None = None


@dataclass(frozen=True, slots=True)
class FoundKey:
    """One entry of a key set. algorithms: those that it may verify. problem: why it is not used; None for one that is.
    alarm: somebody should hear of it. leaked: it holds what nobody but its owner should have."""

    kid: str | None
    algorithms: tuple[str, ...]
    problem: str | None
    alarm: bool = False
    leaked: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and with what."""

    at: Step
    text: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What a provider said.

    issuer, algorithms: of its discovery document; None and () where it has none. jwks_uri: the configured one, or the
    document's. problems: why there are no keys; empty where there are. discovery, key_set: how these answers came; None where
    they didn't.
    """

    issuer: str | None = None
    jwks_uri: str | None = None
    algorithms: tuple[str, ...] = ()
    keys: tuple[FoundKey, ...] = ()
    problems: tuple[Problem, ...] = ()
    discovery: Answered | None = None
    key_set: Answered | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """What an introspection endpoint made of a question. problem: None where it answered as it should."""

    problem: str | None
    answered: Answered | None = None


async def inspect(source: Source, fetch: Fetch, clock: Clock, limits: Limits) -> Findings:
    """Fetch what it has, all of it in the time for one document. Keys are not asked for where a token could not lead there."""
    found = Findings(jwks_uri=source.jwks_uri)
    step: Step = "keys" if source.discovery_uri is None else "discovery"
    try:
        async with asyncio.timeout(limits.fetch_seconds):
            if source.discovery_uri is not None:
                document, answered = await _timed(fetch(source.discovery_uri), clock)
                said = read_discovery(document.body, limits)
                wrong = _wrong(said, source)
                found = Findings(said.issuer, said.jwks_uri, said.algorithms, (), wrong, answered)
                step = "keys"
            if found.problems or found.jwks_uri is None:
                return found
            document, answered = await _timed(fetch(found.jwks_uri), clock)
            found = replace(found, key_set=answered)
            keys = _found_keys(read_keys(document.body, limits))
    except Exception as error:  # whatever it was, it is what there is to say
        return replace(found, problems=(Problem(step, why(error)),))
    usable = any(key.problem is None for key in keys)
    return replace(found, keys=keys, problems=() if usable else (Problem("keys", NONE_USABLE),))


async def inspect_endpoint(endpoint: Endpoint, made_up: bytes, clock: Clock, limits: Limits) -> Tried:
    """Ask it as the gateway does. made_up: no token of anybody."""
    answered = None
    try:
        async with asyncio.timeout(limits.fetch_seconds):
            document, answered = await _timed(question(endpoint, made_up), clock)
        active = read_answer(document.body, limits)["active"]
    except Exception as error:  # whatever it was, it is what there is to say
        return Tried(say(error), answered)
    return Tried("it calls a token active that was made up just now" if active else None, answered)


async def _timed(asked: Awaitable[Document], clock: Clock) -> tuple[Document, Answered]:
    began = clock.wall()
    document = await asked
    ended = clock.wall()
    if document.date is None:
        return document, Answered(document.max_age)
    # It was cut to the second, somewhen between our question and our last byte.
    ahead = max(0.0, document.date - ended) + min(0.0, document.date + 1 - began)
    return document, Answered(document.max_age, ahead)


def _wrong(said: Discovery, source: Source) -> tuple[Problem, ...]:
    """Everything that is wrong with a document: each is mended in another place."""
    assert source.discovery_uri is not None
    problems: list[Problem] = []
    try:
        check_issuer(said, source.issuer)
    except FetchFailed as failed:
        problems.append(Problem("issuer", str(failed)))
    try:
        check_address(said, source.discovery_uri, source.jwks_hosts)
    except FetchFailed as failed:
        problems.append(Problem("jwks_uri", str(failed)))
    return tuple(problems)


def _found_keys(keys: KeySet) -> tuple[FoundKey, ...]:
    usable = (FoundKey(key.kid, tuple(sorted(key.algorithms)), None) for key in keys.keys)
    dropped = (
        FoundKey(note.kid, (), note.reason, note.alarm, note.reason in (PRIVATE, SYMMETRIC)) for note in keys.notes
    )
    return (*usable, *dropped)
