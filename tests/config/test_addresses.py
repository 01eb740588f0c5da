"""Addresses and header names, in the keys that hold them."""

from __future__ import annotations

import json

import pytest

from tests.config.writing import accepted, problems

GOOD = "https://gateway.example.com"


def issuer(text: str) -> str:
    return f"issuer: {json.dumps(text)}\n"


def server(url: str) -> str:
    return f"issuer: {GOOD}\nservers: {{weather: {{url: {json.dumps(url)}}}}}\n"


def idp(url: str, loopback: str = "false") -> str:
    entry = (
        f"{{name: corp, allow_insecure_loopback: {loopback}, issuer: {json.dumps(url)}, jwks_uri: {json.dumps(url)}}}"
    )
    return f"issuer: {GOOD}\ncallers: {{issuers: [{entry}]}}\n"


BOTH = [
    ("gateway.example.com", "absolute address"),
    ("//gateway.example.com", "absolute address"),
    ("/mcp", "absolute address"),
    ("ftp://gateway.example.com", "absolute address"),
    ("HTTPS://gateway.example.com", "absolute address"),
    ("https:gateway.example.com", "absolute address"),
    ("https:///mcp", "absolute address"),
    ("https://user@gateway.example.com", "user name or password"),
    ("https://user:c4n4ry@gateway.example.com", "user name or password"),
    ("https://gateway.example.com#x", "fragment"),
    ("https://gateway.example.com/#", "fragment"),
    ("https://gateway.example.com:0", "port"),
    ("https://gateway.example.com:", "port"),
    ("https://gateway.example.com:65536", "port"),
    ("https://gateway.example.com:x", "port"),
    ("https://[::1", "host"),
    ("https://-gateway.example.com", "host"),
    ("https://gate way.example.com", "character"),
    ("https://gateway.example.com\\evil", "character"),
    ("https://gatewäy.example.com", "character"),
    ("https://gateway.example.com/\n", "character"),
    ("", "character"),
]


@pytest.mark.parametrize(("text", "says"), BOTH)
def test_an_address_that_is_not_absolute_or_hides_something_is_refused(text: str, says: str) -> None:
    for written in (issuer(text), server(text), idp(text)):
        found = problems(written)
        assert found
        assert all(says in problem and "c4n4ry" not in problem for problem in found)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"{GOOD}:8443",
        f"{GOOD}/gateway",
        "https://192.0.2.1",
        "https://[2001:db8::1]:8443",
        "http://127.0.0.1:8460",
        "http://localhost:8460",
        "http://[::1]:8460",
    ],
)
def test_an_issuer_is_https_or_on_a_loopback_address(text: str) -> None:
    assert accepted(issuer(text)).issuer == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://gateway.example.com", "https"),
        ("http://10.0.0.1", "https"),
        ("http://127.0.0.1.example.com", "https"),
        ("http://localhost.example.com", "https"),
        (f"{GOOD}?tenant=a", "query"),
        (f"{GOOD}?", "query"),
        (f"{GOOD}/", "slash"),
        (f"{GOOD}/gateway/", "slash"),
    ],
)
def test_c_02_an_issuer_that_others_could_speak_for_or_misread_is_refused(text: str, says: str) -> None:
    (problem,) = problems(issuer(text))
    assert problem.startswith("1:9: issuer: ")
    assert says in problem


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8000/mcp",
        "http://crm.internal/mcp/",
        "https://crm.internal/mcp?tenant=a",
        "http://crm_1:80",
        GOOD,
    ],
)
def test_a_server_may_be_http_inside_a_network(text: str) -> None:
    assert accepted(server(text)).servers["weather"].url == text


@pytest.mark.parametrize("text", ["https://idp.example.com/", "https://idp.example.com/realms/a?x=y"])
def test_an_idp_is_https(text: str) -> None:
    assert accepted(idp(text)).callers.issuers[0].jwks_uri == text


def test_c_02_an_idp_is_http_only_on_loopback_and_only_where_that_is_said() -> None:
    text = "http://127.0.0.1:9400/jwks"
    assert accepted(idp(text, "true")).callers.issuers[0].issuer == text
    for problem in problems(idp(text, "false")):
        assert "write `allow_insecure_loopback: true`" in problem
    for problem in problems(idp("http://idp.example.com/jwks", "true")):
        assert "must be an https address" in problem


def header(name: str, key: str) -> str:
    written = json.dumps(name)
    if key == "header":
        return f"issuer: {GOOD}\nsigner: {{header: {written}}}\n"
    return f"issuer: {GOOD}\nservers: {{w: {{url: http://w, headers: {{{written}: env:TOKEN}}}}}}\n"


@pytest.mark.parametrize("key", ["header", "headers"])
@pytest.mark.parametrize(
    "name", ["X-Call-Token", "x-call-token", "X_Token", "Cookie", "X-API-Key", "Host-Token", "Acceptance"]
)
def test_a_header_for_credentials_may_have_any_name(name: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "x")
    accepted(header(name, key))


