"""One tool call of LiteLLM's becomes a decided, recorded and countersigned one, by the pipeline's own stages. Knows nothing of
LiteLLM's classes.

The order is that of `gateway/pipeline.py` up to the intent. What follows is LiteLLM's: it sends the call with our headers, and
says how it ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS
from counterseal.core.permit import Denial, Permit
from counterseal.errors import CannotTell
from counterseal.gateway.asked import Asked, request
from counterseal.gateway.recorder import Denied
from counterseal.integrations.litellm.callers import caller_of, is_key_of
from counterseal.integrations.litellm.open_records import OpenRecords
from counterseal.integrations.litellm.running import Opened, Running
from counterseal.integrations.litellm.settings import BOTH, LITELLM, Settings

PEER: Final = "litellm"
"""The peer in records: whom LiteLLM's connection is with, it does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """What LiteLLM is about to send. id: LiteLLM's of this call. server: LiteLLM's name. name: as the server knows the tool.
    bearer: what came in `Authorization`. headers: of its client, as far as LiteLLM shows them, names in lower case. auth: whom
    it let in.
    """

    id: str | None
    server: str
    name: str
    arguments: Mapping[str, Any] = field(repr=False)
    bearer: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    auth: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Signed:
    """headers: to be sent with the call, the token among them. arguments: those to send in the place of the call's own; None
    for those. record: the id of its record."""

    headers: tuple[tuple[str, str], ...] = field(repr=False)
    arguments: Mapping[str, Any] | None = field(repr=False)
    record: str


class Signing:
    """running: opens our parts. settings: of the guardrail."""

    def __init__(self, settings: Settings, running: Running, records: OpenRecords) -> None:
        self._settings = settings
        self._running = running
        self._records = records

    async def __call__(self, tool_call: ToolCall) -> Signed | None:
        """What goes with the call, or None for a server whose calls are left alone. Raises CallError, recorded."""
        if tool_call.server in self._settings.unsigned:
            return None
        opened = await self._running()
        parts = opened.parts
        inbound = self._inbound(tool_call, opened)
        async with parts.pipeline.recorder.open(inbound) as record:
            caller = record.caller = await self._caller(tool_call, inbound, opened)
            record.until_end(parts.pipeline.admission.enter(caller))
            call = record.call = parts.pipeline.decode(inbound, caller)
            verdict = await parts.pipeline.permit(caller, call, inbound)
            if isinstance(verdict, Denial):
                raise Denied(verdict)
            replaced = _replaced(tool_call, verdict)
            await record.intent(verdict)
        self._records.keep(tool_call.id, record)
        header = parts.configuration.signer_of(call.server).header
        token = f"Bearer {verdict.token}" if header.lower() == "authorization" else verdict.token
        return Signed(tuple(verdict.beside([(header, token)])), replaced, record.id)

    def _inbound(self, tool_call: ToolCall, opened: Opened) -> Inbound:
        """The request that a client of ours would have sent for this call."""
        configuration = opened.parts.configuration
        server = self._settings.server(tool_call.server)
        channel = None
        if server in configuration.servers:
            channel = tool_call.headers.get(configuration.signer_of(server).channel_token_header.lower())
        asked = Asked(
            token=self._token(tool_call),
            server=server,
            method="tools/call",
            name=tool_call.name,
            arguments=tool_call.arguments,
            peer=PEER,
            channel=channel if server in configuration.servers else None,
        )
        return request(asked, opened.parts)

    def _token(self, tool_call: ToolCall) -> str | None:
        """The bearer token, where tokens count and it is not just the key by which LiteLLM let its client in."""
        who = self._settings.callers
        if who == LITELLM or (who == BOTH and tool_call.bearer and is_key_of(tool_call.auth, tool_call.bearer)):
            return None
        return tool_call.bearer

    async def _caller(self, tool_call: ToolCall, inbound: Inbound, opened: Opened) -> Caller:
        """A bad token never falls back to LiteLLM's word."""
        identify = opened.parts.pipeline.identify
        who = self._settings.callers
        if who == LITELLM or (who == BOTH and not inbound.all(b"authorization")):
            trust = self._settings.trust_end_user
            return await identify.spoken_for(
                caller_of(tool_call.auth, opened.key_secret, trust_end_user=trust), inbound
            )
        return await identify(inbound)


def waiting_seconds() -> float:
    """How long an end is waited for: as long as a call of our own may take."""
    return LIMITS.server_total_seconds


def _replaced(tool_call: ToolCall, permit: Permit) -> Mapping[str, Any] | None:
    arguments = permit.call.arguments or {}
    if arguments == tool_call.arguments:
        return None
    if not arguments:
        # LiteLLM takes an empty mapping for nothing replaced.
        what = "a hook left no arguments, and LiteLLM would send those that the call had"
        raise CannotTell("hook_failed", "a hook of the gateway cannot be followed here", detail=what)
    return arguments
