"""Identity headers: what a proxy that logs people in says of whom it calls for.

* They are headers that a server's `end_user_claim_sources` name, compared without case and with `_` and `-` as one
  (I-01): whatever is on the way may have spelled them otherwise.
* They count from a connection of a trusted network alone, beside a credential that the proxy itself proved. From everybody else
  they are taken out where a request begins, before anything reads it.
* The peer is who holds the connection. No header says otherwise, and no `Connection` header takes one away (I-02, I-03).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from types import MappingProxyType
from typing import Final

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.names import is_reserved, is_seen
from counterseal.errors import BadCall


@dataclass(frozen=True, slots=True)
class IdentitySources:
    """Of one server. sources: the names that a header may have. trusted: the networks of peers that may send them."""

    sources: tuple[str, ...]
    trusted: tuple[IPv4Network | IPv6Network, ...]


class IdentityHeaders:
    """servers: by their names."""

    def __init__(self, servers: Mapping[str, IdentitySources]) -> None:
        self._servers = dict(servers)
        self._names: Final = {name: frozenset(map(_plain, one.sources)) for name, one in servers.items()}
        self._all: Final = frozenset(name for names in self._names.values() for name in names)

    def admitted(self, inbound: Inbound) -> Inbound:
        """The request without the headers that its peer must not send.

        A server that there is not has nobody who may send any that another server knows. For all servers together, somebody whom
        one of them trusts may: which of them reads a header is decided once it is known which is called.
        """
        names = self._names.get(inbound.server, self._all)
        if names.isdisjoint(inbound.names) and b"_" not in b"".join(inbound.names):
            return inbound
        if self._trusts(inbound.server, inbound.peer):
            return inbound
        if not inbound.server and any(self._trusts(server, inbound.peer) for server in self._servers):
            return inbound
        kept = tuple(pair for pair in inbound.headers if _dashed(pair[0]) not in names)
        return Inbound(inbound.verb, inbound.server, kept, inbound.body, inbound.peer)

    def named(self, caller: Caller, inbound: Inbound) -> Caller:
        """The caller with what a trusted peer says beside it. Raises BadCall `bad_header` for what could be read in two ways."""
        rules = self._servers.get(inbound.server)
        if rules is None or not rules.trusted or caller.kind == "anonymous":
            return caller
        names = self._names[inbound.server]
        found: dict[bytes, list[bytes]] = {}
        for name, value in inbound.headers:
            if (plain := _dashed(name)) in names:
                found.setdefault(plain, []).append(value)
        if not found or not self._trusts(inbound.server, inbound.peer):
            return caller
        texts = {plain: _text(plain, values) for plain, values in found.items()}
        headers = {source: text for source in rules.sources if (text := texts.get(_plain(source)))}
        return replace(caller, headers=MappingProxyType(headers)) if headers else caller

    def _trusts(self, server: str, peer: str) -> bool:
        rules = self._servers.get(server)
        if rules is None or not rules.trusted:
            return False
        address = _address(peer)
        return address is not None and _within(address, rules.trusted)


def _plain(source: str) -> bytes:
    return _dashed(source.lower().encode())


def _dashed(name: bytes) -> bytes:
    return name.replace(b"_", b"-")


def _address(peer: str) -> IPv4Address | IPv6Address | None:
    """None for what is no address, such as the other end of a Unix socket. An IPv4 address in an IPv6 one is itself."""
    try:
        address = ip_address(peer)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _within(address: IPv4Address | IPv6Address, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks)


def _text(plain: bytes, values: Sequence[bytes]) -> str:
    """The one value; empty is none. Raises BadCall."""
    name = plain.decode()
    if len(values) > 1:
        raise BadCall("bad_header", f"the header {name} was sent more than once")
    try:
        text = values[0].decode()
    except UnicodeDecodeError:
        text = "\0"
    if text and ("," in text or not is_seen(text)):
        raise BadCall("bad_header", f"the header {name} is not one name of at most 255 characters that can be seen")
    if is_reserved(text):
        raise BadCall("bad_header", f"the header {name} has a form that the gateway keeps for itself")
    return text
