"""The official SDK's server with the Tasks extension, in memory, which verifies every request:
`python -m tests.parties.tasks --port PORT --issuer URL --audience URL`.

The SDK has the place for the extension and no implementation of it; what is here is as little as the protocol asks for.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from typing import Any

from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp_types import CallToolRequestParams, RequestParams
from pydantic import Field

from counterseal.verify import Verifier
from counterseal.verify.asgi import CountersealMiddleware
from tests.parties.hosting import run

_AT = {"createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z", "ttlMs": 60000}


class TaskParams(RequestParams):
    task_id: str = Field(alias="taskId")


class Tasks(Extension):
    """Every call of the tool `slow` becomes a task, which works until it is updated or cancelled."""

    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._status: dict[str, str] = {}

    def methods(self) -> Sequence[MethodBinding]:
        handlers = {"tasks/get": self._get, "tasks/update": self._update, "tasks/cancel": self._cancel}
        return [MethodBinding(method, TaskParams, handler) for method, handler in handlers.items()]

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        if params.name != "slow":
            return await call_next(ctx)
        name = f"task-{next(self._numbers)}"
        self._status[name] = "working"
        return {"resultType": "task", "taskId": name, "status": "working", **_AT}

    def _known(self, params: TaskParams) -> str:
        if params.task_id not in self._status:
            raise MCPError(-32602, "no such task")
        return params.task_id

    async def _get(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        name = self._known(params)
        status = self._status[name]
        done = {"result": {"content": [{"type": "text", "text": f"{name} is done"}]}} if status == "completed" else {}
        return {"resultType": "complete", "taskId": name, "status": status, **_AT, **done}

    async def _update(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        self._status[self._known(params)] = "completed"
        return {"resultType": "complete"}

    async def _cancel(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        self._status[self._known(params)] = "cancelled"
        return {"resultType": "complete"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--issuer", required=True)
    parser.add_argument("--audience", required=True)
    options = parser.parse_args()
    server: MCPServer[Any] = MCPServer("tasks", extensions=[Tasks()])

    @server.tool()
    def slow() -> str:
        """Takes its time."""
        raise AssertionError  # it becomes a task

    verifier = Verifier(issuer=options.issuer, audience=options.audience)
    run(CountersealMiddleware(server.streamable_http_app(), verifier), options.port)


if __name__ == "__main__":
    main()
