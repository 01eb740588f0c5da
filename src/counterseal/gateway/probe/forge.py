"""The tokens of a probe, good and bad.

What the gateway's own key signs goes through `Mint` like every call token, and is recorded before it is there. None of it is good
anywhere but at the server that is probed: another server's token names a server that there is not. What never had the
gateway's signature is signed by a key of the probe's own, or by nobody.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from cryptography.hazmat.primitives import serialization

from counterseal.clock import Clock
from counterseal.core.call import Call, Era, Shape
from counterseal.core.caller import Caller
from counterseal.core.claim_operations import NO_OPERATIONS
from counterseal.core.claims import SignerSettings, build_claims
from counterseal.core.limits import LIMITS
from counterseal.core.methods import MODERN
from counterseal.core.operation import Operation
from counterseal.gateway.recorder import Recorder
from counterseal.issuer.mint import Mint
from counterseal.issuer.ring import KeyRing
from counterseal.issuer.signers.local import LocalSigner, generate
from counterseal.jose.jwk import public_key_of
from counterseal.jose.jws import compact, signing_input

SUBJECT: Final = "counterseal-probe"
"""`sub` and `client_id` of every probe token."""
_LIFE_SECONDS: Final = 30
_OVER_SECONDS: Final = 3600
_EARLY_SECONDS: Final = 600
"""Beyond every leeway that is usual."""
_OVERSIZE_BYTES: Final = 8 * 1024 + 512
"""Of the claim that makes a token of about 12 KiB: over what our verifier takes, and what HTTP servers still read."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is wrong with a token. seconds: how far from now it is made. claims: replaced. issuer, audience: of its settings."""

    seconds: int = 0
    claims: Mapping[str, Any] | None = None
    issuer: str | None = None
    audience: str | None = None


