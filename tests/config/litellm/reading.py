"""Reads LiteLLM's files as the product does, for the tests of what they come to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from counterseal.config.compile import warnings
from counterseal.config.litellm import Translated, translate
from counterseal.config.load import load_text
from counterseal.config.reader import read
from counterseal.config.schema import Configuration
from counterseal.config.signer import Signer
from counterseal.errors import ConfigError

MASTER_KEY = "sk-0123456789abcdef"
SERVER = {"weather": {"url": "https://weather.internal/mcp"}}
ISSUER = "https://gateway.example.com"


def file(
    params: Mapping[str, Any] | None = None, servers: Any = None, environment: Any = None, **sections: Any
) -> dict[str, Any]:
    """A whole file. params: of the signer, besides those that every one has; environment: ignored."""
    signer = {"guardrail": "mcp_jwt_signer", "mode": "pre_mcp_call", "default_on": True, "issuer": ISSUER}
    return {
        "mcp_servers": SERVER if servers is None else servers,
        "guardrails": [{"guardrail_name": "signer", "litellm_params": {**signer, **(params or {})}}],
        "general_settings": {"master_key": MASTER_KEY},
        **sections,
    }


def translated(data: Any, **environment: str) -> Translated:
    return translate(read(text_of(data)), environment)


def text_of(data: Any) -> str:
    return data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False)


def loaded(data: Any) -> Configuration:
    """What the gateway is made of."""
    return load_text(text_of(data), "config.yaml", Path("/nowhere"))


def signer_of(params: Mapping[str, Any]) -> Signer:
    """What the only server's signer is with these parameters."""
    return loaded(file(params)).signer_of("weather")


def problems(data: Any) -> list[str]:
    """What keeps it from being read, without the name of the file."""
    with pytest.raises(ConfigError) as caught:
        loaded(data)
    return [problem.removeprefix("config.yaml:") for problem in caught.value.problems]


def told(data: Any, about: str) -> list[str]:
    """The lines at each start about one of LiteLLM's keys."""
    lines = [line.partition(": ")[2] for line in warnings(loaded(data), os.environ)]
    return [line.removeprefix(f"{about}: ") for line in lines if line.startswith(f"{about}: ")]


def line_of(data: Any, needle: str) -> int:
    """The line of the file in which a text stands first."""
    return next(number for number, line in enumerate(text_of(data).splitlines(), 1) if needle in line)
