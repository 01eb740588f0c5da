"""Who calls, by LiteLLM's own word: the holder of the virtual key that it accepted.

That is LiteLLM's authentication and none of ours: it is believed only where `counterseal_callers` says so. The id of such a
caller begins with `litellm:` and is made of the hash by which LiteLLM knows the key, under a key of the store: a hash of a weak
key could be guessed from, in a token that goes to servers.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from counterseal.core.caller import Caller
from counterseal.core.names import is_reserved, is_seen
from counterseal.errors import Unauthenticated
from counterseal.identity.credentials import REFUSED

_FIELDS: Final = {
    "user_id": "user_id",
    "user_email": "email",
    "team_id": "team_id",
    "org_id": "org_id",
    "agent_id": "agent_id",
}
_ALSO: Final = ("key_alias", "team_alias", "project_id", "user_role")
"""What LiteLLM says besides, as metadata `litellm.NAME`."""


def caller_of(auth: Any, secret: bytes, *, trust_end_user: bool = False) -> Caller:
    """auth: LiteLLM's `UserAPIKeyAuth`. secret: 32 bytes. Raises Unauthenticated where LiteLLM names no key, or a person whose
    name has a form that the gateway keeps for itself, or cannot be seen."""
    key = getattr(auth, "token", None) or getattr(auth, "api_key", None)
    if not isinstance(key, str) or not key:
        raise _refused("LiteLLM says of no key that it let this call in")
    fields = {ours: value for theirs, ours in _FIELDS.items() if (value := _text(auth, theirs))}
    end_user = _text(auth, "end_user_id") if trust_end_user else None
    if end_user:
        fields["end_user_id"] = end_user
    for name, value in fields.items():
        if not is_seen(value) or (name in ("user_id", "end_user_id") and is_reserved(value)):
            raise _refused(
                f"LiteLLM's `{name}` is too long, holds what nobody sees, or has a form that the gateway keeps for itself"
            )
    subject = fields.get("user_id")
    if subject is not None:
        fields["sub"] = subject
    return Caller(
        kind="api_key",
        client_id="litellm:" + _keyed(key, secret),
        subject=subject,
        fields=MappingProxyType(fields),
        metadata=MappingProxyType(_metadata(auth)),
    )


def is_key_of(auth: Any, bearer: str) -> bool:
    """Whether a bearer token is the very key that LiteLLM let in, and so no token for us."""
    known = [getattr(auth, name, None) for name in ("token", "api_key")]
    hashed = hashlib.sha256(bearer.encode()).hexdigest()
    return any(
        isinstance(one, str) and (hmac.compare_digest(one.encode(), bearer.encode()) or one == hashed) for one in known
    )


def _metadata(auth: Any) -> dict[str, str]:
    """Texts of the key's metadata by their names, of the team's as `team.NAME`."""
    found = {f"litellm.{name}": value for name in _ALSO if (value := _text(auth, name))}
    found |= {f"team.{name}": value for name, value in _texts(getattr(auth, "team_metadata", None))}
    return {name: value for name, value in _texts(getattr(auth, "metadata", None)) if "." not in name} | found


def _texts(metadata: Any) -> list[tuple[str, str]]:
    if not isinstance(metadata, Mapping):
        return []
    return [
        (name, value) for name, value in metadata.items() if isinstance(name, str) and isinstance(value, str) and value
    ]


def _text(auth: Any, name: str) -> str | None:
    value = getattr(auth, name, None)
    value = getattr(value, "value", value)  # a role is an enumeration
    return value if isinstance(value, str) and value else None


def _keyed(key: str, secret: bytes) -> str:
    digest = hmac.digest(secret, key.encode(), "sha256")
    return urlsafe_b64encode(digest[:12]).decode()


def _refused(detail: str) -> Unauthenticated:
    return Unauthenticated("credential_invalid", REFUSED, detail=detail)
