"""Identity headers and channel tokens on the wire: raw bytes from a peer that is trusted, and from one that is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.building import verified
from tests.identity.channels import rules
from tests.support.hostile import HostileServer
from tests.web.building import Running, running

SOURCES = ("x-user", "user_id")
SPELLINGS = (b"X-User", b"x-user", b"X_User", b"x_USER", b"X-USER")


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.fixture
def trusted(server: HostileServer) -> Iterator[Running]:
    """A gateway that trusts whoever is on this machine, as a test is."""
    with running(server, sources=SOURCES, trusted=("127.0.0.0/8", "::1/128")) as gateway:
        yield gateway


@pytest.fixture
def strange(server: HostileServer) -> Iterator[Running]:
    """One that trusts somebody else."""
    with running(server, sources=SOURCES, trusted=("10.0.0.0/8",)) as gateway:
        yield gateway


def subject(gateway: Running, *more: bytes) -> str:
    """The subject of the call token that the server gets."""
    assert gateway.ask(gateway.request(*more)).status == 200
    return str(verified(gateway.server.seen[-1], gateway.server.url)["sub"])


@pytest.mark.parametrize("name", SPELLINGS)
def test_i_01_a_trusted_peer_names_the_subject_however_the_header_is_spelled(trusted: Running, name: bytes) -> None:
    assert subject(trusted, name + b": carol") == "carol"
    assert subject(trusted) == "alice"


@pytest.mark.parametrize("name", [*SPELLINGS, b"User_Id", b"user-id"])
def test_i_01_a_stranger_names_nobody_however_often_it_tries(strange: Running, name: bytes) -> None:
    assert subject(strange, name + b": carol") == "alice"
    assert subject(strange, name + b": carol", name + b": dave", b"X-Forwarded-For: 10.0.0.1") == "alice"
    assert subject(strange, b"Connection: keep-alive, " + name, name + b": carol") == "alice"


@pytest.mark.parametrize(
    "more",
    [
        (b"X-User: carol", b"X_User: carol"),
        (b"X-User: carol", b"x-user: dave"),
        (b"X-User: carol,dave",),
        (b"X-User: apikey:k-bob",),
        (b"X-User: " + b"a" * 256,),
        (b"X-User: a\xff",),
    ],
)
def test_i_01_what_could_be_read_in_two_ways_is_400_and_no_call(trusted: Running, more: tuple[bytes, ...]) -> None:
    answer = trusted.refused(trusted.request(*more), 400)
    assert answer is not None
    assert answer.reason == "bad_header"
    trusted.good()


def test_i_02_a_connection_header_takes_no_identity_away(trusted: Running) -> None:
    assert subject(trusted, b"Connection: X-User", b"X-User: carol") == "carol"


def test_i_11_two_channel_tokens_are_400_and_a_bad_one_is_403(server: HostileServer) -> None:
    with running(server, channel=rules()) as gateway:
        two = gateway.refused(gateway.request(b"X-Channel-Token: a", b"x-channel-token: b"), 400)
        assert two is not None
        assert two.reason == "bad_header"
        bad = gateway.refused(gateway.request(b"X-Channel-Token: Bearer a.b.c"), 403)
        assert bad is not None
        assert bad.reason == "channel_token_invalid"
        assert bad.header("www-authenticate") is None
        gateway.good()
