"""Pairwise subjects: the same at one server, and nothing to recognise at two."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.core.names import is_seen
from counterseal.core.pairwise import Pairwise

KEY = bytes(range(32))
_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


def test_a_pseudonym_is_the_hmac_that_the_page_says() -> None:
    said = b"https://idp\0alice\0weather"
    digest = base64.urlsafe_b64encode(hmac.new(KEY, said, hashlib.sha256).digest()).rstrip(b"=").decode()
    assert Pairwise(KEY, "weather")("https://idp", "alice") == f"pw:{digest}"
    assert len(digest) == 43


def test_the_key_is_in_no_repr() -> None:
    assert "01" not in repr(Pairwise(KEY, "weather"))


@settings(max_examples=150, deadline=None)
@given(st.tuples(_text, _text, _text), st.tuples(_text, _text, _text))
def test_two_people_two_issuers_or_two_servers_share_no_pseudonym(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    """Parts that run into each other would: `a` and `bc`, `ab` and `c`."""

    def pseudonym(issuer: str, name: str, server: str) -> str:
        return Pairwise(KEY, server)(issuer, name)

    assert (pseudonym(*one) == pseudonym(*other)) is (one == other)
    assert pseudonym(*one) == pseudonym(*one)
    assert re.fullmatch(r"pw:[A-Za-z0-9_-]{43}", pseudonym(*one))
    assert is_seen(pseudonym(*one))
    assert Pairwise(bytes(32), one[2])(*one[:2]) != pseudonym(*one)
