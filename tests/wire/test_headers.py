"""One value or a refusal, and the same codec, schema walk and mirroring as the official SDK has."""

from __future__ import annotations

import base64
import time
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mcp.shared.inbound import (
    decode_header_value,
    encode_header_value,
    find_invalid_x_mcp_header,
    mcp_param_headers,
    validate_mcp_param_headers,
    x_mcp_header_map,
)

from counterseal.core.call import Inbound
from counterseal.errors import BadCall
from counterseal.wire import headers

PROPERTY: Final = settings(max_examples=150, deadline=None)
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def request(*lines: tuple[bytes, bytes]) -> Inbound:
    return Inbound("POST", "weather", lines, b"", "127.0.0.1")


# ---- single -----------------------------------------------------------------------------------------------------------


def test_a_header_is_absent_or_has_one_value_without_the_white_space_around_it() -> None:
    assert headers.single(request((b"x", b"1")), b"y") is None
    assert headers.single(request((b"y", b" \ta b\t ")), b"y") == "a b"
    assert headers.single(request((b"y", b"")), b"y") == ""


@pytest.mark.parametrize("second", [b"1", b"2", b""])
def test_a_header_that_is_sent_twice_is_refused_even_where_both_are_equal(second: bytes) -> None:
    """H-06."""
    with pytest.raises(BadCall) as refused:
        headers.single(request((b"y", b"1"), (b"x", b"0"), (b"y", second)), b"y")
    assert refused.value.reason.code == "bad_header"


@pytest.mark.parametrize("byte", [0, 1, 9, 10, 13, 27, 31, 127, 128, 133, 160, 173, 255])
def test_a_header_holds_printable_ascii(byte: int) -> None:
    """H-03, M-01: also white space that is neither a space nor a tab at an edge."""
    value = b"a" + bytes([byte]) + b"b"
    for text in (value, value[1:], value[:2]) if byte != 9 else (value,):
        with pytest.raises(BadCall) as refused:
            headers.single(request((b"y", text)), b"y")
        assert refused.value.reason.code == "bad_header"
        assert value.decode("latin-1") not in refused.value.message


def test_what_is_wrong_with_a_routing_header_is_a_mismatch() -> None:
    for lines in (((b"mcp-name", b"a"), (b"mcp-name", b"a")), ((b"mcp-name", b"\x00"),)):
        with pytest.raises(BadCall) as refused:
            headers.routing(request(*lines), b"mcp-name")
        assert (refused.value.reason.code, refused.value.reason.rpc) == ("header_mismatch", -32020)


def test_parameter_headers_are_found_by_their_prefix() -> None:
    found = headers.param_headers(request((b"mcp-param-a", b" 1 "), (b"mcp-name", b"x"), (b"mcp-param-b", b"2")))
    assert found == {"mcp-param-a": "1", "mcp-param-b": "2"}
    for lines in (((b"mcp-param-a", b"1"), (b"mcp-param-a", b"1")), ((b"mcp-param-a", b"\xff"),)):
        with pytest.raises(BadCall) as refused:
            headers.param_headers(request(*lines))
        assert refused.value.reason.code == "header_mismatch"


# ---- the codec --------------------------------------------------------------------------------------------------------


@PROPERTY
@given(_text)
@example("=?base64?YQ==?=")
@example("=?BASE64?YQ==?=")
@example(" a")
@example("")
@example("a\nb")
def test_every_text_survives_a_header_and_is_encoded_as_the_sdk_does(text: str) -> None:
    """M-01."""
    encoded = headers.encode_value(text)
    assert encoded == encode_header_value(text)
    assert headers.decode_value(encoded) == text
    assert encoded.isascii()
    assert encoded.isprintable()
    assert encoded.strip() == encoded


_sentinels = st.one_of(
    st.binary(max_size=12).map(lambda raw: f"=?base64?{base64.b64encode(raw).decode()}?="),
    st.text(st.sampled_from("=?base64YQ+/-_ \t"), max_size=12).map(lambda text: f"=?base64?{text}?="),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
)


