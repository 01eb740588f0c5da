"""A private key behind a signer: it signs, it proves itself at the start, and it cannot be had back."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from typing import Any, NoReturn

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import example, given
from hypothesis import strategies as st

from counterseal.core.limits import LIMITS
from counterseal.errors import ConfigError
from counterseal.issuer.ring import KeyRing
from counterseal.issuer.signers.local import (
    LocalSigner,
    PrivateKey,
    algorithms_of,
    from_pem,
    generate,
    raw_p256,
    to_pem,
)
from counterseal.jose.jwk import read_jwks, thumbprint
from tests.issuer import pems
from tests.support.tokens import ML_DSA, encode, needs_ml_dsa, private_key

SIGNING = ("RS256", "ES256", "Ed25519", "EdDSA", ML_DSA)


def secrets_of(key: PrivateKey) -> set[str]:
    """The private key in every spelling that could stand in a text."""
    body = "".join(to_pem(key).decode().splitlines()[1:-1])
    found = {body, body[:40], to_pem(key).decode()}
    if isinstance(key, ed25519.Ed25519PrivateKey | mldsa.MLDSA44PrivateKey):
        raw = key.private_bytes_raw()
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        raw = key.private_numbers().private_value.to_bytes(32, "big")
    else:
        raw = key.private_numbers().d.to_bytes(256, "big")
        found |= {str(key.private_numbers().p), str(key.private_numbers().d)}
    number = int.from_bytes(raw, "big")
    return found | {raw.hex(), encode(raw), repr(raw), str(number), f"{number:x}"}


def assert_hidden(text: str, key: PrivateKey) -> None:
    flat = text.replace("\n", "").replace("\\n", "")
    assert not any(secret in text or secret in flat for secret in secrets_of(key))


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        ("RS256", rsa.RSAPrivateKey),
        ("ES256", ec.EllipticCurvePrivateKey),
        ("Ed25519", ed25519.Ed25519PrivateKey),
        ("EdDSA", ed25519.Ed25519PrivateKey),
        pytest.param("ML-DSA-44", mldsa.MLDSA44PrivateKey, marks=needs_ml_dsa),
    ],
)
def test_a_made_key_is_of_its_algorithm_and_comes_back_from_its_pem(algorithm: str, kind: type) -> None:
    key = generate(algorithm)
    assert isinstance(key, kind)
    assert algorithm in algorithms_of(key)
    read = from_pem(to_pem(key), "here")
    assert LocalSigner(read, algorithm).kid == LocalSigner(key, algorithm).kid
    if isinstance(key, rsa.RSAPrivateKey):
        assert (key.key_size, key.public_key().public_numbers().e) == (2048, 65537)


@pytest.mark.parametrize("algorithm", SIGNING)
def test_y_04_the_key_id_is_the_thumbprint_of_the_public_key(algorithm: str) -> None:
    signer = LocalSigner(private_key(algorithm), algorithm)
    assert signer.kid == signer.public_jwk["kid"] == thumbprint(private_key(algorithm).public_key())


@pytest.mark.parametrize("algorithm", SIGNING)
def test_k_18_the_public_key_has_public_members_only(algorithm: str) -> None:
    shown = LocalSigner(private_key(algorithm), algorithm).public_jwk
    members = {"RS256": {"n", "e"}, "ES256": {"crv", "x", "y"}, "ML-DSA-44": {"pub"}}.get(algorithm, {"crv", "x"})
    assert set(shown) == {"kty", "kid", "use", "alg"} | members
    assert (shown["use"], shown["alg"]) == ("sig", algorithm)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        *(("ES256", "RS256"), ("RS256", "ES256"), ("Ed25519", "ES256"), ("ES256", "EdDSA"), ("ES256", "ML-DSA-44")),
        pytest.param("ML-DSA-44", "Ed25519", marks=needs_ml_dsa),
    ],
)
def test_a_key_for_another_algorithm_signs_nothing(key: str, algorithm: str) -> None:
    with pytest.raises(ValueError, match=algorithm):
        LocalSigner(private_key(key), algorithm)


async def test_y_07_a_key_that_does_not_verify_what_it_signs_is_refused_at_the_start() -> None:
    good = private_key("ES256")
    assert isinstance(good, ec.EllipticCurvePrivateKey)

    class Faulty:
        """A key whose public half belongs to another."""

        curve = good.curve
        key_size = good.key_size
        sign = private_key("ES256", "other").sign  # type: ignore[union-attr]
        public_key = good.public_key

    ec.EllipticCurvePrivateKey.register(Faulty)
    with pytest.raises(ConfigError, match="does not verify what it signs"):
        LocalSigner(Faulty(), "ES256")  # type: ignore[arg-type]
    LocalSigner(good, "ES256")


@pytest.mark.parametrize("algorithm", SIGNING)
def test_y_05_no_way_of_printing_or_copying_a_signer_shows_the_key(algorithm: str) -> None:
    key = private_key(algorithm)
    signer = LocalSigner(key, algorithm)
    ring = KeyRing.of([signer])
    for thing in (signer, ring):
        assert_hidden(f"{thing!r} {thing!s} {thing}", key)
        for copying in (copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot be copied"):
                copying(thing)
    for refusing in (copy.copy, vars, json.dumps):
        with pytest.raises(TypeError):
            refusing(signer)
    visible = {name: getattr(signer, name) for name in dir(signer) if not name.startswith("_")}
    assert set(visible) == {"algorithm", "kid", "public_jwk", "sign"}
    assert_hidden(repr(visible), key)


def test_y_05_a_signer_is_what_it_is() -> None:
    signer = LocalSigner(private_key("ES256"), "ES256")
    with pytest.raises(AttributeError):
        signer.more = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("algorithm", SIGNING)
async def test_y_05_the_trace_of_a_failure_shows_nothing_of_the_key(algorithm: str) -> None:
    signer = LocalSigner(private_key(algorithm), algorithm)
    wrong: Any = "not bytes"
    try:
        await signer.sign(wrong)
    except TypeError as error:
        trace = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert_hidden("".join(trace.format()), private_key(algorithm))
    else:
        pytest.fail("text was signed")


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256: r and s are below it (FIPS 186-5)."""
NUMBERS = st.one_of(
    st.integers(1, ORDER - 1), st.integers(1, 2**130), st.sampled_from([2**255, 2**248, 2**247, ORDER - 1])
)


