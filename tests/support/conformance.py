"""Runs the MCP conformance suite against an address and reads what it wrote down, so that two runs can be compared."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.parties import node_command, npm_file
from tests.support.process import ROOT

# From worst to best. A check that only informs is as good as one that was not needed.
RANK: Final = {"FAILURE": 0, "WARNING": 1, "SKIPPED": 2, "INFO": 2, "SUCCESS": 3}

# The timestamp that the suite puts after a scenario's name, as in `server-ping-2026-11-24T00-14-35-139Z`.
STAMP_LENGTH: Final = len("-2026-11-24T00-14-35-139Z")

# What a scenario may take, for the slowest machine. The suite's own 30 seconds are too few for a client that has to be started.
_PATIENCE: Final = ("--timeout", "120000")


@dataclass(frozen=True, slots=True, order=True)
class Check:
    """One check of one scenario; `number` tells those apart that share an id."""

    scenario: str
    id: str
    number: int

    def __str__(self) -> str:
        return f"{self.scenario}: {self.id}" + (f" ({self.number + 1})" if self.number else "")


@dataclass(frozen=True, slots=True)
class Result:
    """What a check came to. status: a key of RANK. why: the suite's message, empty where there is none."""

    status: str
    why: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the suite. passed: its own verdict over the scenarios that the revision requires."""

    passed: bool
    results: Mapping[Check, Result]
    output: str


def run(url: str, requirements: str, folder: Path, seconds: float = 240) -> Run:
    """Runs the scenarios that a protocol revision requires. folder: empty, for what the suite writes."""
    command = node_command(
        npm_file("conformance"), "server", "--url", url, "--requirements", requirements, "-o", folder, *_PATIENCE
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    return Run(done.returncode == 0, _read(folder, "server-"), done.stdout + done.stderr)


def run_client(command: Sequence[str], scenario: str, folder: Path, seconds: float = 240) -> Run:
    """Runs one scenario for clients. command: the client, which gets the address of the suite's server as its last argument."""
    words = node_command(
        npm_file("conformance"),
        *("client", "--command", shlex.join(command), "--scenario", scenario, "-o", folder, *_PATIENCE),
    )
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    return Run(done.returncode == 0, _read(folder), done.stdout + done.stderr)


def _read(folder: Path, prefix: str = "") -> dict[Check, Result]:
    results: dict[Check, Result] = {}
    for path in sorted(folder.rglob("checks.json")):
        scenario = str(path.parent.relative_to(folder)).removeprefix(prefix)[:-STAMP_LENGTH]
        seen: Counter[str] = Counter()
        for check in json.loads(path.read_text()):
            results[Check(scenario, check["id"], seen[check["id"]])] = Result(
                check["status"], check.get("errorMessage") or ""
            )
            seen[check["id"]] += 1
    return results


def compare(bare: Run, through: Run) -> tuple[list[str], list[str]]:
    """What is worse and what is better through the gateway, one line each. Both empty: the same."""
    worse: list[str] = []
    better: list[str] = []
    nothing = Result("SKIPPED", "this check was not made")
    for check in sorted({*bare.results, *through.results}):
        before, after = bare.results.get(check, nothing), through.results.get(check, nothing)
        line = f"{check}: {before.status} -> {after.status} {after.why or before.why}"
        if RANK[after.status] < RANK[before.status]:
            worse.append(line)
        elif RANK[after.status] > RANK[before.status]:
            better.append(line)
    return worse, better
