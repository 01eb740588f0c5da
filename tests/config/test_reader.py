"""Strict YAML (C-01). Each refusal stands beside the form that is accepted."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.config.reader import Problem, path_text, read


@pytest.mark.parametrize(
    ("text", "line", "column", "path", "says", "twin"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "a", "twice, first in line 1, column 1", "a: 1\nb: 2\nc: 3\n"),
        ("s:\n  w: {u: 1, u: 2}\n", 2, 13, "s.w.u", "twice, first in line 2, column 7", "s:\n  w: {u: 1, v: 2}\n"),
        ('a: 1\n"\\u0061": 2\n', 2, 1, "a", "twice", 'a: 1\n"\\u0062": 2\n'),
        ("a: &x {b: 1}\n", 1, 4, "a", "anchor", "a: {b: 1}\n"),
        ("&x a: 1\n", 1, 1, "a", "anchor", "a: 1\n"),
        ("a: *x\n", 1, 4, "a", "alias", 'a: "*x"\n'),
        ("a: [1, *x]\n", 1, 8, "a[1]", "alias", "a: [1, x]\n"),
        ("a: !!str 5\n", 1, 4, "a", "tag", 'a: "5"\n'),
        ("a: !!python/object/apply:os.system [x]\n", 1, 4, "a", "tag", "a: [x]\n"),
        ("a: !env X\n", 1, 4, "a", "tag", "a: env:X\n"),
        ("a: !!binary eA==\n", 1, 4, "a", "tag", "a: eA==\n"),
        ("!!map {a: 1}\n", 1, 1, "the file", "tag", "{a: 1}\n"),
        ("a: 1\n<<: {b: 1}\n", 2, 1, '"<<"', "merge key", "a: 1\nb: 1\n"),
        ("1: x\n", 1, 1, "1", "quotes", '"1": x\n'),
        ("s: {no: x}\n", 1, 5, "s.no", "quotes", 's: {"no": x}\n'),
        ("s: {null: x}\n", 1, 5, "s.null", "quotes", 's: {"null": x}\n'),
        ("s: {2026-01-01: x}\n", 1, 5, "s.2026-01-01", "quotes", 's: {"2026-01-01": x}\n'),
        ("s: {[a]: x}\n", 1, 5, "s", "a key is a text", "s: {a: x}\n"),
        ("a: yes\n", 1, 4, "a", "true or false", "a: true\n"),
        ("a: Off\n", 1, 4, "a", "true or false", 'a: "Off"\n'),
        ("a: TRUE\n", 1, 4, "a", "true or false", "a: false\n"),
        ("a: 010\n", 1, 4, "a", "decimal", "a: 10\n"),
        ("a: 0x10\n", 1, 4, "a", "decimal", "a: 16\n"),
        ("a: 1_000\n", 1, 4, "a", "decimal", "a: 1000\n"),
        ("a: 190:20:30\n", 1, 4, "a", "decimal", 'a: "190:20:30"\n'),
        ("a: +1\n", 1, 4, "a", "decimal", "a: -1\n"),
        ("a: .inf\n", 1, 4, "a", "decimal", "a: 1.5\n"),
        ("a: 1.5e+3\n", 1, 4, "a", "decimal", "a: 1500.0\n"),
        ("a: 2026-11-24\n", 1, 4, "a", "a date", 'a: "2026-11-24"\n'),
        ('a: "\\ud83d\\ude00"\n', 1, 4, "a", "half a character", 'a: "\\U0001f600"\n'),
        ('"\\ud83d": x\n', 1, 1, '"\\ud83d"', "half a character", '"\\U0001f600": x\n'),
        ("a:\n\t- b\n", 2, 1, "YAML", "indent with spaces", "a:\n  - b\n"),
        ("a: 1\n---\nb: 2\n", 2, 1, "YAML", "a second document", "---\na: 1\nb: 2\n"),
        ("a: b: c\n", 1, 5, "YAML", "put a text with a colon in quotes", 'a: "b: c"\n'),
        ("a: memory:\n", 1, 10, "YAML", 'as in `store: "memory:"`', 'a: "memory:"\n'),
        ("a: b\n  c: d\n", 2, 4, "YAML", "mend the indentation", "a: b\nc: d\n"),
        ("a: {b: c\n", 2, 1, "YAML", "mend it here", "a: {b: c}\n"),
        ("a: 1\nb: x\x07\n", 2, 5, "YAML", "as an escape", 'a: 1\nb: "x\\a"\n'),
        ("", 1, 1, "the file", "is empty", "a: 1"),
        ("# nothing yet\n", 1, 1, "the file", "is empty", "# something\na: 1\n"),
        ("- a\n", 1, 1, "the file", "must be a mapping", "a: 1\n"),
        ("issuer\n", 1, 1, "the file", "must be a mapping", "issuer: x\n"),
        ("a: " + "[" * 32 + "]" * 32, 1, 35, "YAML", "32 levels", "a: " + "[" * 31 + "]" * 31),
    ],
)
def test_c_01_what_could_be_read_in_two_ways_is_told_at_its_place(
    text: str, line: int, column: int, path: str, says: str, twin: str
) -> None:
    (problem,) = read(text).problems
    assert problem[:3] == (line, column, path)
    assert says in problem.what
    assert not read(twin).problems


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: text", {"a": "text"}),
        ("a: 'yes'", {"a": "yes"}),
        ("a: true", {"a": True}),
        ("a: 0", {"a": 0}),
        ("a: -12", {"a": -12}),
        ("a: 1.25", {"a": 1.25}),
        ("a: 5m", {"a": "5m"}),
        ("a:", {"a": None}),
        ("a: ~", {"a": None}),
        ("a: null", {"a": None}),
        ("a: [x, [y], {z: 1}]", {"a": ("x", ("y",), {"z": 1})}),
        ("a: []\nb: {}", {"a": (), "b": {}}),
        ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
        ("a: http://h:1/x#y", {"a": "http://h:1/x#y"}),
        ("%YAML 1.1\n---\na: 1", {"a": 1}),
    ],
)
def test_plain_values_are_read_as_they_stand(text: str, data: Any) -> None:
    document = read(text)
    assert document.data == data
    assert not document.problems


def test_everything_that_is_wrong_is_found_in_one_reading() -> None:
    document = read("a: yes\nb: &x 1\nc: [*x, 0x1]\na: 2\n3: 4\nd: fine\n")
    assert [(problem.line, problem.path) for problem in document.problems] == [
        (1, "a"),
        (2, "b"),
        (3, "c[0]"),
        (3, "c[1]"),
        (4, "a"),
        (5, "3"),
    ]
    assert document.data["d"] == "fine"
    assert document.spoiled == {("a",), ("b",), ("c", 0), ("c", 1)}


def test_a_bomb_of_aliases_is_refused_before_it_grows() -> None:
    lines = ["a: &a [x]"] + [
        f"{name}: &{name} [*{before}, *{before}]" for before, name in zip("abcdef", "bcdefg", strict=True)
    ]
    problems = read("\n".join(lines)).problems
    assert len(problems) == 7
    assert all("anchor" in problem.what for problem in problems)


def test_places_are_those_of_values_and_of_keys() -> None:
    document = read("s:\n  w:\n    u: x\n    l: [1, {k: 2}]\n")
    assert document.place(("s", "w", "u")) == (3, 8)
    assert document.place(("s", "w")) == (2, 3)
    assert document.place(("s", "w", "l")) == (4, 5)
    assert document.place(("s", "w", "l", 1)) == (4, 12)
    assert document.place(("s", "w", "l", 1, "k")) == (4, 16)
    assert document.place(("s", "w", "missing")) == (2, 3)
    assert document.place(("missing",)) == (1, 1)
    assert document.keys["s", "w", "u"] == (3, 5)


def test_columns_count_characters_and_not_bytes() -> None:
    assert read("a: {ü: yes}").problems == [Problem(1, 8, 'a."\\u00fc"', read("a: yes").problems[0].what)]


def test_a_path_is_written_so_that_it_can_be_read_in_one_way() -> None:
    assert path_text(("policy", 0, "permit", "tools", 1)) == "policy[0].permit.tools[1]"
    assert path_text(("servers", "a.b", "url")) == 'servers."a.b".url'
    assert path_text(("servers", "a\n\x1b[31m")) == 'servers."a\\n\\u001b[31m"'
    assert path_text(()) == "the file"
