"""The strict reader: what is not one well-formed token never reaches a key."""

from __future__ import annotations

import ast
import base64
import gc
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.core.limits import LIMITS
from counterseal.jose import strict
from counterseal.jose.refusal import TokenRefused
from tests.support.tokens import ABSENT, ISSUER, access_claims, encode, sign, token

SOURCES = Path(__file__).parents[2] / "src" / "counterseal"


def refused(presented: bytes | str) -> str:
    with pytest.raises(TokenRefused) as caught:
        strict.read(presented, LIMITS)
    assert caught.value.code == "malformed"
    return caught.value.detail


def signed(header: str, payload: str) -> str:
    """A token of two segments as they are, properly signed."""
    return f"{header}.{payload}.{encode(sign('ES256', f'{header}.{payload}'.encode()))}"


HEADER = encode(b'{"alg":"ES256","typ":"at+jwt","kid":"ES256"}')
PAYLOAD = encode(json.dumps(access_claims()).encode())


def test_a_sound_token_shows_what_chooses_a_key_and_nothing_else() -> None:
    unverified = strict.read(token(access_claims(sub="secret-subject")), LIMITS)
    assert (unverified.alg, unverified.kid, unverified.typ, unverified.issuer) == ("ES256", "ES256", "at+jwt", ISSUER)
    assert [name for name in dir(unverified) if not name.startswith("_")] == ["UNSHOWN", "alg", "issuer", "kid", "typ"]
    assert "secret-subject" not in repr(unverified)


def test_bytes_and_text_read_alike() -> None:
    text = token(access_claims())
    assert strict.read(text, LIMITS) == strict.read(text.encode(), LIMITS)


def test_an_issuer_that_is_not_text_is_no_issuer() -> None:
    assert strict.read(token(access_claims(iss=[ISSUER])), LIMITS).issuer is None


# ---- size and segments ----


def test_a_token_of_the_limit_passes_and_one_byte_more_does_not() -> None:
    """J-12: n and n + 1."""
    claims = access_claims(pad=[])
    claims["pad"] = ["x" * 4000]
    room = LIMITS.token_bytes - len(token(claims))
    claims["pad"].append("x" * (room * 3 // 4 - 8))
    text = token(claims)
    while len(text) < LIMITS.token_bytes:
        claims["pad"][1] += "x"
        text = token(claims)
    assert len(text) in (LIMITS.token_bytes, LIMITS.token_bytes + 1)
    if len(text) == LIMITS.token_bytes:
        strict.read(text, LIMITS)
    assert "longer" in refused(text + "A" * (LIMITS.token_bytes + 1 - len(text)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: "A" * (8 * 1024 + 1),
        lambda: "A" * (1024 * 1024),
        lambda: b"A" * (64 * 1024 * 1024),
        lambda: "." * 8192,
        lambda: "." * (1024 * 1024),
        lambda: "",
        lambda: ".",
        lambda: "..",
        lambda: f"{HEADER}.{PAYLOAD}",
        lambda: f"{HEADER}.{PAYLOAD}.",
        lambda: f"{HEADER}..AAAA",
        lambda: f".{PAYLOAD}.AAAA",
        lambda: token(access_claims()) + ".",
        lambda: "." + token(access_claims()),
        lambda: f"{HEADER}.{PAYLOAD}.AAAA.AAAA.AAAA",
        lambda: json.dumps({"payload": PAYLOAD, "signatures": []}),
        lambda: json.dumps({"payload": PAYLOAD, "protected": HEADER, "signature": "AAAA"}),
        lambda: json.dumps({"payload": PAYLOAD, "signatures": [{"protected": HEADER, "signature": "AAAA"}] * 2}),
    ],
)
def test_anything_but_three_filled_segments_is_refused_at_once(make: Any) -> None:
    """J-10, J-12, J-26, J-34: huge tokens, thousands of dots, empty segments, JWE, JWS as JSON with and without signatures."""
    presented = make()
    gc.disable()  # what it does for other tests takes longer
    try:
        began = time.process_time()
        refused(presented)
        assert time.process_time() - began < 0.05
    finally:
        gc.enable()


def test_a_nested_token_is_refused() -> None:
    """J-10: a payload that is itself a token, as `cty: JWT` announces it."""
    inner = token(access_claims())
    refused(token(inner.encode(), header={"cty": "JWT"}))


# ---- base64url ----


def segments() -> list[str]:
    return token(access_claims()).split(".")


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: s + "=",
        lambda s: s + "==",
        lambda s: s[:4] + "=" + s[4:],
        lambda s: s[:5] + "+" + s[6:],
        lambda s: s[:5] + "/" + s[6:],
        lambda s: s + "\n",
        lambda s: "\n" + s,
        lambda s: s[:7] + "\r\n" + s[7:],
        lambda s: s[:7] + " " + s[7:],
        lambda s: s + " ",
        lambda s: s[:7] + "\x00" + s[7:],
        lambda s: s[:7] + "?" + s[7:],
        lambda s: s[:7] + "~" + s[7:],
        lambda s: s[:7] + "%" + s[7:],
        lambda s: s[:7] + "\t" + s[8:],
        lambda s: s[:7] + "\u0661" + s[8:],
        lambda s: s[:7] + "\uff21" + s[8:],
        lambda s: s[:7] + "\u2010" + s[8:],
        lambda s: s + "A" * ((1 - len(s)) % 4 or 4),
    ],
)
def test_j_24_base64url_has_one_spelling(position: int, spoil: Any) -> None:
    """J-24: padding, the other alphabet, white space, NUL, unicode digits, a length that no bytes have."""
    parts = segments()
    strict.read(".".join(parts), LIMITS)
    parts[position] = spoil(parts[position])
    refused(".".join(parts))
    if all(part.isascii() for part in parts):
        refused(".".join(parts).encode())
    else:
        refused(".".join(parts).encode("utf-8"))


