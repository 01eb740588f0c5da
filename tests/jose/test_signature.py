"""Signatures: ours and joserfc's answer are the same for thousands of good and bad ones."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from joserfc import jws as joserfc_jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from counterseal.core.limits import LIMITS
from counterseal.jose.algorithms import ALGORITHMS
from counterseal.jose.jwk import read_jwks
from counterseal.jose.signature import checking
from tests.support.tokens import ASYMMETRIC, jwk, private_key, sign

ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": int(
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16
    ),
    "ES512": 2**521 - 657877501894328237357444332315020117536923257219387276263472201219398408051703,
}
ROUNDS = 40


def ours(algorithm: str, signed: bytes, signature: bytes) -> bool:
    (key,) = read_jwks({"keys": [jwk(private_key(algorithm), alg=algorithm)]}, LIMITS).keys
    return key.checks[algorithm](signed, signature)


def theirs(algorithm: str, signed: bytes, signature: bytes) -> bool:
    computes = ALGORITHMS[algorithm].computes
    computing = joserfc_jws.JWSRegistry(algorithms=[computes]).get_alg(computes)
    material = joserfc_key(algorithm)
    try:
        computing.check_key(material)
        return computing.verify(signed, signature, material)
    except (JoseError, ValueError):
        return False


def joserfc_key(algorithm: str) -> Key:
    public = private_key(algorithm).public_key()
    kinds = {"R": RSAKey, "P": RSAKey, "E": OKPKey if algorithm.startswith("Ed") else ECKey}
    return kinds[algorithm[0]].import_key(public)


def spoiled(algorithm: str, signed: bytes, signature: bytes, chance: random.Random) -> Iterator[bytes]:
    """Signatures that are not this one: every way that J-23 and J-26 name, and many flips."""
    for place in chance.sample(range(len(signature)), min(24, len(signature))):
        flipped = bytearray(signature)
        flipped[place] ^= 1 << chance.randrange(8)
        yield bytes(flipped)
    yield from (b"", signature[:-1], signature[1:], signature + b"\x00", b"\x00" + signature, signature * 2)
    yield from (bytes(len(signature)), b"\xff" * len(signature), chance.randbytes(len(signature)))
    yield sign(algorithm, signed + b" ")
    if algorithm in ORDERS:
        yield from spoiled_ecdsa(algorithm, signed, signature)


def spoiled_ecdsa(algorithm: str, signed: bytes, signature: bytes) -> Iterator[bytes]:
    length, order = len(signature) // 2, ORDERS[algorithm]
    r, s = int.from_bytes(signature[:length], "big"), int.from_bytes(signature[length:], "big")
    edges = (0, 1, order - 1, order, order + 1, 256**length - 1)
    pairs = [(a, b) for a in (*edges, r) for b in (*edges, s) if (a, b) != (r, s)]
    yield from (a.to_bytes(length, "big") + b.to_bytes(length, "big") for a, b in [*pairs, (s, r)])
    for wider in (length - 1, length + 1, length + 16):
        if r < 256**wider > s:
            yield r.to_bytes(wider, "big") + s.to_bytes(wider, "big")
    key = private_key(algorithm)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    yield key.sign(
        signed, ec.ECDSA({"ES256": hashes.SHA256(), "ES384": hashes.SHA384(), "ES512": hashes.SHA512()}[algorithm])
    )


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_ours_and_joserfcs_answer_are_the_same(algorithm: str) -> None:
    """J-23, J-26: tens of thousands over all algorithms; and each of the good ones is good."""
    chance = random.Random(algorithm)
    (key,) = read_jwks({"keys": [jwk(private_key(algorithm), alg=algorithm)]}, LIMITS).keys
    compared = 0
    for number in range(ROUNDS):
        signed = chance.randbytes(40 + number)
        signature = sign(algorithm, signed)
        assert key.checks[algorithm](signed, signature)
        assert theirs(algorithm, signed, signature)
        for changed in spoiled(algorithm, signed, signature, chance):
            assert not key.checks[algorithm](signed, changed), changed.hex()
            if len(changed) == len(signature):  # a PSS signature may lack its leading zeros for them
                assert not theirs(algorithm, signed, changed), changed.hex()
            compared += 1
        assert not key.checks[algorithm](signed + b" ", signature)
    assert compared >= ROUNDS * 30


@pytest.mark.parametrize("algorithm", list(ORDERS))
def test_the_other_s_of_an_ecdsa_signature_is_good_for_both(algorithm: str) -> None:
    """J-23: valid in JOSE, so nothing may be keyed on the bytes of a signature."""
    signature = sign(algorithm, b"signed")
    length = len(signature) // 2
    other = ORDERS[algorithm] - int.from_bytes(signature[length:], "big")
    changed = signature[:length] + other.to_bytes(length, "big")
    assert ours(algorithm, b"signed", changed)
    assert theirs(algorithm, b"signed", changed)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_an_rsa_signature_has_all_its_leading_zeros(algorithm: str) -> None:
    """RFC 8017 sections 8.1.2 and 8.2.2, step 1: one signature has one spelling. About one in 256 begins with a zero."""
    numbers = (b"%d" % number for number in range(100_000))
    signed, signature = next((text, made) for text in numbers if not (made := sign(algorithm, text))[0])
    assert ours(algorithm, signed, signature)
    assert not ours(algorithm, signed, signature[1:])
    assert not ours(algorithm, signed, b"\x00" + signature)


@pytest.mark.parametrize("salt", [0, 20, 31, 33, "most"])
def test_a_pss_salt_is_as_long_as_the_hash(salt: int | str) -> None:
    """RFC 7518 section 3.5."""
    key = private_key("PS256")
    assert isinstance(key, rsa.RSAPrivateKey)
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH if salt == "most" else int(salt))
    changed = key.sign(b"signed", scheme, hashes.SHA256())
    assert ours("PS256", b"signed", sign("PS256", b"signed"))
    assert not ours("PS256", b"signed", changed)
    assert not theirs("PS256", b"signed", changed)


def test_another_hash_in_the_mask_or_another_scheme_does_not_hold() -> None:
    key = private_key("PS256")
    assert isinstance(key, rsa.RSAPrivateKey)
    mixed = key.sign(b"signed", padding.PSS(padding.MGF1(hashes.SHA1()), 32), hashes.SHA256())
    for changed in (mixed, key.sign(b"signed", padding.PKCS1v15(), hashes.SHA256())):
        assert not ours("PS256", b"signed", changed)
        assert not theirs("PS256", b"signed", changed)


def test_an_ed25519_signature_with_a_number_beyond_the_order_does_not_hold() -> None:
    """RFC 8032 section 5.1.7: S is below the order, else one signature would have two spellings."""
    key = private_key("Ed25519")
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    signature = sign("Ed25519", b"signed")
    order = 2**252 + 27742317777372353535851937790883648493
    beyond = int.from_bytes(signature[32:], "little") + order
    changed = signature[:32] + beyond.to_bytes(32, "little")
    assert ours("Ed25519", b"signed", signature)
    assert not ours("Ed25519", b"signed", changed)
    assert not theirs("Ed25519", b"signed", changed)


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_key_of_another_kind_holds_nothing(algorithm: str) -> None:
    """J-03: not even a signature that this key made."""
    row = ALGORITHMS[algorithm]
    assert checking(row, private_key(algorithm).public_key())(b"signed", sign(algorithm, b"signed"))
    for other in ASYMMETRIC:
        if (ALGORITHMS[other].kty, ALGORITHMS[other].crv) != (row.kty, row.crv):
            check = checking(row, private_key(other).public_key())
            assert not check(b"signed", sign(other, b"signed"))
            assert not check(b"signed", sign(algorithm, b"signed"))
