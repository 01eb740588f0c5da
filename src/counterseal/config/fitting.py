"""Whether servers, their signers and the names that lead to them fit together: what one of them says about another.

`info` holds the parts of the file that stand before and are right themselves. What hangs on one that is wrong is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationInfo as Info

from counterseal.config.callers import Callers
from counterseal.config.forwarded import conflicts
from counterseal.config.litellm_addresses import LitellmAddresses
from counterseal.config.problems import Faults, nearest
from counterseal.config.servers import Server
from counterseal.config.signer import Signer, beside_in_headers, plain
from counterseal.config.signer import faults as faults_of


def servers_fit(servers: Mapping[str, Server], info: Info) -> None:
    """Raises for all that is wrong between servers, or between one and its signer, each with its place."""
    if "signer" not in info.data:
        return
    faults = Faults()
    audiences: dict[str, str] = {}
    for name, server in servers.items():
        signer = info.data["signer"].under(server.signer)
        has_key(server.signer, info, faults, name, "signer", "algorithm")
        _check_conflict(server, signer, faults, name)
        _check_passthrough(server, signer, faults, name)
        _check_carries(server, faults, name)
        _check_whole(server.signer, signer, info, faults, name)
        audience = signer.audience or server.audience(name)
        if audience in audiences and not _is_shared(signer):
            faults.add(
                f"has the same audience as `{audiences[audience]}`, so a token for one would work at the other: "
                "give each server a `signer.audience` of its own",
                name,
            )
        audiences.setdefault(audience, name)
    _check_forwarded(servers, info.data["signer"], faults)
    for name, server in servers.items():
        _check_beside(server.signer, info.data["signer"].under(server.signer), audiences, faults, name)
    faults.check()


def names_fit(litellm: LitellmAddresses, servers: Mapping[str, Server]) -> None:
    """Raises where a name of LiteLLM's addresses could mean two things, or means none."""
    faults = Faults()
    for name, meant in litellm.names.items():
        _check_address(name, (meant,), servers, faults, "names")
    for name, several in litellm.groups.items():
        _check_address(name, several, {**servers, **litellm.names}, faults, "groups")
    for one in servers:
        for other in servers:
            if other != one and other.startswith(one + litellm.separator):
                faults.add(
                    f"cannot tell tools of `{one}` from those of `{other}`: rename one of these servers, or choose another",
                    "separator",
                )
    faults.check()


def has_key(signer: Signer, info: Info, faults: Faults, *steps: str) -> None:
    """Adds a fault where nothing signs with the algorithm of a signer. steps: where that stands."""
    keys = info.data.get("keys")
    if keys is None or keys.algorithms is None or signer.algorithm in (None, *keys.algorithms):
        return
    faults.add(f"has no signing key: add it to `keys.algorithms`, or use one of {', '.join(keys.algorithms)}", *steps)


def _check_address(name: str, meant: Sequence[str], taken: Mapping[str, Any], faults: Faults, key: str) -> None:
    """A name in LiteLLM's addresses. taken: what is the name of something already."""
    if name in taken:
        faults.add("is the name of something else: choose another", key, name)
    for index, one in enumerate(meant):
        if not isinstance(taken.get(one), Server):
            servers = [other for other, what in taken.items() if isinstance(what, Server)]
            faults.add(f"is not the name of a server{nearest(one, servers)}", key, name, *([index] * (key == "groups")))


def _is_shared(signer: Signer) -> bool:
    """LiteLLM's tokens have one audience for all servers, which servers that were set up for them ask for."""
    return signer.profile == "litellm" and signer.audience is not None


def _check_whole(own: Signer, signer: Signer, info: Info, faults: Faults, name: str) -> None:
    """What is wrong with the signer of a server, whichever of its keys are its own."""
    callers = info.data.get("callers")
    found = [*faults_of(signer, info.data.get("issuer"))]
    if callers is not None:
        found += _contradictions(signer, callers)
    _tell(found, own, faults, name)


