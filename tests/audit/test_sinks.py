"""The sinks: their contract, and what the file sink does when the disk does not."""

from __future__ import annotations

import asyncio
import fcntl
import multiprocessing
import os
import socket
import stat
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from counterseal import __version__
from counterseal.audit import reader, sinks
from counterseal.audit.chainfile import Fsync, create
from counterseal.audit.sinks import FileSink, MemorySink, look_at_folder
from counterseal.clock import SystemClock
from counterseal.errors import CannotTell, ConfigError
from tests.audit import writing
from tests.audit.folder import entries, records, states
from tests.contracts.sink import SinkContract, Written, entry

ISSUER = writing.ISSUER


def file_sink(folder: Path, **more: Any) -> FileSink:
    return FileSink(folder, clock=SystemClock(), issuer=ISSUER, **more)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until something is so, at most some seconds."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def refused(sink: FileSink, number: int = 0) -> str:
    with pytest.raises(CannotTell) as told:
        await sink.write(entry(number))
    assert told.value.reason.code == "audit_unavailable"
    assert told.value.detail is not None
    return told.value.detail


class TestMemorySink(SinkContract):
    @pytest.fixture
    def sink(self) -> MemorySink:
        return MemorySink()

    @pytest.fixture
    def written(self, sink: MemorySink) -> Written:
        return lambda: sink.entries

    async def test_it_fails_on_demand(self, sink: MemorySink) -> None:
        sink.problem = "no space"
        with pytest.raises(CannotTell):
            await sink.write(entry(1))
        assert sink.healthy() == "no space"
        assert sink.entries == []


@pytest.mark.parametrize("fsync", ["none", "group"])
class TestFileSink(SinkContract):
    @pytest.fixture
    async def sink(self, tmp_path: Path, fsync: Fsync) -> AsyncIterator[FileSink]:
        sink = file_sink(tmp_path, fsync=fsync)
        await sink.start()
        yield sink
        await sink.close()
        assert states(tmp_path) == ["closed"]

    @pytest.fixture
    def written(self, tmp_path: Path) -> Written:
        return lambda: entries(tmp_path)


# files


async def test_a_file_opens_with_whose_it_is_and_closes_when_the_sink_does(tmp_path: Path) -> None:
    sink = file_sink(tmp_path / "logs" / "audit")
    await sink.start()
    await sink.write(entry(1))
    assert states(tmp_path / "logs" / "audit") == ["open"]
    await sink.close()
    first, _, last = records(tmp_path / "logs" / "audit")
    assert list(first) == ["v", "seq", "time", "writer", "prev", "event", "gateway", "issuer"]
    assert (first["event"], first["gateway"], first["issuer"]) == ("open", __version__, ISSUER)
    assert last["event"] == "close"
    (path,) = reader.files(tmp_path / "logs" / "audit")
    started = first["time"].replace("-", "").replace(":", "")
    assert path.name == f"{started}-{first['writer']}.jsonl"


@pytest.mark.parametrize("umask", [0o000, 0o077])
async def test_the_folder_and_the_file_are_for_the_owner_only(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        sink = file_sink(tmp_path / "audit")
        await sink.start()
    finally:
        os.umask(before)
    await sink.close()
    (path,) = reader.files(tmp_path / "audit")
    assert stat.S_IMODE((tmp_path / "audit").stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o777, 0o1777])
async def test_u_03_a_folder_to_which_others_could_add_records_keeps_the_gateway_from_starting(
    tmp_path: Path, mode: int
) -> None:
    folder = tmp_path / "audit"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(ConfigError, match=r"audit\.sink: .*chmod go-w"):
        look_at_folder(folder)
    sink = file_sink(folder)
    with pytest.raises(ConfigError, match=r"audit\.sink: .*chmod go-w"):
        await sink.start()
    assert list(folder.iterdir()) == []
    folder.chmod(0o755)
    look_at_folder(folder)
    await sink.start()
    await sink.close()
    assert states(folder) == ["closed"]


def test_a_file_that_is_there_is_never_opened_again(tmp_path: Path) -> None:
    os.close(create(tmp_path / "a.jsonl"))
    with pytest.raises(FileExistsError):
        create(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "c.jsonl")
    with pytest.raises(FileExistsError):
        create(tmp_path / "b.jsonl")


