"""The whole of LiteLLM's file: which parts of it count here, and what the rest of ours is.

Callers are whoever has the master key, or a key that `counterseal apikey` made; with `access_token_discovery_uri` they must also
send an access token, which says who they are. LiteLLM's virtual keys are in its database and are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from counterseal.config.litellm.servers import Known, servers
from counterseal.config.litellm.signer import GUARDRAIL, signer
from counterseal.config.litellm.writing import Translated, Writing
from counterseal.config.reader import Document, Steps

PORT: Final = 4000
"""Where LiteLLM listens unless it is told otherwise."""
MASTER_KEY: Final = "litellm-master-key"
"""What rules and records call whoever sends the master key."""
MASTER_SUBJECT: Final = "default_user_id"
"""Who that is to LiteLLM."""

_SECTIONS: Final = ("mcp_servers", "guardrails", "litellm_settings", "general_settings", "model_list")
_MEANINGLESS: Final = "has no meaning here"
_TOKENS: Final = (
    "is not read: write the identity provider into `callers.issuers` of the migrated file (docs/identity.md)"
)
_HINTS: Final = {
    "model_list": "is not about MCP servers: Counterseal is no gateway for models",
    "environment_variables": "is not read: set these variables for the gateway itself",
    "mcp_tools": "has tools that run inside LiteLLM: put them into a server",
    "enable_jwt_auth": _TOKENS,
    "litellm_jwtauth": _TOKENS,
    "database_url": "is not read: keys, teams and servers in LiteLLM's database are not known here",
    "litellm_key_header_name": "is not read: keys are taken in Authorization, X-API-Key and x-litellm-api-key",
}
"""What more there is to say about parts that are left out."""
_LOOKED_AT: Final = ("YAML", "the file", '"<<"', "mcp_servers", "guardrails", "litellm_settings", "general_settings")
"""Parts whose YAML must be right; of others no value is read. A merge key at the top could hold any of them."""
_RESTRICTING: Final = (
    "allowed_ips",
    "mcp_allowed_clients",
    "custom_auth",
    "allowed_routes",
    "admin_only_routes",
    "public_routes_block_list",
)
"""Settings that keep callers out. Without them more would come in, so they are no warning."""


def is_litellm(document: Document) -> bool:
    """Whether a file is LiteLLM's: it has a section of LiteLLM's and not `issuer`, which ours cannot do without."""
    data = document.data
    return isinstance(data, dict) and "issuer" not in data and any(key in data for key in _SECTIONS)


def translate(litellm: Document, environment: Mapping[str, str]) -> Translated:
    """Our document of LiteLLM's. Its problems are in the outcome. environment: the variables of the process."""
    broken = [problem for problem in litellm.problems if problem.path.partition(".")[0].partition("[")[0] in _LOOKED_AT]
    if broken:
        return Writing(litellm, environment).broken(broken)
    out = Writing(litellm, environment)
    signing, at = _signing(out)
    out.put(
        ("listen",),
        {"host": "127.0.0.1", "port": PORT},
        comment="LiteLLM's port; `serve --host` for others than this machine",
    )
    out.put(("store",), "sqlite:counterseal.db", comment="API keys and signing keys, beside this file")
    _keys(out)
    has_key = _master_key(out)
    signer(out, signing, at, has_key=has_key, port=PORT)
    known = servers(out)
    _addresses(out, known)
    _policy(out, known)
    out.put(("audit",), {"sink": "file:audit/"}, comment="one record for each call")
    _rest(out)
    return out.finished()


def _signing(out: Writing) -> tuple[Mapping[str, Any] | None, Steps]:
    """The signer's guardrail and where it stands; None where there is none."""
    entries = out.at("guardrails")
    if entries is not None and not isinstance(entries, tuple):
        out.wrong(("guardrails",), "must be a list: write one a line after `-`")
        return None, ("guardrails",)
    found: list[int] = []
    for index in range(len(entries or ())):
        params = out.mapping("guardrails", index, "litellm_params")
        if params.get("guardrail") == GUARDRAIL:
            found.append(index)
        elif _decides_about_tools(params.get("mode")):
            what = (
                "decides about tool calls, and nothing here does the same: write rules or a hook for what it keeps out "
                "(docs/hooks.md), and remove it here"
            )
            out.wrong(("guardrails", index), what)
        else:
            what = "is a guardrail of LiteLLM's that does not run here: write a hook for what it did (docs/hooks.md)"
            out.leave_out(("guardrails", index), what)
    for index in found[1:]:
        what = f"is the second `{GUARDRAIL}`, whose tokens would take the place of the first one's: keep one of them"
        out.wrong(("guardrails", index), what)
    if not found:
        what = f"has no `guardrail: {GUARDRAIL}`: LiteLLM would sign nothing, here every call is signed"
        out.safer(("guardrails",) if entries else (), what)
        return None, ("guardrails",)
    at = ("guardrails", found[0], "litellm_params")
    params = out.mapping(*at)
    if not out.at("guardrails", found[0], "guardrail_name"):
        out.wrong(("guardrails", found[0]), "has no `guardrail_name`, without which LiteLLM does not start: add it")
    if params.get("mode") != "pre_mcp_call":
        out.wrong((*at, "mode"), "must be `pre_mcp_call`, as LiteLLM asks of this guardrail")
    if params.get("default_on") is not True:
        out.safer(
            (*at, "default_on"), "is not true: LiteLLM would sign only what asks for it, here every call is signed"
        )
    return params, at


