"""`counterseal apikey inspect`: whose is a key that somebody found, and does it still work?"""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any, Final, get_args

import pytest
from click.testing import CliRunner, Result

from counterseal.cli.apikey import apikey
from counterseal.cli.found_keys import MEANING, Found, Known, State, judge
from counterseal.identity.key_form import RANDOM_BYTES, mac, make_key
from counterseal.store.port import ApiKeyRow
from tests.cli.test_apikey import CONFIG, name_in_store
from tests.support.gateway import COMMAND

NOW: Final = 1_800_000_000.0
PEPPER: Final = b"p" * 32
ID, KEY = make_key(bytes(range(RANDOM_BYTES)))
NEW: Final = make_key(bytes(RANDOM_BYTES), ID)[1]
ROW: Final = ApiKeyRow(id=ID, mac=mac(PEPPER, KEY.encode()), subject="alice", created=NOW - 1)
ROTATED: Final = ROW.rotated(mac(PEPPER, NEW.encode()), NOW + 60)


def judged(key: str, *rows: ApiKeyRow, now: float = NOW) -> Found:
    return judge(key.encode(), Known({row.id: row for row in rows}, PEPPER), now)


@pytest.mark.parametrize(
    ("key", "row", "now", "state"),
    [
        (KEY, ROW, NOW, "active"),
        (NEW, ROTATED, NOW, "active"),
        (KEY, ROTATED, NOW + 59, "previous"),
        (KEY, ROTATED, NOW + 60, "replaced"),
        (KEY, dataclasses.replace(ROTATED, revoked=NOW), NOW, "revoked"),
        (NEW, dataclasses.replace(ROTATED, revoked=NOW), NOW, "revoked"),
        (KEY, dataclasses.replace(ROW, expires=NOW), NOW, "expired"),
        (KEY, dataclasses.replace(ROW, expires=NOW + 1), NOW, "active"),
        (make_key(b"\xff" * RANDOM_BYTES, ID)[1], ROTATED, NOW, "wrong_secret"),
        (KEY, dataclasses.replace(ROTATED, previous_mac=None), NOW, "wrong_secret"),
        (KEY, dataclasses.replace(ROTATED, previous_ends=None), NOW, "replaced"),
    ],
)
def test_a_found_key_is_told_by_its_id_its_secret_and_its_end(
    key: str, row: ApiKeyRow, now: float, state: State
) -> None:
    found = judged(key, row, now=now)
    assert found == Found(ID, state, "alice")
    assert found.works == (state in ("active", "previous"))


def test_a_key_of_another_store_is_unknown_and_one_with_a_typo_is_none() -> None:
    assert judged(KEY) == Found(ID, "unknown")
    typo = KEY[:-1] + ("a" if KEY[-1] != "a" else "b")
    assert judged(typo, ROW) == Found(ID, "not_a_key")
    assert judge(KEY.encode(), None, NOW) == Found(ID, "not_looked_up")
    assert judge(KEY.encode(), None, NOW).works is None


def test_every_state_has_a_sentence() -> None:
    assert set(MEANING) == set(get_args(State))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "counterseal.yaml"
    path.write_text(CONFIG.format(store="sqlite:store.db"))
    return path


def run(config: Path, *arguments: str, text: str | bytes | None = None) -> Result:
    return CliRunner().invoke(apikey, [arguments[0], "--config", str(config), *arguments[1:]], input=text)


def created(config: Path) -> dict[str, str]:
    """Of a subject that `create` would refuse, as an older store may have one."""
    key: dict[str, str] = json.loads(run(config, "create", "--subject", "alice", "--json").stdout)
    name_in_store(config.parent, "alice\x1b[2J")
    return key


def inspected(config: Path, text: str | bytes) -> list[dict[str, Any]]:
    result = run(config, "inspect", "--json", text=text)
    assert result.exit_code == 0, result.output
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def test_a_key_in_a_log_is_recognised_until_it_is_revoked(config: Path) -> None:
    key = created(config)
    log = f'GET /x\n{{"authorization": "Bearer {key["secret"]}"}}\n{key["secret"]} again, and {KEY}\n'.encode()
    noise = bytes(range(256))
    row = {"id": key["id"], "state": "active", "works": True, "subject": "alice\x1b[2J"}
    unknown = {"id": ID, "state": "unknown", "works": False, "subject": None}
    assert inspected(config, noise + log + noise) == [row, unknown]
    run(config, "rotate", key["id"], "--overlap", "1h")
    assert inspected(config, log)[0] == {**row, "state": "previous"}
    run(config, "revoke", key["id"])
    assert inspected(config, log)[0] == {**row, "state": "revoked", "works": False}


def test_a_02_what_is_said_of_a_found_key_is_never_the_key(config: Path) -> None:
    key = created(config)
    for arguments in (["inspect"], ["inspect", "--json"], ["inspect", "--no-store"]):
        result = run(config, *arguments, text=key["secret"])
        assert result.exit_code == 0
        assert key["id"] in result.stdout
        assert key["secret"][17:] not in result.output
    shown = run(config, "inspect", text=key["secret"]).stdout
    assert "counterseal apikey revoke" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("text", ["", "nothing", "csk_", KEY[:-1], KEY[:-1] + ("a" if KEY[-1] != "a" else "b")])
def test_a_text_without_a_key_is_exit_code_1(config: Path, text: str) -> None:
    for arguments in (["inspect"], ["inspect", "--json"]):
        result = run(config, *arguments, text=text)
        assert result.exit_code == 1
        assert "There is no API key in it." in result.stderr
    json.loads(run(config, "inspect", "--json", text=text).stdout)


def test_without_the_store_it_needs_no_configuration(tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMAND, "apikey", "inspect", "--no-store", "--json"],
        cwd=tmp_path,
        input=f"found: {KEY}",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [{"id": ID, "state": "not_looked_up", "works": None, "subject": None}]
    assert list(tmp_path.iterdir()) == []


def test_a_02_a_key_is_never_taken_from_an_argument_nor_repeated(config: Path) -> None:
    result = run(config, "inspect", KEY, text=KEY)
    assert result.exit_code == 2
    assert "standard input" in result.stderr
    assert KEY[17:] not in result.output
    assert run(config, "inspect", text=KEY).exit_code == 0
