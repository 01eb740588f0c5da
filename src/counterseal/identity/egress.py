"""Where a request on behalf of one issuer may go.

* A URL is checked before anything is resolved: https, a host and a port that every reader reads alike, nothing else before the
  path. http is for an IdP on this machine, and only where the configuration says so.
* A host is checked by its addresses: what is not a global unicast address is refused, and one refused address among the
  answers refuses the host, so that a name cannot lead to two places (K-02, K-03). Addresses that hold an IPv4
  address are refused too; where the operator allows their network, what they hold must be allowed as well.
* What was checked is what gets connected to: the client asks here and resolves nothing itself.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import zip_longest
from typing import Final, Protocol

from counterseal.httpclient import HttpError, Target

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_URL_LENGTH: Final = 2048
_PART: Final = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*"
_URL: Final = re.compile(
    rf"(https?)://(?:\[([0-9A-Fa-f:.]+)\]|([^/?#@:\[\]\\]+))(?::([1-9][0-9]{{0,4}}))?(?:/{_PART})?(?:\?(?:{_PART}|\?)*)?"
)
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
"""A last label that some readers take for a part of an IPv4 address."""

_SPECIAL: Final = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier's customers"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud's own service"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "6to4"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("::/96", "IPv4-compatible"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "NAT64"),
        ("2001::/32", "Teredo"),
        ("2001:db8::/32", "for documentation"),
        ("2001::/23", "reserved"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "for documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
"""The special-purpose registries of IANA (RFC 6890) and what was once in them; the first row that fits counts."""

_GLOBAL: Final = IPv6Network("2000::/3")
_LAST_32_BITS: Final = tuple(
    IPv6Network(network) for network in ("::ffff:0:0/96", "::ffff:0:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
_TEREDO: Final = IPv6Network("2001::/32")
_6TO4: Final = IPv6Network("2002::/16")
_LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


@dataclass(frozen=True, slots=True)
class Remedies:
    """What would allow more, as messages say it. networks: with the key that lists them, where there is one."""

    loopback: str = "`allow_insecure_loopback: true`"
    networks: str = "add its network to `allow_networks`"


class NotAllowed(HttpError):
    """The URL or the host is none that may be asked. The text says why and what would mend it."""


class Resolve(Protocol):
    """The addresses of a host, as texts, the best first. Raises OSError where there are none."""

    async def __call__(self, host: str, port: int) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Place:
    """What a URL leads to. host: in lower case, an IPv6 address without brackets."""

    tls: bool
    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether the host is this machine by its name."""
        literal = _literal(self.host)
        return self.host == "localhost" if literal is None else _within(literal, _LOOPBACK)


def place_of(url: str) -> Place:
    """Where a URL leads, if every reader reads it alike. Resolves nothing. Raises NotAllowed."""
    if not url.isascii():
        raise NotAllowed(
            "the URL has characters outside ASCII: write a host in its `xn--` form and percent-encode the rest"
        )
    match = _URL.fullmatch(url)
    if match is None or len(url) > _URL_LENGTH:
        raise NotAllowed("the URL is not https://HOST:PORT/PATH, without a user, a password or a fragment")
    scheme, bracketed, name, port = match.groups()
    number = int(port) if port else 443 if scheme == "https" else 80
    if number > 65535:
        raise NotAllowed("the URL's port is none")
    return Place(scheme == "https", _name(name) if bracketed is None else _ipv6(bracketed), number)


