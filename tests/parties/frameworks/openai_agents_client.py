"""A program on the OpenAI Agents SDK: lists a server's tools and calls one, as JSON on standard output.

python openai_agents_client.py ADDRESS SECRET TOOL ARGUMENTS
"""

import asyncio
import json
import sys

from agents.mcp import MCPServerStreamableHttp


async def main(address: str, secret: str, tool: str, arguments: str) -> None:
    params = {"url": address, "headers": {"Authorization": f"Bearer {secret}"}}
    async with MCPServerStreamableHttp(params=params, name="one", client_session_timeout_seconds=20) as server:
        tools = sorted(each.name for each in await server.list_tools())
        told: dict[str, object] = {"tools": tools}
        try:
            result = await server.call_tool(tool, json.loads(arguments))
        except Exception as error:  # its own and the SDK's: whatever it is, it is told
            told["error"] = str(error)
        else:
            told["said"] = [each.model_dump(mode="json", exclude_none=True) for each in result.content]
    print(json.dumps(told))


asyncio.run(main(*sys.argv[1:5]))
