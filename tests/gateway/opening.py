"""A gateway as its configuration file makes it, opened in the test's own event loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import yaml

from counterseal.gateway.wiring import Gateway
from tests.gateway.building import modern
from tests.servers.permits import read
from tests.support.gateway import configuration
from tests.support.hostile import HostileServer

PORT = 8460
ISSUER = f"http://127.0.0.1:{PORT}"


def written(folder: Path, server: HostileServer, entry: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A configuration with one server and anonymous callers; changes replace top-level keys."""
    path = folder / "counterseal.yaml"
    usual = {
        "callers": {"api_keys": False, "anonymous": True},
        "keys": {"source": "store", "algorithms": ["ES256"]},
    }
    servers = {"weather": {"url": server.url, **(entry or {})}}
    path.write_text(yaml.safe_dump(configuration(PORT, folder, servers, **{**usual, **changes})))
    return path


def document(gateway: Gateway, path: str) -> Any:
    """One of what it publishes under `/.well-known/`."""
    return json.loads(gateway.documents[f"/.well-known/{path}"])


def verified(gateway: Gateway, server: HostileServer, header: str = "authorization", **changes: Any) -> dict[str, Any]:
    """The claims of the last call token that the server got, verified with what the gateway publishes."""
    (value,) = server.seen[-1].all(header)
    presented = value.removeprefix("Bearer ")
    keys = jwt.PyJWKSet.from_dict(document(gateway, "jwks.json"))
    key = keys[jwt.get_unverified_header(presented)["kid"]]
    claims: dict[str, Any] = jwt.decode(
        presented, key, ["ES256", "RS256", "EdDSA"], audience=changes.get("audience", server.url), issuer=ISSUER
    )
    return claims


async def call(gateway: Gateway, **changes: Any) -> dict[str, Any]:
    """The answer to one request; anonymous unless `key` is given."""
    reply = await gateway.handler.handle(modern(**{"key": None, **changes}))
    message: dict[str, Any] = json.loads(await read(reply))
    return message
