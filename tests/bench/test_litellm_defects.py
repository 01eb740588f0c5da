"""The table of what LiteLLM gets wrong: how a row is written, and that the page has the script's own rows."""

from __future__ import annotations

import inspect
import re
import threading

import pytest
from bench.litellm_defects import BEGIN, END, HEAD, PAGE, Answer, Idp, Request, Tried, Witness, call, serving

from bench import litellm_defects
from tests.support.process import ROOT

TABLE = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()
ROWS = [line.strip("| ").split(" | ") for line in TABLE.splitlines()]


def test_a_row_says_what_was_seen_of_both_and_what_is_mended() -> None:
    rows = [
        Tried("a", "bad", "good", False, True),
        Tried("b", "good", "good", True, True),
        Tried("c", "x", "y", False, False),
    ]
    assert litellm_defects.table(rows, "1.2.3").splitlines() == [
        "| tried | LiteLLM 1.2.3 | Counterseal |",
        "|---|---|---|",
        "| a | bad | good |",
        "| b | good (mended) | good |",
        "| c | x | **y** |",
    ]


def test_the_page_has_a_row_for_everything_that_is_tried_with_the_release_of_the_lock_file() -> None:
    lock = (ROOT / "tests" / "parties" / "litellm" / "requirements.txt").read_text()
    (release,) = re.findall(r"^litellm==(\S+)", lock, re.MULTILINE)
    assert ROWS[0] == [HEAD[0], f"{HEAD[1]} {release}", HEAD[2]]
    source = inspect.getsource(litellm_defects)
    assert len(ROWS) == 2 + len(litellm_defects.TRIED) + 3
    for tried, _, ours in ROWS[2:]:
        assert f'"{tried}"' in source, tried
        assert not ours.startswith("**"), tried


def test_the_witness_notes_what_came_and_is_strict_where_it_is_told_to_be() -> None:
    strict, easy, before = Witness(strict=True), Witness(), threading.active_count()
    with Idp() as idp, serving(strict), serving(easy):
        headers = {"Authorization": f"Bearer {idp.token()}"}
        assert call(easy.url, headers, "tools/list").status == 200
        assert call(strict.url, headers, "tools/list").status == 403
        assert call(strict.url, headers).status == 200
        assert call(strict.url, {}, "tools/list").status == 200
        assert [one.method for one in strict.seen] == ["tools/list", "tools/call", "tools/list"]
        assert [one.authorization is None for one in strict.seen] == [False, False, True]
    assert threading.active_count() < before + 20


@pytest.mark.parametrize(
    ("answer", "is_error"),
    [
        (Answer(200, {}, '{"result": {"isError": false}}'), False),
        (Answer(200, {}, '{"result": {"isError": true}}'), True),
        (Answer(401, {}, "{}"), True),
        (Answer(200, {}, '{"error": {}}'), True),
    ],
)
def test_what_a_caller_takes_for_a_failure(answer: Answer, is_error: bool) -> None:
    assert answer.is_error is is_error


def test_a_scope_is_read_from_a_token_and_from_nothing_else() -> None:
    with Idp() as idp:
        assert Request("tools/call", f"Bearer {idp.token()}").scope == ""
    assert Request("tools/call", None).scope == ""
    assert Request("tools/call", "Bearer x").scope == ""
