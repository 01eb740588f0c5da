"""MCP where the gateway is the server itself."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterable
from typing import Any, Final

import pytest
from mcp_types import DiscoverResult, InitializeResult, ListToolsResult
from msgspec import Raw

from counterseal.core.call import Era
from counterseal.core.limits import LIMITS, Limits
from counterseal.core.methods import LEGACY, METHODS, MODERN
from counterseal.errors import BadCall
from counterseal.wire.hosted import Hosted, Visible
from tests.servers.permits import call, rows

INFORMATION: Final = {"name": "crm", "version": "7", "title": "Customers"}
NAMES: Final = [f"tool_{number}" for number in range(10)]
ERAS: Final = [Era.MODERN, Era.LEGACY]


def hosted(names: Iterable[str] = NAMES, instructions: str = "All about customers") -> Hosted:
    tools = {name: Raw(json.dumps({"name": name, "inputSchema": {"type": "object"}}).encode()) for name in names}
    return Hosted(INFORMATION, instructions, tools)


def everything(_: str, __: Raw) -> bool:
    return True


def result(server: Hosted, visible: Visible = everything, limits: Limits = LIMITS, **changes: Any) -> dict[str, Any]:
    answered = json.loads(server.answer(call(**changes), visible, limits))
    assert answered.keys() == {"jsonrpc", "id", "result"}
    found: dict[str, Any] = answered["result"]
    return found


def refused(server: Hosted, visible: Visible = everything, **changes: Any) -> BadCall:
    with pytest.raises(BadCall) as caught:
        server.answer(call(**changes), visible, LIMITS)
    return caught.value


def test_discovery_says_what_there_is_and_no_more() -> None:
    found = result(hosted(), method="server/discover")
    assert found == {
        "supportedVersions": [MODERN],
        "capabilities": {"tools": {}},
        "instructions": "All about customers",
        "ttlMs": 300_000,
        "cacheScope": "private",
        "resultType": "complete",
        "_meta": {"io.modelcontextprotocol/serverInfo": INFORMATION},
    }
    DiscoverResult.model_validate(found)
    assert "instructions" not in result(hosted(instructions=""), method="server/discover")


@pytest.mark.parametrize("revision", LEGACY)
def test_a_handshake_says_the_same_in_the_revision_that_was_asked_for(revision: str) -> None:
    found = result(hosted(), method="initialize", era=Era.LEGACY, revision=revision)
    assert found == {
        "protocolVersion": revision,
        "capabilities": {"tools": {}},
        "instructions": "All about customers",
        "serverInfo": INFORMATION,
    }
    InitializeResult.model_validate(found)


def test_a_ping_is_answered() -> None:
    assert result(hosted(), method="ping", era=Era.LEGACY) == {}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("id", [1, "a", 0, "ü"])
def test_an_answer_has_the_id_of_its_request(era: Era, id: str | int) -> None:
    assert json.loads(hosted().answer(call("tools/list", era=era, id=id), everything, LIMITS))["id"] == id


@pytest.mark.parametrize("era", ERAS)
def test_everything_else_is_not_there_as_the_era_says_it(era: Era) -> None:
    own = {"server/discover", "initialize", "ping", "tools/list", "tools/call"}
    others = [name for name in rows(era) if name not in own and not METHODS[name].notification and "/" in name]
    others = [name for name in others if not name.startswith("io.counterseal/")]
    assert len(others) > 5
    for method in others:
        error = refused(hosted(), method=method, era=era)
        assert (error.reason.code, error.reason.rpc, error.reason.status) == (
            ("method_not_found", -32601, 404) if era is Era.MODERN else ("method_unknown", -32601, 400)
        )


# ---- lists


@pytest.mark.parametrize("era", ERAS)
def test_a_list_is_private_and_in_its_order(era: Era) -> None:
    found = result(hosted(), method="tools/list", era=era)
    assert [one["name"] for one in found["tools"]] == NAMES
    assert "nextCursor" not in found
    if era is Era.MODERN:
        assert (found["cacheScope"], found["ttlMs"]) == ("private", 300_000)
        ListToolsResult.model_validate(found)
    else:
        assert set(found) == {"tools"}


def pages(visible: Visible = everything, limits: Limits = LIMITS) -> list[list[str]]:
    found = []
    params: dict[str, Any] = {}
    while True:
        page = result(hosted(), visible, limits, method="tools/list", params=params)
        found.append([one["name"] for one in page["tools"]])
        if "nextCursor" not in page:
            return found
        params = {"cursor": page["nextCursor"]}


@pytest.mark.parametrize("count", [1, 3, 9, 10, 11])
def test_pages_together_are_the_list(count: int) -> None:
    found = pages(limits=dataclasses.replace(LIMITS, openapi_page_count=count))
    assert [name for page in found for name in page] == NAMES
    assert [len(page) for page in found[:-1]] == [count] * (len(found) - 1)
    assert 0 < len(found[-1]) <= count


def test_m_24_a_page_has_a_ceiling_in_bytes_and_never_less_than_one_tool() -> None:
    size = len(json.dumps({"name": "tool_0", "inputSchema": {"type": "object"}}))
    for limit, count in ((1, 1), (size * 3, 3), (size * 4 - 1, 3)):
        found = pages(limits=dataclasses.replace(LIMITS, openapi_page_bytes=limit))
        assert {len(page) for page in found[:-1]} == {count}
        assert [name for page in found for name in page] == NAMES


def test_m_17_a_list_shows_what_the_caller_may_use_on_every_page() -> None:
    allowed = {"tool_1", "tool_4", "tool_9"}
    found = pages(lambda name, _: name in allowed, dataclasses.replace(LIMITS, openapi_page_count=2))
    assert found == [["tool_1", "tool_4"], ["tool_9"]]


def cursor(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "!!",
        cursor("tool_99"),
        cursor("tool_3") + "=",
        cursor("tool_3")[:-1],
        "dG9vb\n",
        5,
        [],
        {},
        True,
        "\u00fc",
    ],
)
def test_a_cursor_that_nobody_gave_is_refused(value: Any) -> None:
    error = refused(hosted(), method="tools/list", params={"cursor": value})
    assert (error.reason.code, error.reason.rpc) == ("invalid_params", -32602)
    assert result(hosted(), method="tools/list", params={"cursor": cursor("tool_3")})["tools"][0]["name"] == "tool_4"


def test_m_17_a_cursor_says_nothing_of_a_tool_that_the_caller_may_not_see() -> None:
    hidden = refused(
        hosted(), lambda name, _: name != "tool_3", method="tools/list", params={"cursor": cursor("tool_3")}
    )
    unknown = refused(hosted(), method="tools/list", params={"cursor": cursor("tool_99")})
    assert (hidden.reason, hidden.message) == (unknown.reason, unknown.message)


def test_nothing_to_see_is_an_empty_list() -> None:
    assert result(hosted(), lambda *_: False, method="tools/list")["tools"] == []
