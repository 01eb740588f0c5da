"""A second identity provider, `oauth2-mock-server`, in a process of its own (tests/parties/mock_idp.mjs says what it can do).

Tests that use it carry `@pytest.mark.party("oauth2-mock-server")`. Every method blocks for a local request.
"""

from __future__ import annotations

from typing import Any

import httpx2

from tests.support.parties import FOLDER, node_command
from tests.support.process import LISTENING, Program, free_port


class MockIdp:
    """Use as a context manager. kid: the id of its one key, which is for ES256."""

    def __init__(self, kid: str = "mock-1") -> None:
        command = node_command(FOLDER / "mock_idp.mjs", "--port", str(free_port()), "--kid", kid)
        self.program = Program("oauth2-mock-server", command)
        try:
            self.issuer = self.program.wait_for(LISTENING)[1]
        except AssertionError:
            self.program.stop()
            raise
        self._http = httpx2.Client(base_url=self.issuer, timeout=60, trust_env=False)

    def __enter__(self) -> MockIdp:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def discovery(self) -> str:
        return f"{self.issuer}/.well-known/openid-configuration"

    def configuration(self, **changes: Any) -> dict[str, Any]:
        """The entry for `callers.issuers` of a gateway that takes this provider's tokens."""
        return {"name": "mock", "discovery_uri": self.discovery, "allow_insecure_loopback": True, **changes}

    def stop(self) -> str:
        """End the process; what it wrote."""
        self._http.close()
        return self.program.stop()

    def token(self, resource: str, scope: str = "mcp:call mcp:list", client: str = "planner") -> str:
        """An access token by client_credentials: it is about the client and nobody else."""
        form = {"grant_type": "client_credentials", "resource": resource, "scope": scope}
        answer = self._http.post("/token", data=form, auth=(client, "any secret will do"))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def signed(self, payload: dict[str, Any], header: dict[str, Any] | None = None) -> str:
        """Whatever a test wants this provider's key to vouch for. `iss`, `iat`, `nbf`, `exp` and `jti` are there unless named."""
        answer = self._http.post("/_test/token", json={"payload": payload, "header": header or {}})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])
