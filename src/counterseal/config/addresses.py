"""Addresses and header names: what stands in one, and what would make it mean another host or another request."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, StrictStr, ValidationInfo

from counterseal.config.problems import wrong

_ADDRESS: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_DEFAULT_PORT: Final = {"http": 80, "https": 443}


def _split(text: str) -> SplitResult:
    """An absolute http or https address (RFC 3986) without what could name another host or stand for a credential."""
    if not _ADDRESS.fullmatch(text):
        raise wrong(
            "holds a character that no address has: write a host in its `xn--` form and percent-encode the rest"
        )
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong("is not an address: its host or port cannot be read") from None
    if not text.startswith(("https://", "http://")) or not host:
        raise wrong("must be an absolute address, https://HOST/PATH")
    if "@" in parts.netloc:
        raise wrong(
            "holds a user name or password before the host: remove it; a credential belongs into `headers` as a reference"
        )
    if "#" in text:
        raise wrong("holds a fragment: remove `#` and what follows")
    if port == 0 or parts.netloc.endswith(":") or not (_HOST.fullmatch(host) or "[" in parts.netloc):
        raise wrong("is not an address: its host or port cannot be read")
    return parts


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _issuer(text: str) -> str:
    parts = _split(text)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise wrong("must be an https address: http is for a gateway on a loopback address only")
    if "?" in text:
        raise wrong("holds a query: remove `?` and what follows")
    if text.endswith("/"):
        raise wrong("ends with a slash: remove it, because servers compare the issuer to the byte")
    return text


def _server_url(text: str) -> str:
    _split(text)
    return text


def _idp_address(text: str, info: ValidationInfo) -> str:
    """https, or http for a loopback address where `allow_insecure_loopback`, which stands before, says so."""
    parts = _split(text)
    if parts.scheme == "https":
        return text
    if not is_loopback(parts.hostname or ""):
        raise wrong("must be an https address: whoever can change these keys on their way can be anybody")
    if info.data.get("allow_insecure_loopback") is False:
        raise wrong(
            "is http: for an IdP on this machine write `allow_insecure_loopback: true` beside it, else use https"
        )
    return text


def _origin(text: str) -> str:
    """As browsers write it (RFC 6454 section 6.2), because it is compared to the byte."""
    if "*" in text:
        raise wrong("is a wildcard, so that any page could call: name each origin, https://HOST or https://HOST:PORT")
    if text == "null":
        raise wrong("is the origin of every sandboxed page, so it names nobody: name each origin")
    if not text.startswith(("https://", "http://")):
        raise wrong("must be an origin, https://HOST or https://HOST:PORT")
    parts = _split(text)
    host, port = parts.hostname or "", parts.port
    if parts.scheme != "https" and not is_loopback(host):
        raise wrong(
            "must be https: whoever can change a page on its way can call as that page; http is for pages on a loopback "
            "address only"
        )
    if text != f"{parts.scheme}://{parts.netloc}":
        raise wrong("is an address and not an origin: remove what follows the host and port, a slash too")
    written = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORT[parts.scheme]:
        written += f":{port}"
    if parts.netloc != written:
        raise wrong("is not as browsers write it: the host in lower case, and no port 443 for https or 80 for http")
    return text


def _host(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        if not _HOST.fullmatch(text):
            raise wrong("must be an IP address or a host name, without port and brackets") from None
    return text


OwnIssuer = Annotated[StrictStr, AfterValidator(_issuer)]
ServerUrl = Annotated[StrictStr, AfterValidator(_server_url)]
IdpAddress = Annotated[StrictStr, AfterValidator(_idp_address)]
Origin = Annotated[StrictStr, AfterValidator(_origin)]
Host = Annotated[StrictStr, AfterValidator(_host)]


# headers

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOP_BY_HOP: Final = ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
_OURS: Final = ("accept", "expect", "host", "last-event-id", "user-agent", "x-counterseal-debug", "x-mcp-channel-token")
_FAMILIES: Final = ("accept-", "content-", "mcp-", "proxy-")


def _header_name(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise wrong("is no name of an HTTP header: use letters, digits and `-`")
    name = text.lower()
    if name in _HOP_BY_HOP or name in _OURS or name.startswith(_FAMILIES):
        raise wrong("is a header that routes or frames the request, which the gateway writes itself: use another")
    return text


HeaderName = Annotated[StrictStr, AfterValidator(_header_name)]
