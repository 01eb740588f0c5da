"""What a server gives a caller to come back with is of use to that caller alone, for that call alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from counterseal.core.call import Call, Era
from counterseal.core.limits import LIMITS
from counterseal.core.permit import Permit
from counterseal.errors import BadCall, ServerError
from counterseal.servers.handles import Handles
from tests.contracts.server import caller
from tests.servers.permits import ALICE, call, permit
from tests.support.tokens import FixedClock

EXTENSION = "io.modelcontextprotocol/tasks"
META = {"io.modelcontextprotocol/clientCapabilities": {"extensions": {EXTENSION: {}}}}


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def handles(clock: FixedClock) -> Handles:
    return Handles(bytes(32), clock, LIMITS)


def first(asked: Call | None = None) -> Permit:
    """The permit of the first round."""
    made = permit(asked or call())
    return replace(made, claims={**made.claims, "txn": "transaction-1"})


def going_on(state: Any, asked: Call | None = None, **changes: Any) -> Call:
    """The same call once more, with a state."""
    before = asked or call()
    params = {**(before.message or {})["params"], "requestState": state, "inputResponses": {"a": {}}}
    return replace(before, message={**(before.message or {}), "params": params}, **changes)


def refused(handles: Handles, asked: Call, who: Any = ALICE) -> BadCall:
    with pytest.raises(BadCall) as found:
        handles.resume(who, asked)
    return found.value


# ---- the state of a call ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["theirs", "", "a.b", "ü\n\u2028", ".", "x" * 100_000, None])
def test_the_server_gets_its_own_state_to_the_byte_and_the_transaction_stays(
    handles: Handles, state: str | None
) -> None:
    sealed = handles.seal_state(first(), state)
    resumed = handles.resume(ALICE, going_on(sealed))
    assert resumed.txn == "transaction-1"
    params = (resumed.message or {})["params"]
    assert params.get("requestState") == state
    assert ("requestState" in params) is (state is not None)
    assert params["inputResponses"] == {"a": {}}
    assert handles.of(first()).state(state) != sealed  # and says nothing of itself


def test_a_state_is_one_of_its_call_alone(handles: Handles) -> None:
    """M-22."""
    sealed = handles.seal_state(first(), "theirs")
    other_arguments = call(params={"name": "get_weather", "arguments": {"city": "Rome"}})
    other_tool = call(params={"name": "delete_all", "arguments": {"city": "Oslo"}})
    other_method = call("prompts/get", {"name": "get_weather", "arguments": {"city": "Oslo"}})
    assert handles.resume(ALICE, going_on(sealed)).txn == "transaction-1"
    for other in (other_arguments, other_tool, other_method, call(server="notes")):
        error = refused(handles, going_on(sealed, other))
        assert error.reason.code == "invalid_params"
    assert refused(handles, going_on(sealed), caller("bob")).message == error.message


def test_i_09_another_caller_is_told_the_same_as_one_who_made_it_up(handles: Handles) -> None:
    sealed = handles.seal_state(first(), "theirs")
    assert refused(handles, going_on(sealed), caller("bob")).message == refused(handles, going_on("made up")).message


@pytest.mark.parametrize("state", [None, 1, [], {}, "", "theirs", ".theirs", "A", "====", "ü.theirs", "A" * 5000])
def test_what_no_gateway_has_made_is_no_state(handles: Handles, state: Any) -> None:
    assert refused(handles, going_on(state)).reason.code == "invalid_params"


@given(st.data())
def test_a_state_that_was_changed_anywhere_is_none(data: st.DataObject) -> None:
    handles = Handles(bytes(32), FixedClock(), LIMITS)
    sealed = handles.seal_state(first(), "theirs")
    at = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.characters(max_codepoint=0x7E, min_codepoint=0x21).filter(lambda one: one != sealed[at]))
    assert refused(handles, going_on(sealed[:at] + other + sealed[at + 1 :])).reason.code == "invalid_params"
    assert refused(handles, going_on(sealed[:at])).reason.code == "invalid_params"


def test_a_state_ends(handles: Handles, clock: FixedClock) -> None:
    sealed = handles.seal_state(first(), "theirs")
    clock.advance(LIMITS.request_state_seconds - 1)
    handles.resume(ALICE, going_on(sealed))
    clock.advance(1)
    assert refused(handles, going_on(sealed)).reason.code == "invalid_params"


def test_a_state_is_good_for_whoever_has_the_key_and_nobody_else(clock: FixedClock) -> None:
    """Another worker, or the same gateway after it was started again."""
    sealed = Handles(bytes(32), clock, LIMITS).seal_state(first(), "theirs")
    assert Handles(bytes(32), clock, LIMITS).resume(ALICE, going_on(sealed)).txn == "transaction-1"
    refused(Handles(bytes([1] * 32), clock, LIMITS), going_on(sealed))


def test_p_03_a_state_is_bound_to_what_the_caller_asked_and_not_to_what_a_hook_made_of_it(handles: Handles) -> None:
    asked = call()
    hooked = replace(asked, arguments={"city": "Bergen"}, asked=asked.arguments)
    assert handles.resume(ALICE, going_on(handles.seal_state(first(hooked), "theirs"))).txn == "transaction-1"


def test_a_call_that_brings_nothing_along_is_as_it_was(handles: Handles) -> None:
    for asked in (
        call(),
        call("tools/list"),
        call("subscriptions/listen", {"notifications": {"toolsListChanged": True}}),
    ):
        assert handles.resume(ALICE, asked) is asked
    old = going_on("theirs", call(era=Era.LEGACY))
    assert handles.resume(ALICE, old) is old


# ---- tasks ------------------------------------------------------------------------------------------------------------


def about(method: str, text: Any, meta: dict[str, Any] | None = None) -> Call:
    return call(method, {"taskId": text, "_meta": META if meta is None else meta})


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
@pytest.mark.parametrize("identity", ["t-1", "ü", "a__b", "x" * 1000])
def test_a_task_is_known_to_the_server_by_its_own_id_and_decided_as_its_tool(
    handles: Handles, method: str, identity: str
) -> None:
    text = handles.seal_task(ALICE, call(), identity)
    assert text.startswith("weather__")
    assert text.isascii()
    resumed = handles.resume(ALICE, about(method, text))
    assert (resumed.name, resumed.tools, resumed.tasks) == (identity, ("get_weather",), {identity: text})
    assert (resumed.message or {})["params"]["taskId"] == identity
    assert handles.resume(ALICE, about(method, text.removeprefix("weather__"))) == resumed


def test_m_23_a_task_is_its_callers_alone(handles: Handles) -> None:
    text = handles.seal_task(ALICE, call(), "t-1")
    assert handles.resume(ALICE, about("tasks/get", text)).name == "t-1"
    made_up = refused(handles, about("tasks/get", "t-1"))
    other = refused(handles, about("tasks/get", text), caller("bob"))
    elsewhere = refused(handles, replace(about("tasks/get", text), server="notes"))
    through = refused(handles, about("tasks/get", text), dataclasses.replace(ALICE, headers={"email": "a@b"}))
    assert {one.message for one in (made_up, other, elsewhere, through)} == {"there is no such task for this caller"}
    assert made_up.reason.code == "invalid_params"


@pytest.mark.parametrize("text", [None, 1, [], "", "weather__", "notes__AAAA", "A" * 3000])
def test_what_no_gateway_has_made_is_no_task(handles: Handles, text: Any) -> None:
    asked = replace(about("tasks/get", "x"), message={"params": {"taskId": text, "_meta": META}})
    assert refused(handles, asked).reason.code == "invalid_params"


def test_a_state_is_no_task_and_a_task_no_state(handles: Handles) -> None:
    assert refused(handles, about("tasks/get", handles.seal_state(first(), None))).reason.code == "invalid_params"
    task = handles.seal_task(ALICE, call(), "t-1").removeprefix("weather__")
    assert refused(handles, going_on(task)).reason.code == "invalid_params"


@pytest.mark.parametrize("able", [{}, {"extensions": {}}, {"extensions": {EXTENSION: None}}, {"extensions": []}, []])
def test_who_did_not_declare_that_he_follows_tasks_asks_for_none(handles: Handles, able: Any) -> None:
    text = handles.seal_task(ALICE, call(), "t-1")
    meta = {"io.modelcontextprotocol/clientCapabilities": able}
    error = refused(handles, about("tasks/get", text, meta))
    assert error.reason.code == "capability_missing"
    assert error.data == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
    assert handles.resume(ALICE, about("tasks/get", text)).name == "t-1"


@pytest.mark.parametrize("identity", ["", "x" * 2000])
def test_a_task_without_an_id_that_can_be_carried_is_none(handles: Handles, identity: str) -> None:
    with pytest.raises(ServerError) as failed:
        handles.seal_task(ALICE, call(), identity)
    assert failed.value.reason.code == "server_answer_invalid"


def listening(texts: Any, meta: dict[str, Any] | None = None) -> Call:
    wanted = {"toolsListChanged": True, "taskIds": texts}
    return call("subscriptions/listen", {"notifications": wanted, "_meta": META if meta is None else meta})


def test_who_listens_to_tasks_listens_to_his_own(handles: Handles) -> None:
    one = handles.seal_task(ALICE, call(), "t-1")
    two = handles.seal_task(ALICE, call(params={"name": "slow"}), "t-2")
    resumed = handles.resume(ALICE, listening([one, two]))
    assert (resumed.message or {})["params"]["notifications"] == {"toolsListChanged": True, "taskIds": ["t-1", "t-2"]}
    assert (set(resumed.tools), resumed.tasks) == ({"get_weather", "slow"}, {"t-1": one, "t-2": two})
    bobs = handles.seal_task(caller("bob"), call(), "t-3")
    assert refused(handles, listening([one, bobs])).message == "there is no such task for this caller"
    assert refused(handles, listening("t-1")).reason.code == "invalid_params"
    assert refused(handles, listening([one], {})).reason.code == "capability_missing"
