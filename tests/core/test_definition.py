"""By which digest a definition is known again."""

from __future__ import annotations

import hashlib
import json
import time
from base64 import urlsafe_b64encode
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from counterseal.core.canonical import NotCanonical
from counterseal.core.definition import definition_digest, read_definition, shown
from counterseal.core.limits import LIMITS

TOOL: dict[str, Any] = {
    "name": "get_forecast",
    "title": "Forecast",
    "description": "The weather of tomorrow.",
    "inputSchema": {"type": "object", "properties": {"city": {"type": "string"}}},
    "annotations": {"readOnlyHint": True},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def digest(text: bytes | dict[str, Any]) -> str:
    return definition_digest(read_definition(text if isinstance(text, bytes) else json.dumps(text).encode(), LIMITS))


def test_it_is_the_sha_256_of_the_jcs_form() -> None:
    canonical = b'{"description":"x","inputSchema":{"type":"object"},"name":"a"}'
    wanted = urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
    assert digest(b' {"name": "a", "inputSchema": {"type": "object"}, "description": "\\u0078"}') == f"sha-256:{wanted}"


def test_a_long_definition_with_defaults_is_read_in_time() -> None:
    """While a list is read nobody else is answered, and a default of null is in every schema that pydantic makes (M-24)."""
    schema = {f"p{number}": {"type": "string", "default": None, "title": "P\n"} for number in range(2000)}
    definition: dict[str, Any] = {**TOOL, "inputSchema": {"type": "object", "properties": schema}}
    began = time.process_time()
    fast = [definition_digest(definition) for _ in range(10)]
    middle = time.process_time()
    slow = [rfc8785.dumps(definition) for _ in range(10)]
    assert middle - began < (time.process_time() - middle) / 2
    assert fast[0] == f"sha-256:{urlsafe_b64encode(hashlib.sha256(slow[0]).digest()).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "get_forecasts"},
        {"title": "forecast"},
        {"description": "The weather of tomorrow. "},
        {"description": "The weather of tomorrow.\U000e0041"},
        {"inputSchema": {"type": "object", "properties": {"city": {"type": "string", "description": "x"}}}},
        {"outputSchema": {"type": "object"}},
        {"annotations": {"readOnlyHint": False}},
        {"annotations": {"readOnlyHint": 1}},
        {"_meta": {}},
        {"icons": []},
    ],
)
def test_m_14_every_member_counts(change: dict[str, Any]) -> None:
    assert digest({**TOOL, **change}) != digest(TOOL)
    assert digest(dict(reversed(TOOL.items()))) == digest(TOOL)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_the_order_of_members_and_the_spelling_change_nothing(value: dict[str, Any]) -> None:
    try:
        first = digest(value)
    except NotCanonical:  # what JSON in UTF-8 cannot hold
        return
    assert digest(json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True).encode()) == first
    assert digest(shown(value).encode()) == first  # so what people read is what was compared


def test_integers_that_no_double_holds_are_told_apart() -> None:
    """Bounds of 64 bits stand in many schemas."""
    bounds = [{"name": "a", "maximum": number} for number in (2**63 - 1, 2**63 - 2, 2**64 - 1, 2**80)]
    assert len({digest(one) for one in bounds}) == 4


@pytest.mark.parametrize(
    "text",
    [
        b'{"name": "a", "inputSchema": {"description": "good", "description": "evil"}}',
        b'{"name": "a", "n\\u0061me": "a"}',
        b'{"name": "\\ud800"}',
        b'{"name": "a", "x": NaN}',
        b'{"name": "a", "x": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"name": "a", "x": ' + b"9" * 5000 + b"}",
        b'["name"]',
        b'{"name": "a"} x',
    ],
)
def test_what_two_readers_could_read_differently_has_no_digest(text: bytes) -> None:
    with pytest.raises(NotCanonical):
        digest(text)
    assert digest(b'{"name": "a", "inputSchema": {"description": "good"}}')


@pytest.mark.parametrize("hidden", ["\U000e0041", "\u200d", "\u202e", "\x1b", "\x7f", "\u2028", "\xad"])
def test_m_15_what_cannot_be_seen_is_seen(hidden: str) -> None:
    text = shown({"name": "wörd \n", "description": f"a{hidden}b"})
    assert hidden not in text
    assert "wörd" in text
    assert json.loads(text) == {"name": "wörd \n", "description": f"a{hidden}b"}
