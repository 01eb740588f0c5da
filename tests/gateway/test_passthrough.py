"""The server's own credential goes on in one way only, and the caller's own for this gateway in none."""

from __future__ import annotations

import pytest

from counterseal.errors import BadCall
from counterseal.gateway.passthrough import Passthrough
from tests.gateway.building import modern

PASSTHROUGH = Passthrough(b"x-server-authorization", b"x-channel-token")
NAME = PASSTHROUGH.header


def told(*values: bytes, key: bytes | None = b"key-of-alice", more: tuple[tuple[bytes, bytes], ...] = ()) -> str:
    with pytest.raises(BadCall) as refused:
        PASSTHROUGH.headers(modern("tools/list", None, *((NAME, one) for one in values), *more, key=key))
    assert "key-of-alice" not in refused.value.message
    assert refused.value.reason.status == 400
    return refused.value.reason.code


@pytest.mark.parametrize("value", ["Bearer the-servers-own", "Basic YTpi", 'Digest username="a", nonce="b c"'])
def test_it_goes_on_as_it_came(value: str) -> None:
    assert PASSTHROUGH.headers(modern("tools/list", None, (NAME, value.encode()))) == (("Authorization", value),)


def test_nothing_goes_on_where_nothing_was_brought() -> None:
    assert PASSTHROUGH.headers(modern("tools/list")) == ()


@pytest.mark.parametrize(
    "value", [b"", b"Bearer", b"Bearer ", b"bare-token", b"Bearer a\xe9", b"Bearer a\tb", b"B\xa0a b"]
)
def test_h_06_what_is_no_credential_with_its_scheme_is_refused(value: bytes) -> None:
    assert told(value) == "bad_header"


def test_h_06_twice_is_once_too_often() -> None:
    assert told(b"Bearer a", b"Bearer a") == "bad_header"


@pytest.mark.parametrize(
    "value", [b"Bearer key-of-alice", b"Basic key-of-alice", b"Bearer x=key-of-alice;y", b"Bearer csk_other"]
)
def test_token_passthrough_what_counts_here_never_goes_on(value: bytes) -> None:
    """A token that was issued for the gateway is not passed to anybody."""
    assert told(value) == "passthrough_refused"


def test_what_is_somebody_elses_is_not_what_counts_here() -> None:
    inbound = modern("tools/list", None, (NAME, b"Bearer key-of-alice"), key=b"another")
    assert PASSTHROUGH.headers(inbound) == (("Authorization", "Bearer key-of-alice"),)


@pytest.mark.parametrize("scheme", [b"", b"Bearer "])
def test_a_channel_token_never_goes_on_either(scheme: bytes) -> None:
    assert (
        told(b"Bearer of-the-channel", more=((b"x-channel-token", scheme + b"of-the-channel"),))
        == "passthrough_refused"
    )
    PASSTHROUGH.headers(modern("tools/list", None, (NAME, b"Bearer other"), (b"x-channel-token", b"of-the-channel")))


def test_a_caller_without_a_credential_may_bring_the_servers() -> None:
    inbound = modern("tools/list", None, (NAME, b"Bearer a"), key=None)
    assert PASSTHROUGH.headers(inbound) == (("Authorization", "Bearer a"),)
