"""`policy:`. What a rule leaves out it does not ask about; what is empty could mean all or none, and is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self, get_args

from pydantic import AfterValidator, field_validator, model_validator

from counterseal.config.part import Part
from counterseal.config.problems import Faults, later, wrong
from counterseal.config.values import CallerField, CallerPatterns, MethodPatterns, Patterns, Text, frozen
from counterseal.core.caller import CallerKind


class Selection(Part):
    """What a rule is about. None: it does not ask."""

    callers: Annotated[Mapping[CallerField, CallerPatterns], AfterValidator(frozen)] | None = None
    servers: Patterns | None = None
    tools: Patterns | None = None
    methods: MethodPatterns | None = None
    unless: Annotated[Text | None, later("conditions are not built yet: remove it, or say it with `callers`", None)] = (
        None
    )
    when: Annotated[Text | None, later("conditions are not built yet: remove it, or say it with `callers`", None)] = (
        None
    )

    @field_validator("callers", "servers", "tools", "methods", mode="before")
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:  # a rule that lost what stood there would be about everybody and everything
            raise wrong("is empty: name something, or leave the key out, and the rule does not ask")
        return value

    @field_validator("callers")
    @classmethod
    def _callers(cls, callers: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        if not callers:
            raise wrong("is empty: name a field of the caller, or leave the key out for everybody")
        kinds = get_args(CallerKind)
        for kind in callers.get("kind", ()):
            if "*" not in kind and kind not in kinds:
                faults = Faults()
                faults.add(f"has a kind of caller that there is not; there is {', '.join(kinds)}", "kind")
                faults.check()
        return callers


class Rule(Part):
    """One line of the policy: exactly one of `permit` and `deny`."""

    permit: Selection | None = None
    deny: Selection | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.permit is None) == (self.deny is None):
            raise wrong("must have exactly one of `permit` and `deny`; for everything write `permit: {}`")
        return self

    @property
    def selection(self) -> Selection:
        """What it permits or denies."""
        selection = self.deny if self.permit is None else self.permit
        assert selection is not None
        return selection
