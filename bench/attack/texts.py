"""Tokens whose header or claims are no JSON that every reader understands alike, or more than a call needs; signed rightly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from bench.attack.forge import Forge, Make, member
from bench.jose import text

_INVALID_UTF8: Final = (
    *(b"\xff", b"\xfe", b"\x80", b"\xc0\x80", b"\xc1\xa1", b"\xe0\x80\xaf", b"\xe2\x28\xa1", b"\xed\xa0\x80"),
    *(b"\xf0\x80\x80\xaf", b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xe9", b"\xc3"),
)
_WIDE: Final = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
_ENCODINGS: Final = (*_WIDE, "utf-8-sig", "utf-7", "cp037")
_TRAILERS: Final = (
    *(b"x", b"\0", b",", b"}", b"{}", b"[]", b"//", b"/**/", b"null", b'"', b"\xef\xbb\xbf", b"\n#", b"\x1a", b";"),
)
_NOT_AN_OBJECT: Final = (
    *(b"[]", b"[{}]", b'["iss","aud"]', b"0", b"1", b"-1.5", b'"text"', b'""', b"null", b"true", b"", b" ", b"{}"),
    *(b"[[]]", b'{"iss":null}', b"{}{}", b"NaN", b"'a'"),
)


def doubled(forge: Forge) -> bytes:
    """A member twice, at any depth, alike or not, spelled alike or with an escape."""
    claims = forge.claims()
    if forge.rng.random() < 0.4:
        inner = forge.rng.choice(
            ('{"sub":"a","sub":"b"}', '{"a":{"b":1,"b":1}}', '[{"a":1,"a":2}]', '{"a":1,"\\u0061":1}', '{"":1,"":2}')
        )
        return forge.with_claim_text(forge.rng.choice(("act", "x", "realm_access", "address")), inner)
    name = forge.rng.choice(list(claims))
    value = text(forge.rng.choice((claims[name], "mallory", None, 0, forge.own, [forge.audience]))).decode()
    if forge.rng.random() < 0.5:
        at = forge.rng.randrange(len(name))
        name = f"{name[:at]}\\u{ord(name[at]):04x}{name[at + 1 :]}"
    whole = member(claims, name, value)
    if forge.rng.random() < 0.5:  # the copy first
        whole = b'{"' + name.encode() + b'":' + value.encode() + b"," + text(claims)[1:]
    return forge.token(whole)


def deep_wide_or_long(forge: Forge) -> bytes:
    """Over a ceiling of the reader: 16 levels, 256 members, texts of 4 KiB."""
    pick = forge.rng.randrange(5)
    if pick == 0:
        depth = forge.rng.choice((16, 17, 20, 50, 100, 500, 1500))
        opening, closing = forge.rng.choice((("[", "]"), ('{"a":', "}")))
        inner = opening * depth + ("1" if opening != "[" else "") + closing * depth
        return forge.with_claim_text("x", inner)
    if pick == 1:
        return forge.with_claim_text("x", "[" * forge.rng.choice((16, 100, 1000, 4000)))
    if pick == 2:
        return forge.with_claims(x=[1] * forge.rng.randint(257, 1500))
    if pick == 3:
        return forge.with_claims(x={f"{n:x}": 1 for n in range(forge.rng.randint(257, 600))})
    return forge.with_claims(x="x" * forge.rng.randint(4097, 5000))


def other_encodings(forge: Forge) -> bytes:
    """Header or claims in another encoding than UTF-8, or with bytes that are none."""
    held = forge.held()
    parts = [text(held.header()), text(forge.claims())]
    which = forge.rng.randrange(2)
    if forge.rng.random() < 0.5:
        encoded = parts[which].decode().encode(forge.rng.choice(_ENCODINGS))
        # UTF-7 of plain ASCII is the same text but for the braces
        parts[which] = encoded if encoded != parts[which] else b"\xef\xbb\xbf" + encoded
    else:
        odd = b',"x":"' + forge.rng.choice(_INVALID_UTF8) + b'"}'
        parts[which] = parts[which][:-1] + odd
    return forge.token(parts[1], parts[0], held)


def no_json(forge: Forge) -> bytes:
    """Nearly JSON, in header or claims."""
    held = forge.held()
    parts = [text(held.header()), text(forge.claims())]
    which = forge.rng.randrange(2)
    good = parts[which]
    spoiled: tuple[Callable[[], bytes], ...] = (
        lambda: good + forge.rng.choice(_TRAILERS),
        lambda: forge.rng.choice(_TRAILERS) + good,
        lambda: good[:-1] + b",}",
        lambda: (
            good[:-1]
            + b',"x":'
            + forge.rng.choice((b"NaN", b"-Infinity", b"1e999", b"undefined", b"01", b"'a'", b"\x01"))
            + b"}"
        ),
        lambda: good[:-1] + b',"x":"' + forge.rng.choice((b"\n", b"\0", b"\t", b"\\x", b"\\u12", b"\\", b'"')) + b'"}',
        lambda: good.replace(b'"', b"'"),
        lambda: good.replace(b":", b"=", 1),
        lambda: b"{alg:1," + good[1:],
        lambda: good[: forge.rng.randrange(len(good))],
        lambda: good * 2,
        lambda: b"/* */" + good,
    )
    parts[which] = forge.rng.choice(spoiled)()
    return forge.token(parts[1], parts[0], held)


def no_object(forge: Forge) -> bytes:
    held, other = forge.held(), forge.rng.choice(_NOT_AN_OBJECT)
    if forge.rng.random() < 0.5:
        return forge.token(other, None, held)
    return forge.token(None, other, held)


FAMILIES: Final[Mapping[str, Make]] = {
    "J-09 a claim twice": doubled,
    "J-13 too deep, wide or long": deep_wide_or_long,
    "J-25 other encodings than UTF-8": other_encodings,
    "J-25 nearly JSON": no_json,
    "J-33 no object": no_object,
}
