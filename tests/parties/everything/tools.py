"""The tools, and one table of them: name, what it does, its input schema, the function that runs it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.subscriptions import PromptsListChanged, ToolsListChanged
from mcp_types import (
    AudioContent,
    CallToolRequestParams,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    InputRequiredResult,
    SamplingMessage,
    TextContent,
    TextResourceContents,
    Tool,
)

from tests.parties.everything import rounds
from tests.parties.everything.content import PNG, WAV, said

Context = ServerRequestContext[Any, Any]
Run = Callable[[Context, CallToolRequestParams], Awaitable[CallToolResult | InputRequiredResult]]

NOTHING: Final[dict[str, Any]] = {"type": "object", "properties": {}}
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class Row:
    """One tool."""

    name: str
    does: str
    run: Run
    schema: dict[str, Any]

    def listed(self) -> Tool:
        return Tool(name=self.name, description=self.does, input_schema=self.schema)


def text_field(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}


async def simple_text(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    return said("This is a simple text response for testing.")


async def image(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    return CallToolResult(content=[ImageContent(type="image", data=PNG, mime_type="image/png")])


async def audio(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    return CallToolResult(content=[AudioContent(type="audio", data=WAV, mime_type="audio/wav")])


def embedded(uri: str, kind: str, text: str) -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=kind, text=text))


async def embedded_resource(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    content = embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    return CallToolResult(content=[content])


async def mixed(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    data = json.dumps({"test": "data", "value": 123})
    return CallToolResult(
        content=[
            TextContent(type="text", text="Multiple content types test:"),
            ImageContent(type="image", data=PNG, mime_type="image/png"),
            embedded("test://mixed-content-resource", "application/json", data),
        ]
    )


async def error(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    return said("This tool intentionally returns an error for testing", is_error=True)


async def with_logging(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    for step in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message("info", step, related_request_id=ctx.request_id)
    return said("Three log messages were sent, where they were asked for.")


async def with_progress(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    for progress in (0, 50, 100):
        await ctx.session.report_progress(progress, 100)
    return said("Progress was reported, where it was asked for.")


async def sampling(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    prompt = str((params.arguments or {}).get("prompt", ""))
    answer = await ctx.session.create_message(
        [SamplingMessage(role="user", content=TextContent(type="text", text=prompt))],
        max_tokens=100,
        related_request_id=ctx.request_id,
    )
    return said(f"LLM response: {answer.content.text if isinstance(answer.content, TextContent) else ''}")


async def elicit(ctx: Context, message: str, fields: dict[str, Any], required: list[str]) -> tuple[str, str]:
    """Asks by a request to the client (the way before 2026-07-28). The action, and the content as JSON."""
    schema: dict[str, Any] = {"type": "object", "properties": fields, "required": required}
    answer = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
    return answer.action, json.dumps(answer.content)


async def elicitation(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    message = str((params.arguments or {}).get("message", ""))
    fields = {
        "username": {"type": "string", "description": "Your name"},
        "email": {"type": "string", "description": "Your email address"},
    }
    action, content = await elicit(ctx, message, fields, ["username", "email"])
    return said(f"User response: action={action}, content={content}")


async def elicitation_defaults(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    fields = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    action, content = await elicit(ctx, "Please look through the defaults", fields, [])
    return said(f"Elicitation completed: action={action}, content={content}")


async def elicitation_enums(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    plain = ["option1", "option2", "option3"]
    titled = [
        {"const": f"value{n}", "title": f"{word} Option"} for n, word in enumerate(("First", "Second", "Third"), 1)
    ]
    fields = {
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}},
    }
    action, content = await elicit(ctx, "Please choose", fields, [])
    return said(f"Elicitation completed: action={action}, content={content}")


async def reconnection(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    """Ends the stream in the middle of the call; the result waits in the event store for the client's `GET`."""
    if ctx.close_sse_stream is not None:
        await ctx.close_sse_stream()
    return said("The client came back for this.")


