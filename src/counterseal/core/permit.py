"""How a decision comes out: a Permit, which is the only thing a server sends, or a Denial, which is sent back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from counterseal.core.call import Call
from counterseal.core.caller import Caller
from counterseal.core.value import Value


class Allowed(Value, frozen=True):
    """Policy's yes. rule: which rule said so, as the configuration shows it (`policy[0]`)."""

    rule: str


@dataclass(frozen=True, slots=True)
class Denial:
    """Policy's no, a value because nothing went wrong. reason: a code of errors.REASONS. rule: who said no."""

    reason: str
    message: str
    rule: str


class ClaimsRefused(ValueError):
    """The claims of the call token cannot be made as the configuration says, so the call is denied."""

    def __init__(self, reason: str, message: str, rule: str) -> None:
        super().__init__(message)
        self.denial = Denial(reason, message, rule)


class Permit(Value, frozen=True, kw_only=True):
    """One countersigned call.

    Made by `gateway.pipeline` alone, from the call, policy's yes and a token that was signed for exactly this call; there
    is no other way to reach a server, so no path can go out unsigned. subject: whose pseudonym the claim `sub` is, for the record
    alone; None where it is no pseudonym. more: the headers that go beside the call token's. others: the claims of each other
    token in them. passes_on: one of them is a credential that the caller brought for the server. forwarded: headers of
    the caller's that the server gets by name: his word, and nobody's proof. headers: what hooks add to the request; they replace
    none of ours. hooks: those that replaced arguments or added claims, by name.
    """

    UNSHOWN: ClassVar = frozenset({"token", "more", "forwarded", "headers"})

    caller: Caller
    call: Call
    allowed: Allowed
    claims: Mapping[str, Any]
    kid: str
    algorithm: str
    token: str
    subject: str | None = None
    more: tuple[tuple[str, str], ...] = ()
    others: tuple[Mapping[str, Any], ...] = ()
    passes_on: bool = False
    forwarded: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    hooks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        bound = self.claims["authorization_details"][0]
        if bound["actions"] != [self.call.method] or bound.get("identifier") != self.call.name:
            raise ValueError("the call token is for another operation than the call")
        for other in self.others:
            if other["txn"] != self.claims["txn"] or other["jti"] == self.claims["jti"]:
                raise ValueError("a token beside the call token is of another call, or the same one again")

    def beside(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The headers of a request to the server, with `more`, those that hooks add and those of the caller's: beside them, and
        in the place of none."""
        headers = [*headers, *self.more]
        for others in (self.headers, self.forwarded):
            if others:
                ours = {name.lower() for name, _ in headers}
                headers += [header for header in others if header[0].lower() not in ours]
        return headers
