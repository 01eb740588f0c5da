"""What every hook that comes with Counterseal keeps to. Derive from `HookContract` and give it the fixture `settings`: what
stands in the configuration under `with`, and `offered`: what its constructor gets."""

from __future__ import annotations

import asyncio
import copy
from functools import partial
from typing import Any, ClassVar

import pytest

from counterseal.core.limits import LIMITS
from counterseal.core.methods import METHODS
from counterseal.gateway.hook_loading import Loaded, Unusable, load
from counterseal.gateway.registry import HOOKS
from counterseal.hooks import Offered, View
from counterseal.hooks.accept import additions, answer
from counterseal.hooks.contained import Contained
from counterseal.hooks.testing import view

VIEWS = [
    view("x" if row.name_field else None, method=name, server=server, **caller)
    for name, row in METHODS.items()
    for server in ("weather", "notes")
    for caller in ({}, {"kind": "anonymous", "client_id": "anonymous", "subject": None}, {"kind": "token", "issuer": "https://idp.example.com"})
]  # fmt: skip


class HookContract:
    use: ClassVar[str]

    @pytest.fixture
    def loaded(self, settings: dict[str, Any], offered: Offered) -> Loaded:
        return load(self.use, settings, offered)

    def ask(self, loaded: Loaded, view: View) -> Any:
        accept: Any = answer if loaded.kind == "gate" else additions
        asked: Contained[View, Any] = Contained(self.use, loaded.method, partial(accept, limits=LIMITS), 1)
        return asked(view)

    def test_it_is_in_the_registry_and_loads_from_there(self, loaded: Loaded) -> None:
        assert self.use in HOOKS
        assert loaded.kind in ("gate", "claim source")

    async def test_it_runs_on_the_event_loop(self, loaded: Loaded) -> None:
        assert asyncio.iscoroutinefunction(loaded.method)

    async def test_p_02_it_has_an_acceptable_answer_to_every_call(self, loaded: Loaded) -> None:
        for one in VIEWS:
            await self.ask(loaded, one)

    async def test_it_changes_nothing_and_answers_a_call_the_same_again(self, loaded: Loaded) -> None:
        for one in VIEWS:
            assert await self.ask(loaded, one) == await self.ask(loaded, one)

    async def test_its_answer_is_its_own(self, loaded: Loaded) -> None:
        """What the gateway makes of an answer reaches no later one."""
        for one in VIEWS[:6]:
            given = await loaded.method(one)
            before = copy.deepcopy(getattr(given, "headers", None))
            accepted = await self.ask(loaded, one)
            if hasattr(accepted, "claims") and accepted.claims:
                accepted.claims["canary"] = "canary"
            again = await self.ask(loaded, one)
            assert getattr(again, "headers", None) == before
            assert "canary" not in (getattr(again, "claims", None) or {})

    async def test_many_calls_at_once_are_no_affair_of_each_other(self, loaded: Loaded) -> None:
        alone = [await self.ask(loaded, one) for one in VIEWS]
        assert await asyncio.gather(*(self.ask(loaded, one) for one in VIEWS)) == alone

    def test_c_01_an_unknown_setting_is_told(self, settings: dict[str, Any], offered: Offered) -> None:
        for name in ("unknwon", "offered", "self"):
            with pytest.raises(Unusable) as told:
                load(self.use, {**settings, name: 1}, offered)
            assert [steps for steps, _ in told.value.problems] == [("with", name)]

    def test_c_01_a_setting_of_another_type_is_told_without_the_value(
        self, settings: dict[str, Any], offered: Offered
    ) -> None:
        for name in settings:
            for wrong in (5, ["canary"], {"canary": 5}):
                with pytest.raises(Unusable) as told:
                    load(self.use, {**settings, name: wrong}, offered)
                ((steps, what),) = told.value.problems
                assert steps == ("with",)
                assert f"`{name}`" in what
                assert "canary" not in what
                assert "Error" not in what
