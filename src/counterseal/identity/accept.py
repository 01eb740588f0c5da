"""What the verified claims of an issuer make of a caller, whatever proved them: a signature, or the issuer's own answer.

Each field has a declared type; a claim of another type refuses the token, and an empty one is none at all (I-06,
I-07). Nothing is taken from a token but by the paths that the issuer's configuration names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from counterseal.core.actors import MAY_ACT_MEMBERS, chain_depth
from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.frozen import freeze
from counterseal.core.names import is_reserved, is_seen
from counterseal.errors import BadCall
from counterseal.identity.challenge import resource
from counterseal.jose.claims import ClaimRules, check_audience, is_type
from counterseal.jose.jws import Verified
from counterseal.jose.refusal import TokenRefused

Path = tuple[str, ...]
"""The way to a claim: its name, or the names of the objects around it and then its own."""

_ID_TOKEN_ONLY: Final = frozenset({"at_hash", "c_hash"})
"""Claims that only ID tokens have (OpenID Connect Core 1.0 section 3.3.2.11): those say who logged in, not what may be
called. `nonce` is not among them, because some providers put it into access tokens too."""

_ACCESS_ONLY: Final = frozenset({"scope", "scp", "client_id", "cid", "appid", "azpacr"})
"""Claims that access tokens have and ID tokens don't: RFC 9068 section 2.2, and what providers have in their place. `azp` and
`jti` are not among them, because some ID tokens have those."""

_SCOPES: Final = (("scope",), ("scp",))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPaths:
    """Where an issuer's tokens say what. None: they don't; for `scope`: `scope` (RFC 9068), else `scp`."""

    subject: Path = ("sub",)
    email: Path | None = ("email",)
    team: Path | None = None
    org: Path | None = None
    agent: Path | None = None
    scope: Path | None = None
    roles: Path | None = None
    groups: Path | None = None


class InsufficientScope(BadCall):
    """403: the token is good and says too little. scopes: all that are needed, for the challenge."""

    def __init__(self, scopes: tuple[str, ...], caller: Caller) -> None:
        super().__init__("insufficient_scope", f"the token needs the scopes {' '.join(scopes)}")
        self.scopes = scopes
        self.caller = caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """The rules of one issuer for claims that are verified already.

    name: the configuration's, for messages. issuers: every exact `iss` that its tokens may have. tenants: for an `iss` of a
    tenant, what `tid` must be. own: this gateway's issuer. audiences: None for the address that was called. required_scopes: a
    token must have all of them.
    """

    name: str
    issuers: tuple[str, ...]
    own: str
    tenants: Mapping[str, str] = field(default_factory=dict)
    audiences: tuple[str, ...] | None = None
    paths: ClaimPaths = ClaimPaths()
    required_scopes: tuple[str, ...] = ()
    require_email_verified: bool = True

    def audiences_at(self, server: str) -> tuple[str, ...]:
        """What a token must name one of to be good at this server."""
        return self.audiences or (resource(self.own, server),)

    def __call__(self, claims: Mapping[str, Any], inbound: Inbound) -> Caller:
        """The caller of claims that the issuer vouches for by its own word: `active` and times were checked before.

        `aud` is checked where it is there, and `iss` may be left out where only one is possible. Raises TokenRefused,
        InsufficientScope.
        """
        if "aud" in claims:
            rules = ClaimRules(issuer=self.issuers[0], audiences=self.audiences_at(inbound.server), types=())
            check_audience(claims["aud"], rules)
        return self.caller(claims)

    def caller(self, claims: Mapping[str, Any]) -> Caller:
        """The caller of claims whose audience and times were checked before. Raises TokenRefused, InsufficientScope."""
        issuer = self._issuer(claims)
        check_kind(claims)
        act, may_act = claims.get("act"), claims.get("may_act")
        if act is not None:
            _check_act(act)
        if "may_act" in claims:
            _check_may_act(may_act)
        subject = _text(claims, self.paths.subject, "subject")
        if subject is None or is_reserved(subject):
            # So the gateway itself names callers without a person; a provider's subject must not pass for one (J-19).
            raise TokenRefused("subject", "there is no subject, or it has a form that the gateway keeps for itself")
        exp = claims.get("exp")
        caller = Caller(
            kind="token",
            client_id=client_of(claims) or subject,
            issuer=issuer,
            subject=subject,
            claims=freeze(dict(claims)),
            fields=self._fields(claims, subject),
            roles=_texts(claims, self.paths.roles, "roles"),
            groups=_texts(claims, self.paths.groups, "groups"),
            scopes=self._scopes(claims),
            act=freeze(act),
            may_act=freeze(may_act),
            expires=float(exp) if isinstance(exp, int | float) else None,
        )
        if not set(self.required_scopes) <= set(caller.scopes):
            raise InsufficientScope(self.required_scopes, caller)
        return caller

    def _issuer(self, claims: Mapping[str, Any]) -> str:
        issuer = claims.get("iss", self.issuers[0] if len(self.issuers) == 1 else None)
        if issuer not in self.issuers:
            raise TokenRefused("issuer", f"`iss` is not that of issuer {self.name}")
        tenant = self.tenants.get(issuer)
        if tenant is not None and claims.get("tid") != tenant:
            raise TokenRefused("issuer", "`tid` is not the tenant that `iss` names")
        return str(issuer)

    def _fields(self, claims: Mapping[str, Any], subject: str) -> Mapping[str, str]:
        paths = self.paths
        found = {
            "user_id": subject,
            "email": self._email(claims),
            "team_id": _text(claims, paths.team, "team"),
            "org_id": _text(claims, paths.org, "org"),
            "agent_id": _text(claims, paths.agent, "agent"),
        }
        return MappingProxyType({name: value for name, value in found.items() if value is not None})

    def _email(self, claims: Mapping[str, Any]) -> str | None:
        """An address counts once the issuer says beside it that it is verified (I-13)."""
        path = self.paths.email
        email = _text(claims, path, "email")
        if path is None or email is None or not self.require_email_verified:
            return email
        return email if _at(claims, (*path[:-1], "email_verified")) is True else None

    def _scopes(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        for path in _SCOPES if self.paths.scope is None else (self.paths.scope,):
            value = _at(claims, path)
            # RFC 6749 section 3.3: a space separates, and nothing else does.
            if found := _list(value.split(" ") if isinstance(value, str) else value, "scope"):
                return found
        return ()


def check_kind(claims: Mapping[str, Any]) -> None:
    """Refuse what is no access token by its claims, and one that is bound to a key (J-20, J-31)."""
    if not _ID_TOKEN_ONLY.isdisjoint(claims) or claims.get("typ") == "ID" or claims.get("token_use") == "id":
        raise TokenRefused("typ", "an ID token, not an access token")
    if "events" in claims:
        raise TokenRefused("typ", "a security event (RFC 8417), not an access token")
    if "cnf" in claims:
        raise TokenRefused("confirmation", "the token is bound to a key (RFC 7800) and came without the proof")


def check_says_access(verified: Verified) -> None:
    """Refuse a token that nothing tells from an ID token: its type is not that of RFC 9068, and it has no claim that only access
    tokens have. Where a client's own id is the audience, its ID tokens would pass (J-20)."""
    if is_type(verified.typ, "at+jwt") or not _ACCESS_ONLY.isdisjoint(verified.claims):
        return
    raise TokenRefused("typ", "nothing tells it from an ID token: no `typ: at+jwt`, and no scope or client; see `bare`")


