"""A server's list with the names of this address, and pages of several."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.core.call import Era
from counterseal.core.methods import METHODS
from counterseal.wire.aggregate import lists
from counterseal.wire.answer import NotAnAnswer
from tests.servers.permits import call
from tests.wire.answers import LISTS


def page(method: str, server: str = "w", **result: Any) -> lists.Page:
    told = lists.told(json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode())
    return lists.page_of(told.result, METHODS[method], server)


@pytest.mark.parametrize(("method", "member", "_use", "field"), LISTS)
def test_an_item_has_another_name_and_is_else_as_it_was(method: str, member: str, _use: str, field: str) -> None:
    item = {"title": "T", field: "file:///a", "_meta": {"x": [1, 2.50]}, "inputSchema": {"$ref": "#/a"}}
    (found,) = page(method, **{member: [item]}).items
    here = "w__file:///a" if field == "name" else "counterseal:w/file:///a"
    assert found.name == "file:///a"
    assert json.loads(found.text) == {**item, field: here}
    assert list(json.loads(found.text)) == list(item)


def test_how_long_a_page_may_be_kept_and_for_whom_is_the_servers_word() -> None:
    assert (page("tools/list", tools=[]).ttl_ms, page("tools/list", tools=[]).shared) == (0, False)
    told = page("tools/list", tools=[], ttlMs=1500, cacheScope="public", nextCursor="more")
    assert (told.ttl_ms, told.shared, told.cursor) == (1500, True, "more")
    assert page("tools/list", tools=[], ttlMs=-5, cacheScope="private").ttl_ms == 0
    assert page("tools/list", tools=[], nextCursor=None).cursor is None


def test_a_name_that_nobody_could_use_here_is_left_out() -> None:
    long = "n" * (2048 - len("w__"))
    found = page("tools/list", tools=[{"name": long}, {"name": long + "n"}])
    assert [item.name for item in found.items] == [long]


@pytest.mark.parametrize(
    "result", [{"tools": {}}, {"tools": [1]}, {"tools": [{"name": 1}]}, {"tools": [], "ttlMs": "x"}, {"tools": [{}]}]
)
def test_what_is_no_list_is_no_answer(result: Any) -> None:
    with pytest.raises(NotAnAnswer):
        page("tools/list", **result)


@given(st.text(), st.text())
def test_a_cursor_leads_back_to_where_it_was_made(server: str, name: str) -> None:
    assert lists.place_of(lists.cursor_of(server, name)) == (server, name)


@pytest.mark.parametrize("cursor", ["", "x", "=", "W10", "eyJhIjoxfQ", "WyJhIl0", lists.cursor_of("a", "b") + "="])
def test_what_no_page_has_given_is_no_cursor(cursor: str) -> None:
    assert lists.place_of(cursor) is None


@given(st.text())
def test_no_text_breaks_the_reader_of_cursors(cursor: str) -> None:
    place = lists.place_of(cursor)
    assert place is None or lists.cursor_of(*place) == cursor


def test_a_page_is_written_in_the_words_of_the_era() -> None:
    row = METHODS["tools/list"]
    items = [lists.Item("a", b'{"name":"w__a"}'), lists.Item("b", b'{"name":"w__b"}')]
    modern = json.loads(lists.write_list(call("tools/list", id="i"), row, items, {"ttlMs": 5}, {"m": 1}))
    assert modern == {
        "jsonrpc": "2.0",
        "id": "i",
        "result": {
            "tools": [{"name": "w__a"}, {"name": "w__b"}],
            "ttlMs": 5,
            "resultType": "complete",
            "_meta": {"m": 1},
        },
    }
    legacy = json.loads(lists.write_list(call("tools/list", id=2, era=Era.LEGACY), row, [], {}, {}))
    assert legacy == {"jsonrpc": "2.0", "id": 2, "result": {"tools": []}}


def test_an_error_of_a_server_is_told_by_its_code() -> None:
    assert lists.told(b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}').error == -32601
    assert lists.told(b'{"jsonrpc":"2.0","id":1,"error":{"code":"x"}}').error == 0
    with pytest.raises(NotAnAnswer):
        lists.told(b'{"result":[]}')
