"""From measurements to medians, a table and a verdict on each target. Pure: no process, no clock, no file."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.load import Figures

ALONE = "no proxy"
NGINX = "nginx"
CONNECTIONS = (1, 32, 256)
ALL_SERVERS = "gateway ES256, at /mcp"

ANONYMOUS = "anonymous"
API_KEY = "API key"
CACHED = "IdP token, cached"
CACHED_MANY = "IdP token, cached, 1000 in turn"
NEW = "IdP token, new"
CHECK = "bare ES256 check"
CALLER_CONNECTIONS = 32

FULL_CORE = 0.95
"""From this share on, a party's own core set its pace."""
CROWDED = 0.10
"""From this much of a core on, other programs have a say in the figures."""


@dataclass(slots=True)
class Run:
    """All that one run measured. Keys of `calls` are (party, connections); of `signing`, algorithms (signatures a second); of
    `callers`, kinds of caller; of `identify` too (microseconds of CPU).

    claims: microseconds to build those of one call. listing: milliseconds for a kept list of all servers. verifying: microseconds
    of CPU for one ES256 token, by ours with everything on and by joserfc's check of the signature alone. remembered: used tokens
    in a second. stream_bytes: None where it was not measured. missing: what this machine lacks. faults: what the gateway did not
    do that it has to; with one, the run has failed. A sentence each.
    """

    calls: dict[tuple[str, int], list[Figures]] = field(default_factory=dict)
    callers: dict[str, list[Figures]] = field(default_factory=dict)
    identify: dict[str, float] = field(default_factory=dict)
    signing: dict[str, list[float]] = field(default_factory=dict)
    verifying: list[tuple[float, float]] = field(default_factory=list)
    remembered: list[float] = field(default_factory=list)
    claims: list[float] = field(default_factory=list)
    listing: list[float] = field(default_factory=list)
    stream_bytes: float | None = None
    missing: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def figures(self, party: str, connections: int) -> Figures | None:
        seen = self.calls.get((party, connections))
        return medians(seen) if seen else None

    def caller(self, kind: str) -> Figures | None:
        seen = self.callers.get(kind)
        return medians(seen) if seen else None

    def rate(self, algorithm: str) -> float | None:
        seen = self.signing.get(algorithm)
        return statistics.median(seen) if seen else None

    @property
    def of_one_address(self) -> float | None:
        """What a call costs at the address of all servers, as a multiple of the same call at its server's: the median over the
        rounds, which measure both in turn."""
        here, there = (self.calls.get((party, 32), []) for party in (ALL_SERVERS, gateway("ES256")))
        shares = [one.cpu_us / other.cpu_us for one, other in zip(here, there, strict=False) if other.cpu_us]
        return statistics.median(shares) if shares else None

    @property
    def of_joserfc(self) -> float | None:
        """What ours costs, as a multiple of the bare check: the median over the rounds."""
        return statistics.median(ours / theirs for ours, theirs in self.verifying) if self.verifying else None


@dataclass(frozen=True, slots=True)
class Target:
    """A promise. measured: None where it was not measured. unit: printed after the figures, with its blank."""

    text: str
    measured: float | None
    bound: float
    at_least: bool
    unit: str = ""

    @property
    def missed(self) -> bool:
        if self.measured is None:
            return False
        return self.measured < self.bound if self.at_least else self.measured > self.bound

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return "not measured"
        return "MISSED" if self.missed else "ok"


def medians(seen: Sequence[Figures]) -> Figures:
    """Each figure's median over the rounds; failures add up, memory is the largest."""
    values: dict[str, Any] = {
        name: statistics.median(getattr(one, name) for one in seen)
        for name in ("calls_per_second", "p50_ms", "p99_ms", "cpu_us", "busy", "others")
    }
    return Figures(
        **values,
        rss_mb=max(one.rss_mb for one in seen),
        failed=sum(one.failed for one in seen),
        broken=sum(one.broken for one in seen),
    )


def gateway(algorithm: str) -> str:
    """The name of the gateway's row."""
    return f"gateway {algorithm}"


def full_rate(figures: Figures, connections: int) -> float:
    """Calls a second with the party's core fully used.

    Where something else set the pace, the rate that was seen is too small for the party; its CPU a call says what the
    whole core would give. With one connection the pace is the round trip's, for every party alike: left as it is.
    """
    if connections == 1 or figures.busy >= FULL_CORE or not figures.cpu_us:
        return figures.calls_per_second
    return max(figures.calls_per_second, 1e6 / figures.cpu_us)


