"""Where a request for an issuer may go: URLs that one reader only understands in one way, and addresses that are public."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from counterseal.httpclient import HttpError
from counterseal.identity.egress import Egress, Lookup, NotAllowed, Place, Remedies, place_of

PUBLIC = ("8.8.8.8", "2606:4700:4700::1111")


class Names:
    """A resolver with answers of its own: one after the other for a host, the last one for ever."""

    def __init__(self, *answers: Sequence[str] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


READ_ALIKE = {
    "https://idp.example.com": Place(True, "idp.example.com", 443),
    "https://idp.example.com/": Place(True, "idp.example.com", 443),
    "https://idp.example.com/.well-known/openid-configuration": Place(True, "idp.example.com", 443),
    "https://IDP.Example.com/keys": Place(True, "idp.example.com", 443),
    "https://idp.example.com:8443/keys?tenant=a&b=%2F": Place(True, "idp.example.com", 8443),
    "https://idp.example.com:65535/keys": Place(True, "idp.example.com", 65535),
    "https://a_b.example.com/keys": Place(True, "a_b.example.com", 443),
    "https://xn--bcher-kva.example/keys": Place(True, "xn--bcher-kva.example", 443),
    "https://idp/keys": Place(True, "idp", 443),
    "https://1idp.example.com/a@b:c": Place(True, "1idp.example.com", 443),
    "https://8.8.8.8/keys": Place(True, "8.8.8.8", 443),
    "https://[2606:4700:4700::1111]/keys": Place(True, "2606:4700:4700::1111", 443),
    "https://[2606:4700:4700:0:0:0:0:1111]:8443/keys": Place(True, "2606:4700:4700::1111", 8443),
    "http://localhost:8080/keys": Place(False, "localhost", 8080),
    "http://127.0.0.1/keys": Place(False, "127.0.0.1", 80),
}

READ_IN_TWO_WAYS = [
    "",
    "/keys",
    "//idp.example.com/keys",
    "idp.example.com/keys",
    "https:/idp.example.com/keys",
    "https:idp.example.com/keys",
    "https:///keys",
    "https://",
    "https://?x",
    "HTTPS://idp.example.com/keys",
    "ftp://idp.example.com/keys",
    "file:///etc/passwd",
    "file://idp.example.com/keys",
    "gopher://idp.example.com/keys",
    "data:application/json,{}",
    "javascript:alert(1)",
    "unix:///run/docker.sock",
    "https+unix://idp.example.com/keys",
    "https://user@idp.example.com/keys",
    "https://user:password@idp.example.com/keys",
    "https://@idp.example.com/keys",
    "https://idp.example.com@evil.example/keys",
    "https://idp.example.com:443@evil.example/keys",
    "https://evil.example\\@idp.example.com/keys",
    "https://idp.example.com\\.evil.example/keys",
    "https://idp.example.com#@evil.example/",
    "https://idp.example.com/keys#",
    "https://idp.example.com/keys#fragment",
    "https://idp.example.com./keys",
    "https://8.8.8.8./keys",
    "https://.idp.example.com/keys",
    "https://idp..example.com/keys",
    "https://-idp.example.com/keys",
    "https://idp-.example.com/keys",
    f"https://{'a' * 64}.example.com/keys",
    f"https://{'a.' * 127}example/keys",
    "https://idp.example.com:/keys",
    "https://idp.example.com:0/keys",
    "https://idp.example.com:0443/keys",
    "https://idp.example.com:65536/keys",
    "https://idp.example.com:443443/keys",
    "https://idp.example.com:-1/keys",
    "https://idp.example.com:https/keys",
    "https://idp.example.com:443:443/keys",
    "https://idp.example.com /keys",
    "https://idp.example.com/a b",
    "https://idp.example.com/keys\r\nHost: evil.example",
    "https://idp.example.com/keys\n",
    "https://idp.example.com\t/keys",
    "https://idp.example.com/\0",
    " https://idp.example.com/keys",
    "https://idp.example.com/%zz",
    "https://idp.example.com/%",
    "https://idp%2eexample.com/keys",
    "https://idp.example.com%00.evil.example/keys",
    "https://%69dp.example.com/keys",
    "https://bücher.example/keys",
    "https://idp。example.com/keys",
    "https://①②⑦.0.0.1/keys",
    "https://idp.example.com/ключи",
    "https://2130706433/keys",
    "https://0x7f000001/keys",
    "https://017700000001/keys",
    "https://127.1/keys",
    "https://127.0.1/keys",
    "https://0x7f.0.0.1/keys",
    "https://127.0.0.0x1/keys",
    "https://0177.0.0.1/keys",
    "https://127.0.0.01/keys",
    "https://127.0.0.256/keys",
    "https://1.2.3.4.5/keys",
    "https://8.8.8.8.0x/keys",
    "https://[127.0.0.1]/keys",
    "https://[::1/keys",
    "https://::1/keys",
    "https://[fe80::1%25eth0]/keys",
    "https://[fe80::1%eth0]/keys",
    "https://[v1.fe80]/keys",
    "https://[1:2:3:4:5:6:7:8:9]/keys",
    "https://[]/keys",
    f"https://idp.example.com/{'a' * 2048}",
]

NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::808:808",
    "64:ff9b:1::7f00:1",
    "64:ff9b:1:ffff::808:808",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]

ALMOST_THE_SAME = [
    "1.0.0.1",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "192.167.255.255",
    "192.169.0.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "2000::1",
    "2001:200::1",
    "2001:db7::1",
    "2001:db9::1",
    "2003::1",
    "2606:4700:4700::1111",
    "3ffe::1",
]


@pytest.mark.parametrize(("url", "place"), READ_ALIKE.items())
def test_a_url_that_every_reader_reads_alike_leads_to_its_place(url: str, place: Place) -> None:
    assert place_of(url) == place


@pytest.mark.parametrize("url", READ_IN_TWO_WAYS)
async def test_k_02_a_url_that_two_readers_could_read_differently_is_refused(url: str) -> None:
    resolve = Names(PUBLIC)
    with pytest.raises(NotAllowed):
        Egress(resolve=resolve).target(url)
    with pytest.raises(NotAllowed):
        Egress(loopback=True, resolve=resolve).target(url)
    assert resolve.asked == []


def test_the_tables_are_as_long_as_they_were_asked_to_be() -> None:
    """K-02 wants about sixty URLs."""
    assert len(READ_IN_TWO_WAYS) >= 60
    assert len(NOT_PUBLIC) >= 60


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_k_02_an_address_that_is_not_public_is_refused_as_url_and_as_answer(address: str) -> None:
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(NotAllowed):
        Egress().target(f"https://{literal}/keys")
    for answer in ([address], [*PUBLIC, address], [address, *PUBLIC]):
        with pytest.raises(NotAllowed):
            await Egress(resolve=Names(answer)).addresses("idp.example.com", 443)
    with pytest.raises(NotAllowed):
        await Egress(resolve=Names(PUBLIC)).addresses(address, 443)


@pytest.mark.parametrize("address", ALMOST_THE_SAME)
async def test_the_address_beside_a_refused_one_is_allowed(address: str) -> None:
    literal = f"[{address}]" if ":" in address else address
    assert Egress().target(f"https://{literal}/keys").host == address
    assert await Egress(resolve=Names([address])).addresses("idp.example.com", 443) == (address,)


@given(st.ip_addresses())
def test_k_02_whatever_is_allowed_is_global_and_unicast(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Against the tables of the standard library, which know less than ours and should know nothing more."""
    literal = f"[{address}]" if address.version == 6 else str(address)
    try:
        Egress().target(f"https://{literal}/")
    except NotAllowed:
        return
    assert address.is_global
    assert not address.is_multicast
    assert not address.is_reserved


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:", "::", "::ffff:0:", "64:ff9b::", "64:ff9b:1::"]))
def test_k_02_no_ipv4_address_comes_in_inside_of_an_ipv6_address(inner: ipaddress.IPv4Address, prefix: str) -> None:
    with pytest.raises(NotAllowed):
        Egress().target(f"https://[{prefix}{inner}]/")


