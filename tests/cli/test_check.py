"""`counterseal check`."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from counterseal.cli.check import check
from counterseal.clock import SystemClock
from counterseal.errors import ConfigError
from counterseal.gateway.issuer_wiring import _new_key
from counterseal.gateway.wiring import prepare
from counterseal.issuer.signers.local import generate, to_pem
from counterseal.store.sqlite import open_sqlite

GOOD = """\
issuer: https://gateway.example.com
callers: {issuers: [{name: corp, issuer: "https://idp.example.com", jwks_uri: "https://idp.example.com/jwks"}]}
servers: {weather: {url: http://127.0.0.1:8000/mcp}}
policy: [{permit: {callers: {team: data}}}]
"""
KEPT = """\
store: sqlite:counterseal.db
audit: {sink: "file:audit/"}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MCP_JWT_SIGNING_KEY", raising=False)
    return tmp_path


def run(text: str, *arguments: str, folder: Path, **options: bool) -> Result:
    (folder / "counterseal.yaml").write_text(text)
    return CliRunner().invoke(check, list(arguments), **options)  # type: ignore[arg-type]


def test_a_good_configuration_is_ok_and_is_summed_up(folder: Path) -> None:
    result = run(GOOD, folder=folder)
    assert result.exit_code == 0
    first, *summary = result.stdout.splitlines()
    assert first == "counterseal.yaml: ok"
    assert [line.split(maxsplit=1) for line in summary] == [
        ["issuer", "https://gateway.example.com"],
        ["store", f"sqlite:{folder}/counterseal.db"],
        ["keys", "store"],
        ["callers", "API keys, tokens of corp"],
        ["servers", "weather (http://127.0.0.1:8000/mcp)"],
        ["rules", "1"],
        ["hooks", "none"],
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["counterseal.yaml"]


def test_headers_of_callers_that_servers_get_are_summed_up(folder: Path) -> None:
    named = GOOD.replace("8000/mcp}", "8000/mcp, forward_headers: [X-Tenant-Id, X-Case]}")
    result = run(named, folder=folder)
    assert ["forwards", "weather (X-Tenant-Id, X-Case)"] in [
        line.split(maxsplit=1) for line in result.stdout.splitlines()
    ]
    assert json.loads(run(named, "--json", folder=folder).stdout)["forwards"] == {"weather": "X-Tenant-Id, X-Case"}
    result = run(named.replace("X-Case", "Authorization"), folder=folder)
    assert result.exit_code == 1
    assert result.stdout.startswith("counterseal.yaml:3:84: servers.weather.forward_headers[1]: carries a credential")


def test_problems_are_told_one_a_line_and_it_ends_with_1(folder: Path) -> None:
    result = run(GOOD.replace("team", "teem").replace("servers:", "server:"), folder=folder)
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()
    assert first == "counterseal.yaml:3:1: server: is an unknown key; did you mean `servers`?"
    assert second.startswith("counterseal.yaml:4:30: policy[0].permit.callers.teem: ")


def test_hooks_are_loaded_and_named_and_a_bad_one_is_a_problem(folder: Path) -> None:
    """P-08: importing a hook is a part of the check, and nothing is asked of it."""
    result = run(GOOD + "hooks: [{use: argument_schema, name: schemas}, {use: argument_schema}]\n", folder=folder)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].split(maxsplit=1) == ["hooks", "schemas, argument_schema"]
    result = run(
        GOOD + "hooks: [{use: argument_schema, with: {unknown: maybe}}, {use: argument_shema}]\n", folder=folder
    )
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "counterseal.yaml:5:32: hooks[0].with: is refused by the hook: `unknown` must be refuse or allow",
        "counterseal.yaml:5:63: hooks[1].use: is not the name of a hook; did you mean `argument_schema`?; a class of your own is "
        "written `module:Class`",
    ]


def test_another_file_is_read_where_one_is_named(folder: Path) -> None:
    (folder / "prod.yaml").write_text("issuer: https://prod.example.com\n")
    result = run("not: this\n", "prod.yaml", folder=folder)
    assert result.exit_code == 0
    assert result.stdout.startswith("prod.yaml: ok\n")


def test_a_file_that_is_not_there_is_a_problem(folder: Path) -> None:
    result = CliRunner().invoke(check, ["gone.yaml"])
    assert result.exit_code == 1
    assert result.stdout.startswith("gone.yaml: there is no such file")


def test_warnings_follow_and_it_still_ends_with_0(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_JWT_SIGNING_KEY", "c4n4ry")
    result = run(GOOD, folder=folder)
    assert result.exit_code == 0
    assert "warning: MCP_JWT_SIGNING_KEY is set but keys.source is store, so it is not used" in result.stdout
    assert "c4n4ry" not in result.output


def test_what_is_experimental_is_a_warning(folder: Path) -> None:
    text = GOOD + "keys: {algorithms: [ES256, ML-DSA-44]}\n"
    result = run(text, folder=folder)
    assert result.exit_code == 0
    assert "warning: keys.algorithms has ML-DSA-44, which is experimental" in result.stdout
    (warning,) = json.loads(run(text, "--json", folder=folder).stdout)["warnings"]
    assert "refuse the whole JWKS" in warning
    assert json.loads(run(GOOD, "--json", folder=folder).stdout)["warnings"] == []


def test_for_programs_it_prints_one_object(folder: Path) -> None:
    good = run(GOOD, "--json", folder=folder)
    assert good.exit_code == 0
    assert json.loads(good.stdout) == {
        "config": "counterseal.yaml",
        "ok": True,
        "issuer": "https://gateway.example.com",
        "store": f"sqlite:{folder}/counterseal.db",
        "keys": "store",
        "callers": ["API keys", "tokens of corp"],
        "servers": {"weather": "http://127.0.0.1:8000/mcp"},
        "rules": 1,
        "hooks": [],
        "warnings": [],
    }
    bad = run("isuer: x\n", "--json", folder=folder)
    assert bad.exit_code == 1
    problems = json.loads(bad.stdout)
    assert problems["ok"] is False
    assert len(problems["problems"]) == 2


def test_colours_are_for_terminals_alone(folder: Path) -> None:
    assert "\x1b[" not in run(GOOD, folder=folder).output
    assert "\x1b[" in run(GOOD, folder=folder, color=True).output


@pytest.mark.parametrize("arguments", [["one.yaml", "two.yaml"], ["--offline"], ["--online=yes"]])
def test_wrong_usage_ends_with_2(folder: Path, arguments: list[str]) -> None:
    assert run(GOOD, *arguments, folder=folder).exit_code == 2


def test_help_has_an_example(folder: Path) -> None:
    result = CliRunner().invoke(check, ["--help"])
    assert result.exit_code == 0
    for example in ("counterseal check prod.yaml --json", "counterseal check prod.yaml --online"):
        assert example in result.stdout


def key_file(folder: Path, *algorithms: str) -> None:
    path = folder / "key.pem"
    path.write_bytes(b"".join(to_pem(generate(algorithm)) for algorithm in algorithms))
    path.chmod(0o600)


BROUGHT = GOOD + "keys: {source: file:key.pem}\n"


def test_a_key_that_the_operator_brings_is_tried(folder: Path) -> None:
    key_file(folder, "ES256")
    assert run(BROUGHT, folder=folder).exit_code == 0
    (folder / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nc4n4ry\n-----END PRIVATE KEY-----\n")
    result = run(BROUGHT, folder=folder)
    assert result.exit_code == 1
    assert result.stdout.startswith("counterseal.yaml:5:16: keys.source: ")
    assert "c4n4ry" not in result.stdout


def test_a_key_in_a_variable_is_tried(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = GOOD + "keys: {source: env:MCP_JWT_SIGNING_KEY}\n"
    monkeypatch.setenv("MCP_JWT_SIGNING_KEY", to_pem(generate("Ed25519")).decode().replace("\n", "\\n"))
    assert run(text, folder=folder).exit_code == 0
    monkeypatch.setenv("MCP_JWT_SIGNING_KEY", "c4n4ry")
    result = run(text, folder=folder)
    assert result.exit_code == 1
    assert "keys.source" in result.stdout
    assert "c4n4ry" not in result.stdout


def test_y_06_a_key_file_that_others_can_read_is_a_problem_at_its_place(folder: Path) -> None:
    key_file(folder, "ES256")
    (folder / "key.pem").chmod(0o644)
    result = run(BROUGHT, folder=folder)
    assert result.exit_code == 1
    assert result.stdout.startswith("counterseal.yaml:5:16: keys.source: ")
    assert "chmod 600" in result.stdout


def test_a_server_needs_a_key_of_its_algorithm_among_those_that_the_operator_brings(folder: Path) -> None:
    key_file(folder, "ES256", "Ed25519")
    assert run(BROUGHT + "signer: {algorithm: Ed25519}\n", folder=folder).exit_code == 0
    result = run(BROUGHT + "signer: {algorithm: RS256}\n", folder=folder)
    assert result.exit_code == 1
    assert "it has no RS256 key for the server `weather`; use one of ES256, Ed25519" in result.stdout


def test_a_key_for_an_introspection_endpoint_is_tried(folder: Path) -> None:
    folder.chmod(0o700)
    key = folder / "client.pem"
    key.write_bytes(to_pem(generate("ES256")))
    key.chmod(0o600)
    asked = "{endpoint: https://idp.example.com/i, client_id: gw, client_auth: private_key_jwt, private_key: 'file:client.pem'}"
    text = GOOD.replace("}]}", f", introspection: {asked}}}]}}", 1)
    assert run(text, folder=folder).exit_code == 0
    key.write_text("c4n4ry")
    result = run(text, folder=folder)
    assert result.exit_code == 1
    (problem,) = result.stdout.splitlines()
    assert problem.startswith("counterseal.yaml:2:")
    assert "callers.issuers[0].introspection.private_key: " in problem
    assert "c4n4ry" not in problem


THINGS = """\
openapi: 3.0.3
info: {title: Things, version: "1"}
paths:
  /things:
    get: {operationId: list_things}
    head: {}
"""
DESCRIBED = """\
issuer: https://gateway.example.com
servers: {things: {url: http://127.0.0.1:8000, transport: openapi, spec: things.yaml}}
policy: [{permit: {callers: {team: data}}}]
"""


def test_what_of_a_document_is_no_tool_is_told_at_its_place(folder: Path) -> None:
    (folder / "things.yaml").write_text(THINGS)
    result = run(DESCRIBED, folder=folder)
    assert result.exit_code == 0
    assert "  tools    things (1 of 2 operations)" in result.stdout.splitlines()
    assert (
        "warning: servers.things: things.yaml:6:5: #/paths/~1things/head: HEAD /things: "
        "HEAD has no answer that a tool could give"
    ) in result.stdout.splitlines()
    told = json.loads(run(DESCRIBED, "--json", folder=folder).stdout)
    assert told["tools"] == {"things": "1 of 2 operations"}
    assert len(told["warnings"]) == 1


def test_a_document_that_cannot_be_used_is_a_problem(folder: Path) -> None:
    result = run(DESCRIBED, folder=folder)
    assert result.exit_code == 1
    assert result.stdout.startswith("counterseal.yaml:2:74: servers.things.spec: things.yaml cannot be read")
    (folder / "things.yaml").write_text(THINGS.replace("3.0.3", "2.0"))
    result = run(DESCRIBED, folder=folder)
    assert result.exit_code == 1
    assert result.stdout.startswith("things.yaml:1:1: #/openapi: ")


def test_what_is_wrong_in_other_files_is_told_all_at_once(folder: Path) -> None:
    (folder / "key.pem").write_text("c4n4ry")
    (folder / "key.pem").chmod(0o600)
    described = [f"{name}: {{transport: openapi, url: 'http://{name}', spec: {name}.yaml}}" for name in ("one", "two")]
    text = f"""\
issuer: https://gateway.example.com
keys: {{source: file:key.pem}}
hooks: [{{use: "no_such_module:Hook"}}]
servers: {{{", ".join(described)}}}
"""
    result = run(text, folder=folder)
    assert result.exit_code == 1
    paths = [line.split(": ")[1] for line in result.stdout.splitlines()]
    assert paths == ["keys.source", "hooks[0].use", "servers.one.spec", "servers.two.spec"]


# ---- what a start would refuse about the store and the folder of the records ------------------------------------------


def write_store(folder: Path, *statements: str) -> Path:
    """A store as the gateway leaves it, after these statements."""
    path = folder / "counterseal.db"

    async def make() -> None:
        store = await open_sqlite(path)
        await store.bind_issuer("https://gateway.example.com")
        row = await store.add_signing_key_if_absent("ES256", partial(_new_key, "ES256", SystemClock()))
        assert row.algorithm == "ES256"
        await store.close()

    asyncio.run(make())
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    return path


def everything(folder: Path) -> list[tuple[str, int, int, int]]:
    """All that is in a folder, and whether any of it was touched."""
    found = ((path, path.lstat()) for path in folder.rglob("*") if path.name != "counterseal.yaml")
    return sorted((str(path), one.st_mode, one.st_size, one.st_mtime_ns) for path, one in found)


def of_another_program(folder: Path) -> None:
    connection = sqlite3.connect(folder / "counterseal.db")
    connection.execute("create table notes (text)")
    connection.close()
    (folder / "counterseal.db").chmod(0o600)


def no_database(folder: Path) -> None:
    (folder / "counterseal.db").write_bytes(b"no database " * 100)
    (folder / "counterseal.db").chmod(0o600)


REFUSED = {
    "mode": (lambda folder: write_store(folder).chmod(0o644), r"store: .*open to other accounts \(mode 0644\)"),
    "link": (
        lambda folder: (folder / "counterseal.db").symlink_to(write_store(folder).rename(folder / "real.db")),
        "store: .* is a symbolic link",
    ),
    "folder": (lambda folder: (folder / "counterseal.db").mkdir(), "store: .* is not a regular file"),
    "open folder": (lambda folder: folder.chmod(0o777), "store: the folder .* can be written by other accounts"),
    "no database": (no_database, "store: the database cannot be used"),
    "another program's": (of_another_program, "store: the database holds tables of another program"),
    "newer": (
        lambda folder: write_store(folder, "update counterseal set schema_version = 99"),
        "store: it was made by a newer version",
    ),
    "another issuer's": (
        lambda folder: write_store(folder, "update counterseal set issuer = 'https://other.example.com'"),
        "issuer: the store belongs to 'https://other.example.com'",
    ),
    "a broken key": (
        lambda folder: write_store(folder, "update signing_keys set pem = cast('x' as blob)"),
        "store: the signing key .*not a private key in PEM",
    ),
    "records are a file": (
        lambda folder: (folder / "audit").write_text(""),
        r"audit\.sink: records cannot be written to .*/audit \(.*/audit is no folder\)",
    ),
}


@pytest.mark.parametrize(("spoil", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_y_06_what_a_start_would_refuse_is_told_at_its_place_and_nothing_is_made(
    folder: Path, spoil: Callable[[Path], object], says: str
) -> None:
    spoil(folder)
    before = everything(folder)
    result = run(GOOD + KEPT, folder=folder)
    assert result.exit_code == 1, result.output
    (problem,) = result.stdout.splitlines()
    assert re.match(rf"counterseal\.yaml:[156]:\d+: {says}", problem), problem
    assert everything(folder) == before
    with pytest.raises(ConfigError, match=f"^{says.partition(':')[0]}: "):
        asyncio.run(prepare(folder / "counterseal.yaml"))


def test_a_store_that_a_start_would_take_is_no_problem_and_is_left_as_it_is(folder: Path) -> None:
    write_store(folder)
    (folder / "audit").mkdir()
    before = everything(folder)
    assert run(GOOD + KEPT, folder=folder).exit_code == 0
    assert everything(folder) == before


async def test_what_a_running_gateway_has_not_moved_into_the_file_yet_is_seen(folder: Path) -> None:
    """SQLite keeps it in a file beside it for a while."""
    store = await open_sqlite(folder / "counterseal.db")
    for issuer, code in (("https://gateway.example.com", 0), ("https://other.example.com", 1)):
        (folder / "counterseal.yaml").write_text(GOOD.replace("https://gateway.example.com", issuer))
        await store.bind_issuer("https://gateway.example.com")
        assert (folder / "counterseal.db-wal").stat().st_size > 0
        assert (await asyncio.to_thread(CliRunner().invoke, check)).exit_code == code
    await store.close()


def test_a_folder_for_the_store_that_is_missing_is_a_problem_and_one_for_records_is_none(folder: Path) -> None:
    result = run(GOOD + "store: sqlite:missing/counterseal.db\n", folder=folder)
    assert result.exit_code == 1
    assert result.stdout == (
        f"counterseal.yaml:5:8: store: the folder {folder}/missing does not exist. Run `mkdir -p {folder}/missing`.\n"
    )
    assert run(GOOD + 'audit: {sink: "file:missing/audit/"}\n', folder=folder).exit_code == 0
    assert not (folder / "missing").exists()


def test_all_of_it_is_told_at_once(folder: Path) -> None:
    write_store(folder).chmod(0o644)
    (folder / "audit").write_text("")
    result = run(GOOD + KEPT + "hooks: [{use: argument_shema}]\n", folder=folder)
    assert [line.split(": ")[1] for line in result.stdout.splitlines()] == ["hooks[0].use", "store", "audit.sink"]
