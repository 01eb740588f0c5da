"""What the servers in other languages let through, and what they refuse, over HTTP, as `docs/errors.md` says."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from tests.support.calls import modern, modern_headers, tool_call
from tests.verify_languages.languages import in_each_language
from tests.verify_languages.running import OSLO, Minted, Running

pytestmark = in_each_language

LEGACY: Final = {"MCP_Protocol_Version": "2025-11-25"}
CLIENT: Final = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


def legacy(method: str, params: Any = None, id: int | None = 1) -> bytes:
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    message |= {} if id is None else {"id": id}
    return json.dumps(message | ({} if params is None else {"params": params})).encode()


# ---- what is good ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "Ed25519", "EdDSA", "ES384", "PS256"])
def test_a_call_with_its_token_is_answered_and_the_tool_knows_for_whom(server: Running, algorithm: str) -> None:
    good = server.weather(algorithm=algorithm)
    said = server.ask(good)
    assert (said.status, said.text) == (200, f"Oslo for {good.subject}")
    assert server.was_called_by(good.subject) == [good.subject]


MESSAGES: Final = {
    "server/discover": (modern("server/discover"), {}),
    "tools/list": (modern("tools/list"), {}),
    "initialize": (legacy("initialize", CLIENT), LEGACY),
    "notifications/initialized": (legacy("notifications/initialized", id=None), LEGACY),
    "ping": (legacy("ping"), LEGACY),
}


@pytest.mark.parametrize("method", MESSAGES)
def test_every_method_needs_a_token_of_its_own(server: Running, method: str) -> None:
    message, headers = MESSAGES[method]
    if isinstance(message, dict):
        headers, message = {**modern_headers(message), **headers}, json.dumps(message).encode()
    said = server.send(message, server.mint(method, None), **headers)
    assert said.status == (202 if method.startswith("notifications/") else 200), said
    for wrong, status, reason in (
        (None, 401, "credential_missing"),
        (server.weather(), 403, "scope"),
        (server.mint(method, None, aud="https://files.example.com/mcp"), 401, "audience"),
        (server.mint(method, None, details={"actions": ["tools/call"]}), 403, "operation"),
    ):
        refused = server.send(message, wrong, **headers)
        assert (refused.status, refused.reason) == (status, reason)
        assert "result" not in refused.message


def test_the_tool_is_listed(server: Running) -> None:
    call = modern("tools/list")
    said = server.send(json.dumps(call).encode(), server.mint("tools/list", None), **modern_headers(call))
    assert [tool["name"] for tool in said.message["result"]["tools"]] == ["get_weather"]


def test_a_stream_and_the_end_of_a_session_need_their_tokens(server: Running) -> None:
    """The server has neither: with a good token it says so, and without one it says nothing of itself."""
    for http_method, pseudo in (("GET", "io.counterseal/stream"), ("DELETE", "io.counterseal/end-session")):
        assert server.send(None, server.mint(pseudo, None), http_method=http_method).status == 405
        assert server.send(None, None, http_method=http_method).status == 401
        assert server.send(None, server.weather(), http_method=http_method).status == 403
    assert server.send(b"{}", server.weather(), http_method="PUT").status == 405


# ---- what is bad ----------------------------------------------------------------------------------------------------


def test_a_token_is_taken_once(server: Running) -> None:
    good = server.weather()
    assert server.ask(good).status == 200
    again = server.ask(good)
    assert (again.status, again.reason, again.message["error"]["code"]) == (401, "replayed", 40150)
    assert server.program.output.count(f"for {good.subject}\n") <= 1


def test_of_many_that_bring_one_token_at_once_one_passes(server: Running) -> None:
    good = server.weather()
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: server.ask(good), range(16)))
    assert sorted(one.status for one in said) == [200] + [401] * 15
    server.was_called_by()
    assert server.program.output.count(f"for {good.subject}\n") == 1


def test_a_refusal_uses_no_token_up(server: Running) -> None:
    good = server.weather()
    assert server.ask(good, {"city": "Bergen"}).status == 403
    assert server.ask(good).status == 200


def test_what_is_no_token_or_not_ours_is_refused_and_never_reaches_the_tool(server: Running) -> None:
    good = server.weather()
    forged = Minted(good.text[:-6] + "AAAAAA", good.subject)
    rows = {
        "another name": (server.mint(name="delete_all", arguments=OSLO), 403, "scope", 40350),
        "other arguments": (server.weather({"city": "Bergen"}), 403, "arguments", 40350),
        "another server": (server.weather(aud="https://files.example.com/mcp"), 401, "audience", 40150),
        "another issuer": (server.weather(iss="https://other.example"), 401, "invalid_token", 40150),
        "expired": (server.weather(iat=1, nbf=1, exp=60), 401, "expired", 40150),
        "another kind": (server.weather(header={"typ": "JWT"}), 401, "typ", 40150),
        "forged": (forged, 401, "invalid_token", 40150),
    }
    for what, (minted, status, reason, code) in rows.items():
        said = server.ask(minted)
        assert (said.status, said.reason, said.message["error"]["code"]) == (status, reason, code), what
        assert said.message["id"] == 1
        challenge = 'Bearer error="invalid_token"' if status == 401 else 'Bearer error="insufficient_scope", scope='
        assert said.headers["www-authenticate"].startswith(challenge), what
    assert server.was_called_by(*(minted.subject for minted, *_ in rows.values())) == []
    assert server.ask(good).status == 200
    assert not [minted for minted, *_ in rows.values() if minted.text in server.program.output]


@pytest.mark.parametrize(
    "value", [None, "", "Bearer", "Basic YTpi", "Bearer  {}", "Bearer {} x", "{}", "Bearer {}, Bearer {}"]
)
def test_a_header_that_is_not_one_bearer_token_is_refused(server: Running, value: str | None) -> None:
    good = server.weather()
    said = server.ask(value and value.replace("{}", good.text))
    assert (said.status, said.message["error"]["data"]["reason"]) in (
        (401, "credential_missing"),
        (401, "credential_invalid"),
    )
    assert "www-authenticate" in said.headers
    assert server.was_called_by(good.subject) == []
    assert server.ask(good).status == 200


def test_two_headers_are_refused_even_if_both_are_good(server: Running) -> None:
    good = server.weather()
    call = tool_call("get_weather", OSLO)
    pairs = [("Authorization", f"Bearer {good.text}"), ("Authorization", f"Bearer {server.weather().text}")]
    headers = modern_headers(call)
    said = server.request("POST", json.dumps(call).encode(), pairs, headers)
    assert said.status in (400, 401)
    assert server.was_called_by(good.subject) == []
    assert server.request("POST", json.dumps(call).encode(), pairs[:1], headers).status == 200


# ---- bodies that two readers could understand differently -----------------------------------------------------------

BODY: Final = json.dumps(tool_call("get_weather", OSLO))
AROUND: Final = '"arguments": {"city": "Oslo"}'
assert AROUND in BODY

TWO_READINGS: Final = {
    "method twice": BODY[:-1] + ', "method": "tools/list"}',
    "params twice": BODY[:-1] + ', "params": {"name": "delete_all"}}',
    "name twice": BODY.replace(AROUND, '"name": "get_weather", ' + AROUND),
    "name twice, once escaped": BODY.replace(AROUND, r'"n\u0061me": "delete_all", ' + AROUND),
    "arguments twice": BODY.replace(AROUND, AROUND + ', "arguments": {"city": "Bergen"}'),
    "an argument twice": BODY.replace('{"city": "Oslo"}', '{"city": "Bergen", "city": "Oslo"}'),
    "an argument twice, once escaped": BODY.replace('{"city": "Oslo"}', r'{"city": "Bergen", "c\u0069ty": "Oslo"}'),
    "a byte order mark": "\ufeff" + BODY,
    "half of a character": BODY[:-1] + r', "x": "\ud800"}',
    "half of a character in a name": BODY[:-1] + r', "\udc00": 1}',
    "NaN": BODY[:-1] + ', "x": NaN}',
    "a number beyond all doubles": BODY[:-1] + ', "x": 1e999}',
    "more behind it": BODY + "{}",
    "a comment": BODY[:-1] + "/**/}",
    "a comma too many": BODY[:-1] + ",}",
    "too deep": BODY[:-1] + ', "x": ' + "[" * 70 + "]" * 70 + "}",
    "nothing": "",
    "a list": f"[{BODY}]",
    "a text": '"tools/call"',
    "an answer too": BODY[:-1] + ', "result": {}}',
    "arguments that are a list": BODY.replace('{"city": "Oslo"}', '["Oslo"]'),
    "params that are a list": json.dumps({**tool_call("get_weather", OSLO), "params": []}),
    "a method that is a number": json.dumps({**tool_call("get_weather", OSLO), "method": 1}),
}


@pytest.mark.parametrize("what", TWO_READINGS)
def test_a_body_with_two_readings_is_refused_before_its_token_is_used_up(server: Running, what: str) -> None:
    good = server.weather()
    headers = modern_headers(tool_call("get_weather", OSLO))
    said = server.send(TWO_READINGS[what].encode(), good, **headers)
    assert said.status in (400, 413), said
    assert said.reason in ("parse_error", "invalid_request", "too_large")
    assert server.was_called_by(good.subject) == []
    assert server.send(BODY.encode(), good, **headers).text == f"Oslo for {good.subject}"


@pytest.mark.parametrize("text", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"])
def test_a_body_that_is_not_utf_8_is_refused(server: Running, text: bytes) -> None:
    good = server.weather()
    headers = modern_headers(tool_call("get_weather", OSLO))
    said = server.send(BODY.encode().replace(b"{}", b'{"x": "' + text + b'"}', 1), good, **headers)
    assert (said.status, said.reason) == (400, "parse_error")
    assert server.was_called_by(good.subject) == []
    assert server.send(BODY.encode().replace(b"{}", b'{"x": "\xc3\xa6"}', 1), good, **headers).status == 200


@pytest.mark.parametrize(
    ("spelled", "city"),
    [
        ('{"city":"Oslo"}', "Oslo"),
        (r' { "c\u0069ty" : "\u004fslo" } ', "Oslo"),
        (r'{"city": "\ud83d\ude00\/"}', "\U0001f600/"),
        ('{"city": "Oslo", "n": [1.0, -0, 1E2, 1e20, 100000000000000000000.0, 0.1e1]}', "Oslo"),
        ('{"\U0001f600": 1, "\ufb33": 2, "city": "Oslo"}', "Oslo"),
    ],
)
def test_one_value_has_one_digest_however_the_body_spells_it(server: Running, spelled: str, city: str) -> None:
    good = server.weather(json.loads(spelled))
    body = BODY.replace('{"city": "Oslo"}', spelled)
    said = server.send(body.encode(), good, **modern_headers(tool_call("get_weather", OSLO)))
    assert said.text == f"{city} for {good.subject}"


@pytest.mark.parametrize("digits", ["9007199254740992", "-9007199254740993", "18446744073709551616", "1" + "0" * 400])
def test_an_integer_that_not_every_reader_has_is_refused_with_the_digest_of_any_number(
    server: Running, digits: str
) -> None:
    value = float(digits) if len(digits) < 300 else 0
    rounded = server.weather({"city": "Oslo", "n": value})
    headers = modern_headers(tool_call("get_weather", OSLO))
    said = server.send(BODY.replace('"Oslo"}', f'"Oslo", "n": {digits}}}').encode(), rounded, **headers)
    assert said.status in (400, 403)
    assert said.reason in ("arguments", "parse_error")
    assert server.was_called_by(rounded.subject) == []
    body = BODY.replace('"Oslo"}', f'"Oslo", "n": {value!r}}}').encode()
    assert server.send(body, rounded, **headers).text == f"Oslo for {rounded.subject}"


@pytest.mark.parametrize(
    "more", ['"Name": "delete_all"', '"NAME": "x"', '"Arguments": {"city": "Bergen"}', '"ARGUMENTS": {}']
)
def test_a_member_in_another_case_is_another_member(server: Running, more: str) -> None:
    """Some libraries take `Name` for `name`: what was checked would not be what is done."""
    good = server.weather()
    body = BODY.replace(AROUND, f"{AROUND}, {more}").encode()
    said = server.send(body, good, **modern_headers(tool_call("get_weather", OSLO)))
    assert said.text == f"Oslo for {good.subject}"


def test_an_argument_in_another_case_is_another_argument(server: Running) -> None:
    good = server.weather({"city": "Oslo", "City": "Bergen", "CITY": "Paris"})
    assert server.ask(good, {"city": "Oslo", "City": "Bergen", "CITY": "Paris"}).text == f"Oslo for {good.subject}"


def test_a_body_as_long_as_it_may_be_is_read_and_one_byte_more_is_not(server: Running) -> None:
    headers = modern_headers(tool_call("get_weather", OSLO))
    longest = BODY.encode() + b" " * (4 * 1024 * 1024 - len(BODY))
    good = server.weather()
    assert server.send(longest, good, **headers).status == 200
    more = server.weather()
    assert server.send(longest + b" ", more, **headers).status == 413
    assert server.was_called_by(good.subject, more.subject) == [good.subject]
