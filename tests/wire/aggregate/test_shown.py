"""What a server says, with the names of this address; and everything that has none, byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

from counterseal.wire.aggregate.names import unspelled
from counterseal.wire.aggregate.shown import Id, Shown


class Table:
    """Questions as a visit keeps them, with ids that can be read."""

    def asked(self, identity: Id) -> Id | None:
        return None if identity == "secret" else f"q-{identity!r}"

    def taken_back(self, identity: Id) -> Id | None:
        return f"q-{identity!r}" if identity == 7 else None

    def token(self, token: Id) -> Id:
        return f"t-{token!r}"


CHANGED: list[tuple[str, str]] = []


def shown(method: str | None = "tools/call", *, questions: Table | None = None) -> Shown:
    CHANGED.clear()
    return Shown(
        "w", method, questions, lambda server, which: CHANGED.append((server, which)), lambda token: token == "mine"
    )


def text(message: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **message}).encode()


def result(value: Any) -> bytes:
    return text({"id": 1, "result": value})


LINK = {"type": "resource_link", "name": "a", "uri": "file:///a"}
EMBEDDED = {"type": "resource", "resource": {"uri": "file:///b", "text": "x"}}
PLAIN = {"type": "text", "text": "file:///c and a resource"}
HERE = "counterseal:w/file:///"


def test_links_and_resources_in_a_result_are_called_as_they_can_be_read_here() -> None:
    sent = {"content": [LINK, PLAIN, EMBEDDED], "isError": False, "structuredContent": {"uri": "file:///d"}}
    got = json.loads(shown().whole(result(sent)))["result"]
    assert got == {
        "content": [
            {**LINK, "uri": HERE + "a"},
            PLAIN,
            {"type": "resource", "resource": {"uri": HERE + "b", "text": "x"}},
        ],
        "isError": False,
        "structuredContent": {"uri": "file:///d"},
    }
    assert unspelled(got["content"][0]["uri"]) == ("w", "file:///a")


def test_a_link_that_is_spelled_with_escapes_is_one_all_the_same() -> None:
    sent = result({"content": [LINK]}).replace(b"resource_link", b"\\u0072esource_link").replace(b"resource", b"x")
    assert b"resource" not in sent.replace(b"\\u0072esource", b"")
    assert HERE.encode() in shown().whole(sent)


@pytest.mark.parametrize("content", [EMBEDDED, [EMBEDDED, LINK]])
def test_prompts_hold_resources_too(content: Any) -> None:
    got = shown("prompts/get").whole(result({"messages": [{"role": "user", "content": content}]}))
    assert got.count(HERE.encode()) == (1 if isinstance(content, dict) else 2)
    assert b'"file:///' not in got


def test_what_was_read_is_called_as_it_was_asked_for() -> None:
    sent = {"contents": [{"uri": "file:///a", "text": "1"}, {"uri": "file:///a/b", "blob": "MQ=="}]}
    got = json.loads(shown("resources/read").whole(result(sent)))["result"]["contents"]
    assert [one["uri"] for one in got] == [HERE + "a", HERE + "a/b"]


@pytest.mark.parametrize("method", ["tools/call", "completion/complete", "prompts/get"])
def test_an_answer_without_a_resource_is_passed_on_byte_for_byte(method: str) -> None:
    sent = b'{"jsonrpc":"2.0", "id":1,"result":{"content":[{"type":"text","text":"file:///a"}]}}'
    assert shown(method).whole(sent) is sent


def test_another_methods_result_is_not_searched() -> None:
    sent = result({"content": [LINK]})
    assert json.loads(shown("completion/complete").whole(sent)) == json.loads(sent)


@pytest.mark.parametrize(
    "sent",
    [
        b"no json: resource",
        result({"content": "resource"}),
        result({"content": [{"type": "resource_link", "uri": 7}]}),
        result({"content": [{"type": "resource", "resource": []}]}),
        text({"id": 1, "error": {"code": 1, "message": "resource"}}),
    ],
)
def test_what_is_not_what_it_should_be_is_passed_on_as_it_is(sent: bytes) -> None:
    assert shown().whole(sent) == sent


def test_what_has_changed_is_called_as_it_is_here_and_told() -> None:
    note = text({"method": "notifications/resources/updated", "params": {"uri": "file:///a"}})
    assert json.loads(shown().message(note) or b"")["params"] == {"uri": HERE + "a"}
    assert CHANGED == []
    one = shown()
    for which in ("tools", "prompts", "resources"):
        note = text({"method": f"notifications/{which}/list_changed"})
        assert one.message(note) == note
    assert CHANGED == [("w", "tools/list"), ("w", "prompts/list"), ("w", "resources/list")]


def test_a_question_travels_under_an_id_of_ours() -> None:
    asked = text({"id": 7, "method": "sampling/createMessage", "params": {"_meta": {"progressToken": 7, "x": 1}}})
    got = json.loads(shown(questions=Table()).message(asked) or b"")
    assert got["id"] == "q-7"
    assert got["params"] == {"_meta": {"progressToken": "t-7", "x": 1}}
    back = text({"method": "notifications/cancelled", "params": {"requestId": 7, "reason": "late"}})
    got = json.loads(shown(questions=Table()).message(back) or b"")
    assert got["params"] == {"requestId": "q-7", "reason": "late"}


def test_a_question_that_nobody_may_answer_does_not_reach_the_caller() -> None:
    asked = text({"id": 7, "method": "roots/list"})
    assert shown().message(asked) is None
    assert shown(questions=Table()).message(text({"id": "secret", "method": "roots/list"})) is None
    back = text({"method": "notifications/cancelled", "params": {"requestId": 8}})
    assert shown(questions=Table()).message(back) is None
    assert shown().message(back) is None


def test_other_notifications_are_passed_on_byte_for_byte() -> None:
    note = text({"method": "notifications/progress", "params": {"progressToken": "mine", "progress": 1}})
    assert shown().message(note) is note


def test_a_question_whose_id_is_too_long_to_be_answered_reaches_nobody() -> None:
    def asked(length: int, token: int = 1) -> bytes | None:
        meta = {"_meta": {"progressToken": "t" * token}}
        return shown(questions=Table()).message(text({"id": "i" * length, "method": "roots/list", "params": meta}))

    assert asked(256) is not None
    assert asked(257) is None
    assert b"t-'tt" in (asked(1, 256) or b"")
    assert b"t-'tt" not in (asked(1, 257) or b"")


@pytest.mark.parametrize("token", ['"another\'s"', "1", "1.5", "null", "{}", "1" * 5000], ids=lambda token: token[:9])
def test_s_04_progress_of_what_another_server_was_asked_goes_nowhere(token: str) -> None:
    def note(token: str) -> bytes:
        params = b'{"progressToken":%s,"progress":1}' % token.encode()
        return b'{"jsonrpc":"2.0","method":"notifications/progress","params":%s}' % params

    assert shown().message(note(token)) is None
    assert shown().message(note('"mine"')) == note('"mine"')
    assert shown().message(text({"method": "notifications/progress"})) is None