@given(
    st.one_of(
        st.text(max_size=60),
        st.text(alphabet="https:/@[]%.\\?#0127afxX-_ é", max_size=40).map("https://".__add__),
        st.from_regex(r"https?://[a-z0-9.@:%\[\]-]{1,30}(/[ -~]{0,10})?", fullmatch=True),
    )
)
def test_k_02_whatever_url_is_taken_other_readers_find_the_same_host_and_port(url: str) -> None:
    try:
        place = place_of(url)
    except NotAllowed:
        return
    split, other = urlsplit(url), URL(url)
    usual = 443 if place.tls else 80
    assert (split.hostname, split.port or usual) == (place.host, place.port)
    assert (other.raw_host, other.port) == (place.host, place.port)
    assert split.username is split.password is None
    assert "@" not in split.netloc


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/keys",
        "http://localhost:8080/keys",
        "http://127.0.0.1:8080/keys",
        "http://127.8.9.1/keys",
        "http://[::1]:8080/keys",
        "https://localhost/keys",
        "https://127.0.0.1/keys",
    ],
)
def test_http_is_for_a_provider_on_this_machine_where_the_configuration_says_so(url: str) -> None:
    assert Egress(loopback=True).target(url)
    if url.startswith("http:") or "localhost" not in url:
        with pytest.raises(NotAllowed, match="allow_insecure_loopback"):
            Egress().target(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example.com/keys",
        "http://localhost.example.com/keys",
        "http://localhost.localdomain/keys",
        "http://10.0.0.1/keys",
        "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0:8080/keys",
        "http://[::]:8080/keys",
        "http://[::ffff:127.0.0.1]/keys",
        "http://8.8.8.8/keys",
    ],
)
def test_k_02_http_leads_nowhere_else(url: str) -> None:
    with pytest.raises(NotAllowed):
        Egress(loopback=True).target(url)


