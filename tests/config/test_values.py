"""Texts, names, durations and claims, in the keys that hold them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.config.one_key import BASE, line, refused
from tests.config.writing import accepted, problems


@pytest.mark.parametrize(
    ("value", "seconds"), [(1, 1), (900, 900), ("1s", 1), ("90s", 90), ("5m", 300), ("15m", 900), ("900s", 900)]
)
def test_a_duration_is_seconds_or_has_a_unit(value: Any, seconds: int) -> None:
    assert accepted(line("signer.ttl_seconds", value)).signer.ttl_seconds == seconds


@pytest.mark.parametrize(
    "value", ["60", "", "s", "1.5m", 1.5, "-5m", "5 m", "5M", "5min", "PT5M", True, None, [60], "٣s"]
)
def test_c_01_a_duration_of_another_form_is_refused(value: Any) -> None:
    assert "must be a whole number of seconds" in refused("signer.ttl_seconds", value)


def test_c_01_a_number_in_quotes_is_told_to_lose_them() -> None:
    assert "without quotes" in refused("signer.ttl_seconds", "60")
    assert "without quotes" not in refused("signer.ttl_seconds", "soon")


@pytest.mark.parametrize("value", [0, -1, 901, "16m", "1h", "1d"])
def test_a_call_token_lives_at_most_fifteen_minutes(value: Any) -> None:
    assert "at most 900 seconds" in refused("signer.ttl_seconds", value)


@pytest.mark.parametrize("port", [0, 1, 65535])
def test_a_port_is_a_number(port: int) -> None:
    assert accepted(line("listen.port", port)).listen.port == port


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    assert "0 for any that is free" in refused("listen.port", port)


@pytest.mark.parametrize(
    "name", ["w", "W", "0", "weather", "we-ather", "we_ather", "a_b_c", "a-", "a--b", "a-_b", "a" * 63]
)
def test_s_04_a_server_name_is_letters_digits_dash_and_single_underscore(name: str) -> None:
    assert name in accepted(line("servers", {name: {"url": "http://w"}})).servers


@pytest.mark.parametrize(
    "name", ["", "_a", "a_", "-a", "a__b", "a___b", "a.b", "a/b", "a b", "a\n", "wétter", "a" * 64]
)
def test_s_04_a_server_name_that_could_be_taken_apart_in_two_ways_is_refused(name: str) -> None:
    (problem,) = problems(line("servers", {name: {"url": "http://w"}}))
    assert problem.startswith("2:13: servers.")
    assert "`__` separates server and tool" in problem


@pytest.mark.parametrize("text", ["", " ", "a ", " a", "a\nb", "a\x1b[31m", "a\u202eb", "a\u200bb", "a\u00a0b"])
def test_a_text_that_does_not_look_like_what_it_is_is_refused(text: str) -> None:
    written = BASE + f"signer: {{audience: {json.dumps(text)}}}\n"
    (problem,) = problems(written)
    assert "signer.audience: " in problem
    assert "remove them" in problem or "empty text" in problem
    assert "\x1b" not in problem


def test_a_text_in_any_script_is_accepted() -> None:
    assert (
        accepted(line("servers", {"w": {"url": "http://w", "description": "Прогноз погоды"}})).servers["w"].description
    )
    assert accepted(line("servers", {"w": {"url": "http://w", "description": ""}})).servers["w"].description == ""


def test_a_pattern_that_no_name_could_match_is_refused() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    policy = [{"permit": {"tools": [composed]}}]
    assert accepted(line("policy", policy)).policy[0].selection.tools == (composed,)
    policy = [{"permit": {"tools": [decomposed]}}]
    assert "normal form C" in refused("policy", policy)
