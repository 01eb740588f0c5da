"""From the keys of a signer to how its call tokens are made: every template, source and pattern compiled, each with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from counterseal.config.claims import RequiredClaim, profile_of
from counterseal.config.reader import path_text
from counterseal.config.schema import Configuration
from counterseal.config.signer import Signer
from counterseal.core.claim_operations import ClaimOperations, Named, Valued
from counterseal.core.claims import SignerSettings
from counterseal.core.names import reserved_in
from counterseal.core.pairwise import Pairwise
from counterseal.core.paths import Path, steps_of
from counterseal.core.requirements import Required
from counterseal.core.templates import compile_value
from counterseal.core.txn_token import TxnToken


def signer_settings(
    configuration: Configuration, server_name: str, *, algorithm: str, pairwise_key: bytes
) -> SignerSettings:
    """How call tokens for this server are made.

    algorithm: what they are signed with. pairwise_key: the deployment's own, of pairwise subjects. Raises KeyError for a server
    that is not configured.
    """
    signer = configuration.signer_of(server_name)
    places = _Places(configuration, server_name)
    settings = SignerSettings(
        issuer=configuration.issuer,
        audience=signer.audience or configuration.servers[server_name].audience(server_name),
        algorithm=algorithm,
        ttl_seconds=signer.ttl_seconds,
        end_user_claim_sources=signer.end_user_claim_sources,
        bind_arguments=signer.bind_arguments,
        server=server_name,
        mode=signer.mode,
        profile=profile_of(signer.profile),
        pairwise=Pairwise(pairwise_key, server_name) if signer.subject == "pairwise" else None,
        required=tuple(
            Required(one.name, one.values, places.of("required_claims", index))
            for index, one in enumerate(signer.required_claims)
        ),
        operations=_operations(signer, places),
        places={key: places.of(key) for key in Signer.model_fields},
    )
    return replace(
        settings,
        channel=_channel(signer, settings),
        txn_token=_txn_token(signer, configuration.issuer),
        debug=signer.debug_header,
    )


def _channel(signer: Signer, settings: SignerSettings) -> SignerSettings | None:
    """The second token is as the first, for somebody else."""
    if signer.channel_token_audience is None:
        return None
    return replace(settings, audience=signer.channel_token_audience, ttl_seconds=signer.channel_token_ttl)


def _txn_token(signer: Signer, issuer: str) -> TxnToken | None:
    one = signer.txn_token
    return None if one is None else TxnToken(one.audience, one.ttl_seconds, one.req_wl or issuer)


class _Places:
    """Where the keys of one server's signer stand: in its own part or in the one for all servers."""

    def __init__(self, configuration: Configuration, server_name: str) -> None:
        self._configuration = configuration
        self._server = server_name
        self._own = configuration.servers[server_name].signer.model_fields_set

    def of(self, key: str, *steps: str | int) -> str:
        """As `servers.weather.signer.set_claims.tenant (counterseal.yaml:41)`; what nobody wrote stands nowhere."""
        parent: Path = ("servers", self._server, "signer") if key in self._own else ("signer",)
        path = path_text((*parent, key, *steps))
        if key not in self._own and key not in self._configuration.signer.model_fields_set:
            return f"{path} (default)"
        return f"{path} ({self._configuration.source_of(path)})"


def _operations(signer: Signer, places: _Places) -> ClaimOperations:
    return ClaimOperations(
        passed=(
            *_required(signer.required_claims, places),
            *_named("optional_claims", signer.optional_claims, places),
        ),
        added=_valued("add_claims", signer.add_claims, places),
        set=_valued("set_claims", signer.set_claims, places),
        removed=_named("remove_claims", signer.remove_claims, places),
    )


def _required(claims: tuple[RequiredClaim, ...], places: _Places) -> tuple[Named, ...]:
    """What is asked for is passed on, but for what the gateway alone says."""
    return tuple(
        Named(one.name, places.of("required_claims", index))
        for index, one in enumerate(claims)
        if reserved_in(one.name[0]) is None
    )


def _named(key: str, claims: tuple[Path, ...], places: _Places) -> tuple[Named, ...]:
    return tuple(Named(path, places.of(key, index)) for index, path in enumerate(claims))


def _valued(key: str, claims: Mapping[str, Any], places: _Places) -> tuple[Valued, ...]:
    return tuple(Valued(steps_of(name), compile_value(value), places.of(key, name)) for name, value in claims.items())
