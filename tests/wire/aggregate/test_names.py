"""Names among all servers: one way there, one way back, and a call in its server's own words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.config.values import _SERVER_NAME
from counterseal.core.call import Era
from counterseal.errors import BadCall
from counterseal.wire.aggregate import names
from tests.servers.permits import call

SERVERS = st.text("aZ0-_", min_size=1, max_size=8).filter(lambda name: bool(_SERVER_NAME.fullmatch(name))) | st.just(
    "a" * 63
)
"""Of few characters, so that one often begins like another."""
TEXTS = st.text(max_size=40)


@given(SERVERS, TEXTS)
def test_a_name_comes_apart_as_it_was_put_together(server: str, name: str) -> None:
    assert names.parted(names.joined(server, name)) == (server, name)
    assert names.unspelled(names.spelled(server, name)) == (server, name)


@given(SERVERS, TEXTS, SERVERS, TEXTS)
def test_two_things_never_have_one_name(server: str, name: str, other: str, its: str) -> None:
    """S-04. With servers that the configuration takes, what stands before the first `__` is the server."""
    same = (server, name) == (other, its)
    assert (names.joined(server, name) == names.joined(other, its)) == same
    assert (names.spelled(server, name) == names.spelled(other, its)) == same


@pytest.mark.parametrize("name", ["a__b__c", "a__b_", "a____b", "a-__b"])
def test_the_first_separator_is_the_one_that_counts(name: str) -> None:
    found = names.parted(name)
    assert found is not None
    assert names.joined(*found) == name
    assert "__" not in found[0]


@pytest.mark.parametrize("name", ["", "echo", "a_b", "__echo", "a:b"])
def test_what_no_server_has_is_no_name(name: str) -> None:
    assert names.parted(name) is None


@pytest.mark.parametrize("uri", ["", "file:///a", "counterseal:", "counterseal:a", "counterseal:/a", "Counterseal:a/b"])
def test_what_no_server_has_is_no_uri(uri: str) -> None:
    assert names.unspelled(uri) is None


@pytest.mark.parametrize(
    "uri", ["file:///a b", "https://h/p?q=1#f", "counterseal:other/file:///a", "", "x:y/z", "data:,a%2Fb"]
)
def test_a_uri_is_kept_as_it_is_behind_its_server(uri: str) -> None:
    here = names.spelled("weather", uri)
    assert here == f"counterseal:weather/{uri}"
    assert names.unspelled(here) == ("weather", uri)


def test_a_template_expands_to_what_its_resource_is_called() -> None:
    template = names.spelled("weather", "file:///{path}")
    assert template.replace("{path}", "a/b") == names.spelled("weather", "file:///a/b")


NAMED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("tools/call", {"name": "w__a__b", "arguments": {"n": 1}}, {"name": "a__b", "arguments": {"n": 1}}, "a__b"),
    ("prompts/get", {"name": "w__greet"}, {"name": "greet"}, "greet"),
    ("resources/read", {"uri": "counterseal:w/file:///a"}, {"uri": "file:///a"}, "file:///a"),
    (
        "completion/complete",
        {"ref": {"type": "ref/prompt", "name": "w__greet"}, "argument": {"name": "who", "value": "x"}},
        {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": "x"}},
        "greet",
    ),
    (
        "completion/complete",
        {"ref": {"type": "ref/resource", "uri": "counterseal:w/file:///{p}"}, "argument": {"name": "p", "value": "x"}},
        {"ref": {"type": "ref/resource", "uri": "file:///{p}"}, "argument": {"name": "p", "value": "x"}},
        "file:///{p}",
    ),
]


@pytest.mark.parametrize(("method", "sent", "wanted", "name"), NAMED)
def test_a_call_becomes_its_servers_call_and_nothing_else_of_it_changes(
    method: str, sent: dict[str, Any], wanted: dict[str, Any], name: str
) -> None:
    came = call(method, sent, server="", id="mine")
    target = names.for_one(came)
    assert (target.server, target.name) == ("w", name)
    assert target.message == {"jsonrpc": "2.0", "id": "mine", "method": method, "params": wanted}
    assert (target.arguments, target.id, target.era) == (came.arguments, came.id, came.era)
    assert came.message is not None
    assert came.message["params"] == sent, "the call that came was changed"


def test_following_a_resource_is_for_its_server_too() -> None:
    came = call("resources/subscribe", {"uri": "counterseal:w/file:///a"}, server="", era=Era.LEGACY)
    assert names.for_one(came).message == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "resources/subscribe",
        "params": {"uri": "file:///a"},
    }


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {"name": "echo"}),
        ("tools/call", {"name": "counterseal:w/echo"}),
        ("prompts/get", {"name": "__greet"}),
        ("resources/read", {"uri": "file:///a"}),
        ("resources/read", {"uri": "w__file:///a"}),
    ],
)
def test_a_name_without_a_server_is_refused_with_how_names_look(method: str, params: dict[str, Any]) -> None:
    with pytest.raises(BadCall) as refused:
        names.for_one(call(method, params, server=""))
    assert refused.value.reason.code == "invalid_params"
    assert "{server}" in refused.value.message


# ---- LiteLLM's spelling ----


@given(st.lists(SERVERS, min_size=1, max_size=4, unique=True), TEXTS)
def test_with_a_separator_that_names_may_hold_the_servers_say_where_it_is(servers: list[str], name: str) -> None:
    told_apart = [one for one in servers if not any(one != other and one.startswith(f"{other}-") for other in servers)]
    spelling = names.Spelling("-", tuple(told_apart))
    for server in told_apart:
        assert spelling.parted(spelling.joined(server, name)) == (server, name)


@pytest.mark.parametrize("name", ["", "get", "notes", "note-get", "Notes-get", "notes__get", "-get"])
def test_in_litellms_spelling_only_what_a_server_begins_is_a_name(name: str) -> None:
    assert names.Spelling("-", ("notes",)).parted(name) is None
    assert names.Spelling("-", ("notes",)).parted("notes-get") == ("notes", "get")


def test_at_the_address_of_one_server_its_own_names_are_taken_and_nowhere_else() -> None:
    spelling = names.Spelling("-", ("notes", "mail"))
    named = call("tools/call", {"name": "get", "arguments": {}}, server="")
    assert names.for_one(named, spelling, "notes").server == "notes"
    with pytest.raises(BadCall):
        names.for_one(named, spelling)
