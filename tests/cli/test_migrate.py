"""`counterseal migrate`, and what the other commands make of a LiteLLM file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from counterseal.cli import cli
from tests.config.litellm.reading import MASTER_KEY, file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("MCP_JWT_SIGNING_KEY", "MCP_JWT_ISSUER", "LITELLM_MASTER_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def litellm(folder: Path, **sections: object) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump(file(**sections), sort_keys=False))


def test_what_it_prints_is_a_configuration_that_check_accepts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    litellm(folder)
    printed = run("migrate", "config.yaml")
    assert printed.exit_code == 0
    (folder / "counterseal.yaml").write_text(printed.stdout)
    refused = run("check")
    assert refused.exit_code == 1
    assert "the environment variable LITELLM_MASTER_KEY is not set" in refused.stdout
    monkeypatch.setenv("LITELLM_MASTER_KEY", MASTER_KEY)
    assert run("check").exit_code == 0


def test_no_secret_is_printed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHER_KEY", "from-the-environment")
    entry = {"url": "https://weather.internal/mcp", "auth_type": "bearer_token", "auth_value": "hunter2-hunter2"}
    other = {"url": "https://n.internal", "auth_type": "api_key", "auth_value": "os.environ/WEATHER_KEY"}
    litellm(folder, servers={"weather": entry, "notes": other})
    for options in ((), ("--json",)):
        printed = run("migrate", "config.yaml", *options)
        assert printed.exit_code == 0
        for secret in ("hunter2", MASTER_KEY, "from-the-environment"):
            assert secret not in printed.output
        assert "env:WEATHER_AUTH_VALUE" in printed.stdout
        assert "env:WEATHER_KEY" in printed.stdout


def test_for_programs_it_is_a_value_and_the_notes(folder: Path) -> None:
    litellm(folder, params={"ttl_seconds": 3600})
    document = json.loads(run("migrate", "config.yaml", "--json").stdout)
    assert document["configuration"]["signer"]["ttl_seconds"] == 900
    (note,) = [note for note in document["notes"] if note["kind"] == "safer"]
    assert note["path"] == "guardrails[0].litellm_params.ttl_seconds"
    assert note["line"] > 1


def test_it_writes_nothing(folder: Path) -> None:
    litellm(folder)
    run("migrate", "config.yaml")
    assert [one.name for one in folder.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("issuer: https://gateway.example.com\n", "config.yaml:1:1: the file: is no configuration of LiteLLM's"),
        ("servers: {}\n", "config.yaml:1:1: the file: is no configuration of LiteLLM's"),
        ("mcp_servers: {a: {url: 5}}\n", "config.yaml:1:24: mcp_servers.a.url: has no `url`"),
        ("mcp_servers: {a: {url: weather}}\n", "config.yaml:1:24: mcp_servers.a.url: must be an absolute address"),
        ("mcp_servers: [\n", "config.yaml:2:1: YAML: "),
    ],
)
def test_what_is_wrong_with_the_file_is_told_at_its_place(folder: Path, text: str, what: str) -> None:
    (folder / "config.yaml").write_text(text)
    done = CliRunner().invoke(cli, ["migrate", "config.yaml"])
    assert done.exit_code == 1
    assert done.stdout == ""
    assert what in "\n".join(getattr(done.exception, "problems", ()))


def test_check_takes_the_file_as_it_is_and_says_what_is_safer(folder: Path) -> None:
    litellm(folder, params={"ttl_seconds": 3600})
    done = run("check", "config.yaml")
    assert done.exit_code == 0
    assert "warning: config.yaml:" in done.stdout
    assert "ttl_seconds: is more than 900 seconds, which LiteLLM would sign" in done.stdout
    assert MASTER_KEY not in done.output
    assert sorted(one.name for one in folder.iterdir()) == ["config.yaml"]


def test_keys_are_made_for_the_file_as_it_is(folder: Path) -> None:
    litellm(folder)
    folder.chmod(0o700)
    made = run("apikey", "create", "--config", "config.yaml", "--subject", "alice", "--json")
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["secret"].startswith("csk_")
