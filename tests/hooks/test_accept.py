"""What a hook may give back, and that it is copied."""

from __future__ import annotations

import dataclasses
import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterseal.core.frozen import freeze
from counterseal.core.limits import LIMITS
from counterseal.core.names import RESERVED
from counterseal.hooks import Additions, Deny, Pass, Replace
from counterseal.hooks.accept import NotAcceptable, additions, answer, arguments, claims, header_fault, headers, nothing

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Half a character is no text that JSON can hold.
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)
SMALL = dataclasses.replace(
    LIMITS,
    json_depth=3,
    json_members=5,
    body_bytes=20,
    hook_claim_members=4,
    call_token_bytes=30,
    token_string_bytes=10,
)


# ---- arguments --------------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), JSON, max_size=3))
def test_p_03_whatever_a_json_reader_makes_is_taken_as_it_is_and_shares_nothing(
    given_arguments: dict[str, Any],
) -> None:
    for form in (given_arguments, freeze(given_arguments), MappingProxyType(given_arguments)):
        taken = arguments(form, LIMITS)
        assert json.dumps(taken) == json.dumps(given_arguments)
    inner: dict[str, Any] = {"a": {"b": [1]}}
    taken = arguments(inner, LIMITS)
    inner["a"]["b"].append(2)
    assert taken == {"a": {"b": [1]}}


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({"a": {"b": [1]}}, {"a": {"b": [[1]]}}),
        ({"a": [1, 2, 3, 4]}, {"a": [1, 2, 3, 4, 5]}),
        ({"a": "x" * 19}, {"a": "x" * 20}),
        ({"a": "\u00e9" * 9}, {"a": "\u00e9" * 10}),
        ({"x" * 20: 1}, {"x" * 21: 1}),
        ({"a": 2**53 - 1}, {"a": 2**53}),
        ({"a": -(2**53) + 1}, {"a": -(2**53)}),
        ({"a": 1.5}, {"a": float("-inf")}),
        ({"a": True}, {"a": type("Flag", (int,), {})(1)}),
        ({"a": "b"}, {"a": type("Text", (str,), {})("b")}),
        ({"a": {}}, {"a": type("Dict", (dict,), {})()}),
        ({"a": ()}, {"a": range(2)}),
    ],
)
def test_p_03_what_a_caller_could_not_have_sent_is_refused(good: Any, bad: Any) -> None:
    """Each ceiling at n and n + 1, and each type beside one that only looks like it."""
    assert arguments(good, SMALL) == json.loads(json.dumps(good))
    with pytest.raises(NotAcceptable) as told:
        arguments(bad, SMALL)
    assert "xxx" not in str(told.value)


@pytest.mark.parametrize("none", [None, [], "a", 1, object(), {"a"}, Pass()])
def test_arguments_are_an_object(none: Any) -> None:
    with pytest.raises(NotAcceptable, match="and not a dict"):
        arguments(none, LIMITS)


# ---- claims -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_p_04_no_reserved_claim_is_added_however_it_is_spelled(name: str) -> None:
    wide = "".join(chr(ord(char) + 0xFEE0) if char.isalpha() else char for char in name)
    for spelled in (name, name.upper(), f"{name}.a", f" {name} ", wide):
        with pytest.raises(NotAcceptable, match="reserved claim"):
            claims({"department": "R&D", spelled: "x"}, LIMITS)
    assert claims({f"x_{name}": "x"}, LIMITS) == {f"x_{name}": "x"}


@pytest.mark.parametrize("name", ["", " ", "a b", "caf\u00e9", "a\n", "x" * 129, 'a"b', "a\x00"])
def test_p_04_a_claims_name_is_plain(name: str) -> None:
    with pytest.raises(NotAcceptable, match="whose name"):
        claims({name: 1}, LIMITS)
    assert claims({"https://example.com/a.b-c_d": 1, "x" * 128: 1}, LIMITS)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({"a": "x" * 10}, {"a": "x" * 11}),
        ({"a": 1, "b": [1, 2]}, {"a": 1, "b": [1, 2, 3]}),
        ({"a": "x" * 9, "b": "x" * 9, "c": "x" * 9}, {"a": "x" * 9, "b": "x" * 9, "c": "x" * 10}),
    ],
)
def test_p_04_claims_stay_within_what_a_verifier_takes(good: Any, bad: Any) -> None:
    assert claims(good, SMALL) == good
    with pytest.raises(NotAcceptable):
        claims(bad, SMALL)


def test_p_04_claims_are_no_deeper_than_a_token_may_be() -> None:
    def nested(depth: int) -> dict[str, Any]:
        value: Any = 1
        for _ in range(depth):
            value = {"a": value}
        return value  # type: ignore[no-any-return]

    assert claims(nested(LIMITS.token_json_depth - 1), LIMITS)
    with pytest.raises(NotAcceptable, match="too deep"):
        claims(nested(LIMITS.token_json_depth), LIMITS)