@given(NUMBERS, NUMBERS)
@example(1, 1)
@example(ORDER - 1, ORDER - 1)
def test_both_halves_of_an_es256_signature_have_their_full_length(r: int, s: int) -> None:
    assert raw_p256(encode_dss_signature(r, s)) == r.to_bytes(32, "big") + s.to_bytes(32, "big")


def test_our_own_keys_are_good_by_our_own_rules_for_keys_of_others() -> None:
    ring = KeyRing.of([LocalSigner(private_key(name), name) for name in ("RS256", "ES256", "Ed25519")])
    read = read_jwks(ring.jwks(), LIMITS)
    assert (len(read.keys), read.notes) == (3, ())


@needs_ml_dsa
def test_an_ml_dsa_key_is_kept_as_its_seed() -> None:
    """RFC 9881 section 6: the form that is read anywhere and can be checked."""
    key = mldsa.MLDSA44PrivateKey.from_seed_bytes(bytes(range(32)))
    assert to_pem(key).decode() == pems.ml_dsa_pem(pems.seed_alone(bytes(range(32))))
    read = from_pem(to_pem(key), "here")
    assert isinstance(read, mldsa.MLDSA44PrivateKey)
    assert read.private_bytes_raw() == bytes(range(32))


@pytest.mark.parametrize("body", [pems.seed_and_key(), pems.key_alone()], ids=["both", "the key alone"])
def test_an_ml_dsa_key_in_another_form_is_refused_with_the_command_that_mends_it(body: bytes) -> None:
    with pytest.raises(
        ConfigError, match=r"here: an ML-DSA-44 key that is not its seed alone.*output_formats=seed-only"
    ):
        from_pem(pems.ml_dsa_pem(body).encode(), "here")


def unsupported(*_: object, **__: object) -> NoReturn:
    """What `cryptography` does where its OpenSSL is too old."""
    raise UnsupportedAlgorithm("ML-DSA-44 is not supported by this backend")


def test_where_no_ml_dsa_key_can_be_made_it_is_said_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mldsa.MLDSA44PrivateKey, "generate", unsupported)
    with pytest.raises(ConfigError, match=r"keys.algorithms: .*OpenSSL 3.5 or newer.*take ML-DSA-44 out"):
        generate("ML-DSA-44")
    generate("ES256")


def test_where_no_ml_dsa_key_can_be_read_it_is_said_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serialization, "load_pem_private_key", unsupported)
    with pytest.raises(ConfigError, match=r"here: .*OpenSSL 3.5 or newer.*take ML-DSA-44 out"):
        from_pem(pems.ml_dsa_pem(pems.seed_alone(bytes(32))).encode(), "here")
    with pytest.raises(ConfigError, match="not a private key in PEM"):
        from_pem(to_pem(private_key("ES256")), "here")
