"""What counts as taken, as refused, and as neither."""

from __future__ import annotations

import pytest

from counterseal.gateway.probe.answers import of_message, of_status, refusal_of_an_api


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 413, 431])
def test_a_status_that_keeps_the_call_out_is_a_refusal(status: int) -> None:
    answer = of_status(status)
    assert answer is not None
    assert answer.verdict == "refused"
    assert refusal_of_an_api(status).verdict == "refused"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_that_fails_or_has_no_time_has_not_refused(status: int) -> None:
    answer = of_status(status)
    assert answer is not None
    assert answer.verdict == "error"


def test_behind_a_good_status_the_body_has_the_word() -> None:
    assert of_status(200) is None
    assert refusal_of_an_api(204).verdict == "accepted"


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', "accepted"),
        (b'{"jsonrpc":"2.0","id":1,"result":{"isError":false}}', "accepted"),
        (b'{"jsonrpc":"2.0","id":1,"result":{"isError":true,"content":[]}}', "refused"),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":40150,"message":"no"}}', "refused"),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"oops"}}', "error"),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"oops"},"result":{}}', "error"),
        (b'{"jsonrpc":"2.0","id":1}', "error"),
        (b"[]", "error"),
        (b"<html>", "error"),
    ],
)
def test_a_result_is_taken_an_error_is_refused_and_the_rest_is_neither(body: bytes, verdict: str) -> None:
    assert of_message(body).verdict == verdict


def test_a_long_message_is_cut() -> None:
    body = b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"' + b"x" * 5000 + b'"}}'
    assert len(of_message(body).said) < 200
