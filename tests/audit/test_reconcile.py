"""What a gateway minted, held against what servers verified: the same, explained, or a difference with its name."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.audit import chain
from counterseal.audit.reconcile import MEANINGS, Found, Unreadable, reconcile
from counterseal.audit.sinks import FileSink
from counterseal.core.receipt import Receipt
from tests.support.tokens import NOW, FixedClock

AUDIENCE = "https://weather.example.com/mcp"
OTHER = "https://files.example.com/mcp"
ISSUER = "https://gateway.example.com"


def intent(jti: str, **changes: Any) -> dict[str, Any]:
    entry = {
        "event": "intent",
        "record": f"rec_{jti}",
        "method": "tools/call",
        "name": "get_weather",
        "peer": "127.0.0.1",
        "rule": "policy[0]",
        "sub": "alice",
        "aud": AUDIENCE,
        "jti": jti,
        "txn": f"txn_{jti}",
        "beside": [],
    }
    return {**entry, **changes}


def outcome(jti: str, how: str = "answered", **changes: Any) -> dict[str, Any]:
    known = {"event": "outcome", "record": f"rec_{jti}", "outcome": how, "status": 200, "reason": None, "detail": None}
    return {**known, **changes}


def receipt(jti: str, **changes: Any) -> bytes:
    known = {"time": NOW, "server": AUDIENCE, "reason": None, "method": "tools/call", "name": "get_weather"}
    held = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "jti": jti, "txn": f"txn_{jti}"}
    return Receipt(**{**known, **held, **changes}).line()


def held(folder: Path, entries: list[dict[str, Any]], receipts: list[bytes], **more: Any) -> Found:
    """By files as they are really written."""
    folder.mkdir(exist_ok=True)
    asyncio.run(_write(folder / "audit", entries))
    (folder / "receipts.jsonl").write_bytes(b"".join(receipts))
    return reconcile(sorted((folder / "audit").iterdir()), [folder / "receipts.jsonl"], **more)


async def _write(folder: Path, entries: list[dict[str, Any]]) -> None:
    sink = FileSink(folder, clock=FixedClock(), issuer=ISSUER)
    await sink.start()
    for entry in entries:
        await sink.write(entry)
    await sink.close()


def kinds(found: Found) -> list[tuple[str, str | None]]:
    return [(one.kind, one.jti) for one in found.differences]


def test_the_same_calls_are_equal(tmp_path: Path) -> None:
    calls = [intent("a"), outcome("a"), intent("b"), outcome("b", "error")]
    found = held(tmp_path, calls, [receipt("a"), receipt("b")])
    assert found.equal
    assert (found.minted, found.verified, found.explained) == (2, 2, {})
    assert found.servers == (AUDIENCE,)


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([intent("x")], "no outcome: in flight, or the gateway was killed"),
        (
            [intent("x"), outcome("x", "failed", status=502, reason="server_unreachable")],
            "it failed: server_unreachable",
        ),
        ([intent("x"), outcome("x", "aborted", reason="caller_left")], "the caller left before the end"),
        ([intent("x"), outcome("x", "aborted", reason="gateway_ended")], "the gateway was stopped before the end"),
        ([intent("x"), outcome("x", "error", status=400)], "refused before it was verified: HTTP 400"),
        (
            [intent("x"), outcome("x", detail="answered by the gateway")],
            "not sent: the gateway answered itself, or dropped it",
        ),
        (
            [intent("x"), outcome("x", status=202, detail="dropped: a notification")],
            "not sent: the gateway answered itself, or dropped it",
        ),
        (
            [intent("x"), outcome("x", detail="the arguments do not fit: not sent")],
            "not sent: the gateway answered itself, or dropped it",
        ),
        ([intent("x", event="mint", peer="by hand")], "made by hand, and not presented"),
        (
            [intent("x", event="mint", peer="probe", rule="probe[expired]")],
            "a probe, which the server refused or never saw",
        ),
    ],
)
def test_what_never_got_there_is_explained(tmp_path: Path, entries: list[dict[str, Any]], why: str) -> None:
    found = held(tmp_path, [intent("a"), outcome("a"), *entries], [receipt("a")])
    assert found.equal
    assert (found.minted, found.verified, found.explained) == (2, 1, {why: 1})


@pytest.mark.parametrize(
    ("entries", "receipts", "kind"),
    [
        ([], [receipt("x")], "not_minted"),
        ([intent("x"), outcome("x")], [], "never_arrived"),
        ([intent("x"), outcome("x", "error")], [], "never_arrived"),
        ([intent("x"), outcome("x")], [receipt("x"), receipt("x")], "verified_twice"),
        ([intent("x", aud=OTHER), outcome("x")], [receipt("x", aud=OTHER)], "other_server"),
        ([intent("x"), outcome("x")], [receipt("x", sub="mallory")], "other_call"),
        ([intent("x"), outcome("x")], [receipt("x", name="delete_all")], "other_call"),
        ([intent("x"), outcome("x", "failed")], [receipt("x", reason="arguments")], "refused"),
        ([], [receipt("x", reason="expired")], "refused_not_minted"),
        ([intent("x", event="mint", peer="probe", rule="probe[expired]")], [receipt("x")], "bad_token"),
    ],
)
def test_what_is_on_one_side_alone_is_a_difference_with_its_meaning(
    tmp_path: Path, entries: list[dict[str, Any]], receipts: list[bytes], kind: Any
) -> None:
    found = held(tmp_path, [intent("a"), outcome("a"), *entries], [receipt("a"), *receipts])
    assert kinds(found) == [(kind, "x")]
    assert not found.equal
    assert MEANINGS[kind]
    (one,) = found.differences
    assert one.method == "tools/call"
    assert one.time


def test_what_is_right_about_a_probe_or_a_token_by_hand_is_no_difference(tmp_path: Path) -> None:
    mints = [
        intent("good", event="mint", peer="probe", rule="probe[good]"),
        intent("hand", event="mint", peer="by hand"),
    ]
    assert held(tmp_path, mints, [receipt("good"), receipt("hand")]).equal


def test_a_token_that_is_presented_again_and_refused_is_told_and_is_no_difference(tmp_path: Path) -> None:
    found = held(tmp_path, [intent("a"), outcome("a")], [receipt("a"), receipt("a", reason="replayed")])
    assert (found.equal, found.again) == (True, 1)


def test_tokens_for_other_servers_are_left_out_unless_their_audience_is_named(tmp_path: Path) -> None:
    entries = [intent("a"), outcome("a"), intent("b", aud=OTHER), outcome("b")]
    found = held(tmp_path, entries, [receipt("a")])
    assert (found.equal, found.elsewhere) == (True, 1)
    (tmp_path / "again").mkdir()
    found = held(tmp_path / "again", entries, [receipt("a")], audiences=[OTHER])
    assert kinds(found) == [("never_arrived", "b")]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"server": AUDIENCE}, "other_server"),
        ({"server": AUDIENCE, "aud": AUDIENCE}, "other_server"),
        ({"aud": AUDIENCE}, "other_server"),
        ({"txn": "txn_of_another"}, "other_call"),
    ],
)
def test_a_token_that_went_beside_another_is_good_at_its_own_server_and_for_its_call_alone(
    changes: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    """Else a server that takes the second token in the place of the call token would look like one that does not."""
    entries = [intent("a", beside=[{"aud": OTHER, "jti": "b", "exp": 1}]), outcome("a")]
    good = {"server": OTHER, "aud": OTHER, "txn": "txn_a"}
    assert held(tmp_path / "good", entries, [receipt("a"), receipt("b", **good)]).equal
    found = held(tmp_path / "bad", entries, [receipt("a"), receipt("b", **{**good, **changes})])
    assert kinds(found) == [(kind, "b")]


def test_a_line_that_was_being_written_is_no_receipt_and_any_other_text_is_a_difference(tmp_path: Path) -> None:
    found = held(tmp_path, [intent("a"), outcome("a")], [receipt("a"), receipt("b")[:40]])
    assert (found.equal, found.torn) == (True, 1)
    found = reconcile(sorted((tmp_path / "audit").iterdir()), [_file(tmp_path / "other", receipt("a") + b"oops\n")])
    assert kinds(found) == [("unreadable", None)]
    assert found.differences[0].where.endswith("other:2")


def test_records_that_were_changed_are_compared_with_nothing(tmp_path: Path) -> None:
    assert held(tmp_path, [intent("a"), outcome("a")], [receipt("a")]).equal
    (path,) = (tmp_path / "audit").iterdir()
    path.write_bytes(path.read_bytes().replace(b"alice", b"mallo"))
    with pytest.raises(Unreadable, match=r"\.jsonl:3: the line does not follow"):
        reconcile([path], [tmp_path / "receipts.jsonl"])


def test_a_window_leaves_out_what_is_outside_and_looks_for_the_rest_everywhere(tmp_path: Path) -> None:
    entries, receipts = (
        [intent("a"), outcome("a")],
        [receipt("a", time=NOW - 100), receipt("old", time=NOW - 100)],
    )
    assert not held(tmp_path, entries, receipts).equal
    audit, server = sorted((tmp_path / "audit").iterdir()), [tmp_path / "receipts.jsonl"]
    found = reconcile(audit, server, since=NOW - 50)
    assert (found.equal, found.minted, found.verified) == (True, 1, 0)
    assert not reconcile(audit, server, until=NOW + 50).equal
    assert reconcile(audit, server, until=NOW - 150).equal


CALL = st.tuples(
    st.sampled_from(["answered", "error", "failed", "aborted", None]), st.integers(min_value=0, max_value=2)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(CALL, max_size=20), st.integers(min_value=0, max_value=3))
def test_every_token_is_equal_explained_or_a_difference_and_never_two_of_them(
    calls: list[tuple[str | None, int]], forged: int
) -> None:
    """Against the rule in as few words as it has."""
    entries, receipts, expected = [], [], []
    for number, (how, times) in enumerate(calls):
        jti = f"j{number}"
        entries += [intent(jti)] + ([] if how is None else [outcome(jti, how)])
        receipts += [receipt(jti)] * times
        if times == 0 and how in ("answered", "error"):
            expected.append(("never_arrived", jti))
        expected += [("verified_twice", jti)] * max(0, times - 1)
    for number in range(forged):
        receipts.append(receipt(f"f{number}"))
        expected.append(("not_minted", f"f{number}"))
    with tempfile.TemporaryDirectory() as folder:
        found = held(Path(folder), entries, receipts, audiences=[AUDIENCE])
    assert sorted(kinds(found)) == sorted(expected)
    assert found.minted == len(calls)
    verified = sum(times > 0 for _, times in calls)
    assert found.verified == verified + forged
    missing = sum(kind == "never_arrived" for kind, _ in expected)
    assert sum(found.explained.values()) == len(calls) - verified - missing


def test_the_times_of_both_sides_are_written_alike(tmp_path: Path) -> None:
    found = held(tmp_path, [intent("m"), outcome("m")], [receipt("v")])
    assert {one.time for one in found.differences} == {chain.stamp(NOW)}


def _file(path: Path, text: bytes) -> Path:
    path.write_bytes(text)
    return path
