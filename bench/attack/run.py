"""The tokens against the whole gateway in this process, and the counts that say what became of them.

Everything is as `counterseal serve` has it but for the sockets in front: the configuration file, the composition root, the
store, the file sink on the disk, two issuers' key sets over HTTP, a server that answers. The server and a trap at the addresses
that tokens name count every connection.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

from bench import answer, processes
from bench.attack import headers, mutation, payloads, segments, texts, twins
from bench.attack.forge import Forge, Make
from bench.idp import KeyServer
from bench.inside import SERVER, inbound_of
from counterseal.audit import reader
from counterseal.core.limits import LIMITS
from counterseal.core.reply import Reply
from counterseal.errors import CallError
from counterseal.gateway.batch import Handler
from counterseal.gateway.wiring import open_gateway
from counterseal.jose.refusal import Code

FAMILIES: Final[Mapping[str, Make]] = {
    **headers.FAMILIES,
    **payloads.FAMILIES,
    **texts.FAMILIES,
    **segments.FAMILIES,
    **segments.WHOLE,
    **mutation.FAMILIES,
    **payloads.DENIED,
}
_CODES: Final = frozenset(get_args(Code))
TWIN_EVERY: Final = 1000
_AT_ONCE: Final = 50
"""Few enough that a busy machine, too, is through with them long before the second is over in which a record is to be written."""
_STALLS: Final = 5
"""How often one token is shown again, where the disk had no time for its record: 503 says nothing of the token."""
_STALL_SECONDS: Final = 60.0
_SHOWN: Final = 10


@dataclass(slots=True)
class Tally:
    """What became of the tokens. tokens, distinct: how many were shown, and how many of them were different.

    families: how many of each. codes: by family, why they were refused, as the record has it. answers: refusals by status, code
    and public text. accepted, broken: bad tokens that passed; answers 5xx, and exceptions that are no refusal. twins, good: good
    tokens shown, and accepted. calls, connections: that the server saw. trapped: connections to an address that a token named.
    stalled: answers that no record could be written in time, after each of which the token was shown again.
    fetches: requests for key sets. recorded: refusals in the records; whole: each file of them is closed and its chain unbroken.
    odd: of what should not have happened, the first few, with the token, which is of nobody.
    """

    tokens: int = 0
    distinct: int = 0
    families: Counter[str] = field(default_factory=Counter)
    codes: Counter[tuple[str, str]] = field(default_factory=Counter)
    answers: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    accepted: int = 0
    broken: int = 0
    stalled: int = 0
    twins: int = 0
    good: int = 0
    calls: int = 0
    connections: int = 0
    trapped: int = 0
    fetches: int = 0
    recorded: int = 0
    whole: bool = False
    seconds: float = 0.0
    odd: list[str] = field(default_factory=list)

    def promises(self) -> list[tuple[str, str, bool]]:
        """What was promised, what was seen, and whether that is the same."""
        most_fetches = 2 * (1 + int(self.seconds // LIMITS.refetch_cooldown_seconds))
        return [
            ("no bad token accepted", f"{self.accepted:,}", not self.accepted),
            ("no answer 5xx, nothing else raised", f"{self.broken:,}", not self.broken),
            (
                "no call to the server but the twins'",
                f"{self.calls - self.good}",
                self.connections <= self.calls == self.good,
            ),
            ("no connection to what a token names", f"{self.trapped}", self.trapped == 0),
            (
                "a record for each token",
                f"{self.recorded:,} of {self.tokens:,}" + (f", {self.stalled:,} shown again" if self.stalled else ""),
                self.tokens <= self.recorded <= self.tokens + self.stalled,  # what came too late may be in the file
            ),
            ("the records are whole", "yes" if self.whole else "no", self.whole),
            ("one public answer for all bad tokens", f"{len(self._public())}", len(self._public()) == 1),
            (f"at most {most_fetches} fetches of keys", f"{self.fetches}", self.fetches <= most_fetches),
            ("every good twin accepted", f"{self.good:,} of {self.twins:,}", self.good == self.twins > 0),
        ]

    @property
    def kept(self) -> bool:
        return all(kept for _, _, kept in self.promises())

    def _public(self) -> set[tuple[int, str, str]]:
        """What callers of bad tokens were told. A good token whose caller may not act is told so."""
        return {answer for answer in self.answers if answer[1] != "actor_refused"}


class CountingServer:
    """Answers calls as bench/answer.py does. calls, connections: how many there were. tokens: the call tokens, the latest few."""

    def __init__(self) -> None:
        self.calls = 0
        self.connections = 0
        self.tokens: list[bytes] = []
        self.url = ""
        self._answers = answer.Answers()

    async def serve(self, lines: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        self.connections += 1
        data = b""
        while arrived := await lines.read(65536):
            data += arrived
            while (request := answer.take(data)) is not None:
                head, body, data = request
                self.calls += 1
                self._keep(head)
                out.write(self._answers.reply(head, body))
        out.close()

    def _keep(self, head: bytes) -> None:
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b": ")
            if name.lower() == b"authorization":
                self.tokens.append(value.removeprefix(b"Bearer "))
                del self.tokens[:-_AT_ONCE]


@asynccontextmanager
async def counting() -> AsyncIterator[CountingServer]:
    """On a loopback port, for as long as the block lasts."""
    server = CountingServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()


async def attack(count: int, seed: int, folder: Path, families: Mapping[str, Make] = FAMILIES) -> Tally:
    """Show so many tokens, of the families in turn. folder: an empty one."""
    tally, port = Tally(), processes.free_port()
    async with counting() as server, counting() as trap:
        with KeyServer({}) as keys:
            forge = _forge(seed, keys, f"http://127.0.0.1:{port}", trap.url)
            forge.minted = server.tokens
            callers = {"api_keys": True, "issuers": [_entry(forge.issuer, "issuer"), _entry(forge.partner, "partner")]}
            configuration = folder / "counterseal.yaml"
            configuration.write_text(processes.gateway_configuration(port, server.url, folder, callers))
            began = time.monotonic()
            async with open_gateway(configuration) as gateway:
                await _Attack(gateway.handler, gateway.checks["audit"], forge, families, tally).run(count)
            tally.seconds = time.monotonic() - began
            tally.fetches = keys.asked.total()
        tally.calls, tally.connections, tally.trapped = server.calls, server.connections, trap.connections
    tally.recorded, tally.whole = _records(folder / "audit")
    return tally


def _forge(seed: int, keys: KeyServer, own: str, trap: str) -> Forge:
    """With the key sets of both issuers where the gateway will ask for them."""
    issuer, partner = f"{keys.origin}/issuer", f"{keys.origin}/partner"
    audience = f"{own}/mcp/{SERVER}"
    forge = Forge(random.Random(seed), issuer=issuer, partner=partner, own=own, audience=audience, trap=trap)
    keys.publish({"/issuer/keys": forge.jwks(), "/partner/keys": forge.partners_jwks()})
    return forge


def _entry(issuer: str, name: str) -> dict[str, object]:
    return {
        "name": name,
        "issuer": issuer,
        "jwks_uri": f"{issuer}/keys",
        "algorithms": ["ES256", "EdDSA", "RS256", "PS256"],
        "allow_insecure_loopback": True,
    }


class _Attack:
    """why_unwritten: why no record can be written now; None where they can."""

    def __init__(
        self,
        handler: Handler,
        why_unwritten: Callable[[], str | None],
        forge: Forge,
        families: Mapping[str, Make],
        tally: Tally,
    ) -> None:
        self._handler = handler
        self._why_unwritten = why_unwritten
        self._forge = forge
        self._families = list(families.items())
        self._tally = tally
        self._seen: set[int] = set()

    async def run(self, count: int) -> None:
        for token in self._forge.pool:
            await self._good(token)
        for start in range(0, count, _AT_ONCE):
            if start % TWIN_EVERY == 0:
                await self._twin(start // TWIN_EVERY)
            numbers = range(start, min(start + _AT_ONCE, count))
            await asyncio.gather(*[self._bad(*self._make(number)) for number in numbers])
        self._tally.distinct = len(self._seen)

    def _make(self, number: int) -> tuple[str, bytes]:
        """The family's next token that is no good one."""
        name, make = self._families[number % len(self._families)]
        while (token := make(self._forge)) in self._forge.good:
            pass
        self._tally.tokens += 1
        self._tally.families[name] += 1
        self._seen.add(hash(token))
        return name, token

    async def _bad(self, family: str, token: bytes) -> None:
        tally = self._tally
        try:
            await self._judged(token if family in segments.WHOLE else b"Bearer " + token)
        except CallError as error:
            reason = error.reason
            tally.answers[reason.status, reason.code, error.message] += 1
            tally.codes[family, _code(error)] += 1
            if reason.status >= 500:
                tally.broken += 1
                self._say(f"{reason.status} {reason.code}: {family}", token)
        except Exception as error:
            tally.broken += 1
            self._say(f"{type(error).__name__}: {family}", token)
        else:
            tally.accepted += 1
            self._say(f"accepted: {family}", token)

    async def _judged(self, credential: bytes) -> Reply:
        """The reply. Raises CallError with a refusal. Where no record of it could be written in time, it is shown again."""
        for _ in range(_STALLS):
            try:
                return await self._handler.handle(inbound_of(credential))
            except CallError as error:
                if error.reason.code != "audit_unavailable":
                    raise
            self._tally.stalled += 1
            until = time.monotonic() + _STALL_SECONDS
            while self._why_unwritten() is not None and time.monotonic() < until:
                await asyncio.sleep(0.01)
        return await self._handler.handle(inbound_of(credential))

    def _say(self, what: str, token: bytes) -> None:
        if len(self._tally.odd) < _SHOWN:
            self._tally.odd.append(f"{what}: {token!r}")

    async def _twin(self, number: int) -> None:
        make = twins.TWINS[number // 2 % len(twins.TWINS)] if number % 2 else twins.known
        await self._good(self._forge.keep(make(self._forge)))

    async def _good(self, token: bytes) -> None:
        self._tally.twins += 1
        try:
            reply = await self._judged(b"Bearer " + token)
        except CallError as error:
            self._say(f"a good token, {error.reason.status} {error.detail}", token)
        else:
            self._tally.good += reply.status == 200 and not reply.is_error


def _code(error: CallError) -> str:
    """The code of jose/refusal.py, which the detail begins with; else that of the reason, or what no token was seen in."""
    code, colon, _ = (error.detail or "").partition(": ")
    if colon and code in _CODES:
        return code
    return "no token" if error.reason.code == "credential_invalid" else error.reason.code


def _records(folder: Path) -> tuple[int, bool]:
    """How many refusals the records hold, and whether every chain of them is whole."""
    refusals = 0
    for path in reader.files(folder):
        with path.open("rb") as file:
            refusals += sum(b'"event":"refusal"' in line for line in file)
    return refusals, all(report.state == "closed" for _, report in reader.verify(folder).files)
