"""Other people's keys: the bad ones are dropped, the good ones stay. And our own, with nothing too much."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from counterseal.core.limits import LIMITS
from counterseal.jose import strict
from counterseal.jose.algorithms import UnfitKey
from counterseal.jose.jwk import KeySet, NotAKeySet, public_jwk, read_jwks, thumbprint
from counterseal.jose.refusal import TokenRefused
from tests.support.tokens import ABSENT, ASYMMETRIC, access_claims, encode, jwk, jwks, number, private_key, token

GOOD = jwk(private_key("ES256"), kid="good", alg="ES256", use="sig")


def read(*entries: Any) -> KeySet:
    return read_jwks(json.dumps({"keys": list(entries)}).encode(), LIMITS)


def unverified(alg: str = "ES256", kid: Any = "ES256") -> strict.Unverified:
    return strict.read(token(access_claims(), header={"alg": alg, "kid": kid}), LIMITS)


def dropped(entry: Any) -> tuple[str, bool]:
    """The reason and the alarm of an entry that is dropped while the good one beside it stays."""
    keys = read(entry, GOOD)
    assert [key.kid for key in keys.keys] == ["good"]
    (note,) = keys.notes
    assert note.index == 0
    return note.reason, note.alarm


# ---- whole documents ----


def test_every_algorithm_has_keys_that_are_read() -> None:
    keys = read_jwks(json.dumps(jwks(*ASYMMETRIC)).encode(), LIMITS)
    assert [key.kid for key in keys.keys] == list(ASYMMETRIC)
    assert keys.notes == ()


def test_a_parsed_document_reads_like_its_bytes() -> None:
    assert read_jwks(jwks("ES256", "RS256"), LIMITS) == read_jwks(json.dumps(jwks("ES256", "RS256")).encode(), LIMITS)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"<html>",
        b'{"keys":{}}',
        b'{"keys":null}',
        b'{"keys":[],"keys":[]}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_key_set_is_refused_as_a_whole(document: bytes) -> None:
    """K-07."""
    assert read_jwks(b'{"keys":[]}', LIMITS).keys == ()
    with pytest.raises(NotAKeySet):
        read_jwks(document, LIMITS)


def test_a_hundred_keys_are_the_most() -> None:
    """K-10: n and n + 1."""
    assert len(read(*[{**GOOD, "kid": str(n)} for n in range(100)]).keys) == 100
    with pytest.raises(NotAKeySet):
        read(*[{**GOOD, "kid": str(n)} for n in range(101)])


def test_a_document_ends_at_256_kib() -> None:
    """K-10: n and n + 1."""
    text = json.dumps({"keys": [GOOD]}).encode()
    read_jwks(text + b" " * (LIMITS.jwks_bytes - len(text)), LIMITS)
    with pytest.raises(NotAKeySet):
        read_jwks(text + b" " * (LIMITS.jwks_bytes + 1 - len(text)), LIMITS)


# ---- entries ----


def test_a_bad_entry_never_costs_the_good_ones() -> None:
    """K-11."""
    keys = read("nonsense", GOOD, {}, None, {"kty": "RSA"}, jwk(private_key("RS256"), kid="rsa"))
    assert [key.kid for key in keys.keys] == ["good", "rsa"]
    assert [note.index for note in keys.notes] == [0, 2, 3, 4]
    assert all(note.alarm for note in keys.notes)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "Ed25519"])
@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"])
def test_private_parts_drop_a_key_with_an_alarm(algorithm: str, member: str) -> None:
    """K-12, J-22."""
    assert dropped(jwk(private_key(algorithm), kid="x", **{member: "AQAB"})) == ("private parts are published", True)


def test_a_symmetric_key_is_dropped_with_an_alarm() -> None:
    """K-12, J-02: with it, whoever reads the JWKS could sign."""
    assert dropped({"kty": "oct", "k": "c2VjcmV0", "kid": "x", "alg": "HS256"}) == (
        "a symmetric key is published",
        True,
    )


def test_a_key_for_encryption_is_dropped_quietly() -> None:
    """K-12: Keycloak publishes one beside its signing key."""
    _, alarm = dropped(jwk(private_key("RS256"), kid="x", use="enc", alg="RSA-OAEP"))
    assert not alarm


@pytest.mark.parametrize(
    "purpose",
    [{"use": "tls"}, {"use": None}, {"use": ["sig"]}, {"key_ops": []}, {"key_ops": "verify"}, {"key_ops": ["sign"]}],
)
def test_a_key_for_something_else_is_dropped(purpose: dict[str, Any]) -> None:
    assert len(read(jwk(private_key("ES256"), kid="x", use="sig", key_ops=["verify"])).keys) == 1
    assert dropped(jwk(private_key("ES256"), kid="x", **purpose))[1]


@pytest.mark.parametrize("alg", ["RS256", "ES384", "EdDSA", "none", "HS256", "", None, 1, ["ES256"]])
def test_an_alg_that_is_not_the_keys_drops_it(alg: Any) -> None:
    """J-03, K-12."""
    assert len(read(jwk(private_key("ES256"), kid="x", alg="ES256")).keys) == 1
    dropped(jwk(private_key("ES256"), kid="x", alg=alg))


@pytest.mark.parametrize("kid", [None, 1, "", ["a"], "k" * 513])
def test_a_kid_is_a_short_string_or_absent(kid: Any) -> None:
    assert len(read(jwk(private_key("ES256"), kid="k" * 512)).keys) == 1
    if kid is None:
        assert len(read(jwk(private_key("ES256"))).keys) == 1
    else:
        dropped(jwk(private_key("ES256"), kid=kid))


def point() -> tuple[int, int]:
    public = private_key("ES256").public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    numbers = public.public_numbers()
    return numbers.x, numbers.y


@pytest.mark.parametrize(
    "change",
    [
        lambda x, y: {"x": number(x, 33)},
        lambda x, y: {"y": number(y, 33)},
        lambda x, y: {"x": encode(x.to_bytes(32, "big")[1:])},
        lambda x, y: {"y": encode(y.to_bytes(32, "big")[:-1])},
        lambda x, y: {"x": ""},
        lambda x, y: {"x": ABSENT},
        lambda x, y: {"x": 1},
        lambda x, y: {"x": number(x, 32) + "="},
        lambda x, y: {"x": number(x, 32)[:-1] + "é"},
        lambda x, y: {"y": number(y ^ 1, 32)},
        lambda x, y: {"x": encode(bytes(32)), "y": encode(bytes(32))},
        lambda x, y: {"crv": "secp256k1"},
        lambda x, y: {"crv": "P-192"},
        lambda x, y: {"crv": "P-384"},
        lambda x, y: {"crv": ["P-256"]},
        lambda x, y: {"crv": ABSENT},
        lambda x, y: {"kty": "OKP"},
        lambda x, y: {"kty": "RSA"},
        lambda x, y: {"kty": ABSENT},
        lambda x, y: {"kty": ["EC"]},
    ],
)
def test_a_point_of_another_length_or_curve_is_dropped(change: Any) -> None:
    """J-22: coordinates too short or too long, a point not on the curve, at infinity, on a curve that is not allowed."""
    x, y = point()
    assert len(read(jwk(private_key("ES256"), kid="x")).keys) == 1
    dropped(jwk(private_key("ES256"), kid="x", **change(x, y)))


@pytest.mark.parametrize(
    "numbers",
    [
        {"n": number((1 << 511) + 13)},
        {"n": number((1 << 1023) + 13)},
        {"n": number((1 << 2046) + 13)},
        {"n": number((1 << 2047) + 14)},
        {"n": number((1 << 9000) + 13)},
        {"e": number(1)},
        {"e": number(3)},
        {"e": number(65536)},
        {"e": number(65538)},
        {"e": ""},
        {"n": ""},
        {"e": ABSENT},
        {"n": ABSENT},
        {"e": 65537},
        {"n": "!!"},
    ],
)
def test_a_weak_rsa_key_is_dropped(numbers: dict[str, Any]) -> None:
    """J-22."""
    assert len(read(jwk(private_key("RS256"), kid="x")).keys) == 1
    dropped(jwk(private_key("RS256"), kid="x", **numbers))


@pytest.mark.parametrize(
    "members", [{"x": encode(bytes(31))}, {"x": encode(bytes(33))}, {"crv": "X25519"}, {"crv": "Ed448"}, {"x": ABSENT}]
)
def test_an_edwards_key_of_another_curve_or_length_is_dropped(members: dict[str, Any]) -> None:
    """J-22."""
    assert len(read(jwk(private_key("Ed25519"), kid="x")).keys) == 1
    dropped(jwk(private_key("Ed25519"), kid="x", **members))


def test_a_note_quotes_nothing_but_the_kid() -> None:
    secret = "c2VjcmV0LW1hdGVyaWFs"
    assert secret not in repr(read({"kty": "oct", "k": secret, "kid": "x"}).notes)
    assert secret not in repr(read(jwk(private_key("RS256"), kid="x", d=secret)).notes)


# ---- one kid, two keys ----


def test_one_kid_for_two_keys_names_neither() -> None:
    """J-07."""
    keys = read(jwk(private_key("ES256"), kid="twice"), jwk(private_key("ES256", "other"), kid="twice"), GOOD)
    assert [key.kid for key in keys.keys] == ["good"]
    assert [(note.index, note.alarm) for note in keys.notes] == [(0, True), (1, True)]


def test_the_same_key_listed_twice_is_one_key() -> None:
    """J-07: the accepted twin."""
    keys = read(GOOD, GOOD)
    assert len(keys.keys) == 1
    assert keys.notes == ()


def test_one_kid_for_two_algorithms_of_one_key_names_neither() -> None:
    """J-07, J-03."""
    key = private_key("RS256")
    assert read(jwk(key, kid="x", alg="RS256"), jwk(key, kid="x", alg="PS256")).keys == ()


# ---- finding ----


def test_a_key_is_found_by_exact_kid() -> None:
    assert read_jwks(jwks("ES256", "RS256"), LIMITS).find(unverified()).kid == "ES256"


@pytest.mark.parametrize(
    "kid",
    [
        "",
        "es256",
        "ES256 ",
        " ES256",
        "ES256\x00",
        "ES256\n",
        "../../dev/null",
        "ES256' OR '1'='1",
        "%45S256",
        "\uff25S256",
        "ES\u200b256",
        "ES25",
    ],
)
def test_j_05_a_kid_that_is_not_exactly_there_finds_nothing(kid: str) -> None:
    """J-05."""
    with pytest.raises(TokenRefused) as caught:
        read_jwks(jwks("ES256"), LIMITS).find(unverified(kid=kid))
    assert caught.value.code == "key_unknown"


def test_without_a_kid_exactly_one_key_must_fit() -> None:
    """J-05, J-07."""
    assert read_jwks(jwks("ES256", "RS256", "ES384"), LIMITS).find(unverified(kid=ABSENT)).kid == "ES256"
    for keys in (
        read(jwk(private_key("ES256"), kid="a"), jwk(private_key("ES256", "other"), kid="b")),
        read_jwks(jwks("RS256"), LIMITS),
    ):
        with pytest.raises(TokenRefused) as caught:
            keys.find(unverified(kid=ABSENT))
        assert caught.value.code == "key_unknown"


@pytest.mark.parametrize("key", ASYMMETRIC)
def test_the_algorithm_is_bound_to_the_key(key: str) -> None:
    """J-03: the cross product of keys with an `alg` and the algorithms that tokens name."""
    keys = read_jwks(jwks(key), LIMITS)
    same = {"Ed25519", "EdDSA"} if key in ("Ed25519", "EdDSA") else {key}
    for alg in ASYMMETRIC:
        if alg in same:
            assert keys.find(unverified(alg, key)).kid == key
        else:
            with pytest.raises(TokenRefused) as caught:
                keys.find(unverified(alg, key))
            assert caught.value.code == "algorithm"


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        ("RS256", {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        ("ES256", {"ES256"}),
        ("ES384", {"ES384"}),
        ("Ed25519", {"Ed25519", "EdDSA"}),
    ],
)
def test_a_key_without_alg_is_bound_to_its_kind(key: str, fits: set[str]) -> None:
    """J-03."""
    keys = read(jwk(private_key(key), kid="x"))
    assert keys.keys[0].algorithms == fits
    for alg in set(ASYMMETRIC) - fits:
        with pytest.raises(TokenRefused):
            keys.find(unverified(alg, "x"))


# ---- ours ----


@pytest.mark.parametrize(
    ("algorithm", "members"),
    [
        ("RS256", {"kty", "n", "e", "kid", "use", "alg"}),
        ("ES256", {"kty", "crv", "x", "y", "kid", "use", "alg"}),
        ("Ed25519", {"kty", "crv", "x", "kid", "use", "alg"}),
        ("EdDSA", {"kty", "crv", "x", "kid", "use", "alg"}),
    ],
)
def test_our_own_key_shows_its_public_members_and_nothing_else(algorithm: str, members: set[str]) -> None:
    """K-18."""
    public = private_key(algorithm).public_key()
    shown = public_jwk(public, algorithm)
    assert set(shown) == members
    assert shown == jwk(private_key(algorithm), kid=thumbprint(public), use="sig", alg=algorithm)
    assert read(shown).keys[0].thumbprint == shown["kid"]


def test_our_own_coordinates_keep_their_leading_zeros() -> None:
    """RFC 7518 section 6.2.1.2."""
    for secret in range(1, 2000):
        public = ec.derive_private_key(secret, ec.SECP256R1()).public_key()
        if public.public_numbers().x.bit_length() <= 248:
            assert len(public_jwk(public, "ES256")["x"]) == 43
            return
    raise AssertionError("no such point among the first multiples")


def test_a_weak_or_wrong_key_is_not_shown_as_ours() -> None:
    with pytest.raises(UnfitKey):
        public_jwk(private_key("ES384").public_key(), "ES256")  # type: ignore[arg-type]
    with pytest.raises(UnfitKey):
        public_jwk(rsa.RSAPublicNumbers(65537, (1 << 1023) + 13).public_key(), "RS256")


def test_thumbprints_are_those_of_the_rfcs() -> None:
    """RFC 7638 section 3.1 and RFC 8037 appendix A.3."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
        "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5ha"
        "jrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    edwards = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    rsa_key, edwards_key = read(
        {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"},
        {"kty": "OKP", "crv": "Ed25519", "x": edwards},
    ).keys
    assert rsa_key.thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert edwards_key.thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
