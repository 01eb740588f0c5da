"""What scripts rely on of every command alike."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from counterseal.cli import cli
from tests.docs import commands
from tests.support.tokens import AUDIENCE, ISSUER, call_claims, jwks, token

FORMS = [
    "apikey create",
    "apikey list",
    "apikey revoke",
    "keys jwks",
    "token inspect",
    "token verify",
    "explain",
    "audit verify",
    "audit tail",
]


@pytest.mark.parametrize("form", FORMS)
def test_every_command_that_scripts_call_takes_a_configuration(form: str) -> None:
    command, rest = commands.resolve(tuple(form.split()))
    assert rest == []
    (option,) = (one for one in command.params if "--config" in one.opts)
    assert isinstance(option, click.Option)
    assert option.default == "counterseal.yaml"


def test_where_nothing_depends_on_the_configuration_it_need_not_be_there(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "jwks.json").write_text(json.dumps(jwks("ES256")))
    presented, folder = token(call_claims(iat=1, nbf=1, exp=61)), str(tmp_path / "audit")
    settings = ["--jwks", str(tmp_path / "jwks.json"), "--issuer", ISSUER, "--audience", AUDIENCE]
    for arguments, code in (
        (["token", "inspect", presented], 0),
        (["token", "verify", presented, *settings], 1),
        (["audit", "tail", folder], 0),
        (["audit", "verify", folder], 0),
    ):
        with_it = CliRunner().invoke(cli, [*arguments, "--config", str(tmp_path / "none.yaml")])
        without = CliRunner().invoke(cli, arguments)
        assert with_it.exit_code == without.exit_code == code, with_it.output
