"""`guardrail: mcp_jwt_signer`: each of its parameters, of the released version and of the one that was first proposed.

A parameter means what it means to LiteLLM, but for where that would let something through:

* Reserved claims are the gateway's alone, so no claim operation touches them.
* A token lives for 15 minutes at most, and not at all with a life of nothing.
* With `access_token_discovery_uri` nobody is signed for without an access token that was verified, of an exact issuer and for an
  audience. LiteLLM signs for API keys and for opaque tokens as well.
* No header of a caller names the subject, and no channel token that was not verified is an actor.
* A token has the scope of its one operation. `allowed_scopes` says which operations there may be, and not what a token holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from counterseal.config.addresses import is_insecure, issuer_of_discovery
from counterseal.config.litellm.claims import write_allowed, write_claims, write_sources
from counterseal.config.litellm.parameters import READ, Signing
from counterseal.config.litellm.writing import Writing
from counterseal.config.problems import misspelt, nearest
from counterseal.config.reader import Steps
from counterseal.config.values import MAX_TTL_SECONDS

GUARDRAIL: Final = "mcp_jwt_signer"
DEFAULT_TTL: Final = 300
DEFAULT_AUDIENCE: Final = "mcp"

_HANDLED: Final = frozenset({"guardrail", "mode", "default_on", "guardrail_name", "optional_params"})
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")


def signer(out: Writing, params: Mapping[str, Any] | None, at: Steps, *, has_key: bool, port: int) -> None:
    """Write `issuer`, `signer` and the identity provider. has_key: there is a master key."""
    signing = Signing(out, params or {}, at)
    _issuer(signing, port)
    signing.put("profile", "litellm", (), "LiteLLM's shape of token")
    _audience(signing)
    _lives(signing)
    write_sources(signing)
    write_claims(signing)
    write_allowed(signing)
    _channel(signing)
    value, place = signing.value("debug_headers", "debug_header")
    if value is not None:
        signing.put_flag("debug_header", value, place)
    _provider(signing, has_key=has_key)
    if params is not None:
        known = {*READ, *_HANDLED}
        for name in dict.fromkeys(signing.names()):
            if misspelt(name, READ) and name not in known:
                out.wrong(signing.place(name), f"is no parameter of this guardrail{nearest(name, READ)}")
            elif name not in known:
                out.leave_out(signing.place(name), f"is no parameter of this guardrail here{nearest(name, READ)}")


def _issuer(signing: Signing, port: int) -> None:
    out = signing.out
    text, at = signing.text("issuer")
    if text:
        out.put(("issuer",), text, at)
        return
    for variable in ("MCP_JWT_ISSUER", "LITELLM_EXTERNAL_URL"):
        if (text := out.variable_of(variable)) is not None:
            out.put(("issuer",), text, comment=f"from {variable}")
            return
    text = f"http://127.0.0.1:{port}"
    out.put(("issuer",), text, comment="this machine alone: write the address that callers use")
    at, lacks = ((*signing.at, "issuer"), "is not set") if signing.params else ((), "has no `issuer`")
    what = (
        f"{lacks}: LiteLLM's tokens would have the issuer `litellm`, here it is {text}; set MCP_JWT_ISSUER or `issuer`"
    )
    out.safer(at, what)


def _audience(signing: Signing) -> None:
    text, at = signing.text("audience")
    if text:
        signing.put("audience", text, at)
    elif (text := signing.out.variable_of("MCP_JWT_AUDIENCE")) is not None:
        signing.put("audience", text, (), "from MCP_JWT_AUDIENCE")
    else:
        signing.put("audience", DEFAULT_AUDIENCE, (), "LiteLLM's default; leave it out, and each server has its own")


def _lives(signing: Signing) -> None:
    out = signing.out
    value, at = signing.value("ttl_seconds")
    variable = out.variable_of("MCP_JWT_TTL_SECONDS") if value is None else None
    if variable is not None:
        life = int(variable) if _WHOLE.fullmatch(variable) else None
        if life is None or life <= 0:
            out.wrong(
                signing.at if signing.params else (),
                "gets its `ttl_seconds` from MCP_JWT_TTL_SECONDS, which is no number more than 0: set it to one",
            )
            return
    elif value is None:
        life = DEFAULT_TTL
    else:
        life = _life(out, value, at)
    ttl = _clamped(out, life, at)
    if ttl is not None:
        signing.put(
            "ttl_seconds",
            ttl,
            at if value is not None else (),
            "" if value is not None else _whence(variable, "MCP_JWT_TTL_SECONDS"),
        )
    value, at = signing.value("channel_token_ttl")
    channel = _clamped(out, _life(out, value, at) if value is not None else ttl, at)
    if channel is not None and signing.value("channel_token_audience")[0] is not None:
        signing.put(
            "channel_token_ttl",
            channel,
            at if value is not None else (),
            "" if value is not None else "as `ttl_seconds`",
        )


def _whence(variable: str | None, name: str) -> str:
    return "LiteLLM's default" if variable is None else f"from {name}"


def _life(out: Writing, value: Any, at: Steps) -> int | None:
    """Seconds. LiteLLM takes a number in quotes as well."""
    if isinstance(value, str) and (found := out.text(*at)) is not None and _WHOLE.fullmatch(found):
        value = int(found)
    if type(value) is not int or value <= 0:
        out.wrong(at, "must be a whole number of seconds, and more than 0: a token without a life is none")
        return None
    return value


def _clamped(out: Writing, life: int | None, at: Steps) -> int | None:
    if life is None or life <= MAX_TTL_SECONDS:
        return life
    out.safer(at, f"is more than {MAX_TTL_SECONDS} seconds, which LiteLLM would sign; here it is {MAX_TTL_SECONDS}")
    return MAX_TTL_SECONDS


def _channel(signing: Signing) -> None:
    out = signing.out
    text, at = signing.text("channel_token_audience")
    if text:
        signing.put("channel_token_audience", text, at, "a second token, in x-mcp-channel-token")
    has_issuer = False
    for key in ("channel_token_discovery_uri", "channel_token_jwks_uri", "channel_token_issuer"):
        text, at = signing.text(key)
        if text:
            signing.put(key, text, at)
            has_issuer = has_issuer or key != "channel_token_issuer"
            if is_insecure(text):
                signing.put("channel_token_allow_insecure_loopback", True, at)
    text, at = signing.text("channel_token_header")
    if text and has_issuer:
        signing.put("channel_token_header", text, at)
        out.safer(
            at,
            "has channel tokens, which LiteLLM would take unverified where it cannot verify them: here the call is refused",
        )
    elif text:
        out.safer(
            at,
            "has channel tokens that nobody verifies, and LiteLLM would name their subject as actor: here they count for nothing",
        )
    value, at = signing.value("channel_token_required")
    if value is not None and has_issuer:
        signing.put_flag("channel_token_required", value, at)
    elif value is not None:
        out.wrong(
            at, "asks for channel tokens that nobody could verify: add `channel_token_discovery_uri`, or remove it"
        )


def _provider(signing: Signing, *, has_key: bool) -> None:
    """LiteLLM's "verify and re-sign"."""
    out = signing.out
    discovery, at = signing.text("access_token_discovery_uri")
    endpoint, endpoint_at = signing.text("token_introspection_endpoint", "access_token_introspection_endpoint")
    issuer, issuer_at = signing.text("verify_issuer")
    audience, audience_at = signing.text("verify_audience")
    if not discovery:
        for value, place in ((endpoint, endpoint_at), (issuer, issuer_at), (audience, audience_at)):
            if value:
                out.leave_out(place, "says how tokens are verified, and without `access_token_discovery_uri` none is")
        return
    if endpoint:
        out.safer(
            endpoint_at,
            "is asked by LiteLLM without proof of who asks: here opaque tokens are refused until `introspection` names a client "
            "(docs/identity.md)",
        )
    entry: dict[str, Any] = {"name": "litellm-idp", "discovery_uri": discovery}
    if is_insecure(discovery):
        entry["allow_insecure_loopback"] = True
    if issuer:
        entry["issuer"] = issuer
    elif issuer_of_discovery(discovery) is None:
        out.wrong(
            at,
            "is no address that the issuer can be told from: add `verify_issuer`, as the document there has `issuer`",
        )
        return
    else:
        out.safer(
            at, "has no `verify_issuer`: LiteLLM would take tokens of any issuer with these keys, here only its own"
        )
    if audience:
        entry["audience"] = [audience]
    else:
        out.safer(
            at,
            "has no `verify_audience`: LiteLLM would take tokens for anybody, here only for the address of this gateway, `/mcp`",
        )
    places = {"discovery_uri": at, "allow_insecure_loopback": at, "issuer": issuer_at, "audience": audience_at}
    out.put_list(("callers", "issuers"), [entry], at, [{key: places.get(key, at) for key in entry}])
    signing.put("mode", "verify_and_resign", at, "who calls is what the access token says")
    out.safer(
        at, "is set: LiteLLM signs for API keys and opaque tokens nevertheless, here only for a token that was verified"
    )
    if has_key:
        out.put(("callers", "tokens_need_key"), True, at, "the key in x-litellm-api-key, the token in Authorization")
