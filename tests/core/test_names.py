"""Names that nobody but the gateway gives: reserved claims, what looks like one, and subjects that are no persons."""

from __future__ import annotations

import pytest

from counterseal.core.names import RESERVED, is_claim_name, is_plain, is_reserved, is_seen, reserved_in


def test_the_reserved_claims_are_those_of_the_contract() -> None:
    named = "iss sub aud exp nbf iat jti act scope client_id azp cnf txn authorization_details"
    assert set(named.split()) == RESERVED


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_i_04_what_looks_like_a_reserved_claim_is_one(name: str) -> None:
    wide = "".join(chr(ord(char) + 0xFEE0) if char.isalpha() else char for char in name)
    for variant in (
        name,
        name.upper(),
        name.title(),
        f" {name}",
        f"{name}\n",
        f"{name}.x",
        f"{name.upper()}.x.y",
        wide,
    ):
        assert reserved_in(variant) == name
    for other in (f"{name}s", f"x{name}", f"x.{name}", f"{name}_x", name[:-1]):
        assert reserved_in(other) in (None, *(RESERVED - {name}))


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("tenant", True),
        ("https://example.com/tenant", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        ("a b", False),
        ("tenant\n", False),
        ("größe", False),
        ("{claim.x}", False),
    ],
)
def test_i_04_a_claim_has_a_plain_name(name: str, good: bool) -> None:
    assert is_claim_name(name) is good


@pytest.mark.parametrize(
    ("name", "ours"), [("anonymous", True), ("apikey:k1", True), ("Anonymous", False), ("a", False)]
)
def test_j_19_the_gateways_own_names_have_a_form(name: str, ours: bool) -> None:
    assert is_reserved(name) is ours


@pytest.mark.parametrize("char", ["\n", "\r", "\0", "\x7f", "\u202e", "\u2066", "\u200b", "\u2028", "\ud800"])
def test_i_05_what_nobody_sees_is_no_part_of_a_name(char: str) -> None:
    assert not is_plain(f"a{char}b")
    assert not is_seen(f"a{char}b")
    assert is_plain("a\u00a0b é 漢")


def test_a_name_is_1_to_255_characters() -> None:
    assert [is_seen("x" * length) for length in (0, 1, 255, 256)] == [False, True, True, False]
    assert is_plain("x" * 256)
