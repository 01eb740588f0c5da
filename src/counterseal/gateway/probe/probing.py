"""One probe, from its first good token to its last.

By each way that the server takes: a good token first, then every attack, then a good token again. Where the first is refused, the
refusals that would follow say nothing; where the last is, those that came before may have had another reason. Both are told as
what they are: nobody can tell.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from counterseal.clock import Clock
from counterseal.config.schema import Configuration
from counterseal.core.methods import STREAM
from counterseal.core.operation import Operation
from counterseal.errors import CallError
from counterseal.gateway.by_hand import check_keys_are_shared
from counterseal.gateway.probe.aim import Wanted, aim, through_the_gateway
from counterseal.gateway.probe.answers import Answer
from counterseal.gateway.probe.attacks import ATTACKS, GOOD, Attack, explained
from counterseal.gateway.probe.forge import Forge
from counterseal.gateway.probe.listener import Listener, listening
from counterseal.gateway.probe.ways import Presented, Unusable, Way
from counterseal.gateway.wiring import Parts, open_parts
from counterseal.httpclient import Client

Verdict = Literal["refused", "accepted", "error", "skipped"]

_NO_TOKEN: Final = "this.is.no-token"  # noqa: S105
_SOMEBODY: Final = "counterseal-probe@example.com"
IDENTITY_HEADERS: Final = (
    *("X-User", "X-User-Id", "X-Username", "X-User-Email", "X-Email", "X-Remote-User", "Remote-User"),
    *("X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username", "X-Auth-Request-User"),
    *("X-Auth-Request-Email", "X-Authenticated-User", "X-Authenticated-Userid", "X-WebAuth-User"),
)
"""In which proxies tell servers who somebody is."""
_OF_HEADERS: Final = frozenset({"identity_header", "scheme", "two_headers"})
_WITHOUT_CREDENTIAL: Final = frozenset({"none", "identity_header", "open_methods"})
_FIRST: Final = ("tools/list", "server/discover", "ping", "prompts/list", "resources/list")
"""What is asked for where no tool is named: the first of these that the server answers."""


@dataclass(frozen=True, slots=True)
class Result:
    """Of one attack. said: what the server answered, or why it was not tried. because: the attack that explains it."""

    attack: Attack
    verdict: Verdict
    said: str
    because: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """By one way. problem: why nothing can be told, or no more; None where the good token was taken first and last. spoken:
    whether the good token was taken at all. gateway: whether it is the gateway that was attacked, and not the server."""

    name: str
    operation: Operation | None
    gateway: bool = False
    results: tuple[Result, ...] = ()
    problem: str | None = None
    spoken: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """parts: by each way. signed: how many tokens the gateway's key signed, each of them recorded."""

    server: str
    place: str
    audience: str
    parts: tuple[Part, ...] = ()
    signed: int = 0

    @property
    def spoken(self) -> tuple[Part, ...]:
        """Those by which the server took the good token."""
        return tuple(part for part in self.parts if part.spoken)

    @property
    def accepted(self) -> tuple[tuple[Part, Result], ...]:
        """What should not have been."""
        return tuple((part, one) for part in self.parts for one in part.results if one.verdict == "accepted")

    @property
    def cannot_tell(self) -> bool:
        """Whether something is left open that was tried."""
        attacked = {part.gateway for part in self.parts}
        return attacked != {part.gateway for part in self.spoken} or any(
            part.problem is not None or any(one.verdict == "error" for one in part.results) for part in self.spoken
        )


async def probe(configuration: Configuration, wanted: Wanted, clock: Clock) -> Report:
    """Attack one server. Each token that the gateway's key signs is recorded before it is there.

    Raises ConfigError, aim.NotProbed, and CallError where nothing can be signed or recorded.
    """
    check_keys_are_shared(configuration)
    async with AsyncExitStack() as stack:
        parts = await open_parts(configuration, clock, stack, background=False, with_hooks=False)
        client = Client()
        stack.push_async_callback(client.close)
        aimed = aim(parts, wanted, client)
        forge = Forge(parts.ring, aimed.settings, parts.pipeline.recorder, clock, wanted.claims)
        listener = await stack.enter_async_context(_listener(forge))
        bench = _Bench(forge, listener if aimed.here else None, wanted.operation)
        attacks = [attack for attack in ATTACKS.values() if attack.servers]
        found = [await _part(make, bench, attacks) for make in aimed.ways]
        if wanted.key is not None and aimed.name is not None:
            found += await _through(parts, wanted, aimed.name, client, bench)
        name = aimed.name or wanted.server
        return Report(name, aimed.place, aimed.settings.audience, tuple(found), forge.signed)


