"""The documents of a gateway as its owner configures it: what they say, to whom, and that no request changes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml

from tests.support.gateway import configuration
from tests.support.rawhttp import Answer, ask, serving

ISSUER: Final = "https://gateway.example.com"
IDPS: Final = ["https://idp.example.com", "https://other.example.com/"]
JWKS: Final = "/.well-known/jwks.json"
DISCOVERY: Final = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
RESOURCES: Final = {
    "/.well-known/oauth-protected-resource/mcp": (f"{ISSUER}/mcp", "Counterseal"),
    "/.well-known/oauth-protected-resource/mcp/weather": (f"{ISSUER}/mcp/weather", "Forecasts"),
    "/.well-known/oauth-protected-resource/mcp/notes": (f"{ISSUER}/mcp/notes", "notes"),
}
"""Path to the exact `resource`, and the name that people see."""
PATHS: Final = (JWKS, *DISCOVERY, *RESOURCES)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("documents")
    folder.chmod(0o700)
    servers = {
        "weather": {"url": "http://127.0.0.1:9/mcp", "description": "Forecasts"},
        "notes": {"url": "http://127.0.0.1:9/notes"},
    }
    issuers = [{"name": idp, "issuer": idp, "jwks_uri": "https://idp.example.com/jwks"} for idp in IDPS]
    config = folder / "counterseal.yaml"
    changes: dict[str, Any] = {"issuer": ISSUER, "callers": {"api_keys": True, "issuers": issuers}}
    config.write_text(yaml.safe_dump(configuration(8460, folder, servers, **changes)))
    with serving(config=config) as port:
        yield port


def request(port: int, target: str, *lines: str, verb: str = "GET", host: str | None = None) -> Answer:
    head = [f"{verb} {target} HTTP/1.1", f"Host: {host or f'127.0.0.1:{port}'}", *lines, "", ""]
    answer = ask(port, "\r\n".join(head).encode())
    assert answer is not None
    return answer


@pytest.mark.parametrize("path", RESOURCES)
def test_each_resource_has_a_document_with_its_exact_address_and_every_issuer(port: int, path: str) -> None:
    """RFC 9728 section 2."""
    resource, name = RESOURCES[path]
    assert json.loads(request(port, path).body) == {
        "resource": resource,
        "resource_name": name,
        "bearer_methods_supported": ["header"],
        "authorization_servers": IDPS,
    }


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/",
        "/.well-known/oauth-protected-resource/mcp/",
        "/.well-known/oauth-protected-resource/mcp/nowhere",
        "/.well-known/oauth-protected-resource/mcp/Weather",
        "/.well-known/oauth-protected-resource/mcp/weather/",
        "/.well-known/oauth-protected-resource/weather",
        "/mcp/weather/.well-known/oauth-protected-resource",
    ],
)
def test_a_resource_that_there_is_not_has_no_document(port: int, path: str) -> None:
    assert request(port, path).status == 404
    assert request(port, "/.well-known/oauth-protected-resource/mcp/weather").status == 200


@pytest.mark.parametrize("path", PATHS)
def test_k_18_a_document_is_public_for_five_minutes_to_pages_of_any_origin(port: int, path: str) -> None:
    for lines in ((), ("Origin: https://anybody.example.org",), ("Origin: null",)):
        answer = request(port, path, *lines)
        assert answer.status == 200
        assert answer.header("cache-control") == "public, max-age=300"
        assert answer.header("access-control-allow-origin") == "*"
        assert answer.header("access-control-allow-credentials") is None
        assert answer.header("set-cookie") is None
        media = "application/jwk-set+json" if path == JWKS else "application/json"
        assert answer.header("content-type") == media


@pytest.mark.parametrize("path", PATHS)
def test_k_18_a_head_is_a_get_without_its_body(port: int, path: str) -> None:
    got, head = request(port, path), request(port, path, verb="HEAD")
    changing = ("date",)
    assert (head.status, head.body) == (200, b"")
    assert [one for one in head.headers if one[0] not in changing] == [
        one for one in got.headers if one[0] not in changing
    ]


@pytest.mark.parametrize("path", PATHS)
def test_k_18_a_browser_that_asks_beforehand_may_read_with_any_header(port: int, path: str) -> None:
    """MCP clients send `MCP-Protocol-Version` when they look for documents, so browsers ask."""
    answer = request(
        port,
        path,
        "Origin: https://anybody.example.org",
        "Access-Control-Request-Method: GET",
        "Access-Control-Request-Headers: mcp-protocol-version",
        verb="OPTIONS",
    )
    assert (answer.status, answer.body) == (204, b"")
    assert answer.header("access-control-allow-origin") == "*"
    assert answer.header("access-control-allow-methods") == "GET, HEAD"
    assert answer.header("access-control-allow-headers") == "*"
    assert answer.header("access-control-max-age") == "600"
    assert answer.header("access-control-allow-credentials") is None
    assert answer.header("allow") == "GET, HEAD, OPTIONS"


VERBS: Final = ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "SEARCH", "LINK", "PURGE"]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("path", PATHS)
def test_k_18_a_document_is_read_and_nothing_else(port: int, path: str, verb: str) -> None:
    answer = request(port, path, "Content-Length: 0", verb=verb)
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD, OPTIONS")
    assert answer.header("cache-control") is None
    assert request(port, path).status == 200


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_h_05_k_18_a_header_does_not_change_the_method(port: int, header: str) -> None:
    plain = request(port, JWKS)
    assert request(port, JWKS, f"{header}: DELETE").body == plain.body
    assert request(port, JWKS, f"{header}: GET", "Content-Length: 0", verb="POST").status == 405


def test_a_page_can_read_that_there_is_no_document(port: int) -> None:
    """Else it would see a network that failed, and could not go on to the next place where one may be."""
    for path, status in (("/.well-known/nothing", 404), ("/.well-known/oauth-protected-resource/mcp/nowhere", 404)):
        answer = request(port, path, "Origin: https://anybody.example.org")
        assert (answer.status, answer.header("access-control-allow-origin")) == (status, "*")
    answer = request(port, "/healthz", "Origin: https://anybody.example.org")
    assert (answer.status, answer.header("access-control-allow-origin")) == (200, None)


EVIL: Final = "evil.example"
SPEAKING: Final[dict[str, tuple[str | None, tuple[str, ...]]]] = {
    "host": (EVIL, ()),
    "host with a port": (f"{EVIL}:8443", ()),
    "issuer's host with another port": ("gateway.example.com:1", ()),
    "forwarded host": (None, (f"X-Forwarded-Host: {EVIL}",)),
    "forwarded": (None, (f"Forwarded: host={EVIL};proto=http",)),
    "forwarded server": (None, (f"X-Forwarded-Server: {EVIL}", "X-Forwarded-Proto: http", "X-Forwarded-Port: 1")),
    "forwarded prefix": (None, ("X-Forwarded-Prefix: /evil", "X-Forwarded-Uri: /evil", "X-Script-Name: /evil")),
    "original url": (None, (f"X-Original-URL: https://{EVIL}/", "X-Rewrite-URL: /evil", f"X-Original-Host: {EVIL}")),
    "origin": (None, (f"Origin: https://{EVIL}", f"Referer: https://{EVIL}/")),
    "all of them": (EVIL, (f"X-Forwarded-Host: {EVIL}", f"Forwarded: host={EVIL}", f"Origin: https://{EVIL}")),
    "host twice": (None, (f"Host: {EVIL}",)),
}
"""What is sent as Host in place of the gateway's, and more header lines."""