@PROPERTY
@given(_sentinels)
@example("=?base64?YR==?=")
@example("=?base64?YQ?=")
@example("=?base64?/w==?=")
@example("=?base64?7aCA?=")
@example("=?base64??=")
@example("=?base64?YQ==?= ")
def test_every_header_text_is_decoded_as_the_sdk_does(value: str) -> None:
    """M-01: malformed and not canonical base64, bytes that are not UTF-8, and what only looks encoded."""
    assert headers.decode_value(value) == decode_header_value(value)


def test_an_encoded_value_with_a_line_break_in_it_is_malformed() -> None:
    """The SDK takes it as it stands there; no header that we read can hold one."""
    assert headers.decode_value("=?base64?YQ\n==?=") is None


# ---- the schema's annotations -----------------------------------------------------------------------------------------

_keys = st.sampled_from(["a", "b", "properties", "items", "x-mcp-header", "$ref", "type"])
_annotations = st.one_of(
    st.sampled_from(["City", "city", "Hour", "Cold", "X-1", "a.b"]),
    st.sampled_from(["", "a b", "a:b", "é", 5, None, "a\n"]),
)
_types = st.sampled_from(["string", "integer", "boolean", "string", "number", "object", ["string"], None])
_leaf = st.one_of(
    st.fixed_dictionaries({"type": _types}, optional={"x-mcp-header": _annotations}),
    st.sampled_from([True, False, None, 1, "x", [], {}]),
)


def _schemas(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(_keys, children, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": _types,
            "properties": st.one_of(named, children),
            "items": children,
            "not": children,
            "anyOf": st.lists(children, max_size=2),
            "prefixItems": st.one_of(st.lists(children, max_size=2), children),
            "$defs": named,
            "patternProperties": named,
            "additionalProperties": children,
            "default": children,
            "enum": st.lists(children, max_size=2),
            "$ref": st.just("#/$defs/a"),
            "x-mcp-header": st.one_of(st.just("Root")),
        },
    )


_schema = st.one_of(
    st.recursive(_leaf, _schemas, max_leaves=12),
    st.fixed_dictionaries({"properties": st.dictionaries(st.sampled_from("abcd"), _leaf, max_size=4)}),
)


@settings(max_examples=150, deadline=None)
@given(_schema)
def test_annotations_are_found_and_refused_as_the_sdk_does(schema: Any) -> None:
    """M-16."""
    reason = find_invalid_x_mcp_header(schema)
    if reason is not None:
        with pytest.raises(ValueError, match="x-mcp-header"):
            headers.annotated(schema)
        return
    expected = {path: f"mcp-param-{name.lower()}" for path, name in x_mcp_header_map(schema).items()}
    assert headers.annotated(schema) == expected


def _properties(count: int) -> dict[str, Any]:
    return {"properties": {f"p{n}": {"type": "string", "x-mcp-header": f"h{n}"} for n in range(count)}}


def test_a_tool_mirrors_no_more_parameters_than_a_request_can_hold() -> None:
    """M-16, n and n + 1. The SDK has no such ceiling."""
    assert len(headers.annotated(_properties(50))) == 50
    with pytest.raises(ValueError, match="more than 50"):
        headers.annotated(_properties(51))
    with pytest.raises(ValueError, match="more than 50"):
        headers.annotated(_properties(200_000))


def test_a_schema_deep_and_wide_is_walked_in_bounded_time_and_space() -> None:
    """M-16: a path for each of its positions would take a thousand times the schema's own size."""
    node: dict[str, Any] = {"properties": {f"p{n}": {} for n in range(100_000)}}
    for _ in range(2_000):
        node = {"properties": {"a": node}}
    node["properties"]["first"] = {"type": "string", "x-mcp-header": "First"}
    started = time.process_time()
    assert headers.annotated(node) == {("first",): "mcp-param-first"}
    assert time.process_time() - started < 10


