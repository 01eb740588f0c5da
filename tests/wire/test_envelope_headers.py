"""Routing headers against the body: in every state, in every version, and every mirrored parameter (rows 9 to 13)."""

from __future__ import annotations

import itertools
from typing import Any, Final

import pytest

from counterseal.core.call import Era
from counterseal.core.methods import LEGACY, METHODS, MODERN
from counterseal.wire import envelope
from tests.servers import permits
from tests.support.calls import modern, tool_call
from tests.wire.requests import VERSION, Draft, accepted, is_refused, of, sentinel

# ---- M-01: the routing headers, each in every state, all together ------------------------------------------------------


def states(value: str) -> dict[str, tuple[str, ...]]:
    """Every state of a header whose body counterpart is `value`."""
    return {
        "right": (value,),
        "right with white space": (f" \t{value} ",),
        "absent": (),
        "empty": ("",),
        "differing": (value + "x",),
        "differing by case": (value.swapcase() if value != value.swapcase() else value + "X",),
        "twice": (value, value),
        "twice, differing": (value, "other"),
        "base64, right": (sentinel(value),),
        "base64, wrong": (sentinel(value + "x"),),
        "base64, malformed": ("=?base64?****?=",),
        "base64, not canonical": (sentinel(value).replace("?=", "=?=", 1) if not value else "=?base64?YR==?=",),
        "base64 in capitals": (sentinel(value).replace("base64", "BASE64"),),
        "control character": (value + "\x01",),
        "NUL": (value + "\0",),
        "line break": (value + "\r\nx: y",),
        "not ASCII": (value + "é",),
        "comma": (f"{value},{value}",),
    }


def test_every_combination_of_header_states_is_refused_but_the_right_ones() -> None:
    """M-01: version by method by name, 18 states each; what is accepted is what equals the body."""
    right = {"right", "right with white space"}
    versions, methods, names = states(MODERN), states("tools/call"), states("get_weather")
    for version, method, name in itertools.product(versions, methods, names):
        draft = accepted().head("MCP-Protocol-Version", *versions[version])
        draft.head("Mcp-Method", *methods[method]).head("Mcp-Name", *names[name])
        if version in right and method in right and name in {*right, "base64, right"}:
            assert draft.decode().name == "get_weather"
        else:
            is_refused(draft.refusal(), 400, -32020, "header_mismatch")


@pytest.mark.parametrize(
    ("message", "value"),
    [
        (modern("prompts/get", {"name": "greet"}), "greet"),
        (modern("resources/read", {"uri": "file:///a"}), "file:///a"),
    ],
)
def test_prompts_and_resources_are_mirrored_like_tools(message: dict[str, Any], value: str) -> None:
    for state, values in states(value).items():
        draft = of(message).head("Mcp-Name", *values)
        if state in ("right", "right with white space", "base64, right"):
            assert draft.decode().name == value
        else:
            is_refused(draft.refusal(), 400, -32020, "header_mismatch")


@pytest.mark.parametrize("name", ["wétter", " edge", "edge ", "line\nbreak", "=?base64?YQ==?=", "", "天気"])
def test_a_name_that_no_header_can_hold_is_mirrored_encoded_only(name: str) -> None:
    message = tool_call(name)
    assert of(message).head("Mcp-Name", sentinel(name)).decode().name == name
    bare = name.encode().decode("latin-1")
    is_refused(of(message).head("Mcp-Name").refusal(), 400, -32020, "header_mismatch")
    if bare:
        is_refused(of(message).head("Mcp-Name", bare).refusal(), 400, -32020, "header_mismatch")


@pytest.mark.parametrize("method", [row.name for row in METHODS.values() if row.modern and row.name_field is None])
def test_a_method_that_names_nothing_needs_no_name_header(method: str) -> None:
    params = {"ref": {"type": "ref/prompt", "name": "greet"}} if method == "completion/complete" else {}
    draft = of(modern(method, params))
    draft.head("Mcp-Name")
    assert draft.decode().method == method


