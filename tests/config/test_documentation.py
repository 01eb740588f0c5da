"""docs/configuration.md and the examples say what is so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from counterseal.config.load import load, load_text
from counterseal.config.schema import DEFAULT_ALGORITHMS, Part
from counterseal.core.names import RESERVED
from counterseal.core.policy import CALLER_FIELDS
from counterseal.jose.algorithms import ESTABLISHED, EXPERIMENTAL, SIGNING
from tests.config.everything import fields
from tests.config.writing import problems

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text()
COMPLETE = re.compile(r"^```yaml complete\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    (page.name, block) for page in sorted((ROOT / "docs").glob("*.md")) for block in COMPLETE.findall(page.read_text())
]
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| (.+) \|$", re.MULTILINE)
ROWS = {key: (default.strip("`"), meaning) for key, _, default, meaning in ROW.findall(PAGE)}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"env:([A-Z_]+)", PAGE):
        monkeypatch.setenv(name, "Bearer x")


@pytest.mark.parametrize("block", range(len(BLOCKS)), ids=lambda index: f"{BLOCKS[index][0]}-{index}")
def test_every_complete_example_in_the_pages_is_accepted(block: int) -> None:
    load_text(BLOCKS[block][1], BLOCKS[block][0], ROOT)


def test_the_page_begins_with_the_example_that_can_be_copied() -> None:
    example = ROOT / "examples" / "counterseal.yaml"
    assert BLOCKS[[name for name, _ in BLOCKS].index("configuration.md")][1] == example.read_text()
    load(example)


SCHEMA = {
    ".".join(steps).replace(".[]", "[]"): info
    for steps, info in fields()
    if "deny" not in steps and not ("servers" in steps and "signer" in steps[:-1])
}
LEAVES = {
    key: info
    for key, info in SCHEMA.items()
    if not any(other.startswith((f"{key}.", f"{key}[")) for other in SCHEMA) and not key.endswith("deny")
} | {"servers.<name>.signer": SCHEMA["servers.<name>.signer"]}


def test_every_key_of_the_schema_has_its_row_and_no_other_row_is_there() -> None:
    assert set(ROWS) == set(LEAVES)


NO_NULL = {
    "signer.allowed_tools",
    *(f"policy[].permit.{key}" for key in ("callers", "servers", "tools", "methods")),
    *(f"hooks[].{key}" for key in ("servers", "tools", "methods")),
}
"""What may be left out and must not be null, which could mean all or none."""


def as_yaml(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    return "{}" if isinstance(value, Part | Mapping) else str(value) or '""'


@pytest.mark.parametrize("key", sorted(LEAVES))
def test_a_row_tells_the_default_and_whether_the_key_is_built(key: str) -> None:
    info, (default, meaning) = LEAVES[key], ROWS[key]
    value = info.get_default(call_default_factory=True, validated_data={})
    if info.is_required():
        expected = "required"
    elif key == "keys.algorithms":
        expected = f"[{', '.join(DEFAULT_ALGORITHMS)}]"
    elif key in NO_NULL:
        expected = "left out"
    else:
        expected = as_yaml(value)
    assert default == expected
    later = any("later" in getattr(getattr(one, "func", None), "__qualname__", "") for one in info.metadata)
    partly = {"store", "keys.source"}
    assert ("not built yet" in meaning.lower()) == (later or key in partly)


def test_the_page_names_every_choice() -> None:
    meanings = {key: meaning for key, (_, meaning) in ROWS.items()}
    assert all(f"`{name}`" in meanings["keys.algorithms"] for name in SIGNING)
    assert all(f"`{name}`, experimental" in meanings["keys.algorithms"] for name in EXPERIMENTAL)
    assert all(f"`{name}`" in meanings["callers.issuers[].algorithms"] for name in ESTABLISHED)
    assert not any(f"`{name}`" in meanings["callers.issuers[].algorithms"] for name in EXPERIMENTAL)
    assert all(f"`{name}`" in meanings["policy[].permit.callers"] for name in CALLER_FIELDS)
    assert all(f"`{name}`" in PAGE.partition("Reserved claims")[2] for name in RESERVED)


def test_the_messages_at_the_top_are_those_that_the_file_they_are_about_gets() -> None:
    lines = {
        1: "issuer: https://gateway.example.com",
        4: "store: postgresql://gateway@db/counterseal",
        13: "signer:",
        14: "  ttl_secs: 30",
        16: "servers:",
        17: "  weather:",
        18: "    url: http://127.0.0.1:8000/mcp",
        19: "    headers: {X-Key: hunter2}",
    }
    text = "".join(f"{lines.get(number, '')}\n" for number in range(1, 20))
    shown = re.findall(r"^counterseal\.yaml:([0-9].*)$", PAGE, re.MULTILINE)
    assert shown == problems(text)
