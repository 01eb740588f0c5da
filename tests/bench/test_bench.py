"""The bench's own arithmetic: figures read, medians taken, targets judged, tables drawn; and one live call."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bench import answer, call, claims, generator, listing, load, processes, report, verifying

ROOT = Path(__file__).parents[2]


def figures(**changes: float) -> load.Figures:
    values = {
        "calls_per_second": 1000.0,
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "cpu_us": 900.0,
        "busy": 1.0,
        "rss_mb": 50.0,
        "others": 0.0,
    }
    return load.Figures(**{**values, "failed": 0, "broken": 0, **changes})  # type: ignore[arg-type]


def a_run(*, nginx: float = 10_000, es256: float = 800, rs256: float = 450, rss: float = 100) -> report.Run:
    run = report.Run(signing={"RS256": [1000.0]}, stream_bytes=30_000, claims=[20.0], identify={report.CACHED: 8.0})
    run.verifying = [(120.0, 100.0)]
    run.remembered = [60_000.0]
    run.listing = [1.5]
    for connections in report.CONNECTIONS:
        run.calls[report.NGINX, connections] = [figures(calls_per_second=nginx)]
        run.calls[report.gateway("ES256"), connections] = [figures(calls_per_second=es256, rss_mb=rss)]
        run.calls[report.gateway("RS256"), connections] = [figures(calls_per_second=rs256, rss_mb=rss)]
        run.calls[report.ALL_SERVERS, connections] = [figures(calls_per_second=es256, rss_mb=rss)]
    return run


def verdicts(run: report.Run) -> list[str]:
    return [target.verdict for target in report.targets(run)]


def test_the_request_and_the_answer_have_the_sizes_that_the_report_names() -> None:
    assert len(call.request_body()) == 400
    before, after = call.answer_parts()
    assert len(before + b"1" + after) == 300
    assert json.loads(before + b'"x"' + after)["id"] == "x"


def test_the_routing_headers_mirror_the_body() -> None:
    body, headers = json.loads(call.request_body()), call.request_headers()
    assert headers["Mcp-Method"] == body["method"]
    assert headers["Mcp-Name"] == body["params"]["name"]
    assert headers["MCP-Protocol-Version"] == body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"]


@pytest.mark.parametrize("id_json", ["1", "-7", '"c-81"', '"a\\"b"'])
def test_the_answer_carries_the_id_of_its_request(id_json: str) -> None:
    body = call.request_body().replace(b'"id":1', f'"id": {id_json}'.encode())
    head, _, text = answer.Answers().reply(b"POST / HTTP/1.1", body).partition(b"\r\n\r\n")
    assert json.loads(text)["id"] == json.loads(id_json)
    assert f"Content-Length: {len(text)}".encode() in head


def test_a_notification_is_accepted_without_an_answer() -> None:
    body = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
    assert answer.Answers().reply(b"POST / HTTP/1.1", body).startswith(b"HTTP/1.1 202 ")


def test_initialize_opens_a_session_and_server_discover_does_not() -> None:
    reply = answer.Answers().reply
    assert b"Mcp-Session-Id" in reply(b"POST / HTTP/1.1", b'{"id":1,"method":"initialize"}')
    assert b"Mcp-Session-Id" not in reply(b"POST / HTTP/1.1", b'{"id":1,"method":"server/discover"}')


def test_a_request_is_taken_once_it_is_whole_and_not_a_byte_before() -> None:
    whole = b"POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\nbody"
    assert all(answer.take(whole[:n]) is None for n in range(len(whole)))
    assert answer.take(whole + b"GET") == (b"POST / HTTP/1.1\r\ncontent-length: 4", b"body", b"GET")


def test_the_generators_line_becomes_figures() -> None:
    output = (
        "Running 2s test @ http://127.0.0.1\n  Latency 1.00ms\n"
        'figures {"calls": 5000, "microseconds": 2000000, "p50": 1500, "p99": 9000, "failed": 3, "broken": 1}\n'
    )
    seen = load.figures_of(output, cpu=1.0, rss=50_000_000, others=0.25)
    assert seen == load.Figures(2500.0, 1.5, 9.0, 200.0, 0.5, 50.0, 0.25, 3, 1)


def test_no_calls_at_all_are_figures_too() -> None:
    line = 'figures {"calls": 0, "microseconds": 2000000, "p50": 0, "p99": 0, "failed": 0, "broken": 9}'
    seen = load.figures_of(line, cpu=0.0, rss=0, others=0)
    assert (seen.calls_per_second, seen.cpu_us, seen.broken) == (0.0, 0.0, 9)


def test_output_without_figures_is_a_failure_that_quotes_it() -> None:
    with pytest.raises(load.LoadFailed, match="unable to connect"):
        load.figures_of("unable to connect", cpu=0.0, rss=0, others=0)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, 0), ([7], 0.99, 7), ([1, 2, 3, 4], 0.5, 2), (list(range(1, 101)), 0.99, 99), ([1, 2], 1.0, 2)],
)
def test_a_percentile_is_the_nearest_rank(values: list[int], share: float, expected: int) -> None:
    assert generator.percentile(values, share) == expected


def test_medians_are_taken_of_speed_the_largest_of_memory_and_the_sum_of_failures() -> None:
    rounds = [
        figures(calls_per_second=900, rss_mb=50, failed=1),
        figures(calls_per_second=100, rss_mb=70, failed=0),
        figures(calls_per_second=1000, rss_mb=60, failed=2),
    ]
    seen = report.medians(rounds)
    assert (seen.calls_per_second, seen.rss_mb, seen.failed) == (900, 70, 3)


def test_every_target_is_met_at_its_bound() -> None:
    run = a_run(nginx=10_000, es256=600, rs256=400, rss=120)
    run.stream_bytes = 40_000
    run.claims = [30.0, 25.0, 20.0]
    run.identify[report.CACHED_MANY] = 15.0
    run.verifying = [(130.0, 100.0)]
    run.remembered = [50_000.0]
    assert verdicts(run) == ["ok"] * 10
    assert not report.failed(run)


@pytest.mark.parametrize(
    ("target", "changes"),
    [(0, {"es256": 599}), (1, {"rs256": 399}), (2, {"rss": 120.1})],
)
def test_a_target_is_missed_just_past_its_bound(target: int, changes: dict[str, float]) -> None:
    run = a_run(**{"nginx": 10_000, "es256": 600, "rs256": 400, "rss": 120, **changes})
    assert [n for n, verdict in enumerate(verdicts(run)) if verdict == "MISSED"] == [target]
    assert report.failed(run)


def test_a_verification_is_held_to_the_bare_check_of_the_same_round() -> None:
    run = a_run()
    run.verifying = [(131.0, 100.0), (125.0, 100.0), (270.0, 200.0)]  # 1.31, 1.25, 1.35
    assert run.of_joserfc == 1.31
    assert verdicts(run)[6] == "MISSED"
    run.remembered = [49_999.0, 49_999.0, 90_000.0]
    assert verdicts(run)[7] == "MISSED"


def test_verifications_and_claims_are_measured_on_real_tokens() -> None:
    core = min(os.sched_getaffinity(0))
    ours, theirs = verifying.costs(rounds=1, core=core)
    assert theirs > 0
    assert ours > 0
    assert verifying.claims_per_second(core=core) > 0


def test_a_call_at_the_address_of_all_servers_is_held_to_the_same_call_at_its_servers_of_the_same_round() -> None:
    run = a_run()
    run.calls[report.gateway("ES256"), 32] = [figures(cpu_us=100), figures(cpu_us=200), figures(cpu_us=100)]
    run.calls[report.ALL_SERVERS, 32] = [figures(cpu_us=120), figures(cpu_us=210), figures(cpu_us=300)]
    assert run.of_one_address == 1.2
    assert verdicts(run)[8] == "ok"
    run.calls[report.ALL_SERVERS, 32][0] = figures(cpu_us=121)
    assert verdicts(run)[8] == "MISSED"


def test_a_kept_list_of_all_servers_may_take_five_milliseconds_and_no_more() -> None:
    run = a_run()
    run.listing = [1.0, 5.0, 9.0]
    assert verdicts(run)[9] == "ok"
    run.listing = [5.1]
    assert verdicts(run)[9] == "MISSED"
    assert report.as_json(run)["listing"] == [5.1]


def test_the_list_that_is_measured_is_of_all_servers_and_asks_none(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    with processes.answering_server(core, tmp_path) as answers:
        (seen,) = listing.milliseconds(answers.url, core, tmp_path / "listing", 1)
    assert seen > 0


def test_the_call_for_all_servers_is_the_same_one_by_its_name_there() -> None:
    assert load.call_file({}, "es256__get_forecast") == load.call_file({}).replace(
        b"get_forecast", b"es256__get_forecast"
    )


def test_building_claims_may_take_twenty_five_microseconds_and_no_more() -> None:
    run = a_run()
    run.claims = [25.1]
    assert verdicts(run)[4] == "MISSED"
    assert report.as_json(run)["claims"] == [25.1]


def test_the_claims_that_are_measured_are_made_by_every_operation() -> None:
    """The configuration is one that a gateway would take, and names the claims that the report says."""
    signer = yaml.safe_load(claims.CONFIGURATION)["servers"]["weather"]["signer"]
    named = [one for key, values in signer.items() if key.endswith("_claims") for one in values]
    assert len(named) == claims.CLAIMS
    build = claims.building()
    made = build()
    assert made == build()
    assert made is not build()
    assert (made["sub"], made["app"], made["label"]) == ("alice", {"tenant": "acme"}, "ide@weather")
    assert claims.microseconds(build, seconds=0.001, core=0) > 0


@pytest.mark.parametrize("kind", [report.CACHED, report.CACHED_MANY])
def test_a_cached_caller_may_take_fifteen_microseconds_and_no_more(kind: str) -> None:
    run = a_run()
    assert verdicts(run)[5] == "ok"
    run.identify[kind] = 15.1
    assert verdicts(run)[5] == "MISSED"


def test_each_kind_of_caller_is_told_beside_anonymous_ones() -> None:
    run = a_run()
    run.callers = {report.ANONYMOUS: [figures(cpu_us=250)], report.CACHED: [figures(cpu_us=258.4)]}
    run.identify[report.CHECK] = 80.0
    lines = {line.split("  ")[0]: line for line in report.text(run).splitlines()}
    assert re.search(r" 258 +\+8 ", lines[report.CACHED])
    assert lines[report.CACHED].endswith(" 8.0")
    assert lines[report.CHECK].endswith(" 80.0")
    assert report.as_json(run)["identify"] == {report.CACHED: 8.0, report.CHECK: 80.0}


def test_a_caller_that_was_refused_fails_the_run() -> None:
    run = a_run()
    run.callers[report.NEW] = [figures(failed=2)]
    assert report.failed(run)
    assert report.failures(run)[0].startswith("as IdP token, new: 2 answers")


def test_the_worst_connection_count_decides() -> None:
    run = a_run()
    run.calls[report.gateway("ES256"), 256] = [figures(calls_per_second=100)]
    assert verdicts(run)[0] == "MISSED"


def test_a_target_whose_party_is_missing_is_not_measured_and_fails_nothing() -> None:
    run = a_run()
    for connections in report.CONNECTIONS:
        del run.calls[report.NGINX, connections]
    assert verdicts(run) == ["not measured", *["ok"] * 9]
    assert not report.failed(run)


def test_a_gateway_that_did_not_start_fails_the_run() -> None:
    run = report.Run(faults=["the gateway did not start: no such command"])
    assert set(verdicts(run)) == {"not measured"}
    assert report.failed(run)


def test_calls_that_were_refused_fail_the_run_however_quick_they_were() -> None:
    run = a_run()
    assert not report.failed(run)
    run.calls[report.gateway("RS256"), 32] = [figures(calls_per_second=450, failed=1)]
    assert report.failed(run)
    assert report.failures(run) == [
        "gateway RS256 at 32: 1 answers with an error status, 0 connections broken or timed out"
    ]


def test_nginx_is_counted_at_a_full_core_where_the_load_side_held_it_back() -> None:
    held_back = figures(calls_per_second=20_000, busy=0.8, cpu_us=40)
    assert report.full_rate(held_back, 32) == 25_000
    assert report.full_rate(held_back, 1) == 20_000
    assert report.full_rate(figures(calls_per_second=20_000, busy=0.99, cpu_us=49), 32) == 20_000
    run = a_run(es256=1_000)
    run.calls[report.NGINX, 32] = [held_back]
    assert report.of_nginx(run, report.gateway("ES256"), 32) == 1_000 / 25_000
    assert "25,000 calls/s of a full core" in report.bottlenecks(run)[0]


@pytest.mark.parametrize(("others", "share"), [(0.05, 0.04), (0.5, 0.05)])
def test_the_gateways_rate_is_taken_to_a_full_core_only_where_other_programs_were_busy(
    others: float, share: float
) -> None:
    run = report.Run(signing={"ES256": [20_000.0]})
    run.calls[report.NGINX, 32] = [figures(calls_per_second=20_000, cpu_us=50)]
    run.calls[report.gateway("ES256"), 32] = [figures(calls_per_second=800, busy=0.8, cpu_us=1000, others=others)]
    assert report.of_nginx(run, report.gateway("ES256"), 32) == share
    assert report.of_signing(run, "ES256", 32) == share


@pytest.mark.parametrize(("others", "sentences"), [(0.09, 0), (0.1, 1)])
def test_other_programs_are_named_once_they_took_a_tenth_of_a_core(others: float, sentences: int) -> None:
    run = report.Run(calls={(report.NGINX, 32): [figures(others=others)]})
    assert len(report.crowd(run)) == sentences


def test_a_table_has_its_first_column_left_and_the_others_right() -> None:
    assert report.table([("name", "n"), ("a", "100"), ("longer", "7")]) == (
        "name      n\n------  ---\na       100\nlonger    7"
    )


def test_the_report_names_every_party_target_and_missing_program() -> None:
    run = a_run(es256=1)
    run.missing.append("wrk is not installed (`apt-get install wrk`)")
    text = report.text(run)
    for expected in (
        "gateway ES256",
        "nginx",
        "signatures/s",
        "counterseal.verify, everything on",
        "at least 50,000",
        "MISSED",
        "30.0 kB",
        "apt-get install wrk",
        "shared machine",
    ):
        assert expected in text
    assert json.loads(json.dumps(report.as_json(run)))["targets"][0]["verdict"] == "MISSED"


def test_an_empty_run_still_prints_its_targets() -> None:
    assert report.text(report.Run()).count("not measured") == 10


def test_the_gateways_configuration_gives_each_algorithm_an_audience_of_its_own(tmp_path: Path) -> None:
    document = yaml.safe_load(processes.gateway_configuration(8460, "http://127.0.0.1:9", tmp_path))
    servers = document["servers"]
    assert {row["signer"]["algorithm"] for row in servers.values()} == set(document["keys"]["algorithms"])
    assert len({row["url"] for row in servers.values()}) == len(servers)


def test_each_call_brings_the_next_token_and_then_the_first_again() -> None:
    requests = generator.requests_of(load.call_file({}), "http://127.0.0.1:1/mcp/es256", [b"one", b"two"])
    first, second, third = (next(requests) for _ in range(3))
    assert b"\r\nAuthorization: Bearer one\r\n" in first
    assert second == first.replace(b"Bearer one", b"Bearer two")
    assert third == first
    alike = generator.requests_of(load.call_file({}), "http://127.0.0.1:1/mcp/es256", [])
    assert next(alike) == next(alike) == first.replace(b"Authorization: Bearer one\r\n", b"")


def test_the_generators_are_told_of_tokens_only_where_there_are_some(tmp_path: Path) -> None:
    alike = load.environment(tmp_path / "call", None)
    assert load.environment(tmp_path / "call", tmp_path / "tokens") == {
        **alike,
        "COUNTERSEAL_BENCH_TOKENS": str(tmp_path / "tokens"),
    }
    load.write_tokens(tmp_path / "tokens", [b"one", b"two"])
    assert (tmp_path / "tokens").read_bytes().split() == [b"one", b"two"]
    assert (tmp_path / "tokens").stat().st_mode & 0o077 == 0


def test_our_generator_and_our_server_carry_calls_without_a_failure(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.answer"], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stderr is not None
        listening = re.search(r"http://\S+", server.stderr.readline())
        assert listening is not None
        load.write_call(tmp_path / "call", {"X-API-Key": "none"})
        done = subprocess.run(
            [sys.executable, "-m", "bench.generator", listening[0], "4", "0.2"],
            cwd=ROOT,
            env={"COUNTERSEAL_BENCH_CALL": str(tmp_path / "call")},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    finally:
        server.kill()
        server.communicate()
    seen = load.figures_of(done.stdout, cpu=0.1, rss=0, others=0)
    assert seen.calls_per_second > 0
    assert (seen.failed, seen.broken) == (0, 0)
    assert (tmp_path / "call").stat().st_mode & 0o077 == 0
