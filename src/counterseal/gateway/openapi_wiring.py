"""From `transport: openapi` in the configuration to a server: the document is read once, at start.

What keeps it from being used is a ConfigError, `document:line:column: pointer: what`. What is left out of it is told by
`counterseal check`, one line each, and counted in the log at start.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from counterseal.config.openapi import OpenApi as Selected
from counterseal.config.schema import Configuration
from counterseal.core.limits import LIMITS
from counterseal.core.patterns import Patterns
from counterseal.errors import ConfigError
from counterseal.servers.http import Http
from counterseal.servers.openapi import OpenApi
from counterseal.servers.streamable_http import Decide, Destination
from counterseal.wire.openapi.compile import Compiled, Faults, Remark, Selection, compile_document
from counterseal.wire.openapi.pointer import pointer_text
from counterseal.wire.openapi.text import NotADocument, Text

_log = logging.getLogger("counterseal.gateway")


def open_server(
    configuration: Configuration, name: str, destination: Destination, http: Http, decide: Decide
) -> OpenApi:
    """The server behind one document. Raises ConfigError."""
    compiled = read_tools(configuration, name)[1]
    if compiled.unmapped:
        _log.warning(
            "servers.%s: %d of %d operations have no form as a tool; `counterseal check` lists them",
            name,
            len(compiled.unmapped),
            len(compiled.unmapped) + len(compiled.tools),
        )
    return OpenApi(destination, compiled, configuration.servers[name].description, http, decide, LIMITS)


def read_tools(configuration: Configuration, name: str) -> tuple[Text, Compiled]:
    """The document of one server, and what becomes of it. Raises ConfigError."""
    server = configuration.servers[name]
    assert server.spec is not None
    where = f"{configuration.place_of(f'servers.{name}.spec')}: servers.{name}.spec"
    text = _read(Path(server.spec), where)
    taken = (*server.headers, *server.forward_headers, configuration.signer_of(name).header)
    reserved = frozenset(header.lower() for header in taken)
    try:
        compiled = compile_document(text.value, _selection(server.openapi), reserved, LIMITS)
    except Faults as error:
        raise ConfigError(*_told(text, Path(server.spec), error.found)) from None
    if server.openapi.on_unmapped == "error" and compiled.unmapped:
        raise ConfigError(*_told(text, Path(server.spec), compiled.unmapped))
    if not compiled.tools:
        raise ConfigError(f"{where}: no operation of the document becomes a tool: select others in `openapi`")
    return text, compiled


def look(configuration: Configuration) -> tuple[dict[str, str], list[str]]:
    """What becomes of the documents of a configuration: for each server how many operations are tools, and all that is left
    out, one line each. Raises ConfigError with what is wrong with any of them."""
    counts, lines = {}, []
    problems: list[str] = []
    for name, server in configuration.servers.items():
        if server.spec is not None:
            try:
                text, compiled = read_tools(configuration, name)
            except ConfigError as error:
                problems += error.problems
                continue
            counts[name] = f"{len(compiled.tools)} of {len(compiled.tools) + len(compiled.unmapped)} operations"
            lines += _told(text, Path(server.spec), [*compiled.unmapped, *compiled.notes], f"servers.{name}: ")
    if problems:
        raise ConfigError(*problems)
    return counts, lines


def _read(path: Path, where: str) -> Text:
    try:
        with path.open("rb") as file:
            content = file.read(LIMITS.openapi_bytes + 1)
    except OSError as error:
        raise ConfigError(f"{where}: {_shown(path)} cannot be read ({error.strerror}): name a file that can") from None
    if len(content) > LIMITS.openapi_bytes:
        raise ConfigError(
            f"{where}: {_shown(path)} holds more than {LIMITS.openapi_bytes} bytes: use a document without what is not used"
        )
    try:
        return Text.read(content)
    except NotADocument as error:
        raise ConfigError(f"{_shown(path)}:{error.place[0]}:{error.place[1]}: the document {error.what}") from None


def _selection(asked: Selected) -> Selection:
    return Selection(
        tags=_patterns(asked.tags),
        paths=_patterns(asked.paths),
        operations=_patterns(asked.operations),
        excluded=_patterns(asked.exclude),
        with_answers=asked.output_schemas,
    )


def _patterns(texts: tuple[str, ...] | None) -> Patterns | None:
    return None if texts is None else Patterns.of(texts)


def _shown(path: Path) -> Path:
    """As somebody would write it who runs this here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _told(text: Text, path: Path, found: Iterable[Remark], before: str = "") -> list[str]:
    found = list(found)
    places = text.places({one.at for one in found})
    lines = []
    for one in found:
        line, column = places.get(one.at, (1, 1))
        operation = f"{one.operation}: " if one.operation else ""
        lines.append(f"{before}{_shown(path)}:{line}:{column}: {pointer_text(one.at)}: {operation}{one.what}")
    return lines
