"""`counterseal servers`, run as an operator runs it."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from counterseal.cli.servers import servers
from counterseal.config.lock import lock_path, read_lock, write_lock
from counterseal.errors import ConfigError
from counterseal.gateway.wiring import open_gateway
from tests.gateway.opening import written
from tests.gateway.pinning import Tools, entries, names, tool
from tests.support.hostile import HostileServer

Run = Callable[..., Result]
EVIL = "evil\x1b[2J\u202e"


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.fixture
def tools(server: HostileServer) -> Tools:
    return Tools(server, tool("get_a"), tool("get_b"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.fixture
def path(folder: Path, server: HostileServer) -> Path:
    return written(folder, server)


@pytest.fixture
def run(path: Path) -> Run:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(servers, [*arguments, "--config", str(path)])

    return run


def shown(path: Path, tools: Tools, *definitions: dict[str, Any]) -> None:
    """A gateway was asked for a list, which had these tools."""

    async def ask() -> None:
        async with open_gateway(path) as gateway:
            tools.tools = list(definitions)
            await names(gateway)

    asyncio.run(ask())


@pytest.fixture
def changed(path: Path, tools: Tools) -> None:
    """A tool that has changed, and one that has not."""
    shown(path, tools, tool("get_a"), tool("get_b"))
    shown(path, tools, tool("get_a", EVIL), tool("get_b"))


def test_a_list_asks_nobody(run: Run, server: HostileServer) -> None:
    (row,) = json.loads(run("list", "--json").stdout)
    assert row == {
        "name": "weather",
        "transport": "streamable_http",
        "address": server.url,
        "audience": server.url,
        "algorithm": "ES256",
        "header": "Authorization",
        "on_tool_change": "hold",
        "locked": False,
        "pinned": 0,
        "changed": 0,
    }
    assert server.calls == 0


@pytest.mark.usefixtures("changed")
def test_a_list_says_what_is_pinned_and_what_has_changed(run: Run, folder: Path) -> None:
    assert "2 pinned, 1 changed" in run("list").stdout
    lock_path(folder).write_text(write_lock({"weather": {"get_a": tool("get_a", EVIL)}}))
    assert "1 locked " in run("list").stdout


@pytest.mark.usefixtures("changed")
def test_a_diff_shows_what_cannot_be_seen_and_sends_nothing(run: Run, server: HostileServer) -> None:
    before = server.calls
    told = run("diff").stdout
    assert '-  "description": "good",' in told
    assert '+  "description": "evil\\u001b[2J\\u202e",' in told
    assert "\x1b" not in told
    assert "get_b" not in told
    (one,) = json.loads(run("diff", "weather", "--json").stdout)
    assert one["approved_definition"] == tool("get_a")
    assert one["seen_definition"] == tool("get_a", EVIL)
    assert server.calls == before


def test_where_nothing_changed_it_says_so(run: Run) -> None:
    assert run("diff").stdout == "Nothing has changed.\n"
    assert run("approve", "weather").stdout == "Nothing waits at weather.\n"


@pytest.mark.usefixtures("changed")
def test_what_is_approved_leaves_a_record_and_is_shown_from_then_on(
    run: Run, path: Path, tools: Tools, folder: Path
) -> None:
    (waiting,) = json.loads(run("diff", "--json").stdout)
    assert json.loads(run("approve", "weather", "get_a", "--json").stdout) == [
        {"server": "weather", "tool": "get_a", "approved": waiting["seen"]}
    ]
    (entry,) = entries(folder, "tool_approval")
    assert (entry["server"], entry["name"]) == ("weather", "get_a")
    assert (entry["before"], entry["approved"]) == (waiting["approved"], waiting["seen"])
    assert run("diff").stdout == "Nothing has changed.\n"

    async def ask() -> list[str]:
        async with open_gateway(path) as gateway:
            return await names(gateway)

    assert asyncio.run(ask()) == ["get_a", "get_b"]


@pytest.mark.usefixtures("changed")
def test_what_changed_since_it_was_shown_is_not_approved(run: Run, path: Path, tools: Tools) -> None:
    change = run("diff").stdout.partition("--change ")[2].split()[0]
    shown(path, tools, tool("get_a", "worse"))
    refused = run("approve", "weather", "--change", change)
    assert refused.exit_code == 1
    assert f"What waits at weather is not what was shown as {change}" in refused.stderr
    change = run("diff").stdout.partition("--change ")[2].split()[0]
    assert run("approve", "weather", "--change", change).exit_code == 0


@pytest.mark.usefixtures("changed")
def test_a_tool_that_does_not_wait_is_an_error_with_a_hint(run: Run) -> None:
    refused = run("approve", "weather", "get_aa")
    assert refused.exit_code == 1
    assert "Nothing waits at weather for the tool 'get_aa'; did you mean `get_a`?" in refused.stderr
    assert json.loads(run("diff", "--json").stdout)


@pytest.mark.parametrize(
    "arguments", [("diff", "wether"), ("approve", "wether"), ("check", "wether"), ("lock", "wether")]
)
def test_a_server_that_is_not_there_is_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    refused = run(*arguments)
    assert refused.exit_code == 2
    assert "there is no server 'wether'; did you mean `weather`?" in refused.stderr


def test_a_lock_file_is_written_whole_and_says_what_is_new(run: Run, folder: Path, tools: Tools) -> None:
    done = run("lock")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[:2] == ["new      weather  get_a", "new      weather  get_b"]
    assert done.stdout.splitlines()[2] == f"{lock_path(folder)}: written: 2 tools of 1 server."
    assert read_lock(folder) == {"weather": {"get_a": tool("get_a"), "get_b": tool("get_b")}}
    assert stat.S_IMODE(lock_path(folder).stat().st_mode) == 0o644
    assert [one.name for one in folder.iterdir() if "lock" in one.name] == ["counterseal.lock"]
    assert "is as it was" in run("lock").stdout
    assert run("lock", "--check").exit_code == 0
    tools.tools = [tool("get_a", EVIL), tool("get_c")]
    before = lock_path(folder).read_bytes()
    would = run("lock", "--check")
    assert would.exit_code == 1
    assert would.stdout.splitlines()[:3] == [
        "changed  weather  get_a",
        "gone     weather  get_b",
        "new      weather  get_c",
    ]
    assert lock_path(folder).read_bytes() == before


def test_a_server_that_is_named_alone_leaves_the_others_as_they_are(run: Run, folder: Path, tools: Tools) -> None:
    lock_path(folder).write_text(write_lock({"crm": {"x": tool("x")}}))
    assert run("lock", "weather").exit_code == 0
    assert set(read_lock(folder)) == {"crm", "weather"}
    assert run("lock").exit_code == 0
    assert set(read_lock(folder)) == {"weather"}  # the other one is not configured


def test_what_cannot_be_asked_is_not_locked(run: Run, folder: Path, server: HostileServer) -> None:
    server.answer = lambda heard, line: line.reset()
    refused = run("lock")
    assert refused.exit_code == 1
    assert "start it, or mend servers.weather.url" in refused.stdout
    assert "was not written" in refused.stderr
    assert not lock_path(folder).exists()


@pytest.mark.usefixtures("changed")
def test_where_there_is_a_lock_file_it_has_to_say_it_anew(run: Run, folder: Path) -> None:
    lock_path(folder).write_text(write_lock({"weather": {"get_a": tool("get_a")}}))
    refused = run("approve", "weather", "get_a")
    assert refused.exit_code == 1
    assert "it has to say it anew: counterseal servers lock weather" in refused.stderr
    assert "To accept what the server has now: counterseal servers lock weather" in run("diff").stdout


def test_memory_knows_nothing_of_another_process(folder: Path, server: HostileServer) -> None:
    path = written(folder, server, store="memory:")
    for arguments in (["diff"], ["approve", "weather"]):
        done = CliRunner().invoke(servers, [*arguments, "--config", str(path)])
        assert isinstance(done.exception, ConfigError)
        assert "nothing outlives the gateway's own process" in str(done.exception)
    assert CliRunner().invoke(servers, ["list", "--config", str(path)]).exit_code == 0


def test_a_check_ends_with_1_where_a_server_has_a_problem(run: Run, server: HostileServer, tools: Tools) -> None:
    assert run("check").exit_code == 0
    server.answer = lambda heard, line: line.reset()
    done = run("check", "weather", "--json")
    assert done.exit_code == 1
    (one,) = json.loads(done.stdout)
    assert (one["kind"], one["name"], one["level"]) == ("server", "weather", "problem")
