"""Headers of a caller's that one server gets, by name: what he says of himself, and nobody has checked.

Nothing is decided by them, and nothing of them is in a token. Each is written anew, once, as the configuration spells it. One
that could be read in two ways is sent to nobody, and neither is what the caller proves himself with here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from counterseal.core.call import Inbound
from counterseal.errors import BadCall
from counterseal.gateway.passthrough import counts_here
from counterseal.wire.headers import single

_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


@dataclass(frozen=True, slots=True)
class Forwarded:
    """For one server. names: as they are sent. channel, key: the headers of channel tokens and of API keys beside tokens, in
    lower case; key is None where there is none. most: bytes of a value."""

    names: tuple[str, ...]
    channel: bytes
    key: bytes | None
    most: int
    _lower: dict[bytes, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lower", {name.lower().encode(): name for name in self.names})

    def headers(self, inbound: Inbound) -> tuple[tuple[str, str], ...]:
        """Those that the caller sent, for the server.

        Raises BadCall `bad_header` for one that was sent twice, also with `_` for `-`, or is not one line of so much printable
        ASCII; `passthrough_refused` for one that holds what counts here.
        """
        for sent in inbound.names:
            if b"_" in sent and (meant := self._lower.get(sent.replace(b"_", b"-"))) is not None:
                raise BadCall(
                    "bad_header", f"the header {meant} was sent with an underscore: many take both for the same"
                )
        found = []
        for lower, name in self._lower.items():
            value = single(inbound, lower)
            if value is None:
                continue
            if len(value) > self.most:
                raise BadCall("bad_header", f"the header {name} has more than {self.most} bytes")
            if not _VALUE.fullmatch(value):
                raise BadCall("bad_header", f"the header {name} is empty: leave it out, or send a value")
            if counts_here(value.encode(), inbound, self.channel, self.key):
                raise BadCall("passthrough_refused", f"the header {name} holds a credential for this gateway")
            found.append((name, value))
        return tuple(found)
