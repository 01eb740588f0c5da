"""What of a server's lists a caller gets to see, and what they teach about headers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from tests.wire.answers import LISTS, SENT, answer, legacy, only, refuses, result, stream, text

# ---- lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "member", "use", "field"), LISTS)
def test_a_list_shows_what_may_be_used_and_no_more(method: str, member: str, use: str, field: str) -> None:
    """S-08, M-17: asked item by item, by the method that uses it."""
    asked: list[tuple[str, str, Any]] = []

    def visible(method: str, name: str, item: Raw) -> bool:
        asked.append((method, name, json.loads(bytes(item))))
        return name in ("b", "d")

    items = [{field: name, "description": name * 2} for name in "abcd"]
    passed = json.loads(answer(method, visible=visible).message(result({member: items, "nextCursor": "n", "ttlMs": 5})))
    assert passed["result"] == {member: [items[1], items[3]], "nextCursor": "n", "ttlMs": 5}
    assert asked == [(use, item[field], item) for item in items]


@pytest.mark.parametrize(("method", "member", "use", "field"), LISTS)
def test_m_18_a_filtered_list_is_private(method: str, member: str, use: str, field: str) -> None:
    """M-18: a cache between us and the caller must not show it to the next one."""
    for scope in ("public", "private", None, 5):
        passed = json.loads(answer(method).message(result({member: [], "cacheScope": scope})))
        assert passed["result"]["cacheScope"] == "private"
    assert "cacheScope" not in json.loads(legacy(method).message(result({member: []}, 7)))["result"]


def test_the_values_of_a_list_stay_as_they_came() -> None:
    """M-27: schemas must not lose a digit or a member."""
    schema = b'{ "type":"object","x":1.10,"big":12345678901234567890123,"\\u00e9":"\\/" ,"enum":[1e2] }'
    tool = b'{"name":"a","inputSchema":%s,"_meta":{"k":  1}}' % schema
    message = b'{"jsonrpc":"2.0","id":"%s","result":{"tools":[%s],"_meta":{"big": 1e400}}}' % (SENT.encode(), tool)
    passed = answer("tools/list").message(message)
    assert passed == b'{"jsonrpc":"2.0","id":7,"result":{"tools":[%s],"_meta":{"big": 1e400}}}' % tool


@pytest.mark.parametrize(("method", "member", "use", "field"), LISTS)
@pytest.mark.parametrize("name", [None, 5, ["a"], {"a": 1}, True])
def test_an_item_without_a_name_is_left_out(method: str, member: str, use: str, field: str, name: Any) -> None:
    """M-17: nothing that was not decided about is shown."""
    items = [{field: name}, {"other": "a"}, {}, {field: "a"}]
    passed = json.loads(answer(method).message(result({member: items})))
    assert passed["result"][member] == [{field: "a"}]


@pytest.mark.parametrize("value", [None, 5, "a", {}, {"a": {"name": "a"}}, ["a"], [None], [["a"]]])
def test_a_list_that_is_none_is_refused(value: Any) -> None:
    """M-17: what cannot be filtered is not shown."""
    refuses(answer("tools/list"), result({"tools": value}))


def test_a_name_that_is_spelled_twice_is_decided_about_as_it_is_shown() -> None:
    """M-17, M-04."""
    twice = b'{"tools":[{"name":"hidden","n\\u0061me":"shown"},{"name":"shown","name":"hidden"}]}'
    message = b'{"jsonrpc":"2.0","id":"%s","result":%s}' % (SENT.encode(), twice)
    passed = answer("tools/list", visible=only("shown")).message(message)
    assert b"hidden" not in passed
    assert json.loads(passed)["result"]["tools"] == [{"name": "shown"}]


def test_a_list_that_is_sent_twice_is_shown_as_it_was_filtered() -> None:
    message = (
        b'{"jsonrpc":"2.0","id":"%s","result":{"tools":[{"name":"hidden"}],"t\\u006fols":[{"name":"a"}]}}'
        % SENT.encode()
    )
    passed = answer("tools/list", visible=only("a")).message(message)
    assert passed == b'{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"a"}]}}'


@pytest.mark.parametrize(("method", "member", "use", "field"), LISTS)
def test_a_name_that_could_not_be_called_is_not_shown(method: str, member: str, use: str, field: str) -> None:
    """S-08: a call of a tool or prompt whose name is not in NFC is refused; addresses are compared as they are."""
    items = [{field: "caf\u00e9"}, {field: "cafe\u0301"}]
    passed = json.loads(answer(method).message(result({member: items})))
    assert passed["result"][member] == (items[:1] if field == "name" else items)


def test_a_list_that_fails_is_an_error_like_any_other() -> None:
    reader = answer("tools/list")
    reader.message(text(id=SENT, error={"code": 1, "message": "tools"}))
    assert reader.is_error


# ---- what tools mirror into headers -----------------------------------------------------------------------------------


def tool(name: str, header: Any, kind: str = "string") -> dict[str, Any]:
    return {"name": name, "inputSchema": {"properties": {"city": {"type": kind, "x-mcp-header": header}}}}


def test_a_list_teaches_what_tools_mirror() -> None:
    """M-03: only of the tools that the caller may use."""
    reader = answer("tools/list", visible=only("a", "b"))
    reader.message(result({"tools": [tool("a", "City"), {"name": "b", "inputSchema": {}}, tool("c", "City")]}))
    assert reader.learned == {"a": {("city",): "mcp-param-city"}, "b": {}}
    assert reader.left_out == {}


@pytest.mark.parametrize("header", ["", "a b", 5, None, "City\r\nX: y"])
def test_a_tool_with_an_invalid_annotation_is_left_out(header: Any) -> None:
    """M-16: a client must not offer it."""
    reader = answer("tools/list")
    good = tool("good", "City")
    passed = json.loads(reader.message(result({"tools": [tool("bad", header), good, tool("float", "City", "number")]})))
    assert passed["result"]["tools"] == [good]
    assert reader.left_out.keys() == {"bad", "float"}
    assert reader.learned.keys() == {"good"}


def test_an_annotation_is_found_however_it_is_spelled() -> None:
    """M-03: JSON may spell any letter of a member's name as an escape."""
    reader = answer("tools/list")
    escaped = result({"tools": [tool("a", "City"), tool("b", "a b")]}).replace(
        b"x-mcp-header", b"\\u0078-mcp-h\\u0065ader"
    )
    assert [item["name"] for item in json.loads(reader.message(escaped))["result"]["tools"]] == ["a"]
    assert reader.learned == {"a": {("city",): "mcp-param-city"}}


