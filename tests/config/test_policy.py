"""Rules of the policy, and those that could not mean what they say."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.core.policy import CALLER_FIELDS
from tests.config.writing import at, load, refused


def rule(**selection: Any) -> list[Any]:
    return [{"permit": {}}, {"deny": selection}]


@pytest.mark.parametrize("field", sorted(CALLER_FIELDS))
def test_a_rule_may_ask_about_every_field_of_a_caller_with_one_text_or_several(field: str) -> None:
    value = "token" if field == "kind" else "x*"
    for given in (value, [value], [value, "*"]):
        configuration = load(policy=rule(callers={field: given}))
        callers = configuration.policy[1].selection.callers
        assert callers is not None
        assert callers[field] == (tuple(given) if isinstance(given, list) else (given,))


@pytest.mark.parametrize(
    ("selection", "steps", "says"),
    [
        ({"callers": {"teem": "x"}}, ("callers", "teem"), "did you mean `team`?"),
        ({"callers": {}}, ("callers",), "leave the key out for everybody"),
        *(({key: None}, (key,), "leave the key out") for key in ("callers", "servers", "tools", "methods")),
        ({"callers": {"team": []}}, ("callers", "team"), "empty list"),
        ({"callers": {"team": 5}}, ("callers", "team"), "a text or a list of texts"),
        ({"callers": {"team": ["a", 5]}}, ("callers", "team", 1), "must be a text"),
        ({"callers": {"team": ""}}, ("callers", "team"), "empty text"),
        ({"callers": {"kind": "apikey"}}, ("callers", "kind"), "api_key, token, anonymous"),
        ({"servers": []}, ("servers",), "empty list"),
        ({"servers": "weather"}, ("servers",), "must be a list"),
        ({"servers": ["wether"]}, ("servers", 0), "did you mean `weather`?"),
        ({"servers": ["weather", "crm"]}, ("servers", 1), "is not the name of a server; there is weather"),
        ({"tools": []}, ("tools",), "empty list"),
        ({"tools": [""]}, ("tools", 0), "empty text"),
        ({"methods": ["tool/call"]}, ("methods", 0), "did you mean `tools/call`?"),
        ({"methods": ["tools/Call"]}, ("methods", 0), "is not a method of MCP"),
        ({"unless": "true"}, ("unless",), "conditions are not built yet"),
        ({"when": "true"}, ("when",), "conditions are not built yet"),
    ],
)
def test_a_rule_that_could_not_mean_what_it_says_is_refused(selection: Any, steps: Any, says: str) -> None:
    servers = {"weather": {"url": "http://w"}}
    written, problem = refused(servers=servers, policy=rule(**selection))
    # An unknown field is told at the field, everything else at its value.
    steps = ("policy", 1, "deny", *steps)
    place = f"{written.keys[steps][0]}:{written.keys[steps][1]}: " if "teem" in steps else at(written, *steps)
    assert problem.startswith(f"{place}policy[1].deny.{steps[3]}")
    assert says in problem


def test_a_rule_of_names_that_exist_is_accepted() -> None:
    load(
        servers={"weather": {"url": "http://w"}},
        policy=rule(
            callers={"team": "x", "kind": ["api_*", "token"]},
            servers=["weather", "crm_*", "*"],
            tools=["get_*", "*"],
            methods=["tools/call", "tasks/*"],
        ),
    )


@pytest.mark.parametrize("both", [{}, {"permit": {}, "deny": {}}, {"permit": None}, {"permit": None, "deny": None}])
def test_a_rule_permits_or_denies(both: Any) -> None:
    written, problem = refused(policy=[{"deny": {}}, both])
    line, column = written.values[("policy", 1)]
    assert problem.startswith(f"{line}:{column}: policy[1]: must have exactly one of `permit` and `deny`")
    load(policy=[{"deny": {}}, {"permit": {}}])
