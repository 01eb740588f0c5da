"""A program on LangChain's adapters: lists a server's tools and calls one, as JSON on standard output.

python langchain_client.py ADDRESS SECRET TOOL ARGUMENTS
"""

import asyncio
import json
import sys

from langchain_core.tools import ToolException
from langchain_mcp_adapters.client import MultiServerMCPClient


async def main(address: str, secret: str, tool: str, arguments: str) -> None:
    headers = {"Authorization": f"Bearer {secret}"}
    client = MultiServerMCPClient({"one": {"transport": "streamable_http", "url": address, "headers": headers}})
    tools = {each.name: each for each in await client.get_tools()}
    told: dict[str, object] = {"tools": sorted(tools)}
    if tool in tools:
        try:
            told["said"] = await tools[tool].ainvoke(json.loads(arguments))
        except ToolException as error:
            told["error"] = str(error)
    print(json.dumps(told))


asyncio.run(main(*sys.argv[1:5]))
