"""`litellm:`: LiteLLM's addresses, and that the names in them mean one thing each."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.config.compile import names_of, spelling_of
from counterseal.wire.aggregate.names import OURS
from tests.config.writing import Steps, at, load, refused

SERVERS = {"a": {"url": "https://a.internal/mcp"}, "b": {"url": "https://b.internal/mcp"}}


def test_they_are_there_where_the_section_is_and_nowhere_else() -> None:
    assert load(servers=SERVERS).litellm is None
    assert spelling_of(load(servers=SERVERS)) is OURS
    configuration = load(servers=SERVERS, litellm={})
    assert spelling_of(configuration).joined("a", "get") == "a-get"
    assert names_of(configuration) == {"a": ("a",), "b": ("b",)}


def test_names_and_groups_stand_for_servers() -> None:
    configuration = load(servers=SERVERS, litellm={"names": {"x": "a"}, "groups": {"g": ["b", "a"]}, "separator": "."})
    assert names_of(configuration) == {"a": ("a",), "b": ("b",), "x": ("a",), "g": ("b", "a")}
    assert spelling_of(configuration).joined("a", "get") == "a.get"


@pytest.mark.parametrize(
    ("litellm", "steps", "what"),
    [
        ({"names": {"x": "c"}}, ("names", "x"), "is not the name of a server"),
        ({"groups": {"g": ["a", "c"]}}, ("groups", "g", 1), "is not the name of a server"),
        ({"groups": {"g": []}}, ("groups", "g"), "is an empty list"),
        ({"names": {"b": "a"}}, ("names", "b"), "is the name of something else"),
        ({"names": {"x": "a"}, "groups": {"x": ["a"]}}, ("names", "x"), "is the name of something else"),
        ({"separator": ""}, ("separator",), "is no separator"),
        ({"separator": "/"}, ("separator",), "is no separator"),
    ],
)
def test_a_name_that_means_nothing_or_two_things_is_refused(litellm: Any, steps: Steps, what: str) -> None:
    if steps[0] == "names" and "groups" in litellm:
        steps = ("groups", "x")
    written, problem = refused(servers=SERVERS, litellm=litellm)
    assert problem.startswith(at(written, "litellm", *steps))
    assert what in problem


def test_servers_whose_tools_could_not_be_told_apart_are_refused() -> None:
    """S-04."""
    servers = {**SERVERS, "a-x": {"url": "https://ax.internal/mcp"}}
    load(servers=servers)
    load(servers=servers, litellm={"separator": "."})
    _, problem = refused(servers=servers, litellm={})
    assert "cannot tell tools of `a` from those of `a-x`" in problem
