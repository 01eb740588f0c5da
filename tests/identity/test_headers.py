"""Identity headers: from whom they count, and what else they would be."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_network
from typing import Any

import pytest

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.errors import BadCall
from counterseal.identity.headers import IdentityHeaders, IdentitySources

PROXY, STRANGER = "10.0.0.5", "192.0.2.7"
PROXYS_KEY = Caller(kind="api_key", client_id="k-proxy", subject="proxy", fields={"user_id": "proxy"})
TOKEN = Caller(kind="token", client_id="proxy", issuer="https://idp", subject="proxy", claims={"sub": "proxy"})
ANONYMOUS = Caller(kind="anonymous", client_id="anonymous")
Sent = tuple[tuple[bytes, bytes], ...]
REST: Sent = ((b"host", b"gateway.example.com"), (b"authorization", b"Bearer abc"), (b"x-other", b"1"))


def headers(*networks: str, sources: tuple[str, ...] = ("sub", "x-user", "user_id")) -> IdentityHeaders:
    trusted = tuple(ip_network(network) for network in networks or ("10.0.0.0/24", "fd00::/64"))
    return IdentityHeaders(
        {"weather": IdentitySources(sources, trusted), "files": IdentitySources(("email", "x-user"), ())}
    )


def inbound(*sent: tuple[bytes, bytes], peer: str = PROXY, server: str = "weather") -> Inbound:
    """A request as the web room makes it."""
    return headers().admitted(raw(*sent, peer=peer, server=server))


def raw(*sent: tuple[bytes, bytes], peer: str = PROXY, server: str = "weather") -> Inbound:
    """A request as it arrives."""
    return Inbound("POST", server, (*REST, *sent), b"", peer)


def named(*sent: tuple[bytes, bytes], caller: Caller = PROXYS_KEY, peer: str = PROXY, server: str = "weather") -> Any:
    return dict(headers().named(caller, inbound(*sent, peer=peer, server=server)).headers)


USER = (b"x-user", b"alice")


# ---- from whom they count ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [PROXYS_KEY, TOKEN], ids=lambda caller: caller.kind)
@pytest.mark.parametrize("peer", [PROXY, "10.0.0.255", "::ffff:10.0.0.5", "fd00::1", "fd00::ffff:1%eth0"])
def test_a_trusted_peer_that_proves_who_it_is_names_a_subject(caller: Caller, peer: str) -> None:
    assert named(USER, caller=caller, peer=peer) == {"x-user": "alice"}
    assert named(USER, (b"user_id", b"a7"), caller=caller, peer=peer) == {"x-user": "alice", "user_id": "a7"}


@pytest.mark.parametrize(
    "peer",
    [STRANGER, "10.0.1.5", "::ffff:192.0.2.7", "fd00:0:0:1::1", "::1", "", "unix", "10.0.0", "10.0.0.5x", "0x0a000005"],
)
def test_i_01_from_everybody_else_they_are_taken_out_before_anything_reads_them(peer: str) -> None:
    sent = inbound(USER, (b"sub", b"alice"), (b"user_id", b"alice"), (b"user-id", b"bob"), peer=peer)
    assert sent.headers == REST
    assert headers().named(PROXYS_KEY, sent) is PROXYS_KEY
    # And where a request never went through the web room, the peer is still looked at.
    assert headers().named(PROXYS_KEY, raw(USER, peer=peer)) is PROXYS_KEY


def test_i_01_a_caller_who_proved_nothing_names_nobody() -> None:
    assert named(USER, caller=ANONYMOUS) == {}
    assert named(USER) == {"x-user": "alice"}


@pytest.mark.parametrize(
    "more",
    [
        (b"x-forwarded-for", b"10.0.0.5"),
        (b"forwarded", b"for=10.0.0.5"),
        (b"x-real-ip", b"10.0.0.5"),
        (b"x-envoy-external-address", b"10.0.0.5"),
        (b"x-forwarded-for", b"10.0.0.5, 10.0.0.5"),
    ],
)
def test_i_03_no_header_makes_a_peer_another(more: tuple[bytes, bytes]) -> None:
    assert inbound(USER, more, peer=STRANGER).headers == (*REST, more)
    assert named(USER, more, peer=STRANGER) == {}
    assert named(USER, more) == {"x-user": "alice"}


@pytest.mark.parametrize("value", [b"X-User", b"x-user, close", b"authorization", b"x_user"])
def test_i_02_no_connection_header_takes_one_away_or_keeps_one(value: bytes) -> None:
    connection = (b"connection", value)
    assert named(connection, USER) == {"x-user": "alice"}
    assert inbound(connection, USER, peer=STRANGER).headers == (*REST, connection)


@pytest.mark.parametrize(
    ("network", "peer", "trusted"),
    [
        ("10.0.0.5/32", "10.0.0.5", True),
        ("10.0.0.5/32", "10.0.0.6", False),
        ("10.0.0.0/24", "::ffff:10.0.0.77", True),
        ("10.0.0.0/24", "::10.0.0.77", False),
        ("fd00::/64", "fd00::5", True),
        ("fd00::/64", "10.0.0.5", False),
        ("::1/128", "127.0.0.1", False),
    ],
)
def test_i_03_a_network_is_what_it_says(network: str, peer: str, trusted: bool) -> None:
    only = headers(network)
    sent = only.admitted(raw(USER, peer=peer))
    assert (USER in sent.headers) is trusted
    assert bool(only.named(PROXYS_KEY, sent).headers) is trusted


# ---- which headers they are -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("user_id", b"user_id"),
        ("user_id", b"user-id"),
        ("x-user", b"x_user"),
        ("X-Auth_Request-User", b"x-auth-request-user"),
        ("X-Auth_Request-User", b"x_auth_request_user"),
        ("X-Auth_Request-User", b"x-auth_request-user"),
    ],
)
def test_i_01_a_header_is_known_however_it_was_spelled_on_the_way(source: str, name: bytes) -> None:
    rules = headers(sources=(source,))
    assert rules.admitted(raw((name, b"alice"), peer=STRANGER)).headers == REST
    assert rules.named(PROXYS_KEY, rules.admitted(raw((name, b"alice")))).headers == {source: "alice"}


@pytest.mark.parametrize("name", [b"x-user2", b"xuser", b"x--user", b"email", b"subject", b"x-user-"])
def test_another_header_is_none_of_them(name: bytes) -> None:
    assert inbound((name, b"alice"), peer=STRANGER).headers == (*REST, (name, b"alice"))
    assert named((name, b"alice")) == {}


def test_each_server_has_its_own_names_and_peers() -> None:
    both = (USER, (b"email", b"a@b"))
    assert inbound(*both, peer=STRANGER).headers == (*REST, both[1])
    assert inbound(*both, server="files").headers == REST
    assert named(*both, server="files") == {}
    # A server that there is not has nobody who may send any of them.
    assert inbound(*both, (b"sub", b"x"), server="other").headers == REST


def test_to_all_servers_only_a_peer_that_one_of_them_trusts_may_send_them() -> None:
    sent = (USER, (b"email", b"a@b"))
    assert inbound(*sent, server="", peer=STRANGER).headers == REST
    assert inbound(*sent, server="").headers == (*REST, *sent)


# ---- what one may hold ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        [USER, USER],
        [USER, (b"x_user", b"alice")],
        [USER, (b"x-user", b"")],
        [(b"user_id", b"a"), (b"user-id", b"a")],
    ],
)
def test_i_01_one_that_was_sent_twice_is_refused(sent: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(BadCall) as refused:
        named(*sent)
    assert (refused.value.reason.code, refused.value.reason.status) == ("bad_header", 400)
    assert named(sent[0]) == {sent[0][0].decode(): sent[0][1].decode()}


@pytest.mark.parametrize(
    "value",
    [
        b"alice,bob",
        b",",
        b"alice, bob",
        b"a\r\nb",
        b"a\0b",
        b"a\tb",
        b"\x7f",
        "a\u202eb".encode(),
        "a\u200bb".encode(),
        "a\u2028b".encode(),
        b"\xff",
        b"a\xc0\xaf",
        b"\xed\xa0\x80",
        b"a" * 256,
        "å".encode() * 256,
        b"anonymous",
        b"apikey:k1",
        b"apikey:",
    ],
)
def test_i_05_j_19_a_name_is_one_that_everybody_reads_alike(value: bytes) -> None:
    with pytest.raises(BadCall) as refused:
        named((b"x-user", value))
    assert refused.value.reason.code == "bad_header"
    assert "x-user" in refused.value.message
    assert inbound((b"x-user", value), peer=STRANGER).headers == REST  # from a stranger it is nothing at all


@pytest.mark.parametrize(
    "value", [b"a", b"a" * 255, "ålice".encode(), "李".encode() * 255, b"a b", b"CN=a;O=b", b"a@b.example"]
)
def test_a_name_may_be_any_other_text(value: bytes) -> None:
    assert named((b"x-user", value)) == {"x-user": value.decode()}


def test_i_07_an_empty_one_is_a_missing_one() -> None:
    assert named((b"x-user", b"")) == {}
    assert named((b"x-user", b""), (b"user_id", b"a7")) == {"user_id": "a7"}


# ---- what becomes of it -----------------------------------------------------------------------------------------------


def test_m_09_whom_a_proxy_names_is_another_caller_each_time() -> None:
    rules = headers()
    alice, bob = (rules.named(PROXYS_KEY, inbound((b"x-user", name))) for name in (b"alice", b"bob"))
    assert len({alice.fingerprint(), bob.fingerprint(), PROXYS_KEY.fingerprint()}) == 3


def test_i_09_what_was_said_for_one_call_is_not_there_in_the_next() -> None:
    rules = headers()
    first = rules.named(PROXYS_KEY, inbound(USER))
    with pytest.raises(TypeError):
        first.headers["x-user"] = "mallory"  # type: ignore[index]
    assert rules.named(PROXYS_KEY, inbound()).headers == {}
    assert PROXYS_KEY.headers == {}
    assert dataclasses.replace(first, headers={}) == PROXYS_KEY


def test_where_nobody_is_trusted_nothing_is_read() -> None:
    nobody = IdentityHeaders({"weather": IdentitySources(("x-user",), ())})
    assert nobody.admitted(raw(USER)).headers == REST
    assert nobody.named(PROXYS_KEY, raw(USER, USER)) is PROXYS_KEY


def test_a_request_without_any_is_handed_on_as_it_is() -> None:
    plain = raw((b"x-under_score", b"1"))
    assert headers().admitted(raw()).headers == REST
    assert headers().admitted(plain).headers == plain.headers
