"""`claims_from_file`: what a JSON file says of a caller."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from counterseal.hooks import Additions, Offered
from counterseal.hooks.builtin.claims_from_file import ClaimsFromFile
from counterseal.hooks.testing import offered as offer
from counterseal.hooks.testing import view
from tests.contracts.hook import HookContract
from tests.support.tokens import FixedClock

ALICE = {"department": "R&D", "limits": {"daily": 7}}
IDP = "https://idp.example.com"


def write(folder: Path, entries: Any, name: str = "claims.json") -> Path:
    """Writes the file anew, as an editor would: another file in its place, which is for its owner alone to change."""
    path = folder / name
    fresh = folder / "fresh"
    fresh.write_bytes(entries if isinstance(entries, bytes) else json.dumps(entries).encode())
    fresh.chmod(0o644)
    fresh.replace(path)
    return path


class TestContract(HookContract):
    use = "claims_from_file"

    @pytest.fixture
    def settings(self, tmp_path: Path) -> dict[str, Any]:
        write(tmp_path, {"alice": ALICE})
        return {"file": "claims.json", "by": "subject"}

    @pytest.fixture
    def offered(self, tmp_path: Path) -> Offered:
        return offer(folder=tmp_path)


class Source(ClaimsFromFile):
    """With a clock that the test moves."""

    def __init__(self, folder: Path, entries: Any, **settings: Any) -> None:
        self.folder = folder
        self.clock = FixedClock()
        write(folder, entries)
        super().__init__(file="claims.json", **settings, offered=offer(folder=folder, clock=self.clock))

    async def of(self, **caller: Any) -> Any:
        return (await self.claims(view(**caller))).claims

    async def later(self, seconds: float = 1.0, **caller: Any) -> Any:
        self.clock.advance(seconds)
        return await self.of(**caller)


async def test_a_caller_gets_the_claims_of_its_entry(tmp_path: Path) -> None:
    source = Source(tmp_path, {"alice": ALICE, "bob": {}})
    assert await source.of(subject="alice") == ALICE
    assert await source.of(subject="bob") == {}
    assert await source.claims(view(subject="carol")) == Additions()
    assert await source.claims(view(subject=None)) == Additions()


@pytest.mark.parametrize(
    ("by", "caller"), [("subject", {"subject": "x"}), ("client_id", {"client_id": "x"}), ("team", {"team": "x"})]
)
async def test_what_is_looked_up_is_said_once(tmp_path: Path, by: str, caller: dict[str, str]) -> None:
    source = Source(tmp_path, {"x": {"a": 1}}, by=by)
    assert await source.of(**caller) == {"a": 1}
    others = {"subject": "y", "client_id": "y", "team": "y"}
    assert await source.of(**others) == {}


async def test_i_05_a_name_counts_for_those_that_the_file_is_about(tmp_path: Path) -> None:
    """Two issuers may both have an alice, and so may the API keys."""
    keys, tokens = Source(tmp_path, {"alice": ALICE}), Source(tmp_path, {"alice": ALICE}, issuer=IDP)
    key = {"kind": "api_key", "subject": "alice"}
    token = {"kind": "token", "issuer": IDP, "subject": "alice"}
    other = {"kind": "token", "issuer": f"{IDP}/other", "subject": "alice"}
    anonymous = {"kind": "anonymous", "subject": "alice"}
    assert [await keys.of(**caller) for caller in (key, token, other, anonymous)] == [ALICE, {}, {}, {}]
    assert [await tokens.of(**caller) for caller in (key, token, other, anonymous)] == [{}, ALICE, {}, {}]


async def test_a_change_is_seen_within_a_second_and_not_looked_for_more_often(tmp_path: Path) -> None:
    source = Source(tmp_path, {"alice": {"a": 1}})
    write(tmp_path, {"alice": {"a": 2}})
    assert await source.of() == {"a": 1}
    assert await source.later(0.9) == {"a": 1}
    assert await source.later(0.1) == {"a": 2}
    write(tmp_path, {"alice": {"a": 3}})
    assert await source.of() == {"a": 2}
    assert await source.later() == {"a": 3}


BAD: dict[str, Any] = {
    "no JSON": b"{",
    "empty": b"",
    "a duplicate": b'{"alice": {}, "alice": {"role": "admin"}}',
    "a list": [],
    "an entry that is none": {"alice": "c4n4ry"},
    "a reserved claim": {"alice": {"a": 1}, "bob": {"sub": "c4n4ry"}},
    "a path into a reserved claim": {"alice": {"act.sub": "c4n4ry"}},
    "a claim without a name": {"alice": {"": 1}},
    "too many claims": {"alice": {f"c{number}": 1 for number in range(129)}},
    "too much text": {"alice": {"a": "x" * 4097}},
    "too large": b'{"alice": {"a": "' + b"x" * (1024 * 1024) + b'"}}',
    "a number beyond 2^53": {"alice": {"a": 2**53 + 1}},
}


@pytest.mark.parametrize("entries", BAD.values(), ids=BAD.keys())
def test_a_bad_file_keeps_the_gateway_from_starting(tmp_path: Path, entries: Any) -> None:
    with pytest.raises(ValueError, match=r"^the file .*claims\.json") as told:
        Source(tmp_path, entries)
    assert "c4n4ry" not in str(told.value)


@pytest.mark.parametrize("entries", BAD.values(), ids=BAD.keys())
async def test_a_file_that_turns_bad_later_changes_nothing_and_is_told_once(
    tmp_path: Path, entries: Any, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(tmp_path, {"alice": ALICE})
    write(tmp_path, entries)
    for _ in range(3):
        assert await source.later() == ALICE
    (record,) = caplog.records
    assert record.getMessage().endswith("; what was read last holds")
    assert "c4n4ry" not in caplog.text
    write(tmp_path, {"alice": {"a": 1}})
    assert await source.later() == {"a": 1}
    write(tmp_path, entries)
    assert await source.later() == {"a": 1}
    assert len(caplog.records) == 2


async def test_a_file_that_is_gone_changes_nothing_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(tmp_path, {"alice": ALICE})
    (tmp_path / "claims.json").unlink()
    for _ in range(3):
        assert await source.later() == ALICE
    assert len(caplog.records) == 1


async def test_y_06_a_file_that_others_can_write_is_not_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(tmp_path, {"alice": ALICE})
    path = write(tmp_path, {"alice": {"role": "admin"}})
    path.chmod(0o666)
    os.utime(path)
    assert await source.later() == ALICE
    assert "can be written by other accounts: run `chmod go-w" in caplog.text
    with pytest.raises(ValueError, match="can be written by other accounts"):
        ClaimsFromFile(file="claims.json", offered=offer(folder=tmp_path))
    path.chmod(0o600)
    assert await source.later() == {"role": "admin"}


def test_a_file_that_is_not_there_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.json cannot be read \(No such file or directory\): name one that can"):
        ClaimsFromFile(file="gone.json", offered=offer(folder=tmp_path))


@pytest.mark.parametrize("settings", [{"by": "email"}, {"by": None}, {"issuer": 5}])
def test_settings_are_of_their_kind(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(settings))}` must be"):
        Source(tmp_path, {}, **settings)
