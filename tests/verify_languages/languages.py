"""The verifying servers of `docs/verify/`: how each is started, and what none of its libraries computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support.parties import LANGUAGES, node_command


@dataclass(frozen=True, slots=True)
class Language:
    """program: starts the server, as a path below docs/verify/. without: algorithms that it does not know."""

    name: str
    program: str
    without: frozenset[str] = frozenset()

    @property
    def folder(self) -> Path:
        return LANGUAGES / self.name

    @property
    def page(self) -> Path:
        return LANGUAGES / f"{self.name}.md"

    def command(self, *arguments: str) -> list[str]:
        """What starts it, once `tests/parties/languages.sh` has built it."""
        program = self.folder / self.program
        if program.suffix == ".ts":
            return node_command(program, *arguments)
        if program.suffix == ".jar":
            return ["java", "-XX:TieredStopAtLevel=1", "-jar", str(program), *arguments]
        return [str(program), *arguments]


_NO_ML_DSA: Final = frozenset({"ML-DSA-44"})
ALL: Final = (
    Language("typescript", "server.ts"),
    Language("go", "build/weather", without=_NO_ML_DSA),
    Language("java", "target/weather.jar", without=_NO_ML_DSA),
    Language("rust", "target/debug/weather", without=_NO_ML_DSA),
)

parametrized = pytest.mark.parametrize(
    "language",
    [pytest.param(one, id=one.name, marks=pytest.mark.party(f"server-in-{one.name}")) for one in ALL],
)
in_each_language = pytest.mark.parametrize(
    "language",
    [pytest.param(one, id=one.name, marks=pytest.mark.party(f"server-in-{one.name}")) for one in ALL],
    scope="module",
    indirect=True,
)
