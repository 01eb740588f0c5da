"""Addresses as LiteLLM has them: `/mcp`, `/mcp/{names}` and `/{names}/mcp`, all of them for several servers at once.

A name is a server's, a further one of it, or that of a group; several stand with commas between them. Where the path has none,
the header `x-mcp-servers` may have some. They say which servers are meant and permit nothing: policy decides about each call.
Tools are called `{server}-{tool}` at every one of these addresses, and where one server is meant by their own names as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import Limits
from counterseal.core.reply import Reply
from counterseal.errors import BadCall, CallError
from counterseal.gateway.aggregate.handler import Aggregate
from counterseal.gateway.batch import BatchHandler, OpenSession
from counterseal.gateway.recorder import Recorder
from counterseal.wire.headers import single

_HEADERS: Final = (b"x-mcp-servers", b"x-mcp-access-groups")


@dataclass(frozen=True, slots=True)
class _Meant:
    """The address of some servers. among: None for all of them."""

    aggregate: Aggregate
    among: tuple[str, ...] | None

    @property
    def recorder(self) -> Recorder:
        return self.aggregate.recorder

    async def handle(self, inbound: Inbound) -> Reply:
        return await self.aggregate.handle(inbound, self.among)

    async def identify(self, inbound: Inbound) -> Caller:
        return await self.aggregate.identify(inbound)

    async def refuse(self, inbound: Inbound, error: CallError) -> NoReturn:
        await self.aggregate.refuse(inbound, error)


class LitellmAddresses:
    """What the web room hands requests to. Their `server` is what stands in the path. names: whatever may be called so, with the
    servers that it means."""

    def __init__(
        self, aggregate: Aggregate, open_session: OpenSession, limits: Limits, names: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._aggregate = aggregate
        self._open_session = open_session
        self._limits = limits
        self._names = names
        self._all = tuple(dict.fromkeys(server for servers in names.values() for server in servers))

    async def handle(self, inbound: Inbound) -> Reply:
        """As `Pipeline.handle`."""
        called = inbound.at("")
        try:
            among = self._among(inbound)
        except BadCall as error:
            await self._aggregate.refuse(called, error)
        return await BatchHandler(_Meant(self._aggregate, among), self._open_session, self._limits).handle(called)

    async def identify(self, inbound: Inbound) -> Caller:
        """As `Pipeline.identify`."""
        return await self._aggregate.identify(inbound.at(""))

    async def refuse(self, inbound: Inbound, error: CallError) -> NoReturn:
        """As `Pipeline.refuse`."""
        await self._aggregate.refuse(inbound.at(""), error)

    def _among(self, inbound: Inbound) -> tuple[str, ...] | None:
        """The servers that are meant; None for all. Raises BadCall where the path means none, or a header is there twice."""
        if inbound.server:
            found = self._meant(inbound.server)
            if not found:
                raise BadCall(
                    "server_unknown", "there is no such address: servers are at /mcp/{server}, and all at /mcp"
                )
            return found
        sent = [value for name in _HEADERS if (value := single(inbound, name)) is not None]
        if sent:
            return self._meant(",".join(sent))
        return self._all if len(self._all) == 1 else None

    def _meant(self, text: str) -> tuple[str, ...]:
        """Without what is no name, as with LiteLLM."""
        named = (self._names.get(name.strip().replace(" ", "_"), ()) for name in text.split(","))
        return tuple(dict.fromkeys(server for servers in named for server in servers))
