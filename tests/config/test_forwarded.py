"""`forward_headers`: exact names of headers that are the application's, and of none that anybody takes for more than that."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.core.limits import LIMITS
from tests.config.writing import ISSUER, at, load, refused

WEATHER = {"url": "http://w"}


def told(names: list[Any], **more: Any) -> str:
    """The one problem, which stands at the last name."""
    servers = {"w": {**WEATHER, "forward_headers": names}, **more.pop("others", {})}
    written, problem = refused(servers=servers, **more)
    assert problem.startswith(at(written, "servers", "w", "forward_headers", len(names) - 1))
    return problem


def test_nothing_is_sent_on_unless_it_is_named() -> None:
    assert load(servers={"w": WEATHER}).servers["w"].forward_headers == ()
    named = load(servers={"w": {**WEATHER, "forward_headers": ["X-Tenant-Id", "traceparent"]}})
    assert named.servers["w"].forward_headers == ("X-Tenant-Id", "traceparent")
    assert "signer.forward_headers: is an unknown key" in refused(signer={"forward_headers": ["X-Tenant-Id"]})[1]


CREDENTIALS = [
    "Authorization",
    "aUTHORIZATION",
    "Proxy-Authorization",
    "Cookie",
    "Set-Cookie",
    "X-API-Key",
    "x-litellm-api-key",
    "Txn-Token",
    "X-MCP-Channel-Token",
]
WHO = [
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-User",
    "X-Real-IP",
    "Via",
    "Remote-User",
    "X-Remote-Group",
    "X-Auth-Request-Email",
    "X-Goog-IAP-JWT-Assertion",
    "X-Amzn-Oidc-Data",
    "X-MS-CLIENT-PRINCIPAL-NAME",
    "CF-Connecting-IP",
]
REQUEST = [
    "Host",
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Expect",
    "Content-Length",
    "Content-Type",
    "Content-Encoding",
    "Accept",
    "Accept-Language",
    "Mcp-Method",
    "Mcp-Param-City",
    "Mcp-Session-Id",
    "MCP-Protocol-Version",
    "Last-Event-ID",
    "Origin",
    "Referer",
    "Sec-Fetch-Site",
    "User-Agent",
    "X-HTTP-Method-Override",
    "X-Original-URL",
    "X-Counterseal-Debug",
    "Range",
    "If-None-Match",
    "Access-Control-Request-Headers",
]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        *((name, "carries a credential for this gateway, which no server gets: remove it") for name in CREDENTIALS),
        *((name, "is taken by servers for who calls or from where") for name in WHO),
        *((name, "routes, frames or changes the request") for name in REQUEST),
        *((name, "is read by LiteLLM as a credential") for name in ("x-mcp-auth", "X-MCP-Github-Authorization")),
        ("X_Tenant_Id", "has an underscore, which many take for `-`"),
        ("X-Tenant_Id", "has an underscore, which many take for `-`"),
        ("X-*", "is no exact name of a header: use letters, digits and `-`"),
        ("X Tenant", "is no exact name of a header"),
        ("X-Tenant:", "is no exact name of a header"),
        ("X-Ténant", "is no exact name of a header"),
        ("", "is no exact name of a header"),
        ("X-" + "a" * 127, "is no exact name of a header"),
        ("x-tenant-id", "is in this list already: remove it here"),
        (7, "must be a text"),
    ],
)
def test_a_name_that_means_more_than_the_callers_word_is_refused_with_its_place(name: Any, says: str) -> None:
    assert says in told(["X-Tenant-Id", name])
    load(servers={"w": {**WEATHER, "forward_headers": ["X-Tenant-Id", "X-Other", "X-" + "a" * 126]}})


@pytest.mark.parametrize(
    ("name", "says", "config"),
    [
        ("X-Key", "is one of the server's own `headers`", {"others": {}}),
        ("X-Call-Token", "is where a call token goes", {"signer": {"header": "x-call-token"}}),
        ("X-Agent", "is where channel tokens come in", {"signer": {"channel_token_header": "x_agent"}}),
        (
            "X-User",
            "may name the subject by `end_user_claim_sources`",
            {"signer": {"end_user_claim_sources": ["header:x-user"], "trust_identity_headers_from": ["10.0.0.1/32"]}},
        ),
    ],
)
def test_a_header_that_is_something_else_here_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, says: str, config: dict[str, Any]
) -> None:
    monkeypatch.setenv("KEY", "Bearer x")
    server = {**WEATHER, "headers": {"x_key" if name == "X-Key" else "x-other": "env:KEY"}, **config.get("others", {})}
    signer = config.get("signer", {})
    load(servers={"w": {**server, "forward_headers": ["X-Tenant-Id"]}}, signer=signer)
    written, problem = refused(servers={"w": {**server, "forward_headers": ["X-Tenant-Id", name]}}, signer=signer)
    assert problem.startswith(at(written, "servers", "w", "forward_headers", 1))
    assert says in problem


def test_what_is_something_else_at_another_server_is_refused_at_this_one() -> None:
    """A credential for one server, or what a proxy says of whom it calls for, is nothing for another one."""
    passing = {
        "url": "http://n",
        "passthrough": {"header": "X-Server-Authorization"},
        "signer": {"header": "X-Call-Token"},
    }
    says = "carries a credential for the server `n` (`passthrough`): use another header"
    assert says in told(["X-Server-Authorization"], others={"n": passing})
    assert "is where a call token goes" in told(["x-call-token"], others={"n": passing})
    proxied = {"end_user_claim_sources": ["header:x-user"], "trust_identity_headers_from": ["10.0.0.1/32"]}
    assert "may name the subject" in told(["X-User"], others={"n": {"url": "http://n", "signer": proxied}})
    others = {"n": passing, "w": {**WEATHER, "forward_headers": ["X-Tenant-Id"]}}
    assert load(servers=others).servers["w"].forward_headers == ("X-Tenant-Id",)


def test_so_many_names_and_no_more() -> None:
    most = LIMITS.forward_header_count
    names = [f"X-H-{number}" for number in range(most + 1)]
    load(servers={"w": {**WEATHER, "forward_headers": names[:most]}})
    assert (
        f"are more than {most} headers: name fewer" in refused(servers={"w": {**WEATHER, "forward_headers": names}})[1]
    )


def test_a_program_has_no_headers() -> None:
    program = {"transport": "stdio", "command": ["sh"]}
    load(servers={"w": program})
    _, problem = refused(servers={"w": {**program, "forward_headers": ["X-Tenant-Id"]}})
    assert "forward_headers: is a key of `streamable_http` servers, and this one is `stdio`: remove it" in problem


def test_a_hook_may_see_it() -> None:
    """A gate is the place to hold what the caller says of himself against who he is."""
    hook = {"use": "static_headers", "headers": ["X-Tenant-Id"], "with": {"headers": {}}}
    load(issuer=ISSUER, servers={"w": {**WEATHER, "forward_headers": ["X-Tenant-Id"]}}, hooks=[hook])
