"""`counterseal keys`: which keys sign, and the JWKS."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from counterseal.cli.keys import keys
from counterseal.errors import ConfigError
from tests.issuer.pems import pem
from tests.support.gateway import configuration
from tests.support.tokens import needs_ml_dsa


@pytest.fixture
def config(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    path = tmp_path / "counterseal.yaml"
    path.write_text(yaml.safe_dump(configuration(8460, tmp_path, {"weather": {"url": "http://127.0.0.1:1/mcp"}})))
    return path


def run(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(keys, [*arguments, "--config", str(config)])


def test_the_jwks_is_on_standard_output_alone(config: Path) -> None:
    done = run(config, "jwks")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert [key["alg"] for key in document["keys"]] == ["RS256", "ES256", "Ed25519"]
    assert done.stderr == ""
    assert run(config, "jwks").stdout == done.stdout


def test_the_list_names_each_key_for_programs_and_for_people(config: Path) -> None:
    rows = json.loads(run(config, "list", "--json").stdout)
    kids = [key["kid"] for key in json.loads(run(config, "jwks").stdout)["keys"]]
    assert [(row["kid"], row["algorithm"], row["state"]) for row in rows] == [
        (kids[0], "RS256", "active"),
        (kids[1], "ES256", "active"),
        (kids[2], "Ed25519", "active"),
    ]
    shown = run(config, "list").stdout
    assert all(kid in shown for kid in kids)


def test_a_key_that_the_operator_brings_is_shown_without_a_store(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = yaml.safe_load(config.read_text())
    text["keys"] = {"source": "env:MCP_JWT_SIGNING_KEY"}
    config.write_text(yaml.safe_dump(text))
    monkeypatch.setenv("MCP_JWT_SIGNING_KEY", pem("ES256"))
    assert [row["algorithm"] for row in json.loads(run(config, "list", "--json").stdout)] == ["ES256"]
    monkeypatch.setenv("MCP_JWT_SIGNING_KEY", "changeme")
    done = run(config, "jwks")
    assert isinstance(done.exception, ConfigError)
    assert done.stdout == ""


def test_y_05_no_command_shows_a_private_key(config: Path) -> None:
    for arguments in (["jwks"], ["list"], ["list", "--json"]):
        output = run(config, *arguments).output
        assert "PRIVATE" not in output
        assert '"d"' not in output


@needs_ml_dsa
def test_an_experimental_key_is_marked_wherever_it_is_shown(config: Path) -> None:
    text = yaml.safe_load(config.read_text())
    text["keys"]["algorithms"] = ["ES256", "ML-DSA-44"]
    config.write_text(yaml.safe_dump(text))
    rows = json.loads(run(config, "list", "--json").stdout)
    assert [(row["algorithm"], row["experimental"]) for row in rows] == [("ES256", False), ("ML-DSA-44", True)]
    shown = run(config, "list").stdout
    assert "ML-DSA-44 (experimental)" in shown
    assert shown.count("experimental") == 1
    done = run(config, "jwks")
    assert [key["kty"] for key in json.loads(done.stdout)["keys"]] == ["EC", "AKP"]
    assert done.stderr == f"The key {rows[1]['kid']} is experimental: ML-DSA-44.\n"


def test_rotation_is_not_built_yet_and_says_so(config: Path) -> None:
    done = run(config, "rotate")
    assert done.exit_code == 2
    assert "not built yet" in done.output


@pytest.mark.parametrize("command", ["list", "jwks"])
def test_keys_that_only_the_gateways_process_has_are_not_made_up(config: Path, command: str) -> None:
    text = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**text, "store": "memory:"}))
    done = run(config, command)
    assert isinstance(done.exception, ConfigError)
    assert re.match(
        rf"{re.escape(str(config))}:\d+:\d+: store: `memory:` keeps the signing keys in the process",
        str(done.exception),
    )
    assert done.stdout == ""
