"""LiteLLM with its own signer, and Counterseal: the same call, to the same server, by the same client, in turn in one run.

    python -m bench.litellm [--quick] [--json FILE]

LiteLLM runs as its own environment has it (`tests/parties/litellm/install.sh`), without a database, with `mcp_jwt_signer`; once
with what it speaks to servers by default and once with revision 2026-07-28. Counterseal runs as `counterseal serve`, with a
store, a policy and a record of each call, which LiteLLM does not keep. Both sign with RS256, since LiteLLM has nothing else.
Each has a core, and the load and the server share another.

Exit code 0: every promise was kept. 1: one was not, or a party did not answer as it should. 2: LiteLLM is not installed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bench import processes
from bench.call import TOOL, request_body, request_headers
from bench.load import Figures, LoadFailed, Party, measure
from bench.machine import Cores
from bench.report import Target, medians, table, targets_table

LITELLM: Final = "LiteLLM"
LITELLM_MODERN: Final = "LiteLLM, 2026-07-28 to servers"
COUNTERSEAL: Final = "Counterseal RS256"
COUNTERSEAL_ES256: Final = "Counterseal ES256"
IN_FLIGHT: Final = (1, 16)
_SIGNER: Final = {
    "guardrail": "mcp_jwt_signer",
    "mode": "pre_mcp_call",
    "default_on": True,
    "issuer": "http://127.0.0.1",
    "audience": "mcp",
}

Seen = dict[tuple[str, int], list[Figures]]


class WrongAnswer(Exception):
    """A party does not answer the call as the server does, so its speed would mean nothing."""


def configuration(server: str, counted: str) -> dict[str, Any]:
    """Of LiteLLM's file: the same server by two revisions, and one that counts by each."""
    entry = {"transport": "http", "allow_all_keys": True}
    modern = {**entry, "protocol_version": "2026-07-28"}
    return {
        "mcp_servers": {
            "plain": {**entry, "url": f"{server}/plain"},
            "modern": {**modern, "url": f"{server}/modern"},
            "countplain": {**entry, "url": f"{counted}/plain"},
            "countmodern": {**modern, "url": f"{counted}/modern"},
        },
        "guardrails": [{"guardrail_name": "signer", "litellm_params": _SIGNER}],
    }


def run(interpreter: Path, folder: Path, *, rounds: int, seconds: int) -> tuple[Seen, dict[str, list[str]]]:
    """The figures of each party, and which requests one call makes at the server. Raises NotStarted, WrongAnswer,
    LoadFailed."""
    cores = Cores.of_this_machine()
    seen: Seen = {}
    with ExitStack() as running:
        answer = running.enter_context(processes.answering_server(cores.answer, folder))
        counted = running.enter_context(processes.answering_server(cores.answer, folder, "--count"))
        theirs = running.enter_context(
            processes.litellm(interpreter, configuration(answer.url, counted.url), cores.tested, folder / "litellm")
        )
        ours = running.enter_context(processes.gateway(answer.url, cores.tested, folder / "gateway"))
        counting = running.enter_context(processes.gateway(counted.url, cores.tested, folder / "counting"))

        def of_litellm(name: str, server: str) -> Party:
            return Party(name, f"{theirs.url}/mcp/{server}", theirs.pid, theirs.headers)

        parties = [
            of_litellm(LITELLM, "plain"),
            of_litellm(LITELLM_MODERN, "modern"),
            Party(COUNTERSEAL, f"{ours.url}/mcp/rs256", ours.pid, ours.headers),
            Party(COUNTERSEAL_ES256, f"{ours.url}/mcp/es256", ours.pid, ours.headers),
        ]
        looks = [
            of_litellm(LITELLM, "countplain"),
            of_litellm(LITELLM_MODERN, "countmodern"),
            Party(COUNTERSEAL, f"{counting.url}/mcp/rs256", counting.pid, counting.headers),
            Party(COUNTERSEAL_ES256, f"{counting.url}/mcp/es256", counting.pid, counting.headers),
        ]
        requests = {party.name: _requests(party, counted.url) for party in looks}
        for party in parties:
            _check(party)
            measure(party, connections=1, seconds=1, cores=cores, answer=answer.pid, folder=folder)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            for in_flight in IN_FLIGHT:
                for party in parties:
                    figures = measure(
                        party, connections=in_flight, seconds=seconds, cores=cores, answer=answer.pid, folder=folder
                    )
                    seen.setdefault((party.name, in_flight), []).append(figures)
    return seen, requests


def _requests(party: Party, counted: str) -> list[str]:
    """What one more call makes at the server, once everything is warm."""
    _check(party)
    before = len(_settled(counted))
    _check(party)
    return _settled(counted)[before:]


