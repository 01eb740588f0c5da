"""`mcp_servers`: a mapping by name, or a list of entries with `server_name`.

A server that LiteLLM keeps callers or tools from in a way that there is not here is left out as a whole, so that nothing is open
that was closed. So is one whose credential LiteLLM gets by itself. One with a credential of its own in `Authorization` gets the
call token in another header; LiteLLM would send it none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final

from counterseal.config.forwarded import fault_of
from counterseal.config.litellm.claims import is_plain_tool
from counterseal.config.litellm.secrets import is_harmless, is_named_secret, is_secret_argument, is_secret_in
from counterseal.config.litellm.writing import Writing
from counterseal.config.problems import misspelt, nearest
from counterseal.config.reader import Steps
from counterseal.config.signer import Signer, plain
from counterseal.core.limits import LIMITS

CALL_TOKEN_HEADER: Final = "X-Call-Token"  # noqa: S105
"""Where the call token goes beside another `Authorization`."""

_SCHEMES: Final = {"bearer_token": "Bearer ", "basic": "Basic ", "token": "token ", "authorization": "", "api_key": ""}
_OBTAINED: Final = (
    "oauth2",
    "oauth2_token_exchange",
    "oauth2_id_jag",
    "aws_sigv4",
    "true_passthrough",
    "oauth_delegate",
)
_TRANSPORTS: Final = {"http": "streamable_http", "streamable_http": "streamable_http", "sse": "sse", "stdio": "stdio"}
READ: Final = (
    "url",
    "spec_path",
    "transport",
    "command",
    "args",
    "env",
    "auth_type",
    "auth_value",
    "authentication_token",
    "upstream_token_header",
    "static_headers",
    "extra_headers",
    "allowed_tools",
    "disallowed_tools",
    "allowed_params",
    "pinned_tools",
    "alias",
    "server_name",
    "description",
    "mcp_info",
    "access_groups",
    "mcp_access_groups",
    "allow_all_keys",
    "available_on_public_internet",
)

_RESTRICTING: Final = (
    "allowed_tools",
    "disallowed_tools",
    "allowed_params",
    "pinned_tools",
    "available_on_public_internet",
)
"""Of these. What is spelt almost like one of them was meant to keep somebody out, and LiteLLM would say nothing."""


@dataclass(slots=True)
class Known:
    """What there is. servers: native name to LiteLLM's entry. names: further names of a server, by that name. groups: access
    groups. denials: rules, with where each comes from."""

    servers: dict[str, Steps] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    denials: list[tuple[dict[str, Any], Steps]] = field(default_factory=list)


def servers(out: Writing) -> Known:
    """Write `servers`."""
    known = Known()
    aliases = _aliases(out)
    for called, at in _entries(out):
        entry = _Entry(out, at, called, out.mapping(*at))
        alias = entry.text("alias") or aliases.get(called)
        name = (alias or called).replace(" ", "_")
        if name in known.servers:
            out.wrong(at, f"has the name `{name}` of another server: give it another `alias`")
            continue
        if not entry.can_be_here():
            continue
        entry.write(name)
        known.servers[name] = at
        if alias and called.replace(" ", "_") != name:
            known.names[called.replace(" ", "_")] = name
        for group in (*entry.texts("access_groups"), *entry.texts("mcp_access_groups")):
            known.groups.setdefault(group, []).append(name)
        known.denials += entry.denials(name)
    return known


def _aliases(out: Writing) -> dict[str, str]:
    """`litellm_settings.mcp_aliases` from a server to the first of its aliases."""
    found: dict[str, str] = {}
    for alias in out.mapping("litellm_settings", "mcp_aliases") if out.mapping("litellm_settings") else ():
        server = out.text("litellm_settings", "mcp_aliases", alias)
        if server:
            found.setdefault(server, alias)
    return found


def _entries(out: Writing) -> Iterator[tuple[str, Steps]]:
    value = out.at("mcp_servers")
    if isinstance(value, tuple):
        for index in range(len(value)):
            at: Steps = ("mcp_servers", index)
            entry = out.mapping(*at)
            name = out.text(*at, "server_name") or out.text(*at, "name") or out.text(*at, "alias")
            if name:
                yield name, at
            elif entry:
                out.wrong(at, "has no name: add `server_name`")
        return
    for name in out.mapping("mcp_servers"):
        yield name, ("mcp_servers", name)


class _Entry:
    """One entry."""

    def __init__(self, out: Writing, at: Steps, called: str, entry: Mapping[str, Any]) -> None:
        self._out = out
        self._at = at
        self._called = called
        self._entry = entry

    def text(self, key: str) -> str | None:
        return self._out.text(*self._at, key)

    def texts(self, key: str) -> tuple[str, ...]:
        return self._out.texts(*self._at, key)

    def _is_set(self, key: str) -> bool:
        return self._entry.get(key) not in (None, False, "", (), {})

    def can_be_here(self) -> bool:
        """False for a server that is left out, which is told."""
        for key, what in self._obstacles():
            self._out.leave_out((*self._at, key), f"{what}: the server is left out")
            return False
        return True

    def _obstacles(self) -> Iterator[tuple[str, str]]:
        auth = self._entry.get("auth_type")
        if auth in _OBTAINED:
            what = (
                f"is `{auth}`, and Counterseal gets no tokens for servers; write it with `passthrough` if callers can"
            )
            yield "auth_type", what
        elif auth not in (None, "none", *_SCHEMES):
            yield "auth_type", "is no kind of credential that LiteLLM has"
        if self._entry.get("available_on_public_internet") is False:
            yield (
                "available_on_public_internet",
                "keeps callers of other networks from this server, which nothing here does",
            )
        if str(self._entry.get("spec_path") or "").startswith(("http://", "https://", "os.environ/")):
            yield (
                "spec_path",
                "is an address, and no document is fetched; save the document beside this file and write its path",
            )
        elif self._entry.get("spec_path"):
            for key in ("disallowed_tools", "allowed_params"):
                if self._is_set(key):
                    yield (
                        key,
                        "names tools as LiteLLM calls operations, which is not as they are called here; name what is "
                        "allowed in `allowed_tools`, as the document has it",
                    )
        if any(map(is_secret_argument, self._arguments())):
            yield (
                "args",
                "holds a secret, and every account of a machine can read arguments; let the program take it from `env`",
            )

    def _arguments(self) -> Iterator[tuple[str, str]]:
        """Each with the one before it."""
        arguments = self._entry.get("args")
        texts = [text for text in arguments if isinstance(text, str)] if isinstance(arguments, tuple) else []
        return zip(["", *texts], texts, strict=False)

    def write(self, name: str) -> None:
        out, at, base = self._out, self._at, ("servers", name)
        transport = "openapi" if self._is_set("spec_path") else self._transport()
        out.put(base, {}, at)
        out.put((*base, "transport"), transport, (*at, "transport") if "transport" in self._entry else at)
        self._describe(base)
        if transport == "stdio":
            self._program(base)
        else:
            self._address(base, name)
            if transport == "openapi":
                out.put((*base, "spec"), self.text("spec_path"), (*at, "spec_path"), "relative to this file")
        self._headers(base, name, transport)
        self._allow(base, name)
        self._tell_the_rest()

    def _describe(self, base: Steps) -> None:
        for steps in (("description",), ("mcp_info", "description")):
            if self._out.at(*self._at, *steps) and (text := self._out.text(*self._at, *steps)):
                self._out.put((*base, "description"), " ".join(text.split()), (*self._at, *steps))
                return

    def _transport(self) -> str:
        value = self.text("transport") or "http"
        known = _TRANSPORTS.get(value)
        if known is None:
            self._out.wrong((*self._at, "transport"), "must be `http`, `sse` or `stdio`")
        return known or "streamable_http"

    def _program(self, base: Steps) -> None:
        out, at = self._out, self._at
        command = self.text("command")
        if not command:
            out.wrong(at, "has no `command`: add the program that is to be started")
            return
        out.put((*base, "command"), [command, *self.texts("args")], (*at, "command"), "`command` and `args`")
        filled = "takes from a header of the caller: nothing of a caller reaches a program"
        for variable, value, place in self._whole("env", filled):
            if out.variable(value, place) is not None or is_named_secret(variable) or not is_harmless(value):
                out.put((*base, "env", variable), out.secret(value, f"{variable}", place), place)
            else:
                out.put((*base, "env", variable), value, place)

    def _whole(self, key: str, filled: str) -> Iterator[tuple[str, str, Steps]]:
        """Name, value and place of each text of a mapping. What is no text is told, and so is what holds `${...}`, which LiteLLM
        `filled`."""
        out = self._out
        for name in out.mapping(*self._at, key):
            place = (*self._at, key, name)
            value = out.at(*place)
            if not isinstance(value, str):
                out.text(*place)
            elif "${" in value:
                out.leave_out(place, f"holds `${{...}}`, which LiteLLM {filled}")
            else:
                yield name, value, place

    def _address(self, base: Steps, name: str) -> None:
        out, place = self._out, (*self._at, "url")
        value = self._entry.get("url")
        if not isinstance(value, str) or not value:
            out.wrong(place if value is not None else self._at, "has no `url`: add the address of the server")
        elif out.variable(value, place) is not None or is_secret_in(value):
            out.put((*base, "url"), out.secret(value, f"{name}_URL", place), place)
        else:
            out.put((*base, "url"), value, place)

    def _headers(self, base: Steps, name: str, transport: str) -> None:
        out, at = self._out, self._at
        found: dict[str, tuple[str, str, Steps]] = {}
        auth, key = (
            self._entry.get("auth_type"),
            "authentication_token" if "authentication_token" in self._entry else "auth_value",
        )
        value = self._entry.get(key)
        place = (*at, key)
        if value is not None and not isinstance(value, str):
            out.text(*place)
        elif value and auth in _SCHEMES:
            header = self.text("upstream_token_header") or ("X-API-Key" if auth == "api_key" else "Authorization")
            found[header.lower()] = (header, _SCHEMES[auth] + out.secret(value, f"{name}_{key}", place), place)
        elif value:
            out.leave_out(place, "is a credential without an `auth_type`, and LiteLLM sends none then")
        filled = "fills in by itself: write the header with its whole value in a variable"
        for header, value, place in self._whole("static_headers", filled):
            found[header.lower()] = (header, out.secret(value, f"{name}_{header}", place), place)
        if transport == "stdio":
            places = [place for _, _, place in found.values()]
            for place in (
                *places,
                *((*at, "extra_headers", index) for index in range(len(self.texts("extra_headers")))),
            ):
                out.leave_out(place, "is a header, and a program has none")
            return
        for header, reference, place in found.values():
            out.put((*base, "headers", header), reference, place)
        self._forwarded(base, {*found, CALL_TOKEN_HEADER.lower()})
        if "authorization" in found:
            out.put(
                (*base, "signer", "header"), CALL_TOKEN_HEADER, found["authorization"][2], "beside its own credential"
            )
            what = f"is the server's own credential, and LiteLLM would send no token beside it: here it is in {CALL_TOKEN_HEADER}"
            out.safer(found["authorization"][2], what)

    def _forwarded(self, base: Steps, taken: Set[str]) -> None:
        """Headers of the caller's that the server gets. taken: in lower case, those that it gets otherwise."""
        place, kept = (*self._at, "extra_headers"), dict[str, str]()
        channel = plain(self._out.written("signer", "channel_token_header") or Signer().channel_token_header)
        for index, name in enumerate(self.texts("extra_headers")):
            fault = fault_of(name)
            if fault is None and name.lower() in taken:
                fault = "is a header that the server gets from here: remove it in one of the two"
            if fault is None and plain(name) == channel:
                fault = "is where channel tokens come in, which no server gets: use another header"
            if fault is None and name.lower() not in kept and len(kept) == LIMITS.forward_header_count:
                fault = f"is one header too many: at most {LIMITS.forward_header_count} go on"
            if fault is None:
                kept.setdefault(name.lower(), name)
            else:
                self._out.leave_out((*place, index), f"names a header of the caller's that {fault}")
        if kept:
            self._out.put((*base, "forward_headers"), list(kept.values()), place)

    def _tools(self, key: str, name: str) -> Iterator[str]:
        out, at = self._out, (*self._at, key)
        return self._spelled(
            (tool for index, tool in enumerate(self.texts(key)) if is_plain_tool(out, tool, (*at, index))), name
        )

    def _spelled(self, tools: Iterable[str], name: str) -> Iterator[str]:
        """Names as the server has them, which LiteLLM also takes with its prefix before them."""
        separator = self._out.variable_of("MCP_TOOL_PREFIX_SEPARATOR") or "-"
        prefixes = [f"{one}{separator}".replace(" ", "_") for one in (name, self._called)]
        found: list[str] = []
        for tool in tools:
            found += [tool, *(tool.removeprefix(prefix) for prefix in prefixes if tool.startswith(prefix))]
        return iter(tool for tool in dict.fromkeys(found) if tool)

    def _allow(self, base: Steps, name: str) -> None:
        """Write which tools there are. Each of LiteLLM's lists keeps out what it does not name, so only what all of them name is
        left; here the server's list would stand in the place of the signer's."""
        out, at = self._out, self._at
        lists: dict[str, list[str]] = {}
        if self._entry.get("allowed_tools") is not None:
            lists["allowed_tools"] = list(self._tools("allowed_tools", name))
        if self._is_set("pinned_tools"):
            pins = (
                pin for pin in out.mapping(*at, "pinned_tools") if is_plain_tool(out, pin, (*at, "pinned_tools", pin))
            )
            lists["pinned_tools"] = list(self._spelled(pins, name))
            out.leave_out(
                (*at, "pinned_tools"),
                "says how tools are described, which is not read: no other tool is there, and each is pinned as "
                "`counterseal servers lock` finds it",
            )
        if not lists:
            return
        key, allowed = next(iter(lists.items()))
        for other in (*lists.values(), out.written("signer", "allowed_tools")):
            allowed = [tool for tool in allowed if other is None or tool in other]
        out.put((*base, "signer", "allowed_tools"), allowed, (*at, key))
        if self._entry.get("allowed_tools") == ():
            out.safer((*at, "allowed_tools"), "is empty, which LiteLLM takes for all tools: here it is none")

    def denials(self, name: str) -> Iterator[tuple[dict[str, Any], Steps]]:
        if tools := list(self._tools("disallowed_tools", name)):
            yield {"deny": {"servers": [name], "tools": tools}}, (*self._at, "disallowed_tools")
        place = (*self._at, "allowed_params")
        if bound := list(self._spelled(self._out.mapping(*place), name)):
            self._out.safer(
                place,
                "restricts the parameters of tools, which is not read: these tools are denied; write the hook "
                "`argument_schema` instead (docs/hooks.md)",
            )
            yield {"deny": {"servers": [name], "tools": bound}}, place

    def _tell_the_rest(self) -> None:
        out, at = self._out, self._at
        for key in self._entry:
            if key in READ or key == "name":
                continue
            if misspelt(key, _RESTRICTING):
                out.wrong(
                    (*at, key), f"is no key of a server, and one like it keeps callers out{nearest(key, _RESTRICTING)}"
                )
            else:
                close = nearest(key, READ) if misspelt(key, READ) else ""
                out.leave_out((*at, key), f"has no meaning here{close}")