async def machine(host: str, port: int) -> Sequence[str]:
    """The resolver of this machine."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(row[4][0]) for row in found]


class Lookup:
    """A resolver that is asked for one host once at a time: a look-up that hangs holds one thread, however many want it."""

    def __init__(self, resolve: Resolve = machine) -> None:
        self._resolve = resolve
        self._running: dict[tuple[str, int], asyncio.Task[Sequence[str]]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        task = self._running.get((host, port))
        if task is None:
            task = self._running[host, port] = asyncio.ensure_future(self._ask(host, port))
            task.add_done_callback(lambda done: self._ended(host, port, done))
        return await asyncio.shield(task)

    async def _ask(self, host: str, port: int) -> Sequence[str]:
        return await self._resolve(host, port)

    def _ended(self, host: str, port: int, task: asyncio.Task[Sequence[str]]) -> None:
        del self._running[host, port]
        if not task.cancelled():
            task.exception()  # whoever asked may be gone, and an exception that nobody takes is logged


@dataclass(frozen=True, slots=True)
class Egress:
    """What may be reached for one issuer.

    loopback: its `allow_insecure_loopback`: http: and loopback addresses are allowed, for loopback only. networks: private ones
    that the operator allows. resolve: how a host becomes addresses. remedies: for messages.
    """

    loopback: bool = False
    networks: tuple[Network, ...] = ()
    resolve: Resolve = field(default_factory=Lookup, repr=False, compare=False)
    remedies: Remedies = field(default=Remedies(), repr=False, compare=False)

    def target(self, url: str) -> Target:
        """A URL, checked as far as it can be without resolving, and prepared. Raises NotAllowed."""
        place = place_of(url)
        if not place.tls and not (self.loopback and place.loopback):
            raise NotAllowed(f"the URL is http: use https, or {self.remedies.loopback} for an IdP on this machine")
        literal = _literal(place.host)
        if literal is not None:
            self._check(place.host, literal)
        target = Target(url)
        if (target.tls, target.host, target.port) != (place.tls, place.host, place.port):
            raise NotAllowed("the URL can be read in two ways")
        return target

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses that a host may be reached at, the best first, families in turn. Raises NotAllowed, HttpError."""
        literal = _literal(host)
        found = [literal] if literal is not None else await self._resolved(host, port)
        for address in found:
            self._check(host, address)
        families: dict[int, list[str]] = {}
        for address in dict.fromkeys(found):
            families.setdefault(address.version, []).append(str(address))
        return tuple(text for turn in zip_longest(*families.values()) for text in turn if text is not None)

    async def _resolved(self, host: str, port: int) -> list[Address]:
        try:
            found = [_literal(text) for text in await self.resolve(host, port)]
        except (OSError, UnicodeError) as error:
            raise HttpError(f"{host} has no address: {_why(error)}") from None
        addresses = [address for address in found if address is not None]
        if not addresses or len(addresses) != len(found):
            raise HttpError(f"{host} has no address")
        return addresses

    def _check(self, host: str, address: Address) -> None:
        why = self._why_not(address)
        if why is None and host == "localhost" and not _within(address, _LOOPBACK):
            raise NotAllowed("localhost leads away from this machine")
        if why is not None:
            raise NotAllowed(f"{host} leads to an address that is {why}: {self._remedy(why)}")

    def _remedy(self, kind: str) -> str:
        if kind == "loopback":
            return f"for an IdP on this machine write {self.remedies.loopback}"
        return f"if its IdP is really there, {self.remedies.networks}"

    def _why_not(self, address: Address) -> str | None:
        """None for an address that may be reached, else what it is."""
        kind = _kind(address)
        if kind is None or (self.loopback and kind == "loopback"):
            return None
        if not _within(address, self.networks):
            return kind
        return next((why for inner in _inside(address) if (why := self._why_not(inner)) is not None), None)


def _why(error: Exception) -> str:
    """The resolver's words, like `Name or service not known`."""
    return getattr(error, "strerror", None) or type(error).__name__


def _name(name: str) -> str:
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(name))
        except ValueError:
            raise NotAllowed("the URL's host is a number: write an IPv4 address as four decimal numbers") from None
    if name.endswith("."):
        raise NotAllowed("the URL's host ends with a dot: remove it")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise NotAllowed("the URL's host is not a name of letters, digits, hyphens and dots")
    return name.lower()


def _ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise NotAllowed("the URL's host is in brackets and not an IPv6 address") from None


def _literal(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else address  # a zone has no meaning beyond this machine


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _kind(address: Address) -> str | None:
    """None for a global unicast address, else what it is. Own tables: those of `ipaddress` differ between versions."""
    for network, kind in _SPECIAL:
        if address in network:
            return kind
    return None if address.version == 4 or address in _GLOBAL else "reserved"


def _inside(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 address of a transition mechanism holds."""
    if isinstance(address, IPv4Address) or _kind(address) in ("unspecified", "loopback"):
        return ()
    number = int(address)
    if address in _6TO4:
        return (IPv4Address(number >> 80 & 0xFFFFFFFF),)
    if address in _TEREDO:  # its server, and its client with every bit turned (RFC 4380 section 4)
        return (IPv4Address(number >> 64 & 0xFFFFFFFF), IPv4Address(~number & 0xFFFFFFFF))
    return (IPv4Address(number & 0xFFFFFFFF),) if _within(address, _LAST_32_BITS) else ()