def test_a_deep_property_has_its_whole_path() -> None:
    node: dict[str, Any] = {"type": "integer", "x-mcp-header": "Deep"}
    for n in reversed(range(5)):
        node = {"properties": {str(n): node, "other": {}}}
    assert headers.annotated(node) == {tuple("01234"): "mcp-param-deep"}


# ---- mirroring --------------------------------------------------------------------------------------------------------

SCHEMA: Final = {
    "properties": {
        "text": {"type": "string", "x-mcp-header": "Text"},
        "number": {"type": "integer", "x-mcp-header": "Number"},
        "flag": {"type": "boolean", "x-mcp-header": "Flag"},
        "at": {"properties": {"text": {"type": "string", "x-mcp-header": "At-Text"}}},
    }
}
_number = st.one_of(st.integers(), st.integers(-100, 100).map(float), st.sampled_from([1.5, -0.5, 1e22]))
_arguments = st.fixed_dictionaries(
    {},
    optional={
        "text": st.one_of(_text, st.sampled_from(["42", "42.0", "true"]), st.none()),
        "number": st.one_of(_number, st.none()),
        "flag": st.one_of(st.booleans(), st.none()),
        "at": st.one_of(st.fixed_dictionaries({}, optional={"text": _text}), _text, st.none(), st.just([])),
    },
)


@PROPERTY
@given(_arguments)
def test_what_is_mirrored_is_what_the_sdks_server_accepts(arguments: dict[str, Any]) -> None:
    """M-03: the headers that go to the server, made from the body alone."""
    wanted = headers.annotated(SCHEMA)
    made = headers.mirrored(wanted, arguments)
    sent = {name: headers.encode_value(value) for name, value in made.items()}
    assert validate_mcp_param_headers(SCHEMA, arguments, sent) is None
    headers.check_mirrored(wanted, arguments, sent)


@PROPERTY
@given(_arguments)
@example({"number": 5.0})
def test_what_the_sdks_client_mirrors_is_accepted(arguments: dict[str, Any]) -> None:
    """But for one: a whole number beyond 1e16 that was sent as a fraction, which Python writes with an exponent."""
    sent = {name.lower(): value for name, value in mcp_param_headers(x_mcp_header_map(SCHEMA), arguments).items()}
    if "e+" in sent.get("mcp-param-number", ""):
        return
    headers.check_mirrored(headers.annotated(SCHEMA), arguments, sent)


_sent_value = st.one_of(
    _sentinels.map(str.strip),
    st.integers(-100, 100).map(str),
    st.sampled_from(["42", "42.0", "-0", "007", "true", "1.5"]),
)


@settings(max_examples=150, deadline=None)
@given(_arguments, st.dictionaries(st.sampled_from(["text", "number", "flag", "at-text"]), _sent_value))
@example({"text": "42"}, {"text": "42.0"})
@example({"number": 1.5}, {})
def test_no_header_is_accepted_that_the_sdks_server_refuses(arguments: dict[str, Any], other: dict[str, str]) -> None:
    """M-03: the right headers with some of them replaced or added."""
    wanted = headers.annotated(SCHEMA)
    sent = {name: headers.encode_value(value) for name, value in headers.mirrored(wanted, arguments).items()}
    sent |= {f"mcp-param-{name}": value for name, value in other.items()}
    refused = None
    try:
        headers.check_mirrored(wanted, arguments, sent)
    except BadCall as error:
        refused = error
    if validate_mcp_param_headers(SCHEMA, arguments, sent) is not None:
        assert refused is not None
    elif refused is not None:
        # Stricter: a whole number has one spelling here but for its fraction: no leading zeros, no `-0`.
        assert other["number"].strip("-").startswith("0") or "-0" in other["number"]


@pytest.mark.parametrize(
    "name",
    [
        "host",
        "te",
        "accept",
        "accept-encoding",
        "content-length",
        "mcp-name",
        "proxy-authorization",
        "x-counterseal-debug",
    ],
)
def test_p_04_a_header_that_routes_or_frames_is_the_gateways_own(name: str) -> None:
    assert headers.is_own(name)
    assert not headers.is_own(f"x-{name}x")
