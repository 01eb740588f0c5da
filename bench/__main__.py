"""One run: everything is measured in turn, round after round, and the medians are compared with each other.

Exit code 0: no target was missed. 1: one was, the gateway did not start, or calls failed. 2: this machine cannot run it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import resource
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench import callers, claims, listing, processes, report, signing, streams, verifying
from bench.call import TOOL, request_body, request_headers
from bench.idp import IdentityProvider
from bench.load import LoadFailed, Party, measure
from bench.machine import Cores


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured. seconds: whole seconds of load, for each party, connection count and round. verifications: times a
    few tokens, in each round."""

    rounds: int
    seconds: int
    warm_up: int
    signing_seconds: float
    verifications: int
    streams: int
    repeats: int


THOROUGH = Effort(rounds=3, seconds=3, warm_up=1, signing_seconds=0.5, verifications=60, streams=500, repeats=15)
QUICK = Effort(rounds=1, seconds=1, warm_up=1, signing_seconds=0.2, verifications=20, streams=200, repeats=3)


class WrongAnswer(Exception):
    """A party does not answer the call as the answering server does, so its speed would mean nothing."""


def run(effort: Effort, folder: Path) -> report.Run:
    """Measure everything that this machine has. folder: an empty one for configurations, logs, keys and records."""
    seen = report.Run()
    cores = Cores.of_this_machine()
    with ExitStack() as running:
        answer = running.enter_context(processes.answering_server(cores.answer, folder))
        parties = [Party(report.ALONE, answer.url, answer.pid, {})]
        program = processes.nginx_path()
        if program is None:
            seen.missing.append("nginx is not installed (`apt-get install nginx`): nothing is measured against it")
        else:
            started = running.enter_context(processes.nginx(program, answer.url, cores.tested, folder))
            parties.append(Party(report.NGINX, started.url, started.pid, {}))
        if shutil.which("wrk") is None:
            seen.missing.append("wrk is not installed (`apt-get install wrk`): the load is that of bench/generator.py")
        try:
            seen.stream_bytes = _streams(answer.url, cores, folder, effort.streams)
        except (processes.NotStarted, streams.StreamRefused, OSError) as fault:
            seen.faults.append(f"idle streams: {fault}")
        try:
            started = running.enter_context(processes.gateway(answer.url, cores.tested, folder / "gateway"))
            parties += _gateway_parties(started)
            parties.append(_of_all(started))
        except processes.NotStarted as fault:
            seen.faults.append(f"the gateway did not start: {fault}")
        for party in parties:
            _check(party)
            measure(party, connections=32, seconds=effort.warm_up, cores=cores, answer=answer.pid, folder=folder)
        sign, build = signing.signers(), claims.building()
        for number in range(effort.rounds):
            _say(f"round {number + 1} of {effort.rounds}")
            for algorithm, once in sign.items():
                rate = signing.rate(once, seconds=effort.signing_seconds, core=cores.tested)
                seen.signing.setdefault(algorithm, []).append(rate)
            seen.claims.append(claims.microseconds(build, seconds=effort.signing_seconds, core=cores.tested))
            seen.verifying.append(verifying.costs(rounds=effort.verifications, core=cores.tested))
            seen.remembered.append(verifying.claims_per_second(core=cores.tested))
            for connections in report.CONNECTIONS:
                for party in parties:
                    figures = measure(
                        party,
                        connections=connections,
                        seconds=effort.seconds,
                        cores=cores,
                        answer=answer.pid,
                        folder=folder,
                    )
                    seen.calls.setdefault((party.name, connections), []).append(figures)
        try:
            seen.listing = listing.milliseconds(answer.url, cores.tested, folder / "gateway-listing", effort.repeats)
        except listing.NotListed as fault:
            seen.faults.append(f"the list of all servers: {fault}")
        try:
            _callers(seen, effort, answer, cores, folder)
        except processes.NotStarted as fault:
            seen.faults.append(f"the gateway for callers of all kinds did not start: {fault}")
    return seen


