"""An identity provider on a loopback address: its keys for whoever asks, counted, and access tokens by the thousand."""

from __future__ import annotations

import http.server
import secrets
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bench.jose import Held, new_key, segment, text, token

LIFE_SECONDS: Final = 3600


class KeyServer:
    """JSON documents by their path. A context manager: it runs in a thread of this process, which is idle but for requests.

    asked: how often each path was. delay: seconds before each answer, as on a long way.
    """

    def __init__(self, documents: Mapping[str, Any]) -> None:
        self.asked: Counter[str] = Counter()
        self.delay = 0.0
        self._bodies: dict[str, bytes] = {}
        self.publish(documents)
        outer = self

        class Answering(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked[self.path] += 1
                time.sleep(outer.delay)
                body = outer._bodies.get(self.path, b"{}")
                self.send_response(200 if self.path in outer._bodies else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self._thread = threading.Thread(target=self._server.serve_forever, name="keys", daemon=True)
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"

    def publish(self, documents: Mapping[str, Any]) -> None:
        """More of them."""
        self._bodies |= {path: text(document) for path, document in documents.items()}

    def __enter__(self) -> KeyServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class IdentityProvider:
    """One issuer with one ES256 key. A context manager, as its key server is."""

    def __init__(self) -> None:
        self._held = Held("ES256", "idp-1", new_key("ES256"))
        self.keys = KeyServer({"/jwks": {"keys": [self._held.jwk()]}})
        self.issuer = self.keys.origin

    def __enter__(self) -> IdentityProvider:
        self.keys.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.keys.__exit__()

    @property
    def fetches(self) -> int:
        """How often its keys were asked for."""
        return self.keys.asked["/jwks"]

    def entry(self) -> dict[str, Any]:
        """Of `callers.issuers`, in a gateway whose servers' addresses are the tokens' audiences."""
        return {
            "name": "bench",
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/jwks",
            "algorithms": ["ES256"],
            "allow_insecure_loopback": True,
        }

    def tokens(self, audience: str, count: int) -> list[bytes]:
        """Good tokens, of a caller of its own each."""
        return [token(self._held, self._claims(audience)) for _ in range(count)]

    def tokens_of_unknown_kids(self, audience: str, count: int) -> list[bytes]:
        """Well-formed tokens that name a key of their own each, one that nobody has. Their signatures are random bytes of the
        right length: to sign each would take longer than to refuse it."""
        claims = segment(text(self._claims(audience)))
        return [self._of_unknown_kid(claims) for _ in range(count)]

    def _of_unknown_kid(self, claims: bytes) -> bytes:
        header = segment(text({**self._held.header(), "kid": secrets.token_urlsafe(12)}))
        return b".".join((header, claims, segment(secrets.token_bytes(64))))

    def _claims(self, audience: str) -> dict[str, Any]:
        now, who = int(time.time()), secrets.token_hex(8)
        return {
            "iss": self.issuer,
            "aud": audience,
            "sub": f"subject-{who}",
            "client_id": "bench",
            "scope": "openid mcp",
            "iat": now,
            "nbf": now,
            "exp": now + LIFE_SECONDS,
            "jti": who,
        }


def bearer(tokens: Sequence[bytes]) -> list[bytes]:
    """As `Authorization` has them."""
    return [b"Bearer " + one for one in tokens]
