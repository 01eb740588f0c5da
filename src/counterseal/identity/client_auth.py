"""How the gateway proves to an identity provider who it is, when it asks about a token (RFC 6749 section 2.3, RFC 7523).

* A secret is in no repr, error, log or pickle of these objects; it leaves only in what `prove` makes, for one request.
* An assertion is made anew for each request, lives a minute and has an id of its own, so that no two are alike.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn, Protocol
from urllib.parse import quote_plus

from counterseal.clock import Clock
from counterseal.jose import jws

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS: Final = 60

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """What a request carries to show who sends it: more fields of its form, and more headers."""

    form: Pairs = field(default=(), repr=False)
    headers: Pairs = field(default=(), repr=False)


class ClientAuth(Protocol):
    """One way to prove it."""

    async def prove(self, url: str) -> Proof:
        """The proof for one request to this address. Raises what signing raises."""
        ...


class _BySecret:
    """Holds the one proof that a secret makes, which is the same for every request."""

    __slots__ = ("__proof", "client_id")

    def __init__(self, client_id: str, proof: Proof) -> None:
        self.client_id: Final = client_id
        self.__proof: Final = proof

    async def prove(self, url: str) -> Proof:
        return self.__proof

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.client_id}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("what holds a secret is neither pickled nor copied")


class Basic(_BySecret):
    """`client_secret_basic`: both parts are form-encoded before they are joined (RFC 6749 section 2.3.1)."""

    __slots__ = ()

    def __init__(self, client_id: str, secret: str) -> None:
        """Raises ValueError where one of them is empty."""
        _check(client_id, secret)
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
        super().__init__(client_id, Proof(headers=(("Authorization", f"Basic {b64encode(pair.encode()).decode()}"),)))


class Post(_BySecret):
    """`client_secret_post`: both parts are fields of the form, which whoever sends it encodes."""

    __slots__ = ()

    def __init__(self, client_id: str, secret: str) -> None:
        """Raises ValueError where one of them is empty."""
        _check(client_id, secret)
        super().__init__(client_id, Proof(form=(("client_id", client_id), ("client_secret", secret))))


class PrivateKeyJwt:
    """`private_key_jwt`: an assertion that the client signs (RFC 7523 sections 2.2 and 3). It holds no key, only who signs.

    sign: gets the signing input and answers with the raw JWS signature, as `sign` of a signer does. kid, algorithm: as they stand
    in the header. new_id: 128 random bits as text. audience: for whom assertions are; None for the address that is asked.
    """

    __slots__ = ("_audience", "_clock", "_header", "_new_id", "_sign", "client_id")

    def __init__(
        self,
        client_id: str,
        sign: Callable[[bytes], Awaitable[bytes]],
        *,
        kid: str,
        algorithm: str,
        clock: Clock,
        new_id: Callable[[], str],
        audience: str | None = None,
    ) -> None:
        """Raises ValueError where the client or its key has no id."""
        _check(client_id, kid)
        self.client_id: Final = client_id
        self._sign = sign
        self._header = jws.header_segment(algorithm, kid, "JWT")
        self._clock = clock
        self._new_id = new_id
        self._audience = audience

    async def prove(self, url: str) -> Proof:
        now = int(self._clock.wall())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self._audience or url,
            "jti": self._new_id(),
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        }
        signed = jws.signing_input(self._header, json.dumps(claims, separators=(",", ":")).encode())
        assertion = jws.compact(signed, await self._sign(signed))
        return Proof(form=(("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)))

    def __repr__(self) -> str:
        return f"<PrivateKeyJwt {self.client_id}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("what signs is neither pickled nor copied")


def _check(client_id: str, proves: str) -> None:
    if not client_id or not proves:
        raise ValueError("a client needs an id, and a secret or a key with an id, and none of them may be empty")
