"""The certified identity provider `oidc-provider`, in a process of its own (tests/parties/idp.mjs says what it can do).

Tests that use it carry `@pytest.mark.party("oidc-provider")`. Every method blocks for a few local requests: in a test that runs
something else in its event loop, call it by `asyncio.to_thread`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import parse_qs, quote_plus, urlsplit

import httpx2

from tests.support.parties import FOLDER, node_command
from tests.support.process import LISTENING, Program, free_port

FORMATS: Final = ("rs256", "es256", "ps256", "eddsa", "opaque")
RESOURCES: Final[Mapping[str, str]] = {name: f"urn:idp:{name}" for name in FORMATS}
"""The resources that are there from the start, by the format of their tokens."""
SCOPE: Final = "mcp:call mcp:list"
CALLBACK: Final = "http://127.0.0.1/callback"
"""Where `ide` may be called back, at any port (RFC 8252 section 7.3)."""

Down = Literal["up", "reset", "503", "hang"]
_DOWN: Final[Mapping[Down, int]] = {"up": 0, "reset": 1, "503": 2, "hang": 3}
_FORM: Final = re.compile(r'action="([^"]+)" method="post">\s*<input type="hidden" name="prompt" value="(\w+)"')


@dataclass(frozen=True, slots=True)
class Client:
    """One of the provider's own clients with a secret."""

    id: str
    secret: str = field(repr=False)


AGENT: Final = Client("agent", "agent-secret-agent-secret-agent-1")
GATEWAY: Final = Client("gateway", "gateway:secret%41+/&=? gateway-secret")
GATEWAY_POST: Final = Client("gateway-post", "gateway-post&secret%41+=? of-the-gateway")


class OidcProvider:
    """Use as a context manager. clients: metadata (RFC 7591) of more clients. issuer: None for its address."""

    def __init__(self, *, issuer: str | None = None, clients: Iterable[Mapping[str, Any]] = ()) -> None:
        port = free_port()
        command = node_command(FOLDER / "idp.mjs", "--port", str(port))
        command += ["--issuer", issuer] if issuer is not None else []
        command += [word for client in clients for word in ("--client", json.dumps(client))]
        self._program = Program("oidc-provider", command)
        try:
            self.address = self._program.wait_for(LISTENING)[1]
        except AssertionError:
            self._program.stop()
            raise
        self.issuer = issuer or self.address
        self._http = httpx2.Client(base_url=self.address, timeout=60, trust_env=False)

    def __enter__(self) -> OidcProvider:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def discovery(self) -> str:
        return f"{self.address}/.well-known/openid-configuration"

    @property
    def jwks(self) -> str:
        return f"{self.address}/jwks"

    @property
    def introspection(self) -> str:
        return f"{self.address}/token/introspection"

    def configuration(self, **changes: Any) -> dict[str, Any]:
        """The entry for `callers.issuers` of a gateway that takes this provider's tokens, which all have the type of RFC 9068."""
        usual = {"name": "corp", "discovery_uri": self.discovery, "types": ["at+jwt"], "untyped": False}
        return {**usual, "allow_insecure_loopback": True, **changes}

    def stop(self) -> str:
        """End the process; what it wrote."""
        self._http.close()
        return self._program.stop()

    def rotate(self, step: Literal["", "publish", "sign", "retire"] = "") -> None:
        """New keys. "": at once, and the old ones are gone. As it should be done: publish, sign, retire."""
        self._order(f"rotate/{step}" if step else "rotate")

    def down(self, how: Down) -> None:
        """What happens to every request from now on."""
        self._order(f"down/{_DOWN[how]}")

    def set(self, **settings: Any) -> None:
        """Change settings: `resources` (added to those that are there), `scope`, `seconds`, `claims`; see idp.mjs."""
        if "resources" in settings:
            settings["resources"] = {**self._order("set", {})["resources"], **settings["resources"]}
        self._order("set", settings)

    def seen(self) -> list[tuple[str, str]]:
        """Method and path of every request but those of this class for switching."""
        answer = self._http.get("/_test/seen")
        return [(entry["method"], entry["path"]) for entry in answer.json()]

    def token(self, resource: str, scope: str = SCOPE, client: Client = AGENT) -> str:
        """An access token by client_credentials: it is about the client and nobody else."""
        form = {"grant_type": "client_credentials", "resource": resource, "scope": scope}
        return str(self._granted(form, client)["access_token"])

    def user_tokens(
        self, resource: str, login: str = "alice", scope: str = f"openid {SCOPE}", client_id: str = "ide"
    ) -> dict[str, Any]:
        """The whole token answer of an authorization code with PKCE that a person got for a public client."""
        verifier = secrets.token_urlsafe(48)
        asked = {
            "client_id": client_id,
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
            .rstrip(b"=")
            .decode(),
            "code_challenge_method": "S256",
            "scope": scope,
            "resource": resource,
            "state": "state",
        }
        query = "&".join(f"{name}={quote_plus(value)}" for name, value in asked.items())
        callback = parse_qs(urlsplit(self.sign_in(f"{self.address}/auth?{query}", login)).query)
        form = {"grant_type": "authorization_code", "code": callback["code"][0], "redirect_uri": CALLBACK}
        return self._granted({**form, "client_id": client_id, "code_verifier": verifier, "resource": resource}, None)

    def sign_in(self, url: str, login: str = "alice") -> str:
        """What a person does at an authorization URL: signs in and agrees. The address that the browser is sent back to."""
        with httpx2.Client(timeout=60, trust_env=False) as browser:
            answer = browser.get(url)
            for _ in range(20):
                if answer.is_redirect:
                    address = str(answer.next_request.url) if answer.next_request is not None else ""
                    if not address.startswith(self.address):
                        return address
                    answer = browser.get(address)
                    continue
                form = _FORM.search(answer.text)
                assert form is not None, f"{answer.status_code}, and no form to fill in:\n{answer.text}"
                answer = browser.post(form[1], data={"prompt": form[2], "login": login, "password": "any"})
        raise AssertionError(f"no end of redirects at {url}")

    def signed(self, payload: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
        """Whatever a test wants this provider's ES256 key to vouch for. `iss`, `iat`, `exp` and `jti` are there unless named."""
        made: dict[str, str] = self._order("token", {"payload": payload, "header": header or {}})
        return made["token"]

    def revoke(self, token: str, client: Client = AGENT) -> None:
        """Revoke an opaque token of the client's own (RFC 7009)."""
        answer = self._http.post("/token/revocation", data={"token": token}, headers=_basic(client))
        assert answer.status_code == 200, answer.text

    def _granted(self, form: Mapping[str, str], client: Client | None) -> dict[str, Any]:
        answer = self._http.post("/token", data=dict(form), headers=_basic(client) if client is not None else {})
        assert answer.status_code == 200, answer.text
        granted: dict[str, Any] = answer.json()
        return granted

    def _order(self, what: str, body: Mapping[str, Any] | None = None) -> Any:
        answer = self._http.post(f"/_test/{what}", json=body) if body is not None else self._http.post(f"/_test/{what}")
        assert answer.status_code == 200, answer.text
        return answer.json()


def _basic(client: Client) -> dict[str, str]:
    pair = f"{quote_plus(client.id)}:{quote_plus(client.secret)}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
