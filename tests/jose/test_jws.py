"""Signatures: good for exactly these bytes, this key and this algorithm."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from counterseal.core.limits import LIMITS
from counterseal.jose import jws, strict
from counterseal.jose.jwk import read_jwks
from counterseal.jose.jws import Verified, compact, header_segment, signing_input
from counterseal.jose.refusal import TokenRefused
from tests.support.tokens import ABSENT, ASYMMETRIC, ML_DSA, access_claims, encode, jwk, jwks, private_key, sign, token

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def verify(presented: bytes | str, *algorithms: str) -> Verified:
    """Read, find, verify, as every verifier does."""
    unverified = strict.read(presented, LIMITS)
    return jws.verify(unverified, read_jwks(jwks(*(algorithms or ASYMMETRIC)), LIMITS).find(unverified))


def refused(presented: bytes | str, *algorithms: str) -> str:
    with pytest.raises(TokenRefused) as caught:
        verify(presented, *algorithms)
    return caught.value.code


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_sound_signature_verifies(algorithm: str) -> None:
    verified = verify(token(access_claims(), algorithm))
    assert (verified.alg, verified.kid, verified.typ) == (algorithm, algorithm, "at+jwt")
    assert verified.claims == access_claims()


def test_claims_cannot_be_written_to_and_are_not_in_the_repr() -> None:
    verified = verify(token(access_claims(sub="alice-the-subject")))
    with pytest.raises(TypeError):
        verified.claims["sub"] = "mallory"  # type: ignore[index]
    assert "alice-the-subject" not in repr(verified)


# ---- algorithms ----

NONES = ["none", "None", "NONE", "nOnE", "none ", " none", "none\x00", "n\u043ene", "", "null", "undefined"]


@pytest.mark.parametrize("alg", NONES)
@pytest.mark.parametrize("signature", ["", "AAAA", "signed"])
def test_no_spelling_of_none_is_taken(alg: str, signature: str) -> None:
    """J-01: with an empty signature, with any, and with one that would be good; plain and escaped."""
    escaped = "".join(f"\\u{ord(character):04x}" for character in alg)
    for header in (json.dumps({"alg": alg, "kid": "ES256"}), f'{{"alg":"{escaped}","kid":"ES256"}}'):
        signed = f"{encode(header.encode())}.{encode(json.dumps(access_claims()).encode())}"
        good = encode(sign("ES256", signed.encode()))
        assert refused(f"{signed}.{good if signature == 'signed' else signature}") in ("algorithm", "malformed")


def public_forms(algorithm: str) -> list[bytes]:
    """The ways in which a public key is mistaken for a shared secret."""
    public = private_key(algorithm).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    shown = jwk(private_key(algorithm), kid=algorithm, alg=algorithm, use="sig")
    material = shown.get("n") or shown["x"]
    raw = base64.urlsafe_b64decode(material + "=" * (-len(material) % 4))
    return [
        pem,
        pem.rstrip(b"\n"),
        pem.replace(b"\n", b"\r\n"),
        pem.replace(b"\n", b"\n "),
        b"\n" + pem,
        der,
        json.dumps(shown).encode(),
        json.dumps(shown, separators=(",", ":")).encode(),
        material.encode(),
        raw,
    ]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "Ed25519"])
@pytest.mark.parametrize(("alg", "digest"), [("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")])
def test_a_public_key_is_never_a_shared_secret(algorithm: str, alg: str, digest: str) -> None:
    """J-02: three kinds of keys, ten encodings, three hashes; with and without a kid."""
    verify(token(access_claims(), algorithm))
    for secret in public_forms(algorithm):
        for header in ({"alg": alg, "kid": algorithm}, {"alg": alg}):
            signed = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(access_claims()).encode())}"
            mac = hmac.new(secret, signed.encode(), digest).digest()
            assert refused(f"{signed}.{encode(mac)}", algorithm) == "algorithm"


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_token_that_names_another_algorithm_of_the_key_is_refused(algorithm: str) -> None:
    """J-03: properly signed with the algorithm that it names."""
    key = private_key(algorithm)
    kinds = {"R": ("RS", "PS"), "P": ("RS", "PS")}
    for alg in ASYMMETRIC:
        if alg[:2] in kinds.get(algorithm[0], ()) and alg != algorithm:
            assert refused(token(access_claims(), alg, header={"kid": algorithm}, key=key), algorithm) == "algorithm"


def test_the_key_has_the_last_word_about_the_algorithm() -> None:
    """J-03: even when a key was chosen in another way than by `find`."""
    unverified = strict.read(token(access_claims(), "PS256", key=private_key("RS256")), LIMITS)
    for_all, for_one = (
        read_jwks({"keys": [key]}, LIMITS).keys[0]
        for key in (
            jwk(private_key("RS256"), kid="x"),
            jwk(private_key("RS256"), kid="x", alg="RS256"),
        )
    )
    jws.verify(unverified, for_all)
    with pytest.raises(TokenRefused) as caught:
        jws.verify(unverified, for_one)
    assert caught.value.code == "algorithm"


def test_a_key_of_another_kind_than_its_algorithms_say_verifies_nothing() -> None:
    """J-03: no check is prepared for such a pair, so it is a refusal and never a pass."""
    unverified = strict.read(token(access_claims()), LIMITS)
    (rsa_key,) = read_jwks(jwks("RS256"), LIMITS).keys
    (ec_key,) = read_jwks(jwks("ES256"), LIMITS).keys
    jws.verify(unverified, ec_key)
    with pytest.raises(TokenRefused) as caught:
        jws.verify(unverified, replace(ec_key, public_key=rsa_key.public_key))
    assert caught.value.code == "signature"


# ---- keys in the token ----


@pytest.mark.parametrize("parameter", ["jwk", "jku", "x5u", "x5c"])
def test_a_key_that_comes_with_the_token_is_never_used(parameter: str) -> None:
    """J-04: signed with the attacker's key, which the token brings along. The room has no network to fetch one with."""
    theirs = private_key("ES256", "attacker")
    value: Any = jwk(theirs) if parameter == "jwk" else "https://evil.example/keys"
    if parameter == "x5c":
        value = [base64.b64encode(b"certificate").decode()]
    assert refused(token(access_claims(), header={parameter: value}, key=theirs)) in ("malformed", "signature")
    assert refused(token(access_claims(), header={parameter: value, "kid": ABSENT}, key=theirs)) in (
        "malformed",
        "signature",
        "key_unknown",
    )


