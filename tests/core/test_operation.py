"""Method, name and arguments of a message, read in one way only."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.core.methods import METHODS, REPLY
from counterseal.core.operation import NoOperation, Operation, operation_of


def request(method: Any, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def test_a_tool_call_has_its_name_and_arguments() -> None:
    message = request("tools/call", name="get_weather", arguments={"city": "Oslo"})
    assert operation_of(message) == Operation("tools/call", "get_weather", {"city": "Oslo"})


def test_absent_arguments_stay_absent() -> None:
    assert operation_of(request("tools/call", name="now")) == Operation("tools/call", "now", None)


def test_a_resource_is_named_by_its_uri_and_has_no_arguments() -> None:
    message = request("resources/read", uri="file:///a", name="b", arguments={"c": 1})
    assert operation_of(message) == Operation("resources/read", "file:///a", None)


def test_a_method_that_names_nothing_has_no_name() -> None:
    assert operation_of(request("tools/list", name="x")) == Operation("tools/list")
    assert operation_of({"jsonrpc": "2.0", "id": 1, "method": "ping"}) == Operation("ping")


def test_a_completion_is_named_by_what_it_is_for() -> None:
    prompt = {"type": "ref/prompt", "name": "greet", "uri": "file:///no"}
    resource = {"type": "ref/resource", "uri": "file:///{path}", "name": "no"}
    assert operation_of(request("completion/complete", ref=prompt)).name == "greet"
    assert operation_of(request("completion/complete", ref=resource)).name == "file:///{path}"


@pytest.mark.parametrize(
    "ref", [None, "x", {}, {"type": "ref/tool", "name": "x"}, {"type": ["ref/prompt"]}, {"name": "x"}]
)
def test_a_completion_for_something_unknown_has_no_operation(ref: Any) -> None:
    with pytest.raises(NoOperation):
        operation_of(request("completion/complete", ref=ref))


def test_responses_are_one_operation() -> None:
    assert operation_of({"jsonrpc": "2.0", "id": 1, "result": {}}) == Operation(REPLY)
    assert operation_of({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "x"}}) == Operation(REPLY)


def test_a_notification_has_an_operation() -> None:
    assert operation_of({"jsonrpc": "2.0", "method": "notifications/initialized"}).method == "notifications/initialized"


def test_an_unknown_method_binds_nothing() -> None:
    assert operation_of(request("x/y", name="n", arguments={})) == Operation("x/y")


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"jsonrpc": "2.0", "id": 1},
        {**request("tools/call", name="x"), "result": {}},
        {**request("tools/call", name="x"), "error": {}},
        request(1),
        request(None),
        {"method": "tools/call", "params": ["x"]},
        {"method": "tools/call", "params": None},
        {"method": "tools/call"},
        request("tools/call", name=1),
        request("tools/call", name=["x"]),
        request("tools/call", Name="x"),
        request("tools/call", name="x", arguments=[]),
        request("tools/call", name="x", arguments=None),
        request("resources/read", name="x"),
    ],
)
def test_what_could_be_read_in_two_ways_has_no_operation(message: dict[str, Any]) -> None:
    """M-04: among them `Name` beside or for `name`, and a request that is a response too."""
    with pytest.raises(NoOperation):
        operation_of(message)


def test_every_method_with_a_name_field_needs_it() -> None:
    for row in METHODS.values():
        if row.name_field is not None:
            assert operation_of(request(row.name, **{row.name_field: "x"})).name == "x"
            with pytest.raises(NoOperation):
                operation_of(request(row.name))


@pytest.mark.parametrize(
    "member",
    [
        "Name",
        "NAME",
        "naMe",
        "Arguments",
        "URI",
        "ur\u0131",
        "ur\u0130",
        "_Meta",
        "TaskId",
        "reque\u017ftState",
        "ta\u017f\u212a",
    ],
)
@pytest.mark.parametrize("method", ["tools/call", "resources/read", "tools/list"])
def test_m_04_what_a_reader_that_ignores_case_would_read_as_another_call_is_none(method: str, member: str) -> None:
    """Go's and .NET's readers take the later of `name` and `Name`; others know a dotless i, a long s or the sign for Kelvin."""
    params = {
        "name": "get_weather",
        "uri": "file:///a",
        "arguments": {"Name": "x", "name": "y"},
        "_meta": {"Name": "x"},
    }
    assert operation_of(request(method, **params)).method == method
    assert operation_of(request(method, **params, nаme=1, names=1, n=1)).method == method
    with pytest.raises(NoOperation, match="ignores case"):
        operation_of(request(method, **params, **{member: "delete_all"}))


def test_m_04_nor_is_what_such_a_reader_would_complete_or_follow_something_else_by() -> None:
    prompt = {"type": "ref/prompt", "name": "greet", "title": "Greet"}
    assert operation_of(request("completion/complete", ref=prompt)).name == "greet"
    listening = {"toolsListChanged": True, "vendor": {}}
    assert operation_of(request("subscriptions/listen", notifications=listening)) == Operation("subscriptions/listen")
    for member in ("Type", "URI", "Name"):
        with pytest.raises(NoOperation, match="ignores case"):
            operation_of(request("completion/complete", ref={**prompt, member: "ref/resource"}))
    for member in ("ResourceSubscriptions", "taskids"):
        with pytest.raises(NoOperation, match="ignores case"):
            operation_of(request("subscriptions/listen", notifications={**listening, member: ["file:///a"]}))
