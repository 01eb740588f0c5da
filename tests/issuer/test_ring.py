"""The key ring: one live key for each algorithm."""

from __future__ import annotations

import pytest

from counterseal.errors import ConfigError
from counterseal.issuer.ring import KeyRing
from counterseal.issuer.signers.local import LocalSigner
from tests.support.tokens import private_key


def signer(algorithm: str, which: str = "") -> LocalSigner:
    return LocalSigner(private_key(algorithm, which), algorithm)


def test_a_ring_has_a_key_for_each_algorithm_in_the_configured_order() -> None:
    ring = KeyRing.of([signer("ES256"), signer("RS256"), signer("Ed25519")])
    assert [one.algorithm for one in ring.signers] == ["ES256", "RS256", "Ed25519"]
    assert ring.signer("RS256").kid == ring.signers[1].kid
    assert [key["kid"] for key in ring.jwks()["keys"]] == [one.kid for one in ring.signers]


def test_a_ring_without_a_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="no signing key"):
        KeyRing.of([])


def test_two_keys_of_one_algorithm_are_refused() -> None:
    with pytest.raises(ConfigError, match="two signing keys for ES256"):
        KeyRing.of([signer("ES256"), signer("ES256", "other")])


def test_an_algorithm_without_a_key_is_refused_with_those_that_there_are() -> None:
    ring = KeyRing.of([signer("ES256"), signer("Ed25519")])
    with pytest.raises(ConfigError, match="no RS256 key; the key ring has ES256, Ed25519"):
        ring.signer("RS256")


def test_what_the_world_sees_is_a_copy() -> None:
    ring = KeyRing.of([signer("ES256")])
    ring.jwks()["keys"][0]["kid"] = "changed"
    assert ring.jwks()["keys"][0]["kid"] == ring.signers[0].kid
