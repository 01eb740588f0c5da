"""The test vectors about the form of a token, its key and its signature."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from tests.support.tokens import ABSENT, encode, jwk
from tests.verify import vector_keys as keys
from tests.verify.vector_making import Vector, claims, header, jwks, refused, signed, text

GOOD: Final = signed()
HEAD, PAYLOAD, MARK = GOOD.split(".")


def about_the_form() -> Iterator[Vector]:
    yield from refused("malformed", {**segments(), **spelling(), **json_texts(), **parameters()})


def segments() -> dict[str, tuple[str, Any]]:
    return {
        "empty": ("Nothing.", ""),
        "api-key": ("No JWT at all.", "csk_k3m9x0a7q2fz"),
        "two-segments": ("Without a signature and its dot.", f"{HEAD}.{PAYLOAD}"),
        "four-segments": ("One dot more.", f"{GOOD}."),
        "five-segments": ("A JWE.", f"{HEAD}.{PAYLOAD}.{MARK}.{MARK}.{MARK}"),
        "no-signature": ("An empty signature.", f"{HEAD}.{PAYLOAD}."),
        "no-payload": ("An empty payload.", f"{HEAD}..{MARK}"),
        "json": (
            "The JSON serialization (RFC 7515 section 7.2).",
            json.dumps({"payload": PAYLOAD, "protected": HEAD, "signature": MARK}),
        ),
        "long": ("More than 8,192 bytes.", signed(claims(more=["x" * 1000] * 7))),
    }


def spelling() -> dict[str, tuple[str, Any]]:
    sound = encode(b'{"a":1}')
    return {
        "padded": ("base64 with padding.", f"{HEAD}.{encode(text(claims()) + b' ' * padding_for())}=.{MARK}"),
        "plain-alphabet": ("The alphabet of plain base64.", f"{HEAD}.{PAYLOAD}.{MARK[:-4]}+/+/"),
        "white-space": ("A blank in it.", f"{HEAD}. {PAYLOAD}.{MARK}"),
        "newline": ("A line break at the end.", f"{GOOD}\n"),
        "stray-bits": ("Bits beyond the last byte.", f"{HEAD}.{sound[:-1]}{chr(ord(sound[-1]) + 1)}.{MARK}"),
        "not-ascii": ("A letter that is not ASCII.", f"{HEAD}.{PAYLOAD}.\u00e9{MARK[1:]}"),
    }


def padding_for() -> int:
    """So many blanks that the payload would need padding."""
    return next(count for count in range(3) if (len(text(claims())) + count) % 3 == 2)


def json_texts() -> dict[str, tuple[str, Any]]:
    usual = text(claims())
    twice = usual[:-1] + b',"sub":"mallory"}'
    escaped = usual[:-1] + b',"\\u0073ub":"mallory"}'
    nested = text(claims(act={"sub": "X"})).replace(b'{"sub":"X"}', b'{"sub":"a","sub":"b"}')
    deep = text(claims(more="X")).replace(b'"X"', b"[" * 20 + b"]" * 20)
    wide = text(claims(more=[0] * 300))
    return {
        "header-text": ("A header that is no JSON.", signed(head=b"ES256")),
        "header-list": ("A header that is a list.", signed(head=b'["ES256"]')),
        "header-twice": ("A member twice in the header.", signed(head=b'{"alg":"none","alg":"ES256","kid":"ES256"}')),
        "payload-text": ("A payload that is no JSON.", signed(b"alice")),
        "payload-list": ("A payload that is a list.", signed(b"[" + usual + b"]")),
        "payload-number": ("A payload that is a number.", signed(b"1")),
        "twice": ("A claim twice: some readers keep the first, some the last.", signed(twice)),
        "twice-escaped": ("A claim twice, once escaped.", signed(escaped)),
        "twice-nested": ("A member twice within a claim.", signed(nested)),
        "bom": ("A byte order mark.", signed(b"\xef\xbb\xbf" + usual)),
        "utf-16": ("UTF-16.", signed(usual.decode().encode("utf-16"))),
        "surrogate": ("Half of a character.", signed(usual[:-1] + b',"more":"\\ud800"}')),
        "surrogate-name": ("Half of a character in a name.", signed(usual[:-1] + b',"\\udfff":1}')),
        "invalid-utf-8": ("A byte that is no UTF-8.", signed(usual[:-1] + b',"more":"\xff"}')),
        "nan": ("NaN.", signed(usual[:-1] + b',"more":NaN}')),
        "infinite": ("A number that no double can hold.", signed(usual[:-1] + b',"more":1e999}')),
        "more-text": ("Text behind the end.", signed(usual + b"{}")),
        "comment": ("A comment.", signed(usual[:-1] + b"/**/}")),
        "trailing-comma": ("A comma with nothing behind it.", signed(usual[:-1] + b",}")),
        "leading-zero": ("A number that begins with a zero.", signed(usual[:-1] + b',"more":01}')),
        "control": ("A line break in a string, not escaped.", signed(usual[:-1] + b',"more":"\n"}')),
        "single-quotes": ("Single quotes.", signed(usual[:-1] + b",'more':1}")),
        "deep": ("Nested more than 16 deep.", signed(deep)),
        "wide": ("More than 256 members.", signed(wide)),
    }


def parameters() -> dict[str, tuple[str, Any]]:
    own = jwk(keys.key("ES256", "attacker"))
    theirs = keys.key("ES256", "attacker")
    return {
        "alg-missing": ("No `alg`.", signed(head=header(alg=ABSENT))),
        "alg-number": ("`alg` is a number.", signed(head=header(alg=256))),
        "kid-number": ("`kid` is a number.", signed(head=header(kid=1))),
        "kid-long": ("A `kid` of 513 characters.", signed(head=header(kid="x" * 513))),
        "typ-list": ("`typ` is a list.", signed(head=header(typ=["at+jwt"]))),
        "crit": ("`crit`, which no call needs.", signed(head=header(crit=["exp"]))),
        "b64": ("`b64` (RFC 7797).", signed(head=header(b64=True))),
        "zip": ("`zip`.", signed(head=header(zip="DEF"))),
        "enc": ("`enc`.", signed(head=header(enc="A128GCM"))),
        "jwk": ("A key in the header, and its signature.", signed(head=header(jwk=own), key=theirs)),
        "jku": ("The address of keys in the header.", signed(head=header(jku="https://evil.example/jwks"), key=theirs)),
        "x5u": ("The address of a certificate.", signed(head=header(x5u="https://evil.example/cert"))),
    }


def about_the_key() -> Iterator[Vector]:
    es, rs = keys.public("ES256"), keys.public("RS256")
    yield from refused(
        "algorithm",
        {
            "none": ("`none`, with some signature.", f"{encode(text(header(alg='none')))}.{PAYLOAD}.{MARK}"),
            "none-case": ("`nOnE`.", f"{encode(text(header(alg='nOnE')))}.{PAYLOAD}.{MARK}"),
            "hs256-pem": (
                "HS256 with the public key, as PEM, for a secret.",
                {"token": mac("ES256"), "keys": jwks(es)},
            ),
            "hs256-rsa": ("The same with an RSA key.", {"token": mac("RS256"), "keys": jwks(rs)}),
            "another-of-the-key": (
                "PS256 with a key whose `alg` is RS256.",
                {"token": signed(head=header("PS256", kid="RS256"), algorithm="PS256"), "keys": jwks(rs)},
            ),
            "another-kind": ("RS256 in the header, an elliptic key by its `kid`.", signed(head=header(alg="RS256"))),
            "another-curve": (
                "ES384 with a key for ES256.",
                {"token": signed(head=header("ES384", kid="ES256"), algorithm="ES384"), "keys": jwks(es)},
            ),
            "unknown": ("One that nobody knows.", signed(head=header(alg="ES257"))),
            "lower-case": ("`es256`.", signed(head=header(alg="es256"))),
            "secp256k1": ("ES256K.", signed(head=header(alg="ES256K"))),
        },
    )
    yield from refused(
        "key_unknown",
        {
            "kid": ("A `kid` that is not in the set.", signed(head=header(kid="next"))),
            "kid-case": ("Its `kid` in lower case.", signed(head=header(kid="es256"))),
            "kid-path": ("A path for a `kid`.", signed(head=header(kid="../../dev/null"))),
            "no-kid": (
                "No `kid`, and two keys fit.",
                {
                    "token": signed(head=header(kid=ABSENT)),
                    "keys": jwks(es, keys.public("ES256", "other", kid="other")),
                },
            ),
            "no-kid-none": (
                "No `kid`, and no key fits.",
                {"token": signed(head=header(kid=ABSENT)), "keys": jwks(rs)},
            ),
            "kid-twice": (
                "Two keys with one `kid`: neither is named by it.",
                {"token": signed(), "keys": jwks(es, keys.public("ES256", "other"), rs)},
            ),
            "encryption": ("The key is for encryption.", {"token": signed(), "keys": jwks({**es, "use": "enc"}, rs)}),
            "private": ("Its private part is published.", {"token": signed(), "keys": jwks({**es, "d": "AAAA"}, rs)}),
            "weak": ("An RSA key of 1024 bits.", weak()),
            "another-kind": (
                "An elliptic key whose `alg` is RS256.",
                {"token": signed(), "keys": jwks({**es, "alg": "RS256"}, keys.public("RS256", kid="rsa"))},
            ),
            "off-curve": (
                "A point that is not on its curve.",
                {"token": signed(), "keys": jwks({**es, "y": es["x"]}, rs)},
            ),
        },
    )


def mac(algorithm: str) -> str:
    public = keys.key(algorithm).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    data = f"{encode(text(header(algorithm, alg='HS256')))}.{PAYLOAD}"
    return f"{data}.{encode(hmac.new(pem, data.encode(), hashlib.sha256).digest())}"


def weak() -> dict[str, Any]:
    private = keys.key("RS256", "weak", bits=1024)
    published = jwk(private, kid="RS256", use="sig", alg="RS256")
    return {"token": signed(algorithm="RS256", key=private), "keys": jwks(published, keys.public("ES256"))}


def about_the_signature() -> Iterator[Vector]:
    raw = keys.decoded(MARK)
    r, s = raw[:32], raw[32:]
    order, zero = keys.ORDER.to_bytes(32, "big"), bytes(32)
    changed = encode(text(claims(sub="mallory")))
    elliptic = keys.key("ES256")
    assert isinstance(elliptic, ec.EllipticCurvePrivateKey)
    der = elliptic.sign(f"{HEAD}.{PAYLOAD}".encode(), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    flipped = bytes([raw[0] ^ 1]) + raw[1:]
    rows: dict[str, tuple[str, Any]] = {
        "another-key": ("Another key of the same kind.", signed(key=keys.key("ES256", "other"))),
        "payload": ("Another payload under it.", f"{HEAD}.{changed}.{MARK}"),
        "header": ("Another header over it.", f"{encode(text(header(more=1)))}.{PAYLOAD}.{MARK}"),
        "bit": ("One bit of it.", _with(flipped)),
        "short": ("One byte less.", _with(raw[:-1])),
        "long": ("One byte more.", _with(raw + b"\x00")),
        "der": ("ECDSA in DER.", _with(der)),
        "zero": ("r and s are zero.", _with(zero + zero)),
        "r-zero": ("r is zero.", _with(zero + s)),
        "s-order": ("s is the order of the group.", _with(r + order)),
        "swapped": ("s before r.", _with(s + r)),
        "all-ones": ("Nothing but ones.", _with(b"\xff" * 64)),
        "ed25519-s": ("Ed25519 with S beyond the order (RFC 8032 section 5.1.7).", ed25519_beyond()),
        "pss-salt": ("RSASSA-PSS without a salt (RFC 7518 section 3.5).", pss_without_salt()),
    }
    yield from refused("signature", rows)


def _with(signature: bytes) -> str:
    return f"{HEAD}.{PAYLOAD}.{encode(signature)}"


def ed25519_beyond() -> dict[str, Any]:
    data, _, mark = signed(algorithm="Ed25519").rpartition(".")
    raw = keys.decoded(mark)
    order = 2**252 + 27742317777372353535851937790883648493
    beyond = (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
    return {"token": f"{data}.{encode(raw[:32] + beyond)}", "keys": jwks(keys.public("Ed25519"))}


def pss_without_salt() -> dict[str, Any]:
    private = keys.key("PS256")
    assert isinstance(private, rsa.RSAPrivateKey)
    data = f"{encode(text(header('PS256')))}.{PAYLOAD}"
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 0)
    raw = private.sign(data.encode(), scheme, hashes.SHA256())
    return {"token": f"{data}.{encode(raw)}", "keys": jwks(keys.public("PS256"))}
