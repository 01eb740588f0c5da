"""`servers:`: each MCP server, and how it is spoken to.

Which keys there may be depends on `transport`, which stands before them. A key of another transport is an error rather than
without effect, because whoever wrote it meant something.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictInt,
    StrictStr,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)
from pydantic import ValidationInfo as Info

from counterseal.config.addresses import HeaderName, PassthroughHeader, ServerUrl
from counterseal.config.forwarded import ForwardHeaders
from counterseal.config.openapi import DocumentPath, OpenApi
from counterseal.config.part import Part, nothing
from counterseal.config.places import HeaderSecret
from counterseal.config.problems import Faults, wrong
from counterseal.config.secret import SecretReference, Unresolved
from counterseal.config.signer import Signer
from counterseal.config.source import Source
from counterseal.config.values import Duration, Line, Text, frozen, some

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_MOST_PROCESSES: Final = 1024


class ReferredUrl(str):
    """An address that is a secret, because who knows it may call. reference: what stands for it."""

    reference: str


def _referred(value: Any, checked: ValidatorFunctionWrapHandler, info: Info) -> Any:
    """An address, or a reference to one."""
    if not (isinstance(value, str) and value.startswith(("env:", "file:"))):
        return checked(value)
    source = Source.of(info)
    try:
        reference = source.reference(value)
        text = reference.resolve().reveal() if source.with_secrets else f"https://{reference.place.strip('/')}.invalid"
    except Unresolved as error:
        raise wrong(str(error)) from None
    url = ReferredUrl(checked(text) if source.with_secrets else text)
    url.reference = value
    return url


def _argument(text: str) -> str:
    if "\0" in text:
        raise wrong("holds a NUL character, which no argument can have: remove it")
    return text


def _command(command: tuple[str, ...], info: Info) -> tuple[str, ...]:
    """With the program as a path, so that what was checked here is what is started."""
    if not command[0] or command[0] != command[0].strip():
        raise wrong("begins with an empty text: write the program first, then its arguments")
    source = Source.of(info)
    if not source.with_secrets:
        return command
    program = command[0]
    if "/" in program:
        path = source.folder / program
        if not path.is_file():
            raise wrong("begins with a path at which there is no file: write the path of the program")
        if not os.access(path, os.X_OK):
            raise wrong(
                "begins with a file that the gateway's account may not execute: `chmod +x` it, or name its interpreter"
            )
        return (str(path), *command[1:])
    found = shutil.which(program)
    if found is None:
        raise wrong(
            "begins with a program that is not on the PATH of the gateway: install it, or write its path with a slash in it"
        )
    return (str(Path(found).absolute()), *command[1:])


def _variable_name(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise wrong("is no name of an environment variable: use letters, digits and `_`")
    return name


def _variable(value: Any, info: Info) -> Any:
    """A text that begins as a reference is one."""
    if isinstance(value, str) and value.startswith(("env:", "file:")):
        try:
            reference = Source.of(info).reference(value)
            if Source.of(info).with_secrets and "\0" in reference.resolve().reveal():
                raise wrong("leads to a secret with a NUL character, which no variable can hold")
        except Unresolved as error:
            raise wrong(str(error)) from None
        return reference
    if not isinstance(value, str):
        raise wrong("must be a text, or a reference to a secret: `env:NAME` or `file:PATH`")
    return _argument(value)


def _folder(text: str, info: Info) -> str:
    source = Source.of(info)
    path = source.folder / text
    if source.with_secrets and not path.is_dir():
        raise wrong("is no folder: make it, or name another")
    return str(path)


def _count(value: int) -> int:
    if not 0 < value <= _MOST_PROCESSES:
        raise wrong(f"must be 1 to {_MOST_PROCESSES}")
    return value


def _idle(value: int) -> int:
    if value <= 0:
        raise wrong("must be more than 0 seconds")
    return value


OnToolChange = Literal["allow", "hold", "refuse"]
"""What becomes of a tool whose definition is not the approved one, or of its whole server."""

Command = Annotated[
    tuple[Annotated[StrictStr, AfterValidator(_argument)], ...], AfterValidator(some), AfterValidator(_command)
]
VariableName = Annotated[StrictStr, AfterValidator(_variable_name)]
Variable = Annotated[str | SecretReference, BeforeValidator(_variable)]

_TRANSPORTS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("url", "headers", "passthrough", "forward_headers"), ("streamable_http", "sse", "openapi")),
    **dict.fromkeys(("command", "env", "cwd", "isolation", "max_processes", "idle_timeout", "send_token"), ("stdio",)),
    **dict.fromkeys(("spec", "openapi"), ("openapi",)),
}
"""Which transports have a key; all have the keys that are not here."""
_NEEDED: Final = {
    "url": "url: http://127.0.0.1:8000/mcp",
    "command": "command: [python3, server.py]",
    "spec": "spec: ./crm-openapi.yaml",
}
"""What a transport that has the key cannot do without, and an example."""


class Passthrough(Part):
    """header: in which a caller brings a credential that the server itself gave it; it goes on as `Authorization`."""

    header: PassthroughHeader


class Server(Part):
    """One MCP server.

    headers: its own static credentials. passthrough: None passes no credential of the caller's on. forward_headers: of the
    caller's, those that it gets. command: a program, by its path, and its arguments. env: texts and references, besides what is
    inherited. isolation: one process for all callers, or one for each.
    max_processes and idle_timeout are for the latter. send_token: the program takes the call token in `_meta`. spec: an OpenAPI
    document, by its path. openapi: what of it is offered. on_tool_change: None takes what stands at the top of the file.
    """

    transport: Literal["streamable_http", "sse", "stdio", "openapi"] = "streamable_http"
    url: Annotated[ServerUrl, WrapValidator(_referred)] | None = Field(default=None, validate_default=True)
    description: Line = ""
    headers: Annotated[Mapping[HeaderName, HeaderSecret], AfterValidator(frozen)] = Field(default_factory=nothing)
    passthrough: Passthrough | None = None
    forward_headers: ForwardHeaders = ()
    signer: Signer = Field(default_factory=Signer)
    command: Command | None = Field(default=None, validate_default=True)
    env: Annotated[Mapping[VariableName, Variable], AfterValidator(frozen)] = Field(default_factory=nothing)
    cwd: Annotated[Text, AfterValidator(_folder)] | None = None
    isolation: Literal["shared", "caller"] = "shared"
    max_processes: Annotated[StrictInt, AfterValidator(_count)] = 32
    idle_timeout: Annotated[Duration, AfterValidator(_idle)] = 600
    send_token: bool = False
    spec: DocumentPath | None = Field(default=None, validate_default=True)
    openapi: OpenApi = Field(default_factory=OpenApi)
    on_tool_change: OnToolChange | None = None

    @field_validator(*_TRANSPORTS, mode="before")
    @classmethod
    def _of_transport(cls, value: Any, info: Info) -> Any:
        """What is missing, or of another transport."""
        transport, key = info.data.get("transport"), str(info.field_name)
        if value is None:
            if key in _NEEDED and transport in _TRANSPORTS[key]:
                raise wrong(f"is missing: add it, for example `{_NEEDED[key]}`")
        elif transport is not None and transport not in _TRANSPORTS[key]:
            other = _TRANSPORTS[key][0]
            raise wrong(
                f"is a key of `{other}` servers, and this one is `{transport}`: remove it, or write `transport: {other}`"
            )
        elif key in ("max_processes", "idle_timeout") and info.data.get("isolation") == "shared":
            raise wrong("is for `isolation: caller`, and this server has one process for all: remove it")
        return value

    @field_validator("url")
    @classmethod
    def _room_for_paths(cls, url: str | None, info: Info) -> str | None:
        if url is not None and "?" in url and info.data.get("transport") == "openapi":
            raise wrong(
                "holds a query, and is what the paths of the document are appended to: remove `?` and what follows"
            )
        return url

    @field_validator("headers")
    @classmethod
    def _headers_once(cls, headers: Mapping[str, Any]) -> Mapping[str, Any]:
        faults, seen = Faults(), set[str]()
        for name in headers:
            if name.lower() in seen:
                faults.add("is there already in another case: keep one of them", name)
            seen.add(name.lower())
        faults.check()
        return headers

    def audience(self, name: str) -> str:
        """For whom call tokens are, where `signer.audience` does not say it: the address, or a name where there is none, or it is
        a secret, which neither tokens nor records may hold."""
        if self.url is None or isinstance(self.url, ReferredUrl):
            return f"urn:counterseal:server:{name}"
        return self.url

    @property
    def place(self) -> str:
        """Where it is, for people: its address or its program. Arguments may be nobody's business."""
        if isinstance(self.url, ReferredUrl):
            return self.url.reference
        return self.url or (self.command or ("",))[0]

    @property
    def in_one_worker(self) -> bool:
        """Whether its sessions live in one process of the gateway, so that no other could go on with them."""
        return self.transport == "sse" or (self.transport == "stdio" and self.isolation == "caller")
