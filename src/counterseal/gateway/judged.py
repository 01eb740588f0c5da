"""What was found at identity providers, held against what the configuration says of them: for each fact a line, with its remedy.

* A line is printable ASCII and bounded, whatever a provider wrote, and holds nothing that is secret.
* A problem means that tokens are refused, or that somebody else could make them. A warning may come to that. A note is as it
  should be or as it may be: most providers have no key for every algorithm that is accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from counterseal.identity.discovery import shown
from counterseal.identity.inspection import Answered, Findings, FoundKey, Step, Tried
from counterseal.identity.introspection import Endpoint
from counterseal.identity.kept import life
from counterseal.jose.algorithms import ESTABLISHED

Level = Literal["ok", "note", "warning", "problem"]
_LEVELS: Final[tuple[Level, ...]] = ("ok", "note", "warning", "problem")
_NAMED: Final = 12
"""Algorithms of a provider that a line names."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What the configuration says of whoever's tokens count. name: of the issuer, or the servers of a channel. key: where its
    algorithms stand. Exactly one of discovery_uri and jwks_uri is given."""

    kind: Literal["issuer", "channel"]
    name: str
    issuer: str
    discovery_uri: str | None
    jwks_uri: str | None
    algorithms: tuple[str, ...]
    key: str
    leeway: float


@dataclass(frozen=True, slots=True)
class Line:
    """One fact. about: what it is about. facts: the same for programs; texts in it are as the provider wrote them."""

    level: Level
    about: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judged:
    """All that there is to say of one. kind, name: `issuer` and its name, `introspection` and its issuer's, `channel` and its
    servers'."""

    kind: str
    name: str
    lines: tuple[Line, ...]

    @property
    def level(self) -> Level:
        """That of its worst line."""
        return max((line.level for line in self.lines), key=_LEVELS.index, default="ok")


def judge(trust: Trust, found: Findings) -> Judged:
    """What a provider's documents and keys are worth."""
    return Judged(trust.kind, trust.name, tuple(_lines(trust, found)))


def judge_endpoint(endpoint: Endpoint, tried: Tried) -> Judged:
    """What an introspection endpoint said of a token that was made up."""
    if tried.problem is not None:
        line = Line("problem", "answer", f"{endpoint.url}: {tried.problem}")
    else:
        text = f"{endpoint.url} answers the gateway's client, and a made-up token is not active there"
        line = Line("ok", "answer", text)
    return Judged("introspection", endpoint.name, (line, *_clock(endpoint.leeway, [tried.answered])))


def _lines(trust: Trust, found: Findings) -> Iterator[Line]:
    wrong: dict[Step, str] = {problem.at: problem.text for problem in found.problems}
    if trust.discovery_uri is None:
        yield Line("note", "issuer", f"{trust.issuer} as configured: there is no document to compare it with")
    elif found.discovery is None:
        yield Line("problem", "discovery", f"{trust.discovery_uri}: {wrong['discovery']}")
        return
    else:
        yield _had("discovery", trust.discovery_uri, found.discovery)
        yield _issuer(trust, found, wrong.get("issuer"))
    yield from _address(found, wrong)
    if trust.discovery_uri is not None:
        yield _announced(trust, found.algorithms)
    if found.key_set is not None:
        yield from map(_key, found.keys)
        yield from _by_algorithm(trust, found, wrong.get("keys"))
    yield from _clock(trust.leeway, [found.discovery, found.key_set])


def _had(about: str, address: str, answered: Answered) -> Line:
    kept = life(answered.max_age)
    text = f"{address}, kept for {kept} s"
    if answered.max_age is None:
        text += " as it names no max-age"
    elif answered.max_age != kept:
        text += f" though its max-age is {answered.max_age}"
    return Line("ok", about, text, {"address": address, "max_age": answered.max_age, "kept": kept})


def _issuer(trust: Trust, found: Findings, problem: str | None) -> Line:
    facts = {"found": None if found.issuer is None else found.issuer[:2048], "configured": trust.issuer}
    if problem is not None:
        return Line("problem", "issuer", problem, facts)
    return Line("ok", "issuer", f"{trust.issuer}, equal to the byte", facts)