@asynccontextmanager
async def _listener(forge: Forge) -> AsyncIterator[Listener]:
    keys = json.dumps({"keys": [dict(forge.strangers_jwk)]}).encode()
    # No certificate is needed: whoever fetches an address that stands in a token is found out by that.
    documents = {"/jwks.json": ("application/json", keys)}
    async with listening(documents) as listener:
        yield listener


async def _through(parts: Parts, wanted: Wanted, name: str, client: Client, bench: _Bench) -> list[Part]:
    """The same tokens as a caller's credential, at the gateway itself."""
    anonymous = parts.configuration.callers.anonymous
    attacks = [attack for attack in ATTACKS.values() if attack.gateway]
    through = replace(bench, key=wanted.key, anonymous=anonymous)
    found = [await _part(make, through, attacks) for make in through_the_gateway(parts, wanted, name, client)]
    return [replace(part, name=f"gateway, {part.name}", gateway=True) for part in found]


async def _part(make: Callable[[], Way], bench: _Bench, attacks: Sequence[Attack]) -> Part:
    way = make()
    try:
        try:
            await way.open(bench.sign)
        except Unusable as error:
            return Part(way.name, None, problem=f"a good token for `initialize`: {error}", spoken=False)
        except CallError as error:  # a program that does not start
            return Part(way.name, None, problem=error.detail or error.message, spoken=False)
        operation, first = await bench.first(way)
        if first.verdict != "accepted":
            return Part(way.name, operation, problem=f"the good token was not taken: {first.said}", spoken=False)
        found: list[Result] = []
        for attack in attacks:
            found.append(await bench.result(way, operation, attack))
        taken = {one.attack.id for one in found if one.verdict == "accepted"}
        results = tuple(replace(one, because=explained(one.attack, taken)) for one in found)
        last = await bench.good(way, operation)
        problem = None if last.verdict == "accepted" else f"the good token at the end was not taken: {last.said}"
        return Part(way.name, operation, results=results, problem=problem)
    finally:
        await way.close()


