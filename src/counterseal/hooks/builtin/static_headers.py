"""`static_headers`: a claim source that adds headers from the configuration, each a reference to a secret.

Beside `servers.<name>.headers` it is for headers of some methods or tools alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from counterseal.core.limits import LIMITS
from counterseal.hooks.accept import NotAcceptable
from counterseal.hooks.accept import headers as accepted
from counterseal.hooks.offered import Offered
from counterseal.hooks.protocols import Additions
from counterseal.hooks.view import View


class StaticHeaders:
    """headers: names to references, `env:NAME` or `file:PATH`. What they lead to is read once, at start."""

    def __init__(self, *, headers: Mapping[str, str], offered: Offered) -> None:
        if not isinstance(headers, Mapping) or not headers:
            raise ValueError("`headers` must be a mapping of header names to references, `X-Tenant: env:TENANT`")
        if not all(isinstance(reference, str) for reference in headers.values()):
            raise ValueError("`headers` has a value that is no reference to a secret: write `env:NAME` or `file:PATH`")
        try:
            found = accepted(tuple((name, offered.secret(reference)) for name, reference in headers.items()), LIMITS)
        except NotAcceptable as error:
            raise ValueError(f"`headers`: {error}") from None
        self._additions = Additions(headers=found)

    async def claims(self, view: View) -> Additions:
        return self._additions
