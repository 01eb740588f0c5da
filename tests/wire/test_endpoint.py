"""Where an HTTP+SSE server may send posts: nowhere but to itself."""

from __future__ import annotations

import pytest

from counterseal.wire.endpoint import resolve

URL = "https://mcp.example.com/team/sse?v=1"
HOST = "https://mcp.example.com"


@pytest.mark.parametrize(
    ("said", "address"),
    [
        (b"/messages?session_id=1", f"{HOST}/messages?session_id=1"),
        (b"messages/1", f"{HOST}/team/messages/1"),
        (b"?session=1", f"{HOST}/team/sse?session=1"),
        (b"../m", f"{HOST}/m"),
        (b"https://mcp.example.com/m", f"{HOST}/m"),
        (b"https://mcp.example.com:443/m", f"{HOST}:443/m"),
        (b"https://MCP.example.com/m", "https://MCP.example.com/m"),
        (b"/a@b", f"{HOST}/a@b"),
        (b"/a//b", f"{HOST}/a//b"),
    ],
)
def test_an_address_of_the_same_origin_is_taken(said: bytes, address: str) -> None:
    assert resolve(URL, said) == address


@pytest.mark.parametrize(
    "said",
    [
        b"https://evil.example/m",
        b"http://mcp.example.com/m",
        b"https://mcp.example.com:8443/m",
        b"https://mcp.example.com.evil.example/m",
        b"https://mcp.example.com@evil.example/m",
        b"https://user@mcp.example.com/m",
        b"https://mcp.example.com:x/m",
        b"//evil.example/m",
        b"//mcp.example.com/m",
        b"///evil.example/m",
        b"\\\\evil.example/m",
        b"/\\evil.example/m",
        b"https:\\\\evil.example/m",
        b"https:evil.example/m",
        b"https:///m",
        b"ftp://mcp.example.com/m",
        b"javascript:alert(1)",
        b"data:text/plain,x",
        b"file:///etc/passwd",
        b"/m#https://evil.example",
        b"/m x",
        b"/m\tx",
        b"/m\r\nX-Evil: 1",
        b"/m\0",
        b" https://evil.example/m",
        "/m\u00e9".encode(),
        b"https://[::1/m",
        b"",
        b"/" + b"a" * 2048,
    ],
)
def test_any_other_address_is_refused_without_being_quoted(said: bytes) -> None:
    with pytest.raises(ValueError) as refused:
        resolve(URL, said)
    assert "evil" not in str(refused.value)


def test_a_port_of_the_configured_address_is_part_of_its_origin() -> None:
    assert resolve("http://127.0.0.1:8000/sse", b"http://127.0.0.1:8000/m") == "http://127.0.0.1:8000/m"
    with pytest.raises(ValueError, match="another origin"):
        resolve("http://127.0.0.1:8000/sse", b"http://127.0.0.1/m")
    with pytest.raises(ValueError, match="another origin"):
        resolve("http://127.0.0.1:8000/sse", b"http://localhost:8000/m")
