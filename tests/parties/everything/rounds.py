"""Tools and a prompt that ask the caller back: an `input_required` result, then the same call with the answers (2026-07-28).

An answer counts only if it has the right type and shape; anything else is asked for again. `requestState` is plain text here,
because the SDK's `RequestStateBoundary` seals it before it leaves and opens it when it returns.
"""

from __future__ import annotations

from typing import Any, Final

from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolRequestParams,
    CallToolResult,
    ClientCapabilities,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitationCapability,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequest,
    InputRequiredResult,
    InputResponseRequestParams,
    ListRootsRequest,
    ListRootsResult,
    MissingRequiredClientCapabilityErrorData,
    PromptMessage,
    RequestParams,
    SamplingCapability,
    SamplingMessage,
    TextContent,
)

from tests.parties.everything.content import said

Context = ServerRequestContext[Any, Any]

JSON_TYPES: Final[dict[str, type]] = {"string": str, "boolean": bool}


def ask(state: str | None = None, **requests: InputRequest) -> InputRequiredResult:
    """The result that asks: key of `inputRequests` -> request. state: what the next round gets back as `requestState`."""
    return InputRequiredResult(input_requests=requests, request_state=state)


def form(message: str, name: str, kind: str = "string") -> ElicitRequest:
    """A form with one required field."""
    schema = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sampling(text: str, tokens: int = 100) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=tokens))


def roots() -> ListRootsRequest:
    return ListRootsRequest(params=RequestParams())


def filled(params: InputResponseRequestParams, key: str, name: str, kind: str = "string") -> Any:
    """The value of field `name` in the form answered under `key`; None if that is not what was answered."""
    answer = (params.input_responses or {}).get(key)
    if not isinstance(answer, ElicitResult) or answer.action != "accept":
        return None
    value = (answer.content or {}).get(name)
    return value if isinstance(value, JSON_TYPES[kind]) else None


def refuse_without(ctx: Context, needed: ClientCapabilities) -> None:
    """Ends the call with -32021 unless the caller declared what is needed."""
    if not ctx.session.check_client_capability(needed):
        data = MissingRequiredClientCapabilityErrorData(required_capabilities=needed)
        raise MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            "This tool needs a capability that the client did not declare.",
            data.model_dump(by_alias=True, mode="json", exclude_none=True),
        )


async def missing_capability(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    refuse_without(ctx, ClientCapabilities(sampling=SamplingCapability()))
    return said("The client can sample.")


async def streaming_elicitation(ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
    refuse_without(ctx, ClientCapabilities(elicitation=ElicitationCapability()))
    if (name := filled(params, "user_name", "name")) is None:
        return ask(user_name=form("What is your name?", "name"))
    return said(f"Hello, {name}!")


async def elicitation(ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
    if (name := filled(params, "user_name", "name")) is None:
        return ask(user_name=form("What is your name?", "name"))
    return said(f"Hello, {name}!")


async def ask_model(ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
    answer = (params.input_responses or {}).get("capital_question")
    if not isinstance(answer, CreateMessageResult) or not isinstance(answer.content, TextContent):
        return ask(capital_question=sampling("What is the capital of France?"))
    return said(f"The model said: {answer.content.text}")


async def ask_roots(ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
    answer = (params.input_responses or {}).get("client_roots")
    if not isinstance(answer, ListRootsResult):
        return ask(client_roots=roots())
    return said("Roots: " + ", ".join(str(root.uri) for root in answer.roots))


async def request_state(ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
    if params.request_state != "asked" or filled(params, "confirm", "ok", "boolean") is None:
        return ask("asked", confirm=form("Please confirm", "ok", "boolean"))
    return said("state-ok")


async def multiple_inputs(ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
    given = params.input_responses or {}
    if params.request_state == "asked" and {"user_name", "greeting", "client_roots"} <= given.keys():
        return said(f"All {len(given)} answers are here.")
    return ask(
        "asked",
        user_name=form("What is your name?", "name"),
        greeting=sampling("Generate a greeting", 50),
        client_roots=roots(),
    )


async def multi_round(ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
    if params.request_state == "second" and (color := filled(params, "step2", "color")) is not None:
        return said(f"Your favorite color is {color}.")
    if params.request_state == "first" and filled(params, "step1", "name") is not None:
        return ask("second", step2=form("Step 2: What is your favorite color?", "color"))
    return ask("first", step1=form("Step 1: What is your name?", "name"))


async def by_capability(ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
    if params.input_responses:
        return said(f"{len(params.input_responses)} answers.")
    declared = ctx.session.client_capabilities or ClientCapabilities()
    asked: dict[str, InputRequest] = {}
    if declared.sampling is not None:
        asked["greeting"] = sampling("Generate a greeting", 50)
    if declared.elicitation is not None:
        asked["user_name"] = form("What is your name?", "name")
    if declared.roots is not None:
        asked["client_roots"] = roots()
    return ask(None, **asked) if asked else said("There is nobody to ask.")


async def prompt(ctx: Context, params: GetPromptRequestParams) -> GetPromptResult | InputRequiredResult:
    if (context := filled(params, "user_context", "context")) is None:
        return ask(user_context=form("What context should the prompt use?", "context"))
    message = PromptMessage(role="user", content=TextContent(type="text", text=f"Use this context: {context}"))
    return GetPromptResult(messages=[message])
