"""What a client learns from a gateway that it knows nothing about: where to get a token, and of a bad one nothing more.

The gateway is the whole one, from its configuration; the identity provider is a JWKS on a loopback address.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.gateway.building import META
from tests.support.gateway import configuration
from tests.support.hostile import HostileServer
from tests.support.jwks_server import JwksServer
from tests.support.rawhttp import Answer, ask, serving
from tests.support.tokens import ABSENT, jwks, private_key, token

CALL: Final = {
    "jsonrpc": "2.0",
    "id": "mine",
    "method": "tools/call",
    "params": {"name": "get_weather", "arguments": {"city": "Oslo"}, "_meta": META},
}
DEAD: Final = "https://dead.example.com"
"""An issuer whose keys nobody serves."""


@dataclass(frozen=True, slots=True)
class Protected:
    """One gateway, its server, and the identity provider whose tokens it takes."""

    port: int
    server: HostileServer
    idp: JwksServer
    folder: Path

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def send(self, verb: str, target: str, *lines: str, body: bytes = b"") -> Answer:
        length = (f"Content-Length: {len(body)}",) if body else ()
        head = [f"{verb} {target} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *lines, *length, "", ""]
        answer = ask(self.port, "\r\n".join(head).encode() + body)
        assert answer is not None
        return answer

    def call(self, presented: str | None, *lines: str) -> Answer:
        """One good call with this token."""
        usual = [
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            "MCP-Protocol-Version: 2026-07-28",
            "Mcp-Method: tools/call",
            "Mcp-Name: get_weather",
        ]
        if presented is not None:
            usual.append(f"Authorization: Bearer {presented}")
        return self.send("POST", "/mcp/weather", *usual, *lines, body=json.dumps(CALL).encode())

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Those of a token that is good here and now; ABSENT leaves one out."""
        now = int(time.time())
        usual = {"iss": self.idp.origin, "aud": f"{self.issuer}/mcp/weather", "sub": "alice", "client_id": "ide"}
        made = {**usual, "iat": now, "exp": now + 600, "jti": "j1", **changes}
        return {name: value for name, value in made.items() if value is not ABSENT}

    def details(self) -> list[str]:
        """What the records say of every refusal, in the order of their lines."""
        lines = [line for file in sorted((self.folder / "audit").iterdir()) for line in file.read_text().splitlines()]
        return [entry["detail"] for entry in map(json.loads, lines) if entry.get("reason") == "credential_invalid"]


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    folder = tmp_path_factory.mktemp("protected")
    folder.chmod(0o700)
    with ExitStack() as stack:
        bound = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = bound.getsockname()[1]
        server = stack.enter_context(HostileServer())
        idp = stack.enter_context(JwksServer(jwks("ES256", "RS256")))
        with socket.create_server(("127.0.0.1", 0)) as closed:
            nobody = closed.getsockname()[1]
        loopback = {"allow_insecure_loopback": True}
        issuers = [
            {"name": "corp", "issuer": idp.origin, "jwks_uri": idp.url, **loopback},
            {"name": "dead", "issuer": DEAD, "jwks_uri": f"http://127.0.0.1:{nobody}/jwks", **loopback},
        ]
        servers = {"weather": {"url": server.url, "description": "Forecasts"}}
        config = folder / "counterseal.yaml"
        callers = {"api_keys": True, "issuers": issuers}
        config.write_text(yaml.safe_dump(configuration(port, folder, servers, callers=callers)))
        stack.enter_context(serving(config=config, bound=bound))
        yield Protected(port, server, idp, folder)


def test_a_client_finds_the_issuer_from_a_401_and_calls(protected: Protected) -> None:
    """RFC 9728 section 5, from the challenge to the token."""
    refused = protected.call(None)
    assert refused.status == 401
    match = re.fullmatch(r'Bearer resource_metadata="([^"]+)"', refused.header("www-authenticate") or "")
    assert match is not None
    assert match[1].startswith(protected.issuer)
    found = json.loads(protected.send("GET", match[1].removeprefix(protected.issuer)).body)
    assert found["resource"] == f"{protected.issuer}/mcp/weather", "clients refuse a document of another resource"
    assert found["authorization_servers"] == [protected.idp.origin, DEAD]
    answer = protected.call(token(protected.claims(aud=found["resource"])))
    assert (answer.status, answer.message["id"]) == (200, "mine")


