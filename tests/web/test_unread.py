"""What is no HTTP is told of in the log, and whoever sends it cannot fill a disk with that."""

from __future__ import annotations

import asyncio
import logging

import pytest

from counterseal.web import unread
from counterseal.web.unread import Unread
from tests.support.hostile import HostileServer
from tests.web.building import running

REQUESTS = {
    "no request": b"\0\r\n\r\n",
    "no path": b"GET x HTTP/1.1\r\nhost: a\r\n\r\n",
    "large head": b"GET /healthz HTTP/1.1\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("sent", REQUESTS.values(), ids=REQUESTS.keys())
def test_of_many_that_are_no_http_a_few_are_told_and_the_others_counted(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with HostileServer() as server, running(server) as own:
        for _ in range(20):
            own.refused(sent, 400, 431)
        told = list(caplog.messages)
        own.good()
    assert told == ["127.0.0.1 sent what is no HTTP request that is taken here, and its connection ends"] * 5
    assert caplog.messages[5:] == ["15 more connections ended since for what is no HTTP request that is taken here"]


def test_what_is_http_is_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    with HostileServer() as server, running(server) as own:
        own.refused(own.request(authorization=b"Bearer nobody"), 401)
    assert caplog.messages == []


async def test_after_a_while_a_few_are_told_of_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread, "_WINDOW", 0.01)
    told = asyncio.Event()

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "more connections" in record.getMessage():
                told.set()

    handler = Told()
    logging.getLogger("counterseal.web").addHandler(handler)
    try:
        one = Unread()
        for _ in range(2):
            for number in range(8):
                one.note(asyncio.get_running_loop(), f"192.0.2.{number}")
            await asyncio.wait_for(told.wait(), 5)
            told.clear()
        one.close()
    finally:
        logging.getLogger("counterseal.web").removeHandler(handler)
    lines = [message.partition(" ")[0] for message in caplog.messages]
    assert lines == ["192.0.2.0", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "3"] * 2
