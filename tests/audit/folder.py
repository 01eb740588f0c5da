"""What tests read of a folder of records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from counterseal.audit import reader

CHAIN = ("v", "seq", "time", "writer", "prev", "sum")


def records(folder: Path) -> list[dict[str, Any]]:
    """Every whole line of every file, the oldest file first."""
    found = []
    for path in reader.files(folder):
        found += [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    return found


def entries(folder: Path) -> list[dict[str, Any]]:
    """The entries as they were given, without those that a file opens and closes with."""
    found = [{name: value for name, value in record.items() if name not in CHAIN} for record in records(folder)]
    return [entry for entry in found if entry["event"] not in ("open", "close")]


def states(folder: Path) -> list[str]:
    """The state of every file, the oldest first."""
    return [report.state for _, report in reader.verify(folder).files]