def _tell(found: Iterable[tuple[str, str]], own: Signer, faults: Faults, name: str) -> None:
    """A fault of a key that the server has itself is told there, one that it takes over from `signer` at the server."""
    for key, what in found:
        if key in own.model_fields_set:
            faults.add(what, name, "signer", key)
        else:
            faults.add(f"its `signer.{key}` {what}", name)


def _contradictions(signer: Signer, callers: Callers) -> Iterator[tuple[str, str]]:
    """One document has one issuer, whoever reads it. Where a token is needed, somebody's is accepted."""
    if signer.mode == "verify_and_resign" and not callers.issuers:
        yield "mode", "asks for tokens, and `callers.issuers` accepts none: add the identity provider there"
    address = signer.channel_token_discovery_uri
    for issuer in callers.issuers if address is not None else ():
        if issuer.discovery_uri == address and issuer.issuer != signer.channel_issuer:
            yield (
                "channel_token_discovery_uri",
                f"is the document of the issuer `{issuer.name}`, which has another `issuer` than these tokens: write the same as "
                "`channel_token_issuer`",
            )


def _check_conflict(server: Server, signer: Signer, faults: Faults, name: str) -> None:
    for header in server.headers:
        if header.lower() != signer.header.lower() or signer.on_conflict == "replace":
            continue
        if signer.on_conflict == "keep":
            what = "would take the call token's place, and a call without a token never leaves: choose another `signer.header`"
        else:
            what = (
                "is the header that carries the call token: choose another `signer.header`, "
                "or write `on_conflict: replace` to drop this one"
            )
        faults.add(what, name, "headers", header)


def _check_carries(server: Server, faults: Faults, name: str) -> None:
    """A program has no headers, so what goes beside the call token cannot reach it. What it inherits is told as a warning."""
    for key in beside_in_headers(server.signer) if server.transport == "stdio" else ():
        what = "travels in a header, and a program over stdio has none: remove it"
        faults.add(what, name, "signer", key)


def _check_passthrough(server: Server, signer: Signer, faults: Faults, name: str) -> None:
    """Two credentials never meet in one header, in neither direction."""
    if server.passthrough is None:
        return
    if signer.header.lower() == "authorization":
        what = "sends the caller's credential for this server as `Authorization`, where the call token goes"
        faults.add(f"{what}: set `signer.header` of this server to another header", name, "passthrough")
    for header in server.headers:
        if header.lower() == "authorization":
            what = "is the header that the caller's own credential goes to by `passthrough`: keep one of them"
            faults.add(what, name, "headers", header)
    taken = {
        signer.header: "is where the call token goes, so that one could be taken for the other",
        signer.channel_token_header: "is where channel tokens come in",
        **dict.fromkeys(signer.identity_headers, "may name the subject by `end_user_claim_sources`"),
    }
    for header, what in taken.items():
        if plain(header) == plain(server.passthrough.header):
            faults.add(f"{what}: use another header", name, "passthrough", "header")


def _check_forwarded(servers: Mapping[str, Server], signer: Signer, faults: Faults) -> None:
    """What a caller says of himself never stands where anybody reads something else, at this server or at another."""
    if not any(server.forward_headers for server in servers.values()):
        return
    signers = {name: signer.under(server.signer) for name, server in servers.items()}
    passed = {name: one.passthrough.header for name, one in servers.items() if one.passthrough is not None}
    for name, server in servers.items():
        for index, what in conflicts(server.forward_headers, server.headers, signers, passed):
            faults.add(what, name, "forward_headers", index)


def _check_beside(own: Signer, signer: Signer, audiences: Mapping[str, str], faults: Faults, name: str) -> None:
    """No token beside the call token is for a server, and each is for somebody else."""
    found = []
    channel, txn = signer.channel_token_audience, signer.txn_token
    if channel is not None and channel in audiences:
        found.append(("channel_token_audience", _SAME.format(audiences[channel])))
    if txn is not None and txn.audience in audiences:
        found.append(("txn_token", _SAME.format(audiences[txn.audience])))
    elif txn is not None and txn.audience == channel:
        found.append(("txn_token", "has the audience of `channel_token_audience`: give each token one of its own"))
    _tell(found, own, faults, name)


_SAME: Final = "has the audience of the server `{}`, so this token would work there: name another audience"
