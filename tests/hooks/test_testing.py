"""What authors of hooks test with is what their hooks will get."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterseal.core.call import Inbound
from counterseal.core.caller import Caller
from counterseal.core.frozen import freeze
from counterseal.core.methods import METHODS
from counterseal.hooks import View
from counterseal.hooks.testing import event, offered, view
from counterseal.hooks.view import call_view, caller_view, header_view
from tests.core.callers import call


def test_a_view_is_as_the_gateway_would_make_it() -> None:
    fields = freeze({"team_id": "data"})
    caller = Caller(kind="token", client_id="ide", issuer="https://idp", subject="bob", fields=fields)
    inbound = Inbound("POST", "notes", ((b"x-tenant", b"north"),), b"", "192.0.2.7")
    made = View(
        caller=caller_view(caller),
        call=call_view(call(name="get_note", server="notes", arguments={"deep": [1]})),
        headers=header_view(inbound, (b"x-tenant",)),
    )
    given = view(
        "get_note",
        {"deep": [1]},
        server="notes",
        headers={"X-Tenant": "north"},
        kind="token",
        client_id="ide",
        issuer="https://idp",
        subject="bob",
        team="data",
    )
    assert given == made


@pytest.mark.parametrize("method", METHODS)
def test_only_methods_that_have_arguments_show_some(method: str) -> None:
    assert (view(method=method).call.arguments is not None) is METHODS[method].arguments


def test_a_view_can_be_changed_no_more_than_the_gateways() -> None:
    with pytest.raises(TypeError):
        view(arguments={"a": {}}).call.arguments["a"]["b"] = 1  # type: ignore[index]
    with pytest.raises(TypeError):
        view(metadata={"a": "b"}).caller.metadata["a"] = "c"  # type: ignore[index]


def test_an_event_is_of_an_answered_call_unless_it_is_changed() -> None:
    assert (event().verdict, event().outcome) == ("permitted", "answered")
    assert event(verdict="refused", reason="policy_denied", outcome=None).reason == "policy_denied"


def test_what_is_offered_is_what_was_given() -> None:
    schemas = {("weather", "a"): b"{}"}
    given = offered(schemas=schemas, secrets={"env:A": "a"}, folder=Path("/etc/x"))
    assert (given.schema("weather", "a"), given.schema("notes", "a")) == (b"{}", None)
    schemas["notes", "a"] = b"{}"
    assert given.schema("notes", "a") == b"{}"
    assert given.secret("env:A") == "a"
    with pytest.raises(ValueError, match="no such secret"):
        given.secret("env:B")
    assert given.path("b.json") == Path("/etc/x/b.json")
