"""Answers that do not end a call: a server that asks for more, and tasks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from counterseal.core.call import Call, Era
from counterseal.wire.answer import Answer, NotAnAnswer
from tests.servers.permits import call, everything

EXTENSION = "io.modelcontextprotocol/tasks"
ASKS = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}


class Sealing:
    """What a caller gets, so that it can be seen."""

    def state(self, state: str | None) -> str:
        return f"sealed({state})"

    def task(self, identity: str) -> str:
        return f"sealed({identity})"


def asked(able: Any = None, method: str = "tools/call", **changes: Any) -> Call:
    params = {"tools/call": {"name": "t"}, "prompts/get": {"name": "p"}, "resources/read": {"uri": "u"}}.get(method, {})
    meta = {"io.modelcontextprotocol/clientCapabilities": {} if able is None else able}
    if method.startswith("tasks/"):
        params = {"taskId": "t-1"}
    return call(method, {**params, "_meta": meta}, **changes)


def told(of: Call, **result: Any) -> dict[str, Any]:
    return passed(of, json.dumps({"jsonrpc": "2.0", "id": "ours", "result": result}))["result"]


def passed(of: Call, text: str) -> Any:
    answer = Answer(of, "ours", lambda use, name: everything(None, "", use, name), Sealing())  # type: ignore[arg-type]
    return json.loads(answer.message(text.encode()))


def refuses(of: Call, **result: Any) -> str:
    with pytest.raises(NotAnAnswer) as refused:
        told(of, **result)
    return str(refused.value)


def request(method: str, **params: Any) -> dict[str, Any]:
    return {"one": {"method": method, "params": params}}


# ---- a server that asks for more --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["tools/call", "prompts/get", "resources/read"])
@pytest.mark.parametrize("state", ["theirs", None])
def test_the_state_that_a_caller_gets_is_sealed(method: str, state: str | None) -> None:
    requests = request("roots/list")
    given = {} if state is None else {"requestState": state}
    result = told(asked({"roots": {}}, method), resultType="input_required", inputRequests=requests, **given)
    assert result == {"resultType": "input_required", "inputRequests": requests, "requestState": f"sealed({state})"}


@pytest.mark.parametrize(("method", "capability"), ASKS.items())
def test_what_the_caller_did_not_declare_is_not_asked_of_him(method: str, capability: str) -> None:
    for able in ({}, {"other": {}}, {capability: None}, {capability: True}):
        refuses(asked(able), resultType="input_required", inputRequests=request(method))
    assert told(asked({capability: {}}), resultType="input_required", inputRequests=request(method))


@pytest.mark.parametrize(
    ("able", "mode", "may"),
    [
        ({}, "form", True),
        ({}, "url", False),
        ({}, None, True),
        ({"form": {}}, "form", True),
        ({"form": {}}, "url", False),
        ({"url": {}}, "url", True),
        ({"url": {}}, "form", False),
        ({"url": {}}, None, False),
        ({"form": {}, "url": {}}, "url", True),
        ({"form": {}, "url": {}}, "other", False),
    ],
)
def test_a_way_of_asking_is_declared_too(able: Any, mode: str | None, may: bool) -> None:
    requests = request("elicitation/create", **({} if mode is None else {"mode": mode}))
    if may:
        assert told(asked({"elicitation": able}), resultType="input_required", inputRequests=requests)
    else:
        refuses(asked({"elicitation": able}), resultType="input_required", inputRequests=requests)


@pytest.mark.parametrize(
    "requests",
    [
        request("tools/call"),
        request("sampling/other"),
        {"one": {}},
        {"one": {"method": 1}},
        {"one": 1},
        [],
        {"good": {"method": "roots/list"}, "one": {"method": "sampling/createMessage"}},
    ],
)
def test_what_nobody_can_declare_is_asked_of_nobody(requests: Any) -> None:
    refuses(asked({"roots": {}}), resultType="input_required", inputRequests=requests)


def test_a_kind_that_is_spelled_with_escapes_is_found_all_the_same() -> None:
    asks = '"inputRequests":{"a":{"method":"roots/list"}}'
    for text in ("input\\u005frequired", "\\u0069nput_required"):
        with pytest.raises(NotAnAnswer):
            passed(asked(), f'{{"jsonrpc":"2.0","id":"ours","result":{{"resultType":"{text}",{asks}}}}}')


def test_a_result_that_only_speaks_of_it_is_passed_on_as_it_is() -> None:
    text = (
        '{"jsonrpc":"2.0","id":1,"result":{ "content" : [{"type":"text","text":"input_required \\u00e9 \\"task\\""}] }}'
    )
    answer = Answer(asked(), 1, lambda *_: True, Sealing())
    assert answer.message(text.encode()) == text.encode()


def test_an_old_revision_has_none_of_this() -> None:
    of = call(era=Era.LEGACY)
    assert told(of, resultType="input_required", requestState="theirs")["requestState"] == "theirs"


# ---- tasks ------------------------------------------------------------------------------------------------------------


FOLLOWS = {"extensions": {EXTENSION: {}}}


def test_a_task_that_the_caller_follows_gets_an_id_of_his_own() -> None:
    result = told(asked(FOLLOWS), resultType="task", taskId="t-1", status="working")
    assert result == {"resultType": "task", "taskId": "sealed(t-1)", "status": "working"}


@pytest.mark.parametrize("able", [{}, {"extensions": {}}, {"extensions": {EXTENSION: 1}}, {"extensions": {"x/y": {}}}])
def test_a_task_that_nobody_follows_is_no_answer(able: Any) -> None:
    assert "did not declare" in refuses(asked(able), resultType="task", taskId="t-1")


@pytest.mark.parametrize("method", ["prompts/get", "resources/read"])
def test_only_a_tool_makes_a_task(method: str) -> None:
    refuses(asked(FOLLOWS, method), resultType="task", taskId="t-1")


TASKS = {"t-1": "mine"}


def test_what_is_told_of_a_task_has_the_callers_id() -> None:
    of = asked(FOLLOWS, "tasks/get", tasks=TASKS)
    inner = {"content": [{"type": "text", "text": "t-1"}]}
    result = told(of, resultType="complete", taskId="t-1", status="completed", result=inner)
    assert result == {"resultType": "complete", "taskId": "mine", "status": "completed", "result": inner}
    assert told(asked(FOLLOWS, "tasks/cancel", tasks=TASKS), resultType="complete") == {"resultType": "complete"}


def test_what_is_told_of_another_task_is_no_answer() -> None:
    refuses(asked(FOLLOWS, "tasks/get", tasks=TASKS), resultType="complete", taskId="t-2", status="working")


def test_a_task_asks_for_nothing_that_was_not_declared() -> None:
    requests = request("roots/list")
    of = asked(FOLLOWS, "tasks/get", tasks=TASKS)
    refuses(of, resultType="complete", taskId="t-1", status="input_required", inputRequests=requests)
    of = asked({**FOLLOWS, "roots": {}}, "tasks/get", tasks=TASKS)
    assert told(of, resultType="complete", taskId="t-1", inputRequests=requests)["inputRequests"] == requests


def note(of: Call, method: str, **params: Any) -> Any:
    return passed(of, json.dumps({"jsonrpc": "2.0", "method": method, "params": params}))["params"]


def test_a_notification_of_a_task_has_the_callers_id() -> None:
    of = asked(FOLLOWS, "subscriptions/listen", tasks=TASKS)
    assert note(of, "notifications/tasks", taskId="t-1", status="working") == {"taskId": "mine", "status": "working"}
    known = note(of, "notifications/subscriptions/acknowledged", notifications={"taskIds": ["t-1"], "x": 1})
    assert known == {"notifications": {"taskIds": ["mine"], "x": 1}}
    plain = {"notifications": {"toolsListChanged": True}}
    assert note(of, "notifications/subscriptions/acknowledged", **plain) == plain


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("notifications/tasks", {"taskId": "t-2"}),
        ("notifications/tasks", {}),
        ("notifications/tasks", {"taskId": 1}),
        ("notifications/tasks", {"taskId": "t-1", "inputRequests": {"a": {"method": "roots/list"}}}),
        ("notifications/subscriptions/acknowledged", {"notifications": {"taskIds": ["t-2"]}}),
        ("notifications/subscriptions/acknowledged", {"notifications": {"taskIds": "t-1"}}),
    ],
)
def test_m_08_a_notification_of_a_task_that_nobody_listens_to_goes_nowhere(method: str, params: dict[str, Any]) -> None:
    with pytest.raises(NotAnAnswer):
        note(asked(FOLLOWS, "subscriptions/listen", tasks=TASKS), method, **params)
    with pytest.raises(NotAnAnswer):
        note(asked(FOLLOWS), "notifications/tasks", taskId="t-1")