def targets(run: Run) -> list[Target]:
    """The promises, each with the worst figure that it is about."""
    es256 = [share for n in CONNECTIONS if (share := of_nginx(run, gateway("ES256"), n)) is not None]
    rs256 = [share for n in CONNECTIONS[1:] if (share := of_signing(run, "RS256", n)) is not None]
    rss = [row.rss_mb for (party, _), seen in run.calls.items() if party.startswith("gateway ") for row in seen]
    remembered = statistics.median(run.remembered) if run.remembered else None
    stream = None if run.stream_bytes is None else run.stream_bytes / 1e3
    claims = statistics.median(run.claims) if run.claims else None
    cached = [run.identify[kind] for kind in (CACHED, CACHED_MANY) if kind in run.identify]
    return [
        Target("ES256 calls/s, of nginx's", min(es256, default=None), 0.06, at_least=True),
        Target("RS256 calls/s, of bare RS256 signatures/s", min(rs256, default=None), 0.40, at_least=True),
        Target("memory of a worker", max(rss, default=None), 120, at_least=False, unit=" MB"),
        Target("memory of an idle stream", stream, 40, at_least=False, unit=" kB"),
        Target("building 20 configured claims", claims, 25, at_least=False, unit=" us"),
        Target("telling a cached caller", max(cached, default=None), 15, at_least=False, unit=" us"),
        Target("ES256 verification, of joserfc's bare check", run.of_joserfc, 1.3, at_least=False),
        Target("used tokens remembered/s", remembered, 50_000, at_least=True),
        Target("CPU of a call at /mcp, of one at /mcp/{server}", run.of_one_address, 1.2, at_least=False),
        Target(
            "tools/list at /mcp, 20 servers of 50 tools, kept",
            statistics.median(run.listing) if run.listing else None,
            5,
            at_least=False,
            unit=" ms",
        ),
    ]


def of_nginx(run: Run, party: str, connections: int) -> float | None:
    """A party's calls a second as a share of nginx's at the same connections; None where one of both is missing."""
    if party == ALONE:
        return None
    ours, nginx = run.figures(party, connections), run.figures(NGINX, connections)
    if ours is None or nginx is None:
        return None
    return _seen_rate(ours, connections) / full_rate(nginx, connections)


def of_signing(run: Run, algorithm: str, connections: int) -> float | None:
    """The gateway's calls a second as a share of the bare signing rate; None where one of both is missing."""
    ours, rate = run.figures(gateway(algorithm), connections), run.rate(algorithm)
    return None if ours is None or rate is None else _seen_rate(ours, connections) / rate


def _seen_rate(figures: Figures, connections: int) -> float:
    """The gateway's rate as it was seen: what it waits for is its own doing. Only where other programs used the same cores
    is it, like the rates that it is compared with, taken to a full core."""
    return full_rate(figures, connections) if figures.others >= CROWDED else figures.calls_per_second


def failed(run: Run) -> bool:
    """Whether the run as a whole is a failure: a target missed, calls refused or broken, a fault of the gateway."""
    return bool(run.faults or failures(run) or any(target.missed for target in targets(run)))


def failures(run: Run) -> list[str]:
    """A sentence for each party that refused or broke calls: its speed means nothing then."""
    rows = [(f"{party} at {connections}", medians(seen)) for (party, connections), seen in run.calls.items()]
    rows += [(f"as {kind}", medians(seen)) for kind, seen in run.callers.items()]
    return [
        f"{name}: {row.failed} answers with an error status, {row.broken} connections broken or timed out"
        for name, row in rows
        if row.failed or row.broken
    ]


def bottlenecks(run: Run) -> list[str]:
    """Where the answering side, the load or another program, not the party, set the pace: a sentence each."""
    said = []
    for party, connections in run.calls:
        row = run.figures(party, connections)
        if row is None or party == ALONE or connections == 1 or row.busy >= FULL_CORE:
            continue
        sentence = f"{party} at {connections}: used {row.busy:.0%} of its core, so something else set the pace"
        if party == NGINX:
            sentence += f"; ratios are taken to the {full_rate(row, connections):,.0f} calls/s of a full core"
        said.append(sentence)
    return said


def crowd(run: Run) -> list[str]:
    """A sentence where programs that are no part of the bench used its cores too."""
    seen = [row.others for rows in (*run.calls.values(), *run.callers.values()) for row in rows]
    others = statistics.median(seen) if seen else 0.0
    if others < CROWDED:
        return []
    said = f"other programs took {others:.2f} of the bench's cores meanwhile, so ratios are of CPU"
    return [f"{said}: run it again when they have ended"]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need be, the first to the left and the others to the right. The first row is the head."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if n else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def text(run: Run) -> str:
    """The whole report."""
    parts = [_signing_table(run), _verifying_table(run), _calls_table(run)]
    if run.stream_bytes is not None:
        parts.append(f"idle event stream: {run.stream_bytes / 1e3:.1f} kB of the gateway's memory each")
    parts.append(_callers_table(run))
    notes = [*bottlenecks(run), *crowd(run), *failures(run), *run.missing, *run.faults]
    if notes:
        parts.append("\n".join(notes))
    parts.append(targets_table(targets(run)))
    parts.append(
        "Read the ratios: both sides of each were measured in turn in this run. The absolute figures mean little on a\n"
        "shared machine and nothing on another one."
    )
    return "\n\n".join(part for part in parts if part)


