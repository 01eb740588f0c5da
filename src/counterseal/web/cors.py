"""Which pages of other origins may call, and read what they are answered: the CORS protocol of the Fetch standard.

Before the call of a page a browser asks whether it may be made: a preflight. It holds no credential, reaches no server and, if
it is answered, leaves no record: it decides about nobody. The call after it is decided and recorded like every other. A
preflight that is refused leaves its record, as whatever is refused does.

Origins are configuration, compared to the byte, and no answer names another one. None allows a browser's own credentials
(cookies, certificates): a page sends its token itself, so it cannot use what somebody else left in the browser.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from counterseal.core.call import Inbound
from counterseal.core.reply import Headers

_EXPOSED: Final = (b"access-control-expose-headers", b"WWW-Authenticate, Mcp-Session-Id, Retry-After")
_VARY: Final = (b"vary", b"Origin")
_METHODS: Final = (b"access-control-allow-methods", b"POST, GET, DELETE")
_MAX_AGE: Final = (b"access-control-max-age", b"600")
_REQUEST_HEADERS: Final = (
    b"Authorization",
    b"X-API-Key",
    b"Content-Type",
    b"Accept",
    b"MCP-Protocol-Version",
    b"Mcp-Method",
    b"Mcp-Name",
    b"Mcp-Session-Id",
    b"Last-Event-ID",
)
# How they go on is for the tools to say, so they are allowed by their form: a token (RFC 9110 section 5.6.2).
_PARAM: Final = re.compile(rb"mcp-param-[!#$%&'*+\-.^_`|~0-9a-z]+", re.IGNORECASE)


class Cors:
    """origins: those of `listen.origins`, as browsers write them. forwarded: headers that some server gets by name."""

    def __init__(self, origins: Sequence[str], forwarded: Sequence[str] = ()) -> None:
        self._forwarded = frozenset(name.lower().encode() for name in forwarded)
        self._answers: dict[bytes, Headers] = {
            origin.encode(): ((b"access-control-allow-origin", origin.encode()), _VARY, _EXPOSED) for origin in origins
        }

    def headers(self, inbound: Inbound) -> Headers:
        """What lets the page read any answer to its request; nothing where it is of no configured origin."""
        origins = inbound.all(b"origin")
        return self._answers.get(origins[0], ()) if len(origins) == 1 else ()

    def is_preflight(self, inbound: Inbound) -> bool:
        """Whether a browser asks beforehand, for a page of a configured origin. What has a body is no preflight."""
        origins = inbound.all(b"origin")
        return (
            inbound.verb == "OPTIONS"
            and len(origins) == 1
            and origins[0] in self._answers
            and len(inbound.all(b"access-control-request-method")) == 1
            and not inbound.all(b"transfer-encoding")
            and set(inbound.all(b"content-length")) <= {b"0"}
        )

    def preflight_answer(self, inbound: Inbound) -> Headers:
        """The same for every address, so that it says nothing about which servers there are; and none of its names is one that
        was not asked for."""
        asked = b",".join(inbound.all(b"access-control-request-headers")).split(b",")
        more = dict.fromkeys(name for name in map(bytes.strip, asked) if self._may_be_sent(name))
        allowed = (b"access-control-allow-headers", b", ".join((*_REQUEST_HEADERS, *more)))
        return (_METHODS, allowed, _MAX_AGE)

    def _may_be_sent(self, name: bytes) -> bool:
        return _PARAM.fullmatch(name) is not None or name.lower() in self._forwarded