# ---- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "authorization", "Proxy-Authorization", "Proxy-Connection"),
        *("X-MCP-Channel-Token", "x-counterseal-debug", "X-Counterseal-Anything"),
        *("Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade"),
        *("Mcp-Method", "MCP-Protocol-Version", "mcp-session-id", "Mcp-Param-City", "Last-Event-ID"),
        *("Content-Length", "Content-Type", "Content-Encoding", "Host", "Accept", "Accept-Encoding", "Expect"),
        "User-Agent",
    ],
)
def test_p_04_a_header_that_the_gateway_writes_is_refused(name: str) -> None:
    with pytest.raises(NotAcceptable, match=f"header {name}, which the gateway alone writes"):
        headers(((name, "x"),), LIMITS)
    assert headers(((f"X-Own-{name}", "x"),), LIMITS) == ((f"X-Own-{name}", "x"),)


@pytest.mark.parametrize("name", ["", " ", "X A", "X:A", "X\r\nY", "X-\u00c4", "X\0", "x" * 129, "(x)"])
def test_p_04_a_headers_name_is_a_token(name: str) -> None:
    with pytest.raises(NotAcceptable, match="no name of a header"):
        headers(((name, "x"),), LIMITS)


@pytest.mark.parametrize("value", ["", " a", "a ", "a\r\nX-B: c", "a\nb", "a\0b", "a\x7f", "\u00e9", "a\tb", "\u2028"])
def test_p_04_a_headers_value_is_one_line_of_printable_ascii(value: str) -> None:
    with pytest.raises(NotAcceptable, match="not one line of printable ASCII"):
        headers((("X-A", value),), LIMITS)
    assert headers((("X-A", "a b=c; d"),), LIMITS)


def test_p_04_headers_are_few_and_short() -> None:
    assert len(headers(tuple((f"X-{number}", "v" * 2048) for number in range(20)), LIMITS)) == 20
    with pytest.raises(NotAcceptable, match="more than 20 headers"):
        headers(tuple((f"X-{number}", "v") for number in range(21)), LIMITS)
    with pytest.raises(NotAcceptable, match="more than 2048 bytes"):
        headers((("X-A", "v" * 2049),), LIMITS)


def test_p_04_no_header_is_there_twice() -> None:
    with pytest.raises(NotAcceptable, match="twice"):
        headers((("X-A", "1"), ("x-a", "2")), LIMITS)


@pytest.mark.parametrize(
    "given_headers", [None, "X-A: 1", {"X-A": "1"}, ["X-A"], [("X-A",)], [("X-A", 1)], [("X-A", b"1")], [1]]
)
def test_headers_are_pairs_of_texts(given_headers: Any) -> None:
    with pytest.raises(NotAcceptable, match="not a tuple of pairs"):
        headers(given_headers, LIMITS)
    assert headers([["X-A", "1"]], LIMITS) == (("X-A", "1"),)


def test_what_is_wrong_with_one_header_is_told_for_configurations_too() -> None:
    assert header_fault("X-A", "1", LIMITS) is None
    assert header_fault("Host", "1", LIMITS) is not None


# ---- answers ----------------------------------------------------------------------------------------------------------


def test_an_answer_is_checked_and_copied() -> None:
    given_arguments = {"a": [1]}
    replaced = answer(Replace(given_arguments, (("X-A", "1"),)), LIMITS)
    given_arguments["a"].append(2)
    assert replaced == Replace({"a": [1]}, (("X-A", "1"),))
    assert answer(Pass((("X-A", "1"),)), LIMITS) == Pass((("X-A", "1"),))
    added = {"a": [1]}
    taken = additions(Additions(added), LIMITS)
    added["a"].append(2)
    assert taken == Additions({"a": [1]})


@pytest.mark.parametrize("message", ["no", "x" * 500, "n\u00e9"])
def test_a_denials_message_is_the_hooks(message: str) -> None:
    assert answer(Deny(message), LIMITS) == Deny(message)


@pytest.mark.parametrize("message", ["", "x" * 501, "a\nb", "a\x1b[31m", None, 5, b"no", "\u202e"])
def test_a_denial_with_a_message_that_cannot_be_shown_is_a_denial_all_the_same(message: Any) -> None:
    assert answer(Deny(message), LIMITS) == Deny("the call is denied")


@pytest.mark.parametrize("wrong", [None, True, Pass, Additions(), "Pass", {}])
def test_a_gate_answers_with_one_of_three(wrong: Any) -> None:
    with pytest.raises(NotAcceptable, match="and not a Pass, a Deny or a Replace"):
        answer(wrong, LIMITS)


@pytest.mark.parametrize("wrong", [None, {"a": 1}, Pass(), Additions])
def test_a_claim_source_answers_with_additions(wrong: Any) -> None:
    with pytest.raises(NotAcceptable, match="and not an Additions"):
        additions(wrong, LIMITS)


def test_an_observer_answers_with_nothing() -> None:
    nothing(None)
    with pytest.raises(NotAcceptable, match="gave back bool and not None"):
        nothing(False)
