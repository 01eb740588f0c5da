"""Which names this gateway goes by: the defence against DNS rebinding (M-12).

A page of another site can make a browser call a gateway on its own machine or intranet by a name that the page controls. So
`Host` must be a name of this gateway, and `Origin`, which browsers add and programs don't, must be its own or one that the
configuration names (`listen.origins`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from counterseal.core.call import Inbound
from counterseal.errors import BadCall

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::([0-9]{1,5}))?")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_REMEMBERED: Final = 64
"""Names that were found to be ours; clients send few."""
_DEFAULT_PORT: Final = {"http": 80, "https": 443}


class Hosts:
    """issuer: the gateway's public address. A gateway that was reached at a loopback address also goes by loopback names.
    origins: whose pages may call besides its own, as browsers write them."""

    def __init__(self, issuer: str, origins: Sequence[str] = ()) -> None:
        parts = urlsplit(issuer)
        host = parts.hostname or ""
        self._host = f"[{host}]" if ":" in host else host
        self._port = parts.port or _DEFAULT_PORT[parts.scheme]
        self._scheme = parts.scheme
        self._origins = frozenset(origin.encode() for origin in origins)
        self._known: set[tuple[bytes, str, int | None]] = set()

    def check(self, inbound: Inbound, local: tuple[str, int | None]) -> None:
        """local: the address that the caller reached. Raises BadCall `origin_refused`, or `bad_header` where Host or Origin was
        not sent once."""
        address, port = local
        loopback = address in ("127.0.0.1", "::1")
        hosts = inbound.all(b"host")
        if len(hosts) != 1:
            raise BadCall("bad_header", "send exactly one Host header")
        named = (hosts[0], address, port)
        if named not in self._known:
            match = _HOST.fullmatch(hosts[0].decode("latin-1"))
            if match is None or not self._is_ours(match[1].lower(), match[2], address, port, loopback):
                raise BadCall(
                    "origin_refused", "Host is not a name of this gateway: call it by the host name of its issuer"
                )
            if len(self._known) < _REMEMBERED:
                self._known.add(named)
        origins = inbound.all(b"origin")
        if not origins:
            return
        if len(origins) > 1:
            raise BadCall("bad_header", "the header origin was sent more than once")
        if origins[0] not in self._origins and not self._same_origin(origins[0].decode("latin-1"), loopback):
            raise BadCall(
                "origin_refused",
                "Origin is neither this gateway's nor one of `listen.origins`: pages of other sites may not call it",
            )

    def _is_ours(self, host: str, port: str | None, address: str, bound: int | None, loopback: bool) -> bool:
        ports = {self._port, bound}
        if host == self._host:
            return port is None or int(port) in ports
        # An address cannot be rebound; a gateway may be reached by the one that it listens on.
        literal = f"[{address}]" if ":" in address else address
        return (host == literal or (loopback and host in _LOOPBACK)) and (port is None or int(port) in ports)

    def _same_origin(self, origin: str, loopback: bool) -> bool:
        scheme, separator, rest = origin.partition("://")
        match = _HOST.fullmatch(rest)
        if not separator or match is None or scheme not in _DEFAULT_PORT:
            return False
        host, port = match[1].lower(), int(match[2] or _DEFAULT_PORT[scheme])
        if (scheme, host, port) == (self._scheme, self._host, self._port):
            return True
        # Local tools with a page of their own, as long as the gateway itself is only there for this machine.
        return loopback and scheme == "http" and host in _LOOPBACK