def test_j_24_stray_bits_behind_the_last_byte_are_refused() -> None:
    """J-24: every other last character that decodes to the same bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for length in (1, 2):
        sound = encode(b'{"a":1}' + b" " * ((length - 7) % 3))
        assert len(sound) % 4 == length + 1
        assert strict.decode_base64url(sound.encode(), "payload")
        for last in set(alphabet) - {sound[-1]}:
            spelled = (sound[:-1] + last).encode()
            try:
                decoded = strict.decode_base64url(spelled, "payload")
            except TokenRefused:
                continue
            assert decoded != strict.decode_base64url(sound.encode(), "payload")


def test_a_header_that_was_read_before_stands_for_no_other() -> None:
    """J-28: read again it is the same; one byte away it is read anew; and what was refused stays refused."""
    for _ in range(2):
        for kid, typ in (("a" * 60, "at+jwt"), ("a" * 59 + "b", "at+jwt"), ("a" * 60, "at+jwu")):
            unverified = strict.read(token(access_claims(), header={"kid": kid, "typ": typ}), LIMITS)
            assert (unverified.kid, unverified.typ) == (kid, typ)
        refused(token(access_claims(), header={"kid": "a" * 60, "crit": ["x"]}))
        refused(token(access_claims(), header={"kid": "a" * (strict.KID_LENGTH + 1)}))


def test_a_header_is_held_to_the_ceilings_of_who_reads_it() -> None:
    """A reader with other ceilings does not find what one with wider ones kept."""
    presented = token(access_claims(), header={"more": "x" * 100})
    strict.read(presented, LIMITS)
    with pytest.raises(TokenRefused, match="a string of more than 90 bytes"):
        strict.read(presented, replace(LIMITS, token_string_bytes=90))
    strict.read(presented, LIMITS)


SPELLED = st.one_of(
    st.binary(max_size=80).map(lambda data: encode(data).encode()),
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", max_size=40).map(str.encode),
    st.text("AQgwEIM-_+/= \n!.\x00", max_size=12).map(str.encode),
    st.binary(max_size=12),
)


@settings(max_examples=2000, deadline=None)
@given(SPELLED)
def test_what_is_decoded_is_spelled_in_the_one_way_in_which_it_is_encoded(segment: bytes) -> None:
    """J-24: by the standard library's decoder, which passes over what it does not know."""
    try:
        loose = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
        canonical = base64.urlsafe_b64encode(loose).rstrip(b"=") == segment
    except ValueError:
        canonical = False
    if canonical:
        assert strict.decode_base64url(segment, "payload") == loose
    else:
        with pytest.raises(TokenRefused):
            strict.decode_base64url(segment, "payload")


# ---- JSON ----


