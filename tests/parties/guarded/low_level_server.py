"""The official SDK, low level."""

from __future__ import annotations

from typing import Any

from mcp.server.lowlevel import Server
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool

from counterseal.verify import Verifier, current_verified  # guard
from counterseal.verify.asgi import CountersealMiddleware  # guard
from tests.parties.guarded.kinds import Weather

TOOLS = [
    Tool(name="get_weather", input_schema={"type": "object", "properties": {"city": {"type": "string"}}}),
    Tool(name="delete_all", input_schema={"type": "object"}),
]


def build(issuer: str, audience: str) -> Any:
    weather = Weather()

    async def list_tools(context: Any, params: Any) -> ListToolsResult:
        return ListToolsResult(tools=TOOLS)

    async def call_tool(context: Any, params: CallToolRequestParams) -> CallToolResult:
        text = "deleted"
        if params.name == "get_weather":
            text = weather.report((params.arguments or {})["city"], current_verified().subject)
        return CallToolResult(content=[TextContent(type="text", text=text)])

    server: Server[Any] = Server("guarded", on_list_tools=list_tools, on_call_tool=call_tool)
    app: Any = server.streamable_http_app()
    verifier = Verifier(issuer=issuer, audience=audience, leeway=0)  # guard
    return CountersealMiddleware(app, verifier, paths=["/mcp"])  # guard