# ---- M-02: which version a request is of -------------------------------------------------------------------------------

_ANY: Final = (None, "2024-11-05", *LEGACY, MODERN, "2099-01-01", "", "2026-07-28 ", "junk")


@pytest.mark.parametrize("in_body", _ANY)
@pytest.mark.parametrize("in_header", _ANY)
def test_no_mixture_of_versions_dodges_the_checks_of_the_newest(in_header: str | None, in_body: str | None) -> None:
    """M-02: a `_meta` version makes a request modern whatever its header says; so does a header that is not legacy."""
    draft = of(modern("tools/list"))
    draft.head("MCP-Protocol-Version", *([] if in_header is None else [in_header]))
    draft = draft.meta(VERSION, in_body) if in_body is not None else draft.without("params", "_meta", VERSION)
    trimmed = None if in_header is None else in_header.strip(" \t")
    if in_body is not None and trimmed == in_body == MODERN:
        assert draft.decode().era is Era.MODERN
    elif in_body is None and trimmed in (None, *LEGACY):
        call = draft.decode()
        assert (call.era, call.revision) == (Era.LEGACY, trimmed or LEGACY[0])
    else:
        refused = draft.refusal()
        if in_body is not None and trimmed != in_body:
            is_refused(refused, 400, -32020, "header_mismatch")
        assert refused.reason.status == 400


# ---- row 12: Mcp-Param-* ----------------------------------------------------------------------------------------------

MIRRORS: Final = {("city",): "mcp-param-city", ("at", "hour"): "mcp-param-hour", ("cold",): "mcp-param-cold"}


def mirrored(arguments: dict[str, Any], **headers: str) -> Draft:
    draft = of(tool_call("get_weather", arguments))
    draft.mirrors = {"get_weather": MIRRORS}
    for name, value in headers.items():
        draft.head(f"Mcp-Param-{name}", value)
    return draft


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({}, {}),
        ({"city": None, "at": {}}, {}),
        ({"city": "Oslo"}, {"City": "Oslo"}),
        ({"city": ""}, {"City": ""}),
        ({"city": "Tromsø"}, {"City": sentinel("Tromsø")}),
        ({"city": "Oslo"}, {"City": sentinel("Oslo")}),
        ({"at": {"hour": 5}}, {"Hour": "5"}),
        ({"at": {"hour": -5}}, {"Hour": "-5.00"}),
        ({"at": {"hour": 5.0}}, {"Hour": "5"}),
        ({"cold": True}, {"Cold": "true"}),
        ({"cold": False}, {"Cold": "false"}),
        ({"city": "Oslo"}, {"City": "Oslo", "Unknown": "as it is"}),
        ({"at": 5}, {}),
        ({"city": {"a": 1}}, {}),
    ],
)
def test_a_mirrored_parameter_that_says_what_the_body_says_is_accepted(arguments: Any, headers: dict[str, str]) -> None:
    call = mirrored(arguments, **headers).decode()
    assert call.arguments == arguments
    assert dict(call.param_headers).keys() == {f"mcp-param-{name.lower()}" for name in headers}


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({"city": "Oslo"}, {}),
        ({}, {"City": "Oslo"}),
        ({"city": None}, {"City": "null"}),
        ({"city": "Oslo"}, {"City": "oslo"}),
        ({"city": "Oslo"}, {"City": "Oslo2"}),
        ({"city": "Oslo"}, {"City": "=?base64?####?="}),
        ({"city": "Tromsø"}, {"City": "Troms\xf8"}),
        ({"city": "Oslo"}, {"City": "Oslo\x02"}),
        ({"city": "42"}, {"City": "42.0"}),
        ({"at": {"hour": 5}}, {"Hour": "5.1"}),
        ({"at": {"hour": 5}}, {"Hour": "5e0"}),
        ({"at": {"hour": 5}}, {"Hour": sentinel("\u0665")}),
        ({"at": {"hour": 5}}, {"Hour": "50"}),
        ({"at": {"hour": 1.5}}, {}),
        ({"hour": 5}, {"Hour": "5"}),
        ({"cold": True}, {"Cold": "True"}),
        ({"cold": True}, {"Cold": "1"}),
        ({"city": {"a": 1}}, {"City": "x"}),
    ],
)
def test_a_mirrored_parameter_that_differs_from_the_body_is_refused(arguments: Any, headers: dict[str, str]) -> None:
    """M-03."""
    is_refused(mirrored(arguments, **headers).refusal(), 400, -32020, "header_mismatch")


