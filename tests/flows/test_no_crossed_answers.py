"""A hundred clients that all use JSON-RPC id 1 and often hang up: nobody gets another's answer, no call carries another's name.

The server checks the call token with PyJWT and answers with the tag of the call and the `sub` of its token, sometimes as an
event stream, after a random number of turns of its loop. What is random comes from one seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any, Final

import aiohttp
import jwt
import pytest
from aiohttp import web

from tests.support.calls import modern_headers, tool_call
from tests.support.gateway import running_gateway
from tests.support.idp import IdentityProvider
from tests.support.process import free_port

CLIENTS: Final = 100
CALLS: Final = 20_000
WITH_API_KEY: Final = 4  # the other clients have a token of the IdP each
HANG_UP: Final = 0.05  # of the calls
AS_STREAM: Final = 0.25  # of the answers
SEED: Final = 20260728
SECONDS: Final = 240


class EchoServer:
    """Answers `{"tag": ..., "sub": ...}`. arrived: how often each tag came here. refused: why a token was not accepted."""

    def __init__(self, seed: int) -> None:
        self.arrived: Counter[str] = Counter()
        self.refused: list[str] = []
        self._random = random.Random(seed)
        self._key: jwt.PyJWK | None = None
        self._issuer = ""
        app = web.Application()
        app.router.add_post("/mcp", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        self.url = ""

    async def __aenter__(self) -> EchoServer:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/mcp"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def trust(self, issuer: str, jwks: dict[str, Any]) -> None:
        """From now on: the gateway's one ES256 key."""
        self._issuer = issuer
        (self._key,) = (key for key in jwt.PyJWKSet.from_dict(jwks).keys if key.algorithm_name == "ES256")

    def _subject(self, authorization: str) -> str:
        assert self._key is not None
        token = authorization.removeprefix("Bearer ")
        claims = jwt.decode(token, self._key, algorithms=["ES256"], audience=self.url, issuer=self._issuer)
        subject: str = claims["sub"]
        return subject

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        call = await request.json()
        tag = call["params"]["arguments"]["tag"]
        self.arrived[tag] += 1
        try:
            subject = self._subject(request.headers["Authorization"])
        except (jwt.InvalidTokenError, KeyError) as error:
            self.refused.append(repr(error))
            return web.Response(status=401)
        as_stream = self._random.random() < AS_STREAM
        for _ in range(self._random.randrange(6)):
            await asyncio.sleep(0)  # lets other calls overtake this one
        told = {"tag": tag, "sub": subject}
        result = {"resultType": "complete", "content": [], "structuredContent": told}
        answer = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result})
        if not as_stream:
            return web.Response(text=answer, content_type="application/json")
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        with contextlib.suppress(ConnectionResetError):  # the gateway hung up, because its client did
            await stream.prepare(request)
            await stream.write(b": a comment first, in a packet of its own\n\n")
            await asyncio.sleep(0)
            await stream.write(f"event: message\ndata: {answer}\n\n".encode())
        return stream


def message(content_type: str, body: bytes) -> dict[str, Any]:
    """The one JSON-RPC message of an answer."""
    text = body.decode()
    if content_type == "text/event-stream":
        (text,) = (line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:"))
    decoded: dict[str, Any] = json.loads(text)
    return decoded


async def ask(
    session: aiohttp.ClientSession, url: str, call: dict[str, Any], headers: dict[str, str], rng: random.Random
) -> tuple[int, str, bytes] | None:
    """Status, content type and body of the answer. None: this client hung up, after a random time or when the headers came."""
    hangs_up = rng.random() < HANG_UP
    at_headers = hangs_up and rng.random() < 0.5
    patience = rng.uniform(0, 0.15) if hangs_up and not at_headers else SECONDS
    try:
        async with asyncio.timeout(patience), session.post(url, json=call, headers=headers) as answer:
            if at_headers:
                answer.close()
                return None
            return answer.status, answer.content_type, await answer.read()
    except TimeoutError:
        return None


async def visit(url: str, headers: dict[str, str], subject: str, tags: list[str], rng: random.Random) -> Counter[str]:
    """One client: makes its calls one after the other and checks every answer. Counts what they came to."""
    outcomes: Counter[str] = Counter()
    async with aiohttp.ClientSession() as session:
        for tag in tags:
            call = tool_call("echo", {"tag": tag}, id=1)
            answer = await ask(session, url, call, modern_headers(call, **headers), rng)
            if answer is None:
                outcomes["hung up"] += 1
                continue
            status, content_type, body = answer
            got: dict[str, Any] = message(content_type, body) if status == 200 else {"status": status, "body": body}
            told = got.get("result", {}).get("structuredContent")
            if (got.get("id"), told) == (1, {"tag": tag, "sub": subject}):
                outcomes["right"] += 1
            else:
                outcomes[f"wrong: {subject} asked {tag} and got {got}"] += 1
    return outcomes


@pytest.mark.party("pyjwt")
@pytest.mark.timeout(SECONDS + 60)
async def test_no_answer_is_crossed_and_no_call_carries_another_subject(tmp_path: Path) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}/mcp/echo"
    async with IdentityProvider() as idp, EchoServer(SEED) as server:
        servers = {"echo": {"url": server.url, "signer": {"algorithm": "ES256"}}}
        callers = {"api_keys": True, "anonymous": False, "issuers": [idp.configuration(address)]}
        async with running_gateway(tmp_path, servers, port=port, callers=callers) as gateway:
            jwks = await asyncio.to_thread(lambda: json.load(urllib.request.urlopen(gateway.jwks, timeout=60)))
            server.trust(gateway.issuer, jwks)
            who: list[tuple[str, dict[str, str]]] = []
            for number in range(CLIENTS):
                subject = f"subject-{number}"
                if number < WITH_API_KEY:
                    who.append((subject, (await asyncio.to_thread(gateway.create_key, subject)).headers))
                else:
                    who.append((subject, {"Authorization": f"Bearer {idp.token(subject, address)}"}))
            seeds = random.Random(SEED)
            async with asyncio.timeout(SECONDS):
                outcomes = await asyncio.gather(
                    *(
                        visit(
                            address,
                            headers,
                            subject,
                            [f"{subject}/{each}" for each in range(CALLS // CLIENTS)],
                            random.Random(seeds.random()),
                        )
                        for subject, headers in who
                    )
                )
            total = sum(outcomes, Counter[str]())
            assert {what: count for what, count in total.items() if what not in ("right", "hung up")} == {}
            assert total["right"] + total["hung up"] == CALLS
            assert total["hung up"] > CALLS * HANG_UP / 4  # they did hang up
            assert server.refused == []
            assert [tag for tag, count in server.arrived.items() if count > 1] == []  # nothing was sent twice
