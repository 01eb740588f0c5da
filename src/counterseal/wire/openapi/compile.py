"""A document becomes tools, one for each operation that has a form as one; for the others there is a reason, and where it stands.

What an operator would not notice is a fault: two operations that would be tools of one name, a selection that selects nothing, a
document that is not OpenAPI 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import Raw

from counterseal.core.limits import Limits
from counterseal.core.patterns import Patterns
from counterseal.wire import jsonrpc
from counterseal.wire.openapi.checker import Checker
from counterseal.wire.openapi.parameters import BODY, Found, is_json, read_parameters
from counterseal.wire.openapi.pointer import NotMapped, Pointer, References
from counterseal.wire.openapi.prose import seen
from counterseal.wire.openapi.schema import Schemas, Side, argument_schema
from counterseal.wire.openapi.tool import Body, Tool, segments_of

_MAPPED: Final = ("get", "put", "post", "delete", "patch")
_NOT_MAPPED: Final = ("head", "options", "trace", "query")
_HINTS: Final[Mapping[str, Mapping[str, bool]]] = {
    "get": {"readOnlyHint": True, "idempotentHint": True},
    "put": {"readOnlyHint": False, "idempotentHint": True},
    "post": {"readOnlyHint": False, "idempotentHint": False},
    "delete": {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True},
    "patch": {"readOnlyHint": False, "idempotentHint": False},
}
_VERSION: Final = re.compile(r"3\.[01]\.[0-9]+(?:-.*)?")
_DIALECTS: Final = re.compile(
    r"https://spec\.openapis\.org/oas/3\.1/dialect/.*|https://json-schema\.org/draft/2020-12/schema"
)
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_NAME: Final = 128
_TITLE: Final = 200
_DESCRIPTION: Final = 4000


@dataclass(frozen=True, slots=True)
class Selection:
    """Which operations become tools: those that every part selects, without those that are excluded. None: any.

    operations, excluded: match a tool's name, or the `operationId` as the document has it. with_answers: promise what the
    document says of answers.
    """

    tags: Patterns | None = None
    paths: Patterns | None = None
    operations: Patterns | None = None
    excluded: Patterns | None = None
    with_answers: bool = True


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about the document that its operator should know. operation: `POST /users`; empty for the whole. at: where."""

    operation: str
    what: str
    at: Pointer


class Faults(ValueError):
    """What keeps a document from being used as it is asked."""

    def __init__(self, *found: Remark) -> None:
        super().__init__("; ".join(one.what for one in found))
        self.found = found


@dataclass(frozen=True, slots=True)
class Compiled:
    """tools: in the document's order. unmapped: operations that are none. notes: what else was left out."""

    title: str
    version: str
    tools: tuple[Tool, ...]
    unmapped: tuple[Remark, ...]
    notes: tuple[Remark, ...]


def compile_document(document: Any, selection: Selection, reserved: frozenset[str], limits: Limits) -> Compiled:
    """The tools of a document. reserved: headers, in lower case, that are nobody's argument. Raises Faults."""
    _check_kind(document)
    compiler = _Compiler(document, selection, reserved, limits)
    compiler.run()
    info = document.get("info")
    info = info if isinstance(info, dict) else {}
    return Compiled(
        seen(info.get("title"), _TITLE),
        seen(info.get("version"), _TITLE),
        tuple(compiler.tools.values()),
        tuple(compiler.unmapped),
        tuple(compiler.notes),
    )


def _check_kind(document: Any) -> None:
    if not isinstance(document, dict):
        raise Faults(Remark("", "is not an OpenAPI document: name one of OpenAPI 3.0 or 3.1", ()))
    version = document.get("openapi")
    if not (isinstance(version, str) and _VERSION.fullmatch(version)):
        what = "has no `openapi` of 3.0 or 3.1: "
        what += "convert it from Swagger 2.0" if "swagger" in document else "other versions are not mapped"
        raise Faults(Remark("", what, ("openapi",) if "openapi" in document else ()))
    dialect = document.get("jsonSchemaDialect")
    if dialect is not None and not (isinstance(dialect, str) and _DIALECTS.fullmatch(dialect)):
        raise Faults(Remark("", "its schemas are of another dialect than JSON Schema 2020-12", ("jsonSchemaDialect",)))
    if not isinstance(document.get("paths"), dict):
        raise Faults(Remark("", "has no `paths`, so there is no operation in it", ()))


@dataclass(frozen=True, slots=True)
class _Operation:
    path: str
    verb: str
    item: Mapping[str, Any]
    item_at: Pointer
    value: Mapping[str, Any]
    at: Pointer

    def __str__(self) -> str:
        return f"{self.verb.upper()} {self.path}"

    @property
    def id(self) -> str | None:
        found = self.value.get("operationId")
        return found if isinstance(found, str) and found else None

    @property
    def tags(self) -> list[str]:
        found = self.value.get("tags")
        return [tag for tag in found if isinstance(tag, str)] if isinstance(found, list) else []

    @property
    def name(self) -> str:
        """Of the tool: the operation's own, with `_` for what no name of a tool has, else its method and its path."""
        if self.id is not None:
            return _UNFIT.sub("_", self.id)
        return re.sub(r"_{2,}", "_", _UNFIT.sub("_", f"{self.verb}{self.path}")).strip("_")


