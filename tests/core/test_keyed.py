"""HMAC-SHA-256 of many messages under one key."""

from __future__ import annotations

import copy
import hmac
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.core.keyed import Keyed


@given(st.binary(max_size=200), st.lists(st.binary(max_size=200), max_size=3))
def test_each_message_gets_the_mac_that_everybody_computes(key: bytes, messages: list[bytes]) -> None:
    keyed = Keyed(key)
    for message in messages:
        assert keyed.mac(message) == hmac.digest(key, message, "sha256")


def test_a_vector_of_the_rfc() -> None:
    """RFC 4231 section 4.2."""
    expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    assert Keyed(b"\x0b" * 20).mac(b"Hi There").hex() == expected


def test_the_key_is_neither_shown_nor_copied() -> None:
    keyed = Keyed(b"secret")
    assert "secret" not in repr(keyed)
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            copied(keyed)