class Forge:
    """Makes tokens for one server. settings: how its call tokens are made. added: claims of its own that the server asks for."""

    def __init__(
        self, ring: KeyRing, settings: SignerSettings, recorder: Recorder, clock: Clock, added: Mapping[str, Any]
    ) -> None:
        self._signer = ring.signer(settings.algorithm)
        self._mint = Mint(ring, replace(LIMITS, call_token_bytes=64 * 1024))
        # What hangs on who calls is left out, because nobody does: `added` stands in for it.
        self._settings = replace(
            settings,
            ttl_seconds=min(settings.ttl_seconds, _LIFE_SECONDS),
            mode="sign",
            required=(),
            operations=NO_OPERATIONS,
            pairwise=None,
            channel=None,
            txn_token=None,
        )
        self._recorder = recorder
        self._clock = clock
        self._added = added
        self.signed = 0
        """Tokens under the gateway's key so far."""

    @property
    def audience(self) -> str:
        return self._settings.audience

    @property
    def binds_arguments(self) -> bool:
        """Whether call tokens for this server have the digest of the arguments."""
        return self._settings.bind_arguments

    async def good(self, operation: Operation, attack: str, change: Change | None = None) -> str:
        """A token for an operation, good but for what is changed, under the gateway's key. attack: what the record says of it."""
        claims = self._claims(operation, change or Change())
        await self._recorder.probed(attack, self._settings.server, operation, claims, self._signer)
        minted = await self._mint.mint(claims, self._settings.algorithm, self._settings.profile.typ)
        self.signed += 1
        return minted.token

    async def expired(self, operation: Operation) -> str:
        return await self.good(operation, "expired", Change(seconds=-_OVER_SECONDS))

    async def not_yet_valid(self, operation: Operation) -> str:
        return await self.good(operation, "not_yet_valid", Change(seconds=_EARLY_SECONDS))

    async def of_another_issuer(self, operation: Operation) -> str:
        return await self.good(operation, "issuer", Change(issuer=f"{self._settings.issuer}/counterseal-probe"))

    async def of_a_longer_audience(self, operation: Operation) -> str:
        return await self.good(operation, "audience", Change(audience=f"{self.audience}/counterseal-probe"))

    async def of_another_server(self, operation: Operation) -> str:
        return await self.good(operation, "other_server", Change(audience="urn:counterseal:probe:no-such-server"))

    async def oversize(self, operation: Operation) -> str:
        return await self.good(operation, "oversize", Change(claims={"padding": "x" * _OVERSIZE_BYTES}))

    async def tampered(self, operation: Operation) -> str:
        """Another subject in the payload of a good token."""
        claims = self._claims(operation, Change())
        await self._recorder.probed("tampered", self._settings.server, operation, claims, self._signer)
        token = (await self._mint.mint(claims, self._settings.algorithm, self._settings.profile.typ)).token
        self.signed += 1
        header, _, signature = token.split(".")
        return f"{header}.{_encoded({**claims, 'sub': f'{SUBJECT}-of-somebody-else'})}.{signature}"

    def unsigned(self, operation: Operation) -> Iterator[tuple[str, str]]:
        """`alg: none` in the spellings that slip through, by what is special in each."""
        for alg in ("none", "None", "nOnE"):
            yield f"`alg: {alg}`", f"{self._head(operation, {'alg': alg, 'kid': self._signer.kid})}."

    def with_the_public_key_as_secret(self, operation: Operation) -> Iterator[tuple[str, str]]:
        """HS256 over each form in which a server may hold the public key, by the name of the form."""
        public = public_key_of(self._signer.public_jwk)
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        jwk = json.dumps(dict(self._signer.public_jwk), separators=(",", ":")).encode()
        for form, secret in (("PEM", pem), ("PEM without its last line end", pem.rstrip()), ("DER", der), ("JWK", jwk)):
            signed = self._head(operation, {"alg": "HS256", "kid": self._signer.kid})
            yield f"the secret is the {form}", f"{signed}.{_base64url(hmac.digest(secret, signed.encode(), 'sha256'))}"

    async def of_somebody_else(self, operation: Operation, **header: Any) -> str:
        """Signed by a key of the probe's own. header: what else its header says."""
        head = {"alg": self._stranger.algorithm, "typ": self._settings.profile.typ, "kid": self._stranger.kid, **header}
        payload = json.dumps(self._claims(operation, Change())).encode()
        signed = signing_input(_encoded(head).encode(), payload)
        return compact(signed, await self._stranger.sign(signed))

    @property
    def strangers_jwk(self) -> Mapping[str, Any]:
        """The public key of the probe's own."""
        return self._stranger.public_jwk

    @cached_property
    def _stranger(self) -> LocalSigner:
        return LocalSigner(generate(self._signer.algorithm), self._signer.algorithm)

    def _head(self, operation: Operation, header: Mapping[str, Any]) -> str:
        """What is signed: the header with its type, and good claims."""
        head = {"typ": self._settings.profile.typ, **header}
        return f"{_encoded(head)}.{_encoded(self._claims(operation, Change()))}"

    def _claims(self, operation: Operation, change: Change) -> dict[str, Any]:
        settings = replace(
            self._settings,
            issuer=change.issuer or self._settings.issuer,
            audience=change.audience or self._settings.audience,
        )
        call = Call(
            server=settings.server,
            era=Era.MODERN,
            revision=MODERN,
            shape=Shape.REQUEST,
            method=operation.method,
            name=operation.name,
            arguments=operation.arguments,
        )
        now = int(self._clock.wall()) + change.seconds
        jti, txn = self._recorder.new_id(), self._recorder.new_id()
        claims = build_claims(_NOBODY, call, settings, now=now, jti=jti, txn=txn)
        return {**self._added, **claims, "sub": SUBJECT, **(change.claims or {})}


_NOBODY: Final = Caller(kind="api_key", client_id=SUBJECT, subject=SUBJECT)


def _encoded(value: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
