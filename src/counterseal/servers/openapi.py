"""An HTTP API that an OpenAPI document describes, as an MCP server: the gateway answers MCP itself, and each call of a tool
is one request.

LiteLLM's signer sends such requests unsigned. Here they are built from the permit like all others: the call
token, the server's own headers, and what the document gives the arguments a place for. Nothing of the caller's request is
copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from counterseal.core.call import Call, Shape
from counterseal.core.limits import Limits
from counterseal.core.permit import Permit
from counterseal.core.reply import Reply
from counterseal.errors import BadCall, ServerError
from counterseal.httpclient import Target
from counterseal.servers.http import Http, Request, Response
from counterseal.servers.link import refused
from counterseal.servers.streamable_http import Decide, Destination
from counterseal.wire import headers as wire_headers
from counterseal.wire.hosted import Hosted
from counterseal.wire.openapi.answer import ToolResult, read_answer, told
from counterseal.wire.openapi.compile import Compiled
from counterseal.wire.openapi.request import NotWritten, Written, write_request
from counterseal.wire.openapi.tool import Tool

_JSON: Final = ((b"content-type", b"application/json"),)
_ACCEPT: Final = "application/json, text/*;q=0.8, */*;q=0.5"
_ALLOW: Final = ((b"allow", b"POST"),)


class _Definition(msgspec.Struct):
    inputSchema: msgspec.Raw  # noqa: N815  # the wire's own name


_read_definition: Final = msgspec.json.Decoder(_Definition).decode
_NO_HEADERS: Final[dict[wire_headers.Path, str]] = {}


class OpenApi:
    """Sends permits to one HTTP API. destination: its `url` is the base of every address. compiled: the tools. instructions: what
    clients are told about the server."""

    def __init__(
        self,
        destination: Destination,
        compiled: Compiled,
        instructions: str,
        http: Http,
        decide: Decide,
        limits: Limits,
    ) -> None:
        self._destination = destination
        self._target = Target(destination.url)
        self._base = urlsplit(destination.url).path.rstrip("/")
        self._tools = {tool.name: tool for tool in compiled.tools}
        information = {"name": destination.name, "version": compiled.version}
        if compiled.title:
            information["title"] = compiled.title
        self._hosted = Hosted(information, instructions, {tool.name: tool.definition for tool in compiled.tools})
        self._http = http
        self._decide = decide
        self._limits = limits
        self._static = (
            ("User-Agent", destination.user_agent),
            ("Accept-Encoding", "identity"),
            ("Accept", _ACCEPT),
            *destination.static,
        )

    def schema(self, tool: str) -> dict[wire_headers.Path, str]:
        """No tool of an OpenAPI document mirrors arguments into headers of MCP."""
        return _NO_HEADERS

    def input_schema(self, tool: str) -> bytes | None:
        """The JSON text of a tool's inputSchema, for hooks; None where there is no such tool."""
        found = self._tools.get(tool)
        return None if found is None else bytes(_read_definition(found.definition).inputSchema)

    def healthy(self) -> None:
        """Nothing is known between calls."""

    async def close(self) -> None:
        """Connections are the client's."""

    async def send(self, permit: Permit) -> Reply:
        """One call. Raises BadCall for what this server does not have, ServerError where it failed."""
        call = permit.call
        if call.shape in (Shape.STREAM, Shape.END):
            raise BadCall("http_method_refused", "this server has no sessions and no stream of its own", headers=_ALLOW)
        if call.shape is not Shape.REQUEST:
            return Reply(202, (), b"", note="dropped: an HTTP API takes no notifications")
        if call.method != "tools/call":
            body = self._hosted.answer(call, partial(self._decide, permit.caller, call, "tools/call"), self._limits)
            return Reply(200, _JSON, body, is_error=False, note="answered by the gateway")
        tool = self._tools.get(call.name or "")
        if tool is None:
            raise BadCall("invalid_params", f"there is no tool {call.name!r}")
        arguments = call.arguments or {}
        if (problem := tool.checks.problem(arguments)) is not None:
            return self._result(
                call, told(f"The arguments do not fit:\n{problem}"), "the arguments do not fit: not sent"
            )
        try:
            written = write_request(tool, arguments, self._limits.openapi_target_bytes)
        except NotWritten as error:
            return self._result(call, told(f"{error}."), "the arguments have no form in a request: not sent")
        return await self._ask(permit, tool, written)

    def request_headers(self, permit: Permit) -> Sequence[tuple[str, str]]:
        """The headers that `send` would send, in their order; none where nothing would be. It sends nothing, and they hold the
        token and the server's own credentials."""
        call = permit.call
        tool = self._tools.get(call.name or "") if call.method == "tools/call" else None
        if tool is None:
            return ()
        try:
            written = write_request(tool, call.arguments or {}, self._limits.openapi_target_bytes)
        except NotWritten:
            return ()
        return self._request(permit, written).headers

    async def _ask(self, permit: Permit, tool: Tool, written: Written) -> Reply:
        response = await self._http.send(self._request(permit, written))
        try:
            result = await self._answer(tool, response)
        except BaseException:
            response.abort()
            raise
        return self._result(permit.call, result, f"the server answered {response.status}")

    def _request(self, permit: Permit, written: Written) -> Request:
        place, token = self._destination.header, permit.token
        headers = [
            (place, f"Bearer {token}" if place.lower() == "authorization" else token),
            *self._static,
            *written.headers,
        ]
        target = self._target.at(self._base + written.target)
        # Nothing in an answer says which request it answers.
        owner = permit.caller.fingerprint()
        return Request(written.verb, target, permit.beside(headers), written.body, None, permit.caller, owner)

    async def _answer(self, tool: Tool, response: Response) -> ToolResult:
        status = response.status
        if status in (401, 403, 407) or not (200 <= status < 300 or 400 <= status < 600):
            raise refused(status)
        if (response.header(b"content-encoding") or "identity") != "identity":
            raise ServerError(
                "server_answer_invalid",
                "the server's answer is not valid",
                detail="a content coding that was not asked for",
            )
        content_type = response.header(b"content-type")
        body = await response.read(self._limits.server_answer_bytes)
        return read_answer(tool, status, content_type, body, self._limits.openapi_error_bytes)

    def _result(self, call: Call, result: ToolResult, note: str) -> Reply:
        members: dict[str, Any] = {"content": result.content, "isError": result.is_error}
        if result.structured is not None:
            members["structuredContent"] = result.structured
        return Reply(200, _JSON, self._hosted.response(call, members), is_error=False, note=note)
