"""The five kinds, by the names of their modules, and what their tool does."""

from __future__ import annotations

from typing import Final

KINDS: Final = ("fastmcp", "high_level", "low_level", "starlette", "openapi")


class Weather:
    """What `get_weather` answers: the city, for whom, and how often it was asked."""

    def __init__(self) -> None:
        self.ran = 0

    def report(self, city: str, subject: str) -> str:
        self.ran += 1
        return f"{city} for {subject}, run {self.ran}"
