"""Who acts for the subject (RFC 8693 section 4.1): the chain that a call token has as `act`, outermost first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from counterseal.core.caller import Caller
from counterseal.core.frozen import thaw
from counterseal.core.origins import Kind
from counterseal.core.sources import kind_of

ACT_DEPTH: Final = 4
"""The longest actor chain that leaves the gateway, ours included."""
MAY_ACT_MEMBERS: Final = ("sub", "iss", "client_id")
"""What of `may_act` an actor is compared by."""


Acting = tuple[dict[str, Any], Kind, str]
"""A chain, and kind and detail of where its outermost actor came from (origins.Origin)."""


def acting(caller: Caller, issuer: str) -> Acting:
    """Who made this call on the subject's behalf. issuer: our own.

    The verified channel, with the verified inbound chain below it; else that chain as it is, else the caller's agent, else
    its team, else this gateway.
    """
    if caller.channel is not None:
        below = {} if caller.act is None else {"act": thaw(caller.act)}
        return caller.channel.actor | below, "channel", caller.channel.issuer
    if caller.act is not None:
        return thaw(caller.act), "claim", "act"
    return _of_fields(caller, ("agent_id", "team_id"), issuer)


def acting_as_litellm_says(caller: Caller, issuer: str) -> Acting:
    """The one actor of LiteLLM's tokens: the verified channel, else the team, else the organisation, else this gateway."""
    if caller.channel is not None:
        named = caller.channel.actor
        return {"sub": caller.channel.client_id, **named}, "channel", caller.channel.issuer
    return _of_fields(caller, ("team_id", "org_id"), issuer)


def _of_fields(caller: Caller, names: tuple[str, ...], issuer: str) -> Acting:
    for name in names:
        if value := caller.fields.get(name):
            return {"sub": value}, kind_of(caller), name
    return {"sub": issuer}, "configuration", "issuer"


def actor(caller: Caller, issuer: str) -> dict[str, Any]:
    """The chain alone."""
    return acting(caller, issuer)[0]


class ActorRefused(ValueError):
    """Who acts must not act for this subject. The text says why, and names nobody."""


def check_actor(caller: Caller, issuer: str) -> None:
    """Hold the outermost actor against `may_act` of the caller's token (RFC 8693 section 4.4), and the chain against its
    ceiling. Raises ActorRefused."""
    if caller.channel is not None and caller.act is not None and chain_depth(caller.act) >= ACT_DEPTH:
        raise ActorRefused(f"with the channel there would be more than {ACT_DEPTH} actors")
    if caller.may_act is None:
        return
    outermost = actor(caller, issuer)
    if caller.channel is not None:
        outermost = {**outermost, "iss": caller.channel.issuer}
    for name in MAY_ACT_MEMBERS:
        if name in caller.may_act and outermost.get(name) != caller.may_act[name]:
            raise ActorRefused(f"`may_act` names another actor: its `{name}` is not that of who acts")


def chain_depth(act: Mapping[str, Any]) -> int:
    """How many actors a chain names. Raises ValueError where it is not a chain of objects that each name one; `null` ends it."""
    depth = 0
    node: Any = act
    while node is not None:
        name = node.get("sub", node.get("client_id")) if isinstance(node, Mapping) else None
        if not isinstance(name, str) or not name:
            raise ValueError("an actor is an object with `sub` or `client_id`")
        depth += 1
        if depth > ACT_DEPTH:
            raise ValueError(f"more than {ACT_DEPTH} actors")
        node = node.get("act")
    return depth
