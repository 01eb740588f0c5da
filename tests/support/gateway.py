"""A gateway as its owner runs it: a configuration file, `counterseal serve`, keys by `counterseal apikey create`.

The file is written from plain values by `configuration`; `issuer` must equal the address, so the port is chosen beforehand.
Everything else is the product's own commands, run as processes.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.process import HANGS, LISTENING, ROOT, Program, free_port

COMMAND: Final = str(Path(sys.executable).with_name("counterseal"))


@dataclass(frozen=True, slots=True)
class Key:
    """An API key that was made for a test. id: public. secret: what a caller sends."""

    id: str
    secret: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}

    def __repr__(self) -> str:
        return f"Key({self.id})"


def configuration(port: int, folder: Path, servers: Mapping[str, Mapping[str, Any]], **changes: Any) -> dict[str, Any]:
    """A whole configuration: everything that the file needs, with every call permitted and API keys as the only credential.

    servers: name -> its entry under `servers:`. changes: top-level keys that replace what is here, whole.
    """
    return {
        "issuer": f"http://127.0.0.1:{port}",
        "listen": {"host": "127.0.0.1", "port": port},
        "store": f"sqlite:{folder / 'counterseal.db'}",
        "keys": {"source": "store", "algorithms": ["RS256", "ES256", "Ed25519"]},
        "callers": {"api_keys": True, "anonymous": False},
        "servers": {name: dict(entry) for name, entry in servers.items()},
        "policy": [{"permit": {"servers": list(servers)}}],
        "audit": {"sink": f"file:{folder / 'audit'}", "required": True, "fsync": "none"},
        **changes,
    }


class Gateway:
    """One running `counterseal serve`. `with` ends it and fails the test if it wrote a traceback."""

    def __init__(
        self,
        folder: Path,
        servers: Mapping[str, Mapping[str, Any]],
        *,
        port: int | None = None,
        arguments: Sequence[str] = (),
        **changes: Any,
    ) -> None:
        """folder: an empty folder of this gateway's own. port: None takes a free one. The rest is `configuration`'s."""
        port = port or free_port()
        self.config = folder / "counterseal.yaml"
        self.config.write_text(yaml.safe_dump(configuration(port, folder, servers, **changes), sort_keys=False))
        self.audit = folder / "audit"
        self.program = Program("the gateway", [COMMAND, "serve", "--config", str(self.config), *arguments])
        try:
            self.url = self.program.wait_for(LISTENING)[1]
        except AssertionError:
            self.program.stop()
            raise

    @property
    def issuer(self) -> str:
        return self.url

    @property
    def jwks(self) -> str:
        return f"{self.url}/.well-known/jwks.json"

    def at(self, server: str) -> str:
        """The MCP address of one server behind the gateway."""
        return f"{self.url}/mcp/{server}"

    def run(self, *arguments: str) -> str:
        """Runs `counterseal ARGUMENTS --config FILE` and returns its standard output. AssertionError if it fails."""
        done = subprocess.run(
            [COMMAND, *arguments, "--config", str(self.config)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"counterseal {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def create_key(self, subject: str, *options: str) -> Key:
        """A new API key that the running gateway knows; options as the command takes them, e.g. `"--tools", "get_*"`."""
        made = json.loads(self.run("apikey", "create", "--subject", subject, *options, "--json"))
        key = Key(made["id"], made["secret"])
        self._wait_until_known(key)
        return key

    def _wait_until_known(self, key: Key, seconds: float = HANGS) -> None:
        """The gateway asks its store for news once a second. A server that doesn't exist is 404, but 401 to a stranger."""
        deadline = time.monotonic() + seconds
        request = urllib.request.Request(self.at("no-such-server"), b"{}", key.headers, method="POST")
        pause = threading.Event()
        while True:
            try:
                urllib.request.urlopen(request, timeout=60).close()
            except urllib.error.HTTPError as refused:
                refused.close()
                if refused.code != 401:
                    return
            assert time.monotonic() < deadline, f"the gateway does not know {key} after {seconds:.0f} s"
            pause.wait(0.05)

    def stop(self) -> str:
        return self.program.stop()

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@asynccontextmanager
async def running_gateway(*arguments: Any, **named: Any) -> AsyncIterator[Gateway]:
    """The same where the test's event loop also runs a server or an IdP: the loop stays free while the gateway starts."""
    gateway = await asyncio.to_thread(Gateway, *arguments, **named)
    try:
        yield gateway
    finally:
        await asyncio.to_thread(gateway.stop)
