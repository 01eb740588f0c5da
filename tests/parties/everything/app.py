"""The server: tools, prompts, resources, completion, subscriptions, both eras, at `/mcp`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Awaitable, Callable
from typing import Any, Final

from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types import (
    INVALID_PARAMS,
    BlobResourceContents,
    CallToolRequestParams,
    CallToolResult,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    EmbeddedResource,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    ImageContent,
    InputRequiredResult,
    JSONRPCMessage,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
)
from starlette.applications import Starlette

from tests.parties.everything import rounds
from tests.parties.everything.content import PNG
from tests.parties.everything.tools import table

Context = ServerRequestContext[Any, Any]
Render = Callable[[dict[str, str]], list[PromptMessage]]

TEMPLATE: Final = ("test://template/", "/data")


def user_says(text: str) -> PromptMessage:
    return PromptMessage(role="user", content=TextContent(type="text", text=text))


def embeds(given: dict[str, str]) -> list[PromptMessage]:
    body = TextResourceContents(
        uri=given["resourceUri"], mime_type="text/plain", text="Embedded resource content for testing."
    )
    resource = PromptMessage(role="user", content=EmbeddedResource(type="resource", resource=body))
    return [resource, user_says("Please process the embedded resource above.")]


def shows(given: dict[str, str]) -> list[PromptMessage]:
    image = PromptMessage(role="user", content=ImageContent(type="image", data=PNG, mime_type="image/png"))
    return [image, user_says("Please analyze the image above.")]


# name -> (what it does, its required arguments, how its messages are made)
PROMPTS: Final[dict[str, tuple[str, tuple[str, ...], Render]]] = {
    "test_simple_prompt": ("Says one text", (), lambda _: [user_says("This is a simple prompt for testing.")]),
    "test_prompt_with_arguments": (
        "Repeats its arguments",
        ("arg1", "arg2"),
        lambda given: [user_says(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")],
    ),
    "test_prompt_with_embedded_resource": ("Embeds a resource", ("resourceUri",), embeds),
    "test_prompt_with_image": ("Shows an image", (), shows),
}
ASKING_PROMPT: Final = "test_input_required_result_prompt"

RESOURCES: Final = (
    Resource(uri="test://static-text", name="static-text", description="A text", mime_type="text/plain"),
    Resource(uri="test://static-binary", name="static-binary", description="A picture", mime_type="image/png"),
    Resource(uri="test://watched-resource", name="watched", description="To subscribe to", mime_type="text/plain"),
)
TEXTS: Final = {
    "test://static-text": "This is the content of the static text resource.",
    "test://watched-resource": "Nothing has happened yet.",
}


class Events(EventStore):
    """Everything that was sent, in memory, so that a client can come back for what it missed."""

    def __init__(self) -> None:
        self._sent: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self._sent.append((stream_id, message))
        return str(len(self._sent))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        if not last_event_id.isdecimal() or not 0 < int(last_event_id) <= len(self._sent):
            return None
        stream_id = self._sent[int(last_event_id) - 1][0]
        for number, (stream, message) in enumerate(self._sent[int(last_event_id) :], int(last_event_id) + 1):
            if stream == stream_id and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream_id


async def list_prompts(ctx: Context, params: Any) -> ListPromptsResult:
    listed = [
        Prompt(name=name, description=does, arguments=[PromptArgument(name=each, required=True) for each in needed])
        for name, (does, needed, _) in PROMPTS.items()
    ]
    return ListPromptsResult(prompts=[*listed, Prompt(name=ASKING_PROMPT, description="Asks for a context")])


async def get_prompt(ctx: Context, params: GetPromptRequestParams) -> GetPromptResult | InputRequiredResult:
    if params.name == ASKING_PROMPT:
        return await rounds.prompt(ctx, params)
    if params.name not in PROMPTS:
        raise MCPError(INVALID_PARAMS, f"Unknown prompt: {params.name}")
    does, needed, render = PROMPTS[params.name]
    given = params.arguments or {}
    if missing := [name for name in needed if name not in given]:
        raise MCPError(INVALID_PARAMS, f"Missing arguments: {', '.join(missing)}")
    return GetPromptResult(description=does, messages=render(given))


async def list_resources(ctx: Context, params: Any) -> ListResourcesResult:
    return ListResourcesResult(resources=list(RESOURCES))


async def list_templates(ctx: Context, params: Any) -> ListResourceTemplatesResult:
    template = ResourceTemplate(
        uri_template="{id}".join(TEMPLATE), name="template", description="Data by its id", mime_type="application/json"
    )
    return ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(ctx: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
    uri = str(params.uri)
    if uri == "test://static-binary":
        return ReadResourceResult(contents=[BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)])
    if uri.startswith(TEMPLATE[0]) and uri.endswith(TEMPLATE[1]):
        ident = uri.removeprefix(TEMPLATE[0]).removesuffix(TEMPLATE[1])
        text = json.dumps({"id": ident, "templateTest": True, "data": f"Data for ID: {ident}"})
        return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type="application/json", text=text)])
    if uri not in TEXTS:
        raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri})
    return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type="text/plain", text=TEXTS[uri])])


async def complete(ctx: Context, params: CompleteRequestParams) -> CompleteResult:
    values = [word for word in ("testable", "testing") if word.startswith(params.argument.value)]
    return CompleteResult(completion=Completion(values=values, total=len(values), has_more=False))


async def accepted(ctx: Context, params: Any) -> EmptyResult:
    return EmptyResult()


def build() -> Starlette:
    """The ASGI application."""
    bus = InMemorySubscriptionBus()
    rows = table(bus)

    async def list_tools(ctx: Context, params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[row.listed() for row in rows.values()])

    async def call_tool(ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        if params.name not in rows:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name}")
        run: Callable[..., Awaitable[CallToolResult | InputRequiredResult]] = rows[params.name].run
        return await run(ctx, params)

    with warnings.catch_warnings():
        # Logging levels are deprecated as of 2026-07-28; the suite still asks for them in 2025-11-25.
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        server: Server[Any] = Server(
            "counterseal-everything",
            version="1",
            cache_hints={"tools/list": CacheHint(ttl_ms=60_000, scope="public")},
            get_tool_input_schema=lambda name: rows[name].schema if name in rows else None,
            on_list_tools=list_tools,
            on_call_tool=call_tool,
            on_list_prompts=list_prompts,
            on_get_prompt=get_prompt,
            on_list_resources=list_resources,
            on_list_resource_templates=list_templates,
            on_read_resource=read_resource,
            on_subscribe_resource=accepted,
            on_unsubscribe_resource=accepted,
            on_subscriptions_listen=ListenHandler(bus),
            on_completion=complete,
            on_set_logging_level=accepted,
        )
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=server.name))
    return server.streamable_http_app(event_store=Events(), retry_interval=200)