def as_json(run: Run) -> dict[str, Any]:
    """The same as data: medians, targets, notes."""
    return {
        "signing": {algorithm: run.rate(algorithm) for algorithm in run.signing},
        "verifying": [{"ours_us": ours, "joserfc_us": theirs} for ours, theirs in run.verifying],
        "remembered": run.remembered,
        "calls": [
            {"party": party, "connections": connections, **_row_json(run, party, connections)}
            for party, connections in run.calls
        ],
        "claims": run.claims,
        "listing": run.listing,
        "callers": [{"caller": kind, **asdict(medians(seen))} for kind, seen in run.callers.items()],
        "identify": run.identify,
        "stream_bytes": run.stream_bytes,
        "targets": [{**asdict(target), "verdict": target.verdict} for target in targets(run)],
        "bottlenecks": bottlenecks(run),
        "crowd": crowd(run),
        "failures": failures(run),
        "missing": run.missing,
        "faults": run.faults,
    }


def _row_json(run: Run, party: str, connections: int) -> Mapping[str, Any]:
    row = run.figures(party, connections)
    return {} if row is None else {**asdict(row), "of_nginx": of_nginx(run, party, connections)}


def _signing_table(run: Run) -> str:
    rows = [("bare signing, one core", "signatures/s", "us each")]
    for algorithm in run.signing:
        rate = run.rate(algorithm) or 0.0
        rows.append((algorithm, f"{rate:,.0f}", f"{1e6 / rate:,.0f}" if rate else "-"))
    return table(rows) if len(rows) > 1 else ""


def _verifying_table(run: Run) -> str:
    if not run.verifying:
        return ""
    ours, theirs = (statistics.median(each) for each in zip(*run.verifying, strict=True))
    rows = [
        ("verifying one ES256 token, one core", "us each"),
        ("counterseal.verify, everything on", f"{ours:,.0f}"),
        ("joserfc, the signature alone", f"{theirs:,.0f}"),
    ]
    return table(rows)


def _calls_table(run: Run) -> str:
    head = (
        "one core",
        "connections",
        "calls/s",
        "p50 ms",
        "p99 ms",
        "CPU us/call",
        "core used",
        "RSS MB",
        "of nginx",
        "of signing",
    )
    rows: list[Sequence[str]] = [head]
    for party, connections in sorted(run.calls, key=lambda key: key[1]):
        row = run.figures(party, connections)
        if row is None:
            continue
        algorithm = party.removeprefix("gateway ")
        rows.append(
            (
                party,
                str(connections),
                f"{row.calls_per_second:,.0f}",
                f"{row.p50_ms:,.2f}",
                f"{row.p99_ms:,.2f}",
                f"{row.cpu_us:,.0f}",
                f"{row.busy:.0%}",
                f"{row.rss_mb:,.0f}",
                _share(of_nginx(run, party, connections)),
                _share(of_signing(run, algorithm, connections)),
            )
        )
    return table(rows) if len(rows) > 1 else ""


def _callers_table(run: Run) -> str:
    """Each kind of caller: its calls through a gateway, and what the telling alone takes in this process."""
    head = ("who calls", "calls/s", "p99 ms", "CPU us/call", "more than anonymous", "RSS MB", "Identify alone, us")
    rows: list[Sequence[str]] = [head]
    least = run.caller(ANONYMOUS)
    for kind in dict.fromkeys((*run.callers, *run.identify)):
        row, alone = run.caller(kind), run.identify.get(kind)
        seen = ("-",) * 5
        if row is not None:
            more = "-" if least is None else f"{row.cpu_us - least.cpu_us:+,.0f}"
            rate, p99, cpu, rss = row.calls_per_second, row.p99_ms, row.cpu_us, row.rss_mb
            seen = (f"{rate:,.0f}", f"{p99:,.2f}", f"{cpu:,.0f}", more, f"{rss:,.0f}")
        rows.append((kind, *seen, "-" if alone is None else f"{alone:,.1f}"))
    return table(rows) if len(rows) > 1 else ""


def targets_table(promised: Sequence[Target]) -> str:
    rows = [("target", "promised", "measured", "verdict")]
    for one in promised:
        bound = f"{'at least' if one.at_least else 'at most'} {_bound(one.bound)}{one.unit}"
        measured = "-" if one.measured is None else f"{_figure(one.measured)}{one.unit}"
        rows.append((one.text, bound, measured, one.verdict))
    return table(rows)


def _bound(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
