"""The calls that a gateway minted, held against those that its servers verified: the same ones, by `jti`, or which are not.

* The gateway's side are its records, whose chains are checked first. The servers' side are receipts, which vouch for nothing: a
  server that lies about itself is believed. What a receipt shows is that a token was there.
* What a server verified and nobody minted is always a difference: somebody else has the key, or records are missing.
* What was minted and not verified is explained where the records say that it did not get there, or that nobody knows; else it
  is a difference.
* A gateway and servers that go on meanwhile make no difference: receipts are read before the records, for what was verified, and
  again after them, for what was minted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from counterseal.audit import chain
from counterseal.core.receipt import NoReceipt, Receipt, is_torn, read
from counterseal.core.record import PROBE

Kind = Literal[
    "not_minted",
    "verified_twice",
    "other_server",
    "other_call",
    "bad_token",
    "never_arrived",
    "refused",
    "refused_not_minted",
    "unreadable",
]

MEANINGS: Final[Mapping[Kind, str]] = {
    "not_minted": "verified, and not minted by these records: somebody else has the signing key, or records are missing",
    "verified_twice": "verified more than once: the server's memory of used tokens is not shared, or was lost",
    "other_server": "verified by another server than it was minted for: the server does not check `aud`",
    "other_call": "verified with other contents than it was minted with: somebody else has the signing key",
    "bad_token": "a bad token of a probe, and it was verified: see the report of `counterseal probe`",
    "never_arrived": "minted and answered, and not verified: something else answered, or receipts are missing",
    "refused": "minted, and refused by the server's verifier",
    "refused_not_minted": "refused, and yet signed by the gateway's key and not minted by these records: as for `not_minted`",
    "unreadable": "no receipt",
}

_PROBE_GOOD: Final = f"{PROBE}[good]"
_UNSENT: Final = ("answered by the gateway", "dropped: ")
_NOT_SENT: Final = ": not sent"


class Unreadable(Exception):
    """A file of the gateway is not what it was written as. The text says where and how."""


@dataclass(frozen=True, slots=True)
class Signed:
    """One token by the gateway's records. event: intent or mint. outcome: the entry of its end; None where there is none."""

    event: str
    entry: Mapping[str, Any]
    outcome: Mapping[str, Any] | None = None

    @property
    def attack(self) -> str | None:
        """Which attack of a probe it was for; None for any other token."""
        return str(self.entry.get("rule")) if self.entry.get("peer") == PROBE else None


@dataclass(frozen=True, slots=True)
class Difference:
    """jti: None for a line that is no receipt. where: the file and line of the receipt, or the id of the record."""

    kind: Kind
    jti: str | None
    where: str
    time: str
    method: str | None = None
    name: str | None = None
    sub: str | None = None
    aud: str | None = None
    detail: str | None = None


@dataclass(slots=True)
class Found:
    """minted, verified: how many tokens. explained: how many were minted and not verified, by why. again: how often a token that
    was verified was presented once more, and refused. elsewhere: minted for servers that no receipt is of. torn: lines that a
    server was writing when it was killed."""

    servers: tuple[str, ...] = ()
    minted: int = 0
    verified: int = 0
    explained: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    again: int = 0
    elsewhere: int = 0
    torn: int = 0

    @property
    def equal(self) -> bool:
        return not self.differences


@dataclass(slots=True)
class Taken:
    """Receipts by `jti`, with where each stands."""

    verified: dict[str | None, list[tuple[Receipt, str]]] = field(default_factory=dict)
    refused: dict[str | None, list[tuple[Receipt, str]]] = field(default_factory=dict)
    unreadable: list[Difference] = field(default_factory=list)
    torn: int = 0

    @property
    def servers(self) -> set[str]:
        return {one.server for side in (self.verified, self.refused) for found in side.values() for one, _ in found}


def reconcile(
    gateway: Iterable[Path],
    server: Iterable[Path],
    *,
    audiences: Iterable[str] = (),
    since: float | None = None,
    until: float | None = None,
) -> Found:
    """gateway, server: files. audiences: of servers of which there may be no receipt. since, until: compare what was minted or
    verified from and before then, in seconds since the epoch; each is looked for in all of the other side.

    Raises OSError, and Unreadable where a chain is broken.
    """
    gateway, server = list(gateway), list(server)
    before = receipts(server)
    minted, beside = mints(gateway)
    after = receipts(server)
    in_time = _window(since, until)
    found = Found(tuple(sorted(after.servers | set(audiences))), torn=after.torn)
    found.differences += after.unreadable
    _judge_receipts(found, before, minted, beside, in_time)
    _judge_mints(found, after, minted, in_time)
    found.differences.sort(key=lambda one: one.time)
    return found


@dataclass(frozen=True, slots=True)
class Beside:
    """A token that went beside a call token."""

    aud: Any
    txn: Any


def mints(files: Iterable[Path]) -> tuple[dict[str, Signed], dict[str, Beside]]:
    """Every call token by its `jti`, and those that went beside them. Raises Unreadable, OSError."""
    tokens: dict[str, Signed] = {}
    outcomes: dict[str, Mapping[str, Any]] = {}
    beside: dict[str, Beside] = {}
    for path in files:
        with path.open("rb") as file:
            report = chain.verify_lines(file)
        if report.state == "broken":
            raise Unreadable(f"{path}:{report.line}: {report.problem}")
        for entry in _entries(path, report.lines):
            match entry.get("event"):
                case "intent" | "mint":
                    tokens[str(entry["jti"])] = Signed(str(entry["event"]), entry)
                    for other in entry.get("beside") or ():
                        beside[str(other["jti"])] = Beside(other.get("aud"), entry.get("txn"))
                case "outcome":
                    outcomes[str(entry["record"])] = entry
    return {
        jti: Signed(one.event, one.entry, outcomes.get(str(one.entry["record"]))) for jti, one in tokens.items()
    }, beside