@pytest.mark.parametrize(
    "payload",
    [
        b'{"iss":"a","sub":"alice","sub":"root"}',
        b'{"iss":"a","sub":"alice","\\u0073ub":"root"}',
        b'{"act":{"sub":"a","sub":"b"}}',
        b'{"act":{"sub":"a","act":{"\\u0073ub":"b","sub":"c"}}}',
        b'{"exp":1,"exp":2}',
    ],
)
def test_j_09_a_member_twice_in_the_payload_is_refused(payload: bytes) -> None:
    """J-09: plain, escaped and nested; every common reader keeps the last one silently."""
    strict.read(token(b'{"iss":"a","sub":"alice"}'), LIMITS)
    refused(token(payload))


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"ES256","alg":"none"}',
        b'{"alg":"ES256","\\u0061lg":"none"}',
        b'{"alg":"ES256","kid":"a","kid":"b"}',
        b'{"alg":"ES256","x":{"a":1,"a":2}}',
    ],
)
def test_j_09_a_member_twice_in_the_header_is_refused(header: bytes) -> None:
    """J-09."""
    strict.read(token(access_claims(), header=b'{"alg":"ES256","kid":"a"}'), LIMITS)
    refused(token(access_claims(), header=header))


@pytest.mark.parametrize("payload", [b"[]", b"1", b"null", b'"x"', b"true", b"", b"[{}]"])
def test_j_33_a_payload_that_is_not_an_object_is_refused(payload: bytes) -> None:
    """J-33."""
    refused(token(payload))


@pytest.mark.parametrize("header", [b"[]", b"1", b"null", b'"x"', b"", b"{}"])
def test_a_header_that_is_not_an_object_with_alg_is_refused(header: bytes) -> None:
    refused(token(access_claims(), header=header))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("position", ["header", "payload"])
def test_only_utf8_without_a_mark_is_read(encoding: str, position: str) -> None:
    """J-25."""
    header, payload = '{"alg":"ES256"}', json.dumps(access_claims())
    strict.read(token(payload.encode(), header=header.encode()), LIMITS)
    if position == "header":
        refused(token(payload.encode(), header=header.encode(encoding)))
    else:
        refused(token(payload.encode(encoding), header=header.encode()))


@pytest.mark.parametrize(
    "bad", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\\ud800", b"\x00", b"\n"]
)
def test_text_that_is_not_unicode_is_refused(bad: bytes) -> None:
    """J-25, J-19: invalid and overlong UTF-8, lone surrogates, bare control characters."""
    strict.read(token(b'{"sub":"a\xc3\xa9b"}'), LIMITS)
    refused(token(b'{"sub":"a' + bad + b'b"}'))
    refused(token(access_claims(), header=b'{"alg":"ES256","kid":"a' + bad + b'b"}'))


@pytest.mark.parametrize(
    "number",
    [
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e999",
        b"-1e999",
        b"1e0000999",
        b"9" * 400 + b".0",
        b"01",
        b"+1",
        b"0x1",
        b"1.",
    ],
)
def test_numbers_that_no_double_holds_are_refused(number: bytes) -> None:
    """J-14."""
    strict.read(token(b'{"exp":1e9}'), LIMITS)
    refused(token(b'{"exp":' + number + b"}"))
    refused(token(b'{"act":{"n":[' + number + b"]}}"))


def test_depth_ends_at_sixteen() -> None:
    """J-13: n and n + 1."""
    strict.read(token(b'{"a":' + b"[" * 15 + b"]" * 15 + b"}"), LIMITS)
    refused(token(b'{"a":' + b"[" * 16 + b"]" * 16 + b"}"))
    refused(token(b'{"a":' + b'{"a":' * 16 + b"1" + b"}" * 16 + b"}"))


@pytest.mark.parametrize("depth", [100, 1000, 2800, 5000])
def test_deep_nesting_is_refused_without_falling_over(depth: int) -> None:
    """J-13."""
    refused(token(b'{"a":' + b"[" * depth + b"]" * depth + b"}"))
    refused(token(b"[" * depth))


def test_nesting_that_does_not_fit_a_token_is_refused_by_its_size() -> None:
    """J-13."""
    assert "longer" in refused(f"{HEADER}.{encode(b'[' * 100_000)}.AAAA")


def test_members_end_at_256() -> None:
    """J-13: n and n + 1."""
    strict.read(token(json.dumps({f"a{n}": 1 for n in range(256)}).encode()), LIMITS)
    refused(token(json.dumps({f"a{n}": 1 for n in range(257)}).encode()))