def test_a_token_of_another_key_is_refused() -> None:
    """J-06 at this level: the kid chooses the key, the signature decides."""
    assert refused(token(access_claims(), key=private_key("ES256", "other"))) == "signature"


# ---- signatures ----


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "Ed25519"])
def test_every_flipped_bit_is_noticed(algorithm: str) -> None:
    """J-26: every single bit of the whole token, dots included."""
    sound = token(access_claims(), algorithm).encode()
    keys = read_jwks(jwks(algorithm), LIMITS)

    def accepted(presented: bytes) -> bool:
        try:
            unverified = strict.read(presented, LIMITS)
            jws.verify(unverified, keys.find(unverified))
        except TokenRefused:
            return False
        return True

    assert accepted(sound)
    flipped = 0
    for place in range(len(sound)):
        for bit in range(8):
            changed = bytearray(sound)
            changed[place] ^= 1 << bit
            assert not accepted(bytes(changed)), (place, bit)
            flipped += 1
    assert flipped == 8 * len(sound)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "Ed25519"])
def test_a_shortened_token_is_refused(algorithm: str) -> None:
    """J-26: cut at every position, and one byte of the decoded signature less or more."""
    sound = token(access_claims(), algorithm)
    verify(sound)
    for end in range(len(sound)):
        refused(sound[:end])
    signed, _, signature = sound.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    for changed in (raw[:-1], raw[1:], raw + b"\x00", b"\x00" + raw, raw * 2, b"\x00" * len(raw), b"\xff" * len(raw)):
        assert refused(f"{signed}.{encode(changed)}") == "signature"


def test_parts_of_two_tokens_do_not_make_one() -> None:
    """J-26: the signature or the header of another token."""
    first, second = (token(access_claims(sub=sub)).split(".") for sub in ("alice", "bob"))
    other = token(access_claims(sub="alice"), header={"typ": "JWT"}).split(".")
    assert refused(".".join([*first[:2], second[2]])) == "signature"
    assert refused(".".join([other[0], *first[1:]])) == "signature"


def test_j_23_only_raw_ecdsa_signatures_are_taken() -> None:
    """J-23: r and s zero or the order, DER, other lengths."""
    sound = token(access_claims())
    verify(sound)
    signed, _, signature = sound.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    key = private_key("ES256")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    der = key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    pairs = [(0, 0), (0, s), (r, 0), (ORDER, s), (r, ORDER), (ORDER, ORDER), (1, 1), (s, r)]
    for changed in (der, *(a.to_bytes(32, "big") + b.to_bytes(32, "big") for a, b in pairs)):
        assert refused(f"{signed}.{encode(changed)}") == "signature"
    wide = r.to_bytes(48, "big") + s.to_bytes(48, "big")
    assert refused(f"{signed}.{encode(wide)}") == "signature"


def test_j_23_a_high_s_is_a_sound_signature() -> None:
    """J-23: valid in JOSE, so nothing may be keyed on the bytes of a signature."""
    signed, _, signature = token(access_claims()).rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    other = ORDER - int.from_bytes(raw[32:], "big")
    verify(f"{signed}.{encode(raw[:32] + other.to_bytes(32, 'big'))}")


# ---- ours ----


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "Ed25519", "EdDSA", ML_DSA])
def test_what_we_assemble_verifies(algorithm: str) -> None:
    header = header_segment(algorithm, algorithm, "at+jwt")
    signed = signing_input(header, json.dumps(access_claims()).encode())
    made = compact(signed, sign(algorithm, signed))
    assert made.encode().startswith(signed + b".")
    assert signed.startswith(header + b".")
    verified = verify(made, algorithm)
    assert verified.claims == access_claims()
    assert (verified.alg, verified.kid, verified.typ) == (algorithm, algorithm, "at+jwt")


def test_a_header_segment_is_plain_json_without_more() -> None:
    decoded = strict.decode_base64url(header_segment("ES256", hashlib.sha256(b"k").hexdigest(), "at+jwt"), "header")
    assert list(json.loads(decoded)) == ["alg", "typ", "kid"]