def receipts(files: Iterable[Path]) -> Taken:
    """Raises OSError."""
    taken = Taken()
    for path in files:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                where = f"{path}:{number}"
                if not line.endswith(b"\n") and is_torn(line):
                    taken.torn += 1
                    continue
                try:
                    receipt = read(line.removesuffix(b"\n"))
                except NoReceipt as error:
                    taken.unreadable.append(Difference("unreadable", None, where, "", detail=str(error)))
                    continue
                side = taken.verified if receipt.reason is None else taken.refused
                side.setdefault(receipt.jti, []).append((receipt, where))
    return taken


def _judge_receipts(
    found: Found,
    taken: Taken,
    minted: Mapping[str, Signed],
    beside: Mapping[str, Beside],
    in_time: Callable[[str], bool],
) -> None:
    for jti, several in taken.verified.items():
        for at, (receipt, where) in enumerate(several):
            if not in_time(chain.stamp(receipt.time)):
                continue
            found.verified += at == 0
            if at:
                found.differences.append(_of_receipt("verified_twice", receipt, where))
            elif (kind := _wrong(receipt, minted.get(jti or ""), beside.get(jti or ""))) is not None:
                found.differences.append(_of_receipt(kind, receipt, where))
    for jti, several in taken.refused.items():
        for receipt, where in several:
            if not in_time(chain.stamp(receipt.time)):
                continue
            found.again += jti in taken.verified
            if jti in minted or jti in beside:
                continue
            found.differences.append(_of_receipt("refused_not_minted", receipt, where))


def _wrong(receipt: Receipt, one: Signed | None, beside: Beside | None) -> Kind | None:
    """What is wrong with a token that was verified. one, beside: what it was minted as."""
    if one is None and beside is not None:
        if receipt.aud != receipt.server or beside.aud != receipt.server:
            return "other_server"
        return None if receipt.txn == beside.txn else "other_call"
    if one is None:
        return "not_minted"
    entry = one.entry
    if receipt.aud != receipt.server or entry.get("aud") != receipt.server:
        return "other_server"
    if one.attack is not None and one.attack not in _PRESENTABLE:
        return "bad_token"
    says = (receipt.method, receipt.name, receipt.sub, receipt.txn)
    if says != tuple(entry.get(name) for name in ("method", "name", "sub", "txn")):
        return "other_call"
    return None


_PRESENTABLE: Final = frozenset({_PROBE_GOOD, f"{PROBE}[replayed]"})
"""Tokens of a probe that a server should take, once."""


def _judge_mints(found: Found, taken: Taken, minted: Mapping[str, Signed], in_time: Callable[[str], bool]) -> None:
    for jti, one in minted.items():
        if not in_time(str(one.entry["time"])):
            continue
        if one.entry.get("aud") not in found.servers:
            found.elsewhere += 1
            continue
        found.minted += 1
        if jti in taken.verified:
            continue
        why = _why_not_verified(one, [receipt for receipt, _ in taken.refused.get(jti, [])])
        if isinstance(why, Difference):
            found.differences.append(why)
        else:
            found.explained[why] = found.explained.get(why, 0) + 1


def _why_not_verified(one: Signed, refused: list[Receipt]) -> str | Difference:
    """In words, or the difference that it is."""
    if one.attack is not None:
        return "a probe, which the server refused or never saw"
    if refused:
        return _of_mint("refused", one, refused[0].reason)
    if one.event == "mint":
        return "made by hand, and not presented"
    outcome = one.outcome
    if outcome is None:
        return "no outcome: in flight, or the gateway was killed"
    detail = str(outcome.get("detail") or "")
    if detail.startswith(_UNSENT) or detail.endswith(_NOT_SENT):
        return "not sent: the gateway answered itself, or dropped it"
    status = outcome.get("status")
    match outcome.get("outcome"):
        case "failed":
            return f"it failed: {outcome.get('reason')}"
        case "aborted" if outcome.get("reason") == "gateway_ended":
            return "the gateway was stopped before the end"
        case "aborted":
            return "the caller left before the end"
        case "error" if isinstance(status, int) and status >= 400:
            return f"refused before it was verified: HTTP {status}"
    return _of_mint("never_arrived", one, str(outcome.get("outcome")))


def _of_receipt(kind: Kind, receipt: Receipt, where: str) -> Difference:
    return Difference(
        kind,
        receipt.jti,
        where,
        chain.stamp(receipt.time),
        receipt.method,
        receipt.name,
        receipt.sub,
        receipt.aud,
        receipt.reason,
    )


def _of_mint(kind: Kind, one: Signed, detail: str | None) -> Difference:
    entry = one.entry
    told = {key: None if entry.get(key) is None else str(entry[key]) for key in ("method", "name", "sub", "aud")}
    return Difference(kind, str(entry["jti"]), str(entry["record"]), str(entry["time"]), **told, detail=detail)


def _window(since: float | None, until: float | None) -> Callable[[str], bool]:
    """Of times as records write them, which sort as texts."""
    first = "" if since is None else chain.stamp(since)
    last = None if until is None else chain.stamp(until)
    return lambda time: first <= time and (last is None or time < last)


_read_entry: Final = msgspec.json.Decoder(dict[str, Any]).decode


def _entries(path: Path, lines: int) -> Iterator[dict[str, Any]]:
    """The first lines of a file, whose chain was checked so far."""
    with path.open("rb") as file:
        for _, line in zip(range(lines), file, strict=False):
            yield _read_entry(line)
