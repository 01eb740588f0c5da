"""Keys that the operator brings (`callers.own_keys`), such as the master key of a LiteLLM configuration.

What is kept is an HMAC of each, under the pepper of the store's keys. What was sent is compared with all of them, each in
constant time, so that how long it takes says nothing about which of them it resembles.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from types import MappingProxyType

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.identity.key_form import mac


class OwnKeys:
    """The authenticator for them. keys: of each its name, its secret, and its subject or None."""

    def __init__(self, keys: Iterable[tuple[str, str, str | None]], pepper: bytes) -> None:
        self._pepper = pepper
        self._entries = tuple(
            (mac(pepper, secret.encode()), holder_of(name, subject)) for name, secret, subject in keys
        )

    async def authenticate(self, presented: bytes, inbound: Inbound) -> Caller | None:
        """Who holds it; None for what is none of them, which may be another kind of credential."""
        presented_mac = mac(self._pepper, presented)
        found = None
        for known, caller in self._entries:
            if hmac.compare_digest(known, presented_mac):
                found = caller
        return found


def holder_of(name: str, subject: str | None) -> Caller:
    """Whoever has the key of this name. subject: None for the name."""
    subject = subject or name
    fields = MappingProxyType({"sub": subject, "user_id": subject})
    return Caller(kind="api_key", client_id=name, subject=subject, fields=fields)
