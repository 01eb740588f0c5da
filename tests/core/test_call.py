"""What is asked, as values that nobody changes and that tell no secrets."""

from __future__ import annotations

import pytest

from counterseal.core.call import Inbound, Session
from tests.core.callers import call, inbound


def test_all_values_of_a_header_are_found_in_order() -> None:
    request = inbound(b"", (b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"a", b"1"))
    assert list(request.all(b"a")) == [b"1", b"3", b"1"]
    assert list(request.all(b"c")) == []
    assert list(request.all(b"A")) == []


def test_a_request_gets_its_body_later_and_stays_the_same_otherwise() -> None:
    request = inbound(b"", (b"a", b"1"))
    assert request.with_body(b"{}") == inbound(b"{}", (b"a", b"1"))
    assert list(request.with_body(b"{}").all(b"a")) == [b"1"]
    assert request.body == b""


def test_what_a_head_says_is_read_once_for_every_request_that_has_it() -> None:
    read: list[bytes] = []

    def first(asked: Inbound) -> bytes | None:
        read.append(asked.all(b"a")[0])
        return None

    request = inbound(b"", (b"a", b"1"))
    assert request.once(first) is None
    assert request.with_body(b"{}").once(first) is None
    assert read == [b"1"]
    assert request == inbound(b"", (b"a", b"1"))
    inbound(b"", (b"a", b"2")).once(first)
    assert read == [b"1", b"2"]


def test_another_length_is_seen_and_nothing_else_changes() -> None:
    request = inbound(b"", (b"a", b"1"), (b"content-length", b"2"), (b"b", b"2"))
    read: list[bytes] = []
    request.once(lambda asked: read.extend(asked.all(b"a")))
    longer = request.resized(b"9")
    assert longer == inbound(b"", (b"a", b"1"), (b"content-length", b"9"), (b"b", b"2"))
    assert list(longer.all(b"content-length")) == [b"9"]
    assert list(request.all(b"content-length")) == [b"2"]

    def first(asked: Inbound) -> None:
        read.append(asked.all(b"b")[0])

    request.once(first)
    longer.once(first)
    assert read == [b"1", b"2"]


def test_a_head_that_is_refused_is_refused_each_time() -> None:
    request = inbound(b"")
    for _ in range(2):
        with pytest.raises(IndexError):
            request.once(lambda asked: asked.all(b"a")[0])


def test_nothing_that_is_shown_of_a_request_holds_a_credential_or_what_was_sent() -> None:
    request = inbound(b'{"secret":1}', (b"authorization", b"Bearer secret"))
    asked = call(
        name="get_weather",
        arguments={"a": "secret"},
        message={"a": "secret"},
        param_headers=(("mcp-param-a", "secret"),),
        session=Session("secret", "2025-11-25", "secret"),
    )
    for value in (request, asked, asked.session):
        assert "secret" not in repr(value)
        assert "secret" not in str(value)
    assert "get_weather" in repr(asked)


def test_a_decoded_call_stays_as_it_is() -> None:
    with pytest.raises(AttributeError):
        call().name = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        inbound().server = "other"  # type: ignore[misc]
