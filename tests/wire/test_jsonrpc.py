"""Bodies: the JSON corpus, hostile sizes, and which JSON is a message of JSON-RPC."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.core.limits import LIMITS
from counterseal.errors import BadCall, CallError
from counterseal.wire import jsonrpc
from tests.support.tokens import vectors

REQUEST: Final[dict[str, Any]] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}

# JSONTestSuite's files that RFC 8259 leaves open. "refused" is parse_error unless another reason stands there.
UNDEFINED: Final = {
    # Numbers: an integer keeps every digit (the digest refuses those that a double cannot hold); a fraction or exponent is
    # a double, and a reader without doubles would read another number than infinity.
    "i_number_double_huge_neg_exp.json": "read as zero: underflow loses no more than rounding does",
    "i_number_huge_exp.json": "refused: overflows a double",
    "i_number_neg_int_huge_exp.json": "refused: overflows a double",
    "i_number_pos_double_huge_exp.json": "refused: overflows a double",
    "i_number_real_neg_overflow.json": "refused: overflows a double",
    "i_number_real_pos_overflow.json": "refused: overflows a double",
    "i_number_real_underflow.json": "read as zero: underflow loses no more than rounding does",
    "i_number_too_big_neg_int.json": "read: an integer keeps every digit",
    "i_number_too_big_pos_int.json": "read: an integer keeps every digit",
    "i_number_very_big_negative_int.json": "read: an integer keeps every digit",
    # Text: not Unicode scalar values, so readers replace them, each in its own way.
    "i_object_key_lone_2nd_surrogate.json": "refused: a lone surrogate",
    "i_string_1st_surrogate_but_2nd_missing.json": "refused: a lone surrogate",
    "i_string_1st_valid_surrogate_2nd_invalid.json": "refused: a lone surrogate",
    "i_string_incomplete_surrogate_and_escape_valid.json": "refused: a lone surrogate",
    "i_string_incomplete_surrogate_pair.json": "refused: a lone surrogate",
    "i_string_incomplete_surrogates_escape_valid.json": "refused: a lone surrogate",
    "i_string_invalid_lonely_surrogate.json": "refused: a lone surrogate",
    "i_string_invalid_surrogate.json": "refused: a lone surrogate",
    "i_string_inverted_surrogates_U+1D11E.json": "refused: two lone surrogates",
    "i_string_lone_second_surrogate.json": "refused: a lone surrogate",
    "i_string_UTF-8_invalid_sequence.json": "refused: not UTF-8",
    "i_string_UTF8_surrogate_U+D800.json": "refused: not UTF-8, which has no surrogates",
    "i_string_invalid_utf-8.json": "refused: not UTF-8",
    "i_string_iso_latin_1.json": "refused: not UTF-8",
    "i_string_lone_utf8_continuation_byte.json": "refused: not UTF-8",
    "i_string_not_in_unicode_range.json": "refused: not UTF-8",
    "i_string_overlong_sequence_2_bytes.json": "refused: not UTF-8, an overlong form",
    "i_string_overlong_sequence_6_bytes.json": "refused: not UTF-8, an overlong form",
    "i_string_overlong_sequence_6_bytes_null.json": "refused: not UTF-8, an overlong form",
    "i_string_truncated-utf-8.json": "refused: not UTF-8",
    # Whole texts.
    "i_string_UTF-16LE_with_BOM.json": "refused: UTF-16 (RFC 8259 section 8.1)",
    "i_string_utf16BE_no_BOM.json": "refused: UTF-16",
    "i_string_utf16LE_no_BOM.json": "refused: UTF-16",
    "i_structure_UTF-8_BOM_empty_object.json": "refused: a byte order mark",
    "i_structure_500_nested_arrays.json": "refused (too_large): deeper than the ceiling",
}
# Grammatical, but two readers would take two values.
STRICTER: Final = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}


def refusal(body: bytes) -> BadCall | None:
    try:
        jsonrpc.parse(body, LIMITS)
    except BadCall as refused:
        return refused
    return None


def reason(body: bytes) -> str | None:
    refused = refusal(body)
    return refused.reason.code if refused is not None else None


# ---- the corpus -------------------------------------------------------------------------------------------------------


def test_every_text_of_the_corpus_that_is_no_json_is_refused() -> None:
    """M-05: 188 files."""
    files = sorted(vectors("JSONTestSuite").glob("test_parsing/n_*.json"))
    assert len(files) == 188
    accepted = [file.name for file in files if reason(file.read_bytes()) not in ("parse_error", "too_large")]
    assert accepted == []


def test_every_json_text_of_the_corpus_is_read_and_means_what_it_means_elsewhere() -> None:
    """M-05: 95 files, but for those with duplicate members."""
    files = sorted(vectors("JSONTestSuite").glob("test_parsing/y_*.json"))
    assert len(files) == 95
    for file in files:
        body = file.read_bytes()
        if file.name in STRICTER:
            assert reason(body) == "parse_error", file.name
        else:
            assert jsonrpc.parse(body, LIMITS) == json.loads(body), file.name


def test_every_text_that_the_standard_leaves_open_has_one_answer_here() -> None:
    files = sorted(vectors("JSONTestSuite").glob("test_parsing/i_*.json"))
    assert {file.name for file in files} == UNDEFINED.keys()
    for file in files:
        answer = UNDEFINED[file.name]
        expected = None if answer.startswith("read") else "too_large" if "too_large" in answer else "parse_error"
        assert reason(file.read_bytes()) == expected, file.name


# ---- two readers, two values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "member", [b'"method"', b'"\\u006dethod"', b'"\\u006D\\u0065\\u0074\\u0068\\u006f\\u0064"', b'"m\\u0065thod"']
)
def test_m_04_a_duplicate_member_is_refused_however_it_is_spelled(member: bytes) -> None:
    """M-04, J-09."""
    twin = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
    assert reason(twin) is None
    assert reason(twin[:-1] + b"," + member + b':"tools/call"}') == "parse_error"
    assert reason(b'{"params":{"arguments":[{"a":{"method":1,' + member + b":2}}]}}") == "parse_error"


def test_a_refusal_says_nothing_of_the_text() -> None:
    for body in (b'{"secret":1,"secret":2}', b'{"a": secret}', b"secret", b'"secret', b'{"a":1e999,"secret":1}'):
        refused = refusal(body)
        assert refused is not None
        assert "secret" not in refused.message
        assert refused.detail is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"\0",
        b"{}{}",
        b"{}\n{}",
        b"[]]",
        b"{} x",
        b"{}\0",
        b"\xef\xbb\xbf{}",
        b"\x0b{}",
        b"\xa0{}",
        b"// \n{}",
    ],
)
def test_a_body_is_one_json_text_and_nothing_else(body: bytes) -> None:
    """M-05."""
    assert reason(b" \t\r\n{} \t\r\n") is None
    assert reason(body) == "parse_error"


# ---- ceilings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "right"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_at_the_ceiling_and_one_over(left: bytes, right: bytes) -> None:
    """J-13: 64 and 65."""
    assert reason(left * 64 + b"1" + right * 64) is None
    assert reason(left * 65 + b"1" + right * 65) == "too_large"


@pytest.mark.parametrize("depth", [100, 1_000, 5_000, 100_000, 1_000_000])
def test_no_depth_is_too_much_for_the_reader(depth: int) -> None:
    """J-13: closed, open and half closed; never a RecursionError."""
    assert reason(b"[" * depth + b"]" * depth) == "too_large"
    assert reason(b'{"a":' * depth + b"1" + b"}" * depth) == "too_large"
    assert reason(b"[" * depth) in ("too_large", "parse_error")
    assert reason(b'[{"a":' * depth) in ("too_large", "parse_error")


def test_brackets_in_texts_are_no_depth() -> None:
    assert reason(json.dumps({"a": "[" * 1000 + "{" * 1000}).encode()) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda n: b"[" + b",".join([b"1"] * n) + b"]",
        lambda n: b"{" + b",".join(b'"%d":1' % i for i in range(n)) + b"}",
        lambda n: b"[" + b",".join([b"[1]"] * (n // 2)) + (b",1" if n % 2 else b"") + b"]",
        lambda n: b'{"a":[' + b",".join([b"{}"] * (n - 1)) + b"]}",
    ],
)
def test_members_at_the_ceiling_and_one_over(make: Callable[[int], bytes]) -> None:
    """J-13: 100,000 and 100,001, elements and members together."""
    assert reason(make(100_000)) is None
    assert reason(make(100_001)) == "too_large"


def test_commas_in_texts_are_no_members() -> None:
    assert reason(json.dumps({"a": "," * 200_000}).encode()) is None


@pytest.mark.parametrize(
    "number",
    [
        b"1e309",
        b"-1e309",
        b"1e999",
        b"1E+999",
        b"1e0000999",
        b"1.7976931348623159e308",
        b"9" * 309 + b".0",
        b"9" * 309 + b"e0",
        b"1" + b"0" * 249 + b"e99",
        b"1" + b"0" * 219 + b"E+0099",
        b"0." + b"0" * 10 + b"1e" + b"9" * 100_000,
        b"9" * 100_000,
        b"9" * 4_000_000,
        b"-" + b"9" * 100_000 + b"e1",
    ],
    ids=lambda number: f"{number[:12].decode()}...{len(number)}",
)
def test_a_number_that_overflows_is_refused_in_bounded_time(number: bytes) -> None:
    """J-13, M-07: also where no exponent of three digits shows it; a number of 1e5 digits takes no time."""
    started = time.process_time()
    for body in (number, b'{"a":[%s]}' % number, b'{"a":"x","b":{"c":%s}}' % number):
        assert reason(body) == "parse_error"
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "number",
    [b"1.7976931348623157e308", b"1e308", b"9" * 200 + b"e99", b"1e-400", b"9" * 4300, b"0." + b"9" * 100_000, b"-0"],
    ids=lambda number: f"{number[:12].decode()}...{len(number)}",
)
def test_a_number_that_fits_is_read_in_bounded_time(number: bytes) -> None:
    started = time.process_time()
    assert reason(number) is None
    assert time.process_time() - started < 1


def test_a_body_full_of_huge_integers_takes_bounded_time() -> None:
    """J-13: 4 MiB of them."""
    body = b"[" + b",".join([b"9" * 4300] * 950) + b"]"
    started = time.process_time()
    assert reason(body) is None
    assert time.process_time() - started < 2


def test_members_whose_hashes_might_collide_take_bounded_time() -> None:
    """J-13: as many members as the ceiling allows, alike but for one place."""
    names = (f"{n:050d}" for n in range(100_000))
    body = b"{" + ",".join(f'"{name}":0' for name in names).encode() + b"}"
    started = time.process_time()
    assert reason(body) is None
    assert time.process_time() - started < 2


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(st.sampled_from('{}[]",:\\u0123eE+-. tfn\n\0é'), max_size=60).map(str.encode))
def test_no_bytes_get_anything_but_a_value_or_a_refusal(body: bytes) -> None:
    refused = refusal(body)
    if refused is None:
        value = jsonrpc.parse(body, LIMITS)
        assert value == json.loads(body)
    else:
        assert refused.reason.code in ("parse_error", "too_large")


# ---- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        REQUEST,
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": "", "method": ""},
        {"jsonrpc": "2.0", "id": 1, "result": None},
        {"jsonrpc": "2.0", "id": 1, "error": {}},
    ],
)
def test_a_message_is_returned_as_it_is(value: dict[str, Any]) -> None:
    assert jsonrpc.read(value) is value


@pytest.mark.parametrize(
    "members",
    [
        *({"id": id} for id in (None, True, False, 1.0, 2**53, "a" * 257, [1], {})),
        *({"method": method} for method in (None, 1, ["tools/list"])),
        *({"params": params} for params in (None, [], "a")),
        *({"jsonrpc": version} for version in (None, "1.0", 2.0)),
    ],
)
def test_a_member_of_another_type_is_refused(members: dict[str, Any]) -> None:
    """M-07: the twin is a request like any other."""
    assert jsonrpc.read(REQUEST) is REQUEST
    with pytest.raises(BadCall) as refused:
        jsonrpc.read({**REQUEST, **members})
    assert refused.value.reason.code == "invalid_request"
    assert refused.value.id == (None if "id" in members else 1)
    if "id" in members:
        assert "a string of at most 256 characters nor an integer within 2^53" in refused.value.message


@pytest.mark.parametrize("error", [None, "no", -32600, [], True])
def test_an_error_is_an_object(error: Any) -> None:
    """M-06."""
    assert jsonrpc.read({"jsonrpc": "2.0", "id": 1, "error": {}})
    with pytest.raises(BadCall):
        jsonrpc.read({"jsonrpc": "2.0", "id": 1, "error": error})


@pytest.mark.parametrize("value", [[], [REQUEST], [[]], [1]])
def test_a_list_is_a_batch_and_not_a_message(value: list[Any]) -> None:
    """M-05."""
    with pytest.raises(BadCall) as refused:
        jsonrpc.read(value)
    assert (refused.value.reason.code, refused.value.reason.rpc) == ("batch_not_allowed", -32600)


_odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(),
    st.text(max_size=3),
    st.just({}),
    st.just([]),
    st.just("2.0"),
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error", "Method", "ID", "jsonRPC", "extra"]),
        _odd,
    )
)
def test_what_is_read_is_a_request_a_notification_or_a_response_and_only_that(members: dict[str, Any]) -> None:
    """M-04, M-06, M-07."""
    try:
        message = jsonrpc.read(members)
    except BadCall as refused:
        assert refused.reason.code == "invalid_request"  # noqa: PT017  # there is nothing to raise where it is accepted
        return
    assert message["jsonrpc"] == "2.0"
    assert "id" not in message or type(message["id"]) in (str, int)
    if "method" in message:
        assert message.keys() <= {"jsonrpc", "id", "method", "params"}
        assert isinstance(message["method"], str)
        assert isinstance(message.get("params", {}), dict)
    else:
        assert message.keys() - {"jsonrpc", "id"} in ({"result"}, {"error"})


@pytest.mark.parametrize(
    "name", ["Method", "METHOD", "Id", "ID", "Params", "JSONRPC", "jsonRpc", "name", "arguments", "", "param\u017f"]
)
def test_m_04_members_that_json_rpc_does_not_know_are_refused(name: str) -> None:
    """M-04: a reader that ignores case would take `Method` for `method`."""
    assert jsonrpc.read(REQUEST) is REQUEST
    with pytest.raises(BadCall) as refused:
        jsonrpc.read({**REQUEST, name: "tools/call"})
    assert (refused.value.reason.code, refused.value.id) == ("invalid_request", 1)


@pytest.mark.parametrize(
    ("body", "batch"),
    [
        (b"[]", True),
        (b" \t\r\n[", True),
        (b"{}", False),
        (b"", False),
        (b'"["', False),
        (b"\xef\xbb\xbf[]", False),
        (b"\x0b[", False),
    ],
)
def test_a_batch_is_told_by_its_first_character(body: bytes, batch: bool) -> None:
    assert jsonrpc.is_batch(body) is batch


# ---- what is written --------------------------------------------------------------------------------------------------

_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(_json)
def test_what_is_written_is_read_back_as_it_was(value: Any) -> None:
    """M-27: integers exactly, and no fraction becomes a whole number or the other way round."""
    body = jsonrpc.write(value)
    again = jsonrpc.parse(body, LIMITS)
    assert again == value == json.loads(body)
    assert repr(again) == repr(value)


def test_an_error_carries_its_reason_its_record_and_the_requests_id() -> None:
    """Contract section 6."""
    error = CallError(
        "policy_denied", "no policy rule permits it", id="a", detail="private", data={"reason": "forged", "more": 1}
    )
    assert jsonrpc.error_message(error, "rec_1") == {
        "jsonrpc": "2.0",
        "id": "a",
        "error": {
            "code": 40301,
            "message": "no policy rule permits it",
            "data": {"reason": "policy_denied", "record": "rec_1", "more": 1},
        },
    }
