"""What one call leaves behind: an intent before it leaves, an outcome after it ended, or a refusal; a gather in place of
the intent, where it is asked of several servers; and a mint, where somebody made a token by hand.

Tools leave a change, where a list showed one that is not the approved one, and an approval, where somebody approved it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from counterseal.core.call import Call, Inbound
from counterseal.core.caller import Caller
from counterseal.core.operation import Operation
from counterseal.core.permit import Permit
from counterseal.core.scripts import mixed_scripts
from counterseal.errors import Reason

Outcome = Literal["answered", "error", "aborted", "failed", "unknown"]
"""How a call ended: with a result; with a JSON-RPC error of the server; because the caller left or the gateway's own end cut it
off, as the reason says; because the server failed; or nobody knows, because the gateway ended between intent and outcome."""

CALLER_LEFT: Final = "caller_left"
"""Beside the codes of errors.REASONS, because nobody is there to be answered with it."""


PROBE: Final = "probe"
"""The peer of a token that was made to attack a server with."""


def refusal(
    record: str,
    inbound: Inbound,
    caller: Caller | None,
    call: Call | None,
    reason: Reason | None,
    *,
    detail: str | None = None,
    rule: str | None = None,
    part_of: str | None = None,
) -> dict[str, Any]:
    """The entry of a call that was not made. reason: None where the caller left before it could be. part_of: the record of the
    gather that it belongs to."""
    return {
        "event": "refusal",
        "record": record,
        **_what(inbound, call),
        **_who(caller),
        "peer": inbound.peer,
        "channel_token": _channel(caller),
        "reason": CALLER_LEFT if reason is None else reason.code,
        "status": None if reason is None else reason.status,
        "detail": detail,
        "rule": rule,
        **_part(part_of),
    }


def gather(record: str, inbound: Inbound, caller: Caller, call: Call) -> dict[str, Any]:
    """The entry of a call to the address of all servers that is asked of several of them, before the first is asked. Each of
    those calls has a record of its own, whose `part_of` is this one's id."""
    return {
        "event": "gather",
        "record": record,
        **_what(inbound, call),
        **_who(caller),
        "peer": inbound.peer,
        "channel_token": _channel(caller),
    }


def intent(
    record: str, inbound: Inbound, permit: Permit, arguments_mac: str | None, part_of: str | None = None
) -> dict[str, Any]:
    """The entry that must be durable before the call leaves. arguments_mac: a keyed digest, because a bare one of short
    arguments could be guessed from (U-08). part_of: as in `refusal`."""
    claims = permit.claims
    return {
        "event": "intent",
        "record": record,
        **_what(inbound, permit.call),
        **_who(permit.caller),
        "peer": inbound.peer,
        "channel_token": _channel(permit.caller),
        "rule": permit.allowed.rule,
        "hooks": list(permit.hooks),
        "sub": claims["sub"],
        "sub_of": permit.subject,
        "mixed_scripts": mixed_scripts(permit.subject or claims["sub"]),
        "act": claims["act"],
        "aud": claims["aud"],
        "scope": claims["scope"],
        "jti": claims["jti"],
        "txn": claims["txn"],
        "exp": claims["exp"],
        "beside": [{name: other[name] for name in ("aud", "jti", "exp")} for other in permit.others],
        "passes_on": permit.passes_on,
        **_forwarded(permit),
        "kid": permit.kid,
        "alg": permit.algorithm,
        "arguments": arguments_mac,
        **_part(part_of),
    }


def minted(record: str, inbound: Inbound, permit: Permit, arguments_mac: str | None) -> dict[str, Any]:
    """The entry of a token that was made by hand: whoever asked for it makes the call, or none, so no outcome follows."""
    return {**intent(record, inbound, permit, arguments_mac), "event": "mint"}


def probed(
    record: str, attack: str, server: str, operation: Operation, claims: Mapping[str, Any], *, kid: str, algorithm: str
) -> dict[str, Any]:
    """The entry of a token that `counterseal probe` signs, good or bad: a mint for no caller, under no rule. attack: what it is
    for."""
    return {
        "event": "mint",
        "record": record,
        "server": server,
        "method": operation.method,
        "name": operation.name,
        "era": None,
        **_who(None),
        "peer": PROBE,
        "rule": f"{PROBE}[{attack}]",
        **{name: claims[name] for name in ("sub", "act", "aud", "scope", "jti", "txn", "exp")},
        "kid": kid,
        "alg": algorithm,
    }


def outcome(
    record: str, how: Outcome, *, status: int | None, reason: str | None, detail: str | None, size: int, seconds: float
) -> dict[str, Any]:
    """The entry after the last byte. size: bytes that went to the caller."""
    return {
        "event": "outcome",
        "record": record,
        "outcome": how,
        "status": status,
        "reason": reason,
        "detail": detail,
        "bytes": size,
        "seconds": round(seconds, 6),
    }


def _part(part_of: str | None) -> dict[str, Any]:
    return {} if part_of is None else {"part_of": part_of}


def _forwarded(permit: Permit) -> dict[str, Any]:
    """The headers of the caller's that go on, by name, where there are any."""
    return {"forwarded": [name for name, _ in permit.forwarded]} if permit.forwarded else {}


def tool_change(
    record: str, server: str, tool: str, caller: Caller, *, approved: str | None, seen: str | None, action: str
) -> dict[str, Any]:
    """The entry of a tool that is not as it was approved. caller: whose list showed it. approved, seen: digests of definitions,
    None where there is none. action: what `on_tool_change` says."""
    return {
        "event": "tool_change",
        "record": record,
        "server": server,
        "method": "tools/list",
        "name": tool,
        **_who(caller),
        "approved": approved,
        "seen": seen,
        "action": action,
    }


def tool_approval(record: str, server: str, tool: str, *, before: str | None, approved: str) -> dict[str, Any]:
    """The entry of a definition that somebody approved by hand. Both are digests; before: None where none was approved."""
    return {
        "event": "tool_approval",
        "record": record,
        "server": server,
        "name": tool,
        "before": before,
        "approved": approved,
    }


def _what(inbound: Inbound, call: Call | None) -> dict[str, Any]:
    if call is None:
        return {"server": inbound.server, "method": None, "name": None, "era": None}
    return {"server": call.server, "method": call.method, "name": call.name, "era": call.era}


def _channel(caller: Caller | None) -> str | None:
    """verified; ignored: one was sent and nobody is configured to verify it. One that was refused is in `reason`."""
    if caller is None:
        return None
    return "verified" if caller.channel is not None else "ignored" if caller.channel_ignored else None


def _who(caller: Caller | None) -> dict[str, Any]:
    if caller is None:
        return {"caller": None}
    return {
        "caller": {
            "kind": caller.kind,
            "client_id": caller.client_id,
            "issuer": caller.issuer,
            "subject": caller.subject,
        }
    }
