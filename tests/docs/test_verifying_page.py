"""The examples of verifying.md do what the page says: a good call passes, and every other one is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs import pages
from tests.docs.pages import ROOT, Block
from tests.support.process import Program
from tests.support.tokens import jwks
from tests.verify.serving import Said, Serving, fresh, serving

PAGE = ROOT / "docs/verifying.md"
BLOCKS = {
    block.mark.removeprefix("adapter="): block
    for block in pages.blocks(PAGE)
    if block.language == "python" and block.mark.startswith("adapter=")
}
OVER_HTTP = ("asgi", "starlette-mcp", "fastmcp", "mcp_sdk")
OF_A_SERVICE = ("fastapi", "starlette")
OVER_STDIO = ("stdio-mcp_sdk", "stdio-fastmcp")


def with_keys(block: Block, keys: str) -> str:
    """The example as it stands, but for the keys, which come from the issuer there."""
    settings = 'issuer="https://gateway.example.com"'
    assert block.text.count(settings) == 1
    return block.text.replace(settings, f"{settings}, jwks={keys}")


def run(name: str) -> dict[str, Any]:
    held: dict[str, Any] = {"__name__": "example", "KEYS": jwks("ES256")}
    exec(compile(with_keys(BLOCKS[name], "KEYS"), str(BLOCKS[name]), "exec"), held)
    return held


async def ask(name: str, server: Serving, token: str | None) -> Said:
    if name in OF_A_SERVICE:
        return await server.ask(None, token, http="GET", path="/weather/Oslo")
    return await server.weather(token)


def refused(said: Said) -> bool:
    return said.status in (401, 403) or (said.status == 200 and "error" in said.message)


def answer(said: Said) -> str:
    assert said.status == 200, said
    return said.message if isinstance(said.message, str) else said.text


@pytest.mark.parametrize("name", ["fastmcp", "asgi", "starlette-mcp", "fastapi", "stdio-mcp_sdk", "stdio-fastmcp"])
def test_a_server_is_guarded_in_under_five_lines(name: str) -> None:
    """Those that name something of ours, but for what is then done with what was verified. The page says how many."""
    ours = re.compile(r"counterseal|Verifier\(|Counterseal\w+\(|CallToken\(|Depends\(call_token\)")
    uses = re.compile(r"current_verified\)|current_verified\(\)|state\.counterseal")
    lines = [line for line in BLOCKS[name].text.splitlines() if ours.search(line) and not uses.search(line)]
    assert 0 < len(lines) < 5, lines
    table = pages.rows(PAGE.read_text().partition("| your server |")[2].partition("\n\n")[0])
    said = [cells[2] for cells in table if cells[2:] and cells[2].isdecimal()]
    assert said == ["4"] * 5
    assert len(lines) == 4


def test_every_example_is_run() -> None:
    assert set(BLOCKS) == {*OVER_HTTP, *OF_A_SERVICE, *OVER_STDIO}


@pytest.mark.party("fastmcp", "python-client")
@pytest.mark.parametrize(
    "name",
    [
        *OVER_HTTP,
        *(pytest.param(one, marks=pytest.mark.party("fastapi") if one == "fastapi" else ()) for one in OF_A_SERVICE),
    ],
)
async def test_an_example_over_http_guards_what_it_serves(name: str) -> None:
    app = run(name)["app"]
    inner = getattr(app, "_app", app)
    async with serving(app, inner) as server:
        presented = fresh()
        assert answer(await ask(name, server, presented)) == "Oslo for alice"
        assert refused(await ask(name, server, presented))
        bad = {
            "nothing": None,
            "another server's": fresh(aud="https://files.example.com/mcp"),
            "another tool's": fresh(name="delete_all"),
            "other arguments": fresh(arguments={"city": "Bergen"}),
            "expired": fresh(iat=1, nbf=1, exp=60),
            "tampered": fresh()[:-6] + "AAAAAA",
        }
        said = {what: refused(await ask(name, server, token)) for what, token in bad.items()}
        unchecked = {"other arguments"} if name == "fastapi" else set()  # as the page says
        assert {what for what, no in said.items() if not no} == unchecked
        assert answer(await ask(name, server, fresh(sub="bob"))) == "Oslo for bob"


@pytest.mark.party("fastmcp", "python-client")
@pytest.mark.parametrize("name", OVER_STDIO)
def test_an_example_over_stdio_starts(name: str, tmp_path: Path) -> None:
    """test_over_stdio.py talks to such servers."""
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps(jwks("ES256")))
    code = with_keys(BLOCKS[name], repr(str(keys))) + "\nserver.run('stdio')\n"
    with Program(name, [sys.executable, "-c", code]) as program:
        assert program.pid  # nobody talks to it, so it ends by itself, without a traceback


def test_what_is_claimed_of_the_room_is_so() -> None:
    """Which packages it needs."""
    code = "import sys; import counterseal.verify; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    outside = {name.partition(".")[0] for name in loaded}
    assert {"cryptography", "jiter", "msgspec", "rfc8785"} <= outside
    sentence = PAGE.read_text().partition("It needs ")[2].partition(".")[0]
    assert sentence == "cryptography, jiter,\nmsgspec and rfc8785"