def test_k_02_an_allowed_network_does_not_make_http_safe() -> None:
    allowing = Egress(loopback=True, networks=(ipaddress.ip_network("10.0.0.0/8"),))
    with pytest.raises(NotAllowed):
        allowing.target("http://10.0.0.1/keys")
    assert allowing.target("https://10.0.0.1/keys")


async def test_a_network_that_the_operator_allows_is_allowed_and_no_more() -> None:
    networks = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd12::/16"))
    for answer in (["10.1.2.3"], ["fd12::1", "10.1.2.3"], ["10.1.2.3", *PUBLIC]):
        found = await Egress(networks=networks, resolve=Names(answer)).addresses("idp.corp", 443)
        assert set(found) == set(answer)
    for answer in (["10.2.2.3"], ["10.1.2.3", "10.2.2.3"], ["fd13::1"], ["127.0.0.1"], ["::ffff:10.1.2.3"]):
        with pytest.raises(NotAllowed):
            await Egress(networks=networks, resolve=Names(answer)).addresses("idp.corp", 443)


@pytest.mark.parametrize("outer", ["64:ff9b::", "64:ff9b:1::", "::ffff:"])
async def test_k_02_what_an_allowed_address_holds_is_judged_too(outer: str) -> None:
    """A network behind NAT64 reaches every IPv4 address through one prefix, the private ones as well."""
    networks = (
        ipaddress.ip_network("64:ff9b::/96"),
        ipaddress.ip_network("64:ff9b:1::/96"),
        ipaddress.ip_network("::ffff:0:0/96"),
    )
    allowing = Egress(networks=networks)
    assert await allowing.addresses(str(ipaddress.ip_address(f"{outer}8.8.8.8")), 443)
    for inner in ("127.0.0.1", "10.0.0.1", "169.254.169.254"):
        with pytest.raises(NotAllowed):
            await allowing.addresses(str(ipaddress.ip_address(f"{outer}{inner}")), 443)
    with_inner = Egress(networks=(*networks, ipaddress.ip_network("10.0.0.0/8")))
    assert await with_inner.addresses(str(ipaddress.ip_address(f"{outer}10.0.0.1")), 443)


@pytest.mark.parametrize(
    ("address", "fine"),
    [
        ("2002:808:808::1", True),
        ("2002:7f00:1::1", False),
        ("2001:0:808:808::f7f7:f7f7", True),
        ("2001:0:808:808::80ff:fffe", False),
        ("2001:0:7f00:1::f7f7:f7f7", False),
    ],
    ids=["6to4", "6to4 of loopback", "Teredo", "Teredo client on loopback", "Teredo server on loopback"],
)
async def test_k_02_tunnels_are_judged_by_both_ends(address: str, fine: bool) -> None:
    allowing = Egress(networks=(ipaddress.ip_network("2002::/16"), ipaddress.ip_network("2001::/32")))
    if fine:
        assert await allowing.addresses(address, 443) == (address,)
    else:
        with pytest.raises(NotAllowed, match="loopback"):
            await allowing.addresses(address, 443)


async def test_k_03_a_name_that_leads_somewhere_else_the_second_time_is_refused_the_second_time() -> None:
    resolve = Names(["8.8.8.8"], ["127.0.0.1"])
    egress = Egress(resolve=resolve)
    assert await egress.addresses("idp.example.com", 443) == ("8.8.8.8",)
    with pytest.raises(NotAllowed, match=r"idp\.example\.com leads to an address that is loopback"):
        await egress.addresses("idp.example.com", 443)
    assert resolve.asked == [("idp.example.com", 443)] * 2


