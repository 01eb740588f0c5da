"""The server's own credential, brought by a caller: the one way on which a credential in a caller's headers reaches a server.

It is for a credential that the server itself, or its own authorization server, gave the caller. What the caller proves itself
with *here* never goes on: MCP forbids that (authorization, "token passthrough"), and whoever has a server could then call as
everybody who calls it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from counterseal.core.call import Inbound
from counterseal.errors import BadCall
from counterseal.identity.credentials import every
from counterseal.identity.key_form import PREFIX
from counterseal.wire.headers import single

# RFC 9110 section 11.4: a scheme, one space, and what belongs to it.
_CREDENTIALS: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ ([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")


@dataclass(frozen=True, slots=True)
class Passthrough:
    """For one server. header: the caller's that holds it; channel: that of channel tokens; key: that of API keys beside tokens,
    None where there is none; all in lower case."""

    header: bytes
    channel: bytes
    key: bytes | None = None

    def headers(self, inbound: Inbound) -> tuple[tuple[str, str], ...]:
        """`Authorization` for the server; nothing where the caller brings nothing.

        Raises BadCall `bad_header` where it is sent twice or is no scheme with a credential, `passthrough_refused` where it holds
        what counts here.
        """
        value = single(inbound, self.header)
        if value is None:
            return ()
        shown = self.header.decode()
        match = _CREDENTIALS.fullmatch(value)
        if match is None:
            raise BadCall("bad_header", f"the header {shown} is not a scheme and a credential, as `Bearer` and a token")
        if counts_here(match[1].encode(), inbound, self.channel, self.key):
            what = f"the header {shown} holds a credential for this gateway: send the server's own there"
            raise BadCall("passthrough_refused", what)
        return (("Authorization", value),)


def counts_here(brought: bytes, inbound: Inbound, channel: bytes, key: bytes | None) -> bool:
    """Whether a value holds what the caller of this request proves himself with here, or an API key of a gateway. channel, key:
    the headers of channel tokens and of API keys beside tokens."""
    here = [*every(inbound, key), *(_bare(sent) for sent in inbound.all(channel))]
    return brought.startswith(PREFIX) or any(one and one in brought for one in here)


def _bare(value: bytes) -> bytes:
    """A channel token without `Bearer` before it."""
    return value.strip(b" \t").rpartition(b" ")[2]
