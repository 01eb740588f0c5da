"""The page in a browser that docs/operating.md shows, held against the gateway that the same section configures."""

from __future__ import annotations

import json
import re
from typing import Final

import yaml

from tests.docs import pages
from tests.support.hostile import HostileServer
from tests.support.rawhttp import Answer
from tests.web.building import Running, running

PAGE: Final = pages.ROOT / "docs" / "operating.md"
(SCRIPT,) = (block.text for block in pages.blocks(PAGE) if block.language == "js")
ORIGINS: Final = next(
    yaml.safe_load(block.text)["listen"]["origins"] for block in pages.blocks(PAGE) if "origins" in block.text
)
HEADERS: Final = dict(re.findall(r'^    "([A-Za-z-]+)": ["`](.+)["`],?$', SCRIPT, re.MULTILINE))
SAFE: Final = {"accept"}
"""Headers that a browser lets a page send without asking (Fetch section 2.2.2); `Content-Type` is not, as JSON."""


def body() -> bytes:
    """What the script makes with `JSON.stringify`."""
    found = re.search(r"JSON\.stringify\((\{.*?^  \})\)", SCRIPT, re.MULTILINE | re.DOTALL)
    assert found is not None
    return json.dumps(json.loads(re.sub(r"^(\s*)(\w+):", r'\1"\2":', found[1], flags=re.MULTILINE))).encode()


def ask(web: Running, verb: str, origin: str, *lines: str, content: bytes = b"") -> Answer:
    length = f"Content-Length: {len(content)}"
    head = [f"{verb} /mcp/weather HTTP/1.1", f"Host: 127.0.0.1:{web.port}", f"Origin: {origin}", *lines, length, "", ""]
    return web.ask("\r\n".join(head).encode() + content)


def test_the_page_may_send_what_it_sends_and_read_what_it_gets() -> None:
    assert {"Authorization", "Content-Type", "Mcp-Method"} <= set(HEADERS)
    wanted = sorted(name.lower() for name in HEADERS if name.lower() not in SAFE)
    with HostileServer() as server, running(server, origins=tuple(ORIGINS)) as web:
        for origin in ORIGINS:
            asked = ask(
                web,
                "OPTIONS",
                origin,
                "Access-Control-Request-Method: POST",
                f"Access-Control-Request-Headers: {','.join(wanted)}",
            )
            assert asked.status == 204
            allowed = (asked.header("access-control-allow-headers") or "").lower().split(", ")
            assert set(wanted) <= set(allowed)
            for token, status, member in (("nobody", 401, "error"), ("key-of-alice", 200, "result")):
                lines = [f"{name}: {value.replace('${token}', token)}" for name, value in HEADERS.items()]
                answer = ask(web, "POST", origin, *lines, content=body())
                assert (answer.status, member in answer.message) == (status, True)
                assert answer.header("access-control-allow-origin") == origin
                assert "WWW-Authenticate" in (answer.header("access-control-expose-headers") or "").split(", ")
        assert ask(web, "POST", "https://evil.example", *lines, content=body()).status == 403