@pytest.mark.parametrize("key", ["header", "headers"])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        *((name, "no name of an HTTP header") for name in ("", "X Token", "X-Token:", "X-Töken", "X-Token\n", "(x)")),
        *(
            (name, "the gateway writes itself")
            for name in (
                *("Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authorization"),
                *(
                    "Host",
                    "host",
                    "Accept",
                    "Accept-Encoding",
                    "Content-Length",
                    "CONTENT-TYPE",
                    "User-Agent",
                    "Expect",
                ),
                *("Mcp-Method", "MCP-Protocol-Version", "mcp-session-id", "Mcp-Param-Region", "Last-Event-ID"),
            )
        ),
    ],
)
def test_a_header_that_routes_or_frames_the_request_is_refused(
    name: str, says: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "x")
    (problem,) = problems(header(name, key))
    assert says in problem


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::", "localhost", "gateway-1.internal"])
def test_a_host_to_listen_on_is_an_address_or_a_name(host: str) -> None:
    assert accepted(f"issuer: {GOOD}\nlisten: {{host: {json.dumps(host)}}}\n").listen.host == host


@pytest.mark.parametrize("host", ["", "[::1]", "127.0.0.1:80", "http://127.0.0.1", "a b", "*"])
def test_a_host_with_a_port_or_brackets_is_refused(host: str) -> None:
    (problem,) = problems(f"issuer: {GOOD}\nlisten: {{host: {json.dumps(host)}}}\n")
    assert "IP address or a host name" in problem


def origins(*texts: str) -> str:
    return f"issuer: {GOOD}\nlisten: {{origins: {json.dumps(texts)}}}\n"


def test_no_page_of_another_origin_may_call_unless_that_is_said() -> None:
    assert accepted(f"issuer: {GOOD}\n").listen.origins == ()
    assert accepted(origins()).listen.origins == ()


@pytest.mark.parametrize(
    "text",
    [
        "https://inspector.example.com",
        "https://inspector.example.com:8443",
        "https://192.0.2.1",
        "https://[2001:db8::1]:8443",
        "https://xn--gteway-bta.example.com",
        "https://localhost",
        "http://localhost",
        "http://localhost:6274",
        "http://127.0.0.1:6274",
        "http://[::1]:6274",
    ],
)
def test_an_origin_is_scheme_host_and_port_as_browsers_write_them(text: str) -> None:
    other = "https://other.example.com"
    assert accepted(origins(text, other)).listen.origins == (text, other)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("*", "any page could call"),
        ("https://*", "any page could call"),
        ("https://*.example.com", "any page could call"),
        ("https://inspector.example.com:*", "any page could call"),
        ("null", "names nobody"),
        ("", "must be an origin"),
        ("inspector.example.com", "must be an origin"),
        ("//inspector.example.com", "must be an origin"),
        ("HTTPS://inspector.example.com", "must be an origin"),
        ("chrome-extension://inspector", "must be an origin"),
        ("file://", "must be an origin"),
        ("http://inspector.example.com", "must be https"),
        ("http://10.0.0.1:6274", "must be https"),
        ("http://localhost.example.com", "must be https"),
        ("https://inspector.example.com/", "not an origin"),
        ("https://inspector.example.com/app", "not an origin"),
        ("https://inspector.example.com?x", "not an origin"),
        ("https://inspector.example.com#x", "fragment"),
        ("https://user@inspector.example.com", "user name or password"),
        ("https://user:c4n4ry@inspector.example.com", "user name or password"),
        ("https://Inspector.example.com", "not as browsers write it"),
        ("https://inspector.example.com:443", "not as browsers write it"),
        ("https://inspector.example.com:08443", "not as browsers write it"),
        ("http://localhost:80", "not as browsers write it"),
        ("https://inspector.example.com:", "port"),
        ("https://inspector.example.com:0", "port"),
        ("https://inspector.example.com.", "host"),
        ("https://inspector.example.com,https://evil.example", "host"),
        ("https://inspector.example.com https://evil.example", "character"),
        ("https://inspectör.example.com", "character"),
        ("https://inspector.example.com\n", "character"),
        ("https://", "absolute address"),
    ],
)
def test_m_12_an_origin_that_names_more_than_one_or_that_no_browser_sends_is_refused(text: str, says: str) -> None:
    (problem,) = problems(origins("https://inspector.example.com", text))
    assert "listen.origins[1]: " in problem
    assert says in problem
    assert "c4n4ry" not in problem


def test_an_origin_is_listed_once() -> None:
    (problem,) = problems(origins("https://a.example.com", "https://b.example.com", "https://a.example.com"))
    assert problem.endswith("listen.origins[2]: is in this list already: remove it here")
