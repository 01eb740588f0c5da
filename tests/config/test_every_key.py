"""One mutation for each key of the schema, and another for each list item (C-01).

The places that messages must name come from the writer of the file, not from the reader of it.
"""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from counterseal.config.reader import path_text
from counterseal.config.schema import Configuration
from tests.config.everything import EVERYTHING, changed, fields, general, plain, renamed, values
from tests.config.writing import accepted, problems, write

Steps = tuple[str | int, ...]

NOT_IN_EVERYTHING = ("deny",)
"""Below this, `EVERYTHING` has nothing: it has the shape of `permit`."""

NEEDED: dict[Steps, str | tuple[str, ...]] = {
    ("servers",): "is not the name of a server",
    ("servers", "weather", "url"): "is missing: add it",
    ("servers", "files", "transport"): ("is a key of `stdio` servers", "is missing: add it"),
    ("servers", "files", "command"): "is missing: add it",
    ("servers", "files", "isolation"): "is for `isolation: caller`",
    ("servers", "crm", "transport"): "is a key of `openapi` servers",
    ("servers", "crm", "url"): "is missing: add it",
    ("servers", "crm", "spec"): "is missing: add it",
    ("callers", "key_header"): "needs a header for the key",
    ("callers", "issuers", 0, "issuer"): "is for an `issuer` that holds",
    ("callers", "issuers", 0, "discovery_uri"): "is for a `discovery_uri`",
    ("callers", "issuers", 0, "tenants"): "is missing: add it",
    ("callers", "issuers", 1, "introspection"): "has no keys and nobody to ask",
    ("callers", "issuers", 1, "issuer"): "is missing: add it",
    ("callers", "issuers", 1, "introspection", "client_secret"): "is missing: add it",
    ("servers", "weather", "signer"): "where the call token goes",
    ("servers", "weather", "signer", "header"): "where the call token goes",
}
"""What other keys of `EVERYTHING` cannot do without, and what is said of one of them without it."""

SCHEMA = {steps: info for steps, info in fields() if not set(steps[:-1]) & set(NOT_IN_EVERYTHING)}
KEYS = [steps for steps, _ in values(EVERYTHING) if isinstance(steps[-1], str) and general(steps) in SCHEMA]
FREE = [steps for steps, _ in values(EVERYTHING) if isinstance(steps[-1], str) and general(steps) not in SCHEMA]
ANYTHING = ("set_claims", "values", "with")
"""Below these any JSON value may stand, or any that is neither a list nor an object, or what a hook takes."""
ITEMS = [steps for steps, _ in values(EVERYTHING) if isinstance(steps[-1], int) and not {*steps} & {*ANYTHING}]


@pytest.fixture(autouse=True)
def _tenant_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANT_KEY", "t-123")
    monkeypatch.setenv("ROOT_KEY", "sk-0123456789abcdef")


def name(steps: Steps) -> str:
    return path_text(steps)


def told(place: tuple[int, int], steps: Steps, beginning: str = "") -> str:
    return f"{place[0]}:{place[1]}: {path_text(steps)}: {beginning}"


def says(problem: str, expected: str | tuple[str, ...]) -> bool:
    return any(one in problem for one in ((expected,) if isinstance(expected, str) else expected))


def test_the_configuration_that_the_mutations_start_from_is_accepted() -> None:
    assert accepted(write(EVERYTHING).text).signer_of("weather").header == "X-Call-Token"


def test_the_mutations_reach_every_key_of_the_schema() -> None:
    reached = {general(steps) for steps in KEYS} | {("policy", "[]", "deny")}
    assert reached == set(SCHEMA)
    assert len(KEYS) > 80


@pytest.mark.parametrize("steps", KEYS, ids=name)
@pytest.mark.parametrize(
    "misspell", [lambda key: f"{key}s", str.title, lambda key: key[1:]], ids=["longer", "case", "shorter"]
)
def test_c_01_a_misspelt_key_is_told_at_its_place_with_the_key_that_was_meant(steps: Steps, misspell: Any) -> None:
    key = misspell(steps[-1])
    written = write(renamed(EVERYTHING, steps, key))
    misspelt = (*steps[:-1], key)
    first, *others = sorted(problems(written.text), key=lambda problem: " is an unknown key" not in problem)
    assert first.startswith(told(written.keys[misspelt], misspelt, "is an unknown key"))
    assert f"`{steps[-1]}`" in first or ", " in first
    # What is left comes from the key itself not being there now.
    missing = NEEDED.get(steps, f" {path_text(steps)}: is missing: add it")
    assert all(says(other, missing) for other in others)


@pytest.mark.parametrize("steps", [*KEYS, *FREE], ids=name)
def test_c_01_a_key_that_is_there_twice_is_told_at_its_second_place_with_the_first(steps: Steps) -> None:
    written = write(EVERYTHING, twice=steps)
    assert written.again is not None
    line, column = written.keys[steps]
    what = f"is there twice, first in line {line}, column {column}: keep one of them"
    assert problems(written.text) == [told(written.again, steps, what)]


def wrong_value(hint: Any) -> Any:
    """A value of a type that this one is not."""
    hint = plain(hint)
    if hint is str or get_origin(hint) is Literal or (isinstance(hint, type) and hint.__name__ == "SecretReference"):
        return 5
    if hint is bool:
        return "true"
    if hint is int:
        return "soon"
    if get_origin(hint) is tuple or (isinstance(hint, type) and issubclass(hint, BaseModel)):
        return "one"
    return ["one"]


