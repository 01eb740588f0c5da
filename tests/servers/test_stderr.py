"""A server's standard error in the log: whose it is, one line each, nothing secret, and not without end."""

from __future__ import annotations

import logging

import pytest

from counterseal.servers.stderr import StderrLog
from tests.support.tokens import FixedClock


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "counterseal.servers")


def log(*secrets: str, clock: FixedClock | None = None) -> StderrLog:
    return StderrLog("files", frozenset(secrets), (clock or FixedClock()).monotonic)


def test_each_line_has_the_servers_name(caplog: pytest.LogCaptureFixture) -> None:
    said = log()
    said.feed(b"one\ntw")
    said.feed(b"o\r\n\nthree")
    assert caplog.messages == ["server files: one", "server files: two"]
    said.feed(b"\n")
    assert caplog.messages[-1] == "server files: three"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"a\x1b[31mb\x07", "a\\x1b[31mb\\x07"),
        (b"a\rserver other: forged", "a\\rserver other: forged"),
        ("a\u2028b\u202ec".encode(), "a\\u2028b\\u202ec"),
        ("täglich".encode(), "täglich"),
        (b"\xff", "\ufffd"),
        (b"%s %d", "%s %d"),
    ],
)
def test_x_01_no_line_forges_another(caplog: pytest.LogCaptureFixture, line: bytes, shown: str) -> None:
    log().feed(line + b"\n")
    assert caplog.messages == [f"server files: {shown}"]


def test_c_03_a_secret_is_shown_in_no_line(caplog: pytest.LogCaptureFixture) -> None:
    token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
    log("hunter2", "hunter2-and-more", "x").feed(f"a hunter2-and-more b hunter2 c {token} x\n".encode())
    assert caplog.messages == ["server files: a *** b *** c *** x"]


@pytest.mark.parametrize("length", [3000, 100_000])
def test_a_long_line_is_cut(caplog: pytest.LogCaptureFixture, length: int) -> None:
    log().feed(b"y" * length + b"\nnext\n")
    assert caplog.messages == [f"server files: {'y' * 2000}...", "server files: next"]


def test_a_flood_is_counted_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    clock = FixedClock()
    said = log(clock=clock)
    said.feed(b"x\n" * 1000)
    assert len(caplog.messages) == 200
    clock.advance(10)
    said.feed(b"again\n")
    assert caplog.messages[-2:] == ["server files: 800 more lines", "server files: again"]
