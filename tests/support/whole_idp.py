"""An identity provider on a loopback address with all of its documents: discovery, keys, introspection; each may go wrong."""

from __future__ import annotations

import json
import ssl
import time
from email.utils import formatdate
from typing import Any, Final

from tests.support.jwks_server import Handler, JwksServer
from tests.support.tokens import jwks

DISCOVERY: Final = "/.well-known/openid-configuration"
KEYS: Final = "/keys"
INTROSPECTION: Final = "/introspect"
JSON: Final = {"Content-Type": "application/json"}


class WholeIdp(JwksServer):
    """Set what is at a path at any time: a value for JSON, bytes as they are, a number for an answer of that status, or a
    function that writes whatever it likes.

    headers: sent with every answer. ahead: seconds by which its clock is ahead. authorizations: what was sent to prove who asks.
    tls: what it shows; its address is then https://localhost, and http://127.0.0.1 without.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__({})
        self._tls = tls is not None
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.at: dict[str, Any] = {
            DISCOVERY: {
                "issuer": self.origin,
                "jwks_uri": self.origin + KEYS,
                "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            },
            KEYS: jwks("RS256", "ES256"),
            INTROSPECTION: {"active": False},
        }
        self.ahead = 0.0
        self.authorizations: list[str | None] = []
        self.answer = self._whole

    @property
    def origin(self) -> str:
        return super().origin.replace("http://127.0.0.1", "https://localhost") if self._tls else super().origin

    def entry(self, name: str = "corp", **changes: Any) -> dict[str, Any]:
        """Its entry under `callers.issuers`."""
        return {"name": name, "discovery_uri": self.origin + DISCOVERY, "allow_insecure_loopback": True, **changes}

    def introspection(self, **changes: Any) -> dict[str, Any]:
        """Its entry under `introspection`, with the secret in the variable SECRET."""
        return {
            "endpoint": self.origin + INTROSPECTION,
            "client_id": "gateway",
            "client_secret": "env:SECRET",
            **changes,
        }

    def discover(self, **changes: Any) -> None:
        """Change members of its discovery document."""
        self.at[DISCOVERY] |= changes

    def _whole(self, handler: Handler) -> None:
        self.authorizations.append(handler.headers["Authorization"])
        handler.date_time_string = lambda timestamp=None: formatdate(time.time() + self.ahead, usegmt=True)  # type: ignore[method-assign]
        there = self.at.get(handler.path, 404)
        if callable(there):
            there(handler)
            return
        if isinstance(there, int):
            self.send(handler, there, b"", {"Location": self.origin + KEYS} | self.headers)
            return
        body = there if isinstance(there, bytes) else json.dumps(there).encode()
        self.send(handler, 200, body, JSON | self.headers)
