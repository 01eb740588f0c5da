"""Templates: what each may ask for, what becomes of its value, and what is told at start."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterseal.core.caller import Caller
from counterseal.core.frozen import freeze
from counterseal.core.templates import BadTemplate, Unavailable, compile_value
from tests.core.callers import anonymous, call, key, token

KEY: Final = key(
    client_id="k123",
    fields={"user_id": "alice", "email": "a@x", "team_id": "data", "agent_id": "bot"},
    metadata={
        "tenant": "acme",
        "level": "3",
        "beta": "true",
        "areas": "eu, us",
        "a.b": "dotted",
        "empty": "",
        "%s": "%s",
    },
)
HELD: Final = {
    "department": "sales",
    "roles": ["a", "b"],
    "realm": {"level": 5, "on": False, "none": None, "empty": []},
    "https://example.com/plan": "gold",
    "email": "unverified@x",
    "nought": 0,
    "half": 0.5,
}
TOKEN: Final = token(freeze(HELD), roles=("r1",), fields={"org_id": "o1"})
CALL: Final = call(name="get_weather")


def made(value: Any, caller: Caller = KEY, **changes: Any) -> Any:
    return compile_value(value).make(caller, call(**{"name": "get_weather", **changes}))


@pytest.mark.parametrize(
    ("text", "caller", "expected"),
    [
        ("{key.id}", KEY, "k123"),
        ("{key.user_id}", KEY, "alice"),
        ("{key.email}", KEY, "a@x"),
        ("{key.metadata.tenant}", KEY, "acme"),
        ("{key.metadata.a.b}", KEY, "dotted"),
        ("{claim.department}", TOKEN, "sales"),
        ("{claim.realm.level}", TOKEN, 5),
        ("{claim.https://example.com/plan}", TOKEN, "gold"),
        ("{claim.sub}", TOKEN, "alice"),
        ("{claim.roles}", TOKEN, ["a", "b"]),
        ("{claim.realm}", token({"realm": {"x": [1]}}), {"x": [1]}),
        ("{claim.realm.on}", TOKEN, False),
        ("{claim.nought}", TOKEN, 0),
        ("{claim.half}", TOKEN, 0.5),
        ("{caller.subject}", TOKEN, "alice"),
        ("{caller.client_id}", TOKEN, "ide"),
        ("{caller.kind}", TOKEN, "token"),
        ("{caller.issuer}", TOKEN, "https://idp"),
        ("{caller.org}", TOKEN, "o1"),
        ("{caller.roles}", TOKEN, ["r1"]),
        ("{caller.team}", KEY, "data"),
        ("{caller.agent}", KEY, "bot"),
        ("{caller.email}", KEY, "a@x"),
        ("{call.server}", KEY, "weather"),
        ("{call.method}", KEY, "tools/call"),
        ("{call.name}", KEY, "get_weather"),
        ("{caller.team}/{call.name}", KEY, "data/get_weather"),
        ("level {claim.realm.level}, {claim.realm.on}", TOKEN, "level 5, false"),
        ("{{{key.id}}}", KEY, "{k123}"),
        ("{{key.id}}", KEY, "{key.id}"),
        ("100 %s {key.id}%", KEY, "100 %s k123%"),
        ("plain", KEY, "plain"),
        ("", KEY, ""),
    ],
)
def test_a_template_is_what_it_asks_for(text: str, caller: Caller, expected: Any) -> None:
    value = made(text, caller)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    "value", ["x", 7, 0.5, True, False, {"a": [1, {"b": None}]}, [], {}, ["a", ["b"]], {"a": "{{}}"}]
)
def test_a_value_without_a_template_is_the_same_for_every_call_and_a_new_one_each_time(value: Any) -> None:
    """I-09."""
    compiled = compile_value(freeze(value))
    expected = {"a": "{}"} if value == {"a": "{{}}"} else value
    one, other = compiled.make(KEY, CALL), compiled.make(TOKEN, CALL)
    assert one == other == expected
    assert compiled.template is None
    if isinstance(one, dict | list):
        assert one is not other
        assert type(one) is type(expected)


def test_templates_stand_in_any_text_of_a_value() -> None:
    value = {"tenant": "{key.metadata.tenant}", "tags": ["fixed", "{caller.team}", ["x-{call.name}"]], "n": 1, "e": []}
    compiled = compile_value(freeze(value))
    expected = {"tenant": "acme", "tags": ["fixed", "data", ["x-get_weather"]], "n": 1, "e": []}
    made = compiled.make(KEY, CALL)
    assert made == expected
    made["tags"].append("forged")
    made["e"].append("forged")
    assert compiled.make(KEY, CALL) == expected
    assert compiled.template == "{key.metadata.tenant}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{key.metadata.level:int}", 3),
        ("{key.metadata.beta:bool}", True),
        ("{key.metadata.areas:list}", ["eu", "us"]),
        ("{key.metadata.tenant:list}", ["acme"]),
        ("{key.metadata.tenant:text}", "acme"),
        ("{key.metadata.x:int|0}", 0),
        ("{key.metadata.x:bool|false}", False),
        ("{key.metadata.x:list|}", []),
        ("{key.metadata.x:list|a,b}", ["a", "b"]),
        ("{key.metadata.x|}", ""),
        ("{key.metadata.x|none}", "none"),
        ("{key.metadata.empty|none}", "none"),
        ("{key.metadata.tenant|none}", "acme"),
        ("{claim.department|key}", "key"),
        ("{key.metadata.x|a|b}", "a|b"),
        ("level {key.metadata.level:int}", "level 3"),
        ("[{key.metadata.x|}]", "[]"),
    ],
)
def test_i_06_a_value_has_the_type_that_is_asked_for_and_a_default_has_it_too(text: str, expected: Any) -> None:
    value = made(text)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("text", "caller", "says"),
    [
        ("{key.metadata.x}", KEY, "`key.metadata.x` says nothing"),
        ("{key.metadata.empty}", KEY, "`key.metadata.empty` says nothing"),
        ("{key.metadata.tenant}", TOKEN, "says nothing"),
        ("{key.id}", TOKEN, "says nothing"),
        ("{claim.department}", KEY, "`claim.department` says nothing"),
        ("{claim.realm.none}", TOKEN, "says nothing"),
        ("{claim.realm.empty}", TOKEN, "says nothing"),
        ("{claim.realm.x.y}", TOKEN, "says nothing"),
        ("{claim.email}", TOKEN, "says nothing"),
        ("{caller.team}", TOKEN, "says nothing"),
        ("{caller.groups}", TOKEN, "says nothing"),
        ("{caller.subject}", anonymous(), "says nothing"),
        ("{key.metadata.tenant:int}", KEY, "is no whole number"),
        ("{key.metadata.tenant:bool}", KEY, "is no `true` or `false`"),
        ("{claim.realm.level:text}", TOKEN, "is no text"),
        ("{claim.realm.level:list}", TOKEN, "is no list"),
        ("{claim.realm.level:bool}", TOKEN, "is no `true`"),
        ("{claim.realm.on:int}", TOKEN, "is no whole number"),
        ("{claim.half:int}", TOKEN, "is no whole number"),
        ("{claim.roles:text}", TOKEN, "is no text"),
        ("roles: {claim.roles}", TOKEN, "which no text can hold"),
        ("{claim.realm} ", TOKEN, "which no text can hold"),
    ],
)
def test_a_value_that_cannot_be_made_does_not_vanish(text: str, caller: Caller, says: str) -> None:
    with pytest.raises(Unavailable, match=says):
        made(text, caller)
    for value in ({"a": text}, [1, [text]]):
        with pytest.raises(Unavailable, match=says):
            made(value, caller)


def test_a_method_that_names_nothing_has_no_name() -> None:
    with pytest.raises(Unavailable, match=r"`call\.name` says nothing"):
        made("{call.name}", method="tools/list", name=None)
    assert made("{call.name|-}", method="tools/list", name=None) == "-"


@pytest.mark.parametrize("text", ["+1", "01", "1.0", "1e3", " 1", "1 ", "", "٣", "9" * 17, "0x1", "-"])
def test_i_06_a_whole_number_has_one_spelling(text: str) -> None:
    caller = key(metadata={"level": text or " "})
    with pytest.raises(Unavailable, match=r"whole number|2\^53"):
        made("{key.metadata.level:int}", caller)
    assert made("{key.metadata.level:int}", key(metadata={"level": "-7"})) == -7


@pytest.mark.parametrize("text", ["True", "yes", "1", "on", "false "])
def test_i_06_true_and_false_have_one_spelling(text: str) -> None:
    with pytest.raises(Unavailable, match="`true` or `false`"):
        made("{key.metadata.on:bool}", key(metadata={"on": text}))
    assert made("{key.metadata.on:bool}", key(metadata={"on": "false"})) is False


@pytest.mark.parametrize("text", [",", "a,,b", "a,", ",a", "a, ,b"])
def test_i_06_a_list_has_no_empty_items(text: str) -> None:
    with pytest.raises(Unavailable, match="is no list"):
        made("{key.metadata.areas:list}", key(metadata={"areas": text}))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("x" * 4097, "4096 bytes"),
        ("a\r\nb", "nobody sees"),
        ("a\0b", "nobody sees"),
        ("a\u202eb", "nobody sees"),
        ([["x"] * 200, ["x"] * 200], "256 members"),
        ([[[[[[[[[1]]]]]]]]], "8 deep"),
        (10**400, "2\\^53"),
        ({"a\nb": 1}, "nobody sees"),
    ],
)
def test_i_05_a_value_of_a_caller_is_bounded(value: Any, says: str) -> None:
    caller = token({"x": value})
    with pytest.raises(Unavailable, match=says):
        made("{claim.x}", caller)
    with pytest.raises(Unavailable, match=says):
        made({"a": ["{claim.x}"]}, caller)
    if isinstance(value, str):
        for template in ("-{claim.x}-", "{claim.x:list}"):
            with pytest.raises(Unavailable, match=says):
                made(template, caller)


def test_i_05_texts_are_bounded_together() -> None:
    caller = token({"x": "x" * 2048, "y": "y" * 2049})
    with pytest.raises(Unavailable, match="4096 bytes"):
        made("{claim.x}{claim.y}", caller)
    assert len(made("{claim.x}{claim.x}", caller)) == 4096


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "has a `{` at character 1 without the other brace"),
        ("a}", "has a `}` at character 2"),
        ("a {x", "at character 3"),
        ("{a{b}", "at character 1"),
        ("{}", "a template at character 1 that is none"),
        ("{tenant}", "is none"),
        ("{.x}", "begins with none of `key.`"),
        ("{keys.x}", "begins with none of"),
        ("ab {env.HOME}", "at character 4 that begins with none of"),
        ("{key.role}", "asks for `key.role`, which there is not; there is id, user_id"),
        ("{key.metadata}", "which there is not"),
        ("{key.metadata.}", "which there is not"),
        ("{key.metadata.a b}", "which there is not"),
        ("{key.secret}", "which there is not"),
        ("{caller.metadata}", "which there is not; there is kind, key"),
        ("{caller.claims}", "which there is not"),
        ("{caller.__class__}", "which there is not"),
        ("{call.arguments}", "which there is not; there is server, method, name"),
        ("{call.name.x}", "which there is not"),
        ("{claim.}", "is none"),
        ("{claim.a..b}", "has an empty step"),
        ("{claim.a b}", "white space"),
        ("{claim.a\u202eb}", "cannot be seen"),
        ("{claim.level:integer}", "says after `:` what is no type; there is text, int, bool, list"),
        ("{key.metadata.level:int|many}", "says int and has something else after `|`"),
        ("{key.metadata.level:bool|0}", "says bool"),
        ("{key.metadata.level:list|a,,b}", "says list"),
        ("{claim.a|a\nb}", "has something else after"),
        ("{claim.a!r}", None),
        ("a\nb", "nobody sees"),
        ("x" * 4097, "4096 bytes"),
    ],
)
def test_a_template_that_cannot_be_is_told_at_start(text: str, says: str | None) -> None:
    if says is None:
        compile_value(text)  # nothing of Python's formatting means anything
        return
    for value, steps in ((text, ()), ({"a": [1, text]}, ("a", 1))):
        with pytest.raises(BadTemplate) as told:
            compile_value(value)
        assert says in str(told.value)
        if "nobody" not in says and "bytes" not in says:
            assert told.value.steps == steps


@pytest.mark.parametrize("name", ["{claim.x}", "a b", "", "größe", "a" * 129])
def test_i_04_a_template_makes_no_name(name: str) -> None:
    compile_value({"a": {"https://example.com/b": "{claim.x}"}})
    for value in ({name: 1}, {"a": {name: "{claim.x}"}}):
        with pytest.raises(BadTemplate, match="is no name for a part of a claim"):
            compile_value(value)


@pytest.mark.parametrize("value", [None, 2**53 + 1, [2**60], [[[[[[[[[1]]]]]]]]], [1] * 257])
def test_what_no_claim_may_be_is_told_at_start(value: Any) -> None:
    with pytest.raises(BadTemplate):
        compile_value(value)
    if value is not None:
        with pytest.raises(BadTemplate):
            compile_value({"a": value, "b": "{claim.x}"})


def told(make: Callable[[], Any]) -> tuple[Any, str]:
    """What came of it: a value and no words, or the words alone."""
    try:
        return make(), ""
    except (BadTemplate, Unavailable) as error:
        return None, str(error)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("{}|:.%s keyclaimmetadata\n")) | st.text(max_size=20))
def test_any_text_is_compiled_or_told(text: str) -> None:
    value, words = told(lambda: compile_value(text))
    if value is None:
        assert "at character" in words or "no claim may be so" in words
        return
    made, _ = told(lambda: value.make(KEY, CALL))
    if value.template is None:
        assert made == text.replace("{{", "{").replace("}}", "}")


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_i_05_nothing_in_a_value_is_taken_for_a_template_again(text: str) -> None:
    caller = dataclasses.replace(KEY, metadata={"tenant": text})
    for template, around in (("{key.metadata.tenant}", "%s"), ("<{key.metadata.tenant}>{{", "<%s>{")):
        value, words = told(lambda template=template: made(template, caller))  # type: ignore[misc]
        assert value == around % text or "nobody sees" in words