def test_the_address_for_all_servers_says_where_to_get_a_token_too(protected: Protected) -> None:
    refused = protected.send("POST", "/mcp", body=b"{}")
    assert refused.status == 401
    place = f"{protected.issuer}/.well-known/oauth-protected-resource/mcp"
    assert refused.header("www-authenticate") == f'Bearer resource_metadata="{place}"'
    found = json.loads(protected.send("GET", "/.well-known/oauth-protected-resource/mcp").body)
    assert found["resource"] == f"{protected.issuer}/mcp"


def flipped(presented: str) -> str:
    """With one other bit in its signature."""
    head, signature = presented.rsplit(".", 1)
    return f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


BAD: Final[dict[str, Callable[[Protected], str]]] = {
    "signature": lambda one: flipped(token(one.claims())),
    "another's key": lambda one: token(one.claims(), key=private_key("ES256", "mallory")),
    "unknown kid": lambda one: token(one.claims(), header={"kid": "nobody"}),
    "no kid": lambda one: token(one.claims(), header={"kid": ABSENT}, key=private_key("ES256", "mallory")),
    "wrong issuer": lambda one: token(one.claims(iss="https://evil.example.com")),
    "ourselves": lambda one: token(one.claims(iss=one.issuer)),
    "no issuer": lambda one: token(one.claims(iss=ABSENT)),
    "wrong audience": lambda one: token(one.claims(aud=f"{one.issuer}/mcp/notes")),
    "over": lambda one: token(one.claims(exp=int(time.time()) - 3600, iat=int(time.time()) - 7200)),
    "to come": lambda one: token(one.claims(nbf=int(time.time()) + 3600)),
    "wrong algorithm": lambda one: token(one.claims(), "ES384"),
    "wrong type": lambda one: token(one.claims(), header={"typ": "logout+jwt"}),
    "unfit subject": lambda one: token(one.claims(sub="apikey:k1")),
    "malformed": lambda _: "a.b.c",
    "no token": lambda _: "not-a-token",
    "unknown key": lambda _: "csk_" + "x" * 43,
}
"""What is sent in place of a good token."""


def seen(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """All that a caller sees, without what is another each time: the record's id and the second."""
    record = answer.message["error"]["data"]["record"]
    headers = [(name, value) for name, value in answer.headers if name != "date"]
    return answer.status, headers, answer.body.replace(record.encode(), b"RECORD")


def test_j_30_every_bad_credential_gets_the_same_answer_to_the_byte(protected: Protected) -> None:
    """Status, headers and body; the records tell them apart."""
    calls = protected.server.calls
    answers = {name: seen(protected.call(bad(protected))) for name, bad in BAD.items()}
    (status, headers, _) = first = answers["signature"]
    assert {name: answer for name, answer in answers.items() if answer != first} == {}
    assert status == 401
    assert dict(headers)["www-authenticate"].endswith(', error="invalid_token"')
    assert protected.server.calls == calls
    assert protected.call(token(protected.claims())).status == 200
    details = protected.details()
    assert len(details) == len(BAD)
    told = dict(zip(BAD, details, strict=True))
    assert len({told[name] for name in ("signature", "unknown kid", "wrong issuer", "over", "wrong audience")}) == 5


def test_what_is_refused_before_its_message_is_read_has_no_id_and_everything_else_has(protected: Protected) -> None:
    good = protected.claims()
    before = [
        protected.call(None),
        protected.call("not-a-token"),
        protected.call(token(protected.claims(iss=DEAD))),
        protected.call(token(good), "X-API-Key: csk_x"),
        protected.call(token(good), "Origin: https://evil.example.com"),
        protected.call(token(good), "Content-Encoding: gzip"),
    ]
    assert [answer.status for answer in before] == [401, 401, 503, 400, 403, 415]
    assert {answer.message["id"] for answer in before} == {None}
    after = [protected.call(token(good), "Mcp-Method: tools/list"), protected.call(token(good))]
    assert [(answer.status, answer.message["id"]) for answer in after] == [(400, "mine"), (200, "mine")]


def test_what_cannot_be_told_is_503_with_a_time_to_come_back_and_no_challenge(protected: Protected) -> None:
    """K-08, invariant 4."""
    calls = protected.server.calls
    answer = protected.call(token(protected.claims(iss=DEAD)))
    assert (answer.status, answer.reason) == (503, "identity_unavailable")
    assert answer.header("retry-after") == "2"
    assert answer.header("www-authenticate") is None
    assert protected.server.calls == calls
    assert protected.call(token(protected.claims())).status == 200