def test_u_04_eight_processes_write_at_once_and_no_line_is_lost_or_mixed(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(8) as processes:
        processes.starmap(writing.write_many, [(str(tmp_path), process, 500, 16) for process in range(8)], chunksize=1)
    assert states(tmp_path) == ["closed"] * 8
    assert reader.verify(tmp_path).unfinished == 0
    found = [(one["event"], one["record"]) for one in entries(tmp_path)]
    expected = [
        (event, f"rec_{process}_{number}")
        for process in range(8)
        for number in range(500)
        for event in ("intent", "outcome")
    ]
    assert sorted(found) == sorted(expected)


def test_u_02_what_was_acknowledged_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    """kill -9 at several points: every intent whose `write` returned is in the file, and its chain is whole."""
    spawn = multiprocessing.get_context("spawn")
    for kill in range(4):
        folder = tmp_path / str(kill)
        ours, theirs = spawn.Pipe(duplex=False)
        process = spawn.Process(target=writing.write_for_ever, args=(str(folder), theirs))
        process.start()
        theirs.close()
        told = [ours.recv() for _ in range(1 + 300 * kill)]
        process.kill()
        process.join()
        with pytest.raises(EOFError):
            while True:
                told.append(ours.recv())
        assert set(told) <= {one["record"] for one in entries(folder)}
        assert states(folder) in (["open"], ["torn"])
        assert reader.verify(folder).unfinished >= len(told)


# group commit


async def test_what_arrives_together_is_written_in_one_go(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # one packet is one write
    sink = file_sink(tmp_path, open_file=lambda _: theirs.detach())
    await sink.start()
    assert ours.recv(1 << 20).count(b"\n") == 1
    await asyncio.gather(*(sink.write(entry(number)) for number in range(50)))
    assert ours.recv(1 << 20).count(b"\n") == 50
    await sink.close()
    ours.close()


# a disk that fails


@pytest.mark.parametrize("blocked", ["folder", "above"])
async def test_u_01_a_folder_that_cannot_be_made_keeps_the_gateway_from_starting(tmp_path: Path, blocked: str) -> None:
    (tmp_path / "file").touch()
    sink = file_sink(tmp_path / "file" if blocked == "folder" else tmp_path / "file" / "audit")
    with pytest.raises(ConfigError, match=r"audit\.sink: records cannot be written to .*/file"):
        await sink.start()
    assert await refused(sink) == "the sink is closed"
    good = file_sink(tmp_path / "audit")
    await good.start()
    await good.close()


async def test_u_01_a_full_disk_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No space left on device"):
        await file_sink(tmp_path, open_file=lambda _: os.open("/dev/full", os.O_WRONLY)).start()


async def test_u_01_a_sink_that_was_not_started_refuses(tmp_path: Path) -> None:
    sink = file_sink(tmp_path)
    assert sink.healthy() == "not started"
    assert await refused(sink) == "not started"
    with pytest.raises(CannotTell):
        sink.post(entry(1))
    await sink.close()


def test_u_01_a_disk_that_fills_up_refuses_and_goes_on_in_a_new_file(tmp_path: Path) -> None:
    """The write that fails is a partial one: the last line of the first file is cut in the middle."""
    with multiprocessing.get_context("spawn").Pool(1) as process:
        done, turned_down, said = process.apply(writing.fill_the_disk, (str(tmp_path), 3000))
    assert said == "File too large"
    first, second = reader.files(tmp_path)
    assert states(tmp_path) == ["torn", "closed"]
    assert first.stat().st_size == 3000
    assert records(tmp_path)[1 + len(done) - 1]["after"] == first.name
    found = [(one["event"], one["record"]) for one in entries(tmp_path)]
    assert found == [*(("intent", record) for record in done[:-1]), ("outcome", "rec_0"), ("intent", "rec_after")]
    assert not set(turned_down) & {record for _, record in found}
    assert second.name > first.name


def test_u_01_of_a_batch_that_fits_only_in_part_every_entry_is_written_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as process:
        process.apply(writing.overflow, (str(tmp_path), 3000, 40))
    assert states(tmp_path) == ["torn", "closed"]
    assert [one["record"] for one in entries(tmp_path)] == [f"rec_{number}" for number in range(40)]


class Disks:
    """Opens one kind of file after the other, the last kind for ever."""

    def __init__(self, *kinds: Callable[[Path], int]) -> None:
        self.opened: list[str] = []
        self._kinds = list(kinds)

    def __call__(self, path: Path) -> int:
        self.opened.append(path.name)
        kind = self._kinds.pop(0) if len(self._kinds) > 1 else self._kinds[0]
        return kind(path)


def full(path: Path) -> int:
    """A disk that has room for another name, and for nothing else."""
    path.touch()
    return os.open("/dev/full", os.O_WRONLY)


class Pipe:
    """A file that holds 4 KiB until somebody reads them: a disk that can be made to hang or to break."""

    def __init__(self) -> None:
        self.written = b""
        self.end = threading.Event()
        self._read, self._write = os.pipe()
        fcntl.fcntl(self._write, fcntl.F_SETPIPE_SZ, 4096)

    def __call__(self, _: Path) -> int:
        return self._write

    def flow(self) -> None:
        """Read for ever, in a thread, so that the disk moves again."""
        threading.Thread(target=self._read_all, daemon=True).start()

    def _read_all(self) -> None:
        while some := os.read(self._read, 65536):
            self.written += some
        os.close(self._read)
        self.end.set()

    def snap(self) -> None:
        os.close(self._read)


async def test_u_01_after_a_failed_write_nothing_is_tried_before_its_time(tmp_path: Path) -> None:
    pipe = Pipe()
    disks = Disks(pipe, full)
    sink = file_sink(tmp_path, open_file=disks, retry_seconds=3600)
    await sink.start()
    pipe.snap()
    assert await refused(sink) == "Broken pipe"
    assert sink.healthy() == "Broken pipe"
    for number in range(100):
        await refused(sink, number)
        sink.post(entry(number, "outcome"))
        await asyncio.sleep(0)
    assert len(disks.opened) == 1
    await sink.close()


async def test_u_01_a_sink_gets_well_by_itself_and_keeps_what_was_posted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """/readyz takes the gateway out of service, so no call may be there to try again."""
    pipe = Pipe()
    disks = Disks(pipe, full, full, create)
    sink = file_sink(tmp_path, open_file=disks, retry_seconds=0.01)
    await sink.start()
    pipe.snap()
    results = await asyncio.gather(sink.write(entry(1)), post(sink, entry(2, "outcome")), return_exceptions=True)
    assert isinstance(results[0], CannotTell)
    sink.post(entry(3, "outcome"))
    await until(lambda: sink.healthy() is None)
    assert len(disks.opened) == 4
    await sink.write(entry(4))
    await sink.close()
    assert [path.name for path in reader.files(tmp_path)] == disks.opened[3:]
    assert records(tmp_path)[0]["after"] == disks.opened[0]
    assert entries(tmp_path) == [entry(2, "outcome"), entry(3, "outcome"), entry(4)]
    assert states(tmp_path) == ["closed"]
    assert caplog.messages == ["records cannot be written: Broken pipe", "records are written again"]


async def post(sink: FileSink, what: dict[str, Any]) -> None:
    sink.post(what)


async def test_u_01_a_posted_entry_that_fails_makes_the_next_write_fail(tmp_path: Path) -> None:
    pipe = Pipe()
    sink = file_sink(tmp_path, open_file=pipe, retry_seconds=3600)
    await sink.start()
    pipe.snap()
    sink.post(entry(1, "outcome"))
    await until(lambda: sink.healthy() is not None)
    assert await refused(sink) == "Broken pipe"
    await sink.close()


async def test_posted_entries_that_found_no_room_are_counted_in_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "KEPT_ENTRIES", 3)
    pipe = Pipe()
    sink = file_sink(tmp_path, open_file=Disks(pipe, create), retry_seconds=0.05)
    await sink.start()
    pipe.snap()
    await refused(sink)
    for number in range(5):
        sink.post(entry(number, "outcome"))
    await until(lambda: sink.healthy() is None)
    await sink.close()
    assert entries(tmp_path) == [*(entry(number, "outcome") for number in range(3)), {"event": "lost", "entries": 2}]


# a disk that hangs


async def test_u_01_a_disk_that_hangs_refuses_in_time_and_never_holds_the_loop(tmp_path: Path) -> None:
    pipe = Pipe()
    sink = file_sink(tmp_path, open_file=pipe, seconds=0.1)
    await sink.start()
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    turning = asyncio.ensure_future(turn())
    loop = asyncio.get_running_loop()
    began = loop.time()
    results = await asyncio.gather(
        sink.write({"event": "intent", "long": "x" * 8192}), sink.write(entry(1)), return_exceptions=True
    )
    assert [type(result) for result in results] == [CannotTell, CannotTell]
    assert 0.09 < loop.time() - began < 5
    assert sink.healthy() == "no answer in 0.1 s"
    began = loop.time()
    await refused(sink)
    assert loop.time() - began < 0.09  # at once: it is known to hang
    sink.post(entry(2, "outcome"))
    assert turns > 5
    pipe.flow()
    await until(lambda: sink.healthy() is None)
    await sink.write(entry(3))
    await sink.close()
    turning.cancel()


async def test_u_01_a_write_that_was_refused_while_it_waited_is_not_made_later(tmp_path: Path) -> None:
    """The call was not made, so there is nothing to record; what was posted did happen."""
    pipe = Pipe()
    sink = file_sink(tmp_path, open_file=pipe, seconds=0.1)
    await sink.start()
    first = asyncio.ensure_future(sink.write({"event": "intent", "long": "x" * 8192}))
    await until(lambda: sink._flight is not None)
    sink.post(entry(2, "outcome"))
    await refused(sink, 3)
    with pytest.raises(CannotTell):
        await first
    pipe.flow()
    await until(lambda: sink.healthy() is None)
    await sink.close()
    pipe.end.wait(60)
    assert b"rec_2" in pipe.written
    assert b"rec_3" not in pipe.written


async def test_u_01_what_waits_behind_a_slow_batch_is_written_after_it(tmp_path: Path) -> None:
    pipe = Pipe()
    sink = file_sink(tmp_path, open_file=pipe, seconds=5)
    await sink.start()
    first = asyncio.ensure_future(sink.write({"event": "intent", "long": "x" * 8192}))
    await until(lambda: sink._flight is not None)
    second = asyncio.ensure_future(sink.write(entry(1)))
    await asyncio.sleep(0)
    assert not first.done()
    pipe.flow()
    await asyncio.gather(first, second)
    await sink.close()


async def test_u_01_a_later_batch_that_hangs_is_found_in_its_own_time(tmp_path: Path) -> None:
    """One timer watches over all entries, and it is set before this one's."""
    pipe = Pipe()
    sink = file_sink(tmp_path, open_file=pipe, seconds=0.2)
    await sink.start()
    for number in range(5):
        await sink.write(entry(number))
    began = asyncio.get_running_loop().time()
    with pytest.raises(CannotTell):
        await sink.write({"event": "intent", "long": "x" * 8192})
    assert 0.19 < asyncio.get_running_loop().time() - began < 5
    pipe.flow()
    await until(lambda: sink.healthy() is None)
    await sink.close()


async def test_u_01_time_in_which_the_loop_stood_still_is_not_the_disks(tmp_path: Path) -> None:
    """As on a machine that was paused, where the thread stands still with it."""
    pipe = Pipe()
    sink = file_sink(tmp_path, open_file=pipe, seconds=1)
    await sink.start()
    waiting = asyncio.ensure_future(sink.write({"event": "intent", "long": "x" * 8192}))
    await until(lambda: sink._flight is not None)
    threading.Event().wait(1.1)  # and nothing runs on the loop
    pipe.flow()
    await waiting
    assert sink.healthy() is None
    await sink.close()


async def test_u_01_nor_is_that_in_which_it_stood_still_before_the_disk_was_asked(tmp_path: Path) -> None:
    """A server's long list must not cost another caller his call."""
    pipe = Pipe()
    sink = file_sink(tmp_path, open_file=pipe, seconds=0.2)
    await sink.start()
    await until(lambda: sink._watch is None)
    waiting = asyncio.ensure_future(sink.write({"event": "intent", "long": "x" * 8192}))
    threading.Event().wait(0.3)
    await until(lambda: sink._flight is not None)
    asyncio.get_running_loop().call_later(0.1, pipe.flow)
    await waiting
    assert sink.healthy() is None
    await sink.close()


async def test_u_01_a_file_that_hangs_when_it_is_opened_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    def open_fifo(path: Path) -> int:
        os.mkfifo(path)
        return os.open(path, os.O_WRONLY)  # waits for somebody to read

    sink = file_sink(tmp_path, open_file=open_fifo, seconds=0.1)
    with pytest.raises(ConfigError, match=r"no answer in 0\.1 s"):
        await sink.start()
    (path,) = reader.files(tmp_path)
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # let the thread go


async def test_closing_a_sink_that_hangs_ends_and_answers_everybody(tmp_path: Path) -> None:
    pipe = Pipe()
    sink = file_sink(tmp_path, open_file=pipe, seconds=0.2)
    await sink.start()
    waiting = asyncio.ensure_future(sink.write({"event": "intent", "long": "x" * 8192}))
    await until(lambda: sink._flight is not None)
    await sink.close()
    with pytest.raises(CannotTell):
        await waiting
    pipe.flow()


# cancellation


async def test_a_caller_that_leaves_takes_nobody_elses_record_along(tmp_path: Path) -> None:
    sink = file_sink(tmp_path)
    await sink.start()
    tasks = [asyncio.ensure_future(sink.write(entry(number))) for number in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[1::2] == [None] * 10
    await sink.close()
    assert entries(tmp_path) == [entry(number) for number in range(20)]


def test_the_loop_may_end_before_the_disk_answers(tmp_path: Path) -> None:
    pipe = Pipe()

    async def leave() -> FileSink:
        sink = file_sink(tmp_path, open_file=pipe, seconds=0.05)
        await sink.start()
        sink.post({"event": "outcome", "long": "x" * 8192})
        await sink.close()
        return sink

    asyncio.run(leave())
    pipe.flow()
