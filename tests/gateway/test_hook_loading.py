"""An entry of `hooks:` becomes exactly one kind of hook, or a sentence that says why not (P-08)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from counterseal.gateway.hook_loading import Loaded, Unusable, load
from counterseal.hooks.testing import offered

MODULE = '''
"""Hooks of a test."""
from counterseal.hooks import Additions, Deny, Pass

class Gate:
    async def check(self, view):
        return Pass()

class PlainGate:
    def check(self, view):
        return Pass()

class Source:
    async def claims(self, view):
        return Additions()

class Watcher:
    async def see(self, event):
        return None

class Settings:
    def __init__(self, first, *, second=2, offered):
        self.given = (first, second, offered)
    async def check(self, view):
        return self.given

class Anything:
    def __init__(self, **settings):
        self.given = settings
    async def check(self, view):
        return self.given

class NoMethod:
    pass

class Two:
    async def check(self, view): ...
    async def see(self, event): ...

class Three(Two):
    async def claims(self, view): ...

class NotCallable:
    check = True

class NoArgument:
    async def check(self): ...

class TwoArguments:
    async def check(self, view, more): ...

class KeywordOnly:
    async def claims(self, *, view): ...

class Yields:
    async def check(self, view):
        yield Pass()

class YieldsPlainly:
    def see(self, event):
        yield event

class Refuses:
    def __init__(self, limit):
        raise ValueError(f"`limit` must be\\n  less than 5")
    async def check(self, view): ...

class Breaks:
    def __init__(self):
        raise RuntimeError("c4n4ry")
    async def check(self, view): ...

class Exits:
    def __init__(self):
        raise SystemExit(0)
    async def check(self, view): ...

class BadProperty:
    @property
    def check(self):
        raise RuntimeError("c4n4ry")

class OnlyOnInstances:
    def __init__(self):
        self.check = lambda view: Pass()

def function(view):
    return Pass()

instance = Gate()
'''


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is imported from, empty of everything but `own_hooks`."""
    (tmp_path / "own_hooks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def refused(use: str, **settings: Any) -> str:
    with pytest.raises(Unusable) as told:
        load(use, settings, offered())
    ((steps, what),) = told.value.problems
    assert "c4n4ry" not in what
    assert what.isprintable()
    return f"{'.'.join(steps)}: {what}"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Gate", "gate"), ("PlainGate", "gate"), ("Source", "claim source"), ("Watcher", "observer")],
)
def test_a_class_is_the_kind_of_hook_whose_method_it_has(name: str, kind: str) -> None:
    loaded = load(f"own_hooks:{name}", {}, offered())
    assert isinstance(loaded, Loaded)
    assert loaded.kind == kind


async def test_settings_are_keyword_arguments_and_offered_comes_where_it_is_asked_for() -> None:
    given = offered()
    loaded = load("own_hooks:Settings", {"first": [1], "second": "b"}, given)
    assert await loaded.method(None) == ([1], "b", given)
    assert await load("own_hooks:Settings", {"first": 1}, given).method(None) == (1, 2, given)
    assert await load("own_hooks:Anything", {"a": 1, "b": 2}, given).method(None) == {"a": 1, "b": 2}


NEEDS = "use: is no hook: its class needs exactly one of the methods `check`, `claims` and `see`"


@pytest.mark.parametrize(
    ("use", "says"),
    [
        ("own_hooks:Gone", "use: names a class that is not there: `own_hooks` has no `Gone`"),
        ("own_hooks:function", "use: is no class: `function` is function; name the class of the hook"),
        ("own_hooks:instance", "use: is no class: `instance` is Gate; name the class of the hook"),
        ("gone_hooks:Gate", "use: names a module that cannot be found, `gone_hooks`: install it where"),
        ("own_hooks.deeper:Gate", "use: names a module that cannot be found, `own_hooks.deeper`: install it where"),
        ("own_hooks:NoMethod", f"{NEEDS} and has none of them"),
        ("own_hooks:NotCallable", "use: is no hook"),
        ("own_hooks:OnlyOnInstances", "use: is no hook"),
        ("own_hooks:BadProperty", "use: is no hook"),
        ("own_hooks:Two", f"{NEEDS} and has `check` and `see`"),
        ("own_hooks:Three", f"{NEEDS} and has `check` and `claims` and `see`"),
        ("own_hooks:NoArgument", "use: cannot be asked: write `async def check(self, view)`"),
        ("own_hooks:TwoArguments", "use: cannot be asked: write `async def check(self, view)`"),
        ("own_hooks:KeywordOnly", "use: cannot be asked: write `async def claims(self, view)`"),
        ("own_hooks:Yields", "use: has a `check` that yields: write `return` with the answer"),
        ("own_hooks:YieldsPlainly", "use: has a `see` that yields: write `return` with the answer"),
        ("own_hooks:Breaks", "with: is refused by the hook, by RuntimeError at own_hooks.py:"),
        ("own_hooks:Exits", "with: is refused by the hook, by SystemExit at own_hooks.py:"),
        ("own_hooks:Settings", "with: lacks `first`, which this hook needs: add it"),
        ("counterseal.hooks:Gate", "with: is refused by the hook, by TypeError"),
        ("builtins:dict", "use: is no hook"),
    ],
)  # fmt: skip
def test_p_08_what_is_not_exactly_one_hook_is_told_with_the_remedy(use: str, says: str) -> None:
    assert refused(use).startswith(says)


