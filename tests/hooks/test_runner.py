"""Gates in their order and claim sources in theirs, around one call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from counterseal.core.call import Call, Era, Inbound
from counterseal.core.caller import Caller
from counterseal.core.limits import LIMITS
from counterseal.core.methods import METHODS
from counterseal.core.permit import Denial
from counterseal.errors import BadCall, CannotTell
from counterseal.hooks import Additions, Deny, Pass, Replace
from counterseal.hooks.runner import NOTHING, Added, Hooks, Passed
from tests.hooks.making import BAD, SOON, Acts, Adds, Says, hook, hooks
from tests.servers.permits import ALICE, call, rows

INBOUND = Inbound("POST", "weather", ((b"x-tenant", b"north"), (b"authorization", b"Bearer canary")), b"", "192.0.2.7")


async def gates(asked: Hooks, one: Call | None = None, caller: Caller = ALICE) -> Passed | Denial:
    return await asked.pass_gates(caller, one or call(), INBOUND)


async def passed(asked: Hooks, one: Call | None = None) -> Passed:
    outcome = await gates(asked, one)
    assert isinstance(outcome, Passed)
    return outcome


async def added(asked: Hooks, one: Call | None = None) -> Added:
    return await asked.add(ALICE, await passed(asked, one), INBOUND)


async def failure(asked: Hooks, one: Call | None = None) -> CannotTell:
    with pytest.raises(CannotTell) as told:
        await added(asked, one)
    assert (told.value.reason.code, told.value.reason.status) == ("hook_failed", 503)
    assert told.value.message == "a hook of the gateway failed, so the call is not made"
    return told.value


# ---- gates ------------------------------------------------------------------------------------------------------------


async def test_a_call_that_every_gate_passes_is_the_same_call() -> None:
    one, two, asked = Says(), Says(), call()
    outcome = await passed(hooks(hook(one), hook(two)), asked)
    assert outcome == Passed(asked)
    assert outcome.call is asked
    assert one.seen == two.seen
    (view,) = one.seen
    assert (view.caller.subject, view.call.name, view.call.arguments) == ("alice", "get_weather", {"city": "Oslo"})


async def test_the_first_denial_ends_it_with_the_name_of_the_hook() -> None:
    one, two, three = Says(), Says(Deny("not on Sundays")), Says()
    outcome = await gates(hooks(hook(one, "one"), hook(two, "two"), hook(three, "three")))
    assert outcome == Denial("hook_denied", "not on Sundays", "hooks two")
    assert (len(one.seen), len(two.seen), len(three.seen)) == (1, 1, 0)


@pytest.mark.parametrize("act", BAD.values(), ids=BAD.keys())
async def test_p_01_a_bad_gate_refuses_the_call_and_its_good_twin_does_not(act: Callable[[Any], Any]) -> None:
    told = await failure(hooks(hook(Says()), hook(Acts(act), "bad", seconds=SOON)))
    assert told.rule == "hooks bad"
    assert told.detail
    assert "canary" not in told.detail
    assert await passed(hooks(hook(Says()), hook(Says(), "good")))


OTHERS = {what: act for what, act in BAD.items() if what != "gives what a claim source gives"}


@pytest.mark.parametrize("act", OTHERS.values(), ids=OTHERS.keys())
async def test_p_01_a_bad_claim_source_refuses_the_call(act: Callable[[Any], Any]) -> None:
    bad = Adds(None)
    bad.claims = act  # type: ignore[method-assign]
    assert (await failure(hooks(hook(bad, "bad", seconds=SOON)))).rule == "hooks bad"


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if not row.arguments])
async def test_p_03_only_methods_with_arguments_have_them_replaced(method: str) -> None:
    era = Era.MODERN if METHODS[method].modern else Era.LEGACY
    told = await failure(hooks(hook(Says(Replace({"a": 1})))), call(method, era=era))
    assert told.detail == "it replaces the arguments of a method that has none"
    assert await passed(hooks(hook(Says())), call(method, era=era))


@pytest.mark.parametrize("era", list(Era))
@pytest.mark.parametrize("method", ["tools/call", "prompts/get"])
async def test_p_03_later_gates_see_the_replaced_call_and_earlier_ones_are_not_asked_again(
    era: Era, method: str
) -> None:
    before, after = Says(), Says()
    asked = call(method, era=era)
    first = hook(Says(Replace({"city": "Bergen"})), "first")
    second = hook(Says(Replace({"city": "Bodo", "days": 3})), "second")
    outcome = await passed(hooks(hook(before), first, second, hook(after)), asked)
    assert [view.call.arguments for view in before.seen] == [asked.arguments]
    assert [view.call.arguments for view in after.seen] == [{"city": "Bodo", "days": 3}]
    assert outcome.names == ("first", "second")
    assert outcome.call.arguments == {"city": "Bodo", "days": 3}
    assert outcome.call.message is not None
    assert asked.message is not None
    assert outcome.call.message["params"] == {**asked.message["params"], "arguments": {"city": "Bodo", "days": 3}}
    assert (outcome.call.name, outcome.call.method, outcome.call.id) == (asked.name, asked.method, asked.id)
    assert asked.arguments != outcome.call.arguments, "the call itself was changed"


async def test_p_03_headers_that_mirror_arguments_are_made_of_the_new_ones() -> None:
    mirrors = {("city",): "mcp-param-city", ("when", "day"): "mcp-param-day"}
    asked = call(param_headers=(("mcp-param-city", "Oslo"), ("mcp-param-other", "Oslo")))

    async def replaced(known: bool, arguments: dict[str, Any]) -> Any:
        knows = lambda server, tool: mirrors if known and (server, tool) == ("weather", "get_weather") else None  # noqa: E731
        return (await passed(hooks(hook(Says(Replace(arguments))), mirrors=knows), asked)).call.param_headers

    assert await replaced(True, {"city": "Bodo", "when": {"day": 3}}) == (
        ("mcp-param-city", "Bodo"),
        ("mcp-param-day", "3"),
    )
    assert await replaced(True, {"city": "Bod\u00f8"}) == (("mcp-param-city", "=?base64?Qm9kw7g=?="),)
    assert await replaced(True, {}) == ()
    assert await replaced(False, {"city": "Bodo"}) == (), "a header of the old arguments would have gone out"
    assert (await passed(hooks(hook(Says())), asked)).call.param_headers == asked.param_headers


async def test_p_03_what_a_gate_replaced_with_is_not_its_own_any_more() -> None:
    arguments: dict[str, Any] = {"deep": {"list": [1]}}

    class Late(Says):
        async def check(self, view: Any) -> Any:
            arguments["deep"]["list"].append("late")
            return Pass()

    outcome = await passed(hooks(hook(Says(Replace(arguments))), hook(Late())))
    assert outcome.call.arguments == {"deep": {"list": [1]}}


@pytest.mark.parametrize(
    ("era", "method"), [(era, name) for era in Era for name in rows(era)], ids=lambda one: getattr(one, "value", one)
)
async def test_p_02_a_gate_that_names_no_calls_is_asked_about_every_one(era: Era, method: str) -> None:
    """The table of methods, not a list of this test's."""
    asked = hooks(hook(Says(Deny("no")), "all"), hook(Says(Deny("no")), "other server", servers=["notes"]))
    assert await gates(asked, call(method, era=era)) == Denial("hook_denied", "no", "hooks all")
    assert await gates(hooks(hook(Says(Deny("no")), methods=[method])), call(method, era=era))
    assert isinstance(await gates(hooks(hook(Says(Deny("no")), servers=["notes"])), call(method, era=era)), Passed)


