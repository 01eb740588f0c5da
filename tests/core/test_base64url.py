"""base64url as JOSE writes it."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from counterseal.core import base64url


@given(st.binary())
def test_it_is_base64url_without_padding(data: bytes) -> None:
    assert base64url.encode(data) == base64.urlsafe_b64encode(data).rstrip(b"=")


def test_the_example_of_the_rfc() -> None:
    """RFC 7515 appendix C."""
    assert base64url.encode(bytes([3, 236, 255, 224, 193])) == b"A-z_4ME"