def _decides_about_tools(mode: Any) -> bool:
    """Whether a guardrail of this mode may refuse the call of a tool. A mode is a text, a list of them, or a mapping to them."""
    if isinstance(mode, dict):
        return any(map(_decides_about_tools, mode.values()))
    if isinstance(mode, tuple):
        return any(map(_decides_about_tools, mode))
    return mode in ("pre_mcp_call", "during_mcp_call", "post_mcp_call")


def _keys(out: Writing) -> None:
    if out.variable_of("MCP_JWT_SIGNING_KEY") is not None:
        out.put(("keys", "source"), "env:MCP_JWT_SIGNING_KEY", comment="as LiteLLM reads it")
        return
    out.put(("keys", "source"), "store", comment="MCP_JWT_SIGNING_KEY is not set: made at the first start, and kept")
    out.put(("keys", "algorithms"), ["RS256"], comment="LiteLLM's")


def _master_key(out: Writing) -> bool:
    """Whether there is one."""
    out.put(
        ("callers", "api_keys"),
        True,
        comment="`counterseal apikey create` makes one for each caller, as LiteLLM's virtual keys",
    )
    out.put(("callers", "key_header"), "x-litellm-api-key", comment="besides Authorization and X-API-Key")
    at: Steps = ("general_settings", "master_key")
    origin: Steps = at
    settings = out.mapping("general_settings")
    written = settings.get("master_key")
    if written is not None and not isinstance(written, str):
        out.text(*at)
        return False
    if written:
        reference = out.secret(written, "LITELLM_MASTER_KEY", at)
    elif out.variable_of("LITELLM_MASTER_KEY") is not None:
        reference, origin = "env:LITELLM_MASTER_KEY", ("general_settings",) if settings else ()
    else:
        out.safer(
            ("general_settings",) if settings else (),
            "has no `master_key`: LiteLLM would let everybody in, here only who has a key of `counterseal apikey create`",
        )
        return False
    key = {"name": MASTER_KEY, "key": reference, "subject": MASTER_SUBJECT}
    out.put(("callers", "own_keys"), [key], origin, "the master key, good at every server")
    return True


def _policy(out: Writing, known: Known) -> None:
    at: Steps = ("general_settings", "mcp_disabled_capabilities")
    denials = known.denials + [({"deny": {"methods": [f"{one}/*"]}}, at) for one in out.texts(*at)]
    rules = [rule for rule, _ in denials]
    if known.servers:
        rules.append({"permit": {"callers": {"kind": ["api_key", "token"]}, "servers": list(known.servers)}})
    origins: list[Mapping[str, Steps]] = [{"deny": origin} for _, origin in denials]
    origins += [{"permit": ("mcp_servers",)}] if known.servers else []
    out.put_list(("policy",), rules, (), origins)


def _addresses(out: Writing, known: Known) -> None:
    out.put(("litellm",), {}, comment="LiteLLM's addresses, `x-mcp-servers`, and tools as `{server}-{tool}`")
    if known.names:
        out.put(("litellm", "names"), dict(known.names), comment="further names of servers")
    if known.groups:
        out.put(
            ("litellm", "groups"), {name: list(servers) for name, servers in known.groups.items()}, ("mcp_servers",)
        )
        what = "has access groups, which permit nothing here and only say what is meant: a key has `--servers` when it is made"
        out.leave_out(("mcp_servers",), what)
    if out.variable_of("LITELLM_USE_SHORT_MCP_TOOL_PREFIX") is not None:
        out.leave_out(
            (), "is read beside LITELLM_USE_SHORT_MCP_TOOL_PREFIX, and tools have the whole name of their server here"
        )
    if (separator := out.variable_of("MCP_TOOL_PREFIX_SEPARATOR")) is not None:
        out.put(("litellm", "separator"), separator, comment="from MCP_TOOL_PREFIX_SEPARATOR")


def _rest(out: Writing) -> None:
    """What has no meaning here, each told once."""
    for key in out.at() if isinstance(out.at(), dict) else ():
        if key == "include":
            out.wrong(
                (key,), "is not followed, and what it names could keep callers out: write what those files hold here"
            )
        elif key not in ("mcp_servers", "guardrails", "general_settings", "litellm_settings"):
            out.leave_out((key,), _HINTS.get(key, _MEANINGLESS))
    for key in out.mapping("general_settings"):
        at = ("general_settings", key)
        if key in _RESTRICTING:
            out.wrong(
                at, "keeps callers out, and nothing here does the same: remove it, and see to it before the gateway"
            )
        elif key not in ("master_key", "mcp_disabled_capabilities"):
            out.leave_out(at, _HINTS.get(key, _MEANINGLESS))
    for key in out.mapping("litellm_settings"):
        if key != "mcp_aliases":
            out.leave_out(("litellm_settings", key), _HINTS.get(key, _MEANINGLESS))
