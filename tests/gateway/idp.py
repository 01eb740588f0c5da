"""An identity provider on a loopback address, as far as a gateway looks at it: its documents, and tokens of it."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.gateway.opening import ISSUER
from tests.support.jwks_server import Handler, JwksServer
from tests.support.tokens import jwks, token

CALLED = f"{ISSUER}/mcp/weather"
DISCOVERY = "/.well-known/openid-configuration"


class Idp(JwksServer):
    """An identity provider of documents by their path; `counted` says how often each was asked for."""

    def __init__(self) -> None:
        super().__init__({})
        self.documents: dict[str, Any] = {}
        self.answer = self._say

    def __enter__(self) -> Idp:
        super().__enter__()
        self.documents |= {
            DISCOVERY: {"issuer": self.origin, "jwks_uri": f"{self.origin}/keys"},
            "/keys": jwks("ES256"),
        }
        return self

    def counted(self, path: str) -> int:
        return self.paths.count(path)

    def _say(self, handler: Handler) -> None:
        found = self.documents.get(handler.path)
        body = json.dumps(found).encode()
        self.send(handler, 404 if found is None else 200, body, {"Content-Type": "application/json"})

    def issuer(self, **keys: Any) -> dict[str, Any]:
        """An entry of `callers.issuers` that reads its discovery document; None leaves a key out."""
        usual = {"name": "corp", "allow_insecure_loopback": True, "discovery_uri": self.origin + DISCOVERY}
        return {key: value for key, value in {**usual, **keys}.items() if value is not None}

    def token(self, **changes: Any) -> bytes:
        """An access token for the server `weather`."""
        now = int(time.time())
        usual = {"iss": self.origin, "aud": CALLED, "sub": "alice", "client_id": "ide", "iat": now, "exp": now + 60}
        return token({**usual, **changes}).encode()


def trusting(*issuers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The key `callers` of a configuration that trusts these."""
    return {"callers": {"api_keys": False, "issuers": list(issuers), **more}}