@pytest.mark.parametrize("steps", KEYS, ids=name)
def test_c_01_a_value_of_another_type_is_told_at_its_place(steps: Steps) -> None:
    # a text or a list, so that neither is wrong
    is_path = steps[-2:-1] == ("claims",) or (steps[-1] == "name" and "required_claims" in steps)
    wrong = 5 if is_path else wrong_value(SCHEMA[general(steps)].annotation)
    written = write(changed(EVERYTHING, steps, wrong))
    (problem,) = problems(written.text)
    assert problem.startswith(told(written.place(steps), steps, "must be "))


@pytest.mark.parametrize("steps", ITEMS, ids=name)
def test_c_01_an_item_of_another_type_is_told_at_its_place(steps: Steps) -> None:
    written = write(changed(EVERYTHING, steps, 5))
    (problem,) = problems(written.text)
    assert problem.startswith(told(written.place(steps), steps, "must be "))


@pytest.mark.parametrize("steps", KEYS, ids=name)
def test_c_01_a_yes_is_told_whatever_the_key(steps: Steps) -> None:
    written = write(changed(EVERYTHING, steps, "YES-HERE"))
    (problem,) = problems(written.text.replace('"YES-HERE"', "yes"))
    assert problem.startswith(told(written.place(steps), steps, "`yes` is a yes-or-no in YAML 1.1"))


@pytest.mark.parametrize("steps", [steps for steps in KEYS if not SCHEMA[general(steps)].is_required()], ids=name)
def test_every_key_that_is_not_required_can_be_left_out(steps: Steps) -> None:
    parent = steps[:-1]
    data: Any = EVERYTHING
    for step in parent:
        data = data[step]
    without = {key: value for key, value in data.items() if key != steps[-1]}
    if steps[-1] in ("permit", "deny"):
        without = {"deny" if steps[-1] == "permit" else "permit": {}}
    text = write(changed(EVERYTHING, parent, without) if parent else without).text
    if steps in NEEDED:
        assert all(says(problem, NEEDED[steps]) for problem in problems(text))
    else:
        accepted(text)


REQUIRED = [steps for steps in KEYS if SCHEMA[general(steps)].is_required()]


@pytest.mark.parametrize("steps", REQUIRED, ids=name)
def test_a_required_key_that_is_missing_is_told_at_what_it_is_missing_in(steps: Steps) -> None:
    parent = steps[:-1]
    data: Any = EVERYTHING
    for step in parent:
        data = data[step]
    without = {key: value for key, value in data.items() if key != steps[-1]}
    written = write(changed(EVERYTHING, parent, without) if parent else without)
    place = (1, 1) if not parent else written.place(parent) if isinstance(parent[-1], int) else written.keys[parent]
    (problem,) = problems(written.text)
    assert problem.startswith(told(place, steps, "is missing: add it, for example `"))


def test_the_required_keys_are_few() -> None:
    assert {general(steps) for steps in REQUIRED} == {
        ("issuer",),
        ("signer", "required_claims", "[]", "name"),
        ("servers", "<name>", "signer", "required_claims", "[]", "name"),
        ("callers", "issuers", "[]", "name"),
        *(("callers", "own_keys", "[]", key) for key in ("name", "key")),
        ("servers", "<name>", "passthrough", "header"),
        ("signer", "txn_token", "audience"),
        ("servers", "<name>", "signer", "txn_token", "audience"),
        ("hooks", "[]", "use"),
        *(("callers", "issuers", "[]", "introspection", key) for key in ("endpoint", "client_id")),
    }


def test_literals_are_told_with_their_choices() -> None:
    for steps, info in SCHEMA.items():
        if get_origin(plain(info.annotation)) is Literal:
            choices = get_args(plain(info.annotation))
            where = next(one for one in KEYS if general(one) == steps)
            (problem,) = problems(write(changed(EVERYTHING, where, "sometimes")).text)
            assert all(f"'{choice}'" in problem for choice in choices)


def test_every_problem_is_told_at_once_in_the_order_of_the_file() -> None:
    data = EVERYTHING
    for steps in (("listen", "port"), ("signer", "ttl_seconds"), ("audit", "required")):
        data = changed(data, steps, "soon")
    written = write(data)
    found = [problem.split(": ")[:2] for problem in problems(written.text)]
    paths = ["listen.port", "signer.ttl_seconds", "audit.required"]
    assert [path for _, path in found] == paths
    assert found == sorted(found, key=lambda one: [int(number) for number in one[0].split(":")])


def test_the_whole_configuration_is_frozen() -> None:
    def look(value: Any) -> None:
        assert not isinstance(value, dict | list | set)
        if isinstance(value, BaseModel):
            assert value.model_config["frozen"]
            assert isinstance(value, Configuration) or value.model_config["extra"] == "forbid"
            for field in type(value).model_fields:
                look(getattr(value, field))
        elif hasattr(value, "values") and hasattr(value, "items"):
            for one in value.values():
                look(one)
        elif isinstance(value, tuple):
            for one in value:
                look(one)

    look(accepted(write(EVERYTHING).text))
