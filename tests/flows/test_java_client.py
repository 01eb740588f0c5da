"""Java's own HTTP client, which many clients of MCP stand on: over http it offers HTTP/2 with each request."""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import Any

import pytest

from tests.flows.conftest import Countersigned
from tests.support.calls import modern_headers, tool_call
from tests.support.parties import FOLDER

pytestmark = pytest.mark.party("java-client")


def calls(address: str, call: dict[str, Any], secret: str) -> list[tuple[str, str, str]]:
    """Status, version of HTTP and body of each answer."""
    headers = modern_headers(call, Authorization=f"Bearer {secret}")
    given = [part for header in headers.items() for part in header]
    command = ["java", "-XX:TieredStopAtLevel=1", str(FOLDER / "JavaClient.java"), address, json.dumps(call), *given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t", 2) for line in done.stdout.splitlines()]
    return [(status, version, body) for status, version, body in lines]


async def test_each_call_is_made_as_if_http_2_had_not_been_offered(countersigned: Countersigned) -> None:
    call = tool_call("echo", {"message": "from Java"})
    answers = await asyncio.to_thread(calls, countersigned.address, call, countersigned.key.secret)
    assert [answer[:2] for answer in answers] == [("200", "HTTP_1_1")] * 3
    assert all("from Java" in body for *_, body in answers)


async def test_a_refused_call_tells_the_program_why_and_never_reaches_the_server(countersigned: Countersigned) -> None:
    call = tool_call("forbidden", {"message": "from Java"})
    before = len(await asyncio.to_thread(countersigned.server.seen))
    answers = await asyncio.to_thread(calls, countersigned.address, call, countersigned.key.secret)
    assert [(status, json.loads(body)["error"]["data"]["reason"]) for status, _, body in answers] == [
        ("403", "policy_denied")
    ] * 3
    assert len(await asyncio.to_thread(countersigned.server.seen)) == before
