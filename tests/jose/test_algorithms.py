"""The table of algorithms, and which keys are fit for it."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from counterseal.jose.algorithms import ALGORITHMS, ESTABLISHED, EXPERIMENTAL, SIGNING, UnfitKey, fitting
from tests.support.tokens import ASYMMETRIC, needs_ml_dsa, private_key


def test_there_is_no_hmac_and_no_none() -> None:
    """J-01, J-02."""
    assert set(ALGORITHMS) == {*ASYMMETRIC, "ML-DSA-44"}
    assert not any(name.startswith("HS") or name.lower() == "none" for name in ALGORITHMS)


def test_counterseal_signs_with_three_kinds_of_keys_and_an_experimental_one() -> None:
    assert set(SIGNING) - EXPERIMENTAL == {"RS256", "ES256", "Ed25519", "EdDSA"}
    assert {"ML-DSA-44"} == EXPERIMENTAL


def test_what_is_experimental_is_not_among_what_others_may_sign_with() -> None:
    assert ESTABLISHED == ASYMMETRIC


@pytest.mark.parametrize(
    ("algorithm", "names"),
    [
        ("RS256", {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        ("ES256", {"ES256"}),
        ("ES384", {"ES384"}),
        ("ES512", {"ES512"}),
        ("Ed25519", {"Ed25519", "EdDSA"}),
        pytest.param("ML-DSA-44", {"ML-DSA-44"}, marks=needs_ml_dsa),
    ],
)
def test_a_key_fits_the_algorithms_of_its_kind(algorithm: str, names: set[str]) -> None:
    """J-03."""
    assert {row.name for row in fitting(private_key(algorithm).public_key())} == names


def modulus(bits: int) -> int:
    """An odd number of exactly so many bits, without the ROCA fingerprint."""
    return (1 << (bits - 1)) + (1 << 64) + 13


def test_rsa_needs_2048_bits() -> None:
    """J-22: n - 1, n."""
    fitting(rsa.RSAPublicNumbers(65537, modulus(2048)).public_key())
    for bits in (1024, 2047):
        with pytest.raises(UnfitKey):
            fitting(rsa.RSAPublicNumbers(65537, modulus(bits)).public_key())


def test_rsa_has_an_upper_end_too() -> None:
    fitting(rsa.RSAPublicNumbers(65537, modulus(8192)).public_key())
    with pytest.raises(UnfitKey):
        fitting(rsa.RSAPublicNumbers(65537, modulus(8193)).public_key())


@pytest.mark.parametrize("exponent", [3, 17, 257, 65535, (1 << 64) + 1])
def test_small_and_huge_exponents_are_refused(exponent: int) -> None:
    """J-22."""
    fitting(rsa.RSAPublicNumbers(65537, modulus(2048)).public_key())
    fitting(rsa.RSAPublicNumbers(65539, modulus(2048)).public_key())
    with pytest.raises(UnfitKey):
        fitting(rsa.RSAPublicNumbers(exponent, modulus(2048)).public_key())


def test_a_modulus_with_the_roca_fingerprint_is_refused() -> None:
    """J-22: made the way the faulty generator made its primes, whose shape shows in the product."""
    primorial = 1
    for prime in (number for number in range(2, 168) if all(number % other for other in range(2, number))):
        primorial *= prime
    first, second = ((primorial << (1030 - primorial.bit_length())) + pow(65537, a, primorial) for a in (7, 23))
    product = first * second
    with pytest.raises(UnfitKey, match="ROCA"):
        fitting(rsa.RSAPublicNumbers(65537, product).public_key())
    fitting(rsa.RSAPublicNumbers(65537, product + 2).public_key())


@pytest.mark.parametrize("curve", [ec.SECP256K1(), ec.SECP192R1(), ec.SECP224R1(), ec.BrainpoolP256R1()])
def test_other_curves_fit_nothing(curve: ec.EllipticCurve) -> None:
    """J-22."""
    try:
        key = ec.generate_private_key(curve)
    except Exception:  # a curve that this OpenSSL does not have cannot come from a JWKS either
        pytest.skip(f"{curve.name} is not in this OpenSSL")
    with pytest.raises(UnfitKey):
        fitting(key.public_key())
