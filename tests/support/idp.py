"""An identity provider for tests: one ES256 key, its JWKS on a loopback address, and tokens for whoever is asked for."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm


class IdentityProvider:
    """Runs in the test's own event loop. issuer: its address, which is the `iss` of its tokens."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(ECAlgorithm.to_jwk(self._key.public_key()))
        self._jwks = {"keys": [{**public, "kid": "idp-1", "alg": "ES256", "use": "sig"}]}
        app = web.Application()
        app.router.add_get("/jwks", self._keys)
        self._runner = web.AppRunner(app, access_log=None)
        self.issuer = ""

    async def __aenter__(self) -> IdentityProvider:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.issuer = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def configuration(self, audience: str) -> dict[str, Any]:
        """The entry for `callers.issuers` of a gateway that takes this provider's tokens for `audience`."""
        return {
            "name": "test-idp",
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/jwks",
            "audience": [audience],
            "algorithms": ["ES256"],
            "allow_insecure_loopback": True,
        }

    def token(self, subject: str, audience: str, **claims: Any) -> str:
        """An access token (RFC 9068) that is valid for ten minutes. claims: added, or in place of what is here."""
        now = int(time.time())
        payload = {
            "iss": self.issuer,
            "sub": subject,
            "aud": audience,
            "client_id": "tests",
            "jti": f"{subject}-{now}",
            "iat": now,
            "exp": now + 600,
            **claims,
        }
        return jwt.encode(payload, self._key, algorithm="ES256", headers={"typ": "at+jwt", "kid": "idp-1"})

    async def _keys(self, request: web.Request) -> web.Response:
        return web.json_response(self._jwks)