async def test_k_03_one_refused_address_among_many_refuses_the_host() -> None:
    many = [f"8.8.{number}.8" for number in range(200)]
    assert len(await Egress(resolve=Names(many)).addresses("idp.example.com", 443)) == 200
    for place in (0, 100, 200):
        mixed = [*many[:place], "192.168.1.1", *many[place:]]
        with pytest.raises(NotAllowed, match="private"):
            await Egress(resolve=Names(mixed)).addresses("idp.example.com", 443)


async def test_k_03_localhost_does_not_lead_away_from_this_machine() -> None:
    for answer in (["8.8.8.8"], ["127.0.0.1", "8.8.8.8"]):
        with pytest.raises(NotAllowed, match="localhost"):
            await Egress(loopback=True, resolve=Names(answer)).addresses("localhost", 80)
    assert await Egress(loopback=True, resolve=Names(["127.0.0.1"])).addresses("localhost", 80) == ("127.0.0.1",)


@pytest.mark.parametrize(
    "answer",
    [[], ["idp.example.net"], ["8.8.8.8", ""], ["2606:4700::1%eth0"], OSError("canary"), UnicodeError("canary")],
)
async def test_an_answer_that_is_no_address_is_none(answer: Sequence[str] | Exception) -> None:
    with pytest.raises(HttpError) as told:
        await Egress(resolve=Names(answer)).addresses("idp.example.com", 443)
    assert "canary" not in str(told.value)


async def test_the_resolvers_own_words_are_told() -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with pytest.raises(HttpError, match=r"^idp\.example\.com has no address: Name or service not known$"):
        await Egress(resolve=Names(unknown)).addresses("idp.example.com", 443)


async def test_a_refusal_names_the_keys_that_would_allow_it() -> None:
    say = Remedies(loopback="`here: true`", networks="add its network to `there`")
    for egress, loopback, networks in (
        (Egress(), "`allow_insecure_loopback: true`", "add its network to `allow_networks`"),
        (Egress(remedies=say), "`here: true`", "add its network to `there`"),
    ):
        for url, told in (
            ("http://127.0.0.1/keys", f"the URL is http: use https, or {loopback} for an IdP on this machine"),
            (
                "https://127.0.0.1/keys",
                f"127.0.0.1 leads to an address that is loopback: for an IdP on this machine write {loopback}",
            ),
            (
                "https://10.0.0.1/keys",
                f"10.0.0.1 leads to an address that is private: if its IdP is really there, {networks}",
            ),
        ):
            with pytest.raises(NotAllowed) as refused:
                egress.target(url)
            assert str(refused.value) == told


async def test_families_take_turns_and_nothing_comes_twice() -> None:
    answer = ["2606:4700::1", "2606:4700::2", "2606:4700::1", "8.8.8.8", "8.8.4.4"]
    found = await Egress(resolve=Names(answer)).addresses("idp.example.com", 443)
    assert found == ("2606:4700::1", "8.8.8.8", "2606:4700::2", "8.8.4.4")


async def test_an_address_asks_no_resolver() -> None:
    resolve = Names(PUBLIC)
    assert await Egress(resolve=resolve).addresses("8.8.8.8", 443) == ("8.8.8.8",)
    assert resolve.asked == []


async def test_this_machine_resolves_its_own_name() -> None:
    assert set(await Egress(loopback=True).addresses("localhost", 80)) <= {"127.0.0.1", "::1"}
    with pytest.raises(NotAllowed):
        await Egress().addresses("localhost", 80)


async def test_k_09_a_look_up_that_hangs_is_made_once_and_nobody_is_bound_to_it() -> None:
    begun, gate = 0, asyncio.Event()

    async def hanging(host: str, port: int) -> Sequence[str]:
        nonlocal begun
        begun += 1
        await gate.wait()
        return PUBLIC

    egress = Egress(resolve=Lookup(hanging))
    waiting = [asyncio.ensure_future(egress.addresses("idp.example.com", 443)) for _ in range(100)]
    await asyncio.sleep(0)
    for task in waiting[:50]:
        task.cancel()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(egress.addresses("idp.example.com", 443), 0.01)
    assert begun == 1
    gate.set()
    assert set(await asyncio.gather(*waiting[50:])) == {PUBLIC}
    assert await egress.addresses("idp.example.com", 443)
    assert begun == 2


async def test_a_look_up_that_fails_after_everybody_left_is_nobodys_business() -> None:
    gate = asyncio.Event()
    unheard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))

    async def failing(host: str, port: int) -> Sequence[str]:
        await gate.wait()
        raise OSError

    egress = Egress(resolve=Lookup(failing))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(egress.addresses("idp.example.com", 443), 0.01)
    gate.set()
    with pytest.raises(HttpError):
        await egress.addresses("idp.example.com", 443)
    assert unheard == []
