"""Addresses and header names: what stands in one, and what would make it mean another host or another request."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, StrictStr, ValidationInfo

from counterseal.config.problems import wrong
from counterseal.wire.headers import is_own

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ADDRESS: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
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


def _https_or_loopback(text: str) -> str:
    parts = _split(text)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise wrong("must be an https address: whoever can change these keys on their way can be anybody")
    return text


SAY_LOOPBACK: Final = "is http: for an IdP on this machine write `{key}: true` beside it, else use https"


def _idp_address(text: str, info: ValidationInfo) -> str:
    """https, or http for a loopback address where `allow_insecure_loopback`, which stands before, says so."""
    _https_or_loopback(text)
    if is_insecure(text) and info.data.get("allow_insecure_loopback") is False:
        raise wrong(SAY_LOOPBACK.format(key="allow_insecure_loopback"))
    return text


def is_insecure(address: str) -> bool:
    """Whether it is http."""
    return address.startswith("http:")


TENANT: Final = "{tenantid}"
"""What stands in an issuer for the tenant, as Entra ID writes it in its discovery document."""


def _idp_issuer(text: str, info: ValidationInfo) -> str:
    plain = text.replace(TENANT, "tenantid", 1)
    _idp_address(plain, info)
    if TENANT in text and TENANT not in urlsplit(text).path:
        raise wrong(f"has `{TENANT}` where it could name another host: it may stand in the path, once")
    return text


_WELL_KNOWN_OPENID: Final = "/.well-known/openid-configuration"
_WELL_KNOWN_OAUTH: Final = "/.well-known/oauth-authorization-server"


def issuer_of_discovery(address: str) -> str | None:
    """The issuer that a discovery address was made from: OpenID Connect Discovery 1.0 section 4 appends, RFC 8414 section 3 puts
    its part between host and path. None for an address that was made in another way.

    A slash at the end of an issuer is lost on the way; such an issuer has to be written down.
    """
    if "?" in address:
        return None
    if address.endswith(_WELL_KNOWN_OPENID):
        return address.removesuffix(_WELL_KNOWN_OPENID)
    before, found, after = address.partition(_WELL_KNOWN_OAUTH)
    if not found or urlsplit(before).path or (after and not after.startswith("/")):
        return None
    return before + after


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
IdpIssuer = Annotated[StrictStr, AfterValidator(_idp_issuer)]
LaterIdpAddress = Annotated[StrictStr, AfterValidator(_https_or_loopback)]
"""An address of an IdP for which another part of the file says whether it may be http."""
Origin = Annotated[StrictStr, AfterValidator(_origin)]
Host = Annotated[StrictStr, AfterValidator(_host)]


# headers

HEADER_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CREDENTIALS: Final = ("authorization", "x-api-key", "x-litellm-api-key", "cookie")
_REQUEST: Final = ("cache-control", "connection", "forwarded", "origin", "referer", "via", "traceparent", "tracestate")


def _header_name(text: str) -> str:
    if not HEADER_NAME.fullmatch(text):
        raise wrong("is no name of an HTTP header: use letters, digits and `-`")
    if is_own(text.lower()):
        raise wrong("is a header that routes or frames the request, which the gateway writes itself: use another")
    return text


def _channel_header(text: str) -> str:
    if _header_name(text).lower() in _CREDENTIALS:
        raise wrong("carries the caller's own credential: use another header for the channel token")
    return text


def _passthrough_header(text: str) -> str:
    if _header_name(text).lower() in (*_CREDENTIALS, *_REQUEST):
        raise wrong(
            "has a meaning of its own, or carries the caller's credential for this gateway, which no server gets: use a header "
            "of its own, such as `X-Server-Authorization`"
        )
    return text


def may_name_a_subject(source: str) -> bool:
    """Whether a header of this name could be an identity header: none that has a meaning of its own."""
    name = source.lower().replace("_", "-")
    return not (is_own(name) or name in _CREDENTIALS or name in _REQUEST)


HeaderName = Annotated[StrictStr, AfterValidator(_header_name)]
PassthroughHeader = Annotated[StrictStr, AfterValidator(_passthrough_header)]
ChannelHeader = Annotated[StrictStr, AfterValidator(_channel_header)]


# networks


def _network(text: str) -> str:
    """In its one spelling. An IPv4 network that is written as mapped into IPv6 (RFC 4291 section 2.5.5.2) is that network."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise wrong(
            "must be a network in CIDR form, `10.1.0.0/16` or `fd00::/48`, without bits behind the mask"
        ) from None
    return str(unmapped(network))


def unmapped(network: Network) -> Network:
    """The IPv4 network that a network of IPv4-mapped addresses stands for, else the network itself."""
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        address = network.network_address.ipv4_mapped
        assert address is not None
        return ipaddress.IPv4Network((address, network.prefixlen - _MAPPED.prefixlen))
    return network


def is_wide(network: str, bits_4: int, bits_6: int) -> bool:
    """Whether fewer bits than these are fixed: more machines than somebody will have looked at."""
    parsed = ipaddress.ip_network(network)
    return parsed.prefixlen < (bits_4 if parsed.version == 4 else bits_6)


def _identity_peers(text: str) -> str:
    if ipaddress.ip_network(text).prefixlen == 0:
        raise wrong(
            "is every address there is, so whoever reaches the gateway could call itself anybody: name the addresses of the "
            "proxy that sets these headers and removes those of others"
        )
    return text


CidrNetwork = Annotated[StrictStr, AfterValidator(_network)]
PeerNetwork = Annotated[CidrNetwork, AfterValidator(_identity_peers)]