@dataclass(slots=True)
class _Compiler:
    document: Mapping[str, Any]
    selection: Selection
    reserved: frozenset[str]
    limits: Limits
    tools: dict[str, Tool] = field(default_factory=dict)
    unmapped: list[Remark] = field(default_factory=list)
    notes: list[Remark] = field(default_factory=list)
    _references: References = field(init=False)
    _schemas: Schemas = field(init=False)

    def run(self) -> None:
        self._references = References(self.document)
        is_30 = str(self.document["openapi"]).startswith("3.0")
        self._schemas = Schemas(self._references, is_30, self.limits.openapi_schema_bytes)
        if self.document.get("servers"):
            what = "`servers` is not read: requests go to the `url` of the configuration"
            self.notes.append(Remark("", what, ("servers",)))
        everything = list(self._operations())
        self._check_selection(everything)
        selected = [one for one in everything if self._selects(one)]
        if len(selected) > self.limits.openapi_operation_count:
            what = f"more than {self.limits.openapi_operation_count} operations are selected: select fewer"
            raise Faults(Remark("", what, ("paths",)))
        first: dict[str, _Operation] = {}
        for one in selected:
            try:
                tool = self._tool(one)
            except NotMapped as error:
                self.unmapped.append(Remark(str(one), error.what, error.at))
                continue
            if tool.name in first:
                what = (
                    f"would be the tool `{tool.name}`, which {first[tool.name]} is already: give it another `operationId`, "
                    "or leave one of them out"
                )
                raise Faults(Remark(str(one), what, one.at))
            first[tool.name] = one
            self.tools[tool.name] = tool

    # ---- which -----------------------------------------------------------------------------------------------------

    def _operations(self) -> Iterator[_Operation]:
        for path, entry in self.document["paths"].items():
            if path.startswith("x-"):
                continue
            at: Pointer = ("paths", path)
            try:
                item, item_at = self._references.followed(entry, at)
                if not isinstance(item, dict):
                    raise NotMapped("is not an object", item_at)
            except NotMapped as error:
                if self.selection.paths is None or self.selection.paths.match(path):
                    self.unmapped.append(Remark(path, error.what, error.at))
                continue
            for verb in (*_MAPPED, *_NOT_MAPPED):
                if isinstance(value := item.get(verb), dict):
                    yield _Operation(path, verb, item, item_at, value, (*item_at, verb))

    def _selects(self, one: _Operation) -> bool:
        wanted = self.selection
        names = [one.name, *([one.id] if one.id else [])]
        if wanted.tags is not None and not any(map(wanted.tags.match, one.tags)):
            return False
        if wanted.paths is not None and not wanted.paths.match(one.path):
            return False
        if wanted.operations is not None and not any(map(wanted.operations.match, names)):
            return False
        return wanted.excluded is None or not any(map(wanted.excluded.match, names))

    def _check_selection(self, everything: list[_Operation]) -> None:
        """A name that nothing has is a mistake: what it was meant to select is missing, or what it was meant to exclude is
        there."""
        tags = {tag for one in everything for tag in one.tags}
        names = {name for one in everything for name in (one.name, one.id) if name}
        there = {"tags": tags, "paths": {one.path for one in everything}, "operations": names, "exclude": names}
        asked = {
            "tags": self.selection.tags,
            "paths": self.selection.paths,
            "operations": self.selection.operations,
            "exclude": self.selection.excluded,
        }
        found = [
            Remark("", f"has nothing that `openapi.{key}` could mean by `{text}`: correct it, or remove it", ())
            for key, patterns in asked.items()
            for text in (patterns.texts if patterns is not None else ())
            if not any(map(Patterns.of([text]).match, there[key]))
        ]
        if found:
            raise Faults(*found)

    # ---- one operation -----------------------------------------------------------------------------------------------

    def _tool(self, one: _Operation) -> Tool:
        if one.verb in _NOT_MAPPED:
            raise NotMapped(f"{one.verb.upper()} has no answer that a tool could give", one.at)
        if len(one.name) > _LONGEST_NAME:
            raise NotMapped(
                f"its name has more than {_LONGEST_NAME} characters: give it a shorter `operationId`", one.at
            )
        body, content, without = self._body(one)
        lists = [
            (holder["parameters"], (*at, "parameters"))
            for holder, at in ((one.item, one.item_at), (one.value, one.at))
            if "parameters" in holder
        ]
        found, unread = read_parameters(self._references, lists, self.reserved, body is not None)
        in_path = {each.parameter.name: each.parameter for each in found if each.parameter.place == "path"}
        segments = segments_of(one.path, in_path, one.at)
        used = {piece for segment in segments for piece in segment if not isinstance(piece, str)}
        found = [each for each in found if each.parameter.place != "path" or each.parameter in used]
        schema = self._arguments(found, body, content)
        definition: dict[str, Any] = {"name": one.name}
        if title := seen(one.value.get("summary"), _TITLE):
            definition["title"] = title
        definition |= {"description": _description(one), "inputSchema": schema}
        answers = self._answers(one) if self.selection.with_answers else None
        if answers is not None:
            definition["outputSchema"] = answers[0]
        definition["annotations"] = dict(_HINTS[one.verb])
        checks = self._checker(schema, one.at)
        self.notes += [
            Remark(str(one), f"{each.what}; the tool does without it", each.at) for each in (*without, *unread)
        ]
        others = tuple(each.parameter for each in found if each.parameter.place != "path")
        return Tool(
            one.name,
            one.verb.upper(),
            segments,
            others,
            body,
            Raw(jsonrpc.write(definition)),
            checks,
            None if answers is None else answers[1],
        )

    def _arguments(self, found: list[Found], body: Body | None, content: tuple[Any, Pointer]) -> dict[str, Any]:
        parts = {each.parameter.argument: (each.schema, each.at) for each in found}
        if body is not None:
            parts[BODY] = content
        properties, definitions = self._schemas.whole(parts, Side.SENT)
        for each in found:
            name = each.parameter.argument
            schema = properties[name] if isinstance(properties[name], dict) else {}
            if (text := seen(each.description, _TITLE * 5)) and "description" not in schema:
                properties[name] = {**schema, "description": text}
        required = [each.parameter.argument for each in found if each.parameter.required]
        if body is not None and body.required:
            required.append(BODY)
        return argument_schema(properties, required, definitions)

    def _body(self, one: _Operation) -> tuple[Body | None, tuple[Any, Pointer], list[NotMapped]]:
        """The body, with its schema, and what is left out of it. Raises NotMapped where the operation needs another."""
        none: tuple[Any, Pointer] = (True, one.at)
        if "requestBody" not in one.value:
            return None, none, []
        value, at = self._references.followed(one.value["requestBody"], (*one.at, "requestBody"))
        content = value.get("content") if isinstance(value, dict) else None
        if not isinstance(content, dict) or not content:
            raise NotMapped("`requestBody` has no `content`", at)
        needed = value.get("required") is True
        medias = sorted((media for media in content if is_json(media)), key=lambda media: media != "application/json")
        if one.verb == "get" or not medias:
            what = (
                "a GET has no body" if medias else f"a body of {', '.join(content)[:100]} is not mapped, JSON alone is"
            )
            problem = NotMapped(what, (*at, "content"))
            if needed:
                raise problem
            return None, none, [problem]
        inner = content[medias[0]]
        schema = inner.get("schema", True) if isinstance(inner, dict) else True
        return Body(medias[0], needed), (schema, (*at, "content", medias[0], "schema")), []

    def _answers(self, one: _Operation) -> tuple[dict[str, Any], Checker] | None:
        """What is promised of answers: where there is one kind of success, and that is a JSON object."""
        try:
            found = self._success(one)
            if found is None or (schema := self._schemas.of_object(*found)) is None:
                return None
            return schema, self._checker(schema, found[1])
        except NotMapped as error:
            self.notes.append(Remark(str(one), f"{error.what}; the tool promises nothing of its answer", error.at))
            return None

    def _success(self, one: _Operation) -> tuple[Any, Pointer] | None:
        responses = one.value.get("responses")
        good = [code for code in responses if str(code).startswith("2")] if isinstance(responses, dict) else []
        if len(good) != 1 or not isinstance(responses, dict):
            return None
        response, at = self._references.followed(responses[good[0]], (*one.at, "responses", good[0]))
        content = response.get("content") if isinstance(response, dict) else None
        medias = [media for media in content if is_json(media)] if isinstance(content, dict) else []
        if not medias or not isinstance(content, dict) or not isinstance(content[medias[0]], dict):
            return None
        if (schema := content[medias[0]].get("schema")) is None:
            return None
        return schema, (*at, "content", medias[0], "schema")

    @staticmethod
    def _checker(schema: Mapping[str, Any], at: Pointer) -> Checker:
        try:
            return Checker(schema)
        except ValueError as error:
            raise NotMapped(f"its schema is not one of JSON Schema: {error}", at) from None


def _description(one: _Operation) -> str:
    summary, text = (one.value.get(name) for name in ("summary", "description"))
    parts = [part for part in (summary, text) if isinstance(part, str) and part.strip()]
    if len(parts) == 2 and parts[0].strip() == parts[1].strip():
        parts.pop()
    told = seen("\n\n".join(parts), _DESCRIPTION) or str(one)
    return f"Deprecated. {told}" if one.value.get("deprecated") is True else told