def _address(found: Findings, wrong: Mapping[Step, str]) -> Iterator[Line]:
    if "jwks_uri" in wrong:
        yield Line("problem", "jwks_uri", f"{shown(found.jwks_uri)}: {wrong['jwks_uri']}")
    elif "issuer" in wrong:
        yield Line("note", "jwks_uri", f"{found.jwks_uri}, not asked while `issuer` differs")
    elif found.key_set is None:
        yield Line("problem", "jwks_uri", f"{found.jwks_uri}: {wrong['keys']}")
    else:
        yield _had("jwks_uri", found.jwks_uri or "", found.key_set)


def _announced(trust: Trust, announced: Sequence[str]) -> Line:
    facts = {"announced": list(announced), "configured": list(trust.algorithms)}
    if not announced:
        return Line("note", "algorithms", f"the document announces none; {_accepted(trust)}", facts)
    says = f"the document announces {_few(announced)}"
    if not set(announced).isdisjoint(trust.algorithms):
        return Line("ok", "algorithms", f"{says}; {_accepted(trust)}", facts)
    return Line("problem", "algorithms", f"{says}, and {_accepted(trust)}: {_remedy(trust, announced)}", facts)


def _key(key: FoundKey) -> Line:
    facts = {"kid": key.kid, "algorithms": list(key.algorithms), "problem": key.problem}
    name = "without `kid`" if key.kid is None else shown(key.kid)
    if key.problem is None:
        return Line("ok", "key", f"{name} for {', '.join(key.algorithms)}", facts)
    says = f"{name} is not used: {key.problem}"
    if key.leaked:
        return Line("problem", "key", f"{says}. Whoever read it can sign with it: have the IdP replace that key", facts)
    return Line("warning" if key.alarm else "note", "key", says, facts)


def _by_algorithm(trust: Trust, found: Findings, problem: str | None) -> Iterator[Line]:
    if problem is not None:
        yield Line("problem", "keys", problem)
        return
    usable = [key for key in found.keys if key.problem is None]
    counts = {name: sum(name in key.algorithms for key in usable) for name in trust.algorithms}
    for name, count in counts.items():
        facts = {"keys": count}
        if count:
            yield Line("ok", name, "1 key" if count == 1 else f"{count} keys", facts)
        else:
            yield Line("note", name, "no key", facts)
    if not any(counts.values()):
        there = {name for key in usable for name in key.algorithms}
        remedy = _remedy(trust, there & set(found.algorithms) or there)
        yield Line("problem", "keys", f"{_accepted(trust)}, and no key is for any of them: {remedy}")


def _clock(leeway: float, answers: Sequence[Answered | None]) -> Iterator[Line]:
    """By the answer that is nearest to our time: whoever stands between may have kept another."""
    told = [answer.ahead for answer in answers if answer is not None and answer.ahead is not None]
    if not told:
        return
    ahead = min(told, key=abs)
    facts = {"ahead": round(ahead, 3), "leeway": leeway}
    if abs(ahead) <= leeway:
        yield Line("ok", "clock", f"within the leeway of {leeway:g} s", facts)
        return
    where, so = ("ahead of", "not valid yet") if ahead > 0 else ("behind", "over before their time")
    text = f"{abs(ahead):.0f} s {where} ours, more than the leeway of {leeway:g} s: tokens may be refused as {so}, so set the "
    yield Line("warning", "clock", f"{text}clock that is wrong", facts)


def _accepted(trust: Trust) -> str:
    return f"`{trust.key}` has {', '.join(trust.algorithms)}"


def _remedy(trust: Trust, there: Sequence[str] | set[str]) -> str:
    taken = [name for name in ESTABLISHED if name in there]
    change = f"have the IdP sign with {trust.algorithms[0]}"
    if not taken:
        return f"{change}, because none of those can be accepted"
    return f"write `{trust.key}: [{', '.join(taken)}]`, or {change}"


def _few(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
