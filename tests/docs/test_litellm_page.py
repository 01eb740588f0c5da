"""docs/from-litellm.md: what it shows is what is printed, and no parameter is forgotten."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from counterseal.cli import cli
from counterseal.config.litellm import parameters, servers
from tests.docs import pages
from tests.docs.pages import ROOT

NAME = "docs/from-litellm.md"
PAGE = (ROOT / NAME).read_text()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("MCP_JWT_SIGNING_KEY", "MCP_JWT_ISSUER", "MCP_JWT_AUDIENCE", "MCP_JWT_TTL_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config.yaml").write_text(pages.block(NAME, "document=litellm").text)
    return tmp_path


def test_the_example_becomes_what_is_shown(folder: Path) -> None:
    printed = CliRunner().invoke(cli, ["migrate", "config.yaml"])
    assert printed.stdout.rstrip() == pages.block(NAME, "migration").text.rstrip()


def test_the_warning_that_is_shown_is_one_that_check_tells(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_MASTER_KEY", "sk-0123456789abcdef")
    monkeypatch.setenv("WEATHER_TOKEN", "x")
    done = CliRunner().invoke(cli, ["check", "config.yaml"])
    assert done.exit_code == 0
    for line in pages.block(NAME, "text").text.splitlines():
        assert line in done.stdout.splitlines()


def test_every_parameter_and_every_key_of_a_server_is_in_a_table() -> None:
    told = {word for cells in pages.rows(PAGE) for word in re.findall(r"`([a-z_]+)(?:: [^`]*)?`", cells[0])}
    assert set(parameters.READ) <= told
    assert set(servers.READ) - {"mcp_info", "server_name", "allow_all_keys"} <= told