async def test_s12_each_hook_sees_the_headers_of_its_own_list() -> None:
    one, two = Says(), Says()
    await passed(hooks(hook(one, headers=["x-tenant", "x-absent"]), hook(two)))
    assert [view.headers for view in (*one.seen, *two.seen)] == [{"x-tenant": "north"}, {}]


async def test_h_06_a_header_that_was_sent_twice_refuses_the_call_where_a_hook_would_see_it() -> None:
    inbound = Inbound("POST", "weather", ((b"x-tenant", b"a"), (b"x-tenant", b"b")), b"", "192.0.2.7")
    with pytest.raises(BadCall) as told:
        await hooks(hook(Says(), headers=["x-tenant"])).pass_gates(ALICE, call(), inbound)
    assert told.value.reason.code == "bad_header"
    assert isinstance(await hooks(hook(Says())).pass_gates(ALICE, call(), inbound), Passed)


# ---- claim sources ----------------------------------------------------------------------------------------------------


async def test_claims_of_several_sources_come_together() -> None:
    one = hook(Adds(Additions({"department": "R&D"})), "one")
    two = hook(Adds(Additions({"cost_centre": 7}, (("X-Tenant", "north"),))), "two")
    three = hook(Adds(Additions()), "three")
    outcome = await added(hooks(one, two, three))
    assert outcome == Added(
        {"department": "R&D", "cost_centre": 7},
        (("X-Tenant", "north"),),
        ("one", "two"),
        {"department": "hooks one", "cost_centre": "hooks two"},
    )


