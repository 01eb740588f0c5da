"""The official TypeScript client (v2) in both eras, through the gateway, to the official server that verifies every token."""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import Any

import pytest

from tests.flows.conftest import Countersigned
from tests.support.calls import REVISION, refusal, tool_call
from tests.support.parties import FOLDER, node_command

pytestmark = [pytest.mark.party("typescript-client"), pytest.mark.parametrize("era", ["modern", "legacy"])]


def visit(address: str, era: str, secret: str) -> dict[str, Any]:
    """What `typescript_client.mjs` tells: step -> {"value": ...} or {"error": message, "body": text}."""
    command = node_command(FOLDER / "typescript_client.mjs", address, era, secret)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


async def test_the_client_lists_calls_and_reads_through_the_gateway(countersigned: Countersigned, era: str) -> None:
    told = await asyncio.to_thread(visit, countersigned.address, era, countersigned.key.secret)
    done = {step: outcome.get("value", outcome) for step, outcome in told.items() if step != "forbidden"}
    assert done["connect"] == (REVISION if era == "modern" else "2025-11-25")
    assert "echo" in done["tools"]
    assert "forbidden" not in done["tools"]
    assert done["call"] == "from TypeScript"
    assert "test_simple_prompt" in done["prompts"]
    assert done["prompt"] == "This is a simple prompt for testing."
    assert "test://static-text" in done["resources"]
    assert done["resource"] == "This is the content of the static text resource."


async def test_a_denied_call_tells_the_program_why_and_never_reaches_the_server(
    countersigned: Countersigned, era: str
) -> None:
    call = tool_call("forbidden", {"message": "x"})
    status, reason, text = await refusal(countersigned.address, call, countersigned.key.headers)
    assert (status, reason) == (403, "policy_denied")
    told = await asyncio.to_thread(visit, countersigned.address, era, countersigned.key.secret)
    assert told["call"] == {"value": "from TypeScript"}
    assert text in told["forbidden"]["error"]
    seen = await asyncio.to_thread(countersigned.server.seen)
    assert "echo" in [entry["name"] for entry in seen]
    assert "forbidden" not in [entry["name"] for entry in seen]


async def test_a_wrong_key_tells_the_program_why_and_never_reaches_the_server(
    countersigned: Countersigned, era: str
) -> None:
    wrong = countersigned.key.secret[:-1] + ("a" if countersigned.key.secret[-1] != "a" else "b")
    call = tool_call("echo", {"message": "x"})
    status, reason, text = await refusal(countersigned.address, call, {"Authorization": f"Bearer {wrong}"})
    assert (status, reason) == (401, "credential_invalid")
    before = len(await asyncio.to_thread(countersigned.server.seen))
    told = await asyncio.to_thread(visit, countersigned.address, era, wrong)
    # In the modern era the SDK's own words about its first request, `server/discover`, take the place of the message.
    assert text in told["connect"]["body" if era == "modern" else "error"]
    assert len(await asyncio.to_thread(countersigned.server.seen)) == before
