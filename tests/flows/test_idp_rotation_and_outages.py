"""Ten good calls and ten bad ones a second, while the certified `oidc-provider` rotates its keys, breaks, hangs and comes back.

The gateway is the whole one behind its real HTTP server, and every fetch goes over a socket. Only its monotonic clock is the
test's: the machine's, and as much later as the test says, so that a cool-down or the life of a key set is over when the story
needs it. Its wall clock, by which tokens end, is the machine's. (K-05, K-07, K-08, K-13, J-29)
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp
import pytest
import yaml

from counterseal.clock import SystemClock
from counterseal.core.limits import LIMITS
from counterseal.gateway.wiring import open_gateway
from counterseal.web.app import App
from tests.support import leaks
from tests.support.calls import modern_headers, post, tool_call
from tests.support.gateway import configuration
from tests.support.oidc_provider import OidcProvider
from tests.support.process import HANGS
from tests.support.rawhttp import serving
from tests.support.servers import RecordingServer
from tests.support.tokens import private_key, token

pytestmark = [pytest.mark.party("oidc-provider")]

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
LIFE: Final = 301.0
"""Seconds after which documents that say nothing of their life are over (K-14)."""
COOLDOWN: Final = LIMITS.refetch_cooldown_seconds + 1
REMEMBERED: Final = LIMITS.verified_kept_seconds + 1
"""Longer than a cool-down, too. Callers are verified anew after it, and remembered for as long again."""
PAUSE: Final = 0.1


class Clock(SystemClock):
    """The machine's, and as much later as a test says."""

    later = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.later


@dataclass(slots=True)
class Stream:
    """Ten calls a second, whatever becomes of them. who: an argument of theirs. statuses: what was answered, and how often."""

    who: str
    address: str
    tokens: Iterator[str]
    statuses: Counter[int] = field(default_factory=Counter)
    answers: list[bytes] = field(default_factory=list)
    sent: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """For as long as the block lasts."""
        running = asyncio.create_task(self._run())
        try:
            yield
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    async def answered(self, count: int) -> None:
        """Wait for so many more answers."""
        before = self.statuses.total()
        await until(lambda: self.statuses.total() >= before + count)

    async def _run(self) -> None:
        call = tool_call("get_weather", {"who": self.who})
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as under_way:
            for presented in self.tokens:
                under_way.create_task(self._one(session, call, presented))
                await asyncio.sleep(PAUSE)

    async def _one(self, session: aiohttp.ClientSession, call: dict[str, Any], presented: str) -> None:
        self.sent.add(presented)
        headers = modern_headers(call, Authorization=f"Bearer {presented}")
        async with session.post(self.address, json=call, headers=headers) as answer:
            self.answers.append(str(answer.headers).encode() + await answer.read())
            self.statuses[answer.status] += 1


async def until(true: Callable[[], object], seconds: float = HANGS) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it does not come to be so"
        await asyncio.sleep(0.01)


@dataclass(slots=True)
class Story:
    """One gateway, its provider and its clock. alive, dead: tokens that are good, and that were."""

    idp: OidcProvider
    clock: Clock
    resource: str
    alive: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    leaps: int = 0
    began: float = field(default_factory=time.monotonic)

    def leap(self, seconds: float) -> None:
        """Let time pass for the gateway."""
        self.leaps += 1
        self.clock.later += seconds

    async def later(self, seconds: float) -> None:
        """Let time pass, and wait until the gateway asks for the keys because of it."""
        before = await self.fetches()
        self.leap(seconds)
        deadline = time.monotonic() + HANGS
        while await self.fetches() == before:
            assert time.monotonic() < deadline, "the gateway does not ask for the keys"
            await asyncio.sleep(0.05)

    async def fetches(self) -> int:
        """How often the keys were asked for, with or without an answer."""
        seen = await asyncio.to_thread(self.idp.seen)
        return seen.count(("GET", "/jwks"))

    async def rotate(self, *steps: Literal["publish", "sign", "retire"]) -> None:
        for step in steps:
            await asyncio.to_thread(self.idp.rotate, step)

    async def tokens(self) -> list[str]:
        """One of each algorithm, by the keys that sign now."""
        made = []
        for algorithm in ALGORITHMS:
            await asyncio.to_thread(self.idp.set, resources={self.resource: algorithm})
            made.append(await asyncio.to_thread(self.idp.token, self.resource))
        return made

    async def refused(self, presented: str) -> None:
        """Wait until a token that was good is so no more."""
        call = tool_call("get_weather", {"who": "refused"})
        deadline = time.monotonic() + HANGS
        while (await post(self.resource, call, {"Authorization": f"Bearer {presented}"}))[0] == 200:
            assert time.monotonic() < deadline, "it is still accepted"

    def good(self) -> Iterator[str]:
        """Each of the tokens that are alive, in turn."""
        for number in itertools.count():
            yield self.alive[number % len(self.alive)]

    def bad(self) -> Iterator[str]:
        """A `kid` that was never there, a right `kid` with another's signature, and a token whose key is gone, in turn."""
        now = int(time.time())
        claims = {"iss": self.idp.issuer, "aud": self.resource, "sub": "mallory", "client_id": "m"}
        forged = partial(token, {**claims, "iat": now, "exp": now + 600}, key=private_key("ES256", "mallory"))
        for number in itertools.count():
            yield forged(header={"kid": f"made-up-{number}"})
            yield forged(header={"kid": f"es256-{1 + number % 4}"})
            if self.dead:
                yield self.dead[number % len(self.dead)]


