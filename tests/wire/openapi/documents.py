"""OpenAPI documents with one operation, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from counterseal.core.limits import LIMITS, Limits
from counterseal.core.patterns import Patterns
from counterseal.wire.openapi.compile import Compiled, Faults, Remark, Selection, compile_document
from counterseal.wire.openapi.tool import Tool

EVERYTHING: Final = Selection()
RESERVED: Final = frozenset({"authorization", "x-tenant"})
ID: Final[dict[str, Any]] = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
OK: Final[dict[str, Any]] = {"200": {"description": "Done"}}


def document(
    operation: dict[str, Any] | None = None,
    path: str = "/things/{id}",
    verb: str = "get",
    *,
    version: str = "3.0.3",
    parameters: Sequence[dict[str, Any]] = (ID,),
    body: Any = None,
    answer: Any = None,
    required: bool = True,
    **members: Any,
) -> dict[str, Any]:
    """A document with one operation, `get_thing` unless it says otherwise. body, answer: schemas of JSON."""
    made: dict[str, Any] = {"operationId": "get_thing", "parameters": list(parameters), "responses": OK}
    if body is not None:
        made["requestBody"] = {"required": required, "content": {"application/json": {"schema": body}}}
    if answer is not None:
        made["responses"] = {"200": {"description": "Done", "content": {"application/json": {"schema": answer}}}}
    whole = {**made, **(operation or {})}
    return {
        "openapi": version,
        "info": {"title": "Things", "version": "7"},
        "paths": {path: {verb: {name: value for name, value in whole.items() if value is not None}}},
        **members,
    }


def compiled(value: Any, selection: Selection = EVERYTHING, limits: Limits = LIMITS) -> Compiled:
    return compile_document(value, selection, RESERVED, limits)


def tool(value: Any = None, **described: Any) -> Tool:
    """The one tool of a document, or of `document(**described)`."""
    (made,) = compiled(document(**described) if value is None else value).tools
    return made


def definition(value: Any = None, **described: Any) -> dict[str, Any]:
    """That tool as `tools/list` shows it."""
    found: dict[str, Any] = json.loads(bytes(tool(value, **described).definition))
    return found


def arguments(value: Any = None, **described: Any) -> dict[str, Any]:
    """The schemas of its arguments."""
    properties: dict[str, Any] = definition(value, **described)["inputSchema"]["properties"]
    return properties


def unmapped(value: Any = None, **described: Any) -> Remark:
    """Why there is no tool, where there is none."""
    made = compiled(document(**described) if value is None else value)
    assert not made.tools
    (remark,) = made.unmapped
    return remark


def faults(value: Any, selection: Selection = EVERYTHING, limits: Limits = LIMITS) -> tuple[Remark, ...]:
    try:
        compiled(value, selection, limits)
    except Faults as error:
        return error.found
    raise AssertionError("the document is taken")


def selecting(**parts: Sequence[str]) -> Selection:
    return Selection(**{name: Patterns.of(texts) for name, texts in parts.items()})


def parameter(name: str = "q", place: str = "query", schema: Any = None, **members: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "schema": {"type": "string"} if schema is None else schema, **members}