def _settled(counted: str) -> list[str]:
    """What the server has seen, when nothing more comes: LiteLLM ends its sessions after it has answered."""
    seen: list[str] | None = None
    while True:
        with urllib.request.urlopen(f"{counted}/seen", timeout=10) as answer:
            now: list[str] = json.load(answer)
        if now == seen:
            return now
        seen = now
        time.sleep(1)


def _check(party: Party) -> None:
    """One call, read in full: a refusal is quick, so it must not be taken for speed."""
    place = urlsplit(party.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    connection.request("POST", place.path, request_body(), {**request_headers(), **party.headers})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status != 200 or "Hamburg: 11 degrees" not in text or '"isError":true' in text.replace(" ", ""):
        raise WrongAnswer(f"{party.name} answered the call of {TOOL} with {answer.status}: {text[:400]!r}")


def targets(seen: Mapping[tuple[str, int], Sequence[Figures]], requests: Mapping[str, Sequence[str]]) -> list[Target]:
    """The promises: against whichever LiteLLM is the better one in each."""

    def best(name: str, in_flight: int, *, most: bool) -> float:
        values = [getattr(medians(seen[party, in_flight]), name) for party in (LITELLM, LITELLM_MODERN)]
        return max(values) if most else min(values)

    def ours(name: str, in_flight: int) -> float:
        return float(getattr(medians(seen[COUNTERSEAL, in_flight]), name))

    theirs = best("calls_per_second", 16, most=True)
    calls = ours("calls_per_second", 16) / theirs if theirs else None  # None: it answered nothing in that time
    p50 = max(ours("p50_ms", n) / best("p50_ms", n, most=False) for n in IN_FLIGHT)
    rss = max(ours("rss_mb", n) / best("rss_mb", n, most=False) for n in IN_FLIGHT)
    return [
        Target("calls/s at 16 in flight, of LiteLLM's", calls, 50, at_least=True, unit=" times"),
        Target("p50, the worse of 1 and 16 in flight, of LiteLLM's", p50, 0.1, at_least=False),
        Target("memory, of LiteLLM's", rss, 1 / 3, at_least=False),
        Target("requests at the server for one call", float(len(requests[COUNTERSEAL])), 1, at_least=False),
    ]


def figures_table(
    seen: Mapping[tuple[str, int], Sequence[Figures]], requests: Mapping[str, Sequence[str]]
) -> list[list[str]]:
    """Rows of the report, the head first."""
    rows = [["one core", "in flight", "calls/s", "p50 ms", "p99 ms", "CPU us/call", "RSS MB", "requests for one call"]]
    for (party, in_flight), figures in sorted(seen.items(), key=lambda one: one[0][1]):
        row = medians(figures)
        rows.append(
            [
                party,
                str(in_flight),
                f"{row.calls_per_second:,.1f}" if row.calls_per_second < 100 else f"{row.calls_per_second:,.0f}",
                f"{row.p50_ms:,.2f}",
                f"{row.p99_ms:,.2f}",
                f"{row.cpu_us:,.0f}",
                f"{row.rss_mb:,.0f}",
                str(len(requests[party])),
            ]
        )
    return rows


def failures(seen: Mapping[tuple[str, int], Sequence[Figures]]) -> list[str]:
    """A sentence for each party that refused or broke calls: its speed means nothing then."""
    rows = [(f"{party} at {in_flight}", medians(figures)) for (party, in_flight), figures in seen.items()]
    return [
        f"{name}: {row.failed} answers with an error status, {row.broken} connections broken or timed out"
        for name, row in rows
        if row.failed or row.broken
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.litellm", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one round of five seconds: does it run, not how fast is it"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    options = parser.parse_args(arguments)
    interpreter = processes.litellm_interpreter()
    if interpreter is None:
        print("LiteLLM is not installed: sh tests/parties/litellm/install.sh", file=sys.stderr)
        return 2
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="counterseal-bench-") as folder:
        try:
            rounds, seconds = (1, 5) if options.quick else (3, 10)
            seen, requests = run(interpreter, Path(folder), rounds=rounds, seconds=seconds)
        except (processes.NotStarted, LoadFailed, WrongAnswer, OSError) as problem:
            print(f"{type(problem).__name__}: {problem}", file=sys.stderr)
            return 1
    promised = targets(seen, requests)
    others = [f"{party}: {', '.join(made)}" for party, made in requests.items()]
    parts = [
        table(figures_table(seen, requests)),
        "One call makes, at the server:\n" + "\n".join(others),
        *failures(seen),
    ]
    if busy >= 0.5:
        parts.append(f"other programs were busy when this run began (load average {busy:.1f})")
    print("\n\n".join([*parts, targets_table(promised)]))
    if options.json is not None:
        whole = {f"{party} at {n}": asdict(medians(figures)) for (party, n), figures in seen.items()}
        options.json.write_text(json.dumps({"figures": whole, "requests": requests}, indent=2) + "\n")
    return 1 if failures(seen) or any(target.missed for target in promised) else 0


if __name__ == "__main__":
    sys.exit(main())
