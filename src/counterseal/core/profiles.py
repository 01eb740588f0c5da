"""The shapes of call token that there are: ours, and LiteLLM's for servers that check that one (docs/call-token.md).

One row says everything in which a shape differs. The gateway makes tokens by it, and a verifier reads them by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from counterseal.core.actors import Acting, acting, acting_as_litellm_says
from counterseal.core.caller import Caller
from counterseal.core.scope import ScopeOf, scope_as_litellm_says, scope_of


@dataclass(frozen=True, slots=True)
class Profile:
    """One shape. typ: the token's type. fields: of the caller that it has as claims of the same names, where they are there."""

    name: str
    typ: str
    scope_of: ScopeOf
    acting: Callable[[Caller, str], Acting]
    fields: tuple[str, ...] = ()


COUNTERSEAL: Final = Profile("counterseal", "at+jwt", scope_of, acting)
"""RFC 9068 section 2.1: an access token, so that no other kind of JWT of ours could be taken for one."""

LITELLM: Final = Profile("litellm", "JWT", scope_as_litellm_says, acting_as_litellm_says, ("email", "end_user_id"))

PROFILES: Final[Mapping[str, Profile]] = {row.name: row for row in (COUNTERSEAL, LITELLM)}