def _callers(seen: report.Run, effort: Effort, answer: processes.Started, cores: Cores, folder: Path) -> None:
    """On a gateway of its own, so that what it keeps of callers is in nobody else's memory."""
    _say("callers of all kinds")
    with ExitStack() as running:
        idp = running.enter_context(IdentityProvider())
        who = callers.configuration(idp)
        own = folder / "gateway-callers"
        started = running.enter_context(processes.gateway(answer.url, cores.tested, own, who))
        parties = callers.parties(started, idp)
        for party in parties[:-1]:
            _check(party)
        for number in range(effort.rounds + 1):
            for party in parties:
                figures = measure(
                    party,
                    connections=report.CALLER_CONNECTIONS,
                    seconds=effort.seconds if number else effort.warm_up,
                    cores=cores,
                    answer=answer.pid,
                    folder=folder,
                )
                if number:
                    seen.callers.setdefault(party.name, []).append(figures)
        seen.identify = callers.identifying(started, idp, cores.tested, effort.repeats)


def _streams(answer: str, cores: Cores, folder: Path, count: int) -> float:
    """On a gateway of its own, which has carried no load (see streams.bytes_per_stream)."""
    _say(f"{count} idle streams")
    with processes.gateway(answer, cores.tested, folder / "gateway-streams") as started:
        return streams.bytes_per_stream(_gateway_parties(started)[0], count)


def _gateway_parties(started: processes.Started) -> list[Party]:
    return [
        Party(report.gateway(algorithm), f"{started.url}/mcp/{algorithm.lower()}", started.pid, started.headers)
        for algorithm in signing.ALGORITHMS
    ]


def _of_all(started: processes.Started) -> Party:
    """The ES256 server's tool at the address of all servers."""
    return Party(report.ALL_SERVERS, f"{started.url}/mcp", started.pid, started.headers, tool=f"es256__{TOOL}")


def _check(party: Party) -> None:
    """One call, read in full: a refusal is quick, so it must not be taken for speed."""
    place = urlsplit(party.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
    connection.request(
        "POST", place.path or "/", request_body(party.tool), {**request_headers(party.tool), **party.headers}
    )
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    try:
        message = json.loads(body)
        right = answer.status == 200 and message["id"] == 1 and message["result"]["resultType"] == "complete"
    except (ValueError, KeyError, TypeError):
        right = False
    if not right:
        raise WrongAnswer(f"{party.name} answered the call with {answer.status}: {body[:400]!r}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _machine() -> str:
    cores = Cores.of_this_machine()
    load = "bench/generator.py" if shutil.which("wrk") is None else "wrk"
    busy = os.getloadavg()[0]
    said = (
        f"Python {platform.python_version()}, {os.cpu_count()} cores: measured on core {cores.tested}, "
        f"{load} on core {cores.load}, answers on core {cores.answer}"
    )
    return said if busy < 0.5 else f"{said}\nother programs were busy when this run began (load average {busy:.1f})"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of one second: does it run, not how fast is it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    options = parser.parse_args(arguments)
    if not sys.platform.startswith("linux"):
        _say("the bench pins processes to cores and reads /proc: it needs Linux")
        return 2
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    # Ended from outside, the run still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    machine = _machine()
    with tempfile.TemporaryDirectory(prefix="counterseal-bench-") as folder:
        try:
            seen = run(QUICK if options.quick else THOROUGH, Path(folder))
        except (processes.NotStarted, LoadFailed, WrongAnswer, OSError) as problem:
            _say(f"{type(problem).__name__}: {problem}")
            return 1
    print(f"{machine}\n\n{report.text(seen)}")
    if options.json is not None:
        options.json.write_text(json.dumps(report.as_json(seen), indent=2) + "\n")
    return 1 if report.failed(seen) else 0


if __name__ == "__main__":
    sys.exit(main())