@dataclass(frozen=True, slots=True)
class _Bench:
    """What every attack is made with. asked: the call of a tool; None asks for lists. key: the good credential of the gateway,
    where that is attacked."""

    forge: Forge
    listener: Listener | None
    asked: Operation | None
    key: str | None = field(default=None, repr=False)
    anonymous: bool = False

    async def sign(self, operation: Operation) -> str:
        """The good credential for an operation."""
        return self.key or await self.forge.good(operation, GOOD)

    async def good(self, way: Way, operation: Operation) -> Answer:
        return await way.ask(operation, Presented((await self.sign(operation),)))

    async def first(self, way: Way) -> tuple[Operation, Answer]:
        """The call that is made all along, and what came of it with the good token."""
        if self.asked is not None:
            return self.asked, await self.good(way, self.asked)
        wanted = [Operation(method) for method in _FIRST if method in way.methods]
        answers = [(wanted[0], await self.good(way, wanted[0]))]
        for operation in wanted[1:]:
            if answers[-1][1].verdict == "accepted":
                return answers[-1]
            answers.append((operation, await self.good(way, operation)))
        return answers[-1] if answers[-1][1].verdict == "accepted" else answers[0]

    async def result(self, way: Way, operation: Operation, attack: Attack) -> Result:
        why = self._not_tried(way, operation, attack)
        if why is not None:
            return Result(attack, "skipped", why)
        if attack.id == "replayed":
            return await self._replayed(way, operation, attack)
        if attack.id == "open_methods":
            return await self._open_methods(way, operation, attack)
        before = 0 if self.listener is None else len(self.listener.asked)
        answers = [
            (label, await way.ask(operation, presented))
            for label, presented in await self._presented(attack.id, operation)
        ]
        if self.listener is not None and len(self.listener.asked) > before:
            return Result(attack, "accepted", f"it fetched {self.listener.asked[-1]} from the address in the token")
        return _judged(attack, answers)

    def _not_tried(self, way: Way, operation: Operation, attack: Attack) -> str | None:
        if not way.headers and attack.id in _OF_HEADERS:
            return "there are no headers"
        if not way.scheme and attack.id == "scheme":
            return "the header of its tokens has no scheme"
        if attack.tool and operation.method != "tools/call":
            return "needs the call of a tool: name a harmless one with --tool and --args"
        if attack.tool and not self.forge.binds_arguments:
            return "`bind_arguments: false`: no token for this server says anything of arguments"
        if attack.id == "open_methods" and not way.methods:
            return "it has no methods, only tools"
        if attack.id == "key_address" and self.listener is None:
            return "the server is on another machine, and would look for the key there"
        if self.anonymous and attack.id in _WITHOUT_CREDENTIAL:
            return "`callers.anonymous` permits callers without a credential"
        return None

    async def _presented(self, attack: str, operation: Operation) -> Sequence[tuple[str, Presented]]:
        """What is sent, by what tells it from the others of the same attack."""
        forge = self.forge
        match attack:
            case "none":
                return [("", Presented())]
            case "identity_header":
                return [("", Presented(headers=tuple((name, _SOMEBODY) for name in IDENTITY_HEADERS)))]
            case "no_token":
                return [("", Presented((_NO_TOKEN,)))]
            case "scheme":
                return [("", Presented((_NO_TOKEN,), scheme="bearer"))]
            case "alg_none":
                return [(label, Presented((token,))) for label, token in forge.unsigned(operation)]
            case "hs256":
                return [(label, Presented((token,))) for label, token in forge.with_the_public_key_as_secret(operation)]
            case "unknown_kid":
                return [("", Presented((await forge.of_somebody_else(operation),)))]
            case "embedded_jwk":
                token = await forge.of_somebody_else(operation, jwk=dict(forge.strangers_jwk))
                return [("", Presented((token,)))]
            case "key_address":
                assert self.listener is not None
                jku = await forge.of_somebody_else(operation, jku=f"{self.listener.base}/jwks.json")
                x5u = await forge.of_somebody_else(operation, x5u=f"{self.listener.base}/certificate.pem")
                return [("`jku`", Presented((jku,))), ("`x5u`", Presented((x5u,)))]
            case "other_operation":
                return [
                    (f"one for {_named(other)}", Presented((await forge.good(other, attack),)))
                    for other in _others(operation)
                ]
            case "other_arguments":
                other = Operation(operation.method, operation.name, {"counterseal_probe": "other arguments"})
                return [("", Presented((await forge.good(other, attack),)))]
            case "two_headers":
                good = [await self.sign(operation), await self.sign(operation)]
                return [
                    ("the good one first", Presented((good[0], _NO_TOKEN))),
                    ("the good one last", Presented((_NO_TOKEN, good[1]))),
                ]
            case "own_token":
                return [("", Presented((await forge.good(operation, attack),)))]
            case _:
                makers = {
                    "tampered": forge.tampered,
                    "expired": forge.expired,
                    "not_yet_valid": forge.not_yet_valid,
                    "issuer": forge.of_another_issuer,
                    "audience": forge.of_a_longer_audience,
                    "other_server": forge.of_another_server,
                    "oversize": forge.oversize,
                }
                return [("", Presented((await makers[attack](operation),)))]

    async def _replayed(self, way: Way, operation: Operation, attack: Attack) -> Result:
        presented = Presented((await self.forge.good(operation, attack.id),))
        once = await way.ask(operation, presented)
        if once.verdict != "accepted":
            return Result(attack, "error", f"the token was not taken for the first time: {once.said}")
        again = await way.ask(operation, presented)
        return Result(attack, again.verdict, again.said)

    async def _open_methods(self, way: Way, operation: Operation, attack: Attack) -> Result:
        """Each method that answers to a good token, without one."""
        answers: list[tuple[str, Answer]] = []
        for method in way.methods:
            other = Operation(method)
            if other == operation or (await self.good(way, other)).verdict != "accepted":
                continue
            shown = "GET" if method == STREAM else method
            answers.append((shown, await way.ask(other, Presented())))
        if not answers:
            return Result(attack, "skipped", "it answers no other method")
        return _judged(attack, answers)


def _judged(attack: Attack, answers: Sequence[tuple[str, Answer]]) -> Result:
    """One that is taken counts for all, and one that nobody can tell is not lost among refusals."""
    for verdict in ("accepted", "error"):
        those = [(label, answer) for label, answer in answers if answer.verdict == verdict]
        if those and verdict == "accepted":
            return Result(attack, "accepted", ", ".join(label for label, _ in those if label) or those[0][1].said)
        if those:
            return Result(attack, "error", "; ".join(f"{label}: {one.said}".removeprefix(": ") for label, one in those))
    return Result(attack, "refused", answers[0][1].said)


def _others(operation: Operation) -> tuple[Operation, ...]:
    if operation.method != "tools/call":
        return (Operation("prompts/list" if operation.method != "prompts/list" else "tools/list"),)
    return (
        Operation("tools/call", f"{operation.name}_counterseal_probe", operation.arguments),
        Operation("tools/list"),
    )


def _named(operation: Operation) -> str:
    return operation.name or operation.method
