"""What `litellm_params:` of the guardrail says, read strictly: LiteLLM starts, and without the guardrail, where a guardrail
raises a ValueError or a TypeError. So whatever is wrong here is a ConfigError, with which it does not start.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from counterseal.config.schema import Configuration
from counterseal.errors import ConfigError

TOKENS: Final = "tokens"
LITELLM: Final = "litellm"
BOTH: Final = "tokens_or_litellm"
_WHO: Final = (TOKENS, LITELLM, BOTH)
_CARRIED: Final = ("streamable_http", "sse")

OURS: Final = (
    "counterseal_config",
    "counterseal_callers",
    "counterseal_servers",
    "counterseal_unsigned_servers",
    "counterseal_documents",
    "counterseal_trust_end_user",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """config: Counterseal's own file. callers: whose word counts for who calls. servers: LiteLLM's names of servers to ours,
    where they differ. unsigned: LiteLLM's names of servers whose calls are left alone. documents: serve the JWKS from LiteLLM.
    trust_end_user: believe LiteLLM's end user id, which is what its client says."""

    config: Path
    callers: str = TOKENS
    servers: Mapping[str, str]
    unsigned: frozenset[str] = frozenset()
    documents: bool = True
    trust_end_user: bool = False

    def server(self, name: str) -> str:
        """Our name of a server. name: LiteLLM's."""
        return self.servers.get(name, name)


def read(*, mode: object, default_on: object, parameters: Mapping[str, Any], known: Collection[str]) -> Settings:
    """mode: of the guardrail, as LiteLLM hands it over. parameters: everything else. known: LiteLLM's own, which mean nothing
    here.

    Raises ConfigError with all problems.
    """
    problems = [*_of_litellm(mode, default_on, parameters)]
    problems += [_unknown(name) for name in parameters if name not in OURS and name not in known]
    config = parameters.get("counterseal_config")
    if not isinstance(config, str) or not config:
        problems.append("counterseal_config: name the file of Counterseal's own configuration, as an absolute path")
        config = ""
    callers = _or(parameters, "counterseal_callers", TOKENS)
    if callers not in _WHO:
        problems.append(f"counterseal_callers: is one of {', '.join(_WHO)}")
    servers = _or(parameters, "counterseal_servers", {})
    if not isinstance(servers, Mapping) or not all(isinstance(one, str) for pair in servers.items() for one in pair):
        problems.append("counterseal_servers: is a mapping of LiteLLM's names of servers to those of Counterseal")
        servers = {}
    unsigned = _or(parameters, "counterseal_unsigned_servers", [])
    if not isinstance(unsigned, list | tuple) or not all(isinstance(one, str) for one in unsigned):
        problems.append("counterseal_unsigned_servers: is a list of LiteLLM's names of servers")
        unsigned = []
    problems += [
        f"counterseal_unsigned_servers: {name} is in `counterseal_servers` too" for name in unsigned if name in servers
    ]
    documents = _or(parameters, "counterseal_documents", True)
    trust = _or(parameters, "counterseal_trust_end_user", False)
    for name, value in (("counterseal_documents", documents), ("counterseal_trust_end_user", trust)):
        if not isinstance(value, bool):
            problems.append(f"{name}: is true or false")
    _raise(problems)
    return Settings(
        config=Path(config),
        callers=callers,
        servers=MappingProxyType(dict(servers)),
        unsigned=frozenset(unsigned),
        documents=documents,
        trust_end_user=trust,
    )


def check(settings: Settings, configuration: Configuration) -> None:
    """Whether the two files fit together. Raises ConfigError."""
    problems = []
    for theirs, ours in settings.servers.items():
        if ours not in configuration.servers:
            problems.append(f"counterseal_servers: {theirs}: there is no server {ours!r} in {settings.config}")
    for name, server in configuration.servers.items():
        if server.transport not in _CARRIED and name not in settings.unsigned:
            problems.append(
                f"{configuration.place_of(f'servers.{name}')}: LiteLLM sends no header of a guardrail to a server over "
                f"{server.transport}, so its calls would go unsigned: remove it, or name it in `counterseal_unsigned_servers`"
            )
    if configuration.store == "memory:" and configuration.keys.source == "store":
        problems.append(
            f"{configuration.place_of('store')}: store: `memory:` would make other signing keys in each of LiteLLM's workers: "
            "use `sqlite:PATH`"
        )
    if settings.documents and not urlsplit(configuration.issuer).path:
        problems.append(
            f"{configuration.place_of('issuer')}: `/.well-known/` of this address belongs to LiteLLM: give the issuer a path, as "
            f"{configuration.issuer}/counterseal, or let a Counterseal serve them and write `counterseal_documents: false`"
        )
    _raise(problems)


def _of_litellm(mode: object, default_on: object, parameters: Mapping[str, Any]) -> list[str]:
    """Settings of LiteLLM's with which it would leave the signature out, sometimes or always."""
    problems = []
    if getattr(mode, "value", mode) != "pre_mcp_call":
        problems.append('mode: must be "pre_mcp_call", because LiteLLM sends headers of no other')
    if default_on is not True:
        problems.append("default_on: must be true, or calls leave unsigned")
    for name in ("run_in_parallel", "scan_raw_request"):
        if parameters.get(name):
            problems.append(f"{name}: LiteLLM would throw the signature away: remove it")
    return problems


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, OURS, n=1)
    return f"{name}: is not known" + (f"; did you mean `{close[0]}`?" if close else "")


def _or(parameters: Mapping[str, Any], name: str, otherwise: Any) -> Any:
    value = parameters.get(name)
    return otherwise if value is None else value


def _raise(problems: list[str]) -> None:
    if problems:
        raise ConfigError(*(f"LiteLLM's guardrail: {problem}" for problem in problems))