async def custom_header(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    return said(f"Region: {(params.arguments or {}).get('region')}")


async def echo(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    return said(str((params.arguments or {}).get("message", "")))


def changes(bus: InMemorySubscriptionBus) -> tuple[Run, Run]:
    """Two tools that tell the open `subscriptions/listen` streams of a changed list of tools, and of prompts."""

    async def tools(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
        await bus.publish(ToolsListChanged())
        return said("The list of tools changed.")

    async def prompts(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
        await bus.publish(PromptsListChanged())
        return said("The list of prompts changed.")

    return tools, prompts


REGION: Final = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}, "query": {"type": "string"}},
    "required": ["region"],
}

# The very schema whose keywords the suite looks for in the answer (SEP-1613, SEP-2106).
KEYWORDS: Final = {
    "$schema": DIALECT,
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def table(bus: InMemorySubscriptionBus) -> dict[str, Row]:
    """Every tool by its name, in the order in which they are listed. The first takes no arguments: the suite calls it blind."""
    tools_changed, prompts_changed = changes(bus)
    rows = (
        Row("test_simple_text", "Says one text", simple_text, NOTHING),
        Row("echo", "Says the message again", echo, text_field("message")),
        Row("forbidden", "A tool that tests keep callers from", echo, text_field("message")),
        Row("test_image_content", "Shows an image", image, NOTHING),
        Row("test_audio_content", "Plays a sound", audio, NOTHING),
        Row("test_embedded_resource", "Embeds a resource", embedded_resource, NOTHING),
        Row("test_multiple_content_types", "Text, an image and a resource", mixed, NOTHING),
        Row("test_error_handling", "Always fails", error, NOTHING),
        Row("test_tool_with_logging", "Logs three times", with_logging, NOTHING),
        Row("test_logging_tool", "Logs three times", with_logging, NOTHING),
        Row("test_tool_with_progress", "Reports progress three times", with_progress, NOTHING),
        Row("test_sampling", "Asks the client's model", sampling, text_field("prompt")),
        Row("test_elicitation", "Asks the client for a form", elicitation, text_field("message")),
        Row("test_elicitation_sep1034_defaults", "Asks with defaults", elicitation_defaults, NOTHING),
        Row("test_elicitation_sep1330_enums", "Asks with choices", elicitation_enums, NOTHING),
        Row("test_reconnection", "Ends its stream before it answers", reconnection, NOTHING),
        Row("test_custom_header", "Mirrors an argument in a header", custom_header, REGION),
        Row("json_schema_2020_12_tool", "Has a schema with many keywords", simple_text, KEYWORDS),
        Row("test_trigger_tool_change", "Says that the tools changed", tools_changed, NOTHING),
        Row("test_trigger_prompt_change", "Says that the prompts changed", prompts_changed, NOTHING),
        Row("test_missing_capability", "Needs a client that samples", rounds.missing_capability, NOTHING),
        Row("test_streaming_elicitation", "Asks on its stream", rounds.streaming_elicitation, NOTHING),
        Row("test_input_required_result_elicitation", "Asks for a name", rounds.elicitation, NOTHING),
        Row("test_input_required_result_sampling", "Asks the model", rounds.ask_model, NOTHING),
        Row("test_input_required_result_list_roots", "Asks for the roots", rounds.ask_roots, NOTHING),
        Row("test_input_required_result_request_state", "Asks and remembers", rounds.request_state, NOTHING),
        Row("test_input_required_result_multiple_inputs", "Asks three ways", rounds.multiple_inputs, NOTHING),
        Row("test_input_required_result_multi_round", "Asks twice", rounds.multi_round, NOTHING),
        Row("test_input_required_result_tampered_state", "Asks and remembers", rounds.request_state, NOTHING),
        Row("test_input_required_result_capabilities", "Asks what it may", rounds.by_capability, NOTHING),
    )
    return {row.name: row for row in rows}
