"""What an HTTP answer becomes: the result of a tool.

A server's own error is told to the agent, which can mend its arguments. What a document promises of an answer is held: an
answer that is another says so, and is shown nevertheless, because the call was made.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Raw

from counterseal.core import strict_json
from counterseal.wire.openapi.parameters import is_json
from counterseal.wire.openapi.tool import Tool

_DEPTH: Final = 100
_MEMBERS: Final = 1_000_000
_TEXT: Final = re.compile(
    r"text/.*|application/(?:.*\+)?(?:xml|yaml|javascript)|application/x-(?:yaml|ndjson)|application/graphql|image/svg\+xml"
)
_CHARSET: Final = re.compile(r";\s*charset=\"?(utf-?8|us-ascii|iso-8859-1)\"?\s*(?:;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """content: MCP's blocks. structured: the JSON object of the answer, as it came."""

    content: list[dict[str, Any]]
    structured: Raw | None = None
    is_error: bool = False


def told(text: str) -> ToolResult:
    """A result that says why there is none."""
    return ToolResult([_text(text)], is_error=True)


def read_answer(tool: Tool, status: int, content_type: str | None, body: bytes, most_of_error: int) -> ToolResult:
    """status: of success, 2xx, or an error, 4xx and 5xx. content_type: the header. most_of_error: bytes of an error's body
    that are shown."""
    media = (content_type or "").partition(";")[0].strip().lower()
    if status >= 400:
        shown = _decoded(content_type, media, body[:most_of_error], "replace")
        return told(f"The server answered with status {status}." + (f"\n{shown}" if shown else ""))
    content = _content(tool.name, content_type, media, body) if body else []
    structured = _object(body) if body and is_json(media) else None
    if tool.answers is None:
        return ToolResult(content, None if structured is None else Raw(body))
    problem = "it is no JSON object" if structured is None else tool.answers.problem(structured)
    if problem is None:
        return ToolResult(content, Raw(body))
    said = (
        f"The server did what it was asked and answered with status {status}, but not as its document says:\n{problem}"
    )
    return ToolResult([_text(said), *content], is_error=True)


def _object(body: bytes) -> dict[str, Any] | None:
    """The object in it, read as everything is here; None for another value, and for what not every reader takes alike."""
    try:
        value = strict_json.read(body, depth=_DEPTH, members=_MEMBERS)
    except (strict_json.NotStrict, strict_json.TooBig):
        return None
    return value if isinstance(value, dict) else None


def _content(name: str, content_type: str | None, media: str, body: bytes) -> list[dict[str, Any]]:
    if (text := _decoded(content_type, media, body)) is not None:
        return [_text(text)]
    data = base64.b64encode(body).decode()
    if media.startswith(("image/", "audio/")):
        return [{"type": media.partition("/")[0], "data": data, "mimeType": media}]
    resource = {"uri": f"counterseal:answer/{name}", "mimeType": media or "application/octet-stream", "blob": data}
    return [{"type": "resource", "resource": resource}]


def _decoded(content_type: str | None, media: str, body: bytes, errors: str = "strict") -> str | None:
    """The text of a body that is one; None for another."""
    if media and not (is_json(media) or _TEXT.fullmatch(media)):
        return None
    found = _CHARSET.search(content_type or "")
    try:
        return body.decode(found[1] if found else "utf-8", errors)
    except UnicodeDecodeError:
        return None


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
