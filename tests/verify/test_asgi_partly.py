"""The ASGI middleware where only some methods are countersigned, or the token comes in a header of its own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.verify.test_asgi import CALL, ask, bearer, guard

CALLS = ["tools/call"]
HEADER = "X-Call-Token"


def message(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def bare() -> bytes:
    return bearer().removeprefix("Bearer ").encode()


FREE = [
    message("initialize"),
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    message("tools/list"),
    message("prompts/get", name="p"),
    {"jsonrpc": "2.0", "id": 3, "result": {}},
    message("vendor/own"),
]


@pytest.mark.parametrize("free", FREE, ids=lambda one: str(one.get("method", "a response")))
@pytest.mark.parametrize("authorization", [None, "Bearer somebody.elses.token"])
async def test_what_needs_no_token_goes_on_without_a_look_at_one(free: Any, authorization: str | None) -> None:
    guarded, app = guard(methods=CALLS)
    assert (await ask(guarded, free, authorization)).status == 200
    ((_, _, verified),) = app.seen
    assert verified is None
    guarded, app = guard()
    assert (await ask(guarded, free, authorization)).status == 401
    assert app.seen == []


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
async def test_streams_and_ends_go_on_and_other_verbs_do_not(verb: str) -> None:
    guarded, app = guard(methods=CALLS)
    assert (await ask(guarded, method=verb)).status == 200
    assert (await ask(guarded, None, bearer(), method="PUT")).status == 405
    assert len(app.seen) == 1


async def test_a_method_that_is_named_needs_its_token_every_time() -> None:
    guarded, app = guard(methods=CALLS)
    value = bearer()
    assert (await ask(guarded, CALL)).status == 401
    assert (await ask(guarded, CALL, bearer(arguments={"city": "Paris"}))).status == 403
    assert (await ask(guarded, CALL, bearer("tools/list", None, None))).status == 403
    assert app.seen == []
    assert (await ask(guarded, message("initialize"), value)).status == 200
    assert (await ask(guarded, CALL, value)).status == 200  # which the request before did not use up
    again = await ask(guarded, CALL, value)
    assert (again.status, again.reason) == (401, "replayed")
    assert len(app.seen) == 2


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"get_weather"}}',
        b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}',
        b'{"jsonrpc":"2.0","id":1,"method":["ping"]}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call","params":{"name":"get_weather"}}',
        b'{"jsonrpc":"2.0","id":1,"result":{},"METHOD":"tools/call","params":{"name":"get_weather"}}',
        b'"ping"',
        b"ping",
    ],
)
async def test_what_has_no_one_reading_is_not_free(body: bytes) -> None:
    guarded, app = guard(methods=CALLS)
    assert (await ask(guarded, body)).status == 401
    assert (await ask(guarded, body, bearer())).status == 400
    assert app.seen == []


async def test_a_token_comes_in_the_header_that_was_chosen_and_in_no_other() -> None:
    guarded, app = guard(header=HEADER)
    assert (await ask(guarded, CALL, bearer())).status == 401
    assert (await ask(guarded, CALL, more=((b"x-call-token", b"Bearer " + bare()),))).status == 401
    assert (await ask(guarded, CALL, more=((b"x-call-token", b""),))).status == 401
    twice = await ask(guarded, CALL, more=((b"x-call-token", bare()), (b"x-call-token", bare())))
    assert (twice.status, twice.reason) == (400, "ambiguous_credentials")
    assert app.seen == []
    answer = await ask(guarded, CALL, "Bearer for-somebody-else", more=((b"x-call-token", bare()),))
    assert answer.status == 200
    assert len(app.seen) == 1


@pytest.mark.parametrize(
    "settings",
    [{"methods": []}, {"methods": "tools/call"}, {"methods": ["tool/call"]}, {"header": "X Call"}, {"header": ""}],
)
def test_settings_that_would_guard_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"methods is|header is"):
        guard(**settings)
    guard(methods=("tools/call",), header=HEADER)
