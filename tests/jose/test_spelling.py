"""How an audience or issuer differs: each slip has its own words, and none quotes the token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.jose.spelling import difference

OURS = "https://weather.example.com/mcp"

SLIPS = [
    ("https://weather.example.com/mcp/", "differs only in a slash at the end"),
    ("https://weather.example.com:443/mcp", "differs only in the default port"),
    (
        "https://weather.example.com:443/mcp/",
        "differs only in the default port, which only one of them spells out, and a slash",
    ),
    ("https://WEATHER.example.com/mcp", "differs only in upper and lower case of the scheme or the host"),
    ("HTTPS://weather.example.com/mcp", "differs only in upper and lower case of the scheme or the host"),
    ("https://weather.Example.com/mcp/", "case of the scheme or the host, and a slash at the end"),
    (
        "https://weather.example.com/MCP",
        "another path at the same host: it differs in upper and lower case, which count",
    ),
    ("https://weather.example.com/m%63p", "another path at the same host: it differs only in characters"),
    ("https://weather.example.com/mc", "another path at the same host: it is only the beginning"),
    ("https://weather.example.com", "another path at the same host: it is only the beginning"),
    (
        "https://weather.example.com/mcp/v2",
        "another path at the same host: it begins like what is expected and goes on",
    ),
    (
        "https://weather.example.com/mcp?a=b",
        "another path at the same host: it begins like what is expected and goes on",
    ),
    ("https://weather.example.com/files", "another path at the same host: it is another"),
    ("http://weather.example.com/mcp", "differs in the scheme"),
    ("https://weather.example.com:8443/mcp", "another port at the same host"),
    ("https://files.example.com/mcp", "is another"),
    ("https://weather.example.com.evil.example/mcp", "is another"),
    ("https://weather.example.com@evil.example/mcp", "is another"),
    ("https://evil@weather.example.com/mcp", "is another"),
    ("https://weather.example.com:port/mcp", "is another"),
    ("https://[weather.example.com/mcp", "is another"),
    ("weather", "is another"),
    ("https://", "is only the beginning"),
    ("", "is only the beginning"),
]


@pytest.mark.parametrize(("theirs", "says"), SLIPS, ids=[slip[0] for slip in SLIPS])
def test_each_slip_has_its_own_words(theirs: str, says: str) -> None:
    """J-17, J-18."""
    text = difference("aud", theirs, OURS)
    assert text.startswith("`aud` ")
    assert says in text
    assert text.endswith(f"; '{OURS}' is expected")


def test_a_name_that_is_no_address_is_compared_as_text() -> None:
    assert "only in upper and lower case" in difference("aud", "Weather", "weather")
    assert "goes on" in difference("aud", "urn:weather:2", "urn:weather")
    assert "is another" in difference("aud", OURS, "urn:weather")


@pytest.mark.parametrize("theirs", [None, 1, True, ["x"], {"x": 1}])
def test_what_is_no_string_is_said_to_be_none(theirs: object) -> None:
    assert "missing or not a string" in difference("aud", theirs, OURS)


@given(
    st.text() | st.from_regex(r"[a-zA-Z]{0,6}:?//?[a-zA-Z0-9.:@\[\]%-]{0,30}(/[a-zA-Z0-9/%?#]{0,20})?", fullmatch=True)
)
def test_any_text_gets_some_words_and_is_not_quoted(theirs: str) -> None:
    text = difference("iss", theirs + "\x7f", OURS)
    assert "\x7f" not in text
    assert difference("iss", theirs, OURS).endswith("is expected")
