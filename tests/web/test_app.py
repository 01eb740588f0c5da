"""Everything that is served besides calls: which addresses there are, what they say, and that there are no others."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from counterseal.errors import CannotTell, ConfigError
from counterseal.gateway.wiring import Gateway
from counterseal.web.app import App
from tests.web.building import DOCUMENTS, Running

OPEN = ["/healthz", "/readyz", *DOCUMENTS]


def get(web: Running, target: str, *lines: str, verb: str = "GET") -> bytes:
    head = [f"{verb} {target} HTTP/1.1", f"Host: 127.0.0.1:{web.port}", *lines, "", ""]
    return "\r\n".join(head).encode()


@pytest.mark.parametrize("path", OPEN)
def test_the_open_addresses_need_no_credential_and_say_nothing_of_the_host(web: Running, path: str) -> None:
    """K-19: who they are is configuration."""
    plain = web.ask(get(web, path))
    assert plain.status == 200
    for line in ("X-Forwarded-Host: evil.example", "Forwarded: host=evil.example"):
        assert web.ask(get(web, path, line)).body == plain.body
    evil = web.ask(get(web, path).replace(f"127.0.0.1:{web.port}".encode(), b"evil.example"))
    assert b"evil" not in evil.body
    assert "evil" not in repr(evil.headers)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_health_is_read_and_nothing_else(web: Running, path: str, verb: str) -> None:
    answer = web.ask(get(web, path, "Content-Length: 0", verb=verb))
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")
    head = web.ask(get(web, path, verb="HEAD"))
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/nowhere"])
@pytest.mark.parametrize("verb", ["GET", "OPTIONS", "POST"])
def test_what_is_no_document_is_for_no_page(web: Running, path: str, verb: str) -> None:
    answer = web.ask(get(web, path, "Origin: https://inspector.example.com", "Content-Length: 0", verb=verb))
    assert not any(name.startswith("access-control") for name, _ in answer.headers)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "/docs",
            "/redoc",
            "/openapi.json",
            "/metrics",
            "/debug",
            "/admin",
            "/admin/",
            "/status",
            "/favicon.ico",
        ),
        *("/.well-known", "/.well-known/", "/.well-known/jwks", "/.env", "/server-status", "/login", "/healthz.json"),
        *("/.well-known/oauth-protected-resource/mcp/no-such-server", "/.git/config", "/index.html", "/health"),
    ],
)
def test_h_15_there_is_nothing_else(web: Running, path: str) -> None:
    answer = web.ask(get(web, path))
    assert (answer.status, json.loads(answer.body)) == (404, {"error": "not found"})


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/healthz/",
            "/healthz//",
            "//healthz",
            "/./healthz",
            "/x/../healthz",
            "/%2fhealthz",
            "/HEALTHZ",
            "/healthz;x",
        ),
        *(
            "/.well-known/jwks.json/",
            "/.well-known//jwks.json",
            "/.well-known/../healthz",
            "/healthz%00",
            "/healthz%0d%0ax",
        ),
    ],
)
def test_h_04_an_address_in_another_spelling_is_none_and_leads_nowhere(web: Running, path: str) -> None:
    answer = web.ask(get(web, path).replace(f"127.0.0.1:{web.port}".encode(), b"evil.example"))
    assert answer.status in (400, 404)
    assert answer.header("location") is None
    assert b"evil" not in answer.body


def test_h_17_a_range_is_not_served(web: Running) -> None:
    ranges = ",".join(f"{number}-{number}" for number in range(500))
    answer = web.ask(get(web, "/.well-known/jwks.json", f"Range: bytes={ranges}"))
    assert (answer.status, answer.body) == (200, DOCUMENTS["/.well-known/jwks.json"])


def test_h_15_no_answer_has_a_server_header(web: Running) -> None:
    for request in (get(web, "/healthz"), get(web, "/nowhere"), get(web, "/healthz", verb="PUT"), b"nonsense\r\n\r\n"):
        answer = web.ask(request)
        assert answer.header("server") is None
        assert answer.header("x-powered-by") is None


def test_a_process_that_is_up_says_so_to_nobodys_cache(web: Running) -> None:
    answer = web.ask(get(web, "/healthz"))
    assert json.loads(answer.body) == {"status": "up"}
    assert answer.header("cache-control") == "no-store"


def test_c_08_ready_is_false_with_a_reason_while_a_part_cannot_work(web: Running) -> None:
    answer = web.ask(get(web, "/readyz"))
    assert (answer.status, json.loads(answer.body)) == (200, {"ready": True, "parts": {"keys": "ok", "audit": "ok"}})
    web.checks["audit"] = lambda: "the disk is full"
    try:
        answer = web.ask(get(web, "/readyz"))
        told = json.loads(answer.body)
        assert (answer.status, told["ready"]) == (503, False)
        assert told["parts"] == {"keys": "ok", "audit": "the disk is full"}
        assert (answer.header("cache-control"), answer.header("retry-after")) == ("no-store", "2")
        assert web.ask(get(web, "/healthz")).status == 200
    finally:
        web.checks["audit"] = lambda: None
    assert web.ask(get(web, "/readyz")).status == 200


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ConfigError("store: no"), "store: no"),
        (CannotTell("store_unavailable", "the store cannot be reached", detail="locked"), "the store .* [(]locked[)]"),
    ],
    ids=["of the operator's", "of the store"],
)
async def test_what_keeps_the_gateway_from_starting_is_a_sentence(error: Exception, says: str) -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[Gateway]:
        raise error
        yield

    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    await App(failing)({"type": "lifespan"}, receive, send)
    (told,) = sent
    assert told["type"] == "lifespan.startup.failed"
    assert re.fullmatch(says, told["message"])