def test_strings_end_at_4_kib() -> None:
    """n and n + 1, as a value, nested and as a name; a character of two bytes counts two."""
    most = LIMITS.token_string_bytes
    strict.read(token({"sub": "a" * most}), LIMITS)
    strict.read(token({"a": 1, "b": ["x", {"c": "a" * most}]}), LIMITS)
    refused(token({"sub": "a" * (most + 1)}))
    refused(token({"a": 1, "b": ["x", {"c": "a" * (most + 1)}]}))
    refused(token({"a" * (most + 1): 1}))
    refused(token(('{"sub":"' + "é" * (most // 2) + 'a"}').encode()))


def test_an_integer_keeps_every_digit_or_is_refused() -> None:
    """J-13: no work that grows with the square of the digits."""
    strict.read(token(b'{"n":' + b"9" * 100 + b"}"), LIMITS)
    began = time.process_time()
    text = token(b'{"n":' + b"9" * 5900 + b"}")
    try:
        strict.read(text, LIMITS)
    except TokenRefused as caught:
        assert caught.code == "malformed"  # noqa: PT017
    assert time.process_time() - began < 0.5


# ---- header ----


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": {"kty": "EC"}},
        {"jwk": None},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/cert"},
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": "exp"},
        {"crit": ["alg"]},
        {"crit": ["b64", "b64"]},
        {"b64": False},
        {"b64": True},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
    ],
)
def test_j_04_j_08_j_11_header_parameters_that_choose_a_key_or_change_the_meaning_are_refused(
    extra: dict[str, Any],
) -> None:
    """J-04, J-08, J-11: by their presence, whatever they hold."""
    strict.read(token(access_claims()), LIMITS)
    assert next(iter(extra)) in refused(token(access_claims(), header=extra)) or len(extra) > 1


@pytest.mark.parametrize(
    "extra", [{"x5c": ["MIIB"]}, {"x5t": "abc"}, {"x5t#S256": "abc"}, {"cty": "x"}, {"unknown": {"a": 1}}]
)
def test_other_header_parameters_are_ignored(extra: dict[str, Any]) -> None:
    """J-04: some identity providers send x5t."""
    strict.read(token(access_claims(), header=extra), LIMITS)


@pytest.mark.parametrize("alg", [ABSENT, None, 1, True, ["ES256"], {"alg": "ES256"}])
def test_alg_is_a_string(alg: Any) -> None:
    refused(token(access_claims(), header={"alg": alg}))


@pytest.mark.parametrize("kid", [None, 1, True, ["a"], {"a": 1}, "k" * 513, "k" * 4000])
def test_j_05_kid_is_a_short_string(kid: Any) -> None:
    """J-05."""
    strict.read(token(access_claims(), header={"kid": "k" * 512}), LIMITS)
    strict.read(token(access_claims(), header={"kid": ABSENT}), LIMITS)
    refused(token(access_claims(), header={"kid": kid}))


@pytest.mark.parametrize("typ", [None, 1, ["at+jwt"], {}])
def test_typ_is_a_string(typ: Any) -> None:
    strict.read(token(access_claims(), header={"typ": ABSENT}), LIMITS)
    refused(token(access_claims(), header={"typ": typ}))


def test_a_refusal_quotes_nothing_of_the_token() -> None:
    secret = "s3cr3t-value"
    for presented in (
        secret,
        token(f'{{"{secret}":1,"{secret}":2}}'.encode()),
        token(access_claims(), header={"kid": [secret]}),
        token(f'{{"a":"{secret}'.encode()),
        f"{HEADER}.{secret}=.AAAA",
    ):
        assert secret not in refused(presented)


# ---- for people ----


def test_display_shows_what_read_refuses_and_is_just_as_strict_about_the_form() -> None:
    header, claims = strict.for_display_only(token(access_claims(), header={"jku": "https://evil.example"}), LIMITS)
    assert header["jku"] == "https://evil.example"
    assert claims["sub"] == "alice"
    with pytest.raises(TokenRefused):
        strict.for_display_only(token(b'{"a":1,"a":2}'), LIMITS)


def test_only_the_command_line_and_the_demo_look_into_a_token_without_verifying() -> None:
    """Invariant 1: no decoding without a check anywhere else, and claims come out in one place."""
    for path in SOURCES.rglob("*.py"):
        where = path.relative_to(SOURCES).as_posix()
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        if where != "jose/strict.py" and not where.startswith(("cli/", "demo")):
            named = {getattr(node, "attr", getattr(node, "id", getattr(node, "name", None))) for node in nodes}
            assert "for_display_only" not in named, where
        if where != "jose/jws.py":
            assert not any(_takes_unverified(node) for node in nodes), where


def _takes_unverified(node: ast.AST) -> bool:
    """Whether this is `unverified._something`."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and isinstance(node.value, ast.Name)
        and node.value.id == "unverified"
    )
