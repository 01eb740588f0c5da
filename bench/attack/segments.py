"""Tokens whose form, spelling or signature is the trick; header and claims are good ones."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from bench.attack.forge import Forge, Make
from bench.jose import segment, signing_input, text

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_DOT: Final = ord(".")
P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ED25519_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_STRANGERS: Final = (
    *(b"=", b"==", b"+", b"/", b" ", b"\n", b"\r\n", b"\t", b"\0", b"~", b"%3D", b"\xc2\xa0", b",", b"\xd9\xa1"),
    *(b"?", b";"),
)
_SCHEMES: Final = (
    *((b"", b""), (b"Bearer", b""), (b"Bearer  ", b""), (b"Bearer\t", b""), (b" Bearer ", b""), (b"Bearer ", b" ")),
    *((b"Bearer ", b"\t"), (b"Basic ", b""), (b"DPoP ", b""), (b"Token ", b""), (b"JWT ", b""), (b"MAC ", b"")),
    *((b"Bearer: ", b""), (b"Bearer=", b""), (b"Bearer Bearer ", b""), (b"Bearer ", b", Bearer x")),
    *((b"Bearer x, Bearer ", b""), (b'Bearer "', b'"'), (b"Bearer ", b" x"), (b"Bearer token=", b"")),
    *((b"Bearer ", b";x=y"), (b"Be\xc3\xa4rer ", b""), (b"Bearer\xc2\xa0", b""), (b"Bearer ", b"\0"), (b"\0", b"")),
)
_CEILING: Final = 8 * 1024


def flipped(forge: Forge) -> bytes:
    """One bit of a good token. Every one of them is tried in tests/identity/test_idp_jwt_flips.py."""
    good = forge.rng.choice(forge.pool)
    at = forge.rng.randrange(len(good))
    return good[:at] + bytes([good[at] ^ 1 << forge.rng.randrange(8)]) + good[at + 1 :]


def cut(forge: Forge) -> bytes:
    """At any place, from either end."""
    good = forge.rng.choice(forge.pool)
    at = forge.rng.randrange(1, len(good))
    return good[:at] if forge.rng.random() < 0.8 else good[at:]


def spelled_otherwise(forge: Forge) -> bytes:
    """The same bytes in another base64, or with something between."""
    good = forge.rng.choice(forge.pool)
    pick = forge.rng.randrange(5)
    if pick == 0:
        return _stray_bits(forge, good)
    if pick == 4:
        return good + b"=" * (-len(good[good.rindex(b".") + 1 :]) % 4 or 4)
    if pick == 1:
        other = good.translate(bytes.maketrans(b"-_", b"+/"))
        return other if other != good else good + b"="
    if pick == 2:
        return b".".join(part + b"=" * (-len(part) % 4 or 4) for part in good.split(b"."))
    at = forge.rng.choice((0, len(good), good.index(b"."), good.rindex(b"."), forge.rng.randrange(len(good))))
    return good[:at] + forge.rng.choice(_STRANGERS) + good[at:]


def _stray_bits(forge: Forge, good: bytes) -> bytes:
    """Another last character of a segment that decodes to the same bytes."""
    parts = good.split(b".")
    spare = [number for number, part in enumerate(parts) if len(part) % 4]
    if not spare:
        return good + b"="
    number = forge.rng.choice(spare)
    free = 2 if len(parts[number]) % 4 == 3 else 4
    last = _ALPHABET.index(parts[number][-1])
    stray = last ^ forge.rng.randrange(1, 1 << free)
    parts[number] = parts[number][:-1] + _ALPHABET[stray : stray + 1]
    return b".".join(parts)


def of_other_parts(forge: Forge) -> bytes:
    """Segments of good tokens, mixed so that no good one comes out."""
    first, second = forge.rng.sample(forge.pool, 2)
    one, two = first.split(b"."), second.split(b".")
    mixed = forge.rng.choice(
        (
            (one[0], two[1], one[2]),
            (one[0], one[1], two[2]),
            (one[0], two[1], two[2] + one[2]),
            (one[1], one[0], one[2]),
            (one[2], one[1], one[0]),
            (one[0], one[0], one[2]),
            (one[0], one[1], b""),
            (one[0], b"", one[2]),
            (b"", one[1], one[2]),
            (one[0], one[1]),
            (one[0], one[1], one[2], b""),
            (one[0], one[1], one[2], two[2]),
            (b"", *one),
            (*one, *two),
            (*one[:2], forge.random_segment(1, 512)),
            (one[0], forge.random_segment(1, 512), one[2]),
        )
    )
    return b".".join(mixed)


def begins_like_a_known_one(forge: Forge) -> bytes:
    """What the gateway has accepted and remembers, as far as some place, and behind it other letters or another token's."""
    known = forge.rng.choice(forge.pool)
    at = forge.rng.choice((16, 20, 32, 64, 128, known.rindex(b".") + 1, len(known) - 1))
    if forge.rng.random() < 0.3:
        return known[:at] + forge.rng.choice(forge.pool)[at:]
    tail = bytes(one if one == _DOT else forge.rng.choice(_ALPHABET) for one in known[at:])
    return known[:at] + tail


