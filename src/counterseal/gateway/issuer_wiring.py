"""The keys that sign call tokens, as the configuration has them, and what the world reads of them and of this gateway."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from counterseal.clock import Clock, SystemClock
from counterseal.config.callers import DEFAULT_ALGORITHMS
from counterseal.config.schema import Configuration
from counterseal.identity.challenge import metadata_url, resource
from counterseal.issuer import documents, keys
from counterseal.issuer.ring import KeyRing
from counterseal.issuer.signers.local import LocalSigner, PrivateKey, from_pem, generate, to_pem
from counterseal.store.open import look_at_store, open_store
from counterseal.store.port import ACTIVE, SigningKeyRow, Store


async def open_ring(configuration: Configuration) -> KeyRing:
    """The key ring alone, for the command line. Raises ConfigError."""
    store = await open_store(configuration.store)
    try:
        return await ring_of(configuration, store, SystemClock())
    finally:
        await store.close()


async def ring_of(configuration: Configuration, store: Store, clock: Clock) -> KeyRing:
    """The keys that the configuration names; those of the store are made where there are none. Raises ConfigError."""
    kind, _, place = configuration.keys.source.partition(":")
    wanted = configuration.keys.algorithms
    if kind == "env":
        text = os.environ.get(place, "")
        return KeyRing.of(keys.from_text(text, f"keys.source: environment variable {place}", wanted))
    if kind == "file":
        return KeyRing.of(keys.from_file(Path(place), "keys.source", wanted))
    signers = []
    for algorithm in wanted or DEFAULT_ALGORITHMS:
        row = await store.add_signing_key_if_absent(algorithm, partial(_new_key, algorithm, clock))
        signers.append(LocalSigner(_private(row), algorithm))
    return KeyRing.of(signers)


async def try_store(configuration: Configuration) -> None:
    """Would a start refuse the store, or the keys in it? Makes nothing. Raises ConfigError."""
    rows = await look_at_store(configuration.store, configuration.issuer)
    if configuration.keys.source == "store":
        for row in rows:
            if row.state == ACTIVE and row.algorithm in (configuration.keys.algorithms or DEFAULT_ALGORITHMS):
                LocalSigner(_private(row), row.algorithm)


def _private(row: SigningKeyRow) -> PrivateKey:
    return from_pem(row.pem, f"store: the signing key {row.kid}")


def _new_key(algorithm: str, clock: Clock) -> SigningKeyRow:
    key = generate(algorithm)
    return SigningKeyRow(
        kid=LocalSigner(key, algorithm).kid, algorithm=algorithm, pem=to_pem(key), created=clock.wall()
    )


def published(configuration: Configuration, ring: KeyRing, scopes: Sequence[str]) -> dict[str, bytes]:
    """Path to JSON text of everything under `/.well-known/`."""
    issuer = configuration.issuer
    providers = [exact for one in configuration.callers.issuers for exact in one.issuers]
    found: dict[str, bytes] = {}
    for name, document in (
        ("jwks.json", documents.jwks(ring)),
        ("openid-configuration", documents.openid_configuration(issuer, ring)),
        ("oauth-authorization-server", documents.authorization_server(issuer)),
    ):
        found |= dict.fromkeys(documents.places(issuer, name), document)
    # The empty name is `/mcp`, whose challenge leads here as well.
    names = {"": "Counterseal"} | {name: one.description or name for name, one in configuration.servers.items()}
    for name, shown in names.items():
        path = urlsplit(metadata_url(issuer, name)).path
        found[path] = documents.protected_resource(resource(issuer, name), shown, providers, scopes)
    return found