@asynccontextmanager
async def telling(
    folder: Path, idp: OidcProvider, log: pytest.LogCaptureFixture
) -> AsyncIterator[tuple[Story, Stream, Stream]]:
    """The story, the good calls and the bad ones. At its end: who reached the server, and nothing of a token anywhere."""
    story = Story(idp, Clock(), "")
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
        story.resource = f"http://127.0.0.1:{port}/mcp/weather"
        async with RecordingServer() as server:
            callers = {"api_keys": False, "issuers": [idp.configuration(algorithms=list(ALGORITHMS))]}
            config = folder / "counterseal.yaml"
            whole = configuration(port, folder, {"weather": {"url": server.url}}, callers=callers)
            config.write_text(yaml.safe_dump(whole))
            with serving(App(partial(open_gateway, config, clock=story.clock)), bound=bound):
                story.alive = await story.tokens()
                good = Stream("good", story.resource, story.good())
                bad = Stream("bad", story.resource, story.bad())
                async with good.going_on(), bad.going_on():
                    yield story, good, bad
            heard = Counter(request.call["params"]["arguments"]["who"] for request in server.seen)
    assert heard["good"] >= good.statuses[200]
    assert heard["bad"] == 0
    texts = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    texts |= {"the answers": b"\n".join(good.answers + bad.answers), "the log": log.text.encode()}
    assert leaks.found(texts, good.sent | bad.sent) == []


def details(folder: Path) -> set[str]:
    """What the records say of the calls that were refused, each up to its first colon."""
    lines = [line for file in (folder / "audit").glob("*.jsonl") for line in file.read_text().splitlines()]
    refusals = [entry for entry in map(json.loads, lines) if entry.get("event") == "refusal"]
    return {entry["detail"].partition(":")[0] for entry in refusals}


async def test_nothing_wrong_is_accepted_and_nothing_good_refused_while_keys_change_and_the_provider_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with OidcProvider() as idp:
        async with telling(tmp_path, idp, caplog) as (story, good, bad):

            async def both_go_on() -> None:
                await asyncio.gather(good.answered(8), bad.answered(8))

            await both_go_on()

            # A rotation as it should be: the new keys are published for a whole life of the old set before they sign.
            await story.rotate("publish")
            await story.later(LIFE)
            await story.rotate("sign")
            old = story.alive
            story.alive = old + await story.tokens()
            await both_go_on()

            # Another where the new keys sign at once: after the cool-down, the first of their tokens makes the gateway ask.
            await story.rotate("publish", "sign")
            newest = await story.tokens()
            story.leap(REMEMBERED)
            story.alive = story.alive + newest
            await both_go_on()

            # All keys but the newest go. Everybody has a token of the newest by now; once the gateway knows, the rest is bad,
            # though it remembers who those were.
            await story.rotate("retire")
            story.alive = newest
            await story.later(COOLDOWN)
            await story.refused(old[0])
            story.dead = old
            await both_go_on()
            assert set(good.statuses) == {200}
            assert set(bad.statuses) == {401}

            # It breaks in three ways, one after the other. Good calls don't notice; of bad ones some cannot be told.
            for how in ("reset", "503", "hang"):
                await asyncio.to_thread(idp.down, how)
                await story.later(LIFE)
                await both_go_on()
            assert set(good.statuses) == {200}
            await until(lambda: bad.statuses[503])
            assert set(bad.statuses) == {401, 503}

            # It comes back, with new keys that sign at once.
            await story.rotate("publish", "sign")
            await asyncio.to_thread(idp.down, "up")
            await story.later(LIFE)
            story.alive = newest + await story.tokens()
            await both_go_on()
            assert set(good.statuses) == {200}
            cooldowns = 1 + story.leaps + (time.monotonic() - story.began) // LIMITS.refetch_cooldown_seconds
            assert await story.fetches() <= cooldowns

            # It is stopped for good. Its last keys serve for an hour, and then nobody can tell.
            await asyncio.to_thread(idp.stop)
            story.leap(LIFE)
            await both_go_on()
            assert set(good.statuses) == {200}
            story.leap(LIMITS.keys_stale_seconds)
            await until(lambda: good.statuses[503] > 4)
            assert set(good.statuses) == {200, 503}
            assert set(bad.statuses) == {401, 503}
    assert details(tmp_path) == {"key_unknown", "signature", "issuer corp"}
