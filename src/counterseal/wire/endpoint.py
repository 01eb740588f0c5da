"""Where an HTTP+SSE server wants messages to be posted, as its `endpoint` event says it.

The event comes from the server, and posts carry the call token and the server's own credentials: an address of another origin
would send them away. So scheme, host and port must be those of the configured address, and nothing may stand there that two
readers could take for two addresses.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

_LONGEST: Final = 2048
_PLAIN: Final = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+")  # RFC 3986 without `#`
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:(?!//[^/?])")
"""A scheme without a host behind it, which some readers take for a path."""
_PORTS: Final = {"http": 80, "https": 443}


def resolve(url: str, said: bytes) -> str:
    """The absolute address. url: the configured one. Raises ValueError, which says why without quoting it."""
    text = said.decode("latin-1")
    if len(text) > _LONGEST:
        raise ValueError(f"an endpoint of more than {_LONGEST} characters")
    if not _PLAIN.fullmatch(text):
        raise ValueError("an endpoint with characters that no address has")
    if text.startswith("//") or _SCHEME.match(text):
        raise ValueError("an endpoint that has a scheme or a host, but not both")
    found = urljoin(url, text)
    if not found.isascii() or _origin(urlsplit(found)) != _origin(urlsplit(url)):
        raise ValueError("an endpoint of another origin")
    return found


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    """Raises ValueError for what has none."""
    if "@" in parts.netloc or parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("an endpoint that is not an http address without user name")
    return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]
