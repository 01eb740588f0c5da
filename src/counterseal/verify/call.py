"""Does a verified token vouch for exactly this call? Pure: the claims on one side, method, name and arguments on the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from counterseal.core.actors import chain_depth
from counterseal.core.canonical import NotCanonical, arguments_digest
from counterseal.core.methods import METHODS
from counterseal.core.operation import Operation
from counterseal.core.scope import ScopeOf, scope_of
from counterseal.verify.errors import VerificationError

TYPE: Final = "mcp_call"
_MEMBERS: Final = frozenset({"type", "locations", "actions", "identifier", "arguments_digest"})
_IDENTITY_LENGTH: Final = 255


def check_shape(claims: Mapping[str, Any]) -> None:
    """What every call token has besides the claims that `jose.claims` checks (docs/call-token.md).

    Raises VerificationError `claim`, `scope` or `actor`.
    """
    for name in ("client_id", "jti", "txn"):
        value = claims.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= _IDENTITY_LENGTH:
            raise VerificationError("claim", f"`{name}` is not a string of 1 to {_IDENTITY_LENGTH} characters")
    if not isinstance(claims.get("scope"), str):
        raise VerificationError("scope", "`scope` is missing or not a string")
    act = claims.get("act")
    if not isinstance(act, dict):
        raise VerificationError("actor", "`act` is missing or not an object")
    try:
        chain_depth(act)
    except ValueError as error:
        raise VerificationError("actor", f"`act`: {error}") from None


def check_operation(
    claims: Mapping[str, Any], operation: Operation, audience: str, *, scope_of: ScopeOf = scope_of
) -> Mapping[str, Any]:
    """Scope and authorization_details (RFC 9396) against method and name. The details, for `check_arguments`. scope_of: how
    tokens of this profile name their scope.

    Raises VerificationError `scope` or `operation`.
    """
    try:
        scope = scope_of(operation.method, operation.name)
    except ValueError:
        raise VerificationError("operation", "the name of the call is not Unicode text") from None
    if claims.get("scope") != scope:
        raise VerificationError("scope", "the token's scope is for another operation")
    details = claims.get("authorization_details")
    if not isinstance(details, list) or len(details) != 1 or not isinstance(details[0], dict):
        raise VerificationError("operation", "`authorization_details` is not a list of exactly one object")
    bound: dict[str, Any] = details[0]
    if bound.get("type") != TYPE or not bound.keys() <= _MEMBERS:
        raise VerificationError("operation", f"`authorization_details` is not of type {TYPE} with its members alone")
    if bound.get("locations") != [audience]:
        raise VerificationError("operation", "`authorization_details` is for another location")
    if bound.get("actions") != [operation.method]:
        raise VerificationError("operation", "the token is for another method")
    if operation.name is None and "identifier" in bound:
        raise VerificationError("operation", "the token names something, and this call names nothing")
    if operation.name is not None and bound.get("identifier") != operation.name:
        raise VerificationError("operation", "the token is for another name")
    return bound


def check_arguments(bound: Mapping[str, Any], operation: Operation, *, required: bool) -> None:
    """The digest in the details against the arguments. required: one must be there where the method binds arguments; one that
    is there is always checked.

    Raises VerificationError `arguments`.
    """
    row = METHODS.get(operation.method)
    if row is None or not row.arguments:
        if "arguments_digest" in bound:
            raise VerificationError("arguments", "the token binds arguments, and this method has none")
        return
    if "arguments_digest" not in bound:
        if required:
            raise VerificationError("arguments", "the token does not bind the arguments (`arguments_digest`)")
        return
    try:
        digest = arguments_digest(operation.arguments or {})
    except NotCanonical:
        raise VerificationError("arguments", "the arguments have no canonical form (RFC 8785)") from None
    if bound["arguments_digest"] != digest:
        raise VerificationError("arguments", "the token is for other arguments than these")
