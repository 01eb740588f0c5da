"""What an API key looks like."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.identity.key_form import RANDOM_BYTES, SCANNED, find_keys, id_in, is_checked, make_key
from tests.identity.keys import ID, KEY, with_check
from tests.support.process import ROOT

RANDOM = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


@given(RANDOM)
def test_a_key_names_its_id_and_is_of_one_form(random: bytes) -> None:
    id, key = make_key(random)
    assert re.fullmatch(r"csk_[a-z0-9]{12}_[0-9A-Za-z]{49}", key)
    assert key.split("_")[1] == id == id_in(key.encode())
    assert with_check(key[:-6]) == key.encode()
    assert is_checked(key.encode())


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_05_every_bit_of_256_is_in_the_secret(one: bytes, other: bytes) -> None:
    assert (make_key(bytes(16) + one) == make_key(bytes(16) + other)) == (one == other)


def test_the_largest_secret_fits() -> None:
    assert make_key(b"\xff" * RANDOM_BYTES)[1] != make_key(b"\xff" * (RANDOM_BYTES - 1) + b"\xfe")[1]


@pytest.mark.parametrize("size", [0, RANDOM_BYTES - 1, RANDOM_BYTES + 1])
@pytest.mark.parametrize("id", [None, ID])
def test_a_key_is_not_made_of_fewer_or_more_random_bytes(size: int, id: str | None) -> None:
    with pytest.raises(ValueError):
        make_key(bytes(size), id)


def test_the_id_says_nothing_about_the_secret() -> None:
    assert make_key(bytes(48))[0] == make_key(bytes(16) + b"\xff" * 32)[0]


@given(RANDOM)
def test_a_new_secret_for_an_id_is_a_key_of_that_id(random: bytes) -> None:
    id, key = make_key(random, ID)
    assert (id, id_in(key.encode())) == (ID, ID)
    assert key[17:-6] == make_key(random)[1][17:-6]
    assert is_checked(key.encode())


def test_every_typo_of_one_character_breaks_the_check() -> None:
    assert is_checked(KEY.encode())
    for at in range(4, len(KEY)):
        for typo in {"a", "Z", "0"} - {KEY[at]}:
            assert not is_checked((KEY[:at] + typo + KEY[at + 1 :]).encode())


@pytest.mark.parametrize("other", ["", "csk_", KEY[:-1], KEY + "x", KEY + "\n", " " + KEY, KEY.upper(), "\u0663" * 66])
def test_what_has_not_the_shape_has_no_id(other: str) -> None:
    assert id_in(KEY.encode()) == ID
    assert id_in(other.encode()) is None


@pytest.mark.parametrize(
    "text",
    ["{}", '{{"key":"{}"}}', "Authorization: Bearer {}\r\n", "X-API-Key:{}", "\\n{}\\n", "https://x.example/?k={}&a=b"],
)
def test_a_scanner_finds_a_key_wherever_it_leaked_to(text: str) -> None:
    leaked = text.format(KEY)
    assert find_keys(leaked.encode()) == (KEY.encode(),)
    assert find_keys(leaked.replace(KEY, KEY[:-1]).encode()) == ()


def test_a_key_that_is_there_twice_is_found_once_and_each_key_in_its_turn() -> None:
    other = make_key(bytes(RANDOM_BYTES))[1]
    assert find_keys(f"{other} {KEY} {other}".encode()) == (other.encode(), KEY.encode())


def test_the_page_tells_scanners_the_same_expression() -> None:
    assert f"`{SCANNED.pattern.decode()}`" in (ROOT / "docs" / "operating.md").read_text()
