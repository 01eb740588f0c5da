"""One document from one address, with every ceiling: https, no redirect, 256 KiB, 2 s to connect, 5 s in all.

The standard library's client is enough for a request every few minutes. It follows no redirect and reads no proxy setting.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
from dataclasses import dataclass
from urllib.parse import urlsplit

from counterseal.core.limits import Limits

_HTTP_OK = 200


class Unreachable(Exception):
    """The document could not be had. The text says why, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Document:
    """A body, and the value of its Cache-Control header (several joined by commas), if there was one."""

    body: bytes
    cache_control: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """A checked https address; http only for a loopback host, unless that was allowed for all."""

    tls: bool
    host: str
    port: int | None
    path: str
    loopback_only: bool

    @classmethod
    def parse(cls, url: str, *, allow_insecure: bool) -> Address:
        """Raises ValueError that says what is wrong with the address."""
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError(f"{url!r} is not an https address")
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise ValueError("an address for keys has no user, password or fragment")
        if not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError(f"{url!r} has characters that an address must escape")
        loopback_only = parts.scheme == "http" and not allow_insecure
        if loopback_only and not _is_loopback_name(parts.hostname):
            raise ValueError(f"{url!r} is http: keys are fetched over https, or over http from a loopback address")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme == "https", parts.hostname, parts.port, path, loopback_only)


def fetch(address: Address, limits: Limits) -> Document:
    """GET the document. Blocks, at most for limits.fetch_seconds once there is a connection. Raises Unreachable."""
    connection = _connect(address, limits)
    wire = connection.sock
    over = threading.Event()

    def give_up() -> None:
        over.set()
        with contextlib.suppress(OSError):
            wire.shutdown(socket.SHUT_RDWR)  # wakes the reader, however slowly the other side sends

    timer = threading.Timer(limits.fetch_seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        headers = {"Accept": "application/json, application/jwk-set+json", "Accept-Encoding": "identity"}
        connection.request("GET", address.path, headers=headers)
        response = connection.getresponse()
        if response.status != _HTTP_OK:
            raise Unreachable(f"it answered with status {response.status}; redirects are not followed")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise Unreachable("it answered with a content coding that nobody asked for")
        body = response.read(limits.jwks_bytes + 1)
        if len(body) > limits.jwks_bytes:
            raise Unreachable(f"it answered with more than {limits.jwks_bytes} bytes")
        if over.is_set() or response.length:
            raise Unreachable("the answer ended early")
        cache_control = ",".join(response.headers.get_all("Cache-Control", []))
        return Document(body, cache_control or None)
    except (OSError, http.client.HTTPException) as error:
        late = f"no whole answer within {limits.fetch_seconds:g} seconds"
        # Of a silent answer the socket hears as soon as the timer does, and either may come first.
        is_late = over.is_set() or isinstance(error, TimeoutError)
        raise Unreachable(late if is_late else f"{type(error).__name__} while it answered") from None
    finally:
        timer.cancel()
        connection.close()


def _connect(address: Address, limits: Limits) -> http.client.HTTPConnection:
    seconds = limits.fetch_connect_seconds
    connection: http.client.HTTPConnection
    if address.tls:
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(address.host, address.port, timeout=seconds, context=context)
    else:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=seconds)
    try:
        connection.connect()
        peer = connection.sock.getpeername()[0]
        if address.loopback_only and not ipaddress.ip_address(peer).is_loopback:
            raise Unreachable("the name of the http address led away from this machine")
        connection.sock.settimeout(limits.fetch_seconds)
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise Unreachable(f"no connection: {type(error).__name__}") from None
    except Unreachable:
        connection.close()
        raise
    return connection


def _is_loopback_name(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
