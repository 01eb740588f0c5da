"""What a hook sees: all that it is told of a call, and nothing else."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from counterseal.core.call import Call, Era, Inbound, Session, Shape
from counterseal.core.caller import Caller, Channel
from counterseal.core.frozen import freeze
from counterseal.errors import BadCall
from counterseal.hooks import plain
from counterseal.hooks.view import CREDENTIALS, CallerView, CallView, View, call_view, caller_view, header_view

CALLER = Caller(
    kind="token",
    client_id="ide",
    issuer="https://idp.example.com",
    subject="alice",
    claims=freeze({"jti": "claim-canary", "secret": "claim-canary"}),
    fields=freeze({"email": "alice@example.com", "team_id": "data", "org_id": "acme", "agent_id": "planner"}),
    roles=("reader",),
    groups=("staff",),
    scopes=("mcp",),
    metadata=freeze({"tenant": "north"}),
    act={"sub": "act-canary"},
    channel=Channel(issuer="https://channels", subject="channel-canary"),
    headers=freeze({"email": "header-canary"}),
)
CALL = Call(
    server="weather",
    era=Era.LEGACY,
    revision="2025-11-25",
    shape=Shape.REQUEST,
    method="tools/call",
    id="id-canary",
    name="get_forecast",
    arguments={"city": "Oslo", "deep": {"list": [1]}},
    message={"params": {"_meta": {"x": "message-canary"}}},
    session=Session("session-canary", "2025-11-25", "sealed-canary"),
    last_event_id="event-canary",
    param_headers=(("mcp-param-city", "param-canary"),),
)
INBOUND = Inbound(
    "POST",
    "weather",
    (
        (b"authorization", b"Bearer credential-canary"),
        (b"x-api-key", b"credential-canary"),
        (b"cookie", b"credential-canary"),
        (b"x-tenant", b" north "),
        (b"x-twice", b"1"),
        (b"x-twice", b"1"),
        (b"x-odd", b"\xff"),
    ),
    b"body-canary",
    "192.0.2.7",
)


def whole(*names: bytes) -> View:
    return View(caller=caller_view(CALLER), call=call_view(CALL), headers=header_view(INBOUND, names))


def test_a_hook_sees_who_calls_what() -> None:
    view = whole(b"x-tenant", b"x-absent")
    assert view.caller == CallerView(
        kind="token",
        client_id="ide",
        issuer="https://idp.example.com",
        subject="alice",
        email="alice@example.com",
        team="data",
        organisation="acme",
        agent="planner",
        roles=("reader",),
        groups=("staff",),
        scopes=("mcp",),
        metadata={"tenant": "north"},
    )
    assert view.call == CallView(
        server="weather",
        method="tools/call",
        name="get_forecast",
        arguments=freeze({"city": "Oslo", "deep": {"list": [1]}}),
        era="legacy",
        revision="2025-11-25",
    )
    assert view.headers == {"x-tenant": "north"}


def dumped(value: Any) -> str:
    """Everything that can be reached from a value by its own fields."""
    if dataclasses.is_dataclass(value):
        return " ".join(dumped(getattr(value, field.name)) for field in dataclasses.fields(value))
    if hasattr(value, "items"):
        return " ".join(dumped(key) + dumped(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(dumped, value))
    assert value is None or isinstance(value, str | int | float), type(value)
    return str(value)


def test_s12_a_hook_that_dumps_what_it_sees_dumps_no_credential_and_nothing_of_the_request() -> None:
    view = whole(b"x-tenant")
    for text in (dumped(view), repr(view)):
        assert "canary" not in text
        assert "alice" in text
    assert "Oslo" not in repr(view)
    assert "north" not in repr(whole(b"x-tenant").call)


def test_s12_a_view_leads_nowhere() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(whole())
    for value in (whole(), whole().caller, whole().call):
        assert not hasattr(value, "__dict__")


@pytest.mark.parametrize(
    "change",
    [
        lambda view: setattr(view, "call", None),
        lambda view: setattr(view.call, "arguments", {}),
        lambda view: setattr(view.caller, "subject", "bob"),
        lambda view: view.call.arguments.update(city="Rome"),
        lambda view: view.call.arguments["deep"].update(a=1),
        lambda view: view.call.arguments["deep"]["list"].append(1),
        lambda view: view.caller.metadata.update(tenant="south"),
        lambda view: view.headers.update(a="b"),
        lambda view: setattr(view, "more", 1),
    ],
)
def test_p_01_nothing_of_a_view_can_be_changed(change: Callable[[View], object]) -> None:
    view = whole(b"x-tenant")
    with pytest.raises((AttributeError, TypeError)):
        change(view)
    assert view == whole(b"x-tenant")


def test_what_a_view_was_made_of_is_not_reached_through_it() -> None:
    arguments = {"city": "Oslo"}
    view = call_view(
        Call(server="s", era=Era.MODERN, revision="r", shape=Shape.REQUEST, method="tools/call", arguments=arguments)
    )
    assert view.arguments is not None
    own = plain(view.arguments)
    own["city"] = "Rome"
    assert view.arguments["city"] == arguments["city"] == "Oslo"
    arguments["city"] = "Bern"
    assert view.arguments["city"] == "Oslo"


def test_a_method_without_arguments_shows_none() -> None:
    call = Call(server="s", era=Era.MODERN, revision="r", shape=Shape.REQUEST, method="tools/list")
    assert call_view(call).arguments is None


@pytest.mark.parametrize("name", [b"x-twice", b"x-odd"])
def test_h_06_a_header_that_could_be_read_in_two_ways_refuses_the_call(name: bytes) -> None:
    with pytest.raises(BadCall) as told:
        header_view(INBOUND, (name,))
    assert told.value.reason.code == "bad_header"


def test_a_call_that_nobody_sent_has_no_headers() -> None:
    assert header_view(None, (b"x-tenant",)) == {}


def test_s12_the_list_of_credentials_has_those_that_callers_send() -> None:
    assert {"authorization", "cookie", "proxy-authorization", "txn-token", "x-api-key"} <= CREDENTIALS
