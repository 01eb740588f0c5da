"""The tables of docs/policy.md: each row is decided by the rules above it, and gets what the page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from counterseal.config.compile import compile_policy
from counterseal.config.load import load_text
from counterseal.core.call import Call, Era, Shape
from counterseal.core.caller import Caller
from counterseal.core.patterns import Patterns
from counterseal.core.permit import Denial
from counterseal.core.policy import CALLER_FIELDS, Policy
from counterseal.errors import REASONS
from tests.docs import pages
from tests.docs.pages import ROOT

PAGE: Final = ROOT / "docs" / "policy.md"
TOOLS: Final = {"weather": ["get_forecast", "get_alerts", "delete_station"], "notes": ["get_note"]}
KEY: Final = "k3m9x0a7q2fz"
_FIELDS: Final = {"email": "email", "team": "team_id", "org": "org_id", "agent": "agent_id"}
_CALL: Final = re.compile(r"`(\S+)(?: (\S+))?` on `(\w+)`")
_PERMITTED: Final = re.compile(r"permitted by `(policy\[\d+\])`(?:, shows (.+))?")
_DENIED: Final = re.compile(r"(\d{3}) `(\w+)`(?: by `([^`]+)`|: nothing permits it)")


@dataclass(frozen=True, slots=True)
class Example:
    """One row, with the rules that stand above it."""

    rules: str
    caller: str
    call: str
    gets: str

    def __str__(self) -> str:
        return f"{self.caller} {self.call}"


def examples() -> Iterator[Example]:
    parts = re.split(r"```yaml policy\n(.*?)```\n", PAGE.read_text(), flags=re.DOTALL)
    for rules, after in zip(parts[1::2], parts[2::2], strict=True):
        table = after.partition("\n## ")[0]
        for cells in pages.rows(table):
            yield Example(rules, *cells)


def policy_of(rules: str, folder: Path) -> Policy:
    servers = {name: {"url": f"http://127.0.0.1:8000/{name}"} for name in TOOLS}
    whole = {"issuer": "https://gateway.example.com", "servers": servers, **yaml.safe_load(rules)}
    return compile_policy(load_text(yaml.safe_dump(whole), "counterseal.yaml", folder))


def caller_of(cell: str) -> Caller:
    known: dict[str, Any] = yaml.safe_load(cell.strip("`"))
    kind = known.pop("kind", "api_key")
    own = {option: Patterns.of(known.pop(option)) for option in ("--tools", "--servers") if option in known}
    return Caller(
        kind=kind,
        client_id=KEY,
        fields={_FIELDS[field]: value for field, value in known.items()},
        tools=own.get("--tools"),
        servers=own.get("--servers"),
    )


def call_of(cell: str) -> Call:
    match = _CALL.fullmatch(cell)
    assert match is not None, cell
    method, name, server = match.groups()
    message = {"params": {"ref": {"type": "ref/prompt", "name": name}}} if method == "completion/complete" else None
    return Call(
        server=server,
        era=Era.MODERN,
        revision="2026-07-28",
        shape=Shape.REQUEST,
        method=method,
        name=name,
        message=message,
    )


@pytest.mark.parametrize("example", list(examples()), ids=str)
def test_each_caller_gets_what_the_page_says(example: Example, tmp_path: Path) -> None:
    policy, caller, call = policy_of(example.rules, tmp_path), caller_of(example.caller), call_of(example.call)
    decision = policy.decide(caller, call)
    if permitted := _PERMITTED.fullmatch(example.gets):
        assert not isinstance(decision, Denial), decision
        assert decision.rule.partition(" ")[0] == permitted[1]
        if permitted[2]:
            tools = [
                tool
                for tool in TOOLS[call.server]
                if not isinstance(policy.decide_operation(caller, call.server, "tools/call", tool), Denial)
            ]
            assert tools == re.findall(r"`(\w+)`", permitted[2])
        return
    denied = _DENIED.fullmatch(example.gets)
    assert denied is not None, example.gets
    assert isinstance(decision, Denial), decision
    assert (REASONS[decision.reason].status, decision.reason) == (int(denied[1]), denied[2])
    by = decision.rule if decision.rule.startswith("key ") else decision.rule.partition(" ")[0]
    assert by == (denied[3] or "default")


@pytest.mark.parametrize("page", ["policy.md", "errors.md"])
def test_a_denied_caller_reads_what_the_page_says_and_the_record_has_the_rule(page: str, tmp_path: Path) -> None:
    first = next(one for one in examples() if "delete_station" in one.call)
    decision = policy_of(first.rules, tmp_path).decide(caller_of(first.caller), call_of(first.call))
    assert isinstance(decision, Denial)
    assert decision.rule.startswith("policy[0] (counterseal.yaml:")
    assert decision.message in (ROOT / "docs" / page).read_text()


def test_the_tables_are_found() -> None:
    assert len(list(examples())) > 25


def test_the_page_has_every_field_that_a_rule_may_ask_about() -> None:
    section = PAGE.read_text().partition("## What a rule may ask about a caller")[2]
    assert [cells[0].strip("`") for cells in pages.rows(section)] == list(CALLER_FIELDS)