@pytest.mark.parametrize("method", ["prompts/list", "tools/call"])
def test_only_lists_of_tools_teach(method: str) -> None:
    reader = answer(method)
    reader.message(result({"prompts": [tool("a", "City")], "tools": [tool("a", "City")]}))
    assert reader.learned == {}
    assert reader.schemas == {}


def test_a_list_teaches_what_tools_take_byte_for_byte() -> None:
    """M-16, M-17: of the tools that the caller is shown, and as it is shown them."""
    reader = answer("tools/list", visible=only("a", "b", "c"))
    tools = (
        b'{"name":"a","inputSchema":{ "type":"object","x":1.10}},{"name":"b"},{"name":"hidden","inputSchema":{}},'
        b'{"name":"c","inputSchema":{"a":1},"inputSchem\\u0061":{"b":2}}'
    )
    message = b'{"jsonrpc":"2.0","id":"%s","result":{"tools":[%s]}}' % (SENT.encode(), tools)
    shown = {tool["name"]: tool.get("inputSchema") for tool in json.loads(reader.message(message))["result"]["tools"]}
    assert {name: bytes(text) for name, text in reader.schemas.items()} == {
        "a": b'{ "type":"object","x":1.10}',
        "b": b"null",
        "c": b'{"b":2}',
    }
    assert {name: json.loads(bytes(text)) for name, text in reader.schemas.items()} == shown


def test_a_tool_that_is_left_out_teaches_nothing() -> None:
    reader = answer("tools/list")
    reader.message(result({"tools": [tool("bad", "a b"), tool("good", "City")]}))
    assert reader.schemas.keys() == {"good"}


# ---- a legacy stream --------------------------------------------------------------------------------------------------


def test_a_stream_that_resumes_nothing_has_no_responses() -> None:
    """M-09."""
    for response in (result({}, 7), text(id=7, error={"code": 1, "message": ""}), text(id=None, error={})):
        refuses(stream(), response)
        stream(last_event_id="e").message(response)


def test_a_resumed_stream_keeps_the_ids_of_its_responses() -> None:
    reader = stream(last_event_id="e")
    for id in (7, "seven", 0):
        assert json.loads(reader.message(result({"content": []}, id))) == json.loads(result({"content": []}, id))
        error = text(id=id, error={"code": 1, "message": ""})
        assert json.loads(reader.message(error)) == json.loads(error)
    refuses(reader, result({}, {"a": 1}))


@pytest.mark.parametrize(("method", "member", "use", "field"), LISTS)
def test_a_resumed_list_is_filtered_by_its_shape(method: str, member: str, use: str, field: str) -> None:
    """M-17: nobody knows any more what was asked, so whatever looks like a list is one."""
    reader = stream(last_event_id="e", visible=lambda how, name, item: (how, name) == (use, "a"))
    passed = json.loads(reader.message(result({member: [{field: "a"}, {field: "b"}], "cacheScope": "public"}, 7)))
    assert passed["result"] == {member: [{field: "a"}], "cacheScope": "private"}
    refuses(reader, result({member: {"a": 1}}, 7))


def test_a_resumed_result_may_look_like_every_list_at_once() -> None:
    items = {member: [{field: "a"}, {field: "b"}] for _, member, _, field in LISTS}
    passed = json.loads(stream(last_event_id="e", visible=only("b")).message(result(items, 7)))
    assert passed["result"] == {member: [{field: "b"}] for _, member, _, field in LISTS}


def test_other_resumed_results_stay_as_they_came() -> None:
    message = b'{"jsonrpc":"2.0","id":7,"result":{"content":[{"x": 1.10}],"structuredContent":{ "tools":[1]}}}'
    assert stream(last_event_id="e").message(message) == message
