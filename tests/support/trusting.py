"""A gateway that takes tokens of identity providers, and behind it a FastMCP server with FastMCP's own verifier of call tokens.

The server's one tool, `whoami`, answers with the claims of the call token as that verifier accepted them. Every credential that
a test sends is noted, and when the gateway ends nothing of any may be in what it or the server wrote, in its records, in its
store or in its answers (A-02, N-06).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.support import leaks
from tests.support.calls import modern_headers, tool_call
from tests.support.gateway import COMMAND, Gateway
from tests.support.process import free_port
from tests.support.servers import ServerProcess

CALL: Final = tool_call("whoami")


@dataclass(frozen=True, slots=True)
class Answered:
    """What one call got. message: the JSON-RPC response."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    message: Any

    @property
    def claims(self) -> dict[str, Any]:
        """Those of the call token, as the server accepted it. KeyError for a call that was refused."""
        claims: dict[str, Any] = self.message["result"]["structuredContent"]
        return claims

    @property
    def reason(self) -> str | None:
        """The code of the refusal; None where there was none."""
        return self.message["error"]["data"]["reason"] if "error" in self.message else None

    @property
    def record(self) -> str:
        """The id of the record of a call that was refused."""
        record: str = self.message["error"]["data"]["record"]
        return record


class Trusting:
    """`with` ends everything and looks for credentials where none may be. Blocks; in an event loop use `asyncio.to_thread`.

    folder: an empty folder of its own. issuers: the entries of `callers.issuers`. signer: of the server `whoami`. scopes: what it
    asks of every call token. changes: other top-level keys of the configuration.
    """

    def __init__(
        self,
        folder: Path,
        issuers: Sequence[Mapping[str, Any]],
        *,
        port: int | None = None,
        signer: Mapping[str, Any] | None = None,
        scopes: Sequence[str] = (),
        **changes: Any,
    ) -> None:
        port, server_port = port or free_port(), free_port()
        issuer, url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{server_port}/mcp"
        told = ["--jwks", f"{issuer}/.well-known/jwks.json", "--issuer", issuer, "--audience", url]
        for scope in scopes:
            told += ["--scope", scope]
        self.server = ServerProcess("stock_verifier", server_port, *told)
        callers = {"api_keys": False, "issuers": [dict(entry) for entry in issuers]}
        try:
            self.gateway = Gateway(
                folder, {"whoami": {"url": url, "signer": dict(signer or {})}}, port=port, callers=callers, **changes
            )
        except BaseException:
            self.server.stop()
            raise
        self.folder = folder
        self.secrets: set[str] = set()
        """What must not be found anywhere, when it ends."""
        self._answers: list[bytes] = []
        self._http = httpx2.Client(timeout=60, trust_env=False)

    def __enter__(self) -> Trusting:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._http.close()
        written = {"the server's output": self.server.stop(), "the gateway's output": self.gateway.stop()}
        texts = {name: text.encode() for name, text in written.items()}
        texts |= {path.name: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        texts["the answers"] = b"\n".join(self._answers)
        if error is None:
            leaked = leaks.found(texts, self.secrets)
            assert not leaked, leaked

    @property
    def resource(self) -> str:
        """The address of the server at the gateway: what tokens for it have as their audience."""
        return self.gateway.at("whoami")

    def call(self, token: str | None, **headers: str) -> Answered:
        """Calls `whoami`. token: the caller's; None sends none. headers: more of them, `_` for `-`; all are noted as secrets."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        self.secrets.update(sent.values())
        if token is not None:
            self.secrets.add(token)
            sent["Authorization"] = f"Bearer {token}"
        answer = self._http.post(self.resource, json=CALL, headers=modern_headers(CALL, **sent))
        self._answers += [str(answer.headers).encode(), answer.content]
        text = answer.text
        if answer.headers["content-type"].startswith("text/event-stream"):
            text = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")][-1]
        return Answered(answer.status_code, answer.headers, json.loads(text))

    def refused(self, token: str | None, status: int, reason: str, **headers: str) -> Answered:
        """The same for a call that must be refused and must not reach the server."""
        before = len(self.server.seen())
        answered = self.call(token, **headers)
        assert (answered.status, answered.reason) == (status, reason), answered.message
        assert len(self.server.seen()) == before, "the server was called"
        return answered

    def intent(self, answered: Answered) -> dict[str, Any]:
        """The entry of a call that reached the server, as `counterseal audit tail` prints it."""
        (entry,) = (entry for entry in self._entries() if entry.get("jti") == answered.claims["jti"])
        return entry

    def refusals(self) -> dict[str, dict[str, Any]]:
        """The entry of every call that was refused, by the id of its record, as `counterseal audit tail` prints them."""
        return {entry["record"]: entry for entry in self._entries() if entry["event"] == "refusal"}

    def _entries(self) -> list[dict[str, Any]]:
        command = [COMMAND, "audit", "tail", str(self.gateway.audit), "--json", "-n", "10000"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]
