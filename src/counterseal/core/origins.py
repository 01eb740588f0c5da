"""Where each claim of a call token came from.

The code that makes claims notes it while it makes them, if somebody wants to know: there is no second code that could say
otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from counterseal.core.paths import Path

Kind = Literal["claim", "header", "key", "caller", "channel", "call", "gateway", "configuration", "template", "hook"]


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of one claim.

    kind: `claim` of the caller's token; `header` of a trusted proxy; `key`, a field of the API key; `caller`, who proved to be
    calling; `channel` token; the `call` itself; the `gateway`, for what it draws or reads from its clock; `configuration`, where
    the value stands there; `template`, where it says how to make it; `hook`. detail: which claim, header, field or template it
    is. where: the key of the configuration and its place, `signer.set_claims.tenant (counterseal.yaml:41)`; empty where the
    configuration has no say.
    """

    kind: Kind
    detail: str = ""
    where: str = ""


class Origins(dict[Path, Origin]):
    """The origins of one claims set, by path. What stands below a path in the token and not here came with it."""

    def put(self, path: Path, origin: Origin) -> None:
        """What is there now came from here."""
        self.drop(path)
        self[path] = origin

    def drop(self, path: Path) -> None:
        """There is nothing any more."""
        for other in [one for one in self if one[: len(path)] == path]:
            del self[other]
