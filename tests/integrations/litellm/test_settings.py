"""What LiteLLM's configuration says of the guardrail: all of it right, or LiteLLM does not start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from counterseal.config.load import load
from counterseal.errors import ConfigError
from counterseal.integrations.litellm import settings
from tests.integrations.litellm.opening import URL, read, written

BASE: dict[str, Any] = {"counterseal_config": "/etc/counterseal.yaml"}


def said(mode: object = "pre_mcp_call", default_on: object = True, **parameters: Any) -> settings.Settings:
    known = {"api_base", "run_in_parallel", "scan_raw_request"}
    return settings.read(mode=mode, default_on=default_on, parameters={**BASE, **parameters}, known=known)


def test_what_is_left_out_has_its_default_and_what_is_litellms_means_nothing() -> None:
    made = said(api_base="https://x.example.com", run_in_parallel=False, counterseal_servers=None)
    assert made == settings.Settings(config=Path("/etc/counterseal.yaml"), servers={})
    assert (made.callers, made.documents, made.trust_end_user, made.server("a")) == ("tokens", True, False, "a")
    assert said(counterseal_servers={"a": "b"}).server("a") == "b"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"mode": "pre_call"}, "mode: must be"),
    ({"mode": ["pre_mcp_call"]}, "mode: must be"),
    ({"default_on": False}, "default_on: must be true"),
    ({"default_on": "true"}, "default_on: must be true"),
    ({"run_in_parallel": True}, "run_in_parallel: "),
    ({"scan_raw_request": True}, "scan_raw_request: "),
    ({"counterseal_config": None}, "counterseal_config: name the file"),
    ({"counterseal_config": 3}, "counterseal_config: name the file"),
    ({"counterseal_caller": "tokens"}, "did you mean `counterseal_callers`"),
    ({"counterseal_callers": "anybody"}, "counterseal_callers: is one of tokens, litellm"),
    ({"counterseal_servers": ["a"]}, "counterseal_servers: is a mapping"),
    ({"counterseal_servers": {"a": 1}}, "counterseal_servers: is a mapping"),
    ({"counterseal_unsigned_servers": "a"}, "counterseal_unsigned_servers: is a list"),
    ({"counterseal_unsigned_servers": ["a"], "counterseal_servers": {"a": "b"}}, "a is in `counterseal_servers` too"),
    ({"counterseal_documents": "yes"}, "counterseal_documents: is true or false"),
    ({"counterseal_trust_end_user": 1}, "counterseal_trust_end_user: is true or false"),
]


@pytest.mark.parametrize(("changes", "told"), WRONG)
def test_what_is_wrong_is_told_and_no_error_that_litellm_would_pass_over(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        said(**changes)
    assert told in str(raised.value)
    assert not isinstance(raised.value, ValueError | TypeError)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        said(mode="x", default_on=False, counterseal_documents=1)
    assert len(raised.value.problems) == 3


UNFIT: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"counterseal_servers": {"a": "weathr"}}, "there is no server 'weathr'"),
    ({"servers": {"files": {"transport": "stdio", "command": ["/bin/sh"]}}, "policy": []}, {}, "over stdio"),
    ({"store": "memory:"}, {}, "memory:"),
    ({"issuer": "https://litellm.example.com"}, {}, "https://litellm.example.com/counterseal"),
]


@pytest.mark.parametrize(("changes", "parameters", "told"), UNFIT)
def test_two_files_that_do_not_fit_together_are_told(
    tmp_path: Path, changes: dict[str, Any], parameters: dict[str, Any], told: str
) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(ConfigError) as raised:
        settings.check(read(path, **parameters), load(path))
    assert told in str(raised.value)
    path = written(tmp_path)
    settings.check(read(path), load(path))


def test_a_server_that_gets_no_header_may_be_there_for_somebody_else(tmp_path: Path) -> None:
    path = written(tmp_path, servers={"files": {"transport": "stdio", "command": ["/bin/sh"]}}, policy=[])
    settings.check(read(path, counterseal_unsigned_servers=["files"]), load(path))


def test_an_issuer_without_a_path_is_right_where_somebody_else_serves_its_documents(tmp_path: Path) -> None:
    path = written(tmp_path, issuer="https://gateway.example.com", servers={"weather": {"url": URL}})
    settings.check(read(path, counterseal_documents=False), load(path))