def test_mirrored_parameters_are_made_anew_from_the_body() -> None:
    call = mirrored({"city": "Oslo", "at": {"hour": 5}}, City=sentinel("Oslo"), Hour="5.0", Other="kept").decode()
    assert dict(call.param_headers) == {"mcp-param-city": "Oslo", "mcp-param-hour": "5", "mcp-param-other": "kept"}


def test_a_tool_that_no_list_has_shown_yet_keeps_its_parameter_headers() -> None:
    draft = mirrored({"city": "Oslo"}, City="anything")
    draft.mirrors = {}
    assert draft.decode().param_headers == (("mcp-param-city", "anything"),)


# ---- other arguments --------------------------------------------------------------------------------------------------


def test_p_03_a_call_with_other_arguments_differs_in_nothing_else() -> None:
    """Its message and its headers alike: what routes by a header must see what acts on the body (M-03)."""
    before = permits.call(param_headers=(("mcp-param-city", "Oslo"), ("mcp-param-other", "x")))
    after = envelope.with_arguments(before, {"city": "Bod\u00f8", "n": 1}, {("city",): "mcp-param-city"})
    assert after.arguments == {"city": "Bod\u00f8", "n": 1}
    assert after.param_headers == (("mcp-param-city", "=?base64?Qm9kw7g=?="),)
    assert before.message is not None
    assert after.message == {**before.message, "params": {**before.message["params"], "arguments": after.arguments}}
    for name in ("server", "era", "revision", "shape", "method", "id", "name", "session", "last_event_id"):
        assert getattr(after, name) == getattr(before, name)
    assert (before.arguments, before.message["params"]["arguments"]) == ({"city": "Oslo"}, {"city": "Oslo"})


def test_p_03_what_the_caller_mirrored_does_not_stay_where_nobody_knows_what_it_mirrors() -> None:
    before = permits.call(param_headers=(("mcp-param-city", "Oslo"),))
    assert envelope.with_arguments(before, {"city": "Rome"}, None).param_headers == ()


@pytest.mark.parametrize(("method", "era"), [("prompts/get", Era.MODERN), ("tools/call", Era.LEGACY)])
def test_only_tools_of_the_modern_era_mirror_arguments(method: str, era: Era) -> None:
    after = envelope.with_arguments(permits.call(method, era=era), {"city": "Rome"}, {("city",): "mcp-param-city"})
    assert (after.param_headers, after.arguments) == ((), {"city": "Rome"})


def test_arguments_that_were_left_out_can_be_put_there() -> None:
    after = envelope.with_arguments(permits.call(params={"name": "a"}), {"city": "Rome"}, None)
    assert after.message is not None
    assert after.message["params"] == {"name": "a", "arguments": {"city": "Rome"}}


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
def test_a_task_is_mirrored_as_the_body_has_it_or_not_at_all(method: str) -> None:
    """The extension asks for it, and clients in use leave it out; where it is there it must say the same."""
    message = modern(method, {"taskId": "t-1"})
    for value in ("t-1", sentinel("t-1"), None):
        draft = of(message)
        draft.head("Mcp-Name", *([] if value is None else [value]))
        assert draft.decode().name == "t-1"
    for values in (("t-2",), ("",), ("t-1", "t-1"), ("=?base64?****?=",), ("T-1",)):
        is_refused(of(message).head("Mcp-Name", *values).refusal(), 400, -32020, "header_mismatch")
