"""ML-DSA-44, experimental: the example of RFC 9964, and everything that the established algorithms are held to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import mldsa
from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.core.limits import LIMITS
from counterseal.jose import jws, strict
from counterseal.jose.jwk import Key, KeySet, public_jwk, read_jwks, thumbprint
from counterseal.jose.jws import Verified
from counterseal.jose.refusal import TokenRefused
from tests.support.tokens import (
    ABSENT,
    ASYMMETRIC,
    access_claims,
    encode,
    jwk,
    jwks,
    needs_ml_dsa,
    private_key,
    sign,
    token,
)

NAME = "ML-DSA-44"
EXAMPLE = json.loads(Path(__file__).with_name("rfc9964_ml_dsa_44.json").read_text(encoding="utf-8"))
GOOD = jwk(private_key("ES256"), kid="good", alg="ES256", use="sig")


def verify(presented: bytes | str, *algorithms: str) -> Verified:
    unverified = strict.read(presented, LIMITS)
    return jws.verify(unverified, read_jwks(jwks(*(algorithms or (NAME,))), LIMITS).find(unverified))


def refused(presented: bytes | str, *algorithms: str) -> str:
    with pytest.raises(TokenRefused) as caught:
        verify(presented, *algorithms)
    return caught.value.code


def read(*entries: Any) -> KeySet:
    return read_jwks(json.dumps({"keys": list(entries)}).encode(), LIMITS)


def akp(**members: Any) -> dict[str, Any]:
    return jwk(private_key(NAME), **{"kid": "x", "use": "sig", **members})


def dropped(entry: Any) -> tuple[str, bool]:
    """The reason and the alarm of an entry that is dropped while the good one beside it stays."""
    keys = read(entry, GOOD)
    assert [key.kid for key in keys.keys] == ["good"]
    (note,) = keys.notes
    return note.reason, note.alarm


# ---- the published example ----


@pytest.fixture
def published() -> Key:
    """The key of the example, read from a JWK that is made of its seed."""
    private = mldsa.MLDSA44PrivateKey.from_seed_bytes(bytes.fromhex(EXAMPLE["seed"]))
    (key,) = read({"kty": "AKP", "alg": NAME, "pub": encode(private.public_key().public_bytes_raw())}).keys
    return key


@needs_ml_dsa
def test_the_published_key_has_the_published_thumbprint(published: Key) -> None:
    """RFC 9964 section 6 and appendix A.1."""
    assert published.thumbprint == EXAMPLE["kid"]
    assert published.algorithms == {NAME}


@needs_ml_dsa
def test_the_published_signature_verifies(published: Key) -> None:
    """RFC 9964 appendix A.1. Its payload is no claims set, so the signature alone."""
    signed, _, signature = EXAMPLE["jws"].encode().rpartition(b".")
    jws.check_signature(NAME, published, signed, signature)
    for text, mark in ((signed[:-1] + b"A", signature), (signed, b"A" + signature[1:])):
        with pytest.raises(TokenRefused, match="does not verify"):
            jws.check_signature(NAME, published, text, mark)
    with pytest.raises(TokenRefused, match=r"not a JSON object|not strict JSON"):
        strict.read(EXAMPLE["jws"], LIMITS)


# ---- signatures ----


@needs_ml_dsa
def test_a_sound_signature_verifies() -> None:
    verified = verify(token(access_claims(), NAME))
    assert (verified.alg, verified.kid, verified.typ) == (NAME, NAME, "at+jwt")
    assert verified.claims == access_claims()
    verify(token(access_claims(), NAME, header={"kid": ABSENT}), *ASYMMETRIC, NAME)


@needs_ml_dsa
def test_flipped_bits_are_noticed() -> None:
    """J-26: every bit of header and payload, and of every 16th character of the signature."""
    sound = token(access_claims(), NAME).encode()
    keys = read_jwks(jwks(NAME), LIMITS)

    def accepted(presented: bytes) -> bool:
        try:
            unverified = strict.read(presented, LIMITS)
            jws.verify(unverified, keys.find(unverified))
        except TokenRefused:
            return False
        return True

    assert accepted(sound)
    end = sound.rindex(b".") + 1
    for place in (*range(end), *range(end, len(sound), 16), len(sound) - 1):
        for bit in range(8):
            changed = bytearray(sound)
            changed[place] ^= 1 << bit
            assert not accepted(bytes(changed)), (place, bit)


@needs_ml_dsa
def test_a_signature_of_another_length_is_refused() -> None:
    """J-26: one byte less or more, none, twice, and as long as those of the two larger sizes."""
    sound = token(access_claims(), NAME)
    verify(sound)
    signed, _, signature = sound.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    assert len(raw) == 2420
    cut = (raw[:-1], raw[1:], raw + b"\x00", b"\x00" + raw, raw * 2, raw[:64], raw + bytes(889), raw + bytes(2207))
    for changed in (*cut[:4], *cut[5:7], bytes(2420), b"\xff" * 2420):
        assert refused(f"{signed}.{encode(changed)}") == "signature"
    for changed in (cut[4], cut[7]):
        assert refused(f"{signed}.{encode(changed)}") in ("signature", "malformed")
    assert refused(f"{signed}.") == "malformed"


@needs_ml_dsa
def test_a_signature_is_taken_in_its_one_spelling() -> None:
    """J-26: no padding, no stray bits, no white space; where it is checked on its own as well."""
    sound = token(access_claims(), NAME)
    signed, _, signature = sound.encode().rpartition(b".")
    (key,) = read_jwks(jwks(NAME), LIMITS).keys
    jws.check_signature(NAME, key, signed, signature)
    other = signature[:-1] + bytes([signature[-1] + 1])
    for spelled in (signature + b"=", signature + b"\n", b" " + signature, other, b"", b"!"):
        with pytest.raises(TokenRefused) as caught:
            jws.check_signature(NAME, key, signed, spelled)
        assert caught.value.code == "signature"
        assert refused(signed + b"." + spelled) == "malformed"


@needs_ml_dsa
def test_a_signature_in_a_context_is_another_signature() -> None:
    """RFC 9964 section 5: the context is empty."""
    key = private_key(NAME)
    assert isinstance(key, mldsa.MLDSA44PrivateKey)
    signed = token(access_claims(), NAME).rpartition(".")[0]
    verify(f"{signed}.{encode(key.sign(signed.encode(), b''))}")
    assert refused(f"{signed}.{encode(key.sign(signed.encode(), b'JWT'))}") == "signature"


@needs_ml_dsa
def test_a_token_of_another_key_is_refused() -> None:
    assert refused(token(access_claims(), NAME, key=private_key(NAME, "other"))) == "signature"


@needs_ml_dsa
@settings(max_examples=25, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), payload=st.binary(max_size=400))
def test_what_a_key_signs_its_public_half_verifies_and_no_other(seed: bytes, payload: bytes) -> None:
    private = mldsa.MLDSA44PrivateKey.from_seed_bytes(seed)
    keys = read(public_jwk(private.public_key(), NAME), akp())
    signed = f"{encode(b'{}')}.{encode(payload)}".encode()
    signature = encode(private.sign(signed)).encode()
    own, other = keys.keys
    assert own.kid == own.thumbprint == thumbprint(private.public_key())
    jws.check_signature(NAME, own, signed, signature)
    for key, text in ((other, signed), (own, signed + b"A")):
        with pytest.raises(TokenRefused) as caught:
            jws.check_signature(NAME, key, text, signature)
        assert caught.value.code == "signature"


# ---- algorithms ----


@needs_ml_dsa
@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_the_algorithm_is_bound_to_the_key(algorithm: str) -> None:
    """J-03: ML-DSA-44 with every other kind of key, and every other algorithm with this one, each properly signed."""
    both = (algorithm, NAME)
    verify(token(access_claims(), algorithm), *both)
    verify(token(access_claims(), NAME), *both)
    ours, theirs = private_key(NAME), private_key(algorithm)
    for alg, kid, key in ((NAME, algorithm, ours), (algorithm, NAME, theirs)):
        assert refused(token(access_claims(), alg, header={"kid": kid}, key=key), *both) == "algorithm"
    for alg, kid, maker in ((NAME, NAME, algorithm), (algorithm, algorithm, NAME)):
        head = encode(json.dumps({"alg": alg, "typ": "at+jwt", "kid": kid}).encode())
        signed = f"{head}.{encode(json.dumps(access_claims()).encode())}"
        assert refused(f"{signed}.{encode(sign(maker, signed.encode()))}", *both) == "signature"


@needs_ml_dsa
def test_a_key_of_another_kind_than_its_algorithms_say_verifies_nothing() -> None:
    """J-03: even where a key was put together wrongly."""
    (ours,) = read_jwks(jwks(NAME), LIMITS).keys
    (theirs,) = read_jwks(jwks("ES256"), LIMITS).keys
    for algorithm, key, other in ((NAME, ours, theirs), ("ES256", theirs, ours)):
        unverified = strict.read(token(access_claims(), algorithm), LIMITS)
        jws.verify(unverified, key)
        with pytest.raises(TokenRefused) as caught:
            jws.verify(unverified, replace(key, public_key=other.public_key))
        assert caught.value.code == "signature"


@needs_ml_dsa
@pytest.mark.parametrize("alg", ["ML-DSA-65", "ML-DSA-87", "ml-dsa-44", "ML-DSA-44 ", "HashML-DSA-44", "AKP", "-48"])
def test_another_name_is_another_algorithm(alg: str) -> None:
    assert refused(token(access_claims(), NAME, header={"alg": alg})) == "algorithm"


@needs_ml_dsa
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_the_public_key_is_never_a_shared_secret(digest: str) -> None:
    """J-02."""
    shown = akp()
    raw = base64.urlsafe_b64decode(shown["pub"] + "==")
    for secret in (raw, shown["pub"].encode(), json.dumps(shown).encode()):
        head = encode(json.dumps({"alg": f"HS{digest[3:]}", "kid": NAME}).encode())
        signed = f"{head}.{encode(json.dumps(access_claims()).encode())}"
        assert refused(f"{signed}.{encode(hmac.new(secret, signed.encode(), digest).digest())}") == "algorithm"


# ---- keys ----


@needs_ml_dsa
def test_a_key_is_read_with_and_without_what_is_optional() -> None:
    for entry in (akp(), akp(use=ABSENT), akp(kid=ABSENT), akp(key_ops=["verify"]), akp(x5t="x")):
        keys = read(entry)
        assert keys.notes == ()
        assert keys.keys[0].algorithms == {NAME}


@needs_ml_dsa
@pytest.mark.parametrize("alg", [ABSENT, None, 44, ["ML-DSA-44"], "", "ES256", "ML-DSA-65", "ML-DSA-87", "ml-dsa-44"])
def test_a_key_says_what_it_is_for_or_is_none(alg: Any) -> None:
    """RFC 9964 section 3: `alg` is required. J-03, K-12."""
    assert len(read(akp()).keys) == 1
    reason, alarm = dropped(akp(alg=alg))
    assert "`alg`" in reason
    assert alarm


def pub(length: int) -> str:
    return encode(hashlib.shake_256(b"pub").digest(length))


@needs_ml_dsa
@pytest.mark.parametrize(
    "value",
    [
        *(ABSENT, None, 1, "", [], "!!", pub(1311), pub(1313), pub(1952), pub(2592), pub(32), pub(2624)),
        *(pub(1312) + "=", pub(1312) + "\n", pub(1312)[:-1] + "é", " " + pub(1312)),
        pub(1312)[:-1] + chr(ord(pub(1312)[-1]) + 1),
    ],
)
def test_a_public_key_is_1312_bytes_in_their_one_spelling(value: Any) -> None:
    """J-22: other lengths, those of the two larger sizes too, padding, stray bits."""
    assert len(read(akp(pub=pub(1312))).keys) == 1
    reason, alarm = dropped(akp(pub=value))
    assert "`pub`" in reason
    assert alarm


@needs_ml_dsa
@pytest.mark.parametrize("kty", [ABSENT, None, "OKP", "RSA", "akp", ["AKP"]])
def test_a_key_of_another_type_is_dropped(kty: Any) -> None:
    dropped(akp(kty=kty))


@needs_ml_dsa
@pytest.mark.parametrize("member", ["priv", "d", "k"])
def test_private_parts_drop_a_key_with_an_alarm(member: str) -> None:
    """K-12, J-22: `priv` is the seed (RFC 9964 section 4)."""
    assert dropped(akp(**{member: encode(bytes(32))})) == ("private parts are published", True)


@needs_ml_dsa
def test_one_kid_for_two_keys_names_neither() -> None:
    """J-07."""
    assert len(read(akp(), akp()).keys) == 1
    assert read(akp(), jwk(private_key(NAME, "other"), kid="x")).keys == ()
    assert read(akp(), jwk(private_key("ES256"), kid="x")).keys == ()


@needs_ml_dsa
def test_our_own_key_shows_its_public_members_and_nothing_else() -> None:
    """K-18."""
    public = private_key(NAME).public_key()
    shown = public_jwk(public, NAME)
    assert list(shown) == ["kty", "alg", "pub", "kid", "use"]
    assert shown == akp(kid=thumbprint(public))
    assert read(shown).keys[0].thumbprint == shown["kid"]
    with pytest.raises(ValueError, match="ES256"):
        public_jwk(public, "ES256")


def test_where_cryptography_cannot_compute_it_only_that_key_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """K-11: what `cryptography` raises there, as its documentation has it."""

    def unsupported(data: bytes) -> NoReturn:
        raise UnsupportedAlgorithm("ML-DSA-44 is not supported by this backend")

    monkeypatch.setattr(mldsa.MLDSA44PublicKey, "from_public_bytes", unsupported)
    reason, alarm = dropped({"kty": "AKP", "alg": NAME, "pub": pub(1312), "kid": "x"})
    assert "cryptography" in reason
    assert alarm
