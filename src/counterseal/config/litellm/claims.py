"""What a token says, and what may be called: the parameters of the signer that are about claims, scopes and tools."""

from __future__ import annotations

import re
from typing import Any, Final

from counterseal.config.litellm.parameters import Signing
from counterseal.config.litellm.writing import Writing
from counterseal.config.reader import Steps
from counterseal.core.methods import METHODS
from counterseal.core.names import reserved_in
from counterseal.core.scope import scope_as_litellm_says
from counterseal.core.sources import LITELLM_FIELDS

DEFAULT_SOURCES: Final = ("token:sub", "litellm:user_id")


def write_sources(signing: Signing) -> None:
    out = signing.out
    value, at = signing.value("end_user_claim_sources")
    if not value:
        signing.put("end_user_claim_sources", list(DEFAULT_SOURCES), (), "LiteLLM's default")
        return
    sources: list[Any] = []
    for index, text in enumerate(out.texts(*at)):
        prefix, colon, rest = text.partition(":")
        place = (*at, index)
        if colon and prefix == "token" and rest:
            source: Any = [rest] if "." in rest and "://" not in rest else text
        elif colon and prefix == "litellm" and rest in LITELLM_FIELDS:
            source = text
        elif not colon and text:
            out.safer(place, "is a bare name, which may be a header of the caller's: here no header names anybody")
            source = text
        else:
            out.leave_out(
                place,
                "is no source that LiteLLM knows: write `token:CLAIM`, or `litellm:` and one of "
                + ", ".join(LITELLM_FIELDS),
            )
            continue
        if source in sources:
            out.leave_out(place, "is there already")
        else:
            sources.append(source)
    signing.put("end_user_claim_sources", sources, at)


def write_claims(signing: Signing) -> None:
    out = signing.out
    for key in ("required_claims", "optional_claims", "remove_claims"):
        value, at = signing.value(key)
        if not value:
            continue
        names: list[Any] = []
        for index, name in enumerate(out.texts(*at)):
            if key != "required_claims" and not _is_free(out, name, (*at, index)):
                continue
            path: Any = [name] if "." in name and "://" not in name else name
            if path in names:
                out.leave_out((*at, index), "is there already")
            else:
                names.append(path)
        signing.put(key, names, at)
    for key in ("add_claims", "set_claims"):
        _, at = signing.value(key)
        kept = {
            name: _value(out, value, (*at, name))
            for name, value in out.mapping(*at).items()
            if _is_settable(out, name, (*at, name))
        }
        if kept:
            signing.put(key, kept, at)


def _is_free(out: Writing, name: str, at: Steps) -> bool:
    """Whether the operation on this claim is kept."""
    reserved = reserved_in(name)
    if reserved is not None:
        out.safer(
            at,
            f"names `{reserved}`, which LiteLLM would let the configuration change: here the gateway alone decides it",
        )
        return False
    return True


def _is_settable(out: Writing, name: str, at: Steps) -> bool:
    if not _is_free(out, name, at):
        return False
    if "." in name and "://" not in name:
        out.leave_out(
            at, "has a dot in the name of the claim, which is a path here: name it without, or with `://` in it"
        )
        return False
    return True


def _value(out: Writing, value: Any, at: Steps) -> Any:
    """The same at each call, so braces are braces. LiteLLM reads variables in the configuration at any depth."""
    if isinstance(value, str):
        return (out.text(*at) or "").replace("{", "{{").replace("}", "}}")
    if isinstance(value, dict):
        return {key: _value(out, child, (*at, key)) for key, child in value.items()}
    if isinstance(value, tuple):
        return [_value(out, child, (*at, index)) for index, child in enumerate(value)]
    return value


def write_allowed(signing: Signing) -> None:
    out = signing.out
    tools, at = signing.value("allowed_tools")
    if tools is not None:
        signing.put(
            "allowed_tools",
            [tool for index, tool in enumerate(out.texts(*at)) if is_plain_tool(out, tool, (*at, index))],
            at,
        )
    scopes, at = signing.value("allowed_scopes")
    if scopes is None:
        return
    texts = out.texts(*at)
    found = [scope for text in texts for scope in text.split()]
    per_tool = [scope for scope in found if re.fullmatch(r"mcp:tools/[^*/ ]+:call", scope)]
    kept = []
    if "mcp:tools/list" in found:
        kept.append("mcp:tools/list")
    if per_tool or "mcp:tools/call" in found:
        kept += ["mcp:tools/call", *(dict.fromkeys(per_tool) or ("mcp:tools/*:call",))]
    for scope in found:
        if scope not in kept:
            out.leave_out(
                at, f"has `{scope}`, and no call token holds it: a server that asks for it refuses these tokens"
            )
            break
    # LiteLLM sends these without a token, so its list says nothing about them.
    others = {scope_as_litellm_says(name, None) for name in METHODS if not name.startswith("tools/")}
    out.safer(
        at,
        "is what LiteLLM writes into every token, whatever it is for: here a token has the scope of its one operation, and one "
        "that this list does not have is refused",
    )
    signing.put("allowed_scopes", [*kept, *sorted(others)], at, "what is not about tools is as before")


def is_plain_tool(out: Writing, name: str, at: Steps) -> bool:
    """LiteLLM compares names as they are, so a `*` in one is a `*`."""
    if "*" in name:
        out.leave_out(at, "has a `*`, which is none of LiteLLM's wildcards and would be one here: name the tools")
        return False
    return bool(name)
