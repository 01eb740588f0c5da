"""Which calls a hook is for."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from counterseal.core.methods import METHODS
from counterseal.core.patterns import Patterns
from counterseal.core.permit import Denial
from counterseal.core.policy import Policy, Rule, denied_with
from tests.core.callers import call, key
from tests.hooks.making import scope

EMPTY: dict[str, Any] = {}


@pytest.mark.parametrize("method", METHODS)
def test_p_02_a_hook_that_names_nothing_is_for_every_call(method: str) -> None:
    for server in ("weather", "", "a b"):
        for name in (None, "x", ""):
            assert scope().covers(server, method, name)
    assert scope().covers("weather", "notifications/of-tomorrow", None)


@pytest.mark.parametrize(
    ("only", "method", "name", "also", "covered"),
    [
        ({"servers": ["w*"]}, "tools/list", None, None, True),
        ({"servers": ["notes"]}, "tools/list", None, None, False),
        ({"methods": ["tools/call"]}, "tools/call", "a", None, True),
        ({"methods": ["tools/call"]}, "prompts/get", "a", None, False),
        ({"methods": ["prompts/get"]}, "completion/complete", "a", "prompts/get", True),
        ({"methods": ["completion/complete"]}, "completion/complete", "a", "prompts/get", True),
        ({"methods": ["prompts/get"]}, "completion/complete", "a", "resources/read", False),
        ({"methods": ["resources/read"]}, "subscriptions/listen", None, "resources/read", True),
        ({"methods": ["resources/read"]}, "resources/subscribe", "file:///a", "resources/read", True),
        ({"tools": ["get_*"]}, "tools/call", "get_a", None, True),
        ({"tools": ["get_*"]}, "tools/call", "delete_a", None, False),
        ({"tools": ["get_*"]}, "tools/list", None, None, False),
        ({"tools": ["*"]}, "prompts/get", "get_a", None, False),
        ({"tools": ["get_*"], "methods": ["prompts/get"]}, "prompts/get", "x", None, True),
        ({"tools": ["get_*"], "methods": ["prompts/get"]}, "tools/call", "get_a", None, False),
        ({"tools": ["get_*"], "methods": ["tools/call", "prompts/get"]}, "tools/call", "get_a", None, True),
    ],
)
def test_a_scope_is_read_as_a_rule_of_the_policy_is(
    only: dict[str, list[str]], method: str, name: str | None, also: str | None, covered: bool
) -> None:
    assert scope(**only).covers("weather", method, name, also) is covered


@pytest.mark.parametrize("method", METHODS)
def test_m_23_a_gate_covers_what_a_denial_of_the_same_words_would_deny(method: str) -> None:
    """The table of methods, against the policy itself."""
    everything = Rule("policy[1]", permits=True)
    lists: Any = (None, ["get_*"], ["delete_*"])
    for tools, methods in product(lists, (None, ["tools/*"], ["prompts/get", "resources/read"], [method])):
        patterns = {"tools": tools, "methods": methods}
        words = {name: Patterns.of(texts) for name, texts in patterns.items() if texts is not None}
        policy = Policy((Rule("policy[0]", permits=False, **words), everything), {})  # type: ignore[arg-type]
        asked = call(method, "get_a" if METHODS[method].name_field else None)
        denied = isinstance(policy.decide(key(), asked), Denial)
        only = {name: texts for name, texts in patterns.items() if texts is not None}
        covered = scope(**only).covers("weather", method, asked.name, *denied_with(asked))
        assert covered is denied or method == "completion/complete"
