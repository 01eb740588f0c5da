"""`argument_schema`: arguments are what the tool's inputSchema asks for, or the call is not made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from counterseal.hooks import Deny, Offered, Pass
from counterseal.hooks.builtin.argument_schema import ArgumentSchema
from counterseal.hooks.testing import offered as offer
from counterseal.hooks.testing import view
from tests.contracts.hook import HookContract

CITY = b'{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'
UNKNOWN = Deny("no list has shown this tool yet, so its arguments cannot be checked: send `tools/list` first")


class TestContract(HookContract):
    use = "argument_schema"

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"unknown": "refuse"}

    @pytest.fixture
    def offered(self) -> Offered:
        return offer(schemas={("weather", "x"): CITY})


def gate(schemas: dict[tuple[str, str], bytes], **settings: str) -> ArgumentSchema:
    return ArgumentSchema(**settings, offered=offer(schemas=schemas))


async def test_arguments_that_fit_pass_and_others_are_told_where_they_do_not() -> None:
    checks = gate({("weather", "get_forecast"): CITY})
    assert await checks.check(view(arguments={"city": "Oslo"})) == Pass()
    denied = await checks.check(view(arguments={"city": {"canary": 1}}))
    assert denied == Deny("the arguments are not what the tool's inputSchema asks for: /city breaks the rule `type`")
    assert await checks.check(view(arguments=None)) == Deny(
        "the arguments are not what the tool's inputSchema asks for: the whole breaks the rule `required` (city)"
    )


async def test_a_tool_that_no_list_has_shown_is_refused_unless_that_is_allowed() -> None:
    assert await gate({}).check(view()) == UNKNOWN
    assert await gate({}, unknown="refuse").check(view()) == UNKNOWN
    assert await gate({}, unknown="allow").check(view()) == Pass()


async def test_a_schema_is_that_of_the_server_and_the_tool() -> None:
    checks = gate({("weather", "get_forecast"): CITY, ("notes", "get_forecast"): b"{}"})
    assert isinstance(await checks.check(view()), Deny)
    assert await checks.check(view(server="notes")) == Pass()
    assert await checks.check(view("get_alerts")) == UNKNOWN


@pytest.mark.parametrize("unknown", ["refuse", "allow"])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "it is too large"),
        (b"null", "it is no object"),
        (b'{"$ref": "http://127.0.0.1:1/x"}', "it has a reference that leads outside, and nothing is fetched"),
        (b'{"pattern": "(?=a)"}', "it has a `pattern` that cannot be matched in linear time"),
    ],
)
async def test_m_16_a_schema_that_cannot_be_checked_refuses_whatever_is_said_of_unknown_tools(
    text: bytes, says: str, unknown: str
) -> None:
    denied = await gate({("weather", "get_forecast"): text}, unknown=unknown).check(view())
    assert denied == Deny(f"the tool's inputSchema cannot be checked: {says}")


async def test_m_16_arguments_that_are_too_large_for_the_schema_are_refused() -> None:
    text = json.dumps({"additionalProperties": {"allOf": [{"minLength": 0}] * 2000}}).encode()
    checks = gate({("weather", "get_forecast"): text})
    assert await checks.check(view(arguments={"a": "x"})) == Pass()
    denied = await checks.check(view(arguments={f"a{number}": "x" for number in range(5000)}))
    assert denied == Deny("the arguments are too large to be held against the tool's inputSchema")


@pytest.mark.parametrize("method", ["tools/list", "prompts/get", "resources/read", "completion/complete"])
async def test_other_methods_pass(method: str) -> None:
    assert await gate({}).check(view(method=method)) == Pass()


async def test_a_list_that_shows_another_schema_is_heeded_at_once() -> None:
    schemas = {("weather", "get_forecast"): CITY}
    checks = gate(schemas)
    assert isinstance(await checks.check(view()), Deny)
    schemas["weather", "get_forecast"] = b'{"type": "object"}'
    assert await checks.check(view()) == Pass()
    schemas["weather", "get_forecast"] = CITY
    assert isinstance(await checks.check(view()), Deny)
    del schemas["weather", "get_forecast"]
    assert await checks.check(view()) == UNKNOWN


async def test_a_schema_is_compiled_once() -> None:
    checks = gate({("weather", "get_forecast"): CITY})
    await checks.check(view())
    compiled = checks._compiled["weather", "get_forecast"]
    await checks.check(view())
    assert checks._compiled["weather", "get_forecast"] is compiled


async def test_m_16_what_is_kept_compiled_has_a_ceiling() -> None:
    heavy = json.dumps({"allOf": [{"pattern": f"^[a-z]{{1,{200 + number}}}$"} for number in range(30)]}).encode()
    schemas = {("weather", f"tool_{number}"): heavy + b" " * number for number in range(100)}
    checks = gate(schemas)
    for _, tool in schemas:
        await checks.check(view(tool))
    assert 0 < len(checks._compiled) < 60
    assert await checks.check(view("tool_0", {"a": 1})) == Pass()


def test_what_is_said_of_unknown_tools_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="`unknown` must be refuse or allow"):
        gate({}, unknown="maybe")
