"""What the kernel knows about a process: where it may run, what CPU it has used, what memory it holds. Linux only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core each side runs on. With two cores the load and the answering server share one; with one, all do."""

    tested: int
    load: int
    answer: int

    @property
    def all(self) -> frozenset[int]:
        return frozenset((self.tested, self.load, self.answer))

    @classmethod
    def of_this_machine(cls) -> Cores:
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[0], cores[min(1, len(cores) - 1)], cores[min(2, len(cores) - 1)])


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Hold this process, and every process started meanwhile, to one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its living descendants so far; ten milliseconds is the usual resolution."""
    return sum(_ticks(member) for member in family(pid)) / _TICK


def busy_seconds(cores: Iterable[int]) -> float:
    """Time that these cores spent in programs of any kind so far; interrupts are left out."""
    wanted = {f"cpu{core}" for core in cores}
    lines = (line.split() for line in Path("/proc/stat").read_text().splitlines())
    return sum(sum(map(int, fields[1:4])) for fields in lines if fields and fields[0] in wanted) / _TICK


def resident_bytes(pid: int) -> int:
    """The resident memory (VmRSS) of the largest process among a process and its descendants."""
    return max((_resident(member) for member in family(pid)), default=0)


def family(pid: int) -> list[int]:
    """A process and its living descendants."""
    members = [pid]
    for member in members:
        try:
            for task in Path(f"/proc/{member}/task").iterdir():
                members += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return members


def _ticks(pid: int) -> int:
    try:
        # The name in brackets may hold anything, so fields are counted from the last bracket (proc(5)): utime, stime.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _resident(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)
