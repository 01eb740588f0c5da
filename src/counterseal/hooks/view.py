"""What a hook sees: frozen copies, without a credential and without a way back to what they were made of.

Left out are every token, the inbound request with its headers and body, the claims of an IdP's token beyond those named here,
and the session. Of the headers a hook sees those on its own list, and a credential's name on that list keeps the gateway from
starting (`CREDENTIALS`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from counterseal.core.call import Call, Inbound
from counterseal.core.caller import Caller, CallerKind
from counterseal.core.frozen import freeze
from counterseal.core.record import Outcome
from counterseal.wire import headers as wire_headers

CREDENTIALS: Final = frozenset(
    [
        "authorization",
        "cookie",
        "proxy-authorization",
        "set-cookie",
        "txn-token",
        "x-api-key",
        "x-litellm-api-key",
        "x-mcp-channel-token",
    ]
)
"""Headers that no hook gets to see, in lower case. Those that carry a channel token or a server's credential come on top,
by the configuration."""

_NONE: Final[Mapping[str, Any]] = freeze({})


def _none() -> Mapping[str, Any]:
    return _NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerView:
    """Who calls. The names are those of `core.caller.Caller`; None and () where it is not known."""

    kind: CallerKind
    client_id: str
    issuer: str | None = None
    subject: str | None = None
    email: str | None = None
    team: str | None = None
    organisation: str | None = None
    agent: str | None = None
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=_none)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallView:
    """What is called. name: the tool or prompt, the resource's URI. arguments: mappings are read-only and lists are tuples, all
    the way down; None where the method has none. era: `modern` or `legacy`."""

    server: str
    method: str
    name: str | None = None
    arguments: Mapping[str, Any] | None = field(default=None, repr=False)
    era: str = "modern"
    revision: str = "2026-07-28"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One call as a gate or a claim source sees it. headers: those on the hook's list that were sent, names in lower case."""

    caller: CallerView
    call: CallView
    headers: Mapping[str, str] = field(default_factory=_none, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One call as an observer sees it, after its end.

    caller, method, name: None where the call was refused before they were known. verdict: whether the call was made. rule: what
    permitted or refused it, reason: why it was refused or failed (errors.REASONS). outcome: how it ended; None if refused.
    seconds: from the first byte of the request's head to the last of the answer.
    """

    record: str
    caller: CallerView | None
    server: str
    method: str | None
    name: str | None
    verdict: Literal["permitted", "refused"]
    rule: str | None
    reason: str | None
    outcome: Outcome | None
    status: int | None
    seconds: float


def caller_view(caller: Caller) -> CallerView:
    return CallerView(
        kind=caller.kind,
        client_id=caller.client_id,
        issuer=caller.issuer,
        subject=caller.subject,
        email=caller.email,
        team=caller.team,
        organisation=caller.organisation,
        agent=caller.agent,
        roles=caller.roles,
        groups=caller.groups,
        scopes=caller.scopes,
        metadata=freeze(dict(caller.metadata)),
    )


def call_view(call: Call) -> CallView:
    return CallView(
        server=call.server,
        method=call.method,
        name=call.name,
        arguments=None if call.arguments is None else freeze(dict(call.arguments)),
        era=call.era.value,
        revision=call.revision,
    )


def header_view(inbound: Inbound | None, names: Sequence[bytes]) -> Mapping[str, str]:
    """Those of these headers that were sent. names: in lower case. Raises BadCall `bad_header` where one was sent twice."""
    if inbound is None or not names:
        return _NONE
    found = ((name.decode(), wire_headers.single(inbound, name)) for name in names)
    return freeze({name: value for name, value in found if value is not None})  # type: ignore[no-any-return]