def client_of(claims: Mapping[str, Any]) -> str | None:
    """The client that a token was issued to: `client_id` (RFC 9068), else `azp`; None where it doesn't say."""
    for name in ("client_id", "azp"):
        client = claims.get(name)
        if client is None or client == "":
            continue
        if not isinstance(client, str) or not is_seen(client):
            raise TokenRefused("malformed", f"`{name}` is not a text of 1 to 255 characters that can be seen")
        return client
    return None


def _check_act(act: Any) -> None:
    try:
        chain_depth(act)
    except ValueError as error:
        raise TokenRefused("malformed", f"`act`: {error}") from None
    node = act
    while node is not None:
        _check_names(node, "act")
        node = node.get("act")


def _check_may_act(may_act: Any) -> None:
    """RFC 8693 section 4.4. One that names nobody could be read as anybody, so it is malformed."""
    if not isinstance(may_act, Mapping) or not any(name in may_act for name in MAY_ACT_MEMBERS):
        raise TokenRefused("malformed", "`may_act` is not an object with `sub`, `iss` or `client_id`")
    _check_names(may_act, "may_act")


def _check_names(actor: Mapping[str, Any], claim: str) -> None:
    for name in MAY_ACT_MEMBERS:
        if name in actor and not (isinstance(actor[name], str) and is_seen(actor[name])):
            raise TokenRefused(
                "malformed", f"`{name}` in `{claim}` is not a text of 1 to 255 characters that can be seen"
            )


def _at(claims: Mapping[str, Any], path: Path) -> Any:
    """The value there; None where there is none."""
    value: Any = claims
    for step in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def _text(claims: Mapping[str, Any], path: Path | None, field: str) -> str | None:
    """A text; None where there is none or it is empty. The first of a list is not the one (I-06)."""
    value = None if path is None else _at(claims, path)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not is_seen(value):
        what = f"the claim for `{field}` is not a text of 1 to 255 characters that can be seen"
        raise TokenRefused("subject" if field == "subject" else "malformed", what)
    return value


def _texts(claims: Mapping[str, Any], path: Path | None, field: str) -> tuple[str, ...]:
    """A list of texts; a single text is one of them, and never taken apart."""
    value = None if path is None else _at(claims, path)
    return _list([value] if isinstance(value, str) else value, field)


def _list(value: Any, field: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise TokenRefused("malformed", f"the claim for `{field}` is not a list of texts")
    return tuple(one for one in value if one)
