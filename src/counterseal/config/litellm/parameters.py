"""The parameters of the signer's guardrail: where each is found, and writing what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from counterseal.config.litellm.writing import Writing
from counterseal.config.reader import Steps

READ: Final = (
    "issuer",
    "audience",
    "ttl_seconds",
    "access_token_discovery_uri",
    "token_introspection_endpoint",
    "access_token_introspection_endpoint",
    "verify_issuer",
    "verify_audience",
    "end_user_claim_sources",
    "add_claims",
    "set_claims",
    "remove_claims",
    "required_claims",
    "optional_claims",
    "allowed_scopes",
    "allowed_tools",
    "channel_token_audience",
    "channel_token_ttl",
    "channel_token_header",
    "channel_token_discovery_uri",
    "channel_token_jwks_uri",
    "channel_token_issuer",
    "channel_token_required",
    "debug_headers",
    "debug_header",
)
"""Every parameter that means something here."""


@dataclass(frozen=True, slots=True)
class Signing:
    """out: where what becomes of them is written. params, at: what the guardrail has, and where; nothing where there is none."""

    out: Writing
    params: Mapping[str, Any]
    at: Steps

    def place(self, key: str) -> Steps:
        """`optional_params` comes first, as with LiteLLM."""
        nested = self.params.get("optional_params")
        if isinstance(nested, dict) and nested.get(key) is not None:
            return (*self.at, "optional_params", key)
        return (*self.at, key)

    def value(self, *keys: str) -> tuple[Any, Steps]:
        """The first of these keys that is there, and where; None."""
        for key in keys:
            if (found := self.out.at(*self.place(key))) is not None:
                return found, self.place(key)
        return None, self.place(keys[0])

    def text(self, *keys: str) -> tuple[str | None, Steps]:
        _, at = self.value(*keys)
        return self.out.text(*at), at

    def names(self) -> Iterator[str]:
        nested = self.params.get("optional_params")
        yield from self.params
        yield from nested if isinstance(nested, dict) else ()

    def put(self, key: str, value: Any, origin: Steps, comment: str = "") -> None:
        """Write a key of `signer`."""
        self.out.put(("signer", key), value, origin, comment)

    def put_flag(self, key: str, value: Any, at: Steps) -> None:
        """The same for true and false. What is neither is told."""
        if isinstance(value, bool):
            self.put(key, value, at)
        else:
            self.out.wrong(at, "must be true or false, without quotes")
