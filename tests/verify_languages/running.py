"""A verifying server of `docs/verify/`, running, with keys that a test serves, and tokens and raw requests for it.

Its tool `get_weather` writes `get_weather was called for SUBJECT`. Each token has a subject of its own, so a test can say of one
that no call with it arrived.
"""

from __future__ import annotations

import http.client
import itertools
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from tests.support.calls import modern_headers, tool_call
from tests.support.jwks_server import JwksServer
from tests.support.process import LISTENING, Program, free_port
from tests.support.tokens import call_claims, jwks, token
from tests.verify_languages.languages import Language

OSLO: Final = {"city": "Oslo"}
_numbers: Final = itertools.count()


@dataclass(frozen=True, slots=True)
class Minted:
    """A token that nobody has used yet. subject: nobody else's."""

    text: str
    subject: str


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. headers: names in lower case. message: the JSON, or the last one of an event stream; None for an empty body."""

    status: int
    headers: Mapping[str, str]
    message: Any

    @property
    def reason(self) -> str:
        return str(self.message["error"]["data"]["reason"])

    @property
    def text(self) -> str:
        return str(self.message["result"]["content"][0]["text"])


@dataclass(frozen=True, slots=True)
class Running:
    """keys: what the server fetches its keys from. Everything blocks."""

    program: Program
    keys: JwksServer
    url: str

    def mint(
        self, method: str = "tools/call", name: str | None = "get_weather", arguments: Any = None, **changes: Any
    ) -> Minted:
        """A token for a call at this moment. changes: claims, and `algorithm`, `header` and `details`."""
        now = int(time.time())
        subject = f"somebody-{next(_numbers)}"
        settings = {name: changes.pop(name) for name in ("algorithm", "header") if name in changes}
        details = {"locations": [self.url], **changes.pop("details", {})}
        usual = {"iss": self.keys.origin, "aud": self.url, "sub": subject, "jti": f"{subject}-{now}"}
        times = {"iat": now, "nbf": now, "exp": now + 60}
        claims = call_claims(method, name, arguments, details=details, **{**usual, **times, **changes})
        return Minted(token(claims, **settings), subject)

    def weather(self, arguments: Any = None, **changes: Any) -> Minted:
        """A token for `get_weather`. arguments: without them `{"city": "Oslo"}`."""
        return self.mint(arguments=OSLO if arguments is None else arguments, **changes)

    def send(
        self, body: bytes | None, minted: Minted | str | None, *, http_method: str = "POST", **headers: str
    ) -> Said:
        """One request. minted: a token, or the whole value of Authorization. headers: with underscores for hyphens."""
        value = f"Bearer {minted.text}" if isinstance(minted, Minted) else minted
        return self.request(http_method, body, [("Authorization", value)] if value is not None else [], headers)

    def request(
        self, method: str, body: bytes | None, pairs: list[tuple[str, str]], headers: Mapping[str, str] = {}
    ) -> Said:
        """The same with any list of headers, of which one may be there twice."""
        usual = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        named = {**usual, **{name.replace("_", "-"): value for name, value in headers.items()}}
        host, port = self.url.removeprefix("http://").partition("/")[0].split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        connection.putrequest(method, "/mcp")
        for name, value in [
            *named.items(),
            *pairs,
            *([("Content-Length", str(len(body)))] if body is not None else []),
        ]:
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        heads = {name.lower(): value for name, value in answer.getheaders()}
        if heads.get("content-type", "").startswith("text/event-stream"):
            text = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")][-1]
        return Said(answer.status, heads, _json(text))

    def ask(self, minted: Minted | str | None, arguments: Any = None, **changes: Any) -> Said:
        """`get_weather`, by revision 2026-07-28."""
        call = tool_call("get_weather", OSLO if arguments is None else arguments)
        return self.send(json.dumps(call).encode(), minted, **{**modern_headers(call), **changes})

    def was_called_by(self, *subjects: str) -> list[str]:
        """Which of these called the tool, once a call that comes after theirs has been seen to arrive."""
        last = self.weather()
        assert self.ask(last).text == f"Oslo for {last.subject}"
        self.program.wait_for(re.compile(f"get_weather was called for {last.subject}$"))
        return [one for one in subjects if re.search(f"for {one}$", self.program.output, re.MULTILINE)]


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


@contextmanager
def running(language: Language) -> Iterator[Running]:
    port = free_port()
    url = f"http://127.0.0.1:{port}/mcp"
    with JwksServer(jwks("ES256", "RS256", "Ed25519", "EdDSA", "ES384", "PS256")) as keys:
        command = language.command("--port", str(port), "--issuer", keys.origin, "--audience", url)
        with Program(f"the server in {language.name}", command) as program:
            program.wait_for(LISTENING)
            yield Running(program, keys, url)