async def test_a_source_sees_the_call_as_the_gates_left_it() -> None:
    source = Adds(Additions())
    await added(hooks(hook(Says(Replace({"city": "Bodo"}))), hook(source)))
    assert [view.call.arguments for view in source.seen] == [{"city": "Bodo"}]


async def test_p_09_two_sources_that_add_one_claim_are_an_error_and_neither_wins() -> None:
    one, two = hook(Adds(Additions({"a": 1})), "one"), hook(Adds(Additions({"a": 1, "b": 2})), "two")
    told = await failure(hooks(one, two))
    assert (told.rule, told.detail) == ("hooks two", "it adds a claim that another hook has added")
    assert (await added(hooks(one))).claims == {"a": 1}


async def test_p_04_all_claims_together_have_a_ceiling() -> None:
    limits = dataclasses.replace(LIMITS, hook_claim_members=3)
    one = hook(Adds(Additions({"a": 1, "b": 2})), "one", limits=limits)
    two = hook(Adds(Additions({"c": 1})), "two", limits=limits)
    three = hook(Adds(Additions({"d": 1})), "three", limits=limits)
    assert len((await added(hooks(one, two, limits=limits))).claims) == 3
    assert (await failure(hooks(one, two, three, limits=limits))).rule == "hooks three"


async def test_a_source_outside_its_scope_is_not_asked() -> None:
    source = Adds(Additions({"a": 1}))
    outcome = await added(hooks(hook(source, tools=["delete_*"])))
    assert (outcome.claims, source.seen) == ({}, [])


# ---- headers ----------------------------------------------------------------------------------------------------------


async def test_gates_and_sources_add_headers() -> None:
    made = hooks(
        hook(Says(Pass((("X-A", "1"),)))),
        hook(Says(Replace({}, (("X-B", "2"),)))),
        hook(Adds(Additions(headers=(("X-C", "3"),)))),
    )
    assert (await added(made)).headers == (("X-A", "1"), ("X-B", "2"), ("X-C", "3"))


@pytest.mark.parametrize(
    "name", ["Authorization", "X-Call-Token", "x-call-token", "X-Tenant-Key", "x-a", "X-Mcp-Channel-Token"]
)
@pytest.mark.parametrize("kind", ["gate", "replacing gate", "source"])
async def test_p_04_no_hook_replaces_a_header_that_is_there(name: str, kind: str) -> None:
    """The token's own header, a server's own credential, and what another hook added."""
    headers = ((name, "evil"),)
    said = {"gate": Pass(headers), "replacing gate": Replace({}, headers)}
    bad = Adds(Additions(headers=headers)) if kind == "source" else Says(said[kind])
    taken = {"weather": frozenset({"x-call-token", "x-tenant-key"})}
    told = await failure(hooks(hook(Says(Pass((("X-A", "1"),)))), hook(bad, "bad"), taken=taken))
    assert told.rule == "hooks bad"
    assert "evil" not in str(told.detail)
    fine = Adds(Additions(headers=(("X-Fine", "1"),)))
    assert len((await added(hooks(hook(Says(Pass((("X-A", "1"),)))), hook(fine), taken=taken))).headers) == 2


async def test_p_04_all_headers_together_have_a_ceiling() -> None:
    ten = hook(Says(Pass(tuple((f"X-A-{number}", "1") for number in range(10)))), "ten")
    more = hook(Says(Pass(tuple((f"X-B-{number}", "1") for number in range(10)))), "more")
    last = hook(Adds(Additions(headers=(("X-C", "1"),))), "last")
    assert len((await added(hooks(ten, more))).headers) == 20
    assert (await failure(hooks(ten, more, last))).rule == "hooks last"


def test_what_is_added_where_there_is_no_hook_is_nothing() -> None:
    assert Added({}, (), (), {}) == NOTHING