def test_a_constructor_that_raises_value_error_speaks_for_itself_in_one_line() -> None:
    assert refused("own_hooks:Refuses", limit=7) == "with: is refused by the hook: `limit` must be less than 5"


def test_c_01_settings_that_the_hook_does_not_take_are_told_all_at_once() -> None:
    with pytest.raises(Unusable) as told:
        load("own_hooks:Settings", {"frist": 1, "offered": 5, "secnd": 2}, offered())
    assert [(".".join(steps), what) for steps, what in told.value.problems] == [
        ("with.frist", "is an unknown key; did you mean `first`?"),
        ("with.offered", "is an unknown key; there is first, second"),
        ("with.secnd", "is an unknown key; did you mean `second`?"),
        ("with", "lacks `first`, which this hook needs: add it"),
    ]
    assert refused("own_hooks:Gate", unknown=1) == "with.unknown: is an unknown key; there is none"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("raise RuntimeError('c4n4ry')", "use: cannot be imported, because of RuntimeError at bad_hooks.py:1: mend the module"),
        ("raise SystemExit(0)", "use: cannot be imported, because of SystemExit at bad_hooks.py:1"),
        ("def (", "use: cannot be imported, because of SyntaxError"),
        ("import gone_of_another", "use: cannot be imported, because the module `gone_of_another` is missing: install it"),
    ],
)  # fmt: skip
def test_p_08_a_module_that_cannot_be_imported_is_told_without_its_words(modules: Path, text: str, says: str) -> None:
    (modules / "bad_hooks.py").write_text(text)
    assert refused("bad_hooks:Gate").startswith(says)


# ---- names ------------------------------------------------------------------------------------------------------------


def install(folder: Path, package: str, offers: str) -> None:
    """A package that offers entry points, as an installer leaves it behind."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[counterseal.hooks]\n{offers}\n")


def test_a_hook_of_an_installed_package_is_found_by_its_name(modules: Path) -> None:
    install(modules, "own-hooks", "sundays = own_hooks:Gate")
    assert load("sundays", {}, offered()).kind == "gate"


def test_a_name_that_there_is_not_is_told_with_those_that_there_are(modules: Path) -> None:
    install(modules, "own-hooks", "sundays = own_hooks:Gate")
    assert refused("sundys").startswith(
        "use: is not the name of a hook; did you mean `sundays`?; a class of your own is"
    )
    assert refused("argument_shema").startswith("use: is not the name of a hook; did you mean `argument_schema`?")
    assert "argument_schema, claims_from_file, static_headers, sundays" in refused("zzz")


def test_p_08_a_name_that_two_packages_offer_is_none(modules: Path) -> None:
    install(modules, "one", "sundays = own_hooks:Gate")
    install(modules, "other", "sundays = own_hooks:Source")
    assert refused("sundays") == (
        "use: is offered by more than one installed package: write `module:Class` for the one that is meant"
    )


def test_p_08_no_package_takes_the_place_of_a_hook_of_our_own(modules: Path) -> None:
    install(modules, "squatter", "argument_schema = own_hooks:Gate")
    loaded = load("argument_schema", {}, offered())
    assert type(loaded.method.__self__).__module__ == "counterseal.hooks.builtin.argument_schema"  # type: ignore[attr-defined]


def test_p_08_what_nobody_names_is_not_imported(modules: Path) -> None:
    (modules / "loud_hooks.py").write_text("raise RuntimeError('imported')\n")
    install(modules, "loud", "loud = loud_hooks:Gate")
    load("own_hooks:Gate", {}, offered())
    load("static_headers", {"headers": {"X-A": "env:A"}}, offered(secrets={"env:A": "a"}))
    assert "loud_hooks" not in sys.modules
    assert "loud_hooks.py:1" in refused("loud")


@pytest.mark.parametrize("method", ["check", "claims", "see"])
def test_each_kind_may_be_a_coroutine_or_not(method: str, modules: Path) -> None:
    kinds: dict[str, Callable[[], str]] = {
        "plain": lambda: f"class H:\n    def {method}(self, seen): ...\n",
        "coroutine": lambda: f"class H:\n    async def {method}(self, seen): ...\n",
        "static": lambda: f"class H:\n    @staticmethod\n    def {method}(seen): ...\n",
    }
    for name, text in kinds.items():
        (modules / f"{name}_{method}.py").write_text(text())
        assert load(f"{name}_{method}:H", {}, offered()).kind in ("gate", "claim source", "observer")
