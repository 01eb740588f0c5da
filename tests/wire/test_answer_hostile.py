"""Texts that no server should send: nothing but NotAnAnswer ever comes of them."""

from __future__ import annotations

import json
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.core.call import Era
from counterseal.core.methods import LEGACY
from counterseal.wire.answer import NotAnAnswer
from tests.wire.answers import SENT, answer, legacy, refuses, stream

# ---- hostile texts ----------------------------------------------------------------------------------------------------

_BAD_BYTES: Final = [
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"\xf4\x90\x80\x80",
    b"\0",
    b"\n",
    b"\\x",
    b"\\ud800",
]


@pytest.mark.parametrize("bad", _BAD_BYTES)
@pytest.mark.parametrize("method", ["tools/call", "tools/list"])
def test_text_that_is_not_json_in_utf_8_never_reaches_the_caller(method: str, bad: bytes) -> None:
    """M-17, M-25: at any place, also where it would be passed on unread."""
    shape = '{"jsonrpc":"2.0","id":"ID","result":{"tools":[{"name":"aX","b":"X"}],"cX":"X","n":{"X":["X"]}},"oX":"X"}'
    shape = shape.replace("ID", SENT)
    places = [i for i, letter in enumerate(shape) if letter == "X"]
    answer(method).message(shape.encode())
    for place in places:
        refuses(answer(method), shape[:place].encode() + bad + shape[place + 1 :].encode())
    refuses(answer(), b'{"jsonrpc":"2.0","id":"%s","result":{}}' % bad)
    refuses(answer(), b'{"jsonrpc":"2.0","method":"%s"}' % bad)
    refuses(answer(), b'{"jsonrpc":"2.0","method":"x","params":{"a":"%s"}}' % bad)


@pytest.mark.parametrize("depth", [500, 5_000, 1_000_000])
@pytest.mark.parametrize("method", ["tools/call", "tools/list", "initialize", "server/discover"])
def test_no_depth_is_more_than_a_refusal(method: str, depth: int) -> None:
    """M-16, M-24: never a RecursionError."""
    nested = b"[" * depth + b"]" * depth
    for message in (
        nested,
        b'{"jsonrpc":"2.0","id":%s,"result":{}}' % nested,
        b'{"jsonrpc":"2.0","id":"%s","result":{"tools":[{"name":%s}]}}' % (SENT.encode(), nested),
        b'{"jsonrpc":"2.0","id":"%s","result":{"protocolVersion":%s}}' % (SENT.encode(), nested),
        b'{"jsonrpc":"2.0","id":"%s","result":{"supportedVersions":%s}}' % (SENT.encode(), nested),
        b'{"jsonrpc":"2.0","id":"%s","result":{"tools":[{"name":"a","inputSchema":{"x-mcp-header":%s}}]}}'
        % (SENT.encode(), nested),
        b'{"jsonrpc":"2.0","method":"x","params":%s}' % nested,
    ):
        for reader in (answer(method), stream(last_event_id="e")):
            try:
                reader.message(message)
            except NotAnAnswer:
                continue


_value = st.recursive(
    st.sampled_from([None, True, 0, 7, 7.0, 1e300, 10**30, "7", SENT, "2.0", "a", LEGACY[0], "caf\u00e9", "\u2028"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "uri", "tools", "prompts", "inputSchema", "properties", "x-mcp-header", "type", "a"]
            ),
            inner,
        )
    ),
    max_leaves=10,
)
_result = st.dictionaries(
    st.sampled_from(["tools", "prompts", "resources", "protocolVersion", "supportedVersions", "cacheScope", "a"]),
    _value,
)
_message = st.fixed_dictionaries(
    {"jsonrpc": st.sampled_from(["2.0", "2.0", "2.0", "1.0", 2])},
    optional={
        "id": st.sampled_from([SENT, SENT, 7, None, 1.5, []]),
        "method": st.sampled_from(["notifications/x", "ping", 5]),
        "params": _value,
        "result": _result | _value,
        "error": _value,
    },
).map(lambda value: json.dumps(value).encode())
_METHODS: Final = ("tools/call", "tools/list", "prompts/list", "resources/list", "server/discover", "initialize")


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        _message,
        st.binary(max_size=60),
        st.tuples(_message, st.integers(0, 300), st.binary(max_size=3)).map(
            lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :]
        ),
    ),
    st.sampled_from(_METHODS),
)
def test_nothing_but_not_an_answer_ever_comes_out_of_a_hostile_text(message: bytes, method: str) -> None:
    """M-24: and what is passed on is one JSON-RPC message with this caller's id or with none."""
    for reader in (answer(method), legacy(method), stream(), stream(last_event_id="e")):
        for read in (reader.message, reader.refusal):
            try:
                passed = json.loads(read(message))
            except NotAnAnswer:
                continue
            assert passed["jsonrpc"] == "2.0"
            assert passed.keys() <= {"jsonrpc", "id", "method", "params", "result", "error"}
            assert sum(key in passed for key in ("method", "result", "error")) == 1
            if reader.call.era is Era.MODERN:
                assert ("id" in passed) is ("method" not in passed)
                assert passed.get("id", 7) == 7
