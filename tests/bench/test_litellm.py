"""The bench against LiteLLM: its arithmetic; that it runs is seen by running it."""

from __future__ import annotations

import json

import pytest
from bench.load import Figures

from bench import answer, litellm
from tests.bench.test_bench import figures


def seen(**ours: float) -> dict[tuple[str, int], list[Figures]]:
    theirs = {"calls_per_second": 10.0, "p50_ms": 100.0, "rss_mb": 300.0}
    found = {}
    for n in litellm.IN_FLIGHT:
        found[litellm.LITELLM, n] = [figures(**{**theirs, "p50_ms": 200.0})]
        found[litellm.LITELLM_MODERN, n] = [figures(**{**theirs, "calls_per_second": 5.0})]
        found[litellm.COUNTERSEAL, n] = [
            figures(**{"calls_per_second": 500.0, "p50_ms": 10.0, "rss_mb": 100.0, **ours})
        ]
    return found


REQUESTS = {
    litellm.LITELLM: ["initialize", "tools/call"],
    litellm.LITELLM_MODERN: ["tools/list", "tools/call"],
    litellm.COUNTERSEAL: ["tools/call"],
}


def verdicts(**ours: float) -> list[str]:
    return [target.verdict for target in litellm.targets(seen(**ours), REQUESTS)]


def test_every_promise_is_kept_at_its_bound_against_the_better_litellm_in_each() -> None:
    assert verdicts() == ["ok"] * 4


@pytest.mark.parametrize(
    ("target", "ours"), [(0, {"calls_per_second": 499.0}), (1, {"p50_ms": 10.1}), (2, {"rss_mb": 100.1})]
)
def test_a_promise_is_broken_just_past_its_bound(target: int, ours: dict[str, float]) -> None:
    assert [number for number, verdict in enumerate(verdicts(**ours)) if verdict == "MISSED"] == [target]


def test_a_second_request_at_the_server_breaks_the_promise_too() -> None:
    found = litellm.targets(seen(), {**REQUESTS, litellm.COUNTERSEAL: ["tools/list", "tools/call"]})
    assert [target.verdict for target in found] == ["ok", "ok", "ok", "MISSED"]


def test_a_litellm_that_answered_nothing_is_not_measured_against() -> None:
    found = seen()
    for party in (litellm.LITELLM, litellm.LITELLM_MODERN):
        found[party, 16] = [figures(calls_per_second=0.0)]
    assert litellm.targets(found, REQUESTS)[0].verdict == "not measured"


def test_the_table_says_how_many_requests_one_call_makes() -> None:
    rows = litellm.figures_table(seen(), REQUESTS)
    assert {(row[0], row[-1]) for row in rows[1:]} == {
        (litellm.LITELLM, "2"),
        (litellm.LITELLM_MODERN, "2"),
        (litellm.COUNTERSEAL, "1"),
    }


def test_the_counting_server_answers_as_the_other_one_does_and_says_what_came() -> None:
    counting, plain = answer.CountingAnswers(), answer.Answers()
    head, body = b"POST /plain HTTP/1.1\r\ncontent-length: 1", b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}'
    assert counting.reply(head, body) == plain.reply(head, body)
    counting.reply(b"DELETE /plain HTTP/1.1", b"")
    told = counting.reply(b"GET /seen HTTP/1.1", b"")
    assert json.loads(told.partition(b"\r\n\r\n")[2]) == ["tools/call", "DELETE"]