@pytest.mark.parametrize(("host", "lines"), SPEAKING.values(), ids=SPEAKING)
@pytest.mark.parametrize("path", PATHS)
def test_k_19_h_05_no_header_decides_who_we_are(port: int, path: str, host: str | None, lines: tuple[str, ...]) -> None:
    plain = request(port, path)
    answer = request(port, path, *lines, host=host)
    assert (answer.status, answer.body) == (200, plain.body)
    assert "evil" not in repr(answer.headers)
    if path in DISCOVERY:
        told = json.loads(answer.body)
        assert (told["issuer"], told["jwks_uri"]) == (ISSUER, f"{ISSUER}{JWKS}")


@pytest.mark.parametrize(
    "target", [f"http://{EVIL}{{}}", f"https://{EVIL}{{}}", f"//{EVIL}{{}}", f"/{EVIL}{{}}", f"http://{EVIL}:1{{}}?x"]
)
@pytest.mark.parametrize("path", PATHS)
def test_k_19_a_target_that_names_a_host_gets_no_document(port: int, path: str, target: str) -> None:
    """The absolute form (RFC 9112 section 3.2.2) is for proxies."""
    answer = request(port, target.format(path))
    assert answer.status in (400, 404)
    assert b"evil" not in answer.body
    assert request(port, path).status == 200


@pytest.mark.parametrize("path", PATHS)
def test_k_19_a_query_decides_nothing(port: int, path: str) -> None:
    plain = request(port, path)
    for query in ("?issuer=https://evil.example", "?", "?host=evil.example&jwks_uri=https://evil.example"):
        assert request(port, path + query).body == plain.body