def wrong_signature(forge: Forge) -> bytes:
    """What libraries have taken for one: zeros, DER, other lengths, numbers past the end of their range."""
    held = forge.held()
    data = signing_input(held.header(), forge.claims())
    right = held.sign(data)
    zeros, ones = bytes(len(right)), b"\xff" * len(right)
    wrong = [
        *(b"\0", zeros, ones, right[:-1], right[1:], right + b"\0", b"\0" + right, right * 2, right[::-1]),
        *(zeros[: len(right) // 2] + right[len(right) // 2 :], right[: len(right) // 2] + zeros[: len(right) // 2]),
        *(forge.rng.randbytes(len(right)), held.sign(data[:-1]), held.sign(data + b".")),
        held.sign(data.split(b".")[1]),
    ]
    if held.algorithm == "ES256":
        wrong += _past_the_order(int.from_bytes(right[:32], "big"), int.from_bytes(right[32:], "big"))
    elif held.algorithm == "EdDSA":
        scalar = int.from_bytes(right[32:], "little") + _ED25519_ORDER
        wrong += [right[:32] + scalar.to_bytes(32, "little"), right[32:] + right[:32]]
    return data + b"." + segment(forge.rng.choice(wrong))


def _past_the_order(r: int, s: int) -> list[bytes]:
    """`s` taken from the order is left out: that is a signature too."""
    n = P256_ORDER
    pairs = [
        (0, 0),
        (0, s),
        (r, 0),
        (n, s),
        (r, n),
        (n, n),
        (1, 1),
        (s, r),
        (n - 1, n - 1),
        (n - r, s),
        (r, 2**256 - 1),
    ]
    raw = [first.to_bytes(32, "big") + second.to_bytes(32, "big") for first, second in pairs]
    longer = r.to_bytes(33, "big") + s.to_bytes(33, "big")
    return [*raw, longer, encode_dss_signature(r, s), encode_dss_signature(0, 0), encode_dss_signature(r, n - s)]


def anothers_key(forge: Forge) -> bytes:
    """The attacker's, the partner's of the same id, or ours of another id; or ours for a token of the partner's."""
    held = forge.held()
    others = [key for key in forge.keys if key.algorithm == held.algorithm and key.kid != held.kid]
    partners = next(key for key in forge.partners_keys if key.kid == held.kid)
    if forge.rng.random() < 0.25:
        return forge.signed(forge.claims(iss=forge.partner), None, held)
    signer = forge.rng.choice((forge.attackers(held), partners, *others))
    return forge.signed(None, held.header(), signer)


def no_compact_jws(forge: Forge) -> bytes:
    """Encrypted, nested, in JSON, with other numbers of parts."""
    good = forge.token()
    header, payload, signature = good.split(b".")
    flat: dict[str, Any] = {"payload": payload.decode(), "protected": header.decode(), "signature": signature.decode()}
    encrypted = segment(text({"alg": forge.rng.choice(("dir", "RSA-OAEP", "A128KW")), "enc": "A128GCM", "zip": "DEF"}))
    plain = segment(text({"alg": "none"}))
    many = forge.rng.randrange(2, 200)
    return forge.rng.choice(
        (
            b".".join((encrypted, forge.random_segment(1, 256), forge.random_segment(12, 12), payload, signature)),
            b".".join((encrypted, b"", forge.random_segment(12, 12), segment(good), forge.random_segment(16, 16))),
            b".".join((encrypted, b"", b"", plain + b"." + payload + b".", b"")),
            text(flat),
            segment(text(flat)),
            text({"payload": payload.decode(), "signatures": []}),
            text({"payload": payload.decode(), "signatures": [{**flat}] * 2}),
            json.dumps([good.decode()]).encode(),
            forge.token(good, {**forge.keys[0].header(), "cty": "JWT"}, forge.keys[0]),
            segment(good),
            base64.b64encode(good),
            payload,
            header + b"." + payload,
            b"." * many,
            b"a." * many,
            b".".join([header] * many),
        )
    )


def too_long(forge: Forge) -> bytes:
    """Over 8 KiB, by a byte or a mebibyte; the shorter ones are good but for that."""
    pick = forge.rng.random()
    if pick < 0.6:
        pad = "p" * 2500
        return forge.with_claims(p=[pad, pad, "p" * forge.rng.randint(900, 2000)])
    long = 2**20 if pick > 0.998 else forge.rng.randint(_CEILING + 1, 4 * _CEILING)
    good = forge.rng.choice(forge.pool)
    return forge.rng.choice(
        (
            lambda: good + b"A" * (long - len(good) + 1),
            lambda: b"." * long,
            lambda: b"A" * long,
            lambda: (b"e30." * long)[:long],
            lambda: b".".join((good, *[b"A"] * (long // 2))),
        )
    )()


def random_text(forge: Forge) -> bytes:
    pick = forge.rng.randrange(5)
    if pick == 0:
        return forge.random_bytes(0, 200)
    if pick == 1:
        return b".".join(forge.random_segment(0, 200) for _ in range(3))
    if pick == 2:
        return b".".join(
            (forge.rng.choice(forge.pool).split(b".")[0], forge.random_segment(0, 400), forge.random_segment(64, 64))
        )
    if pick == 3:
        return bytes(forge.rng.choice(_ALPHABET + b"...=") for _ in range(forge.rng.randint(1, 200)))
    return forge.rng.choice(
        (
            b"",
            b" ",
            b"null",
            b"undefined",
            b"Bearer",
            b"eyJ",
            b"e30.e30.",
            b"e30.e30.e30",
            b"..",
            b"...",
            b".a.a",
            b"csk_.",
        )
    )


def another_scheme(forge: Forge) -> bytes:
    """A whole value of `Authorization`: a good token, not behind `Bearer` and one space."""
    good = forge.rng.choice(forge.pool)
    head, tail = forge.rng.choice(_SCHEMES)
    return head + good + tail


FAMILIES: Final[Mapping[str, Make]] = {
    "J-06 a key that is not that issuer's": anothers_key,
    "J-10 J-34 no compact JWS of three parts": no_compact_jws,
    "J-12 over the ceiling": too_long,
    "J-23 a signature that is none": wrong_signature,
    "J-24 base64 spelled otherwise": spelled_otherwise,
    "J-26 one bit flipped": flipped,
    "J-26 cut short": cut,
    "J-26 parts of several": of_other_parts,
    "J-28 begins like a known one": begins_like_a_known_one,
    "A-11 random text": random_text,
}

WHOLE: Final[Mapping[str, Make]] = {"J-27 another scheme, or more than a token": another_scheme}
"""These make the whole value of `Authorization`."""
